//! Cases of `bulla policy test`: what they say, and what a decision is compared with.

use std::path::Path;

use bulla_policy::{Case, Difference, Gate};

use crate::world::World;

const FILE: &str = "/nowhere/policy.tests.yaml";

fn parse(text: &str) -> Result<Vec<Case>, String> {
    Case::parse(Path::new(FILE), text.as_bytes()).map_err(|fault| fault.to_string())
}

fn one(members: &str) -> Case {
    let case = format!("cases: [{{ name: a, model: m, environment: production, {members} }}]\n");
    parse(&case).unwrap().remove(0)
}

fn differences(case: &Case, world: &World) -> Vec<(&'static str, String, String)> {
    let all = case.differences(&world.decide()).into_iter();
    all.map(|Difference { what, found, expected, .. }| (what, found, expected)).collect()
}

#[test]
fn what_a_case_says() {
    let digest = format!("oms:{}", "ab".repeat(32));
    let case = one(&format!(
        "deploy_as: fraud, in: [.., more], now: 2026-11-20, expected_digests: [\"{digest}\"], \
         memory: {{ quarantined: looked at, first_seen: 2026-11-01, sequence: 4 }}, \
         revocations: {{ models: [{{ digest: \"{digest}\", reason: poisoned }}] }}, \
         expect: refused, by: [not-revoked, quarantine]"
    ));
    assert_eq!(case.model, Path::new("/nowhere/m"));
    assert_eq!(case.folders, [Path::new("/nowhere/.."), Path::new("/nowhere/more")]);
    assert_eq!(case.deploy_as.as_deref(), Some("fraud"));
    assert_eq!(case.now.unwrap().to_string(), "2026-11-20T00:00:00Z");
    assert_eq!(case.expected_digests[0].to_string(), digest);
    assert_eq!(case.memory.quarantined.as_deref(), Some("looked at"));
    assert_eq!(case.memory.sequence, Some(4));
    assert_eq!(case.revoked.models.len(), 1);
    assert!(case.names("quarantine") && !case.names("release"));
}

/// A file that says less than its author thinks would pass whatever the policy says.
#[test]
fn cases_that_are_refused() {
    let with =
        |members: &str| format!("cases: [{{ name: a, model: m, environment: e, {members} }}]");
    for (text, words) in [
        ("cases: []".to_owned(), "it has no cases"),
        (String::new(), "it is empty"),
        (with("expect: admitted, expects: x"), "unknown field"),
        (with("by: [signature]"), "missing field"),
        (with("expect: denied"), "unknown variant"),
        (with("expect: refused"), "needs 'by'"),
        (with("expect: refused, by: [a, a]"), "by names a rule twice"),
        (with("expect: admitted, expect: refused"), "duplicate"),
        (with("expect: admitted, now: soon"), "now: \"soon\""),
        (with("expect: admitted, memory: { seen: 2026-01-01 }"), "unknown field"),
        (with("expect: admitted, memory: { first_seen: x }"), "first_seen: \"x\""),
        (with("expect: admitted, expected_digests: [x]"), "no digest of a model"),
        (
            with("expect: admitted, revocations: { keys: [{ fingerprint: x, reason: y }] }"),
            "no SHA-256",
        ),
        (with("expect: admitted, revocations: { revocations: {} }"), "unknown field"),
        (with("expect: admitted").replace("name: a", "name: ' '"), "its name is empty"),
        (
            "cases: [{ name: a, model: m, environment: e, expect: admitted }, \
             { name: a, model: n, environment: e, expect: admitted }]"
                .to_owned(),
            "two cases are called",
        ),
    ] {
        let why = parse(&text).map(|_| ()).expect_err(&text);
        assert!(why.contains(words), "{text}: {why}");
    }
}

