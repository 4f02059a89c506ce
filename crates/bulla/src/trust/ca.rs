//! From a signer's certificate to a named authority (RFC 5280 §6, for signing code).
//!
//! These rules are ours over `x509-cert`: the web's verifiers refuse certificates that OMS producers
//! made and do not look at key usage, at a root's own dates or at e-mail and URI names.
//!
//! * The signer's certificate: `digitalSignature`, not `keyCertSign`, `codeSigning` if it names
//!   extended uses. `CA:TRUE` alone is tolerated, for OMS's own test authority makes such leaves.
//! * Every authority: `CA:TRUE`, `keyCertSign`, path length, `codeSigning` if it names extended uses.
//!   A root named by the verifier may leave key usage out, as OpenSSL's default roots do.
//! * All of them: valid at the time of checking, the root too; no critical extension that is not
//!   understood, and no name or policy constraints at all, for these are not checked; no SHA-1; RSA from 2048 bits, the signer's from 3072.
//! * Revocation lists are not consulted.
//!
//! A timestamp authority's certificate is led to its root by the same rules, with `timeStamping` in place of
//! `codeSigning`, which it must name and name alone (RFC 3161 §2.3); 2048 bits are enough for its RSA key.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280;
use jiff::Timestamp;
use x509_cert::ext::pkix::KeyUsage;

use super::certificate::Certificate;
use crate::digest::Digest;
use crate::limits::Limits;
use crate::text::Printable;

/// What a certificate is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It signs models.
    CodeSigning,
    /// It signs timestamps.
    TimeStamping,
}

/// A path that holds, leaf first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedPath {
    /// Whom the certificates are for, from the signer to the root.
    pub subjects: Vec<String>,
    /// SHA-256 of the root's DER.
    pub root: Digest,
    /// SHA-256 of the DER of all of them.
    pub certificates: Vec<Digest>,
    /// Fingerprints of their keys.
    pub keys: Vec<Digest>,
}

/// Why a certificate is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathProblem {
    /// It cannot be read.
    #[error("a certificate in the signature cannot be used: {}", Printable(detail))]
    Malformed {
        /// Why.
        detail: String,
    },
    /// It leads to none of the named authorities.
    #[error(
        "the certificate {} was issued by {}, which leads to none of the authorities you named ({})",
        Printable(subject), Printable(issuer), named.iter().map(|n| Printable(n).to_string()).collect::<Vec<_>>().join("; ")
    )]
    NoAuthority {
        /// Whose certificate.
        subject: String,
        /// Who issued the last certificate that could be found.
        issuer: String,
        /// The named authorities.
        named: Vec<String>,
    },
    /// The certificate that claims to have issued it did not sign it.
    #[error(
        "the certificate {} is not signed by {}, which it names as its issuer",
        Printable(subject),
        Printable(issuer)
    )]
    BadSignature {
        /// Whose certificate.
        subject: String,
        /// Its alleged issuer.
        issuer: String,
    },
    /// Signed with something that is not accepted.
    #[error(
        "the certificate {} is signed with an algorithm that is not accepted ({algorithm})",
        Printable(subject)
    )]
    WeakSignature {
        /// Whose certificate.
        subject: String,
        /// Object identifier.
        algorithm: String,
    },
    /// Its time is over.
    #[error("the certificate {} expired at {until} (checked at {at})", Printable(subject))]
    Expired {
        /// Whose certificate.
        subject: String,
        /// End of its validity.
        until: Timestamp,
        /// The time of the check.
        at: Timestamp,
    },
    /// Its time has not come.
    #[error("the certificate {} is valid only from {from} (checked at {at})", Printable(subject))]
    NotYetValid {
        /// Whose certificate.
        subject: String,
        /// Start of its validity.
        from: Timestamp,
        /// The time of the check.
        at: Timestamp,
    },
    /// An issuer that is no authority.
    #[error(
        "the certificate {} issued another one but is no certificate authority (CA:TRUE is missing)",
        Printable(subject)
    )]
    NotAnAuthority {
        /// Whose certificate.
        subject: String,
    },
    /// An issuer that may not issue.
    #[error(
        "the certificate {} issued another one but its key usage does not allow that (keyCertSign is missing)",
        Printable(subject)
    )]
    MayNotIssue {
        /// Whose certificate.
        subject: String,
    },
    /// More authorities below one than it allows.
    #[error(
        "the certificate {} allows {allowed} authorities below it, but there are {found}",
        Printable(subject)
    )]
    PathTooLong {
        /// Whose certificate.
        subject: String,
        /// Its path length.
        allowed: u8,
        /// What there is.
        found: usize,
    },
    /// A signer that may not sign.
    #[error("the certificate {} may not sign: {why}", Printable(subject))]
    MayNotSign {
        /// Whose certificate.
        subject: String,
        /// What its key usage says.
        why: &'static str,
    },
    /// Extended uses without code signing.
    #[error(
        "the certificate {} is not for code signing (its extended key usage lists other uses)",
        Printable(subject)
    )]
    NotForCodeSigning {
        /// Whose certificate.
        subject: String,
    },
    /// Extended uses other than the time alone.
    #[error(
        "the certificate {} is not a timestamp authority's (its extended key usage is not timeStamping alone)",
        Printable(subject)
    )]
    NotForTimeStamping {
        /// Whose certificate.
        subject: String,
    },
    /// A critical extension that is not understood.
    #[error(
        "the certificate {} has an extension that Bulla does not check ({extension})",
        Printable(subject)
    )]
    UnknownCritical {
        /// Whose certificate.
        subject: String,
        /// Object identifier or name.
        extension: String,
    },
}

