//! What is said of the model: what is current, how old it is, what was measured and found.

use std::collections::BTreeSet;

use bulla::lineage::Stated;
use bulla::statement::release::Release;
use bulla::statement::test_result::Outcome;
use bulla::{Digest, Predicate, SignedBy};
use serde_json::Value;

use crate::decision::Finding;
use crate::gate::Facts;

/// A bill of materials, by its predicate type, whatever its version.
pub(crate) const BOMS: [&str; 2] = ["https://cyclonedx.org/bom", "https://spdx.dev/Document"];

/// The release that counts, with its statement's digest.
pub(crate) fn released<'f>(facts: &'f Facts<'_>) -> Option<(&'f Release, Digest)> {
    let accepted = &facts.environment.entry.accepted_authorities;
    let releases =
        facts.about().filter_map(|stated| match &stated.claim.value().statement.predicate {
            Predicate::Release(release) if by(stated, accepted) => {
                Some((release, stated.claim.value().payload))
            }
            _ => None,
        });
    let of_name = releases.filter(|(release, _)| release.name == facts.request.name);
    of_name.max_by_key(|(release, _)| release.sequence)
}

pub(super) fn by(stated: &Stated, authorities: &[String]) -> bool {
    authorities.iter().any(|id| stated.parties.contains(id))
}

/// Statements that count: with a release those that it lists, else all. What somebody takes away can then be missed, and never help
/// (rule 6 of the security design).
pub(super) fn counting<'f>(facts: &'f Facts<'_>) -> impl Iterator<Item = &'f Stated> {
    let listed: Option<BTreeSet<Digest>> =
        match (facts.environment.entry.require_release, released(facts)) {
            (false, _) => None,
            (true, None) => Some(BTreeSet::new()),
            (true, Some((release, _))) => {
                Some(release.claims.iter().filter_map(|claim| claim.payload()).collect())
            }
        };
    facts.about().filter(move |stated| {
        listed.as_ref().is_none_or(|listed| listed.contains(&stated.claim.value().payload))
    })
}

/// Somebody who may has released it, under this name, for now; nothing that was released later, nothing that is missing.
pub(crate) fn release(facts: &Facts<'_>) -> Option<Finding> {
    if !facts.environment.entry.require_release {
        return None;
    }
    let accepted = facts.environment.entry.accepted_authorities.join(" or ");
    let name = facts.request.name;
    let remedy = "release it: 'bulla attest release MODEL --name NAME --sequence K --expires TIME'";
    let Some((release, payload)) = released(facts) else {
        return Some(Finding::not_met(
            "release",
            format!("it was not released as {name}"),
            format!("a release signed by {accepted}"),
            remedy,
        ));
    };
    let mut wrong = Vec::new();
    if facts.now >= release.expires {
        wrong.push(format!("its release ended at {}", release.expires));
    }
    if facts.now < release.issued {
        wrong.push(format!("its release begins at {}", release.issued));
    }
    if let Some(last) = facts.memory.sequence.filter(|last| release.sequence < *last) {
        wrong.push(format!(
            "it is release {} of {name}, and {last} was released before",
            release.sequence
        ));
    }
    let here: BTreeSet<Digest> = facts.about().map(|stated| stated.claim.value().payload).collect();
    for claim in &release.claims {
        if claim.payload().is_none_or(|payload| !here.contains(&payload)) {
            wrong.push(format!(
                "the statement sha256:{} ({}) that the release lists is missing, or does not count",
                claim.sha256, claim.predicate_type
            ));
        }
    }
    let finding = match wrong.is_empty() {
        true => Finding::met(
            "release",
            format!("{name}, release {}, until {}", release.sequence, release.expires),
        ),
        false => Finding::not_met(
            "release",
            wrong.join("; "),
            format!("the newest release of {name}, with every statement that it lists"),
            remedy,
        ),
    };
    Some(finding.by([payload]))
}

