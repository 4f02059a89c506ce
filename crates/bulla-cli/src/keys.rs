//! Keys, certificates and passwords that the user names.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bulla::{Certificate, Fault, KeyPair, Limits, Password, PrivateKeyFile, PublicKey};
use zeroize::Zeroizing;

use crate::arguments::PasswordArguments;
use crate::files;
use crate::problem::Problem;

/// Longest password file.
const PASSWORD_BYTES: u64 = 64 << 10;

/// Where a key is: a file, or an environment variable (cosign's `env://NAME`).
#[derive(Debug, Clone)]
pub(crate) enum KeyReference {
    File(PathBuf),
    Environment(String),
}

impl std::str::FromStr for KeyReference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix("env://") {
            return Ok(Self::Environment(name.into()));
        }
        if let Some(path) = text.strip_prefix("file://") {
            return Ok(Self::File(path.into()));
        }
        // A file may have a colon in its name; a scheme has no slash before it.
        let scheme = text.split_once("://").map(|(scheme, _)| scheme).or_else(|| {
            text.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| *scheme == "pkcs11")
        });
        match scheme {
            Some(scheme) if !scheme.contains('/') && !Path::new(text).exists() => Err(format!(
                "'{scheme}' keys are not supported; expected a file, or env://VARIABLE"
            )),
            _ => Ok(Self::File(text.into())),
        }
    }
}

impl std::fmt::Display for KeyReference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "env://{name}"),
        }
    }
}

impl KeyReference {
    fn read(&self, limits: &Limits) -> Result<Zeroizing<String>, Problem> {
        let bytes = match self {
            Self::File(path) => files::read_secret(path, limits.pem_bytes)?,
            Self::Environment(name) => {
                let value = std::env::var_os(name).ok_or_else(|| {
                    self.problem(Fault::Key {
                        detail: "there is no such environment variable".into(),
                        hint: Some("check its name; it must be exported"),
                    })
                })?;
                Zeroizing::new(value.into_encoded_bytes())
            }
        };
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Zeroizing::new(text.to_owned())),
            Err(_) => Err(self.problem(Fault::Key {
                detail: "it is not text, expected a PEM key".into(),
                hint: Some("convert a DER key once: openssl pkey -inform DER -in OLD -out NEW.pem (and -pubin if it is a public key)"),
            })),
        }
    }

    fn problem(&self, fault: Fault) -> Problem {
        Problem::about(self.to_string(), fault)
    }

    pub(crate) fn public_key(&self, limits: &Limits) -> Result<PublicKey, Problem> {
        let text = self.read(limits)?;
        PublicKey::from_pem(&text, limits).map_err(|fault| self.problem(fault))
    }

    pub(crate) fn key_pair(
        &self,
        limits: &Limits,
        password: &PasswordArguments,
    ) -> Result<KeyPair, Problem> {
        let text = self.read(limits)?;
        let ask = || existing_password(password, &self.to_string());
        KeyPair::from_pem(&text, limits, ask).map_err(|fault| self.problem(fault))
    }

    /// The public half of whatever it is.
    pub(crate) fn any_key(
        &self,
        limits: &Limits,
        password: &PasswordArguments,
    ) -> Result<(PublicKey, Option<PrivateKeyFile>), Problem> {
        let text = self.read(limits)?;
        match KeyPair::file_kind(&text, limits) {
            Some(kind) => {
                let ask = || existing_password(password, &self.to_string());
                let pair = KeyPair::from_pem(&text, limits, ask).map_err(|f| self.problem(f))?;
                Ok((pair.public().clone(), Some(kind)))
            }
            None if text.contains("-----BEGIN CERTIFICATE-----") => {
                let chain = Certificate::from_pem(&text, limits).map_err(|f| self.problem(f))?;
                let leaf = chain.first().ok_or_else(|| self.problem(Fault::key("it is empty")))?;
                Ok((leaf.public_key().map_err(|f| self.problem(f))?, None))
            }
            None => Ok((PublicKey::from_pem(&text, limits).map_err(|f| self.problem(f))?, None)),
        }
    }
}

/// Reads PEM certificates from files, in order.
pub(crate) fn certificates(
    paths: &[PathBuf],
    limits: &Limits,
) -> Result<Vec<Certificate>, Problem> {
    let mut certificates = Vec::new();
    for path in paths {
        let bytes = bulla::read_named(path, limits.pem_bytes)?;
        let problem = |fault: Fault| Problem::about(path.display().to_string(), fault);
        let text = std::str::from_utf8(&bytes).map_err(|_| {
            problem(Fault::Key {
                detail: "it is not text, expected PEM certificates".into(),
                hint: Some("convert it once: openssl x509 -inform DER -in OLD -out NEW.pem"),
            })
        })?;
        certificates.extend(Certificate::from_pem(text, limits).map_err(problem)?);
    }
    Ok(certificates)
}

