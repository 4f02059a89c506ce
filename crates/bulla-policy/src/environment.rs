//! `verification_policy`: what each environment asks of a model.

use std::collections::BTreeSet;

use bulla::HashAlgorithm;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::chain::{BuilderEntry, LineageEntry, Permission};
use crate::schema::{self, RULE};
use crate::span::Span;

/// What becomes of a model that does not meet the rules. A fault denies in every mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It is refused.
    #[default]
    Enforce,
    /// It is admitted, and whoever asks is told.
    Warn,
    /// It is admitted, and only the decision says so.
    Audit,
}

/// An environment's rules.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvironmentEntry {
    /// What becomes of a model that does not meet the rules. A fault denies in every mode.
    #[serde(default)]
    pub(crate) mode: Mode,
    /// Patterns of the names of models that it runs; all, if there is none. `*` crosses neither `@` nor `/`.
    #[serde(default)]
    pub(crate) models: Vec<String>,
    /// Whether it has to be signed.
    #[serde(default = "yes")]
    pub(crate) require_signature: bool,
    /// Authorities one of which has to have signed it.
    #[serde(default)]
    pub(crate) accepted_authorities: Vec<String>,
    /// Whether it has to be released: under its name, not ended, and not replaced by a later one.
    #[serde(default)]
    pub(crate) require_release: bool,
    /// The longest ago that it may have been released, or certified.
    #[serde(default)]
    pub(crate) max_signature_age_days: Option<u32>,
    /// Whether somebody who may has to say how it was made.
    #[serde(default)]
    pub(crate) require_provenance: bool,
    /// Who may say how it was made, and what is asked of that.
    #[serde(default)]
    pub(crate) provenance: Option<ProvenanceEntry>,
    /// How far its chain of ancestors is believed. Where this is missing the chain is not asked for.
    #[serde(default)]
    pub(crate) lineage: Option<LineageEntry>,
    /// What it has to have reached.
    #[serde(default)]
    pub(crate) evaluations: Vec<EvaluationEntry>,
    /// That it passed its tests, as one of these authorities says.
    #[serde(default)]
    pub(crate) test_results: Option<SignedBy>,
    /// That it has a bill of materials by one of these authorities.
    #[serde(default)]
    pub(crate) require_bom: Option<SignedBy>,
    /// Under which licenses it may be.
    #[serde(default)]
    pub(crate) licenses: Option<LicensesEntry>,
    /// Whether a configuration in it may ask for code of its own.
    #[serde(default)]
    pub(crate) remote_code: Permission,
    /// Endings that its files may have; any, if this is missing.
    #[serde(default)]
    pub(crate) formats: Option<BTreeSet<String>>,
    /// How its signer may have measured it.
    #[serde(default)]
    pub(crate) recipes: RecipesEntry,
    /// The role whose people may waive rules.
    #[serde(default)]
    pub(crate) exceptions: Option<ExceptionsEntry>,
    /// Rules of one's own.
    #[serde(default)]
    pub(crate) rules: Vec<CustomRule>,
    /// How long a verdict counts; 30 days, where nothing is said.
    #[serde(default)]
    pub(crate) verdict_valid_for: Option<Span>,
}

fn yes() -> bool {
    true
}

/// Names of authorities.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignedBy {
    /// Names of authorities, one of which is enough.
    pub(crate) signed_by: Vec<String>,
}

/// Who may say how a model was made, and what is asked of that.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProvenanceEntry {
    /// Who speaks for which builder.
    #[serde(default)]
    pub(crate) builders: Vec<BuilderEntry>,
    /// The build level that has to be reached.
    #[serde(default)]
    #[schemars(schema_with = "schema::level_or_none")]
    pub(crate) min_level: Option<String>,
    /// Patterns of the places that the code may be from.
    #[serde(default)]
    pub(crate) sources: Vec<String>,
}

/// What a model has to have reached: at least, at most, or both.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EvaluationEntry {
    /// What was measured.
    pub(crate) metric: String,
    /// At which task; any, if this is missing.
    #[serde(default)]
    pub(crate) task: Option<String>,
    /// On which part of the data; any, if this is missing.
    #[serde(default)]
    pub(crate) split: Option<String>,
    /// The least that it may be.
    #[serde(default)]
    pub(crate) at_least: Option<f64>,
    /// The most that it may be.
    #[serde(default)]
    pub(crate) at_most: Option<f64>,
    /// Authorities one of which has to say so.
    pub(crate) signed_by: Vec<String>,
}

/// Under which licenses a model may be.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LicensesEntry {
    /// The licenses.
    pub(crate) allow: BTreeSet<String>,
    /// Authorities one of which has to say under which it is.
    pub(crate) signed_by: Vec<String>,
}

/// How signers may have measured.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecipesEntry {
    /// With which hash.
    #[serde(default = "every_hash")]
    #[schemars(schema_with = "schema::hashes")]
    pub(crate) hash: Vec<String>,
    /// Paths that may be left out; nothing else may.
    #[serde(default = "usual_paths")]
    pub(crate) ignore: BTreeSet<String>,
    /// Whether links may have been followed.
    #[serde(default)]
    pub(crate) symlinks: bool,
}

impl Default for RecipesEntry {
    fn default() -> Self {
        Self { hash: every_hash(), ignore: usual_paths(), symlinks: false }
    }
}

fn every_hash() -> Vec<String> {
    HashAlgorithm::ALL.iter().map(|hash| hash.name().to_owned()).collect()
}

fn usual_paths() -> BTreeSet<String> {
    use bulla::model::{CLAIMS_NAME, GIT_PATHS, SIGNATURE_NAME};
    GIT_PATHS.into_iter().chain([SIGNATURE_NAME, CLAIMS_NAME]).map(str::to_owned).collect()
}

/// Whose people may waive rules.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExceptionsEntry {
    /// The role.
    pub(crate) from: String,
    /// How many of them.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub(crate) required: usize,
    /// The longest that an exception counts, whatever it says itself.
    #[serde(default)]
    pub(crate) valid_for: Option<Span>,
}

fn one() -> usize {
    1
}

/// A rule that the policy's owners wrote.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CustomRule {
    /// Its name: decisions and exceptions call it `rule:NAME`.
    #[schemars(regex(pattern = RULE))]
    pub(crate) name: String,
    /// What has to hold: an expression in CEL.
    pub(crate) when: String,
    /// What a person reads where it does not hold.
    pub(crate) message: String,
}
