//! Every example in `--help` runs, as it is printed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::process::Command;

const BULLA: &str = env!("CARGO_BIN_EXE_bulla");

fn bulla(folder: &Path, arguments: &str) -> (Option<i32>, String) {
    let output = Command::new(BULLA)
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .env_remove("COSIGN_PASSWORD")
        .env_remove("BULLA_REGISTRY")
        .env("BULLA_PASSWORD", "secret")
        .env("BULLA_NEW_PASSWORD", "secret")
        .env("SIGSTORE_ID_TOKEN", "not a token")
        .env("XDG_CACHE_HOME", folder)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// Starts a server, and ends it when it says that it is ready.
fn until_ready(folder: &Path, arguments: &str) -> (Option<i32>, String) {
    use std::io::{BufRead as _, BufReader, Read as _};
    let mut server = Command::new(BULLA)
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .env("BULLA_PASSWORD", "secret")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut output = BufReader::new(server.stdout.take().unwrap());
    output.read_line(&mut said).unwrap();
    if said.contains("ready") {
        let id = rustix::process::Pid::from_child(&server);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    }
    server.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let code = server.wait().unwrap().code();
    // The ports in the examples may be somebody else's just now.
    if said.contains("Address already in use") { (Some(0), said) } else { (code, said) }
}

fn help(command: &str) -> String {
    let (code, said) = bulla(Path::new("."), &format!("{command} --help"));
    assert_eq!(code, Some(0));
    said
}

fn examples(command: &str) -> Vec<String> {
    let help = help(command);
    let (_, examples) =
        help.split_once("Examples:").unwrap_or_else(|| panic!("{command} has none"));
    examples
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| line.strip_prefix("bulla ").unwrap_or_else(|| panic!("{line}")).to_owned())
        .collect()
}

/// What the examples take for granted: models, keys, certificates.
fn prepare(folder: &Path) {
    use bulla_testkit::authority::{Issued, authority, signer};
    for model in ["my-model", "other-model", "certified-model"] {
        bulla_testkit::models::write(
            folder,
            &[(&format!("{model}/weights.bin"), &[1; 1000]), (&format!("{model}/cache/x"), b"1")],
        );
    }
    std::fs::write(folder.join("password.txt"), "secret\n").unwrap();
    std::fs::write(folder.join("new-password.txt"), "secret\n").unwrap();
    for name in ["signer", "former"] {
        let made = bulla(folder, &format!("key generate --no-password --output {name}.key"));
        assert_eq!(made.0, Some(0), "{}", made.1);
    }
    let root = Issued::root(authority("Root"));
    let middle = root.issue(authority("Intermediate"));
    let team = middle.issue(signer("Team"));
    for (name, issued) in [("root", &root), ("intermediate", &middle), ("team", &team)] {
        std::fs::write(folder.join(format!("{name}.pem")), issued.certificate_pem()).unwrap();
    }
    let key = team.key_pair().to_plain_pem().unwrap();
    std::fs::write(folder.join("team.key"), key.as_bytes()).unwrap();
    std::fs::write(folder.join("server.pem"), team.certificate_pem()).unwrap();
    std::fs::write(folder.join("server.key"), key.as_bytes()).unwrap();
    for (model, with) in [
        ("my-model", "--key signer.key"),
        ("other-model", "--key former.key"),
        ("certified-model", "--key team.key --certificate team.pem --chain intermediate.pem"),
    ] {
        let signed = bulla(folder, &format!("sign {model} {with}"));
        assert_eq!(signed.0, Some(0), "{}", signed.1);
    }
    let keyless = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../bulla/tests/data/oms-vectors/v1.1.0-sigstore");
    std::fs::create_dir(folder.join("keyless-model")).unwrap();
    for file in ["ignore-me", "model.sig", "signme-1", "signme-2"] {
        std::fs::copy(keyless.join(file), folder.join("keyless-model").join(file)).unwrap();
    }
    std::fs::write(folder.join("weights.bin"), [1; 1000]).unwrap();
    let signed = bulla(folder, "blob sign weights.bin --key signer.key");
    assert_eq!(signed.0, Some(0), "{}", signed.1);
    std::fs::write(folder.join("root.json"), "{}").unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../bulla/tests/data/sigstore/trusted_root.json");
    std::fs::copy(root, folder.join("trusted_root.json")).unwrap();
    for part in ["0/2", "1/2"] {
        let output = part.replace("/2", ".json");
        let measured =
            bulla(folder, &format!("digest my-model --partition {part} --output part-{output}"));
        assert_eq!(measured.0, Some(0), "{}", measured.1);
    }
}

