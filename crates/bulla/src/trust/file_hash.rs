//! The hashes that signatures of a file are made over, in one pass, whatever its size.
//!
//! ECDSA and RSA sign a digest. Ed25519 signs the message itself: to verify, one pass is enough, for the
//! signature is known; to sign takes two, and the second has to see what the first saw.

use std::io::{self, Read};
use std::sync::Arc;

use aws_lc_rs::digest::{self, Context};
use ed25519_dalek::{Digest as _, Sha512, StreamVerifier};

use super::key_pair::KeyPair;
use super::public_key::{KeyAlgorithm, PublicKey};
use crate::digest::{Digest, HashAlgorithm};
use crate::error::Fault;

/// A file that can be read from its beginning, more than once.
pub trait BlobSource {
    /// Its name, for messages.
    fn name(&self) -> &str;
    /// Opens it at its beginning.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self) -> io::Result<Box<dyn Read>>;
}

/// A file that was read.
#[derive(Debug, Clone)]
pub struct FileBytes {
    name: String,
    bytes: Arc<[u8]>,
}

impl FileBytes {
    /// Of this name, with these contents.
    #[must_use]
    pub fn new(name: impl Into<String>, bytes: &[u8]) -> Self {
        Self { name: name.into(), bytes: bytes.into() }
    }
}

impl BlobSource for FileBytes {
    fn name(&self) -> &str {
        &self.name
    }

    fn open(&self) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(io::Cursor::new(self.bytes.clone())))
    }
}

/// Digests of a file, as far as they were asked for.
#[derive(Clone)]
pub struct FileHashes {
    sha256: digest::Digest,
    sha384: Option<digest::Digest>,
    sha512: Option<digest::Digest>,
    /// For Ed25519, whose library takes a hasher and no digest.
    prehash: Option<Sha512>,
    /// The first bytes.
    head: Vec<u8>,
    size: u64,
}

impl std::fmt::Debug for FileHashes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileHashes({}, {} bytes)", self.sha256(), self.size)
    }
}

/// How much of the beginning is kept.
const HEAD: usize = 16;
/// How much is read at once.
const CHUNK: usize = 256 << 10;

impl FileHashes {
    /// Reads a file for signatures by these kinds of keys. `streams` see every byte, too.
    pub(crate) fn read(
        source: &dyn BlobSource,
        keys: &[KeyAlgorithm],
        streams: &mut [StreamVerifier],
    ) -> Result<Self, Fault> {
        let io = |doing| move |e| Fault::io(doing, std::path::Path::new(source.name()), e);
        let has = |wanted: &[KeyAlgorithm]| keys.iter().any(|key| wanted.contains(key));
        let mut sha256 = Context::new(&digest::SHA256);
        let mut sha384 = has(&[KeyAlgorithm::EcdsaP384]).then(|| Context::new(&digest::SHA384));
        let mut sha512 = has(&[KeyAlgorithm::EcdsaP521]).then(|| Context::new(&digest::SHA512));
        let mut prehash = has(&[KeyAlgorithm::Ed25519]).then(Sha512::new);
        let mut head = Vec::new();
        let mut size = 0;
        let mut file = source.open().map_err(io("open"))?;
        let mut buffer = vec![0; CHUNK];
        loop {
            let got = match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(got) => got,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(io("read")(e)),
            };
            let bytes = buffer.get(..got).unwrap_or_default();
            head.extend(bytes.iter().take(HEAD.saturating_sub(head.len())));
            size += got as u64;
            sha256.update(bytes);
            sha384.iter_mut().chain(&mut sha512).for_each(|context| context.update(bytes));
            prehash.iter_mut().for_each(|hasher| hasher.update(bytes));
            streams.iter_mut().for_each(|stream| stream.update(bytes));
        }
        let finish = |context: Option<Context>| context.map(Context::finish);
        Ok(Self {
            sha256: sha256.finish(),
            sha384: finish(sha384),
            sha512: finish(sha512),
            prehash,
            head,
            size,
        })
    }

    /// A file of which only the SHA-256 digest is known.
    pub(crate) fn of_sha256(known: &Digest) -> Option<Self> {
        let sha256 = digest::Digest::import_less_safe(known.as_bytes(), &digest::SHA256).ok()?;
        Some(Self { sha256, sha384: None, sha512: None, prehash: None, head: Vec::new(), size: 0 })
    }

    /// SHA-256 of the file.
    #[must_use]
    pub fn sha256(&self) -> Digest {
        Digest::from_bytes(HashAlgorithm::Sha256, self.sha256.as_ref())
    }

    /// Bytes in it.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether it begins as what an envelope's signature is made over: whoever signs it signs that envelope (rule 2).
    pub(crate) fn begins_as_envelope(&self) -> bool {
        self.head.get(..7).is_some_and(|head| head.eq_ignore_ascii_case(b"DSSEv1 "))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &digest::Digest> {
        std::iter::once(&self.sha256).chain(&self.sha384).chain(&self.sha512)
    }

    pub(super) fn prehash(&self) -> Option<&Sha512> {
        self.prehash.as_ref()
    }

    pub(super) fn preferred(&self, key: KeyAlgorithm) -> Option<&digest::Digest> {
        match key {
            KeyAlgorithm::EcdsaP256 | KeyAlgorithm::Rsa(_) => Some(&self.sha256),
            KeyAlgorithm::EcdsaP384 => self.sha384.as_ref(),
            KeyAlgorithm::EcdsaP521 => self.sha512.as_ref(),
            KeyAlgorithm::Ed25519 => None,
        }
    }
}

