//! Tiles, entry bundles and their paths (c2sp.org/tlog-tiles).
//!
//! ```text
//! checkpoint   tile/<L>/<N>[.p/<W>]   tile/entries/<N>[.p/<W>]        N: x001/x234/067
//! ```

use std::fmt;

use super::storage::StorageError;
use super::tree::{Hash, Nodes, node_hash};

/// Hashes in a full tile, entries in a full bundle.
pub const WIDTH: u64 = 256;
/// Levels of the tree in one level of tiles.
const HEIGHT: u32 = 8;
/// The largest entry: its length is a `uint16`.
pub const MAX_ENTRY: usize = 65_535;
/// Bytes of the largest resource: a bundle of the largest entries.
pub const MAX_RESOURCE: u64 = WIDTH * (2 + MAX_ENTRY as u64);
/// Levels of tiles in the largest tree.
pub(crate) const LEVELS: u8 = 8;

/// Something below a log's URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// `checkpoint`
    Checkpoint,
    /// `tile/<L>/<N>[.p/<W>]`
    Tile {
        /// Its level.
        level: u8,
        /// Its place in the level.
        index: u64,
        /// Its hashes: 256, or fewer in a partial tile.
        width: u64,
    },
    /// `tile/entries/<N>[.p/<W>]`
    Entries {
        /// Its place.
        index: u64,
        /// Its entries: 256, or fewer in a partial bundle.
        width: u64,
    },
}

impl Resource {
    /// Reads a path. Only the one spelling of each resource is taken.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        if path == "checkpoint" {
            return Some(Self::Checkpoint);
        }
        let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, decimal(width).filter(|w| (1..WIDTH).contains(w))?),
            None => (rest, WIDTH),
        };
        let index = parse_number(number)?;
        let resource = match kind {
            "entries" => Self::Entries { index, width },
            level => {
                let level = decimal(level).and_then(|l| u8::try_from(l).ok());
                Self::Tile { level: level.filter(|l| *l < 64)?, index, width }
            }
        };
        (resource.to_string() == path).then_some(resource)
    }

    /// The resource in full, for one that may be partial.
    #[must_use]
    pub fn full(self) -> Self {
        match self {
            Self::Tile { level, index, .. } => Self::Tile { level, index, width: WIDTH },
            Self::Entries { index, .. } => Self::Entries { index, width: WIDTH },
            Self::Checkpoint => self,
        }
    }

    /// The resource with all that a tree of this size has of it; `None` if that is nothing.
    #[must_use]
    pub fn at(self, size: u64) -> Option<Self> {
        let (level, index) = match self {
            Self::Tile { level, index, .. } => (level, index),
            Self::Entries { index, .. } => (0, index),
            Self::Checkpoint => return Some(self),
        };
        let width = width_at(level, index, size);
        (width > 0).then_some(match self {
            Self::Entries { .. } => Self::Entries { index, width },
            _ => Self::Tile { level, index, width },
        })
    }

    /// Below which path the partial forms of it are.
    pub(crate) fn partials(self) -> String {
        format!("{}.p", self.full())
    }

    pub(crate) fn width(self) -> u64 {
        match self {
            Self::Tile { width, .. } | Self::Entries { width, .. } => width,
            Self::Checkpoint => 0,
        }
    }
}

/// The path.
impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, width) = match *self {
            Self::Checkpoint => return f.write_str("checkpoint"),
            Self::Tile { level, index, width } => {
                write!(f, "tile/{level}/")?;
                (index, width)
            }
            Self::Entries { index, width } => {
                f.write_str("tile/entries/")?;
                (index, width)
            }
        };
        write_number(f, index / 1000)?;
        write!(f, "{:03}", index % 1000)?;
        if width < WIDTH { write!(f, ".p/{width}") } else { Ok(()) }
    }
}

/// All but the last group of three digits.
fn write_number(f: &mut fmt::Formatter<'_>, n: u64) -> fmt::Result {
    if n == 0 {
        return Ok(());
    }
    write_number(f, n / 1000)?;
    write!(f, "x{:03}/", n % 1000)
}

fn parse_number(text: &str) -> Option<u64> {
    let three = |digits: &str| {
        let all = digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit());
        if all { digits.parse::<u64>().ok() } else { None }
    };
    let (groups, last) = text.rsplit_once('/').map_or((None, text), |(g, l)| (Some(g), l));
    let mut number = 0u64;
    for group in groups.into_iter().flat_map(|groups| groups.split('/')) {
        number = number.checked_mul(1000)?.checked_add(three(group.strip_prefix('x')?)?)?;
    }
    number.checked_mul(1000)?.checked_add(three(last)?)
}

/// A decimal number without leading zeros or a sign.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !plain || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse().ok()
}

/// How many hashes a tile has in a tree of this size.
#[must_use]
pub fn width_at(level: u8, index: u64, size: u64) -> u64 {
    let hashes = size.checked_shr(HEIGHT * u32::from(level)).unwrap_or(0);
    hashes.saturating_sub(index.saturating_mul(WIDTH)).min(WIDTH)
}

