//! What is signed: in-toto statements (v1), one file for each kind of predicate.
//!
//! ```text
//!   Authenticated<Payload> ── decode ────► Authenticated<OmsClaim>      a model's signature (oms)
//!                          ── statement ─► Authenticated<Attestation>   anything else about a model
//! ```

pub mod approval;
pub mod build;
pub mod dataset;
pub mod descriptor;
pub mod evaluation;
pub(crate) mod manifest_json;
pub mod model;
pub mod oms;
mod oms_0_2;
pub mod other;
pub mod provenance;
pub mod release;
pub mod test_result;
pub mod verdict;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::digest::{Digest, HashAlgorithm};
use crate::error::Reason;
use crate::json::{self, Object};
use crate::limits::{DESCRIPTOR_TEXT_BYTES, DESCRIPTORS, STATEMENT_SUBJECTS};
use approval::{APPROVAL, Approval, EXCEPTION, Exception};
use dataset::Dataset;
use descriptor::ResourceDescriptor;
use evaluation::Evaluation;
use model::ModelDigests;
use other::Other;
use provenance::Provenance;
use release::Release;
use test_result::TestResult;
use verdict::Verdict;

/// The in-toto statement type.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// What predicate types begin with that are Bulla's own. There is no domain in them that could be lost.
pub const OWN_TYPES: &str = "urn:bulla:attestation:";

/// A statement about something, other than a model's signature.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// What it is about: never empty.
    pub subject: Vec<ResourceDescriptor>,
    /// What it says.
    pub predicate: Predicate,
}

/// What a statement says.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Predicate {
    /// How it was made.
    Provenance(Box<Provenance>),
    /// What a dataset is.
    Dataset(Dataset),
    /// What was measured of a model.
    Evaluation(Evaluation),
    /// Which tests it passed.
    TestResult(TestResult),
    /// What is current.
    Release(Release),
    /// What a verifier decided.
    Verdict(Box<Verdict>),
    /// That somebody agrees to a model for an environment.
    Approval(Approval),
    /// Which rules of an environment a model need not meet.
    Exception(Exception),
    /// A statement of a kind that Bulla has no words for.
    Other(Other),
}

/// A statement that was signed, with the digest that names it.
#[derive(Debug, Clone, PartialEq)]
pub struct Attestation {
    /// What it says.
    pub statement: Statement,
    /// SHA-256 of the signed payload: its name in releases and verdicts.
    pub payload: Digest,
}

impl Predicate {
    /// The predicate type, a URI.
    #[must_use]
    pub fn predicate_type(&self) -> &str {
        match self {
            Self::Provenance(_) => provenance::PREDICATE_TYPE,
            Self::Dataset(_) => dataset::PREDICATE_TYPE,
            Self::Evaluation(_) => evaluation::PREDICATE_TYPE,
            Self::TestResult(_) => test_result::PREDICATE_TYPE,
            Self::Release(_) => release::PREDICATE_TYPE,
            Self::Verdict(_) => verdict::PREDICATE_TYPE,
            Self::Approval(_) => APPROVAL,
            Self::Exception(_) => EXCEPTION,
            Self::Other(other) => &other.predicate_type,
        }
    }

    /// The short names, of the kinds that have one.
    pub const NAMES: [&str; 8] = [
        "provenance",
        "dataset",
        "evaluation",
        "test-result",
        "release",
        "vsa",
        "approval",
        "exception",
    ];

