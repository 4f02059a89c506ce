//! Models: a directory or a file, how it is listed, and how it is measured.
//!
//! ```text
//! ModelSource ── list(Scope) ──► Listing ── Manifest::measure(Recipe) ──► Manifest
//! ```
//!
//! *Source*: where the bytes are. *Scope*: which paths are looked at. *Recipe*: how they are
//! hashed. *Manifest*: every file with its digests.

mod cache;
mod compare;
mod local;
mod manifest;
mod measure;
mod partial;
mod path;
mod recipe;
mod source;

pub use cache::DigestCache;
pub use compare::{Difference, collisions};
pub use local::LocalModel;
pub use manifest::{Manifest, Measured};
pub use measure::{NoProgress, Progress, Work};
pub use partial::{Part, PartialManifest, Partials};
pub use path::{BadPath, ModelPath};
pub use recipe::{
    CLAIMS_NAME, DEFAULT_SHARD_SIZE, GIT_PATHS, Kind, Method, Recipe, SIGNATURE_NAME, Scope,
    SignedPaths,
};
pub use source::{Found, Identity, Irregular, Layout, Listing, ModelFile, ModelSource, Unusable};

pub(crate) use compare::{compare, renamed};
pub(crate) use manifest::{oms_manifest_v1, resources, total_size};
