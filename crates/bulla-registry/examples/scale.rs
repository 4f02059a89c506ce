//! How a registry of a million models and ten million decisions answers.
//!
//! ```text
//! cargo run --release --package bulla-registry --example scale -- PLACE [--models N] [--decisions N] [--behind N] [--keep]
//! ```
//!
//! `PLACE` is a file that is not there, or a URL of an empty PostgreSQL database, or `postgres` for a cluster that is made for this. Rows are
//! made up, and filled in directly; the log, the map of what is in force and the signature are those of any registry.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bulla::jiff::{SignedDuration, Timestamp};
use bulla::{Digest, KeyAlgorithm, KeyPair, KeySigner, ModelDigests};
use bulla_log::HighWaterMark;
use bulla_log::note::{NoteKey, VerifierKey};
use bulla_log::storage::LocalDirectory;
use bulla_registry::{
    Basis, Decided, Deployment, Event, ModelSeen, Place, PolicyRef, Registry, Released,
    RevocationRequest, Revoked, Settings, SignatureSeen, Subject, Vouched,
};
use bulla_testkit::postgres::Postgres;

const SECONDS: i64 = 1_790_000_000;
/// Signers that are not the one that is withdrawn.
const OTHER_KEYS: u64 = 997;

fn at(n: u64) -> Timestamp {
    Timestamp::from_second(SECONDS + i64::try_from(n / 100).unwrap()).unwrap()
}

fn digest(text: String) -> Digest {
    Digest::sha256(text.as_bytes())
}

fn model(n: u64) -> ModelDigests {
    ModelDigests { manifest: digest(format!("manifest {n}")), oms: digest(format!("oms {n}")) }
}

/// The model's three events, or two.
fn of_model(n: u64, behind: u64) -> Vec<(Timestamp, Event, Vec<Vec<u8>>)> {
    let key = match n < behind {
        true => "stolen".to_owned(),
        false => format!("key {}", n % OTHER_KEYS),
    };
    let file = format!(r#"["sha256:{}"]"#, digest(format!("file {n}")).to_hex()).into_bytes();
    let seen = ModelSeen {
        model: model(n),
        name: format!("team-{}/model-{n}", n % 1000),
        place: format!("s3://models/{n}"),
        size: n << 20,
        files: Some(Digest::sha256(&file)),
    };
    let basis = Basis {
        keys: vec![digest(key)],
        // Every second one has a time.
        times: n
            .is_multiple_of(2)
            .then(|| Vouched { at: at(n), clocks: vec![digest("tsa".into())] })
            .into_iter()
            .collect(),
        ..Basis::default()
    };
    let signature = SignatureSeen {
        signature: digest(format!("signature {n}")),
        model: model(n),
        authorities: vec!["production".into()],
        basis,
    };
    let mut events = vec![
        (at(n), Event::ModelSeen(seen), vec![file]),
        (at(n), Event::SignatureSeen(signature), Vec::new()),
    ];
    if n.is_multiple_of(10) {
        let released = Released {
            environment: "production".into(),
            name: format!("deployment {}", n / 20),
            sequence: Some(n),
            model: model(n),
            request: format!("request {n}"),
        };
        events.push((at(n), Event::Released(released), Vec::new()));
    }
    events
}

fn of_decision(n: u64, models: u64) -> (Timestamp, Event, Vec<Vec<u8>>) {
    let json = format!(
        r#"{{"admitted":true,"findings":[{{"found":"signed by production","outcome":"met","rule":"signature"}}],"n":{n}}}"#
    );
    let decided = Decided {
        request: format!("request {n}"),
        model: Some(model(n % models)),
        environment: ["production", "staging"][usize::try_from(n / models % 2).unwrap()].into(),
        name: format!("deployment {}", n % models / 20),
        policy: PolicyRef {
            name: "company-models".into(),
            version: 7,
            digest: digest("policy".into()),
            rules: digest("rules".into()),
        },
        admitted: true,
        passed: true,
        mode: "enforce".into(),
        time: at(n),
        expires: at(n).checked_add(SignedDuration::from_hours(24 * 365)).ok(),
        decision: Digest::sha256(json.as_bytes()),
        verdict: None,
        evidence: vec![digest(format!("signature {}", n % models))],
    };
    (at(n), Event::Decided(decided), vec![json.into_bytes()])
}

struct Arguments {
    place: String,
    models: u64,
    decisions: u64,
    behind: u64,
    keep: bool,
}

fn arguments() -> Arguments {
    let mut found = Arguments {
        place: String::new(),
        models: 1_000_000,
        decisions: 10_000_000,
        behind: 1000,
        keep: false,
    };
    let mut all = std::env::args().skip(1);
    while let Some(argument) = all.next() {
        let mut number = || all.next().and_then(|text| text.parse().ok()).expect("a number");
        match argument.as_str() {
            "--models" => found.models = number(),
            "--decisions" => found.decisions = number(),
            "--behind" => found.behind = number(),
            "--keep" => found.keep = true,
            _ => found.place = argument,
        }
    }
    assert!(!found.place.is_empty(), "give a file, a URL, or 'postgres'");
    found
}

/// Times, shown by their middle, their 99th percentile and the largest.
fn shown(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let of = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
    format!("median {:.2?}, p99 {:.2?}, most {:.2?} of {}", of(50), of(99), of(100), times.len())
}

/// The most memory that this process has had.
fn memory_used() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap_or("not known").trim().to_owned()
}

