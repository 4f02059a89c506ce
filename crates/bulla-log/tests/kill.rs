//! `kill -9`, again and again: no answered entry is lost, and no size is signed with two roots.
//!
//! `BULLA_KILLS=1000 cargo test --release --package bulla-log --test kill` kills a thousand times.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bulla::{KeyAlgorithm, KeyPair, Limits};
use bulla_log::note::NoteKey;
use bulla_log::{Checkpoint, Log, LogConfig, LogError, NoteSigner, tree};
use common::{Key, ORIGIN};

const FOLDER: &str = "BULLA_TEST_LOG";

fn say(line: &str) {
    // One write: a kill leaves the line or nothing of it.
    let _ = std::io::stdout().write_all(format!("\n{line}\n").as_bytes());
}

/// Says what it signs before anybody can see it.
struct Announced(Arc<NoteKey>);

impl NoteSigner for Announced {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn key_hash(&self) -> [u8; 4] {
        self.0.key_hash()
    }
    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, bulla::Fault> {
        let checkpoint = Checkpoint::parse(std::str::from_utf8(text).unwrap()).unwrap();
        say(&format!("signed {} {}", checkpoint.size, hex::encode(checkpoint.root)));
        self.0.sign(text)
    }
}

fn key(folder: &Path) -> Key {
    let pem = std::fs::read_to_string(folder.join("log.key")).unwrap();
    let none = || panic!("no password");
    Key::of(ORIGIN, KeyPair::from_pem(&pem, &Limits::default(), none).unwrap())
}

fn open(folder: &Path) -> Result<Log, LogError> {
    let key = key(folder);
    let config =
        || LogConfig { signer: Arc::new(Announced(key.signer.clone())), ..key.config(folder) };
    match Log::open(config()) {
        Err(LogError::NotThere { .. }) => Log::create(config()),
        other => other,
    }
}

/// What is killed: appends until then, and says what was answered.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let log = open(&PathBuf::from(folder)).unwrap();
    let start = log.size();
    std::thread::scope(|scope| {
        for caller in 0..24 {
            let log = &log;
            scope.spawn(move || {
                for i in 0_u64.. {
                    let entry = format!("{start} {caller} {i}");
                    let included = log.append(entry.clone().into_bytes()).unwrap();
                    say(&format!("answered {} {entry}", included.index));
                }
            });
        }
    });
}

#[test]
fn no_kill_loses_an_answered_entry_or_forks_the_log() {
    if std::env::var_os(FOLDER).is_some() {
        return;
    }
    let kills: u64 = std::env::var("BULLA_KILLS").map_or(50, |n| n.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let pair = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    std::fs::write(folder.path().join("log.key"), pair.to_plain_pem().unwrap().as_bytes()).unwrap();

    let (mut answered, mut signed) = (BTreeMap::new(), BTreeMap::new());
    let mut chance = 88_172_645_463_325_252_u64;
    for kill in 0..kills {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let answers = Arc::new(AtomicUsize::new(0));
        let counter = answers.clone();
        let reader = std::thread::spawn(move || {
            let count = |line: &String| {
                counter.fetch_add(usize::from(line.starts_with("answered")), Ordering::Relaxed);
            };
            output.lines().map_while(Result::ok).inspect(count).collect()
        });
        // At any moment from its start on, while it opens and recovers; or at any moment while it appends.
        let started = Instant::now();
        if chance.is_multiple_of(2) {
            std::thread::sleep(Duration::from_micros(chance % 40_000));
        } else {
            let patience = started + Duration::from_secs(20);
            while answers.load(Ordering::Relaxed) == 0 && Instant::now() < patience {
                std::thread::sleep(Duration::from_micros(500));
            }
            std::thread::sleep(Duration::from_micros(chance % 90_000));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let lines: Vec<String> = reader.join().unwrap();
        let mut new = BTreeMap::new();
        for line in lines {
            if let Some(line) = line.strip_prefix("answered ") {
                let (index, entry) = line.split_once(' ').unwrap();
                new.insert(index.parse::<u64>().unwrap(), entry.to_owned());
            } else if let Some(line) = line.strip_prefix("signed ") {
                let (size, root) = line.split_once(' ').unwrap();
                let before = signed.insert(size.parse::<u64>().unwrap(), root.to_owned());
                assert!(before.is_none_or(|before| before == root), "{kill}: two roots of {size}");
            }
        }
        // Sometimes it is killed while it recovers, too; sometimes somebody looks.
        if chance.is_multiple_of(3) || kill + 1 == kills {
            let log = open(folder.path()).unwrap_or_else(|e| panic!("{kill}: {e}"));
            for (index, entry) in answered.iter().rev().take(500).chain(&new) {
                let found = log.entry(*index).unwrap();
                assert_eq!(String::from_utf8(found).unwrap(), *entry, "{kill}: lost {index}");
            }
        }
        for (index, entry) in new {
            assert!(answered.insert(index, entry).is_none(), "{kill}: {index} answered twice");
        }
    }

    let log = open(folder.path()).unwrap();
    for (index, entry) in &answered {
        assert_eq!(log.entry(*index).unwrap(), entry.as_bytes());
    }
    let published = Checkpoint::open(log.checkpoint().as_bytes(), &key(folder.path()).trusted());
    let published = published.unwrap();
    // Every root that was signed is that of these entries.
    let leaves: Vec<_> = (0..log.size()).map(|i| tree::leaf_hash(&log.entry(i).unwrap())).collect();
    signed.insert(published.size, hex::encode(published.root));
    for (size, root) in &signed {
        if *size == published.size || size % 16 == 0 {
            assert_eq!(hex::encode(merkle(&leaves[..usize::try_from(*size).unwrap()])), *root);
        }
    }
    println!(
        "{kills} kills: {} entries answered, {} in the log, {} trees signed",
        answered.len(),
        log.size(),
        signed.len()
    );
    assert!(answered.len() > 10, "{}", answered.len());
}

/// RFC 6962's definition, as it stands there.
fn merkle(leaves: &[tree::Hash]) -> tree::Hash {
    match leaves {
        [] => tree::empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            tree::node_hash(&merkle(left), &merkle(right))
        }
    }
}
