//! What `bulla attest` signs, and what it does not.

use crate::story::{Story, text};

#[test]
fn every_other_statement() {
    let story = Story::new();
    let of_ben = "--key ben/ben.key";
    story.yes(&format!("attest dataset ben/texts --license CC-BY-4.0 {of_ben}"));
    story.yes(&format!(
        "attest evaluation ben/tuned --metric accuracy=0.93 --dataset ben/texts {of_ben}"
    ));
    story.write("results.json", br#"{"metrics":[{"name":"f1","value":0.5,"task":"squad"}]}"#);
    story.yes(&format!("attest evaluation ben/tuned --file results.json {of_ben}"));
    story.yes(&format!("attest test-result ben/tuned --passed a --warned b {of_ben}"));
    story.write("bom.json", br#"{"bomFormat":"CycloneDX","specVersion":"1.6"}"#);
    story.yes(&format!(
        "attest statement ben/tuned --file bom.json --predicate-type https://cyclonedx.org/bom {of_ben}"
    ));
    let release = story.json(
        &format!("attest release ben/tuned --name fraud --sequence 1 --expires 90d --trust trust.yaml {of_ben}"),
        0,
    );
    assert_eq!(release["statement"], "release");
    let shown = story.json("inspect ben/tuned", 0);
    let statements = shown["claims"][0]["statements"].as_array().unwrap();
    let kinds: Vec<String> = statements.iter().map(|s| text(&s["statement"])).collect();
    assert_eq!(
        kinds,
        [
            "provenance",
            "evaluation",
            "evaluation",
            "test-result",
            "https://cyclonedx.org/bom",
            "release"
        ]
    );
    // All that is there: whoever releases it may have said anything of it.
    assert_eq!(statements[5]["predicate"]["claims"].as_array().unwrap().len(), 5);
    // The model itself is as it was.
    story.yes("verify ben/tuned --key ben/ben.pub");
}

#[test]
fn statements_that_are_refused() {
    let story = Story::new();
    let of_ben = "--key ben/ben.key";
    let refused = |line: &str, code: i32, words: &str| {
        let said = story.says(&format!("attest {line} {of_ben}"), code);
        assert!(said.contains(words), "{line}: {said}");
    };
    story.write("empty.json", b"");
    story.write("list.json", b"[1]");
    story.write("twice.json", b"{} {}");
    story.write("object.json", b"{}");
    story.write("other.json", br#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"x","digest":{"sha256":"0000000000000000000000000000000000000000000000000000000000000000"}}],"predicateType":"a:b","predicate":{}}"#);
    let statement = |file: &str| format!("statement ben/tuned --file {file} --predicate-type a:b");
    refused(&statement("empty.json"), 2, "it is no JSON object");
    refused(&statement("list.json"), 2, "it is no JSON object");
    refused(&statement("twice.json"), 2, "it is no JSON object");
    story.write("repeated.json", br#"{"a":1,"a":2}"#);
    refused(&statement("repeated.json"), 2, "stands twice");
    refused("evaluation ben/tuned --file repeated.json", 2, "stands twice");
    refused(&statement("none.json"), 3, "cannot read none.json");
    refused(&statement("other.json"), 2, "its subject is not the model");
    refused("statement ben/tuned --file object.json", 2, "is not said");
    refused(
        "statement ben/tuned --file object.json --predicate-type https://slsa.dev/provenance/v1",
        1,
        "are made by Bulla",
    );
    refused("evaluation ben/tuned --metric accuracy", 2, "expected NAME=NUMBER");
    refused("evaluation ben/tuned --metric accuracy=NaN", 2, "finite");
    refused("evaluation ben/tuned --metric a=1 --metric a=2", 1, "stands twice");
    refused("release ben/tuned --name a --sequence 0 --expires 1d", 2, "0 is not in");
    refused("release ben/tuned --name a --sequence 1 --expires 2020-01-01", 2, "which is over");
    refused("release ben/tuned --name a --sequence 1 --expires soon", 2, "is no day (2026-11-20)");
    refused("dataset ben/none", 3, "ben/none");
    // Not one of them left a line.
    let claims = std::fs::read_to_string(story.path("ben/tuned/claims.jsonl")).unwrap();
    assert_eq!(claims.lines().count(), 1);
}

/// The root alone is what other tools know; with the digest that binds names it is the model, or it is not.
#[test]
fn a_statement_about_the_same_contents_under_other_names() {
    let story = Story::new();
    let digests = story.json("digest ben/tuned", 0);
    let subject = |more: &str| {
        format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"name":"x","digest":{{"sha256":{}{more}}}}}],"predicateType":"a:b","predicate":{{}}}}"#,
            digests["oms"].to_string().replace("oms:", "").replace("sha256:", "")
        )
    };
    let attest = "attest statement ben/tuned --file other.json --key ben/ben.key";
    story.write("other.json", subject("").as_bytes());
    story.yes(attest);
    let names = format!(r#","omsManifestV1":"{}""#, "0".repeat(64));
    story.write("other.json", subject(&names).as_bytes());
    let said = story.says(attest, 2);
    assert!(said.contains("its subject is not the model"), "{said}");
}

