//! From the text of a policy to a [`Policy`], or to everything that is wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bulla::lineage::Level;
use bulla::party::{MaySign, Party};
use bulla::text::time;
use bulla::{Digest, Fault, HashAlgorithm, Limits, read_named};
use serde_json::Value;

use crate::authorities::Authority;
use crate::chain::{self, LineageEntry, Where};
use crate::concern::Unusable;
use crate::environment::{EnvironmentEntry, ProvenanceEntry};
use crate::places::{At, Places};
use crate::policy::{Approvals, Document, Environment, Policy, person};
use crate::roles::Role;
use crate::rules::custom::Custom;
use crate::span::Span;
use crate::trust::Reader;
use crate::yaml;

impl Policy {
    /// Reads a policy. Whether somebody signed it is found out where it is put to use ([`Gate::open`](crate::Gate::open)).
    ///
    /// # Errors
    /// [`Fault::Policy`] says everything that is wrong with it, with lines; [`Fault::Io`] when it, or a file that it names, cannot be
    /// read.
    pub fn read(path: &Path, limits: &Limits) -> Result<Self, Fault> {
        let bytes = read_named(path, yaml::DOCUMENT_BYTES)?;
        Self::parse(path, &bytes, limits)
    }

    /// Reads a policy that is here; files that it names lie beside `path`.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn parse(path: &Path, bytes: &[u8], limits: &Limits) -> Result<Self, Fault> {
        Ok(Self::check(path, bytes, limits)?)
    }

    /// The same, with what is wrong piece by piece: each with its place in the document, and with what to do.
    ///
    /// # Errors
    /// [`Unusable`], with everything that is wrong as far as that can be found out.
    pub fn check(path: &Path, bytes: &[u8], limits: &Limits) -> Result<Self, Unusable> {
        let document: Document = yaml::read(path, bytes)?;
        let raw: Value = yaml::read(path, bytes)?;
        let places = Places::of(std::str::from_utf8(bytes).unwrap_or_default());
        let reader = Reader::new(path, &places, limits);
        let (root, head) = (At::root(), At::root().of("policy"));
        let Document {
            policy,
            trust,
            roles,
            signing_authorities,
            verification_policy,
            revocations,
        } = document;
        check_name(&reader, &head.of("name"), "policy.name", &policy.name);
        let expires = time(&policy.expires).map_err(|why| format!("expires: {why}"));
        let expires = reader.or_wrong(&head.of("expires"), "a day, or a time", expires);
        let anchors = reader.anchors(&trust);
        for (section, names) in [
            ("roles", roles.keys().collect::<Vec<_>>()),
            ("signing_authorities", signing_authorities.keys().collect()),
            ("verification_policy", verification_policy.keys().collect()),
        ] {
            for name in names {
                check_name(&reader, &root.of(section).of(name), "a name", name);
            }
        }
        let counts: Counts =
            roles.iter().map(|(name, role)| (name.clone(), role.count())).collect();
        let roles = reader.roles(&anchors, &roles);
        for (index, role) in policy.signed_by.iter().enumerate() {
            known_role(&reader, &head.of("signed_by").nth(index), "signed_by", role, &counts);
        }
        let (mut parties, keys) = reader.parties(&anchors, &signing_authorities);
        let (approvals, rotations) = people_and_keys(&reader, &signing_authorities, &counts);
        parties.extend(people(&roles));
        if verification_policy.is_empty() {
            let message = "verification_policy is empty: there is no environment";
            let hint = "name an environment, and what it asks of a model";
            reader.wrong(&root.of("verification_policy"), "missing-member", message, hint);
        }
        let all =
            Environments { reader: &reader, authorities: &signing_authorities, roles: &counts };
        let mut environments = BTreeMap::new();
        for (name, entry) in verification_policy {
            let rules = raw.get("verification_policy").and_then(|all| all.get(&name));
            let digest = Digest::sha256(canonical(rules.unwrap_or(&Value::Null)).as_bytes());
            let environment = all.read(&name, entry, digest, parties.clone());
            environments.insert(name, environment);
        }
        if let Some(entry) = &revocations {
            let at = root.of("revocations").of("signed_by");
            known_role(&reader, &at, "revocations", &entry.signed_by, &counts);
            some_time(&reader, &root.of("revocations").of("max_age"), entry.max_age);
        }
        match expires.filter(|_| !reader.is_wrong()) {
            None => Err(reader.unusable()),
            Some(expires) => Ok(Self {
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
            }),
        }
    }
}

