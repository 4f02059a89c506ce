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
    assert_eq!(reasons, ["stolen", "odd"], "who looks at one has to be told of the other");
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
