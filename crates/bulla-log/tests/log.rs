//! A log in a local directory: what it promises to those who append and read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::path::Path;

use bulla_log::tile::{MAX_ENTRY, Tile, parse_entries};
use bulla_log::{Checkpoint, Included, Log, LogError, LogLimits, tree};
use common::{Key, ORIGIN, entry};

fn check(key: &Key, included: &Included, entry: &[u8]) {
    let checkpoint = Checkpoint::open(included.checkpoint.as_bytes(), &key.trusted()).unwrap();
    assert_eq!((checkpoint.size, checkpoint.root), (included.size, included.root));
    let hash = |hash: &[u8; 32]| sigstore_types::Sha256Hash::new(*hash);
    sigstore_merkle::verify_inclusion_proof(
        &sigstore_merkle::hash_leaf(entry),
        included.index,
        included.size,
        &included.hashes.iter().map(hash).collect::<Vec<_>>(),
        &hash(&included.root),
    )
    .unwrap();
}

/// From many threads.
fn append_all(log: &Log, key: &Key, from: u64, to: u64) {
    std::thread::scope(|scope| {
        for thread in 0..32 {
            scope.spawn(move || {
                for i in (from..to).filter(|i| i % 32 == thread) {
                    check(key, &log.append(entry(i)).unwrap(), &entry(i));
                }
            });
        }
    });
}

#[test]
fn what_is_appended_is_proven_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new(ORIGIN);
    let log = Log::create(key.config(folder.path())).unwrap();
    assert_eq!(log.size(), 0);
    append_all(&log, &key, 0, 700);
    assert_eq!(log.size(), 700);
    drop(log);

    let log = Log::open(key.config(folder.path())).unwrap();
    append_all(&log, &key, 700, 1100);
    let mut seen: Vec<Vec<u8>> = (0..1100).map(|i| log.entry(i).unwrap()).collect();
    for (i, entry) in (0..).zip(&seen) {
        check(&key, &log.prove(i).unwrap(), entry);
    }
    seen.sort_unstable();
    let mut expected: Vec<Vec<u8>> = (0..1100).map(entry).collect();
    expected.sort_unstable();
    assert_eq!(seen, expected);
    for error in [log.prove(1100).unwrap_err(), log.entry(1100).unwrap_err()] {
        assert!(matches!(error, LogError::NoSuchEntry { index: 1100, size: 1100 }));
    }
}

#[test]
fn the_layout_is_that_of_tlog_tiles() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new(ORIGIN);
    let log = Log::create(key.config(folder.path())).unwrap();
    append_all(&log, &key, 0, 600);
    for (path, length) in [
        ("tile/0/000", Some(8192)),
        ("tile/0/001", Some(8192)),
        ("tile/0/002", None),
        ("tile/0/002.p/88", Some(88 * 32)),
        ("tile/0/002.p/89", None),
        ("tile/0/002.p/3", Some(96)),
        ("tile/0/000.p/3", Some(96)),
        ("tile/1/000", None),
        ("tile/1/000.p/1", Some(32)),
        ("tile/1/000.p/2", Some(64)),
        ("tile/1/000.p/3", None),
        ("tile/2/000.p/1", None),
        ("tile/63/000.p/1", None),
        (".lock", None),
        ("../mark/test.mark", None),
        ("tile/0/../../checkpoint", None),
    ] {
        let found = log.file(path).unwrap().map(|bytes| bytes.len());
        assert_eq!(found, length, "{path}");
    }
    let entries = log.file("tile/entries/002.p/88").unwrap().unwrap();
    let tile = Tile::parse(&log.file("tile/0/002.p/88").unwrap().unwrap(), 88).unwrap();
    let entries = parse_entries(&entries, 88).unwrap();
    assert!(entries.iter().map(|entry| tree::leaf_hash(entry)).eq(tile.hashes().iter().copied()));
    let served = log.file("checkpoint").unwrap().unwrap();
    assert_eq!(served, std::fs::read(folder.path().join("log/checkpoint")).unwrap());
    assert_eq!(Checkpoint::open(&served, &key.trusted()).unwrap().size, 600);
    // What a crashed writer left is not the log's.
    for path in ["tile/0/002", "tile/0/002.p/99", "tile/1/000.p/9", "tile/entries/002.p/99"] {
        std::fs::write(folder.path().join("log").join(path), [7; 320]).unwrap();
        assert_eq!(log.file(path).unwrap(), None, "{path}");
    }
    // What is full has no partial tiles on disk any more.
    assert!(!folder.path().join("log/tile/0/000.p").exists());
    assert!(!folder.path().join("log/tile/entries/001.p").exists());
}

