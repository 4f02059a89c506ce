//! The text of a policy that was brought in: each part with a comment that says where it came from.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use bulla::jiff::{SignedDuration, Timestamp};
use bulla::{Digest, Printable};
use serde_json::Value;

use super::source::{Authority, Kind, Source};
use super::{Answers, GivenKey, GivenRoot, is_url};

/// For how many days both keys count, where the source does not say.
const OVERLAP_DAYS: u32 = 30;

/// What a policy is made of.
pub(super) struct Parts<'a> {
    pub(super) path: &'a Path,
    pub(super) bytes: &'a [u8],
    pub(super) source: &'a Source,
    /// Names of environments, and what they are called in the source.
    pub(super) environments: &'a BTreeMap<String, &'a str>,
    pub(super) answers: &'a Answers,
    pub(super) not_enforced: &'a [String],
}

/// Text between quotes. What JSON has there YAML has, too.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A name, without quotes where it needs none.
fn name(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    // What older YAML takes for a truth value, or for none.
    let word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    match plain && !word.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        true => text.to_owned(),
        false => quoted(text),
    }
}

fn names(texts: &[impl AsRef<str>]) -> String {
    let names: Vec<String> = texts.iter().map(|text| name(text.as_ref())).collect();
    format!("[{}]", names.join(", "))
}

fn list(texts: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let quoted: Vec<String> = texts.into_iter().map(|text| quoted(text.as_ref())).collect();
    format!("[{}]", quoted.join(", "))
}

/// Lines of text. Writing to a `String` does not fail.
struct Text(String);

impl Text {
    fn line(&mut self, text: impl AsRef<str>) {
        let _ = writeln!(self.0, "{}", text.as_ref());
    }

    /// A line for people, whatever it holds.
    fn comment(&mut self, text: impl AsRef<str>) {
        let _ = writeln!(self.0, "# {}", Printable(text.as_ref()));
    }

    /// A line, and after it where it came from.
    fn from(&mut self, text: impl AsRef<str>, origin: impl AsRef<str>) {
        let _ = writeln!(self.0, "{} # {}", text.as_ref(), Printable(origin.as_ref()));
    }

    /// An element of a list of keys.
    fn key(&mut self, indent: &str, key: &GivenKey) {
        let fingerprint = quoted(&key.key.fingerprint().to_string());
        self.from(format!("{indent}- fingerprint: {fingerprint}"), format!("of {}", key.from));
        self.line(format!("{indent}  public_key: |"));
        for line in key.key.to_pem().lines() {
            self.line(format!("{indent}    {line}"));
        }
    }
}

pub(super) fn policy(parts: &Parts<'_>) -> String {
    let Parts { path, bytes, source, answers, .. } = parts;
    let mut text = Text(String::new());
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    text.comment(format!(
        "{file} (format {}, sha256:{}) says this, but for what has a flag of 'bulla policy import' beside it.",
        source.version,
        Digest::sha256(bytes).to_hex()
    ));
    text.line("policy:");
    text.from(format!("  name: {}", name(answers.name.as_deref().unwrap_or_default())), "--name");
    text.from(format!("  version: {}", answers.version), "--policy-version");
    let expires = answers.expires.as_deref().unwrap_or_default();
    text.from(format!("  expires: {}", quoted(expires)), "--expires");
    match &answers.root {
        None => {}
        Some(GivenRoot::PublicGood) => {
            text.from("trust: { sigstore: { public_good: true } }", "--public-good");
        }
        Some(GivenRoot::Own(path, sha256)) => {
            let root = format!("{{ trusted_root: {}, sha256: {} }}", quoted(path), quoted(sha256));
            text.from(format!("trust: {{ sigstore: {root} }}"), "--trusted-root");
        }
    }
    roles(&mut text, answers);
    text.line("signing_authorities:");
    for (id, one) in &source.signing_authorities {
        authority(&mut text, parts, id, one);
    }
    environments(&mut text, parts);
    if !parts.not_enforced.is_empty() {
        text.comment("Not enforced by a policy:");
        for line in parts.not_enforced {
            text.comment(format!("* {line}"));
        }
    }
    format!("{}{}\n{}", HEAD, Digest::sha256(text.0.as_bytes()).to_hex(), text.0)
}

/// What every such text begins with.
const HEAD: &str = "# Written by 'bulla policy import', which replaces it as long as what follows has the SHA-256 ";

/// Whether that was written here, and nobody has changed it since.
pub(super) fn is_untouched(bytes: &[u8]) -> bool {
    let Some(rest) = bytes.strip_prefix(HEAD.as_bytes()) else { return false };
    let mut parts = rest.splitn(2, |byte| *byte == b'\n');
    let (Some(digest), Some(body)) = (parts.next(), parts.next()) else { return false };
    Digest::sha256(body).to_hex().as_bytes() == digest
}

fn roles(text: &mut Text, answers: &Answers) {
    if answers.roles.is_empty() {
        return;
    }
    text.line("roles:");
    for (role, people) in &answers.roles {
        text.from(format!("  {}:", name(role)), "--role");
        text.line("    people:");
        for (id, keys) in people {
            text.line(format!("      - id: {}", name(id)));
            text.line("        keys:");
            keys.iter().for_each(|key| text.key("          ", key));
        }
    }
}

