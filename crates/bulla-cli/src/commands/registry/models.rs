//! `bulla registry add`, `list`, `search`, `show` and `status`

use std::path::PathBuf;

use bulla::{Digest, HashAlgorithm, Limits, LocalModel, ModelDigests, ModelSource as _, Printable};
use bulla_policy::{ModelName, span};
use bulla_registry::{
    ModelDetails, ModelSearch, ModelSighting, ModelState, ModelSummary, Page, Record, Status,
};
use clap::{Args, ValueEnum, ValueHint};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::model_ref;
use crate::arguments::WorkArguments;
use crate::commands::admit::Shown;
use crate::commands::lineage::ChainFlags;
use crate::deciding::{Asked, decide, sightings};
use crate::policies::{PinArguments, PolicyArguments};
use crate::problem::{Outcome, Problem, Verdict};
use crate::registry::{Opened, RegistryArguments, To, keys_of};
use crate::ui::Ui;

/// Write models down, without deciding about them
///
/// With a policy its signature and the statements about it are written down, too, of those whom the policy names: so that it is found when a key
/// is withdrawn, and that its age counts from today. The policy's keys are written down as well.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bulla registry add my-model other-model --registry registry.toml\n  bulla registry add fraud-eu -p policy.yaml -e production --registry registry.toml"
)]
pub(super) struct AddArguments {
    /// The directories or files
    #[arg(required_unless_present = "policy", value_hint = ValueHint::AnyPath)]
    models: Vec<PathBuf>,
    #[command(flatten)]
    registry: RegistryArguments,
    /// The policy to know signers by
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "By a policy")]
    #[arg(requires = "environment")]
    policy: Option<PathBuf>,
    /// For which of its environments
    #[arg(long, short, value_name = "NAME", requires = "policy", help_heading = "By a policy")]
    environment: Option<String>,
    #[command(flatten)]
    pin: PinArguments,
    #[command(flatten)]
    work: WorkArguments,
}

#[derive(Serialize)]
struct Added {
    model: String,
    digests: [String; 2],
    entries: usize,
}

pub(super) fn add(arguments: &AddArguments, ui: &Ui) -> Outcome {
    let limits = arguments.work.limits();
    let now = Timestamp::now();
    let opened = arguments.registry.open(To::Write, now)?;
    let policy = match (&arguments.policy, &arguments.environment) {
        (Some(policy), Some(environment)) => {
            let policy = PolicyArguments {
                policy: policy.clone(),
                environment: environment.clone(),
                pin: arguments.pin.clone(),
            };
            let gate = policy.gate(Some(&opened), now, &limits)?;
            opened.registry.append(&keys_of(gate.policy()), now)?;
            Some((policy, gate))
        }
        _ => None,
    };
    let mut all = Vec::new();
    for model in &arguments.models {
        let (digests, records) = match &policy {
            Some((policy, gate)) => {
                let asked = Asked {
                    model,
                    name: None,
                    expected: &[],
                    chain: &ChainFlags::default(),
                    work: &arguments.work,
                    signature: None,
                };
                let decision = decide(gate, policy, Some(&opened), asked, now, &limits, ui)?;
                let Some(digests) = decision.digests else {
                    let shown = model.display().to_string();
                    let how = Shown { command: "registry add", ..Shown::default() };
                    return crate::commands::admit::show(how, &shown, &decision, ui);
                };
                (digests, sightings(&decision, model))
            }
            None => measured(model, arguments, &limits, ui)?,
        };
        let entries = opened.registry.append(&records, now)?.into_iter().flatten().count();
        all.push(Added { model: model.display().to_string(), digests: both(&digests), entries });
    }
    let report =
        serde_json::json!({ "command": "registry add", "verdict": "added", "models": all });
    ui.result(&report, |out| {
        all.iter().try_for_each(|one| {
            let what = if one.entries == 0 { "known" } else { "added" };
            writeln!(out, "{what}: {} {}", Printable(&one.model), one.digests.join(" "))
        })
    })?;
    Ok(Verdict::Yes)
}

