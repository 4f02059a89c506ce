//! `bulla registry resign`

use std::path::{Path, PathBuf};

use bulla::sign::Known;
use bulla::{
    Access, Compatibility, Existing, Failure, Limits, LocalModel, ModelDigests, ModelSource as _,
    Printable, Recipe,
};
use bulla_policy::{Decision, Gate, Outcome as RuleOutcome};
use bulla_registry::{ModelDetails, QuarantineLifted, Record};
use clap::{Args, ValueHint};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::models::details;
use crate::arguments::WorkArguments;
use crate::commands::lineage::ChainFlags;
use crate::deciding::{Asked, Remembered, alone, decide_by, sightings};
use crate::files;
use crate::policies::PolicyArguments;
use crate::problem::{Outcome, Problem, Verdict};
use crate::registry::{Opened, RegistryArguments, To};
use crate::signing::{SignerArguments, TheSigner};
use crate::ui::Ui;

/// A worker's lease. One that died holds a model up no longer.
const LEASE: SignedDuration = SignedDuration::from_hours(6);

/// Sign models anew that wait for it, with the new key
///
/// Each is measured again; it has to be the model that was signed, by a signature that counts today, and with the new signature it has to meet
/// every rule of the policy. What does not is left as it was, and told. A model in quarantine is signed only with --model, and only if
/// people have approved it since it was put there.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    policy: PolicyArguments,
    /// This model in quarantine, that people have approved again; then it is put back into use
    #[arg(long, value_name = "MODEL", value_hint = ValueHint::AnyPath)]
    model: Option<PathBuf>,
    /// How many at the most
    #[arg(long, value_name = "N", default_value = "1000")]
    limit: usize,
    #[command(flatten)]
    registry: RegistryArguments,
    #[command(flatten)]
    chain: ChainFlags,
    #[command(flatten)]
    signer: SignerArguments,
    #[command(flatten)]
    work: WorkArguments,
}

const EXAMPLES: &str = "\
Examples:
  bulla registry resign -p policy.yaml -e production --key signer.key --registry registry.toml";

/// What became of one.
#[derive(Serialize)]
struct Done {
    model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    signed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

/// Everything that signing one takes.
struct Desk<'a> {
    arguments: &'a Arguments,
    opened: &'a Opened,
    gate: &'a Gate,
    signer: &'a TheSigner<'a>,
    limits: &'a Limits,
    now: Timestamp,
    ui: &'a Ui,
}

pub(super) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let limits = arguments.work.limits();
    let now = Timestamp::now();
    let opened = arguments.registry.open(To::Write, now)?;
    let gate = arguments.policy.gate(Some(&opened), now, &limits)?;
    let signer = arguments.signer.signer(&limits, ui)?;
    let desk =
        Desk { arguments, opened: &opened, gate: &gate, signer: &signer, limits: &limits, now, ui };
    let done = match &arguments.model {
        Some(model) => vec![desk.out_of_quarantine(model)?],
        None => desk.queue()?,
    };
    let refused = done.iter().filter(|one| !one.signed).count();
    let report = serde_json::json!({
        "command": "registry resign", "verdict": if refused == 0 { "signed" } else { "refused" },
        "models": done,
    });
    ui.result(&report, |out| {
        for one in &done {
            let what = if one.signed { "signed" } else { "refused" };
            let place = one.place.as_deref().unwrap_or(&one.model);
            writeln!(out, "{what}: {}", Printable(place))?;
            one.reasons.iter().try_for_each(|why| writeln!(out, "  {}", Printable(why)))?;
        }
        if done.is_empty() {
            writeln!(out, "nothing waits for a new signature")?;
        }
        Ok(())
    })?;
    Ok(if refused == 0 { Verdict::Yes } else { Verdict::No })
}