/// People agree and waive; what else they may sign they sign as an authority.
fn people(roles: &BTreeMap<String, Role>) -> Vec<Party> {
    let (mut seen, mut parties) = (BTreeSet::new(), Vec::new());
    for (id, one) in roles.values().flat_map(|role| &role.people) {
        if seen.insert(id) {
            parties.extend(one.parties.iter().cloned().map(|party| Party {
                id: person(id),
                may_sign: MaySign::only(["approval", "exception"]),
                ..party
            }));
        }
    }
    parties
}

/// How many people each role names, whatever is wrong with them.
type Counts = BTreeMap<String, usize>;

type Rotations = BTreeMap<String, (bulla::jiff::SignedDuration, bulla::jiff::SignedDuration)>;

/// Who agrees to what an authority signed, and how often its keys are replaced.
fn people_and_keys(
    reader: &Reader<'_>,
    authorities: &BTreeMap<String, Authority>,
    roles: &Counts,
) -> (BTreeMap<String, Approvals>, Rotations) {
    let (mut approvals, mut rotations) = (BTreeMap::new(), BTreeMap::new());
    for (id, authority) in authorities {
        let at = At::root().of("signing_authorities").of(id);
        if let Some(entry) = &authority.approvals {
            let at = at.of("approvals");
            let what = format!("{id}: approvals");
            known_role(reader, &at.of("from"), &what, &entry.from, roles);
            enough(reader, &at.of("required"), &what, entry.required, &entry.from, roles);
            some_time(reader, &at.of("valid_for"), entry.valid_for);
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
            some_time(reader, &at.of("rotation").of("every"), Some(rotation.every));
            rotations.insert(id.clone(), (rotation.every.0, rotation.overlap.0));
        }
    }
    (approvals, rotations)
}

fn known_role(reader: &Reader<'_>, at: &At, what: &str, role: &str, roles: &Counts) {
    let message = format!("{what}: there is no role {role} under roles");
    reader.known(at, message, role, roles.keys());
}

/// That so many people can be asked for.
fn enough(reader: &Reader<'_>, at: &At, what: &str, required: usize, role: &str, roles: &Counts) {
    // Of a role that is not there it is told that it is not.
    let people = roles.get(role).copied().unwrap_or(required);
    if required == 0 || required > people {
        let message = format!("{what}: {required} are required from {role}, who are {people}");
        let hint = match required {
            0 => "ask for at least 1, or leave the member out".to_owned(),
            _ => format!("add people to {role}, or ask for fewer"),
        };
        reader.wrong(at, "too-few-people", message, hint);
    }
}

/// That a span is not of no time.
fn some_time(reader: &Reader<'_>, at: &At, span: Option<Span>) {
    if span.is_some_and(|span| span.0.is_zero()) {
        let message = "a span of no time: nothing counts for so long";
        reader.wrong(at, "nobody", message, "write how long, or leave the member out");
    }
}

/// What environments speak of.
struct Environments<'a, 'r> {
    reader: &'a Reader<'r>,
    authorities: &'a BTreeMap<String, Authority>,
    roles: &'a Counts,
}

