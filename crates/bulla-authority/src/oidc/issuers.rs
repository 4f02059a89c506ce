//! The issuers that are accepted, and their keys.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bulla::Fault;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::{JwkSet, PublicKeyUse};
use jsonwebtoken::{DecodingKey, Header};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use crate::config::{IssuerConfig, may_be_fetched};
use crate::http::Refusal;

/// Keys are asked for again after this time ...
const FRESH: SignedDuration = SignedDuration::from_mins(10);
/// ... and believed for this long when the issuer cannot be reached.
const STALE: SignedDuration = SignedDuration::from_hours(1);
/// An issuer is asked at most this often, whatever keys the tokens name.
const PAUSE: SignedDuration = SignedDuration::from_secs(30);
/// Larger answers are not read.
const DOCUMENT_BYTES: usize = 512 << 10;
const TIMEOUT: Duration = Duration::from_secs(10);

/// All issuers, by their URL.
#[derive(Debug)]
pub(crate) struct Issuers(BTreeMap<String, Issuer>);

/// An issuer.
#[derive(Debug)]
pub(crate) struct Issuer {
    config: Arc<IssuerConfig>,
    keys: KeySource,
}

/// Where its keys come from.
pub(crate) enum KeySource {
    /// They were there from the start: a file, or the development issuer's own.
    Fixed(JwkSet),
    /// From the issuer, over the network.
    Discovered { asker: Asker, cache: Mutex<Cache> },
}

/// Asks issuers.
#[derive(Clone)]
pub(crate) struct Asker {
    client: reqwest::Client,
    /// Then also over plain HTTP on this machine.
    development: bool,
}

impl std::fmt::Debug for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Fixed(_) => "Fixed",
            Self::Discovered { .. } => "Discovered",
        })
    }
}

#[derive(Debug, Default)]
pub(crate) struct Cache {
    keys: Option<(Timestamp, JwkSet)>,
    asked: Option<Timestamp>,
}

impl Issuers {
    /// Those of a configuration; relative names of key files are below `folder`.
    pub(crate) fn new(
        configs: &[IssuerConfig],
        folder: &Path,
        development: bool,
    ) -> Result<Self, Fault> {
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|_| Fault::Bug { what: "no HTTP client" })?;
        let asker = Asker { client, development };
        let mut issuers = BTreeMap::new();
        for config in configs {
            let keys = match &config.jwks_file {
                Some(file) => {
                    let path = folder.join(file);
                    let io = |e| Fault::io("read", &path, e);
                    let text = std::fs::read(&path).map_err(io)?;
                    KeySource::Fixed(
                        serde_json::from_slice(&text)
                            .map_err(|e| io(std::io::Error::other(format!("no JWKS: {e}"))))?,
                    )
                }
                None => KeySource::Discovered { asker: asker.clone(), cache: Mutex::default() },
            };
            let config = Arc::new(config.clone());
            issuers.insert(config.url.clone(), Issuer { config, keys });
        }
        Ok(Self(issuers))
    }

    /// Adds one.
    pub(crate) fn add(&mut self, config: IssuerConfig, keys: KeySource) {
        self.0.insert(config.url.clone(), Issuer { config: Arc::new(config), keys });
    }

    /// By exactly its URL.
    pub(crate) fn find(&self, url: &str) -> Option<&Issuer> {
        self.0.get(url)
    }

    /// All.
    pub(crate) fn configs(&self) -> impl Iterator<Item = &IssuerConfig> {
        self.0.values().map(|issuer| issuer.config.as_ref())
    }
}

impl Issuer {
    pub(crate) fn config(&self) -> &Arc<IssuerConfig> {
        &self.config
    }

    /// The key that a token names.
    pub(crate) async fn key(
        &self,
        header: &Header,
        now: Timestamp,
    ) -> Result<DecodingKey, Refusal> {
        let unknown = || {
            super::refused(format!("its key is none of those of its issuer {}", self.config.url))
        };
        match &self.keys {
            KeySource::Fixed(keys) => find(keys, header).ok_or_else(unknown),
            KeySource::Discovered { asker, cache } => {
                // One caller asks, the others wait and then find the answer.
                let mut cache = cache.lock().await;
                let known = cache.keys.as_ref().and_then(|(at, keys)| {
                    (now < *at + FRESH).then(|| find(keys, header)).flatten()
                });
                if let Some(key) = known {
                    return Ok(key);
                }
                if cache.asked.is_none_or(|asked| now >= asked + PAUSE || now < asked) {
                    cache.asked = Some(now);
                    match discover(asker, &self.config.url).await {
                        Ok(keys) => cache.keys = Some((now, keys)),
                        Err(why) => {
                            tracing::warn!(
                                issuer = self.config.url,
                                why,
                                "an issuer's keys could not be read"
                            );
                        }
                    }
                }
                match &cache.keys {
                    Some((at, keys)) if now < *at + STALE => find(keys, header).ok_or_else(unknown),
                    _ => Err(Refusal::unavailable(format!(
                        "the keys of the issuer {} cannot be read now",
                        self.config.url
                    ))),
                }
            }
        }
    }
}

