//! Signatures of one file, in the forms in which cosign has written them.
//!
//! | form | read | written |
//! |---|---|---|
//! | Sigstore bundle with `messageSignature` | v0.1 to v0.3 | v0.3 |
//! | cosign's `--bundle` JSON before version 3 | yes | no |
//! | cosign's detached signature: base64, with or without a certificate beside it | yes | yes |

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::sigstore::{self, Content, Evidence, KeyHint, LogEntry, Material, MessageDigest};
use crate::error::Reason;
use crate::json::{self, Object};
use crate::limits::Limits;
use crate::text::shorten;
use crate::trust::Certificate;

/// A signature of one file that was read and nothing more.
#[derive(Debug, Clone)]
pub struct UnverifiedFileSignature {
    pub(crate) material: Material,
    pub(crate) evidence: Evidence,
    pub(crate) media_type: &'static str,
    pub(crate) digest: Option<MessageDigest>,
    pub(crate) signature: Vec<u8>,
}

/// cosign's `--bundle` before version 3: `LocalSignedPayload`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OlderJson {
    base64_signature: String,
    cert: Option<String>,
    rekor_bundle: Option<Object<RekorBundleJson>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RekorBundleJson {
    signed_entry_timestamp: String,
    payload: Object<RekorPayloadJson>,
}

#[derive(Deserialize)]
struct RekorPayloadJson {
    body: String,
    #[serde(rename = "integratedTime")]
    integrated_time: i64,
    #[serde(rename = "logIndex")]
    log_index: i64,
    #[serde(rename = "logID")]
    log_id: String,
}

impl UnverifiedFileSignature {
    /// Reads a signature file of any of the forms. `certificate` is the file beside a detached one.
    ///
    /// # Errors
    /// A [`Reason`] that says what is wrong with it.
    pub fn parse(
        bytes: &[u8],
        certificate: Option<&[u8]>,
        limits: &Limits,
    ) -> Result<Self, Reason> {
        if bytes.len() as u64 > limits.bundle_bytes {
            return Err(Reason::TooLarge { what: "signature file", limit: limits.bundle_bytes });
        }
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Self::detached(bytes, certificate, limits);
        }
        if certificate.is_some() {
            return Err(malformed("it is a bundle, and has its certificate inside"));
        }
        #[derive(Deserialize)]
        struct Form<'a> {
            #[serde(borrow, rename = "base64Signature")]
            older: Option<&'a RawValue>,
        }
        let form: Form<'_> = json::read(bytes).map_err(malformed)?;
        if form.older.is_some() {
            return Self::older(bytes, limits);
        }
        let read = sigstore::read(bytes, limits)?;
        match read.content {
            Content::Message { digest, signature } => Ok(Self {
                material: read.material,
                evidence: read.evidence,
                media_type: read.media_type,
                digest,
                signature,
            }),
            Content::Envelope(_) => Err(malformed(
                "it signs a statement (dsseEnvelope), not a file's bytes: 'bulla verify' checks one about a model",
            )),
        }
    }

    /// Base64 in one line; a certificate as PEM, or as base64 of PEM, as cosign writes both.
    fn detached(bytes: &[u8], certificate: Option<&[u8]>, limits: &Limits) -> Result<Self, Reason> {
        let material = match certificate {
            None => Material::PublicKey(KeyHint::Nothing),
            Some(bytes) => certificates(bytes, limits)?,
        };
        Ok(Self {
            material,
            evidence: Evidence::default(),
            media_type: super::MEDIA_TYPE,
            digest: None,
            signature: base64(bytes, "it").map_err(|_| {
                malformed("it is neither a bundle (JSON) nor a detached signature (base64)")
            })?,
        })
    }

    fn older(bytes: &[u8], limits: &Limits) -> Result<Self, Reason> {
        let older: OlderJson = json::read(bytes).map_err(malformed)?;
        let signature = base64(older.base64_signature.as_bytes(), "base64Signature")?;
        let certificate = older.cert.as_deref().filter(|cert| !cert.is_empty());
        // Beside a key's signature stands the key: a hint that nobody needs.
        let material = match certificate {
            Some(text)
                if pem(text.as_bytes())?.windows(20).any(|w| w == b"-----BEGIN CERTIFICA") =>
            {
                certificates(text.as_bytes(), limits)?
            }
            _ => Material::PublicKey(KeyHint::Nothing),
        };
        let mut evidence = Evidence::default();
        if let Some(Object(bundle)) = older.rekor_bundle {
            evidence.log_entries.push(entry(&bundle)?);
        } else if matches!(material, Material::Sigstore { .. }) {
            return Err(malformed("it has a certificate but no rekorBundle"));
        }
        let media_type = sigstore::OLDEST_MEDIA_TYPE;
        Ok(Self { material, evidence, media_type, digest: None, signature })
    }
}

/// An entry that only the log's promise vouches for.
fn entry(bundle: &RekorBundleJson) -> Result<LogEntry, Reason> {
    #[derive(Deserialize)]
    struct Body {
        kind: String,
        #[serde(rename = "apiVersion")]
        version: String,
    }
    let Object(payload) = &bundle.payload;
    let body = base64(payload.body.as_bytes(), "rekorBundle.Payload.body")?;
    let body: Body = json::read(&body).map_err(malformed)?;
    let id = hex::decode(&payload.log_id).map_err(|e| malformed(format!("logID: {e}")))?;
    let entry = serde_json::json!({
        "logIndex": payload.log_index.to_string(),
        "logId": { "keyId": STANDARD.encode(id) },
        "kindVersion": { "kind": body.kind, "version": body.version },
        "integratedTime": payload.integrated_time.to_string(),
        "inclusionPromise": { "signedEntryTimestamp": bundle.signed_entry_timestamp },
        "canonicalizedBody": payload.body,
    });
    LogEntry::from_json(entry.to_string()).map_err(|e| malformed(e.to_string()))
}

fn certificates(bytes: &[u8], limits: &Limits) -> Result<Material, Reason> {
    let text = String::from_utf8(pem(bytes)?).map_err(|e| malformed(e.to_string()))?;
    let chain = Certificate::from_pem(&text, limits)
        .map_err(|e| malformed(format!("the certificate beside it: {e}")))?;
    match chain.as_slice() {
        [one] if one.identity_provider().is_some() => {
            Ok(Material::Sigstore { certificate: one.to_der().to_vec() })
        }
        _ => Ok(Material::CertificateChain(chain.iter().map(|c| c.to_der().to_vec()).collect())),
    }
}

/// PEM, or base64 of PEM.
fn pem(bytes: &[u8]) -> Result<Vec<u8>, Reason> {
    if bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
        return Ok(bytes.to_vec());
    }
    base64(bytes, "the certificate")
}

/// Base64 in a file: a newline may end it.
fn base64(bytes: &[u8], what: &str) -> Result<Vec<u8>, Reason> {
    let decoded = STANDARD.decode(bytes.trim_ascii());
    match decoded {
        Ok(bytes) if !bytes.is_empty() => Ok(bytes),
        Ok(_) => Err(malformed(format!("{what} is empty"))),
        Err(e) => Err(malformed(format!("{what} is not base64: {e}"))),
    }
}

fn malformed(detail: impl Into<String>) -> Reason {
    Reason::MalformedFileSignature { detail: shorten(&detail.into()) }
}
