//! Real processes: what a training that is run says, how it ends, and who gets which signal.
//!
//! Signals are sent to a wrapper that is a process of its own: this test program, started again as
//! [`wrapper`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::ffi::{OsStr, OsString};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bulla_provenance::jiff::Timestamp;
use bulla_provenance::run::{Log, MESSAGE_BYTES, Outcome, REFUSALS, Run, RunError, describe};
use bulla_provenance::training_log::{LogError, Report, Writer, verify};
use rustix::process::{Pid, Signal};
use serde_json::{Map, Value, json};

/// One training runs at a time in a process.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn time() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn log(&self) -> PathBuf {
        self.at("training.log")
    }

    /// Runs a shell script with a log.
    fn run(&self, script: &str) -> Outcome {
        self.run_with(OsStr::new("sh"), &["-c".into(), script.into()]).unwrap()
    }

    fn run_with(&self, program: &OsStr, arguments: &[OsString]) -> Result<Outcome, RunError> {
        let _turn = turn();
        let mut writer = Writer::create(&self.log(), time()).unwrap();
        let log = Log {
            writer: &mut writer,
            record: describe(program, arguments),
            temporary: self.0.path(),
            clock: &time,
        };
        let variables = [("EXTRA".into(), "42".into())];
        let log = Some(log);
        let run =
            Run { program, arguments, directory: Some(self.0.path()), variables: &variables, log };
        run.run()
    }

    fn report(&self) -> Report {
        verify(&*std::fs::read(self.log()).unwrap(), None).unwrap()
    }

    /// Kind and payload of every line but the header.
    fn lines(&self) -> Vec<(String, Map<String, Value>)> {
        let text = std::fs::read_to_string(self.log()).unwrap();
        let parts = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            let kind = line["kind"].as_str().unwrap().to_owned();
            (kind, line["data"].as_object().unwrap().clone())
        };
        text.lines().skip(1).map(parts).collect()
    }

    /// Why messages were refused.
    fn refusals(&self) -> Vec<String> {
        let refused = |(kind, data): &(String, Map<String, Value>)| {
            kind == "event" && data["name"] == json!("refused")
        };
        let lines = self.lines();
        lines
            .iter()
            .filter(|l| refused(l))
            .map(|(_, d)| d["why"].as_str().unwrap().into())
            .collect()
    }
}

fn quick(what: impl FnOnce()) {
    let before = Instant::now();
    what();
    assert!(before.elapsed() < Duration::from_secs(20), "it took {:?}", before.elapsed());
}

#[test]
fn what_a_training_says_is_in_the_log() {
    let folder = Folder::new();
    let outcome = folder.run(
        r#"echo '{"kind":"metric","name":"loss","value":0.5,"step":1,"epoch":0}' >> "$BULLA_TRAINING_LOG"
           echo '{"kind":"checkpoint","name":"out/1","digest":"sha256:00000000000000000000000000000000"}' >> "$BULLA_TRAINING_LOG"
           printf '\n{"kind":"event","name":"env","extra":"%s"}\n{"kind":"metric","name":"loss","value":0.25}' "$EXTRA" >> "$BULLA_TRAINING_LOG"
           exit 7"#,
    );
    assert_eq!(outcome.exit_code(), 7);
    let received = outcome.received.unwrap();
    assert_eq!((received.accepted, received.refused, received.lost), (4, 0, 0));
    assert!(received.error.is_none());
    let lines = folder.lines();
    let kinds: Vec<_> = lines.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["start", "metric", "checkpoint", "event", "metric", "end"]);
    assert_eq!(lines[0].1, *json!({"program": "sh", "arguments": 2}).as_object().unwrap());
    assert_eq!(lines[1].1["epoch"], json!(0));
    assert_eq!(lines[3].1["extra"], json!("42"));
    let end = &lines[5].1;
    assert_eq!((&end["exit_code"], &end["accepted"]), (&json!(7), &json!(4)));
    assert!(end["wall_seconds"].as_f64().unwrap() > 0.0);
    assert!(end["peak_memory_bytes"].as_u64().unwrap() > 100_000);
    let report = folder.report();
    assert_eq!(report.metrics["loss"].value, 0.25);
    assert_eq!(report.finished, Some(time()));
    // Nothing is left behind.
    assert_eq!(std::fs::read_dir(folder.0.path()).unwrap().count(), 1);
}

