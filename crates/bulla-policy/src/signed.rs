//! Documents that people of a role have signed: each with a signature of the file, in whatever form `bulla blob sign` and
//! cosign write it. They lie beside the document: `FILE.sigstore.json`, and one a line in `FILE.sigstore.jsonl`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use bulla::blob::{Blob, UnverifiedFileSignature};
use bulla::jiff::Timestamp;
use bulla::{Failure, Fault, FileBytes, Limits, Links, read_found};

use crate::roles::Role;

/// Most signatures of one document that are looked at.
const SIGNATURES: usize = 100;

/// The files that hold a document's signatures.
#[must_use]
pub fn signature_files(document: &Path) -> [PathBuf; 2] {
    [".sigstore.json", ".sigstore.jsonl"].map(|suffix| {
        let mut name = OsString::from(document);
        name.push(suffix);
        name.into()
    })
}

/// A document's signatures, as they lie beside it. Nothing is known of them.
///
/// # Errors
/// [`Fault::Io`] when what is there cannot be read, [`Fault::TooMany`] when there is too much.
pub fn signatures_of(document: &Path, limits: &Limits) -> Result<Vec<Vec<u8>>, Fault> {
    let mut signatures = Vec::new();
    let [one, lines] = signature_files(document);
    let limit = limits.bundle_bytes;
    signatures.extend(read_found(&one, limit, Links::Follow)?);
    if let Some(lines) = read_found(&lines, limit, Links::Follow)? {
        if lines.len() as u64 > limit {
            return Err(too_many());
        }
        let lines = lines.split(|byte| *byte == b'\n');
        let lines = lines.filter(|line| !line.trim_ascii().is_empty());
        signatures.extend(lines.map(<[u8]>::to_vec));
    }
    if signatures.len() > SIGNATURES {
        return Err(too_many());
    }
    Ok(signatures)
}

fn too_many() -> Fault {
    Fault::TooMany { what: "signatures of a document", limit: SIGNATURES }
}

/// The people of a role who have signed a document, and in words what was passed over.
///
/// # Errors
/// A [`Fault`] when a signature could not be checked.
pub fn people_who_signed(
    document: &[u8],
    signatures: &[Vec<u8>],
    role: &Role,
    now: Timestamp,
    limits: &Limits,
) -> Result<(BTreeSet<String>, Vec<String>), Fault> {
    let source = FileBytes::new("the document", document);
    let (mut people, mut passed_over) = (BTreeSet::new(), Vec::new());
    for (index, bytes) in signatures.iter().enumerate() {
        let parsed = match UnverifiedFileSignature::parse(bytes, None, limits) {
            Ok(parsed) => parsed,
            Err(reason) => {
                passed_over.push(format!("signature {}: {reason}", index + 1));
                continue;
            }
        };
        let mut found = false;
        let mut why = None;
        for party in role.parties() {
            match parsed.verify(&Blob::File(&source), &party.trust, now, limits) {
                Ok(signed) if party.counts_at(signed.checked_at()) => {
                    found = true;
                    people.insert(party.id.clone());
                }
                Ok(_) => why = Some(format!("{}'s key does not count now", party.id)),
                Err(Failure::Refused(refusal)) => why = why.or(Some(refusal.to_string())),
                Err(Failure::Fault(fault)) => return Err(fault),
            }
        }
        if let Some(why) = why.filter(|_| !found) {
            passed_over.push(format!("signature {}: {why}", index + 1));
        }
    }
    Ok((people, passed_over))
}
