//! Digests of an earlier run, so that only what changed since is hashed again.
//!
//! **What it is trusted with.** A signer that takes a digest from here signs what the cache says, not what is on
//! the disk: whoever writes the cache chooses what is signed, and whoever can set the system's clock can
//! change a file behind its back. So it is read only from a file that belongs to the user and that nobody
//! else can write, never by verification, and nothing is remembered of a file that was changed just before
//! it was read.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;

use jiff::Timestamp;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::manifest::Manifest;
use super::recipe::{Method, Recipe};
use super::source::{Found, Identity};
use crate::digest::{Digest, HashAlgorithm};
use crate::error::Fault;
use crate::json::{self, Object};
use crate::limits::{CACHE_BYTES, CACHE_ENTRIES};
use crate::store::{Access, Existing, store};

/// What a cache file says that it is.
const FORMAT: &str = "bulla-digest-cache-v1";

/// Remembered digests, by device and inode.
#[derive(Debug, Default)]
pub struct DigestCache {
    entries: HashMap<[u64; 2], Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    identity: Identity,
    hash: HashAlgorithm,
    shard_size: u64,
    digests: Vec<Digest>,
    /// Whether the last run saw the file.
    seen: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CacheJson {
    format: String,
    entries: Vec<Object<EntryJson>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryJson {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: [u64; 2],
    changed: [u64; 2],
    hash: String,
    /// 0 for whole files.
    shard_size: u64,
    digests: Vec<String>,
}

impl DigestCache {
    /// Reads a cache; one that is not there is empty.
    ///
    /// # Errors
    /// [`Fault::DigestCache`] when the file is not the user's own, when others can write it, or when it
    /// is something else than a cache: it would be overwritten.
    pub fn load(path: &Path) -> Result<Self, Fault> {
        let fault = |e: std::io::Error| Fault::io("read", path, e);
        let not_ours =
            |detail: String, hint| Fault::DigestCache { path: path.into(), detail, hint };
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
            Ok(file) => std::fs::File::from(file),
            Err(rustix::io::Errno::NOENT) => return Ok(Self::default()),
            Err(rustix::io::Errno::LOOP) => {
                return Err(not_ours("it is a symbolic link".into(), "name the file itself"));
            }
            Err(e) => return Err(fault(e.into())),
        };
        let stat = rustix::fs::fstat(&file).map_err(|e| fault(e.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(not_ours("it is not a regular file".into(), "name another file"));
        }
        let user = rustix::process::geteuid().as_raw();
        if stat.st_uid != user {
            return Err(not_ours(
                format!("it belongs to user {}, and this is user {user}", stat.st_uid),
                "whoever writes the cache chooses what is signed: use one of your own",
            ));
        }
        if stat.st_mode & 0o022 != 0 {
            return Err(not_ours(
                format!("others than its owner can write it (mode {:03o})", stat.st_mode & 0o777),
                "whoever writes the cache chooses what is signed: remove it, or if nobody has touched it, chmod 600",
            ));
        }
        let mut bytes = Vec::new();
        file.take(CACHE_BYTES + 1).read_to_end(&mut bytes).map_err(fault)?;
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        Self::decode(&bytes).map_err(|detail| {
            not_ours(
                format!("it is not a digest cache: {detail}"),
                "if it is a damaged one, remove it; else name another file",
            )
        })
    }

    /// Reads a cache's bytes. Whose they are is the caller's matter; see [`load`](Self::load).
    ///
    /// # Errors
    /// One line that says in which way they are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() as u64 > CACHE_BYTES {
            return Err(format!("it is larger than {CACHE_BYTES} bytes"));
        }
        let read: CacheJson = json::read(bytes)?;
        if read.format != FORMAT {
            return Err(format!("its format is {:?}, expected {FORMAT:?}", read.format));
        }
        let mut entries = HashMap::with_capacity(read.entries.len());
        for Object(entry) in read.entries {
            let hash = HashAlgorithm::from_name(&entry.hash)
                .ok_or_else(|| format!("the hash {:?} is unknown", entry.hash))?;
            let digests: Option<Vec<Digest>> =
                entry.digests.iter().map(|hex| Digest::from_hex(hash, hex)).collect();
            let [modified, modified_ns] = entry.modified;
            let [changed, changed_ns] = entry.changed;
            let place = [entry.device, entry.inode];
            let identity = Identity {
                size: entry.size,
                times: [modified, modified_ns, changed, changed_ns],
                place,
            };
            let digests = digests.ok_or("a digest is not lower-case hexadecimal")?;
            let shard_size = entry.shard_size;
            entries.insert(place, Entry { identity, hash, shard_size, digests, seen: false });
        }
        Ok(Self { entries })
    }

