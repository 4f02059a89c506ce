//! `bulla attest dataset`

use bulla::Predicate;
use bulla::statement::dataset::Dataset;
use clap::Args;
use jiff::Timestamp;

use super::AboutArguments;
use crate::problem::Outcome;
use crate::ui::Ui;

/// Say what a dataset is
///
/// The dataset is the directory or file that is named as a model is elsewhere, and is measured in the same way.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    about: AboutArguments,
    /// What it is called [default: the name of the directory or file]
    #[arg(long, value_name = "NAME", help_heading = "The dataset")]
    name: Option<String>,
    /// Which of its versions it is
    #[arg(long, value_name = "VERSION", help_heading = "The dataset")]
    dataset_version: Option<String>,
    /// Where it is published
    #[arg(long, value_name = "URI", help_heading = "The dataset")]
    uri: Option<String>,
    /// Its licence: an SPDX expression, as CC-BY-4.0
    #[arg(long, value_name = "SPDX", help_heading = "The dataset")]
    license: Option<String>,
    /// What is in it, in words
    #[arg(long, value_name = "TEXT", help_heading = "The dataset")]
    description: Option<String>,
    /// How many records it has
    #[arg(long, value_name = "N", help_heading = "The dataset")]
    records: Option<u64>,
    /// When it was gathered: a day or a time
    #[arg(long, value_name = "TIME", value_parser = bulla::text::time, help_heading = "The dataset")]
    collected_on: Option<Timestamp>,
}

const EXAMPLES: &str = "\
Examples:
  bulla attest dataset data --key signer.key
  bulla attest dataset data --license CC-BY-4.0 --dataset-version 3 --key signer.key";

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let desk = arguments.about.add.desk(ui)?;
    let path = &arguments.about.model;
    desk.may_add(path)?;
    let looked = desk.look_at(path)?;
    let dataset = Dataset {
        name: arguments.name.clone().unwrap_or_else(|| looked.manifest.name.clone()),
        version: arguments.dataset_version.clone(),
        uri: arguments.uri.clone(),
        license: arguments.license.clone(),
        description: arguments.description.clone(),
        records: arguments.records,
        collected_on: arguments.collected_on,
        sources: Vec::new(),
    };
    desk.state(path, &looked, Predicate::Dataset(dataset))
}
