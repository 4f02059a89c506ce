//! `bulla attest evaluation`

use std::path::{Path, PathBuf};

use bulla::statement::build::Role;
use bulla::statement::evaluation::{Evaluation, Metric};
use bulla::{Predicate, Printable};
use clap::{Args, ValueHint};

use super::AboutArguments;
use crate::problem::{Outcome, Problem};
use crate::ui::Ui;

/// Bytes of a file with metrics.
pub(crate) const METRICS_BYTES: u64 = 4 << 20;

/// Say what was measured of a model: numbers
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    about: AboutArguments,
    /// A number: accuracy=0.93; may be repeated
    #[arg(long, value_name = "NAME=NUMBER", value_parser = metric, required_unless_present = "file")]
    #[arg(help_heading = "The evaluation")]
    metric: Vec<Metric>,
    /// A JSON file with numbers: {"accuracy": 0.93}, or a list of objects with name, value, unit, task, split
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "The evaluation")]
    file: Option<PathBuf>,
    /// The task or benchmark of the numbers given with --metric
    #[arg(long, value_name = "TASK", requires = "metric", help_heading = "The evaluation")]
    task: Option<String>,
    /// What was measured on: a directory or file, or a URI; may be repeated
    #[arg(long, value_name = "DATA", help_heading = "The evaluation")]
    dataset: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  bulla attest evaluation tuned --metric accuracy=0.93 --metric f1=0.9 --key signer.key
  bulla attest evaluation tuned --file results.json --dataset data --key signer.key";

fn metric(text: &str) -> Result<Metric, String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=NUMBER, as accuracy=0.93")?;
    let value: f64 = value.parse().map_err(|_| format!("{value:?} is no number"))?;
    if !value.is_finite() {
        return Err("a metric is a finite number".into());
    }
    Ok(Metric { name: name.to_owned(), value, ..Metric::default() })
}

/// The metrics in a file that was read.
pub(crate) fn parse_metrics(path: &Path, bytes: &[u8]) -> Result<Vec<Metric>, Problem> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Document {
        List(Vec<Metric>),
        Whole { metrics: Vec<Metric> },
        Flat(std::collections::BTreeMap<String, f64>),
    }
    let usage = |why: String| {
        Problem::usage(
            format!("{}: {why}", Printable(&path.to_string_lossy())),
            "write the numbers as {\"accuracy\": 0.93}, or as a list of objects with name and value",
        )
    };
    if bytes.len() as u64 > METRICS_BYTES {
        return Err(usage(format!("it is larger than {METRICS_BYTES} bytes")));
    }
    let document: serde_json::Value =
        bulla::json::read_any(bytes).map_err(|why| usage(format!("it is no JSON: {why}")))?;
    let document: Document = serde_json::from_value(document)
        .map_err(|_| usage("it holds something else than names with numbers".into()))?;
    let metrics = match document {
        Document::List(metrics) | Document::Whole { metrics } => metrics,
        Document::Flat(flat) => flat
            .into_iter()
            .map(|(name, value)| Metric { name, value, ..Metric::default() })
            .collect(),
    };
    if metrics.is_empty() {
        return Err(usage("there is no number in it".into()));
    }
    Ok(metrics)
}

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let mut metrics = arguments.metric.clone();
    metrics.iter_mut().for_each(|metric| metric.task.clone_from(&arguments.task));
    if let Some(path) = &arguments.file {
        metrics.extend(parse_metrics(path, &bulla::read_named(path, METRICS_BYTES)?)?);
    }
    let desk = arguments.about.add.desk(ui)?;
    let model = &arguments.about.model;
    desk.may_add(model)?;
    let looked = desk.look_at(model)?;
    let mut datasets = Vec::new();
    for given in &arguments.dataset {
        datasets.extend(desk.inputs().data(Role::EvaluationData, given)?);
    }
    let evaluation = Evaluation {
        metrics,
        datasets,
        configuration: Vec::new(),
        evaluated_on: Some(jiff::Timestamp::now()),
    };
    desk.state(model, &looked, Predicate::Evaluation(evaluation))
}
