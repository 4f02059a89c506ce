//! Files that the user names.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use bulla::{Fault, ModelPath, Printable};
use zeroize::Zeroizing;

use crate::problem::Problem;

/// Reads a file that nobody named; `None` if there is nothing.
pub(crate) fn read_found(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Fault> {
    bulla::read_found(path, limit, bulla::Links::Follow)
}

/// Reads text with a secret in it.
pub(crate) fn read_secret(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, Fault> {
    // Reserved in full, so that no copy is left behind when the vector grows.
    let capacity = usize::try_from(limit).unwrap_or(usize::MAX).min(1 << 21) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    let fault = |e| Fault::io("read", path, e);
    let file = std::fs::File::open(path).map_err(fault)?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(fault)?;
    Ok(bytes)
}

/// Whether a file can be written there: found out before hundreds of gigabytes are hashed, not after.
pub(crate) fn may_write(output: &Path) -> Result<(), Fault> {
    let parent = match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    rustix::fs::access(parent, rustix::fs::Access::WRITE_OK)
        .map_err(|e| Fault::io("write", output, e.into()))
}

/// Whether a file may be written over: a mistyped name must not cost the user a file. So nothing may be
/// there, or what is `ours`: of the kind that is written, which `kind` names.
pub(crate) fn may_replace(
    path: &Path,
    limit: u64,
    kind: &str,
    ours: impl FnOnce(&[u8]) -> bool,
    hint: impl FnOnce() -> String,
) -> Result<(), Problem> {
    match read_found(path, limit)? {
        Some(there) if !ours(&there) => {
            let shown = Printable(&path.to_string_lossy()).to_string();
            Err(Problem::usage(format!("{shown} exists and is not {kind}"), hint()))
        }
        _ => Ok(()),
    }
}

/// Where a file lies inside a model; `None` if it lies outside.
pub(crate) fn inside(model: &Path, file: &Path) -> Option<ModelPath> {
    let root = model.canonicalize().ok()?;
    ModelPath::parse(place(file)?.strip_prefix(root).ok()?.to_str()?).ok()
}

/// Whether what is written to `file` takes the place of `other`, or of what a link there leads to.
pub(crate) fn replaces(file: &Path, other: &Path) -> bool {
    let file = place(file);
    file.is_some() && (file == place(other) || file == other.canonicalize().ok())
}

/// Where a file is or will be, in full. Only its directory is resolved: writing replaces a link at the name.
fn place(file: &Path) -> Option<PathBuf> {
    let parent = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    Some(parent.canonicalize().ok()?.join(file.file_name()?))
}

/// Where a model's signature is kept when nobody says otherwise: inside a directory, beside a file.
pub(crate) fn signature_of(model: &Path) -> PathBuf {
    if model.is_dir() {
        return model.join(bulla::model::SIGNATURE_NAME);
    }
    let mut name = model.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}