/// A tile's hashes with all that can be computed from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// Row 0 is the tile's; each next row hashes pairs of the row before.
    rows: Vec<Vec<Hash>>,
}

impl Tile {
    /// From its hashes.
    #[must_use]
    pub fn new(hashes: Vec<Hash>) -> Self {
        let mut rows = vec![hashes];
        while let Some(row) = rows.last()
            && row.len() > 1
        {
            let (pairs, _) = row.as_chunks::<2>();
            rows.push(pairs.iter().map(|[left, right]| node_hash(left, right)).collect());
        }
        Self { rows }
    }

    /// From a file's bytes; `None` unless there are exactly as many as a tile of this width has.
    #[must_use]
    pub fn parse(bytes: &[u8], width: u64) -> Option<Self> {
        let (hashes, rest) = bytes.as_chunks::<32>();
        let fits = rest.is_empty() && u64::try_from(hashes.len()) == Ok(width);
        fits.then(|| Self::new(hashes.to_vec()))
    }

    /// Its hashes.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        self.rows.first().map_or(&[], Vec::as_slice)
    }

    /// Its bytes as a file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.hashes().as_flattened().to_vec()
    }

    /// Hash over `1 << height` of its hashes.
    fn node(&self, height: u32, index: u64) -> Option<Hash> {
        let row = self.rows.get(usize::try_from(height).ok()?)?;
        row.get(usize::try_from(index).ok()?).copied()
    }

    /// Its hash in the level above: only full tiles have one.
    #[must_use]
    pub fn top(&self) -> Option<Hash> {
        self.node(HEIGHT, 0)
    }
}

/// Reads a log's resources, from wherever they are.
pub trait TileReader: Sync {
    /// The bytes of a resource; `Ok(None)` when there is none. No more than `at_most` bytes are read: what is longer is an
    /// error.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, path: &str, at_most: u64) -> Result<Option<Vec<u8>>, StorageError>;
}

impl<T: TileReader + ?Sized> TileReader for &T {
    fn read(&self, path: &str, at_most: u64) -> Result<Option<Vec<u8>>, StorageError> {
        (**self).read(path, at_most)
    }
}

/// What a tree of some size has of a resource. A partial one may have been removed once it is full: then its
/// beginning is taken from the full one (c2sp.org/tlog-tiles, "Partial Tiles").
///
/// # Errors
/// When it cannot be read; `Ok(None)` when neither is there or neither has as much as it should.
pub fn read<R: TileReader + ?Sized>(
    reader: &R,
    resource: Resource,
) -> Result<Option<Vec<u8>>, StorageError> {
    let limit = match resource {
        Resource::Tile { .. } => WIDTH * 32,
        Resource::Entries { .. } => MAX_RESOURCE,
        Resource::Checkpoint => super::note::MAX_NOTE,
    };
    if let Some(bytes) = reader.read(&resource.to_string(), limit)? {
        return Ok(Some(bytes));
    }
    if resource.full() == resource {
        return Ok(None);
    }
    let full = reader.read(&resource.full().to_string(), limit)?;
    Ok(full.and_then(|bytes| beginning(&bytes, resource)))
}

/// The beginning of a resource, as wide as asked for.
pub(crate) fn beginning(bytes: &[u8], resource: Resource) -> Option<Vec<u8>> {
    let length = match resource {
        Resource::Checkpoint => return None,
        Resource::Tile { width, .. } => usize::try_from(width).ok()?.checked_mul(32)?,
        Resource::Entries { width, .. } => {
            let mut rest = bytes;
            for _ in 0..width {
                (_, rest) = split_entry(rest)?;
            }
            bytes.len() - rest.len()
        }
    };
    bytes.get(..length).map(<[u8]>::to_vec)
}

/// Appends an entry to a bundle; `None`, and nothing appended, if it is too large.
pub(crate) fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Option<()> {
    bundle.extend_from_slice(&u16::try_from(entry.len()).ok()?.to_be_bytes());
    bundle.extend_from_slice(entry);
    Some(())
}

/// The entries of a bundle; `None` unless it holds exactly so many and nothing else.
#[must_use]
pub fn parse_entries(bundle: &[u8], width: u64) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    let mut rest = bundle;
    for _ in 0..width {
        let (entry, after) = split_entry(rest)?;
        entries.push(entry);
        rest = after;
    }
    rest.is_empty().then_some(entries)
}

fn split_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// Which node of which tile a hash is: (level, tile, height in the tile, index in that row).
fn place(height: u32, index: u64) -> Option<(u8, u64, u32, u64)> {
    let level = u8::try_from(height / HEIGHT).ok()?;
    let inside = height % HEIGHT;
    let in_row = HEIGHT - inside;
    Some((level, index >> in_row, inside, index & ((1 << in_row) - 1)))
}

