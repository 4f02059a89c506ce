//! The trust file of `bulla lineage`: who signs, for which builders, and how far a chain is believed.
//!
//! Its members have the names that they have in a policy.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bulla::jiff::SignedDuration;
use bulla::lineage::{Builder, Level, Rules, Unverified, Verifier};
use bulla::{Digest, Fault, HashAlgorithm, Limits, read_named};
use serde::Deserialize;

use crate::authorities::{Authority, Reader, TrustSection};
use crate::yaml;

/// The deepest chain that a trust file can ask for.
const MAX_DEPTH: usize = 64;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    trust: TrustSection,
    signing_authorities: BTreeMap<String, Authority>,
    #[serde(default)]
    provenance: ProvenanceSection,
    #[serde(default)]
    lineage: LineageSection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProvenanceSection {
    #[serde(default)]
    builders: Vec<BuilderEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BuilderEntry {
    id: String,
    signer: String,
    max_level: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LineageSection {
    #[serde(default)]
    max_depth: Option<usize>,
    #[serde(default)]
    unverified_parents: UnverifiedParents,
    #[serde(default)]
    no_parents_signed_by: Vec<String>,
    #[serde(default)]
    verifiers: Vec<VerifierEntry>,
    #[serde(default)]
    environment: Option<String>,
    #[serde(default)]
    max_verdict_age_days: Option<u32>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum UnverifiedParents {
    #[default]
    Deny,
    Allow,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifierEntry {
    id: String,
    signer: String,
    /// Of the trust files or policies by which it may have decided.
    #[serde(default)]
    policy_sha256: Vec<String>,
}

/// A trust file that was read, with every file that it names.
#[derive(Debug)]
pub struct TrustFile {
    /// The rules that it makes.
    pub rules: Rules,
    /// SHA-256 of its bytes. As other files are named with their digests, it is the digest of them all.
    pub digest: Digest,
}

impl TrustFile {
    /// Reads a trust file.
    ///
    /// # Errors
    /// [`Fault::TrustFile`] says what is wrong with it, and in which line if it is no such YAML; [`Fault::Io`] when it, or a file that
    /// it names, cannot be read.
    pub fn read(path: &Path, limits: &Limits) -> Result<Self, Fault> {
        let bytes = read_named(path, yaml::DOCUMENT_BYTES)?;
        let document: Document = yaml::read(path, &bytes)?;
        let parties =
            Reader { path, limits }.parties(&document.trust, &document.signing_authorities)?;
        let fault = |detail: String| yaml::malformed(path, detail);
        let known = |what: &str, id: &str| match document.signing_authorities.contains_key(id) {
            true => Ok(()),
            false => Err(fault(format!("{what}: there is no {id} under signing_authorities"))),
        };

        let LineageSection { max_depth, verifiers, no_parents_signed_by, .. } = document.lineage;
        let mut rules = Rules::new(parties);
        for builder in document.provenance.builders {
            known("builders", &builder.signer)?;
            let max_level = Level::of(&builder.max_level).ok_or_else(|| {
                fault(format!(
                    "builders: max_level is {:?}, expected SLSA_BUILD_LEVEL_1, _2 or _3",
                    builder.max_level
                ))
            })?;
            if !builder.id.contains(':') {
                return Err(fault(format!("builders: the id {:?} is no URI", builder.id)));
            }
            rules.builders.push(Builder { id: builder.id, signer: builder.signer, max_level });
        }
        for verifier in verifiers {
            known("verifiers", &verifier.signer)?;
            let mut policies = BTreeSet::new();
            for digest in &verifier.policy_sha256 {
                let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
                if Digest::from_hex(HashAlgorithm::Sha256, hex).is_none() {
                    return Err(fault(format!("verifiers: {digest:?} is no SHA-256")));
                }
                policies.insert(hex.to_owned());
            }
            rules.verifiers.push(Verifier { id: verifier.id, signer: verifier.signer, policies });
        }
        for id in &no_parents_signed_by {
            known("no_parents_signed_by", id)?;
        }
        rules.no_parents_signed_by = no_parents_signed_by;
        if let Some(depth) = max_depth {
            if depth > MAX_DEPTH {
                return Err(fault(format!("max_depth is {depth}, at most {MAX_DEPTH} is allowed")));
            }
            rules.max_depth = depth;
        }
        rules.unverified_parents = match document.lineage.unverified_parents {
            UnverifiedParents::Deny => Unverified::Deny,
            UnverifiedParents::Allow => Unverified::Allow,
        };
        rules.environment = document.lineage.environment;
        if let Some(days) = document.lineage.max_verdict_age_days {
            rules.max_verdict_age = SignedDuration::from_hours(i64::from(days) * 24);
        }
        Ok(Self { rules, digest: Digest::sha256(&bytes) })
    }
}
