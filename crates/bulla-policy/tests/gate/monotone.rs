//! What only restricts never lets through: over policies, claims and times that are made up.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use bulla::jiff::SignedDuration;
use bulla::sign::attest;
use bulla::statement::approval::{Approval, Exception};
use bulla::statement::evaluation::{Evaluation, Metric};
use bulla::{Limits, Predicate, Recipe, Revoked, Statement};
use bulla_policy::{ModelName, RevocationList};
use bulla_testkit::now;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::world::{NAME, World};

/// Restrictions of an environment, each of which some models meet and others do not.
const RULES: [&str; 12] = [
    "require_release: true",
    "require_provenance: true",
    "max_signature_age_days: 3",
    "formats: [safetensors, json]",
    "recipes: { hash: [sha256] }",
    "recipes: { hash: [blake3] }",
    "lineage: { no_parents_signed_by: [production] }",
    "evaluations: [{ metric: accuracy, at_least: 0.9, signed_by: [production] }]",
    "evaluations: [{ metric: accuracy, at_least: 0.95, signed_by: [production] }]",
    "test_results: { signed_by: [production] }",
    "rules: [{ name: small, when: model.total_size < 1.0 * kilo, message: m }]",
    "rules: [{ name: measured, when: has(signer.key) && evaluations.size() > 0, message: m }]",
];
/// Members that are taken out where people are asked for nothing.
const APPROVALS: &str = "    approvals: { required: 2, from: release-managers, valid_for: 30d }\n";
const EXCEPTIONS: &str =
    "    exceptions: { from: security-officers, required: 1, valid_for: 14d }\n";
/// Rights that somebody may lose.
const RIGHTS: [(&str, &str); 5] = [
    ("[oms, provenance, release, evaluation,", "[provenance, release, evaluation,"),
    ("[oms, provenance, release, evaluation,", "[oms, release, evaluation,"),
    ("[oms, provenance, release, evaluation,", "[oms, provenance, evaluation,"),
    ("[oms, provenance, release, evaluation,", "[oms, provenance, release,"),
    ("accepted_authorities: [production]", "accepted_authorities: [development]"),
];
/// Lines of claims: three approvals, an exception, an evaluation, a release.
const LINES: usize = 6;

/// A company, its model, and how it is looked at.
struct Stage {
    world: World,
    policy: String,
    /// Claims that are about no rules.
    others: Vec<String>,
}

#[derive(Debug, Clone)]
struct Choice {
    rules: BTreeSet<usize>,
    approvals: bool,
    exceptions: bool,
    lines: BTreeSet<usize>,
    hours: i64,
    right: Option<usize>,
}

/// A choice that meets all rules is not rare: else nothing that is lost would be seen.
fn choices() -> impl Strategy<Value = Choice> {
    let lines = prop_oneof![
        4 => Just((0..LINES).collect::<BTreeSet<usize>>()),
        1 => prop::collection::btree_set(0..LINES, 0..=LINES),
    ];
    let hours = prop_oneof![3 => 0..48_i64, 1 => 0..2000_i64];
    let rules = prop::collection::btree_set(0..RULES.len(), 0..=2);
    (rules, any::<bool>(), any::<bool>(), lines, hours).prop_map(
        |(rules, approvals, exceptions, lines, hours)| {
            let right = None;
            Choice { rules, approvals, exceptions, lines, hours, right }
        },
    )
}

/// The member that a rule is.
fn member(rule: usize) -> &'static str {
    RULES[rule].split(':').next().unwrap()
}

impl Stage {
    fn new() -> Self {
        let world = World::new();
        world.forget_claims();
        let metrics = vec![Metric { name: "accuracy".into(), value: 0.93, ..Metric::default() }];
        world.state("prod", Predicate::Evaluation(Evaluation { metrics, ..Evaluation::default() }));
        world.release("prod", NAME, 3, &[]);
        let text = std::fs::read_to_string(world.model().join("claims.jsonl")).unwrap();
        let others = text.lines().map(str::to_owned).collect();
        Self { policy: world.policy.clone(), world, others }
    }

    /// What people say is for these rules: they are asked anew for each policy, so that a denial is not only for want of that.
    fn agreed(&self) -> Vec<String> {
        let world = &self.world;
        let (issued, expires) =
            (now() - SignedDuration::from_hours(1), now() + SignedDuration::from_hours(24 * 20));
        let applies_to = world.applies_to("production");
        let approval = Predicate::Approval(Approval {
            applies_to: applies_to.clone(),
            issued,
            expires,
            comment: None,
        });
        let waives = vec!["formats".into(), "evaluations".into()];
        let reason = "the retraining is late".into();
        let exception =
            Predicate::Exception(Exception { applies_to, waives, reason, issued, expires });
        let said =
            [("ana", &approval), ("ben", &approval), ("cem", &approval), ("eva", &exception)];
        let line = |(by, predicate): (&str, &Predicate)| {
            let about = world.digests().descriptor("model", Some(&Recipe::default()));
            let statement = Statement::about(about, predicate.clone());
            let sealed = attest(&statement, world.signer(by), &Limits::default()).unwrap();
            String::from_utf8(sealed.bundle).unwrap().trim().to_owned()
        };
        said.map(line).to_vec()
    }

