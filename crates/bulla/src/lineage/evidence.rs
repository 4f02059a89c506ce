//! What is at hand: models, their signatures and the statements about them, each with those who signed it.
//!
//! Where something was found says nothing. Signatures and statements are put together by digests alone, whoever
//! put them where they lie.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jiff::Timestamp;

use super::rules::Rules;
use crate::bundle::UnverifiedBundle;
use crate::claims::ClaimsFile;
use crate::error::{Failure, Fault, Reason, Refusal};
use crate::limits::{LINEAGE_CLAIMS, Limits};
use crate::model::{LocalModel, ModelPath, ModelSource};
use crate::party::{self, Party};
use crate::statement::Attestation;
use crate::statement::model::ModelDigests;
use crate::statement::oms::{Dialect, OmsClaim};
use crate::store::{Links, read_found};
use crate::verify::Authenticated;

/// Lines of one file that are told to have no effect.
const BROKEN_TOLD: usize = 10;

/// A place where something is known of a model.
#[derive(Debug, Default)]
pub struct Held {
    /// What a person calls the place.
    pub place: String,
    /// The model's name there.
    pub name: String,
    /// Its files.
    pub files: Files,
    /// Its signature file.
    pub signature: Stored,
    /// Where that lies inside the model.
    pub signature_path: Option<ModelPath>,
    /// Files of statements about it, or about anything else.
    pub claims: Vec<Stored>,
}

/// A small file. It is read when it is looked at, and not kept: there may be thousands.
#[derive(Debug, Default)]
pub enum Stored {
    /// It is not there.
    #[default]
    Nowhere,
    /// On this machine's disk, if it is there at all.
    Local(PathBuf),
    /// Here.
    Bytes(Vec<u8>),
}

impl Stored {
    /// A signature file, up to one byte more than the limit; `None` if it is not there.
    fn signature(&self, limits: &Limits) -> Result<Option<Cow<'_, [u8]>>, Fault> {
        Ok(match self {
            Self::Nowhere => None,
            Self::Local(path) => {
                read_found(path, limits.bundle_bytes, Links::Follow)?.map(Cow::Owned)
            }
            Self::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
        })
    }

    fn claims(&self, limits: &Limits) -> Result<ClaimsFile, Fault> {
        match self {
            Self::Nowhere => Ok(ClaimsFile::default()),
            Self::Local(path) => ClaimsFile::read(path, limits),
            Self::Bytes(bytes) => Ok(ClaimsFile::parse(bytes, limits)),
        }
    }
}

impl Held {
    /// Its signature file, up to one byte more than the limit; `None` if there is none.
    ///
    /// # Errors
    /// [`Fault::Io`] when it is there and cannot be read.
    pub fn read_signature(&self, limits: &Limits) -> Result<Option<Cow<'_, [u8]>>, Fault> {
        self.signature.signature(limits)
    }

    /// Where its signature is looked for.
    #[must_use]
    pub fn signature_place(&self) -> String {
        match &self.signature_path {
            Some(inside) => format!("{}/{inside}", self.place.trim_end_matches('/')),
            None => format!("{}.sig", self.place),
        }
    }
}

/// A model's files.
#[derive(Debug, Default)]
pub enum Files {
    /// They are not there.
    #[default]
    None,
    /// On this machine's disk; opened when they are looked at.
    Local(PathBuf),
    /// Elsewhere.
    Source(Box<dyn ModelSource>),
}

impl Files {
    pub(super) fn open(&self) -> Result<Option<Box<dyn ModelSource + '_>>, Fault> {
        Ok(match self {
            Self::None => None,
            Self::Local(path) => Some(Box::new(LocalModel::open(path)?)),
            Self::Source(source) => Some(Box::new(&**source)),
        })
    }

    /// Whether there are any.
    #[must_use]
    pub fn are_there(&self) -> bool {
        !matches!(self, Self::None)
    }
}