/// What somebody else has signed again is one claim.
#[test]
fn a_release_lists_a_claim_once() {
    let story = Story::new();
    let claims = story.path("ben/tuned/claims.jsonl");
    let between = std::fs::read(&claims).unwrap();
    let payload = bulla_testkit::bundles::statement_of(&between).to_string();
    let mut trust = std::fs::read_to_string(story.path("trust.yaml")).unwrap();
    let mut all = Vec::new();
    for party in ["one", "two"] {
        let signer = bulla_testkit::bundles::TestSigner::default();
        story.write(&format!("{party}.pub"), signer.public_key().to_pem().as_bytes());
        let party = format!(
            "signing_authorities:\n  {party}: {{ type: key, may_sign: [provenance], keys: [{{ public_key: {party}.pub, fingerprint: \"{}\" }}] }}\n",
            signer.public_key().fingerprint()
        );
        trust = trust.replace("signing_authorities:\n", &party);
        all.extend_from_slice(signer.bundle_of(payload.as_bytes()).trim_ascii());
        all.push(b'\n');
        all.extend_from_slice(&between);
    }
    story.write("trust.yaml", trust.as_bytes());
    std::fs::write(&claims, all).unwrap();
    story.yes(
        "attest release ben/tuned --name fraud --sequence 1 --expires 90d --trust trust.yaml --key ben/ben.key",
    );
    let shown = story.json("inspect ben/tuned", 0);
    let statements = shown["claims"][0]["statements"].as_array().unwrap();
    assert_eq!(statements.last().unwrap()["predicate"]["claims"].as_array().unwrap().len(), 2);
}

#[test]
fn bases_are_checked_on_the_spot() {
    let story = Story::new();
    story.write("ana/base/config.json", b"{ }");
    let said = story.says(
        "attest provenance cem/adapter --kind adapter --base-model ana/base --key cem/cem.key --trust trust.yaml",
        1,
    );
    assert!(said.contains("changed: config.json"), "{said}");
    let said = story.says(
        "attest provenance cem/adapter --kind adapter --base-model ana/base --key cem/cem.key",
        1,
    );
    assert!(said.contains("signed by nobody who is named"), "{said}");
    std::fs::remove_file(story.path("ana/base/model.sig")).unwrap();
    let said = story.says(
        "attest provenance cem/adapter --kind adapter --base-model ana/base --key cem/cem.key --trust trust.yaml",
        1,
    );
    assert!(said.contains("no signature"), "{said}");
    let said = story.says(
        "attest provenance cem/adapter --kind adapter --base-model pkg:huggingface/a/b@c --key cem/cem.key",
        2,
    );
    assert!(said.contains("has no digests"), "{said}");
    for (line, words) in [
        ("--kind adapter", "which model it was made from is not said"),
        ("--kind pretrain --base-model ana/base", "has no base model"),
        ("--kind merge --base-model ana/base", "two base models or more"),
        ("--kind finetune --base-model a --base-model b", "has one base model, not 2"),
    ] {
        let said =
            story.says(&format!("attest provenance cem/adapter {line} --key cem/cem.key"), 2);
        assert!(said.contains(words), "{said}");
    }
}

/// A key that counts no more, by the trust file, is believed nowhere.
#[test]
fn inputs_by_a_key_that_counts_no_more() {
    let story = Story::new();
    let trust = std::fs::read_to_string(story.path("trust.yaml")).unwrap();
    let over = trust.replace(
        "keys: [{ public_key: ana",
        "keys: [{ valid: { until: 2020-01-01 }, public_key: ana",
    );
    story.write("trust.yaml", over.as_bytes());
    let said = story.says(
        "attest provenance ben/tuned --kind finetune --base-model ana/base --key ben/ben.key --trust trust.yaml",
        1,
    );
    assert!(said.contains("signed by ana, whose key does not count at"), "{said}");
}

#[test]
fn a_model_that_is_not_signed_yet() {
    let story = Story::empty();
    story.write("ana/base/weights.bin", b"w");
    let said = story.yes("attest provenance ana/base --kind pretrain --key ana/ana.key");
    assert!(said.contains("is not signed yet"), "{said}");
    story.yes("sign ana/base --key ana/ana.key");
    story.yes("lineage ana/base --trust trust.yaml");
}
