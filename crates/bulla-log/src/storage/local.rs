//! A log in a local directory, laid out as it is served.
//!
//! ```text
//! DIR/checkpoint  DIR/tile/…   the log
//! DIR/.lock                    held by its writer
//! DIR/.new/…                   files before they have their names
//! ```
//!
//! Every file is written and synced under `.new/` and then renamed; then the directories that changed are synced. So a
//! name is always that of a complete file, whatever happens.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::super::tile::{MAX_RESOURCE, TileReader};
use super::disk::{Disk, System};
use super::{Guard, Storage, StorageError};

const NEW: &str = ".new";
const LOCK: &str = ".lock";

/// A directory of the local file system.
pub struct LocalDirectory {
    root: PathBuf,
    disk: Box<dyn Disk>,
    /// Directories that are known to be there, and to stay.
    durable: Mutex<HashSet<PathBuf>>,
}

impl LocalDirectory {
    /// A directory, which is made if it is not there; the one above it must be.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(root: &Path) -> Result<Self, StorageError> {
        Self::create_on(Box::new(System), root)
    }

    /// A directory that must be there.
    ///
    /// # Errors
    /// When it is not.
    pub fn open(root: &Path) -> Result<Self, StorageError> {
        if root.is_dir() {
            return Ok(Self::on(Box::new(System), root));
        }
        let missing = io::Error::new(io::ErrorKind::NotFound, "there is no such directory");
        Err(StorageError::new("open", root.to_string_lossy(), &missing))
    }

    pub(crate) fn create_on(disk: Box<dyn Disk>, root: &Path) -> Result<Self, StorageError> {
        let this = Self::on(disk, root);
        let made = this.disk.make_directory(root).and_then(|()| {
            let above = root.parent().filter(|above| !above.as_os_str().is_empty());
            this.disk.sync_directory(above.unwrap_or(Path::new(".")))
        });
        made.map_err(|e| StorageError::new("make", root.to_string_lossy(), &e))?;
        Ok(this)
    }

    pub(crate) fn on(disk: Box<dyn Disk>, root: &Path) -> Self {
        Self { root: root.to_path_buf(), disk, durable: Mutex::default() }
    }

    /// Where a resource is. Resources lie below the root, whatever they are called.
    fn locate(&self, path: &str) -> io::Result<PathBuf> {
        let relative = Path::new(path);
        let below = relative.components().all(|part| matches!(part, Component::Normal(_)));
        if below && !path.is_empty() && !path.contains('\0') {
            return Ok(self.root.join(relative));
        }
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a path inside the log"))
    }

    /// Writes, renames, and then syncs the directories.
    fn put(&self, resources: &[(&str, &[u8])]) -> io::Result<()> {
        let mut changed = BTreeSet::new();
        let new = self.root.join(NEW);
        self.directory(&new, &mut changed)?;
        let mut targets = Vec::with_capacity(resources.len());
        let mut files = Vec::with_capacity(resources.len());
        for (path, bytes) in resources {
            let target = self.locate(path)?;
            files.push((new.join(path.replace('/', "-")), *bytes));
            targets.push(target);
        }
        self.disk.write(&files)?;
        let mut used = Vec::new();
        for ((from, _), to) in files.iter().zip(&targets) {
            let folder = to.parent().unwrap_or(&self.root);
            self.directory(folder, &mut changed)?;
            self.disk.rename(from, to)?;
            changed.insert(folder.to_path_buf());
            used.push(folder);
        }
        changed.iter().try_for_each(|folder| self.disk.sync_directory(folder))?;
        // Only now nothing above these can be lost.
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        for folder in used.into_iter().chain([new.as_path()]) {
            let above = folder.ancestors().take_while(|at| *at != self.root);
            durable.extend(above.map(Path::to_path_buf));
        }
        Ok(())
    }

    /// Makes a directory below the root with those above it, and notes what must be synced for it to stay. One that is
    /// there already may be a crashed process's, whose name never was.
    fn directory(&self, folder: &Path, changed: &mut BTreeSet<PathBuf>) -> io::Result<()> {
        let durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = folder
            .ancestors()
            .take_while(|at| *at != self.root && !durable.contains(*at))
            .collect::<Vec<_>>();
        for at in missing.into_iter().rev() {
            self.disk.make_directory(at)?;
            changed.insert(at.parent().unwrap_or(&self.root).to_path_buf());
        }
        Ok(())
    }

    fn error<'a>(
        &'a self,
        doing: &'static str,
        path: &'a str,
    ) -> impl Fn(io::Error) -> StorageError + 'a {
        move |e| StorageError::new(doing, self.root.join(path).to_string_lossy(), &e)
    }
}

impl TileReader for LocalDirectory {
    fn read(&self, path: &str, at_most: u64) -> Result<Option<Vec<u8>>, StorageError> {
        let file = self.locate(path).map_err(self.error("read", path))?;
        match self.disk.read(&file, at_most) {
            // A partial tile is looked for below its full one's name; a file in the way is nothing.
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => Ok(None),
            other => other.map_err(self.error("read", path)),
        }
    }
}

impl Storage for LocalDirectory {
    fn lock(&self) -> Result<Guard, StorageError> {
        let held = self.disk.lock(&self.root.join(LOCK)).map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => {
                let other = io::Error::new(e.kind(), "another process holds the lock");
                StorageError::new("lock", self.root.to_string_lossy(), &other)
            }
            _ => StorageError::new("lock", self.root.to_string_lossy(), &e),
        })?;
        // What a crashed writer left.
        let _ = self.disk.remove_directory(&self.root.join(NEW));
        // Others may have written here since this was last used.
        self.durable.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(held)
    }

    fn write(&self, resources: &[(String, Vec<u8>)]) -> Result<(), StorageError> {
        let borrowed: Vec<_> =
            resources.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
        let about = borrowed.first().map_or("", |(path, _)| path);
        self.put(&borrowed).map_err(self.error("write", about))
    }

    fn replace(&self, path: &str, expected: Option<&[u8]>, new: &[u8]) -> Result<(), StorageError> {
        if self.read(path, MAX_RESOURCE)?.as_deref() != expected {
            let other = io::Error::other(
                "it is not what this process wrote there: something else writes to this log",
            );
            return Err(self.error("replace", path)(other));
        }
        self.put(&[(path, new)]).map_err(self.error("replace", path))
    }

    fn discard(&self, path: &str) {
        let Ok(folder) = self.locate(path) else { return };
        if path.ends_with(".p") {
            let _ = self.disk.remove_directory(&folder);
            let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
            durable.remove(&folder);
        } else {
            let _ = self.disk.remove_file(&folder);
        }
    }
}

impl fmt::Debug for LocalDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalDirectory({})", self.root.display())
    }
}
