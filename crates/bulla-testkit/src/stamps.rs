//! RFC 3161 timestamps with every defect that a test asks for, in DER that is put together by hand.

use bulla::sign::ToSign;
use bulla::{Digest, KeySigner, Signer as _};
use rcgen::ExtendedKeyUsagePurpose;
use time::macros::datetime;

use crate::authority::{Issued, authority, signer};

const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
const TST_INFO: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04];
const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];
const SIGNING_CERTIFICATE_V2: &[u8] =
    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x02, 0x2f];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// A timestamp authority with its root.
#[derive(Debug)]
pub struct StampAuthority {
    /// The root to trust.
    pub root: Issued,
    /// The authority's certificate.
    pub leaf: Issued,
}

/// What a stamp says.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// The signature that it is for.
    pub signature: Vec<u8>,
    /// GeneralizedTime, raw.
    pub time: String,
    /// PKIStatus of the response around it; a bare token if there is none.
    pub status: Option<u8>,
    /// Whether the authority's certificate comes with it.
    pub with_certificate: bool,
    /// The nonce.
    pub nonce: Option<Vec<u8>>,
    /// Changes the time after it was signed.
    pub changed_time: Option<String>,
    /// Names this certificate in the signed attributes.
    pub meant: Option<Vec<u8>>,
    /// The signed attribute for the type of content.
    pub content_type: Vec<u8>,
}

impl Stamp {
    /// Of a signature, at a time.
    #[must_use]
    pub fn of(signature: &[u8], time: &str) -> Self {
        Self {
            signature: signature.to_vec(),
            time: time.to_owned(),
            status: Some(0),
            with_certificate: true,
            nonce: None,
            changed_time: None,
            meant: None,
            content_type: TST_INFO.to_vec(),
        }
    }
}

/// A tag, a length, and what follows.
#[must_use]
pub fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut out = vec![tag];
    match body.len() {
        n if n < 0x80 => out.push(u8::try_from(n).unwrap()),
        n => {
            let bytes = n.to_be_bytes();
            let bytes = &bytes[bytes.iter().take_while(|b| **b == 0).count()..];
            out.push(0x80 | u8::try_from(bytes.len()).unwrap());
            out.extend_from_slice(bytes);
        }
    }
    out.extend_from_slice(&body);
    out
}

fn integer(bytes: &[u8]) -> Vec<u8> {
    let zero: &[u8] = if bytes.first().is_some_and(|b| *b >= 0x80) { &[0] } else { &[] };
    tlv(2, &[zero, bytes])
}

fn algorithm(oid: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&tlv(6, &[oid])])
}

/// Of a certificate: everything that identifies it, its issuer and its serial number.
fn issuer_and_serial(der: &[u8]) -> Vec<u8> {
    // Certificate { TBS { [0] version, serial, algorithm, issuer, … } }
    fn next(rest: &[u8]) -> (&[u8], &[u8], &[u8]) {
        let (head, length) = match rest[1] {
            n if n < 0x80 => (2, usize::from(n)),
            n => {
                let count = usize::from(n & 0x7f);
                let length = rest[2..2 + count].iter().fold(0, |l, b| l << 8 | usize::from(*b));
                (2 + count, length)
            }
        };
        (&rest[..head + length], &rest[head..head + length], &rest[head + length..])
    }
    let (_, certificate, _) = next(der);
    let (_, tbs, _) = next(certificate);
    let (_, _, rest) = next(tbs);
    let (serial, _, rest) = next(rest);
    let (_, _, rest) = next(rest);
    let (issuer, _, _) = next(rest);
    tlv(0x30, &[issuer, serial])
}

impl Default for StampAuthority {
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl StampAuthority {
    /// With a certificate that may be spoilt.
    #[must_use]
    pub fn new(spoil: impl FnOnce(&mut rcgen::CertificateParams)) -> Self {
        Self::below("Time root", spoil)
    }

    /// Below a root of this name, from 2020 to 2040.
    #[must_use]
    pub fn below(root: &str, spoil: impl FnOnce(&mut rcgen::CertificateParams)) -> Self {
        let mut params = authority(root);
        params.not_before = datetime!(2020-01-01 0:00 UTC);
        params.not_after = datetime!(2040-01-01 0:00 UTC);
        let root = Issued::root(params);
        let mut params = signer("Time");
        params.not_before = datetime!(2020-01-01 0:00 UTC);
        params.not_after = datetime!(2040-01-01 0:00 UTC);
        params.subject_alt_names.clear();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::TimeStamping];
        spoil(&mut params);
        let leaf = root.issue(params);
        Self { root, leaf }
    }

