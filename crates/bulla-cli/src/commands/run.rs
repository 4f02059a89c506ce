//! `bulla run`

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use bulla::sign::Known;
use bulla::statement::build::{Kind, Role};
use bulla::{
    Access, Compatibility, Existing, LocalModel, ModelDigests, Predicate, Printable, Recipe,
};
use bulla_provenance::run::{Log, Run, RunError, VARIABLE, describe};
use bulla_provenance::training_log::{Head, Writer};
use clap::{Arg, Args, ValueHint};
use jiff::Timestamp;

use super::attest::SignArguments;
use super::attest::provenance::{MadeBy, check_bases};
use crate::files;
use crate::inputs::{DataArguments, Looked, Unchanged};
use crate::keys::COMMAND_RUNS;
use crate::making::{Making, MakingArguments, of_log};
use crate::problem::{Outcome, Problem, Verdict};
use crate::rederive::{Side, confirm};
use crate::ui::Ui;

/// Run a training, and say how the model was made
///
/// Inputs are measured and their signatures checked before the command runs, the model that it wrote is signed afterwards, and a signed
/// provenance is added, if the command succeeds; then its exit code is that of 'bulla run'. While it runs, it can write metrics to a training log:
/// one JSON object a line, into the file that BULLA_TRAINING_LOG names.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, mut_args(only_with_output))]
pub(crate) struct Arguments {
    /// The model that the command writes, a directory or file, to be signed if it succeeds [default: only the log is written]
    #[arg(long, short, value_name = "MODEL", alias = "model", value_hint = ValueHint::AnyPath)]
    output: Option<PathBuf>,
    /// What is done [default: with one base model finetune, with several merge]
    #[arg(long, value_name = "KIND")]
    kind: Option<MadeBy>,
    /// That it is a conversion, and of which name: reshard, f32-to-f16, gguf, …
    #[arg(long, value_name = "NAME", conflicts_with = "kind")]
    conversion: Option<String>,
    /// The model that it begins with: the path of a signed copy, or a URI with digests
    /// ('pkg:huggingface/org/name@revision#oms:HEX,oms-manifest-v1:HEX'); may be repeated for a merge
    #[arg(long, value_name = "MODEL")]
    base_model: Vec<String>,
    #[command(flatten)]
    data: DataArguments,
    #[command(flatten)]
    making: MakingArguments,
    /// Where the training log is written [default: beside the model, as MODEL.training.jsonl; else training.jsonl]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "How it was made")]
    log: Option<PathBuf>,
    /// Record the command with all its arguments, which then everybody can read; otherwise its name is recorded
    #[arg(long, help_heading = "How it was made")]
    record_arguments: bool,
    #[command(flatten)]
    sign: SignArguments,
    /// The command, after '--'
    #[arg(required = true, last = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    command: Vec<OsString>,
}

const EXAMPLES: &str = "\
Examples:
  bulla run --output made --kind pretrain --input data --key signer.key -- sh train.sh
  bulla run --output made2 --base-model base --key signer.key -- sh train.sh made2
  bulla run --log run.jsonl -- sh train.sh";

/// Without a model nothing is signed: what is about signing would do nothing, and is refused.
fn only_with_output(flag: Arg) -> Arg {
    match flag.get_id().as_str() {
        "output" | "log" | "record_arguments" | "command" => flag,
        _ => flag.requires("output"),
    }
}

