//! `bulla blob`

use std::io::Read;
use std::path::{Path, PathBuf};

use bulla::blob::{self, Blob, SignedFile, UnverifiedFileSignature};
use bulla::report::{self, EvidenceReport, SignedByReport};
use bulla::text::bytes;
use bulla::{
    Access, Authenticated, BlobSource, Certificate, Digest, Existing, Failure, HashAlgorithm,
    Limits, Printable, Reason,
};
use clap::{Args, Subcommand, ValueHint};
use serde::Serialize;

use crate::files;
use crate::problem::{Outcome, Problem, Verdict};
use crate::signing::SignerArguments;
use crate::trust::TrustArguments;
use crate::ui::Ui;

/// Sign and verify any one file, as cosign does
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Sign(Sign),
    Verify(Verify),
}

/// Sign a file
///
/// Its bytes are signed, whatever they are; a model is signed with 'bulla sign', which binds its name and all its
/// files. The signature is a Sigstore bundle, FILE.sigstore.json, which 'cosign verify-blob --bundle' takes, too.
#[derive(Debug, Args)]
#[command(after_help = SIGN_EXAMPLES)]
struct Sign {
    /// The file
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Where to write the bundle ('-' is standard output) [default: FILE.sigstore.json]
    #[arg(long, short, value_name = "FILE", alias = "bundle", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Write the bare signature in base64, too
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output_signature: Option<PathBuf>,
    /// Write the certificate of an identity as PEM, too
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "key")]
    output_certificate: Option<PathBuf>,
    #[command(flatten)]
    signer: SignerArguments,
}

const SIGN_EXAMPLES: &str = "\
Examples:
  bulla blob sign weights.bin --key signer.key
  bulla blob sign weights.bin --key signer.key --output-signature weights.bin.sig
  bulla blob sign weights.bin --yes";

/// Verify a file's signature
///
/// Reads what cosign has written: Sigstore bundles, the older --bundle JSON, and detached signatures in base64 with or
/// without a certificate beside them.
#[derive(Debug, Args)]
#[command(after_help = VERIFY_EXAMPLES)]
struct Verify {
    /// The file; or sha256: and the digest of one that is elsewhere
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// The signature [default: FILE.sigstore.json, else FILE.sig]
    #[arg(long, value_name = "FILE", alias = "bundle", value_hint = ValueHint::FilePath)]
    signature: Option<PathBuf>,
    /// The certificate beside a detached signature
    #[arg(long, value_name = "PEM", value_hint = ValueHint::FilePath, requires = "signature")]
    certificate: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArguments,
}

const VERIFY_EXAMPLES: &str = "\
Examples:
  bulla blob verify weights.bin --key signer.pub
  bulla blob verify weights.bin --signature weights.bin.sig --key signer.pub
  bulla blob verify weights.bin --identity a@example.com --identity-provider https://idp.example";

#[derive(Debug, Serialize)]
struct SignReport {
    command: &'static str,
    verdict: &'static str,
    file: String,
    digest: String,
    size: u64,
    signed_by: SignedByReport,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evidence: Vec<EvidenceReport>,
    signature: String,
}

#[derive(Debug, Serialize)]
struct VerifyReport {
    command: &'static str,
    verdict: &'static str,
    file: String,
    digest: String,
    signed_by: SignedByReport,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evidence: Vec<EvidenceReport>,
}

/// A file by its path.
pub(crate) struct NamedFile {
    path: PathBuf,
    name: String,
}

impl NamedFile {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), name: path.display().to_string() }
    }
}

