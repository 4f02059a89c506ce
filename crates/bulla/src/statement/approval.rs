//! What people agree to: an approval of a model for an environment, and an exception from some of its rules.
//!
//! Both name the policy, the environment and the digest of that environment's rules, not the policy's version: a new version that
//! leaves an environment as it was voids nothing that was agreed to for it (rule 10 of the security design). The model is
//! the statement's subject, by both its digests.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{check_text, malformed_attestation as malformed};
use crate::digest::{Digest, HashAlgorithm};
use crate::error::Reason;
use crate::json::object;

/// The predicate type of an approval.
pub const APPROVAL: &str = "urn:bulla:attestation:approval:v0.1";
/// The predicate type of an exception.
pub const EXCEPTION: &str = "urn:bulla:attestation:exception:v0.1";
/// Most rules that one exception can waive.
const WAIVED: usize = 100;

/// An approval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approval {
    /// For what.
    #[serde(deserialize_with = "object")]
    pub applies_to: AppliesTo,
    /// When it was given.
    pub issued: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// What was looked at, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// An exception.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exception {
    /// For what.
    #[serde(deserialize_with = "object")]
    pub applies_to: AppliesTo,
    /// The rules that need not be met, by their names in decisions.
    pub waives: Vec<String>,
    /// Why, in words.
    pub reason: String,
    /// When it was given.
    pub issued: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

/// An environment of a policy, with its rules as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppliesTo {
    /// The policy's name.
    pub policy: String,
    /// The environment.
    pub environment: String,
    /// SHA-256 of the environment's rules, hexadecimal.
    pub rules_sha256: String,
}

impl AppliesTo {
    fn check(&self) -> Result<(), Reason> {
        check_text("appliesTo.policy", &self.policy)?;
        check_text("appliesTo.environment", &self.environment)?;
        match Digest::from_hex(HashAlgorithm::Sha256, &self.rules_sha256) {
            Some(_) => Ok(()),
            None => Err(malformed(format!("{:?} is no SHA-256 of rules", self.rules_sha256))),
        }
    }
}

impl Approval {
    pub(super) fn check(&self) -> Result<(), Reason> {
        self.applies_to.check()?;
        check_window(self.issued, self.expires)?;
        self.comment.as_deref().map_or(Ok(()), |comment| check_text("comment", comment))
    }
}

impl Exception {
    pub(super) fn check(&self) -> Result<(), Reason> {
        self.applies_to.check()?;
        check_window(self.issued, self.expires)?;
        check_text("reason", &self.reason)?;
        if self.waives.is_empty() || self.waives.len() > WAIVED {
            return Err(malformed(format!(
                "it waives {} rules, expected 1 to {WAIVED}",
                self.waives.len()
            )));
        }
        self.waives.iter().try_for_each(|rule| check_text("waived rule", rule))
    }
}

fn check_window(issued: Timestamp, expires: Timestamp) -> Result<(), Reason> {
    match expires <= issued {
        true => {
            Err(malformed(format!("it ends at {expires}, not after it was issued at {issued}")))
        }
        false => Ok(()),
    }
}
