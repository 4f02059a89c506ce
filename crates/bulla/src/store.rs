//! Small files: read up to a limit; written in full or not at all.
//!
//! A new file is written without a name, synced, and then given its name in one step; an existing
//! one is replaced by a rename. A crash, a full disk or a kill leaves what was there before. A link
//! at the name is replaced, never followed. Nothing else should be left in the directory, for a stray file in a
//! model is an unsigned file: only a kill between the last two system calls of a replacement can leave
//! one, named `.NAME.….tmp`.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::error::Fault;

/// What to do with a link at a file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// Read what it leads to.
    Follow,
    /// Refuse it.
    Refuse,
}

/// Reads a file that somebody named, of any kind, up to a limit and one byte more: so that whoever reads the contents can tell.
///
/// # Errors
/// [`Fault::Io`].
pub fn read_named(path: &Path, limit: u64) -> Result<Vec<u8>, Fault> {
    let file = File::open(path).map_err(|e| Fault::io("read", path, e))?;
    contents(file, path, limit)
}

/// Reads a file that nobody named, likewise: only if it is a regular one, for a FIFO would wait for ever. `None` if there is nothing.
///
/// # Errors
/// [`Fault::Io`].
pub fn read_found(path: &Path, limit: u64, links: Links) -> Result<Option<Vec<u8>>, Fault> {
    let mut flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    if links == Links::Refuse {
        flags |= OFlags::NOFOLLOW;
    }
    match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(e) => Err(Fault::io("read", path, e.into())),
        Ok(file) => regular_contents(file.into(), path, limit).map(Some),
    }
}

/// Reads an open file, if it is a regular one.
pub(crate) fn regular_contents(file: File, path: &Path, limit: u64) -> Result<Vec<u8>, Fault> {
    let fault = |e| Fault::io("read", path, e);
    if !file.metadata().map_err(fault)?.is_file() {
        return Err(fault(io::Error::other("it is not a regular file")));
    }
    contents(file, path, limit)
}

fn contents(file: File, path: &Path, limit: u64) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|e| Fault::io("read", path, e))?;
    Ok(bytes)
}

/// Who may read a stored file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody (0644, less what the process's umask takes away).
    Public,
    /// Its owner only (0600).
    Private,
}

/// What to do with a file that is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Replace it in one step.
    Replace,
    /// Leave it and fail.
    Keep,
}

/// Writes a file: in full, or not at all.
///
/// # Errors
/// [`Fault::Io`]; what was there before is then untouched.
pub fn store(path: &Path, bytes: &[u8], access: Access, existing: Existing) -> Result<(), Fault> {
    let fault = |e: io::Error| Fault::io("write", path, e);
    let name = path.file_name().ok_or_else(|| fault(io::ErrorKind::InvalidInput.into()))?;
    let name = Path::new(name);
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory =
        rustix::fs::openat(CWD, parent, flags, Mode::empty()).map_err(|e| fault(e.into()))?;
    let directory = directory.as_fd();
    // Only a file or a link may be replaced: renaming over a device or a socket destroys it.
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
            _ if existing == Existing::Keep => {
                return Err(fault(io::ErrorKind::AlreadyExists.into()));
            }
            rustix::fs::FileType::RegularFile | rustix::fs::FileType::Symlink => {}
            rustix::fs::FileType::Directory => {
                return Err(fault(io::ErrorKind::IsADirectory.into()));
            }
            _ => return Err(fault(io::Error::other("it is not a regular file"))),
        },
        Err(Errno::NOENT) => {}
        Err(e) => return Err(fault(e.into())),
    }
    let mode = match access {
        Access::Public => Mode::from_raw_mode(0o644),
        Access::Private => Mode::from_raw_mode(0o600),
    };
    match unnamed(directory, name, bytes, mode, existing) {
        // Some file systems (NFS, FUSE, some overlays) have no files without a name.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT | Errno::NOSYS) => {
            named(directory, name, bytes, mode, existing)
        }
        done => done,
    }
    .map_err(|e| fault(e.into()))?;
    // The name, too, must survive a power cut. Not every file system can do this; the data are safe.
    let _ = rustix::fs::fsync(directory);
    Ok(())
}

fn fill(file: std::os::fd::OwnedFd, bytes: &[u8]) -> Result<File, Errno> {
    let errno = |e: io::Error| Errno::from_io_error(&e).unwrap_or(Errno::IO);
    let mut file = File::from(file);
    file.write_all(bytes).map_err(errno)?;
    file.sync_all().map_err(errno)?;
    Ok(file)
}

#[cfg(target_os = "linux")]
fn unnamed(
    directory: BorrowedFd<'_>,
    name: &Path,
    bytes: &[u8],
    mode: Mode,
    existing: Existing,
) -> Result<(), Errno> {
    use std::os::fd::AsRawFd as _;
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    let file = fill(rustix::fs::openat(directory, ".", flags, mode)?, bytes)?;
    // linkat(2): the way to name an unnamed file without privileges.
    let itself = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let link = |to: &Path| rustix::fs::linkat(CWD, &itself, directory, to, AtFlags::SYMLINK_FOLLOW);
    match link(name) {
        Err(Errno::EXIST) if existing == Existing::Replace => {
            let temporary = temporary_name(name)?;
            link(&temporary)?;
            rename_or_remove(directory, &temporary, name, existing)
        }
        done => done,
    }
}

#[cfg(not(target_os = "linux"))]
fn unnamed(_: BorrowedFd<'_>, _: &Path, _: &[u8], _: Mode, _: Existing) -> Result<(), Errno> {
    Err(Errno::OPNOTSUPP)
}

fn named(
    directory: BorrowedFd<'_>,
    name: &Path,
    bytes: &[u8],
    mode: Mode,
    existing: Existing,
) -> Result<(), Errno> {
    let temporary = temporary_name(name)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, &temporary, flags, mode)?;
    if let Err(e) = fill(file, bytes) {
        let _ = rustix::fs::unlinkat(directory, &temporary, AtFlags::empty());
        return Err(e);
    }
    rename_or_remove(directory, &temporary, name, existing)
}

fn rename_or_remove(
    directory: BorrowedFd<'_>,
    from: &Path,
    to: &Path,
    existing: Existing,
) -> Result<(), Errno> {
    let renamed = match existing {
        Existing::Replace => rustix::fs::renameat(directory, from, directory, to),
        Existing::Keep => keep(directory, from, to),
    };
    if renamed.is_err() {
        let _ = rustix::fs::unlinkat(directory, from, AtFlags::empty());
    }
    renamed
}

/// A rename that fails if somebody was faster.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
fn keep(directory: BorrowedFd<'_>, from: &Path, to: &Path) -> Result<(), Errno> {
    let flags = rustix::fs::RenameFlags::NOREPLACE;
    rustix::fs::renameat_with(directory, from, directory, to, flags)
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn keep(directory: BorrowedFd<'_>, from: &Path, to: &Path) -> Result<(), Errno> {
    rustix::fs::linkat(directory, from, directory, to, AtFlags::empty())?;
    rustix::fs::unlinkat(directory, from, AtFlags::empty())
}

/// A name next to the file that nobody can guess and plant something at.
fn temporary_name(name: &Path) -> Result<PathBuf, Errno> {
    use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
    let mut random = [0; 12];
    SystemRandom::new().fill(&mut random).map_err(|_| Errno::IO)?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.tmp", hex::encode(random)));
    Ok(temporary.into())
}
