//! Each token is used once, also over a restart.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bulla::{Access, Existing, Fault};
use jiff::Timestamp;

/// More unexpired tokens than this are not remembered, and no more certificates issued: better none than twice.
const REMEMBERED: usize = 1 << 20;
/// The file is written anew when it has this many more lines than tokens.
const SLACK: usize = 10_000;

/// What is remembered of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Its name, hashed.
    pub(crate) name: [u8; 32],
    /// From then on it would be refused anyway.
    pub(crate) expires: Timestamp,
}

/// The tokens that were used and have not expired.
#[derive(Debug)]
pub(crate) struct Once {
    path: std::path::PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    used: HashMap<[u8; 32], Timestamp>,
    file: File,
    lines: usize,
    /// The file may end in half a line, which could not be taken away.
    torn: bool,
}

/// Why a token cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UseError {
    #[error("the token was used before")]
    Used,
    #[error("too many tokens are in use")]
    Full,
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Once {
    /// Reads what was used before.
    pub(crate) fn open(path: &Path, now: Timestamp) -> Result<Self, Fault> {
        let io = |e| Fault::io("read", path, e);
        let mut text = String::new();
        match File::open(path) {
            Ok(mut file) => drop(file.read_to_string(&mut text).map_err(io)?),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(io(e)),
        }
        let mut used = HashMap::new();
        // The last line may have been cut off by a crash; then no certificate was issued for it. Any other is a token's that would
        // be taken again.
        let mut lines = text.split_inclusive('\n').enumerate().peekable();
        while let Some((i, line)) = lines.next() {
            let whole = line.strip_suffix('\n');
            match whole.and_then(parse) {
                Some((name, expires)) if expires > now => drop(used.insert(name, expires)),
                Some(_) => {}
                None if whole.is_none() && lines.peek().is_none() => {}
                None => {
                    return Err(io(std::io::Error::other(format!(
                        "its line {} is not a used token (expected 64 hexadecimal digits and a time); restore it, or remove it a day after the authority last issued",
                        i + 1
                    ))));
                }
            }
        }
        let state = Self::rewrite(path, used)?;
        Ok(Self { path: path.to_owned(), state: Mutex::new(state) })
    }

    fn rewrite(path: &Path, used: HashMap<[u8; 32], Timestamp>) -> Result<State, Fault> {
        let text: String = used.iter().map(|(name, expires)| line(*name, *expires)).collect();
        bulla::store(path, text.as_bytes(), Access::Private, Existing::Replace)?;
        let file =
            File::options().append(true).open(path).map_err(|e| Fault::io("write", path, e))?;
        Ok(State { lines: used.len(), used, file, torn: false })
    }

    /// Uses a token; the second time it is refused.
    pub(crate) fn use_now(&self, claim: Claim, now: Timestamp) -> Result<(), UseError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.used.contains_key(&claim.name) {
            return Err(UseError::Used);
        }
        if state.torn || state.used.len() >= REMEMBERED || state.lines > state.used.len() + SLACK {
            state.used.retain(|_, expires| *expires > now);
            if state.used.len() >= REMEMBERED {
                return Err(UseError::Full);
            }
            *state = Self::rewrite(&self.path, state.used.clone())?;
        }
        append(&mut state, line(claim.name, claim.expires).as_bytes())
            .map_err(|e| Fault::io("write", &self.path, e))?;
        state.lines += 1;
        state.used.insert(claim.name, claim.expires);
        Ok(())
    }

    /// Gives a token back with which nothing was issued.
    pub(crate) fn give_back(&self, claim: Claim) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.used.remove(&claim.name);
        // In the file it stays used: after a restart it is refused, which is the safe side.
    }
}

/// Writes a line in full and durably, or not at all: the next one would be glued to half a line, and both forgotten at the next
/// start.
fn append(state: &mut State, line: &[u8]) -> std::io::Result<()> {
    let before = state.file.metadata()?.len();
    let written = state.file.write_all(line).and_then(|()| state.file.sync_data());
    if written.is_err() {
        // Where even that fails the file is written anew before the next token is taken.
        state.torn = state.file.set_len(before).is_err();
    }
    written
}

fn line(name: [u8; 32], expires: Timestamp) -> String {
    format!("{} {}\n", hex::encode(name), expires.as_second())
}

fn parse(line: &str) -> Option<([u8; 32], Timestamp)> {
    let (name, expires) = line.split_once(' ')?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(name, &mut bytes).ok()?;
    Some((bytes, Timestamp::from_second(expires.parse().ok()?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(n: u8, expires: &str) -> Claim {
        Claim { name: [n; 32], expires: expires.parse().unwrap() }
    }

    #[test]
    fn a_token_is_used_once_also_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        let once = Once::open(&path, now).unwrap();
        let (one, two) = (claim(1, "2026-11-20T12:05:00Z"), claim(2, "2026-11-20T12:05:00Z"));
        once.use_now(one, now).unwrap();
        assert!(matches!(once.use_now(one, now), Err(UseError::Used)));
        once.use_now(two, now).unwrap();
        once.give_back(two);
        once.use_now(two, now).unwrap();
        let again = Once::open(&path, now).unwrap();
        assert!(matches!(again.use_now(one, now), Err(UseError::Used)));
        // Expired: its time refuses it, nobody has to remember it.
        let later = "2026-11-20T12:06:00Z".parse().unwrap();
        let later = Once::open(&path, later).unwrap();
        assert!(later.state.lock().unwrap().used.is_empty());
    }

    /// A disk that is full in the middle of a line.
    #[test]
    fn a_line_that_was_written_in_part_hides_no_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        let [one, two, three] = [1, 2, 3].map(|n| claim(n, "2026-11-20T12:05:00Z"));
        let once = Once::open(&path, now).unwrap();
        once.use_now(one, now).unwrap();
        let whole = std::fs::read(&path).unwrap();
        // Whatever it is that cannot be written, the token is not taken, and the next one starts a line of its own.
        once.state.lock().unwrap().file = File::open(&path).unwrap();
        assert!(matches!(once.use_now(two, now), Err(UseError::Fault(_))));
        assert!(once.state.lock().unwrap().torn);
        std::fs::write(&path, [&whole[..], &whole[..20]].concat()).unwrap();
        once.use_now(three, now).unwrap();
        let again = Once::open(&path, now).unwrap();
        for claim in [one, three] {
            assert!(matches!(again.use_now(claim, now), Err(UseError::Used)));
        }
        again.use_now(two, now).unwrap();
    }

    #[test]
    fn a_damaged_line_is_an_error_unless_it_is_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        let one = claim(1, "2026-11-20T12:05:00Z");
        let whole = line(one.name, one.expires);
        std::fs::write(&path, format!("{}{whole}", &whole[..20])).unwrap();
        let refused = Once::open(&path, now).unwrap_err().to_string();
        assert!(refused.contains("line 1"), "{refused}");
        std::fs::write(&path, format!("{whole}{}", &whole[..20])).unwrap();
        let once = Once::open(&path, now).unwrap();
        assert!(matches!(once.use_now(one, now), Err(UseError::Used)));
        // What was given back and used again stands twice.
        std::fs::write(&path, format!("{whole}{whole}")).unwrap();
        Once::open(&path, now).unwrap();
    }
}
