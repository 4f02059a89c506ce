//! The keys, certificates and logs of an authority. They are replaced together, by a new generation.
//!
//! ```text
//! DIR/generations/1/generation.json    what clients have to know: certificates, public keys, since when
//!                   *.key              the private halves
//!     logs/1/{ct,rekor-v1,rekor-v2}/   the logs that these keys sign
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bulla::{Access, Existing, Fault, Password, PublicKey};
use der::Encode as _;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::keys::{self, Protection, Role, ServiceKey, sha256};
use crate::logs::{self, Ledger, Note, Place};
use crate::x509::{self, Issuer, Subject, Usage};

/// Folder of all generations.
pub(crate) const GENERATIONS: &str = "generations";
/// Folder of all logs.
pub(crate) const LOGS: &str = "logs";
const RECORD_FILE: &str = "generation.json";
const RECORD_BYTES: u64 = 1 << 20;
const MARK_BYTES: u64 = 4096;
const LOG_NAMES: [&str; 3] = ["ct", "rekor-v1", "rekor-v2"];

/// What clients have to know of a generation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) number: u32,
    /// Whether it was made for a development authority; it stays one for ever.
    pub(crate) development: bool,
    /// From when on it signs.
    pub(crate) starts: Timestamp,
    /// Until when the one before it is valid for what is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) previous_ends: Option<Timestamp>,
    /// Host in the names of the logs, as it was when they were made.
    pub(crate) host: String,
    pub(crate) root: Bytes,
    pub(crate) issuing: Bytes,
    pub(crate) timestamp_root: Bytes,
    pub(crate) timestamp: Bytes,
    pub(crate) ct_log: Bytes,
    pub(crate) rekor_v1: Bytes,
    pub(crate) rekor_v2: Bytes,
}

/// DER; base64 in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&crate::base64(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        crate::unbase64(&text).map(Self).ok_or_else(|| serde::de::Error::custom("not base64"))
    }
}

impl Record {
    /// What a log's URL begins with: the first generation's is the authority's own.
    pub(crate) fn base_url(&self, config: &Config) -> String {
        match self.number {
            1 => config.url.clone(),
            n => format!("{}/g{n}", config.url),
        }
    }

    /// How clients of the older log name it.
    pub(crate) fn rekor_v1_id(&self) -> [u8; 32] {
        sha256(&self.rekor_v1.0)
    }

    /// How clients of the newer log name it.
    pub(crate) fn rekor_v2_id(&self) -> [u8; 32] {
        logs::ed25519_log_id(&self.host, &self.rekor_v2.0)
    }

    /// How certificate timestamps name the log of certificates.
    pub(crate) fn ct_log_id(&self) -> [u8; 32] {
        sha256(&self.ct_log.0)
    }

    fn spki(&self, role: Role) -> Option<&[u8]> {
        Some(match role {
            Role::CtLog => &self.ct_log.0,
            Role::RekorV1 => &self.rekor_v1.0,
            Role::RekorV2 => &self.rekor_v2.0,
            _ => return None,
        })
    }
}

/// The keys that sign while the authority runs; the two roots are not among them.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) issuing: Arc<ServiceKey>,
    pub(crate) ct_log: Arc<ServiceKey>,
    pub(crate) rekor_v1: Arc<ServiceKey>,
    pub(crate) rekor_v2: Arc<ServiceKey>,
    pub(crate) timestamp: Arc<ServiceKey>,
}

/// The logs of a generation.
#[derive(Clone)]
pub(crate) struct Logs {
    pub(crate) ct: Arc<dyn Ledger>,
    pub(crate) rekor_v1: Arc<dyn Ledger>,
    pub(crate) rekor_v2: Arc<dyn Ledger>,
}

impl std::fmt::Debug for Logs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Logs")
    }
}

/// Where a generation's logs are, and what signs them.
struct LogPlan {
    name: &'static str,
    note: Note,
}

fn log_plans(record: &Record, keys: &Keys) -> [LogPlan; 3] {
    let Record { host, number, .. } = record;
    [
        LogPlan {
            name: "ct",
            note: Note::ecdsa(format!("{host}/ct/{number}"), keys.ct_log.clone()),
        },
        LogPlan {
            name: "rekor-v1",
            note: Note::ecdsa(format!("{host}/rekor-v1/{number}"), keys.rekor_v1.clone()),
        },
        // cosign insists on the bare host.
        LogPlan { name: "rekor-v2", note: Note::ed25519(host.clone(), keys.rekor_v2.clone()) },
    ]
}

/// When a generation signs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Period {
    pub(crate) number: u32,
    pub(crate) starts: Timestamp,
    pub(crate) previous_ends: Option<Timestamp>,
}

