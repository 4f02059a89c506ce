//! Writing what a conversion makes of a model.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bulla::Fault;
use bulla::model::Found;
use serde::Serialize;

use crate::config::{self, CONFIG};
use crate::conversion::Conversion;
use crate::error::Error;
use crate::files::Reader;
use crate::header::{self, Tensor};
use crate::index::{self, INDEX, WeightMap};
use crate::limits::{CHUNK_BYTES, CONFIG_BYTES, TEMPORARY_NAMES};
use crate::model::{Model, Place, SAFETENSORS};
use crate::stream::{Stream, converted_bytes};

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Converted {
    /// Tensors.
    pub tensors: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Files that they are in.
    pub shards: u64,
    /// Finite numbers that became infinite, because the smaller type cannot hold them: PyTorch does the same,
    /// without saying so.
    pub overflowed: u64,
}

/// Converts a model into a new directory. [`check`](crate::check()) finds the two equal.
///
/// The bytes depend on nothing but the parent, the conversion and `max_shard_size`:
///
/// * Tensors are shared out in the order of their names (as bytes); a new shard begins where the next tensor
///   would make one larger than `max_shard_size` bytes of tensors. A larger tensor has a shard of its own.
///   Without a size, there is one shard.
/// * Shards are called as Hugging Face's libraries do, `model.safetensors` or
///   `model-00001-of-00003.safetensors` with `model.safetensors.index.json`; the parent's word is kept if it
///   is another than `model`.
/// * In a shard, the tensors of the type with the greatest alignment come first (see [`Dtype`](crate::Dtype)),
///   then by name: the order of the safetensors library, whose bytes these are. Each shard has the parent's
///   `__metadata__`, by key.
/// * Other files are copied. In `config.json`, `torch_dtype` and `dtype` follow the tensors if they name
///   the type that is converted.
///
/// All is written to a directory beside `destination`, called `.NAME.0.tmp` or so, and renamed when it is
/// complete and on the disk.
///
/// # Errors
/// An [`Error`], and then nothing is left behind: if there is something at `destination`, if the disk is
/// full, if the parent cannot be read or changes, if its shards are not one model's, or if one shard has more
/// tensors than a header can list.
pub fn convert(
    parent: &Model<'_>,
    destination: &Path,
    conversion: Conversion,
    max_shard_size: Option<u64>,
) -> Result<Converted, Error> {
    let plan = Plan::new(parent, conversion, max_shard_size)?;
    let target = Target::create(destination)?;
    let mut stream = Stream::new(parent, conversion);
    for shard in &plan.shards {
        let path = target.path(&shard.name)?;
        write_shard(shard, &plan.metadata, &mut stream, &path)?;
    }
    if let Some((name, index)) = plan.index(&target)? {
        write_file(&target.path(&name)?, |file| Ok(file.write_all(&index)))?;
    }
    for (number, file) in parent.companion_files() {
        copy(&mut stream.reader, number, file, &target.path(file.path.as_str())?, conversion)?;
    }
    let converted = plan.converted(stream.overflowed);
    target.finish(&mut stream.reader)?;
    Ok(converted)
}

/// Which tensors go where.
struct Plan<'a> {
    /// What the names of the files begin with: `model`.
    stem: String,
    metadata: BTreeMap<String, String>,
    shards: Vec<Shard<'a>>,
}

#[derive(Default)]
struct Shard<'a> {
    name: String,
    /// In the order of their bytes, each as it will be and as it is.
    tensors: Vec<(Tensor, &'a Place)>,
    bytes: u64,
}

impl<'a> Plan<'a> {
    fn new(model: &'a Model<'_>, conversion: Conversion, most: Option<u64>) -> Result<Self, Error> {
        let stem = stem(model)?.to_owned();
        let metadata = metadata(model)?;
        let mut shards = vec![Shard::default()];
        for place in model.tensors.values() {
            let bytes = converted_bytes(&place.tensor, conversion);
            let tensor = Tensor {
                dtype: conversion.apply(place.tensor.dtype),
                begin: 0,
                end: bytes,
                ..place.tensor.clone()
            };
            let fits = |shard: &Shard<'_>| {
                shard
                    .bytes
                    .checked_add(bytes)
                    .is_some_and(|sum| most.is_none_or(|most| sum <= most))
            };
            match shards.last_mut().filter(|shard| shard.tensors.is_empty() || fits(shard)) {
                Some(shard) => shard.push(tensor, place),
                None => {
                    let mut shard = Shard::default();
                    shard.push(tensor, place);
                    shards.push(shard);
                }
            }
        }
        let count = shards.len();
        for (number, shard) in (1..).zip(&mut shards) {
            shard.name = match count {
                1 => format!("{stem}{SAFETENSORS}"),
                _ => format!("{stem}-{number:05}-of-{count:05}{SAFETENSORS}"),
            };
            shard.place();
        }
        Ok(Self { stem, metadata, shards })
    }

    /// The index and its name, if there are several shards.
    fn index(&self, target: &Target) -> Result<Option<(String, Vec<u8>)>, Error> {
        if self.shards.len() < 2 {
            return Ok(None);
        }
        let mut map = WeightMap::new();
        for shard in &self.shards {
            for (tensor, _) in &shard.tensors {
                map.insert(tensor.name.clone(), shard.name.clone());
            }
        }
        let total = self.shards.iter().map(|shard| shard.bytes).sum();
        let name = format!("{}{INDEX}", self.stem);
        match index::encode(&map, total) {
            Ok(text) => Ok(Some((name, text))),
            Err(why) => Err(Error::Index { path: target.destination.join(name), why }),
        }
    }

    fn converted(&self, overflowed: u64) -> Converted {
        Converted {
            tensors: self.shards.iter().map(|shard| shard.tensors.len() as u64).sum(),
            bytes: self.shards.iter().map(|shard| shard.bytes).sum(),
            shards: self.shards.len() as u64,
            overflowed,
        }
    }
}

