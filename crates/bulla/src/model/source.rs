//! Where a model's bytes are: the one joint for local folders, registries and buckets.

use std::fmt;
use std::io;

use bulla_hash::mapping::{Mapper, Mapping};

use super::path::ModelPath;
use super::recipe::Scope;
use crate::error::Fault;
use crate::limits::Limits;
use crate::text::Printable;

/// A place that holds a model.
pub trait ModelSource: fmt::Debug + Send + Sync {
    /// The model's name: the last component of where it is. What a signature gives as its subject.
    fn name(&self) -> &str;

    /// A directory or a single file.
    fn layout(&self) -> Layout;

    /// Everything in scope, and everything that cannot be part of a model.
    ///
    /// # Errors
    /// A [`Fault`] when the model cannot be listed in full; a partial listing is never returned.
    fn list(&self, scope: &Scope<'_>, limits: &Limits) -> Result<Listing, Fault>;

    /// Opens a file that was listed. Whether it still is what it was then, its
    /// [`identity`](ModelFile::identity) tells when it has been read.
    ///
    /// # Errors
    /// [`Fault::Changed`] when no regular file stands in its place; else what the system says.
    fn open(&self, file: &Found) -> Result<Box<dyn ModelFile>, Fault>;
}

impl<M: ModelSource + ?Sized> ModelSource for &M {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn layout(&self) -> Layout {
        (**self).layout()
    }

    fn list(&self, scope: &Scope<'_>, limits: &Limits) -> Result<Listing, Fault> {
        (**self).list(scope, limits)
    }

    fn open(&self, file: &Found) -> Result<Box<dyn ModelFile>, Fault> {
        (**self).open(file)
    }
}

/// An open file of a model.
pub trait ModelFile: Send {
    /// Reads at a place, as `pread` does: fewer bytes than asked for are allowed, 0 is the end.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Fills the buffer from a place on.
    ///
    /// # Errors
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) when the file ends before; else what the system says.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut filled = 0;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            match self.read_at(room, offset + filled as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(got) => filled += got,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// What the file is at this moment.
    ///
    /// # Errors
    /// What the system says.
    fn identity(&self) -> io::Result<Identity>;

    /// Maps a part of it into memory, where it can be mapped.
    ///
    /// # Errors
    /// What the system says; then it has to be read.
    fn map(&self, mapper: Mapper, offset: u64, length: usize) -> io::Result<Mapping> {
        let _ = (mapper, offset, length);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Whether the byte at this place can be read without waiting for a disk. `false` where that
    /// cannot be told: to ask for bytes that are there already costs little, to wait for each one that is not
    /// costs much.
    fn is_in_memory(&self, offset: u64) -> bool {
        let _ = offset;
        false
    }

    /// Has these bytes brought into memory, without waiting for them.
    fn fetch(&self, offset: u64, length: u64) {
        let _ = (offset, length);
    }

    /// Lets these bytes go from memory: nobody will need them soon.
    fn forget(&self, offset: u64, length: u64) {
        let _ = (offset, length);
    }
}

/// A directory or a single file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// A tree of files.
    Directory,
    /// One file, which is the model.
    SingleFile,
}

/// What tells one state of a file from another. Two equal identities mean the same bytes as far as
/// the system can tell; they are no proof against whoever can set the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Bytes.
    pub size: u64,
    /// Modification and change time, in seconds and nanoseconds; for remote sources whatever plays
    /// their part.
    pub times: [u64; 4],
    /// Device and inode. File systems over a network number their files anew when they please.
    pub place: [u64; 2],
}

impl Identity {
    /// Whether it can be the same bytes: size and times, not where they are. A file that was swapped
    /// for another has another change time, unless a directory above it was renamed; and who writes through a
    /// memory mapping changes no time until the system writes the page to the disk.
    #[must_use]
    pub fn is_unchanged_since(&self, earlier: &Self) -> bool {
        self.size == earlier.size && self.times == earlier.times
    }
}

/// A file that can be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name in the model.
    pub path: ModelPath,
    /// What it was when it was listed.
    pub identity: Identity,
    /// Where its bytes are, if a link leads there.
    pub(crate) behind_link: Option<ModelPath>,
}

