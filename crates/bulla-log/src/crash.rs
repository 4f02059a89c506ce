//! Power cuts at every moment, on a disk that forgets what was not synced.
//!
//! The disk keeps, beside what programs see, what a power cut would leave: a file's contents as last synced, a
//! directory's names as last synced. After a cut each thing that was not synced is, by chance, as it was or as it
//! became; contents may also be torn. Everything then starts again from there.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bulla::{KeyAlgorithm, KeyPair, KeySigner};

use super::note::{NoteKey, VerifierKey};
use super::storage::{Disk, Guard, LocalDirectory};
use super::witness::Witnesses;
use super::*;

#[derive(Clone, Default)]
struct File {
    seen: Vec<u8>,
    synced: Option<Vec<u8>>,
}

#[derive(Clone, Default)]
struct State {
    files: Vec<File>,
    /// Names of files, as seen and as synced.
    names: [BTreeMap<PathBuf, usize>; 2],
    directories: [BTreeSet<PathBuf>; 2],
    /// Steps until the power is cut.
    left: u64,
    steps: u64,
    chance: u64,
}

const SEEN: usize = 0;
const SYNCED: usize = 1;

impl State {
    /// A number below `n`, xorshift64*.
    fn random(&mut self, n: u64) -> u64 {
        self.chance ^= self.chance >> 12;
        self.chance ^= self.chance << 25;
        self.chance ^= self.chance >> 27;
        (self.chance.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }

    /// What is left after the power was cut.
    fn after_power_cut(mut self) -> Self {
        for at in 0..self.files.len() {
            let File { seen, synced } = self.files[at].clone();
            let torn = |state: &mut Self| {
                let length = usize::try_from(state.random(seen.len() as u64 + 1)).unwrap();
                let mut torn = seen.clone();
                torn.truncate(length);
                if state.random(2) == 0 {
                    torn.resize(seen.len(), 0)
                }
                torn
            };
            let left = match synced {
                Some(synced) if synced == seen || self.random(3) == 0 => synced,
                _ if self.random(3) == 0 => seen.clone(),
                _ => torn(&mut self),
            };
            self.files[at] = File { seen: left.clone(), synced: Some(left) };
        }
        let all: BTreeSet<_> = self.directories.iter().flatten().cloned().collect();
        for directory in all {
            let [seen, synced] = [SEEN, SYNCED].map(|i| self.directories[i].contains(&directory));
            let Some(above) = directory.parent().map(Path::to_path_buf) else { continue };
            let stays = if seen == synced { seen } else { self.random(2) == 0 };
            // A directory that is gone takes with it what it held.
            if stays && self.directories[SYNCED].contains(&above) {
                self.directories[SYNCED].insert(directory);
            } else {
                self.directories[SYNCED].remove(&directory);
            }
        }
        self.directories[SEEN] = self.directories[SYNCED].clone();
        let all: BTreeSet<_> = self.names.iter().flat_map(|n| n.keys()).cloned().collect();
        let mut names = BTreeMap::new();
        for name in all {
            let choice = if self.random(2) == 0 { SEEN } else { SYNCED };
            let there = self.directories[SEEN].contains(name.parent().unwrap());
            if let Some(file) = self.names[choice].get(&name).copied().filter(|_| there) {
                names.insert(name, file);
            }
        }
        self.names = [names.clone(), names];
        self
    }
}

#[derive(Clone)]
struct Sim(Arc<Mutex<State>>);

fn power_cut() -> io::Error {
    io::Error::other("the power is cut")
}

impl Sim {
    /// A disk with an empty root that loses its power after so many steps.
    fn new(mut state: State, left: u64, chance: u64) -> Self {
        let root = PathBuf::from("/");
        for directories in &mut state.directories {
            directories.insert(root.clone());
        }
        Self(Arc::new(Mutex::new(State { left, chance: chance | 1, steps: 0, ..state })))
    }

