//! Who hashes what next: streams of very different lengths, shared out between threads.
//!
//! A thread takes a *batch*: some bytes of each of so many streams as go well together. It brings
//! unfinished streams back and takes the next batch, which may hold other streams: each can go on wherever
//! there is time for it. So the choice is made anew some dozens of times a second, from what is left:
//!
//! * many streams: each thread fills its lanes;
//! * few streams on many threads: each goes alone, where a single stream is fastest;
//! * one huge stream among small ones: it goes alone, because nothing else can shorten the end, and the small
//!   ones share the lanes of the other threads.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes of a batch: some tens of milliseconds of work.
const BATCH: u64 = 64 << 20;
/// A stream's least share of a batch, unless it ends: less would not repay looking at it.
const SHARE: u64 = 256 << 10;
/// A stream is cut at multiples of this.
const EDGE: u64 = 64 << 10;
/// Bytes of a stream that is read in one go.
const SHORT: u64 = 64 << 10;
/// The most streams in a batch, where these are short.
const STREAMS: usize = 256;

/// Bytes of one stream that are to be hashed now.
#[derive(Debug)]
pub struct Turn<S> {
    /// Which stream, by its place in the list that the queue was made from.
    pub stream: usize,
    /// Where this turn begins in the stream, in bytes.
    pub at: u64,
    /// Bytes of this turn; 0 only in an empty stream.
    pub length: u64,
    /// Whether the stream ends with this turn.
    pub is_last: bool,
    /// What the caller gave back with [`Worker::next`] at the end of the stream's last turn; `None` at
    /// its first.
    pub state: Option<S>,
}

/// How fast streams go together: `speed[n]` is that of `n` streams on one thread, in any unit.
/// Beyond its end nothing is gained.
pub type Speeds<'a> = &'a [usize];

/// The streams of which some bytes are still to be hashed.
#[derive(Debug)]
pub struct Queue<S> {
    lengths: Vec<u64>,
    speeds: Vec<u64>,
    threads: u64,
    inner: Mutex<Inner<S>>,
    returned: Condvar,
}

#[derive(Debug)]
struct Inner<S> {
    /// Streams not begun, by what is left of them, the longest last.
    fresh: Vec<(u64, usize)>,
    /// Streams begun and with nobody.
    open: BTreeMap<(u64, usize), S>,
    /// For each thread that has a batch: bytes left of its streams when it took them, and of the longest.
    taken: BTreeMap<usize, (u64, u64)>,
    /// Bytes left of the streams that nobody has.
    left: u64,
    workers: usize,
    stopped: bool,
}

impl<S> Queue<S> {
    /// Shares streams of these lengths out between so many threads.
    #[must_use]
    pub fn new(lengths: Vec<u64>, speeds: Speeds<'_>, threads: usize) -> Self {
        let mut fresh: Vec<(u64, usize)> =
            lengths.iter().enumerate().map(|(stream, &length)| (length, stream)).collect();
        // Of equal lengths the first in the list first.
        fresh.sort_unstable_by_key(|&(length, stream)| (length, std::cmp::Reverse(stream)));
        let left = lengths.iter().copied().fold(0, u64::saturating_add);
        let inner = Inner {
            fresh,
            open: BTreeMap::new(),
            taken: BTreeMap::new(),
            left,
            workers: 0,
            stopped: false,
        };
        Self {
            lengths,
            speeds: speeds.iter().map(|&speed| speed.max(1) as u64).collect(),
            threads: threads.max(1) as u64,
            inner: Mutex::new(inner),
            returned: Condvar::new(),
        }
    }

    /// A thread's hand in the queue.
    pub fn worker(&self) -> Worker<'_, S> {
        let mut inner = self.lock();
        inner.workers += 1;
        Worker { queue: self, number: inner.workers }
    }

    /// Lets every thread end after its batch: something failed.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.returned.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Inner<S>> {
        // Nothing in here panics halfway through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn speed(&self, streams: usize) -> u64 {
        let last = self.speeds.last().copied().unwrap_or(1);
        self.speeds.get(streams).copied().unwrap_or(last)
    }

    /// How many streams go into a batch whose longest stream has `longest` bytes left.
    fn width(&self, inner: &Inner<S>, longest: u64) -> usize {
        let taken = inner.taken.values();
        let (all, longest_of_all) = taken.fold((inner.left, longest), |(all, max), (sum, one)| {
            (all.saturating_add(*sum), max.max(*one))
        });
        let most = self.speeds.len().saturating_sub(1).max(1);
        // A stream of `bytes` with so many others beside it; everything, with so many a thread.
        let alone = |bytes: u64, streams: usize| {
            u128::from(bytes) * (1 << 10) * streams as u128 / u128::from(self.speed(streams))
        };
        let together = |streams: usize| {
            u128::from(all) * (1 << 10) / u128::from(self.speed(streams) * self.threads)
        };
        let end = (1..=most).map(|n| alone(longest_of_all, n).max(together(n))).min();
        // A little later is allowed: what is left changes until then.
        let end = end.unwrap_or_default() / 100 * 115;
        (1..=most)
            .filter(|&n| n == 1 || alone(longest, n) <= end)
            .max_by_key(|&n| (self.speed(n), std::cmp::Reverse(n)))
            .unwrap_or(1)
    }
}

