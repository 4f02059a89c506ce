//! What waits to be done: models to be signed again, and alerts to be sent.

use bulla::jiff::{SignedDuration, Timestamp};
use bulla::{Digest, Fault, ModelDigests};
use serde::Serialize;

use crate::database::{Row, binds, digest, int, micros};
use crate::event::{AlertTried, Event, ResignClaimed, ResignEnded};
use crate::list::Page;
use crate::project::Work;
use crate::registry::Registry;
use crate::wire;

/// A model that waits for a new signature, or did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ResignTask {
    /// The entry that queued it.
    pub id: u64,
    /// Which model.
    #[serde(with = "wire::model")]
    pub model: ModelDigests,
    /// The key that it is signed with until then.
    #[serde(with = "wire::optional_digest")]
    pub key: Option<Digest>,
    /// Why.
    pub reason: String,
    /// What became of it.
    pub state: ResignState,
    /// Why it was refused.
    pub why: Option<String>,
    /// Who has it, or had.
    pub worker: Option<String>,
    /// Until when it is nobody else's.
    pub lease: Option<Timestamp>,
    /// Since when it waits.
    pub queued_at: Timestamp,
}

/// What became of a model that waits for a new signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResignState {
    /// It waits.
    Pending,
    /// It was signed.
    Done,
    /// It was not, and `why` says why.
    Refused,
}

/// An alert that is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Alert {
    /// The entry that queued it.
    pub id: u64,
    /// Where to: a name in the configuration.
    pub destination: String,
    /// What.
    pub payload: String,
    /// How often it was tried.
    pub attempts: u64,
    /// Why it failed the last time.
    pub last_error: Option<String>,
    /// Since when it waits.
    pub queued_at: Timestamp,
}

const TASK: &str =
    "SELECT idx, model, oms, signing_key, reason, state, why, worker, lease, queued_at FROM resign";

impl Registry {
    /// Takes the oldest model that waits for a new signature and is in nobody's hands, for so long.
    ///
    /// # Errors
    /// When the registry cannot be believed or written.
    pub fn claim_resign(
        &self,
        worker: &str,
        lease: SignedDuration,
        now: Timestamp,
    ) -> Result<Option<ResignTask>, Fault> {
        self.write(now, async |work, _| {
            let sql = "SELECT idx, model, oms, signing_key, reason, state, why, worker, lease, queued_at \
                       FROM resign WHERE state = 'pending' AND (lease IS NULL OR lease <= $1) \
                       ORDER BY idx LIMIT 1";
            let Some(row) = work.row(sql, binds![micros(now)]).await? else { return Ok(None) };
            let until = now.checked_add(lease).map_err(|_| {
                self.fault("a lease ends after the end of time", "take it for less long")
            })?;
            let mut task = task(&row)?;
            let claimed = ResignClaimed { id: task.id, worker: worker.to_owned(), until };
            self.event(work, Event::ResignClaimed(claimed), now).await?;
            (task.worker, task.lease) = (Some(worker.to_owned()), Some(until));
            Ok(Some(task))
        })
    }

