//! The registry that this machine uses.
//!
//! A small file says where it is, by which key it is believed, and where the newest head that was seen is kept. Nothing of that is ever read
//! from the database: whoever writes there must not say what it is believed by (rule 13 of the security design).

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bulla::{Fault, KeySigner, Limits, Printable};
use bulla_log::HighWaterMark;
use bulla_log::note::{NoteKey, VerifierKey};
use bulla_log::storage::LocalDirectory;
use bulla_policy::{KeyRecord, ModelName, Policy, RevocationList, Role, Storage};
use bulla_registry::{First, KeyAdded, ModelRef, Place, Record, Registry, Settings, Subject};
use clap::{Args, ValueHint};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alerts::Destination;
use crate::arguments::PasswordArguments;
use crate::keys::KeyReference;
use crate::problem::Problem;

/// Names the file where no flag does.
const VARIABLE: &str = "BULLA_REGISTRY";
/// The most of it that is read.
const CONFIG_BYTES: u64 = 64 << 10;
/// The mark's name in its folder.
const MARK: &str = "registry.mark";

/// Which registry.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "The registry")]
pub(crate) struct RegistryArguments {
    /// The file that 'bulla registry init' has written (docs/registry.md) [else BULLA_REGISTRY]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) registry: Option<PathBuf>,
    /// Believe the head that is found, on a machine that has seen none yet
    #[arg(long)]
    pub(crate) first_use: bool,
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// A SQLite file, from beside this one; or `postgres://…`; or `env://VARIABLE`, which holds either.
    pub(crate) place: String,
    /// By what its checkpoints are believed.
    pub(crate) vkey: String,
    /// The key that signs them: on machines that write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
    /// Where that key's password is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password_file: Option<PathBuf>,
    /// The folder in which the newest head that was seen is kept.
    pub(crate) mark: PathBuf,
    /// Public keys of those who have to have signed every policy that is used with this registry, whatever the flags say; from beside this file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) policy_keys: Vec<PathBuf>,
    /// How many of them; all, where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) policy_threshold: Option<usize>,
    /// Who is told what happens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) alerts: Vec<Destination>,
}

/// A registry that is open, and what is known of it here.
pub(crate) struct Opened {
    pub(crate) registry: Registry,
    pub(crate) config: Config,
    /// The folder of the file: what it names lies there.
    pub(crate) folder: PathBuf,
    /// How many revocations there were when they were asked for last.
    revoked: Cell<u64>,
}

/// What is to be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    Read,
    Write,
}

impl RegistryArguments {
    /// The file that is meant, if any is.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        self.registry.clone().or_else(|| {
            std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from)
        })
    }

    /// Opens the registry that is meant.
    pub(crate) fn open(&self, to: To, now: Timestamp) -> Result<Opened, Problem> {
        self.open_if_named(to, now)?.ok_or_else(|| {
            Problem::usage(
                "no registry is named",
                "name its file with --registry or BULLA_REGISTRY; a new one is made with 'bulla registry init'",
            )
        })
    }

    /// The same where there may be none.
    pub(crate) fn open_if_named(&self, to: To, now: Timestamp) -> Result<Option<Opened>, Problem> {
        let Some(file) = self.file() else { return Ok(None) };
        let (config, folder) = Config::read(&file)?;
        let first = if self.first_use { First::Believe } else { First::Refuse };
        let settings = config.settings(&folder, to)?.first(first);
        let registry = Registry::open(settings, now)?;
        Ok(Some(Opened { registry, config, folder, revoked: Cell::new(0) }))
    }
}

impl Config {
    /// Reads the file, with the folder that it lies in.
    pub(crate) fn read(file: &Path) -> Result<(Self, PathBuf), Problem> {
        let bytes = bulla::read_named(file, CONFIG_BYTES)?;
        let wrong = |detail: String| {
            Problem::about(
                file.display().to_string(),
                Fault::Registry {
                    place: file.display().to_string(),
                    detail,
                    hint: "docs/registry.md describes the file; 'bulla registry init' writes one",
                },
            )
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong("it is not text".into()))?;
        let config: Self = toml::from_str(text).map_err(|e| wrong(e.to_string()))?;
        let folder = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        Ok((config, folder))
    }

