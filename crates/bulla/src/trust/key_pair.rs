//! Private keys in files: PKCS#8, SEC1, PKCS#1, encrypted PKCS#8 and cosign's own encryption.

use std::fmt;

use aws_lc_rs::encoding::{AsBigEndian, AsDer, Curve25519SeedBin, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    self as alg, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
};
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5912, rfc8410};
use der::Decode as _;
use pkcs8::pkcs5::pbes2;
use pkcs8::{EncryptedPrivateKeyInfo, PrivateKeyInfo};
use zeroize::Zeroizing;

use super::file_hash::FileToSign;
use super::public_key::{KeyAlgorithm, PublicKey};
use super::{cosign_key, pem};
use crate::error::Fault;
use crate::limits::Limits;

/// A password. It is wiped from memory when dropped, and never shown.
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    /// Takes a password over.
    #[must_use]
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// Whether it has no characters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// A private key with its public half. The private half is held by the cryptographic library, which
/// wipes it, and is never shown.
pub struct KeyPair {
    public: PublicKey,
    secret: Secret,
}

enum Secret {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public).finish_non_exhaustive()
    }
}

/// How a private key file is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFileFormat {
    /// Encrypted PKCS#8 (`ENCRYPTED PRIVATE KEY`): scrypt and AES-256. OpenSSL and Python read it.
    Pkcs8,
    /// cosign's (`ENCRYPTED SIGSTORE PRIVATE KEY`): scrypt and NaCl's secretbox.
    Cosign,
}

/// What a private key file is, as far as can be told without its password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrivateKeyFile {
    /// Not encrypted.
    Plain,
    /// Encrypted in this way.
    Encrypted(KeyFileFormat),
}

/// PKCS#8 v1 or v2, DER; wiped when dropped.
type Pkcs8Der = Zeroizing<Vec<u8>>;

