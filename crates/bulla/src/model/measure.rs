//! Reading and hashing: each byte once, on several threads, as many streams at once as go well together.
//!
//! ```text
//! jobs (files or shards) ─► Queue ─ turns ─► read or map ─► hash side by side ─► digests
//! ```
//!
//! Which streams go together is the queue's matter ([`bulla_hash::schedule`]), how they go together the
//! engine's ([`bulla_hash::sha256`]). Here is where the bytes come from: long turns are mapped if the
//! program allows it, else everything is read into a buffer that stays in a core's own cache. What is not
//! in memory yet is asked for one turn ahead, so that the disk works while the hash does.

use std::num::NonZeroUsize;
use std::path::Path;

use bulla_hash::mapping::{Mapper, Mapping};
use bulla_hash::schedule::{Queue, Turn, Worker};
use bulla_hash::sha256::Engine;

use super::source::{Found, ModelFile, ModelSource};
use crate::digest::{Digest, FileHasher, HashAlgorithm};
use crate::error::Fault;

/// Bytes of a thread's buffer: half of a usual second-level cache.
const BUFFER: usize = 1 << 20;
/// Bytes of one stream that are read at once, if others are read beside it.
const PIECE: usize = 64 << 10;
/// Bytes that a thread maps at once, of all its streams together: the more, the rarer all processors have to
/// hear of an unmapped page.
const MAPPED: usize = 64 << 20;
/// Bytes of a turn from which on mapping is cheaper than reading, and looking ahead is worth its cost.
const LONG: usize = 256 << 10;
/// Bytes that a thread asks the disk for beyond its turns: as many as a batch has, so that the disk has
/// as much to do as the hash.
const AHEAD: u64 = 64 << 20;

/// Bytes that the system may keep in memory as one piece, and lets go as one or not at all.
const FOLIO: u64 = 8 << 20;

/// How the work of measuring is done.
#[derive(Clone, Copy)]
pub struct Work<'a> {
    threads: NonZeroUsize,
    progress: &'a dyn Progress,
    engine: Engine,
    mapper: Option<Mapper>,
    keeps_page_cache: bool,
}

impl std::fmt::Debug for Work<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl<'a> Work<'a> {
    /// So many threads; nobody is told.
    #[must_use]
    pub fn new(threads: NonZeroUsize) -> Self {
        Self {
            threads,
            progress: &NoProgress,
            engine: Engine::detect(),
            mapper: None,
            keeps_page_cache: true,
        }
    }

    /// Tells how far the work is.
    #[must_use]
    pub fn progress(self, progress: &'a dyn Progress) -> Self {
        Self { progress, ..self }
    }

    /// Computes SHA-256 with this engine, instead of the fastest on this machine.
    #[must_use]
    pub fn engine(self, engine: Engine) -> Self {
        Self { engine, ..self }
    }

    /// Maps long files instead of reading them, which spares a copy. The mapper answers a signal for the
    /// whole process: that is for programs, not for libraries.
    #[must_use]
    pub fn map_files(self, mapper: Mapper) -> Self {
        Self { mapper: Some(mapper), ..self }
    }

    /// Leaves the page cache as it was: what was not in memory before is dropped when it has been
    /// hashed, so that a large model does not push out what other processes work with.
    ///
    /// Linux only: elsewhere a [`LocalModel`](super::LocalModel) drops nothing. A file system that does not
    /// tell what is in memory loses what was there before, too.
    #[must_use]
    pub fn spare_page_cache(self) -> Self {
        Self { keeps_page_cache: false, ..self }
    }
}

/// Told how far the measuring is, from several threads.
pub trait Progress: Sync {
    /// So many files with so many bytes will be read.
    fn start(&self, files: usize, bytes: u64);
    /// So many more bytes have been read.
    fn advance(&self, bytes: u64);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn start(&self, _files: usize, _bytes: u64) {}
    fn advance(&self, _bytes: u64) {}
}

/// A part of a file that gets a digest.
pub(super) struct Job<'a> {
    pub(super) file: &'a Found,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// The digests of all jobs, in their order.
