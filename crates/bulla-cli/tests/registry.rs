//! The registry through the program: what is remembered, what is withdrawn, what is signed again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod company;

use company::{Company, PRODUCTION, rules};
use serde_json::Value;

/// A company that keeps a registry, with a model that runs.
fn running() -> Company {
    let company = Company::ready();
    company.yes("registry init registry.toml --no-password");
    company.yes(&admit("--request deploy-1"));
    company.yes("registry release deploy-1 --registry registry.toml");
    company
}

fn admit(more: &str) -> String {
    format!("admit fraud-eu {PRODUCTION} --registry registry.toml {more}")
}

fn fingerprint(company: &Company, key: &str) -> String {
    company.json(&format!("key show {key}.pub"), 0)["fingerprint"].as_str().unwrap().to_owned()
}

fn show(company: &Company) -> Value {
    company.json("registry show fraud-eu --registry registry.toml", 0)["model"].clone()
}

#[test]
fn what_was_decided_is_remembered() {
    let company = running();
    let shown = show(&company);
    assert_eq!(shown["summary"]["running"], true);
    assert_eq!(shown["decisions"][0]["request"], "deploy-1");
    let roles: Vec<&str> = shown["evidence"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["role"].as_str().unwrap())
        .collect();
    for role in ["signer", "approval", "evaluation"] {
        assert!(roles.contains(&role), "{roles:?}");
    }
    // The same request gets the same answer, and nothing is written.
    let entries = || {
        let status = company.json("registry status --registry registry.toml", 0);
        status["status"]["entries"].as_u64().unwrap()
    };
    let before = entries();
    let again = company.json(&admit("--request deploy-1"), 0);
    assert_eq!(again["repeated"], true);
    assert_eq!(again["decision"]["admitted"], true);
    assert_eq!(entries(), before);
    // For another name it is another question.
    let said = company.says(&admit("--request deploy-1 --name fraud-us"), 3);
    assert!(said.contains("deploy-1 was about"), "{said}");
    // Without an id each is a request of its own.
    let first = company.json(&admit(""), 0)["request"].as_str().unwrap().to_owned();
    assert_ne!(company.json(&admit(""), 0)["request"], first.as_str());
    // A "no" is written down, too, with its verdict; also about what is no model.
    company.write("fraud-eu/model.safetensors", b"Weights");
    let verdict = "--verdict v.json --verifier https://gate.example --key gate.key";
    company.says(&admit(&format!("--request tampered {verdict}")), 1);
    std::fs::remove_file(company.path("fraud-eu/model.sig")).unwrap();
    company.says(&admit("--request unsigned"), 1);
    let again = company.json(&admit("--request unsigned"), 1);
    assert_eq!(again["verdict"], "refused");
    assert!(
        company.says("registry release unsigned --registry registry.toml", 1).contains("refused")
    );
    std::fs::remove_file(company.path("v.json")).unwrap();
    company.says(&admit(&format!("--request tampered {verdict}")), 1);
    assert!(company.path("v.json").exists(), "the verdict is kept, and given again");
}

/// A policy and revocations that were used are not followed by older ones, whatever file is given.
#[test]
fn an_older_policy() {
    let company = running();
    let policy = std::fs::read_to_string(company.path("policy.yaml")).unwrap();
    company.write("policy.yaml", policy.replace("version: 7", "version: 6").as_bytes());
    let decision = company.json(&admit("--request older"), 1);
    assert_eq!(rules(&decision, "not-met"), ["policy-version"]);
    company.write("policy.yaml", format!("{policy}# other\n").as_bytes());
    let decision = company.json(&admit("--request other"), 1);
    assert_eq!(rules(&decision, "not-met"), ["policy-version"]);
    company.write("policy.yaml", policy.replace("version: 7", "version: 8").as_bytes());
    company.yes(&admit("--request newer"));
}

