//! Attacks on what the program says of models that a registry knows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod company;

use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use company::{Company, PRODUCTION, rules};

/// Until it is looked again.
const MOMENT: Duration = Duration::from_millis(5);
const REGISTRY: &str = "--registry registry.toml";
const VERDICT: &str = "--verdict v.json --verifier https://gate.example --key gate.key";

/// A company that keeps a registry, with a model that runs.
fn running() -> Company {
    let company = Company::ready();
    company.yes("registry init registry.toml --no-password");
    company.yes(&admit("fraud-eu", &format!("--request deploy-1 {VERDICT}")));
    company.yes(&format!("registry release deploy-1 {REGISTRY}"));
    company
}

fn admit(model: &str, more: &str) -> String {
    format!("admit {model} {PRODUCTION} {REGISTRY} {more}")
}

fn fingerprint(company: &Company, key: &str) -> String {
    company.json(&format!("key show {key}.pub"), 0)["fingerprint"].as_str().unwrap().to_owned()
}

/// A company that asks for releases, with three of one model.
fn three_releases() -> Company {
    let company = Company::new();
    let policy = std::fs::read_to_string(company.path("policy.yaml")).unwrap();
    let policy = policy
        .replace("    models: ", "    require_release: true\n    models: ")
        .replace("[safetensors, json]", "[safetensors, json, txt]");
    company.write("policy.yaml", policy.as_bytes());
    company.yes("registry init registry.toml --no-password");
    for n in 1..=3 {
        let model = format!("m{n}");
        company.write(&format!("{model}/config.json"), b"{}");
        company.write(&format!("{model}/model.safetensors"), model.as_bytes());
        if n == 2 {
            company.write("m2/notes.txt", b"notes");
        }
        company.yes(&format!("sign {model} --key prod.key"));
        for by in ["ana", "ben"] {
            company.yes(&format!("approve {model} {PRODUCTION} --key {by}.key"));
        }
        company.yes(&format!("attest evaluation {model} --metric accuracy=0.93 --key prod.key"));
        company.yes(&format!(
            "attest release {model} --name fraud-eu --sequence {n} --expires 90d --key prod.key"
        ));
    }
    company
}

/// An answer is given again, and not one that would be another today: what is in quarantine is not admitted by its old request.
#[test]
fn an_old_request_from_quarantine() {
    let company = running();
    company.yes(&format!("registry quarantine fraud-eu --reason suspicious {REGISTRY}"));
    company.says(&admit("fraud-eu", "--request deploy-2"), 1);
    company.says(&admit("fraud-eu", "--request deploy-1"), 1);
}

/// Nor by an older policy's.
#[test]
fn an_old_request_by_an_older_policy() {
    let company = running();
    let policy = std::fs::read_to_string(company.path("policy.yaml")).unwrap();
    let newer = policy.replace("version: 7", "version: 8").replace("0.9,", "0.99,");
    company.write("policy.yaml", newer.as_bytes());
    company.says(&admit("fraud-eu", "--request deploy-2"), 1);
    company.says(&admit("fraud-eu", "--request deploy-1"), 1);
}

/// A verdict that says yes is not handed out again for an admission that was withdrawn.
#[test]
fn the_verdict_of_an_admission_that_was_withdrawn() {
    let company = running();
    let ben = fingerprint(&company, "ben");
    company.yes(&format!("revoke key {ben} --reason lost --confirm {REGISTRY}"));
    std::fs::remove_file(company.path("v.json")).unwrap();
    company.says(&admit("fraud-eu", &format!("--request deploy-1 {VERDICT}")), 1);
    assert!(!company.path("v.json").exists(), "a verdict of what was withdrawn");
}

