//! X.509 certificates, read strictly.

use std::fmt;

use aws_lc_rs::signature::{self as alg, RsaPssSaltLength, VerificationAlgorithm};
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5280, rfc5912, rfc8410};
use der::asn1::BitStringRef;
use der::{Decode as _, Encode as _, Reader as _, SliceReader};
use jiff::Timestamp;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::identity::{CLAIMS, Claims};
use super::pem;
use super::public_key::{PublicKey, verify_certificate_signature};
use crate::digest::Digest;
use crate::error::Fault;
use crate::limits::{CERTIFICATE_BYTES, CERTIFICATE_EXTENSIONS, Limits};
use crate::text::shorten;

/// The arc of Fulcio's extensions.
const FULCIO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1");

/// A certificate that was read; not one that is trusted.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    /// The signed part, exactly as received.
    tbs: Vec<u8>,
    signature: Vec<u8>,
    signature_algorithm: AlgorithmIdentifierOwned,
    pub(super) subject: Vec<u8>,
    pub(super) issuer: Vec<u8>,
    shown_subject: String,
    shown_issuer: String,
    spki: Vec<u8>,
    /// INTEGER contents.
    pub(super) serial: Vec<u8>,
    pub(super) key_id: Option<Vec<u8>>,
    not_before: Timestamp,
    not_after: Timestamp,
    pub(super) basic_constraints: Option<BasicConstraints>,
    pub(super) key_usage: Option<KeyUsage>,
    pub(super) extended_key_usage: Option<ExtendedKeyUsage>,
    names: Vec<SignerName>,
    identity_provider: Option<String>,
    claims: Claims,
    /// Extensions that must be understood and are not.
    pub(super) unchecked: Vec<ObjectIdentifier>,
}

/// A name that a certificate gives its owner (subject alternative name).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SignerName {
    /// `rfc822Name`
    Email(String),
    /// `uniformResourceIdentifier`
    Uri(String),
    /// `dNSName`
    Dns(String),
}

impl SignerName {
    /// Reads a name as it is shown (`email:…`, `URI:…`, `DNS:…`), or by its form: with `:` and a scheme it is a URI, with `@` an e-mail address, else
    /// a DNS name. So a name of one kind never matches one of another.
    ///
    /// # Errors
    /// [`Fault::Key`] when it is empty or has blanks.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let well_formed = |name: &str| {
            !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control())
        };
        for (prefix, kind) in [
            ("email:", Self::Email as fn(String) -> Self),
            ("URI:", Self::Uri),
            ("DNS:", Self::Dns),
        ] {
            if let Some(name) = text.strip_prefix(prefix)
                && well_formed(name)
            {
                return Ok(match kind(name.into()) {
                    Self::Dns(name) => Self::Dns(name.to_ascii_lowercase()),
                    other => other,
                });
            }
        }
        if !well_formed(text) || ["email:", "URI:", "DNS:"].contains(&text) {
            return Err(Fault::key("a signer's name is an e-mail address, a URI or a DNS name"));
        }
        let scheme = text.split_once(':').is_some_and(|(scheme, _)| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        });
        Ok(match text {
            uri if scheme => Self::Uri(uri.into()),
            email if email.contains('@') => Self::Email(email.into()),
            dns => Self::Dns(dns.to_ascii_lowercase()),
        })
    }

    /// The name without its kind.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Email(name) | Self::Uri(name) | Self::Dns(name) => name,
        }
    }
}

/// With its kind, as OpenSSL shows it: `email:…`, `URI:…`, `DNS:…`.
impl fmt::Display for SignerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Email(_) => "email",
            Self::Uri(_) => "URI",
            Self::Dns(_) => "DNS",
        };
        write!(f, "{kind}:{}", self.as_str())
    }
}

