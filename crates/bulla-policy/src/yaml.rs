//! YAML from outside, read strictly: unknown and repeated keys are refused, aliases and sizes capped (rule 4 of the security design).

use std::path::Path;

use bulla::Fault;
use serde::de::DeserializeOwned;

/// Bytes of a document: the keys in it are text.
pub(crate) const DOCUMENT_BYTES: u64 = 4 << 20;

/// Reads one document.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, Fault> {
    let malformed = |detail: String| malformed(path, detail);
    if bytes.len() as u64 > DOCUMENT_BYTES {
        return Err(malformed(format!("it is larger than {DOCUMENT_BYTES} bytes")));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|e| malformed(format!("it is not UTF-8 text (at byte {})", e.valid_up_to())))?;
    if text.trim().is_empty() {
        return Err(malformed("it is empty".into()));
    }
    let options = serde_saphyr::options! {
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
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|e| malformed(e.to_string()))
}

/// Of a policy.
pub(crate) fn policy_fault(path: &Path, detail: impl Into<String>) -> Fault {
    Fault::Policy { path: path.to_owned(), detail: detail.into() }
}

pub(crate) fn malformed(path: &Path, detail: impl Into<String>) -> Fault {
    Fault::TrustFile { path: path.to_owned(), detail: detail.into() }
}
