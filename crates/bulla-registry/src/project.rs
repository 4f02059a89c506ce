//! From events to tables: what each event changes. The same code writes a registry, brings an export in, and makes what an audit compares
//! with; so nothing here may depend on anything but the events before.

use bulla::jiff::Timestamp;
use bulla::{Digest, Fault, ModelDigests};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::damaged;
use crate::database::{Bind, Pending, Row, Tx, binds, int, micros};
use crate::event::{Basis, Decided, Entry, Event, Released, Revoked, RolledBack};
use crate::log::Frontier;
use crate::schema::{
    ALERTS, ATTACHMENTS, DECISIONS, EVIDENCE, KEYS, LINEAGE, LOG_ENTRIES, MODELS, QUARANTINES,
    RELEASES, RESIGN, RESTS_ON, REVOCATIONS, SIGHTINGS,
};
use crate::state::{StateMap, name};
use crate::subject::{Kind, ModelRef, Subject, fold};
use crate::wire::{self, Sha256};

/// The most bytes of an entry: what a bundle of C2SP's tlog-tiles can hold.
const MAX_ENTRY: usize = bulla_log::tile::MAX_ENTRY;
/// Why a model is in quarantine: the newest of so many reasons are kept in mind. All are in the log.
const CAUSES: usize = 64;
/// What the digest of all revocations begins with.
const CHAIN: &[u8] = b"bulla registry revocations v1\n";

/// Keys of the map of what is in force.
pub(crate) mod keys {
    use super::*;

    pub(crate) fn first_seen(signature: &Digest) -> String {
        name(&["first-seen", &signature.to_hex()])
    }
    pub(crate) fn quarantine(model: &Digest) -> String {
        name(&["quarantine", &model.to_hex()])
    }
    pub(crate) fn released(environment: &str, model: &str) -> String {
        name(&["released", environment, model])
    }
    pub(crate) fn running(environment: &str, model: &str) -> String {
        name(&["running", environment, model])
    }
    pub(crate) fn decided(environment: &str, model: &str) -> String {
        name(&["decided", environment, model])
    }
    pub(crate) fn standing(model: &Digest, environment: &str) -> String {
        name(&["standing", &model.to_hex(), environment])
    }
    pub(crate) fn withdrawn(request: &str) -> String {
        name(&["withdrawn", request])
    }
    pub(crate) fn approvals_since(model: &Digest) -> String {
        name(&["approvals-since", &model.to_hex()])
    }
    pub(crate) fn policy(policy: &str) -> String {
        name(&["policy", policy])
    }
    pub(crate) fn revocation_document(policy: &str) -> String {
        name(&["revocation-document", policy])
    }
    pub(crate) fn revocations() -> String {
        name(&["revocations"])
    }
    pub(crate) fn revocation(subject: &Subject) -> String {
        let (kind, value, provider) = subject.indexed();
        let until = subject.until().map(|time| time.to_string()).unwrap_or_default();
        name(&["revocation", kind.name(), &hex::encode(value), provider, &until])
    }
}

/// Values of that map.
pub(crate) mod values {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    pub(crate) struct At {
        pub(crate) at: Timestamp,
    }

    #[derive(Debug, Serialize, Deserialize)]
    pub(crate) struct Version {
        pub(crate) digest: Sha256,
        pub(crate) version: u64,
    }

    #[derive(Debug, Serialize, Deserialize)]
    pub(crate) struct Sequence {
        pub(crate) sequence: u64,
    }

    #[derive(Debug, Serialize, Deserialize)]
    pub(crate) struct Running {
        pub(crate) entry: u64,
        #[serde(with = "wire::model")]
        pub(crate) model: ModelDigests,
        pub(crate) request: String,
        pub(crate) rolled_back: bool,
        pub(crate) sequence: Option<u64>,
    }

    #[derive(Debug, Serialize, Deserialize)]
    pub(crate) struct Quarantine {
        /// Why, the newest first; never none.
        pub(crate) causes: Vec<Cause>,
        /// The entry that put it there last.
        pub(crate) entry: u64,
    }

