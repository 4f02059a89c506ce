//! `bulla run`.

use crate::story::{Story, halves, text};

#[test]
fn what_a_run_records() {
    let story = Story::new();
    let shown = story.json("inspect ben/tuned", 0);
    let made = &shown["claims"][0]["statements"][0]["predicate"];
    let definition = &made["buildDefinition"];
    assert_eq!(definition["buildType"], "urn:bulla:build:finetune:v1");
    assert_eq!(definition["externalParameters"]["command"], serde_json::json!(["sh"]));
    assert_eq!(definition["externalParameters"]["pipeline"], "nightly");
    let roles: Vec<String> = definition["resolvedDependencies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|input| text(&input["annotations"]["role"]))
        .collect();
    assert_eq!(roles, ["base-model", "signature", "training-data", "hyperparameters"]);
    let log = &made["runDetails"]["byproducts"][0];
    assert_eq!(log["annotations"]["role"], "training-log");
    let head = text(&log["annotations"]["head"]);
    story.yes(&format!("attest log verify ben/tuned.training.jsonl --head {head}"));

    // Cut or edited, the log shows it.
    let path = story.path("ben/tuned.training.jsonl");
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, whole.replace("0.25", "0.05")).unwrap();
    story.says(&format!("attest log verify ben/tuned.training.jsonl --head {head}"), 1);
    let cut: Vec<&str> = whole.lines().take(3).collect();
    std::fs::write(&path, cut.join("\n") + "\n").unwrap();
    story.says(&format!("attest log verify ben/tuned.training.jsonl --head {head}"), 1);
    story.yes("attest log verify ben/tuned.training.jsonl");
}

#[test]
fn a_run_that_fails_signs_nothing() {
    let story = Story::new();
    let run = |command: &str, code: i32| {
        let _ = std::fs::remove_file(story.path("ben/made.training.jsonl"));
        let said = story.says(
            &format!("run --output ben/made --kind pretrain --key ben/ben.key -- {command}"),
            code,
        );
        assert!(!story.path("ben/made/model.sig").exists(), "{command}: {said}");
        assert!(!story.path("ben/made/claims.jsonl").exists(), "{command}: {said}");
        said
    };
    story.write("fail.sh", b"mkdir -p ben/made; echo half > ben/made/weights.bin; exit 7");
    let said = run("sh fail.sh", 7);
    assert!(said.contains("nothing was signed: the command ended with 7"), "{said}");
    run("no-such-program", 127);
    run("ben/parameters.yaml", 126);
    story.write("killed.sh", b"kill -9 $$");
    run("sh killed.sh", 137);
    // Nothing came of it.
    std::fs::remove_dir_all(story.path("ben/made")).unwrap();
    story.write("nothing.sh", b"exit 0");
    run("sh nothing.sh", 3);
}

/// A chain by itself is whole whoever wrote it: what is signed is the one that this run has written.
#[test]
fn a_log_that_the_training_put_in_its_place() {
    let story = Story::new();
    story.yes("run --log another.jsonl -- true");
    story.write(
        "forge.sh",
        b"mkdir -p ben/made; echo w > ben/made/weights.bin; mv another.jsonl ben/made.training.jsonl",
    );
    let said =
        story.says("run --output ben/made --kind pretrain --key ben/ben.key -- sh forge.sh", 1);
    assert!(said.contains("the log is another"), "{said}");
    assert!(!story.path("ben/made/model.sig").exists());
    assert!(!story.path("ben/made/claims.jsonl").exists());
}

#[test]
fn inputs_that_change_while_a_command_runs() {
    let story = Story::new();
    story.write(
        "dirty.sh",
        b"mkdir -p ben/made; echo w > ben/made/weights.bin; echo more > ben/texts/two.txt",
    );
    let said = story.says(
        "run --output ben/made --kind pretrain --dataset ben/texts --key ben/ben.key -- sh dirty.sh",
        3,
    );
    assert!(said.contains("ben/texts"), "{said}");
    assert!(said.contains("changed while the command ran"), "{said}");
    assert!(!story.path("ben/made/model.sig").exists());
}

/// Links, and the files that are named beside models and data, are inputs as well.
#[test]
fn links_and_parameters_that_change_while_a_command_runs() {
    let story = Story::new();
    story.write("ana/linked/one.bin", b"one");
    story.write("ana/linked/two.bin", b"two");
    std::os::unix::fs::symlink("one.bin", story.path("ana/linked/weights.bin")).unwrap();
    story.yes("sign ana/linked --follow-symlinks --key ana/ana.key");
    story.write(
        "turn.sh",
        b"mkdir -p ben/made; echo w > ben/made/weights.bin; ln -sf two.bin ana/linked/weights.bin",
    );
    story.write("tune.sh", b"mkdir -p ben/made; echo w > ben/made/weights.bin; echo 9 > lr.yaml");
    story.write("lr.yaml", b"1");
    let of_ben = "--key ben/ben.key --trust trust.yaml";
    for (inputs, script, changed) in [
        ("--kind finetune --base-model ana/linked", "turn.sh", "ana/linked"),
        ("--kind pretrain --hyperparameters lr.yaml", "tune.sh", "lr.yaml"),
    ] {
        let said =
            story.says(&format!("run --output ben/made {inputs} {of_ben} -- sh {script}"), 3);
        assert!(said.contains(changed), "{said}");
        assert!(said.contains("changed while the command ran"), "{said}");
        std::fs::remove_file(story.path("ben/made.training.jsonl")).unwrap();
    }
}

