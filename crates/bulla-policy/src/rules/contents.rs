//! What is in the model: that it is what was signed, and what it holds.

use bulla::model::{CLAIMS_NAME, ModelPath, SIGNATURE_NAME};
use bulla::statement::oms::Dialect;
use bulla::{Notice, Refusal};

use crate::decision::Finding;
use crate::gate::Facts;
use crate::revocations::ModelName;

const INTEGRITY: &str = "integrity";
/// Differences that are named.
const NAMED: usize = 20;

/// It is not what was signed.
pub(crate) fn differs(refusal: &Refusal) -> Finding {
    let reasons: Vec<String> = refusal.reasons().map(ToString::to_string).collect();
    let more = reasons.len().saturating_sub(NAMED);
    let mut found = reasons.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    if more > 0 {
        found.push_str(&format!("; and {more} more"));
    }
    let remedy = refusal.reasons().find_map(bulla::Reason::hint).unwrap_or_default();
    Finding::not_met(INTEGRITY, found, "exactly the files that were signed", remedy)
}

/// It is what was signed.
pub(crate) fn integrity(facts: &Facts<'_>) -> Option<Finding> {
    let model = facts.model?;
    let manifest = model.manifest();
    let count = bulla::text::count(manifest.files.len(), "file");
    let size = bulla::text::bytes(manifest.total_size());
    Some(Finding::met(INTEGRITY, format!("{count} ({size}) are what was signed")))
}

/// It was measured in a way that the environment takes, and everything that is there was measured (rule 1 of the security design).
pub(crate) fn recipe(facts: &Facts<'_>) -> Option<Finding> {
    let model = facts.model?;
    let rules = &facts.environment.entry.recipes;
    let claim = model.claim().value();
    let mut wrong = Vec::new();
    if claim.dialect != Dialect::V1 {
        wrong.push("its signature is of an old or home-made format".to_owned());
    }
    let recipe = &claim.recipe;
    if !rules.hash.iter().any(|hash| hash == recipe.hash.name()) {
        wrong.push(format!("it was hashed with {}", recipe.hash.name()));
    }
    if recipe.follow_symlinks && !rules.symlinks {
        wrong.push("links were followed".to_owned());
    }
    let other = |path: &&ModelPath| !rules.ignore.contains(path.as_str());
    let left_out: Vec<&str> = recipe.ignore.iter().filter(other).map(ModelPath::as_str).collect();
    if !left_out.is_empty() {
        wrong.push(format!("its signature leaves out {}", left_out.join(", ")));
    }
    let own = |path: &&ModelPath| ![SIGNATURE_NAME, CLAIMS_NAME].contains(&path.as_str());
    for notice in model.notices() {
        match notice {
            Notice::NotCovered(paths) | Notice::PassedOverByDefault(paths) => {
                let there: Vec<&str> = paths.iter().filter(own).map(ModelPath::as_str).collect();
                if !there.is_empty() {
                    wrong.push(format!("nobody signed {}", there.join(", ")));
                }
            }
            Notice::Collisions(_) => {}
            weaker if weaker.is_weaker_check() => {
                wrong.push(bulla::report::NoticeReport::of(weaker).message);
            }
            _ => {}
        }
    }
    wrong.dedup();
    Some(match wrong.is_empty() {
        true => Finding::met("recipe", format!("{}, nothing left out", recipe.hash.name())),
        false => Finding::not_met(
            "recipe",
            wrong.join("; "),
            "what the policy's recipes allow, and every file measured",
            "take what was not signed away, or have the model signed again with 'bulla sign'",
        ),
    })
}

/// No two names are one on other file systems (rule 4).
pub(crate) fn names(facts: &Facts<'_>) -> Option<Finding> {
    let model = facts.model?;
    let collisions = model.notices().iter().find_map(|notice| match notice {
        Notice::Collisions(sets) => Some(sets),
        _ => None,
    })?;
    let sets: Vec<String> = collisions.iter().map(|set| set.join(" and ")).collect();
    Some(Finding::not_met(
        "names",
        format!("one name where case or spelling does not count: {}", sets.join("; ")),
        "names that are different everywhere",
        "ask the publisher for a model without such names",
    ))
}

