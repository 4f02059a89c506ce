//! The two ways to fail.
//!
//! A [`Refusal`] is an answer: it was checked, and it is not trusted; every reason is listed. A
//! [`Fault`] is no answer: it could not be checked. Neither lets a model through.

mod fault;

use std::fmt;

use jiff::Timestamp;

use crate::model::{Difference, Irregular, Unusable};
use crate::text::{Printable, bytes};
use crate::trust::{PathProblem, SigstoreProblem, TimestampProblem};
pub use fault::Fault;

/// Refused, or could not tell.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Checked, and not trusted.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Could not be checked.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason.into())
    }
}

/// Checked, and not trusted: all the reasons, at least one.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Never empty.
    reasons: Vec<Reason>,
}

impl Refusal {
    /// A refusal for all of these reasons; `None` if there are none.
    #[must_use]
    pub fn from_reasons(reasons: Vec<Reason>) -> Option<Self> {
        (!reasons.is_empty()).then_some(Self { reasons })
    }

    /// Every reason.
    pub fn reasons(&self) -> impl Iterator<Item = &Reason> {
        self.reasons.iter()
    }

    /// What to do next: one hint for each kind of reason that has one.
    #[must_use]
    pub fn hints(&self) -> Vec<&'static str> {
        let mut hints = Vec::new();
        for hint in self.reasons().filter_map(Reason::hint) {
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
        hints
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reasons: vec![reason] }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reasons
            .iter()
            .enumerate()
            .try_for_each(|(i, reason)| write!(f, "{}{reason}", if i == 0 { "" } else { "; " }))
    }
}

impl std::error::Error for Refusal {}

