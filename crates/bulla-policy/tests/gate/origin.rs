//! Where the model came from.

use std::collections::BTreeMap;

use bulla::statement::build::{Kind, Parameters, Role};
use bulla::statement::descriptor::{DigestSet, ROLE, ResourceDescriptor};
use bulla::statement::provenance::{BuildDefinition, Builder, Provenance, RunDetails};
use bulla::{Digest, ModelDigests, Predicate};
use bulla_policy::RevocationList;

use crate::world::{World, codes};

const BUILDER: &str = "https://ci.example/train";

fn asked(rules: &str) -> World {
    let world = World::new().rule(rules);
    world.forget_claims();
    world.approve("ana");
    world.approve("ben");
    world
}

fn made(kind: Kind, inputs: Vec<(Role, ResourceDescriptor)>) -> Predicate {
    let annotated = |(role, input): (Role, ResourceDescriptor)| input.annotated(ROLE, role.name());
    Predicate::Provenance(Box::new(Provenance {
        build_definition: BuildDefinition {
            build_type: kind.build_type(),
            external_parameters: Parameters::default().to_map(),
            internal_parameters: BTreeMap::new(),
            resolved_dependencies: inputs.into_iter().map(annotated).collect(),
        },
        run_details: RunDetails {
            builder: Builder {
                id: BUILDER.into(),
                builder_dependencies: Vec::new(),
                version: BTreeMap::new(),
            },
            metadata: None,
            byproducts: Vec::new(),
        },
    }))
}

fn code(uri: &str) -> (Role, ResourceDescriptor) {
    let digest = DigestSet::from([("gitCommit".to_owned(), "1".repeat(40))]);
    let name = "source".to_owned();
    (
        Role::Source,
        ResourceDescriptor { name, uri: uri.into(), digest, ..ResourceDescriptor::default() },
    )
}

/// A base model that is not here.
fn base() -> (ModelDigests, (Role, ResourceDescriptor)) {
    let digests = ModelDigests { oms: Digest::sha256(b"base"), manifest: Digest::sha256(b"names") };
    (digests, (Role::BaseModel, digests.descriptor("base", None)))
}

const ROOTS: &str = "lineage: { no_parents_signed_by: [production] }";

#[test]
fn provenance() {
    let world = asked(&format!("require_provenance: true\n    {ROOTS}"));
    assert_eq!(codes(&world.decide()), ["provenance", "lineage"]);
    // By who may not.
    world.state("dev", made(Kind::Pretrain, vec![]));
    world.state("ana", made(Kind::Pretrain, vec![]));
    assert_eq!(codes(&world.decide()), ["provenance", "lineage"]);
    world.state("prod", made(Kind::Pretrain, vec![]));
    world.admitted();
    // "No parents" is not everybody's to say.
    let world = asked("require_provenance: true");
    world.state("prod", made(Kind::Pretrain, vec![]));
    assert_eq!(codes(&world.decide()), ["provenance"]);
}

#[test]
fn levels() {
    let level = "require_provenance: true\n    provenance: { min_level: SLSA_BUILD_LEVEL_2 }\n    lineage: { no_parents_signed_by: [production] }";
    let world = asked(level);
    world.state("prod", made(Kind::Pretrain, vec![]));
    world.refused("provenance", "it reaches SLSA_BUILD_LEVEL_1");
    let builders = format!(
        "provenance: {{ builders: [{{ id: \"{BUILDER}\", signer: production, max_level: SLSA_BUILD_LEVEL_2 }}], min_level"
    );
    let world = asked(&level.replace("provenance: { min_level", &builders));
    world.state("prod", made(Kind::Pretrain, vec![]));
    world.admitted();
}

#[test]
fn places_of_the_code() {
    let rule = format!(
        "require_provenance: true\n    provenance: {{ sources: [\"git+https://git.company.example/*\"] }}\n    {ROOTS}"
    );
    let with = |inputs: Vec<(Role, ResourceDescriptor)>| {
        let world = asked(&rule);
        world.state("prod", made(Kind::Pretrain, inputs));
        world
    };
    with(vec![]).refused("provenance", "does not say from which code");
    with(vec![code("git+https://git.company.example/team/train")]).admitted();
    for elsewhere in [
        "git+https://git.company.example.evil/train",
        "git+https://git.company.example",
        "git+https://git.company.example/",
        "git+https://git.company.example//train",
        "git+https://git.company.example/../train",
        "git+http://git.company.example/train",
        "",
    ] {
        with(vec![code(elsewhere)]).refused("provenance", "its code is from");
    }
    // All of the code.
    let two =
        vec![code("git+https://git.company.example/train"), code("git+https://other.example/x")];
    with(two).refused("provenance", "other.example");
}

#[test]
fn a_chain_with_a_link_missing() {
    let world = asked(ROOTS);
    world.state("prod", made(Kind::Finetune, vec![base().1]));
    world.refused("lineage", "base: not found");
    // The account itself holds: without a rule about the chain that is enough.
    let world = asked("require_provenance: true");
    world.state("prod", made(Kind::Finetune, vec![base().1]));
    world.admitted();
}

/// What was made from a model that was withdrawn is withdrawn, too, wherever that model is.
#[test]
fn an_ancestor_that_was_withdrawn() {
    let (digests, input) = base();
    let mut world = asked("require_provenance: true");
    world.state("prod", made(Kind::Finetune, vec![input]));
    world.admitted();
    for (descendants, admitted) in [(false, true), (true, false)] {
        for name in [
            format!("oms:{}", digests.oms.to_hex()),
            format!("oms-manifest-v1:{}", digests.manifest.to_hex()),
        ] {
            let text = format!(
                "revocations: {{ version: 1, issued: 2026-11-20 }}\nmodels: [{{ digest: \"{name}\", descendants: {descendants}, reason: poisoned }}]\n"
            );
            let path = world.folder.path().join("revocations.yaml");
            world.revoked = RevocationList::read(&path, text.as_bytes()).unwrap();
            match admitted {
                true => world.admitted(),
                false => world.refused("not-revoked", "base, from which it was made"),
            }
        }
    }
}
