//! Tiles that lead to the root: none is used before its parent vouches for it, and the edge's before they make the root.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::{Finding, Stop};
use crate::checkpoint::show_hash;
use crate::edge::partial;
use crate::mark::Head;
use crate::storage::StorageError;
use crate::tile::{
    self, InTiles, LEVELS, Resource, Tile, TileReader, Tiles, WIDTH, parse_entries, width_at,
};
use crate::tree::{Hash, leaf_hash, root};

/// The tiles of a tree, each verified when it is used.
pub(super) struct Verified<'r, R: ?Sized> {
    reader: &'r R,
    size: u64,
    /// The partial tiles, which make the root.
    edge: BTreeMap<(u8, u64), Rc<Tile>>,
    /// The full tile of each level that was used last.
    last: RefCell<BTreeMap<u8, (u64, Rc<Tile>)>>,
}

impl<'r, R: TileReader + ?Sized> Verified<'r, R> {
    /// Reads the tree's edge. If it does not make the root, what is wrong is found and noted, and what can be mended is,
    /// to look at the rest.
    pub(super) fn open(
        reader: &'r R,
        head: Head,
        findings: &mut BTreeSet<Finding>,
    ) -> Result<Self, super::AuditError> {
        let mut edge = BTreeMap::new();
        let mut missing = Vec::new();
        for resource in (0..LEVELS).filter_map(|level| partial(level, head.size)) {
            let Resource::Tile { level, index, .. } = resource else { continue };
            match read(reader, resource) {
                Ok(tile) => drop(edge.insert((level, index), Rc::new(tile))),
                Err(Stop::Finding(finding)) => missing.push((resource, finding)),
                Err(Stop::Unreadable(error)) => return Err(error.into()),
            }
        }
        let mut this = Self { reader, size: head.size, edge, last: RefCell::default() };
        if missing.is_empty() && this.root() == Some(head.root) {
            return Ok(this);
        }
        this.mend(head, missing, findings)?;
        Ok(this)
    }

    /// A tile that leads to the root.
    pub(super) fn verified(&self, level: u8, index: u64) -> Result<Rc<Tile>, Stop> {
        let width = width_at(level, index, self.size);
        let resource = Resource::Tile { level, index, width };
        if width < WIDTH {
            let tile = self.edge.get(&(level, index)).cloned();
            return tile.ok_or_else(|| Finding::Missing { path: resource.to_string() }.into());
        }
        if let Some((at, tile)) = self.last.borrow().get(&level)
            && *at == index
        {
            return Ok(Rc::clone(tile));
        }
        let expected = self.parent_hash(level, index)?;
        let tile = read(self.reader, resource)?;
        if tile.top() != Some(expected) {
            let parent = width_at(level + 1, index / WIDTH, self.size);
            let parent = Resource::Tile { level: level + 1, index: index / WIDTH, width: parent };
            let detail = format!("its hashes do not make its hash in {parent}");
            return Err(Finding::Tile { path: resource.to_string(), detail }.into());
        }
        let tile = Rc::new(tile);
        self.last.borrow_mut().insert(level, (index, Rc::clone(&tile)));
        Ok(tile)
    }

    /// What a full tile must make; `None` for a partial one, or where that is not known either.
    pub(super) fn expected(&self, level: u8, index: u64) -> Result<Option<Hash>, StorageError> {
        if width_at(level, index, self.size) < WIDTH {
            return Ok(None);
        }
        match self.parent_hash(level, index) {
            Ok(hash) => Ok(Some(hash)),
            Err(Stop::Finding(_)) => Ok(None),
            Err(Stop::Unreadable(error)) => Err(error),
        }
    }

    fn parent_hash(&self, level: u8, index: u64) -> Result<Hash, Stop> {
        let parent = self.verified(level + 1, index / WIDTH)?;
        let place = usize::try_from(index % WIDTH).unwrap_or(usize::MAX);
        let found = parent.hashes().get(place).copied();
        found.ok_or_else(|| self.too_short(level + 1, index / WIDTH))
    }

    fn root(&self) -> Option<Hash> {
        root(&InTiles(Edge(&self.edge)), self.size).ok()
    }

