//! Writing things down: what callers hand in, and what becomes of it. What is known already is not written again.

use bulla::jiff::Timestamp;
use bulla::{Digest, Fault, ModelDigests};

use crate::database::binds;
use crate::event::{
    AlertQueued, ClaimSeen, Decided, DecisionsWithdrawn, Entry, Event, KeyAdded, KeyRetired,
    ModelSeen, PolicyRef, PolicyUsed, QuarantineLifted, Quarantined, Released, ResignQueued,
    RevocationsUsed, SignatureSeen,
};
use crate::limits::{self, ATTACHMENT, FILES};
use crate::log;
use crate::project::{Work, keys, values};
use crate::registry::{Registry, attachment};
use crate::wire::Sha256;

/// Something to write down.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record {
    /// A model was seen.
    Model(ModelSighting),
    /// A signature was seen. Only its first sight is written.
    Signature(SignatureSeen),
    /// A claim was seen. Likewise.
    Claim(ClaimSeen),
    /// A key comes into use.
    Key(KeyAdded),
    /// A key is used no more.
    KeyRetired(KeyRetired),
    /// A policy comes into use; never an older one again.
    Policy(PolicyUsed),
    /// A document of revocations comes into use; likewise.
    Revocations(RevocationsUsed),
    /// A model runs.
    Release(Released),
    /// A model may not be used for the time being.
    Quarantine(Quarantined),
    /// It may again.
    LiftQuarantine(QuarantineLifted),
    /// Decisions count no more.
    WithdrawDecisions(DecisionsWithdrawn),
    /// A model wants a new signature. One that waits for the same key already is not queued again.
    Resign(ResignQueued),
    /// Somebody is to be told something.
    Alert(AlertQueued),
}

/// A model that was seen somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSighting {
    /// Which.
    pub model: ModelDigests,
    /// What it is called there.
    pub name: String,
    /// Where: a path or URI, for people.
    pub place: String,
    /// Bytes of all its files.
    pub size: u64,
    /// SHA-256 of its files, where they are known; empty where not.
    pub files: Vec<Digest>,
}

/// A decision to write down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDecision {
    /// The request: whoever asks again with the same gets the same answer. One line of at most 128 bytes.
    pub request: String,
    /// The model. None of what was refused before it was known to be one: unsigned, or not what was signed.
    pub model: Option<ModelDigests>,
    /// For which environment.
    pub environment: String,
    /// By which name it would be deployed.
    pub name: String,
    /// By which policy. An older version than was used before, or another digest of the same, is a fault.
    pub policy: PolicyRef,
    /// The document of revocations that the policy named: version and digest. Likewise.
    pub revocations: Option<(u64, Digest)>,
    /// How many revocations this registry had when it was decided ([`Registry::revocations`]). If it has others now, or the model is in
    /// quarantine, an admission is a fault: what was withdrawn meanwhile was not asked for. None: nobody asked.
    pub withdrawn: Option<u64>,
    /// Whether it may be deployed.
    pub admitted: bool,
    /// Whether every rule was met.
    pub passed: bool,
    /// `enforce`, `warn`, `audit`.
    pub mode: String,
    /// When it was decided.
    pub time: Timestamp,
    /// Until when it counts.
    pub expires: Option<Timestamp>,
    /// The decision as JSON.
    pub json: Vec<u8>,
    /// The signed verdict.
    pub verdict: Option<Vec<u8>>,
    /// Signatures and claims that decided it, by their SHA-256. None named: it rests on all of the model's.
    pub evidence: Vec<Digest>,
}

impl NewDecision {
    /// What the log has of it.
    fn event(&self) -> Decided {
        Decided {
            request: self.request.clone(),
            model: self.model,
            environment: self.environment.clone(),
            name: self.name.clone(),
            policy: self.policy.clone(),
            admitted: self.admitted,
            passed: self.passed,
            mode: self.mode.clone(),
            time: self.time,
            expires: self.expires,
            decision: Digest::sha256(&self.json),
            verdict: self.verdict.as_deref().map(Digest::sha256),
            evidence: self.evidence.clone(),
        }
    }
}

/// The answer to a request, as it is in the log: proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What was decided.
    pub decided: Decided,
    /// The decision as JSON.
    pub json: Vec<u8>,
    /// The signed verdict.
    pub verdict: Option<Vec<u8>>,
    /// Its entry in the log.
    pub entry: u64,
    /// The request had been answered before, and nothing was written now.
    pub repeated: bool,
    /// Since when it counts no more; proven, too.
    pub withdrawn: Option<Timestamp>,
}

