//! The body of `add-checkpoint`.

use super::super::checkpoint::{parse_hash, show_hash};
use super::super::note::MAX_NOTE;
use super::super::tile::decimal;
use super::super::tree::Hash;

/// The most hashes in a consistency proof.
const MAX_PROOF: usize = 63;
/// The largest body: `old`, the proof, the checkpoint.
pub(super) const MAX_REQUEST: u64 = MAX_NOTE + 4096;

/// `add-checkpoint`: from the size last cosigned to a new checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size of the checkpoint that the witness cosigned last.
    pub old: u64,
    /// Consistency proof from there.
    pub proof: Vec<Hash>,
    /// The new checkpoint, signed.
    pub checkpoint: String,
}

impl AddCheckpoint {
    /// The body.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut body = format!("old {}\n", self.old);
        for hash in &self.proof {
            body.push_str(&show_hash(hash));
            body.push('\n');
        }
        format!("{body}\n{}", self.checkpoint)
    }

    /// Reads a body; the checkpoint is not looked at.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(body: &[u8]) -> Result<Self, &'static str> {
        if u64::try_from(body.len()).map_or(true, |length| length > MAX_REQUEST) {
            return Err("it is too large");
        }
        let body = std::str::from_utf8(body).map_err(|_| "it is not UTF-8")?;
        let (head, checkpoint) = body.split_once("\n\n").ok_or("it has no empty line")?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(decimal);
        let old = old.ok_or("its first line is not 'old' and a size")?;
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() == MAX_PROOF {
                return Err("its proof has more than 63 hashes");
            }
            proof.push(parse_hash(line).ok_or("a line of its proof is not a hash in base64")?);
        }
        Ok(Self { old, proof, checkpoint: checkpoint.to_owned() })
    }
}
