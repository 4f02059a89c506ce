//! `bulla inspect`

use std::io;
use std::path::PathBuf;

use bulla::inspect::{BundleDescription, CertificateDescription, Description, describe};
use bulla::{Limits, Printable, Reason};
use clap::{Args, ValueHint};
use serde::Serialize;

use crate::arguments::byte_size;
use crate::files;
use crate::problem::{Outcome, Problem, Verdict};
use crate::ui::Ui;

/// Show what a signature, key or certificate says of itself
///
/// Nothing is verified: whoever wrote the file chose what it says.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The file; for a signed directory its model.sig
    #[arg(value_hint = ValueHint::AnyPath)]
    file: PathBuf,
    /// Largest file that is read
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = byte_size)]
    max_bundle_size: u64,
}

const EXAMPLES: &str = "\
Examples:
  bulla inspect my-model/model.sig
  bulla inspect my-model
  bulla inspect root.pem";

#[derive(Debug, Serialize)]
struct Report<'a> {
    command: &'static str,
    verdict: &'static str,
    #[serde(flatten)]
    description: &'a Description,
}

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let mut limits = Limits::default();
    limits.bundle_bytes = arguments.max_bundle_size;
    let mut path = arguments.file.clone();
    let bytes = if path.is_dir() {
        path.push(bulla::model::SIGNATURE_NAME);
        let found = files::read_found(&path, limits.bundle_bytes)?;
        found.ok_or_else(|| Reason::NoSignature { path: path.display().to_string() })?
    } else {
        files::read(&path, limits.bundle_bytes)?
    };
    let shown = path.display().to_string();
    let description =
        describe(&bytes, &limits).map_err(|failure| Problem::about(shown.clone(), failure))?;
    let report = Report { command: "inspect", verdict: "not-verified", description: &description };
    let verbose = ui.is_verbose();
    ui.result(&report, |out| {
        writeln!(out, "{} (not verified)", Printable(&shown))?;
        show(out, &description, verbose)
    })?;
    Ok(Verdict::Yes)
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
