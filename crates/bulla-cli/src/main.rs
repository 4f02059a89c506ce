//! `bulla`: seals machine-learning models and checks the seals.
//!
//! One file a command in `commands/`; everything that a person sees goes through `ui`.

#![forbid(unsafe_code)]

mod alerts;
mod arguments;
mod chart;
mod commands;
mod deciding;
mod excerpt;
mod files;
mod going_back;
mod inputs;
mod keys;
mod known;
mod making;
mod policies;
mod problem;
mod rederive;
mod registry;
mod signing;
mod trust;
mod ui;
mod web;

use std::process::ExitCode;

use crate::arguments::Command;
use crate::ui::Ui;

/// Each thread has some twenty files open; with many cores that is more than the usual 1024.
fn allow_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Without it files may run out, and then that is said.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn main() -> ExitCode {
    allow_open_files();
    let cli = arguments::parse();
    let ui = Ui::new(&cli.output);
    let (name, result) = match &cli.command {
        Command::Sign(arguments) => ("sign", commands::sign::run(arguments, &ui)),
        Command::Verify(arguments) => ("verify", commands::verify::run(arguments, &ui)),
        Command::Digest(arguments) => ("digest", commands::digest::run(arguments, &ui)),
        Command::Inspect(arguments) => ("inspect", commands::inspect::run(arguments, &ui)),
        Command::Run(arguments) => ("run", commands::run::run(arguments, &ui)),
        Command::Attest(arguments) => ("attest", commands::attest::run(arguments, &ui)),
        Command::Admit(arguments) => ("admit", commands::admit::run(arguments, &ui)),
        Command::Approve(arguments) => ("approve", commands::approve::approve(arguments, &ui)),
        Command::Exception(arguments) => {
            ("exception", commands::approve::exception(arguments, &ui))
        }
        Command::Release(arguments) => ("release", commands::attest::release::run(arguments, &ui)),
        Command::Policy(arguments) => ("policy", commands::policy::run(arguments, &ui)),
        Command::Lineage(arguments) => ("lineage", commands::lineage::run(arguments, &ui)),
        Command::Blob(arguments) => ("blob", commands::blob::run(arguments, &ui)),
        Command::Key(arguments) => ("key", commands::key::run(arguments, &ui)),
        Command::Trust(arguments) => ("trust", commands::trust::run(arguments, &ui)),
        Command::Log(arguments) => ("log", commands::log::run(arguments, &ui)),
        Command::Authority(arguments) => ("authority", commands::authority::run(arguments, &ui)),
        Command::Registry(arguments) => ("registry", commands::registry::run(arguments, &ui)),
        Command::Revoke(arguments) => ("revoke", commands::revoke::run(arguments, &ui)),
        Command::Demo(arguments) => ("demo", commands::demo::run(arguments, &ui)),
        Command::Completions(arguments) => {
            ("completions", commands::completions::run(arguments, &ui))
        }
        Command::Man(arguments) => ("man", commands::man::run(arguments, &ui)),
    };
    match result {
        Ok(verdict) => verdict.into(),
        Err(problem) => ui.problem(name, &problem).into(),
    }
}
