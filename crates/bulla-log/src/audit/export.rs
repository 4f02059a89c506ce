//! A log, or one entry's proof, in one file: for those who cannot reach the log.
//!
//! ```text
//! whole log   a tar archive of the tlog-tiles layout: checkpoint, tile/…          [`write`], [`Archive`]
//! one entry   c2sp.org/tlog-proof@v1, with the entry as its extra data            [`Proof`]
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{AuditError, Audited, Finding, OpenedLog, tiles};
use crate::checkpoint::{Checkpoint, LogKey, parse_hash, show_hash};
use crate::mark::Head;
use crate::note::MAX_NOTE;
use crate::storage::StorageError;
use crate::tile::{
    self, InTiles, LEVELS, MAX_ENTRY, Resource, TileReader, WIDTH, decimal, parse_entries, width_at,
};
use crate::tree::{Hash, inclusion, leaf_hash, verify_inclusion};

/// The most resources in an archive that is read: a log of a thousand million entries.
const MAX_RESOURCES: usize = 8 << 20;
const PROOF_HEADER: &str = "c2sp.org/tlog-proof@v1";
/// The largest proof: an entry in base64, hashes, a checkpoint.
pub const MAX_PROOF: u64 = (MAX_ENTRY as u64) * 2 + 64 * 64 + MAX_NOTE;

/// Writes a log that has been verified as a tar archive, always the same bytes for the same log.
///
/// # Errors
/// When the log cannot be read, or the archive cannot be written.
pub fn write<R: TileReader + ?Sized>(
    reader: &R,
    audited: &Audited,
    out: impl Write,
) -> Result<(), AuditError> {
    let mut archive = tar::Builder::new(out);
    let mut put = |path: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        header.set_mode(0o644);
        header.set_mtime(0);
        archive.append_data(&mut header, path, bytes).map_err(|e| unwritten(path, &e))
    };
    put("checkpoint", &audited.note)?;
    for resource in resources(audited.checkpoint.size) {
        let path = resource.to_string();
        let missing = || Finding::Missing { path: path.clone() };
        put(&path, &tile::read(reader, resource)?.ok_or_else(missing)?)?;
    }
    archive
        .into_inner()
        .and_then(|mut out| out.flush())
        .map_err(|e| unwritten("the archive", &e))?;
    Ok(())
}

fn unwritten(path: &str, error: &io::Error) -> AuditError {
    StorageError::new("write", path, error).into()
}

/// All resources of a tree, entries first.
fn resources(size: u64) -> impl Iterator<Item = Resource> {
    let entries = (0..size.div_ceil(WIDTH))
        .map(move |index| Resource::Entries { index, width: width_at(0, index, size) });
    let tiles = (0..LEVELS).flat_map(move |level| {
        (0..).map_while(move |index| {
            let width = width_at(level, index, size);
            (width > 0).then_some(Resource::Tile { level, index, width })
        })
    });
    entries.chain(tiles)
}

/// An archive, read where it lies.
#[derive(Debug)]
pub struct Archive {
    file: File,
    shown: String,
    /// Where each resource begins, and its length.
    resources: BTreeMap<Resource, (u64, u64)>,
}

impl Archive {
    /// Reads an archive's list. Nothing in it is believed: it is a [`TileReader`] like any other.
    ///
    /// # Errors
    /// When it is no such archive.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let shown = path.to_string_lossy().into_owned();
        let error = |e: &io::Error| StorageError::new("read", shown.clone(), e);
        let file = File::open(path).map_err(|e| error(&e))?;
        let mut resources = BTreeMap::new();
        let mut archive = tar::Archive::new(&file);
        for entry in archive.entries_with_seek().map_err(|e| error(&e))? {
            let entry = entry.map_err(|e| error(&e))?;
            if entry.header().entry_type().is_dir() {
                continue;
            }
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let wrong = |what: &str| error(&io::Error::other(format!("{path}: {what}")));
            let resource = Resource::parse(path.strip_prefix("./").unwrap_or(&path))
                .ok_or_else(|| wrong("it is no part of a log"))?;
            if !entry.header().entry_type().is_file() {
                return Err(wrong("it is not a file"));
            }
            if resources.insert(resource, (entry.raw_file_position(), entry.size())).is_some() {
                return Err(wrong("it stands twice"));
            }
            if resources.len() > MAX_RESOURCES {
                return Err(wrong("there are too many files"));
            }
        }
        Ok(Self { file, shown, resources })
    }
}

