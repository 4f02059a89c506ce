//! Who signed what: the entries of Rekor, v2 (`hashedrekord` 0.0.2) and v1 (`hashedrekord` 0.0.1, `dsse` 0.0.1).
//!
//! Whoever appended an entry chose what is in it; the log vouches only that it was appended. So everything is taken
//! from the certificate or key, and what cannot be read is said.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla::{Digest, SignerName};
use der::Decode as _;
use der::asn1::{ObjectIdentifier, Utf8StringRef};
use serde_json::Value;
use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Fulcio's: the token's issuer, as a DER string; and its older form, as bare bytes.
const ISSUER_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.8");
const ISSUER_V1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.1");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
/// The most signers of one entry.
const MAX_SIGNERS: usize = 16;

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Kind and version: `hashedrekord 0.0.2`.
    pub kind: String,
    /// Digest of what was signed: `sha256:…`.
    pub digest: Option<String>,
    /// Who signed it.
    pub signers: Vec<LoggedSigner>,
}

/// Who signed an entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct LoggedSigner {
    /// The certificate's names; empty for a bare key.
    pub names: Vec<String>,
    /// Who vouched for the name, as the certificate says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// `sha256:…` over the public key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// `email:alice@example.com (https://issuer.example)`, or `key sha256:…`
impl fmt::Display for LoggedSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.names.is_empty() {
            return write!(f, "key {}", self.key.as_deref().unwrap_or("(none)"));
        }
        f.write_str(&self.names.join(", "))?;
        self.issuer.as_ref().map_or(Ok(()), |issuer| write!(f, " ({issuer})"))
    }
}

impl Body {
    /// Reads an entry.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn parse(entry: &[u8]) -> Result<Self, String> {
        let json: Value =
            serde_json::from_slice(entry).map_err(|e| format!("it is not JSON: {e}"))?;
        // Rekor writes canonical JSON. A key that stands twice, or a blank, could be read in two ways.
        if json.to_string().len() != entry.len() {
            return Err("it is not canonical JSON".into());
        }
        let text = |pointer: &str| json.pointer(pointer).and_then(Value::as_str);
        let (kind, version) = (text("/kind").unwrap_or(""), text("/apiVersion").unwrap_or(""));
        let (digest, signers) = match (kind, version) {
            ("hashedrekord", "0.0.2") => v2(&json)?,
            ("hashedrekord", "0.0.1") => {
                let signer = pem_verifier(text("/spec/signature/publicKey/content"))?;
                let algorithm = text("/spec/data/hash/algorithm");
                (digest_in_hex(algorithm, text("/spec/data/hash/value")), vec![signer])
            }
            ("dsse", "0.0.1") => {
                let signatures = json.pointer("/spec/signatures").and_then(Value::as_array);
                let signatures = signatures.ok_or("it has no signatures")?;
                if signatures.len() > MAX_SIGNERS {
                    return Err(format!("it has more than {MAX_SIGNERS} signatures"));
                }
                let verifiers = signatures.iter().map(|s| s.get("verifier")?.as_str());
                let signers = verifiers.map(pem_verifier).collect::<Result<_, _>>()?;
                let hash = (text("/spec/payloadHash/algorithm"), text("/spec/payloadHash/value"));
                (digest_in_hex(hash.0, hash.1), signers)
            }
            _ => return Err(format!("entries of the kind {kind:?} {version:?} are not known")),
        };
        if signers.is_empty() {
            return Err("it has no signer".into());
        }
        Ok(Self { kind: format!("{kind} {version}"), digest, signers })
    }
}

