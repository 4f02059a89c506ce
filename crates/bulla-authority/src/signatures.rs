//! Signatures of clients: over messages, and over digests where only the digest is sent.

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature::{
    self as alg, ParsedPublicKey, UnparsedPublicKey, VerificationAlgorithm,
};
use bulla::{KeyAlgorithm, PublicKey};
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5912, rfc8410};
use der::Decode as _;
use x509_cert::spki::SubjectPublicKeyInfoRef;

/// A member of SHA-2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// By its name in the older log's entries.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "sha256" => Some(Self::Sha256),
            "sha384" => Some(Self::Sha384),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }

    /// By its ASN.1 identifier.
    pub(crate) fn from_oid(oid: ObjectIdentifier) -> Option<Self> {
        match oid {
            rfc5912::ID_SHA_256 => Some(Self::Sha256),
            rfc5912::ID_SHA_384 => Some(Self::Sha384),
            rfc5912::ID_SHA_512 => Some(Self::Sha512),
            _ => None,
        }
    }

    /// The hash in a signature algorithm, if it is one for such keys.
    pub(crate) fn of_signature_algorithm(oid: ObjectIdentifier, key: KeyAlgorithm) -> Option<Self> {
        let ecdsa = matches!(
            key,
            KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 | KeyAlgorithm::EcdsaP521
        );
        let rsa = matches!(key, KeyAlgorithm::Rsa(_));
        match oid {
            rfc5912::ECDSA_WITH_SHA_256 if ecdsa => Some(Self::Sha256),
            rfc5912::ECDSA_WITH_SHA_384 if ecdsa => Some(Self::Sha384),
            rfc5912::ECDSA_WITH_SHA_512 if ecdsa => Some(Self::Sha512),
            rfc5912::SHA_256_WITH_RSA_ENCRYPTION if rsa => Some(Self::Sha256),
            rfc5912::SHA_384_WITH_RSA_ENCRYPTION if rsa => Some(Self::Sha384),
            rfc5912::SHA_512_WITH_RSA_ENCRYPTION if rsa => Some(Self::Sha512),
            // Hashes in its own way.
            rfc8410::ID_ED_25519 if key == KeyAlgorithm::Ed25519 => Some(Self::Sha512),
            _ => None,
        }
    }

    /// The hash that keys of a kind sign with unless something else is said.
    pub(crate) fn of_key(key: KeyAlgorithm) -> Self {
        match key {
            KeyAlgorithm::EcdsaP384 => Self::Sha384,
            KeyAlgorithm::EcdsaP521 | KeyAlgorithm::Ed25519 => Self::Sha512,
            KeyAlgorithm::EcdsaP256 | KeyAlgorithm::Rsa(_) => Self::Sha256,
        }
    }

    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }

    /// Bytes in a digest.
    pub(crate) fn length(self) -> usize {
        self.algorithm().output_len()
    }
}

/// How signatures of a key over a hash are checked; `None` where keys of that kind do not sign digests.
fn verifier(key: KeyAlgorithm, hash: Hash) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (key, hash) {
        (KeyAlgorithm::EcdsaP256, Hash::Sha256) => &alg::ECDSA_P256_SHA256_ASN1,
        (KeyAlgorithm::EcdsaP256, Hash::Sha384) => &alg::ECDSA_P256_SHA384_ASN1,
        (KeyAlgorithm::EcdsaP256, Hash::Sha512) => &alg::ECDSA_P256_SHA512_ASN1,
        (KeyAlgorithm::EcdsaP384, Hash::Sha256) => &alg::ECDSA_P384_SHA256_ASN1,
        (KeyAlgorithm::EcdsaP384, Hash::Sha384) => &alg::ECDSA_P384_SHA384_ASN1,
        (KeyAlgorithm::EcdsaP384, Hash::Sha512) => &alg::ECDSA_P384_SHA512_ASN1,
        (KeyAlgorithm::EcdsaP521, Hash::Sha256) => &alg::ECDSA_P521_SHA256_ASN1,
        (KeyAlgorithm::EcdsaP521, Hash::Sha384) => &alg::ECDSA_P521_SHA384_ASN1,
        (KeyAlgorithm::EcdsaP521, Hash::Sha512) => &alg::ECDSA_P521_SHA512_ASN1,
        (KeyAlgorithm::Rsa(_), Hash::Sha256) => &alg::RSA_PKCS1_2048_8192_SHA256,
        (KeyAlgorithm::Rsa(_), Hash::Sha384) => &alg::RSA_PKCS1_2048_8192_SHA384,
        (KeyAlgorithm::Rsa(_), Hash::Sha512) => &alg::RSA_PKCS1_2048_8192_SHA512,
        (KeyAlgorithm::Ed25519, _) => return None,
    })
}

/// The bits inside a `SubjectPublicKeyInfo`.
fn bits(key: &PublicKey) -> Option<&[u8]> {
    SubjectPublicKeyInfoRef::from_der(key.spki_der()).ok()?.subject_public_key.as_bytes()
}

/// Whether a signature fits a digest.
pub(crate) fn verify_digest(key: &PublicKey, hash: Hash, digest: &[u8], signature: &[u8]) -> bool {
    let verify = || {
        let verifier = verifier(key.algorithm(), hash)?;
        let digest = Digest::import_less_safe(digest, hash.algorithm()).ok()?;
        let key = ParsedPublicKey::new(verifier, bits(key)?).ok()?;
        key.verify_digest_sig(&digest, signature).ok()
    };
    verify().is_some()
}

/// Whether a signature fits a message that was hashed in this way; Ed25519 hashes by itself.
pub(crate) fn verify_hashed(key: &PublicKey, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
    let Some(bits) = bits(key) else { return false };
    let verifier = verifier(key.algorithm(), hash).unwrap_or(&alg::ED25519);
    UnparsedPublicKey::new(verifier, bits).verify(message, signature).is_ok()
}

/// Whether a signature fits a message, in the usual way of the key's kind.
pub(crate) fn verify_message(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    verify_hashed(key, Hash::of_key(key.algorithm()), message, signature)
}

#[cfg(test)]
mod tests {
    use bulla::KeyPair;

    use super::*;
    use crate::keys::ServiceKey;

    #[test]
    fn a_digest_and_its_message_are_one() {
        for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::EcdsaP521]
        {
            let key = ServiceKey::from_pair(KeyPair::generate(algorithm).unwrap());
            let signature = key.sign(b"message").unwrap();
            let hash = Hash::of_key(algorithm);
            let digest = digest::digest(hash.algorithm(), b"message");
            assert!(verify_digest(key.public(), hash, digest.as_ref(), &signature));
            assert!(verify_message(key.public(), b"message", &signature));
            assert!(!verify_message(key.public(), b"massage", &signature));
            let other = digest::digest(hash.algorithm(), b"massage");
            assert!(!verify_digest(key.public(), hash, other.as_ref(), &signature));
            assert!(!verify_digest(key.public(), hash, &digest.as_ref()[1..], &signature));
        }
        let key = ServiceKey::from_pair(KeyPair::generate(KeyAlgorithm::Ed25519).unwrap());
        let signature = key.sign(b"message").unwrap();
        assert!(verify_message(key.public(), b"message", &signature));
        let digest = digest::digest(&digest::SHA512, b"message");
        assert!(!verify_digest(key.public(), Hash::Sha512, digest.as_ref(), &signature));
    }
}
