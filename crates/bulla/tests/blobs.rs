//! Signatures of any one file: every kind of key, every form that cosign has written, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla::blob::{self, Blob, BlobSource, FileBytes, SignedFile, UnverifiedFileSignature};
use bulla::{
    Authenticated, CertificateSigner, Digest, Embedded, Failure, HashAlgorithm, IdentityRule,
    KeyAlgorithm, KeyPair, KeySigner, Limits, PublicKey, SigstoreRoot, Trust,
};
use bulla_testkit::authority::{Issued, authority, signer};
use bulla_testkit::{now, refusal, refused};

const KINDS: [KeyAlgorithm; 5] = [
    KeyAlgorithm::EcdsaP256,
    KeyAlgorithm::EcdsaP384,
    KeyAlgorithm::EcdsaP521,
    KeyAlgorithm::Ed25519,
    KeyAlgorithm::Rsa(3072),
];

fn sign(bytes: &[u8], kind: KeyAlgorithm) -> (SignedFile, Trust) {
    let pair = KeyPair::generate(kind).unwrap();
    let trust = Trust::keys(vec![pair.public().clone()]).unwrap();
    let source = FileBytes::new("a file", bytes);
    (blob::sign(&source, &KeySigner::new(pair), &Limits::default()).unwrap(), trust)
}

fn verify(
    signature: &[u8],
    certificate: Option<&[u8]>,
    blob: &Blob<'_>,
    trust: &Trust,
) -> Result<Authenticated<Digest>, Failure> {
    let limits = Limits::default();
    UnverifiedFileSignature::parse(signature, certificate, &limits)?.verify(
        blob,
        trust,
        now(),
        &limits,
    )
}

fn verify_bytes(
    signature: &[u8],
    bytes: &[u8],
    trust: &Trust,
) -> Result<Authenticated<Digest>, Failure> {
    verify(signature, None, &Blob::File(&FileBytes::new("a file", bytes)), trust)
}

#[test]
fn every_kind_of_key_signs_and_only_that_file_verifies() {
    for kind in KINDS {
        for bytes in [&b""[..], b"x", &[7; 300_000]] {
            let (signed, trust) = sign(bytes, kind);
            let detached = STANDARD.encode(&signed.signature);
            let checked = verify_bytes(&signed.bundle, bytes, &trust).unwrap();
            assert_eq!(*checked.value(), Digest::sha256(bytes));
            verify_bytes(detached.as_bytes(), bytes, &trust).unwrap();

            let other = [bytes, b"!"].concat();
            assert_eq!(refused(verify_bytes(&signed.bundle, &other, &trust)), ["other-file"]);
            let codes = refused(verify_bytes(detached.as_bytes(), &other, &trust));
            assert_eq!(codes, ["bad-signature"], "{kind}");
        }
    }
}

#[test]
fn another_key_is_refused_and_named() {
    for kind in KINDS {
        let (signed, _) = sign(b"x", kind);
        let (_, other) = sign(b"x", kind);
        assert_eq!(refused(verify_bytes(&signed.bundle, b"x", &other)), ["wrong-key"]);
        let detached = STANDARD.encode(&signed.signature);
        assert_eq!(refused(verify_bytes(detached.as_bytes(), b"x", &other)), ["bad-signature"]);
    }
}

/// A detached signature names no key: any of those trusted may have made it.
#[test]
fn a_detached_signature_is_tried_with_every_trusted_key() {
    let pairs: Vec<KeyPair> = KINDS.iter().map(|k| KeyPair::generate(*k).unwrap()).collect();
    let keys: Vec<PublicKey> = pairs.iter().map(|p| p.public().clone()).collect();
    let all = Trust::keys(keys.clone()).unwrap();
    for (pair, key) in pairs.into_iter().zip(keys) {
        let source = FileBytes::new("a file", b"x");
        let signed = blob::sign(&source, &KeySigner::new(pair), &Limits::default()).unwrap();
        let detached = format!("{}\n", STANDARD.encode(&signed.signature));
        let checked = verify_bytes(detached.as_bytes(), b"x", &all).unwrap();
        assert_eq!(*checked.signed_by().key(), key);
    }
}

