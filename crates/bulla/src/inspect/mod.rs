//! What a file says of itself, for people to look at. Nothing here was verified, and nothing here
//! leads back to the types that decisions are made with.

mod claims;

pub use claims::{ClaimDescription, ClaimsDescription, Field, FieldStanding, StatementDescription};

use std::collections::BTreeMap;

use serde::Serialize;

use crate::bundle::{self, Content, KeyHint, LogEntry, Material};
use crate::error::{Failure, Fault, Reason};
use crate::limits::Limits;
use crate::text::shorten;
use crate::trust::{
    Certificate, KeyFileFormat, KeyPair, PrivateKeyFile, PublicKey, SigstoreRoot, timestamp_to_show,
};

/// A description of a file.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Description {
    /// A signature file.
    Bundle(Box<BundleDescription>),
    /// A public key.
    PublicKey(KeyDescription),
    /// A private key file; its contents are not shown.
    PrivateKey {
        /// How it is encrypted: `none`, `pkcs8` or `cosign`.
        encryption: &'static str,
    },
    /// One or more certificates.
    Certificates {
        /// In the file's order.
        certificates: Vec<CertificateDescription>,
    },
}

/// What a bundle says. Not verified.
#[derive(Debug, Serialize)]
pub struct BundleDescription {
    /// The signing method in words.
    pub signed_with: &'static str,
    /// Hint of the key, if it was a bare one.
    pub key_hint: Option<String>,
    /// The certificates, leaf first.
    pub certificates: Vec<CertificateDescription>,
    /// Number of transparency-log entries.
    pub log_entries: usize,
    /// The entries.
    pub recorded_in: Vec<LogEntryDescription>,
    /// Number of RFC 3161 timestamps.
    pub timestamps: usize,
    /// The timestamps.
    pub stamped_by: Vec<TimestampDescription>,
    /// Digest of the file, `algorithm:hex`, in a signature of one file's bytes.
    pub message_digest: Option<String>,
    /// The statement's predicate type.
    pub predicate_type: Option<String>,
    /// Name of its first subject.
    pub subject: Option<String>,
    /// SHA-256 of its first subject: for a model signature the OMS root.
    pub subject_sha256: Option<String>,
    /// The recipe (`serialization`), as it stands there.
    pub serialization: Option<serde_json::Value>,
    /// Names and digests of the files.
    pub resources: Vec<ResourceDescription>,
}

/// An entry of a transparency log.
#[derive(Debug, Serialize)]
pub struct LogEntryDescription {
    /// The log: its URL if a root that comes with Bulla lists it, else its ID in base64.
    pub log: String,
    /// Its place there.
    pub index: Option<u64>,
    /// Kind and version: `dsse 0.0.1`.
    pub kind: String,
    /// When the log says that it was added (Rekor v1).
    pub integrated_at: Option<String>,
    /// First line of the checkpoint: the log's own name.
    pub origin: Option<String>,
}

/// An RFC 3161 timestamp.
#[derive(Debug, Serialize)]
pub struct TimestampDescription {
    /// The time in it.
    pub at: String,
    /// Who says that they made it.
    pub authority: String,
}

impl LogEntryDescription {
    fn of(entry: &LogEntry) -> Self {
        let entry: serde_json::Value = serde_json::from_str(entry.as_json()).unwrap_or_default();
        let text = |pointer: &str| entry.pointer(pointer).and_then(|v| v.as_str());
        // Numbers stand as strings in protobuf's JSON; writers differ.
        let number = |pointer: &str| {
            let value = entry.pointer(pointer)?;
            value.as_u64().or_else(|| value.as_str()?.parse().ok())
        };
        let id = text("/logId/keyId").unwrap_or_default();
        let seconds = number("/integratedTime").filter(|s| *s > 0);
        let at = seconds.and_then(|s| jiff::Timestamp::from_second(i64::try_from(s).ok()?).ok());
        Self {
            log: SigstoreRoot::known_log(id).unwrap_or_else(|| shorten(id)),
            index: number("/logIndex"),
            kind: format!(
                "{} {}",
                shorten(text("/kindVersion/kind").unwrap_or("(no kind)")),
                shorten(text("/kindVersion/version").unwrap_or_default())
            ),
            integrated_at: at.map(|at| at.to_string()),
            origin: text("/inclusionProof/checkpoint/envelope")
                .and_then(|checkpoint| checkpoint.lines().next())
                .map(shorten),
        }
    }
}

