//! Why a log did not do what was asked.

use std::io;

use bulla::Printable;

use super::mark::Head;
use super::note::NoteError;
use super::storage::StorageError;
use super::tile::MAX_ENTRY;

/// Why a log did not do what was asked. It names what was found and what was expected; [`LogError::hint`] says what to do.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// An entry that no bundle can hold. Nothing was written.
    #[error("the entry has {size} bytes, more than the {MAX_ENTRY} that a log's entry may have")]
    TooLarge {
        /// Its bytes.
        size: usize,
    },
    /// Too many entries wait to be written. This one was not taken.
    #[error("{waiting} entries already wait to be written")]
    Busy {
        /// How many.
        waiting: usize,
    },
    /// There is no such entry.
    #[error("there is no entry {index}: the log has {size}")]
    NoSuchEntry {
        /// Its index.
        index: u64,
        /// Entries that the log has.
        size: u64,
    },
    /// The storage failed. If it was while writing, the log takes nothing more until it is opened again.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The log stopped earlier.
    #[error("the log has stopped: {}", Printable(.0))]
    Halted(String),
    /// There is no log.
    #[error("there is no log of {}: it has no checkpoint", Printable(origin))]
    NotThere {
        /// Its origin.
        origin: String,
    },
    /// There is one already.
    #[error("there is a log of {} already: {}", Printable(origin), Printable(found))]
    AlreadyThere {
        /// Its origin.
        origin: String,
        /// What was found of it.
        found: String,
    },
    /// The checkpoint in the storage is not the log's own.
    #[error("the checkpoint is not this log's: {0}")]
    Checkpoint(#[source] NoteError),
    /// The checkpoint could not be signed.
    #[error("the checkpoint could not be signed: {}", Printable(.0))]
    Signer(String),
    /// A file of the log is not what the checkpoint says.
    #[error("{} is damaged: {}", Printable(path), Printable(detail))]
    Damaged {
        /// Which.
        path: String,
        /// What is wrong.
        detail: String,
    },
    /// The high-water mark cannot be used.
    #[error("the high-water mark {} cannot be used: {}", Printable(path), Printable(detail))]
    Mark {
        /// Its name.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The log has lost entries: a restored backup, most likely.
    #[error(
        "the log is below its high-water mark: found {found}, expected at least {mark} (the mark)"
    )]
    BelowMark {
        /// What the log has.
        found: Head,
        /// What it had.
        mark: Head,
    },
    /// The log has another history than the one it showed.
    #[error("the log has been forked: found root {found} at size {}, expected that of {mark} (the mark)", mark.size)]
    Forked {
        /// The root that the log has there, in base64.
        found: String,
        /// What it had.
        mark: Head,
    },
    /// A witness knows a larger or another log than there is here.
    #[error("the witness {} knows {}, found {found}", Printable(witness), Printable(known))]
    WitnessAhead {
        /// Its name.
        witness: String,
        /// What it said.
        known: String,
        /// What is here.
        found: Head,
    },
    /// Not enough witnesses cosigned. The entry is in the log, but no published checkpoint covers it yet.
    #[error("{got} of {needed} needed witnesses cosigned: {}", Printable(detail))]
    NotWitnessed {
        /// How many did.
        got: usize,
        /// How many must.
        needed: usize,
        /// Why the others did not.
        detail: String,
    },
}

impl LogError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::TooLarge { .. } => "log the hash of a document, not the document",
            Self::Busy { .. } => "try again shortly",
            Self::Storage(error) => return error.hint(),
            Self::Halted(_) => "mend what is named, then start the log again",
            Self::NotThere { .. } => "check the directory; a new log is made with 'init'",
            Self::AlreadyThere { .. } => "open it, or choose an empty directory and a new origin",
            Self::Checkpoint(_) => "check that directory, origin and key belong together",
            Self::Damaged { .. } => {
                "restore this file from a mirror, an export or the newest backup"
            }
            Self::Mark { .. } => {
                "restore the mark; if it is lost, write it anew from the newest checkpoint that anybody has kept"
            }
            Self::BelowMark { .. } => {
                "do not go on with this copy: restore the newest one, or end this log and begin another under a new origin and key"
            }
            Self::Forked { .. } | Self::WitnessAhead { .. } => {
                "do not go on with this copy, and look for a second process that signs with this log's key; keep both copies as evidence"
            }
            Self::NotWitnessed { .. } => {
                "the entry is published when enough witnesses answer again: append it again then, or look it up"
            }
            Self::NoSuchEntry { .. } | Self::Signer(_) => return None,
        })
    }

    /// Whether trying the same again later may work.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::NotWitnessed { .. } | Self::Signer(_))
    }

    /// Whether the storage has no room left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Storage(error) if error.kind == io::ErrorKind::StorageFull)
    }
}