/// Rule 2: a signature over what an envelope's signature is made over would be one of a model.
#[test]
fn rule_2_what_looks_like_an_envelope_is_not_signed() {
    let signer = KeySigner::new(KeyPair::generate(KeyAlgorithm::EcdsaP256).unwrap());
    let encoding = b"DSSEv1 28 application/vnd.in-toto+json 2 {}";
    for bytes in
        [&encoding[..], b"DSSEv1 ", b"DSSEV1 28 application/vnd.in-toto+json 2 b'{}'", b"dssev1 x"]
    {
        let result = blob::sign(&FileBytes::new("a file", bytes), &signer, &Limits::default());
        assert_eq!(refused(result), ["looks-like-envelope"]);
    }
    for fine in [&b"DSSEv1"[..], b"DSSEv2 1", b" DSSEv1 28", b""] {
        blob::sign(&FileBytes::new("a file", fine), &signer, &Limits::default()).unwrap();
    }
}

/// Rule 2: a file's signature grafted into an envelope is no model's, and the other way round.
#[test]
fn rule_2_a_file_signature_is_no_model_signature() {
    let (signed, _) = sign(b"{}", KeyAlgorithm::EcdsaP256);
    let parsed = bulla::UnverifiedBundle::parse(&signed.bundle, &Limits::default());
    assert_eq!(parsed.unwrap_err().code(), "malformed-bundle");
    let mut grafted: serde_json::Value = serde_json::from_slice(&signed.bundle).unwrap();
    let signature = grafted["messageSignature"]["signature"].clone();
    grafted.as_object_mut().unwrap().remove("messageSignature");
    grafted["dsseEnvelope"] = serde_json::json!({
        "payload": STANDARD.encode("{}"), "payloadType": "application/vnd.in-toto+json",
        "signatures": [{ "sig": signature, "keyid": null }],
    });
    let grafted = serde_json::to_vec(&grafted).unwrap();
    let text = refusal(verify_bytes(&grafted, b"{}", &sign(b"", KeyAlgorithm::EcdsaP256).1));
    assert!(text.contains("it signs a statement"), "{text}");
}

/// A file that changes between the two passes of Ed25519: no signature, for two of them would give the key
/// away.
#[test]
fn a_file_that_changes_while_ed25519_signs_is_not_signed() {
    struct Changing(std::cell::Cell<u8>);
    impl BlobSource for Changing {
        fn name(&self) -> &str {
            "a changing file"
        }
        fn open(&self) -> std::io::Result<Box<dyn Read>> {
            self.0.set(self.0.get() + 1);
            Ok(Box::new(std::io::Cursor::new(vec![self.0.get()])))
        }
    }
    let signer = KeySigner::new(KeyPair::generate(KeyAlgorithm::Ed25519).unwrap());
    let result = blob::sign(&Changing(0.into()), &signer, &Limits::default());
    let Err(Failure::Fault(fault)) = result else { panic!("{result:?}") };
    assert_eq!(fault.to_string(), "a changing file changed while it was being read");
}

#[test]
fn a_digest_stands_for_the_file_where_the_key_signs_it() {
    let digest = |text: &str| Blob::Sha256(Digest::from_hex(HashAlgorithm::Sha256, text).unwrap());
    let hex = Digest::sha256(b"x").to_hex();
    for kind in KINDS {
        let (signed, trust) = sign(b"x", kind);
        let result = verify(&signed.bundle, None, &digest(&hex), &trust);
        if matches!(kind, KeyAlgorithm::EcdsaP256 | KeyAlgorithm::Rsa(_)) {
            result.unwrap();
            let other = Digest::sha256(b"y").to_hex();
            let result = verify(&signed.bundle, None, &digest(&other), &trust);
            assert_eq!(refused(result), ["other-file"]);
        } else {
            let Err(Failure::Fault(fault)) = result else { panic!("{kind}") };
            assert!(fault.to_string().contains("this digest is not enough"), "{fault}");
        }
    }
}

#[test]
fn a_certificate_beside_a_detached_signature() {
    let root = Issued::root(authority("Root"));
    let team = root.issue(signer("Team"));
    let leaf = team.certificate.clone();
    let signer = CertificateSigner::new(team.key_pair(), leaf, Vec::new(), now()).unwrap();
    let signed = blob::sign(&FileBytes::new("a file", b"x"), &signer, &Limits::default()).unwrap();
    let trust = Trust::certificate_authorities(vec![root.certificate.clone()], None).unwrap();
    let file = FileBytes::new("a file", b"x");
    let detached = STANDARD.encode(&signed.signature);
    let pem = team.certificate_pem();
    // As PEM, and as base64 of PEM, which cosign writes.
    for certificate in [pem.to_owned(), STANDARD.encode(pem)] {
        let certificate = Some(certificate.as_bytes());
        verify(detached.as_bytes(), certificate, &Blob::File(&file), &trust).unwrap();
    }
    verify(&signed.bundle, None, &Blob::File(&file), &trust).unwrap();
    let other = root.issue(bulla_testkit::authority::signer("Other"));
    let certificate = Some(other.certificate_pem().as_bytes());
    let result = verify(detached.as_bytes(), certificate, &Blob::File(&file), &trust);
    assert_eq!(refused(result), ["bad-signature"]);
    // A bundle has its certificate inside.
    let result = verify(&signed.bundle, certificate, &Blob::File(&file), &trust);
    assert_eq!(refused(result), ["malformed-signature"]);
}

