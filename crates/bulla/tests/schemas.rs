//! What Bulla writes keeps the specification's four JSON schemas.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;

use bulla::model::Method;
use bulla::{Compatibility, HashAlgorithm, KeyAlgorithm, Limits, LocalModel, Recipe, Signer};
use bulla_testkit::authority::{Issued, authority, signer};
use bulla_testkit::bundles::{TestSigner, statement_of};
use bulla_testkit::{models, work};
use serde_json::Value;

fn data(path: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    serde_json::from_slice(&std::fs::read(folder.join(path)).unwrap()).unwrap()
}

fn validator(name: &str) -> jsonschema::Validator {
    let schema = |name: &str| data(&format!("oms-schemas/v1.0/{name}.schema.json"));
    let registry = ["bundle", "envelope", "statement", "predicate"].into_iter().fold(
        jsonschema::Registry::new(),
        |registry, name| {
            let uri = format!("https://model_signing/{name}/v1.0/schema");
            registry.add(uri, schema(name)).unwrap()
        },
    );
    let registry = registry.prepare().unwrap();
    jsonschema::options().with_registry(&registry).build(&schema(name)).unwrap()
}

#[track_caller]
fn valid(schema: &str, value: &Value) {
    let errors: Vec<String> = validator(schema)
        .iter_errors(value)
        .map(|e| format!("{e} at {}", e.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{schema}: {errors:?}");
}

#[track_caller]
fn conforms(bundle: &[u8]) {
    let value: Value = serde_json::from_slice(bundle).unwrap();
    let statement = statement_of(bundle);
    valid("bundle", &value);
    valid("envelope", &value["dsseEnvelope"]);
    valid("statement", &statement);
    valid("predicate", &statement["predicate"]);
}

#[test]
fn the_validator_refuses_what_it_must() {
    assert!(validator("bundle").is_valid(&data("oms-spec-vectors/valid/key.bundle.json")));
    for name in ["missing-envelope", "missing-tlog-entries", "missing-verification-material"] {
        let vector = data(&format!("oms-spec-vectors/invalid/{name}.bundle.json"));
        assert!(!validator("bundle").is_valid(&vector), "{name}");
    }
}

#[test]
fn the_validator_refuses_a_wrong_predicate() {
    let vector = data("oms-spec-vectors/invalid-payload/wrong-predicate.bundle.json");
    let statement = statement_of(&serde_json::to_vec(&vector).unwrap());
    assert!(validator("bundle").is_valid(&vector));
    assert!(!validator("statement").is_valid(&statement));
    // And so does Bulla, when somebody signs it.
    let folder = tempfile::tempdir().unwrap();
    let result = TestSigner::default().verify_statement(&models::small(folder.path()), &statement);
    assert_eq!(bulla_testkit::refused(result), ["wrong-predicate-type"]);
}

#[test]
fn every_recipe_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::small(folder.path());
    std::fs::remove_file(model.join("empty")).unwrap();
    let test_signer = TestSigner::default();
    for hash in HashAlgorithm::ALL {
        for method in [Method::Files, Method::Shards(1000.try_into().unwrap())] {
            for follow_symlinks in [false, true] {
                let recipe = Recipe { hash, method, follow_symlinks, ..Recipe::default() };
                conforms(&test_signer.sign(&model, &recipe));
            }
        }
    }
    conforms(&test_signer.sign(&model.join("weights.bin"), &Recipe::default()));
}

#[test]
fn every_kind_of_signer_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::small(folder.path());
    for algorithm in [KeyAlgorithm::EcdsaP521, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa(3072)] {
        conforms(&TestSigner::new(algorithm).sign(&model, &Recipe::default()));
    }
    let root = Issued::root(authority("Root"));
    let leaf = root.issue(signer("Signer"));
    let signer: &dyn Signer = &leaf.signer(&[&root]);
    for compatibility in [Compatibility::Specification, Compatibility::ModelSigning] {
        for model in [&model, &model.join("weights.bin")] {
            let source = LocalModel::open(model).unwrap();
            let limits = Limits::default();
            let signed = bulla::sign::sign(
                &source,
                &Recipe::default(),
                compatibility,
                signer,
                bulla::sign::Known::Nothing,
                &limits,
                work(),
            );
            conforms(&signed.unwrap().bundle);
        }
    }
}
