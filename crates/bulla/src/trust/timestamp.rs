//! RFC 3161 timestamps: somebody trusted saw a signature at a time.
//!
//! ```text
//! token ─ SignedData ─► TSTInfo ─ imprint = hash(signature)? ─ signed by the authority? ─ path to a root, then ─► time
//! ```
//!
//! Ours over `cms`, for the Sigstore crates take ECDSA and whole seconds only. A stamp proves
//! *existed by*: it can make a signature older, never younger (rule 8).

use cms::content_info::ContentInfo;
use cms::signed_data::{EncapsulatedContentInfo, SignerIdentifier};
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5911, rfc5912};
use der::asn1::{GeneralizedTime, Int, OctetString, OctetStringRef, SetOfVec};
use der::{
    Any, AnyRef, Decode, Encode as _, Header, Reader, Sequence, SliceReader, Tag, TagNumber,
    Tagged as _,
};
use jiff::{SignedDuration, Timestamp};
use x509_cert::attr::Attribute;
use x509_cert::ext::Extensions;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::ca::{PathProblem, Purpose, TrustedPath, find_path};
use super::certificate::Certificate;
use crate::limits::{CLOCK_SKEW, Limits, TIMESTAMP_BYTES};

/// id-ct-TSTInfo
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
/// id-aa-signingCertificateV2 (RFC 5816)
const SIGNING_CERTIFICATE_V2: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");

/// A timestamp authority that is trusted.
#[derive(Debug, Clone)]
pub(crate) struct TimestampAuthority {
    /// The only certificate that may sign; any below the roots if there is none.
    pub(crate) signer: Option<Certificate>,
    pub(crate) intermediates: Vec<Certificate>,
    pub(crate) roots: Vec<Certificate>,
    /// Stamps of other times do not count.
    pub(crate) valid: (Option<Timestamp>, Option<Timestamp>),
}

/// What a token says, once it is known to be an authority's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) at: Timestamp,
    /// Subject of the authority's certificate.
    pub(crate) authority: String,
    /// The way from that to the root.
    pub(crate) path: TrustedPath,
    /// Whether it is more exact than a second, which not every reader takes.
    pub(crate) has_fraction: bool,
}

/// Why a timestamp does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TimestampProblem {
    /// It cannot be read.
    #[error("a timestamp in the signature file cannot be read: {detail}")]
    Malformed {
        /// Why.
        detail: String,
    },
    /// The authority did not give one.
    #[error("what stands for a timestamp is an authority's refusal (status {status})")]
    NotGranted {
        /// PKIStatus.
        status: u8,
    },
    /// It is for something else.
    #[error("the timestamp is for another signature than the one in the file")]
    OtherSignature,
    /// It was not made by any trusted authority.
    #[error("the timestamp was signed by none of the trusted timestamp authorities{}", if signer.is_empty() { String::new() } else { format!(" (but by {})", crate::text::Printable(signer)) })]
    UnknownAuthority {
        /// Who says it made it.
        signer: String,
    },
    /// The signature on it does not hold.
    #[error(
        "the timestamp's own signature is not valid: it was changed, or {} did not make it",
        crate::text::Printable(signer)
    )]
    BadSignature {
        /// Who should have made it.
        signer: String,
    },
    /// Its authority's certificate is not accepted.
    #[error("the timestamp does not count: {0}")]
    Certificate(PathProblem),
    /// Its authority was not trusted then.
    #[error("the timestamp says {at}, but its authority is trusted only {}", window(valid))]
    OutsideWindow {
        /// The time in it.
        at: Timestamp,
        /// When the authority is trusted.
        valid: (Option<Timestamp>, Option<Timestamp>),
    },
    /// It is of a time that is yet to come.
    #[error("the timestamp says {at}, but it is only {now}")]
    Future {
        /// The time in it.
        at: Timestamp,
        /// The time of the check.
        now: Timestamp,
    },
}

fn window((from, until): &(Option<Timestamp>, Option<Timestamp>)) -> String {
    match (from, until) {
        (Some(from), Some(until)) => format!("from {from} to {until}"),
        (Some(from), None) => format!("from {from}"),
        (None, Some(until)) => format!("until {until}"),
        (None, None) => "at no time".into(),
    }
}

