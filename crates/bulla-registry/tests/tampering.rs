//! What somebody can do who can write into the database: nothing that a gate would not notice, and nothing that an audit would not name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use bulla::Fault;
use bulla_registry::{Audit, Deployment, Place, Registry, Settings};
use common::{
    Backend, World, decision, digest, fault, full, model, over_both, sighting, signer, t,
};

over_both!(
    a_full_registry_is_in_order,
    every_row_that_is_touched_is_named,
    a_changed_row_of_what_is_in_force_is_a_fault,
    a_changed_answer_is_a_fault,
    what_was_changed_is_not_signed_anew,
    a_restored_backup_is_a_fault,
    a_forked_database_is_a_fault,
    a_lost_mark_is_a_fault,
    another_key,
    another_head,
    the_clock_went_back,
);

fn audit(settings: Settings) -> Audit {
    let registry = Registry::connect_for_audit(settings).unwrap();
    registry.audit(t(100), &mut |_| {}).unwrap()
}

fn a_full_registry_is_in_order(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    full(&registry);
    let mut told = Vec::new();
    let found = registry.audit(t(100), &mut |progress| told.push(progress)).unwrap();
    assert_eq!(found.findings, []);
    assert!(found.is_clean() && found.entries > 20 && found.rows > 100, "{found:?}");
    assert!(told.iter().any(|progress| progress.what == "the log"));
}

/// For each table: rows changed, removed, added. What is said of it names the table, and for the first one of the rows.
const TOUCHED: [(&str, &str); 51] = [
    ("log_entries", "UPDATE log_entries SET body = X'7b7d' WHERE idx = 1"),
    ("log_entries", "DELETE FROM log_entries WHERE idx = 2"),
    ("log_entries", "INSERT INTO log_entries (idx, body) VALUES (999, X'7b7d')"),
    (
        "log_nodes",
        "UPDATE log_nodes SET hash = (SELECT hash FROM log_nodes WHERE idx = 2) WHERE idx = 1",
    ),
    ("log_nodes", "DELETE FROM log_nodes WHERE idx = 3"),
    ("log_nodes", "INSERT INTO log_nodes SELECT 8, 7, hash FROM log_nodes WHERE idx = 3"),
    ("state_rows", "UPDATE state_rows SET value = '{}' WHERE name LIKE '%first-seen%'"),
    ("state_rows", "DELETE FROM state_rows WHERE name LIKE '%quarantine%'"),
    (
        "state_rows",
        "INSERT INTO state_rows SELECT bucket, 'x', value FROM state_rows WHERE name LIKE '%policy%'",
    ),
    (
        "state_nodes",
        "UPDATE state_nodes SET digests = (SELECT digests FROM state_nodes WHERE level = 0) WHERE level = 1",
    ),
    ("state_nodes", "DELETE FROM state_nodes WHERE level = 2"),
    (
        "state_nodes",
        "INSERT INTO state_nodes SELECT 3, 0, digests FROM state_nodes WHERE level = 0",
    ),
    ("attachments", "UPDATE attachments SET content = X''"),
    ("attachments", "DELETE FROM attachments"),
    ("attachments", "INSERT INTO attachments (digest, content) VALUES (X'00', X'00')"),
    ("models", "UPDATE models SET oms = model"),
    ("models", "DELETE FROM models WHERE oms = (SELECT oms FROM models ORDER BY oms LIMIT 1)"),
    ("models", "INSERT INTO models (model, oms, seen_at) VALUES (X'00', X'00', 0)"),
    ("sightings", "UPDATE sightings SET name = 'other' WHERE name = 'a'"),
    ("sightings", "DELETE FROM sightings WHERE name = 'b'"),
    (
        "sightings",
        "INSERT INTO sightings SELECT model, 'x', place, size, files, seen_at FROM sightings",
    ),
    ("evidence", "UPDATE evidence SET basis = '{}'"),
    ("evidence", "DELETE FROM evidence WHERE role = 'provenance'"),
    (
        "evidence",
        "INSERT INTO evidence SELECT what, X'00', kind, type, role, authorities, basis, seen_at FROM evidence WHERE role = 'provenance'",
    ),
    ("rests_on", "UPDATE rests_on SET trusted = 0 WHERE kind = 'key'"),
    ("rests_on", "DELETE FROM rests_on WHERE kind = 'clock'"),
    (
        "rests_on",
        "INSERT INTO rests_on SELECT 'key', X'00', model, role, what, provider, trusted, not_before FROM rests_on WHERE kind = 'identity'",
    ),
    ("lineage", "UPDATE lineage SET kind = 'oms'"),
    ("lineage", "DELETE FROM lineage"),
    ("lineage", "INSERT INTO lineage SELECT kind, value, value, what FROM lineage"),
    ("keys", "UPDATE keys SET retired_at = NULL"),
    ("keys", "DELETE FROM keys WHERE id = 'old'"),
    (
        "keys",
        "INSERT INTO keys (fingerprint, authority, id, algorithm, storage, added_at) VALUES (X'00', 'x', 'x', 'x', 'x', 0)",
    ),
    ("decisions", "UPDATE decisions SET withdrawn_at = NULL"),
    ("decisions", "DELETE FROM decisions WHERE request = 'r1'"),
    (
        "decisions",
        "INSERT INTO decisions SELECT 'x', idx, model, environment, name, admitted, passed, decided_at, expires, withdrawn_at FROM decisions WHERE request = 'r1'",
    ),
    ("releases", "UPDATE releases SET state = 'running'"),
    ("releases", "DELETE FROM releases WHERE sequence = 1"),
    (
        "releases",
        "INSERT INTO releases SELECT 999, environment, name, sequence, model, oms, request, state, since FROM releases WHERE sequence = 1",
    ),
    ("revocations", "UPDATE revocations SET kind = 'oms'"),
    ("revocations", "DELETE FROM revocations"),
    (
        "revocations",
        "INSERT INTO revocations SELECT 999, kind, value, provider, since, until, body, revoked_at FROM revocations",
    ),
    ("quarantines", "UPDATE quarantines SET reason = 'none'"),
    ("quarantines", "DELETE FROM quarantines WHERE reason = 'odd'"),
    (
        "quarantines",
        "INSERT INTO quarantines (model, reason, put_by, put_at) VALUES (X'00', 'x', 'x', 0)",
    ),
    ("resign", "UPDATE resign SET state = 'done'"),
    ("resign", "DELETE FROM resign"),
    (
        "resign",
        "INSERT INTO resign SELECT 999, model, oms, signing_key, reason, state, why, worker, lease, queued_at FROM resign",
    ),
    ("alerts", "UPDATE alerts SET payload = 'x'"),
    ("alerts", "DELETE FROM alerts"),
    (
        "alerts",
        "INSERT INTO alerts SELECT 999, destination, payload, attempts, next_at, delivered_at, last_error, queued_at FROM alerts",
    ),
];

