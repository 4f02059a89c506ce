//! What a gate asks: every answer is proven under a head that is signed, and no older than what was seen.

use bulla::jiff::Timestamp;
use bulla::{Digest, Fault, ModelDigests};
use serde::Serialize;

use crate::damaged;
use crate::database::{Tx, binds, int, micros};
use crate::event::{Decided, Revoked};
use crate::project::{keys, values};
use crate::registry::{Reading, Registry};
use crate::state::StateMap;

/// What is asked about a deployment.
#[derive(Debug, Clone, Copy)]
pub struct Deployment<'a> {
    /// The environment.
    pub environment: &'a str,
    /// The name by which the model is deployed.
    pub name: &'a str,
    /// SHA-256 of the model's signature file, if it has one.
    pub signature: Option<&'a Digest>,
    /// The model's digests, if they are known yet.
    pub model: Option<&'a ModelDigests>,
    /// The policy's name.
    pub policy: &'a str,
}

/// What is remembered from before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// Why the model may not be used for the time being.
    pub quarantined: Option<Quarantine>,
    /// When this very signature was first seen.
    pub first_seen: Option<Timestamp>,
    /// From when approvals of it count: people had to look at it again.
    pub approvals_since: Option<Timestamp>,
    /// The highest sequence that ran under this name in this environment.
    pub sequence: Option<u64>,
    /// What runs there.
    pub running: Option<Running>,
    /// When the last decision for this name and environment was made. Never after `now`: writers' clocks differ a little.
    pub last_decision: Option<Timestamp>,
    /// Version and digest of the policy of this name that was used last.
    pub policy: Option<(u64, Digest)>,
    /// Version and digest of the document of revocations that it used last.
    pub revocation_document: Option<(u64, Digest)>,
}

/// A model in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Quarantine {
    /// Why, the newest first; never none. Who lifts it has looked at all of them.
    pub causes: Vec<Cause>,
    /// The entry that put it there last.
    pub entry: u64,
}

/// Why a model is in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Cause {
    /// Why.
    pub reason: String,
    /// Who says so.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
}

/// What runs somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Running {
    /// Its release's entry in the log.
    pub entry: u64,
    /// Which model.
    pub model: ModelDigests,
    /// Its release's sequence.
    pub sequence: Option<u64>,
    /// The request that was answered with its admission.
    pub request: String,
    /// It runs because what came after it was rolled back: its sequence is lower than the highest, on purpose.
    pub rolled_back: bool,
}

/// The decision that stands for a model in an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// The last one; not withdrawn. For which name is in it.
    pub decided: Decided,
    /// Its entry in the log.
    pub entry: u64,
    /// Whether it has expired.
    pub expired: bool,
    /// How many revocations were entered since. Each has withdrawn the admissions that its search found, and that search goes over tables that
    /// are not proven: whoever does not rely on them decides anew if this is not zero.
    pub revoked_since: u64,
    /// Why the model may not be used whatever was decided.
    pub quarantined: Option<Quarantine>,
}

/// A revocation, as it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Revocation {
    /// What was withdrawn, since when and why.
    pub revoked: Revoked,
    /// When it was entered.
    pub at: Timestamp,
    /// Its entry in the log.
    pub entry: u64,
}

impl Registry {
    /// What is remembered for a deployment.
    ///
    /// # Errors
    /// When the registry cannot be believed or read.
    pub fn memory(&self, asked: Deployment<'_>, now: Timestamp) -> Result<Memory, Fault> {
        let Deployment { environment, name, signature, model, policy } = asked;
        self.read(now, async |reading| {
            let quarantined = match model {
                Some(model) => reading.quarantine(&model.manifest).await?,
                None => None,
            };
            let first_seen: Option<values::At> = match signature {
                Some(signature) => reading.get(&keys::first_seen(signature)).await?,
                None => None,
            };
            let approvals_since: Option<values::At> = match model {
                Some(model) => reading.get(&keys::approvals_since(&model.manifest)).await?,
                None => None,
            };
            let sequence: Option<values::Sequence> =
                reading.get(&keys::released(environment, name)).await?;
            let running: Option<values::Running> =
                reading.get(&keys::running(environment, name)).await?;
            let decided: Option<values::At> =
                reading.get(&keys::decided(environment, name)).await?;
            let version = |found: values::Version| (found.version, found.digest.0);
            let policy_used: Option<values::Version> = reading.get(&keys::policy(policy)).await?;
            let document: Option<values::Version> =
                reading.get(&keys::revocation_document(policy)).await?;
            Ok(Memory {
                quarantined,
                first_seen: first_seen.map(|seen| seen.at),
                approvals_since: approvals_since.map(|since| since.at),
                sequence: sequence.map(|highest| highest.sequence),
                running: running.map(|running| Running {
                    entry: running.entry,
                    model: running.model,
                    sequence: running.sequence,
                    request: running.request,
                    rolled_back: running.rolled_back,
                }),
                last_decision: decided.map(|decided| decided.at.min(now)),
                policy: policy_used.map(version),
                revocation_document: document.map(version),
            })
        })
    }