    #[derive(Debug, Serialize, Deserialize)]
    pub(crate) struct Cause {
        pub(crate) at: Timestamp,
        pub(crate) by: String,
        pub(crate) reason: String,
    }

    impl Quarantine {
        /// Whether it is there for this already.
        pub(crate) fn is_for(&self, reason: &str, by: &str) -> bool {
            self.causes.iter().any(|cause| cause.reason == reason && cause.by == by)
        }

        /// Why it was put there last.
        pub(crate) fn reason(&self) -> &str {
            self.causes.first().map_or("", |cause| &cause.reason)
        }
    }

    /// The decision, its entry in the log, and how much had been revoked by then.
    #[derive(Debug, Serialize, Deserialize)]
    pub(crate) struct Standing {
        pub(crate) decided: Decided,
        pub(crate) entry: u64,
        pub(crate) revocations: u64,
    }

    #[derive(Debug, Serialize, Deserialize)]
    pub(crate) struct Chain {
        pub(crate) count: u64,
        pub(crate) digest: Sha256,
    }

    impl Default for Chain {
        fn default() -> Self {
            Self { count: 0, digest: Sha256(Digest::sha256(CHAIN)) }
        }
    }

    impl Chain {
        /// With one more revocation.
        pub(crate) fn with(&self, index: u64, at: i64, body: &str) -> Self {
            let before = self.digest.0;
            let numbers = [index.to_be_bytes(), at.to_be_bytes()];
            let bytes = [CHAIN, before.as_bytes(), numbers.as_flattened(), body.as_bytes()];
            let digest = Sha256(Digest::sha256(&bytes.concat()));
            Self { count: self.count + 1, digest }
        }
    }
}

/// Reads a value of the map. It is signed, so that only another version of this program can have written what cannot be read.
pub(crate) fn read<T: DeserializeOwned>(
    place: &str,
    value: Option<String>,
) -> Result<Option<T>, Fault> {
    let parse = |text: String| {
        serde_json::from_str(&text)
            .map_err(|e| damaged(place, format!("what is in force cannot be read: {e}")))
    };
    value.map(parse).transpose()
}

/// In canonical form.
pub(crate) fn encode(value: &impl Serialize) -> Result<String, Fault> {
    serde_json_canonicalizer::to_string(value)
        .map_err(|_| Fault::Bug { what: "a value has no canonical form" })
}

/// A registry that is being written: the transaction, rows that wait, the log and the map as they become.
pub(crate) struct Work {
    pub(crate) tx: Tx,
    pub(crate) rows: Pending,
    pub(crate) state: StateMap,
    pub(crate) frontier: Frontier,
    /// Whether entries and attachments are kept, or only what follows from them.
    pub(crate) keeps_bytes: bool,
}

impl Work {
    pub(crate) fn new(tx: Tx, state: StateMap, frontier: Frontier) -> Self {
        Self { tx, rows: Pending::default(), state, frontier, keeps_bytes: true }
    }

    /// Rows of what there is, with what was just added.
    pub(crate) async fn rows(
        &mut self,
        sql: &'static str,
        binds: Vec<Bind>,
    ) -> Result<Vec<Row>, Fault> {
        self.rows.write(&mut self.tx).await?;
        self.tx.rows(sql, binds).await
    }

    pub(crate) async fn row(
        &mut self,
        sql: &'static str,
        binds: Vec<Bind>,
    ) -> Result<Option<Row>, Fault> {
        Ok(self.rows(sql, binds).await?.into_iter().next())
    }

    async fn execute(&mut self, sql: &'static str, binds: Vec<Bind>) -> Result<u64, Fault> {
        self.rows.write(&mut self.tx).await?;
        self.tx.execute(sql, binds).await
    }

    /// A value of the map of what is in force.
    pub(crate) async fn get<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, Fault> {
        let value = self.state.get(&mut self.tx, key).await?;
        read(self.tx.place(), value)
    }