fn every_row_that_is_touched_is_named(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    full(&registry);
    registry.close();
    for (table, sql) in TOUCHED {
        let copy = world.backup();
        common::sql_in(&copy, sql);
        let found = audit(world.another(copy));
        let named = found.findings.iter().filter(|finding| finding.table == table).count();
        assert!(named > 0, "{sql}: {:?}", found.findings);
        // What follows from one row is not said of others; but the bytes of a list of files are what other rows follow from.
        if !matches!(table, "log_entries" | "attachments") {
            assert_eq!(named, found.findings.len(), "{sql}: {:?}", found.findings);
        }
        assert!(
            found.findings.iter().all(|finding| !finding.row.is_empty() || table == "log_entries")
        );
    }
    // Also what no table of its own has.
    for (table, sql) in [
        ("head", "INSERT INTO head SELECT 2, size, frontier, note FROM head"),
        ("head", "UPDATE head SET size = size - 1"),
        ("meta", "INSERT INTO meta (name, value) VALUES ('x', 'y')"),
    ] {
        let copy = world.backup();
        common::sql_in(&copy, sql);
        let found = audit(world.another(copy));
        assert!(found.findings.iter().any(|finding| finding.table == table), "{sql}: {found:?}");
    }
}

/// What each row of the map answers, asked of a registry where it was changed.
fn a_changed_row_of_what_is_in_force_is_a_fault(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    full(&registry);
    let quarantined = model("c");
    registry.close();
    let signature = digest("signature of a by k");
    let asked = |registry: &Registry| {
        let asked = Deployment {
            environment: "production",
            name: "fraud",
            signature: Some(&signature),
            model: Some(&quarantined),
            policy: "company-models",
        };
        registry.memory(asked, t(100)).map(drop)
    };
    let standing = |registry: &Registry| {
        registry.standing(&model("c").manifest, "production", t(100)).map(drop)
    };
    let revocations = |registry: &Registry| registry.revocations(t(100)).map(drop);
    type Question<'a> = &'a dyn Fn(&Registry) -> Result<(), Fault>;
    let rows: [(&str, Question<'_>); 7] = [
        ("first-seen\",\"%", &asked),
        ("quarantine", &asked),
        ("released", &asked),
        ("policy", &asked),
        ("decided", &asked),
        ("standing", &standing),
        ("revocations", &revocations),
    ];
    for (name, question) in rows {
        for sql in [
            format!("UPDATE state_rows SET value = '{{}}' WHERE name LIKE '[\"{name}%'"),
            format!("DELETE FROM state_rows WHERE name LIKE '[\"{name}%'"),
            format!(
                "INSERT INTO state_rows SELECT bucket, 'x' || name, value FROM state_rows WHERE name LIKE '[\"{name}%'"
            ),
        ] {
            let copy = world.backup();
            common::sql_in(&copy, &sql);
            let registry = Registry::open(world.another(copy), t(100)).unwrap();
            let said = fault(question(&registry));
            assert!(said.contains("not what was signed"), "{sql}: {said}");
        }
    }
    for (sql, question) in [
        ("DELETE FROM revocations", &revocations as Question<'_>),
        ("UPDATE revocations SET body = REPLACE(body, 'stolen', 'found')", &revocations),
        (
            "INSERT INTO revocations SELECT 999, kind, value, provider, since, until, body, revoked_at FROM revocations",
            &revocations,
        ),
        ("DELETE FROM state_nodes WHERE level = 2", &asked),
        ("DELETE FROM state_nodes WHERE level = 0", &standing),
        ("UPDATE state_nodes SET digests = X'00' WHERE level = 1", &revocations),
    ] {
        let copy = world.backup();
        common::sql_in(&copy, sql);
        let registry = Registry::open(world.another(copy), t(100)).unwrap();
        fault(question(&registry));
    }
    // Untouched, all of them are answered.
    let registry = Registry::open(world.another(world.backup()), t(100)).unwrap();
    rows.iter().for_each(|(_, question)| question(&registry).unwrap());
}

fn a_changed_answer_is_a_fault(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    full(&registry);
    registry.close();
    for sql in [
        "UPDATE log_entries SET body = (SELECT body FROM log_entries WHERE idx = 0)",
        "UPDATE decisions SET idx = (SELECT MAX(idx) FROM decisions)",
        "UPDATE decisions SET idx = 0",
        "DELETE FROM attachments",
        "UPDATE attachments SET content = X'7b7d'",
        "DELETE FROM log_nodes",
    ] {
        let copy = world.backup();
        common::sql_in(&copy, sql);
        let registry = Registry::open(world.another(copy), t(100)).unwrap();
        let error = registry.answer("r1", t(100)).unwrap_err();
        assert!(matches!(error, Fault::Registry { .. }), "{sql}: {error}");
    }
}

/// A writer looks at what it builds upon: else the next honest write would make the change good.
fn what_was_changed_is_not_signed_anew(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    full(&registry);
    registry.close();
    let copy = world.backup();
    common::sql_in(
        &copy,
        "UPDATE state_rows SET value = REPLACE(value, 'true', 'false') WHERE name LIKE '[\"standing%'",
    );
    let registry = Registry::open(world.another(copy), t(100)).unwrap();
    let said = fault(registry.record_decision(&[], &decision("new", "c", 100), t(100)));
    assert!(said.contains("not what was signed"), "{said}");
}

fn a_restored_backup_is_a_fault(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    registry.append(&[sighting("a")], t(1)).unwrap();
    registry.close();
    let old = world.backup();
    let registry = world.open();
    registry.append(&[sighting("b")], t(2)).unwrap();
    registry.close();
    let said = fault(Registry::open(world.another(old.clone()), t(3)));
    assert!(said.contains("older than what was seen"), "{said}");
    // It is found while it is open, too.
    if let (Place::File(now), Place::File(old)) = (&world.place, &old) {
        let registry = world.open();
        registry.head(t(1000)).unwrap();
        registry.close();
        std::fs::copy(old, now).unwrap();
        let said = fault(Registry::open(world.settings(), t(1001)));
        assert!(said.contains("older than what was seen"), "{said}");
    }
    // A machine that has seen no more is content.
    let mut elsewhere = world.elsewhere("other");
    elsewhere.place = old;
    Registry::open(elsewhere, t(3)).unwrap();
}

fn a_forked_database_is_a_fault(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    registry.append(&[sighting("a")], t(1)).unwrap();
    registry.close();
    let fork = world.backup();
    let registry = world.open();
    registry.append(&[sighting("b")], t(2)).unwrap();
    registry.close();
    // The same key goes on writing elsewhere: at one size another root, then a larger one.
    let mut elsewhere = world.elsewhere("other");
    elsewhere.place = fork.clone();
    let registry = Registry::open(elsewhere, t(2)).unwrap();
    registry.append(&[sighting("c")], t(3)).unwrap();
    let said = fault(Registry::open(world.another(fork.clone()), t(4)));
    assert!(said.contains("another history"), "{said}");
    for n in 0..300 {
        registry.append(&[sighting(&format!("m{n}"))], t(4)).unwrap();
    }
    registry.close();
    let said = fault(Registry::open(world.another(fork), t(5)));
    assert!(said.contains("another history"), "{said}");
}

fn a_lost_mark_is_a_fault(backend: Backend) {
    let world = World::new(backend);
    world.create().append(&[sighting("a")], t(1)).unwrap();
    std::fs::remove_file(world.folder.path().join("mark/registry.mark")).unwrap();
    let said = fault(Registry::open(world.settings(), t(2)));
    assert!(said.contains("no high-water mark"), "{said}");
    let said = fault(Registry::create(world.settings(), t(2)));
    assert!(said.contains("already"), "{said}");
    std::fs::write(world.folder.path().join("mark/registry.mark"), "rubbish").unwrap();
    fault(Registry::open(world.elsewhere("mark"), t(2)));
}

fn another_key(backend: Backend) {
    let world = World::new(backend);
    drop(world.create());
    for origin in [common::ORIGIN, "registry.example/other"] {
        let (signer, key) = signer(origin);
        let mut settings = world.elsewhere("other").with_signer(signer);
        settings.key = key;
        let said = fault(Registry::open(settings, t(1)));
        assert!(said.contains("its head cannot be believed"), "{said}");
    }
    // A signer that is not the key's own.
    let mut settings = world.settings();
    settings.signer = Some(signer(common::ORIGIN).0);
    let registry = Registry::open(settings, t(1)).unwrap();
    let error = registry.append(&[sighting("a")], t(1)).unwrap_err();
    assert!(matches!(error, Fault::SignerBroken), "{error}");
    assert_eq!(registry.head(t(2)).unwrap().head.size, 0);
}

fn another_head(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    full(&registry);
    registry.close();
    for sql in [
        "DELETE FROM head",
        "UPDATE head SET size = 3",
        "UPDATE head SET frontier = X''",
        "UPDATE head SET note = REPLACE(note, 'time 20', 'time 19')",
        "UPDATE head SET note = REPLACE(note, 'state ', 'state 0')",
        "UPDATE head SET note = ''",
    ] {
        let copy = world.backup();
        common::sql_in(&copy, sql);
        fault(Registry::open(world.another(copy), t(100)));
    }
}

fn the_clock_went_back(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    registry.append(&[sighting("a")], t(1000)).unwrap();
    // Another writer's clock may be behind by a minute; the log's time stays.
    registry.append(&[sighting("b")], t(941)).unwrap();
    assert_eq!(registry.head(t(940)).unwrap().time, t(1000));
    let last = |result: Result<(), Fault>| match result {
        Err(Fault::Clock { now, last }) => (now, last),
        other => panic!("{other:?}"),
    };
    assert_eq!(last(registry.head(t(939)).map(drop)), (t(939), t(1000)));
    assert_eq!(last(registry.append(&[sighting("c")], t(10)).map(drop)), (t(10), t(1000)));
    assert_eq!(last(registry.revocations(t(0)).map(drop)), (t(0), t(1000)));
}

/// SQLite's indexes: what is looked for by one that has no rows is not found, though the tables are as they should be.
#[test]
fn an_index_that_finds_nothing() {
    let world = World::new(Backend::Sqlite);
    let registry = world.create();
    full(&registry);
    registry.close();
    let index = "CREATE INDEX decisions_by_model ON decisions (model)";
    for (sql, words) in [
        ("DROP INDEX decisions_by_model".to_owned(), "missing"),
        (
            format!("DROP INDEX IF EXISTS decisions_by_model; {index} WHERE request IS NULL"),
            "changed",
        ),
        (
            format!(
                "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = '{index}' WHERE name = 'decisions_by_model'; PRAGMA writable_schema = RESET"
            ),
            "missing from index",
        ),
    ] {
        world.sql(&sql);
        let found = audit(world.settings()).findings;
        assert!(found.iter().any(|one| one.problem.contains(words)), "{sql}: {found:#?}");
    }
}