fn authority(text: &mut Text, parts: &Parts<'_>, id: &str, one: &Authority) {
    let Parts { source, answers, .. } = parts;
    text.line(format!("  {}:", name(id)));
    match one.kind {
        Kind::KeyBased => keys(text, parts, id, one),
        Kind::Keyless => {
            text.from("    type: keyless", one.provider.as_deref().unwrap_or("keyless"));
            let name = one.identity_provider.as_deref().unwrap_or_default();
            let url = answers.issuers.get(name).map_or(name, String::as_str);
            let origin =
                if is_url(name) { "identity_provider".into() } else { format!("--issuer: {name}") };
            text.from(format!("    identity_provider: {}", quoted(url)), origin);
            text.line(format!("    allowed_identities: {}", list(&one.allowed_identities)));
        }
    }
    // Somebody has to be able to say what is asked for, else nothing could be admitted.
    let speaks = source
        .verification_policy
        .values()
        .any(|it| it.require_provenance && it.accepted_authorities.iter().any(|name| name == id));
    let (what, origin) = match speaks {
        true => (
            ["oms", "provenance", "release"].as_slice(),
            "not from there: what environments ask for that accept it",
        ),
        false => (["oms"].as_slice(), "not from there: models only"),
    };
    text.from(format!("    may_sign: {}", names(what)), origin);
    if let Some(count) = one.approval_count.filter(|_| one.requires_approval) {
        let role = answers.approvals.get(id).map_or("", String::as_str);
        text.from(
            format!("    approvals: {{ required: {count}, from: {} }}", name(role)),
            "approval_count; --approvals",
        );
    }
}

fn keys(text: &mut Text, parts: &Parts<'_>, id: &str, one: &Authority) {
    let Parts { source, answers, .. } = parts;
    text.from("    type: key", "key-based");
    if let Ok(Some(storage)) = one.storage() {
        text.from(format!("    key_storage: {}", storage.word()), given(&one.key_storage));
    }
    if let Some(algorithm) = &one.key_algorithm {
        text.line(format!("    key_algorithm: {}", name(&algorithm.to_lowercase())));
    }
    let every = one.days().ok().flatten();
    if let Some(every) = every {
        let (overlap, origin) = match source.overlap() {
            Some((days, line)) => (days, format!("{}; {line}", given(&one.key_rotation))),
            None => (
                OVERLAP_DAYS.min(every),
                format!("{}; the overlap is not from there", given(&one.key_rotation)),
            ),
        };
        text.from(format!("    rotation: {{ every: {every}d, overlap: {overlap}d }}"), origin);
    }
    if !one.authorized_signers.is_empty() {
        text.line(format!("    authorized_signers: {}", list(&one.authorized_signers)));
    }
    text.from("    keys:", "--key");
    let storage = one.storage().ok().flatten();
    for key in answers.keys.get(id).into_iter().flatten() {
        text.key("      ", key);
        if let Some(storage) = storage {
            text.from(
                format!("        storage: {}", storage.word()),
                "as key_storage asks: see that it is so",
            );
        }
        if let Some(holder) = &key.holder {
            text.line(format!("        signer: {}", quoted(holder)));
        }
        if let Some(window) = window(answers.keys_from, every) {
            text.from(
                format!("        valid: {{ {window} }}"),
                "--keys-from, as long as key_rotation lets it",
            );
        }
    }
}

fn given(member: &Option<String>) -> &str {
    member.as_deref().unwrap_or_default()
}

/// From when until when a key counts.
fn window(from: Option<Timestamp>, every: Option<u32>) -> Option<String> {
    let from = from?;
    let Some(every) = every else { return Some(format!("from: {}", day(from))) };
    let until = from.checked_add(SignedDuration::from_hours(i64::from(every) * 24)).ok()?;
    Some(format!("from: {}, until: {}", day(from), day(until)))
}

/// A day, if it is midnight.
fn day(time: Timestamp) -> String {
    let text = time.to_string();
    text.strip_suffix("T00:00:00Z").map_or_else(|| quoted(&text), str::to_owned)
}

fn environments(text: &mut Text, parts: &Parts<'_>) {
    text.line("verification_policy:");
    for (short, called) in parts.environments {
        let Some(one) = parts.source.verification_policy.get(*called) else { continue };
        text.from(format!("  {}:", name(short)), *called);
        text.line(format!("    require_signature: {}", one.require_signature));
        text.line(format!("    accepted_authorities: {}", names(&one.accepted_authorities)));
        text.line(format!("    require_provenance: {}", one.require_provenance));
        if one.require_provenance {
            // Without it none that was trained from nothing could be admitted.
            text.from(
                format!(
                    "    lineage: {{ unverified_parents: allow, no_parents_signed_by: {} }}",
                    names(&one.accepted_authorities)
                ),
                "not from there: who may say that a model has no parents; nothing is asked of those that it has",
            );
        }
        if let Some(days) = one.max_signature_age_days {
            text.line(format!("    max_signature_age_days: {days}"));
        }
    }
}
