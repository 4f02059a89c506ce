//! Verification: from a signature file to a model that is what its signer signed.
//!
//! ```text
//! UnverifiedBundle ── authenticate ──► Authenticated<Payload> ── decode ──► Authenticated<OmsClaim>
//!                                                                             │ check(source)
//!                                                                             ▼
//!                                                                       VerifiedModel, or every difference
//! ```
//!
//! Each arrow is the only way across: an [`Authenticated`] value is made here, by
//! [`UnverifiedBundle::authenticate`], and nowhere else.

mod notice;

use std::collections::HashSet;
use std::path::Path;

use jiff::Timestamp;

use crate::bundle::{Encoding, KeyHint, Material, ToWrite, UnverifiedBundle};
use crate::digest::Digest;
use crate::error::{Failure, Fault, Reason, Refusal};
use crate::limits::Limits;
use crate::model::{
    self, Difference, Listing, Manifest, Method, ModelPath, ModelSource, Part, Recipe, Scope, Work,
};
use crate::statement::oms::{OmsClaim, SignedFiles};
use crate::statement::{self, Attestation, Statement};
use crate::trust::{
    self, Artifact, Certificate, Claims, Identity, LogRecord, PublicKey, Purpose, Rests,
    SignerName, Signers, SigstoreProblem, Trust, TrustedPath, TrustedTime, Unverified, Vouched,
};
pub use notice::Notice;
use notice::notices;

/// A value that somebody trusted has signed.
///
/// It cannot be made from outside, read from a file, or defaulted.
#[derive(Debug)]
pub struct Authenticated<T> {
    value: T,
    signed_by: SignedBy,
    checked_at: Timestamp,
    times: Vec<TrustedTime>,
    records: Vec<LogRecord>,
}

/// Who signed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SignedBy {
    /// One of the keys that the verifier named.
    Key(PublicKey),
    /// The owner of a certificate that leads to an authority that the verifier named.
    Certificate(Box<CertifiedSigner>),
    /// One of the identities that the verifier named, certified by a Sigstore instance.
    Identity(Box<IdentifiedSigner>),
}

/// A signer whom a certificate names.
#[derive(Debug, Clone)]
pub struct CertifiedSigner {
    /// The signer's key.
    pub key: PublicKey,
    /// Subject of the certificate.
    pub subject: String,
    /// Its e-mail, URI and DNS names.
    pub names: Vec<SignerName>,
    /// SHA-256 of the certificate's DER.
    pub certificate: Digest,
    /// Start of its validity: the signature is not older.
    pub valid_from: Timestamp,
    /// The way to the authority.
    pub path: TrustedPath,
}

/// A signer whose identity a Sigstore instance certified for a few minutes.
#[derive(Debug, Clone)]
pub struct IdentifiedSigner {
    /// The key, which was thrown away.
    pub key: PublicKey,
    /// E-mail address or URI.
    pub identity: SignerName,
    /// The provider that vouched for it.
    pub provider: String,
    /// What the certificate says about the run that signed.
    pub claims: Claims,
    /// SHA-256 of the certificate's DER.
    pub certificate: Digest,
    /// Start of its validity: the signature is not older.
    pub valid_from: Timestamp,
    /// The way to the instance's authority.
    pub path: TrustedPath,
    /// Name of the trusted root.
    pub root: String,
}

impl SignedBy {
    /// The key that made the signature.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        match self {
            Self::Key(key) => key,
            Self::Certificate(signer) => &signer.key,
            Self::Identity(signer) => &signer.key,
        }
    }

    fn rests_on<'a>(&'a self, key: &'a Digest) -> Rests<'a> {
        match self {
            Self::Key(_) => Rests { key, path: None, names: &[], provider: None, not_before: None },
            Self::Certificate(signer) => Rests {
                key,
                path: Some(&signer.path),
                names: &signer.names,
                provider: None,
                not_before: Some(signer.valid_from),
            },
            Self::Identity(signer) => Rests {
                key,
                path: Some(&signer.path),
                names: std::slice::from_ref(&signer.identity),
                provider: Some(&signer.provider),
                not_before: Some(signer.valid_from),
            },
        }
    }
}