    async fn set(&mut self, key: &str, value: Option<&impl Serialize>) -> Result<(), Fault> {
        let value = value.map(encode).transpose()?;
        self.state.set(&mut self.tx, key, value).await
    }

    /// Keeps bytes beside the log; their digest.
    pub(crate) fn attach(&mut self, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        self.rows.add(&ATTACHMENTS, binds![&digest, bytes]);
        digest
    }

    /// Appends an event, and changes the tables by it: the index of its entry.
    pub(crate) async fn append(
        &mut self,
        at: Timestamp,
        event: Event,
        files: &[Digest],
    ) -> Result<u64, Fault> {
        let refused = |detail: String| Fault::Registry {
            place: self.tx.place().to_owned(),
            detail,
            hint: "nothing was written; give less at once",
        };
        let entry = Entry::new(at, event);
        let body = entry.encode().map_err(|e| refused(format!("an event has no form: {e}")))?;
        if body.len() > MAX_ENTRY {
            return Err(refused(format!(
                "an event has {} bytes, more than the {MAX_ENTRY} that an entry may have",
                body.len()
            )));
        }
        self.append_encoded(body, &entry, files).await
    }

    pub(crate) async fn append_encoded(
        &mut self,
        body: Vec<u8>,
        entry: &Entry,
        files: &[Digest],
    ) -> Result<u64, Fault> {
        let index = self.frontier.append(&body, &mut self.rows);
        if self.keeps_bytes {
            self.rows.add(&LOG_ENTRIES, binds![int(index), body]);
        }
        self.apply(index, entry.at, &entry.event, files).await?;
        if self.rows.is_full() {
            self.rows.write(&mut self.tx).await?;
        }
        Ok(index)
    }