/// Refused under its own name since, and admitted under another: that does not let it run under its own.
#[test]
fn released_by_the_admission_of_another_name() {
    let company = Company::ready();
    company.yes("registry init registry.toml --no-password");
    company.yes(&admit("fraud-eu", "--request deploy-1"));
    let policy = std::fs::read_to_string(company.path("policy.yaml")).unwrap();
    // Approvals stand for an environment's rules, so these stay as they are: it is refused for something else.
    company.write("claims", &std::fs::read(company.path("fraud-eu/claims.jsonl")).unwrap());
    std::fs::remove_file(company.path("fraud-eu/claims.jsonl")).unwrap();
    company.says(&admit("fraud-eu", "--request deploy-2"), 1);
    company.says(&format!("registry release deploy-1 {REGISTRY}"), 1);
    std::fs::copy(company.path("claims"), company.path("fraud-eu/claims.jsonl")).unwrap();
    company.write("policy.yaml", policy.as_bytes());
    company.yes(&admit("fraud-eu", "--request deploy-3 --name fraud-us"));
    company.says(&format!("registry release deploy-1 {REGISTRY}"), 1);
}

/// Back from 3 to 1 on purpose: 2 is what nobody chose.
#[test]
fn between_a_rollback_and_what_it_left() {
    let company = three_releases();
    for n in 1..=3 {
        company.yes(&admit(&format!("m{n}"), &format!("--name fraud-eu --request r{n}")));
        company.yes(&format!("registry release r{n} {REGISTRY}"));
    }
    let back = format!("registry rollback fraud-eu --environment production --reason x {REGISTRY}");
    company.yes(&back);
    company.yes(&back);
    company.yes(&admit("m1", "--name fraud-eu"));
    let decision = company.json(&admit("m2", "--name fraud-eu"), 1);
    assert_eq!(rules(&decision, "not-met"), ["release"]);
}

/// Three releases of which all run, the last one now, and a newer policy that refuses the second.
fn three_that_ran() -> (Company, [String; 3]) {
    let company = three_releases();
    let digests = [1, 2, 3].map(|n| {
        company.yes(&admit(&format!("m{n}"), &format!("--name fraud-eu --request r{n}")));
        let released = company.json(&format!("registry release r{n} {REGISTRY}"), 0);
        released["digest"].as_str().unwrap().to_owned()
    });
    let policy = std::fs::read_to_string(company.path("policy.yaml")).unwrap();
    let newer = policy.replace("version: 7", "version: 8").replace(", txt]", "]");
    company.write("policy.yaml", newer.as_bytes());
    // People have agreed to the first by the new rules.
    for by in ["ana", "ben"] {
        company.yes(&format!("approve m1 {PRODUCTION} --key {by}.key"));
    }
    (company, digests)
}

/// To go back is to be admitted: what today's policy refuses does not run again because it ran before.
#[test]
fn back_to_what_the_policy_refuses_today() {
    let (company, [first, second, _]) = three_that_ran();
    let back = format!(
        "registry rollback fraud-eu --environment production --reason drift {REGISTRY} --policy policy.yaml"
    );
    let report = company.json(&back, 0);
    let decided = &report["decided"];
    assert_eq!(decided["refused"][0]["model"], second.as_str(), "{report}");
    assert!(
        decided["refused"][0]["reasons"][0].as_str().unwrap().contains("notes.txt"),
        "{report}"
    );
    assert_eq!(decided["admitted"], first.as_str(), "{report}");
    let runs = |model: &str| {
        company.json(&format!("registry show {model} {REGISTRY}"), 0)["model"]["summary"]["running"]
            .clone()
    };
    assert_eq!((runs(&first), runs(&second)), (true.into(), false.into()));
    // Nothing is before that: it stops.
    let said = company.yes(&back);
    assert!(said.contains("stopped"), "{said}");
}

/// The same of what a revocation goes back to.
#[test]
fn a_revocation_goes_back_to_what_the_policy_refuses_today() {
    let (company, [first, second, third]) = three_that_ran();
    let revoke = format!("revoke model {third} --reason poisoned --policy policy.yaml {REGISTRY}");
    assert!(company.says(&revoke, 2).contains("--confirm"));
    // A policy that does not know the environment is found out before anything is done.
    let policy = std::fs::read_to_string(company.path("policy.yaml")).unwrap();
    company.write(
        "other.yaml",
        policy
            .replace(
                "policy:
  production:",
                "policy:
  prod:",
            )
            .as_bytes(),
    );
    let other = revoke.replace("policy.yaml", "other.yaml");
    assert!(company.says(&format!("{other} --confirm"), 2).contains("no environment production"));
    let report = company.json(&format!("{revoke} --confirm"), 0);
    assert_eq!(report["decided"][0]["refused"][0]["model"], second.as_str(), "{report}");
    assert_eq!(report["decided"][0]["admitted"], first.as_str(), "{report}");
}

