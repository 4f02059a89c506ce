//! Signing with an identity against an authority on loopback, and what is refused of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Read;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla::blob::{self, Blob, FileBytes, UnverifiedFileSignature};
use bulla::{
    Authenticated, Digest, Failure, Fault, IdentityRule, KeyAlgorithm, KeyPair, KeySigner, Limits,
    SigstoreRoot, Trust, jiff,
};
use bulla_signers::{Client, Keyless, RekorVersion, Services, Token, WithLog, WithTimestamps};
use bulla_testkit::refused;
use bulla_testkit::sigstore::TestAuthority;
use bulla_testkit::stamps::{Stamp, StampAuthority};
use serde_json::{Value, json};

/// What is signed.
fn hello() -> FileBytes {
    FileBytes::new("hello", b"hello")
}

const ADA: &str = "ada@example.com";

fn services(authority: &TestAuthority, version: RekorVersion) -> Services {
    let config = authority.signing_config(None).to_string();
    Services::from_json("test", &config, Some(version)).unwrap()
}

fn sign_with(services: Services, token: &str, client: &Client) -> Result<Vec<u8>, Failure> {
    let token = Token::parse(token, jiff::Timestamp::now())?;
    let keyless = Keyless::certify(client, &services.certificate_authorities, &token)?;
    let logged = WithLog::new(keyless, client.clone(), services.logs, services.logs_wanted);
    let signer = WithTimestamps::new(
        logged,
        client.clone(),
        services.timestamp_authorities,
        services.timestamps_wanted,
    );
    Ok(blob::sign(&hello(), &signer, &Limits::default())?.bundle)
}

fn sign(authority: &TestAuthority, version: RekorVersion) -> Value {
    let token = authority.token(ADA);
    let bundle = sign_with(services(authority, version), &token, &Client::new()).unwrap();
    serde_json::from_slice(&bundle).unwrap()
}

fn trust(authority: &TestAuthority, root: &Value) -> Trust {
    let root =
        SigstoreRoot::from_json("test", root.to_string().as_bytes(), &Limits::default()).unwrap();
    Trust::sigstore(root, vec![IdentityRule::new(ADA, &authority.issuer()).unwrap()]).unwrap()
}

fn verify(bundle: &Value, trust: &Trust) -> Result<Authenticated<Digest>, Failure> {
    let limits = Limits::default();
    UnverifiedFileSignature::parse(bundle.to_string().as_bytes(), None, &limits)?.verify(
        &Blob::File(&hello()),
        trust,
        jiff::Timestamp::now(),
        &limits,
    )
}

fn fault<T: std::fmt::Debug>(result: Result<T, Failure>) -> Fault {
    match result {
        Err(Failure::Fault(fault)) => fault,
        other => panic!("expected a fault, got {other:?}"),
    }
}

#[test]
fn both_versions_of_the_log() {
    let authority = TestAuthority::start();
    let trust = trust(&authority, &authority.trusted_root());
    for (version, times) in [(RekorVersion::V1, 2), (RekorVersion::V2, 1)] {
        let checked = verify(&sign(&authority, version), &trust).unwrap();
        assert_eq!((checked.times().len(), checked.records().len()), (times, 1));
    }
}

/// Each makes the signature one that has no place in this log, or none at this time.
#[test]
fn evidence_that_was_taken_from_elsewhere_is_refused() {
    let authority = TestAuthority::start();
    let trust = trust(&authority, &authority.trusted_root());
    for version in [RekorVersion::V1, RekorVersion::V2] {
        let (one, other) = (sign(&authority, version), sign(&authority, version));
        for place in [
            "/verificationMaterial/certificate",
            "/verificationMaterial/tlogEntries",
            "/verificationMaterial/tlogEntries/0/canonicalizedBody",
            "/verificationMaterial/tlogEntries/0/inclusionProof",
            "/verificationMaterial/timestampVerificationData",
            "/messageSignature/signature",
        ] {
            let mut mixed = one.clone();
            *mixed.pointer_mut(place).unwrap() = other.pointer(place).unwrap().clone();
            assert!(!refused(verify(&mixed, &trust)).is_empty(), "{place}");
        }
        let mut without = one.clone();
        without["verificationMaterial"]["tlogEntries"] = json!([]);
        assert_eq!(refused(verify(&without, &trust)), ["malformed-bundle"]);
    }
}

/// A stamp of a trusted authority at a time at which the certificate was not valid: with a fraction of a second or without,
/// and however many other good times there are.
#[test]
fn rule_8_no_time_escapes_the_certificate() {
    let authority = TestAuthority::start();
    let mut bundle = sign(&authority, RekorVersion::V1);
    let signature = bundle["messageSignature"]["signature"].as_str().unwrap();
    let signature = STANDARD.decode(signature).unwrap();
    let stamps = StampAuthority::default();
    let mut root = authority.trusted_root();
    let raw = |c: &bulla::Certificate| json!({ "rawBytes": STANDARD.encode(c.to_der()) });
    root["timestampAuthorities"].as_array_mut().unwrap().push(json!({
        "certChain": { "certificates": [raw(&stamps.leaf.certificate), raw(&stamps.root.certificate)] },
        "validFor": { "start": "2020-01-01T00:00:00Z" },
    }));
    let trust = trust(&authority, &root);
    let mut stamped = |time: &str| {
        let stamp = STANDARD.encode(stamps.stamp(&Stamp::of(&signature, time)));
        bundle["verificationMaterial"]["timestampVerificationData"] =
            json!({ "rfc3161Timestamps": [{ "signedTimestamp": stamp }] });
        verify(&bundle, &trust)
    };
    // Within the certificate's minutes.
    let now = jiff::Timestamp::now().strftime("%Y%m%d%H%M%S").to_string();
    assert_eq!(stamped(&format!("{now}Z")).unwrap().times().len(), 2);
    let checked = stamped(&format!("{now}.5Z"));
    // Half a second on may be the future of the log's second, never of the certificate.
    assert_eq!(checked.unwrap().times().len(), 2);
    for early in ["20210101000000Z", "20210101000000.5Z"] {
        assert!(!refused(stamped(early)).is_empty(), "{early}");
    }
    let yesterday = jiff::Timestamp::now() - Duration::from_secs(86_400);
    for form in ["%Y%m%d%H%M%SZ", "%Y%m%d%H%M%S.5Z"] {
        assert!(!refused(stamped(&yesterday.strftime(form).to_string())).is_empty(), "{form}");
    }
}