    async fn apply(
        &mut self,
        index: u64,
        at: Timestamp,
        event: &Event,
        files: &[Digest],
    ) -> Result<(), Fault> {
        let now = micros(at);
        match event {
            Event::ModelSeen(seen) => {
                self.model(&seen.model, now);
                let manifest = &seen.model.manifest;
                self.rows.add(
                    &SIGHTINGS,
                    binds![
                        manifest,
                        seen.name.as_str(),
                        seen.place.as_str(),
                        // Of files that are not known, nothing: what is found out later is a sighting of its own.
                        seen.files.map_or_else(Vec::new, |list| list.as_bytes().to_vec()),
                        int(seen.size),
                        now
                    ],
                );
                for file in files {
                    self.is(Kind::File, file, manifest);
                }
            }
            Event::SignatureSeen(seen) => {
                self.model(&seen.model, now);
                let authorities = encode(&seen.authorities)?;
                let what = &seen.signature;
                self.evidence(
                    what,
                    &seen.model,
                    ["signature", "", "signer"],
                    authorities,
                    now,
                    &seen.basis,
                )?;
                let key = keys::first_seen(what);
                if self.get::<values::At>(&key).await?.is_none() {
                    self.set(&key, Some(&values::At { at })).await?;
                }
            }
            Event::ClaimSeen(seen) => {
                self.model(&seen.model, now);
                let kind = ["claim", seen.predicate_type.as_str(), seen.role.as_str()];
                self.evidence(&seen.claim, &seen.model, kind, "[]".into(), now, &seen.basis)?;
                for parent in &seen.parents {
                    let (kind, value) = (parent.kind().name(), parent.digest());
                    let row = binds![kind, value, &seen.model.manifest, &seen.claim];
                    self.rows.add(&LINEAGE, row);
                }
            }
            Event::KeyAdded(key) => self.rows.add(
                &KEYS,
                binds![
                    &key.fingerprint,
                    key.authority.as_str(),
                    key.id.as_str(),
                    key.algorithm.as_str(),
                    key.storage.as_str(),
                    key.valid_from.map(micros),
                    key.valid_until.map(micros),
                    now,
                    None::<i64>,
                    None::<Vec<u8>>,
                    None::<i64>
                ],
            ),
            Event::KeyRetired(key) => {
                let sql = "UPDATE keys SET retired_at = $1, replaced_by = $2, overlap_until = $3 \
                           WHERE fingerprint = $4";
                let overlap = key.overlap_until.map(micros);
                let binds = binds![now, key.replaced_by.as_ref(), overlap, &key.fingerprint];
                self.execute(sql, binds).await?;
            }
            Event::Decided(decided) => self.decided(index, at, decided).await?,
            Event::DecisionsWithdrawn(withdrawn) => {
                for request in &withdrawn.requests {
                    self.withdraw(request, at).await?;
                }
            }
            Event::PolicyUsed(used) => {
                self.version(&keys::policy(&used.name), used.version, used.digest).await?;
            }
            Event::RevocationsUsed(used) => {
                let key = keys::revocation_document(&used.policy);
                self.version(&key, used.version, used.digest).await?;
            }
            Event::Released(released) => self.released(index, now, released).await?,
            Event::RolledBack(rolled_back) => self.rolled_back(now, rolled_back).await?,
            Event::Revoked(revoked) => self.revoked(index, now, revoked).await?,
            Event::Quarantined(put) => {
                let (model, by, reason) = (&put.model, put.by.as_str(), put.reason.as_str());
                self.rows.add(&QUARANTINES, binds![model, reason, by, now]);
                let key = keys::quarantine(model);
                let known: Option<values::Quarantine> = self.get(&key).await?;
                let newest = values::Cause { at, by: by.into(), reason: reason.into() };
                let earlier = known.into_iter().flat_map(|known| known.causes);
                let causes = std::iter::once(newest).chain(earlier).take(CAUSES).collect();
                self.set(&key, Some(&values::Quarantine { causes, entry: index })).await?;
            }
            Event::QuarantineLifted(lifted) => {
                let sql = "DELETE FROM quarantines WHERE model = $1";
                self.execute(sql, binds![&lifted.model]).await?;
                self.set(&keys::quarantine(&lifted.model), None::<&()>).await?;
                if let Some(at) = lifted.approvals_since {
                    let key = keys::approvals_since(&lifted.model);
                    self.set(&key, Some(&values::At { at })).await?;
                }
            }
            Event::ResignQueued(queued) => self.rows.add(
                &RESIGN,
                binds![
                    int(index),
                    &queued.model.manifest,
                    &queued.model.oms,
                    queued.key.as_ref(),
                    queued.reason.as_str(),
                    "pending",
                    None::<String>,
                    None::<String>,
                    None::<i64>,
                    now
                ],
            ),
            Event::ResignClaimed(claimed) => {
                let sql = "UPDATE resign SET worker = $1, lease = $2 WHERE idx = $3";
                let until = micros(claimed.until);
                self.execute(sql, binds![claimed.worker.as_str(), until, int(claimed.id)]).await?;
            }
            Event::ResignEnded(ended) => {
                let sql = "UPDATE resign SET state = $1, why = $2, worker = $3, lease = NULL \
                           WHERE idx = $4";
                let state = if ended.refused.is_some() { "refused" } else { "done" };
                let binds =
                    binds![state, ended.refused.clone(), ended.worker.as_str(), int(ended.id)];
                self.execute(sql, binds).await?;
            }
            Event::AlertQueued(alert) => self.rows.add(
                &ALERTS,
                binds![
                    int(index),
                    alert.destination.as_str(),
                    alert.payload.as_str(),
                    0_i64,
                    now,
                    None::<i64>,
                    None::<String>,
                    now
                ],
            ),
            Event::AlertTried(tried) => {
                let sql = "UPDATE alerts SET attempts = attempts + 1, next_at = $1, \
                           delivered_at = $2, last_error = $3 WHERE idx = $4";
                let delivered = tried.failed.is_none().then_some(now);
                let next = tried.next.map(micros);
                let binds = binds![next, delivered, tried.failed.clone(), int(tried.id)];
                self.execute(sql, binds).await?;
            }
        }
        Ok(())
    }

