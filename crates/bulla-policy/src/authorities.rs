//! `signing_authorities`: keys, certificates and identities, each with what it may sign.

use std::collections::BTreeMap;

use bulla::jiff::Timestamp;
use bulla::party::{MaySign, Party};
use bulla::text::{glob, time};
use bulla::{ClaimRule, Digest, IdentityRule, PublicKey, SignerName, Trust};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::concern::meant;
use crate::places::At;
use crate::schema::{self, FINGERPRINT, TIME};
use crate::span::Span;
use crate::trust::{Anchors, Reader};

/// Somebody who signs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Authority {
    /// By what it is known.
    #[serde(rename = "type")]
    kind: Kind,
    /// Where each of its keys has to be kept, as its record says.
    #[serde(default)]
    pub(crate) key_storage: Option<Storage>,
    /// Of which algorithm each of its keys has to be.
    #[serde(default)]
    pub(crate) key_algorithm: Option<String>,
    /// How often its keys are replaced.
    #[serde(default)]
    pub(crate) rotation: Option<Rotation>,
    /// How many people have to agree to what it signed.
    #[serde(default)]
    pub(crate) approvals: Option<ApprovalsEntry>,
    /// What all of its keys or identities may sign: models (`oms`), statements by their names, or any predicate type.
    #[serde(default)]
    #[schemars(schema_with = "schema::may_sign")]
    may_sign: Vec<String>,
    /// For keys: them.
    #[serde(default)]
    keys: Vec<Key>,
    /// For certificates: names of certificate authorities, else all that are listed.
    #[serde(default)]
    certificate_authorities: Vec<String>,
    /// For certificates: whom they are for. For keys: who may hold one.
    #[serde(default)]
    authorized_signers: Vec<String>,
    /// For identities: who vouches for them, a URL.
    #[serde(default)]
    identity_provider: Option<String>,
    /// For identities: patterns of them. `*` crosses neither `@` nor `/`.
    #[serde(default)]
    allowed_identities: Vec<String>,
    /// For identities: what their certificates must say of the run, NAME=VALUE.
    #[serde(default)]
    require_claims: Vec<String>,
}

/// Where a key is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// In a file.
    File,
    /// In a vault, from which it can be read.
    Vault,
    /// In a cloud's key service, which signs with it.
    Kms,
    /// In hardware that does not hand it out.
    Hsm,
}

/// How often keys are replaced.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotation {
    /// After how long each key is replaced.
    pub(crate) every: Span,
    /// For how long both count.
    pub(crate) overlap: Span,
}

/// Who has to agree.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApprovalsEntry {
    /// How many people. Whoever signed the model is none of them.
    #[schemars(range(min = 1))]
    pub(crate) required: usize,
    /// Of which role.
    pub(crate) from: String,
    /// The longest that an approval counts, whatever it says itself.
    #[serde(default)]
    pub(crate) valid_for: Option<Span>,
}

/// By what an authority is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// By keys.
    Key,
    /// By certificates that lead to a certificate authority.
    Certificate,
    /// By identities, in certificates of a Sigstore instance.
    Keyless,
}

/// A public key: PEM, or a path with the fingerprint of what is there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    /// What it is called.
    #[serde(default)]
    id: Option<String>,
    /// The key in PEM; or the path of a file with it, which begins where the document lies.
    public_key: String,
    /// SHA-256 of the key. A key in another file needs it.
    #[serde(default)]
    #[schemars(regex(pattern = FINGERPRINT))]
    fingerprint: Option<String>,
    /// Where it is kept.
    #[serde(default)]
    storage: Option<Storage>,
    /// Who holds it: a person or a machine.
    #[serde(default)]
    signer: Option<String>,
    /// When its signatures count.
    #[serde(default)]
    valid: Option<Valid>,
    /// What it may sign, if that is not what all keys of the authority may.
    #[serde(default)]
    #[schemars(schema_with = "schema::may_sign")]
    may_sign: Option<Vec<String>>,
}

/// When signatures count.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Valid {
    /// From then on.
    #[serde(default)]
    #[schemars(regex(pattern = TIME))]
    from: Option<String>,
    /// Before then.
    #[serde(default)]
    #[schemars(regex(pattern = TIME))]
    until: Option<String>,
}

