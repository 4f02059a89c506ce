//! Any one file: signed and verified as cosign does, streamed, whatever its size.
//!
//! ```text
//! sign:    file ─ hash ─► FileToSign ─ Signer ─► bundle, checked with the public half
//! verify:  signature file ─► UnverifiedFileSignature ─ verify(file) ─► Authenticated<Digest>
//! ```
//!
//! What looks like the encoding that an envelope is signed over is never signed here: such a signature would be
//! one of a model (rule 2). For the same reason a digest alone can be verified, and not signed.

use jiff::Timestamp;

use crate::bundle::{self, Evidence, MEDIA_TYPE, Material, ToWrite};
use crate::digest::{Digest, HashAlgorithm};
use crate::error::{Failure, Fault, Reason};
use crate::limits::Limits;
use crate::sign::{Signed, Signer, ToSign};
use crate::trust::{
    Artifact, FileHashes, FileSignature, FileToSign, KeyAlgorithm, PublicKey, Trust, Unverified,
};
use crate::verify::{Authenticated, Checked, candidates, check_signature};

pub use crate::bundle::UnverifiedFileSignature;
pub use crate::trust::{BlobSource, FileBytes};

/// A signed file.
#[derive(Debug)]
pub struct SignedFile {
    /// The bundle.
    pub bundle: Vec<u8>,
    /// The bare signature.
    pub signature: Vec<u8>,
    /// What to tell verifiers about the key.
    pub material: Material,
    /// What logs and timestamp authorities said.
    pub evidence: Evidence,
    /// SHA-256 of the file.
    pub digest: Digest,
    /// Bytes in it.
    pub size: u64,
    /// The key that signed.
    pub key: PublicKey,
}

/// Signs a file, and checks the result.
///
/// # Errors
/// [`Reason::LooksLikeEnvelope`]; a [`Fault`] when it cannot be read or signed.
pub fn sign(
    source: &dyn BlobSource,
    signer: &dyn Signer,
    limits: &Limits,
) -> Result<SignedFile, Failure> {
    // Every kind: which key signs is the signer's to say.
    let kinds = [KeyAlgorithm::EcdsaP384, KeyAlgorithm::EcdsaP521, KeyAlgorithm::Ed25519];
    let kinds = signer.algorithm().map_or_else(|| kinds.to_vec(), |one| vec![one]);
    let hashes = FileHashes::read(source, &kinds, &mut [])?;
    if hashes.begins_as_envelope() {
        return Err(Reason::LooksLikeEnvelope { name: source.name().to_owned() }.into());
    }
    let file = FileToSign { hashes, source };
    let Signed { signature, material, evidence, key } = signer.sign(ToSign::File(&file))?;
    let digest = file.hashes().sha256();
    let content = ToWrite::Message { sha256: digest.as_bytes(), signature: &signature };
    let bundle = bundle::encode_as(MEDIA_TYPE, &material, &evidence, content);

    // Read back as a verifier would.
    let read = UnverifiedFileSignature::parse(&bundle, None, limits)
        .map_err(|_| Fault::Bug { what: "the new signature cannot be read back" })?;
    if read.material != material || read.evidence != evidence || read.signature != signature {
        return Err(Fault::Bug { what: "the new signature does not say what was signed" }.into());
    }
    if !fits_again(&file, &key, &signature)? {
        return Err(Fault::SignerBroken.into());
    }
    let size = file.hashes().size();
    Ok(SignedFile { bundle, signature, material, evidence, digest, size, key })
}

/// Whether the signature fits. Of Ed25519 the file has to be seen once more.
fn fits_again(file: &FileToSign<'_>, key: &PublicKey, signature: &[u8]) -> Result<bool, Fault> {
    if key.algorithm() == KeyAlgorithm::Ed25519 {
        return Ok(FileSignature::read(file.source, &[key], signature)?.fits(key, signature));
    }
    Ok(FileSignature::of_hashes(file.hashes().clone()).fits(key, signature))
}

/// What is verified.
pub enum Blob<'a> {
    /// A file.
    File(&'a dyn BlobSource),
    /// A file of which only the SHA-256 digest is at hand.
    Sha256(Digest),
}

impl UnverifiedFileSignature {
    /// Checks the signature of a file against those whom the caller trusts; the result holds the file's SHA-256.
    ///
    /// # Errors
    /// A [`Refusal`](crate::Refusal) with every reason, or a [`Fault`] when the file cannot be read.
    pub fn verify(
        &self,
        blob: &Blob<'_>,
        trust: &Trust,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<Authenticated<Digest>, Failure> {
        let (digest, checked) = self.check(blob, trust, now, limits)?;
        Ok(Authenticated::of(digest, checked).0)
    }

    /// The checks, and what they leave to be said of the file.
    pub(crate) fn check(
        &self,
        blob: &Blob<'_>,
        trust: &Trust,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<(Digest, Checked<()>), Failure> {
        // 1. Whose signature it could be.
        let keys = candidates(trust, &self.material)?;
        // 2. One pass over the file for all of them.
        let signature = match blob {
            Blob::File(source) => {
                let keys: Vec<&PublicKey> = keys.iter().collect();
                FileSignature::read(*source, &keys, &self.signature)?
            }
            Blob::Sha256(known) => {
                let signature = FileSignature::of_sha256(known).ok_or(Fault::Key {
                    detail: "only a SHA-256 digest can stand for a file".into(),
                    hint: Some("give sha256: and 64 hexadecimal digits, or the file itself"),
                })?;
                let fits = |key: &PublicKey| signature.fits(key, &self.signature);
                if let Some(key) = keys.iter().find(|key| !signs_sha256(key))
                    && !keys.iter().any(fits)
                {
                    return Err(Fault::Key {
                        detail: format!(
                            "the {key} signs other digests than SHA-256, so this digest is not enough"
                        ),
                        hint: Some("give the file itself"),
                    }
                    .into());
                }
                signature
            }
        };
        // A model's signature is made over such bytes: it is none of a file (rule 2).
        if let Blob::File(source) = blob
            && signature.hashes().begins_as_envelope()
        {
            return Err(Reason::LooksLikeEnvelope { name: source.name().to_owned() }.into());
        }
        let digest = signature.hashes().sha256();
        // 3. What the bundle says the file is: a hint, and the clearest way to say that it is another.
        if let Some(said) = &self.digest
            && said.algorithm == "SHA2_256"
            && said.digest != digest.as_bytes()
        {
            return Err(Reason::OtherFile {
                found: digest.to_string(),
                signed: Digest::from_bytes(HashAlgorithm::Sha256, &said.digest).to_string(),
            }
            .into());
        }
        // 4. The signature and the evidence.
        let unverified = Unverified {
            media_type: self.media_type,
            material: &self.material,
            evidence: &self.evidence,
            content: ToWrite::Message { sha256: digest.as_bytes(), signature: &self.signature },
        };
        let fits = |key: &PublicKey| signature.fits(key, &self.signature).then_some(());
        let all_sha256 = keys.iter().all(signs_sha256);
        let artifact = || match blob {
            // Other hashes than SHA-256 the Sigstore crates compute themselves.
            Blob::File(source) if !all_sha256 => source.open().ok().map(Artifact::File),
            _ => Some(Artifact::Sha256(digest)),
        };
        Ok((digest, check_signature(trust, &unverified, fits, artifact, now, limits)?))
    }
}

fn signs_sha256(key: &PublicKey) -> bool {
    matches!(key.algorithm(), KeyAlgorithm::EcdsaP256 | KeyAlgorithm::Rsa(_))
}
