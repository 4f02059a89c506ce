//! What was withdrawn: keys, authorities, identities for a while. It is checked with every signature, whoever made it
//! and whatever it is about (rule 9 of the security design).
//!
//! A signature is made some time from the start of its certificate to the earliest time at which somebody trusted saw it, or to now.
//! If it may have been made after what it rests on was withdrawn, it does not count. Nobody's clock counts who was withdrawn
//! himself, from whenever: with a stolen key of a timestamp authority every time can be written.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use jiff::Timestamp;

use super::ca::TrustedPath;
use super::certificate::SignerName;
use super::identity::IdentityRule;
use super::sigstore::Vouched;
use crate::digest::Digest;
use crate::error::Reason;

/// Everything that was withdrawn. Nothing by default; adding more never makes a signature count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocations {
    keys: BTreeMap<Digest, Revoked>,
    authorities: BTreeMap<Digest, Revoked>,
    identities: Vec<RevokedIdentity>,
}

/// That and why something was withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// As of when: what was signed before stays. `None`: from the beginning.
    pub since: Option<Timestamp>,
    /// Why, in words.
    pub reason: String,
}

/// An identity that was somebody else's for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedIdentity {
    /// The name in certificates.
    pub identity: String,
    /// The identity provider; `None` for any, and for certificates of other authorities.
    pub provider: Option<String>,
    /// From when; `None`: from the beginning.
    pub from: Option<Timestamp>,
    /// Until when; `None`: for ever.
    pub until: Option<Timestamp>,
    /// Why, in words.
    pub reason: String,
}

/// What a signature that holds rests on.
pub(crate) struct Rests<'a> {
    pub(crate) key: &'a Digest,
    pub(crate) path: Option<&'a TrustedPath>,
    pub(crate) names: &'a [SignerName],
    pub(crate) provider: Option<&'a str>,
    /// It was not made before: the start of its certificate.
    pub(crate) not_before: Option<Timestamp>,
}

impl Revocations {
    /// Withdraws a key, by the SHA-256 of its `SubjectPublicKeyInfo`, in every role: signer, authority, timestamp authority, log.
    pub fn key(&mut self, fingerprint: Digest, revoked: Revoked) {
        add(&mut self.keys, fingerprint, revoked);
    }

    /// Withdraws a certificate, of an authority or of anybody else, by the SHA-256 of its DER. Others with the same key stay: where a
    /// key was stolen, withdraw the key.
    pub fn authority(&mut self, fingerprint: Digest, revoked: Revoked) {
        add(&mut self.authorities, fingerprint, revoked);
    }

    /// Withdraws an identity for a while.
    pub fn identity(&mut self, revoked: RevokedIdentity) {
        self.identities.push(revoked);
    }

    /// The certificates that were withdrawn.
    pub fn authorities(&self) -> impl Iterator<Item = &Digest> {
        self.authorities.keys()
    }

    /// Adds all of another list.
    pub fn unite(&mut self, other: &Self) {
        let (keys, authorities) = (other.keys.clone(), other.authorities.clone());
        keys.into_iter().for_each(|(key, revoked)| self.key(key, revoked));
        authorities.into_iter().for_each(|(one, revoked)| self.authority(one, revoked));
        self.identities.extend(other.identities.iter().cloned());
    }

    /// Takes the times away that somebody says whose key or certificate was withdrawn.
    pub(crate) fn prune(&self, vouched: &mut Vouched) {
        vouched.times.retain(|time| {
            !time.keys.iter().any(|key| self.keys.contains_key(key))
                && !time.certificates.iter().any(|one| self.authorities.contains_key(one))
        });
    }

    /// Refuses a signature that may have been made after what it rests on was withdrawn.
    pub(crate) fn check(
        &self,
        rests: &Rests<'_>,
        existed_by: Option<Timestamp>,
        now: Timestamp,
    ) -> Vec<Reason> {
        let latest = existed_by.unwrap_or(now);
        let mut reasons = Vec::new();
        let mut refuse = |what: String, revoked: &Revoked| {
            if revoked.since.is_none_or(|since| latest >= since) {
                reasons.push(Reason::Revoked {
                    what,
                    since: revoked.since,
                    why: revoked.reason.clone(),
                    existed_by,
                });
            }
        };
        let path_keys = rests.path.into_iter().flat_map(|path| &path.keys);
        for key in std::iter::once(rests.key).chain(path_keys.filter(|key| *key != rests.key)) {
            if let Some(revoked) = self.keys.get(key) {
                refuse(format!("the key {key}"), revoked);
            }
        }
        for certificate in rests.path.into_iter().flat_map(|path| &path.certificates) {
            if let Some(revoked) = self.authorities.get(certificate) {
                refuse(format!("the certificate {certificate}"), revoked);
            }
        }
        for revoked in self.identities.iter().filter(|revoked| revoked.is_of(rests)) {
            let over = match (revoked.until, rests.not_before) {
                (Some(until), Some(not_before)) => until <= not_before,
                _ => false,
            };
            if !over && revoked.from.is_none_or(|from| from <= latest) {
                reasons.push(Reason::Revoked {
                    what: format!("the identity {}", revoked.identity),
                    since: revoked.from,
                    why: revoked.reason.clone(),
                    existed_by,
                });
            }
        }
        reasons
    }
}

/// Of two entries for one thing the earlier counts.
fn add(list: &mut BTreeMap<Digest, Revoked>, fingerprint: Digest, revoked: Revoked) {
    match list.entry(fingerprint) {
        Entry::Vacant(entry) => {
            entry.insert(revoked);
        }
        // `None` is before every time.
        Entry::Occupied(mut entry) if revoked.since < entry.get().since => {
            entry.insert(revoked);
        }
        Entry::Occupied(_) => {}
    }
}

impl RevokedIdentity {
    /// A name as it is compared: what is withdrawn may be written as it is shown (`email:a@b`) or without its kind.
    ///
    /// # Errors
    /// In words, when no signer could have that name: it would withdraw nobody.
    pub fn name(text: &str, provider: Option<&str>) -> Result<String, String> {
        let expected = "expected an e-mail address, a URI or a DNS name, as in the certificate";
        let name =
            SignerName::parse(text).map_err(|_| format!("{text:?} is no name: {expected}"))?;
        if name.as_str().contains('*') {
            return Err(format!("{text:?} is a pattern: {expected}; withdraw each name"));
        }
        if let Some(provider) = provider {
            IdentityRule::new(name.as_str(), provider).map_err(|fault| fault.to_string())?;
        }
        Ok(name.as_str().to_owned())
    }

    fn is_of(&self, rests: &Rests<'_>) -> bool {
        // Domains are written in any case: here it is better to match too much.
        let own = SignerName::parse(&self.identity);
        let own = own.as_ref().map_or(self.identity.as_str(), SignerName::as_str);
        let named = |name: &SignerName| name.as_str().eq_ignore_ascii_case(own);
        let provided = self.provider.as_deref().is_none_or(|p| rests.provider == Some(p));
        provided && rests.names.iter().any(named)
    }
}
