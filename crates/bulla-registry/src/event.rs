//! What happens to a registry. The log is made of these, and the tables follow from them.
//!
//! An entry of the log is `{"at":…,"event":{"type":…,…},"v":1}` in the canonical form of RFC 8785, at most 65,535 bytes. What is
//! longer (a decision, a list of files) is an attachment: the entry has its SHA-256, a table has the bytes.

use bulla::jiff::Timestamp;
use bulla::{Digest, ModelDigests};
use serde::{Deserialize, Serialize};

use crate::subject::{ModelRef, Subject};
use crate::wire;

/// The version of entries that are written.
const VERSION: u64 = 1;

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When, by the clock of whoever wrote it.
    pub at: Timestamp,
    /// What.
    pub event: Event,
    /// Which version of this form: 1.
    v: u64,
}

impl Entry {
    /// An entry of today's version.
    #[must_use]
    pub fn new(at: Timestamp, event: Event) -> Self {
        Self { at, event, v: VERSION }
    }

    /// Its bytes in the log.
    ///
    /// # Errors
    /// In words, when a number has no canonical form (over 2^53 - 1).
    pub fn encode(&self) -> Result<Vec<u8>, String> {
        serde_json_canonicalizer::to_vec(self).map_err(|e| e.to_string())
    }

    /// Reads an entry: only its own spelling.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let entry: Self = bulla::json::read(bytes)?;
        if entry.v != VERSION {
            return Err(format!("it has version {}, expected {VERSION}", entry.v));
        }
        if entry.encode()? != bytes {
            return Err("it is not in canonical form".into());
        }
        Ok(entry)
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// A model was seen somewhere.
    ModelSeen(ModelSeen),
    /// A model's signature was seen for the first time.
    SignatureSeen(SignatureSeen),
    /// A signed statement about a model was seen for the first time.
    ClaimSeen(ClaimSeen),
    /// A key came into use.
    KeyAdded(KeyAdded),
    /// A key is used no more; what it signed stays.
    KeyRetired(KeyRetired),
    /// Something was decided about a model.
    Decided(Decided),
    /// Decisions count no more.
    DecisionsWithdrawn(DecisionsWithdrawn),
    /// A policy came into use.
    PolicyUsed(PolicyUsed),
    /// A document of revocations came into use.
    RevocationsUsed(RevocationsUsed),
    /// A model runs.
    Released(Released),
    /// An earlier release runs again, or none.
    RolledBack(RolledBack),
    /// Something was withdrawn, for good.
    Revoked(Revoked),
    /// A model may not be used for the time being.
    Quarantined(Quarantined),
    /// It may again.
    QuarantineLifted(QuarantineLifted),
    /// A model wants a new signature.
    ResignQueued(ResignQueued),
    /// A worker has taken it.
    ResignClaimed(ResignClaimed),
    /// A worker is done with it.
    ResignEnded(ResignEnded),
    /// Somebody is to be told something.
    AlertQueued(AlertQueued),
    /// It was tried.
    AlertTried(AlertTried),
}

/// A model was seen somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSeen {
    /// Which.
    #[serde(with = "wire::model")]
    pub model: ModelDigests,
    /// What it is called there.
    pub name: String,
    /// Where: a path or URI, for people.
    pub place: String,
    /// Bytes of all its files.
    pub size: u64,
    /// The attachment with the SHA-256 of its files: a JSON array of strings, sorted. None where they are not known.
    #[serde(with = "wire::optional_digest", default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Digest>,
}

/// What a signature rests on: whatever of this is withdrawn, it is looked at again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basis {
    /// SHA-256 of the `SubjectPublicKeyInfo` of the signer's key, and after it of those of its certificate path.
    #[serde(with = "wire::digests")]
    pub keys: Vec<Digest>,
    /// SHA-256 of each certificate of the path.
    #[serde(with = "wire::digests", default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Digest>,
    /// The names in the signer's certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<String>,
    /// Who vouched for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The start of its certificate: it was not made before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Who says by when it existed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<Vouched>,
}