    /// A model by its digests, with what names it.
    fn model(&mut self, model: &ModelDigests, now: i64) {
        self.rows.add(&MODELS, binds![&model.manifest, &model.oms, now]);
        for name in ModelRef::of(model) {
            self.is(name.kind(), name.digest(), &model.manifest);
        }
    }

    fn is(&mut self, kind: Kind, value: &Digest, model: &Digest) {
        let none: &[u8] = &[];
        self.rows.add(
            &RESTS_ON,
            binds![kind.name(), value, model, "contents", none, "", None::<i64>, None::<i64>],
        );
    }

    /// A signature or claim, and everything that it rests on.
    fn evidence(
        &mut self,
        what: &Digest,
        model: &ModelDigests,
        [kind, predicate, role]: [&str; 3],
        authorities: String,
        now: i64,
        basis: &Basis,
    ) -> Result<(), Fault> {
        let model = &model.manifest;
        let row = binds![what, model, kind, predicate, role, authorities, encode(basis)?, now];
        self.rows.add(&EVIDENCE, row);
        let provider = basis.provider.as_deref().unwrap_or_default();
        let trusted = basis.trusted(|_| false).map(micros);
        let not_before = basis.not_before.map(micros);
        let mut rest = |kind: Kind, value: Vec<u8>, trusted: Option<i64>| {
            let row = binds![kind.name(), value, model, role, what, provider, trusted, not_before];
            self.rows.add(&RESTS_ON, row);
        };
        for key in &basis.keys {
            rest(Kind::Key, key.as_bytes().to_vec(), trusted);
        }
        for certificate in &basis.certificates {
            rest(Kind::Certificate, certificate.as_bytes().to_vec(), trusted);
        }
        for identity in &basis.identities {
            rest(Kind::Identity, fold(identity), trusted);
        }
        for time in &basis.times {
            for clock in &time.clocks {
                rest(Kind::Clock, clock.as_bytes().to_vec(), Some(micros(time.at)));
            }
        }
        Ok(())
    }

    async fn decided(&mut self, index: u64, at: Timestamp, decided: &Decided) -> Result<(), Fault> {
        let Decided { environment, name, policy, .. } = decided;
        let manifest = decided.model.as_ref().map(|model| &model.manifest);
        let none: &[u8] = &[];
        self.rows.add(
            &DECISIONS,
            binds![
                decided.request.as_str(),
                int(index),
                manifest.map_or(none.into(), Bind::from),
                environment.as_str(),
                name.as_str(),
                decided.admitted,
                decided.passed,
                micros(decided.time),
                decided.expires.map(micros),
                None::<i64>
            ],
        );
        if let Some(manifest) = manifest {
            let chain: Option<values::Chain> = self.get(&keys::revocations()).await?;
            let revocations = chain.unwrap_or_default().count;
            let standing = values::Standing { decided: decided.clone(), entry: index, revocations };
            self.set(&keys::standing(manifest, environment), Some(&standing)).await?;
        }
        let at = at.max(decided.time);
        self.set(&keys::decided(environment, name), Some(&values::At { at })).await?;
        // What refused everything may be anybody's: only a policy that has let something through is not gone back behind.
        if !decided.admitted {
            return Ok(());
        }
        self.version(&keys::policy(&policy.name), policy.version, policy.digest).await
    }

    /// The highest version that was used.
    async fn version(&mut self, key: &str, version: u64, digest: Digest) -> Result<(), Fault> {
        let known: Option<values::Version> = self.get(key).await?;
        if known.is_none_or(|known| known.version < version) {
            let value = values::Version { digest: Sha256(digest), version };
            self.set(key, Some(&value)).await?;
        }
        Ok(())
    }

