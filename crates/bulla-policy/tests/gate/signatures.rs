//! Who signed, and by which policy.

use bulla::jiff::Timestamp;

use bulla::{Failure, Fault};

use crate::world::{World, codes, verdict};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_model_that_meets_every_rule() {
    let world = World::new();
    world.admitted();
    let decision = world.decide();
    assert!(decision.parties.iter().eq(["production"]));
    assert_eq!(decision.digests, Some(world.digests()));
}

#[test]
fn an_unsigned_model() {
    let world = World::new();
    std::fs::remove_file(world.model().join("model.sig")).unwrap();
    let decision = world.decide();
    assert!(!decision.admitted);
    assert_eq!(codes(&decision), ["signature"]);
    assert!(decision.findings[0].found.contains("there is no signature"));
}

#[test]
fn a_forged_signature() {
    let world = World::new();
    // By a key that calls itself the other.
    let good = std::fs::read_to_string(world.model().join("model.sig")).unwrap();
    world.sign("stranger");
    let forged = std::fs::read_to_string(world.model().join("model.sig")).unwrap();
    let (mut good, forged): (serde_json::Value, serde_json::Value) =
        (serde_json::from_str(&good).unwrap(), serde_json::from_str(&forged).unwrap());
    good["dsseEnvelope"] = forged["dsseEnvelope"].clone();
    world.write("model.sig", good.to_string().as_bytes());
    let decision = world.decide();
    assert!(!decision.admitted);
    assert_eq!(codes(&decision), ["signature"], "{:#?}", decision.findings);
}

#[test]
fn an_unknown_signer() {
    let world = World::new();
    world.sign("stranger");
    assert_eq!(codes(&world.decide()), ["signature"]);
}

/// A key of the policy, of an authority that is not accepted here.
#[test]
fn an_authority_of_another_environment() {
    let world = World::new();
    world.sign("dev");
    world.refused("signature", "signed by development");
    assert!(world.decide_for("staging", "anything").unwrap().admitted);
}

/// Both keys count in the overlap, and only the new one after it.
#[test]
fn a_rotation() {
    let mut world = World::new().with("required: 2", "required: 1");
    world.change("until: 2027-01-01", "until: 2027-01-01T00:00:00Z");
    for (time, old, new) in [
        ("2026-12-01T12:00:00Z", true, false),
        ("2026-12-02T12:00:00Z", true, true),
        ("2026-12-31T23:59:59Z", true, true),
        ("2027-01-01T00:00:00Z", false, true),
        ("2027-02-01T00:00:00Z", false, true),
    ] {
        world.now = at(time);
        for (key, counts) in [("prod", old), ("next", new)] {
            world.sign(key);
            world.forget_claims();
            world.approve("ana");
            let decision = world.decide();
            assert_eq!(decision.admitted, counts, "{key} at {time}: {:#?}", decision.findings);
            let expected: &[&str] = if counts { &[] } else { &["signature"] };
            assert_eq!(codes(&decision), expected, "{key} at {time}");
        }
    }
}

#[test]
fn a_policy_that_has_ended() {
    let mut world = World::new();
    world.now = at("2026-12-31T00:00:00Z");
    world.forget_claims();
    world.approve("ana");
    world.approve("ben");
    world.admitted();
    world.change("expires: 2027-06-01", "expires: 2026-12-30");
    world.refused("policy", "ended at 2026-12-30");
}

/// A policy goes on, and never back; of one version there is one text.
#[test]
fn an_older_policy() {
    let mut world = World::new();
    let digest = world.read().unwrap().digest;
    for (memory, rule) in [
        (Some((7, digest)), None),
        (Some((6, bulla::Digest::sha256(b"x"))), None),
        (Some((8, digest)), Some("7")),
        (Some((7, bulla::Digest::sha256(b"x"))), Some("another text")),
    ] {
        world.memory.policy = memory;
        match rule {
            None => world.admitted(),
            Some(words) => world.refused("policy-version", words),
        }
    }
}

/// The gate says what it deploys, not whoever wants in.
#[test]
fn a_name_that_the_environment_does_not_run() {
    let world = World::new();
    let decision = world.decide_for("production", "spam-eu").unwrap();
    assert_eq!(codes(&decision), ["model-name"]);
    // `*` crosses no slash.
    assert_eq!(codes(&world.decide_for("production", "fraud-eu/x").unwrap()), ["model-name"]);
    assert!(world.decide_for("nowhere", "fraud-eu").is_err());
}

#[test]
fn modes() {
    for (mode, admitted) in [("enforce", false), ("warn", true), ("audit", true)] {
        let world = World::new();
        world.forget_claims();
        let world = world.rule(&format!("mode: {mode}"));
        let decision = world.decide();
        assert_eq!(decision.admitted, admitted, "{mode}");
        assert!(!decision.passed, "a warning is no pass");
        let verdict = verdict(&decision);
        assert_eq!(
            verdict.verification_result,
            bulla::statement::verdict::VerificationResult::Failed
        );
    }
}

#[test]
fn a_verdict() {
    let world = World::new().rule("verdict_valid_for: 24h");
    world.forget_claims();
    world.approve("ana");
    world.approve("ben");
    let decision = world.decide();
    let verdict = verdict(&decision);
    assert_eq!(verdict.verification_result, bulla::statement::verdict::VerificationResult::Passed);
    assert_eq!(verdict.environment.as_deref(), Some("production"));
    assert_eq!(verdict.expires_on, Some(at("2026-11-21T12:00:00Z")));
    assert_eq!(verdict.policy.digest["sha256"], world.read().unwrap().digest.to_hex());
    assert_eq!(verdict.input_attestations.len(), 1, "two people have signed one statement");
    assert!(verdict.resource_uri.ends_with(&world.digests().manifest.to_hex()));
}

/// A clock that stands before the last decision decides nothing.
#[test]
fn a_clock_that_goes_back() {
    let mut world = World::new();
    world.memory.last_decision = Some(at("2026-11-20T12:00:01Z"));
    let fault = world.decide_for("production", "fraud-eu").unwrap_err();
    assert!(matches!(fault, Failure::Fault(Fault::Clock { .. })), "{fault}");
    world.memory.last_decision = Some(at("2026-11-20T12:00:00Z"));
    world.admitted();
}
