//! `bulla verify`

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use bulla::report::Outcome as Report;
use bulla::{
    Failure, Limits, LocalModel, Options, Reason, Trust, UnverifiedBundle, VerifiedModel,
    other_layouts,
};
use clap::{Args, ValueHint};

use super::admit::Shown;
use super::lineage::ChainFlags;
use crate::arguments::{WorkArguments, ignored, part, paths};
use crate::deciding::{Asked, decide};
use crate::files;
use crate::policies::{PinArguments, PolicyArguments};
use crate::problem::{Outcome, Problem, Verdict};
use crate::registry::{RegistryArguments, To};
use crate::trust::TrustArguments;
use crate::ui::Ui;

/// Verify that models are what their signer signed
///
/// Says yes only if the signature is by somebody you named and every file is as it was signed: none
/// changed, missing, renamed or added. Otherwise it lists every difference.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The directories or files to verify
    #[arg(required = true, value_hint = ValueHint::AnyPath)]
    models: Vec<PathBuf>,
    #[command(flatten)]
    trust: TrustArguments,
    /// Decide by a policy instead: the same as 'bulla admit' (docs/policy.md)
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "By a policy")]
    #[arg(requires = "environment", conflicts_with_all = WITHOUT_POLICY)]
    policy: Option<PathBuf>,
    /// For which of its environments
    #[arg(long, short, value_name = "NAME", requires = "policy", help_heading = "By a policy")]
    environment: Option<String>,
    #[command(flatten)]
    pin: PinArguments,
    #[command(flatten)]
    registry: RegistryArguments,
    /// The signature [default: MODEL/model.sig, or FILE.sig]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    signature: Option<PathBuf>,
    /// Pass over unsigned files at this path and below, from the model's root (a weaker check)
    #[arg(long, value_name = "PATH", alias = "ignore-paths")]
    ignore: Vec<OsString>,
    /// Pass over all unsigned files (a weaker check)
    #[arg(long)]
    ignore_unsigned_files: bool,
    /// Look only at this path and below, and at nothing else: what this rank will load (a weaker check); may be
    /// repeated
    #[arg(long, value_name = "PATH", help_heading = "In parts", conflicts_with = "policy")]
    only: Vec<OsString>,
    /// Check the contents of one part of several (a weaker check; all parts together are a full one)
    #[arg(long, value_name = "K/N", value_parser = part, help_heading = "In parts", conflicts_with = "policy")]
    partition: Option<bulla::model::Part>,
    #[command(flatten)]
    work: WorkArguments,
}

/// What a policy says itself, and weaker checks, which no policy is met by (rule 3 of the security design).
const WITHOUT_POLICY: [&str; 13] = [
    "key",
    "ca",
    "signer",
    "identity",
    "identity_provider",
    "require_claim",
    "timestamp_roots",
    "trusted_root",
    "trust_config",
    "staging",
    "signature",
    "ignore",
    "ignore_unsigned_files",
];

const EXAMPLES: &str = "\
Examples:
  bulla verify my-model --key signer.pub
  bulla verify my-model other-model --key signer.pub --key former.pub
  bulla verify certified-model --ca root.pem --signer team@example.com
  bulla verify keyless-model --identity a@example.com --identity-provider https://idp.example
  bulla verify my-model --key signer.pub --only weights.bin
  bulla verify my-model --key signer.pub --partition 0/4
  bulla verify fraud-eu --policy policy.yaml --environment production";

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let limits = arguments.work.limits();
    if let (Some(policy), Some(environment)) = (&arguments.policy, &arguments.environment) {
        let policy = PolicyArguments {
            policy: policy.clone(),
            environment: environment.clone(),
            pin: arguments.pin.clone(),
        };
        return by_policy(arguments, &policy, &limits, ui);
    }
    let trust = arguments.trust.trust(&limits, ui)?;
    if arguments.signature.is_some() && arguments.models.len() > 1 {
        return Err(Problem::usage(
            "--signature names one signature, but there are several models",
            "verify them one by one, or put each signature where it is found: MODEL/model.sig",
        ));
    }
    let mut outcomes = Vec::new();
    let mut verdict = Verdict::Yes;
    let mut printed = Ok(());
    for model in &arguments.models {
        let result = one(arguments, model, &trust, &limits, ui);
        let result = match result {
            Ok(result) => result,
            Err(Problem::Failure(failure)) => Err(failure),
            Err(other) => return Err(other),
        };
        verdict = verdict.and(match &result {
            Ok(_) => Verdict::Yes,
            Err(Failure::Refused(_)) => Verdict::No,
            Err(Failure::Fault(_)) => Verdict::CouldNotTell,
        });
        let outcome = Report::of(&model.display().to_string(), &result);
        printed = printed.and(ui.outcome(&outcome));
        // With --partition most digests were not computed, and are not shown as if they were.
        if let (Ok(verified), true, None) = (&result, ui.is_verbose(), arguments.partition) {
            printed = printed.and(super::digest::list(verified.manifest()));
        }
        outcomes.push(outcome);
    }
    // A "no" stays a "no" when it cannot be printed; a "yes" that nobody sees is none.
    match printed.and_then(|()| ui.outcomes(verdict, &outcomes)) {
        Ok(()) => Ok(verdict),
        Err(error) => Ok(verdict.and(ui.problem("verify", &error.into()))),
    }
}

