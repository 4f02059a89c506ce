//! The registry itself: how it comes to be and is opened, and the two ways through it.
//!
//! ```text
//! read    mark ─ snapshot ─ head: signed? not older than the mark, and its continuation? ─ rows proven ─ mark moves up ─ answer
//! write   mark ─ lock ─ head, likewise ─ events, rows, map ─ new head, signed ─ commit ─ mark moves up ─ answer
//! ```

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bulla::Fault;
use bulla::jiff::{SignedDuration, Timestamp};
use bulla_log::note::VerifierKey;
use bulla_log::{Head, HighWaterMark, LogError, NoteSigner, tree};
use tokio::runtime::{Handle, Runtime};

use crate::database::{Access, Database, Place, Tx, binds};
use crate::log::{self, Frontier, SignedHead};
use crate::project::Work;
use crate::state::StateMap;
use crate::{damaged, schema};

/// How far the clocks of those who share a registry may be apart.
pub const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(60);

/// Threads that drive connections; who asks waits on their own.
const THREADS: usize = 2;

/// What a registry is opened with. Nothing of this is ever read from the database.
#[derive(Clone)]
pub struct Settings {
    /// Where it is.
    pub place: Place,
    /// By what its checkpoints are verified. Its name is the registry's origin.
    pub key: VerifierKey,
    /// The private half. Without it the registry can be read only.
    pub signer: Option<Arc<dyn NoteSigner>>,
    /// The newest head that this caller has seen: a file elsewhere, in a folder of its own, so that no backup restores both.
    pub mark: HighWaterMark,
    /// What is done where there is no mark yet.
    pub first: First,
    /// Connections that may be open at once.
    pub connections: u32,
}

/// What is done where there is no high-water mark yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// It is a fault: somebody may have removed the mark.
    Refuse,
    /// The head that is found is believed, if it is signed, and becomes the mark: for a machine that is new.
    Believe,
}

impl Settings {
    /// A registry that is only read, with a mark that is there.
    #[must_use]
    pub fn new(place: Place, key: VerifierKey, mark: HighWaterMark) -> Self {
        Self { place, key, signer: None, mark, first: First::Refuse, connections: 8 }
    }

    /// One that is written, too.
    #[must_use]
    pub fn with_signer(mut self, signer: Arc<dyn NoteSigner>) -> Self {
        self.signer = Some(signer);
        self
    }

    /// On a machine that has no mark yet.
    #[must_use]
    pub fn first(mut self, first: First) -> Self {
        self.first = first;
        self
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Settings({}, {})", self.place, self.key)
    }
}

/// A registry. It is shared between threads by reference, and blocks whoever asks; it must not be asked from inside an asynchronous task,
/// but may be from a thread for blocking work.
pub struct Registry {
    /// There until it is dropped.
    runtime: Option<Runtime>,
    handle: Handle,
    pub(crate) database: Database,
    pub(crate) settings: Settings,
    /// In one process, one at a time raises the mark.
    raising: Mutex<()>,
    /// Whether its tables were looked at.
    ready: AtomicBool,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registry({})", self.settings.place)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Dropped wherever its owner is, an asynchronous task included: nothing is waited for.
            runtime.shutdown_background();
        }
    }
}

impl Registry {
    /// Makes an empty registry, its mark, and opens it.
    ///
    /// # Errors
    /// When there is one already, or a mark of one, or there is no signer.
    pub fn create(settings: Settings, now: Timestamp) -> Result<Self, Fault> {
        Self::create_at(settings, now, schema::VERSION)
    }

