//! An append-only Merkle log in C2SP's tlog-tiles layout.
//!
//! ```text
//! append ─► Sequencer ─► Storage: entries, tiles, checkpoint     HighWaterMark: on a second path
//!                └─────► NoteSigner, Witnesses
//! prove, entry, file ◄─ what is published
//! ```
//!
//! `tree` is RFC 6962's, `tile` how it is stored, `note` and `checkpoint` how it is signed, `edge` and `sequencer`
//! how it grows, `storage` where it is, `witness` who else watches it, `audit` how readers check it.
#![forbid(unsafe_code)]

pub mod audit;
mod checkpoint;
#[cfg(test)]
mod crash;
mod edge;
mod error;
mod mark;
pub mod note;
mod sequencer;
pub mod storage;
pub mod tile;
pub mod tree;
pub mod trust;
pub mod witness;

use std::fmt;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

pub use checkpoint::{Checkpoint, LogKey};
pub use error::LogError;
pub use mark::{Head, HighWaterMark};

use edge::Stored;
use note::VerifierKey;
use sequencer::{Published, Sequencer, Shared};
use storage::Storage;
use tile::{InTiles, MAX_ENTRY, Resource, WIDTH, parse_entries};
use witness::Witnesses;

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

/// What a log is made of.
pub struct LogConfig {
    /// Where it is kept.
    pub storage: Arc<dyn Storage>,
    /// Its high-water mark; elsewhere, so that no backup restores both.
    pub mark: HighWaterMark,
    /// Who signs its checkpoints. Its name is the log's origin.
    pub signer: Arc<dyn NoteSigner>,
    /// The signer's public half: what the log is known by to those who read it.
    pub key: VerifierKey,
    /// Who cosigns them.
    pub witnesses: Witnesses,
    /// How much waits, and how much is written at once.
    pub limits: LogLimits,
}

/// Caps on what waits and on what is written at once.
#[derive(Debug, Clone, Copy)]
pub struct LogLimits {
    /// Entries that may wait; one more is [`LogError::Busy`].
    pub waiting_entries: usize,
    /// Bytes of them.
    pub waiting_bytes: usize,
    /// Entries in one write.
    pub batch_entries: usize,
    /// Bytes of them.
    pub batch_bytes: usize,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            waiting_entries: 16_384,
            waiting_bytes: 128 << 20,
            batch_entries: 4096,
            batch_bytes: 32 << 20,
        }
    }
}

/// A log that this process writes; cheap to clone, safe to share. The last clone to be dropped ends the writer and
/// lets go of the lock.
#[derive(Clone)]
pub struct Log(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    storage: Arc<dyn Storage>,
    origin: String,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({}, {})", self.0.origin, self.0.shared.published().head)
    }
}

impl Log {
    /// Makes an empty log and opens it.
    ///
    /// # Errors
    /// When there is one already, or a high-water mark of one, or it could not be made durable.
    pub fn create(config: LogConfig) -> Result<Self, LogError> {
        let (storage, limits) = (Arc::clone(&config.storage), config.limits);
        let origin = config.signer.name().to_owned();
        Self::start(Sequencer::create(config)?, storage, limits, origin)
    }

    /// Opens a log. What a crash left above the checkpoint is published if it may have been signed, and else forgotten.
    ///
    /// # Errors
    /// When another process has it, when it is damaged, and above all when it is an old copy: [`LogError::BelowMark`],
    /// [`LogError::Forked`], [`LogError::WitnessAhead`].
    pub fn open(config: LogConfig) -> Result<Self, LogError> {
        let (storage, limits) = (Arc::clone(&config.storage), config.limits);
        let origin = config.signer.name().to_owned();
        Self::start(Sequencer::open(config)?, storage, limits, origin)
    }

    /// Appends; returns when the entry is durable and in a signed checkpoint (and not before). Blocking; entries of
    /// concurrent callers share one write.
    ///
    /// # Errors
    /// When it is too large (over 65,535 bytes) or too many wait: then nothing was written. Else when it could not be made
    /// durable and published; it may be in the log nevertheless, and what is in the log stays.
    pub fn append(&self, entry: Vec<u8>) -> Result<Included, LogError> {
        if entry.len() > MAX_ENTRY {
            return Err(LogError::TooLarge { size: entry.len() });
        }
        let (sender, receiver) = sync_channel(1);
        self.0.shared.enqueue(entry, sender)?;
        let stopped = || LogError::Halted("its writer ended".into());
        let (published, index) = receiver.recv().map_err(|_| stopped())??;
        self.included(&published, index)
    }

    /// A fresh proof for an entry.
    ///
    /// # Errors
    /// When there is no such entry.
    pub fn prove(&self, index: u64) -> Result<Included, LogError> {
        self.steadily(|published| self.included(published, index))
    }

