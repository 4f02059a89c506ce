//! A new key in a policy, and what counts when.

use bulla::PublicKey;
use bulla::jiff::{SignedDuration, Timestamp};
use bulla_policy::{NewKey, Policy, Rotated};

use crate::world::{World, codes, quoted};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn new<'a>(key: &'a PublicKey, written: &'a str) -> NewKey<'a> {
    NewKey { id: "prod-2027", written, key, storage: None, signer: None }
}

const FROM: &str = "2026-11-20T12:00:00Z";

/// Of a world whose policy does not have the key `next` yet.
fn before() -> World {
    let world = World::new();
    let next = quoted(&world.keys["next"].public().to_pem());
    let entry = format!(
        "      - {{ id: prod-2027, public_key: {next}, storage: hsm, signer: ci@company.com, valid: {{ from: 2026-12-02 }} }}\n"
    );
    world.with(&entry, "").with(
        "    approvals: { required: 2",
        "    rotation: { every: 366d, overlap: 30d }\n    approvals: { required: 2",
    )
}

fn rotate(world: &World, policy: &Policy) -> Result<Rotated, bulla::Fault> {
    let next = world.keys["next"].public();
    let pem = next.to_pem();
    let old = world.keys["prod"].public().fingerprint();
    policy.rotate("production", &old, &new(next, &pem), at(FROM), None)
}

/// Both keys inside the overlap, and only the new one after.
#[test]
fn both_keys_for_a_while() {
    let mut world = before();
    let rotated = rotate(&world, &world.read().unwrap()).unwrap();
    assert_eq!(rotated.version, 8);
    assert_eq!(rotated.both_until, at("2026-12-20T12:00:00Z"));
    assert_eq!(rotated.until, Some(at("2027-11-21T12:00:00Z")));
    world.policy = rotated.text;
    let policy = world.read().unwrap();
    assert_eq!(policy.version, 8);
    assert_eq!(policy.concerns(world.now).iter().filter(|c| c.is_error).count(), 0);
    let again = |world: &World, by: &str| {
        world.sign(by);
        world.forget_claims();
        world.approve("ana");
        world.approve("ben");
    };
    for (now, by, good) in [
        ("2026-11-20T12:00:00Z", "prod", true),
        ("2026-11-20T12:00:00Z", "next", true),
        ("2026-12-20T11:59:59Z", "prod", true),
        ("2026-12-20T11:59:59Z", "next", true),
        ("2026-12-20T12:00:00Z", "prod", false),
        ("2026-12-20T12:00:00Z", "next", true),
    ] {
        world.now = at(now);
        again(&world, by);
        match good {
            true => world.admitted(),
            false => assert_eq!(codes(&world.decide()), ["signature"], "{now} {by}"),
        }
    }
    // Before it begins the new key is nobody's.
    world.now = at("2026-11-20T11:59:59Z");
    again(&world, "next");
    assert!(codes(&world.decide()).contains(&"signature"));
}

