//! The high-water mark: the largest tree that the log may have shown to anybody, kept where a restored backup of the log does
//! not reach.
//!
//! It is raised before anything of that tree is signed. So a log whose newest tree is below its mark has lost entries that
//! somebody may hold a proof of, and must not go on: it would sign a second history.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::LogError;
use super::checkpoint::{parse_hash, show_hash, show_head};
use super::storage::{Guard, Storage};
use super::tile::decimal;
use super::tree::Hash;

/// How long another process may hold the lock on a shared mark: about ten seconds.
const LOCK_TRIES: u32 = 5000;
const LOCK_PAUSE: Duration = Duration::from_millis(2);
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

    /// Raises a mark that several processes share. The caller has seen that `to` extends `seen`, which is what
    /// [`read`](Self::read) said before. Others may have raised it meanwhile: then nothing is written, and what it is now is returned.
    ///
    /// # Errors
    /// When it cannot be written, or another process holds its folder locked for longer than some seconds.
    pub fn advance(
        &self,
        origin: &str,
        seen: Option<Head>,
        to: Head,
    ) -> Result<Option<Head>, LogError> {
        let _guard = self.locked()?;
        let now = self.read(origin)?;
        if now != seen {
            return Ok(now);
        }
        self.raise(origin, seen, to).map(|()| None)
    }

    /// The lock on its folder. It is held for one small write, so that waiting is asking again.
    fn locked(&self) -> Result<Guard, LogError> {
        let mut tries = LOCK_TRIES;
        loop {
            match self.storage.lock() {
                Err(busy) if busy.kind == io::ErrorKind::WouldBlock && tries > 0 => {
                    tries -= 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                locked => return Ok(locked?),
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::LocalDirectory;

    #[test]
    fn a_shared_mark_is_raised_by_whoever_is_first() {
        let folder = tempfile::tempdir().unwrap();
        let storage = LocalDirectory::create(&folder.path().join("mark")).unwrap();
        let mark = HighWaterMark::new(Arc::new(storage), "one.mark");
        let head = |size| Head { size, root: [7; 32] };
        assert_eq!(mark.advance("o", None, head(1)).unwrap(), None);
        // Somebody who had seen none is told what there is, and nothing is written.
        assert_eq!(mark.advance("o", None, head(5)).unwrap(), Some(head(1)));
        assert_eq!(mark.read("o").unwrap(), Some(head(1)));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let seen = mark.read("o").unwrap().unwrap();
                        mark.advance("o", Some(seen), head(seen.size + 1)).unwrap();
                    }
                });
            }
        });
        let reached = mark.read("o").unwrap().unwrap().size;
        assert!((21..=161).contains(&reached), "{reached}");
    }
}
