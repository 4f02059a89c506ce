//! What Bulla's tests share, and what is never shipped: throw-away authorities, signatures over
//! anything at all, small models.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod authority;
pub mod bundles;
#[cfg(feature = "authority")]
pub mod issuer;
pub mod models;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "authority")]
pub mod sigstore;
pub mod stamps;

use std::num::NonZeroUsize;
use std::path::Path;

use bulla::{Failure, Limits, LocalModel, Manifest, Recipe, Work};

/// Two threads, and nobody told.
#[must_use]
pub fn work() -> Work<'static> {
    Work::new(NonZeroUsize::new(2).unwrap())
}

/// Measures a model on the disk, in full.
///
/// # Errors
/// As [`bulla::sign::measure`] has them.
///
/// # Panics
/// When there is no model.
pub fn measure(
    model: &Path,
    recipe: &Recipe,
    limits: &Limits,
    work: Work<'_>,
) -> Result<Manifest, Failure> {
    let source = LocalModel::open(model).unwrap();
    bulla::sign::measure(&source, recipe, bulla::sign::Known::Nothing, limits, work)
}

/// The time that tests run at.
#[must_use]
pub fn now() -> bulla::jiff::Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

/// A model path.
#[must_use]
pub fn path(text: &str) -> bulla::ModelPath {
    bulla::ModelPath::parse(text).unwrap()
}

/// The codes of all the reasons of a refusal, sorted.
///
/// # Panics
/// When it is no refusal.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: Result<T, bulla::Failure>) -> Vec<&'static str> {
    match result {
        Err(bulla::Failure::Refused(refusal)) => {
            let mut codes: Vec<_> = refusal.reasons().map(bulla::Reason::code).collect();
            codes.sort_unstable();
            codes
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// The text of a refusal.
///
/// # Panics
/// When it is no refusal.
#[track_caller]
pub fn refusal<T: std::fmt::Debug>(result: Result<T, bulla::Failure>) -> String {
    match result {
        Err(bulla::Failure::Refused(refusal)) => refusal.to_string(),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// A fault.
///
/// # Panics
/// When it is none.
#[track_caller]
pub fn fault<T: std::fmt::Debug>(result: Result<T, bulla::Failure>) -> bulla::Fault {
    match result {
        Err(bulla::Failure::Fault(fault)) => fault,
        other => panic!("expected a fault, got {other:?}"),
    }
}
