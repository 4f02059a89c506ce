//! `bulla authority init`: a new authority in a new folder, in full or not at all.

use std::io;
use std::path::{Path, PathBuf};

use bulla::{Access, Existing, Fault};
use jiff::Timestamp;

use crate::clock::whole_seconds;
use crate::config::{CONFIG_FILE, Config, ConfigProblem};
use crate::generation::{self, Period};
use crate::keys::{self, Protection, Role, random};
use crate::trust::TrustFiles;
use crate::tuf::Repository;

/// Why no authority was made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Something is there.
    #[error("{} exists and is not empty", bulla::Printable(&path.to_string_lossy()))]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// It could not be served.
    #[error(transparent)]
    Config(#[from] ConfigProblem),
    /// It could not be written.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// What was made.
#[derive(Debug)]
pub struct Made {
    /// The files that clients need, with their paths.
    pub files: Vec<PathBuf>,
    /// Their contents.
    pub trust: TrustFiles,
}

/// Makes an authority in a folder that is not there, or empty.
///
/// # Errors
/// An [`InitError`]; then nothing was left behind.
pub fn init(
    folder: &Path,
    config: &Config,
    protection: &Protection<'_>,
    now: Timestamp,
) -> Result<Made, InitError> {
    config.check()?;
    config.check_marks(folder)?;
    must_be_free(folder)?;
    let temporary = beside(folder)?;
    let made = build(&temporary, config, protection, now)
        .and_then(|trust| move_into_place(&temporary, folder).map(|()| trust));
    match made {
        Ok(trust) => {
            let files = trust.files().iter().map(|(name, _)| folder.join(name)).collect();
            Ok(Made { files, trust })
        }
        Err(e) => {
            // What could not be made is taken away again, as far as that goes.
            let _ = std::fs::remove_dir_all(&temporary);
            Err(e)
        }
    }
}

fn must_be_free(folder: &Path) -> Result<(), InitError> {
    let exists = || InitError::Exists { path: folder.to_owned() };
    match std::fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(exists()),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => Err(exists()),
        Err(e) => Err(Fault::io("read", folder, e).into()),
    }
}

/// A folder next to the one that is asked for, which nobody can guess.
fn beside(folder: &Path) -> Result<PathBuf, Fault> {
    let invalid = || Fault::io("make", folder, io::ErrorKind::InvalidInput.into());
    let mut name = std::ffi::OsString::from(".");
    name.push(folder.file_name().ok_or_else(invalid)?);
    name.push(format!(".{}.tmp", hex::encode(random::<12>()?)));
    Ok(folder.with_file_name(name))
}

fn build(
    folder: &Path,
    config: &Config,
    protection: &Protection<'_>,
    now: Timestamp,
) -> Result<TrustFiles, InitError> {
    make_private(folder)?;
    let generation = generation::folder(folder, 1);
    let logs = generation::logs_folder(folder, 1);
    let keys = folder.join(keys::FOLDER);
    for part in [&generation, &logs, &keys, &folder.join(STATE)] {
        std::fs::create_dir_all(part).map_err(|e| Fault::io("make", part, e))?;
    }
    let period = Period { number: 1, starts: whole_seconds(now), previous_ends: None };
    let record = generation::create(&generation, folder, config, period, protection)?;
    crate::witness::create(folder, config, protection)?;
    let text = config.to_toml()?;
    bulla::store(&folder.join(CONFIG_FILE), text.as_bytes(), Access::Public, Existing::Keep)?;
    let trust = TrustFiles::of(config, &[record]);
    trust.store(folder)?;
    let tuf_root = keys::generate(&keys, Role::TufRoot, protection)?;
    let tuf = keys::generate(&keys, Role::Tuf, protection)?;
    Repository::at(folder, config.development).create(&trust, &tuf_root, &tuf, now)?;
    Ok(trust)
}

/// What an authority remembers between two runs.
pub(crate) const STATE: &str = "state";

fn make_private(folder: &Path) -> Result<(), Fault> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().mode(0o700).create(folder).map_err(|e| Fault::io("make", folder, e))
}

/// The one step in which an authority comes to be.
fn move_into_place(temporary: &Path, folder: &Path) -> Result<(), InitError> {
    sync_folders(temporary)?;
    std::fs::rename(temporary, folder).map_err(|e| match e.kind() {
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => {
            InitError::Exists { path: folder.to_owned() }
        }
        _ => Fault::io("make", folder, e).into(),
    })?;
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        // The name, too, must survive a power cut; where that cannot be asked for, the contents are safe.
        let _ = std::fs::File::open(parent).and_then(|parent| parent.sync_all());
    }
    Ok(())
}

/// Files are synced when they are written; this does it for the folders that hold them.
pub(crate) fn sync_folders(folder: &Path) -> Result<(), Fault> {
    let io = |e| Fault::io("write", folder, e);
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.is_dir() {
            sync_folders(&path)?;
        }
    }
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
}
