//! `signing_authorities`: keys, certificates and identities, each with what it may sign.

use std::collections::BTreeMap;

use bulla::jiff::Timestamp;
use bulla::party::{MaySign, Party};
use bulla::text::{glob, time};
use bulla::{ClaimRule, Digest, Fault, IdentityRule, PublicKey, SignerName, Trust};
use schemars::JsonSchema;
use serde::Deserialize;

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
    ) -> Result<(Vec<Party>, Vec<KeyRecord>), Fault> {
        if authorities.is_empty() {
            return Err(self.fault("signing_authorities is empty: nobody is named to trust"));
        }
        let (mut parties, mut records) = (Vec::new(), Vec::new());
        for (id, authority) in authorities {
            let fault = |detail: String| self.fault(format!("{id}: {detail}"));
            authority.check_members().map_err(fault)?;
            let all = read_may_sign(&authority.may_sign);
            let party = |trust: Trust, may_sign| Party {
                id: id.clone(),
                trust: anchors.timed(trust),
                valid: (None, None),
                may_sign,
            };
            match authority.kind {
                Kind::Key => {
                    for key in &authority.keys {
                        let public = self.key(id, key)?;
                        let may_sign = match &key.may_sign {
                            Some(own) => read_may_sign(own),
                            None => all.clone(),
                        };
                        let record = authority.record(id, key, &public).map_err(fault)?;
                        let party = party(Trust::keys(vec![public])?, may_sign.map_err(fault)?);
                        parties.push(Party { valid: record.valid, ..party });
                        records.push(record);
                    }
                }
                Kind::Certificate => {
                    let names = &authority.certificate_authorities;
                    let known =
                        |name: &&String| anchors.authorities.iter().all(|(n, _)| n != *name);
                    if let Some(name) = names.iter().find(known) {
                        return Err(fault(format!(
                            "there is no certificate authority {name} under trust"
                        )));
                    }
                    let named = anchors.authorities.iter();
                    let named = named.filter(|(name, _)| names.is_empty() || names.contains(name));
                    let roots: Vec<_> = named.flat_map(|(_, roots)| roots.clone()).collect();
                    if roots.is_empty() {
                        return Err(fault("no certificate authority is listed under trust".into()));
                    }
                    for signer in &authority.authorized_signers {
                        let signer = SignerName::parse(signer).map_err(|e| fault(e.to_string()))?;
                        let trust = Trust::certificate_authorities(roots.clone(), Some(signer))?;
                        parties.push(party(trust, all.clone().map_err(fault)?));
                    }
                }
                Kind::Keyless => {
                    let Some(root) = &anchors.root else {
                        return Err(fault(
                            "an identity needs a Sigstore instance: add trust.sigstore".into(),
                        ));
                    };
                    let provider = authority.identity_provider.as_deref().unwrap_or_default();
                    let mut rules = Vec::new();
                    for identity in &authority.allowed_identities {
                        let mut rule = IdentityRule::new(identity, provider)
                            .map_err(|e| fault(e.to_string()))?;
                        for claim in &authority.require_claims {
                            let claim =
                                ClaimRule::parse(claim).map_err(|e| fault(e.to_string()))?;
                            rule = rule.require(claim);
                        }
                        rules.push(rule);
                    }
                    let trust = Trust::sigstore(root.clone(), rules)?;
                    parties.push(party(trust, all.map_err(fault)?));
                }
            }
        }
        Ok((parties, records))
    }

    /// A key that is named, and is what the document says.
    pub(crate) fn key(&self, authority: &str, key: &Key) -> Result<PublicKey, Fault> {
        let what = match &key.id {
            Some(id) => format!("{authority}, key {id}"),
            None => format!("{authority}, key"),
        };
        let mut pinned = true;
        let text = self.text(&what, &key.public_key, self.limits.pem_bytes, |_| {
            pinned = key.fingerprint.is_some();
            Ok(())
        })?;
        let public = PublicKey::from_pem(&text, self.limits)
            .map_err(|e| self.fault(format!("{what}: {e}")))?;
        let found = public.fingerprint().to_string();
        if !pinned {
            return Err(self.fault(format!(
                "{what}: {} is another file: add the fingerprint of the key that it has to hold (it is now {found})",
                key.public_key
            )));
        }
        match &key.fingerprint {
            Some(expected) if *expected != found => {
                Err(self.fault(format!("{what}: its fingerprint is {found}, expected {expected}")))
            }
            _ => Ok(public),
        }
    }
}

impl Authority {
    /// That it has what its type needs, and nothing else: what is not looked at would only seem to restrict.
    fn check_members(&self) -> Result<(), String> {
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
        // Keys have it, too: there it says who may hold one.
        let signers = !self.authorized_signers.is_empty();
        if signers && self.kind == Kind::Keyless {
            return Err("authorized_signers is for authorities of another type".into());
        }
        if !signers && self.kind == Kind::Certificate {
            return Err("authorized_signers is missing".into());
        }
        for (name, given, kind, needed) in members {
            if given && kind != self.kind {
                return Err(format!("{name} is for authorities of another type"));
            }
            if !given && needed && kind == self.kind {
                return Err(format!("{name} is missing"));
            }
        }
        Ok(())
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

    /// What is said of a key, if it is what is asked of all keys of this authority.
    fn record(&self, authority: &str, key: &Key, public: &PublicKey) -> Result<KeyRecord, String> {
        let what = key.id.as_deref().map_or("a key".to_owned(), |id| format!("the key {id}"));
        let algorithm = public.algorithm().name();
        if let Some(asked) = &self.key_algorithm
            && !asked.eq_ignore_ascii_case(&algorithm)
        {
            return Err(format!("{what} is {algorithm}, but key_algorithm asks for {asked}"));
        }
        if let Some(asked) = self.key_storage
            && key.storage.is_none_or(|storage| storage < asked)
        {
            let found = key.storage.map_or("says nothing of its storage".to_owned(), |storage| {
                format!("is kept in {storage}")
            });
            return Err(format!("{what} {found}, but key_storage asks for {asked}"));
        }
        if !self.authorized_signers.is_empty() {
            let holds = |signer: &String| self.authorized_signers.iter().any(|p| glob(p, signer));
            if !key.signer.as_ref().is_some_and(holds) {
                let found = key.signer.as_deref().unwrap_or("nobody");
                return Err(format!(
                    "{what} is held by {found}, who is not among the authorized_signers"
                ));
            }
        }
        let valid = key.valid()?;
        Ok(KeyRecord {
            authority: authority.to_owned(),
            id: key.id.clone(),
            fingerprint: public.fingerprint(),
            algorithm,
            storage: key.storage,
            signer: key.signer.clone(),
            valid,
        })
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

fn read_may_sign(names: &[String]) -> Result<MaySign, String> {
    let known = || MaySign::names().collect::<Vec<_>>().join(", ");
    if names.is_empty() {
        return Err(format!("may_sign is missing: some of {}", known()));
    }
    for name in names {
        if !MaySign::names().any(|known| known == name) && !name.contains(':') {
            return Err(format!(
                "may_sign: {name:?} is none of {}, and no predicate type",
                known()
            ));
        }
    }
    Ok(MaySign::only(names))
}
