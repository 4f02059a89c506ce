//! Where a log is kept.
//!
//! ```text
//!            ┌ write: entries and tiles, all of a batch or a part of it     (many objects, durable on return)
//! Sequencer ─┤
//!            └ replace: the checkpoint, the high-water mark                  (one object, compare-and-swap)
//! ```
//!
//! [`Storage`] asks only what an object store with a database for its two small mutable objects can do, too: S3 for
//! `write`, one PostgreSQL row each for `lock` and `replace`.

mod disk;
mod local;

use std::any::Any;
use std::fmt;
use std::io;

use bulla::Printable;

use super::tile::TileReader;

#[cfg(test)]
pub(super) use disk::Disk;
pub use local::LocalDirectory;

/// Keeps a log's resources by their paths.
///
/// Only the holder of the lock writes. What [`Storage::write`] wrote counts only once a checkpoint covers it; so it may be
/// written in part, and again with other contents.
pub trait Storage: TileReader + Send + Sync + fmt::Debug {
    /// Makes this process the only writer until the guard is dropped.
    ///
    /// # Errors
    /// [`StorageError`] of the kind [`io::ErrorKind::WouldBlock`] when there is another.
    fn lock(&self) -> Result<Guard, StorageError>;

    /// Writes resources. When it returns they survive a power cut; when it fails, or does not return, each of them is as
    /// it was, or as it should be, or was never there.
    ///
    /// # Errors
    /// When not all of them are durable.
    fn write(&self, resources: &[(String, Vec<u8>)]) -> Result<(), StorageError>;

    /// Replaces one resource in one step, durably, if it is what the caller thinks it is (`None`: not there).
    ///
    /// # Errors
    /// When it could not be made durable, or is something else. It is then what it was or what it should be.
    fn replace(&self, path: &str, expected: Option<&[u8]>, new: &[u8]) -> Result<(), StorageError>;

    /// Removes a resource that nobody needs any more, or all partial ones below a path (`….p`). It is tried, not promised.
    fn discard(&self, path: &str);
}

/// Held by a log's one writer.
pub struct Guard(#[allow(dead_code)] Box<dyn Any + Send + Sync>);

impl Guard {
    /// Whatever releases the lock when it is dropped.
    pub fn new(held: impl Any + Send + Sync) -> Self {
        Self(Box::new(held))
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

/// The storage could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {doing} {}: {}", Printable(path), Printable(detail))]
pub struct StorageError {
    /// What was tried: `read`, `write`, …
    pub doing: &'static str,
    /// On what.
    pub path: String,
    /// What kind of failure it is.
    pub kind: io::ErrorKind,
    /// What the system said.
    pub detail: String,
}

impl StorageError {
    /// From the system's error.
    #[must_use]
    pub fn new(doing: &'static str, path: impl Into<String>, error: &io::Error) -> Self {
        Self { doing, path: path.into(), kind: error.kind(), detail: words(error) }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self.kind {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "make room, then start the log again; what was answered is safe"
            }
            io::ErrorKind::PermissionDenied => {
                "run as the user whom the log's directory belongs to"
            }
            io::ErrorKind::ReadOnlyFilesystem => "mount the log's directory for writing",
            io::ErrorKind::NotFound => "check the path",
            io::ErrorKind::WouldBlock => "stop the other process that writes this log first",
            _ => return None,
        })
    }
}

/// The system's words without Rust's "(os error 2)".
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map(|c| c.to_lowercase().chain(chars).collect()).unwrap_or_default()
}