/// A database that was put back, or another one, un-revokes nothing.
#[test]
fn a_registry_that_was_restored() {
    let company = running();
    let backup = std::fs::read(company.path("registry.db")).unwrap();
    let eva = fingerprint(&company, "eva");
    company.yes(&format!("revoke key {eva} --reason lost --confirm --registry registry.toml"));
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(company.path(&format!("registry.db{end}")));
    }
    company.write("registry.db", &backup);
    let said = company.says(&admit(""), 3);
    assert!(said.contains("older than what was seen of it"), "{said}");
    company.says("registry list --registry registry.toml", 3);
    // A machine that has seen nothing yet says so.
    let config = std::fs::read_to_string(company.path("registry.toml")).unwrap();
    company.write("elsewhere.toml", config.replace("registry.mark", "other.mark").as_bytes());
    let said = company.says("registry list --registry elsewhere.toml", 3);
    assert!(said.contains("no high-water mark"), "{said}");
    company.yes("registry list --registry elsewhere.toml --first-use");
    company.yes("registry list --registry elsewhere.toml");
    // Another key is another registry.
    company.yes("registry init second.toml --no-password");
    let second = std::fs::read_to_string(company.path("second.toml")).unwrap();
    let vkey = |text: &str| text.lines().find(|l| l.starts_with("vkey")).unwrap().to_owned();
    let forged = std::fs::read_to_string(company.path("elsewhere.toml")).unwrap();
    company.write("forged.toml", forged.replace(&vkey(&forged), &vkey(&second)).as_bytes());
    company.says("registry list --registry forged.toml --first-use", 3);
}

#[test]
fn machines_that_only_ask() {
    let company = running();
    let config = std::fs::read_to_string(company.path("registry.toml")).unwrap();
    let config = config.replace("key = \"registry.key\"\n", "").replace("registry.mark", "m");
    company.write("reader.toml", config.as_bytes());
    company.yes("registry list --registry reader.toml --first-use");
    company.yes(&format!("verify fraud-eu {PRODUCTION} --registry reader.toml"));
    let said = company.says("registry quarantine fraud-eu --reason x --registry reader.toml", 2);
    assert!(said.contains("no key to write"), "{said}");
    let eva = fingerprint(&company, "eva");
    company.yes(&format!("revoke key {eva} --reason x --registry reader.toml"));
    company.says(&format!("revoke key {eva} --reason x --confirm --registry reader.toml"), 2);
    for text in ["", "place = 1", "place = \"x\"\nvkey = \"y\"\nmark = \"m\"\nmore = 1"] {
        company.write("wrong.toml", text.as_bytes());
        company.says("registry list --registry wrong.toml", 3);
    }
    company.says("registry list --registry none.toml", 3);
    company.says("registry list", 2);
    company.says("registry init registry.toml --no-password", 2);
}

#[test]
fn quarantine_and_back() {
    let company = running();
    company
        .yes("registry quarantine fraud-eu --reason suspicious --by eva --registry registry.toml");
    let decision = company.json(&admit(""), 1);
    assert_eq!(rules(&decision, "not-met"), ["quarantine"]);
    assert!(company.says(&admit(""), 1).contains("suspicious (eva"));
    // For something else besides: who lifts it is told of both.
    company.yes("registry quarantine fraud-eu --reason slow --by ana --registry registry.toml");
    let said = company.says(&admit(""), 1);
    assert!(said.contains("slow (ana") && said.contains("; suspicious (eva"), "{said}");
    assert!(
        company
            .yes("registry list --state quarantined --registry registry.toml")
            .contains("fraud-eu")
    );
    let said = company.says("registry release deploy-1 --registry registry.toml", 1);
    assert!(said.contains("refused since") || said.contains("quarantine"), "{said}");
    let lift = "registry quarantine fraud-eu --lift --reason fine --registry registry.toml";
    // Not before somebody has looked at both.
    let said = company.says(lift, 2);
    assert!(said.contains("slow (ana") && said.contains("; suspicious (eva"), "{said}");
    let entry = said.split("--entry ").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    let shown = company.yes("registry show fraud-eu --registry registry.toml");
    assert!(shown.contains("slow (ana") && shown.contains(&format!("(entry {entry})")), "{shown}");
    company.says(&format!("{lift} --entry 1"), 2);
    let said = company.yes(&format!("{lift} --entry {entry}"));
    assert!(said.contains("slow (ana") && said.contains("; suspicious (eva"), "{said}");
    assert!(company.says(lift, 2).contains("not in quarantine"));
    company.yes(&admit(""));
    company.says("registry quarantine nothing --reason x --registry registry.toml", 2);
    let search = |text: &str, code| {
        company.says(&format!("registry search {text} --registry registry.toml"), code)
    };
    assert!(search("nothing", 0).contains("there is none"));
    assert!(search("oms:1cb5", 2).contains("is no digest of a model"));
}

