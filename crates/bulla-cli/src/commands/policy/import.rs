//! `bulla policy import`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bulla::{Access, Digest, Existing, Limits, Printable};
use bulla_policy::{Answers, GivenKey, GivenRoot, ImportError, Imported, Missing};
use clap::{Args, ValueHint};
use jiff::Timestamp;
use serde::Serialize;

use crate::files;
use crate::keys::KeyReference;
use crate::problem::{Outcome, Problem, Verdict};
use crate::ui::Ui;

/// Make a policy of a certificate policy in prose and YAML
///
/// Such a document says who signs models and what is asked of them ('certificate_policy:' with signing_authorities, verification_policy and
/// key_management), and leaves out by which keys. Everything that is missing is told at once, with the flag that gives it. What no
/// policy can enforce is told, too.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The certificate policy
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Where to write the policy [default: standard output]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    #[command(flatten)]
    given: GivenArguments,
}

/// What the document leaves out.
#[derive(Debug, Args)]
#[command(next_help_heading = "What it leaves out")]
struct GivenArguments {
    /// The policy's name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Its version
    #[arg(long, value_name = "N", default_value = "1")]
    policy_version: u64,
    /// When it ends: a day, or a time
    #[arg(long, value_name = "TIME", value_parser = time_as_written)]
    expires: Option<String>,
    /// A key of an authority, and who holds it, for example production=prod.pub:ci@company.com; may be repeated
    #[arg(long, value_name = "AUTHORITY=FILE:HOLDER", value_parser = key)]
    key: Vec<KeyOf>,
    /// From when on these keys count [default: today]
    #[arg(long, value_name = "TIME", value_parser = bulla::text::time)]
    keys_from: Option<Timestamp>,
    /// People with their keys, for example managers=ana:ana.pub,ben:ben.pub; may be repeated
    #[arg(long, value_name = "ROLE=PERSON:FILE,…", value_parser = role)]
    role: Vec<People>,
    /// Which role approves what an authority signed, for example production=managers; may be repeated
    #[arg(long, value_name = "AUTHORITY=ROLE", value_parser = pair)]
    approvals: Vec<(String, String)>,
    /// Where an identity provider is, for example company-oidc=https://oidc.company.com; may be repeated
    #[arg(long, value_name = "NAME=URL", value_parser = pair)]
    issuer: Vec<(String, String)>,
    /// The trusted root of the Sigstore instance by which identities are known
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "public_good")]
    trusted_root: Option<PathBuf>,
    /// Identities are known by the public Sigstore instance
    #[arg(long)]
    public_good: bool,
}

const EXAMPLES: &str = "\
Examples:
  bulla policy import certs.yaml --name c --expires 2099-01-01 --key team=signer.pub:ci@corp.com";

/// `AUTHORITY=FILE:HOLDER`
#[derive(Debug, Clone)]
struct KeyOf {
    authority: String,
    file: KeyReference,
    holder: Option<String>,
}

/// `ROLE=PERSON:FILE,…`
#[derive(Debug, Clone)]
struct People {
    role: String,
    keys: Vec<(String, KeyReference)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("expected NAME=VALUE".into()),
    }
}

fn key(text: &str) -> Result<KeyOf, String> {
    let (authority, rest) = pair(text).map_err(|_| "expected AUTHORITY=FILE:HOLDER")?;
    let (file, holder) = match rest.split_once(':') {
        Some((file, holder)) if !file.is_empty() && !holder.is_empty() => (file, Some(holder)),
        Some(_) => return Err("expected AUTHORITY=FILE:HOLDER".into()),
        None => (rest.as_str(), None),
    };
    Ok(KeyOf { authority, file: file.parse()?, holder: holder.map(str::to_owned) })
}

fn role(text: &str) -> Result<People, String> {
    let expected = "expected ROLE=PERSON:FILE,PERSON:FILE";
    let (role, rest) = pair(text).map_err(|_| expected)?;
    let person = |text: &str| match text.split_once(':') {
        Some((id, file)) if !id.is_empty() && !file.is_empty() => {
            Ok((id.to_owned(), file.parse::<KeyReference>()?))
        }
        _ => Err(expected.to_owned()),
    };
    Ok(People { role, keys: rest.split(',').map(person).collect::<Result<_, _>>()? })
}

