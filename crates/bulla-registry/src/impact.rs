//! What rests on something: every model, decision and release that a withdrawal would touch, found by one index.
//!
//! A signature falls if it may have been made after what it rests on was withdrawn: if no time by which it existed is before `since`.
//! Times are those of clocks that were not withdrawn themselves. What is found here is not proven; an audit compares the index with the log.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bulla::jiff::Timestamp;
use bulla::{Digest, Fault, ModelDigests};
use bulla_log::Head;
use serde::Serialize;

use crate::database::{Bind, Row, Tx, binds, int, micros};
use crate::event::{Basis, Entry, Event, Released, Revoked};
use crate::log;
use crate::project::keys;
use crate::proven::{Revocation, revocations};
use crate::registry::Registry;
use crate::state::StateMap;
use crate::subject::{Kind, Subject};
use crate::wire;

/// The most models that are looked at.
pub(crate) const MOST_MODELS: usize = 200_000;
/// The role of whoever signed the model.
const SIGNER: &str = "signer";
/// Earlier releases that are looked at for a good one.
const MOST_EARLIER: i64 = 200;

/// Everything that rests on something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BlastRadius {
    /// Models, by manifest digest; those that descend from others after those.
    pub models: Vec<AffectedModel>,
    /// Admissions that were not withdrawn, and have not expired or let something run.
    pub decisions: Vec<AffectedDecision>,
    /// What runs.
    pub releases: Vec<AffectedRelease>,
    /// Whether that is all: 200,000 models are looked at.
    pub complete: bool,
}

/// A model that is touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AffectedModel {
    /// Which.
    #[serde(with = "wire::model")]
    pub model: ModelDigests,
    /// One of its names, if it was ever seen under one.
    pub name: Option<String>,
    /// What of it rests on what is withdrawn.
    pub rests: Vec<Rest>,
    /// The model that it was made from, if it is touched for that alone.
    #[serde(with = "wire::optional_digest")]
    pub descends_from: Option<Digest>,
    /// Whether anything of it falls.
    pub falls: bool,
}

/// A signature or claim that rests on what is withdrawn, or the contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Rest {
    /// `signer`, or a claim's role, or `contents`.
    pub role: String,
    /// The signature or claim; none for contents.
    #[serde(with = "wire::optional_digest")]
    pub what: Option<Digest>,
    /// The signer's key.
    #[serde(with = "wire::optional_digest")]
    pub key: Option<Digest>,
    /// By when it existed, as clocks say that count.
    pub trusted: Option<Timestamp>,
    /// What becomes of it.
    pub effect: Effect,
}

/// What becomes of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// It counts no more.
    Falls,
    /// It was made before.
    Stays,
    /// It counts, but nothing says any more when it was made.
    LosesItsTime,
}

/// An admission that is touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AffectedDecision {
    /// The request.
    pub request: String,
    /// The model's manifest digest.
    #[serde(with = "wire::digest")]
    pub model: Digest,
    /// For which environment.
    pub environment: String,
    /// By which name.
    pub name: String,
    /// When.
    pub time: Timestamp,
    /// Until when it counts.
    pub expires: Option<Timestamp>,
    /// Whether something falls that decided it.
    pub falls: bool,
}

/// Something that runs and is touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AffectedRelease {
    /// Its entry in the log.
    pub entry: u64,
    /// Where.
    pub environment: String,
    /// Under which name.
    pub name: String,
    /// Its sequence.
    pub sequence: Option<u64>,
    /// Which model.
    #[serde(with = "wire::model")]
    pub model: ModelDigests,
    /// Whether it may run no longer.
    pub falls: bool,
    /// The newest earlier release that may run instead. A gate has to admit it by today's policy.
    pub last_good: Option<LastGood>,
}

/// A release to go back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LastGood {
    /// Its entry in the log.
    pub entry: u64,
    /// Its sequence.
    pub sequence: Option<u64>,
    /// Which model.
    #[serde(with = "wire::model")]
    pub model: ModelDigests,
    /// The request that was answered with its admission.
    pub request: String,
}

