//! A running authority: its configuration, its keys, its logs, and what it remembers.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bulla::{Fault, Password};
use jiff::Timestamp;

use crate::clock::{Clock, ClockWentBack, IssueError, LastIssued};
use crate::config::Config;
use crate::dev::DevIssuer;
use crate::generation::{self, Keys, Logs, Record};
use crate::http::Refusal;
use crate::init::STATE;
use crate::keys::{self, Role, ServiceKey};
use crate::metrics::Metrics;
use crate::oidc::{Issuers, Once};
use crate::rekor::index::Index;
use crate::trust::TrustFiles;
use crate::tuf::Repository;
use bulla_log::witness::CosigningWitness;

/// Why an authority does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It runs already.
    #[error("{} is served by another process", bulla::Printable(&path.to_string_lossy()))]
    InUse {
        /// The authority.
        path: PathBuf,
    },
    /// Its configuration says that it is for development, and its keys say that it is not, or the other way round.
    #[error(
        "{} says development = {configured}, but the authority was made with development = {made}",
        bulla::Printable(&path.to_string_lossy())
    )]
    OtherKind {
        /// The configuration.
        path: PathBuf,
        /// What it says.
        configured: bool,
        /// What the keys say.
        made: bool,
    },
    /// It is an old copy: a log of a generation that it does not have has entries.
    #[error(
        "{} is of generation {found}, and the newest one here is {newest}",
        bulla::Printable(&mark.to_string_lossy())
    )]
    OldCopy {
        /// A high-water mark.
        mark: PathBuf,
        /// Its generation.
        found: u32,
        /// The newest one that is here.
        newest: u32,
    },
    /// The clock is wrong.
    #[error(transparent)]
    Clock(#[from] ClockWentBack),
    /// Something cannot be read.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A generation that this process signs with, or still answers for.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) record: Record,
    pub(crate) ends: Option<Timestamp>,
    pub(crate) keys: Keys,
    pub(crate) logs: Logs,
    /// Of the older log.
    pub(crate) index: Index,
}

/// An authority that can be served.
#[derive(Debug)]
pub struct Authority {
    config: Config,
    clock: Arc<dyn Clock>,
    generations: Vec<Active>,
    issuers: Issuers,
    tokens: Once,
    last_issued: LastIssued,
    trust: TrustFiles,
    dev: Option<DevIssuer>,
    updates: Repository,
    updates_key: ServiceKey,
    witness: Option<CosigningWitness>,
    metrics: Metrics,
    /// Held as long as the authority is open.
    _lock: File,
}

