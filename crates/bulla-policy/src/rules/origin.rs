//! Where the model came from.

use std::collections::{BTreeSet, VecDeque};

use bulla::lineage::{Account, Hop, Level};
use bulla::statement::build::{Parameters, Role};
use bulla::statement::provenance::Provenance;
use bulla::text::glob;
use bulla::{Digest, Predicate};

use super::claims;
use crate::decision::Finding;
use crate::gate::Facts;

/// What is said of how the model was made, by those who may speak for it here: the builder's signer, or an accepted authority that signed
/// this very signature. Whoever has signed a copy elsewhere speaks for that.
fn accounts<'f>(facts: &'f Facts<'_>) -> impl Iterator<Item = (usize, &'f Account)> {
    let builders = &facts.environment.lineage.builders;
    let accepted = &facts.environment.entry.accepted_authorities;
    let signers = facts.signature.as_ref().map(|signature| &signature.parties);
    let speaks = move |account: &Account| {
        let by_builder = builders.iter().any(|builder| {
            builder.id == account.builder && account.signed_by.contains(&builder.signer)
        });
        let by_signer = account.signed_by.iter().any(|id| {
            accepted.contains(id) && signers.is_some_and(|signers| signers.contains(id.as_str()))
        });
        by_builder || by_signer
    };
    let root = facts.lineage.hops.first().filter(|_| facts.signature.is_some());
    let all = root.into_iter().flat_map(|hop| hop.accounts.iter().enumerate());
    all.filter(move |(_, account)| speaks(account))
}

/// Those that a rule can be met by: with a release, that it lists.
pub(super) fn counting<'f>(facts: &'f Facts<'_>) -> impl Iterator<Item = &'f Account> {
    let counts: BTreeSet<String> =
        claims::counting(facts).map(|stated| stated.claim.value().payload.to_hex()).collect();
    let listed = move |account: &&Account| {
        let payload = account.payload.strip_prefix("sha256:").unwrap_or(&account.payload);
        counts.contains(payload)
    };
    accounts(facts).map(|(_, account)| account).filter(listed)
}

/// Everything that the model was made from, by accounts that are not wrong in themselves, whether it is here or not.
pub(crate) fn ancestors<'f>(facts: &'f Facts<'_>) -> Vec<&'f Hop> {
    let lineage = facts.lineage;
    let of_root: BTreeSet<usize> = accounts(facts).map(|(number, _)| number).collect();
    let holds = |child: usize, number: usize| {
        let hop = lineage.hops.get(child);
        let account = hop.and_then(|hop| hop.accounts.get(number));
        account.is_some_and(|account| account.problems.is_empty())
            && (child > 0 || of_root.contains(&number))
    };
    let mut reached = BTreeSet::new();
    let mut open = VecDeque::from([0]);
    while let Some(child) = open.pop_front() {
        for link in lineage.links.iter().filter(|link| link.child == child) {
            if holds(child, link.account) && reached.insert(link.parent) {
                open.push_back(link.parent);
            }
        }
    }
    reached.into_iter().filter_map(|index| lineage.hops.get(index)).collect()
}

/// Somebody who may says how it was made, on a platform of the level that is asked for, from code of an allowed place.
pub(crate) fn provenance(facts: &Facts<'_>) -> Option<Finding> {
    let entry = &facts.environment.entry;
    if !entry.require_provenance {
        return None;
    }
    let least = facts.environment.min_level.unwrap_or(Level::L1);
    let sources: &[String] = entry.provenance.as_ref().map_or(&[], |rule| &rule.sources);
    let mut wrong = Vec::new();
    for account in counting(facts) {
        let mut problems: Vec<String> =
            account.problems.iter().map(|problem| problem.message.clone()).collect();
        if account.level < least {
            problems.push(format!("it reaches {}", account.level));
        }
        problems.extend(from_elsewhere(facts, account, sources));
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

/// The statement of an account.
pub(super) fn statement<'f>(facts: &'f Facts<'_>, account: &Account) -> Option<&'f Provenance> {
    let named = |digest: &Digest| account.payload.ends_with(&digest.to_hex());
    let stated = facts.stated.iter().find(|stated| named(&stated.claim.value().payload))?;
    match &stated.claim.value().statement.predicate {
        Predicate::Provenance(provenance) => Some(provenance),
        _ => None,
    }
}

/// What is wrong with the places that the code came from, by an account.
fn from_elsewhere(facts: &Facts<'_>, account: &Account, sources: &[String]) -> Option<String> {
    if sources.is_empty() {
        return None;
    }
    let provenance = statement(facts, account)?;
    let parameters = &provenance.build_definition.external_parameters;
    let parameters: Parameters =
        serde_json::to_value(parameters).and_then(serde_json::from_value).unwrap_or_default();
    let source = parameters.source.unwrap_or_default();
    if source.dirty == Some(true) {
        return Some("its code had changes that are in no commit".to_owned());
    }
    let named: Vec<&str> =
        provenance.with_role(Role::Source.name()).map(|source| source.uri.as_str()).collect();
    if named.is_empty() {
        return Some("it does not say from which code".to_owned());
    }
    let allowed = |uri: &&str| sources.iter().any(|pattern| is_from(pattern, uri));
    let all = named.into_iter().chain(source.uri.as_deref());
    let others: Vec<&str> = all.filter(|uri| !allowed(uri)).collect();
    (!others.is_empty()).then(|| format!("its code is from {}", others.join(", ")))
}

/// Whether a place fits a pattern; one that ends in `/*` takes everything below. A place that leads elsewhere, or is spelt so that it might
/// be read otherwise, fits none.
fn is_from(pattern: &str, uri: &str) -> bool {
    let (_, path) = uri.split_once("://").unwrap_or(("", uri));
    let plain = !uri.contains(['%', '\\', '?', '#', '*'])
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    let fits = match pattern.strip_suffix("/*") {
        Some(above) if !above.contains('*') => {
            uri.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
        }
        _ => glob(pattern, uri),
    };
    plain && fits
}

/// Its chain stands, link by link.
pub(crate) fn lineage(facts: &Facts<'_>) -> Option<Finding> {
    facts.environment.entry.lineage.as_ref()?;
    let lineage = facts.lineage;
    let least = facts.environment.min_level.unwrap_or_default();
    let stands = lineage.stands && counting(facts).any(|account| account.stands);
    let mut wrong: Vec<String> = lineage
        .refusals()
        .map(|(hop, problems)| {
            let messages: Vec<&str> =
                problems.iter().map(|problem| problem.message.as_str()).collect();
            format!("{}: {}", hop.name, messages.join(", "))
        })
        .collect();
    if lineage.stands && !stands {
        wrong.push("nobody who may here says how it was made".to_owned());
    }
    let mut low = false;
    for hop in ancestors(facts) {
        if let Some(level) = hop.level.filter(|level| *level < least) {
            low = true;
            wrong.push(format!("{}: it reaches {level}, expected {least}", hop.name));
        }
    }
    let named = |account: &Account| {
        let payload = account.payload.strip_prefix("sha256:").unwrap_or(&account.payload);
        format!("sha256:{payload}")
    };
    let finding = match stands && !low {
        true => {
            let mut finding = Finding::met("lineage", lineage.weakest.clone());
            let accounts = counting(facts).filter(|account| account.stands);
            finding.evidence.extend(accounts.map(named));
            finding
        }
        false => Finding::not_met(
            "lineage",
            if wrong.is_empty() { "its chain does not stand".to_owned() } else { wrong.join("; ") },
            "a chain in which every link stands",
            "'bulla lineage' shows the chain and what is missing",
        ),
    };
    Some(finding)
}
