//! What is said of one model, and which of it holds.

use bulla::statement::build::{Kind, Parameters, Role, Source};
use bulla::statement::descriptor::ResourceDescriptor;
use bulla::{Limits, Predicate, Statement};

use crate::world::{World, hop, provenance};

/// Rule 6: a fine-tuning whose base is left out is no root.
#[test]
fn a_fine_tuning_without_a_base() {
    let world = World::story();
    std::fs::remove_file(world.path("tuned").join("claims.jsonl")).unwrap();
    world.account("tuned", "ben", Kind::Finetune, &[(Role::TrainingData, "texts")]);
    let message = world.refused("tuned", "malformed-attestation");
    assert!(message.contains("a finetune has 0 base models, expected exactly one"), "{message}");
}

#[test]
fn a_cycle() {
    let world = World::story();
    std::fs::remove_file(world.path("base").join("claims.jsonl")).unwrap();
    world.account("base", "ana", Kind::Adapter, &[(Role::BaseModel, "tuned")]);
    let message = world.refused("base", "cycle");
    assert_eq!(message, "it is said to be made from itself: tuned ← base ← tuned");
}

#[test]
fn one_account_that_holds_is_enough() {
    let world = World::story();
    world.account("base", "ana", Kind::Adapter, &[(Role::BaseModel, "tuned")]);
    let lineage = world.lineage("deployed");
    assert!(lineage.stands, "{lineage:#?}");
    assert!(hop(&lineage, "base").notes[0].contains("do not hold"));
}

/// A false statement that makes a cycle does not take down what stands without it, in whatever order things are met.
#[test]
fn a_cycle_beside_accounts_that_hold() {
    for merged in [["one", "two"], ["two", "one"]] {
        let world = World::new();
        for (name, by) in [("one", "ana"), ("two", "ben"), ("three", "ben"), ("merged", "ben")] {
            world.model(name, by, &[("weights.bin", name)]);
        }
        world.account("one", "ana", Kind::Finetune, &[(Role::BaseModel, "three")]);
        world.account("one", "ana", Kind::Pretrain, &[]);
        world.account("two", "ben", Kind::Finetune, &[(Role::BaseModel, "one")]);
        world.account("three", "ben", Kind::Finetune, &[(Role::BaseModel, "two")]);
        world.account("merged", "ben", Kind::Merge, &merged.map(|name| (Role::BaseModel, name)));
        let lineage = world.lineage("merged");
        assert!(lineage.stands, "{lineage:#?}");
        // Without the one that is true none of them stands.
        let file = world.path("one").join("claims.jsonl");
        let lines = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, lines.lines().next().unwrap()).unwrap();
        let lineage = world.lineage("merged");
        assert!(lineage.hops.iter().all(|hop| !hop.stands), "{lineage:#?}");
    }
}

#[test]
fn a_chain_that_is_too_deep() {
    let mut world = World::story();
    world.rules.max_depth = 2;
    // deployed ← adapter ← tuned ← base has three; by the shorter way the base has two.
    assert!(world.lineage("tuned").stands);
    world.rules.max_depth = 1;
    world.refused("base", "too-deep");
}

/// Rule 6: what cannot be read, or is nobody's, changes nothing.
#[test]
fn lines_without_effect() {
    let world = World::story();
    let file = world.path("deployed").join("claims.jsonl");
    let mut lines = std::fs::read(&file).unwrap();
    lines.splice(0..0, b"garbage\n{}\n\n[]\n".iter().copied());
    std::fs::write(&file, &lines).unwrap();
    let stranger = world.provenance(Kind::Pretrain, &[]);
    world.say("deployed", "stranger", Predicate::Provenance(Box::new(stranger)));
    let lineage = world.lineage("deployed");
    assert!(lineage.stands);
    assert_eq!(lineage.passed_over.len(), 4, "{:?}", lineage.passed_over);
    assert_eq!(hop(&lineage, "deployed").accounts.len(), 1);
}

/// Rule 6: no line that is taken away makes a "no" into a "yes".
#[test]
fn taking_lines_away_never_helps() {
    let world = World::story();
    world.account("base", "ana", Kind::Adapter, &[(Role::BaseModel, "tuned")]);
    world.account("tuned", "ben", Kind::Pretrain, &[]);
    let yes = |world: &World| world.lineage("deployed").stands;
    for name in ["base", "tuned", "adapter", "deployed"] {
        let file = world.path(name).join("claims.jsonl");
        let all = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = all.lines().collect();
        for kept in 0..1usize << lines.len() {
            let some: Vec<&str> =
                (0..lines.len()).filter(|i| kept >> i & 1 == 1).map(|i| lines[i]).collect();
            std::fs::write(&file, some.join("\n")).unwrap();
            let with_some = yes(&world);
            // Adding any further line keeps a "yes".
            for more in &lines {
                let mut with_more = some.clone();
                with_more.push(more);
                std::fs::write(&file, with_more.join("\n")).unwrap();
                assert!(!with_some || yes(&world), "{name}: {kept:b} and {more}");
            }
        }
        std::fs::write(&file, all).unwrap();
    }
}