#[test]
fn what_is_no_message_is_refused_and_the_training_goes_on() {
    let folder = Folder::new();
    let long = "x".repeat(MESSAGE_BYTES);
    std::fs::write(folder.at("long"), format!("{{\"kind\":\"event\",\"name\":\"{long}\"}}\n"))
        .unwrap();
    let outcome = folder.run(
        r#"exec 3>> "$BULLA_TRAINING_LOG"
           echo 'loss 0.5' >&3
           echo '{"kind":"metric","name":"loss"}' >&3
           echo '{"kind":"metric","name":"loss","value":NaN}' >&3
           echo '{"kind":"metric","name":"loss","value":1,"value":2}' >&3
           echo '{"kind":"end"}' >&3
           echo '{"kind":"start"}' >&3
           echo '{"kind":"else"}' >&3
           echo '{"name":"x"}' >&3
           echo '[1]' >&3
           echo '{"kind":"event","name":"refused","why":"forged"}' >&3
           printf '\377\376\n' >&3
           cat long >&3
           echo '{"kind":"metric","name":"loss","value":"NaN"}' >&3
           printf '{"kind":"metric","name":' >&3"#,
    );
    assert_eq!(outcome.exit_code(), 0);
    let received = outcome.received.unwrap();
    assert_eq!((received.accepted, received.refused), (1, 13));
    let words = [
        "expected value",
        "no `value`",
        "JSON has no NaN",
        "twice",
        "its own end",
        "its own start",
        "kind",
        "no `kind`",
        "an object",
        "not for a training",
        "UTF-8",
        "longer",
        "EOF",
    ];
    let refusals = folder.refusals();
    assert_eq!(refusals.len(), words.len());
    for (refusal, word) in refusals.iter().zip(words) {
        assert!(refusal.contains(word), "{refusal} / {word}");
    }
    assert_eq!(folder.report().counts.metrics, 1);
}