/// A time by which something existed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vouched {
    /// By when.
    pub at: Timestamp,
    /// SHA-256 of the keys and of the certificates of the timestamp authority or log that says so.
    #[serde(with = "wire::digests")]
    pub clocks: Vec<Digest>,
}

impl Basis {
    /// The earliest time that is vouched for by nobody who was withdrawn.
    pub(crate) fn trusted(&self, withdrawn: impl Fn(&Digest) -> bool) -> Option<Timestamp> {
        let stands = |time: &&Vouched| !time.clocks.iter().any(&withdrawn);
        self.times.iter().filter(stands).map(|time| time.at).min()
    }
}

/// A model's signature was seen for the first time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureSeen {
    /// SHA-256 of the signature file.
    #[serde(with = "wire::digest")]
    pub signature: Digest,
    /// Of which model.
    #[serde(with = "wire::model")]
    pub model: ModelDigests,
    /// The authorities of the policy that it is by.
    pub authorities: Vec<String>,
    /// What it rests on.
    pub basis: Basis,
}

/// A signed statement about a model was seen for the first time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimSeen {
    /// SHA-256 of the signed payload.
    #[serde(with = "wire::digest")]
    pub claim: Digest,
    /// About which model.
    #[serde(with = "wire::model")]
    pub model: ModelDigests,
    /// The statement's predicate type.
    pub predicate_type: String,
    /// What it counts as: `approver`, `provenance`, `release`, …
    pub role: String,
    /// What it rests on.
    pub basis: Basis,
    /// For provenance: what the model was made from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<ModelRef>,
}

/// A key came into use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyAdded {
    /// SHA-256 of its `SubjectPublicKeyInfo`.
    #[serde(with = "wire::digest")]
    pub fingerprint: Digest,
    /// The authority that signs with it.
    pub authority: String,
    /// Its name in the policy.
    pub id: String,
    /// `ecdsa-p256`, `ed25519`, …
    pub algorithm: String,
    /// `file`, `vault`, `kms`, `hsm`.
    pub storage: String,
    /// From when it may sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Timestamp>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
}

/// A key is used no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRetired {
    /// Which.
    #[serde(with = "wire::digest")]
    pub fingerprint: Digest,
    /// The key that took its place, if it was rotated.
    #[serde(with = "wire::optional_digest", default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<Digest>,
    /// Until when both count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap_until: Option<Timestamp>,
}

/// By which policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyRef {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// SHA-256 of its bytes.
    #[serde(with = "wire::digest")]
    pub digest: Digest,
    /// SHA-256 of the environment's rules.
    #[serde(with = "wire::digest")]
    pub rules: Digest,
}

/// Something was decided about a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decided {
    /// The request: whoever asks again with the same gets the same answer.
    pub request: String,
    /// The model. None of what was refused before it was known to be one: unsigned, or not what was signed.
    #[serde(with = "wire::optional_model", default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelDigests>,
    /// For which environment.
    pub environment: String,
    /// By which name it would be deployed.
    pub name: String,
    /// By which policy.
    pub policy: PolicyRef,
    /// Whether it may be deployed.
    pub admitted: bool,
    /// Whether every rule was met.
    pub passed: bool,
    /// `enforce`, `warn`, `audit`.
    pub mode: String,
    /// When it was decided.
    pub time: Timestamp,
    /// Until when it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// The attachment with the decision as JSON.
    #[serde(with = "wire::digest")]
    pub decision: Digest,
    /// The attachment with the signed verdict.
    #[serde(with = "wire::optional_digest", default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Digest>,
    /// Signatures and claims that decided it, by their SHA-256.
    #[serde(with = "wire::digests", default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Digest>,
}

/// Decisions count no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionsWithdrawn {
    /// Their requests.
    pub requests: Vec<String>,
    /// Why.
    pub reason: String,
    /// Who says so.
    pub by: String,
}

