//! The gate: a company with a policy, its people, its keys and its models; each rule with what breaks it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod attacks;
mod cases;
mod claims;
mod concerns;
mod contents;
mod custom;
mod documents;
mod model_verification;
mod monotone;
mod origin;
mod people;
mod revoked;
mod rotation;
mod schema;
mod signatures;
mod world;