/// Why something is not trusted: what was found, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// There is no signature where one is looked for.
    #[error("no signature: {} does not exist", Printable(path))]
    NoSignature {
        /// Where it was looked for.
        path: String,
    },
    /// A document is larger than the caller allows.
    #[error("the {what} is larger than {} ({limit} bytes), the most that is read", bytes(*limit))]
    TooLarge {
        /// Which document.
        what: &'static str,
        /// The most that is read.
        limit: u64,
    },
    /// A signature file is not a Sigstore bundle that Bulla can read.
    #[error("the signature is not a Sigstore bundle: {}", Printable(detail))]
    MalformedBundle {
        /// What is wrong with it.
        detail: String,
    },
    /// A file that is no signature of a file.
    #[error("the signature cannot be used: {}", Printable(detail))]
    MalformedFileSignature {
        /// What is wrong with it.
        detail: String,
    },
    /// A signature of another file.
    #[error("the file is not the one that was signed: it is {found}, signed was {signed}")]
    OtherFile {
        /// The file's digest.
        found: String,
        /// The digest in the bundle.
        signed: String,
    },
    /// A file whose signature would be that of a model.
    #[error(
        "{} begins as the encoding of an envelope (DSSEv1): its signature is one of the model or statement inside, not of a file",
        Printable(name)
    )]
    LooksLikeEnvelope {
        /// The file.
        name: String,
    },
    /// The bundle says it is something else.
    #[error(
        "the signature's media type is {:?}, expected {:?}",
        Printable(found).to_string(),
        crate::bundle::MEDIA_TYPE
    )]
    WrongMediaType {
        /// What it says.
        found: String,
    },
    /// The signed bytes say they are something else.
    #[error(
        "the signed payload's type is {:?}, expected {:?}",
        Printable(found).to_string(),
        crate::bundle::PAYLOAD_TYPE
    )]
    WrongPayloadType {
        /// What they say.
        found: String,
    },
    /// Not exactly one signature in the envelope.
    #[error("the signature file holds {found} signatures, expected exactly one")]
    SignatureCount {
        /// How many.
        found: usize,
    },
    /// Signed in another way than the caller trusts.
    #[error("the model was signed with {found}, but {expected}")]
    OtherMethod {
        /// How it was signed.
        found: &'static str,
        /// What the caller asked for.
        expected: &'static str,
    },
    /// The bundle names another key than any of those trusted.
    #[error("signed with another key: the signature's key hint is {}, that of the trusted key is {}", Printable(hint.trim_end()), trusted.join(" or "))]
    WrongKeyHint {
        /// What the bundle says.
        hint: String,
        /// The hints of the trusted keys.
        trusted: Vec<String>,
    },
    /// The signature does not fit the signed bytes under the trusted key.
    #[error(
        "the signature is not valid for the {signer}: it was made by another key, or the signed statement was changed"
    )]
    BadSignature {
        /// Whose public key was used.
        signer: String,
    },
    /// The certificate does not lead to a named authority.
    #[error(transparent)]
    Certificate(#[from] PathProblem),
    /// Sigstore's evidence does not hold, or is somebody else's.
    #[error(transparent)]
    Sigstore(#[from] SigstoreProblem),
    /// A timestamp does not count.
    #[error(transparent)]
    Timestamp(#[from] TimestampProblem),
    /// The certificate belongs to somebody else.
    #[error(
        "the certificate names {}, expected {}",
        if found.is_empty() { "nobody (it has no e-mail address, URI or DNS name in subjectAltName)".into() } else { found.iter().map(|n| Printable(n).to_string()).collect::<Vec<_>>().join(", ") },
        Printable(expected)
    )]
    WrongSignerName {
        /// Names in the certificate.
        found: Vec<String>,
        /// The name asked for.
        expected: String,
    },
    /// What was signed is not a statement about a model.
    #[error("the signed statement is not a model signature: {}", Printable(detail))]
    MalformedStatement {
        /// What is wrong with it.
        detail: String,
    },
    /// What was signed is not a statement that Bulla can read.
    #[error("the signed statement cannot be used: {}", Printable(detail))]
    MalformedAttestation {
        /// What is wrong with it.
        detail: String,
    },
    /// A statement of a kind that is only signed after Bulla has looked itself.
    #[error(
        "statements of type {:?} are made by Bulla, from what it has looked at, and not from a file",
        Printable(found).to_string()
    )]
    ReservedPredicateType {
        /// Its predicate type.
        found: String,
    },
    /// Signed by nobody who is named for that.
    #[error("signed by nobody who is named for it (its signature says: {method})")]
    NotByAnyParty {
        /// How it was signed.
        method: &'static str,
    },
    /// Signed by somebody who may sign other things.
    #[error("signed by {}, who may not sign {}", Printable(signer), Printable(what))]
    MayNotSign {
        /// The party.
        signer: String,
        /// The kind of statement.
        what: String,
    },
    /// Signed outside of the time in which the key counts.
    #[error("signed by {}, whose key does not count at {at}", Printable(signer))]
    NotInForce {
        /// The party.
        signer: String,
        /// The time of the signature, as far as it is known.
        at: String,
    },
    /// What it rests on was withdrawn, and it may have been made afterwards.
    #[error(
        "it rests on {}, which was revoked{} ({}); {}",
        Printable(what), since.map(|since| format!(" as of {since}")).unwrap_or_default(), Printable(why),
        match existed_by {
            Some(at) => format!("the earliest trusted time of the signature is {at}"),
            None => "nobody trusted says that the signature is older".to_owned(),
        }
    )]
    Revoked {
        /// What was withdrawn, in words.
        what: String,
        /// As of when.
        since: Option<Timestamp>,
        /// Why, in words.
        why: String,
        /// The earliest time by which the signature existed, as somebody trusted says who was not withdrawn himself.
        existed_by: Option<Timestamp>,
    },
    /// A document that people sign is not signed by those who have to.
    #[error("{}", Printable(detail))]
    NotSigned {
        /// Who has to, and who did.
        detail: String,
    },
    /// A signature that does not tell models with the same contents apart.
    #[error("its signature binds no file names, or no recipe: it is of an old or home-made format")]
    BindsNoNames,
    /// A statement of another kind.
    #[error(
        "the signed statement is of type {:?}, expected {:?}",
        Printable(found).to_string(),
        crate::statement::oms::PREDICATE_TYPE
    )]
    WrongPredicateType {
        /// Its predicate type.
        found: String,
    },
    /// The signed root does not belong to the signed resources.
    #[error(
        "the signed statement contradicts itself: its root is {signed}, but its resources give {computed}"
    )]
    RootMismatch {
        /// As signed.
        signed: String,
        /// As its resources give.
        computed: String,
    },
    /// A signature for a directory, and the model is a file, or the other way round.
    #[error("the signature is for {signed}, but the model is {found}")]
    OtherLayout {
        /// What was signed.
        signed: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// The model is not as it was signed.
    #[error("{0}")]
    Differs(Box<Difference>),
    /// A model cannot be signed because of something in it.
    #[error("cannot be signed: {} {why}", Printable(name))]
    CannotSign {
        /// Its name.
        name: String,
        /// What is wrong with it.
        why: Unusable,
    },
    /// Nothing to sign.
    #[error("there is no file to sign in {}", Printable(name))]
    EmptyModel {
        /// The model.
        name: String,
    },
    /// Empty files under shards: they would not be bound.
    #[error(
        "{} is empty, and an empty file has no entry in a signature by shards: anyone could add or remove it",
        Printable(path)
    )]
    EmptyFileUnderShards {
        /// The file.
        path: String,
    },
    /// A file that is no partial manifest.
    #[error("{} is not a partial manifest: {}", Printable(part), Printable(detail))]
    MalformedPartial {
        /// The file.
        part: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A partial manifest of another job than the one asked for.
    #[error(
        "{} was measured by job {:?}, expected {:?}",
        Printable(part),
        Printable(found).to_string(),
        Printable(expected).to_string()
    )]
    PartialOfOtherJob {
        /// The file.
        part: String,
        /// Its job.
        found: String,
        /// The job of the others, or the one asked for.
        expected: String,
    },
    /// Partial manifests that do not belong together.
    #[error(
        "{} and {} disagree on {what}: {}, and {}",
        Printable(part),
        Printable(with),
        Printable(found),
        Printable(expected)
    )]
    PartialsDisagree {
        /// The file.
        part: String,
        /// The file with which it was compared.
        with: String,
        /// On what.
        what: &'static str,
        /// What the one says.
        found: String,
        /// What the other says.
        expected: String,
    },
    /// One part twice.
    #[error("part {part} stands twice: in {} and in {}", Printable(&files[0]), Printable(&files[1]))]
    PartialsOverlap {
        /// Which part.
        part: String,
        /// The two files.
        files: [String; 2],
    },
    /// Parts that are not there.
    #[error("not all parts are there; missing: {}{}", missing.join(", "), if *more > 0 { format!(" and {more} more") } else { String::new() })]
    PartialsGap {
        /// Which, or the first of them.
        missing: Vec<String>,
        /// How many more.
        more: usize,
    },
    /// The model is not what was measured in parts.
    #[error(
        "the parts were measured of something else; {what}: {}, measured: {}",
        Printable(found),
        Printable(expected)
    )]
    PartialsOfOtherModel {
        /// In what it differs.
        what: &'static str,
        /// What is there.
        found: String,
        /// What was measured.
        expected: String,
    },
    /// Nothing that was signed is at a path that was asked for.
    #[error("nothing at {} was signed", Printable(path))]
    NothingSigned {
        /// The path.
        path: String,
    },
    /// A certificate that does not belong to the key.
    #[error("the certificate is for the {certificate}, but the private key is that of the {key}")]
    CertificateForOtherKey {
        /// Key in the certificate.
        certificate: String,
        /// The signer's key.
        key: String,
    },
}