/// What a person wrote stays as it was, comments too.
#[test]
fn the_text_around_stays() {
    let world = before();
    let old = quoted(&world.keys["prod"].public().to_pem());
    let next = world.keys["next"].public();
    let (finger, pem) = (next.fingerprint(), quoted(&next.to_pem()));
    let from = at(FROM);
    let entry = |rest: &str| {
        format!(
            "{{ id: \"prod-2027\", public_key: {pem}, fingerprint: \"{finger}\", {rest}valid: {{ from: \"{from}\", until: \"2027-11-21T12:00:00Z\" }} }}"
        )
    };
    let held = "storage: \"hsm\", signer: \"ci@company.com\", ";
    let start = world.policy.find("    keys:\n      - { id: prod-2026").unwrap();
    let line = world.policy[start..].lines().nth(1).unwrap().to_owned();
    let keys = format!("    keys:\n{line}\n");
    for (written, expected) in [
        // Flow maps in a block list, block maps, a flow list; with an end, with none, with no window at all.
        (
            format!(
                "    keys: # ours\n      - {{ id: x, public_key: {old}, storage: hsm, signer: ci@company.com }} # old\n"
            ),
            format!(
                "    keys: # ours\n      - {}\n      - {{ valid: {{ until: 2026-12-20T12:00:00Z }}, id: x, public_key: {old}, storage: hsm, signer: ci@company.com }} # old\n",
                entry(held)
            ),
        ),
        (
            format!(
                "    keys:\n    - id: x # old\n      public_key: {old}\n      storage: hsm\n      signer: ci@company.com\n      valid:\n        from: 2026-01-01\n        until: 2027-01-01 # soon\n"
            ),
            format!(
                "    keys:\n    - {}\n    - id: x # old\n      public_key: {old}\n      storage: hsm\n      signer: ci@company.com\n      valid:\n        from: 2026-01-01\n        until: 2026-12-20T12:00:00Z # soon\n",
                entry(held)
            ),
        ),
        (
            format!(
                "    keys:\n      - id: x\n        public_key: {old}\n        storage: hsm\n        signer: ci@company.com\n        valid:\n          from: 2026-01-01\n"
            ),
            format!(
                "    keys:\n      - {}\n      - id: x\n        public_key: {old}\n        storage: hsm\n        signer: ci@company.com\n        valid:\n          until: 2026-12-20T12:00:00Z\n          from: 2026-01-01\n",
                entry(held)
            ),
        ),
        (
            format!(
                "    keys: [{{ id: x, public_key: {old}, storage: hsm, signer: ci@company.com, may_sign: [oms], valid: {{}} }}]\n"
            ),
            format!(
                "    keys: [{}, {{ id: x, public_key: {old}, storage: hsm, signer: ci@company.com, may_sign: [oms], valid: {{ until: 2026-12-20T12:00:00Z,}} }}]\n",
                entry("storage: \"hsm\", signer: \"ci@company.com\", may_sign: [\"oms\"], ")
            ),
        ),
        // A key that ends before the overlap does is not made to count for longer.
        (
            format!(
                "    keys: [{{ public_key: {old}, storage: hsm, signer: ci@company.com, valid: {{ until: 2026-12-01 }} }}]\n"
            ),
            format!(
                "    keys: [{}, {{ public_key: {old}, storage: hsm, signer: ci@company.com, valid: {{ until: 2026-12-01T00:00:00Z }} }}]\n",
                entry(held)
            ),
        ),
    ] {
        let mut world = before();
        // The keys of each world are its own: those of the first are put in.
        let keys_here = {
            let start = world.policy.find("    keys:\n      - { id: prod-2026").unwrap();
            let line = world.policy[start..].lines().nth(1).unwrap();
            format!("    keys:\n{line}\n")
        };
        world.change(&keys_here, &written);
        let policy = world.read().unwrap();
        let old = self::old(&policy);
        let pem = next.to_pem();
        let rotated = policy.rotate("production", &old, &new(next, &pem), from, None).unwrap();
        let whole = world.policy.replace(&written, &expected).replace("version: 7", "version: 8");
        assert_eq!(rotated.text, whole);
    }
    assert!(world.policy.contains(&keys));
}

fn old(policy: &Policy) -> bulla::Digest {
    policy.keys.iter().find(|record| record.authority == "production").unwrap().fingerprint
}

#[test]
fn rotations_that_are_refused() {
    let world = before();
    let policy = world.read().unwrap();
    let next = world.keys["next"].public();
    let (pem, prod) = (next.to_pem(), world.keys["prod"].public());
    let said = |result: Result<Rotated, bulla::Fault>| result.unwrap_err().to_string();
    let from = at(FROM);
    let dev = world.keys["dev"].public();
    for (authority, old, key, from, words) in [
        ("staging", prod, next, from, "staging has no key"),
        ("production", dev, next, from, "it has sha256:"),
        ("production", prod, dev, from, "is there already, of development"),
        ("production", prod, next, at("2027-01-01T00:00:00Z"), "nothing to rotate from"),
        ("development", dev, next, from, "does not say for how long both keys count"),
    ] {
        let made = policy.rotate(authority, &old.fingerprint(), &new(key, &pem), from, None);
        let said = said(made);
        assert!(said.contains(words), "{said}");
    }
    let overlap = Some(SignedDuration::from_hours(24));
    let made = policy.rotate("development", &dev.fingerprint(), &new(next, &pem), from, overlap);
    assert_eq!(made.unwrap().both_until, at("2026-11-21T12:00:00Z"));
    // By an alias the entry stands elsewhere, and would be changed there, too: it is not guessed what is meant.
    let mut world = before();
    let ana = quoted(&world.keys["ana"].public().to_pem());
    let dev = quoted(&world.keys["dev"].public().to_pem());
    world.change(
        &format!("keys: [{{ public_key: {ana} }}]"),
        &format!("keys: [&own {{ public_key: {ana} }}]"),
    );
    world.change(&format!("keys: [{{ public_key: {dev} }}]"), "keys: [*own]");
    let policy = world.read().unwrap();
    let (ana, next) = (world.keys["ana"].public(), world.keys["next"].public());
    let pem = next.to_pem();
    let made = policy.rotate("development", &ana.fingerprint(), &new(next, &pem), from, overlap);
    assert!(said(made).contains("By hand: raise the version to 8"));
}
