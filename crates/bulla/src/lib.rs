//! Bulla seals machine-learning models: it signs them, and checks that a model is what its signer
//! signed. The formats are the [OpenSSF Model Signing specification](https://github.com/sigstore/model-transparency)'s
//! (OMS v1.0), so other tools read what Bulla writes and Bulla reads what they write.
//!
//! ```text
//!   sign:    source ─ measure ─► Manifest ─► OmsClaim ─► payload ─ Signer ─► bundle
//!   verify:  bundle ─ authenticate ─► Authenticated<OmsClaim> ─ check(source) ─► VerifiedModel
//! ```
//!
//! The library is synchronous. It has no network, no clock, no environment and prints nothing: the
//! time, the threads, the limits and whom to trust are arguments.
//!
//! # Words
//! *Model*: a directory or a file. *Manifest*: its files with their digests. *Claim*: what a signer
//! says about a model. *Bundle*: the signature file. *Trust*: the keys or authorities a verifier
//! accepts. [`Refusal`]: checked, and not trusted. [`Fault`]: could not be checked.
//!
//! # Example
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use bulla::{KeyAlgorithm, KeyPair, KeySigner, Limits, LocalModel, Options, Recipe,
//!             Trust, Work, sign, verify};
//!
//! let model = tempfile::tempdir()?;
//! std::fs::write(model.path().join("weights.bin"), [1, 2, 3])?;
//!
//! let work = Work::new(std::thread::available_parallelism()?);
//! let limits = Limits::default();
//! let now = "2026-11-20T12:00:00Z".parse()?;
//!
//! let key = KeyPair::generate(KeyAlgorithm::EcdsaP256)?;
//! let trust = Trust::keys(vec![key.public().clone()])?;
//! let signed = sign::sign(
//!     &LocalModel::open(model.path())?, &Recipe::default(), Default::default(),
//!     &KeySigner::new(key), sign::Known::Nothing, &limits, work,
//! )?;
//!
//! let verified = verify::verify(
//!     &signed.bundle, LocalModel::open(model.path())?, &trust, now,
//!     &Options::default(), &limits, work,
//! )?;
//! let weights = verified.open_verified(&bulla::ModelPath::parse("weights.bin")?)?;
//! assert_eq!(weights.as_ref(), [1, 2, 3]);
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

pub mod blob;
pub mod bundle;
pub mod claims;
mod digest;
mod error;
pub mod inspect;
pub mod json;
mod limits;
pub mod lineage;
pub mod model;
pub mod other_layouts;
pub mod party;
pub mod report;
pub mod sign;
pub mod statement;
mod store;
pub mod text;
mod trust;
pub mod verify;

pub use jiff;

pub use bulla_hash::mapping::{Mapper, Mapping};
pub use bulla_hash::sha256::{Backend, Engine};
pub use bundle::{Evidence, LogEntry, UnverifiedBundle, UnverifiedFileSignature};
pub use digest::{Digest, HashAlgorithm, Hasher};
pub use error::{Failure, Fault, Reason, Refusal};
pub use limits::Limits;
pub use model::{LocalModel, Manifest, ModelPath, ModelSource, NoProgress, Progress, Recipe, Work};
pub use sign::{CertificateSigner, KeySigner, Signer};
pub use statement::model::ModelDigests;
pub use statement::oms::{Compatibility, OmsClaim};
pub use statement::{Attestation, Predicate, Statement};
pub use store::{Access, Existing, Links, read_found, read_named, store};
pub use text::Printable;
pub use trust::{
    BlobSource, Certificate, ClaimRule, Claims, Embedded, FileBytes, FileHashes, FileToSign,
    IdentityRule, KeyAlgorithm, KeyFileFormat, KeyPair, LogRecord, Password, PathProblem,
    PrivateKeyFile, PublicKey, Revocations, Revoked, RevokedIdentity, RootEntry, SignerName,
    SigstoreProblem, SigstoreRoot, TimeSource, TimestampProblem, Trust, TrustedPath, TrustedTime,
    check_response,
};
pub use verify::{
    Authenticated, CertifiedSigner, IdentifiedSigner, Notice, Options, SignedBy, VerifiedFile,
    VerifiedModel,
};
