//! Attacks on what a registry remembers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use bulla_registry::{
    ClaimSeen, Quarantined, Record, Registry, RevocationRequest, Revoked, Subject,
};
use common::{
    Backend, World, basis, decision, digest, lift, lift_entry, model, over_both, release, sighting,
    signature, t,
};

over_both!(
    an_admission_decided_before_a_revocation_and_written_after_it,
    a_release_written_after_a_revocation,
    a_release_written_in_quarantine,
    a_second_cause_of_a_quarantine_is_forgotten,
    a_quarantine_put_while_another_is_lifted,
    written_by_what_was_withdrawn_meanwhile,
    a_release_whose_admission_was_withdrawn_before,
    a_release_whose_admission_has_expired_runs_on,
    a_release_stays_for_the_admission_of_another_name,
    a_release_by_an_expired_admission_is_rolled_back_to,
    files_that_are_known_later_are_not_found,
    a_withdrawal_that_was_rubbed_out_of_the_table,
    a_row_that_is_there_before_its_signature,
    a_release_admitted_before_something_was_withdrawn,
    a_clock_of_two_whose_other_time_is_too_late,
    two_thefts_in_the_same_words,
    a_release_that_was_exchanged_in_the_table,
    a_request_about_what_is_no_model_any_more,
);

fn revoke(registry: &Registry, key: &str, since: Option<i64>, at: i64) -> bulla_registry::Plan {
    let revoked = Revoked {
        subject: Subject::key(digest(key)),
        since: since.map(t),
        descendants: false,
        reason: "stolen".into(),
        by: "eva".into(),
    };
    registry.revoke(&RevocationRequest::new(revoked), t(at)).unwrap()
}

fn approval(name: &str, key: &str) -> Record {
    Record::Claim(ClaimSeen {
        claim: digest(&format!("approval of {name} by {key}")),
        model: model(name),
        predicate_type: "https://company.example/approval/v1".into(),
        role: "approval".into(),
        basis: basis(key, None),
        parents: Vec::new(),
    })
}

/// Whether something stands for a model that would let it run.
fn stands(registry: &Registry, name: &str, at: i64) -> bool {
    let standing = registry.standing(&model(name).manifest, "production", t(at)).unwrap();
    standing.is_some_and(|s| s.decided.admitted && !s.expired && s.quarantined.is_none())
}

/// 'admit' looks at 100, the key is withdrawn at 110, and 'admit' writes at 120 what it had decided.
fn an_admission_decided_before_a_revocation_and_written_after_it(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    revoke(&registry, "k", None, 110);
    let seen = [sighting("a"), signature("a", "k", None)];
    let mut late = decision("r", "a", 100);
    late.withdrawn = Some(0);
    let late = registry.record_decision(&seen, &late, t(120));
    assert!(late.is_err(), "it was written: {late:?}");
    assert!(!stands(&registry, "a", 130));
}

/// 'registry release' looks, the key is withdrawn, and it writes.
fn a_release_written_after_a_revocation(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let seen = [sighting("a"), signature("a", "k", None), approval("a", "ben")];
    registry.record_decision(&seen, &decision("r", "a", 100), t(100)).unwrap();
    let plan = revoke(&registry, "ben", None, 110);
    assert_eq!((plan.withdraw.len(), plan.quarantine.len()), (1, 0));
    assert!(registry.append(&[release("a", 1, "r")], t(120)).is_err(), "it runs");
}

fn a_release_written_in_quarantine(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let seen = [sighting("a"), signature("a", "k", None)];
    registry.record_decision(&seen, &decision("r", "a", 100), t(100)).unwrap();
    let put = Quarantined { model: model("a").manifest, reason: "odd".into(), by: "eva".into() };
    registry.quarantine(put, t(110)).unwrap();
    assert!(registry.append(&[release("a", 1, "r")], t(120)).is_err(), "it runs");
}

