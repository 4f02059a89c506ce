//! The rules, each with a name that is stable: decisions, tests and exceptions name it.

pub(crate) mod claims;
pub(crate) mod contents;
pub(crate) mod custom;
pub(crate) mod origin;
pub(crate) mod people;
pub(crate) mod remote_code;
pub(crate) mod signature;

use bulla::Fault;

use crate::decision::Finding;
use crate::gate::Facts;

/// Rules that an exception may waive, beside those that a policy's owners wrote themselves (`rule:NAME`). What is not here, nobody can: who signed and what, what was withdrawn, who agreed.
pub const WAIVABLE: [&str; 10] = [
    "release",
    "max-signature-age",
    "provenance",
    "lineage",
    "evaluations",
    "test-results",
    "bom",
    "licenses",
    "formats",
    "remote-code",
];

/// The rules that a name in an exception stands for: one of those, or one of the policy's own.
#[must_use]
pub fn is_waivable(name: &str) -> bool {
    WAIVABLE.contains(&name) || name.strip_prefix(custom::PREFIX).is_some_and(|own| !own.is_empty())
}

/// Every rule that the environment has, in the order in which a person reads them.
pub(crate) fn all(facts: &Facts<'_>) -> Result<Vec<Finding>, Fault> {
    let mut findings = vec![signature::policy_in_force(facts), signature::model_name(facts)];
    findings.extend(signature::policy_version(facts));
    findings.extend(signature::authority(facts));
    findings.extend(contents::expected_digest(facts));
    findings.extend(contents::integrity(facts));
    findings.extend(contents::recipe(facts));
    findings.extend(contents::names(facts));
    findings.extend(contents::withdrawn(facts));
    findings.extend(contents::quarantine(facts));
    findings.extend(contents::formats(facts));
    findings.extend(remote_code::remote_code(facts)?);
    // Of what nobody has signed nothing can be said: that is the rule that was not met.
    if facts.signature.is_none() && facts.unsigned.is_none() {
        return Ok(findings);
    }
    findings.extend(claims::release(facts));
    findings.extend(claims::age(facts));
    findings.extend(people::approvals(facts));
    findings.extend(origin::provenance(facts));
    findings.extend(origin::lineage(facts));
    findings.extend(claims::evaluations(facts));
    findings.extend(claims::test_results(facts));
    findings.extend(claims::bom(facts));
    findings.extend(claims::licenses(facts));
    findings.extend(custom::all(facts));
    Ok(findings)
}
