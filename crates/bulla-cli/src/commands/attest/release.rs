//! `bulla attest release`

use bulla::lineage::{Held, Rules, counting};
use bulla::party::{MaySign, Party};
use bulla::statement::release::{ListedClaim, Release};
use bulla::{Predicate, Printable};
use clap::Args;
use jiff::Timestamp;

use super::{AboutArguments, Desk, end};
use crate::inputs::Looked;
use crate::problem::{Outcome, Problem};
use crate::ui::Ui;

/// Say what is current: which model a name stands for, and which claims about it count
///
/// Old signatures stay valid, and claims can be taken away: a release, signed by whoever may, says what has to be there. It lists the
/// claims about the model that your own key, or a party of the trust file, has signed and may sign.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    about: AboutArguments,
    /// The name that the model is deployed by
    #[arg(long, value_name = "NAME", help_heading = "The release")]
    name: String,
    /// Which release of this name it is: 1 and up, each higher than the last
    #[arg(long, value_name = "K", help_heading = "The release")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    sequence: u64,
    /// When it ends: a day, a time, or days from now
    #[arg(long, value_name = "TIME", value_parser = end, help_heading = "The release")]
    expires: Timestamp,
}

const EXAMPLES: &str = "\
Examples:
  bulla attest release tuned --name fraud --sequence 1 --expires 90d --key signer.key
  bulla attest release tuned --name fraud --sequence 2 --expires 2030-01-01 --key signer.key";

/// The claims about a model that count.
fn listed(
    desk: &Desk<'_>,
    arguments: &Arguments,
    looked: &Looked,
) -> Result<Vec<ListedClaim>, Problem> {
    let mut rules = match &desk.believed.file {
        Some(file) => file.rules.clone(),
        None => Rules::new(Vec::new()),
    };
    if let Some(own) = desk.own_key() {
        rules.parties.push(Party::of_key("you", own.clone(), MaySign::Anything)?);
    }
    let held = Held::local(&arguments.about.model)?;
    let (stated, passed_over) = counting(vec![held], &rules, Timestamp::now(), &desk.limits)?;
    for line in &passed_over {
        desk.ui.note(&format!("not listed: {}", Printable(line)));
    }
    let claims = stated.iter().map(|stated| stated.claim.value());
    let mut claims: Vec<ListedClaim> = claims
        .filter(|claim| claim.statement.is_about(&looked.model))
        // A release does not make another one part of itself.
        .filter(|claim| !matches!(claim.statement.predicate, Predicate::Release(_)))
        .map(|claim| ListedClaim {
            predicate_type: claim.statement.predicate.predicate_type().to_owned(),
            sha256: claim.payload.to_hex(),
        })
        .collect();
    // Two parties may have signed the same statement.
    let mut seen = std::collections::BTreeSet::new();
    claims.retain(|claim| seen.insert(claim.sha256.clone()));
    Ok(claims)
}

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let issued = Timestamp::now();
    if arguments.expires <= issued {
        return Err(Problem::usage(
            format!("it would end at {}, which is over", arguments.expires),
            "give a later --expires, for example 90d",
        ));
    }
    let desk = arguments.about.add.desk(ui)?;
    let model = &arguments.about.model;
    desk.may_add(model)?;
    let looked = desk.look_at(model)?;
    let claims = listed(&desk, arguments, &looked)?;
    if claims.is_empty() {
        ui.note("no claim about the model counts: the release asks for none");
    }
    let release = Release {
        name: arguments.name.clone(),
        sequence: arguments.sequence,
        claims,
        issued,
        expires: arguments.expires,
    };
    desk.state(model, &looked, Predicate::Release(release))
}
