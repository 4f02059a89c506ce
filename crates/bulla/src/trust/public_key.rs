//! Public keys and the signatures that they verify.

use std::fmt;

use aws_lc_rs::signature::{
    self as alg, RsaPssSaltLength, UnparsedPublicKey, VerificationAlgorithm,
};
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5912, rfc8410};
use der::pem::LineEnding;
use der::{Decode as _, EncodePem as _};
use x509_cert::spki::{SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};

use super::file_hash::FileHashes;
use super::pem;
use crate::bundle::Encoding;
use crate::digest::Digest;
use crate::error::Fault;
use crate::limits::Limits;

/// A kind of key that Bulla signs and verifies with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384,
    /// ECDSA on P-521 with SHA-512.
    EcdsaP521,
    /// Ed25519.
    Ed25519,
    /// RSA with this many bits, at least 3072; signs with PSS and SHA-256.
    Rsa(u32),
}

/// RSA keys below this sign no model.
const RSA_BITS: u32 = 3072;
/// Longer ones cost their verifier too much, and the library does not take them.
const RSA_BITS_MAX: u32 = 8192;

impl KeyAlgorithm {
    /// A name for people and for `--algorithm`: `ecdsa-p256`, `rsa-3072`, …
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::EcdsaP256 => "ecdsa-p256".into(),
            Self::EcdsaP384 => "ecdsa-p384".into(),
            Self::EcdsaP521 => "ecdsa-p521".into(),
            Self::Ed25519 => "ed25519".into(),
            Self::Rsa(bits) => format!("rsa-{bits}"),
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// A public key: its kind, and its one encoding.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: KeyAlgorithm,
    /// `SubjectPublicKeyInfo`, DER.
    spki: Vec<u8>,
    /// The key bits inside: an uncompressed point, 32 bytes, or an `RSAPublicKey`.
    bits: Vec<u8>,
}

impl PublicKey {
    /// Reads a public key from PEM (`PUBLIC KEY`). Text around the block is passed over.
    ///
    /// # Errors
    /// [`Fault::Key`] when there is none, or another kind of thing, or more than one.
    pub fn from_pem(text: &str, limits: &Limits) -> Result<Self, Fault> {
        let blocks = pem::blocks(text, limits)?;
        let wrong = |detail: &str, hint| Fault::Key { detail: detail.into(), hint: Some(hint) };
        match blocks.as_slice() {
            [block] if block.label == "PUBLIC KEY" => Self::from_spki_der(&block.decode()?),
            [block] if block.label == "RSA PUBLIC KEY" => Err(wrong(
                "it is a public key in PKCS#1 form",
                "convert it once: openssl rsa -RSAPublicKey_in -in OLD.pem -pubout -out NEW.pem",
            )),
            [block] if block.label.ends_with("PRIVATE KEY") => Err(wrong(
                "it is a private key, expected a public one",
                "'bulla key show --pem' prints its public half; keep the private one away from whoever verifies",
            )),
            [block, ..] if block.label == "CERTIFICATE" => Err(wrong(
                "it is a certificate, expected a bare public key",
                "to trust a certificate authority name it with --ca",
            )),
            [] => Err(wrong("it is not a PEM public key", "expected -----BEGIN PUBLIC KEY-----")),
            [block] => Err(wrong(
                &format!(
                    "it is a PEM {}, expected a public key",
                    crate::text::shorten(block.label)
                ),
                "expected -----BEGIN PUBLIC KEY-----",
            )),
            _ => Err(wrong("it does not hold exactly one public key", "give one key in a file")),
        }
    }

