//! Conversions of safetensors models that can be run again and compared.
//!
//! That one model was converted from another is a claim that anybody with both can check: convert the
//! parent again, and see whether the child comes out. For this a conversion has to be decided to the bit,
//! on every machine. [`convert`](convert()) is such a conversion, and [`check`](check()) compares without
//! writing.
//!
//! ```text
//!   parent ─ Model::open ─► tensors by name ─ Conversion ─► bytes ─ convert ─► a new directory
//!                                                             └──── check ◄─── tensors by name ◄─ child
//! ```
//!
//! Files are listed, opened and found to have changed by `bulla`, as for signing and verifying.
//! Nothing of a model is believed: headers are checked before a tensor is looked at, sizes have caps, and a
//! model is read in pieces, so memory does not grow with it. The library has no clock, no environment and no
//! threads, and prints nothing.
//!
//! # Words
//! *Parent*, *child*: the model that was converted, and what came of it. *Shard*: a file of tensors.
//! *Companion*: any other file of a model. [`Report`]: what a comparison found. [`Error`]: it could not be made.
//!
//! # Example
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::path::Path;
//! use bulla::model::{LocalModel, Scope};
//! use bulla::{Limits, Recipe};
//! use bulla_convert::{Conversion, Model, check, convert};
//! # let folder = tempfile::tempdir()?;
//! # let (parent, child) = (folder.path().join("parent"), folder.path().join("child"));
//! # std::fs::create_dir(&parent)?;
//! # let data = [0, 0, 0xc0, 0x3f];
//! # let tensor = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &data)?;
//! # safetensors::serialize_to_file([("a", tensor)], None, &parent.join("model.safetensors"))?;
//!
//! let (recipe, limits) = (Recipe::default(), Limits::default());
//! let open = |path: &Path| -> Result<Model<'_>, bulla_convert::Error> {
//!     Model::open(path, Box::new(LocalModel::open(path)?), Scope::to_sign(&recipe), &limits)
//! };
//! let original = open(&parent)?;
//! let done = convert(&original, &child, Conversion::F32ToF16, Some(5_000_000_000))?;
//! assert_eq!((done.shards, done.overflowed), (1, 0));
//!
//! let report = check(&original, &open(&child)?, Conversion::F32ToF16)?;
//! assert!(report.is_equal(), "{:?}", report.differences);
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

mod check;
mod config;
mod conversion;
mod convert;
mod dtype;
mod error;
mod files;
mod header;
mod index;
mod json;
mod limits;
mod model;
mod numbers;
mod stream;

pub use check::{Difference, Report, check};
pub use conversion::{Conversion, UnknownConversion};
pub use convert::{Converted, convert};
pub use dtype::Dtype;
pub use error::Error;
pub use header::{Header, HeaderError, Tensor, parse_header};
pub use model::Model;