fn v2(json: &Value) -> Result<(Option<String>, Vec<LoggedSigner>), String> {
    let spec = json.pointer("/spec/hashedRekordV002").ok_or("it has no hashedRekordV002")?;
    let text = |pointer: &str| spec.pointer(pointer).and_then(Value::as_str);
    let digest = text("/data/digest").and_then(|digest| STANDARD.decode(digest).ok());
    let algorithm = match text("/data/algorithm") {
        Some("SHA2_256") => "sha256",
        Some("SHA2_384") => "sha384",
        Some("SHA2_512") => "sha512",
        _ => "unknown",
    };
    let digest = digest.map(|digest| format!("{algorithm}:{}", hex::encode(digest)));
    let bytes = |pointer: &str| text(pointer).map(|text| STANDARD.decode(text));
    let signer = match (
        bytes("/signature/verifier/x509Certificate/rawBytes"),
        bytes("/signature/verifier/publicKey/rawBytes"),
    ) {
        (Some(Ok(certificate)), None) => certified(&certificate)?,
        (None, Some(Ok(key))) => bare(&key),
        (None, None) => return Err("it has no verifier".into()),
        _ => return Err("its verifier cannot be read".into()),
    };
    Ok((digest, vec![signer]))
}

fn digest_in_hex(algorithm: Option<&str>, value: Option<&str>) -> Option<String> {
    let value = value.filter(|value| value.bytes().all(|b| b.is_ascii_hexdigit()))?;
    Some(format!("{}:{}", algorithm?, value.to_ascii_lowercase()))
}

/// Base64 of a PEM certificate or public key.
fn pem_verifier(encoded: Option<&str>) -> Result<LoggedSigner, String> {
    let encoded = encoded.ok_or("it has no verifier")?;
    let pem = STANDARD.decode(encoded).map_err(|_| "its verifier is not base64")?;
    let (label, der) =
        der::pem::decode_vec(&pem).map_err(|e| format!("its verifier is not PEM: {e}"))?;
    match label {
        "CERTIFICATE" => certified(&der),
        "PUBLIC KEY" => Ok(bare(&der)),
        other => Err(format!("its verifier is a PEM {other:?}")),
    }
}

fn bare(spki: &[u8]) -> LoggedSigner {
    let key = Some(Digest::sha256(spki).to_string());
    LoggedSigner { names: Vec::new(), issuer: None, key }
}

fn certified(der: &[u8]) -> Result<LoggedSigner, String> {
    let malformed = |e: der::Error| format!("its certificate is malformed: {e}");
    let certificate = Certificate::from_der(der).map_err(malformed)?.tbs_certificate;
    let (mut names, mut issuer) = (Vec::new(), None);
    for extension in certificate.extensions.iter().flatten() {
        let value = extension.extn_value.as_bytes();
        match extension.extn_id {
            SUBJECT_ALT_NAME => {
                let all = SubjectAltName::from_der(value).map_err(malformed)?.0;
                names.extend(all.iter().map(shown));
            }
            ISSUER_V2 => {
                let text = Utf8StringRef::from_der(value).map_err(malformed)?;
                issuer = Some(text.as_str().to_owned());
            }
            ISSUER_V1 if issuer.is_none() => {
                issuer = std::str::from_utf8(value).ok().map(str::to_owned);
            }
            _ => {}
        }
    }
    if names.is_empty() {
        names.push(format!("subject:{}", certificate.subject));
    }
    let spki = der::Encode::to_der(&certificate.subject_public_key_info).map_err(malformed)?;
    Ok(LoggedSigner { names, issuer, key: bare(&spki).key })
}

fn shown(name: &GeneralName) -> String {
    match name {
        GeneralName::Rfc822Name(name) => SignerName::Email(name.to_string()).to_string(),
        GeneralName::UniformResourceIdentifier(name) => {
            SignerName::Uri(name.to_string()).to_string()
        }
        GeneralName::DnsName(name) => SignerName::Dns(name.to_string()).to_string(),
        // Fulcio names users without an e-mail address so.
        GeneralName::OtherName(name) => {
            let text = name.value.decode_as::<Utf8StringRef<'_>>().ok();
            let text = text.map_or_else(|| "?".into(), |text| text.as_str().to_owned());
            format!("other:{}:{text}", name.type_id)
        }
        _ => "(a name of another kind)".into(),
    }
}
