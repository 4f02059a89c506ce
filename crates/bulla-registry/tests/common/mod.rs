//! Registries in both databases, and what to put into them.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::path::Path;
use std::sync::{Arc, LazyLock};

use bulla::jiff::{SignedDuration, Timestamp};
use bulla::{Digest, KeyAlgorithm, KeyPair, KeySigner, ModelDigests};
use bulla_log::note::{NoteKey, VerifierKey};
use bulla_log::storage::LocalDirectory;
use bulla_log::{HighWaterMark, NoteSigner};
use bulla_registry::{
    Basis, First, ModelSighting, NewDecision, Place, PolicyRef, Record, Registry, Released,
    Settings, SignatureSeen, Vouched,
};
use bulla_testkit::postgres::Postgres;

pub(crate) const ORIGIN: &str = "registry.example/test";

/// One cluster for all tests of a process.
pub(crate) static CLUSTER: LazyLock<Postgres> = LazyLock::new(Postgres::start);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

/// Runs each of these functions over both databases.
macro_rules! over_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite { $(#[test] fn $name() { super::$name(super::common::Backend::Sqlite); })* }
        mod postgres { $(#[test] fn $name() { super::$name(super::common::Backend::Postgres); })* }
    };
}
pub(crate) use over_both;

/// A place for a registry, its key, and a folder for marks.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) place: Place,
    pub(crate) key: VerifierKey,
    pub(crate) signer: Arc<dyn NoteSigner>,
}

/// A registry that another process has made: its place, key and mark are below a folder.
pub(crate) fn joined(folder: &Path) -> Settings {
    let pem = std::fs::read_to_string(folder.join("registry.key")).unwrap();
    let none = || panic!("no password");
    let pair = KeyPair::from_pem(&pem, &bulla::Limits::default(), none).unwrap();
    let (signer, key) = signer_of(ORIGIN, pair);
    let place = Place::parse(&std::fs::read_to_string(folder.join("place")).unwrap());
    let storage = LocalDirectory::create(&folder.join("mark")).unwrap();
    let mark = HighWaterMark::new(Arc::new(storage), "registry.mark");
    Settings::new(place, key, mark).with_signer(signer)
}

impl World {
    pub(crate) fn new(backend: Backend) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = match backend {
            Backend::Sqlite => Place::File(folder.path().join("registry.db")),
            Backend::Postgres => Place::Postgres(CLUSTER.database()),
        };
        let pair = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
        let pem = pair.to_plain_pem().unwrap();
        std::fs::write(folder.path().join("registry.key"), pem.as_bytes()).unwrap();
        let text = match &place {
            Place::File(path) => path.to_string_lossy().into_owned(),
            Place::Postgres(url) => url.clone(),
        };
        std::fs::write(folder.path().join("place"), text).unwrap();
        let (signer, key) = signer_of(ORIGIN, pair);
        Self { folder, place, key, signer }
    }

    pub(crate) fn mark(&self, name: &str) -> HighWaterMark {
        let storage = LocalDirectory::create(&self.folder.path().join(name)).unwrap();
        HighWaterMark::new(Arc::new(storage), "registry.mark")
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings::new(self.place.clone(), self.key.clone(), self.mark("mark"))
            .with_signer(self.signer.clone())
    }

    pub(crate) fn create(&self) -> Registry {
        Registry::create(self.settings(), t(0)).unwrap()
    }

    pub(crate) fn open(&self) -> Registry {
        Registry::open(self.settings(), t(1000)).unwrap()
    }

    /// Another machine's view: a mark of its own.
    pub(crate) fn elsewhere(&self, name: &str) -> Settings {
        let mut settings = self.settings().first(First::Believe);
        settings.mark = self.mark(name);
        settings
    }

    pub(crate) fn another(&self, place: Place) -> Settings {
        let mut settings = self.settings();
        settings.place = place;
        settings
    }

    pub(crate) fn path(&self) -> &Path {
        match &self.place {
            Place::File(path) => path,
            Place::Postgres(_) => panic!("it is not a file"),
        }
    }

    /// Writes into the database behind the registry's back.
    pub(crate) fn sql(&self, sql: &str) {
        sql_in(&self.place, sql);
    }

    /// A copy of the database as it is; nobody may have it open.
    pub(crate) fn backup(&self) -> Place {
        static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        match &self.place {
            Place::File(path) => {
                let n = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let to = self.folder.path().join(format!("backup{n}.db"));
                std::fs::copy(path, &to).unwrap();
                Place::File(to)
            }
            Place::Postgres(url) => Place::Postgres(CLUSTER.copy(url)),
        }
    }
}

