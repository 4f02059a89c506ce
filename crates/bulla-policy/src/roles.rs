//! `roles`: people, by their keys and identities. What one person signs with several keys is one person's word.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bulla::party::{MaySign, Party};
use bulla::{Digest, Fault, IdentityRule, PublicKey, SignerName, Trust};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::authorities::Key;
use crate::places::At;
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

impl RoleEntry {
    /// How many people it names.
    pub(crate) fn count(&self) -> usize {
        self.people.len()
    }
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
    ) -> BTreeMap<String, Role> {
        let mut roles = BTreeMap::new();
        // One person in two roles is one person: with the same keys, windows and identity.
        let mut known: BTreeMap<&str, String> = BTreeMap::new();
        let mut owners: BTreeMap<String, &str> = BTreeMap::new();
        for (name, entry) in entries {
            let at = At::root().of("roles").of(name);
            let mut people = BTreeMap::new();
            for (index, entry) in entry.people.iter().enumerate() {
                let at = at.of("people").nth(index);
                let id = &entry.id;
                if people.contains_key(id) {
                    let message = format!("roles: {name}: {id} stands twice");
                    self.wrong(
                        &at.of("id"),
                        "repeated-name",
                        message,
                        "write all their keys in one place",
                    );
                    continue;
                }
                let Some(person) = self.person(&at, anchors, entry) else { continue };
                let keys = person.keys.iter().map(|key| format!("the same key {key}"));
                let identity = person
                    .identity
                    .as_ref()
                    .map(|name| format!("the same identity {}", name.as_str().to_lowercase()));
                for what in keys.chain(identity) {
                    if let Some(owner) = owners.insert(what.clone(), id)
                        && owner != id
                    {
                        let message = format!(
                            "roles: {name}: {owner} and {id} have {what}: whose word is it?"
                        );
                        let hint = "give each person keys of their own";
                        self.wrong(&at.of("id"), "same-key", message, hint);
                    }
                }
                let signs = person.signs_with();
                if known.insert(id, signs.clone()).is_some_and(|before| before != signs) {
                    let message = format!(
                        "roles: {name}: {id} signs with something else here than in another role: write a person the same everywhere"
                    );
                    let hint = "give them the same keys, windows and identity in each role";
                    self.wrong(&at.of("id"), "other-person", message, hint);
                }
                people.insert(id.clone(), person);
            }
            let threshold = entry.threshold;
            let count = entry.people.len();
            if threshold == 0 || threshold > count {
                let message = format!(
                    "roles: {name}: its threshold is {threshold}, and it has {count} people: nothing could be signed by it"
                );
                let hint = "write how many of them have to sign: at least 1, at most all";
                self.wrong(&at.of("threshold"), "too-few-people", message, hint);
            }
            roles.insert(name.clone(), Role { threshold, people });
        }
        roles
    }

    fn person(&self, at: &At, anchors: &Anchors, entry: &PersonEntry) -> Option<Person> {
        let PersonEntry { id, keys, identity, identity_provider } = entry;
        let party = |trust: Trust| Party {
            id: id.clone(),
            trust: anchors.timed(trust),
            valid: (None, None),
            may_sign: MaySign::Anything,
        };
        let mut person = Person { parties: Vec::new(), keys: BTreeSet::new(), identity: None };
        let mut good = true;
        for (index, key) in keys.iter().enumerate() {
            let at = at.of("keys").nth(index);
            if let Err(what) = key.only_of_authorities() {
                let message = format!("{id}: {what} has a meaning for keys of authorities only");
                self.wrong(&at.of(what), "unknown-member", message, "take it out");
                good = false;
            }
            let valid = self.window(&at, id, key);
            let read = self.key(&at, id, key).and_then(|public| {
                let fingerprint = public.fingerprint();
                Some((fingerprint, self.or_failed(&at, id, Trust::keys(vec![public]))?))
            });
            let (Some((fingerprint, trust)), Some(valid)) = (read, valid) else {
                good = false;
                continue;
            };
            person.keys.insert(fingerprint);
            person.parties.push(Party { valid, ..party(trust) });
        }
        match (identity, identity_provider) {
            (None, None) => {}
            (Some(identity), Some(provider)) => {
                let (name, trust) = self.identity(at, id, anchors, identity, provider)?;
                person.identity = Some(name);
                person.parties.push(party(trust));
            }
            _ => {
                let message = format!("{id}: identity and identity_provider go together");
                self.wrong(&at.of("id"), "missing-member", message, "add the other one");
                good = false;
            }
        }
        if good && person.parties.is_empty() {
            let message = format!("{id}: has neither a key nor an identity");
            self.wrong(
                &at.of("id"),
                "missing-member",
                message,
                "add keys, or identity and identity_provider",
            );
            good = false;
        }
        good.then_some(person)
    }

    /// A person's identity.
    fn identity(
        &self,
        at: &At,
        id: &str,
        anchors: &Anchors,
        identity: &str,
        provider: &str,
    ) -> Option<(SignerName, Trust)> {
        let at = at.of("identity");
        if identity.contains('*') {
            let message = format!("{id}: a person is one identity, without '*'");
            self.wrong(&at, "wrong-value", message, "name the identity");
            return None;
        }
        if !anchors.has_root {
            let message =
                format!("{id}: an identity needs a Sigstore instance: add trust.sigstore");
            let hint = "trust: { sigstore: { trusted_root: FILE, sha256: … } }";
            self.wrong(&at, "missing-member", message, hint);
        }
        let rule = self.or_failed(&at, id, IdentityRule::new(identity, provider))?;
        let name = self.or_failed(&at, id, SignerName::parse(identity))?;
        let root = anchors.root.clone()?;
        Some((name, self.or_failed(&at, id, Trust::sigstore(root, vec![rule]))?))
    }
}
