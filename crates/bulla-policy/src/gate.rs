//! The gate: from a policy, a model and what is said of it to a decision. It knows no caller: program, server and library ask it alike.
//!
//! ```text
//! Policy ─ open(now) ─► Gate                       what was withdrawn counts for nothing
//! model  ─ signature ─► who signed ─ check ─► VerifiedModel ─┐
//! claims ─ examine ──► statements that count, lineage ───────┴─► Facts ─ every rule ─► Decision
//! ```
//!
//! What could not be checked is a fault, and never a decision.

use std::collections::{BTreeMap, BTreeSet};

use bulla::jiff::{SignedDuration, Timestamp};
use bulla::lineage::{Converter, Held, Lineage, Options, Stated, Stored, examine};
use bulla::model::ModelSource;
use bulla::party::{Party, authenticate};
use bulla::{
    Authenticated, Digest, Failure, Fault, Limits, Manifest, ModelDigests, OmsClaim, Reason,
    Recipe, Refusal, TrustedTime, UnverifiedBundle, VerifiedModel, Work,
};

use crate::decision::{Decision, Finding, PolicyReference, Sighting};
use crate::environment::Mode;
use crate::policy::{Environment, Policy};
use crate::revocations::{ModelName, RevocationList};
use crate::roles::Role;
use crate::rules;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The environment. The gate's configuration says which, not whoever wants in (rule 7 of the security design).
    pub environment: &'a str,
    /// The name by which the model is deployed; likewise.
    pub name: &'a str,
    /// What the model has to be, as its publisher says elsewhere; all of them.
    pub expected: &'a [ModelName],
    /// Whether the files of ancestors are read, where they are at hand.
    pub measure_parents: bool,
    /// Does conversions again, to compare.
    pub converter: Option<&'a dyn Converter>,
}

/// What is decided about.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// The model's files.
    pub source: &'a dyn ModelSource,
    /// The same model with its signature and claims; and after it what its ancestors are looked for in.
    pub held: Vec<Held>,
}

/// What is remembered from before.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// Why the model may not be used for the time being.
    pub quarantined: Option<String>,
    /// When this very signature was first seen.
    pub first_seen: Option<Timestamp>,
    /// From when approvals count: those from before something happened to the model do not.
    pub approvals_since: Option<Timestamp>,
    /// The highest sequence that was released under this name in this environment.
    pub sequence: Option<u64>,
    /// When the last decision was made.
    pub last_decision: Option<Timestamp>,
    /// Version and digest of the policy of this name that was used last.
    pub policy: Option<(u64, Digest)>,
    /// Version and digest of the policy's document of revocations that was used last.
    pub revocations: Option<(u64, Digest)>,
}

/// Where it is remembered from.
pub trait Recall {
    /// What is remembered. It is asked once before anything is read, with nothing that was seen, and once when it is known what is there.
    ///
    /// # Errors
    /// A [`Fault`] when it cannot be told: then nothing is decided.
    fn recall(&self, seen: Seen) -> Result<Memory, Fault>;

    /// Whether the SHA-256 of each file is wanted, so that the model is found again by any of them. Where it was signed with another hash, or in
    /// shards, that is a second reading.
    fn wants_files(&self) -> bool {
        false
    }
}

/// What is seen of a model.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// SHA-256 of its signature file, of somebody whom the policy names for models.
    pub signature: Option<Digest>,
    /// The model, by its signature; or as it was measured.
    pub digests: Option<ModelDigests>,
}

/// The same of every model.
impl Recall for Memory {
    fn recall(&self, _: Seen) -> Result<Memory, Fault> {
        Ok(self.clone())
    }
}

/// A policy that is in use, with everything that was withdrawn.
#[derive(Debug)]
pub struct Gate {
    pub(crate) policy: Policy,
    pub(crate) revocations: RevocationList,
}

/// Everything that is known when rules are looked at.
pub(crate) struct Facts<'a> {
    pub(crate) gate: &'a Gate,
    pub(crate) environment: &'a Environment,
    pub(crate) request: &'a Request<'a>,
    pub(crate) memory: Memory,
    pub(crate) now: Timestamp,
    /// The signature, if somebody whom the policy names for models has made it.
    pub(crate) signature: Option<Signature<'a>>,
    /// The model, if it is what was signed.
    pub(crate) model: Option<&'a VerifiedModel<&'a dyn ModelSource>>,
    /// The model as it was measured without a signature.
    pub(crate) unsigned: Option<&'a Manifest>,
    pub(crate) stated: &'a [Stated],
    pub(crate) lineage: &'a Lineage,
    /// SHA-256 of each of its files, where something was withdrawn by that.
    pub(crate) file_digests: BTreeMap<String, Digest>,
}