/// A policy came into use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyUsed {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// SHA-256 of its bytes.
    #[serde(with = "wire::digest")]
    pub digest: Digest,
}

/// A document of revocations came into use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevocationsUsed {
    /// The policy that names it.
    pub policy: String,
    /// Its version.
    pub version: u64,
    /// SHA-256 of its bytes.
    #[serde(with = "wire::digest")]
    pub digest: Digest,
}

/// A model runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Released {
    /// Where.
    pub environment: String,
    /// Under which name.
    pub name: String,
    /// The signed release's sequence; none where the environment asks for no releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Which.
    #[serde(with = "wire::model")]
    pub model: ModelDigests,
    /// The request that was answered with its admission.
    pub request: String,
}

/// An earlier release runs again, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolledBack {
    /// Where.
    pub environment: String,
    /// Under which name.
    pub name: String,
    /// The entry of the release that must not run.
    pub from: u64,
    /// The entry of the release that runs instead; none if there is no good one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// Why.
    pub reason: String,
}

/// Something was withdrawn, for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    /// What.
    pub subject: Subject,
    /// As of when: what was signed before stays. None: from the beginning. Models are withdrawn from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// For models: whether what was made from it is withdrawn, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub descendants: bool,
    /// Why.
    pub reason: String,
    /// Who says so.
    pub by: String,
}

/// A model may not be used for the time being.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quarantined {
    /// Its manifest digest.
    #[serde(with = "wire::digest")]
    pub model: Digest,
    /// Why.
    pub reason: String,
    /// Who says so.
    pub by: String,
}

/// It may again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuarantineLifted {
    /// Its manifest digest.
    #[serde(with = "wire::digest")]
    pub model: Digest,
    /// The entry that had put it there last when somebody looked: what was put there since is not lifted by that.
    pub entry: u64,
    /// Why.
    pub reason: String,
    /// Who says so.
    pub by: String,
    /// Approvals from before count no more, for any environment: people had to look at it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals_since: Option<Timestamp>,
}

/// A model wants a new signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResignQueued {
    /// Which.
    #[serde(with = "wire::model")]
    pub model: ModelDigests,
    /// The key that it is signed with until then.
    #[serde(with = "wire::optional_digest", default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Digest>,
    /// Why.
    pub reason: String,
}

/// A worker has taken one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResignClaimed {
    /// The entry that queued it.
    pub id: u64,
    /// Who.
    pub worker: String,
    /// Until when it is nobody else's.
    pub until: Timestamp,
}

/// A worker is done with one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResignEnded {
    /// The entry that queued it.
    pub id: u64,
    /// Who.
    pub worker: String,
    /// Why it was refused; none if it was signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Somebody is to be told something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertQueued {
    /// Where to: a name in the configuration, not an address.
    pub destination: String,
    /// What: at most 32 KiB.
    pub payload: String,
}

/// It was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertTried {
    /// The entry that queued it.
    pub id: u64,
    /// Why it failed; none if it was delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Not to be tried again before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_one_spelling() {
        let event = Event::Quarantined(Quarantined {
            model: Digest::sha256(b"m"),
            reason: "poisoned".into(),
            by: "eva".into(),
        });
        let entry = Entry::new(Timestamp::UNIX_EPOCH, event);
        let bytes = entry.encode().unwrap();
        assert_eq!(Entry::decode(&bytes).unwrap(), entry);
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            text.starts_with(
                r#"{"at":"1970-01-01T00:00:00Z","event":{"by":"eva","model":"sha256:"#
            ),
            "{text}"
        );
        for wrong in [
            text.replace(r#""v":1"#, r#""v":2"#),
            text.replace(r#""v":1"#, r#""v":1,"w":0"#),
            text.replace(r#""by""#, r#""also":0,"by""#),
            text.replace(r#","v""#, r#", "v""#),
            text.replace("quarantined", "revoked"),
            text.replace("sha256:", "sha512:"),
        ] {
            assert!(Entry::decode(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
