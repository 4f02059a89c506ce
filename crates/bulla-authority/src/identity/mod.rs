//! From the claims of a token to what a certificate says about its holder, as Fulcio does it.

mod ci;
mod extensions;

use serde_json::{Map, Value};
use url::Url;

pub(crate) use extensions::Extensions;

use crate::config::IssuerType;
use crate::http::Refusal;
use crate::oidc::VerifiedToken;

/// Longest name or value in a certificate.
const TEXT_BYTES: usize = 2048;

/// A certificate's `subjectAltName`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SubjectName {
    /// A mailbox.
    Email(String),
    /// A workflow, a service account, ...
    Uri(String),
    /// `user!domain`, in a kind of name that Fulcio defines.
    Username(String),
}

impl SubjectName {
    /// As text.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Email(text) | Self::Uri(text) | Self::Username(text) => text,
        }
    }
}

/// Whom a certificate is for.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) name: SubjectName,
    /// What a client may sign to show that it holds the key: Fulcio's name of the principal, or the subject.
    pub(crate) challenges: Vec<String>,
    pub(crate) extensions: Extensions,
}

fn not_permitted(why: impl Into<String>) -> Refusal {
    Refusal::forbidden(format!("the identity token names nobody to certify: {}", why.into()))
}

/// Reads the claims in the way of the token's issuer.
pub(crate) fn of(token: &VerifiedToken) -> Result<Identity, Refusal> {
    let issuer = &token.issuer;
    let subject = printable("sub", &token.subject)?.to_owned();
    let mut extensions = Extensions::of_issuer(&issuer.url);
    let (name, principal) = match issuer.kind {
        IssuerType::Email => {
            let email = verified_email(&token.claims)?;
            (SubjectName::Email(email.clone()), email)
        }
        IssuerType::Github | IssuerType::Gitlab | IssuerType::Buildkite => {
            let uri = ci::read(issuer, &token.claims, &mut extensions)?;
            (SubjectName::Uri(uri), subject.clone())
        }
        IssuerType::Kubernetes => {
            (SubjectName::Uri(service_account(&token.claims)?), subject.clone())
        }
        IssuerType::Spiffe => {
            let domain = issuer.trust_domain.as_deref().unwrap_or_default();
            (SubjectName::Uri(spiffe(&subject, domain)?), subject.clone())
        }
        IssuerType::Uri => {
            let domain = issuer.subject_domain.as_deref().unwrap_or_default();
            (SubjectName::Uri(uri_below(&subject, domain)?), subject.clone())
        }
        IssuerType::Username => {
            // What a reader of the certificate could take for something else is in no user name.
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._+".contains(&b);
            if !subject.bytes().all(plain) {
                return Err(not_permitted(
                    "its subject is no user name: expected letters, digits and any of - . _ +",
                ));
            }
            let domain = issuer.subject_domain.as_deref().unwrap_or_default();
            (SubjectName::Username(format!("{subject}!{domain}")), subject.clone())
        }
    };
    if let SubjectName::Uri(uri) = &name
        && (!uri.is_ascii() || Url::parse(uri).is_err())
    {
        return Err(not_permitted("what it names is no URI"));
    }
    let mut challenges = vec![principal];
    if !challenges.contains(&subject) {
        challenges.push(subject);
    }
    Ok(Identity { name, challenges, extensions })
}

/// Text that may stand in a certificate.
fn printable<'a>(claim: &str, text: &'a str) -> Result<&'a str, Refusal> {
    if text.is_empty() || text.len() > TEXT_BYTES || text.chars().any(char::is_control) {
        return Err(not_permitted(format!(
            "its claim {claim:?} is empty, too long, or not one line of text"
        )));
    }
    Ok(text)
}

/// A claim that is there, as text.
fn claim(claims: &Map<String, Value>, name: &str) -> Result<String, Refusal> {
    let text = match claims.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => return Err(not_permitted(format!("it has no claim {name:?}"))),
    };
    printable(name, &text).map(str::to_owned)
}

