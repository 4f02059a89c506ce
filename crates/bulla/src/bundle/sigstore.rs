//! The Sigstore bundle's JSON, as far as OMS uses it.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::UnverifiedBundle;
use super::dsse::{Envelope, PAYLOAD_TYPE};
use crate::error::Reason;
use crate::json::{self, Object};
use crate::limits::{KEY_HINT_BYTES, Limits};
use crate::text::shorten;

/// The media type that is written, and read.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// Media types that are read too: the older spelling of the same versions.
const OLDER_MEDIA_TYPES: [&str; 3] = [
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
    "application/vnd.dev.sigstore.bundle+json;version=0.1",
];

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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct BundleJson<'a> {
    media_type: String,
    verification_material: Object<MaterialJson>,
    #[serde(borrow)]
    dsse_envelope: Option<Object<EnvelopeJson<'a>>>,
    message_signature: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct MaterialJson {
    public_key: Option<Object<PublicKeyJson>>,
    x509_certificate_chain: Option<Object<ChainJson>>,
    certificate: Option<Object<CertificateJson>>,
    tlog_entries: Option<Vec<IgnoredAny>>,
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
    rfc3161_timestamps: Vec<IgnoredAny>,
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

pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<UnverifiedBundle, Reason> {
    let bundle: BundleJson<'_> = json::read(bytes).map_err(malformed)?;
    if bundle.media_type != MEDIA_TYPE && !OLDER_MEDIA_TYPES.contains(&bundle.media_type.as_str()) {
        return Err(Reason::WrongMediaType { found: shorten(&bundle.media_type) });
    }
    let envelope = match (bundle.dsse_envelope, bundle.message_signature) {
        (Some(Object(envelope)), None) => envelope,
        (None, Some(_)) => {
            return Err(malformed(
                "it signs the bytes of one file (messageSignature), not a model",
            ));
        }
        (None, None) => return Err(malformed("it has no dsseEnvelope")),
        (Some(_), Some(_)) => {
            return Err(malformed("it has both dsseEnvelope and messageSignature"));
        }
    };
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
    let log_entries = found.tlog_entries.map_or(0, |entries| entries.len());
    if log_entries == 0 && matches!(material, Material::Sigstore { .. }) {
        return Err(malformed("it is signed with a Sigstore certificate but has no tlogEntries"));
    }
    Ok(UnverifiedBundle {
        envelope: Envelope::new(payload, signature),
        material,
        log_entries,
        timestamps: found
            .timestamp_verification_data
            .map_or(0, |Object(t)| t.rfc3161_timestamps.len()),
    })
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

pub(super) fn encode(material: &Material, payload: &[u8], signature: &[u8]) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Out<'a> {
        media_type: &'a str,
        verification_material: serde_json::Value,
        dsse_envelope: OutEnvelope<'a>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct OutEnvelope<'a> {
        payload: Base64<'a>,
        payload_type: &'a str,
        signatures: [SignatureJson; 1],
    }
    /// Encoded as it is written: a payload can be large.
    struct Base64<'a>(&'a [u8]);
    impl Serialize for Base64<'_> {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(&base64::display::Base64Display::new(self.0, &STANDARD))
        }
    }
    let certificate = |der: &Vec<u8>| serde_json::json!({ "rawBytes": STANDARD.encode(der) });
    let verification_material = match material {
        Material::PublicKey(KeyHint::Hint(hint)) => {
            serde_json::json!({ "publicKey": { "hint": hint }, "tlogEntries": [] })
        }
        Material::PublicKey(KeyHint::RawBytes(raw)) => {
            serde_json::json!({ "publicKey": { "rawBytes": STANDARD.encode(raw) }, "tlogEntries": [] })
        }
        Material::PublicKey(KeyHint::Both(hint, raw)) => {
            let raw = STANDARD.encode(raw);
            serde_json::json!({ "publicKey": { "hint": hint, "rawBytes": raw }, "tlogEntries": [] })
        }
        Material::CertificateChain(chain) => {
            let chain: Vec<_> = chain.iter().map(certificate).collect();
            serde_json::json!({ "x509CertificateChain": { "certificates": chain }, "tlogEntries": [] })
        }
        Material::Sigstore { certificate: leaf } => {
            serde_json::json!({ "certificate": certificate(leaf) })
        }
    };
    let out = Out {
        media_type: MEDIA_TYPE,
        verification_material,
        dsse_envelope: OutEnvelope {
            payload: Base64(payload),
            payload_type: PAYLOAD_TYPE,
            signatures: [SignatureJson {
                sig: STANDARD.encode(signature),
                keyid: Some(String::new()),
            }],
        },
    };
    // Strings and numbers only: this cannot fail.
    let mut text = Vec::with_capacity(payload.len() / 3 * 4 + 8192);
    let _ = serde_json::to_writer(&mut text, &out);
    text.push(b'\n');
    text
}