/// The exact bytes that were signed.
#[derive(Debug)]
pub struct Payload {
    bytes: Vec<u8>,
    encoding: Encoding,
}

impl<T> Authenticated<T> {
    /// What was signed.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// Who signed it.
    pub fn signed_by(&self) -> &SignedBy {
        &self.signed_by
    }

    /// The time at which certificates were checked: the earliest trusted time of the signature, else
    /// the time of the check.
    pub fn checked_at(&self) -> Timestamp {
        self.checked_at
    }

    /// Times by which the signature existed, said by authorities and logs that the verifier trusts.
    pub fn times(&self) -> &[TrustedTime] {
        &self.times
    }

    /// Where it stands in transparency logs that the verifier trusts.
    pub fn records(&self) -> &[LogRecord] {
        &self.records
    }

    /// What a signature that holds is over.
    pub(crate) fn of<E>(value: T, checked: Checked<E>) -> (Self, E) {
        let Checked { signed_by, encoding, vouched, checked_at } = checked;
        let Vouched { times, records } = vouched;
        (Self { value, signed_by, checked_at, times, records }, encoding)
    }

    fn with<U>(self, value: U) -> (T, Authenticated<U>) {
        let Self { value: old, signed_by, checked_at, times, records } = self;
        (old, Authenticated { value, signed_by, checked_at, times, records })
    }
}

