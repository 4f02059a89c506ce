//! Who hashes what next: every byte once and in order, and no shape slower than plain single streams.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]

use std::collections::BTreeMap;
use std::sync::Mutex;

use bulla_hash::schedule::{Queue, Turn};
use proptest::prelude::*;

/// A processor with AVX-512 and SHA-NI, in per cent of one SHA-NI stream.
fn lanes() -> Vec<usize> {
    let two = [0, 100, 120, 112, 120, 115, 121, 142, 162, 151, 151, 145, 157, 171, 184, 197, 210];
    two.to_vec()
}

/// A hash that gains nothing from company.
const FLAT: &[usize] = &[0, 100];

#[derive(Debug, Clone, Copy)]
struct Hashed(u64);

/// What a thread brings back.
type Unfinished = Vec<(usize, u64, Hashed)>;

/// Runs a queue with real threads; returns how often each stream ended.
fn run(lengths: &[u64], speeds: &[usize], threads: usize) -> Vec<usize> {
    let queue: Queue<Hashed> = Queue::new(lengths.to_vec(), speeds, threads);
    let ended = Mutex::new(vec![0; lengths.len()]);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut worker = queue.worker();
                let mut unfinished = Vec::new();
                while let Some(turns) = worker.next(std::mem::take(&mut unfinished)) {
                    assert!(!turns.is_empty());
                    for Turn { stream, at, length, is_last, state } in turns {
                        // Each turn begins where the last one ended, at a whole page.
                        assert_eq!(at, state.map_or(0, |Hashed(bytes)| bytes));
                        assert_eq!(at % (64 << 10), 0);
                        let end = at + length;
                        assert_eq!(is_last, end == lengths[stream]);
                        assert!(length > 0 || lengths[stream] == 0);
                        if is_last {
                            ended.lock().unwrap()[stream] += 1;
                        } else {
                            unfinished.push((stream, end, Hashed(end)));
                        }
                    }
                }
            });
        }
    });
    ended.into_inner().unwrap()
}

#[test]
fn no_streams_no_work() {
    assert_eq!(run(&[], &lanes(), 3), Vec::<usize>::new());
}

#[test]
fn empty_streams_have_a_turn_too() {
    assert_eq!(run(&[0, 5, 0], &lanes(), 2), [1, 1, 1]);
}

#[test]
fn lengths_at_the_end_of_all_numbers() {
    let queue: Queue<Hashed> = Queue::new(vec![u64::MAX, u64::MAX, 3], &lanes(), 2);
    let turns = queue.worker().next(Vec::new()).unwrap();
    assert_eq!((turns[0].at, turns[0].is_last), (0, false));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_byte_once_and_in_order(
        lengths in prop::collection::vec(
            prop_oneof![0u64..10, 0u64..5_000_000, 0u64..400_000_000], 0..60),
        threads in 1usize..5,
        flat in any::<bool>(),
    ) {
        let speeds = if flat { FLAT.to_vec() } else { lanes() };
        prop_assert_eq!(run(&lengths, &speeds, threads), vec![1; lengths.len()]);
    }
}

#[test]
fn a_thread_that_dies_with_streams_in_its_hands_stops_the_others() {
    let queue: Queue<Hashed> = Queue::new(vec![1 << 30; 2], FLAT, 2);
    let mut dies = queue.worker();
    let mut waits = queue.worker();
    assert_eq!(dies.next(Vec::new()).unwrap().len(), 1);
    let first = waits.next(Vec::new()).unwrap();
    assert_eq!(first.iter().filter(|t| t.is_last).count(), 0);
    std::thread::scope(|scope| {
        // It would wait for the stream that the other one holds, for ever.
        let other = scope.spawn(move || {
            let mut turns = Some(first);
            while let Some(now) = turns {
                let more = |t: Turn<Hashed>| {
                    let end = t.at + t.length;
                    (!t.is_last).then_some((t.stream, end, Hashed(end)))
                };
                turns = waits.next(now.into_iter().filter_map(more).collect());
            }
        });
        drop(dies);
        other.join().unwrap();
    });
}

