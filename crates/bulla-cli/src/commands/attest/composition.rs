//! `bulla attest composition`

use bulla::Predicate;
use bulla::statement::build::{Kind, Role};
use clap::Args;

use super::AboutArguments;
use crate::making::{Making, MakingArguments};
use crate::problem::Outcome;
use crate::ui::Ui;

/// Say what a deployed model is put together from: a base, adapters, indices, in this order
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    about: AboutArguments,
    /// The base: the path of a signed copy, or a URI with digests
    #[arg(long, value_name = "MODEL")]
    base_model: String,
    /// An adapter, as the base; may be repeated, in the order in which they are applied
    #[arg(long, value_name = "MODEL")]
    adapter: Vec<String>,
    /// An index that is retrieved from: a directory or file, or a URI; may be repeated
    #[arg(long, value_name = "DATA")]
    retrieval_index: Vec<String>,
    #[command(flatten)]
    making: MakingArguments,
}

const EXAMPLES: &str = "\
Examples:
  bulla attest composition deployed --base-model base --adapter tuned --key signer.key
  bulla attest composition deployed --base-model base --retrieval-index data --key signer.key";

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let desk = arguments.about.add.desk(ui)?;
    let model = &arguments.about.model;
    desk.may_add(model)?;
    let looked = desk.look_at(model)?;
    let inputs = desk.inputs();
    let mut all = inputs.model(Role::BaseModel, &arguments.base_model)?;
    for adapter in &arguments.adapter {
        all.extend(inputs.model(Role::Adapter, adapter)?);
    }
    for index in &arguments.retrieval_index {
        all.extend(inputs.data(Role::RetrievalIndex, index)?);
    }
    let environment = arguments.making.environment(ui)?;
    let making = Making::new(Kind::Compose, all);
    let provenance = arguments.making.provenance(making, environment.as_ref())?;
    desk.state(model, &looked, Predicate::Provenance(Box::new(provenance)))
}