/// An approver's key is withdrawn: what rests on it is admitted no more, and the model itself is none the worse.
#[test]
fn a_key_of_somebody_who_approves() {
    let company = running();
    let ben = fingerprint(&company, "ben");
    let revoke = format!("revoke key {ben} --reason lost --registry registry.toml");
    let planned = company.json(&revoke, 0);
    assert_eq!(planned["verdict"], "planned");
    let plan = &planned["plan"];
    assert_eq!(plan["quarantine"].as_array().unwrap().len(), 0);
    assert_eq!(plan["withdraw"].as_array().unwrap().len(), 1);
    assert_eq!(plan["roll_back"].as_array().unwrap().len(), 1);
    // Only looked at: nothing has changed.
    company.yes(&admit("--request before"));
    company.yes(&format!("{revoke} --confirm"));
    let decision = company.json(&admit("--request after"), 1);
    assert_eq!(rules(&decision, "not-met"), ["approvals"]);
    let said = company.says("registry release deploy-1 --registry registry.toml", 1);
    assert!(said.contains("refused since") || said.contains("withdrawn"), "{said}");
    // An admission that was withdrawn is none, whoever asks for it again.
    let again = company.json(&admit("--request deploy-1"), 1);
    assert!(again["withdrawn"].is_string(), "{again}");
}

/// The way from a new key to models that are signed by it; and then the old key may be withdrawn, and nothing falls.
#[test]
fn a_rotation_to_its_end() {
    let company = running();
    company
        .yes("registry add --policy policy.yaml --environment production --registry registry.toml");
    let rotate =
        "key rotate gate.pub --policy policy.yaml --authority production --overlap 30d --id next";
    let rotated = company.json(&format!("{rotate} --registry registry.toml"), 0);
    assert_eq!(rotated["queued"], 1);
    let prod = fingerprint(&company, "prod");
    let resign = |key: &str| {
        format!("registry resign {PRODUCTION} --key {key}.key --registry registry.toml")
    };
    // A key that is nobody's does not do.
    let before = std::fs::read(company.path("fraud-eu/model.sig")).unwrap();
    let refused = company.json(&resign("stranger"), 1);
    assert!(
        refused["models"][0]["reasons"][0].as_str().unwrap().contains("signature"),
        "{refused}"
    );
    assert_eq!(std::fs::read(company.path("fraud-eu/model.sig")).unwrap(), before);
    // It was refused, and waits no more; a person looks at it.
    let signed = company.json(&resign("gate"), 0);
    assert_eq!(signed["models"].as_array().unwrap().len(), 0);
    company.yes("sign fraud-eu --key gate.key");
    std::fs::remove_file(company.path("fraud-eu/claims.jsonl")).unwrap();
    for by in ["ana", "ben"] {
        company.yes(&format!("approve fraud-eu {PRODUCTION} --key {by}.key"));
    }
    company.yes("attest evaluation fraud-eu --metric accuracy=0.93 --key gate.key");
    company.yes(&admit("--request deploy-2"));
    company.yes("registry release deploy-2 --registry registry.toml");
    let revoke = format!("revoke key {prod} --reason retired --registry registry.toml");
    let plan = company.json(&format!("{revoke} --confirm"), 0)["plan"].clone();
    assert_eq!(plan["quarantine"].as_array().unwrap().len(), 0, "{plan}");
    assert_eq!(plan["roll_back"].as_array().unwrap().len(), 0, "{plan}");
    company.yes(&admit("--request deploy-3"));
    assert_eq!(show(&company)["summary"]["running"], true);
}

