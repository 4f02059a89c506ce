//! Filling an empty database from events: an import, and what an audit compares with.
//!
//! It is several transactions, for one would be too large; until the last of them the registry cannot be opened. The map of what is in
//! force is kept in memory and written at the end.

use bulla::jiff::Timestamp;
use bulla::{Digest, Fault};

use crate::database::{Access, Database, binds};
use crate::event::{Entry, Event};
use crate::log::{Frontier, SignedHead};
use crate::project::Work;
use crate::registry::{Registry, Settings, finish};
use crate::schema;
use crate::state::StateMap;

/// Entries in one transaction. Most tables are ordered by digests, so that a step touches pages everywhere: fewer steps write each page
/// less often.
const STEP: u64 = 200_000;
/// What SQLite may keep of those pages in memory meanwhile: 1 GiB.
const CACHE: &str = "PRAGMA cache_size = -1048576";

/// A registry that is being filled.
pub(crate) struct Loader {
    database: Database,
    work: Work,
}

impl Loader {
    /// Begins with an empty database.
    pub(crate) async fn begin(database: &Database) -> Result<Self, Fault> {
        let mut tx = database.begin(Access::Write).await?;
        if schema::exists(&mut tx).await? {
            return Err(Fault::Registry {
                place: database.place().to_owned(),
                detail: "there is a registry already".into(),
                hint: "give an empty database, or the path of a new file",
            });
        }
        schema::create(database, &mut tx, schema::VERSION).await?;
        if !tx.is_postgres() {
            tx.execute(CACHE, Vec::new()).await?;
        }
        let sql = "INSERT INTO meta (name, value) VALUES ($1, $2)";
        tx.execute(sql, binds!["loading", "1"]).await?;
        let none: &[u8] = &[];
        let sql = "INSERT INTO head (id, size, frontier, note) VALUES (1, 0, $1, $2)";
        tx.execute(sql, binds![none, ""]).await?;
        let work = Work::new(tx, StateMap::new([0; 32]), Frontier::default());
        Ok(Self { database: database.clone(), work })
    }

    /// For an audit: entries and attachments are looked at where they are, and not copied.
    pub(crate) fn without_bytes(mut self) -> Self {
        self.work.keeps_bytes = false;
        self
    }

    /// Keeps bytes beside the log.
    pub(crate) fn attach(&mut self, bytes: &[u8]) -> Digest {
        self.work.attach(bytes)
    }

    /// Notes that there are such bytes.
    pub(crate) fn name_attachment(&mut self, digest: &Digest) {
        let none: &[u8] = &[];
        self.work.rows.add(&schema::ATTACHMENTS, binds![digest, none]);
    }

    /// Adds an entry; `files` are those of a model that was seen.
    pub(crate) async fn add(
        mut self,
        body: Vec<u8>,
        entry: &Entry,
        files: &[Digest],
    ) -> Result<Self, Fault> {
        self.work.append_encoded(body, entry, files).await?;
        if self.work.frontier.size().is_multiple_of(STEP) {
            let Work { mut tx, mut rows, state, frontier, keeps_bytes } = self.work;
            rows.write(&mut tx).await?;
            tx.commit().await?;
            let tx = self.database.begin(Access::Write).await?;
            self.work = Work { tx, rows, state, frontier, keeps_bytes };
        }
        Ok(self)
    }

    /// Ends with the head that `sign` makes of size, root and map: the registry can then be opened.
    pub(crate) async fn finish(
        mut self,
        sign: impl FnOnce(bulla_log::Head, bulla_log::tree::Hash) -> Result<SignedHead, Fault>,
    ) -> Result<SignedHead, Fault> {
        let signed = finish(&mut self.work, sign).await?;
        let sql = "DELETE FROM meta WHERE name = $1";
        self.work.tx.execute(sql, binds!["loading"]).await?;
        self.work.tx.commit().await?;
        Ok(signed)
    }
}

impl Registry {
    /// Makes a registry out of events that have been checked already (when, what, the bytes of the attachments that it names), without
    /// looking at each for whether it was there: for measurements with millions of them.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    #[doc(hidden)]
    pub fn create_filled(
        settings: Settings,
        events: &mut dyn Iterator<Item = (Timestamp, Event, Vec<Vec<u8>>)>,
        now: Timestamp,
    ) -> Result<Self, Fault> {
        let registry = Self::connect(settings, true)?;
        registry.block_on(async {
            let signer = registry.signer()?;
            let mut loader = Loader::begin(&registry.database).await?;
            for (at, event, contents) in events {
                contents.iter().for_each(|bytes| {
                    loader.attach(bytes);
                });
                let entry = Entry::new(at, event);
                let listed = match (&entry.event, contents.first()) {
                    (Event::ModelSeen(_), Some(bytes)) => files(bytes),
                    _ => Ok(Vec::new()),
                };
                let wrong = |detail: String| registry.fault(detail, "give other events");
                let body = entry.encode().map_err(wrong)?;
                loader = loader.add(body, &entry, &listed.map_err(wrong)?).await?;
            }
            let key = &registry.settings.key;
            let sign = |head, state| SignedHead::sign(head, now, state, signer.as_ref(), key);
            let signed = loader.finish(sign).await?;
            registry.raise(None, signed.head).await
        })?;
        Ok(registry)
    }
}

/// The attachments that an event names.
pub(crate) fn attachments(event: &Event) -> Vec<Digest> {
    match event {
        Event::ModelSeen(seen) => seen.files.into_iter().collect(),
        Event::Decided(decided) => {
            [Some(decided.decision), decided.verdict].into_iter().flatten().collect()
        }
        _ => Vec::new(),
    }
}

/// The files in the attachment of a model that was seen: only in the one spelling that there is of a list.
pub(crate) fn files(bytes: &[u8]) -> Result<Vec<Digest>, String> {
    let list: Vec<crate::wire::Sha256> = bulla::json::read_any(bytes)?;
    let encoded = serde_json_canonicalizer::to_vec(&list).map_err(|e| e.to_string())?;
    if encoded != bytes || !list.is_sorted_by(|a, b| a < b) {
        return Err("it is not a sorted list of digests in canonical form".into());
    }
    Ok(list.into_iter().map(|file| file.0).collect())
}
