//! However a model is read, and whatever computes its hashes, the digests are the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bulla::model::{Found, Identity, Layout, Listing, Method, ModelFile, Scope};
use bulla::{
    Backend, Engine, Fault, HashAlgorithm, Limits, Manifest, Mapper, Mapping, ModelSource,
    Progress, Recipe, Work,
};
use bulla_testkit::{models, path};
use proptest::prelude::*;

/// Every way to read and to hash that this machine has.
fn ways<'a>(threads: usize) -> Vec<(String, Work<'a>)> {
    let threads = threads.try_into().unwrap();
    let mapper = Mapper::install().unwrap();
    let mut ways = vec![
        ("read".to_owned(), Work::new(threads)),
        ("mapped".to_owned(), Work::new(threads).map_files(mapper)),
        ("read, sparing the page cache".to_owned(), Work::new(threads).spare_page_cache()),
        (
            "mapped, sparing the page cache".to_owned(),
            Work::new(threads).map_files(mapper).spare_page_cache(),
        ),
    ];
    for backend in Backend::ALL {
        if let Some(engine) = Engine::only(backend) {
            ways.push((backend.name().to_owned(), Work::new(threads).engine(engine)));
            let mapped = Work::new(threads).engine(engine).map_files(mapper);
            ways.push((format!("{}, mapped", backend.name()), mapped));
        }
    }
    ways
}

fn measure(model: &Path, recipe: &Recipe, work: Work<'_>) -> Manifest {
    bulla_testkit::measure(model, recipe, &Limits::default(), work).unwrap()
}

/// Each file read in one go and hashed by itself.
fn plainly(model: &Path, recipe: &Recipe, paths: &[String]) -> Vec<(String, String)> {
    let mut resources = Vec::new();
    for path in paths {
        let bytes = std::fs::read(model.join(path)).unwrap();
        for (start, end) in recipe.method.ranges(bytes.len() as u64) {
            let mut hasher = recipe.hash.hasher();
            hasher.update(&bytes[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()]);
            let name = match recipe.method {
                Method::Files => path.clone(),
                Method::Shards(_) => format!("{path}:{start}:{end}"),
            };
            resources.push((name, hasher.finish().to_string()));
        }
    }
    resources.sort();
    resources
}

fn resources(manifest: &Manifest) -> Vec<(String, String)> {
    manifest.resources().into_iter().map(|(name, digest)| (name, digest.to_string())).collect()
}

fn bytes(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 131 + seed * 17 + i / 253).to_le_bytes()[0]).collect()
}

#[test]
fn the_same_digests_however_a_model_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    // Around the borders of pages, pieces and turns; few long ones, many short ones.
    let lengths: Vec<usize> = [0, 1, 63, 64, 65, 4095, 4096, 4097, 65_535, 65_536, 65_537]
        .into_iter()
        .chain([262_143, 262_144, 262_145, 1 << 20, (1 << 20) + 1, 3_000_000, 5 << 20])
        .chain(std::iter::repeat_n(700, 40))
        .collect();
    let mut paths = Vec::new();
    for (index, length) in lengths.iter().enumerate() {
        let path = format!("{:02}/{index:03}.bin", index % 7);
        models::write(&model, &[(&path, &bytes(*length, index))]);
        paths.push(path);
    }
    for (hash, method) in [
        (HashAlgorithm::Sha256, Method::Files),
        (HashAlgorithm::Blake3, Method::Files),
        (HashAlgorithm::Blake2b, Method::Files),
    ] {
        let recipe = Recipe { hash, method, ..Recipe::default() };
        let expected = plainly(&model, &recipe, &paths);
        for threads in [1, 2, 5] {
            for (way, work) in ways(threads) {
                let found = resources(&measure(&model, &recipe, work));
                assert!(found == expected, "{hash}, {threads} threads, {way}");
            }
        }
    }
}

#[test]
fn the_same_digests_of_shards() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    let lengths = [1, 999_999, 1_000_000, 1_000_001, 7_654_321];
    let mut paths = Vec::new();
    for (index, length) in lengths.into_iter().enumerate() {
        models::write(&model, &[(&format!("{index}"), &bytes(length, index))]);
        paths.push(index.to_string());
    }
    for size in [300_001, 1_000_000] {
        let method = Method::Shards(size.try_into().unwrap());
        let recipe = Recipe { method, ..Recipe::default() };
        let expected = plainly(&model, &recipe, &paths);
        for (way, work) in ways(2) {
            assert!(resources(&measure(&model, &recipe, work)) == expected, "{size}, {way}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 12,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_same_digests_of_any_model(
        lengths in prop::collection::vec(prop_oneof![0usize..5000, 0usize..900_000], 1..30),
        threads in 1usize..4,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        let mut paths = Vec::new();
        for (index, length) in lengths.iter().enumerate() {
            models::write(&model, &[(&format!("{index:03}"), &bytes(*length, index))]);
            paths.push(format!("{index:03}"));
        }
        let recipe = Recipe::default();
        let expected = plainly(&model, &recipe, &paths);
        for (way, work) in ways(threads) {
            prop_assert!(resources(&measure(&model, &recipe, work)) == expected, "{}", way);
        }
    }
}

/// Counts what is told, and does something after the first bytes.
struct Told<'a> {
    bytes: AtomicU64,
    started: AtomicU64,
    acted: AtomicBool,
    act: &'a (dyn Fn() + Sync),
}

