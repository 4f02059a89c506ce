//! Parties of every kind: identities, certificates, and who says when.

use bulla_testkit::authority::{Issued, authority, signer};
use bulla_testkit::issuer::TestIssuer;
use bulla_testkit::sigstore::TestAuthority;
use serde_json::{Value, json};

use crate::story::{Story, text};

const GITHUB: &str = "https://token.actions.githubusercontent.com";

/// A trust file, with the roots of an instance.
fn trust(story: &Story, instance: &TestAuthority, name: &str, more: &str) {
    let root = instance.trusted_root().to_string();
    story.write("root.json", root.as_bytes());
    let digest = bulla::Digest::sha256(root.as_bytes()).to_hex();
    let text =
        format!("trust:\n  sigstore: {{ trusted_root: root.json, sha256: {digest} }}\n{more}");
    story.write(name, text.as_bytes());
}

/// The services of an instance, with somebody's roots, in the file that clients take; and a token.
fn signing(story: &Story, services: &TestAuthority, roots: &TestAuthority, token: &str) -> String {
    let config = json!({
        "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
        "trustedRoot": roots.trusted_root(),
        "signingConfig": services.signing_config(None),
    });
    story.write("config.json", config.to_string().as_bytes());
    story.write("token", token.as_bytes());
    "--trust-config config.json --identity-token token --yes".to_owned()
}

fn standings(shown: &Value, standing: &str) -> Vec<String> {
    let fields = shown["claims"][0]["statements"][0]["fields"].as_array().unwrap();
    let fields = fields.iter().filter(|field| field["standing"] == standing);
    fields.map(|field| text(&field["name"])).collect()
}

