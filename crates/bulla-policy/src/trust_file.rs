//! The trust file of `bulla lineage`: who signs, for which builders, and how far a chain is believed.
//!
//! Its members have the names that they have in a policy.

use std::collections::BTreeMap;
use std::path::Path;

use bulla::lineage::Rules;
use bulla::{Digest, Fault, Limits, read_named};
use serde::Deserialize;

use crate::authorities::Authority;
use crate::chain::{self, BuilderEntry, LineageEntry, Where};
use crate::concern::Unusable;
use crate::places::{At, Places};
use crate::trust::{Reader, TrustSection};
use crate::yaml;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    trust: TrustSection,
    signing_authorities: BTreeMap<String, Authority>,
    #[serde(default)]
    provenance: ProvenanceSection,
    #[serde(default)]
    lineage: LineageEntry,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProvenanceSection {
    #[serde(default)]
    builders: Vec<BuilderEntry>,
}

/// A trust file that was read, with every file that it names.
#[derive(Debug)]
pub struct TrustFile {
    /// The rules that it makes.
    pub rules: Rules,
    /// SHA-256 of its bytes. As other files are named with their digests, it is the digest of them all.
    pub digest: Digest,
}

impl TrustFile {
    /// Reads a trust file.
    ///
    /// # Errors
    /// [`Fault::TrustFile`] says what is wrong with it, and in which line if it is no such YAML; [`Fault::Io`] when it, or a file that
    /// it names, cannot be read.
    pub fn read(path: &Path, limits: &Limits) -> Result<Self, Fault> {
        let bytes = read_named(path, yaml::DOCUMENT_BYTES)?;
        Self::parse(path, &bytes, limits).map_err(Unusable::of_trust_file)
    }

    fn parse(path: &Path, bytes: &[u8], limits: &Limits) -> Result<Self, Unusable> {
        let document: Document = yaml::read(path, bytes)?;
        let places = Places::of(std::str::from_utf8(bytes).unwrap_or_default());
        let reader = Reader::new(path, &places, limits);
        let anchors = reader.anchors(&document.trust);
        for (id, authority) in &document.signing_authorities {
            if let Err(what) = authority.only_of_policies() {
                let at = At::root().of("signing_authorities").of(id).of(what);
                let message = format!("{id}: {what} has a meaning in policies only");
                reader.wrong(&at, "unknown-member", message, "take it out");
            }
        }
        let (parties, _) = reader.parties(&anchors, &document.signing_authorities);
        let place = Where {
            reader: &reader,
            whose: "",
            builders: At::root().of("provenance").of("builders"),
            lineage: At::root().of("lineage"),
            known: document.signing_authorities.keys().collect(),
        };
        let rules = chain::rules(&place, parties, &document.provenance.builders, &document.lineage);
        match reader.is_wrong() {
            true => Err(reader.unusable()),
            false => Ok(Self { rules, digest: Digest::sha256(bytes) }),
        }
    }
}