impl Certificate {
    /// Reads a DER certificate.
    ///
    /// # Errors
    /// [`Fault::Key`] when it is malformed or has an extension twice.
    pub fn from_der(der: &[u8]) -> Result<Self, Fault> {
        let malformed = |e: der::Error| Fault::key(format!("the certificate is malformed: {e}"));
        if der.len() > CERTIFICATE_BYTES {
            return Err(Fault::key(format!(
                "the certificate has {} bytes, at most {CERTIFICATE_BYTES} are read",
                der.len()
            )));
        }
        // Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue } (RFC 5280 §4.1)
        let mut reader = SliceReader::new(der).map_err(malformed)?;
        let (tbs, signature_algorithm, signature) = reader
            .sequence(|r| {
                Ok((
                    r.tlv_bytes()?.to_vec(),
                    AlgorithmIdentifierOwned::decode(r)?,
                    BitStringRef::decode(r)?.as_bytes().unwrap_or_default().to_vec(),
                ))
            })
            .map_err(malformed)?;
        reader.finish(()).map_err(malformed)?;
        let parsed = x509_cert::TbsCertificate::from_der(&tbs).map_err(malformed)?;
        if parsed.signature != signature_algorithm {
            return Err(Fault::key("the certificate names two signature algorithms"));
        }
        let time = |t: x509_cert::time::Time| {
            i64::try_from(t.to_unix_duration().as_secs())
                .ok()
                // "No expiry" is the last second of 9999 (RFC 5280 §4.1.2.5), just beyond our last.
                .map(|s| Timestamp::from_second(s).unwrap_or(Timestamp::MAX))
                .ok_or_else(|| Fault::key("the certificate has a date that cannot be"))
        };
        let mut certificate = Self {
            der: der.to_vec(),
            tbs,
            signature,
            signature_algorithm,
            subject: parsed.subject.to_der().map_err(malformed)?,
            issuer: parsed.issuer.to_der().map_err(malformed)?,
            shown_subject: parsed.subject.to_string(),
            shown_issuer: parsed.issuer.to_string(),
            spki: parsed.subject_public_key_info.to_der().map_err(malformed)?,
            serial: parsed.serial_number.as_bytes().to_vec(),
            key_id: None,
            not_before: time(parsed.validity.not_before)?,
            not_after: time(parsed.validity.not_after)?,
            basic_constraints: None,
            key_usage: None,
            extended_key_usage: None,
            names: Vec::new(),
            identity_provider: None,
            claims: Claims::default(),
            unchecked: Vec::new(),
        };
        let mut seen = Vec::new();
        if parsed.extensions.as_ref().is_some_and(|e| e.len() > CERTIFICATE_EXTENSIONS) {
            return Err(Fault::key("the certificate has too many extensions"));
        }
        for extension in parsed.extensions.unwrap_or_default() {
            let (oid, value) = (extension.extn_id, extension.extn_value.as_bytes());
            if seen.contains(&oid) {
                return Err(Fault::key(format!("the certificate has the extension {oid} twice")));
            }
            seen.push(oid);
            match oid {
                rfc5280::ID_CE_BASIC_CONSTRAINTS => {
                    certificate.basic_constraints =
                        Some(BasicConstraints::from_der(value).map_err(malformed)?);
                }
                rfc5280::ID_CE_KEY_USAGE => {
                    certificate.key_usage = Some(KeyUsage::from_der(value).map_err(malformed)?);
                }
                rfc5280::ID_CE_EXT_KEY_USAGE => {
                    certificate.extended_key_usage =
                        Some(ExtendedKeyUsage::from_der(value).map_err(malformed)?);
                }
                rfc5280::ID_CE_SUBJECT_ALT_NAME => {
                    let names = SubjectAltName::from_der(value).map_err(malformed)?;
                    certificate.names = names.0.iter().filter_map(signer_name).collect();
                }
                rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER => {
                    let id = SubjectKeyIdentifier::from_der(value).map_err(malformed)?;
                    certificate.key_id = Some(id.0.as_bytes().to_vec());
                }
                // Policies are not asked for, so any will do.
                rfc5280::ID_CE_CERTIFICATE_POLICIES => {}
                // Recognised, and not checked: so refused, critical or not (RFC 5280 §4.2).
                rfc5280::ID_CE_NAME_CONSTRAINTS | rfc5280::ID_CE_POLICY_CONSTRAINTS => {
                    certificate.unchecked.push(oid);
                }
                other if extension.critical => certificate.unchecked.push(other),
                other => certificate.read_claim(other, value).map_err(malformed)?,
            }
        }
        certificate.claims.0.sort();
        Ok(certificate)
    }

