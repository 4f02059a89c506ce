//! What a dataset is, as whoever made or gathered it says.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::descriptor::ResourceDescriptor;
use super::{check_list, check_text, check_uri, malformed_attestation as malformed};
use crate::error::Reason;
use crate::json::objects;

/// The predicate type.
pub const PREDICATE_TYPE: &str = "urn:bulla:attestation:dataset:v0.1";

/// A dataset. Its digests are those of the statement's subject, made as a model's are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dataset {
    /// What it is called.
    pub name: String,
    /// Which of its versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Its licence: an SPDX expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// What is in it, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How many records it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// When it was gathered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collected_on: Option<Timestamp>,
    /// What it was made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "objects")]
    pub sources: Vec<ResourceDescriptor>,
}

impl Dataset {
    pub(super) fn check(&self) -> Result<(), Reason> {
        check_text("name", &self.name)?;
        for (what, text) in [("version", &self.version), ("license", &self.license)] {
            text.as_deref().map_or(Ok(()), |text| check_text(what, text))?;
        }
        self.uri.as_deref().map_or(Ok(()), |uri| check_uri("uri", uri))?;
        if self.description.as_ref().is_some_and(|text| text.len() > 64 << 10) {
            return Err(malformed("its description is longer than 64 KiB"));
        }
        check_list(&self.sources)
    }
}
