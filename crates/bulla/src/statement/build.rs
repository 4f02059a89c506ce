//! The kinds of builds that Bulla describes: what `buildType` and `externalParameters` of a provenance mean.
//!
//! Every step that makes a model is one: training, adapting, converting, composing. What went in stands in
//! `resolvedDependencies`, each with its role; a model or dataset with both its digests. So a lineage has one kind of edge.
//!
//! "There are no parents" is said, never concluded from their absence: [`Pretrain`](Kind::Pretrain) is the one kind
//! without any, and none of the others is complete without its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::descriptor::ResourceDescriptor;
use super::malformed_attestation as malformed;
use super::model::ModelDigests;
use super::provenance::Provenance;
use crate::error::Reason;

const BUILD_TYPES: &str = "urn:bulla:build:";

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Trains a model from nothing: it has no parents.
    Pretrain,
    /// Trains a model further.
    Finetune,
    /// Trains an adapter to a model.
    Adapter,
    /// Makes one model of several.
    Merge,
    /// Rounds a model's weights.
    Quantize,
    /// Writes a model in another form.
    Convert,
    /// Puts a base, adapters and indices together, as they are deployed.
    Compose,
}

/// What a dependency is to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The model that the step begins with, or one of those that are merged.
    BaseModel,
    /// An adapter in a composition.
    Adapter,
    /// An index that the composition retrieves from.
    RetrievalIndex,
    /// What was learnt from.
    TrainingData,
    /// What was measured with.
    EvaluationData,
    /// The code.
    Source,
    /// A file with parameters.
    Hyperparameters,
    /// The container that it ran in.
    ContainerImage,
    /// A signature that was checked of another input.
    Signature,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Pretrain,
        Self::Finetune,
        Self::Adapter,
        Self::Merge,
        Self::Quantize,
        Self::Convert,
        Self::Compose,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pretrain => "pretrain",
            Self::Finetune => "finetune",
            Self::Adapter => "adapter",
            Self::Merge => "merge",
            Self::Quantize => "quantize",
            Self::Convert => "convert",
            Self::Compose => "compose",
        }
    }

    /// The URI in `buildType`.
    #[must_use]
    pub fn build_type(self) -> String {
        format!("{BUILD_TYPES}{}:v1", self.name())
    }

    /// The kind with this URI.
    #[must_use]
    pub fn of(build_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.build_type() == build_type)
    }

    /// How many models it begins with: at least, and at most.
    fn bases(self) -> (usize, usize) {
        match self {
            Self::Pretrain => (0, 0),
            Self::Finetune | Self::Adapter | Self::Quantize | Self::Convert | Self::Compose => {
                (1, 1)
            }
            Self::Merge => (2, usize::MAX),
        }
    }
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::BaseModel,
        Self::Adapter,
        Self::RetrievalIndex,
        Self::TrainingData,
        Self::EvaluationData,
        Self::Source,
        Self::Hyperparameters,
        Self::ContainerImage,
        Self::Signature,
    ];

    /// The annotation.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BaseModel => "base-model",
            Self::Adapter => "adapter",
            Self::RetrievalIndex => "retrieval-index",
            Self::TrainingData => "training-data",
            Self::EvaluationData => "evaluation-data",
            Self::Source => "source",
            Self::Hyperparameters => "hyperparameters",
            Self::ContainerImage => "container-image",
            Self::Signature => "signature",
        }
    }

    /// The role of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Whether it is a link of the chain, to be followed: a model, or data that went into one.
    #[must_use]
    pub fn is_link(self) -> bool {
        matches!(self, Self::BaseModel | Self::Adapter | Self::RetrievalIndex | Self::TrainingData)
    }
}

/// What whoever started a step chose: the `externalParameters` of all our kinds. What is not known is refused, as SLSA
/// asks of verifiers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Parameters {
    /// The code: a URI, and where in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// What was run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// The file with the hyperparameters, as it was named; its digest is a dependency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hyperparameters: Option<String>,
    /// The pipeline that the run was one of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// What a conversion did, so that it can be done again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversion: Option<Value>,
    /// Names of the parts of a composition, in the order in which they are applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<String>,
}

