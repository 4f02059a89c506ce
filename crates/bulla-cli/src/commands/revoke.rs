//! `bulla revoke`

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use bulla::{Digest, Limits, Printable};
use bulla_policy::ModelName;
use bulla_registry::{ModelRef, Plan, RevocationRequest, Revoked, RolledBack, Subject};
use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::alerts::deliver;
use crate::commands::registry::{details, fingerprint, model_ref};
use crate::going_back::{Settled, TodayArguments};
use crate::keys::{KeyReference, certificates};
use crate::problem::{Outcome, Problem, Verdict};
use crate::registry::{RegistryArguments, To, who};
use crate::ui::Ui;

/// So long alerts are delivered before they are left to 'bulla registry alerts'.
const PATIENCE: Duration = Duration::from_secs(60);
/// Lines of each list that are shown, unless all are asked for.
const SHOWN: usize = 20;

/// Withdraw a key, an identity, an authority or a model, and stop what rests on it
///
/// Without --confirm nothing is changed: it prints what would be touched. With it, in one step: everything that falls goes into quarantine, its
/// admissions are withdrawn, what runs is rolled back to the last good release, what stays is queued for a new signature ('bulla registry
/// resign'), and everybody in the registry's file is told; what cannot be delivered within a minute is left to 'bulla registry alerts'. With
/// --policy what runs then is decided about by it at once. What was withdrawn is so for good.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Key(KeyArguments),
    Identity(IdentityArguments),
    Authority(AuthorityArguments),
    Model(ModelArguments),
}

/// Withdraw a key, in every role
///
/// What a trusted time puts before --since stays; what comes after falls, and what has no trusted time falls.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bulla revoke key former.pub --since 2026-11-20 --reason stolen --registry registry.toml"
)]
struct KeyArguments {
    /// Its fingerprint, as 'bulla key show' prints it; or a file with the public key
    #[arg(value_name = "KEY")]
    key: String,
    #[command(flatten)]
    since: SinceArguments,
    #[command(flatten)]
    how: HowArguments,
}

/// Withdraw an identity, for a while or for good
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bulla revoke identity bot@example.com --since 2026-11-01 --reason leaked --registry registry.toml"
)]
struct IdentityArguments {
    /// The e-mail address or URI in its certificates
    #[arg(value_name = "NAME")]
    identity: String,
    /// Only where this OpenID Connect provider vouched for it
    #[arg(long, value_name = "URL")]
    identity_provider: Option<String>,
    #[command(flatten)]
    since: SinceArguments,
    /// Until when it was somebody else's [default: for ever]
    #[arg(long, value_name = "TIME", value_parser = bulla::text::time)]
    until: Option<Timestamp>,
    #[command(flatten)]
    how: HowArguments,
}

/// Withdraw a certificate: of an authority, of a timestamp authority, or of anybody else
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bulla revoke authority root.pem --reason hacked --registry registry.toml"
)]
struct AuthorityArguments {
    /// SHA-256 of the certificate's DER; or a file with the certificate
    #[arg(value_name = "CERTIFICATE")]
    certificate: String,
    #[command(flatten)]
    since: SinceArguments,
    #[command(flatten)]
    how: HowArguments,
}

/// Withdraw a model, or every model with a file
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bulla revoke model my-model --descendants --reason poisoned --registry registry.toml"
)]
struct ModelArguments {
    /// oms:, oms-manifest-v1:, or sha256: of any one file; or the name by which the registry knows it
    #[arg(value_name = "MODEL")]
    model: String,
    #[command(flatten)]
    how: HowArguments,
}

#[derive(Debug, Args)]
struct SinceArguments {
    /// As of when: a day or a time; what was signed before, by a trusted time, stays [default: from the beginning]
    #[arg(long, value_name = "TIME", value_parser = bulla::text::time)]
    since: Option<Timestamp>,
}

#[derive(Debug, Args)]
struct HowArguments {
    /// And everything that was made from models that fall
    #[arg(long)]
    descendants: bool,
    /// Why, in words
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Do it. Without this nothing is changed
    #[arg(long)]
    confirm: bool,
    /// Only look; this is what happens without --confirm
    #[arg(long, conflicts_with = "confirm")]
    dry_run: bool,
    /// Who says so [default: your user's name]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    registry: RegistryArguments,
    #[command(flatten)]
    today: TodayArguments,
}