#[test]
fn the_older_json_of_a_key_signature() {
    let (signed, trust) = sign(b"x", KeyAlgorithm::EcdsaP256);
    let key = STANDARD.encode(signed.key.to_pem());
    let signature = STANDARD.encode(&signed.signature);
    for json in [
        serde_json::json!({ "base64Signature": signature }),
        serde_json::json!({ "base64Signature": signature, "cert": "", "rekorBundle": null }),
        serde_json::json!({ "base64Signature": signature, "cert": key }),
    ] {
        verify_bytes(json.to_string().as_bytes(), b"x", &trust).unwrap();
    }
}

#[test]
fn what_is_no_signature_is_refused() {
    let (signed, trust) = sign(b"x", KeyAlgorithm::EcdsaP256);
    let text = String::from_utf8(signed.bundle).unwrap();
    for bad in [
        String::new(),
        " \n".into(),
        "not base64!".into(),
        "{}".into(),
        "{".into(),
        text[..text.len() / 2].to_owned(),
        text.replace("\"messageSignature\"", "\"messageSignature\":{},\"messageSignature\""),
        text.replace("v0.3+json", "v9.3+json"),
        text.replace("SHA2_256", "SHA2_256\",\"algorithm\":\"SHA2_256"),
        r#"{"base64Signature":"AAAA","base64Signature":"AAAA"}"#.into(),
        r#"{"base64Signature":"AAAA","rekorBundle":{"SignedEntryTimestamp":"AA==","Payload":{}}}"#
            .into(),
        r#"{"base64Signature":""}"#.into(),
    ] {
        assert!(verify_bytes(bad.as_bytes(), b"x", &trust).is_err(), "{bad}");
    }
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sigstore").join(name)
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(data(name)).unwrap()
}

fn identity(root: Embedded, name: &str) -> Trust {
    let root = SigstoreRoot::embedded(root).unwrap();
    let rule = IdentityRule::new(name, "https://github.com/login/oauth").unwrap();
    Trust::sigstore(root, vec![rule]).unwrap()
}

/// Real signatures: cosign 3 on Rekor v1, sigstore-python on Rekor v2.
#[test]
fn real_signatures_verify_and_not_with_a_byte_changed() {
    let cosign = identity(Embedded::PublicGood, "w.vollprecht@gmail.com");
    let python = identity(Embedded::Staging, "jku@goto.fi");
    for (name, trust) in [("cosign-v3-blob.txt", cosign), ("staging-rekor-v2.txt", python)] {
        let bundle = read(&format!("{name}.sigstore.json"));
        let file = read(name);
        let checked = verify_bytes(&bundle, &file, &trust).unwrap();
        assert_eq!(checked.records().len(), 1);
        assert!(!checked.times().is_empty());
        let digest = Blob::Sha256(Digest::sha256(&file));
        verify(&bundle, None, &digest, &trust).unwrap();
        let mut changed = file.clone();
        changed[0] ^= 1;
        assert_eq!(refused(verify_bytes(&bundle, &changed, &trust)), ["other-file"]);
        let mut json: serde_json::Value = serde_json::from_slice(&bundle).unwrap();
        for (place, code) in [
            ("/messageSignature/signature", "bad-signature"),
            ("/verificationMaterial/certificate/rawBytes", ""),
            ("/verificationMaterial/tlogEntries/0/canonicalizedBody", ""),
            ("/verificationMaterial/tlogEntries/0/inclusionProof/hashes/0", "sigstore-log-proof"),
        ] {
            let good = json.pointer(place).unwrap().clone();
            let mut bytes = STANDARD.decode(good.as_str().unwrap()).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            *json.pointer_mut(place).unwrap() = STANDARD.encode(bytes).into();
            let codes = refused(verify_bytes(json.to_string().as_bytes(), &file, &trust));
            assert!(code.is_empty() || codes == [code], "{place}: {codes:?}");
            *json.pointer_mut(place).unwrap() = good;
        }
        // Without its timestamp a signature on Rekor v2 has no time at all.
        json["verificationMaterial"]["timestampVerificationData"] = serde_json::json!({});
        let result = verify_bytes(json.to_string().as_bytes(), &file, &trust);
        match name {
            "staging-rekor-v2.txt" => assert_eq!(refused(result), ["no-trusted-time"]),
            _ => assert!(result.is_ok()),
        }
    }
}

