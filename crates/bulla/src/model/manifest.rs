//! Measuring: every file of a model with its digests.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::path::ModelPath;
use super::recipe::{Method, Recipe};
use super::source::{Found, Layout, ModelSource};
use crate::digest::{Digest, HashAlgorithm};
use crate::error::Fault;

/// Bytes read at once: large enough to keep the disk busy, small enough for a core's own cache.
const READ: usize = 1 << 20;

/// How the work of measuring is done.
#[derive(Clone, Copy)]
pub struct Work<'a> {
    /// Threads to use.
    pub threads: NonZeroUsize,
    /// Told how far the work is.
    pub progress: &'a dyn Progress,
}

impl std::fmt::Debug for Work<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work").field("threads", &self.threads).finish_non_exhaustive()
    }
}

/// Told how far the measuring is, from several threads.
pub trait Progress: Sync {
    /// So many files with so many bytes will be read.
    fn start(&self, files: usize, bytes: u64);
    /// So many more bytes have been read.
    fn advance(&self, bytes: u64);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn start(&self, _files: usize, _bytes: u64) {}
    fn advance(&self, _bytes: u64) {}
}

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
    /// Each file's identity is taken before and after: a file that is seen to change while it is read
    /// is an error, not a digest of nothing that ever was.
    ///
    /// # Errors
    /// [`Fault::Changed`] names a file that changed; [`Fault::Io`] one that cannot be read.
    pub fn measure(
        source: &dyn ModelSource,
        recipe: &Recipe,
        files: &[Found],
        work: Work<'_>,
    ) -> Result<Self, Fault> {
        let mut jobs: Vec<Job<'_>> = Vec::new();
        for file in files {
            jobs.extend(recipe.method.ranges(file.identity.size).map(|(start, end)| Job {
                file,
                start,
                end,
            }));
        }
        work.progress.start(files.len(), total_size(files));

        // The largest first, so that no thread is left alone with one at the end.
        let mut order: Vec<usize> = (0..jobs.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(jobs.get(i).map_or(0, |j| j.end - j.start)));
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let worker = || -> Result<Vec<(usize, Digest)>, Fault> {
            let mut done = Vec::new();
            let mut buffer = vec![0; READ];
            while !stop.load(Ordering::Relaxed) {
                let Some(&index) = order.get(next.fetch_add(1, Ordering::Relaxed)) else {
                    break;
                };
                let Some(job) = jobs.get(index) else { break };
                match job.run(source, recipe.hash, &mut buffer, work.progress) {
                    Ok(digest) => done.push((index, digest)),
                    Err(fault) => {
                        stop.store(true, Ordering::Relaxed);
                        return Err(fault);
                    }
                }
            }
            Ok(done)
        };
        let threads = work.threads.get().min(jobs.len()).max(1);
        let mut digests: Vec<Option<Digest>> = vec![None; jobs.len()];
        let results = std::thread::scope(|scope| {
            // A thread that the system refuses is done without.
            let spawn = |_| std::thread::Builder::new().spawn_scoped(scope, worker).ok();
            let others: Vec<_> = (1..threads).map_while(spawn).collect();
            let mut results = vec![worker()];
            results.extend(others.into_iter().map(|t| {
                t.join().unwrap_or(Err(Fault::Bug { what: "a hashing thread panicked" }))
            }));
            results
        });
        for result in results {
            for (index, digest) in result? {
                if let Some(slot) = digests.get_mut(index) {
                    *slot = Some(digest);
                }
            }
        }

        let mut measured: BTreeMap<ModelPath, Measured> = files
            .iter()
            .map(|f| (f.path.clone(), Measured { found: f.clone(), digests: Vec::new() }))
            .collect();
        for (job, digest) in jobs.iter().zip(digests) {
            let digest = digest.ok_or(Fault::Bug { what: "a part of a file was not hashed" })?;
            if let Some(file) = measured.get_mut(&job.file.path) {
                file.digests.push(digest);
            }
        }
        Ok(Self {
            name: source.name().to_owned(),
            layout: source.layout(),
            recipe: recipe.clone(),
            files: measured,
        })
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
        for ((start, end), digest) in method.ranges(size).zip(digests) {
            let name = match method {
                Method::Files => path.to_owned(),
                Method::Shards(_) => format!("{path}:{start}:{end}"),
            };
            resources.push((name, *digest));
        }
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

struct Job<'a> {
    file: &'a Found,
    start: u64,
    end: u64,
}

impl Job<'_> {
    fn run(
        &self,
        source: &dyn ModelSource,
        algorithm: HashAlgorithm,
        buffer: &mut [u8],
        progress: &dyn Progress,
    ) -> Result<Digest, Fault> {
        let path = &self.file.path;
        let io = |e| Fault::io("read", Path::new(path.as_str()), e);
        let changed = || Fault::Changed { path: path.as_str().to_owned() };
        let file = source.open(self.file)?;
        let mut hasher = algorithm.hasher();
        let mut at = self.start;
        while at < self.end {
            let want = usize::try_from(self.end - at).unwrap_or(usize::MAX).min(buffer.len());
            let room = buffer.get_mut(..want).unwrap_or_default();
            let got = match file.read_at(room, at) {
                Ok(0) => return Err(changed()),
                Ok(got) => got,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(io(e)),
            };
            hasher.update(room.get(..got).unwrap_or_default());
            at += got as u64;
            progress.advance(got as u64);
        }
        if !file.identity().map_err(io)?.is_unchanged_since(&self.file.identity) {
            return Err(changed());
        }
        Ok(hasher.finish())
    }
}
