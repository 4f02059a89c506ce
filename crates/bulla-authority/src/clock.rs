//! What time it is. Whatever decides takes the time as an argument; only the edges ask a clock.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bulla::{Access, Existing, Fault};
use jiff::{Timestamp, Unit};

/// Where the time comes from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Whole seconds: certificates, timestamps and integrated times have no fractions.
pub(crate) fn whole_seconds(time: Timestamp) -> Timestamp {
    let mode = jiff::TimestampRound::new().smallest(Unit::Second).mode(jiff::RoundMode::Floor);
    time.round(mode).unwrap_or(time)
}

/// The clock stands before something that was already issued.
#[derive(Debug, thiserror::Error)]
#[error("the clock says {now}, but something was issued at {last} already")]
pub struct ClockWentBack {
    /// The time now.
    pub now: Timestamp,
    /// When something was last issued.
    pub last: Timestamp,
}

/// The time of the last thing that was issued, kept over restarts: an authority whose clock was set back would
/// sign that things were there before they were.
#[derive(Debug)]
pub(crate) struct LastIssued {
    path: PathBuf,
    state: Mutex<Timestamp>,
}

/// Clocks are corrected by this much without anybody having done wrong.
const TOLERANCE: jiff::SignedDuration = jiff::SignedDuration::from_secs(2);

impl LastIssued {
    /// Reads it. What is not there was never issued.
    pub(crate) fn open(path: &Path) -> Result<Self, Fault> {
        let last = match std::fs::read_to_string(path) {
            Ok(text) => text.trim().parse().map_err(|_| {
                Fault::io("read", path, std::io::Error::other("it is not a point in time"))
            })?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Timestamp::UNIX_EPOCH,
            Err(e) => return Err(Fault::io("read", path, e)),
        };
        Ok(Self { path: path.to_owned(), state: Mutex::new(last) })
    }

    /// Checks the clock without issuing anything.
    pub(crate) fn check(&self, now: Timestamp) -> Result<(), ClockWentBack> {
        let last = *self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if now + TOLERANCE < last { Err(ClockWentBack { now, last }) } else { Ok(()) }
    }

    /// To be called before something is issued at `now`; what it says is kept, once a second.
    pub(crate) fn issuing(&self, now: Timestamp) -> Result<(), IssueError> {
        self.check(now)?;
        let now = whole_seconds(now);
        let mut last = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if now > *last {
            bulla::store(
                &self.path,
                now.to_string().as_bytes(),
                Access::Private,
                Existing::Replace,
            )?;
            *last = now;
        }
        Ok(())
    }
}

/// Why nothing may be issued now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssueError {
    #[error(transparent)]
    Clock(#[from] ClockWentBack),
    #[error(transparent)]
    Fault(#[from] Fault),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_clock_that_went_back_is_refused_even_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last-issued");
        let last = LastIssued::open(&path).unwrap();
        last.issuing(at("2026-11-20T12:00:00.7Z")).unwrap();
        last.check(at("2026-11-20T11:59:59Z")).unwrap();
        let again = LastIssued::open(&path).unwrap();
        let refused = again.issuing(at("2026-11-20T11:59:00Z")).unwrap_err();
        assert!(refused.to_string().contains("2026-11-20T12:00:00Z"), "{refused}");
        again.issuing(at("2026-11-20T12:00:01Z")).unwrap();
    }
}
