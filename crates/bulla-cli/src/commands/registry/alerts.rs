//! `bulla registry alerts`

use bulla::Printable;
use clap::Args as Flags;
use jiff::Timestamp;

use crate::alerts::deliver;
use crate::problem::{Outcome, Verdict};
use crate::registry::{RegistryArguments, To};
use crate::ui::Ui;

/// Deliver the alerts that are due
///
/// To the destinations in the registry's file: an HTTP POST, a file, a program. What could not be delivered is tried again when this is run
/// again, after a minute, two, four, and so on; run it every minute. One may be delivered twice, and none is lost.
#[derive(Debug, Flags)]
#[command(after_help = "Examples:\n  bulla registry alerts --registry registry.toml")]
pub(super) struct Arguments {
    #[command(flatten)]
    registry: RegistryArguments,
}

pub(super) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let now = Timestamp::now();
    let opened = arguments.registry.open(To::Write, now)?;
    let told = deliver(&opened, None, now)?;
    let report = serde_json::json!({
        "command": "registry alerts", "verdict": if told.failed.is_empty() { "delivered" } else { "failed" },
        "delivered": told.delivered, "failed": told.failed,
    });
    ui.result(&report, |out| {
        writeln!(out, "delivered: {}", told.delivered)?;
        told.failed.iter().try_for_each(|why| writeln!(out, "  failed     {}", Printable(why)))
    })?;
    Ok(if told.failed.is_empty() { Verdict::Yes } else { Verdict::CouldNotTell })
}
