//! All of a registry, compared with what was signed.
//!
//! ```text
//! head: signed? above the mark?   entries ─ hash ─► tree ─► the signed root?
//! entries ─ replayed ─► tables in a temporary file ─ row by row ─► the tables that there are
//!                    └► map ─► the signed state?
//! ```
//!
//! If the log is the signed one, every row that was changed, added or removed is named. If it is not, its own rows that were changed are
//! named, and no more can be said: what should follow from a log that is lost nobody knows.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bulla::jiff::Timestamp;
use bulla::{Digest, Fault};
use bulla_log::tree::leaf_hash;
use futures_util::TryStreamExt as _;
use serde::Serialize;

use crate::database::{Access, Cell, Database, Row, Table, Tx, binds, int};
use crate::event::{Entry, Event};
use crate::load::{Loader, attachments, files};
use crate::log::{self, SignedHead};
use crate::registry::{Registry, attachment};
use crate::schema::{ATTACHMENTS, LOG_ENTRIES, PROJECTIONS};

/// Findings that are kept; more are counted.
const MOST_FINDINGS: usize = 10_000;
/// Entries that are read at once.
const PAGE: u64 = 1024;
/// Rows between two reports of progress.
const REPORT: u64 = 4096;

/// How far an audit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditProgress {
    /// What is looked at: `the log`, or a table.
    pub what: &'static str,
    /// Entries or rows of it so far.
    pub done: u64,
    /// Entries of the log, which is what is known of how many there are.
    pub entries: u64,
}

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Audit {
    /// Entries of the log that were looked at.
    pub entries: u64,
    /// Rows of all tables that were compared.
    pub rows: u64,
    /// What is wrong: nothing, if all is well.
    pub findings: Vec<Finding>,
    /// Findings beyond the first ten thousand.
    pub more_findings: u64,
}

impl Audit {
    /// Whether all is well.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Something that is not as it was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// In which table.
    pub table: &'static str,
    /// Which row, by its key; empty where it is not about one.
    pub row: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, row, problem } = self;
        match row.as_str() {
            "" => write!(f, "{table}: {problem}"),
            row => write!(f, "{table} {}: {problem}", bulla::Printable(row)),
        }
    }
}

impl Registry {
    /// Compares everything with the signed head, and says of it what `progress` is told. It needs room in the folder for temporary files: about
    /// as much as the tables have.
    ///
    /// # Errors
    /// When it could not be compared. What is wrong with the registry is no error, but a finding.
    pub fn audit(
        &self,
        now: Timestamp,
        progress: &mut dyn FnMut(AuditProgress),
    ) -> Result<Audit, Fault> {
        self.block_on(async {
            let mark = self.mark()?;
            let mut tx = self.database.begin(Access::Read).await?;
            let mut auditor = Auditor::default();
            let head = match self.head_of(&mut tx, mark, now).await {
                Ok(head) => Some(head),
                Err(Fault::Registry { detail, .. }) => {
                    auditor.found("head", String::new(), detail);
                    None
                }
                Err(fault) => return Err(fault),
            };
            let scratch = Database::scratch().await?;
            let replayed = auditor.replay(&mut tx, &scratch, head.as_ref(), progress).await?;
            if replayed {
                let mut theirs = scratch.begin(Access::Read).await?;
                for table in PROJECTIONS.into_iter().filter(|table| table.name != LOG_ENTRIES.name)
                {
                    auditor.compare(table, &mut tx, &mut theirs, progress).await?;
                }
                if !tx.is_postgres() {
                    auditor.structure(&mut tx, &mut theirs).await?;
                }
            }
            auditor.small_tables(&mut tx).await?;
            tx.roll_back().await?;
            if let Some(head) = head {
                self.raise(mark, head.head).await?;
            }
            Ok(auditor.audit)
        })
    }
}

/// What findings about tables themselves are under.
const SCHEMA: &str = "schema";

#[derive(Debug)]
struct Auditor {
    audit: Audit,
}

impl Default for Auditor {
    fn default() -> Self {
        let audit = Audit { entries: 0, rows: 0, findings: Vec::new(), more_findings: 0 };
        Self { audit }
    }
}

impl Auditor {
    fn found(&mut self, table: &'static str, row: String, problem: impl Into<String>) {
        if self.audit.findings.len() < MOST_FINDINGS {
            self.audit.findings.push(Finding { table, row, problem: problem.into() });
        } else {
            self.audit.more_findings += 1;
        }
    }

