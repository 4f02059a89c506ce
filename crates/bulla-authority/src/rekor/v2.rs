//! Rekor v2: one kind of entry, answered when it is in the log, with its proof.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bulla::KeyAlgorithm;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Document, Verifier, canonical_json};
use crate::authority::{Active, Authority};
use crate::http::{Refusal, read_object};
use crate::logs::ENTRY_BYTES;
use crate::server::Generation;
use crate::signatures::{self, Hash};
use crate::{base64, unbase64};
use bulla_log::Included;

/// Largest request: a digest, a signature and a certificate.
pub(crate) const REQUEST_BYTES: usize = 128 << 10;

/// `CreateEntryRequest`. protobuf's JSON also takes the names as the schema has them.
#[derive(Deserialize)]
struct Request {
    #[serde(rename = "hashedRekordRequestV002", alias = "hashed_rekord_request_v002")]
    hashed_rekord: Option<HashedRekord>,
}

#[derive(Deserialize)]
struct HashedRekord {
    digest: String,
    signature: Signature,
}

#[derive(Deserialize)]
struct Signature {
    content: String,
    verifier: RequestVerifier,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestVerifier {
    #[serde(alias = "key_details")]
    key_details: Value,
    #[serde(default, alias = "x509_certificate")]
    x509_certificate: Option<RawBytes>,
    #[serde(default, alias = "public_key")]
    public_key: Option<RawBytes>,
}

#[derive(Deserialize)]
struct RawBytes {
    #[serde(rename = "rawBytes", alias = "raw_bytes")]
    raw_bytes: String,
}

/// `POST /api/v2/log/entries`
pub(crate) async fn create_entry(
    State(authority): State<Arc<Authority>>,
    generation: Generation,
    body: Bytes,
) -> Response {
    match create(&authority, generation.number(), &body).await {
        Ok(entry) => {
            authority.metrics().entries_v2.inc();
            (StatusCode::CREATED, Json(entry)).into_response()
        }
        Err(refusal) => {
            authority.metrics().refused("rekor-v2", &refusal);
            refusal.traced("rekor-v2").grpc()
        }
    }
}

async fn create(
    authority: &Arc<Authority>,
    generation: u32,
    body: &[u8],
) -> Result<Value, Refusal> {
    let leaf = check(body)?;
    let authority = authority.clone();
    tokio::task::spawn_blocking(move || {
        let now = authority.now();
        let generation = authority.open_generation(generation, now)?;
        authority.issuing(now)?;
        let included = generation.logs.rekor_v2.append(leaf.clone())?;
        Ok(answer(generation, &leaf, &included))
    })
    .await
    .map_err(|_| Refusal::unavailable("the authority is stopping"))?
}

/// Checks a request; returns the leaf: `hashedrekord` 0.0.2.
fn check(body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let request: Request = read_object(body)?;
    let HashedRekord { digest, signature } = request
        .hashed_rekord
        .ok_or_else(|| Refusal::malformed("invalid type, must be hashedrekord"))?;
    let decode = |what: &str, text: &str| {
        unbase64(text).ok_or_else(|| Refusal::malformed(format!("{what} is not base64")))
    };
    let digest = decode("the digest", &digest)?;
    let content = decode("the signature", &signature.content)?;
    let RequestVerifier { key_details, x509_certificate, public_key } = signature.verifier;
    let verifier = match (x509_certificate, public_key) {
        (Some(RawBytes { raw_bytes }), None) => {
            Verifier::certificate(decode("the certificate", &raw_bytes)?)?
        }
        (None, Some(RawBytes { raw_bytes })) => {
            Verifier::public_key(decode("the public key", &raw_bytes)?)?
        }
        _ => {
            return Err(Refusal::malformed(
                "expected exactly one of an X.509 certificate and a public key",
            ));
        }
    };
    let &Details { name, hash, hash_name, .. } = details(&key_details, verifier.key.algorithm())?;
    if digest.len() != hash.length() {
        return Err(Refusal::malformed(format!(
            "the digest has {} bytes, expected {} for {name}",
            digest.len(),
            hash.length()
        )));
    }
    if !signatures::verify_digest(&verifier.key, hash, &digest, &content) {
        return Err(Refusal::malformed("the signature does not fit the digest and the key"));
    }
    let mut logged = json!({ "keyDetails": name });
    let (member, der) = match &verifier.document {
        Document::Certificate(der) => ("x509Certificate", der),
        Document::PublicKey(der) => ("publicKey", der),
    };
    if let Some(members) = logged.as_object_mut() {
        members.insert(member.into(), json!({ "rawBytes": base64(der) }));
    }
    let leaf = canonical_json(&json!({
        "apiVersion": "0.0.2",
        "kind": "hashedrekord",
        "spec": {
            "hashedRekordV002": {
                "data": { "algorithm": hash_name, "digest": base64(&digest) },
                "signature": { "content": base64(&content), "verifier": logged },
            },
        },
    }))?;
    if leaf.len() > ENTRY_BYTES {
        return Err(Refusal::too_large("the entry is too large for the log"));
    }
    Ok(leaf)
}

/// `PublicKeyDetails` of protobuf-specs, for keys that sign digests.
struct Details {
    name: &'static str,
    number: u64,
    key: fn(KeyAlgorithm) -> bool,
    hash: Hash,
    hash_name: &'static str,
}

const DETAILS: [Details; 5] = [
    Details {
        name: "PKIX_ECDSA_P256_SHA_256",
        number: 5,
        key: |key| key == KeyAlgorithm::EcdsaP256,
        hash: Hash::Sha256,
        hash_name: "SHA2_256",
    },
    Details {
        name: "PKIX_ECDSA_P384_SHA_384",
        number: 12,
        key: |key| key == KeyAlgorithm::EcdsaP384,
        hash: Hash::Sha384,
        hash_name: "SHA2_384",
    },
    Details {
        name: "PKIX_ECDSA_P521_SHA_512",
        number: 13,
        key: |key| key == KeyAlgorithm::EcdsaP521,
        hash: Hash::Sha512,
        hash_name: "SHA2_512",
    },
    Details {
        name: "PKIX_RSA_PKCS1V15_3072_SHA256",
        number: 10,
        key: |key| key == KeyAlgorithm::Rsa(3072),
        hash: Hash::Sha256,
        hash_name: "SHA2_256",
    },
    Details {
        name: "PKIX_RSA_PKCS1V15_4096_SHA256",
        number: 11,
        key: |key| key == KeyAlgorithm::Rsa(4096),
        hash: Hash::Sha256,
        hash_name: "SHA2_256",
    },
];

fn details(given: &Value, key: KeyAlgorithm) -> Result<&'static Details, Refusal> {
    DETAILS
        .iter()
        .find(|details| given.as_str() == Some(details.name) || given.as_u64() == Some(details.number))
        .filter(|details| (details.key)(key))
        .ok_or_else(|| {
            Refusal::malformed(format!(
                "keyDetails is not that of a key of kind {key} whose signatures of digests are taken"
            ))
        })
}

