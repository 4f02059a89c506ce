//! Who may sign without a key of their own: an identity, at the provider that vouches for it.
//!
//! Patterns are whole names: `*` stands for any text without `@` and `/`, so it crosses neither (rule 15). A
//! pattern for e-mail addresses never matches a URI, nor the other way round. Patterns that
//! anybody could satisfy are refused when they are read.

use std::fmt;

use super::certificate::SignerName;
use crate::error::Fault;
use crate::text::{Printable, glob};

/// An identity that is accepted: a name or pattern, the provider that vouches for it, and what else its
/// certificate has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityRule {
    identity: IdentityPattern,
    provider: String,
    claims: Vec<ClaimRule>,
}

impl IdentityRule {
    /// `identity` is an e-mail address or a URI, or a pattern of one; `provider` the exact URL of
    /// the OpenID Connect provider that vouched for it.
    ///
    /// # Errors
    /// [`Fault::Key`] when either is empty or malformed, or when the pattern would accept anybody.
    pub fn new(identity: &str, provider: &str) -> Result<Self, Fault> {
        if provider.contains('*') {
            return Err(rejected(
                "an identity provider is one exact URL, without '*'",
                "name another provider in another rule",
            ));
        }
        let url = provider.split_once("://").filter(|(scheme, host)| {
            ["https", "http"].contains(scheme)
                && !host.is_empty()
                && !host.contains(|c: char| c.is_whitespace() || c.is_control())
        });
        if url.is_none() {
            return Err(rejected(
                format!("{provider:?} is not the URL of an identity provider"),
                "for example https://accounts.google.com or https://token.actions.githubusercontent.com",
            ));
        }
        Ok(Self {
            identity: IdentityPattern::parse(identity)?,
            provider: provider.to_owned(),
            claims: Vec::new(),
        })
    }

    /// Exactly this name, at exactly this provider: taken from a certificate, say.
    #[must_use]
    pub fn exact(identity: SignerName, provider: &str) -> Self {
        Self {
            identity: IdentityPattern::Exact(identity),
            provider: provider.to_owned(),
            claims: Vec::new(),
        }
    }

    /// Asks for a claim, too: each has to hold.
    #[must_use]
    pub fn require(mut self, claim: ClaimRule) -> Self {
        self.claims.push(claim);
        self
    }

    /// Which parts of it a certificate does not keep; none if it is accepted.
    pub(crate) fn mismatches(
        &self,
        identity: &SignerName,
        provider: &str,
        claims: &Claims,
    ) -> Vec<Mismatch> {
        let mut found = Vec::new();
        if !self.identity.matches(identity) {
            found.push(Mismatch::Identity);
        }
        // Exactly: "https://a" and "https://a/" are two providers to whoever runs them.
        if self.provider != provider {
            found.push(Mismatch::Provider);
        }
        found.extend(self.claims.iter().filter(|rule| !rule.holds(claims)).map(|rule| {
            Mismatch::Claim {
                name: rule.name,
                found: claims.get(rule.name).map(str::to_owned),
                expected: rule.value.clone(),
            }
        }));
        found
    }
}

/// `alice@example.com, vouched for by https://accounts.google.com`
impl fmt::Display for IdentityRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (identity provider {})",
            Printable(&self.identity.text()),
            Printable(&self.provider)
        )
    }
}

/// Where a certificate does not keep a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mismatch {
    Identity,
    Provider,
    Claim { name: &'static str, found: Option<String>, expected: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum IdentityPattern {
    Exact(SignerName),
    Pattern(SignerName),
}

