//! The timestamp authority (RFC 3161).
//!
//! A request that cannot be granted is answered, too: with a status and the reason (§2.4.2). Requests may also come as
//! JSON, as Sigstore's own authority takes them and its JavaScript client sends them; the answer is the same.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bulla::Fault;
use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo, SignerInfos,
};
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5911, rfc5912};
use der::asn1::{Any, BitString, GeneralizedTime, Int, OctetString, SetOfVec, UtcTime};
use der::{Decode as _, Encode as _, EncodeValue, Sequence, Tagged};
use jiff::Timestamp;
use serde::Deserialize;
use x509_cert::Certificate;
use x509_cert::attr::Attribute;
use x509_cert::ext::pkix::name::{GeneralName, GeneralNames};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_tsp::{MessageImprint, TimeStampReq, TspVersion, TstInfo};

use crate::authority::{Active, Authority};
use crate::clock::whole_seconds;
use crate::http::Refusal;
use crate::keys::{random, sha256};
use crate::signatures::Hash;
use crate::x509::{certificate_pem, malformed, signature_algorithm};

/// Largest request: a digest, a nonce and some flags.
pub(crate) const REQUEST_BYTES: usize = 16 << 10;
/// The policy of the timestamps: Sigstore's own authority's.
pub(crate) const POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.2");
/// Longer nonces are not echoed.
const NONCE_BYTES: usize = 64;

const CT_TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
/// RFC 5035
const SIGNING_CERTIFICATE_V2: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");

/// `PKIFailureInfo`: the bits that RFC 3161 §2.4.2 has for timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    BadAlg = 0,
    BadRequest = 2,
    BadDataFormat = 5,
    UnacceptedPolicy = 15,
    UnacceptedExtension = 16,
}

/// `TimeStampResp`, `PKIStatusInfo`. x509-tsp's own of the latter cannot say `badRequest`.
#[derive(Sequence)]
struct TimeStampResp {
    status: PkiStatusInfo,
    #[asn1(optional = "true")]
    token: Option<ContentInfo>,
}

#[derive(Sequence)]
struct PkiStatusInfo {
    status: u8,
    #[asn1(optional = "true")]
    text: Option<Vec<String>>,
    #[asn1(optional = "true")]
    failure: Option<BitString>,
}

/// `SigningCertificateV2` (RFC 5035 §3), with SHA-256, which is its default.
#[derive(Sequence)]
struct SigningCertificateV2 {
    certificates: Vec<EssCertIdV2>,
}

#[derive(Sequence)]
struct EssCertIdV2 {
    hash: OctetString,
    issuer: IssuerSerial,
}

#[derive(Sequence)]
struct IssuerSerial {
    issuer: GeneralNames,
    serial: SerialNumber,
}

/// `POST /api/v1/timestamp`
pub(crate) async fn timestamp(
    State(authority): State<Arc<Authority>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let worker = authority.clone();
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let json = kind.is_some_and(|kind| kind.starts_with("application/json"));
    let answer = tokio::task::spawn_blocking(move || {
        answer(&worker, if json { read_json(&body) } else { read_der(&body) })
    })
    .await;
    match answer {
        Ok(Ok((granted, response))) => {
            if granted {
                authority.metrics().timestamps.inc();
            }
            let kind = [(header::CONTENT_TYPE, "application/timestamp-reply")];
            // Sigstore's clients look at the status before they look at the answer.
            let status = if granted { StatusCode::CREATED } else { StatusCode::BAD_REQUEST };
            (status, kind, response).into_response()
        }
        Ok(Err(refusal)) => refusal.traced("timestamp").into_response(),
        Err(_) => Refusal::unavailable("the authority is stopping").into_response(),
    }
}

type Asked = Result<TimeStampReq, (Failure, &'static str)>;

const UNKNOWN_HASH: &str = "the hash is none of SHA-256, SHA-384 and SHA-512";
const NOT_JSON: (Failure, &str) = (Failure::BadDataFormat, "the request is not one in JSON");

fn read_der(body: &[u8]) -> Asked {
    TimeStampReq::from_der(body)
        .map_err(|_| (Failure::BadDataFormat, "the request is not a TimeStampReq"))
}

/// Sigstore's own form of a request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonRequest {
    artifact_hash: String,
    hash_algorithm: String,
    #[serde(default)]
    certificates: bool,
    #[serde(default)]
    nonce: Option<u64>,
    #[serde(default, rename = "tsaPolicyOID")]
    policy: String,
}

