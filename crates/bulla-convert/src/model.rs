//! A model: its tensors, wherever they are, and the files beside them.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use bulla::model::{Found, Scope, Unusable};
use bulla::{Limits, ModelSource};

use crate::error::Error;
use crate::files::{Files, Reader};
use crate::header::{self, Header, HeaderError, LENGTH_BYTES, Tensor, parse_header};
use crate::index::{self, INDEX, WeightMap};
use crate::limits::{ALL_HEADERS_BYTES, INDEX_BYTES};

/// How the name of a file of tensors ends.
pub(crate) const SAFETENSORS: &str = ".safetensors";

/// A model with every header read and checked.
///
/// Its tensors are those of the `*.safetensors` files that lie in its directory itself; whatever else
/// there is, also in directories below, is a companion file. Only headers and the index are in memory.
#[derive(Debug)]
pub struct Model<'m> {
    pub(crate) files: Files<'m>,
    pub(crate) tensors: BTreeMap<String, Place>,
    /// Every value that a shard has for a key of its `__metadata__`.
    pub(crate) metadata: BTreeMap<String, BTreeSet<String>>,
    pub(crate) index: Option<WeightMap>,
    kinds: Vec<Kind>,
}

/// Where a tensor is.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) tensor: Tensor,
    /// The number of its file.
    pub(crate) file: usize,
    /// Its first byte in the file.
    pub(crate) offset: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Shard,
    Index,
    Companion,
}

impl Kind {
    /// Of a file in the model's directory itself.
    fn of(path: &str) -> Self {
        match path {
            path if path.ends_with(SAFETENSORS) => Self::Shard,
            path if path.ends_with(INDEX) => Self::Index,
            _ => Self::Companion,
        }
    }
}

impl<'m> Model<'m> {
    /// Opens a model: a directory with `*.safetensors` files, or one such file. Messages call it `place`.
    ///
    /// What is not in `scope` is passed over as if it were not there. Of a signed model it has to be what
    /// its signature covers, or two models are compared that nobody signed.
    ///
    /// # Errors
    /// An [`Error`] when something cannot be read, cannot be part of a model, or is not what the format
    /// allows. A model that opens is one that every reader understands in the same way.
    pub fn open(
        place: impl Into<PathBuf>,
        source: Box<dyn ModelSource + 'm>,
        scope: Scope<'m>,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let files = Files::list(place.into(), source, scope, limits)?;
        let mut kinds = Vec::with_capacity(files.all().len());
        for file in files.all() {
            kinds.push(match file.path.as_str().split_once('/') {
                _ if files.is_single() => Kind::Shard, // whatever it is called
                None => Kind::of(file.path.as_str()),
                Some((directory, _)) if directory.ends_with(SAFETENSORS) => {
                    let why = Unusable::Special { kind: "directory" };
                    return Err(Error::Unusable { path: files.full_path(directory), why });
                }
                Some(_) => Kind::Companion,
            });
        }
        if !kinds.contains(&Kind::Shard) {
            return Err(Error::NoSafetensors { path: files.place().into() });
        }
        let mut model =
            Self { files, kinds, tensors: BTreeMap::new(), metadata: BTreeMap::new(), index: None };
        model.read_headers()?;
        model.read_index()?;
        Ok(model)
    }