/// What is not there to be decided about is left as it is, and told.
#[test]
fn back_to_what_nobody_can_look_at() {
    let (company, _) = three_that_ran();
    std::fs::rename(company.path("m2"), company.path("moved")).unwrap();
    let back = format!(
        "registry rollback fraud-eu --environment production --reason drift {REGISTRY} --policy policy.yaml"
    );
    let said = company.says(&back, 3);
    assert!(said.contains("rolled back") && said.contains("at none of the places"), "{said}");
    // Nor is a model that would be admitted, put where it was.
    let (company, _) = three_that_ran();
    std::fs::rename(company.path("m2"), company.path("moved")).unwrap();
    std::fs::rename(company.path("m1"), company.path("m2")).unwrap();
    let said = company.says(&back, 3);
    assert!(said.contains("undecided") && said.contains("is not it"), "{said}");
}

/// The sequence is that of the signed release, whatever the flag says or does not.
#[test]
fn a_sequence_that_nobody_gave() {
    let company = three_releases();
    company.yes(&admit("m2", "--name fraud-eu --request r2"));
    company.yes(&format!("registry release r2 {REGISTRY}"));
    let decision = company.json(&admit("m1", "--name fraud-eu"), 1);
    assert_eq!(rules(&decision, "not-met"), ["release"]);
}

fn fifo(company: &Company, name: &str) {
    let made = Command::new("mkfifo").arg(company.path(name)).status().unwrap();
    assert!(made.success(), "mkfifo {name}");
}

/// A company whose key is rotated, with two models that wait for a new signature.
fn two_that_wait() -> Company {
    let company = running();
    company.write("fraud-us/config.json", b"{}");
    company.write("fraud-us/model.safetensors", b"other weights");
    company.yes("sign fraud-us --key prod.key");
    for by in ["ana", "ben"] {
        company.yes(&format!("approve fraud-us {PRODUCTION} --key {by}.key"));
    }
    company.yes("attest evaluation fraud-us --metric accuracy=0.93 --key prod.key");
    company.yes(&admit("fraud-us", ""));
    let rotate =
        "key rotate gate.pub --policy policy.yaml --authority production --overlap 30d --id next";
    assert_eq!(company.json(&format!("{rotate} {REGISTRY}"), 0)["queued"], 2);
    company
}

/// What cannot be signed anew keeps nobody else waiting.
#[test]
fn one_model_that_stops_all_others() {
    let company = two_that_wait();
    for model in ["fraud-eu", "fraud-us"] {
        // Whichever is first.
        std::fs::remove_file(company.path(&format!("{model}/config.json"))).unwrap();
        std::os::unix::fs::symlink(
            "model.safetensors",
            company.path(&format!("{model}/config.json")),
        )
        .unwrap();
    }
    let report =
        company.json(&format!("registry resign {PRODUCTION} --key gate.key {REGISTRY}"), 1);
    let models = report["models"].as_array().unwrap();
    assert_eq!(models.len(), 2, "{report}");
    let said = company.yes(&format!("registry resign {PRODUCTION} --key gate.key {REGISTRY}"));
    assert!(said.contains("nothing waits"), "{said}");
}