impl Registry {
    /// What would be touched if something was withdrawn, as of `since` (none: from the beginning; for models that is how it is).
    /// `descendants`: what was made from models that fall, too, by lineage.
    ///
    /// # Errors
    /// When the registry cannot be believed or read.
    pub fn blast_radius(
        &self,
        subject: &Subject,
        since: Option<Timestamp>,
        descendants: bool,
        now: Timestamp,
    ) -> Result<BlastRadius, Fault> {
        self.read(now, async |reading| {
            let revoked = Revoked {
                subject: subject.clone(),
                since,
                descendants,
                reason: String::new(),
                by: String::new(),
            };
            let head = reading.signed.head;
            blast_radius(&mut reading.tx, &mut reading.state, head, &revoked, now).await
        })
    }
}

/// See [`Registry::blast_radius`].
pub(crate) async fn blast_radius(
    tx: &mut Tx,
    state: &mut StateMap,
    head: Head,
    revoked: &Revoked,
    now: Timestamp,
) -> Result<BlastRadius, Fault> {
    let known = revocations(tx, state).await?;
    let mut search = Search::new(revoked, &known, now);
    search.direct(tx).await?;
    search.settle(tx).await?;
    if revoked.descendants {
        search.descendants(tx).await?;
    }
    search.decisions(tx).await?;
    search.releases(tx, state, head).await?;
    Ok(search.found())
}

struct Search<'a> {
    revoked: &'a Revoked,
    known: &'a [Revocation],
    /// Keys and certificates that were withdrawn, this one too: what they say of the time is nothing.
    clocks: BTreeSet<Digest>,
    now: Timestamp,
    models: BTreeMap<Digest, AffectedModel>,
    descended: Vec<AffectedModel>,
    decisions: Vec<AffectedDecision>,
    releases: Vec<AffectedRelease>,
    complete: bool,
}

impl<'a> Search<'a> {
    fn new(revoked: &'a Revoked, known: &'a [Revocation], now: Timestamp) -> Self {
        let all = known.iter().map(|known| &known.revoked).chain([revoked]);
        let clocks = all.filter_map(|revoked| match &revoked.subject {
            Subject::Key { fingerprint } | Subject::Certificate { fingerprint } => {
                Some(*fingerprint)
            }
            _ => None,
        });
        Self {
            revoked,
            known,
            clocks: clocks.collect(),
            now,
            models: BTreeMap::new(),
            descended: Vec::new(),
            decisions: Vec::new(),
            releases: Vec::new(),
            complete: true,
        }
    }

    /// What rests on it itself.
    async fn direct(&mut self, tx: &mut Tx) -> Result<(), Fault> {
        let (kind, value, _) = self.revoked.subject.indexed();
        let clock = matches!(kind, Kind::Key | Kind::Certificate).then_some(Kind::Clock);
        for kind in [Some(kind), clock].into_iter().flatten() {
            let sql = "SELECT r.model, m.oms, r.role, r.what, e.basis, \
                       (SELECT MIN(s.name) FROM sightings s WHERE s.model = r.model) \
                       FROM rests_on r JOIN models m ON m.model = r.model \
                       LEFT JOIN evidence e ON e.what = r.what AND e.model = r.model \
                       WHERE r.kind = $1 AND r.value = $2 ORDER BY r.model LIMIT $3";
            let most = int(MOST_MODELS as u64 + 1);
            let rows = tx.rows(sql, binds![kind.name(), value.clone(), most]).await?;
            if rows.len() > MOST_MODELS {
                self.complete = false;
            }
            for row in rows.iter().take(MOST_MODELS) {
                self.rests(kind, row)?;
            }
        }
        Ok(())
    }