/// The password of a key that is there: from a file, the environment, or a prompt.
fn existing_password(arguments: &PasswordArguments, key: &str) -> Result<Password, Fault> {
    existing_secret(arguments, key).map(Password::new)
}

fn existing_secret(arguments: &PasswordArguments, key: &str) -> Result<Zeroizing<Vec<u8>>, Fault> {
    match given_secret(arguments.password_file.as_deref(), &["BULLA_PASSWORD", "COSIGN_PASSWORD"])?
    {
        Some(secret) => Ok(secret),
        None => prompt(&format!("Password of {}: ", bulla::Printable(key))),
    }
}

/// One password for several keys: asked for when the first of them needs it, and once.
pub(crate) fn shared_password<'a>(
    arguments: &'a PasswordArguments,
    of: &'a str,
) -> impl Fn() -> Result<Password, Fault> + 'a {
    let known = std::cell::OnceCell::<Zeroizing<Vec<u8>>>::new();
    move || {
        if known.get().is_none() {
            let _ = known.set(existing_secret(arguments, of)?);
        }
        Ok(Password::new(known.get().cloned().unwrap_or_default()))
    }
}

/// A password for a key that is being made; a prompt asks twice.
pub(crate) fn new_password(
    file: Option<&Path>,
    variables: &[&str],
    how: &'static str,
) -> Result<Password, Problem> {
    let empty = || {
        Problem::usage(
            "the new password is empty",
            "give one; 'bulla key generate --no-password' and 'bulla key decrypt' write a key without encryption",
        )
    };
    if let Some(secret) = given_secret(file, variables)? {
        return if secret.is_empty() { Err(empty()) } else { Ok(Password::new(secret)) };
    }
    let ask = |text: &str| {
        prompt(text).map_err(|_| Fault::Key {
            detail: "there is no password for the new file".into(),
            hint: Some(how),
        })
    };
    let first = ask("New password: ")?;
    let second = ask("The same again: ")?;
    if first != second {
        return Err(Problem::usage("the two passwords differ", "run the command again"));
    }
    if first.is_empty() {
        return Err(empty());
    }
    Ok(Password::new(first))
}

fn given_secret(
    file: Option<&Path>,
    variables: &[&str],
) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
    if let Some(path) = file {
        let mut bytes = files::read_secret(path, PASSWORD_BYTES)?;
        if bytes.len() as u64 > PASSWORD_BYTES {
            return Err(Fault::key("the password file is too large"));
        }
        // Editors end a file with a newline; it is not part of the password.
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        return Ok(Some(bytes));
    }
    let found = variables.iter().find_map(std::env::var_os);
    Ok(found.map(|value| Zeroizing::new(value.into_encoded_bytes())))
}

/// What a shell expects of a program that was interrupted.
const INTERRUPTED: i32 = 130;

/// Whether a command runs in the foreground, whose signals they are.
pub(crate) static COMMAND_RUNS: AtomicBool = AtomicBool::new(false);

/// Typing a password turns the terminal's echo off; an interrupt must not leave it so.
fn restore_echo_when_interrupted() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let Ok(terminal) = std::fs::File::open("/dev/tty") else { return };
        let Ok(before) = rustix::termios::tcgetattr(&terminal) else { return };
        // Without the handler an interrupt ends the program all the same.
        let _ = ctrlc::set_handler(move || {
            // The command has the interrupt from the terminal; how it ends decides.
            if COMMAND_RUNS.load(Ordering::SeqCst) {
                return;
            }
            let _ = rustix::termios::tcsetattr(
                &terminal,
                rustix::termios::OptionalActions::Now,
                &before,
            );
            std::process::exit(INTERRUPTED);
        });
    });
}

fn prompt(text: &str) -> Result<Zeroizing<Vec<u8>>, Fault> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Fault::PasswordNeeded);
    }
    restore_echo_when_interrupted();
    match rpassword::prompt_password(text) {
        Ok(typed) => Ok(Zeroizing::new(typed.into_bytes())),
        // Its own signal is on the way to the handler above; whoever is first, it ends the same.
        Err(e) if e.kind() == std::io::ErrorKind::Interrupted => std::process::exit(INTERRUPTED),
        Err(_) => Err(Fault::PasswordNeeded),
    }
}
