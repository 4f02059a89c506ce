//! Going back by today's policy: what ran before was admitted then, and whether it may run now is decided now.

use std::path::{Path, PathBuf};

use bulla::{Limits, ModelDigests, Printable};
use bulla_policy::{Gate, Outcome};
use bulla_registry::{Deployment, Running};
use clap::{Args, ValueHint};
use jiff::Timestamp;
use serde::Serialize;

use crate::arguments::WorkArguments;
use crate::commands::lineage::ChainFlags;
use crate::deciding::{Asked, decide, new_request, record};
use crate::policies::{PinArguments, PolicyArguments};
use crate::problem::Problem;
use crate::registry::Opened;
use crate::ui::Ui;

/// By what it is decided.
#[derive(Debug, Args)]
pub(crate) struct TodayArguments {
    /// Have what is gone back to decided about by this policy, and go on to what ran before it until something is admitted [default: leave
    /// that to 'bulla admit']
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "By a policy")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    pin: PinArguments,
    #[command(flatten)]
    work: WorkArguments,
}

/// What became of a deployment that went back.
#[derive(Debug, Serialize)]
pub(crate) struct Settled {
    environment: String,
    name: String,
    /// The model that was admitted, and runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    admitted: Option<String>,
    /// Those that were refused on the way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<Refused>,
    /// Why nothing could be decided about what runs now.
    #[serde(skip_serializing_if = "Option::is_none")]
    undecided: Option<String>,
}

#[derive(Debug, Serialize)]
struct Refused {
    model: String,
    reasons: Vec<String>,
}

/// What today's policy says of one model.
enum Said {
    Admitted,
    Refused(Vec<String>),
    Undecided(String),
}

impl TodayArguments {
    /// Whether it was asked for.
    pub(crate) fn is_asked(&self) -> bool {
        self.policy.is_some()
    }

    /// That it can be decided at all; before anything is changed.
    pub(crate) fn check(&self, opened: &Opened, environment: &str) -> Result<(), Problem> {
        let now = Timestamp::now();
        self.gate(opened, environment, now, &self.work.limits()).map(drop)
    }

    fn gate(
        &self,
        opened: &Opened,
        environment: &str,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<Option<(PolicyArguments, Gate)>, Problem> {
        let Some(policy) = self.policy.clone() else { return Ok(None) };
        let pin = self.pin.clone();
        let policy = PolicyArguments { policy, environment: environment.to_owned(), pin };
        let gate = policy.gate(Some(opened), now, limits)?;
        Ok(Some((policy, gate)))
    }

    /// Decides about what a deployment went back to; if it is refused, goes back to what ran before that. None if no policy was given.
    pub(crate) fn settle(
        &self,
        opened: &Opened,
        environment: &str,
        name: &str,
        reason: &str,
        ui: &Ui,
    ) -> Result<Option<Settled>, Problem> {
        let limits = self.work.limits();
        let mut settled = Settled {
            environment: environment.to_owned(),
            name: name.to_owned(),
            admitted: None,
            refused: Vec::new(),
            undecided: None,
        };
        loop {
            // Anew each time: what was withdrawn meanwhile counts.
            let now = Timestamp::now();
            let Some((policy, gate)) = self.gate(opened, environment, now, &limits)? else {
                return Ok(None);
            };
            let asked = Deployment {
                environment,
                name,
                signature: None,
                model: None,
                policy: &gate.policy().name,
            };
            let running = opened.registry.memory(asked, now)?.running;
            let (entry, model) = match running {
                Some(Running { entry, model, rolled_back: true, .. }) => (entry, model),
                Some(_) => {
                    settled.undecided = Some("somebody has released something newer".to_owned());
                    break;
                }
                None => break,
            };
            match self.say(opened, &policy, &gate, name, model, now, &limits, ui)? {
                Said::Admitted => {
                    settled.admitted = Some(shown(&model));
                    break;
                }
                Said::Undecided(why) => {
                    settled.undecided = Some(why);
                    break;
                }
                Said::Refused(reasons) => {
                    settled.refused.push(Refused { model: shown(&model), reasons });
                    let now = Timestamp::now();
                    opened.registry.roll_back(environment, name, Some(entry), reason, now)?;
                }
            }
        }
        Ok(Some(settled))
    }

    #[allow(clippy::too_many_arguments)]
    fn say(
        &self,
        opened: &Opened,
        policy: &PolicyArguments,
        gate: &Gate,
        name: &str,
        model: ModelDigests,
        now: Timestamp,
        limits: &Limits,
        ui: &Ui,
    ) -> Result<Said, Problem> {
        let known = opened.registry.model(&model.manifest, now)?;
        let places = known.iter().flat_map(|known| &known.sightings);
        let Some(there) = places.map(|one| Path::new(&one.place)).find(|place| place.exists())
        else {
            let why = "its files are at none of the places where it was seen";
            return Ok(Said::Undecided(why.to_owned()));
        };
        let asked = Asked {
            model: there,
            name: Some(name),
            expected: &[],
            chain: &ChainFlags::default(),
            work: &self.work,
            signature: None,
        };
        let decision = decide(gate, policy, Some(opened), asked, now, limits, ui)?;
        // Of another model, or of files that are not what was signed, it says nothing of this one.
        if decision.digests != Some(model) {
            return Ok(Said::Undecided(format!("what lies at {} is not it", there.display())));
        }
        record(opened, gate, &decision, &new_request()?, there, None)?;
        if decision.admitted {
            return Ok(Said::Admitted);
        }
        let not_met = decision.findings.iter().filter(|one| one.outcome == Outcome::NotMet);
        Ok(Said::Refused(not_met.map(|one| format!("{}: {}", one.rule, one.found)).collect()))
    }
}

impl Settled {
    pub(crate) fn is_undecided(&self) -> bool {
        self.undecided.is_some()
    }

    pub(crate) fn show(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        let (name, environment) = (Printable(&self.name), Printable(&self.environment));
        for one in &self.refused {
            writeln!(out, "  refused    {name} in {environment}: {}", one.model)?;
            let all = one.reasons.iter();
            all.into_iter().try_for_each(|why| writeln!(out, "             {}", Printable(why)))?;
        }
        match (&self.admitted, &self.undecided) {
            (Some(model), _) => {
                writeln!(out, "  admitted   {name} in {environment}: {model} by today's policy")
            }
            (None, Some(why)) => {
                writeln!(out, "  undecided  {name} in {environment}: {}", Printable(why))
            }
            (None, None) => {
                writeln!(
                    out,
                    "  stopped    {name} in {environment}: nothing is left that today's policy admits"
                )
            }
        }
    }
}

fn shown(model: &ModelDigests) -> String {
    format!("oms-manifest-v1:{}", model.manifest.to_hex())
}