/// It is what its publisher says elsewhere. SHA-256 of a file stands for a model of that file alone.
pub(crate) fn expected_digest(facts: &Facts<'_>) -> Option<Finding> {
    let expected = facts.request.expected;
    if expected.is_empty() {
        return None;
    }
    let digests = facts.digests();
    let mut files = facts.file_digests.values();
    let only = files.next().filter(|_| files.next().is_none());
    let is = |name: &&ModelName| match (name, digests) {
        (ModelName::Oms(digest), Some(found)) => *digest == found.oms,
        (ModelName::Manifest(digest), Some(found)) => *digest == found.manifest,
        (ModelName::File(digest), _) => only == Some(digest),
        _ => false,
    };
    let wanted: Vec<String> = expected.iter().map(ToString::to_string).collect();
    let mut found = digests.map_or("no digest that counts".to_owned(), |d| d.to_string());
    if let Some(digest) = only {
        found.push_str(&format!(" sha256:{}", digest.to_hex()));
    }
    let mut remedy =
        "get the model again from its publisher, and the digest from where it is published"
            .to_owned();
    if only.is_none() && expected.iter().any(|name| matches!(name, ModelName::File(_))) {
        remedy.push_str("; sha256: is the digest of one file, and a model of several has an oms: digest ('bulla digest MODEL')");
    }
    Some(match expected.iter().all(|name| is(&name)) {
        true => Finding::met("expected-digest", wanted.join(" ")),
        false => Finding::not_met("expected-digest", found, wanted.join(" "), remedy),
    })
}

/// Neither it, nor a file of it, nor what it was made from was withdrawn.
pub(crate) fn withdrawn(facts: &Facts<'_>) -> Option<Finding> {
    let list = &facts.gate.revocations.models;
    let (mut wrong, mut unknown) = (Vec::new(), Vec::new());
    let mut look = |what: &str, digests: bulla::ModelDigests, is_self: bool| {
        for name in [ModelName::Oms(digests.oms), ModelName::Manifest(digests.manifest)] {
            if let Some(revoked) = list.get(&name).filter(|r| is_self || r.descendants) {
                wrong.push(format!("{what} was revoked ({name}): {}", revoked.reason));
            }
        }
    };
    if let Some(digests) = facts.digests() {
        look("it", digests, true);
    }
    for hop in super::origin::ancestors(facts) {
        if let Some(digests) = hop.digests {
            look(&format!("{}, from which it was made,", hop.name), digests, false);
        }
        // What is behind a verdict is not looked at: it may be what was withdrawn.
        if let (Some(at), Some(since)) =
            (hop.stood_for_since, facts.gate.revocations.descendants_since)
            && at < since
        {
            unknown.push(format!(
                "{} is known by a verdict of {at}, before a model was withdrawn with what was made from it ({since})",
                hop.name
            ));
        }
    }
    for (path, digest) in &facts.file_digests {
        if let Some(revoked) = list.get(&ModelName::File(*digest)) {
            wrong.push(format!("its file {path} was revoked: {}", revoked.reason));
        }
    }
    wrong.extend(unknown);
    wrong.dedup();
    facts.digests()?;
    Some(match wrong.is_empty() {
        true => Finding::met("not-revoked", "neither the model nor what it was made from"),
        false => Finding::not_met(
            "not-revoked",
            wrong.join("; "),
            "",
            "do not use this model; go back to the last good release",
        ),
    })
}

/// Nobody has taken it out of use for the time being.
pub(crate) fn quarantine(facts: &Facts<'_>) -> Option<Finding> {
    let reason = facts.memory.quarantined.as_ref()?;
    Some(Finding::not_met(
        "quarantine",
        format!("it is in quarantine: {reason}"),
        "",
        "whoever put it there has to look at it first",
    ))
}

/// Its files are of formats that the environment takes.
pub(crate) fn formats(facts: &Facts<'_>) -> Option<Finding> {
    let formats = facts.environment.entry.formats.as_ref()?;
    let manifest = facts.manifest()?;
    let others: Vec<&str> = manifest
        .files
        .keys()
        .map(ModelPath::as_str)
        .filter(|path| !formats.contains(&format(path)))
        .take(NAMED + 1)
        .collect();
    let allowed = formats.iter().cloned().collect::<Vec<_>>().join(", ");
    Some(match others.as_slice() {
        [] => Finding::met("formats", format!("only {allowed}")),
        others => Finding::not_met(
            "formats",
            others.iter().take(NAMED).copied().collect::<Vec<_>>().join(", "),
            allowed,
            "convert the model, or take files away that it does not need, and sign it again",
        ),
    })
}

/// What a file's name ends in.
pub(super) fn format(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or(name, |(_, extension)| extension).to_lowercase()
}