impl TimestampProblem {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "timestamp-malformed",
            Self::NotGranted { .. } => "timestamp-not-granted",
            Self::OtherSignature => "timestamp-for-other-signature",
            Self::UnknownAuthority { .. } => "timestamp-unknown-authority",
            Self::BadSignature { .. } => "timestamp-bad-signature",
            Self::Certificate(_) => "timestamp-certificate",
            Self::OutsideWindow { .. } => "timestamp-outside-window",
            Self::Future { .. } => "timestamp-future",
        }
    }

    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::UnknownAuthority { .. } | Self::Certificate(_) | Self::OutsideWindow { .. } => {
                "name the roots of the timestamp authority that was used with --timestamp-roots, or a trusted root that lists it; 'bulla inspect' shows which it was"
            }
            Self::Future { .. } => "check this machine's clock",
            Self::Malformed { .. }
            | Self::NotGranted { .. }
            | Self::OtherSignature
            | Self::BadSignature { .. } => {
                "get the signature file again from where it was published"
            }
        }
    }
}

/// TSTInfo (RFC 3161 §2.4.2). The time stays raw: fractions of a second are allowed, and `der` has none.
#[derive(Sequence)]
struct TstInfo {
    version: u8,
    #[allow(dead_code, reason = "any policy of a trusted authority will do")]
    policy: ObjectIdentifier,
    message_imprint: MessageImprint,
    #[allow(dead_code, reason = "names the stamp for its authority")]
    serial_number: Int,
    gen_time: Any,
    #[asn1(optional = "true")]
    #[allow(dead_code, reason = "the authority's own estimate")]
    accuracy: Option<Accuracy>,
    #[asn1(default = "no")]
    #[allow(dead_code, reason = "of no use to one stamp")]
    ordering: bool,
    #[asn1(optional = "true")]
    nonce: Option<Int>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    #[allow(dead_code, reason = "the certificate says whose it is")]
    tsa: Option<GeneralName>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    extensions: Option<Extensions>,
}

fn no() -> bool {
    false
}

#[derive(Sequence)]
struct MessageImprint {
    hash_algorithm: AlgorithmIdentifierOwned,
    hashed_message: OctetString,
}

#[derive(Sequence)]
struct Accuracy {
    #[asn1(optional = "true")]
    seconds: Option<Int>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    millis: Option<Int>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    micros: Option<Int>,
}

/// A token that was read and nothing more.
///
/// `SignedData` (RFC 5652 §5.1) is read here and not by `cms`, which takes sets in DER's order and without repetitions
/// only; authorities send certificates as they come, and one of them twice.
struct Token {
    /// The bytes of TSTInfo as they came.
    content: Vec<u8>,
    info: TstInfo,
    certificates: Vec<Vec<u8>>,
    signer: SignerInfo,
}

/// `SignerInfo` (RFC 5652 §5.3).
struct SignerInfo {
    sid: SignerIdentifier,
    digest_alg: AlgorithmIdentifierOwned,
    /// As a SET, which is what is signed: every byte but the tag as it came.
    signed_attributes: Vec<u8>,
    signature_algorithm: AlgorithmIdentifierOwned,
    signature: OctetString,
}

/// Certificates of a token that are read.
const CERTIFICATES: usize = 16;

/// `[number]` around something, or in its place.
fn tagged(number: TagNumber) -> Tag {
    Tag::ContextSpecific { constructed: true, number }
}

/// The next value, whole, if it has this tag.
fn optional<'a>(reader: &mut SliceReader<'a>, tag: Tag) -> der::Result<Option<&'a [u8]>> {
    if reader.peek_byte() != Some(tag.octet()) {
        return Ok(None);
    }
    reader.tlv_bytes().map(Some)
}

/// What is inside of a value.
fn inside(value: &[u8], tag: Tag) -> der::Result<&[u8]> {
    let mut reader = SliceReader::new(value)?;
    let header = Header::decode(&mut reader)?;
    header.tag.assert_eq(tag)?;
    let contents = reader.read_slice(header.length)?;
    reader.finish(contents)
}