    /// Looks whether tables and indexes are those that they should be, and indexes have every row: what is looked for by an index that has none
    /// is not found, though the row is there.
    async fn structure(&mut self, tx: &mut Tx, theirs: &mut Tx) -> Result<(), Fault> {
        let sql = "SELECT type || ' ' || name, COALESCE(sql, '') FROM sqlite_master \
                   WHERE name NOT LIKE 'sqlite%' ORDER BY 1";
        let read = |row: &Row| Ok((row.text(0)?, row.text(1)?));
        let found = tx.rows(sql, Vec::new()).await?;
        let found = found.iter().map(read).collect::<Result<BTreeMap<_, _>, Fault>>()?;
        let expected = theirs.rows(sql, Vec::new()).await?;
        let expected = expected.iter().map(read).collect::<Result<BTreeMap<_, _>, Fault>>()?;
        for name in found.keys().chain(expected.keys()).collect::<BTreeSet<_>>() {
            let problem = match (found.get(name), expected.get(name)) {
                (found, expected) if found == expected => continue,
                (None, _) => "it is missing",
                (_, None) => "it was added",
                _ => "it was changed",
            };
            self.found(SCHEMA, name.clone(), problem);
        }
        for row in tx.rows("PRAGMA integrity_check", Vec::new()).await? {
            let said = row.text(0)?;
            if said != "ok" {
                self.found(SCHEMA, String::new(), said);
            }
        }
        Ok(())
    }

    /// Reads the log into empty tables; whether they can be compared with.
    async fn replay(
        &mut self,
        tx: &mut Tx,
        scratch: &Database,
        head: Option<&SignedHead>,
        progress: &mut dyn FnMut(AuditProgress),
    ) -> Result<bool, Fault> {
        let mut loader = Loader::begin(scratch).await?.without_bytes();
        let size = match head {
            Some(head) => head.head.size,
            // Without a head to trust the log is compared with itself.
            None => tx
                .row("SELECT COUNT(*) FROM log_entries", Vec::new())
                .await?
                .map_or(Ok(0), |row| row.number(0))?,
        };
        let (mut at, mut whole) = (0, true);
        while at < size {
            let end = (at + PAGE).min(size);
            let sql = "SELECT e.idx, e.body, n.hash FROM log_entries e \
                       LEFT JOIN log_nodes n ON n.height = 0 AND n.idx = e.idx \
                       WHERE e.idx >= $1 AND e.idx < $2 ORDER BY e.idx";
            let rows = tx.rows(sql, binds![int(at), int(end)]).await?;
            let mut rows = rows.into_iter().peekable();
            for index in at..end {
                let row = rows.next_if(|row| row.number(0).is_ok_and(|found| found == index));
                let Some(row) = row else {
                    self.found(LOG_ENTRIES.name, index.to_string(), "it is missing");
                    whole = false;
                    continue;
                };
                let body = row.bytes(1)?;
                if row.optional_bytes(2)?.as_deref() != Some(leaf_hash(&body).as_slice()) {
                    // One of the two was changed; which is known when the root is.
                    let detail = "it does not have the hash that the tree has for it";
                    self.found(LOG_ENTRIES.name, index.to_string(), detail);
                }
                if !whole {
                    continue;
                }
                match Entry::decode(&body) {
                    Ok(entry) => {
                        let files = self.attachments(tx, &mut loader, &entry, index).await?;
                        loader = loader.add(body, &entry, &files).await?;
                    }
                    Err(error) => {
                        let detail = format!("it cannot be read: {error}");
                        self.found(LOG_ENTRIES.name, index.to_string(), detail);
                        whole = false;
                    }
                }
            }
            at = end;
            self.audit.entries = at;
            progress(AuditProgress { what: "the log", done: at, entries: size });
        }
        let sql = "SELECT idx FROM log_entries WHERE idx >= $1 OR idx < 0 ORDER BY idx LIMIT 1000";
        for row in tx.rows(sql, binds![int(size)]).await? {
            let index = row.int(0)?.to_string();
            self.found(LOG_ENTRIES.name, index, "it was added: the signed log does not have it");
        }
        if !whole {
            return Ok(false);
        }
        let mut same = head.is_some();
        let signed = loader.finish(|found, state| {
            if let Some(head) = head {
                same = head.head == found;
                if !same {
                    let detail = format!("the log has {found}, expected {}, as was signed", head.head);
                    self.found(LOG_ENTRIES.name, String::new(), detail);
                } else if head.state != state {
                    let detail = "the state that was signed does not follow from the log: it was written by another program, or by somebody with the key";
                    self.found("head", String::new(), detail);
                }
            }
            let time = head.map_or(Timestamp::UNIX_EPOCH, |head| head.time);
            Ok(SignedHead { head: found, time, state, note: String::new() })
        });
        signed.await?;
        if same {
            // The entries are the signed ones: it was the tree's row that was changed, and the comparison names it.
            let hashes =
                |finding: &Finding| finding.problem.starts_with("it does not have the hash");
            self.audit.findings.retain(|finding| !hashes(finding));
        }
        Ok(same)
    }

