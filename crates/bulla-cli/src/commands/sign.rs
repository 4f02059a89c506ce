//! `bulla sign`

use std::path::{Path, PathBuf};

use bulla::inspect::CertificateDescription;
use bulla::report::{Digests, EvidenceReport, SignedByReport};
use bulla::sign::{Known, SignedModel};
use bulla::{Access, Compatibility, Existing, LocalModel, ModelSource, Printable};
use clap::{Args, ValueEnum, ValueHint};
use serde::Serialize;

use crate::arguments::{RecipeArguments, WorkArguments};
use crate::files;
use crate::known::{CacheArguments, PartialsArguments};
use crate::problem::{Outcome, Problem, Verdict};
use crate::signing::SignerArguments;
use crate::ui::{Ui, amount, digest_lines};

/// Sign a model: a directory or a file
///
/// Every file is hashed, and the list of names and digests is signed in the OpenSSF Model Signing
/// format (OMS v1.0); model.sig, claims.jsonl and git's own files are left out. The signature is written to MODEL/model.sig, or beside a single file as
/// FILE.sig; 'bulla verify' and other OMS tools find it there.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The directory or file to sign
    #[arg(value_hint = ValueHint::AnyPath)]
    model: PathBuf,
    /// Where to write the signature ('-' is standard output)
    #[arg(long, short, value_name = "FILE", alias = "signature", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Write what another tool can read where it departs from the specification
    #[arg(long, value_name = "TOOL")]
    compat: Option<Compat>,
    #[command(flatten)]
    signer: SignerArguments,
    #[command(flatten)]
    partials: PartialsArguments,
    #[command(flatten, next_help_heading = "Recipe")]
    recipe: RecipeArguments,
    #[command(flatten)]
    work: WorkArguments,
    #[command(flatten)]
    cache: CacheArguments,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Compat {
    /// Python's model_signing: a single file's name is left out of its signature
    ModelSigning,
}

const EXAMPLES: &str = "\
Examples:
  bulla sign my-model --key signer.key
  bulla sign my-model --yes
  bulla sign my-model --key team.key --certificate team.pem --chain intermediate.pem
  bulla sign my-model --key signer.key --ignore cache --hash blake3
  bulla sign my-model --key signer.key --digest-cache digests.json
  bulla sign my-model --key signer.key --from-partials part-0.json part-1.json";