/// In quarantine for something small when its signer's key turns out to be stolen: people who approved it before they could know that have not
/// looked at it since, and who lifts the small thing does not lift the other.
fn a_second_cause_of_a_quarantine_is_forgotten(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    registry.append(&[sighting("a"), signature("a", "k", None)], t(100)).unwrap();
    let put = Quarantined { model: model("a").manifest, reason: "odd".into(), by: "eva".into() };
    registry.quarantine(put, t(110)).unwrap();
    revoke(&registry, "k", None, 200);
    let known = registry.quarantined(&model("a").manifest, t(210)).unwrap().unwrap();
    assert_eq!(known.since(), t(200), "approvals from 110 on would count");
    let reasons: Vec<_> = known.causes.iter().map(|cause| cause.reason.as_str()).collect();
    assert!(reasons[0].ends_with("was withdrawn: stolen") && reasons[1] == "odd", "{reasons:?}");
    // The same again is no news, whether it was the last or not.
    assert!(revoke(&registry, "k", None, 220).quarantine.is_empty());
    let put = Quarantined { model: model("a").manifest, reason: "odd".into(), by: "eva".into() };
    assert_eq!(registry.append(&[Record::Quarantine(put)], t(221)).unwrap(), [None]);
    lift(&registry, "a", 230).unwrap();
}

/// It is put there while somebody looks at what it was there for before: that is not lifted by who has not seen it.
fn a_quarantine_put_while_another_is_lifted(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    registry.append(&[sighting("a"), signature("a", "k", None)], t(100)).unwrap();
    let put = Quarantined { model: model("a").manifest, reason: "odd".into(), by: "eva".into() };
    registry.quarantine(put, t(110)).unwrap();
    let seen = registry.quarantined(&model("a").manifest, t(120)).unwrap().unwrap();
    revoke(&registry, "k", None, 130);
    let why = lift_entry(&registry, "a", seen.entry, 140).unwrap_err().to_string();
    assert!(why.contains("again") && why.contains("stolen"), "{why}");
    assert!(
        registry.quarantined(&model("a").manifest, t(150)).unwrap().is_some(),
        "it was let out"
    );
}

/// What was looked at before something was withdrawn is not written after it.
fn written_by_what_was_withdrawn_meanwhile(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let append = |name: &str, at| {
        registry.append_if_current(&[sighting(name)], 0, t(at)).unwrap().map(|all| all.len())
    };
    assert_eq!(append("a", 100), Some(1));
    revoke(&registry, "k", None, 110);
    assert_eq!(append("b", 120), None);
    assert!(registry.model(&model("b").manifest, t(130)).unwrap().is_none(), "it was written");
}

/// Its only admission was withdrawn, and it ran on, for nothing else could; what touches it now stops it.
fn a_release_whose_admission_was_withdrawn_before(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let seen =
        [sighting("a"), signature("a", "k", None), approval("a", "ben"), approval("a", "ana")];
    registry.record_decision(&seen, &decision("r", "a", 100), t(100)).unwrap();
    registry.append(&[release("a", 1, "r")], t(100)).unwrap();
    let withdrawn = Record::WithdrawDecisions(bulla_registry::DecisionsWithdrawn {
        requests: vec!["r".into()],
        reason: "mistake".into(),
        by: "eva".into(),
    });
    registry.append(&[withdrawn], t(110)).unwrap();
    let plan = revoke(&registry, "ben", None, 120);
    assert_eq!(plan.roll_back.len(), 1, "{:?}", plan.blast_radius.releases);
}

/// An admission counts for 30 days, and what was admitted runs for longer.
fn a_release_whose_admission_has_expired_runs_on(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let seen = [sighting("a"), signature("a", "k", None), approval("a", "ben")];
    registry.record_decision(&seen, &decision("r", "a", 100), t(100)).unwrap();
    registry.append(&[release("a", 1, "r")], t(100)).unwrap();
    let plan = revoke(&registry, "ben", None, 31 * 86_400);
    assert_eq!(plan.roll_back.len(), 1, "{:?}", plan.blast_radius.releases);
}