/// What cannot be read keeps nobody else waiting, either; and it waits on, for whoever comes next.
#[test]
fn one_model_that_cannot_be_read() {
    let company = two_that_wait();
    let resign = format!("registry resign {PRODUCTION} --key gate.key {REGISTRY}");
    // Folders in one another, deeper than anybody looks.
    company.write(&format!("fraud-eu/{}x", "deep/".repeat(200)), b"");
    let report = company.json(&resign, 3);
    let told: Vec<_> = report["models"].as_array().unwrap().iter().collect();
    assert_eq!(told.len(), 2, "{report}");
    for one in told {
        let is_there = one["place"].as_str().is_some_and(|place| place.ends_with("fraud-us"));
        assert_eq!(
            (&one["signed"], &one["failed"]),
            (&is_there.into(), &(!is_there).into()),
            "{report}"
        );
    }
    std::fs::remove_dir_all(company.path("fraud-eu/deep")).unwrap();
    let report = company.json(&resign, 0);
    assert_eq!(report["models"].as_array().unwrap().len(), 1, "it is in nobody's hands: {report}");
}

/// Writes a text into a FIFO for a process that has opened it, and waits until it has read it to its end.
fn hand_over(file: std::os::fd::OwnedFd, text: &str, reader: u32) {
    let mut file = std::fs::File::from(file);
    let named = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    while rustix::io::ioctl_fionread(&file).unwrap() > 0 {
        std::thread::sleep(MOMENT);
    }
    drop(file);
    let is_open = || {
        let all = std::fs::read_dir(format!("/proc/{reader}/fd")).into_iter().flatten().flatten();
        all.filter_map(|one| std::fs::read_link(one.path()).ok()).any(|link| link == named)
    };
    while is_open() {
        std::thread::sleep(MOMENT);
    }
}

/// The key that signs anew is withdrawn while it does: the next model is not signed by it.
#[test]
fn a_key_that_is_withdrawn_while_it_signs() {
    let company = two_that_wait();
    let policy = std::fs::read_to_string(company.path("policy.yaml")).unwrap();
    let gate = fingerprint(&company, "gate");
    // A policy that is handed over each time somebody asks for it.
    fifo(&company, "handed");
    let line = format!(
        "registry resign --policy handed --environment production --key gate.key {REGISTRY} --json"
    );
    let mut child = Command::new(env!("CARGO_BIN_EXE_bulla"))
        .args(line.split_whitespace())
        .current_dir(company.0.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut asked = 0;
    let ended = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        // That is refused as long as nobody reads.
        let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
        match rustix::fs::open(company.path("handed"), flags, rustix::fs::Mode::empty()) {
            Ok(file) => {
                if asked == 1 {
                    company.yes(&format!("revoke key {gate} --reason stolen --confirm {REGISTRY}"));
                }
                asked += 1;
                hand_over(file, &policy, child.id());
            }
            Err(_) => std::thread::sleep(MOMENT),
        }
    };
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(ended.code(), Some(1), "{said}");
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    let signed: Vec<_> =
        report["models"].as_array().unwrap().iter().map(|one| one["signed"].clone()).collect();
    // What it has signed meanwhile wants another signature, and there is none to go by.
    assert_eq!(signed, [true, false, false], "{report}");
}

/// People have looked at it again for one environment: in another their approvals from before stay what they were.
#[test]
fn out_of_quarantine_by_an_easier_environment() {
    let company = Company::new();
    let policy = std::fs::read_to_string(company.path("policy.yaml")).unwrap();
    let staging = "  staging:\n    accepted_authorities: [production]\n  audit:\n";
    company.write("policy.yaml", policy.replace("  audit:\n", staging).as_bytes());
    company.yes("attest evaluation fraud-eu --metric accuracy=0.93 --key prod.key");
    let approve = |environment: &str| {
        for by in ["ana", "ben"] {
            company.yes(&format!(
                "approve fraud-eu --policy policy.yaml --environment {environment} --key {by}.key"
            ));
        }
    };
    approve("production");
    company.yes("registry init registry.toml --no-password");
    company.yes(&admit("fraud-eu", ""));
    company.yes(&format!("registry quarantine fraud-eu --reason suspicious {REGISTRY}"));
    approve("staging");
    company.yes(&format!(
        "registry resign --policy policy.yaml --environment staging --key prod.key --model fraud-eu {REGISTRY}"
    ));
    let decision = company.json(&admit("fraud-eu", ""), 1);
    assert_eq!(rules(&decision, "not-met"), ["approvals"]);
}

