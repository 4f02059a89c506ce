//! A TUF repository (theupdateframework.io, 1.0) of the files that clients need, so that they learn of new keys by themselves.
//!
//! ```text
//! DIR/tuf/1.root.json                      whose keys sign the rest; clients get it once, by hand
//!         N.targets.json, N.snapshot.json  which files, with their hashes
//!         timestamp.json                   which of these is the newest; written last, and anew before it expires
//!         targets/HASH.trusted_root.json …
//! ```
//!
//! What is there stays there: a client in the middle of an update finds what it began with. There is no library that writes
//! such repositories without bringing an HTTP client and a runtime of its own (tough); the documents are small.

use std::path::{Path, PathBuf};

use bulla::{Access, Existing, Fault};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use crate::clock::whole_seconds;
use crate::keys::{ServiceKey, sha256};
use crate::trust::TrustFiles;

const SPECIFICATION: &str = "1.0.31";
/// The root outlives the authorities that it names.
const ROOT_DAYS: i64 = 20 * 365;
/// What the server writes anew by itself.
const ONLINE_DAYS: i64 = 365;
const TIMESTAMP_DAYS: i64 = 14;
/// Larger documents are not read back.
const DOCUMENT_BYTES: u64 = 1 << 20;

/// Name of the repository's folder, and of its path on the server.
pub(crate) fn name(development: bool) -> &'static str {
    if development { "development_tuf" } else { "tuf" }
}

/// A repository on disk.
#[derive(Debug)]
pub(crate) struct Repository {
    folder: PathBuf,
}

fn bug<E>(_: E) -> Fault {
    Fault::Bug { what: "an update document could not be written" }
}

/// As securesystemslib hashes it.
fn key_object(key: &ServiceKey) -> Value {
    // The key is what an Ed25519 `SubjectPublicKeyInfo` ends with.
    let public = key.public().spki_der().last_chunk::<32>().map(hex::encode).unwrap_or_default();
    json!({ "keytype": "ed25519", "scheme": "ed25519", "keyval": { "public": public } })
}

fn key_id(key: &ServiceKey) -> Result<String, Fault> {
    Ok(hex::encode(sha256(&canonical(&key_object(key))?)))
}

/// OLPC's canonical JSON and RFC 8785 are one for what stands here: plain text and whole numbers.
fn canonical(value: &Value) -> Result<Vec<u8>, Fault> {
    serde_json_canonicalizer::to_vec(value).map_err(bug)
}

fn signed_by(key: &ServiceKey, signed: Value) -> Result<Vec<u8>, Fault> {
    let signature = hex::encode(key.sign(&canonical(&signed)?)?);
    let document =
        json!({ "signatures": [{ "keyid": key_id(key)?, "sig": signature }], "signed": signed });
    Ok(format!("{document:#}\n").into_bytes())
}

fn body(kind: &str, version: u64, days: i64, now: Timestamp, more: Value) -> Value {
    let expires = whole_seconds(now) + SignedDuration::from_hours(24 * days);
    let mut body = json!({
        "_type": kind,
        "spec_version": SPECIFICATION,
        "version": version,
        "expires": expires.to_string(),
    });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    body
}

fn described(bytes: &[u8], version: Option<u64>) -> Value {
    let mut described =
        json!({ "length": bytes.len(), "hashes": { "sha256": hex::encode(sha256(bytes)) } });
    if let (Some(described), Some(version)) = (described.as_object_mut(), version) {
        described.insert("version".into(), version.into());
    }
    described
}

impl Repository {
    /// Where it is.
    pub(crate) fn at(authority: &Path, development: bool) -> Self {
        Self { folder: authority.join(name(development)) }
    }

    /// Makes it.
    pub(crate) fn create(
        &self,
        trust: &TrustFiles,
        root: &ServiceKey,
        online: &ServiceKey,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let targets = self.folder.join("targets");
        std::fs::create_dir_all(&targets).map_err(|e| Fault::io("make", &targets, e))?;
        let (root_id, online_id) = (key_id(root)?, key_id(online)?);
        let role = |id: &str| json!({ "keyids": [id], "threshold": 1 });
        let keys = [(root_id.clone(), key_object(root)), (online_id.clone(), key_object(online))];
        let document = body(
            "root",
            1,
            ROOT_DAYS,
            now,
            json!({
                "consistent_snapshot": true,
                "keys": Map::from_iter(keys),
                "roles": {
                    "root": role(&root_id),
                    "targets": role(&online_id),
                    "snapshot": role(&online_id),
                    "timestamp": role(&online_id),
                },
            }),
        );
        let document = signed_by(root, document)?;
        self.store("1.root.json", &document)?;
        self.store("root.json", &document)?;
        self.publish(1, trust, online, now)
    }