/// Signing anew measures again, and copies no claim; what is not what was signed is left alone.
#[test]
fn what_is_signed_anew() {
    let company = running();
    let rotate =
        "key rotate gate.pub --policy policy.yaml --authority production --overlap 30d --id next";
    company.yes(&format!("{rotate} --registry registry.toml"));
    let resign = format!("registry resign {PRODUCTION} --key gate.key --registry registry.toml");
    company.write("fraud-eu/model.safetensors", b"Weights");
    let refused = company.json(&resign, 1);
    let why = refused["models"][0]["reasons"][0].as_str().unwrap();
    assert!(why.contains("its files are another model"), "{why}");
    assert!(company.yes(&resign).contains("nothing waits"));
    let company = running();
    company.yes(&format!("{rotate} --registry registry.toml"));
    let signed = company.json(&resign, 0);
    assert_eq!(signed["models"][0]["signed"], true);
    let bundle = std::fs::read(company.path("fraud-eu/model.sig")).unwrap();
    company.yes("verify fraud-eu --key gate.pub");
    company.yes(&admit(""));
    assert!(company.yes(&resign).contains("nothing waits"));
    assert_eq!(std::fs::read(company.path("fraud-eu/model.sig")).unwrap(), bundle);
    let evidence = show(&company)["evidence"].clone();
    let signers = evidence.as_array().unwrap().iter().filter(|one| one["role"] == "signer").count();
    assert_eq!(signers, 2);
}

/// Out of quarantine comes what people have looked at since, and nothing else.
#[test]
fn a_model_whose_signer_was_robbed() {
    let company = running();
    let prod = fingerprint(&company, "prod");
    let rotate =
        "key rotate gate.pub --policy policy.yaml --authority production --overlap 30d --id next";
    company.yes(&format!("{rotate} --registry registry.toml"));
    company.yes(&format!("revoke key {prod} --reason stolen --confirm --registry registry.toml"));
    let decision = company.json(&admit(""), 1);
    assert_eq!(rules(&decision, "not-met"), ["signature", "quarantine"][..1].to_vec());
    let resign = |more: &str| {
        format!("registry resign {PRODUCTION} --key gate.key --registry registry.toml {more}")
    };
    // What fell does not come back by the queue, nor with the approvals from before.
    let refused = company.json(&resign(""), 1);
    assert_eq!(refused["models"][0]["signed"], false, "{refused}");
    let refused = company.says(&resign("--model fraud-eu"), 1);
    assert!(refused.contains("nobody has approved it"), "{refused}");
    company.says(&admit(""), 1);
    // Nobody can approve what nobody vouches for: the new key signs it first; by that alone it is not back.
    let approve =
        |by: &str| format!("approve fraud-eu {PRODUCTION} --key {by}.key --registry registry.toml");
    company.says(&approve("ana"), 1);
    company.yes("sign fraud-eu --key gate.key");
    assert!(company.says(&admit(""), 1).contains("in quarantine"));
    company.yes(&approve("ana"));
    assert!(company.says(&resign("--model fraud-eu"), 1).contains("1 of 2 approve"));
    company.yes(&approve("ben"));
    // What the stolen key said of it counts no more, either.
    assert!(company.says(&resign("--model fraud-eu"), 1).contains("evaluations"));
    company.yes("attest evaluation fraud-eu --metric accuracy=0.94 --key gate.key");
    company.yes(&resign("--model fraud-eu"));
    company.yes(&admit(""));
    assert_eq!(show(&company)["summary"]["quarantined"], false);
    let said = company.says(&resign("--model fraud-eu"), 2);
    assert!(said.contains("is not in quarantine"), "{said}");
}

