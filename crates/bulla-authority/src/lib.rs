//! A private Sigstore in one process: a certificate authority (Fulcio's interface), transparency
//! logs (Rekor's, v1 and v2, and a log of certificates), a timestamp authority, and the files that clients need to
//! trust and find them.
//!
//! ```text
//! token ─► identity ─► certificate ◄─ SCT ◄─ certificate log ┐
//! signature, certificate ──────────────────► signature logs  ├─ log::Log over log::Storage
//! signature ──► RFC 3161 timestamp                           ┘
//! ```
#![forbid(unsafe_code)]

pub mod log;
