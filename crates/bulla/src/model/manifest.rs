//! Measuring: every file of a model with its digests.

use std::collections::BTreeMap;

use super::measure::{self, Job, Work};
use super::path::ModelPath;
use super::recipe::{Method, Recipe};
use super::source::{Found, Layout, ModelSource};
use crate::digest::{Digest, HashAlgorithm};
use crate::error::Fault;

/// One measured file.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The file, as it was before and after it was read.
    pub found: Found,
    /// One digest, or one for each shard in order.
    pub digests: Vec<Digest>,
}

/// A model's files with their digests, and the recipe that made them.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The model's name.
    pub name: String,
    /// Directory or file.
    pub layout: Layout,
    /// How it was measured.
    pub recipe: Recipe,
    /// The files.
    pub files: BTreeMap<ModelPath, Measured>,
}

impl Measured {
    /// Bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.found.identity.size
    }
}

impl Manifest {
    /// Reads and hashes the given files, on several threads.
    ///
    /// Each file's identity is taken when it was read and compared with the listing's: a file that is
    /// seen to change is an error, not a digest of nothing that ever was.
    ///
    /// # Errors
    /// [`Fault::Changed`] names a file that changed; [`Fault::Io`] one that cannot be read.
    pub fn measure(
        source: &dyn ModelSource,
        recipe: &Recipe,
        files: Vec<Found>,
        work: Work<'_>,
    ) -> Result<Self, Fault> {
        Self::measure_unknown(source, recipe, files, Vec::new(), work)
    }

    /// The same, but digests that are `known`, in the order of files and shards, are not computed.
    pub(crate) fn measure_unknown(
        source: &dyn ModelSource,
        recipe: &Recipe,
        files: Vec<Found>,
        known: Vec<Option<Digest>>,
        work: Work<'_>,
    ) -> Result<Self, Fault> {
        let unknown = known.iter().map(Option::is_none).chain(std::iter::repeat(true));
        let computed = Self::measure_some(source, recipe, &files, unknown, work)?;
        let mut known = known.into_iter();
        let mut computed = computed.into_iter();
        let mut measured = BTreeMap::new();
        for found in files {
            let count = recipe.method.ranges(found.identity.size).count();
            // As large as need be: there may be a hundred thousand of them.
            let mut digests = Vec::with_capacity(count);
            for _ in 0..count {
                let digest = known.next().flatten().or_else(|| computed.next());
                digests.push(digest.ok_or(Fault::Bug { what: "a part of a file was not hashed" })?);
            }
            measured.insert(found.path.clone(), Measured { found, digests });
        }
        Ok(Self {
            name: source.name().to_owned(),
            layout: source.layout(),
            recipe: recipe.clone(),
            files: measured,
        })
    }

    /// Digests of some of these files and shards, those that are `wanted`, in their order.
    pub(crate) fn measure_some(
        source: &dyn ModelSource,
        recipe: &Recipe,
        files: &[Found],
        wanted: impl Iterator<Item = bool>,
        work: Work<'_>,
    ) -> Result<Vec<Digest>, Fault> {
        let some = jobs(recipe.method, files).zip(wanted).filter(|(_, wanted)| *wanted);
        let some: Vec<Job<'_>> = some.map(|(job, _)| job).collect();
        measure::run(source, recipe.hash, &some, work)
    }

    /// Bytes in all files.
    #[must_use]
    pub fn total_size(&self) -> u64 {
        self.files.values().map(Measured::size).fold(0, u64::saturating_add)
    }

    /// OMS resource names with their digests, in code-point order of the names (v1.0 §6.4): a path,
    /// or `path:start:end` for a shard.
    #[must_use]
    pub fn resources(&self) -> Vec<(String, Digest)> {
        let files = self.files.iter().map(|(path, f)| (path.as_str(), f.size(), &*f.digests));
        resources(self.recipe.method, files)
    }

    /// The OMS root (v1.0 §6.5.1): SHA-256 over the raw digests in order. **It binds no names**; see
    /// [`oms_manifest_v1`](Self::oms_manifest_v1).
    #[must_use]
    pub fn oms_root(&self) -> Digest {
        oms_root(self.resources().iter().map(|(_, digest)| digest))
    }

    /// The digest that binds names and recipe too, `omsManifestV1`: SHA-256 over a line with the
    /// recipe, a line for each ignored path and a line for each resource. Two models with the same
    /// contents under other names have the same OMS root, but not the same digest of this kind.
    #[must_use]
    pub fn oms_manifest_v1(&self) -> Digest {
        let resources = self.resources();
        oms_manifest_v1(
            &self.recipe,
            resources.iter().map(|(name, digest)| (name.as_str(), digest)),
        )
    }
}

/// OMS resource names with their digests, in code-point order, of files with name, size and digests.
pub(crate) fn resources<'a>(
    method: Method,
    files: impl Iterator<Item = (&'a str, u64, &'a [Digest])>,
) -> Vec<(String, Digest)> {
    let mut resources = Vec::new();
    for (path, size, digests) in files {
        let ranges = method.ranges(size).zip(digests);
        resources.extend(ranges.map(|(range, d)| (method.resource_name(path, range), *d)));
    }
    resources.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    resources
}

/// SHA-256 over the raw digests in the order given.
pub(crate) fn oms_root<'a>(digests: impl Iterator<Item = &'a Digest>) -> Digest {
    let mut hasher = HashAlgorithm::Sha256.hasher();
    digests.for_each(|digest| hasher.update(digest.as_bytes()));
    hasher.finish()
}

/// `resources` must come in code-point order of their names.
pub(crate) fn oms_manifest_v1<'a>(
    recipe: &Recipe,
    resources: impl Iterator<Item = (&'a str, &'a Digest)>,
) -> Digest {
    let mut hasher = HashAlgorithm::Sha256.hasher();
    hasher.update(
        format!(
            "oms-manifest-v1 {} {} {} {}\n",
            recipe.method.name(),
            recipe.hash,
            recipe.method.shard_size(),
            recipe.follow_symlinks
        )
        .as_bytes(),
    );
    for path in &recipe.ignore {
        let path = path.as_str();
        hasher.update(format!("ignore {} {path}\n", path.len()).as_bytes());
    }
    for (name, digest) in resources {
        hasher.update(format!("{} {} {name}\n", digest.to_hex(), name.len()).as_bytes());
    }
    hasher.finish()
}

/// Bytes in all these files. Sparse files can claim more than there are numbers for.
pub(crate) fn total_size(files: &[Found]) -> u64 {
    files.iter().map(|file| file.identity.size).fold(0, u64::saturating_add)
}

/// What gets a digest each, in the order of files and shards.
fn jobs(method: Method, files: &[Found]) -> impl Iterator<Item = Job<'_>> {
    files.iter().flat_map(move |file| {
        method.ranges(file.identity.size).map(move |(start, end)| Job { file, start, end })
    })
}
