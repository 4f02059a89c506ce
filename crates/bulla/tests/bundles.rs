//! Signature files that must be refused whoever signed them: one vector for each defect.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla::{Limits, UnverifiedBundle};
use bulla_testkit::bundles::{TestSigner, statement};
use bulla_testkit::{models, refusal, refused};
use serde_json::{Value, json};

fn signed() -> (tempfile::TempDir, std::path::PathBuf, TestSigner, Value) {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    models::write(folder.path(), &[("model/a", b"1"), ("model/b", b"2")]);
    let signer = TestSigner::default();
    let bundle =
        signer.bundle_of(&serde_json::to_vec(&statement(&[("a", b"1"), ("b", b"2")])).unwrap());
    signer.verify(&model, &bundle).expect("it fits before");
    (folder, model, signer, serde_json::from_slice(&bundle).unwrap())
}

#[track_caller]
fn with_defect(code: &str, defect: impl FnOnce(&mut Value)) -> String {
    let (_folder, model, signer, mut bundle) = signed();
    defect(&mut bundle);
    let bytes = serde_json::to_vec(&bundle).unwrap();
    assert_eq!(refused(signer.verify(&model, &bytes)), [code]);
    refusal(signer.verify(&model, &bytes))
}

#[track_caller]
fn accepted(change: impl FnOnce(&mut Value)) {
    let (_folder, model, signer, mut bundle) = signed();
    change(&mut bundle);
    signer.verify(&model, &serde_json::to_vec(&bundle).unwrap()).expect("accepted");
}

#[track_caller]
fn unreadable(bytes: &[u8]) -> String {
    let reason = UnverifiedBundle::parse(bytes, &Limits::default()).expect_err("unreadable");
    reason.to_string()
}

#[test]
fn not_a_bundle_at_all() {
    for (bytes, says) in [
        (&b""[..], "empty"),
        (b"   \n", "empty"),
        (b"{}", "missing field"),
        (b"[]", "expected an object"),
        (b"null", "expected an object"),
        (b"\x00\x01\x02", "expected value"),
        (b"\xff\xfe", "not UTF-8"),
        (b"{\"mediaType\":", "EOF"),
        (b"-----BEGIN PUBLIC KEY-----", "invalid number"),
    ] {
        let said = unreadable(bytes);
        assert!(said.contains(says), "{bytes:?}: {said}");
        assert_eq!(said.lines().count(), 1);
    }
}

#[test]
fn arrays_in_place_of_objects() {
    let (_folder, model, signer, bundle) = signed();
    let values = |v: &Value| Value::Array(v.as_object().unwrap().values().cloned().collect());
    let mut places: Vec<&str> = vec!["", "/verificationMaterial", "/dsseEnvelope"];
    places.extend(["/verificationMaterial/publicKey", "/dsseEnvelope/signatures/0"]);
    for place in places {
        let mut changed = bundle.clone();
        let there = changed.pointer_mut(place).unwrap();
        *there = values(there);
        let bytes = serde_json::to_vec(&changed).unwrap();
        assert!(refusal(signer.verify(&model, &bytes)).contains("expected an object"), "{place}");
    }
}

#[test]
fn truncated_at_every_byte() {
    let (_folder, _, _, bundle) = signed();
    let bytes = serde_json::to_vec(&bundle).unwrap();
    for end in 0..bytes.len() {
        unreadable(&bytes[..end]);
    }
}

#[test]
fn hundred_megabytes() {
    let mut bytes = vec![b' '; 100 << 20];
    bytes[0] = b'{';
    let reason = UnverifiedBundle::parse(&bytes, &Limits::default()).unwrap_err();
    assert_eq!(reason.code(), "too-large");
    assert!(reason.hint().unwrap().contains("--max-bundle-size"));
}

#[test]
fn deeply_nested() {
    assert!(unreadable("[".repeat(1 << 20).as_bytes()).contains("recursion limit"));
    let mut text = String::new();
    for _ in 0..100_000 {
        text.push_str("{\"a\":");
    }
    assert!(unreadable(text.as_bytes()).contains("recursion limit"));
}

#[test]
fn rule_4_duplicate_keys() {
    let (_folder, model, signer, bundle) = signed();
    let text = serde_json::to_string(&bundle).unwrap();
    for (member, with) in [
        ("\"mediaType\"", "\"mediaType\":\"x\",\"mediaType\""),
        ("\"payload\"", "\"payload\":\"e30=\",\"payload\""),
        ("\"hint\"", "\"hint\":\"x\",\"hint\""),
        ("\"sig\"", "\"sig\":\"x\",\"s\\u0069g\""),
    ] {
        let twice = text.replacen(member, with, 1);
        assert_ne!(twice, text);
        let said = refusal(signer.verify(&model, twice.as_bytes()));
        assert!(said.contains("stands twice"), "{member}: {said}");
    }
}