impl<'a> Told<'a> {
    fn new(act: &'a (dyn Fn() + Sync)) -> Self {
        Self { bytes: 0.into(), started: 0.into(), acted: false.into(), act }
    }
}

impl Progress for Told<'_> {
    fn start(&self, _: usize, bytes: u64) {
        self.started.store(bytes, Ordering::SeqCst);
    }
    fn advance(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
        if !self.acted.swap(true, Ordering::SeqCst) {
            (self.act)();
        }
    }
}

#[test]
fn each_byte_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    models::write(&model, &[("a", &bytes(5_000_000, 1)), ("b", &bytes(10, 2)), ("c", b"")]);
    for (way, work) in ways(2) {
        let told = Told::new(&|| ());
        measure(&model, &Recipe::default(), work.progress(&told));
        assert_eq!(told.started.load(Ordering::SeqCst), 5_000_010, "{way}");
        assert_eq!(told.bytes.load(Ordering::SeqCst), 5_000_010, "{way}");
    }
}

/// A mapped file that is cut short takes its pages with it: that is a fault, and no signal.
#[test]
fn a_file_cut_short_while_it_is_hashed_is_a_fault_and_kills_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    for keep in [0, 1, 5000, (64 << 20) + 4097] {
        models::write(&model, &[("weights", &vec![3; 200 << 20])]);
        for (way, work) in ways(1).into_iter().take(4) {
            let weights = model.join("weights");
            let cut = || {
                let file = std::fs::OpenOptions::new().write(true).open(&weights).unwrap();
                file.set_len(keep).unwrap();
            };
            let told = Told::new(&cut);
            let (recipe, limits) = (Recipe::default(), Limits::default());
            match bulla_testkit::measure(&model, &recipe, &limits, work.progress(&told)) {
                Err(bulla::Failure::Fault(Fault::Changed { path })) => assert_eq!(path, "weights"),
                other => panic!("{way}, {keep} bytes kept: {other:?}"),
            }
            std::fs::OpenOptions::new()
                .write(true)
                .open(&weights)
                .unwrap()
                .set_len(200 << 20)
                .unwrap();
        }
    }
}

/// A file whose bytes cannot be read once it is mapped, and which does not look changed: a failing disk.
#[derive(Debug)]
struct Failing;

struct FailingFile;

const FAILING: Identity = Identity { size: 1 << 20, times: [1; 4], place: [1; 2] };

impl ModelSource for Failing {
    fn name(&self) -> &str {
        "failing"
    }
    fn layout(&self) -> Layout {
        Layout::Directory
    }
    fn list(&self, _: &Scope<'_>, _: &Limits) -> Result<Listing, Fault> {
        Ok(Listing { files: vec![Found::new(path("weights"), FAILING)], ..Listing::default() })
    }
    fn open(&self, _: &Found) -> Result<Box<dyn ModelFile>, Fault> {
        Ok(Box::new(FailingFile))
    }
}

impl ModelFile for FailingFile {
    fn read_at(&self, _: &mut [u8], _: u64) -> std::io::Result<usize> {
        panic!("it is mapped")
    }
    fn identity(&self) -> std::io::Result<Identity> {
        Ok(FAILING)
    }
    fn map(&self, mapper: Mapper, offset: u64, length: usize) -> std::io::Result<Mapping> {
        let file = tempfile::tempfile()?;
        file.set_len(FAILING.size)?;
        let mapping = mapper.map(file.as_fd(), offset, length);
        file.set_len(5000)?;
        mapping
    }
}

#[test]
fn mapped_bytes_that_cannot_be_read_are_a_fault() {
    let work = Work::new(1.try_into().unwrap()).map_files(Mapper::install().unwrap());
    let files = vec![Found::new(path("weights"), FAILING)];
    match Manifest::measure(&Failing, &Recipe::default(), files, work) {
        Err(fault @ Fault::Io { .. }) => {
            let said = fault.to_string();
            assert_eq!(said, "cannot read weights: not all of its bytes could be read");
        }
        other => panic!("{other:?}"),
    }
}