    /// Stamps.
    #[must_use]
    pub fn stamp(&self, stamp: &Stamp) -> Vec<u8> {
        let info = |time: &str| {
            let imprint = Digest::sha256(&stamp.signature);
            let imprint = tlv(0x30, &[&algorithm(SHA256), &tlv(4, &[imprint.as_bytes()])]);
            let nonce = stamp.nonce.as_deref().map(integer).unwrap_or_default();
            tlv(
                0x30,
                &[
                    &integer(&[1]),
                    &tlv(6, &[&[0x2a, 0x03, 0x04]]),
                    &imprint,
                    &integer(&[7]),
                    &tlv(0x18, &[time.as_bytes()]),
                    &nonce,
                ],
            )
        };
        let signed_info = info(&stamp.time);
        let attribute =
            |oid: &[u8], value: &[u8]| tlv(0x30, &[&tlv(6, &[oid]), &tlv(0x31, &[value])]);
        let digest = Digest::sha256(&signed_info);
        let mut attributes = vec![
            attribute(CONTENT_TYPE, &tlv(6, &[&stamp.content_type])),
            attribute(MESSAGE_DIGEST, &tlv(4, &[digest.as_bytes()])),
        ];
        if let Some(meant) = &stamp.meant {
            let id = tlv(0x30, &[&tlv(4, &[Digest::sha256(meant).as_bytes()])]);
            let value = tlv(0x30, &[&tlv(0x30, &[&id])]);
            attributes.push(attribute(SIGNING_CERTIFICATE_V2, &value));
        }
        attributes.sort();
        let attributes = attributes.concat();
        let key = KeySigner::new(self.leaf.key_pair());
        let signature = key.sign(ToSign::Message(&tlv(0x31, &[&attributes]))).unwrap().signature;
        let der = self.leaf.certificate.to_der();
        let signer = tlv(
            0x30,
            &[
                &integer(&[1]),
                &issuer_and_serial(der),
                &algorithm(SHA256),
                &tlv(0xa0, &[&attributes]),
                &algorithm(ECDSA_SHA256),
                &tlv(4, &[&signature]),
            ],
        );
        let content = info(stamp.changed_time.as_deref().unwrap_or(&stamp.time));
        let content = tlv(0x30, &[&tlv(6, &[TST_INFO]), &tlv(0xa0, &[&tlv(4, &[&content])])]);
        let certificates = if stamp.with_certificate { tlv(0xa0, &[der]) } else { Vec::new() };
        let data = tlv(
            0x30,
            &[
                &integer(&[3]),
                &tlv(0x31, &[&algorithm(SHA256)]),
                &content,
                &certificates,
                &tlv(0x31, &[&signer]),
            ],
        );
        let token = tlv(0x30, &[&tlv(6, &[SIGNED_DATA]), &tlv(0xa0, &[&data])]);
        match stamp.status {
            None => token,
            Some(status) => {
                let token = if status < 2 { token } else { Vec::new() };
                tlv(0x30, &[&tlv(0x30, &[&integer(&[status])]), &token])
            }
        }
    }
}

/// A signer that adds stamps, whatever they are worth.
pub struct Stamped<S, F> {
    /// Who signs.
    pub signer: S,
    /// Makes the stamps of a signature.
    pub stamps: F,
}

impl<S: bulla::Signer, F: Fn(&[u8]) -> Vec<Vec<u8>>> bulla::Signer for Stamped<S, F> {
    fn sign(&self, what: ToSign<'_>) -> Result<bulla::sign::Signed, bulla::Fault> {
        let mut signed = self.signer.sign(what)?;
        signed.evidence.timestamps = (self.stamps)(&signed.signature);
        Ok(signed)
    }
}
