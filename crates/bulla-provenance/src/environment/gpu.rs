//! GPUs and their drivers. Serial numbers and UUIDs do not enter.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Notes, Sources, find_program, program, read};
use crate::json;

const ABOUT: &str = "gpu";
/// GPUs of one machine.
const GPUS: usize = 1024;
/// Bytes that `nvidia-smi` may say.
const ANSWER_BYTES: usize = 1 << 20;

/// GPUs, and what drives them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Accelerators {
    /// Equal ones are one entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<Gpu>,
    /// NVIDIA's driver: `550.54.14`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nvidia_driver: Option<String>,
    /// The newest CUDA that this driver can run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cuda_of_driver: Option<String>,
    /// The CUDA toolkit that is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cuda: Option<String>,
    /// AMD's driver, if it is not the kernel's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amdgpu_driver: Option<String>,
    /// The ROCm that is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rocm: Option<String>,
}

/// Some equal GPUs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Gpu {
    /// `nvidia` or `amd`.
    pub vendor: String,
    /// What they are: `NVIDIA A100-SXM4-80GB`, `gfx90a`.
    pub model: String,
    /// Bytes of memory that each has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// How many.
    pub count: u64,
}

/// One GPU: vendor, model, memory.
type One = (&'static str, String, Option<u64>);

pub(super) fn accelerators(sources: &Sources, notes: &mut Notes) -> Accelerators {
    let mut found = Vec::new();
    let mut all = Accelerators {
        nvidia_driver: nvidia_driver(sources),
        cuda: cuda(sources),
        amdgpu_driver: read::word(&sources.at("sys/module/amdgpu/version"))
            .filter(|text| is_version(text)),
        rocm: read::word(&sources.at("opt/rocm/.info/version")).filter(|text| is_version(text)),
        ..Accelerators::default()
    };
    nvidia(sources, &mut all, &mut found, notes);
    amd(sources, &mut found);
    let mut counted: BTreeMap<One, u64> = BTreeMap::new();
    for one in found {
        *counted.entry(one).or_default() += 1;
    }
    all.gpus = counted
        .into_iter()
        .map(|((vendor, model, memory_bytes), count)| Gpu {
            vendor: vendor.into(),
            model,
            memory_bytes,
            count,
        })
        .collect();
    if all.gpus.is_empty() {
        notes.add(ABOUT, "no GPU was found");
    }
    all
}

/// Digits and what versions are made of besides.
fn is_version(text: &str) -> bool {
    text.len() <= 40
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-+_".contains(&b))
}

/// `NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 …`
fn nvidia_driver(sources: &Sources) -> Option<String> {
    let text = read::text(&sources.at("proc/driver/nvidia/version"))?;
    let line = read::field(&text, "NVRM version", ':')?;
    let digits =
        |word: &&str| word.contains('.') && word.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    line.split_whitespace().find(digits).map(str::to_owned).filter(|text| is_version(text))
}

/// The toolkit's own word, or what NVIDIA's images set.
fn cuda(sources: &Sources) -> Option<String> {
    let installed = || {
        let text = read::bytes(&sources.at("usr/local/cuda/version.json"), read::SMALL)?;
        let value: serde_json::Value = json::read(&text).ok()?;
        value.get("cuda")?.get("version")?.as_str().map(str::to_owned)
    };
    let variable = || sources.variable("CUDA_VERSION").map(|text| text.trim().to_owned());
    installed()
        .filter(|text| is_version(text))
        .or_else(|| variable().filter(|text| is_version(text)))
}

fn nvidia(sources: &Sources, all: &mut Accelerators, found: &mut Vec<One>, notes: &mut Notes) {
    let query = ["--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"];
    let listed = smi(sources, &query, notes);
    for line in listed.iter().flat_map(|text| text.lines()).take(GPUS) {
        let mut columns = line.split(',').map(str::trim);
        let (name, driver, memory) = (columns.next(), columns.next(), columns.next());
        let Some(model) = name.and_then(read::shown) else { continue };
        if all.nvidia_driver.is_none() {
            all.nvidia_driver = driver.map(str::to_owned).filter(|text| is_version(text));
        }
        found.push(("nvidia", model, memory.and_then(mebibytes)));
    }
    if !found.is_empty() {
        all.cuda_of_driver = smi(sources, &[], notes).and_then(|text| {
            let (_, after) = text.split_once("CUDA Version:")?;
            after.split_whitespace().next().map(str::to_owned).filter(|text| is_version(text))
        });
        return;
    }
    // Without the program, the kernel's module tells the models.
    let gpus = sources.at("proc/driver/nvidia/gpus");
    for name in read::names(&gpus).iter().take(GPUS) {
        let text = read::text(&gpus.join(name).join("information"));
        let model = text.as_deref().and_then(|text| read::field(text, "Model", ':'));
        found.extend(model.and_then(read::shown).map(|model| ("nvidia", model, None)));
    }
    if found.is_empty() && all.nvidia_driver.is_some() {
        notes.add(ABOUT, "there is a driver of NVIDIA's, and no GPU that can be seen");
    }
}

fn smi(sources: &Sources, arguments: &[&str], notes: &mut Notes) -> Option<String> {
    let program = find_program(&sources.nvidia_smi, &sources.variables)?;
    let allowed = ["PATH", "LD_LIBRARY_PATH"];
    let mut variables: BTreeMap<&str, &str> =
        allowed.iter().filter_map(|name| Some((*name, sources.variable(name)?))).collect();
    variables.insert("LC_ALL", "C");
    let said = program::run(&program, arguments, None, &variables, ANSWER_BYTES, sources.patience);
    match said {
        Ok(said) if said.success => String::from_utf8(said.output).ok(),
        Ok(_) => {
            notes.add(ABOUT, "nvidia-smi failed");
            None
        }
        Err(program::Silent::TooSlow) => {
            notes.add(ABOUT, "nvidia-smi took too long");
            None
        }
        Err(program::Silent::NotStarted) => None,
    }
}

/// `81920 MiB`
fn mebibytes(text: &str) -> Option<u64> {
    text.strip_suffix("MiB")?.trim().parse::<u64>().ok()?.checked_mul(1 << 20)
}

fn amd(sources: &Sources, found: &mut Vec<One>) {
    let before = found.len();
    // The compute driver has every GPU that can be computed on, and says what it is by its
    // instruction set.
    let nodes = sources.at("sys/class/kfd/kfd/topology/nodes");
    for name in read::names(&nodes).iter().take(GPUS) {
        let node = nodes.join(name);
        let Some(properties) = read::text(&node.join("properties")) else { continue };
        let number = |name| read::field(&properties, name, ' ').and_then(|n| n.parse::<u64>().ok());
        if number("simd_count").is_none_or(|count| count == 0) {
            continue; // a processor
        }
        let model = number("gfx_target_version").filter(|n| *n > 0).map(instruction_set);
        let Some(model) = model.or_else(|| read::word(&node.join("name"))) else { continue };
        let banks = node.join("mem_banks");
        let memory = read::names(&banks).iter().take(16).try_fold(0u64, |sum, bank| {
            let text = read::text(&banks.join(bank).join("properties"))?;
            sum.checked_add(read::field(&text, "size_in_bytes", ' ')?.parse().ok()?)
        });
        found.push(("amd", model, memory.filter(|n| *n > 0)));
    }
    if found.len() > before {
        return;
    }
    let cards = sources.at("sys/class/drm");
    let whole_card = |name: &&std::ffi::OsString| {
        let number = name.to_str().and_then(|name| name.strip_prefix("card"));
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    for name in read::names(&cards).iter().filter(whole_card).take(GPUS) {
        let device = cards.join(name).join("device");
        if read::word(&device.join("vendor")).as_deref() != Some("0x1002") {
            continue;
        }
        let model = read::word(&device.join("product_name"))
            .or_else(|| Some(format!("AMD device {}", read::word(&device.join("device"))?)));
        let memory =
            read::word(&device.join("mem_info_vram_total")).and_then(|text| text.parse().ok());
        found.extend(model.map(|model| ("amd", model, memory)));
    }
}

/// 90010 is gfx90a: major, minor and step, the last two in hex.
fn instruction_set(version: u64) -> String {
    format!("gfx{}{:x}{:x}", version / 10_000, version / 100 % 100, version % 100)
}
