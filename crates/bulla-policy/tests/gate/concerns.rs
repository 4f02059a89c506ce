//! What is wrong with a policy, and where: each with the line that it speaks of, and all of it at once.

use std::path::Path;

use bulla::Limits;
use bulla_policy::{Concern, Policy};
use proptest::prelude::*;

use crate::world::{World, quoted};

fn wrong(text: &str) -> Vec<Concern> {
    let path = Path::new("/nowhere/policy.yaml");
    Policy::check(path, text.as_bytes(), &Limits::default()).unwrap_err().concerns
}

/// What a concern marks.
fn marked<'t>(text: &'t str, concern: &Concern) -> &'t str {
    let place = concern.place.unwrap_or_else(|| panic!("{concern:?} has no place"));
    let line = text.lines().nth(place.line - 1).unwrap();
    let byte = |n| line.char_indices().nth(n).map_or(line.len(), |(at, _)| at);
    &line[byte(place.column - 1)..byte(place.column - 1 + place.length)]
}

/// One fault, which is told once, at the right place.
#[test]
fn each_fault_points_at_its_member() {
    for (from, to, code, mark, hint) in [
        ("version: 7", "version: seven", "wrong-value", "seven", "docs/policy.md"),
        ("version: 7, ", "", "missing-member", "policy", "add it"),
        ("expires: 2027-06-01", "expires: soon", "wrong-value", "soon", "a day"),
        ("name: company-models", "name: \"two words\"", "wrong-value", "\"two words\"", "name"),
        ("formats: [", "format: [", "unknown-member", "format", "did you mean formats?"),
        ("key_storage: hsm", "key_storage: hsmm", "wrong-value", "hsmm", "did you mean hsm?"),
        ("models: [\"fraud-*\"]", "models: x", "wrong-value", "x", ""),
        ("threshold: 2", "threshold: 3", "too-few-people", "3", "at most all"),
        ("threshold: 2", "threshold: 0", "too-few-people", "0", "at least 1"),
        ("required: 2,", "required: 0,", "too-few-people", "0", "at least 1"),
        ("required: 2,", "required: 4,", "too-few-people", "4", "add people"),
        ("required: 1,", "required: 3,", "too-few-people", "3", "ask for fewer"),
        ("valid_for: 30d", "valid_for: 0d", "nobody", "0d", "how long"),
        ("valid_for: 14d", "valid_for: 0h", "nobody", "0h", "how long"),
        (
            "formats: [safetensors, json, txt]",
            "verdict_valid_for: 0d",
            "nobody",
            "0d",
            "leave the member out",
        ),
        (
            "authorized_signers: [\"ci@company.com\"]",
            "authorized_signers: [\"ci@company.com\", \"*@*\"]",
            "anybody",
            "\"*@*\"",
            "of which domain",
        ),
        (
            "from: release-managers",
            "from: release-manager",
            "unknown-name",
            "release-manager",
            "did you mean release-managers?",
        ),
        (
            "from: security-officers",
            "from: nobody",
            "unknown-name",
            "nobody",
            "there is release-managers, security-officers",
        ),
        (
            "[production, development]",
            "[production, developement]",
            "unknown-name",
            "developement",
            "did you mean development?",
        ),
        (
            "may_sign: [oms]",
            "may_sign: [oms, relaese]",
            "unknown-name",
            "relaese",
            "did you mean release?",
        ),
        (
            "signer: ci@company.com, valid: { from: 2026-12-02 }",
            "signer: x@y.com, valid: { from: 2026-12-02 }",
            "wrong-key",
            "x@y.com",
            "authorized_signers",
        ),
        (
            "{ from: 2026-12-02 }",
            "{ from: 2026-12-02, until: 2026-12-01 }",
            "wrong-value",
            "valid",
            "until after from",
        ),
        (
            "formats: [safetensors, json, txt]",
            "recipes: { hash: [sha265] }",
            "unknown-name",
            "sha265",
            "did you mean sha256?",
        ),
        (
            "formats: [safetensors, json, txt]",
            "rules: [{ name: r, when: model.nam == 'x', message: m }]",
            "rule",
            "model.nam == 'x'",
            "",
        ),
        (
            "formats: [safetensors, json, txt]",
            "lineage: { max_depth: 65 }",
            "wrong-value",
            "65",
            "",
        ),
        (
            "formats: [safetensors, json, txt]",
            "lineage: { no_parents_signed_by: [prod] }",
            "unknown-name",
            "prod",
            "there is",
        ),
        (
            "formats: [safetensors, json, txt]",
            "evaluations: [{ metric: auc, signed_by: [production] }]",
            "missing-member",
            "auc",
            "how good",
        ),
        (
            "accepted_authorities: [production]\n",
            "accepted_authorities: []\n",
            "nobody",
            "accepted_authorities",
            "name the authorities",
        ),
        (
            "    models:",
            "    mode: enforce\n    mode: warn\n    models:",
            "repeated-member",
            "mode",
            "keep one",
        ),
        ("policy: {", "policy: {{", "yaml", "", "brackets"),
    ] {
        let text = World::new().with(from, to).policy;
        let all = wrong(&text);
        assert_eq!(all.len(), 1, "{to}: {all:#?}");
        let one = &all[0];
        assert_eq!(one.code, code, "{to}: {one:?}");
        assert!(one.is_error && one.hint.contains(hint), "{to}: {one:?}");
        if !mark.is_empty() {
            assert_eq!(marked(&text, one), mark, "{to}: {one:?}");
        }
    }
}