/// How much of a file is in the page cache, in bytes, by util-linux: reading to find out would change it.
#[cfg(target_os = "linux")]
fn cached(path: &Path) -> u64 {
    let mut fincore = std::process::Command::new("fincore");
    let output = fincore.args(["--bytes", "--noheadings", "--output", "RES"]).arg(path).output();
    String::from_utf8(output.unwrap().stdout).unwrap().trim().parse().unwrap()
}

/// Writes a file's pages to the disk and out of memory; `false` where the file system keeps them.
#[cfg(target_os = "linux")]
fn make_cold(path: &Path) -> bool {
    let file = std::fs::File::open(path).unwrap();
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    cached(path) == 0
}

/// Measures a model twice with `work` sparing the page cache, first when nothing of it is in memory and then when
/// all is. What is wrong with what is in memory afterwards, if anything is.
#[cfg(target_os = "linux")]
fn is_spared(model: &Path, work: Work<'_>) -> Result<(), String> {
    let (big, small) = (model.join("big"), model.join("small"));
    let check = |holds: bool, what: &str| {
        holds.then_some(()).ok_or_else(|| format!("{what}: {} bytes are in memory", cached(&big)))
    };
    check(make_cold(&big) && make_cold(&small), "before")?;
    measure(model, &Recipe::default(), work.spare_page_cache());
    check(cached(&big) < 5_000_000, "what was read stayed")?;
    check(cached(&small) == 0, "what was read of the small file stayed")?;

    // What was there before stays: it is somebody's working set.
    measure(model, &Recipe::default(), work);
    let before = cached(&big);
    check(before > 50_000_000, "what was read was not kept")?;
    measure(model, &Recipe::default(), work.spare_page_cache());
    // Most of it: the system may take some back at any time.
    check(cached(&big) > before / 2, &format!("of {before} bytes in memory many were dropped"))
}

#[test]
#[cfg(target_os = "linux")]
fn the_page_cache_is_spared_when_asked() {
    // Whoever needs memory meanwhile has the system take it from these files. That goes by; what drops or keeps
    // the wrong bytes does so in each attempt.
    const ATTEMPTS: usize = 10;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let model = folder.path().join("model");
    models::write(&model, &[("big", &vec![1; 150_000_000]), ("small", &[2; 30_000])]);
    if !(0..ATTEMPTS).any(|_| make_cold(&model.join("big"))) {
        eprintln!("this file system keeps everything in memory: nothing to see");
        return;
    }
    let mapper = Mapper::install().unwrap();
    let plain = Work::new(2.try_into().unwrap());
    for (way, work) in [("read", plain), ("mapped", plain.map_files(mapper))] {
        let mut wrong = Vec::new();
        while let Err(what) = is_spared(&model, work) {
            wrong.push(what);
            assert!(wrong.len() < ATTEMPTS, "{way}: {wrong:#?}");
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
    }
}

/// What a [`Recording`] model says of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InMemory {
    All,
    None,
    /// None until somebody looks at the file: then the system reads ahead by itself.
    OnceLooked,
}

/// What is asked of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Look,
    Fetch,
    Read,
    Forget,
}

/// What was asked, from where to where, in order.
type Calls = Vec<(Asked, u64, u64)>;

/// A model of zeros, which says what is in memory and records what is asked of each file.
#[derive(Debug, Clone)]
struct Recording {
    lengths: Vec<u64>,
    in_memory: InMemory,
    calls: Arc<Mutex<Vec<Calls>>>,
}

struct RecordingFile(Recording, usize);

impl Recording {
    fn identity(&self, file: usize) -> Identity {
        Identity { size: self.lengths[file], times: [1; 4], place: [1, file as u64] }
    }
}

impl ModelSource for Recording {
    fn name(&self) -> &str {
        "recording"
    }
    fn layout(&self) -> Layout {
        Layout::Directory
    }
    fn list(&self, _: &Scope<'_>, _: &Limits) -> Result<Listing, Fault> {
        let found = |file| Found::new(path(&format!("{file:02}")), self.identity(file));
        Ok(Listing { files: (0..self.lengths.len()).map(found).collect(), ..Listing::default() })
    }
    fn open(&self, file: &Found) -> Result<Box<dyn ModelFile>, Fault> {
        Ok(Box::new(RecordingFile(self.clone(), file.path.as_str().parse().unwrap())))
    }
}

impl RecordingFile {
    /// Records a call; returns whether it is the first of its kind.
    fn record(&self, what: Asked, from: u64, length: u64) -> bool {
        let calls = &mut self.0.calls.lock().unwrap()[self.1];
        let is_first = calls.iter().all(|call| call.0 != what);
        calls.push((what, from, from + length));
        is_first
    }
}

