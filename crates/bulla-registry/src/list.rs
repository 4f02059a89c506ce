//! Looking around: models by name, digest, key and state, what is known of one, and what wants attention. None of it is proven.

use bulla::jiff::{SignedDuration, Timestamp};
use bulla::{Digest, Fault, ModelDigests};
use serde::Serialize;

use crate::database::{Bind, Row, Tx, binds, digest, int, micros};
use crate::event::Basis;
use crate::impact::optional_number;
use crate::registry::Registry;
use crate::subject::{Kind, ModelRef};
use crate::wire;

/// The most of one page.
pub(crate) const PAGE: u32 = 1000;
/// The most of each list about one model.
const DETAILS: i64 = 1000;

/// A part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<T> {
    /// What the part before ended with; none for the first.
    pub after: Option<T>,
    /// How many: at most 1000.
    pub limit: u32,
}

impl<T> Page<T> {
    /// The first part.
    #[must_use]
    pub fn first(limit: u32) -> Self {
        Self { after: None, limit }
    }

    /// The part after this.
    #[must_use]
    pub fn after(after: T, limit: u32) -> Self {
        Self { after: Some(after), limit }
    }

    pub(crate) fn limit(&self) -> i64 {
        i64::from(self.limit.clamp(1, PAGE))
    }
}

/// Which models are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSearch {
    /// All.
    All,
    /// Those with a name that begins with this.
    Named(String),
    /// Those with this digest, or a file of it.
    Digest(ModelRef),
    /// Those with a signature or claim by this key.
    Key(Digest),
    /// Those with a signature or claim by this identity.
    Identity(String),
}

/// In which state they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelState {
    /// In quarantine.
    Quarantined,
    /// Running somewhere.
    Running,
    /// Withdrawn by a digest of theirs.
    Revoked,
    /// Waiting for a new signature.
    Resign,
}

/// A model in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModelSummary {
    /// Which.
    #[serde(with = "wire::model")]
    pub model: ModelDigests,
    /// One of its names.
    pub name: Option<String>,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// In quarantine.
    pub quarantined: bool,
    /// Withdrawn by a digest of its.
    pub revoked: bool,
    /// Running somewhere.
    pub running: bool,
}

/// All that is known of a model; of each list the newest thousand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModelDetails {
    /// The same as in a list.
    pub summary: ModelSummary,
    /// Where it was seen.
    pub sightings: Vec<SightingDetail>,
    /// Its signatures and claims.
    pub evidence: Vec<EvidenceDetail>,
    /// What was decided about it.
    pub decisions: Vec<DecisionDetail>,
    /// Where it runs, or ran.
    pub releases: Vec<ReleaseDetail>,
    /// What it was made from, as claims have it.
    pub parents: Vec<ModelRef>,
    /// What was made from it: manifest digests.
    #[serde(with = "wire::digests")]
    pub children: Vec<Digest>,
}

/// Where a model was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SightingDetail {
    /// What it is called there.
    pub name: String,
    /// Where.
    pub place: String,
    /// Bytes of all its files.
    pub size: u64,
    /// When it was first seen there.
    pub at: Timestamp,
}

/// A signature or claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EvidenceDetail {
    /// SHA-256 of the signature file, or of the claim's payload.
    #[serde(with = "wire::digest")]
    pub what: Digest,
    /// The predicate type; empty for a signature.
    pub predicate_type: String,
    /// `signer`, or a claim's role.
    pub role: String,
    /// What it rests on.
    pub basis: Basis,
    /// When it was first seen.
    pub at: Timestamp,
}

/// Something that was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DecisionDetail {
    /// The request.
    pub request: String,
    /// For which environment.
    pub environment: String,
    /// By which name.
    pub name: String,
    /// Whether it may be deployed.
    pub admitted: bool,
    /// Whether every rule was met.
    pub passed: bool,
    /// When.
    pub time: Timestamp,
    /// Until when it counts.
    pub expires: Option<Timestamp>,
    /// Since when it counts no more.
    pub withdrawn: Option<Timestamp>,
}