/// A model by its files alone.
fn measured(
    model: &std::path::Path,
    arguments: &AddArguments,
    limits: &Limits,
    ui: &Ui,
) -> Result<(ModelDigests, Vec<Record>), Problem> {
    let source = LocalModel::open(model)?;
    let bar = ui.bar("hashing");
    let work = arguments.work.work(&bar);
    let recipe = bulla::Recipe::default();
    let known = bulla::sign::Known::Nothing;
    let manifest = bulla::sign::measure(&source, &recipe, known, limits, work)
        .map_err(|failure| Problem::about(model.display().to_string(), failure))?;
    let digests = ModelDigests::of(&manifest);
    let place = model.canonicalize().unwrap_or_else(|_| model.to_owned());
    let sighting = ModelSighting {
        model: digests,
        name: source.name().to_owned(),
        place: place.to_string_lossy().into_owned(),
        size: manifest.total_size(),
        files: manifest.files.values().filter_map(|file| file.digests.first().copied()).collect(),
    };
    Ok((digests, vec![Record::Model(sighting)]))
}

pub(super) fn both(model: &ModelDigests) -> [String; 2] {
    [format!("oms:{}", model.oms.to_hex()), format!("oms-manifest-v1:{}", model.manifest.to_hex())]
}

/// List models
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bulla registry list --registry registry.toml\n  bulla registry list --state quarantined --registry registry.toml"
)]
pub(super) struct ListArguments {
    #[command(flatten)]
    registry: RegistryArguments,
    #[command(flatten)]
    part: PartArguments,
}

#[derive(Debug, Args)]
struct PartArguments {
    /// Only those in this state
    #[arg(long, value_name = "STATE")]
    state: Option<State>,
    /// How many at the most, up to 1000
    #[arg(long, value_name = "N", default_value = "100")]
    limit: u32,
    /// Go on after this one: the last oms-manifest-v1: digest of the list before
    #[arg(long, value_name = "DIGEST", value_parser = ModelName::parse)]
    after: Option<ModelName>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    /// In quarantine
    Quarantined,
    /// Running somewhere
    Running,
    /// Withdrawn
    Revoked,
    /// Waiting for a new signature
    Resign,
}

/// Find models: by name, digest, key or identity
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bulla registry search fraud --registry registry.toml\n  bulla registry search --identity a@example.com --registry registry.toml"
)]
pub(super) struct SearchArguments {
    /// What their names begin with; or a digest: oms:, oms-manifest-v1:, or sha256: of any file
    #[arg(value_name = "TEXT", required_unless_present_any = ["key", "identity"])]
    text: Option<String>,
    /// Those with a signature or statement by this key: its fingerprint
    #[arg(long, value_name = "FINGERPRINT", value_parser = fingerprint, conflicts_with = "text")]
    key: Option<Digest>,
    /// Those with a signature or statement by this identity
    #[arg(long, value_name = "NAME", conflicts_with_all = ["text", "key"])]
    identity: Option<String>,
    #[command(flatten)]
    registry: RegistryArguments,
    #[command(flatten)]
    part: PartArguments,
}

/// `sha256:HEX`, or the digits alone.
pub(crate) fn fingerprint(text: &str) -> Result<Digest, String> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    Digest::from_hex(HashAlgorithm::Sha256, hex).ok_or_else(|| {
        "expected sha256: and 64 hexadecimal digits, as 'bulla key show' prints".into()
    })
}

pub(super) fn list(arguments: &ListArguments, ui: &Ui) -> Outcome {
    models("registry list", &arguments.registry, &arguments.part, &ModelSearch::All, ui)
}

pub(super) fn search(arguments: &SearchArguments, ui: &Ui) -> Outcome {
    let search = match (&arguments.text, arguments.key, &arguments.identity) {
        (_, Some(key), _) => ModelSearch::Key(key),
        (_, _, Some(identity)) => ModelSearch::Identity(identity.clone()),
        (Some(text), ..) => match ModelName::parse(text) {
            Ok(name) => ModelSearch::Digest(model_ref(name)),
            // No name: found would be nothing, which somebody may take for an answer.
            Err(why) if ModelName::is_meant(text) => {
                return Err(Problem::usage(why, "count its digits"));
            }
            Err(_) => ModelSearch::Named(text.clone()),
        },
        (None, None, None) => ModelSearch::All,
    };
    models("registry search", &arguments.registry, &arguments.part, &search, ui)
}

