//! What happened, in one shape for people, programs and logs.
//!
//! The JSON of these types is stable: members are added, never renamed or removed (docs/json.md).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::{Failure, Fault, Reason};
use crate::model::{Difference, Irregular, Manifest, ModelSource};
use crate::statement::oms::OmsClaim;
use crate::text::Printable;
use crate::trust::{LogRecord, TimeSource, TrustedTime};
use crate::verify::{Notice, SignedBy, VerifiedModel};

/// The outcome for one model.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The model, as the caller named it.
    pub model: String,
    /// `verified`, `refused` or `fault`.
    pub verdict: &'static str,
    /// Digests and recipe; only when verified.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub digests: Option<Digests>,
    /// Who signed; only when verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<SignedByReport>,
    /// When it was signed at the latest, and where it is recorded, as others vouch for; only when verified.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<EvidenceReport>,
    /// What a person should know; only when verified.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<NoticeReport>,
    /// Every reason for a refusal, or the one fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<ReasonReport>,
    /// What to do next.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

/// A model's digests.
#[derive(Debug, Serialize)]
pub struct Digests {
    /// The model's name.
    pub name: String,
    /// Number of files.
    pub files: usize,
    /// Bytes in them.
    pub size: u64,
    /// `oms:` and the OMS root, which binds contents but no names.
    pub oms: String,
    /// `oms-manifest-v1:` and the digest that binds names and recipe too.
    pub oms_manifest_v1: String,
    /// `files` or `shards`.
    pub method: &'static str,
    /// `sha256`, `blake2b` or `blake3`.
    pub hash: &'static str,
    /// Bytes of a shard, under `shards`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard_size: Option<u64>,
    /// Whether links were followed.
    pub follow_symlinks: bool,
    /// Paths that are left out.
    pub ignored: Vec<String>,
}

impl Digests {
    /// Of a measured model.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        let recipe = &manifest.recipe;
        Self {
            name: manifest.name.clone(),
            files: manifest.files.len(),
            size: manifest.total_size(),
            oms: format!("oms:{}", manifest.oms_root().to_hex()),
            oms_manifest_v1: format!("oms-manifest-v1:{}", manifest.oms_manifest_v1().to_hex()),
            method: recipe.method.name(),
            hash: recipe.hash.name(),
            shard_size: Some(recipe.method.shard_size()).filter(|size| *size > 0),
            follow_symlinks: recipe.follow_symlinks,
            ignored: recipe.ignore.iter().map(|p| p.as_str().to_owned()).collect(),
        }
    }

    /// Of a verified model: the root is the signed one, which Python may have computed in another
    /// order.
    #[must_use]
    pub fn of_claim(claim: &OmsClaim, manifest: &Manifest) -> Self {
        let measured = Self::of(manifest);
        // Where only some files were looked at, too, it is the whole model's.
        let signed = claim.oms_manifest_v1();
        let signed = signed.map(|digest| format!("oms-manifest-v1:{}", digest.to_hex()));
        Self {
            oms: format!("oms:{}", claim.oms_root().to_hex()),
            oms_manifest_v1: signed.unwrap_or(measured.oms_manifest_v1),
            ..measured
        }
    }
}

/// Who signed.
#[derive(Debug, Serialize)]
#[serde(tag = "method", rename_all = "kebab-case")]
pub enum SignedByReport {
    /// A bare key.
    Key {
        /// `ecdsa-p256`, …
        algorithm: String,
        /// SHA-256 of the SPKI DER.
        key: String,
    },
    /// A certificate.
    Certificate {
        /// `ecdsa-p256`, …
        algorithm: String,
        /// SHA-256 of the SPKI DER.
        key: String,
        /// Subject of the certificate.
        subject: String,
        /// Its e-mail, URI and DNS names.
        names: Vec<String>,
        /// SHA-256 of the certificate.
        certificate: String,
        /// SHA-256 of the root.
        root: String,
        /// Subjects from the signer to the root.
        path: Vec<String>,
        /// The time at which the certificates were checked.
        checked_at: String,
    },
    /// An identity that a Sigstore instance certified.
    Identity {
        /// E-mail address or URI.
        identity: String,
        /// The identity provider that vouched for it.
        identity_provider: String,
        /// What the certificate says about the run that signed.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        claims: BTreeMap<&'static str, String>,
        /// SHA-256 of the certificate.
        certificate: String,
        /// Name of the trusted root.
        root: String,
    },
}

