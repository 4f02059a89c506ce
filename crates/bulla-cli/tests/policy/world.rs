//! A folder with keys and a policy, and the program in it.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A policy whose models one team signs and ana approves; a model that it admits.
    pub(crate) fn with_policy() -> Self {
        let folder = Self::new();
        let [team, ana, eva] = ["team", "ana", "eva"].map(|id| folder.key(id));
        let policy = format!(
            r#"policy: {{ name: company, version: 1, expires: 2099-01-01 }}
roles:
  managers: {{ people: [{{ id: ana, keys: [{ana}] }}] }}
  officers: {{ people: [{{ id: eva, keys: [{eva}] }}] }}
signing_authorities:
  team:
    type: key
    may_sign: [oms, provenance]
    keys: [{team}]
    approvals: {{ required: 1, from: managers }}
verification_policy:
  production:
    models: ["fraud-*"]
    accepted_authorities: [team]
    formats: [safetensors, json]
  development:
    mode: warn
    accepted_authorities: [team]
    require_provenance: true
"#
        );
        folder.write("policy.yaml", &policy);
        folder.write("models/fraud-eu/config.json", "{}");
        folder.write("models/fraud-eu/model.safetensors", "weights");
        folder.says("sign models/fraud-eu --key team.key", 0);
        let approve = "approve models/fraud-eu -p policy.yaml -e production --key ana.key";
        folder.says(approve, 0);
        folder
    }

    /// Makes a key pair; returns its entry in a policy.
    pub(crate) fn key(&self, id: &str) -> String {
        self.says(&format!("key generate --no-password --output {id}.key"), 0);
        let fingerprint = self.fingerprint(id);
        format!("{{ public_key: {id}.pub, fingerprint: \"{fingerprint}\" }}")
    }

    pub(crate) fn fingerprint(&self, id: &str) -> String {
        let shown = self.json(&format!("key show {id}.pub"), 0);
        shown["fingerprint"].as_str().unwrap().to_owned()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn output<S: AsRef<str>>(&self, arguments: &[S]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_bulla"))
            .args(arguments.iter().map(AsRef::as_ref))
            .current_dir(self.0.path())
            .env_remove("BULLA_PASSWORD")
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap()
    }

    /// Standard output and standard error.
    #[track_caller]
    pub(crate) fn says(&self, line: &str, code: i32) -> String {
        let output = self.output(&line.split_whitespace().collect::<Vec<_>>());
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        said
    }

    #[track_caller]
    pub(crate) fn json(&self, line: &str, code: i32) -> Value {
        let line = format!("{line} --json");
        let output = self.output(&line.split_whitespace().collect::<Vec<_>>());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{line}: {said}");
        assert!(said.is_empty(), "{line}: {said}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{line}: {e}"))
    }
}