/// A key's signature that cosign recorded in the public log.
#[test]
fn a_real_key_signature_in_a_log() {
    let bundle = read("managed-key-bundle.sigstore.json");
    let file = read("managed-key-artifact.txt");
    let key = String::from_utf8(read("managed-key-key.pub")).unwrap();
    let key = PublicKey::from_pem(&key, &Limits::default()).unwrap();
    let trust = Trust::keys(vec![key]).unwrap();
    let alone = verify_bytes(&bundle, &file, &trust).unwrap();
    assert!(alone.times().is_empty() && alone.records().is_empty());
    let root = SigstoreRoot::embedded(Embedded::PublicGood).unwrap();
    let believed = trust.clone().with_time_of(root);
    let checked = verify_bytes(&bundle, &file, &believed).unwrap();
    assert_eq!((checked.times().len(), checked.records()[0].index), (2, 771_488_337));
    // An entry of somebody else's signature does not hold.
    let mut json: serde_json::Value = serde_json::from_slice(&bundle).unwrap();
    let other: serde_json::Value =
        serde_json::from_slice(&read("cosign-v3-blob.txt.sigstore.json")).unwrap();
    json["verificationMaterial"]["tlogEntries"] =
        other["verificationMaterial"]["tlogEntries"].clone();
    let result = verify_bytes(json.to_string().as_bytes(), &file, &believed);
    assert_eq!(refused(result), ["sigstore-other-log-entry"]);
}

/// The conformance suite's: an entry of another signature (CVE-2022-36056), a proof without a checkpoint, no signed
/// time.
#[test]
fn known_attacks_are_refused() {
    for (name, root, digest, identity_name, code) in [
        (
            "cve-2022-36056",
            Embedded::Staging,
            "c87b5b213ab08b32970c106d0c7e4423e67f5449c2fd2d1e9b4ea6cc43b6ee7c",
            "william@yossarian.net",
            "sigstore-other-log-entry",
        ),
        (
            "no-checkpoint",
            Embedded::Staging,
            "802dd60ff88333802f2585e73043bd21c341285e1992fe5b31755e1cadeae30e",
            "william@yossarian.net",
            "",
        ),
        (
            "no-signed-time",
            Embedded::PublicGood,
            "ca6de99a11d3d38056d838c7dc9a23a11a0c81bcace0d11eaa301a2ffb482c42",
            "william@yossarian.net",
            "no-trusted-time",
        ),
    ] {
        let bundle = read(&format!("{name}.sigstore.json"));
        let digest = Blob::Sha256(Digest::from_hex(HashAlgorithm::Sha256, digest).unwrap());
        let codes = refused(verify(&bundle, None, &digest, &identity(root, identity_name)));
        assert!(code.is_empty() || codes == [code], "{name}: {codes:?}");
    }
}

/// Who signed is certified, but nobody says when, and no log knows of it.
#[test]
fn a_detached_signature_with_an_identity_is_refused() {
    let bundle: serde_json::Value =
        serde_json::from_slice(&read("cosign-v3-blob.txt.sigstore.json")).unwrap();
    let der = STANDARD
        .decode(bundle["verificationMaterial"]["certificate"]["rawBytes"].as_str().unwrap())
        .unwrap();
    let pem = bulla::Certificate::from_der(&der).unwrap().to_pem();
    let signature = bundle["messageSignature"]["signature"].as_str().unwrap();
    let file = FileBytes::new("a file", &read("cosign-v3-blob.txt"));
    let trust = identity(Embedded::PublicGood, "w.vollprecht@gmail.com");
    let result = verify(signature.as_bytes(), Some(pem.as_bytes()), &Blob::File(&file), &trust);
    assert_eq!(refused(result), ["sigstore-log-proof"]);
}

/// A log's own time, too, is not of the future.
#[test]
fn a_log_entry_from_the_future_is_refused() {
    let mut bundle: serde_json::Value =
        serde_json::from_slice(&read("cosign-v3-blob.txt.sigstore.json")).unwrap();
    bundle["verificationMaterial"]["timestampVerificationData"] = serde_json::json!({});
    let limits = Limits::default();
    let signature =
        UnverifiedFileSignature::parse(bundle.to_string().as_bytes(), None, &limits).unwrap();
    let file = FileBytes::new("a file", &read("cosign-v3-blob.txt"));
    let trust = identity(Embedded::PublicGood, "w.vollprecht@gmail.com");
    let at =
        |now: &str| signature.verify(&Blob::File(&file), &trust, now.parse().unwrap(), &limits);
    let integrated = at("2026-11-20T12:00:00Z").unwrap().checked_at();
    assert!(at(&integrated.to_string()).is_ok());
    let before = integrated - std::time::Duration::from_secs(61);
    assert_eq!(refused(at(&before.to_string())), ["timestamp-future"]);
}