impl BlobSource for NamedFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn open(&self) -> std::io::Result<Box<dyn Read>> {
        let file = std::fs::File::open(&self.path)?;
        if file.metadata()?.is_dir() {
            return Err(std::io::ErrorKind::IsADirectory.into());
        }
        Ok(Box::new(file))
    }
}

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    match &arguments.command {
        Command::Sign(arguments) => sign(arguments, ui),
        Command::Verify(arguments) => verify(arguments, ui),
    }
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn sign(arguments: &Sign, ui: &Ui) -> Outcome {
    let limits = Limits::default();
    if digest_given(&arguments.file)?.is_some() {
        return Err(Problem::usage(
            "a digest is not signed: nobody could see whether it is a file's or a model statement's",
            "give the file itself",
        ));
    }
    let to_stdout = arguments.output.as_deref() == Some(Path::new("-"));
    if to_stdout && ui.is_json() {
        return Err(Problem::usage(
            "--json and --output - both want standard output",
            "leave one of them out",
        ));
    }
    let output =
        arguments.output.clone().unwrap_or_else(|| beside(&arguments.file, ".sigstore.json"));
    let mut written = vec![&arguments.output_signature, &arguments.output_certificate]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>();
    if !to_stdout {
        written.push(&output);
    }
    for (index, path) in written.iter().enumerate() {
        let others = written.iter().skip(index + 1);
        if files::replaces(path, &arguments.file)
            || others.clone().any(|o| files::replaces(path, o))
        {
            return Err(Problem::usage(
                format!("{} would be overwritten", Printable(&path.to_string_lossy())),
                "write each output to a file of its own",
            ));
        }
        files::may_write(path)?;
    }
    // A mistyped name must not cost the user a file, a private key least of all.
    let hint = || "remove it first, or give another name".to_owned();
    if let Some(path) = &arguments.output_signature {
        let ours = |there: &[u8]| UnverifiedFileSignature::parse(there, None, &limits).is_ok();
        files::may_replace(path, limits.bundle_bytes, "a signature of a file", ours, hint)?;
    }
    if let Some(path) = &arguments.output_certificate {
        let ours = |there: &[u8]| {
            let text = std::str::from_utf8(there).unwrap_or_default();
            Certificate::from_pem(text, &limits)
                .is_ok_and(|c| c.iter().all(|c| c.identity_provider().is_some()))
        };
        files::may_replace(path, limits.pem_bytes, "a certificate of an identity", ours, hint)?;
    }
    if !to_stdout {
        let ours = |there: &[u8]| UnverifiedFileSignature::parse(there, None, &limits).is_ok();
        let hint = || "remove it first, or write the signature elsewhere with --output".into();
        files::may_replace(&output, limits.bundle_bytes, "a signature of a file", ours, hint)?;
    }
    let source = NamedFile::new(&arguments.file);
    let signer = arguments.signer.signer(&limits, ui)?;
    let signed = blob::sign(&source, signer.as_signer(), &limits)
        .map_err(|failure| Problem::about(source.name.clone(), failure))?;
    let (signed_by, evidence) = signer.signed_by_as(&signed.key, |trust| {
        let read = UnverifiedFileSignature::parse(&signed.bundle, None, &limits)?;
        let now = jiff::Timestamp::now();
        // The digest that was signed is the one to check: the file is not read again.
        let checked = read.verify(&Blob::Sha256(signed.digest), trust, now, &limits)?;
        Ok(said(&checked))
    })?;

    if let Some(path) = &arguments.output_signature {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(&signed.signature);
        bulla::store(path, text.as_bytes(), Access::Public, Existing::Replace)?;
    }
    if let (Some(path), Some(certificate)) =
        (&arguments.output_certificate, signer.identity_certificate())
    {
        let pem = certificate.to_pem();
        bulla::store(path, pem.as_bytes(), Access::Public, Existing::Replace)?;
    }
    if to_stdout {
        use std::io::Write as _;
        std::io::stdout().write_all(&signed.bundle)?;
        return Ok(Verdict::Yes);
    }
    bulla::store(&output, &signed.bundle, Access::Public, Existing::Replace)?;
    let SignedFile { digest, size, .. } = signed;
    let report = SignReport {
        command: "blob sign",
        verdict: "signed",
        file: source.name.clone(),
        digest: digest.to_string(),
        size,
        signed_by,
        evidence,
        signature: output.display().to_string(),
    };
    ui.result(&report, |out| {
        writeln!(out, "signed: {} ({})", Printable(&report.file), bytes(size))?;
        crate::ui::signed_by(out, &report.signed_by)?;
        crate::ui::evidence(out, &report.evidence)?;
        writeln!(out, "  digest     {}", report.digest)?;
        writeln!(out, "  signature  {}", Printable(&report.signature))
    })?;
    Ok(Verdict::Yes)
}

fn said(checked: &Authenticated<Digest>) -> (SignedByReport, Vec<EvidenceReport>) {
    let signed_by = report::signed_by(checked.signed_by(), checked.checked_at());
    (signed_by, report::evidence(checked.times(), checked.records()))
}

fn digest_given(file: &Path) -> Result<Option<Digest>, Problem> {
    let Some(hex) = file.to_str().and_then(|text| text.strip_prefix("sha256:")) else {
        return Ok(None);
    };
    let digest = Digest::from_hex(HashAlgorithm::Sha256, hex);
    digest.map(Some).ok_or_else(|| {
        Problem::usage(
            format!("{} is not a SHA-256 digest", Printable(&file.to_string_lossy())),
            "give sha256: and 64 hexadecimal digits in lower case; a file of such a name as ./sha256:…",
        )
    })
}

fn verify(arguments: &Verify, ui: &Ui) -> Outcome {
    let limits = Limits::default();
    let trust = arguments.trust.trust(&limits, ui)?;
    let digest = digest_given(&arguments.file)?;
    let bytes = match &arguments.signature {
        Some(path) => bulla::read_named(path, limits.bundle_bytes)?,
        None if digest.is_some() => {
            return Err(Problem::usage(
                "there is no file beside which its signature could be",
                "name the signature with --signature",
            ));
        }
        None => found_signature(&arguments.file, &limits)?,
    };
    let certificate = match &arguments.certificate {
        Some(path) => Some(bulla::read_named(path, limits.pem_bytes)?),
        None => None,
    };
    let source = NamedFile::new(&arguments.file);
    let blob = digest.map_or(Blob::File(&source), Blob::Sha256);
    let now = jiff::Timestamp::now();
    let checked = UnverifiedFileSignature::parse(&bytes, certificate.as_deref(), &limits)
        .map_err(Failure::from)
        .and_then(|signature| signature.verify(&blob, &trust, now, &limits));
    let checked = match checked {
        Ok(checked) => checked,
        Err(failure) => return Err(Problem::about(source.name.clone(), failure)),
    };
    let (signed_by, evidence) = said(&checked);
    let report = VerifyReport {
        command: "blob verify",
        verdict: "verified",
        file: source.name.clone(),
        digest: checked.value().to_string(),
        signed_by,
        evidence,
    };
    ui.result(&report, |out| {
        crate::ui::verified(out, &report.file)?;
        crate::ui::signed_by(out, &report.signed_by)?;
        crate::ui::evidence(out, &report.evidence)?;
        writeln!(out, "  digest     {}", report.digest)
    })?;
    Ok(Verdict::Yes)
}

fn found_signature(file: &Path, limits: &Limits) -> Result<Vec<u8>, Problem> {
    let bundle = beside(file, ".sigstore.json");
    for path in [&bundle, &beside(file, ".sig")] {
        if let Some(bytes) = files::read_found(path, limits.bundle_bytes)? {
            return Ok(bytes);
        }
    }
    Err(Reason::NoSignature { path: bundle.display().to_string() }.into())
}