    /// What a registry is opened with.
    pub(crate) fn settings(&self, folder: &Path, to: To) -> Result<Settings, Problem> {
        let place = match self.place.strip_prefix("env://") {
            None => self.place.clone(),
            Some(name) => std::env::var(name).map_err(|_| {
                Problem::usage(
                    format!("the environment variable {} is not set", Printable(name)),
                    "it says where the registry is: export it",
                )
            })?,
        };
        let place = match Place::parse(&place) {
            Place::File(path) => Place::File(folder.join(path)),
            other => other,
        };
        let vkey = VerifierKey::parse(&self.vkey).map_err(|why| {
            Problem::usage(
                format!("the registry's vkey cannot be used: {why}"),
                "take it from where 'bulla registry init' was run",
            )
        })?;
        let marks = folder.join(&self.mark);
        let marks = LocalDirectory::create(&marks)
            .map_err(|e| Fault::io("open", &marks, std::io::Error::other(e.to_string())))?;
        let mark = HighWaterMark::new(Arc::new(marks), MARK);
        let settings = Settings::new(place, vkey.clone(), mark);
        match (to, &self.key) {
            (To::Read, _) => Ok(settings),
            (To::Write, None) => Err(Problem::usage(
                "this machine has no key to write to the registry with",
                "add 'key' to the registry's file, on a machine that may write",
            )),
            (To::Write, Some(key)) => {
                let password = PasswordArguments {
                    password_file: self.password_file.as_ref().map(|file| folder.join(file)),
                };
                let key = KeyReference::File(folder.join(key));
                let pair = key.key_pair(&Limits::default(), &password)?;
                let signer = NoteKey::new(Box::new(KeySigner::new(pair)), vkey);
                Ok(settings.with_signer(Arc::new(signer)))
            }
        }
    }
}

impl Opened {
    /// Those who have to have signed a policy, if the file names any.
    pub(crate) fn pins(&self, limits: &Limits) -> Result<Option<Role>, Problem> {
        if self.config.policy_keys.is_empty() {
            return Ok(None);
        }
        let file = |key: &PathBuf| KeyReference::File(self.folder.join(key)).public_key(limits);
        let keys = self.config.policy_keys.iter().map(file).collect::<Result<Vec<_>, _>>()?;
        let threshold = self.config.policy_threshold.unwrap_or(keys.len());
        Ok(Some(Role::of_keys(keys, threshold)?))
    }

    /// How many revocations there were when they were asked for last.
    pub(crate) fn revoked(&self) -> u64 {
        self.revoked.get()
    }

    /// Everything that was withdrawn, as policies have it.
    pub(crate) fn revocations(&self, now: Timestamp) -> Result<RevocationList, Problem> {
        let mut list = RevocationList::default();
        let all = self.registry.revocations(now)?;
        self.revoked.set(all.len() as u64);
        for one in all {
            let (since, reason) = (one.revoked.since, one.revoked.reason.clone());
            let revoked = bulla::Revoked { since, reason: reason.clone() };
            match &one.revoked.subject {
                Subject::Key { fingerprint } => list.signers.key(*fingerprint, revoked),
                Subject::Certificate { fingerprint } => {
                    list.signers.authority(*fingerprint, revoked);
                }
                Subject::Identity { identity, provider, until } => {
                    list.signers.identity(bulla::RevokedIdentity {
                        identity: identity.clone(),
                        provider: provider.clone(),
                        from: since,
                        until: *until,
                        reason,
                    });
                }
                Subject::Model { model } => {
                    let name = match model {
                        ModelRef::Oms(digest) => ModelName::Oms(*digest),
                        ModelRef::Manifest(digest) => ModelName::Manifest(*digest),
                        ModelRef::File(digest) => ModelName::File(*digest),
                    };
                    list.model(name, one.revoked.descendants, one.at, reason);
                }
            }
        }
        Ok(list)
    }
}

/// The keys of a policy, as the registry has them.
pub(crate) fn keys_of(policy: &Policy) -> Vec<Record> {
    policy.keys.iter().map(|record| Record::Key(key_of(record))).collect()
}

/// The same of one.
pub(crate) fn key_of(record: &KeyRecord) -> KeyAdded {
    KeyAdded {
        fingerprint: record.fingerprint,
        authority: record.authority.clone(),
        id: record.id.clone().unwrap_or_else(|| record.fingerprint.to_string()),
        algorithm: record.algorithm.clone(),
        storage: record.storage.map_or("unknown", Storage::word).to_owned(),
        valid_from: record.valid.0,
        valid_until: record.valid.1,
    }
}

/// Who says something: the flag, else the user's name.
pub(crate) fn who(by: Option<&str>) -> String {
    by.map(str::to_owned)
        .or_else(|| std::env::var("USER").ok())
        .or_else(|| std::env::var("LOGNAME").ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}
