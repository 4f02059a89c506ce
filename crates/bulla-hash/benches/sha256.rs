//! The inner loops: each back end with as many streams as it likes, and the mixed plan with any number.
#![allow(missing_docs, clippy::unwrap_used)]

use bulla_hash::sha256::{Backend, Engine, Stream};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Bytes of each stream in a round: a thread's buffer holds sixteen of these.
const PIECE: usize = 64 << 10;

fn streams(criterion: &mut Criterion) {
    let only = Backend::ALL.into_iter().filter_map(|b| Some((b.name(), Engine::only(b)?)));
    let engines: Vec<_> = only.chain([("detected", Engine::detect())]).collect();
    let bytes: Vec<Vec<u8>> = (0..16u8).map(|seed| vec![seed; PIECE]).collect();
    let mut group = criterion.benchmark_group("sha256");
    group.sample_size(20).measurement_time(std::time::Duration::from_secs(1));
    group.warm_up_time(std::time::Duration::from_millis(300));
    for (name, engine) in engines {
        for count in [1, 2, 3, 8, 16] {
            group.throughput(Throughput::Bytes((count * PIECE) as u64));
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                let mut streams = vec![Stream::default(); count];
                bencher.iter(|| {
                    let work = streams.iter_mut().zip(&bytes).map(|(s, b)| (s, b.as_slice()));
                    engine.update(&mut work.collect::<Vec<_>>());
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, streams);
criterion_main!(benches);
