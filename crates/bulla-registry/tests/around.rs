//! Queues, lists, exports, imports, migrations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::io::Cursor;

use bulla::jiff::SignedDuration;
use bulla_log::LogKey;
use bulla_log::storage::LocalDirectory;
use bulla_registry::{
    Deployment, ModelRef, ModelSearch, ModelState, Page, Place, Record, Registry, ResignQueued,
    ResignState,
};
use common::{
    Backend, CLUSTER, World, decision, digest, fault, full, hours, model, over_both, sighting,
    signature, t,
};

over_both!(
    the_resign_queue,
    two_workers,
    alerts,
    searching,
    pages,
    status,
    export_and_import,
    into_the_other_database,
    a_changed_export_is_refused,
    an_import_is_not_older_than_the_mark,
    tiles,
    migrations,
    tables_of_a_newer_program,
    from_an_asynchronous_servers_blocking_pool,
);

fn queued(name: &str) -> Record {
    let reason = "the key was withdrawn".to_owned();
    Record::Resign(ResignQueued { model: model(name), key: Some(digest("k")), reason })
}

fn the_resign_queue(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let ids = registry.append(&[queued("a"), queued("b"), queued("a")], t(1)).unwrap();
    assert_eq!(ids, [Some(0), Some(1), None]);
    let take = |worker: &str, at| registry.claim_resign(worker, hours(1), t(at)).unwrap();
    let first = take("one", 10).unwrap();
    assert_eq!((first.id, first.model, first.key), (0, model("a"), Some(digest("k"))));
    assert_eq!(take("two", 11).unwrap().id, 1);
    assert!(take("three", 12).is_none());
    // A worker that died: after an hour another may.
    assert_eq!(take("three", 3_610).unwrap().id, 0);
    assert!(fault(registry.end_resign(0, "one", None, t(3_611))).contains("three has taken it"));
    // What nothing became of is anybody's again.
    assert!(fault(registry.give_back_resign(0, "one", t(3_611))).contains("three has taken it"));
    registry.give_back_resign(0, "three", t(3_611)).unwrap();
    assert_eq!(take("three", 3_611).map(|task| task.id), Some(0));
    registry.end_resign(0, "three", None, t(3_612)).unwrap();
    assert!(fault(registry.end_resign(0, "three", None, t(3_613))).contains("it is done"));
    registry.end_resign(1, "two", Some("no approvals"), t(3_614)).unwrap();
    assert!(fault(registry.end_resign(9, "two", None, t(3_615))).contains("no such task"));
    assert!(take("one", 9_000).is_none());
    let list = |state| registry.resign_queue(state, Page::first(10), t(9_000)).unwrap();
    assert_eq!(list(Some(ResignState::Done))[0].model, model("a"));
    assert_eq!(list(Some(ResignState::Refused))[0].why.as_deref(), Some("no approvals"));
    assert_eq!(list(None).len(), 2);
    // What was done may have to be done again.
    assert!(registry.append(&[queued("a")], t(9_001)).unwrap()[0].is_some());
}

fn two_workers(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let all: Vec<_> = (0..40).map(|n| queued(&n.to_string())).collect();
    registry.append(&all, t(1)).unwrap();
    let other = world.open();
    let work = |registry: &Registry, worker: &str| {
        let mut done = Vec::new();
        while let Some(task) = registry.claim_resign(worker, hours(1), t(1000)).unwrap() {
            registry.end_resign(task.id, worker, None, t(1000)).unwrap();
            done.push(task.id);
        }
        done
    };
    let (mut done, theirs) = std::thread::scope(|scope| {
        let ours = scope.spawn(|| work(&registry, "one"));
        let theirs = scope.spawn(|| work(&other, "two"));
        (ours.join().unwrap(), theirs.join().unwrap())
    });
    done.extend(theirs);
    done.sort_unstable();
    assert_eq!(done, (0..40).collect::<Vec<_>>());
}

