//! The walk itself.
//!
//! First everything is found that can be reached, the nearest first; then what stands is worked out, beginning with what
//! needs nothing else. So neither the order of claims nor a false one beside a true one changes the answer, and nothing in a cycle
//! stands by itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;
use serde_json::Value;

use super::evidence::{Evidence, Held, Stated};
use super::look::StandIn;
use super::rules::{Level, Rules, Unverified};
use super::{Account, Hop, Lineage, Link, Options, Problem, Side, Standing};
use crate::error::{Failure, Fault, Reason};
use crate::limits::{LINEAGE_HOPS, Limits};
use crate::model::{ModelSource, Scope, Work};
use crate::statement::Predicate;
use crate::statement::build::{Kind, Role, Step};
use crate::statement::descriptor::ResourceDescriptor;
use crate::statement::model::ModelDigests;
use crate::statement::oms::{OmsClaim, SignedFiles};
use crate::statement::provenance::Provenance;
use crate::verify::Authenticated;

pub(super) const GET_IT: &str = "get the model from its publisher, with its model.sig, and name the folder that it is in with --in; or a \
                      verdict about it by a verifier that you trust";
const NOT_SIGNED: &str =
    "if the model is yours, sign it with 'bulla sign'; else get it again, with its model.sig";
const ASK_SIGNER: &str =
    "ask whoever made it for a provenance signed by the party that the trust file names";

pub(super) struct Walk<'a> {
    pub(super) evidence: &'a Evidence,
    pub(super) rules: &'a Rules,
    pub(super) options: Options<'a>,
    pub(super) now: Timestamp,
    pub(super) limits: &'a Limits,
    pub(super) work: Work<'a>,
    pub(super) hops: Vec<Hop>,
    links: Vec<Link>,
    /// Models, and data: what was looked at as data needs no provenance, and so is not known as a model.
    known: BTreeMap<(ModelDigests, bool), usize>,
    /// Where each hop's copy was found.
    pub(super) copies: BTreeMap<usize, usize>,
    stand_ins: BTreeMap<usize, StandIn>,
    /// Accounts whose links are still to be followed.
    open: VecDeque<Task<'a>>,
    /// Those that do not hold as it is: they are followed last, only to be shown, and take no room from the others.
    later: VecDeque<Task<'a>>,
    conversions: Vec<(usize, usize, Value)>,
}

struct Task<'a> {
    hop: usize,
    account: usize,
    step: Step<'a>,
}

/// Something that is looked for.
pub(super) struct Wanted<'d> {
    pub(super) name: &'d str,
    pub(super) role: Option<Role>,
    pub(super) descriptor: Option<&'d ResourceDescriptor>,
    pub(super) depth: usize,
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
            stood_for_since: None,
            stands: false,
            level: None,
            next_level: None,
            rederived: false,
            problems: Vec::new(),
            notes: Vec::new(),
            accounts: Vec::new(),
        }
    }

    pub(super) fn problem(&mut self, code: &'static str, message: String, hint: &'static str) {
        self.problems.push(Problem::new(code, message, hint));
    }

    /// Nobody vouches for it: a problem, or what a person is told.
    fn unverified(&mut self, allow: bool, code: &'static str, message: String, hint: &'static str) {
        match allow {
            true => self.notes.push(format!("unverified: {message}")),
            false => self.problem(code, message, hint),
        }
    }

    fn is_data(&self) -> bool {
        matches!(self.role, Some(Role::TrainingData | Role::RetrievalIndex))
    }
}

/// A model whose files were just found to be what was signed, and what that was.
struct Verified<'a> {
    held: &'a Held,
    source: Box<dyn ModelSource + 'a>,
    claim: Authenticated<OmsClaim>,
}