impl Reason {
    /// A short, stable name of the kind of reason, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSignature { .. } => "no-signature",
            Self::TooLarge { .. } => "too-large",
            Self::MalformedBundle { .. } => "malformed-bundle",
            Self::MalformedFileSignature { .. } => "malformed-signature",
            Self::OtherFile { .. } => "other-file",
            Self::LooksLikeEnvelope { .. } => "looks-like-envelope",
            Self::WrongMediaType { .. } => "wrong-media-type",
            Self::WrongPayloadType { .. } => "wrong-payload-type",
            Self::SignatureCount { .. } => "signature-count",
            Self::OtherMethod { .. } => "other-signing-method",
            Self::WrongKeyHint { .. } => "wrong-key",
            Self::BadSignature { .. } => "bad-signature",
            Self::Certificate(problem) => problem.code(),
            Self::Sigstore(problem) => problem.code(),
            Self::Timestamp(problem) => problem.code(),
            Self::WrongSignerName { .. } => "wrong-signer",
            Self::MalformedStatement { .. } => "malformed-statement",
            Self::NotByAnyParty { .. } => "not-by-any-party",
            Self::MayNotSign { .. } => "may-not-sign",
            Self::NotInForce { .. } => "not-in-force",
            Self::Revoked { .. } => "revoked",
            Self::NotSigned { .. } => "policy-not-signed",
            Self::BindsNoNames => "binds-no-names",
            Self::MalformedAttestation { .. } => "malformed-attestation",
            Self::ReservedPredicateType { .. } => "reserved-predicate-type",
            Self::WrongPredicateType { .. } => "wrong-predicate-type",
            Self::RootMismatch { .. } => "root-mismatch",
            Self::OtherLayout { .. } => "other-layout",
            Self::Differs(difference) => difference.code(),
            Self::CannotSign { .. } => "cannot-sign",
            Self::EmptyModel { .. } => "empty-model",
            Self::EmptyFileUnderShards { .. } => "empty-file-under-shards",
            Self::MalformedPartial { .. } => "malformed-partial",
            Self::PartialOfOtherJob { .. } => "partial-of-other-job",
            Self::PartialsDisagree { .. } => "partials-disagree",
            Self::PartialsOverlap { .. } => "partials-overlap",
            Self::PartialsGap { .. } => "partials-gap",
            Self::PartialsOfOtherModel { .. } => "partials-of-other-model",
            Self::NothingSigned { .. } => "nothing-signed",
            Self::CertificateForOtherKey { .. } => "certificate-for-other-key",
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoSignature { .. } => {
                "say where its signature is with --signature; if the model is yours, sign it with 'bulla sign'"
            }
            Self::TooLarge { .. } => {
                "if a signature of this size is expected, raise the limit with --max-bundle-size"
            }
            Self::OtherFile { .. } => {
                "do not use this file: get it again, or the signature that belongs to it"
            }
            Self::LooksLikeEnvelope { .. } => {
                "whoever asks for such a signature, or shows one, may want to forge another: models are signed with 'bulla sign' and checked with 'bulla verify'"
            }
            Self::MalformedFileSignature { .. }
            | Self::MalformedBundle { .. }
            | Self::WrongMediaType { .. }
            | Self::WrongPayloadType { .. }
            | Self::SignatureCount { .. } => "get the signature again from where it was published",
            Self::OtherMethod { .. } => {
                "'bulla inspect' shows how it was signed; name the key with --key or the authority with --ca, whichever fits"
            }
            Self::WrongKeyHint { .. } => {
                "get the signer's public key from a source you trust; do not take the one that comes with the model"
            }
            Self::BadSignature { .. } => {
                "do not use this model: get it and its signature again, and the key from a source you trust"
            }
            Self::Certificate(problem) => return problem.hint(),
            Self::Sigstore(problem) => problem.hint(),
            Self::Timestamp(problem) => problem.hint(),
            Self::WrongSignerName { .. } => {
                "'bulla inspect' shows whom the certificate names; check with the publisher before you accept another name"
            }
            Self::MalformedStatement { .. }
            | Self::WrongPredicateType { .. }
            | Self::RootMismatch { .. } => {
                "the signer's key signed this, but not as a model: ask the publisher for a model signature"
            }
            Self::NotByAnyParty { .. } | Self::MayNotSign { .. } => {
                "if its signer is to be believed, name them: in the trust file, with what they may sign, or by their key"
            }
            Self::NotInForce { .. } => {
                "ask for a new signature, or for one with a timestamp of the time when the key counted"
            }
            Self::Revoked { .. } => {
                "do not use this; ask whoever stands for it for a new signature with another key, made after looking at it again"
            }
            Self::NotSigned { .. } => {
                "get the policy again with its signatures; to sign it: 'bulla policy sign FILE'"
            }
            Self::BindsNoNames => "ask the publisher for a signature by 'bulla sign'",
            Self::MalformedAttestation { .. } => {
                "ask whoever signed it for one that keeps to the format (docs/statements.md)"
            }
            Self::ReservedPredicateType { .. } => {
                "see 'bulla attest --help' for the command that makes it"
            }
            Self::OtherLayout { .. } => "give the path of what was signed",
            Self::Differs(difference) => return difference.hint(),
            Self::CannotSign { why, .. } => return why.hint(),
            Self::EmptyModel { .. } => "check the path, and what --ignore leaves out",
            Self::EmptyFileUnderShards { .. } => "sign whole files instead: leave out --shard-size",
            Self::MalformedPartial { .. } => {
                "give what 'bulla digest --partition' wrote, as it wrote it"
            }
            Self::PartialOfOtherJob { .. } | Self::PartialsDisagree { .. } => {
                "give the parts of one run: the same model, the same options, the same --job"
            }
            Self::PartialsOverlap { .. } => "give each part once",
            Self::PartialsGap { .. } => "run 'bulla digest --partition' for these, then sign again",
            Self::PartialsOfOtherModel { .. } => {
                "measure again what is to be signed, or sign what was measured"
            }
            Self::NothingSigned { .. } => {
                "'bulla inspect' lists what was signed; give paths from the model's root"
            }
            Self::CertificateForOtherKey { .. } => {
                "give the certificate that was issued for this key"
            }
        })
    }
}

