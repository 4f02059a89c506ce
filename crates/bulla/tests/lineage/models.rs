//! What is there of each model, and what its signature binds.

use std::collections::BTreeMap;
use std::path::Path;

use bulla::lineage::{Held, Level, Options, Standing, Unverified, walk};
use bulla::party::{MaySign, Party};
use bulla::sign::{Known, sign};
use bulla::statement::build::{Kind, Role};
use bulla::{
    Compatibility, Limits, LocalModel, ModelDigests, ModelPath, Predicate, Recipe, Statement,
};
use bulla_testkit::{now, work};

use crate::world::{ALL, World, hop, provenance, rename};

#[test]
fn four_parties_and_five_hops() {
    let world = World::story();
    let lineage = world.lineage("deployed");
    assert!(lineage.stands, "{lineage:#?}");
    assert_eq!(lineage.hops.len(), 5);
    assert!(lineage.hops.iter().all(|hop| hop.stands && hop.standing == Standing::Verified));
    assert_eq!(lineage.links.len(), 5);
    // A model that two children need is walked once.
    assert_eq!(
        lineage.links.iter().filter(|link| lineage.hops[link.parent].name == "tuned").count(),
        2
    );
    assert_eq!(lineage.level(), Level::L1);
    assert_eq!(lineage.levels, BTreeMap::from([("SLSA_BUILD_LEVEL_1".to_owned(), 4)]));
    assert!(lineage.passed_over.is_empty(), "{:?}", lineage.passed_over);
    let texts = lineage.hops.iter().position(|hop| hop.name == "texts").unwrap();
    assert_eq!(lineage.way_to(texts), ["deployed", "tuned", "texts"]);
    assert!(hop(&lineage, "base").next_level.as_ref().unwrap().contains("its maker's own word"));
}

#[test]
fn a_removed_parent() {
    let world = World::story();
    std::fs::remove_dir_all(world.path("base")).unwrap();
    let message = world.refused("base", "unverified-parent");
    assert!(message.contains("not found"), "{message}");
}

#[test]
fn a_parent_whose_provenance_was_removed() {
    let world = World::story();
    std::fs::remove_file(world.path("tuned").join("claims.jsonl")).unwrap();
    world.refused("tuned", "no-provenance");
}

#[test]
fn the_models_own_provenance_was_removed() {
    let mut world = World::story();
    std::fs::remove_file(world.path("deployed").join("claims.jsonl")).unwrap();
    world.refused("deployed", "no-provenance");
    // That is not what may be allowed.
    world.rules.unverified_parents = Unverified::Allow;
    world.refused("deployed", "no-provenance");
}

#[test]
fn a_renamed_file_is_noticed() {
    let world = World::story();
    let base = world.path("base");
    rename(base.join("weights.bin"), base.join("model.bin"));
    world.refused("base", "renamed");
}

/// The same contents under another name, signed anew by their own party: the OMS root is the same, and is not enough.
#[test]
fn a_renamed_file_that_was_signed_anew_is_another_model() {
    let world = World::story();
    let base = world.path("base");
    // In code-point order the files stay in their places, so that the root stays the same.
    rename(base.join("weights.bin"), base.join("weights2.bin"));
    let before = world.digests("base").0;
    world.seal("base", "ana", &Recipe::default());
    let after = world.digests("base").0;
    assert_eq!(before.oms, after.oms);
    let message = world.refused("base", "unverified-parent");
    assert!(message.contains("its contents are the same, but under other names"), "{message}");
}

/// Rule 1: a signature by somebody trusted that leaves a file out is of another model, and inherits nothing.
#[test]
fn a_signature_that_leaves_code_out_inherits_no_provenance() {
    let world = World::story();
    let mut recipe = Recipe::default();
    recipe.ignore.insert(ModelPath::parse("modeling.py").unwrap());
    std::fs::write(world.path("deployed").join("modeling.py"), "evil()").unwrap();
    world.seal("deployed", "dia", &recipe);
    world.refused("deployed", "no-provenance");
}