/// What is meant: a fingerprint, or that of what lies in a file.
fn key(text: &str) -> Result<Digest, Problem> {
    if let Ok(digest) = fingerprint(text) {
        return Ok(digest);
    }
    let limits = Limits::default();
    let key = KeyReference::File(text.into()).public_key(&limits)?;
    Ok(key.fingerprint())
}

fn certificate(text: &str) -> Result<Digest, Problem> {
    if let Ok(digest) = fingerprint(text) {
        return Ok(digest);
    }
    let found = certificates(&[PathBuf::from(text)], &Limits::default())?;
    match found.as_slice() {
        [one] => Ok(one.fingerprint()),
        several => Err(Problem::usage(
            format!("{} holds {} certificates", Printable(text), several.len()),
            "name one of them, by its file or its SHA-256",
        )),
    }
}

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let now = Timestamp::now();
    let how = match &arguments.what {
        What::Key(KeyArguments { how, .. })
        | What::Identity(IdentityArguments { how, .. })
        | What::Authority(AuthorityArguments { how, .. })
        | What::Model(ModelArguments { how, .. }) => how,
    };
    let to = if how.confirm { To::Write } else { To::Read };
    let opened = how.registry.open(to, now)?;
    let (subject, since) = match &arguments.what {
        What::Key(one) => (Subject::key(key(&one.key)?), one.since.since),
        What::Identity(one) => {
            let provider = one.identity_provider.as_deref();
            let identity = bulla::RevokedIdentity::name(&one.identity, provider)
                .map_err(|why| Problem::usage(why, "it would withdraw nobody"))?;
            let subject = Subject::Identity {
                identity,
                provider: one.identity_provider.clone(),
                until: one.until,
            };
            (subject, one.since.since)
        }
        What::Authority(one) => {
            let subject = Subject::Certificate { fingerprint: certificate(&one.certificate)? };
            (subject, one.since.since)
        }
        What::Model(one) => {
            let model = match ModelName::parse(&one.model) {
                Ok(name) => model_ref(name),
                Err(_) => {
                    let found = details(&opened, &one.model, now)?;
                    ModelRef::Manifest(found.summary.model.manifest)
                }
            };
            (Subject::model(model), None)
        }
    };
    if since.is_some_and(|since| since > now) {
        return Err(Problem::usage(
            "--since is yet to come",
            "give the time as of which it is not to be trusted any more",
        ));
    }
    let revoked = Revoked {
        subject,
        since,
        descendants: how.descendants,
        reason: how.reason.clone(),
        by: who(how.by.as_deref()),
    };
    let mut request = RevocationRequest::new(revoked);
    request.alerts = opened.config.alerts.iter().map(|one| one.name.clone()).collect();
    if how.today.is_asked() {
        if !how.confirm {
            return Err(Problem::usage(
                "--policy decides about what runs instead, and without --confirm nothing does",
                "leave it out, or say --confirm",
            ));
        }
        let planned = opened.registry.plan(&request, now)?;
        let environments: BTreeSet<_> =
            planned.roll_back.iter().map(|one| &one.environment).collect();
        environments.into_iter().try_for_each(|one| how.today.check(&opened, one))?;
    }
    let plan = match how.confirm {
        true => opened.registry.revoke(&request, now)?,
        false => opened.registry.plan(&request, now)?,
    };
    let told = how.confirm.then(|| deliver(&opened, Some(PATIENCE), now)).transpose();
    // It is done, whether everybody was told already or not.
    let told = told.unwrap_or_else(|fault| {
        ui.note(&format!(
            "it is done, and not everybody was told; 'bulla registry alerts' tries again: {fault}"
        ));
        None
    });
    // It is done, and stopped what it stops; only now is there time to look at what runs instead.
    let back = plan.roll_back.iter().filter(|one| how.confirm && one.to.is_some());
    let (mut settled, mut wrong) = (Vec::new(), None);
    for RolledBack { environment, name, reason, .. } in back {
        match how.today.settle(&opened, environment, name, reason, ui) {
            Ok(one) => settled.extend(one),
            Err(problem) => wrong = Some(problem),
        }
    }
    let report = serde_json::json!({
        "command": "revoke", "verdict": if how.confirm { "revoked" } else { "planned" },
        "plan": plan, "alerts": told, "decided": settled,
    });
    ui.result(&report, |out| {
        show(out, &plan, how.confirm, ui.is_verbose())?;
        settled.iter().try_for_each(|settled| settled.show(out))
    })?;
    if !plan.blast_radius.complete {
        ui.note("there is more than was looked at: run it again once this is done");
    }
    for why in told.iter().flat_map(|told| &told.failed) {
        ui.note(&format!(
            "an alert was not delivered, and is tried again by 'bulla registry alerts': {why}"
        ));
    }
    if let Some(waiting) = told.as_ref().map(|told| told.waiting).filter(|waiting| *waiting > 0) {
        ui.note(&format!("{waiting} alerts wait on: 'bulla registry alerts' delivers them"));
    }
    if plan.blast_radius.models.is_empty() {
        ui.note("nothing that the registry knows of rests on it: look whether it is the right one");
    }
    if !how.confirm {
        ui.note("nothing was changed: say --confirm to do it");
    }
    if let Some(problem) = wrong {
        return Err(problem);
    }
    if settled.iter().any(Settled::is_undecided) {
        ui.note("have what is undecided decided about where it lies: 'bulla admit'");
        return Ok(Verdict::CouldNotTell);
    }
    Ok(Verdict::Yes)
}

