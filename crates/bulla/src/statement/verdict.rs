//! What a verifier decided: SLSA's verification summary
//! (`https://slsa.dev/verification_summary/v1`).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::descriptor::DigestSet;
use super::{check_text, check_uri, malformed_attestation as malformed};
use crate::error::Reason;
use crate::json::{object, objects};

/// The predicate type.
pub const PREDICATE_TYPE: &str = "https://slsa.dev/verification_summary/v1";
/// Most attestations and levels that one verdict can list.
const LISTED: usize = 10_000;

/// A verdict. Members that are not known are passed over, as SLSA's parsing rules want it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Who decided.
    #[serde(deserialize_with = "object")]
    pub verifier: Verifier,
    /// When.
    pub time_verified: Timestamp,
    /// About what.
    pub resource_uri: String,
    /// By which policy.
    #[serde(deserialize_with = "object")]
    pub policy: Reference,
    /// What was looked at: everything, or the member is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "objects")]
    pub input_attestations: Vec<Reference>,
    /// The decision.
    pub verification_result: VerificationResult,
    /// Levels that were reached, one for each track.
    pub verified_levels: Vec<String>,
    /// How many dependencies reached which level.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dependency_levels: BTreeMap<String, u64>,
    /// Which version of SLSA's levels is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slsa_version: Option<String>,
    /// Bulla's extension: the environment that it was decided for. It narrows what the verdict is good for.
    #[serde(default, rename = "bulla_environment", skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Bulla's extension: when it ends. It narrows what the verdict is good for.
    #[serde(default, rename = "bulla_expiresOn", skip_serializing_if = "Option::is_none")]
    pub expires_on: Option<Timestamp>,
}

/// Who decided.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Verifier {
    /// A URI.
    pub id: String,
    /// Versions of its parts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub version: BTreeMap<String, String>,
}

/// A document by its digest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// Where it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uri: String,
    /// Its digests.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digest: DigestSet,
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum VerificationResult {
    /// Every rule was met.
    Passed,
    /// At least one was not.
    Failed,
}

impl Verdict {
    pub(super) fn check(&self) -> Result<(), Reason> {
        check_uri("verifier.id", &self.verifier.id)?;
        check_uri("resourceUri", &self.resource_uri)?;
        check_uri("policy.uri", &self.policy.uri)?;
        let lists = [
            self.verified_levels.len(),
            self.input_attestations.len(),
            self.dependency_levels.len(),
        ];
        if lists.into_iter().any(|length| length > LISTED) {
            return Err(malformed(format!("one of its lists has more than {LISTED} entries")));
        }
        let levels = self.verified_levels.iter().chain(self.dependency_levels.keys());
        levels.into_iter().try_for_each(|level| check_text("level", level))?;
        self.environment.as_deref().map_or(Ok(()), |name| check_text("environment", name))?;
        if self.expires_on.is_some_and(|end| end <= self.time_verified) {
            return Err(malformed("it ends before it was made"));
        }
        Ok(())
    }
}