/// Entries that no log has signed, and logs that did not sign: nobody can be told that a signature stands there.
#[test]
fn log_entries_are_those_of_the_log_that_they_name() {
    let file = read("cosign-v3-blob.txt");
    let trust = identity(Embedded::PublicGood, "w.vollprecht@gmail.com");
    let good: serde_json::Value =
        serde_json::from_slice(&read("cosign-v3-blob.txt.sigstore.json")).unwrap();
    let entries = "/verificationMaterial/tlogEntries";
    let check = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut changed = good.clone();
        change(changed.pointer_mut(entries).unwrap());
        verify_bytes(changed.to_string().as_bytes(), &file, &trust)
    };
    assert!(check(&|_| {}).is_ok());
    // log2025-1, which never saw it.
    let other = "zxGZFVvd0FEmjR8WrFwMdcAJ9vtaY/QXf44Y1wUeP6A=";
    let bare = |entry: &serde_json::Value| {
        let mut bare = entry.clone();
        bare["logId"]["keyId"] = other.into();
        for member in ["inclusionProof", "inclusionPromise"] {
            bare.as_object_mut().unwrap().remove(member);
        }
        bare
    };
    let before = |e: &mut serde_json::Value| {
        let bare = bare(&e[0]);
        e.as_array_mut().unwrap().insert(0, bare);
    };
    assert_eq!(refused(check(&before)), ["sigstore-log-proof"]);
    let renamed = |e: &mut serde_json::Value| {
        e[0]["logId"]["keyId"] = other.into();
        e[0].as_object_mut().unwrap().remove("inclusionPromise");
    };
    assert_eq!(refused(check(&renamed)), ["sigstore-log-proof"]);
    // Without the promise only the place in the proof is signed.
    let elsewhere = |e: &mut serde_json::Value| {
        e[0]["logIndex"] = "1".into();
        e[0].as_object_mut().unwrap().remove("inclusionPromise");
    };
    let place = good.pointer(&format!("{entries}/0/inclusionProof/logIndex")).unwrap();
    let found = check(&elsewhere).unwrap().records()[0].index.to_string();
    assert_eq!(found, place.as_str().unwrap());
}

/// What checking costs is bounded before anything is checked.
#[test]
fn a_checkpoint_of_a_million_signatures_is_refused() {
    let bundle = read("cosign-v3-blob.txt.sigstore.json");
    let mut json: serde_json::Value = serde_json::from_slice(&bundle).unwrap();
    let proof = "/verificationMaterial/tlogEntries/0/inclusionProof";
    let envelope = format!("{proof}/checkpoint/envelope");
    let text = json.pointer(&envelope).unwrap().as_str().unwrap().to_owned();
    let line = text.lines().last().unwrap();
    *json.pointer_mut(&envelope).unwrap() =
        format!("{text}{}", format!("{line}\n").repeat(64)).into();
    let parse = |json: &serde_json::Value| {
        UnverifiedFileSignature::parse(json.to_string().as_bytes(), None, &Limits::default())
    };
    assert!(parse(&json).unwrap_err().to_string().contains("lines"));
    *json.pointer_mut(&envelope).unwrap() = text.into();
    parse(&json).unwrap();
    *json.pointer_mut(&format!("{proof}/hashes")).unwrap() = vec!["AA=="; 65].into();
    assert!(parse(&json).unwrap_err().to_string().contains("hashes"));
}

/// Rule 2, the other way round: what a model's signature is made over is no file.
#[test]
fn rule_2_a_model_signature_is_no_file_signature() {
    let pair = KeyPair::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let trust = Trust::keys(vec![pair.public().clone()]).unwrap();
    let encoding = b"DSSEv1 28 application/vnd.in-toto+json 2 {}";
    let signer = KeySigner::new(pair);
    let signature = bulla::Signer::sign(&signer, bulla::sign::ToSign::Message(encoding)).unwrap();
    let detached = STANDARD.encode(signature.signature);
    let codes = refused(verify_bytes(detached.as_bytes(), encoding, &trust));
    assert_eq!(codes, ["looks-like-envelope"]);
}
