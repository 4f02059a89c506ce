//! `bulla lineage`

use std::path::{Path, PathBuf};

use bulla::lineage::{Held, Lineage, Options, walk};
use bulla::{Access, Existing, Fault, Limits, Printable};
use bulla_policy::TrustFile;
use clap::{Args, ValueEnum, ValueHint};
use serde::Serialize;

use crate::arguments::WorkArguments;
use crate::chart;
use crate::problem::{Outcome, Problem, Verdict};
use crate::rederive::Again;
use crate::ui::Ui;

/// Show where a model came from, link by link
///
/// Walks from the model to its base models, adapters and data, and checks each of them: that its files are what was signed, that
/// a signed provenance says how it was made, that whoever signed may say so, and that digests meet. A trust file names who may sign what.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The directory or file to look at
    #[arg(value_hint = ValueHint::AnyPath)]
    model: PathBuf,
    /// Who may sign what: a trust file (docs/lineage.md)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    trust: PathBuf,
    #[command(flatten)]
    chain: ChainFlags,
    /// How to show it
    #[arg(long, value_name = "FORMAT", default_value = "tree")]
    format: Format,
    /// Where to write it [default: standard output]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    #[command(flatten)]
    work: WorkArguments,
}

/// How a chain is walked.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "The chain")]
pub(crate) struct ChainFlags {
    /// A folder in which ancestors lie; may be repeated [default: the folder that MODEL lies in]
    #[arg(long = "in", value_name = "DIR", value_hint = ValueHint::DirPath)]
    folders: Vec<PathBuf>,
    /// Believe ancestors' signatures without reading their files
    #[arg(long)]
    parents_by_signature: bool,
    /// Do conversions again, where they are reproducible and both models are here, and compare
    #[arg(long)]
    rederive: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A tree, with what is wrong
    Tree,
    /// What --json prints
    Json,
    /// Graphviz
    Dot,
    /// For Markdown
    Mermaid,
    /// A drawing
    Svg,
    /// A page with drawing and details
    Html,
}

impl Format {
    /// Whether standard output is the same with `--json`.
    fn is_with_json(self) -> bool {
        matches!(self, Self::Tree | Self::Json)
    }
}

const EXAMPLES: &str = "\
Examples:
  bulla lineage deployed --trust trust.yaml
  bulla lineage deployed --trust trust.yaml --in . --parents-by-signature
  bulla lineage deployed --trust trust.yaml --format html --output lineage.html";

/// What drawings begin with. A tree begins as any text may.
const DRAWN: [&str; 5] = [
    "{\n  \"command\": \"lineage\"",
    "digraph lineage {",
    "flowchart LR\n",
    "<svg xmlns=",
    "<!doctype html>\n<html lang=\"en\">",
];

#[derive(Debug, Serialize)]
struct Report<'a> {
    command: &'static str,
    verdict: &'static str,
    model: String,
    #[serde(flatten)]
    lineage: &'a Lineage,
}

/// A chain that was walked, and by which rules.
pub(crate) struct Walked {
    pub(crate) lineage: Lineage,
    pub(crate) trust: TrustFile,
}

/// Where ancestors are looked for, and how.
pub(crate) struct Around {
    pub(crate) held: Vec<Held>,
    pub(crate) measure_parents: bool,
    pub(crate) rederive: bool,
}

impl ChainFlags {
    /// With folders, and nothing else out of the ordinary.
    pub(crate) fn of(folders: Vec<PathBuf>) -> Self {
        Self { folders, ..Self::default() }
    }

    /// The model, and what lies in the folders; if none was named and the chain counts, in that of the model.
    pub(crate) fn around(&self, model: &Path, chain_counts: bool) -> Result<Around, Fault> {
        let folders = match self.folders.is_empty() {
            true if chain_counts => parent_of(model).into_iter().collect(),
            _ => self.folders.clone(),
        };
        Ok(Around {
            held: Held::around(model, &folders)?,
            measure_parents: !self.parents_by_signature,
            rederive: self.rederive,
        })
    }

    pub(crate) fn walk(
        &self,
        trust: &Path,
        model: &Path,
        limits: &Limits,
        work: &WorkArguments,
        ui: &Ui,
    ) -> Result<Walked, Problem> {
        let trust = TrustFile::read(trust, limits)?;
        // It is opened only when it is looked at: a model that is not there is told at once.
        bulla::LocalModel::open(model)?;
        let Around { held, .. } = self.around(model, true)?;
        let mut options = Options::default();
        options.measure_parents = !self.parents_by_signature;
        let again = Again { limits };
        options.converter = if self.rederive { Some(&again) } else { None };
        let bar = ui.bar("hashing");
        let now = jiff::Timestamp::now();
        let lineage = walk(held, &trust.rules, options, now, limits, work.work(&bar))?;
        Ok(Walked { lineage, trust })
    }
}

/// The folder that a model lies in.
fn parent_of(model: &Path) -> Option<PathBuf> {
    Some(match model.parent() {
        Some(parent) if !parent.as_os_str().is_empty() && model.file_name().is_some() => {
            parent.to_owned()
        }
        _ if model.file_name().is_some() => PathBuf::from("."),
        _ => model.canonicalize().ok()?.parent()?.to_owned(),
    })
}

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    if ui.is_json() && arguments.output.is_none() && !arguments.format.is_with_json() {
        return Err(Problem::usage(
            "--json and --format both say what is written to standard output",
            "leave one of them out, or write the drawing to a file with --output",
        ));
    }
    let limits = arguments.work.limits();
    let Walked { lineage, .. } =
        arguments.chain.walk(&arguments.trust, &arguments.model, &limits, &arguments.work, ui)?;
    let verdict = if lineage.stands { Verdict::Yes } else { Verdict::No };
    let model = arguments.model.display().to_string();
    let report = Report {
        command: "lineage",
        verdict: if lineage.stands { "verified" } else { "refused" },
        model: model.clone(),
        lineage: &lineage,
    };
    let broken = |_| Problem::from(bulla::Fault::Bug { what: "the chart cannot be drawn" });
    let drawn = match arguments.format {
        Format::Tree => None,
        Format::Json => Some(crate::ui::to_json(&report)?),
        Format::Dot => Some(chart::dot::draw(&lineage)),
        Format::Mermaid => Some(chart::mermaid::draw(&lineage)),
        Format::Svg => Some(chart::svg::draw(&lineage).map_err(broken)?),
        Format::Html => Some(chart::html::draw(&lineage).map_err(broken)?),
    };
    if let Some(path) = &arguments.output {
        let ours = |there: &[u8]| DRAWN.iter().any(|start| there.starts_with(start.as_bytes()));
        let hint = || "look at it and remove it, or write to another file".to_owned();
        crate::files::may_replace(
            path,
            limits.bundle_bytes,
            "a lineage that was drawn",
            ours,
            hint,
        )?;
        let text = drawn.unwrap_or_else(|| chart::tree::draw(&lineage));
        bulla::store(path, text.as_bytes(), Access::Public, Existing::Replace)?;
        ui.lineage(&report, &model, &lineage, None)?;
        return Ok(verdict);
    }
    match drawn {
        Some(text) if !ui.is_json() => {
            use std::io::Write as _;
            std::io::stdout().write_all(text.as_bytes())?;
            if !lineage.stands {
                ui.refusals(&Printable(&model).to_string(), &lineage)?;
            }
        }
        _ => ui.lineage(&report, &model, &lineage, Some(&chart::tree::draw(&lineage)))?,
    }
    Ok(verdict)
}
