//! The gate through the program: a policy, its people, a model; what admits it, and what does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod company;

use company::{Company, PRODUCTION, rules};

#[test]
fn a_model_is_admitted_when_everybody_has_agreed() {
    let company = Company::new();
    let admit = format!("admit fraud-eu {PRODUCTION}");
    let said = company.says(&admit, 1);
    for words in [
        "refused: fraud-eu for production",
        "approvals          NOT MET",
        "nobody has approved it",
        "2 people of managers",
        "hint:    have it approved: 'bulla approve",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    company.yes(&format!("approve fraud-eu {PRODUCTION} --key ana.key --comment reviewed"));
    let decision = company.json(&admit, 1);
    assert_eq!(rules(&decision, "not-met"), ["approvals", "evaluations"]);
    company.yes(&format!("approve fraud-eu {PRODUCTION} --key ben.key"));
    company.yes("attest evaluation fraud-eu --metric accuracy=0.93 --key prod.key");
    let decision = company.json(&admit, 0);
    assert_eq!(decision["verdict"], "admitted");
    assert_eq!(decision["passed"], true);
    let said = company.yes(&admit);
    assert!(said.contains("accuracy is 0.93"), "{said}");
    // Of another name nothing is admitted, and of another environment nothing was approved.
    assert_eq!(rules(&company.json(&format!("{admit} --name spam"), 1), "not-met"), ["model-name"]);
}

#[test]
fn tampered_unsigned_and_unknown() {
    let company = Company::ready();
    let admit = format!("admit fraud-eu {PRODUCTION}");
    company.yes(&admit);
    company.write("fraud-eu/model.safetensors", b"Weights");
    assert_eq!(rules(&company.json(&admit, 1), "not-met"), ["integrity"]);
    assert!(company.says(&admit, 1).contains("model.safetensors"));
    company.write("fraud-eu/model.safetensors", b"weights");
    company.yes(&admit);
    company.yes("sign fraud-eu --key stranger.key");
    assert_eq!(rules(&company.json(&admit, 1), "not-met"), ["signature"]);
    std::fs::remove_file(company.path("fraud-eu/model.sig")).unwrap();
    assert_eq!(rules(&company.json(&admit, 1), "not-met"), ["signature"]);
}

/// `verify --policy` is the same gate; nothing that weakens a check goes with it.
#[test]
fn verify_by_a_policy() {
    let company = Company::ready();
    let verify = format!("verify fraud-eu {PRODUCTION}");
    assert!(company.yes(&verify).contains("admitted: fraud-eu for production"));
    assert_eq!(company.json(&verify, 0)["command"], "verify");
    for flag in [
        "--key prod.pub",
        "--ignore x",
        "--ignore-unsigned-files",
        "--only config.json",
        "--partition 0/2",
        "--signature fraud-eu/model.sig",
    ] {
        let said = company.says(&format!("{verify} {flag}"), 2);
        assert!(said.contains("cannot be used with"), "{flag}: {said}");
    }
    company.says("verify fraud-eu --policy policy.yaml", 2);
    company.says(&format!("verify fraud-eu nothing {PRODUCTION}"), 3);
    company.write("fraud-eu/model.safetensors", b"Weights");
    assert!(company.says(&verify, 1).contains("integrity          NOT MET"));
    company.says(&format!("verify nothing fraud-eu {PRODUCTION}"), 1);
}

/// A new key: both count for the overlap; the policy is edited where it has to be.
#[test]
fn a_key_that_is_rotated() {
    let company = Company::ready();
    let policy = std::fs::read_to_string(company.path("policy.yaml")).unwrap();
    let rotate = "key rotate gate.pub --policy policy.yaml --authority production";
    let said = company.says(rotate, 3);
    assert!(said.contains("does not say for how long both keys count"), "{said}");
    company.write("policy.yaml", format!("# ours\n{policy}").as_bytes());
    let rotated = company.json(&format!("{rotate} --overlap 30d --id next"), 0);
    assert_eq!(rotated["version"], 8);
    let text = std::fs::read_to_string(company.path("policy.yaml")).unwrap();
    assert!(text.starts_with("# ours\npolicy: { name: company-models, version: 8,"), "{text}");
    assert!(text.contains("{ id: \"next\", public_key: \"gate.pub\", fingerprint: "), "{text}");
    let admit = format!("admit fraud-eu {PRODUCTION}");
    company.yes(&admit);
    company.yes("sign fraud-eu --key gate.key");
    company.yes(&admit);
    // Two count now: which of them goes?
    let said = company.says(&format!("{} --overlap 30d", rotate.replace("gate", "eva")), 2);
    assert!(said.contains("has 2 keys that count now"), "{said}");
    let said = company.says(&format!("{rotate} --overlap 30d --old next"), 3);
    assert!(said.contains("is there already"), "{said}");
    company.says(&format!("{rotate} --overlap 30d --authority nobody"), 2);
    company.write("mine.txt", b"x");
    let elsewhere = "key rotate eva.pub --policy policy.yaml --authority production --old next";
    company.says(&format!("{elsewhere} --overlap 1d --output mine.txt"), 2);
    company.yes(&format!("{elsewhere} --overlap 1d --output other.yaml"));
    assert_eq!(std::fs::read_to_string(company.path("policy.yaml")).unwrap(), text);
}

/// What could not be checked is no decision.
#[test]
fn it_fails_closed() {
    let company = Company::ready();
    let admit = |more: &str| format!("admit fraud-eu --environment production {more}");
    company.says(&admit("--policy none.yaml"), 3);
    company.says("admit nothing --policy policy.yaml --environment production", 3);
    let said = company.says("admit fraud-eu --policy policy.yaml --environment prod", 2);
    assert!(said.contains("it has audit, production"), "{said}");
    company.write("empty.yaml", b"");
    company.says(&admit("--policy empty.yaml"), 3);
    company.write("broken.yaml", b"policy: { name: x");
    company.says(&admit("--policy broken.yaml"), 3);
    let policy = std::fs::read_to_string(company.path("policy.yaml")).unwrap();
    company.write("typo.yaml", policy.replace("formats:", "format:").as_bytes());
    assert!(company.says(&admit("--policy typo.yaml"), 3).contains("unknown field"));
    company.write("other-key.yaml", policy.replace("prod.pub", "gate.pub").as_bytes());
    assert!(company.says(&admit("--policy other-key.yaml"), 3).contains("expected sha256:"));
    let list = "revocations: { document: revocations.yaml, signed_by: officers, max_age: 24h }\n";
    company.write("listed.yaml", format!("{policy}{list}").as_bytes());
    assert!(company.says(&admit("--policy listed.yaml"), 3).contains("revocations.yaml"));
    company.write("revocations.yaml", b"revocations: { version: 1, issued: 2026-01-01 }");
    assert!(company.says(&admit("--policy listed.yaml"), 3).contains("none of them did"));
    // A signature that cannot be read is none.
    company.write("fraud-eu/model.sig", b"{}");
    company.says(&admit("--policy policy.yaml"), 1);
    std::fs::remove_file(company.path("fraud-eu/model.sig")).unwrap();
    std::fs::create_dir(company.path("fraud-eu/model.sig")).unwrap();
    company.says(&admit("--policy policy.yaml"), 3);
    std::fs::remove_dir(company.path("fraud-eu/model.sig")).unwrap();
    std::fs::remove_file(company.path("fraud-eu/claims.jsonl")).unwrap();
    std::fs::create_dir(company.path("fraud-eu/claims.jsonl")).unwrap();
    company.says(&admit("--policy policy.yaml"), 3);
}

#[test]
fn a_policy_that_is_pinned() {
    let company = Company::ready();
    let admit = format!("admit fraud-eu {PRODUCTION} --policy-key eva.pub --policy-key ana.pub");
    assert!(company.says(&admit, 1).contains("none of them did"));
    company.yes("policy sign policy.yaml --key eva.key");
    assert!(company.says(&admit, 1).contains("only sha256:"));
    company.yes(&format!("{admit} --policy-threshold 1"));
    company.yes("policy sign policy.yaml --key ana.key");
    company.yes(&admit);
    assert!(company.says(&format!("{admit} --policy-threshold 3"), 3).contains("3 signatures"));
    // Edited, it is another.
    let policy = std::fs::read_to_string(company.path("policy.yaml")).unwrap();
    company.write("policy.yaml", policy.replace("at_least: 0.9", "at_least: 0.1").as_bytes());
    assert!(company.says(&admit, 1).contains("none of them did"));
}

#[test]
fn verdicts_of_the_gate() {
    let company = Company::ready();
    let admit = format!(
        "admit fraud-eu {PRODUCTION} --verdict verdict.json --verifier https://gate.example --key gate.key"
    );
    let verdict = |code: i32| {
        company.json(&admit, code);
        let line = std::fs::read(company.path("verdict.json")).unwrap();
        bulla_testkit::bundles::statement_of(&line)
    };
    let yes = verdict(0);
    assert_eq!(yes["predicateType"], "https://slsa.dev/verification_summary/v1");
    assert_eq!(yes["predicate"]["verificationResult"], "PASSED");
    assert_eq!(yes["predicate"]["bulla_environment"], "production");
    let policy = bulla::Digest::sha256(&std::fs::read(company.path("policy.yaml")).unwrap());
    assert_eq!(yes["predicate"]["policy"]["digest"]["sha256"], policy.to_hex());
    // A "no" is signed, too: about the signature, for whoever changes a copy of a good model must not make a verdict about that.
    company.write("fraud-eu/model.safetensors", b"Weights");
    let no = verdict(1);
    let signature = std::fs::read(company.path("fraud-eu/model.sig")).unwrap();
    let signature_digest = bulla::Digest::sha256(&signature).to_hex();
    assert_eq!(no["subject"][0]["digest"], serde_json::json!({ "sha256": signature_digest }));
    assert_eq!(no["predicate"]["verificationResult"], "FAILED");
    assert_eq!(no["predicate"]["verifiedLevels"].as_array().unwrap().len(), 0);
    std::fs::remove_file(company.path("fraud-eu/model.sig")).unwrap();
    let unsigned = verdict(1);
    assert_eq!(unsigned["predicate"]["verificationResult"], "FAILED");
    let about = unsigned["predicate"]["resourceUri"].as_str().unwrap();
    assert!(about.starts_with("urn:bulla:decision:sha256:"), "{about}");
    // What is right and not enough is about the model.
    company.write("fraud-eu/model.sig", &signature);
    company.write("fraud-eu/model.safetensors", b"weights");
    std::fs::remove_file(company.path("fraud-eu/claims.jsonl")).unwrap();
    let no = verdict(1);
    assert_eq!(no["predicate"]["verificationResult"], "FAILED");
    assert_eq!(no["subject"], yes["subject"]);
    company.write("mine.txt", b"x");
    let said = company.says(&admit.replace("verdict.json", "mine.txt"), 2);
    assert!(said.contains("mine.txt exists"), "{said}");
    assert!(
        company
            .says(&format!("admit fraud-eu {PRODUCTION} --verdict v.json"), 2)
            .contains("--verifier")
    );
}

#[test]
fn approvals_and_exceptions() {
    let company = Company::ready();
    let admit = format!("admit fraud-eu {PRODUCTION}");
    company.yes("attest evaluation fraud-eu --metric accuracy=0.2 --key prod.key");
    // One that is good is enough: what has to count is what a release lists.
    company.yes(&admit);
    let policy = std::fs::read_to_string(company.path("policy.yaml")).unwrap();
    company.write("policy.yaml", policy.replace("at_least: 0.9", "at_least: 0.99").as_bytes());
    assert_eq!(
        rules(&company.json(&admit, 1), "not-met"),
        ["approvals", "evaluations"],
        "other rules"
    );
    for by in ["ana", "ben"] {
        company.yes(&format!("approve fraud-eu {PRODUCTION} --key {by}.key"));
    }
    let except = |flags: &str, key: &str| {
        format!(
            "exception fraud-eu {PRODUCTION} {flags} --reason late --expires 7d --key {key}.key"
        )
    };
    company.yes(&except("--waive evaluations", "stranger"));
    assert_eq!(rules(&company.json(&admit, 1), "not-met"), ["evaluations"]);
    company.yes(&except("--waive evaluations", "eva"));
    let decision = company.json(&admit, 0);
    assert_eq!(rules(&decision, "waived"), ["evaluations"]);
    assert_eq!(decision["passed"], false);
    let said = company.yes(&admit);
    assert!(said.contains("waived by eva"), "{said}");
    // What nobody can waive cannot be asked for.
    assert!(company.says(&except("--waive integrity", "eva"), 2).contains("integrity"));
    let said = company.yes(&format!("approve fraud-eu {PRODUCTION} --key stranger.key"));
    assert!(said.contains("will not count"), "{said}");
    // What is not what was signed is not agreed to.
    company.write("fraud-eu/model.safetensors", b"Weights");
    company.says(&format!("approve fraud-eu {PRODUCTION} --key ana.key"), 1);
    std::fs::remove_file(company.path("fraud-eu/model.sig")).unwrap();
    company.says(&format!("approve fraud-eu {PRODUCTION} --key ana.key"), 1);
    assert!(
        company
            .says(&format!("approve fraud-eu {PRODUCTION} --expires 2020-01-01 --key ana.key"), 2)
            .contains("which is over")
    );
}

#[test]
fn an_environment_that_only_looks() {
    let company = Company::ready();
    let said = company.yes("admit fraud-eu --policy policy.yaml --environment audit");
    assert!(said.contains("the policy only warns here"), "{said}");
    assert!(said.contains("provenance         NOT MET"), "{said}");
    let decision = company.json("admit fraud-eu --policy policy.yaml --environment audit", 0);
    assert_eq!(decision["mode"], "audit");
    assert_eq!(decision["passed"], false);
}

#[test]
fn third_party_models() {
    let company = Company::ready();
    let digests = company.json("digest fraud-eu", 0);
    let (oms, manifest) =
        (digests["oms"].as_str().unwrap(), digests["oms_manifest_v1"].as_str().unwrap());
    let admit = format!("admit fraud-eu {PRODUCTION} --expected-digest");
    company.yes(&format!("{admit} {oms} --expected-digest {manifest}"));
    let wrong = "0".repeat(64);
    let decision = company.json(&format!("{admit} oms:{wrong}"), 1);
    assert_eq!(rules(&decision, "not-met"), ["expected-digest"]);
    assert!(company.says(&format!("{admit} md5:{wrong}"), 2).contains("no digest of a model"));
}

#[test]
fn policies_are_checked_and_explained() {
    let company = Company::new();
    let checked = company.json("policy check policy.yaml", 0);
    assert_eq!(checked["name"], "company-models");
    let said = company.yes("policy check policy.yaml");
    assert!(
        said.contains("good: policy.yaml") && said.contains("nothing is refused here"),
        "{said}"
    );
    let said = company.yes("policy explain policy.yaml");
    for words in [
        "production: models named fraud-*",
        "is approved by 2 of managers (ana, ben), other than the signer",
        "accuracy at least 0.9, as production says",
        "1 of officers may waive rules for a while",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let policy = std::fs::read_to_string(company.path("policy.yaml")).unwrap();
    for (from, to, words) in [
        ("expires: 2099-06-01", "expires: 2020-01-01", "nothing is admitted by it"),
        (
            "[oms, release, evaluation, provenance]",
            "[oms, release, provenance]",
            "may sign evaluation",
        ),
        (
            "[oms, release, evaluation, provenance]",
            "[evaluation, provenance]",
            "which may not sign models",
        ),
        (
            "accepted_authorities: [production]",
            "accepted_authorities: [nobody]",
            "there is no nobody",
        ),
        ("required: 2", "required: 3", "3 are required"),
        ("name: company-models", "name: company-models, nam: x", "unknown field"),
    ] {
        company.write("other.yaml", policy.replace(from, to).as_bytes());
        let said = company.says("policy check other.yaml", 1);
        assert!(said.contains(words), "{to}: {said}");
    }
    company.says("policy check none.yaml", 3);
}

/// A file that is named by mistake is not printed: it may be a private key.
#[test]
fn a_private_key_in_place_of_a_policy() {
    let company = Company::new();
    let secret = std::fs::read_to_string(company.path("prod.key")).unwrap();
    let line = secret.lines().nth(1).unwrap();
    company.write(
        "wrong.yaml",
        format!("policy: {}\n", serde_json::Value::from(secret.as_str())).as_bytes(),
    );
    for command in [
        "policy check prod.key",
        "policy explain prod.key",
        "policy check wrong.yaml",
        "lineage fraud-eu --trust prod.key",
        "admit fraud-eu --policy prod.key --environment production",
        "policy import prod.key",
    ] {
        let output = company.output(command);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_ne!(output.status.code(), Some(0), "{command}");
        assert!(
            command.ends_with("wrong.yaml") || !said.contains(&line[..20]),
            "{command}: {said}"
        );
    }
}