/// A base model, one that was made of it, and one that is deployed; data; a trust file; a training.
fn prepare_lineage(folder: &Path) {
    let safetensors = |first: u8| {
        let header = br#"{"w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#;
        [&(header.len() as u64).to_le_bytes()[..], header, &[first, 2, 3, 4]].concat()
    };
    for (index, model) in ["base", "tuned", "deployed"].into_iter().enumerate() {
        let weights = safetensors(u8::try_from(index).unwrap());
        let name = format!("{model}/model.safetensors");
        bulla_testkit::models::write(folder, &[(&name, &weights)]);
    }
    bulla_testkit::models::write(folder, &[("data/one.txt", b"text")]);
    std::fs::write(folder.join("results.json"), r#"{"accuracy": 0.93}"#).unwrap();
    std::fs::write(folder.join("bom.json"), "{}").unwrap();
    let train = "mkdir -p ${1:-made}; echo w > ${1:-made}/weights.bin";
    std::fs::write(folder.join("train.sh"), train).unwrap();
    let (_, shown) = bulla(folder, "key show signer.pub");
    let fingerprint = shown.split_whitespace().find(|word| word.starts_with("sha256:")).unwrap();
    let trust = format!(
        "signing_authorities:\n  team:\n    type: key\n    may_sign: [oms, provenance, evaluation]\n    keys: [{{ public_key: signer.pub, fingerprint: \"{fingerprint}\" }}]\nlineage: {{ no_parents_signed_by: [team] }}\n"
    );
    std::fs::write(folder.join("trust.yaml"), trust).unwrap();
    for line in [
        "sign base --key signer.key",
        "sign tuned --key signer.key",
        "sign deployed --key signer.key",
        "attest provenance base --kind pretrain --key signer.key",
        "attest provenance tuned --kind finetune --base-model base --key signer.key",
        "attest composition deployed --base-model tuned --key signer.key",
        "run --output run --kind pretrain --log training.jsonl --key signer.key -- sh train.sh run",
    ] {
        let (code, said) = bulla(folder, line);
        assert_eq!(code, Some(0), "{line}: {said}");
    }
}

/// A policy, and a model that it admits.
fn prepare_policy(folder: &Path) {
    let (_, shown) = bulla(folder, "key show signer.pub");
    let fingerprint = shown.split_whitespace().find(|word| word.starts_with("sha256:")).unwrap();
    let key = format!("{{ public_key: signer.pub, fingerprint: \"{fingerprint}\" }}");
    let policy = format!(
        "policy: {{ name: company, version: 1, expires: 2099-01-01 }}\nroles:\n  officers: {{ people: [{{ id: eva, keys: [{key}] }}] }}\nsigning_authorities:\n  team: {{ type: key, may_sign: [oms], keys: [{key}] }}\nverification_policy:\n  production: {{ accepted_authorities: [team], exceptions: {{ from: officers }} }}\n  staging: {{ accepted_authorities: [team] }}\n"
    );
    std::fs::write(folder.join("policy.yaml"), policy).unwrap();
    let cases = "cases:\n  - { name: the signed model, model: fraud-eu, environment: staging, expect: admitted }\n";
    std::fs::write(folder.join("policy.tests.yaml"), cases).unwrap();
    let certificates = "certificate_policy:\n  version: '1.0'\n  signing_authorities:\n    team: { type: key-based, key_storage: HSM, authorized_signers: [ci@corp.com] }\n  verification_policy:\n    production_deployment: { accepted_authorities: [team] }\n";
    std::fs::write(folder.join("certs.yaml"), certificates).unwrap();
    bulla_testkit::models::write(folder, &[("fraud-eu/weights.bin", &[1; 1000])]);
    let (code, said) = bulla(folder, "sign fraud-eu --key signer.key");
    assert_eq!(code, Some(0), "{said}");
}

/// A log and what belongs to it, from the transcripts.
fn prepare_log(folder: &Path) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd/log-fixture");
    for path in ["checkpoint", "tile/0/000.p/5", "tile/entries/000.p/5"] {
        let to = folder.join("my-log").join(path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(fixture.join("log").join(path), to).unwrap();
    }
    for name in ["log.vkey", "log.pub", "last.checkpoint", "trusted_root.json"] {
        std::fs::copy(fixture.join(name), folder.join(name)).unwrap();
    }
    for output in ["--output my-log.tar", "--entry 3 --output entry-3.tlog-proof"] {
        let made = bulla(folder, &format!("log export my-log --key log.vkey {output}"));
        assert_eq!(made.0, Some(0), "{}", made.1);
    }
}

#[test]
fn every_example_runs_as_it_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    prepare_log(folder.path());
    prepare_lineage(folder.path());
    prepare_policy(folder.path());
    let commands = [
        "registry init",
        "verify",
        "sign",
        "digest",
        "inspect",
        "attest provenance",
        "attest composition",
        "attest conversion",
        "attest dataset",
        "attest evaluation",
        "attest test-result",
        "attest release",
        "attest verdict",
        "attest statement",
        "attest log verify",
        "run",
        "lineage",
        "policy check",
        "policy explain",
        "policy test",
        "policy schema",
        "policy import",
        "policy sign",
        "approve",
        "exception",
        "release",
        "admit",
        "registry release",
        "registry add",
        "registry list",
        "registry search",
        "registry show",
        "policy simulate",
        "registry status",
        "registry quarantine",
        "registry resign",
        "registry alerts",
        "registry rollback",
        "registry audit",
        "registry export",
        "registry import",
        "registry migrate",
        "revoke key",
        "revoke identity",
        "revoke authority",
        "revoke model",
        "key generate",
        "key show",
        "key encrypt",
        "key decrypt",
        "key rotate",
        "blob sign",
        "blob verify",
        "trust update",
        "trust show",
        "log verify",
        "log monitor",
        "log export",
        "authority init",
        "authority serve",
        "authority rotate",
        "demo",
        "completions",
        "man",
    ];
    let mut count = 0;
    for command in commands {
        if command == "registry import" {
            // Another place, on a machine that has seen nothing of it yet.
            let config = std::fs::read_to_string(folder.path().join("registry.toml")).unwrap();
            let config =
                config.replace("registry.db", "restored.db").replace("registry.mark", "new");
            std::fs::write(folder.path().join("restored.toml"), config).unwrap();
        }
        for example in examples(command) {
            let (code, said) = match command {
                "authority serve" => until_ready(folder.path(), &example),
                _ => bulla(folder.path(), &example),
            };
            let (expected, says): (&[i32], &str) = match example.as_str() {
                // With an identity: these would ask Sigstore's services, had they a token.
                e if e.ends_with("--yes") => (&[3], "JSON web token"),
                // A real signature, by somebody else than the one in the example.
                e if e.starts_with("verify keyless-model") => (&[1], "stefanb@us.ibm.com"),
                e if e.starts_with("blob verify") && e.contains("--identity") => {
                    (&[1], "a bare key")
                }
                e if e.starts_with("trust update --url") => (&[3], "TUF repository"),
                // It needs a network, which may be there.
                e if e.starts_with("trust update") => (&[0, 3], ""),
                _ => (&[0], ""),
            };
            assert!(expected.contains(&code.unwrap()), "bulla {example}\n{said}");
            assert!(said.contains(says), "bulla {example}\n{said}");
            count += 1;
        }
    }
    assert!(count >= 20, "{count} examples");
    assert!(folder.path().join("pages/bulla-key-generate.1").exists());
}

/// No command is without help, and none is left out above.
#[test]
fn every_command_is_listed() {
    let help = help("");
    let (_, commands) = help.split_once("Commands:").unwrap();
    let (commands, _) = commands.split_once("\n\n").unwrap();
    let names: Vec<&str> =
        commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(
        names,
        [
            "sign",
            "verify",
            "digest",
            "inspect",
            "attest",
            "run",
            "lineage",
            "admit",
            "approve",
            "exception",
            "release",
            "policy",
            "registry",
            "revoke",
            "blob",
            "key",
            "trust",
            "authority",
            "log",
            "demo",
            "completions",
            "man",
            "help"
        ]
    );
}
