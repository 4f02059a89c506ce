//! Signing: from a model to a signature file, from a statement to a line of `claims.jsonl`.
//!
//! ```text
//! ModelSource ── measure ──► Manifest ──► OmsClaim ──► payload ── Signer ──► bundle ── checked ──► bytes
//! ```
//!
//! What comes back from a signer is verified with its public half before anybody sees it: a signer
//! that is broken, or that signed something else, is found out here and not at deployment.

use jiff::Timestamp;

use crate::bundle::{self, Encoding, Evidence, KeyHint, Material, UnverifiedBundle};
use crate::digest::Digest;
use crate::error::{Failure, Fault, Reason, Refusal};
use crate::limits::Limits;
use crate::model::{
    DigestCache, Found, Layout, Manifest, Method, ModelSource, Part, PartialManifest, Partials,
    Recipe, Scope, Work, total_size,
};
use crate::statement::Statement;
use crate::statement::oms::{Compatibility, OmsClaim};
use crate::trust::{self, Certificate, FileToSign, KeyAlgorithm, KeyPair, PublicKey, Purpose};

/// What a signer is asked to sign.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum ToSign<'a> {
    /// A message, in full.
    Message(&'a [u8]),
    /// A statement in an envelope.
    Statement {
        /// The statement's bytes.
        payload: &'a [u8],
        /// The message that is signed: DSSE's pre-authentication encoding of it.
        message: &'a [u8],
    },
    /// A file.
    File(&'a FileToSign<'a>),
}

impl ToSign<'_> {
    /// SHA-256 of the message or file.
    #[must_use]
    pub fn sha256(&self) -> Digest {
        match self {
            Self::Message(message) | Self::Statement { message, .. } => Digest::sha256(message),
            Self::File(file) => file.hashes().sha256(),
        }
    }

    fn sign_with(&self, key: &KeyPair) -> Result<Vec<u8>, Fault> {
        match self {
            Self::Message(message) | Self::Statement { message, .. } => key.sign(message),
            Self::File(file) => key.sign_file(file),
        }
    }

    /// The hint that readers of this kind of signature compare.
    fn hint(&self, key: &PublicKey) -> String {
        match self {
            Self::Message(_) | Self::Statement { .. } => key.oms_hint(),
            Self::File(_) => key.cosign_hint(),
        }
    }
}

/// What a signer returns.
#[derive(Debug)]
pub struct Signed {
    /// The signature.
    pub signature: Vec<u8>,
    /// What to tell verifiers about the key.
    pub material: Material,
    /// What logs and timestamp authorities said about the signature.
    pub evidence: Evidence,
    /// The public half, to check the signature with.
    pub key: PublicKey,
}

/// Someone who can sign: a key in a file, a key with a certificate, a key store, a Sigstore identity.
/// It blocks until it is done.
pub trait Signer {
    /// Signs.
    ///
    /// # Errors
    /// A [`Fault`] when it cannot.
    fn sign(&self, what: ToSign<'_>) -> Result<Signed, Fault>;

    /// The kind of its key, if it is known before it signs.
    fn algorithm(&self) -> Option<KeyAlgorithm> {
        None
    }
}

impl<S: Signer + ?Sized> Signer for &S {
    fn sign(&self, what: ToSign<'_>) -> Result<Signed, Fault> {
        (**self).sign(what)
    }

    fn algorithm(&self) -> Option<KeyAlgorithm> {
        (**self).algorithm()
    }
}

impl<S: Signer + ?Sized> Signer for Box<S> {
    fn sign(&self, what: ToSign<'_>) -> Result<Signed, Fault> {
        (**self).sign(what)
    }

    fn algorithm(&self) -> Option<KeyAlgorithm> {
        (**self).algorithm()
    }
}

/// Signs with a bare key.
#[derive(Debug)]
pub struct KeySigner(KeyPair);

impl KeySigner {
    /// Takes a key over.
    #[must_use]
    pub fn new(key: KeyPair) -> Self {
        Self(key)
    }
}

impl Signer for KeySigner {
    fn algorithm(&self) -> Option<KeyAlgorithm> {
        Some(self.0.public().algorithm())
    }

