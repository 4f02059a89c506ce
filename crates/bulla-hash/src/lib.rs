//! SHA-256 over many independent streams at once, and the means to keep that busy.
//!
//! One stream of SHA-256 cannot go faster than its instructions follow each other. A model is many files, though,
//! and each is a stream of its own: sixteen of them in the lanes of a vector register go twice as
//! fast on the same core as one does with the processor's own SHA-256 instructions.
//!
//! ```text
//! schedule::Queue   which streams go together on which thread, and how far
//!        │ turns
//! mapping::Mapper   (or a read) ─► bytes of each
//!        │
//! sha256::Engine    lays them into the lanes of avx512, avx512vl, avx2, sha_ni, aarch64 or portable
//! ```
//!
//! All `unsafe` code of the workspace is in this crate: loads and stores of vectors, calls of code
//! for instructions that the processor was asked for, and mapped files.

#![allow(clippy::indexing_slicing, reason = "blocks, states, vectors and tables have fixed sizes")]

#[cfg(unix)]
pub mod mapping;
pub mod schedule;
pub mod sha256;