    /// Looks at the attachments of an entry; the files among them.
    async fn attachments(
        &mut self,
        tx: &mut Tx,
        loader: &mut Loader,
        entry: &Entry,
        index: u64,
    ) -> Result<Vec<Digest>, Fault> {
        let mut listed = Vec::new();
        for digest in attachments(&entry.event) {
            loader.name_attachment(&digest);
            if !matches!(entry.event, Event::ModelSeen(_)) {
                // The comparison of tables looks at these.
                continue;
            }
            match attachment(tx, &digest).await {
                Ok(bytes) => match files(&bytes) {
                    Ok(files) => listed = files,
                    Err(error) => {
                        let detail = format!("the list of files {digest} cannot be read: {error}");
                        self.found(LOG_ENTRIES.name, index.to_string(), detail);
                    }
                },
                // Named when tables are compared; the files' rows then seem to be added.
                Err(Fault::Registry { .. }) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(listed)
    }

    /// Compares a table with what it should be, both in the order of their keys.
    async fn compare(
        &mut self,
        table: &'static Table,
        ours: &mut Tx,
        theirs: &mut Tx,
        progress: &mut dyn FnMut(AuditProgress),
    ) -> Result<(), Fault> {
        let key = table.columns.get(..table.key).unwrap_or_default();
        let sql = format!(
            "SELECT {} FROM {} ORDER BY {}",
            table.columns.join(","),
            table.name,
            key.join(",")
        );
        let cells = |row: Option<Row>| row.map(|row| cells(table, &row)).transpose();
        let plain = |row: Option<Row>| row.map(|row| row.cells(table.columns.len())).transpose();
        let (mut found, mut expected) = (ours.stream(sql.clone()), theirs.stream(sql));
        let mut here = cells(found.try_next().await?)?;
        let mut there = plain(expected.try_next().await?)?;
        let mut done = 0;
        loop {
            let order = match (&here, &there) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(here), Some(there)) => {
                    here.iter().take(table.key).cmp(there.iter().take(table.key))
                }
            };
            let named = |row: &Option<Vec<Cell>>| {
                let cells = row.iter().flatten().take(table.key);
                cells.map(ToString::to_string).collect::<Vec<_>>().join(" ")
            };
            match order {
                Ordering::Less => {
                    self.found(
                        table.name,
                        named(&here),
                        "it was added: nothing in the log says it",
                    );
                }
                Ordering::Greater => {
                    self.found(table.name, named(&there), "it is missing: the log says it");
                }
                Ordering::Equal => {
                    let (Some(ours), Some(theirs)) = (&here, &there) else { return Ok(()) };
                    let pairs = table.columns.iter().zip(ours.iter().zip(theirs));
                    let changed: Vec<_> =
                        pairs.filter(|(_, (a, b))| a != b).map(|(name, _)| *name).collect();
                    if !changed.is_empty() {
                        let detail = format!("it was changed: {}", changed.join(", "));
                        self.found(table.name, named(&here), detail);
                    }
                }
            }
            if order != Ordering::Greater {
                here = cells(found.try_next().await?)?;
            }
            if order != Ordering::Less {
                there = plain(expected.try_next().await?)?;
            }
            done += 1;
            self.audit.rows += 1;
            if done % REPORT == 0 {
                let entries = self.audit.entries;
                progress(AuditProgress { what: table.name, done, entries });
            }
        }
    }

    /// The head is one row, and of the registry itself only its version is said.
    async fn small_tables(&mut self, tx: &mut Tx) -> Result<(), Fault> {
        for row in tx.rows("SELECT id FROM head WHERE id <> 1 LIMIT 100", Vec::new()).await? {
            self.found("head", row.int(0)?.to_string(), "it was added: there is one head");
        }
        let sql = "SELECT name FROM meta WHERE name <> 'schema' LIMIT 100";
        for row in tx.rows(sql, Vec::new()).await? {
            self.found("meta", row.text(0)?, "it was added: no version of this program writes it");
        }
        Ok(())
    }
}

/// A row's values. An attachment that has its digest is as if it was empty: what it is compared with has no bytes.
fn cells(table: &Table, row: &Row) -> Result<Vec<Cell>, Fault> {
    let mut cells = row.cells(table.columns.len())?;
    if table.name == ATTACHMENTS.name
        && let [Cell::Bytes(digest), content] = cells.as_mut_slice()
    {
        *content = match content {
            Cell::Bytes(bytes) if Digest::sha256(bytes).as_bytes() == digest.as_slice() => {
                Cell::Bytes(Vec::new())
            }
            _ => Cell::Other("another content".into()),
        };
    }
    Ok(cells)
}

impl Registry {
    /// The head, with everything that makes it believed.
    async fn head_of(
        &self,
        tx: &mut Tx,
        mark: Option<bulla_log::Head>,
        now: Timestamp,
    ) -> Result<SignedHead, Fault> {
        self.ready(tx).await?;
        let (signed, _) = log::head(tx, &self.settings.key, false).await?;
        self.above_mark(tx, &signed, mark, now).await?;
        Ok(signed)
    }
}