/// `TransparencyLogEntry`
fn answer(generation: &Active, leaf: &[u8], included: &Included) -> Value {
    json!({
        "logIndex": included.index.to_string(),
        "logId": { "keyId": base64(&generation.record.rekor_v2_id()) },
        "kindVersion": { "kind": "hashedrekord", "version": "0.0.2" },
        "inclusionProof": {
            "logIndex": included.index.to_string(),
            "rootHash": base64(&included.root),
            "treeSize": included.size.to_string(),
            "hashes": included.hashes.iter().map(|hash| base64(hash)).collect::<Vec<_>>(),
            "checkpoint": { "envelope": included.checkpoint },
        },
        "canonicalizedBody": base64(leaf),
    })
}

/// `GET /api/v2/{checkpoint, tile/…}`: the log itself.
pub(crate) async fn file(
    State(authority): State<Arc<Authority>>,
    generation: Generation,
    path: Option<Path<String>>,
) -> Response {
    let path = path.map_or_else(|| "checkpoint".to_owned(), |Path(path)| format!("tile/{path}"));
    read_file(&authority, generation.number(), |active| active.logs.rekor_v2.clone(), path).await
}

/// Serves a file of a log as it is.
pub(crate) async fn read_file(
    authority: &Arc<Authority>,
    generation: u32,
    log: fn(&Active) -> Arc<dyn crate::logs::Ledger>,
    path: String,
) -> Response {
    // What the log gets to see is a path of the layout, whatever was asked for.
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.');
    if path.len() > 200 || !path.bytes().all(plain) || path.contains("..") {
        return Refusal::not_found("there is no such file").grpc();
    }
    let Some(active) = authority.generation(generation) else {
        return Refusal::not_found("there is no such log").grpc();
    };
    let log = log(active);
    let checkpoint = path == "checkpoint";
    let read = tokio::task::spawn_blocking(move || log.file(&path)).await;
    match read {
        Ok(Ok(Some(bytes))) => {
            let (kind, cache) = if checkpoint {
                ("text/plain; charset=utf-8", "no-cache")
            } else {
                ("application/octet-stream", "public, max-age=604800, immutable")
            };
            ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, cache)], bytes).into_response()
        }
        Ok(Ok(None)) => Refusal::not_found("there is no such file").grpc(),
        Ok(Err(e)) => Refusal::from(e).grpc(),
        Err(_) => Refusal::unavailable("the authority is stopping").grpc(),
    }
}
