//! The files of a model on the local disk, walked and opened by descriptor.
//!
//! Every step is taken relative to an open directory and follows no link, so whoever can write into the
//! model cannot lead the reader out of it. A file is the one that was listed or it is an error.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};

use crate::error::Error;
use crate::limits::{DEPTH, ENTRIES, OPEN_FILES};

/// Whether a path, relative to the model and with `/` between directories, is passed over.
pub(crate) type Ignore<'a> = &'a dyn Fn(&str) -> bool;

/// Where a model is.
#[derive(Debug)]
pub(crate) struct Source {
    path: PathBuf,
    root: Root,
}

#[derive(Debug)]
enum Root {
    Directory(OwnedFd),
    File(File),
}

/// A regular file that a walk met.
#[derive(Debug)]
pub(crate) struct Found {
    /// Relative to the model, with `/` between directories.
    pub(crate) path: String,
    /// Bytes in it.
    pub(crate) size: u64,
    identity: [u64; 6],
}

impl Found {
    fn new(path: String, stat: &Stat) -> Self {
        Self { path, size: stat.st_size as u64, identity: identity(stat) }
    }
}

/// What changes when a file is replaced or written to. The casts are for other systems' types.
#[allow(clippy::unnecessary_cast)]
fn identity(stat: &Stat) -> [u64; 6] {
    [
        stat.st_dev as u64,
        stat.st_ino as u64,
        stat.st_mtime as u64,
        stat.st_mtime_nsec as u64,
        stat.st_ctime as u64,
        stat.st_ctime_nsec as u64,
    ]
}

const READ: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

impl Source {
    /// Opens a model and lists its files, by path. The path itself may be a link.
    pub(crate) fn open(path: &Path, ignore: Ignore<'_>) -> Result<(Self, Vec<Found>), Error> {
        let error = |e: rustix::io::Errno| Error::io("open", path, e);
        // Looked at before it is opened: opening a device can have effects of its own.
        let kind = rustix::fs::statat(CWD, path, AtFlags::empty()).map_err(error)?.st_mode;
        match FileType::from_raw_mode(kind) {
            FileType::Directory => {
                let flags = READ | OFlags::DIRECTORY;
                let root = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(error)?;
                let mut walk = Walk { path, ignore, entries: 0, found: Vec::new() };
                walk.directory(root.as_fd(), "", 0)?;
                let mut found = walk.found;
                found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
                Ok((Self { path: path.into(), root: Root::Directory(root) }, found))
            }
            FileType::RegularFile => {
                let file = rustix::fs::openat(CWD, path, READ, Mode::empty()).map_err(error)?;
                let stat = rustix::fs::fstat(&file).map_err(error)?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                    return Err(Error::Changed { path: path.into() });
                }
                let name = path.file_name().unwrap_or_default();
                let name = name
                    .to_str()
                    .ok_or_else(|| Error::NameNotUtf8 { path: path.into() })?
                    .to_owned();
                let root = Root::File(file.into());
                Ok((Self { path: path.into(), root }, vec![Found::new(name, &stat)]))
            }
            other => Err(Error::NotAModel { path: path.into(), found: kind_name(other) }),
        }
    }

    /// Whether the model is one file.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self.root, Root::File(_))
    }

    /// What was given.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A file's path for a message.
    pub(crate) fn full_path(&self, file: &Found) -> PathBuf {
        match self.root {
            Root::Directory(_) => self.path.join(&file.path),
            Root::File(_) => self.path.clone(),
        }
    }

    fn open_file(&self, found: &Found) -> Result<File, Error> {
        let error = |e: io::Error| Error::io("open", &self.full_path(found), e);
        let file = match &self.root {
            Root::Directory(root) => {
                let opened = open_beneath(root.as_fd(), &found.path);
                File::from(opened.map_err(|e| error(e.into()))?)
            }
            Root::File(file) => file.try_clone().map_err(error)?,
        };
        self.check_identity(&file, found)?;
        Ok(file)
    }

    fn check_identity(&self, file: &File, found: &Found) -> Result<(), Error> {
        let path = self.full_path(found);
        let stat = rustix::fs::fstat(file).map_err(|e| Error::io("read", &path, e))?;
        if (stat.st_size as u64, identity(&stat)) != (found.size, found.identity) {
            return Err(Error::Changed { path });
        }
        Ok(())
    }
}

/// Opens a file below a directory, following no link at any step.
fn open_beneath(root: BorrowedFd<'_>, path: &str) -> rustix::io::Result<OwnedFd> {
    let flags = READ | OFlags::NOFOLLOW;
    let mut directory: Option<OwnedFd> = None;
    let mut rest = path;
    while let Some((first, after)) = rest.split_once('/') {
        let below = directory.as_ref().map_or(root, OwnedFd::as_fd);
        let next = rustix::fs::openat(below, first, flags | OFlags::DIRECTORY, Mode::empty())?;
        directory = Some(next);
        rest = after;
    }
    let below = directory.as_ref().map_or(root, OwnedFd::as_fd);
    rustix::fs::openat(below, rest, flags, Mode::empty())
}

