//! A private Sigstore in one process: a certificate authority (Fulcio's interface), transparency
//! logs (Rekor's, v1 and v2, and a log of certificates), a timestamp authority, and the files that clients need to
//! trust and find them.
//!
//! ```text
//! token ─► identity ─► certificate ◄─ SCT ◄─ certificate log ┐
//! signature, certificate ──────────────────► signature logs  ├─ bulla_log::Log over its Storage
//! signature ──► RFC 3161 timestamp                           ┘
//! ```
//!
//! [`init()`] makes an authority in a folder, [`Authority::open`] opens it, and [`server::serve`] serves it. What is in the
//! folder:
//!
//! ```text
//! authority.toml        what a person decides (Config)
//! generations/1/        keys, and what clients have to know of them
//! logs/1/               the logs that these keys sign
//! keys/, tuf/           the update repository, and the keys that sign it
//! state/                tokens that were used, the time of the last thing that was issued
//! trusted_root.json …   for clients; they follow from the rest
//! ```
//!
//! Time is an argument wherever something is decided; [`clock::Clock`] is asked at the edge of each request.
#![forbid(unsafe_code)]

mod authority;
pub mod clock;
pub mod config;
mod ct;
mod dev;
mod fulcio;
mod generation;
mod http;
mod identity;
mod init;
mod keys;
mod logs;
mod metrics;
mod oidc;
mod rekor;
mod rotate;
pub mod server;
mod signatures;
#[cfg(test)]
mod tests;
mod timestamp;
mod trust;
mod tuf;
mod witness;
mod x509;

pub use authority::{Authority, OpenError};
pub use config::Config;
pub use init::{InitError, Made, init};
pub use keys::{Protection, Role, ServiceKey};
pub use rotate::{Rotated, Schedule, is_protected, rotate};
pub use trust::TrustFiles;

/// Base64, the standard alphabet.
fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Base64, the alphabet of URLs, without padding.
fn base64url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// Base64 in either alphabet, padded or not, as protobuf's JSON takes it.
fn unbase64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    use base64::alphabet::{STANDARD, URL_SAFE};
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    [&STANDARD, &URL_SAFE]
        .into_iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, config).decode(text).ok())
}
