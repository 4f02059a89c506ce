//! How many entries a second a log in a local directory takes, each answered when it is durable and under a signed
//! checkpoint, with its inclusion proof.
//!
//! ```text
//! cargo run --release --package bulla-log --example throughput -- DIR [CALLERS] [SECONDS] [BYTES]
//! ```
//!
//! `DIR` is made, and must be on the disk that is to be measured. The log is left in `DIR/log`, its high-water mark in
//! `DIR/mark`, its key in `DIR/log.vkey`.
#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bulla::{KeyAlgorithm, KeyPair, KeySigner};
use bulla_log::note::{NoteKey, VerifierKey};
use bulla_log::storage::LocalDirectory;
use bulla_log::witness::Witnesses;
use bulla_log::{HighWaterMark, Log, LogConfig, LogLimits};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let root = PathBuf::from(arguments.next().ok_or("name a directory to write to")?);
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let (callers, seconds, bytes) = (number(64)?, number(10)?, number(1500)?);

    std::fs::create_dir(&root)?;
    let pair = KeyPair::generate(KeyAlgorithm::Ed25519)?;
    let key = VerifierKey::of_log("log.example/throughput", pair.public().clone())?;
    let vkey = key.to_string();
    let mark = LocalDirectory::create(&root.join("mark"))?;
    let log = Log::create(LogConfig {
        storage: Arc::new(LocalDirectory::create(&root.join("log"))?),
        mark: HighWaterMark::new(Arc::new(mark), "log.mark"),
        signer: Arc::new(NoteKey::new(Box::new(KeySigner::new(pair)), key.clone())),
        key,
        witnesses: Witnesses::none(),
        limits: LogLimits::default(),
    })?;

    std::fs::write(root.join("log.vkey"), format!("{vkey}\n"))?;
    let start = Instant::now();
    let end = start + Duration::from_secs(u64::try_from(seconds)?);
    let mut waits: Vec<Duration> = Vec::new();
    let mut checkpoints = std::collections::BTreeSet::new();
    std::thread::scope(|scope| {
        let append = |caller: usize| {
            let log = &log;
            move || {
                let mut seen = Vec::new();
                for i in 0_u64.. {
                    let mut entry = format!("{caller} {i} ").into_bytes();
                    entry.resize(bytes, b'x');
                    let asked = Instant::now();
                    if asked >= end {
                        break;
                    }
                    match log.append(entry) {
                        Ok(included) => seen.push((asked.elapsed(), included.size)),
                        Err(error) => {
                            eprintln!("{error}");
                            break;
                        }
                    }
                }
                seen
            }
        };
        let threads: Vec<_> = (0..callers).map(|caller| scope.spawn(append(caller))).collect();
        for (wait, size) in threads.into_iter().filter_map(|thread| thread.join().ok()).flatten() {
            waits.push(wait);
            checkpoints.insert(size);
        }
    });
    let took = start.elapsed();
    waits.sort_unstable();
    let wait = |percent: usize| {
        waits.get(waits.len() * percent / 100).copied().unwrap_or_default().as_millis()
    };
    #[allow(clippy::cast_precision_loss)] // shown without fractions
    let rate = waits.len() as f64 / took.as_secs_f64();
    println!(
        "{rate:.0} entries/s: {} entries of {bytes} bytes by {callers} callers in {:.1} s; {} checkpoints, {} entries each; \
         answered after {} ms (median), {} ms (99 of 100)",
        waits.len(),
        took.as_secs_f64(),
        checkpoints.len(),
        waits.len().checked_div(checkpoints.len()).unwrap_or_default(),
        wait(50),
        wait(99)
    );
    Ok(())
}
