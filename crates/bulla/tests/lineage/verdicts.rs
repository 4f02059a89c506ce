//! A verifier's verdict in place of a parent.

use std::collections::{BTreeMap, BTreeSet};

use bulla::jiff::SignedDuration;
use bulla::lineage::{Level, Lineage, Standing, Verifier, resource_uri};
use bulla::statement::descriptor::DigestSet;
use bulla::statement::verdict::{self, Verdict, VerificationResult};
use bulla::{Predicate, Statement};
use bulla_testkit::now;

use crate::world::{World, hop};

fn passed(world: &World, name: &str) -> Verdict {
    Verdict {
        verifier: verdict::Verifier { id: "https://gate.example".into(), version: BTreeMap::new() },
        time_verified: now() - SignedDuration::from_hours(1),
        resource_uri: resource_uri(&world.digests(name).0),
        policy: verdict::Reference { uri: "file:trust.yaml".into(), digest: DigestSet::new() },
        input_attestations: Vec::new(),
        verification_result: VerificationResult::Passed,
        verified_levels: vec!["SLSA_BUILD_LEVEL_2".into()],
        dependency_levels: BTreeMap::new(),
        slsa_version: Some("1.1".into()),
        environment: None,
        expires_on: Some(now() + SignedDuration::from_hours(24)),
    }
}

/// The chain with a verdict about `base` in place of `base`.
fn stood_for(change: impl FnOnce(&mut Verdict), by: &str) -> (World, Lineage) {
    let mut world = World::story();
    world.rules.verifiers = vec![Verifier {
        id: "https://gate.example".into(),
        signer: "gate".into(),
        policies: BTreeSet::new(),
    }];
    let mut verdict = passed(&world, "base");
    change(&mut verdict);
    let about = Statement::about(world.descriptor("base"), Predicate::Verdict(Box::new(verdict)));
    world.add("deployed", by, &about);
    std::fs::remove_dir_all(world.path("base")).unwrap();
    let lineage = world.lineage("deployed");
    (world, lineage)
}

#[test]
fn a_verdict_stands_in_for_a_parent_that_is_not_there() {
    let (_, lineage) = stood_for(|_| {}, "gate");
    assert!(lineage.stands, "{lineage:#?}");
    let base = hop(&lineage, "base");
    assert_eq!((base.standing, base.level), (Standing::StoodFor, Some(Level::L2)));
}

/// Rule 14, and what a consumer of a verification summary checks.
#[test]
fn verdicts_that_do_not_count() {
    type Change = fn(&mut Verdict);
    let changes: [(&str, Change); 9] = [
        // Whoever made it did not ask for a chain, and one is asked for here.
        ("of no level", |v| v.verified_levels = vec!["SLSA_BUILD_LEVEL_0".into()]),
        ("without a level", |v| v.verified_levels.clear()),
        ("failed", |v| v.verification_result = VerificationResult::Failed),
        ("over", |v| v.expires_on = Some(now())),
        ("old, without an end", |v| {
            v.expires_on = None;
            v.time_verified = now() - SignedDuration::from_hours(91 * 24);
        }),
        ("of the future", |v| v.time_verified = now() + SignedDuration::from_hours(2)),
        ("of another environment", |v| v.environment = Some("development".into())),
        ("of another verifier", |v| v.verifier.id = "https://other.example".into()),
        ("of another resource", |v| v.resource_uri = "urn:bulla:model:oms-manifest-v1:00".into()),
    ];
    for (what, change) in changes {
        let (_, lineage) = stood_for(change, "gate");
        assert!(!lineage.stands, "{what}");
        let (hop, problems) = lineage.refusals().next().unwrap();
        assert_eq!((hop.name.as_str(), problems[0].code), ("base", "unverified-parent"), "{what}");
    }
    // By a party that may not.
    let (_, lineage) = stood_for(|_| {}, "ben");
    assert!(!lineage.stands);
    assert!(lineage.passed_over[0].contains("signed by ben, who may not sign vsa"));
}

/// Rule 14: a verdict is taken back by a newer one.
#[test]
fn a_verdict_that_was_taken_back() {
    let (world, _) = stood_for(|_| {}, "gate");
    let base = World::story();
    let mut verdict = passed(&base, "base");
    verdict.time_verified = now();
    verdict.verification_result = VerificationResult::Failed;
    let about = Statement::about(base.descriptor("base"), Predicate::Verdict(Box::new(verdict)));
    world.add("deployed", "gate", &about);
    assert!(!world.lineage("deployed").stands);
}

/// Of one time, the order of lines decides nothing: whoever may edit them could choose.
#[test]
fn two_verdicts_of_one_time() {
    let (world, _) = stood_for(|_| {}, "gate");
    let base = World::story();
    let mut verdict = passed(&base, "base");
    verdict.time_verified = now() - SignedDuration::from_hours(1);
    verdict.verification_result = VerificationResult::Failed;
    let about = Statement::about(base.descriptor("base"), Predicate::Verdict(Box::new(verdict)));
    world.add("deployed", "gate", &about);
    let file = world.path("deployed").join("claims.jsonl");
    let lines = std::fs::read_to_string(&file).unwrap();
    let turned: Vec<&str> = lines.lines().rev().collect();
    assert!(!world.lineage("deployed").stands);
    std::fs::write(&file, turned.join("\n")).unwrap();
    assert!(!world.lineage("deployed").stands);
}

#[test]
fn a_verdict_does_not_mend_a_copy_that_was_changed() {
    let mut world = World::story();
    world.rules.verifiers = vec![Verifier {
        id: "https://gate.example".into(),
        signer: "gate".into(),
        policies: BTreeSet::new(),
    }];
    world.say("base", "gate", Predicate::Verdict(Box::new(passed(&world, "base"))));
    std::fs::write(world.path("base").join("weights.bin"), "changed").unwrap();
    world.refused("base", "changed");
}

/// Rule 12: a verifier's word counts for the rules that it is trusted with.
#[test]
fn a_verdict_by_other_rules() {
    let (mut world, _) = stood_for(
        |verdict| {
            verdict.policy.digest.insert("sha256".to_owned(), "ab".repeat(32));
        },
        "gate",
    );
    assert!(world.lineage("deployed").stands);
    world.rules.verifiers[0].policies = BTreeSet::from(["cd".repeat(32)]);
    assert!(!world.lineage("deployed").stands);
    world.rules.verifiers[0].policies.insert("ab".repeat(32));
    assert!(world.lineage("deployed").stands);
}
