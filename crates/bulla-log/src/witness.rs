//! Witnesses (c2sp.org/tlog-witness): who sees a log's checkpoints and cosigns only those that extend what was cosigned before.
//!
//! ```text
//! as a log:      Sequencer ─ Witnesses::cosign ─► Witness::add_checkpoint (HTTP is elsewhere) ─► cosignatures
//! as a witness:  request ─► CosigningWitness::add_checkpoint ─► cosignature, or the status to answer with
//! ```

mod request;
mod server;

use std::fmt;
use std::sync::Mutex;
use std::sync::PoisonError;

use super::LogError;
use super::mark::Head;
use super::note::{NoteSignature, VerifierKey};
use super::tree::{self, Nodes};

pub use request::AddCheckpoint;
pub use server::{CosigningWitness, WitnessRefusal};

/// Someone who cosigns a log's checkpoints. It blocks until there is an answer; timeouts are the implementation's.
pub trait Witness: Send + Sync {
    /// Sends `add-checkpoint`.
    ///
    /// # Errors
    /// Why there is no answer, in words.
    fn add_checkpoint(&self, request: &AddCheckpoint) -> Result<WitnessAnswer, String>;
}

/// What a witness answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WitnessAnswer {
    /// 200: the body, signature lines.
    Cosigned(String),
    /// 409: the size of the last checkpoint that it cosigned.
    Conflict(u64),
    /// Anything else.
    Refused {
        /// The status.
        status: u16,
        /// The body, or its beginning.
        detail: String,
    },
}

/// The witnesses of a log, and how many of them must cosign before a checkpoint is published.
#[derive(Debug, Default)]
pub struct Witnesses {
    list: Vec<Known>,
    needed: usize,
}

struct Known {
    key: VerifierKey,
    witness: Box<dyn Witness>,
    /// The size that it last cosigned, as far as is known.
    seen: Mutex<u64>,
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)
    }
}

/// Why one witness did not cosign.
enum Missing {
    /// It knows more than there is, or something else: the log must stop.
    Ahead(String),
    Failed(String),
}

/// More 409s in a row than this are no honest answer.
const TRIES: usize = 3;
/// The longest answer that is looked at.
const MAX_ANSWER: usize = 64 << 10;

impl Witnesses {
    /// Nobody.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// These witnesses; `needed` of them must cosign.
    ///
    /// # Errors
    /// When there are fewer than are needed, or one is named twice.
    pub fn new(
        list: Vec<(VerifierKey, Box<dyn Witness>)>,
        needed: usize,
    ) -> Result<Self, LogError> {
        let error = |detail: String| LogError::NotWitnessed { got: list.len(), needed, detail };
        if needed > list.len() {
            return Err(error("fewer witnesses are named than are needed".into()));
        }
        let mut keys: Vec<_> = list.iter().map(|(key, _)| key.public_key().spki_der()).collect();
        keys.sort_unstable();
        keys.dedup();
        if keys.len() != list.len() {
            return Err(error("a witness is named twice".into()));
        }
        let known = |(key, witness)| Known { key, witness, seen: Mutex::new(0) };
        Ok(Self { list: list.into_iter().map(known).collect(), needed })
    }

    /// Has a signed checkpoint cosigned: the note with the cosignatures, or why not.
    pub(super) fn cosign<N>(&self, note: &str, head: Head, nodes: &N) -> Result<String, LogError>
    where
        N: Nodes<Error = LogError> + Sync,
    {
        // Of the empty tree there is nothing to witness.
        if self.list.is_empty() || head.size == 0 {
            return Ok(note.to_owned());
        }
        let answers: Vec<Result<String, Missing>> = std::thread::scope(|scope| {
            let ask = |known| scope.spawn(move || Known::cosign(known, note, head, nodes));
            let asked: Vec<_> = self.list.iter().map(ask).collect();
            let lost = |_| Err(Missing::Failed("asking it failed".into()));
            asked.into_iter().map(|thread| thread.join().unwrap_or_else(lost)).collect()
        });
        let (mut note, mut got, mut failed) = (note.to_owned(), 0, Vec::new());
        for (known, answer) in self.list.iter().zip(answers) {
            match answer {
                Ok(line) => {
                    note.push_str(&line);
                    got += 1;
                }
                Err(Missing::Ahead(what)) => {
                    let witness = known.key.label();
                    return Err(LogError::WitnessAhead { witness, known: what, found: head });
                }
                Err(Missing::Failed(why)) => failed.push(format!("{}: {why}", known.key.name())),
            }
        }
        if got >= self.needed {
            return Ok(note);
        }
        let detail = failed.join("; ");
        Err(LogError::NotWitnessed { got, needed: self.needed, detail })
    }
}

impl Known {
    fn cosign<N>(&self, note: &str, head: Head, nodes: &N) -> Result<String, Missing>
    where
        N: Nodes<Error = LogError>,
    {
        let failed = |what: String| Err(Missing::Failed(what));
        for _ in 0..TRIES {
            let old = *self.seen();
            let proof = tree::consistency(nodes, old, head.size)
                .map_err(|error| Missing::Failed(error.to_string()))?;
            let request = AddCheckpoint { old, proof, checkpoint: note.to_owned() };
            match self.witness.add_checkpoint(&request) {
                Ok(WitnessAnswer::Cosigned(lines)) => {
                    let Some(line) = self.own_line(note, &lines) else {
                        return failed("its answer holds no valid cosignature of its own".into());
                    };
                    *self.seen() = head.size;
                    return Ok(line);
                }
                Ok(WitnessAnswer::Conflict(size)) if size > head.size => {
                    return Err(Missing::Ahead(format!("size {size}")));
                }
                // Its size is ours, but not its root.
                Ok(WitnessAnswer::Conflict(size)) if size == old && size == head.size => {
                    return Err(Missing::Ahead(format!("another root at size {size}")));
                }
                Ok(WitnessAnswer::Conflict(size)) => *self.seen() = size,
                Ok(WitnessAnswer::Refused { status: 422, .. }) if old > 0 => {
                    return Err(Missing::Ahead(format!(
                        "another tree at size {old}: it refused the proof (422)"
                    )));
                }
                Ok(WitnessAnswer::Refused { status, detail }) => {
                    let detail: String = detail.chars().take(200).collect();
                    return failed(format!("it answered {status} {detail}"));
                }
                Err(why) => return failed(why),
            }
        }
        failed("it answers 409 with another size each time".into())
    }

    /// Its signature line out of an answer; other keys' are passed over.
    fn own_line(&self, note: &str, answer: &str) -> Option<String> {
        let (text, _) = note.rsplit_once("\n\n")?;
        let text = format!("{text}\n");
        let answer = answer.get(..answer.len().min(MAX_ANSWER))?;
        let mut lines = answer.lines().filter_map(|line| NoteSignature::parse(line).ok());
        let own = lines.find(|line| {
            line.name == self.key.name()
                && line.id == self.key.id()
                && self.key.verifies(text.as_bytes(), &line.bytes)
        })?;
        Some(format!("{own}\n"))
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, u64> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