fn models(
    command: &'static str,
    registry: &RegistryArguments,
    part: &PartArguments,
    search: &ModelSearch,
    ui: &Ui,
) -> Outcome {
    let now = Timestamp::now();
    let opened = registry.open(To::Read, now)?;
    let after = match part.after {
        None => None,
        Some(ModelName::Manifest(digest)) => Some(digest),
        Some(_) => {
            return Err(Problem::usage(
                "--after takes an oms-manifest-v1: digest",
                "give the last one of the list before",
            ));
        }
    };
    let state = part.state.map(|state| match state {
        State::Quarantined => ModelState::Quarantined,
        State::Running => ModelState::Running,
        State::Revoked => ModelState::Revoked,
        State::Resign => ModelState::Resign,
    });
    let page = Page { after, limit: part.limit };
    let found = opened.registry.models(search, state, page, now)?;
    let report = serde_json::json!({ "command": command, "verdict": "listed", "models": found });
    ui.result(&report, |out| found.iter().try_for_each(|one| line(out, one)))?;
    if found.is_empty() {
        ui.note("there is none");
    }
    if found.len() as u64 >= u64::from(part.limit.clamp(1, 1000)) {
        ui.note("there may be more: go on with --after");
    }
    Ok(Verdict::Yes)
}

fn line(out: &mut dyn std::io::Write, one: &ModelSummary) -> std::io::Result<()> {
    let marks =
        [(one.running, "running"), (one.quarantined, "in quarantine"), (one.revoked, "revoked")];
    let marks: Vec<&str> = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect();
    let name = one.name.as_deref().unwrap_or("-");
    writeln!(
        out,
        "oms-manifest-v1:{}  {}  {}",
        one.model.manifest.to_hex(),
        Printable(name),
        marks.join(", ")
    )
}

/// Show all that is known of a model
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bulla registry show fraud-eu --registry registry.toml")]
pub(super) struct ShowArguments {
    /// Its name; or a digest: oms:, oms-manifest-v1:, or sha256: of any file
    #[arg(value_name = "MODEL")]
    model: String,
    #[command(flatten)]
    registry: RegistryArguments,
}

pub(super) fn show(arguments: &ShowArguments, ui: &Ui) -> Outcome {
    let now = Timestamp::now();
    let opened = arguments.registry.open(To::Read, now)?;
    let found = details(&opened, &arguments.model, now)?;
    let quarantine = opened.registry.quarantined(&found.summary.model.manifest, now)?;
    let report = serde_json::json!({
        "command": "registry show", "verdict": "shown", "model": found, "quarantine": quarantine,
    });
    ui.result(&report, |out| {
        let [oms, manifest] = both(&found.summary.model);
        writeln!(out, "{}", Printable(found.summary.name.as_deref().unwrap_or("-")))?;
        writeln!(out, "  digests    {oms}\n             {manifest}")?;
        writeln!(out, "  first seen {}", found.summary.first_seen)?;
        for one in &found.sightings {
            writeln!(out, "  at         {} ({})", Printable(&one.place), Printable(&one.name))?;
        }
        for one in &found.evidence {
            let key = one.basis.keys.first().map(ToString::to_string).unwrap_or_default();
            writeln!(out, "  {:<10} by {key}, seen {}", Printable(&one.role), one.at)?;
        }
        for one in &found.decisions {
            let what = if one.admitted { "admitted" } else { "refused" };
            let withdrawn =
                one.withdrawn.map_or(String::new(), |at| format!(", withdrawn at {at}"));
            writeln!(
                out,
                "  {what:<10} for {} as {} at {}{withdrawn} ({})",
                Printable(&one.environment),
                Printable(&one.name),
                one.time,
                Printable(&one.request)
            )?;
        }
        for one in &found.releases {
            writeln!(
                out,
                "  {:<10} in {} as {}, since {}",
                one.state,
                Printable(&one.environment),
                Printable(&one.name),
                one.since
            )?;
        }
        let marks = [
            (found.summary.quarantined, "it is in quarantine"),
            (found.summary.revoked, "it was revoked"),
        ];
        marks.iter().filter(|(is, _)| *is).try_for_each(|(_, mark)| writeln!(out, "  {mark}"))?;
        quarantine.iter().try_for_each(|why| {
            writeln!(out, "  quarantine {} (entry {})", Printable(&why.to_string()), why.entry)
        })
    })?;
    Ok(Verdict::Yes)
}

