//! A policy: the document that an organisation writes, read with everything that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bulla::jiff::{SignedDuration, Timestamp};
use bulla::lineage::{Level, Rules};
use bulla::party::{MaySign, Party};
use bulla::text::time;
use bulla::{Digest, Fault, HashAlgorithm, Limits, read_named};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::authorities::{Authority, KeyRecord};
use crate::chain;
use crate::environment::{EnvironmentEntry, ProvenanceEntry};
use crate::revocations::RevocationList;
use crate::roles::{Role, RoleEntry};
use crate::rules::custom::Custom;
use crate::schema::{NAME, TIME};
use crate::signed::{people_who_signed, signatures_of};
use crate::span::Span;
use crate::trust::{Reader, TrustSection};
use crate::yaml::{self, policy_fault};

/// Which models may be deployed where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Policy of Bulla")]
pub(crate) struct Document {
    policy: Head,
    /// What signatures are checked by. Nothing is trusted that is not named here.
    #[serde(default)]
    trust: TrustSection,
    /// People, by the names of the roles that they have.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "pattern": NAME }))]
    roles: BTreeMap<String, RoleEntry>,
    /// Who signs what, by names.
    #[schemars(extend("propertyNames" = { "pattern": NAME }, "minProperties" = 1))]
    signing_authorities: BTreeMap<String, Authority>,
    /// What each environment asks of a model, by names.
    #[schemars(extend("propertyNames" = { "pattern": NAME }, "minProperties" = 1))]
    verification_policy: BTreeMap<String, EnvironmentEntry>,
    #[serde(default)]
    revocations: Option<RevocationsEntry>,
}

/// The policy itself.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Head {
    /// Its name: versions of one name follow each other.
    #[schemars(regex(pattern = NAME))]
    name: String,
    /// Its version: never back.
    version: u64,
    /// When it ends: a day, which begins at midnight UTC, or a point in time. Past that nothing is admitted by it.
    #[schemars(regex(pattern = TIME))]
    expires: String,
    /// Roles whose signatures it needs, by people as many as each role's threshold.
    #[serde(default)]
    signed_by: Vec<String>,
}