impl PathProblem {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "certificate-malformed",
            Self::NoAuthority { .. } => "certificate-no-authority",
            Self::BadSignature { .. } => "certificate-bad-signature",
            Self::WeakSignature { .. } => "certificate-weak-signature",
            Self::Expired { .. } => "certificate-expired",
            Self::NotYetValid { .. } => "certificate-not-yet-valid",
            Self::NotAnAuthority { .. } => "certificate-not-an-authority",
            Self::MayNotIssue { .. } => "certificate-may-not-issue",
            Self::PathTooLong { .. } => "certificate-path-too-long",
            Self::MayNotSign { .. } => "certificate-may-not-sign",
            Self::NotForCodeSigning { .. } => "certificate-not-for-code-signing",
            Self::NotForTimeStamping { .. } => "certificate-not-for-time-stamping",
            Self::UnknownCritical { .. } => "certificate-unknown-critical",
        }
    }

    pub(crate) fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoAuthority { .. } => {
                "name the root that the signer's organisation publishes with --ca; if an intermediate certificate is missing, the model must be signed again with --chain"
            }
            Self::Expired { .. } | Self::NotYetValid { .. } => {
                "check this machine's clock; without a trusted timestamp a signature counts only while its certificates are valid, so sign again with one that is"
            }
            Self::Malformed { .. } | Self::BadSignature { .. } => {
                "do not use this certificate: get it again from whoever issued it"
            }
            Self::MayNotSign { .. } | Self::NotForCodeSigning { .. } => {
                "a signer's certificate needs the key usage digitalSignature, not keyCertSign, and codeSigning if it lists extended uses: it must be issued again (docs/certificates.md); a self-signed one is no use, trust its key with --key instead"
            }
            Self::NotForTimeStamping { .. } => {
                "ask for a timestamp from another authority: this one's certificate is not made for it"
            }
            Self::WeakSignature { .. }
            | Self::NotAnAuthority { .. }
            | Self::MayNotIssue { .. }
            | Self::PathTooLong { .. }
            | Self::UnknownCritical { .. } => {
                "an authority's certificate needs CA:TRUE and the key usage keyCertSign, and no name constraints: it must be issued again (docs/certificates.md)"
            }
        })
    }
}

