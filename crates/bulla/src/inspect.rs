//! What a file says of itself, for people to look at. Nothing here was verified, and nothing here
//! leads back to the types that decisions are made with.

use serde::Serialize;

use crate::bundle::{KeyHint, Material, UnverifiedBundle};
use crate::error::{Failure, Fault};
use crate::limits::Limits;
use crate::trust::{Certificate, KeyFileFormat, KeyPair, PrivateKeyFile, PublicKey};

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
    /// Transparency-log entries.
    pub log_entries: usize,
    /// RFC 3161 timestamps.
    pub timestamps: usize,
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
#[derive(Debug, Serialize)]
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
    let bundle = UnverifiedBundle::parse(bytes, limits)?;
    let (key_hint, certificates) = match bundle.material() {
        Material::PublicKey(KeyHint::Hint(hint) | KeyHint::Both(hint, _)) => {
            (Some(hint.clone()), Vec::new())
        }
        Material::PublicKey(KeyHint::RawBytes(raw)) => {
            (Some(String::from_utf8_lossy(raw).into_owned()), Vec::new())
        }
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
    let statement: serde_json::Value =
        serde_json::from_slice(bundle.envelope.payload_to_show()).unwrap_or_default();
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
        signed_with: bundle.material().method(),
        key_hint,
        certificates,
        log_entries: bundle.log_entries(),
        timestamps: bundle.timestamps(),
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