/// What others vouch for.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum EvidenceReport {
    /// The signature existed by this time.
    Time {
        /// RFC 3339.
        at: String,
        /// `timestamp` or `log`.
        source: &'static str,
        /// The timestamp authority, or the URL of the log.
        by: String,
    },
    /// The signature stands in a transparency log.
    LogEntry {
        /// URL of the log.
        log: String,
        /// Its place there.
        index: u64,
    },
}

/// A notice.
#[derive(Debug, Serialize)]
pub struct NoticeReport {
    /// Its kind.
    pub code: &'static str,
    /// Whether less was checked than the signature allows.
    pub weaker_check: bool,
    /// In words; long lists are cut.
    pub message: String,
    /// All the paths that it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}

/// A reason or a fault.
#[derive(Debug, Serialize)]
pub struct ReasonReport {
    /// Its kind.
    pub code: &'static str,
    /// In words.
    pub message: String,
    /// The file it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Bytes that file has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Its new name, if it was renamed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renamed_to: Option<String>,
}

impl Outcome {
    /// Of one verification.
    #[must_use]
    pub fn of<S: ModelSource>(model: &str, result: &Result<VerifiedModel<S>, Failure>) -> Self {
        let mut outcome = Self {
            model: model.to_owned(),
            verdict: "verified",
            digests: None,
            signed_by: None,
            evidence: Vec::new(),
            notices: Vec::new(),
            reasons: Vec::new(),
            hints: Vec::new(),
        };
        match result {
            Ok(verified) => {
                let claim = verified.claim();
                outcome.digests = Some(Digests::of_claim(claim.value(), verified.manifest()));
                outcome.signed_by = Some(signed_by(claim.signed_by(), claim.checked_at()));
                outcome.evidence = evidence(claim.times(), claim.records());
                outcome.notices = verified.notices().iter().map(NoticeReport::of).collect();
            }
            Err(failure) => {
                let (verdict, reasons, hints) = failure_report(failure);
                outcome.verdict = verdict;
                outcome.reasons = reasons;
                outcome.hints = hints;
            }
        }
        outcome
    }
}

/// The verdict, reasons and hints of a failure.
#[must_use]
pub fn failure_report(failure: &Failure) -> (&'static str, Vec<ReasonReport>, Vec<String>) {
    match failure {
        Failure::Refused(refusal) => (
            "refused",
            refusal.reasons().map(ReasonReport::of).collect(),
            refusal.hints().into_iter().map(str::to_owned).collect(),
        ),
        Failure::Fault(fault) => (
            "fault",
            vec![ReasonReport {
                path: match fault {
                    Fault::Changed { path } => Some(path.clone()),
                    Fault::Io { path, .. } => Some(path.to_string_lossy().into_owned()),
                    _ => None,
                },
                ..ReasonReport::new(fault.code(), fault.to_string())
            }],
            fault.hint().into_iter().map(str::to_owned).collect(),
        ),
    }
}

/// What others vouch for, for a report.
#[must_use]
pub fn evidence(times: &[TrustedTime], records: &[LogRecord]) -> Vec<EvidenceReport> {
    let times = times.iter().map(|time| {
        let (source, by) = match &time.source {
            TimeSource::Timestamp(by) => ("timestamp", by),
            TimeSource::Log(by) => ("log", by),
        };
        EvidenceReport::Time { at: time.at.to_string(), source, by: by.clone() }
    });
    let records = records.iter();
    let records = records.map(|r| EvidenceReport::LogEntry { log: r.log.clone(), index: r.index });
    times.chain(records).collect()
}

/// Who signed, for a report.
#[must_use]
pub fn signed_by(signer: &SignedBy, at: jiff::Timestamp) -> SignedByReport {
    let algorithm = signer.key().algorithm().name();
    let key = signer.key().fingerprint().to_string();
    match signer {
        SignedBy::Key(_) => SignedByReport::Key { algorithm, key },
        SignedBy::Certificate(signer) => SignedByReport::Certificate {
            algorithm,
            key,
            subject: signer.subject.clone(),
            names: signer.names.iter().map(ToString::to_string).collect(),
            certificate: signer.certificate.to_string(),
            root: signer.path.root.to_string(),
            path: signer.path.subjects.clone(),
            checked_at: at.to_string(),
        },
        SignedBy::Identity(signer) => SignedByReport::Identity {
            identity: signer.identity.as_str().to_owned(),
            identity_provider: signer.provider.clone(),
            claims: signer.claims.iter().map(|(name, value)| (name, value.to_owned())).collect(),
            certificate: signer.certificate.to_string(),
            root: signer.root.clone(),
        },
    }
}

impl NoticeReport {
    /// Of a notice.
    #[must_use]
    pub fn of(notice: &Notice) -> Self {
        fn list<T: AsRef<str>>(paths: &[T]) -> String {
            let mut shown: Vec<String> =
                paths.iter().take(5).map(|p| Printable(p.as_ref()).to_string()).collect();
            if paths.len() > 5 {
                shown.push(format!("and {} more", paths.len() - 5));
            }
            shown.join(", ")
        }
        let (code, message) = match notice {
            Notice::IgnoredByCaller(paths) => (
                "ignored-by-caller",
                format!("a weaker check: not signed, and passed over as you asked: {}", list(paths)),
            ),
            Notice::UnsignedFiles(paths) => (
                "unsigned-files",
                format!("a weaker check: unsigned files are there, as you allowed: {}", list(paths)),
            ),
            Notice::OnlyThese(paths) => (
                "only-these",
                format!("a weaker check: nothing else was looked at than {}", list(paths)),
            ),
            Notice::OnlyPart(part) => (
                "only-part",
                format!(
                    "a weaker check: contents were checked of part {part} only; all parts together are a full check"
                ),
            ),
            Notice::OtherLayout => (
                "home-made-layout",
                "a weaker check: a home-made manifest, which is no OMS signature; sign the model anew with 'bulla sign'"
                    .to_owned(),
            ),
            Notice::OldFormat => (
                "old-format",
                "a weaker check: signed by model-signing 0.2.0, which binds no recipe; ask for a new signature".into(),
            ),
            Notice::UnnamedFile => {
                ("unnamed-file", "a weaker check: the signature does not bind the file's name".into())
            }
            Notice::NotCovered(paths) => (
                "not-covered",
                format!("not covered by the signature: {}", list(paths)),
            ),
            Notice::PassedOverByDefault(paths) => (
                "passed-over-by-default",
                format!(
                    "a weaker check: passed over by the specification's defaults, though this signer did not leave them out: {}",
                    list(paths)
                ),
            ),
            Notice::Collisions(groups) => (
                "colliding-names",
                format!(
                    "on file systems that ignore case or normalise Unicode these names are one: {}",
                    groups.iter().map(|g| list(g)).collect::<Vec<_>>().join("; ")
                ),
            ),
        };
        let paths = match notice {
            Notice::IgnoredByCaller(paths)
            | Notice::OnlyThese(paths)
            | Notice::NotCovered(paths)
            | Notice::PassedOverByDefault(paths) => {
                paths.iter().map(|path| path.as_str().to_owned()).collect()
            }
            Notice::UnsignedFiles(names) => names.clone(),
            Notice::Collisions(groups) => groups.concat(),
            Notice::OnlyPart(_) | Notice::OldFormat | Notice::OtherLayout | Notice::UnnamedFile => {
                Vec::new()
            }
        };
        Self { code, weaker_check: notice.is_weaker_check(), message, paths }
    }
}

impl ReasonReport {
    fn new(code: &'static str, message: String) -> Self {
        Self { code, message, path: None, size: None, renamed_to: None }
    }

    /// Of a command that was used wrongly.
    #[must_use]
    pub fn usage(message: &str) -> Self {
        Self::new("usage", message.to_owned())
    }

    fn of(reason: &Reason) -> Self {
        let mut report = Self::new(reason.code(), reason.to_string());
        match reason {
            Reason::Differs(difference) => match &**difference {
                Difference::Changed { path, size, .. } | Difference::Extra { path, size } => {
                    report.path = Some(path.as_str().to_owned());
                    report.size = Some(*size);
                }
                Difference::Missing { path, signed_size } => {
                    report.path = Some(path.as_str().to_owned());
                    report.size = *signed_size;
                }
                Difference::Renamed { from, to, size } => {
                    report.path = Some(from.as_str().to_owned());
                    report.renamed_to = Some(to.as_str().to_owned());
                    report.size = Some(*size);
                }
                Difference::Irregular(Irregular { name, .. }) => report.path = Some(name.clone()),
            },
            Reason::CannotSign { name, .. } => report.path = Some(name.clone()),
            Reason::EmptyFileUnderShards { path } | Reason::NoSignature { path } => {
                report.path = Some(path.clone());
            }
            _ => {}
        }
        report
    }
}