impl IdentityPattern {
    fn parse(text: &str) -> Result<Self, Fault> {
        let name = SignerName::parse(text).map_err(|_| {
            rejected(
                format!("{text:?} is not an identity"),
                "an identity is an e-mail address or a URI, for example alice@example.com or https://github.com/org/repository/.github/workflows/release.yml@refs/heads/main",
            )
        })?;
        let anybody = |why: &str| {
            Err(rejected(
                format!("the identity {text:?} accepts anybody: {why}"),
                "name the domain of an e-mail address; of a URI its host and what follows it up to the first '/', for example https://github.com/org/*/.github/workflows/*@refs/heads/main",
            ))
        };
        match &name {
            SignerName::Email(email) => {
                let (_, domain) = email.rsplit_once('@').unwrap_or_default();
                if domain.contains('*') {
                    return anybody("its domain has a '*'");
                }
            }
            SignerName::Uri(uri) if uri.contains('*') => {
                let (_, rest) = uri.split_once("://").unwrap_or_default();
                let mut parts = rest.split('/');
                let (host, first) = (parts.next(), parts.next());
                if host.is_none_or(|h| h.is_empty() || h.contains('*')) {
                    return anybody("its host is not fixed");
                }
                if first.is_none_or(|f| f.is_empty() || f.contains('*')) {
                    return anybody("anyone with an account there could have it");
                }
            }
            SignerName::Uri(_) => {}
            SignerName::Dns(_) => {
                return Err(rejected(
                    format!("{text:?} is not an identity"),
                    "an identity is an e-mail address or a URI, for example alice@example.com",
                ));
            }
        }
        Ok(match name.as_str().contains('*') {
            true => Self::Pattern(name),
            false => Self::Exact(name),
        })
    }

    fn matches(&self, identity: &SignerName) -> bool {
        match self {
            Self::Exact(name) => name == identity,
            Self::Pattern(pattern) => {
                std::mem::discriminant(pattern) == std::mem::discriminant(identity)
                    && glob(pattern.as_str(), identity.as_str())
            }
        }
    }

    fn text(&self) -> String {
        let (Self::Exact(name) | Self::Pattern(name)) = self;
        name.as_str().to_owned()
    }
}

/// A claim about the run that signed: `repository=https://github.com/org/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRule {
    name: &'static str,
    value: String,
}

impl ClaimRule {
    /// Reads `NAME=VALUE`; `*` in the value stands for any text without `@` and `/`.
    ///
    /// # Errors
    /// [`Fault::Key`] for an unknown name, or a value that anything satisfies.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let known = || CLAIMS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let (name, value) = text.split_once('=').ok_or_else(|| {
            rejected(
                format!("{text:?} is not NAME=VALUE"),
                "for example repository=https://github.com/org/name",
            )
        })?;
        let (name, _) = CLAIMS.iter().find(|(known, _)| *known == name).ok_or_else(|| {
            rejected(
                format!("there is no claim {name:?}; known are: {}", known()),
                "'bulla inspect' shows what a certificate claims",
            )
        })?;
        if value.trim_matches('*').is_empty() {
            return Err(rejected(
                format!("{text:?} accepts anything"),
                "give the value that the claim must have",
            ));
        }
        Ok(Self { name, value: value.to_owned() })
    }

    fn holds(&self, claims: &Claims) -> bool {
        claims.get(self.name).is_some_and(|found| glob(&self.value, found))
    }
}

/// Claims by their short names, and the last number of their object identifiers
/// (`1.3.6.1.4.1.57264.1.N`, Fulcio's `oid-info.md`).
pub(crate) const CLAIMS: [(&str, u32); 17] = [
    ("workflow-name", 4),
    ("build-signer", 9),
    ("build-signer-digest", 10),
    ("runner", 11),
    ("repository", 12),
    ("commit", 13),
    ("ref", 14),
    ("repository-id", 15),
    ("owner", 16),
    ("owner-id", 17),
    ("workflow", 18),
    ("workflow-digest", 19),
    ("trigger", 20),
    ("run", 21),
    ("visibility", 22),
    ("environment", 23),
    ("subject", 24),
];

/// What a Sigstore certificate claims about the run that it was issued to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims(pub(crate) Vec<(&'static str, String)>);