/// A model's signature that counts.
pub(crate) struct Signature<'a> {
    pub(crate) digest: Digest,
    /// Those whom the policy names that made it.
    pub(crate) parties: BTreeSet<&'a str>,
    pub(crate) signed_by: bulla::SignedBy,
    pub(crate) checked_at: Timestamp,
    pub(crate) times: Vec<TrustedTime>,
    pub(crate) digests: Option<ModelDigests>,
}

impl Facts<'_> {
    /// The model, by its signature; or as it was measured.
    pub(crate) fn digests(&self) -> Option<ModelDigests> {
        match &self.signature {
            Some(signature) => signature.digests,
            None => self.unsigned.map(ModelDigests::of),
        }
    }

    pub(crate) fn manifest(&self) -> Option<&Manifest> {
        self.model.map(|model| model.manifest()).or(self.unsigned)
    }

    /// SHA-256 of each file, where they were measured so.
    fn sha256_of_files(&self) -> Vec<Digest> {
        match self.manifest() {
            Some(manifest) if is_plain(manifest) => {
                manifest.files.values().filter_map(|file| file.digests.first().copied()).collect()
            }
            _ => self.file_digests.values().copied().collect(),
        }
    }

    /// Statements about this model.
    pub(crate) fn about(&self) -> impl Iterator<Item = &Stated> {
        let digests = self.digests();
        self.stated.iter().filter(move |stated| {
            digests.is_some_and(|model| stated.claim.value().statement.is_about(&model))
        })
    }
}

