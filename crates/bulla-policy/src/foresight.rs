//! What a person should know of a policy before it is used: what in it cannot be meant, which rules nobody could meet, and what ends soon.
//! A rule that nobody can meet refuses everything, and is found out at the worst time.

use std::collections::BTreeSet;

use bulla::jiff::{SignedDuration, Timestamp};
use bulla::lineage::Level;
use bulla::party::{MaySign, Party};

use crate::authorities::KeyRecord;
use crate::chain::Permission;
use crate::concern::Concern;
use crate::environment::Mode;
use crate::places::{At, Places};
use crate::policy::{Environment, Policy};
use crate::roles::Person;
use crate::rules::claims::BOMS;

/// Before something ends it is told.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

impl Policy {
    /// Everything that cannot be meant, and that ends or becomes unreachable soon, in the order of the document.
    #[must_use]
    pub fn concerns(&self, now: Timestamp) -> Vec<Concern> {
        let places = Places::of(std::str::from_utf8(&self.bytes).unwrap_or_default());
        let mut look = Look { policy: self, places, now, all: Vec::new() };
        look.end();
        for environment in self.environments.values() {
            look.environment(environment);
        }
        look.authorities();
        look.rotations();
        look.all.sort_by_key(|concern| concern.place);
        look.all
    }

    /// Names of authorities that have a key, a certificate or an identity.
    fn authorities(&self) -> BTreeSet<&str> {
        let parties = self.environments.values().flat_map(|one| &one.lineage.parties);
        parties.map(|party| party.id.as_str()).filter(|id| !id.contains(' ')).collect()
    }
}

struct Look<'a> {
    policy: &'a Policy,
    places: Places,
    now: Timestamp,
    all: Vec<Concern>,
}

impl<'a> Look<'a> {
    fn error(
        &mut self,
        at: &At,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.all.push(Concern::error(code, message, hint).at(self.places.place(at)));
    }

    fn warning(
        &mut self,
        at: &At,
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.all.push(Concern::warning(code, message, hint).at(self.places.place(at)));
    }

    /// The policy's own end.
    fn end(&mut self) {
        let expires = self.policy.expires;
        let at = At::root().of("policy").of("expires");
        let left = expires.duration_since(self.now);
        if left <= SignedDuration::ZERO {
            let message = format!("it ended at {expires}: nothing is admitted by it");
            self.error(&at, "expired", message, "give it a later end and a higher version");
        } else if left < SOON {
            let message = format!("it ends at {expires}");
            self.warning(&at, "ends-soon", message, "prepare the next version");
        }
    }

    fn environment(&mut self, environment: &'a Environment) {
        let name = &environment.name;
        let entry = &environment.entry;
        let at = At::root().of("verification_policy").of(name);
        for (index, id) in entry.accepted_authorities.iter().enumerate() {
            let at = at.of("accepted_authorities").nth(index);
            if !of(environment, id).any(|party| party.may_sign.models()) {
                let message = format!("{name}: accepts {id}, which may not sign models");
                self.error(&at, "nobody", message, "add oms to what it may sign");
            } else if !of(environment, id)
                .any(|party| party.may_sign.models() && party.counts_at(self.now))
            {
                let message = format!("{name}: accepts {id}, none of whose keys counts now");
                let hint = "add a key, or look at when its keys are valid";
                self.error(&at, "nobody", message, hint);
            }
        }
        if !entry.require_signature && entry.remote_code == Permission::Deny {
            let message = format!(
                "{name}: nothing unsigned is admitted, for it is not opened to look for code"
            );
            let hint = "add remote_code: allow, or take require_signature: false out";
            self.warning(&at.of("require_signature"), "no-effect", message, hint);
        }
        for format in entry.formats.iter().flatten().filter(|format| format.contains('.')) {
            let message = format!("{name}: formats: {format} is no format, and no file is of it");
            let hint = "write it without the dot, as in safetensors";
            self.error(&at.of("formats"), "nobody", message, hint);
        }
        self.statements(environment, &at);
        self.provenance(environment, &at);
        self.contents(environment, &at);
        self.waivers(environment, &at);
        if entry.max_signature_age_days == Some(0) {
            let message = format!(
                "{name}: max_signature_age_days could be met by nobody: a signature is older than nothing"
            );
            self.error(
                &at.of("max_signature_age_days"),
                "nobody",
                message,
                "give it at least 1 day",
            );
        } else if entry.max_signature_age_days.is_some() && !entry.require_release {
            let message = format!(
                "{name}: max_signature_age_days asks how old a signature is, which a bare key does not say"
            );
            let hint = "require a release, or keep a registry";
            self.warning(&at.of("max_signature_age_days"), "no-time", message, hint);
        }
        if entry.mode != Mode::Enforce {
            let message = format!("{name}: nothing is refused here (mode: warn or audit)");
            let hint = "set mode: enforce once its rules are met";
            self.warning(&at.of("mode"), "mode", message, hint);
        }
    }

