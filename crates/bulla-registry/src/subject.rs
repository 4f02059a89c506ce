//! What can be withdrawn, and how it is found again.

use std::fmt;

use bulla::jiff::Timestamp;
use bulla::{Digest, ModelDigests};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::wire::{self, hex_digest};

/// What names a model, or one of its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModelRef {
    /// `oms:`, the root of its signature: the contents, under whichever names.
    Oms(Digest),
    /// `oms-manifest-v1:`, contents and names.
    Manifest(Digest),
    /// `sha256:`, any one file in it.
    File(Digest),
}

impl ModelRef {
    /// Reads `oms:HEX`, `oms-manifest-v1:HEX`, `sha256:HEX`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, hex) = text.split_once(':')?;
        let digest = hex_digest(hex)?;
        Some(match kind {
            "oms" => Self::Oms(digest),
            "oms-manifest-v1" => Self::Manifest(digest),
            "sha256" => Self::File(digest),
            _ => return None,
        })
    }

    /// Both names of a model.
    pub(crate) fn of(model: &ModelDigests) -> [Self; 2] {
        [Self::Oms(model.oms), Self::Manifest(model.manifest)]
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Oms(_) => Kind::Oms,
            Self::Manifest(_) => Kind::Manifest,
            Self::File(_) => Kind::File,
        }
    }

    pub(crate) fn digest(&self) -> &Digest {
        let (Self::Oms(digest) | Self::Manifest(digest) | Self::File(digest)) = self;
        digest
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Oms(_) => "oms",
            Self::Manifest(_) => "oms-manifest-v1",
            Self::File(_) => "sha256",
        };
        write!(f, "{kind}:{}", self.digest().to_hex())
    }
}

impl Serialize for ModelRef {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ModelRef {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("it is no digest of a model"))
    }
}

/// What can be withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Subject {
    /// A key in every role, by the SHA-256 of its `SubjectPublicKeyInfo`.
    Key {
        /// Its fingerprint.
        #[serde(with = "wire::digest")]
        fingerprint: Digest,
    },
    /// A certificate, of an authority or of anybody else, by the SHA-256 of its DER.
    Certificate {
        /// Its fingerprint.
        #[serde(with = "wire::digest")]
        fingerprint: Digest,
    },
    /// An identity. From when is the revocation's `since`.
    Identity {
        /// The name in certificates.
        identity: String,
        /// The identity provider; none for any, and for certificates of other authorities.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider: Option<String>,
        /// Until when; none: for ever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// A model, or every model with a file.
    Model {
        /// Which.
        model: ModelRef,
    },
}

impl Subject {
    /// A key.
    #[must_use]
    pub fn key(fingerprint: Digest) -> Self {
        Self::Key { fingerprint }
    }

    /// A model, or every model with a file.
    #[must_use]
    pub fn model(model: ModelRef) -> Self {
        Self::Model { model }
    }

    /// How it is found in `rests_on` and `revocations`: kind, value, and for identities the provider.
    pub(crate) fn indexed(&self) -> (Kind, Vec<u8>, &str) {
        match self {
            Self::Key { fingerprint } => (Kind::Key, fingerprint.as_bytes().to_vec(), ""),
            Self::Certificate { fingerprint } => {
                (Kind::Certificate, fingerprint.as_bytes().to_vec(), "")
            }
            Self::Identity { identity, provider, .. } => {
                (Kind::Identity, fold(identity), provider.as_deref().unwrap_or_default())
            }
            Self::Model { model } => (model.kind(), model.digest().as_bytes().to_vec(), ""),
        }
    }

    pub(crate) fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Identity { until, .. } => *until,
            _ => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { fingerprint } => write!(f, "the key {fingerprint}"),
            Self::Certificate { fingerprint } => write!(f, "the certificate {fingerprint}"),
            Self::Identity { identity, provider: None, .. } => {
                write!(f, "the identity {}", bulla::Printable(identity))
            }
            Self::Identity { identity, provider: Some(provider), .. } => write!(
                f,
                "the identity {} of {}",
                bulla::Printable(identity),
                bulla::Printable(provider)
            ),
            Self::Model { model: ModelRef::File(digest) } => {
                write!(f, "every model with the file {digest}")
            }
            Self::Model { model } => write!(f, "the model {model}"),
        }
    }
}

/// Domains are written in any case: names that differ only in that are one, as where signatures are checked.
pub(crate) fn fold(identity: &str) -> Vec<u8> {
    identity.to_ascii_lowercase().into_bytes()
}

/// What something can rest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Key,
    Certificate,
    Identity,
    Clock,
    Oms,
    Manifest,
    File,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Certificate => "certificate",
            Self::Identity => "identity",
            Self::Clock => "clock",
            Self::Oms => "oms",
            Self::Manifest => "manifest",
            Self::File => "file",
        }
    }
}
