//! `bulla digest`

use std::io::Write as _;
use std::path::PathBuf;

use bulla::report::Digests;
use bulla::{LocalModel, Manifest, Printable};
use clap::{Args, ValueHint};
use serde::Serialize;

use crate::arguments::{RecipeArguments, WorkArguments};
use crate::problem::{Outcome, Problem, Verdict};
use crate::ui::Ui;

/// Print the digests that a signature would bind
///
/// oms: is the OMS root, which binds the files' contents in order but none of their names;
/// oms-manifest-v1: binds names and recipe, too. A single file has its sha256: besides.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The directory or file
    #[arg(value_hint = ValueHint::AnyPath)]
    model: PathBuf,
    #[command(flatten, next_help_heading = "Recipe")]
    recipe: RecipeArguments,
    #[command(flatten)]
    work: WorkArguments,
}

const EXAMPLES: &str = "\
Examples:
  bulla digest my-model
  bulla digest my-model --ignore cache --json";

#[derive(Debug, Serialize)]
struct Report {
    command: &'static str,
    verdict: &'static str,
    #[serde(flatten)]
    digests: Digests,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    resources: Vec<Resource>,
}

#[derive(Debug, Serialize)]
struct Resource {
    name: String,
    digest: String,
}

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let source = LocalModel::open(&arguments.model)?;
    let recipe = arguments.recipe.recipe(&arguments.model)?;
    let bar = ui.bar("hashing");
    let limits = arguments.work.limits();
    let manifest = bulla::sign::measure(&source, &recipe, &limits, arguments.work.work(&bar))
        .map_err(|failure| Problem::about(arguments.model.display().to_string(), failure))?;
    drop(bar);
    let resources = manifest.resources();
    let report = Report {
        command: "digest",
        verdict: "measured",
        digests: Digests::of(&manifest),
        sha256: single_sha256(&manifest),
        resources: resources
            .into_iter()
            .map(|(name, digest)| Resource { name, digest: digest.to_string() })
            .collect(),
    };
    ui.result(&report, |out| {
        writeln!(out, "{}", report.digests.oms)?;
        writeln!(out, "{}", report.digests.oms_manifest_v1)?;
        report.sha256.iter().try_for_each(|sha256| writeln!(out, "{sha256}"))
    })?;
    if ui.is_verbose() {
        list(&manifest)?;
    }
    Ok(Verdict::Yes)
}

/// The digest of a single-file model's bytes, where that is what was computed.
fn single_sha256(manifest: &Manifest) -> Option<String> {
    let whole = manifest.layout == bulla::model::Layout::SingleFile
        && manifest.recipe.method == bulla::model::Method::Files
        && manifest.recipe.hash == bulla::HashAlgorithm::Sha256;
    let file = manifest.files.values().next().filter(|_| whole)?;
    file.digests.first().map(ToString::to_string)
}

/// Every resource with its digest.
pub(crate) fn list(manifest: &Manifest) -> std::io::Result<()> {
    let mut out = anstream::stdout().lock();
    for (name, digest) in manifest.resources() {
        writeln!(out, "  {digest}  {}", Printable(&name))?;
    }
    out.flush()
}
