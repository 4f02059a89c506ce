//! Alerts: who is told what happened, and how. Each is tried until it was delivered; one may come twice, and none is lost.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use bulla::Fault;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::registry::Opened;

/// One delivery takes no longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most that wait, and are tried at one go.
const AT_ONCE: u32 = 1000;
/// The longest until it is tried again: some hours.
const DOUBLINGS: u32 = 9;
/// Bytes of a secret.
const SECRET_BYTES: u64 = 4 << 10;
/// The header with HMAC-SHA256 of the body, as `sha256=HEX`.
const SIGNATURE: &str = "x-bulla-signature";
/// The header with the alert's number: what comes twice has the same.
const NUMBER: &str = "x-bulla-alert";

/// Somebody who is told: by exactly one of `url`, `file` and `command`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Destination {
    /// What it is called in the registry.
    pub(crate) name: String,
    /// An HTTP POST, with the alert as its body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// The file with the secret by which the body is authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<PathBuf>,
    /// A file that gets a line more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    /// A program, with the alert on its standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<Vec<String>>,
}

/// What became of those that were due.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Delivered {
    pub(crate) delivered: usize,
    /// In words, those that were not.
    pub(crate) failed: Vec<String>,
    /// How many were not tried, for time was up.
    pub(crate) waiting: usize,
}

/// Delivers those that are due, what was never tried first; none is begun after so long.
pub(crate) fn deliver(
    opened: &Opened,
    within: Option<Duration>,
    now: Timestamp,
) -> Result<Delivered, Fault> {
    let begun = Instant::now();
    let mut told = Delivered::default();
    let mut due = opened.registry.due_alerts(AT_ONCE, now)?;
    due.sort_by_key(|alert| alert.attempts);
    for alert in due {
        if within.is_some_and(|within| begun.elapsed() > within) {
            told.waiting += 1;
            continue;
        }
        let destination = opened.config.alerts.iter().find(|one| one.name == alert.destination);
        let outcome = match destination {
            Some(destination) => destination.send(alert.id, &alert.payload, &opened.folder),
            None => Err("there is no such destination in the registry's file".to_owned()),
        };
        let outcome = outcome.map_err(|why| {
            told.failed.push(format!("{}: {why}", alert.destination));
            (why, Some(again(now, alert.attempts)))
        });
        told.delivered += usize::from(outcome.is_ok());
        opened.registry.alert_tried(alert.id, outcome, Timestamp::now())?;
    }
    Ok(told)
}

/// When it is tried again: after a minute, and then after twice as long each time.
fn again(now: Timestamp, attempts: u64) -> Timestamp {
    let doublings = u32::try_from(attempts).unwrap_or(DOUBLINGS).min(DOUBLINGS);
    now.saturating_add(SignedDuration::from_mins(1 << doublings)).unwrap_or(Timestamp::MAX)
}

impl Destination {
    fn send(&self, number: u64, payload: &str, folder: &Path) -> Result<(), String> {
        match (&self.url, &self.file, &self.command) {
            (Some(url), None, None) => self.post(url, number, payload, folder),
            (None, Some(file), None) => {
                append(&folder.join(file), payload).map_err(|e| e.to_string())
            }
            (None, None, Some(command)) => run(command, number, payload, folder),
            _ => Err("it has to have one of url, file and command".to_owned()),
        }
    }

    fn post(&self, url: &str, number: u64, payload: &str, folder: &Path) -> Result<(), String> {
        let client = crate::web::client().map_err(|e| e.to_string())?;
        let mut request = client
            .post(url)
            .header("content-type", "application/json")
            .header(NUMBER, number.to_string())
            .timeout(PATIENCE)
            .body(payload.to_owned());
        if let Some(secret) = &self.secret {
            let secret = crate::files::read_secret(&folder.join(secret), SECRET_BYTES)
                .map_err(|e| e.to_string())?;
            let secret = secret.trim_ascii();
            if secret.is_empty() {
                return Err("its secret is empty".to_owned());
            }
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            let tag = hmac::sign(&key, payload.as_bytes());
            request = request.header(SIGNATURE, format!("sha256={}", hex::encode(tag.as_ref())));
        }
        let answer = request.send().map_err(|e| crate::web::words(&e))?;
        match answer.status().is_success() {
            true => Ok(()),
            // Not by which URL: there may be a secret in it, and this is written down.
            false => Err(format!("it answered {}", answer.status())),
        }
    }
}

/// A line more, on the disk before it is said.
fn append(file: &Path, payload: &str) -> io::Result<()> {
    // A FIFO that nobody reads would hold everybody up.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut file = OpenOptions::new().append(true).create(true).custom_flags(flags).open(file)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    file.write_all(format!("{}\n", payload.trim_end()).as_bytes())?;
    file.sync_data()
}

/// A program; one that hangs is ended.
fn run(command: &[String], number: u64, payload: &str, folder: &Path) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else {
        return Err("its command is empty".to_owned());
    };
    let words = |e: io::Error| format!("{program}: {e}");
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("BULLA_ALERT", number.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(words)?;
    let payload = payload.to_owned();
    let input = child.stdin.take();
    // One that does not read must not hold us up.
    let writer = std::thread::spawn(move || {
        input.map_or(Ok(()), |mut input| input.write_all(payload.as_bytes()))
    });
    let begun = Instant::now();
    let status = loop {
        match child.try_wait().map_err(words)? {
            Some(status) => break status,
            None if begun.elapsed() > PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{program} took too long"));
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    // It may have read no more than it wanted.
    let _ = writer.join();
    if status.success() { Ok(()) } else { Err(format!("{program} ended with {status}")) }
}
