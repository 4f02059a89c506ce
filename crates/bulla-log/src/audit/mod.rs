//! Auditing a log from its tiles alone: what it serves is all that is believed, and only once it has been checked.
//!
//! ```text
//! TileReader ─► checkpoint: signature ─► edge tiles: the root ─► each tile: its parent ─► each entry: its leaf
//!                    └─► the checkpoint that was remembered: is it a beginning of this one?
//! ```
//!
//! [`verify`] looks at everything, [`monitor`] at what is new and at who signed it, [`export`] takes it all along.

pub mod body;
pub mod export;
pub mod monitor;
mod tiles;

use std::collections::BTreeSet;

use bulla::Printable;

use super::checkpoint::{Checkpoint, LogKey, show_hash};
use super::mark::Head;
use super::note::{MAX_NOTE, NoteError};
use super::storage::StorageError;
use super::tile::{self, InTiles, Resource, Tile, TileReader, WIDTH, parse_entries};
use super::tree::{self, leaf_hash};
use tiles::Verified as VerifiedTiles;

/// More findings than this are not looked for.
const MAX_FINDINGS: usize = 100;

/// Something that is not as the checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// The checkpoint is not one that this log signed.
    #[error("the checkpoint is not to be believed: {0}")]
    Checkpoint(String),
    /// A tile was changed.
    #[error("{} was changed: {detail}", Printable(path))]
    Tile {
        /// Which.
        path: String,
        /// How that is known.
        detail: String,
    },
    /// A bundle of entries was changed as a whole.
    #[error("{} was changed: {detail}", Printable(path))]
    Entries {
        /// Which.
        path: String,
        /// How that is known.
        detail: String,
    },
    /// An entry was changed.
    #[error(
        "entry {index} was changed: it does not make its hash in the tree ({})",
        Printable(path)
    )]
    Entry {
        /// Which.
        index: u64,
        /// The bundle that it is in.
        path: String,
    },
    /// Something that the checkpoint promises is not there.
    #[error("{} is missing", Printable(path))]
    Missing {
        /// What.
        path: String,
    },
    /// Tiles and entries fit together, but make another root than was signed.
    #[error(
        "the tiles are another tree's: they make the root {found}, the checkpoint says {expected}"
    )]
    Root {
        /// What they make.
        found: String,
        /// What was signed.
        expected: String,
    },
    /// The log shows less than it has shown before.
    #[error("the log was cut back: found {found}, seen before was {remembered}")]
    CutBack {
        /// What it shows.
        found: String,
        /// What it showed.
        remembered: String,
    },
    /// The log shows another history than it has shown before.
    #[error(
        "the log was forked: found root {found} at size {size}, seen before was root {remembered}"
    )]
    Forked {
        /// At which size.
        size: u64,
        /// The root that it has there.
        found: String,
        /// The root that it had there.
        remembered: String,
    },
    /// A proof does not hold.
    #[error("the proof does not hold: {0}")]
    Proof(&'static str),
}

impl Finding {
    /// A short, stable name of the kind of finding, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Checkpoint(_) => "checkpoint",
            Self::Tile { .. } => "tile-changed",
            Self::Entries { .. } => "entries-changed",
            Self::Entry { .. } => "entry-changed",
            Self::Missing { .. } => "missing",
            Self::Root { .. } => "root-mismatch",
            Self::CutBack { .. } => "cut-back",
            Self::Forked { .. } => "forked",
            Self::Proof(_) => "proof",
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Checkpoint(_) => {
                "check that log and key belong together; if they do, whoever serves it has changed it"
            }
            Self::Tile { .. }
            | Self::Entries { .. }
            | Self::Entry { .. }
            | Self::Missing { .. } => {
                "get the log from another mirror; tell its operator, who can restore the file from a good copy"
            }
            Self::Root { .. } | Self::CutBack { .. } | Self::Forked { .. } => {
                "trust no proof of this log for now: keep both checkpoints as evidence, and ask its operator and its witnesses"
            }
            Self::Proof(_) => "get the proof again, and check that it is for this entry",
        }
    }
}

/// Why a log was not found to be in order.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// It is not in order: all that was found, at least one.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Wrong(Vec<Finding>),
    /// It could not be looked at.
    #[error(transparent)]
    Unreadable(#[from] StorageError),
    /// There is no such entry.
    #[error("there is no entry {index}: the log has {size}, counted from 0")]
    NoSuchEntry {
        /// Which was asked for.
        index: u64,
        /// How many there are.
        size: u64,
    },
    /// Nothing is there.
    #[error("there is no log: {} is missing", Printable(.0))]
    Nothing(String),
}

impl From<Finding> for AuditError {
    fn from(finding: Finding) -> Self {
        Self::Wrong(vec![finding])
    }
}