impl Gate {
    /// Puts a policy to use, with the revocations that it names and those that are known otherwise. `pins` are those who have to have
    /// signed it, beside those whom it names itself.
    ///
    /// # Errors
    /// [`Reason::NotSigned`] for each signature that is missing; a [`Fault`] when the revocations cannot be had: then nothing can be
    /// decided.
    pub fn open(
        mut policy: Policy,
        pins: Option<&Role>,
        known: &RevocationList,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<Self, Failure> {
        let revocations = policy.revocations(known, now, limits)?;
        let unsigned = policy.unsigned(pins, &revocations, now, limits)?;
        let reasons = unsigned.into_iter().map(|detail| Reason::NotSigned { detail }).collect();
        if let Some(refusal) = Refusal::from_reasons(reasons) {
            return Err(refusal.into());
        }
        policy.withdraw(&revocations);
        Ok(Self { policy, revocations })
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Everything that was withdrawn.
    #[must_use]
    pub fn revocations(&self) -> &RevocationList {
        &self.revocations
    }

    /// Decides about a model.
    ///
    /// # Errors
    /// A [`Fault`] when something could not be read or checked, or the clock stands before the last decision: then there is no decision.
    pub fn decide(
        &self,
        request: &Request<'_>,
        candidate: Candidate<'_>,
        remembered: &dyn Recall,
        now: Timestamp,
        limits: &Limits,
        work: Work<'_>,
    ) -> Result<Decision, Fault> {
        let Candidate { source, mut held } = candidate;
        let environment = self.policy.environment(request.environment)?;
        self.is_newest(&remembered.recall(Seen::default())?, now)?;
        let root =
            held.first_mut().ok_or(Fault::Bug { what: "there is no model to decide about" })?;
        // It is read once: whoever can write there could give another one to who looks again.
        if let Some(bytes) = root.read_signature(limits)? {
            root.signature = Stored::Bytes(bytes.into_owned());
        }
        let root = &*root;
        let signature_file = match &root.signature {
            Stored::Bytes(bytes) => Some(Digest::sha256(bytes)),
            _ => None,
        };
        let mut findings = Vec::new();

        // 1. Who signed, 2. what is there.
        let parties = &environment.lineage.parties;
        let authenticated = self.signature(root, parties, now, limits)?;
        let mut signature = None;
        let mut model = None;
        match authenticated {
            Err(reasons) => {
                let found = rules::signature::none(environment, &reasons);
                findings.push(found);
            }
            Ok(None) => findings.push(rules::signature::missing(environment, root)),
            Ok(Some((digest, claim, parties))) => {
                signature = Some(Signature {
                    digest,
                    parties: parties.iter().map(|party| party.id.as_str()).collect(),
                    signed_by: claim.signed_by().clone(),
                    checked_at: claim.checked_at(),
                    times: claim.times().to_vec(),
                    digests: ModelDigests::of_claim(claim.value()),
                });
                let mut options = bulla::Options::default();
                options.signature_path.clone_from(&root.signature_path);
                match claim.check(source, &options, limits, work) {
                    Ok(verified) => model = Some(verified),
                    Err(Failure::Refused(refusal)) => {
                        findings.push(rules::contents::differs(&refusal));
                    }
                    Err(Failure::Fault(fault)) => return Err(fault),
                }
            }
        }
        let mut unsigned = None;
        if signature.is_none() && !environment.entry.require_signature {
            match measure(source, limits, work) {
                Ok(manifest) => unsigned = Some(manifest),
                Err(Failure::Refused(refusal)) => {
                    findings.push(rules::contents::differs(&refusal));
                }
                Err(Failure::Fault(fault)) => return Err(fault),
            }
        }
        let file_digests = match (&model, &unsigned) {
            (None, None) => BTreeMap::new(),
            (model, _) => {
                let known = model.as_ref().map(VerifiedModel::manifest).or(unsigned.as_ref());
                {
                    let wanted = remembered.wants_files() || self.asks_for_files(request);
                    file_digests(known.filter(|_| wanted), source, work)?
                }
            }
        };

        // 3. What is said of it, and where it came from.
        let mut options = Options::default();
        options.measure_parents = request.measure_parents;
        options.converter = request.converter;
        options.verified = model.as_ref().map(|model| model as &dyn bulla::lineage::FoundRight);
        let lineage_rules = &environment.lineage;
        let (lineage, stated) = examine(held, lineage_rules, options, now, limits, work)?;

        // 4. What is remembered of it. Others may have decided meanwhile.
        let measured = unsigned.as_ref().map(ModelDigests::of);
        let memory = remembered.recall(Seen {
            signature: signature.as_ref().map(|signature| signature.digest),
            digests: signature.as_ref().map_or(measured, |signature| signature.digests),
        })?;
        self.is_newest(&memory, now)?;

        // 5. Every rule.
        let facts = Facts {
            gate: self,
            environment,
            request,
            memory,
            now,
            signature,
            model: model.as_ref(),
            unsigned: unsigned.as_ref(),
            stated: &stated,
            lineage: &lineage,
            file_digests,
        };
        findings.extend(rules::all(&facts)?);
        rules::people::waive(&facts, &mut findings);
        Ok(self.conclude(&facts, signature_file, findings))
    }

    /// That neither the clock nor the revocations are those of an earlier day (rules 8 and 9): who brings back an old document brings back a
    /// stolen key.
    fn is_newest(&self, memory: &Memory, now: Timestamp) -> Result<(), Fault> {
        if let Some(last) = memory.last_decision.filter(|last| now < *last) {
            return Err(Fault::Clock { now, last });
        }
        let (Some((version, digest)), true) = (memory.revocations, self.policy.names_revocations())
        else {
            return Ok(());
        };
        let here = self.revocations.version;
        let detail = match here.cmp(&version) {
            std::cmp::Ordering::Less => {
                format!(
                    "version {here} of the revocations is here, and {version} was used before: get the newest one"
                )
            }
            std::cmp::Ordering::Equal if self.revocations.digest != Some(digest) => {
                format!(
                    "another text of version {version} of the revocations was used before: give one that was changed a higher version"
                )
            }
            _ => return Ok(()),
        };
        Err(self.policy.fault(detail))
    }

    /// What a model's signature says, if it is by an authority that an environment accepts. Its files are not looked at.
    ///
    /// # Errors
    /// A [`Refusal`] why it does not count, or says too little; a [`Fault`] when it cannot be read.
    pub fn vouched(
        &self,
        environment: &str,
        held: &Held,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<(ModelDigests, Recipe), Failure> {
        let environment = self.policy.environment(environment)?;
        let parties = &environment.lineage.parties;
        let missing = || Reason::NoSignature { path: held.signature_place() };
        let (_, claim, by) = match self.signature(held, parties, now, limits)? {
            Ok(found) => found.ok_or_else(missing)?,
            Err(reasons) => {
                return Err(
                    Refusal::from_reasons(reasons).map_or_else(|| missing().into(), Failure::from)
                );
            }
        };
        let accepted = &environment.entry.accepted_authorities;
        if !by.iter().any(|party| accepted.contains(&party.id)) {
            let method = "an authority that is not accepted here";
            return Err(Reason::NotByAnyParty { method }.into());
        }
        let digests = ModelDigests::of_claim(claim.value()).ok_or(Reason::BindsNoNames)?;
        Ok((digests, claim.value().recipe.clone()))
    }

    /// A model's signature: nothing if there is none; why it does not count.
    #[allow(clippy::type_complexity)]
    fn signature<'p>(
        &self,
        root: &Held,
        parties: &'p [Party],
        now: Timestamp,
        limits: &Limits,
    ) -> Result<Result<Option<(Digest, Authenticated<OmsClaim>, Vec<&'p Party>)>, Vec<Reason>>, Fault>
    {
        let Some(bytes) = root.read_signature(limits)? else { return Ok(Ok(None)) };
        let read = || -> Result<_, Refusal> {
            let bundle = UnverifiedBundle::parse(&bytes, limits)?;
            let sign_models = parties.iter().filter(|party| party.may_sign.models());
            let (payload, parties) = authenticate(bundle, sign_models, now, limits)?;
            Ok((Digest::sha256(&bytes), payload.decode()?, parties))
        };
        Ok(read().map(Some).map_err(|refusal| refusal.reasons().cloned().collect()))
    }

    /// Whether something was withdrawn, or is expected, by the digest of a file.
    fn asks_for_files(&self, request: &Request<'_>) -> bool {
        let by_file = |name: &ModelName| matches!(name, ModelName::File(_));
        self.revocations.models.keys().chain(request.expected).any(by_file)
    }

    fn conclude(
        &self,
        facts: &Facts<'_>,
        signature: Option<Digest>,
        findings: Vec<Finding>,
    ) -> Decision {
        use crate::decision::Outcome;
        let environment = facts.environment;
        let passed = findings.iter().all(|finding| finding.outcome == Outcome::Met);
        let clear = findings.iter().all(|finding| finding.outcome != Outcome::NotMet);
        let mut notes = facts.lineage.passed_over.clone();
        if let Some(root) = facts.lineage.hops.first() {
            notes.extend(root.notes.iter().cloned());
        }
        let signed_by = facts.signature.as_ref();
        let level = facts.lineage.hops.first().and_then(|hop| hop.level).unwrap_or_default();
        let mut dependency_levels = BTreeMap::new();
        for level in rules::origin::ancestors(facts).into_iter().filter_map(|hop| hop.level) {
            *dependency_levels.entry(level.name().to_owned()).or_default() += 1;
        }
        Decision {
            admitted: clear || environment.entry.mode != Mode::Enforce,
            passed,
            mode: environment.entry.mode,
            environment: environment.name.clone(),
            name: facts.request.name.to_owned(),
            // Of files that were not seen to be the model nothing is said.
            digests: facts.digests().filter(|_| facts.manifest().is_some()),
            signature,
            signed_by: signed_by.map(|s| bulla::report::signed_by(&s.signed_by, s.checked_at)),
            parties: signed_by
                .map(|s| s.parties.iter().map(|id| (*id).to_owned()).collect())
                .unwrap_or_default(),
            sequence: rules::claims::released(facts).map(|(release, _)| release.sequence),
            policy: PolicyReference {
                name: self.policy.name.clone(),
                version: self.policy.version,
                digest: self.policy.digest,
                rules: environment.digest,
            },
            at: facts.now,
            findings,
            notes,
            evidence: facts.about().map(|stated| stated.claim.value().payload).collect(),
            size: facts.manifest().map_or(0, Manifest::total_size),
            files: facts.sha256_of_files(),
            sightings: sightings(facts),
            level: level.name().to_owned(),
            dependency_levels,
            valid_for: environment
                .entry
                .verdict_valid_for
                .map_or(SignedDuration::ZERO, |span| span.0),
        }
    }
}

/// SHA-256 of each file: a model may have been signed with another hash, or in shards.
fn file_digests(
    manifest: Option<&Manifest>,
    source: &dyn ModelSource,
    work: Work<'_>,
) -> Result<BTreeMap<String, Digest>, Fault> {
    let Some(manifest) = manifest else { return Ok(BTreeMap::new()) };
    let again;
    let manifest = match is_plain(manifest) {
        true => manifest,
        false => {
            let plain = bulla::Recipe { ignore: BTreeSet::new(), ..bulla::Recipe::default() };
            let files = manifest.files.values().map(|file| file.found.clone()).collect();
            again = Manifest::measure(source, &plain, files, work)?;
            &again
        }
    };
    let files = manifest
        .files
        .iter()
        .filter_map(|(path, file)| Some((path.as_str().to_owned(), *file.digests.first()?)));
    Ok(files.collect())
}

/// Whether it has the SHA-256 of each whole file.
fn is_plain(manifest: &Manifest) -> bool {
    let plain = bulla::Recipe::default();
    manifest.recipe.method == plain.method && manifest.recipe.hash == plain.hash
}

/// The signature, where its files are what was signed, and the statements about the model.
fn sightings(facts: &Facts<'_>) -> Vec<Sighting> {
    let signature = facts.signature.as_ref().filter(|_| facts.model.is_some());
    let signature = signature.map(|signature| Sighting {
        what: signature.digest,
        predicate_type: None,
        role: "oms".to_owned(),
        parties: signature.parties.iter().map(|id| (*id).to_owned()).collect(),
        signed_by: signature.signed_by.clone(),
        times: signature.times.clone(),
        parents: Vec::new(),
    });
    signature.into_iter().chain(facts.about().map(Sighting::of)).collect()
}

/// A model without a signature, by the usual recipe.
fn measure(source: &dyn ModelSource, limits: &Limits, work: Work<'_>) -> Result<Manifest, Failure> {
    let recipe = bulla::Recipe::default();
    bulla::sign::measure(&source, &recipe, bulla::sign::Known::Nothing, limits, work)
}
