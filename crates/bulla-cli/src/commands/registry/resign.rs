//! `bulla registry resign`

use std::path::{Path, PathBuf};

use bulla::sign::Known;
use bulla::{
    Access, Compatibility, Digest, Existing, Failure, Fault, Limits, LocalModel, ModelDigests,
    ModelSource as _, Printable, Recipe,
};
use bulla_policy::{Decision, Gate, Outcome as RuleOutcome};
use bulla_registry::{ModelDetails, Quarantine, QuarantineLifted, Record};
use clap::{Args, ValueHint};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::models::details;
use crate::arguments::WorkArguments;
use crate::commands::lineage::ChainFlags;
use crate::deciding::{Asked, Remembered, alone, decide_by, new_request, record, sightings};
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
/// every rule of the policy. What does not is left as it was, and told; what could not be read or written waits on. A model in quarantine is
/// signed only with --model, and only if people have approved it since it was put there.
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
enum Became {
    Signed,
    /// Why not.
    Refused(Vec<String>),
    /// It could not be told, and waits on.
    Failed(String),
}

/// What is told of one.
#[derive(Serialize)]
struct Done {
    model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    signed: bool,
    /// It waits on.
    failed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

impl Done {
    fn new(model: &ModelDigests, place: Option<String>, became: Became) -> Self {
        let (signed, failed, reasons) = match became {
            Became::Signed => (true, false, Vec::new()),
            Became::Refused(reasons) => (false, false, reasons),
            Became::Failed(why) => (false, true, vec![why]),
        };
        Self { model: model.to_string(), place, signed, failed, reasons }
    }

    fn word(&self) -> &'static str {
        match (self.signed, self.failed) {
            (true, _) => "signed",
            (false, true) => "failed",
            (false, false) => "refused",
        }
    }
}

/// Why one is signed anew.
#[derive(Clone, Copy)]
enum Why<'a> {
    /// It waits for another key than this.
    Waits(Option<&'a Digest>),
    /// It is in quarantine, and people have looked at it.
    Quarantine(&'a Quarantine),
}

/// Everything that signing one takes.
struct Desk<'a> {
    arguments: &'a Arguments,
    opened: &'a Opened,
    signer: &'a TheSigner<'a>,
    limits: &'a Limits,
    ui: &'a Ui,
}

/// What one is decided by. The next is by another: what is withdrawn while this one is worked on counts for it.
struct Today {
    gate: Gate,
    now: Timestamp,
    /// Revocations that the gate knows of.
    revocations: u64,
}

pub(super) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let limits = arguments.work.limits();
    let opened = arguments.registry.open(To::Write, Timestamp::now())?;
    let signer = arguments.signer.signer(&limits, ui)?;
    let desk = Desk { arguments, opened: &opened, signer: &signer, limits: &limits, ui };
    let done = match &arguments.model {
        Some(model) => vec![desk.out_of_quarantine(model)?],
        None => desk.queue()?,
    };
    let (verdict, word) = match () {
        () if done.iter().any(|one| one.failed) => (Verdict::CouldNotTell, "failed"),
        () if done.iter().any(|one| !one.signed) => (Verdict::No, "refused"),
        () => (Verdict::Yes, "signed"),
    };
    let report =
        serde_json::json!({ "command": "registry resign", "verdict": word, "models": done });
    ui.result(&report, |out| {
        for one in &done {
            let place = one.place.as_deref().unwrap_or(&one.model);
            writeln!(out, "{}: {}", one.word(), Printable(place))?;
            one.reasons.iter().try_for_each(|why| writeln!(out, "  {}", Printable(why)))?;
        }
        if done.is_empty() {
            writeln!(out, "nothing waits for a new signature")?;
        }
        Ok(())
    })?;
    if done.iter().any(|one| one.failed) {
        ui.note("what failed waits on: run it again once its cause is gone");
    }
    Ok(verdict)
}