/// What it runs by was decided by the key that falls; that it was admitted by another name, too, is another matter.
fn a_release_stays_for_the_admission_of_another_name(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let seen = [sighting("a"), signature("a", "k", None), approval("a", "ben")];
    let mut first = decision("r", "a", 100);
    first.evidence = vec![digest("approval of a by ben")];
    registry.record_decision(&seen, &first, t(100)).unwrap();
    registry.append(&[release("a", 1, "r")], t(100)).unwrap();
    let mut other = decision("other", "a", 101);
    other.name = "chat".into();
    other.evidence = vec![digest("signature of a by k")];
    registry.record_decision(&[], &other, t(101)).unwrap();
    let plan = revoke(&registry, "ben", None, 200);
    assert_eq!(plan.withdraw, ["r"]);
    assert_eq!(plan.roll_back.len(), 1, "{:?}", plan.blast_radius.releases);
}

/// An earlier release was approved by the withdrawn key, too; that its admission has expired makes it no better.
fn a_release_by_an_expired_admission_is_rolled_back_to(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    for (n, (name, at)) in (1..).zip([("a", 100), ("b", 31 * 86_400)]) {
        let seen = [sighting(name), signature(name, "k", None), approval(name, "ben")];
        let request = format!("r{n}");
        registry.record_decision(&seen, &decision(&request, name, at), t(at)).unwrap();
        registry.append(&[release(name, n, &request)], t(at)).unwrap();
    }
    let plan = revoke(&registry, "ben", None, 32 * 86_400);
    assert_eq!(plan.roll_back.len(), 1);
    assert_eq!(plan.roll_back[0].to, None, "back to what the same key approved");
}

/// First seen without the digests of its files, then with them, at the same place.
fn files_that_are_known_later_are_not_found(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let Record::Model(mut first) = sighting("a") else { panic!() };
    first.files.clear();
    registry.append(&[Record::Model(first)], t(100)).unwrap();
    registry.append(&[sighting("a")], t(101)).unwrap();
    let file = Subject::model(bulla_registry::ModelRef::File(digest("file of a")));
    let found = registry.blast_radius(&file, None, false, t(102)).unwrap();
    assert_eq!(found.models.len(), 1);
}

/// Who writes to the database, without its key, makes an answer count again that was withdrawn.
fn a_withdrawal_that_was_rubbed_out_of_the_table(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let seen = [sighting("a"), signature("a", "k", None)];
    registry.record_decision(&seen, &decision("r", "a", 100), t(100)).unwrap();
    revoke(&registry, "k", None, 110);
    registry.close();
    world.sql("UPDATE decisions SET withdrawn_at = NULL");
    let registry = world.open();
    let answer = registry.answer("r", t(120));
    assert!(answer.is_err() || answer.unwrap().unwrap().withdrawn.is_some(), "it counts again");
}

/// Whoever writes the row of a signature before it is seen keeps it from being seen: nothing is found when its key is withdrawn.
fn a_row_that_is_there_before_its_signature(backend: Backend) {
    let world = World::new(backend);
    world.create().close();
    let bytes = |digest: &bulla::Digest| match backend {
        Backend::Sqlite => format!("X'{}'", digest.to_hex()),
        Backend::Postgres => format!("'\\x{}'::bytea", digest.to_hex()),
    };
    let signed = digest("signature of a by k");
    world.sql(&format!(
        "INSERT INTO evidence VALUES ({}, {}, 'signature', '', 'signer', '[]', '{{\"keys\":[]}}', 0)",
        bytes(&signed),
        bytes(&model("a").manifest)
    ));
    let registry = world.open();
    let seen = [sighting("a"), signature("a", "k", None)];
    registry.record_decision(&seen, &decision("r", "a", 100), t(100)).unwrap();
    let found = registry.blast_radius(&Subject::key(digest("k")), None, false, t(110)).unwrap();
    assert_eq!(found.models.len(), 1, "it is hidden");
}

