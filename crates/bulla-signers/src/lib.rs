//! Signing that leaves the process: one file a kind.
//!
//! ```text
//! token (ambient, browser, given) ─► Keyless ─► certificate for a key that lives for one signature
//!                                       │ sign
//!   WithLog ── adds an entry of a transparency log        each wraps a bulla::Signer, and is one
//!   WithTimestamps ── adds RFC 3161 timestamps
//! ```
//!
//! Everything blocks, has a limit on what it waits for and reads, and says which service failed. The clock and the
//! environment are read here: this is the floor where a program meets the world.
#![forbid(unsafe_code)]

mod config;
mod fulcio;
mod http;
mod keyless;
mod rekor;
mod timestamp;
mod token;
mod tuf;

pub use config::{Log, RekorVersion, Services};
pub use http::Client;
pub use keyless::Keyless;
pub use rekor::WithLog;
pub use timestamp::WithTimestamps;
pub use token::{Interaction, Token, TokenSource};
pub use tuf::{Repository, Updated};