/// Something that runs, or ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ReleaseDetail {
    /// Its entry in the log.
    pub entry: u64,
    /// Where.
    pub environment: String,
    /// Under which name.
    pub name: String,
    /// Its sequence.
    pub sequence: Option<u64>,
    /// Which model: its manifest digest.
    #[serde(with = "wire::digest")]
    pub model: Digest,
    /// `running`, `replaced`, `rolled-back`.
    pub state: String,
    /// Since when.
    pub since: Timestamp,
}

/// A key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeyDetail {
    /// SHA-256 of its `SubjectPublicKeyInfo`.
    #[serde(with = "wire::digest")]
    pub fingerprint: Digest,
    /// The authority that signs with it.
    pub authority: String,
    /// Its name in the policy.
    pub id: String,
    /// `ecdsa-p256`, …
    pub algorithm: String,
    /// `file`, `vault`, `kms`, `hsm`.
    pub storage: String,
    /// From when it may sign.
    pub valid_from: Option<Timestamp>,
    /// Until when.
    pub valid_until: Option<Timestamp>,
    /// Since when it is used no more.
    pub retired_at: Option<Timestamp>,
    /// What took its place.
    #[serde(with = "wire::optional_digest")]
    pub replaced_by: Option<Digest>,
    /// Until when both count.
    pub overlap_until: Option<Timestamp>,
}

/// What wants attention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// Entries in the log.
    pub entries: u64,
    /// When the last one was written.
    pub last_written: Timestamp,
    /// Models that are known.
    pub models: u64,
    /// Models in quarantine.
    pub quarantined: u64,
    /// Revocations.
    pub revocations: u64,
    /// Deployments that run.
    pub running: u64,
    /// Keys in use that may not sign any more before long, or do not already; and those that are replaced, until their overlap ends.
    pub expiring_keys: Vec<KeyDetail>,
    /// Signatures of models that run, that grow too old before long, or are already. At most 1000.
    pub aging_signatures: Vec<AgingSignature>,
    /// Models that wait for a new signature.
    pub resign_pending: u64,
    /// Those that were refused one.
    pub resign_refused: u64,
    /// Alerts that wait.
    pub alerts_waiting: u64,
    /// Alerts that are not tried any more.
    pub alerts_given_up: u64,
}

/// A signature that grows too old.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AgingSignature {
    /// Which model: its manifest digest.
    #[serde(with = "wire::digest")]
    pub model: Digest,
    /// Where it runs.
    pub environment: String,
    /// Under which name.
    pub name: String,
    /// The signature.
    #[serde(with = "wire::digest")]
    pub signature: Digest,
    /// From when its age counts: the earliest that is known of it.
    pub from: Timestamp,
    /// When it is too old.
    pub until: Timestamp,
}

/// What a model is summed up by; whatever is selected has `m` for the model.
const SUMMARY: &str = "m.model, m.oms, m.seen_at, \
    (SELECT MIN(s.name) FROM sightings s WHERE s.model = m.model), \
    (SELECT COUNT(*) FROM quarantines q WHERE q.model = m.model), \
    (SELECT COUNT(*) FROM releases l WHERE l.model = m.model AND l.state = 'running'), \
    (SELECT COUNT(*) FROM rests_on r JOIN revocations v ON v.kind = r.kind AND v.value = r.value \
     WHERE r.model = m.model AND r.role = 'contents')";

