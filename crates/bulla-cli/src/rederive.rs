//! Conversions that are done again, to compare.

use std::path::Path;

use bulla::lineage::{self, Converter};
use bulla::model::Scope;
use bulla::{Fault, Limits, LocalModel, Printable, Recipe};
use bulla_convert::{Conversion, Error, Model};
use serde_json::Value;

use crate::files;
use crate::inputs::Looked;
use crate::problem::{Problem, Verdict};
use crate::ui::Ui;

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
        parent: lineage::Side<'_>,
        child: lineage::Side<'_>,
    ) -> Option<Result<Result<(), String>, Fault>> {
        let conversion: Conversion = conversion.as_str()?.parse().ok()?;
        let open = |side| {
            let lineage::Side { held, source, scope } = side;
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

/// A model on the disk, and what of it counts.
pub(crate) struct Side<'a> {
    path: &'a Path,
    scope: Scope<'a>,
}

impl<'a> Side<'a> {
    /// What was measured of a model.
    pub(crate) fn measured(path: &'a Path, looked: &'a Looked) -> Self {
        let mut scope = Scope::to_verify(&looked.manifest.recipe, &looked.manifest.files);
        let signature = files::inside(path, &files::signature_of(path));
        signature.into_iter().for_each(|signature| scope.ignore_file(signature));
        Self { path, scope }
    }

    /// What would be signed of a model.
    pub(crate) fn to_sign(path: &'a Path, recipe: &'a Recipe) -> Self {
        Self { path, scope: Scope::to_sign(recipe) }
    }

    fn open(self, limits: &Limits) -> Result<Model<'a>, Error> {
        Model::open(self.path, Box::new(LocalModel::open(self.path)?), self.scope, limits)
    }
}

/// Does a conversion again, if that can be done here, before anybody signs that it was done.
pub(crate) fn confirm(
    name: &str,
    base: Option<Side<'_>>,
    child: Side<'_>,
    limits: &Limits,
    ui: &Ui,
) -> Result<(), Problem> {
    let Ok(conversion) = name.parse::<Conversion>() else {
        ui.note(&format!(
            "{} is no conversion that can be done again: it is signed as you say it",
            Printable(name)
        ));
        return Ok(());
    };
    let Some(base) = base else {
        ui.note("the base model is not here: the conversion was not done again");
        return Ok(());
    };
    let what = child.path.display().to_string();
    let compared = compare(conversion, base.open(limits), child.open(limits));
    let compared = compared.map_err(|error| match error {
        Error::Fault(fault) => fault.into(),
        error => Problem::Reasons {
            what: "doing the conversion again".to_owned(),
            verdict: Verdict::CouldNotTell,
            reasons: vec![(error.code(), error.to_string())],
            hints: error.hint().map(str::to_owned).into_iter().collect(),
        },
    })?;
    compared.map_err(|differences| Problem::Reasons {
        what,
        verdict: Verdict::No,
        reasons: differences.into_iter().map(|d| ("not-rederived", d)).collect(),
        hints: vec![
            "if it was made in another way, give that its own name with --conversion".into(),
        ],
    })
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
