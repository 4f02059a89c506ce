//! Reading what is there, whatever it is.

use std::ffi::OsString;
use std::path::Path;

/// Bytes of a file below `/proc` and `/sys` that says one thing.
pub(super) const SMALL: u64 = 64 << 10;
/// Entries of a directory that are looked at.
pub(super) const ENTRIES: usize = 20_000;

/// The beginning of a regular file. Nothing for anything else, and for what cannot be read: a FIFO
/// or a device in a file's place is not waited for.
pub(super) fn bytes(path: &Path, cap: u64) -> Option<Vec<u8>> {
    bulla::read_found(path, cap, bulla::Links::Follow).ok()?
}

/// The beginning of a small text file; what is not UTF-8 in it is replaced.
pub(super) fn text(path: &Path) -> Option<String> {
    bytes(path, SMALL).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The one word of a file like those below `/sys`.
pub(super) fn word(path: &Path) -> Option<String> {
    shown(text(path)?.lines().next()?)
}

/// Somebody else's short text, if it is one.
pub(super) fn shown(text: &str) -> Option<String> {
    let text = text.trim();
    let good = !text.is_empty() && text.len() <= 200 && bulla::text::is_plain(text);
    good.then(|| text.to_owned())
}

/// The names in a directory, sorted.
pub(super) fn names(path: &Path) -> Vec<OsString> {
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.take(ENTRIES).filter_map(|entry| Some(entry.ok()?.file_name())).collect();
    names.sort_unstable();
    names
}

/// The value of the first line `name: value` (or with another separator).
pub(super) fn field<'a>(text: &'a str, name: &str, separator: char) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(separator)?;
        (key.trim() == name).then(|| value.trim())
    })
}
