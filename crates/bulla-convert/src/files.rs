//! The files of a model, as they were listed, and reading them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use bulla::model::{Found, Irregular, Layout, Listing, ModelFile, Scope};
use bulla::{Fault, Limits, ModelSource};

use crate::error::Error;
use crate::limits::OPEN_FILES;

/// A model that was listed.
#[derive(Debug)]
pub(crate) struct Files<'m> {
    place: PathBuf,
    source: Box<dyn ModelSource + 'm>,
    scope: Scope<'m>,
    limits: Limits,
    listing: Listing,
}

impl<'m> Files<'m> {
    /// Lists a model. What cannot be part of one is an error.
    pub(crate) fn list(
        place: PathBuf,
        source: Box<dyn ModelSource + 'm>,
        scope: Scope<'m>,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let listing = Listing::default();
        let mut files = Self { place, source, scope, limits: limits.clone(), listing };
        files.listing = files.look()?;
        match files.listing.irregular.first() {
            None => Ok(files),
            Some(Irregular { name, why }) => {
                Err(Error::Unusable { path: files.full_path(name), why: why.clone() })
            }
        }
    }

    fn look(&self) -> Result<Listing, Error> {
        self.source.list(&self.scope, &self.limits).map_err(|fault| self.fault(fault))
    }

    /// Looks whether what is there now is what was listed.
    pub(crate) fn check_unchanged(&self) -> Result<(), Error> {
        self.listing.same_as(&self.look()?).map_err(|fault| self.fault(fault))
    }

    /// Whether the model is one file.
    pub(crate) fn is_single(&self) -> bool {
        self.source.layout() == Layout::SingleFile
    }

    /// Where the model is.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// All of them, by path.
    pub(crate) fn all(&self) -> &[Found] {
        &self.listing.files
    }

    /// Where a file is.
    pub(crate) fn full_path(&self, name: impl AsRef<Path>) -> PathBuf {
        if self.is_single() { self.place.clone() } else { self.place.join(name) }
    }

    /// A fault that says where a file is, and not only what it is called in its model: there are two models.
    fn fault(&self, fault: Fault) -> Error {
        let full = |path: String| self.full_path(path).to_string_lossy().into_owned();
        Error::Fault(match fault {
            Fault::Io { doing, path, source } => Fault::io(doing, &self.full_path(path), source),
            Fault::Changed { path } => Fault::Changed { path: full(path) },
            Fault::TooDeep { path, limit } => Fault::TooDeep { path: full(path), limit },
            other => other,
        })
    }

    fn changed(&self, found: &Found) -> Error {
        self.fault(Fault::Changed { path: found.path.as_str().to_owned() })
    }

    fn unreadable(&self, found: &Found, error: io::Error) -> Error {
        self.fault(Fault::io("read", Path::new(found.path.as_str()), error))
    }

    fn open(&self, found: &Found) -> Result<Box<dyn ModelFile>, Error> {
        let file = self.source.open(found).map_err(|fault| self.fault(fault))?;
        self.check_identity(&*file, found)?;
        Ok(file)
    }

    /// Nothing may differ from what was listed, not even where the bytes are: a file that was replaced at
    /// once can have the times of the one before.
    fn check_identity(&self, file: &dyn ModelFile, found: &Found) -> Result<(), Error> {
        let now = file.identity().map_err(|e| self.unreadable(found, e))?;
        if now == found.identity { Ok(()) } else { Err(self.changed(found)) }
    }
}

/// Reads files of one model, and has only some of them open at once.
pub(crate) struct Reader<'a> {
    files: &'a Files<'a>,
    open: BTreeMap<usize, Box<dyn ModelFile>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(files: &'a Files<'a>) -> Self {
        Self { files, open: BTreeMap::new() }
    }

    /// Fills a buffer from file number `file`, from a byte on.
    pub(crate) fn read(&mut self, file: usize, offset: u64, to: &mut [u8]) -> Result<(), Error> {
        let Some(found) = self.files.all().get(file) else { return Ok(()) };
        if !self.open.contains_key(&file) {
            if self.open.len() >= OPEN_FILES {
                self.finish()?;
            }
            self.open.insert(file, self.files.open(found)?);
        }
        let Some(open) = self.open.get(&file) else { return Ok(()) };
        open.read_exact_at(to, offset).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => self.files.changed(found),
            _ => self.files.unreadable(found, e),
        })
    }

    /// All of a file, which the caller knows to be small.
    pub(crate) fn read_all(&mut self, file: usize) -> Result<Vec<u8>, Error> {
        let size = self.files.all().get(file).map_or(0, |found| found.identity.size);
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        self.read(file, 0, &mut bytes)?;
        Ok(bytes)
    }

    /// Closes what is open. Nothing of it may have changed since it was listed.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        for (file, open) in std::mem::take(&mut self.open) {
            if let Some(found) = self.files.all().get(file) {
                self.files.check_identity(&*open, found)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bulla::{LocalModel, Recipe};
    use std::fs::File;

    fn list(path: &Path) -> Files<'static> {
        let source = Box::new(LocalModel::open(path).unwrap());
        let scope = Scope::to_sign(&Recipe::default());
        Files::list(path.into(), source, scope, &Limits::default()).unwrap()
    }

    #[test]
    fn a_file_cut_short_between_two_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, [1; 100]).unwrap();
        let files = list(folder.path());
        let mut reader = Reader::new(&files);
        reader.read(0, 0, &mut [0; 50]).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(60).unwrap();
        let changed = |result| matches!(result, Err(Error::Fault(Fault::Changed { .. })));
        assert!(changed(reader.read(0, 50, &mut [0; 50])));
        assert!(changed(reader.finish()));
        assert!(changed(files.check_unchanged()));
    }

    #[test]
    fn more_files_than_are_open_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..=OPEN_FILES {
            std::fs::write(folder.path().join(format!("{n:03}")), n.to_string()).unwrap();
        }
        let files = list(folder.path());
        let mut reader = Reader::new(&files);
        for _ in 0..2 {
            for n in 0..=OPEN_FILES {
                assert_eq!(reader.read_all(n).unwrap(), n.to_string().as_bytes());
                assert!(reader.open.len() <= OPEN_FILES);
            }
        }
    }
}