pub(super) fn run(
    source: &dyn ModelSource,
    hash: HashAlgorithm,
    jobs: &[Job<'_>],
    work: Work<'_>,
) -> Result<Vec<Digest>, Fault> {
    let lengths: Vec<u64> = jobs.iter().map(|job| job.end - job.start).collect();
    let files = jobs.iter().zip(std::iter::once(None).chain(jobs.iter().map(Some)));
    let files = files.filter(|(job, before)| before.is_none_or(|b| b.file.path != job.file.path));
    work.progress.start(files.count(), lengths.iter().copied().fold(0, u64::saturating_add));
    let threads = work.threads.get().min(jobs.len()).max(1);
    let queue = Queue::new(lengths, &FileHasher::speeds(hash, &work.engine), threads);
    let thread = || {
        let hand = queue.worker();
        let mut thread = Thread { source, hash, jobs, work, buffer: Vec::new(), done: Vec::new() };
        match thread.run(hand) {
            Ok(()) => Ok(thread.done),
            Err(fault) => {
                queue.stop();
                Err(fault)
            }
        }
    };
    let results = std::thread::scope(|scope| {
        // A thread that the system refuses is done without.
        let spawn = |_| std::thread::Builder::new().spawn_scoped(scope, thread).ok();
        let others: Vec<_> = (1..threads).map_while(spawn).collect();
        let mut results = vec![thread()];
        results.extend(others.into_iter().map(|other| {
            other.join().unwrap_or(Err(Fault::Bug { what: "a hashing thread panicked" }))
        }));
        results
    });
    let mut digests: Vec<Option<Digest>> = vec![None; jobs.len()];
    for result in results {
        for (job, digest) in result? {
            if let Some(slot) = digests.get_mut(job) {
                *slot = Some(digest);
            }
        }
    }
    let all: Option<Vec<Digest>> = digests.into_iter().collect();
    all.ok_or(Fault::Bug { what: "a part of a file was not hashed" })
}

/// What a stream goes on with in its next turn, on whichever thread. Its file is opened anew for each
/// turn, for a thousand streams may be under way and as many open files are not allowed.
struct State {
    hasher: FileHasher,
    /// Up to where it was looked whether the file is in memory.
    looked: u64,
    /// Whether it was not.
    was_cold: bool,
}

/// A turn under way.
struct Stream<'a> {
    job: usize,
    found: &'a Found,
    file: Option<Box<dyn ModelFile>>,
    state: State,
    /// Where the bytes of this turn begin in the file, where reading has come to, and where they end.
    from: u64,
    at: u64,
    to: u64,
    /// Where the job begins and ends in the file.
    start: u64,
    end: u64,
}

/// The bytes of a stream that are hashed next.
enum Piece<'a> {
    Read(&'a [u8]),
    Mapped(Mapping),
}

impl Stream<'_> {
    fn fault(&self, error: std::io::Error) -> Fault {
        Fault::io("read", Path::new(self.found.path.as_str()), error)
    }

    fn changed(&self) -> Fault {
        Fault::Changed { path: self.found.path.as_str().to_owned() }
    }

    /// The open file.
    fn file(&mut self, source: &dyn ModelSource) -> Result<&dyn ModelFile, Fault> {
        if self.file.is_none() {
            self.file = Some(source.open(self.found)?);
        }
        self.file.as_deref().ok_or(Fault::Bug { what: "an open file is not open" })
    }

    fn is_long(&self) -> bool {
        self.to - self.from >= LONG as u64
    }

    /// Whether all was read of this turn.
    fn is_read(&self) -> bool {
        self.at == self.to
    }

    /// Has the disk begin with this turn's bytes and `ahead` more, if these are not in memory.
    fn look_ahead(&mut self, source: &dyn ModelSource, ahead: u64) -> Result<(), Fault> {
        let until = self.to.saturating_add(ahead).min(self.end);
        let from = self.from.max(self.state.looked);
        if until > from {
            let was_cold = self.state.was_cold;
            let file = self.file(source)?;
            // Looking has the system read ahead by itself: once cold is cold to the end.
            if was_cold || !file.is_in_memory(until - 1) {
                file.fetch(from, until - from);
                self.state.was_cold = true;
            }
            self.state.looked = until;
        }
        Ok(())
    }

    /// Fills the buffer from where reading has come to.
    fn read(&mut self, source: &dyn ModelSource, buffer: &mut [u8]) -> Result<(), Fault> {
        let at = self.at;
        match self.file(source)?.read_exact_at(buffer, at) {
            Ok(()) => {
                self.at += buffer.len() as u64;
                Ok(())
            }
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Err(self.changed()),
            Err(e) => Err(self.fault(e)),
        }
    }

    /// After the turn's bytes were used: lets them go if need be, and looks whether they were those of
    /// the file that was listed, as it was then.
    fn close(&mut self, work: Work<'_>) -> Result<(), Fault> {
        let Some(file) = self.file.take() else { return Ok(()) };
        if !work.keeps_page_cache && self.state.was_cold {
            // What lies across two turns was in use at the end of the last one.
            let from = self.from.saturating_sub(FOLIO).max(self.start);
            file.forget(from, self.to - from);
        }
        let now = file.identity().map_err(|e| self.fault(e))?;
        if now.is_unchanged_since(&self.found.identity) { Ok(()) } else { Err(self.changed()) }
    }
}

