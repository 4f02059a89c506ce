//! `claims.jsonl`: the signed statements about a model, one Sigstore bundle a line.
//!
//! The file is anybody's to edit, and nothing follows from what is in it but from what somebody trusted has signed. A line that
//! cannot be read is told and has no effect; a line that was taken away may make a "no" of a "yes", never the
//! other way round (rule 6 of the security design).
//!
//! It lies in the model, where the model's signature leaves it out; else beside it, as `MODEL.claims.jsonl`.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};

use crate::bundle::UnverifiedBundle;
use crate::error::{Fault, Reason};
use crate::limits::Limits;
use crate::model::CLAIMS_NAME;
use crate::store::{Access, Existing, Links, read_found, regular_contents, store};

/// Lines of a `claims.jsonl`.
#[derive(Debug, Default)]
pub struct ClaimsFile {
    /// Those that hold a bundle, whoever signed it.
    pub bundles: Vec<(usize, UnverifiedBundle)>,
    /// Those that do not, by their number from 1, and why.
    pub broken: Vec<(usize, Reason)>,
    /// Whether there was more than the limits let be read.
    pub cut: bool,
    /// Bytes that were read.
    pub size: u64,
}

impl ClaimsFile {
    /// Reads lines. Whatever is wrong with one of them is told of that one.
    #[must_use]
    pub fn parse(bytes: &[u8], limits: &Limits) -> Self {
        let mut claims = Self::default();
        let most = usize::try_from(limits.claims_bytes).unwrap_or(usize::MAX);
        claims.cut = bytes.len() > most;
        claims.size = bytes.len() as u64;
        let bytes = bytes.get(..most).unwrap_or(bytes);
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            if claims.bundles.len() + claims.broken.len() >= limits.claims_lines {
                claims.cut = true;
                break;
            }
            let number = index + 1;
            // A bundle is the statement in base64 and what belongs to it.
            let limit = limits.claim_bytes.saturating_mul(2);
            if line.len() > limit {
                let reason = Reason::TooLarge { what: "line", limit: limit as u64 };
                claims.broken.push((number, reason));
                continue;
            }
            match UnverifiedBundle::parse(line, limits) {
                Ok(bundle) => claims.bundles.push((number, bundle)),
                Err(reason) => claims.broken.push((number, reason)),
            }
        }
        claims
    }

    /// Reads a file; one that is not there has no lines.
    ///
    /// # Errors
    /// [`Fault::Io`] when it is there and cannot be read, or is no regular file.
    pub fn read(path: &Path, limits: &Limits) -> Result<Self, Fault> {
        let bytes = read_found(path, limits.claims_bytes, Links::Refuse)?;
        Ok(bytes.map(|bytes| Self::parse(&bytes, limits)).unwrap_or_default())
    }
}

/// Where the claims about a model are. In a directory whose signature leaves them out, or that has no signature yet
/// (`None`), inside; else beside it.
#[must_use]
pub fn claims_path(model: &Path, left_out: Option<bool>) -> PathBuf {
    if model.is_dir() && left_out.unwrap_or(true) {
        return model.join(CLAIMS_NAME);
    }
    beside(model)
}

/// Both places in which claims about a model may be.
#[must_use]
pub fn claims_paths(model: &Path) -> Vec<PathBuf> {
    let inside = model.is_dir().then(|| model.join(CLAIMS_NAME));
    inside.into_iter().chain([beside(model)]).collect()
}

fn beside(model: &Path) -> PathBuf {
    // `my-model/` and `.` have names, too.
    let named = model.file_name().map(|_| model.to_path_buf());
    let model = named.or_else(|| model.canonicalize().ok()).unwrap_or_else(|| model.to_path_buf());
    let mut name = model.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(CLAIMS_NAME);
    model.with_file_name(name)
}

/// Adds a line: in full or not at all, and no other writer's line is lost.
///
/// # Errors
/// [`Fault::Io`]; the file is then as it was. [`Fault::TooMany`] when no reader would read the line.
pub fn append(path: &Path, bundle: &[u8], limits: &Limits) -> Result<(), Fault> {
    let fault = |e: rustix::io::Errno| Fault::io("write", path, e.into());
    let bundle = bundle.trim_ascii();
    if bundle.contains(&b'\n') {
        return Err(Fault::Bug { what: "a bundle has more than one line" });
    }
    let flags =
        OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    // The file is replaced under the lock, so whoever waited for it may hold that of a file that is gone.
    let file = loop {
        let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o644)).map_err(fault)?;
        let locked = || rustix::fs::flock(file.as_fd(), FlockOperation::LockExclusive);
        rustix::io::retry_on_intr(locked).map_err(fault)?;
        let mine = rustix::fs::fstat(file.as_fd()).map_err(fault)?;
        match rustix::fs::lstat(path) {
            Ok(there) if (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino) => {
                break File::from(file);
            }
            Ok(_) | Err(rustix::io::Errno::NOENT) => {}
            Err(e) => return Err(fault(e)),
        }
    };
    let copy = file.try_clone().map_err(|e| Fault::io("read", path, e))?;
    let mut bytes = regular_contents(copy, path, limits.claims_bytes)?;
    if !bytes.is_empty() && !bytes.ends_with(b"\n") {
        bytes.push(b'\n');
    }
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    if lines.count() >= limits.claims_lines {
        return Err(Fault::TooMany { what: "claims", limit: limits.claims_lines });
    }
    bytes.extend_from_slice(bundle);
    bytes.push(b'\n');
    if bytes.len() as u64 > limits.claims_bytes {
        let limit = usize::try_from(limits.claims_bytes).unwrap_or(usize::MAX);
        return Err(Fault::TooMany { what: "bytes of claims", limit });
    }
    let stored = store(path, &bytes, Access::Public, Existing::Replace);
    // Where nothing was, nothing is left: the empty file was for the lock.
    let was_new = file.metadata().is_ok_and(|there| there.len() == 0);
    if stored.is_err() && was_new {
        let _ = std::fs::remove_file(path);
    }
    stored
    // The lock goes with the file.
}
