//! `bulla registry`

mod alerts;
mod audit;
mod change;
mod init;
mod models;
mod resign;

use bulla_policy::ModelName;
use bulla_registry::ModelRef;
use clap::{Args, Subcommand};

use crate::problem::Outcome;
use crate::ui::Ui;

/// Keep what is known of all models: signed, decided, running, withdrawn
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Init(init::Arguments),
    Add(Box<models::AddArguments>),
    List(models::ListArguments),
    Search(models::SearchArguments),
    Show(models::ShowArguments),
    Status(models::StatusArguments),
    Release(change::ReleaseArguments),
    Rollback(change::RollbackArguments),
    Quarantine(change::QuarantineArguments),
    Resign(Box<resign::Arguments>),
    Alerts(alerts::Arguments),
    Audit(audit::AuditArguments),
    Export(audit::ExportArguments),
    Import(audit::ImportArguments),
    Migrate(audit::MigrateArguments),
}

pub(crate) use models::{details, fingerprint};

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    match &arguments.what {
        What::Init(arguments) => init::run(arguments, ui),
        What::Add(arguments) => models::add(arguments, ui),
        What::List(arguments) => models::list(arguments, ui),
        What::Search(arguments) => models::search(arguments, ui),
        What::Show(arguments) => models::show(arguments, ui),
        What::Status(arguments) => models::status(arguments, ui),
        What::Release(arguments) => change::release(arguments, ui),
        What::Rollback(arguments) => change::rollback(arguments, ui),
        What::Quarantine(arguments) => change::quarantine(arguments, ui),
        What::Resign(arguments) => resign::run(arguments, ui),
        What::Alerts(arguments) => alerts::run(arguments, ui),
        What::Audit(arguments) => audit::audit(arguments, ui),
        What::Export(arguments) => audit::export(arguments, ui),
        What::Import(arguments) => audit::import(arguments, ui),
        What::Migrate(arguments) => audit::migrate(arguments, ui),
    }
}

/// The same digest, as the registry has it.
pub(crate) fn model_ref(name: ModelName) -> ModelRef {
    match name {
        ModelName::Oms(digest) => ModelRef::Oms(digest),
        ModelName::Manifest(digest) => ModelRef::Manifest(digest),
        ModelName::File(digest) => ModelRef::File(digest),
    }
}