    /// One step; the first one after the end happens in part, as `partly` has it.
    fn step<T>(
        &self,
        partly: impl FnOnce(&mut State),
        fully: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.0.lock().unwrap();
        state.steps += 1;
        if state.left == 1 {
            partly(&mut state);
        }
        state.left = state.left.saturating_sub(1);
        if state.left == 0 { Err(power_cut()) } else { fully(&mut state) }
    }
}

fn put(state: &mut State, path: &Path, bytes: &[u8], synced: bool) {
    assert!(state.directories[SEEN].contains(path.parent().unwrap()), "{path:?}");
    // An existing file is overwritten in place: its old contents are what a cut may leave.
    let file = match state.names[SEEN].get(path) {
        Some(file) => *file,
        None => {
            state.files.push(File::default());
            state.names[SEEN].insert(path.into(), state.files.len() - 1);
            state.files.len() - 1
        }
    };
    state.files[file].seen = bytes.to_vec();
    if synced {
        state.files[file].synced = Some(bytes.to_vec());
    }
}

impl Disk for Sim {
    fn read(&self, path: &Path, at_most: u64) -> io::Result<Option<Vec<u8>>> {
        let state = self.0.lock().unwrap();
        if state.left == 0 {
            return Err(power_cut());
        }
        let bytes = state.names[SEEN].get(path).map(|file| state.files[*file].seen.clone());
        assert!(bytes.as_ref().is_none_or(|bytes| bytes.len() as u64 <= at_most));
        Ok(bytes)
    }

    fn write(&self, files: &[(PathBuf, &[u8])]) -> io::Result<()> {
        self.step(
            |state| {
                let until = usize::try_from(state.random(files.len() as u64 + 1)).unwrap();
                files[..until].iter().for_each(|(path, bytes)| put(state, path, bytes, false));
            },
            |state| {
                files.iter().for_each(|(path, bytes)| put(state, path, bytes, true));
                Ok(())
            },
        )
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let rename = |state: &mut State| {
            let file = state.names[SEEN].remove(from).unwrap();
            assert!(state.directories[SEEN].contains(to.parent().unwrap()));
            state.names[SEEN].insert(to.into(), file);
        };
        self.step(rename, |state| {
            rename(state);
            Ok(())
        })
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        let make = |state: &mut State| {
            assert!(state.directories[SEEN].contains(path.parent().unwrap()), "{path:?}");
            state.directories[SEEN].insert(path.into());
        };
        self.step(make, |state| {
            make(state);
            Ok(())
        })
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.step(
            |_| {},
            |state| {
                let below = |name: &Path| name.parent() == Some(path);
                let seen: Vec<_> = state.names[SEEN]
                    .iter()
                    .filter(|(name, _)| below(name))
                    .map(|(name, file)| (name.clone(), *file))
                    .collect();
                state.names[SYNCED].retain(|name, _| !below(name));
                state.names[SYNCED].extend(seen);
                let seen: Vec<_> =
                    state.directories[SEEN].iter().filter(|d| below(d)).cloned().collect();
                state.directories[SYNCED].retain(|name| !below(name));
                state.directories[SYNCED].extend(seen);
                Ok(())
            },
        )
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        // What is not there changes nothing, and is no moment of its own.
        if !self.0.lock().unwrap().names[SEEN].contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let remove = |state: &mut State| {
            state.names[SEEN].remove(path);
        };
        self.step(remove, |state| {
            remove(state);
            Ok(())
        })
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.step(
            |_| {},
            |state| {
                state.names[SEEN].retain(|name, _| !name.starts_with(path));
                state.directories[SEEN].retain(|name| !name.starts_with(path));
                Ok(())
            },
        )
    }

