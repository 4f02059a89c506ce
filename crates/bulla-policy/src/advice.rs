//! What a person should know of a policy before it is used: what cannot be meant, what ends soon, and what it says in plain words.

use std::collections::BTreeSet;

use bulla::jiff::{SignedDuration, Timestamp};
use bulla::party::Party;
use serde::Serialize;

use crate::chain::Permission;
use crate::environment::Mode;
use crate::policy::{Environment, Policy};

/// Before something ends it is told.
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Something about a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Concern {
    /// Whether the policy cannot be used, or not as it is meant.
    pub is_error: bool,
    /// What was found.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Concern {
    fn error(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { is_error: true, message: message.into(), hint: hint.into() }
    }

    fn warning(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { is_error: false, message: message.into(), hint: hint.into() }
    }

    /// That a signature is missing which the policy asks for.
    #[must_use]
    pub fn unsigned(why: String) -> Self {
        Self::error(why, "have it signed: 'bulla policy sign'")
    }
}

impl Policy {
    /// Everything that cannot be meant, and that ends or becomes unreachable soon.
    #[must_use]
    pub fn concerns(&self, now: Timestamp) -> Vec<Concern> {
        let mut all = Vec::new();
        let left = self.expires.duration_since(now);
        if left <= SignedDuration::ZERO {
            all.push(Concern::error(
                format!("it ended at {}: nothing is admitted by it", self.expires),
                "give it a later end and a higher version",
            ));
        } else if left < SOON {
            all.push(Concern::warning(
                format!("it ends at {}", self.expires),
                "prepare the next version",
            ));
        }
        for environment in self.environments.values() {
            self.environment_concerns(environment, now, &mut all);
        }
        let used: BTreeSet<&str> = self.environments.values().flat_map(Environment::uses).collect();
        for party in self.authorities() {
            if !used.contains(party) {
                all.push(Concern::warning(
                    format!("{party}: no environment asks for anything by it"),
                    "take it out, or name it where it should count",
                ));
            }
        }
        for record in &self.keys {
            let what = record.id.as_deref().map_or_else(
                || format!("{}: a key ({})", record.authority, record.fingerprint),
                |id| format!("{}: the key {id}", record.authority),
            );
            if let Some(until) = record.valid.1.filter(|until| *until > now)
                && until.duration_since(now) < SOON
            {
                all.push(Concern::warning(
                    format!("{what} counts until {until}"),
                    "add the next key, so that both count for a while",
                ));
            }
            if let Some((every, _)) = self.rotations.get(&record.authority)
                && let (Some(from), Some(until)) = record.valid
                && until.duration_since(from) > *every
            {
                all.push(Concern::error(
                    format!("{what} counts for longer than its authority's rotation says"),
                    "shorten its window, or the rotation's 'every'",
                ));
            }
        }
        all
    }

    fn authorities(&self) -> BTreeSet<&str> {
        let parties = self.environments.values().flat_map(|one| &one.lineage.parties);
        parties.map(|party| party.id.as_str()).filter(|id| !id.contains(' ')).collect()
    }

    fn environment_concerns(
        &self,
        environment: &Environment,
        now: Timestamp,
        all: &mut Vec<Concern>,
    ) {
        let name = &environment.name;
        let entry = &environment.entry;
        let of = |id: &str| -> Vec<&Party> {
            environment.lineage.parties.iter().filter(|party| party.id == id).collect()
        };
        let names = |id: &str, what: &str| of(id).iter().any(|p| p.may_sign.allows(what));
        for id in &entry.accepted_authorities {
            if !of(id).iter().any(|party| party.may_sign.models()) {
                all.push(Concern::error(
                    format!("{name}: accepts {id}, which may not sign models"),
                    "add oms to what it may sign",
                ));
            } else if !of(id).iter().any(|party| party.counts_at(now)) {
                all.push(Concern::error(
                    format!("{name}: accepts {id}, none of whose keys counts now"),
                    "add a key, or look at when its keys are valid",
                ));
            }
        }
        // A rule that nobody could meet refuses everything, and is found out at the worst time.
        let mut nobody = |what: &str, ids: &[String], kind: &str| {
            if !ids.iter().any(|id| names(id, kind)) {
                all.push(Concern::error(
                    format!(
                        "{name}: {what} could be met by nobody: none of {} may sign {kind}",
                        ids.join(", ")
                    ),
                    format!("add {kind} to what one of them may sign"),
                ));
            }
        };
        if entry.require_release {
            nobody("require_release", &entry.accepted_authorities, "release");
        }
        for evaluation in &entry.evaluations {
            nobody("evaluations", &evaluation.signed_by, "evaluation");
        }
        if let Some(results) = &entry.test_results {
            nobody("test_results", &results.signed_by, "test-result");
        }
        if entry.require_provenance
            && !environment.lineage.parties.iter().any(|p| p.may_sign.allows("provenance"))
        {
            all.push(Concern::error(
                format!(
                    "{name}: require_provenance could be met by nobody: nobody may sign provenance"
                ),
                "add provenance to what an authority may sign",
            ));
        }
        if entry.require_provenance && environment.lineage.no_parents_signed_by.is_empty() {
            all.push(Concern::warning(
                format!("{name}: nobody may say that a model has no parents: none that was trained from nothing is admitted"),
                "name who may under lineage.no_parents_signed_by",
            ));
        }
        if entry.max_signature_age_days.is_some() && !entry.require_release {
            all.push(Concern::warning(
                format!("{name}: max_signature_age_days asks how old a signature is, which a bare key does not say"),
                "require a release, or keep a registry",
            ));
        }
        if entry.mode != Mode::Enforce {
            all.push(Concern::warning(
                format!("{name}: nothing is refused here (mode: warn or audit)"),
                "set mode: enforce once its rules are met",
            ));
        }
    }