/// A signature of a model by somebody who may sign models.
#[derive(Debug)]
pub(super) struct Signature {
    pub(super) held: usize,
    pub(super) digests: ModelDigests,
    /// Those parties.
    pub(super) parties: BTreeSet<String>,
}

/// A statement by somebody who may make it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Stated {
    /// The statement.
    pub claim: Authenticated<Attestation>,
    /// The parties that signed it, of those who may.
    pub parties: BTreeSet<String>,
}

/// The statements that count, each once; and in words what was passed over.
///
/// # Errors
/// A [`Fault`] when something that is there cannot be read.
pub fn counting(
    held: Vec<Held>,
    rules: &Rules,
    now: Timestamp,
    limits: &Limits,
) -> Result<(Vec<Stated>, Vec<String>), Fault> {
    let evidence = Evidence::gather(held, rules, now, limits)?;
    Ok((evidence.statements, evidence.passed_over))
}

/// Everything at hand.
#[derive(Debug)]
pub(super) struct Evidence {
    pub(super) held: Vec<Held>,
    pub(super) signatures: Vec<Signature>,
    /// Why there is no signature that counts, for each place that has none.
    pub(super) unsigned: Vec<Option<Reason>>,
    statements: Vec<Stated>,
    /// Which of them are about which model.
    subjects: BTreeMap<ModelDigests, Vec<usize>>,
    /// What was passed over, in words.
    pub(super) passed_over: Vec<String>,
}

