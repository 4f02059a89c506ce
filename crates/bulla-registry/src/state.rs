//! What is in force, as a map that proves what is in it and what is not.
//!
//! ```text
//! root ─ 64 digests ─ 64 digests ─ 64 digests ─ bucket: all rows whose key's hash begins with these 18 bits, sorted
//! ```
//!
//! The root is in the signed checkpoint. To look a key up is to read its bucket and three rows of digests, and to hash them: the rows of
//! the bucket are then all that there are, so that a key that is not among them is not in the map. A digest of 32 zeros stands for
//! nothing below; no hash is that.

use std::collections::{BTreeMap, BTreeSet};

use bulla::{Digest, Fault};
use bulla_log::tree::Hash;

use crate::damaged;
use crate::database::{Pending, Tx, binds};
use crate::schema::{STATE_NODES, STATE_ROWS};

/// Digests in a node: six bits of the key's hash.
const WIDTH: usize = 64;
const BITS: u32 = 6;
/// Levels of nodes above the buckets: 64^3 = 262,144 of them, so that a million models have a dozen rows in each.
const LEVELS: u32 = 3;
/// Rows of a bucket that are read.
const MOST_ROWS: i64 = 100_000;
const EMPTY: Hash = [0; 32];
/// What the hash of a bucket and of a node begins with: neither is ever the other.
const BUCKET: &[u8] = b"bulla registry bucket v1\n";
const NODE: &[u8] = b"bulla registry node v1\n";

/// The digests of a node's children.
type Node = [Hash; WIDTH];

/// A key of the map: a JSON array of strings, which names cannot break out of.
pub(crate) fn name(parts: &[&str]) -> String {
    serde_json::Value::from_iter(parts.iter().copied()).to_string()
}

#[derive(Debug, Default, Clone)]
struct Bucket {
    rows: BTreeMap<String, String>,
    /// Keys whose rows are to be written or deleted.
    changed: BTreeSet<String>,
}

impl Bucket {
    fn digest(&self) -> Hash {
        if self.rows.is_empty() {
            return EMPTY;
        }
        let mut bytes = BUCKET.to_vec();
        for text in self.rows.iter().flat_map(|(name, value)| [name, value]) {
            bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        sha256(&bytes)
    }
}

fn node_digest(node: &Node) -> Hash {
    if node.iter().all(|digest| *digest == EMPTY) {
        return EMPTY;
    }
    sha256(&[NODE, node.as_flattened()].concat())
}

fn sha256(bytes: &[u8]) -> Hash {
    Digest::sha256(bytes).as_bytes().try_into().unwrap_or(EMPTY)
}

/// The bucket of a key: the first 18 bits of its hash.
fn bucket_of(name: &str) -> u32 {
    let [a, b, c, ..] = sha256(name.as_bytes());
    u32::from_be_bytes([0, a, b, c]) >> (24 - BITS * LEVELS)
}

/// Where a node or bucket stands in the one above it.
fn place(index: u32) -> usize {
    usize::try_from(index).unwrap_or_default() % WIDTH
}

/// The map of one head. What is looked up is read and verified once; what is changed is written by [`write`](Self::write).
#[derive(Debug)]
pub(crate) struct StateMap {
    root: Hash,
    nodes: BTreeMap<(u32, u32), Node>,
    buckets: BTreeMap<u32, Bucket>,
    /// Nothing is in the database: what is not here is empty.
    fresh: bool,
}

impl StateMap {
    /// The map under this root.
    pub(crate) fn new(root: Hash) -> Self {
        Self { root, nodes: BTreeMap::new(), buckets: BTreeMap::new(), fresh: root == EMPTY }
    }

    pub(crate) fn root(&self) -> Hash {
        self.root
    }

    /// The value of a key, proven; `None`: it is proven that there is none.
    pub(crate) async fn get(&mut self, tx: &mut Tx, name: &str) -> Result<Option<String>, Fault> {
        let bucket = self.bucket(tx, bucket_of(name)).await?;
        Ok(bucket.rows.get(name).cloned())
    }

    /// Sets or removes a key.
    pub(crate) async fn set(
        &mut self,
        tx: &mut Tx,
        name: &str,
        value: Option<String>,
    ) -> Result<(), Fault> {
        let fresh = self.fresh;
        let bucket = self.bucket(tx, bucket_of(name)).await?;
        let before = match value {
            Some(value) => bucket.rows.insert(name.to_owned(), value),
            None => bucket.rows.remove(name),
        };
        // Where the database has nothing all rows are new, and need not be remembered.
        if !fresh && before.as_ref() != bucket.rows.get(name) {
            bucket.changed.insert(name.to_owned());
        }
        Ok(())
    }

