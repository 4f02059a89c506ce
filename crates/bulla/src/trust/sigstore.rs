//! The adapter to the Sigstore crates: a trusted root, and what it vouches for. Nothing else in Bulla uses them.
//!
//! ```text
//! certificate ─ path to the root's authorities, at every trusted time
//!             ─ its entry in the certificate log (SCT)
//! signature   ─ timestamps (ours: timestamp.rs) and the logs' own times
//!             ─ inclusion proof, checkpoint; and that the entry is about this very signature
//! ```
//!
//! All of it works offline. The crates read the clock themselves, to refuse a log's time in the future: the one exception
//! to "time is an argument"; it can only refuse more.

use std::fmt;
use std::io::Read;
use std::sync::Arc;

use jiff::Timestamp;
use sigstore_verify::trust_root::{SigstoreInstance, TrustedRoot};
use sigstore_verify::types::bundle::TransparencyLogEntry;
use sigstore_verify::types::{Bundle, DerPublicKey, KindVersion, LogKeyId, Sha256Hash};
use sigstore_verify::{
    CertificateError, Error, Policy, PublicKeyVerificationPolicy, TransparencyLogError,
    VerificationPolicy, VerificationResult, Verifier,
};

use super::ca::{Purpose, TrustedPath, find_path};
use super::certificate::{Certificate, SignerName};
use super::identity::{Claims, IdentityRule, Mismatch};
use super::public_key::PublicKey;
use super::timestamp::{self, TimestampAuthority, TimestampProblem};
use crate::bundle::{Evidence, KeyHint, MEDIA_TYPE, Material, ToWrite, encode_as};
use crate::digest::{Digest, HashAlgorithm};
use crate::error::Fault;
use crate::json;
use crate::limits::Limits;
use crate::text::{Printable, shorten};

/// Whose certificates, logs and timestamps are trusted: a `trusted_root.json`.
#[derive(Clone)]
pub struct SigstoreRoot(Arc<Inner>);

struct Inner {
    name: String,
    root: TrustedRoot,
    verifier: Verifier,
    timestamp_authorities: Vec<TimestampAuthority>,
    /// Certificates of each authority, from the issuing one to the root, and when it is trusted.
    certificate_authorities: Vec<(Vec<Certificate>, Window)>,
}

type Window = (Option<Timestamp>, Option<Timestamp>);

impl fmt::Debug for SigstoreRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigstoreRoot({})", self.0.name)
    }
}

/// A root that comes with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Embedded {
    /// Sigstore's public-good instance, sigstore.dev.
    PublicGood,
    /// Sigstore's staging instance, sigstage.dev.
    Staging,
    /// GitHub's own instance, for its artifact attestations.
    GitHub,
}

impl SigstoreRoot {
    /// A root as it was when this version was made; a fresh one is better (`bulla trust update`).
    ///
    /// # Errors
    /// [`Fault::Bug`] when it cannot be read.
    pub fn embedded(which: Embedded) -> Result<Self, Fault> {
        let (instance, name) = match which {
            Embedded::PublicGood => (SigstoreInstance::PublicGood, "Sigstore's public-good root"),
            Embedded::Staging => (SigstoreInstance::Staging, "Sigstore's staging root"),
            Embedded::GitHub => (SigstoreInstance::GitHub, "GitHub's root"),
        };
        let text = instance.embedded_trusted_root_json();
        Self::from_json(name, text.as_bytes(), &Limits::default())
    }

