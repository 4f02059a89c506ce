//! Why a model could not be read, compared or converted.

use std::io;
use std::path::{Path, PathBuf};

use crate::header::HeaderError;
use bulla::text::Quoted;

/// No answer: the model could not be read, or what was asked for cannot be written.
///
/// That two models differ is no error but a [`Report`](crate::Report).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused.
    #[error("cannot {doing} {}: {}", shown(path), io_words(source))]
    Io {
        /// What was tried: `open`, `read`, …
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Neither a directory nor a file.
    #[error("{} is a {found}; a model is a directory or a file", shown(path))]
    NotAModel {
        /// What was given.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// No tensors to look at.
    #[error("{} has no file that ends in .safetensors", shown(path))]
    NoSafetensors {
        /// The model.
        path: PathBuf,
    },
    /// A symbolic link.
    #[error("{} is a symbolic link", shown(path))]
    Symlink {
        /// Where.
        path: PathBuf,
    },
    /// Neither a file nor a directory, or a directory in a file's place.
    #[error("{} is a {found}, not a file", shown(path))]
    NotAFile {
        /// Where.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// A name that is not text.
    #[error("the name of {} is not UTF-8 text", shown(path))]
    NameNotUtf8 {
        /// Where, as well as it can be shown.
        path: PathBuf,
    },
    /// More entries than are looked at.
    #[error("{} has more than {limit} files and directories", shown(path))]
    TooManyEntries {
        /// The model.
        path: PathBuf,
        /// How many are allowed.
        limit: usize,
    },
    /// Directories below one another without end.
    #[error("{} lies deeper than {limit} directories", shown(path))]
    TooDeep {
        /// Where.
        path: PathBuf,
        /// How deep is allowed.
        limit: usize,
    },
    /// A file changed while it was looked at.
    #[error("{} changed while it was being read", shown(path))]
    Changed {
        /// Which.
        path: PathBuf,
    },
    /// Not a safetensors file.
    #[error("{} is not a valid safetensors file: {why}", shown(path))]
    Header {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        why: HeaderError,
    },
    /// More than is held in memory.
    #[error("the headers of {} have more than {limit} bytes together", shown(path))]
    HeadersTooLarge {
        /// The model.
        path: PathBuf,
        /// How many are allowed.
        limit: u64,
    },
    /// The same name in two files.
    #[error("tensor {} is both in {} and in {}", Quoted(tensor), Quoted(first), Quoted(second))]
    TensorTwice {
        /// Its name.
        tensor: String,
        /// A file.
        first: String,
        /// Another.
        second: String,
    },
    /// Not an index of shards.
    #[error("{} is not a valid index of shards: {why}", shown(path))]
    Index {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Two that could disagree.
    #[error("there are two indexes of shards: {} and {}", Quoted(first), Quoted(second))]
    TwoIndexes {
        /// One.
        first: String,
        /// The other.
        second: String,
    },
    /// Several models cannot be written as one.
    #[error("the tensors belong to several models: {} and {}", Quoted(first), Quoted(second))]
    SeveralModels {
        /// A file of one.
        first: String,
        /// A file of another.
        second: String,
    },
    /// Shards that are labelled in different ways cannot be written as others.
    #[error("the shards disagree on {} in their __metadata__", Quoted(key))]
    MetadataConflict {
        /// Of what.
        key: String,
    },
    /// More tensors in one file than its header can list.
    #[error("the header of {} would be larger than the format allows", Quoted(shard))]
    ShardTooLarge {
        /// The file.
        shard: String,
    },
    /// Nothing is overwritten.
    #[error("{} is there already", shown(path))]
    Exists {
        /// Where the result should have gone.
        path: PathBuf,
    },
}

/// The system's words without Rust's "(os error 2)".
fn io_words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map(|c| c.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

fn shown(path: &Path) -> String {
    Quoted(&path.to_string_lossy()).to_string()
}

impl Error {
    pub(crate) fn io(doing: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io { doing, path: path.into(), source: source.into() }
    }

    /// A short, stable name of the kind of error, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "io",
            Self::NotAModel { .. } => "not-a-model",
            Self::NoSafetensors { .. } => "no-safetensors",
            Self::Symlink { .. } => "symlink",
            Self::NotAFile { .. } => "not-a-file",
            Self::NameNotUtf8 { .. } => "name-not-utf8",
            Self::TooManyEntries { .. } => "too-many",
            Self::TooDeep { .. } => "too-deep",
            Self::Changed { .. } => "changed-while-read",
            Self::Header { .. } => "bad-header",
            Self::HeadersTooLarge { .. } => "headers-too-large",
            Self::TensorTwice { .. } => "tensor-twice",
            Self::Index { .. } => "bad-index",
            Self::TwoIndexes { .. } => "two-indexes",
            Self::SeveralModels { .. } => "several-models",
            Self::MetadataConflict { .. } => "metadata-conflict",
            Self::ShardTooLarge { .. } => "shard-too-large",
            Self::Exists { .. } => "exists",
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => "check the path",
                io::ErrorKind::PermissionDenied => "run as a user who may read and write there",
                io::ErrorKind::StorageFull => "make room; nothing was left behind",
                _ => return None,
            },
            Self::NotAModel { .. } | Self::NoSafetensors { .. } => {
                "give the directory or the file with the model's tensors"
            }
            Self::Symlink { .. } => "replace the link by a copy of the file, or leave it out",
            Self::NotAFile { .. } => "remove it from the model, or leave it out",
            Self::NameNotUtf8 { .. } => "rename it",
            Self::TooManyEntries { .. } | Self::TooDeep { .. } => {
                "check the path: is this the model, or a directory above it?"
            }
            Self::Changed { .. } => "run again when nothing writes into the model",
            Self::Header { .. } | Self::HeadersTooLarge { .. } | Self::Index { .. } => {
                "do not load this model: get it again from its publisher"
            }
            Self::TensorTwice { .. } | Self::TwoIndexes { .. } | Self::SeveralModels { .. } => {
                "leave out the files of one of them"
            }
            Self::MetadataConflict { .. } => {
                "compare the shards as they are: they cannot be split anew"
            }
            Self::ShardTooLarge { .. } => "give a smaller size of shards",
            Self::Exists { .. } => "give a path where nothing is yet",
        })
    }
}