/// version, digestAlgorithms, encapContentInfo, certificates [0], crls [1], signerInfos
fn read_signed_data(
    value: &[u8],
) -> der::Result<(EncapsulatedContentInfo, Vec<Vec<u8>>, SignerInfo)> {
    let mut reader = SliceReader::new(inside(value, Tag::Sequence)?)?;
    u8::decode(&mut reader)?;
    inside(reader.tlv_bytes()?, Tag::Set)?;
    let content = EncapsulatedContentInfo::decode(&mut reader)?;
    let mut certificates = Vec::new();
    if let Some(set) = optional(&mut reader, tagged(TagNumber::N0))? {
        let mut set = SliceReader::new(inside(set, tagged(TagNumber::N0))?)?;
        while !set.is_finished() && certificates.len() < CERTIFICATES {
            let certificate = set.tlv_bytes()?.to_vec();
            if !certificates.contains(&certificate) {
                certificates.push(certificate);
            }
        }
    }
    optional(&mut reader, tagged(TagNumber::N1))?;
    // Exactly one.
    let mut signers = SliceReader::new(inside(reader.tlv_bytes()?, Tag::Set)?)?;
    let signer = read_signer_info(signers.tlv_bytes()?)?;
    signers.finish(())?;
    reader.finish((content, certificates, signer))
}

/// version, sid, digestAlgorithm, signedAttrs [0], signatureAlgorithm, signature, unsignedAttrs [1]
fn read_signer_info(value: &[u8]) -> der::Result<SignerInfo> {
    let mut reader = SliceReader::new(inside(value, Tag::Sequence)?)?;
    u8::decode(&mut reader)?;
    let sid = SignerIdentifier::decode(&mut reader)?;
    let digest_alg = AlgorithmIdentifierOwned::decode(&mut reader)?;
    let attributes =
        optional(&mut reader, tagged(TagNumber::N0))?.ok_or_else(|| Tag::Set.value_error())?;
    let mut signed_attributes = attributes.to_vec();
    // RFC 5652 §5.4: the tag of a SET instead of [0].
    signed_attributes.iter_mut().take(1).for_each(|tag| *tag = Tag::Set.octet());
    let signature_algorithm = AlgorithmIdentifierOwned::decode(&mut reader)?;
    let signature = OctetString::decode(&mut reader)?;
    optional(&mut reader, tagged(TagNumber::N1))?;
    reader.finish(SignerInfo { sid, digest_alg, signed_attributes, signature_algorithm, signature })
}

/// Checks a timestamp over a signature against the trusted authorities: the first that made it decides.
///
/// # Errors
/// Why it does not count.
pub(crate) fn verify(
    token: &[u8],
    signature: &[u8],
    authorities: &[TimestampAuthority],
    now: Timestamp,
    limits: &Limits,
) -> Result<Stamp, TimestampProblem> {
    let token = Token::read(token)?;
    // 1. It is about this signature.
    let imprint = &token.info.message_imprint;
    let hash = hash(&imprint.hash_algorithm.oid, signature).ok_or_else(|| {
        malformed(format!("its hash {} is not accepted", imprint.hash_algorithm.oid))
    })?;
    if hash != imprint.hashed_message.as_bytes() {
        return Err(TimestampProblem::OtherSignature);
    }
    // 2. An authority made it.
    let (at, has_fraction) = token.time()?;
    let mut problem = TimestampProblem::UnknownAuthority { signer: token.signer_name() };
    for authority in authorities {
        match token.made_by(authority, at, limits) {
            Ok(_) if is_future(at, now) => return Err(TimestampProblem::Future { at, now }),
            Ok((authority, path)) => return Ok(Stamp { at, authority, path, has_fraction }),
            // That of the authority that comes closest is told.
            Err(TimestampProblem::UnknownAuthority { .. }) => {}
            Err(closer) => problem = closer,
        }
    }
    Err(problem)
}

/// Whether a time is yet to come, by more than clocks differ.
pub(crate) fn is_future(at: Timestamp, now: Timestamp) -> bool {
    at > now.saturating_add(CLOCK_SKEW).unwrap_or(now)
}

/// The time that a token says and who it says made it, for `inspect`: not verified.
pub(crate) fn to_show(token: &[u8]) -> Result<(Timestamp, String), TimestampProblem> {
    let token = Token::read(token)?;
    Ok((token.time()?.0, token.signer_name()))
}

