//! An append-only Merkle log in C2SP's tlog-tiles layout.

use std::fmt;
use std::sync::Arc;

/// Signs checkpoints: a signed note's key (c2sp.org/signed-note).
pub trait NoteSigner: Send + Sync {
    /// Name of the key: the log's origin.
    fn name(&self) -> &str;
    /// The first four bytes of the key's hash, as clients of that log compute it.
    fn key_hash(&self) -> [u8; 4];
    /// Signs a note's text.
    ///
    /// # Errors
    /// A [`bulla::Fault`] when the key store cannot.
    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, bulla::Fault>;
}

/// An entry that is on disk and under a signed checkpoint, with the proof of it.
#[derive(Debug, Clone)]
pub struct Included {
    /// Its place.
    pub index: u64,
    /// Size of the tree that the proof is for.
    pub size: u64,
    /// Root of that tree.
    pub root: [u8; 32],
    /// Inclusion proof (RFC 6962 §2.1.1), from the leaf upwards.
    pub hashes: Vec<[u8; 32]>,
    /// The signed checkpoint of that tree, witness cosignatures included.
    pub checkpoint: String,
}

/// Why a log did not do what was asked.
#[derive(Debug)]
pub struct LogError;

/// A log that this process writes; cheap to clone, safe to share.
#[derive(Clone)]
pub struct Log(Arc<()>);

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}

impl Log {
    /// Appends; returns when the entry is durable and in a signed checkpoint (and not before). Blocking; entries of
    /// concurrent callers share one write.
    ///
    /// # Errors
    /// When it is too large (over 65,535 bytes), or could not be made durable.
    pub fn append(&self, _entry: Vec<u8>) -> Result<Included, LogError> {
        Err(LogError)
    }

    /// A fresh proof for an entry.
    ///
    /// # Errors
    /// When there is no such entry.
    pub fn prove(&self, _index: u64) -> Result<Included, LogError> {
        Err(LogError)
    }

    /// The bytes of an entry.
    ///
    /// # Errors
    /// When there is no such entry.
    pub fn entry(&self, _index: u64) -> Result<Vec<u8>, LogError> {
        Err(LogError)
    }

    /// A file of the tlog-tiles layout by its path below the log's URL (`checkpoint`, `tile/0/000`, …), to be served
    /// as it is.
    ///
    /// # Errors
    /// When it cannot be read; `Ok(None)` when there is none.
    pub fn file(&self, _path: &str) -> Result<Option<Vec<u8>>, LogError> {
        Err(LogError)
    }
}