    fn rests(&mut self, kind: Kind, row: &Row) -> Result<(), Fault> {
        let model = ModelDigests { manifest: row.digest(0)?, oms: row.digest(1)? };
        let basis = row.optional_text(4)?.map(|text| read_basis(row, &text)).transpose()?;
        let rest = match &basis {
            // Of a model that is withdrawn everything is, whoever says what of it.
            _ if matches!(kind, Kind::Oms | Kind::Manifest | Kind::File) => Rest {
                role: "contents".into(),
                what: None,
                key: None,
                trusted: None,
                effect: Effect::Falls,
            },
            None => return Ok(()),
            Some(basis) => {
                let Some(effect) = self.effect(kind, basis) else { return Ok(()) };
                Rest {
                    role: row.text(2)?,
                    what: Some(row.digest(3)?),
                    key: basis.keys.first().copied(),
                    trusted: basis.trusted(|clock| self.clocks.contains(clock)),
                    effect,
                }
            }
        };
        let name = row.optional_text(5)?;
        let affected = self.models.entry(model.manifest).or_insert_with(|| AffectedModel {
            model,
            name,
            rests: Vec::new(),
            descends_from: None,
            falls: false,
        });
        if let Some(same) =
            affected.rests.iter_mut().find(|r| r.what == rest.what && r.role == rest.role)
        {
            // As a signer and as a clock: the worse counts.
            if rest.effect == Effect::Falls {
                *same = rest;
            }
        } else {
            affected.rests.push(rest);
        }
        Ok(())
    }

    /// Which models fall: those whose contents are withdrawn, and those that are left without a signature. A model that was signed anew by another
    /// key stands by that; and where only a claim falls, what was decided by it does, and not the model.
    async fn settle(&mut self, tx: &mut Tx) -> Result<(), Fault> {
        let contents =
            |affected: &&AffectedModel| affected.rests.iter().any(|rest| rest.what.is_none());
        let signature = |affected: &&AffectedModel| {
            let falls = |rest: &Rest| rest.role == SIGNER && rest.effect == Effect::Falls;
            affected.rests.iter().any(falls)
        };
        let digest = |affected: &AffectedModel| affected.model.manifest;
        let mut fallen: Vec<_> = self.models.values().filter(contents).map(digest).collect();
        let unsigned: Vec<_> = self.models.values().filter(signature).map(digest).collect();
        let signed = self.signed(tx, &unsigned).await?;
        fallen.extend(unsigned.into_iter().filter(|model| signed.get(model) != Some(&true)));
        for model in fallen {
            self.models.entry(model).and_modify(|affected| affected.falls = true);
        }
        Ok(())
    }

    /// Whether a signature of each model stands, whatever was withdrawn; nothing of those of which no signature was ever seen.
    async fn signed(
        &self,
        tx: &mut Tx,
        models: &[Digest],
    ) -> Result<BTreeMap<Digest, bool>, Fault> {
        let select = "SELECT model, basis FROM evidence WHERE kind = 'signature' AND model";
        let all = || self.known.iter().map(|known| &known.revoked).chain([self.revoked]);
        let mut signed = BTreeMap::new();
        for (model, rows) in of_models(tx, select, "", models, Vec::new()).await? {
            let mut any = false;
            for row in &rows {
                let basis = read_basis(row, &row.text(1)?)?;
                let trusted = basis.trusted(|clock| self.clocks.contains(clock));
                let falls = all().any(|revoked| {
                    touches(&revoked.subject, &basis)
                        && falls(revoked, &basis, trusted, self.now) == Some(true)
                });
                // A certificate counts for a while: without the time that it had nothing says that it did.
                let timeless =
                    trusted.is_none() && !basis.times.is_empty() && !basis.certificates.is_empty();
                any |= !falls && !timeless;
            }
            signed.insert(model, any);
        }
        Ok(signed)
    }

    /// What becomes of a signature; none if this is not about it.
    fn effect(&self, kind: Kind, basis: &Basis) -> Option<Effect> {
        let trusted = basis.trusted(|clock| self.clocks.contains(clock));
        if kind != Kind::Clock {
            let falls = falls(self.revoked, basis, trusted, self.now)?;
            return Some(if falls { Effect::Falls } else { Effect::Stays });
        }
        // A certificate counts for a while; without a time nothing says that it counted. And what stayed for its time does not any more.
        let certified = !basis.certificates.is_empty();
        let other = self.known.iter().any(|known| {
            touches(&known.revoked.subject, basis)
                && falls(&known.revoked, basis, trusted, self.now) == Some(true)
        });
        if trusted.is_some() {
            // By a later time than before: it may be after what was withdrawn.
            return Some(if other { Effect::Falls } else { Effect::Stays });
        }
        Some(if certified || other { Effect::Falls } else { Effect::LosesItsTime })
    }

