//! Entries of both logs of signatures.

use aws_lc_rs::digest::{SHA256, digest};
use bulla::KeyAlgorithm;
use serde_json::{Value, json};

use super::{Bench, key};
use crate::base64;
use crate::keys::ServiceKey;

const V1: &str = "/api/v1/log/entries";
const V2: &str = "/api/v2/log/entries";

fn hash(message: &[u8]) -> Vec<u8> {
    digest(&SHA256, message).as_ref().to_vec()
}

fn v2(key: &ServiceKey, message: &[u8]) -> Value {
    json!({ "hashedRekordRequestV002": {
        "digest": base64(&hash(message)),
        "signature": {
            "content": base64(&key.sign(message).unwrap()),
            "verifier": {
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "publicKey": { "rawBytes": base64(key.public().spki_der()) },
            },
        },
    } })
}

fn hashedrekord(key: &ServiceKey, message: &[u8]) -> Value {
    json!({ "apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
        "data": { "hash": { "algorithm": "sha256", "value": hex::encode(hash(message)) } },
        "signature": {
            "content": base64(&key.sign(message).unwrap()),
            "publicKey": { "content": base64(key.public().to_pem().as_bytes()) },
        },
    } })
}

fn dsse(key: &ServiceKey, payload: &[u8]) -> Value {
    let kind = "application/vnd.in-toto+json";
    let mut message = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    let envelope = json!({
        "payload": base64(payload), "payloadType": kind,
        "signatures": [{ "keyid": "", "sig": base64(&key.sign(&message).unwrap()) }],
    });
    json!({ "apiVersion": "0.0.1", "kind": "dsse", "spec": { "proposedContent": {
        "envelope": envelope.to_string(),
        "verifiers": [base64(key.public().to_pem().as_bytes())],
    } } })
}

#[track_caller]
fn refused(bench: &Bench, path: &str, entry: &Value, status: u16) {
    let answer = bench.post_json(path, entry);
    assert_eq!(answer.status, status, "{}", answer.message());
    assert_eq!(bench.logged(), 0, "something was logged");
}

/// The entry with one of its members changed.
fn with(entry: &Value, path: &str, value: impl Into<Value>) -> Value {
    let mut entry = entry.clone();
    *entry.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value.into();
    entry
}

#[test]
fn of_the_newer_log() {
    let bench = Bench::new();
    let (mine, others) = (key(KeyAlgorithm::EcdsaP256), key(KeyAlgorithm::EcdsaP256));
    let good = v2(&mine, b"message");
    let root = "/hashedRekordRequestV002";
    let changed = |path: &str, value: Value| with(&good, &format!("{root}{path}"), value);
    // For another payload, by another key, with another signature.
    refused(&bench, V2, &changed("/digest", base64(&hash(b"massage")).into()), 400);
    let spki = base64(others.public().spki_der());
    refused(&bench, V2, &changed("/signature/verifier/publicKey/rawBytes", spki.into()), 400);
    let signature = base64(&others.sign(b"message").unwrap());
    refused(&bench, V2, &changed("/signature/content", signature.into()), 400);
    for (path, value) in [
        ("/digest", json!("")),
        ("/digest", json!("***")),
        ("/digest", json!(base64(&[0; 48]))),
        ("/signature/content", json!("")),
        ("/signature/verifier/keyDetails", json!("PKIX_ECDSA_P384_SHA_384")),
        ("/signature/verifier/keyDetails", json!("PKIX_ED25519")),
        // The same hash, another kind of key.
        ("/signature/verifier/keyDetails", json!("PKIX_RSA_PKCS1V15_3072_SHA256")),
        ("/signature/verifier/keyDetails", json!(null)),
        ("/signature/verifier/publicKey", json!({ "rawBytes": "AAAA" })),
        ("/signature/verifier/publicKey", json!(null)),
    ] {
        refused(&bench, V2, &changed(path, value), 400);
    }
    let mut both = good.clone();
    both["hashedRekordRequestV002"]["signature"]["verifier"]["x509Certificate"] =
        json!({ "rawBytes": "AAAA" });
    refused(&bench, V2, &both, 400);
    refused(&bench, V2, &json!({ "dsseRequestV002": {} }), 400);
    refused(&bench, V2, &json!([]), 400);
    let mut large = good.clone();
    large["padding"] = "x".repeat(200_000).into();
    refused(&bench, V2, &large, 413);

    let answer = bench.post_json(V2, &good);
    assert_eq!(answer.status, 201, "{}", answer.message());
    // Names as the schema has them, and numbers for enumerations: both are protobuf's JSON.
    let numbered = changed("/signature/verifier/keyDetails", 5.into());
    assert_eq!(bench.post_json(V2, &numbered).status, 201);
    assert_eq!(bench.logged(), 2);
}

