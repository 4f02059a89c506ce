//! `bulla approve` and `bulla exception`

use bulla::statement::approval::{AppliesTo, Approval, Exception};
use bulla::{Predicate, Printable};
use bulla_policy::{Gate, WAIVABLE, is_waivable};
use clap::Args;
use jiff::Timestamp;

use super::attest::{AgreeArguments, Desk, end};
use crate::inputs::Believed;
use crate::policies::PolicyArguments;
use crate::problem::{Outcome, Problem};
use crate::registry::{Opened, RegistryArguments, To};
use crate::ui::Ui;

/// Agree to a model for an environment
///
/// The model is measured, and has to be what somebody signed whom the policy names. What is signed is about this model, this environment
/// and its rules as they are now: another rule, and it has to be looked at again.
#[derive(Debug, Args)]
#[command(after_help = APPROVE)]
pub(crate) struct ApproveArguments {
    #[command(flatten)]
    agree: AgreeArguments,
    #[command(flatten)]
    policy: PolicyArguments,
    #[command(flatten)]
    registry: RegistryArguments,
    /// When it ends: a day, a time, or days from now
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = end, help_heading = "The approval")]
    expires: Timestamp,
    /// What was looked at, in words
    #[arg(long, value_name = "TEXT", help_heading = "The approval")]
    comment: Option<String>,
}

const APPROVE: &str = "\
Examples:
  bulla approve fraud-eu --policy policy.yaml --environment production --key signer.key
  bulla approve fraud-eu -p policy.yaml -e production --expires 7d --comment ok --key signer.key";

/// Let a model pass without some of an environment's rules, for a while
///
/// Only rules about what is known of a model can be waived; who signed and what, what was revoked, and who agreed cannot.
#[derive(Debug, Args)]
#[command(after_help = EXCEPTION)]
pub(crate) struct ExceptionArguments {
    #[command(flatten)]
    agree: AgreeArguments,
    #[command(flatten)]
    policy: PolicyArguments,
    #[command(flatten)]
    registry: RegistryArguments,
    /// A rule that need not be met, as 'bulla admit' names it; may be repeated
    #[arg(long, value_name = "RULE", required = true, value_parser = rule, help_heading = "The exception")]
    waive: Vec<String>,
    /// Why, in words
    #[arg(long, value_name = "TEXT", help_heading = "The exception")]
    reason: String,
    /// When it ends: a day, a time, or days from now
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = end, help_heading = "The exception")]
    expires: Timestamp,
}

const EXCEPTION: &str = "\
Examples:
  bulla exception fraud-eu -p policy.yaml -e production --waive bom --reason late --key signer.key";

fn rule(name: &str) -> Result<String, String> {
    match is_waivable(name) {
        true => Ok(name.to_owned()),
        false => Err(format!("expected one of {}, or rule:NAME", WAIVABLE.join(", "))),
    }
}

pub(crate) fn approve(arguments: &ApproveArguments, ui: &Ui) -> Outcome {
    let issued = Timestamp::now();
    not_over(arguments.expires, issued)?;
    let opened = arguments.registry.open_if_named(To::Read, issued)?;
    let by = By { policy: &arguments.policy, registry: opened.as_ref() };
    say(&arguments.agree, &by, issued, ui, |applies_to| {
        Predicate::Approval(Approval {
            applies_to,
            issued,
            expires: arguments.expires,
            comment: arguments.comment.clone(),
        })
    })
}

pub(crate) fn exception(arguments: &ExceptionArguments, ui: &Ui) -> Outcome {
    let issued = Timestamp::now();
    not_over(arguments.expires, issued)?;
    let opened = arguments.registry.open_if_named(To::Read, issued)?;
    let by = By { policy: &arguments.policy, registry: opened.as_ref() };
    say(&arguments.agree, &by, issued, ui, |applies_to| {
        Predicate::Exception(Exception {
            applies_to,
            waives: arguments.waive.clone(),
            reason: arguments.reason.clone(),
            issued,
            expires: arguments.expires,
        })
    })
}

fn not_over(expires: Timestamp, now: Timestamp) -> Result<(), Problem> {
    match expires <= now {
        true => Err(Problem::usage(
            format!("it would end at {expires}, which is over"),
            "give a later --expires, for example 30d",
        )),
        false => Ok(()),
    }
}

/// By what it is known whose signature counts.
struct By<'a> {
    policy: &'a PolicyArguments,
    registry: Option<&'a Opened>,
}

/// Signs a statement about a model that somebody has signed whom the policy names.
fn say(
    agree: &AgreeArguments,
    by: &By<'_>,
    now: Timestamp,
    ui: &Ui,
    predicate: impl FnOnce(AppliesTo) -> Predicate,
) -> Outcome {
    let limits = agree.work.limits();
    let gate: Gate = by.policy.gate(by.registry, now, &limits)?;
    let environment = by.policy.environment(&gate)?;
    let applies_to = AppliesTo {
        policy: gate.policy().name.clone(),
        environment: environment.name.clone(),
        rules_sha256: environment.digest.to_hex(),
    };
    let believed = Believed::of(&environment.lineage.parties);
    let desk: Desk<'_> = agree.desk(believed, ui)?;
    desk.may_add(&agree.model)?;
    let looked = desk.look_at(&agree.model)?;
    let predicate = predicate(applies_to);
    let policy = gate.policy();
    let (asked, what) = match &predicate {
        Predicate::Exception(_) => (policy.who_waives(environment), "may waive a rule"),
        _ => (policy.who_approves(environment), "is asked to approve"),
    };
    let known = desk.own_key().is_none_or(|key| {
        let key = key.fingerprint();
        let roles = asked.iter().filter_map(|role| policy.roles.get(*role));
        roles.flat_map(|role| role.people.values()).any(|person| person.keys.contains(&key))
    });
    if !known {
        let whom = match asked.is_empty() {
            true => "nobody".to_owned(),
            false => format!("only {}", asked.into_iter().collect::<Vec<_>>().join(", ")),
        };
        ui.note(&format!(
            "in {} {whom} {what}, and your key is of nobody of them: what it says will not count",
            Printable(&environment.name)
        ));
    }
    desk.state(&agree.model, &looked, predicate)
}
