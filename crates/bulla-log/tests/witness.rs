//! Witnesses: asked by a log, and being one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use bulla::{KeyAlgorithm, KeyPair, KeySigner};
use bulla_log::note::{Note, NoteSignature, VerifierKey};
use bulla_log::storage::LocalDirectory;
use bulla_log::witness::{
    AddCheckpoint, CosigningWitness, Witness, WitnessAnswer, WitnessRefusal, Witnesses,
};
use bulla_log::{Checkpoint, Log, LogConfig, LogError, LogKey, note, tree};
use common::{Key, ORIGIN, entry};

const NOW: &str = "2026-11-20T12:00:00Z";

fn witness_at(root: &Path, name: &str, logs: &[LogKey]) -> (VerifierKey, CosigningWitness) {
    let pair = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let key = VerifierKey::of_witness(name, pair.public().clone()).unwrap();
    let storage = Arc::new(LocalDirectory::create(&root.join(name)).unwrap());
    CosigningWitness::create(storage.as_ref(), &key).unwrap();
    let signer = Box::new(KeySigner::new(pair));
    let witness = CosigningWitness::open(storage, signer, key.clone(), logs.to_vec()).unwrap();
    (key, witness)
}

/// What an HTTP client would be, without HTTP.
#[derive(Clone)]
struct Wire {
    witness: Arc<CosigningWitness>,
    away: Arc<AtomicBool>,
    requests: Arc<Mutex<Vec<AddCheckpoint>>>,
}

impl Wire {
    fn new(witness: CosigningWitness) -> Self {
        Self { witness: Arc::new(witness), away: Arc::default(), requests: Arc::default() }
    }
}

impl Witness for Wire {
    fn add_checkpoint(&self, request: &AddCheckpoint) -> Result<WitnessAnswer, String> {
        if self.away.load(Ordering::SeqCst) {
            return Err("it does not answer".into());
        }
        self.requests.lock().unwrap().push(request.clone());
        let answer = self.witness.add_checkpoint(request.encode().as_bytes(), NOW.parse().unwrap());
        Ok(match answer {
            Ok(lines) => WitnessAnswer::Cosigned(lines),
            Err(WitnessRefusal::Conflict { size }) => WitnessAnswer::Conflict(size),
            Err(other) => {
                WitnessAnswer::Refused { status: other.status(), detail: other.to_string() }
            }
        })
    }
}

fn witnesses(list: &[(&VerifierKey, &Wire)], needed: usize) -> Witnesses {
    let boxed = list
        .iter()
        .map(|(key, wire)| ((*key).clone(), Box::new((*wire).clone()) as Box<dyn Witness>));
    Witnesses::new(boxed.collect(), needed).unwrap()
}

#[test]
fn a_published_checkpoint_carries_the_cosignatures_that_are_needed() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new(ORIGIN);
    let (one, wire_one) = witness_at(folder.path(), "w1.example", &key.trusted());
    let (two, wire_two) = witness_at(folder.path(), "w2.example", &key.trusted());
    let (wire_one, wire_two) = (Wire::new(wire_one), Wire::new(wire_two));
    let config = |needed| LogConfig {
        witnesses: witnesses(&[(&one, &wire_one), (&two, &wire_two)], needed),
        ..key.config(folder.path())
    };
    let log = Log::create(config(1)).unwrap();
    for i in 0..5 {
        let included = log.append(entry(i)).unwrap();
        let note = Note::parse(included.checkpoint.as_bytes()).unwrap();
        let (_, signers) = note.verify([key.verifier(), &one, &two]).unwrap();
        assert_eq!(signers.len(), 3);
    }
    // One is away: one is enough.
    wire_two.away.store(true, Ordering::SeqCst);
    let included = log.append(entry(5)).unwrap();
    let note = Note::parse(included.checkpoint.as_bytes()).unwrap();
    assert!(note.verify([&one]).is_ok() && note.verify([&two]).is_err());
    drop(log);

    // Both are needed: it does not open, for nobody could tell that it is the newest.
    let error = Log::open(config(2)).unwrap_err();
    assert!(matches!(error, LogError::NotWitnessed { got: 1, needed: 2, .. }), "{error}");
    wire_two.away.store(false, Ordering::SeqCst);
    let log = Log::open(config(2)).unwrap();
    wire_two.away.store(true, Ordering::SeqCst);
    let error = log.append(entry(6)).unwrap_err();
    assert!(error.is_temporary() && error.to_string().contains("w2.example"), "{error}");
    assert_eq!(log.size(), 6);
    // It comes back, having missed some: the proof is from what it has seen.
    wire_two.away.store(false, Ordering::SeqCst);
    assert_eq!(log.append(entry(7)).unwrap().size, 8);
    let last = wire_two.requests.lock().unwrap().last().unwrap().clone();
    assert_eq!(last.old, 6);
    assert_eq!(log.entry(6).unwrap(), entry(6));
}

