//! `bulla inspect`

use std::io;
use std::path::PathBuf;

use bulla::claims::{ClaimsFile, claims_paths};
use bulla::inspect::{
    BundleDescription, CertificateDescription, ClaimsDescription, Description, Field,
    FieldStanding, describe,
};
use bulla::{Limits, Printable, Reason};
use clap::{Arg, Args, ValueHint};
use serde::Serialize;

use crate::arguments::WorkArguments;
use crate::commands::lineage::ChainFlags;
use crate::files;
use crate::problem::{Outcome, Problem, Verdict};
use crate::ui::Ui;

/// Show what a signature, statement, key or certificate says of itself
///
/// Nothing is verified: whoever wrote the file chose what it says. With --trust the lineage of a model is walked, and what that
/// proves of its provenance is marked 'proved'; all else is 'claimed'.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, mut_args(chain_needs_trust))]
pub(crate) struct Arguments {
    /// The file; for a signed model its signature and its claims
    #[arg(value_hint = ValueHint::AnyPath)]
    file: PathBuf,
    /// Check the model's lineage by this trust file (docs/lineage.md), and mark what is proved
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    trust: Option<PathBuf>,
    #[command(flatten)]
    chain: ChainFlags,
    #[command(flatten)]
    work: WorkArguments,
}

const EXAMPLES: &str = "\
Examples:
  bulla inspect my-model/model.sig
  bulla inspect my-model
  bulla inspect tuned --trust trust.yaml
  bulla inspect root.pem";

/// Without a trust file no chain is walked, and flags about it would do nothing.
fn chain_needs_trust(flag: Arg) -> Arg {
    match flag.get_id().as_str() {
        "folders" | "parents_by_signature" | "rederive" => flag.requires("trust"),
        _ => flag,
    }
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    command: &'static str,
    verdict: &'static str,
    #[serde(flatten)]
    description: Option<&'a Description>,
    #[serde(skip_serializing_if = "<[Claims]>::is_empty")]
    claims: &'a [Claims],
    /// Whether the lineage stands, with `--trust`.
    #[serde(skip_serializing_if = "Option::is_none")]
    stands: Option<bool>,
}

/// What was found of a model or file.
struct Found {
    /// Whether its lineage stands, if that was asked for.
    stands: Option<bool>,
    description: Option<Description>,
    shown: String,
    /// In both places in which they may be.
    claims: Vec<Claims>,
}

/// A file of statements.
#[derive(Debug, Serialize)]
struct Claims {
    file: String,
    #[serde(flatten)]
    said: ClaimsDescription,
}

/// A model's signature and claims.
fn of_model(arguments: &Arguments, limits: &Limits, ui: &Ui) -> Result<Found, Problem> {
    let model = &arguments.file;
    let signature = files::signature_of(model);
    let shown = signature.display().to_string();
    let bytes = files::read_found(&signature, limits.bundle_bytes)?;
    let lineage = match &arguments.trust {
        None => None,
        Some(trust) => {
            let walked = arguments.chain.walk(trust, model, limits, &arguments.work, ui)?;
            if !walked.lineage.stands {
                ui.refusals(&Printable(&model.to_string_lossy()).to_string(), &walked.lineage)?;
            }
            Some(walked.lineage)
        }
    };
    let mut claims = Vec::new();
    for place in claims_paths(model) {
        let file = ClaimsFile::read(&place, limits)?;
        if !file.bundles.is_empty() || !file.broken.is_empty() {
            let said = ClaimsDescription::of(&file, lineage.as_ref());
            claims.push(Claims { file: place.display().to_string(), said });
        }
    }
    let description = bytes.map(|bytes| describe(&bytes, limits)).transpose();
    let description = description.map_err(|failure| Problem::about(shown.clone(), failure))?;
    if description.is_none() && claims.is_empty() {
        return Err(Reason::NoSignature { path: shown }.into());
    }
    let stands = lineage.map(|lineage| lineage.stands);
    Ok(Found { stands, description, shown, claims })
}