#[test]
fn hashedrekords_of_the_older_log() {
    let bench = Bench::new();
    let (mine, others) = (key(KeyAlgorithm::EcdsaP256), key(KeyAlgorithm::EcdsaP256));
    let good = hashedrekord(&mine, b"message");
    for (path, value) in [
        ("/spec/data/hash/value", json!(hex::encode(hash(b"massage")))),
        ("/spec/data/hash/value", json!("00")),
        ("/spec/data/hash/algorithm", json!("sha1")),
        ("/spec/data/hash/algorithm", json!("sha512")),
        ("/spec/signature/content", json!(base64(&others.sign(b"message").unwrap()))),
        ("/spec/signature/content", json!("")),
        ("/spec/signature/publicKey/content", json!(base64(others.public().to_pem().as_bytes()))),
        ("/spec/signature/publicKey/content", json!(base64(b"no key"))),
        ("/apiVersion", json!("0.0.9")),
        ("/kind", json!("rekord")),
    ] {
        refused(&bench, V1, &with(&good, path, value), 400);
    }
    let answer = bench.post_json(V1, &good);
    assert_eq!(answer.status, 201, "{}", answer.message());
    assert_eq!(bench.logged(), 1);
}

#[test]
fn envelopes_of_the_older_log() {
    let bench = Bench::new();
    let (mine, others) = (key(KeyAlgorithm::EcdsaP256), key(KeyAlgorithm::EcdsaP256));
    let good = dsse(&mine, b"{}");
    let other = dsse(&others, b"{ }");
    let envelope = |entry: &Value| -> Value {
        let text = entry.pointer("/spec/proposedContent/envelope").unwrap().as_str().unwrap();
        serde_json::from_str(text).unwrap()
    };
    let enveloped = |path: &str, value: Value| {
        let changed = with(&envelope(&good), path, value).to_string();
        with(&good, "/spec/proposedContent/envelope", changed)
    };
    refused(&bench, V1, &enveloped("/payload", base64(b"[]").into()), 400);
    refused(&bench, V1, &enveloped("/payloadType", "other".into()), 400);
    refused(&bench, V1, &enveloped("/signatures", json!([])), 400);
    // One signature that fits does not excuse another that does not.
    let one = envelope(&good)["signatures"][0].clone();
    let two = envelope(&other)["signatures"][0].clone();
    refused(&bench, V1, &enveloped("/signatures", json!([one, two])), 400);
    refused(&bench, V1, &enveloped("/signatures", json!(vec![one; 17])), 400);
    let verifiers = other.pointer("/spec/proposedContent/verifiers").unwrap().clone();
    refused(&bench, V1, &with(&good, "/spec/proposedContent/verifiers", verifiers), 400);
    refused(&bench, V1, &with(&good, "/spec/proposedContent/verifiers", json!([])), 400);
    // What only the log may say.
    let canonical = json!({ "apiVersion": "0.0.1", "kind": "dsse", "spec": {
        "payloadHash": { "algorithm": "sha256", "value": "00" }, "signatures": [] } });
    refused(&bench, V1, &canonical, 400);
    assert_eq!(bench.post_json(V1, &good).status, 201);
}