/// Rule 17, without a mark that survived: the witness remembers.
#[test]
fn rule_17_a_witness_keeps_a_restored_backup_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new(ORIGIN);
    let (name, wire) = witness_at(folder.path(), "w.example", &key.trusted());
    let wire = Wire::new(wire);
    let config =
        |root: &Path| LogConfig { witnesses: witnesses(&[(&name, &wire)], 1), ..key.config(root) };
    let now = folder.path().join("now");
    std::fs::create_dir(&now).unwrap();
    let log = Log::create(config(&now)).unwrap();
    (0..3).for_each(|i| drop(log.append(entry(i)).unwrap()));
    drop(log);
    // Log and mark, both.
    let copied = std::process::Command::new("cp")
        .args(["-r", "now", "backup"])
        .current_dir(folder.path())
        .status();
    assert!(copied.unwrap().success());
    let log = Log::open(config(&now)).unwrap();
    (3..5).for_each(|i| drop(log.append(entry(i)).unwrap()));
    drop(log);
    let error = Log::open(config(&folder.path().join("backup"))).unwrap_err();
    assert!(matches!(error, LogError::WitnessAhead { .. }), "{error}");
    assert!(error.to_string().contains("w.example") && error.to_string().contains("size 5"));
}

/// A witness whose cosignature is not its own does not count.
#[test]
fn other_keys_cosignatures_do_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new(ORIGIN);
    let (_, wire) = witness_at(folder.path(), "w.example", &key.trusted());
    let pair = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let other = VerifierKey::of_witness("w.example", pair.public().clone()).unwrap();
    let wire = Wire::new(wire);
    let log = Log::create(LogConfig {
        witnesses: witnesses(&[(&other, &wire)], 1),
        ..key.config(folder.path())
    });
    let error = log.unwrap().append(entry(0)).unwrap_err();
    assert!(matches!(error, LogError::NotWitnessed { got: 0, .. }), "{error}");
    let none: Vec<(VerifierKey, Box<dyn Witness>)> = Vec::new();
    assert!(Witnesses::new(none, 1).is_err());
}

/// Answers in a witness's name, but not with its key.
struct Forger(VerifierKey, AtomicBool);

impl Witness for Forger {
    fn add_checkpoint(&self, _: &AddCheckpoint) -> Result<WitnessAnswer, String> {
        let bytes = vec![0; if self.1.fetch_not(Ordering::SeqCst) { 72 } else { 1 }];
        let line = NoteSignature { name: self.0.name().into(), id: self.0.id(), bytes };
        Ok(WitnessAnswer::Cosigned(format!("nonsense\n{line}\n")))
    }
}

#[test]
fn a_forged_cosignature_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new(ORIGIN);
    let pair = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let name = VerifierKey::of_witness("w.example", pair.public().clone()).unwrap();
    let forger = Box::new(Forger(name.clone(), AtomicBool::new(true)));
    let log = Log::create(LogConfig {
        witnesses: Witnesses::new(vec![(name, forger)], 1).unwrap(),
        ..key.config(folder.path())
    })
    .unwrap();
    for i in 0..2 {
        let error = log.append(entry(i)).unwrap_err();
        assert!(error.to_string().contains("no valid cosignature"), "{error}");
    }
}

/// A witness that never says the same twice.
struct Confused(AtomicU16);

