//! `bulla policy test`

use std::io;
use std::path::PathBuf;

use bulla::text::count;
use bulla::{Failure, Limits, LocalModel, ModelSource as _, Printable};
use bulla_policy::{
    Candidate, Case, Decision, Difference, Finding, Gate, Outcome, Policy, Request,
};
use clap::{Args, ValueHint};
use jiff::Timestamp;
use serde::Serialize;

use crate::arguments::WorkArguments;
use crate::commands::admit::finding;
use crate::commands::lineage::{Around, ChainFlags};
use crate::policies;
use crate::problem::Verdict;
use crate::ui::Ui;

/// Decide about models for which it is known what should be decided
///
/// Each case names a model, an environment, and what is expected: that it is admitted, or by which rules it is refused. The very gate of
/// 'bulla admit' decides. Exit code 0: all as expected; 1: some are not; 3: something could not be read or checked.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bulla policy test policy.yaml\n  bulla policy test policy.yaml policy.tests.yaml --draft"
)]
pub(super) struct Arguments {
    /// The policy
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Files of cases (docs/policy.md) [default: FILE with .tests.yaml in place of .yaml]
    #[arg(value_hint = ValueHint::FilePath)]
    cases: Vec<PathBuf>,
    /// Take a policy that nobody has signed yet, and no revocations but those that the cases name
    #[arg(long)]
    draft: bool,
    #[command(flatten)]
    work: WorkArguments,
}

#[derive(Serialize)]
struct Report {
    command: &'static str,
    verdict: &'static str,
    draft: bool,
    passed: usize,
    failed: usize,
    undecided: usize,
    cases: Vec<Tested>,
}

/// How a case went.
#[derive(Serialize)]
struct Tested {
    file: String,
    name: String,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differences: Vec<Difference>,
    /// Why nothing was decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<Decision>,
}

pub(super) fn run(arguments: &Arguments, ui: &Ui) -> crate::problem::Outcome {
    let limits = arguments.work.limits();
    let files = match arguments.cases.is_empty() {
        true => vec![arguments.file.with_extension("tests.yaml")],
        false => arguments.cases.clone(),
    };
    let bytes = bulla::read_named(&arguments.file, limits.bundle_bytes)?;
    policies::parse(&arguments.file, &bytes, &limits)?;
    let mut cases = Vec::new();
    for file in &files {
        let name = file.display().to_string();
        cases.extend(Case::read(file)?.into_iter().map(|case| (name.clone(), case)));
    }
    if arguments.draft {
        ui.note("a draft: neither the policy's signatures nor its document of revocations were asked for");
    }
    // One "now" for all cases that name none.
    let tests = Tests { arguments, bytes: &bytes, now: Timestamp::now(), limits: &limits, ui };
    let mut report = Report {
        command: "policy",
        verdict: "passed",
        draft: arguments.draft,
        passed: 0,
        failed: 0,
        undecided: 0,
        cases: Vec::new(),
    };
    let mut verdict = Verdict::Yes;
    for (file, case) in cases {
        let tested = tests.run(file, &case);
        let (went, counted) = match tested.verdict {
            "passed" => (Verdict::Yes, &mut report.passed),
            "failed" => (Verdict::No, &mut report.failed),
            _ => (Verdict::CouldNotTell, &mut report.undecided),
        };
        *counted += 1;
        verdict = verdict.and(went);
        show(&tested, &case, ui)?;
        report.cases.push(tested);
    }
    report.verdict = match verdict {
        Verdict::Yes => "passed",
        Verdict::No => "failed",
        _ => "fault",
    };
    ui.result(&report, |out| {
        let all = count(report.cases.len(), "case");
        write!(out, "{all}: {} as expected", report.passed)?;
        for (number, what) in [(report.failed, "not"), (report.undecided, "could not be decided")] {
            if number > 0 {
                write!(out, ", {number} {what}")?;
            }
        }
        writeln!(out)
    })?;
    Ok(verdict)
}

/// What all cases have in common.
struct Tests<'a> {
    arguments: &'a Arguments,
    /// The policy, read once: all cases are about the same.
    bytes: &'a [u8],
    now: Timestamp,
    limits: &'a Limits,
    ui: &'a Ui,
}

impl Tests<'_> {
    fn run(&self, file: String, case: &Case) -> Tested {
        let name = case.name.clone();
        match self.decide(case) {
            Ok(decision) => {
                let differences = case.differences(&decision);
                let verdict = if differences.is_empty() { "passed" } else { "failed" };
                let (reasons, decision) = (Vec::new(), Some(decision));
                Tested { file, name, verdict, differences, reasons, decision }
            }
            Err(failure) => {
                let (_, reasons, _) = bulla::report::failure_report(&failure);
                let reasons = reasons.into_iter().map(|reason| reason.message).collect();
                let (differences, decision) = (Vec::new(), None);
                Tested { file, name, verdict: "fault", differences, reasons, decision }
            }
        }
    }

    fn decide(&self, case: &Case) -> Result<Decision, Failure> {
        let (now, limits) = (case.now.unwrap_or(self.now), self.limits);
        let policy = Policy::parse(&self.arguments.file, self.bytes, limits)?;
        let gate = match self.arguments.draft {
            true => Gate::of_draft(policy, &case.revoked),
            false => Gate::open(policy, None, &case.revoked, now, limits)?,
        };
        let chain_counts = gate.policy().environment(&case.environment)?.chain_counts();
        let source = LocalModel::open(&case.model)?;
        let chain = ChainFlags::of(case.folders.clone());
        let Around { held, measure_parents, .. } = chain.around(&case.model, chain_counts)?;
        let request = Request {
            environment: &case.environment,
            name: case.deploy_as.as_deref().unwrap_or_else(|| source.name()),
            expected: &case.expected_digests,
            measure_parents,
            converter: None,
        };
        let bar = self.ui.bar("hashing");
        let candidate = Candidate { source: &source, held };
        let work = self.arguments.work.work(&bar);
        Ok(gate.decide(&request, candidate, &case.memory, now, limits, work)?)
    }
}

/// Says how a case went: what is not as expected to standard error.
fn show(tested: &Tested, case: &Case, ui: &Ui) -> io::Result<()> {
    let name = Printable(&tested.name).to_string();
    if tested.verdict == "passed" {
        return ui.case(true, "ok", &name, |_| Ok(()));
    }
    let word = if tested.verdict == "failed" { "FAILED" } else { "NO DECISION" };
    ui.case(false, word, &name, |err| {
        for Difference { what, found, expected, .. } in &tested.differences {
            writeln!(err, "  {what:<9} {}", Printable(found))?;
            writeln!(err, "  expected  {}", Printable(expected))?;
        }
        for reason in &tested.reasons {
            writeln!(err, "  {}", Printable(reason))?;
        }
        let Some(decision) = &tested.decision else { return Ok(()) };
        let telling = |one: &&Finding| one.outcome != Outcome::Met || case.names(&one.rule);
        decision.findings.iter().filter(telling).try_for_each(|one| finding(err, one))
    })
}
