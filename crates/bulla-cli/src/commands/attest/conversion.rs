//! `bulla attest conversion`

use std::path::Path;

use bulla::Predicate;
use bulla::statement::build::{Kind, Role};
use clap::Args;

use super::AboutArguments;
use crate::making::{Making, MakingArguments};
use crate::problem::Outcome;
use crate::rederive::{Side, confirm};
use crate::ui::Ui;

/// Say that a model is another one in another form
///
/// Conversions that give the same bytes everywhere are done again before anything is signed, and 'bulla lineage --rederive' can do
/// so, too: shards, and the precision of numbers in safetensors files.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    about: AboutArguments,
    /// What it was converted from: the path of a signed copy, or a URI with digests
    #[arg(long, value_name = "MODEL")]
    base_model: String,
    /// What was done: reshard, f32-to-f16, f32-to-bf16, bf16-to-f32 or f16-to-f32; or the name of another conversion, as gguf
    #[arg(long, value_name = "NAME")]
    conversion: String,
    #[command(flatten)]
    making: MakingArguments,
}

const EXAMPLES: &str = "\
Examples:
  bulla attest conversion tuned --base-model base --conversion gguf --key signer.key";

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let desk = arguments.about.add.desk(ui)?;
    let model = &arguments.about.model;
    desk.may_add(model)?;
    let looked = desk.look_at(model)?;
    let (inputs, base) = desk.inputs().model_looked_at(Role::BaseModel, &arguments.base_model)?;
    let base_path = Path::new(&arguments.base_model);
    let base = base.as_ref().map(|base| Side::measured(base_path, base));
    let child = Side::measured(model, &looked);
    confirm(&arguments.conversion, base, child, &desk.limits, ui)?;
    let environment = arguments.making.environment(ui)?;
    let mut making = Making::new(Kind::Convert, inputs);
    making.conversion = Some(arguments.conversion.clone().into());
    let provenance = arguments.making.provenance(making, environment.as_ref())?;
    desk.state(model, &looked, Predicate::Provenance(Box::new(provenance)))
}
