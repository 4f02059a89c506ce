//! What may leave the environment, and in what shape.

use std::collections::BTreeMap;

use bulla::text::is_plain;

/// Bytes of a value that is recorded.
const VALUE_BYTES: usize = 1024;
/// Values shorter than this are in other words by chance, and are no secrets worth the name.
const SECRET_BYTES: usize = 6;

/// What variables are called that hold secrets.
#[rustfmt::skip]
const SECRET_NAMES: [&str; 17] = [
    "TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "PASSCODE", "CREDENTIAL", "APIKEY",
    "_KEY", "KEY_", "_PWD", "_PASS", "_PAT", "_JWT", "COOKIE", "_DSN", "_AUTH",
];

/// How tokens begin that say what they are.
#[rustfmt::skip]
const TOKEN_BEGINNINGS: [&str; 20] = [
    "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "glrt-", "gldt-", "hf_",
    "xoxb-", "xoxp-", "sk-", "AKIA", "ASIA", "AIza", "eyJ", "dckr_pat_", "npm_", "pypi-",
];
/// Characters after such a beginning that make it a token.
const TOKEN_CHARS: usize = 16;

/// Schemes of addresses that others can follow.
const SCHEMES: [&str; 5] = ["https", "http", "ssh", "git", "git+ssh"];

/// Knows the secrets that are near, so that it can keep them out.
pub(super) struct Cleaner {
    secrets: Vec<String>,
}

impl Cleaner {
    pub(super) fn new(variables: &BTreeMap<String, String>) -> Self {
        let mut secrets = Vec::new();
        for (name, value) in variables {
            let name = name.to_ascii_uppercase().replace("AUTHOR_", ""); // who wrote is no secret
            if SECRET_NAMES.iter().any(|part| name.contains(part)) {
                secrets.push(value.trim().to_owned());
            }
            // Passwords in addresses, whatever the variable is called.
            if let Some((_, rest)) = value.split_once("://")
                && let Some((user, _)) = authority(rest).rsplit_once('@')
                && let Some((_, password)) = user.split_once(':')
            {
                secrets.push(password.to_owned());
            }
        }
        secrets.retain(|secret| secret.len() >= SECRET_BYTES);
        Self { secrets }
    }

    /// Whether nothing speaks against recording a text: it is short and plain, and has no secret
    /// in it.
    pub(super) fn is_harmless(&self, text: &str) -> bool {
        !text.is_empty()
            && text.len() <= VALUE_BYTES
            && is_plain(text)
            && !has_token(text)
            && !self.secrets.iter().any(|secret| text.contains(secret.as_str()))
    }

    /// A variable's value that is no address. What holds an address somewhere is taken only as an
    /// address, and so are `user:password@host` and `?key=value`.
    pub(super) fn text(&self, value: &str) -> Option<String> {
        let value = value.trim();
        if value.contains("://") {
            return self.address(value);
        }
        let before_at = value.rsplit_once('@').map_or("", |(before, _)| before);
        let query = value.split_once('?').is_some_and(|(_, query)| query.contains('='));
        let good = !before_at.contains(':') && !query && self.is_harmless(value);
        good.then(|| value.to_owned())
    }

    /// Scheme, host, port and path of an address; no user, password, query or fragment.
    pub(super) fn address(&self, value: &str) -> Option<String> {
        let (scheme, rest) = value.trim().split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        if !SCHEMES.contains(&scheme.as_str()) {
            return None;
        }
        let authority = authority(rest);
        let path = rest.get(authority.len()..)?;
        let path = path.split(['?', '#']).next()?;
        let host = authority.rsplit('@').next()?;
        // A password with a slash in it would make the rest of it look like a path.
        let good = is_host(host) && path.bytes().all(is_path_byte) && !path.contains("%40");
        let address = format!("{scheme}://{host}{path}");
        (good && self.is_harmless(&address)).then_some(address)
    }

    /// A repository's address: one as above, or `user@host:path`, which becomes
    /// `ssh://host/path`. A path on this machine is none: nobody else could follow it.
    pub(super) fn repository(&self, value: &str) -> Option<String> {
        let value = value.trim();
        if value.contains("://") {
            return self.address(value);
        }
        // `transport::address` makes git run a program.
        let (host, path) = value.split_once(':').filter(|_| !value.contains("::"))?;
        if host.contains('/') {
            return None;
        }
        let host = host.rsplit('@').next()?;
        self.address(&format!("ssh://{host}/{}", path.trim_start_matches('/')))
    }

    /// A container image: `[registry[:port]/]name[:tag][@sha256:…]`, perhaps after a scheme.
    pub(super) fn image(&self, value: &str) -> Option<String> {
        let value = value.trim();
        let value = value.split_once("://").map_or(value, |(_, rest)| rest);
        let (name, digest) = match value.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (value, None),
        };
        let good_name = name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/:".contains(&b));
        let good = good_name && digest.is_none_or(is_digest) && self.is_harmless(value);
        good.then(|| value.to_owned())
    }
}

/// Whether this is `sha256:` and 64 lowercase hex digits.
fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| is_hex(hex) && hex.len() == 64)
}

/// Lowercase hex digits.
pub(super) fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// A segment of a path in an address.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            encoded.push(char::from(b));
        } else {
            encoded.push_str(&format!("%{b:02X}"));
        }
    }
    encoded
}

fn authority(rest: &str) -> &str {
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let name = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    };
    let version_6 = |text: &str| {
        text.strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .is_some_and(|text| text.bytes().all(|b| b.is_ascii_hexdigit() || b":.".contains(&b)))
    };
    let port = port.is_none_or(|port| {
        (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit())
    });
    port && (name(host) || version_6(host))
}