impl Registry {
    /// Writes things down, all or none: the entry of each, or none where it was known.
    ///
    /// # Errors
    /// When one of them contradicts what is known, is too large, or the registry cannot be believed or written.
    pub fn append(&self, records: &[Record], now: Timestamp) -> Result<Vec<Option<u64>>, Fault> {
        self.write(now, async |work, _| self.records(work, records, now).await)
    }

    /// The same, if there are still as many revocations as were looked at ([`revocations`](Self::revocations)); else nothing is written, and
    /// there are no entries: what was looked at is to be looked at again.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_if_current(
        &self,
        records: &[Record],
        revocations: u64,
        now: Timestamp,
    ) -> Result<Option<Vec<Option<u64>>>, Fault> {
        self.write(now, async |work, _| {
            if self.revoked(work).await? != revocations {
                return Ok(None);
            }
            self.records(work, records, now).await.map(Some)
        })
    }

    /// Writes a decision down, with what was seen for it. If the request was answered before that answer is returned, and nothing is
    /// written.
    ///
    /// # Errors
    /// As [`append`](Self::append), and when the request was about something else.
    pub fn record_decision(
        &self,
        seen: &[Record],
        decision: &NewDecision,
        now: Timestamp,
    ) -> Result<Answer, Fault> {
        let event = Event::Decided(decision.event());
        limits::check(self.place(), &event)?;
        self.write(now, async |work, head| {
            if let Some(answer) = self.answered(work, decision, head.head).await? {
                return Ok(answer);
            }
            self.records(work, seen, now).await?;
            self.decide(work, decision, now).await
        })
    }

    /// The answer that a request was given.
    ///
    /// # Errors
    /// When the registry cannot be believed or read.
    pub fn answer(&self, request: &str, now: Timestamp) -> Result<Option<Answer>, Fault> {
        if request.contains('\0') {
            // PostgreSQL has no such texts, and no request is one.
            return Ok(None);
        }
        self.read(now, async |reading| {
            let head = reading.signed.head;
            self.find(&mut reading.tx, &mut reading.state, request, head).await
        })
    }

    /// Puts a model into quarantine.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn quarantine(&self, put: Quarantined, now: Timestamp) -> Result<(), Fault> {
        self.append(&[Record::Quarantine(put)], now).map(drop)
    }

    /// Lets a model out of quarantine.
    ///
    /// # Errors
    /// As [`append`](Self::append), and when it is not in quarantine.
    pub fn lift_quarantine(&self, lifted: QuarantineLifted, now: Timestamp) -> Result<(), Fault> {
        self.append(&[Record::LiftQuarantine(lifted)], now).map(drop)
    }

    /// An answer as it was given, out of the log.
    async fn find(
        &self,
        tx: &mut crate::database::Tx,
        state: &mut crate::state::StateMap,
        request: &str,
        head: bulla_log::Head,
    ) -> Result<Option<Answer>, Fault> {
        let sql = "SELECT idx FROM decisions WHERE request = $1";
        let Some(row) = tx.row(sql, binds![request]).await? else { return Ok(None) };
        let index = row.number(0)?;
        let withdrawn = state.get(tx, &keys::withdrawn(request)).await?;
        let withdrawn: Option<values::At> = crate::project::read(tx.place(), withdrawn)?;
        let body = log::entry(tx, index, head).await?;
        let entry = Entry::decode(&body).map_err(|e| row.damaged(&e))?;
        let decided = match entry.event {
            Event::Decided(decided) if decided.request == request => decided,
            _ => return Err(row.damaged("its entry is not that decision")),
        };
        let json = attachment(tx, &decided.decision).await?;
        let verdict = match &decided.verdict {
            Some(digest) => Some(attachment(tx, digest).await?),
            None => None,
        };
        let withdrawn = withdrawn.map(|withdrawn| withdrawn.at);
        Ok(Some(Answer { decided, json, verdict, entry: index, repeated: true, withdrawn }))
    }

    async fn answered(
        &self,
        work: &mut Work,
        asked: &NewDecision,
        head: bulla_log::Head,
    ) -> Result<Option<Answer>, Fault> {
        let Some(answer) = self.find(&mut work.tx, &mut work.state, &asked.request, head).await?
        else {
            return Ok(None);
        };
        let then = &answer.decided;
        // What is no model any more may be the one that it was: unsigned by now, for one.
        let same = (asked.model.is_none() || then.model == asked.model)
            && then.environment == asked.environment
            && then.name == asked.name;
        if same {
            return Ok(Some(answer));
        }
        let what = |model: Option<ModelDigests>| {
            model.map_or_else(|| "what is no model".to_owned(), |model| model.to_string())
        };
        Err(self.fault(
            format!(
                "the request {} was about {} as {} in {}, and is now about {} as {} in {}",
                asked.request,
                what(then.model),
                then.name,
                then.environment,
                what(asked.model),
                asked.name,
                asked.environment
            ),
            "give each request an id of its own",
        ))
    }

    async fn decide(
        &self,
        work: &mut Work,
        new: &NewDecision,
        now: Timestamp,
    ) -> Result<Answer, Fault> {
        let policy = &new.policy;
        let key = keys::policy(&policy.name);
        // By an older policy nothing is admitted; that it was refused may be written down.
        if new.admitted {
            self.no_older(work, &key, "policy", (policy.version, policy.digest)).await?;
            self.nothing_new(work, new).await?;
        }
        if let Some((version, digest)) = new.revocations {
            let used = RevocationsUsed { policy: policy.name.clone(), version, digest };
            self.record(work, &Record::Revocations(used), now).await?;
        }
        let decided = new.event();
        for (what, bytes) in
            [("the decision", Some(&new.json)), ("the verdict", new.verdict.as_ref())]
        {
            let Some(bytes) = bytes else { continue };
            if bytes.len() > ATTACHMENT {
                return Err(self.fault(
                    format!("{what} has {} bytes, more than {ATTACHMENT}", bytes.len()),
                    "nothing was written",
                ));
            }
            work.attach(bytes);
        }
        let entry = self.event(work, Event::Decided(decided.clone()), now).await?;
        Ok(Answer {
            decided,
            json: new.json.clone(),
            verdict: new.verdict.clone(),
            entry,
            repeated: false,
            withdrawn: None,
        })
    }

    /// Appends an event after a look at its texts.
    pub(crate) async fn event(
        &self,
        work: &mut Work,
        event: Event,
        now: Timestamp,
    ) -> Result<u64, Fault> {
        limits::check(self.place(), &event)?;
        work.append(now, event, &[]).await
    }

    async fn records(
        &self,
        work: &mut Work,
        records: &[Record],
        now: Timestamp,
    ) -> Result<Vec<Option<u64>>, Fault> {
        let mut entries = Vec::with_capacity(records.len());
        for record in records {
            entries.push(self.record(work, record, now).await?);
        }
        Ok(entries)
    }

    pub(crate) async fn record(
        &self,
        work: &mut Work,
        record: &Record,
        now: Timestamp,
    ) -> Result<Option<u64>, Fault> {
        let event = match record {
            Record::Model(sighting) => return self.sighting(work, sighting, now).await,
            Record::Signature(seen) => {
                let binds = binds![&seen.signature, &seen.model.manifest];
                // Proven, and not by a row alone: whoever writes one before would hide it from what is looked for when its key is withdrawn.
                let first: Option<values::At> =
                    work.get(&keys::first_seen(&seen.signature)).await?;
                if first.is_some() && self.is_there(work, EVIDENCE, binds).await? {
                    return Ok(None);
                }
                Event::SignatureSeen(seen.clone())
            }
            Record::Claim(seen) => {
                let binds = binds![&seen.claim, &seen.model.manifest];
                if self.is_there(work, EVIDENCE, binds).await? {
                    return Ok(None);
                }
                Event::ClaimSeen(seen.clone())
            }
            Record::Key(key) => {
                let sql = "SELECT authority, id FROM keys WHERE fingerprint = $1";
                match work.row(sql, binds![&key.fingerprint]).await? {
                    None => Event::KeyAdded(key.clone()),
                    Some(row) if row.text(0)? == key.authority && row.text(1)? == key.id => {
                        return Ok(None);
                    }
                    Some(row) => {
                        return Err(self.fault(
                            format!(
                                "the key {} is {} of {} already, and is now to be {} of {}",
                                key.fingerprint,
                                row.text(1)?,
                                row.text(0)?,
                                key.id,
                                key.authority
                            ),
                            "use a key of its own for each authority",
                        ));
                    }
                }
            }
            Record::KeyRetired(key) => {
                let sql = "SELECT retired_at FROM keys WHERE fingerprint = $1";
                match work.row(sql, binds![&key.fingerprint]).await? {
                    Some(row) if row.optional_int(0)?.is_none() => Event::KeyRetired(key.clone()),
                    Some(_) => return Ok(None),
                    None => {
                        return Err(self.fault(
                            format!("the key {} is not known", key.fingerprint),
                            "add the key first, or check its fingerprint",
                        ));
                    }
                }
            }
            Record::Policy(used) => {
                let key = keys::policy(&used.name);
                if self.no_older(work, &key, "policy", (used.version, used.digest)).await? {
                    return Ok(None);
                }
                Event::PolicyUsed(used.clone())
            }
            Record::Revocations(used) => {
                let key = keys::revocation_document(&used.policy);
                let version = (used.version, used.digest);
                if self.no_older(work, &key, "document of revocations", version).await? {
                    return Ok(None);
                }
                Event::RevocationsUsed(used.clone())
            }
            Record::Release(released) => {
                if self.runs(work, released).await? {
                    return Ok(None);
                }
                self.may_run(work, released).await?;
                Event::Released(released.clone())
            }
            Record::Quarantine(put) => {
                let key = keys::quarantine(&put.model);
                let known: Option<values::Quarantine> = work.get(&key).await?;
                if known.is_some_and(|known| known.is_for(&put.reason, &put.by)) {
                    return Ok(None);
                }
                Event::Quarantined(put.clone())
            }
            Record::LiftQuarantine(lifted) => {
                let key = keys::quarantine(&lifted.model);
                let model = format!("the model oms-manifest-v1:{}", lifted.model.to_hex());
                match work.get::<values::Quarantine>(&key).await? {
                    Some(known) if known.entry == lifted.entry => {
                        Event::QuarantineLifted(lifted.clone())
                    }
                    Some(known) => {
                        return Err(self.fault(
                            format!(
                                "{model} was put into quarantine again while it was looked at: {}",
                                known.reason()
                            ),
                            "nothing was written; look at that, too, and lift it then",
                        ));
                    }
                    None => {
                        let detail = format!("{model} is not in quarantine");
                        return Err(self.fault(detail, "check its digest"));
                    }
                }
            }
            Record::WithdrawDecisions(withdrawn) => {
                for request in &withdrawn.requests {
                    let sql = "SELECT 1 FROM decisions WHERE request = $1";
                    if !self.is_there(work, sql, binds![request.as_str()]).await? {
                        return Err(self.fault(
                            format!("no request {request} was answered"),
                            "nothing was written; check the request",
                        ));
                    }
                }
                Event::DecisionsWithdrawn(withdrawn.clone())
            }
            Record::Resign(queued) => {
                let sql = "SELECT signing_key FROM resign WHERE model = $1 AND state = 'pending'";
                for row in work.rows(sql, binds![&queued.model.manifest]).await? {
                    let key = queued.key.as_ref().map(|key| key.as_bytes().to_vec());
                    if row.optional_bytes(0)? == key {
                        return Ok(None);
                    }
                }
                Event::ResignQueued(queued.clone())
            }
            Record::Alert(alert) => Event::AlertQueued(alert.clone()),
        };
        self.event(work, event, now).await.map(Some)
    }

    async fn sighting(
        &self,
        work: &mut Work,
        sighting: &ModelSighting,
        now: Timestamp,
    ) -> Result<Option<u64>, Fault> {
        let ModelSighting { model, name, place, size, files } = sighting;
        if files.len() > FILES {
            return Err(self.fault(
                format!("the model has {} files, more than {FILES}", files.len()),
                "name the model without its files",
            ));
        }
        let mut list: Vec<_> = files.iter().copied().map(Sha256).collect();
        list.sort_unstable();
        list.dedup();
        let encoded = crate::project::encode(&list)?;
        let list_digest = (!list.is_empty()).then(|| Digest::sha256(encoded.as_bytes()));
        let seen = ModelSeen {
            model: *model,
            name: name.clone(),
            place: place.clone(),
            size: *size,
            files: list_digest,
        };
        let event = Event::ModelSeen(seen);
        limits::check(self.place(), &event)?;
        let sql = "SELECT files FROM sightings WHERE model = $1 AND name = $2 AND place = $3";
        let binds = binds![&model.manifest, name.as_str(), place.as_str()];
        let digest = list_digest.map_or_else(Vec::new, |digest| digest.as_bytes().to_vec());
        for row in work.rows(sql, binds).await? {
            // Files that are found out later are news.
            if digest.is_empty() || row.bytes(0)? == digest {
                return Ok(None);
            }
        }
        if !list.is_empty() {
            work.attach(encoded.as_bytes());
        }
        let files: Vec<_> = list.into_iter().map(|Sha256(digest)| digest).collect();
        work.append(now, event, &files).await.map(Some)
    }

    /// Whether what was known when something was decided is all that there is to know: between deciding and writing down somebody may have
    /// withdrawn a key, or put the model into quarantine.
    async fn nothing_new(&self, work: &mut Work, new: &NewDecision) -> Result<(), Fault> {
        let Some(known) = new.withdrawn else { return Ok(()) };
        let revoked = self.revoked(work).await?;
        let quarantine: Option<values::Quarantine> = match &new.model {
            Some(model) => work.get(&keys::quarantine(&model.manifest)).await?,
            None => None,
        };
        // Where rules are only looked at it is admitted in quarantine, too, and has been told so.
        let stops = quarantine.is_some() && new.mode == "enforce";
        if revoked == known && !stops {
            return Ok(());
        }
        Err(self.fault(
            "something was withdrawn, or the model was put into quarantine, while it was decided",
            "nothing was written; ask again: it is decided anew, by what is known now",
        ))
    }

    /// How many revocations there are.
    async fn revoked(&self, work: &mut Work) -> Result<u64, Fault> {
        let list: Option<values::Chain> = work.get(&keys::revocations()).await?;
        Ok(list.unwrap_or_default().count)
    }

    async fn is_there(
        &self,
        work: &mut Work,
        sql: &'static str,
        binds: Vec<crate::database::Bind>,
    ) -> Result<bool, Fault> {
        Ok(work.row(sql, binds).await?.is_some())
    }

    /// Whether this version is the one that was used last; an older one is a fault, and so is another of the same number.
    async fn no_older(
        &self,
        work: &mut Work,
        key: &str,
        what: &str,
        (version, digest): (u64, Digest),
    ) -> Result<bool, Fault> {
        let Some(known) = work.get::<values::Version>(key).await? else { return Ok(false) };
        if version < known.version {
            return Err(self.fault(
                format!(
                    "the {what} has version {version}, and version {} was used before",
                    known.version
                ),
                "use the newest version; an older one may allow what was forbidden since",
            ));
        }
        if version == known.version && digest != known.digest.0 {
            return Err(self.fault(
                format!(
                    "the {what} has version {version} and digest {digest}, and was {} when that version was used before",
                    known.digest
                ),
                "give what was changed a higher version",
            ));
        }
        Ok(version == known.version)
    }

    /// Whether nothing is known against what is to run: it may have been withdrawn since whoever releases it looked.
    async fn may_run(&self, work: &mut Work, released: &Released) -> Result<(), Fault> {
        let Released { environment, name, model, request, .. } = released;
        let quarantine: Option<values::Quarantine> =
            work.get(&keys::quarantine(&model.manifest)).await?;
        let standing: Option<values::Standing> =
            work.get(&keys::standing(&model.manifest, environment)).await?;
        let sql = "SELECT 1 FROM decisions WHERE request = $1";
        let decided = work.row(sql, binds![request.as_str()]).await?.is_some();
        let revoked = self.revoked(work).await?;
        let why = match (quarantine, standing) {
            (Some(quarantine), _) => format!("it is in quarantine: {}", quarantine.reason()),
            (None, Some(standing)) if !standing.decided.admitted => "it was refused since".into(),
            // Each revocation has withdrawn what its search found, and that search goes over tables that are not proven.
            (None, Some(standing)) if standing.revocations != revoked => {
                "something was withdrawn since it was admitted".to_owned()
            }
            (None, None) if decided => "its admission was withdrawn".to_owned(),
            _ => return Ok(()),
        };
        Err(self.fault(
            format!("{name} in {environment} may not run: {why}"),
            "have it decided about anew, by a request of its own",
        ))
    }

    /// Whether this release runs already; one with a lower sequence than the highest is a fault.
    async fn runs(&self, work: &mut Work, released: &Released) -> Result<bool, Fault> {
        let Released { environment, name, sequence, model, .. } = released;
        let running: Option<values::Running> = work.get(&keys::running(environment, name)).await?;
        if running.is_some_and(|now| now.model == *model && now.sequence == *sequence) {
            return Ok(true);
        }
        let Some(sequence) = *sequence else { return Ok(false) };
        let highest: Option<values::Sequence> =
            work.get(&keys::released(environment, name)).await?;
        match highest {
            Some(highest) if sequence < highest.sequence => Err(self.fault(
                format!(
                    "the release of {name} in {environment} has sequence {sequence}, and {} ran before",
                    highest.sequence
                ),
                "release the newest; to go back on purpose, roll back",
            )),
            _ => Ok(false),
        }
    }
}

const EVIDENCE: &str = "SELECT 1 FROM evidence WHERE what = $1 AND model = $2";
