//! What was withdrawn, as a signed, versioned document of its own: an emergency never waits for a policy to be released.

use std::collections::BTreeMap;
use std::path::Path;

use bulla::jiff::Timestamp;
use bulla::text::time;
use bulla::{Digest, Fault, HashAlgorithm, Revocations, Revoked, RevokedIdentity};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::schema::{MODEL, SHA256, TIME};
use crate::yaml::{self, policy_fault};

/// What was withdrawn.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Revocations of Bulla")]
pub(crate) struct Document {
    revocations: Head,
    /// Keys, in every role that they can have: signer, approver, authority, clock.
    #[serde(default)]
    keys: Vec<KeyEntry>,
    /// Identities, for a while.
    #[serde(default)]
    identities: Vec<IdentityEntry>,
    /// Certificates, of authorities and timestamp authorities.
    #[serde(default)]
    authorities: Vec<AuthorityEntry>,
    /// Models, and files of models.
    #[serde(default)]
    models: Vec<ModelEntry>,
}

/// The document itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Head {
    /// Its version: never back.
    version: u64,
    /// When it was issued: a day or a point in time.
    #[schemars(regex(pattern = TIME))]
    issued: String,
}

/// A key that was withdrawn.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    /// SHA-256 of the key.
    #[schemars(regex(pattern = SHA256))]
    fingerprint: String,
    /// What a trusted time puts before this stays; all falls, if this is missing.
    #[serde(default)]
    #[schemars(regex(pattern = TIME))]
    since: Option<String>,
    /// Why, in words.
    reason: String,
}

/// A certificate that was withdrawn.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AuthorityEntry {
    /// SHA-256 of the certificate.
    #[schemars(regex(pattern = SHA256))]
    sha256: String,
    /// What a trusted time puts before this stays; all falls, if this is missing.
    #[serde(default)]
    #[schemars(regex(pattern = TIME))]
    since: Option<String>,
    /// Why, in words.
    reason: String,
}

/// An identity that was withdrawn for a while.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct IdentityEntry {
    /// The identity.
    identity: String,
    /// Who vouches for it; whoever does, if this is missing.
    #[serde(default)]
    identity_provider: Option<String>,
    /// From then on; ever, if this is missing.
    #[serde(default)]
    #[schemars(regex(pattern = TIME))]
    from: Option<String>,
    /// Before then; for ever, if this is missing.
    #[serde(default)]
    #[schemars(regex(pattern = TIME))]
    until: Option<String>,
    /// Why, in words.
    reason: String,
}

/// A model, or a file in any model, that was withdrawn.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ModelEntry {
    /// A model (oms: or oms-manifest-v1:), or any one file (sha256:).
    #[schemars(regex(pattern = MODEL))]
    digest: String,
    /// Whether what was made from it is withdrawn, too.
    #[serde(default)]
    descendants: bool,
    /// When that was found out: verdicts about its descendants from before do not count. When the document was issued, if this is missing.
    #[serde(default)]
    #[schemars(regex(pattern = TIME))]
    withdrawn: Option<String>,
    /// Why, in words.
    reason: String,
}

/// What is withdrawn: what a document has beside its head.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevocationEntries {
    #[serde(default)]
    keys: Vec<KeyEntry>,
    #[serde(default)]
    identities: Vec<IdentityEntry>,
    #[serde(default)]
    authorities: Vec<AuthorityEntry>,
    #[serde(default)]
    models: Vec<ModelEntry>,
}

/// Everything that was withdrawn.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RevocationList {
    /// Its version: never back.
    pub version: u64,
    /// When it was issued.
    pub issued: Timestamp,
    /// SHA-256 of its bytes.
    pub digest: Option<Digest>,
    /// Keys, authorities and identities.
    pub signers: Revocations,
    /// When the last model was withdrawn with what was made from it: a verdict from before does not know of it.
    pub descendants_since: Option<Timestamp>,
    /// Models and files, by what names them.
    pub models: BTreeMap<ModelName, RevokedModel>,
}

/// What names a model, or one of its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ModelName {
    /// `oms:`, the root of its signature: the contents, under whichever names.
    Oms(Digest),
    /// `oms-manifest-v1:`, contents and names.
    Manifest(Digest),
    /// `sha256:`, any one file in it.
    File(Digest),
}

/// That and why a model was withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RevokedModel {
    /// Whether what was made from it is withdrawn, too.
    pub descendants: bool,
    /// Why, in words.
    pub reason: String,
}

