//! `bulla demo`

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use bulla::Fault;
use clap::Args;

use crate::problem::{Outcome, Problem, Verdict};
use crate::ui::Ui;

/// Show the whole story in a minute, in a temporary folder
///
/// Makes a small model and a key, signs, verifies, tampers, and is refused; then a company's gate admits it, refuses it tampered, and finds what
/// rests on a key that was stolen. Every step is a command of this program that you could have typed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  bulla demo")]
pub(crate) struct Arguments {
    /// Keep the folder to look at
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(arguments: &Arguments, _ui: &Ui) -> Outcome {
    let folder = tempfile::Builder::new()
        .prefix("bulla-demo-")
        .tempdir()
        .map_err(|e| Fault::io("make", &std::env::temp_dir(), e))?;
    let story = Story { folder: folder.path() };
    story.tell()?;
    if arguments.keep {
        println(&format!("\nThe folder is kept: {}", folder.keep().display()))?;
    }
    Ok(Verdict::Yes)
}

struct Story<'a> {
    folder: &'a Path,
}

impl Story<'_> {
    fn tell(&self) -> Result<(), Problem> {
        println("A publisher has trained a model:")?;
        self.file("my-model/config.json", br#"{"architecture": "demo", "layers": 2}"#)?;
        self.file("my-model/weights.safetensors", &weights())?;
        self.file("my-model/tokenizer.json", br#"{"vocabulary": ["clay", "seal"]}"#)?;

        println("\nThe publisher makes a key pair, and signs the model:")?;
        self.step(&["key", "generate", "--output", "signer.key", "--no-password"], 0)?;
        self.step(&["sign", "my-model", "--key", "signer.key"], 0)?;

        println("\nWhoever deploys it verifies it with the public key:")?;
        self.step(&["verify", "my-model", "--key", "signer.pub"], 0)?;

        println("\nSomebody changes one bit of the weights, and adds a file:")?;
        let mut tampered = weights();
        if let Some(byte) = tampered.last_mut() {
            *byte ^= 1;
        }
        self.file("my-model/weights.safetensors", &tampered)?;
        self.file("my-model/loader.py", b"import os\n")?;
        self.step(&["verify", "my-model", "--key", "signer.pub"], 1)?;

        println("\nSomebody else signs the tampered model with a key of their own:")?;
        self.step(&["key", "generate", "--output", "mallory.key", "--no-password"], 0)?;
        self.step(&["sign", "my-model", "--key", "mallory.key"], 0)?;
        self.step(&["verify", "my-model", "--key", "signer.pub"], 1)?;

        println("\nThe model as it was signed was accepted, and nothing else was.")?;
        self.gate()
    }

    /// The same model at a company's gate.
    fn gate(&self) -> Result<(), Problem> {
        println(
            "\nA company deploys by a policy: signed by the publisher, and approved by two people.",
        )?;
        for person in ["ana", "ben"] {
            self.step(
                &["key", "generate", "--output", &format!("{person}.key"), "--no-password"],
                0,
            )?;
        }
        self.file("policy.yaml", self.policy()?.as_bytes())?;
        self.step(&["policy", "explain", "policy.yaml"], 0)?;
        self.step(&["registry", "init", "registry.toml", "--no-password"], 0)?;

        println("\nThe model comes from its publisher again, whole:")?;
        self.file("my-model/weights.safetensors", &weights())?;
        let rogue = self.folder.join("my-model/loader.py");
        std::fs::remove_file(&rogue).map_err(|e| Fault::io("remove", &rogue, e))?;
        self.step(&["sign", "my-model", "--key", "signer.key"], 0)?;
        let production = ["--policy", "policy.yaml", "--environment", "production"];
        let by_policy = |before: &[&'static str], after: &[&'static str]| -> Vec<&'static str> {
            [before, &production, after].concat()
        };
        self.step(&by_policy(&["approve", "my-model"], &["--key", "ana.key"]), 0)?;
        self.step(&by_policy(&["approve", "my-model"], &["--key", "ben.key"]), 0)?;

        println("\nSigned and approved, it is admitted, and runs:")?;
        let registry = ["--registry", "registry.toml"];
        let request = ["--registry", "registry.toml", "--request", "deploy-1"];
        self.step(&by_policy(&["admit", "my-model"], &request), 0)?;
        self.step(&["registry", "release", "deploy-1", "--registry", "registry.toml"], 0)?;

        println("\nTampered with, it is not:")?;
        let mut tampered = weights();
        if let Some(byte) = tampered.first_mut() {
            *byte ^= 1;
        }
        self.file("my-model/weights.safetensors", &tampered)?;
        self.step(&by_policy(&["admit", "my-model"], &registry), 1)?;
        self.file("my-model/weights.safetensors", &weights())?;

        println("\nThe publisher's key is stolen. What rests on it?")?;
        let stolen = self.key("signer.pub")?;
        let revoke =
            ["revoke", "key", &stolen, "--reason", "stolen", "--registry", "registry.toml"];
        self.step(&revoke, 0)?;
        println("\nAll of that is stopped in one step:")?;
        self.step(&[&revoke[..], &["--confirm"]].concat(), 0)?;
        self.step(&by_policy(&["admit", "my-model"], &registry), 1)?;
        self.step(&["registry", "audit", "--registry", "registry.toml"], 0)?;

        println("\nThat is all: sealed, admitted, refused, and withdrawn.")
    }

    fn policy(&self) -> Result<String, Problem> {
        let key = |name: &str| -> Result<String, Problem> {
            let fingerprint = self.key(&format!("{name}.pub"))?;
            Ok(format!("{{ public_key: {name}.pub, fingerprint: \"{fingerprint}\" }}"))
        };
        let person = |id: &str| -> Result<String, Problem> {
            Ok(format!("{{ id: {id}, keys: [{}] }}", key(id)?))
        };
        Ok(format!(
            "policy: {{ name: demo, version: 1, expires: 2099-01-01 }}\n\
             roles:\n  managers:\n    people:\n      - {}\n      - {}\n\
             signing_authorities:\n  publisher:\n    type: key\n    may_sign: [oms]\n    keys:\n      - {}\n    approvals: {{ required: 2, from: managers }}\n\
             verification_policy:\n  production:\n    accepted_authorities: [publisher]\n    formats: [safetensors, json]\n",
            person("ana")?,
            person("ben")?,
            key("signer")?,
        ))
    }

    /// The fingerprint of a key.
    fn key(&self, file: &str) -> Result<String, Problem> {
        let limits = bulla::Limits::default();
        let bytes = bulla::read_named(&self.folder.join(file), limits.pem_bytes)?;
        let key = bulla::PublicKey::from_pem(&String::from_utf8_lossy(&bytes), &limits)?;
        Ok(key.fingerprint().to_string())
    }

    fn file(&self, name: &str, contents: &[u8]) -> Result<(), Problem> {
        let path = self.folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|e| Fault::io("make", parent, e))?;
        }
        std::fs::write(&path, contents).map_err(|e| Fault::io("write", &path, e))?;
        println(&format!("  {name} ({})", bulla::text::bytes(contents.len() as u64)))
    }

    /// Runs this program in the folder, and checks that it ends as the story says.
    fn step(&self, arguments: &[&str], expected: i32) -> Result<(), Problem> {
        println(&format!("\n$ bulla {}", arguments.join(" ")))?;
        let program =
            std::env::current_exe().map_err(|e| Fault::io("find", Path::new("this program"), e))?;
        let output = Command::new(&program)
            .args(arguments.iter().map(OsString::from))
            .current_dir(self.folder)
            .env_remove("BULLA_REGISTRY")
            .stdin(Stdio::null())
            .output()
            .map_err(|e| Fault::io("run", &program, e))?;
        let mut out = anstream::stdout().lock();
        out.write_all(&output.stdout)?;
        out.write_all(&output.stderr)?;
        out.flush()?;
        drop(out);
        if output.status.code() != Some(expected) {
            return Err(Fault::Bug { what: "the demonstration did not end as it should" }.into());
        }
        println(&format!("(exit code {expected})"))
    }
}

/// A small file that looks like weights: the same on every run.
fn weights() -> Vec<u8> {
    (0..250_000u32).flat_map(|i| (i.wrapping_mul(2_654_435_761) >> 8).to_le_bytes()).collect()
}

fn println(text: &str) -> Result<(), Problem> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}