    /// Reads the certificates of a PEM file, in order; other blocks are an error.
    ///
    /// # Errors
    /// [`Fault::Key`] when there is none, too many, or something else.
    pub fn from_pem(text: &str, limits: &Limits) -> Result<Vec<Self>, Fault> {
        let blocks = pem::blocks(text, limits)?;
        if blocks.is_empty() {
            return Err(Fault::Key {
                detail: "it is not a PEM certificate".into(),
                hint: Some("expected -----BEGIN CERTIFICATE-----"),
            });
        }
        if blocks.len() > limits.certificates {
            return Err(Fault::Key {
                detail: format!(
                    "it has {} certificates, at most {} are read",
                    blocks.len(),
                    limits.certificates
                ),
                hint: Some("name only the authorities that issue certificates to your signers"),
            });
        }
        blocks
            .iter()
            .map(|block| match block.label {
                "CERTIFICATE" => Self::from_der(&block.decode()?),
                other => Err(Fault::Key {
                    detail: format!("it is a PEM {}, expected a certificate", shorten(other)),
                    hint: Some("expected -----BEGIN CERTIFICATE-----"),
                }),
            })
            .collect()
    }

    /// DER.
    #[must_use]
    pub fn to_der(&self) -> &[u8] {
        &self.der
    }

    /// PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        // The length is known to fit: this cannot fail.
        der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, &self.der)
            .unwrap_or_default()
    }

    /// SHA-256 of the DER.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        Digest::sha256(&self.der)
    }

    /// Whom it is for, as RFC 4514 text.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.shown_subject
    }

    /// Who issued it, as RFC 4514 text.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.shown_issuer
    }

    /// E-mail, URI and DNS names of its owner.
    #[must_use]
    pub fn names(&self) -> &[SignerName] {
        &self.names
    }

    /// The identity provider that a Sigstore authority says vouched for the owner.
    #[must_use]
    pub fn identity_provider(&self) -> Option<&str> {
        self.identity_provider.as_deref()
    }

    /// What a Sigstore authority says about the run that it was issued to.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Fulcio's extensions (`oid-info.md`): up to .7 the bare text, from .8 on a UTF8String.
    fn read_claim(&mut self, oid: ObjectIdentifier, value: &[u8]) -> Result<(), der::Error> {
        let Some(number) =
            oid.parent().filter(|arc| *arc == FULCIO).and_then(|_| oid.arcs().last())
        else {
            return Ok(());
        };
        let text = match number {
            0..=7 => String::from_utf8_lossy(value).into_owned(),
            _ => String::from_der(value)?,
        };
        match number {
            1 => {
                self.identity_provider.get_or_insert(text);
            }
            // The newer one counts.
            8 => self.identity_provider = Some(text),
            _ => {
                let known = CLAIMS.iter().find(|(_, known)| *known == number);
                self.claims.0.extend(known.map(|(name, _)| (*name, text)));
            }
        }
        Ok(())
    }

    /// Start and end of its validity, both included.
    #[must_use]
    pub fn validity(&self) -> (Timestamp, Timestamp) {
        (self.not_before, self.not_after)
    }

    /// Its public key, if it is one that may sign models.
    ///
    /// # Errors
    /// [`Fault::Key`] for keys that are too weak or of another kind.
    pub fn public_key(&self) -> Result<PublicKey, Fault> {
        PublicKey::from_spki_der(&self.spki)
    }

    /// How to name it to a person.
    pub(super) fn label(&self) -> String {
        if !self.shown_subject.is_empty() {
            return self.shown_subject.clone();
        }
        match self.names.first() {
            Some(name) => name.as_str().to_owned(),
            None => self.fingerprint().to_string(),
        }
    }

    /// Whether `issuer` signed it; `None` when the algorithm is not one that is accepted (SHA-1, for
    /// one).
    pub(super) fn is_signed_by(&self, issuer: &Self) -> Option<bool> {
        issuer.has_signed(&self.signature_algorithm, &self.tbs, &self.signature)
    }

    /// Whether its key made a signature; `None` when the algorithm is not one that is accepted.
    pub(super) fn has_signed(
        &self,
        algorithm: &AlgorithmIdentifierOwned,
        message: &[u8],
        signature: &[u8],
    ) -> Option<bool> {
        let verifier = self.verifier(algorithm)?;
        Some(verify_certificate_signature(&self.spki, verifier, message, signature))
    }

    fn verifier(
        &self,
        algorithm: &AlgorithmIdentifierOwned,
    ) -> Option<&'static dyn VerificationAlgorithm> {
        let spki = x509_cert::spki::SubjectPublicKeyInfoRef::from_der(&self.spki).ok()?;
        let curve =
            || spki.algorithm.parameters.and_then(|p| p.decode_as::<ObjectIdentifier>().ok());
        let key = spki.algorithm.oid;
        let ecdsa = |p256, p384, p521| match curve() {
            _ if key != rfc5912::ID_EC_PUBLIC_KEY => None,
            Some(rfc5912::SECP_256_R_1) => Some(p256),
            Some(rfc5912::SECP_384_R_1) => Some(p384),
            Some(rfc5912::SECP_521_R_1) => Some(p521),
            _ => None,
        };
        let rsa = |verifier: &'static dyn VerificationAlgorithm| {
            (key == rfc5912::RSA_ENCRYPTION).then_some(verifier)
        };
        match algorithm.oid {
            rfc5912::ECDSA_WITH_SHA_256 => ecdsa(
                &alg::ECDSA_P256_SHA256_ASN1 as &'static dyn VerificationAlgorithm,
                &alg::ECDSA_P384_SHA256_ASN1,
                &alg::ECDSA_P521_SHA256_ASN1,
            ),
            rfc5912::ECDSA_WITH_SHA_384 => ecdsa(
                &alg::ECDSA_P256_SHA384_ASN1,
                &alg::ECDSA_P384_SHA384_ASN1,
                &alg::ECDSA_P521_SHA384_ASN1,
            ),
            rfc5912::ECDSA_WITH_SHA_512 => ecdsa(
                &alg::ECDSA_P256_SHA512_ASN1,
                &alg::ECDSA_P384_SHA512_ASN1,
                &alg::ECDSA_P521_SHA512_ASN1,
            ),
            rfc8410::ID_ED_25519 => (key == rfc8410::ID_ED_25519).then_some(&alg::ED25519),
            rfc5912::SHA_256_WITH_RSA_ENCRYPTION => rsa(&alg::RSA_PKCS1_2048_8192_SHA256),
            rfc5912::SHA_384_WITH_RSA_ENCRYPTION => rsa(&alg::RSA_PKCS1_2048_8192_SHA384),
            rfc5912::SHA_512_WITH_RSA_ENCRYPTION => rsa(&alg::RSA_PKCS1_2048_8192_SHA512),
            rfc5912::ID_RSASSA_PSS => rsa(pss(algorithm)?),
            _ => None,
        }
    }

    /// The signature algorithm, for people.
    pub(super) fn signature_oid(&self) -> ObjectIdentifier {
        self.signature_algorithm.oid
    }
}

