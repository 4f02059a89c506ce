//! How a model came to be: what a machine can observe while one is made, and what becomes part of
//! its provenance.
//!
//! ```text
//!   environment    the source, the pipeline, the machine and the frameworks
//!   training_log   a chain of lines that is only appended to; its head stands for all of them
//!   run            runs a training in the foreground, and writes down what it says
//! ```
//!
//! Nothing here is proof by itself. What is gathered is what the machine says of itself, and a log
//! is what its writer wrote; a signature over them says who answers for it. What this crate answers
//! for is that nothing else enters (no secrets), that a log cannot be changed after its head was
//! signed, and that nothing hostile on the machine stops or hangs the training.
//!
//! The clock and the environment are arguments.
#![forbid(unsafe_code)]

pub mod environment;
pub mod run;
pub mod training_log;

use bulla::json;

pub use jiff;