#[test]
fn keys_and_identities_that_are_wrong() {
    let world = World::new();
    let dev = quoted(&world.keys["dev"].public().to_pem());
    let pinned = format!("{dev}, fingerprint: \"sha256:{}\"", "0".repeat(64));
    let text = world.policy.replace(&dev, &pinned);
    let all = wrong(&text);
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!((all[0].code, marked(&text, &all[0]).len()), ("other-key", 73));
    // Without keys, and of another type.
    let none = format!("keys: [{{ public_key: {dev} }}]");
    let text = world.policy.replace(&none, "allowed_identities: [\"*@company.com\"]");
    let all = wrong(&text);
    let told: Vec<_> = all.iter().map(|one| (one.code, marked(&text, one))).collect();
    let expected = [("missing-member", "development"), ("missing-member", "allowed_identities")];
    assert_eq!(told, expected, "{all:#?}");
    // Patterns that fit everybody, and a Sigstore instance that is not there.
    let keyless = "type: keyless\n    identity_provider: \"https://oidc.company.com\"\n    allowed_identities: [\"*\", \"*@*\", \"ci@company.com\", \"https://*/x\"]";
    let text = world.policy.replace(
        &format!("type: key\n    may_sign: [oms]\n    {none}"),
        &format!("{keyless}\n    may_sign: [oms]"),
    );
    let all = wrong(&text);
    let told: Vec<_> = all.iter().map(|one| marked(&text, one)).collect();
    assert_eq!(told, ["keyless", "\"*\"", "\"*@*\"", "\"https://*/x\""], "{all:#?}");
}

/// Whoever mends one fault is not told of the next only then.
#[test]
fn all_of_it_at_once() {
    let world = World::new()
        .with("version: 7", "version: seven")
        .with("threshold: 2", "treshold: 2")
        .with("key_storage: hsm", "key_storage: safe")
        .with("formats: [", "format: [")
        .with("accepted_authorities: [production, development]", "accepted: [production]");
    let all = wrong(&world.policy);
    let marks: Vec<_> = all.iter().map(|one| marked(&world.policy, one)).collect();
    assert_eq!(marks, ["seven", "treshold", "safe", "format", "accepted"], "{all:#?}");
    let world = World::new()
        .with("expires: 2027-06-01", "expires: soon")
        .with("threshold: 2", "threshold: 9")
        .with("from: release-managers", "from: nobody")
        .with("[production, development]", "[prod, development]");
    let all = wrong(&world.policy);
    let marks: Vec<_> = all.iter().map(|one| marked(&world.policy, one)).collect();
    assert_eq!(marks, ["soon", "9", "nobody", "prod"], "{all:#?}");
    // The same as a fault, in words.
    let said = world.read().unwrap_err().to_string();
    assert!(
        said.contains("line 1, column 54: expires:") && said.contains("no prod under"),
        "{said}"
    );
}