    /// What it says, in plain words, a line for each thing.
    #[must_use]
    pub fn explain(&self) -> Vec<String> {
        let mut lines =
            vec![format!("{} version {}, until {}", self.name, self.version, self.expires)];
        for environment in self.environments.values() {
            lines.push(String::new());
            lines.extend(self.explain_environment(environment));
        }
        lines
    }

    fn explain_environment(&self, environment: &Environment) -> Vec<String> {
        let entry = &environment.entry;
        let list = |ids: &[String]| ids.join(" or ");
        let models = match entry.models.is_empty() {
            true => "any model".to_owned(),
            false => format!("models named {}", list(&entry.models)),
        };
        let mode = match entry.mode {
            Mode::Enforce => "",
            Mode::Warn => " (warns, and refuses nothing)",
            Mode::Audit => " (records, and refuses nothing)",
        };
        let mut lines = vec![format!("{}: {models}{mode}", environment.name)];
        let mut say = |text: String| lines.push(format!("  - {text}"));
        match entry.require_signature {
            true => say(format!("signed by {}", list(&entry.accepted_authorities))),
            false => say("signed or not".to_owned()),
        }
        for id in &entry.accepted_authorities {
            let keys = self.keys.iter().filter(|record| record.authority == *id);
            for record in keys {
                let holder = record.signer.as_deref().unwrap_or("nobody who is named");
                let window = match record.valid {
                    (None, None) => String::new(),
                    (from, until) => format!(
                        ", from {} until {}",
                        from.map_or("ever".to_owned(), |time| time.to_string()),
                        until.map_or("further notice".to_owned(), |time| time.to_string())
                    ),
                };
                say(format!("{id}: the key {} of {holder}{window}", record.fingerprint));
            }
            if let Some(approvals) = self.approvals.get(id) {
                let people = self
                    .roles
                    .get(&approvals.from)
                    .map(|role| role.people.keys().cloned().collect::<Vec<_>>().join(", "));
                say(format!(
                    "what {id} signed is approved by {} of {} ({}), other than the signer",
                    approvals.required,
                    approvals.from,
                    people.unwrap_or_default()
                ));
            }
        }
        if entry.require_release {
            say("released under its name, and not replaced by a later release".to_owned());
        }
        if let Some(days) = entry.max_signature_age_days {
            say(format!("signed at most {days} days ago"));
        }
        if entry.require_provenance {
            let level = environment.min_level.map_or(String::new(), |level| format!(" of {level}"));
            say(format!("with a signed provenance{level}"));
        }
        if entry.lineage.is_some() {
            say("whose ancestors are known, link by link".to_owned());
        }
        for rule in &entry.evaluations {
            let least = rule.at_least.map(|value| format!(" at least {value}"));
            let most = rule.at_most.map(|value| format!(" at most {value}"));
            say(format!(
                "{}{}{}, as {} says",
                rule.metric,
                least.unwrap_or_default(),
                most.unwrap_or_default(),
                list(&rule.signed_by)
            ));
        }
        if let Some(results) = &entry.test_results {
            say(format!("that passed its tests, as {} says", list(&results.signed_by)));
        }
        if let Some(bom) = &entry.require_bom {
            say(format!("with a bill of materials by {}", list(&bom.signed_by)));
        }
        if let Some(licenses) = &entry.licenses {
            let allow: Vec<&str> = licenses.allow.iter().map(String::as_str).collect();
            say(format!("under {}, as {} says", allow.join(" or "), list(&licenses.signed_by)));
        }
        if let Some(formats) = &entry.formats {
            let formats: Vec<&str> = formats.iter().map(String::as_str).collect();
            say(format!("of files of {} only", formats.join(", ")));
        }
        for rule in &entry.rules {
            say(format!("for which {} holds: {}", rule.name, rule.when));
        }
        match entry.remote_code {
            Permission::Deny => say("that asks for no code of its own".to_owned()),
            Permission::Allow => say("which may bring code of its own".to_owned()),
        }
        if let Some(exceptions) = &entry.exceptions {
            say(format!(
                "{} of {} may waive rules for a while",
                exceptions.required, exceptions.from
            ));
        }
        lines
    }
}

impl Environment {
    /// Authorities that some rule names.
    fn uses(&self) -> Vec<&str> {
        let entry = &self.entry;
        let mut all: Vec<&str> = entry.accepted_authorities.iter().map(String::as_str).collect();
        all.extend(entry.evaluations.iter().flat_map(|rule| &rule.signed_by).map(String::as_str));
        let lists = [&entry.test_results, &entry.require_bom];
        all.extend(
            lists.into_iter().flatten().flat_map(|rule| &rule.signed_by).map(String::as_str),
        );
        all.extend(entry.licenses.iter().flat_map(|rule| &rule.signed_by).map(String::as_str));
        all.extend(self.lineage.builders.iter().map(|builder| builder.signer.as_str()));
        all.extend(self.lineage.verifiers.iter().map(|verifier| verifier.signer.as_str()));
        all.extend(self.lineage.no_parents_signed_by.iter().map(String::as_str));
        // Ancestors may be of anybody.
        if self.chain_counts() {
            all.extend(self.lineage.parties.iter().map(|party| party.id.as_str()));
        }
        all
    }
}
