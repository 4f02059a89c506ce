//! Parties: who signs, what their signatures are believed about, and when they count.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::bundle::UnverifiedBundle;
use crate::error::{Fault, Reason, Refusal};
use crate::limits::Limits;
use crate::statement::{Attestation, Predicate};
use crate::trust::{PublicKey, Trust};
use crate::verify::{Authenticated, Payload};

/// What a party may sign to count as the signer of a model.
const MODELS: &str = "oms";

/// Somebody who signs: one key of theirs, one authority, one set of identities.
#[derive(Debug, Clone)]
pub struct Party {
    /// Who they are. Several entries may be of the same party.
    pub id: String,
    /// What their signatures are checked by.
    pub trust: Trust,
    /// When their signatures count: from the first, and before the second.
    pub valid: (Option<Timestamp>, Option<Timestamp>),
    /// What they may sign.
    pub may_sign: MaySign,
}

/// What a party may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MaySign {
    /// Models, and every statement.
    Anything,
    /// What is named: names of predicates ([`Predicate::name`]), or predicate types, which are URIs. `oms` is the signature of a model.
    Only(BTreeSet<String>),
}

impl MaySign {
    /// Nothing but what is named.
    pub fn only(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::Only(names.into_iter().map(Into::into).collect())
    }

    /// Every name that stands for itself; whatever else may be signed is a predicate type.
    pub fn names() -> impl Iterator<Item = &'static str> {
        [MODELS].into_iter().chain(Predicate::NAMES)
    }

    /// Whether that is the signature of a model.
    #[must_use]
    pub fn models(&self) -> bool {
        self.allows(MODELS)
    }

    /// Whether that is a statement of this kind.
    #[must_use]
    pub fn statements(&self, predicate: &Predicate) -> bool {
        self.allows(predicate.name()) || self.allows(predicate.predicate_type())
    }

    /// Whether something of this name, or of this predicate type, may be signed.
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Self::Anything => true,
            Self::Only(names) => names.contains(name),
        }
    }
}

impl Party {
    /// The holder of one key, at any time.
    ///
    /// # Errors
    /// [`Fault`] as for [`Trust::keys`].
    pub fn of_key(id: impl Into<String>, key: PublicKey, may_sign: MaySign) -> Result<Self, Fault> {
        let trust = Trust::keys(vec![key])?;
        Ok(Self { id: id.into(), trust, valid: (None, None), may_sign })
    }

    /// Whether a signature of that time counts.
    #[must_use]
    pub fn counts_at(&self, at: Timestamp) -> bool {
        let (from, until) = self.valid;
        from.is_none_or(|from| from <= at) && until.is_none_or(|until| at < until)
    }
}

/// What was signed, and every party that accepts the signature; by the first of them it was authenticated.
///
/// # Errors
/// A [`Refusal`] if nobody does, with what is wrong for whoever nearly does.
pub fn authenticate<'p>(
    bundle: UnverifiedBundle,
    parties: impl IntoIterator<Item = &'p Party>,
    now: Timestamp,
    limits: &Limits,
) -> Result<(Authenticated<Payload>, Vec<&'p Party>), Refusal> {
    let accepting = accepting(&bundle, parties, now, limits)?;
    let first = accepting.first().ok_or_else(|| nobody(&bundle))?;
    Ok((bundle.authenticate(&first.trust, now, limits)?, accepting))
}

/// A statement, and every party that accepts its signature and may make it.
///
/// # Errors
/// A [`Refusal`] as for [`authenticate`], or if whoever signed it may not, or if it is none.
pub(crate) fn statement<'p>(
    bundle: UnverifiedBundle,
    parties: &'p [Party],
    now: Timestamp,
    limits: &Limits,
) -> Result<(Authenticated<Attestation>, Vec<&'p Party>), Refusal> {
    let (payload, known) = authenticate(bundle.clone(), parties, now, limits)?;
    let claim = payload.statement()?;
    let predicate = &claim.value().statement.predicate;
    let may = |party: &&'p Party| party.may_sign.statements(predicate);
    let allowed: Vec<&Party> = known.iter().copied().filter(may).collect();
    let Some(first) = allowed.first() else {
        let signer = known.first().map(|party| party.id.clone()).unwrap_or_default();
        return Err(Reason::MayNotSign { signer, what: predicate.name().to_owned() }.into());
    };
    // The time at which it counts is that of one who may make it, not of whoever else accepts the signature.
    match known.first().is_some_and(|known| std::ptr::eq(*known, *first)) {
        true => Ok((claim, allowed)),
        false => Ok((bundle.authenticate(&first.trust, now, limits)?.statement()?, allowed)),
    }
}

/// The parties that accept a signature, each looked at once; what was signed stays where it is.
fn accepting<'p>(
    bundle: &UnverifiedBundle,
    parties: impl IntoIterator<Item = &'p Party>,
    now: Timestamp,
    limits: &Limits,
) -> Result<Vec<&'p Party>, Refusal> {
    let mut found = Vec::new();
    let mut reasons = Vec::new();
    for party in parties {
        match bundle.checked(&party.trust, now, limits) {
            Ok(checked) if party.counts_at(checked.checked_at) => found.push(party),
            Ok(checked) => reasons.push(Reason::NotInForce {
                signer: party.id.clone(),
                at: checked.checked_at.to_string(),
            }),
            Err(refusal) => reasons.extend(refusal.reasons().cloned()),
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    // That it is not by each of many others says nothing.
    reasons.retain(|reason| {
        !matches!(reason, Reason::OtherMethod { .. } | Reason::WrongKeyHint { .. })
    });
    Err(Refusal::from_reasons(reasons).unwrap_or_else(|| nobody(bundle)))
}

fn nobody(bundle: &UnverifiedBundle) -> Refusal {
    Reason::NotByAnyParty { method: bundle.material().method() }.into()
}
