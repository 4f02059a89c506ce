//! `bulla registry init`

use std::path::{Path, PathBuf};

use bulla::{Access, Existing, KeyAlgorithm, KeyPair, Limits, Printable};
use bulla_log::note::VerifierKey;
use bulla_registry::{First, Place, Registry};
use clap::{Args, ValueHint};
use jiff::Timestamp;

use crate::arguments::PasswordArguments;
use crate::keys::{KeyReference, new_password};
use crate::problem::{Outcome, Problem, Verdict};
use crate::registry::{Config, To};
use crate::ui::Ui;

/// Make a registry: a SQLite file, or tables in a PostgreSQL database
///
/// Writes a small file that says where it is and by which key it is believed; that file is what other commands are given. The key signs
/// every change. It and the folder of the high-water mark lie beside the file, and belong into no backup of the database.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The file to write, as registry.toml
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// A SQLite file, from beside FILE; or postgres://…, or env://VARIABLE, which holds either [default: FILE with .db]
    #[arg(long, value_name = "PLACE")]
    place: Option<String>,
    /// What it is called: a name that its checkpoints begin with
    #[arg(long, value_name = "NAME", default_value = "bulla-registry")]
    name: String,
    /// The key that signs its checkpoints, Ed25519 or ECDSA [default: a new one, FILE with .key]
    #[arg(long, value_name = "KEY", value_hint = ValueHint::FilePath)]
    key: Option<PathBuf>,
    /// Do not encrypt the new key: a gate has nobody to type a password
    #[arg(long, conflicts_with = "password_file")]
    no_password: bool,
    /// Read the key's password from a file, then and always [else BULLA_PASSWORD, a prompt]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    password_file: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  bulla registry init registry.toml --no-password
  bulla registry init shared.toml --place shared.db --name company-models --no-password";

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let limits = Limits::default();
    let now = Timestamp::now();
    let file = &arguments.file;
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let beside = |ending: &str| {
        let name = file.with_extension(ending);
        PathBuf::from(name.file_name().unwrap_or_default())
    };
    if file.symlink_metadata().is_ok() {
        return Err(Problem::usage(
            format!("{} exists", Printable(&file.to_string_lossy())),
            "take another name, or remove it if that registry is no longer used",
        ));
    }
    // A relative path is from beside the file, as in the file itself.
    let within = |path: &Path| match path.is_absolute() {
        true => path.to_owned(),
        false => std::env::current_dir().unwrap_or_default().join(path),
    };
    let password_file = arguments.password_file.as_deref().map(within);
    let (key, public) = match &arguments.key {
        Some(path) => {
            let password = PasswordArguments { password_file: password_file.clone() };
            let pair = KeyReference::File(path.clone()).key_pair(&limits, &password)?;
            (within(path), pair.public().clone())
        }
        None => {
            let name = beside("key");
            let pair = KeyPair::generate(KeyAlgorithm::Ed25519)?;
            let pem = match arguments.no_password {
                true => pair.to_plain_pem()?,
                false => {
                    let password = new_password(
                        password_file.as_deref(),
                        &["BULLA_PASSWORD"],
                        "give it with --password-file or BULLA_PASSWORD, or say --no-password",
                    )?;
                    pair.to_encrypted_pem(bulla::KeyFileFormat::Pkcs8, &password)?
                }
            };
            bulla::store(&folder.join(&name), pem.as_bytes(), Access::Private, Existing::Keep)?;
            (name, pair.public().clone())
        }
    };
    let vkey = VerifierKey::of_log(&arguments.name, public).map_err(|why| {
        Problem::usage(why.to_string(), "give another --name, or an Ed25519 or ECDSA key")
    })?;
    let default = beside("db").to_string_lossy().into_owned();
    let config = Config {
        place: arguments.place.clone().unwrap_or(default),
        vkey: vkey.to_string(),
        key: Some(key),
        password_file,
        mark: beside("mark"),
        policy_keys: Vec::new(),
        policy_threshold: None,
        alerts: Vec::new(),
    };
    let settings = config.settings(&folder, To::Write)?.first(First::Refuse);
    let place = settings.place.clone();
    let registry = Registry::create(settings, now)?;
    registry.close();
    if let Place::File(path) = &place {
        private(path)?;
    }
    let text = toml::to_string(&config)
        .map_err(|_| bulla::Fault::Bug { what: "the registry's file cannot be written" })?;
    bulla::store(file, text.as_bytes(), Access::Public, Existing::Keep)?;
    let shown = file.display().to_string();
    let report = serde_json::json!({
        "command": "registry init", "verdict": "made", "file": shown, "place": place.to_string(),
        "vkey": config.vkey,
    });
    ui.result(&report, |out| {
        writeln!(out, "made: {}", Printable(&place.to_string()))?;
        writeln!(out, "  file       {}", Printable(&shown))?;
        writeln!(out, "  key        {}", config.vkey)
    })?;
    ui.note(
        "machines that only ask get the file without 'key'; none of them gets the mark of another",
    );
    Ok(Verdict::Yes)
}

/// Others have nothing to read there.
fn private(path: &Path) -> Result<(), bulla::Fault> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|e| bulla::Fault::io("protect", path, e))
}
