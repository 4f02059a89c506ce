//! `verification_policy`: what each environment asks of a model.

use std::collections::BTreeSet;

use bulla::HashAlgorithm;
use serde::Deserialize;

use crate::chain::{BuilderEntry, LineageEntry, Permission};
use crate::span::Span;

/// What becomes of a model that does not meet the rules. A fault denies in every mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
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

/// An environment's rules, as they stand in the document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvironmentEntry {
    #[serde(default)]
    pub(crate) mode: Mode,
    /// Patterns of the names of models that it runs; all, if there is none.
    #[serde(default)]
    pub(crate) models: Vec<String>,
    #[serde(default = "yes")]
    pub(crate) require_signature: bool,
    #[serde(default)]
    pub(crate) accepted_authorities: Vec<String>,
    #[serde(default)]
    pub(crate) require_release: bool,
    #[serde(default)]
    pub(crate) max_signature_age_days: Option<u32>,
    #[serde(default)]
    pub(crate) require_provenance: bool,
    #[serde(default)]
    pub(crate) provenance: Option<ProvenanceEntry>,
    #[serde(default)]
    pub(crate) lineage: Option<LineageEntry>,
    #[serde(default)]
    pub(crate) evaluations: Vec<EvaluationEntry>,
    #[serde(default)]
    pub(crate) test_results: Option<SignedBy>,
    #[serde(default)]
    pub(crate) require_bom: Option<SignedBy>,
    #[serde(default)]
    pub(crate) licenses: Option<LicensesEntry>,
    #[serde(default)]
    pub(crate) remote_code: Permission,
    #[serde(default)]
    pub(crate) formats: Option<BTreeSet<String>>,
    #[serde(default)]
    pub(crate) recipes: RecipesEntry,
    /// The role whose people may waive rules.
    #[serde(default)]
    pub(crate) exceptions: Option<ExceptionsEntry>,
    #[serde(default)]
    pub(crate) rules: Vec<CustomRule>,
    /// How long a verdict counts.
    #[serde(default)]
    pub(crate) verdict_valid_for: Option<Span>,
}

fn yes() -> bool {
    true
}

/// Names of authorities.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignedBy {
    pub(crate) signed_by: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProvenanceEntry {
    #[serde(default)]
    pub(crate) builders: Vec<BuilderEntry>,
    #[serde(default)]
    pub(crate) min_level: Option<String>,
    /// Patterns of the places that the code may be from.
    #[serde(default)]
    pub(crate) sources: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EvaluationEntry {
    pub(crate) metric: String,
    #[serde(default)]
    pub(crate) task: Option<String>,
    #[serde(default)]
    pub(crate) split: Option<String>,
    #[serde(default)]
    pub(crate) at_least: Option<f64>,
    #[serde(default)]
    pub(crate) at_most: Option<f64>,
    pub(crate) signed_by: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LicensesEntry {
    pub(crate) allow: BTreeSet<String>,
    pub(crate) signed_by: Vec<String>,
}

/// How signers may have measured.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecipesEntry {
    #[serde(default = "every_hash")]
    pub(crate) hash: Vec<String>,
    /// Paths that may be left out; nothing else may.
    #[serde(default = "usual_paths")]
    pub(crate) ignore: BTreeSet<String>,
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

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExceptionsEntry {
    pub(crate) from: String,
    /// How many of them.
    #[serde(default = "one")]
    pub(crate) required: usize,
    /// The longest that an exception counts, whatever it says itself.
    #[serde(default)]
    pub(crate) valid_for: Option<Span>,
}

fn one() -> usize {
    1
}

/// A rule that the policy's owners wrote.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CustomRule {
    pub(crate) name: String,
    pub(crate) when: String,
    pub(crate) message: String,
}
