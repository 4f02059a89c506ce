//! Many writers at once, writers that are killed, and a database that is.
//!
//! `BULLA_KILLS=500 cargo test --release --package bulla-registry --test writers` kills five hundred times.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bulla::jiff::Timestamp;
use bulla_registry::Registry;
use common::{Backend, World, decision, joined, over_both, sighting};

over_both!(many_writers, a_killed_writer_loses_and_doubles_nothing);

const FOLDER: &str = "BULLA_TEST_REGISTRY";
const NAME: &str = "BULLA_TEST_WRITER";
const COUNT: &str = "BULLA_TEST_COUNT";
const THREADS: usize = 8;

fn say(line: &str) {
    // One write: a kill leaves the line or nothing of it.
    let _ = std::io::stdout().write_all(format!("\n{line}\n").as_bytes());
}

/// A process that writes: so many decisions on each of its threads, and says what was answered. A process of this name that is started
/// again asks the same again.
#[test]
fn writer() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let name = std::env::var(NAME).unwrap();
    let count: usize = std::env::var(COUNT).unwrap().parse().unwrap();
    let registry = Registry::open(joined(&PathBuf::from(folder)), Timestamp::now()).unwrap();
    write_with(&registry, &name, count, false, &|line| say(&line));
}

/// `patient`: the database may be away for a while.
fn write_with(
    registry: &Registry,
    name: &str,
    count: usize,
    patient: bool,
    say: &(dyn Fn(String) + Sync),
) {
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for n in 0..count {
                    let request = format!("{name}-{thread}-{n}");
                    let entry = decide(registry, &request, patient);
                    say(format!("answered {request} {entry}"));
                }
            });
        }
    });
}

/// Asks until there is an answer, always with the same request.
fn decide(registry: &Registry, request: &str, patient: bool) -> u64 {
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        let now = Timestamp::now();
        let mut new = decision(request, request, 0);
        new.time = now;
        match registry.record_decision(&[sighting(request)], &new, now) {
            Ok(answer) => return answer.entry,
            Err(fault) if Instant::now() > patience => panic!("{request}: {fault}"),
            // Only a database that is away may be.
            Err(bulla::Fault::Service { .. }) if patient => {
                std::thread::sleep(Duration::from_millis(20))
            }
            Err(fault) => panic!("{request}: {fault:?}"),
        }
    }
}

fn start(folder: &Path, name: &str, count: usize) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(NAME, name)
        .env(COUNT, count.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// What a process says that was answered, as request and entry.
fn answers(child: &mut Child, counter: &AtomicUsize) -> Vec<(String, u64)> {
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut found = Vec::new();
    for line in output.lines().map_while(Result::ok) {
        let Some(answer) = line.strip_prefix("answered ") else { continue };
        let (request, entry) = answer.split_once(' ').unwrap();
        found.push((request.to_owned(), entry.parse().unwrap()));
        counter.fetch_add(1, Ordering::Relaxed);
    }
    found
}

/// Every answer is in the log, once, where it was said to be; and all is in order.
fn check(registry: &Registry, answered: &BTreeSet<(String, u64)>) {
    let now = Timestamp::now();
    for (request, entry) in answered {
        let found = registry.answer(request, now).unwrap();
        assert_eq!(found.expect(request).entry, *entry, "{request}");
    }
    let requests: BTreeSet<_> = answered.iter().map(|(request, _)| request).collect();
    assert_eq!(requests.len(), answered.len(), "a request was answered with two entries");
    let audit = registry.audit(now, &mut |_| {}).unwrap();
    assert_eq!(audit.findings, []);
    let mut lines = Vec::new();
    registry.export(&mut lines, now).unwrap();
    let text = String::from_utf8(lines).unwrap();
    let decided = text.lines().filter(|line| line.contains("\"type\":\"decided\""));
    let mut seen = BTreeSet::new();
    for line in decided {
        let request = line.split("\"request\":\"").nth(1).unwrap().split('"').next().unwrap();
        assert!(seen.insert(request.to_owned()), "{request} is in the log twice");
    }
}

fn many_writers(backend: Backend) {
    let world = World::new(backend);
    let registry = Registry::create(world.settings(), Timestamp::now()).unwrap();
    let counter = AtomicUsize::new(0);
    let count = 12;
    let mut answered = BTreeSet::new();
    let ours = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        let children: Vec<_> = ["one", "two"]
            .into_iter()
            .map(|name| {
                let mut child = start(world.folder.path(), name, count);
                let counter = &counter;
                scope.spawn(move || {
                    let found = answers(&mut child, counter);
                    assert!(child.wait().unwrap().success());
                    found
                })
            })
            .collect();
        write_with(&registry, "three", count, false, &|line| {
            let (request, entry) = line.strip_prefix("answered ").unwrap().split_once(' ').unwrap();
            ours.lock().unwrap().insert((request.to_owned(), entry.parse().unwrap()));
        });
        answered.extend(children.into_iter().flat_map(|child| child.join().unwrap()));
    });
    answered.extend(ours.into_inner().unwrap());
    assert_eq!(answered.len(), 3 * THREADS * count);
    check(&registry, &answered);
}

