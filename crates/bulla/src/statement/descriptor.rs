//! Resource descriptors: what in-toto statements call the things that they are about
//! (in-toto attestation framework v1, `spec/v1/resource_descriptor.md`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::malformed_attestation as malformed;
use crate::digest::{Digest, HashAlgorithm};
use crate::error::Reason;
use crate::limits::{DESCRIPTOR_CONTENT_BYTES, DESCRIPTOR_TEXT_BYTES};

/// Digests by the name of their algorithm: lower-case hexadecimal.
pub type DigestSet = BTreeMap<String, String>;

/// A thing with a digest, a URI or both.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceDescriptor {
    /// What it is called; tells things in one list apart, and proves nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What it is, everywhere.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uri: String,
    /// Its digests.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digest: DigestSet,
    /// Itself, in base64, if it is small.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content: String,
    /// Where it can be got.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub download_location: String,
    /// Its media type.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, Value>,
}

impl ResourceDescriptor {
    /// One of one file, by its SHA-256.
    #[must_use]
    pub fn of_file(name: &str, sha256: &Digest) -> Self {
        let digest = DigestSet::from([("sha256".to_owned(), sha256.to_hex())]);
        Self { name: name.to_owned(), digest, ..Self::default() }
    }

    /// The same with an annotation.
    #[must_use]
    pub fn annotated(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.annotations.insert(name.to_owned(), value.into());
        self
    }

    /// What it is to the statement that lists it: the annotation `role`.
    #[must_use]
    pub fn role(&self) -> Option<&str> {
        self.annotations.get(ROLE)?.as_str()
    }

    /// Its SHA-256.
    #[must_use]
    pub fn sha256(&self) -> Option<Digest> {
        Digest::from_hex(HashAlgorithm::Sha256, self.digest.get("sha256")?)
    }

    /// What a person calls it.
    #[must_use]
    pub fn label(&self) -> &str {
        if self.name.is_empty() { &self.uri } else { &self.name }
    }

    /// The specification's demands: a URI, a digest or the content; hexadecimal digests; and what Bulla caps.
    pub(super) fn check(&self) -> Result<(), Reason> {
        if self.uri.is_empty() && self.digest.is_empty() && self.content.is_empty() {
            return Err(malformed(format!(
                "the resource {:?} has neither uri, digest nor content",
                self.name
            )));
        }
        if self.content.len() > DESCRIPTOR_CONTENT_BYTES {
            return Err(malformed(format!("the content of {:?} is too large", self.name)));
        }
        let texts = [&self.name, &self.uri, &self.download_location, &self.media_type];
        if texts.iter().any(|text| text.len() > DESCRIPTOR_TEXT_BYTES) {
            return Err(malformed("a resource's name or URI is too long"));
        }
        for (algorithm, digest) in &self.digest {
            let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            let fits = HashAlgorithm::from_name(algorithm)
                .is_none_or(|known| digest.len() == known.output_len() * 2);
            // Go's `h1:` hashes are base64.
            let is_base64 = |b: u8| b.is_ascii_alphanumeric() || b"+/=:".contains(&b);
            let legible = match algorithm.as_str() {
                "dirHash" => digest.bytes().all(is_base64),
                _ => digest.bytes().all(is_hex),
            };
            if digest.is_empty() || digest.len() > 256 || !legible || !fits {
                return Err(malformed(format!(
                    "the {algorithm} of {:?} is {digest:?}, expected lower-case hexadecimal of its length",
                    self.label()
                )));
            }
        }
        Ok(())
    }
}

/// The annotation that says what a resource is to a statement.
pub const ROLE: &str = "role";