/// Where rules are only looked at, a quarantine is one more that is told; that is an answer, and asking again would change nothing.
#[test]
fn in_quarantine_where_rules_are_only_looked_at() {
    let company = running();
    company.yes(&format!("registry quarantine fraud-eu --reason suspicious {REGISTRY}"));
    let audit = format!("admit fraud-eu --policy policy.yaml --environment audit {REGISTRY}");
    let decision = company.json(&audit, 0);
    assert!(rules(&decision, "not-met").contains(&"quarantine".to_owned()), "{decision}");
}

/// A poisoned file is found in what was signed with another hash.
#[test]
fn a_file_in_a_model_of_another_hash() {
    let company = Company::new();
    company.yes("sign fraud-eu --key prod.key --hash blake3");
    for by in ["ana", "ben"] {
        company.yes(&format!("approve fraud-eu {PRODUCTION} --key {by}.key"));
    }
    company.yes("attest evaluation fraud-eu --metric accuracy=0.93 --key prod.key");
    company.yes("registry init registry.toml --no-password");
    company.yes(&admit("fraud-eu", "--request deploy-1"));
    company.yes(&format!("registry release deploy-1 {REGISTRY}"));
    // SHA-256 of "weights".
    let file = "sha256:9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c";
    let revoke = format!("revoke model {file} --reason poisoned --confirm {REGISTRY}");
    let plan = company.json(&revoke, 0)["plan"].clone();
    assert_eq!(plan["quarantine"].as_array().unwrap().len(), 1, "{plan}");
    assert_eq!(plan["roll_back"].as_array().unwrap().len(), 1, "{plan}");
}