/// What the reader of YAML takes all the same is not told beside what is wrong.
#[test]
fn what_is_right_is_not_told() {
    let text = World::new()
        .with("version: 7", "version: \"7\"")
        .with("id: prod-2026", "id: 2026")
        .with("models: [\"fraud-*\"]", "models: null")
        .with("formats: [", "format: [")
        .policy;
    let all = wrong(&text);
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!(marked(&text, &all[0]), "format");
}

fn concerns(world: &World) -> Vec<(bool, &'static str, String)> {
    let all = world.read().unwrap().concerns(world.now);
    let mark = |one: &Concern| marked(&world.policy, one).to_owned();
    all.iter().map(|one| (one.is_error, one.code, mark(one))).collect()
}

/// A policy that can be read, and could be met by nobody.
#[test]
fn rules_that_nobody_could_meet() {
    assert_eq!(concerns(&World::new()), []);
    for (from, to, code, mark) in [
        ("expires: 2027-06-01", "expires: 2026-01-01", "expired", "2026-01-01"),
        ("may_sign: [oms]", "may_sign: [release]", "nobody", "development"),
        (
            "may_sign: [oms]\n    keys: [{",
            "may_sign: [oms]\n    keys: [{ valid: { until: 2026-01-01 },",
            "nobody",
            "development",
        ),
        ("    exceptions:", "    require_release: true\n    exceptions:", "", ""),
        ("oms, provenance, release,", "oms, provenance,", "", ""),
        ("    exceptions:", "    max_signature_age_days: 0\n    exceptions:", "nobody", "0"),
        (
            "    exceptions:",
            "    require_bom: { signed_by: [development] }\n    exceptions:",
            "nobody",
            "signed_by",
        ),
        (
            "    exceptions:",
            "    require_bom: { signed_by: [production] }\n    exceptions:",
            "",
            "",
        ),
        (
            "    exceptions:",
            "    test_results: { signed_by: [development] }\n    exceptions:",
            "nobody",
            "signed_by",
        ),
        (
            "    exceptions:",
            "    evaluations: [{ metric: a, at_least: 2, at_most: 1, signed_by: [production] }]\n    exceptions:",
            "nobody",
            "2",
        ),
        (
            "    exceptions:",
            "    lineage: { no_parents_signed_by: [development] }\n    exceptions:",
            "nobody",
            "development",
        ),
        (
            "    exceptions:",
            "    require_provenance: true\n    lineage: { no_parents_signed_by: [production] }\n    provenance: { min_level: SLSA_BUILD_LEVEL_2 }\n    exceptions:",
            "nobody",
            "SLSA_BUILD_LEVEL_2",
        ),
        ("formats: [safetensors, json, txt]", "formats: []", "nobody", "formats"),
        ("formats: [safetensors, json, txt]", "formats: [.safetensors]", "nobody", "formats"),
        // Its keys are to be replaced, and one never ends.
        (
            "    approvals: { required: 2",
            "    rotation: { every: 800d, overlap: 30d }\n    approvals: { required: 2",
            "no-end",
            "valid",
        ),
        ("formats: [safetensors, json, txt]", "recipes: { hash: [] }", "nobody", "hash"),
    ] {
        let world = World::new().with(from, to);
        let all = concerns(&world);
        match code {
            "" => assert_eq!(all, [], "{to}"),
            code => assert_eq!(all, [(true, code, mark.to_owned())], "{to}"),
        }
    }
    // A release is asked for, and nobody may sign one.
    let world = World::new()
        .with("oms, provenance, release,", "oms, provenance,")
        .rule("require_release: true");
    assert_eq!(concerns(&world), [(true, "nobody", "true".to_owned())]);
}

