//! Conversions that are done again, to compare.

use std::path::Path;

use bulla::lineage::{Converter, Side};
use bulla::model::Scope;
use bulla::{Fault, Limits, LocalModel};
use bulla_convert::{Conversion, Error, Model};
use serde_json::Value;

use crate::files;
use crate::inputs::Looked;
use crate::problem::{Problem, Verdict};

/// Differences that are named.
const NAMED: usize = 5;

/// Does the conversions of [`bulla_convert`] again.
#[derive(Debug)]
pub(crate) struct Again<'a> {
    pub(crate) limits: &'a Limits,
}

impl Converter for Again<'_> {
    fn convert_again(
        &self,
        conversion: &Value,
        parent: Side<'_>,
        child: Side<'_>,
    ) -> Option<Result<Result<(), String>, Fault>> {
        let conversion: Conversion = conversion.as_str()?.parse().ok()?;
        let open = |side| {
            let Side { held, source, scope } = side;
            Model::open(&held.place, source, scope, self.limits)
        };
        Some(match compare(conversion, open(parent), open(child)) {
            Ok(result) => Ok(result.map_err(|differences| differences.join("; "))),
            Err(Error::Fault(fault)) => Err(fault),
            // Both were just read and are what was signed: what is not a model of this kind was not converted.
            Err(error) => Ok(Err(error.to_string())),
        })
    }
}

/// Whether the child is what the conversion makes of the parent; the differences in words.
pub(crate) fn check(
    conversion: Conversion,
    (parent, looked_at_parent): (&Path, &Looked),
    (child, looked_at_child): (&Path, &Looked),
    limits: &Limits,
) -> Result<Result<(), Vec<String>>, Problem> {
    let parent = open(parent, looked_at_parent, limits);
    let child = open(child, looked_at_child, limits);
    compare(conversion, parent, child).map_err(|error| match error {
        Error::Fault(fault) => fault.into(),
        error => Problem::Reasons {
            what: "doing the conversion again".to_owned(),
            verdict: Verdict::CouldNotTell,
            reasons: vec![(error.code(), error.to_string())],
            hints: error.hint().map(str::to_owned).into_iter().collect(),
        },
    })
}

/// Opens what was measured of a model.
fn open<'a>(path: &Path, looked: &'a Looked, limits: &Limits) -> Result<Model<'a>, Error> {
    let mut scope = Scope::to_verify(&looked.manifest.recipe, &looked.manifest.files);
    let signature = files::inside(path, &files::signature_of(path));
    signature.into_iter().for_each(|signature| scope.ignore_file(signature));
    Model::open(path, Box::new(LocalModel::open(path)?), scope, limits)
}

fn compare(
    conversion: Conversion,
    parent: Result<Model<'_>, Error>,
    child: Result<Model<'_>, Error>,
) -> Result<Result<(), Vec<String>>, Error> {
    let report = bulla_convert::check(&parent?, &child?, conversion)?;
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