impl Registry {
    /// Models, in the order of their manifest digests.
    ///
    /// # Errors
    /// When the registry cannot be believed or read.
    pub fn models(
        &self,
        search: &ModelSearch,
        state: Option<ModelState>,
        page: Page<Digest>,
        now: Timestamp,
    ) -> Result<Vec<ModelSummary>, Fault> {
        let none: &[u8] = &[];
        let after: Bind = page.after.as_ref().map_or(none.into(), Bind::from);
        let mut binds = vec![after, page.limit().into()];
        let among = match search {
            ModelSearch::All => "",
            ModelSearch::Named(name) => {
                binds.extend(binds![name.as_str(), beyond(name)]);
                "AND m.model IN (SELECT s.model FROM sightings s WHERE s.name >= $3 AND s.name < $4)"
            }
            ModelSearch::Digest(digest) => {
                binds.extend(binds![digest.kind().name(), digest.digest()]);
                RESTS
            }
            ModelSearch::Key(key) => {
                binds.extend(binds![Kind::Key.name(), key]);
                RESTS
            }
            ModelSearch::Identity(identity) => {
                binds.extend(binds![Kind::Identity.name(), crate::subject::fold(identity)]);
                RESTS
            }
        };
        let state = match state {
            None => "",
            Some(ModelState::Quarantined) => "AND m.model IN (SELECT model FROM quarantines)",
            Some(ModelState::Running) => {
                "AND m.model IN (SELECT model FROM releases WHERE state = 'running')"
            }
            Some(ModelState::Revoked) => {
                "AND m.model IN (SELECT r.model FROM revocations v JOIN rests_on r \
                 ON r.kind = v.kind AND r.value = v.value WHERE r.role = 'contents')"
            }
            Some(ModelState::Resign) => {
                "AND m.model IN (SELECT model FROM resign WHERE state = 'pending')"
            }
        };
        let sql = format!(
            "SELECT {SUMMARY} FROM models m WHERE m.model > $1 {among} {state} \
             ORDER BY m.model LIMIT $2"
        );
        self.read(now, async |reading| {
            reading.tx.rows_own(sql, binds).await?.iter().map(summary).collect()
        })
    }

    /// All that is known of a model, by its manifest digest.
    ///
    /// # Errors
    /// When the registry cannot be believed or read.
    pub fn model(&self, model: &Digest, now: Timestamp) -> Result<Option<ModelDetails>, Fault> {
        self.read(now, async |reading| details(&mut reading.tx, model).await)
    }

    /// Keys, in the order of their fingerprints.
    ///
    /// # Errors
    /// When the registry cannot be believed or read.
    pub fn keys(&self, page: Page<Digest>, now: Timestamp) -> Result<Vec<KeyDetail>, Fault> {
        self.read(now, async |reading| {
            let none: &[u8] = &[];
            let after: Bind = page.after.as_ref().map_or(none.into(), Bind::from);
            let sql = format!("{KEY} WHERE fingerprint > $1 ORDER BY fingerprint LIMIT $2");
            let rows = reading.tx.rows_own(sql, vec![after, page.limit().into()]).await?;
            rows.iter().map(key).collect()
        })
    }

    /// Releases of a deployment, newest first.
    ///
    /// # Errors
    /// When the registry cannot be believed or read.
    pub fn releases(
        &self,
        environment: &str,
        name: &str,
        page: Page<u64>,
        now: Timestamp,
    ) -> Result<Vec<ReleaseDetail>, Fault> {
        self.read(now, async |reading| {
            let sql = format!(
                "{RELEASE} WHERE environment = $1 AND name = $2 AND idx < $3 ORDER BY idx DESC LIMIT $4"
            );
            let before = page.after.map_or(i64::MAX, int);
            let binds = binds![environment, name, before, page.limit()];
            reading.tx.rows_own(sql, binds).await?.iter().map(release).collect()
        })
    }

    /// What wants attention: what runs out within `within`, where signatures count for `max_age` (none: for ever).
    ///
    /// # Errors
    /// When the registry cannot be believed or read.
    pub fn status(
        &self,
        within: SignedDuration,
        max_age: Option<SignedDuration>,
        now: Timestamp,
    ) -> Result<Status, Fault> {
        let horizon = now.checked_add(within).unwrap_or(Timestamp::MAX);
        self.read(now, async |reading| {
            let (head, time) = (reading.signed.head, reading.signed.time);
            let tx = &mut reading.tx;
            let sql = format!(
                "{KEY} WHERE (retired_at IS NULL AND valid_until <= $1) \
                 OR (overlap_until > $3 AND overlap_until <= $1) \
                 ORDER BY COALESCE(overlap_until, valid_until) LIMIT $2"
            );
            let binds = binds![micros(horizon), DETAILS, micros(now)];
            let rows = tx.rows_own(sql, binds).await?;
            let expiring_keys = rows.iter().map(key).collect::<Result<_, _>>()?;
            let aging_signatures = match max_age {
                Some(max_age) => aging(tx, max_age, horizon).await?,
                None => Vec::new(),
            };
            Ok(Status {
                entries: head.size,
                last_written: time,
                models: count(tx, "SELECT COUNT(*) FROM models").await?,
                quarantined: count(tx, "SELECT COUNT(*) FROM quarantines").await?,
                revocations: count(tx, "SELECT COUNT(*) FROM revocations").await?,
                running: count(tx, "SELECT COUNT(*) FROM releases WHERE state = 'running'").await?,
                expiring_keys,
                aging_signatures,
                resign_pending: count(tx, "SELECT COUNT(*) FROM resign WHERE state = 'pending'")
                    .await?,
                resign_refused: count(tx, "SELECT COUNT(*) FROM resign WHERE state = 'refused'")
                    .await?,
                alerts_waiting: count(tx, "SELECT COUNT(*) FROM alerts WHERE next_at IS NOT NULL")
                    .await?,
                alerts_given_up: count(
                    tx,
                    "SELECT COUNT(*) FROM alerts WHERE next_at IS NULL AND delivered_at IS NULL",
                )
                .await?,
            })
        })
    }
}

