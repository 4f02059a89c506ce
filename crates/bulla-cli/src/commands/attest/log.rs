//! `bulla attest log`: training logs.

use std::io::BufReader;
use std::path::PathBuf;

use bulla::Printable;
use bulla_provenance::training_log::{Head, Report, verify};
use clap::{Args, Subcommand, ValueHint};
use serde::Serialize;

use crate::making::of_log;
use crate::problem::{Outcome, Verdict};
use crate::ui::Ui;

/// Check a training log
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Verify(VerifyArguments),
}

/// Check that a training log is whole
///
/// Every line holds the digest of the one before it, so a line that was changed, added or taken away shows. That lines were cut off the
/// end shows by the log's head, which stands in the provenance of the model.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
struct VerifyArguments {
    /// The log
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// The head that it has to have, from a provenance: LINES:SHA256
    #[arg(long, value_name = "HEAD")]
    head: Option<Head>,
}

const EXAMPLES: &str = "\
Examples:
  bulla attest log verify training.jsonl";

#[derive(Debug, Serialize)]
struct Verified<'a> {
    command: &'static str,
    verdict: &'static str,
    head: String,
    #[serde(rename = "log")]
    report: &'a Report,
}

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let What::Verify(arguments) = &arguments.what;
    let path = &arguments.file;
    let file = std::fs::File::open(path).map_err(|e| bulla::Fault::io("open", path, e))?;
    let report = verify(BufReader::new(file), arguments.head.as_ref())
        .map_err(|error| of_log(path, &error))?;
    let head = report.head.to_string();
    let verified =
        Verified { command: "attest", verdict: "verified", head: head.clone(), report: &report };
    ui.result(&verified, |out| {
        crate::ui::verified(out, &path.to_string_lossy())?;
        writeln!(out, "  head       {head}")?;
        writeln!(out, "  started    {}", report.started)?;
        match report.finished {
            Some(finished) => writeln!(out, "  finished   {finished}")?,
            None => writeln!(out, "  last line  {} (no end was written)", report.last)?,
        }
        for (name, metric) in &report.metrics {
            writeln!(out, "  {:<10} {} ({} values)", Printable(name), metric.value, metric.count)?;
        }
        if let Some(back) = &report.clock_went_back {
            writeln!(
                out,
                "  note: the clock went back {} times, first in line {}",
                back.times, back.first_line
            )?;
        }
        if arguments.head.is_none() {
            writeln!(out, "  note: without --head, lines that were cut off the end do not show")?;
        }
        Ok(())
    })?;
    Ok(Verdict::Yes)
}