/// What a document says of one key.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KeyRecord {
    /// Whose it is: the authority's name.
    pub authority: String,
    /// What it is called there.
    pub id: Option<String>,
    /// SHA-256 of its `SubjectPublicKeyInfo`.
    pub fingerprint: Digest,
    /// Its algorithm's name.
    pub algorithm: String,
    /// Where it is kept.
    pub storage: Option<Storage>,
    /// Who holds it.
    pub signer: Option<String>,
    /// When its signatures count: from the first, and before the second.
    pub valid: (Option<Timestamp>, Option<Timestamp>),
}

impl Reader<'_> {
    /// Every party, with all its keys.
    pub(crate) fn parties(
        &self,
        anchors: &Anchors,
        authorities: &BTreeMap<String, Authority>,
    ) -> (Vec<Party>, Vec<KeyRecord>) {
        let all = At::root().of("signing_authorities");
        if authorities.is_empty() {
            let message = "signing_authorities is empty: nobody is named to trust";
            self.wrong(&all, "missing-member", message, "name who signs, and by which keys");
        }
        let (mut parties, mut records) = (Vec::new(), Vec::new());
        for (id, authority) in authorities {
            let at = all.of(id);
            if !self.members(&at, id, authority) {
                continue;
            }
            let party = |trust: Trust, may_sign: &MaySign| Party {
                id: id.clone(),
                trust: anchors.timed(trust),
                valid: (None, None),
                may_sign: may_sign.clone(),
            };
            // Where each key says so itself nothing has to be said of all of them.
            let each = authority.kind == Kind::Key
                && authority.may_sign.is_empty()
                && authority.keys.iter().all(|key| key.may_sign.is_some());
            let may_sign = match each {
                true => MaySign::only(Vec::<String>::new()),
                false => match self.may_sign(&at.of("may_sign"), id, &authority.may_sign) {
                    Some(may_sign) => may_sign,
                    // What else is wrong is found out all the same.
                    None => MaySign::only(Vec::<String>::new()),
                },
            };
            match authority.kind {
                Kind::Key => {
                    self.holders(&at.of("authorized_signers"), id, &authority.authorized_signers);
                    for (index, key) in authority.keys.iter().enumerate() {
                        let at = at.of("keys").nth(index);
                        let own = key.may_sign.as_ref();
                        let own = own.map(|own| self.may_sign(&at.of("may_sign"), id, own));
                        let public = self.key(&at, id, key);
                        let record = public
                            .as_ref()
                            .and_then(|public| self.record(&at, id, authority, key, public));
                        if public.is_none() {
                            self.window(&at, id, key);
                        }
                        let (Some(public), Some(record)) = (public, record) else { continue };
                        let may_sign = match own {
                            Some(Some(own)) => own,
                            Some(None) => continue,
                            None => may_sign.clone(),
                        };
                        let Some(trust) = self.or_failed(&at, id, Trust::keys(vec![public])) else {
                            continue;
                        };
                        parties.push(Party { valid: record.valid, ..party(trust, &may_sign) });
                        records.push(record);
                    }
                }
                Kind::Certificate => {
                    let names = &authority.certificate_authorities;
                    let known: Vec<String> =
                        anchors.authorities.iter().map(|(name, _)| name.clone()).collect();
                    for (index, name) in names.iter().enumerate() {
                        let at = at.of("certificate_authorities").nth(index);
                        let message =
                            format!("{id}: there is no certificate authority {name} under trust");
                        self.known(&at, message, name, &known);
                    }
                    let named = anchors.authorities.iter();
                    let named = named.filter(|(name, _)| names.is_empty() || names.contains(name));
                    let roots: Vec<_> = named.flat_map(|(_, roots)| roots.clone()).collect();
                    if anchors.authorities.is_empty() {
                        let message =
                            format!("{id}: no certificate authority is listed under trust");
                        let hint = "list it under trust.certificate_authorities";
                        self.wrong(&at, "missing-member", message, hint);
                    }
                    for (index, signer) in authority.authorized_signers.iter().enumerate() {
                        let at = at.of("authorized_signers").nth(index);
                        let Some(signer) = self.or_failed(&at, id, SignerName::parse(signer))
                        else {
                            continue;
                        };
                        if roots.is_empty() {
                            continue;
                        }
                        let trust = Trust::certificate_authorities(roots.clone(), Some(signer));
                        if let Some(trust) = self.or_failed(&at, id, trust) {
                            parties.push(party(trust, &may_sign));
                        }
                    }
                }
                Kind::Keyless => {
                    if !anchors.has_root {
                        let message = format!(
                            "{id}: an identity needs a Sigstore instance: add trust.sigstore"
                        );
                        let hint = "trust: { sigstore: { trusted_root: FILE, sha256: … } }";
                        self.wrong(&at.of("type"), "missing-member", message, hint);
                    }
                    let rules = self.identities(&at, id, authority);
                    let (Some(root), Some(rules)) = (&anchors.root, rules) else { continue };
                    let trust = Trust::sigstore(root.clone(), rules);
                    if let Some(trust) = self.or_failed(&at, id, trust) {
                        parties.push(party(trust, &may_sign));
                    }
                }
            }
        }
        (parties, records)
    }

    /// That patterns of who may hold a key do not fit everybody.
    fn holders(&self, at: &At, id: &str, patterns: &[String]) {
        for (index, pattern) in patterns.iter().enumerate() {
            let domain = pattern.rsplit('@').next().unwrap_or_default();
            if domain.trim_matches(['*', '.']).is_empty() {
                let message = format!("{id}: authorized_signers: {pattern:?} accepts anybody");
                let hint = "name who may hold a key, or of which domain they are";
                self.wrong(&at.nth(index), "anybody", message, hint);
            }
        }
    }

    /// Whom an authority without keys is known by, if every pattern is one.
    fn identities(&self, at: &At, id: &str, authority: &Authority) -> Option<Vec<IdentityRule>> {
        let provider = authority.identity_provider.as_deref().unwrap_or_default();
        let mut claims = Vec::new();
        for (index, claim) in authority.require_claims.iter().enumerate() {
            let at = at.of("require_claims").nth(index);
            claims.push(self.or_failed(&at, id, ClaimRule::parse(claim)));
        }
        let claims: Option<Vec<ClaimRule>> = claims.into_iter().collect();
        // The provider is one for all: what is wrong with it is told once.
        let known = IdentityRule::new("a@example.com", provider);
        let known = self.or_failed(&at.of("identity_provider"), id, known);
        let provider = known.map_or("https://example.com", |_| provider);
        let mut rules = Vec::new();
        for (index, identity) in authority.allowed_identities.iter().enumerate() {
            let at = at.of("allowed_identities").nth(index);
            let rule = self.or_failed(&at, id, IdentityRule::new(identity, provider));
            rules.push(
                rule.zip(claims.clone())
                    .map(|(rule, claims)| claims.into_iter().fold(rule, IdentityRule::require)),
            );
        }
        rules.into_iter().collect()
    }

    fn may_sign(&self, at: &At, id: &str, names: &[String]) -> Option<MaySign> {
        let known: Vec<&str> = MaySign::names().collect();
        if names.is_empty() {
            let message = format!("{id}: may_sign is missing: some of {}", known.join(", "));
            self.wrong(at, "missing-member", message, "say what its signatures count for");
            return None;
        }
        let mut good = true;
        for (index, name) in names.iter().enumerate() {
            if known.contains(&name.as_str()) || name.contains(':') {
                continue;
            }
            let message = format!(
                "{id}: may_sign: {name:?} is none of {}, and no predicate type",
                known.join(", ")
            );
            let hint = meant(name, known.iter().copied());
            self.wrong(&at.nth(index), "unknown-name", message, hint.unwrap_or_default());
            good = false;
        }
        good.then(|| MaySign::only(names))
    }

    /// A key that is named, and is what the document says.
    pub(crate) fn key(&self, at: &At, authority: &str, key: &Key) -> Option<PublicKey> {
        let what = match &key.id {
            Some(id) => format!("{authority}, key {id}"),
            None => format!("{authority}, key"),
        };
        let place = at.of("public_key");
        let mut pinned = true;
        let text = self.text(&place, &what, &key.public_key, self.limits.pem_bytes, |_| {
            pinned = key.fingerprint.is_some();
            Ok(())
        })?;
        let public = PublicKey::from_pem(&text, self.limits);
        let public = self.or_failed(&place, &what, public)?;
        let found = public.fingerprint().to_string();
        if !pinned {
            let message = format!(
                "{what}: {} is another file: add the fingerprint of the key that it has to hold (it is now {found})",
                key.public_key
            );
            self.wrong(&place, "other-file", message, format!("fingerprint: \"{found}\""));
            return None;
        }
        match &key.fingerprint {
            Some(expected) if *expected != found => {
                let message = format!("{what}: its fingerprint is {found}, expected {expected}");
                let hint =
                    "find out which key is meant: 'bulla key show' says the fingerprint of one";
                self.wrong(&at.of("fingerprint"), "other-key", message, hint);
                None
            }
            _ => Some(public),
        }
    }

    /// That an authority has what its type needs, and nothing else: what is not looked at would only seem to restrict.
    fn members(&self, at: &At, id: &str, authority: &Authority) -> bool {
        let wrong = authority.check_members();
        for (name, message) in &wrong {
            let hint = match message.ends_with("is missing") {
                true => format!("add {name}, or give it another type"),
                false => format!("take {name} out, or give it another type"),
            };
            self.wrong(&at.of(*name), "missing-member", format!("{id}: {message}"), hint);
        }
        wrong.is_empty()
    }

    /// When a key's signatures count.
    pub(crate) fn window(
        &self,
        at: &At,
        id: &str,
        key: &Key,
    ) -> Option<(Option<Timestamp>, Option<Timestamp>)> {
        let hint = "from and until are days (2026-11-20) or times, until after from";
        let valid = key.valid().map_err(|why| format!("{id}: {why}"));
        self.or_wrong(&at.of("valid"), hint, valid)
    }

    /// What is said of a key, if it is what is asked of all keys of its authority.
    fn record(
        &self,
        at: &At,
        id: &str,
        authority: &Authority,
        key: &Key,
        public: &PublicKey,
    ) -> Option<KeyRecord> {
        let what = key.id.as_deref().map_or("a key".to_owned(), |id| format!("the key {id}"));
        let algorithm = public.algorithm().name();
        let mut good = true;
        let mut wrong = |member: &str, message: String, hint: &str| {
            self.wrong(&at.of(member), "wrong-key", format!("{id}: {message}"), hint);
            good = false;
        };
        if let Some(asked) = &authority.key_algorithm
            && !asked.eq_ignore_ascii_case(&algorithm)
        {
            let message = format!("{what} is {algorithm}, but key_algorithm asks for {asked}");
            wrong("public_key", message, "name another key, or another key_algorithm");
        }
        if let Some(asked) = authority.key_storage
            && key.storage.is_none_or(|storage| storage < asked)
        {
            let found = key.storage.map_or("says nothing of its storage".to_owned(), |storage| {
                format!("is kept in {storage}")
            });
            let message = format!("{what} {found}, but key_storage asks for {asked}");
            wrong("storage", message, "say where it is kept; keep it where that is asked for");
        }
        if !authority.authorized_signers.is_empty() {
            let holds =
                |signer: &String| authority.authorized_signers.iter().any(|p| glob(p, signer));
            if !key.signer.as_ref().is_some_and(holds) {
                let found = key.signer.as_deref().unwrap_or("nobody");
                let message =
                    format!("{what} is held by {found}, who is not among the authorized_signers");
                wrong(
                    "signer",
                    message,
                    "say who holds it: signer; add them to authorized_signers",
                );
            }
        }
        let valid = self.window(at, id, key).filter(|_| good)?;
        Some(KeyRecord {
            authority: id.to_owned(),
            id: key.id.clone(),
            fingerprint: public.fingerprint(),
            algorithm,
            storage: key.storage,
            signer: key.signer.clone(),
            valid,
        })
    }
}

