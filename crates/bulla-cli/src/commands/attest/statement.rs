//! `bulla attest statement`

use std::path::PathBuf;

use bulla::statement::descriptor::ResourceDescriptor;
use bulla::statement::other::Other;
use bulla::{ModelDigests, Predicate, Printable, Statement};
use clap::{Args, ValueHint};

use super::AboutArguments;
use crate::problem::{Outcome, Problem};
use crate::ui::Ui;

/// Sign any in-toto predicate about a model, from a file
///
/// The file holds the predicate, or a whole statement: then its subject has to be the model, or is left empty. Predicates that Bulla
/// makes itself, from what it has looked at, are refused.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    about: AboutArguments,
    /// The file: JSON
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "The statement")]
    file: PathBuf,
    /// What kind of predicate it is: a URI [default: what the statement in the file says]
    #[arg(long, value_name = "URI", help_heading = "The statement")]
    predicate_type: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  bulla attest statement tuned --file bom.json --predicate-type urn:my:bom --key signer.key";

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let desk = arguments.about.add.desk(ui)?;
    let limit = desk.limits.claim_bytes as u64;
    let bytes = bulla::read_named(&arguments.file, limit)?;
    let shown = Printable(&arguments.file.to_string_lossy()).to_string();
    let usage = |why: String, hint: &str| Problem::usage(format!("{shown}: {why}"), hint);
    if bytes.len() as u64 > limit {
        return Err(usage(
            format!("it is larger than {limit} bytes"),
            "a statement is smaller than that",
        ));
    }
    let json = |why: String| {
        let hint = "give a predicate, or an in-toto statement";
        usage(format!("it is no JSON object: {why}"), hint)
    };
    let mut document: serde_json::Map<String, serde_json::Value> =
        bulla::json::read(&bytes).map_err(json)?;

    let mut stated = None;
    let (kind, predicate) = match document.contains_key("_type") {
        false => {
            let kind = arguments.predicate_type.clone().ok_or_else(|| {
                usage(
                    "what kind of predicate it is, is not said".into(),
                    "name it with --predicate-type, as https://cyclonedx.org/bom",
                )
            })?;
            (kind, serde_json::Value::Object(document))
        }
        true => {
            if document.get("_type").and_then(|v| v.as_str())
                != Some(bulla::statement::STATEMENT_TYPE)
            {
                let expected = bulla::statement::STATEMENT_TYPE;
                return Err(usage(
                    format!("its _type is not {expected}"),
                    "give an in-toto statement of version 1",
                ));
            }
            let kind = document.get("predicateType").and_then(|v| v.as_str()).unwrap_or_default();
            if arguments.predicate_type.as_deref().is_some_and(|given| given != kind) {
                return Err(usage(
                    format!("it is of type {kind:?}, and --predicate-type says otherwise"),
                    "leave --predicate-type out",
                ));
            }
            let kind = kind.to_owned();
            stated = document
                .remove("subject")
                .filter(|subject| subject.as_array().is_none_or(|s| !s.is_empty()));
            (kind, document.remove("predicate").unwrap_or_default())
        }
    };
    let other = Other::new(&kind, predicate)?;
    let model = &arguments.about.model;
    desk.may_add(model)?;
    let looked = desk.look_at(model)?;
    // A statement about something else would say of the model what nobody said of it.
    if let Some(subject) = stated {
        let subject: Vec<ResourceDescriptor> =
            serde_json::from_value(subject).map_err(|e| json(e.to_string()))?;
        let same = |subject: &ResourceDescriptor| {
            ModelDigests::read(subject).is_ok_and(|digests| digests == looked.model)
                // Other tools know the root alone; whoever names our second digest, too, means it.
                || (!ModelDigests::are_in(subject) && subject.sha256() == Some(looked.model.oms))
        };
        if !subject.iter().all(same) {
            return Err(usage(
                format!("its subject is not the model {}", Printable(&model.to_string_lossy())),
                "give the predicate alone, or a statement about this model",
            ));
        }
    }
    let statement = Statement::about(looked.descriptor(), Predicate::Other(other));
    desk.add(model, looked.leaves_claims_out(), &statement)
}