pub(crate) fn sql_in(place: &Place, sql: &str) {
    match place {
        Place::Postgres(url) => {
            CLUSTER.run(url, &sql.replace("X'", "'\\x"));
        }
        Place::File(path) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                use sqlx::Connection as _;
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
                let mut connection =
                    sqlx::sqlite::SqliteConnection::connect_with(&options).await.unwrap();
                let sql = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned()));
                sql.execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            });
        }
    }
}

/// Another key under a name.
pub(crate) fn signer(origin: &str) -> (Arc<dyn NoteSigner>, VerifierKey) {
    signer_of(origin, KeyPair::generate(KeyAlgorithm::Ed25519).unwrap())
}

pub(crate) fn signer_of(origin: &str, pair: KeyPair) -> (Arc<dyn NoteSigner>, VerifierKey) {
    let key = VerifierKey::of_log(origin, pair.public().clone()).unwrap();
    let signer = NoteKey::new(Box::new(KeySigner::new(pair)), key.clone());
    (Arc::new(signer), key)
}

/// A time, in seconds after an arbitrary start.
pub(crate) fn t(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).unwrap()
}

pub(crate) fn hours(n: i64) -> SignedDuration {
    SignedDuration::from_hours(n)
}

pub(crate) fn digest(text: &str) -> Digest {
    Digest::sha256(text.as_bytes())
}

pub(crate) fn model(name: &str) -> ModelDigests {
    ModelDigests {
        oms: digest(&format!("oms {name}")),
        manifest: digest(&format!("manifest {name}")),
    }
}

pub(crate) fn sighting(name: &str) -> Record {
    Record::Model(ModelSighting {
        model: model(name),
        name: name.to_owned(),
        place: format!("/models/{name}"),
        size: 1 << 30,
        files: vec![digest(&format!("file of {name}")), digest("config.json")],
    })
}

/// Signed by a key, at a time that a clock says.
pub(crate) fn basis(key: &str, trusted: Option<i64>) -> Basis {
    Basis {
        keys: vec![digest(key)],
        times: trusted
            .map(|at| Vouched { at: t(at), clocks: vec![digest("tsa")] })
            .into_iter()
            .collect(),
        ..Basis::default()
    }
}

pub(crate) fn signature(name: &str, key: &str, trusted: Option<i64>) -> Record {
    Record::Signature(SignatureSeen {
        signature: digest(&format!("signature of {name} by {key}")),
        model: model(name),
        authorities: vec!["production".into()],
        basis: basis(key, trusted),
    })
}