fn read_json(body: &[u8]) -> Asked {
    let request: JsonRequest = serde_json::from_slice(body).map_err(|_| NOT_JSON)?;
    let oid = match request.hash_algorithm.to_ascii_lowercase().as_str() {
        "sha256" => rfc5912::ID_SHA_256,
        "sha384" => rfc5912::ID_SHA_384,
        "sha512" => rfc5912::ID_SHA_512,
        _ => return Err((Failure::BadAlg, UNKNOWN_HASH)),
    };
    let digest = crate::unbase64(&request.artifact_hash).ok_or(NOT_JSON)?;
    let policy = Some(request.policy).filter(|policy| !policy.is_empty());
    let nonce = request.nonce.map(|nonce| {
        // A zero in front, so that it stays positive; no more of them than that.
        let bytes = [&[0][..], &nonce.to_be_bytes()].concat();
        let needless = |pair: &&[u8]| matches!(pair, [0, next] if *next < 0x80);
        let start = bytes.windows(2).take_while(needless).count();
        Int::new(bytes.get(start..).unwrap_or_default())
    });
    Ok(TimeStampReq {
        version: TspVersion::V1,
        message_imprint: MessageImprint {
            hash_algorithm: AlgorithmIdentifierOwned { oid, parameters: None },
            hashed_message: OctetString::new(digest).map_err(|_| NOT_JSON)?,
        },
        req_policy: policy
            .map(|policy| ObjectIdentifier::new(&policy))
            .transpose()
            .map_err(|_| NOT_JSON)?,
        nonce: nonce.transpose().map_err(|_| NOT_JSON)?,
        cert_req: request.certificates,
        extensions: None,
    })
}

fn answer(authority: &Authority, asked: Asked) -> Result<(bool, Vec<u8>), Refusal> {
    let request = match asked.and_then(check) {
        Ok(request) => request,
        Err((failure, why)) => {
            tracing::info!(service = "timestamp", why, "refused");
            return Ok((false, rejection(failure, why)?));
        }
    };
    let now = authority.now();
    authority.issuing(now)?;
    let response = grant(authority.active(now)?, &request, whole_seconds(now))?;
    Ok((true, response))
}

/// Whether a request is one that is granted.
fn check(request: TimeStampReq) -> Asked {
    let imprint = &request.message_imprint;
    let hash = Hash::from_oid(imprint.hash_algorithm.oid).ok_or((Failure::BadAlg, UNKNOWN_HASH))?;
    if imprint.hash_algorithm.parameters.as_ref().is_some_and(|p| !p.is_null()) {
        return Err((Failure::BadAlg, "the hash has parameters"));
    }
    if imprint.hashed_message.as_bytes().len() != hash.length() {
        return Err((Failure::BadDataFormat, "the digest does not have its hash's length"));
    }
    if request.req_policy.is_some_and(|policy| policy != POLICY) {
        return Err((Failure::UnacceptedPolicy, "timestamps under that policy are not made here"));
    }
    if request.extensions.as_ref().is_some_and(|extensions| !extensions.is_empty()) {
        return Err((Failure::UnacceptedExtension, "extensions are not understood here"));
    }
    if request.nonce.as_ref().is_some_and(|nonce| nonce.as_bytes().len() > NONCE_BYTES) {
        return Err((Failure::BadRequest, "the nonce is too long"));
    }
    Ok(request)
}

fn rejection(failure: Failure, why: &str) -> Result<Vec<u8>, Fault> {
    let bit = failure as usize;
    let mut bits = vec![0_u8; bit / 8 + 1];
    if let Some(last) = bits.last_mut() {
        *last = 0x80 >> (bit % 8);
    }
    // Named bits end with the last one that is set (X.690 §11.2.2).
    let unused = u8::try_from(7 - bit % 8).unwrap_or(0);
    let failure = BitString::new(unused, bits).map_err(malformed)?;
    let status =
        PkiStatusInfo { status: 2, text: Some(vec![why.to_owned()]), failure: Some(failure) };
    TimeStampResp { status, token: None }.to_der().map_err(malformed)
}