    fn sign(&self, what: ToSign<'_>) -> Result<Signed, Fault> {
        let key = self.0.public().clone();
        Ok(Signed {
            signature: what.sign_with(&self.0)?,
            material: Material::PublicKey(KeyHint::Hint(what.hint(&key))),
            evidence: Evidence::default(),
            key,
        })
    }
}

/// Signs with a key that a certificate vouches for.
#[derive(Debug)]
pub struct CertificateSigner {
    key: KeyPair,
    chain: Vec<Certificate>,
}

impl CertificateSigner {
    /// Takes a key with its certificate and the chain above it over.
    ///
    /// # Errors
    /// A [`Refusal`] when the certificate is not for this key, or when no verifier would accept it at
    /// `now`: signing would only delay the bad news.
    pub fn new(
        key: KeyPair,
        leaf: Certificate,
        chain: Vec<Certificate>,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let mut reasons: Vec<Reason> = trust::check_leaf(Purpose::CodeSigning, &leaf, now)
            .into_iter()
            .map(Reason::Certificate)
            .collect();
        let certified = leaf.public_key();
        if certified.as_ref().ok() != Some(key.public()) {
            reasons.insert(
                0,
                Reason::CertificateForOtherKey {
                    certificate: certified
                        .map_or_else(|fault| fault.to_string(), |key| key.to_string()),
                    key: key.public().to_string(),
                },
            );
        }
        let count = chain.len() + 1;
        let limit = Limits::default().certificates;
        if count > limit {
            let detail = format!("a signature holds at most {limit} certificates, not {count}");
            reasons.push(Reason::Certificate(trust::PathProblem::Malformed { detail }));
        }
        match Refusal::from_reasons(reasons) {
            Some(refusal) => Err(refusal),
            None => Ok(Self { key, chain: std::iter::once(leaf).chain(chain).collect() }),
        }
    }
}

impl Signer for CertificateSigner {
    fn algorithm(&self) -> Option<KeyAlgorithm> {
        Some(self.key.public().algorithm())
    }