/// Whether a response answers a request: for this signature, with this nonce.
///
/// # Errors
/// In which way it does not.
pub fn check_response(
    response: &[u8],
    signature: &[u8],
    nonce: &[u8],
) -> Result<(), TimestampProblem> {
    let token = Token::read(response)?;
    let imprint = &token.info.message_imprint;
    if hash(&imprint.hash_algorithm.oid, signature).as_deref()
        != Some(imprint.hashed_message.as_bytes())
    {
        return Err(TimestampProblem::OtherSignature);
    }
    let strip = |bytes: &[u8]| {
        let zeros = bytes.iter().take_while(|b| **b == 0).count();
        bytes.get(zeros..).unwrap_or_default().to_vec()
    };
    match &token.info.nonce {
        Some(found) if strip(found.as_bytes()) == strip(nonce) => Ok(()),
        Some(_) => Err(malformed("its nonce is not the one that was sent: an old answer")),
        None => Err(malformed("it does not have the nonce that was sent")),
    }
}

impl Token {
    fn read(bytes: &[u8]) -> Result<Self, TimestampProblem> {
        let bad = |e: der::Error| malformed(e.to_string());
        if bytes.len() > TIMESTAMP_BYTES {
            return Err(malformed(format!(
                "it has {} bytes, at most {TIMESTAMP_BYTES} are read",
                bytes.len()
            )));
        }
        let content = match ContentInfo::from_der(bytes) {
            Ok(content) => content,
            Err(_) => unwrap_response(bytes)?,
        };
        if content.content_type != rfc5911::ID_SIGNED_DATA {
            return Err(malformed("it is not signed data"));
        }
        let data = content.content.to_der().map_err(bad)?;
        let (encapsulated, certificates, signer) = read_signed_data(&data).map_err(bad)?;
        if encapsulated.econtent_type != TST_INFO {
            return Err(malformed("what is signed is not a time"));
        }
        let content = encapsulated
            .econtent
            .as_ref()
            .ok_or_else(|| malformed("the time is missing"))?
            .decode_as::<OctetStringRef<'_>>()
            .map_err(bad)?
            .as_bytes()
            .to_vec();
        let info = TstInfo::from_der(&content).map_err(bad)?;
        if info.version != 1 {
            return Err(malformed(format!("it is of version {}, expected 1", info.version)));
        }
        if info.extensions.iter().flatten().any(|extension| extension.critical) {
            return Err(malformed("it has a critical extension that is not understood"));
        }
        Ok(Self { content, info, certificates, signer })
    }

    /// `YYYYMMDDhhmmss[.f…]Z` (RFC 3161 §2.4.2).
    fn time(&self) -> Result<(Timestamp, bool), TimestampProblem> {
        let bad = || malformed("its time is not YYYYMMDDhhmmss[.fraction]Z");
        let raw = &self.info.gen_time;
        if raw.tag() != Tag::GeneralizedTime {
            return Err(bad());
        }
        let text = std::str::from_utf8(raw.value()).map_err(|_| bad())?;
        let text = text.strip_suffix('Z').ok_or_else(bad)?;
        let (whole, fraction) = match text.split_once('.') {
            None => (text, None),
            Some((whole, fraction)) => (whole, Some(fraction)),
        };
        let whole = AnyRef::new(Tag::GeneralizedTime, format!("{whole}Z").as_bytes())
            .and_then(|any| any.decode_as::<GeneralizedTime>())
            .map_err(|_| bad())?
            .to_unix_duration();
        let nanos = match fraction {
            None => 0,
            // DER: no trailing zeros, not empty.
            Some(f)
                if f.is_empty() || f.ends_with('0') || !f.bytes().all(|b| b.is_ascii_digit()) =>
            {
                return Err(bad());
            }
            Some(f) => format!("{f:0<9}").get(..9).and_then(|f| f.parse().ok()).ok_or_else(bad)?,
        };
        let seconds = i64::try_from(whole.as_secs()).map_err(|_| bad())?;
        let at = Timestamp::from_second(seconds)
            .and_then(|t| t.checked_add(SignedDuration::from_nanos(nanos)))
            .map_err(|_| bad())?;
        Ok((at, fraction.is_some()))
    }

    fn signer_name(&self) -> String {
        let named = self.certificates().into_iter().find(|c| is_named_by(c, &self.signer.sid));
        match (named, &self.signer.sid) {
            (Some(certificate), _) => certificate.label(),
            (None, SignerIdentifier::IssuerAndSerialNumber(id)) => {
                format!("a certificate of {}", id.issuer)
            }
            (None, SignerIdentifier::SubjectKeyIdentifier(_)) => String::new(),
        }
    }

