//! Another implementation's client signs with every service and verifies what came back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bulla_testkit::sigstore::TestAuthority;
use serde_json::{Value, json};
use sigstore_sign::oidc::IdentityToken;
use sigstore_sign::rekor::RekorApiVersion;
use sigstore_sign::{Attestation, SigningContext, SigningServices};
use sigstore_verify::trust_root::{SigningConfig, TrustedRoot};
use sigstore_verify::types::{Bundle, Sha256Hash};
use sigstore_verify::{VerificationPolicy, Verifier};

const EMAIL: &str = "ada@example.com";

fn signer(authority: &TestAuthority, version: RekorApiVersion) -> sigstore_sign::Signer {
    let config = authority.signing_config(None).to_string();
    let config = SigningConfig::from_json(&config).unwrap();
    let services =
        SigningServices::from_signing_config_with_rekor_version(&config, Some(version)).unwrap();
    let token = IdentityToken::from_jwt(&authority.token(EMAIL)).unwrap();
    SigningContext::new(services).signer(token)
}

fn verifier(authority: &TestAuthority) -> Verifier {
    let root = TrustedRoot::from_json(&authority.trusted_root().to_string()).unwrap();
    Verifier::new(&root).unwrap()
}

fn policy(authority: &TestAuthority) -> VerificationPolicy {
    VerificationPolicy::new(EMAIL, authority.issuer())
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A message and a statement.
fn sign_both(authority: &TestAuthority, version: RekorApiVersion) -> [Bundle; 2] {
    let message = wait(signer(authority, version).sign(b"hello")).unwrap();
    let digest = Sha256Hash::from_hex(&hex::encode([7; 32])).unwrap();
    let statement =
        Attestation::new("https://example.com/v1", json!({ "a": 1 })).add_subject("x", digest);
    let statement = wait(signer(authority, version).sign_attestation(statement)).unwrap();
    [message, statement]
}

#[test]
fn it_signs_with_both_rekors_and_verifies() {
    let authority = TestAuthority::start();
    let verifier = verifier(&authority);
    for version in [RekorApiVersion::V1, RekorApiVersion::V2] {
        // Several, so that proofs have hashes in them.
        for _ in 0..3 {
            let [message, statement] = sign_both(&authority, version);
            let verified = verifier.verify(&b"hello"[..], &message, &policy(&authority)).unwrap();
            drop(verified);
            let digest = Sha256Hash::from_hex(&hex::encode([7; 32])).unwrap();
            verifier.verify(digest, &statement, &policy(&authority)).unwrap();
            assert!(verifier.verify(&b"hallo"[..], &message, &policy(&authority)).is_err());
            let other = VerificationPolicy::new("eve@example.com", authority.issuer());
            assert!(verifier.verify(&b"hello"[..], &message, &other).is_err());
        }
    }
}

#[test]
fn an_authority_trusts_no_other_even_with_the_same_name() {
    let (one, other) = (TestAuthority::start(), TestAuthority::start());
    let [message, _] = sign_both(&one, RekorApiVersion::V2);
    assert!(verifier(&other).verify(&b"hello"[..], &message, &policy(&one)).is_err());
}

/// Each part of the evidence counts: with any of them changed there is no verification.
#[test]
fn changed_evidence_is_refused() {
    let authority = TestAuthority::start();
    let verifier = verifier(&authority);
    for version in [RekorApiVersion::V1, RekorApiVersion::V2] {
        let [message, _] = sign_both(&authority, version);
        let good: Value = serde_json::from_str(&message.to_json().unwrap()).unwrap();
        let entry = "/verificationMaterial/tlogEntries/0";
        let mut paths = vec![
            format!("{entry}/canonicalizedBody"),
            format!("{entry}/inclusionProof/checkpoint/envelope"),
            "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp"
                .to_owned(),
        ];
        if version == RekorApiVersion::V1 {
            paths.push(format!("{entry}/inclusionPromise/signedEntryTimestamp"));
        }
        for path in paths {
            let mut changed = good.clone();
            let value = changed.pointer_mut(&path).unwrap_or_else(|| panic!("{path}"));
            let text = value.as_str().unwrap();
            // One character near the end, where the signatures are.
            let at = text.trim_end_matches(['=', '\n']).len() - 20;
            let other = if &text[at..=at] == "A" { "B" } else { "A" };
            *value = format!("{}{other}{}", &text[..at], &text[at + 1..]).into();
            let verified = Bundle::from_json(&changed.to_string())
                .map(|bundle| verifier.verify(&b"hello"[..], &bundle, &policy(&authority)));
            assert!(!matches!(verified, Ok(Ok(_))), "{path}");
        }
    }
}

#[test]
fn a_token_is_good_for_one_certificate() {
    let authority = TestAuthority::start();
    let config = SigningConfig::from_json(&authority.signing_config(None).to_string()).unwrap();
    let token = authority.token(EMAIL);
    let sign = || {
        let services = SigningServices::from_signing_config(&config).unwrap();
        let token = IdentityToken::from_jwt(&token).unwrap();
        wait(SigningContext::new(services).signer(token).sign(b"hello"))
    };
    sign().unwrap();
    let refused = sign().unwrap_err().to_string();
    assert!(refused.contains("issued for it before"), "{refused}");
}

/// Keys are replaced: what the old ones signed verifies, what the new ones sign does, too; and a client that only has the
/// update repository's root learns of them.
#[test]
fn keys_are_rotated() {
    use sigstore_verify::trust_root::{TufBootstrap, TufConfig};
    let authority = TestAuthority::start();
    let tuf_root = authority.get("/development_tuf/1.root.json");
    let fetch = |authority: &TestAuthority| {
        let url = format!("{}/development_tuf", authority.url());
        let config = TufConfig::custom(url, TufBootstrap::trusted(&tuf_root)).without_cache();
        wait(TrustedRoot::from_tuf(config)).unwrap()
    };
    let before = fetch(&authority);
    assert_eq!(before.tlogs.len(), 2);
    let both = [RekorApiVersion::V1, RekorApiVersion::V2];
    let old = both.map(|version| sign_both(&authority, version));

    let authority = authority.rotated();
    let after = fetch(&authority);
    assert_eq!(after.tlogs.len(), 4);
    assert_eq!(after.certificate_authorities.len(), 2);
    // The old ones end, the new ones do not.
    let ends = |i: usize| after.certificate_authorities[i].valid_for.unwrap().end;
    assert!(ends(0).is_some() && ends(1).is_none());
    let new = both.map(|version| sign_both(&authority, version));
    let now = Verifier::new(&after).unwrap();
    let digest = Sha256Hash::from_hex(&hex::encode([7; 32])).unwrap();
    for [message, statement] in old.iter().chain(&new) {
        now.verify(&b"hello"[..], message, &policy(&authority)).unwrap();
        now.verify(digest, statement, &policy(&authority)).unwrap();
    }
    let then = Verifier::new(&before).unwrap();
    assert!(then.verify(&b"hello"[..], &new[0][0], &policy(&authority)).is_err());
    // The new logs are below their own URL, and the old ones are still read.
    let checkpoint = |path: &str| String::from_utf8(authority.get(path)).unwrap();
    assert_ne!(checkpoint("/api/v2/checkpoint"), checkpoint("/g2/api/v2/checkpoint"));
}
