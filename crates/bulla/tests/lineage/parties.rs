//! Who may say what of which model.

use bulla::Recipe;
use bulla::lineage::{Builder, Level};
use bulla::party::MaySign;
use bulla::statement::build::Kind;
use bulla_testkit::now;

use crate::world::{World, hop};

#[test]
fn signed_by_the_wrong_party() {
    let mut world = World::story();
    // A builder that the trust file names: only its own party speaks for it.
    world.rules.builders = vec![Builder {
        id: "https://ci.example/train".into(),
        signer: "ana".into(),
        max_level: Level::L2,
    }];
    let lineage = world.lineage("deployed");
    assert!(!lineage.stands);
    let wrong: Vec<&str> = lineage.refusals().map(|(hop, _)| hop.name.as_str()).collect();
    assert_eq!(wrong, ["deployed", "tuned", "adapter"]);
    let (_, problems) = lineage.refusals().next().unwrap();
    assert_eq!(problems[0].code, "wrong-party");
    assert_eq!(
        problems[0].message,
        "its provenance names the builder https://ci.example/train, for which ana signs; it is signed by dia"
    );
    assert_eq!(hop(&lineage, "base").level, Some(Level::L2));
}

/// A party speaks of its own models, not of those of others.
#[test]
fn an_account_of_somebody_elses_model() {
    let world = World::story();
    std::fs::remove_file(world.path("base").join("claims.jsonl")).unwrap();
    world.account("base", "cem", Kind::Pretrain, &[]);
    let lineage = world.lineage("deployed");
    let (hop, problems) = lineage.refusals().next().unwrap();
    assert_eq!(hop.name, "base");
    let codes: Vec<&str> = problems.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["wrong-party", "may-not-say-no-parents"]);
}

/// Rule 6: "no parents" is somebody's word, and not everybody's.
#[test]
fn no_parents_by_whoever_made_it() {
    let world = World::story();
    std::fs::remove_file(world.path("tuned").join("claims.jsonl")).unwrap();
    world.account("tuned", "ben", Kind::Pretrain, &[]);
    let message = world.refused("tuned", "may-not-say-no-parents");
    assert!(message.starts_with("ben says that it has no parents"), "{message}");
}

#[test]
fn a_signature_by_a_stranger() {
    let world = World::story();
    world.seal("adapter", "stranger", &Recipe::default());
    let message = world.refused("adapter", "unverified-parent");
    assert!(message.contains("signed by nobody who is named"), "{message}");
}

/// A copy that somebody else signed, too, takes nothing from the maker's word.
#[test]
fn a_mirror_by_another_party() {
    let world = World::story();
    let mirror = world.path("a-mirror");
    std::fs::create_dir(&mirror).unwrap();
    for file in ["weights.bin", "config.json"] {
        std::fs::copy(world.path("base").join(file), mirror.join(file)).unwrap();
    }
    world.seal("a-mirror", "cem", &Recipe::default());
    let lineage = world.lineage("deployed");
    assert!(lineage.stands, "{lineage:#?}");
    assert_eq!(hop(&lineage, "a-mirror").signed_by, ["ana", "cem"]);
}

/// Rules 2 and 6: what a party may sign is named, and its key is good for nothing else.
#[test]
fn a_party_that_may_not_sign_this() {
    let mut world = World::story();
    for party in &mut world.rules.parties {
        if party.id == "ben" {
            party.may_sign = MaySign::only(["oms"]);
        }
    }
    world.refused("tuned", "no-provenance");
    let lineage = world.lineage("deployed");
    let told = lineage.passed_over.join("\n");
    assert!(told.contains("(line 1): signed by ben, who may not sign provenance"), "{told}");
}

#[test]
fn keys_count_in_their_time() {
    let mut world = World::story();
    for party in &mut world.rules.parties {
        if party.id == "cem" {
            party.valid.1 = Some(now());
        }
    }
    let message = world.refused("adapter", "unverified-parent");
    assert!(message.contains("signed by cem, whose key does not count at 2026-11-20"), "{message}");
}

/// A key that is good for verdicts is not good for models.
#[test]
fn a_model_signed_by_a_party_that_may_not_sign_models() {
    let world = World::story();
    world.seal("adapter", "gate", &Recipe::default());
    let message = world.refused("adapter", "unverified-parent");
    assert!(message.contains("does not count: signed by nobody who is named"), "{message}");
}