fn grant(active: &Active, request: &TimeStampReq, now: Timestamp) -> Result<Vec<u8>, Fault> {
    let seconds = u64::try_from(now.as_second()).map_err(malformed)?;
    let since = std::time::Duration::from_secs(seconds);
    let mut serial = random::<20>()?;
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    let info = TstInfo {
        version: TspVersion::V1,
        policy: POLICY,
        message_imprint: request.message_imprint.clone(),
        serial_number: Int::new(&serial).map_err(malformed)?,
        gen_time: GeneralizedTime::from_unix_duration(since).map_err(malformed)?,
        accuracy: None,
        ordering: false,
        nonce: request.nonce.clone(),
        tsa: None,
        extensions: None,
    };
    let info = info.to_der().map_err(malformed)?;
    let certificate = Certificate::from_der(&active.record.timestamp.0).map_err(malformed)?;
    let token = sign(active, &info, &certificate, since, request.cert_req)?;
    let status = PkiStatusInfo { status: 0, text: None, failure: None };
    TimeStampResp { status, token: Some(token) }.to_der().map_err(malformed)
}

fn attribute<T: EncodeValue + Tagged>(
    oid: ObjectIdentifier,
    value: &T,
) -> Result<Attribute, Fault> {
    let value = Any::encode_from(value).map_err(malformed)?;
    Ok(Attribute { oid, values: SetOfVec::try_from(vec![value]).map_err(malformed)? })
}

/// RFC 5652 §5, as RFC 3161 §2.4.2 wants it.
fn sign(
    active: &Active,
    info: &[u8],
    certificate: &Certificate,
    since: std::time::Duration,
    with_certificate: bool,
) -> Result<ContentInfo, Fault> {
    let sha_256 = AlgorithmIdentifierOwned { oid: rfc5912::ID_SHA_256, parameters: None };
    let tbs = &certificate.tbs_certificate;
    let signing_certificate = SigningCertificateV2 {
        certificates: vec![EssCertIdV2 {
            hash: OctetString::new(sha256(&active.record.timestamp.0)).map_err(malformed)?,
            issuer: IssuerSerial {
                issuer: vec![GeneralName::DirectoryName(tbs.issuer.clone())],
                serial: tbs.serial_number.clone(),
            },
        }],
    };
    let attributes = SetOfVec::try_from(vec![
        attribute(rfc5911::ID_CONTENT_TYPE, &CT_TST_INFO)?,
        attribute(rfc5911::ID_MESSAGE_DIGEST, &OctetString::new(sha256(info)).map_err(malformed)?)?,
        attribute(
            rfc5911::ID_SIGNING_TIME,
            &UtcTime::from_unix_duration(since).map_err(malformed)?,
        )?,
        attribute(SIGNING_CERTIFICATE_V2, &signing_certificate)?,
    ])
    .map_err(malformed)?;
    // §5.4: signed as a SET, whatever tag it has in the message.
    let signature = active.keys.timestamp.sign(&attributes.to_der().map_err(malformed)?)?;
    let signer = SignerInfo {
        version: CmsVersion::V1,
        sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
            issuer: tbs.issuer.clone(),
            serial_number: tbs.serial_number.clone(),
        }),
        digest_alg: sha_256.clone(),
        signed_attrs: Some(attributes),
        signature_algorithm: signature_algorithm(active.keys.timestamp.public())?,
        signature: OctetString::new(signature).map_err(malformed)?,
        unsigned_attrs: None,
    };
    let certificates = if with_certificate {
        let own = CertificateChoices::Certificate(certificate.clone());
        Some(CertificateSet::try_from(vec![own]).map_err(malformed)?)
    } else {
        None
    };
    let content = OctetString::new(info).map_err(malformed)?;
    let signed = SignedData {
        version: CmsVersion::V3,
        digest_algorithms: SetOfVec::try_from(vec![sha_256]).map_err(malformed)?,
        encap_content_info: EncapsulatedContentInfo {
            econtent_type: CT_TST_INFO,
            econtent: Some(Any::encode_from(&content).map_err(malformed)?),
        },
        certificates,
        crls: None,
        signer_infos: SignerInfos::try_from(vec![signer]).map_err(malformed)?,
    };
    Ok(ContentInfo {
        content_type: rfc5911::ID_SIGNED_DATA,
        content: Any::encode_from(&signed).map_err(malformed)?,
    })
}

/// `GET /api/v1/timestamp/certchain`
pub(crate) async fn chain(State(authority): State<Arc<Authority>>) -> Response {
    let chain = || -> Result<String, Refusal> {
        let active = authority.active(authority.now())?;
        let [own, root] = [&active.record.timestamp, &active.record.timestamp_root];
        Ok([certificate_pem(&own.0)?, certificate_pem(&root.0)?].concat())
    };
    match chain() {
        Ok(pem) => {
            ([(header::CONTENT_TYPE, "application/pem-certificate-chain")], pem).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}