/// Decides about each model, as `bulla admit` does.
fn by_policy(arguments: &Arguments, policy: &PolicyArguments, limits: &Limits, ui: &Ui) -> Outcome {
    if arguments.models.len() > 1 && ui.is_json() {
        return Err(Problem::usage(
            "--json prints one decision, and there are several models",
            "ask for them one by one",
        ));
    }
    let now = jiff::Timestamp::now();
    let opened = arguments.registry.open_if_named(To::Read, now)?;
    let gate = policy.gate(opened.as_ref(), now, limits)?;
    let mut verdict = Verdict::Yes;
    for model in &arguments.models {
        let asked = Asked {
            model,
            name: None,
            expected: &[],
            chain: &ChainFlags::default(),
            work: &arguments.work,
            signature: None,
        };
        let decided = decide(&gate, policy, opened.as_ref(), asked, now, limits, ui);
        verdict = verdict.and(match decided {
            Ok(decision) => {
                let shown = Shown { command: "verify", ..Shown::default() };
                super::admit::show(shown, &model.display().to_string(), &decision, ui)?
            }
            Err(problem) => ui.problem("verify", &problem),
        });
    }
    Ok(verdict)
}

type Checked = Result<VerifiedModel<LocalModel>, Failure>;

fn one(
    arguments: &Arguments,
    model: &Path,
    trust: &Trust,
    limits: &Limits,
    ui: &Ui,
) -> Result<Checked, Problem> {
    let ignore = ignored(&arguments.ignore, model)?;
    let source = LocalModel::open(model)?;
    let found = found(arguments, model, limits)?;
    for path in &ignore {
        if model.join(path.as_str()).symlink_metadata().is_err() {
            ui.note(&format!(
                "nothing is at {path} in {}; --ignore is given from the model's root",
                bulla::Printable(&model.to_string_lossy())
            ));
        }
    }
    let options = Options {
        signature_path: files::inside(model, &found.path),
        ignore,
        ignore_unsigned_files: arguments.ignore_unsigned_files,
        only: paths("--only", &arguments.only, model)?,
        part: arguments.partition,
    };
    let bar = ui.bar("verifying");
    let work = arguments.work.work(&bar);
    let now = jiff::Timestamp::now();
    let claim = match found.layout {
        SignatureLayout::Bundle(signature) => UnverifiedBundle::parse(&signature, limits)
            .map_err(Failure::from)
            .and_then(|bundle| Ok(bundle.authenticate(trust, now, limits)?.decode()?)),
        SignatureLayout::Manifest { manifest, signature, certificate } => {
            let certificate = certificate.as_deref();
            other_layouts::authenticate_manifest(
                &manifest,
                &signature,
                certificate,
                trust,
                now,
                limits,
            )
        }
        SignatureLayout::Hash(signature) => {
            other_layouts::authenticate_hash(&signature, trust, now, limits).map_err(Failure::from)
        }
    };
    Ok(claim.and_then(|claim| claim.check(source, &options, limits, work)))
}

/// A signature, and where it lies.
struct FoundSignature {
    path: PathBuf,
    layout: SignatureLayout,
}

enum SignatureLayout {
    Bundle(Vec<u8>),
    /// `.signatures/manifest.json`, with cosign's signature beside it.
    Manifest {
        manifest: Vec<u8>,
        signature: Vec<u8>,
        certificate: Option<Vec<u8>>,
    },
    /// JSON with a manifest and an RSA signature.
    Hash(Vec<u8>),
}

/// The signature that was named, else the one in the usual place, else that of a layout that people already have.
fn found(arguments: &Arguments, model: &Path, limits: &Limits) -> Result<FoundSignature, Problem> {
    let limit = limits.bundle_bytes;
    let (path, bytes) = match &arguments.signature {
        Some(path) => (path.clone(), Some(bulla::read_named(path, limit)?)),
        None => {
            let path = files::signature_of(model);
            let bytes = files::read_found(&path, limit)?;
            (path, bytes)
        }
    };
    if let Some(bytes) = bytes {
        let layout = match other_layouts::is_hash_signature(&bytes, limits) {
            true => SignatureLayout::Hash(bytes),
            false => SignatureLayout::Bundle(bytes),
        };
        return Ok(FoundSignature { path, layout });
    }
    let folder = model.join(other_layouts::FOLDER);
    let manifest = folder.join("manifest.json");
    if let Some(bytes) = files::read_found(&manifest, limit)? {
        let signature = folder.join("manifest.sig");
        let missing = || Reason::NoSignature { path: signature.display().to_string() };
        return Ok(FoundSignature {
            layout: SignatureLayout::Manifest {
                manifest: bytes,
                signature: files::read_found(&signature, limit)?.ok_or_else(missing)?,
                certificate: files::read_found(&folder.join("manifest.cert"), limits.pem_bytes)?,
            },
            path: manifest,
        });
    }
    Err(Reason::NoSignature { path: path.display().to_string() }.into())
}
