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
