//! What a gate asks, over both databases.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use bulla_registry::{
    Deployment, PolicyUsed, Quarantined, Record, Registry, RevocationRequest, RevocationsUsed,
    Revoked, Subject,
};
use common::{
    Backend, World, decision, digest, fault, lift, model, over_both, release, sighting, signature,
    t,
};

over_both!(
    memory_of_nothing,
    memory,
    a_standing_decision,
    what_was_revoked_since_is_known,
    the_same_request_again,
    versions_do_not_go_back,
    sequences_do_not_go_back,
    revocations_are_all_there,
    a_registry_without_a_signer_is_only_read,
    there_is_one_registry_in_a_place,
    hostile_texts,
    an_admission_that_somebody_was_quicker_than,
    a_release_that_somebody_was_quicker_than,
);

fn asked<'a>(model: &'a bulla::ModelDigests, signature: &'a bulla::Digest) -> Deployment<'a> {
    Deployment {
        environment: "production",
        name: "fraud",
        signature: Some(signature),
        model: Some(model),
        policy: "company-models",
    }
}

fn memory_of_nothing(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let found = registry.memory(asked(&model("m"), &digest("s")), t(1)).unwrap();
    assert_eq!(found, bulla_registry::Memory::default());
    assert!(registry.standing(&model("m").manifest, "production", t(1)).unwrap().is_none());
    assert!(registry.revocations(t(1)).unwrap().is_empty());
    assert_eq!(registry.head(t(1)).unwrap().head.size, 0);
}

fn memory(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let seen = [sighting("m"), signature("m", "k", Some(5))];
    registry.append(&seen, t(10)).unwrap();
    // Once is enough.
    assert_eq!(registry.append(&seen, t(11)).unwrap(), [None, None]);
    registry.record_decision(&[], &decision("r1", "m", 20), t(20)).unwrap();
    registry.append(&[release("m", 4, "r1")], t(21)).unwrap();
    let used =
        RevocationsUsed { policy: "company-models".into(), version: 41, digest: digest("d") };
    registry.append(&[Record::Revocations(used)], t(22)).unwrap();
    let put = Quarantined { model: model("m").manifest, reason: "odd".into(), by: "eva".into() };
    registry.quarantine(put, t(23)).unwrap();

    // As another process finds it.
    registry.close();
    let registry = world.open();
    let first = digest("signature of m by k");
    let found = registry.memory(asked(&model("m"), &first), t(30)).unwrap();
    assert_eq!(found.first_seen, Some(t(10)));
    assert_eq!(found.sequence, Some(4));
    assert_eq!(found.last_decision, Some(t(20)));
    assert_eq!(found.policy, Some((7, digest("policy 7"))));
    assert_eq!(found.revocation_document, Some((41, digest("d"))));
    assert_eq!(found.quarantined.unwrap().causes[0].reason, "odd");
    let running = found.running.unwrap();
    assert_eq!((running.model, running.rolled_back), (model("m"), false));

    lift(&registry, "m", 31).unwrap();
    assert_eq!(registry.quarantined(&model("m").manifest, t(32)).unwrap(), None);
    assert!(fault(lift(&registry, "m", 33)).contains("not in quarantine"));
}

fn a_standing_decision(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let manifest = model("m").manifest;
    registry.record_decision(&[sighting("m")], &decision("r1", "m", 20), t(20)).unwrap();
    let standing = registry.standing(&manifest, "production", t(30)).unwrap().unwrap();
    assert_eq!(standing.decided.request, "r1");
    assert!(standing.decided.admitted && !standing.expired && standing.quarantined.is_none());
    assert!(registry.standing(&manifest, "staging", t(30)).unwrap().is_none());
    assert!(registry.standing(&model("n").manifest, "production", t(30)).unwrap().is_none());
    let later = registry.standing(&manifest, "production", t(40 * 86_400)).unwrap().unwrap();
    assert!(later.expired);

    let withdrawn = |request: &str| {
        Record::WithdrawDecisions(bulla_registry::DecisionsWithdrawn {
            requests: vec![request.into()],
            reason: "mistake".into(),
            by: "eva".into(),
        })
    };
    registry.record_decision(&[], &decision("r2", "m", 40), t(40)).unwrap();
    // One that is not the last changes nothing here.
    registry.append(&[withdrawn("r1")], t(41)).unwrap();
    let standing = registry.standing(&manifest, "production", t(50)).unwrap().unwrap();
    assert_eq!(standing.decided.request, "r2");
    registry.append(&[withdrawn("r2")], t(51)).unwrap();
    assert!(registry.standing(&manifest, "production", t(52)).unwrap().is_none());
    assert_eq!(registry.answer("r2", t(53)).unwrap().unwrap().withdrawn, Some(t(51)));
}

