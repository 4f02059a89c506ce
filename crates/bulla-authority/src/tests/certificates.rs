//! Requests for certificates.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use bulla::{Certificate, KeyAlgorithm};
use der::Decode as _;
use serde_json::{Value, json};

use super::{Answer, Bench, EMAIL, certificate_request, key};
use crate::{base64, signatures};

const PATH: &str = "/api/v2/signingCert";

fn leaf(answer: &Answer) -> x509_cert::Certificate {
    assert_eq!(answer.status, 200, "{}", answer.message());
    let chain = &answer.json()["signedCertificateEmbeddedSct"]["chain"]["certificates"];
    assert_eq!(chain.as_array().unwrap().len(), 3);
    let pem = chain[0].as_str().unwrap();
    let der = Certificate::from_pem(pem, &bulla::Limits::default()).unwrap();
    x509_cert::Certificate::from_der(der[0].to_der()).unwrap()
}

#[track_caller]
fn refused(bench: &Bench, request: &Value, status: u16, words: &str) {
    let answer = bench.post_json(PATH, request);
    assert_eq!(answer.status, status, "{}", answer.message());
    assert!(answer.message().contains(words), "{}", answer.message());
    assert_eq!(bench.logged(), 0, "something was logged");
}

#[test]
fn a_certificate_says_what_fulcios_say() {
    let bench = Bench::new();
    let answer = bench.certify(&bench.token(json!({})));
    let tbs = leaf(&answer).tbs_certificate;
    assert!(tbs.subject.is_empty());
    let seconds = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
    let lifetime = seconds(tbs.validity.not_after) - seconds(tbs.validity.not_before);
    assert_eq!(lifetime, 600);
    let shape: Vec<_> = tbs
        .extensions
        .unwrap()
        .iter()
        .map(|extension| (extension.extn_id.to_string(), extension.critical))
        .collect();
    let expected = [
        ("2.5.29.15", true),
        ("2.5.29.37", false),
        ("2.5.29.14", false),
        ("2.5.29.35", false),
        ("2.5.29.17", true),
        ("1.3.6.1.4.1.57264.1.1", false),
        ("1.3.6.1.4.1.57264.1.8", false),
        ("1.3.6.1.4.1.11129.2.4.2", false),
    ];
    assert_eq!(shape, expected.map(|(oid, critical)| (oid.to_owned(), critical)));
}

#[test]
fn keys_of_each_kind_that_signs_models() {
    let bench = Bench::new();
    for algorithm in [
        KeyAlgorithm::EcdsaP256,
        KeyAlgorithm::EcdsaP384,
        KeyAlgorithm::EcdsaP521,
        KeyAlgorithm::Ed25519,
    ] {
        let token = bench.token(json!({}));
        let request = certificate_request(&token, &key(algorithm), EMAIL);
        leaf(&bench.post_json(PATH, &request));
    }
}

/// The log has what the certificate says, before there is a certificate.
#[test]
fn the_timestamp_is_of_what_was_published() {
    let bench = Bench::new();
    let certificate = leaf(&bench.certify(&bench.token(json!({}))));
    let active = &bench.authority.generations()[0];
    let entry = active.logs.ct.entry(0).unwrap();
    let mut tbs = certificate.tbs_certificate;
    tbs.extensions.as_mut().unwrap().pop();
    use der::Encode as _;
    let tbs = tbs.to_der().unwrap();
    assert!(entry.windows(tbs.len()).any(|window| window == tbs));
    let key = active.keys.ct_log.public();
    assert!(!signatures::verify_message(key, &entry, b""));
}

#[test]
fn without_proof_of_possession() {
    let bench = Bench::new();
    let (mine, others) = (key(KeyAlgorithm::EcdsaP256), key(KeyAlgorithm::EcdsaP256));
    let token = || bench.token(json!({ "sub": "1234" }));
    let words = "proof of possession";
    refused(&bench, &certificate_request(&token(), &mine, "eve@example.com"), 400, words);
    let mut stolen = certificate_request(&token(), &mine, EMAIL);
    stolen["publicKeyRequest"]["publicKey"]["content"] = others.public().to_pem().into();
    refused(&bench, &stolen, 400, words);
    for proof in ["", "AAAA", "***"] {
        let mut request = certificate_request(&token(), &mine, EMAIL);
        request["publicKeyRequest"]["proofOfPossession"] = proof.into();
        refused(&bench, &request, 400, words);
    }
    // The address and the subject are both what a client may sign.
    for challenge in [EMAIL, "1234"] {
        leaf(&bench.post_json(PATH, &certificate_request(&token(), &mine, challenge)));
    }
}

