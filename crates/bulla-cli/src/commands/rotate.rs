//! `bulla key rotate`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bulla::{Access, Digest, Existing, Limits, Printable, PublicKey};
use bulla_policy::{NewKey, Policy, Rotated, Storage, span};
use bulla_registry::{KeyAdded, KeyRetired, ModelSearch, Page, Record, ResignQueued};
use clap::{Args, ValueHint};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::keys::KeyReference;
use crate::problem::{Outcome, Problem, Verdict};
use crate::registry::{Opened, RegistryArguments, To, key_of};
use crate::ui::Ui;

/// Put a new key in the place of an old one, in a policy
///
/// Both count for the overlap, and then only the new one; nothing stops working meanwhile. The policy's text is edited where it has to
/// change, and its version is raised: have it signed again. Then sign the models anew that the old key signed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The new public key: a PEM file, or env://VARIABLE
    new: KeyReference,
    /// The policy
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    policy: PathBuf,
    /// The authority whose key it is
    #[arg(long, value_name = "NAME")]
    authority: String,
    /// The key that goes: its name in the policy, or its fingerprint [default: the only one that counts now]
    #[arg(long, value_name = "KEY")]
    old: Option<String>,
    /// What the new key is called in the policy [default: as its file]
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
    /// For how long both count, as 30d [default: what the authority's rotation says]
    #[arg(long, value_name = "SPAN", value_parser = span)]
    overlap: Option<SignedDuration>,
    /// From when the new key counts [default: now]
    #[arg(long, value_name = "TIME", value_parser = bulla::text::time)]
    from: Option<Timestamp>,
    /// Where the new key is kept: file, vault, kms or hsm [default: as the old one]
    #[arg(long, value_name = "PLACE", value_parser = storage)]
    storage: Option<Storage>,
    /// Who holds the new key [default: as the old one]
    #[arg(long, value_name = "NAME")]
    signer: Option<String>,
    /// Where to write the policy [default: in its place]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    #[command(flatten)]
    registry: RegistryArguments,
}

/// Models that are queued in one go.
const AT_ONCE: u32 = 500;

const EXAMPLES: &str = "\
Examples:
  bulla key rotate former.pub --policy policy.yaml --authority team --overlap 30d --output next.yaml";

fn storage(word: &str) -> Result<Storage, String> {
    Storage::of(word).ok_or_else(|| "expected file, vault, kms or hsm".to_owned())
}

#[derive(Serialize)]
struct Report<'a> {
    command: &'static str,
    verdict: &'static str,
    policy: String,
    version: u64,
    authority: &'a str,
    old: String,
    new: String,
    both_until: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    /// Models that wait for a new signature, if a registry knows of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    queued: Option<usize>,
}

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let limits = Limits::default();
    let now = Timestamp::now();
    let from = arguments.from.unwrap_or(now);
    let policy = crate::policies::read(&arguments.policy, &limits)?;
    let key = arguments.new.public_key(&limits)?;
    let old = old(arguments, &policy, now)?;
    let written = match &arguments.new {
        // Beside the policy it is named by its path, and pinned by its fingerprint.
        KeyReference::File(path) => beside(path, &arguments.policy),
        KeyReference::Environment(_) => None,
    };
    let id = match (&arguments.id, &arguments.new) {
        (Some(id), _) => id.clone(),
        (None, KeyReference::File(path)) => {
            path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
        }
        (None, KeyReference::Environment(name)) => name.clone(),
    };
    let new = NewKey {
        id: &id,
        written: &written.unwrap_or_else(|| key.to_pem()),
        key: &key,
        storage: arguments.storage,
        signer: arguments.signer.as_deref(),
    };
    let opened = arguments.registry.open_if_named(To::Write, now)?;
    let rotated = policy.rotate(&arguments.authority, &old, &new, from, arguments.overlap)?;
    let output = arguments.output.as_ref().unwrap_or(&arguments.policy);
    check(output, &rotated, &limits)?;
    if arguments.output.is_some() {
        let ours = |there: &[u8]| Policy::parse(output, there, &limits).is_ok();
        let hint = || "look at it and remove it, or write to another file".to_owned();
        crate::files::may_replace(output, limits.bundle_bytes, "a policy", ours, hint)?;
    }
    if rotated.both_until <= now {
        return Err(Problem::usage(
            format!(
                "both keys would count until {}, which is over: nothing that the old one signed would",
                rotated.both_until
            ),
            "give a longer --overlap, or a later --from",
        ));
    }
    // First, for it can be done again: a policy that is rotated, and a registry that does not know, would leave models behind.
    let queued = match &opened {
        Some(opened) => {
            let new = Comes { key: &key, id: &id, from };
            Some(queue(opened, &policy, &new, &rotated, now)?)
        }
        None => None,
    };
    bulla::store(output, rotated.text.as_bytes(), Access::Public, Existing::Replace)?;
    let report = Report {
        command: "key rotate",
        verdict: "rotated",
        policy: output.display().to_string(),
        version: rotated.version,
        authority: &arguments.authority,
        old: rotated.old.to_string(),
        new: key.fingerprint().to_string(),
        both_until: rotated.both_until,
        until: rotated.until,
        queued,
    };
    let shown = Printable(&report.policy).to_string();
    ui.result(&report, |out| {
        writeln!(
            out,
            "rotated: {} in {shown}, now version {}",
            Printable(report.authority),
            report.version
        )?;
        writeln!(out, "  new key    {}, from {from}", report.new)?;
        writeln!(out, "  old key    {}, until {}", report.old, report.both_until)
    })?;
    ui.note(&format!("have it signed again where it is signed ('bulla policy sign {shown}')"));
    let end = report.both_until;
    ui.note(&match queued {
        Some(queued) => format!(
            "{} by the old key: 'bulla registry resign' signs them anew; be done until {end}",
            bulla::text::count(queued, "model")
        ),
        None => format!("until {end} sign the models anew that the old key signed"),
    });
    Ok(Verdict::Yes)
}

