//! Who may import whom (ARCHITECTURE.md), read off `cargo metadata`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

fn metadata() -> Value {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// For every package, by name: the packages that it is built with (no tests, no build scripts).
fn normal_dependencies(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let names: BTreeMap<String, String> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect();
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().unwrap() {
        let uses = edges.entry(names[&text(&node["id"])].clone()).or_default();
        for dependency in node["deps"].as_array().unwrap() {
            let normal =
                dependency["dep_kinds"].as_array().unwrap().iter().any(|k| k["kind"].is_null());
            if normal {
                uses.insert(names[&text(&dependency["pkg"])].clone());
            }
        }
    }
    edges
}

/// What a package is built with when it is built alone: `cargo metadata` has the features that the whole workspace asks for.
fn built_with(package: &str) -> BTreeSet<String> {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges=normal", "--prefix=none", "--format={p}", "--package"])
        .arg(package)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Our crates, and those of ours that each may use.
const FLOORS: [(&str, &[&str]); 11] = [
    ("bulla-hash", &[]),
    ("bulla-convert", &["bulla", "bulla-hash"]),
    ("bulla-provenance", &["bulla", "bulla-hash"]),
    ("bulla", &["bulla-hash"]),
    ("bulla-signers", &["bulla", "bulla-hash"]),
    ("bulla-policy", &["bulla", "bulla-hash"]),
    ("bulla-log", &["bulla", "bulla-hash"]),
    ("bulla-registry", &["bulla", "bulla-hash", "bulla-log"]),
    ("bulla-authority", &["bulla", "bulla-hash", "bulla-log"]),
    (
        "bulla-cli",
        &[
            "bulla",
            "bulla-hash",
            "bulla-authority",
            "bulla-convert",
            "bulla-log",
            "bulla-policy",
            "bulla-provenance",
            "bulla-registry",
            "bulla-signers",
        ],
    ),
    ("bulla-testkit", &["bulla", "bulla-authority"]),
];

#[test]
fn every_arrow_points_down() {
    let edges = normal_dependencies(&metadata());
    let ours: BTreeSet<&String> = edges.keys().filter(|name| name.starts_with("bulla")).collect();
    assert_eq!(ours.len(), FLOORS.len(), "a new crate needs its place in FLOORS: {ours:?}");
    for (name, allowed) in FLOORS {
        let used: Vec<&str> = edges[name]
            .iter()
            .map(String::as_str)
            .filter(|used| used.starts_with("bulla"))
            .collect();
        assert!(used.iter().all(|used| allowed.contains(used)), "{name} uses {used:?}");
    }
}

#[test]
fn the_library_reaches_no_runtime_no_network_and_no_terminal() {
    let reached = built_with("bulla");
    let forbidden = [
        "tokio",
        "async-std",
        "smol",
        "futures-executor",
        "hyper",
        "reqwest",
        "ureq",
        "isahc",
        "curl",
        "h2",
        "rustls",
        "native-tls",
        "socket2",
        "mio",
        "clap",
        "anstream",
        "indicatif",
        "webpki-roots",
        "rustls-native-certs",
    ];
    let found: Vec<_> = forbidden.iter().filter(|name| reached.contains(**name)).collect();
    assert!(found.is_empty(), "bulla reaches {found:?}");
    // So that the test can fail: what it must reach is seen.
    assert!(reached.contains("aws-lc-rs"));
}

#[test]
fn no_unsafe_code() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (name, root) in [
        ("bulla", "lib.rs"),
        ("bulla-convert", "lib.rs"),
        ("bulla-authority", "lib.rs"),
        ("bulla-log", "lib.rs"),
        ("bulla-registry", "lib.rs"),
        ("bulla-provenance", "lib.rs"),
        ("bulla-signers", "lib.rs"),
        ("bulla-policy", "lib.rs"),
        ("bulla-cli", "main.rs"),
        ("bulla-testkit", "lib.rs"),
    ] {
        let text = std::fs::read_to_string(crates.join(name).join("src").join(root)).unwrap();
        assert!(text.contains("#![forbid(unsafe_code)]"), "{name}");
    }
}

/// The libraries ask nobody: no clock, no environment, nothing printed.
#[test]
fn the_libraries_read_no_clock_and_no_environment_and_print_nothing() {
    fn visit(folder: &Path, check: &mut dyn FnMut(&Path, &str)) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, check);
            } else {
                check(&path, &std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let forbidden = [
        "std::env",
        "env::var",
        "SystemTime::now",
        "Instant::now",
        "Timestamp::now",
        "println!",
        "eprintln!",
        "print!(",
        "eprint!(",
        "dbg!",
        "available_parallelism",
        "temp_dir",
        "std::net",
        "std::process",
        // Answers a signal for the whole process.
        "Mapper::install",
    ];
    for (name, at_least) in [("bulla", 20), ("bulla-convert", 8)] {
        let mut files = 0;
        visit(&crates.join(name).join("src"), &mut |path, text| {
            files += 1;
            for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
                let found: Vec<_> = forbidden.iter().filter(|word| line.contains(**word)).collect();
                assert!(found.is_empty(), "{}: {line}", path.display());
            }
        });
        assert!(files > at_least);
    }
}
