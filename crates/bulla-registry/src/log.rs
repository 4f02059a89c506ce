//! The log in the database: RFC 6962's tree over the entries, and its head.
//!
//! ```text
//! head         size, frontier (the complete subtrees from left to right), the signed checkpoint
//! log_nodes    hashes of the leaves (height 0), and of complete subtrees of 256 leaves and more (height 8 and above)
//! ```
//!
//! With the frontier an append reads nothing but the head. Nothing of all this is believed: the frontier and proofs have to lead to the
//! root of a checkpoint that the caller's key signed.

use std::collections::BTreeMap;
use std::str::FromStr;

use bulla::Fault;
use bulla::jiff::Timestamp;
use bulla_log::note::VerifierKey;
use bulla_log::tree::{self, Hash, Nodes, node_hash};
use bulla_log::{Checkpoint, Head, LogKey, NoteSigner, note};

use crate::damaged;
use crate::database::{Bind, Pending, Tx, binds, int};
use crate::schema::LOG_NODES;

/// Subtrees below this height are computed from their leaves.
const KEPT: u32 = 8;
/// Extension lines of a checkpoint.
const TIME: &str = "time ";
const STATE: &str = "state ";

/// A checkpoint whose signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    /// Size and root of the log.
    pub head: Head,
    /// When it was signed; no entry is from later.
    pub time: Timestamp,
    /// Root of the map of what is in force.
    pub state: Hash,
    /// The signed note.
    pub note: String,
}

impl SignedHead {
    /// Reads and verifies a checkpoint.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, String> {
        let log = LogKey::new(key.clone());
        let checkpoint =
            Checkpoint::open(note.as_bytes(), &[log]).map_err(|error| error.to_string())?;
        let lines: Vec<_> = checkpoint.extensions.lines().collect();
        let [time, state] = lines[..] else {
            return Err("it does not have the two lines of a registry's: time and state".into());
        };
        let time = time.strip_prefix(TIME).and_then(|text| Timestamp::from_str(text).ok());
        let state = state.strip_prefix(STATE).and_then(|hex| hex::decode(hex).ok());
        let (Some(time), Some(Ok(state))) = (time, state.map(Hash::try_from)) else {
            return Err("its lines time and state cannot be read".into());
        };
        let head = Head { size: checkpoint.size, root: checkpoint.root };
        Ok(Self { head, time, state, note: note.to_owned() })
    }

    /// Signs one.
    pub(crate) fn sign(
        head: Head,
        time: Timestamp,
        state: Hash,
        signer: &dyn NoteSigner,
        key: &VerifierKey,
    ) -> Result<Self, Fault> {
        let extensions = format!("{TIME}{time}\n{STATE}{}\n", hex::encode(state));
        let origin = key.name().to_owned();
        let text = Checkpoint { origin, size: head.size, root: head.root, extensions }.to_text();
        let note = note::sign(&text, signer, key)?;
        Ok(Self { head, time, state, note })
    }
}

/// The complete subtrees of a tree, from left to right: enough to append to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Frontier {
    size: u64,
    /// One for each bit of the size, the largest first.
    subtrees: Vec<Hash>,
}

impl Frontier {
    pub(crate) fn parse(size: u64, bytes: &[u8]) -> Option<Self> {
        let (subtrees, rest) = bytes.as_chunks::<32>();
        let fits = rest.is_empty() && subtrees.len() == usize::try_from(size.count_ones()).ok()?;
        fits.then(|| Self { size, subtrees: subtrees.to_vec() })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        self.subtrees.concat()
    }

    pub(crate) fn head(&self) -> Head {
        let joined = self.subtrees.iter().rev().copied();
        let root = joined.reduce(|right, left| node_hash(&left, &right));
        Head { size: self.size, root: root.unwrap_or_else(tree::empty_root) }
    }