#[test]
fn an_entry_that_is_too_large_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new(ORIGIN);
    let log = Log::create(key.config(folder.path())).unwrap();
    let before = log.checkpoint();
    let error = log.append(vec![0; MAX_ENTRY + 1]).unwrap_err();
    assert!(matches!(error, LogError::TooLarge { size: 65_536 }), "{error}");
    assert_eq!(log.checkpoint(), before);
    assert!(!folder.path().join("log/tile").exists());
    check(&key, &log.append(vec![7; MAX_ENTRY]).unwrap(), &[7; MAX_ENTRY]);
    check(&key, &log.append(Vec::new()).unwrap(), b"");
}

#[test]
fn a_log_has_one_writer() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new(ORIGIN);
    let log = Log::create(key.config(folder.path())).unwrap();
    let error = Log::open(key.config(folder.path())).unwrap_err();
    assert!(error.to_string().contains("another process holds the lock"), "{error}");
    drop(log);
    let log = Log::open(key.config(folder.path())).unwrap();
    let clone = log.clone();
    drop(log);
    clone.append(b"still open".to_vec()).unwrap();
}

#[test]
fn a_log_is_made_once_and_opened_with_its_own_key() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new(ORIGIN);
    let missing = Log::open(key.config(folder.path())).unwrap_err();
    assert!(matches!(missing, LogError::NotThere { .. }), "{missing}");
    drop(Log::create(key.config(folder.path())).unwrap());
    let twice = Log::create(key.config(folder.path())).unwrap_err();
    assert!(matches!(twice, LogError::AlreadyThere { .. }), "{twice}");
    let other = Log::open(Key::new(ORIGIN).config(folder.path())).unwrap_err();
    assert!(matches!(other, LogError::Checkpoint(_)), "{other}");
    let other = Log::open(Key::new("log.example/other").config(folder.path())).unwrap_err();
    assert!(matches!(other, LogError::Checkpoint(_)), "{other}");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Rule 17: a restored log refuses to start below its high-water mark.
#[test]
fn rule_17_a_restored_backup_refuses_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new(ORIGIN);
    let log = Log::create(key.config(folder.path())).unwrap();
    append_all(&log, &key, 0, 300);
    drop(log);
    let path = |name: &str| folder.path().join(name);
    copy(&path("log"), &path("backup"));
    let log = Log::open(key.config(folder.path())).unwrap();
    append_all(&log, &key, 300, 310);
    drop(log);
    std::fs::rename(path("log"), path("newest")).unwrap();
    copy(&path("backup"), &path("log"));
    let error = Log::open(key.config(folder.path())).unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, LogError::BelowMark { .. }), "{said}");
    assert!(said.contains("found size 300") && said.contains("at least size 310"), "{said}");
    assert!(error.hint().unwrap().contains("restore the newest"), "{said}");
    // Nor can it be begun anew.
    std::fs::remove_dir_all(path("log")).unwrap();
    let error = Log::create(key.config(folder.path())).unwrap_err();
    assert!(matches!(error, LogError::AlreadyThere { .. }), "{error}");
    // The newest copy goes on.
    std::fs::remove_dir_all(path("log")).unwrap();
    std::fs::rename(path("newest"), path("log")).unwrap();
    Log::open(key.config(folder.path())).unwrap();
}

#[test]
fn rule_17_without_its_mark_a_log_refuses_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new(ORIGIN);
    let log = Log::create(key.config(folder.path())).unwrap();
    append_all(&log, &key, 0, 10);
    let newest = Checkpoint::open(log.checkpoint().as_bytes(), &key.trusted()).unwrap();
    drop(log);
    let mark = folder.path().join("mark/test.mark");
    let text = std::fs::read_to_string(&mark).unwrap();
    let refused = |text: Option<String>| {
        match text {
            Some(text) => std::fs::write(&mark, text).unwrap(),
            None => std::fs::remove_file(&mark).unwrap(),
        }
        let error = Log::open(key.config(folder.path())).unwrap_err();
        assert!(matches!(error, LogError::Mark { .. }), "{error}");
    };
    refused(Some(text.replace("\n10\n", "\n9\n")));
    refused(Some(text.replace(ORIGIN, "log.example/else")));
    refused(Some(text[..20].to_owned()));
    refused(Some(String::new()));
    refused(None);
    let config = key.config(folder.path());
    let head = bulla_log::Head { size: newest.size, root: newest.root };
    config.mark.recreate(ORIGIN, head).unwrap();
    Log::open(config).unwrap();
}

