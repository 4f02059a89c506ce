//! The chain: lines as they are on disk, one after the other.

use std::fmt;
use std::io::{self, BufRead};

use aws_lc_rs::digest::{SHA256, digest};
use bulla::text::Quoted;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::entry::Entry;
use super::error::Problem;
use crate::json;

/// Bytes of one line, without its newline.
pub const LINE_BYTES: usize = 1 << 20;
/// Lines of one log.
pub const LINES: u64 = 100_000_000;
/// The newest version of the format, and the only one.
const VERSION: u64 = 1;
/// What the first line says it is.
const WHAT: &str = "training-log";
/// Bytes of the random part of a header.
pub(super) const NONCE_BYTES: usize = 16;

/// What stands for a whole log: how many lines it has, and the SHA-256 of the last.
///
/// As text it is `LINES:HEX`, in JSON `{"lines":3,"sha256":"…"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Lines, the first one counted.
    pub lines: u64,
    /// SHA-256 of the last line, without its newline.
    #[serde(with = "as_hex")]
    pub sha256: [u8; 32],
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.lines, hex::encode(self.sha256))
    }
}

impl std::str::FromStr for Head {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{} is not the head of a log, like 3:0123…ef", Quoted(text));
        let (lines, digest) = text.split_once(':').ok_or_else(wrong)?;
        let number = lines.parse().ok().filter(|n: &u64| *n > 0 && n.to_string() == lines);
        let lines = number.ok_or_else(wrong)?;
        Ok(Self { lines, sha256: read_hex(digest).ok_or_else(wrong)? })
    }
}

mod as_hex {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(d: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(d)?;
        super::read_hex(&text).ok_or_else(|| D::Error::custom("not a SHA-256 in lowercase hex"))
    }
}

/// Lowercase hex only, so that there is one spelling.
fn read_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    (hex::encode(bytes) == text).then_some(bytes)
}

pub(super) fn sha256(line: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(digest(&SHA256, line).as_ref()) {
        *to = *from;
    }
    bytes
}

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLine {
    bulla: String,
    version: u64,
    seq: u64,
    started: String,
    nonce: String,
}

/// Every other line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryLine {
    seq: u64,
    time: String,
    previous: String,
    kind: String,
    data: Map<String, Value>,
}

/// What was read of one line.
#[derive(Debug)]
pub(super) enum Line {
    Header { started: Timestamp, nonce: String },
    Entry { time: Timestamp, entry: Entry },
}

/// Where a chain has got to: what the next line must say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chain {
    /// Lines so far.
    pub(super) lines: u64,
    /// SHA-256 of the last.
    pub(super) previous: [u8; 32],
}

impl Chain {
    pub(super) const EMPTY: Self = Self { lines: 0, previous: [0; 32] };

    pub(super) fn head(self) -> Head {
        Head { lines: self.lines, sha256: self.previous }
    }

    /// The text of a header, without its newline.
    pub(super) fn header(started: Timestamp, nonce: &[u8; NONCE_BYTES]) -> Result<String, Problem> {
        let line = HeaderLine {
            bulla: WHAT.into(),
            version: VERSION,
            seq: 0,
            started: started.to_string(),
            nonce: hex::encode(nonce),
        };
        serde_json::to_string(&line).map_err(|e| Problem::Json(e.to_string()))
    }

    /// The text of the next line, without its newline.
    pub(super) fn entry(self, time: Timestamp, entry: &Entry) -> Result<String, Problem> {
        let line = EntryLine {
            seq: self.lines,
            time: time.to_string(),
            previous: hex::encode(self.previous),
            kind: entry.kind().into(),
            data: entry.to_data(),
        };
        serde_json::to_string(&line).map_err(|e| Problem::Json(e.to_string()))
    }

