//! `bulla policy import`

use std::path::Path;

use super::world::Folder;

const SOURCE: &str = "model-signing-certificate-policy.yaml";

/// A company that has such a document, and keys.
fn company() -> Folder {
    let folder = Folder::new();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let source = crates.join("bulla-policy/tests/data").join(SOURCE);
    folder.write(SOURCE, &std::fs::read_to_string(source).unwrap());
    let root = crates.join("bulla/tests/data/sigstore/trusted_root.json");
    folder.write("trusted_root.json", &std::fs::read_to_string(root).unwrap());
    for id in ["prod", "stage", "ana", "ben"] {
        folder.key(id);
    }
    folder
}

const KEYS: &str = "--key production=prod.pub:ml-platform-ci@company.com \
    --key staging=stage.pub:ml-engineer-ann@company.com";
const PEOPLE: &str =
    "--role release-managers=ana:ana.pub,ben:ben.pub --approvals production=release-managers";
const REST: &str = "--issuer company-oidc=https://oidc.company.com --trusted-root trusted_root.json \
    --name company-models --expires 2099-01-01";

fn all() -> String {
    format!("policy import {SOURCE} {KEYS} {PEOPLE} {REST}")
}

/// Everything that the document leaves out is told at once, with the flags that give it.
#[test]
fn all_that_is_missing() {
    let folder = company();
    let said = folder.says(&format!("policy import {SOURCE}"), 2);
    for words in [
        "7 reasons",
        "--name NAME",
        "--expires 2027-06-01",
        "--key production=FILE:HOLDER, where HOLDER is one of ml-platform-ci@company.com, model-release-bot@company.com",
        "--key staging=FILE:HOLDER, where HOLDER is one of ml-platform-ci@company.com, ml-engineer-*@company.com",
        "who approves what production signed, 2 of them: --approvals production=ROLE",
        "--issuer company-oidc=https://…",
        "--trusted-root FILE, or --public-good",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let report = folder.json(&format!("policy import {SOURCE}"), 2);
    assert_eq!(report["reasons"][0]["code"], "missing");
    // Who holds a key has to be somebody who may; a role needs as many people as have to agree.
    let one = all().replace("ana:ana.pub,ben:ben.pub", "ana:ana.pub,ana:ben.pub");
    let said = folder.says(&one, 2);
    assert!(
        said.contains("at least 2 people of release-managers: --role release-managers="),
        "{said}"
    );
    for holder in ["", ":ml-engineer-ann@other.com"] {
        let said = folder.says(&all().replace(":ml-engineer-ann@company.com", holder), 2);
        assert!(said.contains("who holds stage.pub: --key staging=stage.pub:HOLDER"), "{said}");
    }
}

#[test]
fn what_is_written() {
    let folder = company();
    let said = folder.says(&format!("{} --output policy.yaml", all()), 0);
    for words in [
        "written: policy.yaml",
        "note: not enforced by a policy: generation: Private keys never exported",
        "note: not enforced by a policy: revocation: Incident response triggered for key compromise",
        "note: production: max_signature_age_days asks how old a signature is",
        "note: development: nothing unsigned is admitted",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    // What a policy can say is not told as what it cannot.
    assert!(!said.contains("Transition period"), "{said}");
    let text = folder.text("policy.yaml");
    for words in [
        "  name: company-models # --name\n  version: 1 # --policy-version\n  expires: \"2099-01-01\" # --expires\n",
        "    type: key # key-based\n    key_storage: hsm # HSM\n    key_algorithm: ecdsa-p256\n",
        "rotation: { every: 366d, overlap: 30d } # annual; Transition period: both keys accepted for 30 days\n",
        "rotation: { every: 92d, overlap: 30d } # quarterly;",
        "    key_storage: vault # vault\n",
        "approvals: { required: 2, from: release-managers } # approval_count; --approvals\n",
        "    identity_provider: \"https://oidc.company.com\" # --issuer: company-oidc\n",
        "  production: # production_deployment\n",
        "    lineage: { unverified_parents: allow, no_parents_signed_by: [production, staging] } # not",
        "    max_signature_age_days: 180\n",
        "    require_signature: false\n",
        "# Not enforced by a policy:\n# * generation: Keys generated on HSM or Vault\n",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(text.contains(&folder.fingerprint("stage")));
    let checked = folder.json("policy check policy.yaml", 0);
    let names: Vec<_> =
        checked["environments"].as_array().unwrap().iter().map(|e| &e["name"]).collect();
    assert_eq!(names, ["development", "production", "staging"]);
    // On standard output it is the same, and is told of in JSON.
    let report = folder.json(&all(), 0);
    assert!(report["text"].as_str().unwrap().contains("key_storage: hsm"), "{report}");
    assert_eq!(report["notes"].as_array().unwrap().len(), 13);
}

/// The gate goes by it.
#[test]
fn what_it_decides() {
    let folder = company();
    // Annual keys of 2020 count no more: what could be used for nothing is not written.
    let said = folder.says(&format!("{} --output policy.yaml --keys-from 2020-01-01", all()), 1);
    assert!(said.contains("accepts production, none of whose keys counts now"), "{said}");
    assert!(!folder.path("policy.yaml").exists());
    folder.says(&format!("{} --output policy.yaml", all()), 0);
    folder.write("fraud-eu/model.safetensors", "weights");
    folder.says("sign fraud-eu --key prod.key", 0);
    let admit = "admit fraud-eu --policy policy.yaml --environment production";
    let not_met = |code| {
        let decision = folder.json(admit, code);
        let findings = decision["findings"].as_array().unwrap().clone();
        let not_met = findings.into_iter().filter(|one| one["outcome"] == "not-met");
        not_met.map(|one| one["rule"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(not_met(1), ["max-signature-age", "approvals", "provenance", "lineage"]);
    for by in ["ana", "ben"] {
        folder.says(&format!("approve fraud-eu -p policy.yaml -e production --key {by}.key"), 0);
    }
    folder.says("attest provenance fraud-eu --kind pretrain --key prod.key", 0);
    folder.says("release fraud-eu --name fraud-eu --sequence 1 --expires 30d --key prod.key", 0);
    assert_eq!(not_met(0), Vec::<String>::new());
    folder.says("sign fraud-eu --key stage.key", 0);
    assert!(not_met(1).contains(&"signature".to_owned()));
}

#[test]
fn nothing_of_others_is_replaced() {
    let folder = company();
    let import = format!("{} --output policy.yaml", all());
    folder.says(&import, 0);
    folder.says(&import.replace("2099", "2098"), 0);
    assert!(folder.text("policy.yaml").contains("2098-01-01"));
    let changed = folder.text("policy.yaml").replace("2098-01-01", "2097-01-01");
    folder.write("policy.yaml", &changed);
    let said = folder.says(&import, 2);
    assert!(said.contains("policy.yaml exists and is not"), "{said}");
    assert_eq!(folder.text("policy.yaml"), changed);
    // In another folder the trusted root is named in full.
    std::fs::create_dir(folder.path("made")).unwrap();
    folder.says(&all().replace("--expires", "--output made/policy.yaml --expires"), 0);
    folder.says("policy check made/policy.yaml", 0);
}

#[test]
fn sources_and_answers_that_are_refused() {
    let folder = company();
    let source = folder.text(SOURCE);
    for (from, to, words) in [
        ("requires_approval: true", "requires_aproval: true", "unknown field"),
        ("\"annual\"", "\"sometimes\"", "key_rotation is \"sometimes\""),
        ("\"HSM\"", "\"a safe\"", "key_storage is \"a safe\""),
        ("\"keyless\"", "\"hopeful\"", "unknown variant"),
        ("provider: \"sigstore\"", "provider: \"other\"", "provider is \"other\""),
        ("approval_count: 2", "approval_count: 0", "add approval_count"),
        ("requires_approval: true", "requires_approval: false", "which is meant?"),
        ("staging_deployment:", "production:", "are one environment"),
        ("[\"production\"]", "[\"produktion\"]", "there is no produktion"),
        ("\"*@company.com\"", "\"*@*\"", "*@*"),
        ("\"ECDSA-P256\"", "\"ed25519\"", "but key_algorithm asks for ed25519"),
        (
            "type: \"keyless\"",
            "type: \"keyless\"\n      key_storage: HSM",
            "for authorities of another type",
        ),
    ] {
        assert!(source.contains(from), "{from}");
        folder.write(SOURCE, &source.replacen(from, to, 1));
        let said = folder.says(&all(), 3);
        assert!(said.contains(words), "{to}: {said}");
    }
    folder.write(SOURCE, &source);
    for (more, words) in [
        ("--key produktion=prod.pub:ml-platform-ci@company.com", "a key of produktion"),
        ("--key development=prod.pub:ml-platform-ci@company.com", "a key of development"),
        ("--approvals staging=release-managers", "who approves for staging"),
        ("--issuer other-oidc=https://x", "the identity provider other-oidc"),
        ("--issuer company-oidc=https://x", "given twice"),
        ("--key prod.pub", "expected AUTHORITY=FILE:HOLDER"),
        ("--role managers=ana", "expected ROLE=PERSON:FILE"),
        ("--public-good", "cannot be used with"),
    ] {
        let said = folder.says(&format!("{} {more}", all()), 2);
        assert!(said.contains(words), "{more}: {said}");
    }
    let said = folder.says(&all().replace("2099-01-01", "2020-01-01"), 1);
    assert!(said.contains("nothing is admitted by it"), "{said}");
    folder.says(&all().replace("prod.pub", "none.pub"), 3);
}
