//! `roles`: people, by their keys and identities. What one person signs with several keys is one person's word.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bulla::party::{MaySign, Party};
use bulla::{Digest, Fault, IdentityRule, PublicKey, SignerName, Trust};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::authorities::Key;
use crate::revocations::RevocationList;
use crate::trust::{Anchors, Reader};

/// People who act together.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoleEntry {
    /// How many of them a document needs that is signed by this role.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    threshold: usize,
    /// The people. One person, in however many roles, is written the same everywhere.
    #[schemars(length(min = 1))]
    people: Vec<PersonEntry>,
}

fn one() -> usize {
    1
}

/// A person: by keys, by an identity, or both.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PersonEntry {
    /// Their name.
    id: String,
    /// Their keys.
    #[serde(default)]
    keys: Vec<Key>,
    /// Their identity, without `*`.
    #[serde(default)]
    identity: Option<String>,
    /// Who vouches for it: a URL.
    #[serde(default)]
    identity_provider: Option<String>,
}

/// People who act together.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Role {
    /// How many of them a document needs that is signed by this role.
    pub threshold: usize,
    /// The people, by their names.
    pub people: BTreeMap<String, Person>,
}

/// A person.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Person {
    /// What their signatures are checked by: one entry for each key, and for the identity. Its `id` is the person's name.
    pub parties: Vec<Party>,
    /// Fingerprints of their keys.
    pub keys: BTreeSet<Digest>,
    /// Their identity, if they sign with one.
    pub identity: Option<SignerName>,
}

impl Person {
    /// Everything that their signatures are checked by, to compare.
    fn signs_with(&self) -> String {
        let windows: Vec<_> = self.parties.iter().map(|party| party.valid).collect();
        format!("{:?} {windows:?} {:?}", self.keys, self.identity)
    }
}

impl Role {
    /// Whoever holds these keys, of whom so many are needed: those that somebody pins for a document, rather than the document itself.
    ///
    /// # Errors
    /// [`Fault::Key`] when there are fewer keys than are needed, or none is.
    pub fn of_keys(keys: Vec<PublicKey>, threshold: usize) -> Result<Self, Fault> {
        let mut people = BTreeMap::new();
        for key in keys {
            let id = key.fingerprint().to_string();
            let person = Person {
                keys: BTreeSet::from([key.fingerprint()]),
                identity: None,
                parties: vec![Party::of_key(id.clone(), key, MaySign::Anything)?],
            };
            people.insert(id, person);
        }
        if threshold == 0 || threshold > people.len() {
            return Err(Fault::Key {
                detail: format!("{threshold} signatures are asked for, of {} keys", people.len()),
                hint: Some("name at least as many keys as signatures are needed"),
            });
        }
        Ok(Self { threshold, people })
    }

    /// The same people, of whom nothing counts that rests on what was withdrawn.
    pub(crate) fn without(&self, withdrawn: &RevocationList) -> Self {
        let signers = Arc::new(withdrawn.signers.clone());
        let mut role = self.clone();
        for party in role.people.values_mut().flat_map(|person| &mut person.parties) {
            party.trust = party.trust.clone().with_revocations(signers.clone());
        }
        role
    }

    /// Everybody's entries.
    pub fn parties(&self) -> impl Iterator<Item = &Party> {
        self.people.values().flat_map(|person| &person.parties)
    }
}

impl Reader<'_> {
    pub(crate) fn roles(
        &self,
        anchors: &Anchors,
        entries: &BTreeMap<String, RoleEntry>,
    ) -> Result<BTreeMap<String, Role>, Fault> {
        let mut roles = BTreeMap::new();
        // One person in two roles is one person: with the same keys, windows and identity.
        let mut known: BTreeMap<&str, String> = BTreeMap::new();
        let mut owners: BTreeMap<String, &str> = BTreeMap::new();
        for (name, entry) in entries {
            let fault = |detail: String| self.fault(format!("roles: {name}: {detail}"));
            let mut people = BTreeMap::new();
            for entry in &entry.people {
                let person = self.person(anchors, entry)?;
                let keys = person.keys.iter().map(|key| format!("the same key {key}"));
                let identity = person
                    .identity
                    .as_ref()
                    .map(|name| format!("the same identity {}", name.as_str().to_lowercase()));
                for what in keys.chain(identity) {
                    if let Some(owner) = owners.insert(what.clone(), &entry.id)
                        && owner != entry.id
                    {
                        return Err(fault(format!(
                            "{owner} and {} have {what}: whose word is it?",
                            entry.id
                        )));
                    }
                }
                let signs = person.signs_with();
                if known.insert(&entry.id, signs.clone()).is_some_and(|before| before != signs) {
                    return Err(fault(format!(
                        "{} signs with something else here than in another role: write a person the same everywhere",
                        entry.id
                    )));
                }
                if people.insert(entry.id.clone(), person).is_some() {
                    return Err(fault(format!("{} stands twice", entry.id)));
                }
            }
            let threshold = entry.threshold;
            if threshold == 0 || threshold > people.len() {
                return Err(fault(format!(
                    "its threshold is {threshold}, and it has {} people: nothing could be signed by it",
                    people.len()
                )));
            }
            roles.insert(name.clone(), Role { threshold, people });
        }
        Ok(roles)
    }

    fn person(&self, anchors: &Anchors, entry: &PersonEntry) -> Result<Person, Fault> {
        let PersonEntry { id, keys, identity, identity_provider } = entry;
        let fault = |detail: String| self.fault(format!("{id}: {detail}"));
        let party = |trust: Trust| Party {
            id: id.clone(),
            trust: anchors.timed(trust),
            valid: (None, None),
            may_sign: MaySign::Anything,
        };
        let mut person = Person { parties: Vec::new(), keys: BTreeSet::new(), identity: None };
        for key in keys {
            key.only_of_authorities().map_err(|what| {
                fault(format!("{what} has a meaning for keys of authorities only"))
            })?;
            let public = self.key(id, key)?;
            let valid = key.valid().map_err(fault)?;
            person.keys.insert(public.fingerprint());
            person.parties.push(Party { valid, ..party(Trust::keys(vec![public])?) });
        }
        match (identity, identity_provider) {
            (None, None) => {}
            (Some(identity), Some(provider)) => {
                if identity.contains('*') {
                    return Err(fault("a person is one identity, without '*'".into()));
                }
                let root = anchors.root.as_ref().ok_or_else(|| {
                    fault("an identity needs a Sigstore instance: add trust.sigstore".into())
                })?;
                let rule =
                    IdentityRule::new(identity, provider).map_err(|e| fault(e.to_string()))?;
                let name = SignerName::parse(identity).map_err(|e| fault(e.to_string()))?;
                person.identity = Some(name);
                person.parties.push(party(Trust::sigstore(root.clone(), vec![rule])?));
            }
            _ => return Err(fault("identity and identity_provider go together".into())),
        }
        match person.parties.is_empty() {
            true => Err(fault("has neither a key nor an identity".into())),
            false => Ok(person),
        }
    }
}