    /// Publishes files as a new version of everything but the root.
    fn publish(
        &self,
        version: u64,
        trust: &TrustFiles,
        online: &ServiceKey,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let mut targets = Map::new();
        for (name, value) in Self::targets(trust) {
            let text = format!("{value:#}\n").into_bytes();
            let hash = hex::encode(sha256(&text));
            self.store(&format!("targets/{hash}.{name}"), &text)?;
            targets.insert(name.into(), described(&text, None));
        }
        let more = json!({ "targets": targets });
        let targets = signed_by(online, body("targets", version, ONLINE_DAYS, now, more))?;
        self.store(&format!("{version}.targets.json"), &targets)?;
        let more = json!({ "meta": { "targets.json": described(&targets, Some(version)) } });
        let snapshot = signed_by(online, body("snapshot", version, ONLINE_DAYS, now, more))?;
        self.store(&format!("{version}.snapshot.json"), &snapshot)?;
        let more = json!({ "meta": { "snapshot.json": described(&snapshot, Some(version)) } });
        let timestamp = signed_by(online, body("timestamp", version, TIMESTAMP_DAYS, now, more))?;
        // The step in which clients see all of it.
        self.store("timestamp.json", &timestamp)
    }

    /// The names that clients look for.
    fn targets(trust: &TrustFiles) -> [(&'static str, &Value); 2] {
        [
            ("trusted_root.json", &trust.trusted_root),
            ("signing_config.v0.2.json", &trust.signing_config),
        ]
    }

    /// Publishes anew if the files changed, or if what is published expires in less than half its time.
    pub(crate) fn refresh(
        &self,
        trust: &TrustFiles,
        online: &ServiceKey,
        now: Timestamp,
    ) -> Result<bool, Fault> {
        let timestamp = self.signed("timestamp.json")?;
        let version = timestamp.get("version").and_then(Value::as_u64).unwrap_or(0);
        let targets = self.signed(&format!("{version}.targets.json"))?;
        let same = Self::targets(trust).into_iter().all(|(name, value)| {
            let text = format!("{value:#}\n").into_bytes();
            targets.pointer(&format!("/targets/{name}")) == Some(&described(&text, None))
        });
        let lasts = |document: &Value, days: i64| {
            let half = SignedDuration::from_hours(24 * days / 2);
            document
                .get("expires")
                .and_then(Value::as_str)
                .and_then(|expires| expires.parse::<Timestamp>().ok())
                .is_some_and(|expires| now + half < expires)
        };
        if same && lasts(&timestamp, TIMESTAMP_DAYS) && lasts(&targets, ONLINE_DAYS) {
            return Ok(false);
        }
        self.publish(version + 1, trust, online, now)?;
        Ok(true)
    }

    /// What one of the documents says. It is our own: nobody checks its signature here.
    fn signed(&self, name: &str) -> Result<Value, Fault> {
        let path = self.folder.join(name);
        let io = |e| Fault::io("read", &path, e);
        if std::fs::metadata(&path).map_err(io)?.len() > DOCUMENT_BYTES {
            return Err(io(std::io::Error::other("it is too large")));
        }
        let text = std::fs::read(&path).map_err(io)?;
        let mut document: Value =
            serde_json::from_slice(&text).map_err(|e| io(std::io::Error::other(e)))?;
        Ok(document.get_mut("signed").map(Value::take).unwrap_or_default())
    }

    fn store(&self, name: &str, bytes: &[u8]) -> Result<(), Fault> {
        bulla::store(&self.folder.join(name), bytes, Access::Public, Existing::Replace)
    }

    /// One of its files, to be served.
    pub(crate) fn file(&self, path: &str) -> Option<Vec<u8>> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'/');
        let name = path.strip_prefix("targets/").unwrap_or(path);
        if !name.bytes().all(plain) || name.contains('/') || name.starts_with('.') {
            return None;
        }
        std::fs::read(self.folder.join(path)).ok()
    }
}