const RESTS: &str =
    "AND m.model IN (SELECT r.model FROM rests_on r WHERE r.kind = $3 AND r.value = $4)";
const KEY: &str = "SELECT fingerprint, authority, id, algorithm, storage, valid_from, valid_until, \
    retired_at, replaced_by, overlap_until FROM keys";
const RELEASE: &str = "SELECT idx, environment, name, sequence, model, state, since FROM releases";

/// The first text after all that begin with this: nothing sorts after the last character.
fn beyond(prefix: &str) -> String {
    format!("{prefix}{}", char::MAX)
}

async fn count(tx: &mut Tx, sql: &'static str) -> Result<u64, Fault> {
    tx.row(sql, Vec::new()).await?.map_or(Ok(0), |row| row.number(0))
}

fn summary(row: &Row) -> Result<ModelSummary, Fault> {
    Ok(ModelSummary {
        model: ModelDigests { manifest: row.digest(0)?, oms: row.digest(1)? },
        first_seen: row.time(2)?,
        name: row.optional_text(3)?,
        quarantined: row.flag(4)?,
        running: row.flag(5)?,
        revoked: row.flag(6)?,
    })
}

async fn details(tx: &mut Tx, model: &Digest) -> Result<Option<ModelDetails>, Fault> {
    let sql = format!("SELECT {SUMMARY} FROM models m WHERE m.model = $1");
    let rows = tx.rows_own(sql, binds![model]).await?;
    let Some(found) = rows.first() else { return Ok(None) };
    let summary = summary(found)?;

    let sql = "SELECT name, place, MAX(size), MIN(seen_at) FROM sightings WHERE model = $1 \
               GROUP BY name, place ORDER BY 4 DESC, name, place LIMIT $2";
    let sighting = |row: &Row| {
        let (name, place) = (row.text(0)?, row.text(1)?);
        Ok(SightingDetail { name, place, size: row.number(2)?, at: row.time(3)? })
    };
    let rows = tx.rows(sql, binds![model, DETAILS]).await?;
    let sightings = rows.iter().map(sighting).collect::<Result<_, Fault>>()?;

    let sql = "SELECT what, type, role, basis, seen_at FROM evidence WHERE model = $1 \
               ORDER BY seen_at DESC, what LIMIT $2";
    let one = |row: &Row| {
        Ok(EvidenceDetail {
            what: row.digest(0)?,
            predicate_type: row.text(1)?,
            role: row.text(2)?,
            basis: bulla::json::read(row.text(3)?.as_bytes()).map_err(|e| row.damaged(&e))?,
            at: row.time(4)?,
        })
    };
    let rows = tx.rows(sql, binds![model, DETAILS]).await?;
    let evidence = rows.iter().map(one).collect::<Result<_, Fault>>()?;

    let sql = "SELECT request, environment, name, admitted, passed, decided_at, expires, withdrawn_at \
               FROM decisions WHERE model = $1 ORDER BY idx DESC LIMIT $2";
    let decision = |row: &Row| {
        Ok(DecisionDetail {
            request: row.text(0)?,
            environment: row.text(1)?,
            name: row.text(2)?,
            admitted: row.flag(3)?,
            passed: row.flag(4)?,
            time: row.time(5)?,
            expires: row.optional_time(6)?,
            withdrawn: row.optional_time(7)?,
        })
    };
    let rows = tx.rows(sql, binds![model, DETAILS]).await?;
    let decisions = rows.iter().map(decision).collect::<Result<_, Fault>>()?;

    let sql = format!("{RELEASE} WHERE model = $1 ORDER BY idx DESC LIMIT $2");
    let rows = tx.rows_own(sql, binds![model, DETAILS]).await?;
    let releases = rows.iter().map(release).collect::<Result<_, Fault>>()?;

    let sql =
        "SELECT DISTINCT kind, value FROM lineage WHERE child = $1 ORDER BY kind, value LIMIT $2";
    let mut parents = Vec::new();
    for row in tx.rows(sql, binds![model, DETAILS]).await? {
        let digest = row.digest(1)?;
        parents.push(match row.text(0)?.as_str() {
            "oms" => ModelRef::Oms(digest),
            "manifest" => ModelRef::Manifest(digest),
            _ => ModelRef::File(digest),
        });
    }
    let sql = "SELECT DISTINCT l.child FROM rests_on r \
               JOIN lineage l ON l.kind = r.kind AND l.value = r.value \
               WHERE r.model = $1 AND r.role = 'contents' ORDER BY l.child LIMIT $2";
    let rows = tx.rows(sql, binds![model, DETAILS]).await?;
    let children = rows.iter().map(|row| row.digest(0)).collect::<Result<_, Fault>>()?;
    Ok(Some(ModelDetails { summary, sightings, evidence, decisions, releases, parents, children }))
}

