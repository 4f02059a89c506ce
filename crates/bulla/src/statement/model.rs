//! The two digests that name a model in statements about it.
//!
//! The OMS root binds contents only: a statement that names a model by it alone would cover the same
//! contents under other names. So ours carry both, and both are required (rule 1 of the security design).

use std::fmt;

use super::descriptor::{DigestSet, ResourceDescriptor};
use super::malformed_attestation as malformed;
use super::oms::{OmsClaim, read_serialization, serialization};
use crate::digest::{Digest, HashAlgorithm};
use crate::error::Reason;
use crate::model::{Manifest, Recipe};

/// Key of the OMS root in a digest set: other tools know it as the model's SHA-256.
const ROOT: &str = "sha256";
/// Key of the digest that binds names and recipe.
const MANIFEST: &str = "omsManifestV1";
/// The annotation with the recipe that the digests were made by.
const SERIALIZATION: &str = "serialization";

/// What a model is called by: contents, and names with the recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelDigests {
    /// The OMS root, `oms:`.
    pub oms: Digest,
    /// Names and recipe too, `oms-manifest-v1:`.
    pub manifest: Digest,
}

impl ModelDigests {
    /// Of a measured model.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        Self { oms: manifest.oms_root(), manifest: manifest.oms_manifest_v1() }
    }

    /// Of a signed one; `None` if its signature binds no names.
    #[must_use]
    pub fn of_claim(claim: &OmsClaim) -> Option<Self> {
        Some(Self { oms: claim.oms_root(), manifest: claim.oms_manifest_v1()? })
    }

    /// How a statement names the model.
    #[must_use]
    pub fn descriptor(&self, name: &str, recipe: Option<&Recipe>) -> ResourceDescriptor {
        let digest = DigestSet::from([
            (ROOT.to_owned(), self.oms.to_hex()),
            (MANIFEST.to_owned(), self.manifest.to_hex()),
        ]);
        let descriptor =
            ResourceDescriptor { name: name.to_owned(), digest, ..ResourceDescriptor::default() };
        match recipe {
            Some(recipe) => descriptor.annotated(SERIALIZATION, serialization(recipe)),
            None => descriptor,
        }
    }

    /// The model that a descriptor names.
    ///
    /// # Errors
    /// When one of the two digests is not there: it could mean another model.
    pub fn read(descriptor: &ResourceDescriptor) -> Result<Self, Reason> {
        let digest = |key: &str| {
            let hex = descriptor.digest.get(key)?;
            Digest::from_hex(HashAlgorithm::Sha256, hex)
        };
        let missing = |key: &str, what: &str| {
            malformed(format!("{:?} has no {key}, the digest that {what}", descriptor.label()))
        };
        Ok(Self {
            oms: digest(ROOT).ok_or_else(|| missing(ROOT, "is the model's root"))?,
            manifest: digest(MANIFEST).ok_or_else(|| missing(MANIFEST, "binds its names"))?,
        })
    }

    /// Whether a descriptor is of a model at all.
    #[must_use]
    pub fn are_in(descriptor: &ResourceDescriptor) -> bool {
        descriptor.digest.contains_key(MANIFEST)
    }
}

impl fmt::Display for ModelDigests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "oms:{} oms-manifest-v1:{}", self.oms.to_hex(), self.manifest.to_hex())
    }
}

/// The recipe that a descriptor's digests were made by, as whoever signed it says.
///
/// # Errors
/// [`Reason::MalformedStatement`] when there is one that is none.
pub fn recipe_of(descriptor: &ResourceDescriptor) -> Result<Option<Recipe>, Reason> {
    descriptor.annotations.get(SERIALIZATION).map(read_serialization).transpose()
}