/// By its name; the only one, if the token names none. A key for encrypting verifies nothing.
fn find(keys: &JwkSet, header: &Header) -> Option<DecodingKey> {
    let signs = |jwk: &&jsonwebtoken::jwk::Jwk| {
        !matches!(&jwk.common.public_key_use, Some(PublicKeyUse::Encryption))
    };
    let mut signing = keys.keys.iter().filter(signs);
    let jwk = match &header.kid {
        Some(kid) => signing.find(|jwk| jwk.common.key_id.as_ref() == Some(kid))?,
        None => signing.next().filter(|_| signing.next().is_none())?,
    };
    let key = DecodingKey::from_jwk(jwk).ok()?;
    // A key of another family than the token's algorithm would be asked to do what it is not for.
    (key.family() == family(header.alg)?).then_some(key)
}

fn family(algorithm: jsonwebtoken::Algorithm) -> Option<jsonwebtoken::AlgorithmFamily> {
    use jsonwebtoken::AlgorithmFamily;
    [AlgorithmFamily::Rsa, AlgorithmFamily::Ec, AlgorithmFamily::Ed]
        .into_iter()
        .find(|family| family.algorithms().contains(&algorithm))
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// OpenID Connect Discovery 1.0 §4.
async fn discover(asker: &Asker, issuer: &str) -> Result<JwkSet, String> {
    let base = issuer.trim_end_matches('/');
    let document = fetch(asker, &format!("{base}/.well-known/openid-configuration")).await?;
    let discovery: Discovery =
        serde_json::from_slice(&document).map_err(|e| format!("no configuration: {e}"))?;
    if discovery.issuer != issuer {
        return Err(format!("it says that it is {:?}", discovery.issuer));
    }
    let keys = fetch(asker, &discovery.jwks_uri).await?;
    // Keys of kinds that the library does not know must not hide the others.
    #[derive(Deserialize)]
    struct Keys {
        keys: Vec<serde_json::Value>,
    }
    let keys: Keys = serde_json::from_slice(&keys).map_err(|e| format!("no keys: {e}"))?;
    let keys = keys.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect();
    Ok(JwkSet { keys })
}

async fn fetch(Asker { client, development }: &Asker, url: &str) -> Result<Vec<u8>, String> {
    let parsed = Url::parse(url).map_err(|e| format!("{url:?}: {e}"))?;
    if !may_be_fetched(&parsed, *development) {
        return Err(format!("{url:?} is not reached over https"));
    }
    let failed = |e: reqwest::Error| format!("{url}: {e}");
    let mut response = client
        .get(parsed)
        .header("accept", "application/json")
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(failed)?;
    if !response.status().is_success() {
        return Err(format!("{url}: {}", response.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        if body.len() > DOCUMENT_BYTES {
            return Err(format!("{url}: the answer is too large"));
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_for_encrypting_verifies_nothing() {
        let key = |name: &str, usage: &str| {
            serde_json::json!({
                "kty": "OKP", "crv": "Ed25519", "kid": name, "use": usage,
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            })
        };
        let set = |keys: &[serde_json::Value]| -> JwkSet {
            serde_json::from_value(serde_json::json!({ "keys": keys })).unwrap()
        };
        let mut header = Header::new(jsonwebtoken::Algorithm::EdDSA);
        assert!(find(&set(&[key("a", "sig")]), &header).is_some());
        assert!(find(&set(&[key("a", "enc")]), &header).is_none());
        assert!(find(&set(&[key("a", "enc"), key("b", "sig")]), &header).is_some());
        assert!(find(&set(&[key("a", "sig"), key("b", "sig")]), &header).is_none());
        header.kid = Some("a".into());
        assert!(find(&set(&[key("a", "enc"), key("b", "sig")]), &header).is_none());
        assert!(find(&set(&[key("a", "sig"), key("b", "sig")]), &header).is_some());
    }
}