#[test]
fn an_entry_that_is_too_large() {
    let bench = Bench::with(|config| config.limits.entry_bytes = 200_000);
    let mine = key(KeyAlgorithm::EcdsaP256);
    // Its payload is not logged, so it may be large ...
    assert_eq!(bench.post_json(V1, &dsse(&mine, &[b' '; 100_000])).status, 201);
    // ... as far as requests go; and its type may be as long as an entry of the log.
    let bench = Bench::with(|config| config.limits.entry_bytes = 200_000);
    refused(&bench, V1, &dsse(&mine, &[b' '; 200_000]), 413);
}

#[test]
fn an_entry_is_logged_once_by_the_older_log() {
    let bench = Bench::new();
    let mine = key(KeyAlgorithm::EcdsaP256);
    let entry = hashedrekord(&mine, b"message");
    let first = bench.post_json(V1, &entry);
    assert_eq!(first.status, 201);
    let location = first.headers["location"].to_str().unwrap().to_owned();
    let (uuid, logged) = first
        .json()
        .as_object()
        .unwrap()
        .iter()
        .next()
        .map(|(k, v)| (k.clone(), v.clone()))
        .unwrap();
    assert_eq!(first.headers["etag"], uuid.as_str());
    assert_eq!((uuid.len(), location.as_str()), (80, format!("{V1}/{uuid}").as_str()));

    let again = bench.post_json(V1, &entry);
    assert_eq!(again.status, 409);
    assert_eq!(again.headers["location"], location.as_str());
    assert!(again.message().contains(&uuid), "{}", again.message());
    assert_eq!(bench.logged(), 1);

    // It is found again by each of its names, also after a restart, with the time that it had.
    let bench = bench.restart();
    bench.set_clock("2026-11-21T12:00:00Z");
    assert_eq!(bench.post_json(V1, &entry).status, 409);
    for path in [location.clone(), format!("{V1}/{}", &uuid[16..]), format!("{V1}?logIndex=0")] {
        let found = bench.get(&path).json()[&uuid].clone();
        assert_eq!(found["body"], logged["body"], "{path}");
        assert_eq!(found["integratedTime"], logged["integratedTime"], "{path}");
    }
    for path in ["/retrieve", "/retrieve/"] {
        let query = json!({ "entries": [entry], "entryUUIDs": [uuid], "logIndexes": [0, 7] });
        let found = bench.post_json(&format!("{V1}{path}"), &query).json();
        assert_eq!(found.as_array().unwrap().len(), 3);
    }
    for path in [format!("{V1}?logIndex=1"), format!("{V1}/{}", "0".repeat(64)), format!("{V1}/x")]
    {
        assert_eq!(bench.get(&path).status, 404, "{path}");
    }
    let info = bench.get("/api/v1/log").json();
    assert_eq!(info["treeSize"], 1);
}

/// The PEM in an entry has one form, whatever the client sent.
#[test]
fn a_verifier_is_written_anew() {
    let bench = Bench::new();
    let mine = key(KeyAlgorithm::EcdsaP256);
    let entry = hashedrekord(&mine, b"message");
    let pem = mine.public().to_pem();
    let odd = base64(pem.replace('\n', "\r\n").as_bytes());
    let sent = with(&entry, "/spec/signature/publicKey/content", odd);
    let answer = bench.post_json(V1, &sent).json();
    let body =
        answer.as_object().unwrap().values().next().unwrap()["body"].as_str().unwrap().to_owned();
    let body: Value = serde_json::from_slice(&crate::unbase64(&body).unwrap()).unwrap();
    assert_eq!(body["spec"]["signature"]["publicKey"]["content"], base64(pem.as_bytes()));
    assert_eq!(bench.post_json(V1, &entry).status, 409, "they are the same entry");
}

