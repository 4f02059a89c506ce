//! `bulla log` over HTTP, and with what a hostile server may answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd/log-fixture").join(path)
}

/// Serves what `answer` says for a path, until the test ends; where.
fn serve(answer: impl Fn(&str) -> (u16, Vec<u8>) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/log/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let path = first.split(' ').nth(1).unwrap().to_owned();
            let (status, body) = answer(path.strip_prefix("/log/").unwrap());
            let head = format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            // A client that has seen enough hangs up.
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    });
    url
}

fn bulla(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_bulla"))
        .args(["log"])
        .args(arguments)
        .arg("--key")
        .arg(fixture("log.vkey"))
        .env("NO_COLOR", "1")
        .env("NO_PROXY", "*")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

fn file(path: &str) -> (u16, Vec<u8>) {
    std::fs::read(fixture("log").join(path)).map_or((404, Vec::new()), |bytes| (200, bytes))
}

#[test]
fn a_log_on_the_web() {
    let folder = tempfile::tempdir().unwrap();
    let url = serve(file);
    let (code, said) = bulla(&["verify", &url]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("5 entries"), "{said}");
    let (code, said) = bulla(&["monitor", &url, "--own", "*@example.com"]);
    assert_eq!(code, Some(1), "{said}");
    let copy = folder.path().join("copy.tar");
    let (code, said) = bulla(&["export", &url, "--output", copy.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = bulla(&["verify", copy.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_server_that_fails_is_no_answer_and_one_that_lies_is_refused() {
    let tile = "tile/0/000.p/5";
    type Case = (&'static str, Option<i32>, &'static str, u16, fn() -> Vec<u8>);
    let cases: [Case; 5] = [
        ("checkpoint", Some(3), "500", 500, Vec::new),
        ("checkpoint", Some(3), "there is no log", 404, Vec::new),
        (tile, Some(3), "larger than", 200, || vec![0; 100_000]),
        (tile, Some(1), "was changed", 200, || vec![0; 160]),
        (tile, Some(1), "is missing", 404, Vec::new),
    ];
    for (path, expected, words, status, body) in cases {
        let url = serve(move |asked| if asked == path { (status, body()) } else { file(asked) });
        let (code, said) = bulla(&["verify", &url]);
        assert_eq!(code, expected, "{said}");
        assert!(said.contains(words), "{said}");
    }
    let (code, said) = bulla(&["verify", "http://127.0.0.1:1/log"]);
    assert_eq!(code, Some(3), "{said}");
}

/// What was not found in order is not remembered; what was is, in one step.
#[test]
fn a_checkpoint_is_remembered_only_after_success() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let path = state.to_str().unwrap();
    let changed = fixture("changed-entry");
    let (code, said) = bulla(&["verify", changed.to_str().unwrap(), "--state", path]);
    assert_eq!(code, Some(1), "{said}");
    assert!(!state.exists());
    let (code, said) = bulla(&["verify", fixture("log").to_str().unwrap(), "--state", path]);
    assert_eq!(code, Some(0), "{said}");
    let note = std::fs::read(fixture("log/checkpoint")).unwrap();
    assert_eq!(std::fs::read(&state).unwrap(), note);
    let forked = fixture("forked-log");
    let (code, said) = bulla(&["verify", forked.to_str().unwrap(), "--state", path]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("forked"), "{said}");
    assert_eq!(std::fs::read(&state).unwrap(), note);
    // An alert has been seen once it has been shown.
    let new = folder.path().join("new");
    let watch = ["monitor", "--own", "*@example.com", "--state", new.to_str().unwrap()];
    let log = fixture("log");
    let watch = [&watch[..], &[log.to_str().unwrap()]].concat();
    assert_eq!(bulla(&watch).0, Some(1));
    let (code, said) = bulla(&watch);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("0 entries new"), "{said}");
    // Somebody wrote a state of their own.
    std::fs::write(&new, "nonsense").unwrap();
    assert_eq!(bulla(&watch).0, Some(1));
}