#[test]
fn a_run_that_writes_nothing_made_nothing() {
    let story = Story::new();
    story.write("ben/old/weights.bin", b"from elsewhere");
    let said = story.says("run --output ben/old --kind pretrain --key ben/ben.key -- true", 2);
    assert!(said.contains("left ben/old as it was"), "{said}");
    assert!(!story.path("ben/old/model.sig").exists());
}

/// What would be refused after hours of training is refused before.
#[test]
fn a_run_that_could_not_be_signed_does_not_begin() {
    let story = Story::new();
    story.write("ben/other/model.sig", b"not ours");
    story.write("ran.sh", b"touch ran");
    for (line, code, words) in [
        ("--output ben/made --builder nowhere", 1, "expected a URI"),
        ("--output ben/other", 2, "is not a model signature"),
        ("--output ben/texts/made --dataset ben/texts", 2, "would be written into"),
        ("--output ben/made --dataset ben/texts --log ben/texts/log", 2, "would be written into"),
    ] {
        let said =
            story.says(&format!("run {line} --kind pretrain --key ben/ben.key -- sh ran.sh"), code);
        assert!(said.contains(words), "{line}: {said}");
        assert!(!story.path("ran").exists(), "{line}");
    }
}

/// What is done follows from what goes in, but "nothing goes in" is said.
#[test]
fn runs_by_their_inputs() {
    let story = Story::new();
    let made = |name: &str| {
        let shown = story.json(&format!("inspect ben/{name}"), 0);
        let made = &shown["claims"][0]["statements"][0]["predicate"]["buildDefinition"];
        (text(&made["buildType"]), made["externalParameters"]["conversion"].clone())
    };
    let script = |name: &str| {
        let line = format!("mkdir ben/{name}; echo {name} > ben/{name}/weights.bin");
        story.write("make.sh", line.as_bytes());
    };
    let with = "--key ben/ben.key --trust trust.yaml -- sh make.sh";
    script("one");
    story.yes(&format!("run --input ben/texts --output ben/one --base-model ana/base {with}"));
    assert_eq!(made("one").0, "urn:bulla:build:finetune:v1");
    script("two");
    story.yes(&format!("run -o ben/two --base-model ana/base --base-model ben/tuned {with}"));
    assert_eq!(made("two").0, "urn:bulla:build:merge:v1");
    script("three");
    story.yes(&format!("run --output ben/three --base-model ana/base --conversion gguf {with}"));
    assert_eq!(made("three"), ("urn:bulla:build:convert:v1".into(), "gguf".into()));
    script("four");
    let said = story.says(&format!("run --output ben/four {with}"), 2);
    assert!(said.contains("what the model is made from is not said"), "{said}");
    assert!(!story.path("ben/four").exists(), "it was not run");

    // Without a model only the log is kept.
    story.write(
        "log.sh",
        br#"echo '{"kind":"metric","name":"loss","value":1}' >> "$BULLA_TRAINING_LOG""#,
    );
    let said = story.yes("run -- sh log.sh");
    assert!(said.contains("nothing was signed, for no --output was named"), "{said}");
    story.yes("attest log verify training.jsonl");
    story.says("run --log other.jsonl -- false", 1);
}

/// What would do nothing is refused.
#[test]
fn flags_about_signing_without_a_model() {
    let story = Story::new();
    for flag in [
        "--key ben/ben.key",
        "--kind pretrain",
        "--conversion gguf",
        "--base-model ana/base",
        "--input ben/texts",
        "--hyperparameters ben/parameters.yaml",
        "--trust trust.yaml",
        "--pipeline nightly",
        "--source .",
        "--timestamp-url http://127.0.0.1:1",
        "--ignore x",
    ] {
        let said = story.says(&format!("run {flag} -- touch ran"), 2);
        assert!(said.contains("--output"), "{flag}: {said}");
        assert!(!story.path("ran").exists(), "{flag}");
    }
}

/// What `attest conversion` refuses, a run does not sign either.
#[test]
fn a_conversion_that_is_not_what_it_says() {
    let story = Story::new();
    story.write("right", &halves(&[0x2e66, 0xc100, 0x4200]));
    story.write("wrong", &halves(&[0x2e67, 0xc100, 0x4200]));
    story.write("config.json", br#"{"torch_dtype":"float16"}"#);
    story.write(
        "convert.sh",
        b"mkdir -p ben/half; cp $1 ben/half/model.safetensors; cp config.json ana/base/vocab.txt ben/half",
    );
    let convert = |which: &str, code: i32| {
        let _ = std::fs::remove_dir_all(story.path("ben/half"));
        let _ = std::fs::remove_file(story.path("ben/half.training.jsonl"));
        story.says(
            &format!("run --output ben/half --base-model ana/base --conversion f32-to-f16 --key ben/ben.key --trust trust.yaml -- sh convert.sh {which}"),
            code,
        )
    };
    let said = convert("wrong", 1);
    assert!(said.contains("weight"), "{said}");
    assert!(!story.path("ben/half/model.sig").exists());
    assert!(!story.path("ben/half/claims.jsonl").exists());
    convert("right", 0);
    let walked = story.json("lineage ben/half --trust trust.yaml --in ana --rederive", 0);
    assert_eq!(walked["hops"][0]["rederived"], true);
}
