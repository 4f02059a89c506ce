//! A decision: every rule with what was found, what decided it, and what would mend it.

use std::collections::{BTreeMap, BTreeSet};

use bulla::jiff::{SignedDuration, Timestamp};
use bulla::lineage::{Stated, resource_uri};
use bulla::report::SignedByReport;
use bulla::statement::descriptor::{DigestSet, ResourceDescriptor};
use bulla::statement::verdict::{Reference, Verdict, VerificationResult, Verifier};
use bulla::{Digest, Fault, ModelDigests, Predicate, SignedBy, Statement, TrustedTime};
use serde::{Serialize, Serializer};

use crate::environment::Mode;
use crate::rules::custom;

/// How long a verdict counts where the environment does not say.
const VERDICT_HOURS: i64 = 30 * 24;

/// What was decided.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Decision {
    /// Whether the model may be deployed.
    pub admitted: bool,
    /// Whether every rule was met. One that was waived, or is only warned of, was not.
    pub passed: bool,
    /// What becomes of a model that does not meet the rules.
    #[serde(serialize_with = "mode")]
    pub mode: Mode,
    /// For which environment.
    pub environment: String,
    /// The name by which it would be deployed.
    pub name: String,
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "digests")]
    pub digests: Option<ModelDigests>,
    /// SHA-256 of the signature file that was looked at.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "one")]
    pub signature: Option<Digest>,
    /// Who signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<SignedByReport>,
    /// The parties that stand for that.
    pub parties: BTreeSet<String>,
    /// The sequence of the signed release that counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// By which policy.
    pub policy: PolicyReference,
    /// When.
    pub at: Timestamp,
    /// Every rule.
    pub findings: Vec<Finding>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// SHA-256 of every statement that was looked at.
    #[serde(serialize_with = "each")]
    pub evidence: BTreeSet<Digest>,
    /// The build level that the model reaches.
    pub level: String,
    /// How many of its ancestors reach which level.
    pub dependency_levels: BTreeMap<String, u64>,
    /// Bytes of all its files.
    #[serde(skip)]
    pub size: u64,
    /// SHA-256 of each of its files, where they were measured so.
    #[serde(skip)]
    pub files: Vec<Digest>,
    /// The signature and the statements about the model, with what each rests on: for whoever has to find them again when that is
    /// withdrawn.
    #[serde(skip)]
    pub sightings: Vec<Sighting>,
    /// How long a verdict about it counts.
    #[serde(skip)]
    pub valid_for: SignedDuration,
}

/// A signature, or a signed statement, of somebody whom the policy names.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Sighting {
    /// SHA-256 of the signature file, or of the statement's payload.
    pub what: Digest,
    /// The statement's predicate type; `None` for the signature of the model.
    pub predicate_type: Option<String>,
    /// What policies call it: `provenance`, `approval`, …; `oms` for the signature of the model.
    pub role: String,
    /// The parties that stand for it.
    pub parties: BTreeSet<String>,
    /// Who signed.
    pub signed_by: SignedBy,
    /// Times by which it existed.
    pub times: Vec<TrustedTime>,
    /// For provenance: what the model was made from.
    pub parents: Vec<ModelDigests>,
}

impl Sighting {
    pub(crate) fn of(stated: &Stated) -> Self {
        let claim = &stated.claim;
        let predicate = &claim.value().statement.predicate;
        let parents = match predicate {
            Predicate::Provenance(provenance) => {
                let inputs = provenance.build_definition.resolved_dependencies.iter();
                inputs.filter_map(|input| ModelDigests::read(input).ok()).collect()
            }
            _ => Vec::new(),
        };
        Self {
            what: claim.value().payload,
            predicate_type: Some(predicate.predicate_type().to_owned()),
            role: predicate.name().to_owned(),
            parties: stated.parties.clone(),
            signed_by: claim.signed_by().clone(),
            times: claim.times().to_vec(),
            parents,
        }
    }
}

/// A policy by its name.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct PolicyReference {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// SHA-256 of its bytes.
    #[serde(serialize_with = "sha256")]
    pub digest: Digest,
    /// SHA-256 of the environment's rules.
    #[serde(serialize_with = "sha256")]
    pub rules: Digest,
}

/// A rule, and what was found of it.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// Its name: stable, and what an exception names.
    pub rule: String,
    /// Whether it was met.
    pub outcome: Outcome,
    /// What was found.
    pub found: String,
    /// What was expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// SHA-256 of the statements or the signature that decided it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// What would mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Whether a rule was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was.
    Met,
    /// It was not, and somebody who may has waived it.
    Waived,
    /// It was not.
    NotMet,
}

impl Finding {
    pub(crate) fn met(rule: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(rule, Outcome::Met, found)
    }

    pub(crate) fn not_met(
        rule: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            expected: Some(expected.into()).filter(|text: &String| !text.is_empty()),
            remedy: Some(remedy.into()).filter(|text: &String| !text.is_empty()),
            ..Self::new(rule, Outcome::NotMet, found)
        }
    }

    fn new(rule: impl Into<String>, outcome: Outcome, found: impl Into<String>) -> Self {
        Self {
            rule: rule.into(),
            outcome,
            found: found.into(),
            expected: None,
            evidence: Vec::new(),
            remedy: None,
        }
    }

    /// With what decided it.
    pub(crate) fn by(mut self, evidence: impl IntoIterator<Item = Digest>) -> Self {
        let named = evidence.into_iter().map(|digest| format!("sha256:{}", digest.to_hex()));
        self.evidence.extend(named);
        self
    }
}

