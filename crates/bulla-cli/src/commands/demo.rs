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
/// Makes a small model and a key, signs, verifies, tampers, and is refused. Every step is a command
/// of this program that you could have typed.
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

        println("\nThat is all: the model as it was signed was accepted, and nothing else was.")
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
