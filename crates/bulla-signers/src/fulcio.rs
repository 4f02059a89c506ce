//! A certificate for a key that lives for one signature: Fulcio's v2 interface.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla::sign::ToSign;
use bulla::{Certificate, Fault, KeyAlgorithm, KeyPair, KeySigner, Limits, Signer as _};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::http::{Client, Service};
use crate::token::Token;

/// A key and the certificate for it.
pub(crate) struct Certified {
    pub(crate) key: KeySigner,
    pub(crate) certificate: Certificate,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    signed_certificate_embedded_sct: Option<Chain>,
}

#[derive(Deserialize)]
struct Chain {
    chain: Certificates,
}

#[derive(Deserialize)]
struct Certificates {
    certificates: Vec<String>,
}

pub(crate) fn certify(client: &Client, url: &str, token: &Token) -> Result<Certified, Fault> {
    let service = Service { name: "certificate authority (Fulcio)", url };
    let hint = "get a new token, and check that it was issued for 'sigstore' by a provider that this instance accepts";
    let pair = KeyPair::generate(KeyAlgorithm::EcdsaP256)?;
    let public = pair.public().clone();
    let key = KeySigner::new(pair);
    // That the key is ours: a signature over whom the token names.
    let proof = key.sign(ToSign::Message(token.challenge().as_bytes()))?.signature;
    let request = serde_json::json!({
        "credentials": { "oidcIdentityToken": token.expose() },
        "publicKeyRequest": {
            "publicKey": { "algorithm": "ECDSA", "content": public.to_pem() },
            "proofOfPossession": STANDARD.encode(proof),
        },
    });
    let body = Zeroizing::new(request.to_string());
    let answer =
        client.post(service, "/api/v2/signingCert", "application/json", body.as_bytes())?;
    if !(200..300).contains(&answer.status) {
        let shown = answer.shown();
        // A service that repeats what it was sent must not bring the token onto a screen.
        let said = match token.is_in(&shown) {
            true => format!("it answered {}, and repeated the token", answer.status),
            false => shown,
        };
        return Err(service.fault(said, hint));
    }
    let bad = |detail: String| {
        service.fault(detail, "check the address, and that it is a Fulcio of today")
    };
    let response: Response =
        serde_json::from_slice(&answer.body).map_err(|e| bad(e.to_string()))?;
    let chain = response
        .signed_certificate_embedded_sct
        .ok_or_else(|| bad("its certificate has no embedded proof of logging (SCT)".into()))?;
    let leaf = chain.chain.certificates.first();
    let leaf = leaf.ok_or_else(|| bad("it answered with no certificate".into()))?;
    let leaf = Certificate::from_pem(leaf, &Limits::default()).map_err(|e| bad(e.to_string()))?;
    let [certificate] = leaf.as_slice() else {
        return Err(bad("it answered with several certificates in one".into()));
    };
    if certificate.public_key().ok().as_ref() != Some(&public) {
        return Err(bad("its certificate is for another key than the one that was sent".into()));
    }
    Ok(Certified { key, certificate: certificate.clone() })
}
