//! The high-water mark: the largest tree that the log may have shown to anybody, kept where a restored backup of the log does
//! not reach.
//!
//! It is raised before anything of that tree is signed. So a log whose newest tree is below its mark has lost entries that
//! somebody may hold a proof of, and must not go on: it would sign a second history.

use std::sync::Arc;

use super::LogError;
use super::checkpoint::{parse_hash, show_hash, show_head};
use super::storage::Storage;
use super::tile::decimal;
use super::tree::Hash;

const HEADER: &str = "bulla log high-water mark v1";

/// The size and root of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// How many entries.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
}

impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&show_head(self.size, &self.root))
    }
}

/// Where a log's high-water mark is: another [`Storage`] than the log's, on another disk or in a database.
#[derive(Debug, Clone)]
pub struct HighWaterMark {
    storage: Arc<dyn Storage>,
    name: String,
}

impl HighWaterMark {
    /// A mark under a name (`signatures.mark`).
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>, name: &str) -> Self {
        Self { storage, name: name.to_owned() }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it says; `None` if there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is not a mark of this log.
    pub fn read(&self, origin: &str) -> Result<Option<Head>, LogError> {
        let Some(bytes) = self.bytes()? else { return Ok(None) };
        let damaged = |detail: String| LogError::Mark { path: self.name.clone(), detail };
        let text = std::str::from_utf8(&bytes).map_err(|_| damaged("it is not text".into()))?;
        let (body, sum) = text
            .strip_suffix('\n')
            .and_then(|text| text.rsplit_once('\n'))
            .ok_or_else(|| damaged("it is cut short".into()))?;
        let expected = bulla::Digest::sha256(format!("{body}\n").as_bytes()).to_string();
        if sum != expected {
            return Err(damaged(format!("its checksum is {sum}, expected {expected}")));
        }
        let [header, theirs, size, root] = body.split('\n').collect::<Vec<_>>()[..] else {
            return Err(damaged("it does not have five lines".into()));
        };
        if header != HEADER {
            return Err(damaged(format!("its first line is {header:?}, expected {HEADER:?}")));
        }
        if theirs != origin {
            return Err(damaged(format!("it is that of the log {theirs}, expected {origin}")));
        }
        match (decimal(size), parse_hash(root)) {
            (Some(size), Some(root)) => Ok(Some(Head { size, root })),
            _ => Err(damaged("it has no size and root".into())),
        }
    }

    /// Raises it. The caller has seen to it that the new tree extends the old one.
    pub(crate) fn raise(&self, origin: &str, from: Option<Head>, to: Head) -> Result<(), LogError> {
        let from = from.map(|head| Self::encode(origin, head));
        let new = Self::encode(origin, to);
        Ok(self.storage.replace(&self.name, from.as_deref(), &new)?)
    }

    /// Writes a mark anew that was lost with its disk, from a checkpoint that somebody has kept: the newest that anybody has. An older
    /// one would let the log forget what came after it.
    ///
    /// # Errors
    /// When there is one, or it cannot be written.
    pub fn recreate(&self, origin: &str, newest: Head) -> Result<(), LogError> {
        self.raise(origin, None, newest)
    }

    fn encode(origin: &str, head: Head) -> Vec<u8> {
        let body = format!("{HEADER}\n{origin}\n{}\n{}\n", head.size, show_hash(&head.root));
        let sum = bulla::Digest::sha256(body.as_bytes());
        format!("{body}{sum}\n").into_bytes()
    }

    fn bytes(&self) -> Result<Option<Vec<u8>>, LogError> {
        Ok(self.storage.read(&self.name, 4096)?)
    }
}
