//! Where an entry of the older log is, by its hash, and when it was logged.
//!
//! The log is the truth; this follows from it and can be lost. The hashes are read from the log's own tiles at the start.
//! The times are beside it, eight bytes for each entry: one that a power cut took away is given the
//! time of the restart, which is later and so no lie: the entry is there by then.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError, RwLock};

use bulla::Fault;
use jiff::Timestamp;

use crate::keys::sha256;
use crate::logs::{self, Ledger};
use bulla_log::LogError;

/// RFC 6962 §2.1
pub(crate) fn leaf_hash(leaf: &[u8]) -> [u8; 32] {
    sha256(&[&[0][..], leaf].concat())
}

/// Hashes in a tile.
const TILE: u64 = 256;

/// Of one log.
#[derive(Debug)]
pub(crate) struct Index {
    places: RwLock<HashMap<[u8; 32], u64>>,
    times: Mutex<File>,
    /// Entries that are being logged.
    reserved: Mutex<HashSet<[u8; 32]>>,
    done: Condvar,
}

/// Nobody else logs this entry meanwhile.
pub(crate) struct Reserved<'a> {
    index: &'a Index,
    leaf_hash: [u8; 32],
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut reserved = self.index.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        reserved.remove(&self.leaf_hash);
        drop(reserved);
        self.index.done.notify_all();
    }
}

impl Index {
    /// Reads the log's tiles.
    pub(crate) fn open(log: &dyn Ledger, times: &Path, now: Timestamp) -> Result<Self, Fault> {
        let io = |e| Fault::io("open", times, e);
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(times)
            .map_err(io)?;
        let broken = |e: LogError| Fault::io("read", times, std::io::Error::other(e.to_string()));
        let size = logs::size(log).map_err(broken)?;
        let mut places = HashMap::new();
        for tile in 0..size.div_ceil(TILE) {
            let width = (size - tile * TILE).min(TILE);
            for (hash, index) in
                read_tile(log, tile, width).map_err(broken)?.into_iter().zip(tile * TILE..)
            {
                // Of two equal ones the first counts.
                places.entry(hash).or_insert(index);
            }
        }
        let index = Self {
            places: RwLock::new(places),
            times: Mutex::new(file),
            reserved: Mutex::default(),
            done: Condvar::new(),
        };
        for entry in 0..size {
            if index.time(entry).map_err(io)?.is_none() {
                index.set_time(entry, now).map_err(io)?;
            }
        }
        Ok(index)
    }

    /// Where an entry is.
    pub(crate) fn find(&self, leaf_hash: &[u8; 32]) -> Option<u64> {
        self.places.read().unwrap_or_else(PoisonError::into_inner).get(leaf_hash).copied()
    }

    /// To be called before an entry is logged: `None` if it is there. While somebody else logs it, this waits.
    pub(crate) fn reserve(&self, leaf_hash: [u8; 32]) -> Option<Reserved<'_>> {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if self.find(&leaf_hash).is_some() {
                return None;
            }
            if reserved.insert(leaf_hash) {
                return Some(Reserved { index: self, leaf_hash });
            }
            reserved = self.done.wait(reserved).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// An entry that was just logged.
    pub(crate) fn insert(
        &self,
        leaf_hash: [u8; 32],
        index: u64,
        time: Timestamp,
    ) -> std::io::Result<()> {
        self.set_time(index, time)?;
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        places.entry(leaf_hash).or_insert(index);
        Ok(())
    }

    /// When an entry was logged.
    pub(crate) fn time(&self, index: u64) -> std::io::Result<Option<Timestamp>> {
        let mut bytes = [0; 8];
        let file = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        match file.read_exact_at(&mut bytes, index.saturating_mul(8)) {
            Ok(()) => Ok(Timestamp::from_second(i64::from_be_bytes(bytes))
                .ok()
                .filter(|time| *time != Timestamp::UNIX_EPOCH)),
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn set_time(&self, index: u64, time: Timestamp) -> std::io::Result<()> {
        let file = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all_at(&time.as_second().to_be_bytes(), index.saturating_mul(8))
    }
}

/// The leaf hashes of a tile (c2sp.org/tlog-tiles).
fn read_tile(log: &dyn Ledger, tile: u64, width: u64) -> Result<Vec<[u8; 32]>, LogError> {
    let suffix = if width == TILE { String::new() } else { format!(".p/{width}") };
    let bytes = log.file(&format!("tile/0/{}{suffix}", tile_number(tile)))?;
    let hashes: Vec<[u8; 32]> = bytes.unwrap_or_default().as_chunks::<32>().0.to_vec();
    if hashes.len() as u64 == width {
        return Ok(hashes);
    }
    // Without its tile: entry by entry.
    (tile * TILE..tile * TILE + width).map(|i| log.entry(i).map(|leaf| leaf_hash(&leaf))).collect()
}

/// `x001/x234/067`
fn tile_number(mut tile: u64) -> String {
    let mut text = format!("{:03}", tile % 1000);
    while tile >= 1000 {
        tile /= 1000;
        text = format!("x{:03}/{text}", tile % 1000);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_of_tiles() {
        assert_eq!(super::tile_number(7), "007");
        assert_eq!(super::tile_number(1_234_067), "x001/x234/067");
        assert_eq!(super::tile_number(1000), "x001/000");
    }
}
