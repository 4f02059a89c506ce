//! `provenance.builders` and `lineage`: how far a chain is believed, in a trust file and in each environment of a policy.

use std::collections::BTreeSet;

use bulla::jiff::SignedDuration;
use bulla::lineage::{Builder, Level, Rules, Unverified, Verifier};
use bulla::party::Party;
use bulla::{Digest, HashAlgorithm};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::places::At;
use crate::schema;
use crate::trust::Reader;

/// The deepest chain that can be asked for.
const MAX_DEPTH: usize = 64;

/// Whether something is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Permission {
    /// It is not.
    #[default]
    Deny,
    /// It is.
    Allow,
}

/// Who speaks for a builder.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BuilderEntry {
    /// The builder, as provenances name it: a URI.
    #[schemars(regex(pattern = ":"))]
    id: String,
    /// The authority that signs for it.
    signer: String,
    /// The highest build level that it is believed to reach.
    #[schemars(schema_with = "schema::level")]
    max_level: String,
}

/// How far a chain of ancestors is believed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LineageEntry {
    /// How many generations there may be.
    #[serde(default)]
    #[schemars(range(max = MAX_DEPTH))]
    max_depth: Option<usize>,
    /// Whether there may be ancestors of which nothing is proved.
    #[serde(default)]
    unverified_parents: Permission,
    /// Authorities that may say that a model has no parents.
    #[serde(default)]
    no_parents_signed_by: Vec<String>,
    /// Gates whose verdicts stand for an ancestor.
    #[serde(default)]
    verifiers: Vec<VerifierEntry>,
    /// For which environment their verdicts have to be; for none, if this is missing: those of 'bulla admit' are for one.
    #[serde(default)]
    environment: Option<String>,
    /// How old their verdicts may be.
    #[serde(default)]
    max_verdict_age_days: Option<u32>,
}

/// A gate whose verdicts stand for an ancestor.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct VerifierEntry {
    /// The gate, as its verdicts name it.
    id: String,
    /// The authority that signs for it.
    signer: String,
    /// SHA-256 of the trust files or policies by which it may have decided; any, if there is none.
    #[serde(default)]
    policy_sha256: Vec<String>,
}

/// Where the rules of a walk stand.
pub(crate) struct Where<'a, 'r> {
    pub(crate) reader: &'a Reader<'r>,
    /// Whose rules they are, before what is wrong.
    pub(crate) whose: &'a str,
    pub(crate) builders: At,
    pub(crate) lineage: At,
    /// Names of authorities.
    pub(crate) known: Vec<&'a String>,
}

impl Where<'_, '_> {
    fn known(&self, at: &At, what: &str, id: &str) {
        let message = format!("{}{what}: there is no {id} under signing_authorities", self.whose);
        self.reader.known(at, message, id, self.known.iter().copied());
    }

    fn read<T>(&self, at: &At, part: Result<T, String>) -> Option<T> {
        let part = part.map_err(|why| format!("{}{why}", self.whose));
        self.reader.or_wrong(at, "docs/lineage.md describes it", part)
    }
}

/// The rules of a walk.
pub(crate) fn rules(
    place: &Where<'_, '_>,
    parties: Vec<Party>,
    builders: &[BuilderEntry],
    lineage: &LineageEntry,
) -> Rules {
    let mut rules = Rules::new(parties);
    for (index, builder) in builders.iter().enumerate() {
        let at = place.builders.nth(index);
        place.known(&at.of("signer"), "builders", &builder.signer);
        rules.builders.extend(place.read(&at, builder.read()));
    }
    for (index, verifier) in lineage.verifiers.iter().enumerate() {
        let at = place.lineage.of("verifiers").nth(index);
        place.known(&at.of("signer"), "verifiers", &verifier.signer);
        rules.verifiers.extend(place.read(&at, verifier.read()));
    }
    for (index, id) in lineage.no_parents_signed_by.iter().enumerate() {
        let at = place.lineage.of("no_parents_signed_by").nth(index);
        place.known(&at, "no_parents_signed_by", id);
    }
    rules.no_parents_signed_by.clone_from(&lineage.no_parents_signed_by);
    if let Some(depth) = lineage.max_depth {
        let allowed = match depth > MAX_DEPTH {
            true => Err(format!("max_depth is {depth}, at most {MAX_DEPTH} is allowed")),
            false => Ok(depth),
        };
        if let Some(depth) = place.read(&place.lineage.of("max_depth"), allowed) {
            rules.max_depth = depth;
        }
    }
    rules.unverified_parents = match lineage.unverified_parents {
        Permission::Deny => Unverified::Deny,
        Permission::Allow => Unverified::Allow,
    };
    rules.environment.clone_from(&lineage.environment);
    if let Some(days) = lineage.max_verdict_age_days {
        rules.max_verdict_age = SignedDuration::from_hours(i64::from(days) * 24);
    }
    rules
}

impl BuilderEntry {
    fn read(&self) -> Result<Builder, String> {
        let max_level =
            Level::of(&self.max_level).ok_or_else(|| level_expected(&self.max_level))?;
        if !self.id.contains(':') {
            return Err(format!("builders: the id {:?} is no URI", self.id));
        }
        Ok(Builder { id: self.id.clone(), signer: self.signer.clone(), max_level })
    }
}

pub(crate) fn level_expected(found: &str) -> String {
    format!("the level is {found:?}, expected SLSA_BUILD_LEVEL_1, _2 or _3")
}

impl VerifierEntry {
    fn read(&self) -> Result<Verifier, String> {
        let mut policies = BTreeSet::new();
        for digest in &self.policy_sha256 {
            let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
            if Digest::from_hex(HashAlgorithm::Sha256, hex).is_none() {
                return Err(format!("verifiers: {digest:?} is no SHA-256"));
            }
            policies.insert(hex.to_owned());
        }
        Ok(Verifier { id: self.id.clone(), signer: self.signer.clone(), policies })
    }
}