    /// Reads a `trusted_root.json` (`application/vnd.dev.sigstore.trustedroot+json`). `name` is for messages.
    ///
    /// # Errors
    /// [`Fault::TrustedRoot`] that says what is wrong with it.
    pub fn from_json(name: &str, bytes: &[u8], limits: &Limits) -> Result<Self, Fault> {
        let bad = |detail: String| Fault::TrustedRoot {
            name: name.to_owned(),
            detail: shorten(&detail),
            hint: "give the trusted_root.json that the instance publishes",
        };
        if bytes.len() as u64 > limits.trusted_root_bytes {
            return Err(bad(format!("it is larger than {} bytes", limits.trusted_root_bytes)));
        }
        // Once for repeated keys, once into its type.
        json::read::<serde::de::IgnoredAny>(bytes).map_err(&bad)?;
        let text = std::str::from_utf8(bytes).map_err(|e| bad(e.to_string()))?;
        let root = TrustedRoot::from_json(text).map_err(|e| bad(e.to_string()))?;
        if !root.media_type.starts_with("application/vnd.dev.sigstore.trustedroot") {
            return Err(bad(format!("its media type is {:?}", shorten(&root.media_type))));
        }
        let verifier = Verifier::new(&root).map_err(|e| bad(e.to_string()))?;
        let read = |der: &[u8]| Certificate::from_der(der).map_err(|e| bad(e.to_string()));
        let mut timestamp_authorities = Vec::new();
        for authority in &root.timestamp_authorities {
            let chain = authority.cert_chain.certificates.iter();
            let chain: Vec<Certificate> =
                chain.map(|c| read(c.raw_bytes.as_bytes())).collect::<Result<_, _>>()?;
            let Some((root, below)) = chain.split_last() else { continue };
            timestamp_authorities.push(TimestampAuthority {
                signer: Some(below.first().unwrap_or(root).clone()),
                intermediates: below.iter().skip(1).cloned().collect(),
                roots: vec![root.clone()],
                valid: (
                    authority.valid_for.map(|range| range.start),
                    authority.valid_for.and_then(|range| range.end),
                ),
            });
        }
        let mut certificate_authorities = Vec::new();
        for authority in &root.certificate_authorities {
            let chain = authority.cert_chain.certificates.iter();
            let chain: Vec<Certificate> =
                chain.map(|c| read(c.raw_bytes.as_bytes())).collect::<Result<_, _>>()?;
            let valid = authority.valid_for;
            certificate_authorities
                .push((chain, (valid.map(|range| range.start), valid.and_then(|range| range.end))));
        }
        let name = name.to_owned();
        Ok(Self(Arc::new(Inner {
            name,
            root,
            verifier,
            timestamp_authorities,
            certificate_authorities,
        })))
    }

    /// The URL of a log by its ID, if a root that comes with Bulla lists it.
    pub(crate) fn known_log(id: &str) -> Option<String> {
        [Embedded::PublicGood, Embedded::Staging, Embedded::GitHub].into_iter().find_map(|which| {
            let root = Self::embedded(which).ok()?;
            let log = root.0.root.tlogs.iter().find(|log| log.log_id.key_id.to_string() == id)?;
            Some(log.base_url.clone())
        })
    }

    /// Its name, for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn timestamp_authorities(&self) -> &[TimestampAuthority] {
        &self.0.timestamp_authorities
    }

    /// What it lists, for people.
    #[must_use]
    pub fn contents(&self) -> Vec<RootEntry> {
        let window = |range: Option<sigstore_verify::types::TimeRange>| {
            (range.map(|r| r.start), range.and_then(|r| r.end))
        };
        let root = &self.0.root;
        let authority = |kind, uri: &str, leaf: Option<&[u8]>, range| {
            let leaf = leaf.and_then(|der| Certificate::from_der(der).ok());
            let (valid_from, valid_until) = window(range);
            RootEntry {
                kind,
                url: uri.to_owned(),
                id: leaf.map_or_else(String::new, |c| c.fingerprint().to_string()),
                valid_from,
                valid_until,
            }
        };
        let log = |kind, url: &str, id: &LogKeyId, range| {
            let (valid_from, valid_until) = window(range);
            RootEntry { kind, url: url.to_owned(), id: id.to_string(), valid_from, valid_until }
        };
        let mut all = Vec::new();
        for ca in &root.certificate_authorities {
            let leaf = ca.cert_chain.certificates.first().map(|c| c.raw_bytes.as_bytes());
            all.push(authority("certificate authority", &ca.uri, leaf, ca.valid_for));
        }
        for ct in &root.ctlogs {
            let key = &ct.public_key;
            all.push(log("certificate log", &ct.base_url, &ct.log_id.key_id, key.valid_for));
        }
        for entry in &root.tlogs {
            let key = &entry.public_key;
            all.push(log("signature log", &entry.base_url, &entry.log_id.key_id, key.valid_for));
        }
        for tsa in &root.timestamp_authorities {
            let uri = tsa.uri.as_deref().unwrap_or_default();
            let leaf = tsa.cert_chain.certificates.first().map(|c| c.raw_bytes.as_bytes());
            all.push(authority("timestamp authority", uri, leaf, tsa.valid_for));
        }
        all
    }
}