impl TimestampDescription {
    fn of(token: &[u8]) -> Self {
        match timestamp_to_show(token) {
            Ok((at, authority)) => Self { at: at.to_string(), authority },
            Err(problem) => Self { at: String::new(), authority: problem.to_string() },
        }
    }
}

/// A file in a bundle's statement.
#[derive(Debug, Serialize)]
pub struct ResourceDescription {
    /// Its name.
    pub name: String,
    /// Its digest, `algorithm:hex`.
    pub digest: String,
}

/// A public key.
#[derive(Debug, Serialize)]
pub struct KeyDescription {
    /// `ecdsa-p256`, …
    pub algorithm: String,
    /// SHA-256 of the SPKI DER: its name everywhere in Bulla.
    pub fingerprint: String,
    /// The hint in OMS bundles.
    pub oms_hint: String,
    /// The key.
    pub pem: String,
}

impl KeyDescription {
    /// Describes a key.
    #[must_use]
    pub fn of(key: &PublicKey) -> Self {
        Self {
            algorithm: key.algorithm().name(),
            fingerprint: key.fingerprint().to_string(),
            oms_hint: key.oms_hint(),
            pem: key.to_pem(),
        }
    }
}

/// A certificate.
#[derive(Debug, Clone, Serialize)]
pub struct CertificateDescription {
    /// Whom it is for.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// E-mail, URI and DNS names.
    pub names: Vec<String>,
    /// Start of its validity.
    pub valid_from: String,
    /// End of its validity.
    pub valid_until: String,
    /// SHA-256 of the DER.
    pub fingerprint: String,
    /// Its key, or why it cannot sign models.
    pub key: String,
    /// The identity provider that a Sigstore authority says vouched for its owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_provider: Option<String>,
    /// What a Sigstore authority says about the run that it was issued to.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<&'static str, String>,
}

impl CertificateDescription {
    /// Describes a certificate.
    #[must_use]
    pub fn of(certificate: &Certificate) -> Self {
        let (from, until) = certificate.validity();
        Self {
            subject: certificate.subject().to_owned(),
            issuer: certificate.issuer().to_owned(),
            names: certificate.names().iter().map(ToString::to_string).collect(),
            valid_from: from.to_string(),
            valid_until: until.to_string(),
            fingerprint: certificate.fingerprint().to_string(),
            key: match certificate.public_key() {
                Ok(key) => key.to_string(),
                Err(why) => why.to_string(),
            },
            identity_provider: certificate.identity_provider().map(str::to_owned),
            claims: certificate.claims().iter().map(|(n, v)| (n, v.to_owned())).collect(),
        }
    }
}

impl CertificateDescription {
    fn unreadable(why: &Fault) -> Self {
        Self {
            subject: format!("cannot be read: {why}"),
            issuer: String::new(),
            names: Vec::new(),
            valid_from: String::new(),
            valid_until: String::new(),
            fingerprint: String::new(),
            key: String::new(),
            identity_provider: None,
            claims: BTreeMap::new(),
        }
    }
}