    /// Writes what was changed; [`root`](Self::root) is then the new one.
    pub(crate) async fn write(&mut self, tx: &mut Tx, rows: &mut Pending) -> Result<(), Fault> {
        let mut changed: BTreeMap<u32, Hash> = BTreeMap::new();
        let fresh = std::mem::take(&mut self.fresh);
        for (index, bucket) in &mut self.buckets {
            let names = std::mem::take(&mut bucket.changed);
            let is_new = fresh && !bucket.rows.is_empty();
            if is_new || !names.is_empty() {
                changed.insert(*index, bucket.digest());
            }
            let new = bucket.rows.iter().filter(|_| is_new);
            let set = names.iter().filter_map(|name| bucket.rows.get_key_value(name));
            for (name, value) in new.chain(set) {
                rows.add(&STATE_ROWS, binds![i64::from(*index), name.as_str(), value.as_str()]);
            }
            for name in names.iter().filter(|name| !bucket.rows.contains_key(*name)) {
                let sql = "DELETE FROM state_rows WHERE bucket = $1 AND name = $2";
                tx.execute(sql, binds![i64::from(*index), name.as_str()]).await?;
            }
            if rows.is_full() {
                rows.write(tx).await?;
            }
        }
        for level in (0..LEVELS).rev() {
            let mut above: BTreeMap<u32, Hash> = BTreeMap::new();
            for (index, digest) in changed {
                let parent = index >> BITS;
                // Every bucket that was changed was looked up: its nodes are here.
                let node = self.nodes.entry((level, parent)).or_insert([EMPTY; WIDTH]);
                if let Some(child) = node.get_mut(place(index)) {
                    *child = digest;
                }
                above.insert(parent, EMPTY);
            }
            for (index, digest) in &mut above {
                let Some(node) = self.nodes.get(&(level, *index)) else { continue };
                *digest = node_digest(node);
                if *digest == EMPTY {
                    // No row is a node of nothing: so the rows are the same whichever way the map came to be.
                    let sql = "DELETE FROM state_nodes WHERE level = $1 AND idx = $2";
                    tx.execute(sql, binds![i64::from(level), i64::from(*index)]).await?;
                } else {
                    let row = binds![i64::from(level), i64::from(*index), node.as_flattened()];
                    rows.add(&STATE_NODES, row);
                }
            }
            changed = above;
        }
        if let Some(root) = changed.get(&0) {
            self.root = *root;
        }
        Ok(())
    }

    async fn bucket(&mut self, tx: &mut Tx, index: u32) -> Result<&mut Bucket, Fault> {
        if !self.buckets.contains_key(&index) {
            let bucket = match self.fresh {
                true => Bucket::default(),
                false => self.read(tx, index).await?,
            };
            self.buckets.insert(index, bucket);
        }
        self.buckets.get_mut(&index).ok_or(Fault::Bug { what: "a bucket that was read is gone" })
    }

    /// Reads a bucket, and verifies it up to the root.
    async fn read(&mut self, tx: &mut Tx, index: u32) -> Result<Bucket, Fault> {
        let path: Vec<u32> = (0..LEVELS).map(|level| index >> (BITS * (LEVELS - level))).collect();
        let missing = (0..).zip(&path).any(|(level, at)| !self.nodes.contains_key(&(level, *at)));
        let mut read = BTreeMap::new();
        if missing {
            let sql = "SELECT level, idx, digests FROM state_nodes WHERE (level = 0 AND idx = $1) \
                       OR (level = 1 AND idx = $2) OR (level = 2 AND idx = $3)";
            let binds = path.iter().map(|at| i64::from(*at).into()).collect();
            for row in tx.rows(sql, binds).await? {
                let digests = row.bytes(2)?;
                let (hashes, _) = digests.as_chunks::<32>();
                let node = Node::try_from(hashes)
                    .map_err(|_| row.damaged("a node does not have 64 digests"))?;
                read.insert((row.int(0)?, row.int(1)?), node);
            }
        }
        let place_shown = tx.place().to_owned();
        let wrong = |what: &str| {
            let detail = format!("what it says is in force is not what was signed: {what}");
            damaged(&place_shown, detail)
        };
        let mut expected = self.root;
        for (level, at) in (0..).zip(&path) {
            let known = self.nodes.get(&(level, *at)).copied();
            let node = known.or_else(|| read.get(&(i64::from(level), i64::from(*at))).copied());
            // A row that is not there is one of nothing.
            let node = node.unwrap_or([EMPTY; WIDTH]);
            // What this map has changed since is newer than what was signed, and is its own.
            if known.is_none() && node_digest(&node) != expected {
                return Err(wrong("its digests were changed"));
            }
            self.nodes.insert((level, *at), node);
            let below = path.get(usize::try_from(level).unwrap_or_default() + 1).unwrap_or(&index);
            expected = node.get(place(*below)).copied().unwrap_or(EMPTY);
        }
        // One more than there ever are is not what was signed, however many there are.
        let sql = "SELECT name, value FROM state_rows WHERE bucket = $1 LIMIT $2";
        let mut bucket = Bucket::default();
        for row in tx.rows(sql, binds![i64::from(index), MOST_ROWS]).await? {
            bucket.rows.insert(row.text(0)?, row.text(1)?);
        }
        if bucket.digest() != expected {
            return Err(wrong("a row was changed, added or removed"));
        }
        Ok(bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out() {
        assert_eq!(name(&["a", "b\"c"]), r#"["a","b\"c"]"#);
        assert_ne!(name(&["a", "b\",\"c"]), name(&["a", "b", "c"]));
    }

    #[test]
    fn a_bucket_is_one_of_all() {
        let buckets: BTreeSet<_> = (0..2000).map(|n| bucket_of(&n.to_string())).collect();
        assert!(buckets.len() > 1900 && buckets.iter().all(|b| *b < 1 << 18));
    }

    #[test]
    fn rows_do_not_run_into_one_another() {
        let bucket = |rows: &[(&str, &str)]| {
            let rows = rows.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            Bucket { rows, changed: BTreeSet::new() }.digest()
        };
        assert_ne!(bucket(&[("a", "bc")]), bucket(&[("ab", "c")]));
        assert_ne!(bucket(&[("a", "b"), ("c", "d")]), bucket(&[("a", "bc"), ("", "d")]));
        assert_eq!(bucket(&[]), EMPTY);
    }
}
