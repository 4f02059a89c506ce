//! The logs as the services see them, and how their checkpoints are signed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bulla::Fault;

use crate::keys::{ServiceKey, sha256};
use bulla_log::note::VerifierKey;
use bulla_log::storage::{LocalDirectory, StorageError};
use bulla_log::witness::Witnesses;
use bulla_log::{HighWaterMark, Included, Log, LogConfig, LogError, LogLimits, NoteSigner};

/// What services ask of a log. [`Log`] does it; tests put one here that refuses.
pub(crate) trait Ledger: Send + Sync {
    /// [`Log::append`]
    ///
    /// # Errors
    /// When the entry is not durable.
    fn append(&self, entry: Vec<u8>) -> Result<Included, LogError>;
    /// [`Log::prove`]
    ///
    /// # Errors
    /// When there is no such entry.
    fn prove(&self, index: u64) -> Result<Included, LogError>;
    /// [`Log::entry`]
    ///
    /// # Errors
    /// When there is no such entry.
    fn entry(&self, index: u64) -> Result<Vec<u8>, LogError>;
    /// [`Log::file`]
    ///
    /// # Errors
    /// When it cannot be read.
    fn file(&self, path: &str) -> Result<Option<Vec<u8>>, LogError>;
    /// [`Log::stopped`]
    fn stopped(&self) -> Option<LogError>;
}

impl Ledger for Log {
    fn append(&self, entry: Vec<u8>) -> Result<Included, LogError> {
        Self::append(self, entry)
    }
    fn prove(&self, index: u64) -> Result<Included, LogError> {
        Self::prove(self, index)
    }
    fn entry(&self, index: u64) -> Result<Vec<u8>, LogError> {
        Self::entry(self, index)
    }
    fn file(&self, path: &str) -> Result<Option<Vec<u8>>, LogError> {
        Self::file(self, path)
    }
    fn stopped(&self) -> Option<LogError> {
        Self::stopped(self)
    }
}

/// Most bytes in an entry of a tiled log.
pub(crate) const ENTRY_BYTES: usize = 65_535;

/// Where a log is: its files, and its high-water mark, which should be on another disk.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) files: PathBuf,
    pub(crate) marks: PathBuf,
    /// Name of the mark.
    pub(crate) mark: String,
}

/// Makes the log of a new generation.
pub(crate) fn create(place: &Place, note: Note) -> Result<(), Fault> {
    let config = config(place, note, LocalDirectory::create)?;
    Log::create(config).map(drop).map_err(|e| fault("make", &place.files, e))
}

/// Opens a log; one that is missing is not made anew, for that would be a fork.
pub(crate) fn open(place: &Place, note: Note) -> Result<Arc<dyn Ledger>, Fault> {
    let config = config(place, note, LocalDirectory::open)?;
    let log = Log::open(config).map_err(|e| fault("open", &place.files, e))?;
    Ok(Arc::new(log))
}

fn config(
    place: &Place,
    note: Note,
    directory: fn(&Path) -> Result<LocalDirectory, StorageError>,
) -> Result<LogConfig, Fault> {
    let open = |path: &Path| {
        let directory = directory(path).map_err(|e| fault("open", path, e))?;
        Ok::<_, Fault>(Arc::new(directory))
    };
    let key = VerifierKey::of_log(note.name(), note.key.public().clone())
        .map_err(|e| fault("open", &place.files, e))?;
    Ok(LogConfig {
        storage: open(&place.files)?,
        mark: HighWaterMark::new(open(&place.marks)?, &place.mark),
        signer: Arc::new(note),
        key,
        witnesses: Witnesses::none(),
        limits: LogLimits::default(),
    })
}

fn fault(doing: &'static str, path: &Path, error: impl std::fmt::Display) -> Fault {
    Fault::io(doing, path, std::io::Error::other(error.to_string()))
}

/// Number of entries that the current checkpoint covers.
pub(crate) fn size(log: &dyn Ledger) -> Result<u64, LogError> {
    let Some(checkpoint) = log.file("checkpoint")? else { return Ok(0) };
    let text = String::from_utf8_lossy(&checkpoint);
    Ok(text.lines().nth(1).and_then(|line| line.parse().ok()).unwrap_or(0))
}

/// Signs a log's checkpoints with one of the authority's keys.
#[derive(Debug)]
pub(crate) struct Note {
    name: String,
    key: Arc<ServiceKey>,
    key_hash: [u8; 4],
}

impl Note {
    /// With an ECDSA key, which is named by its own hash whatever the log is called.
    pub(crate) fn ecdsa(name: String, key: Arc<ServiceKey>) -> Self {
        let key_hash = first_four(key.id());
        Self { name, key, key_hash }
    }

    /// With an Ed25519 key (c2sp.org/signed-note).
    pub(crate) fn ed25519(name: String, key: Arc<ServiceKey>) -> Self {
        let key_hash = first_four(ed25519_log_id(&name, key.public().spki_der()));
        Self { name, key, key_hash }
    }
}

impl NoteSigner for Note {
    fn name(&self) -> &str {
        &self.name
    }
    fn key_hash(&self) -> [u8; 4] {
        self.key_hash
    }
    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, Fault> {
        self.key.sign(text)
    }
}

/// How a log with an Ed25519 key is named: the hash that a signed note's key has, in full.
pub(crate) fn ed25519_log_id(name: &str, spki: &[u8]) -> [u8; 32] {
    // The key is what an Ed25519 `SubjectPublicKeyInfo` ends with (RFC 8410 §4).
    let key = spki.last_chunk::<32>().map_or(&[][..], |key| &key[..]);
    sha256(&[name.as_bytes(), b"\n\x01", key].concat())
}

/// What a signed note calls a key.
pub(crate) fn first_four(id: [u8; 32]) -> [u8; 4] {
    let [a, b, c, d, ..] = id;
    [a, b, c, d]
}

/// An error of a log, for tests of what happens then.
#[cfg(test)]
pub(crate) fn refusing() -> LogError {
    LogError::Halted("its disk is full".into())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    /// Of the public instance's trusted root.
    #[test]
    fn a_log_with_an_ed25519_key_is_named_as_the_public_one_is() {
        let key = "MCowBQYDK2VwAyEAt8rlp1knGwjfbcXAYPYAkn0XiLz1x8O4t0YkEhie244=";
        let spki = STANDARD.decode(key).unwrap();
        let id = super::ed25519_log_id("log2025-1.rekor.sigstore.dev", &spki);
        assert_eq!(STANDARD.encode(id), "zxGZFVvd0FEmjR8WrFwMdcAJ9vtaY/QXf44Y1wUeP6A=");
    }
}
