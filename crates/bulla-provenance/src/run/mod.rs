//! Runs a training in the foreground, as a shell would, and writes down what it says.
//!
//! ```text
//!   terminal ─ stdin, stdout, stderr, Ctrl-C ─► the training ─ JSON lines ─► FIFO ─► training log
//!   kill     ─ signals ─► this process ─ passes them on ──┘ BULLA_TRAINING_LOG
//! ```
//!
//! The training has this process's input, output, terminal and process group; that it is wrapped
//! shows nowhere but in the variable `BULLA_TRAINING_LOG`, which has the path of a FIFO. Whatever is
//! written there, one JSON object a line, is checked and goes into the log with the time at which
//! it came:
//!
//! ```text
//!   {"kind":"metric","name":"loss","value":0.5,"step":100}
//!   {"kind":"checkpoint","name":"out/step-100.safetensors","digest":"sha256:…"}
//!   {"kind":"event","name":"learning-rate-dropped","to":0.0001}
//! ```
//!
//! Any language can do that: `open(os.environ["BULLA_TRAINING_LOG"], "a").write(line + "\n")`. Lines
//! of up to 4096 bytes that are written at once stay whole when several processes write.
//!
//! **Signals.** While a training runs, this process survives SIGINT, SIGQUIT, SIGTERM, SIGHUP,
//! SIGUSR1 and SIGUSR2, and passes on those that another process sent to it. It passes on none that
//! come from the terminal, which sends them to the training as well, and none that the training itself
//! sent. Whoever signals the whole process group reaches the training twice. What was ignored
//! (`nohup`) stays ignored. Afterwards the signals have their usual effect again. The handling
//! belongs to the whole process, so one training runs at a time, and a program that installs handlers of
//! its own for these signals should do so afterwards.

mod channel;
mod signals;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread::Builder;
use std::time::{Duration, Instant};

use bulla::text::{Quoted, io_words};
use jiff::Timestamp;
use rustix::process::{Pid, WaitId, WaitIdOptions};
use serde_json::{Map, Value};
use wait4::Wait4 as _;

use crate::training_log::{Entry, LogError, Writer};
use channel::{Channel, Stop};
pub use channel::{MESSAGE_BYTES, REFUSALS, Received};
use signals::{Relay, Signals};

/// The variable that has the path of the FIFO.
pub const VARIABLE: &str = "BULLA_TRAINING_LOG";

/// A command to run.
#[derive(Debug)]
pub struct Run<'a> {
    /// The program: a path, or a name that is looked for in `PATH`.
    pub program: &'a OsStr,
    /// Its arguments.
    pub arguments: &'a [OsString],
    /// Where it runs, if not here.
    pub directory: Option<&'a Path>,
    /// Variables besides those that it inherits.
    pub variables: &'a [(OsString, OsString)],
    /// The log that it can write to.
    pub log: Option<Log<'a>>,
}

/// A log that a training writes to.
pub struct Log<'a> {
    /// The log.
    pub writer: &'a mut Writer,
    /// What the line about the start says: [`describe`], or more. Arguments can hold secrets, and a
    /// log is signed and published.
    pub record: Map<String, Value>,
    /// A directory for the FIFO's own, private one: `std::env::temp_dir()`.
    pub temporary: &'a Path,
    /// The time, asked once a line.
    pub clock: &'a (dyn Fn() -> Timestamp + Sync),
}

impl std::fmt::Debug for Log<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("writer", &self.writer).finish_non_exhaustive()
    }
}

/// How a training ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// How it ended.
    pub status: ExitStatus,
    /// How long it took.
    pub wall: Duration,
    /// How long processors worked for it and for those of its children that it waited for.
    pub user: Duration,
    /// How long the kernel worked for it, likewise.
    pub system: Duration,
    /// Bytes of memory that the largest of these processes had at once. On Linux no less than this
    /// process had when it started the training.
    pub peak_memory_bytes: u64,
    /// Signals that came meanwhile, whether they were passed on or not. A training that ends in
    /// good order after SIGINT or SIGTERM was stopped nevertheless.
    pub signals: Vec<i32>,
    /// What came for the log, if there is one.
    pub received: Option<Received>,
}

impl Outcome {
    /// What a shell would end with: the exit code, or 128 and the signal.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let code = self.status.code().or_else(|| Some(128 + self.status.signal()?));
        code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
    }
}

/// Why a training was not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// There is no such program, or not the one that its first line names.
    #[error("cannot run {}: it is not there{}", Quoted(&program.to_string_lossy()), interpreter(program))]
    NotFound {
        /// The program.
        program: PathBuf,
    },
    /// It is there, and cannot be run.
    #[error("cannot run {}: {}", Quoted(&program.to_string_lossy()), io_words(source))]
    NotExecutable {
        /// The program.
        program: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The directory to run it in.
    #[error("cannot run in {}: it is no directory", Quoted(&directory.to_string_lossy()))]
    Directory {
        /// The directory.
        directory: PathBuf,
    },
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Another training runs in this process.
    #[error("another training is running in this process")]
    Busy,
    /// The system failed.
    #[error("cannot {doing}: {}", io_words(source))]
    System {
        /// What was tried.
        doing: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

impl RunError {
    /// What a shell would end with: 127 for a program that is not there, 126 for one that cannot be run,
    /// 125 for everything before that.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound { .. } => 127,
            Self::NotExecutable { .. } => 126,
            _ => 125,
        }
    }
}

