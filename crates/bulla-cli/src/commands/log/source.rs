//! Where a log is, whose it is, and what is remembered of it.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bulla::{Access, Existing, Printable};
use bulla_log::audit::export::{Archive, Proof};
use bulla_log::audit::{self, AuditError};
use bulla_log::note::{MAX_NOTE, NoteError};
use bulla_log::storage::{LocalDirectory, StorageError};
use bulla_log::tile::TileReader;
use bulla_log::{Checkpoint, LogKey, trust};
use clap::{Args, ValueHint};

use crate::files;
use crate::problem::{Problem, Verdict};
use crate::web::WebLog;

const MAX_KEY: u64 = 64 << 10;
const MAX_TRUSTED_ROOT: u64 = 4 << 20;

/// Which log, and who signs its checkpoints.
#[derive(Debug, Args)]
pub(crate) struct LogArguments {
    /// The log: a directory, a URL, or a file that 'bulla log export' wrote
    #[arg(value_name = "LOG", value_hint = ValueHint::AnyPath)]
    pub(super) log: String,
    /// Key of the log: name+id+key as signed notes write it, or a file with that or with PEM; may be repeated
    #[arg(long, value_name = "KEY|FILE", required_unless_present = "trusted_root")]
    #[arg(help_heading = "Trust", allow_hyphen_values = false)]
    key: Vec<String>,
    /// Origin of the log, which a PEM key does not name
    #[arg(long, value_name = "NAME", help_heading = "Trust", requires = "key")]
    origin: Option<String>,
    /// Sigstore's trusted_root.json: any log in it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Trust")]
    trusted_root: Option<PathBuf>,
}

impl LogArguments {
    pub(super) fn shown(&self) -> String {
        Printable(&self.log).to_string()
    }

    pub(super) fn keys(&self) -> Result<Vec<LogKey>, Problem> {
        let mut logs = Vec::new();
        for key in &self.key {
            let text = if Path::new(key).exists() || !key.contains('+') {
                let bytes = bulla::read_named(Path::new(key), MAX_KEY)?;
                String::from_utf8_lossy(&bytes).into_owned()
            } else {
                key.clone()
            };
            let log = trust::log_key(&text, self.origin.as_deref());
            logs.push(log.map_err(|error| unusable(key, &error))?);
        }
        if let Some(path) = &self.trusted_root {
            let json = bulla::read_named(path, MAX_TRUSTED_ROOT)?;
            let shown = path.to_string_lossy();
            logs.extend(trust::trusted_root(&json).map_err(|error| unusable(&shown, &error))?);
        }
        Ok(logs)
    }

    pub(super) fn open(&self) -> Result<Source, Problem> {
        let path = Path::new(&self.log);
        if WebLog::is_url(&self.log) {
            let log = WebLog::open(&self.log).map_err(|error| self.problem(error.into()))?;
            return Ok(Source::Log(Box::new(log)));
        }
        if path.is_dir() {
            let log = LocalDirectory::open(path).map_err(|error| self.problem(error.into()))?;
            return Ok(Source::Log(Box::new(log)));
        }
        let fault = |e| bulla::Fault::io("read", path, e);
        let mut beginning = Vec::new();
        let file = File::open(path).map_err(fault)?;
        file.take(64).read_to_end(&mut beginning).map_err(fault)?;
        if Proof::is_one(&beginning) {
            let bytes = bulla::read_named(path, audit::export::MAX_PROOF)?;
            let proof = Proof::parse(&bytes).map_err(|what| {
                let reason = ("proof", format!("it is not a proof: {what}"));
                self.refused(vec![reason], vec!["get it again from where it was exported".into()])
            })?;
            return Ok(Source::Proof(Box::new(proof)));
        }
        let archive = Archive::open(path).map_err(|error| self.problem(error.into()))?;
        Ok(Source::Log(Box::new(archive)))
    }

    /// The log, where the proof of one entry is of no use.
    pub(super) fn open_log(&self, what: &str) -> Result<Box<dyn TileReader>, Problem> {
        match self.open()? {
            Source::Log(log) => Ok(log),
            Source::Proof(_) => Err(Problem::usage(
                format!("{}: it is the proof of one entry, and {what}", self.shown()),
                "give the log, or an export of all of it; 'bulla log verify' checks a proof",
            )),
        }
    }

