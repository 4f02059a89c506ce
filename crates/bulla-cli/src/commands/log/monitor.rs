//! `bulla log monitor`

use std::collections::BTreeMap;

use bulla::Printable;
use bulla_log::audit::body::{Body, LoggedSigner};
use bulla_log::audit::monitor::{NewEntry, OwnName, monitor};
use clap::Args;
use serde::Serialize;

use super::source::{LogArguments, StateArguments, root_of};
use super::verify::entries;
use crate::problem::{Outcome, Verdict};
use crate::ui::Ui;

/// Show who signed what since the last look
///
/// Checks the new part of a log as 'bulla log verify' does, and lists its signers. With --own, ends with exit code 1 if an
/// entry bears one of these names: whoever did not sign it has found a stolen identity.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: LogArguments,
    #[command(flatten)]
    state: StateArguments,
    /// A name that is yours: an e-mail address, a URI, a host, or sha256: of a public key. '*' stands for any
    /// characters but '@' and '/'; may be repeated
    #[arg(long, value_name = "PATTERN", value_parser = OwnName::parse)]
    own: Vec<OwnName>,
}

const EXAMPLES: &str = "\
Examples:
  bulla log monitor my-log --key log.vkey --state last.checkpoint
  bulla log monitor my-log --key log.vkey --own '*@our.example' --json";

/// More alerts, signers and unreadable entries than this are counted.
const SHOWN: usize = 1000;

#[derive(Debug, Serialize)]
struct Report {
    command: &'static str,
    /// `clear`, or `alert`
    verdict: &'static str,
    log: String,
    origin: String,
    /// Size at the last look, and now.
    from: u64,
    size: u64,
    root: String,
    /// Entries that bear a name that is one's own.
    alerts: Vec<Entry>,
    alerts_total: u64,
    signers: Vec<Count>,
    signers_total: usize,
    /// Entries of which nobody can tell whose they are.
    unreadable: Vec<Unreadable>,
    unreadable_total: u64,
}

#[derive(Debug, Serialize)]
struct Entry {
    index: u64,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    signers: Vec<LoggedSigner>,
}

#[derive(Debug, Serialize)]
struct Count {
    #[serde(flatten)]
    signer: LoggedSigner,
    entries: u64,
}

#[derive(Debug, Serialize)]
struct Unreadable {
    index: u64,
    why: String,
}

#[derive(Debug, Default)]
struct Seen {
    alerts: Vec<Entry>,
    alerts_total: u64,
    /// By name and issuer: keys of certificates are used once.
    signers: BTreeMap<LoggedSigner, u64>,
    unreadable: Vec<Unreadable>,
    unreadable_total: u64,
}

/// Signers that are told apart; an attacker can append under any number of names.
const MAX_SIGNERS: usize = 100_000;

impl Seen {
    fn take(&mut self, NewEntry { index, body }: NewEntry, own: &[OwnName]) {
        let Body { kind, digest, signers } = match body {
            Ok(body) => body,
            Err(why) => {
                self.unreadable_total += 1;
                if self.unreadable.len() < SHOWN {
                    self.unreadable.push(Unreadable { index, why });
                }
                return;
            }
        };
        for signer in &signers {
            let key = signer.key.clone().filter(|_| signer.names.is_empty());
            let who = LoggedSigner { key, ..signer.clone() };
            if self.signers.len() < MAX_SIGNERS || self.signers.contains_key(&who) {
                *self.signers.entry(who).or_default() += 1;
            }
        }
        if own.iter().any(|own| signers.iter().any(|signer| own.is_borne_by(signer))) {
            self.alerts_total += 1;
            if self.alerts.len() < SHOWN {
                self.alerts.push(Entry { index, kind, digest, signers });
            }
        }
    }
}

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let keys = arguments.log.keys()?;
    let log = arguments.log.open_log("there is nothing new in it")?;
    let before = arguments.state.read(&keys)?;
    let mut seen = Seen::default();
    let mut each = |new| seen.take(new, &arguments.own);
    let audited = monitor(log.as_ref(), &keys, before.as_ref(), &mut each)
        .map_err(|error| arguments.log.problem(error))?;
    let alert = seen.alerts_total > 0;
    let signers_total = seen.signers.len();
    let mut signers: Vec<Count> =
        seen.signers.into_iter().map(|(signer, entries)| Count { signer, entries }).collect();
    signers.sort_by_key(|count| std::cmp::Reverse(count.entries));
    signers.truncate(SHOWN);
    let report = Report {
        command: "log monitor",
        verdict: if alert { "alert" } else { "clear" },
        log: arguments.log.log.clone(),
        root: root_of(&audited.checkpoint),
        origin: audited.checkpoint.origin,
        from: before.map_or(0, |before| before.size),
        size: audited.checkpoint.size,
        alerts: seen.alerts,
        alerts_total: seen.alerts_total,
        signers,
        signers_total,
        unreadable: seen.unreadable,
        unreadable_total: seen.unreadable_total,
    };
    if alert && !ui.is_json() {
        ui.alert(&arguments.log.log, &alerts(&report))?;
    }
    ui.result(&report, |out| show(out, arguments, &report, ui))?;
    // Last: what was not shown is new the next time, too.
    arguments.state.write(&audited.note)?;
    Ok(if alert { Verdict::No } else { Verdict::Yes })
}

fn alerts(report: &Report) -> Vec<String> {
    let line = |entry: &Entry| {
        let signers: Vec<String> = entry.signers.iter().map(ToString::to_string).collect();
        let digest = entry.digest.as_deref().unwrap_or("(no digest)");
        format!("entry {} bears a name of yours: {}, {digest}", entry.index, signers.join(", "))
    };
    let mut lines: Vec<String> = report.alerts.iter().map(line).collect();
    let shown = u64::try_from(lines.len()).unwrap_or(u64::MAX);
    if report.alerts_total > shown {
        lines.push(format!("and {} more", report.alerts_total - shown));
    }
    lines
}

fn show(
    out: &mut dyn std::io::Write,
    arguments: &Arguments,
    report: &Report,
    ui: &Ui,
) -> std::io::Result<()> {
    let new = entries(report.size - report.from);
    writeln!(out, "{}: {} ({new} new)", ui.good("in order"), arguments.log.shown())?;
    writeln!(out, "  log        {}", Printable(&report.origin))?;
    writeln!(out, "  checkpoint size {}, root {}", report.size, report.root)?;
    let most = if ui.is_verbose() { SHOWN } else { 20 };
    for Count { signer, entries } in report.signers.iter().take(most) {
        writeln!(out, "  {entries:>9}  {}", Printable(&signer.to_string()))?;
    }
    let more = report.signers_total.saturating_sub(report.signers.len().min(most));
    if more > 0 {
        writeln!(out, "             and {more} more signers")?;
    }
    if report.unreadable_total > 0 {
        let many = entries(report.unreadable_total);
        writeln!(out, "  {many} cannot be read: nobody can tell whose")?;
        let most = if ui.is_verbose() { SHOWN } else { 5 };
        for Unreadable { index, why } in report.unreadable.iter().take(most) {
            writeln!(out, "    entry {index}: {}", Printable(why))?;
        }
    }
    Ok(())
}
