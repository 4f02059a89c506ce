//! What rests on something, and withdrawing it with all that follows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use bulla::Digest;
use bulla::jiff::Timestamp;
use bulla_registry::{
    Basis, BlastRadius, ClaimSeen, Deployment, Effect, ModelRef, Page, Plan, Quarantined, Record,
    Registry, ResignState, RevocationRequest, Revoked, SignatureSeen, Subject, Vouched,
};
use common::{
    Backend, World, basis, decision, digest, fault, model, over_both, release, sighting, signature,
    t,
};

over_both!(
    a_key_and_what_was_signed_before,
    a_dry_run_writes_nothing,
    everything_at_once,
    a_certificate_an_identity_a_file,
    a_clock,
    descendants,
    a_decision_rests_on_what_it_names,
    the_last_good_release,
    rolling_back_by_hand,
);

fn revoked(subject: Subject, since: Option<Timestamp>) -> Revoked {
    Revoked { subject, since, descendants: false, reason: "stolen".into(), by: "eva".into() }
}

/// Models with the effect on each of what rests on it, by name.
fn effects(found: &BlastRadius) -> Vec<(String, bool, Vec<Effect>)> {
    let name = |name: &Option<String>| name.clone().unwrap_or_default();
    let mut list: Vec<_> = found
        .models
        .iter()
        .map(|m| (name(&m.name), m.falls, m.rests.iter().map(|rest| rest.effect).collect()))
        .collect();
    list.sort_by(|a, b| a.0.cmp(&b.0));
    list
}

fn signed_by(name: &str, basis: Basis) -> Record {
    Record::Signature(SignatureSeen {
        signature: digest(&format!("signature of {name}")),
        model: model(name),
        authorities: Vec::new(),
        basis,
    })
}

fn a_key_and_what_was_signed_before(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let seen = [
        sighting("before"),
        sighting("after"),
        sighting("untimed"),
        sighting("other"),
        signature("before", "k", Some(100)),
        signature("after", "k", Some(200)),
        signature("untimed", "k", None),
        signature("other", "l", None),
    ];
    registry.append(&seen, t(300)).unwrap();
    let key = Subject::key(digest("k"));
    let at = |since| effects(&registry.blast_radius(&key, since, false, t(301)).unwrap());
    use Effect::{Falls, Stays};
    let one = |name: &str, falls, effect| (name.to_owned(), falls, vec![effect]);
    let expected =
        [one("after", true, Falls), one("before", false, Stays), one("untimed", true, Falls)];
    assert_eq!(at(Some(t(150))), expected);
    // At that very time is not before.
    assert!(at(Some(t(200)))[0].1);
    assert!(!at(Some(t(201)))[0].1);
    assert!(at(None).iter().all(|(_, falls, _)| *falls));
    // What is not withdrawn yet: what is not timed is from now, at the latest.
    assert_eq!(at(Some(t(400))).iter().filter(|(_, falls, _)| *falls).count(), 0);
    assert!(
        registry
            .blast_radius(&Subject::key(digest("x")), None, true, t(301))
            .unwrap()
            .models
            .is_empty()
    );
}

/// A model that runs, signed by a key at a time.
fn deploy(registry: &Registry, name: &str, sequence: u64, trusted: Option<i64>, at: i64) {
    let request = format!("request {name}");
    let seen = [sighting(name), signature(name, "k", trusted)];
    registry.record_decision(&seen, &decision(&request, name, at), t(at)).unwrap();
    registry.append(&[release(name, sequence, &request)], t(at)).unwrap();
}

fn request() -> RevocationRequest {
    let mut request = RevocationRequest::new(revoked(Subject::key(digest("k")), Some(t(150))));
    request.alerts = vec!["mail".into(), "pager".into()];
    request
}

fn a_dry_run_writes_nothing(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    deploy(&registry, "one", 1, Some(100), 101);
    deploy(&registry, "two", 2, Some(200), 201);
    let size = registry.head(t(300)).unwrap().head.size;
    let plan = registry.plan(&request(), t(300)).unwrap();
    assert_eq!(registry.head(t(300)).unwrap().head.size, size);
    assert_eq!(registry.revoke(&request(), t(300)).unwrap(), plan);
}