impl UnverifiedBundle {
    /// Checks the signature against those whom the caller trusts. `now` decides whether
    /// certificates are valid, unless somebody trusted says when the signature was made.
    ///
    /// # Errors
    /// A [`Refusal`] with every reason.
    pub fn authenticate(
        self,
        trust: &Trust,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<Authenticated<Payload>, Refusal> {
        let checked = self.checked(trust, now, limits)?;
        let (authenticated, encoding) = Authenticated::of((), checked);
        Ok(authenticated.with(Payload { bytes: self.envelope.into_payload(), encoding }).1)
    }

    /// The checks of [`authenticate`](Self::authenticate) without their result: what was signed stays where it is.
    pub(crate) fn checked(
        &self,
        trust: &Trust,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<Checked<Encoding>, Refusal> {
        let (payload, signature) = self.envelope.unverified();
        let unverified = Unverified {
            media_type: self.media_type,
            material: &self.material,
            evidence: &self.evidence,
            content: ToWrite::Envelope { payload, signature },
        };
        let opens = |key: &PublicKey| {
            self.envelope
                .opens(|encoding, message, signature| key.verifies(encoding, message, signature))
        };
        let subject = || {
            let subject = statement::first_subject_sha256(payload)?;
            Some(Artifact::Sha256(subject))
        };
        check_signature(trust, &unverified, opens, subject, now, limits)
    }
}

/// A signature that holds, and what is known of it. Only [`check_signature`] makes one.
pub(crate) struct Checked<E> {
    signed_by: SignedBy,
    /// How the signature was found to fit.
    encoding: E,
    vouched: Vouched,
    pub(crate) checked_at: Timestamp,
}

/// The checks of every signature, of a model or of any file: that it holds, and that what it rests on was not
/// withdrawn. `fits` says whether a key made the signature; `artifact` what it is about, for the log's entry.
pub(crate) fn check_signature<E>(
    trust: &Trust,
    unverified: &Unverified<'_>,
    fits: impl Fn(&PublicKey) -> Option<E>,
    artifact: impl FnOnce() -> Option<Artifact>,
    now: Timestamp,
    limits: &Limits,
) -> Result<Checked<E>, Refusal> {
    let checked = check_holds(trust, unverified, fits, artifact, now, limits)?;
    let key = checked.signed_by.key().fingerprint();
    let rests = checked.signed_by.rests_on(&key);
    let revoked = trust.revocations.check(&rests, checked.vouched.earliest(), now);
    match Refusal::from_reasons(revoked) {
        Some(refusal) => Err(refusal),
        None => Ok(checked),
    }
}

/// That it holds, in order. `fits` says whether a key made the
/// signature; `artifact` what it is about, for the log's entry.
fn check_holds<E>(
    trust: &Trust,
    unverified: &Unverified<'_>,
    fits: impl Fn(&PublicKey) -> Option<E>,
    artifact: impl FnOnce() -> Option<Artifact>,
    now: Timestamp,
    limits: &Limits,
) -> Result<Checked<E>, Refusal> {
    let bad_signature = |key: &PublicKey| Reason::BadSignature { signer: key.to_string() };
    let refuse = |problems: Vec<SigstoreProblem>| {
        Refusal::from_reasons(problems.into_iter().map(Reason::from).collect())
    };
    // Who may have signed is decided by the caller's trust; the bundle's material only has to agree with it.
    match (&trust.signers, unverified.material) {
        (Signers::Keys(keys), Material::PublicKey(hint)) => {
            // 1. The key, 2. the signature, 3. what others say about it.
            let keys = named_keys(keys, hint)?;
            let found = keys.iter().find_map(|key| fits(key).map(|encoding| (*key, encoding)));
            let Some((key, encoding)) = found else {
                let reasons = keys.iter().map(|key| bad_signature(key)).collect();
                return Err(Refusal::from_reasons(reasons).unwrap_or_else(|| {
                    Reason::MalformedBundle { detail: "it names no key".into() }.into()
                }));
            };
            let vouched = trust.vouch(unverified, key, artifact, now, limits);
            let vouched =
                vouched.map_err(|p| refuse(p).unwrap_or_else(|| bad_signature(key).into()))?;
            Ok(Checked {
                signed_by: SignedBy::Key(key.clone()),
                encoding,
                checked_at: vouched.earliest().unwrap_or(now),
                vouched,
            })
        }
        (Signers::Ca { authorities, signer }, Material::CertificateChain(chain)) => {
            let chain = read_chain(chain)?;
            let Some((leaf, intermediates)) = chain.split_first() else {
                return Err(
                    Reason::MalformedBundle { detail: "it has no certificate".into() }.into()
                );
            };
            // 1. When: a signature that existed while its certificate was valid counts for ever.
            let key = leaf.public_key().map_err(malformed_certificate)?;
            // A log's entry holds a Sigstore certificate or a bare key: here only timestamps count.
            let vouched = trust.vouch(unverified, &key, || None, now, limits);
            let vouched =
                vouched.map_err(|p| refuse(p).unwrap_or_else(|| bad_signature(&key).into()))?;
            let checked_at = vouched.earliest().unwrap_or(now);
            // 2. The certificates then, 3. the signature.
            let signed_by =
                certified(leaf, intermediates, authorities, signer.as_ref(), checked_at, limits)?;
            let encoding = fits(&key).ok_or_else(|| bad_signature(&key))?;
            Ok(Checked { signed_by, encoding, vouched, checked_at })
        }
        (
            Signers::Sigstore { root, rules },
            Material::Sigstore { .. } | Material::CertificateChain(_),
        ) => {
            let chain = match unverified.material {
                Material::Sigstore { certificate } => std::slice::from_ref(certificate),
                Material::CertificateChain(chain) => chain.as_slice(),
                Material::PublicKey(_) => &[],
            };
            let chain = read_chain(chain)?;
            let Some(leaf) = chain.first() else {
                return Err(
                    Reason::MalformedBundle { detail: "it has no certificate".into() }.into()
                );
            };
            let key = leaf.public_key().map_err(malformed_certificate)?;
            // 1. The signature.
            let encoding = fits(&key).ok_or_else(|| bad_signature(&key))?;
            // 2. Whom the certificate names, 3. that it is the instance's, and the signature logged in time.
            let identity = Identity::of(leaf).map_err(Reason::from)?;
            let mut problems = identity.check(rules).err().unwrap_or_default();
            let artifact = artifact().ok_or_else(|| Reason::MalformedStatement {
                detail: "its first subject has no SHA-256 digest".into(),
            })?;
            match root.verify_certified(unverified, artifact, now, limits) {
                Ok(mut vouched) if problems.is_empty() => {
                    trust.revocations.prune(&mut vouched);
                    let Some(checked_at) = vouched.earliest() else {
                        let detail = "none was found that counts".to_owned();
                        return Err(Reason::from(SigstoreProblem::NoTrustedTime { detail }).into());
                    };
                    let path = root.path_at(unverified.material, checked_at, limits);
                    let path = path.map_err(Reason::from)?;
                    let signed_by = SignedBy::Identity(Box::new(IdentifiedSigner {
                        key,
                        identity: identity.name,
                        provider: identity.provider,
                        claims: identity.claims,
                        certificate: leaf.fingerprint(),
                        valid_from: leaf.validity().0,
                        path,
                        root: root.name().to_owned(),
                    }));
                    return Ok(Checked { signed_by, encoding, vouched, checked_at });
                }
                Ok(_) => {}
                Err(problem) => problems.push(problem),
            }
            Err(refuse(problems).unwrap_or_else(|| bad_signature(&key).into()))
        }
        (_, material) => Err(other_method(trust, material).into()),
    }
}

/// The keys that could have made a signature: the trusted ones that the bundle names, or its certificate's.
/// Knowing them says nothing yet of the signature.
pub(crate) fn candidates(trust: &Trust, material: &Material) -> Result<Vec<PublicKey>, Reason> {
    match (&trust.signers, material) {
        (Signers::Keys(keys), Material::PublicKey(hint)) => {
            Ok(named_keys(keys, hint)?.into_iter().cloned().collect())
        }
        (Signers::Ca { .. } | Signers::Sigstore { .. }, Material::CertificateChain(chain)) => {
            let leaf = chain.first().map(|der| Certificate::from_der(der));
            let leaf = leaf.transpose().map_err(malformed_certificate)?;
            let key = leaf.map(|leaf| leaf.public_key()).transpose();
            Ok(key.map_err(malformed_certificate)?.into_iter().collect())
        }
        (Signers::Sigstore { .. }, Material::Sigstore { certificate }) => {
            let leaf = Certificate::from_der(certificate).map_err(malformed_certificate)?;
            Ok(vec![leaf.public_key().map_err(malformed_certificate)?])
        }
        (_, material) => Err(other_method(trust, material)),
    }
}

fn other_method(trust: &Trust, material: &Material) -> Reason {
    Reason::OtherMethod { found: material.method(), expected: trust.expectation() }
}

/// The trusted keys that the bundle names; all, if it is a detached signature that names none. One that names
/// another is refused, with both named: trying each key in turn would only hide a mix-up.
fn named_keys<'a>(keys: &'a [PublicKey], hint: &KeyHint) -> Result<Vec<&'a PublicKey>, Reason> {
    // The key itself, as PEM or DER, is compared and never used.
    let is = |key: &PublicKey, raw: &[u8]| key.to_pem().as_bytes() == raw || key.spki_der() == raw;
    let says = |key: &PublicKey, hint: &str| key.oms_hint() == hint || key.cosign_hint() == hint;
    let fits = |key: &&PublicKey| match hint {
        KeyHint::Hint(hint) => says(key, hint),
        KeyHint::RawBytes(raw) => is(key, raw),
        KeyHint::Both(hint, raw) => says(key, hint) && is(key, raw),
        KeyHint::Nothing => true,
    };
    let named: Vec<&PublicKey> = keys.iter().filter(fits).collect();
    if !named.is_empty() {
        return Ok(named);
    }
    Err(Reason::WrongKeyHint {
        hint: match hint {
            KeyHint::Hint(hint) | KeyHint::Both(hint, _) => hint.clone(),
            KeyHint::RawBytes(raw) => String::from_utf8_lossy(raw).into_owned(),
            KeyHint::Nothing => String::new(),
        },
        trusted: keys.iter().map(|k| format!("{} ({})", k.oms_hint(), k.fingerprint())).collect(),
    })
}

