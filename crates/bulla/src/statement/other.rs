//! Statements of kinds that Bulla has no words for: they are carried, and mean something to whoever wrote them.
//!
//! The kinds that Bulla writes itself cannot be carried so: each of them says that something was looked at before it was
//! signed, and a file that only looks like one says nothing (rule 2 of the security design).

use serde_json::Value;
use serde_json::value::RawValue;

use super::{OWN_TYPES, check_uri, malformed_attestation as malformed, oms, provenance, verdict};
use crate::error::Reason;

/// A predicate as it stands there.
#[derive(Debug, Clone, PartialEq)]
pub struct Other {
    pub(super) predicate_type: String,
    pub(super) predicate: Value,
}

impl Other {
    /// A predicate of a kind that Bulla does not write itself.
    ///
    /// # Errors
    /// [`Reason::ReservedPredicateType`] if it does; [`Reason::MalformedAttestation`] if the type is no URI or the predicate no object.
    pub fn new(predicate_type: &str, predicate: Value) -> Result<Self, Reason> {
        if is_reserved(predicate_type) {
            let found = crate::text::shorten(predicate_type);
            return Err(Reason::ReservedPredicateType { found });
        }
        check_uri("predicateType", predicate_type)?;
        if !predicate.is_object() {
            return Err(malformed("its predicate is not an object"));
        }
        Ok(Self { predicate_type: predicate_type.to_owned(), predicate })
    }

    pub(super) fn read(predicate_type: &str, body: &RawValue) -> Result<Self, Reason> {
        let value = serde_json::from_str(body.get()).map_err(|e| malformed(e.to_string()))?;
        Self::new(predicate_type, value)
    }

    /// The predicate.
    #[must_use]
    pub fn predicate(&self) -> &Value {
        &self.predicate
    }
}

/// Whether Bulla writes, or reads as its own, statements of this type, in whichever version or spelling.
fn is_reserved(predicate_type: &str) -> bool {
    let families = [
        OWN_TYPES,
        "https://model_signing/",
        "https://slsa.dev/provenance/",
        "https://slsa.dev/verification_summary/",
    ];
    let exact = [provenance::PREDICATE_TYPE, verdict::PREDICATE_TYPE, oms::PREDICATE_TYPE];
    let lower = predicate_type.trim().to_ascii_lowercase();
    families.iter().any(|family| lower.starts_with(family)) || exact.contains(&predicate_type)
}