/// Days stay days.
fn time_as_written(text: &str) -> Result<String, String> {
    bulla::text::time(text).map(|_| text.to_owned())
}

impl GivenArguments {
    fn answers(&self, beside: &Path, now: Timestamp, limits: &Limits) -> Result<Answers, Problem> {
        let given = |file: &KeyReference, holder: Option<String>| {
            let key = file.public_key(limits)?;
            Ok::<_, Problem>(GivenKey { from: file.to_string(), key, holder })
        };
        let mut answers = Answers::default();
        answers.name.clone_from(&self.name);
        answers.version = self.policy_version;
        answers.expires.clone_from(&self.expires);
        // The day is enough: what was signed this morning counts.
        let today = now.to_zoned(jiff::tz::TimeZone::UTC).start_of_day();
        answers.keys_from = self.keys_from.or(today.ok().map(|day| day.timestamp()));
        for KeyOf { authority, file, holder } in &self.key {
            let keys = answers.keys.entry(authority.clone()).or_default();
            keys.push(given(file, holder.clone())?);
        }
        for People { role, keys } in &self.role {
            let people = answers.roles.entry(role.clone()).or_default();
            for (id, file) in keys {
                people.entry(id.clone()).or_default().push(given(file, None)?);
            }
        }
        answers.approvals = once("--approvals", &self.approvals)?;
        answers.issuers = once("--issuer", &self.issuer)?;
        answers.root = match (&self.trusted_root, self.public_good) {
            (Some(path), _) => {
                let bytes = bulla::read_named(path, limits.trusted_root_bytes)?;
                let sha256 = Digest::sha256(&bytes).to_hex();
                Some(GivenRoot::Own(path_beside(path, beside)?, sha256))
            }
            (None, true) => Some(GivenRoot::PublicGood),
            (None, false) => None,
        };
        Ok(answers)
    }
}

/// Pairs with different names.
fn once(flag: &str, pairs: &[(String, String)]) -> Result<BTreeMap<String, String>, Problem> {
    let mut all = BTreeMap::new();
    for (name, value) in pairs {
        if all.insert(name.clone(), value.clone()).is_some_and(|before| before != *value) {
            let name = Printable(name);
            return Err(Problem::usage(format!("{flag} {name}= is given twice"), "give it once"));
        }
    }
    Ok(all)
}

/// A file as a policy in a folder names it: from there, or in full where it lies elsewhere.
fn path_beside(file: &Path, folder: &Path) -> Result<String, Problem> {
    let fault = |path: &Path| {
        let path = path.to_owned();
        move |error| Problem::from(bulla::Fault::io("read", &path, error))
    };
    let file = file.canonicalize().map_err(fault(file))?;
    let folder = folder.canonicalize().map_err(fault(folder))?;
    let path = file.strip_prefix(&folder).unwrap_or(&file);
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Problem::usage("the path of --trusted-root is not UTF-8", "give it another name")
    })
}