impl Desk<'_> {
    fn today(&self) -> Result<Today, Problem> {
        let now = Timestamp::now();
        let gate = self.arguments.policy.gate(Some(self.opened), now, self.limits)?;
        Ok(Today { gate, now, revocations: self.opened.revoked() })
    }

    /// What waits, one after the other.
    fn queue(&self) -> Result<Vec<Done>, Problem> {
        let worker = format!("{}-{}", std::process::id(), new_request()?);
        let (mut all, mut in_hand) = (Vec::new(), Vec::new());
        let ended = self.work_off(&worker, &mut all, &mut in_hand);
        // However it ended: what nothing became of is anybody's. Not before, or it would be taken again at once.
        for id in in_hand {
            self.opened.registry.give_back_resign(id, &worker, Timestamp::now())?;
        }
        ended.map(|()| all)
    }

    fn work_off(
        &self,
        worker: &str,
        all: &mut Vec<Done>,
        in_hand: &mut Vec<u64>,
    ) -> Result<(), Problem> {
        let registry = &self.opened.registry;
        // What failed takes nobody's turn.
        while all.iter().filter(|one| !one.failed).count() < self.arguments.limit {
            let today = self.today()?;
            let Some(task) = registry.claim_resign(worker, LEASE, today.now)? else { break };
            in_hand.push(task.id);
            let done = match registry.model(&task.model.manifest, today.now)? {
                None => {
                    let why = "the registry knows of no such model".to_owned();
                    Done::new(&task.model, None, Became::Refused(vec![why]))
                }
                Some(found) => match self.one(&today, &found, task.key.as_ref()) {
                    Ok(done) => done,
                    Err(problem) => {
                        let (place, became) = of_one(problem)?;
                        Done::new(&task.model, place, became)
                    }
                },
            };
            if !done.failed {
                let refused = (!done.signed).then(|| done.reasons.join("; "));
                registry.end_resign(task.id, worker, refused.as_deref(), Timestamp::now())?;
                in_hand.pop();
            }
            all.push(done);
        }
        Ok(())
    }

    /// A model whose signature counts today, signed by another key.
    fn one(
        &self,
        today: &Today,
        found: &ModelDetails,
        old: Option<&Digest>,
    ) -> Result<Done, Problem> {
        let model = found.summary.model;
        let done = |place: Option<&Path>, became: Became| {
            Done::new(&model, place.map(|place| place.display().to_string()), became)
        };
        let there = found.sightings.iter().find(|one| Path::new(&one.place).exists());
        let Some(there) = there else {
            let why = "its files are at none of the places where it was seen: bring it to one, or sign it with 'bulla sign'";
            return Ok(done(None, Became::Refused(vec![why.to_owned()])));
        };
        let place = Path::new(&there.place);
        let environment = &self.arguments.policy.environment;
        let signed = today.gate.vouched(environment, &alone(place)?, today.now, self.limits);
        let recipe = match signed {
            Ok((signed, recipe)) if signed == model => recipe,
            Ok((other, _)) => {
                let why = format!("what is signed there is another model: {other}");
                return Ok(done(Some(place), Became::Refused(vec![why])));
            }
            // It may have been signed again already, by somebody else.
            Err(failure) => return Err(Problem::about(place.display().to_string(), failure)),
        };
        let became = self.sign(today, place, &there.name, model, &recipe, Why::Waits(old))?;
        Ok(done(Some(place), became))
    }

    /// A model whose signature counts no more, that people have looked at again since.
    fn out_of_quarantine(&self, place: &Path) -> Result<Done, Problem> {
        let today = self.today()?;
        let source = LocalModel::open(place)?;
        // As it is signed there by somebody who may, else as it is signed if nothing else is said.
        let environment = &self.arguments.policy.environment;
        let signed = today.gate.vouched(environment, &alone(place)?, today.now, self.limits);
        let recipe = signed.map_or_else(|_| Recipe::default(), |(_, recipe)| recipe);
        let bar = self.ui.bar("hashing");
        let work = self.arguments.work.work(&bar);
        let manifest = bulla::sign::measure(&source, &recipe, Known::Nothing, self.limits, work)
            .map_err(|failure| Problem::about(place.display().to_string(), failure))?;
        drop(bar);
        let model = ModelDigests::of(&manifest);
        let shown = format!("oms-manifest-v1:{}", model.manifest.to_hex());
        let found = details(self.opened, &shown, today.now)?;
        let quarantine = self.opened.registry.quarantined(&model.manifest, today.now)?;
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
        let why = Why::Quarantine(&quarantine);
        let became = self.sign(&today, place, &name, model, &recipe, why)?;
        Ok(Done::new(&model, Some(place.display().to_string()), became))
    }

    /// Signs, looks whether the gate admits it so, and only then puts the signature there.
    fn sign(
        &self,
        today: &Today,
        place: &Path,
        name: &str,
        model: ModelDigests,
        recipe: &Recipe,
        why: Why<'_>,
    ) -> Result<Became, Problem> {
        let quarantine = match why {
            Why::Quarantine(quarantine) => Some(quarantine),
            Why::Waits(_) => None,
        };
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
            let why = format!("its files are another model: found {measured}, expected {model}");
            return Ok(Became::Refused(vec![why]));
        }
        self.signer.signed_by(&signed.key, &signed.bundle, self.limits)?;
        let key = signed.key.fingerprint();
        if matches!(why, Why::Waits(Some(old)) if *old == key) {
            return Ok(Became::Failed(format!(
                "it waits for another key than the key that it is signed with ({key}): give the new one"
            )));
        }
        let looked_at_again = quarantine.map(Quarantine::since);
        let decision = self.decide(today, place, name, signed.bundle.clone(), looked_at_again)?;
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
        if quarantine.is_some() && !approved {
            reasons.push("nobody has approved it since: the policy has to ask for approvals, and people have to give them anew".into());
        }
        if !reasons.is_empty() {
            return Ok(Became::Refused(reasons));
        }
        let mut records = sightings(&decision, place);
        if let Some(quarantine) = quarantine {
            records.push(Record::LiftQuarantine(QuarantineLifted {
                model: model.manifest,
                entry: quarantine.entry,
                reason: format!("approved again, and signed by {}", signed.key.fingerprint()),
                by: "bulla registry resign".into(),
                approvals_since: Some(quarantine.since()),
            }));
        }
        // Before the signature is there: what was withdrawn while this was looked at is found out here, and nowhere later.
        let (registry, now) = (&self.opened.registry, Timestamp::now());
        if registry.append_if_current(&records, today.revocations, now)?.is_none() {
            let why = "something was withdrawn while it was looked at: it has to be looked at anew";
            return Ok(Became::Failed(why.to_owned()));
        }
        bulla::store(&output, &signed.bundle, Access::Public, Existing::Replace)?;
        // An admission by the new signature: the old one's falls with the old key.
        record(self.opened, &today.gate, &decision, &new_request()?, place, None)?;
        Ok(Became::Signed)
    }

    fn decide(
        &self,
        today: &Today,
        place: &Path,
        name: &str,
        signature: Vec<u8>,
        looked_at_again: Option<Timestamp>,
    ) -> Result<Decision, Problem> {
        let policy = &self.arguments.policy;
        let Today { gate, now, .. } = today;
        let remembered = Remembered {
            registry: &self.opened.registry,
            environment: &policy.environment,
            name,
            policy: &gate.policy().name,
            now: *now,
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
        decide_by(gate, policy, &remembered, asked, name, *now, self.limits, self.ui)
    }
}

/// What keeps one model from being signed, and no other; anything else ends the run.
fn of_one(problem: Problem) -> Result<(Option<String>, Became), Problem> {
    let (place, failure) = match problem {
        Problem::About { what, failure } => (Some(what), failure),
        Problem::Failure(failure) => (None, failure),
        other => return Err(other),
    };
    let became = match failure {
        Failure::Refused(refusal) => {
            Became::Refused(refusal.reasons().map(ToString::to_string).collect())
        }
        Failure::Fault(
            fault @ (Fault::Io { .. }
            | Fault::Changed { .. }
            | Fault::NotAModel { .. }
            | Fault::TooMany { .. }
            | Fault::TooDeep { .. }
            | Fault::ModelTooLarge { .. }
            | Fault::BundleTooLarge { .. }),
        ) => Became::Failed(fault.to_string()),
        fault @ Failure::Fault(_) => {
            return Err(match place {
                Some(place) => Problem::about(place, fault),
                None => fault.into(),
            });
        }
    };
    Ok((place, became))
}
