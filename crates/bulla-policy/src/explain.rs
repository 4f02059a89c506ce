//! What a policy says, in plain words.

use crate::authorities::Authority;
use crate::chain::Permission;
use crate::environment::Mode;
use crate::policy::{Document, Environment, Policy};

impl Policy {
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
        let document: Option<Document> = crate::yaml::read(&self.path, &self.bytes).ok();
        for id in &entry.accepted_authorities {
            let known = document.as_ref().and_then(|all| all.signing_authorities.get(id));
            if let Some(whom) = known.and_then(Authority::whom) {
                say(format!("{id}: {whom}"));
            }
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
    pub(crate) fn uses(&self) -> Vec<&str> {
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