impl Found {
    /// A file that is where its name says.
    #[must_use]
    pub fn new(path: ModelPath, identity: Identity) -> Self {
        Self { path, identity, behind_link: None }
    }
}

/// What a walk found.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The files, in code-point order of their names.
    pub files: Vec<Found>,
    /// Names that cannot be part of a model, in order.
    pub irregular: Vec<Irregular>,
    /// Names that were passed over because the recipe or the caller said so; each may be a directory
    /// with more below.
    pub ignored: Vec<ModelPath>,
}

impl Listing {
    /// Whether a later listing found the very same.
    ///
    /// # Errors
    /// [`Fault::Changed`] names the first that differs.
    pub fn same_as(&self, later: &Self) -> Result<(), Fault> {
        let changed = |path: String| Err(Fault::Changed { path });
        let mut pairs = self.files.iter().zip(&later.files);
        let same = |before: &Found, after: &Found| {
            before.path == after.path
                && before.behind_link == after.behind_link
                && after.identity.is_unchanged_since(&before.identity)
        };
        if let Some((before, after)) = pairs.find(|(before, after)| !same(before, after)) {
            return changed(before.path.as_ref().min(after.path.as_ref()).to_owned());
        }
        let longer = if self.files.len() > later.files.len() { self } else { later };
        if let Some(file) = longer.files.get(self.files.len().min(later.files.len())) {
            return changed(file.path.as_str().to_owned());
        }
        if self.irregular != later.irregular {
            let only = |a: &Self, b: &Self| {
                a.irregular.iter().find(|i| !b.irregular.contains(i)).map(|i| i.name.clone())
            };
            return changed(only(self, later).or_else(|| only(later, self)).unwrap_or_default());
        }
        Ok(())
    }
}

/// A name that cannot be part of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Irregular {
    /// The name; not always one that a [`ModelPath`] can hold.
    pub name: String,
    /// What is wrong with it.
    pub why: Unusable,
}

/// Why something in a directory cannot be part of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unusable {
    /// A link, and links are not followed.
    Symlink {
        /// Where it points.
        target: String,
    },
    /// A followed link that leaves the model.
    LinkOutside {
        /// Where it points.
        target: String,
    },
    /// A followed link that comes back to itself or to a directory above it.
    LinkLoop {
        /// Where it points.
        target: String,
    },
    /// A followed link to nothing.
    LinkDangling {
        /// Where it points.
        target: String,
    },
    /// A FIFO, socket or device.
    Special {
        /// Which.
        kind: &'static str,
    },
    /// A name that is not UTF-8 and so cannot be written into a signature (v1.0 §6.1.2).
    NotUtf8,
    /// A name that no model path can have.
    BadName(super::path::BadPath),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symlink { target } => write!(f, "is a symbolic link (to {})", Printable(target)),
            Self::LinkOutside { target } => {
                write!(f, "is a symbolic link that leaves the model (to {})", Printable(target))
            }
            Self::LinkLoop { target } => {
                write!(f, "is a symbolic link that leads back to itself (to {})", Printable(target))
            }
            Self::LinkDangling { target } => {
                write!(f, "is a symbolic link to nothing (to {})", Printable(target))
            }
            Self::Special { kind } => write!(f, "is a {kind}, not a file"),
            Self::NotUtf8 => f.write_str("has a name that is not UTF-8"),
            Self::BadName(why) => write!(f, "has a name that cannot be signed: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Gives one byte at a time, after an interruption for each.
    struct Slow(Cell<bool>);

    impl ModelFile for Slow {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            if self.0.replace(!self.0.get()) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let bytes = b"0123456789".get(usize::try_from(offset).unwrap()..).unwrap_or_default();
            buffer.iter_mut().zip(bytes.iter().take(1)).for_each(|(to, from)| *to = *from);
            Ok(bytes.len().min(1))
        }

        fn identity(&self) -> io::Result<Identity> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    #[test]
    fn a_buffer_is_filled_whatever_a_read_gives() {
        let file = Slow(Cell::new(true));
        let mut buffer = [0; 4];
        file.read_exact_at(&mut buffer, 6).unwrap();
        assert_eq!(&buffer, b"6789");
        file.read_exact_at(&mut [], 20).unwrap();
        let error = file.read_exact_at(&mut buffer, 7).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