/// The mark holds another tree of the log's size or below it: two histories have been signed.
#[test]
fn rule_17_a_fork_refuses_to_start() {
    for other_size in [20, 12] {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let key = Key::new(ORIGIN);
        for (folder, size, first) in [(&one, 20, 0), (&two, other_size, 1000)] {
            let log = Log::create(key.config(folder.path())).unwrap();
            append_all(&log, &key, first, first + size);
        }
        let mark = |folder: &tempfile::TempDir| folder.path().join("mark/test.mark");
        std::fs::copy(mark(&two), mark(&one)).unwrap();
        let error = Log::open(key.config(one.path())).unwrap_err();
        assert!(matches!(error, LogError::Forked { .. }), "{error}");
    }
}

#[test]
fn a_damaged_edge_refuses_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new(ORIGIN);
    let log = Log::create(key.config(folder.path())).unwrap();
    append_all(&log, &key, 0, 300);
    drop(log);
    for path in ["tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/001.p/44"] {
        let file = folder.path().join("log").join(path);
        let good = std::fs::read(&file).unwrap();
        let mut bad = good.clone();
        bad[5] ^= 1;
        std::fs::write(&file, bad).unwrap();
        let error = Log::open(key.config(folder.path())).unwrap_err();
        assert!(matches!(error, LogError::Damaged { .. }), "{path}: {error}");
        std::fs::remove_file(&file).unwrap();
        let error = Log::open(key.config(folder.path())).unwrap_err();
        assert!(matches!(error, LogError::Damaged { .. }), "{path}: {error}");
        std::fs::write(&file, good).unwrap();
    }
    Log::open(key.config(folder.path())).unwrap();
}

#[test]
fn too_many_who_wait_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new(ORIGIN);
    let mut config = key.config(folder.path());
    config.limits = LogLimits { waiting_entries: 2, batch_entries: 1, ..LogLimits::default() };
    let log = Log::create(config).unwrap();
    let busy = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for i in 0..32 {
            let (log, busy) = (&log, &busy);
            scope.spawn(move || match log.append(entry(i)) {
                Ok(_) => {}
                Err(LogError::Busy { waiting: 2 }) => {
                    busy.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
                Err(other) => panic!("{other}"),
            });
        }
    });
    let busy = busy.into_inner();
    assert!(busy > 0);
    assert_eq!(log.size(), 32 - busy);
}

/// Something else replaced the checkpoint: the log stops, and answers nothing.
#[test]
fn a_second_writer_stops_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new(ORIGIN);
    let log = Log::create(key.config(folder.path())).unwrap();
    append_all(&log, &key, 0, 10);
    std::fs::write(folder.path().join("log/checkpoint"), "something else").unwrap();
    let error = log.append(entry(10)).unwrap_err();
    assert!(error.to_string().contains("something else writes"), "{error}");
    let error = log.append(entry(11)).unwrap_err();
    assert!(matches!(error, LogError::Halted(_)), "{error}");
    assert_eq!(log.size(), 10);
}

/// Each batch leaves a partial tile and bundle; the older ones are not kept until these are full.
#[test]
fn superseded_partial_tiles_do_not_pile_up() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new(ORIGIN);
    let log = Log::create(key.config(folder.path())).unwrap();
    append_all(&log, &key, 0, 600);
    let partials = |path: &str| {
        let mut widths: Vec<u64> = std::fs::read_dir(folder.path().join("log").join(path))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
            .collect();
        widths.sort_unstable();
        widths
    };
    // Those of the newest checkpoint and of the two before it.
    let newest = |path: &str, width: u64| {
        let found = partials(path);
        assert!(found.len() <= 3 && found.last() == Some(&width), "{path}: {found:?}");
    };
    newest("tile/0/002.p", 88);
    newest("tile/entries/002.p", 88);
    newest("tile/1/000.p", 2);
    // Any width that there was is cut out of the newest.
    let old = log.file("tile/entries/002.p/7").unwrap().unwrap();
    let new = log.file("tile/entries/002.p/88").unwrap().unwrap();
    assert!(new.starts_with(&old) && old.len() < new.len());
    assert_eq!(log.file("tile/0/002.p/7").unwrap().unwrap().len(), 7 * 32);
    drop(log);
    // What an earlier version, or a crash, left is taken away when it is opened.
    let stray = folder.path().join("log/tile/0/002.p/5");
    std::fs::write(&stray, [0; 160]).unwrap();
    let log = Log::open(key.config(folder.path())).unwrap();
    assert_eq!(partials("tile/0/002.p"), [88]);
    append_all(&log, &key, 600, 610);
    newest("tile/0/002.p", 98);
    newest("tile/entries/002.p", 98);
    drop(log);
    Log::open(key.config(folder.path())).unwrap();
}