    /// The same with the tables of an older version, which is for tests of migrations.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    #[doc(hidden)]
    pub fn create_at(settings: Settings, now: Timestamp, version: u64) -> Result<Self, Fault> {
        let registry = Self::connect(settings, true)?;
        registry.block_on(async {
            let signer = registry.signer()?;
            if registry.mark()?.is_some() {
                return Err(registry.fault(
                    "it has a high-water mark, so that there was a registry of this name before",
                    "open that one; or take another name, with a key and a mark of its own",
                ));
            }
            let mut tx = registry.database.begin(Access::Write).await?;
            if schema::exists(&mut tx).await? {
                return Err(registry.fault(
                    "there is a registry already",
                    "open it, or give another path or database",
                ));
            }
            schema::create(&registry.database, &mut tx, version).await?;
            let empty = Frontier::default();
            let (head, state) = (empty.head(), StateMap::new([0; 32]).root());
            let key = &registry.settings.key;
            let signed = SignedHead::sign(head, now, state, signer.as_ref(), key)?;
            let sql = "INSERT INTO head (id, size, frontier, note) VALUES (1, 0, $1, $2)";
            tx.execute(sql, binds![empty.encode(), signed.note.as_str()]).await?;
            tx.commit().await?;
            registry.raise(None, head).await
        })?;
        Ok(registry)
    }

    /// Opens a registry, and looks whether its head is signed and not below the mark.
    ///
    /// # Errors
    /// When there is none, its tables are older or newer than this program's, or its head cannot be believed.
    pub fn open(settings: Settings, now: Timestamp) -> Result<Self, Fault> {
        let registry = Self::connect(settings, false)?;
        registry.head(now)?;
        Ok(registry)
    }

    /// Opens a registry to find out what is wrong with it: nothing is looked at yet, and everything else than [`audit`](Self::audit) does its
    /// own looking.
    ///
    /// # Errors
    /// When there is no such database.
    pub fn connect_for_audit(settings: Settings) -> Result<Self, Fault> {
        Self::connect(settings, false)
    }

    /// Brings the tables of an older version up to date; the version that they had.
    ///
    /// # Errors
    /// As [`open`](Self::open), and when they could not be changed: they are then as they were.
    pub fn migrate(settings: Settings) -> Result<u64, Fault> {
        let registry = Self::connect(settings, false)?;
        registry.block_on(async {
            let mut tx = registry.database.begin(Access::Write).await?;
            registry.exists(&mut tx).await?;
            // The head's lock keeps writers away meanwhile.
            log::head(&mut tx, &registry.settings.key, true).await?;
            let from = schema::migrate(&registry.database, &mut tx).await?;
            tx.commit().await?;
            Ok(from)
        })
    }

    /// The head of the log, verified.
    ///
    /// # Errors
    /// When it cannot be believed: not signed by the key, older than the mark, or another history.
    pub fn head(&self, now: Timestamp) -> Result<SignedHead, Fault> {
        self.read(now, async |reading| Ok(reading.signed.clone()))
    }

    /// Where it is, for messages: without user and password.
    #[must_use]
    pub fn place(&self) -> &str {
        self.database.place()
    }

    /// Ends its connections, and waits until they have ended.
    pub fn close(self) {
        self.block_on(self.database.close());
    }

