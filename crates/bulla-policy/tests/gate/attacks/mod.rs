//! What an attacker tried: with the model's folder and those beside it, old documents, a key of another authority or person.

mod contents;
mod origin;
mod people;

use std::collections::BTreeMap;
use std::path::Path;

use bulla::lineage::Held;
use bulla::statement::build::{Kind, Parameters, Role};
use bulla::statement::descriptor::{DigestSet, ROLE, ResourceDescriptor};
use bulla::statement::provenance::{BuildDefinition, Builder, Provenance, RunDetails};
use bulla::{
    Compatibility, Digest, Limits, LocalModel, ModelDigests, Predicate, Recipe, Statement, Work,
};
use bulla_policy::{Candidate, Decision, Gate, Request, RevocationList};
use bulla_testkit::work;

use crate::world::{NAME, World, codes};

pub(super) const BUILDER: &str = "https://ci.example/train";
pub(super) const ROOTS: &str = "lineage: { no_parents_signed_by: [production] }";

pub(super) fn asked(rules: &str) -> World {
    let world = World::new().rule(rules);
    again(&world);
    world
}

pub(super) fn again(world: &World) {
    let _ = std::fs::remove_file(world.model().join("claims.jsonl"));
    world.approve("ana");
    world.approve("ben");
}

pub(super) fn made_with(
    kind: Kind,
    inputs: Vec<(Role, ResourceDescriptor)>,
    parameters: &Parameters,
) -> Predicate {
    let annotated = |(role, input): (Role, ResourceDescriptor)| input.annotated(ROLE, role.name());
    Predicate::Provenance(Box::new(Provenance {
        build_definition: BuildDefinition {
            build_type: kind.build_type(),
            external_parameters: parameters.to_map(),
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

pub(super) fn made(kind: Kind, inputs: Vec<(Role, ResourceDescriptor)>) -> Predicate {
    made_with(kind, inputs, &Parameters::default())
}

pub(super) fn code(uri: &str) -> (Role, ResourceDescriptor) {
    let digest = DigestSet::from([("gitCommit".to_owned(), "1".repeat(40))]);
    let name = "source".to_owned();
    (
        Role::Source,
        ResourceDescriptor { name, uri: uri.into(), digest, ..ResourceDescriptor::default() },
    )
}

pub(super) fn base() -> (ModelDigests, (Role, ResourceDescriptor)) {
    let digests = ModelDigests { oms: Digest::sha256(b"base"), manifest: Digest::sha256(b"names") };
    (digests, (Role::BaseModel, digests.descriptor("base", None)))
}

pub(super) fn revoked(world: &World, text: &str) -> RevocationList {
    let head = "revocations: { version: 1, issued: 2026-11-20T11:00:00Z }\n";
    let path = world.folder.path().join("revocations.yaml");
    RevocationList::read(&path, format!("{head}{text}").as_bytes()).unwrap()
}

/// Another model beside the first: its digests.
pub(super) fn beside(world: &World, name: &str, files: &[(&str, &[u8])], by: &str) -> ModelDigests {
    let folder = world.folder.path().join(name);
    for (file, bytes) in files {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(file), bytes).unwrap();
    }
    sign_at(world, &folder, by);
    digests_at(&folder)
}

pub(super) fn sign_at(world: &World, folder: &Path, by: &str) {
    let source = LocalModel::open(folder).unwrap();
    let (recipe, limits) = (Recipe::default(), Limits::default());
    let signed = bulla::sign::sign(
        &source,
        &recipe,
        Compatibility::Specification,
        &world.signer(by),
        bulla::sign::Known::Nothing,
        &limits,
        work(),
    );
    std::fs::write(folder.join("model.sig"), signed.unwrap().bundle).unwrap();
}

pub(super) fn digests_at(folder: &Path) -> ModelDigests {
    let manifest =
        bulla_testkit::measure(folder, &Recipe::default(), &Limits::default(), work()).unwrap();
    ModelDigests::of(&manifest)
}

pub(super) fn state_about(
    world: &World,
    about: ModelDigests,
    by: &str,
    predicate: Predicate,
) -> String {
    let about = about.descriptor("m", Some(&Recipe::default()));
    world.add(by, &Statement::about(about, predicate))
}

/// With everything that lies in the folder.
pub(super) fn decide_around(world: &World, work: Work<'_>) -> Result<Decision, bulla::Failure> {
    decide_within(world, &Limits::default(), work)
}

pub(super) fn decide_within(
    world: &World,
    limits: &Limits,
    work: Work<'_>,
) -> Result<Decision, bulla::Failure> {
    let gate = Gate::open(world.read()?, None, &world.revoked, world.now, limits)?;
    let request = Request {
        environment: "production",
        name: NAME,
        expected: &[],
        measure_parents: true,
        converter: None,
    };
    let source = LocalModel::open(&world.model())?;
    let held = Held::around(&world.model(), &[world.folder.path().to_owned()])?;
    let candidate = Candidate { source: &source, held };
    Ok(gate.decide(&request, candidate, &world.memory, world.now, limits, work)?)
}

#[track_caller]
pub(super) fn must_refuse(decision: &Decision, rule: &str) {
    assert!(
        !decision.admitted && codes(decision).contains(&rule),
        "admitted: {}, {:?}",
        decision.admitted,
        codes(decision)
    );
}