/// Describes a file: a bundle, a key or certificates, told apart by its contents.
///
/// # Errors
/// A [`Failure`] when it is none of them, or malformed.
pub fn describe(bytes: &[u8], limits: &Limits) -> Result<Description, Failure> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && text.contains("-----BEGIN ")
    {
        return describe_pem(text, limits);
    }
    if bytes.len() as u64 <= limits.bundle_bytes && !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(Fault::Key {
            detail: "it is neither a signature nor a PEM key or certificate".into(),
            hint: Some("give a model.sig, a key, a certificate, or a directory with a model.sig"),
        }
        .into());
    }
    if bytes.len() as u64 > limits.bundle_bytes {
        let limit = limits.bundle_bytes;
        return Err(Reason::TooLarge { what: "signature file", limit }.into());
    }
    let bundle = bundle::read(bytes, limits)?;
    let (key_hint, certificates) = match &bundle.material {
        Material::PublicKey(KeyHint::Hint(hint) | KeyHint::Both(hint, _)) => {
            (Some(hint.clone()), Vec::new())
        }
        Material::PublicKey(KeyHint::RawBytes(raw)) => {
            (Some(String::from_utf8_lossy(raw).into_owned()), Vec::new())
        }
        Material::PublicKey(KeyHint::Nothing) => (None, Vec::new()),
        Material::CertificateChain(chain) => (None, chain.clone()),
        Material::Sigstore { certificate } => (None, vec![certificate.clone()]),
    };
    let certificates = certificates
        .iter()
        .map(|der| match Certificate::from_der(der) {
            Ok(certificate) => CertificateDescription::of(&certificate),
            Err(why) => CertificateDescription::unreadable(&why),
        })
        .collect();
    let statement: serde_json::Value = match &bundle.content {
        Content::Envelope(envelope) => {
            serde_json::from_slice(envelope.unverified().0).unwrap_or_default()
        }
        Content::Message { .. } => serde_json::Value::Null,
    };
    let text =
        |value: Option<&serde_json::Value>| value.and_then(|v| v.as_str()).map(str::to_owned);
    let subject = statement.pointer("/subject/0");
    let resource = |r: &serde_json::Value| {
        let digest = match r.get("digest")? {
            serde_json::Value::String(hex) => {
                format!("{}:{hex}", text(r.get("algorithm")).unwrap_or_default())
            }
            set => format!("sha256:{}", text(set.get("sha256"))?),
        };
        Some(ResourceDescription { name: text(r.get("name"))?, digest })
    };
    // Version 0.2.0 has the files as subjects.
    let list = statement.pointer("/predicate/resources").or_else(|| statement.get("subject"));
    Ok(Description::Bundle(Box::new(BundleDescription {
        signed_with: bundle.material.method(),
        key_hint,
        certificates,
        log_entries: bundle.evidence.log_entries.len(),
        recorded_in: bundle.evidence.log_entries.iter().map(LogEntryDescription::of).collect(),
        timestamps: bundle.evidence.timestamps.len(),
        stamped_by: bundle
            .evidence
            .timestamps
            .iter()
            .map(|t| TimestampDescription::of(t))
            .collect(),
        message_digest: match &bundle.content {
            Content::Message { digest: Some(digest), .. } => Some(digest.to_string()),
            _ => None,
        },
        predicate_type: text(statement.get("predicateType")),
        subject: text(subject.and_then(|s| s.get("name"))),
        subject_sha256: text(subject.and_then(|s| s.pointer("/digest/sha256"))),
        serialization: statement.pointer("/predicate/serialization").cloned(),
        resources: list
            .and_then(|l| l.as_array())
            .map(|l| l.iter().filter_map(resource).collect())
            .unwrap_or_default(),
    })))
}

fn describe_pem(text: &str, limits: &Limits) -> Result<Description, Failure> {
    if let Some(kind) = KeyPair::file_kind(text, limits) {
        return Ok(Description::PrivateKey {
            encryption: match kind {
                PrivateKeyFile::Plain => "none",
                PrivateKeyFile::Encrypted(KeyFileFormat::Pkcs8) => "pkcs8",
                PrivateKeyFile::Encrypted(KeyFileFormat::Cosign) => "cosign",
            },
        });
    }
    if text.contains("-----BEGIN CERTIFICATE-----") {
        let certificates = Certificate::from_pem(text, limits)?;
        return Ok(Description::Certificates {
            certificates: certificates.iter().map(CertificateDescription::of).collect(),
        });
    }
    Ok(Description::PublicKey(KeyDescription::of(&PublicKey::from_pem(text, limits)?)))
}