/// Where it is said what was withdrawn.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RevocationsEntry {
    /// The document: a path that begins where the policy lies.
    document: PathBuf,
    /// The role whose people have to have signed it.
    signed_by: String,
    /// The longest ago that it may have been issued; a day, where nothing is said.
    #[serde(default)]
    max_age: Option<Span>,
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
    revocations: Option<RevocationsEntry>,
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
    /// Reads a policy. Whether somebody signed it is found out where it is put to use ([`Gate::open`](crate::Gate::open)).
    ///
    /// # Errors
    /// [`Fault::Policy`] says what is wrong with it, and in which line if it is no such YAML; [`Fault::Io`] when it, or a file that
    /// it names, cannot be read.
    pub fn read(path: &Path, limits: &Limits) -> Result<Self, Fault> {
        let bytes = read_named(path, yaml::DOCUMENT_BYTES)?;
        Self::parse(path, &bytes, limits)
    }

    /// Reads a policy that is here; files that it names lie beside `path`.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn parse(path: &Path, bytes: &[u8], limits: &Limits) -> Result<Self, Fault> {
        let document: Document = yaml::read(path, bytes)?;
        let fault = |detail: String| policy_fault(path, detail);
        let Document {
            policy,
            trust,
            roles,
            signing_authorities,
            verification_policy,
            revocations,
        } = document;
        check_name("policy.name", &policy.name).map_err(fault)?;
        let expires = time(&policy.expires).map_err(|why| fault(format!("expires: {why}")))?;
        let reader = Reader { path, limits };
        let anchors = reader.anchors(&trust)?;
        for name in roles.keys().chain(signing_authorities.keys()).chain(verification_policy.keys())
        {
            check_name("a name", name).map_err(fault)?;
        }
        let roles = reader.roles(&anchors, &roles)?;
        let known_role = |what: &str, role: &str| match roles.contains_key(role) {
            true => Ok(()),
            false => Err(fault(format!("{what}: there is no role {role} under roles"))),
        };
        for role in &policy.signed_by {
            known_role("signed_by", role)?;
        }
        let (mut parties, keys) = reader.parties(&anchors, &signing_authorities)?;
        let (mut approvals, mut rotations) = (BTreeMap::new(), BTreeMap::new());
        for (id, authority) in &signing_authorities {
            if let Some(entry) = &authority.approvals {
                known_role(&format!("{id}: approvals"), &entry.from)?;
                let people = roles.get(&entry.from).map_or(0, |role| role.people.len());
                if entry.required == 0 || entry.required > people {
                    return Err(fault(format!(
                        "{id}: approvals: {} are required from {}, who are {people}",
                        entry.required, entry.from
                    )));
                }
                approvals.insert(
                    id.clone(),
                    Approvals {
                        required: entry.required,
                        from: entry.from.clone(),
                        valid_for: entry.valid_for.map(|span| span.0),
                    },
                );
            }
            if let Some(rotation) = &authority.rotation {
                rotations.insert(id.clone(), (rotation.every.0, rotation.overlap.0));
            }
        }
        // People agree and waive; what else they may sign they sign as an authority.
        let agree = || MaySign::only(["approval", "exception"]);
        let mut seen = BTreeSet::new();
        for (id, one) in roles.values().flat_map(|role| &role.people) {
            if seen.insert(id) {
                let entries = one.parties.iter().cloned();
                parties.extend(entries.map(|party| Party {
                    id: person(id),
                    may_sign: agree(),
                    ..party
                }));
            }
        }
        let raw: Value = yaml::read(path, bytes)?;
        let mut environments = BTreeMap::new();
        for (name, entry) in verification_policy {
            let fault = |detail: String| policy_fault(path, format!("{name}: {detail}"));
            let none = ProvenanceEntry::default();
            let provenance = entry.provenance.as_ref().unwrap_or(&none);
            let chain = entry.lineage.as_ref();
            let chain_default = chain::LineageEntry::default();
            let known = |id: &str| signing_authorities.contains_key(id);
            let lineage = chain::rules(
                parties.clone(),
                &provenance.builders,
                chain.unwrap_or(&chain_default),
                known,
            )
            .map_err(fault)?;
            let min_level = match &provenance.min_level {
                None => None,
                Some(level) => {
                    Some(Level::of(level).ok_or_else(|| fault(chain::level_expected(level)))?)
                }
            };
            let named = |what: &str, ids: &[String]| match ids.iter().find(|id| !known(id)) {
                Some(id) => {
                    Err(fault(format!("{what}: there is no {id} under signing_authorities")))
                }
                None => Ok(()),
            };
            named("accepted_authorities", &entry.accepted_authorities)?;
            if !entry.require_provenance && (min_level.is_some() || !provenance.sources.is_empty())
            {
                return Err(fault(
                    "provenance: min_level and sources ask for 'require_provenance: true'".into(),
                ));
            }
            for evaluation in &entry.evaluations {
                named("evaluations", &evaluation.signed_by)?;
                if evaluation.at_least.is_none() && evaluation.at_most.is_none() {
                    return Err(fault(format!(
                        "evaluations: {} has neither at_least nor at_most",
                        evaluation.metric
                    )));
                }
            }
            let signed_by =
                [("test_results", &entry.test_results), ("require_bom", &entry.require_bom)];
            for (what, entry) in signed_by {
                entry.as_ref().map_or(Ok(()), |entry| named(what, &entry.signed_by))?;
            }
            if let Some(licenses) = &entry.licenses {
                named("licenses", &licenses.signed_by)?;
            }
            if let Some(exceptions) = &entry.exceptions {
                known_role(&format!("{name}: exceptions"), &exceptions.from)?;
                let people = roles.get(&exceptions.from).map_or(0, |role| role.people.len());
                if exceptions.required == 0 || exceptions.required > people {
                    return Err(fault(format!(
                        "exceptions: {} are required from {}, who are {people}",
                        exceptions.required, exceptions.from
                    )));
                }
            }
            for hash in &entry.recipes.hash {
                if HashAlgorithm::from_name(hash).is_none() {
                    return Err(fault(format!("recipes: there is no hash {hash:?}")));
                }
            }
            if entry.require_signature && entry.accepted_authorities.is_empty() {
                return Err(fault(
                    "require_signature is true, and accepted_authorities names nobody: nothing could be admitted".into(),
                ));
            }
            let rules = raw.get("verification_policy").and_then(|all| all.get(&name));
            let custom = Custom::read(&entry.rules).map_err(fault)?;
            let digest = Digest::sha256(canonical(rules.unwrap_or(&Value::Null)).as_bytes());
            environments.insert(
                name.clone(),
                Environment { name, digest, lineage, min_level, entry, custom },
            );
        }
        if environments.is_empty() {
            return Err(fault("verification_policy is empty: there is no environment".into()));
        }
        if let Some(entry) = &revocations {
            known_role("revocations", &entry.signed_by)?;
        }
        Ok(Self {
            name: policy.name,
            version: policy.version,
            expires,
            digest: Digest::sha256(bytes),
            signed_by: policy.signed_by,
            roles,
            keys,
            approvals,
            rotations,
            environments,
            revocations,
            path: path.to_owned(),
            bytes: bytes.to_vec(),
        })
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

/// Names are shown, and stand in statements: no blanks, so that nobody's is mistaken for a person's.
fn check_name(what: &str, name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    match !name.is_empty() && name.len() <= 100 && name.chars().all(plain) {
        true => Ok(()),
        false => {
            Err(format!("{what} is {name:?}, expected up to 100 letters, digits, '-', '_' and '.'"))
        }
    }
}

/// JSON with sorted members and no blanks: one text for one value.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<&String, &Value> = members.iter().collect();
            let members = sorted.into_iter().map(|(name, value)| {
                format!("{}:{}", Value::from(name.as_str()), canonical(value))
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        other => other.to_string(),
    }
}