fn alerts(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let alert = |text: &str| {
        let (destination, payload) = ("mail".to_owned(), text.to_owned());
        Record::Alert(bulla_registry::AlertQueued { destination, payload })
    };
    registry.append(&[alert("one"), alert("two"), alert("three")], t(1)).unwrap();
    let due = |at| {
        let due = registry.due_alerts(10, t(at)).unwrap();
        due.into_iter().map(|alert| (alert.payload, alert.attempts)).collect::<Vec<_>>()
    };
    let line = |text: &str, n| (text.to_owned(), n);
    assert_eq!(due(2), [line("one", 0), line("two", 0), line("three", 0)]);
    registry.alert_tried(0, Ok(()), t(3)).unwrap();
    registry.alert_tried(1, Err(("no route".into(), Some(t(60)))), t(4)).unwrap();
    registry.alert_tried(2, Err(("no such address".into(), None)), t(5)).unwrap();
    assert_eq!(due(6), []);
    assert_eq!(due(60), [line("two", 1)]);
    // Delivered twice, for the first answer was lost: that is no news.
    let size = registry.head(t(61)).unwrap().head.size;
    registry.alert_tried(0, Ok(()), t(61)).unwrap();
    assert_eq!(registry.head(t(62)).unwrap().head.size, size);
    assert!(fault(registry.alert_tried(9, Ok(()), t(63))).contains("no alert 9"));
    let status = registry.status(hours(1), None, t(64)).unwrap();
    assert_eq!((status.alerts_waiting, status.alerts_given_up), (1, 1));
}

fn searching(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    full(&registry);
    let find = |search: ModelSearch, state| {
        let found = registry.models(&search, state, Page::first(100), t(100)).unwrap();
        let mut found: Vec<_> = found.into_iter().map(|m| m.name.unwrap_or_default()).collect();
        found.sort();
        found
    };
    let all = ModelSearch::All;
    assert_eq!(find(all.clone(), None), ["", "a", "b", "child"]);
    assert_eq!(find(ModelSearch::Named("ch".into()), None), ["child"]);
    assert_eq!(find(ModelSearch::Named("%".into()), None), [""; 0]);
    assert_eq!(find(ModelSearch::Key(digest("k")), None), ["a", "b"]);
    assert_eq!(find(ModelSearch::Identity("ci@company.EXAMPLE".into()), None), ["child"]);
    let by = |digest| find(ModelSearch::Digest(digest), None);
    assert_eq!(by(ModelRef::File(digest("file of a"))), ["a"]);
    assert_eq!(by(ModelRef::File(digest("config.json"))), ["a", "b", "child"]);
    assert_eq!(by(ModelRef::Oms(model("b").oms)), ["b"]);
    assert_eq!(by(ModelRef::Manifest(model("b").manifest)), ["b"]);
    assert_eq!(find(all.clone(), Some(ModelState::Quarantined)), ["", "b"]);
    assert_eq!(find(all.clone(), Some(ModelState::Running)), ["a"]);
    assert_eq!(find(all.clone(), Some(ModelState::Resign)), ["a"]);
    assert_eq!(find(all, Some(ModelState::Revoked)), [""; 0]);

    let found = registry.model(&model("a").manifest, t(100)).unwrap().unwrap();
    assert_eq!(found.sightings[0].place, "/models/a");
    assert_eq!(found.evidence[0].role, "signer");
    assert_eq!(found.decisions[0].request, "r2");
    assert_eq!(found.releases[0].state, "running");
    assert_eq!(found.children, [model("child").manifest]);
    assert!(registry.model(&digest("none"), t(100)).unwrap().is_none());
    let keys = registry.keys(Page::first(10), t(100)).unwrap();
    assert_eq!(keys.len(), 2);
    let old = keys.iter().find(|key| key.id == "old").unwrap();
    assert_eq!((old.retired_at, old.replaced_by), (Some(t(20)), Some(digest("k"))));
}

fn pages(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let all: Vec<_> = (0..25).map(|n| sighting(&n.to_string())).collect();
    registry.append(&all, t(1)).unwrap();
    let (mut seen, mut page) = (Vec::new(), Page::first(10));
    loop {
        let found = registry.models(&ModelSearch::All, None, page, t(2)).unwrap();
        let Some(last) = found.last() else { break };
        page = Page::after(last.model.manifest, 10);
        seen.extend(found.into_iter().map(|model| model.model.manifest));
    }
    assert!(seen.len() == 25 && seen.is_sorted_by(|a, b| a < b));
}

