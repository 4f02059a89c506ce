//! Where a model is made: the source, the pipeline, the machine and the frameworks.
//!
//! ```text
//!   Sources (variables, a root, programs) ─ gather ─► Environment { git, ci, os, hardware, container, python, notes }
//! ```
//!
//! All that is looked at is an argument: the variables, the directory that `/proc` and the like are
//! below, the programs. What cannot be found out is absent, with a [`Note`] that says why; nothing
//! here fails, hangs or panics, whatever lies in a file's place.
//!
//! **No secrets.** Variables are read by name, from lists in this module, never as a whole. Of an
//! address only scheme, host and path remain. What looks like a token, holds the value of a variable that is
//! named like a secret, or is not plain text is left out.
//!
//! What is gathered is what the machine says of itself. It helps those who ask how a model came to
//! be; that it is true is only as sure as the machine.

mod ci;
mod clean;
mod container;
mod git;
mod gpu;
mod machine;
mod packages;
mod program;
mod read;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use ci::Pipeline;
pub use container::Container;
pub use git::Git;
pub use gpu::{Accelerators, Gpu};
pub use machine::{Cpu, Hardware, OperatingSystem};
pub use packages::{FRAMEWORKS, Package, Packages, Python, discover_python};

use clean::Cleaner;

/// What is looked at.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The environment's variables. Those that are not UTF-8 are not here.
    pub variables: BTreeMap<String, String>,
    /// What `/proc`, `/sys`, `/etc` and the like are below: `/`.
    pub root: PathBuf,
    /// The directory of the training code.
    pub source_directory: Option<PathBuf>,
    /// Where Python's packages are.
    pub python: Python,
    /// Which packages are listed.
    pub packages: Packages,
    /// The program `git`: a path, or a name that is looked for in `PATH`.
    pub git: PathBuf,
    /// The program `nvidia-smi`, likewise.
    pub nvidia_smi: PathBuf,
    /// The container's image, if the caller knows it: `registry/name@sha256:…`.
    pub container_image: Option<String>,
    /// How long each program may take.
    pub patience: Duration,
}

impl Sources {
    /// This machine, with the variables of a process (`std::env::vars_os()`).
    #[must_use]
    pub fn machine(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let text = |(name, value): (OsString, OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            variables: variables.into_iter().filter_map(text).collect(),
            root: "/".into(),
            source_directory: None,
            python: Python::Discover,
            packages: Packages::Frameworks,
            git: "git".into(),
            nvidia_smi: "nvidia-smi".into(),
            container_image: None,
            patience: Duration::from_secs(20),
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Environment {
    /// The training code's commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<Git>,
    /// The pipelines and schedulers that this runs in, the outermost first as far as known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ci: Vec<Pipeline>,
    /// The operating system.
    pub os: OperatingSystem,
    /// Processors, memory and accelerators.
    pub hardware: Hardware,
    /// The container, if this is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// Python's packages, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<Package>,
    /// What could not be found out, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
}

/// Something that is missing or left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Note {
    /// What it is about: `git`, `ci`, `os`, `hardware`, `gpu`, `container` or `packages`.
    pub about: String,
    /// Why, in a sentence.
    pub text: String,
}

/// Notes that one result may have.
const NOTES: usize = 200;

/// Where notes are put.
struct Notes(Vec<Note>);

impl Notes {
    fn add(&mut self, about: &str, text: impl Into<String>) {
        let note = Note { about: about.into(), text: text.into() };
        if self.0.len() < NOTES && !self.0.contains(&note) {
            self.0.push(note);
        }
    }
}

/// Looks at everything.
#[must_use]
pub fn gather(sources: &Sources) -> Environment {
    let cleaner = Cleaner::new(&sources.variables);
    let mut notes = Notes(Vec::new());
    let git = git::git(sources, &cleaner, &mut notes);
    let ci = ci::pipelines(sources, &cleaner, &mut notes);
    let os = machine::operating_system(sources, &mut notes);
    let hardware = machine::hardware(sources, &mut notes);
    let container = container::container(sources, &cleaner, &mut notes);
    let packages = packages::packages(sources, &cleaner, &mut notes);
    Environment { git, ci, os, hardware, container, packages, notes: notes.0 }
}

/// Finds a program as a shell would.
fn find_program(name: &Path, variables: &BTreeMap<String, String>) -> Option<PathBuf> {
    let runs = |file: &Path| {
        file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
    };
    if name.components().count() != 1 {
        return Some(name.to_owned()).filter(|file| runs(file));
    }
    let path = variables.get("PATH").map_or("/usr/local/bin:/usr/bin:/bin", String::as_str);
    path.split(':')
        .filter(|folder| folder.starts_with('/'))
        .take(100)
        .map(|folder| Path::new(folder).join(name))
        .find(|file| runs(file))
}