    /// The bytes of an entry.
    ///
    /// # Errors
    /// When there is no such entry.
    pub fn entry(&self, index: u64) -> Result<Vec<u8>, LogError> {
        self.steadily(|published| {
            let size = published.head.size;
            if index >= size {
                return Err(LogError::NoSuchEntry { index, size });
            }
            let bundle = index / WIDTH;
            let resource =
                Resource::Entries { index: bundle, width: tile::width_at(0, bundle, size) };
            let bytes = tile::read(self.0.storage.as_ref(), resource)?;
            let place = usize::try_from(index % WIDTH).unwrap_or(usize::MAX);
            let entry = bytes
                .as_deref()
                .and_then(|bytes| parse_entries(bytes, resource.width())?.get(place).copied());
            entry.map(<[u8]>::to_vec).ok_or_else(|| LogError::Damaged {
                path: resource.to_string(),
                detail: "it is missing, or not a bundle of that many entries".into(),
            })
        })
    }

    /// A file of the tlog-tiles layout by its path below the log's URL (`checkpoint`, `tile/0/000`, …), to be served
    /// as it is. Nothing that the checkpoint does not cover is given out.
    ///
    /// # Errors
    /// When it cannot be read; `Ok(None)` when there is none.
    pub fn file(&self, path: &str) -> Result<Option<Vec<u8>>, LogError> {
        let Some(resource) = Resource::parse(path) else { return Ok(None) };
        let found = self.steadily(|published| {
            if resource == Resource::Checkpoint {
                return Ok(Some(published.note.clone().into_bytes()));
            }
            let Some(now) = resource.at(published.head.size) else { return Ok(None) };
            if resource.width() > now.width() {
                return Ok(None);
            }
            if let Some(bytes) = tile::read(self.0.storage.as_ref(), resource)? {
                return Ok(Some(bytes));
            }
            // A width that no checkpoint had, or an older one's: the beginning of what there is.
            let missing =
                || LogError::Damaged { path: now.to_string(), detail: "it is missing".into() };
            let bytes = tile::read(self.0.storage.as_ref(), now)?.ok_or_else(missing)?;
            Ok(tile::beginning(&bytes, resource))
        });
        match found {
            Err(LogError::Damaged { .. }) => Ok(None),
            found => found,
        }
    }

    /// Reads of the published tree. Its partial tiles may be superseded and removed meanwhile; then there is a newer one.
    fn steadily<T>(&self, read: impl Fn(&Published) -> Result<T, LogError>) -> Result<T, LogError> {
        let mut tries = 8;
        loop {
            let published = self.0.shared.published();
            let found = read(&published);
            tries -= 1;
            if matches!(found, Err(LogError::Damaged { .. }))
                && tries > 0
                && self.size() != published.head.size
            {
                continue;
            }
            return found;
        }
    }

    /// How many entries are published.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.shared.published().head.size
    }

    /// Why the log takes nothing more until it is opened again; `None` while it does.
    #[must_use]
    pub fn stopped(&self) -> Option<LogError> {
        self.0.shared.closed()
    }

    /// The log's origin.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.0.origin
    }

    /// The published checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> String {
        self.0.shared.published().note.clone()
    }

    fn included(&self, published: &Published, index: u64) -> Result<Included, LogError> {
        let Head { size, root } = published.head;
        if index >= size {
            return Err(LogError::NoSuchEntry { index, size });
        }
        let reader = self.0.storage.as_ref();
        let tiles = Stored { reader, size, memory: Some(&published.tiles) };
        let hashes = tree::inclusion(&InTiles(tiles), index, size)?;
        Ok(Included { index, size, root, hashes, checkpoint: published.note.clone() })
    }

    fn start(
        sequencer: Sequencer,
        storage: Arc<dyn Storage>,
        limits: LogLimits,
        origin: String,
    ) -> Result<Self, LogError> {
        let shared = Arc::new(Shared::new(sequencer.published(), limits));
        let theirs = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("log".into())
            .spawn(move || {
                // However it ends, nobody waits for it.
                let _closed = CloseWhenDone(Arc::clone(&theirs));
                sequencer.run(&theirs);
            })
            .map_err(|e| LogError::Halted(format!("its writer could not be started: {e}")))?;
        let writer = Mutex::new(Some(writer));
        Ok(Self(Arc::new(Handle { shared, storage, origin, writer })))
    }
}

struct CloseWhenDone(Arc<Shared>);

impl Drop for CloseWhenDone {
    fn drop(&mut self) {
        self.0.close(&LogError::Halted("its writer ended".into()));
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close(&LogError::Halted("it was closed".into()));
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            let _ = writer.join();
        }
    }
}