/// A log that answers with somebody else's entry, with none, or with one that proves nothing.
#[test]
fn a_log_that_answers_wrongly_is_found_out() {
    let authority = TestAuthority::start();
    let other = sign(&authority, RekorVersion::V2);
    let entry = other["verificationMaterial"]["tlogEntries"][0].clone();
    let mut bare = entry.clone();
    bare.as_object_mut().unwrap().remove("inclusionProof");
    let trust = trust(&authority, &authority.trusted_root());
    for (answer, says) in [
        (entry.to_string(), None),
        (bare.to_string(), Some("has no inclusion proof")),
        ("{}".to_owned(), Some("missing field")),
        ("[]".to_owned(), Some("transparency log (Rekor)")),
        (String::new(), Some("transparency log (Rekor)")),
    ] {
        let mut services = services(&authority, RekorVersion::V2);
        services.logs[0].url = answering(answer);
        let result = sign_with(services, &authority.token(ADA), &Client::new());
        match says {
            Some(says) => assert!(fault(result).to_string().contains(says)),
            // The one who signs verifies before storing.
            None => {
                let bundle = serde_json::from_slice(&result.unwrap()).unwrap();
                assert!(!refused(verify(&bundle, &trust)).is_empty());
            }
        }
    }
}

/// Answers every request with this.
fn answering(body: String) -> String {
    use std::io::Write as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let _ = connection.set_read_timeout(Some(Duration::from_millis(100)));
            let mut seen = [0; 4096];
            while connection.read(&mut seen).is_ok_and(|n| n > 0) {}
            let length = body.len();
            let _ = write!(
                connection,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
    url
}

#[test]
fn a_certificate_for_another_key_is_not_used() {
    let authority = TestAuthority::start();
    let token = Token::parse(&authority.token(ADA), jiff::Timestamp::now()).unwrap();
    let client = Client::new();
    let urls = services(&authority, RekorVersion::V2).certificate_authorities;
    let pem = Keyless::certify(&client, &urls, &token).unwrap().certificate().to_pem();
    let answer = json!({ "signedCertificateEmbeddedSct": { "chain": { "certificates": [pem] } } });
    let again = Token::parse(&authority.token(ADA), jiff::Timestamp::now()).unwrap();
    let result = Keyless::certify(&client, &[answering(answer.to_string())], &again);
    let fault = result.unwrap_err().to_string();
    assert!(fault.contains("for another key"), "{fault}");
}

/// A service that repeats what it was sent must not bring the token onto a screen.
#[test]
fn a_token_that_is_sent_back_is_not_shown() {
    let authority = TestAuthority::start();
    let text = authority.token(ADA);
    let token = Token::parse(&text, jiff::Timestamp::now()).unwrap();
    let client = Client::new();
    // Used twice, and refused: the authority says why.
    let urls = services(&authority, RekorVersion::V2).certificate_authorities;
    Keyless::certify(&client, &urls, &token).unwrap();
    let fault = Keyless::certify(&client, &urls, &token).unwrap_err().to_string();
    assert!(fault.contains("401") && fault.contains("Fulcio"), "{fault}");
    for part in text.split('.') {
        assert!(!fault.contains(part));
    }
}

#[test]
fn a_key_in_a_log_with_a_timestamp() {
    let authority = TestAuthority::start();
    let pair = KeyPair::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let key = pair.public().clone();
    let Services { logs, timestamp_authorities, .. } = services(&authority, RekorVersion::V1);
    let client = Client::new();
    let logged = WithLog::new(KeySigner::new(pair), client.clone(), logs, 1);
    let signer = WithTimestamps::new(logged, client, timestamp_authorities, 1);
    let bundle = blob::sign(&hello(), &signer, &Limits::default()).unwrap().bundle;
    let bundle = serde_json::from_slice(&bundle).unwrap();
    let root = authority.trusted_root().to_string();
    let root = SigstoreRoot::from_json("test", root.as_bytes(), &Limits::default()).unwrap();
    let trust = Trust::keys(vec![key]).unwrap().with_time_of(root);
    let checked = verify(&bundle, &trust).unwrap();
    assert_eq!((checked.times().len(), checked.records().len()), (2, 1));
}

/// A log records each kind of key in one way; what it could not check is not sent.
#[test]
fn keys_that_a_log_does_not_take_are_refused() {
    let log = bulla_signers::Log { url: "https://log.example".into(), version: RekorVersion::V2 };
    let pair = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let signer = WithLog::new(KeySigner::new(pair), Client::new(), vec![log], 1);
    let fault = fault(blob::sign(&hello(), &signer, &Limits::default()));
    assert!(fault.to_string().contains("only those by ecdsa-p256 keys"), "{fault}");
}
