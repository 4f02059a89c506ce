//! What could not be checked.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::text::{Printable, bytes, io_words};

/// Could not be checked. Nothing is known about the model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The system refused.
    #[error("cannot {doing} {}: {}", Printable(&path.to_string_lossy()), io_words(source))]
    Io {
        /// What was tried: `open`, `read`, …
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file changed while it was looked at.
    #[error("{} changed while it was being read", Printable(path))]
    Changed {
        /// Its name.
        path: String,
    },
    /// Neither a directory nor a file.
    #[error("{} is a {found}; a model is a directory or a file", Printable(&path.to_string_lossy()))]
    NotAModel {
        /// What was given.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// More than the limits allow.
    #[error("the model has more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        limit: usize,
    },
    /// Directories below one another without end.
    #[error("{} lies deeper than {limit} directories", Printable(path))]
    TooDeep {
        /// Where.
        path: String,
        /// How deep is allowed.
        limit: usize,
    },
    /// More bytes than the caller wants measured.
    #[error("the model's files have {} ({size} bytes), more than the {limit} bytes that may be measured", bytes(*size))]
    ModelTooLarge {
        /// Bytes in them.
        size: u64,
        /// The most.
        limit: u64,
    },
    /// The signature would be larger than a verifier reads.
    #[error("the signature would have at least {} ({size} bytes), more than the {limit} bytes that a verifier reads", bytes(*size))]
    BundleTooLarge {
        /// How large it would be.
        size: u64,
        /// How large it may be.
        limit: u64,
    },
    /// A digest cache that must not be used.
    #[error("the digest cache {} is not used: {}", Printable(&path.to_string_lossy()), Printable(detail))]
    DigestCache {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
        /// What to do.
        hint: &'static str,
    },
    /// A trusted root that cannot be used.
    #[error("{} is not a usable trusted root: {}", Printable(name), Printable(detail))]
    TrustedRoot {
        /// Which.
        name: String,
        /// What is wrong with it.
        detail: String,
        /// What to do.
        hint: &'static str,
    },
    /// A file that says who is trusted, and cannot be used.
    #[error("{} cannot be used: {}", Printable(&path.to_string_lossy()), Printable(detail))]
    TrustFile {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A policy, or a document that it names, and why nothing can be decided by it.
    #[error("{} cannot be used: {}", Printable(&path.to_string_lossy()), Printable(detail))]
    Policy {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A registry that cannot be believed, or asked what it has no answer to.
    #[error("the registry {}: {}", Printable(place), Printable(detail))]
    Registry {
        /// Where it is.
        place: String,
        /// What was found, and what was expected.
        detail: String,
        /// What to do.
        hint: &'static str,
    },
    /// The clock stands before something that has happened.
    #[error("it is {now} by the clock, and the last decision was made at {last}")]
    Clock {
        /// What it says.
        now: Timestamp,
        /// What has happened.
        last: Timestamp,
    },
    /// A service that did not do what it was asked.
    #[error("the {service} at {} failed: {}", Printable(url), Printable(detail))]
    Service {
        /// What it is.
        service: &'static str,
        /// Where it is.
        url: String,
        /// What happened.
        detail: String,
        /// What to do.
        hint: &'static str,
    },
    /// An identity token that cannot be used.
    #[error("the identity token cannot be used: {}", Printable(detail))]
    Token {
        /// Why.
        detail: String,
        /// What to do.
        hint: &'static str,
    },
    /// What would be published was not agreed to.
    #[error("nothing was signed: what would be published was not agreed to")]
    NotAgreed,
    /// A key or certificate that cannot be used.
    #[error("{}", Printable(detail))]
    Key {
        /// What is wrong with it.
        detail: String,
        /// What to do.
        hint: Option<&'static str>,
    },
    /// An encrypted key, and no password.
    #[error("the private key is encrypted, and there is no password")]
    PasswordNeeded,
    /// An encrypted key, and another password.
    #[error("the password does not open the private key")]
    WrongPassword,
    /// A signer returned something that is not a signature of what it was given.
    #[error("the signer returned a signature that its own public key does not verify")]
    SignerBroken,
    /// Something that cannot be.
    #[error("internal error: {what}; please report it")]
    Bug {
        /// What was seen.
        what: &'static str,
    },
}

impl Fault {
    /// A [`Fault::Io`].
    #[must_use]
    pub fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.into(), source }
    }

    /// A [`Fault::Key`] without a hint.
    #[must_use]
    pub fn key(detail: impl Into<String>) -> Self {
        Self::Key { detail: detail.into(), hint: None }
    }

    /// A short, stable name of the kind of fault, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "io",
            Self::Changed { .. } => "changed-while-read",
            Self::NotAModel { .. } => "not-a-model",
            Self::TooMany { .. } => "too-many",
            Self::TooDeep { .. } => "too-deep",
            Self::ModelTooLarge { .. } => "model-too-large",
            Self::BundleTooLarge { .. } => "bundle-too-large",
            Self::DigestCache { .. } => "digest-cache",
            Self::TrustedRoot { .. } => "trusted-root",
            Self::TrustFile { .. } => "trust-file",
            Self::Policy { .. } => "policy",
            Self::Clock { .. } => "clock",
            Self::Registry { .. } => "registry",
            Self::Service { .. } => "service",
            Self::Token { .. } => "identity-token",
            Self::NotAgreed => "not-agreed",
            Self::Key { .. } => "key",
            Self::PasswordNeeded => "password-needed",
            Self::WrongPassword => "wrong-password",
            Self::SignerBroken => "signer-broken",
            Self::Bug { .. } => "bug",
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Io { source, path, .. } => match source.kind() {
                io::ErrorKind::NotFound => "check the path",
                io::ErrorKind::PermissionDenied => "run as a user who may read and write there",
                io::ErrorKind::IsADirectory => "give a file, not a directory",
                io::ErrorKind::StorageFull if path.as_os_str() == "standard output" => {
                    "make room where the output goes"
                }
                io::ErrorKind::StorageFull => "make room; what was there before is untouched",
                _ => return None,
            },
            Self::Changed { .. } => "run again when nothing writes into the model",
            Self::NotAModel { .. } => "give the directory or the file that is the model",
            Self::TooMany { .. } | Self::TooDeep { .. } => {
                "check the path: is this the model, or a directory above it?"
            }
            Self::ModelTooLarge { .. } => {
                "if a model of this size is expected, raise the limit with --max-model-size"
            }
            Self::BundleTooLarge { .. } => {
                "use fewer, larger shards; or raise --max-bundle-size here and for whoever verifies"
            }
            Self::DigestCache { hint, .. } => hint,
            Self::TrustedRoot { hint, .. }
            | Self::Registry { hint, .. }
            | Self::Service { hint, .. }
            | Self::Token { hint, .. } => hint,
            Self::TrustFile { .. } => "docs/lineage.md describes the file, with an example",
            Self::Policy { .. } => {
                "'bulla policy check' says all that is wrong; docs/policy.md describes the document"
            }
            Self::Clock { .. } => "set the clock: decisions rest on it",
            Self::NotAgreed => {
                "agree when asked, or beforehand with --yes; a signature with a key (--key) publishes nothing"
            }
            Self::Key { hint, .. } => return *hint,
            Self::PasswordNeeded => {
                "give it with --password-file or in BULLA_PASSWORD, or run in a terminal"
            }
            Self::WrongPassword => "check the password; for an empty one set BULLA_PASSWORD=",
            Self::SignerBroken => "nothing was written; check the key store",
            Self::Bug { .. } => return None,
        })
    }
}