/// A key of 2048 bits, which signs no model.
fn weak() -> aws_lc_rs::rsa::KeyPair {
    aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap()
}

#[test]
fn for_a_weak_key() {
    use aws_lc_rs::signature::KeyPair as _;
    let bench = Bench::new();
    let weak = weak();
    let spki: PublicKeyX509Der<'_> = weak.public_key().as_der().unwrap();
    let pem =
        der::pem::encode_string("PUBLIC KEY", der::pem::LineEnding::LF, spki.as_ref()).unwrap();
    let mut request =
        certificate_request(&bench.token(json!({})), &key(KeyAlgorithm::EcdsaP256), EMAIL);
    request["publicKeyRequest"]["publicKey"]["content"] = pem.into();
    refused(&bench, &request, 400, "2048 bits");
    for garbage in ["", "no key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
        request["publicKeyRequest"]["publicKey"]["content"] = garbage.into();
        refused(&bench, &request, 400, "key to be certified");
    }
}

fn csr(pair: &rcgen::KeyPair) -> Vec<u8> {
    let params = rcgen::CertificateParams::default();
    params.serialize_request(pair).unwrap().pem().unwrap().into_bytes()
}

fn with_csr(bench: &Bench, csr: &[u8]) -> Value {
    json!({
        "credentials": { "oidcIdentityToken": bench.token(json!({})) },
        "certificateSigningRequest": base64(csr),
    })
}

#[test]
fn certificate_signing_requests() {
    let bench = Bench::new();
    let good = rcgen::KeyPair::generate().unwrap();
    let certificate = leaf(&bench.post_json(PATH, &with_csr(&bench, &csr(&good))));
    use rcgen::PublicKeyData as _;
    let certified = certificate.tbs_certificate.subject_public_key_info;
    assert_eq!(certified.subject_public_key.raw_bytes(), good.der_bytes());

    let bench = Bench::new();
    let weak = weak();
    use aws_lc_rs::encoding::Pkcs8V1Der;
    let pkcs8: Pkcs8V1Der<'_> = weak.as_der().unwrap();
    let pkcs8 = rcgen::KeyPair::try_from(pkcs8.as_ref()).unwrap();
    refused(&bench, &with_csr(&bench, &csr(&pkcs8)), 400, "2048 bits");

    // Another key's signature.
    let (one, other) = (csr(&good), csr(&rcgen::KeyPair::generate().unwrap()));
    let der = |pem: &[u8]| {
        let block = der::pem::decode_vec(pem).unwrap().1;
        x509_cert::request::CertReq::from_der(&block).unwrap()
    };
    let (mut forged, other) = (der(&one), der(&other));
    forged.signature = other.signature;
    use der::EncodePem as _;
    let forged = forged.to_pem(der::pem::LineEnding::LF).unwrap();
    refused(&bench, &with_csr(&bench, forged.as_bytes()), 400, "not signed by its own key");
    refused(&bench, &with_csr(&bench, b"garbage"), 400, "malformed");
}

#[test]
fn that_are_malformed() {
    let bench = Bench::new();
    let good = certificate_request(&bench.token(json!({})), &key(KeyAlgorithm::EcdsaP256), EMAIL);
    let mut both = good.clone();
    both["certificateSigningRequest"] = "AAAA".into();
    refused(&bench, &both, 400, "expected either");
    let neither = json!({ "credentials": good["credentials"] });
    refused(&bench, &neither, 400, "expected either");
    refused(&bench, &json!([]), 400, "malformed");
    refused(&bench, &json!({}), 401, "no identity token");
    let mut large = good;
    large["padding"] = "x".repeat(70_000).into();
    let answer = bench.post_json(PATH, &large);
    assert_eq!((answer.status, bench.logged()), (413, 0));
}
