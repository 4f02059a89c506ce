//! Deciding by a policy: what `bulla admit` and `bulla verify --policy` have in common, with a registry or without.

use std::path::Path;

use bulla::lineage::{Converter, Held, Stored};
use bulla::{Fault, Limits, LocalModel, ModelSource as _, SignedBy};
use bulla_policy::{
    Candidate, Decision, Gate, Memory, Mode, ModelName, Recall, Request, Seen, Sighting,
};
use bulla_registry::{
    Answer, Basis, ClaimSeen, Deployment, ModelRef, ModelSighting, NewDecision, PolicyRef, Record,
    Registry, SignatureSeen, Vouched,
};
use jiff::Timestamp;

use crate::arguments::WorkArguments;
use crate::commands::lineage::{Around, ChainFlags};
use crate::policies::PolicyArguments;
use crate::problem::Problem;
use crate::rederive::Again;
use crate::registry::Opened;
use crate::ui::Ui;

/// What is asked of a model.
pub(crate) struct Asked<'a> {
    pub(crate) model: &'a Path,
    /// The name that it is deployed by, else that of its folder or file.
    pub(crate) name: Option<&'a str>,
    pub(crate) expected: &'a [ModelName],
    pub(crate) chain: &'a ChainFlags,
    pub(crate) work: &'a WorkArguments,
    /// A signature to take in place of the one that is there.
    pub(crate) signature: Option<Vec<u8>>,
}

/// What a registry remembers for a deployment.
pub(crate) struct Remembered<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) environment: &'a str,
    pub(crate) name: &'a str,
    pub(crate) policy: &'a str,
    pub(crate) now: Timestamp,
    /// Only approvals from then on count, and a quarantine does not: it is about to be lifted.
    pub(crate) looked_at_again: Option<Timestamp>,
}

impl Recall for Remembered<'_> {
    fn wants_files(&self) -> bool {
        true
    }

    fn recall(&self, seen: Seen) -> Result<Memory, Fault> {
        let asked = Deployment {
            environment: self.environment,
            name: self.name,
            signature: seen.signature.as_ref(),
            model: seen.digests.as_ref(),
            policy: self.policy,
        };
        // Not when it was begun: a large model takes minutes, and others write meanwhile.
        let known = self.registry.memory(asked, Timestamp::now())?;
        // What was rolled back to on purpose may run, though its sequence is lower than the highest; it, and nothing between.
        let on_purpose = known
            .running
            .as_ref()
            .filter(|running| running.rolled_back && seen.digests == Some(running.model));
        let sequence = on_purpose.map_or(known.sequence, |running| running.sequence);
        let quarantined = known.quarantined.filter(|_| self.looked_at_again.is_none());
        Ok(Memory {
            quarantined: quarantined.map(|quarantine| quarantine.to_string()),
            first_seen: known.first_seen,
            approvals_since: self.looked_at_again.max(known.approvals_since),
            sequence,
            last_decision: known.last_decision.map(|last| last.min(self.now)),
            policy: known.policy,
            revocations: known.revocation_document,
        })
    }
}

/// Decides about a model.
pub(crate) fn decide(
    gate: &Gate,
    policy: &PolicyArguments,
    opened: Option<&Opened>,
    asked: Asked<'_>,
    now: Timestamp,
    limits: &Limits,
    ui: &Ui,
) -> Result<Decision, Problem> {
    let source = LocalModel::open(asked.model)?;
    let name = asked.name.unwrap_or_else(|| source.name());
    match opened {
        None => decide_by(gate, policy, &Memory::default(), asked, name, now, limits, ui),
        Some(opened) => {
            let remembered = Remembered {
                registry: &opened.registry,
                environment: &policy.environment,
                name,
                policy: &gate.policy().name,
                now,
                looked_at_again: None,
            };
            decide_by(gate, policy, &remembered, asked, name, now, limits, ui)
        }
    }
}

/// The same by what is remembered.
#[allow(clippy::too_many_arguments)]
pub(crate) fn decide_by(
    gate: &Gate,
    policy: &PolicyArguments,
    remembered: &dyn Recall,
    asked: Asked<'_>,
    name: &str,
    now: Timestamp,
    limits: &Limits,
    ui: &Ui,
) -> Result<Decision, Problem> {
    let source = LocalModel::open(asked.model)?;
    let chain_counts = policy.environment(gate)?.chain_counts();
    let Around { mut held, measure_parents, rederive } =
        asked.chain.around(asked.model, chain_counts)?;
    if let (Some(root), Some(signature)) = (held.first_mut(), asked.signature) {
        root.signature = Stored::Bytes(signature);
    }
    let again = Again { limits };
    let request = Request {
        environment: &policy.environment,
        name,
        expected: asked.expected,
        measure_parents,
        converter: rederive.then_some(&again as &dyn Converter),
    };
    let bar = ui.bar("hashing");
    let candidate = Candidate { source: &source, held };
    let work = asked.work.work(&bar);
    Ok(gate.decide(&request, candidate, remembered, now, limits, work)?)
}

