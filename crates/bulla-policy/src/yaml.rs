//! YAML from outside, read strictly: unknown and repeated keys are refused, aliases and sizes capped (rule 4 of the security design).

use std::path::Path;

use bulla::Fault;
use serde::de::DeserializeOwned;

use crate::concern::{Concern, Unusable};
use crate::places::{self, Places};
use crate::shape;

/// Bytes of a document: the keys in it are text.
pub(crate) const DOCUMENT_BYTES: u64 = 4 << 20;

/// How documents are read.
pub(crate) fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 200_000,
            max_aliases: 64,
            max_anchors: 64,
            max_depth: 32,
            max_documents: 1,
            max_nodes: 100_000,
        },
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    }
}

/// Reads one document.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, Unusable> {
    let unusable =
        |concerns: Vec<Concern>| Unusable { path: path.to_owned(), concerns, fault: None };
    let malformed =
        |detail: String| unusable(vec![Concern::error("yaml", detail, "give a document in YAML")]);
    if bytes.len() as u64 > DOCUMENT_BYTES {
        return Err(malformed(format!("it is larger than {DOCUMENT_BYTES} bytes")));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|e| malformed(format!("it is not UTF-8 text (at byte {})", e.valid_up_to())))?;
    if text.trim().is_empty() {
        return Err(malformed("it is empty".into()));
    }
    // A key that was named by mistake is not shown: it may be a private one.
    if text.trim_start().starts_with("-----BEGIN ") {
        return Err(malformed("it is a key or a certificate (PEM)".into()));
    }
    let error = match serde_saphyr::from_str_with_options(text, options()) {
        Ok(document) => return Ok(document),
        Err(error) => error,
    };
    let places = Places::of(text);
    let mut first = first(&error);
    // Of what is no YAML at all nothing more can be said.
    if places.root().is_none() && first.code != "repeated-member" {
        first.code = "yaml";
        first.hint = "look at brackets, quotes and indentation there".to_owned();
    }
    let mut all = shape::concerns::<T>(&places);
    let line = |concern: &Concern| concern.place.map(|place| place.line);
    if !all.iter().any(|one| line(one) == line(&first)) {
        all.insert(0, first);
    }
    all.sort_by_key(|concern| concern.place);
    Err(unusable(all))
}

/// What the reader ended with.
fn first(error: &serde_saphyr::Error) -> Concern {
    let words = error.to_string();
    let place = error.location().filter(|at| at.line() > 0).map(|at| places::place(&at));
    // The place is told apart, and a library's advice is for programmers.
    let words = words.rsplit_once(" at line ").map_or(words.as_str(), |(words, _)| words);
    let words = words.split(", set DuplicateKeyPolicy").next().unwrap_or_default();
    let concern = match words.strip_prefix("duplicate mapping key: ") {
        Some(name) => Concern::error(
            "repeated-member",
            format!("duplicate member {name}"),
            "keep one of them",
        ),
        None => shape::concern(words),
    };
    concern.at(place)
}

/// Of a policy.
pub(crate) fn policy_fault(path: &Path, detail: impl Into<String>) -> Fault {
    Fault::Policy { path: path.to_owned(), detail: detail.into() }
}
