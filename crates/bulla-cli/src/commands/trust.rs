//! `bulla trust`

use std::path::PathBuf;

use bulla::{Access, Existing, Limits, Printable, RootEntry, SigstoreRoot};
use bulla_signers::Repository;
use clap::{Args, Subcommand, ValueHint};
use serde::Serialize;

use crate::files;
use crate::problem::{Outcome, Problem, Verdict};
use crate::trust::{RootArguments, cache_directory};
use crate::ui::Ui;

/// Keep and show trusted roots of Sigstore instances
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Update(Update),
    Show(Show),
}

/// Get the newest trusted root of an instance
///
/// Fetched and verified by TUF, and kept; 'bulla verify' uses it from then on, without a network. The root of another instance
/// than Sigstore's own is written to a file for --trusted-root.
#[derive(Debug, Args)]
#[command(after_help = UPDATE_EXAMPLES)]
struct Update {
    /// Sigstore's staging instance, sigstage.dev
    #[arg(long)]
    staging: bool,
    /// Another instance's TUF repository
    #[arg(long, value_name = "URL", requires_all = ["root", "output"], conflicts_with = "staging")]
    #[arg(value_hint = ValueHint::Url)]
    url: Option<String>,
    /// With --url: the root.json that trust in it begins with, from a source you trust
    #[arg(long, value_name = "FILE", requires = "url", value_hint = ValueHint::FilePath)]
    root: Option<PathBuf>,
    /// Write the trusted root to a file
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
}

const UPDATE_EXAMPLES: &str = "\
Examples:
  bulla trust update
  bulla trust update --url https://tuf.example.com --root root.json --output new_root.json";

/// Show whom a trusted root lists
#[derive(Debug, Args)]
#[command(after_help = SHOW_EXAMPLES)]
struct Show {
    #[command(flatten)]
    root: RootArguments,
}

const SHOW_EXAMPLES: &str = "\
Examples:
  bulla trust show
  bulla trust show --trusted-root trusted_root.json";

#[derive(Debug, Serialize)]
struct Report {
    command: &'static str,
    verdict: &'static str,
    root: String,
    entries: Vec<RootEntry>,
}

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let limits = Limits::default();
    match &arguments.command {
        Command::Update(arguments) => update(arguments, &limits, ui),
        Command::Show(arguments) => {
            let root = arguments.root.read(&limits, ui)?;
            show("trust show", "shown", &root, ui)
        }
    }
}

fn update(arguments: &Update, limits: &Limits, ui: &Ui) -> Outcome {
    let cache = cache_directory().ok_or_else(|| {
        Problem::usage(
            "there is no home directory to keep the root in",
            "set HOME, or XDG_CACHE_HOME",
        )
    })?;
    let repository = match (&arguments.url, &arguments.root) {
        (Some(url), Some(root)) => {
            Repository::custom(url, &bulla::read_named(root, limits.trusted_root_bytes)?, &cache)
        }
        _ => Repository::sigstore(arguments.staging, &cache),
    };
    if let Some(path) = &arguments.output {
        let ours = |there: &[u8]| SigstoreRoot::from_json("it", there, limits).is_ok();
        let hint = || "remove it first, or give another name".to_owned();
        files::may_replace(path, limits.trusted_root_bytes, "a trusted root", ours, hint)?;
        files::may_write(path)?;
    }
    let updated = repository.update(jiff::Timestamp::now())?;
    let name = format!("the trusted root of {}", updated.at);
    let root = SigstoreRoot::from_json(&name, updated.trusted_root.as_bytes(), limits)?;
    if let Some(path) = &arguments.output {
        let text = updated.trusted_root.as_bytes();
        bulla::store(path, text, Access::Public, Existing::Replace)?;
    }
    show("trust update", "updated", &root, ui)
}

fn show(command: &'static str, verdict: &'static str, root: &SigstoreRoot, ui: &Ui) -> Outcome {
    let report =
        Report { command, verdict, root: root.name().to_owned(), entries: root.contents() };
    ui.result(&report, |out| {
        writeln!(out, "{verdict}: {}", Printable(&report.root))?;
        for entry in &report.entries {
            let window = match (entry.valid_from, entry.valid_until) {
                (Some(from), Some(until)) => format!("from {from} to {until}"),
                (Some(from), None) => format!("from {from}"),
                (None, Some(until)) => format!("until {until}"),
                (None, None) => "at any time".into(),
            };
            writeln!(out, "  {:<22} {}", entry.kind, Printable(&entry.url))?;
            writeln!(out, "    {} {window}", Printable(&entry.id))?;
        }
        Ok(())
    })?;
    Ok(Verdict::Yes)
}
