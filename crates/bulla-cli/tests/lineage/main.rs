//! Four parties, four keys, four folders: a base model, a fine-tuning under `bulla run`, an adapter, a composition; then every
//! way in which the chain breaks, each refused with the hop named.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod chains;
mod drawings;
mod parties;
mod runs;
mod shown;
mod statements;
mod story;