fn malformed_certificate(fault: Fault) -> Reason {
    Reason::Certificate(trust::PathProblem::Malformed { detail: fault.to_string() })
}

fn read_chain(chain: &[Vec<u8>]) -> Result<Vec<Certificate>, Reason> {
    let chain = chain.iter().map(|der| Certificate::from_der(der));
    chain.collect::<Result<_, _>>().map_err(malformed_certificate)
}

fn certified(
    leaf: &Certificate,
    intermediates: &[Certificate],
    authorities: &[Certificate],
    expected: Option<&SignerName>,
    at: Timestamp,
    limits: &Limits,
) -> Result<SignedBy, Refusal> {
    let found =
        trust::find_path(Purpose::CodeSigning, leaf, intermediates, authorities, at, limits);
    let mut reasons: Vec<Reason> = Vec::new();
    if let Some(expected) = expected
        && !leaf.names().contains(expected)
    {
        reasons.push(Reason::WrongSignerName {
            found: leaf.names().iter().map(ToString::to_string).collect(),
            expected: expected.to_string(),
        });
    }
    let path = match found {
        Ok(path) => path,
        Err(problems) => {
            reasons.splice(0..0, problems.into_iter().map(Reason::Certificate));
            return Err(Refusal::from_reasons(reasons)
                .unwrap_or_else(|| malformed_certificate(Fault::key("no path was found")).into()));
        }
    };
    if let Some(refusal) = Refusal::from_reasons(reasons) {
        return Err(refusal);
    }
    Ok(SignedBy::Certificate(Box::new(CertifiedSigner {
        key: leaf.public_key().map_err(malformed_certificate)?,
        subject: leaf.subject().to_owned(),
        names: leaf.names().to_vec(),
        certificate: leaf.fingerprint(),
        valid_from: leaf.validity().0,
        path,
    })))
}

