//! Withdrawing something, with all that follows from it, in one transaction.

use bulla::jiff::Timestamp;
use bulla::{Digest, Fault};
use serde::Serialize;

use crate::event::{
    AlertQueued, DecisionsWithdrawn, Event, Quarantined, ResignQueued, Revoked, RolledBack,
};
use crate::impact::{BlastRadius, blast_radius};
use crate::limits::{self, REQUESTS};
use crate::project::{Work, keys, read, values};
use crate::record::Record;
use crate::registry::Registry;
use crate::state::StateMap;
use crate::subject::Subject;
use crate::wire;

/// Deployments that an alert names; it says how many there are.
const ALERTED: usize = 50;

/// A revocation, and what is to follow from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationRequest {
    /// What is withdrawn, as of when, and why.
    pub revoked: Revoked,
    /// Models that fall go into quarantine.
    pub quarantine: bool,
    /// What runs and falls is rolled back to the last good release.
    pub roll_back: bool,
    /// Models whose signature stays, because it was made before, want a new one by another key.
    pub resign: bool,
    /// Who is told: names in the configuration.
    pub alerts: Vec<String>,
}

impl RevocationRequest {
    /// With everything that follows, and nobody told.
    #[must_use]
    pub fn new(revoked: Revoked) -> Self {
        Self { revoked, quarantine: true, roll_back: true, resign: true, alerts: Vec::new() }
    }
}

/// What a revocation does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// What is withdrawn.
    pub revoked: Revoked,
    /// Everything that rests on it.
    pub blast_radius: BlastRadius,
    /// Models that go into quarantine, by manifest digest: those that fall and are not there for this already. One that is there for something
    /// else is put there anew: who has looked at that has not looked at this.
    #[serde(with = "wire::digests")]
    pub quarantine: Vec<Digest>,
    /// Requests whose admission is withdrawn.
    pub withdraw: Vec<String>,
    /// What is rolled back, and to what.
    pub roll_back: Vec<RolledBack>,
    /// What is queued to be signed again.
    pub resign: Vec<ResignQueued>,
    /// What is queued to be told.
    pub alerts: Vec<AlertQueued>,
}

impl Registry {
    /// What a revocation would do. Nothing is written.
    ///
    /// # Errors
    /// When the registry cannot be believed or read, or the request has texts that it does not take.
    pub fn plan(&self, request: &RevocationRequest, now: Timestamp) -> Result<Plan, Fault> {
        self.read(now, async |reading| {
            let head = reading.signed.head;
            plan(&mut reading.tx, &mut reading.state, head, request, now, self.place()).await
        })
    }

    /// Withdraws something, for good, and does all of its plan at once: the plan is made anew in the same transaction, so that nothing that
    /// was written meanwhile is left out.
    ///
    /// # Errors
    /// As [`plan`](Self::plan), and when it could not be written: then nothing was.
    pub fn revoke(&self, request: &RevocationRequest, now: Timestamp) -> Result<Plan, Fault> {
        self.write(now, async |work, head| {
            let (head, place) = (head.head, self.place());
            let plan = plan(&mut work.tx, &mut work.state, head, request, now, place).await?;
            self.carry_out(work, &plan, now).await?;
            Ok(plan)
        })
    }

    async fn carry_out(&self, work: &mut Work, plan: &Plan, now: Timestamp) -> Result<(), Fault> {
        let (reason, by) = (withdrawn(&plan.revoked), &plan.revoked.by);
        self.event(work, Event::Revoked(plan.revoked.clone()), now).await?;
        for model in &plan.quarantine {
            let put = Quarantined { model: *model, reason: reason.clone(), by: by.clone() };
            self.event(work, Event::Quarantined(put), now).await?;
        }
        for requests in plan.withdraw.chunks(REQUESTS) {
            let withdrawn = DecisionsWithdrawn {
                requests: requests.to_vec(),
                reason: reason.clone(),
                by: by.clone(),
            };
            self.event(work, Event::DecisionsWithdrawn(withdrawn), now).await?;
        }
        for rolled_back in &plan.roll_back {
            self.event(work, Event::RolledBack(rolled_back.clone()), now).await?;
        }
        for queued in &plan.resign {
            self.record(work, &Record::Resign(queued.clone()), now).await?;
        }
        for alert in &plan.alerts {
            self.event(work, Event::AlertQueued(alert.clone()), now).await?;
        }
        Ok(())
    }

    /// Rolls one deployment back to the newest earlier release that nothing is known against; what runs then, or none. `from`: only if that is
    /// the release that runs, by its entry; somebody may have released another since it was looked at.
    ///
    /// # Errors
    /// When nothing or something else runs there, or the registry cannot be believed or written.
    pub fn roll_back(
        &self,
        environment: &str,
        name: &str,
        from: Option<u64>,
        reason: &str,
        now: Timestamp,
    ) -> Result<RolledBack, Fault> {
        self.write(now, async |work, head| {
            let key = keys::running(environment, name);
            let running: Option<crate::project::values::Running> = work.get(&key).await?;
            let running = running.ok_or_else(|| {
                self.fault(
                    format!("nothing runs as {name} in {environment}"),
                    "check the environment and the name",
                )
            })?;
            if from.is_some_and(|from| from != running.entry) {
                return Err(self.fault(
                    format!("{name} in {environment} is another release by now"),
                    "nothing was written; look at what runs there now",
                ));
            }
            // As if the model that runs was withdrawn.
            let revoked = Revoked {
                subject: Subject::model(crate::ModelRef::Manifest(running.model.manifest)),
                since: None,
                descendants: false,
                reason: reason.to_owned(),
                by: String::new(),
            };
            let found =
                blast_radius(&mut work.tx, &mut work.state, head.head, &revoked, now).await?;
            let release = found.releases.iter().find(|release| release.entry == running.entry);
            let to = release.and_then(|release| release.last_good.as_ref()).map(|good| good.entry);
            let rolled_back = RolledBack {
                environment: environment.to_owned(),
                name: name.to_owned(),
                from: running.entry,
                to,
                reason: reason.to_owned(),
            };
            self.event(work, Event::RolledBack(rolled_back.clone()), now).await?;
            Ok(rolled_back)
        })
    }
}

