//! What is in the model.

use std::collections::BTreeSet;

use bulla::{HashAlgorithm, ModelPath, Recipe};
use bulla_policy::ModelName;

use crate::world::{World, codes};

#[test]
fn tampered_weights() {
    let world = World::new();
    world.write("model.safetensors", b"Weights");
    world.refused("integrity", "model.safetensors");
    let world = World::new();
    world.write("added.txt", b"x");
    world.refused("integrity", "added.txt");
    std::fs::remove_file(world.model().join("config.json")).unwrap();
    world.refused("integrity", "config.json");
}

/// Approvals and all else are of contents under names: the same contents under others are another model.
#[test]
fn the_same_contents_under_other_names() {
    let world = World::new();
    let before = world.digests();
    let rename = |from: &str, to: &str| {
        std::fs::rename(world.model().join(from), world.model().join(to)).unwrap();
    };
    rename("config.json", "a.json");
    rename("model.safetensors", "setup.txt");
    world.sign("prod");
    assert_eq!(world.digests().oms, before.oms, "the root binds no names");
    world.refused("approvals", "nobody has approved it");
}

/// Rule 1: whoever signs anew, leaving code out, inherits no approvals; and what is left out is told.
#[test]
fn rule_1_a_signature_that_leaves_code_out() {
    let world = World::new();
    world.write("modeling.py", b"import os");
    let mut recipe = Recipe::default();
    recipe.ignore.insert(ModelPath::parse("modeling.py").unwrap());
    world.sign_with(world.signer("prod"), &recipe);
    let decision = world.decide();
    assert_eq!(codes(&decision), ["recipe", "approvals"], "{:#?}", decision.findings);
    let found = &decision.refusals().next().unwrap().found;
    assert!(found.contains("leaves out modeling.py"), "{found}");
    // Allowed, it is still not measured.
    let world = world.rule("recipes: { ignore: [model.sig, claims.jsonl, modeling.py, .git, .gitignore, .gitattributes, .github] }");
    let decision = world.decide();
    assert!(decision.refusals().any(|f| f.found.contains("nobody signed modeling.py")));
}

/// Rule 1: names that signatures pass over are no place to hide in.
#[test]
fn rule_1_places_that_are_passed_over() {
    for place in [".git/evil.py", "claims.jsonl/evil.py", ".gitattributes"] {
        let world = World::new();
        if place.starts_with("claims") {
            std::fs::remove_file(world.model().join("claims.jsonl")).unwrap();
        }
        world.write(place, b"import os");
        let decision = world.decide_for("production", "fraud-eu");
        match decision {
            Ok(decision) => {
                assert!(!decision.admitted, "{place}: {:#?}", decision.findings);
            }
            // A directory where claims should be cannot be read.
            Err(fault) => assert!(place.starts_with("claims"), "{fault}"),
        }
    }
}

#[test]
fn recipes() {
    let world = World::new().rule("recipes: { hash: [sha256] }");
    world.forget_claims();
    world.approve("ana");
    world.approve("ben");
    world.admitted();
    let recipe = Recipe { hash: HashAlgorithm::Blake3, ..Recipe::default() };
    world.sign_with(world.signer("prod"), &recipe);
    let decision = world.decide();
    assert!(codes(&decision).contains(&"recipe"), "{:#?}", decision.findings);
}

#[test]
fn formats() {
    let world = World::new();
    world.write("model.pkl", b"cos\nsystem");
    world.sign("prod");
    world.forget_claims();
    world.approve("ana");
    world.approve("ben");
    world.refused("formats", "model.pkl");
    // A name is no format.
    let world = World::new().rule("require_release: false");
    world.write("safetensors.pkl.", b"x");
    world.sign("prod");
    assert!(codes(&world.decide()).contains(&"formats"));
}