    /// Writes it, readable and writable for the user alone.
    ///
    /// # Errors
    /// [`Fault::Io`]; what was there before is then untouched.
    pub fn store(&self, path: &Path) -> Result<(), Fault> {
        let bytes = self.encode_within(CACHE_ENTRIES, CACHE_BYTES);
        store(path, &bytes, Access::Private, Existing::Replace)
    }

    /// As much of it as fits.
    fn encode_within(&self, most_entries: usize, most_bytes: u64) -> Vec<u8> {
        let mut bytes = self.encode(|_| true);
        if self.entries.len() > most_entries || bytes.len() as u64 > most_bytes {
            // What other models left here goes first.
            bytes = self.encode(|entry| entry.seen);
        }
        if bytes.len() as u64 > most_bytes {
            bytes = self.encode(|_| false);
        }
        bytes
    }

    fn encode(&self, keep: impl Fn(&Entry) -> bool) -> Vec<u8> {
        let mut kept: Vec<&Entry> = self.entries.values().filter(|entry| keep(entry)).collect();
        kept.sort_unstable_by_key(|entry| entry.identity.place);
        let entries = kept.into_iter().map(|entry| {
            let [device, inode] = entry.identity.place;
            let [modified, modified_ns, changed, changed_ns] = entry.identity.times;
            Object(EntryJson {
                device,
                inode,
                size: entry.identity.size,
                modified: [modified, modified_ns],
                changed: [changed, changed_ns],
                hash: entry.hash.name().to_owned(),
                shard_size: entry.shard_size,
                digests: entry.digests.iter().map(Digest::to_hex).collect(),
            })
        });
        let json = CacheJson { format: FORMAT.to_owned(), entries: entries.collect() };
        // Numbers and text cannot fail to be written.
        serde_json::to_vec(&json).unwrap_or_default()
    }

    /// The digests of a file, if it is the very one that was hashed.
    pub(crate) fn digests(&self, found: &Found, recipe: &Recipe) -> Option<&[Digest]> {
        let entry = self.entries.get(&found.identity.place)?;
        let same = entry.identity == found.identity
            && entry.hash == recipe.hash
            && entry.shard_size == recipe.method.shard_size();
        same.then_some(entry.digests.as_slice())
    }

    /// Remembers what was measured, but for files that were written to so shortly before `started`, when
    /// the measuring began, that a later change could bear the same time.
    pub fn remember(&mut self, manifest: &Manifest, started: Timestamp) {
        self.entries.values_mut().for_each(|entry| entry.seen = false);
        for file in manifest.files.values() {
            let identity = file.found.identity;
            if !is_settled(&identity, started) {
                self.entries.remove(&identity.place);
                continue;
            }
            let entry = Entry {
                identity,
                hash: manifest.recipe.hash,
                shard_size: match manifest.recipe.method {
                    Method::Files => 0,
                    Method::Shards(size) => size.get(),
                },
                digests: file.digests.clone(),
                seen: true,
            };
            self.entries.insert(identity.place, entry);
        }
    }
}

