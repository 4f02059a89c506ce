//! People: who agrees, and who only seems to.

use bulla::Recipe;
use bulla_testkit::authority::{Issued, authority, signer};

use super::{again, must_refuse};
use crate::world::{World, quoted};

/// Whoever signed the model with a certificate approves it: certificate names are compared with their kind ("email:…").
#[test]
fn the_signer_approves_through_a_certificate() {
    let corp = Issued::root(authority("corp"));
    let team = corp.issue(signer("team"));
    let world = World::new()
        .with(
            "trust:\n",
            &format!(
                "trust:\n  sigstore: {{ public_good: true }}\n  certificate_authorities: [{{ name: corp, root: {} }}]\n",
                quoted(corp.certificate_pem())
            ),
        )
        .with("{ id: ana, ", "{ id: ana, identity: team@example.com, identity_provider: \"https://oidc.example\", ")
        .with(
            "  development:\n    type: key\n    may_sign: [oms]\n",
            "  corporate:\n    type: certificate\n    may_sign: [oms]\n    authorized_signers: [team@example.com]\n    approvals: { required: 2, from: release-managers }\n  development:\n    type: key\n    may_sign: [oms]\n",
        )
        .with("accepted_authorities: [production]", "accepted_authorities: [production, corporate]");
    world.sign_with(&team.signer(&[]), &Recipe::default());
    again(&world);
    // Ana is team@example.com, who signed.
    must_refuse(&world.decide(), "approvals");
}

/// The same with an identity whose kind is written: it is understood when signatures are checked, and not when signers are compared.
#[test]
fn an_identity_with_its_kind() {
    let world = World::new()
        .with("trust:\n", "trust:\n  sigstore: { public_good: true }\n")
        .with("{ id: ana, ", "{ id: ana, identity: \"email:ci@company.com\", identity_provider: \"https://oidc.example\", ");
    if world.read().is_err() {
        return;
    }
    again(&world);
    // The key that signed is held by ci@company.com, and that is Ana.
    must_refuse(&world.decide(), "approvals");
}

/// The same identity under two names is one person, as the same key is.
#[test]
fn two_names_of_one_identity() {
    let identity = "identity: x@company.com, identity_provider: \"https://oidc.example\", ";
    let world = World::new()
        .with("trust:\n", "trust:\n  sigstore: { public_good: true }\n")
        .with("{ id: ana, ", &format!("{{ id: ana, {identity}"))
        .with("{ id: ben, ", &format!("{{ id: ben, {identity}"));
    assert!(world.read().is_err(), "x@company.com is ana and ben: one signature, two people");
}

/// A person in two roles: the role that comes first in the alphabet decides when their keys count in the other.
#[test]
fn a_window_of_another_role() {
    let world = World::new();
    let ana = quoted(&world.keys["ana"].public().to_pem());
    let world = world
        .with("roles:\n", &format!("roles:\n  auditors: {{ people: [{{ id: ana, keys: [{{ public_key: {ana} }}] }}] }}\n"))
        .with(
            &format!("release-managers: {{ people: [{{ id: ana, keys: [{{ public_key: {ana} }}]"),
            &format!("release-managers: {{ people: [{{ id: ana, keys: [{{ public_key: {ana}, valid: {{ until: 2026-01-01 }} }}]"),
        );
    if world.read().is_err() {
        return;
    }
    again(&world);
    must_refuse(&world.decide(), "approvals");
}

/// One key under two authorities: only the first record says who holds it.
#[test]
fn the_holder_in_the_second_record() {
    let world = World::new();
    let prod = quoted(&world.keys["prod"].public().to_pem());
    let dev = quoted(&world.keys["dev"].public().to_pem());
    let world = world
        .with(
            &format!("keys: [{{ public_key: {dev} }}]"),
            &format!("keys: [{{ public_key: {dev} }}, {{ public_key: {prod} }}]"),
        )
        .with("signer: ci@company.com", "signer: ana")
        .with(
            "authorized_signers: [\"ci@company.com\"]",
            "authorized_signers: [\"ci@company.com\", ana]",
        );
    again(&world);
    must_refuse(&world.decide(), "approvals");
}

/// What is written of a person's key is not looked at.
#[test]
fn may_sign_of_a_persons_key() {
    let world = World::new();
    let eva = quoted(&world.keys["eva"].public().to_pem());
    let world = world
        .with(&eva, &format!("{eva}, may_sign: [approval]"))
        .rule("max_signature_age_days: 30");
    if world.read().is_err() {
        return;
    }
    again(&world);
    world.waive("eva", "max-signature-age");
    must_refuse(&world.decide(), "max-signature-age");
}

/// Nobody is required: a policy that cannot be meant.
#[test]
fn exceptions_of_nobody() {
    for required in ["0", "3"] {
        let world = World::new()
            .with("required: 1, valid_for", &format!("required: {required}, valid_for"));
        assert!(world.read().is_err(), "exceptions: required {required} of 2");
    }
}

/// A model comes back from quarantine: who waived a rule before has not looked at why it was there.
#[test]
fn an_exception_from_before_the_quarantine() {
    let mut world =
        World::new().with("formats: [safetensors, json, txt]", "formats: [safetensors]");
    again(&world);
    world.waive("eva", "formats");
    assert!(world.decide().admitted);
    world.memory.approvals_since = Some(world.now - bulla::jiff::SignedDuration::from_mins(30));
    let decision = world.decide();
    must_refuse(&decision, "approvals");
    must_refuse(&decision, "formats");
}
