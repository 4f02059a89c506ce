//! `bulla man`

use std::io::Write as _;
use std::path::{Path, PathBuf};

use bulla::{Access, Existing, Fault};
use clap::{Args, CommandFactory as _, ValueHint};

use crate::arguments::Cli;
use crate::problem::{Outcome, Problem, Verdict};
use crate::ui::Ui;

/// Print the manual page, or write those of all commands into a directory
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bulla man\n  bulla man pages")]
pub(crate) struct Arguments {
    /// Where to write the pages
    #[arg(value_hint = ValueHint::DirPath)]
    directory: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, _ui: &Ui) -> Outcome {
    let mut command = Cli::command();
    command.build();
    match &arguments.directory {
        None => std::io::stdout().write_all(&page(&command)?)?,
        Some(directory) => {
            std::fs::create_dir_all(directory).map_err(|e| Fault::io("make", directory, e))?;
            write_pages(&command, directory)?;
        }
    }
    Ok(Verdict::Yes)
}

fn write_pages(command: &clap::Command, directory: &Path) -> Result<(), Problem> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let path = directory.join(format!("{name}.1"));
    bulla::store(&path, &page(command)?, Access::Public, Existing::Replace)?;
    command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
        .try_for_each(|sub| write_pages(sub, directory))
}

fn page(command: &clap::Command) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text)?;
    Ok(text)
}