    /// Some tile of the edge is wrong, or the checkpoint is another tree's. What lies below each tile tells which.
    fn mend(
        &mut self,
        head: Head,
        missing: Vec<(Resource, Finding)>,
        findings: &mut BTreeSet<Finding>,
    ) -> Result<(), super::AuditError> {
        let given = self.edge.clone();
        let mut below = BTreeMap::new();
        for resource in (0..LEVELS).filter_map(|level| partial(level, head.size)) {
            let Resource::Tile { level, index, .. } = resource else { continue };
            match self.made_from_below(resource) {
                Ok(tile) => drop(below.insert((level, index), Rc::new(tile))),
                Err(Stop::Finding(_)) => {}
                Err(Stop::Unreadable(error)) => return Err(error.into()),
            }
        }
        let name = |(level, index): (u8, u64)| {
            let width = width_at(level, index, head.size);
            Resource::Tile { level, index, width }.to_string()
        };
        let differs: Vec<(u8, u64)> = below
            .iter()
            .filter(|(place, tile)| given.get(place) != Some(*tile))
            .map(|(place, _)| *place)
            .collect();
        findings.extend(missing.into_iter().map(|(_, finding)| finding));
        // Each tile that differs from what is below it, or some of them, may be the wrong one: 2^8 ways at most.
        for choice in 0..1_usize << differs.len() {
            self.edge.clone_from(&given);
            let chosen = || differs.iter().enumerate().filter(|(i, _)| choice >> i & 1 == 1);
            for (_, place) in chosen() {
                self.edge.extend(below.get(place).map(|tile| (*place, Rc::clone(tile))));
            }
            if self.root() != Some(head.root) {
                continue;
            }
            for (_, place) in chosen().filter(|(_, place)| given.contains_key(place)) {
                let detail = "it is not what lies below it, which makes the root".to_owned();
                findings.insert(Finding::Tile { path: name(*place), detail });
            }
            return Ok(());
        }
        self.edge = given;
        for place in &differs {
            let detail = "it is not what lies below it".to_owned();
            findings.insert(Finding::Tile { path: name(*place), detail });
        }
        if findings.is_empty() {
            let found = self.root().map(|root| show_hash(&root)).unwrap_or_default();
            findings.insert(Finding::Root { found, expected: show_hash(&head.root) });
        }
        Ok(())
    }

    /// A tile of the edge as its entries, or the full tiles below it, make it.
    fn made_from_below(&self, resource: Resource) -> Result<Tile, Stop> {
        let Resource::Tile { level, index, width } = resource else {
            return Err(Finding::Missing { path: resource.to_string() }.into());
        };
        let Some(below) = level.checked_sub(1) else {
            let bundle = Resource::Entries { index, width };
            let missing = || Finding::Missing { path: bundle.to_string() };
            let bytes = tile::read(self.reader, bundle)?.ok_or_else(missing)?;
            let entries = parse_entries(&bytes, width).ok_or_else(missing)?;
            return Ok(Tile::new(entries.into_iter().map(leaf_hash).collect()));
        };
        let child = |i: u64| {
            let index = index * WIDTH + i;
            let child = Resource::Tile { level: below, index, width: WIDTH };
            read(self.reader, child)?
                .top()
                .ok_or_else(|| Finding::Missing { path: child.to_string() }.into())
        };
        (0..width).map(child).collect::<Result<_, Stop>>().map(Tile::new)
    }
}

impl<R: TileReader + ?Sized> Tiles for &Verified<'_, R> {
    type Error = Stop;

    fn tile(&self, level: u8, index: u64) -> Result<Cow<'_, Tile>, Stop> {
        let tile = self.verified(level, index)?;
        Ok(Cow::Owned(Rc::unwrap_or_clone(tile)))
    }

    fn too_short(&self, level: u8, index: u64) -> Stop {
        Verified::too_short(self, level, index)
    }
}

impl<R: ?Sized> Verified<'_, R> {
    fn too_short(&self, level: u8, index: u64) -> Stop {
        let width = width_at(level, index, self.size);
        Finding::Missing { path: Resource::Tile { level, index, width }.to_string() }.into()
    }
}

fn read<R: TileReader + ?Sized>(reader: &R, resource: Resource) -> Result<Tile, Stop> {
    let path = resource.to_string();
    let Some(bytes) = tile::read(reader, resource)? else {
        return Err(Finding::Missing { path }.into());
    };
    Tile::parse(&bytes, resource.width()).ok_or_else(|| {
        let expected = resource.width() * 32;
        let detail = format!("it has {} bytes, expected {expected}", bytes.len());
        Finding::Tile { path, detail }.into()
    })
}

struct Edge<'a>(&'a BTreeMap<(u8, u64), Rc<Tile>>);

impl Tiles for Edge<'_> {
    type Error = ();

    fn tile(&self, level: u8, index: u64) -> Result<Cow<'_, Tile>, ()> {
        self.0.get(&(level, index)).map(|tile| Cow::Borrowed(tile.as_ref())).ok_or(())
    }

    fn too_short(&self, _: u8, _: u64) {}
}
