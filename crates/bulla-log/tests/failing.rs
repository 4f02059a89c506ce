//! Storage, signers and witnesses that fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bulla_log::note::NoteKey;
use bulla_log::storage::{Guard, LocalDirectory, Storage, StorageError};
use bulla_log::tile::TileReader;
use bulla_log::{HighWaterMark, Log, LogConfig, LogError, NoteSigner};
use common::{Key, ORIGIN, entry};

/// Has no room for one kind of thing, while it is told so.
#[derive(Debug)]
struct Full {
    inner: LocalDirectory,
    writes: AtomicBool,
    replaces: AtomicBool,
}

impl Full {
    fn new(root: &Path) -> Arc<Self> {
        let inner = LocalDirectory::create(root).unwrap();
        Arc::new(Self { inner, writes: false.into(), replaces: false.into() })
    }

    fn check(&self, full: &AtomicBool, path: &str) -> Result<(), StorageError> {
        if full.load(Ordering::SeqCst) {
            let error = io::Error::from_raw_os_error(28);
            return Err(StorageError::new("write", path, &error));
        }
        Ok(())
    }
}

impl TileReader for Full {
    fn read(&self, path: &str, at_most: u64) -> Result<Option<Vec<u8>>, StorageError> {
        self.inner.read(path, at_most)
    }
}

impl Storage for Full {
    fn lock(&self) -> Result<Guard, StorageError> {
        self.inner.lock()
    }
    fn write(&self, resources: &[(String, Vec<u8>)]) -> Result<(), StorageError> {
        self.check(&self.writes, &resources[0].0)?;
        self.inner.write(resources)
    }
    fn replace(&self, path: &str, expected: Option<&[u8]>, new: &[u8]) -> Result<(), StorageError> {
        self.check(&self.replaces, path)?;
        self.inner.replace(path, expected, new)
    }
    fn discard(&self, path: &str) {
        self.inner.discard(path);
    }
}

fn config(key: &Key, log: &Arc<Full>, mark: &Arc<Full>, root: &Path) -> LogConfig {
    LogConfig {
        storage: log.clone(),
        mark: HighWaterMark::new(mark.clone(), "test.mark"),
        ..key.config(root)
    }
}

#[test]
fn a_full_disk_is_said_and_stops_the_log_and_nothing_is_answered() {
    for what in ["tiles", "mark", "checkpoint"] {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::new(ORIGIN);
        let [storage, mark] = ["log", "mark"].map(|name| Full::new(&folder.path().join(name)));
        let log = Log::create(config(&key, &storage, &mark, folder.path())).unwrap();
        for i in 0..5 {
            log.append(entry(i)).unwrap();
        }
        assert!(log.stopped().is_none());
        let full = match what {
            "tiles" => &storage.writes,
            "mark" => &mark.replaces,
            _ => &storage.replaces,
        };
        full.store(true, Ordering::SeqCst);
        let error = log.append(entry(5)).unwrap_err();
        assert!(error.is_full() && !error.is_temporary(), "{error}");
        assert!(error.to_string().contains("no space left"), "{error}");
        assert!(error.hint().unwrap().contains("make room"), "{error}");
        assert_eq!(log.size(), 5, "{what}");
        assert!(log.stopped().unwrap().is_full());
        // There is room again, but nobody knows what was written: only opening it anew finds that out.
        full.store(false, Ordering::SeqCst);
        let error = log.append(entry(6)).unwrap_err();
        assert!(matches!(error, LogError::Halted(_)), "{error}");
        assert!(error.to_string().contains("no space left"), "{error}");
        drop(log);

        let log = Log::open(config(&key, &storage, &mark, folder.path())).unwrap();
        let recovered = u64::from(what == "checkpoint");
        assert_eq!(log.size(), 5 + recovered, "{what}");
        assert_eq!(log.append(entry(7)).unwrap().index, 5 + recovered);
        for i in 0..5 {
            assert_eq!(log.entry(i).unwrap(), entry(i));
        }
    }
}

/// A log that was to be made on a full disk can be made when there is room.
#[test]
fn a_log_that_was_made_in_part_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new(ORIGIN);
    let [storage, mark] = ["log", "mark"].map(|name| Full::new(&folder.path().join(name)));
    storage.replaces.store(true, Ordering::SeqCst);
    let error = Log::create(config(&key, &storage, &mark, folder.path())).unwrap_err();
    assert!(error.is_full(), "{error}");
    storage.replaces.store(false, Ordering::SeqCst);
    Log::create(config(&key, &storage, &mark, folder.path())).unwrap();
}

/// A key store that is away now and then.
struct Away {
    key: Arc<NoteKey>,
    away: Mutex<bool>,
}

impl NoteSigner for Away {
    fn name(&self) -> &str {
        self.key.name()
    }
    fn key_hash(&self) -> [u8; 4] {
        self.key.key_hash()
    }
    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, bulla::Fault> {
        if *self.away.lock().unwrap() {
            return Err(bulla::Fault::key("the key store does not answer"));
        }
        self.key.sign(text)
    }
}

#[test]
fn what_could_not_be_signed_is_published_with_what_comes_next() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new(ORIGIN);
    let signer = Arc::new(Away { key: key.signer.clone(), away: Mutex::new(false) });
    let config = || LogConfig { signer: signer.clone(), ..key.config(folder.path()) };
    let log = Log::create(config()).unwrap();
    log.append(entry(0)).unwrap();
    *signer.away.lock().unwrap() = true;
    let error = log.append(entry(1)).unwrap_err();
    assert!(matches!(error, LogError::Signer(_)) && error.is_temporary(), "{error}");
    assert_eq!(log.size(), 1);
    *signer.away.lock().unwrap() = false;
    let included = log.append(entry(2)).unwrap();
    assert_eq!((included.index, included.size), (2, 3));
    assert_eq!(log.entry(1).unwrap(), entry(1));

    // Or when it starts again.
    *signer.away.lock().unwrap() = true;
    log.append(entry(3)).unwrap_err();
    drop(log);
    assert!(Log::open(config()).is_err());
    *signer.away.lock().unwrap() = false;
    assert_eq!(Log::open(config()).unwrap().size(), 4);
}