/// The search that withdraws admissions goes over tables that anybody who writes there can thin out; that something was revoked since is proven.
fn what_was_revoked_since_is_known(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let seen = [sighting("m"), signature("m", "k", None)];
    registry.record_decision(&seen, &decision("r", "m", 20), t(20)).unwrap();
    let since = |registry: &Registry| {
        let standing = registry.standing(&model("m").manifest, "production", t(40)).unwrap();
        standing.map(|standing| standing.revoked_since)
    };
    assert_eq!(since(&registry), Some(0));
    registry.close();
    world.sql("DELETE FROM rests_on");
    let registry = world.open();
    let revoked = Revoked {
        subject: Subject::key(digest("k")),
        since: None,
        descendants: false,
        reason: "stolen".into(),
        by: "eva".into(),
    };
    registry.revoke(&RevocationRequest::new(revoked), t(30)).unwrap();
    assert_eq!(since(&registry), Some(1));
}

fn the_same_request_again(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let first = registry.record_decision(&[], &decision("r", "m", 20), t(20)).unwrap();
    assert!(!first.repeated);
    let size = registry.head(t(21)).unwrap().head.size;
    // Even if it would be decided otherwise by now.
    let mut other = decision("r", "m", 30);
    (other.admitted, other.json, other.policy.version) = (false, b"{}".to_vec(), 6);
    let again = registry.record_decision(&[sighting("n")], &other, t(30)).unwrap();
    assert!(again.repeated);
    assert_eq!((&again.decided, &again.json), (&first.decided, &first.json));
    assert_eq!(again.verdict.as_deref(), Some(&b"verdict about m"[..]));
    assert_eq!(registry.answer("r", t(31)).unwrap().unwrap(), again);
    assert!(registry.answer("other", t(31)).unwrap().is_none());
    assert_eq!(registry.head(t(31)).unwrap().head.size, size);
    let said = fault(registry.record_decision(&[], &decision("r", "n", 40), t(40)));
    assert!(said.contains("the request r was about"), "{said}");
}

fn versions_do_not_go_back(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let policy = |version, text: &str| {
        [Record::Policy(PolicyUsed { name: "p".into(), version, digest: digest(text) })]
    };
    assert_eq!(registry.append(&policy(7, "7"), t(1)).unwrap(), [Some(0)]);
    assert_eq!(registry.append(&policy(7, "7"), t(2)).unwrap(), [None]);
    assert!(fault(registry.append(&policy(6, "6"), t(3))).contains("version 7 was used"));
    assert!(fault(registry.append(&policy(7, "8"), t(3))).contains("and was"));
    registry.append(&policy(8, "8"), t(4)).unwrap();
    registry.record_decision(&[], &decision("r1", "m", 5), t(5)).unwrap();
    let mut older = decision("r2", "m", 6);
    older.policy.version = 6;
    assert!(fault(registry.record_decision(&[], &older, t(6))).contains("version 7 was used"));
    let mut with_list = decision("r3", "m", 7);
    with_list.revocations = Some((3, digest("3")));
    registry.record_decision(&[], &with_list, t(7)).unwrap();
    (with_list.request, with_list.revocations) = ("r4".into(), Some((2, digest("2"))));
    assert!(fault(registry.record_decision(&[], &with_list, t(8))).contains("version 3 was used"));
}

fn sequences_do_not_go_back(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    registry.append(&[release("a", 3, "r1")], t(1)).unwrap();
    assert_eq!(registry.append(&[release("a", 3, "r1")], t(2)).unwrap(), [None]);
    assert!(fault(registry.append(&[release("b", 2, "r2")], t(3))).contains("sequence 2"));
    registry.append(&[release("b", 5, "r2")], t(4)).unwrap();
    let found = registry.memory(asked(&model("b"), &digest("s")), t(5)).unwrap();
    assert_eq!((found.sequence, found.running.unwrap().model), (Some(5), model("b")));
}

fn revocations_are_all_there(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let revoke = |subject: Subject, since| {
        let revoked = Revoked {
            subject,
            since,
            descendants: false,
            reason: "stolen".into(),
            by: "eva".into(),
        };
        RevocationRequest::new(revoked)
    };
    let key = Subject::key(digest("k"));
    registry.revoke(&revoke(key.clone(), Some(t(100))), t(1)).unwrap();
    registry.revoke(&revoke(key.clone(), Some(t(50))), t(2)).unwrap();
    registry.revoke(&revoke(key.clone(), Some(t(70))), t(3)).unwrap();
    let identity = Subject::Identity {
        identity: "Bot@Company.example".into(),
        provider: Some("https://oidc.example".into()),
        until: Some(t(90)),
    };
    registry.revoke(&revoke(identity.clone(), Some(t(80))), t(4)).unwrap();
    let list = registry.revocations(t(5)).unwrap();
    assert_eq!(list.len(), 4);
    assert_eq!(list[3].revoked.subject, identity);
    // Of several for one thing the earliest counts.
    let found = registry.revocation(&key, t(5)).unwrap().unwrap();
    assert_eq!(found.since, Some(t(50)));
    assert!(registry.revocation(&Subject::key(digest("l")), t(5)).unwrap().is_none());
    let backwards = revoke(identity, Some(t(95)));
    assert!(fault(registry.revoke(&backwards, t(6))).contains("which is not later"));
}