/// What the others have may come back, and wants every thread that there is.
#[test]
fn a_thread_waits_for_what_others_have() {
    let queue: Queue<Hashed> = Queue::new(vec![1 << 20], FLAT, 2);
    let (mut has, mut waits) = (queue.worker(), queue.worker());
    assert_eq!(has.next(Vec::new()).unwrap().len(), 1);
    std::thread::scope(|scope| {
        let other = scope.spawn(move || waits.next(Vec::new()).is_none());
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!other.is_finished());
        // It ends when the stream has.
        let end = 1 << 20;
        let mut turn = has.next(vec![(0, end - 1, Hashed(end - 1))]);
        assert!(turn.take().unwrap()[0].is_last);
        assert!(has.next(Vec::new()).is_none());
        assert!(other.join().unwrap());
    });
}

/// A thread that takes less than it brings back leaves something for one that waits.
#[test]
fn a_waiting_thread_is_told_of_what_was_brought_back() {
    const MIB: u64 = 1 << 20;
    let queue: Queue<Hashed> = Queue::new(vec![200 * MIB; 2], &[0, 100, 120], 1);
    let (mut has, mut waits) = (queue.worker(), queue.worker());
    assert_eq!(has.next(Vec::new()).unwrap().len(), 2);
    std::thread::scope(|scope| {
        let other = scope.spawn(move || waits.next(Vec::new()).is_some());
        std::thread::sleep(std::time::Duration::from_millis(50));
        // The second one has little left: beside it, the first one would only end later.
        let back = [(0, 100 * MIB), (1, 199 * MIB)].map(|(s, at)| (s, at, Hashed(at)));
        assert_eq!(has.next(back.into()).unwrap().len(), 1);
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !other.is_finished() && std::time::Instant::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let told = other.is_finished();
        // It would be told now.
        drop(has);
        assert!(other.join().unwrap() && told);
    });
}

/// The first batch of a queue for one thread: its streams, and their bytes.
fn first_batch(lengths: Vec<u64>) -> (usize, u64) {
    let queue: Queue<Hashed> = Queue::new(lengths, &lanes(), 1);
    let turns = queue.worker().next(Vec::new()).unwrap();
    (turns.len(), turns.iter().map(|turn| turn.length).sum())
}

/// Every stream of a batch is a file that is opened, and its bytes are asked for ahead.
#[test]
fn a_batch_is_bounded() {
    // In bytes, however long the streams are.
    let (streams, bytes) = first_batch(vec![1 << 40; 32]);
    assert!(streams == 16 && bytes <= 64 << 20, "{streams}, {bytes}");
    let (streams, bytes) = first_batch(vec![1 << 40]);
    assert!(streams == 1 && bytes <= 64 << 20, "{streams}, {bytes}");
    // In streams, however short they are; only the shortest go beyond the lanes.
    assert_eq!(first_batch(vec![1; 100_000]), (256, 256));
    assert_eq!(first_batch(vec![100 << 10; 1000]).0, 16);
    // Not all at once of what would do for all threads.
    let (_, bytes) = first_batch(vec![60 << 10; 200]);
    assert!(bytes <= 200 * (60 << 10) / 4 + (60 << 10), "{bytes}");
}

#[test]
fn a_stopped_queue_hands_out_nothing() {
    let queue: Queue<Hashed> = Queue::new(vec![1 << 30; 2], FLAT, 2);
    queue.stop();
    assert!(queue.worker().next(Vec::new()).is_none());
}