    /// Adds a leaf; the nodes that are complete by it, as height, index and hash.
    pub(crate) fn push(&mut self, leaf: Hash) -> Vec<(u32, u64, Hash)> {
        let index = self.size;
        let mut nodes = vec![(0, index, leaf)];
        let mut hash = leaf;
        for height in 1..=index.trailing_ones() {
            // One subtree for each bit of the size: there is a left one.
            let Some(left) = self.subtrees.pop() else { break };
            hash = node_hash(&left, &hash);
            if height >= KEPT {
                nodes.push((height, index >> height, hash));
            }
        }
        self.subtrees.push(hash);
        self.size += 1;
        nodes
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Adds an entry; the nodes are written with the next rows.
    pub(crate) fn append(&mut self, body: &[u8], rows: &mut Pending) -> u64 {
        let index = self.size;
        for (height, at, hash) in self.push(tree::leaf_hash(body)) {
            rows.add(&LOG_NODES, binds![i64::from(height), int(at), hash]);
        }
        index
    }
}

const HEAD: &str = "SELECT size, frontier, note, (SELECT COUNT(*) FROM meta WHERE name = 'loading') \
    FROM head WHERE id = 1";
/// Writers come one after another: whoever has this row.
const HEAD_LOCKED: &str = "SELECT size, frontier, note, \
    (SELECT COUNT(*) FROM meta WHERE name = 'loading') FROM head WHERE id = 1 FOR UPDATE";

/// The head as it is in the database: its signature is verified, and its frontier leads to the root.
pub(crate) async fn head(
    tx: &mut Tx,
    key: &VerifierKey,
    lock: bool,
) -> Result<(SignedHead, Frontier), Fault> {
    let sql = match lock && tx.is_postgres() {
        true => HEAD_LOCKED,
        false => HEAD,
    };
    let row = tx.row(sql, Vec::new()).await?;
    let row = row.ok_or_else(|| damaged(tx.place(), "it has no head".into()))?;
    if row.flag(3)? {
        return Err(Fault::Registry {
            place: tx.place().to_owned(),
            detail: "bringing it in was not finished".into(),
            hint: "delete it, and import into an empty place again",
        });
    }
    let wrong = |what: String| damaged(tx.place(), format!("its head cannot be believed: {what}"));
    let signed = SignedHead::open(&row.text(2)?, key).map_err(wrong)?;
    let frontier = Frontier::parse(row.number(0)?, &row.bytes(1)?);
    match frontier {
        Some(frontier) if frontier.head() == signed.head => Ok((signed, frontier)),
        _ => Err(wrong("its hashes do not lead to the signed root".into())),
    }
}

pub(crate) async fn write_head(
    tx: &mut Tx,
    signed: &SignedHead,
    frontier: &Frontier,
) -> Result<(), Fault> {
    let binds = binds![int(frontier.size()), frontier.encode(), signed.note.as_str()];
    let sql = "UPDATE head SET size = $1, frontier = $2, note = $3 WHERE id = 1";
    tx.execute(sql, binds).await.map(drop)
}

/// Which nodes a proof takes.
#[derive(Default)]
struct Wanted(std::cell::RefCell<Vec<(u32, u64)>>);

impl Nodes for Wanted {
    type Error = std::convert::Infallible;
    fn node(&self, height: u32, index: u64) -> Result<Hash, Self::Error> {
        self.0.borrow_mut().push((height, index));
        Ok([0; 32])
    }
}

/// Nodes that were read.
struct Had(BTreeMap<(u32, u64), Hash>);

impl Nodes for Had {
    type Error = std::convert::Infallible;
    fn node(&self, height: u32, index: u64) -> Result<Hash, Self::Error> {
        // What is missing makes a proof that does not hold.
        Ok(self.0.get(&(height, index)).copied().unwrap_or_default())
    }
}

/// The proof that `new` extends `old`; whether it holds is for [`tree::verify_consistency`] to say.
pub(crate) async fn consistency(tx: &mut Tx, old: u64, new: u64) -> Result<Vec<Hash>, Fault> {
    let wanted = Wanted::default();
    let Ok(_) = tree::consistency(&wanted, old, new);
    let had = fetch(tx, wanted.0.into_inner()).await?;
    let Ok(proof) = tree::consistency(&had, old, new);
    Ok(proof)
}

/// The proof that an entry is at its place.
pub(crate) async fn inclusion(tx: &mut Tx, index: u64, size: u64) -> Result<Vec<Hash>, Fault> {
    let wanted = Wanted::default();
    let Ok(_) = tree::inclusion(&wanted, index, size);
    let had = fetch(tx, wanted.0.into_inner()).await?;
    let Ok(proof) = tree::inclusion(&had, index, size);
    Ok(proof)
}

async fn fetch(tx: &mut Tx, wanted: Vec<(u32, u64)>) -> Result<Had, Fault> {
    let mut had = BTreeMap::new();
    for (height, index) in wanted {
        let hash = match height < KEPT {
            true => from_leaves(tx, height, index).await?,
            false => {
                let sql = "SELECT hash FROM log_nodes WHERE height = $1 AND idx = $2";
                let row = tx.row(sql, binds![i64::from(height), int(index)]).await?;
                row.map(|row| row.hash(0)).transpose()?
            }
        };
        if let Some(hash) = hash {
            had.insert((height, index), hash);
        }
    }
    Ok(Had(had))
}

async fn from_leaves(tx: &mut Tx, height: u32, index: u64) -> Result<Option<Hash>, Fault> {
    let sql = "SELECT hash FROM log_nodes WHERE height = 0 AND idx >= $1 AND idx < $2 ORDER BY idx";
    let binds: Vec<Bind> = binds![int(index << height), int((index + 1) << height)];
    let rows = tx.rows(sql, binds).await?;
    let mut hashes = rows.iter().map(|row| row.hash(0)).collect::<Result<Vec<_>, _>>()?;
    if hashes.len() != 1 << height {
        return Ok(None);
    }
    while hashes.len() > 1 {
        let (pairs, _) = hashes.as_chunks::<2>();
        hashes = pairs.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    Ok(hashes.pop())
}

/// An entry, with the proof that it is in the log of this head.
pub(crate) async fn entry(tx: &mut Tx, index: u64, head: Head) -> Result<Vec<u8>, Fault> {
    let sql = "SELECT body FROM log_entries WHERE idx = $1";
    let row = tx.row(sql, binds![int(index)]).await?;
    let missing = || damaged(tx.place(), format!("the entry {index} of its log is missing"));
    let body = row.ok_or_else(missing)?.bytes(0)?;
    let proof = inclusion(tx, index, head.size).await?;
    let leaf = tree::leaf_hash(&body);
    if !tree::verify_inclusion(&leaf, index, head.size, &proof, &head.root) {
        return Err(damaged(
            tx.place(),
            format!("the entry {index} is not the one that is in the signed log"),
        ));
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frontier_grows_as_the_tree_does() {
        struct Leaves(Vec<Hash>);
        impl Nodes for Leaves {
            type Error = std::convert::Infallible;
            fn node(&self, height: u32, index: u64) -> Result<Hash, Self::Error> {
                if height == 0 {
                    return Ok(self.0[usize::try_from(index).unwrap()]);
                }
                let Ok(left) = self.node(height - 1, 2 * index);
                let Ok(right) = self.node(height - 1, 2 * index + 1);
                Ok(node_hash(&left, &right))
            }
        }
        let (mut leaves, mut frontier) = (Leaves(Vec::new()), Frontier::default());
        for size in 0..1100u64 {
            let Ok(root) = tree::root(&leaves, size);
            assert_eq!(frontier.head(), Head { size, root });
            assert_eq!(Frontier::parse(size, &frontier.encode()), Some(frontier.clone()));
            assert_eq!(Frontier::parse(size + 1, &frontier.encode()).is_some(), {
                size.count_ones() == (size + 1).count_ones()
            });
            let leaf = tree::leaf_hash(&size.to_be_bytes());
            leaves.0.push(leaf);
            for (height, index, hash) in frontier.push(leaf) {
                assert_eq!(leaves.node(height, index), Ok(hash), "{height} {index}");
                assert!(height == 0 || height >= KEPT);
            }
        }
    }
}
