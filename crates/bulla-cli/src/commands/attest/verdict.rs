//! `bulla attest verdict`

use std::collections::BTreeMap;

use bulla::lineage::Standing;
use bulla::statement::descriptor::DigestSet;
use bulla::statement::verdict::{Reference, Verdict, VerificationResult, Verifier};
use bulla::{Predicate, Printable};
use clap::Args;
use jiff::Timestamp;

use super::{AddArguments, end};
use crate::commands::lineage::{ChainFlags, Walked};
use crate::problem::{Outcome, Problem, Verdict as Answer};
use crate::ui::Ui;

/// Walk a model's lineage, and sign what came of it: a verification summary (VSA)
///
/// Whoever trusts this verifier needs not fetch the model's ancestors: the verdict stands in for them. A "no" is signed, too.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The directory or file that the statement is about
    #[arg(value_hint = clap::ValueHint::AnyPath)]
    model: std::path::PathBuf,
    /// Who decides: a URI that stands for this verifier
    #[arg(long, value_name = "URI", help_heading = "The verdict")]
    verifier: String,
    /// When the verdict ends: a day, a time, or days from now
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = end, help_heading = "The verdict")]
    expires: Timestamp,
    /// What the model is called by those who use it: a URI [default: one made of its digest]
    #[arg(long, value_name = "URI", help_heading = "The verdict")]
    resource_uri: Option<String>,
    #[command(flatten)]
    chain: ChainFlags,
    #[command(flatten)]
    add: AddArguments,
}

const EXAMPLES: &str = "\
Examples:
  bulla attest verdict deployed --trust trust.yaml --verifier https://gate.example --key signer.key";

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    let Some(trust) = &arguments.add.sign.believe.trust else {
        return Err(Problem::usage(
            "by which rules the model is judged is not said",
            "name a trust file with --trust (docs/lineage.md)",
        ));
    };
    let now = Timestamp::now();
    if arguments.expires <= now {
        return Err(Problem::usage(
            format!("it would end at {}, which is over", arguments.expires),
            "give a later --expires, for example 30d",
        ));
    }
    let desk = arguments.add.desk(ui)?;
    let model = &arguments.model;
    desk.may_add(model)?;
    let Walked { lineage, trust: file } =
        arguments.chain.walk(trust, model, &desk.limits, desk.work(), ui)?;
    // What is here has to be the model that was signed: a verdict about it is about those digests, wherever they are.
    let root = lineage.hops.first().filter(|hop| hop.standing == Standing::Verified);
    let Some(digests) = root.and_then(|hop| hop.digests) else {
        ui.refusals(&model.to_string_lossy(), &lineage)?;
        return Ok(Answer::No);
    };
    let unverified = lineage.ancestors().find(|hop| hop.standing == Standing::Unverified);
    if let Some(unverified) = unverified.filter(|_| lineage.stands) {
        return Err(Problem::usage(
            format!(
                "nobody vouches for {}: the trust file lets that pass, but a verdict would stand in for it everywhere",
                Printable(&unverified.name)
            ),
            "judge by a trust file with 'unverified_parents: deny'",
        ));
    }
    let level = lineage.hops.first().and_then(|hop| hop.level).unwrap_or_default();
    let mut levels = vec![level.name().to_owned()];
    if lineage.hops.first().is_some_and(|hop| hop.rederived) {
        levels.push("BULLA_REDERIVED".to_owned());
    }
    let mut dependencies: BTreeMap<String, u64> = BTreeMap::new();
    for level in lineage.ancestors().filter_map(|hop| hop.level) {
        *dependencies.entry(level.name().to_owned()).or_default() += 1;
    }
    let passed = lineage.stands;
    let policy = trust.file_name().unwrap_or_default().to_string_lossy();
    let policy: String = policy
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' })
        .collect();
    let predicate = Verdict {
        verifier: Verifier {
            id: arguments.verifier.clone(),
            version: BTreeMap::from([("bulla".into(), env!("CARGO_PKG_VERSION").into())]),
        },
        time_verified: now,
        resource_uri: match &arguments.resource_uri {
            Some(uri) => uri.clone(),
            None => bulla::lineage::resource_uri(&digests),
        },
        policy: Reference {
            uri: format!("file:{policy}"),
            digest: DigestSet::from([("sha256".to_owned(), file.digest.to_hex())]),
        },
        input_attestations: Vec::new(),
        verification_result: match passed {
            true => VerificationResult::Passed,
            false => VerificationResult::Failed,
        },
        verified_levels: if passed { levels } else { Vec::new() },
        dependency_levels: dependencies,
        slsa_version: Some("1.1".to_owned()),
        environment: file.rules.environment.clone(),
        expires_on: Some(arguments.expires),
    };
    if !passed {
        ui.refusals(&model.to_string_lossy(), &lineage)?;
    }
    let looked = bulla::Statement::about(
        digests.descriptor(
            &lineage.hops.first().map(|hop| hop.name.clone()).unwrap_or_default(),
            None,
        ),
        Predicate::Verdict(Box::new(predicate)),
    );
    let leaves_out = desk.leaves_claims_out(model)?;
    desk.add(model, leaves_out, &looked)?;
    Ok(if passed { Answer::Yes } else { Answer::No })
}