    /// The decision that stands for a model in an environment: the last one, if it was not withdrawn.
    ///
    /// # Errors
    /// When the registry cannot be believed or read.
    pub fn standing(
        &self,
        model: &Digest,
        environment: &str,
        now: Timestamp,
    ) -> Result<Option<Standing>, Fault> {
        self.read(now, async |reading| {
            let standing: Option<values::Standing> =
                reading.get(&keys::standing(model, environment)).await?;
            let Some(values::Standing { decided, entry, revocations }) = standing else {
                return Ok(None);
            };
            let chain: Option<values::Chain> = reading.get(&keys::revocations()).await?;
            let revoked_since = chain.unwrap_or_default().count.saturating_sub(revocations);
            let expired = decided.expires.is_some_and(|expires| expires <= now);
            let quarantined = reading.quarantine(model).await?;
            Ok(Some(Standing { decided, entry, expired, revoked_since, quarantined }))
        })
    }

    /// All that was withdrawn, in the order in which it was. It is proven that nothing is missing.
    ///
    /// # Errors
    /// When the registry cannot be believed or read.
    pub fn revocations(&self, now: Timestamp) -> Result<Vec<Revocation>, Fault> {
        self.read(now, async |reading| revocations(&mut reading.tx, &mut reading.state).await)
    }

    /// Whether exactly this was withdrawn, and how.
    ///
    /// # Errors
    /// When the registry cannot be believed or read.
    pub fn revocation(
        &self,
        subject: &crate::Subject,
        now: Timestamp,
    ) -> Result<Option<Revoked>, Fault> {
        self.read(now, async |reading| reading.get(&keys::revocation(subject)).await)
    }

    /// Whether a model is in quarantine.
    ///
    /// # Errors
    /// When the registry cannot be believed or read.
    pub fn quarantined(&self, model: &Digest, now: Timestamp) -> Result<Option<Quarantine>, Fault> {
        self.read(now, async |reading| reading.quarantine(model).await)
    }
}

impl Reading {
    async fn quarantine(&mut self, model: &Digest) -> Result<Option<Quarantine>, Fault> {
        let found: Option<values::Quarantine> = self.get(&keys::quarantine(model)).await?;
        Ok(found.map(Quarantine::from))
    }
}

impl Quarantine {
    /// Since when it is there for the newest of its reasons.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.causes.first().map_or(Timestamp::MAX, |cause| cause.since)
    }
}

impl From<values::Quarantine> for Quarantine {
    fn from(found: values::Quarantine) -> Self {
        let cause = |one: values::Cause| Cause { reason: one.reason, by: one.by, since: one.at };
        Self { causes: found.causes.into_iter().map(cause).collect(), entry: found.entry }
    }
}

/// All of its reasons.
impl std::fmt::Display for Quarantine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, Cause { reason, by, since }) in self.causes.iter().enumerate() {
            let before = if index == 0 { "" } else { "; " };
            write!(f, "{before}{reason} ({by}, since {since})")?;
        }
        Ok(())
    }
}

/// All revocations, proven as a list under the map.
pub(crate) async fn revocations(
    tx: &mut Tx,
    state: &mut StateMap,
) -> Result<Vec<Revocation>, Fault> {
    let expected = state.get(tx, &keys::revocations()).await?;
    let expected: values::Chain = crate::project::read(tx.place(), expected)?.unwrap_or_default();
    let sql = "SELECT idx, revoked_at, body FROM revocations ORDER BY idx LIMIT $1";
    let mut found = values::Chain::default();
    let mut list = Vec::new();
    // One more than there are is too many, however many there are.
    for row in tx.rows(sql, binds![int(expected.count + 1)]).await? {
        let (entry, at, body) = (row.number(0)?, row.time(1)?, row.text(2)?);
        found = found.with(entry, micros(at), &body);
        let revoked = bulla::json::read(body.as_bytes()).map_err(|e| row.damaged(&e))?;
        list.push(Revocation { revoked, at, entry });
    }
    if found.count != expected.count || found.digest != expected.digest {
        return Err(damaged(
            tx.place(),
            format!(
                "its list of revocations is not the one that was signed: found {}, expected {}",
                found.count, expected.count
            ),
        ));
    }
    Ok(list)
}
