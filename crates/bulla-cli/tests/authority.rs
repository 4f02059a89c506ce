//! `bulla authority` as a process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

const BULLA: &str = env!("CARGO_BIN_EXE_bulla");

fn init(folder: &Path, name: &str) -> Command {
    let mut command = Command::new(BULLA);
    command
        .args(["authority", "init", name, "--dev-issuer", "--no-password"])
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Whether it can be served.
fn is_served(folder: &Path, name: &str) -> bool {
    let mut server = Command::new(BULLA)
        .args(["authority", "serve", name, "--listen", "127.0.0.1:0", "--json"])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
    ready["verdict"] == "ready" && ready["port"].as_u64().is_some_and(|port| port > 0)
}

/// Killed at any moment, there is an authority or there is none.
#[test]
fn an_authority_is_there_in_full_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let start = std::time::Instant::now();
    assert!(init(folder.path(), "whole").status().unwrap().success());
    let whole = start.elapsed();
    let (mut there, mut not_there) = (0, 0);
    for i in 1..=12_u32 {
        let name = format!("ca-{i}");
        let mut child = init(folder.path(), &name).spawn().unwrap();
        std::thread::sleep(whole * i / 10);
        child.kill().unwrap();
        child.wait().unwrap();
        if folder.path().join(&name).exists() {
            assert!(is_served(folder.path(), &name), "{name}");
            there += 1;
        } else {
            not_there += 1;
        }
        // What was left behind is in nobody's way.
        if not_there == 1 && there == 0 {
            assert!(init(folder.path(), &name).status().unwrap().success());
            assert!(is_served(folder.path(), &name), "{name}");
        }
    }
    assert!(not_there > 0, "{there} of 12 were there");
}

#[test]
fn a_development_authority_does_not_listen_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    assert!(init(folder.path(), "ca").status().unwrap().success());
    let output = Command::new(BULLA)
        .args(["authority", "serve", "ca", "--listen", "0.0.0.0:0", "--plain-http"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("does not listen on 0.0.0.0:0"), "{said}");
    assert!(is_served(folder.path(), "ca"));
}

#[test]
fn listening_beyond_this_machine_wants_tls() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(BULLA)
        .args([
            "authority",
            "init",
            "ca",
            "--no-password",
            "--marks",
            "ca-marks",
            "--issuer",
            "https://id.example",
        ])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let output = Command::new(BULLA)
        .args(["authority", "serve", "ca", "--listen", "0.0.0.0:0"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--tls-cert") && said.contains("--plain-http"), "{said}");
}