    /// Reads a `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// [`Fault::Key`] when it is malformed, of another kind, too weak, or not in its one encoding.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, Fault> {
        let malformed = |e: der::Error| Fault::key(format!("the public key is malformed: {e}"));
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(malformed)?;
        let bits = spki
            .subject_public_key
            .as_bytes()
            .ok_or_else(|| {
                Fault::key("the public key is malformed: its bit string has unused bits")
            })?
            .to_vec();
        let algorithm = algorithm(&spki, &bits)?;
        let key = Self { algorithm, spki: der.to_vec(), bits };
        // The library that will verify has the last word: the point is on the curve, and so on.
        UnparsedPublicKey::new(
            key.verifiers().first().copied().unwrap_or(&alg::ED25519),
            &key.bits,
        )
        .parse()
        .map_err(|_| Fault::key(format!("the {algorithm} public key is not valid")))?;
        Ok(key)
    }

    /// Its kind.
    #[must_use]
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// Its `SubjectPublicKeyInfo`, DER.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// Its PEM: 64 columns, line feeds, one at the end.
    #[must_use]
    pub fn to_pem(&self) -> String {
        SubjectPublicKeyInfoOwned::from_der(&self.spki)
            .and_then(|spki| spki.to_pem(LineEnding::LF))
            .unwrap_or_default()
    }

    /// Its name everywhere in Bulla: SHA-256 of the `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        Digest::sha256(&self.spki)
    }

    /// Its `publicKey.hint` in cosign's bundles: SHA-256 of the SPKI DER, in base64.
    #[must_use]
    pub fn cosign_hint(&self) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(self.fingerprint().as_bytes())
    }

    /// Its `publicKey.hint` in an OMS bundle: SHA-256 of the PEM text, in hexadecimal.
    #[must_use]
    pub fn oms_hint(&self) -> String {
        Digest::sha256(self.to_pem().as_bytes()).to_hex()
    }

    /// Whether a signature fits a message; `encoding` says how the message was framed, for 0.2.0
    /// chose another hash with certificates.
    pub(crate) fn verifies(&self, encoding: Encoding, message: &[u8], signature: &[u8]) -> bool {
        let fits = |verifier: &&'static dyn VerificationAlgorithm| {
            UnparsedPublicKey::new(*verifier, &self.bits).verify(message, signature).is_ok()
        };
        let legacy: &[&'static dyn VerificationAlgorithm] = match (encoding, self.algorithm) {
            (Encoding::ModelSigning0_2, KeyAlgorithm::EcdsaP384) => &[&alg::ECDSA_P384_SHA256_ASN1],
            (Encoding::ModelSigning0_2, KeyAlgorithm::EcdsaP521) => &[&alg::ECDSA_P521_SHA256_ASN1],
            _ => &[],
        };
        use ed25519_dalek::Digest as _;
        let prehash = || ed25519_dalek::Sha512::new().chain_update(message);
        self.verifiers().iter().chain(legacy).any(fits)
            || (self.algorithm == KeyAlgorithm::Ed25519
                && self.verifies_ed25519ph(prehash(), signature))
    }

    /// Whether an RSA key made an RSASSA-PSS signature with SHA-256, and no other kind.
    pub(crate) fn verifies_pss(&self, message: &[u8], signature: &[u8]) -> bool {
        let fits = |verifier: &'static dyn VerificationAlgorithm| {
            UnparsedPublicKey::new(verifier, &self.bits).verify(message, signature).is_ok()
        };
        matches!(self.algorithm, KeyAlgorithm::Rsa(_))
            && (fits(&alg::RSA_PSS_2048_8192_SHA256)
                || fits(
                    &const { alg::RSA_PSS_2048_8192_SHA256.with_pss_salt_length(RsaPssSaltLength::Max) },
                ))
    }

    /// The ways of signing that a key of this kind is accepted in. The kind alone decides, never the
    /// bundle.
    fn verifiers(&self) -> &'static [&'static dyn VerificationAlgorithm] {
        match self.algorithm {
            KeyAlgorithm::EcdsaP256 => &[&alg::ECDSA_P256_SHA256_ASN1],
            KeyAlgorithm::EcdsaP384 => &[&alg::ECDSA_P384_SHA384_ASN1],
            KeyAlgorithm::EcdsaP521 => &[&alg::ECDSA_P521_SHA512_ASN1],
            KeyAlgorithm::Ed25519 => &[&alg::ED25519],
            // PSS with both customary salts, and the older PKCS#1 v1.5.
            KeyAlgorithm::Rsa(_) => &[
                &alg::RSA_PSS_2048_8192_SHA256,
                &const { alg::RSA_PSS_2048_8192_SHA256.with_pss_salt_length(RsaPssSaltLength::Max) },
                &alg::RSA_PKCS1_2048_8192_SHA256,
            ],
        }
    }

    /// Whether a signature fits a file of these digests, in any of the ways in which cosign and we sign files. The
    /// kind of key decides; older releases of cosign take SHA-256 with every curve.
    pub(super) fn verifies_digest(&self, file: &FileHashes, signature: &[u8]) -> bool {
        let verifiers: &[&'static dyn VerificationAlgorithm] = match self.algorithm {
            KeyAlgorithm::EcdsaP256 => &[&alg::ECDSA_P256_SHA256_ASN1],
            KeyAlgorithm::EcdsaP384 => {
                &[&alg::ECDSA_P384_SHA384_ASN1, &alg::ECDSA_P384_SHA256_ASN1]
            }
            KeyAlgorithm::EcdsaP521 => {
                &[&alg::ECDSA_P521_SHA512_ASN1, &alg::ECDSA_P521_SHA256_ASN1]
            }
            KeyAlgorithm::Rsa(_) => self.verifiers(),
            KeyAlgorithm::Ed25519 => {
                return file
                    .prehash()
                    .is_some_and(|hash| self.verifies_ed25519ph(hash.clone(), signature));
            }
        };
        verifiers.iter().any(|verifier| {
            file.all().any(|digest| {
                UnparsedPublicKey::new(*verifier, &self.bits)
                    .verify_digest(digest, signature)
                    .is_ok()
            })
        })
    }

    /// Takes the bytes of a file, and says at their end whether a plain Ed25519 signature fits.
    pub(super) fn ed25519_stream(&self, signature: &[u8]) -> Option<ed25519_dalek::StreamVerifier> {
        let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
        self.ed25519()?.verify_stream(&signature).ok()
    }

    fn ed25519(&self) -> Option<ed25519_dalek::VerifyingKey> {
        if self.algorithm != KeyAlgorithm::Ed25519 {
            return None;
        }
        ed25519_dalek::VerifyingKey::from_bytes(self.bits.as_slice().try_into().ok()?).ok()
    }

    /// Ed25519ph (RFC 8032 §5.1) with an empty context, as the Go port signs. Its domain separation
    /// keeps it apart from plain Ed25519.
    fn verifies_ed25519ph(&self, message: ed25519_dalek::Sha512, signature: &[u8]) -> bool {
        let (Some(key), Ok(signature)) =
            (self.ed25519(), ed25519_dalek::Signature::from_slice(signature))
        else {
            return false;
        };
        key.verify_prehashed_strict(message, None, &signature).is_ok()
    }
}

