//! The log's one writer.
//!
//! ```text
//! append ─► queue ─► a batch: entries and tiles ─► mark ─► signature ─► witnesses ─► checkpoint ─► answers
//!                             durable              durable                            durable
//! ```
//!
//! * Nothing is signed before its entries, its tiles and its mark are durable. After a crash the log goes on from the
//!   mark: a tree that may have been signed is published as it is, and no other tree of its size is ever signed.
//! * Nothing is answered before its checkpoint is durable.
//! * When the storage fails nobody knows what it holds, so the writer stops. Signers and witnesses may fail and come back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use super::checkpoint::{Checkpoint, LogKey};
use super::edge::{Edge, Extension, Stored, partial};
use super::mark::Head;
use super::note::{self, NoteError};
use super::storage::Guard;
use super::tile::{self, InTiles, LEVELS, Resource, Tile, WIDTH, parse_entries};
use super::tree::{consistency, empty_root, root, verify_consistency};
use super::{LogConfig, LogError, LogLimits};

const CHECKPOINT: &str = "checkpoint";
/// Trees before the newest one whose partial tiles are kept.
const SHOWN: usize = 2;
/// Entries that are recovered at a time.
const RECOVERED_AT_ONCE: u64 = 16 * WIDTH;

/// A published tree.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) head: Head,
    pub(super) note: String,
    /// Tiles that were new with it, and its edge.
    pub(super) tiles: BTreeMap<(u8, u64), Tile>,
}

pub(super) type Answer = Result<(Arc<Published>, u64), LogError>;

struct Waiting {
    entry: Vec<u8>,
    answer: SyncSender<Answer>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// Why nothing is taken any more.
    closed: Option<LogError>,
}

/// What the writer and everybody else share.
pub(super) struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    limits: LogLimits,
    published: RwLock<Arc<Published>>,
}

impl Shared {
    pub(super) fn new(published: Arc<Published>, limits: LogLimits) -> Self {
        Self {
            queue: Mutex::default(),
            wake: Condvar::new(),
            limits,
            published: RwLock::new(published),
        }
    }

    pub(super) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn closed(&self) -> Option<LogError> {
        self.queue().closed.clone()
    }

    pub(super) fn enqueue(
        &self,
        entry: Vec<u8>,
        answer: SyncSender<Answer>,
    ) -> Result<(), LogError> {
        let mut queue = self.queue();
        if let Some(why) = &queue.closed {
            return Err(LogError::Halted(why.to_string()));
        }
        let full = queue.waiting.len() >= self.limits.waiting_entries
            || queue.bytes.saturating_add(entry.len()) > self.limits.waiting_bytes;
        if full {
            return Err(LogError::Busy { waiting: queue.waiting.len() });
        }
        queue.bytes += entry.len();
        queue.waiting.push_back(Waiting { entry, answer });
        drop(queue);
        self.wake.notify_one();
        Ok(())
    }

    /// Takes nothing more; who waits is told.
    pub(super) fn close(&self, why: &LogError) {
        let mut queue = self.queue();
        queue.closed.get_or_insert_with(|| why.clone());
        queue.bytes = 0;
        for waiting in queue.waiting.drain(..) {
            let _ = waiting.answer.send(Err(LogError::Halted(why.to_string())));
        }
        drop(queue);
        self.wake.notify_all();
    }

