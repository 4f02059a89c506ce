//! `bulla key`

use std::path::{Path, PathBuf};

use bulla::inspect::KeyDescription;
use bulla::{
    Access, Existing, KeyAlgorithm, KeyFileFormat, KeyPair, Limits, Printable, PrivateKeyFile,
    PublicKey,
};
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use serde::Serialize;

use crate::arguments::PasswordArguments;
use crate::keys::{KeyReference, new_password};
use crate::problem::{Outcome, Problem, Verdict};
use crate::ui::Ui;

/// Make, show and convert keys
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Generate(Generate),
    Show(Show),
    Encrypt(Encrypt),
    Decrypt(Decrypt),
    Rotate(Box<super::rotate::Arguments>),
}

/// Make a key pair
///
/// Writes the private key, encrypted with a password, and the public key beside it with the ending
/// .pub. Files that exist are never overwritten.
#[derive(Debug, Args)]
#[command(after_help = GENERATE_EXAMPLES)]
struct Generate {
    /// Where to write the private key
    #[arg(long, short, value_name = "FILE", default_value = "bulla.key")]
    #[arg(value_hint = ValueHint::FilePath)]
    output: PathBuf,
    /// Kind of key
    #[arg(long, value_name = "ALGORITHM", default_value = "ecdsa-p256")]
    algorithm: Algorithm,
    /// How the file is encrypted
    #[arg(long, value_name = "FORMAT", default_value = "pkcs8")]
    format: Format,
    /// Read the new password from a file [else BULLA_PASSWORD, COSIGN_PASSWORD, a prompt]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    password_file: Option<PathBuf>,
    /// Do not encrypt the file: whoever can read it can sign
    #[arg(long, conflicts_with_all = ["password_file", "format"])]
    no_password: bool,
}

const GENERATE_EXAMPLES: &str = "\
Examples:
  bulla key generate
  bulla key generate --output release.key --algorithm ed25519 --password-file password.txt
  bulla key generate --output cosign.key --format cosign";

/// Show a key's kind and fingerprint
///
/// Takes a public key, a private key (its public half is shown) or a certificate.
#[derive(Debug, Args)]
#[command(after_help = SHOW_EXAMPLES)]
struct Show {
    /// The key: a file, or env://VARIABLE
    key: KeyReference,
    /// Print the public key as PEM and nothing else
    #[arg(long)]
    pem: bool,
    #[command(flatten)]
    password: PasswordArguments,
}

const SHOW_EXAMPLES: &str = "\
Examples:
  bulla key show signer.pub
  bulla key show signer.key --pem";

/// Encrypt a private key, or encrypt it anew
#[derive(Debug, Args)]
#[command(after_help = ENCRYPT_EXAMPLES)]
struct Encrypt {
    /// The private key: a file, or env://VARIABLE
    key: KeyReference,
    /// Where to write it
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: PathBuf,
    /// How the file is encrypted
    #[arg(long, value_name = "FORMAT", default_value = "pkcs8")]
    format: Format,
    /// Read the new password from a file [else BULLA_NEW_PASSWORD, a prompt]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    new_password_file: Option<PathBuf>,
    #[command(flatten)]
    password: PasswordArguments,
}

const ENCRYPT_EXAMPLES: &str = "\
Examples:
  bulla key encrypt signer.key --output locked.key --new-password-file new-password.txt
  bulla key encrypt locked.key --output for-cosign.key --format cosign";

/// Write a private key without encryption
///
/// Whoever can read the new file can sign. It is made readable by you alone.
#[derive(Debug, Args)]
#[command(after_help = DECRYPT_EXAMPLES)]
struct Decrypt {
    /// The private key: a file, or env://VARIABLE
    key: KeyReference,
    /// Where to write it
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: PathBuf,
    #[command(flatten)]
    password: PasswordArguments,
}

const DECRYPT_EXAMPLES: &str = "\
Examples:
  bulla key decrypt release.key --output plain.key --password-file password.txt";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Algorithm {
    #[value(name = "ecdsa-p256")]
    EcdsaP256,
    #[value(name = "ecdsa-p384")]
    EcdsaP384,
    #[value(name = "ecdsa-p521")]
    EcdsaP521,
    #[value(name = "ed25519")]
    Ed25519,
    #[value(name = "rsa-3072")]
    Rsa3072,
    #[value(name = "rsa-4096")]
    Rsa4096,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// Encrypted PKCS#8, which OpenSSL and Python read
    Pkcs8,
    /// What cosign reads
    Cosign,
}

impl From<Format> for KeyFileFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Pkcs8 => Self::Pkcs8,
            Format::Cosign => Self::Cosign,
        }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    command: &'static str,
    verdict: &'static str,
    #[serde(flatten)]
    key: KeyDescription,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    match &arguments.command {
        Command::Generate(arguments) => generate(arguments, ui),
        Command::Show(arguments) => show(arguments, ui),
        Command::Encrypt(arguments) => encrypt(arguments, ui),
        Command::Decrypt(arguments) => decrypt(arguments, ui),
        Command::Rotate(arguments) => super::rotate::run(arguments, ui),
    }
}