impl TileReader for Archive {
    fn read(&self, path: &str, at_most: u64) -> Result<Option<Vec<u8>>, StorageError> {
        let found = Resource::parse(path).and_then(|resource| self.resources.get(&resource));
        let Some(&(from, length)) = found else { return Ok(None) };
        let error =
            |e: &io::Error| StorageError::new("read", format!("{path} in {}", self.shown), e);
        if length > at_most {
            let large = format!("it has {length} bytes, more than the {at_most} that it may have");
            return Err(error(&io::Error::other(large)));
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.file.read_exact_at(&mut bytes, from).map_err(|e| error(&e))?;
        Ok(Some(bytes))
    }
}

/// One entry with all that is needed to check it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The entry itself, if the proof holds it.
    pub entry: Option<Vec<u8>>,
    /// Its place.
    pub index: u64,
    /// Inclusion proof, from the leaf upwards.
    pub hashes: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: String,
}

impl Proof {
    /// Takes the proof of an entry out of a log, whose checkpoint and tiles are checked on the way; the other
    /// entries are not looked at.
    ///
    /// # Errors
    /// When there is no such entry, or something is wrong with the log.
    pub fn of<R: TileReader + ?Sized>(
        reader: &R,
        logs: &[LogKey],
        index: u64,
    ) -> Result<Self, AuditError> {
        let log = OpenedLog::open(reader, logs)?;
        let Checkpoint { size, root, .. } = log.checkpoint;
        if index >= size {
            return Err(AuditError::NoSuchEntry { index, size });
        }
        let mut findings = std::collections::BTreeSet::new();
        let tiles = tiles::Verified::open(reader, Head { size, root }, &mut findings)?;
        if !findings.is_empty() {
            return Err(AuditError::Wrong(findings.into_iter().collect()));
        }
        let hashes = inclusion(&InTiles(&tiles), index, size).map_err(AuditError::from)?;
        let number = index / WIDTH;
        let width = width_at(0, number, size);
        let bundle = Resource::Entries { index: number, width };
        let path = bundle.to_string();
        let bytes =
            tile::read(reader, bundle)?.ok_or_else(|| Finding::Missing { path: path.clone() })?;
        let place = usize::try_from(index % WIDTH).unwrap_or(usize::MAX);
        let entry = parse_entries(&bytes, width).and_then(|entries| entries.get(place).copied());
        let checkpoint = String::from_utf8(log.note)
            .map_err(|_| Finding::Checkpoint("it is not UTF-8".into()))?;
        match entry {
            Some(entry) if verify_inclusion(&leaf_hash(entry), index, size, &hashes, &root) => {
                Ok(Self { entry: Some(entry.to_vec()), index, hashes, checkpoint })
            }
            _ => Err(Finding::Entry { index, path }.into()),
        }
    }

    /// The file.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = format!("{PROOF_HEADER}\n");
        if let Some(entry) = &self.entry {
            text.push_str(&format!("extra {}\n", STANDARD.encode(entry)));
        }
        text.push_str(&format!("index {}\n", self.index));
        for hash in &self.hashes {
            text.push_str(&show_hash(hash));
            text.push('\n');
        }
        format!("{text}\n{}", self.checkpoint)
    }

    /// Whether a file begins as a proof does.
    #[must_use]
    pub fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(PROOF_HEADER.as_bytes())
    }

    /// Reads a file. Nothing is verified.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        if u64::try_from(bytes.len()).map_or(true, |length| length > MAX_PROOF) {
            return Err("it is too large");
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or("it has no empty line")?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(PROOF_HEADER) {
            return Err("its first line is not c2sp.org/tlog-proof@v1");
        }
        let extra = lines.next_if(|line| line.starts_with("extra "));
        let entry = extra
            .and_then(|line| line.strip_prefix("extra "))
            .map(|extra| STANDARD.decode(extra).map_err(|_| "its extra data is not base64"))
            .transpose()?;
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(decimal);
        let index = index.ok_or("it has no index")?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() >= 64 {
                return Err("it has more than 64 hashes");
            }
            hashes.push(parse_hash(line).ok_or("a line of it is not a hash in base64")?);
        }
        Ok(Self { entry, index, hashes, checkpoint: checkpoint.to_owned() })
    }

    /// Checks that an entry is in a log: the checkpoint that it is under.
    ///
    /// # Errors
    /// [`AuditError::Wrong`]
    pub fn verify(&self, entry: &[u8], logs: &[LogKey]) -> Result<Checkpoint, AuditError> {
        let checkpoint = Checkpoint::open(self.checkpoint.as_bytes(), logs)?;
        let Checkpoint { size, root, .. } = &checkpoint;
        if verify_inclusion(&leaf_hash(entry), self.index, *size, &self.hashes, root) {
            return Ok(checkpoint);
        }
        let detail = "the entry is not at this place of the log that was signed";
        Err(Finding::Proof(detail).into())
    }
}