struct Thread<'a> {
    source: &'a dyn ModelSource,
    hash: HashAlgorithm,
    jobs: &'a [Job<'a>],
    work: Work<'a>,
    buffer: Vec<u8>,
    done: Vec<(usize, Digest)>,
}

impl<'a> Thread<'a> {
    fn run(&mut self, mut hand: Worker<'_, State>) -> Result<(), Fault> {
        let mut unfinished = Vec::new();
        while let Some(turns) = hand.next(std::mem::take(&mut unfinished)) {
            let streams = turns.into_iter().map(|turn| self.stream(turn));
            let mut streams = streams.collect::<Result<Vec<_>, Fault>>()?;
            self.look_ahead(&mut streams)?;
            let mut ended = Vec::new();
            while !streams.is_empty() {
                self.hash_a_piece_of_each(&mut streams)?;
                for stream in streams.extract_if(.., |stream| stream.is_read()) {
                    if stream.to < stream.end {
                        unfinished.push((stream.job, stream.to - stream.start, stream.state));
                    } else {
                        ended.push((stream.job, stream.state.hasher));
                    }
                }
            }
            let (jobs, hashers): (Vec<usize>, Vec<FileHasher>) = ended.into_iter().unzip();
            let digests = FileHasher::finish_all(&self.work.engine, hashers);
            self.done.extend(jobs.into_iter().zip(digests));
        }
        Ok(())
    }

    fn stream(&self, turn: Turn<State>) -> Result<Stream<'a>, Fault> {
        let job = self.jobs.get(turn.stream).ok_or(Fault::Bug { what: "no such job" })?;
        let from = job.start + turn.at;
        let new = || State { hasher: FileHasher::new(self.hash), looked: 0, was_cold: false };
        Ok(Stream {
            job: turn.stream,
            found: job.file,
            file: None,
            state: turn.state.unwrap_or_else(new),
            from,
            at: from,
            to: from + turn.length,
            start: job.start,
            end: job.end,
        })
    }

    fn look_ahead(&self, streams: &mut [Stream<'_>]) -> Result<(), Fault> {
        let long = streams.iter().filter(|stream| stream.is_long()).count() as u64;
        for stream in streams {
            if stream.is_long() {
                stream.look_ahead(self.source, AHEAD / long)?;
            }
        }
        Ok(())
    }

    /// Takes as much of each stream, from the first on, as there is room for, and hashes it side by side.
    fn hash_a_piece_of_each(&mut self, streams: &mut [Stream<'_>]) -> Result<(), Fault> {
        let (source, work) = (self.source, self.work);
        self.buffer.resize(BUFFER, 0);
        let mut room = self.buffer.as_mut_slice();
        let longest = (BUFFER / streams.len().max(1)).clamp(PIECE, BUFFER / 2);
        let window = (MAPPED / streams.len().max(1)).max(LONG);
        let mut pieces: Vec<Piece<'_>> = Vec::new();
        for stream in streams.iter_mut() {
            let left = usize::try_from(stream.to - stream.at).unwrap_or(usize::MAX);
            if let Some(mapper) = work.mapper.filter(|_| stream.is_long())
                && let at = stream.at
                && let Ok(mapping) = stream.file(source)?.map(mapper, at, left.min(window))
            {
                stream.at += mapping.bytes().len() as u64;
                pieces.push(Piece::Mapped(mapping));
                continue;
            }
            let length = left.min(longest);
            if length > room.len() {
                break;
            }
            let (buffer, rest) = std::mem::take(&mut room).split_at_mut(length);
            room = rest;
            if !stream.is_long() && !work.keeps_page_cache {
                stream.look_ahead(source, 0)?;
            }
            // An empty file, too, has to be there.
            stream.file(source)?;
            stream.read(source, buffer)?;
            if stream.is_read() {
                stream.close(work)?;
            }
            pieces.push(Piece::Read(buffer));
        }

        let mut beside: Vec<(&mut FileHasher, &[u8])> = Vec::with_capacity(pieces.len());
        for (stream, piece) in streams.iter_mut().zip(&pieces) {
            let bytes = match piece {
                Piece::Read(bytes) => bytes,
                Piece::Mapped(mapping) => mapping.bytes(),
            };
            beside.push((&mut stream.state.hasher, bytes));
        }
        FileHasher::update_all(&work.engine, &mut beside);
        work.progress.advance(beside.iter().map(|(_, bytes)| bytes.len() as u64).sum());

        for (stream, piece) in streams.iter_mut().zip(pieces) {
            if let Piece::Mapped(mapping) = piece {
                if !mapping.is_whole() {
                    drop(mapping);
                    stream.close(work)?;
                    let short = "not all of its bytes could be read";
                    return Err(stream.fault(std::io::Error::other(short)));
                }
                drop(mapping);
                if stream.is_read() {
                    stream.close(work)?;
                }
            }
        }
        Ok(())
    }
}