/// The time that so many threads take, by the speeds alone, in bytes of one SHA-NI stream.
fn simulated(lengths: &[u64], speeds: &[usize], threads: usize) -> u64 {
    let queue: Queue<Hashed> = Queue::new(lengths.to_vec(), speeds, threads);
    let mut workers: Vec<_> = (0..threads).map(|_| queue.worker()).collect();
    // When each busy thread is done, and what it then brings back.
    let mut busy: BTreeMap<(u64, usize), Unfinished> = BTreeMap::new();
    let mut idle: Vec<usize> = (0..threads).collect();
    let mut left: u64 = lengths.len() as u64;
    let mut free: u64 = left; // streams that nobody has
    let mut now = 0;
    let mut back: BTreeMap<usize, Unfinished> = BTreeMap::new();
    while left > 0 {
        // Whoever is idle takes what there is; asking for nothing would wait for ever.
        while free > 0 || !back.is_empty() {
            let Some(number) = back.keys().next().copied().or_else(|| idle.first().copied()) else {
                break;
            };
            idle.retain(|&n| n != number);
            let unfinished = back.remove(&number).unwrap_or_default();
            free += unfinished.len() as u64;
            if free == 0 {
                idle.push(number);
                break;
            }
            let turns = workers[number].next(unfinished).unwrap();
            free -= turns.len() as u64;
            // Lanes end when their turn does; fewer go on then.
            let mut lengths: Vec<u64> = turns.iter().map(|t| t.length).collect();
            lengths.sort_unstable();
            let (mut time, mut done) = (0, 0);
            for (index, &length) in lengths.iter().enumerate() {
                let streams = lengths.len() - index;
                let speed = speeds[streams.min(speeds.len() - 1)] as u64;
                time += (length - done) * streams as u64 * 100 / speed;
                done = length;
            }
            left -= turns.iter().filter(|t| t.is_last).count() as u64;
            let unfinished = turns
                .into_iter()
                .filter(|t| !t.is_last)
                .map(|t| (t.stream, t.at + t.length, Hashed(t.at + t.length)))
                .collect();
            busy.insert((now + time, number), unfinished);
        }
        let Some(((time, number), unfinished)) = busy.pop_first() else { break };
        now = time;
        if unfinished.is_empty() {
            // It took a batch, and that is over.
            idle.push(number);
        } else {
            back.insert(number, unfinished);
        }
    }
    while let Some(((time, _), _)) = busy.pop_first() {
        now = now.max(time);
    }
    now
}

/// One stream a thread, the longest first, each to its end: what a plain pool of threads does.
fn plain(lengths: &[u64], threads: usize) -> u64 {
    let mut lengths = lengths.to_vec();
    lengths.sort_unstable_by_key(|&length| std::cmp::Reverse(length));
    let mut busy = vec![0; threads];
    for length in lengths {
        *busy.iter_mut().min().unwrap() += length;
    }
    busy.into_iter().max().unwrap()
}

#[test]
fn no_shape_is_slower_than_single_streams() {
    const MIB: u64 = 1 << 20;
    let mut shapes: Vec<(String, Vec<u64>)> = [1usize, 2, 3, 5, 8, 12, 16, 20, 32, 100]
        .into_iter()
        .map(|files| (format!("{files} files of 256 MiB"), vec![256 * MIB; files]))
        .collect();
    shapes.push(("ten files of 5 MiB".into(), vec![5 * MIB; 10]));
    let with = |one: u64, many: usize, size: u64| {
        std::iter::once(one).chain(std::iter::repeat_n(size, many)).collect::<Vec<u64>>()
    };
    shapes.push(("one huge among small".into(), with(4096 * MIB, 1000, 4 * MIB)));
    shapes.push(("one huge among few".into(), with(4096 * MIB, 3, 512 * MIB)));
    shapes.push(("rising".into(), (1..=40).map(|n| n * 20 * MIB).collect()));
    for threads in [1, 2, 4] {
        for (name, lengths) in &shapes {
            let ours = simulated(lengths, &lanes(), threads);
            let single = plain(lengths, threads);
            assert!(
                ours <= single + single / 50,
                "{name} on {threads} threads: {ours} against {single}"
            );
        }
    }
}

#[test]
fn many_streams_fill_the_lanes() {
    let lengths = vec![256 << 20; 64];
    for threads in [1, 2] {
        let all: u64 = lengths.iter().sum();
        let best = all * 100 / 210 / threads as u64;
        let ours = simulated(&lengths, &lanes(), threads);
        assert!(ours <= best + best / 20, "{threads} threads: {ours} against {best}");
    }
}
