//! Entries of the older log: what clients propose, and what is logged of it.
//!
//! | kind | what is checked | what is logged |
//! |---|---|---|
//! | `hashedrekord` 0.0.1 | the signature over the digest | as proposed, the PEM written anew |
//! | `dsse` 0.0.1 | every signature of the envelope, each with one of the verifiers | hashes of envelope and payload, the signatures |
//! | `intoto` 0.0.2 | the same, each with its own key | the same in another shape |

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Verifier, canonical_json};
use crate::http::{AtMost, Refusal, read_object};
use crate::keys::sha256;
use crate::signatures::{self, Hash};
use crate::{base64, unbase64};

/// More signatures than this are not checked in one entry.
const SIGNATURES: usize = 16;

/// An entry whose signatures fit, as it is logged.
#[derive(Debug)]
pub(crate) struct Checked {
    /// RFC 8785
    pub(crate) leaf: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Proposed<'a> {
    api_version: String,
    kind: String,
    /// Read once it is known as what: a value of any shape takes up many times its text.
    #[serde(borrow)]
    spec: &'a RawValue,
}

/// Checks what a client proposes.
pub(crate) fn check(body: &[u8]) -> Result<Checked, Refusal> {
    let Proposed { api_version, kind, spec } = read_object(body)?;
    let spec = spec.get().as_bytes();
    let spec = match (kind.as_str(), api_version.as_str()) {
        ("hashedrekord", "0.0.1") => hashedrekord(spec)?,
        ("dsse", "0.0.1") => dsse(spec)?,
        ("intoto", "0.0.2") => intoto(spec)?,
        _ => {
            return Err(Refusal::malformed(format!(
                "entries of kind {:?}, version {:?} are not taken; expected hashedrekord 0.0.1, dsse 0.0.1 or intoto 0.0.2",
                kind.chars().take(40).collect::<String>(),
                api_version.chars().take(40).collect::<String>(),
            )));
        }
    };
    let entry = json!({ "apiVersion": api_version, "kind": kind, "spec": spec });
    Ok(Checked { leaf: canonical_json(&entry)? })
}

fn decode(what: &str, text: &str) -> Result<Vec<u8>, Refusal> {
    unbase64(text).ok_or_else(|| Refusal::malformed(format!("{what} is not base64")))
}

fn does_not_fit() -> Refusal {
    Refusal::malformed("error processing entry: the signature does not fit")
}

#[derive(Deserialize)]
struct Hashedrekord {
    data: Data,
    signature: Signature,
}

#[derive(Deserialize)]
struct Data {
    hash: NamedHash,
}