impl KeyPair {
    /// Makes a new key.
    ///
    /// # Errors
    /// [`Fault::Key`] for an RSA size other than 3072, 4096 or 8192 bits.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, Fault> {
        let failed = |_| Fault::Bug { what: "a key could not be generated" };
        let secret = match ecdsa(algorithm) {
            Some(curve) => Secret::Ecdsa(EcdsaKeyPair::generate(curve).map_err(failed)?),
            None => match algorithm {
                KeyAlgorithm::Rsa(bits) => {
                    let size = match bits {
                        3072 => KeySize::Rsa3072,
                        4096 => KeySize::Rsa4096,
                        8192 => KeySize::Rsa8192,
                        _ => {
                            return Err(Fault::key(format!(
                                "an RSA key of {bits} bits cannot be made, expected 3072, 4096 or 8192"
                            )));
                        }
                    };
                    Secret::Rsa(Box::new(RsaKeyPair::generate(size).map_err(failed)?))
                }
                _ => Secret::Ed25519(Ed25519KeyPair::generate().map_err(failed)?),
            },
        };
        Self::new(secret)
    }

    /// What kind of private key file a text is; `None` if it is none.
    #[must_use]
    pub fn file_kind(text: &str, limits: &Limits) -> Option<PrivateKeyFile> {
        let blocks = pem::blocks(text, limits).ok()?;
        private_block(&blocks).map(|block| match block.label {
            "ENCRYPTED PRIVATE KEY" => PrivateKeyFile::Encrypted(KeyFileFormat::Pkcs8),
            label if cosign_key::LABELS.contains(&label) => {
                PrivateKeyFile::Encrypted(KeyFileFormat::Cosign)
            }
            _ => PrivateKeyFile::Plain,
        })
    }

    /// Reads a private key from PEM. `password` is asked for only if the key is encrypted.
    ///
    /// # Errors
    /// [`Fault::Key`] when it is not a usable private key, [`Fault::PasswordNeeded`] and
    /// [`Fault::WrongPassword`] when it cannot be opened.
    pub fn from_pem(
        text: &str,
        limits: &Limits,
        password: impl FnOnce() -> Result<Password, Fault>,
    ) -> Result<Self, Fault> {
        let blocks = pem::blocks(text, limits)?;
        let Some(block) = private_block(&blocks) else {
            if blocks.iter().any(|block| block.label == "OPENSSH PRIVATE KEY") {
                return Err(Fault::Key {
                    detail: "it is a private key in OpenSSH's own format".into(),
                    hint: Some("convert a copy of it: ssh-keygen -p -m PKCS8 -f COPY"),
                });
            }
            let found = match blocks.first() {
                Some(block) => format!("it is a PEM {}, expected a private key", block.label),
                None => "it is not a PEM private key".into(),
            };
            return Err(Fault::Key {
                detail: found,
                hint: Some(
                    "make one with 'bulla key generate', or give the private half of the pair",
                ),
            });
        };
        let der = block.decode()?;
        match block.label {
            "PRIVATE KEY" => Self::from_pkcs8(&der),
            "EC PRIVATE KEY" => Self::from_sec1(&der),
            "RSA PRIVATE KEY" => {
                let key = RsaKeyPair::from_der(&der)
                    .map_err(|_| Fault::key("its RSA PRIVATE KEY is malformed"))?;
                Self::new(Secret::Rsa(Box::new(key)))
            }
            "ENCRYPTED PRIVATE KEY" => Self::from_pkcs8(&decrypt_pkcs8(&der, &password()?)?),
            _ => Self::from_pkcs8(&cosign_key::decrypt(&der, &password()?)?),
        }
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, Fault> {
        let rejected = |_| Fault::key("its private key is malformed");
        let info = PrivateKeyInfo::from_der(der)
            .map_err(|_| Fault::key("its private key is malformed"))?;
        let secret = match info.algorithm.oid {
            rfc5912::ID_EC_PUBLIC_KEY => {
                let curve = info.algorithm.parameters_oid().ok();
                Secret::Ecdsa(EcdsaKeyPair::from_pkcs8(curve_of(curve)?, der).map_err(rejected)?)
            }
            rfc8410::ID_ED_25519 => {
                Secret::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(rejected)?)
            }
            rfc5912::RSA_ENCRYPTION => {
                Secret::Rsa(Box::new(RsaKeyPair::from_pkcs8(der).map_err(rejected)?))
            }
            other => {
                return Err(Fault::Key {
                    detail: format!("private keys of kind {other} are not supported"),
                    hint: Some(
                        "supported are ECDSA on P-256, P-384 and P-521, Ed25519, and RSA from 3072 bits",
                    ),
                });
            }
        };
        Self::new(secret)
    }

    /// RFC 5915, which names the curve inside.
    fn from_sec1(der: &[u8]) -> Result<Self, Fault> {
        let pair = EcdsaKeyPair::from_private_key_der(curve_of(sec1_curve(der))?, der)
            .map_err(|_| Fault::key("its EC PRIVATE KEY is malformed"))?;
        Self::new(Secret::Ecdsa(pair))
    }

    fn new(secret: Secret) -> Result<Self, Fault> {
        let spki = |der: Result<PublicKeyX509Der<'_>, _>| {
            der.map(|der| der.as_ref().to_vec()).map_err(|_: aws_lc_rs::error::Unspecified| {
                Fault::key("its public half cannot be computed")
            })
        };
        let public = PublicKey::from_spki_der(&spki(match &secret {
            Secret::Ecdsa(key) => key.public_key().as_der(),
            Secret::Ed25519(key) => key.public_key().as_der(),
            Secret::Rsa(key) => key.public_key().as_der(),
        })?)?;
        Ok(Self { public, secret })
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a message in the way of its kind ([`KeyAlgorithm`]).
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        let failed = |_| Fault::Bug { what: "the key could not sign" };
        let random = SystemRandom::new();
        match &self.secret {
            Secret::Ecdsa(key) => Ok(key.sign(&random, message).map_err(failed)?.as_ref().to_vec()),
            Secret::Ed25519(key) => Ok(key.try_sign(message).map_err(failed)?.as_ref().to_vec()),
            Secret::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&alg::RSA_PSS_SHA256, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
        }
    }

    /// Signs a digest of the algorithm that goes with its kind.
    pub(super) fn sign_digest(&self, digest: &aws_lc_rs::digest::Digest) -> Result<Vec<u8>, Fault> {
        let failed = |_| Fault::Bug { what: "the key could not sign" };
        match &self.secret {
            Secret::Ecdsa(key) => Ok(key.sign_digest(digest).map_err(failed)?.as_ref().to_vec()),
            Secret::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign_digest(&alg::RSA_PKCS1_SHA256, digest, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            Secret::Ed25519(_) => Err(Fault::Bug { what: "Ed25519 signs no digest" }),
        }
    }

    /// Plain Ed25519 over a file, which is read twice (RFC 8032 §5.1.6). Had the second pass seen something else
    /// than the first, two such signatures would give the key away: then none is made.
    pub(super) fn sign_ed25519(&self, file: &FileToSign<'_>) -> Result<Vec<u8>, Fault> {
        use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign_byupdate};
        use ed25519_dalek::{Digest as _, Sha512, SignatureError, VerifyingKey};
        let failed = || Fault::Bug { what: "the key could not sign" };
        let Secret::Ed25519(key) = &self.secret else { return Err(failed()) };
        let seed = key.seed().map_err(|_| failed())?;
        let seed =
            AsBigEndian::<Curve25519SeedBin<'_>>::as_be_bytes(&seed).map_err(|_| failed())?;
        // Both wipe themselves.
        let seed: Zeroizing<[u8; 32]> =
            Zeroizing::new(seed.as_ref().try_into().map_err(|_| failed())?);
        let secret = ExpandedSecretKey::from_bytes(&Zeroizing::new(Sha512::digest(*seed).into()));
        let public = <&[u8; 32]>::try_from(key.public_key().as_ref()).map_err(|_| failed())?;
        let public = VerifyingKey::from_bytes(public).map_err(|_| failed())?;
        let problem = std::cell::RefCell::new(None);
        let expected = file.hashes.prehash().ok_or_else(failed)?.clone().finalize();
        let give = |hasher: &mut Sha512| {
            let mut seen = Sha512::new();
            let read = file.reread(|bytes| {
                hasher.update(bytes);
                seen.update(bytes);
            });
            let name = || std::path::Path::new(file.source.name());
            let fault = match read {
                Err(e) => Some(Fault::io("read", name(), e)),
                Ok(()) if seen.finalize() != expected => {
                    Some(Fault::Changed { path: file.source.name().to_owned() })
                }
                Ok(()) => None,
            };
            match fault {
                None => Ok(()),
                Some(fault) => {
                    problem.replace(Some(fault));
                    Err(SignatureError::new())
                }
            }
        };
        let signature = raw_sign_byupdate::<Sha512, _>(&secret, give, &public);
        signature
            .map(|signature| signature.to_bytes().to_vec())
            .map_err(|_| problem.take().unwrap_or_else(failed))
    }

    /// Its PEM, not encrypted. Whoever can read it can sign.
    ///
    /// # Errors
    /// [`Fault::Bug`] when the library cannot export it.
    pub fn to_plain_pem(&self) -> Result<Zeroizing<String>, Fault> {
        to_pem("PRIVATE KEY", &self.to_pkcs8()?)
    }

    /// Its PEM, encrypted.
    ///
    /// # Errors
    /// [`Fault::Bug`] when the library cannot export it.
    pub fn to_encrypted_pem(
        &self,
        format: KeyFileFormat,
        password: &Password,
    ) -> Result<Zeroizing<String>, Fault> {
        let der = self.to_pkcs8()?;
        match format {
            KeyFileFormat::Pkcs8 => {
                to_pem("ENCRYPTED PRIVATE KEY", &encrypt_pkcs8(&der, password)?)
            }
            KeyFileFormat::Cosign => {
                to_pem(cosign_key::LABELS[0], &cosign_key::encrypt(&der, password)?)
            }
        }
    }

    fn to_pkcs8(&self) -> Result<Pkcs8Der, Fault> {
        let failed = |_| Fault::Bug { what: "the key could not be exported" };
        let der = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
        Ok(match &self.secret {
            Secret::Ecdsa(key) => der(key.to_pkcs8v1().map_err(failed)?.as_ref()),
            Secret::Ed25519(key) => der(key.to_pkcs8v1().map_err(failed)?.as_ref()),
            Secret::Rsa(key) => {
                let exported: Pkcs8V1Der<'_> = key.as_der().map_err(failed)?;
                der(exported.as_ref())
            }
        })
    }
}

