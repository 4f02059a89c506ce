//! Where the model came from, as neighbours and others tell it.

use bulla::statement::build::{Kind, Parameters, Role, Source};
use bulla::{Limits, LocalModel, Predicate};
use bulla_policy::{Candidate, Gate, Request};
use bulla_testkit::work;

use super::{
    BUILDER, ROOTS, again, asked, base, beside, code, decide_around, decide_within, made,
    made_with, must_refuse, revoked, sign_at, state_about,
};
use crate::world::{NAME, World, codes, verdict};
use bulla::lineage::Held;

/// docs/policy.md: "With `require_release` only statements count that the release lists."
#[test]
fn a_provenance_that_the_release_does_not_list() {
    let world = asked(
        "require_release: true\n    require_provenance: true\n    lineage: { no_parents_signed_by: [production] }",
    );
    world.state("prod", made(Kind::Pretrain, vec![]));
    world.release("prod", NAME, 1, &[]);
    must_refuse(&world.decide(), "provenance");
}

/// What does nothing only seems to restrict.
#[test]
fn levels_and_places_without_effect() {
    for rule in ["min_level: SLSA_BUILD_LEVEL_3", "sources: [\"git+https://good.example/*\"]"] {
        for chain in ["", "\n    lineage: { no_parents_signed_by: [production] }"] {
            let world = World::new().rule(&format!("provenance: {{ {rule} }}{chain}"));
            let fault = world.read().unwrap_err().to_string();
            assert!(fault.contains("require_provenance: true"), "{fault}");
        }
    }
}

/// An authority that is not accepted signs a copy in a neighbouring folder, and then "speaks of its own work".
#[test]
fn an_account_by_whoever_signed_a_copy() {
    let world =
        asked("require_provenance: true").with("may_sign: [oms]", "may_sign: [oms, provenance]");
    again(&world);
    world.state("dev", made(Kind::Finetune, vec![base().1]));
    must_refuse(&decide_around(&world, work()).unwrap(), "provenance");
    let copy = world.folder.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(world.model().join(name), copy.join(name)).unwrap();
    }
    sign_at(&world, &copy, "dev");
    for name in ["config.json", "model.safetensors"] {
        std::fs::remove_file(copy.join(name)).unwrap();
    }
    must_refuse(&decide_around(&world, work()).unwrap(), "provenance");
}

#[test]
fn places_by_other_spellings() {
    let mut passed = Vec::new();
    for (pattern, uri) in [
        ("git+https://git.company.example/ml/*", "git+https://git.company.example/ml/%2e%2e/evil"),
        ("git+https://git.company.example/ml/*", "git+https://git.company.example/ml/.%2E/evil"),
        (
            "git+https://git.company.example/ml/*/train",
            "git+https://git.company.example/ml/../train",
        ),
        ("git+https://git.company.example/*/*", "git+https://git.company.example/../evil"),
    ] {
        let world = asked(&format!(
            "require_provenance: true\n    provenance: {{ sources: [\"{pattern}\"] }}\n    {ROOTS}"
        ));
        world.state("prod", made(Kind::Pretrain, vec![code(uri)]));
        let decision = world.decide();
        if decision.admitted {
            passed.push((pattern, uri));
        }
    }
    assert!(passed.is_empty(), "{passed:#?}");
}

/// The code that ran was not that of the commit, or its parameters say another place.
#[test]
fn code_that_is_not_that_of_the_place() {
    let place = "git+https://git.company.example/train";
    let mut passed = Vec::new();
    for source in [
        Source { uri: Some(place.into()), dirty: Some(true), ..Source::default() },
        Source {
            uri: Some("git+https://evil.example/x".into()),
            dirty: Some(false),
            ..Source::default()
        },
    ] {
        let world = asked(&format!(
            "require_provenance: true\n    provenance: {{ sources: [\"git+https://git.company.example/*\"] }}\n    {ROOTS}"
        ));
        let parameters = Parameters { source: Some(source.clone()), ..Parameters::default() };
        world.state("prod", made_with(Kind::Pretrain, vec![code(place)], &parameters));
        let decision = world.decide();
        if decision.admitted {
            passed.push(source);
        }
    }
    assert!(passed.is_empty(), "{passed:#?}");
}

/// Rule 6 and denial: an account that does not hold, by who may not speak of it, decides.
#[test]
fn a_false_account_denies() {
    let (digests, input) = base();
    let mut world = asked(&format!("require_provenance: true\n    {ROOTS}"))
        .with("may_sign: [oms]", "may_sign: [oms, provenance]");
    again(&world);
    world.state("prod", made(Kind::Pretrain, vec![]));
    world.revoked = revoked(
        &world,
        &format!(
            "models: [{{ digest: \"oms:{}\", descendants: true, reason: poisoned }}]\n",
            digests.oms.to_hex()
        ),
    );
    assert!(world.decide().admitted);
    world.state("dev", made(Kind::Finetune, vec![input]));
    let decision = world.decide();
    assert!(decision.admitted, "development may not speak for this model: {:?}", codes(&decision));
}

