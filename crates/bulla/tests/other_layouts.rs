//! Models signed in layouts that people made for themselves: read, with their holes closed, as a weaker check.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla::blob::{self, FileBytes};
use bulla::{
    Digest, Failure, KeyAlgorithm, KeyPair, KeySigner, Limits, LocalModel, Notice, Options,
    PublicKey, Trust, VerifiedModel, other_layouts,
};
use bulla_testkit::{models, now, refused, work};
use serde_json::{Value, json};

struct Signed {
    folder: tempfile::TempDir,
    trust: Trust,
    signature: String,
    manifest: Vec<u8>,
}

const FILES: [(&str, &[u8]); 3] =
    [("config.json", b"{}"), ("weights.bin", &[7; 100]), ("tokenizer/vocab.txt", b"a")];

/// As the script in the field writes it.
fn manifest() -> Value {
    let files: serde_json::Map<String, Value> = FILES
        .iter()
        .map(|(name, bytes)| {
            let sha256 = Digest::sha256(bytes).to_hex();
            ((*name).to_owned(), json!({ "sha256": sha256, "size": bytes.len() }))
        })
        .collect();
    json!({ "version": "1.0", "model_directory": "m", "files": files, "total_files": 3, "total_size": 103 })
}

fn signed(manifest: &Value) -> Signed {
    let folder = tempfile::tempdir().unwrap();
    models::write(folder.path(), &FILES);
    models::write(folder.path(), &[(".signatures/provenance.json", b"{}")]);
    let pair = KeyPair::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let trust = Trust::keys(vec![pair.public().clone()]).unwrap();
    let manifest = serde_json::to_vec_pretty(manifest).unwrap();
    let source = FileBytes::new("manifest.json", &manifest);
    let signed = blob::sign(&source, &KeySigner::new(pair), &Limits::default()).unwrap();
    Signed { folder, trust, signature: STANDARD.encode(signed.signature), manifest }
}

impl Signed {
    fn verify(&self, manifest: &[u8]) -> Result<VerifiedModel<LocalModel>, Failure> {
        let limits = Limits::default();
        let signature = self.signature.as_bytes();
        other_layouts::authenticate_manifest(
            manifest,
            signature,
            None,
            &self.trust,
            now(),
            &limits,
        )?
        .check(
            LocalModel::open(self.folder.path())?,
            &Options::default(),
            &limits,
            work(),
        )
    }
}

#[test]
fn a_manifest_signed_by_cosign_is_a_weaker_check() {
    let signed = signed(&manifest());
    let verified = signed.verify(&signed.manifest).unwrap();
    assert!(verified.notices().contains(&Notice::OtherLayout));
    assert!(verified.notices().iter().any(Notice::is_weaker_check));
}

/// Its own reader lets extra files through, and everything with `.signatures` in its path.
#[test]
fn files_that_were_not_signed_are_refused() {
    for name in ["evil.py", "sub/.signatures/evil.py", "x.signatures.py", ".signatures2/evil.py"] {
        let signed = signed(&manifest());
        models::write(signed.folder.path(), &[(name, b"import os")]);
        assert_eq!(refused(signed.verify(&signed.manifest)), ["extra"], "{name}");
    }
}

#[test]
fn changed_and_missing_files_and_manifests_are_refused() {
    let signed = signed(&manifest());
    models::write(signed.folder.path(), &[("config.json", b"[]")]);
    std::fs::remove_file(signed.folder.path().join("weights.bin")).unwrap();
    assert_eq!(refused(signed.verify(&signed.manifest)), ["changed", "missing"]);
    let mut changed = signed.manifest.clone();
    changed.push(b'\n');
    assert_eq!(refused(signed.verify(&changed)), ["bad-signature"]);
}

#[test]
fn signed_manifests_that_make_no_sense_are_refused() {
    let with = |change: fn(&mut Value)| {
        let mut manifest = manifest();
        change(&mut manifest);
        let signed = signed(&manifest);
        refused(signed.verify(&signed.manifest))
    };
    for codes in [
        with(|m| m["version"] = "2.0".into()),
        with(|m| m["files"] = json!({})),
        with(|m| m["total_files"] = 2.into()),
        with(|m| m["total_size"] = 0.into()),
        with(|m| m["files"]["../evil"] = json!({ "sha256": "00", "size": 1 })),
        with(|m| m["files"]["config.json"]["sha256"] = "00".into()),
        with(|m| m["files"]["config.json"] = "x".into()),
    ] {
        assert_eq!(codes, ["malformed-statement"]);
    }
    assert_eq!(with(|m| m["files"]["config.json"]["size"] = 3.into()), ["malformed-statement"]);
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/other-layouts").join(name)
}