impl ModelFile for RecordingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        buffer.fill(0);
        self.record(Asked::Read, offset, buffer.len() as u64);
        Ok(buffer.len())
    }
    fn identity(&self) -> std::io::Result<Identity> {
        Ok(self.0.identity(self.1))
    }
    fn is_in_memory(&self, offset: u64) -> bool {
        let is_first = self.record(Asked::Look, offset, 1);
        match self.0.in_memory {
            InMemory::All => true,
            InMemory::None => false,
            InMemory::OnceLooked => !is_first,
        }
    }
    fn fetch(&self, offset: u64, length: u64) {
        self.record(Asked::Fetch, offset, length);
    }
    fn forget(&self, offset: u64, length: u64) {
        self.record(Asked::Forget, offset, length);
    }
}

/// Measures files of zeros, and returns what was asked of each.
fn asked(
    lengths: &[u64],
    in_memory: InMemory,
    method: Method,
    threads: usize,
    sparing: bool,
) -> Vec<Calls> {
    let calls = Arc::new(Mutex::new(vec![Vec::new(); lengths.len()]));
    let source = Recording { lengths: lengths.to_vec(), in_memory, calls };
    let work = Work::new(threads.try_into().unwrap());
    let work = if sparing { work.spare_page_cache() } else { work };
    let recipe = Recipe { method, ..Recipe::default() };
    let files = source.list(&Scope::to_sign(&recipe), &Limits::default()).unwrap().files;
    Manifest::measure(&source, &recipe, files, work).unwrap();
    std::mem::take(&mut *source.calls.lock().unwrap())
}

/// Which bytes were asked for in one way, in order; what touches is one.
fn bytes_of(calls: &[(Asked, u64, u64)], what: Asked) -> Vec<(u64, u64)> {
    let mut all: Vec<(u64, u64)> =
        calls.iter().filter(|call| call.0 == what).map(|call| (call.1, call.2)).collect();
    all.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (from, to) in all {
        match joined.last_mut().filter(|last| last.1 >= from) {
            Some(last) => last.1 = last.1.max(to),
            None => joined.push((from, to)),
        }
    }
    joined
}

/// Files from this length on are looked at, mapped and fetched.
const LONG: u64 = 256 << 10;
const LENGTHS: [u64; 7] = [150 << 20, (30 << 20) + 5, 5 << 20, LONG, LONG - 1, 1, 0];

#[test]
fn bytes_in_memory_are_neither_fetched_nor_let_go() {
    for (threads, sparing) in [(1, false), (1, true), (2, false), (2, true)] {
        for calls in asked(&LENGTHS, InMemory::All, Method::Files, threads, sparing) {
            let idle = [Asked::Fetch, Asked::Forget].map(|what| bytes_of(&calls, what));
            assert_eq!(idle, [vec![], vec![]]);
        }
    }
}

/// Every byte is fetched once, before it is read, and let go after that if the page cache is spared.
#[test]
fn bytes_not_in_memory_are_fetched_ahead_and_let_go_if_asked() {
    let shards = Method::Shards((20 << 20).try_into().unwrap());
    for (in_memory, method) in [
        (InMemory::None, Method::Files),
        (InMemory::None, shards),
        (InMemory::OnceLooked, Method::Files),
    ] {
        for (threads, sparing) in [(1, false), (1, true), (2, false), (2, true)] {
            let all = asked(&LENGTHS, in_memory, method, threads, sparing);
            for (calls, length) in all.iter().zip(LENGTHS) {
                let what =
                    format!("{length} bytes, {in_memory:?}, {method:?}, {threads}, {sparing}");
                let whole: Vec<(u64, u64)> =
                    Some((0, length)).filter(|_| length > 0).into_iter().collect();
                assert_eq!(bytes_of(calls, Asked::Read), whole, "{what}");
                // Short files are not worth a look, unless they have to be let go.
                let fetched = if length >= LONG || sparing { whole } else { vec![] };
                assert_eq!(bytes_of(calls, Asked::Fetch), fetched, "{what}");
                let forgotten = if sparing { fetched.clone() } else { vec![] };
                assert_eq!(bytes_of(calls, Asked::Forget), forgotten, "{what}");
                for (index, &(now, from, to)) in calls.iter().enumerate() {
                    let were = |what| {
                        bytes_of(&calls[..index], what).iter().any(|b| b.0 <= from && to <= b.1)
                    };
                    let is_new =
                        calls[..index].iter().all(|c| c.0 != now || c.2 <= from || to <= c.1);
                    let in_order = match now {
                        Asked::Look => true,
                        Asked::Fetch => is_new,
                        Asked::Read => fetched.is_empty() || were(Asked::Fetch),
                        Asked::Forget => were(Asked::Read),
                    };
                    assert!(in_order, "{what}: {now:?} {from} to {to}");
                }
            }
        }
    }
}
