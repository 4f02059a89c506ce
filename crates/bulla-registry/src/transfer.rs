//! A registry as a stream, and as the folder of a log.
//!
//! ```text
//! {"format":"bulla-registry","origin":"…","v":1}
//! {"attachment":"base64"}                          before the entry that names it
//! {"entry":{"at":…,"event":{…},"v":1}}             in the order of the log, in canonical form
//! {"checkpoint":"the signed note"}                 the last line
//! ```

use std::collections::BTreeMap;
use std::io::{BufRead, Read as _, Write};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla::jiff::Timestamp;
use bulla::{Digest, Fault};
use bulla_log::storage::{LocalDirectory, Storage};
use bulla_log::tile::{Resource, Tile, WIDTH};
use bulla_log::tree::{Hash, leaf_hash};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::damaged;
use crate::database::{Row, binds, int};
use crate::event::{Entry, Event};
use crate::load::{Loader, attachments, files};
use crate::log::SignedHead;
use crate::registry::{Reading, Registry, Settings, attachment};

const FORMAT: &str = "bulla-registry";
/// Bytes of a line: the largest attachment, in base64.
const MAX_LINE: u64 = 24 << 20;
/// Entries that are read at once.
const PAGE: u64 = 256;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    origin: String,
    v: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum Line {
    Attachment(String),
    Entry(Box<RawValue>),
    Checkpoint(String),
}

impl Registry {
    /// Writes everything as a stream of lines, all of one head: a backup that can be read by anything, and brought in again.
    ///
    /// # Errors
    /// When the registry cannot be believed or read, or the stream not written.
    pub fn export(&self, out: &mut dyn Write, now: Timestamp) -> Result<SignedHead, Fault> {
        self.read(now, async |reading| {
            let signed = reading.signed.clone();
            let origin = self.settings.key.name().to_owned();
            let mut put = |line: &str| {
                out.write_all(line.as_bytes())
                    .and_then(|()| out.write_all(b"\n"))
                    .map_err(|e| Fault::io("write", Path::new("the export"), e))
            };
            put(&crate::project::encode(&Header { format: FORMAT.into(), origin, v: 1 })?)?;
            let mut at = 0;
            while at < signed.head.size {
                for body in page(reading, at).await? {
                    let entry = decode(reading.tx.place(), at, &body)?;
                    for digest in attachments(&entry.event) {
                        let bytes = attachment(&mut reading.tx, &digest).await?;
                        put(&format!("{{\"attachment\":\"{}\"}}", STANDARD.encode(bytes)))?;
                    }
                    // An entry is JSON on one line.
                    put(&format!("{{\"entry\":{}}}", String::from_utf8_lossy(&body)))?;
                    at += 1;
                }
            }
            put(&format!("{{\"checkpoint\":{}}}", serde_json::Value::from(signed.note.as_str())))?;
            out.flush().map_err(|e| Fault::io("write", Path::new("the export"), e))?;
            Ok(signed)
        })
    }

    /// Brings an export into an empty database, and opens it. Everything is verified: each entry and attachment, the signature of the
    /// checkpoint, and that the log and what is in force lead to it. Where there is a high-water mark the export must not be older.
    ///
    /// # Errors
    /// When the export is not one, or not what was signed, or older than the mark, or the database is not empty.
    pub fn import(
        settings: Settings,
        from: &mut dyn BufRead,
        now: Timestamp,
    ) -> Result<Self, Fault> {
        let registry = Self::connect(settings, true)?;
        registry.block_on(async {
            let loader = Loader::begin(&registry.database).await?;
            let (loader, note) = registry.bring_in(loader, from).await?;
            let wrong = |detail| registry.bad_export(detail);
            let signed = SignedHead::open(&note, &registry.settings.key).map_err(wrong)?;
            let signed = loader
                .finish(|head, state| match signed.head == head && signed.state == state {
                    true => Ok(signed),
                    false => Err(wrong(format!(
                        "its entries are not those that were signed: found {head}, expected {}",
                        signed.head
                    ))),
                })
                .await?;
            let mark = registry.mark()?;
            if mark.is_none() {
                registry.raise(None, signed.head).await?;
            }
            Ok(())
        })?;
        registry.head(now)?;
        Ok(registry)
    }

