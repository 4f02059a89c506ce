//! Models in local folders, and files beside them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::evidence::{Files, Held, Stored};
use crate::claims::claims_paths;
use crate::error::Fault;
use crate::limits::LINEAGE_PLACES;
use crate::model::{CLAIMS_NAME, GIT_PATHS, ModelPath, SIGNATURE_NAME};

impl Held {
    /// A model on this machine's disk, with its signature and its claims, in their usual places. What is not there is not there:
    /// a folder that holds nothing else is a signature without a model.
    ///
    /// # Errors
    /// [`Fault::Io`] when something is there and cannot be read.
    pub fn local(path: &Path) -> Result<Self, Fault> {
        Ok(Self::at(path, has_files(path)?))
    }

    fn at(path: &Path, has_files: bool) -> Self {
        let is_directory = path.is_dir();
        let signature = if is_directory { path.join(SIGNATURE_NAME) } else { with(path, ".sig") };
        // `.` has a name, too.
        let real = path.canonicalize();
        let named = path.file_name().or_else(|| real.as_ref().ok()?.file_name());
        Self {
            place: path.display().to_string(),
            name: named.unwrap_or_default().to_string_lossy().into_owned(),
            files: match has_files {
                true => Files::Local(path.to_owned()),
                false => Files::None,
            },
            signature: Stored::Local(signature),
            signature_path: is_directory.then(|| ModelPath::parse(SIGNATURE_NAME).ok()).flatten(),
            claims: claims_paths(path).into_iter().map(Stored::Local).collect(),
        }
    }

    /// A model, and everything in these folders, each thing once: what [`walk`](super::walk) takes.
    ///
    /// # Errors
    /// [`Fault::Io`] when the model or one of the folders cannot be read, [`Fault::TooMany`] when there is too much.
    pub fn around(model: &Path, folders: &[PathBuf]) -> Result<Vec<Self>, Fault> {
        let mut seen = BTreeSet::from_iter(model.canonicalize());
        let mut all = vec![Self::local(model)?];
        for folder in folders {
            let paths = paths_in(folder)?;
            // One that has claims and no files has no place of its own.
            let new = |path: &PathBuf| seen.insert(path.canonicalize().unwrap_or(path.clone()));
            let paths: Vec<PathBuf> = paths.into_iter().filter(new).collect();
            // What cannot be read is told when it is looked at: it is one neighbour less.
            all.extend(paths.iter().map(|path| Self::at(path, has_files(path).unwrap_or(true))));
        }
        Ok(all)
    }
}

/// Everything in a folder that may be a model: directories, and files; but no hidden ones, and none of the files that belong to
/// another. The folder itself, too, if it is signed.
fn paths_in(folder: &Path) -> Result<Vec<PathBuf>, Fault> {
    let fault = |e| Fault::io("read", folder, e);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let kind = entry.file_type().map_err(fault)?;
        // `insurance-claims.jsonl` is data.
        let claims = name == CLAIMS_NAME || name.ends_with(&format!(".{CLAIMS_NAME}"));
        let belongs = name.ends_with(".sig") || claims;
        // A signature or claims without the file that they are about.
        let alone = name.strip_suffix(".sig").or(name.strip_suffix(&format!(".{CLAIMS_NAME}")));
        if let Some(alone) = alone.filter(|alone| !alone.is_empty()) {
            let path = folder.join(alone);
            if kind.is_file() && path.symlink_metadata().is_err() {
                paths.push(path);
            }
        }
        if !name.starts_with('.') && !belongs && (kind.is_dir() || kind.is_file()) {
            paths.push(entry.path());
        }
        if paths.len() > LINEAGE_PLACES {
            return Err(Fault::TooMany {
                what: "files and folders beside one another where ancestors are looked for",
                limit: LINEAGE_PLACES,
            });
        }
    }
    if folder.join(SIGNATURE_NAME).is_file() {
        paths.push(folder.to_owned());
    }
    paths.sort();
    paths.dedup();
    Ok(paths)
}

/// Whether a model's own files are there.
fn has_files(path: &Path) -> Result<bool, Fault> {
    let fault = |e| Fault::io("read", path, e);
    if !path.is_dir() {
        return Ok(path.symlink_metadata().is_ok());
    }
    for entry in fs::read_dir(path).map_err(fault)? {
        let name = entry.map_err(fault)?.file_name();
        let name = name.to_string_lossy();
        if name != SIGNATURE_NAME && name != CLAIMS_NAME && !GIT_PATHS.contains(&&*name) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