    /// Statements that somebody has to be able to sign.
    fn statements(&mut self, environment: &Environment, at: &At) {
        let name = &environment.name;
        let entry = &environment.entry;
        let bom = BOMS.first().copied().unwrap_or_default();
        let mut nobody = |at: &At, what: &str, ids: &[String], kind: &str| {
            let may = |party: &Party| match kind == bom {
                true => may_sign_boms(party),
                false => party.may_sign.allows(kind),
            };
            if !ids.iter().any(|id| of(environment, id).any(may)) {
                let whom = match ids {
                    [] => "nobody is named".to_owned(),
                    ids => format!("none of {} may sign {kind}", ids.join(", ")),
                };
                let message = format!("{name}: {what} could be met by nobody: {whom}");
                let hint = format!("add {kind} to what one of them may sign");
                self.error(at, "nobody", message, hint);
            }
        };
        if entry.require_release {
            nobody(
                &at.of("require_release"),
                "require_release",
                &entry.accepted_authorities,
                "release",
            );
        }
        for (index, evaluation) in entry.evaluations.iter().enumerate() {
            let at = at.of("evaluations").nth(index).of("signed_by");
            nobody(&at, "evaluations", &evaluation.signed_by, "evaluation");
        }
        if let Some(results) = &entry.test_results {
            let at = at.of("test_results").of("signed_by");
            nobody(&at, "test_results", &results.signed_by, "test-result");
        }
        if let Some(rule) = &entry.require_bom {
            nobody(&at.of("require_bom").of("signed_by"), "require_bom", &rule.signed_by, bom);
        }
        if let Some(licenses) = &entry.licenses {
            nobody(&at.of("licenses").of("signed_by"), "licenses", &licenses.signed_by, bom);
        }
        for (index, evaluation) in entry.evaluations.iter().enumerate() {
            if let (Some(least), Some(most)) = (evaluation.at_least, evaluation.at_most)
                && least > most
            {
                let message = format!(
                    "{name}: evaluations: {} could be met by nobody: it has to be at least {least} and at most {most}",
                    evaluation.metric
                );
                let at = at.of("evaluations").nth(index).of("at_least");
                self.error(&at, "nobody", message, "exchange them");
            }
        }
    }