impl Authority {
    /// Opens an authority; `password` is asked for only if its keys are encrypted.
    ///
    /// # Errors
    /// An [`OpenError`].
    pub fn open(
        folder: &Path,
        clock: Arc<dyn Clock>,
        password: &dyn Fn() -> Result<Password, Fault>,
    ) -> Result<Self, OpenError> {
        let config = Config::load(folder)?;
        let state = folder.join(STATE);
        let lock = lock(folder, &state)?;
        let now = clock.now();
        let last_issued = LastIssued::open(&state.join("last-issued"))?;
        last_issued.check(now)?;
        let records = generation::records(folder)?;
        if let Some(other) = records.iter().find(|r| r.development != config.development) {
            return Err(OpenError::OtherKind {
                path: folder.join(crate::config::CONFIG_FILE),
                configured: config.development,
                made: other.development,
            });
        }
        must_be_newest(folder, &config, &records)?;
        if !config.development && config.check_marks(folder).is_err() {
            tracing::warn!(
                marks = %folder.join(&config.logs.high_water_marks).display(),
                "the logs' high-water marks are inside of the authority: a backup that restores both is not noticed; move them to another disk, and say where in authority.toml (high_water_marks)"
            );
        }
        let trust = TrustFiles::of(&config, &records);
        let mut issuers = Issuers::new(&config.issuers, folder, config.development)?;
        let dev = match records.first().filter(|_| config.development) {
            Some(first) => {
                let place = generation::folder(folder, first.number);
                let key = keys::load(&place, Role::DevIssuer, password)?;
                let dev = DevIssuer::new(config.dev_issuer_url(), key)?;
                let (config, keys) = dev.as_issuer()?;
                issuers.add(config, keys);
                Some(dev)
            }
            None => None,
        };
        let ends: Vec<_> =
            records.iter().skip(1).map(|next| next.previous_ends).chain([None]).collect();
        let mut generations = Vec::new();
        for (record, ends) in records.into_iter().zip(ends) {
            let (keys, logs) = generation::load(folder, &config, &record, password)?;
            let times = state.join(format!("rekor-v1-{}.times", record.number));
            let index = Index::open(logs.rekor_v1.as_ref(), &times, now)?;
            generations.push(Active { record, ends, keys, logs, index });
        }
        let updates_key = keys::load(&folder.join(keys::FOLDER), Role::Tuf, password)?;
        let updates = Repository::at(folder, config.development);
        // A rotation that was killed, or a configuration that was changed: the files follow.
        trust.store(folder)?;
        updates.refresh(&trust, &updates_key, now)?;
        let host = generations.first().map(|first| first.record.host.clone()).unwrap_or_default();
        let witness = crate::witness::open(folder, &config, &host, password)?;
        Ok(Self {
            witness,
            updates,
            updates_key,
            tokens: Once::open(&state.join("used-tokens"), now)?,
            config,
            clock,
            generations,
            issuers,
            last_issued,
            trust,
            dev,
            metrics: Metrics::default(),
            _lock: lock,
        })
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The files that clients need.
    #[must_use]
    pub fn trust(&self) -> &TrustFiles {
        &self.trust
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn issuers(&self) -> &Issuers {
        &self.issuers
    }

    pub(crate) fn tokens(&self) -> &Once {
        &self.tokens
    }

    pub(crate) fn dev(&self) -> Option<&DevIssuer> {
        self.dev.as_ref()
    }

    /// Writes what clients update from anew before it expires.
    pub(crate) fn refresh_updates(&self) {
        match self.updates.refresh(&self.trust, &self.updates_key, self.now()) {
            Ok(true) => tracing::info!("published the update repository anew"),
            Ok(false) => {}
            Err(fault) => tracing::error!(%fault, "the update repository could not be written"),
        }
    }

    pub(crate) fn updates(&self) -> &Repository {
        &self.updates
    }

    pub(crate) fn witness(&self) -> Option<&CosigningWitness> {
        self.witness.as_ref()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        self.generations.iter().map(|active| &active.record)
    }

    #[cfg(test)]
    pub(crate) fn generations_mut(&mut self) -> &mut Vec<Active> {
        &mut self.generations
    }

    pub(crate) fn generations(&self) -> &[Active] {
        &self.generations
    }

    /// To be called before anything is issued.
    pub(crate) fn issuing(&self, now: Timestamp) -> Result<(), IssueError> {
        self.last_issued.issuing(now)
    }

    /// Whether it could issue something now.
    pub(crate) fn ready(&self) -> Result<(), Refusal> {
        let now = self.now();
        self.last_issued.check(now).map_err(IssueError::from)?;
        let active = self.active(now)?;
        for log in [&active.logs.ct, &active.logs.rekor_v1, &active.logs.rekor_v2] {
            // What was published can be read from a log that takes nothing any more.
            if let Some(why) = log.stopped() {
                return Err(why.into());
            }
            crate::logs::size(log.as_ref())?;
        }
        Ok(())
    }

    /// The generation that signs.
    pub(crate) fn active(&self, now: Timestamp) -> Result<&Active, Refusal> {
        self.generations
            .iter()
            .rev()
            .find(|active| active.record.starts <= now)
            .ok_or_else(|| Refusal::unavailable("the authority's clock is not right"))
    }

    /// A generation by its number.
    pub(crate) fn generation(&self, number: u32) -> Option<&Active> {
        self.generations.iter().find(|active| active.record.number == number)
    }

    /// The same, as an answer.
    pub(crate) fn generation_or_none(&self, number: u32) -> Result<&Active, Refusal> {
        self.generation(number).ok_or_else(|| Refusal::not_found("there is no such log"))
    }

    /// A generation whose logs take entries.
    pub(crate) fn open_generation(&self, number: u32, now: Timestamp) -> Result<&Active, Refusal> {
        let active = self.generation_or_none(number)?;
        if active.record.starts > now || active.ends.is_some_and(|ends| ends <= now) {
            return Err(Refusal::frozen(
                "this log takes no entries: fetch the current signing_config.json",
            ));
        }
        Ok(active)
    }
}

/// An old copy of an authority must neither sign nor be rotated.
pub(crate) fn must_be_newest(
    folder: &Path,
    config: &Config,
    records: &[Record],
) -> Result<(), OpenError> {
    let newest = records.last().map_or(0, |record| record.number);
    match generation::later_mark(folder, config, newest)? {
        None => Ok(()),
        Some(generation::LaterMark { path, generation }) => {
            Err(OpenError::OldCopy { mark: path, found: generation, newest })
        }
    }
}

pub(crate) fn lock(folder: &Path, state: &Path) -> Result<File, OpenError> {
    use rustix::fs::{FlockOperation, flock};
    let path = state.join("lock");
    let io = |e| Fault::io("lock", &path, e);
    let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(io)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse { path: folder.to_owned() }),
        Err(e) => Err(io(e.into()).into()),
    }
}