impl Authority {
    /// Whom it is known by, where that is no key.
    pub(crate) fn whom(&self) -> Option<String> {
        let list = |all: &[String]| all.join(" or ");
        match self.kind {
            Kind::Key => None,
            Kind::Certificate => {
                let by = match self.certificate_authorities.as_slice() {
                    [] => "any certificate authority that is listed".to_owned(),
                    names => list(names),
                };
                Some(format!("certificates of {by} for {}", list(&self.authorized_signers)))
            }
            Kind::Keyless => {
                let provider = self.identity_provider.as_deref().unwrap_or_default();
                let claims = match self.require_claims.as_slice() {
                    [] => String::new(),
                    claims => format!(", with {}", claims.join(" and ")),
                };
                let whom = list(&self.allowed_identities);
                Some(format!("identities {whom}, vouched for by {provider}{claims}"))
            }
        }
    }

    /// What is missing for its type, and what is of another, by names.
    fn check_members(&self) -> Vec<(&'static str, String)> {
        let members = [
            ("keys", !self.keys.is_empty(), Kind::Key, true),
            ("key_storage", self.key_storage.is_some(), Kind::Key, false),
            ("key_algorithm", self.key_algorithm.is_some(), Kind::Key, false),
            ("rotation", self.rotation.is_some(), Kind::Key, false),
            (
                "certificate_authorities",
                !self.certificate_authorities.is_empty(),
                Kind::Certificate,
                false,
            ),
            ("allowed_identities", !self.allowed_identities.is_empty(), Kind::Keyless, true),
            ("identity_provider", self.identity_provider.is_some(), Kind::Keyless, true),
            ("require_claims", !self.require_claims.is_empty(), Kind::Keyless, false),
        ];
        let mut wrong = Vec::new();
        let mut other = |name: &'static str| {
            wrong.push((name, format!("{name} is for authorities of another type")));
        };
        // Keys have it, too: there it says who may hold one.
        let signers = !self.authorized_signers.is_empty();
        if signers && self.kind == Kind::Keyless {
            other("authorized_signers");
        }
        for (name, given, kind, _) in members {
            if given && kind != self.kind {
                other(name);
            }
        }
        if !signers && self.kind == Kind::Certificate {
            wrong.push(("authorized_signers", "authorized_signers is missing".to_owned()));
        }
        for (name, given, kind, needed) in members {
            if !given && needed && kind == self.kind {
                wrong.push((name, format!("{name} is missing")));
            }
        }
        wrong
    }
}

