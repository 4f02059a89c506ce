//! Who is trusted with what: the documents that a person writes, read into the types that decisions are made with.
#![forbid(unsafe_code)]

mod authorities;
mod trust_file;
mod yaml;

pub use trust_file::TrustFile;
