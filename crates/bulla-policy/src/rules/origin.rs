//! Where the model came from.

use bulla::lineage::Level;
use bulla::statement::build::Role;
use bulla::text::glob;
use bulla::{Digest, Predicate};

use crate::decision::Finding;
use crate::gate::Facts;

/// Somebody who may says how it was made, on a platform of the level that is asked for, from code of an allowed place.
pub(crate) fn provenance(facts: &Facts<'_>) -> Option<Finding> {
    let entry = &facts.environment.entry;
    if !entry.require_provenance {
        return None;
    }
    let root = facts.lineage.hops.first()?;
    let least = facts.environment.min_level.unwrap_or(Level::L1);
    let sources: &[String] = entry.provenance.as_ref().map_or(&[], |rule| &rule.sources);
    let mut wrong = Vec::new();
    for account in &root.accounts {
        let mut problems: Vec<String> =
            account.problems.iter().map(|problem| problem.message.clone()).collect();
        if account.level < least {
            problems.push(format!("it reaches {}", account.level));
        }
        problems.extend(from_elsewhere(facts, &account.payload, sources));
        if problems.is_empty() {
            let found = format!(
                "{} by {} ({}), signed by {}",
                account.made_by,
                account.builder,
                account.level,
                account.signed_by.join(", ")
            );
            let mut finding = Finding::met("provenance", found);
            finding.evidence.push(account.payload.clone());
            return Some(finding);
        }
        wrong.push(problems.join(", "));
    }
    let found = match wrong.is_empty() {
        true => "nobody who may says how it was made".to_owned(),
        false => wrong.join("; "),
    };
    let mut expected = format!("a signed provenance of {least} or higher");
    if !sources.is_empty() {
        expected.push_str(&format!(", of code from {}", sources.join(" or ")));
    }
    Some(Finding::not_met(
        "provenance",
        found,
        expected,
        "make it with 'bulla run' on a platform that the policy names, or attest how it was made: 'bulla attest provenance'",
    ))
}

/// What is wrong with the places that the code came from, by an account.
fn from_elsewhere(facts: &Facts<'_>, payload: &str, sources: &[String]) -> Option<String> {
    if sources.is_empty() {
        return None;
    }
    let named = |digest: &Digest| {
        let hex = digest.to_hex();
        payload == hex || payload == format!("sha256:{hex}")
    };
    let stated = facts.stated.iter().find(|stated| named(&stated.claim.value().payload))?;
    let Predicate::Provenance(provenance) = &stated.claim.value().statement.predicate else {
        return None;
    };
    let code: Vec<&str> =
        provenance.with_role(Role::Source.name()).map(|source| source.uri.as_str()).collect();
    if code.is_empty() {
        return Some("it does not say from which code".to_owned());
    }
    // A pattern ends in a place: what lies below is meant.
    let allowed = |uri: &&str| sources.iter().any(|pattern| is_below(pattern, uri));
    let others: Vec<&str> = code.into_iter().filter(|uri| !allowed(uri)).collect();
    (!others.is_empty()).then(|| format!("its code is from {}", others.join(", ")))
}

/// Whether a place fits a pattern; one that ends in `/*` takes everything below.
fn is_below(pattern: &str, uri: &str) -> bool {
    match pattern.strip_suffix("/*") {
        Some(above) if !above.contains('*') => {
            let rest = uri.strip_prefix(above).and_then(|rest| rest.strip_prefix('/'));
            rest.is_some_and(|rest| {
                !rest.is_empty() && rest.split('/').all(|part| !part.is_empty() && part != "..")
            })
        }
        _ => glob(pattern, uri),
    }
}

/// Its chain stands, link by link.
pub(crate) fn lineage(facts: &Facts<'_>) -> Option<Finding> {
    facts.environment.entry.lineage.as_ref()?;
    let lineage = facts.lineage;
    // Of the model itself the other rules speak; without them there is no chain to speak of.
    let hops = &lineage.hops;
    let least = facts.environment.min_level.unwrap_or_default();
    let mut wrong: Vec<String> = lineage
        .refusals()
        .map(|(hop, problems)| {
            let messages: Vec<&str> =
                problems.iter().map(|problem| problem.message.as_str()).collect();
            format!("{}: {}", hop.name, messages.join(", "))
        })
        .collect();
    for hop in hops.iter().skip(1).filter(|hop| hop.stands) {
        if let Some(level) = hop.level.filter(|level| *level < least) {
            wrong.push(format!("{}: it reaches {level}, expected {least}", hop.name));
        }
    }
    Some(match lineage.stands && wrong.is_empty() {
        true => Finding::met("lineage", lineage.weakest.clone()),
        false => Finding::not_met(
            "lineage",
            if wrong.is_empty() { "its chain does not stand".to_owned() } else { wrong.join("; ") },
            "a chain in which every link stands",
            "'bulla lineage' shows the chain and what is missing",
        ),
    })
}