/// What was withdrawn since may be what it was admitted by, whatever the tables say: it is decided about anew.
fn a_release_admitted_before_something_was_withdrawn(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let seen = [sighting("a"), signature("a", "k", None)];
    registry.record_decision(&seen, &decision("r", "a", 100), t(100)).unwrap();
    registry.close();
    world.sql("DELETE FROM rests_on WHERE kind = 'key'");
    let registry = world.open();
    assert!(revoke(&registry, "k", None, 110).withdraw.is_empty(), "it was found all the same");
    let why = registry.append(&[release("a", 1, "r")], t(120)).unwrap_err().to_string();
    assert!(why.contains("withdrawn since"), "{why}");
}

/// Signed at 90, by one clock at 100 and by another at 120; its key is withdrawn as of 110. When the first clock is withdrawn, too, all that is
/// left is a time after that.
fn a_clock_of_two_whose_other_time_is_too_late(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    let time = |at, clock: &str| bulla_registry::Vouched { at: t(at), clocks: vec![digest(clock)] };
    let twice = bulla_registry::SignatureSeen {
        signature: digest("twice"),
        model: model("a"),
        authorities: vec!["production".into()],
        basis: bulla_registry::Basis {
            times: vec![time(100, "one"), time(120, "two")],
            ..basis("k", None)
        },
    };
    registry.append(&[sighting("a"), Record::Signature(twice)], t(130)).unwrap();
    assert!(revoke(&registry, "k", Some(110), 140).quarantine.is_empty(), "it stays");
    assert_eq!(revoke(&registry, "one", None, 150).quarantine.len(), 1, "it falls");
}

/// Two keys are stolen, and both times it is told in the same words: who has looked at one has not looked at the other.
fn two_thefts_in_the_same_words(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    registry.append(&[sighting("a"), signature("a", "k", None)], t(100)).unwrap();
    assert_eq!(revoke(&registry, "k", None, 110).quarantine.len(), 1);
    registry.append(&[signature("a", "n", None)], t(120)).unwrap();
    assert_eq!(revoke(&registry, "n", None, 130).quarantine.len(), 1);
    let known = registry.quarantined(&model("a").manifest, t(140)).unwrap().unwrap();
    assert_eq!((known.causes.len(), known.since()), (2, t(130)));
}

/// A row of the past is changed, and an honest roll-back would write it into what is proven.
fn a_release_that_was_exchanged_in_the_table(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    for (n, name) in (1..).zip(["a", "b", "c"]) {
        let request = format!("r{n}");
        let seen = [sighting(name), signature(name, "k", None)];
        registry.record_decision(&seen, &decision(&request, name, n), t(n)).unwrap();
        registry.append(&[release(name, n.unsigned_abs(), &request)], t(n)).unwrap();
    }
    registry.close();
    world.sql("UPDATE releases SET sequence = 1 WHERE sequence = 2");
    let registry = world.open();
    let why = registry.roll_back("production", "fraud", None, "drift", t(20));
    assert!(why.unwrap_err().to_string().contains("not that in its log"));
}

/// Its signature counts no more: the answer that there was is given, and it is for whoever asks to see that it is none any more.
fn a_request_about_what_is_no_model_any_more(backend: Backend) {
    let world = World::new(backend);
    let registry = world.create();
    registry.record_decision(&[sighting("a")], &decision("r", "a", 100), t(100)).unwrap();
    let mut again = decision("r", "a", 110);
    (again.model, again.admitted) = (None, false);
    let answer = registry.record_decision(&[], &again, t(110)).unwrap();
    assert!(answer.repeated && answer.decided.admitted);
}