    fn provenance(&mut self, environment: &Environment, at: &At) {
        let name = &environment.name;
        let entry = &environment.entry;
        let lineage = &environment.lineage;
        let may = |id: &str| of(environment, id).any(|party| party.may_sign.allows("provenance"));
        if entry.require_provenance {
            let place = at.of("require_provenance");
            if !lineage.parties.iter().any(|party| party.may_sign.allows("provenance")) {
                let message = format!(
                    "{name}: require_provenance could be met by nobody: nobody may sign provenance"
                );
                let hint = "add provenance to what an authority may sign";
                self.error(&place, "nobody", message, hint);
            }
            if lineage.no_parents_signed_by.is_empty() {
                let message = format!(
                    "{name}: nobody may say that a model has no parents: none that was trained from nothing is admitted"
                );
                let hint = "name who may under lineage.no_parents_signed_by";
                self.warning(&place, "no-parents", message, hint);
            }
        }
        for (index, builder) in lineage.builders.iter().enumerate() {
            if !may(&builder.signer) {
                let message = format!(
                    "{name}: {} signs for a builder, and may not sign provenance",
                    builder.signer
                );
                let at = at.of("provenance").of("builders").nth(index).of("signer");
                self.error(&at, "nobody", message, "add provenance to what it may sign");
            }
        }
        for (index, id) in lineage.no_parents_signed_by.iter().enumerate() {
            if !may(id) {
                let message = format!(
                    "{name}: {id} may say that a model has no parents, and may not sign provenance"
                );
                let at = at.of("lineage").of("no_parents_signed_by").nth(index);
                self.error(&at, "nobody", message, "add provenance to what it may sign");
            }
        }
        for (index, verifier) in lineage.verifiers.iter().enumerate() {
            if !of(environment, &verifier.signer).any(|party| party.may_sign.allows("vsa")) {
                let message =
                    format!("{name}: {} signs verdicts, and may not sign vsa", verifier.signer);
                let at = at.of("lineage").of("verifiers").nth(index).of("signer");
                self.error(&at, "nobody", message, "add vsa to what it may sign");
            }
        }
        // What no builder is believed for whoever signs a provenance reaches the first level.
        let highest = lineage.builders.iter().map(|builder| builder.max_level).max();
        let highest = highest.unwrap_or(Level::L1).max(Level::L1);
        if let Some(least) = environment.min_level.filter(|least| *least > highest) {
            let message = format!(
                "{name}: min_level could be met by nobody: it is {least}, and no builder is believed beyond {highest}"
            );
            let at = at.of("provenance").of("min_level");
            self.error(
                &at,
                "nobody",
                message,
                "name a builder with this max_level, or ask for less",
            );
        }
    }

    /// Lists that nothing is on.
    fn contents(&mut self, environment: &Environment, at: &At) {
        let name = &environment.name;
        let entry = &environment.entry;
        let lists = [
            (entry.formats.as_ref().is_some_and(BTreeSet::is_empty), at.of("formats"), "formats"),
            (
                entry.licenses.as_ref().is_some_and(|rule| rule.allow.is_empty()),
                at.of("licenses").of("allow"),
                "licenses",
            ),
            (entry.recipes.hash.is_empty(), at.of("recipes").of("hash"), "recipes"),
        ];
        for (empty, at, what) in lists {
            if empty {
                let message =
                    format!("{name}: {what} could be met by nobody: nothing is on the list");
                self.error(&at, "nobody", message, "say what is allowed, or leave the member out");
            }
        }
    }

    /// People who waive, apart from those who sign.
    fn waivers(&mut self, environment: &Environment, at: &At) {
        let Some(rule) = &environment.entry.exceptions else { return };
        let at = at.of("exceptions").of("required");
        for id in &environment.entry.accepted_authorities {
            let what = format!("{}: exceptions", environment.name);
            self.left(&at, &what, id, rule.required, &rule.from, false);
        }
    }

    /// That enough people of a role are left when the signer is none of them: whoever holds a key of an authority does not agree to what
    /// it signed.
    fn left(&mut self, at: &At, what: &str, id: &str, required: usize, role: &str, error: bool) {
        let policy = self.policy;
        let Some(people) = policy.roles.get(role).map(|role| &role.people) else { return };
        let records: Vec<&KeyRecord> =
            policy.keys.iter().filter(|record| record.authority == id).collect();
        let left = |record: &KeyRecord| {
            let others = people.iter().filter(|(id, one)| !holds(id, one, record));
            others.count()
        };
        let few: Vec<&&KeyRecord> =
            records.iter().filter(|record| left(record) < required).collect();
        let Some(first) = few.first() else { return };
        let whose = first.signer.as_deref().unwrap_or("somebody of them");
        let message = format!(
            "{what}: {required} are required from {role} other than the signer; of what {id} signs with the key of {whose}, {} could agree",
            left(first)
        );
        let hint = format!("add people to {role} who do not sign, or ask for fewer");
        match error && few.len() == records.len() {
            true => self.error(at, "too-few-people", message, hint),
            false => self.warning(at, "too-few-people", message, hint),
        }
    }