impl Key {
    /// A member that would do nothing for a person's key.
    pub(crate) fn only_of_authorities(&self) -> Result<(), &'static str> {
        match (&self.may_sign, &self.storage, &self.signer) {
            (Some(_), ..) => Err("may_sign"),
            (_, Some(_), _) => Err("storage"),
            (.., Some(_)) => Err("signer"),
            (None, None, None) => Ok(()),
        }
    }

    /// When its signatures count.
    pub(crate) fn valid(&self) -> Result<(Option<Timestamp>, Option<Timestamp>), String> {
        self.valid.as_ref().map_or(Ok((None, None)), Valid::read)
    }
}

impl Authority {
    /// A member that would do nothing in a trust file.
    pub(crate) fn only_of_policies(&self) -> Result<(), &'static str> {
        match (&self.rotation, &self.approvals) {
            (Some(_), _) => Err("rotation"),
            (_, Some(_)) => Err("approvals"),
            (None, None) => Ok(()),
        }
    }
}

impl Storage {
    /// Its word in documents.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Vault => "vault",
            Self::Kms => "kms",
            Self::Hsm => "hsm",
        }
    }

    /// What a word in documents stands for.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        [Self::File, Self::Vault, Self::Kms, Self::Hsm].into_iter().find(|one| one.word() == word)
    }
}

impl std::fmt::Display for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File => "a file",
            Self::Vault => "a vault",
            Self::Kms => "a key service (kms)",
            Self::Hsm => "hardware (hsm)",
        })
    }
}

impl Valid {
    fn read(&self) -> Result<(Option<Timestamp>, Option<Timestamp>), String> {
        let from = self.from.as_deref().map(time).transpose()?;
        let until = self.until.as_deref().map(time).transpose()?;
        match (from, until) {
            (Some(from), Some(until)) if until <= from => {
                Err(format!("it is valid until {until}, which is not after {from}"))
            }
            valid => Ok(valid),
        }
    }
}
