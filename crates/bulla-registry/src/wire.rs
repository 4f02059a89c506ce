//! How digests are spelled in events: `sha256:` and 64 hexadecimal digits, a model by both of its digests.

use std::fmt;

use bulla::{Digest, HashAlgorithm, ModelDigests};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A SHA-256 digest in an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sha256(pub(crate) Digest);

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0.to_hex())
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let digest = text.strip_prefix("sha256:").and_then(hex_digest);
        digest.map(Self).ok_or_else(|| {
            D::Error::custom("a digest is not sha256: and 64 lower-case hexadecimal digits")
        })
    }
}

/// 64 lower-case hexadecimal digits.
pub(crate) fn hex_digest(text: &str) -> Option<Digest> {
    Digest::from_hex(HashAlgorithm::Sha256, text)
}

/// For `with`: one digest.
pub(crate) mod digest {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(digest: &Digest, s: S) -> Result<S::Ok, S::Error> {
        Sha256(*digest).serialize(s)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Digest, D::Error> {
        Sha256::deserialize(d).map(|Sha256(digest)| digest)
    }
}

/// For `with`: a digest or none.
pub(crate) mod optional_digest {
    use super::*;

    #[allow(clippy::ref_option)] // serde's signature
    pub(crate) fn serialize<S: Serializer>(
        digest: &Option<Digest>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        digest.map(Sha256).serialize(s)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Digest>, D::Error> {
        Ok(Option::<Sha256>::deserialize(d)?.map(|Sha256(digest)| digest))
    }
}

/// For `with`: a list of digests.
pub(crate) mod digests {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(list: &[Digest], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(list.iter().copied().map(Sha256))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Digest>, D::Error> {
        let list = Vec::<Sha256>::deserialize(d)?;
        Ok(list.into_iter().map(|Sha256(digest)| digest).collect())
    }
}

/// For `with`: both digests of a model, or none.
pub(crate) mod optional_model {
    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Wrapped(#[serde(with = "super::model")] ModelDigests);

    #[allow(clippy::ref_option)] // serde's signature
    pub(crate) fn serialize<S: Serializer>(
        model: &Option<ModelDigests>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        model.map(Wrapped).serialize(s)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<ModelDigests>, D::Error> {
        Ok(Option::<Wrapped>::deserialize(d)?.map(|Wrapped(model)| model))
    }
}

/// For `with`: both digests of a model.
pub(crate) mod model {
    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Both {
        manifest: Sha256,
        oms: Sha256,
    }

    pub(crate) fn serialize<S: Serializer>(model: &ModelDigests, s: S) -> Result<S::Ok, S::Error> {
        Both { manifest: Sha256(model.manifest), oms: Sha256(model.oms) }.serialize(s)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<ModelDigests, D::Error> {
        let Both { manifest: Sha256(manifest), oms: Sha256(oms) } = Both::deserialize(d)?;
        Ok(ModelDigests { oms, manifest })
    }
}