async fn plan(
    tx: &mut crate::database::Tx,
    state: &mut StateMap,
    head: bulla_log::Head,
    request: &RevocationRequest,
    now: Timestamp,
    place: &str,
) -> Result<Plan, Fault> {
    let revoked = &request.revoked;
    // Before anything is looked for.
    limits::check(place, &Event::Revoked(revoked.clone()))?;
    if let (Subject::Identity { until: Some(until), .. }, Some(since)) =
        (&revoked.subject, revoked.since)
        && *until <= since
    {
        return Err(Fault::Registry {
            place: place.to_owned(),
            detail: format!(
                "the identity is to be withdrawn from {since} until {until}, which is not later"
            ),
            hint: "nothing was written; correct the times",
        });
    }
    let found = blast_radius(tx, state, head, revoked, now).await?;
    let mut plan = Plan {
        revoked: revoked.clone(),
        blast_radius: found,
        quarantine: Vec::new(),
        withdraw: Vec::new(),
        roll_back: Vec::new(),
        resign: Vec::new(),
        alerts: Vec::new(),
    };
    let found = &plan.blast_radius;
    for affected in &found.models {
        let model = affected.model;
        if affected.falls {
            let known = state.get(tx, &keys::quarantine(&model.manifest)).await?;
            let known: Option<values::Quarantine> = read(place, known)?;
            let there = known.is_some_and(|known| known.is_for(&withdrawn(revoked), &revoked.by));
            if request.quarantine && !there {
                plan.quarantine.push(model.manifest);
            }
            continue;
        }
        let signed = affected.rests.iter().find(|rest| rest.role == "signer");
        // One that falls may be the one that lies beside the model, though an older one stands.
        if let Some(rest) = signed.filter(|_| request.resign) {
            let reason = withdrawn(revoked);
            plan.resign.push(ResignQueued { model, key: rest.key, reason });
        }
    }
    let falling = found.decisions.iter().filter(|decision| decision.falls);
    plan.withdraw.extend(falling.map(|decision| decision.request.clone()));
    if request.roll_back {
        let falling = found.releases.iter().filter(|release| release.falls);
        plan.roll_back.extend(falling.map(|release| RolledBack {
            environment: release.environment.clone(),
            name: release.name.clone(),
            from: release.entry,
            to: release.last_good.as_ref().map(|good| good.entry),
            reason: revoked.reason.clone(),
        }));
    }
    let payload = alert(&plan, now)?;
    plan.alerts.extend(request.alerts.iter().map(|destination| AlertQueued {
        destination: destination.clone(),
        payload: payload.clone(),
    }));
    Ok(plan)
}

/// Why something follows from a revocation: of which it says what was withdrawn, for two may be told in the same words.
fn withdrawn(revoked: &Revoked) -> String {
    let reason = format!("{} was withdrawn: {}", revoked.subject, revoked.reason);
    reason.chars().take(1000).collect()
}

/// What people are told, as JSON.
fn alert(plan: &Plan, now: Timestamp) -> Result<String, Fault> {
    #[derive(Serialize)]
    struct Alert<'a> {
        r#type: &'static str,
        at: Timestamp,
        subject: String,
        since: Option<Timestamp>,
        reason: &'a str,
        by: &'a str,
        models: usize,
        models_that_fall: usize,
        quarantined: usize,
        decisions_withdrawn: usize,
        to_be_signed_again: usize,
        rolled_back: usize,
        deployments: Vec<Deployment<'a>>,
    }
    #[derive(Serialize)]
    struct Deployment<'a> {
        environment: &'a str,
        name: &'a str,
        rolled_back_to: Option<u64>,
    }
    let Revoked { subject, since, reason, by, .. } = &plan.revoked;
    let models = &plan.blast_radius.models;
    let alert = Alert {
        r#type: "revocation",
        at: now,
        subject: subject.to_string(),
        since: *since,
        reason,
        by,
        models: models.len(),
        models_that_fall: models.iter().filter(|model| model.falls).count(),
        quarantined: plan.quarantine.len(),
        decisions_withdrawn: plan.withdraw.len(),
        to_be_signed_again: plan.resign.len(),
        rolled_back: plan.roll_back.len(),
        deployments: plan
            .roll_back
            .iter()
            .take(ALERTED)
            .map(|one| Deployment {
                environment: &one.environment,
                name: &one.name,
                rolled_back_to: one.to,
            })
            .collect(),
    };
    crate::project::encode(&alert)
}