/// What the flags say is done.
fn kind(arguments: &Arguments) -> Result<Kind, Problem> {
    let bases = arguments.base_model.len();
    let kind = match (arguments.kind, &arguments.conversion, bases) {
        (Some(kind), ..) => kind.into(),
        (None, Some(_), _) => Kind::Convert,
        (None, None, 1) => Kind::Finetune,
        (None, None, 2..) => Kind::Merge,
        // "There are no parents" is said, and never concluded from their absence.
        (None, None, 0) => {
            return Err(Problem::usage(
                "what the model is made from is not said",
                "name the model that it begins with: --base-model; if it begins with none, say so: --kind pretrain",
            ));
        }
    };
    check_bases(kind, bases)?;
    Ok(kind)
}

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    // The command's output is the command's: what is said here goes to standard error.
    let ui = &ui.beside_a_command();
    let Some(model) = &arguments.output else {
        let log = arguments.log.clone().unwrap_or_else(|| PathBuf::from("training.jsonl"));
        return match watch(arguments, &log, ui)? {
            Ended::Well(ran) => {
                ui.note(&format!(
                    "nothing was signed, for no --output was named; the log has the head {}",
                    ran.head
                ));
                Ok(Verdict::Yes)
            }
            Ended::Otherwise(code) => Ok(Verdict::Command(code)),
        };
    };
    let kind = kind(arguments)?;
    // Passwords are asked for, and everything that can be wrong is found out, before hours of training.
    let desk = arguments.sign.desk(ui)?;
    desk.may_add(model)?;
    let log_path = arguments.log.clone().unwrap_or_else(|| beside(model, ".training.jsonl"));
    if files::inside(model, &log_path).is_some() {
        return Err(Problem::usage(
            "the training log would lie inside the model",
            "give another place with --log",
        ));
    }
    super::sign::may_replace(&files::signature_of(model), model, &desk.limits)?;
    // They are listed before they are measured, so that no change goes unnoticed in between.
    let places = arguments.base_model.iter().chain(&arguments.data.dataset).map(Path::new);
    let places = places.chain(arguments.data.hyperparameters.as_deref());
    let places: Vec<&Path> = places.filter(|place| place.exists()).collect();
    for place in &places {
        for written in [model, &log_path] {
            if files::inside(place, written).is_some() || files::replaces(written, place) {
                return Err(Problem::usage(
                    format!(
                        "{} would be written into {}, which goes in",
                        Printable(&written.to_string_lossy()),
                        Printable(&place.to_string_lossy())
                    ),
                    "keep what a training reads apart from what it writes",
                ));
            }
        }
    }
    let before = Unchanged::of(places.into_iter(), &desk.limits)?;
    let there = model.exists().then(|| Unchanged::of([model.as_path()].into_iter(), &desk.limits));
    let there = there.transpose()?;
    let inputs = desk.inputs();
    let mut all = Vec::new();
    let mut bases = Vec::new();
    for base in &arguments.base_model {
        let (described, looked) = inputs.model_looked_at(Role::BaseModel, base)?;
        all.extend(described);
        bases.push((Path::new(base), looked));
    }
    all.extend(inputs.all(&arguments.data)?);
    let environment = arguments.making.environment(ui)?;
    arguments.making.check(Making::new(kind, all.clone()), environment.as_ref())?;

    let ran = match watch(arguments, &log_path, ui)? {
        Ended::Well(ran) => ran,
        Ended::Otherwise(code) => return Ok(Verdict::Command(code)),
    };
    before.check(&desk.limits)?;
    if there.is_some_and(|there| there.check(&desk.limits).is_ok()) {
        return Err(Problem::usage(
            format!(
                "the command left {} as it was: nothing was signed, for it did not make it",
                Printable(&model.to_string_lossy())
            ),
            "name what the command writes with --output; for what was made before there is 'bulla attest provenance'",
        ));
    }

    let mut making = Making::new(kind, all);
    making.command = ran.command;
    making.hyperparameters.clone_from(&arguments.data.hyperparameters);
    (making.started, making.finished) = (Some(ran.started), Some(ran.finished));
    making.log = Some((log_path, ran.head));
    making.conversion = arguments.conversion.clone().map(Into::into);
    let provenance = arguments.making.provenance(making, environment.as_ref())?;
    let recipe = arguments.sign.recipe(model)?;
    if let Some(conversion) = &arguments.conversion {
        let base = bases.first().and_then(|(path, looked)| Some((path, looked.as_ref()?)));
        let base = base.map(|(path, looked)| Side::measured(path, looked));
        confirm(conversion, base, Side::to_sign(model, &recipe), &desk.limits, ui)?;
    }
    let looked = seal(model, &recipe, &desk, ui)?;
    desk.state(model, &looked, Predicate::Provenance(Box::new(provenance)))
}

/// How a command ended.
enum Ended {
    Well(Ran),
    /// With this exit code; why has been said.
    Otherwise(u8),
}

/// A command that succeeded.
struct Ran {
    started: Timestamp,
    finished: Timestamp,
    /// What is recorded of it.
    command: Vec<String>,
    /// Of its log.
    head: Head,
}