impl From<NoteError> for AuditError {
    fn from(error: NoteError) -> Self {
        Finding::Checkpoint(error.to_string()).into()
    }
}

/// A log that was found to be in order.
#[derive(Debug, Clone)]
pub struct Audited {
    /// Its checkpoint.
    pub checkpoint: Checkpoint,
    /// The checkpoint as it is signed, to be remembered.
    pub note: Vec<u8>,
    /// How many entries were looked at.
    pub entries: u64,
}

/// Checks a whole log: the checkpoint's signature, every tile up to the root, every entry, and that it
/// continues the checkpoint that is remembered.
///
/// # Errors
/// [`AuditError::Wrong`] names what is wrong.
pub fn verify<R: TileReader + ?Sized>(
    reader: &R,
    logs: &[LogKey],
    remembered: Option<&Checkpoint>,
) -> Result<Audited, AuditError> {
    let log = OpenedLog::open(reader, logs)?;
    let entries = log.audit(0, remembered, &mut |_, _| {})?;
    Ok(Audited { checkpoint: log.checkpoint, note: log.note, entries })
}

/// Reads a checkpoint that was remembered; it is believed only if it is signed, too.
///
/// # Errors
/// [`AuditError::Wrong`]
pub fn remembered(note: &[u8], logs: &[LogKey]) -> Result<Checkpoint, AuditError> {
    let wrong = |error| Finding::Checkpoint(format!("the one that was remembered: {error}")).into();
    Checkpoint::open(note, logs).map_err(wrong)
}

/// A log whose checkpoint has been verified, and nothing else.
pub(crate) struct OpenedLog<'r, R: ?Sized> {
    reader: &'r R,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) note: Vec<u8>,
}

impl<'r, R: TileReader + ?Sized> OpenedLog<'r, R> {
    pub(crate) fn open(reader: &'r R, logs: &[LogKey]) -> Result<Self, AuditError> {
        let path = Resource::Checkpoint.to_string();
        let note = reader.read(&path, MAX_NOTE)?.ok_or(AuditError::Nothing(path))?;
        let checkpoint = Checkpoint::open(&note, logs)?;
        Ok(Self { reader, checkpoint, note })
    }

    /// Checks all from an entry on, and what was remembered; shows each entry that is as it should be.
    pub(crate) fn audit(
        &self,
        from: u64,
        remembered: Option<&Checkpoint>,
        each: &mut dyn FnMut(u64, &[u8]),
    ) -> Result<u64, AuditError> {
        let head = Head { size: self.checkpoint.size, root: self.checkpoint.root };
        if let Some(before) = remembered {
            self.not_cut_back(before)?;
        }
        let mut findings = BTreeSet::new();
        let tiles = VerifiedTiles::open(self.reader, head, &mut findings)?;
        if let Some(before) = remembered {
            match tree::root(&InTiles(&tiles), before.size) {
                Ok(root) if root == before.root => {}
                Ok(root) => {
                    findings.insert(Finding::Forked {
                        size: before.size,
                        found: show_hash(&root),
                        remembered: show_hash(&before.root),
                    });
                }
                Err(stop) => stop.or_note(&mut findings)?,
            }
        }
        for index in from / WIDTH..head.size.div_ceil(WIDTH) {
            if findings.len() >= MAX_FINDINGS {
                break;
            }
            let width = tile::width_at(0, index, head.size);
            let bundle = Resource::Entries { index, width };
            if let Err(stop) = self.check_bundle(&tiles, bundle, from, each, &mut findings) {
                stop.or_note(&mut findings)?;
            }
        }
        if findings.is_empty() {
            return Ok(head.size.saturating_sub(from));
        }
        Err(AuditError::Wrong(findings.into_iter().collect()))
    }

    fn not_cut_back(&self, before: &Checkpoint) -> Result<(), AuditError> {
        let now = &self.checkpoint;
        let show = |c: &Checkpoint| Head { size: c.size, root: c.root }.to_string();
        if before.origin != now.origin {
            let (found, expected) = (now.origin.clone(), before.origin.clone());
            return Err(NoteError::OtherOrigin { found, expected }.into());
        }
        if now.size < before.size {
            let (found, remembered) = (show(now), show(before));
            return Err(Finding::CutBack { found, remembered }.into());
        }
        Ok(())
    }