    /// Connects, and nothing more.
    pub(crate) fn connect(settings: Settings, create: bool) -> Result<Self, Fault> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("registry")
            .enable_all()
            .build()
            .map_err(|e| Fault::io("start threads for", std::path::Path::new("the registry"), e))?;
        let opened = Database::open(&settings.place, create, settings.connections.max(1));
        let database = runtime.block_on(opened)?;
        let handle = runtime.handle().clone();
        let (runtime, raising, ready) = (Some(runtime), Mutex::default(), AtomicBool::default());
        Ok(Self { runtime, handle, database, settings, raising, ready })
    }

    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.handle.block_on(future)
    }

    pub(crate) fn signer(&self) -> Result<&Arc<dyn NoteSigner>, Fault> {
        self.settings.signer.as_ref().ok_or_else(|| {
            self.fault(
                "it was opened without the key that signs its checkpoints, and can only be read",
                "give the key; 'bulla registry init' has made it",
            )
        })
    }

    pub(crate) fn fault(&self, detail: impl Into<String>, hint: &'static str) -> Fault {
        Fault::Registry { place: self.place().to_owned(), detail: detail.into(), hint }
    }

    /// There is a registry of this program's version: looked at once, for a migration while this runs leaves all columns that there were.
    pub(crate) async fn ready(&self, tx: &mut Tx) -> Result<(), Fault> {
        if self.ready.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.exists(tx).await?;
        let version = schema::version(tx).await?;
        if version < schema::VERSION {
            return Err(self.fault(
                format!(
                    "its tables have version {version}, and this program's {}",
                    schema::VERSION
                ),
                "run 'bulla registry migrate'",
            ));
        }
        self.ready.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn exists(&self, tx: &mut Tx) -> Result<(), Fault> {
        match schema::exists(tx).await? {
            true => Ok(()),
            false => Err(self.fault(
                "there is no registry in this database",
                "check the path; a new registry is made with 'bulla registry init'",
            )),
        }
    }

    /// What this caller has seen last.
    pub(crate) fn mark(&self) -> Result<Option<Head>, Fault> {
        self.settings.mark.read(self.settings.key.name()).map_err(|error| self.of_mark(&error))
    }

    fn of_mark(&self, error: &LogError) -> Fault {
        let hint = error.hint().unwrap_or("look at the folder of the high-water mark");
        self.fault(error.to_string(), hint)
    }

    /// Looks whether a head is no older than the mark and continues its log. The mark was read before the head.
    pub(crate) async fn above_mark(
        &self,
        tx: &mut Tx,
        signed: &SignedHead,
        mark: Option<Head>,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let Some(mark) = mark else {
            return match self.settings.first {
                First::Believe => Ok(()),
                First::Refuse => Err(self.fault(
                    "there is no high-water mark: whether this is the newest state of it cannot be known",
                    "restore the mark from where it was; on a machine that is new, say so (--first-use)",
                )),
            };
        };
        self.extends(tx, mark, signed.head).await?;
        // Some writer's clock may be ahead of this one by so much.
        if now.checked_add(CLOCK_SKEW).is_ok_and(|latest| latest < signed.time) {
            return Err(Fault::Clock { now, last: signed.time });
        }
        Ok(())
    }

    /// Looks whether one head continues another.
    async fn extends(&self, tx: &mut Tx, old: Head, new: Head) -> Result<(), Fault> {
        if new.size < old.size {
            return Err(self.fault(
                format!("it is older than what was seen of it: found {new}, expected at least {old}"),
                "it is a restored backup or a replica that is behind: ask the newest one; revocations may be missing here",
            ));
        }
        let proof = log::consistency(tx, old.size, new.size).await?;
        if !tree::verify_consistency(old.size, &old.root, new.size, &new.root, &proof) {
            return Err(self.fault(
                format!("it has another history than what was seen of it: found {new}, which does not continue {old}"),
                "do not go on with this copy: look for a second one that is written with the same key, and keep both as evidence",
            ));
        }
        Ok(())
    }

    /// Moves the mark up to a head that continues it.
    pub(crate) async fn raise(&self, seen: Option<Head>, to: Head) -> Result<(), Fault> {
        let mut seen = seen;
        while seen != Some(to) {
            let advanced = {
                // Held for one small write.
                let _one = self.raising.lock().unwrap_or_else(PoisonError::into_inner);
                self.settings.mark.advance(self.settings.key.name(), seen, to)
            };
            // Somebody else has raised it meanwhile, having looked at the same database.
            let Some(now) = advanced.map_err(|error| self.of_mark(&error))? else { return Ok(()) };
            if now.size > to.size {
                return Ok(());
            }
            let mut tx = self.database.begin(Access::Read).await?;
            self.extends(&mut tx, now, to).await?;
            tx.roll_back().await?;
            seen = Some(now);
        }
        Ok(())
    }

    /// Reads what is proven under one head.
    pub(crate) fn read<T>(
        &self,
        now: Timestamp,
        body: impl AsyncFnOnce(&mut Reading) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.block_on(async {
            let mark = self.mark()?;
            let mut tx = self.database.begin(Access::Read).await?;
            self.ready(&mut tx).await?;
            let (signed, _) = log::head(&mut tx, &self.settings.key, false).await?;
            self.above_mark(&mut tx, &signed, mark, now).await?;
            let state = StateMap::new(signed.state);
            let mut reading = Reading { tx, signed, state };
            let answer = body(&mut reading).await?;
            reading.tx.roll_back().await?;
            // Before the answer: what somebody acts on was seen.
            self.raise(mark, reading.signed.head).await?;
            Ok(answer)
        })
    }

    /// Writes in one transaction, as the only writer. What `body` does not append is not there; if it fails nothing is.
    pub(crate) fn write<T>(
        &self,
        now: Timestamp,
        body: impl AsyncFnOnce(&mut Work, SignedHead) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.block_on(async {
            let signer = self.signer()?;
            let mark = self.mark()?;
            let mut tx = self.database.begin(Access::Write).await?;
            self.ready(&mut tx).await?;
            let (before, frontier) = log::head(&mut tx, &self.settings.key, true).await?;
            self.above_mark(&mut tx, &before, mark, now).await?;
            let state = StateMap::new(before.state);
            let mut work = Work::new(tx, state, frontier);
            let answer = body(&mut work, before.clone()).await;
            let answer = match answer {
                Ok(answer) if work.frontier.size() > before.head.size => answer,
                // Nothing is to be written; a failure of this is no news.
                other => {
                    let _ = work.tx.roll_back().await;
                    if other.is_ok() {
                        self.raise(mark, before.head).await?;
                    }
                    return other;
                }
            };
            // Clocks differ a little; the log's time does not go back.
            let time = now.max(before.time);
            let after = finish(&mut work, |head, state| {
                SignedHead::sign(head, time, state, signer.as_ref(), &self.settings.key)
            })
            .await?;
            work.tx.commit().await?;
            // What was seen, and what it became: both are continued by the new head.
            self.raise(mark, after.head).await?;
            Ok(answer)
        })
    }
}

