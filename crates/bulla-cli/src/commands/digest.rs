//! `bulla digest`

use std::io::Write as _;
use std::path::{Path, PathBuf};

use bulla::model::{Part, PartialManifest};
use bulla::report::Digests;
use bulla::sign::Known;
use bulla::{Access, Existing, LocalModel, Manifest, ModelSource as _, Printable};
use clap::{Args, ValueHint};
use serde::Serialize;

use crate::arguments::{RecipeArguments, WorkArguments, part};
use crate::files;
use crate::known::CacheArguments;
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
    /// Measure one part of several, and write it for 'bulla sign --from-partials'
    ///
    /// K counts from 0 or from 1 (N/N is 0/N). Every part needs the whole model to be there, but reads only its
    /// share.
    #[arg(long, value_name = "K/N", value_parser = part, help_heading = "In parts")]
    #[arg(conflicts_with = "digest_cache")]
    partition: Option<Part>,
    /// A name for the run that all parts belong to: parts of two runs are not joined. Without it all
    /// parts have to see the very same files, with it copies will do
    #[arg(long, value_name = "ID", requires = "partition", help_heading = "In parts")]
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    job: Option<String>,
    /// Where to write the part [default: standard output]
    #[arg(long, short, value_name = "FILE", requires = "partition", value_hint = ValueHint::FilePath)]
    #[arg(help_heading = "In parts")]
    output: Option<PathBuf>,
    #[command(flatten)]
    work: WorkArguments,
    #[command(flatten)]
    cache: CacheArguments,
}

const EXAMPLES: &str = "\
Examples:
  bulla digest my-model
  bulla digest my-model --ignore cache --json
  bulla digest my-model --partition 0/4 --job nightly-17 --output part-0.json";

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
    if let Some(part) = arguments.partition {
        return in_part(arguments, &source, recipe, part, ui);
    }
    let cache = arguments.cache.open(&arguments.model, None)?;
    let bar = ui.bar("hashing");
    let limits = arguments.work.limits();
    let known = cache.as_ref().map_or(Known::Nothing, |cache| Known::Cache(&cache.digests));
    let manifest =
        bulla::sign::measure(&source, &recipe, known, &limits, arguments.work.work(&bar))
            .map_err(|failure| Problem::about(arguments.model.display().to_string(), failure))?;
    drop(bar);
    cache.into_iter().for_each(|cache| cache.store(&manifest, ui));
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

#[derive(Debug, Serialize)]
struct PartReport {
    command: &'static str,
    verdict: &'static str,
    part: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    resources: usize,
    size: u64,
    output: String,
}

fn in_part(
    arguments: &Arguments,
    source: &LocalModel,
    mut recipe: bulla::Recipe,
    part: Part,
    ui: &Ui,
) -> Outcome {
    let to_file = arguments.output.as_deref().filter(|path| *path != Path::new("-"));
    if to_file.is_none() && ui.is_json() {
        return Err(Problem::usage(
            "--json and the part both want standard output",
            "name a file with --output, or leave --json out: the part is JSON",
        ));
    }
    if let Some(path) = to_file
        && files::inside(&arguments.model, path).is_some()
    {
        let shown = Printable(&path.to_string_lossy()).to_string();
        return Err(Problem::usage(
            format!("--output {shown}: it lies inside the model"),
            "write it elsewhere: the other parts would find a file that is not in the list",
        ));
    }
    if source.layout() == bulla::model::Layout::SingleFile {
        recipe.ignore.clear();
    }
    let limits = arguments.work.limits();
    if let Some(path) = to_file {
        files::may_write(path)?;
        files::may_replace(
            path,
            limits.bundle_bytes.saturating_mul(2),
            "a part of a model",
            |there| PartialManifest::decode(there).is_ok(),
            || "remove it first, or name another file".into(),
        )?;
    }
    let bar = ui.bar("hashing");
    let work = arguments.work.work(&bar);
    let measured =
        bulla::sign::measure_part(source, &recipe, part, arguments.job.as_deref(), &limits, work)
            .map_err(|failure| Problem::about(arguments.model.display().to_string(), failure))?;
    drop(bar);
    let Some(path) = to_file else {
        std::io::stdout().write_all(&measured.encode())?;
        return Ok(Verdict::Yes);
    };
    bulla::store(path, &measured.encode(), Access::Public, Existing::Replace)?;
    let report = PartReport {
        command: "digest",
        verdict: "measured",
        part: measured.part().to_string(),
        job: arguments.job.clone(),
        resources: measured.resources(),
        size: measured.bytes(),
        output: path.display().to_string(),
    };
    ui.result(&report, |out| {
        let size = bulla::text::bytes(report.size);
        let digests = bulla::text::count(report.resources, "digest");
        writeln!(out, "measured: part {} ({digests}, {size})", report.part)?;
        writeln!(out, "  written to {}", Printable(&report.output))
    })?;
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
