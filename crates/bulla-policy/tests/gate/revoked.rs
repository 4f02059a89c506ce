//! What was withdrawn.

use bulla::jiff::{SignedDuration, Timestamp};
use bulla::{Digest, Revoked};
use bulla_policy::RevocationList;
use proptest::prelude::*;

use crate::world::{World, codes};

fn list(world: &World, text: &str) -> RevocationList {
    let head = "revocations: { version: 1, issued: 2026-11-20T11:00:00Z }\n";
    let path = world.folder.path().join("revocations.yaml");
    RevocationList::read(&path, format!("{head}{text}").as_bytes()).unwrap()
}

fn key(world: &World, id: &str) -> String {
    world.keys[id].public().fingerprint().to_string()
}

/// What a trusted time puts before stays, what comes after falls, what has no trusted time falls.
#[test]
fn a_key_as_of_last_tuesday() {
    for (since, plain, stamped) in [
        ("2026-11-20T10:30:00Z", false, false),
        ("2026-11-20T11:30:00Z", false, true),
        ("2026-11-20T12:30:00Z", true, true),
    ] {
        let mut world = World::new();
        let entry = format!(
            "keys: [{{ fingerprint: \"{}\", since: {since}, reason: laptop stolen }}]\n",
            key(&world, "prod")
        );
        world.revoked = list(&world, &entry);
        let check = |world: &World, good: bool| match good {
            true => world.admitted(),
            false => world.refused("signature", "laptop stolen"),
        };
        check(&world, plain);
        world.sign_stamped("prod");
        check(&world, stamped);
    }
}

/// An approver's key that was stolen approves nothing; adding a revocation voids no other approval.
#[test]
fn a_key_of_somebody_who_approves() {
    let mut world = World::new();
    let entry = format!("keys: [{{ fingerprint: \"{}\", reason: lost }}]\n", key(&world, "ben"));
    world.revoked = list(&world, &entry);
    world.refused("approvals", "1 of 2 approve: ana");
    world.approve("cem");
    world.admitted();
}

#[test]
fn a_clock_that_was_withdrawn() {
    let mut world = World::new();
    world.sign_stamped("prod");
    let clock = world.clock.root.certificate.fingerprint().to_hex();
    let prod = key(&world, "prod");
    let entry = format!(
        "keys: [{{ fingerprint: \"{prod}\", since: 2026-11-20T11:30:00Z, reason: stolen }}]\nauthorities: [{{ sha256: {clock}, since: 2026-11-20T11:59:00Z, reason: hacked }}]\n"
    );
    world.revoked = list(&world, &entry);
    world.refused("signature", "nobody trusted says that the signature is older");
}

#[test]
fn models_by_any_of_their_digests() {
    let mut world = World::new();
    let digests = world.digests();
    let file = Digest::sha256(b"weights").to_hex();
    for digest in [
        format!("oms:{}", digests.oms.to_hex()),
        format!("oms-manifest-v1:{}", digests.manifest.to_hex()),
        format!("sha256:{file}"),
    ] {
        let entry = format!("models: [{{ digest: \"{digest}\", reason: poisoned dataset }}]\n");
        world.revoked = list(&world, &entry);
        world.refused("not-revoked", "poisoned dataset");
    }
    world.revoked = list(&world, &format!("models: [{{ digest: \"oms:{file}\", reason: x }}]\n"));
    world.admitted();
}

/// One file is found in a model whose signature has no SHA-256 of it.
#[test]
fn a_file_in_a_model_of_another_hash() {
    use bulla::{HashAlgorithm, Recipe};
    let mut world = World::new();
    let recipe = Recipe { hash: HashAlgorithm::Blake3, ..Recipe::default() };
    world.sign_with(world.signer("prod"), &recipe);
    let file = Digest::sha256(b"weights").to_hex();
    let entry = format!("models: [{{ digest: \"sha256:{file}\", reason: poisoned }}]\n");
    world.revoked = list(&world, &entry);
    let decision = world.decide();
    assert!(codes(&decision).contains(&"not-revoked"), "{:#?}", decision.findings);
}

