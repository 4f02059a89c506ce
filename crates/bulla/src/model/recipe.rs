//! How a model is listed and hashed: OMS calls it `serialization` (v1.0 §5.2.2).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU64;
use std::ops::Bound;

use super::path::ModelPath;
use crate::digest::HashAlgorithm;

/// Names at the model's root that are never signed unless asked for (v1.0 §6.2).
pub const GIT_PATHS: [&str; 4] = [".git", ".gitattributes", ".github", ".gitignore"];
/// The signature of a directory, inside it.
pub const SIGNATURE_NAME: &str = "model.sig";
/// The attestations about a directory, inside it.
pub const CLAIMS_NAME: &str = "claims.jsonl";
/// Shard size when none is given (v1.0 §6.3.2).
pub const DEFAULT_SHARD_SIZE: u64 = 1_000_000_000;

/// One digest a file, or one for each of its shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `files`
    Files,
    /// `shards`, each of this many bytes but the last of a file.
    Shards(NonZeroU64),
}

impl Method {
    /// The specification's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Shards(_) => "shards",
        }
    }

    /// Bytes of a shard, 0 for whole files.
    #[must_use]
    pub fn shard_size(self) -> u64 {
        match self {
            Self::Files => 0,
            Self::Shards(size) => size.get(),
        }
    }

    /// The OMS name of the resource that a range of a file is (v1.0 §6.4): its path, or `path:start:end`
    /// for a shard.
    pub(crate) fn resource_name(self, path: &str, (start, end): (u64, u64)) -> String {
        match self {
            Self::Files => path.to_owned(),
            Self::Shards(_) => format!("{path}:{start}:{end}"),
        }
    }

    /// The byte ranges of a file that get a digest each. Whole files always have one; an empty file
    /// has no shard.
    pub fn ranges(self, file_size: u64) -> impl Iterator<Item = (u64, u64)> {
        let step = match self {
            Self::Files => u64::MAX,
            Self::Shards(size) => size.get(),
        };
        let mut next: Option<u64> = match (self, file_size) {
            (Self::Shards(_), 0) => None,
            _ => Some(0),
        };
        std::iter::from_fn(move || {
            let start = next?;
            let end = start.saturating_add(step).min(file_size);
            next = (end < file_size).then_some(end);
            Some((start, end))
        })
    }
}

/// The recipe that a signer chose, and that a verifier repeats once the signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// Whole files or shards.
    pub method: Method,
    /// Which hash.
    pub hash: HashAlgorithm,
    /// Whether a link is hashed as what it points to; otherwise links are refused.
    pub follow_symlinks: bool,
    /// Paths that are left out, each with all below it.
    pub ignore: BTreeSet<ModelPath>,
}

impl Default for Recipe {
    /// Whole files, SHA-256, no links, and the usual names left out: what `bulla sign` does when
    /// told nothing.
    fn default() -> Self {
        let usual = GIT_PATHS.into_iter().chain([SIGNATURE_NAME, CLAIMS_NAME]);
        Self {
            method: Method::Files,
            hash: HashAlgorithm::Sha256,
            follow_symlinks: false,
            ignore: usual.filter_map(|name| ModelPath::parse(name).ok()).collect(),
        }
    }
}

/// What a walk met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A link, FIFO, socket or device.
    Other,
}

/// Which paths of a model are looked at: what a walk asks at every name it meets.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    /// Follow links, or report them.
    pub follow_symlinks: bool,
    /// Passed over, with all below.
    ignore: BTreeSet<ModelPath>,
    /// Passed over as regular files only.
    files: BTreeSet<ModelPath>,
    /// If any: all else is passed over.
    only: BTreeSet<ModelPath>,
    signed: Option<&'a dyn SignedPaths>,
}

/// The paths that a signature covers: they are looked at even below an ignored directory, so that
/// no ignore rule, the signer's or the caller's, ever exempts a signed file.
pub trait SignedPaths: std::fmt::Debug + Sync {
    /// Whether this very file is signed.
    fn covers(&self, path: &str) -> bool;
    /// Whether a signed file lies below this directory.
    fn reaches_below(&self, directory: &str) -> bool;
}

/// Files by name: those of a signature, or of a [`Manifest`](super::Manifest).
impl<T: fmt::Debug + Sync> SignedPaths for BTreeMap<ModelPath, T> {
    fn covers(&self, path: &str) -> bool {
        self.contains_key(path)
    }

    fn reaches_below(&self, directory: &str) -> bool {
        let prefix = format!("{directory}/");
        let mut after = self.range::<str, _>((Bound::Excluded(prefix.as_str()), Bound::Unbounded));
        after.next().is_some_and(|(path, _)| path.as_str().starts_with(&prefix))
    }
}

