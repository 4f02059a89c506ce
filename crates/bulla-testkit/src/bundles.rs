//! Signatures over anything at all: what an attacker with a key, or a careless signer, can make.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla::sign::ToSign;
use bulla::{
    Failure, KeyAlgorithm, KeyPair, KeySigner, Limits, LocalModel, Options, Signer, Trust,
    VerifiedModel, bundle, verify,
};
use serde_json::{Value, json};

/// A bundle with a good signature over these bytes.
#[must_use]
pub fn bundle_of(signer: &dyn Signer, payload: &[u8]) -> Vec<u8> {
    let kind = bundle::PAYLOAD_TYPE;
    let mut message = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    let signed = signer.sign(ToSign::Message(&message)).unwrap();
    bundle::encode(&signed.material, &signed.evidence, payload, &signed.signature)
}

/// Bytes as bundles have them.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// And back.
#[must_use]
pub fn from_base64(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

/// A signer whose key is trusted.
#[derive(Debug)]
pub struct TestSigner {
    /// Trusts this signer.
    pub trust: Trust,
    signer: KeySigner,
}

impl Default for TestSigner {
    fn default() -> Self {
        Self::new(KeyAlgorithm::EcdsaP256)
    }
}

impl TestSigner {
    /// With a new key.
    #[must_use]
    pub fn new(algorithm: KeyAlgorithm) -> Self {
        let key = KeyPair::generate(algorithm).unwrap();
        let trust = Trust::keys(vec![key.public().clone()]).unwrap();
        Self { trust, signer: KeySigner::new(key) }
    }

    /// The key.
    #[must_use]
    pub fn public_key(&self) -> bulla::PublicKey {
        self.signer.sign(ToSign::Message(b"")).unwrap().key
    }

    /// The signer.
    #[must_use]
    pub fn signer(&self) -> &KeySigner {
        &self.signer
    }

    /// A bundle with a good signature over these bytes.
    #[must_use]
    pub fn bundle_of(&self, payload: &[u8]) -> Vec<u8> {
        bundle_of(&self.signer, payload)
    }

    /// Verifies a model against a good signature over this statement.
    pub fn verify_statement(
        &self,
        model: &Path,
        statement: &Value,
    ) -> Result<VerifiedModel<LocalModel>, Failure> {
        self.verify(model, &self.bundle_of(&serde_json::to_vec(statement).unwrap()))
    }

    /// Verifies a model against a bundle.
    pub fn verify(
        &self,
        model: &Path,
        bundle: &[u8],
    ) -> Result<VerifiedModel<LocalModel>, Failure> {
        verify::verify(
            bundle,
            LocalModel::open(model)?,
            &self.trust,
            crate::now(),
            &Options::default(),
            &Limits::default(),
            crate::work(),
        )
    }

    /// Signs a model, and returns the bundle.
    #[must_use]
    pub fn sign(&self, model: &Path, recipe: &bulla::Recipe) -> Vec<u8> {
        self.try_sign(model, recipe).unwrap()
    }

    /// Signs a model.
    pub fn try_sign(&self, model: &Path, recipe: &bulla::Recipe) -> Result<Vec<u8>, Failure> {
        let source = LocalModel::open(model)?;
        bulla::sign::sign(
            &source,
            recipe,
            bulla::Compatibility::Specification,
            &self.signer,
            bulla::sign::Known::Nothing,
            &Limits::default(),
            crate::work(),
        )
        .map(|signed| signed.bundle)
    }
}

/// The statement inside a bundle.
#[must_use]
pub fn statement_of(bundle: &[u8]) -> Value {
    let bundle: Value = serde_json::from_slice(bundle).unwrap();
    let payload = STANDARD.decode(bundle["dsseEnvelope"]["payload"].as_str().unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

/// A statement over these resources, with the right root: `(name, sha256 of contents)`.
#[must_use]
pub fn statement(resources: &[(&str, &[u8])]) -> Value {
    let resources: Vec<Value> = resources
        .iter()
        .map(|(name, contents)| {
            let digest = bulla::Digest::sha256(contents).to_hex();
            json!({ "name": name, "digest": digest, "algorithm": "sha256" })
        })
        .collect();
    let mut statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "model", "digest": { "sha256": "" } }],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "resources": resources,
            "serialization": { "method": "files", "hash_type": "sha256", "allow_symlinks": false },
        },
    });
    set_root(&mut statement);
    statement
}

/// Sets the subject's digest to the root of the resources as they stand.
pub fn set_root(statement: &mut Value) {
    let mut bytes = Vec::new();
    for resource in statement["predicate"]["resources"].as_array().unwrap() {
        let hex = resource["digest"].as_str().unwrap_or_default();
        for pair in hex.as_bytes().chunks(2) {
            let text = std::str::from_utf8(pair).unwrap();
            bytes.push(u8::from_str_radix(text, 16).unwrap_or_default());
        }
    }
    statement["subject"][0]["digest"]["sha256"] = bulla::Digest::sha256(&bytes).to_hex().into();
}