#[test]
fn alerts_come_until_they_arrive() {
    let company = running();
    let config = std::fs::read_to_string(company.path("registry.toml")).unwrap();
    let alerts = "[[alerts]]\nname = \"file\"\nfile = \"alerts.jsonl\"\n\n[[alerts]]\nname = \"program\"\ncommand = [\"sh\", \"-c\", \"test -e up && cat >> got\"]\n\n[[alerts]]\nname = \"none\"\n";
    company.write("registry.toml", format!("{config}{alerts}").as_bytes());
    let eva = fingerprint(&company, "eva");
    let said =
        company.yes(&format!("revoke key {eva} --reason lost --confirm --registry registry.toml"));
    assert!(said.contains("an alert was not delivered"), "{said}");
    let line = std::fs::read_to_string(company.path("alerts.jsonl")).unwrap();
    let alert: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(alert["type"], "revocation");
    assert_eq!(alert["reason"], "lost");
    // Not before its time is it tried again.
    company.write("up", b"");
    let told = company.json("registry alerts --registry registry.toml", 0);
    assert_eq!(told["delivered"], 0);
    let status = company.json("registry status --registry registry.toml", 0);
    assert_eq!(status["status"]["alerts_waiting"], 2);
}

/// What cannot be written down any more is told, and the revocation is done all the same.
#[test]
fn alerts_that_destroy_what_they_are_told_by() {
    let company = running();
    let config = std::fs::read_to_string(company.path("registry.toml")).unwrap();
    let alerts = "[[alerts]]\nname = \"program\"\ncommand = [\"sh\", \"-c\", \"rm -r *.mark\"]\n";
    company.write("registry.toml", format!("{config}{alerts}").as_bytes());
    let eva = fingerprint(&company, "eva");
    let said =
        company.yes(&format!("revoke key {eva} --reason lost --confirm --registry registry.toml"));
    assert!(
        said.contains("revoked: the key") && said.contains("it is done, and not everybody"),
        "{said}"
    );
}

/// What a new version of the policy would change is told before it is signed; and nothing is written.
#[test]
fn a_policy_that_is_tried() {
    let company = running();
    let simulate = "policy simulate next.yaml --registry registry.toml";
    let policy = std::fs::read_to_string(company.path("policy.yaml")).unwrap();
    let entries = || {
        let status = company.json("registry status --registry registry.toml", 0);
        status["status"]["entries"].as_u64().unwrap()
    };
    let before = entries();
    company.write("next.yaml", policy.as_bytes());
    assert_eq!(company.json(simulate, 0)["decisions"]["same"], 1);
    // Of any version, and signed or not.
    let signed = policy.replace("version: 7", "version: 8, signed_by: [officers]");
    company.write("next.yaml", signed.as_bytes());
    company.yes(simulate);
    company.write("next.yaml", policy.replace("at_least: 0.9", "at_least: 0.99").as_bytes());
    let found = company.json(simulate, 1);
    let changed = &found["decisions"]["changed"][0];
    assert_eq!((&changed["before"], &changed["now"]), (&"admitted".into(), &"refused".into()));
    let why = changed["why"].to_string();
    assert!(why.contains("evaluations: accuracy is 0.93") && why.contains("approvals"), "{why}");
    company.says("policy simulate next.yaml --environment none --registry registry.toml", 3);
    company.yes("policy simulate next.yaml --environment audit --registry registry.toml");
    company.write(
        "next.yaml",
        policy.replace("  production:\n    models", "  live:\n    models").as_bytes(),
    );
    assert!(company.says(simulate, 1).contains("no environment production"));
    company.write("next.yaml", policy.as_bytes());
    std::fs::rename(company.path("fraud-eu"), company.path("elsewhere")).unwrap();
    assert!(company.says(simulate, 3).contains("none of the places"));
    assert_eq!(entries(), before);
}

