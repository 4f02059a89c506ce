//! `bulla policy`

mod import;
mod simulate;
mod test;

use std::path::PathBuf;

use bulla::claims::append;
use bulla::{Limits, Printable};
use bulla_policy::{Concern, Policy, RevocationList, signature_files};
use clap::{Args, Subcommand, ValueHint};
use serde::Serialize;

use crate::commands::blob::NamedFile;
use crate::problem::{Outcome, Problem, Verdict};
use crate::signing::SignerArguments;
use crate::ui::Ui;

/// Check, explain, test, simulate, describe, bring in or sign a policy (docs/policy.md)
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Check(CheckArguments),
    Explain(ExplainArguments),
    Test(test::Arguments),
    Simulate(Box<simulate::Arguments>),
    Schema(SchemaArguments),
    Import(Box<import::Arguments>),
    Sign(Box<SignArguments>),
}

/// Say everything that is wrong with a policy, or will be soon
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bulla policy check policy.yaml")]
struct CheckArguments {
    /// The policy
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
}

/// Say in plain words who can get what into which environment
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bulla policy explain policy.yaml")]
struct ExplainArguments {
    /// The policy
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
}

/// Print the JSON Schema of a policy, for editors
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bulla policy schema\n  bulla policy schema --revocations")]
struct SchemaArguments {
    /// That of its document of revocations
    #[arg(long)]
    revocations: bool,
}

/// Sign a policy, or a document that it names, and keep the signature beside it
///
/// Each of several people adds a line to FILE.sigstore.jsonl. Where it is another document, as revocations.yaml, it is signed likewise.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bulla policy sign policy.yaml --key signer.key")]
struct SignArguments {
    /// The document
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    #[command(flatten)]
    signer: SignerArguments,
}

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    match &arguments.what {
        What::Check(arguments) => check(arguments, ui),
        What::Explain(arguments) => explain(arguments, ui),
        What::Test(arguments) => test::run(arguments, ui),
        What::Simulate(arguments) => simulate::run(arguments, ui),
        What::Import(arguments) => import::run(arguments, ui),
        What::Schema(arguments) => schema(arguments),
        What::Sign(arguments) => sign(arguments, ui),
    }
}

#[derive(Serialize)]
struct Checked<'a> {
    command: &'static str,
    verdict: &'static str,
    #[serde(flatten)]
    read: Option<Read<'a>>,
    concerns: &'a [Concern],
}

/// What is told of a policy that could be read.
#[derive(Serialize)]
struct Read<'a> {
    name: &'a str,
    version: u64,
    digest: String,
    environments: Vec<Rules<'a>>,
}

#[derive(Serialize)]
struct Rules<'a> {
    name: &'a str,
    rules: String,
}

impl<'a> Read<'a> {
    fn of(policy: &'a Policy) -> Self {
        let environments = policy
            .environments
            .values()
            .map(|one| Rules { name: &one.name, rules: format!("sha256:{}", one.digest.to_hex()) });
        Self {
            name: &policy.name,
            version: policy.version,
            digest: format!("sha256:{}", policy.digest.to_hex()),
            environments: environments.collect(),
        }
    }
}

fn check(arguments: &CheckArguments, ui: &Ui) -> Outcome {
    let limits = Limits::default();
    let now = jiff::Timestamp::now();
    let file = arguments.file.display().to_string();
    let bytes = bulla::read_named(&arguments.file, limits.bundle_bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let policy = match Policy::check(&arguments.file, &bytes, &limits) {
        Ok(policy) => policy,
        // It was read, and cannot be used: that is the answer.
        Err(unusable) if unusable.is_read() => {
            let concerns = &unusable.concerns;
            let report = Checked { command: "policy", verdict: "refused", read: None, concerns };
            ui.concerns(&report, &file, &text, concerns)?;
            return Ok(Verdict::No);
        }
        Err(unusable) => {
            let (text, concerns) = (text.into_owned(), unusable.concerns);
            return Err(Problem::Document { what: file, text, concerns });
        }
    };
    let mut concerns = policy.concerns(now);
    let known = RevocationList::default();
    // Without its document of revocations it can be checked all the same.
    let withdrawn = policy.revocations(&known, now, &limits).unwrap_or_else(|fault| {
        concerns.push(Concern::undecidable(fault.to_string()));
        known
    });
    let unsigned = policy.unsigned(None, &withdrawn, now, &limits)?;
    concerns.extend(unsigned.into_iter().map(Concern::unsigned));
    let wrong = concerns.iter().any(|concern| concern.is_error);
    let report = Checked {
        command: "policy",
        verdict: if wrong { "refused" } else { "verified" },
        read: Some(Read::of(&policy)),
        concerns: &concerns,
    };
    ui.concerns(&report, &file, &text, &concerns)?;
    Ok(if wrong { Verdict::No } else { Verdict::Yes })
}

fn explain(arguments: &ExplainArguments, ui: &Ui) -> Outcome {
    let policy = crate::policies::read(&arguments.file, &Limits::default())?;
    let lines = policy.explain();
    let report = serde_json::json!({ "command": "policy", "verdict": "explained", "lines": lines });
    ui.result(&report, |out| {
        lines.iter().try_for_each(|line| writeln!(out, "{}", Printable(line)))
    })?;
    Ok(Verdict::Yes)
}

/// A schema is JSON whoever asks.
fn schema(arguments: &SchemaArguments) -> Outcome {
    use std::io::Write as _;
    let schema = match arguments.revocations {
        true => bulla_policy::revocations_schema(),
        false => bulla_policy::policy_schema(),
    };
    std::io::stdout().write_all(crate::ui::to_json(&schema)?.as_bytes())?;
    Ok(Verdict::Yes)
}

fn sign(arguments: &SignArguments, ui: &Ui) -> Outcome {
    let limits = Limits::default();
    let file = &arguments.file;
    let source = NamedFile::new(file);
    let signer = arguments.signer.signer(&limits, ui)?;
    let [_, lines] = signature_files(file);
    let signed = bulla::blob::sign(&source, signer.as_signer(), &limits)
        .map_err(|failure| Problem::about(file.display().to_string(), failure))?;
    append(&lines, &signed.bundle, &limits)?;
    let shown = lines.display().to_string();
    let key = signed.key.fingerprint().to_string();
    let report = serde_json::json!({
        "command": "policy", "verdict": "signed", "digest": signed.digest.to_string(), "key": key, "signature": shown,
    });
    ui.result(&report, |out| {
        writeln!(out, "signed: {}", Printable(&file.to_string_lossy()))?;
        writeln!(out, "  key        {key}")?;
        writeln!(out, "  digest     {}", signed.digest)?;
        writeln!(out, "  added to   {}", Printable(&shown))
    })?;
    Ok(Verdict::Yes)
}
