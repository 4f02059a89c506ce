//! Rules that the policy's owners wrote.

use bulla::Predicate;
use bulla::statement::evaluation::{Evaluation, Metric};

use crate::world::{World, codes};

fn asked(when: &str) -> World {
    let world =
        World::new().rule(&format!("rules: [{{ name: own, when: '{when}', message: not so }}]"));
    world.forget_claims();
    world.approve("ana");
    world.approve("ben");
    world
}

#[test]
fn what_holds_and_what_does_not() {
    for (when, holds) in [
        ("model.total_size < 200.0 * giga", true),
        ("model.total_size < 10", false),
        ("model.name.startsWith(\"fraud-\")", true),
        ("model.files.all(f, f.size < 1000) && model.formats == [\"json\", \"safetensors\"]", true),
        ("model.files.exists(f, f.path == \"README.md\")", false),
        ("model.hash == \"sha256\" && environment == \"production\"", true),
        ("\"production\" in signer.authorities", true),
        ("has(signer.identity)", false),
        ("has(release.sequence) || !has(provenance.level)", true),
        ("licenses.size() == 0", true),
    ] {
        let world = asked(when);
        match holds {
            true => world.admitted(),
            false => world.refused("rule:own", "not so"),
        }
    }
}

/// What has no answer was not met.
#[test]
fn a_rule_without_an_answer() {
    asked("release.sequence > 0").refused("rule:own", "it has no answer");
}

#[test]
fn a_rule_about_evaluations() {
    let world = asked("evaluations.exists(e, e.metric == \"accuracy\" && e.value >= 0.5)");
    world.refused("rule:own", "not so");
    world.state(
        "prod",
        Predicate::Evaluation(Evaluation {
            metrics: vec![Metric { name: "accuracy".into(), value: 0.5, ..Metric::default() }],
            ..Evaluation::default()
        }),
    );
    world.admitted();
}

#[test]
fn a_rule_that_is_waived() {
    let world = asked("model.total_size < 10");
    world.waive("eva", "rule:other");
    world.refused("rule:own", "not so");
    world.waive("eva", "rule:own");
    assert!(world.decide().admitted && codes(&world.decide()).is_empty());
}

#[test]
fn rules_that_are_refused_when_they_are_read() {
    for (rules, words) in [
        ("[{ name: own, when: \"model.totl_size > 1\", message: x }]", "total_size"),
        ("[{ name: own, when: \"model.total_size\", message: x }]", "own"),
        ("[{ name: \"two words\", when: \"true\", message: x }]", "is no name"),
        (
            "[{ name: a, when: \"true\", message: x }, { name: a, when: \"true\", message: x }]",
            "stands twice",
        ),
        ("[{ name: a, when: \"true\" }]", "message"),
    ] {
        let world = World::new();
        let mut world = world;
        world.change("    formats: [safetensors, json, txt]\n", &format!("    rules: {rules}\n"));
        let fault = world.read().unwrap_err().to_string();
        assert!(fault.contains(words), "{rules}: {fault}");
    }
}