/// Rule 1: a statement with the root alone covers contents under any names, and so counts for nothing.
#[test]
fn a_statement_about_contents_alone_counts_for_nothing() {
    let world = World::story();
    std::fs::remove_file(world.path("base").join("claims.jsonl")).unwrap();
    let mut subject = world.descriptor("base");
    subject.digest.remove("omsManifestV1");
    let made = Predicate::Provenance(Box::new(world.provenance(Kind::Pretrain, &[])));
    world.add("base", "ana", &Statement::about(subject, made));
    world.refused("base", "no-provenance");
}

#[test]
fn a_link_with_the_root_alone_is_none() {
    let world = World::story();
    std::fs::remove_file(world.path("adapter").join("claims.jsonl")).unwrap();
    let mut base = world.descriptor("tuned");
    base.digest.remove("omsManifestV1");
    let made = provenance(Kind::Adapter, vec![(Role::BaseModel, base)]);
    world.say("adapter", "cem", Predicate::Provenance(Box::new(made)));
    let message = world.refused("adapter", "malformed-attestation");
    assert!(message.contains("no omsManifestV1"), "{message}");
}

#[test]
fn unverified_parents_are_named_where_they_are_allowed() {
    let mut world = World::story();
    std::fs::remove_dir_all(world.path("base")).unwrap();
    world.rules.unverified_parents = Unverified::Allow;
    let lineage = world.lineage("deployed");
    assert!(lineage.stands, "{lineage:#?}");
    let base = hop(&lineage, "base");
    assert_eq!(base.standing, Standing::Unverified);
    assert!(base.notes[0].starts_with("unverified: not found"));
    assert_eq!(lineage.weakest, "base: nobody vouches for it but its child");
    assert_eq!(lineage.level(), Level::L0);
    // A copy that is wrong is no unverified one.
    std::fs::write(world.path("texts").join("a.txt"), "poison").unwrap();
    world.refused("texts", "changed");
}

/// Rule 3: a signature that binds no names is the base of nothing.
#[test]
fn a_signature_that_binds_no_names() {
    let world = World::new();
    let file = world.path("single.gguf");
    std::fs::write(&file, "weights").unwrap();
    let source = LocalModel::open(&file).unwrap();
    let (signer, limits) = (&world.keys["ana"], Limits::default());
    let unnamed = Compatibility::ModelSigning;
    let signed =
        sign(&source, &Recipe::default(), unnamed, signer, Known::Nothing, &limits, work())
            .unwrap();
    std::fs::write(world.path("single.gguf.sig"), signed.bundle).unwrap();
    let lineage = world.lineage("single.gguf");
    assert!(!lineage.stands);
    assert_eq!(lineage.hops[0].problems[0].code, "binds-no-names");
}

#[test]
fn a_single_file_with_claims_beside_it() {
    let world = World::new();
    let file = world.path("single.gguf");
    std::fs::write(&file, "weights").unwrap();
    let source = LocalModel::open(&file).unwrap();
    let (signer, limits) = (&world.keys["ana"], Limits::default());
    let named = Compatibility::Specification;
    let signed =
        sign(&source, &Recipe::default(), named, signer, Known::Nothing, &limits, work()).unwrap();
    std::fs::write(world.path("single.gguf.sig"), signed.bundle).unwrap();
    let made = Predicate::Provenance(Box::new(world.provenance(Kind::Pretrain, &[])));
    let subject = ModelDigests::of(&signed.manifest).descriptor("single.gguf", None);
    world.add("single.gguf", "ana", &Statement::about(subject, made));
    assert!(world.path("single.gguf.claims.jsonl").is_file());
    let lineage = world.lineage("single.gguf");
    assert!(lineage.stands, "{lineage:#?}");
}

