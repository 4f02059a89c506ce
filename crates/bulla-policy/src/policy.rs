//! A policy: the document that an organisation writes, read with everything that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bulla::jiff::{SignedDuration, Timestamp};
use bulla::lineage::{Level, Rules};
use bulla::{Digest, Fault, Limits, read_named};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::authorities::{Authority, KeyRecord};
use crate::environment::EnvironmentEntry;
use crate::revocations::RevocationList;
use crate::roles::{Role, RoleEntry};
use crate::rules::custom::Custom;
use crate::schema::{NAME, TIME};
use crate::signed::{people_who_signed, signatures_of};
use crate::span::Span;
use crate::trust::TrustSection;
use crate::yaml::{self, policy_fault};

/// Which models may be deployed where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Policy of Bulla")]
pub(crate) struct Document {
    pub(crate) policy: Head,
    /// What signatures are checked by. Nothing is trusted that is not named here.
    #[serde(default)]
    pub(crate) trust: TrustSection,
    /// People, by the names of the roles that they have.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "pattern": NAME }))]
    pub(crate) roles: BTreeMap<String, RoleEntry>,
    /// Who signs what, by names.
    #[schemars(extend("propertyNames" = { "pattern": NAME }, "minProperties" = 1))]
    pub(crate) signing_authorities: BTreeMap<String, Authority>,
    /// What each environment asks of a model, by names.
    #[schemars(extend("propertyNames" = { "pattern": NAME }, "minProperties" = 1))]
    pub(crate) verification_policy: BTreeMap<String, EnvironmentEntry>,
    #[serde(default)]
    pub(crate) revocations: Option<RevocationsEntry>,
}

/// The policy itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    /// Its name: versions of one name follow each other.
    #[schemars(regex(pattern = NAME))]
    pub(crate) name: String,
    /// Its version: never back.
    pub(crate) version: u64,
    /// When it ends: a day, which begins at midnight UTC, or a point in time. Past that nothing is admitted by it.
    #[schemars(regex(pattern = TIME))]
    pub(crate) expires: String,
    /// Roles whose signatures it needs, by people as many as each role's threshold.
    #[serde(default)]
    pub(crate) signed_by: Vec<String>,
}

/// Where it is said what was withdrawn.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevocationsEntry {
    /// The document: a path that begins where the policy lies.
    document: PathBuf,
    /// The role whose people have to have signed it.
    pub(crate) signed_by: String,
    /// The longest ago that it may have been issued; a day, where nothing is said.
    #[serde(default)]
    pub(crate) max_age: Option<Span>,
}

/// How old revocations may be where the policy does not say (rule 9 of the security design).
const MAX_AGE: SignedDuration = SignedDuration::from_hours(24);

/// A policy.
#[derive(Debug)]
#[non_exhaustive]
pub struct Policy {
    /// Its name: versions of one name follow each other.
    pub name: String,
    /// Its version: never back.
    pub version: u64,
    /// When it ends. Past that nothing is admitted by it.
    pub expires: Timestamp,
    /// SHA-256 of its bytes. As other files are named with their digests, it is the digest of them all.
    pub digest: Digest,
    /// Roles whose signatures it needs.
    pub signed_by: Vec<String>,
    /// People.
    pub roles: BTreeMap<String, Role>,
    /// What is said of each key.
    pub keys: Vec<KeyRecord>,
    /// How many people have to agree to what an authority signed, for those that ask for it.
    pub approvals: BTreeMap<String, Approvals>,
    /// How often the keys of an authority are replaced, for those that say so.
    pub rotations: BTreeMap<String, (SignedDuration, SignedDuration)>,
    /// Each environment's rules.
    pub environments: BTreeMap<String, Environment>,
    pub(crate) revocations: Option<RevocationsEntry>,
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
}

/// Who has to agree.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Approvals {
    /// How many people.
    pub required: usize,
    /// Of which role.
    pub from: String,
    /// The longest that an approval counts.
    pub valid_for: Option<SignedDuration>,
}

/// An environment's rules.
#[derive(Debug)]
#[non_exhaustive]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// SHA-256 of its rules as they stand in the document, without comments and layout: approvals are given for these.
    pub digest: Digest,
    /// Who signs what, and how far a chain is believed.
    pub lineage: Rules,
    /// The build level that every model of the chain has to reach.
    pub min_level: Option<Level>,
    pub(crate) entry: EnvironmentEntry,
    pub(crate) custom: Vec<Custom>,
}

impl Environment {
    /// Whether it asks where a model came from.
    #[must_use]
    pub fn chain_counts(&self) -> bool {
        self.entry.lineage.is_some() || self.entry.require_provenance
    }

    /// Patterns of the names of models that it runs; all, if there is none.
    #[must_use]
    pub fn models(&self) -> &[String] {
        &self.entry.models
    }
}

/// How a person's entries are called among those who sign.
pub(crate) fn person(id: &str) -> String {
    format!("person {id}")
}

impl Policy {
    /// Roles whose people agree to models in an environment, by their names.
    #[must_use]
    pub fn who_approves(&self, environment: &Environment) -> BTreeSet<&str> {
        let accepted = environment.entry.accepted_authorities.iter();
        let rules = accepted.filter_map(|id| self.approvals.get(id));
        rules.map(|rule| rule.from.as_str()).collect()
    }

