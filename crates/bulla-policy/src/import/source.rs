//! The certificate policy that is brought in: a document in prose and YAML that says who signs models and what is asked of them, and leaves
//! out by which keys.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::authorities::Storage;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) certificate_policy: Source,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    /// Of the format.
    pub(super) version: String,
    pub(super) signing_authorities: BTreeMap<String, Authority>,
    pub(super) verification_policy: BTreeMap<String, Environment>,
    /// Prose, by what it is about.
    #[serde(default)]
    pub(super) key_management: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Authority {
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    #[serde(default)]
    pub(super) key_storage: Option<String>,
    #[serde(default)]
    pub(super) key_algorithm: Option<String>,
    #[serde(default)]
    pub(super) key_rotation: Option<String>,
    #[serde(default)]
    pub(super) authorized_signers: Vec<String>,
    #[serde(default)]
    pub(super) requires_approval: bool,
    #[serde(default)]
    pub(super) approval_count: Option<usize>,
    #[serde(default)]
    pub(super) provider: Option<String>,
    #[serde(default)]
    pub(super) identity_provider: Option<String>,
    #[serde(default)]
    pub(super) allowed_identities: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    KeyBased,
    Keyless,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Environment {
    #[serde(default = "yes")]
    pub(super) require_signature: bool,
    pub(super) accepted_authorities: Vec<String>,
    #[serde(default)]
    pub(super) require_provenance: bool,
    #[serde(default)]
    pub(super) max_signature_age_days: Option<u32>,
}

fn yes() -> bool {
    true
}

impl Source {
    /// How many days both keys count, and the words that say so.
    pub(super) fn overlap(&self) -> Option<(u32, &str)> {
        let lines = self.key_management.get("rotation").into_iter().flatten();
        lines.filter_map(|line| Some((days_of(line)?, line.as_str()))).next()
    }
}

/// "both keys accepted for 30 days"
fn days_of(line: &str) -> Option<u32> {
    let lower = line.to_lowercase();
    if !lower.contains("both keys") {
        return None;
    }
    let words: Vec<&str> = lower.split_whitespace().collect();
    let days = |pair: &[&str]| match pair {
        [number, unit] if unit.trim_end_matches(['.', ',']).trim_end_matches('s') == "day" => {
            number.parse().ok()
        }
        _ => None,
    };
    words.windows(2).find_map(days)
}

impl Authority {
    pub(super) fn storage(&self) -> Result<Option<Storage>, String> {
        let Some(text) = &self.key_storage else { return Ok(None) };
        let storage = Storage::of(&text.to_lowercase());
        let expected = || format!("key_storage is {text:?}, expected file, vault, kms or HSM");
        storage.map(Some).ok_or_else(expected)
    }

    /// After how many days a key is replaced.
    pub(super) fn days(&self) -> Result<Option<u32>, String> {
        let Some(text) = &self.key_rotation else { return Ok(None) };
        Ok(Some(match text.to_lowercase().as_str() {
            "annual" | "yearly" => 366,
            "semi-annual" | "half-yearly" => 184,
            "quarterly" => 92,
            "monthly" => 31,
            "weekly" => 7,
            _ => {
                return Err(format!(
                    "key_rotation is {text:?}, expected annual, semi-annual, quarterly, monthly or weekly"
                ));
            }
        }))
    }

    /// That it has what its type needs, and nothing else.
    pub(super) fn check(&self) -> Result<(), String> {
        let members = [
            ("key_storage", self.key_storage.is_some(), Kind::KeyBased),
            ("key_algorithm", self.key_algorithm.is_some(), Kind::KeyBased),
            ("key_rotation", self.key_rotation.is_some(), Kind::KeyBased),
            ("authorized_signers", !self.authorized_signers.is_empty(), Kind::KeyBased),
            ("provider", self.provider.is_some(), Kind::Keyless),
            ("identity_provider", self.identity_provider.is_some(), Kind::Keyless),
            ("allowed_identities", !self.allowed_identities.is_empty(), Kind::Keyless),
        ];
        for (name, given, kind) in members {
            if given && kind != self.kind {
                return Err(format!("{name} is for authorities of another type"));
            }
        }
        if self.kind == Kind::Keyless {
            if self.allowed_identities.is_empty() || self.identity_provider.is_none() {
                return Err(
                    "a keyless authority needs identity_provider and allowed_identities".into()
                );
            }
            if let Some(other) = self.provider.as_ref().filter(|name| *name != "sigstore") {
                return Err(format!("provider is {other:?}, expected sigstore"));
            }
        }
        match (self.requires_approval, self.approval_count) {
            (true, None | Some(0)) => {
                Err("requires_approval is true: add approval_count, how many people".into())
            }
            (false, Some(count)) if count > 0 => Err(format!(
                "approval_count is {count}, and requires_approval is false: which is meant?"
            )),
            _ => Ok(()),
        }
    }
}
