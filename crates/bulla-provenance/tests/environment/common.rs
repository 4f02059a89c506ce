//! A made-up machine.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use bulla_provenance::environment::{Environment, Python, Sources, gather};

/// A machine of which nothing is known, with the programs of this one in its `PATH`.
pub(crate) struct Machine {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) sources: Sources,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut sources = Sources::machine(Vec::<(OsString, OsString)>::new());
        sources.root = folder.path().join("root");
        std::fs::create_dir(&sources.root).unwrap();
        sources.python = Python::Directories(Vec::new());
        sources.nvidia_smi = folder.path().join("no-nvidia-smi");
        sources.variables = variables(&[
            ("PATH", &std::env::var("PATH").unwrap()),
            ("HOME", folder.path().to_str().unwrap()),
            ("GIT_CONFIG_NOSYSTEM", "1"),
        ]);
        Self { folder, sources }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// A file below the root.
    pub(crate) fn file(&self, path: &str, text: impl AsRef<[u8]>) {
        write(&self.sources.root.join(path), text);
    }

    pub(crate) fn set(&mut self, given: &[(&str, &str)]) -> &mut Self {
        self.sources.variables.extend(variables(given));
        self
    }

    pub(crate) fn gather(&self) -> Environment {
        gather(&self.sources)
    }

    /// Why something is missing.
    pub(crate) fn notes(&self, about: &str) -> String {
        let notes = self.gather().notes;
        let texts = notes.into_iter().filter(|note| note.about == about).map(|note| note.text);
        texts.collect::<Vec<_>>().join("; ")
    }

    pub(crate) fn program(&self, name: &str, script: &str) -> PathBuf {
        let (text, path) = (self.path(&format!("{name}.text")), self.path(name));
        write(&text, format!("#!/bin/sh\n{script}\n"));
        // Copied by another process: what this one has open for writing, the children of other tests have open
        // for a moment, too, and nobody can run it then.
        let copied = Command::new("install").args(["-m", "755"]).args([&text, &path]).status();
        assert!(copied.unwrap().success());
        path
    }
}

pub(crate) fn write(path: &Path, text: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

pub(crate) fn variables(given: &[(&str, &str)]) -> BTreeMap<String, String> {
    given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn fifo(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
}