/// Looks for a path from the signer's certificate to a named authority that keeps every rule.
///
/// # Errors
/// The problems of the best path that was found, or why there is none.
pub(crate) fn find_path(
    purpose: Purpose,
    leaf: &Certificate,
    intermediates: &[Certificate],
    authorities: &[Certificate],
    at: Timestamp,
    limits: &Limits,
) -> Result<TrustedPath, Vec<PathProblem>> {
    let mut search = Search {
        purpose,
        intermediates,
        authorities,
        at,
        limits,
        checks: 0,
        best: None,
        dead_end: None,
    };
    if let Some(path) = search.extend(&mut vec![leaf]) {
        return Ok(path);
    }
    Err(search.best.unwrap_or_else(|| {
        vec![search.dead_end.unwrap_or_else(|| PathProblem::NoAuthority {
            subject: leaf.label(),
            issuer: leaf.issuer().to_owned(),
            named: authorities.iter().map(Certificate::label).collect(),
        })]
    }))
}

/// The rules for the signer's own certificate, which a signer can check before it signs.
pub(crate) fn check_leaf(purpose: Purpose, leaf: &Certificate, at: Timestamp) -> Vec<PathProblem> {
    let mut problems = Vec::new();
    check_common(leaf, at, &mut problems);
    let subject = leaf.label();
    match &leaf.key_usage {
        // RFC 3161 asks for none.
        None if purpose == Purpose::TimeStamping => {}
        None => problems.push(PathProblem::MayNotSign {
            subject: subject.clone(),
            why: "it has no key usage, expected digitalSignature",
        }),
        Some(usage) if !may_sign(purpose, usage) => problems.push(PathProblem::MayNotSign {
            subject: subject.clone(),
            why: "its key usage does not include digitalSignature",
        }),
        Some(usage) if usage.key_cert_sign() => problems.push(PathProblem::MayNotSign {
            subject: subject.clone(),
            why: "it is an authority's certificate (keyCertSign), not a signer's",
        }),
        Some(_) => {}
    }
    let uses = leaf.extended_key_usage.as_ref().map(|uses| uses.0.as_slice());
    match purpose {
        Purpose::CodeSigning if uses.is_some_and(|u| !u.contains(&rfc5280::ID_KP_CODE_SIGNING)) => {
            problems.push(PathProblem::NotForCodeSigning { subject });
        }
        Purpose::TimeStamping if uses != Some(&[rfc5280::ID_KP_TIME_STAMPING]) => {
            problems.push(PathProblem::NotForTimeStamping { subject });
        }
        _ => {}
    }
    problems
}

/// RFC 3161 §2.3 takes nonRepudiation in place of digitalSignature.
fn may_sign(purpose: Purpose, usage: &KeyUsage) -> bool {
    usage.digital_signature() || (purpose == Purpose::TimeStamping && usage.non_repudiation())
}

struct Search<'a> {
    purpose: Purpose,
    intermediates: &'a [Certificate],
    authorities: &'a [Certificate],
    at: Timestamp,
    limits: &'a Limits,
    /// Signature checks so far: certificates that all name each other must not cost more than this.
    checks: usize,
    /// Fewest problems of a path that reached an authority.
    best: Option<Vec<PathProblem>>,
    /// Where the longest path that did not reach one ended.
    dead_end: Option<PathProblem>,
}

impl<'a> Search<'a> {
    fn extend(&mut self, path: &mut Vec<&'a Certificate>) -> Option<TrustedPath> {
        let current = *path.last()?;
        for authority in self.authorities {
            if self.issued(authority, current) {
                path.push(authority);
                let problems = check_path(self.purpose, path, self.at);
                if problems.is_empty() {
                    return Some(TrustedPath {
                        subjects: path.iter().map(|c| c.label()).collect(),
                        root: authority.fingerprint(),
                        certificates: path.iter().map(|c| c.fingerprint()).collect(),
                        // Every key of a path that holds was used, but that of the signer.
                        keys: path
                            .iter()
                            .filter_map(|c| Some(c.public_key().ok()?.fingerprint()))
                            .collect(),
                    });
                }
                if self.best.as_ref().is_none_or(|best| problems.len() < best.len()) {
                    self.best = Some(problems);
                }
                path.pop();
            }
        }
        if path.len() + 1 < self.limits.path_length {
            for next in self.intermediates {
                let known = path.iter().any(|c| c.to_der() == next.to_der());
                if !known && self.issued(next, current) {
                    path.push(next);
                    if let Some(found) = self.extend(path) {
                        return Some(found);
                    }
                    path.pop();
                }
            }
        }
        if self.dead_end.is_none() {
            self.dead_end = Some(PathProblem::NoAuthority {
                subject: path.first().map_or_else(String::new, |c| c.label()),
                issuer: current.issuer().to_owned(),
                named: self.authorities.iter().map(Certificate::label).collect(),
            });
        }
        None
    }