#[test]
fn uncommitted_changes_are_told() {
    let world = World::new();
    world.model("base", "ana", &[("weights.bin", "base")]);
    let mut made = world.provenance(Kind::Pretrain, &[]);
    let source = Source { uri: None, r#ref: None, dirty: Some(true) };
    let parameters = Parameters { source: Some(source), ..Parameters::default() };
    made.build_definition.external_parameters = parameters.to_map();
    world.say("base", "ana", Predicate::Provenance(Box::new(made)));
    let lineage = world.lineage("base");
    assert!(lineage.stands);
    assert!(lineage.hops[0].notes[0].contains("not committed"));
}

#[test]
fn a_build_of_another_kind_says_nothing_of_what_went_in() {
    let world = World::story();
    std::fs::remove_file(world.path("base").join("claims.jsonl")).unwrap();
    let mut made = world.provenance(Kind::Pretrain, &[]);
    made.build_definition.build_type = "https://actions.github.io/buildtypes/workflow/v1".into();
    world.say("base", "ana", Predicate::Provenance(Box::new(made)));
    world.refused("base", "unknown-build-type");
}

/// A statement about two models proves nothing of the one that was not looked at.
#[test]
fn a_second_subject_is_not_proved() {
    let world = World::story();
    let claims = world.path("base").join("claims.jsonl");
    let standing = |world: &World| {
        let lineage = world.lineage("base");
        assert!(lineage.stands);
        let file = bulla::claims::ClaimsFile::read(&claims, &Limits::default()).unwrap();
        let described = bulla::inspect::ClaimsDescription::of(&file, Some(&lineage));
        let field = &described.statements[0].statement.fields[0];
        (field.name, field.standing)
    };
    let proved = bulla::inspect::FieldStanding::Proved;
    assert_eq!(standing(&world), ("model_hash", proved));
    std::fs::remove_file(&claims).unwrap();
    let made = Predicate::Provenance(Box::new(world.provenance(Kind::Pretrain, &[])));
    let mut statement = Statement::about(world.descriptor("base"), made);
    statement.subject.push(world.descriptor("tuned"));
    world.add("base", "ana", &statement);
    assert_eq!(standing(&world), ("model_hash", bulla::inspect::FieldStanding::Claimed));
}

/// A verdict counts what the model rests on, not what somebody says besides.
#[test]
fn ancestors_by_accounts_that_hold() {
    let world = World::story();
    world.model("other", "ana", &[("weights.bin", "other")]);
    world.account("other", "ana", Kind::Pretrain, &[]);
    world.account("tuned", "cem", Kind::Finetune, &[(Role::BaseModel, "other")]);
    let lineage = world.lineage("tuned");
    assert!(lineage.stands && lineage.hops.iter().any(|hop| hop.name == "other"));
    let names: Vec<&str> = lineage.ancestors().map(|hop| hop.name.as_str()).collect();
    assert_eq!(names, ["base", "texts"]);
}

/// Rule 6: a longer way to an ancestor does not make it too far away.
#[test]
fn depth_is_that_of_the_shortest_way() {
    let mut world = World::new();
    let chain = |world: &World, name: &str, base: &str| {
        world.model(name, "ana", &[("weights.bin", name)]);
        world.account(name, "ana", Kind::Finetune, &[(Role::BaseModel, base)]);
    };
    world.model("base", "ana", &[("weights.bin", "base")]);
    world.account("base", "ana", Kind::Pretrain, &[]);
    chain(&world, "m1", "base");
    chain(&world, "m2", "m1");
    chain(&world, "x", "m2");
    world.account("x", "ana", Kind::Finetune, &[(Role::BaseModel, "base")]);
    world.rules.max_depth = 2;
    assert!(world.lineage("x").stands);
    world.rules.max_depth = 0;
    assert!(!world.lineage("x").stands);
}

/// Rule 6: an account that does not hold takes no room from one that does.
#[test]
fn an_account_of_too_much() {
    let world = World::story();
    let data = |n: usize| {
        let uri = format!("urn:example:{n}");
        (Role::TrainingData, ResourceDescriptor { uri, ..ResourceDescriptor::default() })
    };
    let mut inputs: Vec<_> = (0..9_999).map(data).collect();
    inputs.push((Role::BaseModel, world.descriptor("texts")));
    let made = provenance(Kind::Finetune, inputs);
    world.say("base", "cem", Predicate::Provenance(Box::new(made)));
    assert!(world.lineage("deployed").stands);
    // Alone it is refused, and that is all.
    std::fs::remove_file(world.path("base").join("claims.jsonl")).unwrap();
    let made = provenance(Kind::Pretrain, (0..10_000).map(data).collect());
    world.say("base", "ana", Predicate::Provenance(Box::new(made)));
    let lineage = world.lineage("base");
    assert!(!lineage.stands);
    assert!(lineage.hops[0].accounts[0].problems.iter().any(|problem| problem.code == "too-many"));
}
