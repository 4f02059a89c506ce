//! `bulla completions`

use std::io::Write as _;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::arguments::Cli;
use crate::problem::{Outcome, Verdict};
use crate::ui::Ui;

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bulla completions bash")]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments, _ui: &Ui) -> Outcome {
    // Into memory first: the generator panics when it cannot write.
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "bulla", &mut text);
    std::io::stdout().write_all(&text)?;
    Ok(Verdict::Yes)
}
