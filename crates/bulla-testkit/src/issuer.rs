//! An issuer of identity tokens that nobody has to reach: a test authority reads its keys from a file.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bulla::jiff::{SignedDuration, Timestamp};
use bulla_authority::config::IssuerConfig;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::PublicKeyData as _;
use serde_json::{Value, json};
use tempfile::TempDir;

/// An issuer with a key.
pub struct TestIssuer {
    url: String,
    key: rcgen::KeyPair,
    folder: TempDir,
}

impl TestIssuer {
    /// Speaks for an issuer.
    #[must_use]
    pub fn new(url: &str) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let folder = tempfile::tempdir().unwrap();
        // The point is what a P-256 `SubjectPublicKeyInfo` ends with.
        let spki = key.subject_public_key_info();
        let (x, y) = spki.last_chunk::<64>().unwrap().split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let jwks = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1", "x": x, "y": y }] });
        std::fs::write(folder.path().join("jwks.json"), jwks.to_string()).unwrap();
        Self { url: url.to_owned(), key, folder }
    }

    /// As an issuer of an authority.
    #[must_use]
    pub fn config(&self) -> IssuerConfig {
        let mut config: IssuerConfig = self.url.parse().unwrap();
        config.jwks_file = Some(self.folder.path().join("jwks.json"));
        config
    }

    /// A token with these claims on top of the usual ones.
    #[must_use]
    pub fn token(&self, claims: &Value) -> String {
        let now = Timestamp::now();
        let mut all = json!({
            "iss": self.url,
            "aud": "sigstore",
            "iat": now.as_second(),
            "nbf": now.as_second(),
            "exp": (now + SignedDuration::from_mins(10)).as_second(),
            "jti": now.as_nanosecond().to_string(),
        });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let header = Header { kid: Some("1".into()), ..Header::new(Algorithm::ES256) };
        let key = EncodingKey::from_ec_der(&self.key.serialize_der());
        jsonwebtoken::encode(&header, &all, &key).unwrap()
    }
}
