//! The walk itself.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::evidence::{Evidence, Held, Signature, Stated};
use super::rules::{Level, Rules, Unverified};
use super::{Account, Hop, Lineage, Link, Options, Problem, Standing};
use crate::error::{Failure, Fault, Reason};
use crate::limits::{CLOCK_SKEW, LINEAGE_HOPS, Limits};
use crate::model::{Manifest, Scope, Work};
use crate::statement::Predicate;
use crate::statement::build::{Kind, Role, Step};
use crate::statement::descriptor::ResourceDescriptor;
use crate::statement::model::{ModelDigests, recipe_of};
use crate::statement::provenance::Provenance;
use crate::statement::verdict::VerificationResult;
use crate::verify;

const GET_IT: &str = "get the model from its publisher, with its model.sig, and name the folder that it is in with --in; or a \
                      verdict about it by a verifier that you trust";
const NOT_SIGNED: &str =
    "if the model is yours, sign it with 'bulla sign'; else get it again, with its model.sig";
const CYCLE: &str = "cycle";
const ASK_SIGNER: &str =
    "ask whoever made it for a provenance signed by the party that the trust file names";

pub(super) struct Walk<'a> {
    evidence: &'a Evidence,
    rules: &'a Rules,
    options: Options<'a>,
    now: Timestamp,
    limits: &'a Limits,
    work: Work<'a>,
    hops: Vec<Hop>,
    links: Vec<Link>,
    /// Models, and data: what was looked at as data needs no provenance, and so is not known as a model.
    known: BTreeMap<(ModelDigests, bool), usize>,
    /// The hops between the root and the one that is looked at.
    path: Vec<usize>,
    /// Where each hop's copy was found.
    copies: BTreeMap<usize, usize>,
}

/// Something that is looked for.
struct Wanted<'d> {
    name: &'d str,
    role: Option<Role>,
    descriptor: Option<&'d ResourceDescriptor>,
    depth: usize,
}

impl Hop {
    fn new(wanted: &Wanted<'_>, digests: Option<ModelDigests>) -> Self {
        Self {
            name: wanted.name.to_owned(),
            role: wanted.role,
            depth: wanted.depth,
            place: None,
            digests,
            signed_by: Vec::new(),
            standing: Standing::Unverified,
            stands: false,
            level: None,
            next_level: None,
            rederived: false,
            problems: Vec::new(),
            notes: Vec::new(),
            accounts: Vec::new(),
        }
    }

    fn problem(&mut self, code: &'static str, message: String, hint: &'static str) {
        self.problems.push(Problem::new(code, message, hint));
    }