/// The key that comes.
struct Comes<'a> {
    key: &'a PublicKey,
    id: &'a str,
    from: Timestamp,
}

/// Writes the keys down, and queues every model that the old one signed: how many.
fn queue(
    opened: &Opened,
    policy: &Policy,
    new: &Comes<'_>,
    rotated: &Rotated,
    now: Timestamp,
) -> Result<usize, Problem> {
    let registry = &opened.registry;
    let fingerprint = new.key.fingerprint();
    let old = policy.keys.iter().find(|record| record.fingerprint == rotated.old);
    let mut records: Vec<Record> = old.map(|old| Record::Key(key_of(old))).into_iter().collect();
    records.push(Record::KeyRetired(KeyRetired {
        fingerprint: rotated.old,
        replaced_by: Some(fingerprint),
        overlap_until: Some(rotated.both_until),
    }));
    records.extend(old.map(|old| {
        Record::Key(KeyAdded {
            fingerprint,
            id: new.id.to_owned(),
            algorithm: new.key.algorithm().name(),
            valid_from: Some(new.from),
            valid_until: rotated.until,
            ..key_of(old)
        })
    }));
    registry.append(&records, now)?;
    let search = ModelSearch::Key(rotated.old);
    let (mut page, mut queued) = (Page::first(AT_ONCE), 0);
    loop {
        let found = registry.models(&search, None, page, now)?;
        let Some(last) = found.last() else { return Ok(queued) };
        page = Page::after(last.model.manifest, AT_ONCE);
        let waiting: Vec<Record> = found
            .iter()
            .filter(|one| !one.quarantined && !one.revoked)
            .map(|one| {
                let reason = format!("its key is replaced by {fingerprint}");
                Record::Resign(ResignQueued { model: one.model, key: Some(rotated.old), reason })
            })
            .collect();
        queued += registry.append(&waiting, now)?.into_iter().flatten().count();
    }
}

/// What was written is a policy: with a key of the wrong kind, for one, it would be none.
fn check(output: &Path, rotated: &Rotated, limits: &Limits) -> Result<(), Problem> {
    Policy::parse(output, rotated.text.as_bytes(), limits)
        .map(|_| ())
        .map_err(|fault| Problem::about("the policy with the new key".to_owned(), fault))
}

/// The key that goes.
fn old(arguments: &Arguments, policy: &Policy, now: Timestamp) -> Result<Digest, Problem> {
    let authority = &arguments.authority;
    let mut keys: Vec<_> =
        policy.keys.iter().filter(|record| record.authority == *authority).collect();
    if let Some(old) = &arguments.old {
        keys.retain(|record| {
            record.id.as_deref() == Some(old) || record.fingerprint.to_string() == *old
        });
    } else {
        keys.retain(|record| {
            let (from, until) = record.valid;
            from.is_none_or(|from| from <= now) && until.is_none_or(|until| now < until)
        });
    }
    match keys.as_slice() {
        [one] => Ok(one.fingerprint),
        [] => {
            let all: BTreeSet<&str> =
                policy.keys.iter().map(|record| record.authority.as_str()).collect();
            Err(Problem::usage(
                format!("{} has no such key that counts now", Printable(authority)),
                format!(
                    "see 'bulla policy explain'; authorities with keys are {}",
                    all.into_iter().collect::<Vec<_>>().join(", ")
                ),
            ))
        }
        several => {
            let names: Vec<String> = several
                .iter()
                .map(|record| record.id.clone().unwrap_or_else(|| record.fingerprint.to_string()))
                .collect();
            Err(Problem::usage(
                format!("{} has {} keys that count now", Printable(authority), several.len()),
                format!("say which of them goes with --old: {}", names.join(", ")),
            ))
        }
    }
}

/// How a file is named from beside another; `None` if it lies elsewhere.
fn beside(file: &Path, document: &Path) -> Option<String> {
    let folder = match document.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let folder = folder.canonicalize().ok()?;
    let file = file.canonicalize().ok()?;
    file.strip_prefix(folder).ok()?.to_str().map(str::to_owned)
}
