//! Why a model could not be read, compared or converted.

use std::path::{Path, PathBuf};

use bulla::Fault;
use bulla::model::Unusable;
use bulla::text::Quoted;

use crate::header::HeaderError;

/// No answer: the model could not be read, or what was asked for cannot be written.
///
/// That two models differ is no error but a [`Report`](crate::Report).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A model could not be read, or changed meanwhile; or its conversion could not be written.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// Something that cannot be part of a model; or a directory in a shard's place.
    #[error("{} {why}", shown(path))]
    Unusable {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        why: Unusable,
    },
    /// No tensors to look at.
    #[error("{} has no file that ends in .safetensors", shown(path))]
    NoSafetensors {
        /// The model.
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

fn shown(path: &Path) -> String {
    Quoted(&path.to_string_lossy()).to_string()
}

impl Error {
    /// A short, stable name of the kind of error, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Fault(fault) => fault.code(),
            Self::Unusable { .. } => "unusable",
            Self::NoSafetensors { .. } => "no-safetensors",
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
            Self::Fault(fault) => return fault.hint(),
            Self::Unusable { why, .. } => match why {
                Unusable::NotUtf8 | Unusable::BadName(_) => "rename it",
                Unusable::Special { .. } => "remove it from the model, or leave it out",
                _ => "replace the link by a copy of the file, or leave it out",
            },
            Self::NoSafetensors { .. } => "give the directory or the file with the model's tensors",
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
