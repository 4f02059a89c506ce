//! The right edge of a tree: its partial tiles and its partial bundle, all that appending needs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::LogError;
use super::mark::Head;
use super::tile::{
    self, InTiles, LEVELS, Resource, Tile, TileReader, Tiles, WIDTH, parse_entries, push_entry,
    width_at,
};
use super::tree::{Hash, leaf_hash, root};

/// The tree's newest part.
#[derive(Debug, Clone)]
pub(super) struct Edge {
    size: u64,
    /// Hashes in the partial tile of each level.
    levels: Vec<Vec<Hash>>,
    bundle: Vec<u8>,
}

/// What a batch of entries makes.
#[derive(Debug)]
pub(super) struct Extension {
    /// Files that are new.
    pub(super) resources: Vec<(String, Vec<u8>)>,
    /// The tiles that the batch made, and the edge: all that proofs for the batch's entries need.
    pub(super) tiles: BTreeMap<(u8, u64), Tile>,
    /// The new tree.
    pub(super) head: Head,
}

impl Edge {
    /// That of the empty tree.
    pub(super) fn empty() -> Self {
        Self { size: 0, levels: vec![Vec::new(); usize::from(LEVELS)], bundle: Vec::new() }
    }

    /// Reads that of a tree, and checks that it is the tree's.
    pub(super) fn load(reader: &dyn TileReader, head: Head) -> Result<Self, LogError> {
        let mut edge = Self { size: head.size, ..Self::empty() };
        for level in 0..LEVELS {
            let Some(resource) = partial(level, head.size) else { continue };
            let tile = read_tile(reader, resource)?;
            if let Some(hashes) = edge.levels.get_mut(usize::from(level)) {
                *hashes = tile.hashes().to_vec();
            }
        }
        let found = edge.head()?;
        if found != head {
            let detail =
                format!("the tiles at the tree's edge make {found}, the checkpoint says {head}");
            return Err(LogError::Damaged { path: "tile/".into(), detail });
        }
        if let Some(Resource::Tile { index, width, .. }) = partial(0, head.size) {
            let resource = Resource::Entries { index, width };
            let damaged = |detail: &str| LogError::Damaged {
                path: resource.to_string(),
                detail: detail.into(),
            };
            let bytes = tile::read(reader, resource)?.ok_or_else(|| damaged("it is missing"))?;
            let entries = parse_entries(&bytes, width)
                .ok_or_else(|| damaged("it is not a bundle of that many entries"))?;
            let hashes = entries.into_iter().map(leaf_hash);
            if !hashes.eq(edge.levels.first().into_iter().flatten().copied()) {
                return Err(damaged("its entries are not those of the tree"));
            }
            edge.bundle = bytes;
        }
        Ok(edge)
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Appends entries, each no larger than may be.
    pub(super) fn extend<'e>(
        &mut self,
        entries: impl IntoIterator<Item = &'e [u8]>,
    ) -> Result<Extension, LogError> {
        let (mut resources, mut tiles) = (Vec::new(), BTreeMap::new());
        let before = self.size;
        for entry in entries {
            let too_large = LogError::TooLarge { size: entry.len() };
            push_entry(&mut self.bundle, entry).ok_or(too_large)?;
            let index = self.size / WIDTH;
            self.size += 1;
            let mut hash = Some(leaf_hash(entry));
            for (level, hashes) in (0..).zip(&mut self.levels) {
                let Some(new) = hash.take() else { break };
                hashes.push(new);
                if u64::try_from(hashes.len()) != Ok(WIDTH) {
                    break;
                }
                if level == 0 {
                    let path = Resource::Entries { index, width: WIDTH }.to_string();
                    resources.push((path, std::mem::take(&mut self.bundle)));
                }
                let tile = Tile::new(std::mem::take(hashes));
                hash = tile.top();
                let index = (self.size >> (8 * u32::from(level))) / WIDTH - 1;
                let path = Resource::Tile { level, index, width: WIDTH }.to_string();
                resources.push((path, tile.to_bytes()));
                tiles.insert((level, index), tile);
            }
        }
        for (level, hashes) in (0..).zip(&self.levels) {
            let Some(resource) = partial(level, self.size) else { continue };
            let Resource::Tile { index, width, .. } = resource else { continue };
            let tile = Tile::new(hashes.clone());
            if width_at(level, index, before) != width {
                if level == 0 {
                    let path = Resource::Entries { index, width }.to_string();
                    resources.push((path, self.bundle.clone()));
                }
                resources.push((resource.to_string(), tile.to_bytes()));
            }
            tiles.insert((level, index), tile);
        }
        let head = head_of(&tiles, self.size)?;
        Ok(Extension { resources, tiles, head })
    }

    fn head(&self) -> Result<Head, LogError> {
        let mut tiles = BTreeMap::new();
        for (level, hashes) in (0..).zip(&self.levels) {
            if let Some(Resource::Tile { index, .. }) = partial(level, self.size) {
                tiles.insert((level, index), Tile::new(hashes.clone()));
            }
        }
        head_of(&tiles, self.size)
    }
}

/// The partial tile of a level.
pub(super) fn partial(level: u8, size: u64) -> Option<Resource> {
    let hashes = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
    let (index, width) = (hashes / WIDTH, hashes % WIDTH);
    (width > 0).then_some(Resource::Tile { level, index, width })
}

fn head_of(tiles: &BTreeMap<(u8, u64), Tile>, size: u64) -> Result<Head, LogError> {
    Ok(Head { size, root: root(&InTiles(InMemory(tiles)), size)? })
}