/// An authority or a log that a trusted root lists.
#[derive(Debug, Clone, serde::Serialize)]
pub struct RootEntry {
    /// What it is.
    pub kind: &'static str,
    /// Where it is, as far as it says.
    pub url: String,
    /// SHA-256 of its certificate, or its log ID in base64.
    pub id: String,
    /// From when it is trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Timestamp>,
    /// Until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
}

/// A time by which a signature existed, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedTime {
    /// The time.
    pub at: Timestamp,
    /// Who says so.
    pub source: TimeSource,
    /// SHA-256 of the DER of their certificates, from their own to the root.
    pub certificates: Vec<Digest>,
    /// Fingerprints of the keys in those, or of the log's.
    pub keys: Vec<Digest>,
}

impl TrustedTime {
    pub(super) fn of_stamp(stamp: timestamp::Stamp) -> Self {
        Self {
            at: stamp.at,
            source: TimeSource::Timestamp(stamp.authority),
            certificates: stamp.path.certificates,
            keys: stamp.path.keys,
        }
    }
}

/// Who says when.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeSource {
    /// A timestamp authority (RFC 3161): subject of its certificate.
    Timestamp(String),
    /// A transparency log (Rekor v1), by its URL.
    Log(String),
}

/// A place in a transparency log where the signature stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// URL of the log, as the trusted root has it.
    pub log: String,
    /// Its place there.
    pub index: u64,
}

/// Why a Sigstore signature is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SigstoreProblem {
    /// Signed by somebody else.
    #[error("signed by {} (identity provider {}), expected {}", Printable(identity), Printable(provider), expected.join(" or "))]
    WrongIdentity {
        /// Identity in the certificate.
        identity: String,
        /// Its provider.
        provider: String,
        /// The accepted ones.
        expected: Vec<String>,
    },
    /// The right identity, in another run than accepted.
    #[error("the certificate claims {name} is {}, expected {}", found.as_ref().map_or_else(|| "nothing".into(), |f| format!("{:?}", Printable(f).to_string())), Printable(expected))]
    WrongClaim {
        /// Of the claim.
        name: &'static str,
        /// What it says.
        found: Option<String>,
        /// What is accepted.
        expected: String,
    },
    /// The certificate does not hold under this root.
    #[error("the certificate is not accepted under {root}: {}", Printable(detail))]
    Certificate {
        /// Which root.
        root: String,
        /// Why.
        detail: String,
    },
    /// The root's authority was not trusted when the signature was made.
    #[error("no certificate authority in {root} is trusted at {at}, when the signature was made")]
    AuthorityNotValid {
        /// Which root.
        root: String,
        /// When.
        at: Timestamp,
    },
    /// The certificate was not made public.
    #[error("the certificate has no valid proof that it was logged (SCT): {}", Printable(detail))]
    CertificateNotLogged {
        /// Why.
        detail: String,
    },
    /// A log that the root does not list.
    #[error("the signature is recorded in a log that {root} does not list")]
    UnknownLog {
        /// Which root.
        root: String,
    },
    /// The log's proof does not hold.
    #[error("the transparency log's proof is not valid: {}", Printable(detail))]
    LogProof {
        /// Why.
        detail: String,
    },
    /// The log's entry is about something else.
    #[error("the log entry is for another signature, key or file: {}", Printable(detail))]
    OtherLogEntry {
        /// In which way.
        detail: String,
    },
    /// Nobody trusted says when it was signed.
    #[error("there is no trusted time for the signature: {}", Printable(detail))]
    NoTrustedTime {
        /// Why.
        detail: String,
    },
    /// A timestamp that does not count.
    #[error(transparent)]
    Timestamp(#[from] TimestampProblem),
    /// Something that cannot be read.
    #[error("the Sigstore evidence cannot be read: {}", Printable(detail))]
    Malformed {
        /// Why.
        detail: String,
    },
}