/// The same with a parent of a lower level, that the model has not.
#[test]
fn a_false_account_lowers_the_level() {
    let world = asked(&format!(
        "require_provenance: true\n    provenance: {{ builders: [{{ id: \"{BUILDER}\", signer: production, max_level: SLSA_BUILD_LEVEL_2 }}], min_level: SLSA_BUILD_LEVEL_2 }}\n    lineage: {{ no_parents_signed_by: [production, development] }}"
    ))
    .with("may_sign: [oms]", "may_sign: [oms, provenance]");
    again(&world);
    world.state("prod", made(Kind::Pretrain, vec![]));
    let weak = beside(&world, "weak", &[("w.safetensors", b"weak")], "dev");
    let Predicate::Provenance(mut own) = made(Kind::Pretrain, vec![]) else { return };
    own.run_details.builder.id = "https://dev.example/laptop".into();
    state_about(&world, weak, "dev", Predicate::Provenance(own));
    assert!(decide_around(&world, work()).unwrap().admitted);
    let input = (Role::BaseModel, weak.descriptor("weak", None));
    world.state("dev", made(Kind::Finetune, vec![input]));
    let decision = decide_around(&world, work()).unwrap();
    assert!(decision.admitted, "{:#?}", decision.refusals().collect::<Vec<_>>());
}

/// A verdict about an ancestor was made before what is behind it was withdrawn: who takes the ancestor's own account away leaves the verdict
/// alone, and that knows of nothing since.
#[test]
fn a_verdict_from_before_a_model_was_withdrawn() {
    use bulla::statement::verdict::{Reference, Verdict, VerificationResult, Verifier};
    let rules = "require_provenance: true\n    lineage: { verifiers: [{ id: \"https://gate.example\", signer: development }], environment: production }";
    let mut world = asked(rules).with("may_sign: [oms]", "may_sign: [oms, vsa]");
    again(&world);
    let (digests, input) = base();
    world.state("prod", made(Kind::Finetune, vec![input]));
    let verified = world.now - bulla::jiff::SignedDuration::from_hours(2);
    let passed = Verdict {
        verifier: Verifier { id: "https://gate.example".into(), version: Default::default() },
        time_verified: verified,
        resource_uri: bulla::lineage::resource_uri(&digests),
        policy: Reference { uri: "file:policy.yaml".into(), digest: Default::default() },
        input_attestations: Vec::new(),
        verification_result: VerificationResult::Passed,
        verified_levels: vec!["SLSA_BUILD_LEVEL_1".into()],
        dependency_levels: Default::default(),
        slsa_version: Some("1.1".into()),
        environment: Some("production".into()),
        expires_on: None,
    };
    state_about(&world, digests, "dev", Predicate::Verdict(Box::new(passed)));
    assert!(decide_around(&world, work()).unwrap().admitted);
    let other = "models: [{ digest: \"oms:0000000000000000000000000000000000000000000000000000000000000000\", descendants: true, WHEN reason: poisoned }]\n";
    // Of what was withdrawn before the verdict it knew; and of what has no descendants there is nothing to know.
    world.revoked = revoked(&world, &other.replace("WHEN", "withdrawn: 2026-11-20T09:00:00Z,"));
    assert!(decide_around(&world, work()).unwrap().admitted);
    world.revoked = revoked(&world, &other.replace("descendants: true, WHEN", ""));
    assert!(decide_around(&world, work()).unwrap().admitted);
    world.revoked = revoked(&world, &other.replace("WHEN", ""));
    must_refuse(&decide_around(&world, work()).unwrap(), "not-revoked");
}

/// A verdict counts ancestors that an account names which does not hold.
#[test]
fn levels_of_what_is_no_ancestor_in_a_verdict() {
    let world = asked(&format!(
        "require_provenance: true\n    provenance: {{ builders: [{{ id: \"{BUILDER}\", signer: production, max_level: SLSA_BUILD_LEVEL_3 }}] }}\n    {ROOTS}"
    ))
    .with("may_sign: [oms]", "may_sign: [oms, provenance]");
    again(&world);
    world.state("prod", made(Kind::Pretrain, vec![]));
    let other = beside(&world, "other", &[("w.safetensors", b"other")], "prod");
    state_about(&world, other, "prod", made(Kind::Pretrain, vec![]));
    world.state(
        "dev",
        made(Kind::Finetune, vec![(Role::BaseModel, other.descriptor("other", None))]),
    );
    let decision = decide_around(&world, work()).unwrap();
    assert!(decision.passed);
    let verdict = verdict(&decision);
    assert!(verdict.dependency_levels.is_empty(), "{:?}", verdict.dependency_levels);
}

/// Swaps the signature after it was read once, and before it is read again for the chain.
#[derive(Debug)]
struct Swap<'a> {
    model: LocalModel,
    place: std::path::PathBuf,
    other: &'a [u8],
}