impl Verified<'_> {
    fn signed(&self) -> Result<SignedFiles<'_>, Fault> {
        let signed = self.claim.value().files(self.source.name(), self.source.layout());
        signed.map_err(|_| Fault::Changed { path: self.held.place.clone() })
    }

    fn side<'a>(&'a self, signed: &'a SignedFiles<'_>) -> Side<'a> {
        let mut scope = Scope::to_verify(&self.claim.value().recipe, &*signed.0);
        self.held.signature_path.iter().for_each(|path| scope.ignore_file(path.clone()));
        Side { held: self.held, source: Box::new(&*self.source), scope }
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
            copies: BTreeMap::new(),
            stand_ins: BTreeMap::new(),
            open: VecDeque::new(),
            later: VecDeque::new(),
            conversions: Vec::new(),
        }
    }

    pub(super) fn run(mut self) -> Result<Lineage, Fault> {
        // 1. What can be reached.
        self.root()?;
        while let Some(task) = self.open.pop_front().or_else(|| self.later.pop_front()) {
            self.follow(&task)?;
        }
        // 2. What can be done again.
        let same = self.convert_again()?;
        // 3. What stands.
        let since = self.settle();
        self.cycles(&since);
        for (hop, account) in same {
            let hop = self.hops.get_mut(hop);
            hop.into_iter().for_each(|hop| {
                hop.rederived |= hop.accounts.get(account).is_some_and(|account| account.stands);
            });
        }
        for index in 0..self.hops.len() {
            self.conclude(index);
        }

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

    fn root(&mut self) -> Result<(), Fault> {
        let evidence = self.evidence;
        let root = evidence.held.first().ok_or(Fault::Bug { what: "no model to walk from" })?;
        let wanted = Wanted { name: &root.name, role: None, descriptor: None, depth: 0 };
        if let Some(signature) = evidence.signatures.iter().find(|signature| signature.held == 0) {
            return self.model(&wanted, signature.digests).map(|_| ());
        }
        let mut hop = Hop::new(&wanted, None);
        hop.place = Some(root.place.clone());
        let reason = evidence.unsigned.first().and_then(Option::as_ref);
        hop.problems.extend(reason.map(|reason| match reason {
            Reason::NoSignature { .. } => {
                Problem::new(reason.code(), reason.to_string(), NOT_SIGNED)
            }
            _ => Problem::of(reason),
        }));
        self.hops.push(hop);
        Ok(())
    }

    /// Adds a hop for a model, and the accounts of how it was made to what is still to be followed.
    fn model(&mut self, wanted: &Wanted<'_>, digests: ModelDigests) -> Result<usize, Fault> {
        let index = self.hops.len();
        self.known.insert((digests, false), index);
        let mut hop = Hop::new(wanted, Some(digests));
        hop.level = Some(Level::L0);
        if wanted.depth > self.rules.max_depth {
            let limit = self.rules.max_depth;
            hop.problem(
                "too-deep",
                format!("it lies deeper than {limit} hops, the most that is walked"),
                "if so long a chain is expected, raise max_depth in the trust file",
            );
            self.hops.push(hop);
            return Ok(index);
        }
        self.copy(&mut hop, wanted, digests, index)?;
        let has_copy = self.copies.contains_key(&index);
        let refused = hop.standing == Standing::Refused;
        self.hops.push(hop);
        if has_copy {
            self.accounts(index, digests);
        }
        // The copy itself is wrong: no verdict mends that.
        let verdict = self.verdict_about(wanted, digests).filter(|_| !refused);
        let is_stood_for = verdict.is_some();
        self.stand_ins.extend(verdict.map(|verdict| (index, verdict)));
        let same_name = self.same_name_other_model(index);
        let allow = self.allows_unverified(index);
        let Some(hop) = self.hops.get_mut(index) else { return Ok(index) };
        match has_copy {
            true if hop.accounts.is_empty() && !is_stood_for && !refused => hop.unverified(
                allow,
                "no-provenance",
                "nobody whom the trust file names for that says how it was made".to_owned(),
                ASK_SIGNER,
            ),
            false if !is_stood_for => {
                let message = same_name.unwrap_or_else(|| format!(
                    "not found: nothing with {digests} that a party of the trust file signed is in the folders that were looked at"
                ));
                hop.unverified(allow, "unverified-parent", message, GET_IT);
            }
            _ => {}
        }
        Ok(index)
    }

    /// Adds a hop for data, which end a chain.
    fn data(
        &mut self,
        wanted: &Wanted<'_>,
        descriptor: &ResourceDescriptor,
        digests: Option<ModelDigests>,
    ) -> Result<usize, Fault> {
        let index = self.hops.len();
        let mut hop = Hop::new(wanted, digests);
        let mut verdict = None;
        if let Some(digests) = digests {
            self.known.insert((digests, true), index);
            self.copy(&mut hop, wanted, digests, index)?;
            verdict = self.verdict_about(wanted, digests);
            if hop.standing == Standing::Unverified {
                self.described(&mut hop, digests);
                self.same_name(&mut hop, descriptor, digests);
            }
        }
        match (hop.standing, verdict) {
            (Standing::Unverified, Some(verdict)) => {
                hop.standing = Standing::StoodFor;
                hop.signed_by = verdict.signers;
                hop.notes.push(format!("{} has passed it", verdict.verifier));
            }
            (Standing::Unverified, None) => {
                let message = match hop.digests {
                    Some(digests) => format!(
                        "no data with {digests} were found, signed or not, nor a signed statement about them"
                    ),
                    None => {
                        "what they were is not said by both digests, one of contents and one of names"
                            .to_owned()
                    }
                };
                let allow = self.rules.unverified_parents == Unverified::Allow;
                hop.unverified(
                    allow,
                    "unverified-data",
                    message,
                    "name the folder that holds them with --in; or ask their owner for 'bulla attest dataset'",
                );
            }
            _ => {}
        }
        self.hops.push(hop);
        Ok(index)
    }

    /// Whether a hop may be without proof of its origin: never the model that was asked for.
    fn allows_unverified(&self, hop: usize) -> bool {
        hop > 0 && self.rules.unverified_parents == Unverified::Allow
    }

    /// Looks at every statement of how a model was made.
    fn accounts(&mut self, hop: usize, digests: ModelDigests) {
        let evidence = self.evidence;
        for stated in evidence.about(digests) {
            if let Predicate::Provenance(provenance) = &stated.claim.value().statement.predicate {
                self.account(hop, stated, provenance);
            }
        }
    }

    fn account(&mut self, hop: usize, stated: &'a Stated, provenance: &'a Provenance) {
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
        let kind = step.as_ref().map(|step| step.kind);
        if kind == Some(Kind::Pretrain)
            && stated.parties.is_disjoint(&set(&self.rules.no_parents_signed_by))
        {
            problems.push(Problem::new(
                "may-not-say-no-parents",
                format!(
                    "{} says that it has no parents, and is not among those whose word for that counts",
                    list(&stated.parties)
                ),
                "name the party under no_parents_signed_by in the trust file, if its word is good for that",
            ));
        }
        let run = provenance.run_details.metadata.as_ref().map(|run| run.invocation_id.clone());
        let claim = &stated.claim;
        let holds = problems.is_empty();
        let account = Account {
            made_by: match kind {
                Some(kind) => kind.name().to_owned(),
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
        let Some(this) = self.hops.get_mut(hop) else { return };
        let index = this.accounts.len();
        this.accounts.push(account);
        let Some(step) = step else { return };
        if step.parameters.source.as_ref().is_some_and(|source| source.dirty != Some(false)) {
            this.notes.push(
                "the code that made it had changes that were not committed, or may have had: its commit does not say what ran"
                    .to_owned(),
            );
        }
        if let (Kind::Convert, Some(conversion)) = (step.kind, &step.parameters.conversion) {
            self.conversions.push((hop, index, conversion.clone()));
        }
        let queue = if holds { &mut self.open } else { &mut self.later };
        queue.push_back(Task { hop, account: index, step });
    }

    /// Finds what an account says went in.
    fn follow(&mut self, task: &Task<'a>) -> Result<(), Fault> {
        let depth = self.hops.get(task.hop).map(|hop| hop.depth + 1).unwrap_or_default();
        for (role, descriptor) in task.step.links() {
            let is_data = !matches!(role, Role::BaseModel | Role::Adapter);
            let digests = ModelDigests::read(descriptor).ok();
            let known = digests.and_then(|digests| self.known.get(&(digests, is_data)));
            let parent = match (known, digests) {
                (Some(parent), _) => *parent,
                (None, _) if self.hops.len() >= LINEAGE_HOPS => {
                    let problem = Problem::new(
                        "too-many",
                        format!("more than {LINEAGE_HOPS} models and data: not all were looked at"),
                        "name datasets that consist of many parts as one",
                    );
                    self.account_problem(task.hop, task.account, problem);
                    return Ok(());
                }
                (None, digests) => {
                    let (name, role) = (descriptor.label(), Some(role));
                    let wanted = Wanted { name, role, descriptor: Some(descriptor), depth };
                    match digests {
                        Some(digests) if !is_data => self.model(&wanted, digests)?,
                        digests => self.data(&wanted, descriptor, digests)?,
                    }
                }
            };
            let (child, account) = (task.hop, task.account);
            self.links.push(Link { child, account, parent, role });
        }
        Ok(())
    }

    fn account_problem(&mut self, hop: usize, account: usize, problem: Problem) {
        let account = self.hops.get_mut(hop).and_then(|hop| hop.accounts.get_mut(account));
        account.into_iter().for_each(|account| account.problems.push(problem.clone()));
    }

    /// Does conversions again, if that is asked for and both sides are here: files that were just found to be what was signed, for
    /// others prove nothing. The accounts for which it gives the same.
    fn convert_again(&mut self) -> Result<Vec<(usize, usize)>, Fault> {
        let mut same = Vec::new();
        let Some(converter) = self.options.converter else { return Ok(same) };
        for (hop, account, conversion) in std::mem::take(&mut self.conversions) {
            let base = self.links.iter().find(|link| {
                link.child == hop && link.account == account && link.role == Role::BaseModel
            });
            let parent = base.map(|link| self.verified(link.parent)).transpose()?.flatten();
            let (Some(parent), Some(child)) = (parent, self.verified(hop)?) else { continue };
            let (of_parent, of_child) = (parent.signed()?, child.signed()?);
            let sides = (parent.side(&of_parent), child.side(&of_child));
            let Some(result) = converter.convert_again(&conversion, sides.0, sides.1) else {
                continue;
            };
            let Err(difference) = result? else {
                same.push((hop, account));
                continue;
            };
            let problem = Problem::new(
                "not-rederived",
                format!(
                    "converting {} again gives something else: {difference}",
                    parent.held.place
                ),
                "do not use this model: it is not what the conversion makes of its base",
            );
            self.account_problem(hop, account, problem);
        }
        Ok(same)
    }

    /// A copy that was just found to be what was signed.
    fn verified(&self, hop: usize) -> Result<Option<Verified<'a>>, Fault> {
        let is_verified = self.hops.get(hop).is_some_and(|hop| hop.standing == Standing::Verified);
        let Some(copy) = self.copies.get(&hop).filter(|_| is_verified) else { return Ok(None) };
        let evidence = self.evidence;
        let signature = evidence.signatures.iter().find(|found| found.held == *copy);
        let Some((held, signature)) = evidence.held.get(*copy).zip(signature) else {
            return Ok(None);
        };
        let Some(source) = held.files.open()? else { return Ok(None) };
        match signature.claim(held, self.rules, self.now, self.limits) {
            Ok(claim) => Ok(Some(Verified { held, source, claim })),
            Err(Failure::Refused(_)) => Err(Fault::Changed { path: held.place.clone() }),
            Err(Failure::Fault(fault)) => Err(fault),
        }
    }

    /// Works out what stands: an account whose parents all do, a hop with such an account. It begins with what needs no parent, and only what
    /// stands already makes anything stand. Gives for each hop when it came to stand.
    fn settle(&mut self) -> Vec<Option<usize>> {
        let parents = self.parents();
        let mut since: Vec<Option<usize>> = vec![None; self.hops.len()];
        let mut clock = 0;
        loop {
            let before = clock;
            // What was found last is mostly what the others need.
            for index in (0..self.hops.len()).rev() {
                let allow = self.allows_unverified(index);
                let without_proof =
                    allow && self.hops.get(index).is_some_and(|hop| hop.accounts.is_empty());
                let stood_for = self.stand_ins.contains_key(&index);
                let Some(hop) = self.hops.get_mut(index) else { continue };
                for (account, this) in hop.accounts.iter_mut().enumerate() {
                    let parents = parents.get(&(index, account)).into_iter().flatten();
                    let all =
                        parents.into_iter().all(|p| since.get(*p).is_some_and(Option::is_some));
                    this.stands = this.problems.is_empty() && all;
                }
                let holds = hop.accounts.iter().any(|account| account.stands);
                let stands = hop.problems.is_empty()
                    && (hop.is_data() || stood_for || without_proof || holds);
                if let Some(slot @ None) = since.get_mut(index).filter(|_| stands) {
                    hop.stands = true;
                    *slot = Some(clock);
                    clock += 1;
                }
            }
            if clock == before {
                return since;
            }
        }
    }

    /// What each account says went in.
    fn parents(&self) -> BTreeMap<(usize, usize), Vec<usize>> {
        let mut parents: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
        for link in &self.links {
            parents.entry((link.child, link.account)).or_default().push(link.parent);
        }
        parents
    }

    /// Names the accounts by which something is made from itself. Nothing stands by one of them.
    fn cycles(&mut self, since: &[Option<usize>]) {
        let parents = self.parents();
        // Of what stands: an account that came to hold only because the hop stood already, and of those that do not: any that nothing else
        // is wrong with.
        let sound = |hop: usize, account: usize| {
            let hop = self.hops.get(hop);
            hop.and_then(|hop| hop.accounts.get(account)).is_some_and(|a| a.problems.is_empty())
        };
        let mut ancestors: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for ((hop, account), parents) in &parents {
            if sound(*hop, *account) {
                ancestors.entry(*hop).or_default().extend(parents);
            }
        }
        let mut found: Vec<(usize, usize, Problem)> = Vec::new();
        let mut closed: BTreeSet<usize> = BTreeSet::new();
        for ((hop, account), parents) in &parents {
            let stood = since.get(*hop).copied().flatten();
            if !sound(*hop, *account) {
                continue;
            }
            for parent in parents {
                let later = since.get(*parent).copied().flatten() >= stood;
                // Of a cycle in which nothing stands, the hop that was found last is named.
                let suspect = match stood {
                    Some(_) => later,
                    None => parent <= hop && !closed.contains(hop),
                };
                if let Some(way) = suspect.then(|| way(&ancestors, *parent, *hop)).flatten() {
                    closed.insert(*hop);
                    found.push((*hop, *account, self.cycle(&way, *parent)));
                    break;
                }
            }
        }
        for (hop, account, problem) in found {
            self.account_problem(hop, account, problem);
            let account = self.hops.get_mut(hop).and_then(|hop| hop.accounts.get_mut(account));
            account.into_iter().for_each(|account| account.stands = false);
        }
    }

    fn cycle(&self, way: &[usize], parent: usize) -> Problem {
        let around = way.iter().chain([&parent]).filter_map(|hop| self.hops.get(*hop));
        let names: Vec<String> =
            around.map(|hop| crate::text::Printable(&hop.name).to_string()).collect();
        Problem::new(
            "cycle",
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

    /// What a hop comes to, once all behind it is known.
    fn conclude(&mut self, index: usize) {
        let verdict = self.stand_ins.get(&index);
        let has_copy = self.copies.contains_key(&index);
        let Some(hop) = self.hops.get_mut(index).filter(|hop| hop.level.is_some()) else { return };
        let holding = hop.accounts.iter().filter(|account| account.stands);
        let best = holding.map(|account| account.level).max();
        match (best, verdict) {
            (None, Some(verdict)) => {
                let StandIn { signers, verifier, level, at } = verdict;
                hop.stood_for_since = Some(*at);
                if !has_copy {
                    hop.standing = Standing::StoodFor;
                    hop.signed_by.clone_from(signers);
                }
                hop.level = Some(*level);
                hop.notes
                    .push(format!("{verifier} has passed it, and stands in for what is behind it"));
                hop.next_level = Some("it is the verdict's level".to_owned());
            }
            _ => {
                hop.level = Some(best.unwrap_or_default());
                hop.next_level = next_level(hop);
            }
        }
        if best.is_some() && hop.accounts.iter().any(|account| !account.stands) {
            hop.notes.push(
                "other statements about how it was made do not hold; one that does is enough"
                    .to_owned(),
            );
        }
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

/// The shortest way back from one hop to another.
fn way(ancestors: &BTreeMap<usize, Vec<usize>>, from: usize, to: usize) -> Option<Vec<usize>> {
    let mut came: BTreeMap<usize, usize> = BTreeMap::new();
    let mut open = VecDeque::from([from]);
    while let Some(at) = open.pop_front() {
        if at == to {
            let mut way = vec![at];
            let mut last = at;
            while last != from {
                last = *came.get(&last)?;
                way.push(last);
            }
            way.reverse();
            return Some(way);
        }
        for next in ancestors.get(&at).into_iter().flatten() {
            if *next != from && !came.contains_key(next) {
                came.insert(*next, at);
                open.push_back(*next);
            }
        }
    }
    None
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

fn set(ids: &[String]) -> BTreeSet<String> {
    ids.iter().cloned().collect()
}

pub(super) fn list(parties: &BTreeSet<String>) -> String {
    let shown: Vec<String> =
        parties.iter().map(|id| crate::text::Printable(id).to_string()).collect();
    if shown.is_empty() { "nobody who is named".to_owned() } else { shown.join(" and ") }
}