fn show(out: &mut dyn std::io::Write, plan: &Plan, done: bool, all: bool) -> std::io::Result<()> {
    let Revoked { subject, since, reason, .. } = &plan.revoked;
    let since = since.map_or("from the beginning".to_owned(), |since| format!("as of {since}"));
    let what = if done { "revoked" } else { "would revoke" };
    writeln!(out, "{what}: {subject}, {since}: {}", Printable(reason))?;
    let found = &plan.blast_radius;
    let falls = found.models.iter().filter(|model| model.falls).count();
    writeln!(
        out,
        "  models     {}: {falls} fall, {} stay",
        found.models.len(),
        found.models.len() - falls
    )?;
    let most = if all { usize::MAX } else { SHOWN };
    for model in found.models.iter().take(most) {
        let what = if model.falls { "falls" } else { "stays" };
        let name = model.name.as_deref().unwrap_or("-");
        let why = match (&model.descends_from, model.rests.first()) {
            (Some(parent), _) => format!("made from oms-manifest-v1:{}", parent.to_hex()),
            (None, Some(rest)) => match rest.trusted {
                Some(at) => format!("{}, {at} by a trusted time", rest.role),
                None => format!("{}, no trusted time", rest.role),
            },
            (None, None) => String::new(),
        };
        writeln!(
            out,
            "    {what}    {} oms-manifest-v1:{} ({why})",
            Printable(name),
            model.model.manifest.to_hex()
        )?;
    }
    more(out, found.models.len(), most)?;
    writeln!(out, "  running    {}", found.releases.len())?;
    for release in found.releases.iter().take(most) {
        let what = match (release.falls, &release.last_good) {
            (false, _) => "stays".to_owned(),
            (true, Some(good)) => format!(
                "back to release {} (oms-manifest-v1:{})",
                good.entry,
                good.model.manifest.to_hex()
            ),
            (true, None) => {
                "stops: there is no earlier release that nothing is known against".to_owned()
            }
        };
        writeln!(
            out,
            "    {} in {}: {what}",
            Printable(&release.name),
            Printable(&release.environment)
        )?;
    }
    more(out, found.releases.len(), most)?;
    writeln!(out, "  quarantine {}", plan.quarantine.len())?;
    writeln!(out, "  admissions {} withdrawn", plan.withdraw.len())?;
    writeln!(out, "  re-sign    {}", plan.resign.len())?;
    writeln!(out, "  alerts     {}", plan.alerts.len())
}

fn more(out: &mut dyn std::io::Write, count: usize, most: usize) -> std::io::Result<()> {
    match count.checked_sub(most) {
        Some(more) if more > 0 => writeln!(out, "    … and {more} more (-v shows all)"),
        _ => Ok(()),
    }
}
