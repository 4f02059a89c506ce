//! Who signed, and by which policy it is decided.

use bulla::Reason;
use bulla::lineage::Held;
use bulla::text::glob;

use crate::decision::Finding;
use crate::gate::Facts;
use crate::policy::Environment;

const SIGNATURE: &str = "signature";

/// There is a signature, and it does not count.
pub(crate) fn none(environment: &Environment, reasons: &[Reason]) -> Finding {
    let found: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    let remedy = reasons.iter().find_map(Reason::hint).unwrap_or_default();
    Finding::not_met(SIGNATURE, found.join("; "), expected(environment), remedy)
}

/// There is none.
pub(crate) fn missing(environment: &Environment, root: &Held) -> Finding {
    let found = format!("there is no signature: {} does not exist", root.signature_place());
    match environment.entry.require_signature {
        true => Finding::not_met(
            SIGNATURE,
            found,
            expected(environment),
            "get the model from its publisher, with its model.sig; if it is yours, sign it with 'bulla sign'",
        ),
        false => Finding::met(SIGNATURE, format!("{found}; none is required")),
    }
}

fn expected(environment: &Environment) -> String {
    match environment.entry.accepted_authorities.as_slice() {
        [] => String::new(),
        names => format!("a signature by {}", names.join(" or ")),
    }
}

/// The policy has not ended.
pub(crate) fn policy_in_force(facts: &Facts<'_>) -> Finding {
    let policy = &facts.gate.policy;
    let what = format!("{} version {}", policy.name, policy.version);
    match facts.now < policy.expires {
        true => Finding::met("policy", format!("{what}, until {}", policy.expires)),
        false => Finding::not_met(
            "policy",
            format!("{what} ended at {}", policy.expires),
            "a policy that has not ended",
            "get the newest version of the policy",
        ),
    }
}

/// The policy is not older than the one before, and there is one text of each version.
pub(crate) fn policy_version(facts: &Facts<'_>) -> Option<Finding> {
    let (version, digest) = facts.memory.policy?;
    let policy = &facts.gate.policy;
    let before = format!("version {version}");
    if policy.version < version {
        return Some(Finding::not_met(
            "policy-version",
            format!("this is version {}", policy.version),
            format!("{before} or later, which was used before"),
            "get the newest version of the policy",
        ));
    }
    if policy.version == version && policy.digest != digest {
        return Some(Finding::not_met(
            "policy-version",
            format!("another text of version {version} was used before"),
            format!("sha256:{}", digest.to_hex()),
            "give a policy that was changed a higher version",
        ));
    }
    Some(Finding::met("policy-version", format!("version {}, after {before}", policy.version)))
}

/// The environment runs models of this name.
pub(crate) fn model_name(facts: &Facts<'_>) -> Finding {
    let (name, models) = (facts.request.name, &facts.environment.entry.models);
    match models.is_empty() || models.iter().any(|pattern| glob(pattern, name)) {
        true => Finding::met("model-name", name),
        false => Finding::not_met(
            "model-name",
            name,
            models.join(", "),
            "this environment does not run models of this name: ask the policy's owners",
        ),
    }
}

/// Whoever signed is accepted here.
pub(crate) fn authority(facts: &Facts<'_>) -> Option<Finding> {
    let signature = facts.signature.as_ref()?;
    let accepted = &facts.environment.entry.accepted_authorities;
    let parties: Vec<&str> = signature.parties.iter().copied().collect();
    let key = signature.signed_by.key().fingerprint();
    let found = format!("signed by {} (key {key})", parties.join(", "));
    Some(
        match accepted.iter().any(|name| signature.parties.contains(name.as_str())) {
            true => Finding::met(SIGNATURE, found),
            false => Finding::not_met(
                SIGNATURE,
                format!("{found}, who is not accepted in {}", facts.environment.name),
                accepted.join(" or "),
                "have it signed by an accepted authority",
            ),
        }
        .by([signature.digest]),
    )
}