/// Whoever signs does not agree: enough others have to be left.
#[test]
fn people_who_sign() {
    // Ana holds one of the keys, so that of three there are two.
    let ana = World::new().with(
        "signer: ci@company.com, valid: { from: 2026-01-01",
        "signer: ana, valid: { from: 2026-01-01",
    );
    let ana = ana.with(
        "authorized_signers: [\"ci@company.com\"]",
        "authorized_signers: [\"ci@company.com\", ana]",
    );
    assert_eq!(concerns(&ana), []);
    // With all three asked for, what is signed with hers could never be admitted; what the other key signs could.
    let three = ana.with("required: 2,", "required: 3,");
    assert_eq!(concerns(&three), [(false, "too-few-people", "3".to_owned())]);
    // With each key it could not.
    let both = three
        .with(
            "signer: ci@company.com, valid: { from: 2026-12-02",
            "signer: Ben, valid: { from: 2026-12-02",
        )
        .with("[\"ci@company.com\", ana]", "[Ben, ana]");
    assert_eq!(concerns(&both), [(true, "too-few-people", "3".to_owned())]);
    // The same key, under no name.
    let world = World::new();
    let (cem, prod) = (
        quoted(&world.keys["cem"].public().to_pem()),
        quoted(&world.keys["prod"].public().to_pem()),
    );
    let same = world.with(&cem, &prod).with("required: 2,", "required: 3,");
    assert_eq!(concerns(&same), [(false, "too-few-people", "3".to_owned())]);
}

/// Whatever is left out or put in: it is read, or told what is wrong with it, in lines that there are.
#[test]
fn any_text_is_read_or_told_of() {
    let text: Vec<char> = World::new().policy.chars().collect();
    let bits = prop::sample::select(vec![
        "",
        " ",
        "\n",
        "\n    ",
        "{",
        "}",
        "[",
        "]",
        ": ",
        ", ",
        "'",
        "\"",
        "~",
        "7",
        "x",
        "&a ",
        "*a",
        "!!b ",
        "- ",
        "# ",
        "|",
        "é",
        "\t",
        "\u{feff}",
        "name: x\n",
        "<<: ",
    ]);
    let edits = prop::collection::vec((0..text.len(), 0..12_usize, bits), 1..4);
    let config =
        ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(edits in edits)| {
        let mut text = text.clone();
        for (at, cut, put) in edits {
            let at = at.min(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, put.chars());
        }
        let text: String = text.into_iter().collect();
        let path = Path::new("/nowhere/policy.yaml");
        match Policy::check(path, text.as_bytes(), &Limits::default()) {
            Ok(policy) => { let _ = policy.concerns(bulla_testkit::now()); }
            Err(unusable) => {
                prop_assert!(!unusable.concerns.is_empty());
                let lines = text.lines().count() + 1;
                let there = |one: &Concern| one.place.is_none_or(|place| (1..=lines).contains(&place.line));
                prop_assert!(unusable.concerns.iter().all(there), "{:?}", unusable.concerns);
            }
        }
    });
}

/// What is no mistake, and hardly meant.
#[test]
fn an_environment_that_admits_nothing_unsigned() {
    let world = World::new().with(
        "  staging:\n    accepted_authorities",
        "  staging:\n    require_signature: false\n    accepted_authorities",
    );
    let all = world.read().unwrap().concerns(world.now);
    assert!(all.iter().any(|one| one.code == "no-effect" && !one.is_error), "{all:#?}");
}

/// Whoever reads what it says in plain words has to be told of everybody who may sign.
#[test]
fn everybody_is_explained() {
    let world = World::new()
        .with("trust:\n", "trust:\n  sigstore: { public_good: true }\n")
        .with(
            "  development:\n    type: key\n    may_sign: [oms]\n",
            "  robots:\n    type: keyless\n    identity_provider: \"https://oidc.company.com\"\n    allowed_identities: [\"*@company.com\"]\n    may_sign: [oms]\n  development:\n    type: key\n    may_sign: [oms]\n",
        )
        .with("accepted_authorities: [production, development]", "accepted_authorities: [robots]");
    let lines = world.read().unwrap().explain().join("\n");
    assert!(
        lines.contains("robots: identities *@company.com, vouched for by https://oidc.company.com"),
        "{lines}"
    );
}