pub(crate) fn decision(request: &str, name: &str, at: i64) -> NewDecision {
    NewDecision {
        request: request.to_owned(),
        model: Some(model(name)),
        environment: "production".into(),
        name: "fraud".into(),
        policy: PolicyRef {
            name: "company-models".into(),
            version: 7,
            digest: digest("policy 7"),
            rules: digest("rules"),
        },
        revocations: None,
        withdrawn: None,
        admitted: true,
        passed: true,
        mode: "enforce".into(),
        time: t(at),
        expires: Some(t(at + 30 * 86_400)),
        json: format!(r#"{{"admitted":true,"model":"{name}"}}"#).into_bytes(),
        verdict: Some(format!("verdict about {name}").into_bytes()),
        evidence: Vec::new(),
    }
}

pub(crate) fn release(name: &str, sequence: u64, request: &str) -> Record {
    Record::Release(Released {
        environment: "production".into(),
        name: "fraud".into(),
        sequence: Some(sequence),
        model: model(name),
        request: request.to_owned(),
    })
}

/// What a fault says, which it must be.
pub(crate) fn fault<T: std::fmt::Debug>(result: Result<T, bulla::Fault>) -> String {
    let fault = result.expect_err("it must be a fault");
    assert!(matches!(fault, bulla::Fault::Registry { .. }), "{fault:?}");
    fault.to_string()
}

/// One of everything: a registry in which no table is empty.
pub(crate) fn full(registry: &Registry) {
    let key = |name: &str| {
        Record::Key(bulla_registry::KeyAdded {
            fingerprint: digest(name),
            authority: "production".into(),
            id: name.to_owned(),
            algorithm: "ecdsa-p256".into(),
            storage: "hsm".into(),
            valid_from: Some(t(0)),
            valid_until: Some(t(86_400)),
        })
    };
    let retired = bulla_registry::KeyRetired {
        fingerprint: digest("old"),
        replaced_by: Some(digest("k")),
        overlap_until: Some(t(100)),
    };
    let made_from = Record::Claim(bulla_registry::ClaimSeen {
        claim: digest("provenance of child"),
        model: model("child"),
        predicate_type: "https://slsa.dev/provenance/v1".into(),
        role: "provenance".into(),
        basis: Basis {
            certificates: vec![digest("ca")],
            identities: vec!["Ci@Company.example".into()],
            provider: Some("https://oidc.example".into()),
            not_before: Some(t(5)),
            ..basis("ci", Some(6))
        },
        parents: vec![bulla_registry::ModelRef::Manifest(model("a").manifest)],
    });
    let seen = [
        key("old"),
        key("k"),
        Record::KeyRetired(retired),
        sighting("a"),
        sighting("b"),
        sighting("child"),
        signature("a", "k", Some(10)),
        signature("b", "k", None),
        signature("c", "other", None),
        made_from,
    ];
    registry.append(&seen, t(20)).unwrap();
    for (n, name) in (1..).zip(["c", "a", "b"]) {
        let request = format!("r{n}");
        registry.record_decision(&[], &decision(&request, name, 30), t(30)).unwrap();
        registry.append(&[release(name, n, &request)], t(31)).unwrap();
    }
    let put = |name: &str, reason: &str| {
        let (reason, by) = (reason.to_owned(), "eva".to_owned());
        Record::Quarantine(bulla_registry::Quarantined { model: model(name).manifest, reason, by })
    };
    registry.append(&[put("c", "odd"), put("d", "odder")], t(40)).unwrap();
    let revoked = bulla_registry::Revoked {
        subject: bulla_registry::Subject::key(digest("k")),
        since: Some(t(15)),
        descendants: true,
        reason: "laptop stolen".into(),
        by: "eva".into(),
    };
    let mut request = bulla_registry::RevocationRequest::new(revoked);
    request.alerts = vec!["mail".into()];
    registry.revoke(&request, t(50)).unwrap();
}

/// Lets a model out of quarantine, by somebody who has looked at why it is there.
pub(crate) fn lift(registry: &Registry, name: &str, at: i64) -> Result<(), bulla::Fault> {
    let manifest = model(name).manifest;
    let there = registry.quarantined(&manifest, t(at))?;
    lift_entry(registry, name, there.map_or(0, |there| there.entry), at)
}

/// The same for what was put there by this entry.
pub(crate) fn lift_entry(
    registry: &Registry,
    name: &str,
    entry: u64,
    at: i64,
) -> Result<(), bulla::Fault> {
    let lifted = bulla_registry::QuarantineLifted {
        model: model(name).manifest,
        entry,
        reason: "fine".into(),
        by: "eva".into(),
        approvals_since: None,
    };
    registry.lift_quarantine(lifted, t(at))
}
