//! A model on the local disk, walked and opened by descriptor.
//!
//! Every step is taken relative to an open directory and never through a link that the walk did not
//! choose to follow, so whoever can write into the model cannot lead the verifier out of it by
//! swapping a directory for a link between two looks.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bulla_hash::mapping::{Mapper, Mapping};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};

use super::path::ModelPath;
use super::recipe::{Kind, Scope};
use super::source::{
    Found, Identity, Irregular, Layout, Listing, ModelFile, ModelSource, Unusable,
};
use crate::error::Fault;
use crate::limits::{LINK_HOPS, LINK_WORK, Limits};

/// A directory or a file on the local disk.
#[derive(Debug)]
pub struct LocalModel {
    name: String,
    root: Root,
}

#[derive(Debug)]
enum Root {
    Directory(OwnedFd),
    File(Arc<File>),
}

impl LocalModel {
    /// Opens a model. The path itself may be a link; what is inside is another matter (see
    /// [`Recipe::follow_symlinks`](super::Recipe::follow_symlinks)).
    ///
    /// # Errors
    /// A [`Fault`] when there is nothing, when it cannot be read, or when it is neither a directory
    /// nor a regular file.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let fault = |e: rustix::io::Errno| Fault::io("open the model", path, e.into());
        // Looked at before it is opened: opening a device can have effects of its own.
        let kind = FileType::from_raw_mode(
            rustix::fs::statat(CWD, path, AtFlags::empty()).map_err(fault)?.st_mode,
        );
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let root = match kind {
            FileType::Directory => Root::Directory(
                rustix::fs::openat(CWD, path, flags | OFlags::DIRECTORY, Mode::empty())
                    .map_err(fault)?,
            ),
            FileType::RegularFile => {
                let fd = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(fault)?;
                let stat = rustix::fs::fstat(&fd).map_err(fault)?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                    return Err(Fault::Changed { path: path.display().to_string() });
                }
                Root::File(Arc::new(File::from(fd)))
            }
            other => {
                return Err(Fault::NotAModel { path: path.into(), found: special(other) });
            }
        };
        let name = match path.file_name() {
            Some(name) if path.as_os_str().as_bytes().last() != Some(&b'.') => name.to_owned(),
            _ => path
                .canonicalize()
                .ok()
                .and_then(|p| p.file_name().map(OsStr::to_owned))
                .unwrap_or_else(|| OsString::from("model")),
        };
        Ok(Self { name: name.to_string_lossy().into_owned(), root })
    }
}

impl ModelSource for LocalModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn layout(&self) -> Layout {
        match self.root {
            Root::Directory(_) => Layout::Directory,
            Root::File(_) => Layout::SingleFile,
        }
    }

    fn list(&self, scope: &Scope<'_>, limits: &Limits) -> Result<Listing, Fault> {
        match &self.root {
            Root::Directory(root) => {
                let mut walk = Walk {
                    root: root.as_fd(),
                    scope,
                    limits,
                    entries: 0,
                    linked_entries: 0,
                    name_bytes: 0,
                    links: 0,
                    link_work: 0,
                    ancestors: Vec::new(),
                    found: Listing::default(),
                };
                let stat = rustix::fs::fstat(root).map_err(|e| {
                    Fault::io("read the directory", Path::new(&self.name), e.into())
                })?;
                walk.directory(root.as_fd(), &stat, "", &[])?;
                let mut found = walk.found;
                found.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
                found.irregular.sort_unstable_by(|a, b| a.name.cmp(&b.name));
                found.ignored.sort_unstable();
                Ok(found)
            }
            Root::File(file) => {
                let stat = rustix::fs::fstat(file)
                    .map_err(|e| Fault::io("read the model", Path::new(&self.name), e.into()))?;
                let mut found = Listing::default();
                match ModelPath::parse(&self.name) {
                    Ok(path) if !self.name.contains(char::REPLACEMENT_CHARACTER) => {
                        found.files.push(Found::new(path, identity_of(&stat)));
                    }
                    Ok(_) => found
                        .irregular
                        .push(Irregular { name: self.name.clone(), why: Unusable::NotUtf8 }),
                    Err(why) => found
                        .irregular
                        .push(Irregular { name: self.name.clone(), why: Unusable::BadName(why) }),
                }
                Ok(found)
            }
        }
    }

    fn open(&self, file: &Found) -> Result<Box<dyn ModelFile>, Fault> {
        let handle = match &self.root {
            Root::File(file) => Arc::clone(file),
            Root::Directory(root) => {
                let place = file.behind_link.as_ref().unwrap_or(&file.path);
                let fd = open_beneath(root.as_fd(), place.as_str(), OFlags::RDONLY).map_err(
                    |e| match e {
                        // It was a regular file a moment ago.
                        rustix::io::Errno::LOOP
                        | rustix::io::Errno::NOTDIR
                        | rustix::io::Errno::NOENT
                        | rustix::io::Errno::NXIO => {
                            Fault::Changed { path: file.path.as_str().to_owned() }
                        }
                        e => Fault::io("open", Path::new(file.path.as_str()), e.into()),
                    },
                )?;
                Arc::new(File::from(fd))
            }
        };
        Ok(Box::new(LocalFile(handle)))
    }
}

