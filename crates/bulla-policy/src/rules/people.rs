//! People who agree, and people who waive: never the signer, and each of them once, whatever their keys (rule 10 of the security design).

use std::collections::{BTreeMap, BTreeSet};

use bulla::jiff::{SignedDuration, Timestamp};
use bulla::lineage::Stated;
use bulla::statement::approval::AppliesTo;
use bulla::{Digest, Predicate, SignedBy};

use super::is_waivable;
use crate::decision::{Finding, Outcome};
use crate::gate::{Facts, Signature};
use crate::policy::{Policy, person};
use crate::roles::Person;

/// How far clocks may differ.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// As many people agree to the model as the authority asks for that signed it.
pub(crate) fn approvals(facts: &Facts<'_>) -> Option<Finding> {
    let accepted = &facts.environment.entry.accepted_authorities;
    let Some(signature) = facts.signature.as_ref() else {
        // Who takes the signature away does not take away who has to agree.
        let asks = accepted.iter().any(|id| facts.gate.policy.approvals.contains_key(id));
        return facts.unsigned.filter(|_| asks).map(|_| {
            Finding::not_met(
                "approvals",
                "it is unsigned, and whom to ask is told by who signed it",
                "a signature, and approvals as its authority asks for them",
                "sign the model, and have it approved",
            )
        });
    };
    let accepted = accepted.iter().filter(|id| signature.parties.contains(id.as_str()));
    let policy = &facts.gate.policy;
    let mut best: Option<Finding> = None;
    for authority in accepted {
        let Some(rule) = policy.approvals.get(authority) else {
            // One of those who signed asks for none.
            return None;
        };
        let (people, evidence, passed_over) = agreed(facts, signature, &rule.from, rule.valid_for);
        let names = people.iter().cloned().collect::<Vec<_>>().join(", ");
        let finding = match people.len() >= rule.required {
            true => Finding::met("approvals", format!("{} approve: {names}", people.len())),
            false => {
                let mut found = match people.is_empty() {
                    true => "nobody has approved it".to_owned(),
                    false => format!("{} of {} approve: {names}", people.len(), rule.required),
                };
                passed_over.iter().for_each(|why| {
                    found.push_str("; ");
                    found.push_str(why);
                });
                Finding::not_met(
                    "approvals",
                    found,
                    format!("{} people of {}, other than the signer", rule.required, rule.from),
                    "have it approved: 'bulla approve MODEL --policy FILE --environment NAME'",
                )
            }
        };
        let finding = finding.by(evidence);
        if finding.outcome == Outcome::Met {
            return Some(finding);
        }
        best = best.or(Some(finding));
    }
    best
}

/// Who of a role agrees to the model as the rules are now.
fn agreed(
    facts: &Facts<'_>,
    signature: &Signature<'_>,
    role: &str,
    valid_for: Option<SignedDuration>,
) -> (BTreeSet<String>, Vec<Digest>, Vec<String>) {
    let (mut people, mut evidence, mut passed_over) = (BTreeSet::new(), Vec::new(), Vec::new());
    for stated in facts.about() {
        let Predicate::Approval(approval) = &stated.claim.value().statement.predicate else {
            continue;
        };
        let window = Window { issued: approval.issued, expires: approval.expires, valid_for };
        if let Some(since) = facts.memory.approvals_since.filter(|since| approval.issued < *since) {
            let by = stated.parties.iter().cloned().collect::<Vec<_>>().join(", ");
            passed_over.push(format!("that of {by} is from {}, before {since}", approval.issued));
            continue;
        }
        match counts(facts, signature, role, stated, &approval.applies_to, &window) {
            Ok(who) => {
                people.extend(who);
                evidence.push(stated.claim.value().payload);
            }
            Err(why) => passed_over.push(why),
        }
    }
    (people, evidence, passed_over)
}

struct Window {
    issued: Timestamp,
    expires: Timestamp,
    valid_for: Option<SignedDuration>,
}

impl Window {
    fn is_open(&self, now: Timestamp) -> bool {
        let latest = self.valid_for.and_then(|span| self.issued.checked_add(span).ok());
        let end = latest.map_or(self.expires, |latest| latest.min(self.expires));
        self.issued.duration_since(now) <= SKEW && now < end
    }
}

