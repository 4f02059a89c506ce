//! `bulla log`

mod export;
mod monitor;
mod source;
mod verify;

use clap::{Args, Subcommand};

use crate::problem::Outcome;
use crate::ui::Ui;

/// Audit a transparency log
///
/// Any log in C2SP's tlog-tiles layout, Rekor v2 among them: everything is checked from its tiles and entries, and nothing
/// of it is believed before.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Verify(verify::Arguments),
    Monitor(monitor::Arguments),
    Export(export::Arguments),
}

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    match &arguments.command {
        Command::Verify(arguments) => verify::run(arguments, ui),
        Command::Monitor(arguments) => monitor::run(arguments, ui),
        Command::Export(arguments) => export::run(arguments, ui),
    }
}