impl Authenticated<Payload> {
    /// Reads the signed bytes as an OMS statement.
    ///
    /// # Errors
    /// A [`Reason`] that says in which way they are none.
    pub fn decode(self) -> Result<Authenticated<OmsClaim>, Reason> {
        let claim = OmsClaim::decode(&self.value.bytes, self.value.encoding)?;
        Ok(self.with(claim).1)
    }
}

impl Authenticated<Payload> {
    /// Reads the signed bytes as a statement about a model that is not its signature.
    ///
    /// # Errors
    /// A [`Reason`] that says in which way they are none.
    pub fn statement(self) -> Result<Authenticated<Attestation>, Reason> {
        if self.value.encoding != Encoding::Dsse {
            let detail = "it is signed in the malformed way of model-signing 0.2.0".into();
            return Err(Reason::MalformedAttestation { detail });
        }
        let statement = Statement::read(&self.value.bytes)?;
        let payload = Digest::sha256(&self.value.bytes);
        Ok(self.with(Attestation { statement, payload }).1)
    }
}

/// What a verifier asks for beyond the signature. The default is the full check.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where the signature itself lies inside the model, so that it is not taken for an unsigned
    /// file.
    pub signature_path: Option<ModelPath>,
    /// Unsigned files at or below these paths are passed over. A weaker check. No signed file is
    /// ever exempt.
    pub ignore: Vec<ModelPath>,
    /// Unsigned files are passed over wherever they are. A weaker check.
    pub ignore_unsigned_files: bool,
    /// Only these paths and what is below them are looked at: what one rank will load. A weaker check.
    pub only: Vec<ModelPath>,
    /// Only this part's digests are computed; of all other files it is checked that they are there, and
    /// that no others are. A weaker check, but all parts together are a full one.
    pub part: Option<Part>,
}

/// A model that is what its signer signed, as it was when it was checked.
#[derive(Debug)]
pub struct VerifiedModel<S> {
    source: S,
    claim: Authenticated<OmsClaim>,
    manifest: Manifest,
    notices: Vec<Notice>,
    limits: Limits,
}

