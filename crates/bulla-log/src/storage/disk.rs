//! The few things that are asked of a file system; a test puts one in its place that forgets what was not synced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags};

use super::Guard;

pub(crate) trait Disk: Send + Sync {
    /// A regular file's bytes; an error if there are more than `at_most`.
    fn read(&self, path: &Path, at_most: u64) -> io::Result<Option<Vec<u8>>>;
    /// Creates or empties files and fills them; their contents are durable on return, their names are not.
    fn write(&self, files: &[(PathBuf, &[u8])]) -> io::Result<()>;
    /// Gives a file another name, which may be another file's; not durable.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes a directory if there is none; not durable.
    fn make_directory(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory's names durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Removes a file; not durable.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory with all in it.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;
    /// Locks a file against every other open of it.
    fn lock(&self, path: &Path) -> io::Result<Guard>;
}

/// The system's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct System;

/// Nothing is followed, and nothing is waited for.
const SAFE: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.mode(0o644).custom_flags(SAFE.bits().cast_signed()).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::other("it is not a regular file"))
}

impl Disk for System {
    fn read(&self, path: &Path, at_most: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match open(OpenOptions::new().read(true), path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut bytes = Vec::new();
        file.take(at_most.saturating_add(1)).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length <= at_most) {
            return Ok(Some(bytes));
        }
        Err(io::Error::other(format!("it is larger than the {at_most} bytes that it may have")))
    }

    fn write(&self, files: &[(PathBuf, &[u8])]) -> io::Result<()> {
        let mut written = Vec::with_capacity(files.len());
        for (path, bytes) in files {
            let mut file = open(OpenOptions::new().write(true).create(true).truncate(true), path)?;
            file.write_all(bytes)?;
            written.push(file);
        }
        // After all are written, and by the descriptors that they were written with: these are told of failures.
        written.iter().try_for_each(File::sync_data)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            other => other,
        }
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Guard> {
        let file = open(OpenOptions::new().write(true).create(true).truncate(false), path)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Guard::new(file))
    }
}
