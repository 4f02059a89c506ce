//! What is said of the model.

use bulla::Predicate;
use bulla::statement::evaluation::{Evaluation, Metric};
use bulla::statement::other::Other;
use bulla::statement::test_result::{Outcome, TestResult};
use serde_json::{Value, json};

use crate::world::{NAME, World, codes};

/// A model that meets production with one more rule, approved for it.
fn asked(rule: &str) -> World {
    let world = World::new().rule(rule);
    world.forget_claims();
    world.approve("ana");
    world.approve("ben");
    world
}

fn evaluation(value: f64) -> Predicate {
    Predicate::Evaluation(Evaluation {
        metrics: vec![Metric { name: "accuracy".into(), value, ..Metric::default() }],
        ..Evaluation::default()
    })
}

fn bom(license: &Value) -> Predicate {
    let body = json!({ "bomFormat": "CycloneDX", "specVersion": "1.6", "metadata": { "component": { "name": "m", "licenses": [license] } } });
    Predicate::Other(Other::new("https://cyclonedx.org/bom", body).unwrap())
}

#[test]
fn releases() {
    let world = asked("require_release: true");
    world.refused("release", "it was not released as fraud-eu");
    // By who may not, under another name.
    world.release("dev", NAME, 1, &[]);
    world.release("ana", NAME, 1, &[]);
    world.release("prod", "fraud-us", 1, &[]);
    world.refused("release", "it was not released as fraud-eu");
    world.release("prod", NAME, 2, &[]);
    world.admitted();
}

/// An authority of another environment releases nothing here, whatever it may sign.
#[test]
fn a_release_by_an_authority_that_is_not_accepted() {
    let world = asked("require_release: true").with("may_sign: [oms]", "may_sign: [oms, release]");
    world.release("dev", NAME, 1, &[]);
    world.refused("release", "it was not released as fraud-eu");
}

/// Rule 7: an old release, one that has ended, one whose claims were taken away.
#[test]
fn rule_7_releases_that_do_not_count() {
    let mut world = asked("require_release: true");
    let listed = world.state("prod", evaluation(0.9));
    world.release("prod", NAME, 2, &[&listed]);
    world.admitted();
    world.memory.sequence = Some(2);
    world.admitted();
    world.memory.sequence = Some(3);
    world.refused("release", "is release 2 of fraud-eu, and 3 was released before");
    world.memory.sequence = None;

    let path = world.model().join("claims.jsonl");
    let all = std::fs::read_to_string(&path).unwrap();
    let without: String =
        all.lines().enumerate().filter(|(n, _)| *n != 2).map(|(_, l)| format!("{l}\n")).collect();
    std::fs::write(&path, without).unwrap();
    world.refused("release", "is missing, or does not count");
    std::fs::write(&path, all).unwrap();

    world.now += bulla::jiff::SignedDuration::from_hours(24 * 10);
    world.refused("release", "its release ended at");
}

/// A statement that somebody else has made cannot stand in for one that a release lists.
#[test]
fn a_listed_claim_that_does_not_count() {
    let world = asked("require_release: true");
    let listed = world.state("stranger", evaluation(0.9));
    world.release("prod", NAME, 1, &[&listed]);
    world.refused("release", "does not count");
}

/// With a release only what it lists counts: what was good once need not be any more.
#[test]
fn claims_that_a_release_does_not_list() {
    let rule = "require_release: true\n    evaluations: [{ metric: accuracy, at_least: 0.9, signed_by: [production] }]";
    let world = asked(rule);
    world.state("prod", evaluation(0.95));
    world.release("prod", NAME, 1, &[]);
    world.refused("evaluations", "nobody who may says what accuracy is");
    let worse = world.state("prod", evaluation(0.85));
    world.release("prod", NAME, 2, &[&worse]);
    world.refused("evaluations", "accuracy is 0.85");
    let better = world.state("prod", evaluation(0.91));
    world.release("prod", NAME, 3, &[&better]);
    world.admitted();
}

#[test]
fn evaluations() {
    let rule = "evaluations: [{ metric: accuracy, at_least: 0.9, signed_by: [production] }]";
    let world = asked(rule);
    world.refused("evaluations", "nobody who may says what accuracy is");
    world.state("dev", evaluation(0.99));
    world.state("ana", evaluation(0.99));
    world.refused("evaluations", "nobody who may says what accuracy is");
    world.state("prod", evaluation(0.899));
    world.refused("evaluations", "accuracy is 0.899");
    world.state("prod", evaluation(0.9));
    world.admitted();

    let most = asked("evaluations: [{ metric: accuracy, at_most: 0.5, signed_by: [production] }]");
    most.state("prod", evaluation(0.6));
    most.refused("evaluations", "at most 0.5");
    let task = asked(
        "evaluations: [{ metric: accuracy, task: mmlu, at_least: 0.5, signed_by: [production] }]",
    );
    task.state("prod", evaluation(0.6));
    task.refused("evaluations", "nobody who may");
}

#[test]
fn test_results() {
    let result = |result| {
        Predicate::TestResult(TestResult {
            result,
            configuration: Vec::new(),
            url: None,
            passed_tests: Vec::new(),
            warned_tests: vec![],
            failed_tests: if result == Outcome::Failed { vec!["toxicity".into()] } else { vec![] },
        })
    };
    let world = asked("test_results: { signed_by: [production] }");
    world.refused("test-results", "nobody who may has said");
    world.state("prod", result(Outcome::Failed));
    world.refused("test-results", "failed: toxicity");
    world.state("dev", result(Outcome::Passed));
    world.refused("test-results", "failed: toxicity");
    world.state("prod", result(Outcome::Passed));
    world.admitted();
}

#[test]
fn bills_of_materials_and_licences() {
    let world = asked(
        "require_bom: { signed_by: [production] }\n    licenses: { allow: [apache-2.0, mit], signed_by: [production] }",
    );
    assert_eq!(codes(&world.decide()), ["bom", "licenses"]);
    world.state("dev", bom(&json!({ "license": { "id": "MIT" } })));
    assert_eq!(codes(&world.decide()), ["bom", "licenses"]);
    world.state("prod", bom(&json!({ "license": { "id": "Apache-2.0" } })));
    world.admitted();
    // Each that is named has to be allowed. That of what made the document is none of the model's.
    let tools = json!({ "bomFormat": "CycloneDX", "metadata": { "tools": { "components": [{ "name": "t", "licenses": [{ "license": { "id": "MIT" } }] }] } } });
    let only_tools = asked("licenses: { allow: [mit], signed_by: [production] }");
    let tools = Other::new("https://cyclonedx.org/bom", tools).unwrap();
    only_tools.state("prod", Predicate::Other(tools));
    only_tools.refused("licenses", "nobody who may says");
    world.state("prod", bom(&json!({ "expression": "GPL-3.0-only" })));
    world.refused("licenses", "GPL-3.0-only");
}

#[test]
fn ages() {
    let mut world = asked("max_signature_age_days: 30");
    world.refused("max-signature-age", "nobody says how old");
    world.memory.first_seen = Some(world.now - bulla::jiff::SignedDuration::from_hours(24 * 31));
    world.refused("max-signature-age", "31 days");
    // A new release does not make it younger: the earliest counts.
    world.release("prod", NAME, 1, &[]);
    world.refused("max-signature-age", "31 days");
    world.memory.first_seen = None;
    world.admitted();
    // Nor does a new stamp.
    world.sign_stamped("prod");
    world.memory.first_seen = Some(world.now - bulla::jiff::SignedDuration::from_hours(24 * 31));
    world.refused("max-signature-age", "31 days");
}
