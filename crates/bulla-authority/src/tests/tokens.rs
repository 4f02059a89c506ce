//! Identity tokens.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use super::{Bench, EMAIL, key};
use crate::base64url;

/// Refused with this status and these words, and nothing was logged.
#[track_caller]
fn refused(bench: &Bench, token: &str, status: u16, words: &str) {
    let before = bench.logged();
    let answer = bench.certify(token);
    assert_eq!(answer.status, status, "{}", answer.message());
    assert!(answer.message().contains(words), "{}", answer.message());
    assert_eq!(bench.logged(), before, "something was logged");
}

#[test]
fn a_good_token_gets_a_certificate_and_one_entry() {
    let bench = Bench::new();
    let answer = bench.certify(&bench.token(json!({})));
    assert_eq!(answer.status, 200, "{}", answer.message());
    assert_eq!(bench.logged(), 1);
}

#[test]
fn of_an_unknown_issuer() {
    let bench = Bench::new();
    for issuer in
        ["https://evil.example", "http://127.0.0.1:8080/dev/", "", "http://127.0.0.1:8080/DEV"]
    {
        refused(&bench, &bench.token(json!({ "iss": issuer })), 401, "not accepted here");
    }
    let list = bench.token(json!({ "iss": ["http://127.0.0.1:8080/dev"] }));
    refused(&bench, &list, 401, "not a JSON web token");
}

#[test]
fn for_another_audience() {
    let bench = Bench::new();
    refused(&bench, &bench.token(json!({ "aud": "other" })), 401, "audience");
    refused(&bench, &bench.token(json!({ "aud": [] })), 401, "audience");
    refused(&bench, &bench.token(json!({ "aud": null })), 401, "aud");
    assert_eq!(bench.certify(&bench.token(json!({ "aud": ["x", "sigstore"] }))).status, 200);
}

#[test]
fn outside_its_time() {
    let bench = Bench::new();
    // 12:00:00, with half a minute for clocks that differ.
    let time = |text: &str| super::at(&format!("2026-11-20T{text}Z")).as_second();
    refused(&bench, &bench.token(json!({ "exp": time("11:59:29") })), 401, "expired");
    refused(&bench, &bench.token(json!({ "nbf": time("12:00:31") })), 401, "valid from");
    refused(&bench, &bench.token(json!({ "iat": time("12:00:31") })), 401, "issued at");
    refused(&bench, &bench.token(json!({ "exp": time("12:00:00") + 86_500 })), 401, "24 hours");
    refused(&bench, &bench.token(json!({ "exp": "soon" })), 401, "exp");
    refused(&bench, &bench.token(json!({ "exp": 1e300 })), 401, "exp");
    refused(&bench, &bench.token(json!({ "iat": null })), 401, "iat");
    assert_eq!(bench.certify(&bench.token(json!({ "exp": time("11:59:45") }))).status, 200);
}

#[test]
fn that_was_used_before() {
    let bench = Bench::new();
    let token = bench.token(json!({}));
    assert_eq!(bench.certify(&token).status, 200);
    refused(&bench, &token, 401, "issued for it before");
    // Another one with the same name is the same.
    let named = |claims| bench.token(claims);
    assert_eq!(bench.certify(&named(json!({ "jti": "one" }))).status, 200);
    refused(&bench, &named(json!({ "jti": "one", "sub": "other" })), 401, "issued for it before");
    // Without a name, its own bytes are one; its signature can be changed into another that fits.
    let unnamed = named(json!({ "jti": null }));
    assert_eq!(bench.certify(&unnamed).status, 200);
    refused(&bench, &unnamed, 401, "issued for it before");
    // After a restart, too.
    let bench = bench.restart();
    refused(&bench, &token, 401, "issued for it before");
    refused(&bench, &unnamed, 401, "issued for it before");
}

#[test]
fn signed_with_nothing() {
    let bench = Bench::new();
    let good = bench.token(json!({}));
    let claims = good.split('.').nth(1).unwrap();
    for algorithm in ["none", "None", "NONE", ""] {
        let header = json!({ "alg": algorithm, "typ": "JWT", "kid": "development" });
        let header = base64url(header.to_string().as_bytes());
        refused(&bench, &format!("{header}.{claims}."), 401, "identity token is refused");
        refused(&bench, &format!("{header}.{claims}.AAAA"), 401, "identity token is refused");
    }
}

/// The oldest trick: the public key, used as a shared secret.
#[test]
fn signed_with_the_public_key() {
    let bench = Bench::new();
    let good = bench.token(json!({}));
    let claims: serde_json::Value =
        serde_json::from_slice(&crate::unbase64(good.split('.').nth(1).unwrap()).unwrap()).unwrap();
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("development".into());
    let dev = bench.authority.dev().unwrap();
    let jwks = dev.jwks().unwrap().to_string();
    for secret in [jwks.as_bytes(), b"", b"secret"] {
        let token =
            jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret)).unwrap();
        refused(&bench, &token, 401, "signatures of kind HS256");
    }
}

#[test]
fn with_another_signature() {
    let bench = Bench::new();
    let good = bench.token(json!({}));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let other = bench.token(json!({ "sub": "other" }));
    let others = other.rsplit_once('.').unwrap().1;
    refused(&bench, &format!("{signed}.{others}"), 401, "signature");
    refused(&bench, &format!("{signed}."), 401, "signature");
    refused(&bench, &format!("{signed}.{}", &signature[..40]), 401, "signature");
    // A key of the attacker's, under the issuer's name.
    let key = key(bulla::KeyAlgorithm::EcdsaP256);
    let mine = crate::dev::DevIssuer::new("http://127.0.0.1:8080/dev".into(), key).unwrap();
    let forged = mine
        .mint(
            json!({ "sub": EMAIL, "email": EMAIL, "email_verified": true, "aud": "sigstore" }),
            super::at(super::NOW),
        )
        .unwrap();
    refused(&bench, &forged, 401, "signature is not its issuer's");
}

#[test]
fn with_an_email_address_that_nobody_verified() {
    let bench = Bench::new();
    refused(&bench, &bench.token(json!({ "email_verified": false })), 403, "not verified");
    refused(&bench, &bench.token(json!({ "email_verified": null })), 403, "not verified");
    refused(&bench, &bench.token(json!({ "email": "a\nb@example.com" })), 403, "email");
    refused(&bench, &bench.token(json!({ "email": null })), 403, "email");
}

#[test]
fn that_is_none() {
    let bench = Bench::new();
    for token in ["", "a", "a.b", "a.b.c", "a.b.c.d", "\u{e4}.b.c", " ", "e30.e30.e30"] {
        refused(&bench, token, 401, "identity token");
    }
    refused(&bench, &"a".repeat(20_000), 401, "too large");
    let good = bench.token(json!({}));
    refused(&bench, &format!(" {good}"), 401, "not a JSON web token");
    refused(&bench, &format!("{good}\n"), 401, "not a JSON web token");
}

#[test]
fn with_extensions_that_must_be_understood() {
    let bench = Bench::new();
    let good = bench.token(json!({}));
    let rest = good.split_once('.').unwrap().1;
    let header = json!({ "alg": "ES256", "kid": "development", "crit": ["x"], "x": 1 });
    let header = base64url(header.to_string().as_bytes());
    refused(&bench, &format!("{header}.{rest}"), 401, "crit");
}