#[test]
fn many_keys_cost_no_time_without_end() {
    let mut text = String::from("{");
    for i in 0..200_000 {
        let _ = write!(text, "\"k{i}\":0,");
    }
    text.push_str("\"k0\":0}");
    assert!(unreadable(text.as_bytes()).contains("more than 1024 keys"));
}

#[test]
fn long_texts_are_not_repeated_in_full() {
    let long = "x".repeat(1 << 20);
    let said = with_defect("wrong-media-type", |b| b["mediaType"] = long.as_str().into());
    assert!(said.len() < 1000, "{}", said.len());
    with_defect("wrong-payload-type", |b| b["dsseEnvelope"]["payloadType"] = long.as_str().into());
    let said = with_defect("malformed-bundle", |b| b[&long] = json!(1));
    assert!(said.len() < 1000, "{}", said.len());
    with_defect("malformed-bundle", |b| {
        b["verificationMaterial"]["publicKey"]["hint"] = long.as_str().into();
    });
}

#[test]
fn wrong_media_type() {
    for media_type in [
        "",
        "application/json",
        "application/vnd.dev.sigstore.bundle.v0.3+JSON",
        "application/vnd.dev.sigstore.bundle.v0.4+json",
        "application/vnd.dev.sigstore.bundle.v0.33+json",
        "application/vnd.dev.sigstore.bundle+json;version=0.4",
    ] {
        let said = with_defect("wrong-media-type", |b| b["mediaType"] = media_type.into());
        assert!(said.contains("bundle.v0.3+json"), "{said}");
    }
    for version in ["0.1", "0.2", "0.3"] {
        let older = format!("application/vnd.dev.sigstore.bundle+json;version={version}");
        accepted(|b| b["mediaType"] = older.into());
    }
}

#[test]
fn wrong_payload_type() {
    with_defect("wrong-payload-type", |b| {
        b["dsseEnvelope"]["payloadType"] = "application/vnd.in-toto+xml".into();
    });
}

#[test]
fn no_or_several_signatures() {
    let said = with_defect("signature-count", |b| b["dsseEnvelope"]["signatures"] = json!([]));
    assert!(said.contains("holds 0 signatures"), "{said}");
    let said = with_defect("signature-count", |b| {
        let one = b["dsseEnvelope"]["signatures"][0].clone();
        b["dsseEnvelope"]["signatures"] = json!([one, one]);
    });
    assert!(said.contains("holds 2 signatures"), "{said}");
}

#[test]
fn unknown_members() {
    with_defect("malformed-bundle", |b| b["new"] = json!(1));
    with_defect("malformed-bundle", |b| b["dsseEnvelope"]["new"] = json!(1));
    with_defect("malformed-bundle", |b| b["dsseEnvelope"]["signatures"][0]["cert"] = json!("x"));
    with_defect("malformed-bundle", |b| b["verificationMaterial"]["new"] = json!(1));
}

#[test]
fn base64_that_is_not_canonical() {
    for place in ["/dsseEnvelope/payload", "/dsseEnvelope/signatures/0/sig"] {
        for change in [
            |text: &str| format!(" {text}"),
            |text: &str| format!("{text}\n"),
            |text: &str| format!("{text}===="),
            |text: &str| text.trim_end_matches('=').to_owned() + "*",
            |_: &str| String::new(),
        ] {
            with_defect("malformed-bundle", |b| {
                let text = b.pointer(place).unwrap().as_str().unwrap().to_owned();
                *b.pointer_mut(place).unwrap() = change(&text).into();
            });
        }
    }
}

#[test]
fn keyid_in_every_spelling() {
    accepted(|b| b["dsseEnvelope"]["signatures"][0]["keyid"] = Value::Null);
    accepted(|b| b["dsseEnvelope"]["signatures"][0]["keyid"] = "anything".into());
    accepted(|b| {
        b["dsseEnvelope"]["signatures"][0].as_object_mut().unwrap().remove("keyid");
    });
    with_defect("malformed-bundle", |b| b["dsseEnvelope"]["signatures"][0]["keyid"] = json!(1));
}