impl Witness for Confused {
    fn add_checkpoint(&self, _: &AddCheckpoint) -> Result<WitnessAnswer, String> {
        let n = self.0.fetch_add(1, Ordering::SeqCst);
        Ok(WitnessAnswer::Conflict(u64::from(n % 2)))
    }
}

#[test]
fn a_witness_cannot_keep_a_log_busy_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new(ORIGIN);
    let pair = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let name = VerifierKey::of_witness("w.example", pair.public().clone()).unwrap();
    let list: Vec<(VerifierKey, Box<dyn Witness>)> =
        vec![(name, Box::new(Confused(AtomicU16::new(1))))];
    let log = Log::create(LogConfig {
        witnesses: Witnesses::new(list, 1).unwrap(),
        ..key.config(folder.path())
    })
    .unwrap();
    for i in 0..3 {
        assert!(log.append(entry(i)).is_err());
    }
}

struct Nodes(Vec<Vec<u8>>);

impl tree::Nodes for Nodes {
    type Error = ();
    fn node(&self, height: u32, index: u64) -> Result<tree::Hash, ()> {
        if height == 0 {
            return Ok(tree::leaf_hash(&self.0[usize::try_from(index).unwrap()]));
        }
        let left = self.node(height - 1, 2 * index)?;
        Ok(tree::node_hash(&left, &self.node(height - 1, 2 * index + 1)?))
    }
}

/// Two histories that are the same for five entries.
fn request(key: &Key, fork: bool, old: u64, size: u64) -> AddCheckpoint {
    let text = |i: u64| format!("{i} {}", fork && i >= 5).into_bytes();
    let nodes = Nodes((0..size).map(text).collect());
    let checkpoint = Checkpoint {
        origin: ORIGIN.into(),
        size,
        root: tree::root(&nodes, size).unwrap(),
        extensions: String::new(),
    };
    let checkpoint =
        note::sign(&checkpoint.to_text(), key.signer.as_ref(), key.verifier()).unwrap();
    let proof = tree::consistency(&nodes, old, size).unwrap();
    AddCheckpoint { old, proof, checkpoint }
}

#[test]
fn a_witness_answers_as_the_specification_says() {
    let folder = tempfile::tempdir().unwrap();
    let (key, stranger) = (Key::new(ORIGIN), Key::new("log.example/stranger"));
    let impostor = Key::new(ORIGIN);
    let (name, witness) = witness_at(folder.path(), "w.example", &key.trusted());
    let send = |request: &AddCheckpoint| {
        witness.add_checkpoint(request.encode().as_bytes(), NOW.parse().unwrap())
    };
    let status = |request: &AddCheckpoint| match send(request) {
        Ok(_) => 200,
        Err(refusal) => refusal.status(),
    };

    let first = request(&key, false, 0, 3);
    let lines = send(&first).unwrap();
    let note = Note::parse(format!("{}{lines}", first.checkpoint).as_bytes()).unwrap();
    note.verify([&name]).unwrap();
    // The same again is the same.
    assert_eq!(status(&request(&key, false, 3, 3)), 200);
    assert_eq!(status(&request(&key, false, 3, 8)), 200);

    let mut unknown = request(&key, false, 8, 9);
    unknown.checkpoint = unknown.checkpoint.replace(ORIGIN, "log.example/unknown");
    assert_eq!(status(&unknown), 404);
    assert_eq!(status(&request(&impostor, false, 8, 9)), 403);
    let mut crossed = request(&key, false, 8, 9);
    crossed.checkpoint = note::sign(
        Note::parse(crossed.checkpoint.as_bytes()).unwrap().unverified_text(),
        stranger.signer.as_ref(),
        stranger.verifier(),
    )
    .unwrap();
    assert_eq!(status(&crossed), 403);
    let mut larger = request(&key, false, 8, 9);
    larger.old = 10;
    assert_eq!(status(&larger), 400);
    // Behind, ahead, and back.
    for (old, size) in [(0, 9), (3, 9), (9, 9), (9, 12), (0, 3), (3, 8)] {
        let refusal = send(&request(&key, false, old, size)).unwrap_err();
        assert_eq!(refusal.status(), 409, "{old} {size}");
        assert_eq!(refusal.body(), ("text/x.tlog.size", "8\n".into()));
    }
    // A fork: of the same size, and of a larger one with its own proof.
    assert_eq!(status(&request(&key, true, 8, 8)), 409);
    assert_eq!(status(&request(&key, true, 8, 12)), 422);
    let mut broken = request(&key, false, 8, 13);
    broken.proof[0][0] ^= 1;
    assert_eq!(status(&broken), 422);
    broken.proof.clear();
    assert_eq!(status(&broken), 422);
    let mut padded = request(&key, false, 8, 8);
    padded.proof.push([0; 32]);
    assert_eq!(status(&padded), 422);
    assert_eq!(status(&request(&key, false, 8, 13)), 200);

    let good = request(&key, false, 13, 14).encode();
    for wrong in [
        String::new(),
        good.replace("old 13", "old 013"),
        good.replace("old 13", "old -1"),
        good.replace("old 13", "new 13"),
        good.replacen('\n', "\r\n", 1),
        good.replacen("\n\n", "\n", 1),
        format!("old 13\n{}\n{}", "A\n".repeat(3), good.split_once("\n\n").unwrap().1),
        format!("old 13\n{}{good}", format!("{}=\n", "A".repeat(43)).repeat(64)),
        format!("{good}x"),
        "x".repeat(1 << 20),
    ] {
        let refusal = witness.add_checkpoint(wrong.as_bytes(), NOW.parse().unwrap()).unwrap_err();
        assert_eq!(refusal.status(), 400, "{wrong:.80}");
    }
    assert_eq!(
        witness.add_checkpoint(good.as_bytes(), "1960-01-01T00:00:00Z".parse().unwrap()),
        Err(WitnessRefusal::Fault("the clock is before 1970".into()))
    );
}