/// What a body takes up in memory is bounded by its size, whatever it says.
#[test]
fn a_proposal_is_read_as_what_it_says_that_it_is() {
    let bench = Bench::new();
    let wide = |inner: &str| format!("[{}]", vec![inner; 200_000].join(","));
    for body in [
        format!(r#"{{"kind":"rekord","apiVersion":"0.0.1","spec":{}}}"#, wide("{}")),
        format!(r#"{{"kind":"dsse","apiVersion":"0.0.1","spec":{}}}"#, wide("{}")),
        format!(
            r#"{{"kind":"dsse","apiVersion":"0.0.1","spec":{{"proposedContent":{{"envelope":"{{}}","verifiers":{}}}}}}}"#,
            wide(r#""""#)
        ),
        r#"{"kind":"dsse","apiVersion":"0.0.1","spec":["x"]}"#.into(),
    ] {
        assert_eq!(bench.post(V1, body).status, 400);
    }
    let entries = format!(r#"{{"entries":{}}}"#, wide("{}"));
    assert_eq!(bench.post(&format!("{V1}/retrieve"), entries).status, 400);
    assert_eq!(bench.logged(), 0);
}

/// The same proposal in other words is the same entry.
#[test]
fn what_is_logged_has_one_form() {
    let bench = Bench::new();
    let mine = key(KeyAlgorithm::EcdsaP256);
    let entry = hashedrekord(&mine, b"message");
    let upper = hex::encode_upper(hash(b"message"));
    assert_eq!(bench.post_json(V1, &with(&entry, "/spec/data/hash/value", upper)).status, 201);
    assert_eq!(bench.post_json(V1, &entry).status, 409);
    // An envelope is an object; a list of its members is none to anybody else.
    let entry = dsse(&mine, b"{}");
    let text = entry.pointer("/spec/proposedContent/envelope").unwrap().as_str().unwrap();
    let envelope: Value = serde_json::from_str(text).unwrap();
    let list = json!([envelope["payload"], envelope["payloadType"], envelope["signatures"]]);
    let listed = with(&entry, "/spec/proposedContent/envelope", list.to_string());
    assert_eq!(bench.post_json(V1, &listed).status, 400);
    assert_eq!(bench.logged(), 1);
}

#[test]
fn an_entry_that_is_proposed_twice_at_once_is_logged_once() {
    let bench = Bench::new();
    let entry = hashedrekord(&key(KeyAlgorithm::EcdsaP256), b"message");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let send = || bench.post_json(V1, &entry).status;
        let all: Vec<_> = (0..8).map(|_| scope.spawn(send)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(bench.logged(), 1);
}

/// What the client says that the envelope's hash is, nobody could check later.
#[test]
fn the_hash_of_an_envelope_is_the_logs_own() {
    let bench = Bench::new();
    let mine = key(KeyAlgorithm::EcdsaP256);
    let (kind, payload) = ("application/vnd.in-toto+json", b"{}");
    let message = [format!("DSSEv1 {} {kind} 2 ", kind.len()).as_bytes(), payload].concat();
    let sig = base64(&mine.sign(&message).unwrap());
    let pem = mine.public().to_pem();
    let entry = json!({ "apiVersion": "0.0.2", "kind": "intoto", "spec": { "content": {
        "envelope": {
            "payload": base64(base64(payload).as_bytes()), "payloadType": kind,
            "signatures": [{
                "sig": base64(sig.as_bytes()), "publicKey": base64(pem.as_bytes()),
            }],
        },
        "hash": { "algorithm": "sha256", "value": "00".repeat(32) },
    } } });
    let answer = bench.post_json(V1, &entry);
    assert_eq!(answer.status, 201, "{}", answer.message());
    let answer = answer.json();
    let body = answer.as_object().unwrap().values().next().unwrap()["body"].as_str().unwrap();
    let body: Value = serde_json::from_slice(&crate::unbase64(body).unwrap()).unwrap();
    let envelope = json!({
        "payload": base64(payload), "payloadType": kind,
        "signatures": [{ "sig": sig, "publicKey": pem }],
    });
    let expected = hex::encode(hash(&serde_json_canonicalizer::to_vec(&envelope).unwrap()));
    assert_eq!(body["spec"]["content"]["hash"]["value"], expected);
}