impl Difference {
    fn code(&self) -> &'static str {
        match self {
            Self::Changed { .. } => "changed",
            Self::Missing { .. } => "missing",
            Self::Extra { .. } => "extra",
            Self::Renamed { .. } => "renamed",
            Self::Irregular(_) => "unusable",
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Irregular(Irregular { why, .. }) => why.hint(),
            Self::Extra { .. } => Some(
                "remove what was not signed, or accept it with --ignore-unsigned-files (a weaker check)",
            ),
            Self::Renamed { .. } => {
                Some("if nothing else differs, give the file its signed name back")
            }
            Self::Changed { .. } | Self::Missing { .. } => Some(
                "do not use this model: get it again from its publisher, or ask for a new signature if the change is theirs",
            ),
        }
    }
}

impl From<Difference> for Reason {
    fn from(difference: Difference) -> Self {
        Self::Differs(Box::new(difference))
    }
}

impl Unusable {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Symlink { .. } => Some(
                "sign with --follow-symlinks to hash what a link points to, replace the link by a copy, or leave it out with --ignore",
            ),
            Self::LinkOutside { .. } | Self::LinkLoop { .. } | Self::LinkDangling { .. } => Some(
                "only links that end at a file or directory inside the model can be signed: copy the target in, or leave the link out with --ignore",
            ),
            Self::Special { .. } => {
                Some("remove it from the model, or leave it out with --ignore when signing")
            }
            Self::NotUtf8 | Self::BadName(_) => Some("rename it"),
        }
    }
}