impl<S> Inner<S> {
    /// What is left of the longest stream that nobody has.
    fn longest(&self) -> Option<u64> {
        let open = self.open.keys().next_back().map(|key| key.0);
        let fresh = self.fresh.last().map(|key| key.0);
        open.max(fresh)
    }

    /// Takes it out.
    fn pop(&mut self) -> Option<(u64, usize, Option<S>)> {
        let open = self.open.keys().next_back().map(|key| key.0);
        let fresh = self.fresh.last().map(|key| key.0);
        if open.is_some() && open >= fresh {
            self.open.pop_last().map(|((left, stream), state)| (left, stream, Some(state)))
        } else {
            self.fresh.pop().map(|(left, stream)| (left, stream, None))
        }
    }
}

/// One thread's hand in a [`Queue`]. Dropped with a batch in it, it stops the others: nobody else could
/// finish that.
#[derive(Debug)]
pub struct Worker<'a, S> {
    queue: &'a Queue<S>,
    number: usize,
}

impl<S> Worker<'_, S> {
    /// Gives back what each unfinished stream of the last batch goes on with, and takes the next batch;
    /// `None` when nothing is left to take.
    pub fn next(&mut self, unfinished: Vec<(usize, u64, S)>) -> Option<Vec<Turn<S>>> {
        let queue = self.queue;
        let mut inner = queue.lock();
        inner.taken.remove(&self.number);
        for (stream, at, state) in unfinished {
            let left = queue.lengths.get(stream).copied().unwrap_or_default().saturating_sub(at);
            inner.left = inner.left.saturating_add(left);
            inner.open.insert((left, stream), state);
        }
        let longest = loop {
            if inner.stopped {
                return None;
            }
            match inner.longest() {
                Some(longest) => break longest,
                None if inner.taken.is_empty() => {
                    queue.returned.notify_all();
                    return None;
                }
                // What the others have may come back.
                None => {
                    inner = queue.returned.wait(inner).unwrap_or_else(PoisonError::into_inner);
                }
            }
        };
        let width = queue.width(&inner, longest);
        let fair = inner.left / (4 * queue.threads);
        let batch = fair.clamp(SHARE, BATCH);
        // Whole pages and blocks, wherever a stream is cut.
        let share = (batch / width as u64).max(SHARE) / EDGE * EDGE;

        let mut turns = Vec::with_capacity(width);
        let mut bytes = 0;
        let mut sum = 0u64;
        // Beyond the lanes only short streams, which are done with at once: every other one is an open file.
        let more = |taken: usize, bytes: u64, next: u64| {
            taken < width || (next < SHORT && bytes < batch && taken < STREAMS)
        };
        while let Some(next) = inner.longest() {
            if !more(turns.len(), bytes, next) {
                break;
            }
            let Some((left, stream, state)) = inner.pop() else { break };
            inner.left = inner.left.saturating_sub(left);
            sum = sum.saturating_add(left);
            let length = left.min(share);
            bytes += length;
            let whole = queue.lengths.get(stream).copied().unwrap_or_default();
            turns.push(Turn {
                stream,
                at: whole.saturating_sub(left),
                length,
                is_last: length == left,
                state,
            });
        }
        inner.taken.insert(self.number, (sum, longest));
        drop(inner);
        // Somebody may wait for a stream that was brought back and not taken again.
        queue.returned.notify_one();
        Some(turns)
    }
}

impl<S> Drop for Worker<'_, S> {
    fn drop(&mut self) {
        let mut inner = self.queue.lock();
        if inner.taken.remove(&self.number).is_some() {
            inner.stopped = true;
        }
        self.queue.returned.notify_all();
    }
}