#[test]
fn parents_by_their_signatures_alone() {
    let world = World::story();
    // On a small machine only signatures and claims of ancestors are there.
    for name in ["base", "tuned", "adapter", "texts"] {
        for entry in std::fs::read_dir(world.path(name)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name != "model.sig" && name != "claims.jsonl" {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
    let lineage = world.lineage("deployed");
    assert!(lineage.stands, "{lineage:#?}");
    assert_eq!(hop(&lineage, "base").standing, Standing::Signed);
    assert_eq!(hop(&lineage, "deployed").standing, Standing::Verified);
}

#[test]
fn parents_are_not_read_if_that_is_asked_for() {
    let world = World::story();
    std::fs::write(world.path("base").join("weights.bin"), "changed").unwrap();
    world.refused("base", "changed");
    let mut options = Options::default();
    options.measure_parents = false;
    assert!(world.lineage_with("deployed", options).stands);
    std::fs::write(world.path("deployed").join("weights.bin"), "changed").unwrap();
    assert!(!world.lineage_with("deployed", options).stands);
}

/// What is there and cannot be read is a fault, not a missing claim.
#[test]
fn a_directory_in_the_place_of_the_claims() {
    let world = World::story();
    let claims = world.path("deployed").join("claims.jsonl");
    std::fs::remove_file(&claims).unwrap();
    std::fs::create_dir(&claims).unwrap();
    let held = Held::around(&world.path("deployed"), &[]).unwrap();
    let limits = Limits::default();
    let walked = walk(held, &world.rules, Options::default(), now(), &limits, work());
    assert!(walked.unwrap_err().to_string().contains("it is not a regular file"));
    // Elsewhere it is told, and can only be missed.
    let tuned = world.lineage("tuned");
    assert!(tuned.stands);
    assert!(tuned.passed_over[0].contains("deployed were not read"), "{:?}", tuned.passed_over);
    assert!(Held::local(Path::new("/dev/null")).is_ok());
}

/// Files without contents cost no disk, but time.
#[test]
fn places_with_too_much_in_them() {
    let world = World::story();
    let file = std::fs::File::create(world.path("a.sig")).unwrap();
    file.set_len(1 << 20).unwrap();
    let walked = |bytes: u64| {
        let mut limits = Limits::default();
        limits.lineage_bytes = bytes;
        let held =
            Held::around(&world.path("deployed"), &[world.folder.path().to_owned()]).unwrap();
        walk(held, &world.rules, Options::default(), now(), &limits, work()).unwrap()
    };
    assert!(walked(2 << 20).stands);
    let cut = walked(1 << 19);
    assert!(!cut.stands);
    let told = cut.passed_over.join("\n");
    assert!(told.contains("bytes of signatures and claims were read before"), "{told}");
}

/// Rule 3: a signature of model-signing 0.2.0, which binds no recipe, is the base of nothing.
#[test]
fn a_signature_of_the_old_format() {
    let mut world = World::new();
    let signer = bulla_testkit::bundles::TestSigner::default();
    world.rules.parties.push(Party {
        id: "old".into(),
        trust: signer.trust.clone(),
        valid: (None, None),
        may_sign: MaySign::only(ALL),
    });
    std::fs::create_dir(world.path("old")).unwrap();
    std::fs::write(world.path("old").join("weights.bin"), "w").unwrap();
    let statement = serde_json::json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "weights.bin", "digest": { "sha256": bulla::Digest::sha256(b"w").to_hex() } }],
        "predicateType": "https://model_signing/Digests/v0.1",
        "predicate": {},
    });
    let bundle = signer.bundle_of(statement.to_string().as_bytes());
    std::fs::write(world.path("old").join("model.sig"), bundle).unwrap();
    let lineage = world.lineage("old");
    assert_eq!(lineage.hops[0].problems[0].code, "binds-no-names");
}

/// A neighbour's file of junk is told of, and does not bury what else there is to tell.
#[test]
fn broken_lines_are_told_up_to_a_number() {
    let world = World::story();
    std::fs::write(world.path("texts").join("claims.jsonl"), "x\n".repeat(1000)).unwrap();
    let lineage = world.lineage("deployed");
    assert!(lineage.stands, "{lineage:#?}");
    let told = &lineage.passed_over;
    assert!(told.len() == 11 && told[10].contains("990 more lines"), "{told:?}");
}
