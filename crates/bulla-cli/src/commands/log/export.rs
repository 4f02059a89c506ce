//! `bulla log export`

use std::io::BufWriter;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bulla::{Access, Existing, Fault, Printable};
use bulla_log::audit::export::{Proof, write};
use bulla_log::audit::verify;
use bulla_log::tile::TileReader;
use bulla_log::{Checkpoint, LogKey};
use clap::{Args, ValueHint};
use serde::Serialize;

use super::source::{LogArguments, Snapshot, root_of};
use super::verify::entries;
use crate::files;
use crate::problem::{Outcome, Problem, Verdict};
use crate::ui::Ui;

/// Take a log along, or the proof of one entry, in one file
///
/// Writes a tar archive of the log, checked first, which 'bulla log verify' and 'bulla log monitor' read where there is no
/// network; or, with --entry, the proof of one entry (c2sp.org/tlog-proof) with the entry in it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: LogArguments,
    /// Only the proof of this entry
    #[arg(long, value_name = "INDEX")]
    entry: Option<u64>,
    /// Where to write it
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  bulla log export my-log --key log.vkey --output copy.tar
  bulla log export my-log --key log.vkey --entry 3 --output copy.tlog-proof";

#[derive(Debug, Serialize)]
struct Report {
    command: &'static str,
    verdict: &'static str,
    log: String,
    origin: String,
    size: u64,
    root: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<u64>,
    output: String,
}

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let keys = arguments.log.keys()?;
    let log = arguments.log.open_log("there is nothing else in it")?;
    files::may_write(&arguments.output)?;
    let checkpoint = match arguments.entry {
        None => whole(arguments, log.as_ref(), &keys)?,
        Some(index) => {
            let problem = |error| arguments.log.problem(error);
            let proof = Proof::of(log.as_ref(), &keys, index).map_err(problem)?;
            // Read back, as whoever gets it will.
            let entry = proof.entry.as_deref().unwrap_or_default();
            let checkpoint = proof.verify(entry, &keys).map_err(problem)?;
            let text = proof.encode();
            bulla::store(&arguments.output, text.as_bytes(), Access::Public, Existing::Replace)?;
            checkpoint
        }
    };
    let report = Report {
        command: "log export",
        verdict: "exported",
        log: arguments.log.log.clone(),
        root: root_of(&checkpoint),
        origin: checkpoint.origin,
        size: checkpoint.size,
        entry: arguments.entry,
        output: arguments.output.display().to_string(),
    };
    ui.result(&report, |out| {
        let amount = match report.entry {
            Some(index) => format!("entry {index}"),
            None => entries(report.size),
        };
        writeln!(out, "{}: {} ({amount})", ui.good("exported"), arguments.log.shown())?;
        writeln!(out, "  log        {}", Printable(&report.origin))?;
        writeln!(out, "  checkpoint size {}, root {}", report.size, report.root)?;
        writeln!(out, "  written to {}", Printable(&report.output))
    })?;
    Ok(Verdict::Yes)
}

/// A log may be larger than memory: it is written beside its place, and then put there.
fn whole(
    arguments: &Arguments,
    log: &dyn TileReader,
    keys: &[LogKey],
) -> Result<Checkpoint, Problem> {
    let problem = |error| arguments.log.problem(error);
    let audited = verify(log, keys, None).map_err(problem)?;
    let output = &arguments.output;
    let parent = match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let fault = |e| Fault::io("write", output, e);
    let file = tempfile::NamedTempFile::new_in(parent).map_err(fault)?;
    let snapshot = Snapshot { log, note: &audited.note };
    write(&snapshot, &audited, BufWriter::new(file.as_file())).map_err(problem)?;
    let public = std::fs::Permissions::from_mode(0o644);
    file.as_file().set_permissions(public).map_err(fault)?;
    file.as_file().sync_all().map_err(fault)?;
    // Nothing was altered on the way.
    let copy = bulla_log::audit::export::Archive::open(file.path())
        .map_err(|error| problem(error.into()))?;
    verify(&copy, keys, Some(&audited.checkpoint)).map_err(problem)?;
    file.persist(output).map_err(|e| fault(e.error))?;
    Ok(audited.checkpoint)
}