fn generate(arguments: &Generate, ui: &Ui) -> Outcome {
    let private = &arguments.output;
    let public = private.with_extension("pub");
    if &public == private {
        return Err(Problem::usage(
            "the private key cannot end in .pub",
            "give another --output, for example signer.key",
        ));
    }
    // Before a password is asked for.
    for path in [private, &public] {
        must_not_exist(path)?;
    }
    let algorithm = match arguments.algorithm {
        Algorithm::EcdsaP256 => KeyAlgorithm::EcdsaP256,
        Algorithm::EcdsaP384 => KeyAlgorithm::EcdsaP384,
        Algorithm::EcdsaP521 => KeyAlgorithm::EcdsaP521,
        Algorithm::Ed25519 => KeyAlgorithm::Ed25519,
        Algorithm::Rsa3072 => KeyAlgorithm::Rsa(3072),
        Algorithm::Rsa4096 => KeyAlgorithm::Rsa(4096),
    };
    let password = if arguments.no_password {
        None
    } else {
        let variables = ["BULLA_PASSWORD", "COSIGN_PASSWORD"];
        let how = "give it with --password-file or in BULLA_PASSWORD, or run in a terminal; --no-password writes the key without encryption";
        Some(new_password(arguments.password_file.as_deref(), &variables, how)?)
    };
    let key = KeyPair::generate(algorithm)?;
    let pem = match &password {
        None => key.to_plain_pem()?,
        Some(password) => key.to_encrypted_pem(arguments.format.into(), password)?,
    };
    store_key(private, pem.as_bytes(), Access::Private)?;
    store_key(&public, key.public().to_pem().as_bytes(), Access::Public)?;
    written(key.public(), private, Some(&public), "generated", ui)
}

fn show(arguments: &Show, ui: &Ui) -> Outcome {
    let limits = Limits::default();
    let (key, private) = arguments.key.any_key(&limits, &arguments.password)?;
    let report = Report {
        command: "key",
        verdict: "shown",
        key: KeyDescription::of(&key),
        private_key: None,
        public_key: None,
    };
    ui.result(&report, |out| {
        if arguments.pem {
            return write!(out, "{}", report.key.pem);
        }
        writeln!(out, "{}", Printable(&arguments.key.to_string()))?;
        match private {
            Some(PrivateKeyFile::Plain) => writeln!(out, "  private key, not encrypted")?,
            Some(PrivateKeyFile::Encrypted(KeyFileFormat::Pkcs8)) => {
                writeln!(out, "  private key, encrypted (pkcs8)")?;
            }
            Some(PrivateKeyFile::Encrypted(KeyFileFormat::Cosign)) => {
                writeln!(out, "  private key, encrypted (cosign)")?;
            }
            None => writeln!(out, "  public key")?,
        }
        writeln!(out, "  algorithm    {}", report.key.algorithm)?;
        writeln!(out, "  fingerprint  {}", report.key.fingerprint)?;
        writeln!(out, "  OMS hint     {}", report.key.oms_hint)
    })?;
    Ok(Verdict::Yes)
}

fn encrypt(arguments: &Encrypt, ui: &Ui) -> Outcome {
    must_not_exist(&arguments.output)?;
    let key = arguments.key.key_pair(&Limits::default(), &arguments.password)?;
    let how = "give it with --new-password-file or in BULLA_NEW_PASSWORD, or run in a terminal";
    let file = arguments.new_password_file.as_deref();
    let password = new_password(file, &["BULLA_NEW_PASSWORD"], how)?;
    let pem = key.to_encrypted_pem(arguments.format.into(), &password)?;
    store_key(&arguments.output, pem.as_bytes(), Access::Private)?;
    written(key.public(), &arguments.output, None, "encrypted", ui)
}

fn decrypt(arguments: &Decrypt, ui: &Ui) -> Outcome {
    must_not_exist(&arguments.output)?;
    let key = arguments.key.key_pair(&Limits::default(), &arguments.password)?;
    store_key(&arguments.output, key.to_plain_pem()?.as_bytes(), Access::Private)?;
    written(key.public(), &arguments.output, None, "decrypted", ui)
}

fn must_not_exist(path: &Path) -> Result<(), Problem> {
    if path == Path::new("-") {
        return Err(Problem::usage(
            "a private key is not written to standard output",
            "give a file with --output",
        ));
    }
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(Problem::usage(
        format!("{} exists", Printable(&path.to_string_lossy())),
        "a key that is overwritten is lost: move it away, or give another --output",
    ))
}

fn store_key(path: &Path, pem: &[u8], access: Access) -> Result<(), Problem> {
    Ok(bulla::store(path, pem, access, Existing::Keep)?)
}

fn written(
    key: &PublicKey,
    private: &Path,
    public: Option<&Path>,
    verdict: &'static str,
    ui: &Ui,
) -> Outcome {
    let shown = |path: &Path| path.display().to_string();
    let report = Report {
        command: "key",
        verdict,
        key: KeyDescription::of(key),
        private_key: Some(shown(private)),
        public_key: public.map(shown),
    };
    ui.result(&report, |out| {
        writeln!(out, "{verdict}: {} {}", report.key.algorithm, report.key.fingerprint)?;
        writeln!(out, "  private key  {}", Printable(&shown(private)))?;
        match public {
            Some(public) => writeln!(out, "  public key   {}", Printable(&shown(public))),
            None => Ok(()),
        }
    })?;
    Ok(Verdict::Yes)
}
