//! `bulla policy test`

use super::world::Folder;

const GOOD: &str = "cases:
  - name: a good model
    model: models/fraud-eu
    environment: production
    expect: admitted
  - name: under another name
    model: models/fraud-eu
    environment: production
    deploy_as: spam
    expect: refused
    by: [model-name]
    says: spam
  - name: looked at
    model: models/fraud-eu
    environment: production
    memory: { quarantined: a person looks at it }
    expect: refused
    by: [quarantine]
    says: a person looks at it
  - name: when it is over
    model: models/fraud-eu
    environment: production
    now: 2100-01-01
    expect: refused
    by: [policy, approvals]
  - name: warned of
    model: models/fraud-eu
    environment: development
    expect: admitted
    by: [approvals, provenance]
";

#[test]
fn all_as_expected() {
    let folder = Folder::with_policy();
    folder.write("policy.tests.yaml", GOOD);
    let said = folder.says("policy test policy.yaml", 0);
    assert!(said.contains("ok: a good model\nok: under another name\n"), "{said}");
    assert!(said.ends_with("5 cases: 5 as expected\n"), "{said}");
    assert_eq!(folder.says("policy test policy.yaml --quiet", 0), "");
    let report = folder.json("policy test policy.yaml", 0);
    assert_eq!((&report["verdict"], &report["passed"]), (&"passed".into(), &5.into()));
    assert_eq!(report["cases"][1]["file"], "policy.tests.yaml");
    assert_eq!(report["cases"][1]["decision"]["name"], "spam");
    // Paths begin at the file of the cases, wherever one stands.
    let elsewhere = GOOD.replace("models/", "../models/");
    folder.write("ci/cases.yaml", &elsewhere);
    let both = folder.says("policy test policy.yaml ci/cases.yaml policy.tests.yaml", 0);
    assert!(both.ends_with("10 cases: 10 as expected\n"), "{both}");
}

#[test]
fn not_as_expected() {
    let folder = Folder::with_policy();
    let cases = GOOD.replace("by: [model-name]", "by: [model-name, formats]");
    folder.write("policy.tests.yaml", &cases.replace("says: a person", "says: no person"));
    let said = folder.says("policy test policy.yaml", 1);
    for words in [
        "ok: a good model",
        "FAILED: under another name",
        "  by        model-name\n  expected  formats, model-name\n",
        "  model-name         NOT MET  ",
        "  formats            met ",
        "FAILED: looked at",
        "  expected  no person looks at it\n",
        "5 cases: 3 as expected, 2 not",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let report = folder.json("policy test policy.yaml", 1);
    assert_eq!((&report["verdict"], &report["failed"]), (&"failed".into(), &2.into()));
    let difference = &report["cases"][1]["differences"][0];
    assert_eq!(difference["found"], "model-name");
    assert_eq!(difference["expected"], "formats, model-name");

    // A change of the policy that lets more through is found out.
    folder.write("policy.tests.yaml", GOOD);
    let policy = folder.text("policy.yaml").replace("[\"fraud-*\"]", "[\"fraud-*\", spam]");
    folder.write("policy.yaml", &policy);
    folder.says("approve models/fraud-eu -p policy.yaml -e production --key ana.key", 0);
    let said = folder.says("policy test policy.yaml", 1);
    assert!(said.contains("  decision  admitted\n  expected  refused\n"), "{said}");
}

/// What could not be decided was not refused: no case expects it.
#[test]
fn what_cannot_be_decided() {
    let folder = Folder::with_policy();
    let said = folder.says("policy test policy.yaml", 3);
    assert!(said.contains("policy.tests.yaml"), "{said}");
    folder.says("policy test none.yaml", 3);
    folder.write("policy.tests.yaml", "cases: []");
    assert!(folder.says("policy test policy.yaml", 3).contains("it has no cases"));

    let gone = "cases: [{ name: a, model: gone, environment: production, expect: refused, by: [signature] }]";
    folder.write("policy.tests.yaml", gone);
    let said = folder.says("policy test policy.yaml", 3);
    assert!(said.contains("NO DECISION: a\n") && said.contains("1 could not be decided"), "{said}");
    let report = folder.json("policy test policy.yaml", 3);
    assert_eq!(report["verdict"], "fault");
    assert!(report["cases"][0]["reasons"][0].as_str().unwrap().contains("gone"), "{report}");
    let place = "cases: [{ name: a, model: models/fraud-eu, environment: moon, expect: admitted }]";
    folder.write("policy.tests.yaml", place);
    assert!(folder.says("policy test policy.yaml", 3).contains("no environment \"moon\""));
    // One that failed is told before one that could not be decided.
    folder.write("bad.yaml", &GOOD.replace("by: [model-name]", "by: [x]"));
    folder.says("policy test policy.yaml policy.tests.yaml bad.yaml", 1);
}

/// A policy is tested before people sign it, if that is asked for.
#[test]
fn drafts() {
    let folder = Folder::with_policy();
    folder.write("policy.tests.yaml", GOOD);
    let policy = folder.text("policy.yaml");
    let signed =
        policy.replace("expires: 2099-01-01", "expires: 2099-01-01, signed_by: [officers]");
    let list = "revocations: { document: revocations.yaml, signed_by: officers }\n";
    folder.write("policy.yaml", &format!("{signed}{list}"));
    let said = folder.says("policy test policy.yaml", 3);
    assert!(
        said.contains("NO DECISION: a good model\n") && said.contains("revocations.yaml"),
        "{said}"
    );
    let said = folder.says("policy test policy.yaml --draft", 0);
    assert!(said.contains("note: a draft: neither the policy's signatures nor"), "{said}");
    folder.write("policy.yaml", &signed);
    assert!(
        folder.says("policy test policy.yaml", 3).contains("has to be signed by 1 of officers")
    );
    folder.says("policy sign policy.yaml --key eva.key", 0);
    folder.says("policy test policy.yaml", 0);
    let fingerprint = folder.fingerprint("team");
    let revoked = format!(
        "cases: [{{ name: a, model: models/fraud-eu, environment: production, expect: refused, by: [signature], says: stolen, revocations: {{ keys: [{{ fingerprint: \"{fingerprint}\", reason: stolen }}] }} }}]"
    );
    folder.write("policy.tests.yaml", &revoked);
    folder.says("policy test policy.yaml", 0);
    assert_eq!(folder.json("policy test policy.yaml --draft", 0)["draft"], true);
}

/// What a model is made of is looked for where a case says.
#[test]
fn ancestors() {
    let folder = Folder::with_policy();
    let policy = folder
        .text("policy.yaml")
        .replace("mode: warn", "lineage: { no_parents_signed_by: [team] }");
    folder.write("policy.yaml", &policy);
    folder.write("bases/base/weights.bin", "w");
    folder.says("sign bases/base --key team.key", 0);
    folder.says("attest provenance bases/base --kind pretrain --key team.key", 0);
    folder.says(
        "attest provenance models/fraud-eu --kind finetune --base-model bases/base --key team.key",
        0,
    );
    folder.says("approve models/fraud-eu -p policy.yaml -e development --key ana.key", 0);
    let case = |more: &str| {
        format!("cases: [{{ name: a, model: models/fraud-eu, environment: development, {more} }}]")
    };
    folder.write("policy.tests.yaml", &case("in: [bases], expect: admitted"));
    folder.says("policy test policy.yaml", 0);
    folder.write("policy.tests.yaml", &case("expect: refused, by: [lineage]"));
    folder.says("policy test policy.yaml", 0);
}
