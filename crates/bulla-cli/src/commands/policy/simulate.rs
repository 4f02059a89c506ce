//! `bulla policy simulate`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bulla::text::count;
use bulla::{Fault, Limits, Printable};
use bulla_policy::{Decision, Gate, Memory, Policy, Recall, Seen};
use bulla_registry::{DecisionDetail, ModelDetails, ModelSearch, ModelState, Page};
use clap::{Args, ValueHint};
use jiff::Timestamp;
use serde::Serialize;

use crate::arguments::WorkArguments;
use crate::commands::lineage::ChainFlags;
use crate::deciding::{Asked, Remembered, decide_by};
use crate::policies::{PinArguments, PolicyArguments};
use crate::problem::{Outcome, Problem, Verdict};
use crate::registry::{Opened, RegistryArguments, To};
use crate::ui::Ui;

/// Models that are looked up at once.
const PAGE: u32 = 200;

/// Say which of the registry's decisions would change under this version of a policy
///
/// The last decision about each model in each environment is made again, by the very gate of 'bulla admit', with the models as they lie where they
/// were seen; nothing is written. The policy need not be signed yet. Exit code 0: nothing changes; 1: something does; 3: nothing
/// that could be looked at does, and some models are no longer there.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bulla policy simulate policy.yaml --registry registry.toml")]
pub(super) struct Arguments {
    /// The policy
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Only decisions for this environment
    #[arg(long, short, value_name = "NAME")]
    environment: Option<String>,
    /// Only what runs
    #[arg(long)]
    running: bool,
    #[command(flatten)]
    registry: RegistryArguments,
    #[command(flatten)]
    chain: ChainFlags,
    #[command(flatten)]
    work: WorkArguments,
}

/// A decision that was made, and made again.
#[derive(Serialize)]
struct Again {
    model: String,
    environment: String,
    name: String,
    request: String,
    before: &'static str,
    now: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    why: Vec<String>,
}

#[derive(Default, Serialize)]
struct Found {
    same: usize,
    changed: Vec<Again>,
    unknown: Vec<Again>,
}

/// What a registry remembers, but for what would forbid trying: that another version was used last, and when something was decided last.
struct Trying<'a>(Remembered<'a>);

impl Recall for Trying<'_> {
    fn recall(&self, seen: Seen) -> Result<Memory, Fault> {
        let memory = self.0.recall(seen)?;
        Ok(Memory { policy: None, last_decision: None, ..memory })
    }
}

struct Simulation<'a> {
    arguments: &'a Arguments,
    opened: &'a Opened,
    gate: &'a Gate,
    now: Timestamp,
    limits: &'a Limits,
    ui: &'a Ui,
}

pub(super) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let limits = arguments.work.limits();
    let now = Timestamp::now();
    let opened = arguments.registry.open(To::Read, now)?;
    let policy = Policy::read(&arguments.file, &limits)?;
    if let Some(environment) = &arguments.environment {
        policy.environment(environment)?;
    }
    let gate = Gate::of_draft(policy, &opened.revocations(now)?);
    let simulation =
        Simulation { arguments, opened: &opened, gate: &gate, now, limits: &limits, ui };
    let found = simulation.all()?;
    let verdict = match (found.changed.is_empty(), found.unknown.is_empty()) {
        (false, _) => Verdict::No,
        (true, false) => Verdict::CouldNotTell,
        (true, true) => Verdict::Yes,
    };
    let word = match verdict {
        Verdict::Yes => "same",
        Verdict::No => "changed",
        _ => "unknown",
    };
    let report = serde_json::json!({ "command": "policy", "verdict": word, "decisions": found });
    ui.result(&report, |out| {
        let all = found.same + found.changed.len() + found.unknown.len();
        writeln!(out, "{}: {} the same", count(all, "decision"), found.same)?;
        for (list, what) in [(&found.changed, "changes"), (&found.unknown, "unknown")] {
            for one in list {
                writeln!(
                    out,
                    "  {what:<10} {} in {}: {}, now {}",
                    Printable(&one.name),
                    Printable(&one.environment),
                    one.before,
                    one.now
                )?;
                one.why
                    .iter()
                    .try_for_each(|why| writeln!(out, "             {}", Printable(why)))?;
            }
        }
        Ok(())
    })?;
    Ok(verdict)
}