fn algorithm(spki: &SubjectPublicKeyInfoRef<'_>, bits: &[u8]) -> Result<KeyAlgorithm, Fault> {
    let unsupported = |what: String| Fault::Key {
        detail: format!("{what} keys are not supported"),
        hint: Some(
            "supported are ECDSA on P-256, P-384 and P-521, Ed25519, and RSA from 3072 bits",
        ),
    };
    match spki.algorithm.oid {
        rfc5912::ID_EC_PUBLIC_KEY => {
            let curve = spki
                .algorithm
                .parameters
                .and_then(|p| p.decode_as::<ObjectIdentifier>().ok())
                .ok_or_else(|| unsupported("EC keys without a named curve:".into()))?;
            let (algorithm, point) = match curve {
                rfc5912::SECP_256_R_1 => (KeyAlgorithm::EcdsaP256, 65),
                rfc5912::SECP_384_R_1 => (KeyAlgorithm::EcdsaP384, 97),
                rfc5912::SECP_521_R_1 => (KeyAlgorithm::EcdsaP521, 133),
                other => return Err(unsupported(format!("EC (curve {other})"))),
            };
            if bits.len() != point || bits.first() != Some(&4) {
                return Err(Fault::Key {
                    detail: "the EC public key is not an uncompressed point".into(),
                    hint: Some(
                        "convert it once: openssl ec -pubin -in OLD.pem -pubout -conv_form uncompressed -out NEW.pem",
                    ),
                });
            }
            Ok(algorithm)
        }
        rfc8410::ID_ED_25519 => {
            if spki.algorithm.parameters.is_some() {
                return Err(Fault::key(
                    "the Ed25519 public key has parameters (RFC 8410 allows none)",
                ));
            }
            let bytes = <&[u8; 32]>::try_from(bits)
                .map_err(|_| Fault::key("the Ed25519 public key does not have 32 bytes"))?;
            // A point of small order verifies signatures that nobody made.
            match ed25519_dalek::VerifyingKey::from_bytes(bytes) {
                Ok(key) if !key.is_weak() => Ok(KeyAlgorithm::Ed25519),
                _ => Err(Fault::key("the ed25519 public key is not valid")),
            }
        }
        rfc5912::RSA_ENCRYPTION => {
            // One encoding, one fingerprint (RFC 3279 §2.3.1).
            if !spki.algorithm.parameters.is_some_and(|p| p.is_null()) {
                return Err(Fault::key("the RSA public key has parameters other than NULL"));
            }
            let size = alg::RsaParameters::public_modulus_len(bits)
                .map_err(|_| Fault::key("the RSA public key is malformed"))?;
            if size < RSA_BITS {
                return Err(Fault::Key {
                    detail: format!("the RSA key has {size} bits, expected at least {RSA_BITS}"),
                    hint: Some("make a new key: 'bulla key generate'"),
                });
            }
            if size > RSA_BITS_MAX {
                return Err(Fault::key(format!(
                    "the RSA key has {size} bits, expected at most {RSA_BITS_MAX}"
                )));
            }
            Ok(KeyAlgorithm::Rsa(size))
        }
        other => Err(unsupported(other.to_string())),
    }
}