    /// The roles whose people may waive its rules.
    #[must_use]
    pub fn who_waives<'e>(&self, environment: &'e Environment) -> BTreeSet<&'e str> {
        environment.entry.exceptions.iter().map(|rule| rule.from.as_str()).collect()
    }

    /// An environment's rules.
    ///
    /// # Errors
    /// [`Fault::Policy`] if there is no such environment.
    pub fn environment(&self, name: &str) -> Result<&Environment, Fault> {
        self.environments.get(name).ok_or_else(|| {
            let all: Vec<&str> = self.environments.keys().map(String::as_str).collect();
            let detail = format!("it has no environment {name:?}; it has {}", all.join(", "));
            policy_fault(&self.path, detail)
        })
    }

    /// What is wrong with its signatures, in words: those of its own roles that it asks for, and of those who are pinned elsewhere. It is
    /// the document that names its roles: who stands for the document itself only a pin can say. A key that was withdrawn signs no
    /// document.
    ///
    /// # Errors
    /// A [`Fault`] when a signature could not be read or checked.
    pub fn unsigned(
        &self,
        pins: Option<&Role>,
        withdrawn: &RevocationList,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<Vec<String>, Fault> {
        let own =
            self.signed_by.iter().filter_map(|name| Some((name.as_str(), self.roles.get(name)?)));
        let asked: Vec<(&str, &Role)> =
            pins.map(|role| ("those who are pinned", role)).into_iter().chain(own).collect();
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let signatures = signatures_of(&self.path, limits)?;
        let mut wrong = Vec::new();
        for (name, role) in asked {
            let role = role.without(withdrawn);
            let (people, passed_over) =
                people_who_signed(&self.bytes, &signatures, &role, now, limits)?;
            if people.len() < role.threshold {
                wrong.push(too_few("the policy", name, &role, &people, &passed_over));
            }
        }
        Ok(wrong)
    }

    /// The revocations that it names, and those that are known otherwise: signed, and no older than it says.
    ///
    /// Neither what is known nor the document itself may have withdrawn the keys by which it counts: whoever stole one would sign the next
    /// document, without that line. Looking at what nobody has vouched for yet is harmless here, for it can only make less count.
    ///
    /// # Errors
    /// A [`Fault`] when they cannot be read, are not signed by whom the policy says, or are too old: then nothing is known of what was
    /// withdrawn.
    pub fn revocations(
        &self,
        known: &RevocationList,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<RevocationList, Fault> {
        let Some(entry) = &self.revocations else { return Ok(known.clone()) };
        let beside = self.path.parent().unwrap_or_else(|| Path::new("."));
        let path = beside.join(&entry.document);
        let bytes = read_named(&path, yaml::DOCUMENT_BYTES)?;
        let fault = |detail: String| policy_fault(&path, detail);
        let mut list = RevocationList::read(&path, &bytes)?;
        // A certificate's digest is that of its DER. That of the file with it, which the policy pins, is nobody's: it would withdraw nothing.
        let text = String::from_utf8_lossy(&self.bytes).to_lowercase();
        if let Some(file) = list.signers.authorities().find(|one| text.contains(&one.to_hex())) {
            return Err(fault(format!(
                "authorities: {file} is the digest of a file that the policy names: write that of the certificate in it ('openssl x509 -outform DER -in FILE | sha256sum')"
            )));
        }
        list.unite(known);
        let role = self.roles.get(&entry.signed_by).ok_or(Fault::Bug { what: "a role is gone" })?;
        let role = role.without(&list);
        let signatures = signatures_of(&path, limits)?;
        let (people, passed_over) = people_who_signed(&bytes, &signatures, &role, now, limits)?;
        if people.len() < role.threshold {
            return Err(fault(too_few("it", &entry.signed_by, &role, &people, &passed_over)));
        }
        let age = now.duration_since(list.issued);
        if age > entry.max_age.map_or(MAX_AGE, |span| span.0) {
            return Err(fault(format!(
                "it was issued at {}, longer ago than the policy's max_age: get the newest one",
                list.issued
            )));
        }
        if age < SignedDuration::from_mins(-5) {
            return Err(fault(format!("it was issued at {}, which is yet to come", list.issued)));
        }
        Ok(list)
    }

    pub(crate) fn fault(&self, detail: String) -> Fault {
        policy_fault(&self.path, detail)
    }

    /// Whether revocations are looked for in a document.
    #[must_use]
    pub fn names_revocations(&self) -> bool {
        self.revocations.is_some()
    }

    /// Counts nothing any more that rests on what was withdrawn.
    pub fn withdraw(&mut self, list: &RevocationList) {
        let signers = Arc::new(list.signers.clone());
        for environment in self.environments.values_mut() {
            for party in &mut environment.lineage.parties {
                party.trust = party.trust.clone().with_revocations(signers.clone());
            }
        }
    }
}

fn too_few(
    what: &str,
    name: &str,
    role: &Role,
    people: &BTreeSet<String>,
    passed_over: &[String],
) -> String {
    let signed = match people.is_empty() {
        true => "none of them did".to_owned(),
        false => format!("only {} did", people.iter().cloned().collect::<Vec<_>>().join(", ")),
    };
    let mut text = format!(
        "{what} has to be signed by {} of {name} ({}); {signed}",
        role.threshold,
        role.people.keys().cloned().collect::<Vec<_>>().join(", ")
    );
    for why in passed_over {
        text.push_str("; ");
        text.push_str(why);
    }
    text
}
