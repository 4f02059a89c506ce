//! Writing a log.
//!
//! Each line is one write at the end of the file, and what was written in part is taken back. So
//! whatever ends the process, the file has whole lines, but for a power cut or a full disk at the
//! wrong moment; those leave an unfinished last line, which is cut off only when asked to.

use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use jiff::Timestamp;
use rustix::fs::{CWD, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;

use super::chain::{Chain, Head, NONCE_BYTES};
use super::entry::{Entry, Unfit};
use super::error::{LogError, Problem};
use super::report::{Report, Scanned, scan};

/// A log that is open for writing, by this process alone.
#[derive(Debug)]
pub struct Writer {
    file: File,
    path: PathBuf,
    chain: Chain,
    bytes: u64,
    /// The file may have more than `bytes`, or other ones.
    disturbed: bool,
}

/// What [`Writer::repair`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Repaired {
    /// Bytes of the unfinished line that were cut off; 0, if there was none.
    pub cut_bytes: u64,
    /// The head of what is left.
    pub head: Head,
}

impl Writer {
    /// Begins a log in a new file (mode 0644, less the umask). What is there already is never
    /// overwritten, nor a link followed.
    ///
    /// # Errors
    /// [`LogError::Io`], also for a file that is there already.
    pub fn create(path: &Path, started: Timestamp) -> Result<Self, LogError> {
        let fault = |e: io::Error| LogError::io("create the log", path, e);
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd =
            rustix::fs::openat(CWD, path, flags | OFlags::NOFOLLOW, Mode::from_raw_mode(0o644))
                .map_err(|e| fault(e.into()))?;
        let mut nonce = [0; NONCE_BYTES];
        let begun = lock(&fd, path).and_then(|()| {
            SystemRandom::new()
                .fill(&mut nonce)
                .map_err(|_| fault(io::Error::other("the system has no randomness")))?;
            let header = Chain::header(started, &nonce).map_err(unfit)?;
            let file = File::from(fd);
            let path = path.to_owned();
            let mut log = Self { file, path, chain: Chain::EMPTY, bytes: 0, disturbed: false };
            log.write(&header)?;
            Ok(log)
        });
        match begun {
            Ok(log) => {
                // The name, too, must survive a power cut. Not every file system can do this.
                if let Ok(parent) = File::open(parent(path)) {
                    let _ = rustix::fs::fsync(parent);
                }
                Ok(log)
            }
            Err(e) => {
                let _ = std::fs::remove_file(path);
                Err(e)
            }
        }
    }

    /// Continues a log, after every line of it was checked. Gives what it says so far, too.
    ///
    /// # Errors
    /// As [`verify`](super::verify); an unfinished last line is refused, for [`Writer::repair`].
    pub fn resume(path: &Path) -> Result<(Self, Report), LogError> {
        let (file, scanned) = open(path)?;
        let Scanned { report, unfinished, .. } = scanned;
        if let Some(bytes) = unfinished {
            let line = report.map_or(1, |report| report.head.lines + 1);
            return Err(LogError::Broken { line, problem: Problem::Unfinished { bytes } });
        }
        let report = report.ok_or(LogError::Broken { line: 1, problem: Problem::Empty })?;
        let chain = Chain { lines: report.head.lines, previous: report.head.sha256 };
        let path = path.to_owned();
        let log = Self { file, path, chain, bytes: report.bytes, disturbed: false };
        Ok((log, report))
    }

    /// Cuts an unfinished last line off, and nothing else: every other line has to be right.
    ///
    /// # Errors
    /// As [`verify`](super::verify), for anything else that is wrong, and for a log of which no
    /// line is whole.
    pub fn repair(path: &Path) -> Result<Repaired, LogError> {
        let (file, scanned) = open(path)?;
        let report = match (scanned.report, scanned.unfinished) {
            (Some(report), _) => report,
            (None, Some(bytes)) => {
                return Err(LogError::Broken { line: 1, problem: Problem::Unfinished { bytes } });
            }
            (None, None) => {
                return Err(LogError::Broken { line: 1, problem: Problem::Empty });
            }
        };
        let cut_bytes = scanned.unfinished.unwrap_or_default();
        if cut_bytes > 0 {
            file.set_len(report.bytes)
                .and_then(|()| file.sync_all())
                .map_err(|e| LogError::io("repair", path, e))?;
        }
        Ok(Repaired { cut_bytes, head: report.head })
    }

    /// Writes a line. It is with the system when this returns, and survives the process; for a
    /// power cut see [`Writer::sync`].
    ///
    /// # Errors
    /// [`LogError::Unfit`] and [`LogError::Full`] leave the log as it was. After
    /// [`LogError::Disturbed`] nothing more is written.
    pub fn append(&mut self, time: Timestamp, entry: &Entry) -> Result<Head, LogError> {
        let line = self.chain.entry(time, entry).map_err(unfit)?;
        self.write(&line)?;
        Ok(self.head())
    }

    fn write(&mut self, line: &str) -> Result<(), LogError> {
        let fault = |e: io::Error| LogError::io("write to", &self.path, e);
        if self.disturbed {
            return Err(LogError::Disturbed);
        }
        let mut chain = self.chain;
        chain.take(line.as_bytes()).map_err(unfit)?;
        // The lock binds only those who ask for it.
        if self.file.metadata().map_err(fault)?.len() != self.bytes {
            self.disturbed = true;
            return Err(LogError::Disturbed);
        }
        let line = [line.as_bytes(), b"\n"].concat();
        if let Err(e) = self.file.write_all(&line) {
            self.disturbed = self.file.set_len(self.bytes).is_err();
            return Err(LogError::io("write to", &self.path, e));
        }
        self.chain = chain;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Waits until all lines are on the disk.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn sync(&self) -> Result<(), LogError> {
        self.file.sync_data().map_err(|e| LogError::io("write to", &self.path, e))
    }

    /// What stands for all lines so far.
    #[must_use]
    pub fn head(&self) -> Head {
        self.chain.head()
    }

    /// Ends the writing: all is on the disk, and others may write.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn finish(self) -> Result<Head, LogError> {
        self.sync()?;
        Ok(self.head())
    }
}

/// Opens an existing log for this process alone, and reads it.
fn open(path: &Path) -> Result<(File, Scanned), LogError> {
    let fault = |e: Errno| LogError::io("open the log", path, e.into());
    // A FIFO in the log's place would hang whoever opens it.
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd =
        rustix::fs::openat(CWD, path, flags | OFlags::NOFOLLOW, Mode::empty()).map_err(fault)?;
    let stat = rustix::fs::fstat(&fd).map_err(fault)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        let not_regular = io::Error::other("it is not a regular file");
        return Err(LogError::io("open the log", path, not_regular));
    }
    lock(&fd, path)?;
    let file = File::from(fd);
    let scanned = scan(BufReader::with_capacity(256 << 10, &file), None, path)?;
    Ok((file, scanned))
}

fn lock(fd: &impl std::os::fd::AsFd, path: &Path) -> Result<(), LogError> {
    match rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => Err(LogError::Locked { path: path.into() }),
        Err(e) => Err(LogError::io("lock", path, e.into())),
    }
}

fn unfit(problem: Problem) -> LogError {
    match problem {
        Problem::Entry(unfit) => LogError::Unfit(unfit),
        Problem::TooMany => LogError::Full,
        other => LogError::Unfit(Unfit(other.to_string())),
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