fn release(row: &Row) -> Result<ReleaseDetail, Fault> {
    Ok(ReleaseDetail {
        entry: row.number(0)?,
        environment: row.text(1)?,
        name: row.text(2)?,
        sequence: optional_number(row, 3)?,
        model: row.digest(4)?,
        state: row.text(5)?,
        since: row.time(6)?,
    })
}

fn key(row: &Row) -> Result<KeyDetail, Fault> {
    let replaced_by = row.optional_bytes(8)?.map(|_| row.hash(8)).transpose()?;
    Ok(KeyDetail {
        fingerprint: row.digest(0)?,
        authority: row.text(1)?,
        id: row.text(2)?,
        algorithm: row.text(3)?,
        storage: row.text(4)?,
        valid_from: row.optional_time(5)?,
        valid_until: row.optional_time(6)?,
        retired_at: row.optional_time(7)?,
        replaced_by: replaced_by.map(|key| digest(&key)),
        overlap_until: row.optional_time(9)?,
    })
}

/// Signatures of what runs whose age ends before the horizon.
async fn aging(
    tx: &mut Tx,
    max_age: SignedDuration,
    horizon: Timestamp,
) -> Result<Vec<AgingSignature>, Fault> {
    let sql = "SELECT l.model, l.environment, l.name, e.what, e.basis, e.seen_at FROM releases l \
               JOIN evidence e ON e.model = l.model WHERE l.state = 'running' \
               AND e.kind = 'signature' AND e.seen_at <= $1 ORDER BY e.seen_at LIMIT $2";
    let mut aging = Vec::new();
    for row in tx.rows(sql, binds![micros(horizon), i64::from(u16::MAX)]).await? {
        let basis: Basis =
            bulla::json::read(row.text(4)?.as_bytes()).map_err(|e| row.damaged(&e))?;
        let known = [Some(row.time(5)?), basis.not_before, basis.trusted(|_| false)];
        let Some(from) = known.into_iter().flatten().min() else { continue };
        let until = from.checked_add(max_age).unwrap_or(Timestamp::MAX);
        if until <= horizon {
            aging.push(AgingSignature {
                model: row.digest(0)?,
                environment: row.text(1)?,
                name: row.text(2)?,
                signature: row.digest(3)?,
                from,
                until,
            });
        }
    }
    aging.sort_by_key(|one| one.until);
    aging.truncate(usize::try_from(DETAILS).unwrap_or_default());
    Ok(aging)
}