/// Where the code came from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// `git+https://…`, if it is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Branch or tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#ref: Option<String>,
    /// Whether there were changes that were not committed: then the commit does not say what ran. Absent if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dirty: Option<bool>,
}

/// A step of ours, read out of a provenance.
#[derive(Debug, Clone)]
pub struct Step<'a> {
    /// What it did.
    pub kind: Kind,
    /// What was chosen.
    pub parameters: Parameters,
    /// What went in, with its role.
    pub inputs: Vec<(Role, &'a ResourceDescriptor)>,
}

impl Parameters {
    /// As `externalParameters`.
    #[must_use]
    pub fn to_map(&self) -> BTreeMap<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map.into_iter().collect(),
            // Strings, lists and JSON only.
            _ => BTreeMap::new(),
        }
    }
}

impl<'a> Step<'a> {
    /// Reads a provenance of one of our kinds; `None` for one of another.
    ///
    /// # Errors
    /// When parameters or roles are not known, or the inputs do not fit the kind: too few models or too many, or one
    /// without both digests.
    pub fn read(provenance: &'a Provenance) -> Result<Option<Self>, Reason> {
        let definition = &provenance.build_definition;
        let Some(kind) = Kind::of(&definition.build_type) else { return Ok(None) };
        let parameters = definition.external_parameters.clone().into_iter().collect();
        let parameters: Parameters = serde_json::from_value(Value::Object(parameters))
            .map_err(|e| malformed(format!("in its externalParameters: {e}")))?;
        let mut inputs = Vec::new();
        for dependency in &definition.resolved_dependencies {
            let name = dependency.role().unwrap_or_default();
            let role = Role::of(name).ok_or_else(|| {
                malformed(format!("{:?} has the unknown role {name:?}", dependency.label()))
            })?;
            inputs.push((role, dependency));
        }
        let step = Self { kind, parameters, inputs };
        step.check()?;
        Ok(Some(step))
    }

    fn check(&self) -> Result<(), Reason> {
        let count = |role| self.inputs.iter().filter(|(r, _)| *r == role).count();
        let (kind, bases) = (self.kind.name(), count(Role::BaseModel));
        let (least, most) = self.kind.bases();
        if bases < least || bases > most {
            let expected = match (least, most) {
                (0, _) => "none".to_owned(),
                (1, 1) => "exactly one".to_owned(),
                (least, _) => format!("{least} or more"),
            };
            return Err(malformed(format!(
                "a {kind} has {bases} base models, expected {expected}"
            )));
        }
        if self.kind != Kind::Compose {
            if count(Role::Adapter) + count(Role::RetrievalIndex) > 0 {
                return Err(malformed(format!("a {kind} has no adapters or indices")));
            }
            if !self.parameters.components.is_empty() {
                return Err(malformed(format!("a {kind} has no components")));
            }
        } else {
            // The order says what is applied to what; a part that it leaves out would be in doubt.
            let parts = self.inputs.iter().filter(|(role, _)| {
                matches!(role, Role::BaseModel | Role::Adapter | Role::RetrievalIndex)
            });
            let names: Vec<&str> = parts.map(|(_, part)| part.name.as_str()).collect();
            if names != self.parameters.components {
                return Err(malformed(
                    "its components are not its base, adapters and indices in their order",
                ));
            }
        }
        if self.parameters.conversion.is_some() && self.kind != Kind::Convert {
            return Err(malformed(format!("a {kind} is no conversion")));
        }
        // A link without both digests could lead to another model.
        for (role, dependency) in &self.inputs {
            if matches!(role, Role::BaseModel | Role::Adapter) {
                ModelDigests::read(dependency)?;
            }
        }
        Ok(())
    }

    /// The inputs that are links of the chain.
    pub fn links(&self) -> impl Iterator<Item = (Role, &'a ResourceDescriptor)> + '_ {
        self.inputs.iter().copied().filter(|(role, _)| role.is_link())
    }
}