    /// The certificates that came with it, as far as they can be read.
    fn certificates(&self) -> Vec<Certificate> {
        self.certificates.iter().filter_map(|der| Certificate::from_der(der).ok()).collect()
    }

    /// Whether this authority made it, and was trusted when it did; its name, and the way to its root.
    fn made_by(
        &self,
        authority: &TimestampAuthority,
        at: Timestamp,
        limits: &Limits,
    ) -> Result<(String, TrustedPath), TimestampProblem> {
        let info = &self.signer;
        let embedded = self.certificates();
        let unknown = || TimestampProblem::UnknownAuthority { signer: String::new() };
        let named: Vec<Certificate>;
        let candidates = match &authority.signer {
            Some(pinned) => std::slice::from_ref(pinned),
            // Not every token brings its certificate; it may have been named with the roots.
            None => {
                named = embedded.iter().chain(&authority.intermediates).cloned().collect();
                named.as_slice()
            }
        };
        let signer = candidates.iter().find(|c| is_named_by(c, &info.sid)).ok_or_else(unknown)?;
        let name = signer.label();
        let intermediates: Vec<Certificate> =
            authority.intermediates.iter().chain(&embedded).cloned().collect();
        // A root of another authority is no news; a path that reaches ours and breaks a rule is.
        let roots = &authority.roots;
        let path = find_path(Purpose::TimeStamping, signer, &intermediates, roots, at, limits)
            .map_err(|problems| {
                let problem = problems.into_iter().next();
                match problem {
                    None | Some(PathProblem::NoAuthority { .. }) => unknown(),
                    Some(problem) => TimestampProblem::Certificate(problem),
                }
            })?;
        let bad = || TimestampProblem::BadSignature { signer: name.clone() };
        let attributes =
            SetOfVec::<Attribute>::from_der(&info.signed_attributes).map_err(|_| bad())?;
        let one = |oid: ObjectIdentifier| {
            let mut found = attributes.iter().filter(|a| a.oid == oid);
            match (found.next(), found.next()) {
                (Some(attribute), None) if attribute.values.len() == 1 => attribute.values.get(0),
                _ => None,
            }
        };
        // RFC 5652 §5.4: the signed attributes stand for the content.
        let digest = one(rfc5911::ID_MESSAGE_DIGEST)
            .and_then(|v| v.decode_as::<OctetString>().ok())
            .ok_or_else(bad)?;
        let kind = one(rfc5911::ID_CONTENT_TYPE)
            .and_then(|v| v.decode_as::<ObjectIdentifier>().ok())
            .ok_or_else(bad)?;
        let content = hash(&info.digest_alg.oid, &self.content).ok_or_else(bad)?;
        if kind != TST_INFO || content != digest.as_bytes() {
            return Err(bad());
        }
        // RFC 5816: the certificate that was meant. Optional here, binding where it is there.
        if attributes.iter().any(|a| a.oid == SIGNING_CERTIFICATE_V2) {
            let meant = one(SIGNING_CERTIFICATE_V2).and_then(meant_certificate).ok_or_else(bad)?;
            if hash(&meant.0, signer.to_der()).as_deref() != Some(meant.1.as_slice()) {
                return Err(bad());
            }
        }
        let algorithm = algorithm(&info.signature_algorithm, &info.digest_alg.oid);
        if signer.has_signed(&algorithm, &info.signed_attributes, info.signature.as_bytes())
            != Some(true)
        {
            return Err(bad());
        }
        let (from, until) = authority.valid;
        if from.is_some_and(|from| at < from) || until.is_some_and(|until| at > until) {
            return Err(TimestampProblem::OutsideWindow { at, valid: authority.valid });
        }
        Ok((name, path))
    }
}