    /// Says what became of one: signed, or refused and why.
    ///
    /// # Errors
    /// When it is not this worker's any more, or the registry cannot be believed or written.
    pub fn end_resign(
        &self,
        id: u64,
        worker: &str,
        refused: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Fault> {
        self.write(now, async |work, _| {
            self.is_own(work, id, worker).await?;
            let refused = refused.map(str::to_owned);
            let ended = ResignEnded { id, worker: worker.to_owned(), refused };
            self.event(work, Event::ResignEnded(ended), now).await.map(drop)
        })
    }

    /// Gives one back that nothing became of: anybody may take it from now on.
    ///
    /// # Errors
    /// When it is not this worker's any more, or the registry cannot be believed or written.
    pub fn give_back_resign(&self, id: u64, worker: &str, now: Timestamp) -> Result<(), Fault> {
        self.write(now, async |work, _| {
            self.is_own(work, id, worker).await?;
            let until_now = ResignClaimed { id, worker: worker.to_owned(), until: now };
            self.event(work, Event::ResignClaimed(until_now), now).await.map(drop)
        })
    }

    /// That a task is in this worker's hands.
    async fn is_own(&self, work: &mut Work, id: u64, worker: &str) -> Result<(), Fault> {
        let sql = "SELECT idx, model, oms, signing_key, reason, state, why, worker, lease, queued_at \
                   FROM resign WHERE idx = $1";
        let row = work.row(sql, binds![int(id)]).await?;
        let found = match row.map(|row| task(&row)).transpose()? {
            None => "there is no such task".to_owned(),
            Some(task) if task.state != ResignState::Pending => "it is done".to_owned(),
            Some(task) => match task.worker {
                Some(own) if own == worker => return Ok(()),
                None => "nobody has taken it".to_owned(),
                Some(other) => format!("{other} has taken it"),
            },
        };
        Err(self.fault(
            format!("the task {id} is not {worker}'s: {found}"),
            "take a task before it is worked on, and for long enough",
        ))
    }

    /// Models that wait for new signatures, or did, oldest first.
    ///
    /// # Errors
    /// When the registry cannot be believed or read.
    pub fn resign_queue(
        &self,
        state: Option<ResignState>,
        page: Page<u64>,
        now: Timestamp,
    ) -> Result<Vec<ResignTask>, Fault> {
        self.read(now, async |reading| {
            let sql =
                format!("{TASK} WHERE idx > $1 AND ($2 = '' OR state = $2) ORDER BY idx LIMIT $3");
            let after = page.after.map_or(-1, int);
            let state = state.map_or("", ResignState::name);
            let rows = reading.tx.rows_own(sql, binds![after, state, page.limit()]).await?;
            rows.iter().map(task).collect()
        })
    }

    /// Alerts that are due, oldest first. Whoever sends them says so with [`alert_tried`](Self::alert_tried); until then they stay due: one may
    /// be sent twice, and none is lost.
    ///
    /// # Errors
    /// When the registry cannot be believed or read.
    pub fn due_alerts(&self, most: u32, now: Timestamp) -> Result<Vec<Alert>, Fault> {
        self.read(now, async |reading| {
            let sql = "SELECT idx, destination, payload, attempts, last_error, queued_at FROM alerts \
                       WHERE next_at <= $1 ORDER BY next_at, idx LIMIT $2";
            let rows = reading.tx.rows(sql, binds![micros(now), i64::from(most.min(1000))]).await?;
            let alert = |row: &Row| {
                Ok(Alert {
                    id: row.number(0)?,
                    destination: row.text(1)?,
                    payload: row.text(2)?,
                    attempts: row.number(3)?,
                    last_error: row.optional_text(4)?,
                    queued_at: row.time(5)?,
                })
            };
            rows.iter().map(alert).collect()
        })
    }

    /// Says what became of an alert: delivered, or why not and when it is tried again (never, if no time is given).
    ///
    /// # Errors
    /// When there is no such alert, or the registry cannot be believed or written.
    pub fn alert_tried(
        &self,
        id: u64,
        outcome: Result<(), (String, Option<Timestamp>)>,
        now: Timestamp,
    ) -> Result<(), Fault> {
        self.write(now, async |work, _| {
            let sql = "SELECT delivered_at FROM alerts WHERE idx = $1";
            match work.row(sql, binds![int(id)]).await? {
                None => {
                    return Err(self.fault(format!("there is no alert {id}"), "check its number"));
                }
                Some(row) if row.optional_int(0)?.is_some() => return Ok(()),
                Some(_) => {}
            }
            let tried = match outcome {
                Ok(()) => AlertTried { id, failed: None, next: None },
                Err((why, next)) => {
                    AlertTried { id, failed: Some(why.chars().take(1000).collect()), next }
                }
            };
            self.event(work, Event::AlertTried(tried), now).await.map(drop)
        })
    }
}

impl ResignState {
    fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

fn task(row: &Row) -> Result<ResignTask, Fault> {
    let state = match row.text(5)?.as_str() {
        "pending" => ResignState::Pending,
        "done" => ResignState::Done,
        "refused" => ResignState::Refused,
        _ => return Err(row.damaged("a state is none")),
    };
    let key = row.optional_bytes(3)?.map(|_| row.hash(3)).transpose()?;
    Ok(ResignTask {
        id: row.number(0)?,
        model: ModelDigests { manifest: row.digest(1)?, oms: row.digest(2)? },
        key: key.map(|key| digest(&key)),
        reason: row.text(4)?,
        state,
        why: row.optional_text(6)?,
        worker: row.optional_text(7)?,
        lease: row.optional_time(8)?,
        queued_at: row.time(9)?,
    })
}
