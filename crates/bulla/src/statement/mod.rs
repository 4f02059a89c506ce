//! What is signed: in-toto statements, one file for each kind of predicate.

pub(crate) mod manifest_json;
pub mod oms;
mod oms_0_2;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::digest::{Digest, HashAlgorithm};
use crate::error::Reason;
use crate::json::{self, Object};

/// The in-toto statement type.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// A statement whose predicate is still to be read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Statement<'a> {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Object<Subject>>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    #[serde(borrow)]
    predicate: &'a RawValue,
}

/// An in-toto resource descriptor, as far as a subject needs it; other members are ignored.
#[derive(Deserialize)]
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) digest: std::collections::BTreeMap<String, String>,
}

impl<'a> Statement<'a> {
    fn read(payload: &'a [u8]) -> Result<Self, Reason> {
        let statement: Self = json::read(payload).map_err(malformed)?;
        if statement.kind != STATEMENT_TYPE {
            return Err(malformed(format!(
                "its _type is {:?}, expected {STATEMENT_TYPE:?}",
                statement.kind
            )));
        }
        Ok(statement)
    }
}

/// SHA-256 of the first subject: what a transparency log's reader takes the statement to be about.
pub(crate) fn first_subject_sha256(payload: &[u8]) -> Option<Digest> {
    let statement: Statement<'_> = json::read(payload).ok()?;
    let Object(subject) = statement.subject.first()?;
    Digest::from_hex(HashAlgorithm::Sha256, subject.digest.get("sha256")?)
}

fn malformed(detail: impl Into<String>) -> Reason {
    Reason::MalformedStatement { detail: crate::text::shorten(&detail.into()) }
}