pub(super) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let limits = Limits::default();
    let now = Timestamp::now();
    let Arguments { file, output, given } = arguments;
    let bytes = bulla::read_named(file, limits.bundle_bytes)?;
    let place = output.clone().unwrap_or_else(|| PathBuf::from("policy.yaml"));
    let beside = match place.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if let Some(path) = output {
        files::may_write(path)?;
        let hint = || "look at it and remove it, or write to another file".to_owned();
        let kind = "a policy as 'bulla policy import' wrote it";
        files::may_replace(path, limits.bundle_bytes, kind, Imported::is_untouched, hint)?;
    }
    let answers = given.answers(beside, now, &limits)?;
    let imported = match bulla_policy::import(file, &bytes, &answers, &place, &limits) {
        Ok(imported) => imported,
        Err(ImportError::Missing(missing)) => {
            let reasons = missing.iter().map(|what| ("missing", asked(what))).collect();
            return Err(usage(file, reasons, "give these flags besides"));
        }
        Err(ImportError::Unasked(unasked)) => {
            let reasons = unasked.into_iter().map(|what| ("usage", format!("it was given {what}")));
            return Err(usage(file, reasons.collect(), "check the names"));
        }
        Err(ImportError::Fault(fault)) => return Err(fault.into()),
    };
    let concerns = imported.policy.concerns(now);
    let (errors, warnings): (Vec<_>, Vec<_>) = concerns.iter().partition(|one| one.is_error);
    if !errors.is_empty() {
        let reasons = errors.iter().map(|one| ("policy", one.message.clone())).collect();
        let mut hints: Vec<String> = errors.iter().map(|one| one.hint.clone()).collect();
        hints.dedup();
        let what = file.display().to_string();
        return Err(Problem::Reasons { what, verdict: Verdict::No, reasons, hints });
    }
    let not_enforced =
        imported.not_enforced.iter().map(|line| format!("not enforced by a policy: {line}"));
    let warned = warnings.iter().map(|one| format!("{}: {}", one.message, one.hint));
    let notes: Vec<String> = not_enforced.chain(warned).collect();
    let policy = &imported.policy;
    let report = Report {
        command: "policy",
        verdict: "imported",
        name: &policy.name,
        version: policy.version,
        digest: format!("sha256:{}", policy.digest.to_hex()),
        notes: &notes,
        output: output.as_ref().map(|path| path.display().to_string()),
        text: Some(imported.text.as_str()).filter(|_| output.is_none()),
    };
    match output {
        Some(path) => {
            bulla::store(path, imported.text.as_bytes(), Access::Public, Existing::Replace)?;
            ui.result(&report, |out| {
                let path = path.to_string_lossy();
                writeln!(out, "written: {}", Printable(&path))?;
                writeln!(
                    out,
                    "  next     'bulla policy explain', 'bulla policy test', 'bulla policy sign'"
                )
            })?;
        }
        None => ui.result(&report, |out| out.write_all(imported.text.as_bytes()))?,
    }
    notes.iter().for_each(|note| ui.note(&Printable(note).to_string()));
    Ok(Verdict::Yes)
}

#[derive(Serialize)]
struct Report<'a> {
    command: &'static str,
    verdict: &'static str,
    name: &'a str,
    version: u64,
    digest: String,
    notes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

fn usage(file: &Path, reasons: Vec<(&'static str, String)>, hint: &str) -> Problem {
    let what = file.display().to_string();
    Problem::Reasons { what, verdict: Verdict::Usage, reasons, hints: vec![hint.to_owned()] }
}

/// What is missing, and the flag that gives it.
fn asked(missing: &Missing) -> String {
    let one_of = |signers: &[String]| match signers {
        [] => String::new(),
        signers => format!(", where HOLDER is one of {}", signers.join(", ")),
    };
    let word = |one: &str| one.to_owned();
    match missing {
        Missing::Name => word("the policy's name: --name NAME"),
        Missing::Expires => word("when the policy ends: --expires 2027-06-01"),
        Missing::Key(id, signers) => {
            format!("the keys of {id}: --key {id}=FILE:HOLDER{}", one_of(signers))
        }
        Missing::Holder(id, file, signers) => {
            format!("who holds {file}: --key {id}={file}:HOLDER{}", one_of(signers))
        }
        Missing::Approvals(id, count) => {
            format!("who approves what {id} signed, {count} of them: --approvals {id}=ROLE")
        }
        Missing::People(role, count) => {
            format!("at least {count} people of {role}: --role {role}=PERSON:FILE,PERSON:FILE")
        }
        Missing::Issuer(name) => format!("where {name} is: --issuer {name}=https://…"),
        Missing::Root => word(
            "by which Sigstore instance identities are known: --trusted-root FILE, or --public-good",
        ),
        _ => word("something that this program does not know"),
    }
}