fn verified_email(claims: &Map<String, Value>) -> Result<String, Refusal> {
    let verified = match claims.get("email_verified") {
        Some(Value::Bool(verified)) => *verified,
        // Some issuers write it as text.
        Some(Value::String(text)) => text == "true",
        _ => false,
    };
    let email = claim(claims, "email")?;
    if !verified {
        return Err(not_permitted(
            "its issuer has not verified its e-mail address (email_verified)",
        ));
    }
    let well_formed = match email.split_once('@') {
        Some((local, domain)) => {
            !local.is_empty()
                && local.len() <= 64
                && local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
                && domain.split('.').all(is_label)
                && email.len() <= 254
        }
        None => false,
    };
    if !well_formed {
        return Err(not_permitted("its e-mail address is malformed"));
    }
    Ok(email)
}

/// What an e-mail address has between its dots (RFC 5322 §3.2.3).
fn is_atext(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b)
}

/// A part of a domain (RFC 1123 §2.1).
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn service_account(claims: &Map<String, Value>) -> Result<String, Refusal> {
    let kubernetes = claims.get("kubernetes.io").and_then(Value::as_object);
    let account = kubernetes.and_then(|k| k.get("serviceaccount")).and_then(Value::as_object);
    let (Some(kubernetes), Some(account)) = (kubernetes, account) else {
        return Err(not_permitted("it is not a service account's: it has no \"kubernetes.io\""));
    };
    let (namespace, name) = (claim(kubernetes, "namespace")?, claim(account, "name")?);
    // RFC 1123 names: neither can reach into the other's part of the URI.
    let name_of_kubernetes = |text: &str| {
        text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
    };
    if !name_of_kubernetes(&namespace) || !name_of_kubernetes(&name) {
        return Err(not_permitted("its service account's name is malformed"));
    }
    Ok(format!("https://kubernetes.io/namespaces/{namespace}/serviceaccounts/{name}"))
}

/// `spiffe://trust-domain/path`
fn spiffe(subject: &str, trust_domain: &str) -> Result<String, Refusal> {
    let path = subject
        .strip_prefix("spiffe://")
        .and_then(|rest| rest.strip_prefix(trust_domain))
        .filter(|path| path.is_empty() || path.starts_with('/'));
    let segment = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    };
    match path {
        Some(path) if path.split('/').skip(1).all(segment) => Ok(subject.to_owned()),
        _ => Err(not_permitted(format!(
            "its subject is no SPIFFE identity of the trust domain {trust_domain}"
        ))),
    }
}