    /// What was made from models that fall, and from that, and so on.
    async fn descendants(&mut self, tx: &mut Tx) -> Result<(), Fault> {
        let sql = "SELECT DISTINCT l.child, m.oms, \
                   (SELECT MIN(s.name) FROM sightings s WHERE s.model = l.child) \
                   FROM rests_on r JOIN lineage l ON l.kind = r.kind AND l.value = r.value \
                   JOIN models m ON m.model = l.child \
                   WHERE r.model = $1 AND r.role = 'contents' ORDER BY l.child";
        let mut queue: VecDeque<Digest> =
            self.models.values().filter(|m| m.falls).map(|m| m.model.manifest).collect();
        let mut seen: BTreeSet<Digest> = queue.iter().copied().collect();
        // What names it as its parent, though it was never seen itself.
        if let Subject::Model { model } = &self.revoked.subject {
            let sql = "SELECT DISTINCT l.child, m.oms, \
                       (SELECT MIN(s.name) FROM sightings s WHERE s.model = l.child) \
                       FROM lineage l JOIN models m ON m.model = l.child \
                       WHERE l.kind = $1 AND l.value = $2 ORDER BY l.child";
            let rows = tx.rows(sql, binds![model.kind().name(), model.digest()]).await?;
            self.made_from(*model.digest(), &rows, &mut seen, &mut queue)?;
        }
        while let Some(parent) = queue.pop_front() {
            let rows = tx.rows(sql, binds![&parent]).await?;
            self.made_from(parent, &rows, &mut seen, &mut queue)?;
        }
        Ok(())
    }