fn status(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    full(&registry);
    let day = SignedDuration::from_hours(24);
    let found = registry.status(hours(1), Some(day), t(100)).unwrap();
    assert_eq!((found.expiring_keys.len(), found.aging_signatures.len()), (0, 0));
    assert_eq!((found.models, found.running, found.revocations), (4, 1, 1));
    assert_eq!((found.quarantined, found.resign_pending, found.alerts_waiting), (3, 1, 1));
    let found = registry.status(day * 2, Some(day), t(100)).unwrap();
    assert_eq!(found.expiring_keys[0].id, "k");
    // One that is replaced counts until its overlap ends, and no longer.
    let retired = Record::KeyRetired(bulla_registry::KeyRetired {
        fingerprint: found.expiring_keys[0].fingerprint,
        replaced_by: None,
        overlap_until: Some(t(5000)),
    });
    registry.append(&[retired], t(101)).unwrap();
    let keys = |at| registry.status(day, None, t(at)).unwrap().expiring_keys;
    assert_eq!(keys(102)[0].overlap_until, Some(t(5000)));
    assert!(keys(5000).is_empty());
    // From the time of its stamp, which is earlier than its first sight.
    assert_eq!(found.aging_signatures[0].from, t(10));
    assert_eq!(found.aging_signatures[0].until, t(10 + 86_400));
}

fn exported(registry: &Registry) -> Vec<u8> {
    let mut bytes = Vec::new();
    registry.export(&mut bytes, t(100)).unwrap();
    bytes
}

fn fresh(backend: Backend, world: &World, name: &str) -> Place {
    match backend {
        Backend::Sqlite => Place::File(world.folder.path().join(name)),
        Backend::Postgres => Place::Postgres(CLUSTER.database()),
    }
}

fn import_into(backend: Backend, other: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    full(&registry);
    let bytes = exported(&registry);
    let mut settings = world.elsewhere("other");
    settings.place = fresh(other, &world, "imported.db");
    let imported = Registry::import(settings.clone(), &mut Cursor::new(&bytes), t(100)).unwrap();
    assert_eq!(imported.head(t(100)).unwrap(), registry.head(t(100)).unwrap());
    assert_eq!(imported.audit(t(100), &mut |_| {}).unwrap().findings, []);
    assert_eq!(exported(&imported), bytes);
    let answer = imported.answer("r1", t(100)).unwrap().unwrap();
    assert_eq!(answer, registry.answer("r1", t(100)).unwrap().unwrap());
    assert_eq!(imported.revocations(t(100)).unwrap(), registry.revocations(t(100)).unwrap());
    // It goes on from there.
    imported.append(&[sighting("new")], t(101)).unwrap();
    assert_eq!(imported.audit(t(102), &mut |_| {}).unwrap().findings, []);
    let again = Registry::import(settings, &mut Cursor::new(&bytes), t(100));
    assert!(fault(again).contains("already"));
}

fn export_and_import(backend: Backend) {
    import_into(backend, backend);
}

fn into_the_other_database(backend: Backend) {
    let other = match backend {
        Backend::Sqlite => Backend::Postgres,
        Backend::Postgres => Backend::Sqlite,
    };
    import_into(backend, other);
}

