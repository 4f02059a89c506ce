//! Every back end gives the digests of NIST and of another implementation, whatever lies beside a stream.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used)]

use bulla_hash::sha256::{Backend, Engine, Stream};
use proptest::prelude::*;

/// Every engine that this machine can run, by name. Miri has its own idea of the machine.
fn engines() -> Vec<(&'static str, Engine)> {
    let only = Backend::ALL.into_iter().filter_map(|b| Some((b.name(), Engine::only(b)?)));
    only.chain([("detected", Engine::detect())]).collect()
}

fn other(bytes: &[u8]) -> Vec<u8> {
    #[cfg(not(miri))]
    return aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec();
    #[cfg(miri)]
    return Engine::only(Backend::Portable).unwrap().digest(bytes).to_vec();
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

/// `KEY = value` lines.
fn values<'a>(file: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    file.lines().filter_map(move |line| line.strip_prefix(key)?.trim().strip_prefix("= "))
}

fn text(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + seed * 7 + i / 251).to_le_bytes()[0]).collect()
}

#[test]
fn this_machine_has_a_back_end() {
    assert!(Backend::Portable.is_available());
    for backend in Backend::ALL {
        assert_eq!(backend.is_available(), Engine::only(backend).is_some());
    }
}

/// Where the environment names back ends, they are there: a test machine that lost one would test nothing.
#[test]
fn expected_back_ends_are_available() {
    let expected = std::env::var("BULLA_TEST_BACKENDS").unwrap_or_default();
    for name in expected.split_whitespace() {
        let backend = Backend::ALL.into_iter().find(|b| b.name() == name).expect(name);
        assert!(backend.is_available(), "this processor cannot run {name}");
    }
}

#[test]
fn nist_short_messages_in_one_batch() {
    let file = include_str!("data/SHA256ShortMsg.rsp");
    let lengths = values(file, "Len").map(|n| n.parse::<usize>().unwrap() / 8);
    let mut messages: Vec<Vec<u8>> = lengths
        .zip(values(file, "Msg"))
        .map(|(length, hex)| unhex(hex)[..length].to_vec())
        .collect();
    let expected: Vec<Vec<u8>> = values(file, "MD").map(unhex).collect();
    assert_eq!((messages.len(), expected.len()), (65, 65));
    messages.truncate(if cfg!(miri) { 8 } else { 65 });
    for (name, engine) in engines() {
        let mut streams = vec![Stream::default(); messages.len()];
        let mut work: Vec<_> =
            streams.iter_mut().zip(&messages).map(|(s, m)| (s, m.as_slice())).collect();
        engine.update(&mut work);
        let digests = engine.finish(streams);
        for (digest, expected) in digests.iter().zip(&expected) {
            assert_eq!(digest, expected.as_slice(), "{name}");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes hours")]
fn nist_monte_carlo() {
    let file = include_str!("data/SHA256Monte.rsp");
    let seed = unhex(values(file, "Seed").next().unwrap());
    let expected: Vec<Vec<u8>> = values(file, "MD").map(unhex).collect();
    assert_eq!(expected.len(), 100);
    for (name, engine) in engines() {
        let mut seed = seed.clone();
        for expected in &expected {
            let mut last = [seed.clone(), seed.clone(), seed.clone()];
            for _ in 0..1000 {
                let next = engine.digest(&last.concat()).to_vec();
                last.rotate_left(1);
                last[2] = next;
            }
            seed.clone_from(&last[2]);
            assert_eq!(&seed, expected, "{name}");
        }
    }
}

#[test]
fn every_length_around_the_edges_of_blocks() {
    let lengths = if cfg!(miri) { 54..58 } else { 0..1100 };
    for (name, engine) in engines() {
        for length in lengths.clone() {
            let bytes = text(length, 1);
            assert_eq!(engine.digest(&bytes), *other(&bytes), "{name}, {length} bytes");
        }
    }
}

#[test]
fn every_length_side_by_side() {
    let lengths: Vec<usize> = if cfg!(miri) { (62..66).collect() } else { (0..600).collect() };
    let texts: Vec<Vec<u8>> = lengths.iter().map(|&n| text(n, n)).collect();
    for (name, engine) in engines() {
        let mut streams = vec![Stream::default(); texts.len()];
        let mut work: Vec<_> = streams.iter_mut().zip(&texts).map(|(s, t)| (s, &**t)).collect();
        engine.update(&mut work);
        for (digest, text) in engine.finish(streams).iter().zip(&texts) {
            assert_eq!(*digest, *other(text), "{name}, {} bytes", text.len());
        }
    }
}

#[test]
fn a_stream_in_two_parts_is_the_same_wherever_it_is_cut() {
    let bytes = text(200, 3);
    let expected = other(&bytes);
    let step = if cfg!(miri) { 90 } else { 1 };
    for (name, engine) in engines() {
        for cut in (0..=bytes.len()).step_by(step) {
            let mut stream = Stream::default();
            engine.update(&mut [(&mut stream, &bytes[..cut])]);
            engine.update(&mut [(&mut stream, &[])]);
            engine.update(&mut [(&mut stream, &bytes[cut..])]);
            assert_eq!(stream.length(), 200);
            assert_eq!(engine.finish(vec![stream])[0], *expected, "{name}, cut at {cut}");
        }
    }
}

#[test]
fn any_number_of_lanes_is_in_use() {
    let most = if cfg!(miri) { 3 } else { 40 };
    let texts: Vec<Vec<u8>> = (0..most).map(|n| text(640, n)).collect();
    for (name, engine) in engines() {
        for count in 0..=most {
            let mut streams = vec![Stream::default(); count];
            let mut work: Vec<_> = streams.iter_mut().zip(&texts).map(|(s, t)| (s, &**t)).collect();
            engine.update(&mut work);
            let digests = engine.finish(streams);
            assert_eq!(digests.len(), count);
            for (digest, text) in digests.iter().zip(&texts) {
                assert_eq!(*digest, *other(text), "{name}, {count} streams");
            }
        }
    }
}

#[test]
fn more_streams_are_never_slower_than_one_after_the_other() {
    for (name, engine) in engines() {
        for streams in 2..=40 {
            assert!(engine.speed(streams) >= engine.speed(1), "{name}, {streams} streams");
        }
    }
    let (detected, sha_ni) = (Engine::detect(), Engine::only(Backend::ShaNi));
    if let Some(sha_ni) = sha_ni {
        for streams in 1..=40 {
            assert!(detected.speed(streams) >= sha_ni.speed(streams), "{streams} streams");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 96 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Streams of any lengths, fed in pieces of any lengths, some of them not at all.
    #[test]
    fn uneven_lanes(pieces in prop::collection::vec(prop::collection::vec(0usize..700, 0..5), 0..40)) {
        let texts: Vec<Vec<u8>> =
            pieces.iter().enumerate().map(|(seed, p)| text(p.iter().sum(), seed)).collect();
        for (name, engine) in engines() {
            let mut streams = vec![Stream::default(); texts.len()];
            for round in 0..5 {
                let mut work: Vec<(&mut Stream, &[u8])> = Vec::new();
                for ((stream, text), pieces) in streams.iter_mut().zip(&texts).zip(&pieces) {
                    if let Some(&length) = pieces.get(round) {
                        let start: usize = pieces[..round].iter().sum();
                        work.push((stream, &text[start..start + length]));
                    }
                }
                engine.update(&mut work);
            }
            for (digest, text) in engine.finish(streams).iter().zip(&texts) {
                prop_assert_eq!(&digest[..], &other(text)[..], "{}", name);
            }
        }
    }
}