/// A training in CI: one token, two signatures; and the certificate proves what the machine says of its run.
#[test]
fn a_run_in_ci() {
    let issuer = TestIssuer::new(GITHUB);
    let instance = TestAuthority::start_with(|config| config.issuers.push(issuer.config()));
    let story = Story::empty();
    story.write("code/train.py", b"print()");
    let commit = story.git("code");
    story.write("texts/one.txt", b"words");
    story.write("train.sh", b"mkdir -p made; cat texts/one.txt > made/weights.bin");
    story.write("results.json", br#"{"accuracy": 0.93}"#);
    let workflow = "org/train/.github/workflows/train.yml@refs/heads/main";
    let token = issuer.token(&json!({
        "sub": "repo:org/train:ref:refs/heads/main",
        "event_name": "push", "sha": commit, "workflow": "train", "repository": "org/train",
        "ref": "refs/heads/main", "runner_environment": "github-hosted",
        "job_workflow_ref": workflow, "job_workflow_sha": commit,
        "repository_id": "1", "repository_owner": "org", "repository_owner_id": "2",
        "repository_visibility": "private", "run_attempt": "1", "run_id": "77",
        "workflow_ref": workflow, "workflow_sha": commit,
    }));
    let with = signing(&story, &instance, &instance, &token);
    let environment = [
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_SERVER_URL", "https://github.com"),
        ("GITHUB_REPOSITORY", "org/train"),
        ("GITHUB_RUN_ID", "77"),
        ("GITHUB_RUN_ATTEMPT", "1"),
        ("GITHUB_WORKFLOW_REF", workflow),
        ("RUNNER_ENVIRONMENT", "github-hosted"),
    ];
    let run = format!(
        "run --output made --kind pretrain --input texts --source code --evaluation results.json {with} -- sh train.sh"
    );
    let output = story.command(&run).envs(environment).output().unwrap();
    assert!(output.status.success(), "{output:?}");

    let builder = "https://github.com/actions/runner/github-hosted";
    let rules = |repository: &str| {
        format!(
            "signing_authorities:\n  ci:\n    type: keyless\n    may_sign: [oms, provenance]\n    identity_provider: {GITHUB}\n    allowed_identities: [\"https://github.com/org/train/.github/workflows/train.yml@refs/heads/*\"]\n    require_claims: [\"repository={repository}\"]\nprovenance:\n  builders: [{{ id: \"{builder}\", signer: ci, max_level: SLSA_BUILD_LEVEL_2 }}]\nlineage:\n  no_parents_signed_by: [ci]\n"
        )
    };
    trust(&story, &instance, "ci.yaml", &rules("https://github.com/org/train"));
    let walked = story.json("lineage made --trust ci.yaml", 0);
    assert_eq!(walked["hops"][0]["level"], "SLSA_BUILD_LEVEL_2");
    let shown = story.json("inspect made --trust ci.yaml", 0);
    assert_eq!(
        standings(&shown, "proved"),
        [
            "model_hash",
            "training_code_commit",
            "training_data_hash",
            "training_pipeline_id",
            "signer_identity",
            "timestamp"
        ]
    );
    // Numbers are as whoever measured says.
    assert_eq!(standings(&shown, "claimed"), ["training_environment", "evaluation_results"]);

    // Of another repository nothing counts.
    trust(&story, &instance, "other.yaml", &rules("https://github.com/org/other"));
    let said = story.says("lineage made --trust other.yaml", 1);
    assert!(said.contains("repository"), "{said}");
}

/// With one certificate; and each further command with a token of its own.
#[test]
fn statements_by_an_identity() {
    let instance = TestAuthority::start();
    let story = Story::empty();
    story.write("model/weights.bin", b"w");
    let with = || signing(&story, &instance, &instance, &instance.token("ana@example.com"));
    story.yes(&format!("sign model {}", with()));
    let more = format!(
        "signing_authorities:\n  ana:\n    type: keyless\n    may_sign: [oms, provenance, evaluation]\n    identity_provider: {}\n    allowed_identities: [ana@example.com]\nlineage:\n  no_parents_signed_by: [ana]\n",
        instance.issuer()
    );
    trust(&story, &instance, "trust.yaml", &more);
    let attest = |what: &str, code| {
        story.json(&format!("attest {what} --trust trust.yaml {}", with()), code)
    };
    let made = attest("provenance model --kind pretrain", 0);
    assert_eq!(made["signed_by"]["identity"], "ana@example.com");
    assert!(!made["evidence"].as_array().unwrap().is_empty());
    attest("evaluation model --metric accuracy=0.9", 0);
    let shown = story.json("lineage model --trust trust.yaml", 0);
    assert_eq!(shown["hops"][0]["signed_by"], json!(["ana"]));
    // A token that was used is good for nothing more.
    let used = "attest evaluation model --metric f1=0.9 --trust trust.yaml --trust-config config.json --identity-token token --yes";
    story.says(used, 3);
    let claims = std::fs::read_to_string(story.path("model/claims.jsonl")).unwrap();
    assert_eq!(claims.lines().count(), 2);
    // Somebody else, of the same provider.
    trust(&story, &instance, "eve.yaml", &more.replace("[ana@example.com]", "[eve@example.com]"));
    let said = story.says("lineage model --trust eve.yaml", 1);
    assert!(said.contains("eve@example.com"), "{said}");
}

/// What an instance answers is checked before it is stored: of a run neither the signature nor the provenance is there.
#[test]
fn an_instance_whose_answers_do_not_hold() {
    let (instance, other) = (TestAuthority::start(), TestAuthority::start());
    let story = Story::empty();
    // The services of one, the roots of another.
    let with = signing(&story, &instance, &other, &instance.token("ana@example.com"));
    story.write("train.sh", b"mkdir made; echo w > made/weights.bin");
    let said = story.says(&format!("run --output made --kind pretrain {with} -- sh train.sh"), 3);
    assert!(said.contains("does not hold"), "{said}");
    assert!(!story.path("made/model.sig").exists());
    assert!(!story.path("made/claims.jsonl").exists());
}

/// Certificates of one's own authority, with times by a timestamp authority.
#[test]
fn certificates_with_timestamps() {
    let instance = TestAuthority::start();
    let story = Story::empty();
    let root = Issued::root(authority("Root"));
    let team = root.issue(signer("Team"));
    story.write("team.key", team.key_pem().as_bytes());
    story.write("team.pem", team.certificate_pem().as_bytes());
    story.write("roots.pem", root.certificate_pem().as_bytes());
    let stamps = instance.get("/api/v1/timestamp/certchain");
    story.write("stamps.pem", &stamps);
    story.write("model/weights.bin", b"w");
    let with = format!(
        "--key team.key --certificate team.pem --timestamp-url {}/api/v1/timestamp",
        instance.url()
    );
    story.yes(&format!("sign model {with}"));
    let digest =
        |name: &str| bulla::Digest::sha256(&std::fs::read(story.path(name)).unwrap()).to_hex();
    let rules = |signer: &str| {
        format!(
            "trust:\n  certificate_authorities: [{{ name: ours, root: roots.pem, sha256: {} }}]\n  timestamp_authorities: [{{ name: clock, chain: stamps.pem, sha256: {} }}]\nsigning_authorities:\n  team: {{ type: certificate, may_sign: [oms, provenance], authorized_signers: [{signer}] }}\nlineage:\n  no_parents_signed_by: [team]\n",
            digest("roots.pem"),
            digest("stamps.pem")
        )
    };
    story.write("trust.yaml", rules("team@example.com").as_bytes());
    story.yes(&format!("attest provenance model --kind pretrain --trust trust.yaml {with}"));
    story.yes("lineage model --trust trust.yaml");
    let shown = story.json("inspect model --trust trust.yaml", 0);
    assert_eq!(standings(&shown, "proved"), ["model_hash", "signer_identity", "timestamp"]);
    story.write("other.yaml", rules("eve@example.com").as_bytes());
    let said = story.says("lineage model --trust other.yaml", 1);
    assert!(said.contains("eve@example.com"), "{said}");
}