fn a_killed_writer_loses_and_doubles_nothing(backend: Backend) {
    let kills: u64 = std::env::var("BULLA_KILLS").map_or(12, |n| n.parse().unwrap());
    let world = World::new(backend);
    Registry::create(world.settings(), Timestamp::now()).unwrap().close();
    let mut answered = BTreeSet::new();
    let mut chance = 88_172_645_463_325_252_u64;
    for kill in 0..kills {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        // The same requests again and again: what was answered before is answered again, and more follows.
        let mut child = start(world.folder.path(), "killed", 1000);
        let counter = AtomicUsize::new(0);
        let id = child.id();
        let before = answered.len();
        let found = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let found = answers(&mut child, &counter);
                child.wait().unwrap();
                found
            });
            let patience = Instant::now() + Duration::from_secs(20);
            while counter.load(Ordering::Relaxed) <= before && Instant::now() < patience {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_micros(chance % 60_000));
            let killed = Command::new("kill").args(["-9", &id.to_string()]).status().unwrap();
            assert!(killed.success());
            reader.join().unwrap()
        });
        answered.extend(found);
        if chance.is_multiple_of(3) || kill + 1 == kills {
            check(&Registry::open(world.settings(), Timestamp::now()).unwrap(), &answered);
        }
    }
    assert!(answered.len() > usize::try_from(kills).unwrap(), "{}", answered.len());
}

/// PostgreSQL's processes are killed while decisions are written; whoever was not answered asks again.
#[test]
fn a_crashed_server_loses_and_doubles_nothing() {
    if std::env::var_os(FOLDER).is_some() {
        return;
    }
    // A cluster of its own: the others' tests go on meanwhile.
    let cluster = bulla_testkit::postgres::Postgres::start();
    let mut world = World::new(Backend::Postgres);
    world.place = bulla_registry::Place::Postgres(cluster.database());
    let registry = Registry::create(world.settings(), Timestamp::now()).unwrap();
    let answered = Mutex::new(BTreeSet::new());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            write_with(&registry, "crash", 25, true, &|line| {
                let line = line.strip_prefix("answered ").unwrap();
                let (request, entry) = line.split_once(' ').unwrap();
                answered.lock().unwrap().insert((request.to_owned(), entry.parse().unwrap()));
            });
            done.store(true, Ordering::Relaxed);
        });
        for crash in 1..=4 {
            while answered.lock().unwrap().len() < crash * 35 && !writer.is_finished() {
                std::thread::sleep(Duration::from_millis(2));
            }
            assert!(!done.load(Ordering::Relaxed), "it was too fast to be interrupted");
            cluster.crash();
        }
        writer.join().unwrap();
    });
    let answered = answered.into_inner().unwrap();
    assert_eq!(answered.len(), THREADS * 25);
    check(&registry, &answered);
}