impl Desk<'_> {
    /// What waits, one after the other.
    fn queue(&self) -> Result<Vec<Done>, Problem> {
        let registry = &self.opened.registry;
        let worker = format!("{}-{}", std::process::id(), crate::deciding::new_request()?);
        let mut all = Vec::new();
        while all.len() < self.arguments.limit {
            let Some(task) = registry.claim_resign(&worker, LEASE, self.now)? else { break };
            let found = registry.model(&task.model.manifest, self.now)?;
            let done = match found {
                None => Done {
                    model: task.model.to_string(),
                    place: None,
                    signed: false,
                    reasons: vec!["the registry knows of no such model".into()],
                },
                Some(found) => match self.one(&found) {
                    // What cannot be signed keeps nobody else waiting.
                    Err(Problem::About { what, failure: Failure::Refused(refusal) }) => Done {
                        model: task.model.to_string(),
                        place: Some(what),
                        signed: false,
                        reasons: refusal.reasons().map(ToString::to_string).collect(),
                    },
                    done => done?,
                },
            };
            let refused = (!done.signed).then(|| done.reasons.join("; "));
            registry.end_resign(task.id, &worker, refused.as_deref(), self.now)?;
            all.push(done);
        }
        Ok(all)
    }

    /// A model whose signature counts today, signed by another key.
    fn one(&self, found: &ModelDetails) -> Result<Done, Problem> {
        let model = found.summary.model;
        let done = |place: Option<&Path>, reasons: Vec<String>| Done {
            model: model.to_string(),
            place: place.map(|place| place.display().to_string()),
            signed: reasons.is_empty(),
            reasons,
        };
        let there = found.sightings.iter().find(|one| Path::new(&one.place).exists());
        let Some(there) = there else {
            return Ok(done(None, vec![
                "its files are at none of the places where it was seen: bring it to one, or sign it with 'bulla sign'".into(),
            ]));
        };
        let place = Path::new(&there.place);
        let environment = &self.arguments.policy.environment;
        let signed = self.gate.vouched(environment, &alone(place)?, self.now, self.limits);
        let recipe = match signed {
            Ok((signed, recipe)) if signed == model => recipe,
            Ok((other, _)) => {
                return Ok(done(
                    Some(place),
                    vec![format!("what is signed there is another model: {other}")],
                ));
            }
            // It may have been signed again already, by somebody else.
            Err(Failure::Refused(refusal)) => {
                return Ok(done(Some(place), refusal.reasons().map(ToString::to_string).collect()));
            }
            Err(Failure::Fault(fault)) => return Err(fault.into()),
        };
        let reasons = self.sign(place, &there.name, model, &recipe, None)?;
        Ok(done(Some(place), reasons))
    }

    /// A model whose signature counts no more, that people have looked at again since.
    fn out_of_quarantine(&self, place: &Path) -> Result<Done, Problem> {
        let source = LocalModel::open(place)?;
        let recipe = Recipe::default();
        let bar = self.ui.bar("hashing");
        let work = self.arguments.work.work(&bar);
        let manifest = bulla::sign::measure(&source, &recipe, Known::Nothing, self.limits, work)
            .map_err(|failure| Problem::about(place.display().to_string(), failure))?;
        drop(bar);
        let model = ModelDigests::of(&manifest);
        let shown = format!("oms-manifest-v1:{}", model.manifest.to_hex());
        let found = details(self.opened, &shown, self.now)?;
        let quarantine = self.opened.registry.quarantined(&model.manifest, self.now)?;
        let Some(quarantine) = quarantine else {
            return Err(Problem::usage(
                format!("{} is not in quarantine", Printable(&place.to_string_lossy())),
                "sign it with 'bulla sign'",
            ));
        };
        let name = found
            .sightings
            .first()
            .map_or_else(|| source.name().to_owned(), |one| one.name.clone());
        let reasons = self.sign(place, &name, model, &recipe, Some(quarantine.since))?;
        Ok(Done {
            model: model.to_string(),
            place: Some(place.display().to_string()),
            signed: reasons.is_empty(),
            reasons,
        })
    }

    /// Signs, looks whether the gate admits it so, and only then puts the signature there. Why not, in words.
    fn sign(
        &self,
        place: &Path,
        name: &str,
        model: ModelDigests,
        recipe: &Recipe,
        looked_at_again: Option<Timestamp>,
    ) -> Result<Vec<String>, Problem> {
        let source = LocalModel::open(place)?;
        let output = files::signature_of(place);
        files::may_write(&output)?;
        let bar = self.ui.bar("hashing");
        let work = self.arguments.work.work(&bar);
        let about = |failure: Failure| Problem::about(place.display().to_string(), failure);
        let (compatibility, signer) = (Compatibility::Specification, self.signer.as_signer());
        let signed = bulla::sign::sign(
            &source,
            recipe,
            compatibility,
            signer,
            Known::Nothing,
            self.limits,
            work,
        )
        .map_err(about)?;
        drop(bar);
        // It was measured again, and is the model that is meant; no digest is copied from anywhere.
        let measured = ModelDigests::of(&signed.manifest);
        if measured != model {
            return Ok(vec![format!(
                "its files are another model: found {measured}, expected {model}"
            )]);
        }
        self.signer.signed_by(&signed.key, &signed.bundle, self.limits)?;
        let decision = self.decide(place, name, signed.bundle.clone(), looked_at_again)?;
        let mut reasons: Vec<String> = decision
            .findings
            .iter()
            .filter(|finding| finding.outcome != RuleOutcome::Met)
            .map(|finding| format!("{}: {}", finding.rule, finding.found))
            .collect();
        let approved = decision
            .findings
            .iter()
            .any(|finding| finding.rule == "approvals" && finding.outcome == RuleOutcome::Met);
        if looked_at_again.is_some() && !approved {
            reasons.push("nobody has approved it since: the policy has to ask for approvals, and people have to give them anew".into());
        }
        if !reasons.is_empty() {
            return Ok(reasons);
        }
        bulla::store(&output, &signed.bundle, Access::Public, Existing::Replace)?;
        let mut records = sightings(&decision, place);
        if looked_at_again.is_some() {
            records.push(Record::LiftQuarantine(QuarantineLifted {
                model: model.manifest,
                reason: format!("approved again, and signed by {}", signed.key.fingerprint()),
                by: "bulla registry resign".into(),
            }));
        }
        self.opened.registry.append(&records, self.now)?;
        Ok(Vec::new())
    }

    fn decide(
        &self,
        place: &Path,
        name: &str,
        signature: Vec<u8>,
        looked_at_again: Option<Timestamp>,
    ) -> Result<Decision, Problem> {
        let policy = &self.arguments.policy;
        let remembered = Remembered {
            registry: &self.opened.registry,
            environment: &policy.environment,
            name,
            policy: &self.gate.policy().name,
            now: self.now,
            looked_at_again,
        };
        let asked = Asked {
            model: place,
            name: Some(name),
            expected: &[],
            chain: &self.arguments.chain,
            work: &self.arguments.work,
            signature: Some(signature),
        };
        decide_by(self.gate, policy, &remembered, asked, name, self.now, self.limits, self.ui)
    }
}