struct LocalFile(Arc<File>);

impl ModelFile for LocalFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn identity(&self) -> io::Result<Identity> {
        Ok(identity_of(&rustix::fs::fstat(&*self.0)?))
    }

    fn map(&self, mapper: Mapper, offset: u64, length: usize) -> io::Result<Mapping> {
        mapper.map(self.0.as_fd(), offset, length)
    }

    #[cfg(target_os = "linux")]
    fn is_in_memory(&self, offset: u64) -> bool {
        use rustix::io::{ReadWriteFlags, preadv2};
        let mut byte = [0];
        let buffers = &mut [io::IoSliceMut::new(&mut byte)];
        preadv2(&*self.0, buffers, offset, ReadWriteFlags::NOWAIT) == Ok(1)
    }

    #[cfg(target_os = "linux")]
    fn fetch(&self, offset: u64, length: u64) {
        self.advise(offset, length, rustix::fs::Advice::WillNeed);
    }

    #[cfg(target_os = "linux")]
    fn forget(&self, offset: u64, length: u64) {
        self.advise(offset, length, rustix::fs::Advice::DontNeed);
    }
}

#[cfg(target_os = "linux")]
impl LocalFile {
    /// Advice that is not taken changes no answer.
    fn advise(&self, offset: u64, length: u64, advice: rustix::fs::Advice) {
        let _ = rustix::fs::fadvise(&*self.0, offset, std::num::NonZeroU64::new(length), advice);
    }
}

// The fields' types differ between systems; their bits are all that is compared.
#[allow(clippy::cast_sign_loss, clippy::cast_possible_wrap, clippy::unnecessary_cast)]
fn identity_of(stat: &Stat) -> Identity {
    Identity {
        size: stat.st_size as u64,
        times: [
            stat.st_mtime as u64,
            stat.st_mtime_nsec as u64,
            stat.st_ctime as u64,
            stat.st_ctime_nsec as u64,
        ],
        place: [stat.st_dev as u64, stat.st_ino as u64],
    }
}

fn special(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
        FileType::BlockDevice => "block device",
        FileType::CharacterDevice => "character device",
        _ => "special file",
    }
}

/// Opens a path below a directory, following no link at any step.
fn open_beneath(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let safe = OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let Some((parents, name)) = path.rsplit_once('/') else {
        return rustix::fs::openat(root, path, flags | safe, Mode::empty());
    };
    let directory = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut at: Option<OwnedFd> = None;
    for parent in parents.split('/') {
        let here = at.as_ref().map_or(root, |fd| fd.as_fd());
        at = Some(rustix::fs::openat(here, parent, directory | safe, Mode::empty())?);
    }
    let here = at.as_ref().map_or(root, |fd| fd.as_fd());
    rustix::fs::openat(here, name, flags | safe, Mode::empty())
}

struct Walk<'a> {
    root: BorrowedFd<'a>,
    scope: &'a Scope<'a>,
    limits: &'a Limits,
    entries: usize,
    linked_entries: usize,
    name_bytes: usize,
    /// Followed links to directories between the root and here.
    links: usize,
    /// Directories opened to resolve links.
    link_work: usize,
    /// Device and inode of the directories between the root and here, to notice a link back.
    ancestors: Vec<(u64, u64)>,
    found: Listing,
}