/// It was signed not too long ago. A stamp proves only that it is not younger: age counts from the release, the start of a certificate,
/// or the first sight of the signature, whichever is earliest (rule 8 of the security design).
pub(crate) fn age(facts: &Facts<'_>) -> Option<Finding> {
    let days = facts.environment.entry.max_signature_age_days?;
    let Some(signature) = facts.signature.as_ref() else {
        return facts.unsigned.map(|_| {
            Finding::not_met(
                "max-signature-age",
                "it is unsigned",
                format!("a signature of at most {days} days"),
                "sign the model",
            )
        });
    };
    let certificate = match &signature.signed_by {
        SignedBy::Certificate(signer) => Some(signer.valid_from),
        SignedBy::Identity(signer) => Some(signer.valid_from),
        _ => None,
    };
    // One that is still to come makes nothing younger.
    let release = released(facts).map(|(release, _)| release.issued).filter(|at| *at <= facts.now);
    let earliest = [certificate, release, facts.memory.first_seen].into_iter().flatten().min();
    let expected = format!("at most {days} days");
    let remedy = "have the model looked at and signed again";
    Some(match earliest {
        None => Finding::not_met(
            "max-signature-age",
            "nobody says how old its signature is",
            expected,
            "release it, or sign it with a certificate, or keep a registry: each of them says since when",
        ),
        Some(since) => {
            let age = facts.now.duration_since(since);
            let whole = age.as_hours().max(0) / 24;
            let found = format!("{whole} days, since {since}");
            match age.as_secs() <= i64::from(days) * 24 * 3600 {
                true => Finding::met("max-signature-age", found),
                false => Finding::not_met("max-signature-age", found, expected, remedy),
            }
        }
    })
}

/// Every number that is asked for was measured, by somebody who may say so, and is good enough.
pub(crate) fn evaluations(facts: &Facts<'_>) -> Option<Finding> {
    let asked = &facts.environment.entry.evaluations;
    if asked.is_empty() {
        return None;
    }
    let (mut found, mut wrong, mut expected, mut evidence) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for rule in asked {
        let bounds = [
            rule.at_least.map(|value| format!("at least {value}")),
            rule.at_most.map(|value| format!("at most {value}")),
        ];
        let bounds = bounds.into_iter().flatten().collect::<Vec<_>>().join(" and ");
        let whose = rule.signed_by.join(" or ");
        expected.push(format!("{} {bounds}, signed by {whose}", rule.metric));
        let mut best: Option<(f64, Digest, bool)> = None;
        for stated in counting(facts).filter(|stated| by(stated, &rule.signed_by)) {
            let Predicate::Evaluation(evaluation) = &stated.claim.value().statement.predicate
            else {
                continue;
            };
            for metric in evaluation.metrics.iter().filter(|metric| {
                metric.name == rule.metric
                    && rule.task.as_ref().is_none_or(|task| metric.task.as_ref() == Some(task))
                    && rule.split.as_ref().is_none_or(|split| metric.split.as_ref() == Some(split))
            }) {
                let good = rule.at_least.is_none_or(|least| metric.value >= least)
                    && rule.at_most.is_none_or(|most| metric.value <= most);
                if best.is_none_or(|(_, _, before)| good && !before) {
                    best = Some((metric.value, stated.claim.value().payload, good));
                }
            }
        }
        match best {
            Some((value, payload, good)) => {
                evidence.push(payload);
                let list = if good { &mut found } else { &mut wrong };
                list.push(format!("{} is {value}", rule.metric));
            }
            None => wrong.push(format!("nobody who may says what {} is", rule.metric)),
        }
    }
    let finding = match wrong.is_empty() {
        true => Finding::met("evaluations", found.join(", ")),
        false => Finding::not_met(
            "evaluations",
            wrong.join("; "),
            expected.join("; "),
            "measure it, and say so: 'bulla attest evaluation MODEL --metric NAME=NUMBER'",
        ),
    };
    Some(finding.by(evidence))
}

/// Somebody who may says that it passed its tests.
pub(crate) fn test_results(facts: &Facts<'_>) -> Option<Finding> {
    let rule = facts.environment.entry.test_results.as_ref()?;
    let mut found = Vec::new();
    for stated in counting(facts).filter(|stated| by(stated, &rule.signed_by)) {
        if let Predicate::TestResult(result) = &stated.claim.value().statement.predicate {
            if result.result == Outcome::Passed {
                let passed = Finding::met("test-results", "passed");
                return Some(passed.by([stated.claim.value().payload]));
            }
            found.push(match result.result {
                Outcome::Warned => format!("warnings: {}", result.warned_tests.join(", ")),
                _ => format!("failed: {}", result.failed_tests.join(", ")),
            });
        }
    }
    Some(Finding::not_met(
        "test-results",
        if found.is_empty() { "nobody who may has said".to_owned() } else { found.join("; ") },
        format!("a test result that is passed, signed by {}", rule.signed_by.join(" or ")),
        "test it, and say so: 'bulla attest test-result MODEL --passed NAME'",
    ))
}