/// Makes a generation below `folder`, with its logs below `authority`.
pub(crate) fn create(
    folder: &Path,
    authority: &Path,
    config: &Config,
    period: Period,
    protection: &Protection<'_>,
) -> Result<Record, Fault> {
    let host = config.host().map_err(|_| Fault::Bug { what: "a URL without a host" })?;
    let make = |role| keys::generate(folder, role, protection).map(Arc::new);
    let [root, issuing, ct_log, rekor_v1, rekor_v2, timestamp_root, timestamp] = {
        let mut made = Vec::with_capacity(Role::ALL.len());
        for role in Role::ALL {
            made.push(make(role)?);
        }
        <[_; 7]>::try_from(made).map_err(|_| Fault::Bug { what: "a key is missing" })?
    };
    if config.development && period.number == 1 {
        keys::generate(folder, Role::DevIssuer, protection)?;
    }

    let years = i64::from(config.certificates.authority_years);
    // A minute earlier, for verifiers whose clocks are behind ours.
    let from = period.starts - SignedDuration::from_mins(1);
    let until = period
        .starts
        .checked_add(SignedDuration::from_hours(years.saturating_mul(24 * 365)))
        .map_err(|_| Fault::Bug { what: "the end of time" })?;
    let organization = if config.development {
        format!("{} (DEVELOPMENT, trust nothing of it)", config.name)
    } else {
        config.name.clone()
    };
    let name = |what: &str| x509::name(&organization, what);
    let certify = |what: &str, key: &ServiceKey, usage, by: &Issuer<'_>| -> Result<Bytes, Fault> {
        let subject =
            Subject { name: name(what)?, key: key.public(), from, until, usage, more: Vec::new() };
        let certificate = x509::issue(subject, by)?;
        Ok(Bytes(certificate.to_der().map_err(x509::malformed)?))
    };
    let n = period.number;
    let (root_name, timestamp_root_name) =
        (format!("Root authority {n}"), format!("Timestamp root {n}"));
    let by_root = Issuer { name: name(&root_name)?, key: &root };
    let by_timestamp_root = Issuer { name: name(&timestamp_root_name)?, key: &timestamp_root };
    let issuing_name = format!("Issuing authority {n}");
    let timestamp_name = format!("Timestamp authority {n}");
    let public = |key: &ServiceKey| Bytes(key.public().spki_der().to_vec());
    let record = Record {
        number: n,
        development: config.development,
        starts: period.starts,
        previous_ends: period.previous_ends,
        host,
        root: certify(&root_name, &root, Usage::Root, &by_root)?,
        issuing: certify(&issuing_name, &issuing, Usage::Issuing, &by_root)?,
        timestamp_root: certify(
            &timestamp_root_name,
            &timestamp_root,
            Usage::Root,
            &by_timestamp_root,
        )?,
        timestamp: certify(&timestamp_name, &timestamp, Usage::Timestamps, &by_timestamp_root)?,
        ct_log: public(&ct_log),
        rekor_v1: public(&rekor_v1),
        rekor_v2: public(&rekor_v2),
    };
    let keys = Keys { issuing, ct_log, rekor_v1, rekor_v2, timestamp };
    for LogPlan { name, note } in log_plans(&record, &keys) {
        logs::create(&log_place(authority, config, n, name), note)?;
    }
    let json = serde_json::to_vec_pretty(&record)
        .map_err(|_| Fault::Bug { what: "a generation could not be written" })?;
    // Last: a generation is there when its record is.
    bulla::store(&folder.join(RECORD_FILE), &json, Access::Public, Existing::Keep)?;
    Ok(record)
}

/// The records of all generations of an authority, oldest first.
pub(crate) fn records(authority: &Path) -> Result<Vec<Record>, Fault> {
    let mut records = Vec::new();
    for number in 1..=u32::MAX {
        let path = folder(authority, number).join(RECORD_FILE);
        let io = |e| Fault::io("read", &path, e);
        match std::fs::metadata(&path) {
            Ok(found) if found.len() > RECORD_BYTES => {
                return Err(io(std::io::Error::other("it is too large")));
            }
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && number > 1 => break,
            Err(e) => return Err(io(e)),
        }
        let text = std::fs::read(&path).map_err(io)?;
        let record: Record =
            serde_json::from_slice(&text).map_err(|e| io(std::io::Error::other(e)))?;
        if record.number != number {
            return Err(io(std::io::Error::other("it is of another generation")));
        }
        records.push(record);
    }
    Ok(records)
}

/// Where a generation is.
pub(crate) fn folder(authority: &Path, number: u32) -> PathBuf {
    authority.join(GENERATIONS).join(number.to_string())
}