fn interpreter(program: &Path) -> &'static str {
    let there = program.components().count() > 1 && program.exists();
    if there { ", or the interpreter that its first line names is not" } else { "" }
}

/// What may be said of every command: the program's name and how many arguments it has.
#[must_use]
pub fn describe(program: &OsStr, arguments: &[OsString]) -> Map<String, Value> {
    let name = Path::new(program).file_name().unwrap_or(program).to_string_lossy();
    let mut said = Map::new();
    said.insert("program".into(), name.into());
    said.insert("arguments".into(), arguments.len().into());
    said
}

impl Run<'_> {
    /// Runs the command and waits until it has ended. What it leaves behind in the background is not
    /// waited for, nor heard any longer.
    ///
    /// # Errors
    /// [`RunError`], if it did not start. Everything that happens later is in the [`Outcome`].
    pub fn run(self) -> Result<Outcome, RunError> {
        if let Some(directory) = self.directory.filter(|directory| !directory.is_dir()) {
            return Err(RunError::Directory { directory: directory.into() });
        }
        let mut command = Command::new(self.program);
        command.args(self.arguments).envs(self.variables.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = self.directory {
            command.current_dir(directory);
        }
        let mut log = self.log;
        let channel = log.as_ref().map(|log| Channel::open(log.temporary)).transpose();
        let (channel, stop) = channel.map_err(failed("make a FIFO for the log"))?.unzip();
        // From here on no signal ends this process, so that none ends it without the training.
        let mut signals = Signals::hold()?;
        if let (Some(log), Some(channel)) = (&mut log, &channel) {
            command.env(VARIABLE, channel.path());
            log.writer.append((log.clock)(), &Entry::Start(std::mem::take(&mut log.record)))?;
        }
        let relay = Relay::default();
        let closing = signals.closing();
        std::thread::scope(|scope| {
            let _closing = closing; // or the scope would wait for ever
            Builder::new()
                .name("signals".into())
                .spawn_scoped(scope, || signals.pass_on(&relay))
                .map_err(failed("start a thread"))?;
            let outcome = match (&mut log, channel) {
                (Some(log), Some(channel)) => {
                    heard(log, channel, stop, || wait(self.program, &mut command, &relay))
                }
                _ => wait(self.program, &mut command, &relay),
            };
            let written = log.map_or(Ok(()), |log| finish(log, &outcome));
            let mut outcome = outcome?;
            outcome.signals = relay.seen();
            if let (Some(received), Err(e)) = (&mut outcome.received, written) {
                received.error.get_or_insert(e);
            }
            Ok(outcome)
        })
    }
}

/// Does something, and writes into the log what comes meanwhile.
fn heard(
    log: &mut Log<'_>,
    channel: Channel,
    stop: Option<Stop>,
    during: impl FnOnce() -> Result<Outcome, RunError>,
) -> Result<Outcome, RunError> {
    std::thread::scope(|scope| {
        let stop = stop; // dropped whatever happens, or the scope would wait for ever
        let hearing = Builder::new()
            .name("training-log".into())
            .spawn_scoped(scope, || channel.hear(log))
            .map_err(failed("start a thread"))?;
        let mut outcome = during()?;
        drop(stop);
        // The thread has no way to panic.
        outcome.received = Some(hearing.join().unwrap_or_default());
        Ok(outcome)
    })
}

/// Writes the last line of a run.
fn finish(log: Log<'_>, outcome: &Result<Outcome, RunError>) -> Result<(), LogError> {
    let said = match outcome {
        Ok(outcome) => ended(outcome),
        Err(e) => Map::from_iter([("not_started".to_owned(), e.to_string().into())]),
    };
    log.writer.append((log.clock)(), &Entry::End(said))?;
    log.writer.sync()
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> RunError {
    move |source| RunError::System { doing, source }
}

/// Starts the command, and waits until it has ended.
fn wait(program: &OsStr, command: &mut Command, relay: &Relay) -> Result<Outcome, RunError> {
    let begun = Instant::now();
    let mut child = command.spawn().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => RunError::NotFound { program: program.into() },
        _ => RunError::NotExecutable { program: program.into(), source },
    })?;
    let pid = Pid::from_child(&child);
    relay.started(pid);
    // It is left as a zombie until no signal can be on its way to it: its number could be another's
    // by then.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let seen = rustix::io::retry_on_intr(|| rustix::process::waitid(WaitId::Pid(pid), options));
    relay.ended();
    let used = child.wait4();
    let used = seen.map_err(io::Error::from).and(used).map_err(failed("wait for the training"))?;
    Ok(Outcome {
        status: used.status,
        wall: begun.elapsed(),
        user: used.rusage.utime,
        system: used.rusage.stime,
        peak_memory_bytes: used.rusage.maxrss,
        signals: relay.seen(),
        received: None,
    })
}

/// What the log's last line says.
fn ended(outcome: &Outcome) -> Map<String, Value> {
    let mut said = Map::new();
    let mut say = |name: &str, value: Value| said.insert(name.into(), value);
    if let Some(code) = outcome.status.code() {
        say("exit_code", code.into());
    }
    if let Some(signal) = outcome.status.signal() {
        say("signal", signal.into());
    }
    say("wall_seconds", outcome.wall.as_secs_f64().into());
    say("user_seconds", outcome.user.as_secs_f64().into());
    say("system_seconds", outcome.system.as_secs_f64().into());
    say("peak_memory_bytes", outcome.peak_memory_bytes.into());
    if let Some(received) = &outcome.received {
        say("accepted", received.accepted.into());
        say("refused", received.refused.into());
    }
    said
}
