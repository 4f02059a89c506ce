//! The operating system, the processors and the memory, from `/proc` and `/etc`.

use serde::{Deserialize, Serialize};

use super::gpu::{self, Accelerators};
use super::{Notes, Sources, read};

/// Bytes of `/proc/cpuinfo`: some thousand processors.
const CPUINFO_BYTES: u64 = 8 << 20;

/// The operating system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OperatingSystem {
    /// Its name for people: `Debian GNU/Linux 12 (bookworm)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its name for programs: `debian`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its version: `12`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The kernel and its version: `Linux 6.1.0-18-amd64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
}

/// What computes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Hardware {
    /// As the kernel calls it: `x86_64`, `aarch64`.
    pub architecture: String,
    /// The processors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// Bytes of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// GPUs, and what drives them.
    #[serde(flatten)]
    pub accelerators: Accelerators,
}

/// The processors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Cpu {
    /// What they are, where the kernel tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How many the kernel counts; two threads of one core are two.
    pub count: u64,
}

pub(super) fn operating_system(sources: &Sources, notes: &mut Notes) -> OperatingSystem {
    let release = read::text(&sources.at("etc/os-release"))
        .or_else(|| read::text(&sources.at("usr/lib/os-release")));
    if release.is_none() {
        notes.add("os", "there is no /etc/os-release");
    }
    let field = |name| read::shown(unquoted(read::field(release.as_deref()?, name, '=')?));
    let kernel = |name: &str| read::word(&sources.at(&format!("proc/sys/kernel/{name}")));
    let kernel = kernel("osrelease")
        .map(|release| format!("{} {release}", kernel("ostype").as_deref().unwrap_or("Linux")));
    OperatingSystem {
        name: field("PRETTY_NAME"),
        id: field("ID"),
        version: field("VERSION_ID"),
        kernel,
    }
}

fn unquoted(value: &str) -> &str {
    ['"', '\'']
        .iter()
        .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or(value)
}

pub(super) fn hardware(sources: &Sources, notes: &mut Notes) -> Hardware {
    let cpu = cpu(sources);
    if cpu.is_none() {
        notes.add("hardware", "/proc/cpuinfo tells no processors");
    }
    let memory_bytes = read::text(&sources.at("proc/meminfo")).and_then(|text| {
        let kibibytes = read::field(&text, "MemTotal", ':')?.strip_suffix("kB")?;
        kibibytes.trim().parse::<u64>().ok()?.checked_mul(1024)
    });
    if memory_bytes.is_none() {
        notes.add("hardware", "/proc/meminfo tells no memory");
    }
    Hardware {
        architecture: read::word(&sources.at("proc/sys/kernel/arch"))
            .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        cpu,
        memory_bytes,
        accelerators: gpu::accelerators(sources, notes),
    }
}

fn cpu(sources: &Sources) -> Option<Cpu> {
    let bytes = read::bytes(&sources.at("proc/cpuinfo"), CPUINFO_BYTES)?;
    let text = String::from_utf8_lossy(&bytes);
    // s390 has one line for each, too: `processor 0: version = …`.
    let count = text.lines().filter(|line| line.starts_with("processor")).count() as u64;
    // x86 and some ARM; POWER; ARM boards.
    let model = ["model name", "cpu", "Model", "Hardware"]
        .iter()
        .find_map(|name| read::shown(read::field(&text, name, ':')?))
        .or_else(|| arm(&text));
    (count > 0).then_some(Cpu { model, count })
}

/// ARM servers have numbers only; the names of the common ones are in ARM's manuals.
fn arm(text: &str) -> Option<String> {
    let implementer = read::shown(read::field(text, "CPU implementer", ':')?)?;
    let part = read::shown(read::field(text, "CPU part", ':')?)?;
    let name = match (implementer.as_str(), part.as_str()) {
        ("0x41", "0xd08") => "Cortex-A72",
        ("0x41", "0xd0c") => "Neoverse-N1",
        ("0x41", "0xd40") => "Neoverse-V1",
        ("0x41", "0xd49") => "Neoverse-N2",
        ("0x41", "0xd4f") => "Neoverse-V2",
        _ => return Some(format!("ARM implementer {implementer} part {part}")),
    };
    Some(name.to_owned())
}
