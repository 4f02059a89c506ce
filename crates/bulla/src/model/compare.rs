//! What differs between the model that was signed and the one that is there.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use unicode_normalization::UnicodeNormalization as _;

use super::manifest::{Manifest, Measured};
use super::path::ModelPath;
use super::recipe::Method;
use super::source::{Irregular, Listing};
use crate::digest::Digest;
use crate::statement::oms::SignedFile;
use crate::text::{bytes, count};

/// One way in which a model is not the one that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// The file is there, with other contents.
    Changed {
        /// Which file.
        path: ModelPath,
        /// Bytes it has.
        size: u64,
        /// Bytes it had when signed, where the signature says so (shards do).
        signed_size: Option<u64>,
        /// The signed digest and the one found; of the first shard that differs, under shards.
        /// `None` when the size alone already tells.
        digests: Option<(Digest, Digest)>,
        /// How many shards differ, of how many.
        shards: Option<(usize, usize)>,
    },
    /// A signed file is not there.
    Missing {
        /// Which file.
        path: ModelPath,
        /// Bytes it had when signed, where the signature says so.
        signed_size: Option<u64>,
    },
    /// A file is there that was not signed.
    Extra {
        /// Which file.
        path: ModelPath,
        /// Bytes it has.
        size: u64,
    },
    /// A signed file is there under another name.
    Renamed {
        /// The signed name.
        from: ModelPath,
        /// The name it has now.
        to: ModelPath,
        /// Bytes it has.
        size: u64,
    },
    /// Something is there that cannot be part of a model.
    Irregular(Irregular),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { path, size, signed_size, digests, shards } => {
                write!(f, "changed: {path} ({}", bytes(*size))?;
                match signed_size {
                    Some(signed) if signed != size => {
                        write!(f, ", signed with {}", bytes(*signed))?
                    }
                    _ => {}
                }
                if let Some((wrong, of)) = shards {
                    write!(f, ", {} of {of}", count(*wrong, "shard"))?;
                }
                match digests {
                    Some((signed, found)) => write!(f, "): signed as {signed}, found {found}"),
                    None => f.write_str(")"),
                }
            }
            Self::Missing { path, signed_size: Some(size) } => {
                write!(f, "missing: {path} ({} when signed)", bytes(*size))
            }
            Self::Missing { path, signed_size: None } => write!(f, "missing: {path}"),
            Self::Extra { path, size } => {
                write!(f, "extra: {path} ({}), not signed", bytes(*size))
            }
            Self::Renamed { from, to, size } => {
                write!(f, "renamed: {from} is now {to} ({})", bytes(*size))
            }
            Self::Irregular(Irregular { name, why }) => {
                write!(f, "unusable: {} {why}", crate::text::Printable(name))
            }
        }
    }
}

/// Compares what was signed with what was listed and measured, and returns every difference.
///
/// `measured` holds the listed files that are signed and have their signed size; whatever else is
/// listed is extra or, if signed, changed.
pub(crate) fn compare(
    signed: &BTreeMap<ModelPath, SignedFile>,
    listing: &Listing,
    measured: &Manifest,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    let listed: BTreeMap<&ModelPath, u64> =
        listing.files.iter().map(|f| (&f.path, f.identity.size)).collect();
    let irregular: HashSet<&str> = listing.irregular.iter().map(|i| i.name.as_str()).collect();
    for (path, signed) in signed {
        let Some(&size) = listed.get(path) else {
            // A link or a device in its place is reported as such.
            if !irregular.contains(path.as_str()) {
                differences
                    .push(Difference::Missing { path: path.clone(), signed_size: signed.size });
            }
            continue;
        };
        let found = measured.files.get(path);
        if let Some(found) = found.filter(|found| found.digests == signed.digests) {
            debug_assert_eq!(found.size(), size);
            continue;
        }
        let pairs = || {
            let found = found.map(|f| f.digests.as_slice()).unwrap_or_default();
            signed.digests.iter().zip(found).filter(|(a, b)| a != b)
        };
        let sharded = matches!(measured.recipe.method, Method::Shards(_)) && found.is_some();
        differences.push(Difference::Changed {
            path: path.clone(),
            size,
            signed_size: signed.size,
            digests: pairs().next().map(|(a, b)| (*a, *b)),
            shards: sharded.then(|| (pairs().count(), signed.digests.len())),
        });
    }
    for (path, size) in listed {
        if !signed.contains_key(path) {
            differences.push(Difference::Extra { path: path.clone(), size });
        }
    }
    differences.extend(listing.irregular.iter().cloned().map(Difference::Irregular));
    differences
}

