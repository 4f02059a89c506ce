//! What models were trained on.

use bulla::claims::append;
use bulla::lineage::{Held, Options, Standing, walk};
use bulla::statement::build::{Kind, Role};
use bulla::statement::dataset::Dataset;
use bulla::{Limits, Predicate, Recipe};
use bulla_testkit::{now, work};

use crate::world::{World, hop};

#[test]
fn a_swapped_dataset() {
    let world = World::story();
    std::fs::write(world.path("texts").join("a.txt"), "poison").unwrap();
    world.refused("texts", "changed");
    // Signed anew by its own party it is other data.
    world.seal("texts", "ben", &Recipe::default());
    let message = world.refused("texts", "unverified-data");
    assert!(message.contains("no data with oms:"), "{message}");
}

#[test]
fn data_that_nobody_signed_are_measured() {
    let world = World::story();
    std::fs::remove_file(world.path("texts").join("model.sig")).unwrap();
    let lineage = world.lineage("deployed");
    assert!(lineage.stands, "{lineage:#?}");
    assert_eq!(hop(&lineage, "texts").standing, Standing::Measured);
    assert_eq!(lineage.weakest, "texts: the data are what its child says, and nobody signed them");
    std::fs::write(world.path("texts").join("b.txt"), "poison").unwrap();
    let message = world.refused("texts", "other-data");
    assert!(message.contains("is not what went in: oms:"), "{message}");
}

#[test]
fn other_data_of_the_same_name_are_passed_over() {
    let world = World::story();
    std::fs::remove_file(world.path("texts").join("model.sig")).unwrap();
    std::fs::create_dir_all(world.path("older/texts")).unwrap();
    std::fs::write(world.path("older/texts/a.txt"), "what there was before").unwrap();
    let limits = Limits::default();
    let folders = [world.path("older"), world.folder.path().to_owned()];
    let held = Held::around(&world.path("deployed"), &folders).unwrap();
    let lineage = walk(held, &world.rules, Options::default(), now(), &limits, work()).unwrap();
    assert!(lineage.stands, "{lineage:#?}");
    assert_eq!(hop(&lineage, "texts").standing, Standing::Measured);
}

#[test]
fn data_that_are_named_as_claims_are() {
    let world = World::new();
    world.model("base", "ana", &[("weights.bin", "base")]);
    std::fs::write(world.path("insurance-claims.jsonl"), "{}").unwrap();
    let data = [(Role::TrainingData, "insurance-claims.jsonl")];
    world.account("base", "ana", Kind::Pretrain, &data);
    let lineage = world.lineage("base");
    assert!(lineage.stands, "{lineage:#?}");
}

#[test]
fn a_statement_about_data_stands_for_them() {
    let world = World::story();
    let dataset = Dataset { name: "texts".into(), ..Dataset::default() };
    world.say("texts", "ben", Predicate::Dataset(dataset));
    let claims = std::fs::read(world.path("texts").join("claims.jsonl")).unwrap();
    std::fs::remove_dir_all(world.path("texts")).unwrap();
    world.refused("texts", "unverified-data");
    // Whose file it lies in makes no difference.
    append(&world.path("deployed").join("claims.jsonl"), claims.trim_ascii(), &Limits::default())
        .unwrap();
    let lineage = world.lineage("deployed");
    assert!(lineage.stands, "{lineage:#?}");
    assert_eq!(hop(&lineage, "texts").standing, Standing::Signed);
}

/// A model that is also named as data has to have an origin all the same, whichever is named first.
#[test]
fn a_base_that_is_named_as_data_too() {
    for roles in [[Role::TrainingData, Role::BaseModel], [Role::BaseModel, Role::TrainingData]] {
        let world = World::new();
        std::fs::create_dir(world.path("found")).unwrap();
        std::fs::write(world.path("found").join("weights.bin"), "found somewhere").unwrap();
        world.model("tuned", "ben", &[("weights.bin", "tuned")]);
        world.account("tuned", "ben", Kind::Finetune, &roles.map(|role| (role, "found")));
        let lineage = world.lineage("tuned");
        assert!(!lineage.stands, "{lineage:#?}");
        let (hop, problems) = lineage.refusals().next().unwrap();
        assert_eq!((hop.role, problems[0].code), (Some(Role::BaseModel), "unverified-parent"));
    }
}