/// A name as it is shown, with its kind, is the name.
#[test]
fn identities_by_either_spelling() {
    let world = World::new();
    let of = |name: &str| {
        list(&world, &format!("identities: [{{ identity: \"{name}\", reason: leaked }}]\n")).signers
    };
    assert_eq!(of("email:bot@company.com"), of("bot@company.com"));
    assert_ne!(of("bot@company.com"), of("other@company.com"));
}

#[test]
fn lists_that_are_wrong() {
    let world = World::new();
    let path = world.folder.path().join("revocations.yaml");
    for (text, words) in [
        ("keys: []", "revocations"),
        ("revocations: { version: 1, issued: soon }", "soon"),
        (
            "revocations: { version: 1, issued: 2026-11-20 }\nkeys: [{ fingerprint: x, reason: y }]",
            "is no SHA-256",
        ),
        (
            "revocations: { version: 1, issued: 2026-11-20 }\nmodels: [{ digest: \"md5:00\", reason: y }]",
            "no digest of a model",
        ),
        (
            "revocations: { version: 1, issued: 2026-11-20 }\nidentities: [{ identity: a, from: 2026-02-01, until: 2026-01-01, reason: y }]",
            "until is not after from",
        ),
        // It would withdraw nobody.
        (
            "revocations: { version: 1, issued: 2026-11-20 }\nidentities: [{ identity: \"*@company.com\", reason: y }]",
            "is a pattern",
        ),
        (
            "revocations: { version: 1, issued: 2026-11-20 }\nidentities: [{ identity: \" a@company.com\", reason: y }]",
            "is no name",
        ),
        (
            "revocations: { version: 1, issued: 2026-11-20 }\nidentities: [{ identity: a@company.com, identity_provider: company, reason: y }]",
            "company",
        ),
        (
            "revocations: { version: 1, issued: 2026-11-20 }\nmodels: [{ digest: \"sha256:0000000000000000000000000000000000000000000000000000000000000000\", descendants: true, reason: y }]",
            "name those that have this file",
        ),
        ("revocations: { version: 1, issued: 2026-11-20 }\nmore: 1", "more"),
    ] {
        let fault = RevocationList::read(&path, text.as_bytes()).unwrap_err().to_string();
        assert!(fault.contains(words), "{text}: {fault}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Adding a revocation never admits; nor does later time, once everything is in force.
    #[test]
    fn more_revocations_never_admit(
        entries in proptest::collection::vec((0_usize..5, proptest::option::of(-3_i64..4)), 0..5),
        split in 0_usize..5,
        stamped in any::<bool>(),
    ) {
        let mut world = World::new();
        if stamped {
            world.sign_stamped("prod");
        }
        let half = |n: i64| -> Timestamp { world.now + SignedDuration::from_mins(30 * n) };
        let add = |list: &mut RevocationList, (what, since): (usize, Option<i64>)| {
            let revoked = Revoked { since: since.map(half), reason: "x".into() };
            let of = |id: &str| world.keys[id].public().fingerprint();
            match what {
                0 => list.signers.key(of("prod"), revoked),
                1 => list.signers.key(of("ana"), revoked),
                2 => list.signers.key(of("stranger"), revoked),
                3 => list.signers.authority(world.clock.root.certificate.fingerprint(), revoked),
                _ => list.signers.key(of("cem"), revoked),
            }
        };
        let split = split.min(entries.len());
        let mut fewer = RevocationList::default();
        entries[..split].iter().for_each(|entry| add(&mut fewer, *entry));
        let mut more = fewer.clone();
        entries[split..].iter().for_each(|entry| add(&mut more, *entry));
        world.revoked = more;
        let with_more = world.decide().admitted;
        world.revoked = fewer;
        let with_fewer = world.decide().admitted;
        prop_assert!(!with_more || with_fewer);
        // Later: everything that begins has begun at 14:00.
        world.now += SignedDuration::from_hours(3);
        let later = world.decide().admitted;
        prop_assert!(!later || with_fewer);
    }
}