fn measure(count: u64, mut ask: impl FnMut(u64)) -> String {
    // Scattered over all: the 64-bit golden ratio.
    let scattered = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    let times = (0..count).map(|n| {
        let start = Instant::now();
        ask(scattered(n));
        start.elapsed()
    });
    shown(times.collect())
}

fn main() {
    let arguments = arguments();
    let Arguments { models, decisions, behind, .. } = arguments;
    let folder = tempfile::tempdir().unwrap();
    // As a server that keeps what it answered.
    let settings = "fsync = on\nshared_buffers = 1GB\nmax_wal_size = 16GB\n";
    let cluster = (arguments.place == "postgres").then(|| Postgres::start_with(settings));
    let place = match &cluster {
        Some(cluster) => Place::Postgres(cluster.database()),
        None => Place::parse(&arguments.place),
    };
    let pair = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
    let key = VerifierKey::of_log("registry.example/scale", pair.public().clone()).unwrap();
    let storage = LocalDirectory::create(&folder.path().join("mark")).unwrap();
    let mark = HighWaterMark::new(Arc::new(storage), "registry.mark");
    let signer = Arc::new(NoteKey::new(Box::new(KeySigner::new(pair)), key.clone()));
    let settings = Settings::new(place.clone(), key, mark).with_signer(signer);
    let now = at(decisions + 100);

    let start = Instant::now();
    let told = |done: u64, of: u64, what: &str| {
        if done.is_multiple_of((of / 10).max(1)) {
            eprintln!("  {done} {what} after {:.0?}", start.elapsed());
        }
    };
    let mut events = (0..models)
        .inspect(|n| told(*n, models, "models"))
        .flat_map(|n| of_model(n, behind))
        .chain(
            (0..decisions)
                .inspect(|n| told(*n, decisions, "decisions"))
                .map(|n| of_decision(n, models)),
        );
    let registry = Registry::create_filled(settings.clone(), &mut events, now).unwrap();
    let size = registry.head(now).unwrap().head.size;
    println!(
        "{place}: {models} models, {decisions} decisions, {size} entries; filled in {:.1?}",
        start.elapsed()
    );
    println!("  most memory while filling  {}", memory_used());
    registry.close();
    if let (Some(cluster), Place::Postgres(url)) = (&cluster, &place) {
        let start = Instant::now();
        cluster.run(url, "VACUUM ANALYZE");
        println!("  VACUUM ANALYZE             {:.1?}", start.elapsed());
    }

    let start = Instant::now();
    let registry = Registry::open(settings, now).unwrap();
    println!("  open                       {:.2?}", start.elapsed());
    let known = measure(2000, |n| {
        let model = model(n % models.min(decisions));
        assert!(registry.standing(&model.manifest, "production", now).unwrap().is_some());
    });
    println!("  standing, known            {known}");
    let unknown = measure(2000, |n| {
        let model = digest(format!("unknown {n}"));
        assert!(registry.standing(&model, "production", now).unwrap().is_none());
    });
    println!("  standing, unknown          {unknown}");
    let memory = measure(1000, |n| {
        let n = n % models;
        let (signature, model) = (digest(format!("signature {n}")), model(n));
        let asked = Deployment {
            environment: "production",
            name: &format!("deployment {}", n / 20),
            signature: Some(&signature),
            model: Some(&model),
            policy: "company-models",
        };
        assert!(registry.memory(asked, now).unwrap().first_seen.is_some());
    });
    println!("  memory                     {memory}");

    let subject = Subject::key(digest("stolen".into()));
    let start = Instant::now();
    let found = registry.blast_radius(&subject, None, true, now).unwrap();
    println!(
        "  blast radius of a key      {:.2?}: {} models, {} decisions, {} releases",
        start.elapsed(),
        found.models.len(),
        found.decisions.len(),
        found.releases.len()
    );
    let revoked = Revoked {
        subject,
        since: Some(at(behind / 2)),
        descendants: true,
        reason: "laptop stolen".into(),
        by: "eva".into(),
    };
    let mut request = RevocationRequest::new(revoked);
    request.alerts = vec!["pager".into()];
    let start = Instant::now();
    let plan = registry.plan(&request, now).unwrap();
    println!(
        "  dry run of its revocation  {:.2?}: {} into quarantine, {} withdrawn, {} rolled back, {} to be signed again",
        start.elapsed(),
        plan.quarantine.len(),
        plan.withdraw.len(),
        plan.roll_back.len(),
        plan.resign.len()
    );
    let start = Instant::now();
    registry.revoke(&request, now).unwrap();
    println!("  its revocation             {:.2?}", start.elapsed());
    let start = Instant::now();
    assert_eq!(registry.revocations(now).unwrap().len(), 1);
    println!("  revocations, all           {:.2?}", start.elapsed());
    let mut n = decisions;
    let written = measure(200, |_| {
        n += 1;
        let (_, event, mut contents) = of_decision(n, models);
        let Event::Decided(decided) = event else { return };
        let new = bulla_registry::NewDecision {
            request: decided.request,
            model: decided.model,
            environment: decided.environment,
            name: decided.name,
            policy: decided.policy,
            revocations: None,
            withdrawn: None,
            admitted: true,
            passed: true,
            mode: decided.mode,
            time: decided.time,
            expires: decided.expires,
            json: contents.remove(0),
            verdict: None,
            evidence: decided.evidence,
        };
        registry.record_decision(&[], &new, now).unwrap();
    });
    println!("  a decision written         {written}");
    registry.close();
    if let (Place::File(path), false) = (&place, arguments.keep) {
        println!(
            "  size of the file           {} MB",
            std::fs::metadata(path).unwrap().len() >> 20
        );
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", path.display()));
        }
    }
}
