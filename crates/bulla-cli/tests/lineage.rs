//! Four parties, four keys, four folders: a base model, a fine-tuning under `bulla run`, an adapter, a composition; then every
//! way in which the chain breaks, each refused with the hop named.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const BULLA: &str = env!("CARGO_BIN_EXE_bulla");

struct Story(tempfile::TempDir);

/// A model of one tensor of 32-bit floats, as safetensors has it.
fn safetensors(values: &[f32]) -> Vec<u8> {
    let bytes = values.len() * 4;
    let header = format!(
        r#"{{"weight":{{"dtype":"F32","shape":[{}],"data_offsets":[0,{bytes}]}}}}"#,
        values.len()
    );
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    values.iter().for_each(|value| file.extend_from_slice(&value.to_le_bytes()));
    file
}

const TRAIN: &str = r#"#!/bin/sh
# A training: reads the base and the data, writes the model, tells of its progress.
set -e
mkdir -p ben/tuned
cp ana/base/config.json ben/tuned/
{ cat ana/base/model.safetensors; cat ben/texts/*.txt; } > ben/tuned/weights.bin
echo '{"kind":"metric","name":"loss","value":0.5,"step":1}' >> "$BULLA_TRAINING_LOG"
echo '{"kind":"metric","name":"loss","value":0.25,"step":2}' >> "$BULLA_TRAINING_LOG"
echo 'trained'
"#;

impl Story {
    /// Keys and a trust file.
    fn empty() -> Self {
        let story = Self(tempfile::tempdir().unwrap());
        let mut trust = String::from("signing_authorities:\n");
        for party in ["ana", "ben", "cem", "dia"] {
            std::fs::create_dir(story.path(party)).unwrap();
            story.yes(&format!("key generate --no-password --output {party}/{party}.key"));
            let shown = story.json(&format!("key show {party}/{party}.pub"), 0);
            let fingerprint = shown["fingerprint"].as_str().unwrap().to_owned();
            trust.push_str(&format!(
                "  {party}:\n    type: key\n    may_sign: [oms, provenance, dataset, evaluation]\n    keys: [{{ public_key: {party}/{party}.pub, fingerprint: \"{fingerprint}\" }}]\n"
            ));
        }
        trust.push_str("lineage:\n  no_parents_signed_by: [ana]\n");
        story.write("trust.yaml", trust.as_bytes());
        story
    }

    fn new() -> Self {
        let story = Self::empty();
        story.write("ana/base/model.safetensors", &safetensors(&[0.1, -2.5, 3.0]));
        story.write("ana/base/config.json", br#"{"torch_dtype":"float32"}"#);
        story.write("ana/base/vocab.txt", b"a b c");
        story.yes("sign ana/base --key ana/ana.key");
        story.yes("attest provenance ana/base --kind pretrain --key ana/ana.key");

        story.write("ben/texts/one.txt", b"what was learnt");
        story.write("ben/parameters.yaml", b"lr: 0.001\n");
        story.write("train.sh", TRAIN.as_bytes());
        let said = story.yes(
            "run --output ben/tuned --kind finetune --base-model ana/base --dataset ben/texts \
             --hyperparameters ben/parameters.yaml --pipeline nightly --key ben/ben.key --trust trust.yaml -- sh train.sh",
        );
        assert!(said.starts_with("trained\n"), "{said}");

        story.write("cem/adapter/adapter.safetensors", &safetensors(&[0.5]));
        story.yes("sign cem/adapter --key cem/cem.key");
        story.yes(
            "attest provenance cem/adapter --kind adapter --base-model ben/tuned --key cem/cem.key --trust trust.yaml",
        );

        std::fs::create_dir_all(story.path("dia/deployed")).unwrap();
        for file in ["ben/tuned/weights.bin", "cem/adapter/adapter.safetensors"] {
            let name = Path::new(file).file_name().unwrap();
            std::fs::copy(story.path(file), story.path("dia/deployed").join(name)).unwrap();
        }
        story.yes("sign dia/deployed --key dia/dia.key");
        story.yes(
            "attest composition dia/deployed --base-model ben/tuned --adapter cem/adapter --key dia/dia.key --trust trust.yaml",
        );
        story
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(BULLA);
        command.args(line.split_whitespace()).current_dir(self.0.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            // A run of CI would be in the provenance.
            let name = name.to_string_lossy().into_owned();
            if name != "PATH" && name != "HOME" {
                command.env_remove(name);
            }
        }
        command
    }

    fn output(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    #[track_caller]
    fn says(&self, line: &str, code: i32) -> String {
        let output = self.output(line);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        said
    }

    #[track_caller]
    fn yes(&self, line: &str) -> String {
        self.says(line, 0)
    }

    #[track_caller]
    fn json(&self, line: &str, code: i32) -> Value {
        let output = self.output(&format!("{line} --json"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{line}: {e}: {said}"))
    }

    #[track_caller]
    fn lineage(&self, code: i32) -> Value {
        self.json(&format!("lineage dia/deployed {FOLDERS}"), code)
    }

    /// The one hop that is in the way, with its code.
    #[track_caller]
    fn refused(&self, hop: &str, code: &str) {
        let lineage = self.lineage(1);
        assert_eq!(lineage["verdict"], "refused");
        let mut found = Vec::new();
        for one in lineage["hops"].as_array().unwrap().iter().filter(|hop| hop["stands"] == false) {
            let accounts = one["accounts"].as_array().unwrap().iter();
            let problems = accounts.map(|account| &account["problems"]).chain([&one["problems"]]);
            for problem in problems.flat_map(|list| list.as_array().unwrap()) {
                found.push((text(&one["name"]), text(&problem["code"])));
            }
        }
        assert_eq!(found, [(hop.to_owned(), code.to_owned())]);
        let said = self.says(&format!("lineage dia/deployed {FOLDERS}"), 1);
        assert!(said.contains(&format!("  {hop} (deployed")), "{said}");
    }
}

const FOLDERS: &str = "--trust trust.yaml --in ana --in ben --in cem";

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn names(lineage: &Value) -> Vec<String> {
    lineage["hops"].as_array().unwrap().iter().map(|hop| text(&hop["name"])).collect()
}

#[test]
fn the_story() {
    let story = Story::new();
    let lineage = story.lineage(0);
    assert_eq!(lineage["stands"], true);
    assert_eq!(names(&lineage), ["deployed", "tuned", "adapter", "base", "texts"]);
    assert_eq!(lineage["levels"]["SLSA_BUILD_LEVEL_1"], 4);
    let said = story.yes(&format!("lineage dia/deployed {FOLDERS}"));
    assert!(
        said.contains("├── tuned (base-model): finetune, SLSA build L1, signed by ben"),
        "{said}"
    );
    assert!(said.contains("tuned: SLSA_BUILD_LEVEL_1; level 2 needs"), "{said}");
    assert!(said.contains("weakest"), "{said}");
}

#[test]
fn broken_chains() {
    // Each on a copy of the story, which is made once.
    let story = Story::new();
    let copy = || {
        let copy = Story(tempfile::tempdir().unwrap());
        let status = Command::new("cp")
            .arg("-a")
            .arg(format!("{}/.", story.0.path().display()))
            .arg(copy.0.path())
            .status()
            .unwrap();
        assert!(status.success());
        copy
    };

    let removed = copy();
    std::fs::remove_dir_all(removed.path("ana/base")).unwrap();
    removed.refused("base", "unverified-parent");

    let renamed = copy();
    std::fs::rename(renamed.path("ana/base/vocab.txt"), renamed.path("ana/base/words.txt"))
        .unwrap();
    renamed.refused("base", "renamed");
    // Signed anew, the contents' digest is the same, in the same order: only the one that binds names tells.
    let digest = |story: &Story| text(&story.json("digest ana/base", 0)["oms"]);
    assert_eq!(digest(&renamed), digest(&story));
    renamed.yes("sign ana/base --key ana/ana.key");
    renamed.refused("base", "unverified-parent");

    let swapped = copy();
    swapped.write("ben/texts/one.txt", b"poison");
    swapped.refused("texts", "other-data");

    let wrong_party = copy();
    std::fs::remove_file(wrong_party.path("ben/tuned/claims.jsonl")).unwrap();
    wrong_party.yes(
        "attest provenance ben/tuned --kind finetune --base-model ana/base --dataset ben/texts --key cem/cem.key --trust trust.yaml",
    );
    wrong_party.refused("tuned", "wrong-party");

    let cycle = copy();
    std::fs::remove_file(cycle.path("ana/base/claims.jsonl")).unwrap();
    cycle.yes(
        "attest provenance ana/base --kind finetune --base-model ben/tuned --key ana/ana.key --trust trust.yaml",
    );
    cycle.refused("base", "cycle");

    let root = copy();
    std::fs::remove_file(root.path("ben/tuned/claims.jsonl")).unwrap();
    root.yes("attest provenance ben/tuned --kind pretrain --key ben/ben.key");
    root.refused("tuned", "may-not-say-no-parents");
}

#[test]
fn every_format() {
    let story = Story::new();
    let draw =
        |format: &str| story.yes(&format!("lineage dia/deployed {FOLDERS} --format {format}"));
    assert!(draw("dot").starts_with("digraph lineage {"));
    assert!(draw("mermaid").starts_with("flowchart LR"));
    assert!(draw("json").starts_with('{'));
    let svg = draw("svg");
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
    assert_eq!(svg.matches("<rect").count(), 5);
    let html = draw("html");
    assert!(html.starts_with("<!doctype html>") && html.contains("<svg "));
    assert!(!html.contains("<script") && !html.contains("src="), "it stands alone");
    story.yes(&format!("lineage dia/deployed {FOLDERS} --format html --output page.html"));
    assert_eq!(std::fs::read_to_string(story.path("page.html")).unwrap(), html);
}

/// Names come from whoever signed: in a page or a drawing they are text.
#[test]
fn hostile_names_are_text_everywhere() {
    let story = Story::empty();
    let name = "x<script>alert(1)</script>\"]--\u{1b}[31m";
    let name = name.replace('/', "");
    let model = story.path("ana").join(&name);
    std::fs::create_dir(&model).unwrap();
    std::fs::write(model.join("weights.bin"), "w").unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(BULLA)
            .args(arguments)
            .arg(&model)
            .current_dir(story.0.path())
            .output()
            .unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        said
    };
    run(&["sign", "--key", "ana/ana.key"]);
    run(&["attest", "provenance", "--kind", "pretrain", "--key", "ana/ana.key"]);
    for format in ["tree", "dot", "mermaid", "svg", "html"] {
        let drawn = run(&["lineage", "--trust", "trust.yaml", "--format", format]);
        assert!(!drawn.contains('\u{1b}'), "{format}");
        let marked_up = ["svg", "html"].contains(&format);
        assert!(!marked_up || !drawn.contains("<script"), "{format}: {drawn}");
        assert!(format != "mermaid" || !drawn.contains("]--"), "{drawn}");
        assert!(format != "dot" || !drawn.contains("</script>\"]"), "{drawn}");
    }
}

#[test]
fn the_nine_fields() {
    let story = Story::new();
    let claimed = story.json("inspect ben/tuned", 0);
    let fields = |shown: &Value| -> Vec<(String, String)> {
        let fields = shown["claims"]["statements"][0]["fields"].as_array().unwrap().clone();
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
fn what_a_run_records() {
    let story = Story::new();
    let shown = story.json("inspect ben/tuned", 0);
    let made = &shown["claims"]["statements"][0]["predicate"];
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

#[test]
fn inputs_that_change_while_a_command_runs() {
    let story = Story::new();
    story.write(
        "dirty.sh",
        b"mkdir -p ben/made; echo w > ben/made/weights.bin; echo more > ben/texts/two.txt",
    );
    let said = story.says(
        "run --output ben/made --kind pretrain --dataset ben/texts --key ben/ben.key -- sh dirty.sh",
        2,
    );
    assert!(said.contains("ben/texts changed while the command ran"), "{said}");
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
            story.says(&format!("run --output ben/made {inputs} {of_ben} -- sh {script}"), 2);
        assert!(said.contains(&format!("{changed} changed while the command ran")), "{said}");
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

#[test]
fn a_base_by_its_uri() {
    let story = Story::new();
    let base = story.json("digest ana/base", 0);
    let (oms, manifest) = (text(&base["oms"]), text(&base["oms_manifest_v1"]));
    story.yes(&format!(
        "attest provenance cem/adapter --kind adapter --base-model pkg:huggingface/ana/base@main#{oms},{manifest} --key cem/cem.key"
    ));
    story.yes("lineage cem/adapter --trust trust.yaml --in ana --in ben");
}

#[test]
fn conversions_are_done_again() {
    let story = Story::new();
    story.write("cem/half/config.json", br#"{"torch_dtype":"float16"}"#);
    story.write("cem/half/vocab.txt", b"a b c");
    let half = |values: &[u16]| {
        let header = format!(
            r#"{{"weight":{{"dtype":"F16","shape":[{}],"data_offsets":[0,{}]}}}}"#,
            values.len(),
            values.len() * 2
        );
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header.as_bytes());
        values.iter().for_each(|value| file.extend_from_slice(&value.to_le_bytes()));
        file
    };
    // 0.1, -2.5 and 3.0, rounded to nearest.
    story.write("cem/half/model.safetensors", &half(&[0x2e66, 0xc100, 0x4200]));
    story.yes("sign cem/half --key cem/cem.key");
    let attest = "attest conversion cem/half --base-model ana/base --conversion f32-to-f16 --key cem/cem.key --trust trust.yaml";
    story.yes(attest);
    let walk = "lineage cem/half --trust trust.yaml --in ana --in ben";
    let plain = story.json(walk, 0);
    assert_eq!(plain["hops"][0]["rederived"], false);
    let again = story.json(&format!("{walk} --rederive"), 0);
    assert_eq!(again["hops"][0]["rederived"], true);
    assert_eq!(again["levels"]["BULLA_REDERIVED"], 1);

    // What a signature leaves out is no part of a model.
    story.write("cem/half/notes.txt", b"mine");
    story.yes("sign cem/half --key cem/cem.key --ignore notes.txt");
    story.yes(attest);
    assert_eq!(story.json(&format!("{walk} --rederive"), 0)["hops"][0]["rederived"], true);
    std::fs::remove_file(story.path("cem/half/notes.txt")).unwrap();

    // One bit off: it is not attested, and who attests it all the same is found out.
    story.write("cem/half/model.safetensors", &half(&[0x2e67, 0xc100, 0x4200]));
    story.yes("sign cem/half --key cem/cem.key");
    let said = story.says(attest, 1);
    assert!(said.contains("weight"), "{said}");
    let claims = story.path("cem/half/claims.jsonl");
    assert_eq!(std::fs::read_to_string(claims).unwrap().lines().count(), 2);
    story.yes(&attest.replace("f32-to-f16", "another-way"));
    story.yes(walk);
}

#[test]
fn verdicts_stand_in_for_what_cannot_be_fetched() {
    let story = Story::new();
    let mut trust = std::fs::read_to_string(story.path("trust.yaml")).unwrap();
    story.yes("key generate --no-password --output gate.key");
    let shown = story.json("key show gate.pub", 0);
    let gate = format!(
        "signing_authorities:\n  gate: {{ type: key, may_sign: [vsa], keys: [{{ public_key: gate.pub, fingerprint: {} }}] }}\n",
        shown["fingerprint"]
    );
    trust = trust.replace("signing_authorities:\n", &gate);
    trust.push_str("  verifiers: [{ id: \"https://gate.example\", signer: gate }]\n");
    story.write("trust.yaml", trust.as_bytes());
    let verdict = "attest verdict ben/tuned --in ana --in ben --trust trust.yaml --verifier https://gate.example --key gate.key --output tuned.verdict";
    story.yes(verdict);
    // The model and all that it came from is gone; the verdict lies with another model.
    for gone in ["ana/base", "ben/tuned", "ben/texts"] {
        std::fs::remove_dir_all(story.path(gone)).unwrap();
    }
    let lineage = story.lineage(1);
    assert_eq!(names(&lineage), ["deployed", "tuned", "adapter"]);
    let line = std::fs::read(story.path("tuned.verdict")).unwrap();
    let claims = story.path("dia/deployed/claims.jsonl");
    let mut all = std::fs::read(&claims).unwrap();
    all.extend_from_slice(&line);
    std::fs::write(&claims, all).unwrap();
    let lineage = story.lineage(0);
    assert_eq!(lineage["hops"][1]["standing"], "stood-for");
}

#[test]
fn a_no_is_signed_too() {
    let story = Story::new();
    std::fs::remove_dir_all(story.path("ana/base")).unwrap();
    story.says(
        "attest verdict ben/tuned --in ana --trust trust.yaml --verifier https://gate.example --key dia/dia.key --output verdict.json",
        1,
    );
    let said = story.yes("inspect verdict.json");
    assert!(said.contains("https://slsa.dev/verification_summary/v1"), "{said}");
}

/// A copy that was changed is not the model that its signature is of: a "no" to that would take the model from everybody.
#[test]
fn no_verdict_about_what_is_not_here() {
    let story = Story::new();
    story.write("ben/tuned/weights.bin", b"changed on the way");
    let said = story.says(
        "attest verdict ben/tuned --in ana --trust trust.yaml --verifier https://gate.example --key dia/dia.key --output verdict.json",
        1,
    );
    assert!(said.contains("weights.bin"), "{said}");
    assert!(!story.path("verdict.json").exists());
}

/// A mistyped name must not cost the user a file.
#[test]
fn a_drawing_replaces_drawings_only() {
    let story = Story::new();
    for format in ["json", "dot", "mermaid", "svg", "html"] {
        let draw = format!("lineage dia/deployed {FOLDERS} --format {format} --output drawn");
        story.yes(&draw);
        story.yes(&draw);
        let other = draw.replace("--output drawn", "--output trust.yaml");
        assert!(story.says(&other, 2).contains("trust.yaml exists"), "{format}");
    }
    story.lineage(0);
}

/// What was let pass is no pass.
#[test]
fn no_verdict_with_parents_that_nobody_vouches_for() {
    let story = Story::new();
    std::fs::remove_dir_all(story.path("ana/base")).unwrap();
    let trust = std::fs::read_to_string(story.path("trust.yaml")).unwrap();
    let trust = trust.replace("lineage:\n", "lineage:\n  unverified_parents: allow\n");
    story.write("trust.yaml", trust.as_bytes());
    story.lineage(0);
    let said = story.says(
        "attest verdict ben/tuned --in ana --in ben --trust trust.yaml --verifier https://gate.example --key dia/dia.key --output verdict.json",
        2,
    );
    assert!(said.contains("nobody vouches for base"), "{said}");
    assert!(!story.path("verdict.json").exists());
}

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
    let statements = shown["claims"]["statements"].as_array().unwrap();
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
    assert_eq!(statements[5]["predicate"]["claims"].as_array().unwrap().len(), 4);
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
    let statements = shown["claims"]["statements"].as_array().unwrap();
    assert_eq!(statements.last().unwrap()["predicate"]["claims"].as_array().unwrap().len(), 2);
}

#[test]
fn flags_of_a_walk_need_a_trust_file() {
    let story = Story::new();
    for flag in ["--rederive", "--parents-by-signature", "--in ana"] {
        let said = story.says(&format!("inspect ben/tuned {flag}"), 2);
        assert!(said.contains("--trust"), "{said}");
    }
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

/// The commit, the pipeline and the machine enter by themselves; secrets of the environment never do.
#[test]
fn what_is_gathered_and_what_never_is() {
    let story = Story::empty();
    story.write("ana/base/weights.bin", b"w");
    story.yes("sign ana/base --key ana/ana.key");
    story.write("code/train.py", b"print()");
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@example.com"])
            .args(arguments)
            .current_dir(story.path("code"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "--quiet"]);
    git(&[
        "remote",
        "add",
        "origin",
        "https://user:hunter2@git.example/org/train.git?token=hunter3",
    ]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "first"]);
    let commit = git(&["rev-parse", "HEAD"]);
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
    let made = &shown["claims"]["statements"][0]["predicate"];
    assert!(!made.to_string().contains("hunter"), "{made:#}");
    let source = &made["buildDefinition"]["resolvedDependencies"][0];
    assert_eq!(source["digest"]["gitCommit"], commit.as_str());
    assert_eq!(source["uri"], "git+https://git.example/org/train.git");
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

/// A data lake is taken by its signature: its files need not be here.
#[test]
fn data_by_their_signature() {
    let story = Story::new();
    story.write("lake/part-0", b"rows");
    story.yes("sign lake --key ben/ben.key --shard-size 64MiB --hash blake3");
    std::fs::remove_file(story.path("lake/part-0")).unwrap();
    story.yes(
        "attest provenance cem/adapter --kind adapter --base-model ben/tuned --dataset-by-signature lake/model.sig --key cem/cem.key --trust trust.yaml",
    );
    let claims = std::fs::read_to_string(story.path("cem/adapter/claims.jsonl")).unwrap();
    let last = claims.lines().last().unwrap();
    std::fs::write(story.path("cem/adapter/claims.jsonl"), format!("{last}\n")).unwrap();
    let walk = "lineage cem/adapter --trust trust.yaml --in ana --in ben";
    story.says(walk, 1);
    let found = story.json(&format!("{walk} --in ."), 0);
    let lake = found["hops"].as_array().unwrap().iter().find(|hop| hop["name"] == "lake").unwrap();
    assert_eq!(lake["standing"], "signed");
    let said = story.says(
        "attest provenance cem/adapter --kind adapter --base-model ben/tuned --dataset-by-signature lake/model.sig --key cem/cem.key --input-key ana/ana.pub",
        1,
    );
    assert!(said.contains("ben/tuned: signed by nobody who is named"), "{said}");
}

/// What is done follows from what goes in, but "nothing goes in" is said.
#[test]
fn runs_by_their_inputs() {
    let story = Story::new();
    let made = |name: &str| {
        let shown = story.json(&format!("inspect ben/{name}"), 0);
        let made = &shown["claims"]["statements"][0]["predicate"]["buildDefinition"];
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
