//! Running a program that may never end, or never stop talking.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

/// Bytes of what it says about failures.
const ERROR_BYTES: usize = 16 << 10;

/// What a program said.
pub(super) struct Said {
    /// Its exit code was 0.
    pub(super) success: bool,
    /// Standard output.
    pub(super) output: Vec<u8>,
    /// There was more of it than may be; the program was stopped.
    pub(super) cut: bool,
    /// Standard error; never repeated, only searched.
    pub(super) error: String,
}

/// Why it said nothing.
pub(super) enum Silent {
    /// It could not be started.
    NotStarted,
    /// It took too long, and was stopped.
    TooSlow,
}

/// Runs a program with only the given variables, no input, and a cap on its output and its time. It and
/// what it starts are a process group of their own, which is killed as one.
pub(super) fn run(
    program: &Path,
    arguments: &[&str],
    directory: Option<&Path>,
    variables: &BTreeMap<&str, &str>,
    cap: usize,
    patience: Duration,
) -> Result<Said, Silent> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(variables).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(directory) = directory {
        command.current_dir(directory);
    }
    let mut child = Group(command.spawn().map_err(|_| Silent::NotStarted)?);
    let deadline = Instant::now() + patience;
    let mut output = Vec::new();
    let mut error = Vec::new();
    let cut = listen(&mut child.0, &mut output, cap, &mut error, deadline)?;
    let success = !cut
        && loop {
            match child.0.try_wait() {
                Ok(Some(status)) => break status.success(),
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Ok(None) => return Err(Silent::TooSlow),
                Err(_) => break false,
            }
        };
    Ok(Said { success, output, cut, error: String::from_utf8_lossy(&error).into_owned() })
}

/// Reads both outputs until both end. Whether there was too much.
fn listen(
    child: &mut Child,
    output: &mut Vec<u8>,
    cap: usize,
    error: &mut Vec<u8>,
    deadline: Instant,
) -> Result<bool, Silent> {
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let mut buffer = [0; 16 << 10];
    while stdout.is_some() || stderr.is_some() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Silent::TooSlow);
        }
        let mut waiting = Vec::new();
        waiting.extend(stdout.as_ref().map(|s| PollFd::from_borrowed_fd(s.as_fd(), PollFlags::IN)));
        waiting.extend(stderr.as_ref().map(|s| PollFd::from_borrowed_fd(s.as_fd(), PollFlags::IN)));
        let left = Timespec::try_from(left).map_err(|_| Silent::TooSlow)?;
        match rustix::event::poll(&mut waiting, Some(&left)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return Err(Silent::TooSlow),
        }
        let mut ready = waiting.iter().map(|fd| !fd.revents().is_empty());
        let stdout_ready = stdout.is_some() && ready.next() == Some(true);
        let stderr_ready = stderr.is_some() && ready.next() == Some(true);
        drop(waiting);
        if stdout_ready && let Some(from) = &mut stdout {
            match from.read(&mut buffer) {
                Ok(0) | Err(_) => stdout = None,
                Ok(n) => output.extend(buffer.iter().take(n)),
            }
            if output.len() > cap {
                output.truncate(cap);
                return Ok(true);
            }
        }
        if stderr_ready && let Some(from) = &mut stderr {
            match from.read(&mut buffer) {
                Ok(0) | Err(_) => stderr = None,
                // The rest is read, so that the program is not held up, and forgotten.
                Ok(n) => error.extend(buffer.iter().take(n.min(ERROR_BYTES - error.len()))),
            }
        }
    }
    Ok(false)
}

/// A process and what it started, none of which stays behind.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = rustix::process::kill_process_group(
                rustix::process::Pid::from_child(&self.0),
                rustix::process::Signal::KILL,
            );
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}