    fn lock(&self, _: &Path) -> io::Result<Guard> {
        self.step(|_| {}, |_| Ok(Guard::new(())))
    }
}

/// All that was ever signed: no size with two roots.
struct Recorder {
    key: NoteKey,
    signed: Mutex<BTreeMap<u64, [u8; 32]>>,
    /// Signs no more after so many.
    left: Mutex<u64>,
}

impl NoteSigner for Recorder {
    fn name(&self) -> &str {
        self.key.name()
    }
    fn key_hash(&self) -> [u8; 4] {
        self.key.key_hash()
    }
    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, bulla::Fault> {
        let mut left = self.left.lock().unwrap();
        *left = left.saturating_sub(1);
        if *left == 0 {
            *left = 3;
            return Err(bulla::Fault::key("the key store is away"));
        }
        drop(left);
        let checkpoint = Checkpoint::parse(std::str::from_utf8(text).unwrap()).unwrap();
        let mut signed = self.signed.lock().unwrap();
        let before = signed.insert(checkpoint.size, checkpoint.root);
        assert!(before.is_none_or(|root| root == checkpoint.root), "two roots of one size");
        self.key.sign(text)
    }
}

fn config(sim: &Sim, signer: &Arc<Recorder>) -> Result<LogConfig, LogError> {
    let on = |path: &str| LocalDirectory::create_on(Box::new(sim.clone()), Path::new(path));
    Ok(LogConfig {
        storage: Arc::new(on("/log")?),
        mark: HighWaterMark::new(Arc::new(on("/mark")?), "mark"),
        key: signer.key.verifier().clone(),
        signer: signer.clone(),
        witnesses: Witnesses::none(),
        limits: LogLimits { batch_entries: 40, ..LogLimits::default() },
    })
}

fn open(sim: &Sim, signer: &Arc<Recorder>) -> Result<Log, LogError> {
    match Log::open(config(sim, signer)?) {
        Err(LogError::NotThere { .. }) => Log::create(config(sim, signer)?),
        other => other,
    }
}

/// Appends, cuts the power, looks whether all is there; so many times.
fn live_through(seed: u64, cuts: u64) -> u64 {
    let pair = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let key = VerifierKey::of_log("log.example/crash", pair.public().clone()).unwrap();
    let key = NoteKey::new(Box::new(KeySigner::new(pair)), key);
    let recorder = Recorder { key, signed: Mutex::default(), left: Mutex::new(u64::MAX) };
    let signer = Arc::new(recorder);
    let mut state = State { chance: seed, ..State::default() };
    let mut answered: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for counter in 0..cuts {
        let most = if state.random(2) == 0 { 400 } else { 40 };
        let left = 2 + state.random(most);
        *signer.left.lock().unwrap() = if state.random(2) == 0 { u64::MAX } else { 2 + left / 9 };
        let sim = Sim::new(state, left, seed ^ counter.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        if let Ok(log) = open(&sim, &signer) {
            let callers = 1 + counter % 40;
            let each = std::thread::scope(|scope| {
                let append = |caller| {
                    let log = &log;
                    move || {
                        let mut answered = Vec::new();
                        for i in 0..30_u64 {
                            let entry = format!("{counter} {caller} {i}").into_bytes();
                            match log.append(entry.clone()) {
                                Ok(included) => answered.push((included, entry)),
                                Err(LogError::Signer(_)) => {}
                                Err(_) => break,
                            }
                        }
                        answered
                    }
                };
                let threads: Vec<_> = (0..callers).map(|c| scope.spawn(append(c))).collect();
                threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
            });
            for (included, entry) in each {
                let leaf = tree::leaf_hash(&entry);
                let Included { index, size, ref hashes, root, .. } = included;
                assert!(tree::verify_inclusion(&leaf, index, size, hashes, &root));
                assert_eq!(signer.signed.lock().unwrap()[&size], root);
                assert!(answered.insert(index, entry).is_none(), "one index answered twice");
            }
        }
        state = sim.0.lock().unwrap().clone().after_power_cut();

        *signer.left.lock().unwrap() = u64::MAX;
        let whole = Sim::new(state, u64::MAX, seed);
        let log = open(&whole, &signer).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        for (index, entry) in &answered {
            assert_eq!(
                &log.entry(*index).unwrap(),
                entry,
                "seed {seed}: an answered entry is lost"
            );
        }
        let mut all = edge::Edge::empty();
        let entries: Vec<_> = (0..log.size()).map(|i| log.entry(i).unwrap()).collect();
        let head = all.extend(entries.iter().map(Vec::as_slice)).unwrap().head;
        let published = Checkpoint::open(
            log.checkpoint().as_bytes(),
            &[LogKey::new(signer.key.verifier().clone())],
        );
        let published = published.unwrap();
        assert_eq!((head.size, head.root), (published.size, published.root), "seed {seed}");
        // And it goes on.
        let next = log.append(b"after".to_vec()).unwrap();
        assert_eq!(next.index, head.size);
        assert!(answered.insert(next.index, b"after".to_vec()).is_none());
        drop(log);
        state = whole.0.lock().unwrap().clone();
    }
    answered.len() as u64
}

#[test]
fn no_power_cut_loses_an_answered_entry_or_forks_the_log() {
    let mut answered = 0;
    for seed in 1..=40_u64 {
        answered += live_through(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15), 12);
    }
    // So that it is known that something happened.
    assert!(answered > 5_000, "{answered}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(20))]
    #[test]
    fn no_power_cut_with_any_seed_loses_an_entry(seed in 1_u64.., cuts in 1_u64..10) {
        live_through(seed, cuts);
    }
}