/// The one model that is meant.
pub(crate) fn details(
    opened: &Opened,
    text: &str,
    now: Timestamp,
) -> Result<ModelDetails, Problem> {
    let search = match ModelName::parse(text) {
        Ok(name) => ModelSearch::Digest(model_ref(name)),
        Err(_) => ModelSearch::Named(text.to_owned()),
    };
    let registry = &opened.registry;
    let mut found = registry.models(&search, None, Page::first(100), now)?;
    if matches!(search, ModelSearch::Named(_)) && found.len() > 1 {
        // Names that only begin with it are meant less.
        let exact: Vec<_> =
            found.iter().filter(|one| one.name.as_deref() == Some(text)).cloned().collect();
        if !exact.is_empty() {
            found = exact;
        }
    }
    match found.as_slice() {
        [] => Err(Problem::usage(
            format!("no model of {} is known", Printable(text)),
            "look for it with 'bulla registry search'; write it down with 'bulla registry add'",
        )),
        [one] => Ok(registry
            .model(&one.model.manifest, now)?
            .ok_or(bulla::Fault::Bug { what: "a model in a list is not there" })?),
        several => Err(Problem::usage(
            format!("{} models are meant by {}", several.len(), Printable(text)),
            format!(
                "say which: {}",
                several
                    .iter()
                    .take(5)
                    .map(|one| format!("oms-manifest-v1:{}", one.model.manifest.to_hex()))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        )),
    }
}

/// Say what wants attention: keys that end, signatures that grow too old, what waits
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bulla registry status --within 30d --max-age 90d --registry registry.toml"
)]
pub(super) struct StatusArguments {
    #[command(flatten)]
    registry: RegistryArguments,
    /// How far to look ahead
    #[arg(long, value_name = "SPAN", default_value = "30d", value_parser = span)]
    within: SignedDuration,
    /// How old signatures may grow: what the policy says under max_signature_age_days
    #[arg(long, value_name = "SPAN", value_parser = span)]
    max_age: Option<SignedDuration>,
}

pub(super) fn status(arguments: &StatusArguments, ui: &Ui) -> Outcome {
    let now = Timestamp::now();
    let opened = arguments.registry.open(To::Read, now)?;
    let status: Status = opened.registry.status(arguments.within, arguments.max_age, now)?;
    let report =
        serde_json::json!({ "command": "registry status", "verdict": "shown", "status": status });
    ui.result(&report, |out| {
        writeln!(out, "{} entries, the last at {}", status.entries, status.last_written)?;
        writeln!(
            out,
            "  models     {}, {} running, {} in quarantine",
            status.models, status.running, status.quarantined
        )?;
        writeln!(out, "  withdrawn  {}", status.revocations)?;
        writeln!(
            out,
            "  re-sign    {} waiting, {} refused",
            status.resign_pending, status.resign_refused
        )?;
        writeln!(
            out,
            "  alerts     {} waiting, {} given up",
            status.alerts_waiting, status.alerts_given_up
        )?;
        for key in &status.expiring_keys {
            let until = key.overlap_until.or(key.valid_until);
            let until = until.map_or(String::new(), |until| until.to_string());
            writeln!(
                out,
                "  key        {} of {} counts until {until}",
                Printable(&key.id),
                Printable(&key.authority)
            )?;
        }
        for one in &status.aging_signatures {
            writeln!(
                out,
                "  signature  of {} in {} is too old at {}",
                Printable(&one.name),
                Printable(&one.environment),
                one.until
            )?;
        }
        Ok(())
    })?;
    Ok(Verdict::Yes)
}