impl Evidence {
    /// Checks every signature, once.
    pub(super) fn gather(
        held: Vec<Held>,
        rules: &Rules,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<Self, Fault> {
        let mut evidence = Self {
            held,
            signatures: Vec::new(),
            unsigned: Vec::new(),
            statements: Vec::new(),
            subjects: BTreeMap::new(),
            passed_over: Vec::new(),
        };
        let mut seen = BTreeSet::new();
        let (mut lines, mut read) = (0, 0);
        for (index, held) in evidence.held.iter().enumerate() {
            let place = &held.place;
            // Of the model itself everything has to be readable. What lies elsewhere can only be missed, and is told.
            let is_root = index == 0;
            if read > limits.lineage_bytes {
                let told = format!(
                    "{} and what comes after it was not looked at: {read} bytes of signatures and claims were read before",
                    held.place
                );
                evidence.passed_over.push(told);
                evidence.unsigned.resize_with(evidence.held.len(), || {
                    Some(Reason::NoSignature { path: String::new() })
                });
                break;
            }
            let signature = match held.signature.signature(limits) {
                Err(fault) if !is_root => {
                    let told = format!("the signature of {place} was not read: {fault}");
                    evidence.passed_over.push(told);
                    None
                }
                signature => signature?,
            };
            read += signature.as_ref().map_or(0, |bytes| bytes.len() as u64);
            let signed = match signature {
                None => Err(Reason::NoSignature { path: held.signature_place() }),
                Some(bytes) => read_signature(&bytes, rules, now, limits),
            };
            evidence.unsigned.push(match signed {
                Ok((digests, parties)) => {
                    let held = index;
                    evidence.signatures.push(Signature { held, digests, parties });
                    None
                }
                Err(reason) => Some(reason),
            });
            let told = |line: usize, why: &dyn std::fmt::Display| {
                format!("a claim of {place} has no effect (line {line}): {why}")
            };
            let passed_over = &mut evidence.passed_over;
            for file in &held.claims {
                let mut file = match file.claims(limits) {
                    Err(fault) if !is_root => {
                        passed_over.push(format!("the claims of {place} were not read: {fault}"));
                        continue;
                    }
                    file => file?,
                };
                let broken = file.broken.iter().map(|(line, reason)| told(*line, reason));
                passed_over.extend(broken.take(BROKEN_TOLD));
                if let Some(more) = file.broken.len().checked_sub(BROKEN_TOLD + 1) {
                    let more = more + 1;
                    passed_over
                        .push(format!("{more} more lines of the claims of {place} have no effect"));
                }
                read += file.size;
                // Each costs a look at it by every party.
                lines += file.bundles.len();
                if lines > LINEAGE_CLAIMS {
                    file.bundles.clear();
                    file.cut = true;
                }
                if file.cut {
                    passed_over
                        .push(format!("not all claims of {place} were read: there are too many"));
                }
                for (line, bundle) in file.bundles {
                    match read_claim(bundle, rules, now, limits) {
                        // A copy of a statement says nothing more.
                        Ok(stated) => {
                            if seen.insert((stated.claim.value().payload, stated.parties.clone())) {
                                let number = evidence.statements.len();
                                for model in stated.claim.value().statement.models() {
                                    evidence.subjects.entry(model).or_default().push(number);
                                }
                                evidence.statements.push(stated);
                            }
                        }
                        Err(reason) => passed_over.push(told(line, &reason)),
                    }
                }
            }
        }
        Ok(evidence)
    }

    pub(super) fn into_statements(self) -> Vec<Stated> {
        self.statements
    }

    /// Statements about a model.
    pub(super) fn about(&self, model: ModelDigests) -> impl Iterator<Item = &Stated> {
        let about = self.subjects.get(&model).into_iter().flatten();
        about.filter_map(|index| self.statements.get(*index))
    }
}

fn ids(parties: &[&Party]) -> BTreeSet<String> {
    parties.iter().map(|party| party.id.clone()).collect()
}

fn read_signature(
    bytes: &[u8],
    rules: &Rules,
    now: Timestamp,
    limits: &Limits,
) -> Result<(ModelDigests, BTreeSet<String>), Reason> {
    let (claim, parties) = read_claim_of_model(bytes, rules, now, limits)?;
    // A signature that binds no names, or no recipe, cannot be the base of anything.
    let digests = ModelDigests::of_claim(claim.value())
        .filter(|_| claim.value().dialect == Dialect::V1)
        .ok_or(Reason::BindsNoNames)?;
    Ok((digests, parties))
}

/// A model's signature by those who may sign models.
fn read_claim_of_model(
    bytes: &[u8],
    rules: &Rules,
    now: Timestamp,
    limits: &Limits,
) -> Result<(Authenticated<OmsClaim>, BTreeSet<String>), Reason> {
    let bundle = UnverifiedBundle::parse(bytes, limits)?;
    let sign_models = rules.parties.iter().filter(|party| party.may_sign.models());
    let (payload, parties) =
        party::authenticate(bundle, sign_models, now, limits).map_err(first)?;
    Ok((payload.decode()?, ids(&parties)))
}

impl Signature {
    /// The signature, read and checked again: it is not kept in memory for every model at hand.
    pub(super) fn claim(
        &self,
        held: &Held,
        rules: &Rules,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<Authenticated<OmsClaim>, Failure> {
        let bytes = held.signature.signature(limits)?;
        let bytes = bytes.as_deref().unwrap_or_default();
        let (claim, _) = read_claim_of_model(bytes, rules, now, limits)?;
        if ModelDigests::of_claim(claim.value()) != Some(self.digests) {
            return Err(Fault::Changed { path: held.signature_place() }.into());
        }
        Ok(claim)
    }
}

fn read_claim(
    bundle: UnverifiedBundle,
    rules: &Rules,
    now: Timestamp,
    limits: &Limits,
) -> Result<Stated, Reason> {
    let (claim, parties) = party::statement(bundle, &rules.parties, now, limits).map_err(first)?;
    Ok(Stated { parties: ids(&parties), claim })
}

fn first(refusal: Refusal) -> Reason {
    let reason = refusal.reasons().next().cloned();
    // A refusal has a reason.
    reason.unwrap_or(Reason::MalformedBundle { detail: "it was refused".into() })
}