/// Where its logs are.
pub(crate) fn logs_folder(authority: &Path, number: u32) -> PathBuf {
    authority.join(LOGS).join(number.to_string())
}

/// A high-water mark of a generation that is not here.
#[derive(Debug)]
pub(crate) struct LaterMark {
    pub(crate) path: PathBuf,
    pub(crate) generation: u32,
}

/// Looks for marks of logs that a later generation signed. Where there are some this is an old copy of the authority: its keys
/// would sign what has ended, and the next rotation would begin a log anew that others know already.
pub(crate) fn later_mark(
    authority: &Path,
    config: &Config,
    newest: u32,
) -> Result<Option<LaterMark>, Fault> {
    let marks = authority.join(&config.logs.high_water_marks);
    let io = |e| Fault::io("read", &marks, e);
    let entries = match std::fs::read_dir(&marks) {
        // What that means the logs say when they are opened.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(io)?,
    };
    for entry in entries {
        let path = entry.map_err(io)?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(".mark")?.rsplit_once('-'))
            .filter(|(name, _)| LOG_NAMES.contains(name))
            .and_then(|(_, number)| number.parse::<u32>().ok());
        if let Some(generation) = number.filter(|number| *number > newest)
            && !is_unused(&path)?
        {
            return Ok(Some(LaterMark { path, generation }));
        }
    }
    Ok(None)
}

/// Whether a mark is that of an empty log, as a rotation leaves it. One that cannot be read is not.
fn is_unused(mark: &Path) -> Result<bool, Fault> {
    let io = |e| Fault::io("read", mark, e);
    if std::fs::metadata(mark).map_err(io)?.len() > MARK_BYTES {
        return Ok(false);
    }
    let bytes = std::fs::read(mark).map_err(io)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().nth(2) == Some("0"))
}

/// Takes away what a rotation that was killed left behind. Without a record nobody ever used it.
pub(crate) fn discard_unfinished(
    authority: &Path,
    config: &Config,
    number: u32,
) -> Result<(), Fault> {
    let remove = |path: &Path, removed: std::io::Result<()>| match removed {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Fault::io("remove", path, e)),
        _ => Ok(()),
    };
    if folder(authority, number).exists() {
        return Ok(());
    }
    for name in LOG_NAMES {
        let Place { marks, mark, .. } = log_place(authority, config, number, name);
        let path = marks.join(mark);
        // Never one that somebody may hold a proof below.
        if path.exists() && is_unused(&path)? {
            remove(&path, std::fs::remove_file(&path))?;
        }
    }
    let logs = logs_folder(authority, number);
    remove(&logs, std::fs::remove_dir_all(&logs))
}

fn log_place(authority: &Path, config: &Config, number: u32, name: &str) -> Place {
    Place {
        files: logs_folder(authority, number).join(name),
        marks: authority.join(&config.logs.high_water_marks),
        mark: format!("{name}-{number}.mark"),
    }
}

/// Loads the keys and opens the logs of a generation.
pub(crate) fn load(
    authority: &Path,
    config: &Config,
    record: &Record,
    password: &dyn Fn() -> Result<Password, Fault>,
) -> Result<(Keys, Logs), Fault> {
    let folder = folder(authority, record.number);
    let load = |role: Role| -> Result<Arc<ServiceKey>, Fault> {
        let key = keys::load(&folder, role, password)?;
        let expected = match role {
            Role::Issuing => certified_key(&record.issuing)?,
            Role::Timestamp => certified_key(&record.timestamp)?,
            _ => PublicKey::from_spki_der(record.spki(role).unwrap_or_default())?,
        };
        if key.public() != &expected {
            return Err(Fault::Key {
                detail: format!(
                    "{} is not the private half of what the authority published",
                    folder.join(role.file_name()).display()
                ),
                hint: Some("put the authority's own key files back"),
            });
        }
        Ok(Arc::new(key))
    };
    let keys = Keys {
        issuing: load(Role::Issuing)?,
        ct_log: load(Role::CtLog)?,
        rekor_v1: load(Role::RekorV1)?,
        rekor_v2: load(Role::RekorV2)?,
        timestamp: load(Role::Timestamp)?,
    };
    let [ct, rekor_v1, rekor_v2] = log_plans(record, &keys).map(|LogPlan { name, note }| {
        logs::open(&log_place(authority, config, record.number, name), note)
    });
    Ok((keys, Logs { ct: ct?, rekor_v1: rekor_v1?, rekor_v2: rekor_v2? }))
}

/// The key in a certificate.
fn certified_key(certificate: &Bytes) -> Result<PublicKey, Fault> {
    bulla::Certificate::from_der(&certificate.0)?.public_key()
}