#[test]
fn log_entries_in_every_spelling() {
    for value in [Value::Null, json!([])] {
        accepted(|b| b["verificationMaterial"]["tlogEntries"] = value);
    }
    accepted(|b| {
        b["verificationMaterial"].as_object_mut().unwrap().remove("tlogEntries");
    });
}

#[test]
fn no_or_several_kinds_of_material() {
    let said = with_defect("malformed-bundle", |b| b["verificationMaterial"] = json!({}));
    assert!(said.contains("neither"), "{said}");
    let said = with_defect("malformed-bundle", |b| {
        b["verificationMaterial"]["certificate"] = json!({ "rawBytes": "AAAA" });
    });
    assert!(said.contains("more than one"), "{said}");
    with_defect("malformed-bundle", |b| b["verificationMaterial"]["publicKey"] = json!({}));
}

/// The schema allows a hint and the key itself side by side; then both have to fit.
#[test]
fn a_hint_and_a_key_have_to_fit_both() {
    let (_folder, _, signer, _) = signed();
    let pem = STANDARD.encode(signer.public_key().to_pem());
    let der = STANDARD.encode(signer.public_key().spki_der());
    let (_folder, model, _, _) = signed();
    let bundle =
        signer.bundle_of(&serde_json::to_vec(&statement(&[("a", b"1"), ("b", b"2")])).unwrap());
    let with = |raw: &str, hint: Option<&str>| {
        let mut bundle: Value = serde_json::from_slice(&bundle).unwrap();
        let key = &mut bundle["verificationMaterial"]["publicKey"];
        key["rawBytes"] = raw.into();
        if let Some(hint) = hint {
            key["hint"] = hint.into();
        }
        signer.verify(&model, &serde_json::to_vec(&bundle).unwrap())
    };
    with(&pem, None).unwrap();
    with(&der, None).unwrap();
    assert_eq!(refused(with("AAAA", None)), ["wrong-key"]);
    assert_eq!(refused(with(&pem, Some("00"))), ["wrong-key"]);
}

#[test]
fn a_chain_without_or_with_too_many_certificates() {
    for count in [0, 17, 1000] {
        let certificates = vec![json!({ "rawBytes": "AAAA" }); count];
        with_defect("malformed-bundle", |b| {
            b["verificationMaterial"] =
                json!({ "x509CertificateChain": { "certificates": certificates } });
        });
    }
}

#[test]
fn a_signature_over_one_file_is_not_one_over_a_model() {
    let said = with_defect("malformed-bundle", |b| {
        b.as_object_mut().unwrap().remove("dsseEnvelope");
        b["messageSignature"] = json!({ "signature": "AAAA" });
    });
    assert!(said.contains("messageSignature"), "{said}");
    with_defect("malformed-bundle", |b| b["messageSignature"] = json!({}));
}

#[test]
fn another_key_is_named() {
    let said = with_defect("wrong-key", |b| {
        b["verificationMaterial"]["publicKey"]["hint"] = "00".repeat(32).into();
    });
    assert!(said.contains(&"00".repeat(32)), "{said}");
    with_defect("wrong-key", |b| b["verificationMaterial"]["publicKey"]["hint"] = "".into());
    // Upper case is another text, and the reference compares texts.
    with_defect("wrong-key", |b| {
        let hint = b["verificationMaterial"]["publicKey"]["hint"].as_str().unwrap().to_uppercase();
        b["verificationMaterial"]["publicKey"]["hint"] = hint.into();
    });
}

#[test]
fn another_key_signed() {
    let (_folder, model, signer, bundle) = signed();
    let other = TestSigner::default();
    let statement = statement(&[("a", b"1"), ("b", b"2")]);
    let mut forged: Value =
        serde_json::from_slice(&other.bundle_of(&serde_json::to_vec(&statement).unwrap())).unwrap();
    // With the trusted key's name on it.
    forged["verificationMaterial"] = bundle["verificationMaterial"].clone();
    let bytes = serde_json::to_vec(&forged).unwrap();
    assert_eq!(refused(signer.verify(&model, &bytes)), ["bad-signature"]);
}

