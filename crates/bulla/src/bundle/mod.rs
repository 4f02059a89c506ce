//! The signature file: a Sigstore bundle (v0.3 JSON) that holds a DSSE envelope.
//!
//! ```text
//! bytes ── UnverifiedBundle::parse ──► UnverifiedBundle ── verify::authenticate ──► Authenticated<Payload>
//! ```
//!
//! *Envelope*: the signed bytes and their signature. *Verification material*: what the signer says
//! about the key; a hint, never a reason to trust. *Evidence*: what logs and timestamp authorities say
//! about the signature; checked like it.

mod blob;
mod dsse;
mod sigstore;

pub use blob::UnverifiedFileSignature;
pub use dsse::PAYLOAD_TYPE;
pub use sigstore::{Evidence, KeyHint, LogEntry, MEDIA_TYPE, Material};

use crate::error::Reason;
use crate::limits::Limits;
pub(crate) use dsse::{Encoding, Envelope};
pub(crate) use sigstore::{Content, ToWrite, encode_as, read};

/// A signature file that was read and nothing more. There is no way from here to what it says was
/// signed but through [`authenticate`](Self::authenticate).
#[derive(Debug, Clone)]
pub struct UnverifiedBundle {
    pub(crate) envelope: Envelope,
    pub(crate) material: Material,
    pub(crate) evidence: Evidence,
    pub(crate) media_type: &'static str,
}

impl UnverifiedBundle {
    /// Reads a bundle: Sigstore JSON v0.3, or an older one that OMS producers wrote (v1.0 §11.1).
    ///
    /// Everything that the format forbids is refused: repeated or unknown members, a wrong media or
    /// payload type, no or several signatures, base64 that is not canonical.
    ///
    /// # Errors
    /// A [`Reason`] that says what is wrong with it.
    pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Self, Reason> {
        if bytes.len() as u64 > limits.bundle_bytes {
            return Err(Reason::TooLarge { what: "signature file", limit: limits.bundle_bytes });
        }
        let read = read(bytes, limits)?;
        match read.content {
            Content::Envelope(envelope) => Ok(Self {
                envelope,
                material: read.material,
                evidence: read.evidence,
                media_type: read.media_type,
            }),
            Content::Message { .. } => Err(Reason::MalformedBundle {
                detail: "it signs the bytes of one file (messageSignature), not a model: 'bulla blob verify' checks it".into(),
            }),
        }
    }

    /// What the signer says about the key.
    #[must_use]
    pub fn material(&self) -> &Material {
        &self.material
    }

    /// What logs and timestamp authorities say about the signature.
    #[must_use]
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }
}

/// Writes a bundle of the current version (v1.0 §4).
#[must_use]
pub fn encode(
    material: &Material,
    evidence: &Evidence,
    payload: &[u8],
    signature: &[u8],
) -> Vec<u8> {
    encode_as(MEDIA_TYPE, material, evidence, ToWrite::Envelope { payload, signature })
}

pub(crate) use dsse::pre_authentication_encoding;