#[derive(Debug, Serialize)]
struct Report<'a> {
    command: &'static str,
    verdict: &'static str,
    #[serde(flatten)]
    digests: Digests,
    signed_by: SignedByReport,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evidence: Vec<EvidenceReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<&'a CertificateDescription>,
    signature: String,
}

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let limits = arguments.work.limits();
    let model = &arguments.model;
    let source = LocalModel::open(model)?;
    let to_stdout = arguments.output.as_deref() == Some(Path::new("-"));
    let output = arguments.output.clone().unwrap_or_else(|| files::signature_of(model));

    let cache = arguments.cache.open(model, (!to_stdout).then_some(&*output))?;
    let partials = arguments.partials.read(&limits)?;
    let mut recipe = match &partials {
        Some(partials) => partials.recipe().clone(),
        None => arguments.recipe.recipe(model)?,
    };
    if !to_stdout {
        may_replace(&output, model, &limits)?;
        if let Some(path) = files::inside(model, &output)
            && recipe.ignore.insert(path.clone())
            && partials.is_some()
        {
            return Err(Problem::usage(
                format!(
                    "the signature would be at {path} in the model, which the parts do not leave out"
                ),
                format!(
                    "measure the parts with --ignore {path}, or write the signature elsewhere with --output"
                ),
            ));
        }
    }
    let signer = arguments.signer.signer(&limits, ui)?;
    if to_stdout && ui.is_json() {
        return Err(Problem::usage(
            "--json and --output - both want standard output",
            "leave one of them out",
        ));
    }
    if !to_stdout {
        files::may_write(&output)?;
    }
    if source.layout() == bulla::model::Layout::Directory {
        let claims = model.join(bulla::model::CLAIMS_NAME);
        if claims.symlink_metadata().is_ok() {
            ui.note("claims.jsonl is left out: that name is for statements about the model, each signed by itself");
        }
    }
    let compatibility = match arguments.compat {
        Some(Compat::ModelSigning) => Compatibility::ModelSigning,
        None => Compatibility::Specification,
    };

    let bar = ui.bar("hashing");
    let work = arguments.work.work(&bar);
    let known = match (&cache, &partials) {
        (_, Some(partials)) => Known::Partials(partials),
        (Some(cache), None) => Known::Cache(&cache.digests),
        (None, None) => Known::Nothing,
    };
    let signed = bulla::sign::sign(
        &source,
        &recipe,
        compatibility,
        signer.as_signer(),
        known,
        &limits,
        work,
    )
    .map_err(|failure| Problem::about(model.display().to_string(), failure))?;
    drop(bar);
    let (signed_by, evidence) = signer.signed_by(&signed.key, &signed.bundle, &limits)?;

    if to_stdout {
        use std::io::Write as _;
        std::io::stdout().write_all(&signed.bundle)?;
    } else {
        bulla::store(&output, &signed.bundle, Access::Public, Existing::Replace)?;
    }
    cache.into_iter().for_each(|cache| cache.store(&signed.manifest, ui));
    if to_stdout {
        return Ok(Verdict::Yes);
    }
    for path in &recipe.ignore {
        let usual = bulla::Recipe::default().ignore.contains(path);
        if !usual
            && source.layout() == bulla::model::Layout::Directory
            && !model.join(path.as_str()).exists()
        {
            ui.note(&format!("nothing is at {path} in the model, which --ignore leaves out"));
        }
    }
    let certificate = signer.certificate();
    report(&signed, signed_by, evidence, certificate.as_ref(), &output, ui)?;
    Ok(Verdict::Yes)
}

/// Whether the signature may be written there. What is in the usual place may be another tool's `model.sig`.
pub(crate) fn may_replace(
    output: &Path,
    model: &Path,
    limits: &bulla::Limits,
) -> Result<(), Problem> {
    let ours = |there: &[u8]| bulla::UnverifiedBundle::parse(there, limits).is_ok();
    let hint = || {
        let usual = files::signature_of(model);
        if output == usual {
            return "look at it and remove it, or write the signature elsewhere with --output"
                .into();
        }
        let usual = usual.to_string_lossy();
        format!("remove it first, or leave --output out to write {}", Printable(&usual))
    };
    files::may_replace(output, limits.bundle_bytes, "a model signature", ours, hint)
}

fn report(
    signed: &SignedModel,
    signed_by: SignedByReport,
    evidence: Vec<EvidenceReport>,
    certificate: Option<&CertificateDescription>,
    output: &Path,
    ui: &Ui,
) -> Result<(), Problem> {
    let signature = output.display().to_string();
    let key = &signed.key;
    let report = Report {
        command: "sign",
        verdict: "signed",
        digests: Digests::of(&signed.manifest),
        signed_by,
        evidence,
        certificate,
        signature: signature.clone(),
    };
    ui.result(&report, |out| {
        writeln!(out, "signed: {} ({})", Printable(&report.digests.name), amount(&report.digests))?;
        match (&report.signed_by, certificate) {
            (SignedByReport::Identity { .. }, _) => crate::ui::signed_by(out, &report.signed_by)?,
            (_, certificate) => {
                writeln!(out, "  key        {} {}", key.algorithm(), key.fingerprint())?;
                if let Some(certificate) = certificate {
                    let who = certificate.names.first().unwrap_or(&certificate.subject);
                    let until = &certificate.valid_until;
                    writeln!(out, "  certified  {} (until {until})", Printable(who))?;
                }
            }
        }
        crate::ui::evidence(out, &report.evidence)?;
        digest_lines(out, &report.digests)?;
        writeln!(out, "  signature  {}", Printable(&signature))
    })?;
    if ui.is_verbose() {
        super::digest::list(&signed.manifest)?;
    }
    Ok(())
}