    async fn bring_in(
        &self,
        mut loader: Loader,
        from: &mut dyn BufRead,
    ) -> Result<(Loader, String), Fault> {
        let mut number = 0_u64;
        let mut line = Vec::new();
        let mut next = |number: &mut u64| -> Result<Option<Vec<u8>>, Fault> {
            line.clear();
            *number += 1;
            let read = from.take(MAX_LINE + 1).read_until(b'\n', &mut line);
            read.map_err(|e| Fault::io("read", Path::new("the export"), e))?;
            match line.strip_suffix(b"\n") {
                Some(whole) => Ok(Some(whole.to_vec())),
                None if line.is_empty() => Ok(None),
                None => Err(self.bad_export(format!("line {number} is too long, or has no end"))),
            }
        };
        let header = next(&mut number)?.unwrap_or_default();
        let header: Header = bulla::json::read(&header).map_err(|e| {
            self.bad_export(format!("its first line is not that of an export: {e}"))
        })?;
        let origin = self.settings.key.name();
        if header.format != FORMAT || header.v != 1 || header.origin != origin {
            return Err(self.bad_export(format!(
                "it is {:?} version {} of {:?}, expected {FORMAT:?} version 1 of {origin:?}",
                header.format, header.v, header.origin
            )));
        }
        let mut waiting: BTreeMap<Digest, Vec<u8>> = BTreeMap::new();
        while let Some(line) = next(&mut number)? {
            let wrong = |e: String| self.bad_export(format!("line {number}: {e}"));
            match bulla::json::read(&line).map_err(wrong)? {
                Line::Attachment(text) => {
                    let bytes = STANDARD.decode(text).map_err(|e| wrong(e.to_string()))?;
                    waiting.insert(Digest::sha256(&bytes), bytes);
                    if waiting.len() > 2 {
                        return Err(wrong("no entry names so many attachments".into()));
                    }
                }
                Line::Entry(body) => {
                    let body = body.get().as_bytes().to_vec();
                    let entry = Entry::decode(&body).map_err(wrong)?;
                    // What no writer would have taken is not taken here either.
                    crate::limits::check(self.place(), &entry.event)?;
                    let mut listed = Vec::new();
                    for digest in attachments(&entry.event) {
                        let bytes = waiting.remove(&digest);
                        let bytes = bytes.ok_or_else(|| wrong(format!("{digest} is missing")))?;
                        loader.attach(&bytes);
                        if matches!(entry.event, Event::ModelSeen(_)) {
                            listed = files(&bytes).map_err(wrong)?;
                        }
                    }
                    if !waiting.is_empty() {
                        return Err(wrong("it has attachments that it does not name".into()));
                    }
                    loader = loader.add(body, &entry, &listed).await?;
                }
                Line::Checkpoint(note) => {
                    return match next(&mut number)? {
                        None => Ok((loader, note)),
                        Some(_) => Err(self.bad_export("it goes on after its checkpoint".into())),
                    };
                }
            }
        }
        Err(self.bad_export("it ends without a checkpoint: it was cut short".into()))
    }

    fn bad_export(&self, detail: String) -> Fault {
        self.fault(
            format!("the export cannot be brought in: {detail}"),
            "export again from a good registry; the place that was written to is to be deleted",
        )
    }

    /// Writes the log as a folder in C2SP's tlog-tiles layout, which `bulla log verify` and others check. A folder that has an older state of
    /// it is brought up to date.
    ///
    /// # Errors
    /// When the registry cannot be believed or read, or the folder not written.
    pub fn export_tiles(&self, folder: &Path, now: Timestamp) -> Result<SignedHead, Fault> {
        let storage = LocalDirectory::create(folder).map_err(|e| self.of_folder(&e))?;
        let storage: Arc<dyn Storage> = Arc::new(storage);
        let _guard = storage.lock().map_err(|e| self.of_folder(&e))?;
        self.read(now, async |reading| {
            let signed = reading.signed.clone();
            let put = |resources: &[(String, Vec<u8>)]| {
                storage.write(resources).map_err(|e| self.of_folder(&e))
            };
            let mut tops: Vec<Hash> = Vec::new();
            let mut at = 0;
            while at < signed.head.size {
                let bodies = page(reading, at).await?;
                let (index, width) = (at / WIDTH, bodies.len() as u64);
                let mut bundle = Vec::new();
                for body in &bodies {
                    let length = u16::try_from(body.len())
                        .map_err(|_| damaged(self.place(), "an entry is too long".into()))?;
                    bundle.extend_from_slice(&length.to_be_bytes());
                    bundle.extend_from_slice(body);
                }
                let tile = Tile::new(bodies.iter().map(|body| leaf_hash(body)).collect());
                tops.extend(tile.top());
                put(&[
                    (Resource::Entries { index, width }.to_string(), bundle),
                    (Resource::Tile { level: 0, index, width }.to_string(), tile.to_bytes()),
                ])?;
                at += width;
            }
            for level in 1.. {
                if tops.is_empty() {
                    break;
                }
                let mut above = Vec::new();
                for (index, hashes) in (0..).zip(tops.chunks(usize::try_from(WIDTH).unwrap_or(256)))
                {
                    let (tile, width) = (Tile::new(hashes.to_vec()), hashes.len() as u64);
                    above.extend(tile.top());
                    let path = Resource::Tile { level, index, width }.to_string();
                    put(&[(path, tile.to_bytes())])?;
                }
                tops = above;
            }
            put(&[(Resource::Checkpoint.to_string(), signed.note.clone().into_bytes())])?;
            Ok(signed)
        })
    }

    fn of_folder(&self, error: &bulla_log::storage::StorageError) -> Fault {
        self.fault(
            error.to_string(),
            error.hint().unwrap_or("look at the folder that is written to"),
        )
    }
}

/// The entries from there to the end of the bundle, all of them.
async fn page(reading: &mut Reading, at: u64) -> Result<Vec<Vec<u8>>, Fault> {
    let end = (at + PAGE).min(reading.signed.head.size);
    let sql = "SELECT idx, body FROM log_entries WHERE idx >= $1 AND idx < $2 ORDER BY idx";
    let rows = reading.tx.rows(sql, binds![int(at), int(end)]).await?;
    let bodies: Vec<_> = rows.iter().map(|row: &Row| row.bytes(1)).collect::<Result<_, _>>()?;
    if bodies.len() as u64 != end - at {
        let detail = format!("entries between {at} and {end} of its log are missing");
        return Err(damaged(reading.tx.place(), detail));
    }
    Ok(bodies)
}

fn decode(place: &str, index: u64, body: &[u8]) -> Result<Entry, Fault> {
    Entry::decode(body)
        .map_err(|e| damaged(place, format!("the entry {index} of its log cannot be read: {e}")))
}