/// Turns each missing file whose contents stand under an extra name into a rename.
pub(crate) fn renamed(
    differences: Vec<Difference>,
    signed: &BTreeMap<ModelPath, SignedFile>,
    extra: &BTreeMap<ModelPath, Measured>,
) -> Vec<Difference> {
    let mut by_digest: HashMap<&[Digest], Vec<&ModelPath>> = HashMap::new();
    for (path, file) in extra.iter().rev() {
        by_digest.entry(&file.digests).or_default().push(path);
    }
    let mut moved: BTreeMap<&ModelPath, &ModelPath> = BTreeMap::new();
    for difference in &differences {
        if let Difference::Missing { path, .. } = difference
            && let Some(file) = signed.get_key_value(path)
            && !file.1.digests.is_empty()
            && let Some(to) = by_digest.get_mut(file.1.digests.as_slice()).and_then(Vec::pop)
        {
            moved.insert(file.0, to);
        }
    }
    let taken: BTreeSet<&ModelPath> = moved.values().copied().collect();
    differences
        .into_iter()
        .filter_map(|difference| match difference {
            Difference::Missing { path, signed_size } => Some(match moved.get(&path) {
                Some(to) => Difference::Renamed {
                    size: extra.get(*to).map_or(0, |f| f.size()),
                    from: path,
                    to: (*to).clone(),
                },
                None => Difference::Missing { path, signed_size },
            }),
            Difference::Extra { path, .. } if taken.contains(&path) => None,
            other => Some(other),
        })
        .collect()
}

/// Groups of names, of files or of directories, that are one name on a file system that folds case or
/// normalises Unicode (macOS, Windows): there, one of each group hides the others.
#[must_use]
pub fn collisions<'a>(names: impl Iterator<Item = &'a ModelPath>) -> Vec<Vec<String>> {
    let fold = |name: &str| -> String {
        caseless::default_case_fold_str(&name.nfc().collect::<String>()).nfc().collect()
    };
    // Short hashes first: only names that share one are folded again and held.
    let hash = |name: &str| BuildHasherDefault::<DefaultHasher>::default().hash_one(fold(name));
    let mut hashed: Vec<(u64, &str)> = names
        .flat_map(|path| path.parents().chain([path.as_str()]))
        .map(|name| (hash(name), name))
        .collect();
    hashed.sort_unstable();
    hashed.dedup();
    let mut groups = Vec::new();
    for same_hash in hashed.chunk_by(|a, b| a.0 == b.0).filter(|chunk| chunk.len() > 1) {
        let mut folded: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (_, name) in same_hash {
            folded.entry(fold(name)).or_default().push((*name).to_owned());
        }
        groups.extend(folded.into_values().filter(|group| group.len() > 1));
    }
    groups.sort_unstable();
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_4_names_that_collide_elsewhere() {
        let names: Vec<ModelPath> =
            ["a/B", "a/b", "A", "caf\u{e9}", "cafe\u{301}", "Straße", "STRASSE", "x"]
                .iter()
                .map(|n| ModelPath::parse(n).unwrap())
                .collect();
        let groups = collisions(names.iter());
        assert_eq!(groups.len(), 4, "{groups:?}");
    }
}
