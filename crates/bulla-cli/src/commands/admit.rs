//! `bulla admit`

use std::path::{Path, PathBuf};

use bulla::{Access, Existing, Printable};
use bulla_policy::{Decision, ModelName, Outcome};
use clap::{Args, ValueHint};
use serde::Serialize;

use super::lineage::ChainFlags;
use crate::arguments::WorkArguments;
use crate::deciding::{Asked, decide};
use crate::files;
use crate::policies::PolicyArguments;
use crate::problem::Verdict;
use crate::signing::SignerArguments;
use crate::ui::Ui;

/// Decide whether a model may be deployed
///
/// Every rule of the environment is looked at, and each is told with what was found, what decided it, and what would mend it. What
/// could not be checked is no decision (exit code 3): deploy nothing on that.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The directory or file to decide about
    #[arg(value_hint = ValueHint::AnyPath)]
    model: PathBuf,
    #[command(flatten)]
    policy: PolicyArguments,
    /// The name that it is deployed by [default: that of the directory or file]
    #[arg(long, value_name = "NAME", help_heading = "The model")]
    name: Option<String>,
    /// What the model has to be, as its publisher says elsewhere: oms:HEX, oms-manifest-v1:HEX or, for a model of one
    /// file, sha256:HEX; may be repeated
    #[arg(long, value_name = "DIGEST", value_parser = ModelName::parse, help_heading = "The model")]
    expected_digest: Vec<ModelName>,
    #[command(flatten)]
    chain: ChainFlags,
    #[command(flatten)]
    verdict: VerdictArguments,
    #[command(flatten)]
    work: WorkArguments,
}

/// How the decision is signed.
#[derive(Debug, Args)]
struct VerdictArguments {
    /// Sign the decision, be it yes or no, and write it to this file: a verification summary (VSA)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "The verdict")]
    #[arg(requires = "verifier")]
    verdict: Option<PathBuf>,
    /// Who decides: a URI that stands for this gate
    #[arg(long, value_name = "URI", requires = "verdict", help_heading = "The verdict")]
    verifier: Option<String>,
    #[command(flatten)]
    signer: SignerArguments,
}

const EXAMPLES: &str = "\
Examples:
  bulla admit fraud-eu --policy policy.yaml --environment production
  bulla admit fraud-eu --policy policy.yaml --environment staging --name fraud
  bulla admit fraud-eu -p policy.yaml -e production --in . --parents-by-signature";

#[derive(Serialize)]
struct Report<'a> {
    command: &'static str,
    verdict: &'static str,
    model: String,
    #[serde(flatten)]
    decision: &'a Decision,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> crate::problem::Outcome {
    let limits = arguments.work.limits();
    let now = jiff::Timestamp::now();
    let model = &arguments.model;
    // Whatever can be wrong with the flags is found out before hundreds of gigabytes are read.
    let gate = arguments.policy.gate(now, &limits)?;
    let signer = match &arguments.verdict.verdict {
        None => None,
        Some(path) => {
            files::may_write(path)?;
            let ours = |there: &[u8]| bulla::UnverifiedBundle::parse(there, &limits).is_ok();
            let hint = || "look at it and remove it, or write to another file".to_owned();
            files::may_replace(path, limits.bundle_bytes, "a signed statement", ours, hint)?;
            Some((path, arguments.verdict.signer.signer(&limits, ui)?))
        }
    };
    let asked = Asked {
        model,
        name: arguments.name.as_deref(),
        expected: &arguments.expected_digest,
        chain: &arguments.chain,
        work: &arguments.work,
    };
    let decision = decide(&gate, &arguments.policy, &asked, now, &limits, ui)?;

    let mut signed = None;
    if let Some((path, signer)) = signer {
        let verifier = arguments.verdict.verifier.as_deref().unwrap_or_default();
        let statement = decision.statement(verifier, &policy_uri(&arguments.policy.policy))?;
        let sealed = bulla::sign::attest(&statement, signer.as_signer(), &limits)?;
        signer.signed_by(&sealed.key, &sealed.bundle, &limits)?;
        bulla::store(path, &sealed.bundle, Access::Public, Existing::Replace)?;
        signed = Some(path.display().to_string());
    }
    let shown = model.display().to_string();
    show("admit", &shown, &decision, signed, ui)
}

/// Tells what was decided.
pub(crate) fn show(
    command: &'static str,
    model: &str,
    decision: &Decision,
    signed: Option<String>,
    ui: &Ui,
) -> crate::problem::Outcome {
    let (verdict, word) = match decision.admitted {
        true => (Verdict::Yes, "admitted"),
        false => (Verdict::No, "refused"),
    };
    let report = Report { command, verdict: word, model: model.to_owned(), decision, signed };
    ui.decision(&report, model, decision)?;
    Ok(verdict)
}

/// What a verdict calls the policy: its file, without the folders of this machine.
fn policy_uri(policy: &Path) -> String {
    let file = policy.file_name().unwrap_or_default().to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let file: String = file.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    format!("file:{file}")
}

/// How each rule went, under each other.
pub(crate) fn findings(
    out: &mut dyn std::io::Write,
    decision: &Decision,
    all: bool,
) -> std::io::Result<()> {
    for finding in &decision.findings {
        let (mark, shown) = match finding.outcome {
            Outcome::Met => ("met", all),
            Outcome::Waived => ("waived", true),
            Outcome::NotMet => ("NOT MET", true),
        };
        if !shown {
            continue;
        }
        writeln!(out, "  {:<18} {mark:<8} {}", finding.rule, Printable(&finding.found))?;
        if finding.outcome == Outcome::NotMet {
            if let Some(expected) = &finding.expected {
                writeln!(out, "  {:<18} expected {}", "", Printable(expected))?;
            }
            if let Some(remedy) = &finding.remedy {
                writeln!(out, "  {:<18} hint:    {}", "", Printable(remedy))?;
            }
        }
    }
    Ok(())
}