    fn check_bundle(
        &self,
        tiles: &VerifiedTiles<'r, R>,
        bundle: Resource,
        from: u64,
        each: &mut dyn FnMut(u64, &[u8]),
        findings: &mut BTreeSet<Finding>,
    ) -> Result<(), Stop> {
        let Resource::Entries { index, width } = bundle else { return Ok(()) };
        let path = bundle.to_string();
        let leaves = tiles.verified(0, index);
        let bytes = tile::read(self.reader, bundle)?
            .ok_or_else(|| Finding::Missing { path: path.clone() })?;
        let entries = parse_entries(&bytes, width).ok_or_else(|| Finding::Entries {
            path: path.clone(),
            detail: format!("it is not a bundle of {width} entries"),
        })?;
        let leaves = match leaves {
            Ok(leaves) => leaves,
            Err(stop) => {
                stop.or_note(findings)?;
                // The tile is wrong. Are the entries right?
                let made = Tile::new(entries.iter().map(|entry| leaf_hash(entry)).collect());
                let expected = tiles.expected(0, index)?;
                if expected.is_some() && made.top() != expected {
                    let detail = "its entries do not make their hash in the tree".to_owned();
                    findings.insert(Finding::Entries { path, detail });
                }
                return Ok(());
            }
        };
        let first = index * WIDTH;
        for ((entry, leaf), at) in entries.into_iter().zip(leaves.hashes()).zip(first..) {
            if leaf_hash(entry) != *leaf {
                findings.insert(Finding::Entry { index: at, path: path.clone() });
            } else if at >= from {
                each(at, entry);
            }
        }
        Ok(())
    }
}

/// Why looking went no further.
#[derive(Debug)]
pub(crate) enum Stop {
    Finding(Finding),
    Unreadable(StorageError),
}

impl Stop {
    /// A finding is noted, and looking goes on elsewhere.
    fn or_note(self, findings: &mut BTreeSet<Finding>) -> Result<(), StorageError> {
        match self {
            Self::Finding(finding) => {
                findings.insert(finding);
                Ok(())
            }
            Self::Unreadable(error) => Err(error),
        }
    }
}

impl From<Finding> for Stop {
    fn from(finding: Finding) -> Self {
        Self::Finding(finding)
    }
}

impl From<StorageError> for Stop {
    fn from(error: StorageError) -> Self {
        Self::Unreadable(error)
    }
}

impl From<Stop> for AuditError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Finding(finding) => finding.into(),
            Stop::Unreadable(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bulla::{KeyAlgorithm, KeyPair, KeySigner};

    use super::*;
    use crate::edge::Edge;
    use crate::note::{self, NoteKey, VerifierKey};

    #[derive(Clone)]
    struct Files(BTreeMap<String, Vec<u8>>);

    impl TileReader for Files {
        fn read(&self, path: &str, _: u64) -> Result<Option<Vec<u8>>, StorageError> {
            Ok(self.0.get(path).cloned())
        }
    }

    /// The specification's example of a tree of 70,000: a full tile above others, and three levels at the edge.
    #[test]
    fn a_tampered_tile_in_the_middle_of_a_large_log_is_named() {
        let pair = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
        let key = VerifierKey::of_log("log.example/large", pair.public().clone()).unwrap();
        let logs = [LogKey::new(key.clone())];
        let signer = NoteKey::new(Box::new(KeySigner::new(pair)), key.clone());
        let entries: Vec<_> = (0..70_000_u32).map(u32::to_be_bytes).collect();
        let extension = Edge::empty().extend(entries.iter().map(<[u8; 4]>::as_slice)).unwrap();
        let Head { size, root } = extension.head;
        let origin = "log.example/large".to_owned();
        let checkpoint = Checkpoint { origin, size, root, extensions: String::new() };
        let note = note::sign(&checkpoint.to_text(), &signer, &key).unwrap();
        let mut files = Files(extension.resources.into_iter().collect());
        files.0.insert("checkpoint".into(), note.into_bytes());
        assert_eq!(verify(&files, &logs, None).unwrap().entries, 70_000);

        for (path, below) in [
            ("tile/0/100", "tile/1/000"),
            ("tile/0/270", "tile/1/001.p/17"),
            ("tile/1/000", "tile/2/000.p/1"),
            ("tile/1/001.p/17", "which makes the root"),
            ("tile/2/000.p/1", "which makes the root"),
            ("tile/0/273.p/112", "which makes the root"),
        ] {
            let mut tampered = files.clone();
            tampered.0.get_mut(path).unwrap()
                [320 % if path.contains(".p/1") { 32 } else { 8192 }] ^= 1;
            let found = match verify(&tampered, &logs, None) {
                Err(AuditError::Wrong(found)) => found,
                other => panic!("{other:?}"),
            };
            let said = found[0].to_string();
            assert!(said.starts_with(&format!("{path} was changed")), "{said}");
            assert!(said.ends_with(below), "{said}");
            assert_eq!(found.len(), 1, "{found:?}");
        }
        let mut tampered = files.clone();
        *tampered.0.get_mut("tile/entries/200").unwrap().last_mut().unwrap() ^= 1;
        let found = verify(&tampered, &logs, None).unwrap_err().to_string();
        assert!(found.starts_with(&format!("entry {} was changed", 200 * 256 + 255)), "{found}");
    }
}