/// TimeStampResp ::= SEQUENCE { status PKIStatusInfo, timeStampToken OPTIONAL } (RFC 3161 §2.4.2)
fn unwrap_response(bytes: &[u8]) -> Result<ContentInfo, TimestampProblem> {
    #[derive(Sequence)]
    struct Response {
        status: Any,
        #[asn1(optional = "true")]
        token: Option<ContentInfo>,
    }
    let bad = |e: der::Error| malformed(e.to_string());
    let response = Response::from_der(bytes).map_err(bad)?;
    // PKIStatusInfo ::= SEQUENCE { status INTEGER, … }: the text is nobody's concern.
    let status = response.status.to_der().map_err(bad)?;
    let status: u8 = match SliceReader::new(&status)
        .and_then(|mut r| Header::decode(&mut r).and_then(|_| u8::decode(&mut r)))
    {
        Ok(status) => status,
        Err(e) => return Err(bad(e)),
    };
    match (status, response.token) {
        (0 | 1, Some(token)) => Ok(token),
        (0 | 1, None) => Err(malformed("it is granted, and not there")),
        (status, _) => Err(TimestampProblem::NotGranted { status }),
    }
}

/// The first ESSCertIDv2: SEQUENCE { hashAlgorithm DEFAULT sha256, certHash, … } of
/// SigningCertificateV2 ::= SEQUENCE { certs SEQUENCE OF ESSCertIDv2, … }
fn meant_certificate(value: &Any) -> Option<(ObjectIdentifier, Vec<u8>)> {
    let all: Vec<Any> = value.decode_as().ok()?;
    let certificates: Vec<Any> = all.first()?.decode_as().ok()?;
    let first: Vec<Any> = certificates.first()?.decode_as().ok()?;
    let (algorithm, digest) = match first.as_slice() {
        [digest, ..] if digest.tag() == Tag::OctetString => (rfc5912::ID_SHA_256, digest),
        [algorithm, digest, ..] => {
            (algorithm.decode_as::<AlgorithmIdentifierOwned>().ok()?.oid, digest)
        }
        _ => return None,
    };
    Some((algorithm, digest.decode_as::<OctetString>().ok()?.as_bytes().to_vec()))
}

fn is_named_by(certificate: &Certificate, id: &SignerIdentifier) -> bool {
    match id {
        SignerIdentifier::IssuerAndSerialNumber(id) => {
            id.issuer.to_der().is_ok_and(|issuer| issuer == certificate.issuer)
                && id.serial_number.as_bytes() == certificate.serial
        }
        SignerIdentifier::SubjectKeyIdentifier(id) => {
            certificate.key_id.as_deref() == Some(id.0.as_bytes())
        }
    }
}

/// CMS also names the kind of key alone, with the hash elsewhere (RFC 5754 §3).
fn algorithm(
    signature: &AlgorithmIdentifierOwned,
    digest: &ObjectIdentifier,
) -> AlgorithmIdentifierOwned {
    let oid = match (signature.oid, *digest) {
        (rfc5912::RSA_ENCRYPTION, rfc5912::ID_SHA_256) => rfc5912::SHA_256_WITH_RSA_ENCRYPTION,
        (rfc5912::RSA_ENCRYPTION, rfc5912::ID_SHA_384) => rfc5912::SHA_384_WITH_RSA_ENCRYPTION,
        (rfc5912::RSA_ENCRYPTION, rfc5912::ID_SHA_512) => rfc5912::SHA_512_WITH_RSA_ENCRYPTION,
        (rfc5912::ID_EC_PUBLIC_KEY, rfc5912::ID_SHA_256) => rfc5912::ECDSA_WITH_SHA_256,
        (rfc5912::ID_EC_PUBLIC_KEY, rfc5912::ID_SHA_384) => rfc5912::ECDSA_WITH_SHA_384,
        (rfc5912::ID_EC_PUBLIC_KEY, rfc5912::ID_SHA_512) => rfc5912::ECDSA_WITH_SHA_512,
        _ => return signature.clone(),
    };
    AlgorithmIdentifierOwned { oid, parameters: None }
}

fn hash(algorithm: &ObjectIdentifier, bytes: &[u8]) -> Option<Vec<u8>> {
    use aws_lc_rs::digest;
    let algorithm = match *algorithm {
        rfc5912::ID_SHA_256 => &digest::SHA256,
        rfc5912::ID_SHA_384 => &digest::SHA384,
        rfc5912::ID_SHA_512 => &digest::SHA512,
        _ => return None,
    };
    Some(digest::digest(algorithm, bytes).as_ref().to_vec())
}

fn malformed(detail: impl Into<String>) -> TimestampProblem {
    TimestampProblem::Malformed { detail: detail.into() }
}