    /// Whether one certificate issued another: by name, then by signature.
    fn issued(&mut self, issuer: &Certificate, subject: &Certificate) -> bool {
        if issuer.subject != subject.issuer || self.checks >= self.limits.path_checks {
            return false;
        }
        self.checks += 1;
        match subject.is_signed_by(issuer) {
            Some(true) => return true,
            Some(false) => {
                self.dead_end.get_or_insert(PathProblem::BadSignature {
                    subject: subject.label(),
                    issuer: issuer.label(),
                });
            }
            None => {
                self.dead_end.get_or_insert(PathProblem::WeakSignature {
                    subject: subject.label(),
                    algorithm: subject.signature_oid().to_string(),
                });
            }
        }
        false
    }
}

/// Every rule on a path whose signatures hold, leaf first, root last.
fn check_path(purpose: Purpose, path: &[&Certificate], at: Timestamp) -> Vec<PathProblem> {
    let Some((leaf, issuers)) = path.split_first() else {
        return Vec::new();
    };
    let mut problems = check_leaf(purpose, leaf, at);
    // A key of 2048 bits may sign certificates and timestamps, not models.
    if let (Purpose::CodeSigning, Err(fault)) = (purpose, leaf.public_key()) {
        problems.push(PathProblem::Malformed { detail: fault.to_string() });
    }
    // Authorities between the leaf and the one looked at, not counting those that issued themselves.
    let mut below = 0;
    for (index, issuer) in issuers.iter().enumerate() {
        let is_root = index + 1 == issuers.len();
        check_common(issuer, at, &mut problems);
        let subject = issuer.label();
        match &issuer.basic_constraints {
            Some(basic) if basic.ca => {
                if let Some(allowed) = basic.path_len_constraint
                    && below > usize::from(allowed)
                {
                    problems.push(PathProblem::PathTooLong {
                        subject: subject.clone(),
                        allowed,
                        found: below,
                    });
                }
            }
            _ => problems.push(PathProblem::NotAnAuthority { subject: subject.clone() }),
        }
        match &issuer.key_usage {
            Some(usage) if usage.key_cert_sign() => {}
            None if is_root => {}
            _ => problems.push(PathProblem::MayNotIssue { subject: subject.clone() }),
        }
        let (wanted, problem): (ObjectIdentifier, fn(String) -> PathProblem) = match purpose {
            Purpose::CodeSigning => {
                (rfc5280::ID_KP_CODE_SIGNING, |subject| PathProblem::NotForCodeSigning { subject })
            }
            Purpose::TimeStamping => (rfc5280::ID_KP_TIME_STAMPING, |subject| {
                PathProblem::NotForTimeStamping { subject }
            }),
        };
        let fits = |uses: &[ObjectIdentifier]| {
            uses.contains(&wanted) || uses.contains(&rfc5280::ANY_EXTENDED_KEY_USAGE)
        };
        if issuer.extended_key_usage.as_ref().is_some_and(|uses| !fits(&uses.0)) {
            problems.push(problem(subject));
        }
        if issuer.subject != issuer.issuer {
            below += 1;
        }
    }
    problems
}

fn check_common(certificate: &Certificate, at: Timestamp, problems: &mut Vec<PathProblem>) {
    let (from, until) = certificate.validity();
    if at < from {
        problems.push(PathProblem::NotYetValid { subject: certificate.label(), from, at });
    }
    if at > until {
        problems.push(PathProblem::Expired { subject: certificate.label(), until, at });
    }
    for oid in &certificate.unchecked {
        let extension = match *oid {
            rfc5280::ID_CE_NAME_CONSTRAINTS => "name constraints".to_owned(),
            rfc5280::ID_CE_POLICY_CONSTRAINTS => "policy constraints".to_owned(),
            other => other.to_string(),
        };
        problems.push(PathProblem::UnknownCritical { subject: certificate.label(), extension });
    }
}