    fn sign(&self, what: ToSign<'_>) -> Result<Signed, Fault> {
        Ok(Signed {
            signature: what.sign_with(&self.key)?,
            material: Material::CertificateChain(
                self.chain.iter().map(|c| c.to_der().to_vec()).collect(),
            ),
            evidence: Evidence::default(),
            key: self.key.public().clone(),
        })
    }
}

/// A signed model.
#[derive(Debug)]
pub struct SignedModel {
    /// The signature file.
    pub bundle: Vec<u8>,
    /// What was measured.
    pub manifest: Manifest,
    /// What was signed.
    pub claim: OmsClaim,
    /// The key that signed.
    pub key: PublicKey,
}

/// Digests that need not be computed.
///
/// Both are believed: whoever writes them chooses what is signed. Verification takes neither.
#[derive(Debug, Clone, Copy, Default)]
pub enum Known<'a> {
    /// All is measured.
    #[default]
    Nothing,
    /// What an earlier run remembers of files that are as they were.
    Cache(&'a DigestCache),
    /// What was measured in parts. The model is listed, and not read.
    Partials(&'a Partials),
}

impl Known<'_> {
    /// In the order of files and shards.
    fn digests(
        self,
        source: &dyn ModelSource,
        recipe: &Recipe,
        files: &[Found],
    ) -> Result<Vec<Option<Digest>>, Refusal> {
        match self {
            Self::Nothing => Ok(Vec::new()),
            Self::Partials(partials) => partials.digests_for(source, recipe, files),
            Self::Cache(cache) => {
                let mut known = Vec::new();
                for file in files {
                    let count = recipe.method.ranges(file.identity.size).count();
                    let end = known.len() + count;
                    let digests = cache.digests(file, recipe).filter(|d| d.len() == count);
                    known.extend(digests.unwrap_or_default().iter().copied().map(Some));
                    known.resize(end, None);
                }
                Ok(known)
            }
        }
    }
}

/// Measures a model without signing it: what `bulla digest` shows.
///
/// # Errors
/// A [`Refusal`] that lists everything that cannot be signed, or a [`Fault`].
pub fn measure(
    source: &dyn ModelSource,
    recipe: &Recipe,
    known: Known<'_>,
    limits: &Limits,
    work: Work<'_>,
) -> Result<Manifest, Failure> {
    unchanged_while(source, recipe, limits, |recipe, files| {
        let known = known.digests(source, recipe, files)?;
        Ok(Manifest::measure_unknown(source, recipe, files.to_vec(), known, work)?)
    })
}

/// Measures one part of a model, for [`Partials::join`]. `job` names the run: parts of two runs are never
/// joined. Without a name, all parts have to be of the very same files, unchanged; with one, of copies, too.
///
/// # Errors
/// A [`Refusal`] that lists everything that cannot be signed, or a [`Fault`].
pub fn measure_part(
    source: &dyn ModelSource,
    recipe: &Recipe,
    part: Part,
    job: Option<&str>,
    limits: &Limits,
    work: Work<'_>,
) -> Result<PartialManifest, Failure> {
    unchanged_while(source, recipe, limits, |recipe, files| {
        Ok(PartialManifest::measure(source, recipe, files, part, job, work)?)
    })
}

/// Lists what is to be signed, has it measured, and looks whether it is still what was listed.
fn unchanged_while<T>(
    source: &dyn ModelSource,
    recipe: &Recipe,
    limits: &Limits,
    measure: impl FnOnce(&Recipe, &[Found]) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut recipe = recipe.clone();
    if source.layout() == Layout::SingleFile {
        recipe.ignore.clear();
    }
    let listing = source.list(&Scope::to_sign(&recipe), limits)?;
    let mut reasons: Vec<Reason> = listing
        .irregular
        .iter()
        .cloned()
        .map(|what| Reason::CannotSign { name: what.name, why: what.why })
        .collect();
    if let Method::Shards(_) = recipe.method {
        let empty = listing.files.iter().filter(|file| file.identity.size == 0);
        reasons.extend(
            empty.map(|f| Reason::EmptyFileUnderShards { path: f.path.as_str().to_owned() }),
        );
    }
    if listing.files.is_empty() && reasons.is_empty() {
        reasons.push(Reason::EmptyModel { name: source.name().to_owned() });
    }
    if let Some(refusal) = Refusal::from_reasons(reasons) {
        return Err(refusal.into());
    }
    let size = bundle_size(&listing.files, &recipe);
    if size > limits.bundle_bytes {
        return Err(Fault::BundleTooLarge { size, limit: limits.bundle_bytes }.into());
    }
    limits.check_model_size(total_size(&listing.files))?;
    let measured = measure(&recipe, &listing.files)?;
    listing.same_as(&source.list(&Scope::to_sign(&recipe), limits)?)?;
    Ok(measured)
}

/// Measures and signs a model, and checks the result.
///
/// # Errors
/// A [`Refusal`] that lists everything that cannot be signed, or a [`Fault`].
pub fn sign(
    source: &dyn ModelSource,
    recipe: &Recipe,
    compatibility: Compatibility,
    signer: &dyn Signer,
    known: Known<'_>,
    limits: &Limits,
    work: Work<'_>,
) -> Result<SignedModel, Failure> {
    let manifest = measure(source, recipe, known, limits, work)?;
    let claim = OmsClaim::of(&manifest, compatibility);
    let payload = claim.encode();
    // Before there is a bundle beside them, for each of these is of the size of the model's list of files.
    if OmsClaim::decode(&payload, Encoding::Dsse).as_ref() != Ok(&claim) {
        return Err(Fault::Bug { what: "the new statement does not say what was measured" }.into());
    }
    let Sealed { bundle, key, .. } = seal(payload, signer, limits)?;
    Ok(SignedModel { bundle, manifest, claim, key })
}

/// A signed statement.
#[derive(Debug)]
pub struct Sealed {
    /// The bundle: one line of JSON, with its end.
    pub bundle: Vec<u8>,
    /// SHA-256 of what was signed: the statement's name in releases and verdicts.
    pub payload: Digest,
    /// The key that signed.
    pub key: PublicKey,
}

/// Signs a statement about a model, and checks the result.
///
/// # Errors
/// [`Reason::MalformedAttestation`] when no reader would accept the statement, or a [`Fault`].
pub fn attest(
    statement: &Statement,
    signer: &dyn Signer,
    limits: &Limits,
) -> Result<Sealed, Failure> {
    let payload = statement.encode()?;
    if payload.len() > limits.claim_bytes {
        let limit = limits.claim_bytes as u64;
        return Err(Reason::TooLarge { what: "statement", limit }.into());
    }
    seal(payload, signer, limits)
}

/// Signs a statement's payload, and reads the bundle back as a verifier would.
fn seal(payload: Vec<u8>, signer: &dyn Signer, limits: &Limits) -> Result<Sealed, Failure> {
    let written = Digest::sha256(&payload);
    let message = bundle::pre_authentication_encoding(&payload);
    let signed = signer.sign(ToSign::Statement { payload: &payload, message: &message })?;
    drop(message);
    let bundle = bundle::encode(&signed.material, &signed.evidence, &payload, &signed.signature);
    if bundle.len() as u64 > limits.bundle_bytes {
        let size = bundle.len() as u64;
        return Err(Fault::BundleTooLarge { size, limit: limits.bundle_bytes }.into());
    }
    drop(payload);

    let read = UnverifiedBundle::parse(&bundle, limits)
        .map_err(|_| Fault::Bug { what: "the new signature cannot be read back" })?;
    let same = read.material == signed.material && read.evidence == signed.evidence;
    let encoding = read
        .envelope
        .opens(|encoding, message, signature| {
            encoding == Encoding::Dsse && signed.key.verifies(encoding, message, signature)
        })
        .ok_or(Fault::SignerBroken)?;
    let same = same && Digest::sha256(read.envelope.unverified().0) == written;
    if !same || encoding != Encoding::Dsse {
        return Err(Fault::Bug { what: "the new signature does not say what was signed" }.into());
    }
    Ok(Sealed { bundle, payload: written, key: signed.key })
}

/// About how large a signature file will be, without hashing anything: a lower bound.
fn bundle_size(files: &[Found], recipe: &Recipe) -> u64 {
    let digest = recipe.hash.output_len() as u64 * 2;
    let json = files.iter().map(|file| {
        let (count, suffix) = match recipe.method {
            Method::Files => (1, 0),
            Method::Shards(size) => (file.identity.size.div_ceil(size.get()), 4),
        };
        let one = file.path.as_str().len() as u64 + suffix + digest + 40;
        count.saturating_mul(one)
    });
    json.fold(0u64, u64::saturating_add).saturating_mul(4) / 3
}