impl Environments<'_, '_> {
    fn read(
        &self,
        name: &str,
        entry: EnvironmentEntry,
        digest: Digest,
        parties: Vec<Party>,
    ) -> Environment {
        let reader = self.reader;
        let at = At::root().of("verification_policy").of(name);
        let wrong = |at: &At, code: &'static str, message: String, hint: &str| {
            reader.wrong(at, code, format!("{name}: {message}"), hint);
        };
        let none = (ProvenanceEntry::default(), LineageEntry::default());
        let provenance = entry.provenance.as_ref().unwrap_or(&none.0);
        let lineage = entry.lineage.as_ref().unwrap_or(&none.1);
        let whose = format!("{name}: ");
        let place = Where {
            reader,
            whose: &whose,
            builders: at.of("provenance").of("builders"),
            lineage: at.of("lineage"),
            known: self.authorities.keys().collect(),
        };
        let lineage = chain::rules(&place, parties, &provenance.builders, lineage);
        let min_level = provenance.min_level.as_ref().and_then(|level| {
            let read = Level::of(level);
            let read = read.ok_or_else(|| format!("{name}: {}", chain::level_expected(level)));
            reader.or_wrong(&at.of("provenance").of("min_level"), "write one of these", read)
        });
        if !entry.require_provenance && (min_level.is_some() || !provenance.sources.is_empty()) {
            let message = "provenance: min_level and sources ask for 'require_provenance: true'";
            wrong(
                &at.of("provenance"),
                "no-effect",
                message.to_owned(),
                "add require_provenance: true",
            );
        }
        self.named(&at, name, &entry);
        for (index, evaluation) in entry.evaluations.iter().enumerate() {
            if evaluation.at_least.is_none() && evaluation.at_most.is_none() {
                let message =
                    format!("evaluations: {} has neither at_least nor at_most", evaluation.metric);
                let at = at.of("evaluations").nth(index).of("metric");
                wrong(&at, "missing-member", message, "say how good it has to be");
            }
        }
        if let Some(exceptions) = &entry.exceptions {
            let at = at.of("exceptions");
            let what = format!("{name}: exceptions");
            known_role(reader, &at.of("from"), &what, &exceptions.from, self.roles);
            some_time(reader, &at.of("valid_for"), exceptions.valid_for);
            let at = at.of("required");
            enough(reader, &at, &what, exceptions.required, &exceptions.from, self.roles);
        }
        some_time(reader, &at.of("verdict_valid_for"), entry.verdict_valid_for);
        let hashes: Vec<&str> = HashAlgorithm::ALL.map(HashAlgorithm::name).to_vec();
        for (index, hash) in entry.recipes.hash.iter().enumerate() {
            if HashAlgorithm::from_name(hash).is_none() {
                let message = format!("recipes: there is no hash {hash:?}");
                let hint = crate::concern::meant(hash, hashes.iter().copied());
                let at = at.of("recipes").of("hash").nth(index);
                wrong(&at, "unknown-name", message, &hint.unwrap_or_default());
            }
        }
        if entry.require_signature && entry.accepted_authorities.is_empty() {
            let message = "require_signature is true, and accepted_authorities names nobody: nothing could be admitted";
            let hint = "name the authorities that may sign here";
            wrong(&at.of("accepted_authorities"), "nobody", message.to_owned(), hint);
        }
        let custom = Custom::read(&entry.rules).unwrap_or_else(|all| {
            for (index, member, why) in all {
                let at = at.of("rules").nth(index).of(member);
                wrong(&at, "rule", why, "docs/policy.md says what a rule can ask about");
            }
            Vec::new()
        });
        Environment { name: name.to_owned(), digest, lineage, min_level, entry, custom }
    }

    /// That there are the authorities that an environment names.
    fn named(&self, at: &At, name: &str, entry: &EnvironmentEntry) {
        let known = |at: &At, what: &str, ids: &[String]| {
            for (index, id) in ids.iter().enumerate() {
                let message = format!("{name}: {what}: there is no {id} under signing_authorities");
                self.reader.known(&at.nth(index), message, id, self.authorities.keys());
            }
        };
        let accepted = "accepted_authorities";
        known(&at.of(accepted), accepted, &entry.accepted_authorities);
        for (index, evaluation) in entry.evaluations.iter().enumerate() {
            let at = at.of("evaluations").nth(index).of("signed_by");
            known(&at, "evaluations", &evaluation.signed_by);
        }
        let signed_by =
            [("test_results", &entry.test_results), ("require_bom", &entry.require_bom)];
        for (what, entry) in signed_by {
            if let Some(entry) = entry {
                known(&at.of(what).of("signed_by"), what, &entry.signed_by);
            }
        }
        if let Some(licenses) = &entry.licenses {
            known(&at.of("licenses").of("signed_by"), "licenses", &licenses.signed_by);
        }
    }
}

/// Names are shown, and stand in statements: no blanks, so that nobody's is mistaken for a person's.
fn check_name(reader: &Reader<'_>, at: &At, what: &str, name: &str) {
    let plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 100 || !name.chars().all(plain) {
        let message =
            format!("{what} is {name:?}, expected up to 100 letters, digits, '-', '_' and '.'");
        reader.wrong(at, "wrong-value", message, "give it another name");
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