fn everything_at_once(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    deploy(&registry, "one", 1, Some(100), 101);
    deploy(&registry, "two", 2, Some(200), 201);
    let plan: Plan = registry.revoke(&request(), t(300)).unwrap();
    assert_eq!(plan.quarantine, [model("two").manifest]);
    assert_eq!(plan.withdraw, ["request two"]);
    assert_eq!(plan.resign.len(), 1);
    assert_eq!((plan.resign[0].model, plan.resign[0].key), (model("one"), Some(digest("k"))));
    assert_eq!(plan.roll_back.len(), 1);
    assert!(plan.blast_radius.complete);

    let asked = Deployment {
        environment: "production",
        name: "fraud",
        signature: None,
        model: Some(&model("two")),
        policy: "p",
    };
    let memory = registry.memory(asked, t(301)).unwrap();
    assert!(memory.quarantined.unwrap().causes[0].reason.ends_with("was withdrawn: stolen"));
    let running = memory.running.unwrap();
    assert_eq!(
        (running.model, running.sequence, running.rolled_back),
        (model("one"), Some(1), true)
    );
    // What ran stays known: nothing older comes back in another way.
    assert_eq!(memory.sequence, Some(2));
    assert!(registry.standing(&model("two").manifest, "production", t(301)).unwrap().is_none());
    assert!(registry.standing(&model("one").manifest, "production", t(301)).unwrap().is_some());
    assert_eq!(registry.revocations(t(301)).unwrap().len(), 1);
    let queue = registry.resign_queue(Some(ResignState::Pending), Page::first(10), t(301)).unwrap();
    assert_eq!(queue.len(), 1);
    let alerts = registry.due_alerts(10, t(301)).unwrap();
    assert_eq!(alerts.len(), 2);
    let told: serde_json::Value = serde_json::from_str(&alerts[0].payload).unwrap();
    assert_eq!(told["models_that_fall"], 1);
    assert_eq!(told["deployments"][0]["environment"], "production");
    assert_eq!(registry.audit(t(301), &mut |_| {}).unwrap().findings, []);

    // Again: nothing is left to do but to say so.
    let again = registry.revoke(&request(), t(302)).unwrap();
    assert_eq!((again.quarantine.len(), again.withdraw.len(), again.roll_back.len()), (0, 0, 0));
    let queue = registry.resign_queue(None, Page::first(10), t(303)).unwrap();
    assert_eq!(queue.len(), 1);
    // A release that was rolled back is no good one.
    let releases = registry.releases("production", "fraud", Page::first(10), t(303)).unwrap();
    let states: Vec<_> = releases.iter().map(|release| release.state.as_str()).collect();
    assert_eq!(states, ["rolled-back", "running"]);
}

fn a_certificate_an_identity_a_file(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let certified = |identity: &str, provider: &str, not_before| Basis {
        certificates: vec![digest("leaf"), digest("ca")],
        identities: vec![identity.to_owned()],
        provider: Some(provider.to_owned()),
        not_before: Some(t(not_before)),
        ..basis("ephemeral", Some(not_before + 1))
    };
    let seen = [
        sighting("a"),
        sighting("b"),
        signed_by("a", certified("Bot@Company.example", "https://one.example", 100)),
        signed_by("b", certified("bot@company.example", "https://two.example", 200)),
    ];
    registry.append(&seen, t(300)).unwrap();
    let find = |subject: Subject, since| {
        let found = registry.blast_radius(&subject, since, false, t(301)).unwrap();
        effects(&found).into_iter().map(|(name, falls, _)| (name, falls)).collect::<Vec<_>>()
    };
    let both = |a, b| vec![("a".to_owned(), a), ("b".to_owned(), b)];
    let ca = Subject::Certificate { fingerprint: digest("ca") };
    assert_eq!(find(ca, Some(t(150))), both(false, true));
    let identity = |provider: Option<&str>, until: Option<i64>| Subject::Identity {
        identity: "BOT@company.example".into(),
        provider: provider.map(str::to_owned),
        until: until.map(t),
    };
    assert_eq!(find(identity(None, None), None), both(true, true));
    assert_eq!(find(identity(Some("https://two.example"), None), None), [("b".to_owned(), true)]);
    // It was its owner's again when the certificate of the second began.
    assert_eq!(find(identity(None, Some(200)), Some(t(50))), [("a".to_owned(), true)]);
    assert_eq!(find(identity(None, Some(201)), Some(t(150))), both(false, true));
    // Whoever signed it, and whenever.
    let file = Subject::model(ModelRef::File(digest("config.json")));
    assert_eq!(find(file, Some(t(1000))), both(true, true));
    let file = Subject::model(ModelRef::File(digest("file of a")));
    assert_eq!(find(file, None), [("a".to_owned(), true)]);
    assert_eq!(find(Subject::model(ModelRef::Oms(model("b").oms)), None), [("b".to_owned(), true)]);
}