/// The people by whom such a statement is, if it counts; else why it does not.
fn counts(
    facts: &Facts<'_>,
    signature: &Signature<'_>,
    role: &str,
    stated: &Stated,
    applies_to: &AppliesTo,
    window: &Window,
) -> Result<BTreeSet<String>, String> {
    let policy = &facts.gate.policy;
    let environment = facts.environment;
    let by = stated.parties.iter().cloned().collect::<Vec<_>>().join(", ");
    if applies_to.policy != policy.name || applies_to.environment != environment.name {
        return Err(format!(
            "that of {by} is for {} of {}",
            applies_to.environment, applies_to.policy
        ));
    }
    if applies_to.rules_sha256 != environment.digest.to_hex() {
        return Err(format!("that of {by} is for other rules than those of today"));
    }
    if !window.is_open(facts.now) {
        return Err(format!(
            "that of {by} does not count now (issued {}, until {})",
            window.issued, window.expires
        ));
    }
    let members = policy.roles.get(role).map(|role| &role.people);
    let mut who = BTreeSet::new();
    let mut signer = false;
    for (id, one) in members.into_iter().flatten() {
        if stated.parties.contains(&person(id)) {
            match is_signer(policy, signature, id, one) {
                true => signer = true,
                false => {
                    who.insert(id.clone());
                }
            }
        }
    }
    match (who.is_empty(), signer) {
        (false, _) => Ok(who),
        (true, true) => Err(format!("{by} signed the model, and cannot agree to it as well")),
        (true, false) => Err(format!("{by} is none of {role}")),
    }
}

/// Whether somebody has signed the model, by any of their names.
fn is_signer(policy: &Policy, signature: &Signature<'_>, id: &str, one: &Person) -> bool {
    let key = signature.signed_by.key().fingerprint();
    let mut names: Vec<&str> = match &signature.signed_by {
        SignedBy::Certificate(signer) => signer.names.iter().map(|name| name.as_str()).collect(),
        SignedBy::Identity(signer) => vec![signer.identity.as_str()],
        _ => Vec::new(),
    };
    // Several authorities may have the key, and each may say who holds it.
    let records = policy.keys.iter().filter(|record| record.fingerprint == key);
    names.extend(records.filter_map(|record| record.signer.as_deref()));
    let identity = one.identity.as_ref().map(|name| name.as_str());
    let is = |name: &str| {
        name.eq_ignore_ascii_case(id)
            || identity.is_some_and(|identity| name.eq_ignore_ascii_case(identity))
    };
    one.keys.contains(&key) || names.into_iter().any(is)
}

/// Marks the rules that people who may have waived.
pub(crate) fn waive(facts: &Facts<'_>, findings: &mut [Finding]) {
    let Some(rule) = &facts.environment.entry.exceptions else { return };
    let Some(signature) = &facts.signature else { return };
    let mut waived: BTreeMap<&str, (BTreeSet<String>, Vec<Digest>)> = BTreeMap::new();
    for stated in facts.about() {
        let Predicate::Exception(exception) = &stated.claim.value().statement.predicate else {
            continue;
        };
        // As approvals: who waived it before had not looked at why it was in quarantine.
        if facts.memory.approvals_since.is_some_and(|since| exception.issued < since) {
            continue;
        }
        let valid_for = rule.valid_for.map(|span| span.0);
        let window = Window { issued: exception.issued, expires: exception.expires, valid_for };
        let who = counts(facts, signature, &rule.from, stated, &exception.applies_to, &window);
        let Ok(who) = who else { continue };
        for name in &exception.waives {
            if is_waivable(name) {
                let entry = waived.entry(name).or_default();
                entry.0.extend(who.iter().cloned());
                entry.1.push(stated.claim.value().payload);
            }
        }
    }
    for finding in findings.iter_mut().filter(|finding| finding.outcome == Outcome::NotMet) {
        if let Some((people, evidence)) = waived.get(finding.rule.as_str())
            && people.len() >= rule.required
        {
            finding.outcome = Outcome::Waived;
            let names = people.iter().cloned().collect::<Vec<_>>().join(", ");
            finding.found.push_str(&format!(" (waived by {names})"));
            *finding = finding.clone().by(evidence.iter().copied());
        }
    }
}
