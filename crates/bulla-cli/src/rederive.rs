//! Conversions that are done again, to compare.

use std::collections::BTreeSet;
use std::path::Path;

use bulla::Fault;
use bulla::ModelPath;
use bulla::lineage::{Converter, Files, Side};
use bulla::model::{CLAIMS_NAME, GIT_PATHS, SIGNATURE_NAME};
use bulla_convert::{Conversion, Model};
use serde_json::Value;

use crate::problem::{Problem, Verdict};

/// Differences that are named.
const NAMED: usize = 5;

/// Does the conversions of [`bulla_convert`] again.
#[derive(Debug)]
pub(crate) struct Again;

impl Converter for Again {
    fn convert_again(
        &self,
        conversion: &Value,
        parent: Side<'_>,
        child: Side<'_>,
    ) -> Option<Result<Result<(), String>, Fault>> {
        let conversion: Conversion = conversion.as_str()?.parse().ok()?;
        let local = |side: &Side<'_>| match &side.held.files {
            Files::Local(path) => Some(path.clone()),
            _ => None,
        };
        let (from, to) = (local(&parent)?, local(&child)?);
        Some(Ok(match compare(conversion, (&from, parent.ignored), (&to, child.ignored)) {
            Ok(result) => result.map_err(|differences| differences.join("; ")),
            // Both were just read and are what was signed: what is not a model of this kind was not converted.
            Err(error) => Err(error.to_string()),
        }))
    }
}

/// A model's place, and what its signature leaves out.
type Place<'a> = (&'a Path, &'a BTreeSet<ModelPath>);

/// Whether the child is what the conversion makes of the parent; the differences in words.
pub(crate) fn check(
    conversion: Conversion,
    parent: Place<'_>,
    child: Place<'_>,
) -> Result<Result<(), Vec<String>>, Problem> {
    compare(conversion, parent, child).map_err(|error| Problem::Reasons {
        what: "doing the conversion again".to_owned(),
        verdict: Verdict::CouldNotTell,
        reasons: vec![(error.code(), error.to_string())],
        hints: error.hint().map(str::to_owned).into_iter().collect(),
    })
}

fn compare(
    conversion: Conversion,
    (parent, left_out_of_parent): Place<'_>,
    (child, left_out_of_child): Place<'_>,
) -> Result<Result<(), Vec<String>>, bulla_convert::Error> {
    let parent = Model::open(parent, &|path| is_left_out(left_out_of_parent, path))?;
    let child = Model::open(child, &|path| is_left_out(left_out_of_child, path))?;
    let report = bulla_convert::check(&parent, &child, conversion)?;
    if report.is_equal() {
        return Ok(Ok(()));
    }
    let mut named: Vec<String> =
        report.differences.iter().take(NAMED).map(ToString::to_string).collect();
    let more = report.more + report.differences.len().saturating_sub(NAMED) as u64;
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    Ok(Err(named))
}

/// Whether a path is no part of a model: its signature says so, or says nothing and leaves it to the specification (v1.0 §6.2).
fn is_left_out(ignored: &BTreeSet<ModelPath>, path: &str) -> bool {
    ignored.contains(path)
        || path == SIGNATURE_NAME
        || path == CLAIMS_NAME
        || (ignored.is_empty() && GIT_PATHS.contains(&path))
}