    /// Takes the next line, which is without its newline. A writer asks here, too, so that none
    /// writes what no reader takes.
    pub(super) fn take(&mut self, line: &[u8]) -> Result<Line, Problem> {
        if line.len() > LINE_BYTES {
            return Err(Problem::TooLong);
        }
        if self.lines >= LINES {
            return Err(Problem::TooMany);
        }
        match (line.first(), line.last()) {
            (_, Some(b'\r')) => return Err(Problem::CarriageReturn),
            (Some(b'{'), Some(b'}')) => {}
            (Some(b' ' | b'\t' | b'\r'), _) | (_, Some(b' ' | b'\t')) => {
                return Err(Problem::WhiteSpace);
            }
            _ if self.lines > 0 => return Err(Problem::Json("it is not a JSON object".into())),
            _ => return Err(Problem::NotALog("it is not a JSON object".into())),
        }
        let taken = if self.lines == 0 { header(line)? } else { self.next(line)? };
        self.lines += 1;
        self.previous = sha256(line);
        Ok(taken)
    }

    fn next(self, line: &[u8]) -> Result<Line, Problem> {
        let line: EntryLine = json::read(line).map_err(Problem::Json)?;
        if line.seq != self.lines {
            return Err(Problem::Sequence { found: line.seq, expected: self.lines });
        }
        let found = read_hex(&line.previous).ok_or_else(|| {
            Problem::Json("`previous` is not a SHA-256 in lowercase hex".to_owned())
        })?;
        if found != self.previous {
            return Err(Problem::Previous { found, expected: self.previous });
        }
        let time = read_time(&line.time)?;
        let entry = Entry::from_data(&line.kind, line.data).map_err(Problem::Entry)?;
        Ok(Line::Entry { time, entry })
    }
}

fn header(line: &[u8]) -> Result<Line, Problem> {
    // Another version may have other members, and shall be called by its name.
    let any: Map<String, Value> = json::read(line).map_err(Problem::NotALog)?;
    if any.get("bulla").and_then(Value::as_str) != Some(WHAT) {
        return Err(Problem::NotALog(r#"it has no "bulla":"training-log""#.into()));
    }
    match any.get("version").and_then(Value::as_u64) {
        Some(VERSION) => {}
        Some(found) => return Err(Problem::Version { found }),
        None => return Err(Problem::NotALog("it has no version".into())),
    }
    let header: HeaderLine = json::read(line).map_err(Problem::NotALog)?;
    if header.seq != 0 {
        return Err(Problem::Sequence { found: header.seq, expected: 0 });
    }
    if read_hex::<NONCE_BYTES>(&header.nonce).is_none() {
        return Err(Problem::NotALog("`nonce` is not 16 bytes in lowercase hex".into()));
    }
    Ok(Line::Header { started: read_time(&header.started)?, nonce: header.nonce })
}

/// RFC 3339 in UTC, as it is written. `jiff` alone would take more spellings.
fn read_time(text: &str) -> Result<Timestamp, Problem> {
    let wrong = || Problem::Time(Quoted(text).to_string());
    let bytes = text.as_bytes();
    let spelled = text.len() <= 40
        && bytes.get(10) == Some(&b'T')
        && bytes.last() == Some(&b'Z')
        && bytes.iter().all(|b| b.is_ascii_digit() || b"-:.TZ".contains(b));
    if !spelled {
        return Err(wrong());
    }
    text.parse().map_err(|_| wrong())
}

/// How a line ended.
pub(super) enum Ended {
    /// With a newline.
    Whole,
    /// With the file.
    Unfinished,
    /// There is no further line.
    Nothing,
    /// It goes on for more than can be.
    TooLong,
}

/// Reads a line into the buffer, without its newline and never much more than [`LINE_BYTES`].
pub(super) fn read_line(from: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Ended> {
    line.clear();
    loop {
        let available = match from.fill_buf() {
            Ok(available) => available,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        if available.is_empty() {
            return Ok(if line.is_empty() { Ended::Nothing } else { Ended::Unfinished });
        }
        let newline = available.iter().position(|&b| b == b'\n');
        let used = newline.unwrap_or(available.len());
        line.extend_from_slice(available.get(..used.min(LINE_BYTES + 1)).unwrap_or_default());
        let consumed = used + usize::from(newline.is_some());
        from.consume(consumed);
        if line.len() > LINE_BYTES {
            return Ok(Ended::TooLong);
        }
        if newline.is_some() {
            return Ok(Ended::Whole);
        }
    }
}