    /// All that waits, up to a batch; `None` when the queue is closed.
    fn batch(&self) -> Option<Vec<Waiting>> {
        let mut queue = self.queue();
        while queue.waiting.is_empty() {
            if queue.closed.is_some() {
                return None;
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(waiting) = queue.waiting.pop_front() {
            bytes += waiting.entry.len();
            batch.push(waiting);
            if batch.len() >= self.limits.batch_entries || bytes >= self.limits.batch_bytes {
                break;
            }
        }
        queue.bytes = queue.bytes.saturating_sub(bytes);
        Some(batch)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes.
pub(super) struct Sequencer {
    config: LogConfig,
    edge: Edge,
    /// The tree that the mark is at.
    committed: Head,
    published: Arc<Published>,
    /// Sizes whose partial tiles may be in the storage.
    written: BTreeSet<u64>,
    /// Sizes that were published last, for readers that hold their checkpoints.
    shown: VecDeque<u64>,
    _lock: Guard,
}

impl Sequencer {
    /// Makes an empty log.
    pub(super) fn create(config: LogConfig) -> Result<Self, LogError> {
        let lock = config.storage.lock()?;
        let origin = config.origin();
        let exists = |found: String| Err(LogError::AlreadyThere { origin: origin.into(), found });
        if config.storage.read(CHECKPOINT, note::MAX_NOTE)?.is_some() {
            return exists("a checkpoint".into());
        }
        let empty = Head { size: 0, root: empty_root() };
        match config.mark.read(origin)? {
            Some(mark) if mark != empty => return exists(format!("its high-water mark, {mark}")),
            Some(_) => {}
            None => config.mark.raise(origin, None, empty)?,
        }
        let nothing = Published { head: empty, note: String::new(), tiles: BTreeMap::new() };
        let mut this = Self {
            config,
            edge: Edge::empty(),
            committed: empty,
            published: Arc::new(nothing),
            written: BTreeSet::new(),
            shown: VecDeque::new(),
            _lock: lock,
        };
        this.publish(BTreeMap::new())?;
        Ok(this)
    }

    /// Opens a log and brings it to where it may have been.
    pub(super) fn open(config: LogConfig) -> Result<Self, LogError> {
        let lock = config.storage.lock()?;
        let origin = config.origin();
        let note = config
            .storage
            .read(CHECKPOINT, note::MAX_NOTE)?
            .ok_or_else(|| LogError::NotThere { origin: origin.into() })?;
        let trusted = [LogKey::new(config.key.clone())];
        let checkpoint = Checkpoint::open(&note, &trusted).map_err(LogError::Checkpoint)?;
        let head = Head { size: checkpoint.size, root: checkpoint.root };
        let note = String::from_utf8(note)
            .map_err(|_| LogError::Checkpoint(NoteError::Malformed("it is not UTF-8")))?;
        let mark = config.mark.read(origin)?.ok_or_else(|| LogError::Mark {
            path: config.mark.name().into(),
            detail: format!("there is none, but a log with {head}"),
        })?;
        let edge = Edge::load(config.storage.as_ref(), head)?;
        let published = Arc::new(Published { head, note, tiles: BTreeMap::new() });
        let (written, shown) = (BTreeSet::from([head.size]), VecDeque::new());
        let mut this =
            Self { config, edge, committed: head, published, written, shown, _lock: lock };
        if mark.size > head.size {
            this.recover(mark)?;
        } else {
            this.check_prefix(mark)?;
        }
        this.ask_witnesses()?;
        // What a crash kept from being removed.
        let batch = u64::try_from(this.config.limits.batch_entries).unwrap_or(u64::MAX);
        this.discard_partials(this.published.head.size.saturating_sub(batch));
        this.discard_all_but_newest();
        Ok(this)
    }

    /// Takes batches until the queue is closed.
    pub(super) fn run(mut self, shared: &Shared) {
        while let Some(batch) = shared.batch() {
            let first = self.edge.size();
            match self.commit(&batch) {
                Ok(()) => {
                    *shared.published.write().unwrap_or_else(PoisonError::into_inner) =
                        Arc::clone(&self.published);
                    for (index, waiting) in (first..).zip(batch) {
                        let _ = waiting.answer.send(Ok((Arc::clone(&self.published), index)));
                    }
                }
                Err(error) => {
                    // First closed, then answered: who is answered finds the log as it is.
                    if !error.is_temporary() {
                        shared.close(&error);
                    }
                    for waiting in batch {
                        let _ = waiting.answer.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    pub(super) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published)
    }

    fn commit(&mut self, batch: &[Waiting]) -> Result<(), LogError> {
        let mut edge = self.edge.clone();
        let extension = edge.extend(batch.iter().map(|waiting| waiting.entry.as_slice()))?;
        let tiles = self.make_durable(edge, extension)?;
        self.publish(tiles)
    }

    /// Writes a tree, and raises the mark to it. From here on it is the log's, published or not.
    fn make_durable(
        &mut self,
        edge: Edge,
        extension: Extension,
    ) -> Result<BTreeMap<(u8, u64), Tile>, LogError> {
        let Extension { resources, tiles, head } = extension;
        self.config.storage.write(&resources)?;
        self.config.mark.raise(self.config.origin(), Some(self.committed), head)?;
        self.edge = edge;
        self.committed = head;
        self.written.insert(head.size);
        Ok(tiles)
    }

    /// Signs the committed tree, has it witnessed, and replaces the checkpoint.
    fn publish(&mut self, tiles: BTreeMap<(u8, u64), Tile>) -> Result<(), LogError> {
        let head = self.committed;
        let config = &self.config;
        let checkpoint = Checkpoint {
            origin: config.origin().to_owned(),
            size: head.size,
            root: head.root,
            extensions: String::new(),
        };
        let signed = note::sign(&checkpoint.to_text(), config.signer.as_ref(), &config.key)
            .map_err(|fault| LogError::Signer(fault.to_string()))?;
        let reader = config.storage.as_ref();
        let stored = Stored { reader, size: head.size, memory: Some(&tiles) };
        let note = config.witnesses.cosign(&signed, head, &InTiles(stored))?;
        let before = Some(self.published.note.as_bytes()).filter(|note| !note.is_empty());
        config.storage.replace(CHECKPOINT, before, note.as_bytes())?;
        let former = self.published.head.size;
        self.published = Arc::new(Published { head, note, tiles });
        self.discard_partials(former);
        self.discard_superseded(former);
        Ok(())
    }

    /// Partial tiles of trees that newer ones have superseded: each is the beginning of the newest. Each batch leaves some; kept
    /// until their tile is full they would take up a hundred times what the entries do.
    fn discard_superseded(&mut self, former: u64) {
        self.shown.push_back(former);
        while self.shown.len() > SHOWN {
            self.shown.pop_front();
        }
        let newest = self.published.head.size;
        let kept: Vec<u64> = self.shown.iter().copied().chain([newest]).collect();
        for size in std::mem::take(&mut self.written) {
            if kept.contains(&size) {
                self.written.insert(size);
                continue;
            }
            for level in 0..LEVELS {
                let Some(tile) = partial(level, size) else { continue };
                let needed = kept.iter().any(|kept| tile.at(*kept) == Some(tile));
                if let (Resource::Tile { index, width, .. }, false) = (tile, needed) {
                    if level == 0 {
                        let entries = Resource::Entries { index, width };
                        self.config.storage.discard(&entries.to_string());
                    }
                    self.config.storage.discard(&tile.to_string());
                }
            }
        }
    }

    /// What processes before this one wrote is not known: all partial tiles at the edge but the newest. Those without a
    /// checkpoint above them are among them.
    fn discard_all_but_newest(&self) {
        for level in 0..LEVELS {
            let newest = partial(level, self.published.head.size);
            let Some(Resource::Tile { index, width: kept, .. }) = newest else { continue };
            for width in (1..WIDTH).filter(|width| *width != kept) {
                if level == 0 {
                    let entries = Resource::Entries { index, width };
                    self.config.storage.discard(&entries.to_string());
                }
                let tile = Resource::Tile { level, index, width };
                self.config.storage.discard(&tile.to_string());
            }
        }
    }

    /// Partial tiles whose full ones are published are served from these.
    fn discard_partials(&self, former: u64) {
        for level in 0..LEVELS {
            let full = |size: u64| size.checked_shr(8 * u32::from(level)).unwrap_or(0) / WIDTH;
            let size = self.published.head.size;
            for index in full(former)..full(size) {
                if level == 0 {
                    let entries = Resource::Entries { index, width: WIDTH };
                    self.config.storage.discard(&entries.partials());
                }
                let tile = Resource::Tile { level, index, width: WIDTH };
                self.config.storage.discard(&tile.partials());
            }
        }
    }

    /// The mark is above the checkpoint: a crash came between, or this is an old copy. If the entries are all there, and
    /// make the very tree that the mark names, it is the former.
    fn recover(&mut self, mark: Head) -> Result<(), LogError> {
        let below = || LogError::BelowMark { found: self.committed, mark };
        // Without writing, until it is known that the tree is the one.
        let mut edge = self.edge.clone();
        while edge.size() < mark.size {
            let entries = self.entries(edge.size(), mark.size)?.ok_or_else(below)?;
            let head = edge.extend(entries.iter().map(Vec::as_slice))?.head;
            if head.size == mark.size && head.root != mark.root {
                return Err(below());
            }
        }
        let mut edge = self.edge.clone();
        let mut tiles = BTreeMap::new();
        while edge.size() < mark.size {
            let entries = self.entries(edge.size(), mark.size)?.ok_or_else(below)?;
            let extension = edge.extend(entries.iter().map(Vec::as_slice))?;
            self.config.storage.write(&extension.resources)?;
            tiles = extension.tiles;
        }
        self.edge = edge;
        self.committed = mark;
        self.publish(tiles)
    }

    /// Entries from `from` to at most `to`, as the tree of size `to` has them; `None` if they are not there.
    fn entries(&self, from: u64, to: u64) -> Result<Option<Vec<Vec<u8>>>, LogError> {
        let mut entries = Vec::new();
        let until = to.min((from / WIDTH * WIDTH).saturating_add(RECOVERED_AT_ONCE));
        let mut at = from;
        while at < until {
            let index = at / WIDTH;
            let width = tile::width_at(0, index, to);
            let bundle =
                tile::read(self.config.storage.as_ref(), Resource::Entries { index, width })?;
            let parsed = bundle.as_deref().and_then(|bundle| parse_entries(bundle, width));
            let Some(parsed) = parsed else { return Ok(None) };
            let skipped = usize::try_from(at % WIDTH).unwrap_or(usize::MAX);
            entries.extend(parsed.into_iter().skip(skipped).map(<[u8]>::to_vec));
            at = (index + 1) * WIDTH;
        }
        Ok(Some(entries))
    }

    /// The mark is not above the checkpoint: it must be of the same history.
    fn check_prefix(&self, mark: Head) -> Result<(), LogError> {
        let head = self.committed;
        let reader = self.config.storage.as_ref();
        let nodes = InTiles(Stored { reader, size: head.size, memory: None });
        let found = root(&nodes, mark.size)?;
        let proof = consistency(&nodes, mark.size, head.size)?;
        let extends = verify_consistency(mark.size, &mark.root, head.size, &head.root, &proof);
        if found != mark.root || !extends {
            let found = super::checkpoint::show_hash(&found);
            return Err(LogError::Forked { found, mark });
        }
        if mark.size < head.size {
            self.config.mark.raise(self.config.origin(), Some(mark), head)?;
        }
        Ok(())
    }

    /// A witness may know what both the log and its mark have forgotten.
    fn ask_witnesses(&self) -> Result<(), LogError> {
        let Published { head, note, .. } = self.published.as_ref();
        let reader = self.config.storage.as_ref();
        let nodes = InTiles(Stored { reader, size: head.size, memory: None });
        self.config.witnesses.cosign(note, *head, &nodes).map(drop)
    }
}

impl LogConfig {
    fn origin(&self) -> &str {
        self.signer.name()
    }
}
