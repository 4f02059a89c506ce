//! The Sigstore bundle's JSON (`sigstore_bundle.proto`).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::dsse::{Envelope, PAYLOAD_TYPE};
use crate::error::Reason;
use crate::json::{self, Object};
use crate::limits::{
    CHECKPOINT_BYTES, CHECKPOINT_LINES, KEY_HINT_BYTES, Limits, PROOF_HASHES, TIMESTAMP_BYTES,
};
use crate::text::shorten;

/// The media type that is written, and read.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// Media types that are read too: the older spelling of the same versions.
const OLDER_MEDIA_TYPES: [&str; 3] = [
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
    OLDEST_MEDIA_TYPE,
];
/// The version in which a log's promise was enough.
pub(super) const OLDEST_MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle+json;version=0.1";

/// What a bundle says about the key that signed (v1.0 §4.1). Nothing of it is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Material {
    /// A bare key.
    PublicKey(KeyHint),
    /// A certificate and its chain, leaf first, DER.
    CertificateChain(Vec<Vec<u8>>),
    /// A short-lived certificate of a Sigstore certificate authority, DER.
    Sigstore {
        /// The certificate.
        certificate: Vec<u8>,
    },
}

impl Material {
    /// The signing method in words.
    #[must_use]
    pub fn method(&self) -> &'static str {
        match self {
            Self::PublicKey(_) => "a bare key",
            Self::CertificateChain(_) => "a certificate",
            Self::Sigstore { .. } => "a Sigstore identity (keyless)",
        }
    }
}

/// How a bundle names a bare key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyHint {
    /// `hint`, since 1.1.0: a fingerprint.
    Hint(String),
    /// `rawBytes`, 0.3.1 to 1.0.1: the key itself, PEM or DER.
    RawBytes(Vec<u8>),
    /// Both, which the schema allows: each has to fit.
    Both(String, Vec<u8>),
    /// Nothing: a detached signature.
    Nothing,
}

/// What others say about a signature. Nothing of it is trusted until it is checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Entries of transparency logs.
    pub log_entries: Vec<LogEntry>,
    /// RFC 3161 responses or tokens over the signature, DER.
    pub timestamps: Vec<Vec<u8>>,
}

/// An entry of a transparency log: a `TransparencyLogEntry` (`sigstore_rekor.proto`) as JSON.
#[derive(Debug, Clone)]
pub struct LogEntry(Box<RawValue>);

impl LogEntry {
    /// Takes an entry as a log's client received it.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn from_json(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(Self)
    }

    /// Its JSON.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for LogEntry {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
    }
}

impl Eq for LogEntry {}

/// What a bundle signs.
pub(crate) enum Content {
    Envelope(Envelope),
    /// One file's bytes; the digest is a hint.
    Message {
        digest: Option<MessageDigest>,
        signature: Vec<u8>,
    },
}

/// A `HashOutput` (`sigstore_common.proto`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageDigest {
    pub(crate) algorithm: String,
    pub(crate) digest: Vec<u8>,
}

/// `sha256:…`, the algorithm as Sigstore names it if it is another.
impl std::fmt::Display for MessageDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.algorithm.as_str() {
            "SHA2_256" => "sha256",
            "SHA2_384" => "sha384",
            "SHA2_512" => "sha512",
            other => other,
        };
        write!(f, "{}:{}", crate::text::Printable(name), hex::encode(&self.digest))
    }
}