#[test]
fn a_witness_remembers_and_does_not_begin_anew() {
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new(ORIGIN);
    let pair = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let pem = pair.to_plain_pem().unwrap();
    let again = || {
        let none = || panic!("no password");
        let pair = KeyPair::from_pem(&pem, &bulla::Limits::default(), none).unwrap();
        Box::new(KeySigner::new(pair))
    };
    let name = VerifierKey::of_witness("w.example", pair.public().clone()).unwrap();
    let storage = || Arc::new(LocalDirectory::create(&folder.path().join("w")).unwrap());
    let open = || CosigningWitness::open(storage(), again(), name.clone(), key.trusted().to_vec());
    assert!(open().is_err());
    CosigningWitness::create(storage().as_ref(), &name).unwrap();
    let send = |witness: &CosigningWitness, request: &AddCheckpoint| {
        witness.add_checkpoint(request.encode().as_bytes(), NOW.parse().unwrap())
    };
    send(&open().unwrap(), &request(&key, false, 0, 8)).unwrap();
    let witness = open().unwrap();
    assert!(send(&witness, &request(&key, true, 0, 8)).is_err());
    assert!(open().is_err(), "two at once");
    drop(witness);
    // Its state is gone: it does not say "0".
    std::fs::remove_dir_all(folder.path().join("w")).unwrap();
    assert!(open().is_err());
}

/// A log is remembered by its origin: one that has two could show each its own history.
#[test]
fn a_witness_knows_a_log_by_exactly_its_origin() {
    let folder = tempfile::tempdir().unwrap();
    let pair = KeyPair::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let key = VerifierKey::of_log("rekor.example", pair.public().clone()).unwrap();
    let log = note::NoteKey::new(Box::new(KeySigner::new(pair)), key.clone());
    let (_, witness) = witness_at(folder.path(), "w.example", &[LogKey::new(key.clone())]);
    let ask = |origin: &str| {
        let leaf = tree::leaf_hash(origin.as_bytes());
        let checkpoint =
            Checkpoint { origin: origin.into(), size: 1, root: leaf, extensions: String::new() };
        let checkpoint = note::sign(&checkpoint.to_text(), &log, &key).unwrap();
        let request = AddCheckpoint { old: 0, proof: Vec::new(), checkpoint };
        witness.add_checkpoint(request.encode().as_bytes(), NOW.parse().unwrap())
    };
    assert!(matches!(ask("rekor.example - 1"), Err(WitnessRefusal::UnknownLog { .. })));
    ask("rekor.example").unwrap();
}
