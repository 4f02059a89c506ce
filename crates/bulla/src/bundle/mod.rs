//! The signature file: a Sigstore bundle (v0.3 JSON) that holds a DSSE envelope.
//!
//! ```text
//! bytes ── UnverifiedBundle::parse ──► UnverifiedBundle ── verify::authenticate ──► Authenticated<Payload>
//! ```
//!
//! *Envelope*: the signed bytes and their signature. *Verification material*: what the signer says
//! about the key; a hint, never a reason to trust.

mod dsse;
mod sigstore;

pub use dsse::PAYLOAD_TYPE;
pub use sigstore::{KeyHint, MEDIA_TYPE, Material};

use crate::error::Reason;
use crate::limits::Limits;
pub(crate) use dsse::{Encoding, Envelope};

/// A signature file that was read and nothing more. There is no way from here to what it says was
/// signed but through [`authenticate`](Self::authenticate).
#[derive(Debug, Clone)]
pub struct UnverifiedBundle {
    pub(crate) envelope: Envelope,
    pub(crate) material: Material,
    log_entries: usize,
    timestamps: usize,
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
        sigstore::parse(bytes, limits)
    }

    /// What the signer says about the key.
    #[must_use]
    pub fn material(&self) -> &Material {
        &self.material
    }

    /// Number of transparency-log entries in the bundle.
    #[must_use]
    pub fn log_entries(&self) -> usize {
        self.log_entries
    }

    /// Number of RFC 3161 timestamps in the bundle.
    #[must_use]
    pub fn timestamps(&self) -> usize {
        self.timestamps
    }
}

/// Writes a bundle of the current version (v1.0 §4).
#[must_use]
pub fn encode(material: &Material, payload: &[u8], signature: &[u8]) -> Vec<u8> {
    sigstore::encode(material, payload, signature)
}

pub(crate) use dsse::pre_authentication_encoding;
