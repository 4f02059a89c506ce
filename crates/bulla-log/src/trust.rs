//! Which logs are trusted: keys as they are handed out, and Sigstore's `trusted_root.json`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla::{Limits, PublicKey};
use serde::Deserialize;

use super::checkpoint::LogKey;
use super::note::{NoteError, VerifierKey};

/// The most logs in one trusted root.
const MAX_LOGS: usize = 256;
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.trustedroot";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TrustedRoot {
    media_type: String,
    #[serde(default)]
    tlogs: Vec<Instance>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Instance {
    base_url: String,
    public_key: Key,
    log_id: Option<LogId>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogId {
    key_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    raw_bytes: String,
}

/// Reads a log's key: a vkey (`name+id+base64`), or PEM, which has no name and needs the log's origin.
///
/// # Errors
/// What is wrong with it.
pub fn log_key(text: &str, origin: Option<&str>) -> Result<LogKey, NoteError> {
    if !text.contains("-----BEGIN") {
        let key = VerifierKey::parse(text.trim())?;
        return Ok(origin.map_or_else(
            || LogKey::new(key.clone()),
            |origin| LogKey::with_origin(origin, key.clone()),
        ));
    }
    let origin = origin.ok_or_else(|| {
        NoteError::Key("a PEM key has no name, and the log's origin is not given".into())
    })?;
    let key = PublicKey::from_pem(text, &Limits::default())
        .map_err(|fault| NoteError::Key(fault.to_string()))?;
    // Rekor v1 writes the number of its tree after its name, which its keys do not bear.
    let name = origin.split_once(" - ").map_or(origin, |(name, _)| name);
    Ok(LogKey::with_origin(origin, VerifierKey::of_log(name, key)?))
}

/// The logs of a `trusted_root.json` whose keys sign checkpoints, each named by its URL without the scheme. Logs with
/// keys of other kinds are passed over.
///
/// # Errors
/// When it is no trusted root, or has no such log.
pub fn trusted_root(json: &[u8]) -> Result<Vec<LogKey>, NoteError> {
    let wrong = |what: String| NoteError::Key(format!("the trusted root: {what}"));
    let root: TrustedRoot = serde_json::from_slice(json).map_err(|e| wrong(e.to_string()))?;
    if !root.media_type.starts_with(MEDIA_TYPE) {
        return Err(wrong(format!(
            "its media type is {:?}, expected {MEDIA_TYPE:?}",
            root.media_type
        )));
    }
    if root.tlogs.len() > MAX_LOGS {
        return Err(wrong(format!("it has more than {MAX_LOGS} logs")));
    }
    let logs: Vec<_> = root.tlogs.iter().filter_map(log_of).collect();
    if logs.is_empty() {
        return Err(wrong("it has no log with an Ed25519 or ECDSA key".into()));
    }
    Ok(logs)
}

fn log_of(instance: &Instance) -> Option<LogKey> {
    let url = instance.base_url.trim_end_matches('/');
    let name = url.split_once("://").map_or(url, |(_, name)| name);
    let der = STANDARD.decode(&instance.public_key.raw_bytes).ok()?;
    let key = PublicKey::from_spki_der(&der).ok()?;
    // sigstore-go takes the bare host for the name, and logs follow it; the log's identifier tells which it is.
    let id = instance.log_id.as_ref().and_then(|id| STANDARD.decode(&id.key_id).ok());
    let authority = name.split('/').next().unwrap_or(name);
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let named = |name: &str| VerifierKey::of_log(name, key.clone()).ok();
    [name, authority, host]
        .into_iter()
        .filter_map(named)
        .find(|key| id.as_ref().is_some_and(|id| id.starts_with(&key.id())))
        .or_else(|| named(name))
        .map(LogKey::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bulla::{KeyAlgorithm, KeyPair};

    /// A log on a port whose name is the host alone, as sigstore-go wants it.
    #[test]
    fn the_identifier_tells_how_a_log_is_called() {
        let pair = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
        for name in ["127.0.0.1", "127.0.0.1:8080", "127.0.0.1:8080/g2"] {
            let key = VerifierKey::of_log(name, pair.public().clone()).unwrap();
            let root = serde_json::json!({ "mediaType": MEDIA_TYPE, "tlogs": [{
                "baseUrl": "http://127.0.0.1:8080/g2",
                "publicKey": { "rawBytes": STANDARD.encode(pair.public().spki_der()) },
                "logId": { "keyId": STANDARD.encode(key.id()) },
            }] });
            let logs = trusted_root(root.to_string().as_bytes()).unwrap();
            assert_eq!(logs, [LogKey::new(key)]);
        }
    }

    #[test]
    fn keys_as_they_are_handed_out() {
        let pair = KeyPair::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let key = VerifierKey::of_log("rekor.example", pair.public().clone()).unwrap();
        let pem = pair.public().to_pem();
        assert_eq!(log_key(&format!("{key}\n"), None).unwrap(), LogKey::new(key.clone()));
        assert_eq!(log_key(&pem, Some("rekor.example")).unwrap(), LogKey::new(key.clone()));
        let v1 = log_key(&pem, Some("rekor.example - 17")).unwrap();
        assert_eq!((v1.key(), v1.origin()), (&key, "rekor.example - 17"));
        assert!(v1.speaks_for("rekor.example - 17") && !v1.speaks_for("rekor.example - 18"));
        assert!(log_key(&pem, None).is_err());
        assert!(log_key("nonsense", None).is_err());
    }

    #[test]
    fn a_trusted_root_names_its_logs() {
        let pair = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
        let rsa = KeyPair::generate(KeyAlgorithm::Rsa(3072)).unwrap();
        let log = |url: &str, pair: &KeyPair| {
            let key = STANDARD.encode(pair.public().spki_der());
            format!(
                r#"{{"baseUrl":"{url}","hashAlgorithm":"SHA2_256","publicKey":{{"rawBytes":"{key}","keyDetails":"X"}},"logId":{{"keyId":"AA=="}}}}"#
            )
        };
        let root = |logs: &str| {
            format!(
                r#"{{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","tlogs":[{logs}],"certificateAuthorities":[]}}"#
            )
        };
        let (ed, other) =
            (log("https://log.example/one/", &pair), log("https://rsa.example", &rsa));
        let logs = trusted_root(root(&format!("{ed},{other}")).as_bytes()).unwrap();
        let expected = VerifierKey::of_log("log.example/one", pair.public().clone()).unwrap();
        assert_eq!(logs, [LogKey::new(expected)]);
        for wrong in [
            root(""),
            root(&other),
            root(&ed).replace("trustedroot", "signingconfig"),
            root(&format!("{}{ed}", format!("{ed},").repeat(256))),
            "[]".into(),
            String::new(),
        ] {
            assert!(trusted_root(wrong.as_bytes()).is_err());
        }
    }
}
