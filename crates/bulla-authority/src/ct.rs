//! The log of certificates: what goes into it, and the timestamp that comes out (RFC 6962).
//!
//! ```text
//! TBSCertificate ─► entry ─► Ledger::append ─► durable, under a checkpoint ─► signed certificate timestamp
//! ```
//!
//! The log's leaf and what a timestamp signs are the same bytes (RFC 6962 §3.2 and §3.4: a version of 0, a type of
//! 0, then the same members), so one function writes both.

use bulla::Fault;
use der::Encode as _;
use jiff::Timestamp;
use tls_codec::{SerializeBytes as _, TlsByteVecU16, TlsByteVecU24, TlsSerializeBytes, TlsSize};
use x509_cert::certificate::TbsCertificate;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::SignedCertificateTimestampList;
use x509_cert::ext::pkix::sct::{
    DigitallySigned, HashAlgorithm, LogId, SerializedSct, SignatureAlgorithm,
    SignatureAndHashAlgorithm, SignedCertificateTimestamp, Version,
};

use crate::http::Refusal;
use crate::keys::{ServiceKey, sha256};
use crate::logs::{ENTRY_BYTES, Ledger};
use crate::x509::{extension, malformed};

/// `precert_entry`
const PRECERTIFICATE: u16 = 1;

#[derive(TlsSerializeBytes, TlsSize)]
struct Entry {
    version: u8,
    kind: u8,
    timestamp: u64,
    entry_type: u16,
    issuer_key_hash: [u8; 32],
    tbs_certificate: TlsByteVecU24,
    extensions: TlsByteVecU16,
}

/// A certificate that is in the log and not yet signed.
#[derive(Debug)]
pub(crate) struct Published {
    tbs: TbsCertificate,
    timestamp: SignedCertificateTimestampList,
}

impl Published {
    /// The certificate with its timestamp inside.
    pub(crate) fn into_tbs(self) -> Result<TbsCertificate, Fault> {
        let mut tbs = self.tbs;
        let timestamp: Extension = extension(false, &self.timestamp)?;
        tbs.extensions.get_or_insert_default().push(timestamp);
        Ok(tbs)
    }
}

/// Publishes what is about to be certified. Only when the log has it is there a timestamp.
pub(crate) fn publish(
    tbs: TbsCertificate,
    issuer_spki: &[u8],
    log: &dyn Ledger,
    key: &ServiceKey,
    now: Timestamp,
) -> Result<Published, Refusal> {
    let milliseconds = u64::try_from(now.as_millisecond()).map_err(malformed)?;
    let entry = Entry {
        version: 0,
        kind: 0,
        timestamp: milliseconds,
        entry_type: PRECERTIFICATE,
        issuer_key_hash: sha256(issuer_spki),
        tbs_certificate: tbs.to_der().map_err(malformed)?.into(),
        extensions: TlsByteVecU16::default(),
    };
    let bytes = entry.tls_serialize().map_err(malformed)?;
    if bytes.len() > ENTRY_BYTES {
        return Err(Refusal::too_large("the certificate would be too large for the log"));
    }
    log.append(bytes.clone())?;
    let timestamp = sign(&bytes, milliseconds, key)?;
    Ok(Published { tbs, timestamp })
}

fn sign(
    entry: &[u8],
    timestamp: u64,
    key: &ServiceKey,
) -> Result<SignedCertificateTimestampList, Fault> {
    let sct = SignedCertificateTimestamp {
        version: Version::V1,
        log_id: LogId { key_id: key.id() },
        timestamp,
        extensions: TlsByteVecU16::default(),
        signature: DigitallySigned {
            algorithm: SignatureAndHashAlgorithm {
                hash: HashAlgorithm::Sha256,
                signature: SignatureAlgorithm::Ecdsa,
            },
            signature: key.sign(entry)?.into(),
        },
    };
    let serialized = SerializedSct::new(sct).map_err(malformed)?;
    SignedCertificateTimestampList::new(&[serialized]).map_err(malformed)
}
