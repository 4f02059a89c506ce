//! The commands, one file each.

pub(crate) mod admit;
pub(crate) mod approve;
pub(crate) mod attest;
pub(crate) mod authority;
pub(crate) mod blob;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod digest;
pub(crate) mod inspect;
pub(crate) mod key;
pub(crate) mod lineage;
pub(crate) mod log;
pub(crate) mod man;
pub(crate) mod policy;
pub(crate) mod registry;
pub(crate) mod revoke;
pub(crate) mod rotate;
pub(crate) mod run;
pub(crate) mod sign;
pub(crate) mod trust;
pub(crate) mod verify;
