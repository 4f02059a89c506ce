//! Four parties with their keys, folders and models.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

pub(crate) const BULLA: &str = env!("CARGO_BIN_EXE_bulla");

/// Where the ancestors lie.
pub(crate) const FOLDERS: &str = "--trust trust.yaml --in ana --in ben --in cem";

pub(crate) struct Story(pub(crate) tempfile::TempDir);

/// A model of one tensor of 32-bit floats, as safetensors has it.
pub(crate) fn safetensors(values: &[f32]) -> Vec<u8> {
    one_tensor("F32", values.len(), values.iter().flat_map(|value| value.to_le_bytes()))
}

/// A model of one tensor of 16-bit floats.
pub(crate) fn halves(values: &[u16]) -> Vec<u8> {
    one_tensor("F16", values.len(), values.iter().flat_map(|value| value.to_le_bytes()))
}

fn one_tensor(dtype: &str, length: usize, bytes: impl Iterator<Item = u8>) -> Vec<u8> {
    let bytes: Vec<u8> = bytes.collect();
    let header = format!(
        r#"{{"weight":{{"dtype":"{dtype}","shape":[{length}],"data_offsets":[0,{}]}}}}"#,
        bytes.len()
    );
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes].concat()
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
    pub(crate) fn empty() -> Self {
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

    pub(crate) fn new() -> Self {
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

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn command(&self, line: &str) -> Command {
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

    /// Makes a folder a git repository with one commit, which it returns. Its remote has secrets.
    pub(crate) fn git(&self, folder: &str) -> String {
        let git = |arguments: &[&str]| {
            let output = Command::new("git")
                .args(["-c", "user.name=a", "-c", "user.email=a@example.com"])
                .args(arguments)
                .current_dir(self.path(folder))
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        git(&["init", "--quiet"]);
        let remote = "https://user:hunter2@github.com/org/train.git?token=hunter3";
        git(&["remote", "add", "origin", remote]);
        git(&["add", "."]);
        git(&["commit", "--quiet", "-m", "first"]);
        git(&["rev-parse", "HEAD"])
    }

    pub(crate) fn output(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    #[track_caller]
    pub(crate) fn says(&self, line: &str, code: i32) -> String {
        let output = self.output(line);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        said
    }

    #[track_caller]
    pub(crate) fn yes(&self, line: &str) -> String {
        self.says(line, 0)
    }

    #[track_caller]
    pub(crate) fn json(&self, line: &str, code: i32) -> Value {
        let output = self.output(&format!("{line} --json"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{line}: {e}: {said}"))
    }

    #[track_caller]
    pub(crate) fn lineage(&self, code: i32) -> Value {
        self.json(&format!("lineage dia/deployed {FOLDERS}"), code)
    }

    /// The one hop that is in the way, with its code.
    #[track_caller]
    pub(crate) fn refused(&self, hop: &str, code: &str) {
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

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

pub(crate) fn names(lineage: &Value) -> Vec<String> {
    lineage["hops"].as_array().unwrap().iter().map(|hop| text(&hop["name"])).collect()
}