impl bulla::ModelSource for Swap<'_> {
    fn name(&self) -> &str {
        self.model.name()
    }
    fn layout(&self) -> bulla::model::Layout {
        self.model.layout()
    }
    fn list(
        &self,
        scope: &bulla::model::Scope<'_>,
        limits: &Limits,
    ) -> Result<bulla::model::Listing, bulla::Fault> {
        std::fs::write(&self.place, self.other).unwrap();
        self.model.list(scope, limits)
    }
    fn open(
        &self,
        file: &bulla::model::Found,
    ) -> Result<Box<dyn bulla::model::ModelFile>, bulla::Fault> {
        self.model.open(file)
    }
}

/// `model.sig` is read twice. Whoever has the directory swaps it in between: the files are of one model, the provenance of another.
#[test]
fn a_signature_that_is_swapped_between_two_looks() {
    let world =
        asked("require_provenance: true\n    lineage: { no_parents_signed_by: [production] }")
            .with("\n    lineage: { no_parents_signed_by: [production] }", "");
    // An old model of production has a provenance.
    let old =
        beside(&world, "old", &[("config.json", b"{}"), ("model.safetensors", b"old")], "prod");
    again(&world);
    state_about(&world, old, "prod", made(Kind::Finetune, vec![base().1]));
    must_refuse(&world.decide(), "provenance");
    let other = std::fs::read(world.folder.path().join("old/model.sig")).unwrap();
    let place = world.model().join("model.sig");
    let source = Swap { model: LocalModel::open(&world.model()).unwrap(), place, other: &other };
    let limits = Limits::default();
    let gate = Gate::open(world.read().unwrap(), None, &world.revoked, world.now, &limits).unwrap();
    let request = Request {
        environment: "production",
        name: NAME,
        expected: &[],
        measure_parents: true,
        converter: None,
    };
    let held = vec![Held::local(&world.model()).unwrap()];
    let candidate = Candidate { source: &source, held };
    match gate.decide(&request, candidate, &world.memory, world.now, &limits, work()) {
        Ok(decision) => must_refuse(&decision, "provenance"),
        Err(fault) => println!("{fault}"),
    }
}

/// Something beside the model that cannot be read, or is too much: no reason to decide nothing.
#[test]
fn a_neighbour_that_cannot_be_read() {
    let world = asked(&format!("require_provenance: true\n    {ROOTS}"));
    let digests = beside(&world, "base", &[("w.safetensors", b"base")], "prod");
    state_about(&world, digests, "prod", made(Kind::Pretrain, vec![]));
    world.state(
        "prod",
        made(Kind::Finetune, vec![(Role::BaseModel, digests.descriptor("base", None))]),
    );
    let mut limits = Limits::default();
    limits.model_bytes = 1 << 20;
    assert!(decide_within(&world, &limits, work()).unwrap().admitted);
    let rogue = world.folder.path().join("a-rogue");
    std::fs::create_dir(&rogue).unwrap();
    std::fs::copy(world.folder.path().join("base/model.sig"), rogue.join("model.sig")).unwrap();
    std::fs::File::create(rogue.join("w.safetensors")).unwrap().set_len(2 << 20).unwrap();
    let decision = decide_within(&world, &limits, work()).unwrap();
    assert!(decision.admitted, "{:#?}", decision.findings);
}

/// Data that the model was not made from has no licence that counts.
#[test]
fn licences_of_what_is_no_ancestor() {
    use bulla::statement::dataset::Dataset;
    use bulla::statement::other::Other;
    let world = asked(&format!(
        "require_provenance: true\n    licenses: {{ allow: [mit], signed_by: [production] }}\n    {ROOTS}"
    ))
    .with("may_sign: [oms]", "may_sign: [oms, provenance]");
    again(&world);
    world.state("prod", made(Kind::Pretrain, vec![]));
    let bom =
        serde_json::json!({ "components": [{ "licenses": [{ "license": { "id": "MIT" } }] }] });
    let bom = Other::new("https://cyclonedx.org/bom", bom).unwrap();
    world.state("prod", Predicate::Other(bom));
    assert!(decide_around(&world, work()).unwrap().admitted);
    // Development has signed a copy, and speaks of that.
    let config = b"{\"architectures\":[\"Llama\"]}";
    beside(&world, "copy", &[("config.json", config), ("model.safetensors", b"weights")], "dev");
    let (digests, _) = base();
    let dataset =
        Dataset { name: "data".into(), license: Some("gpl-3.0".into()), ..Dataset::default() };
    state_about(&world, digests, "prod", Predicate::Dataset(dataset));
    world.state(
        "dev",
        made(Kind::Pretrain, vec![(Role::TrainingData, digests.descriptor("data", None))]),
    );
    let decision = decide_around(&world, work()).unwrap();
    assert!(decision.admitted, "{:#?}", decision.refusals().collect::<Vec<_>>());
}
