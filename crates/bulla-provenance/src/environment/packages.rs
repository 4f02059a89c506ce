//! Python's packages and their versions, read off what installers leave beside them. Python itself
//! is not run: it would run whatever is installed.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::clean::Cleaner;
use super::{Notes, Sources, find_program, read};

const ABOUT: &str = "packages";
/// Bytes of a package's metadata that its name and version have to be in.
const METADATA_BYTES: u64 = 64 << 10;
/// Packages of one environment.
const PACKAGES: usize = 10_000;
/// Directories that packages are looked for in.
const DIRECTORIES: usize = 64;

/// Frameworks of machine learning and what decides with them how a model comes out, by normalized name.
#[rustfmt::skip]
pub const FRAMEWORKS: [&str; 58] = [
    "accelerate", "apex", "autoawq", "auto-gptq", "axolotl", "bitsandbytes", "catboost",
    "composer", "cupy", "datasets", "deepspeed", "diffusers", "dm-haiku", "evaluate", "fairscale",
    "fairseq", "fastai", "flash-attn", "flax", "huggingface-hub", "jax", "jaxlib", "keras",
    "lightgbm", "lightning", "llamafactory", "megatron-core", "mlflow", "mlx", "mosaicml", "nemo-toolkit", "numpy", "onnx", "onnxruntime", "optax", "optimum", "paddlepaddle", "pandas",
    "peft", "pyarrow", "pytorch-lightning", "ray", "safetensors", "scikit-learn", "scipy",
    "sentence-transformers", "sentencepiece", "tensorflow", "timm", "tokenizers", "torch",
    "torchaudio", "torchvision", "transformers", "triton", "trl", "unsloth", "xgboost",
];

/// Which packages are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packages {
    /// None.
    None,
    /// [`FRAMEWORKS`].
    Frameworks,
    /// All that are installed. Private packages have names, too.
    All,
}

/// Where packages are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Python {
    /// Where [`discover_python`] finds them.
    Discover,
    /// In these directories (`site-packages`), the first of which wins.
    Directories(Vec<PathBuf>),
}

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Package {
    /// Its name, normalized as in PEP 503: `scikit-learn`.
    pub name: String,
    /// Its version: `2.3.1+cu121`.
    pub version: String,
}

/// The directories that the `python3` of these variables would look for packages in, in its order:
/// those of `VIRTUAL_ENV`, of `CONDA_PREFIX`, or of the first `python3` in `PATH`. Nothing is run.
#[must_use]
pub fn discover_python(variables: &BTreeMap<String, String>) -> Vec<PathBuf> {
    let absolute = |name: &str| {
        let path = PathBuf::from(variables.get(name).filter(|path| path.starts_with('/'))?);
        path.is_dir().then_some(path)
    };
    let mut found = Vec::new();
    for folder in variables.get("PYTHONPATH").map_or("", String::as_str).split(':') {
        if folder.starts_with('/') {
            found.push(PathBuf::from(folder));
        }
    }
    if let Some(prefix) = absolute("VIRTUAL_ENV").or_else(|| absolute("CONDA_PREFIX")) {
        below(&prefix, None, &mut found);
    } else if let Some(python) = find_program(Path::new("python3"), variables) {
        let prefix = |python: &Path| Some(python.parent()?.parent()?.to_owned());
        // A virtual environment's python3 is a link out of it; what is beside the link counts.
        let environment = prefix(&python).filter(|prefix| prefix.join("pyvenv.cfg").is_file());
        let real = python.canonicalize().unwrap_or(python);
        let version = real.file_name().and_then(OsStr::to_str).and_then(|name| {
            name.strip_prefix("python")
                .filter(|version| version.starts_with("3."))
                .map(str::to_owned)
        });
        if let Some(environment) = environment {
            below(&environment, None, &mut found);
        } else if let Some(prefix) = prefix(&real) {
            if let Some(home) = absolute("HOME") {
                below(&home.join(".local"), version.as_deref(), &mut found);
            }
            if prefix == Path::new("/usr") {
                below(Path::new("/usr/local"), version.as_deref(), &mut found);
            }
            below(&prefix, version.as_deref(), &mut found);
        }
    }
    found.truncate(DIRECTORIES);
    found
}

