//! What has been seen, signed, decided and revoked: in a SQLite file, or in PostgreSQL where many gates share it.
//!
//! ```text
//! Record ─► Event ─► entry of an append-only log ─► rows of tables ─► map of what is in force
//!                          └──── root ─────────────────────┴── root ──► checkpoint, signed
//!
//! question ─► rows ─ proof ─► checkpoint: signed by the caller's key? continues the caller's mark? ─► answer, or a Fault
//! ```
//!
//! Everything is an **event** in a Merkle log (RFC 6962), and every table follows from the events. Each transaction ends with a new
//! **checkpoint**, a C2SP signed note with two extension lines: `time`, and `state`, the root of a map of what is in force
//! (revocations, quarantines, sequences, first sights, standing decisions, policies). What a gate asks is proven under it, so that
//! whoever can write into the database can stop a gate but cannot make it forget a revocation; and a checkpoint that is older than the
//! caller's own **high-water mark**, or of another history, is a fault. The signing key and the mark are elsewhere.
//!
//! What is not proven: listings, and the search for what rests on something ([`Registry::blast_radius`]), which go over tables with
//! indexes. [`Registry::audit`] compares all of them with the log.
//!
//! Time is an argument. What was answered is durable; what was not may have been written, and asking again with the same request finds it.
#![forbid(unsafe_code)]

mod audit;
mod database;
mod event;
mod impact;
mod limits;
mod list;
mod load;
mod log;
mod project;
mod proven;
mod queues;
mod record;
mod registry;
mod revoke;
mod schema;
mod state;
mod subject;
mod transfer;
mod wire;

use bulla::Fault;

pub use audit::{Audit, AuditProgress, Finding};
pub use database::Place;
pub use event::{
    AlertQueued, AlertTried, Basis, ClaimSeen, Decided, DecisionsWithdrawn, Entry, Event, KeyAdded,
    KeyRetired, ModelSeen, PolicyRef, PolicyUsed, QuarantineLifted, Quarantined, Released,
    ResignClaimed, ResignEnded, ResignQueued, RevocationsUsed, Revoked, RolledBack, SignatureSeen,
    Vouched,
};
pub use impact::{
    AffectedDecision, AffectedModel, AffectedRelease, BlastRadius, Effect, LastGood, Rest,
};
pub use list::{
    AgingSignature, DecisionDetail, EvidenceDetail, KeyDetail, ModelDetails, ModelSearch,
    ModelState, ModelSummary, Page, ReleaseDetail, SightingDetail, Status,
};
pub use log::SignedHead;
pub use proven::{Cause, Deployment, Memory, Quarantine, Revocation, Running, Standing};
pub use queues::{Alert, ResignState, ResignTask};
pub use record::{Answer, ModelSighting, NewDecision, Record};
pub use registry::{CLOCK_SKEW, First, Registry, Settings};
pub use revoke::{Plan, RevocationRequest};
pub use subject::{ModelRef, Subject};

/// The registry is not what was signed.
fn damaged(place: &str, detail: String) -> Fault {
    Fault::Registry {
        place: place.to_owned(),
        detail,
        hint: "somebody wrote into the database, or it is damaged: 'bulla registry audit' names every row; restore a good copy",
    }
}