/// RSASSA-PSS with one hash throughout, and a salt as long as the hash or as long as can be.
fn pss(algorithm: &AlgorithmIdentifierOwned) -> Option<&'static dyn VerificationAlgorithm> {
    let parameters = algorithm.parameters.as_ref()?.to_der().ok()?;
    let parameters = pkcs1::RsaPssParams::from_der(&parameters).ok()?;
    let hash = parameters.hash.oid;
    if parameters.mask_gen.parameters.map(|inner| inner.oid) != Some(hash) {
        return None;
    }
    let (digest, max): (&'static dyn VerificationAlgorithm, &'static dyn VerificationAlgorithm) =
        match hash {
            rfc5912::ID_SHA_256 => (
                &alg::RSA_PSS_2048_8192_SHA256,
                &const { alg::RSA_PSS_2048_8192_SHA256.with_pss_salt_length(RsaPssSaltLength::Max) },
            ),
            rfc5912::ID_SHA_384 => (
                &alg::RSA_PSS_2048_8192_SHA384,
                &const { alg::RSA_PSS_2048_8192_SHA384.with_pss_salt_length(RsaPssSaltLength::Max) },
            ),
            rfc5912::ID_SHA_512 => (
                &alg::RSA_PSS_2048_8192_SHA512,
                &const { alg::RSA_PSS_2048_8192_SHA512.with_pss_salt_length(RsaPssSaltLength::Max) },
            ),
            _ => return None,
        };
    let digest_len = match hash {
        rfc5912::ID_SHA_256 => 32,
        rfc5912::ID_SHA_384 => 48,
        _ => 64,
    };
    Some(if parameters.salt_len == digest_len { digest } else { max })
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({}, {})", self.label(), self.fingerprint())
    }
}

fn signer_name(name: &GeneralName) -> Option<SignerName> {
    match name {
        GeneralName::Rfc822Name(name) => Some(SignerName::Email(name.to_string())),
        GeneralName::UniformResourceIdentifier(name) => Some(SignerName::Uri(name.to_string())),
        GeneralName::DnsName(name) => Some(SignerName::Dns(name.as_str().to_ascii_lowercase())),
        _ => None,
    }
}