/// `ecdsa-p256 key sha256:…`
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} key {}", self.algorithm, self.fingerprint())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads an RSA key that only ever signs certificates: 2048 bits are enough for those.
pub(super) fn verify_certificate_signature(
    issuer_spki: &[u8],
    verifier: &'static dyn VerificationAlgorithm,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let Ok(spki) = SubjectPublicKeyInfoRef::from_der(issuer_spki) else {
        return false;
    };
    let Some(bits) = spki.subject_public_key.as_bytes() else {
        return false;
    };
    UnparsedPublicKey::new(verifier, bits).verify(message, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_rsa_keys_are_refused() {
        let pem = "-----BEGIN PUBLIC KEY-----\n\
            MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAynroqDStQxcldgJlvypn\n\
            kHlTnn7UVx5nI+vgwETCcWqZ9RjNWU+lqEpPCn2NBJFOU6/gAEQBVlYy1EkT5SqU\n\
            giHTaGALYL7TOUcNgXV7kIGhq3s1xbUJIAixpjd7d3odBxkpavTQNCA/jLB1zY5W\n\
            lOuk6BxO6AMjAOgayVDVV8dmYJgv3sMTB74w8Wsk5+TGd/1LSEzVQiPpSLqVeg93\n\
            ET4PzsHGmGE29jdChiJPWtEpvlWIaXSShvwDATZSaq6epbeIYpOgh+VZBrvvPRqV\n\
            5UKPbZ9/Az0tUOocGwqZBOkauKLi2/MGn4Y/V/U+5Dy3pqWqn5IVx9VqAv4TuF5X\n\
            SwIDAQAB\n\
            -----END PUBLIC KEY-----\n";
        let fault = PublicKey::from_pem(pem, &Limits::default()).unwrap_err();
        assert!(fault.to_string().contains("2048 bits"), "{fault}");
    }

    /// One key, one encoding, one fingerprint.
    #[test]
    fn other_encodings_and_weak_points_are_refused() {
        use super::super::KeyPair;
        let ed = KeyPair::generate(KeyAlgorithm::Ed25519).unwrap().public().spki_der().to_vec();
        let with = |parameters: &[u8], point: &[u8]| {
            let mut der = vec![0x30, 42 + u8::try_from(parameters.len()).unwrap()];
            der.extend_from_slice(&[
                0x30,
                5 + u8::try_from(parameters.len()).unwrap(),
                6,
                3,
                43,
                101,
                112,
            ]);
            der.extend_from_slice(parameters);
            der.extend_from_slice(&[3, 33, 0]);
            der.extend_from_slice(point);
            der
        };
        let point = &ed[12..];
        assert_eq!(PublicKey::from_spki_der(&with(&[], point)).unwrap().spki_der(), ed);
        assert!(PublicKey::from_spki_der(&with(&[5, 0], point)).is_err());
        let mut identity = [0; 32];
        assert!(PublicKey::from_spki_der(&with(&[], &identity)).is_err());
        identity[0] = 1;
        assert!(PublicKey::from_spki_der(&with(&[], &identity)).is_err());

        let rsa = KeyPair::generate(KeyAlgorithm::Rsa(3072)).unwrap().public().spki_der().to_vec();
        // SEQUENCE (4) SEQUENCE (2) OID (11) NULL (2): without the NULL, two bytes shorter.
        assert_eq!(&rsa[17..19], [5, 0]);
        let mut without = rsa.clone();
        without.drain(17..19);
        without[3] -= 2;
        without[5] -= 2;
        let fault = PublicKey::from_spki_der(&without).unwrap_err();
        assert!(fault.to_string().contains("NULL"), "{fault}");
    }

    #[test]
    fn a_public_key_file_holds_one_public_key() {
        let key = super::super::KeyPair::generate(KeyAlgorithm::Ed25519).unwrap();
        let pem = key.public().to_pem();
        let limits = Limits::default();
        let read = |text: &str| PublicKey::from_pem(text, &limits);
        assert_eq!(&read(&pem).unwrap(), key.public());
        assert_eq!(&read(&format!("A comment.\n{pem}Another.\n")).unwrap(), key.public());
        assert_eq!(&read(&pem.replace('\n', "\r\n")).unwrap(), key.public());
        assert!(read(&format!("{pem}{pem}")).is_err());
        assert!(read(&key.to_plain_pem().unwrap()).is_err());
        assert!(read("").is_err());
    }
}