    async fn withdraw(&mut self, request: &str, at: Timestamp) -> Result<(), Fault> {
        let now = micros(at);
        let withdrawn = keys::withdrawn(request);
        if self.get::<values::At>(&withdrawn).await?.is_none() {
            self.set(&withdrawn, Some(&values::At { at })).await?;
        }
        let sql = "SELECT model, environment FROM decisions WHERE request = $1";
        let Some(row) = self.row(sql, binds![request]).await? else { return Ok(()) };
        // What was no model stands for nothing.
        if row.bytes(0)?.is_empty() {
            return Ok(());
        }
        let key = keys::standing(&row.digest(0)?, &row.text(1)?);
        let sql =
            "UPDATE decisions SET withdrawn_at = $1 WHERE request = $2 AND withdrawn_at IS NULL";
        self.execute(sql, binds![now, request]).await?;
        let standing: Option<values::Standing> = self.get(&key).await?;
        if standing.is_some_and(|standing| standing.decided.request == request) {
            self.set(&key, None::<&()>).await?;
        }
        Ok(())
    }

    async fn released(&mut self, index: u64, now: i64, released: &Released) -> Result<(), Fault> {
        let Released { environment, name, sequence, model, request } = released;
        let before: Option<values::Running> = self.get(&keys::running(environment, name)).await?;
        if let Some(before) = before {
            let sql = "UPDATE releases SET state = 'replaced', since = $1 WHERE idx = $2";
            self.execute(sql, binds![now, int(before.entry)]).await?;
        }
        self.rows.add(
            &RELEASES,
            binds![
                int(index),
                environment.as_str(),
                name.as_str(),
                sequence.map(int),
                &model.manifest,
                &model.oms,
                request.as_str(),
                "running",
                now
            ],
        );
        let running = values::Running {
            entry: index,
            model: *model,
            request: request.clone(),
            rolled_back: false,
            sequence: *sequence,
        };
        self.set(&keys::running(environment, name), Some(&running)).await?;
        let Some(sequence) = *sequence else { return Ok(()) };
        let key = keys::released(environment, name);
        let highest: Option<values::Sequence> = self.get(&key).await?;
        if highest.is_none_or(|highest| highest.sequence < sequence) {
            self.set(&key, Some(&values::Sequence { sequence })).await?;
        }
        Ok(())
    }

    async fn rolled_back(&mut self, now: i64, rolled_back: &RolledBack) -> Result<(), Fault> {
        let RolledBack { environment, name, from, to, .. } = rolled_back;
        let sql = "UPDATE releases SET state = $1, since = $2 WHERE idx = $3";
        self.execute(sql, binds!["rolled-back", now, int(*from)]).await?;
        let key = keys::running(environment, name);
        let Some(to) = *to else { return self.set(&key, None::<&()>).await };
        self.execute(sql, binds!["running", now, int(to)]).await?;
        let sql = "SELECT model, oms, request, sequence FROM releases WHERE idx = $1";
        let Some(row) = self.row(sql, binds![int(to)]).await? else { return Ok(()) };
        let running = values::Running {
            entry: to,
            model: ModelDigests { manifest: row.digest(0)?, oms: row.digest(1)? },
            request: row.text(2)?,
            rolled_back: true,
            sequence: row.optional_int(3)?.map(|_| row.number(3)).transpose()?,
        };
        self.set(&key, Some(&running)).await
    }

    async fn revoked(&mut self, index: u64, now: i64, revoked: &Revoked) -> Result<(), Fault> {
        let (kind, value, provider) = revoked.subject.indexed();
        let body = encode(revoked)?;
        let (since, until) = (revoked.since.map(micros), revoked.subject.until().map(micros));
        let row =
            binds![int(index), kind.name(), value, provider, since, until, body.as_str(), now];
        self.rows.add(&REVOCATIONS, row);

        // Of two for one thing the earlier counts; none is before every time.
        let key = keys::revocation(&revoked.subject);
        let merged = match self.get::<Revoked>(&key).await? {
            None => revoked.clone(),
            Some(known) => {
                let descendants = known.descendants || revoked.descendants;
                let earlier = if revoked.since < known.since { revoked.clone() } else { known };
                Revoked { descendants, ..earlier }
            }
        };
        self.set(&key, Some(&merged)).await?;
        let chain: Option<values::Chain> = self.get(&keys::revocations()).await?;
        let chain = chain.unwrap_or_default().with(index, now, &body);
        self.set(&keys::revocations(), Some(&chain)).await
    }
}