#[derive(Deserialize)]
struct NamedHash {
    algorithm: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signature {
    content: String,
    public_key: KeyContent,
}

#[derive(Deserialize)]
struct KeyContent {
    content: String,
}

fn hashedrekord(spec: &[u8]) -> Result<Value, Refusal> {
    let spec: Hashedrekord = read_object(spec)?;
    let NamedHash { algorithm, value } = spec.data.hash;
    let hash = Hash::from_name(&algorithm)
        .ok_or_else(|| Refusal::malformed("the hash is none of sha256, sha384 and sha512"))?;
    let digest = hex::decode(&value)
        .ok()
        .filter(|digest| digest.len() == hash.length())
        .ok_or_else(|| Refusal::malformed(format!("the digest is not one of {algorithm}")))?;
    let signature = decode("the signature", &spec.signature.content)?;
    let verifier = Verifier::from_pem(&decode("the key", &spec.signature.public_key.content)?)?;
    if !signatures::verify_digest(&verifier.key, hash, &digest, &signature) {
        return Err(does_not_fit());
    }
    Ok(json!({
        "data": { "hash": { "algorithm": algorithm, "value": hex::encode(&digest) } },
        "signature": {
            "content": base64(&signature),
            "publicKey": { "content": base64(verifier.to_pem()?.as_bytes()) },
        },
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dsse {
    proposed_content: ProposedContent,
}

#[derive(Deserialize)]
struct ProposedContent {
    envelope: String,
    verifiers: AtMost<String, SIGNATURES>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: AtMost<EnvelopeSignature, SIGNATURES>,
}

#[derive(Deserialize)]
struct EnvelopeSignature {
    sig: String,
}

fn dsse(spec: &[u8]) -> Result<Value, Refusal> {
    let Dsse { proposed_content: ProposedContent { envelope: text, verifiers } } =
        read_object(spec)?;
    let envelope: Envelope = read_object(text.as_bytes())?;
    let (signatures, verifiers) = (envelope.signatures.0, verifiers.0);
    if signatures.is_empty() || verifiers.is_empty() {
        return Err(Refusal::malformed("expected between 1 and 16 signatures and verifiers"));
    }
    let payload = decode("the payload", &envelope.payload)?;
    let message = pre_authentication_encoding(&envelope.payload_type, &payload);
    let verifiers: Vec<Verifier> = verifiers
        .iter()
        .map(|verifier| Verifier::from_pem(&decode("a verifier", verifier)?))
        .collect::<Result<_, _>>()?;
    let mut signed = Vec::new();
    for EnvelopeSignature { sig } in signatures {
        let signature = decode("a signature", &sig)?;
        let verifier = verifiers
            .iter()
            .find(|verifier| fits(verifier, &message, &signature))
            .ok_or_else(does_not_fit)?;
        signed.push((base64(&signature), base64(verifier.to_pem()?.as_bytes())));
    }
    signed.sort();
    signed.dedup();
    let signatures: Vec<Value> = signed
        .into_iter()
        .map(|(signature, verifier)| json!({ "signature": signature, "verifier": verifier }))
        .collect();
    Ok(json!({
        "envelopeHash": sha256_of(text.as_bytes()),
        "payloadHash": sha256_of(&payload),
        "signatures": signatures,
    }))
}

fn sha256_of(bytes: &[u8]) -> Value {
    json!({ "algorithm": "sha256", "value": hex::encode(sha256(bytes)) })
}

/// SHA-256 is what Rekor checks envelopes with; keys on larger curves sign with more.
fn fits(verifier: &Verifier, message: &[u8], signature: &[u8]) -> bool {
    signatures::verify_message(&verifier.key, message, signature)
        || signatures::verify_hashed(&verifier.key, Hash::Sha256, message, signature)
}

fn pre_authentication_encoding(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message
}

#[derive(Deserialize)]
struct Intoto {
    content: IntotoContent,
}

#[derive(Deserialize)]
struct IntotoContent {
    envelope: IntotoEnvelope,
    hash: NamedHash,
}

/// Payload and signatures are base64 twice.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IntotoEnvelope {
    payload: String,
    payload_type: String,
    signatures: AtMost<IntotoSignature, SIGNATURES>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IntotoSignature {
    sig: String,
    public_key: String,
    #[serde(default)]
    keyid: String,
}

fn intoto(spec: &[u8]) -> Result<Value, Refusal> {
    let Intoto { content: IntotoContent { envelope, hash } } = read_object(spec)?;
    let signatures = envelope.signatures.0;
    if signatures.is_empty() {
        return Err(Refusal::malformed("expected between 1 and 16 signatures"));
    }
    if hash.algorithm != "sha256" || hex::decode(&hash.value).map_or(0, |h| h.len()) != 32 {
        return Err(Refusal::malformed("the hash of the envelope is not one of sha256"));
    }
    let twice = |what: &str, text: &str| {
        let once = decode(what, text)?;
        decode(what, &String::from_utf8_lossy(&once))
    };
    let payload = twice("the payload", &envelope.payload)?;
    let message = pre_authentication_encoding(&envelope.payload_type, &payload);
    let (mut signed, mut enveloped) = (Vec::new(), Vec::new());
    for IntotoSignature { sig, public_key, keyid } in signatures {
        let signature = twice("a signature", &sig)?;
        let pem = decode("a key", &public_key)?;
        if !fits(&Verifier::from_pem(&pem)?, &message, &signature) {
            return Err(does_not_fit());
        }
        // In the log as Rekor has them, which is base64 twice; the envelope has them once.
        let once = base64(&signature);
        let mut one = json!({ "publicKey": base64(&pem), "sig": base64(once.as_bytes()) });
        let mut plain = json!({
            "publicKey": String::from_utf8_lossy(&pem), "sig": once,
        });
        for members in [&mut one, &mut plain].map(Value::as_object_mut).into_iter().flatten() {
            if !keyid.is_empty() {
                members.insert("keyid".into(), keyid.clone().into());
            }
        }
        signed.push(one);
        enveloped.push(plain);
    }
    // The proposed one is of whatever text the client had: clients do not agree on one, and nobody could check it. What is logged
    // is that of the envelope that was checked, in its one form.
    let envelope_hash = sha256_of(&canonical_json(&json!({
        "payload": base64(&payload),
        "payloadType": envelope.payload_type,
        "signatures": enveloped,
    }))?);
    Ok(json!({
        "content": {
            "envelope": { "payloadType": envelope.payload_type, "signatures": signed },
            "hash": envelope_hash,
            "payloadHash": sha256_of(&payload),
        },
    }))
}
