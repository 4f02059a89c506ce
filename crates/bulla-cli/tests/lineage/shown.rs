//! What `bulla inspect` shows of claims, and what is gathered of a machine.

use serde_json::Value;

use crate::story::{FOLDERS, Story, text};

#[test]
fn the_nine_fields() {
    let story = Story::new();
    let claimed = story.json("inspect ben/tuned", 0);
    let fields = |shown: &Value| -> Vec<(String, String)> {
        let fields = shown["claims"][0]["statements"][0]["fields"].as_array().unwrap().clone();
        fields.iter().map(|f| (text(&f["name"]), text(&f["standing"]))).collect()
    };
    let names: Vec<String> = fields(&claimed).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "model_hash",
            "training_code_commit",
            "training_data_hash",
            "base_model_hash",
            "training_environment",
            "training_pipeline_id",
            "signer_identity",
            "timestamp",
            "evaluation_results"
        ]
    );
    assert!(fields(&claimed).iter().all(|(_, standing)| standing != "proved"));
    let proved = fields(&story.json(&format!("inspect ben/tuned {FOLDERS}"), 0));
    let proved: Vec<&str> =
        proved.iter().filter(|(_, s)| s == "proved").map(|(name, _)| name.as_str()).collect();
    assert_eq!(proved, ["model_hash", "training_data_hash", "base_model_hash", "signer_identity"]);
    let said = story.yes(&format!("inspect ben/tuned {FOLDERS}"));
    assert!(
        said.contains("training_pipeline_id  claimed  builder urn:bulla:builder:local"),
        "{said}"
    );
}

#[test]
fn one_metric_of_several_tasks() {
    let story = Story::new();
    story.write(
        "results.json",
        br#"[{"name":"acc","value":0.1,"task":"a"},{"name":"acc","value":0.9,"task":"b","split":"test"}]"#,
    );
    story.yes(
        "attest provenance ana/base --kind pretrain --evaluation results.json --key ana/ana.key",
    );
    let said = story.yes("inspect ana/base");
    assert!(said.contains("results.json  acc / a=0.1 acc / b / test=0.9"), "{said}");
}

#[test]
fn flags_of_a_walk_need_a_trust_file() {
    let story = Story::new();
    for flag in ["--rederive", "--parents-by-signature", "--in ana"] {
        let said = story.says(&format!("inspect ben/tuned {flag}"), 2);
        assert!(said.contains("--trust"), "{said}");
    }
}

/// The commit, the pipeline and the machine enter by themselves; secrets of the environment never do.
#[test]
fn what_is_gathered_and_what_never_is() {
    let story = Story::empty();
    story.write("ana/base/weights.bin", b"w");
    story.yes("sign ana/base --key ana/ana.key");
    story.write("code/train.py", b"print()");
    let commit = story.git("code");
    let environment = [
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_SERVER_URL", "https://github.com"),
        ("GITHUB_REPOSITORY", "org/train"),
        ("GITHUB_RUN_ID", "77"),
        ("GITHUB_RUN_ATTEMPT", "1"),
        ("GITHUB_WORKFLOW_REF", "org/train/.github/workflows/train.yml@refs/heads/main"),
        ("RUNNER_ENVIRONMENT", "github-hosted"),
        ("GITHUB_TOKEN", "hunter4"),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "hunter5"),
        ("AWS_SECRET_ACCESS_KEY", "hunter6"),
        ("HF_TOKEN", "hunter7"),
        ("DATABASE_URL", "postgres://me:hunter8@db.example/x"),
        ("MY_OWN_NAME_FOR_IT", "hunter9"),
        ("BULLA_PASSWORD", "hunter10"),
    ];
    let output = story
        .command("attest provenance ana/base --kind pretrain --key ana/ana.key --source code")
        .envs(environment)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let shown = story.json("inspect ana/base", 0);
    let made = &shown["claims"][0]["statements"][0]["predicate"];
    assert!(!made.to_string().contains("hunter"), "{made:#}");
    let source = &made["buildDefinition"]["resolvedDependencies"][0];
    assert_eq!(source["digest"]["gitCommit"], commit.as_str());
    assert_eq!(source["uri"], "git+https://github.com/org/train.git");
    let parameters = &made["buildDefinition"]["externalParameters"];
    assert_eq!(parameters["source"]["dirty"], false);
    assert!(text(&parameters["pipeline"]).contains("org/train/.github/workflows/train.yml"));
    let run = text(&made["runDetails"]["metadata"]["invocationId"]);
    assert_eq!(run, "https://github.com/org/train/actions/runs/77/attempts/1");
    assert!(text(&made["runDetails"]["builder"]["id"]).starts_with("https://github.com/"));
    assert!(
        made["buildDefinition"]["internalParameters"]["bulla_hardware"]["architecture"].is_string()
    );

    story.write("code/train.py", b"changed");
    story.yes("attest provenance ana/base --kind pretrain --key ana/ana.key --source code");
    let said = story.yes("inspect ana/base");
    assert!(said.contains(&format!("{commit} with changes that were not committed")), "{said}");
}

/// A file of claims in the model does not hide the one beside it.
#[test]
fn both_places_of_claims() {
    let story = Story::new();
    std::fs::copy(story.path("ben/tuned/claims.jsonl"), story.path("ben/tuned.claims.jsonl"))
        .unwrap();
    let shown = story.json("inspect ben/tuned", 0);
    let files: Vec<String> =
        shown["claims"].as_array().unwrap().iter().map(|file| text(&file["file"])).collect();
    assert_eq!(files, ["ben/tuned/claims.jsonl", "ben/tuned.claims.jsonl"]);
}

/// The image that a training ran in, as it is said: only a digest says which.
#[test]
fn a_container_image_that_is_named() {
    let story = Story::empty();
    story.write("ana/base/weights.bin", b"w");
    story.yes("sign ana/base --key ana/ana.key");
    let attest = "attest provenance ana/base --kind pretrain --key ana/ana.key";
    let hex = "5".repeat(64);
    story.yes(&format!("{attest} --container-image registry.example/train:1@sha256:{hex}"));
    let shown = story.json("inspect ana/base", 0);
    let made = &shown["claims"][0]["statements"][0]["predicate"]["buildDefinition"];
    let image = &made["resolvedDependencies"][0];
    assert_eq!(image["annotations"]["role"], "container-image");
    assert_eq!(image["digest"]["sha256"], hex.as_str());
    assert!(text(&image["name"]).starts_with("registry.example/train"), "{image}");
    story.yes(&format!("{attest} --container-image registry.example/train:1"));
    let shown = story.json("inspect ana/base", 0);
    let made = &shown["claims"][0]["statements"][1]["predicate"]["buildDefinition"];
    assert!(made["resolvedDependencies"].as_array().is_none_or(Vec::is_empty), "{made}");
    let image = &made["internalParameters"]["bulla_container"]["image"];
    assert_eq!(text(image), "registry.example/train:1");
}

#[test]
fn what_is_said_of_the_machine_is_not_dropped() {
    let story = Story::empty();
    story.write("ana/base/weights.bin", b"w");
    story.yes("sign ana/base --key ana/ana.key");
    for (flags, words) in [
        ("--container-image x@sha256:zz", "is no name of an image"),
        ("--container-image x --no-environment", "cannot be used with"),
        ("--source nowhere", "is no directory"),
    ] {
        let attest =
            format!("attest provenance ana/base --kind pretrain --key ana/ana.key {flags}");
        let said = story.says(&attest, 2);
        assert!(said.contains(words), "{flags}: {said}");
    }
    assert!(!story.path("ana/base/claims.jsonl").exists());
}
