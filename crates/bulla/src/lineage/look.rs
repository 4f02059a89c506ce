//! What is at hand of one model, or of data: its copy, what is said of it, who has passed it.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::evidence::{Held, Signature};
use super::rules::Level;
use super::walk::{GET_IT, Walk, Wanted, list};
use super::{Hop, Problem, Standing};
use crate::error::{Failure, Fault};
use crate::limits::CLOCK_SKEW;
use crate::model::{Manifest, Recipe, Scope};
use crate::report::NoticeReport;
use crate::statement::Predicate;
use crate::statement::descriptor::ResourceDescriptor;
use crate::statement::model::{ModelDigests, recipe_of};
use crate::statement::verdict::VerificationResult;
use crate::verify;

/// A verdict that stands in for a model.
#[derive(Debug)]
pub(super) struct StandIn {
    pub(super) signers: Vec<String>,
    pub(super) verifier: String,
    pub(super) level: Level,
    pub(super) at: Timestamp,
}

impl Walk<'_> {
    /// Looks for a signed copy, and at its files.
    pub(super) fn copy(
        &mut self,
        hop: &mut Hop,
        wanted: &Wanted<'_>,
        digests: ModelDigests,
        index: usize,
    ) -> Result<(), Fault> {
        let is_root = wanted.depth == 0;
        let signatures = self.evidence.signatures.iter();
        let copies: Vec<&Signature> = signatures
            .filter(|signature| signature.digests == digests && (!is_root || signature.held == 0))
            .collect();
        // A signature is of digests, wherever it lies: whoever signed another copy signed this model.
        let parties: BTreeSet<&String> = self
            .evidence
            .signatures
            .iter()
            .filter(|signature| signature.digests == digests)
            .flat_map(|signature| &signature.parties)
            .collect();
        let mut wrong = Vec::new();
        for signature in &copies {
            let Some(held) = self.evidence.held.get(signature.held) else { continue };
            // The model that is asked about has to be here; of the others the signature may do.
            let looked_at =
                match is_root || (self.options.measure_parents && held.files.are_there()) {
                    true => match self.check_files(signature, held, hop) {
                        // A place that cannot be read is one copy less: else whoever may put something beside a model could keep everybody
                        // from deciding about it.
                        Err(fault) if !is_root => Err(vec![Problem::of_fault(&fault)]),
                        looked_at => looked_at?,
                    },
                    false => Ok(Standing::Signed),
                };
            match looked_at {
                Ok(standing) => {
                    hop.name.clone_from(&held.name);
                    hop.place = Some(held.place.clone());
                    hop.signed_by = parties.iter().copied().cloned().collect();
                    hop.standing = standing;
                    self.copies.insert(index, signature.held);
                    break;
                }
                Err(problems) => wrong.push((signature, held, problems)),
            }
        }
        let found = self.copies.contains_key(&index);
        for (signature, held, problems) in wrong {
            if found {
                hop.notes.push(format!("the copy {} is not what was signed", held.place));
                continue;
            }
            hop.place = Some(held.place.clone());
            hop.signed_by = parties.iter().copied().cloned().collect();
            hop.standing = Standing::Refused;
            hop.problems.extend(problems);
            // What is said of it is walked all the same: all that is wrong is told.
            self.copies.insert(index, signature.held);
        }
        Ok(())
    }

    /// Whether the files of a copy are what was signed.
    fn check_files(
        &self,
        signature: &Signature,
        held: &Held,
        hop: &mut Hop,
    ) -> Result<Result<Standing, Vec<Problem>>, Fault> {
        if let Some(right) = self.options.verified.filter(|_| signature.held == 0)
            && right.digests() == Some(signature.digests)
        {
            hop.notes.extend(right.notices().iter().map(|n| NoticeReport::of(n).message));
            return Ok(Ok(Standing::Verified));
        }
        let Some(source) = held.files.open()? else {
            let missing = "there is a signature, and no model".to_owned();
            return Ok(Err(vec![Problem::new("missing", missing, GET_IT)]));
        };
        let claim = match signature.claim(held, self.rules, self.now, self.limits) {
            Ok(claim) => claim,
            Err(Failure::Refused(refusal)) => {
                return Ok(Err(refusal.reasons().map(Problem::of).collect()));
            }
            Err(Failure::Fault(fault)) => return Err(fault),
        };
        let mut options = verify::Options::default();
        options.signature_path.clone_from(&held.signature_path);
        match claim.check(&*source, &options, self.limits, self.work) {
            Ok(verified) => {
                hop.notes.extend(verified.notices().iter().map(|n| NoticeReport::of(n).message));
                Ok(Ok(Standing::Verified))
            }
            Err(Failure::Refused(refusal)) => Ok(Err(refusal.reasons().map(Problem::of).collect())),
            Err(Failure::Fault(fault)) => Err(fault),
        }
    }

    /// The verdict that stands in for a model.
    pub(super) fn verdict_about(
        &self,
        wanted: &Wanted<'_>,
        digests: ModelDigests,
    ) -> Option<StandIn> {
        if wanted.depth == 0 {
            return None;
        }
        let uri = wanted.descriptor.map(|d| d.uri.as_str()).unwrap_or_default();
        let own = resource_uri(&digests);
        let verdicts = self.evidence.about(digests).filter_map(|stated| {
            let Predicate::Verdict(verdict) = &stated.claim.value().statement.predicate else {
                return None;
            };
            let by_rules = |verifier: &super::Verifier| {
                let policy = verdict.policy.digest.get("sha256");
                verifier.policies.is_empty()
                    || policy.is_some_and(|policy| verifier.policies.contains(policy))
            };
            let speaks = self.rules.verifiers.iter().any(|verifier| {
                verifier.id == verdict.verifier.id
                    && stated.parties.contains(&verifier.signer)
                    && by_rules(verifier)
            });
            let about_it = verdict.resource_uri == own || verdict.resource_uri == uri;
            (speaks && about_it && verdict.environment == self.rules.environment)
                .then_some((stated, verdict))
        });
        // The newest counts: a "no" takes an earlier "yes" back, and one of the same time, whichever line comes first.
        let (stated, verdict) = verdicts.max_by_key(|(_, verdict)| {
            let refused = verdict.verification_result == VerificationResult::Failed;
            (verdict.time_verified, refused)
        })?;
        let end = match verdict.expires_on {
            Some(end) => end,
            None => verdict.time_verified.checked_add(self.rules.max_verdict_age).ok()?,
        };
        let in_time =
            self.now < end && verdict.time_verified.duration_since(self.now) <= CLOCK_SKEW;
        let level = verdict.verified_levels.iter().filter_map(|level| Level::of(level)).max();
        // One that reaches no level says nothing of a chain: nobody asked for one.
        let level = level.filter(|level| *level > Level::default())?;
        (in_time && verdict.verification_result == VerificationResult::Passed).then(|| StandIn {
            signers: stated.parties.iter().cloned().collect(),
            verifier: verdict.verifier.id.clone(),
            level,
            at: verdict.time_verified,
        })
    }

    /// A signed statement about a dataset vouches for it as a signature in it does.
    pub(super) fn described(&self, hop: &mut Hop, digests: ModelDigests) {
        let described = self.evidence.about(digests).find(|stated| {
            matches!(stated.claim.value().statement.predicate, Predicate::Dataset(_))
        });
        if let Some(stated) = described {
            hop.standing = Standing::Signed;
            hop.signed_by = stated.parties.iter().cloned().collect();
        }
    }

    /// Measures a folder of the name by which the child calls it, that nobody signed: by the child's own recipe.
    pub(super) fn same_name(
        &self,
        hop: &mut Hop,
        descriptor: &ResourceDescriptor,
        digests: ModelDigests,
    ) {
        if !self.options.measure_parents {
            return;
        }
        let recipe = match recipe_of(descriptor) {
            Ok(recipe) => recipe.unwrap_or_default(),
            Err(reason) => {
                hop.problems.push(Problem::of(&reason));
                return;
            }
        };
        let named = self
            .evidence
            .held
            .iter()
            .zip(&self.evidence.unsigned)
            .filter(|(held, unsigned)| held.name == descriptor.name && unsigned.is_some());
        let mut other = None;
        for (held, _) in named {
            let problems = match self.measure(held, &recipe) {
                Ok(None) => continue,
                Ok(Some(Ok(measured))) if measured == digests => {
                    hop.place = Some(held.place.clone());
                    hop.standing = hop.standing.max(Standing::Measured);
                    return;
                }
                Ok(Some(Ok(measured))) => vec![differing(&measured, &digests)],
                Ok(Some(Err(problems))) => problems,
                Err(fault) => vec![fault.to_string()],
            };
            other.get_or_insert((&held.place, problems));
        }
        // Several folders may have the name: it is enough that one of them holds the data.
        if let Some((place, problems)) = other {
            hop.place = Some(place.clone());
            hop.standing = Standing::Refused;
            hop.problem(
                "other-data",
                format!("{place} is not what went in: {}", problems.join("; ")),
                "get the data again as they were, or take the folder out of those that are looked at",
            );
        }
    }

    /// What is in a folder by a recipe; inside, what cannot be part of it. `None` if it holds no files.
    #[allow(clippy::type_complexity)]
    fn measure(
        &self,
        held: &Held,
        recipe: &Recipe,
    ) -> Result<Option<Result<ModelDigests, Vec<String>>>, Fault> {
        let Some(source) = held.files.open()? else { return Ok(None) };
        let listing = source.list(&Scope::to_sign(recipe), self.limits)?;
        if !listing.irregular.is_empty() {
            let irregular = listing.irregular.iter();
            let problems = irregular.map(|what| format!("{} {}", what.name, what.why));
            return Ok(Some(Err(problems.collect())));
        }
        self.limits.check_model_size(crate::model::total_size(&listing.files))?;
        let manifest = Manifest::measure(&*source, recipe, listing.files, self.work)?;
        Ok(Some(Ok(ModelDigests::of(&manifest))))
    }

    /// What is known of a model that only has the name of one that was not found.
    pub(super) fn same_name_other_model(&self, index: usize) -> Option<String> {
        let hop = self.hops.get(index)?;
        let wanted = hop.digests.filter(|_| !self.copies.contains_key(&index))?;
        let held = self.evidence.held.iter().enumerate().skip(1);
        let (at, held) = held.into_iter().find(|(_, held)| held.name == hop.name)?;
        let signature = self.evidence.signatures.iter().find(|signature| signature.held == at);
        Some(match (signature, self.evidence.unsigned.get(at)) {
            (Some(signature), _) => format!(
                "{} is signed by {}, but is another model: {}",
                held.place,
                list(&signature.parties),
                differing(&signature.digests, &wanted)
            ),
            (None, Some(Some(reason))) => format!("{} does not count: {reason}", held.place),
            _ => return None,
        })
    }
}

/// How two models differ, in words.
fn differing(found: &ModelDigests, wanted: &ModelDigests) -> String {
    if found.oms == wanted.oms {
        return format!(
            "its contents are the same, but under other names or by another recipe (oms-manifest-v1:{}, expected {})",
            found.manifest.to_hex(),
            wanted.manifest.to_hex()
        );
    }
    format!("oms:{}, expected {}", found.oms.to_hex(), wanted.oms.to_hex())
}

/// The URI by which verdicts name a model.
#[must_use]
pub fn resource_uri(digests: &ModelDigests) -> String {
    format!("urn:bulla:model:oms-manifest-v1:{}", digests.manifest.to_hex())
}
