//! What happened during training, in a file that is only appended to.
//!
//! ```text
//!   {"bulla":"training-log","version":1,"seq":0,"started":"2026-11-20T12:00:00Z","nonce":"5a…"}
//!   {"seq":1,"time":"…","previous":"<SHA-256 of line 0>","kind":"start","data":{…}}
//!   {"seq":2,"time":"…","previous":"<SHA-256 of line 1>","kind":"metric","data":{"name":"loss","value":0.5,"step":1}}
//!                                                                              ▲ Head {lines: 3, sha256}
//! ```
//!
//! One JSON object a line, each with the SHA-256 of the line before (its exact bytes, without the
//! newline). So the number of lines and the SHA-256 of the last, the [`Head`], stand for all of it:
//! whoever has a signed head finds every byte that was changed, taken out, added or moved. Without
//! a head a log is still checked, but a new end cannot be told from the true one.
//!
//! [`Writer`] makes and continues logs, [`verify`] reads one from its first line to its last and
//! holds a line and what it counts. Nothing here asks for the time: it comes with each line.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use bulla_provenance::training_log::{Entry, Metric, Name, Writer, verify};
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("training.log");
//! let mut log = Writer::create(&path, "2026-11-20T12:00:00Z".parse()?)?;
//! let name = Name::parse("loss")?;
//! let loss = Metric { name, value: 0.5, step: Some(1), other: Default::default() };
//! log.append("2026-11-20T12:00:01Z".parse()?, &Entry::Metric(loss))?;
//! let head = log.finish()?;
//!
//! let file = std::io::BufReader::new(std::fs::File::open(&path)?);
//! assert_eq!(verify(file, Some(&head))?.metrics["loss"].value, 0.5);
//! # Ok(()) }
//! ```

mod chain;
mod entry;
mod error;
mod report;
mod writer;

pub use chain::{Head, LINE_BYTES, LINES};
pub use entry::{Checkpoint, Entry, Event, Metric, NAME_BYTES, Name, Unfit};
pub use error::{LogError, Problem};
pub use report::{
    Backwards, CheckpointSummary, Counts, METRIC_NAMES, MetricSummary, Report, verify,
};
pub use writer::{Repaired, Writer};
