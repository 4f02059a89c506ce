//! What only the running program shows: kills, full disks, pipes, files that wait.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use bulla_testkit::models;

const BULLA: &str = env!("CARGO_BIN_EXE_bulla");

struct Bench {
    folder: tempfile::TempDir,
    model: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = models::small(folder.path());
        let bench = Self { folder, model };
        bench.run(&["key", "generate", "--no-password", "--output", "signer.key"], 0);
        bench
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BULLA);
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env_remove("BULLA_PASSWORD").env_remove("COSIGN_PASSWORD");
        command
    }

    #[track_caller]
    fn run(&self, arguments: &[&str], code: i32) -> String {
        let output = self.command(arguments).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        said
    }

    /// Runs a line of shell in the folder; `$BULLA` is the program.
    fn shell(&self, line: &str) -> Output {
        let folder = self.folder.path();
        Command::new("sh")
            .args(["-c", line])
            .env("BULLA", BULLA)
            .current_dir(folder)
            .output()
            .unwrap()
    }

    fn entries(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(&self.model)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn said(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap()
}

#[test]
fn killed_at_any_moment_it_leaves_the_old_signature_or_the_new_one() {
    let bench = Bench::new();
    bench.run(&["sign", "model", "--key", "signer.key"], 0);
    let names = bench.entries();
    let start = Instant::now();
    bench.run(&["sign", "model", "--key", "signer.key"], 0);
    let whole = start.elapsed();
    for i in 0..60 {
        let mut child = bench
            .command(&["sign", "model", "--key", "signer.key", "--quiet"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(whole * i / 50);
        let _ = child.kill();
        child.wait().unwrap();
        assert_eq!(bench.entries(), names, "nothing is left behind");
    }
    bench.run(&["verify", "model", "--key", "signer.pub"], 0);
}

#[test]
fn a_full_disk_leaves_the_old_signature() {
    let bench = Bench::new();
    bench.run(&["sign", "model", "--key", "signer.key"], 0);
    let before = std::fs::read(bench.model.join("model.sig")).unwrap();
    let names = bench.entries();
    // No file may grow beyond one block: first with the signal that tells, which kills, then without.
    for (prepare, code) in [("ulimit -f 1", None), ("trap '' XFSZ; ulimit -f 1", Some(3))] {
        let output =
            bench.shell(&format!("{prepare}; exec \"$BULLA\" sign model --key signer.key"));
        assert_eq!(output.status.code(), code, "{}", said(&output));
        assert_eq!(std::fs::read(bench.model.join("model.sig")).unwrap(), before);
        assert_eq!(bench.entries(), names);
    }
    bench.run(&["verify", "model", "--key", "signer.pub"], 0);
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let bench = Bench::new();
    bench.run(&["sign", "model", "--key", "signer.key"], 0);
    for command in [
        "verify model --key signer.pub",
        "inspect model --json",
        "digest model -v",
        "completions bash",
        "man",
        "--help",
    ] {
        let output = bench.shell(&format!("\"$BULLA\" {command} | true"));
        assert!(!said(&output).contains("panicked"), "{command}: {}", said(&output));
        let output = bench.shell(&format!("\"$BULLA\" {command} >/dev/full"));
        assert!(!said(&output).contains("panicked"), "{command}: {}", said(&output));
    }
}

#[test]
fn a_verdict_that_cannot_be_printed_is_not_a_yes() {
    let bench = Bench::new();
    bench.run(&["sign", "model", "--key", "signer.key"], 0);
    let output = bench.shell("\"$BULLA\" verify model --key signer.pub >/dev/full");
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    // And a "no" stays one.
    std::fs::write(bench.model.join("extra"), b"x").unwrap();
    for to in ["2>/dev/full", "--json >/dev/full", "2>&-"] {
        let output = bench.shell(&format!("\"$BULLA\" verify model --key signer.pub {to}"));
        assert_eq!(output.status.code(), Some(1), "{to}: {}", said(&output));
    }
}

#[test]
fn nothing_waits_for_a_fifo_or_a_password() {
    let bench = Bench::new();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, bench.model.join("model.sig"), mode).unwrap();
    let locked = ["key", "generate", "--output", "locked.key"];
    let mut made = bench.command(&locked);
    assert!(made.env("BULLA_PASSWORD", "secret").status().unwrap().success());
    for (arguments, code) in [
        (&["verify", "model", "--key", "signer.pub"][..], 3),
        (&["inspect", "model"], 3),
        (&["sign", "model", "--key", "signer.key"], 3),
        (&["sign", "model", "--key", "locked.key", "--output", "elsewhere.sig"], 3),
        (&["key", "show", "locked.key"], 3),
        (&["key", "generate", "--output", "another.key"], 3),
    ] {
        let mut child = bench.command(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < end, "{arguments:?} waits");
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(status.code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn keys_are_private_and_are_never_overwritten() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    let key = bench.folder.path().join("signer.key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&key).unwrap();
    bench.run(&["key", "generate", "--no-password", "--output", "signer.key"], 2);
    bench.run(&["key", "decrypt", "signer.key", "--output", "signer.key"], 2);
    bench.run(&["key", "generate", "--no-password", "--output", "-"], 2);
    // An unset secret of a pipeline is no password.
    let mut empty = bench.command(&["key", "generate", "--output", "empty.key"]);
    assert_eq!(empty.env("BULLA_PASSWORD", "").status().unwrap().code(), Some(2));
    let said = bench.run(&["key", "encrypt", "signer.key", "--output", "locked.key"], 3);
    assert!(said.contains("--new-password-file"), "{said}");
    std::fs::remove_file(bench.folder.path().join("signer.pub")).unwrap();
    bench.run(&["key", "generate", "--no-password", "--output", "signer.key"], 2);
    assert_eq!(std::fs::read(&key).unwrap(), before);
}

#[test]
fn signing_overwrites_signatures_and_nothing_else() {
    let bench = Bench::new();
    let sign = ["sign", "model", "--key", "signer.key"];
    // Another tool's file, one that was cut off, and files of the model.
    for contents in [&b"MEUCIQD...="[..], b"", b"{\"mediaType\""] {
        std::fs::write(bench.model.join("model.sig"), contents).unwrap();
        bench.run(&sign, 2);
        assert_eq!(std::fs::read(bench.model.join("model.sig")).unwrap(), contents);
    }
    std::fs::remove_file(bench.model.join("model.sig")).unwrap();
    for file in ["model/weights.bin", "model/empty"] {
        bench.run(&[&sign[..], &["--output", file]].concat(), 2);
    }
    bench.run(&sign, 0);
    bench.run(&sign, 0);
}

#[test]
fn secrets_are_not_shown() {
    let bench = Bench::new();
    let key = std::fs::read_to_string(bench.folder.path().join("signer.key")).unwrap();
    let secret: Vec<&str> =
        key.lines().filter(|line| line.len() > 20 && !line.contains('-')).collect();
    assert!(!secret.is_empty());
    for arguments in [
        &["inspect", "signer.key", "--json"][..],
        &["key", "show", "signer.key", "--json", "-v"],
        &["sign", "model", "--key", "signer.key", "--json", "-v"],
    ] {
        let said = bench.run(arguments, 0);
        assert!(secret.iter().all(|line| !said.contains(line)), "{said}");
    }
    // An argument's value would be: so there is no such argument.
    bench.run(&["sign", "model", "--key", "signer.key", "--password", "x"], 2);
}

#[test]
fn signatures_are_found_and_written_where_they_are_said_to_be() {
    let bench = Bench::new();
    let folder = bench.folder.path();
    // Elsewhere, and to standard output.
    bench.run(&["sign", "model", "--key", "signer.key", "--output", "elsewhere.sig"], 0);
    assert!(!bench.model.join("model.sig").exists());
    bench.run(&["verify", "model", "--key", "signer.pub", "--signature", "elsewhere.sig"], 0);
    let output =
        bench.command(&["sign", "model", "--key", "signer.key", "-o", "-"]).output().unwrap();
    std::fs::write(folder.join("piped.sig"), output.stdout).unwrap();
    bench.run(&["verify", "model", "--key", "signer.pub", "--signature", "piped.sig"], 0);
    // Inside the model under another name: not taken for an unsigned file.
    bench.run(&["sign", "model", "--key", "signer.key", "--output", "model/a/own.sig"], 0);
    bench.run(&["verify", "model", "--key", "signer.pub", "--signature", "model/a/own.sig"], 0);
    bench.run(
        &["verify", "model", "--key", "signer.pub", "--signature", "./model/../model/a/own.sig"],
        0,
    );
    // From within the model, and through a link to it.
    std::fs::remove_file(bench.model.join("a/own.sig")).unwrap();
    bench.run(&["sign", "model", "--key", "signer.key"], 0);
    let output = bench.shell("cd model && \"$BULLA\" verify . --key ../signer.pub");
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("verified: ."));
    std::os::unix::fs::symlink("model", folder.join("current")).unwrap();
    bench.run(&["verify", "current", "--key", "signer.pub"], 0);
    bench.run(&["verify", "current/", "--key", "signer.pub"], 0);
    // A key from the environment, as in a pipeline.
    let key = std::fs::read_to_string(folder.join("signer.key")).unwrap();
    let mut sign = bench.command(&["sign", "model", "--key", "env://SIGNING_KEY"]);
    assert!(sign.env("SIGNING_KEY", key).status().unwrap().success());
}

#[test]
fn escape_sequences_do_not_reach_the_terminal() {
    let bench = Bench::new();
    bench.run(&["sign", "model", "--key", "signer.key"], 0);
    let hostile = "\u{1b}[2J\u{9b}31m\u{202e}\r\n";
    std::fs::write(bench.model.join(hostile), b"x").unwrap();
    let model = bench.folder.path().join(format!("m{hostile}"));
    std::fs::create_dir(&model).unwrap();
    let model = model.to_str().unwrap();
    for arguments in [
        &["verify", "model", "--key", "signer.pub"][..],
        &["verify", "model", "--key", "signer.pub", "--json"],
        &["verify", "model", "--key", "signer.pub", "--ignore-unsigned-files"],
        &["digest", "model", "-v"],
        &["digest", "model", "--json"],
        &["sign", "model", "--key", "signer.key", "-v"],
        &["inspect", "model"],
        &["inspect", "model", "--json"],
        &["verify", model, "--key", "signer.pub"],
        &["sign", model, "--key", "signer.key"],
        &["verify", "model", "--key", hostile],
        &["verify", &format!("--{hostile}")],
        &["sign", "model", "--key", "signer.key", "--hash", hostile],
        &["verify", "model", "--key", &format!("a{hostile}://x")],
        &["verify", "model", "--key", "signer.pub", "--max-bundle-size", hostile],
        &[hostile],
        &["sign", "model", "--key", "signer.key", "--ignore", hostile],
        &["sign", "model", "--key", "signer.key", "--output", model],
        &["key", "generate", "--no-password", "--output", &format!("k{hostile}.key")],
    ] {
        let said = said(&bench.command(arguments).output().unwrap());
        let acts = |c: char| c != '\n' && bulla::text::acts_on_a_terminal(c);
        assert!(!said.chars().any(acts), "{arguments:?}: {said:?}");
    }
}

#[test]
fn json_is_one_object_whatever_happens() {
    let bench = Bench::new();
    bench.run(&["sign", "model", "--key", "signer.key"], 0);
    for arguments in [
        &["verify", "model", "--key", "signer.pub"][..],
        &["verify", "model", "nothing", "--key", "signer.pub"],
        &["verify", "model", "--key", "nothing"],
        &["verify", "model"],
        &["sign", "model", "--key", "signer.key"],
        &["sign", "nothing", "--key", "signer.key"],
        &["digest", "model"],
        &["digest", "nothing"],
        &["inspect", "model"],
        &["inspect", "model/weights.bin"],
        &["key", "show", "signer.pub"],
        &["key", "show", "nothing"],
    ] {
        let output = bench.command(arguments).arg("--json").output().unwrap();
        let object: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{arguments:?}: {e}: {}", said(&output)));
        assert_eq!(object["command"], arguments[0]);
        assert!(object["verdict"].is_string());
    }
}

#[test]
fn a_hundred_megabytes_of_signature_is_read_to_the_limit_only() {
    let bench = Bench::new();
    let mut file = std::fs::File::create(bench.model.join("model.sig")).unwrap();
    for _ in 0..100 {
        file.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    let said = bench.run(&["verify", "model", "--key", "signer.pub"], 1);
    assert!(said.contains("larger than"), "{said}");
    let said = bench.run(&["inspect", "model"], 1);
    assert!(said.contains("larger than"), "{said}");
    bench.run(&["verify", "model", "--key", "model/model.sig"], 3);
}

#[test]
fn the_demonstration_tells_its_story() {
    let bench = Bench::new();
    let said = bench.run(&["demo"], 0);
    for part in [
        "verified: my-model",
        "changed: weights.safetensors",
        "extra: loader.py",
        "signed with another key",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = bench.run(&["demo", "--keep"], 0);
    let kept = said.lines().last().unwrap().rsplit(": ").next().unwrap();
    assert!(Path::new(kept).join("my-model/model.sig").exists());
    std::fs::remove_dir_all(kept).unwrap();
}

/// Many files are under way at once, but few are open.
#[test]
fn files_do_not_run_out() {
    let bench = Bench::new();
    for i in 0..400 {
        let path = bench.model.join(format!("{i:03}"));
        // Long ones, middling ones, short ones; without bytes on the disk.
        std::fs::File::create(path).unwrap().set_len([6 << 20, 300 << 10, 5][i % 3]).unwrap();
    }
    let unlimited = said(&bench.shell("$BULLA digest model"));
    let sparing = if cfg!(target_os = "linux") { "--no-page-cache" } else { "" };
    for options in ["", sparing, "--shard-size 1MiB"] {
        let options = format!("--threads 2 {options}");
        let line = format!("ulimit -n 64; rm -f model/empty; $BULLA digest model {options}");
        let output = bench.shell(&line);
        assert!(output.status.success(), "{options}: {}", said(&output));
    }
    assert!(unlimited.starts_with("oms:"), "{unlimited}");
}

/// A model that is cut short while it is mapped is a fault, whenever that happens; a signal that somebody
/// sends is one as ever.
#[test]
fn a_truncated_model_is_no_crash() {
    let bench = Bench::new();
    let weights = bench.model.join("weights.bin");
    let size = 300 << 20;
    let set_len =
        |size| std::fs::File::options().write(true).open(&weights).unwrap().set_len(size).unwrap();
    let mut faults = 0;
    for wait in [0, 5, 20, 40, 80, 120] {
        set_len(size);
        let mut child = bench
            .command(&["digest", "model", "--threads", "1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        set_len(5000);
        let code = child.wait().unwrap().code();
        assert!(matches!(code, Some(0 | 3)), "after {wait} ms: {code:?}");
        faults += usize::from(code == Some(3));
    }
    assert!(faults > 0, "it was never cut short in time");

    set_len(4 << 30);
    let output = bench.shell("$BULLA digest model & sleep 0.1; kill -BUS $!; wait $!");
    assert_eq!(output.status.code(), Some(128 + 7), "{}", said(&output));
}

/// A part is written over another part and over nothing else.
#[test]
fn a_part_overwrites_parts_and_nothing_else() {
    let bench = Bench::new();
    std::fs::write(bench.folder.path().join("notes.txt"), "mine").unwrap();
    std::fs::write(bench.folder.path().join("single.bin"), "model").unwrap();
    let part = |model: &str, output: &str, code| {
        bench.run(&["digest", model, "--partition", "0/1", "--output", output], code)
    };
    part("model", "part.json", 0);
    part("model", "part.json", 0);
    part("model", "notes.txt", 2);
    part("single.bin", "single.bin", 2);
    part("model", "nowhere/part.json", 3);
    let read = |name: &str| std::fs::read_to_string(bench.folder.path().join(name)).unwrap();
    assert_eq!((read("notes.txt").as_str(), read("single.bin").as_str()), ("mine", "model"));
    // Found out before anything is hashed, and no signature is lost.
    let said = bench
        .run(&["sign", "model", "--key", "signer.key", "--digest-cache", "nowhere/cache.json"], 3);
    assert!(said.contains("nowhere"), "{said}");
}

/// A cache is written last, and over nothing but a cache.
#[test]
fn a_cache_takes_no_other_files_place() {
    let bench = Bench::new();
    let folder = bench.folder.path();
    std::fs::write(folder.join("single.bin"), "model").unwrap();
    std::fs::write(folder.join("empty.bin"), "").unwrap();
    std::os::unix::fs::symlink("empty.bin", folder.join("link.bin")).unwrap();
    std::os::unix::fs::symlink(".", folder.join("here")).unwrap();
    let sign = |model: &str, cache: &str, options: &[&str], code| {
        let command = ["sign", model, "--key", "signer.key", "--digest-cache", cache];
        bench.run(&[&command[..], options].concat(), code)
    };
    // The signature's place, named or not, in whatever words.
    for (model, cache, options) in [
        ("model", "own.sig", &["--output", "own.sig"][..]),
        ("model", "./own.sig", &["--output", "here/own.sig"]),
        ("single.bin", "single.bin.sig", &[]),
        ("single.bin", "model/../single.bin.sig", &[]),
    ] {
        let said = sign(model, cache, options, 2);
        assert!(said.contains("the signature is written there"), "{said}");
    }
    assert!(!folder.join("own.sig").exists() && !folder.join("single.bin.sig").exists());
    sign("model", "cache.json", &["--output", "own.sig"], 0);
    let before = std::fs::read(folder.join("own.sig")).unwrap();
    sign("model", "own.sig", &["--output", "own.sig"], 2);
    assert_eq!(std::fs::read(folder.join("own.sig")).unwrap(), before);
    // A cache at the signature's place stays, too.
    sign("model", "cache.json", &["--output", "cache.json"], 2);

    // The model itself, which is taken for an empty cache, or for a full one.
    std::fs::copy(folder.join("cache.json"), folder.join("cache.bin")).unwrap();
    for model in ["empty.bin", "link.bin", "cache.bin"] {
        let before = std::fs::read(folder.join(model)).unwrap();
        let target = model.replace("link", "empty");
        for cache in [&target, &format!("here/{target}"), model] {
            bench.run(&["digest", model, "--digest-cache", cache], 2);
            sign(model, cache, &[], 2);
        }
        assert_eq!(std::fs::read(folder.join(model)).unwrap(), before);
    }
}

/// In a network namespace that has no network: not even this machine can be reached.
#[test]
fn verifying_needs_no_network() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bulla/tests/data");
    let bench = Bench::new();
    let folder = bench.folder.path();
    std::fs::create_dir(folder.join("keyless")).unwrap();
    for file in ["ignore-me", "model.sig", "signme-1", "signme-2"] {
        let from = data.join("oms-vectors/v1.1.0-sigstore").join(file);
        std::fs::copy(from, folder.join("keyless").join(file)).unwrap();
    }
    for file in ["staging-rekor-v2.txt", "staging-rekor-v2.txt.sigstore.json"] {
        std::fs::copy(data.join("sigstore").join(file), folder.join(file)).unwrap();
    }
    let isolated = |line: &str| {
        let line = format!("unshare --map-root-user --net {line}");
        let output = bench.shell(&format!("HOME=$PWD XDG_CACHE_HOME=$PWD/cache {line}"));
        (output.status.code(), said(&output))
    };
    // So that the test can fail: there is none.
    let (code, said) = isolated("ls /sys/class/net/lo/operstate && unshare --help >/dev/null");
    assert_eq!(code, Some(0), "this test needs unshare (util-linux): {said}");
    let (code, said) = isolated("\"$BULLA\" trust update --staging");
    assert_eq!(code, Some(3), "{said}");
    for offline in ["", "--offline"] {
        let (code, said) = isolated(&format!(
            "\"$BULLA\" verify keyless {offline} --identity stefanb@us.ibm.com \
             --identity-provider https://sigstore.verify.ibm.com/oauth2"
        ));
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("logged     https://rekor.sigstore.dev, entry 598151086"), "{said}");
        let (code, said) = isolated(&format!(
            "\"$BULLA\" blob verify staging-rekor-v2.txt {offline} --staging --identity jku@goto.fi \
             --identity-provider https://github.com/login/oauth"
        ));
        assert_eq!(code, Some(0), "{said}");
    }
}
