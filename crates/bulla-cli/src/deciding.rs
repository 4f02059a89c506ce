//! Deciding by a policy: what `bulla admit` and `bulla verify --policy` have in common.

use std::path::Path;

use bulla::lineage::{Converter, Stored};
use bulla::{Limits, LocalModel, ModelSource as _};
use bulla_policy::{Candidate, Decision, Gate, Memory, ModelName, Request};
use jiff::Timestamp;

use crate::arguments::WorkArguments;
use crate::commands::lineage::{Around, ChainFlags};
use crate::policies::PolicyArguments;
use crate::problem::Problem;
use crate::rederive::Again;
use crate::ui::Ui;

/// What is asked of a model.
pub(crate) struct Asked<'a> {
    pub(crate) model: &'a Path,
    /// The name that it is deployed by, else that of its folder or file.
    pub(crate) name: Option<&'a str>,
    pub(crate) expected: &'a [ModelName],
    pub(crate) chain: &'a ChainFlags,
    pub(crate) work: &'a WorkArguments,
}

/// Decides about a model.
pub(crate) fn decide(
    gate: &Gate,
    policy: &PolicyArguments,
    asked: &Asked<'_>,
    now: Timestamp,
    limits: &Limits,
    ui: &Ui,
) -> Result<Decision, Problem> {
    let model = asked.model;
    let source = LocalModel::open(model)?;
    let name = asked.name.unwrap_or_else(|| source.name());
    let chain_counts = policy.environment(gate)?.chain_counts();
    let Around { mut held, measure_parents, rederive } = asked.chain.around(model, chain_counts)?;
    // The signature is read once, for whoever remembers something of it and for whoever checks it.
    if let Some(root) = held.first_mut() {
        let bytes = root.read_signature(limits)?.map(std::borrow::Cow::into_owned);
        root.signature = bytes.map_or(Stored::Nowhere, Stored::Bytes);
    }
    let again = Again { limits };
    let request = Request {
        environment: &policy.environment,
        name,
        expected: asked.expected,
        measure_parents,
        converter: rederive.then_some(&again as &dyn Converter),
    };
    let bar = ui.bar("hashing");
    let candidate = Candidate { source: &source, held };
    let work = asked.work.work(&bar);
    Ok(gate.decide(&request, candidate, &Memory::default(), now, limits, work)?)
}
