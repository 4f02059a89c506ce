//! Chains of models by several parties, whole and broken.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod accounts;
mod conversions;
mod data;
mod models;
mod parties;
mod verdicts;
mod world;