impl Authenticated<OmsClaim> {
    /// Measures the model by the signer's recipe and compares: every difference is found, not the
    /// first.
    ///
    /// # Errors
    /// A [`Refusal`] with every difference, or a [`Fault`] when the model could not be measured.
    pub fn check<S: ModelSource>(
        self,
        source: S,
        options: &Options,
        limits: &Limits,
        work: Work<'_>,
    ) -> Result<VerifiedModel<S>, Failure> {
        let claim = &self.value;
        let recipe = &claim.recipe;

        // 1. What is signed, and what is there. The recipe is obeyed because its signature holds.
        let mut signed = claim.files(source.name(), source.layout())?;
        signed.keep_only(&options.only)?;
        let mut scope = Scope::to_verify(recipe, &*signed.0);
        options.ignore.iter().for_each(|path| scope.ignore(path.clone()));
        options.signature_path.iter().for_each(|path| scope.ignore_file(path.clone()));
        options.only.iter().for_each(|path| scope.look_only_at(path.clone()));
        let mut listing = source.list(&scope, limits)?;
        listing.ignored.retain(|path| Some(path) != options.signature_path.as_ref());

        // 2. Measure what is signed and can still be equal.
        let fits = |file: &&model::Found| {
            signed.0.get(&file.path).is_some_and(|s| s.can_have_size(file.identity.size))
        };
        let files: Vec<model::Found> = listing.files.iter().filter(fits).cloned().collect();
        limits.check_model_size(model::total_size(&files))?;
        let known = match options.part {
            None => Vec::new(),
            Some(part) => others_as_signed(part, recipe, &signed, &files),
        };
        let manifest = Manifest::measure_unknown(&source, recipe, files, known, work)?;

        // 3. Compare.
        let mut differences = model::compare(&signed.0, &listing, &manifest);
        let mut unsigned = Vec::new();
        if options.ignore_unsigned_files {
            differences.retain(|difference| match difference {
                Difference::Extra { path, .. } => {
                    unsigned.push(path.as_str().to_owned());
                    false
                }
                Difference::Irregular(what) if !signed.0.contains_key(what.name.as_str()) => {
                    unsigned.push(what.name.clone());
                    false
                }
                _ => true,
            });
        }
        let differences =
            recognise_renamed(differences, &source, self.value(), &signed, &listing, limits, work);
        if let Some(refusal) =
            Refusal::from_reasons(differences.into_iter().map(Reason::from).collect())
        {
            return Err(refusal.into());
        }

        if signed.0.is_empty() || manifest.files.len() != signed.0.len() {
            return Err(Fault::Bug { what: "not every signed file was measured" }.into());
        }

        let notices = notices(claim, &listing, options, unsigned);

        // 4. What was there at the beginning is what is there now.
        let mut later = source.list(&scope, limits)?;
        if options.ignore_unsigned_files {
            for listing in [&mut listing, &mut later] {
                listing.files.retain(|file| signed.0.contains_key(&file.path));
                listing.irregular.clear();
            }
        }
        listing.same_as(&later)?;

        Ok(VerifiedModel { source, claim: self, manifest, notices, limits: limits.clone() })
    }
}

/// The signed digests of what does not belong to a part: these are not computed, and so cannot differ.
fn others_as_signed(
    part: Part,
    recipe: &Recipe,
    signed: &SignedFiles<'_>,
    files: &[model::Found],
) -> Vec<Option<Digest>> {
    // Shared out by what is signed: sizes on the disk are the attacker's, who could move a file from part to
    // part between two looks.
    let sizes = signed.0.values().map(|file| file.size.unwrap_or_default());
    let mut mine = part.of_files(recipe.method, sizes).into_iter();
    let mut listed = files.iter().peekable();
    let mut known = Vec::new();
    // Both are in order, and every listed file is signed with as many digests as it has.
    for (path, file) in signed.0.iter() {
        let is_listed = listed.next_if(|found| found.path == *path).is_some();
        for (digest, mine) in file.digests.iter().zip(mine.by_ref()) {
            if is_listed {
                known.push(Some(*digest).filter(|_| !mine));
            }
        }
    }
    known
}

/// Measures unsigned files where a signed one is missing, to tell a renamed file from a lost one.
fn recognise_renamed(
    differences: Vec<Difference>,
    source: &dyn ModelSource,
    claim: &OmsClaim,
    signed: &SignedFiles<'_>,
    listing: &Listing,
    limits: &Limits,
    work: Work<'_>,
) -> Vec<Difference> {
    // Sizes of the missing files; `None` among them where the signature does not tell any.
    let missing: HashSet<Option<u64>> = differences
        .iter()
        .filter_map(|d| match d {
            Difference::Missing { signed_size, .. } => Some(*signed_size),
            _ => None,
        })
        .collect();
    let mut budget = limits.rename_search_bytes;
    let candidates: Vec<model::Found> = listing
        .files
        .iter()
        .filter(|file| !signed.0.contains_key(&file.path))
        .filter(|file| missing.contains(&None) || missing.contains(&Some(file.identity.size)))
        .filter(|file| {
            let affordable = budget.checked_sub(file.identity.size);
            budget = affordable.unwrap_or(budget);
            affordable.is_some()
        })
        .cloned()
        .collect();
    if candidates.is_empty() {
        return differences;
    }
    // What is known is a "no"; a file that cannot be read does not make it a "could not tell".
    match Manifest::measure(source, &claim.recipe, candidates, work) {
        Ok(extra) => model::renamed(differences, &signed.0, &extra.files),
        Err(_) => differences,
    }
}