impl SigstoreProblem {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::WrongIdentity { .. } => "wrong-identity",
            Self::WrongClaim { .. } => "wrong-claim",
            Self::Certificate { .. } => "sigstore-certificate",
            Self::AuthorityNotValid { .. } => "sigstore-authority-not-valid",
            Self::CertificateNotLogged { .. } => "sigstore-certificate-not-logged",
            Self::UnknownLog { .. } => "sigstore-unknown-log",
            Self::LogProof { .. } => "sigstore-log-proof",
            Self::OtherLogEntry { .. } => "sigstore-other-log-entry",
            Self::NoTrustedTime { .. } => "no-trusted-time",
            Self::Timestamp(problem) => problem.code(),
            Self::Malformed { .. } => "sigstore-malformed",
        }
    }

    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::WrongIdentity { .. } | Self::WrongClaim { .. } => {
                "'bulla inspect' shows who signed; check with the publisher before you accept another identity, and name each that you accept with --identity and --identity-provider"
            }
            Self::Certificate { .. }
            | Self::AuthorityNotValid { .. }
            | Self::UnknownLog { .. }
            | Self::CertificateNotLogged { .. } => {
                "signed with another Sigstore instance? name its root with --trusted-root; for the public one run 'bulla trust update', its keys may be newer than this program"
            }
            Self::NoTrustedTime { .. } => {
                "ask for a signature with a timestamp; if it has one, name a root that lists its authority"
            }
            Self::Timestamp(problem) => problem.hint(),
            Self::LogProof { .. } | Self::OtherLogEntry { .. } | Self::Malformed { .. } => {
                "do not use this: get it and its signature again from where they were published"
            }
        }
    }
}

/// What is signed.
pub(crate) enum Artifact {
    /// SHA-256 of a file, or of the subject of a statement.
    Sha256(Digest),
    /// A file, read to its end.
    File(Box<dyn Read>),
}

/// A bundle's parts, as they were received and will be used.
pub(crate) struct Unverified<'a> {
    pub(crate) media_type: &'static str,
    pub(crate) material: &'a Material,
    pub(crate) evidence: &'a Evidence,
    pub(crate) content: ToWrite<'a>,
}

impl Unverified<'_> {
    pub(crate) fn signature(&self) -> &[u8] {
        match self.content {
            ToWrite::Envelope { signature, .. } | ToWrite::Message { signature, .. } => signature,
        }
    }
}

/// What a root vouches for.
#[derive(Debug)]
pub(crate) struct Vouched {
    pub(crate) times: Vec<TrustedTime>,
    pub(crate) records: Vec<LogRecord>,
}

/// A certificate's identity, and the provider that vouched for it.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) name: SignerName,
    pub(crate) provider: String,
    pub(crate) claims: Claims,
}

impl Identity {
    /// The one name and the provider in a Sigstore certificate.
    pub(crate) fn of(certificate: &Certificate) -> Result<Self, SigstoreProblem> {
        let malformed = |detail: &str| SigstoreProblem::Malformed { detail: detail.into() };
        let [name] = certificate.names() else {
            return Err(malformed("the certificate does not name exactly one identity"));
        };
        let provider = certificate
            .identity_provider()
            .ok_or_else(|| malformed("the certificate does not name an identity provider"))?;
        let claims = certificate.claims().clone();
        Ok(Self { name: name.clone(), provider: provider.to_owned(), claims })
    }