struct Walk<'a> {
    path: &'a Path,
    ignore: Ignore<'a>,
    entries: usize,
    found: Vec<Found>,
}

impl Walk<'_> {
    fn directory(&mut self, fd: BorrowedFd<'_>, prefix: &str, depth: usize) -> Result<(), Error> {
        let here = self.path.join(prefix);
        if depth >= DEPTH {
            return Err(Error::TooDeep { path: here, limit: DEPTH });
        }
        let error = |e: rustix::io::Errno| Error::io("list", &here, e);
        for entry in Dir::read_from(fd).map_err(error)? {
            let entry = entry.map_err(error)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if matches!(name.as_bytes(), b"." | b"..") {
                continue;
            }
            self.entries += 1;
            if self.entries > ENTRIES {
                return Err(Error::TooManyEntries { path: self.path.into(), limit: ENTRIES });
            }
            let Some(text) = name.to_str() else {
                return Err(Error::NameNotUtf8 { path: here.join(name) });
            };
            let path = format!("{prefix}{text}");
            if !(self.ignore)(&path) {
                self.entry(fd, text, path, depth)?;
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &str,
        path: String,
        depth: usize,
    ) -> Result<(), Error> {
        let full = self.path.join(&path);
        let error = |e: rustix::io::Errno| Error::io("open", &full, e);
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(error)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                self.found.push(Found::new(path, &stat));
                Ok(())
            }
            FileType::Directory if depth == 0 && name.ends_with(crate::model::SAFETENSORS) => {
                Err(Error::NotAFile { path: full, found: "directory" })
            }
            FileType::Directory => {
                let flags = READ | OFlags::DIRECTORY | OFlags::NOFOLLOW;
                let fd = rustix::fs::openat(directory, name, flags, Mode::empty());
                self.directory(fd.map_err(error)?.as_fd(), &format!("{path}/"), depth + 1)
            }
            FileType::Symlink => Err(Error::Symlink { path: full }),
            other => Err(Error::NotAFile { path: full, found: kind_name(other) }),
        }
    }
}

fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "directory",
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
        FileType::BlockDevice => "block device",
        FileType::CharacterDevice => "character device",
        _ => "special file",
    }
}

/// Reads files of one model, and has only some of them open at once.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    source: &'a Source,
    files: &'a [Found],
    open: BTreeMap<usize, File>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(source: &'a Source, files: &'a [Found]) -> Self {
        Self { source, files, open: BTreeMap::new() }
    }

    /// Fills a buffer from file number `file`, from a byte on.
    pub(crate) fn read(&mut self, file: usize, offset: u64, to: &mut [u8]) -> Result<(), Error> {
        let Some(found) = self.files.get(file) else { return Ok(()) };
        if !self.open.contains_key(&file) {
            if self.open.len() >= OPEN_FILES {
                self.finish()?;
            }
            self.open.insert(file, self.source.open_file(found)?);
        }
        let Some(open) = self.open.get(&file) else { return Ok(()) };
        open.read_exact_at(to, offset).map_err(|e| {
            let path = self.source.full_path(found);
            match e.kind() {
                io::ErrorKind::UnexpectedEof => Error::Changed { path },
                _ => Error::io("read", &path, e),
            }
        })
    }

    /// All of a file, which the caller knows to be small.
    pub(crate) fn read_all(&mut self, file: usize) -> Result<Vec<u8>, Error> {
        let size = self.files.get(file).map_or(0, |found| found.size);
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        self.read(file, 0, &mut bytes)?;
        Ok(bytes)
    }

    /// Closes what is open. Nothing of it may have changed since it was listed.
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        for (file, open) in std::mem::take(&mut self.open) {
            if let Some(found) = self.files.get(file) {
                self.source.check_identity(&open, found)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_cut_short_between_two_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, [1; 100]).unwrap();
        let (source, files) = Source::open(folder.path(), &|_| false).unwrap();
        let mut reader = Reader::new(&source, &files);
        reader.read(0, 0, &mut [0; 50]).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(60).unwrap();
        assert!(matches!(reader.read(0, 50, &mut [0; 50]), Err(Error::Changed { .. })));
        assert!(matches!(reader.finish(), Err(Error::Changed { .. })));
    }

    #[test]
    fn more_files_than_are_open_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..=OPEN_FILES {
            std::fs::write(folder.path().join(format!("{n:03}")), n.to_string()).unwrap();
        }
        let (source, files) = Source::open(folder.path(), &|_| false).unwrap();
        let mut reader = Reader::new(&source, &files);
        for _ in 0..2 {
            for n in 0..=OPEN_FILES {
                assert_eq!(reader.read_all(n).unwrap(), n.to_string().as_bytes());
                assert!(reader.open.len() <= OPEN_FILES);
            }
        }
    }
}