/// What is said to who withdraws an identity that cannot be one.
fn refused(company: &Company, name: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_bulla"))
        .args(["revoke", "identity", name, "--reason", "x", "--confirm"])
        .args(REGISTRY.split(' '))
        .current_dir(company.0.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{name}");
    String::from_utf8(output.stderr).unwrap()
}

/// A name that nobody has would be withdrawn, and nothing with it.
#[test]
fn an_identity_that_nobody_has() {
    let company = running();
    for (name, why) in [("*@company.com", "is a pattern"), ("", "is no name")] {
        let output = refused(&company, name);
        assert!(output.contains(why), "{name}: {output}");
    }
    company.yes(&format!("revoke identity email:bot@company.com --reason x --confirm {REGISTRY}"));
    let same = company.json(&format!("revoke identity bot@company.com --reason x {REGISTRY}"), 0);
    assert_eq!(same["plan"]["revoked"]["subject"]["identity"], "bot@company.com");
}

/// The old key would count no more before anything is signed by the new one.
#[test]
fn a_rotation_into_the_past() {
    let company = running();
    let policy = std::fs::read(company.path("policy.yaml")).unwrap();
    for more in ["--overlap 0d", "--from 2025-11-27 --overlap 30d"] {
        let said = company.says(
            &format!("key rotate gate.pub --policy policy.yaml --authority production --id next {more} {REGISTRY}"),
            2,
        );
        assert!(said.contains("which is over"), "{said}");
        assert_eq!(std::fs::read(company.path("policy.yaml")).unwrap(), policy);
    }
}

/// The registry cannot be written: the policy is as it was, and the same can be done again.
#[test]
fn a_rotation_that_ends_halfway() {
    let company = running();
    let rotate =
        "key rotate gate.pub --policy policy.yaml --authority production --overlap 30d --id next";
    let policy = std::fs::read(company.path("policy.yaml")).unwrap();
    let mark = company.path("registry.mark");
    std::fs::rename(&mark, company.path("away")).unwrap();
    company.says(&format!("{rotate} {REGISTRY}"), 3);
    assert_eq!(std::fs::read(company.path("policy.yaml")).unwrap(), policy);
    let _ = std::fs::remove_dir_all(&mark);
    std::fs::rename(company.path("away"), &mark).unwrap();
    assert_eq!(company.json(&format!("{rotate} {REGISTRY}"), 0)["queued"], 1);
}

/// What was signed anew is admitted by that: the old key falls, and what runs stays.
#[test]
fn the_old_key_after_everything_is_signed_anew() {
    let company = Company::new();
    let policy = std::fs::read_to_string(company.path("policy.yaml")).unwrap();
    let evaluations = policy.lines().find(|line| line.contains("evaluations:")).unwrap();
    company.write("policy.yaml", policy.replace(&format!("{evaluations}\n"), "").as_bytes());
    for by in ["ana", "ben"] {
        company.yes(&format!("approve fraud-eu {PRODUCTION} --key {by}.key"));
    }
    company.yes("registry init registry.toml --no-password");
    company.yes(&admit("fraud-eu", "--request deploy-1"));
    company.yes(&format!("registry release deploy-1 {REGISTRY}"));
    company.yes(&format!(
        "key rotate gate.pub --policy policy.yaml --authority production --overlap 30d --id next {REGISTRY}"
    ));
    // By the key that goes it would have to be signed again.
    let old = company.says(&format!("registry resign {PRODUCTION} --key prod.key {REGISTRY}"), 3);
    assert!(old.contains("the key that it is signed with"), "{old}");
    for by in ["ana", "ben"] {
        company.yes(&format!("approve fraud-eu {PRODUCTION} --key {by}.key"));
    }
    company.yes(&format!("registry resign {PRODUCTION} --key gate.key {REGISTRY}"));
    let prod = fingerprint(&company, "prod");
    let plan =
        company.json(&format!("revoke key {prod} --reason retired {REGISTRY}"), 0)["plan"].clone();
    assert_eq!(plan["roll_back"].as_array().unwrap().len(), 0, "{plan}");
    // The other way round an older signature is left, and a new one is wanted.
    let gate = fingerprint(&company, "gate");
    let plan =
        company.json(&format!("revoke key {gate} --reason stolen {REGISTRY}"), 0)["plan"].clone();
    assert_eq!(plan["resign"].as_array().unwrap().len(), 1, "{plan}");
}

/// Signed with another hash, it comes back from quarantine as it was signed.
#[test]
fn a_model_of_another_hash_comes_back() {
    let company = Company::new();
    company.yes("sign fraud-eu --key prod.key --hash blake3");
    let policy = std::fs::read_to_string(company.path("policy.yaml")).unwrap();
    let policy =
        policy.replace("    models: ", "    recipes: { hash: [sha256, blake3] }\n    models: ");
    company.write("policy.yaml", policy.as_bytes());
    let agreed = || {
        for by in ["ana", "ben"] {
            company.yes(&format!("approve fraud-eu {PRODUCTION} --key {by}.key"));
        }
        company.yes("attest evaluation fraud-eu --metric accuracy=0.93 --key prod.key");
    };
    agreed();
    company.yes("registry init registry.toml --no-password");
    company.yes(&admit("fraud-eu", ""));
    company.yes(&format!("registry quarantine fraud-eu --reason suspicious {REGISTRY}"));
    agreed();
    company
        .yes(&format!("registry resign {PRODUCTION} --key prod.key --model fraud-eu {REGISTRY}"));
    company.yes(&admit("fraud-eu", ""));
}

/// A file that is none: whoever is told that way is not told, and everybody else is.
#[test]
fn an_alert_into_a_fifo() {
    let company = running();
    let config = std::fs::read_to_string(company.path("registry.toml")).unwrap();
    let alerts = "[[alerts]]\nname = \"pipe\"\nfile = \"pipe\"\n\n[[alerts]]\nname = \"log\"\nfile = \"alerts.jsonl\"\n";
    company.write("registry.toml", format!("{config}{alerts}").as_bytes());
    fifo(&company, "pipe");
    let eva = fingerprint(&company, "eva");
    let said = company.yes(&format!("revoke key {eva} --reason lost --confirm {REGISTRY}"));
    assert!(said.contains("an alert was not delivered"), "{said}");
    assert!(std::fs::read_to_string(company.path("alerts.jsonl")).unwrap().contains("lost"));
}