/// A file that may be of any kind.
fn of_file(arguments: &Arguments, limits: &Limits) -> Result<Found, Problem> {
    let path = &arguments.file;
    let shown = path.display().to_string();
    let bytes = bulla::read_named(path, limits.bundle_bytes.max(limits.claims_bytes))?;
    if path.extension().is_some_and(|extension| extension == "jsonl") {
        let said = ClaimsDescription::of(&ClaimsFile::parse(&bytes, limits), None);
        let claims = vec![Claims { file: shown.clone(), said }];
        return Ok(Found { stands: None, description: None, shown, claims });
    }
    let description = describe(&bytes, limits);
    let description = description.map_err(|failure| Problem::about(shown.clone(), failure))?;
    Ok(Found { stands: None, description: Some(description), shown, claims: Vec::new() })
}

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let limits = arguments.work.limits();
    let path = &arguments.file;
    // A single file is a model if there is something about it beside it.
    let about_it = || {
        files::signature_of(path).is_file()
            || claims_paths(path).iter().any(|place| place.is_file())
    };
    let is_model = path.is_dir() || (path.is_file() && about_it());
    if arguments.trust.is_some() && !is_model {
        return Err(Problem::usage(
            "--trust is for a model, whose lineage can be walked",
            "give the model's directory or file",
        ));
    }
    let found = match is_model {
        true => of_model(arguments, &limits, ui)?,
        false => of_file(arguments, &limits)?,
    };
    let Found { stands, description, shown, claims } = &found;
    let report = Report {
        command: "inspect",
        verdict: "not-verified",
        description: description.as_ref(),
        claims,
        stands: *stands,
    };
    let verbose = ui.is_verbose();
    ui.result(&report, |out| {
        if let Some(description) = description {
            writeln!(out, "{} (not verified)", Printable(shown))?;
            show(out, description, verbose)?;
        }
        for Claims { file, said } in claims {
            let how = match arguments.trust {
                Some(_) => "(proved or claimed)",
                None => "(not verified)",
            };
            writeln!(out, "{} {how}", Printable(file))?;
            show_claims(out, said, verbose)?;
        }
        Ok(())
    })?;
    Ok(if *stands == Some(false) { Verdict::No } else { Verdict::Yes })
}

fn show_claims(out: &mut dyn io::Write, claims: &ClaimsDescription, all: bool) -> io::Result<()> {
    for claim in &claims.statements {
        let statement = &claim.statement;
        writeln!(out, "  line {}: {}", claim.line, Printable(&statement.statement))?;
        writeln!(out, "    statement  {}", statement.payload)?;
        writeln!(out, "    signer     says it is {}", Printable(&claim.signer))?;
        if let Some(why) = &statement.unusable {
            writeln!(out, "    unusable   {}", Printable(why))?;
        }
        for field in &statement.fields {
            show_field(out, field)?;
        }
        if statement.fields.is_empty() || all {
            for subject in &statement.subject {
                for (kind, hex) in &subject.digest {
                    writeln!(out, "    about      {}:{}", Printable(kind), Printable(hex))?;
                }
            }
            let predicate = statement.predicate.to_string();
            let shown: String = match all {
                true => predicate,
                false => predicate.chars().take(400).collect(),
            };
            writeln!(out, "    says       {}", Printable(&shown))?;
        }
    }
    for (line, why) in &claims.broken {
        writeln!(out, "  line {line}: cannot be read: {}", Printable(why))?;
    }
    if claims.cut {
        writeln!(out, "  there are more lines than are read")?;
    }
    Ok(())
}

fn show_field(out: &mut dyn io::Write, field: &Field) -> io::Result<()> {
    let standing = match field.standing {
        FieldStanding::Proved => "proved",
        FieldStanding::Claimed => "claimed",
        FieldStanding::Absent => return writeln!(out, "    {:<21} (none)", field.name),
    };
    for (index, value) in field.values.iter().enumerate() {
        let (name, standing) = if index == 0 { (field.name, standing) } else { ("", "") };
        writeln!(out, "    {name:<21} {standing:<8} {}", Printable(value))?;
    }
    Ok(())
}