#[test]
fn a_flood_of_nonsense_is_counted() {
    let folder = Folder::new();
    let outcome = folder.run(r#"yes nonsense | head -n 5000 > "$BULLA_TRAINING_LOG""#);
    assert_eq!(outcome.received.unwrap().refused, 5000);
    assert_eq!(folder.refusals().len() as u64, REFUSALS);
    assert_eq!(folder.lines().last().unwrap().1["refused"], json!(5000));
}

#[test]
fn many_writers_at_once() {
    let folder = Folder::new();
    let outcome = folder.run(
        r#"for i in 1 2 3 4; do
             ( for j in $(seq 200); do
                 echo "{\"kind\":\"metric\",\"name\":\"loss-$i\",\"value\":$j,\"step\":$j}" >> "$BULLA_TRAINING_LOG"
               done ) &
           done
           wait"#,
    );
    assert_eq!(outcome.received.unwrap().accepted, 800);
    let metrics = folder.report().metrics;
    assert!(metrics.values().all(|m| (m.count, m.value) == (200, 200.0)), "{metrics:?}");
}

#[test]
fn python_opens_it_as_a_file() {
    let script = r#"
import json, os
with open(os.environ["BULLA_TRAINING_LOG"], "a") as log:
    for step in range(100):
        print(json.dumps({"kind": "metric", "name": "loss", "value": 1 / (step + 1), "step": step}),
              file=log, flush=True)
"#;
    if Command::new("python3").arg("-V").output().is_err() {
        return;
    }
    let folder = Folder::new();
    let outcome = folder.run_with(OsStr::new("python3"), &["-c".into(), script.into()]).unwrap();
    assert_eq!((outcome.exit_code(), outcome.received.unwrap().accepted), (0, 100));
    assert_eq!(folder.report().metrics["loss"].value, 0.01);
}

#[test]
fn one_that_never_opens_the_log_and_one_without() {
    let folder = Folder::new();
    quick(|| assert_eq!(folder.run("exit 3").exit_code(), 3));
    let _turn = turn();
    let arguments = ["-c".into(), r#"test -z "$BULLA_TRAINING_LOG" && exit 4"#.into()];
    let program = OsStr::new("sh");
    let run = Run { program, arguments: &arguments, directory: None, variables: &[], log: None };
    let outcome = run.run().unwrap();
    assert_eq!(outcome.exit_code(), 4);
    assert!(outcome.received.is_none());
}

/// Processes in the background hold the FIFO open, or never stop writing.
#[test]
fn what_stays_in_the_background_holds_nothing_up() {
    let folder = Folder::new();
    quick(|| {
        let outcome = folder.run(
            r#"sleep 30 < /dev/null 3> "$BULLA_TRAINING_LOG" > /dev/null 2>&1 &
               echo $! > pid
               echo '{"kind":"event","name":"x"}' > "$BULLA_TRAINING_LOG""#,
        );
        assert_eq!(outcome.received.unwrap().accepted, 1);
    });
    let pid: i32 = std::fs::read_to_string(folder.at("pid")).unwrap().trim().parse().unwrap();
    rustix::process::kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    let folder = Folder::new();
    quick(|| {
        let outcome = folder.run(
            r#"yes '{"kind":"event","name":"x"}' < /dev/null > "$BULLA_TRAINING_LOG" 2> /dev/null &
               sleep 0.2"#,
        );
        assert!(outcome.received.unwrap().accepted > 10);
    });
    folder.report();
}

#[test]
fn only_this_user_reaches_the_fifo() {
    let folder = Folder::new();
    folder.run(r#"stat -c %a "$BULLA_TRAINING_LOG" "$(dirname "$BULLA_TRAINING_LOG")" > modes"#);
    assert_eq!(std::fs::read_to_string(folder.at("modes")).unwrap(), "600\n700\n");
}

/// The training is more than its log: it goes on when the log cannot be written.
#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let folder = Folder::new();
    let outcome = folder.run(
        r#"echo '{"kind":"event","name":"x"}' > "$BULLA_TRAINING_LOG"
           sleep 0.2
           echo garbage >> training.log
           for i in $(seq 100); do echo '{"kind":"event","name":"x"}'; done > "$BULLA_TRAINING_LOG"
           exit 5"#,
    );
    assert_eq!(outcome.exit_code(), 5);
    let received = outcome.received.unwrap();
    assert_eq!((received.accepted, received.lost), (1, 100));
    assert!(matches!(received.error, Some(LogError::Disturbed)));
}

#[test]
fn exit_codes_as_a_shell_has_them() {
    assert_eq!(Folder::new().run("exit 0").exit_code(), 0);
    assert_eq!(Folder::new().run("exit 255").exit_code(), 255);
    let killed = Folder::new();
    let outcome = killed.run("kill -KILL $$");
    assert_eq!((outcome.exit_code(), outcome.status.signal()), (137, Some(9)));
    assert_eq!(killed.lines().last().unwrap().1["signal"], json!(9));
}

#[test]
fn what_cannot_be_run() {
    let folder = Folder::new();
    let error = folder.run_with(OsStr::new("no-such-program"), &[]).unwrap_err();
    assert_eq!(error.exit_code(), 127);
    assert!(error.to_string().contains("\"no-such-program\""), "{error}");
    let said = folder.lines().last().unwrap().1["not_started"].clone();
    assert!(said.as_str().unwrap().contains("no-such-program"), "the log has its end");

    let cases: [(&str, u32, u8, &str); 3] = [
        ("plain text", 0o644, 126, "permission"),
        ("\u{7f}ELF nonsense", 0o755, 126, "format"),
        ("#!/no/such/interpreter\n", 0o755, 127, "interpreter"),
    ];
    for (text, mode, code, word) in cases {
        let folder = Folder::new();
        let path = folder.at("train");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let error = folder.run_with(path.as_os_str(), &[]).unwrap_err();
        assert_eq!(error.exit_code(), code, "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    let _turn = turn();
    let nowhere = folder.at("nowhere");
    let program = OsStr::new("true");
    let directory = Some(nowhere.as_path());
    let run = Run { program, arguments: &[], directory, variables: &[], log: None };
    assert!(matches!(run.run(), Err(RunError::Directory { .. })));
}

#[test]
fn arguments_are_not_recorded_unless_asked_for() {
    let arguments = ["--api-key".into(), "S3CRET".into()];
    let said = describe(OsStr::new("/home/me/venv/bin/python3"), &arguments);
    assert_eq!(Value::Object(said), json!({"program": "python3", "arguments": 2}));
}

// Signals.

/// Not a test: what the tests below start. `WRAPPED` is a shell script; the exit code is the
/// training's, and the signals that were seen go into a file.
#[test]
#[ignore = "started by other tests"]
fn wrapper() {
    let Some(script) = std::env::var_os("WRAPPED") else { return };
    let folder = PathBuf::from(std::env::var_os("FOLDER").unwrap());
    let mut writer = Writer::create(&folder.join("training.log"), time()).unwrap();
    let log = Log { writer: &mut writer, record: Map::new(), temporary: &folder, clock: &time };
    let program = OsStr::new("sh");
    let arguments = ["-c".into(), script];
    let directory = Some(folder.as_path());
    let run = Run { program, arguments: &arguments, directory, variables: &[], log: Some(log) };
    let outcome = run.run().unwrap();
    // No child is left, not even as a zombie.
    let child = rustix::process::wait(rustix::process::WaitOptions::NOHANG);
    assert_eq!(child.unwrap_err(), rustix::io::Errno::CHILD);
    std::fs::write(folder.join("seen"), format!("{:?}", outcome.signals)).unwrap();
    if std::env::var_os("LINGER").is_some() {
        std::fs::write(folder.join("lingering"), "").unwrap();
        std::thread::sleep(Duration::from_secs(30));
    }
    std::process::exit(outcome.exit_code().into());
}

/// A training that writes down each signal it gets, says when it is ready, and ends with 3 when there is
/// a file `stop`, or when a failed test has taken the directory away.
const TRAINING: &str = r#"
    for signal in INT QUIT TERM HUP USR1 USR2; do trap "echo $signal >> got" $signal; done
    echo $$ > ready.tmp
    mv ready.tmp ready
    while [ -e ready ] && [ ! -e stop ]; do sleep 0.02; done
    exit 3"#;

struct Wrapped {
    folder: Folder,
    child: Child,
}

impl Wrapped {
    fn start(script: &str) -> Self {
        Self::start_by(script, |wrapper| wrapper)
    }

    fn start_by(script: &str, by: impl FnOnce(Command) -> Command) -> Self {
        let folder = Folder::new();
        // What runs the tests in the background may ignore signals, and what is ignored stays so.
        let mut command = Command::new("env");
        command.arg("--default-signal=HUP,INT,QUIT").arg(std::env::current_exe().unwrap());
        command.args(["wrapper", "--exact", "--ignored", "--nocapture", "--quiet"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        // A group of its own, as a shell would give it, so that the tests get no signals.
        command.process_group(0);
        let mut command = by(command);
        command.env("WRAPPED", script).env("FOLDER", folder.0.path());
        let child = command.spawn().unwrap();
        Self { folder, child }
    }

    fn ready(self) -> Self {
        self.wait_for("ready");
        self
    }

    fn wait_for(&self, name: &str) {
        let before = Instant::now();
        while !self.folder.at(name).exists() {
            assert!(before.elapsed() < Duration::from_secs(20), "no {name}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn training(&self) -> Pid {
        let pid = std::fs::read_to_string(self.folder.at("ready")).unwrap();
        Pid::from_raw(pid.trim().parse().unwrap()).unwrap()
    }

    fn send(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    /// The signals that the training has got.
    fn got(&self) -> String {
        let got = std::fs::read_to_string(self.folder.at("got")).unwrap_or_default();
        got.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn stop(&mut self) -> ExitStatus {
        std::fs::write(self.folder.at("stop"), "").unwrap();
        self.child.wait().unwrap()
    }

    fn seen(&self) -> String {
        std::fs::read_to_string(self.folder.at("seen")).unwrap()
    }
}

/// Long enough for a second signal to be written down, too.
fn settle() {
    std::thread::sleep(Duration::from_millis(200));
}

#[test]
fn a_signal_to_the_wrapper_reaches_the_training_once() {
    for (signal, name) in [
        (Signal::TERM, "TERM"),
        (Signal::HUP, "HUP"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
        (Signal::INT, "INT"),
        (Signal::QUIT, "QUIT"),
    ] {
        let mut wrapped = Wrapped::start(TRAINING).ready();
        wrapped.send(signal);
        wrapped.wait_for("got");
        settle();
        assert_eq!(wrapped.got(), name);
        // The training went on, and so did the wrapper; it ended in its own way.
        assert_eq!(wrapped.stop().code(), Some(3), "{name}");
        assert_eq!(wrapped.seen(), format!("[{}]", signal.as_raw()));
        assert_eq!(wrapped.folder.report().finished, Some(time()));
    }
}

#[test]
fn a_signal_for_which_the_training_is_not_ready_ends_it() {
    let mut wrapped = Wrapped::start("echo $$ > ready; sleep 30 & wait").ready();
    wrapped.send(Signal::TERM);
    let status = wrapped.child.wait().unwrap();
    assert_eq!(status.code(), Some(128 + 15));
    assert_eq!(wrapped.folder.lines().last().unwrap().1["signal"], json!(15));
}

#[test]
fn a_signal_that_the_training_sends_is_not_given_back() {
    let mut wrapped = Wrapped::start(
        &TRAINING.replace("while", "kill -USR1 $PPID; kill -TERM $PPID; touch sent\n while"),
    )
    .ready();
    wrapped.wait_for("sent");
    settle();
    assert_eq!(wrapped.got(), "");
    assert_eq!(wrapped.stop().code(), Some(3));
    let mut seen: Vec<_> =
        wrapped.seen().trim_matches(['[', ']']).split(", ").map(str::to_owned).collect();
    seen.sort();
    assert_eq!(seen, ["10", "15"]);
}

#[test]
fn many_signals_in_a_row() {
    let mut wrapped = Wrapped::start(TRAINING).ready();
    for n in 1..=5 {
        wrapped.send(Signal::USR1);
        let before = Instant::now();
        while wrapped.got().split(' ').filter(|s| !s.is_empty()).count() < n {
            assert!(before.elapsed() < Duration::from_secs(20), "{n}: {}", wrapped.got());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    settle();
    assert_eq!(wrapped.got(), "USR1 USR1 USR1 USR1 USR1");
    assert_eq!(wrapped.stop().code(), Some(3));
}

/// `nohup`, and what a shell starts in the background.
#[test]
fn what_was_ignored_stays_ignored() {
    let mut wrapped = Wrapped::start_by(TRAINING, |wrapper| {
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"trap "" HUP INT; exec "$@""#, "sh"]);
        // Without `env`, which would undo it.
        shell.args(wrapper.get_args().skip(1));
        shell.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        shell
    })
    .ready();
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", wrapped.training().as_raw_nonzero()))
            .unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
    assert_eq!(ignored & 0b11, 0b11, "SIGHUP and SIGINT: {status}");
    wrapped.send(Signal::HUP);
    wrapped.send(Signal::INT);
    settle();
    wrapped.send(Signal::TERM);
    wrapped.wait_for("got");
    settle();
    assert_eq!(wrapped.got(), "TERM");
    assert_eq!(wrapped.stop().code(), Some(3));
}

#[test]
fn afterwards_signals_have_their_usual_effect() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut wrapped = Wrapped::start_by("exit 0", |mut wrapper| {
            wrapper.env("LINGER", "1");
            wrapper
        });
        wrapped.wait_for("lingering");
        wrapped.send(signal);
        assert_eq!(wrapped.child.wait().unwrap().signal(), Some(signal.as_raw()));
    }
}

/// A terminal sends to all of its foreground, so the training has it already.
#[test]
fn ctrl_c_at_a_terminal_reaches_the_training_once() {
    use rustix::pty::OpenptFlags;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let Ok(terminal) = rustix::pty::openpt(flags) else { return };
    rustix::pty::grantpt(&terminal).unwrap();
    rustix::pty::unlockpt(&terminal).unwrap();
    let name = rustix::pty::ptsname(&terminal, Vec::new()).unwrap();
    let side = || {
        let path = Path::new(name.to_str().unwrap());
        std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap()
    };
    let mut wrapped = Wrapped::start_by(TRAINING, |wrapper| {
        let mut session = Command::new("setsid");
        session.args(["--ctty", "--wait"]).arg(wrapper.get_program()).args(wrapper.get_args());
        session.stdin(side()).stdout(side()).stderr(side());
        session
    })
    .ready();
    let mut terminal = std::fs::File::from(terminal);
    for (key, name) in [(b"\x03", "INT"), (b"\x1c", "QUIT")] {
        let _ = std::fs::remove_file(wrapped.folder.at("got"));
        terminal.write_all(key).unwrap();
        wrapped.wait_for("got");
        settle();
        assert_eq!(wrapped.got(), name);
    }
    assert_eq!(wrapped.stop().code(), Some(3));
    assert_eq!(wrapped.seen(), "[2, 3]", "the wrapper had them, too");
    // The training's output is the terminal's.
    drop(terminal.read(&mut [0; 1024]));
}

#[test]
fn one_training_at_a_time() {
    let _turn = turn();
    let folder = Folder::new();
    let busy = std::thread::scope(|scope| {
        let slow = scope.spawn(|| {
            let arguments =
                ["-c".into(), "touch ready; while [ ! -e stop ]; do sleep 0.02; done".into()];
            let program = OsStr::new("sh");
            let directory = Some(folder.0.path());
            Run { program, arguments: &arguments, directory, variables: &[], log: None }.run()
        });
        while !folder.at("ready").exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let program = OsStr::new("true");
        let second =
            Run { program, arguments: &[], directory: None, variables: &[], log: None }.run();
        std::fs::write(folder.at("stop"), "").unwrap();
        assert_eq!(slow.join().unwrap().unwrap().exit_code(), 0);
        second
    });
    assert!(matches!(busy, Err(RunError::Busy)));
}
