//! The statement of model-signing 0.2.0, read and never written: each file is a subject, there is no
//! root and no recipe (OMS v1.0 §5.1, historical note).

use std::collections::BTreeMap;

use super::oms::{OmsClaim, SignedFile, UNNAMED};
use super::{Raw, Subject, malformed};
use crate::digest::{Digest, HashAlgorithm};
use crate::error::Reason;
use crate::json::Object;
use crate::model::{Method, ModelPath, Recipe};

pub(super) const PREDICATE_TYPE: &str = "https://model_signing/Digests/v0.1";

pub(super) fn decode(statement: &Raw<'_, Subject>) -> Result<OmsClaim, Reason> {
    if statement.subject.is_empty() {
        return Err(malformed("it lists no file"));
    }
    let mut files: BTreeMap<ModelPath, SignedFile> = BTreeMap::new();
    let mut unnamed = None;
    let mut root = HashAlgorithm::Sha256.hasher();
    for Object(subject) in &statement.subject {
        let name = &subject.name;
        let digest = subject
            .digest
            .get("sha256")
            .and_then(|hex| Digest::from_hex(HashAlgorithm::Sha256, hex))
            .ok_or_else(|| malformed(format!("{name:?} has no SHA-256 digest")))?;
        root.update(digest.as_bytes());
        let file = SignedFile { size: None, digests: vec![digest] };
        if name == UNNAMED && statement.subject.len() == 1 {
            unnamed = Some(file);
            continue;
        }
        let path = ModelPath::parse(name)
            .map_err(|why| malformed(format!("the file name {name:?} is invalid: {why}")))?;
        if files.insert(path, file).is_some() {
            return Err(malformed(format!("it lists {name:?} twice")));
        }
    }
    let recipe = Recipe {
        method: Method::Files,
        hash: HashAlgorithm::Sha256,
        follow_symlinks: false,
        ignore: std::collections::BTreeSet::new(),
    };
    Ok(OmsClaim::new_0_2(recipe, files, unnamed, root.finish()))
}