/// The bills of materials about it, by those who may.
fn boms<'f>(
    facts: &'f Facts<'_>,
    authorities: &'f [String],
) -> impl Iterator<Item = (&'f Value, Digest)> {
    counting(facts).filter(move |stated| by(stated, authorities)).filter_map(|stated| {
        let attestation = stated.claim.value();
        match &attestation.statement.predicate {
            Predicate::Other(other)
                if BOMS.iter().any(|bom| {
                    let rest = attestation.statement.predicate.predicate_type().strip_prefix(bom);
                    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                }) =>
            {
                Some((other.predicate(), attestation.payload))
            }
            _ => None,
        }
    })
}

/// There is a bill of materials.
pub(crate) fn bom(facts: &Facts<'_>) -> Option<Finding> {
    let rule = facts.environment.entry.require_bom.as_ref()?;
    let found = boms(facts, &rule.signed_by).next();
    Some(match found {
        Some((_, payload)) => Finding::met("bom", "there is one").by([payload]),
        None => Finding::not_met(
            "bom",
            "there is none",
            format!("a CycloneDX or SPDX document signed by {}", rule.signed_by.join(" or ")),
            "add one: 'bulla attest statement MODEL --file BOM --predicate-type https://cyclonedx.org/bom'",
        ),
    })
}

/// Every licence that a bill of materials names, by an authority that is accepted.
pub(super) fn licenses_of(facts: &Facts<'_>) -> BTreeSet<String> {
    let accepted = &facts.environment.entry.accepted_authorities;
    let mut found = BTreeSet::new();
    boms(facts, accepted).for_each(|(bom, _)| licenses_in(bom, &mut found, 0));
    found
}

/// Its licences, and those of the data that it was trained on, are among those that are allowed.
pub(crate) fn licenses(facts: &Facts<'_>) -> Option<Finding> {
    let rule = facts.environment.entry.licenses.as_ref()?;
    let (mut found, mut evidence) = (BTreeSet::new(), Vec::new());
    let mut model = false;
    for (bom, payload) in boms(facts, &rule.signed_by) {
        let before = found.len();
        licenses_in(bom, &mut found, 0);
        if found.len() > before {
            model = true;
            evidence.push(payload);
        }
    }
    let hops = super::origin::ancestors(facts).into_iter().filter_map(|hop| hop.digests);
    let data: Vec<_> = hops.chain(facts.digests()).collect();
    for stated in facts.stated.iter().filter(|stated| by(stated, &rule.signed_by)) {
        let attestation = stated.claim.value();
        if let Predicate::Dataset(dataset) = &attestation.statement.predicate
            && data.iter().any(|digests| attestation.statement.is_about(digests))
            && let Some(license) = &dataset.license
        {
            found.insert(license.clone());
            evidence.push(attestation.payload);
        }
    }
    let allowed = |license: &String| rule.allow.iter().any(|one| one.eq_ignore_ascii_case(license));
    let allow = rule.allow.iter().cloned().collect::<Vec<_>>().join(", ");
    let all = found.iter().cloned().collect::<Vec<_>>().join(", ");
    let others: Vec<String> = found.iter().filter(|one| !allowed(one)).cloned().collect();
    let finding = match (model, others.is_empty()) {
        (true, true) => Finding::met("licenses", all),
        (false, _) => Finding::not_met(
            "licenses",
            "nobody who may says what its licence is",
            format!("{allow}, in a bill of materials signed by {}", rule.signed_by.join(" or ")),
            "add a bill of materials with its licence: 'bulla attest statement'",
        ),
        (true, false) => Finding::not_met(
            "licenses",
            others.join(", "),
            allow,
            "use a model with another licence, or have the policy's owners allow it",
        ),
    };
    Some(finding.by(evidence))
}

/// Every licence that a document names: CycloneDX's `licenses[].license.id|name` and `.expression`, SPDX's `licenseDeclared` and
/// `licenseConcluded`.
fn licenses_in(value: &Value, found: &mut BTreeSet<String>, depth: usize) {
    if depth > 64 {
        return;
    }
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let text = value.as_str();
                match (name.as_str(), text) {
                    ("licenseDeclared" | "licenseConcluded", Some(text))
                        if text != "NOASSERTION" =>
                    {
                        found.insert(text.to_owned());
                    }
                    ("license", Some(text)) | ("expression", Some(text)) => {
                        found.insert(text.to_owned());
                    }
                    ("license", None) => {
                        let named = value.get("id").or(value.get("name")).and_then(Value::as_str);
                        found.extend(named.map(str::to_owned));
                    }
                    // What made the document is not in the model.
                    ("tools", None) => {}
                    _ => licenses_in(value, found, depth + 1),
                }
            }
        }
        Value::Array(items) => {
            items.iter().for_each(|item| licenses_in(item, found, depth + 1));
        }
        _ => {}
    }
}