/// Writes what waits, and the new head.
pub(crate) async fn finish(
    work: &mut Work,
    sign: impl FnOnce(Head, tree::Hash) -> Result<SignedHead, Fault>,
) -> Result<SignedHead, Fault> {
    work.state.write(&mut work.tx, &mut work.rows).await?;
    work.rows.write(&mut work.tx).await?;
    let signed = sign(work.frontier.head(), work.state.root())?;
    log::write_head(&mut work.tx, &signed, &work.frontier).await?;
    Ok(signed)
}

/// One state of the registry, under a head that was verified.
pub(crate) struct Reading {
    pub(crate) tx: Tx,
    pub(crate) signed: SignedHead,
    pub(crate) state: StateMap,
}

impl Reading {
    /// A proven value of the map of what is in force.
    pub(crate) async fn get<T: serde::de::DeserializeOwned>(
        &mut self,
        key: &str,
    ) -> Result<Option<T>, Fault> {
        let value = self.state.get(&mut self.tx, key).await?;
        crate::project::read(self.tx.place(), value)
    }
}

/// An attachment that has this digest.
pub(crate) async fn attachment(tx: &mut Tx, digest: &bulla::Digest) -> Result<Vec<u8>, Fault> {
    let sql = "SELECT content FROM attachments WHERE digest = $1";
    let row = tx.row(sql, binds![digest]).await?;
    let bytes = row.map(|row| row.bytes(0)).transpose()?;
    match bytes {
        Some(bytes) if bulla::Digest::sha256(&bytes) == *digest => Ok(bytes),
        found => {
            let what = if found.is_some() { "was changed" } else { "is missing" };
            Err(damaged(tx.place(), format!("the attachment {digest} {what}")))
        }
    }
}
