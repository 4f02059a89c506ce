//! The schemas, beside the readers of the same documents.

use std::path::Path;

use bulla_policy::{RevocationList, policy_schema, revocations_schema};
use jsonschema::Validator;
use serde_json::Value;

use crate::world::World;

fn validator(schema: &Value) -> Validator {
    jsonschema::draft202012::meta::validate(schema).unwrap();
    jsonschema::options().build(schema).unwrap()
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// A block of the documentation, with something in place of what is left out there.
fn example(beginning: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/policy.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let (_, example) = docs.split_once(&format!("```yaml\n{beginning}")).unwrap();
    let (example, _) = example.split_once("```").unwrap();
    format!("{beginning}{example}")
        .replace("}, …]", "}]")
        .replace("\"https://…\"", "\"https://oidc.company.example\"")
        .replace('…', &"ab".repeat(32))
}

#[track_caller]
fn accepted(validator: &Validator, text: &str) {
    let document = yaml(text);
    let wrong: Vec<String> = validator.iter_errors(&document).map(|e| e.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn policies_that_are_read_are_by_the_schema() {
    let policy = validator(&policy_schema());
    accepted(&policy, &example("policy:"));
    let world = World::new();
    world.read().unwrap();
    accepted(&policy, &world.policy);
    // Where a member may be left out it may be empty, too.
    let none = World::new().with("formats: [safetensors, json, txt]", "formats: null");
    none.read().unwrap();
    accepted(&policy, &none.policy);
}

/// What the reader refuses for its names and shapes the schema refuses, too.
#[test]
fn typos_are_refused_by_both() {
    let policy = validator(&policy_schema());
    for (from, to) in [
        ("policy:", "polices:"),
        ("name: company-models", "name: \"two words\""),
        ("version: 7", "version: -7"),
        ("version: 7", "version: seven"),
        ("expires: 2027-06-01", "expires: soon"),
        ("expires: 2027-06-01", "expire: 2027-06-01"),
        ("timestamp_authorities:", "timestamp_authority:"),
        ("chain:", "chian:"),
        ("threshold: 2", "treshold: 2"),
        ("threshold: 2", "threshold: 0"),
        ("key_storage: hsm", "key_storage: safe"),
        ("may_sign: [oms]", "may_sign: [model]"),
        ("required: 2", "required: 0"),
        ("valid_for: 30d", "valid_for: 30"),
        ("type: key", "type: keys"),
        ("from: 2026-01-01", "from: 01.01.2026"),
        ("accepted_authorities: [production]", "accepted_authority: [production]"),
        ("accepted_authorities: [production]", "accepted_authorities: production"),
        ("formats: [safetensors, json, txt]", "recipes: { hash: [md5] }"),
        ("formats: [safetensors, json, txt]", "recipes: { hashes: [sha256] }"),
        ("formats: [safetensors, json, txt]", "remote_code: denied"),
        ("formats: [safetensors, json, txt]", "provenance: { min_level: high }"),
        ("formats: [safetensors, json, txt]", "lineage: { max_depth: 65 }"),
        ("formats: [safetensors, json, txt]", "rules: [{ name: a b, when: 'true', message: m }]"),
        ("  staging:", "  \"stag ing\":"),
    ] {
        let world = World::new().with(from, to);
        assert!(world.read().is_err(), "the reader takes {to}");
        assert!(!policy.is_valid(&yaml(&world.policy)), "the schema takes {to}");
    }
}

#[test]
fn revocations() {
    let schema = validator(&revocations_schema());
    let good = example("revocations:");
    let read = |text: &str| RevocationList::read(Path::new("/r.yaml"), text.as_bytes());
    assert_eq!(read(&good).unwrap().models.len(), 1);
    accepted(&schema, &good);
    for (from, to) in [
        ("version: 41", "version: x"),
        ("issued:", "isued:"),
        ("keys:", "key:"),
        ("since: 2026-11-02T10:00:00Z, ", "sinc: 2026-11-02T10:00:00Z, "),
        ("since: 2026-11-02T10:00:00Z, ", "since: yesterday, "),
        (", reason: laptop stolen", ""),
        ("digest: \"oms:", "digest: \"md5:"),
        ("descendants: true", "descendants: 1"),
        ("sha256: \"", "sha256: \"g"),
    ] {
        assert!(good.contains(from), "{from}");
        let text = good.replacen(from, to, 1);
        assert!(read(&text).is_err(), "the reader takes {to}");
        assert!(!schema.is_valid(&yaml(&text)), "the schema takes {to}");
    }
}

/// An editor has something to show for every member.
#[test]
fn every_member_is_described() {
    fn look(at: &str, schema: &Value, without: &mut Vec<String>) {
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            for (name, member) in properties {
                let described = member.get("description").is_some()
                    || member.get("$ref").is_some()
                    || member.get("anyOf").is_some_and(|any| any[0].get("$ref").is_some());
                if !described {
                    without.push(format!("{at}.{name}"));
                }
            }
        }
        for (name, one) in schema.get("$defs").and_then(Value::as_object).into_iter().flatten() {
            if one.get("description").is_none() {
                without.push(name.clone());
            }
            look(name, one, without);
        }
    }
    for schema in [policy_schema(), revocations_schema()] {
        let mut without = Vec::new();
        look("", &schema, &mut without);
        assert!(without.is_empty(), "{without:?}");
    }
}