/// Whether a change from now on would show in the file's times: clocks of file systems tick in
/// steps of up to ten milliseconds, and those without parts of a second in steps of up to two.
fn is_settled(identity: &Identity, started: Timestamp) -> bool {
    let [modified, modified_ns, changed, changed_ns] = identity.times;
    let nanoseconds =
        |seconds: u64, ns: u64| i128::from(seconds.cast_signed()) * 1_000_000_000 + i128::from(ns);
    let last = nanoseconds(modified, modified_ns).max(nanoseconds(changed, changed_ns));
    let step = if changed_ns == 0 { 2_000_000_000 } else { 100_000_000 };
    last + step < started.as_nanosecond()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::Layout;

    #[test]
    fn rule_5_what_was_just_written_is_not_remembered() {
        let at = |seconds, nanoseconds| Identity {
            size: 1,
            times: [seconds, nanoseconds, seconds, nanoseconds],
            place: [1, 2],
        };
        let started = Timestamp::from_second(1_000_000).unwrap();
        assert!(is_settled(&at(999_999, 5), started));
        assert!(!is_settled(&at(999_999, 950_000_000), started));
        assert!(!is_settled(&at(1_000_000, 5), started));
        assert!(!is_settled(&at(2_000_000, 5), started));
        // No parts of a second: a coarse clock.
        assert!(!is_settled(&at(999_998, 0), started));
        assert!(is_settled(&at(999_997, 0), started));
        // Before 1970.
        assert!(is_settled(&at((-5i64).cast_unsigned(), 5), started));
        // The modification time can be set, the change time cannot; either may be the later one.
        for times in [[5, 5, 1_000_000, 5], [1_000_000, 5, 5, 5]] {
            assert!(!is_settled(&Identity { times, ..at(5, 5) }, started));
        }
    }

    #[test]
    fn what_does_not_fit_goes_the_oldest_first() {
        let mut cache = DigestCache::default();
        for inode in 0..10 {
            let place = [1, inode];
            let identity = Identity { size: 1, times: [1; 4], place };
            let digests = vec![Digest::sha256(b"1")];
            let (hash, seen) = (HashAlgorithm::Sha256, inode < 3);
            cache.entries.insert(place, Entry { identity, hash, shard_size: 0, digests, seen });
        }
        let kept = |cache: &DigestCache, entries, bytes| {
            DigestCache::decode(&cache.encode_within(entries, bytes)).unwrap().entries.len()
        };
        let all = cache.encode(|_| true).len() as u64;
        let seen = cache.encode(|entry| entry.seen).len() as u64;
        assert_eq!(kept(&cache, 10, all), 10);
        assert_eq!([kept(&cache, 9, all), kept(&cache, 10, all - 1)], [3, 3]);
        assert_eq!([kept(&cache, 10, seen), kept(&cache, 10, seen - 1)], [3, 0]);
        // After another model all of these are old.
        let other = Manifest {
            name: "other".into(),
            layout: Layout::Directory,
            recipe: Recipe::default(),
            files: BTreeMap::new(),
        };
        cache.remember(&other, Timestamp::UNIX_EPOCH);
        assert_eq!(kept(&cache, 9, all), 0);
    }

    #[test]
    fn what_is_no_cache_is_named_and_not_taken() {
        for (text, says) in [
            (&b"{"[..], "EOF"),
            (br#"[]"#, "an object"),
            (br#"{"format":"other","entries":[]}"#, "its format is"),
            (br#"{"format":"bulla-digest-cache-v1","entries":[],"more":1}"#, "unknown field"),
            (br#"{"format":"bulla-digest-cache-v1","entries":[],"entries":[]}"#, "twice"),
            (br#"{"format":"bulla-digest-cache-v1","entries":[[]]}"#, "an object"),
        ] {
            let error = DigestCache::decode(text).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        let entry = br#"{"format":"bulla-digest-cache-v1","entries":[{"device":1,"inode":2,"size":3,"modified":[1,2],"changed":[1,2],"hash":"sha256","shard_size":0,"digests":["XY"]}]}"#;
        assert!(DigestCache::decode(entry).unwrap_err().contains("hexadecimal"));
        let large = vec![0; usize::try_from(CACHE_BYTES).unwrap() + 1];
        assert!(DigestCache::decode(&large).unwrap_err().contains("larger than"));
    }
}