fn a_clock(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let time =
        |at, clock: &str| Vouched { at: t(at), clocks: vec![digest(clock), digest("tsa ca")] };
    let two = Basis {
        times: vec![time(100, "tsa"), Vouched { at: t(120), clocks: vec![digest("log")] }],
        ..basis("k", None)
    };
    let certified = Basis { certificates: vec![digest("leaf")], ..basis("e", Some(100)) };
    let seen = [
        sighting("one clock"),
        sighting("two clocks"),
        sighting("certified"),
        signature("one clock", "k", Some(100)),
        signed_by("two clocks", two),
        signed_by("certified", certified),
    ];
    registry.append(&seen, t(300)).unwrap();
    let tsa = Subject::key(digest("tsa"));
    let found = registry.blast_radius(&tsa, Some(t(500)), false, t(301)).unwrap();
    use Effect::{Falls, LosesItsTime, Stays};
    let expected = |one: Effect, two: Effect| {
        let line = |name: &str, effect| (name.to_owned(), effect == Falls, vec![effect]);
        [line("certified", Falls), line("one clock", one), line("two clocks", two)]
    };
    // Since whenever: with a stolen clock every time can be written.
    assert_eq!(effects(&found), expected(LosesItsTime, Stays));
    // Once their key was withdrawn, too, the time was all that they had.
    let key = RevocationRequest::new(revoked(Subject::key(digest("k")), Some(t(150))));
    let plan = registry.revoke(&key, t(302)).unwrap();
    assert_eq!((plan.quarantine.len(), plan.resign.len()), (0, 2));
    let found = registry.blast_radius(&tsa, None, false, t(303)).unwrap();
    assert_eq!(effects(&found), expected(Falls, Stays));
    // And the other way round.
    registry.revoke(&RevocationRequest::new(revoked(tsa, None)), t(304)).unwrap();
    let found = registry.blast_radius(&key.revoked.subject, Some(t(150)), false, t(305)).unwrap();
    let falls: Vec<_> = effects(&found).into_iter().map(|(name, falls, _)| (name, falls)).collect();
    assert_eq!(falls, [("one clock".to_owned(), true), ("two clocks".to_owned(), false)]);
    assert_eq!(found.models.iter().find_map(|m| m.rests[0].trusted), Some(t(120)));
}

fn made_from(child: &str, parents: &[ModelRef]) -> Record {
    Record::Claim(ClaimSeen {
        claim: digest(&format!("provenance of {child}")),
        model: model(child),
        predicate_type: "https://slsa.dev/provenance/v1".into(),
        role: "provenance".into(),
        basis: basis("ci", None),
        parents: parents.to_vec(),
    })
}

fn descendants(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let manifest = |name: &str| ModelRef::Manifest(model(name).manifest);
    let seen = [
        sighting("base"),
        made_from("a", &[manifest("base")]),
        made_from("b", &[ModelRef::Oms(model("a").oms)]),
        // A circle does no harm.
        made_from("base", &[manifest("b")]),
        made_from("c", &[ModelRef::File(digest("file of base"))]),
        made_from("other", &[ModelRef::File(digest("nothing"))]),
        signature("base", "k", None),
    ];
    registry.append(&seen, t(1)).unwrap();
    let found = |subject: Subject, descendants| {
        let found = registry.blast_radius(&subject, None, descendants, t(2)).unwrap();
        assert!(found.models.iter().all(|model| model.falls));
        let mut list: Vec<Digest> = found.models.iter().map(|m| m.model.manifest).collect();
        list.sort_unstable();
        list
    };
    let all = |names: &[&str]| {
        let mut list: Vec<Digest> = names.iter().map(|name| model(name).manifest).collect();
        list.sort_unstable();
        list
    };
    let base = Subject::model(manifest("base"));
    assert_eq!(found(base.clone(), false), all(&["base"]));
    assert_eq!(found(base, true), all(&["base", "a", "b", "c"]));
    assert_eq!(found(Subject::key(digest("k")), true), all(&["base", "a", "b", "c"]));
    // What nobody has seen may have children all the same.
    assert_eq!(found(Subject::model(ModelRef::File(digest("nothing"))), true), all(&["other"]));
    let details = registry.model(&model("base").manifest, t(3)).unwrap().unwrap();
    assert_eq!(details.parents, [manifest("b")]);
    assert_eq!(details.children.len(), 2);
}

