//! Certificates: how they are put together and signed. What goes into them is decided elsewhere.

use std::time::Duration;

use bulla::{Fault, KeyAlgorithm, PublicKey};
use const_oid::db::{rfc4519, rfc5912};
use const_oid::{AssociatedOid, ObjectIdentifier};
use der::asn1::{Any, BitString, GeneralizedTime, OctetString, SetOfVec, UtcTime, Utf8StringRef};
use der::{Decode as _, Encode};
use jiff::Timestamp;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::certificate::{Certificate, TbsCertificate, Version};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
    SubjectKeyIdentifier,
};
use x509_cert::name::{RdnSequence, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};

use crate::keys::{ServiceKey, random, sha256};

/// Something that the encoder refused. It never depends on what a client sent: that was checked before.
pub(crate) fn malformed<E>(_: E) -> Fault {
    Fault::Bug { what: "a certificate could not be encoded" }
}

/// Who certifies: a name and a key.
#[derive(Debug)]
pub(crate) struct Issuer<'a> {
    pub(crate) name: RdnSequence,
    pub(crate) key: &'a ServiceKey,
}

/// `O=…,CN=…`
pub(crate) fn name(organization: &str, common_name: &str) -> Result<RdnSequence, Fault> {
    let rdn = |oid, text: &str| -> der::Result<_> {
        let value = Any::from(Utf8StringRef::new(text)?);
        let one = AttributeTypeAndValue { oid, value };
        Ok(RelativeDistinguishedName(SetOfVec::try_from(vec![one])?))
    };
    let both = || -> der::Result<_> {
        Ok(vec![
            rdn(rfc4519::ORGANIZATION_NAME, organization)?,
            rdn(rfc4519::COMMON_NAME, common_name)?,
        ])
    };
    both().map(RdnSequence).map_err(malformed)
}

/// A point in time as X.509 writes it: two digits for the year until 2049.
fn time(time: Timestamp) -> Result<Time, Fault> {
    let seconds = u64::try_from(time.as_second()).map_err(malformed)?;
    let since = Duration::from_secs(seconds);
    UtcTime::from_unix_duration(since)
        .map(Time::UtcTime)
        .or_else(|_| GeneralizedTime::from_unix_duration(since).map(Time::GeneralTime))
        .map_err(malformed)
}

/// An extension of a type that knows its own identifier.
pub(crate) fn extension<T: AssociatedOid + Encode>(
    critical: bool,
    value: &T,
) -> Result<Extension, Fault> {
    raw_extension(T::OID, critical, value.to_der().map_err(malformed)?)
}

/// An extension with these bytes as its value.
pub(crate) fn raw_extension(
    extn_id: ObjectIdentifier,
    critical: bool,
    value: Vec<u8>,
) -> Result<Extension, Fault> {
    Ok(Extension { extn_id, critical, extn_value: OctetString::new(value).map_err(malformed)? })
}

/// RFC 7093 §2 method 1.
fn key_identifier(spki: &SubjectPublicKeyInfoOwned) -> Result<OctetString, Fault> {
    let digest = sha256(spki.subject_public_key.raw_bytes());
    OctetString::new(digest.get(..20).unwrap_or_default()).map_err(malformed)
}

fn spki(key: &PublicKey) -> Result<SubjectPublicKeyInfoOwned, Fault> {
    SubjectPublicKeyInfoOwned::from_der(key.spki_der()).map_err(malformed)
}

/// How signatures of a key are named in ASN.1.
pub(crate) fn signature_algorithm(key: &PublicKey) -> Result<AlgorithmIdentifierOwned, Fault> {
    let oid = match key.algorithm() {
        KeyAlgorithm::EcdsaP256 => rfc5912::ECDSA_WITH_SHA_256,
        KeyAlgorithm::EcdsaP384 => rfc5912::ECDSA_WITH_SHA_384,
        KeyAlgorithm::EcdsaP521 => rfc5912::ECDSA_WITH_SHA_512,
        other => {
            return Err(Fault::Key {
                detail: format!("certificates are not signed with {other} keys here"),
                hint: Some("clients accept ECDSA keys as authorities"),
            });
        }
    };
    Ok(AlgorithmIdentifierOwned { oid, parameters: None })
}

