//! Digests that a signer need not compute: a cache of an earlier run, and parts that others measured.

use std::path::{Path, PathBuf};

use bulla::model::{DigestCache, PartialManifest, Partials};
use bulla::{Limits, Manifest, Printable, Reason, Refusal};
use clap::{Args, ValueHint};

use crate::files;
use crate::problem::Problem;
use crate::ui::Ui;

#[derive(Debug, Args)]
pub(crate) struct CacheArguments {
    /// Keep digests in this file, and hash only files that changed since (size, times, inode)
    ///
    /// What the file says is believed and signed, so only you may be able to write it. Changes that leave no
    /// trace in a file's times go unnoticed: with the clock set back, through a memory mapping, or where somebody
    /// else made the file system (a disk image). 'bulla verify' takes no cache.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Work")]
    digest_cache: Option<PathBuf>,
}

/// An open cache.
pub(crate) struct Cache {
    path: PathBuf,
    pub(crate) digests: DigestCache,
    started: jiff::Timestamp,
}

impl CacheArguments {
    /// Before anything is measured. `output` is what else will be written.
    pub(crate) fn open(
        &self,
        model: &Path,
        output: Option<&Path>,
    ) -> Result<Option<Cache>, Problem> {
        let Some(path) = &self.digest_cache else { return Ok(None) };
        let shown = Printable(&path.to_string_lossy()).to_string();
        let usage = |what: &str, why: &str| {
            let hint = format!("keep it elsewhere: {why}");
            Err(Problem::usage(format!("--digest-cache {shown}: {what}"), hint))
        };
        if files::inside(model, path).is_some() {
            let why = "it changes with every run, and is not part of the model";
            return usage("it lies inside the model", why);
        }
        // An empty file, or one that is not there yet, is taken for an empty cache.
        if files::replaces(path, model) {
            return usage("it is the model", "it would be written over the model");
        }
        if output.is_some_and(|output| files::replaces(path, output)) {
            let why = "it would be written over the signature";
            return usage("the signature is written there", why);
        }
        files::may_write(path)?;
        let digests = DigestCache::load(path)?;
        Ok(Some(Cache { path: path.clone(), digests, started: jiff::Timestamp::now() }))
    }
}

impl Cache {
    /// Remembers what was measured. That it cannot is no reason to fail: the work is done.
    pub(crate) fn store(mut self, manifest: &Manifest, ui: &Ui) {
        self.digests.remember(manifest, self.started);
        if let Err(fault) = self.digests.store(&self.path) {
            ui.note(&format!("the next run will hash everything again: {fault}"));
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct PartialsArguments {
    /// Sign what 'bulla digest --partition' measured in parts: all of its files
    #[arg(long, value_name = "FILE", num_args = 1.., value_hint = ValueHint::FilePath)]
    #[arg(conflicts_with_all = [
        "hash", "shard_size", "ignore", "follow_symlinks", "include_git_paths", "digest_cache",
    ])]
    from_partials: Vec<PathBuf>,
    /// With --from-partials: the job that the parts must be of
    #[arg(long, value_name = "ID", requires = "from_partials")]
    job: Option<String>,
}

impl PartialsArguments {
    pub(crate) fn read(&self, limits: &Limits) -> Result<Option<Partials>, Problem> {
        if self.from_partials.is_empty() {
            return Ok(None);
        }
        let mut parts = Vec::new();
        let mut reasons = Vec::new();
        // A part names every file once, and its own once more with a digest: as a signature does.
        let limit = limits.bundle_bytes.saturating_mul(2);
        for path in &self.from_partials {
            let part = path.display().to_string();
            let bytes = bulla::read_named(path, limit)?;
            if bytes.len() as u64 > limit {
                reasons.push(Reason::TooLarge { what: "partial manifest", limit });
                continue;
            }
            match PartialManifest::decode(&bytes) {
                Ok(partial) => parts.push((part, partial)),
                Err(detail) => reasons.push(Reason::MalformedPartial { part, detail }),
            }
        }
        match Refusal::from_reasons(reasons) {
            Some(refusal) => Err(refusal.into()),
            None => Ok(Some(Partials::join(parts, self.job.as_deref())?)),
        }
    }
}
