//! What this machine can do with bytes that are in memory already: the copy, one stream a thread, full
//! lanes. `interop/bench.py` compares the program with it.
//!
//! `cargo run --release --example limits -- [THREADS] [GIB]` prints a name and bytes a second, a line each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::num::NonZeroUsize;
use std::time::Instant;

use bulla_hash::sha256::{Engine, MOST_LANES, Stream};

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().unwrap());
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = arguments.next().unwrap_or(cores);
    let gib = arguments.next().unwrap_or(4);
    // Each thread's share is far larger than its caches: what is measured comes from memory.
    let share = (gib << 30) / threads;
    let memory: Vec<Vec<u8>> =
        (0..threads).map(|seed| vec![seed.to_le_bytes()[0]; share]).collect();
    let rate = |name: &str, work: &(dyn Fn(&[u8]) + Sync)| {
        // The best of three: everything else that the machine does only slows it down.
        let best = (0..3).map(|_| {
            let start = Instant::now();
            std::thread::scope(|scope| {
                memory.iter().for_each(|share| drop(scope.spawn(|| work(share))));
            });
            start.elapsed().as_secs_f64()
        });
        let best = best.fold(f64::INFINITY, f64::min);
        #[allow(clippy::cast_precision_loss)]
        let bytes = (share * threads) as f64;
        println!("{name} {:.0}", bytes / best);
    };
    let engine = Engine::detect();
    let hash = |share: &[u8], lanes: usize| {
        let lane = share.len() / lanes;
        let mut streams = vec![Stream::default(); lanes];
        let mut at = 0;
        while at < lane {
            let piece = (1 << 20).min(lane - at);
            let bytes = share.chunks_exact(lane).map(|bytes| &bytes[at..at + piece]);
            engine.update(&mut streams.iter_mut().zip(bytes).collect::<Vec<_>>());
            at += piece;
        }
        std::hint::black_box(engine.finish(streams));
    };
    rate("copy", &|share| {
        let mut to = vec![0; 1 << 20];
        for from in share.chunks_exact(1 << 20) {
            to.copy_from_slice(from);
            std::hint::black_box(&to);
        }
    });
    rate("sha256-one-stream", &|share| hash(share, 1));
    rate("sha256-two-streams", &|share| hash(share, 2));
    rate("sha256-lanes", &|share| hash(share, MOST_LANES));
}
