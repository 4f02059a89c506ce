//! `bulla registry release`, `rollback` and `quarantine`

use bulla::Printable;
use bulla_registry::{QuarantineLifted, Quarantined, Record, Released};
use clap::Args;
use jiff::Timestamp;

use super::models::details;
use crate::going_back::{Settled, TodayArguments};
use crate::problem::{Outcome, Problem, Verdict};
use crate::registry::{RegistryArguments, To, who};
use crate::ui::Ui;

/// Say that a model runs now, that was admitted
///
/// It takes the place of whatever ran under the same name in the same environment. A release with a lower sequence than one that ran before
/// is refused; to go back on purpose, roll back.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bulla registry release deploy-1 --registry registry.toml")]
pub(super) struct ReleaseArguments {
    /// The request that was answered with its admission: what 'bulla admit' printed, or was given with --request
    #[arg(value_name = "REQUEST")]
    request: String,
    #[command(flatten)]
    registry: RegistryArguments,
}

pub(super) fn release(arguments: &ReleaseArguments, ui: &Ui) -> Outcome {
    let now = Timestamp::now();
    let opened = arguments.registry.open(To::Write, now)?;
    let request = &arguments.request;
    let refused = |why: String, hint: &str| Problem::Reasons {
        what: request.clone(),
        verdict: Verdict::No,
        reasons: vec![("not-admitted", why)],
        hints: vec![hint.to_owned()],
    };
    let again = "have it admitted: 'bulla admit MODEL --registry FILE --request ID'";
    let answer = opened
        .registry
        .answer(request, now)?
        .ok_or_else(|| refused("there is no decision of this request".into(), again))?;
    let decided = &answer.decided;
    let Some(model) = decided.model.filter(|_| decided.admitted) else {
        return Err(refused("it was refused".into(), again));
    };
    // What was decided last counts, and only while it does.
    let standing = opened.registry.standing(&model.manifest, &decided.environment, now)?;
    let stands = standing.as_ref().is_some_and(|standing| {
        standing.decided.admitted
            && standing.decided.name == decided.name
            && !standing.expired
            && standing.quarantined.is_none()
    });
    if !stands || answer.withdrawn.is_some() {
        let why = match standing {
            _ if answer.withdrawn.is_some() => "its admission was withdrawn".to_owned(),
            None => "its admission was withdrawn".to_owned(),
            Some(standing) => match standing.quarantined {
                Some(quarantine) => format!("it is in quarantine: {quarantine}"),
                None if standing.expired => "its admission has expired".to_owned(),
                None if standing.decided.name != decided.name => {
                    format!("it was decided about since, as {}", Printable(&standing.decided.name))
                }
                None => "it was refused since".to_owned(),
            },
        };
        return Err(refused(why, again));
    }
    let released = Released {
        environment: decided.environment.clone(),
        name: decided.name.clone(),
        sequence: sequence(&answer.json)?,
        model,
        request: request.clone(),
    };
    let written = opened.registry.append(&[Record::Release(released)], now)?;
    let known = written.iter().all(Option::is_none);
    let report = serde_json::json!({
        "command": "registry release", "verdict": if known { "known" } else { "released" },
        "environment": decided.environment, "name": decided.name, "request": request,
        "digest": format!("oms-manifest-v1:{}", model.manifest.to_hex()),
    });
    ui.result(&report, |out| {
        let what = if known { "runs already" } else { "released" };
        let (name, environment) = (&decided.name, &decided.environment);
        writeln!(out, "{what}: {} in {}", Printable(name), Printable(environment))
    })?;
    Ok(Verdict::Yes)
}

/// The sequence of the signed release by which it was decided, whatever anybody says later.
fn sequence(decision: &[u8]) -> Result<Option<u64>, bulla::Fault> {
    #[derive(serde::Deserialize)]
    struct Decided {
        #[serde(default)]
        sequence: Option<u64>,
    }
    let decided: Decided = serde_json::from_slice(decision)
        .map_err(|_| bulla::Fault::Bug { what: "a decision in the registry cannot be read" })?;
    Ok(decided.sequence)
}

/// Go back to the last release that nothing is known against
///
/// With --policy, to the last one that it admits today: each is measured and decided about where it lies.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bulla registry rollback fraud-eu -e production --reason drift --registry registry.toml"
)]
pub(super) struct RollbackArguments {
    /// The name under which it runs
    #[arg(value_name = "NAME")]
    name: String,
    /// Where
    #[arg(long, short, value_name = "NAME")]
    environment: String,
    /// Why, in words
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    registry: RegistryArguments,
    #[command(flatten)]
    today: TodayArguments,
}

