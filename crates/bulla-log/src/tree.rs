//! RFC 6962's Merkle tree: hashes, proofs, and their verification. What a tree is stored as is not known here.
//!
//! ```text
//! Nodes (hashes of complete subtrees) ─► root, inclusion, consistency ─► verify_inclusion, verify_consistency
//! ```

use aws_lc_rs::digest::{Context, SHA256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// Hash of a leaf (RFC 6962 §2.1).
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    hash(&[&[0], entry])
}

/// Hash of a node over its two children (RFC 6962 §2.1).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    hash(&[&[1], left, right])
}

/// Root of the empty tree.
#[must_use]
pub fn empty_root() -> Hash {
    hash(&[])
}

/// Where hashes of complete subtrees come from.
pub trait Nodes {
    /// Why one could not be had.
    type Error;

    /// Hash of the leaves `index << height .. (index + 1) << height`.
    ///
    /// # Errors
    /// When it cannot be had.
    fn node(&self, height: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// Root of the tree of this size.
///
/// # Errors
/// Those of `nodes`.
pub fn root<N: Nodes + ?Sized>(nodes: &N, size: u64) -> Result<Hash, N::Error> {
    if size == 0 { Ok(empty_root()) } else { range(nodes, 0, size) }
}

/// `PATH(index, D[0:size])` (RFC 6962 §2.1.1), from the leaf upwards. Empty if there is no such leaf.
///
/// # Errors
/// Those of `nodes`.
pub fn inclusion<N: Nodes + ?Sized>(
    nodes: &N,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, N::Error> {
    let (mut low, mut high, mut proof) = (0, size, Vec::new());
    while high.saturating_sub(low) > 1 && index < size {
        let middle = low + left_of(high - low);
        if index < middle {
            proof.push(range(nodes, middle, high)?);
            high = middle;
        } else {
            proof.push(range(nodes, low, middle)?);
            low = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// `PROOF(old, D[0:new])` (RFC 6962 §2.1.2). Empty if `old` is 0 or not below `new`.
///
/// # Errors
/// Those of `nodes`.
pub fn consistency<N: Nodes + ?Sized>(
    nodes: &N,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, N::Error> {
    if old == 0 || old >= new {
        return Ok(Vec::new());
    }
    let (mut low, mut high, mut known, mut proof) = (0, new, true, Vec::new());
    while old != high {
        let middle = low + left_of(high - low);
        if old <= middle {
            proof.push(range(nodes, middle, high)?);
            high = middle;
        } else {
            proof.push(range(nodes, low, middle)?);
            low = middle;
            known = false;
        }
    }
    if !known {
        proof.push(range(nodes, low, high)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Whether a leaf is at `index` of the tree with this root (RFC 9162 §2.1.3.2).
#[must_use]
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether the tree with the new root extends the one with the old root (RFC 9162 §2.1.4.2).
#[must_use]
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> bool {
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old > new {
        return false;
    }
    if old == 0 {
        return proof.is_empty() && *old_root == empty_root();
    }
    let mut hashes = proof.iter();
    let first = if old.is_power_of_two() { Some(old_root) } else { hashes.next() };
    let Some(first) = first else { return false };
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut as_old, mut as_new) = (*first, *first);
    for sibling in hashes {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            as_old = node_hash(sibling, &as_old);
            as_new = node_hash(sibling, &as_new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            as_new = node_hash(&as_new, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && as_old == *old_root && as_new == *new_root
}

/// `MTH(D[low:high])`, for the ranges that the proofs take: `low` is a multiple of the first subtree's size.
fn range<N: Nodes + ?Sized>(nodes: &N, low: u64, high: u64) -> Result<Hash, N::Error> {
    // Complete subtrees from left to right; the right ones are joined first.
    let (mut subtrees, mut at) = (Vec::new(), low);
    while at < high {
        let height = (high - at).ilog2();
        subtrees.push(nodes.node(height, at >> height)?);
        at += 1 << height;
    }
    let joined = subtrees.into_iter().rev().reduce(|right, left| node_hash(&left, &right));
    Ok(joined.unwrap_or_else(empty_root))
}

/// The largest power of two below `size`, which is at least 2.
fn left_of(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    // SHA-256 has 32 bytes; nothing is ever cut or left.
    let (mut hash, digest) = ([0; 32], context.finish());
    hash.copy_from_slice(digest.as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigstore_types::Sha256Hash;

    struct Leaves(Vec<Hash>);

    impl Nodes for Leaves {
        type Error = ();
        fn node(&self, height: u32, index: u64) -> Result<Hash, ()> {
            if height == 0 {
                return Ok(self.0[usize::try_from(index).unwrap()]);
            }
            let left = self.node(height - 1, 2 * index)?;
            Ok(node_hash(&left, &self.node(height - 1, 2 * index + 1)?))
        }
    }

    fn theirs(hash: &Hash) -> Sha256Hash {
        Sha256Hash::new(*hash)
    }

    fn leaves(size: u64) -> Leaves {
        Leaves((0..size).map(|i| leaf_hash(&i.to_be_bytes())).collect())
    }

    /// RFC 6962's reference vectors of certificate-transparency-go.
    #[test]
    fn known_roots() {
        let entries: [&[u8]; 8] = [
            b"",
            b"\0",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let leaves = Leaves(entries.iter().map(|entry| leaf_hash(entry)).collect());
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        for (size, expected) in (0..).zip(roots) {
            assert_eq!(hex::encode(root(&leaves, size).unwrap()), expected, "{size}");
        }
    }

    #[test]
    fn an_independent_implementation_accepts_every_proof_of_every_small_tree() {
        let leaves = leaves(70);
        for size in 1..=70 {
            let top = root(&leaves, size).unwrap();
            for index in 0..size {
                let proof = inclusion(&leaves, index, size).unwrap();
                let leaf = leaves.node(0, index).unwrap();
                assert!(verify_inclusion(&leaf, index, size, &proof, &top));
                let hashes: Vec<_> = proof.iter().map(theirs).collect();
                sigstore_merkle::verify_inclusion_proof(
                    &theirs(&leaf),
                    index,
                    size,
                    &hashes,
                    &theirs(&top),
                )
                .unwrap();
            }
            for old in 0..=size {
                let before = root(&leaves, old).unwrap();
                let proof = consistency(&leaves, old, size).unwrap();
                assert!(verify_consistency(old, &before, size, &top, &proof), "{old} {size}");
                let hashes: Vec<_> = proof.iter().map(theirs).collect();
                sigstore_merkle::verify_consistency_proof(
                    old,
                    size,
                    &hashes,
                    &theirs(&before),
                    &theirs(&top),
                )
                .unwrap();
            }
        }
    }

    proptest::proptest! {
        /// Whatever we accept the independent implementation accepts, and the other way round.
        #[test]
        fn both_verifiers_agree_on_broken_proofs(
            size in 1u64..200, index in 0u64..220, old in 0u64..220,
            broken in 0usize..10, bit in 0usize..256, change in 0u8..5,
        ) {
            let leaves = leaves(size);
            let top = root(&leaves, size).unwrap();
            let spoil = |mut proof: Vec<Hash>| {
                match change {
                    0 => {}
                    1 => { proof.pop(); }
                    2 => proof.push([7; 32]),
                    3 => if let Some(hash) = proof.get_mut(broken) { hash[bit / 8] ^= 1 << (bit % 8) },
                    _ => proof.insert(0, top),
                }
                proof
            };
            let leaf = leaf_hash(&index.to_be_bytes());
            let proof = spoil(inclusion(&leaves, index, size).unwrap());
            let hashes: Vec<_> = proof.iter().map(theirs).collect();
            let accepted = sigstore_merkle::verify_inclusion_proof(
                &theirs(&leaf), index, size, &hashes, &theirs(&top)).is_ok();
            proptest::prop_assert_eq!(verify_inclusion(&leaf, index, size, &proof, &top), accepted);

            let before = root(&leaves, old.min(size)).unwrap();
            let proof = spoil(consistency(&leaves, old, size).unwrap());
            let hashes: Vec<_> = proof.iter().map(theirs).collect();
            let accepted = sigstore_merkle::verify_consistency_proof(
                old, size, &hashes, &theirs(&before), &theirs(&top)).is_ok();
            proptest::prop_assert_eq!(
                verify_consistency(old, &before, size, &top, &proof), accepted);
        }
    }
}
