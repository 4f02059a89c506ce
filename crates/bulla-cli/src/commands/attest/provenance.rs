//! `bulla attest provenance`

use bulla::Predicate;
use bulla::statement::build::{Kind, Role};
use clap::{Args, ValueEnum};

use super::AboutArguments;
use crate::inputs::DataArguments;
use crate::making::{Making, MakingArguments};
use crate::problem::{Outcome, Problem};
use crate::ui::Ui;

/// Say how a model was made: SLSA provenance
///
/// What this machine knows of itself is recorded by itself: the code's commit, the CI run, hardware, container and frameworks. No
/// variable of the environment enters but those that are known to hold no secrets.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    about: AboutArguments,
    /// What was done
    #[arg(long, value_name = "KIND")]
    kind: MadeBy,
    /// The model that it began with: the path of a signed copy, or a URI with digests
    /// ('pkg:huggingface/org/name@revision#oms:HEX,oms-manifest-v1:HEX'); may be repeated for a merge
    #[arg(long, value_name = "MODEL")]
    base_model: Vec<String>,
    #[command(flatten)]
    data: DataArguments,
    #[command(flatten)]
    making: MakingArguments,
}

/// The kinds that training has.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum MadeBy {
    /// Trained from nothing: it has no base model
    Pretrain,
    /// A base model, trained further
    Finetune,
    /// An adapter to a base model
    Adapter,
    /// Several models made one
    Merge,
    /// A base model with rounded weights
    Quantize,
}

impl From<MadeBy> for Kind {
    fn from(kind: MadeBy) -> Self {
        match kind {
            MadeBy::Pretrain => Self::Pretrain,
            MadeBy::Finetune => Self::Finetune,
            MadeBy::Adapter => Self::Adapter,
            MadeBy::Merge => Self::Merge,
            MadeBy::Quantize => Self::Quantize,
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  bulla attest provenance base --kind pretrain --key signer.key --dataset data
  bulla attest provenance tuned --kind finetune --base-model base --key signer.key
  bulla attest provenance tuned --kind quantize --base-model base --key signer.key";

/// That there are as many base models as the kind has: said before anything is hashed.
pub(crate) fn check_bases(kind: Kind, bases: usize) -> Result<(), Problem> {
    let name = kind.name();
    match (kind, bases) {
        (Kind::Pretrain, 0) | (Kind::Merge, 2..) => Ok(()),
        (Kind::Pretrain, _) => Err(Problem::usage(
            "a model that was trained from nothing has no base model",
            "if it was trained further, say so: --kind finetune",
        )),
        (Kind::Merge, _) => Err(Problem::usage(
            format!("a merge has two base models or more, not {bases}"),
            "repeat --base-model",
        )),
        (_, 1) => Ok(()),
        (Kind::Convert, 0) => {
            Err(Problem::usage("which model is converted is not said", "name it with --base-model"))
        }
        (_, 0) => Err(Problem::usage(
            format!("which model it was made from is not said (--kind {name})"),
            "name it with --base-model; a model without one is --kind pretrain",
        )),
        _ => Err(Problem::usage(
            format!("--kind {name} has one base model, not {bases}"),
            "a model that was made of several is --kind merge",
        )),
    }
}

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let kind = Kind::from(arguments.kind);
    check_bases(kind, arguments.base_model.len())?;
    let desk = arguments.about.add.desk(ui)?;
    let model = &arguments.about.model;
    desk.may_add(model)?;
    let looked = desk.look_at(model)?;
    let inputs = desk.inputs();
    let mut all = Vec::new();
    for base in &arguments.base_model {
        all.extend(inputs.model(Role::BaseModel, base)?);
    }
    all.extend(inputs.all(&arguments.data)?);
    let environment = arguments.making.environment(ui)?;
    let mut making = Making::new(kind, all);
    making.hyperparameters.clone_from(&arguments.data.hyperparameters);
    let provenance = arguments.making.provenance(making, environment.as_ref())?;
    desk.state(model, &looked, Predicate::Provenance(Box::new(provenance)))
}
