//! Conversions.
#![forbid(unsafe_code)]
mod conversion;
mod dtype;
mod limits;
mod numbers;
mod text;
pub use conversion::{Conversion, UnknownConversion};
pub use dtype::Dtype;
