//! The drills of docs/drills.md, as a company would do them: with the program, a registry, and nobody waiting for anything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod company;

use std::path::Path;

use bulla::jiff::{SignedDuration, Timestamp};
use bulla::sign::{Known, sign};
use bulla::{Compatibility, KeyPair, KeySigner, Limits, LocalModel, Recipe};
use bulla_testkit::stamps::{Stamp, StampAuthority, Stamped};
use company::{Company, PRODUCTION, rules};
use serde_json::Value;

const REGISTRY: &str = "--registry registry.toml";

fn admit(model: &str, more: &str) -> String {
    format!("admit {model} {PRODUCTION} {REGISTRY} {more}")
}

fn ready() -> Company {
    let company = Company::ready();
    company.yes("registry init registry.toml --no-password");
    company
}

/// Drill 1. Somebody can write where models lie, and changes some weights.
#[test]
fn drill_1_tampered_weights() {
    let company = ready();
    company.yes(&admit("fraud-eu", "--request monday"));
    company.yes(&format!("registry release monday {REGISTRY}"));
    company.write("fraud-eu/model.safetensors", b"weightS");
    let decision = company.json(&admit("fraud-eu", "--request tuesday"), 1);
    assert_eq!(rules(&decision, "not-met"), ["integrity"]);
    let finding = &decision["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["outcome"] == "not-met")
        .unwrap();
    assert!(finding["found"].as_str().unwrap().contains("changed: model.safetensors"), "{finding}");
    assert!(finding["remedy"].as_str().unwrap().contains("get it again"), "{finding}");
    // The "no" is in the registry; what ran before runs on, for nothing is wrong with that.
    company.says(&format!("registry release tuesday {REGISTRY}"), 1);
    let shown = company.json(&format!("registry show fraud-eu {REGISTRY}"), 0);
    assert_eq!(shown["model"]["summary"]["running"], true);
    company.write("fraud-eu/model.safetensors", b"weights");
    company.yes(&admit("fraud-eu", ""));
}

/// Drill 2. A model comes without a signature, or loses it on the way.
#[test]
fn drill_2_an_unsigned_model() {
    let company = ready();
    std::fs::remove_file(company.path("fraud-eu/model.sig")).unwrap();
    let decision = company.json(&admit("fraud-eu", "--request unsigned"), 1);
    assert_eq!(rules(&decision, "not-met"), ["signature"]);
    let said = company.says(&admit("fraud-eu", ""), 1);
    assert!(said.contains("there is no signature") && said.contains("bulla sign"), "{said}");
    // Whoever signs it himself is nobody to the policy.
    company.yes("sign fraud-eu --key stranger.key");
    assert_eq!(rules(&company.json(&admit("fraud-eu", ""), 1), "not-met"), ["signature"]);
    company.yes("sign fraud-eu --key prod.key");
    company.yes(&admit("fraud-eu", ""));
}

struct Clock {
    authority: StampAuthority,
    now: Timestamp,
}

impl Clock {
    fn days_ago(&self, days: i64) -> Timestamp {
        self.now - SignedDuration::from_hours(24 * days)
    }

    /// Signs a model of the company with its key and a stamp of so many days ago.
    fn sign(&self, company: &Company, model: &str, days: i64) {
        let pem = std::fs::read_to_string(company.path("prod.key")).unwrap();
        let limits = Limits::default();
        let pair = KeyPair::from_pem(&pem, &limits, || panic!("no password")).unwrap();
        let at = self.days_ago(days).strftime("%Y%m%d%H%M%SZ").to_string();
        let stamps = |signature: &[u8]| vec![self.authority.stamp(&Stamp::of(signature, &at))];
        let signer = Stamped { signer: &KeySigner::new(pair), stamps };
        let source = LocalModel::open(&company.path(model)).unwrap();
        let (recipe, how) = (Recipe::default(), Compatibility::Specification);
        let work = bulla_testkit::work();
        let signed = sign(&source, &recipe, how, &signer, Known::Nothing, &limits, work).unwrap();
        std::fs::write(company.path(model).join("model.sig"), signed.bundle).unwrap();
    }
}

fn put(company: &Company, model: &str) {
    let write = |name: &str, bytes: &[u8]| {
        company.write(&Path::new(model).join(name).to_string_lossy(), bytes)
    };
    write("config.json", b"{}");
    write("model.safetensors", model.as_bytes());
}

fn agreed(company: &Company, model: &str) {
    for by in ["ana", "ben"] {
        company.yes(&format!("approve {model} {PRODUCTION} --key {by}.key"));
    }
}

fn names(list: &Value, falls: bool) -> Vec<&str> {
    let all = list.as_array().unwrap().iter().filter(|one| one["falls"] == falls);
    let mut names: Vec<&str> = all.map(|one| one["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

/// Drill 3. The signing key was stolen last Tuesday, and it is found out on Friday.
#[test]
fn drill_3_a_key_revoked_as_of_last_tuesday() {
    let clock = Clock { authority: StampAuthority::default(), now: Timestamp::now() };
    let company = Company::new();
    let policy = std::fs::read_to_string(company.path("policy.yaml")).unwrap();
    let chain = Value::from(clock.authority.root.certificate_pem()).to_string();
    let policy = policy
        .replace(
            "roles:\n",
            &format!(
                "trust:\n  timestamp_authorities: [{{ name: clock, chain: {chain} }}]\nroles:\n"
            ),
        )
        .replace(
            "    evaluations: [{ metric: accuracy, at_least: 0.9, signed_by: [production] }]\n",
            "",
        );
    company.write("policy.yaml", policy.as_bytes());
    company.yes("registry init registry.toml --no-password");
    let config = std::fs::read_to_string(company.path("registry.toml")).unwrap();
    let alerts = "[[alerts]]\nname = \"officers\"\nfile = \"alerts.jsonl\"\n";
    company.write("registry.toml", format!("{config}{alerts}").as_bytes());
    // Signed before it was stolen, after, and who knows when.
    for (model, days) in [("fraud-old", Some(10)), ("fraud-new", Some(1)), ("fraud-bare", None)] {
        put(&company, model);
        match days {
            Some(days) => clock.sign(&company, model, days),
            None => drop(company.yes(&format!("sign {model} --key prod.key"))),
        }
        agreed(&company, model);
        company.yes(&admit(model, &format!("--request {model}")));
        company.yes(&format!("registry release {model} {REGISTRY}"));
    }
    let since = clock.days_ago(3);
    let shown = company.json("key show prod.pub", 0);
    let key = shown["fingerprint"].as_str().unwrap();
    let revoke = format!("revoke key {key} --since {since} --reason stolen {REGISTRY}");
    // First they look.
    let looked = company.json(&revoke, 0);
    let models = &looked["plan"]["blast_radius"]["models"];
    assert_eq!(names(models, true), ["fraud-bare", "fraud-new"]);
    assert_eq!(names(models, false), ["fraud-old"]);
    assert_eq!(
        names(&looked["plan"]["blast_radius"]["releases"], true),
        ["fraud-bare", "fraud-new"]
    );
    for model in ["fraud-old", "fraud-new", "fraud-bare"] {
        company.yes(&admit(model, ""));
    }
    // Then they act.
    let done = company.json(&format!("{revoke} --confirm --by eva"), 0);
    assert_eq!(done["plan"]["quarantine"].as_array().unwrap().len(), 2);
    assert_eq!(done["plan"]["resign"].as_array().unwrap().len(), 1);
    assert!(std::fs::read_to_string(company.path("alerts.jsonl")).unwrap().contains("\"stolen\""));
    company.yes(&admit("fraud-old", ""));
    for model in ["fraud-new", "fraud-bare"] {
        let decision = company.json(&admit(model, ""), 1);
        assert_eq!(rules(&decision, "not-met"), ["signature"], "{model}");
        company.says(&format!("registry release {model} {REGISTRY}"), 1);
    }
    // What stays is signed anew with a new key; then nothing rests on the old one.
    let rotate = "key rotate gate.pub --policy policy.yaml --authority production --overlap 1d";
    company.yes(&format!("{rotate} {REGISTRY}"));
    let signed =
        company.json(&format!("registry resign {PRODUCTION} --key gate.key {REGISTRY}"), 0);
    assert_eq!(signed["models"].as_array().unwrap().len(), 1, "{signed}");
    company.yes("verify fraud-old --key gate.pub");
    company.yes(&admit("fraud-old", ""));
    company.yes(&format!("registry audit {REGISTRY}"));
}
