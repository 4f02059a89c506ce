//! Reading a log from its first line to its last.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::chain::{Chain, Ended, Head, Line, read_line};
use super::entry::{Checkpoint, Entry, Metric, number};
use super::error::{LogError, Problem};

/// Metrics of different names that a report has.
pub const METRIC_NAMES: usize = 1000;

/// What a whole log says.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// What stands for all of it.
    pub head: Head,
    /// Bytes, newlines counted.
    pub bytes: u64,
    /// When it was begun.
    pub started: Timestamp,
    /// The header's random part, which makes two logs differ in every line.
    pub nonce: String,
    /// The time of the last line.
    pub last: Timestamp,
    /// The time of the last line if that is the end of a run; else the run was not seen to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
    /// Lines of each kind.
    pub counts: Counts,
    /// The last value of each metric, by name.
    pub metrics: BTreeMap<String, MetricSummary>,
    /// Lines with metrics that are not among `metrics`: there are more than [`METRIC_NAMES`].
    pub metrics_left_out: u64,
    /// The last checkpoint's name and digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_checkpoint: Option<CheckpointSummary>,
    /// Lines that are older than the line before. Clocks are set, so it is no error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_went_back: Option<Backwards>,
}

/// Lines of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Beginnings of a run.
    pub starts: u64,
    /// Measurements.
    pub metrics: u64,
    /// Saved states.
    pub checkpoints: u64,
    /// Events.
    pub events: u64,
    /// Ends of a run.
    pub ends: u64,
}

/// A metric's last value.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MetricSummary {
    /// The value; in JSON one that is not finite is a string.
    #[serde(serialize_with = "as_number")]
    pub value: f64,
    /// The step that it is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// When it was written.
    pub time: Timestamp,
    /// How many values the metric has.
    pub count: u64,
}

/// The last saved state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CheckpointSummary {
    /// Its name.
    pub name: String,
    /// Its digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The step that it is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// When it was written.
    pub time: Timestamp,
}

/// How often the time went backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Backwards {
    /// How often.
    pub times: u64,
    /// The first line that is older than the one before, counted from 1.
    pub first_line: u64,
}

fn as_number<S: Serializer>(value: &f64, s: S) -> Result<S::Ok, S::Error> {
    number(*value).serialize(s)
}

/// Checks every line of a log, and that it is the one that a head stands for.
///
/// It reads once and holds one line; what it costs is bounded by [`LINES`](super::LINES) and
/// [`LINE_BYTES`](super::LINE_BYTES).
///
/// # Errors
/// The first line that is wrong, or that the head is another's.
pub fn verify(log: impl BufRead, expected: Option<&Head>) -> Result<Report, LogError> {
    let scanned = scan(log, expected, Path::new("the log"))?;
    if let Some(bytes) = scanned.unfinished {
        let line = scanned.report.map_or(1, |report| report.head.lines + 1);
        return Err(LogError::Broken { line, problem: Problem::Unfinished { bytes } });
    }
    let report = scanned.report.ok_or(LogError::Broken { line: 1, problem: Problem::Empty })?;
    match expected {
        Some(expected) if *expected != report.head => Err(LogError::NotTheHead {
            found: report.head,
            expected: *expected,
            begins_with_expected: scanned.begins_with_expected,
        }),
        _ => Ok(report),
    }
}

/// The whole lines of a log, and what comes after them.
pub(super) struct Scanned {
    /// Nothing, if there is no whole line.
    pub(super) report: Option<Report>,
    /// Bytes of a last line without a newline.
    pub(super) unfinished: Option<u64>,
    begins_with_expected: bool,
}

pub(super) fn scan(
    mut log: impl BufRead,
    expected: Option<&Head>,
    path: &Path,
) -> Result<Scanned, LogError> {
    let mut chain = Chain::EMPTY;
    let mut scanned = Scanned { report: None, unfinished: None, begins_with_expected: false };
    let mut line = Vec::new();
    loop {
        let broken = |problem| LogError::Broken { line: chain.lines + 1, problem };
        match read_line(&mut log, &mut line).map_err(|e| LogError::io("read", path, e))? {
            Ended::Nothing => return Ok(scanned),
            Ended::TooLong => return Err(broken(Problem::TooLong)),
            Ended::Unfinished => {
                scanned.unfinished = Some(line.len() as u64);
                return Ok(scanned);
            }
            Ended::Whole => {}
        }
        let mut next = chain;
        let taken = next.take(&line).map_err(broken)?;
        chain = next;
        let bytes = line.len() as u64 + 1;
        match (taken, &mut scanned.report) {
            (Line::Header { started, nonce }, report) => {
                *report = Some(Report::new(chain.head(), bytes, started, nonce));
            }
            (Line::Entry { time, entry }, Some(report)) => {
                report.add(chain.head(), bytes, time, entry);
            }
            (Line::Entry { .. }, None) => {} // the first line is a header
        }
        scanned.begins_with_expected |= expected == Some(&chain.head());
    }
}

impl Report {
    fn new(head: Head, bytes: u64, started: Timestamp, nonce: String) -> Self {
        Self {
            head,
            bytes,
            started,
            nonce,
            last: started,
            finished: None,
            counts: Counts::default(),
            metrics: BTreeMap::new(),
            metrics_left_out: 0,
            last_checkpoint: None,
            clock_went_back: None,
        }
    }

    fn add(&mut self, head: Head, bytes: u64, time: Timestamp, entry: Entry) {
        self.head = head;
        self.bytes += bytes;
        if time < self.last {
            let seen = Backwards { times: 0, first_line: head.lines };
            self.clock_went_back.get_or_insert(seen).times += 1;
        }
        self.last = time;
        self.finished = matches!(entry, Entry::End(_)).then_some(time);
        match entry {
            Entry::Start(_) => self.counts.starts += 1,
            Entry::End(_) => self.counts.ends += 1,
            Entry::Event(_) => self.counts.events += 1,
            Entry::Checkpoint(Checkpoint { name, digest, step, .. }) => {
                self.counts.checkpoints += 1;
                let name = name.as_str().to_owned();
                self.last_checkpoint = Some(CheckpointSummary { name, digest, step, time });
            }
            Entry::Metric(Metric { name, value, step, .. }) => {
                self.counts.metrics += 1;
                if let Some(metric) = self.metrics.get_mut(name.as_str()) {
                    *metric = MetricSummary { value, step, time, count: metric.count + 1 };
                } else if self.metrics.len() < METRIC_NAMES {
                    let metric = MetricSummary { value, step, time, count: 1 };
                    self.metrics.insert(name.as_str().to_owned(), metric);
                } else {
                    self.metrics_left_out += 1;
                }
            }
        }
    }
}
