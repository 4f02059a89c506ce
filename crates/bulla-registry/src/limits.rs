//! Caps on what is written, and the texts that are taken.

use bulla::Fault;

use crate::event::{Basis, Event};
use crate::subject::Subject;

/// Bytes of a name: of a model, an environment, a policy, an authority, a worker, whoever says something.
pub(crate) const NAME: usize = 256;
/// Bytes of a place, an identity or a provider. With one more of them they still fit in an index of PostgreSQL.
pub(crate) const PLACE: usize = 1024;
pub(crate) const IDENTITY: usize = 512;
/// Bytes of a request's id.
pub(crate) const REQUEST: usize = 128;
/// Bytes of a reason.
pub(crate) const REASON: usize = 4096;
/// Bytes of an alert.
const ALERT: usize = 32 << 10;
/// Of digests and names in one list of an event.
const LIST: usize = 512;
/// Bytes of a decision, a verdict, or a list of files.
pub(crate) const ATTACHMENT: usize = 16 << 20;
/// Files of a model.
pub(crate) const FILES: usize = 200_000;
/// Requests in one event; a withdrawal of more is several.
pub(crate) const REQUESTS: usize = 256;
/// The largest number: what JSON numbers hold exactly.
const NUMBER: u64 = (1 << 53) - 1;

/// Looks at everything in an event that somebody else may have chosen.
pub(crate) fn check(place: &str, event: &Event) -> Result<(), Fault> {
    let found = match event {
        Event::ModelSeen(seen) => all([
            name("the model's name", &seen.name),
            text("the model's place", &seen.place, PLACE),
            number("the model's size", seen.size),
        ]),
        Event::SignatureSeen(seen) => all([
            list("authorities", seen.authorities.len()),
            all_names("an authority", &seen.authorities),
            basis(&seen.basis),
        ]),
        Event::ClaimSeen(seen) => all([
            text("the predicate type", &seen.predicate_type, PLACE),
            name("the role", &seen.role),
            list("parents", seen.parents.len()),
            basis(&seen.basis),
        ]),
        Event::KeyAdded(key) => all([
            name("the authority", &key.authority),
            name("the key's id", &key.id),
            name("the algorithm", &key.algorithm),
            name("the storage", &key.storage),
        ]),
        Event::Decided(decided) => all([
            text("the request", &decided.request, REQUEST),
            name("the environment", &decided.environment),
            name("the name", &decided.name),
            name("the policy", &decided.policy.name),
            name("the mode", &decided.mode),
            number("the policy's version", decided.policy.version),
            list("pieces of evidence", decided.evidence.len()),
        ]),
        Event::DecisionsWithdrawn(withdrawn) => all([
            reason(&withdrawn.reason),
            name("who withdraws", &withdrawn.by),
            list("requests", withdrawn.requests.len()),
        ]),
        Event::PolicyUsed(used) => {
            all([name("the policy", &used.name), number("the policy's version", used.version)])
        }
        Event::RevocationsUsed(used) => {
            all([name("the policy", &used.policy), number("the document's version", used.version)])
        }
        Event::Released(released) => all([
            name("the environment", &released.environment),
            name("the name", &released.name),
            text("the request", &released.request, REQUEST),
            number("the sequence", released.sequence.unwrap_or_default()),
        ]),
        Event::RolledBack(rolled_back) => reason(&rolled_back.reason),
        Event::Revoked(revoked) => all([
            reason(&revoked.reason),
            name("who revokes", &revoked.by),
            subject(&revoked.subject),
        ]),
        Event::Quarantined(put) => all([reason(&put.reason), name("who puts it there", &put.by)]),
        Event::QuarantineLifted(lifted) => {
            all([reason(&lifted.reason), name("who lifts it", &lifted.by)])
        }
        Event::ResignQueued(queued) => reason(&queued.reason),
        Event::ResignClaimed(claimed) => name("the worker", &claimed.worker),
        Event::ResignEnded(ended) => all([
            name("the worker", &ended.worker),
            ended.refused.as_deref().map_or(Ok(()), reason),
        ]),
        Event::AlertQueued(alert) => all([
            name("the destination", &alert.destination),
            long_text("the alert", &alert.payload, ALERT),
        ]),
        Event::AlertTried(tried) => tried.failed.as_deref().map_or(Ok(()), reason),
        Event::KeyRetired(_) => Ok(()),
    };
    found.map_err(|detail| Fault::Registry {
        place: place.to_owned(),
        detail,
        hint: "nothing was written; correct what is named",
    })
}

fn all<const N: usize>(checks: [Result<(), String>; N]) -> Result<(), String> {
    checks.into_iter().collect()
}

fn all_names(what: &str, names: &[String]) -> Result<(), String> {
    names.iter().try_for_each(|one| name(what, one))
}

fn name(what: &str, value: &str) -> Result<(), String> {
    text(what, value, NAME)
}

fn reason(value: &str) -> Result<(), String> {
    long_text("the reason", value, REASON)
}

/// One line.
fn text(what: &str, value: &str, most: usize) -> Result<(), String> {
    if value.chars().any(char::is_control) {
        return Err(format!("{what} {value:?} has control characters"));
    }
    long_text(what, value, most)
}

/// Lines.
fn long_text(what: &str, value: &str, most: usize) -> Result<(), String> {
    if value.is_empty() {
        return Err(format!("{what} is empty"));
    }
    if value.len() > most {
        return Err(format!("{what} has {} bytes, more than {most}", value.len()));
    }
    // PostgreSQL has no such texts.
    if value.contains('\0') {
        return Err(format!("{what} has a character of number zero"));
    }
    Ok(())
}

fn number(what: &str, value: u64) -> Result<(), String> {
    if value > NUMBER { Err(format!("{what} is {value}, more than {NUMBER}")) } else { Ok(()) }
}

fn list(what: &str, length: usize) -> Result<(), String> {
    if length > LIST { Err(format!("there are {length} {what}, more than {LIST}")) } else { Ok(()) }
}

fn basis(basis: &Basis) -> Result<(), String> {
    let clocks: usize = basis.times.iter().map(|time| time.clocks.len()).sum();
    all([
        list("keys", basis.keys.len()),
        list("certificates", basis.certificates.len()),
        list("identities", basis.identities.len()),
        list("times", basis.times.len()),
        list("clocks", clocks),
    ])?;
    if basis.keys.is_empty() {
        return Err("a signature is by no key".into());
    }
    let names = basis.identities.iter().chain(&basis.provider);
    names.into_iter().try_for_each(|one| text("an identity", one, IDENTITY))
}

pub(crate) fn subject(subject: &Subject) -> Result<(), String> {
    match subject {
        Subject::Identity { identity, provider, .. } => {
            let names = std::iter::once(identity).chain(provider);
            names.into_iter().try_for_each(|one| text("the identity", one, IDENTITY))
        }
        _ => Ok(()),
    }
}