impl Walk<'_> {
    /// Walks one directory. `prefix` is its name in the model, ending in `/` unless it is the root;
    /// `real` is where it is, which differs below a followed link.
    fn directory(
        &mut self,
        fd: BorrowedFd<'_>,
        stat: &Stat,
        prefix: &str,
        real: &[String],
    ) -> Result<(), Fault> {
        if self.ancestors.len() >= self.limits.depth {
            return Err(Fault::TooDeep { path: prefix.to_owned(), limit: self.limits.depth });
        }
        self.ancestors.push(node(stat));
        let unreadable = |e: rustix::io::Errno| {
            let name = if prefix.is_empty() { "." } else { prefix };
            Fault::io("list the directory", Path::new(name), e.into())
        };
        for entry in Dir::read_from(fd).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            self.count(prefix.len() + name.to_bytes().len())?;
            self.entry(fd, OsStr::from_bytes(name.to_bytes()), prefix, real)?;
        }
        self.ancestors.pop();
        Ok(())
    }

    /// Counts an entry whose name has so many bytes.
    fn count(&mut self, name: usize) -> Result<(), Fault> {
        self.entries += 1;
        self.name_bytes += name;
        self.linked_entries += usize::from(self.links > 0);
        for (count, limit, what) in [
            (self.entries, self.limits.entries, "entries"),
            (self.linked_entries, self.limits.linked_entries, "entries behind symbolic links"),
            (self.name_bytes, self.limits.name_bytes, "bytes of names"),
        ] {
            if count > limit {
                return Err(Fault::TooMany { what, limit });
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &OsStr,
        prefix: &str,
        real: &[String],
    ) -> Result<(), Fault> {
        if self.scope.is_beside(&format!("{prefix}{}", name.to_string_lossy())) {
            return Ok(());
        }
        let Some(utf8) = name.to_str() else {
            let name = format!("{prefix}{}", name.to_string_lossy());
            self.irregular(name, Unusable::NotUtf8);
            return Ok(());
        };
        let text = format!("{prefix}{utf8}");
        let path = match ModelPath::parse(&text) {
            Ok(path) => path,
            Err(why) => {
                self.irregular(text, Unusable::BadName(why));
                return Ok(());
            }
        };
        let fault = |e: rustix::io::Errno| match e {
            rustix::io::Errno::NOENT | rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR => {
                Fault::Changed { path: path.as_str().to_owned() }
            }
            e => Fault::io("read", Path::new(path.as_str()), e.into()),
        };
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(fault)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let asked = match kind {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            _ => Kind::Other,
        };
        if self.scope.skips(&path, asked) {
            self.found.ignored.push(path);
            return Ok(());
        }
        match kind {
            FileType::RegularFile => {
                // Below a followed link the name in the model is not where the bytes are.
                let place =
                    real.iter().map(String::as_str).chain([utf8]).collect::<Vec<_>>().join("/");
                self.file(path, &place, &stat);
            }
            FileType::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd =
                    rustix::fs::openat(directory, name, flags, Mode::empty()).map_err(fault)?;
                let opened = rustix::fs::fstat(&fd).map_err(fault)?;
                let mut real = real.to_vec();
                real.push(utf8.to_owned());
                self.directory(fd.as_fd(), &opened, &format!("{}/", path.as_str()), &real)?;
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(directory, name, Vec::new()).map_err(fault)?;
                let shown = target.to_string_lossy().into_owned();
                if !self.scope.follow_symlinks {
                    self.irregular(text, Unusable::Symlink { target: shown });
                    return Ok(());
                }
                match self.follow(real, target.to_bytes(), &mut 0).map_err(fault)? {
                    Ok(place) => self.linked(path, &place, shown)?,
                    Err(Astray::Outside) => {
                        self.irregular(text, Unusable::LinkOutside { target: shown });
                    }
                    Err(Astray::Loop) => self.irregular(text, Unusable::LinkLoop { target: shown }),
                    Err(Astray::Dangling) => {
                        self.irregular(text, Unusable::LinkDangling { target: shown });
                    }
                    Err(Astray::NotUtf8) => self.irregular(text, Unusable::NotUtf8),
                    Err(Astray::TooMuch) => {
                        let what = "steps through symbolic links";
                        return Err(Fault::TooMany { what, limit: LINK_WORK });
                    }
                }
            }
            other => self.irregular(text, Unusable::Special { kind: special(other) }),
        }
        Ok(())
    }

    /// Takes in a file whose bytes are at `place`, which is its own name unless a link led there.
    fn file(&mut self, path: ModelPath, place: &str, stat: &Stat) {
        let mut found = Found::new(path, identity_of(stat));
        if place != found.path.as_str() {
            match ModelPath::parse(place) {
                Ok(place) => found.behind_link = Some(place),
                Err(why) => {
                    return self.irregular(found.path.as_str().to_owned(), Unusable::BadName(why));
                }
            }
        }
        self.found.files.push(found);
    }

    fn irregular(&mut self, name: String, why: Unusable) {
        self.found.irregular.push(Irregular { name, why });
    }

    /// Takes in what a followed link leads to, under the link's own name.
    fn linked(&mut self, path: ModelPath, place: &[String], target: String) -> Result<(), Fault> {
        if place.is_empty() {
            // The model's own root.
            self.irregular(path.as_str().to_owned(), Unusable::LinkLoop { target });
            return Ok(());
        }
        let joined = place.join("/");
        let fault = |e: rustix::io::Errno| Fault::io("read", Path::new(path.as_str()), e.into());
        let stat = self.stat(place).map_err(fault)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => self.file(path, &joined, &stat),
            FileType::Directory if self.ancestors.contains(&node(&stat)) => {
                self.irregular(path.as_str().to_owned(), Unusable::LinkLoop { target });
            }
            FileType::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                let fd = open_beneath(self.root, &joined, flags).map_err(fault)?;
                let opened = rustix::fs::fstat(&fd).map_err(fault)?;
                self.links += 1;
                self.directory(fd.as_fd(), &opened, &format!("{}/", path.as_str()), place)?;
                self.links -= 1;
            }
            other => {
                self.irregular(path.as_str().to_owned(), Unusable::Special { kind: special(other) })
            }
        }
        Ok(())
    }

    /// Resolves a link's text from a directory, inside the model and nowhere else.
    ///
    /// The kernel is never asked to resolve: it would go wherever the link says. The result is a
    /// path from the root on which no component is a link.
    fn follow(
        &mut self,
        from: &[String],
        target: &[u8],
        hops: &mut usize,
    ) -> rustix::io::Result<Result<Vec<String>, Astray>> {
        *hops += 1;
        if *hops > LINK_HOPS {
            return Ok(Err(Astray::Loop));
        }
        if target.first() == Some(&b'/') {
            return Ok(Err(Astray::Outside));
        }
        let Ok(target) = std::str::from_utf8(target) else {
            return Ok(Err(Astray::NotUtf8));
        };
        let mut place = from.to_vec();
        let mut steps = target.split('/').filter(|s| !s.is_empty() && *s != ".").peekable();
        while let Some(step) = steps.next() {
            if step == ".." {
                if place.pop().is_none() {
                    return Ok(Err(Astray::Outside));
                }
                continue;
            }
            place.push(step.to_owned());
            self.link_work += place.len();
            if self.link_work > LINK_WORK {
                return Ok(Err(Astray::TooMuch));
            }
            let stat = match self.stat(&place) {
                Ok(stat) => stat,
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {
                    return Ok(Err(Astray::Dangling));
                }
                Err(e) => return Err(e),
            };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => {
                    place.pop();
                    let next = self.read_link(&place, step)?;
                    match self.follow(&place, &next, hops)? {
                        Ok(resolved) => place = resolved,
                        astray => return Ok(astray),
                    }
                }
                FileType::Directory => {}
                _ if steps.peek().is_some() => return Ok(Err(Astray::Dangling)),
                _ => {}
            }
        }
        Ok(Ok(place))
    }

    fn stat(&self, place: &[String]) -> rustix::io::Result<Stat> {
        let Some((name, parents)) = place.split_last() else {
            return rustix::fs::fstat(self.root);
        };
        let directory = self.parent(parents)?;
        let here = directory.as_ref().map_or(self.root, |fd| fd.as_fd());
        rustix::fs::statat(here, name.as_str(), AtFlags::SYMLINK_NOFOLLOW)
    }

    fn read_link(&self, parents: &[String], name: &str) -> rustix::io::Result<Vec<u8>> {
        let directory = self.parent(parents)?;
        let here = directory.as_ref().map_or(self.root, |fd| fd.as_fd());
        Ok(rustix::fs::readlinkat(here, name, Vec::new())?.into_bytes())
    }

    fn parent(&self, parents: &[String]) -> rustix::io::Result<Option<OwnedFd>> {
        if parents.is_empty() {
            return Ok(None);
        }
        open_beneath(self.root, &parents.join("/"), OFlags::RDONLY | OFlags::DIRECTORY).map(Some)
    }
}

/// Where a link leads that must not be followed.
enum Astray {
    Outside,
    Loop,
    Dangling,
    NotUtf8,
    TooMuch,
}

#[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)] // the types differ between systems
fn node(stat: &Stat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}
