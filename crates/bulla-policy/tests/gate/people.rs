//! People who agree, and people who waive.

use bulla::Predicate;
use bulla::jiff::SignedDuration;
use bulla::statement::approval::Approval;

use crate::world::{World, codes, quoted};

/// A model that nobody has approved.
fn alone() -> World {
    let world = World::new();
    world.forget_claims();
    world
}

#[test]
fn too_few() {
    let world = alone();
    world.refused("approvals", "nobody has approved it");
    world.approve("ana");
    world.refused("approvals", "1 of 2 approve: ana");
    // One person is one, however often.
    world.approve("ana");
    world.refused("approvals", "1 of 2 approve: ana");
    world.approve("cem");
    world.admitted();
}

#[test]
fn approvals_that_do_not_count() {
    let day = |n: i64| SignedDuration::from_hours(24 * n);
    let with = |by: &str, words: &str, change: &dyn Fn(&World, &mut Approval)| {
        let world = alone();
        world.approve("ana");
        world.approve_as(by, |approval| change(&world, approval));
        world.refused("approvals", words);
    };
    with("eva", "person eva is none of release-managers", &|_, _| {});
    with("ben", "does not count now", &|world, approval| {
        approval.issued = world.now - day(10);
        approval.expires = world.now;
    });
    // Longer ago than the policy lets it count, whatever it says itself.
    with("ben", "does not count now", &|world, approval| {
        approval.issued = world.now - day(31);
    });
    with("ben", "does not count now", &|world, approval| {
        approval.issued = world.now + day(1);
    });
    with("ben", "is for staging", &|world, approval| {
        approval.applies_to = world.applies_to("staging");
    });
    with("ben", "is for production of other", &|_, approval| {
        approval.applies_to.policy = "other".into();
    });
    with("ben", "for other rules than those of today", &|_, approval| {
        approval.applies_to.rules_sha256 = "0".repeat(64);
    });
}

/// A stranger's statement, and one by an authority that is none of the people, have no effect.
#[test]
fn approvals_by_nobody() {
    for by in ["stranger", "prod", "dev"] {
        let world = alone();
        world.approve("ana");
        world.approve(by);
        world.refused("approvals", "1 of 2 approve: ana");
    }
}

/// A new version of the policy that leaves the environment as it was voids nothing; another rule does.
#[test]
fn rules_that_change() {
    let mut world = World::new();
    world.change("version: 7", "version: 8");
    world.change("type: key\n    key_storage", "# a comment\n    type: key\n    key_storage");
    world.admitted();
    let world = world.rule("max_signature_age_days: 10000");
    assert!(codes(&world.decide()).contains(&"approvals"));
}

#[test]
fn a_person_with_two_keys_is_one() {
    let world = World::new();
    let second = quoted(&world.keys["stranger"].public().to_pem());
    let world = world
        .with("{ id: ana, keys: [{", &format!("{{ id: ana, keys: [{{ public_key: {second} }}, {{"));
    world.forget_claims();
    world.approve("ana");
    world.approve("stranger");
    world.refused("approvals", "1 of 2 approve: ana");
    world.approve("ben");
    world.admitted();
}

/// Whoever signed does not approve: by the key, nor by the name that the policy gives the key's holder.
#[test]
fn the_signer_does_not_approve() {
    let world = World::new();
    let prod = quoted(&world.keys["prod"].public().to_pem());
    let ana = quoted(&world.keys["ana"].public().to_pem());
    // Ana holds the key that signs.
    let world = world.with(
        &format!("{{ id: ana, keys: [{{ public_key: {ana} }}] }}"),
        &format!("{{ id: ana, keys: [{{ public_key: {prod} }}] }}"),
    );
    world.forget_claims();
    world.approve("prod");
    world.approve("ben");
    world.refused("approvals", "signed the model, and cannot agree to it as well");
    // Or is named as its holder.
    let world = World::new().with("signer: ci@company.com", "signer: Ana").with(
        "authorized_signers: [\"ci@company.com\"]",
        "authorized_signers: [\"ci@company.com\", \"Ana\"]",
    );
    world.refused("approvals", "cannot agree to it as well");
}

