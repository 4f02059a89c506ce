//! The FIFO that a training writes to.

use std::fs::Permissions;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use serde_json::{Map, Value};
use tempfile::TempDir;

use super::Log;
use crate::json;
use crate::training_log::{Entry, Event, LogError, Unfit};

/// Bytes of one message, without its newline.
pub const MESSAGE_BYTES: usize = 64 << 10;
/// Refused messages that get a line each; the others are only counted.
pub const REFUSALS: u64 = 100;
/// The event that stands for a refused message.
const REFUSED: &str = "refused";

/// What came for a log.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Received {
    /// Messages that are in the log.
    pub accepted: u64,
    /// Messages that were none; of the first [`REFUSALS`] the log says why.
    pub refused: u64,
    /// Messages that could not be written.
    pub lost: u64,
    /// Why: nothing more is written after a failure. The training went on all the same.
    pub error: Option<LogError>,
}

/// A FIFO in a directory of its own, that only this user can reach.
pub(super) struct Channel {
    _folder: TempDir,
    path: PathBuf,
    fifo: OwnedFd,
    /// So that the FIFO does not end whenever the training closes it.
    _open: OwnedFd,
    stopped: OwnedFd,
}

/// Ends [`Channel::hear`] when it is dropped.
pub(super) struct Stop(#[allow(dead_code)] OwnedFd);

impl Channel {
    pub(super) fn open(temporary: &Path) -> io::Result<(Self, Stop)> {
        let folder = tempfile::Builder::new()
            .prefix("bulla-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(temporary)?;
        // Whatever the directory of the training is, the path is the same.
        let path = std::path::absolute(folder.path())?.join("log");
        rustix::fs::mkfifoat(CWD, &path, Mode::from_raw_mode(0o600))?;
        let open = |flags| {
            let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            rustix::fs::openat(CWD, &path, flags, Mode::empty())
        };
        let fifo = open(OFlags::RDONLY)?;
        let _open = open(OFlags::WRONLY)?;
        let (stopped, stop) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        Ok((Self { _folder: folder, path, fifo, _open, stopped }, Stop(stop)))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes down what comes, until [`Stop`] is dropped and what is in the FIFO then is read.
    pub(super) fn hear(self, log: &mut Log<'_>) -> Received {
        let mut hearing = Hearing { log, received: Received::default() };
        let mut lines = Lines::default();
        let mut buffer = vec![0; 64 << 10];
        // What processes in the background go on to write is not waited for.
        let mut left = None;
        loop {
            let mut ready = [
                PollFd::from_borrowed_fd(self.fifo.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(self.stopped.as_fd(), PollFlags::IN),
            ];
            if left.is_none() {
                match rustix::event::poll(&mut ready, None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(_) => break,
                }
                if ready.iter().skip(1).any(|fd| !fd.revents().is_empty()) {
                    left = Some(rustix::pipe::fcntl_getpipe_size(&self.fifo).unwrap_or(1 << 20));
                }
            }
            match rustix::io::read(&self.fifo, &mut buffer[..]) {
                Ok(0) => break,
                Ok(n) => {
                    let read = buffer.get(..n).unwrap_or_default();
                    lines.take(read, |line| hearing.message(line));
                    if let Some(left) = &mut left {
                        *left = left.saturating_sub(n);
                        if *left == 0 {
                            break;
                        }
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if left.is_none() => {}
                Err(_) => break,
            }
        }
        lines.end(|line| hearing.message(line));
        hearing.received
    }
}

/// Cuts what comes into lines.
#[derive(Default)]
struct Lines {
    begun: Vec<u8>,
    /// The line is too long; what is left of it is passed over.
    too_long: bool,
}

/// A line, or what was one before it grew too long.
type Line<'a> = Option<&'a [u8]>;

impl Lines {
    fn take(&mut self, bytes: &[u8], mut line: impl FnMut(Line<'_>)) {
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            let (piece, whole) = match piece.strip_suffix(b"\n") {
                Some(piece) => (piece, true),
                None => (piece, false),
            };
            if self.begun.len() + piece.len() > MESSAGE_BYTES {
                self.too_long = true;
                self.begun.clear();
            }
            if !self.too_long {
                self.begun.extend(piece);
            }
            if whole {
                line((!self.too_long).then_some(&*self.begun));
                self.begun.clear();
                self.too_long = false;
            }
        }
    }

    /// The last line, if it has no newline.
    fn end(&mut self, mut line: impl FnMut(Line<'_>)) {
        if self.too_long || !self.begun.is_empty() {
            line((!self.too_long).then_some(&*self.begun));
        }
    }
}

struct Hearing<'a, 'b> {
    log: &'a mut Log<'b>,
    received: Received,
}

impl Hearing<'_, '_> {
    fn message(&mut self, line: Line<'_>) {
        if line.is_some_and(|line| line.trim_ascii().is_empty()) {
            return;
        }
        let entry = line
            .ok_or_else(|| Unfit(format!("it is longer than {MESSAGE_BYTES} bytes")))
            .and_then(read_message);
        if self.received.error.is_some() {
            self.received.lost += 1;
            return;
        }
        let written = match entry {
            Ok(entry) => self.log.writer.append((self.log.clock)(), &entry).map(|_| true),
            Err(why) => Err(LogError::Unfit(why)),
        };
        let written = match written {
            Err(LogError::Unfit(why)) => self.refuse(&why).map(|()| false),
            other => other,
        };
        match written {
            Ok(true) => self.received.accepted += 1,
            Ok(false) => self.received.refused += 1,
            Err(e) => {
                self.received.lost += 1;
                self.received.error = Some(e);
            }
        }
    }

    /// Says that a message was refused, and why. The message itself is not repeated.
    fn refuse(&mut self, why: &Unfit) -> Result<(), LogError> {
        if self.received.refused >= REFUSALS {
            return Ok(());
        }
        let mut other = Map::new();
        other.insert("why".into(), why.to_string().into());
        let event = Entry::Event(Event::new(REFUSED, other)?);
        self.log.writer.append((self.log.clock)(), &event).map(|_| ())
    }
}

fn read_message(line: &[u8]) -> Result<Entry, Unfit> {
    let mut data: Map<String, Value> = json::read(line).map_err(|why| {
        let has = |word: &[u8]| line.windows(word.len()).any(|part| part == word);
        if has(b"NaN") || has(b"Infinity") {
            Unfit(format!(r#"{why}; JSON has no NaN and no Infinity: write "NaN" and "Infinity""#))
        } else {
            Unfit(why)
        }
    })?;
    let kind = match data.remove("kind") {
        Some(Value::String(kind)) => kind,
        Some(_) => return Err(Unfit("`kind` is not a string".into())),
        None => return Err(Unfit("it has no `kind`".into())),
    };
    if matches!(kind.as_str(), "start" | "end") {
        return Err(Unfit(format!("a training does not write its own {kind}")));
    }
    match Entry::from_data(&kind, data)? {
        Entry::Event(event) if event.name.as_str() == REFUSED => {
            Err(Unfit(format!("the event {REFUSED:?} is not for a training to write")))
        }
        entry => Ok(entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(pieces: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
        let mut found = Vec::new();
        let mut lines = Lines::default();
        for piece in pieces {
            lines.take(piece, |line| found.push(line.map(<[u8]>::to_vec)));
        }
        lines.end(|line| found.push(line.map(<[u8]>::to_vec)));
        found
    }

    #[test]
    fn a_line_that_grows_too_long_is_passed_over() {
        let long = vec![b'x'; MESSAGE_BYTES];
        assert_eq!(cut(&[&long, b"\nb"]), [Some(long.clone()), Some(b"b".to_vec())]);
        assert_eq!(cut(&[&long, b"x", &long, b"\nb\n"]), [None, Some(b"b".to_vec())]);
        assert_eq!(cut(&[&long, b"x"]), [None]);
        assert_eq!(cut(&[b""]), []);
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_they_come(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            at in any::<prop::sample::Index>(),
        ) {
            let at = at.index(bytes.len() + 1);
            prop_assert_eq!(cut(&[&bytes[..at], &bytes[at..]]), cut(&[&bytes]));
        }

        #[test]
        fn no_message_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read_message(&bytes).is_err());
        }
    }
}
