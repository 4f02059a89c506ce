//! Models that were signed in home-made layouts ([`statement::manifest_json`]): a weaker check, which every
//! result says.
//!
//! [`statement::manifest_json`]: crate::statement

use jiff::Timestamp;

use crate::bundle::{Evidence, KeyHint, MEDIA_TYPE, Material, ToWrite, UnverifiedFileSignature};
use crate::error::{Failure, Reason, Refusal};
use crate::limits::Limits;
use crate::statement::manifest_json::{HashSignature, decode_manifest};
use crate::statement::oms::OmsClaim;
use crate::trust::{FileBytes, PublicKey, Trust, Unverified};
use crate::verify::{Authenticated, check_signature};

pub use crate::statement::manifest_json::FOLDER;

/// Whether a signature file is JSON with a manifest and an RSA signature.
#[must_use]
pub fn is_hash_signature(bytes: &[u8], limits: &Limits) -> bool {
    bytes.len() as u64 <= limits.bundle_bytes && HashSignature::is_one(bytes)
}

/// Checks the signature of `manifest.json`, made by cosign over its bytes, and reads it.
///
/// # Errors
/// A [`Refusal`] with every reason.
pub fn authenticate_manifest(
    manifest: &[u8],
    signature: &[u8],
    certificate: Option<&[u8]>,
    trust: &Trust,
    now: Timestamp,
    limits: &Limits,
) -> Result<Authenticated<OmsClaim>, Failure> {
    if manifest.len() as u64 > limits.bundle_bytes {
        let limit = limits.bundle_bytes;
        return Err(Reason::TooLarge { what: "manifest", limit }.into());
    }
    let source = FileBytes::new("manifest.json", manifest);
    let checked = UnverifiedFileSignature::parse(signature, certificate, limits)?
        .check(&crate::blob::Blob::File(&source), trust, now, limits)?
        .1;
    Ok(Authenticated::of(decode_manifest(manifest, limits)?, checked).0)
}

/// Checks a `.sig` file with a manifest and an RSA-PSS signature, and reads it.
///
/// # Errors
/// A [`Refusal`] with every reason.
pub fn authenticate_hash(
    signature: &[u8],
    trust: &Trust,
    now: Timestamp,
    limits: &Limits,
) -> Result<Authenticated<OmsClaim>, Refusal> {
    if signature.len() as u64 > limits.bundle_bytes {
        let limit = limits.bundle_bytes;
        return Err(Reason::TooLarge { what: "signature file", limit }.into());
    }
    let read = HashSignature::parse(signature)?;
    let unverified = Unverified {
        media_type: MEDIA_TYPE,
        material: &Material::PublicKey(KeyHint::Nothing),
        evidence: &Evidence::default(),
        content: ToWrite::Message { sha256: &[], signature: &read.signature },
    };
    // No other kind: with PKCS#1 v1.5 files are signed.
    let fits = |key: &PublicKey| key.verifies_pss(&read.message, &read.signature).then_some(());
    let checked = check_signature(trust, &unverified, fits, || None, now, limits)?;
    Ok(Authenticated::of(read.decode()?, checked).0)
}
