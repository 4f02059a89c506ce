//! `bulla registry audit`, `export`, `import` and `migrate`

use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use bulla::{Fault, Printable};
use bulla_registry::{First, Registry};
use clap::{Args, ValueHint};
use jiff::Timestamp;

use crate::problem::{Outcome, Problem, Verdict};
use crate::registry::{Config, RegistryArguments, To};
use crate::ui::Ui;

/// Compare every row with what was signed
///
/// The log's tree is computed anew from its entries, the tables from the log; what was changed, removed or added is named, row by row. Exit code 1
/// if anything was.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bulla registry audit --registry registry.toml")]
pub(super) struct AuditArguments {
    #[command(flatten)]
    registry: RegistryArguments,
}

pub(super) fn audit(arguments: &AuditArguments, ui: &Ui) -> Outcome {
    let now = Timestamp::now();
    let opened = arguments.registry.open(To::Read, now)?;
    let found = opened.registry.audit(now, &mut |_| {})?;
    let clean = found.is_clean();
    let report = serde_json::json!({
        "command": "registry audit", "verdict": if clean { "verified" } else { "refused" },
        "audit": found,
    });
    let place = opened.registry.place().to_owned();
    ui.result(&report, |out| {
        let what = if clean { "good" } else { "refused" };
        writeln!(
            out,
            "{what}: {}, {} entries, {} rows",
            Printable(&place),
            found.entries,
            found.rows
        )?;
        found
            .findings
            .iter()
            .try_for_each(|one| writeln!(out, "  {}", Printable(&one.to_string())))?;
        match found.more_findings {
            0 => Ok(()),
            more => writeln!(out, "  … and {more} more"),
        }
    })?;
    Ok(if clean { Verdict::Yes } else { Verdict::No })
}

/// Write everything to a file, or the log as a folder that others can check
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bulla registry export backup.jsonl --registry registry.toml\n  bulla registry export --tiles registry-log --registry registry.toml"
)]
pub(super) struct ExportArguments {
    /// The file to write: a line for each entry, and the signed head. It has to be new
    #[arg(value_hint = ValueHint::FilePath, required_unless_present = "tiles")]
    file: Option<PathBuf>,
    /// Write the log into this folder, in the C2SP tlog-tiles layout: 'bulla log verify' checks it
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "file")]
    tiles: Option<PathBuf>,
    #[command(flatten)]
    registry: RegistryArguments,
}

pub(super) fn export(arguments: &ExportArguments, ui: &Ui) -> Outcome {
    let now = Timestamp::now();
    let opened = arguments.registry.open(To::Read, now)?;
    let (place, head) = match (&arguments.file, &arguments.tiles) {
        (Some(file), _) => (file, to_file(&opened.registry, file, now)?),
        (None, Some(folder)) => (folder, opened.registry.export_tiles(folder, now)?),
        (None, None) => return Err(Problem::usage("there is nothing to write to", "name a file")),
    };
    let shown = place.display().to_string();
    let report = serde_json::json!({
        "command": "registry export", "verdict": "exported", "to": shown,
        "entries": head.head.size, "at": head.time,
    });
    ui.result(&report, |out| {
        writeln!(out, "exported: {} entries to {}", head.head.size, Printable(&shown))
    })?;
    Ok(Verdict::Yes)
}

/// Whole, or not there: written beside, and put in its place at the end.
fn to_file(
    registry: &Registry,
    file: &Path,
    now: Timestamp,
) -> Result<bulla_registry::SignedHead, Problem> {
    let fault = |e| Fault::io("write", file, e);
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut out = BufWriter::new(tempfile::NamedTempFile::new_in(folder).map_err(fault)?);
    let head = registry.export(&mut out, now)?;
    out.flush().map_err(fault)?;
    let written = out.into_inner().map_err(|e| fault(e.into_error()))?;
    written.as_file().sync_all().map_err(fault)?;
    written.persist_noclobber(file).map_err(|e| fault(e.error))?;
    Ok(head)
}

/// Bring an export into an empty place, and check all of it
///
/// The registry's file names the place, which has to be empty, and the vkey by which the export is believed. Where this machine has a
/// high-water mark an older export is refused.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bulla registry import backup.jsonl --registry restored.toml")]
pub(super) struct ImportArguments {
    /// What 'bulla registry export' has written
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    #[command(flatten)]
    registry: RegistryArguments,
}

pub(super) fn import(arguments: &ImportArguments, ui: &Ui) -> Outcome {
    let now = Timestamp::now();
    let named = named(&arguments.registry)?;
    let (config, folder) = Config::read(&named)?;
    let settings = config.settings(&folder, To::Read)?.first(First::Believe);
    let file = &arguments.file;
    let from = std::fs::File::open(file).map_err(|e| Fault::io("read", file, e))?;
    let registry = Registry::import(settings, &mut BufReader::new(from), now)?;
    let head = registry.head(now)?;
    let place = registry.place().to_owned();
    let report = serde_json::json!({
        "command": "registry import", "verdict": "imported", "entries": head.head.size,
        "at": head.time, "place": place,
    });
    ui.result(&report, |out| {
        writeln!(out, "imported: {} entries to {}", head.head.size, Printable(&place))
    })?;
    Ok(Verdict::Yes)
}

/// Bring the tables of an older version of this program up to date
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bulla registry migrate --registry registry.toml")]
pub(super) struct MigrateArguments {
    #[command(flatten)]
    registry: RegistryArguments,
}

pub(super) fn migrate(arguments: &MigrateArguments, ui: &Ui) -> Outcome {
    let named = named(&arguments.registry)?;
    let (config, folder) = Config::read(&named)?;
    let from = Registry::migrate(config.settings(&folder, To::Read)?)?;
    let report =
        serde_json::json!({ "command": "registry migrate", "verdict": "migrated", "from": from });
    ui.result(&report, |out| writeln!(out, "migrated: from version {from} of its tables"))?;
    Ok(Verdict::Yes)
}

fn named(registry: &RegistryArguments) -> Result<PathBuf, Problem> {
    registry.file().ok_or_else(|| {
        Problem::usage("no registry is named", "name its file with --registry or BULLA_REGISTRY")
    })
}
