//! SLSA provenance: how something was made, from what, and by whom
//! (`https://slsa.dev/provenance/v1`, SLSA 1.0 to 1.2).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::descriptor::ResourceDescriptor;
use super::{check_list, check_uri, malformed_attestation as malformed};
use crate::error::Reason;
use crate::json::{object, objects, optional_object};

/// The predicate type.
pub const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";

/// How a model was made. Members that are not known are passed over, as SLSA's parsing rules want it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// What was to be done, with what.
    #[serde(deserialize_with = "object")]
    pub build_definition: BuildDefinition,
    /// Who did it, and when.
    #[serde(deserialize_with = "object")]
    pub run_details: RunDetails,
}

/// The inputs of a build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildDefinition {
    /// What kind of build it was, and so what the parameters mean: a URI.
    pub build_type: String,
    /// What whoever started the build chose.
    pub external_parameters: BTreeMap<String, Value>,
    /// What the builder chose.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub internal_parameters: BTreeMap<String, Value>,
    /// What went in.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "objects")]
    pub resolved_dependencies: Vec<ResourceDescriptor>,
}

/// A run of the build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunDetails {
    /// The platform that ran it.
    #[serde(deserialize_with = "object")]
    pub builder: Builder,
    /// Which run it was.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "optional_object"
    )]
    pub metadata: Option<BuildMetadata>,
    /// What else came out.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "objects")]
    pub byproducts: Vec<ResourceDescriptor>,
}

/// Who is answerable for the provenance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Builder {
    /// A URI.
    pub id: String,
    /// What the platform itself consists of.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "objects")]
    pub builder_dependencies: Vec<ResourceDescriptor>,
    /// Versions of its parts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub version: BTreeMap<String, String>,
}

/// A run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildMetadata {
    /// What the platform calls it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub invocation_id: String,
    /// When it began, as the builder says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_on: Option<Timestamp>,
    /// When it ended, as the builder says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_on: Option<Timestamp>,
}

impl Provenance {
    pub(super) fn check(&self) -> Result<(), Reason> {
        let BuildDefinition { build_type, resolved_dependencies, .. } = &self.build_definition;
        let RunDetails { builder, metadata, byproducts } = &self.run_details;
        check_uri("buildType", build_type)?;
        check_uri("builder.id", &builder.id)?;
        for list in [resolved_dependencies, byproducts, &builder.builder_dependencies] {
            check_list(list)?;
        }
        match metadata {
            Some(BuildMetadata { started_on: Some(start), finished_on: Some(end), .. })
                if end < start =>
            {
                Err(malformed(format!("it ended at {end}, before it began at {start}")))
            }
            _ => Ok(()),
        }
    }

    /// The dependencies with this role, in their order.
    pub fn with_role<'a>(
        &'a self,
        role: &'a str,
    ) -> impl Iterator<Item = &'a ResourceDescriptor> + 'a {
        let all = &self.build_definition.resolved_dependencies;
        all.iter().filter(move |dependency| dependency.role() == Some(role))
    }
}