/// A tree whose tiles something can give.
pub(crate) trait Tiles {
    type Error;
    /// The tile as it is in this tree.
    fn tile(&self, level: u8, index: u64) -> Result<std::borrow::Cow<'_, Tile>, Self::Error>;
    /// What to say of a tile that has less than it should.
    fn too_short(&self, level: u8, index: u64) -> Self::Error;
}

/// [`Tiles`] seen as [`Nodes`].
pub(crate) struct InTiles<T>(pub(crate) T);

impl<T: Tiles> Nodes for InTiles<T> {
    type Error = T::Error;

    fn node(&self, height: u32, index: u64) -> Result<Hash, T::Error> {
        let Some((level, tile, inside, place)) = place(height, index) else {
            return Err(self.0.too_short(u8::MAX, index));
        };
        let found = self.0.tile(level, tile)?.node(inside, place);
        found.ok_or_else(|| self.0.too_short(level, tile))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let tile = |level, index, width| Resource::Tile { level, index, width };
        for (path, resource) in [
            ("checkpoint", Resource::Checkpoint),
            ("tile/0/000", tile(0, 0, 256)),
            ("tile/3/x001/x234/067", tile(3, 1_234_067, 256)),
            ("tile/0/x001/000.p/255", tile(0, 1000, 255)),
            ("tile/63/999.p/1", tile(63, 999, 1)),
            ("tile/entries/x001/x234/067.p/8", Resource::Entries { index: 1_234_067, width: 8 }),
        ] {
            assert_eq!(resource.to_string(), path);
            assert_eq!(Resource::parse(path), Some(resource));
        }
        for wrong in [
            "",
            "checkpoint/",
            "tile/0/0",
            "tile/00/000",
            "tile/64/000",
            "tile/0/x000/000",
            "tile/0/001/000",
            "tile/0/x001",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/+1",
            "tile/0/+00",
            "tile/-1/000",
            "tile/entries/../checkpoint",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
            "/tile/0/000",
            "tile/0/000/",
        ] {
            assert_eq!(Resource::parse(wrong), None, "{wrong}");
        }
    }

    /// The specification's example: a tree of 70,000.
    #[test]
    fn widths() {
        assert_eq!(width_at(0, 272, 70_000), 256);
        assert_eq!(width_at(0, 273, 70_000), 112);
        assert_eq!(width_at(0, 274, 70_000), 0);
        assert_eq!(width_at(1, 0, 70_000), 256);
        assert_eq!(width_at(1, 1, 70_000), 17);
        assert_eq!(width_at(2, 0, 70_000), 1);
        assert_eq!(width_at(3, 0, 70_000), 0);
        assert_eq!(width_at(1, 0, 256), 1);
        assert_eq!(width_at(63, 0, u64::MAX), 0);
    }

    #[test]
    fn bundles() {
        let mut bundle = Vec::new();
        for entry in [b"one".as_slice(), b"", &[7; MAX_ENTRY]] {
            push_entry(&mut bundle, entry).unwrap();
        }
        let length = bundle.len();
        assert_eq!(push_entry(&mut bundle, &[0; MAX_ENTRY + 1]), None);
        assert_eq!(bundle.len(), length);
        let entries = parse_entries(&bundle, 3).unwrap();
        assert_eq!(entries[0], b"one");
        assert_eq!(entries[1], b"");
        assert_eq!(entries[2].len(), MAX_ENTRY);
        assert_eq!(parse_entries(&bundle, 2), None);
        assert_eq!(parse_entries(&bundle, 4), None);
        assert_eq!(parse_entries(&bundle[..length - 1], 3), None);
        assert_eq!(
            beginning(&bundle, Resource::Entries { index: 0, width: 2 }).unwrap(),
            bundle[..7]
        );
    }

    #[test]
    fn a_tile_has_the_length_of_its_width() {
        assert!(Tile::parse(&[0; 64], 2).is_some());
        assert!(Tile::parse(&[0; 64], 3).is_none());
        assert!(Tile::parse(&[0; 65], 2).is_none());
        assert_eq!(Tile::parse(&[0; 64], 2).unwrap().top(), None);
        assert!(Tile::parse(&[0; 8192], 256).unwrap().top().is_some());
    }

    proptest::proptest! {
        #[test]
        fn any_path_is_read_as_itself_or_not_at_all(path in "(tile/)?(entries|[0-9]{1,2})/(x?[0-9]{3}/){0,3}[0-9]{3}(\\.p/[0-9]{1,3})?") {
            if let Some(resource) = Resource::parse(&path) {
                proptest::prop_assert_eq!(resource.to_string(), path);
            }
        }

        #[test]
        fn any_bundle_is_read_without_a_panic(bytes: Vec<u8>, width in 0u64..300) {
            if let Some(entries) = parse_entries(&bytes, width) {
                let mut again = Vec::new();
                entries.iter().for_each(|entry| push_entry(&mut again, entry).unwrap());
                proptest::prop_assert_eq!(again, bytes);
            }
        }
    }
}