fn private_block<'a, 'b>(blocks: &'b [pem::Block<'a>]) -> Option<&'b pem::Block<'a>> {
    let known = |label: &str| {
        matches!(
            label,
            "PRIVATE KEY" | "EC PRIVATE KEY" | "RSA PRIVATE KEY" | "ENCRYPTED PRIVATE KEY"
        ) || cosign_key::LABELS.contains(&label)
    };
    blocks.iter().find(|block| known(block.label))
}

fn ecdsa(algorithm: KeyAlgorithm) -> Option<&'static EcdsaSigningAlgorithm> {
    match algorithm {
        KeyAlgorithm::EcdsaP256 => Some(&alg::ECDSA_P256_SHA256_ASN1_SIGNING),
        KeyAlgorithm::EcdsaP384 => Some(&alg::ECDSA_P384_SHA384_ASN1_SIGNING),
        KeyAlgorithm::EcdsaP521 => Some(&alg::ECDSA_P521_SHA512_ASN1_SIGNING),
        KeyAlgorithm::Ed25519 | KeyAlgorithm::Rsa(_) => None,
    }
}

fn curve_of(curve: Option<ObjectIdentifier>) -> Result<&'static EcdsaSigningAlgorithm, Fault> {
    let algorithm = match curve {
        Some(rfc5912::SECP_256_R_1) => ecdsa(KeyAlgorithm::EcdsaP256),
        Some(rfc5912::SECP_384_R_1) => ecdsa(KeyAlgorithm::EcdsaP384),
        Some(rfc5912::SECP_521_R_1) => ecdsa(KeyAlgorithm::EcdsaP521),
        _ => None,
    };
    algorithm.ok_or_else(|| Fault::Key {
        detail: match curve {
            Some(curve) => format!("EC keys on the curve {curve} are not supported"),
            None => "the EC key names no curve".into(),
        },
        hint: Some("supported curves are P-256, P-384 and P-521"),
    })
}

