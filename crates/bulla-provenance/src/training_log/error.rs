//! What can be wrong with a log.

use std::io;
use std::path::{Path, PathBuf};

use bulla::text::{Quoted, io_words};

use super::chain::{Head, LINE_BYTES, LINES};
use super::entry::Unfit;

/// Why a log was not written or not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The system failed.
    #[error("cannot {doing} {}: {}", Quoted(&path.to_string_lossy()), io_words(source))]
    Io {
        /// What was tried, as in "cannot ... the log".
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A line that is not what it must be.
    #[error("line {line}: {problem}")]
    Broken {
        /// Which, from 1 on.
        line: u64,
        /// What is wrong with it.
        problem: Problem,
    },
    /// A log that is whole, but is not the one that the head stands for.
    #[error("{}", head_words(found, expected, *begins_with_expected))]
    NotTheHead {
        /// The head of the log.
        found: Head,
        /// The head that was asked for.
        expected: Head,
        /// The log begins with the lines that the expected head stands for, and goes on.
        begins_with_expected: bool,
    },
    /// Another process has the log open for writing.
    #[error("another process is writing to {}", Quoted(&path.to_string_lossy()))]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// An entry that cannot be a line.
    #[error("this cannot be a line of a log: {0}")]
    Unfit(#[from] Unfit),
    /// A log that has as many lines as a log can have.
    #[error("the log is full: it has {LINES} lines")]
    Full,
    /// The file is not as the writer left it, or a line could only be written in part.
    #[error("the log was changed while it was written, or could not be written in full")]
    Disturbed,
}

impl LogError {
    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.into(), source }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::AlreadyExists => {
                    "a log is never overwritten: resume it, or choose another name"
                }
                io::ErrorKind::NotFound => "check the path",
                io::ErrorKind::PermissionDenied => "run as a user who may read and write there",
                io::ErrorKind::StorageFull => "make room; what was there before is untouched",
                _ => return None,
            },
            Self::Broken { problem: Problem::Unfinished { .. }, .. } => {
                "whoever wrote was stopped in the middle of it; `repair` cuts the unfinished line off"
            }
            Self::Broken { .. } => "use a copy of the log as it was written",
            Self::NotTheHead { begins_with_expected: true, .. } => {
                "use the head that was taken last, or the log as it was then"
            }
            Self::NotTheHead { .. } => "use the log that this head was taken of",
            Self::Locked { .. } => "wait until it has ended, or use another log",
            Self::Disturbed => "verify the log, and resume it",
            Self::Full => "go on in a new log",
            Self::Unfit(_) => return None,
        })
    }
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// There is no line at all.
    #[error("the log is empty")]
    Empty,
    /// The last line does not end with a newline.
    #[error("it has no newline at its end ({bytes} bytes)")]
    Unfinished {
        /// Bytes of it.
        bytes: u64,
    },
    /// A line that is longer than a line can be.
    #[error("it is longer than {LINE_BYTES} bytes")]
    TooLong,
    /// More lines than a log can have.
    #[error("a log has no more than {LINES} lines")]
    TooMany,
    /// Lines that end as on Windows.
    #[error("it ends with a carriage return; lines end with a newline alone")]
    CarriageReturn,
    /// White space around the object.
    #[error("there is white space before or after the object")]
    WhiteSpace,
    /// Not one JSON object of the right shape.
    #[error("{0}")]
    Json(String),
    /// The first line is not a header.
    #[error("it is not the first line of a training log: {0}")]
    NotALog(String),
    /// A log of another version.
    #[error("it is a log of version {found}; known is 1")]
    Version {
        /// The version.
        found: u64,
    },
    /// A line was taken out, repeated or moved.
    #[error(
        "its number is {found}, and should be {expected}: a line was taken out, repeated or moved"
    )]
    Sequence {
        /// What it says.
        found: u64,
        /// What it has to say.
        expected: u64,
    },
    /// The chain breaks here.
    #[error(
        "`previous` is {}, and the line before has {}: one of the two was changed",
        hex::encode(found),
        hex::encode(expected)
    )]
    Previous {
        /// What it says.
        found: [u8; 32],
        /// The SHA-256 of the line before.
        expected: [u8; 32],
    },
    /// Not a point in time.
    #[error("{0} is not a time in UTC like 2026-11-20T12:00:00Z")]
    Time(String),
    /// An entry that is none.
    #[error("{0}")]
    Entry(Unfit),
}

fn head_words(found: &Head, expected: &Head, begins_with_expected: bool) -> String {
    match found.lines.cmp(&expected.lines) {
        std::cmp::Ordering::Less => format!(
            "the log was cut: it has {} lines, and its head says {}",
            found.lines, expected.lines
        ),
        std::cmp::Ordering::Greater if begins_with_expected => format!(
            "the log goes on: it has {} lines, and its head stands for the first {}, which are unchanged",
            found.lines, expected.lines
        ),
        std::cmp::Ordering::Greater => format!(
            "the log is another: it has {} lines, and its head says {} that are not its first",
            found.lines, expected.lines
        ),
        std::cmp::Ordering::Equal => format!(
            "the log is another: its last line has the SHA-256 {}, and its head says {}",
            hex::encode(found.sha256),
            hex::encode(expected.sha256)
        ),
    }
}
