//! Being a witness: the decision whether a checkpoint is cosigned.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bulla::jiff::Timestamp;
use bulla::sign::ToSign;
use bulla::{Printable, Signer};

use super::super::LogError;
use super::super::checkpoint::{Checkpoint, LogKey};
use super::super::note::{Note, NoteError, NoteSignature, SignatureType, VerifierKey, cosigned};
use super::super::storage::{Guard, Storage, StorageError};
use super::super::tree;
use super::AddCheckpoint;

/// Written when a witness is made: a state that was lost is not an empty one.
const MARKER: &str = "witness";

/// A witness: cosigns checkpoints of the logs that it knows, each only if it extends the last.
pub struct CosigningWitness {
    signer: Box<dyn Signer + Send + Sync>,
    key: VerifierKey,
    logs: Vec<LogKey>,
    /// One decision at a time: what was cosigned last is read, compared and replaced in one go.
    storage: Mutex<Arc<dyn Storage>>,
    _lock: Guard,
}

impl fmt::Debug for CosigningWitness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CosigningWitness({})", self.key)
    }
}

/// Why a checkpoint is not cosigned, each with the status that the specification gives it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessRefusal {
    /// 400
    #[error("the request is malformed: {0}")]
    Malformed(&'static str),
    /// 400
    #[error("the old size {old} is larger than the checkpoint's, {size}")]
    OldIsLarger {
        /// `old`
        old: u64,
        /// The checkpoint's size.
        size: u64,
    },
    /// 404
    #[error("the log {} is not known here", Printable(origin))]
    UnknownLog {
        /// Its origin.
        origin: String,
    },
    /// 403
    #[error("the checkpoint is not signed by the log: {0}")]
    NotSigned(NoteError),
    /// 409: the last checkpoint that was cosigned has this size.
    #[error("the last cosigned checkpoint has size {size}")]
    Conflict {
        /// That size.
        size: u64,
    },
    /// 422
    #[error("the consistency proof does not hold")]
    Inconsistent,
    /// 500: nothing is cosigned that could not be written down.
    #[error("{0}")]
    Fault(String),
}

impl WitnessRefusal {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) | Self::OldIsLarger { .. } => 400,
            Self::NotSigned(_) => 403,
            Self::UnknownLog { .. } => 404,
            Self::Conflict { .. } => 409,
            Self::Inconsistent => 422,
            Self::Fault(_) => 500,
        }
    }

    /// Content type and body of the answer.
    #[must_use]
    pub fn body(&self) -> (&'static str, String) {
        match self {
            Self::Conflict { size } => ("text/x.tlog.size", format!("{size}\n")),
            other => ("text/plain; charset=utf-8", format!("{other}\n")),
        }
    }
}

impl From<StorageError> for WitnessRefusal {
    fn from(error: StorageError) -> Self {
        Self::Fault(error.to_string())
    }
}

impl CosigningWitness {
    /// Prepares the state of a new witness.
    ///
    /// # Errors
    /// When there is one, or it cannot be written.
    pub fn create(storage: &dyn Storage, key: &VerifierKey) -> Result<(), LogError> {
        let _lock = storage.lock()?;
        Ok(storage.replace(MARKER, None, format!("{key}\n").as_bytes())?)
    }

    /// A witness with the state that `storage` holds; `key` is the signer's public half.
    ///
    /// # Errors
    /// When the state is not there or another witness's: one that began anew would cosign forks.
    pub fn open(
        storage: Arc<dyn Storage>,
        signer: Box<dyn Signer + Send + Sync>,
        key: VerifierKey,
        logs: Vec<LogKey>,
    ) -> Result<Self, LogError> {
        let lock = storage.lock()?;
        let damaged = |detail: String| LogError::Damaged { path: MARKER.into(), detail };
        if key.kind() != SignatureType::Cosignature {
            return Err(damaged(format!("{key} is not a witness's key (type 4)")));
        }
        match storage.read(MARKER, 4096)? {
            Some(bytes) if bytes == format!("{key}\n").as_bytes() => {}
            Some(_) => return Err(damaged(format!("it is not the state of {key}"))),
            None => return Err(damaged("the witness's state is not there".into())),
        }
        Ok(Self { signer, key, logs, storage: Mutex::new(storage), _lock: lock })
    }

    /// Its public half.
    #[must_use]
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Decides on the body of an `add-checkpoint` request: the body of the answer, or why not.
    ///
    /// # Errors
    /// [`WitnessRefusal`], with the status to answer with.
    pub fn add_checkpoint(&self, body: &[u8], now: Timestamp) -> Result<String, WitnessRefusal> {
        let request = AddCheckpoint::parse(body).map_err(WitnessRefusal::Malformed)?;
        let malformed = |_| WitnessRefusal::Malformed("its checkpoint is malformed");
        let note = Note::parse(request.checkpoint.as_bytes()).map_err(malformed)?;
        let new = Checkpoint::parse(note.unverified_text()).map_err(malformed)?;

        // 404, then 403. Exactly its origin: what is remembered is remembered by origin, and a log with two of them could show two
        // histories.
        let own = |log: &&LogKey| log.origin() == new.origin;
        let keys: Vec<_> = self.logs.iter().filter(own).map(LogKey::key).collect();
        if keys.is_empty() {
            return Err(WitnessRefusal::UnknownLog { origin: new.origin });
        }
        note.verify(keys).map_err(WitnessRefusal::NotSigned)?;
        // 400.
        if request.old > new.size {
            return Err(WitnessRefusal::OldIsLarger { old: request.old, size: new.size });
        }
        // 409, 422, and writing it down: nobody else decides meanwhile.
        let storage = self.storage.lock().unwrap_or_else(PoisonError::into_inner);
        let path = format!("{}.log", bulla::Digest::sha256(new.origin.as_bytes()).to_hex());
        let before = storage.read(&path, super::request::MAX_REQUEST)?;
        let last = before.as_deref().map(|text| read_state(text, &new.origin)).transpose()?;
        let (last_size, last_root) =
            last.map_or((0, tree::empty_root()), |last| (last.size, last.root));
        if request.old != last_size || (new.size == last_size && new.root != last_root) {
            return Err(WitnessRefusal::Conflict { size: last_size });
        }
        if !tree::verify_consistency(last_size, &last_root, new.size, &new.root, &request.proof) {
            return Err(WitnessRefusal::Inconsistent);
        }
        storage.replace(&path, before.as_deref(), note.unverified_text().as_bytes())?;
        drop(storage);

        let time = u64::try_from(now.as_second())
            .map_err(|_| WitnessRefusal::Fault("the clock is before 1970".into()))?;
        let message = cosigned(note.unverified_text().as_bytes(), time);
        let signed = self
            .signer
            .sign(ToSign::Message(&message))
            .map_err(|fault| WitnessRefusal::Fault(fault.to_string()))?;
        let bytes = [time.to_be_bytes().as_slice(), &signed.signature].concat();
        if !self.key.verifies(note.unverified_text().as_bytes(), &bytes) {
            return Err(WitnessRefusal::Fault("the witness's key does not sign".into()));
        }
        let name = self.key.name().to_owned();
        Ok(format!("{}\n", NoteSignature { name, id: self.key.id(), bytes }))
    }
}

fn read_state(text: &[u8], origin: &str) -> Result<Checkpoint, WitnessRefusal> {
    let damaged = || WitnessRefusal::Fault(format!("the witness's state of {origin} is damaged"));
    let text = std::str::from_utf8(text).map_err(|_| damaged())?;
    Checkpoint::parse(text).ok().filter(|last| last.origin == origin).ok_or_else(damaged)
}
