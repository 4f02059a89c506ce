//! What is new in a log, who signed it, and whether it bears a name that is one's own.
//!
//! ```text
//! remembered checkpoint ─► is the log its continuation? ─► each new entry ─► who signed ─► one's own? ─► remembered anew
//! ```
//!
//! A certificate in one's own name that one did not ask for is how a stolen identity, or an insider at the authority, shows.

use bulla::SignerName;

use super::body::{Body, LoggedSigner};
use super::{AuditError, Audited, OpenedLog};
use crate::checkpoint::{Checkpoint, LogKey};
use crate::tile::TileReader;

/// A new entry.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// Its place.
    pub index: u64,
    /// What it says; or why it cannot be read: then nobody can tell whose it is.
    pub body: Result<Body, String>,
}

/// Looks at what is new since the checkpoint that is remembered (all, if none is), and shows each new entry. Nothing that
/// was shown is to be believed unless `Ok` is returned; only then is the checkpoint to be remembered.
///
/// # Errors
/// [`AuditError::Wrong`] names what is wrong.
pub fn monitor<R: TileReader + ?Sized>(
    reader: &R,
    logs: &[LogKey],
    remembered: Option<&Checkpoint>,
    each: &mut dyn FnMut(NewEntry),
) -> Result<Audited, AuditError> {
    let log = OpenedLog::open(reader, logs)?;
    let from = remembered.map_or(0, |before| before.size);
    let mut show = |index, entry: &[u8]| each(NewEntry { index, body: Body::parse(entry) });
    let entries = log.audit(from, remembered, &mut show)?;
    Ok(Audited { checkpoint: log.checkpoint, note: log.note, entries })
}

/// A name of one's own: `alice@example.com`, `*@example.com`, `https://ci.example.com/team/*`, or a key, `sha256:…`.
/// `*` stands for any characters but `@` and `/`. An e-mail address is never found by the pattern of a URI, nor the
/// other way round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnName(Pattern);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Key(String),
    Name { kind: &'static str, glob: String },
}

/// The longest pattern.
const MAX_PATTERN: usize = 1024;

impl OwnName {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_PATTERN {
            return Err(format!("a pattern has at most {MAX_PATTERN} bytes"));
        }
        if let Some(hex) = text.strip_prefix("sha256:") {
            let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            if hex.len() == 64 && hex.bytes().all(digits) {
                return Ok(Self(Pattern::Key(text.to_owned())));
            }
            return Err("a key is named by 'sha256:' and 64 hexadecimal digits".into());
        }
        let name = SignerName::parse(text).map_err(|fault| fault.to_string())?;
        let kind = kind(&name);
        Ok(Self(Pattern::Name { kind, glob: folded(kind, name.as_str()) }))
    }

    /// Whether a signer bears it.
    #[must_use]
    pub fn is_borne_by(&self, signer: &LoggedSigner) -> bool {
        match &self.0 {
            Pattern::Key(key) => signer.key.as_ref() == Some(key),
            Pattern::Name { kind, glob } => signer.names.iter().any(|name| {
                let name = name.strip_prefix(kind);
                name.is_some_and(|name| matches(glob.as_bytes(), folded(kind, name).as_bytes()))
            }),
        }
    }
}

fn kind(name: &SignerName) -> &'static str {
    match name {
        SignerName::Email(_) => "email:",
        SignerName::Uri(_) => "URI:",
        SignerName::Dns(_) => "DNS:",
    }
}

/// Mail and host names are the same in capitals; better one alert too many.
fn folded(kind: &str, name: &str) -> String {
    if kind == "URI:" { name.to_owned() } else { name.to_lowercase() }
}

/// `*`: any characters but `@` and `/`. In time proportional to both lengths' product, for an attacker wrote the name.
fn matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut g, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        match (glob.get(g), name.get(n)) {
            (None, None) => return true,
            (Some(b'*'), _) => {
                star = Some((g + 1, n));
                g += 1;
            }
            (Some(a), Some(b)) if a == b => {
                g += 1;
                n += 1;
            }
            // The last star takes one more, if it may.
            _ => match star {
                Some((after, taken))
                    if name.get(taken).is_some_and(|b| !matches!(b, b'@' | b'/')) =>
                {
                    star = Some((after, taken + 1));
                    (g, n) = (after, taken + 1);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, name: &str) -> bool {
        let signer = LoggedSigner {
            names: vec!["email:else@else.example".into(), name.into()],
            issuer: None,
            key: Some(format!("sha256:{}", "a".repeat(64))),
        };
        OwnName::parse(pattern).unwrap().is_borne_by(&signer)
    }

    #[test]
    fn names_of_ones_own() {
        for (pattern, name) in [
            ("alice@example.com", "email:alice@example.com"),
            ("alice@example.com", "email:Alice@EXAMPLE.com"),
            ("*@example.com", "email:alice@example.com"),
            ("*@*.example.com", "email:alice@ml.dep.example.com"),
            ("https://ci.example.com/team/*", "URI:https://ci.example.com/team/model"),
            ("https://ci.example.com/*/*/x", "URI:https://ci.example.com/a/b/x"),
            ("spiffe://example.com/ns/*", "URI:spiffe://example.com/ns/a"),
            ("*.example.com", "DNS:ci.example.com"),
            (&format!("sha256:{}", "a".repeat(64)), "DNS:x"),
            ("a*b*c*d@e", "email:aXbXbXcd@e"),
        ] {
            assert!(found(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("alice@example.com", "email:alice@example.com.evil"),
            ("alice@example.com", "URI:alice@example.com"),
            ("*@example.com", "email:alice@evil@example.com"),
            ("*@example.com", "email:alice@example.org"),
            ("https://ci.example.com/team/*", "URI:https://ci.example.com/team/a/b"),
            ("https://*/team/x", "URI:https://a@b/team/x"),
            ("https://CI.example.com/x", "URI:https://ci.example.com/x"),
            ("*.example.com", "email:ci.example.com"),
            (&format!("sha256:{}", "b".repeat(64)), "DNS:x"),
        ] {
            assert!(!found(pattern, name), "{pattern} {name}");
        }
        for wrong in ["", " ", "a b", "sha256:abc", &"x".repeat(2000)] {
            assert!(OwnName::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_hostile_name_takes_no_time() {
        let pattern = "a*".repeat(300) + "@b";
        assert!(!found(&pattern, &format!("email:{}@c", "a".repeat(60_000))));
    }
}