    /// What policies call it: a short name, or the predicate type of a kind that has none.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Provenance(_) => "provenance",
            Self::Dataset(_) => "dataset",
            Self::Evaluation(_) => "evaluation",
            Self::TestResult(_) => "test-result",
            Self::Release(_) => "release",
            Self::Verdict(_) => "vsa",
            Self::Approval(_) => "approval",
            Self::Exception(_) => "exception",
            Self::Other(other) => &other.predicate_type,
        }
    }

    fn check(&self) -> Result<(), Reason> {
        match self {
            Self::Provenance(provenance) => provenance.check(),
            Self::Dataset(dataset) => dataset.check(),
            Self::Evaluation(evaluation) => evaluation.check(),
            Self::TestResult(result) => result.check(),
            Self::Release(release) => release.check(),
            Self::Verdict(verdict) => verdict.check(),
            Self::Approval(approval) => approval.check(),
            Self::Exception(exception) => exception.check(),
            Self::Other(_) => Ok(()),
        }
    }
}

impl Statement {
    /// A statement about one thing.
    #[must_use]
    pub fn about(subject: ResourceDescriptor, predicate: Predicate) -> Self {
        Self { subject: vec![subject], predicate }
    }

    /// Whether it is about this model: both digests stand in one of its subjects.
    #[must_use]
    pub fn is_about(&self, model: &ModelDigests) -> bool {
        self.models().contains(model)
    }

    /// The models that it is about: subjects with both digests.
    #[must_use]
    pub fn models(&self) -> BTreeSet<ModelDigests> {
        self.subject.iter().filter_map(|subject| ModelDigests::read(subject).ok()).collect()
    }

    /// The payload to sign: compact JSON.
    ///
    /// # Errors
    /// [`Reason::MalformedAttestation`] when it is not what a reader would accept.
    pub fn encode(&self) -> Result<Vec<u8>, Reason> {
        #[derive(Serialize)]
        struct Out<'a, P> {
            #[serde(rename = "_type")]
            kind: &'a str,
            subject: &'a [ResourceDescriptor],
            #[serde(rename = "predicateType")]
            predicate_type: &'a str,
            predicate: &'a P,
        }
        fn out<P: Serialize>(
            statement: &Statement,
            predicate: &P,
        ) -> Result<Vec<u8>, serde_json::Error> {
            serde_json::to_vec(&Out {
                kind: STATEMENT_TYPE,
                subject: &statement.subject,
                predicate_type: statement.predicate.predicate_type(),
                predicate,
            })
        }
        let payload = match &self.predicate {
            Predicate::Provenance(provenance) => out(self, provenance),
            Predicate::Dataset(dataset) => out(self, dataset),
            Predicate::Evaluation(evaluation) => out(self, evaluation),
            Predicate::TestResult(result) => out(self, result),
            Predicate::Release(release) => out(self, release),
            Predicate::Verdict(verdict) => out(self, verdict),
            Predicate::Approval(approval) => out(self, approval),
            Predicate::Exception(exception) => out(self, exception),
            Predicate::Other(other) => out(self, &other.predicate),
        };
        let payload = payload.map_err(|e| malformed_attestation(e.to_string()))?;
        // What the reader refuses is not signed, be it a number without a value in JSON.
        match Self::read(&payload)? == *self {
            true => Ok(payload),
            false => Err(malformed_attestation("it reads back as something else")),
        }
    }

    /// Reads a payload whose signature holds.
    pub(crate) fn read(payload: &[u8]) -> Result<Self, Reason> {
        let raw: Raw<'_, ResourceDescriptor> = Raw::read(payload, malformed_attestation)?;
        let subject: Vec<ResourceDescriptor> =
            raw.subject.into_iter().map(|Object(subject)| subject).collect();
        if subject.is_empty() || subject.len() > STATEMENT_SUBJECTS {
            return Err(malformed_attestation(format!(
                "it has {} subjects, expected 1 to {STATEMENT_SUBJECTS}",
                subject.len()
            )));
        }
        for one in &subject {
            one.check()?;
            if one.digest.is_empty() {
                return Err(malformed_attestation(format!(
                    "its subject {:?} has no digest",
                    one.label()
                )));
            }
        }
        let body = raw.predicate;
        let predicate = match raw.predicate_type.as_str() {
            provenance::PREDICATE_TYPE => Predicate::Provenance(Box::new(predicate(body)?)),
            dataset::PREDICATE_TYPE => Predicate::Dataset(predicate(body)?),
            evaluation::PREDICATE_TYPE => Predicate::Evaluation(predicate(body)?),
            test_result::PREDICATE_TYPE => Predicate::TestResult(predicate(body)?),
            release::PREDICATE_TYPE => Predicate::Release(predicate(body)?),
            verdict::PREDICATE_TYPE => Predicate::Verdict(Box::new(predicate(body)?)),
            APPROVAL => Predicate::Approval(predicate(body)?),
            EXCEPTION => Predicate::Exception(predicate(body)?),
            other => Predicate::Other(Other::read(other, body)?),
        };
        predicate.check()?;
        Ok(Self { subject, predicate })
    }
}