#[test]
fn code_that_comes_with_a_model() {
    let with = |name: &str, bytes: &[u8]| {
        let world = World::new();
        world.write(name, bytes);
        world.sign("prod");
        world.forget_claims();
        world.approve("ana");
        world.approve("ben");
        world
    };
    for config in [
        &br#"{"auto_map":{"AutoModel":"modeling.Model"}}"#[..],
        br#"{"a":[{"b":{"auto_map":"x"}}]}"#,
        br#"{"\u0061uto_map":{"AutoModel":"x"}}"#,
        br#"{"trust_remote_code":true}"#,
        // What Python reads and JSON is not.
        br#"{"x":NaN,"auto_map":{"AutoModel":"x"}}"#,
    ] {
        with("config.json", config).refused("remote-code", "config.json");
        with("sub/adapter_config.json", config).refused("remote-code", "sub/adapter_config.json");
    }
    for config in
        [&br#"{"auto_map":null}"#[..], br#"{"auto_map":{}}"#, br#"{"trust_remote_code":false}"#]
    {
        with("config.json", config).admitted();
    }
    let mut huge = br#"{"auto_map":{"AutoModel":"x"},"x":""#.to_vec();
    huge.resize(17 << 20, b' ');
    huge.extend_from_slice(b"\"}");
    with("config.json", &huge).refused("remote-code", "too large to look at");
    // Words of a tokenizer are no configuration.
    with("tokenizer.json", &huge).admitted();
    let allowed = World::new().rule("remote_code: allow");
    allowed.write("config.json", br#"{"auto_map":{"AutoModel":"x"}}"#);
    allowed.sign("prod");
    allowed.forget_claims();
    allowed.approve("ana");
    allowed.approve("ben");
    allowed.admitted();
}

/// A third party's model, with the digest that it publishes elsewhere.
#[test]
fn a_digest_that_is_expected() {
    let mut world = World::new();
    let digests = world.digests();
    world.expected = vec![ModelName::Oms(digests.oms), ModelName::Manifest(digests.manifest)];
    world.admitted();
    world.expected = vec![ModelName::Oms(digests.manifest)];
    world.refused("expected-digest", &digests.oms.to_hex());
    // One of two is not enough; a file's digest is not a model's.
    world.expected = vec![ModelName::Oms(digests.oms), ModelName::Manifest(digests.oms)];
    world.refused("expected-digest", "oms-manifest-v1:");
    world.expected = vec![ModelName::File(digests.oms)];
    world.refused("expected-digest", "sha256:");
}

#[test]
fn names_that_collide() {
    let world = World::new();
    world.write("Config.json", b"{}");
    world.sign("prod");
    world.forget_claims();
    world.approve("ana");
    world.approve("ben");
    world.refused("names", "Config.json");
}

#[test]
fn quarantine() {
    let mut world = World::new();
    world.memory.quarantined = Some("looked at by the red team".into());
    world.refused("quarantine", "red team");
}

/// An environment that asks for no signature still looks at what is there.
#[test]
fn an_unsigned_model_where_none_is_asked_for() {
    let world = World::new().with(
        "  staging:\n    accepted_authorities: [production, development]\n",
        "  staging:\n    require_signature: false\n    accepted_authorities: [development]\n    remote_code: allow\n    formats: [safetensors, json]\n",
    );
    std::fs::remove_file(world.model().join("model.sig")).unwrap();
    let decision = world.decide_for("staging", "x").unwrap();
    assert!(decision.admitted, "{:#?}", decision.findings);
    world.write("model.pkl", b"x");
    assert_eq!(codes(&world.decide_for("staging", "x").unwrap()), ["formats"]);
    // Where people have to agree to what an authority signs, taking its signature away does not do without them.
    let asks = World::new().with(
        "  staging:\n    accepted_authorities: [production, development]\n",
        "  staging:\n    require_signature: false\n    accepted_authorities: [production]\n    remote_code: allow\n    max_signature_age_days: 30\n",
    );
    std::fs::remove_file(asks.model().join("model.sig")).unwrap();
    let found = asks.decide_for("staging", "x").unwrap();
    let found: BTreeSet<&str> = codes(&found).into_iter().collect();
    assert_eq!(found, ["approvals", "max-signature-age"].into());
    // A signature that does not hold is none that is missing.
    world.sign("stranger");
    assert!(codes(&world.decide_for("staging", "x").unwrap()).contains(&"signature"));
    let names: BTreeSet<&str> = ["formats", "signature"].into();
    let found = world.decide_for("staging", "x").unwrap();
    assert!(codes(&found).into_iter().all(|code| names.contains(code)));
}

/// A signature that binds no names, or no recipe, is none to admit by: nothing that is said of the model can be about it.
#[test]
fn a_signature_of_an_old_format() {
    use bulla::Digest;
    let world = World::new();
    let subject = |name: &str| {
        let bytes = std::fs::read(world.model().join(name)).unwrap();
        serde_json::json!({ "name": name, "digest": { "sha256": Digest::sha256(&bytes).to_hex() } })
    };
    let payload = serde_json::json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [subject("config.json"), subject("model.safetensors")],
        "predicateType": "https://model_signing/Digests/v0.1",
        "predicate": {},
    });
    let payload = payload.to_string();
    let bytes = bulla_testkit::bundles::bundle_of(world.signer("prod"), payload.as_bytes());
    world.write("model.sig", &bytes);
    // It leaves no claims out, so they lie beside the model.
    let beside = world.folder.path().join("model.claims.jsonl");
    std::fs::rename(world.model().join("claims.jsonl"), beside).unwrap();
    let decision = world.decide();
    assert!(!decision.admitted);
    assert_eq!(codes(&decision), ["recipe", "approvals"], "{:#?}", decision.findings);
}
