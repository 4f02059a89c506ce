//! `bulla log verify`

use bulla::Printable;
use bulla::text::count;
use bulla_log::audit::body::{Body, LoggedSigner};
use bulla_log::audit::export::Proof;
use bulla_log::audit::{AuditError, Finding, verify};
use clap::Args;
use serde::Serialize;

use super::source::{LogArguments, Source, StateArguments, root_of};
use crate::problem::{Outcome, Problem, Verdict};
use crate::ui::Ui;

/// Check that a log is in order
///
/// Checks the checkpoint's signature, every tile up to the root, every entry, and that the log continues the
/// checkpoint that was verified last (--state). What is wrong is named: tile, entry, checkpoint, or a forked log.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: LogArguments,
    #[command(flatten)]
    state: StateArguments,
}

const EXAMPLES: &str = "\
Examples:
  bulla log verify my-log --key log.vkey
  bulla log verify my-log --key log.pub --origin log.example/models --state last.checkpoint
  bulla log verify my-log.tar --trusted-root trusted_root.json
  bulla log verify entry-3.tlog-proof --key log.vkey";

#[derive(Debug, Serialize)]
struct Report {
    command: &'static str,
    verdict: &'static str,
    log: String,
    origin: String,
    size: u64,
    root: String,
    /// How many entries were looked at.
    entries: u64,
    /// Size of the checkpoint that was remembered.
    #[serde(skip_serializing_if = "Option::is_none")]
    continues: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<EntryReport>,
}

#[derive(Debug, Serialize)]
struct EntryReport {
    index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signers: Vec<LoggedSigner>,
}

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let keys = arguments.log.keys()?;
    let report = match arguments.log.open()? {
        Source::Proof(proof) => {
            if arguments.state.state.is_some() {
                return Err(Problem::usage(
                    "--state: the proof of one entry cannot tell whether a log continues another",
                    "leave --state out",
                ));
            }
            of_proof(arguments, &proof, &keys).map_err(|error| arguments.log.problem(error))?
        }
        Source::Log(log) => {
            let before = arguments.state.read(&keys)?;
            let audited = verify(log.as_ref(), &keys, before.as_ref())
                .map_err(|error| arguments.log.problem(error))?;
            arguments.state.write(&audited.note)?;
            Report {
                command: "log verify",
                verdict: "verified",
                log: arguments.log.log.clone(),
                root: root_of(&audited.checkpoint),
                origin: audited.checkpoint.origin,
                size: audited.checkpoint.size,
                entries: audited.entries,
                continues: before.map(|before| before.size),
                entry: None,
            }
        }
    };
    ui.result(&report, |out| {
        let amount = match &report.entry {
            Some(entry) => format!("entry {}", entry.index),
            None => entries(report.entries),
        };
        writeln!(out, "{}: {} ({amount})", ui.good("verified"), arguments.log.shown())?;
        writeln!(out, "  log        {}", Printable(&report.origin))?;
        writeln!(out, "  checkpoint size {}, root {}", report.size, report.root)?;
        if let Some(size) = report.continues {
            writeln!(out, "  continues  size {size}")?;
        }
        for signer in report.entry.iter().flat_map(|entry| &entry.signers) {
            writeln!(out, "  signed by  {}", Printable(&signer.to_string()))?;
        }
        match report.entry.as_ref().and_then(|entry| entry.digest.as_ref()) {
            Some(digest) => writeln!(out, "  digest     {}", Printable(digest)),
            None => Ok(()),
        }
    })?;
    Ok(Verdict::Yes)
}

fn of_proof(
    arguments: &Arguments,
    proof: &Proof,
    keys: &[bulla_log::LogKey],
) -> Result<Report, AuditError> {
    let without = || Finding::Proof("it does not hold the entry that it is of");
    let entry = proof.entry.as_deref().ok_or_else(without)?;
    let checkpoint = proof.verify(entry, keys)?;
    let body = Body::parse(entry).ok();
    Ok(Report {
        command: "log verify",
        verdict: "verified",
        log: arguments.log.log.clone(),
        root: root_of(&checkpoint),
        origin: checkpoint.origin,
        size: checkpoint.size,
        entries: 1,
        continues: None,
        entry: Some(EntryReport {
            index: proof.index,
            kind: body.as_ref().map(|body| body.kind.clone()),
            digest: body.as_ref().and_then(|body| body.digest.clone()),
            signers: body.map(|body| body.signers).unwrap_or_default(),
        }),
    })
}

/// `1 entry`, `2 entries`
pub(super) fn entries(n: u64) -> String {
    match n {
        1 => "1 entry".into(),
        n => count(usize::try_from(n).unwrap_or(usize::MAX), "entrie"),
    }
}