impl<S: ModelSource> VerifiedModel<S> {
    /// What was signed, and by whom.
    pub fn claim(&self) -> &Authenticated<OmsClaim> {
        &self.claim
    }

    /// What was measured: it equals what was signed. With [`Options::part`] the digests of all other
    /// parts are the signed ones.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What a person should know.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Reads a file of the model and hashes it in the same read: what is returned is what was
    /// signed, even if somebody has written to the disk since (rule 16 of the security design).
    ///
    /// # Errors
    /// [`Reason::Differs`] when the file is no longer what was signed; a [`Fault`] when it is not
    /// part of the model, was replaced or written to, cannot be read, or is larger than the limits
    /// allow in memory.
    pub fn open_verified(&self, path: &ModelPath) -> Result<VerifiedFile, Failure> {
        let no_such =
            || Fault::io("open", Path::new(path.as_str()), std::io::ErrorKind::NotFound.into());
        let measured = self.manifest.files.get(path).ok_or_else(no_such)?;
        let size = measured.size();
        if size > self.limits.in_memory_bytes {
            return Err(Fault::TooMany {
                what: "bytes in one file",
                limit: usize::try_from(self.limits.in_memory_bytes).unwrap_or(usize::MAX),
            }
            .into());
        }
        let file = self.source.open(&measured.found)?;
        let mut bytes = Vec::new();
        let memory =
            |_| Fault::io("hold", Path::new(path.as_str()), std::io::ErrorKind::OutOfMemory.into());
        let size_here = usize::try_from(size).map_err(|_| no_such())?;
        bytes.try_reserve_exact(size_here).map_err(memory)?;
        bytes.resize(size_here, 0);
        let mut at = 0;
        while let Some(room) = bytes.get_mut(at..).filter(|room| !room.is_empty()) {
            match file.read_at(room, at as u64) {
                Ok(0) => break,
                Ok(got) => at += got,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Fault::io("read", Path::new(path.as_str()), e).into()),
            }
        }
        let recipe = &self.manifest.recipe;
        let digests = recipe.method.ranges(size).map(|(start, end)| {
            let mut hasher = recipe.hash.hasher();
            let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
            hasher.update(range.and_then(|(s, e)| bytes.get(s..e)).unwrap_or_default());
            hasher.finish()
        });
        let digests: Vec<Digest> = digests.collect();
        if at as u64 != size || digests != measured.digests {
            let first = measured.digests.iter().zip(&digests).find(|(a, b)| a != b);
            return Err(Reason::from(Difference::Changed {
                path: path.clone(),
                size: at as u64,
                signed_size: matches!(recipe.method, Method::Shards(_)).then_some(size),
                digests: first.map(|(a, b)| (*a, *b)),
                shards: None,
            })
            .into());
        }
        Ok(VerifiedFile { bytes: bytes.into_boxed_slice() })
    }
}

/// A copy in memory of a signed file, hashed as it was read.
#[derive(Debug)]
pub struct VerifiedFile {
    bytes: Box<[u8]>,
}

impl AsRef<[u8]> for VerifiedFile {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The whole way, for callers who want one line: parse, authenticate, decode, check.
///
/// # Errors
/// As the steps do.
pub fn verify<S: ModelSource>(
    signature: &[u8],
    source: S,
    trust: &Trust,
    now: Timestamp,
    options: &Options,
    limits: &Limits,
    work: Work<'_>,
) -> Result<VerifiedModel<S>, Failure> {
    UnverifiedBundle::parse(signature, limits)?
        .authenticate(trust, now, limits)?
        .decode()?
        .check(source, options, limits, work)
}