impl<'a> Shard<'a> {
    fn push(&mut self, tensor: Tensor, place: &'a Place) {
        self.bytes += tensor.bytes();
        self.tensors.push((tensor, place));
    }

    /// Gives each tensor its place in the file.
    fn place(&mut self) {
        self.tensors
            .sort_by(|(a, _), (b, _)| b.dtype.cmp(&a.dtype).then_with(|| a.name.cmp(&b.name)));
        let mut position = 0;
        for (tensor, _) in &mut self.tensors {
            (tensor.begin, tensor.end) = (position, position + tensor.end);
            position = tensor.end;
        }
    }
}

/// What the names of a model's shards begin with, which has to be the same for all.
fn stem<'a>(model: &'a Model<'_>) -> Result<&'a str, Error> {
    let mut shards = model.shards();
    let Some(first) = shards.next() else { return Ok("model") };
    match shards.find(|other| stem_of(other) != stem_of(first)) {
        None => Ok(stem_of(first)),
        Some(second) => {
            Err(Error::SeveralModels { first: first.to_owned(), second: second.to_owned() })
        }
    }
}

/// `model` of `model.safetensors` and of `model-00001-of-00003.safetensors`.
fn stem_of(name: &str) -> &str {
    let name = name.strip_suffix(SAFETENSORS).unwrap_or(name);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let numbered = name.rsplit_once("-of-").filter(|(_, count)| digits(count));
    let stem = numbered.and_then(|(rest, _)| rest.rsplit_once('-'));
    stem.filter(|(_, number)| digits(number)).map_or(name, |(stem, _)| stem)
}

/// One value a key.
fn metadata(model: &Model<'_>) -> Result<BTreeMap<String, String>, Error> {
    let mut metadata = BTreeMap::new();
    for (key, values) in &model.metadata {
        let mut values = values.iter();
        if let Some(value) = values.next() {
            metadata.insert(key.clone(), value.clone());
        }
        if values.next().is_some() {
            return Err(Error::MetadataConflict { key: key.clone() });
        }
    }
    Ok(metadata)
}