impl Claims {
    /// A claim by its short name: `repository`, `ref`, `workflow`, …
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// All of them, in the order of their identifiers.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

fn rejected(detail: impl Into<String>, hint: &'static str) -> Fault {
    Fault::Key { detail: detail.into(), hint: Some(hint) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(pattern: &str, identity: &str) -> bool {
        let rule = IdentityRule::new(pattern, "https://idp.example").unwrap();
        let identity = SignerName::parse(identity).unwrap();
        rule.mismatches(&identity, "https://idp.example", &Claims::default()).is_empty()
    }

    #[test]
    fn patterns_are_whole_names() {
        assert!(accepts("alice@example.com", "alice@example.com"));
        assert!(!accepts("alice@example.com", "alice@example.com.evil.org"));
        assert!(!accepts("alice@example.com", "malice@example.com"));
        assert!(!accepts("alice@example.com", "Alice@example.com"));
        assert!(accepts("*@example.com", "bob@example.com"));
        assert!(accepts("ci-*@example.com", "ci-7@example.com"));
        assert!(!accepts("ci-*@example.com", "xci-7@example.com"));
    }

    /// Rule 15: `*` crosses neither `@` nor `/`.
    #[test]
    fn rule_15_a_star_crosses_no_separator() {
        let workflow = "https://github.com/org/*/.github/workflows/release.yml@refs/heads/main";
        let of = |repository: &str| {
            format!(
                "https://github.com/org/{repository}/.github/workflows/release.yml@refs/heads/main"
            )
        };
        assert!(accepts(workflow, &of("model")));
        assert!(accepts(workflow, &of("")));
        assert!(!accepts(workflow, &of("model/x")));
        assert!(!accepts(workflow, &of("a@b")));
        assert!(!accepts("*@example.com", "a@evil.org@example.com"));
        assert!(accepts("https://h/org/a*b*c", "https://h/org/aXbYbZc"));
        assert!(!accepts("https://h/org/a*b*c", "https://h/org/aXbY/Zc"));
        assert!(!accepts("https://h/org/a*bc*c", "https://h/org/abc"));
    }

    /// Rule 15: an e-mail address that looks like a URI, and the other way round.
    #[test]
    fn rule_15_kinds_never_match_each_other() {
        let rule = IdentityRule::new("https://host/org/x", "https://idp.example").unwrap();
        let email = SignerName::Email("https://host/org/x".into());
        assert_eq!(
            rule.mismatches(&email, "https://idp.example", &Claims::default()),
            [Mismatch::Identity]
        );
        let rule = IdentityRule::new("a@example.com", "https://idp.example").unwrap();
        let uri = SignerName::Uri("a@example.com".into());
        assert_eq!(
            rule.mismatches(&uri, "https://idp.example", &Claims::default()),
            [Mismatch::Identity]
        );
    }

    /// Rule 15: patterns that accept anyone are refused when read.
    #[test]
    fn rule_15_patterns_that_accept_anybody() {
        for pattern in [
            "*",
            "*@*",
            "*@*.com",
            "a@*",
            "https://*",
            "https://*/org/x",
            "https://github.com/*",
            "https://github.com/*/model/x",
            "https://github.com",
            "",
            "https://github.com/o*/x",
            "example.com",
        ] {
            let read = IdentityRule::new(pattern, "https://idp.example");
            assert!(pattern == "https://github.com" || read.is_err(), "{pattern}: {read:?}");
        }
        for provider in ["", "*", "https://*", "accounts.google.com", "https://"] {
            assert!(IdentityRule::new("a@example.com", provider).is_err(), "{provider}");
        }
        for claim in ["repository=", "repository=*", "repository", "colour=red"] {
            assert!(ClaimRule::parse(claim).is_err(), "{claim}");
        }
    }

    #[test]
    fn a_provider_is_exact_and_claims_all_hold() {
        let rule = IdentityRule::new("a@example.com", "https://idp.example")
            .unwrap()
            .require(ClaimRule::parse("repository=https://github.com/org/x").unwrap())
            .require(ClaimRule::parse("ref=refs/tags/v*").unwrap());
        let identity = SignerName::parse("a@example.com").unwrap();
        let claims = |reference: &str| {
            Claims(vec![
                ("repository", "https://github.com/org/x".into()),
                ("ref", reference.into()),
            ])
        };
        let with = |provider: &str, claims: &Claims| rule.mismatches(&identity, provider, claims);
        assert_eq!(with("https://idp.example", &claims("refs/tags/v1")), []);
        assert_eq!(with("https://idp.example/", &claims("refs/tags/v1")), [Mismatch::Provider]);
        assert_eq!(with("https://idp.example", &claims("refs/heads/main")).len(), 1);
        assert_eq!(with("https://idp.example", &Claims::default()).len(), 2);
    }
}