/// What is certified, and for how long.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) name: RdnSequence,
    pub(crate) key: &'a PublicKey,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) usage: Usage,
    /// Those that are not the same for all of its kind.
    pub(crate) more: Vec<Extension>,
}

/// What a certificate is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    /// Certifies authorities.
    Root,
    /// Certifies signers of code.
    Issuing,
    /// Signs code.
    Signer,
    /// Signs timestamps.
    Timestamps,
}

impl Usage {
    fn extensions(self) -> Result<Vec<Extension>, Fault> {
        let authority = matches!(self, Self::Root | Self::Issuing);
        let usages = if authority {
            KeyUsages::KeyCertSign | KeyUsages::CRLSign
        } else {
            KeyUsages::DigitalSignature.into()
        };
        let mut extensions = vec![extension(true, &KeyUsage(usages))?];
        if authority {
            let path_len_constraint = Some(u8::from(self == Self::Root));
            extensions.push(extension(true, &BasicConstraints { ca: true, path_len_constraint })?);
        }
        match self {
            Self::Root => {}
            Self::Issuing | Self::Signer => {
                let usage = ExtendedKeyUsage(vec![rfc5912::ID_KP_CODE_SIGNING]);
                extensions.push(extension(false, &usage)?);
            }
            // RFC 3161 §2.3: critical, and alone.
            Self::Timestamps => {
                let usage = ExtendedKeyUsage(vec![rfc5912::ID_KP_TIME_STAMPING]);
                extensions.push(extension(true, &usage)?);
            }
        }
        Ok(extensions)
    }
}

/// What is to be signed.
pub(crate) fn to_be_signed(
    subject: Subject<'_>,
    issuer: &Issuer<'_>,
) -> Result<TbsCertificate, Fault> {
    let spki_of_subject = spki(subject.key)?;
    let authority_key = key_identifier(&spki(issuer.key.public())?)?;
    let mut extensions = subject.usage.extensions()?;
    extensions.push(extension(false, &SubjectKeyIdentifier(key_identifier(&spki_of_subject)?))?);
    extensions.push(extension(
        false,
        &AuthorityKeyIdentifier { key_identifier: Some(authority_key), ..Default::default() },
    )?);
    extensions.extend(subject.more);
    // 159 bits of randomness; the highest bit would need another byte.
    let mut serial = random::<20>()?;
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    Ok(TbsCertificate {
        version: Version::V3,
        serial_number: SerialNumber::new(&serial).map_err(malformed)?,
        signature: signature_algorithm(issuer.key.public())?,
        issuer: issuer.name.clone(),
        validity: Validity { not_before: time(subject.from)?, not_after: time(subject.until)? },
        subject: subject.name,
        subject_public_key_info: spki_of_subject,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(extensions),
    })
}

/// Signs it.
pub(crate) fn sign(
    tbs_certificate: TbsCertificate,
    issuer: &Issuer<'_>,
) -> Result<Certificate, Fault> {
    let message = tbs_certificate.to_der().map_err(malformed)?;
    let signature = BitString::from_bytes(&issuer.key.sign(&message)?).map_err(malformed)?;
    Ok(Certificate {
        signature_algorithm: tbs_certificate.signature.clone(),
        tbs_certificate,
        signature,
    })
}

/// Certifies a key.
pub(crate) fn issue(subject: Subject<'_>, issuer: &Issuer<'_>) -> Result<Certificate, Fault> {
    sign(to_be_signed(subject, issuer)?, issuer)
}

/// PEM, 64 columns, line feeds.
pub(crate) fn certificate_pem(der: &[u8]) -> Result<String, Fault> {
    der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, der).map_err(malformed)
}