pub(super) fn rollback(arguments: &RollbackArguments, ui: &Ui) -> Outcome {
    let now = Timestamp::now();
    let opened = arguments.registry.open(To::Write, now)?;
    let (environment, name) = (&arguments.environment, &arguments.name);
    let today = &arguments.today;
    today.check(&opened, environment)?;
    let done = opened.registry.roll_back(environment, name, None, &arguments.reason, now)?;
    let settled = match done.to {
        Some(_) => today.settle(&opened, environment, name, &arguments.reason, ui),
        None => Ok(None),
    };
    // It went back, whatever could be decided about that.
    let (settled, wrong) = match settled {
        Ok(settled) => (settled, None),
        Err(problem) => (None, Some(problem)),
    };
    let report = serde_json::json!({
        "command": "registry rollback", "verdict": if done.to.is_some() { "rolled back" } else { "stopped" },
        "rolled_back": done, "decided": settled,
    });
    ui.result(&report, |out| {
        match done.to {
            Some(entry) => writeln!(
                out,
                "rolled back: {} in {} to release {entry}",
                Printable(name),
                Printable(environment)
            ),
            None => writeln!(
                out,
                "stopped: {} in {}; there is no earlier release that nothing is known against",
                Printable(name),
                Printable(environment)
            ),
        }?;
        settled.iter().try_for_each(|settled| settled.show(out))
    })?;
    if let Some(problem) = wrong {
        return Err(problem);
    }
    let undecided = settled.as_ref().is_some_and(Settled::is_undecided);
    if done.to.is_some() && (undecided || !today.is_asked()) {
        ui.note("have what runs now decided about by today's policy: 'bulla admit'");
    }
    Ok(if undecided { Verdict::CouldNotTell } else { Verdict::Yes })
}

/// Take a model out of use for the time being, or put it back
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bulla registry quarantine fraud-eu --reason suspicious --registry registry.toml\n  bulla registry quarantine fraud-eu --lift --reason fine --registry registry.toml"
)]
pub(super) struct QuarantineArguments {
    /// Its name; or a digest: oms:, oms-manifest-v1:, or sha256: of any file
    #[arg(value_name = "MODEL")]
    model: String,
    /// Why, in words
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Put it back
    #[arg(long)]
    lift: bool,
    /// The last reason that was looked at, by its number: needed where there are several
    #[arg(long, value_name = "N", requires = "lift")]
    entry: Option<u64>,
    /// Who says so [default: your user's name]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    registry: RegistryArguments,
}

pub(super) fn quarantine(arguments: &QuarantineArguments, ui: &Ui) -> Outcome {
    let now = Timestamp::now();
    let opened = arguments.registry.open(To::Write, now)?;
    let found = details(&opened, &arguments.model, now)?;
    let model = found.summary.model.manifest;
    let (reason, by) = (arguments.reason.clone(), who(arguments.by.as_deref()));
    let digest = format!("oms-manifest-v1:{}", model.to_hex());
    let mut was = None;
    let verdict = match arguments.lift {
        true => {
            let there = opened.registry.quarantined(&model, now)?.ok_or_else(|| {
                Problem::usage(format!("{digest} is not in quarantine"), "check which model it is")
            })?;
            let entry = there.entry;
            // Of one reason it is plain which is meant; several have to be looked at.
            if arguments.entry.is_none_or(|seen| seen != entry)
                && (arguments.entry.is_some() || there.causes.len() > 1)
            {
                return Err(Problem::usage(
                    format!("{digest} is in quarantine for: {}", Printable(&there.to_string())),
                    format!("look at all of that; '--entry {entry}' lifts it"),
                ));
            }
            let lifted = QuarantineLifted { model, entry, reason, by, approvals_since: None };
            opened.registry.lift_quarantine(lifted, now)?;
            was = Some(there.to_string());
            "lifted"
        }
        false => {
            opened.registry.quarantine(Quarantined { model, reason, by }, now)?;
            "quarantined"
        }
    };
    let report = serde_json::json!({
        "command": "registry quarantine", "verdict": verdict, "digest": digest, "was": was,
    });
    ui.result(&report, |out| {
        writeln!(out, "{verdict}: {digest}")?;
        was.iter().try_for_each(|was| writeln!(out, "  was there  {}", Printable(was)))
    })?;
    if !arguments.lift && found.summary.running {
        ui.note("it runs: 'bulla registry rollback' goes back to the release before");
    }
    Ok(Verdict::Yes)
}
