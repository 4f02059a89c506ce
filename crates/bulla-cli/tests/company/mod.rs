//! A company with a policy, its people and its keys, as it uses the program.
#![allow(dead_code)]

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

pub(crate) struct Company(pub(crate) tempfile::TempDir);

impl Company {
    pub(crate) fn new() -> Self {
        let company = Self(tempfile::tempdir().unwrap());
        let mut keys = std::collections::BTreeMap::new();
        for id in ["prod", "ana", "ben", "eva", "gate", "stranger"] {
            company.yes(&format!("key generate --no-password --output {id}.key"));
            let shown = company.json(&format!("key show {id}.pub"), 0);
            let fingerprint = shown["fingerprint"].as_str().unwrap().to_owned();
            keys.insert(id, format!("{{ public_key: {id}.pub, fingerprint: \"{fingerprint}\" }}"));
        }
        let person = |id: &str| format!("{{ id: {id}, keys: [{}] }}", keys[id]);
        let policy = format!(
            r#"policy: {{ name: company-models, version: 7, expires: 2099-06-01 }}
roles:
  managers: {{ people: [{}, {}] }}
  officers: {{ people: [{}] }}
signing_authorities:
  production:
    type: key
    may_sign: [oms, release, evaluation, provenance]
    keys: [{}]
    approvals: {{ required: 2, from: managers }}
verification_policy:
  production:
    models: ["fraud-*"]
    accepted_authorities: [production]
    formats: [safetensors, json]
    evaluations: [{{ metric: accuracy, at_least: 0.9, signed_by: [production] }}]
    exceptions: {{ from: officers }}
  audit:
    mode: audit
    accepted_authorities: [production]
    require_provenance: true
"#,
            person("ana"),
            person("ben"),
            person("eva"),
            keys["prod"]
        );
        company.write("policy.yaml", policy.as_bytes());
        company.write("fraud-eu/config.json", b"{}");
        company.write("fraud-eu/model.safetensors", b"weights");
        company.yes("sign fraud-eu --key prod.key");
        company
    }

    /// With everything that production asks for.
    pub(crate) fn ready() -> Self {
        let company = Self::new();
        for by in ["ana", "ben"] {
            company.yes(&format!("approve fraud-eu {PRODUCTION} --key {by}.key"));
        }
        company.yes("attest evaluation fraud-eu --metric accuracy=0.93 --key prod.key");
        company
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn output(&self, line: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_bulla"))
            .args(line.split_whitespace())
            .current_dir(self.0.path())
            .env_remove("BULLA_PASSWORD")
            .env_remove("BULLA_REGISTRY")
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap()
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
}

pub(crate) const PRODUCTION: &str = "--policy policy.yaml --environment production";

pub(crate) fn rules(decision: &Value, outcome: &str) -> Vec<String> {
    let findings = decision["findings"].as_array().unwrap().iter();
    let of = findings.filter(|finding| finding["outcome"] == outcome);
    of.map(|finding| finding["rule"].as_str().unwrap().to_owned()).collect()
}