impl RevocationList {
    /// Reads a document. Whether somebody signed it is the caller's to find out first.
    ///
    /// # Errors
    /// [`Fault::Policy`] says what is wrong with it.
    pub fn read(path: &Path, bytes: &[u8]) -> Result<Self, Fault> {
        let Document { revocations, keys, identities, authorities, models } =
            yaml::read(path, bytes)?;
        let fault = |detail: String| policy_fault(path, detail);
        let mut list = Self {
            version: revocations.version,
            issued: time(&revocations.issued).map_err(fault)?,
            digest: Some(Digest::sha256(bytes)),
            ..Self::default()
        };
        let entries = RevocationEntries { keys, identities, authorities, models };
        list.add(entries).map_err(fault)?;
        Ok(list)
    }

    /// Adds what is withdrawn.
    pub(crate) fn add(&mut self, entries: RevocationEntries) -> Result<(), String> {
        let at = |text: &Option<String>| text.as_deref().map(time).transpose();
        for KeyEntry { fingerprint, since, reason } in entries.keys {
            self.signers.key(sha256(&fingerprint)?, Revoked { since: at(&since)?, reason });
        }
        for AuthorityEntry { sha256: digest, since, reason } in entries.authorities {
            self.signers.authority(sha256(&digest)?, Revoked { since: at(&since)?, reason });
        }
        for entry in entries.identities {
            let provider = entry.identity_provider.as_deref();
            let identity = RevokedIdentity::name(&entry.identity, provider)?;
            let (from, until) = (at(&entry.from)?, at(&entry.until)?);
            if from.zip(until).is_some_and(|(from, until)| until <= from) {
                return Err(format!("{}: until is not after from", entry.identity));
            }
            self.signers.identity(RevokedIdentity {
                identity,
                provider: entry.identity_provider,
                from,
                until,
                reason: entry.reason,
            });
        }
        for ModelEntry { digest, descendants, withdrawn, reason } in entries.models {
            let name = ModelName::parse(&digest)?;
            // Of what a model was made from its digests are known, and not those of its files.
            if descendants && matches!(name, ModelName::File(_)) {
                return Err(format!(
                    "{digest}: descendants are found by the models that they were made from: name those that have this file, each by oms: or oms-manifest-v1:"
                ));
            }
            self.model(name, descendants, at(&withdrawn)?.unwrap_or(self.issued), reason);
        }
        Ok(())
    }

    /// Withdraws a model, or every model with a file.
    pub fn model(
        &mut self,
        name: ModelName,
        descendants: bool,
        withdrawn: Timestamp,
        reason: impl Into<String>,
    ) {
        if descendants {
            self.descendants_since = self.descendants_since.max(Some(withdrawn));
        }
        let revoked = RevokedModel { descendants, reason: reason.into() };
        self.models.entry(name).or_insert(revoked).descendants |= descendants;
    }

    /// Adds all of another list, of the same policy's registry, say.
    pub fn unite(&mut self, other: &Self) {
        self.signers.unite(&other.signers);
        for (name, revoked) in &other.models {
            let since = other.descendants_since.unwrap_or_default();
            self.model(*name, revoked.descendants, since, &revoked.reason);
        }
    }
}

impl ModelName {
    /// Whether a text begins as one of these names, whatever is wrong with it.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.split_once(':')
            .is_some_and(|(kind, _)| ["oms", "oms-manifest-v1", "sha256"].contains(&kind))
    }

    /// `oms:HEX`, `oms-manifest-v1:HEX`, `sha256:HEX`.
    ///
    /// # Errors
    /// In words, when it is none of them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "{text:?} is no digest of a model: expected oms:, oms-manifest-v1: or, of one file, sha256: and 64 hexadecimal digits"
            )
        };
        let (kind, hex) = text.split_once(':').ok_or_else(bad)?;
        let digest = Digest::from_hex(HashAlgorithm::Sha256, hex).ok_or_else(bad)?;
        match kind {
            "oms" => Ok(Self::Oms(digest)),
            "oms-manifest-v1" => Ok(Self::Manifest(digest)),
            "sha256" => Ok(Self::File(digest)),
            _ => Err(bad()),
        }
    }
}

impl std::fmt::Display for ModelName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Oms(digest) => write!(f, "oms:{}", digest.to_hex()),
            Self::Manifest(digest) => write!(f, "oms-manifest-v1:{}", digest.to_hex()),
            Self::File(digest) => write!(f, "sha256:{}", digest.to_hex()),
        }
    }
}

/// `sha256:HEX`, or the digits alone.
fn sha256(text: &str) -> Result<Digest, String> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    Digest::from_hex(HashAlgorithm::Sha256, hex)
        .ok_or_else(|| format!("{text:?} is no SHA-256 (sha256: and 64 hexadecimal digits)"))
}