    /// Whether any rule accepts it.
    pub(crate) fn check(&self, rules: &[IdentityRule]) -> Result<(), Vec<SigstoreProblem>> {
        let results = rules.iter().map(|r| r.mismatches(&self.name, &self.provider, &self.claims));
        // That of the rule that comes closest is told.
        let Some(best) = results.min_by_key(|m| {
            let other = m.iter().filter(|m| !matches!(m, Mismatch::Claim { .. })).count();
            (other, m.len())
        }) else {
            return Err(Vec::new());
        };
        let wrong = |m: &Mismatch| matches!(m, Mismatch::Identity | Mismatch::Provider);
        let mut problems = Vec::new();
        if best.iter().any(wrong) {
            problems.push(SigstoreProblem::WrongIdentity {
                identity: self.name.as_str().to_owned(),
                provider: self.provider.clone(),
                expected: rules.iter().map(ToString::to_string).collect(),
            });
        }
        problems.extend(best.into_iter().filter_map(|m| match m {
            Mismatch::Claim { name, found, expected } => {
                Some(SigstoreProblem::WrongClaim { name, found, expected })
            }
            _ => None,
        }));
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

impl SigstoreRoot {
    /// Checks everything about a signature by a short-lived certificate but who made it.
    pub(crate) fn verify_certified(
        &self,
        bundle: &Unverified<'_>,
        artifact: Artifact,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<Vouched, SigstoreProblem> {
        if bundle.evidence.log_entries.is_empty() {
            return Err(SigstoreProblem::LogProof {
                detail: "there is no log entry; a bundle has one, a detached signature has not"
                    .into(),
            });
        }
        // Who is accepted is decided by our own rules.
        let policy = VerificationPolicy::any_identity();
        self.verify(bundle, bundle.material, artifact, &policy, now, limits)
    }

    /// Checks the log entries of a signature by a key that is trusted already; its timestamps are the caller's
    /// to check.
    pub(crate) fn verify_logged(
        &self,
        bundle: &Unverified<'_>,
        key: &PublicKey,
        artifact: Artifact,
        now: Timestamp,
    ) -> Result<Vouched, SigstoreProblem> {
        let evidence =
            Evidence { log_entries: bundle.evidence.log_entries.clone(), timestamps: Vec::new() };
        let bundle = Unverified { evidence: &evidence, content: bundle.content, ..*bundle };
        let policy = PublicKeyVerificationPolicy::new(DerPublicKey::new(key.spki_der().to_vec()));
        let material = Material::PublicKey(KeyHint::Hint(key.oms_hint()));
        self.verify(&bundle, &material, artifact, &policy, now, &Limits::default())
    }

    fn verify(
        &self,
        bundle: &Unverified<'_>,
        material: &Material,
        artifact: Artifact,
        policy: &dyn Policy,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<Vouched, SigstoreProblem> {
        // 1. Timestamps: ours, for the crates take fewer kinds. What they cannot read they are not given,
        //    and then need another time.
        let times = self.times(bundle, now, limits)?;
        let readable = bundle.evidence.timestamps.iter().zip(&times);
        let readable = readable.filter(|(_, (has_fraction, _))| !has_fraction);
        let evidence = Evidence {
            log_entries: bundle.evidence.log_entries.clone(),
            timestamps: readable.map(|(token, _)| token.clone()).collect(),
        };
        // A time that the crates do not see they do not check the certificate at, either.
        for (_, time) in times.iter().filter(|(has_fraction, _)| *has_fraction) {
            if !matches!(material, Material::PublicKey(_)) {
                self.path_at(material, time.at, limits)?;
            }
        }
        // 2. The rest, over exactly the bytes that will be used.
        let media_type = match material {
            Material::PublicKey(_) => MEDIA_TYPE,
            _ => bundle.media_type,
        };
        let malformed = |detail: String| SigstoreProblem::Malformed { detail };
        let text = String::from_utf8(encode_as(media_type, material, &evidence, bundle.content))
            .map_err(|e| malformed(e.to_string()))?;
        let theirs = Bundle::from_json(&text).map_err(|e| malformed(shorten(&e.to_string())))?;
        drop(text);
        let verifier = &self.0.verifier;
        let result = match artifact {
            Artifact::Sha256(digest) => {
                let digest =
                    Sha256Hash::from_hex(&digest.to_hex()).map_err(|e| malformed(e.to_string()))?;
                verifier.verify(digest, &theirs, policy)
            }
            Artifact::File(file) => verifier.verify_reader(file, &theirs, policy),
        };
        let result = result.map_err(|e| self.problem(&e))?;
        // 3. What they say they did.
        if !result.tlog_verified()
            || (result.certificate().is_some()
                && !(result.certificate_verified() && result.sct_verified()))
        {
            return Err(SigstoreProblem::LogProof { detail: "it was not checked".into() });
        }
        let entries = &theirs.verification_material.tlog_entries;
        let records = entries.iter().map(|entry| self.record(entry)).collect::<Result<_, _>>()?;
        let mut times: Vec<TrustedTime> = times.into_iter().map(|(_, time)| time).collect();
        times.extend(self.log_times(&result, entries));
        if let Some(late) = times.iter().find(|time| timestamp::is_future(time.at, now)) {
            return Err(TimestampProblem::Future { at: late.at, now }.into());
        }
        Ok(Vouched { times, records })
    }

    /// Where an entry stands, as far as a log has signed it. The crates are content with one good entry, and with
    /// a checkpoint of any log; `logId` and the index of the first version are in none of what they check without a promise.
    fn record(&self, entry: &TransparencyLogEntry) -> Result<LogRecord, SigstoreProblem> {
        let bad = |detail: &str| SigstoreProblem::LogProof { detail: detail.into() };
        if entry.inclusion_proof.is_none() && entry.inclusion_promise.is_none() {
            return Err(bad("an entry has neither a proof nor a promise"));
        }
        if let Some(proof) = &entry.inclusion_proof {
            let id = Sha256Hash::try_from(entry.log_id.key_id.as_bytes());
            let keys =
                self.0.root.rekor_keys().map_err(|_| bad("the root's logs cannot be read"))?;
            let key = id.ok().and_then(|id| keys.key(&id));
            let checkpoint = proof.checkpoint.checkpoint();
            let signed = key.zip(checkpoint).is_some_and(|(key, checkpoint)| {
                let message = checkpoint.signed_data();
                checkpoint.signatures().iter().any(|s| key.verify(message, &s.signature).is_ok())
            });
            if !signed {
                return Err(bad("the checkpoint is not signed by the log that the entry names"));
            }
        }
        let is_newer = entry.kind_version == KindVersion::HashedRekordV002;
        let index = match (&entry.inclusion_proof, &entry.inclusion_promise) {
            // Signed with the promise, or part of the proof.
            (_, Some(_)) => entry.log_index.get(),
            (Some(proof), None) if !is_newer => proof.log_index.get(),
            _ => entry.log_index.get(),
        };
        Ok(LogRecord { log: self.log_url(&entry.log_id.key_id), index })
    }

    /// The path from a signer's certificate to an authority that is trusted at a time.
    pub(crate) fn path_at(
        &self,
        material: &Material,
        at: Timestamp,
        limits: &Limits,
    ) -> Result<TrustedPath, SigstoreProblem> {
        let chain = match material {
            Material::Sigstore { certificate } => std::slice::from_ref(certificate),
            Material::CertificateChain(chain) => chain.as_slice(),
            Material::PublicKey(_) => &[],
        };
        let root = self.0.name.clone();
        let refuse = |detail: String| SigstoreProblem::Certificate { root: root.clone(), detail };
        let chain = chain.iter().map(|der| Certificate::from_der(der));
        let chain: Vec<Certificate> =
            chain.collect::<Result<_, _>>().map_err(|e| refuse(e.to_string()))?;
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Err(refuse("there is none".into()));
        };
        let inside = |(from, until): &Window| {
            from.is_none_or(|from| at >= from) && until.is_none_or(|until| at <= until)
        };
        let trusted = self.0.certificate_authorities.iter().filter(|(_, window)| inside(window));
        let trusted: Vec<Certificate> =
            trusted.flat_map(|(chain, _)| chain.iter().cloned()).collect();
        if trusted.is_empty() {
            return Err(SigstoreProblem::AuthorityNotValid { root, at });
        }
        match find_path(Purpose::CodeSigning, leaf, intermediates, &trusted, at, limits) {
            Ok(mut path) => {
                // Whoever issued it may be named as an authority himself: those above him are part of the way, too.
                let above = self.0.certificate_authorities.iter().map(|(chain, _)| chain);
                let above =
                    above.filter(|chain| chain.iter().any(|c| c.fingerprint() == path.root));
                for certificate in above.flatten() {
                    let fingerprint = certificate.fingerprint();
                    if !path.certificates.contains(&fingerprint) {
                        path.certificates.push(fingerprint);
                        path.keys.extend(certificate.public_key().map(|key| key.fingerprint()));
                    }
                }
                Ok(path)
            }
            Err(problems) => {
                let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
                Err(refuse(problems.join("; ")))
            }
        }
    }

    /// The times of all timestamps, with whether they have a fraction of a second; one that does not count
    /// refuses the signature.
    fn times(
        &self,
        bundle: &Unverified<'_>,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<Vec<(bool, TrustedTime)>, SigstoreProblem> {
        let authorities = &self.0.timestamp_authorities;
        let tokens = bundle.evidence.timestamps.iter();
        tokens
            .map(|token| {
                let stamp = timestamp::verify(token, bundle.signature(), authorities, now, limits)?;
                Ok((stamp.has_fraction, TrustedTime::of_stamp(stamp)))
            })
            .collect()
    }

    /// The time that a log of the first version signed.
    fn log_times(
        &self,
        result: &VerificationResult,
        entries: &[TransparencyLogEntry],
    ) -> Option<TrustedTime> {
        let at = result.integrated_time()?;
        let promised = entries.iter().filter(|entry| entry.inclusion_promise.is_some());
        let entry = promised.clone().find(|entry| entry.integrated_time == Some(at))?;
        let id = &entry.log_id.key_id;
        // A log's ID is the fingerprint of its key (RFC 6962 §3.2).
        let key = Sha256Hash::try_from(id.as_bytes()).ok();
        let key = key.map(|key| Digest::from_bytes(HashAlgorithm::Sha256, key.as_bytes()));
        Some(TrustedTime {
            at,
            source: TimeSource::Log(self.log_url(id)),
            certificates: Vec::new(),
            keys: key.into_iter().collect(),
        })
    }

    fn log_url(&self, id: &LogKeyId) -> String {
        let known = self.0.root.tlogs.iter().find(|log| log.log_id.key_id == *id);
        known.map_or_else(|| id.to_string(), |log| log.base_url.clone())
    }

    fn problem(&self, error: &Error) -> SigstoreProblem {
        let root = self.0.name.clone();
        let detail = shorten(&error.to_string());
        match error {
            Error::Certificate(CertificateError::NoValidAuthority { time }) => {
                SigstoreProblem::AuthorityNotValid { root, at: *time }
            }
            Error::Certificate(CertificateError::Sct(detail)) => {
                SigstoreProblem::CertificateNotLogged { detail: shorten(detail) }
            }
            // A root that lists no certificate log that could say so, for one.
            Error::Certificate(_) | Error::InvalidTrustRoot(_) => {
                SigstoreProblem::Certificate { root, detail }
            }
            Error::TransparencyLog(TransparencyLogError::UnknownLog { .. }) => {
                SigstoreProblem::UnknownLog { root }
            }
            Error::TransparencyLog(
                TransparencyLogError::EntryMismatch(_) | TransparencyLogError::MalformedEntry(_),
            ) => SigstoreProblem::OtherLogEntry { detail },
            Error::TransparencyLog(_) => SigstoreProblem::LogProof { detail },
            Error::Timestamp(_) => SigstoreProblem::NoTrustedTime { detail },
            // Ours were checked before: what does not fit is the log's.
            Error::SignatureInvalid(_) | Error::ArtifactMismatch(_) => {
                SigstoreProblem::OtherLogEntry { detail }
            }
            _ => SigstoreProblem::Malformed { detail },
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, CustomExtension, KeyPair, SanType};

    use super::*;

    /// A certificate with these e-mail addresses, and these of Fulcio's extensions.
    fn certificate(emails: &[&str], extensions: &[(u64, &[u8])]) -> Certificate {
        let mut params = CertificateParams::default();
        let email = |email: &&str| SanType::Rfc822Name((*email).try_into().unwrap());
        params.subject_alt_names = emails.iter().map(email).collect();
        for (number, value) in extensions {
            let oid = [1, 3, 6, 1, 4, 1, 57264, 1, *number];
            params.custom_extensions.push(CustomExtension::from_oid_content(&oid, value.to_vec()));
        }
        let key = KeyPair::generate().unwrap();
        Certificate::from_der(params.self_signed(&key).unwrap().der()).unwrap()
    }

    const OLD: (u64, &[u8]) = (1, b"https://old.example");
    /// UTF8String
    const NEW: (u64, &[u8]) = (8, b"\x0c\x13https://new.example");

    #[test]
    fn an_identity_is_one_name_and_one_provider() {
        let read = |emails: &[&str], extensions: &[(u64, &[u8])]| {
            Identity::of(&certificate(emails, extensions)).map(|identity| identity.provider)
        };
        assert_eq!(read(&["a@example.com"], &[OLD]).unwrap(), "https://old.example");
        // The newer extension counts, wherever it stands.
        assert_eq!(read(&["a@example.com"], &[OLD, NEW]).unwrap(), "https://new.example");
        assert_eq!(read(&["a@example.com"], &[NEW, OLD]).unwrap(), "https://new.example");
        for (emails, extensions) in [
            (&["a@example.com", "b@example.com"][..], &[NEW][..]),
            (&[], &[NEW]),
            (&["a@example.com"], &[]),
        ] {
            assert!(read(emails, extensions).is_err(), "{emails:?} {extensions:?}");
        }
    }

    #[test]
    fn claims_are_read_by_their_numbers() {
        let read = certificate(&["a@example.com"], &[NEW, (12, b"\x0c\x01r"), (99, b"\x0c\x01x")]);
        assert_eq!(read.claims().iter().collect::<Vec<_>>(), [("repository", "r")]);
    }
}