fn a_changed_export_is_refused(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    full(&registry);
    let text = String::from_utf8(exported(&registry)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let without = |n: usize| {
        let kept = lines.iter().enumerate().filter(|(at, _)| *at != n).map(|(_, line)| *line);
        kept.map(|line| format!("{line}\n")).collect::<String>()
    };
    let attachment = lines.iter().position(|line| line.contains("attachment")).unwrap();
    let quarantined = lines.iter().position(|line| line.contains("odder")).unwrap();
    for (n, wrong) in [
        String::new(),
        text.replace("odder", "evener"),
        text.replace("\"v\":1}}", "\"v\": 1}}"),
        text.replace("registry.example/test\",\"v\"", "registry.example/other\",\"v\""),
        without(0),
        without(attachment),
        without(quarantined),
        without(lines.len() - 1),
        text[..text.len() - 10].to_owned(),
        format!("{text}{}\n", lines[quarantined]),
        text.replace(
            lines[quarantined],
            &format!("{}\n{}", lines[quarantined], lines[quarantined]),
        ),
        text.replace(
            lines[attachment],
            &format!("{{\"attachment\":\"e30=\"}}\n{}", lines[attachment]),
        ),
        text.replace("\\nstate ", "\\nstate 0"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_ne!(wrong, text, "{n}");
        let mut settings = world.elsewhere(&format!("mark{n}"));
        settings.place = fresh(backend, &world, &format!("{n}.db"));
        fault(Registry::import(settings.clone(), &mut Cursor::new(wrong), t(100)));
        // What was begun is not taken for a registry.
        let left = Registry::open(settings, t(100)).unwrap_err();
        assert!(matches!(left, bulla::Fault::Registry { .. }), "{n}: {left}");
    }
}

fn an_import_is_not_older_than_the_mark(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    full(&registry);
    let bytes = exported(&registry);
    registry.append(&[sighting("new")], t(101)).unwrap();
    let settings = world.another(fresh(backend, &world, "imported.db"));
    let said = fault(Registry::import(settings, &mut Cursor::new(&bytes), t(102)));
    assert!(said.contains("older than what was seen"), "{said}");
}

fn tiles(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let folder = world.folder.path().join("tiles");
    let verify = |size| {
        let directory = LocalDirectory::open(&folder).unwrap();
        let keys = [LogKey::new(world.key.clone())];
        let audited = bulla_log::audit::verify(&directory, &keys, None).unwrap();
        assert_eq!((audited.checkpoint.size, audited.entries), (size, size));
    };
    let mut size = 0;
    for more in [3, 250, 3, 260] {
        let all: Vec<_> = (size..size + more).map(|n| sighting(&n.to_string())).collect();
        registry.append(&all, t(1)).unwrap();
        size += more;
        registry.export_tiles(&folder, t(2)).unwrap();
        verify(size);
    }
}

fn migrations(backend: Backend) {
    let world = World::new(backend);
    let registry = Registry::create_at(world.settings(), t(0), 1).unwrap();
    let said = fault(registry.append(&[sighting("a")], t(1)));
    assert!(said.contains("have version 1, and this program's 2"), "{said}");
    drop(registry);
    fault(Registry::open(world.settings(), t(1)));
    assert_eq!(Registry::migrate(world.settings()).unwrap(), 1);
    assert_eq!(Registry::migrate(world.settings()).unwrap(), 2);
    let registry = world.open();
    full(&registry);
    assert_eq!(registry.audit(t(1000), &mut |_| {}).unwrap().findings, []);
}

fn tables_of_a_newer_program(backend: Backend) {
    let world = World::new(backend);
    drop(world.create());
    world.sql("UPDATE meta SET value = '99' WHERE name = 'schema'");
    assert!(fault(Registry::open(world.settings(), t(1))).contains("version 99"));
    assert!(fault(Registry::migrate(world.settings())).contains("version 99"));
}

fn from_an_asynchronous_servers_blocking_pool(backend: Backend) {
    let world = World::new(backend);
    let registry = std::sync::Arc::new(world.create());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let theirs = registry.clone();
        let asked = tokio::task::spawn_blocking(move || {
            theirs.append(&[sighting("a"), signature("a", "k", None)], t(1)).unwrap();
            theirs.record_decision(&[], &decision("r", "a", 2), t(2)).unwrap();
            let asked = Deployment {
                environment: "production",
                name: "fraud",
                signature: None,
                model: None,
                policy: "company-models",
            };
            theirs.memory(asked, t(3)).unwrap()
        });
        assert!(asked.await.unwrap().policy.is_some());
        // And the last owner may be a task.
        drop(registry);
    });
}