#[test]
fn what_is_compared() {
    let world = World::new();
    let none = |text: &str| text.to_owned();
    assert!(differences(&one("expect: admitted"), &world).is_empty());
    assert!(differences(&one("expect: admitted, says: 'ana, ben'"), &world).is_empty());
    assert_eq!(
        differences(&one("expect: refused, by: [approvals]"), &world),
        [("decision", none("admitted"), none("refused")), ("by", none("none"), none("approvals")),]
    );
    let says = differences(&one("expect: admitted, says: 'dan'"), &world);
    assert_eq!((says[0].0, says[0].2.as_str()), ("says", "dan"));

    let world = World::new().rule("require_release: true");
    world.write("config.json", b"{}");
    world.sign("prod");
    let refused = |by: &str| one(&format!("expect: refused, by: [{by}]"));
    assert!(differences(&refused("approvals, release"), &world).is_empty());
    assert_eq!(
        differences(&refused("approvals"), &world),
        [("by", none("approvals, release"), none("approvals"))],
        "more rules are not met than the case knows"
    );
    assert_eq!(
        differences(&refused("approvals, release, bom"), &world),
        [("by", none("approvals, release"), none("approvals, bom, release"))]
    );
    // Words count only where a rule says them that the case names.
    let says = |rule: &str| {
        one(&format!(
            "expect: refused, by: [approvals, release], waived: [{rule}], says: 'are what was signed'"
        ))
    };
    assert_eq!(differences(&says(""), &world)[0].0, "says");
    let all = differences(&says("integrity"), &world);
    assert_eq!(all, [("waived", none("none"), none("integrity"))]);
}

#[test]
fn what_was_waived() {
    let world =
        World::new().rule("formats: [gguf]").with("    formats: [safetensors, json, txt]\n", "");
    world.forget_claims();
    world.approve("ana");
    world.approve("ben");
    world.waive("eva", "formats");
    assert!(
        differences(&one("expect: admitted, waived: [formats], says: waived by eva"), &world)
            .is_empty()
    );
    assert_eq!(
        differences(&one("expect: admitted"), &world),
        [("waived", "formats".to_owned(), "none".to_owned())]
    );
}

/// A draft is not asked for signatures; what a case withdraws counts all the same.
#[test]
fn drafts() {
    let mut world = World::new();
    world.change("expires: 2027-06-01 }", "expires: 2027-06-01, signed_by: [security-officers] }");
    world.policy.push_str("revocations: { document: none.yaml, signed_by: security-officers }\n");
    world.forget_claims();
    world.approve("ana");
    world.approve("ben");
    assert!(world.decide_for("production", "fraud-eu").is_err());
    let fingerprint = world.keys["prod"].public().fingerprint();
    let case = one(&format!(
        "expect: refused, by: [signature], revocations: {{ keys: [{{ fingerprint: \"{fingerprint}\", reason: stolen }}] }}"
    ));
    let decide = |gate: &Gate| {
        let source = bulla::LocalModel::open(&world.model()).unwrap();
        let held = vec![bulla::lineage::Held::local(&world.model()).unwrap()];
        let candidate = bulla_policy::Candidate { source: &source, held };
        let request = bulla_policy::Request {
            environment: "production",
            name: "fraud-eu",
            expected: &[],
            measure_parents: true,
            converter: None,
        };
        let (limits, work) = (bulla::Limits::default(), bulla_testkit::work());
        gate.decide(&request, candidate, &case.memory, world.now, &limits, work).unwrap()
    };
    let open = Gate::of_draft(world.read().unwrap(), &bulla_policy::RevocationList::default());
    assert!(decide(&open).admitted);
    let withdrawn = decide(&Gate::of_draft(world.read().unwrap(), &case.revoked));
    assert_eq!(case.differences(&withdrawn), [], "{:#?}", withdrawn.findings);
}

/// What the documentation shows is read.
#[test]
fn the_example() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/policy.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let (_, example) = docs.split_once("```yaml\ncases:").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let example = format!("cases:{}", example.replace('…', &"ab".repeat(32)));
    assert_eq!(parse(&example).unwrap().len(), 3);
}