fn is_path_byte(b: u8) -> bool {
    b.is_ascii_graphic() && !b"\"'<>\\^`{|}@".contains(&b)
}

/// Whether something in a text begins as tokens do and goes on as long as they do.
fn has_token(text: &str) -> bool {
    TOKEN_BEGINNINGS.iter().any(|beginning| {
        text.match_indices(beginning).any(|(at, _)| {
            let word_begins =
                !text.get(..at).unwrap_or_default().ends_with(|c: char| c.is_ascii_alphanumeric());
            let after = text.get(at + beginning.len()..).unwrap_or_default();
            let length = after
                .bytes()
                .take_while(|b| b.is_ascii_alphanumeric() || b"_-".contains(b))
                .count();
            word_begins && length >= TOKEN_CHARS
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaner(variables: &[(&str, &str)]) -> Cleaner {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Cleaner::new(&variables.iter().map(own).collect())
    }

    #[test]
    fn of_an_address_scheme_host_and_path_remain() {
        let c = cleaner(&[]);
        for (given, kept) in [
            ("https://github.com/org/repo.git", Some("https://github.com/org/repo.git")),
            ("https://user:pass@github.com/org/repo", Some("https://github.com/org/repo")),
            ("https://token@dev.azure.com/o/p/_git/r", Some("https://dev.azure.com/o/p/_git/r")),
            ("https://a:b@c:d@host:8443/x", Some("https://host:8443/x")),
            ("https://host/x?token=abc#frag", Some("https://host/x")),
            ("https://host?token=abc", Some("https://host")),
            ("https://u:p@host#x@y", Some("https://host")),
            ("HTTPS://Host/x", Some("https://Host/x")),
            ("ssh://git@host:22/~me/x", Some("ssh://host:22/~me/x")),
            ("https://[::1]:80/x", Some("https://[::1]:80/x")),
            // A password with a slash or a question mark in it.
            ("https://user:pa/ss@host/x", None),
            ("https://user:12/34@host/x", None),
            ("https://user:12?34@host/x", None),
            ("https://proxy/https://u:p@host/x", None),
            ("https://proxy/https%3A%2F%2Fu%3Ap%40host", None),
            ("file:///home/me/repo", None),
            ("https://host/a b", None),
            ("https://host/a\n", Some("https://host/a")),
            ("https://host/\u{1b}[31m", None),
            ("https:///x", None),
            ("https://ho%73t/x", None),
            ("https://host:port/x", None),
            ("see https://host/x", None),
        ] {
            let got = c.address(given);
            // What comes before a '?' is a host with a port: harmless, and not the password.
            if given.contains("12?34") {
                assert_eq!(got.as_deref(), Some("https://user:12"), "{given}");
                continue;
            }
            assert_eq!(got.as_deref(), kept, "{given}");
        }
    }

    #[test]
    fn repositories() {
        let c = cleaner(&[]);
        for (given, kept) in [
            ("git@github.com:org/repo.git", Some("ssh://github.com/org/repo.git")),
            ("host:org/repo", Some("ssh://host/org/repo")),
            ("git@host:/srv/repo", Some("ssh://host/srv/repo")),
            ("git@host:org/repo?x=1", Some("ssh://host/org/repo")),
            ("/srv/repo.git", None),
            ("../repo", None),
            ("./a:b", None),
            ("ext::sh -c touch% x", None),
            ("fd::17/repo", None),
            ("", None),
        ] {
            assert_eq!(c.repository(given).as_deref(), kept, "{given}");
        }
    }

    #[test]
    fn images() {
        let c = cleaner(&[]);
        let digest = format!("sha256:{}", "ab".repeat(32));
        for good in ["python:3.12", "reg.example:5000/team/train:1.0", &format!("a/b@{digest}")] {
            assert_eq!(c.image(good).as_deref(), Some(good));
        }
        assert_eq!(c.image("docker://a/b:1").as_deref(), Some("a/b:1"));
        for bad in ["", "u:p@reg.example/a", "a b", "a@sha256:00", "/x", "a\u{1b}b", "a?b=c"] {
            assert_eq!(c.image(bad), None, "{bad}");
        }
    }

    #[test]
    fn texts() {
        let c = cleaner(&[
            ("API_TOKEN", "correct-horse"),
            ("DATABASE", "postgres://me:hunter22@db/x"),
            ("SHORT_TOKEN", "main"),
            ("GIT_AUTHOR_NAME", "octocat"),
        ]);
        for good in [
            "refs/heads/main",
            "org/repo/.github/workflows/x.yml@refs/heads/main",
            "Train & evaluate (nightly)?",
            "42",
            "octocat",
        ] {
            assert_eq!(c.text(good).as_deref(), Some(good));
        }
        assert_eq!(c.text("https://u:p@h/x?y").as_deref(), Some("https://h/x"));
        for bad in [
            "",
            "a\nb",
            "a\u{202e}b",
            "run-correct-horse-1",
            "db hunter22",
            "https://host/correct-horse/x",
            "user:pw@host/db",
            "x?key=value",
            "job ghp_0123456789abcdefghij",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x",
            &"x".repeat(5000),
        ] {
            assert_eq!(c.text(bad), None, "{bad}");
        }
        assert!(c.text("hf_transfer and sk-learn").is_some());
    }

    #[test]
    fn segments_are_encoded() {
        assert_eq!(encode("a b/ü:1"), "a%20b%2F%C3%BC%3A1");
    }
}