impl Decision {
    /// As a verification summary (VSA), for a verifier to sign: "no" as well as "yes".
    ///
    /// It is about the model, where its files were seen to be what was signed. Else it is about the signature file that lay there; or, if
    /// there was none, about this decision: a "no" about the digests that a signature names would be one about the good model, for
    /// everybody who cares to change a copy of it.
    ///
    /// # Errors
    /// [`Fault::Bug`] if the decision cannot be written.
    pub fn statement(&self, verifier: &str, policy_uri: &str) -> Result<Statement, Fault> {
        let sha256 = |digest: Digest| DigestSet::from([("sha256".to_owned(), digest.to_hex())]);
        let other = |name: String, digest| ResourceDescriptor {
            name,
            digest: sha256(digest),
            ..ResourceDescriptor::default()
        };
        let (subject, resource_uri) = match (&self.digests, self.signature) {
            (Some(model), _) => (model.descriptor(&self.name, None), resource_uri(model)),
            (None, Some(signature)) => (
                other(format!("signature of {}", self.name), signature),
                format!("urn:bulla:signature:sha256:{}", signature.to_hex()),
            ),
            (None, None) => {
                let written = serde_json::to_vec(self);
                let written =
                    written.map_err(|_| Fault::Bug { what: "a decision cannot be written" })?;
                let digest = Digest::sha256(&written);
                (
                    other(format!("decision about {}", self.name), digest),
                    format!("urn:bulla:decision:sha256:{}", digest.to_hex()),
                )
            }
        };
        let verdict = self.verdict(verifier, policy_uri, resource_uri);
        Ok(Statement::about(subject, Predicate::Verdict(Box::new(verdict))))
    }

    /// Until when it counts.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        let valid_for = match self.valid_for > SignedDuration::ZERO {
            true => self.valid_for,
            false => SignedDuration::from_hours(VERDICT_HOURS),
        };
        self.at.checked_add(valid_for).ok()
    }

    fn verdict(&self, verifier: &str, policy_uri: &str, resource_uri: String) -> Verdict {
        let sha256 = |digest: &Digest| DigestSet::from([("sha256".to_owned(), digest.to_hex())]);
        let version = BTreeMap::from([("bulla".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]);
        Verdict {
            verifier: Verifier { id: verifier.to_owned(), version },
            time_verified: self.at,
            resource_uri,
            policy: Reference { uri: policy_uri.to_owned(), digest: sha256(&self.policy.digest) },
            input_attestations: self
                .evidence
                .iter()
                .map(|digest| Reference { uri: String::new(), digest: sha256(digest) })
                .collect(),
            verification_result: match self.passed {
                true => VerificationResult::Passed,
                false => VerificationResult::Failed,
            },
            verified_levels: if self.passed { vec![self.level.clone()] } else { Vec::new() },
            dependency_levels: self.dependency_levels.clone(),
            slsa_version: Some("1.1".to_owned()),
            environment: Some(self.environment.clone()),
            expires_on: self.expires(),
        }
    }

    /// What decided it: the signature and the statements that some rule was met by. With rules of one's own it is everything that was seen, for
    /// these may ask about all of it.
    #[must_use]
    pub fn decided_by(&self) -> Vec<Digest> {
        let own = self.findings.iter().any(|finding| finding.rule.starts_with(custom::PREFIX));
        let named: BTreeSet<&str> = self
            .findings
            .iter()
            .flat_map(|finding| &finding.evidence)
            .map(String::as_str)
            .collect();
        let all = self.sightings.iter().map(|one| one.what);
        let counts =
            |what: &Digest| own || named.contains(format!("sha256:{}", what.to_hex()).as_str());
        all.filter(counts).collect()
    }

    /// The rules that are in the way.
    pub fn refusals(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.outcome == Outcome::NotMet)
    }
}

fn mode<S: Serializer>(mode: &Mode, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(match mode {
        Mode::Enforce => "enforce",
        Mode::Warn => "warn",
        Mode::Audit => "audit",
    })
}

fn digests<S: Serializer>(digests: &Option<ModelDigests>, s: S) -> Result<S::Ok, S::Error> {
    let both = digests.iter().flat_map(|digests| {
        [
            format!("oms:{}", digests.oms.to_hex()),
            format!("oms-manifest-v1:{}", digests.manifest.to_hex()),
        ]
    });
    s.collect_seq(both)
}

fn sha256<S: Serializer>(digest: &Digest, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&format_args!("sha256:{}", digest.to_hex()))
}

fn one<S: Serializer>(digest: &Option<Digest>, s: S) -> Result<S::Ok, S::Error> {
    match digest {
        Some(digest) => sha256(digest, s),
        None => s.serialize_none(),
    }
}

fn each<S: Serializer>(all: &BTreeSet<Digest>, s: S) -> Result<S::Ok, S::Error> {
    s.collect_seq(all.iter().map(|digest| format!("sha256:{}", digest.to_hex())))
}