fn read_tile(reader: &dyn TileReader, resource: Resource) -> Result<Tile, LogError> {
    let damaged = |detail: String| LogError::Damaged { path: resource.to_string(), detail };
    let bytes = tile::read(reader, resource)?.ok_or_else(|| damaged("it is missing".into()))?;
    Tile::parse(&bytes, resource.width()).ok_or_else(|| {
        let expected = resource.width() * 32;
        damaged(format!("it has {} bytes, expected {expected}", bytes.len()))
    })
}

struct InMemory<'a>(&'a BTreeMap<(u8, u64), Tile>);

impl Tiles for InMemory<'_> {
    type Error = LogError;

    fn tile(&self, level: u8, index: u64) -> Result<Cow<'_, Tile>, LogError> {
        let found = self.0.get(&(level, index));
        found.map(Cow::Borrowed).ok_or_else(|| self.too_short(level, index))
    }

    fn too_short(&self, level: u8, index: u64) -> LogError {
        let path = Resource::Tile { level, index, width: WIDTH }.to_string();
        LogError::Damaged { path, detail: "it has too few hashes".into() }
    }
}

/// The tiles of a tree in a storage; those in memory are not read.
pub(super) struct Stored<'a> {
    pub(super) reader: &'a dyn TileReader,
    pub(super) size: u64,
    pub(super) memory: Option<&'a BTreeMap<(u8, u64), Tile>>,
}

impl Tiles for Stored<'_> {
    type Error = LogError;

    fn tile(&self, level: u8, index: u64) -> Result<Cow<'_, Tile>, LogError> {
        if let Some(tile) = self.memory.and_then(|memory| memory.get(&(level, index))) {
            return Ok(Cow::Borrowed(tile));
        }
        let width = width_at(level, index, self.size);
        read_tile(self.reader, Resource::Tile { level, index, width }).map(Cow::Owned)
    }

    fn too_short(&self, level: u8, index: u64) -> LogError {
        InMemory(&BTreeMap::new()).too_short(level, index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::StorageError;
    use crate::tree::{consistency, inclusion, verify_consistency};
    use sigstore_types::Sha256Hash;

    #[derive(Default)]
    struct Files(BTreeMap<String, Vec<u8>>);

    impl TileReader for Files {
        fn read(&self, path: &str, _: u64) -> Result<Option<Vec<u8>>, StorageError> {
            Ok(self.0.get(path).cloned())
        }
    }

    fn entry(i: u64) -> Vec<u8> {
        i.to_be_bytes().to_vec()
    }

    fn theirs(hashes: &[Hash]) -> Vec<Sha256Hash> {
        hashes.iter().map(|hash| Sha256Hash::new(*hash)).collect()
    }

    /// Grows a tree in batches; at each size an independent implementation is shown proofs out of the tiles.
    fn grow(batches: &[u64], pick: impl Fn(u64, u64) -> u64) {
        let (mut edge, mut files) = (Edge::empty(), Files::default());
        let mut heads = vec![head_of(&BTreeMap::new(), 0).unwrap()];
        for batch in batches {
            let entries: Vec<_> = (edge.size()..edge.size() + batch).map(entry).collect();
            let Extension { resources, tiles, head } =
                edge.extend(entries.iter().map(Vec::as_slice)).unwrap();
            // Nothing that a tree before this one had is written again.
            for (path, bytes) in resources {
                assert!(files.0.insert(path.clone(), bytes).is_none(), "{path}");
            }
            assert_eq!(Edge::load(&files, head).unwrap().head().unwrap(), head);
            let nodes = InTiles(Stored { reader: &files, size: head.size, memory: None });
            let recent = InTiles(Stored { reader: &files, size: head.size, memory: Some(&tiles) });
            let root = theirs(&[head.root])[0];
            for turn in 0..6 {
                let index = pick(turn, head.size).min(head.size - 1);
                let proof = inclusion(&nodes, index, head.size).unwrap();
                assert_eq!(inclusion(&recent, index, head.size).unwrap(), proof);
                sigstore_merkle::verify_inclusion_proof(
                    &sigstore_merkle::hash_leaf(&entry(index)),
                    index,
                    head.size,
                    &theirs(&proof),
                    &root,
                )
                .unwrap();
            }
            // Of many trees some; all differences between two sizes still come up.
            let some =
                |old: &&Head| batches.len() < 20 || (old.size * 7 + head.size).is_multiple_of(23);
            for old in heads.iter().filter(some) {
                let proof = consistency(&nodes, old.size, head.size).unwrap();
                assert!(verify_consistency(old.size, &old.root, head.size, &head.root, &proof));
                let before = theirs(&[old.root])[0];
                let checked = sigstore_merkle::verify_consistency_proof(
                    old.size,
                    head.size,
                    &theirs(&proof),
                    &before,
                    &root,
                );
                checked.unwrap();
            }
            heads.push(head);
        }
    }

    #[test]
    fn proofs_out_of_tiles_at_every_size_up_to_two_tiles() {
        grow(&[1; 520], |turn, size| size.wrapping_mul(turn * 37 + 11) % size);
    }

    #[test]
    fn proofs_out_of_tiles_of_three_levels() {
        grow(&[255, 1, 1, 255, 65_022, 1, 1, 1, 300, 66_000], |turn, size| match turn {
            0 => 0,
            1 => size - 1,
            2 => 65_535,
            turn => size / turn,
        });
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(30))]
        #[test]
        fn proofs_out_of_tiles_of_any_batches(
            batches in proptest::collection::vec(1_u64..900, 1..14), seed: u64,
        ) {
            grow(&batches, |turn, size| seed.rotate_left(u32::try_from(turn).unwrap() * 9) % size);
        }
    }
}