    fn made_from(
        &mut self,
        parent: Digest,
        rows: &[Row],
        seen: &mut BTreeSet<Digest>,
        queue: &mut VecDeque<Digest>,
    ) -> Result<(), Fault> {
        for row in rows {
            let model = ModelDigests { manifest: row.digest(0)?, oms: row.digest(1)? };
            if seen.len() >= MOST_MODELS {
                self.complete = false;
                return Ok(());
            }
            if !seen.insert(model.manifest) {
                continue;
            }
            queue.push_back(model.manifest);
            // One that is touched itself and stays falls for its parent.
            match self.models.get_mut(&model.manifest) {
                Some(itself) => (itself.falls, itself.descends_from) = (true, Some(parent)),
                None => self.descended.push(AffectedModel {
                    model,
                    name: row.optional_text(2)?,
                    rests: Vec::new(),
                    descends_from: Some(parent),
                    falls: true,
                }),
            }
        }
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = &AffectedModel> {
        self.models.values().chain(&self.descended)
    }

    async fn decisions(&mut self, tx: &mut Tx) -> Result<(), Fault> {
        let select = "SELECT d.model, d.request, d.environment, d.name, d.decided_at, d.expires, e.body \
                      FROM decisions d JOIN log_entries e ON e.idx = d.idx WHERE d.model";
        let rest = "AND d.admitted = 1 AND d.withdrawn_at IS NULL \
                    AND (d.expires IS NULL OR d.expires > $65 OR EXISTS \
                    (SELECT 1 FROM releases r WHERE r.request = d.request AND r.model = d.model)) \
                    ORDER BY d.idx";
        let models: Vec<_> = self.all().map(|affected| affected.model.manifest).collect();
        let mut found = of_models(tx, select, rest, &models, binds![micros(self.now)]).await?;
        let mut decisions = Vec::new();
        for affected in self.all() {
            let model = affected.model.manifest;
            let whole = affected.descends_from.is_some()
                || affected.rests.iter().any(|rest| rest.what.is_none());
            let fallen: BTreeSet<_> = affected
                .rests
                .iter()
                .filter(|rest| rest.effect == Effect::Falls)
                .filter_map(|rest| rest.what)
                .collect();
            for row in found.remove(&model).unwrap_or_default() {
                let evidence = match Entry::decode(&row.bytes(6)?).map(|entry| entry.event) {
                    Ok(Event::Decided(decided)) => decided.evidence,
                    _ => return Err(row.damaged("its entry is not a decision")),
                };
                let decided_by = match evidence.is_empty() {
                    true => affected.falls || !fallen.is_empty(),
                    false => evidence.iter().any(|what| fallen.contains(what)),
                };
                decisions.push(AffectedDecision {
                    request: row.text(1)?,
                    model,
                    environment: row.text(2)?,
                    name: row.text(3)?,
                    time: row.time(4)?,
                    expires: row.optional_time(5)?,
                    falls: affected.falls || whole || decided_by,
                });
            }
        }
        self.decisions = decisions;
        Ok(())
    }

    async fn releases(
        &mut self,
        tx: &mut Tx,
        state: &mut StateMap,
        head: Head,
    ) -> Result<(), Fault> {
        let select = "SELECT r.model, r.idx, r.environment, r.name, r.sequence, d.withdrawn_at \
                      FROM releases r LEFT JOIN decisions d ON d.request = r.request AND d.model = r.model \
                      WHERE r.state = 'running' AND r.model";
        let models: Vec<_> = self.all().map(|affected| affected.model.manifest).collect();
        let mut found = of_models(tx, select, "ORDER BY r.idx", &models, Vec::new()).await?;
        let mut releases = Vec::new();
        let mut falling: BTreeSet<Digest> = BTreeSet::new();
        for affected in self.all() {
            if affected.falls {
                falling.insert(affected.model.manifest);
            }
            for row in found.remove(&affected.model.manifest).unwrap_or_default() {
                let (environment, name) = (row.text(2)?, row.text(3)?);
                let withdrawn = row.optional_int(5)?.is_some();
                let left = self.is_left_unadmitted(affected, &environment, &name, withdrawn);
                releases.push(AffectedRelease {
                    entry: row.number(1)?,
                    sequence: optional_number(&row, 4)?,
                    model: affected.model,
                    falls: affected.falls || left,
                    environment,
                    name,
                    last_good: None,
                });
            }
        }
        for release in releases.iter_mut().filter(|release| release.falls) {
            release.last_good = self.last_good(tx, state, head, release, &falling).await?;
        }
        self.releases = releases;
        Ok(())
    }

    /// Whether every admission of a model to an environment by a name falls, and there was one: if only that by which it runs, `withdrawn` before.
    fn is_left_unadmitted(
        &self,
        affected: &AffectedModel,
        environment: &str,
        name: &str,
        withdrawn: bool,
    ) -> bool {
        let mut of_it = self.decisions.iter().filter(|decision| {
            decision.model == affected.model.manifest
                && decision.environment == environment
                && decision.name == name
        });
        let mut any = withdrawn;
        let all_fall = of_it.all(|decision| {
            any = true;
            decision.falls
        });
        any && all_fall
    }

    /// The newest earlier release that nothing is known against.
    async fn last_good(
        &self,
        tx: &mut Tx,
        state: &mut StateMap,
        head: Head,
        release: &AffectedRelease,
        falling: &BTreeSet<Digest>,
    ) -> Result<Option<LastGood>, Fault> {
        let sql = "SELECT r.idx, r.sequence, r.model, r.oms, r.request FROM releases r \
                   LEFT JOIN decisions d ON d.request = r.request \
                   WHERE r.environment = $1 AND r.name = $2 AND r.idx < $3 \
                   AND r.state = 'replaced' AND d.withdrawn_at IS NULL ORDER BY r.idx DESC LIMIT $4";
        let (environment, name) = (release.environment.as_str(), release.name.as_str());
        let binds = binds![environment, name, int(release.entry), MOST_EARLIER];
        for row in tx.rows(sql, binds).await? {
            let model = ModelDigests { manifest: row.digest(2)?, oms: row.digest(3)? };
            let request = row.text(4)?;
            let quarantined = state.get(tx, &keys::quarantine(&model.manifest)).await?.is_some();
            if quarantined
                || falling.contains(&model.manifest)
                || self.decisions.iter().any(|one| one.falls && one.request == request)
                || self.has_fallen(tx, &model.manifest).await?
            {
                continue;
            }
            let (entry, sequence) = (row.number(0)?, optional_number(&row, 1)?);
            // What runs by this is proven from then on: so it has to be what was released.
            let body = log::entry(tx, entry, head).await?;
            let released = Entry::decode(&body).map_err(|e| row.damaged(&e))?.event;
            let (environment, name) = (environment.to_owned(), name.to_owned());
            let expected =
                Released { environment, name, sequence, model, request: request.clone() };
            if released != Event::Released(expected) {
                return Err(
                    row.damaged("the release that it would go back to is not that in its log")
                );
            }
            return Ok(Some(LastGood { entry, sequence, model, request }));
        }
        Ok(None)
    }

    /// Whether a model was withdrawn earlier, or is left without a signature that counts.
    async fn has_fallen(&self, tx: &mut Tx, model: &Digest) -> Result<bool, Fault> {
        let sql = "SELECT 1 FROM rests_on r \
                   JOIN revocations v ON v.kind = r.kind AND v.value = r.value \
                   WHERE r.model = $1 AND r.role = 'contents' LIMIT 1";
        let withdrawn = tx.row(sql, binds![model]).await?.is_some();
        Ok(withdrawn || self.signed(tx, &[*model]).await?.get(model) == Some(&false))
    }

    fn found(self) -> BlastRadius {
        let models = self.models.into_values().chain(self.descended).collect();
        let Self { decisions, releases, complete, .. } = self;
        BlastRadius { models, decisions, releases, complete }
    }
}

/// Whether a signature may have been made after what it rests on was withdrawn; none if that is not about it.
fn falls(
    revoked: &Revoked,
    basis: &Basis,
    trusted: Option<Timestamp>,
    now: Timestamp,
) -> Option<bool> {
    if let Subject::Identity { provider, until, .. } = &revoked.subject {
        if provider.is_some() && *provider != basis.provider {
            return None;
        }
        // Its certificate began after the identity was its owner's again.
        if let (Some(until), Some(not_before)) = (until, basis.not_before)
            && *until <= not_before
        {
            return None;
        }
    }
    let latest = trusted.unwrap_or(now);
    Some(revoked.since.is_none_or(|since| latest >= since))
}

/// Whether a signature rests on this.
fn touches(subject: &Subject, basis: &Basis) -> bool {
    match subject {
        Subject::Key { fingerprint } => basis.keys.contains(fingerprint),
        Subject::Certificate { fingerprint } => basis.certificates.contains(fingerprint),
        Subject::Identity { identity, .. } => {
            basis.identities.iter().any(|one| one.eq_ignore_ascii_case(identity))
        }
        Subject::Model { .. } => false,
    }
}

/// Models that are asked about at once: a question for each of a thousand takes seconds where the server is not near.
const TOGETHER: usize = 64;

/// The rows of each of these models, whose digest is the first column. `select` ends with the column that has it, `rest` has parameters from
/// `$65` on. Both are this crate's own.
async fn of_models(
    tx: &mut Tx,
    select: &str,
    rest: &str,
    models: &[Digest],
    more: Vec<Bind>,
) -> Result<BTreeMap<Digest, Vec<Row>>, Fault> {
    let places: Vec<_> = (1..=TOGETHER).map(|n| format!("${n}")).collect();
    let sql = format!("{select} IN ({}) {rest}", places.join(","));
    let mut found: BTreeMap<Digest, Vec<Row>> = BTreeMap::new();
    for some in models.chunks(TOGETHER) {
        // The last one again and again, so that there is one statement.
        let last = some.last().into_iter().cycle();
        let filled = some.iter().chain(last).take(TOGETHER).map(Bind::from);
        let binds = filled.chain(more.iter().cloned()).collect();
        for row in tx.rows_own(sql.clone(), binds).await? {
            found.entry(row.digest(0)?).or_default().push(row);
        }
    }
    Ok(found)
}

fn read_basis(row: &Row, text: &str) -> Result<Basis, Fault> {
    bulla::json::read(text.as_bytes()).map_err(|e| row.damaged(&e))
}

pub(crate) fn optional_number(row: &Row, column: usize) -> Result<Option<u64>, Fault> {
    row.optional_int(column)?.map(|_| row.number(column)).transpose()
}
