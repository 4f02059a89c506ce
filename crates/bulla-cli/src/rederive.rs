//! Conversions that are done again, to compare.

use std::path::Path;

use bulla::Fault;
use bulla::lineage::{Converter, Files, Held};
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
        parent: &Held,
        child: &Held,
    ) -> Option<Result<Result<(), String>, Fault>> {
        let conversion: Conversion = conversion.as_str()?.parse().ok()?;
        let (Files::Local(parent), Files::Local(child)) = (&parent.files, &child.files) else {
            return None;
        };
        Some(Ok(match compare(conversion, parent, child) {
            Ok(result) => result.map_err(|differences| differences.join("; ")),
            // Both were just read and are what was signed: what is not a model of this kind was not converted.
            Err(error) => Err(error.to_string()),
        }))
    }
}

/// Whether the child is what the conversion makes of the parent; the differences in words.
pub(crate) fn check(
    conversion: Conversion,
    parent: &Path,
    child: &Path,
) -> Result<Result<(), Vec<String>>, Problem> {
    compare(conversion, parent, child).map_err(|error| Problem::Log {
        what: "doing the conversion again".to_owned(),
        verdict: Verdict::CouldNotTell,
        reasons: vec![(error.code(), error.to_string())],
        hints: error.hint().map(str::to_owned).into_iter().collect(),
    })
}

fn compare(
    conversion: Conversion,
    parent: &Path,
    child: &Path,
) -> Result<Result<(), Vec<String>>, bulla_convert::Error> {
    let ignore =
        |path: &str| path == SIGNATURE_NAME || path == CLAIMS_NAME || GIT_PATHS.contains(&path);
    let (parent, child) = (Model::open(parent, &ignore)?, Model::open(child, &ignore)?);
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