/// Approvals are of this model.
#[test]
fn an_approval_of_another_model() {
    let world = World::new();
    world.write("config.json", b"{}");
    world.sign("prod");
    world.refused("approvals", "nobody has approved it");
}

#[test]
fn exceptions() {
    let world = World::new().rule("max_signature_age_days: 30");
    world.forget_claims();
    world.approve("ana");
    world.approve("ben");
    world.refused("max-signature-age", "nobody says how old");
    // Those who approve do not waive, and what is waived is named.
    world.waive("ana", "max-signature-age");
    world.waive("eva", "formats");
    world.refused("max-signature-age", "nobody says how old");
    world.waive("eva", "max-signature-age");
    let decision = world.decide();
    assert!(decision.admitted && !decision.passed, "{:#?}", decision.findings);
    let waived = decision.findings.iter().find(|f| f.rule == "max-signature-age").unwrap();
    assert!(waived.found.contains("waived by eva"), "{}", waived.found);
    assert!(!waived.evidence.is_empty());
}

/// Who signed, what was signed, what was withdrawn and who agreed: nobody waives that.
#[test]
fn what_cannot_be_waived() {
    for rule in [
        "integrity",
        "signature",
        "approvals",
        "not-revoked",
        "quarantine",
        "recipe",
        "names",
        "policy",
    ] {
        let mut world = World::new();
        world.waive("eva", rule);
        world.waive("fay", rule);
        match rule {
            "integrity" => world.write("model.safetensors", b"other"),
            "signature" => world.sign("dev"),
            "approvals" => {
                world.forget_claims();
                world.waive("eva", rule);
            }
            "quarantine" => world.memory.quarantined = Some("x".into()),
            "policy" => world.change("expires: 2027-06-01", "expires: 2026-11-19"),
            _ => continue,
        }
        let decision = world.decide();
        assert!(!decision.admitted, "{rule}: {:#?}", decision.findings);
        assert!(codes(&decision).contains(&rule), "{rule}: {:?}", codes(&decision));
    }
}

/// Where no role may, nobody waives.
#[test]
fn no_exceptions_without_a_role() {
    let world = World::new()
        .with("    exceptions: { from: security-officers, required: 1, valid_for: 14d }\n", "")
        .rule("max_signature_age_days: 30");
    world.forget_claims();
    world.approve("ana");
    world.approve("ben");
    world.waive("eva", "max-signature-age");
    world.refused("max-signature-age", "nobody says how old");
}

/// Rule 6: taking claims away never helps.
#[test]
fn rule_6_fewer_claims_never_help() {
    let world = World::new().rule("max_signature_age_days: 30");
    world.forget_claims();
    for by in ["ana", "ben", "eva", "stranger"] {
        world.approve(by);
    }
    world.waive("eva", "max-signature-age");
    world.state(
        "stranger",
        Predicate::Approval(Approval {
            applies_to: world.applies_to("production"),
            issued: world.now,
            expires: world.now + SignedDuration::from_hours(1),
            comment: None,
        }),
    );
    let path = world.model().join("claims.jsonl");
    let all = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = all.lines().collect();
    let decide = |mask: u32| {
        let kept = lines.iter().enumerate().filter(|(n, _)| mask & (1 << n) != 0);
        let text: String = kept.map(|(_, line)| format!("{line}\n")).collect();
        std::fs::write(&path, text).unwrap();
        world.decide().admitted
    };
    let admitted: Vec<bool> = (0..1_u32 << lines.len()).map(decide).collect();
    assert!(admitted.last().unwrap());
    for (mask, yes) in admitted.iter().enumerate() {
        for line in 0..lines.len() {
            let fewer = mask & !(1 << line);
            assert!(*yes || !admitted[fewer], "without line {line} of {mask:b}");
        }
    }
}