fn show(out: &mut dyn io::Write, description: &Description, all: bool) -> io::Result<()> {
    match description {
        Description::Bundle(bundle) => show_bundle(out, bundle, all),
        Description::PublicKey(key) => {
            writeln!(out, "  public key  {}", key.algorithm)?;
            writeln!(out, "  fingerprint {}", key.fingerprint)?;
            writeln!(out, "  OMS hint    {}", key.oms_hint)
        }
        Description::PrivateKey { encryption } => match *encryption {
            "none" => writeln!(out, "  private key, not encrypted: whoever can read it can sign"),
            how => writeln!(out, "  private key, encrypted ({how}); 'bulla key show' opens it"),
        },
        Description::Certificates { certificates } => {
            certificates.iter().try_for_each(|certificate| show_certificate(out, certificate))
        }
        _ => Ok(()),
    }
}

fn show_bundle(out: &mut dyn io::Write, bundle: &BundleDescription, all: bool) -> io::Result<()> {
    let text = |value: &Option<String>| Printable(value.as_deref().unwrap_or("(none)")).to_string();
    writeln!(out, "  signature    says it was made with {}", bundle.signed_with)?;
    if let Some(hint) = &bundle.key_hint {
        writeln!(out, "  key hint     {}", Printable(hint.trim_end()))?;
    }
    for certificate in &bundle.certificates {
        show_certificate(out, certificate)?;
    }
    for timestamp in &bundle.stamped_by {
        let at = if timestamp.at.is_empty() { "(none)" } else { &timestamp.at };
        writeln!(out, "  timestamp    {at}, by {}", Printable(&timestamp.authority))?;
    }
    for entry in &bundle.recorded_in {
        let index = entry.index.map_or_else(|| "(none)".into(), |i| i.to_string());
        writeln!(out, "  log entry    {index} in {}", Printable(&entry.log))?;
        writeln!(out, "    kind       {}", Printable(&entry.kind))?;
        if let Some(at) = &entry.integrated_at {
            writeln!(out, "    added      {at}")?;
        }
        if let Some(origin) = &entry.origin {
            writeln!(out, "    checkpoint {}", Printable(origin))?;
        }
    }
    if let Some(digest) = &bundle.message_digest {
        return writeln!(out, "  file         {digest}");
    }
    writeln!(out, "  statement    {}", text(&bundle.predicate_type))?;
    writeln!(out, "  model        {}", text(&bundle.subject))?;
    writeln!(out, "  root         {}", text(&bundle.subject_sha256))?;
    if let Some(serialization) = &bundle.serialization {
        writeln!(out, "  recipe       {}", Printable(&serialization.to_string()))?;
    }
    writeln!(out, "  files        {}", bundle.resources.len())?;
    let shown = if all { bundle.resources.len() } else { 20 };
    for resource in bundle.resources.iter().take(shown) {
        writeln!(out, "    {}  {}", Printable(&resource.digest), Printable(&resource.name))?;
    }
    if bundle.resources.len() > shown {
        writeln!(out, "    and {} more (-v shows all)", bundle.resources.len() - shown)?;
    }
    Ok(())
}

fn show_certificate(out: &mut dyn io::Write, c: &CertificateDescription) -> io::Result<()> {
    let or = |text: &str| {
        if text.is_empty() { "(none)".into() } else { Printable(text).to_string() }
    };
    writeln!(out, "  certificate  {}", or(&c.subject))?;
    if !c.names.is_empty() {
        writeln!(out, "    names      {}", or(&c.names.join(", ")))?;
    }
    if let Some(provider) = &c.identity_provider {
        writeln!(out, "    vouched by {}", Printable(provider))?;
    }
    for (name, value) in &c.claims {
        writeln!(out, "    {name:<10} {}", Printable(value))?;
    }
    writeln!(out, "    issuer     {}", or(&c.issuer))?;
    writeln!(out, "    valid      {} to {}", c.valid_from, c.valid_until)?;
    writeln!(out, "    key        {}", Printable(&c.key))?;
    writeln!(out, "    digest     {}", c.fingerprint)
}
