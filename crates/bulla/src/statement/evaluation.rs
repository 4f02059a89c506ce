//! What was measured of a model: numbers, with what they were measured on.
//!
//! in-toto's `test-result` knows only names of tests that passed or failed; a policy that asks for an accuracy of 0.9 needs
//! the number, signed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::descriptor::ResourceDescriptor;
use super::{check_list, check_text, malformed_attestation as malformed};
use crate::error::Reason;
use crate::json::objects;

/// The predicate type.
pub const PREDICATE_TYPE: &str = "urn:bulla:attestation:evaluation:v0.1";
/// Most metrics in one statement.
const METRICS: usize = 10_000;

/// An evaluation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Evaluation {
    /// The numbers. Never empty; no two are of the same name, task and split.
    #[serde(deserialize_with = "objects")]
    pub metrics: Vec<Metric>,
    /// What was measured on.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "objects")]
    pub datasets: Vec<ResourceDescriptor>,
    /// What measured: code, images, prompts.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "objects")]
    pub configuration: Vec<ResourceDescriptor>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluated_on: Option<Timestamp>,
}

/// A number.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metric {
    /// `accuracy`, `f1`, …
    pub name: String,
    /// Finite: JSON has no others.
    pub value: f64,
    /// Its unit, if it is not a plain number: `ms`, `tokens/s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The task or benchmark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The part of the dataset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// Standard error of the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_error: Option<f64>,
}

impl Evaluation {
    pub(super) fn check(&self) -> Result<(), Reason> {
        if self.metrics.is_empty() || self.metrics.len() > METRICS {
            return Err(malformed(format!(
                "it has {} metrics, expected 1 to {METRICS}",
                self.metrics.len()
            )));
        }
        let mut seen = std::collections::HashSet::new();
        for metric in &self.metrics {
            check_text("metric's name", &metric.name)?;
            let numbers = [Some(metric.value), metric.standard_error];
            if numbers.into_iter().flatten().any(|number| !number.is_finite()) {
                return Err(malformed(format!("{:?} is not a finite number", metric.name)));
            }
            // Two values of one metric would let a reader choose.
            if !seen.insert((&metric.name, &metric.task, &metric.split)) {
                return Err(malformed(format!("the metric {:?} stands twice", metric.name)));
            }
        }
        check_list(&self.datasets)?;
        check_list(&self.configuration)
    }

    /// The value of a metric; that of one task or split only if it is named.
    #[must_use]
    pub fn value(&self, name: &str, task: Option<&str>, split: Option<&str>) -> Option<f64> {
        let found = self.metrics.iter().find(|metric| {
            metric.name == name
                && metric.task.as_deref() == task
                && metric.split.as_deref() == split
        });
        found.map(|metric| metric.value)
    }
}