    fn admitted(&mut self, choice: &Choice, revoked: &RevocationList) -> bool {
        let mut rules: Vec<usize> = Vec::new();
        for rule in &choice.rules {
            if rules.iter().all(|other| member(*other) != member(*rule)) {
                rules.push(*rule);
            }
        }
        let mut text = self.policy.clone();
        for (member, kept) in [(APPROVALS, choice.approvals), (EXCEPTIONS, choice.exceptions)] {
            assert!(text.contains(member));
            text = if kept { text } else { text.replace(member, "") };
        }
        if rules.iter().any(|rule| member(*rule) == "formats") {
            text = text.replace("    formats: [safetensors, json, txt]\n", "");
        }
        let lines: String = rules.iter().map(|rule| format!("    {}\n", RULES[*rule])).collect();
        text = text
            .replace("    models: [\"fraud-*\"]\n", &format!("    models: [\"fraud-*\"]\n{lines}"));
        self.world.policy = text;
        // They agree to the rules; what somebody may sign is none of them.
        let claims = [self.agreed(), self.others.clone()].concat();
        if let Some(right) = choice.right {
            self.world.change(RIGHTS[right].0, RIGHTS[right].1);
        }
        let lines = choice.lines.iter().map(|index| format!("{}\n", claims[*index]));
        std::fs::write(self.world.model().join("claims.jsonl"), lines.collect::<String>()).unwrap();
        self.world.revoked = revoked.clone();
        self.world.now = now() + SignedDuration::from_hours(choice.hours);
        self.world.decide_for("production", NAME).is_ok_and(|decision| decision.admitted)
    }
}

/// Whatever is chosen, and changed by `restrict`, is not admitted if it was not before; and some of it was, and is not any more.
fn never_more<C: std::fmt::Debug>(
    changes: impl Strategy<Value = C>,
    restrict: impl Fn(&Stage, &C, &mut Choice, &mut RevocationList),
) {
    let stage = RefCell::new(Stage::new());
    let (lost, kept) = (Cell::new(0), Cell::new(0));
    let config =
        Config { cases: 40, max_shrink_iters: 100, failure_persistence: None, ..Config::default() };
    let seed = proptest::test_runner::TestRng::deterministic_rng(
        proptest::test_runner::RngAlgorithm::ChaCha,
    );
    let mut runner = TestRunner::new_with_rng(config, seed);
    let done = runner.run(&(choices(), changes), |(choice, change)| {
        let mut stage = stage.borrow_mut();
        let nothing = RevocationList::default();
        let before = stage.admitted(&choice, &nothing);
        let (mut less, mut revoked) = (choice.clone(), nothing);
        restrict(&stage, &change, &mut less, &mut revoked);
        let after = stage.admitted(&less, &revoked);
        prop_assert!(before || !after, "{less:?} is admitted, {choice:?} is not");
        let counted = if after { &kept } else { &lost };
        counted.set(counted.get() + usize::from(before));
        Ok(())
    });
    done.unwrap();
    assert!(lost.get() >= 1, "{} lost, {} kept: nothing is seen", lost.get(), kept.get());
}

#[test]
fn another_rule() {
    never_more(0..RULES.len(), |_, rule, choice, _| {
        // Another of the same name would take its place.
        if choice.rules.iter().all(|other| member(*other) != member(*rule)) {
            choice.rules.insert(*rule);
        }
    });
}

#[test]
fn people_who_are_asked() {
    never_more(any::<bool>(), |_, exceptions, choice, _| match exceptions {
        true => choice.exceptions = false,
        false => choice.approvals = true,
    });
}

#[test]
fn fewer_claims() {
    never_more(prop::collection::btree_set(0..LINES, 1..=LINES), |_, gone, choice, _| {
        choice.lines = choice.lines.difference(gone).copied().collect();
    });
}

#[test]
fn another_revocation() {
    let who = prop::sample::select(vec!["prod", "ana", "ben", "cem", "eva", "dev", "stranger", ""]);
    never_more((who, prop::option::of(-48..48_i64)), |stage, (who, since), _, revoked| {
        let since = since.map(|hours| now() + SignedDuration::from_hours(hours));
        match stage.world.keys.get(who) {
            Some(key) => {
                let reason = "stolen".to_owned();
                revoked.signers.key(key.public().fingerprint(), Revoked { since, reason });
            }
            None => {
                let digests = stage.world.digests();
                revoked.model(
                    ModelName::Manifest(digests.manifest),
                    false,
                    bulla::jiff::Timestamp::UNIX_EPOCH,
                    "poisoned",
                );
            }
        }
    });
}

#[test]
fn a_right_that_is_lost() {
    never_more(0..RIGHTS.len(), |_, right, choice, _| choice.right = Some(*right));
}

/// Once everything that is dated has begun.
#[test]
fn later() {
    never_more(1..3000_i64, |_, hours, choice, _| choice.hours += *hours);
}