impl Simulation<'_> {
    fn all(&self) -> Result<Found, Problem> {
        let registry = &self.opened.registry;
        let state = self.arguments.running.then_some(ModelState::Running);
        let (mut found, mut page) = (Found::default(), Page::first(PAGE));
        loop {
            let models = registry.models(&ModelSearch::All, state, page, self.now)?;
            let Some(last) = models.last() else { return Ok(found) };
            page = Page::after(last.model.manifest, PAGE);
            for model in &models {
                if let Some(details) = registry.model(&model.model.manifest, self.now)? {
                    self.model(&details, &mut found)?;
                }
            }
        }
    }

    /// The last decision about a model in each environment, under each name.
    fn model(&self, details: &ModelDetails, found: &mut Found) -> Result<(), Problem> {
        let mut seen = BTreeSet::new();
        for decision in &details.decisions {
            let asked = self.arguments.environment.as_ref();
            let meant = asked.is_none_or(|environment| *environment == decision.environment);
            if !meant || !seen.insert((&decision.environment, &decision.name)) {
                continue;
            }
            let (now, why) = self.again(details, decision)?;
            let before = if decision.admitted { "admitted" } else { "refused" };
            let again = Again {
                model: format!("oms-manifest-v1:{}", details.summary.model.manifest.to_hex()),
                environment: decision.environment.clone(),
                name: decision.name.clone(),
                request: decision.request.clone(),
                before,
                now,
                why,
            };
            match now {
                "unknown" => found.unknown.push(again),
                now if now == before => found.same += 1,
                _ => found.changed.push(again),
            }
        }
        Ok(())
    }

    fn again(
        &self,
        details: &ModelDetails,
        decision: &DecisionDetail,
    ) -> Result<(&'static str, Vec<String>), Problem> {
        let unknown = |why: &str| Ok(("unknown", vec![why.to_owned()]));
        if !self.gate.policy().environments.contains_key(&decision.environment) {
            return Ok((
                "refused",
                vec![format!("the policy has no environment {}", decision.environment)],
            ));
        }
        let place = details.sightings.iter().find(|one| Path::new(&one.place).exists());
        let Some(place) = place else {
            return unknown("its files are at none of the places where it was seen");
        };
        let policy = PolicyArguments {
            policy: self.arguments.file.clone(),
            environment: decision.environment.clone(),
            pin: PinArguments::default(),
        };
        let remembered = Trying(Remembered {
            registry: &self.opened.registry,
            environment: &decision.environment,
            name: &decision.name,
            policy: &self.gate.policy().name,
            now: self.now,
            looked_at_again: None,
        });
        let asked = Asked {
            model: Path::new(&place.place),
            name: Some(&decision.name),
            expected: &[],
            chain: &self.arguments.chain,
            work: &self.arguments.work,
            signature: None,
        };
        let name = &decision.name;
        let (now, limits, ui) = (self.now, self.limits, self.ui);
        let made = decide_by(self.gate, &policy, &remembered, asked, name, now, limits, ui);
        match made {
            Ok(made) if made.digests.is_some_and(|found| found != details.summary.model) => {
                unknown("another model lies where it was seen")
            }
            Ok(made) => Ok((if made.admitted { "admitted" } else { "refused" }, why(&made))),
            Err(Problem::Failure(failure) | Problem::About { failure, .. }) => {
                unknown(&failure.to_string())
            }
            Err(other) => Err(other),
        }
    }
}

fn why(decision: &Decision) -> Vec<String> {
    decision.refusals().map(|finding| format!("{}: {}", finding.rule, finding.found)).collect()
}