/// `lib/python3.X/site-packages` below a prefix, and Debian's `dist-packages`.
fn below(prefix: &Path, version: Option<&str>, found: &mut Vec<PathBuf>) {
    for library in ["lib", "lib64"] {
        let library = prefix.join(library);
        // On many systems the second is a link to the first.
        if library.is_symlink() {
            continue;
        }
        for name in read::names(&library) {
            let Some(this) = name.to_str().and_then(|name| name.strip_prefix("python")) else {
                continue;
            };
            let fits = match version {
                Some(version) => this == version || this == "3",
                None => this.starts_with('3'),
            };
            if fits {
                let packages =
                    ["site-packages", "dist-packages"].map(|p| library.join(&name).join(p));
                found.extend(packages.into_iter().filter(|path| path.is_dir()));
            }
        }
    }
}

pub(super) fn packages(sources: &Sources, cleaner: &Cleaner, notes: &mut Notes) -> Vec<Package> {
    if sources.packages == Packages::None {
        return Vec::new();
    }
    let directories = match &sources.python {
        Python::Discover => discover_python(&sources.variables),
        Python::Directories(directories) => directories.clone(),
    };
    if directories.is_empty() {
        notes.add(ABOUT, "no Python was found");
    }
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let mut unreadable = 0usize;
    for directory in directories.iter().take(DIRECTORIES) {
        for entry in read::names(directory) {
            let Some((stem, file)) = metadata(directory, &entry) else { continue };
            // The directory's name says which package it is; most need not be opened.
            if !wanted(sources.packages, &normalized(stem)) {
                continue;
            }
            let Some(package) = read::bytes(&file, METADATA_BYTES).and_then(|b| read_metadata(&b))
            else {
                unreadable += 1;
                continue;
            };
            if !wanted(sources.packages, &package.name) {
                continue;
            }
            if ![&package.name, &package.version].iter().all(|text| cleaner.is_harmless(text)) {
                notes.add(ABOUT, "a package was left out: its name or version holds a secret");
                continue;
            }
            if found.len() >= PACKAGES {
                notes.add(ABOUT, format!("there are more than {PACKAGES} packages"));
                break;
            }
            found.entry(package.name).or_insert(package.version);
        }
    }
    if unreadable > 0 {
        notes.add(ABOUT, format!("packages whose metadata cannot be read: {unreadable}"));
    }
    found.into_iter().map(|(name, version)| Package { name, version }).collect()
}

fn wanted(packages: Packages, name: &str) -> bool {
    match packages {
        Packages::None => false,
        Packages::Frameworks => FRAMEWORKS.contains(&name),
        Packages::All => true,
    }
}

/// `torch-2.3.1.dist-info` has its metadata in METADATA, `torch-2.3.1-py3.12.egg-info` in PKG-INFO
/// or is it.
fn metadata<'a>(directory: &Path, entry: &'a OsStr) -> Option<(&'a str, PathBuf)> {
    let name = entry.to_str()?;
    let path = directory.join(name);
    let (stem, file) = if let Some(stem) = name.strip_suffix(".dist-info") {
        (stem, path.join("METADATA"))
    } else {
        let stem = name.strip_suffix(".egg-info")?;
        (stem, if path.is_dir() { path.join("PKG-INFO") } else { path })
    };
    Some((stem.split('-').next()?, file))
}

/// Reads a name and a version from the headers of a package's metadata.
fn read_metadata(bytes: &[u8]) -> Option<Package> {
    let (mut name, mut version) = (None, None);
    for line in bytes.split(|&b| b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() || (name.is_some() && version.is_some()) {
            break; // the description follows
        }
        let Ok(line) = std::str::from_utf8(line) else { continue };
        match line.split_once(':') {
            Some(("Name", value)) if name.is_none() => name = Some(value.trim()),
            Some(("Version", value)) if version.is_none() => version = Some(value.trim()),
            _ => {}
        }
    }
    let (name, version) = (name?, version?);
    let is_name = name.len() <= 100
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    let is_version = (1..=64).contains(&version.len())
        && version.starts_with(|c: char| c.is_ascii_alphanumeric())
        && version.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+!".contains(&b));
    (is_name && is_version).then(|| Package { name: normalized(name), version: version.to_owned() })
}

/// PEP 503: lowercase, with one hyphen for each run of `-`, `_` and `.`.
fn normalized(name: &str) -> String {
    let mut normal = String::new();
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if normal.ends_with('-') => {}
            '-' | '_' | '.' => normal.push('-'),
            c => normal.push(c.to_ascii_lowercase()),
        }
    }
    normal
}
