//! What is current: a release binds a name and a number to a model, and says which claims about it count.
//!
//! Signatures and claims never expire by themselves, and old ones stay valid: whoever can choose between them could
//! bring back an old model, or leave claims out. A release, signed by an authority for it, closes that (rule 7 of the
//! security design).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{check_text, malformed_attestation as malformed};
use crate::digest::{Digest, HashAlgorithm};
use crate::error::Reason;
use crate::json::objects;

/// The predicate type.
pub const PREDICATE_TYPE: &str = "urn:bulla:attestation:release:v0.1";
/// Most claims that one release can list.
const CLAIMS: usize = 10_000;

/// A release. The model is the statement's subject, by both its digests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Release {
    /// The name that the model is deployed by.
    pub name: String,
    /// Which release of this name it is: 1 and up, never twice, never back.
    pub sequence: u64,
    /// The claims that count, and that have to be there.
    #[serde(deserialize_with = "objects")]
    pub claims: Vec<ListedClaim>,
    /// When it was made.
    pub issued: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

/// A claim in a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListedClaim {
    /// Its predicate type, for people.
    pub predicate_type: String,
    /// SHA-256 of its payload, hexadecimal.
    pub sha256: String,
}

impl ListedClaim {
    /// The digest of the payload.
    #[must_use]
    pub fn payload(&self) -> Option<Digest> {
        Digest::from_hex(HashAlgorithm::Sha256, &self.sha256)
    }
}

impl Release {
    pub(super) fn check(&self) -> Result<(), Reason> {
        check_text("name", &self.name)?;
        if self.sequence == 0 {
            return Err(malformed("its sequence is 0, expected 1 or more"));
        }
        if self.expires <= self.issued {
            return Err(malformed(format!(
                "it ends at {}, not after it was issued at {}",
                self.expires, self.issued
            )));
        }
        if self.claims.len() > CLAIMS {
            return Err(malformed(format!("it lists more than {CLAIMS} claims")));
        }
        let mut seen = std::collections::HashSet::new();
        for claim in &self.claims {
            let Some(payload) = claim.payload() else {
                return Err(malformed(format!("{:?} is no SHA-256 of a claim", claim.sha256)));
            };
            if !seen.insert(payload) {
                return Err(malformed(format!("it lists the claim {} twice", claim.sha256)));
            }
        }
        Ok(())
    }
}