fn a_decision_rests_on_what_it_names(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let seen = [sighting("m"), signature("m", "k", None), signature("m", "l", None)];
    registry.append(&seen, t(1)).unwrap();
    let decide = |request: &str, evidence: &[&str]| {
        let mut decided = decision(request, "m", 2);
        decided.evidence = evidence.iter().map(|what| digest(what)).collect();
        registry.record_decision(&[], &decided, t(2)).unwrap();
    };
    decide("by k", &["signature of m by k"]);
    decide("by l", &["signature of m by l"]);
    decide("by both", &["signature of m by l", "signature of m by k"]);
    decide("who knows", &[]);
    let found = registry.blast_radius(&Subject::key(digest("k")), None, false, t(3)).unwrap();
    let falls = |found: &BlastRadius| {
        let falling = found.decisions.iter().filter(|decision| decision.falls);
        falling.map(|decision| decision.request.clone()).collect::<Vec<_>>()
    };
    assert_eq!(found.decisions.len(), 4);
    assert_eq!(falls(&found), ["by k", "by both", "who knows"]);
    let whole = Subject::model(ModelRef::Manifest(model("m").manifest));
    let found = registry.blast_radius(&whole, None, false, t(3)).unwrap();
    assert_eq!(falls(&found).len(), 4);
    // What has expired is nobody's any more.
    let found = registry.blast_radius(&whole, None, false, t(90 * 86_400)).unwrap();
    assert!(found.decisions.is_empty());
}

fn the_last_good_release(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    // Earlier revocations count, even if they put nothing into quarantine, and whatever was admitted since.
    for subject in
        [Subject::model(ModelRef::File(digest("file of poisoned"))), Subject::key(digest("x"))]
    {
        let mut quiet = RevocationRequest::new(revoked(subject, None));
        (quiet.quarantine, quiet.roll_back) = (false, false);
        registry.revoke(&quiet, t(1)).unwrap();
    }
    for (n, name) in (1..).zip(["good", "quarantined", "withdrawn", "poisoned", "by x", "bad"]) {
        let key = if name == "by x" { "x" } else { "k" };
        let request = format!("request {name}");
        let seen = [sighting(name), signature(name, key, Some(10))];
        registry.record_decision(&seen, &decision(&request, name, n), t(n)).unwrap();
        registry.append(&[release(name, n.unsigned_abs(), &request)], t(n)).unwrap();
    }
    let put = Quarantined {
        model: model("quarantined").manifest,
        reason: "odd".into(),
        by: "eva".into(),
    };
    let withdrawn = Record::WithdrawDecisions(bulla_registry::DecisionsWithdrawn {
        requests: vec!["request withdrawn".into()],
        reason: "mistake".into(),
        by: "eva".into(),
    });
    registry.append(&[Record::Quarantine(put), withdrawn], t(20)).unwrap();
    let bad = Subject::model(ModelRef::Manifest(model("bad").manifest));
    let found = registry.blast_radius(&bad, None, false, t(22)).unwrap();
    let release = &found.releases[0];
    assert_eq!(release.last_good.as_ref().unwrap().model, model("good"));
    assert_eq!(release.last_good.as_ref().unwrap().sequence, Some(1));
    // And if that one falls with it, there is none: what falls does not run on.
    let key = RevocationRequest::new(revoked(Subject::key(digest("k")), None));
    let plan = registry.revoke(&key, t(23)).unwrap();
    assert_eq!(plan.roll_back[0].to, None);
    let asked = Deployment {
        environment: "production",
        name: "fraud",
        signature: None,
        model: None,
        policy: "p",
    };
    let memory = registry.memory(asked, t(24)).unwrap();
    assert_eq!((memory.running, memory.sequence), (None, Some(6)));
}

fn rolling_back_by_hand(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let nothing = registry.roll_back("production", "fraud", None, "slow", t(1));
    assert!(fault(nothing).contains("nothing runs"));
    deploy(&registry, "one", 1, None, 10);
    deploy(&registry, "two", 2, None, 20);
    let running = |at| {
        let (model, signature) = (model("a"), digest("s"));
        let asked = Deployment {
            environment: "production",
            name: "fraud",
            signature: Some(&signature),
            model: Some(&model),
            policy: "company-models",
        };
        registry.memory(asked, t(at)).unwrap().running.unwrap().entry
    };
    // Somebody was quicker: what runs by now is not what was looked at.
    let other = registry.roll_back("production", "fraud", Some(running(30) + 1), "slow", t(30));
    assert!(other.unwrap_err().to_string().contains("another release"));
    let from = Some(running(30));
    let done = registry.roll_back("production", "fraud", from, "slow", t(30)).unwrap();
    assert!(done.to.is_some());
    let running = |registry: &Registry| {
        let asked = Deployment {
            environment: "production",
            name: "fraud",
            signature: None,
            model: None,
            policy: "p",
        };
        registry.memory(asked, t(40)).unwrap().running.map(|running| running.model)
    };
    assert_eq!(running(&registry), Some(model("one")));
    let done = registry.roll_back("production", "fraud", None, "slow, too", t(31)).unwrap();
    assert_eq!((done.to, running(&registry)), (None, None));
    assert_eq!(registry.audit(t(50), &mut |_| {}).unwrap().findings, []);
}
