//! Any streams, cut anywhere, beside each other: every back end gives the same digests.
#![no_main]
use bulla_hash::sha256::{Backend, Engine, Stream};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|pieces: Vec<(u8, Vec<u8>)>| {
    let digests = |engine: Engine| {
        let mut streams = vec![Stream::default(); 20];
        for round in pieces.chunks(24) {
            // One piece a stream at a time.
            let mut work: Vec<(&mut Stream, &[u8])> = Vec::new();
            let mut free: Vec<Option<&mut Stream>> = streams.iter_mut().map(Some).collect();
            for (stream, bytes) in round {
                if let Some(stream) = free[usize::from(*stream) % 20].take() {
                    work.push((stream, bytes));
                }
            }
            engine.update(&mut work);
        }
        engine.finish(streams)
    };
    let expected = digests(Engine::only(Backend::Portable).expect("plain code"));
    for engine in Backend::ALL.into_iter().filter_map(Engine::only).chain([Engine::detect()]) {
        assert_eq!(digests(engine), expected);
    }
});