fn verify_hash(model: &Path, signature: &[u8]) -> Result<VerifiedModel<LocalModel>, Failure> {
    let limits = Limits::default();
    let key = std::fs::read_to_string(data("key.pub")).unwrap();
    let trust = Trust::keys(vec![PublicKey::from_pem(&key, &limits).unwrap()]).unwrap();
    other_layouts::authenticate_hash(signature, &trust, now(), &limits)?.check(
        LocalModel::open(model)?,
        &Options::default(),
        &limits,
        work(),
    )
}

/// Made with CPython's `json` and `cryptography`.
#[test]
fn a_hash_signed_with_rsa_is_a_weaker_check() {
    let signature = std::fs::read(data("model.bin.sig")).unwrap();
    assert!(other_layouts::is_hash_signature(&signature, &Limits::default()));
    let verified = verify_hash(&data("model.bin"), &signature).unwrap();
    assert!(verified.notices().contains(&Notice::OtherLayout));
    assert_eq!(refused(verify_hash(&data("key.pub"), &signature)), ["changed"]);

    let good: Value = serde_json::from_slice(&signature).unwrap();
    let changes: [fn(&mut Value); 5] = [
        |v| v["manifest"]["model_hash"] = "00".repeat(32).into(),
        |v| v["manifest"]["training_metadata"]["hyperparameters"]["epochs"] = 4.into(),
        |v| v["manifest"]["new"] = 1.into(),
        |v| v["signature"] = "00".into(),
        |v| {
            v["manifest"].as_object_mut().unwrap().remove("signer_id");
        },
    ];
    for change in changes {
        let mut changed = good.clone();
        change(&mut changed);
        let result = verify_hash(&data("model.bin"), changed.to_string().as_bytes());
        assert_eq!(refused(result), ["bad-signature"]);
    }
    // It holds one digest: of a directory it says nothing.
    let folder = tempfile::tempdir().unwrap();
    models::write(folder.path(), &FILES);
    assert_eq!(refused(verify_hash(folder.path(), &signature)), ["other-layout"]);
}

#[test]
fn two_keys_of_one_name_are_refused() {
    let signature = std::fs::read_to_string(data("model.bin.sig")).unwrap();
    let twice = signature.replacen("\"manifest\"", "\"manifest\": {}, \"manifest\"", 1);
    assert!(!other_layouts::is_hash_signature(twice.as_bytes(), &Limits::default()));
    assert_eq!(refused(verify_hash(&data("model.bin"), twice.as_bytes())), ["malformed-statement"]);
}

/// With PKCS#1 v1.5 files are signed: such a signature is none of a model.
#[test]
fn rule_2_a_file_signature_by_rsa_is_no_model_signature() {
    let pair = KeyPair::generate(KeyAlgorithm::Rsa(3072)).unwrap();
    let trust = Trust::keys(vec![pair.public().clone()]).unwrap();
    let manifest = format!("{{\"model_hash\": \"{}\"}}", Digest::sha256(b"w").to_hex());
    let source = FileBytes::new("manifest.json", manifest.as_bytes());
    let signed = blob::sign(&source, &KeySigner::new(pair), &Limits::default()).unwrap();
    let hex: String = signed.signature.iter().map(|b| format!("{b:02x}")).collect();
    let grafted = format!("{{\"manifest\": {manifest}, \"signature\": \"{hex}\"}}");
    let result =
        other_layouts::authenticate_hash(grafted.as_bytes(), &trust, now(), &Limits::default());
    assert_eq!(refused(result.map_err(Failure::from)), ["bad-signature"]);
}

#[test]
fn a_manifest_of_many_files_is_read() {
    let mut many = manifest();
    let empty = Digest::sha256(b"").to_hex();
    for number in 0..2000 {
        many["files"][format!("f{number}")] = json!({ "sha256": empty, "size": 0 });
    }
    many["total_files"] = 2003.into();
    let signed = signed(&many);
    let names: Vec<String> = (0..2000).map(|n| format!("f{n}")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    models::write(signed.folder.path(), &files);
    signed.verify(&signed.manifest).unwrap();
}