/// A file that is to be signed.
pub struct FileToSign<'a> {
    pub(crate) hashes: FileHashes,
    pub(crate) source: &'a dyn BlobSource,
}

impl std::fmt::Debug for FileToSign<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.hashes.fmt(f)
    }
}

impl FileToSign<'_> {
    /// Its digests.
    #[must_use]
    pub fn hashes(&self) -> &FileHashes {
        &self.hashes
    }

    /// Hands all its bytes on, once more.
    pub(super) fn reread(&self, mut to: impl FnMut(&[u8])) -> io::Result<()> {
        let mut file = self.source.open()?;
        let mut buffer = vec![0; CHUNK];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(got) => to(buffer.get(..got).unwrap_or_default()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// Looks whether keys made a signature over a file, without holding the file.
pub(crate) struct FileSignature {
    hashes: FileHashes,
    /// Of each Ed25519 key: whether the plain signature fits.
    plain: Vec<(PublicKey, bool)>,
}

impl FileSignature {
    /// Reads the file once for all these keys.
    pub(crate) fn read(
        source: &dyn BlobSource,
        keys: &[&PublicKey],
        signature: &[u8],
    ) -> Result<Self, Fault> {
        let kinds: Vec<KeyAlgorithm> = keys.iter().map(|key| key.algorithm()).collect();
        let (mut owners, mut streams) = (Vec::new(), Vec::new());
        for key in keys {
            if let Some(stream) = key.ed25519_stream(signature) {
                owners.push((*key).clone());
                streams.push(stream);
            }
        }
        let hashes = FileHashes::read(source, &kinds, &mut streams)?;
        let fits = streams.into_iter().map(|stream| stream.finalize_and_verify().is_ok());
        Ok(Self { hashes, plain: owners.into_iter().zip(fits).collect() })
    }

    /// Of a file of which only the digest is known.
    pub(crate) fn of_sha256(known: &Digest) -> Option<Self> {
        Some(Self { hashes: FileHashes::of_sha256(known)?, plain: Vec::new() })
    }

    /// Of a file that was read before; says nothing of Ed25519.
    pub(crate) fn of_hashes(hashes: FileHashes) -> Self {
        Self { hashes, plain: Vec::new() }
    }

    pub(crate) fn hashes(&self) -> &FileHashes {
        &self.hashes
    }

    pub(crate) fn fits(&self, key: &PublicKey, signature: &[u8]) -> bool {
        self.plain.iter().any(|(owner, fits)| *fits && owner == key)
            || key.verifies_digest(&self.hashes, signature)
    }
}

impl KeyPair {
    /// Signs a file in the way of its kind: as cosign does, so RSA with PKCS#1 v1.5.
    pub(crate) fn sign_file(&self, file: &FileToSign<'_>) -> Result<Vec<u8>, Fault> {
        match file.hashes.preferred(self.public().algorithm()) {
            Some(digest) => self.sign_digest(digest),
            None => self.sign_ed25519(file),
        }
    }
}