/// A bundle's parts.
pub(crate) struct Read {
    pub(crate) media_type: &'static str,
    pub(crate) material: Material,
    pub(crate) evidence: Evidence,
    pub(crate) content: Content,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct BundleJson<'a> {
    media_type: String,
    verification_material: Object<MaterialJson>,
    #[serde(borrow)]
    dsse_envelope: Option<Object<EnvelopeJson<'a>>>,
    message_signature: Option<Object<MessageJson>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct MaterialJson {
    public_key: Option<Object<PublicKeyJson>>,
    x509_certificate_chain: Option<Object<ChainJson>>,
    certificate: Option<Object<CertificateJson>>,
    tlog_entries: Option<Vec<Box<RawValue>>>,
    timestamp_verification_data: Option<Object<TimestampsJson>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublicKeyJson {
    hint: Option<String>,
    raw_bytes: Option<String>,
}

#[derive(Deserialize)]
struct ChainJson {
    certificates: Vec<Object<CertificateJson>>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct CertificateJson {
    raw_bytes: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TimestampsJson {
    #[serde(default)]
    rfc3161_timestamps: Vec<Object<TimestampJson>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TimestampJson {
    signed_timestamp: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct MessageJson {
    message_digest: Option<Object<DigestJson>>,
    signature: String,
}

/// Either may be missing, as protobuf's JSON leaves out what is zero: cosign 3.1 writes neither for keys whose hash it
/// does not know.
#[derive(Deserialize)]
struct DigestJson {
    algorithm: Option<String>,
    digest: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct EnvelopeJson<'a> {
    /// Borrowed from the file: it is most of it.
    #[serde(borrow)]
    payload: Cow<'a, str>,
    payload_type: String,
    signatures: Vec<Object<SignatureJson>>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct SignatureJson {
    sig: String,
    /// Absent, empty or null (v1.0 §4.1); never used.
    #[serde(default)]
    keyid: Option<String>,
}

pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Read, Reason> {
    let bundle: BundleJson<'_> = json::read(bytes).map_err(malformed)?;
    let media_type = std::iter::once(MEDIA_TYPE)
        .chain(OLDER_MEDIA_TYPES)
        .find(|known| *known == bundle.media_type)
        .ok_or_else(|| Reason::WrongMediaType { found: shorten(&bundle.media_type) })?;
    let content = match (bundle.dsse_envelope, bundle.message_signature) {
        (Some(Object(envelope)), None) => Content::Envelope(read_envelope(&envelope)?),
        (None, Some(Object(message))) => read_message(&message)?,
        (None, None) => {
            return Err(malformed("it has neither dsseEnvelope nor messageSignature"));
        }
        (Some(_), Some(_)) => {
            return Err(malformed("it has both dsseEnvelope and messageSignature"));
        }
    };
    let Object(found) = bundle.verification_material;
    let material = match (found.public_key, found.x509_certificate_chain, found.certificate) {
        (Some(Object(key)), None, None) => Material::PublicKey(key_hint(key)?),
        (None, Some(Object(chain)), None) => {
            if chain.certificates.is_empty() {
                return Err(malformed("its x509CertificateChain has no certificate"));
            }
            if chain.certificates.len() > limits.certificates {
                return Err(malformed(format!(
                    "its x509CertificateChain has {} certificates, at most {} are read",
                    chain.certificates.len(),
                    limits.certificates
                )));
            }
            Material::CertificateChain(
                chain
                    .certificates
                    .iter()
                    .map(|Object(c)| base64(&c.raw_bytes, "certificates[].rawBytes"))
                    .collect::<Result<_, _>>()?,
            )
        }
        (None, None, Some(Object(certificate))) => Material::Sigstore {
            certificate: base64(&certificate.raw_bytes, "certificate.rawBytes")?,
        },
        (None, None, None) => {
            return Err(malformed(
                "its verificationMaterial has neither publicKey, x509CertificateChain nor certificate",
            ));
        }
        _ => {
            return Err(malformed(
                "its verificationMaterial has more than one of publicKey, x509CertificateChain and certificate",
            ));
        }
    };
    let log_entries = found.tlog_entries.unwrap_or_default();
    let timestamps = found.timestamp_verification_data.map(|Object(t)| t.rfc3161_timestamps);
    let timestamps = timestamps.unwrap_or_default();
    for (what, count) in
        [("tlogEntries", log_entries.len()), ("rfc3161Timestamps", timestamps.len())]
    {
        if count > limits.evidence {
            return Err(malformed(format!(
                "it has {count} {what}, at most {} are read",
                limits.evidence
            )));
        }
    }
    if log_entries.is_empty() && matches!(material, Material::Sigstore { .. }) {
        return Err(malformed("it is signed with a Sigstore certificate but has no tlogEntries"));
    }
    for entry in &log_entries {
        check_log_entry(entry)?;
    }
    let timestamps = timestamps
        .iter()
        .map(|Object(t)| {
            if t.signed_timestamp.len() > TIMESTAMP_BYTES * 2 {
                return Err(malformed("one of its timestamps is longer than any"));
            }
            base64(&t.signed_timestamp, "rfc3161Timestamps[].signedTimestamp")
        })
        .collect::<Result<_, _>>()?;
    let log_entries = log_entries.into_iter().map(LogEntry).collect();
    Ok(Read { media_type, material, evidence: Evidence { log_entries, timestamps }, content })
}

/// What checking an entry may cost: each line of a checkpoint that names the log's key is a signature to try, and each
/// hash of a proof a step.
fn check_log_entry(entry: &RawValue) -> Result<(), Reason> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry<'a> {
        #[serde(borrow)]
        inclusion_proof: Option<Object<Proof<'a>>>,
    }
    #[derive(Deserialize)]
    struct Proof<'a> {
        #[serde(borrow)]
        hashes: Option<Vec<&'a RawValue>>,
        checkpoint: Option<Object<Checkpoint>>,
    }
    #[derive(Deserialize)]
    struct Checkpoint {
        envelope: Option<String>,
    }
    let bad = |detail: String| malformed(format!("one of its tlogEntries {detail}"));
    let Object(entry): Object<Entry<'_>> =
        serde_json::from_str(entry.get()).map_err(|e| bad(format!("is malformed: {e}")))?;
    let Some(Object(proof)) = entry.inclusion_proof else { return Ok(()) };
    if proof.hashes.is_some_and(|hashes| hashes.len() > PROOF_HASHES) {
        return Err(bad(format!("has a proof of more than {PROOF_HASHES} hashes")));
    }
    let envelope = proof.checkpoint.and_then(|Object(checkpoint)| checkpoint.envelope);
    let envelope = envelope.unwrap_or_default();
    if envelope.len() > CHECKPOINT_BYTES || envelope.lines().count() > CHECKPOINT_LINES {
        return Err(bad(format!(
            "has a checkpoint of more than {CHECKPOINT_BYTES} bytes or {CHECKPOINT_LINES} lines"
        )));
    }
    Ok(())
}

fn read_envelope(envelope: &EnvelopeJson<'_>) -> Result<Envelope, Reason> {
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(Reason::WrongPayloadType { found: shorten(&envelope.payload_type) });
    }
    let [Object(signature)] = envelope.signatures.as_slice() else {
        return Err(Reason::SignatureCount { found: envelope.signatures.len() });
    };
    let payload = base64(&envelope.payload, "dsseEnvelope.payload")?;
    let signature = base64(&signature.sig, "dsseEnvelope.signatures[0].sig")?;
    if payload.is_empty() || signature.is_empty() {
        return Err(malformed("its payload or its signature is empty"));
    }
    Ok(Envelope::new(payload, signature))
}

fn read_message(message: &MessageJson) -> Result<Content, Reason> {
    let signature = base64(&message.signature, "messageSignature.signature")?;
    if signature.is_empty() {
        return Err(malformed("its signature is empty"));
    }
    let digest = match message.message_digest.as_ref().map(|Object(d)| (&d.algorithm, &d.digest)) {
        Some((Some(algorithm), Some(digest))) => Some(MessageDigest {
            algorithm: shorten(algorithm),
            digest: base64(digest, "messageSignature.messageDigest.digest")?,
        }),
        _ => None,
    };
    Ok(Content::Message { digest, signature })
}

fn key_hint(key: PublicKeyJson) -> Result<KeyHint, Reason> {
    let long = |text: &Option<String>| text.as_ref().is_some_and(|t| t.len() > KEY_HINT_BYTES);
    if long(&key.hint) || long(&key.raw_bytes) {
        return Err(malformed("its publicKey is longer than any key"));
    }
    match (key.hint, key.raw_bytes) {
        (Some(hint), None) => Ok(KeyHint::Hint(hint)),
        (None, Some(raw)) => Ok(KeyHint::RawBytes(base64(&raw, "publicKey.rawBytes")?)),
        (None, None) => Err(malformed("its publicKey has neither hint nor rawBytes")),
        (Some(hint), Some(raw)) => Ok(KeyHint::Both(hint, base64(&raw, "publicKey.rawBytes")?)),
    }
}

/// Canonical standard base64 only: where two texts stand for the same bytes, one of them has been
/// touched.
fn base64(text: &str, member: &str) -> Result<Vec<u8>, Reason> {
    STANDARD.decode(text).map_err(|e| malformed(format!("{member} is not base64: {e}")))
}

fn malformed(detail: impl Into<String>) -> Reason {
    Reason::MalformedBundle { detail: shorten(&detail.into()) }
}

/// What a bundle is written of.
#[derive(Clone, Copy)]
pub(crate) enum ToWrite<'a> {
    Envelope {
        payload: &'a [u8],
        signature: &'a [u8],
    },
    /// SHA-256 of the file.
    Message {
        sha256: &'a [u8],
        signature: &'a [u8],
    },
}

pub(crate) fn encode_as(
    media_type: &str,
    material: &Material,
    evidence: &Evidence,
    content: ToWrite<'_>,
) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Out<'a> {
        media_type: &'a str,
        verification_material: OutMaterial<'a>,
        #[serde(flatten)]
        content: OutContent<'a>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct OutMaterial<'a> {
        #[serde(flatten)]
        key: serde_json::Value,
        tlog_entries: Vec<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        timestamp_verification_data: Option<serde_json::Value>,
    }
    // Structs of their own: `flatten` would copy what stands in variants, encoded, before it is written.
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    enum OutContent<'a> {
        DsseEnvelope(OutEnvelope<'a>),
        MessageSignature(OutMessage<'a>),
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct OutEnvelope<'a> {
        payload: Base64<'a>,
        payload_type: &'a str,
        signatures: [SignatureJson; 1],
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct OutMessage<'a> {
        message_digest: serde_json::Value,
        signature: Base64<'a>,
    }
    /// Encoded as it is written: a payload can be large.
    struct Base64<'a>(&'a [u8]);
    impl Serialize for Base64<'_> {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(&base64::display::Base64Display::new(self.0, &STANDARD))
        }
    }
    let certificate = |der: &Vec<u8>| serde_json::json!({ "rawBytes": STANDARD.encode(der) });
    let key = match material {
        Material::PublicKey(KeyHint::Nothing) => serde_json::json!({ "publicKey": {} }),
        Material::PublicKey(KeyHint::Hint(hint)) => {
            serde_json::json!({ "publicKey": { "hint": hint } })
        }
        Material::PublicKey(KeyHint::RawBytes(raw)) => {
            serde_json::json!({ "publicKey": { "rawBytes": STANDARD.encode(raw) } })
        }
        Material::PublicKey(KeyHint::Both(hint, raw)) => {
            let raw = STANDARD.encode(raw);
            serde_json::json!({ "publicKey": { "hint": hint, "rawBytes": raw } })
        }
        Material::CertificateChain(chain) => {
            let chain: Vec<_> = chain.iter().map(certificate).collect();
            serde_json::json!({ "x509CertificateChain": { "certificates": chain } })
        }
        Material::Sigstore { certificate: leaf } => {
            serde_json::json!({ "certificate": certificate(leaf) })
        }
    };
    let stamp = |der: &Vec<u8>| serde_json::json!({ "signedTimestamp": STANDARD.encode(der) });
    let timestamps: Vec<_> = evidence.timestamps.iter().map(stamp).collect();
    let (content, size) = match content {
        ToWrite::Envelope { payload, signature } => (
            OutContent::DsseEnvelope(OutEnvelope {
                payload: Base64(payload),
                payload_type: PAYLOAD_TYPE,
                signatures: [SignatureJson {
                    sig: STANDARD.encode(signature),
                    keyid: Some(String::new()),
                }],
            }),
            payload.len(),
        ),
        ToWrite::Message { sha256, signature } => (
            OutContent::MessageSignature(OutMessage {
                message_digest: serde_json::json!({
                    "algorithm": "SHA2_256", "digest": STANDARD.encode(sha256),
                }),
                signature: Base64(signature),
            }),
            0,
        ),
    };
    let out = Out {
        media_type,
        verification_material: OutMaterial {
            key,
            tlog_entries: evidence.log_entries.iter().map(|entry| &*entry.0).collect(),
            timestamp_verification_data: (!timestamps.is_empty())
                .then(|| serde_json::json!({ "rfc3161Timestamps": timestamps })),
        },
        content,
    };
    // Strings, numbers and JSON only: this cannot fail.
    let mut text = Vec::with_capacity(size / 3 * 4 + 8192);
    let _ = serde_json::to_writer(&mut text, &out);
    text.push(b'\n');
    text
}
