//! Rules that the policy's owners wrote themselves.

use std::collections::{BTreeMap, BTreeSet};

use bulla::statement::build::Role;
use bulla::statement::release::Release;
use bulla::{Predicate, SignedBy};
use serde_json::{Map, Value, json};

use super::{claims, origin};
use crate::cel::{Expression, Shape, Variables};
use crate::decision::Finding;
use crate::environment::CustomRule;
use crate::gate::Facts;

/// What the names of these rules begin with, in decisions and exceptions.
pub(crate) const PREFIX: &str = "rule:";

/// A rule that was read.
#[derive(Debug)]
pub(crate) struct Custom {
    pub(crate) name: String,
    when: Expression,
    message: String,
}

/// What these rules can ask about.
fn variables() -> Variables {
    let (text, int) = (|| Shape::Text, || Shape::Int);
    let texts = || Shape::list(Shape::Text);
    Variables::new([
        (
            "model",
            Shape::object([
                ("name", text()),
                ("digest", text()),
                ("hash", text()),
                ("total_size", int()),
                ("files", Shape::list(Shape::object([("path", text()), ("size", int())]))),
                ("formats", texts()),
            ]),
        ),
        ("environment", text()),
        (
            "signer",
            Shape::object([
                ("authorities", texts()),
                ("key", text()),
                ("identity", text()),
                ("provider", text()),
                ("claims", Shape::map(text())),
            ]),
        ),
        ("release", Shape::object([("name", text()), ("sequence", int())])),
        (
            "provenance",
            Shape::object([
                ("made_by", text()),
                ("builder", text()),
                ("level", int()),
                ("sources", texts()),
            ]),
        ),
        (
            "evaluations",
            Shape::list(Shape::object([
                ("metric", text()),
                ("value", Shape::Double),
                ("task", text()),
                ("split", text()),
            ])),
        ),
        ("licenses", texts()),
    ])
}

impl Custom {
    /// Reads rules; else says of each that cannot be read which, by what member, and why.
    pub(crate) fn read(
        rules: &[CustomRule],
    ) -> Result<Vec<Self>, Vec<(usize, &'static str, String)>> {
        let variables = variables();
        let (mut names, mut read, mut wrong) = (BTreeSet::new(), Vec::new(), Vec::new());
        for (index, CustomRule { name, when, message }) in rules.iter().enumerate() {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
                let why =
                    format!("rules: {name:?} is no name, expected letters, digits, '-' and '_'");
                wrong.push((index, "name", why));
            } else if !names.insert(name) {
                wrong.push((index, "name", format!("rules: {name} stands twice")));
            }
            match Expression::parse(when, &variables) {
                Ok(when) => read.push(Self { name: name.clone(), when, message: message.clone() }),
                Err(why) => wrong.push((index, "when", format!("rules: {name}: {why}"))),
            }
        }
        if wrong.is_empty() { Ok(read) } else { Err(wrong) }
    }
}

/// Every rule of the environment's own. One that has no answer was not met.
pub(crate) fn all(facts: &Facts<'_>) -> Vec<Finding> {
    let rules = &facts.environment.custom;
    if rules.is_empty() {
        return Vec::new();
    }
    let values = values(facts);
    let remedy = "ask the policy's owners what would mend it";
    let finding = |rule: &Custom| {
        let name = format!("{PREFIX}{}", rule.name);
        match rule.when.evaluate(&values) {
            Ok(true) => Finding::met(name, "it holds"),
            Ok(false) => Finding::not_met(name, rule.message.clone(), "", remedy),
            Err(why) => Finding::not_met(
                name,
                format!("it has no answer: {why}"),
                rule.message.clone(),
                remedy,
            ),
        }
    };
    rules.iter().map(finding).collect()
}

fn values(facts: &Facts<'_>) -> Value {
    let mut all = Map::new();
    let mut put = |name: &str, value: Value| all.insert(name.to_owned(), value);
    put("environment", facts.environment.name.as_str().into());
    put("evaluations", evaluations(facts).into());
    put("licenses", json!(claims::licenses_of(facts)));
    if let Some(manifest) = facts.manifest() {
        let files = manifest.files.iter();
        let files = files.map(|(path, file)| json!({ "path": path.as_str(), "size": file.size() }));
        let paths = manifest.files.keys().map(|path| super::contents::format(path.as_str()));
        let formats: BTreeSet<String> = paths.collect();
        let digest = facts.digests().map(|d| format!("oms-manifest-v1:{}", d.manifest.to_hex()));
        put(
            "model",
            json!({
                "name": facts.request.name,
                "digest": digest,
                "hash": manifest.recipe.hash.name(),
                "total_size": manifest.total_size(),
                "files": files.collect::<Vec<Value>>(),
                "formats": formats,
            }),
        );
    }
    if let Some(signature) = &facts.signature {
        let key = signature.signed_by.key().fingerprint().to_string();
        let signer = match &signature.signed_by {
            SignedBy::Identity(identity) => json!({
                "authorities": signature.parties,
                "key": key,
                "identity": identity.identity.as_str(),
                "provider": identity.provider,
                "claims": identity.claims.iter().collect::<BTreeMap<&str, &str>>(),
            }),
            _ => json!({ "authorities": signature.parties, "key": key }),
        };
        put("signer", signer);
    }
    let released = claims::released(facts);
    let in_force = |release: &&Release| release.issued <= facts.now && facts.now < release.expires;
    if let Some(release) = released.map(|(release, _)| release).filter(in_force) {
        put("release", json!({ "name": release.name, "sequence": release.sequence }));
    }
    let accounts = origin::counting(facts).filter(|account| account.problems.is_empty());
    if let Some(account) = accounts.max_by_key(|account| account.level) {
        let provenance = origin::statement(facts, account).into_iter();
        let sources: BTreeSet<&str> = provenance
            .flat_map(|provenance| provenance.with_role(Role::Source.name()))
            .map(|source| source.uri.as_str())
            .collect();
        put(
            "provenance",
            json!({
                "made_by": account.made_by,
                "builder": account.builder,
                "level": account.level as u8,
                "sources": sources,
            }),
        );
    }
    all.into()
}

fn evaluations(facts: &Facts<'_>) -> Vec<Value> {
    let mut all = Vec::new();
    let accepted = &facts.environment.entry.accepted_authorities;
    for stated in claims::counting(facts).filter(|stated| claims::by(stated, accepted)) {
        if let Predicate::Evaluation(evaluation) = &stated.claim.value().statement.predicate {
            for metric in &evaluation.metrics {
                let mut one = Map::new();
                one.insert("metric".to_owned(), metric.name.as_str().into());
                one.insert("value".to_owned(), metric.value.into());
                for (name, text) in [("task", &metric.task), ("split", &metric.split)] {
                    if let Some(text) = text {
                        one.insert(name.to_owned(), text.as_str().into());
                    }
                }
                all.push(one.into());
            }
        }
    }
    all
}