fn a_registry_without_a_signer_is_only_read(backend: Backend) {
    let world = World::new(backend);
    world.create().append(&[sighting("m")], t(1)).unwrap();
    let mut settings = world.settings();
    settings.signer = None;
    let registry = Registry::open(settings, t(2)).unwrap();
    assert_eq!(registry.head(t(3)).unwrap().head.size, 1);
    assert!(fault(registry.append(&[sighting("n")], t(3))).contains("can only be read"));
}

fn there_is_one_registry_in_a_place(backend: Backend) {
    let world = World::new(backend);
    let missing = Registry::open(world.settings(), t(0)).unwrap_err();
    assert!(missing.to_string().contains("there is no"), "{missing}");
    drop(world.create());
    assert!(fault(Registry::create(world.elsewhere("other"), t(1))).contains("already"));
    assert!(fault(Registry::create(world.settings(), t(1))).contains("high-water mark"));
}

fn hostile_texts(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let names = ["", "a\nb", "a\0b", &"x".repeat(257), "\u{1b}[31m"];
    for name in names {
        let mut decided = decision("r", "m", 1);
        decided.name = name.to_owned();
        fault(registry.record_decision(&[], &decided, t(1)));
        decided = decision(name, "m", 1);
        fault(registry.record_decision(&[], &decided, t(1)));
    }
    // These are names, though odd ones, and not the same.
    for (n, name) in
        ["a\",\"b", "a'; DROP TABLE head; --", "名", "a\\", "%"].into_iter().enumerate()
    {
        let mut decided = decision(&format!("r{n}"), "m", 1);
        decided.name = name.to_owned();
        registry.record_decision(&[], &decided, t(1)).unwrap();
        let (model, signature) = (model("m"), digest("s"));
        let asked = Deployment { name, ..asked(&model, &signature) };
        assert_eq!(registry.memory(asked, t(2)).unwrap().last_decision, Some(t(1)));
    }
    let mut large = decision("large", "m", 1);
    large.json = vec![b'x'; (16 << 20) + 1];
    assert!(fault(registry.record_decision(&[], &large, t(2))).contains("bytes"));
    let mut much = decision("much", "m", 1);
    much.evidence = vec![digest("e"); 513];
    assert!(fault(registry.record_decision(&[], &much, t(2))).contains("513"));
}

/// A gate has decided, and before it writes that down a key is withdrawn, or the model is put into quarantine.
fn an_admission_that_somebody_was_quicker_than(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let withdrawn = registry.revocations(t(1)).unwrap().len() as u64;
    let decide = |request: &str, at: i64| {
        let mut new = decision(request, "m", at);
        new.withdrawn = Some(withdrawn);
        registry.record_decision(&[], &new, t(at))
    };
    decide("first", 2).unwrap();
    let put = Quarantined { model: model("m").manifest, reason: "odd".into(), by: "eva".into() };
    registry.quarantine(put, t(3)).unwrap();
    assert!(decide("second", 4).unwrap_err().to_string().contains("while it was decided"));
    lift(&registry, "m", 5).unwrap();
    decide("third", 6).unwrap();
    let revoked = Revoked {
        subject: Subject::key(digest("stolen")),
        since: None,
        descendants: false,
        reason: "stolen".into(),
        by: "eva".into(),
    };
    registry.revoke(&RevocationRequest::new(revoked), t(7)).unwrap();
    assert!(decide("fourth", 8).unwrap_err().to_string().contains("while it was decided"));
    // A "no" may be written down all the same, and what was answered stays answered.
    let mut no = decision("fifth", "m", 9);
    (no.withdrawn, no.admitted) = (Some(withdrawn), false);
    registry.record_decision(&[], &no, t(9)).unwrap();
    assert!(decide("first", 10).unwrap().repeated);
}

fn a_release_that_somebody_was_quicker_than(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    registry.record_decision(&[], &decision("r", "m", 1), t(1)).unwrap();
    let put = Quarantined { model: model("m").manifest, reason: "odd".into(), by: "eva".into() };
    registry.quarantine(put, t(2)).unwrap();
    let run = |at: i64| registry.append(&[release("m", 1, "r")], t(at));
    assert!(run(3).unwrap_err().to_string().contains("in quarantine"));
    lift(&registry, "m", 4).unwrap();
    let mut no = decision("s", "m", 5);
    no.admitted = false;
    registry.record_decision(&[], &no, t(5)).unwrap();
    assert!(run(6).unwrap_err().to_string().contains("refused since"));
    registry.record_decision(&[], &decision("t", "m", 7), t(7)).unwrap();
    run(8).unwrap();
}