fn predicate<'a, T: Deserialize<'a>>(body: &'a RawValue) -> Result<T, Reason> {
    let Object(read): Object<T> = serde_json::from_str(body.get())
        .map_err(|e| malformed_attestation(format!("in its predicate: {e}")))?;
    Ok(read)
}

/// A statement whose predicate is still to be read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Raw<'a, S> {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Object<S>>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    #[serde(borrow)]
    predicate: &'a RawValue,
}

/// An in-toto resource descriptor, as far as the subject of a signature needs it; other members are ignored.
#[derive(Deserialize)]
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) digest: std::collections::BTreeMap<String, String>,
}

impl<'a, S: Deserialize<'a>> Raw<'a, S> {
    fn read(payload: &'a [u8], malformed: fn(String) -> Reason) -> Result<Self, Reason> {
        let raw: Self = json::read(payload).map_err(malformed)?;
        if raw.kind != STATEMENT_TYPE {
            return Err(malformed(format!(
                "its _type is {:?}, expected {STATEMENT_TYPE:?}",
                raw.kind
            )));
        }
        Ok(raw)
    }
}

/// SHA-256 of the first subject: what a transparency log's reader takes the statement to be about.
pub(crate) fn first_subject_sha256(payload: &[u8]) -> Option<Digest> {
    let statement: Raw<'_, Subject> = json::read(payload).ok()?;
    let Object(subject) = statement.subject.first()?;
    Digest::from_hex(HashAlgorithm::Sha256, subject.digest.get("sha256")?)
}

fn malformed(detail: impl Into<String>) -> Reason {
    Reason::MalformedStatement { detail: crate::text::shorten(&detail.into()) }
}

fn malformed_attestation(detail: impl Into<String>) -> Reason {
    Reason::MalformedAttestation { detail: crate::text::shorten(&detail.into()) }
}

/// A list of resources, of a length that can be gone through.
fn check_list(list: &[ResourceDescriptor]) -> Result<(), Reason> {
    if list.len() > DESCRIPTORS {
        return Err(malformed_attestation(format!("it lists more than {DESCRIPTORS} resources")));
    }
    list.iter().try_for_each(ResourceDescriptor::check)
}

/// A URI (RFC 3986) in so far as it has a scheme and no spaces: nothing is ever fetched from it.
fn check_uri(what: &str, uri: &str) -> Result<(), Reason> {
    let scheme = uri.split_once(':').map(|(scheme, _)| scheme).unwrap_or_default();
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let legible = !uri.contains(|c: char| c.is_whitespace() || c.is_control());
    if !is_scheme || !legible || uri.len() > DESCRIPTOR_TEXT_BYTES {
        return Err(malformed_attestation(format!("its {what} is {uri:?}, expected a URI")));
    }
    Ok(())
}

fn check_text(what: &str, text: &str) -> Result<(), Reason> {
    if text.is_empty() || text.len() > DESCRIPTOR_TEXT_BYTES || text.contains(char::is_control) {
        return Err(malformed_attestation(format!(
            "its {what} is {text:?}, expected a short text"
        )));
    }
    Ok(())
}