/// The curve in an RFC 5915 `ECPrivateKey`: `SEQUENCE { version, octets, [0] OID, … }`.
fn sec1_curve(der: &[u8]) -> Option<ObjectIdentifier> {
    use der::asn1::{ContextSpecific, OctetStringRef};
    use der::{Reader as _, SliceReader, TagNumber};
    let mut reader = SliceReader::new(der).ok()?;
    reader
        .sequence(|r| {
            let _version = u8::decode(r)?;
            let _secret = OctetStringRef::decode(r)?;
            let curve = ContextSpecific::<ObjectIdentifier>::decode_explicit(r, TagNumber::N0)?
                .map(|c| c.value);
            // The public key, if it is there, is for the library to check.
            while !r.is_finished() {
                r.tlv_bytes()?;
            }
            Ok(curve)
        })
        .ok()
        .flatten()
}

/// Work factors that are accepted when reading: a hostile file must not cost minutes or gigabytes.
const MAX_SCRYPT_BYTES: u64 = 512 << 20;
const MAX_SCRYPT_PARALLEL: u64 = 16;
const MAX_PBKDF2_ROUNDS: u32 = 10_000_000;

fn decrypt_pkcs8(der: &[u8], password: &Password) -> Result<Pkcs8Der, Fault> {
    let unsupported = || Fault::Key {
        detail: "the way in which it is encrypted is not supported".into(),
        hint: Some(
            "convert it once: openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD.pem -out NEW.pem",
        ),
    };
    let info = EncryptedPrivateKeyInfo::from_der(der).map_err(|_| unsupported())?;
    let affordable = match info.encryption_algorithm.pbes2().map(|p| &p.kdf) {
        Some(pbes2::Kdf::Scrypt(kdf)) => {
            let (n, r, p) =
                (kdf.cost_parameter, u64::from(kdf.block_size), u64::from(kdf.parallelization));
            n.saturating_mul(r).saturating_mul(128) <= MAX_SCRYPT_BYTES && p <= MAX_SCRYPT_PARALLEL
        }
        Some(pbes2::Kdf::Pbkdf2(kdf)) => kdf.iteration_count <= MAX_PBKDF2_ROUNDS,
        _ => return Err(unsupported()),
    };
    if !affordable {
        return Err(Fault::key(
            "opening it would take more work than is spent on any honest key file",
        ));
    }
    let opened = info.decrypt(password.expose()).map_err(|_| Fault::WrongPassword)?;
    Ok(Zeroizing::new(opened.as_bytes().to_vec()))
}

fn encrypt_pkcs8(der: &[u8], password: &Password) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let bug = || Fault::Bug { what: "the key could not be encrypted" };
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    fill(&mut salt)?;
    fill(&mut iv)?;
    // 16 MiB and five passes: as much as OpenSSL is willing to read back by default.
    let scrypt = pkcs8::pkcs5::scrypt::Params::new(14, 8, 5, 32).map_err(|_| bug())?;
    let parameters = pbes2::Parameters::scrypt_aes256cbc(scrypt, &salt, &iv).map_err(|_| bug())?;
    let document = PrivateKeyInfo::from_der(der)
        .and_then(|info| {
            info.encrypt_with_params(parameters, password.expose())
                .map_err(|_| der::ErrorKind::Failed.into())
        })
        .map_err(|_| bug())?;
    Ok(Zeroizing::new(document.as_bytes().to_vec()))
}

pub(super) fn fill(bytes: &mut [u8]) -> Result<(), Fault> {
    SystemRandom::new().fill(bytes).map_err(|_| Fault::Bug { what: "no randomness" })
}

fn to_pem(label: &str, der: &[u8]) -> Result<Zeroizing<String>, Fault> {
    der::pem::encode_string(label, der::pem::LineEnding::LF, der)
        .map(Zeroizing::new)
        .map_err(|_| Fault::Bug { what: "the key could not be written as PEM" })
}