    /// The tensors, by name.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.tensors.values().map(|place| &place.tensor)
    }

    /// The names of the files that have the tensors.
    pub fn shards(&self) -> impl Iterator<Item = &str> {
        self.of_kind(Kind::Shard).map(|(_, file)| file.path.as_str())
    }

    /// The paths of the files beside the tensors, without the index of shards.
    pub fn companions(&self) -> impl Iterator<Item = &str> {
        self.companion_files().map(|(_, file)| file.path.as_str())
    }

    /// With their numbers.
    pub(crate) fn companion_files(&self) -> impl Iterator<Item = (usize, &Found)> {
        self.of_kind(Kind::Companion)
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (usize, &Found)> {
        let files = self.files.all().iter().enumerate();
        files.zip(&self.kinds).filter(move |(_, k)| **k == kind).map(|(file, _)| file)
    }

    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader::new(&self.files)
    }

    /// The name of a tensor's file.
    pub(crate) fn file_of(&self, place: &Place) -> &str {
        self.files.all().get(place.file).map_or("", |file| file.path.as_str())
    }

    fn read_headers(&mut self) -> Result<(), Error> {
        let mut reader = Reader::new(&self.files);
        let mut all_bytes = 0;
        let files = self.files.all().iter().enumerate().zip(&self.kinds);
        for ((number, file), _) in files.filter(|(_, kind)| **kind == Kind::Shard) {
            let header = read_header(&self.files, &mut reader, number, file, &mut all_bytes)?;
            for (key, value) in header.metadata {
                self.metadata.entry(key).or_default().insert(value);
            }
            for tensor in header.tensors {
                let offset = header.data_start + tensor.begin;
                match self.tensors.entry(tensor.name.clone()) {
                    Entry::Vacant(entry) => entry.insert(Place { tensor, file: number, offset }),
                    Entry::Occupied(entry) => {
                        let name = |file: &Found| file.path.as_str().to_owned();
                        let first = self.files.all().get(entry.get().file);
                        return Err(Error::TensorTwice {
                            tensor: tensor.name,
                            first: first.map(name).unwrap_or_default(),
                            second: name(file),
                        });
                    }
                };
            }
        }
        reader.finish()
    }

    fn read_index(&mut self) -> Result<(), Error> {
        let indexes: Vec<_> = self.of_kind(Kind::Index).collect();
        let (number, file) = match *indexes.as_slice() {
            [] => return Ok(()),
            [one] => one,
            [(_, first), (_, second), ..] => {
                let [first, second] = [first, second].map(|file| file.path.as_str().to_owned());
                return Err(Error::TwoIndexes { first, second });
            }
        };
        let bad = |why| Error::Index { path: self.files.full_path(file.path.as_str()), why };
        let size = file.identity.size;
        if size > INDEX_BYTES {
            let why = format!("it has {size} bytes, and at most {INDEX_BYTES} are read");
            return Err(bad(why));
        }
        let mut reader = self.reader();
        let text = reader.read_all(number)?;
        reader.finish()?;
        self.index = Some(index::parse(&text).map_err(bad)?);
        Ok(())
    }
}

/// Reads one header, and counts its bytes with those of the others.
fn read_header(
    files: &Files<'_>,
    reader: &mut Reader<'_>,
    number: usize,
    file: &Found,
    all_bytes: &mut u64,
) -> Result<Header, Error> {
    let bad = |why| Error::Header { path: files.full_path(file.path.as_str()), why };
    let size = file.identity.size;
    let mut start = vec![0; LENGTH_BYTES];
    if size < LENGTH_BYTES as u64 {
        return Err(bad(HeaderError::TooShort { size }));
    }
    reader.read(number, 0, &mut start)?;
    let length = header::header_length(&start, size).map_err(bad)?;
    *all_bytes += length;
    if *all_bytes > ALL_HEADERS_BYTES {
        let path = files.place().into();
        return Err(Error::HeadersTooLarge { path, limit: ALL_HEADERS_BYTES });
    }
    start.resize(LENGTH_BYTES + usize::try_from(length).unwrap_or_default(), 0);
    if let Some(text) = start.get_mut(LENGTH_BYTES..) {
        reader.read(number, LENGTH_BYTES as u64, text)?;
    }
    parse_header(&start, size).map_err(bad)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use bulla::{LocalModel, Recipe};
    use std::path::Path;

    /// A model on this machine, without what is usually left out.
    pub(crate) fn open(path: &Path) -> Model<'static> {
        let source = Box::new(LocalModel::open(path).unwrap());
        let scope = Scope::to_sign(&Recipe::default());
        Model::open(path, source, scope, &Limits::default()).unwrap()
    }
}