fn write_shard(
    shard: &Shard<'_>,
    metadata: &BTreeMap<String, String>,
    stream: &mut Stream<'_>,
    path: &Path,
) -> Result<(), Error> {
    let tensors: Vec<Tensor> = shard.tensors.iter().map(|(tensor, _)| tensor.clone()).collect();
    let header = header::encode(metadata, &tensors);
    let header = header.map_err(|_| Error::ShardTooLarge { shard: shard.name.clone() })?;
    write_file(path, |file| {
        if let Err(e) = file.write_all(&header) {
            return Ok(Err(e));
        }
        let mut written = Ok(());
        for (_, place) in &shard.tensors {
            stream.each(place, |_, bytes| {
                written = file.write_all(bytes);
                Ok(if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })?;
            if written.is_err() {
                break;
            }
        }
        Ok(written)
    })
}

fn copy(
    reader: &mut Reader<'_>,
    number: usize,
    file: &Found,
    to: &Path,
    conversion: Conversion,
) -> Result<(), Error> {
    let size = file.identity.size;
    let names = conversion.dtypes().and_then(|(from, to)| from.torch_name().zip(to.torch_name()));
    if let Some((from, into)) =
        names.filter(|_| file.path.as_str() == CONFIG && size <= CONFIG_BYTES)
    {
        let text = reader.read_all(number)?;
        let text = config::converted(&text, from, into).unwrap_or(text);
        return write_file(to, |file| Ok(file.write_all(&text)));
    }
    write_file(to, |output| {
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut done = 0;
        reader.read(number, 0, &mut [])?; // so that one without any bytes is looked at as well
        while done < size {
            let bytes = usize::try_from(size - done).unwrap_or(usize::MAX).min(buffer.len());
            let Some(piece) = buffer.get_mut(..bytes) else { break };
            reader.read(number, done, piece)?;
            if let Err(e) = output.write_all(piece) {
                return Ok(Err(e));
            }
            done += bytes as u64;
        }
        Ok(Ok(()))
    })
}

/// Writes a new file, to the disk. `fill` tells what failed apart: reading and writing.
fn write_file(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> Result<io::Result<()>, Error>,
) -> Result<(), Error> {
    let error = |e: io::Error| Error::from(Fault::io("write", path, e));
    let mut file = BufWriter::with_capacity(CHUNK_BYTES, File::create_new(path).map_err(error)?);
    fill(&mut file)?.map_err(error)?;
    let file = file.into_inner().map_err(|e| error(e.into_error()))?;
    file.sync_all().map_err(error)
}

/// A directory that becomes the destination, or disappears.
struct Target {
    destination: PathBuf,
    temporary: PathBuf,
    is_finished: bool,
}

impl Target {
    fn create(destination: &Path) -> Result<Self, Error> {
        let error = |e: io::Error| Error::from(Fault::io("create", destination, e));
        match destination.symlink_metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(error(e)),
            Ok(_) => return Err(Error::Exists { path: destination.into() }),
        }
        let name = destination
            .file_name()
            .ok_or_else(|| error(io::ErrorKind::InvalidInput.into()))?
            .to_owned();
        for number in 0..TEMPORARY_NAMES {
            let mut temporary = std::ffi::OsString::from(".");
            temporary.push(&name);
            temporary.push(format!(".{number}.tmp"));
            let temporary = destination.with_file_name(temporary);
            // Fails for whatever is there, links too: nobody can have prepared it.
            match fs::create_dir(&temporary) {
                Ok(()) => {
                    let destination = destination.into();
                    return Ok(Self { destination, temporary, is_finished: false });
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(error(e)),
            }
        }
        Err(error(io::Error::other("there are too many unfinished directories beside it")))
    }

    /// Where a file of the model goes; its directory is there then.
    fn path(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.temporary.join(name);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)
                .map_err(|e| Error::from(Fault::io("create", directory, e)))?;
        }
        Ok(path)
    }

    /// Only a model that was made of files that did not change gets its name.
    fn finish(mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        reader.finish()?;
        sync_directories(&self.temporary)?;
        rename(&self.temporary, &self.destination).map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => {
                Error::Exists { path: self.destination.clone() }
            }
            _ => Error::from(Fault::io("create", &self.destination, e)),
        })?;
        self.is_finished = true;
        // Its name, too, should survive a power cut. Not every file system can do this.
        if let Some(Ok(parent)) = self.destination.parent().map(File::open) {
            let _ = parent.sync_all();
        }
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = fs::remove_dir_all(&self.temporary);
        }
    }
}

/// Brings the names of all files to the disk.
fn sync_directories(directory: &Path) -> Result<(), Error> {
    let error = |e: io::Error| Error::from(Fault::io("write", directory, e));
    for entry in fs::read_dir(directory).map_err(error)? {
        let entry = entry.map_err(error)?;
        if entry.file_type().map_err(error)?.is_dir() {
            sync_directories(&entry.path())?;
        }
    }
    let _ = File::open(directory).map_err(error)?.sync_all();
    Ok(())
}

/// A rename that replaces nothing.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // A file system that cannot promise this.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            done => return done.map_err(Into::into),
        }
    }
    // A directory replaces at most an empty one, and nothing that was there when this was begun.
    if to.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::rename(from, to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;

    #[test]
    fn names_without_their_numbers() {
        for (name, stem) in [
            ("model.safetensors", "model"),
            ("model-00001-of-00002.safetensors", "model"),
            ("model-00001-of-000163.safetensors", "model"),
            ("a-1-of-2-3-of-4.safetensors", "a-1-of-2"),
            ("best-of-3.safetensors", "best-of-3"),
            ("model--of-3.safetensors", "model--of-3"),
            ("model-1-of-x.safetensors", "model-1-of-x"),
            ("x.bin", "x.bin"),
        ] {
            assert_eq!(stem_of(name), stem, "{name}");
        }
    }

    #[test]
    fn a_parent_that_changes_after_it_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let (parent, child) = (folder.path().join("parent"), folder.path().join("child"));
        fs::write(&parent, b"\x08\0\0\0\0\0\0\0{}      ").unwrap();
        let model = model::tests::open(&parent);
        let mut reader = model.reader();
        reader.read(0, 0, &mut [0; 16]).unwrap();
        let target = Target::create(&child).unwrap();
        File::options().write(true).open(&parent).unwrap().set_len(17).unwrap();
        assert!(matches!(target.finish(&mut reader), Err(Error::Fault(Fault::Changed { .. }))));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn somebody_is_faster() {
        let folder = tempfile::tempdir().unwrap();
        let (parent, child) = (folder.path().join("parent"), folder.path().join("child"));
        fs::write(&parent, b"\x08\0\0\0\0\0\0\0{}      ").unwrap();
        let model = model::tests::open(&parent);
        let target = Target::create(&child).unwrap();
        fs::create_dir(&child).unwrap();
        assert!(matches!(target.finish(&mut model.reader()), Err(Error::Exists { .. })));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