/// Writes a decision down, with everything that was seen for it.
pub(crate) fn record(
    opened: &Opened,
    gate: &Gate,
    decision: &Decision,
    request: &str,
    model: &Path,
    verdict: Option<&[u8]>,
) -> Result<Answer, Problem> {
    let json = serde_json::to_vec(decision)
        .map_err(|_| Fault::Bug { what: "a decision cannot be written" })?;
    let list = gate.revocations();
    let new = NewDecision {
        request: request.to_owned(),
        model: decision.digests,
        environment: decision.environment.clone(),
        name: decision.name.clone(),
        policy: PolicyRef {
            name: decision.policy.name.clone(),
            version: decision.policy.version,
            digest: decision.policy.digest,
            rules: decision.policy.rules,
        },
        revocations: list.digest.map(|digest| (list.version, digest)),
        withdrawn: Some(opened.revoked()),
        admitted: decision.admitted,
        passed: decision.passed,
        mode: match decision.mode {
            Mode::Enforce => "enforce",
            Mode::Warn => "warn",
            Mode::Audit => "audit",
        }
        .to_owned(),
        time: decision.at,
        expires: decision.expires(),
        json,
        verdict: verdict.map(<[u8]>::to_vec),
        evidence: decision.decided_by(),
    };
    let seen = sightings(decision, model);
    Ok(opened.registry.record_decision(&seen, &new, Timestamp::now())?)
}

/// What was seen of a model.
pub(crate) fn sightings(decision: &Decision, model: &Path) -> Vec<Record> {
    let Some(digests) = decision.digests else { return Vec::new() };
    let place = model.canonicalize().unwrap_or_else(|_| model.to_owned());
    let mut records = vec![Record::Model(ModelSighting {
        model: digests,
        name: decision.name.clone(),
        place: place.to_string_lossy().into_owned(),
        size: decision.size,
        files: decision.files.clone(),
    })];
    let mut known: Vec<Record> = Vec::new();
    for one in &decision.sightings {
        let new = sighting(digests, one);
        // Several people may have signed one statement: it rests on all of them.
        match known.iter_mut().find_map(|there| same_claim(there, &new)) {
            Some(there) => join(&mut there.basis, &basis(one)),
            None => known.push(new),
        }
    }
    records.extend(known);
    records
}

fn same_claim<'r>(there: &'r mut Record, new: &Record) -> Option<&'r mut ClaimSeen> {
    match (there, new) {
        (Record::Claim(there), Record::Claim(new)) if there.claim == new.claim => Some(there),
        _ => None,
    }
}

/// What rests on both: on what either rests on, and at no time that only one of them has.
fn join(basis: &mut Basis, other: &Basis) {
    fn add<T: Clone + PartialEq>(list: &mut Vec<T>, other: &[T]) {
        other.iter().for_each(|one| {
            if !list.contains(one) {
                list.push(one.clone());
            }
        });
    }
    add(&mut basis.keys, &other.keys);
    add(&mut basis.certificates, &other.certificates);
    add(&mut basis.identities, &other.identities);
    basis.times.retain(|time| other.times.contains(time));
    basis.not_before = basis.not_before.min(other.not_before);
    if basis.provider != other.provider {
        basis.provider = None;
    }
}

fn sighting(model: bulla::ModelDigests, one: &Sighting) -> Record {
    let basis = basis(one);
    match &one.predicate_type {
        None => Record::Signature(SignatureSeen {
            signature: one.what,
            model,
            authorities: one.parties.iter().cloned().collect(),
            basis,
        }),
        Some(predicate_type) => Record::Claim(ClaimSeen {
            claim: one.what,
            model,
            predicate_type: predicate_type.clone(),
            role: one.role.clone(),
            basis,
            parents: one
                .parents
                .iter()
                .flat_map(|parent| [ModelRef::Manifest(parent.manifest), ModelRef::Oms(parent.oms)])
                .collect(),
        }),
    }
}

/// What a signature rests on.
fn basis(one: &Sighting) -> Basis {
    let key = one.signed_by.key().fingerprint();
    let mut basis = Basis { keys: vec![key], ..Basis::default() };
    let path = match &one.signed_by {
        SignedBy::Certificate(signer) => {
            basis.identities = signer.names.iter().map(|name| name.as_str().to_owned()).collect();
            basis.not_before = Some(signer.valid_from);
            Some(&signer.path)
        }
        SignedBy::Identity(signer) => {
            basis.identities = vec![signer.identity.as_str().to_owned()];
            basis.provider = Some(signer.provider.clone());
            basis.not_before = Some(signer.valid_from);
            Some(&signer.path)
        }
        _ => None,
    };
    if let Some(path) = path {
        basis.certificates.clone_from(&path.certificates);
        basis.keys.extend(path.keys.iter().copied().filter(|other| *other != key));
    }
    basis.times = one
        .times
        .iter()
        .map(|time| Vouched {
            at: time.at,
            clocks: time.keys.iter().chain(&time.certificates).copied().collect(),
        })
        .collect();
    basis
}

/// An id for a request that has none.
pub(crate) fn new_request() -> Result<String, Problem> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Fault::Bug { what: "there are no random numbers" })?;
    Ok(hex::encode(bytes))
}

/// A model on this machine's disk, with its own signature only.
pub(crate) fn alone(model: &Path) -> Result<Held, Problem> {
    Ok(Held::local(model)?)
}
