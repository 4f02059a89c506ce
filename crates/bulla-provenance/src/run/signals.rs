//! Signals while a training runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::process::{Pid, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::iterator::exfiltrator::origin::Origin;
use signal_hook::iterator::{Handle, SignalsInfo};
use signal_hook::low_level::siginfo::Cause;

use super::{RunError, failed};

const HELD: [(i32, Signal); 6] = [
    (SIGINT, Signal::INT),
    (SIGQUIT, Signal::QUIT),
    (SIGTERM, Signal::TERM),
    (SIGHUP, Signal::HUP),
    (SIGUSR1, Signal::USR1),
    (SIGUSR2, Signal::USR2),
];

/// Whether a training runs in this process.
static RUNNING: AtomicBool = AtomicBool::new(false);
/// That none does, for the handlers, which cannot be taken back: they do what was done before.
static IDLE: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// The right to run a training, with its signals held back from this process.
pub(super) struct Signals {
    info: SignalsInfo<WithOrigin>,
    idle: Arc<AtomicBool>,
}

/// Ends [`Signals::pass_on`] when it is dropped.
pub(super) struct Closing(Handle);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Makes room for the next training when it is dropped.
struct Turn;

impl Drop for Turn {
    fn drop(&mut self) {
        RUNNING.store(false, Ordering::SeqCst);
    }
}

impl Signals {
    pub(super) fn hold() -> Result<Self, RunError> {
        if RUNNING.swap(true, Ordering::SeqCst) {
            return Err(RunError::Busy);
        }
        let turn = Turn;
        let now = Dispositions::read();
        // What is ignored stays so, here and in the training: `nohup` asked for it.
        let held = HELD.iter().map(|(number, _)| *number).filter(|number| !now.ignored(*number));
        let held: Vec<i32> = held.collect();
        let mut first = false;
        let idle = IDLE.get_or_init(|| {
            first = true;
            Arc::new(AtomicBool::new(false))
        });
        let idle = Arc::clone(idle);
        idle.store(false, Ordering::SeqCst);
        let info = SignalsInfo::with_exfiltrator(&held, WithOrigin::default())
            .map_err(failed("hold signals"))?;
        if first {
            // Somebody else's handler is called in any case; only where there was none is there
            // something to restore.
            for number in held.iter().filter(|number| !now.caught(**number)) {
                signal_hook::flag::register_conditional_default(*number, Arc::clone(&idle))
                    .map_err(failed("hold signals"))?;
            }
        }
        std::mem::forget(turn); // from here on it is ours to end
        Ok(Self { info, idle })
    }

    pub(super) fn closing(&self) -> Closing {
        Closing(self.info.handle())
    }

    /// Passes signals on until [`Closing`] is dropped.
    pub(super) fn pass_on(&mut self, relay: &Relay) {
        for origin in self.info.forever() {
            relay.take(&origin);
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.idle.store(true, Ordering::SeqCst);
        drop(Turn);
    }
}

/// What this process does with each signal, as far as the system tells.
struct Dispositions {
    ignored: u64,
    caught: u64,
}

impl Dispositions {
    fn read() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
        };
        Self { ignored: mask("SigIgn:"), caught: mask("SigCgt:") }
    }

    fn ignored(&self, signal: i32) -> bool {
        has(self.ignored, signal)
    }

    fn caught(&self, signal: i32) -> bool {
        has(self.caught, signal)
    }
}

fn has(mask: u64, signal: i32) -> bool {
    u32::try_from(signal - 1).is_ok_and(|bit| mask.checked_shr(bit).unwrap_or_default() & 1 == 1)
}

/// Who gets a signal that comes.
#[derive(Default)]
pub(super) struct Relay {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    training: Training,
    seen: Vec<i32>,
}

#[derive(Default)]
enum Training {
    /// What has come for it waits.
    #[default]
    NotYet,
    Waiting(Vec<Signal>),
    Running(Pid),
    Ended,
}

impl Relay {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, origin: &Origin) {
        let sender = origin.process.map(|process| process.pid);
        self.decide(origin.signal, origin.cause, sender);
    }

    fn decide(&self, number: i32, cause: Cause, sender: Option<i32>) {
        let Some((_, signal)) = HELD.iter().find(|(held, _)| *held == number) else { return };
        let mut state = self.state();
        if !state.seen.contains(&number) {
            state.seen.push(number);
        }
        let from_terminal = match cause {
            Cause::Kernel => true,
            // A system that does not tell: these two come from terminals, as a rule.
            Cause::Unknown => matches!(number, SIGINT | SIGQUIT),
            _ => false,
        };
        if from_terminal {
            return;
        }
        match &mut state.training {
            Training::NotYet => state.training = Training::Waiting(vec![*signal]),
            Training::Waiting(waiting) => waiting.push(*signal),
            Training::Running(pid) => {
                if sender != Some(pid.as_raw_nonzero().get()) {
                    let _ = rustix::process::kill_process(*pid, *signal);
                }
            }
            Training::Ended => {}
        }
    }

    pub(super) fn started(&self, pid: Pid) {
        let mut state = self.state();
        if let Training::Waiting(waiting) = &state.training {
            for signal in waiting {
                let _ = rustix::process::kill_process(pid, *signal);
            }
        }
        state.training = Training::Running(pid);
    }

    pub(super) fn ended(&self) {
        self.state().training = Training::Ended;
    }

    /// All signals that have come, each once.
    pub(super) fn seen(&self) -> Vec<i32> {
        self.state().seen.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signal_hook::low_level::siginfo::Sent;
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    use std::process::{Child, Command};

    /// A process that every signal ends, in a group of its own.
    fn sleeper() -> Child {
        Command::new("sleep").arg("1000").process_group(0).spawn().unwrap()
    }

    fn ended_by(mut child: Child) -> Option<i32> {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let early = child.try_wait().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        early.and_then(|status| status.signal())
    }

    #[test]
    fn what_comes_before_it_is_started_waits() {
        let relay = Relay::default();
        relay.decide(SIGTERM, Cause::Sent(Sent::User), Some(1));
        let child = sleeper();
        relay.started(Pid::from_child(&child));
        assert_eq!(ended_by(child), Some(SIGTERM));
        assert_eq!(relay.seen(), [SIGTERM]);
    }

    #[test]
    fn what_a_terminal_or_the_training_sends_is_not_passed_on() {
        let relay = Relay::default();
        let child = sleeper();
        relay.started(Pid::from_child(&child));
        let own = i32::try_from(child.id()).unwrap();
        relay.decide(SIGINT, Cause::Kernel, None);
        relay.decide(SIGHUP, Cause::Kernel, None);
        relay.decide(SIGINT, Cause::Unknown, None);
        relay.decide(SIGUSR1, Cause::Sent(Sent::User), Some(own));
        assert_eq!(ended_by(child), None);
        assert_eq!(relay.seen(), [SIGINT, SIGHUP, SIGUSR1]);
    }

    #[test]
    fn nothing_is_sent_to_a_number_that_may_be_another_s() {
        let relay = Relay::default();
        let child = sleeper();
        relay.started(Pid::from_child(&child));
        relay.ended();
        relay.decide(SIGTERM, Cause::Sent(Sent::User), Some(1));
        assert_eq!(ended_by(child), None);
    }

    #[test]
    fn masks() {
        assert!(has(1, 1) && has(1 << 14, SIGTERM) && !has(1 << 14, SIGINT));
        assert!(!has(u64::MAX, 0) && !has(u64::MAX, 65) && !has(u64::MAX, -1));
    }
}