fn uri_below(subject: &str, domain: &str) -> Result<String, Refusal> {
    // In the one form that every reader takes for the same: nothing is left out, added or escaped when it is read.
    let exact = |url: &Url| {
        let short = url.path() == "/" && url.as_str().strip_suffix('/') == Some(subject);
        (url.as_str() == subject || short) && url.username().is_empty() && url.password().is_none()
    };
    let origin = |url: &Url| {
        Some((url.scheme().to_owned(), url.host_str()?.to_owned(), url.port_or_known_default()))
    };
    let found = Url::parse(subject).ok().filter(exact).and_then(|url| origin(&url));
    let expected = Url::parse(domain).ok().and_then(|url| origin(&url));
    match (found, expected) {
        (Some(found), Some(expected)) if found == expected => Ok(subject.to_owned()),
        _ => Err(not_permitted(format!("its subject is no URI of {domain}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::config::IssuerConfig;
    use crate::oidc::Claim;

    fn token(kind: &str, subject: &str, claims: &Value) -> VerifiedToken {
        let mut issuer: IssuerConfig = format!("{kind}=https://id.example").parse().unwrap();
        issuer.trust_domain = Some("example.org".into());
        issuer.subject_domain =
            Some(if kind == "uri" { "https://example.org" } else { "example.org" }.into());
        issuer.server = Some("https://ci.example".into());
        VerifiedToken {
            issuer: Arc::new(issuer),
            subject: subject.into(),
            claims: claims.as_object().unwrap().clone(),
            claim: Claim { name: [0; 32], expires: jiff::Timestamp::UNIX_EPOCH },
        }
    }

    fn name(kind: &str, subject: &str, claims: &Value) -> Result<String, String> {
        of(&token(kind, subject, claims))
            .map(|identity| identity.name.as_str().to_owned())
            .map_err(|refusal| refusal.message().to_owned())
    }

    #[test]
    fn an_email_address_must_be_verified() {
        let email = |claims: Value| name("email", "subject", &claims);
        let good = json!({ "email": "a@example.org", "email_verified": true });
        assert_eq!(email(good).unwrap(), "a@example.org");
        assert!(email(json!({ "email": "a@example.org", "email_verified": "true" })).is_ok());
        for bad in [
            json!({ "email": "a@example.org" }),
            json!({ "email": "a@example.org", "email_verified": false }),
            json!({ "email": "a@example.org", "email_verified": 1 }),
            json!({ "email_verified": true }),
            json!({ "email": "a", "email_verified": true }),
            json!({ "email": "a@b@c", "email_verified": true }),
            json!({ "email": "a b@example.org", "email_verified": true }),
            json!({ "email": "ä@example.org", "email_verified": true }),
            json!({ "email": "a@exa_mple.org", "email_verified": true }),
            json!({ "email": "a@example..org", "email_verified": true }),
            json!({ "email": "a@-example.org", "email_verified": true }),
            json!({ "email": ".a@example.org", "email_verified": true }),
            json!({ "email": "a@example.org/x", "email_verified": true }),
        ] {
            assert!(email(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn both_the_address_and_the_subject_are_challenges() {
        let claims = json!({ "email": "a@example.org", "email_verified": true });
        let identity = of(&token("email", "1234", &claims)).unwrap();
        assert_eq!(identity.challenges, ["a@example.org", "1234"]);
    }

    #[test]
    fn service_accounts() {
        let claims = |namespace: &str, name: &str| json!({ "kubernetes.io": { "namespace": namespace, "serviceaccount": { "name": name } } });
        assert_eq!(
            name("kubernetes", "system:serviceaccount:a:b", &claims("a", "b")).unwrap(),
            "https://kubernetes.io/namespaces/a/serviceaccounts/b"
        );
        assert!(name("kubernetes", "x", &claims("a/serviceaccounts/c", "b")).is_err());
        assert!(name("kubernetes", "x", &json!({})).is_err());
    }

    #[test]
    fn subjects_of_a_domain() {
        let none = json!({});
        assert!(name("spiffe", "spiffe://example.org/a/b", &none).is_ok());
        for bad in [
            "spiffe://example.org.evil/a",
            "spiffe://other/a",
            "spiffe://example.org/a/../b",
            "https://example.org/a",
        ] {
            assert!(name("spiffe", bad, &none).is_err(), "{bad}");
        }
        assert!(name("uri", "https://example.org/u/a", &none).is_ok());
        assert!(name("uri", "https://example.org.evil/u/a", &none).is_err());
        assert!(name("uri", "http://example.org/u/a", &none).is_err());
        assert!(name("uri", "https://example.org", &none).is_ok());
        for bad in [
            "https://evil@example.org/u/a",
            "https://:x@example.org/u/a",
            "https://example.org:8443/u/a",
            "https://example.org:443/u/a",
            "https://EXAMPLE.org/u/a",
            "https://example.org/u/../a",
            "https://example.org\\u",
            "https:example.org/u",
            " https://example.org/u",
        ] {
            assert!(name("uri", bad, &none).is_err(), "{bad}");
        }
        assert_eq!(name("username", "ada", &none).unwrap(), "ada!example.org");
        for bad in ["a da", "ada/x", "ada@example.org", "ad\u{430}", "ada%21"] {
            assert!(name("username", bad, &none).is_err(), "{bad}");
        }
        assert!(name("username", "ada!evil", &none).is_err());
    }
}