impl<'a> Scope<'a> {
    /// What a signer looks at.
    #[must_use]
    pub fn to_sign(recipe: &Recipe) -> Self {
        // A directory or a link named `claims.jsonl` has no business there and would be a place to
        // hide code in (rule 1 of the security design).
        let own = |path: &&ModelPath| [SIGNATURE_NAME, CLAIMS_NAME].contains(&path.as_str());
        let (files, ignore): (Vec<_>, Vec<_>) = recipe.ignore.iter().partition(own);
        Self {
            follow_symlinks: recipe.follow_symlinks,
            ignore: ignore.into_iter().cloned().collect(),
            files: files.into_iter().cloned().collect(),
            only: BTreeSet::new(),
            signed: None,
        }
    }

    /// What a verifier looks at: the signer's recipe and the specification's default exclusions
    /// (v1.0 §6.2.1), the latter only where the signer did not sign something below them.
    #[must_use]
    pub fn to_verify(recipe: &Recipe, signed: &'a dyn SignedPaths) -> Self {
        let mut scope = Self { signed: Some(signed), ..Self::to_sign(recipe) };
        for name in GIT_PATHS {
            if !signed.covers(name) && !signed.reaches_below(name) {
                scope.ignore.extend(ModelPath::parse(name));
            }
        }
        scope
    }

    /// Leaves out one more path, with all below it.
    pub fn ignore(&mut self, path: ModelPath) {
        self.ignore.insert(path);
    }

    /// Leaves out one more regular file.
    pub fn ignore_file(&mut self, path: ModelPath) {
        self.files.insert(path);
    }

    /// Looks at this path and below, and at nothing else but what was named so before.
    pub fn look_only_at(&mut self, path: ModelPath) {
        self.only.insert(path);
    }

    /// Whether some paths were named, and this one is neither among them, nor below one, nor leads to one.
    #[must_use]
    pub fn is_beside(&self, path: &str) -> bool {
        let at_or_below = |only: &ModelPath| {
            let rest = path.strip_prefix(only.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let leads_to = |only: &ModelPath| {
            let rest = only.as_str().strip_prefix(path);
            rest.is_some_and(|rest| rest.starts_with('/'))
        };
        !self.only.is_empty() && !self.only.iter().any(|only| at_or_below(only) || leads_to(only))
    }

    /// Whether a path is passed over.
    #[must_use]
    pub fn skips(&self, path: &ModelPath, kind: Kind) -> bool {
        let itself =
            self.ignore.contains(path) || (kind == Kind::File && self.files.contains(path));
        let below = || path.parents().any(|directory| self.ignore.contains(directory));
        if !itself && !below() {
            return false;
        }
        !self.signed.is_some_and(|signed| {
            signed.covers(path.as_str())
                || (kind != Kind::File && signed.reaches_below(path.as_str()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ModelPath {
        ModelPath::parse(text).unwrap()
    }

    #[test]
    fn ranges_cover_a_file_once() {
        let shards = Method::Shards(NonZeroU64::new(10).unwrap());
        assert_eq!(shards.ranges(25).collect::<Vec<_>>(), [(0, 10), (10, 20), (20, 25)]);
        assert_eq!(shards.ranges(20).collect::<Vec<_>>(), [(0, 10), (10, 20)]);
        assert_eq!(shards.ranges(0).count(), 0);
        assert_eq!(Method::Files.ranges(0).collect::<Vec<_>>(), [(0, 0)]);
        assert_eq!(Method::Files.ranges(7).collect::<Vec<_>>(), [(0, 7)]);
    }

    #[test]
    fn trap_7_ignored_paths_are_exact_and_from_the_root() {
        let mut recipe = Recipe::default();
        recipe.ignore.insert(path("cache"));
        let scope = Scope::to_sign(&recipe);
        assert!(scope.skips(&path("cache"), Kind::Directory));
        assert!(scope.skips(&path("cache/x"), Kind::File));
        assert!(scope.skips(&path(".git/config"), Kind::File));
        assert!(!scope.skips(&path("sub/cache"), Kind::Directory));
        assert!(!scope.skips(&path("cache2"), Kind::File));
        assert!(!scope.skips(&path("sub/.git"), Kind::Directory));
    }

    #[test]
    fn rule_1_a_directory_named_claims_jsonl_is_not_passed_over() {
        let scope = Scope::to_sign(&Recipe::default());
        assert!(scope.skips(&path("claims.jsonl"), Kind::File));
        assert!(!scope.skips(&path("claims.jsonl"), Kind::Directory));
        assert!(!scope.skips(&path("claims.jsonl"), Kind::Other));
        assert!(!scope.skips(&path("claims.jsonl/evil.py"), Kind::File));
        assert!(!scope.skips(&path("model.sig/evil.py"), Kind::File));
    }

    #[test]
    fn rule_3_no_ignore_rule_exempts_a_signed_file() {
        let signed = BTreeMap::from(["cache!", "cache/kept", "cache0"].map(|p| (path(p), ())));
        let mut scope = Scope::to_verify(&Recipe::default(), &signed);
        scope.ignore(path("cache"));
        scope.ignore(path("cach"));
        assert!(scope.skips(&path("cach"), Kind::Directory));
        assert!(!scope.skips(&path("cache"), Kind::Directory));
        assert!(!scope.skips(&path("cache/kept"), Kind::File));
        assert!(scope.skips(&path("cache/other"), Kind::File));
    }
}
