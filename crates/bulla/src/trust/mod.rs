//! Keys, certificates and whom to trust.
//!
//! Nothing is trusted by default: a verifier names keys, or certificate authorities. There is no
//! default store of authorities, and no "signed by somebody".

mod ca;
mod certificate;
mod cosign_key;
mod file_hash;
mod identity;
mod key_pair;
mod pem;
mod public_key;
mod revocation;
mod sigstore;
mod timestamp;

pub use ca::{PathProblem, TrustedPath};
pub use certificate::{Certificate, SignerName};
pub use file_hash::{BlobSource, FileBytes, FileHashes, FileToSign};
pub use identity::{ClaimRule, Claims, IdentityRule};
pub use key_pair::{KeyFileFormat, KeyPair, Password, PrivateKeyFile};
pub use public_key::{KeyAlgorithm, PublicKey};
pub use revocation::{Revocations, Revoked, RevokedIdentity};
pub use sigstore::{
    Embedded, LogRecord, RootEntry, SigstoreProblem, SigstoreRoot, TimeSource, TrustedTime,
};
pub use timestamp::{TimestampProblem, check_response};

pub(crate) use ca::{Purpose, check_leaf, find_path};
pub(crate) use file_hash::FileSignature;
pub(crate) use revocation::Rests;
pub(crate) use sigstore::{Artifact, Identity, Unverified, Vouched};
pub(crate) use timestamp::to_show as timestamp_to_show;

use std::sync::Arc;

use jiff::Timestamp;

use crate::error::Fault;
use crate::limits::Limits;
use timestamp::TimestampAuthority;

/// Whom to trust: with signatures, and with the time. No kind can be empty.
#[derive(Debug, Clone)]
pub struct Trust {
    pub(crate) signers: Signers,
    pub(crate) time: TimeTrust,
    pub(crate) revocations: Arc<Revocations>,
}

#[derive(Debug, Clone)]
pub(crate) enum Signers {
    Keys(Vec<PublicKey>),
    Ca { authorities: Vec<Certificate>, signer: Option<SignerName> },
    Sigstore { root: SigstoreRoot, rules: Vec<IdentityRule> },
}

/// Who is believed to know when a signature was made. Nobody by default.
#[derive(Debug, Clone, Default)]
pub(crate) struct TimeTrust {
    authorities: Vec<Certificate>,
    root: Option<SigstoreRoot>,
}

impl Trust {
    /// Signatures by any of these keys.
    ///
    /// # Errors
    /// [`Fault::Key`] when there is none.
    pub fn keys(keys: Vec<PublicKey>) -> Result<Self, Fault> {
        if keys.is_empty() {
            return Err(Fault::key("no key is named to trust"));
        }
        Ok(Self::of(Signers::Keys(keys)))
    }

    /// Signatures by certificates that lead to any of these authorities; only by the signer of this
    /// name, if one is given.
    ///
    /// # Errors
    /// [`Fault::Key`] when there is no authority.
    pub fn certificate_authorities(
        authorities: Vec<Certificate>,
        signer: Option<SignerName>,
    ) -> Result<Self, Fault> {
        if authorities.is_empty() {
            return Err(Fault::key("no certificate authority is named to trust"));
        }
        Ok(Self::of(Signers::Ca { authorities, signer }))
    }

    /// Signatures that a Sigstore instance certified, by anyone whom a rule accepts.
    ///
    /// # Errors
    /// [`Fault::Key`] when there is no rule.
    pub fn sigstore(root: SigstoreRoot, rules: Vec<IdentityRule>) -> Result<Self, Fault> {
        if rules.is_empty() {
            return Err(Fault::key("no identity is named to trust"));
        }
        Ok(Self::of(Signers::Sigstore { root, rules }))
    }

    fn of(signers: Signers) -> Self {
        Self { signers, time: TimeTrust::default(), revocations: Arc::default() }
    }

    /// Believes RFC 3161 timestamps of authorities whose certificates lead to these roots, too: then a signature counts
    /// whose certificate has expired since.
    #[must_use]
    pub fn with_timestamp_roots(mut self, roots: Vec<Certificate>) -> Self {
        self.time.authorities.extend(roots);
        self
    }

    /// Believes the timestamp authorities and logs of a trusted root, for signatures by keys and
    /// by certificates of other authorities.
    #[must_use]
    pub fn with_time_of(mut self, root: SigstoreRoot) -> Self {
        self.time.root = Some(root);
        self
    }

    /// Counts nothing that rests on what was withdrawn. Everything that was given before is replaced.
    #[must_use]
    pub fn with_revocations(mut self, revocations: Arc<Revocations>) -> Self {
        self.revocations = revocations;
        self
    }

    /// What the caller asked for, in words.
    pub(crate) fn expectation(&self) -> &'static str {
        match self.signers {
            Signers::Keys(_) => "you named a key to trust",
            Signers::Ca { .. } => "you named a certificate authority to trust",
            Signers::Sigstore { .. } => "you named an identity to trust",
        }
    }
}

impl Trust {
    /// Checks what a bundle says about time, for a signature by this key: nothing, if nobody is believed; and nobody is who was
    /// withdrawn.
    pub(crate) fn vouch(
        &self,
        bundle: &Unverified<'_>,
        key: &PublicKey,
        artifact: impl FnOnce() -> Option<Artifact>,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<Vouched, Vec<SigstoreProblem>> {
        let mut vouched = Vouched { times: Vec::new(), records: Vec::new() };
        let mut problems = Vec::new();
        // Named roots first: a stamp has to be of one of them or of the root's.
        let mut authorities: Vec<TimestampAuthority> = Vec::new();
        if !self.time.authorities.is_empty() {
            // Those that issued themselves are roots; where there is none, all that were named are.
            let is_root = |certificate: &&Certificate| certificate.subject == certificate.issuer;
            let (roots, others): (Vec<_>, Vec<_>) =
                match self.time.authorities.iter().any(|c| is_root(&c)) {
                    true => self.time.authorities.iter().cloned().partition(|c| is_root(&c)),
                    false => (self.time.authorities.clone(), Vec::new()),
                };
            authorities.push(TimestampAuthority {
                signer: None,
                intermediates: others,
                roots,
                valid: (None, None),
            });
        }
        if let Some(root) = &self.time.root {
            authorities.extend(root.timestamp_authorities().iter().cloned());
        }
        if !authorities.is_empty() {
            for token in &bundle.evidence.timestamps {
                let stamp = timestamp::verify(token, bundle.signature(), &authorities, now, limits);
                match stamp {
                    Ok(stamp) => vouched.times.push(TrustedTime::of_stamp(stamp)),
                    Err(problem) => problems.push(problem.into()),
                }
            }
        }
        if let Some(root) = &self.time.root
            && !bundle.evidence.log_entries.is_empty()
            && let Some(artifact) = artifact()
        {
            match root.verify_logged(bundle, key, artifact, now) {
                Ok(logged) => {
                    vouched.times.extend(logged.times);
                    vouched.records.extend(logged.records);
                }
                Err(problem) => problems.push(problem),
            }
        }
        self.revocations.prune(&mut vouched);
        if problems.is_empty() { Ok(vouched) } else { Err(problems) }
    }
}

impl Vouched {
    /// The earliest trusted time.
    pub(crate) fn earliest(&self) -> Option<Timestamp> {
        self.times.iter().map(|time| time.at).min()
    }
}