    fn is_data(&self) -> bool {
        matches!(self.role, Some(Role::TrainingData | Role::RetrievalIndex))
    }
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        evidence: &'a Evidence,
        rules: &'a Rules,
        options: Options<'a>,
        now: Timestamp,
        limits: &'a Limits,
        work: Work<'a>,
    ) -> Self {
        Self {
            evidence,
            rules,
            options,
            now,
            limits,
            work,
            hops: Vec::new(),
            links: Vec::new(),
            known: BTreeMap::new(),
            path: Vec::new(),
            copies: BTreeMap::new(),
        }
    }

    pub(super) fn run(mut self) -> Result<Lineage, Fault> {
        let root =
            self.evidence.held.first().ok_or(Fault::Bug { what: "no model to walk from" })?;
        let wanted = Wanted { name: &root.name, role: None, descriptor: None, depth: 0 };
        let signature = self.evidence.signatures.iter().find(|signature| signature.held == 0);
        match signature {
            Some(signature) => {
                self.model(&wanted, signature.digests)?;
            }
            None => {
                let mut hop = Hop::new(&wanted, None);
                hop.place = Some(root.place.clone());
                let reason = self.evidence.unsigned.first().and_then(Option::as_ref);
                hop.problems.extend(reason.map(|reason| match reason {
                    Reason::NoSignature { .. } => {
                        Problem::new(reason.code(), reason.to_string(), NOT_SIGNED)
                    }
                    _ => Problem::of(reason),
                }));
                self.hops.push(hop);
            }
        }
        self.settle();
        let stands = self.hops.first().is_some_and(|hop| hop.stands);
        let mut levels = BTreeMap::new();
        for hop in &self.hops {
            if let Some(level) = hop.level {
                *levels.entry(level.name().to_owned()).or_default() += 1;
            }
            if hop.rederived {
                *levels.entry("BULLA_REDERIVED".to_owned()).or_default() += 1;
            }
        }
        let weakest = self.weakest();
        Ok(Lineage {
            stands,
            weakest,
            levels,
            hops: self.hops,
            links: self.links,
            passed_over: self.evidence.passed_over.clone(),
        })
    }

    /// Gives what was looked at in the midst of a cycle another chance: a parent that did not stand yet may stand by now, by another of
    /// its accounts. Only what stands already makes anything stand, so nothing stands by itself.
    fn settle(&mut self) {
        let mut parents: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
        for link in &self.links {
            parents.entry((link.child, link.account)).or_default().push(link.parent);
        }
        loop {
            let stands: Vec<bool> = self.hops.iter().map(|hop| hop.stands).collect();
            let holds = |(child, account): (usize, usize)| {
                let parents = parents.get(&(child, account)).into_iter().flatten();
                let mut parents =
                    parents.map(|parent| stands.get(*parent) == Some(&true)).peekable();
                parents.peek().is_some() && parents.all(|stands| stands)
            };
            let mut changed = false;
            for (child, hop) in self.hops.iter_mut().enumerate() {
                if hop.stands || !hop.problems.is_empty() {
                    continue;
                }
                for (index, account) in hop.accounts.iter_mut().enumerate() {
                    if account.problems.iter().all(|problem| problem.code == CYCLE)
                        && holds((child, index))
                    {
                        account.problems.clear();
                        account.stands = true;
                        hop.stands = true;
                        hop.level = hop.level.max(Some(account.level));
                        changed = true;
                    }
                }
                if hop.stands {
                    hop.next_level = next_level(hop);
                }
            }
            if !changed {
                break;
            }
        }
    }

    /// Adds a hop for a model and looks at everything behind it.
    fn model(&mut self, wanted: &Wanted<'_>, digests: ModelDigests) -> Result<usize, Fault> {
        let index = self.hops.len();
        if index >= LINEAGE_HOPS {
            return Err(Fault::TooMany { what: "ancestors", limit: LINEAGE_HOPS });
        }
        self.known.insert((digests, false), index);
        let mut hop = Hop::new(wanted, Some(digests));
        hop.level = Some(Level::L0);
        let stands_for = self.verdict_about(wanted, digests);
        self.copy(&mut hop, wanted, digests, index)?;
        let has_copy = self.copies.contains_key(&index);
        self.hops.push(hop);

        if wanted.depth > self.rules.max_depth {
            let limit = self.rules.max_depth;
            self.add_problem(
                index,
                Problem::new(
                    "too-deep",
                    format!("it lies deeper than {limit} hops, the most that is walked"),
                    "if so long a chain is expected, raise max_depth in the trust file",
                ),
            );
            return Ok(index);
        }
        if has_copy {
            self.path.push(index);
            self.accounts(index, digests)?;
            self.path.pop();
        }
        self.conclude(index, stands_for);
        Ok(index)
    }

    fn add_problem(&mut self, hop: usize, problem: Problem) {
        self.hops.get_mut(hop).into_iter().for_each(|hop| hop.problems.push(problem.clone()));
    }

    /// Looks for a signed copy, and at its files.
    fn copy(
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
                    true => self.check_files(signature, held, hop)?,
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
                let notices = verified.notices().iter().map(crate::report::NoticeReport::of);
                hop.notes.extend(notices.map(|notice| notice.message));
                Ok(Ok(Standing::Verified))
            }
            Err(Failure::Refused(refusal)) => Ok(Err(refusal.reasons().map(Problem::of).collect())),
            Err(Failure::Fault(fault)) => Err(fault),
        }
    }

    /// A verdict that stands in for a model: whose, and the level in it.
    fn verdict_about(
        &self,
        wanted: &Wanted<'_>,
        digests: ModelDigests,
    ) -> Option<(Vec<String>, String, Level)> {
        if wanted.depth == 0 {
            return None;
        }
        let uri = wanted.descriptor.map(|d| d.uri.as_str()).unwrap_or_default();
        let own = resource_uri(&digests);
        let verdicts = self.evidence.about(digests).filter_map(|stated| {
            let Predicate::Verdict(verdict) = &stated.claim.value().statement.predicate else {
                return None;
            };
            let speaks = self.rules.verifiers.iter().any(|verifier| {
                verifier.id == verdict.verifier.id && stated.parties.contains(&verifier.signer)
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
        (in_time && verdict.verification_result == VerificationResult::Passed).then(|| {
            let signers = stated.parties.iter().cloned().collect();
            (signers, verdict.verifier.id.clone(), level.unwrap_or_default())
        })
    }

    /// Looks at every statement of how a model was made.
    fn accounts(&mut self, hop: usize, digests: ModelDigests) -> Result<(), Fault> {
        let evidence = self.evidence;
        for stated in evidence.about(digests) {
            let Predicate::Provenance(provenance) = &stated.claim.value().statement.predicate
            else {
                continue;
            };
            self.account(hop, stated, provenance)?;
        }
        Ok(())
    }

    fn account(
        &mut self,
        hop: usize,
        stated: &Stated,
        provenance: &Provenance,
    ) -> Result<(), Fault> {
        let mut problems = Vec::new();
        let level = self.level_of(hop, stated, provenance).unwrap_or_else(|problem| {
            problems.push(problem);
            Level::L0
        });
        let step = match Step::read(provenance) {
            Ok(Some(step)) => Some(step),
            Ok(None) => {
                let found = crate::text::shorten(&provenance.build_definition.build_type);
                problems.push(Problem::new(
                    "unknown-build-type",
                    format!("it was made by a build of type {found}: what went in cannot be told from it"),
                    "ask for a provenance by 'bulla attest provenance' or 'bulla run' beside it",
                ));
                None
            }
            Err(reason) => {
                problems.push(Problem::of(&reason));
                None
            }
        };
        let run = provenance.run_details.metadata.as_ref().map(|run| run.invocation_id.clone());
        let claim = &stated.claim;
        let account = Account {
            made_by: match &step {
                Some(step) => step.kind.name().to_owned(),
                None => crate::text::shorten(&provenance.build_definition.build_type),
            },
            builder: provenance.run_details.builder.id.clone(),
            run: run.unwrap_or_default(),
            signed_by: stated.parties.iter().cloned().collect(),
            signer: crate::report::signed_by(claim.signed_by(), claim.checked_at()),
            signed_at: claim.times().iter().map(|time| time.at).min().map(|at| at.to_string()),
            level,
            payload: format!("sha256:{}", claim.value().payload.to_hex()),
            stands: false,
            problems,
        };
        let Some(this) = self.hops.get_mut(hop) else { return Ok(()) };
        let index = this.accounts.len();
        let depth = this.depth + 1;
        this.accounts.push(account);
        let Some(step) = step else { return Ok(()) };

        if step.kind == Kind::Pretrain
            && stated.parties.is_disjoint(&set(&self.rules.no_parents_signed_by))
        {
            let problem = Problem::new(
                "may-not-say-no-parents",
                format!(
                    "{} says that it has no parents, and is not among those whose word for that counts",
                    list(&stated.parties)
                ),
                "name the party under no_parents_signed_by in the trust file, if its word is good for that",
            );
            self.account_problem(hop, index, problem);
        }
        if step.parameters.source.as_ref().is_some_and(|source| source.dirty != Some(false))
            && let Some(this) = self.hops.get_mut(hop)
        {
            this.notes.push(
                "the code that made it had changes that were not committed, or may have had: its commit does not say what ran"
                    .to_owned(),
            );
        }
        for (role, descriptor) in step.links() {
            let wanted = Wanted {
                name: descriptor.label(),
                role: Some(role),
                descriptor: Some(descriptor),
                depth,
            };
            let parent = match role {
                Role::BaseModel | Role::Adapter => {
                    // `Step::read` has seen to both digests.
                    let Ok(digests) = ModelDigests::read(descriptor) else { continue };
                    match self.known.get(&(digests, false)) {
                        Some(parent) if self.path.contains(parent) => {
                            let parent = *parent;
                            let cycle = self.cycle(parent);
                            self.account_problem(hop, index, cycle);
                            parent
                        }
                        Some(parent) => *parent,
                        None => self.model(&wanted, digests)?,
                    }
                }
                _ => self.data(&wanted, descriptor)?,
            };
            self.links.push(Link { child: hop, account: index, parent, role });
        }
        let same = step.kind == Kind::Convert && self.convert_again(hop, index, &step)?;
        let parents: Vec<usize> = (self.links.iter())
            .filter(|link| link.child == hop && link.account == index)
            .map(|link| link.parent)
            .collect();
        let all_stand =
            parents.iter().all(|parent| self.hops.get(*parent).is_some_and(|parent| parent.stands));
        if let Some(this) = self.hops.get_mut(hop)
            && let Some(account) = this.accounts.get_mut(index)
        {
            account.stands = all_stand && account.problems.is_empty();
            this.rederived |= same && account.stands;
        }
        Ok(())
    }

    fn account_problem(&mut self, hop: usize, account: usize, problem: Problem) {
        let account = self.hops.get_mut(hop).and_then(|hop| hop.accounts.get_mut(account));
        account.into_iter().for_each(|account| account.problems.push(problem.clone()));
    }

    fn cycle(&self, parent: usize) -> Problem {
        let from = self.path.iter().position(|hop| *hop == parent).unwrap_or_default();
        let around = self.path.iter().skip(from).chain([&parent]);
        let names: Vec<String> = around
            .filter_map(|hop| self.hops.get(*hop))
            .map(|hop| crate::text::Printable(&hop.name).to_string())
            .collect();
        Problem::new(
            CYCLE,
            format!("it is said to be made from itself: {}", names.join(" ← ")),
            "one of these provenances is false: ask those who signed them",
        )
    }

    /// The level that an account reaches: who may speak for its builder, and how far they are believed.
    fn level_of(
        &self,
        hop: usize,
        stated: &Stated,
        provenance: &Provenance,
    ) -> Result<Level, Problem> {
        let builder = &provenance.run_details.builder.id;
        let named: Vec<_> = self.rules.builders.iter().filter(|b| b.id == *builder).collect();
        let believed = named.iter().filter(|b| stated.parties.contains(&b.signer));
        if let Some(level) = believed.map(|builder| builder.max_level).max() {
            return Ok(level);
        }
        let shown = crate::text::Printable(builder).to_string();
        let signer = list(&stated.parties);
        if !named.is_empty() {
            let speaks: BTreeSet<String> = named.iter().map(|b| b.signer.clone()).collect();
            return Err(Problem::new(
                "wrong-party",
                format!(
                    "its provenance names the builder {shown}, for which {} signs; it is signed by {signer}",
                    list(&speaks)
                ),
                ASK_SIGNER,
            ));
        }
        // A builder that is not named: whoever signed the model speaks of their own work, and of nobody else's.
        let signers = self.hops.get(hop).map(|hop| set(&hop.signed_by)).unwrap_or_default();
        if stated.parties.is_disjoint(&signers) {
            return Err(Problem::new(
                "wrong-party",
                format!(
                    "its provenance is signed by {signer}, but the model by {}, and nobody is named for the builder {shown}",
                    list(&signers)
                ),
                ASK_SIGNER,
            ));
        }
        Ok(Level::L1)
    }

    /// Does a conversion again, if that is asked for and both sides are here: files that were just found to be what was signed, for
    /// others prove nothing. Whether it gives the same.
    fn convert_again(
        &mut self,
        hop: usize,
        account: usize,
        step: &Step<'_>,
    ) -> Result<bool, Fault> {
        let (Some(converter), Some(conversion)) =
            (self.options.converter, &step.parameters.conversion)
        else {
            return Ok(false);
        };
        let base = self.links.iter().find(|link| {
            link.child == hop && link.account == account && link.role == Role::BaseModel
        });
        let held = |hop: usize| {
            self.hops.get(hop).filter(|hop| hop.standing == Standing::Verified)?;
            self.copies.get(&hop).and_then(|held| self.evidence.held.get(*held))
        };
        let (Some(parent), Some(child)) = (base.and_then(|link| held(link.parent)), held(hop))
        else {
            return Ok(false);
        };
        let Some(result) = converter.convert_again(conversion, parent, child) else {
            return Ok(false);
        };
        let Err(difference) = result? else { return Ok(true) };
        self.account_problem(
            hop,
            account,
            Problem::new(
                "not-rederived",
                format!("converting {} again gives something else: {difference}", parent.place),
                "do not use this model: it is not what the conversion makes of its base",
            ),
        );
        Ok(false)
    }

    /// Adds a hop for data, which end a chain.
    fn data(
        &mut self,
        wanted: &Wanted<'_>,
        descriptor: &ResourceDescriptor,
    ) -> Result<usize, Fault> {
        let digests = ModelDigests::read(descriptor).ok();
        if let Some(index) = digests.and_then(|digests| self.known.get(&(digests, true))) {
            return Ok(*index);
        }
        let index = self.hops.len();
        if index >= LINEAGE_HOPS {
            return Err(Fault::TooMany { what: "ancestors", limit: LINEAGE_HOPS });
        }
        let mut hop = Hop::new(wanted, digests);
        let mut stands_for = None;
        if let Some(digests) = digests {
            self.known.insert((digests, true), index);
            self.copy(&mut hop, wanted, digests, index)?;
            stands_for = self.verdict_about(wanted, digests);
            if hop.standing == Standing::Unverified {
                self.described(&mut hop, digests);
                self.same_name(&mut hop, descriptor, digests)?;
            }
        }
        self.hops.push(hop);
        self.conclude(index, stands_for);
        Ok(index)
    }

    /// A signed statement about a dataset vouches for it as a signature in it does.
    fn described(&self, hop: &mut Hop, digests: ModelDigests) {
        let described = self.evidence.about(digests).find(|stated| {
            matches!(stated.claim.value().statement.predicate, Predicate::Dataset(_))
        });
        if let Some(stated) = described {
            hop.standing = Standing::Signed;
            hop.signed_by = stated.parties.iter().cloned().collect();
        }
    }

    /// Measures a folder of the name by which the child calls it, that nobody signed: by the child's own recipe.
    fn same_name(
        &self,
        hop: &mut Hop,
        descriptor: &ResourceDescriptor,
        digests: ModelDigests,
    ) -> Result<(), Fault> {
        if !self.options.measure_parents {
            return Ok(());
        }
        let recipe = match recipe_of(descriptor) {
            Ok(recipe) => recipe.unwrap_or_default(),
            Err(reason) => {
                hop.problems.push(Problem::of(&reason));
                return Ok(());
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
            let Some(source) = held.files.open()? else { continue };
            let listing = source.list(&Scope::to_sign(&recipe), self.limits)?;
            let irregular = listing.irregular.iter();
            let mut problems: Vec<String> =
                irregular.map(|what| format!("{} {}", what.name, what.why)).collect();
            if problems.is_empty() {
                self.limits.check_model_size(crate::model::total_size(&listing.files))?;
                let manifest = Manifest::measure(&*source, &recipe, listing.files, self.work)?;
                let measured = ModelDigests::of(&manifest);
                if measured == digests {
                    hop.place = Some(held.place.clone());
                    hop.standing = hop.standing.max(Standing::Measured);
                    return Ok(());
                }
                problems.push(differing(&measured, &digests));
            }
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
        Ok(())
    }

    /// What a hop comes to, once all behind it is known.
    fn conclude(&mut self, index: usize, stands_for: Option<(Vec<String>, String, Level)>) {
        let same_name = self.same_name_other_model(index);
        let allow = self.rules.unverified_parents == Unverified::Allow;
        let has_copy = self.copies.contains_key(&index);
        let Some(hop) = self.hops.get_mut(index) else { return };
        let is_root = hop.depth == 0;
        let told = |hop: &mut Hop, code, message: String, hint| match allow && !is_root {
            true => hop.notes.push(format!("unverified: {message}")),
            false => hop.problem(code, message, hint),
        };
        let holds = hop.accounts.iter().any(|account| account.stands);
        if hop.is_data() {
            match (hop.standing, stands_for) {
                (Standing::Unverified, Some((signers, verifier, _))) => {
                    hop.standing = Standing::StoodFor;
                    hop.signed_by = signers;
                    hop.notes.push(format!("{verifier} has passed it"));
                }
                (Standing::Unverified, None) => {
                    let message = match hop.digests {
                        Some(digests) => format!(
                            "no data with {digests} were found, signed or not, nor a signed statement about them"
                        ),
                        None => "what they were is not said by both digests, one of contents and one of names"
                            .to_owned(),
                    };
                    told(
                        hop,
                        "unverified-data",
                        message,
                        "name the folder that holds them with --in; or ask their owner for 'bulla attest dataset'",
                    );
                }
                _ => {}
            }
            hop.stands = hop.problems.is_empty();
            return;
        }
        match (has_copy, stands_for) {
            // The copy itself is wrong: no verdict mends that.
            (true, _) if hop.standing == Standing::Refused => {}
            (true, None) if hop.accounts.is_empty() => {
                told(
                    hop,
                    "no-provenance",
                    "nobody whom the trust file names for that says how it was made".to_owned(),
                    ASK_SIGNER,
                );
            }
            (true, None) => {}
            (_, Some((signers, verifier, level))) if !holds => {
                hop.standing = if has_copy { hop.standing } else { Standing::StoodFor };
                hop.level = Some(level);
                if !has_copy {
                    hop.signed_by = signers;
                }
                hop.notes
                    .push(format!("{verifier} has passed it, and stands in for what is behind it"));
                hop.next_level = Some("it is the verdict's level".to_owned());
                hop.stands = hop.problems.is_empty();
                return;
            }
            (true, Some(_)) => {}
            (false, _) => {
                let digests = hop.digests.map(|d| d.to_string()).unwrap_or_default();
                let message = match same_name {
                    Some(other) => other,
                    None => format!(
                        "not found: nothing with {digests} that a party of the trust file signed is in the folders that were looked at"
                    ),
                };
                told(hop, "unverified-parent", message, GET_IT);
            }
        }
        let unproven = allow && !is_root && hop.accounts.is_empty();
        hop.stands = hop.problems.is_empty() && (holds || unproven);
        let best = hop.accounts.iter().filter(|account| account.stands).map(|a| a.level).max();
        hop.level = Some(best.unwrap_or_default());
        hop.next_level = next_level(hop);
        if holds && hop.accounts.iter().any(|account| !account.stands) {
            hop.notes.push(
                "other statements about how it was made do not hold; one that does is enough"
                    .to_owned(),
            );
        }
    }

    /// What is known of a model that only has the name of one that was not found.
    fn same_name_other_model(&self, index: usize) -> Option<String> {
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

    /// The hop that is least sure.
    fn weakest(&self) -> String {
        let rank = |hop: &Hop| {
            let level = hop.level.unwrap_or(Level::L3);
            // Data have no level: unsigned data are about as sure as a model that its maker speaks for.
            let data = match hop.is_data() && hop.standing <= Standing::Measured {
                true => Level::L1,
                false => level,
            };
            (hop.stands, hop.standing != Standing::Unverified, data, hop.standing, hop.rederived)
        };
        let broken = |hop: &&Hop| {
            hop.stands
                || !hop.problems.is_empty()
                || hop.accounts.iter().any(|a| !a.problems.is_empty())
        };
        let Some(hop) = self.hops.iter().filter(broken).min_by_key(|hop| rank(hop)) else {
            return String::new();
        };
        let name = crate::text::Printable(&hop.name).to_string();
        let why = match (hop.level, hop.standing) {
            _ if !hop.stands => "it does not stand".to_owned(),
            (_, Standing::Unverified) => "nobody vouches for it but its child".to_owned(),
            (None, Standing::Measured) => {
                "the data are what its child says, and nobody signed them".to_owned()
            }
            (None, _) => "the data are signed".to_owned(),
            (Some(level), _) => match &hop.next_level {
                Some(next) => format!("{level}; {next}"),
                None => level.to_string(),
            },
        };
        format!("{name}: {why}")
    }
}

/// Why a hop does not reach the next level.
fn next_level(hop: &Hop) -> Option<String> {
    let level = hop.level?;
    Some(match level {
        Level::L0 if hop.accounts.is_empty() => "it has no signed provenance".to_owned(),
        Level::L0 => "none of its provenances holds".to_owned(),
        Level::L1 => "level 2 needs a builder that the trust file names, with its signer: this is its maker's own word".to_owned(),
        Level::L2 => "the trust file believes its builder no further: level 3 needs builds that cannot reach the signing key or one another".to_owned(),
        Level::L3 => return None,
    })
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

fn set(ids: &[String]) -> BTreeSet<String> {
    ids.iter().cloned().collect()
}

fn list(parties: &BTreeSet<String>) -> String {
    let shown: Vec<String> =
        parties.iter().map(|id| crate::text::Printable(id).to_string()).collect();
    if shown.is_empty() { "nobody who is named".to_owned() } else { shown.join(" and ") }
}