#[test]
fn trap_4_the_bytes_received_are_what_is_verified() {
    let (_folder, model, signer, _) = signed();
    let statement = statement(&[("a", b"1"), ("b", b"2")]);
    // Any spelling of the JSON may be signed …
    let pretty = serde_json::to_vec_pretty(&statement).unwrap();
    let bundle = signer.bundle_of(&pretty);
    signer.verify(&model, &bundle).unwrap();
    // … and no other spelling of the same statement stands for it.
    let compact = serde_json::to_vec(&statement).unwrap();
    let mut changed: Value = serde_json::from_slice(&bundle).unwrap();
    changed["dsseEnvelope"]["payload"] = STANDARD.encode(compact).into();
    let bytes = serde_json::to_vec(&changed).unwrap();
    assert_eq!(refused(signer.verify(&model, &bytes)), ["bad-signature"]);
}

#[test]
fn rule_2_a_signature_over_a_file_is_not_one_over_an_envelope() {
    use bulla::sign::{Signer as _, ToSign};
    let (_folder, model, signer, _) = signed();
    let payload = serde_json::to_vec(&statement(&[("a", b"1"), ("b", b"2")])).unwrap();
    let kind = "application/vnd.in-toto+json";
    for message in [
        payload.clone(),
        STANDARD.encode(&payload).into_bytes(),
        format!("DSSEv1 4 text {} {}", payload.len(), String::from_utf8_lossy(&payload)).into(),
        format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into(),
    ] {
        let signed = signer.signer().sign(ToSign::Message(&message)).unwrap();
        let bundle =
            bulla::bundle::encode(&signed.material, &signed.evidence, &payload, &signed.signature);
        assert_eq!(refused(signer.verify(&model, &bundle)), ["bad-signature"]);
    }
}

#[test]
fn every_kind_of_key_signs_and_is_bound() {
    use bulla::KeyAlgorithm::{EcdsaP256, EcdsaP384, EcdsaP521, Ed25519, Rsa};
    let folder = tempfile::tempdir().unwrap();
    let model = models::small(folder.path());
    let kinds = [EcdsaP256, EcdsaP384, EcdsaP521, Ed25519, Rsa(3072)];
    let signers: Vec<TestSigner> = kinds.into_iter().map(TestSigner::new).collect();
    let bundles: Vec<Vec<u8>> =
        signers.iter().map(|s| s.sign(&model, &bulla::Recipe::default())).collect();
    for (i, signer) in signers.iter().enumerate() {
        for (j, bundle) in bundles.iter().enumerate() {
            let result = signer.verify(&model, bundle);
            if i == j {
                result.unwrap();
            } else {
                assert_eq!(refused(result), ["wrong-key"]);
            }
        }
    }
}

/// The Go port signs with Ed25519ph; a key of that kind is accepted in both ways.
#[test]
fn ed25519_in_both_ways() {
    use ed25519_dalek::pkcs8::EncodePublicKey as _;
    use ed25519_dalek::{Digest as _, Sha512, Signer as _, SigningKey};
    let folder = tempfile::tempdir().unwrap();
    models::write(folder.path(), &[("model/a", b"1")]);
    let model = folder.path().join("model");
    let key = SigningKey::from_bytes(&[7; 32]);
    let public = key.verifying_key().to_public_key_der().unwrap();
    let public = bulla::PublicKey::from_spki_der(public.as_bytes()).unwrap();
    let payload = serde_json::to_vec(&statement(&[("a", b"1")])).unwrap();
    let kind = bulla::bundle::PAYLOAD_TYPE;
    let mut message = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    message.extend_from_slice(&payload);
    let prehashed = Sha512::new().chain_update(&message);
    let signatures = [
        (key.sign(&message).to_bytes(), true),
        (key.sign_prehashed(prehashed.clone(), None).unwrap().to_bytes(), true),
        (key.sign_prehashed(prehashed, Some(b"context")).unwrap().to_bytes(), false),
        (key.sign(&payload).to_bytes(), false),
    ];
    for (signature, good) in signatures {
        let hint = bulla::bundle::KeyHint::Hint(public.oms_hint());
        let material = bulla::bundle::Material::PublicKey(hint);
        let bundle =
            bulla::bundle::encode(&material, &bulla::Evidence::default(), &payload, &signature);
        let result = bulla::verify::verify(
            &bundle,
            bulla::LocalModel::open(&model).unwrap(),
            &bulla::Trust::keys(vec![public.clone()]).unwrap(),
            bulla_testkit::now(),
            &bulla::Options::default(),
            &Limits::default(),
            bulla_testkit::work(),
        );
        assert_eq!(result.is_ok(), good);
    }
}

#[test]
fn trap_9_trust_in_nobody_cannot_be_said() {
    assert!(bulla::Trust::keys(Vec::new()).is_err());
    assert!(bulla::Trust::certificate_authorities(Vec::new(), None).is_err());
}
