//! Two home-made layouts that are in use, read and never written:
//!
//! * `MODEL/.signatures/manifest.json`, which lists every file with its SHA-256, signed as a file by cosign
//!   (`manifest.sig`, and `manifest.cert` for a certificate);
//! * `FILE.sig`, JSON with a `manifest` that has the file's SHA-256 (`model_hash`), signed with RSA-PSS over Python's
//!   `json.dumps(manifest, sort_keys=True)`.
//!
//! Their own readers let unsigned files through, and pass over every path with `.signatures` in it. Here unsigned files are
//! refused, and only the directory `.signatures` at the top is passed over.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::malformed;
use super::oms::{Dialect, OmsClaim, SignedFile};
use crate::digest::{Digest, HashAlgorithm};
use crate::error::Reason;
use crate::json::{self, Object};
use crate::limits::Limits;
use crate::model::{Method, ModelPath, Recipe};

/// Where the first layout is kept.
pub const FOLDER: &str = ".signatures";

#[derive(Deserialize)]
struct ManifestJson {
    version: String,
    files: BTreeMap<String, Object<FileJson>>,
    total_files: Option<u64>,
    total_size: Option<u64>,
}

#[derive(Deserialize)]
struct FileJson {
    sha256: String,
    size: u64,
}

/// Reads `manifest.json`, once its signature holds.
pub(crate) fn decode_manifest(bytes: &[u8], limits: &Limits) -> Result<OmsClaim, Reason> {
    let manifest: ManifestJson = json::read_large(bytes, limits.entries).map_err(malformed)?;
    if manifest.version != "1.0" {
        return Err(malformed(format!(
            "its manifest is of version {:?}, expected \"1.0\"",
            manifest.version
        )));
    }
    if manifest.files.is_empty() {
        return Err(malformed("its manifest lists no file"));
    }
    let mut files = BTreeMap::new();
    let mut root = HashAlgorithm::Sha256.hasher();
    let (count, mut total) = (manifest.files.len() as u64, 0_u64);
    for (name, Object(file)) in manifest.files {
        let path = ModelPath::parse(&name)
            .map_err(|why| malformed(format!("the file name {name:?} is invalid: {why}")))?;
        let digest = Digest::from_hex(HashAlgorithm::Sha256, &file.sha256)
            .ok_or_else(|| malformed(format!("{name:?} has no SHA-256 digest")))?;
        root.update(digest.as_bytes());
        total = total.saturating_add(file.size);
        files.insert(path, SignedFile { size: Some(file.size), digests: vec![digest] });
    }
    let fits = |said: Option<u64>, found: u64| said.is_none_or(|said| said == found);
    if !fits(manifest.total_files, count) || !fits(manifest.total_size, total) {
        return Err(malformed("its manifest's totals are not those of its files"));
    }
    let mut recipe = recipe();
    recipe.ignore.extend(ModelPath::parse(FOLDER));
    // What was listed is what was read: a link counted as the file that it led to.
    recipe.follow_symlinks = true;
    Ok(OmsClaim::of_other_layout(Dialect::ManifestJson, recipe, Ok(files), root.finish()))
}

/// The `.sig` file of the second layout, read and nothing more.
pub(crate) struct HashSignature {
    /// What was signed, as Python would write it.
    pub(crate) message: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    manifest: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HashSignatureJson {
    manifest: Box<RawValue>,
    signature: String,
}

impl HashSignature {
    /// Whether a file is of this layout, by its members.
    pub(crate) fn is_one(bytes: &[u8]) -> bool {
        json::read::<HashSignatureJson>(bytes).is_ok()
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Reason> {
        let file: HashSignatureJson = json::read(bytes).map_err(malformed)?;
        let mut message = String::with_capacity(bytes.len());
        python_json(&file.manifest, &mut message).map_err(malformed)?;
        let signature = hex::decode(&file.signature)
            .map_err(|e| malformed(format!("its signature is not hexadecimal: {e}")))?;
        Ok(Self { message: message.into_bytes(), signature, manifest: file.manifest })
    }

    /// Reads the manifest, once its signature holds.
    pub(crate) fn decode(&self) -> Result<OmsClaim, Reason> {
        #[derive(Deserialize)]
        struct Manifest {
            model_hash: String,
        }
        let manifest: Manifest = json::read(self.manifest.get().as_bytes()).map_err(malformed)?;
        let digest = Digest::from_hex(HashAlgorithm::Sha256, &manifest.model_hash)
            .ok_or_else(|| malformed("its model_hash is not a SHA-256 digest"))?;
        let file = SignedFile { size: None, digests: vec![digest] };
        let root = Digest::sha256(digest.as_bytes());
        Ok(OmsClaim::of_other_layout(Dialect::HashJson, recipe(), Err(file), root))
    }
}

fn recipe() -> Recipe {
    Recipe {
        method: Method::Files,
        hash: HashAlgorithm::Sha256,
        follow_symlinks: false,
        ignore: std::collections::BTreeSet::new(),
    }
}

/// Python's `json.dumps(value, sort_keys=True)`: keys in order of their characters, `", "` and `": "`, everything
/// beyond ASCII escaped. Numbers stay as they are written: Python wrote the file, too.
fn python_json(value: &RawValue, out: &mut String) -> Result<(), String> {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> =
                serde_json::from_str(text).map_err(|e| e.to_string())?;
            out.push('{');
            for (index, (key, value)) in members.into_iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                python_string(&key, out);
                out.push_str(": ");
                python_json(value, out)?;
            }
            out.push('}');
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|e| e.to_string())?;
            out.push('[');
            for (index, value) in items.into_iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                python_json(value, out)?;
            }
            out.push(']');
        }
        Some(b'"') => {
            let string: String = serde_json::from_str(text).map_err(|e| e.to_string())?;
            python_string(&string, out);
        }
        _ => out.push_str(text),
    }
    Ok(())
}

fn python_string(text: &str, out: &mut String) {
    use std::fmt::Write as _;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            other => {
                let mut units = [0; 2];
                for unit in other.encode_utf16(&mut units) {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values from CPython 3.11.
    #[test]
    fn python_json_as_cpython_writes_it() {
        for (given, expected) in [
            (r#"{"b":1,"a":[1.0,2e-05,true,null]}"#, r#"{"a": [1.0, 2e-05, true, null], "b": 1}"#),
            ("{}", "{}"),
            ("[ ]", "[]"),
            (
                "{\"é\": \"\u{1F600}\u{7f}\\u0001/\"}",
                "{\"\\u00e9\": \"\\ud83d\\ude00\\u007f\\u0001/\"}",
            ),
            (r#"{"a": {"Z": 1, "_": 2, "a": 3}}"#, r#"{"a": {"Z": 1, "_": 2, "a": 3}}"#),
        ] {
            let mut out = String::new();
            let raw = RawValue::from_string(given.to_owned()).unwrap();
            python_json(&raw, &mut out).unwrap();
            assert_eq!(out, expected);
        }
    }
}
