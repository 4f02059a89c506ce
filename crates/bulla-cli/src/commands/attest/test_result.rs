//! `bulla attest test-result`

use std::path::PathBuf;

use bulla::Predicate;
use bulla::statement::test_result::{Outcome as Result_, TestResult};
use clap::{Args, ValueHint};

use super::AboutArguments;
use crate::inputs::file;
use crate::problem::Outcome;
use crate::ui::Ui;

/// Say which tests a model passed (in-toto's test-result)
///
/// Failed if any test failed, warned if any only passed with a warning, else passed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    about: AboutArguments,
    /// A test that passed; may be repeated
    #[arg(long, value_name = "TEST", required_unless_present_any = ["warned", "failed"])]
    #[arg(help_heading = "The tests")]
    passed: Vec<String>,
    /// A test that passed with a warning; may be repeated
    #[arg(long, value_name = "TEST", help_heading = "The tests")]
    warned: Vec<String>,
    /// A test that failed; may be repeated
    #[arg(long, value_name = "TEST", help_heading = "The tests")]
    failed: Vec<String>,
    /// A file that the tests were run with; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "The tests")]
    configuration: Vec<PathBuf>,
    /// Where more can be read
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, help_heading = "The tests")]
    url: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  bulla attest test-result tuned --passed toxicity --passed jailbreak --key signer.key
  bulla attest test-result tuned --passed toxicity --failed jailbreak --key signer.key";

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let desk = arguments.about.add.desk(ui)?;
    let model = &arguments.about.model;
    desk.may_add(model)?;
    let looked = desk.look_at(model)?;
    let configuration = arguments.configuration.iter().map(|path| file(path));
    let result = TestResult {
        result: match (arguments.failed.is_empty(), arguments.warned.is_empty()) {
            (false, _) => Result_::Failed,
            (true, false) => Result_::Warned,
            (true, true) => Result_::Passed,
        },
        configuration: configuration.collect::<Result<_, _>>()?,
        url: arguments.url.clone(),
        passed_tests: arguments.passed.clone(),
        warned_tests: arguments.warned.clone(),
        failed_tests: arguments.failed.clone(),
    };
    desk.state(model, &looked, Predicate::TestResult(result))
}