    pub(super) fn problem(&self, error: AuditError) -> Problem {
        match error {
            AuditError::Wrong(findings) => {
                let mut hints: Vec<String> = Vec::new();
                for finding in &findings {
                    if !hints.iter().any(|hint| hint == finding.hint()) {
                        hints.push(finding.hint().to_owned());
                    }
                }
                let reasons = findings.iter().map(|f| (f.code(), f.to_string()));
                self.refused(reasons.collect(), hints)
            }
            AuditError::Unreadable(error) => {
                let hint = error.hint().map(str::to_owned);
                self.could_not_tell(("io", error.to_string()), hint)
            }
            other @ AuditError::NoSuchEntry { .. } => {
                let hint = "'bulla log verify' tells how many entries there are".to_owned();
                self.could_not_tell(("no-entry", other.to_string()), Some(hint))
            }
            other => {
                let hint = "check the path: a log has a file 'checkpoint' at its top".to_owned();
                self.could_not_tell(("no-log", other.to_string()), Some(hint))
            }
        }
    }

    fn refused(&self, reasons: Vec<Reason>, hints: Vec<String>) -> Problem {
        Problem::Reasons { what: self.log.clone(), verdict: Verdict::No, reasons, hints }
    }

    fn could_not_tell(&self, reason: Reason, hint: Option<String>) -> Problem {
        let (verdict, reasons) = (Verdict::CouldNotTell, vec![reason]);
        Problem::Reasons {
            what: self.log.clone(),
            verdict,
            reasons,
            hints: hint.into_iter().collect(),
        }
    }
}

/// A key or trusted root that cannot be used: nothing can be told with it.
fn unusable(what: &str, error: &NoteError) -> Problem {
    Problem::Reasons {
        what: what.to_owned(),
        verdict: Verdict::CouldNotTell,
        reasons: vec![("key", error.to_string())],
        hints: vec![
            "a log's key is name+id+base64, or PEM with --origin; get it from the log's operator"
                .into(),
        ],
    }
}

/// A reason's stable name, and the reason in words.
type Reason = (&'static str, String);

pub(super) enum Source {
    Log(Box<dyn TileReader>),
    Proof(Box<Proof>),
}

/// The checkpoint that was verified last.
#[derive(Debug, Args)]
pub(crate) struct StateArguments {
    /// File that holds the checkpoint that was verified last: the log must be its continuation. Written
    /// when all has been found in order
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) state: Option<PathBuf>,
}

impl StateArguments {
    pub(super) fn read(&self, keys: &[LogKey]) -> Result<Option<Checkpoint>, Problem> {
        let Some(path) = &self.state else { return Ok(None) };
        let Some(note) = files::read_found(path, MAX_NOTE)? else { return Ok(None) };
        audit::remembered(&note, keys).map(Some).map_err(|error| {
            let hint = "if the log has a new key, begin anew with another file".to_owned();
            Problem::Reasons {
                what: path.to_string_lossy().into_owned(),
                verdict: Verdict::No,
                reasons: vec![("state", error.to_string())],
                hints: vec![hint],
            }
        })
    }

    pub(super) fn write(&self, note: &[u8]) -> Result<(), Problem> {
        let Some(path) = &self.state else { return Ok(()) };
        Ok(bulla::store(path, note, Access::Public, Existing::Replace)?)
    }
}

/// The log as it was when its checkpoint was read: a log grows while it is looked at.
pub(super) struct Snapshot<'a> {
    pub(super) log: &'a dyn TileReader,
    pub(super) note: &'a [u8],
}

impl TileReader for Snapshot<'_> {
    fn read(&self, path: &str, at_most: u64) -> Result<Option<Vec<u8>>, StorageError> {
        if path == "checkpoint" {
            Ok(Some(self.note.to_vec()))
        } else {
            self.log.read(path, at_most)
        }
    }
}

/// A root, as checkpoints write it.
pub(super) fn root_of(checkpoint: &Checkpoint) -> String {
    checkpoint.to_text().lines().nth(2).unwrap_or_default().to_owned()
}
