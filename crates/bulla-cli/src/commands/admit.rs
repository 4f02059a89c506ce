//! `bulla admit`

use std::path::{Path, PathBuf};

use bulla::{Access, Existing, Printable};
use bulla_policy::{Decision, Finding, ModelName, Outcome};
use bulla_registry::Answer;
use clap::{Args, ValueHint};
use serde::Serialize;

use super::lineage::ChainFlags;
use crate::arguments::WorkArguments;
use crate::deciding::{Asked, decide, new_request, record};
use crate::files;
use crate::policies::PolicyArguments;
use crate::problem::{Problem, Verdict};
use crate::registry::{RegistryArguments, To};
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
    registry: RegistryArguments,
    /// An id of this request: asked again, it gets the same answer [default: a new one]
    #[arg(long, value_name = "ID", help_heading = "The registry")]
    request: Option<String>,
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
  bulla admit fraud-eu -p policy.yaml -e production --in . --parents-by-signature
  bulla admit fraud-eu -p policy.yaml -e production --registry registry.toml --request deploy-1";

#[derive(Serialize)]
struct Report<'a> {
    command: &'static str,
    verdict: &'static str,
    model: String,
    #[serde(flatten)]
    decision: &'a Decision,
    #[serde(skip_serializing_if = "Option::is_none")]
    signed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> crate::problem::Outcome {
    let limits = arguments.work.limits();
    let now = jiff::Timestamp::now();
    let model = &arguments.model;
    // Whatever can be wrong with the flags is found out before hundreds of gigabytes are read.
    let opened = arguments.registry.open_if_named(To::Write, now)?;
    if opened.is_none() && arguments.request.is_some() {
        return Err(Problem::usage(
            "--request is the id under which a registry keeps the decision, and none is named",
            "name its file with --registry, or leave --request out",
        ));
    }
    let gate = arguments.policy.gate(opened.as_ref(), now, &limits)?;
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
        signature: None,
    };
    let decision = decide(&gate, &arguments.policy, opened.as_ref(), asked, now, &limits, ui)?;

    let verifier = arguments.verdict.verifier.as_deref().unwrap_or_default();
    let sealed = match &signer {
        None => None,
        Some((_, signer)) => {
            let statement = decision.statement(verifier, &policy_uri(&arguments.policy.policy))?;
            let sealed = bulla::sign::attest(&statement, signer.as_signer(), &limits)?;
            signer.signed_by(&sealed.key, &sealed.bundle, &limits)?;
            Some(sealed.bundle)
        }
    };
    let mut shown = Shown { command: "admit", ..Shown::default() };
    if let Some(opened) = &opened {
        let request = match &arguments.request {
            Some(request) => request.clone(),
            None => new_request()?,
        };
        let verdict = sealed.as_deref();
        let answer = record(opened, &gate, &decision, &request, model, verdict)?;
        if answer.repeated {
            let verdict = signer.as_ref().map(|(path, _)| *path);
            return repeated(&answer, &decision, model, verdict, ui);
        }
        shown.request = Some(request);
    }
    if let (Some(bundle), Some((path, _))) = (&sealed, &signer) {
        bulla::store(path, bundle, Access::Public, Existing::Replace)?;
        shown.signed = Some(path.display().to_string());
    }
    show(shown, &model.display().to_string(), &decision, ui)
}

/// The request was answered before: that answer is given again, and no other; save that a "yes" is none any more if it was withdrawn, or
/// would be a "no" today.
fn repeated(
    answer: &Answer,
    today: &Decision,
    model: &Path,
    verdict: Option<&PathBuf>,
    ui: &Ui,
) -> crate::problem::Outcome {
    let decided = &answer.decided;
    let admitted = decided.admitted && answer.withdrawn.is_none() && today.admitted;
    // A verdict that says yes is not handed out for what is none.
    if let (Some(path), Some(bundle)) = (verdict, &answer.verdict)
        && admitted == decided.admitted
    {
        bulla::store(path, bundle, Access::Public, Existing::Replace)?;
    }
    let decision: serde_json::Value = serde_json::from_slice(&answer.json)
        .map_err(|_| bulla::Fault::Bug { what: "a decision in the registry cannot be read" })?;
    let report = serde_json::json!({
        "command": "admit", "verdict": if admitted { "admitted" } else { "refused" },
        "model": model.display().to_string(), "request": decided.request, "repeated": true,
        "withdrawn": answer.withdrawn, "decision": decision,
        "today": (decided.admitted && !today.admitted).then_some(today),
    });
    let shown = model.display().to_string();
    ui.result(&report, |out| {
        let word = if admitted { "admitted" } else { "refused" };
        writeln!(
            out,
            "{word}: {} for {} (answered at {} already)",
            Printable(&shown),
            Printable(&decided.environment),
            decided.time
        )?;
        match decided.admitted && !today.admitted {
            true => findings(out, today, false),
            false => Ok(()),
        }
    })?;
    if decided.admitted && !today.admitted {
        ui.note("it was admitted then, and is refused today");
    }
    if let Some(at) = answer.withdrawn {
        ui.note(&format!("the admission was withdrawn at {at}"));
    }
    Ok(if admitted { Verdict::Yes } else { Verdict::No })
}

/// What is shown beside a decision.
#[derive(Default)]
pub(crate) struct Shown {
    pub(crate) command: &'static str,
    pub(crate) signed: Option<String>,
    pub(crate) request: Option<String>,
}

/// Tells what was decided.
pub(crate) fn show(
    shown: Shown,
    model: &str,
    decision: &Decision,
    ui: &Ui,
) -> crate::problem::Outcome {
    let (verdict, word) = match decision.admitted {
        true => (Verdict::Yes, "admitted"),
        false => (Verdict::No, "refused"),
    };
    let Shown { command, signed, request } = shown;
    let model_name = model.to_owned();
    let report = Report { command, verdict: word, model: model_name, decision, signed, request };
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
    let shown = |one: &&Finding| all || one.outcome != Outcome::Met;
    decision.findings.iter().filter(shown).try_for_each(|one| finding(out, one))
}

/// How a rule went.
pub(crate) fn finding(out: &mut dyn std::io::Write, finding: &Finding) -> std::io::Result<()> {
    let mark = match finding.outcome {
        Outcome::Met => "met",
        Outcome::Waived => "waived",
        Outcome::NotMet => "NOT MET",
    };
    writeln!(out, "  {:<18} {mark:<8} {}", finding.rule, Printable(&finding.found))?;
    if finding.outcome == Outcome::NotMet {
        if let Some(expected) = &finding.expected {
            writeln!(out, "  {:<18} expected {}", "", Printable(expected))?;
        }
        if let Some(remedy) = &finding.remedy {
            writeln!(out, "  {:<18} hint:    {}", "", Printable(remedy))?;
        }
    }
    Ok(())
}