/// Whatever cannot be read, written or believed: no decision, and nothing that could be taken for one.
#[test]
fn every_fault_is_no_decision() {
    let company = running();
    let text = |file: &str| std::fs::read_to_string(company.path(file)).unwrap();
    let config = text("registry.toml");
    let file = |name: &str, text: &str| {
        company.write(name, text.as_bytes());
        format!("admit fraud-eu {PRODUCTION} --registry {name}")
    };
    let swapped = |from: &str, to: &str| {
        assert!(config.contains(from), "{from}");
        config.replace(from, to)
    };
    for (what, line, code) in [
        ("no file of a registry", format!("admit fraud-eu {PRODUCTION} --registry none.toml"), 3),
        ("no database", file("a.toml", &swapped("registry.db", "none.db")), 3),
        ("no mark", file("b.toml", &swapped("registry.mark", "none.mark")), 3),
        ("no key", file("c.toml", &swapped("registry.key", "none.key")), 3),
        ("another key", file("d.toml", &swapped("\"registry.key\"", "\"prod.key\"")), 3),
        ("a database that is none", file("e.toml", &swapped("registry.db", "prod.pub")), 3),
        (
            "a server that is not there",
            file("f.toml", &swapped("registry.db", "postgres://u:secret@127.0.0.1:1/x")),
            3,
        ),
        ("no variable", file("g.toml", &swapped("registry.db", "env://BULLA_TEST_NOT_SET")), 2),
        ("a vkey that is none", file("h.toml", &swapped("+", "-")), 2),
    ] {
        let output = company.output(&format!("{line} --request {}", what.replace(' ', "-")));
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{what}: {said}");
        assert!(!said.contains("admitted") && !said.contains("secret"), "{what}: {said}");
    }
    // A mark that was cut short, and one of another registry.
    let mark = company.path("registry.mark/registry.mark");
    let whole = std::fs::read(&mark).unwrap();
    for wrong in [&whole[..whole.len() / 2], b"", b"bulla\n"] {
        std::fs::write(&mark, wrong).unwrap();
        company.says(&admit("--request mark"), 3);
    }
    std::fs::write(&mark, &whole).unwrap();
    // A full disk: what cannot be written down is not answered.
    let full = |request: &str| {
        let script = format!(
            "trap '' XFSZ; ulimit -f 0; exec \"$0\" {}",
            admit(&format!("--request {request}"))
        );
        let output = std::process::Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_bulla")])
            .current_dir(company.path("."))
            .env_remove("BULLA_REGISTRY")
            .output()
            .unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(!said.contains("admitted"), "{said}");
    };
    full("full-disk");
    company.yes(&admit("--request full-disk"));
    company.yes("registry audit --registry registry.toml");
    let decisions = show(&company)["decisions"].as_array().unwrap().len();
    assert_eq!(decisions, 2, "deploy-1 and full-disk: one of each");
}

/// The registry's file says whose policies count: nobody comes with one of his own, of whatever version.
#[test]
fn policies_that_are_pinned_for_all() {
    let company = running();
    let config = std::fs::read_to_string(company.path("registry.toml")).unwrap();
    let pinned = |more: &str| {
        company.write(
            "registry.toml",
            format!("{config}policy_keys = [\"eva.pub\", \"ana.pub\"]\n{more}").as_bytes(),
        );
    };
    pinned("");
    assert!(company.says(&admit(""), 1).contains("those who are pinned"));
    company.yes("policy sign policy.yaml --key eva.key");
    assert!(company.says(&admit(""), 1).contains("only sha256:"));
    assert!(
        company.says(&admit("--policy-key eva.pub"), 1).contains("only sha256:"),
        "besides, not instead"
    );
    pinned("policy_threshold = 1\n");
    company.yes(&admit(""));
    company.says(&admit("--policy-key stranger.pub"), 1);
    // One that admits everything, and would lock everybody else out by its version.
    let policy = std::fs::read_to_string(company.path("policy.yaml")).unwrap();
    company.write("mine.yaml", policy.replace("version: 7", "version: 700").as_bytes());
    company
        .says("admit fraud-eu --policy mine.yaml --environment audit --registry registry.toml", 1);
    company.yes(&admit(""));
}