/// Runs the command, and keeps its log.
fn watch(arguments: &Arguments, log_path: &Path, ui: &Ui) -> Result<Ended, Problem> {
    let started = Timestamp::now();
    let log_fault = |error| of_log(log_path, &error);
    let mut writer = Writer::create(log_path, started).map_err(|error| match log_path.exists() {
        true => Problem::usage(
            format!("{} is there already", Printable(&log_path.to_string_lossy())),
            "a training log is never overwritten: move it away, or give another place with --log",
        ),
        false => log_fault(error),
    })?;
    let Some((program, rest)) = arguments.command.split_first() else {
        return Err(Problem::usage("no command is given", "give it after '--'"));
    };
    let mut record = describe(program, rest);
    let recorded: Vec<String> = match arguments.record_arguments {
        true => arguments.command.iter().map(|a| a.to_string_lossy().into_owned()).collect(),
        false => {
            let name = Path::new(program).file_name().unwrap_or(program);
            vec![name.to_string_lossy().into_owned()]
        }
    };
    if arguments.record_arguments {
        record.insert("command".to_owned(), recorded.clone().into());
    }
    COMMAND_RUNS.store(true, Ordering::SeqCst);
    let outcome = Run {
        program,
        arguments: rest,
        directory: None,
        variables: &[],
        log: Some(Log {
            writer: &mut writer,
            record,
            temporary: &std::env::temp_dir(),
            clock: &Timestamp::now,
        }),
    }
    .run();
    COMMAND_RUNS.store(false, Ordering::SeqCst);
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            let code = error.exit_code();
            let hint = match error {
                RunError::NotFound { .. } => "check its name; a program in this folder is ./NAME",
                _ => "nothing was signed",
            };
            ui.problem("run", &Problem::service(error.to_string(), hint));
            return Ok(Ended::Otherwise(code));
        }
    };
    let finished = Timestamp::now();
    let head = writer.finish().map_err(log_fault)?;
    if let Some(received) = &outcome.received {
        if let Some(error) = &received.error {
            return Err(of_log(log_path, error));
        }
        if received.refused > 0 {
            ui.note(&format!(
                "{} of the lines written to {VARIABLE} could not be read: the log says why",
                received.refused
            ));
        }
    }
    let code = outcome.exit_code();
    if code != 0 {
        ui.note(&format!(
            "nothing was signed: the command ended with {code}; its log has the head {head}"
        ));
        return Ok(Ended::Otherwise(code));
    }
    if let Some(signal) = outcome.signals.first() {
        ui.note(&format!(
            "nothing was signed: signal {signal} came, and the command may have stopped early"
        ));
        return Ok(Ended::Otherwise(u8::try_from(128 + signal).unwrap_or(u8::MAX)));
    }
    Ok(Ended::Well(Ran { started, finished, command: recorded, head }))
}

/// Signs what the command wrote.
fn seal(
    model: &Path,
    recipe: &Recipe,
    desk: &super::attest::Desk<'_>,
    ui: &Ui,
) -> Result<Looked, Problem> {
    let about = |failure| Problem::about(model.display().to_string(), failure);
    let source = LocalModel::open(model)?;
    let output = files::signature_of(model);
    super::sign::may_replace(&output, model, &desk.limits)?;
    let bar = ui.bar("hashing");
    let signed = bulla::sign::sign(
        &source,
        recipe,
        Compatibility::Specification,
        desk.signer().as_signer(),
        Known::Nothing,
        &desk.limits,
        desk.work().work(&bar),
    )
    .map_err(about)?;
    drop(bar);
    desk.signer().signed_by(&signed.key, &signed.bundle, &desk.limits)?;
    bulla::store(&output, &signed.bundle, Access::Public, Existing::Replace)?;
    ui.note(&format!("signed: {}", Printable(&output.to_string_lossy())));
    Ok(Looked {
        model: ModelDigests::of(&signed.manifest),
        manifest: signed.manifest,
        signature: Some(bulla::Digest::sha256(&signed.bundle)),
    })
}

fn beside(model: &Path, suffix: &str) -> PathBuf {
    let mut name = model.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    model.with_file_name(name)
}
