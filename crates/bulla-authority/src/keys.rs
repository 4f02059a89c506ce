//! The authority's keys: one for each thing that it vouches for, none used for two.

use std::fmt;
use std::path::Path;

use bulla::{
    Access, Existing, Fault, KeyAlgorithm, KeyFileFormat, KeyPair, KeySigner, Limits, Password,
    PublicKey, Signer, sign::ToSign,
};

/// Folder of the keys that are not replaced with a generation.
pub(crate) const FOLDER: &str = "keys";

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Certifies the issuing authority; best kept away from the server afterwards.
    Root,
    /// Certifies signers.
    Issuing,
    /// Signs certificate timestamps, and the checkpoints of the log of certificates.
    CtLog,
    /// Signs the older log's entry timestamps and checkpoints.
    RekorV1,
    /// Signs the log's checkpoints.
    RekorV2,
    /// Certifies the timestamp authority; best kept away from the server afterwards.
    TimestampRoot,
    /// Signs timestamps.
    Timestamp,
    /// Signs the development issuer's tokens; only a development authority has it.
    DevIssuer,
    /// Cosigns the checkpoints of other logs.
    Witness,
    /// Says which key signs the update repository (TUF); best kept away from the server afterwards.
    TufRoot,
    /// Signs the update repository's other documents.
    Tuf,
}

impl Role {
    /// The roles that every authority has.
    pub(crate) const ALL: [Self; 7] = [
        Self::Root,
        Self::Issuing,
        Self::CtLog,
        Self::RekorV1,
        Self::RekorV2,
        Self::TimestampRoot,
        Self::Timestamp,
    ];

    /// Name of its file.
    pub(crate) fn file_name(self) -> &'static str {
        match self {
            Self::Root => "root.key",
            Self::Issuing => "issuing.key",
            Self::CtLog => "ct-log.key",
            Self::RekorV1 => "rekor-v1.key",
            Self::RekorV2 => "rekor-v2.key",
            Self::TimestampRoot => "timestamp-root.key",
            Self::Timestamp => "timestamp.key",
            Self::DevIssuer => "development-issuer.key",
            Self::Witness => "witness.key",
            Self::TufRoot => "tuf-root.key",
            Self::Tuf => "tuf.key",
        }
    }

    /// The kind of key that clients accept in this role.
    pub(crate) fn algorithm(self) -> KeyAlgorithm {
        match self {
            Self::Root | Self::Issuing | Self::TimestampRoot => KeyAlgorithm::EcdsaP384,
            Self::CtLog | Self::RekorV1 | Self::Timestamp | Self::DevIssuer => {
                KeyAlgorithm::EcdsaP256
            }
            Self::RekorV2 | Self::Witness | Self::TufRoot | Self::Tuf => KeyAlgorithm::Ed25519,
        }
    }
}

/// A key that this process signs with: in a file, or behind any [`Signer`].
pub struct ServiceKey {
    signer: Box<dyn Signer + Send + Sync>,
    public: PublicKey,
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceKey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl Signer for ServiceKey {
    fn sign(&self, what: ToSign<'_>) -> Result<bulla::sign::Signed, Fault> {
        self.signer.sign(what)
    }
}

impl ServiceKey {
    /// Takes a signer over; `public` is what its signatures verify with.
    pub fn new(signer: impl Signer + Send + Sync + 'static, public: PublicKey) -> Self {
        Self { signer: Box::new(signer), public }
    }

    /// A key in memory.
    #[must_use]
    pub fn from_pair(pair: KeyPair) -> Self {
        let public = pair.public().clone();
        Self::new(KeySigner::new(pair), public)
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// SHA-256 of the `SubjectPublicKeyInfo`: how logs with ECDSA keys are named.
    #[must_use]
    pub fn id(&self) -> [u8; 32] {
        sha256(self.public.spki_der())
    }

    /// Signs in the way of the key's kind.
    ///
    /// # Errors
    /// A [`Fault`] when the signer cannot, or signs with another key than it said.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        let signed = self.signer.sign(ToSign::Message(message))?;
        if signed.key != self.public {
            return Err(Fault::SignerBroken);
        }
        Ok(signed.signature)
    }
}

/// How key files are protected.
#[derive(Debug)]
pub enum Protection<'a> {
    /// Encrypted with a password.
    Password(&'a Password),
    /// Not encrypted: whoever can read them is the authority.
    None,
}

/// Makes a key, and stores it below a folder.
pub(crate) fn generate(
    folder: &Path,
    role: Role,
    protection: &Protection<'_>,
) -> Result<ServiceKey, Fault> {
    let pair = KeyPair::generate(role.algorithm())?;
    let pem = match protection {
        Protection::Password(password) => pair.to_encrypted_pem(KeyFileFormat::Pkcs8, password)?,
        Protection::None => pair.to_plain_pem()?,
    };
    let path = folder.join(role.file_name());
    bulla::store(&path, pem.as_bytes(), Access::Private, Existing::Keep)?;
    Ok(ServiceKey::from_pair(pair))
}

/// Reads a key; `password` is asked for only if the file is encrypted.
pub(crate) fn load(
    folder: &Path,
    role: Role,
    password: &dyn Fn() -> Result<Password, Fault>,
) -> Result<ServiceKey, Fault> {
    let path = folder.join(role.file_name());
    let limits = Limits::default();
    let io = |e| Fault::io("read", &path, e);
    let size = std::fs::metadata(&path).map_err(io)?.len();
    if size > limits.pem_bytes {
        return Err(io(std::io::Error::other("it is too large for a key")));
    }
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(&path).map_err(io)?);
    let pair = KeyPair::from_pem(&text, &limits, password)?;
    if pair.public().algorithm() != role.algorithm() {
        return Err(Fault::Key {
            detail: format!(
                "{} is of kind {}, expected {}",
                path.display(),
                pair.public().algorithm(),
                role.algorithm()
            ),
            hint: Some("each of an authority's keys has one kind, which its clients expect"),
        });
    }
    Ok(ServiceKey::from_pair(pair))
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Fault> {
    use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Fault::Bug { what: "no randomness" })?;
    Ok(bytes)
}
