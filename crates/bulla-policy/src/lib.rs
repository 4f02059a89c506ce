//! Who is trusted with what: the documents that a person writes, read into the types that decisions are made with.
#![forbid(unsafe_code)]

mod authorities;
mod cases;
mod cel;
mod chain;
mod concern;
mod decision;
mod environment;
mod explain;
mod foresight;
mod gate;
mod import;
mod places;
mod policy;
mod reading;
mod revocations;
mod roles;
mod rotate;
mod rules;
mod schema;
mod shape;
mod signed;
mod span;
mod trust;
mod trust_file;
mod yaml;

pub use authorities::{KeyRecord, Storage};
pub use cases::{Case, Difference};
pub use cel::{Expression, Shape, Variables};
pub use concern::{Concern, Place, Unusable};
pub use decision::{Decision, Finding, Outcome, PolicyReference, Sighting};
pub use environment::Mode;
pub use gate::{Candidate, Gate, Memory, Recall, Request, Seen};
pub use import::{Answers, GivenKey, GivenRoot, ImportError, Imported, Missing, import};
pub use policy::{Approvals, Environment, Policy};
pub use revocations::{ModelName, RevocationList, RevokedModel};
pub use roles::{Person, Role};
pub use rotate::{NewKey, Rotated};
pub use rules::{WAIVABLE, is_waivable};
pub use schema::{policy_schema, revocations_schema};
pub use signed::{people_who_signed, signature_files, signatures_of};
pub use span::span;
pub use trust_file::TrustFile;