    fn authorities(&mut self) {
        let policy = self.policy;
        let all = At::root().of("signing_authorities");
        let used: BTreeSet<&str> =
            policy.environments.values().flat_map(Environment::uses).collect();
        for id in policy.authorities() {
            if !used.contains(id) {
                let message = format!("{id}: no environment asks for anything by it");
                let hint = "take it out, or name it where it should count";
                self.warning(&all.of(id), "unused", message, hint);
            }
        }
        for (id, rule) in &policy.approvals {
            let at = all.of(id).of("approvals").of("required");
            self.left(&at, &format!("{id}: approvals"), id, rule.required, &rule.from, true);
        }
        let mut numbers = std::collections::BTreeMap::<&str, usize>::new();
        for record in &policy.keys {
            let id = record.authority.as_str();
            let number = numbers.entry(id).or_default();
            let at = all.of(id).of("keys").nth(*number);
            *number += 1;
            self.key(&at, record);
        }
    }

    fn key(&mut self, at: &At, record: &KeyRecord) {
        let what = record.id.as_deref().map_or_else(
            || format!("{}: a key ({})", record.authority, record.fingerprint),
            |id| format!("{}: the key {id}", record.authority),
        );
        let at = at.of("valid");
        if let Some(until) = record.valid.1.filter(|until| *until > self.now)
            && until.duration_since(self.now) < SOON
        {
            let message = format!("{what} counts until {until}");
            let hint = "add the next key, so that both count for a while";
            self.warning(&at, "ends-soon", message, hint);
        }
        if self.policy.rotations.contains_key(&record.authority) && record.valid.1.is_none() {
            let message = format!("{what} has no end, and its authority's keys are replaced");
            let hint = "say until when it counts: valid: { from: DAY, until: DAY }; 'bulla key rotate' does";
            self.error(&at, "no-end", message, hint);
        }
        if let Some((every, _)) = self.policy.rotations.get(&record.authority)
            && let (Some(from), Some(until)) = record.valid
            && until.duration_since(from) > *every
        {
            let message = format!("{what} counts for longer than its authority's rotation says");
            let hint = "shorten its window, or the rotation's 'every'";
            self.error(&at, "too-long", message, hint);
        }
    }

    /// Keys that are not replaced one by one.
    fn rotations(&mut self) {
        let authorities = At::root().of("signing_authorities");
        for (id, (every, overlap)) in &self.policy.rotations {
            if overlap >= every {
                let at = authorities.of(id).of("rotation").of("overlap");
                let message = format!("{id}: both keys count for as long as each of them");
                self.warning(&at, "too-long", message, "make the overlap shorter than 'every'");
            }
        }
    }
}

/// An authority's keys, certificates or identities.
fn of<'e>(environment: &'e Environment, id: &str) -> impl Iterator<Item = &'e Party> {
    let id = id.to_owned();
    environment.lineage.parties.iter().filter(move |party| party.id == id)
}

/// Whether somebody may sign a bill of materials, of whichever version of its format.
fn may_sign_boms(party: &Party) -> bool {
    let is = |name: &String| BOMS.iter().any(|bom| name.starts_with(bom));
    match &party.may_sign {
        MaySign::Anything => true,
        MaySign::Only(names) => names.iter().any(is),
    }
}

/// Whether a person holds a key of an authority, by any of their names: as the gate asks of who has signed.
fn holds(id: &str, one: &Person, record: &KeyRecord) -> bool {
    let identity = one.identity.as_ref().map(|name| name.as_str());
    let is = |name: &str| {
        name.eq_ignore_ascii_case(id)
            || identity.is_some_and(|identity| name.eq_ignore_ascii_case(identity))
    };
    one.keys.contains(&record.fingerprint) || record.signer.as_deref().is_some_and(is)
}
