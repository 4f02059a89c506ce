//! `bulla attest`: one file for each kind of statement.

pub(crate) mod composition;
pub(crate) mod conversion;
pub(crate) mod dataset;
pub(crate) mod evaluation;
pub(crate) mod log;
pub(crate) mod provenance;
pub(crate) mod release;
pub(crate) mod statement;
pub(crate) mod test_result;
pub(crate) mod verdict;

use std::path::{Path, PathBuf};

use bulla::claims::{append, claims_path};
use bulla::report::{EvidenceReport, SignedByReport};
use bulla::statement::descriptor::ResourceDescriptor;
use bulla::{Access, Existing, Limits, Predicate, Printable, Reason, Statement};
use clap::{Args, Subcommand, ValueHint};
use serde::Serialize;

use crate::arguments::{RecipeArguments, WorkArguments};
use crate::files;
use crate::inputs::{BelieveArguments, Believed, Inputs, Looked, measured};
use crate::problem::{Outcome, Problem, Verdict};
use crate::signing::{SignerArguments, TheSigner};
use crate::ui::Ui;

/// Sign a statement about a model, and keep it beside the model
///
/// Statements are in-toto's, each signed by itself, and lie in MODEL/claims.jsonl, or in MODEL.claims.jsonl where the model's signature
/// does not leave that file out. Sign the model first: a statement names it by the digests of its signature.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Provenance(Box<provenance::Arguments>),
    Composition(Box<composition::Arguments>),
    Conversion(Box<conversion::Arguments>),
    Dataset(Box<dataset::Arguments>),
    Evaluation(Box<evaluation::Arguments>),
    TestResult(Box<test_result::Arguments>),
    Release(Box<release::Arguments>),
    Verdict(Box<verdict::Arguments>),
    Statement(Box<statement::Arguments>),
    Log(log::Arguments),
}

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    match &arguments.what {
        What::Provenance(arguments) => provenance::run(arguments, ui),
        What::Composition(arguments) => composition::run(arguments, ui),
        What::Conversion(arguments) => conversion::run(arguments, ui),
        What::Dataset(arguments) => dataset::run(arguments, ui),
        What::Evaluation(arguments) => evaluation::run(arguments, ui),
        What::TestResult(arguments) => test_result::run(arguments, ui),
        What::Release(arguments) => release::run(arguments, ui),
        What::Verdict(arguments) => verdict::run(arguments, ui),
        What::Statement(arguments) => statement::run(arguments, ui),
        What::Log(arguments) => log::run(arguments, ui),
    }
}

/// What every statement about a model needs.
#[derive(Debug, Args)]
pub(crate) struct AboutArguments {
    /// The directory or file that the statement is about
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) add: AddArguments,
}

/// How it is signed, and where it goes.
#[derive(Debug, Args)]
pub(crate) struct AddArguments {
    /// Write the bundle to this file in place of the model's claims ('-' is standard output)
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) sign: SignArguments,
}

/// How it is signed.
#[derive(Debug, Args)]
pub(crate) struct SignArguments {
    #[command(flatten)]
    signer: SignerArguments,
    #[command(flatten)]
    pub(crate) believe: BelieveArguments,
    #[command(flatten, next_help_heading = "Recipe of a model that is not signed")]
    recipe: RecipeArguments,
    #[command(flatten)]
    work: WorkArguments,
}

/// A statement in the making.
pub(crate) struct Desk<'a> {
    work: &'a WorkArguments,
    /// How a model is measured that is not signed; without it there has to be a signature.
    recipe: Option<&'a RecipeArguments>,
    output: Option<&'a Path>,
    pub(crate) limits: Limits,
    signer: TheSigner<'a>,
    pub(crate) believed: Believed,
    pub(crate) ui: &'a Ui,
}

#[derive(Debug, Serialize)]
struct Report {
    command: &'static str,
    verdict: &'static str,
    statement: String,
    predicate_type: String,
    payload: String,
    subject: Vec<ResourceDescriptor>,
    signed_by: SignedByReport,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evidence: Vec<EvidenceReport>,
    claims: String,
}

impl AddArguments {
    pub(crate) fn desk<'a>(&'a self, ui: &'a Ui) -> Result<Desk<'a>, Problem> {
        refuse_both(self.output.as_deref(), ui)?;
        Ok(Desk { output: self.output.as_deref(), ..self.sign.desk(ui)? })
    }
}

impl SignArguments {
    pub(crate) fn recipe(&self, model: &Path) -> Result<bulla::Recipe, Problem> {
        self.recipe.recipe(model)
    }

    pub(crate) fn desk<'a>(&'a self, ui: &'a Ui) -> Result<Desk<'a>, Problem> {
        let limits = self.work.limits();
        let signer = self.signer.signer(&limits, ui)?;
        let believed = self.believe.read(signer.bare_key(), &limits)?;
        let (work, recipe) = (&self.work, Some(&self.recipe));
        Ok(Desk { work, recipe, output: None, limits, signer, believed, ui })
    }
}

/// How a statement is signed about a model that has to be signed itself, by whom a policy says.
#[derive(Debug, Args)]
pub(crate) struct AgreeArguments {
    /// The directory or file that the statement is about
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(crate) model: PathBuf,
    /// Write the bundle to this file in place of the model's claims ('-' is standard output)
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    #[command(flatten)]
    signer: SignerArguments,
    #[command(flatten)]
    pub(crate) work: WorkArguments,
}

impl AgreeArguments {
    /// Whose signatures of models count is given: it is the policy's to say.
    pub(crate) fn desk<'a>(&'a self, believed: Believed, ui: &'a Ui) -> Result<Desk<'a>, Problem> {
        refuse_both(self.output.as_deref(), ui)?;
        let limits = self.work.limits();
        let signer = self.signer.signer(&limits, ui)?;
        let (work, output) = (&self.work, self.output.as_deref());
        Ok(Desk { work, recipe: None, output, limits, signer, believed, ui })
    }
}

/// The bundle and a report cannot both be written to standard output.
fn refuse_both(output: Option<&Path>, ui: &Ui) -> Result<(), Problem> {
    match output == Some(Path::new("-")) && ui.is_json() {
        true => Err(Problem::usage(
            "--json and --output - both want standard output",
            "leave one of them out",
        )),
        false => Ok(()),
    }
}

impl Desk<'_> {
    pub(crate) fn inputs(&self) -> Inputs<'_> {
        let (limits, work) = (&self.limits, self.work);
        Inputs { believed: &self.believed, limits, work, ui: self.ui }
    }

    pub(crate) fn work(&self) -> &WorkArguments {
        self.work
    }

    pub(crate) fn signer(&self) -> &TheSigner<'_> {
        &self.signer
    }

    /// The signer's own key, if it is a bare one.
    pub(crate) fn own_key(&self) -> Option<&bulla::PublicKey> {
        self.signer.bare_key()
    }

    /// The model: by its signature, which has to hold; or measured, if it has none.
    pub(crate) fn look_at(&self, model: &Path) -> Result<Looked, Problem> {
        let work = self.work;
        match (self.believed.verified(model, &self.limits, work, self.ui), self.recipe) {
            (Ok(Some(looked)), _) => Ok(looked),
            (Ok(None), None) => {
                let path = files::signature_of(model).display().to_string();
                Err(Problem::about(model.display().to_string(), Reason::NoSignature { path }))
            }
            (Ok(None), Some(recipe)) => {
                let shown = model.to_string_lossy();
                self.ui.note(&format!(
                    "{} is not signed yet: sign it with the same recipe, or the statement is about another model",
                    Printable(&shown)
                ));
                let recipe = recipe.recipe(model)?;
                measured(model, &recipe, &self.limits, work, self.ui)
            }
            (Err(Problem::About { failure: bulla::Failure::Refused(refusal), what }), Some(_))
                if refusal.reasons().all(|r| matches!(r, Reason::NotByAnyParty { .. })) =>
            {
                Err(Problem::usage(
                    format!("{}: {refusal}", Printable(&what)),
                    "name whose signature it has: --input-key KEY, or --trust FILE",
                ))
            }
            (Err(problem), _) => Err(problem),
        }
    }

    /// Whether a model's signature leaves its claims out; `None` if it has none. Its files are not read.
    pub(crate) fn leaves_claims_out(&self, model: &Path) -> Result<Option<bool>, Problem> {
        self.believed.leaves_claims_out(model, &self.limits)
    }

    /// Whether the claim can be kept where it belongs: found out before anything long begins.
    pub(crate) fn may_add(&self, model: &Path) -> Result<(), Problem> {
        let place = match self.output {
            Some(path) if path == Path::new("-") => return Ok(()),
            Some(path) => path.to_owned(),
            None => claims_path(model, None),
        };
        Ok(files::may_write(&place)?)
    }

    /// Signs a statement about a model, and adds it.
    pub(crate) fn state(&self, model: &Path, looked: &Looked, predicate: Predicate) -> Outcome {
        let statement = Statement::about(looked.descriptor(), predicate);
        self.add(model, looked.leaves_claims_out(), &statement)
    }

    /// Signs any statement, and adds it to those of a model.
    pub(crate) fn add(
        &self,
        model: &Path,
        claims_left_out: Option<bool>,
        statement: &Statement,
    ) -> Outcome {
        let limits = &self.limits;
        let sealed = bulla::sign::attest(statement, self.signer.as_signer(), limits)?;
        let (signed_by, evidence) = self.signer.signed_by(&sealed.key, &sealed.bundle, limits)?;
        let place = match self.output {
            Some(path) if path == Path::new("-") => {
                use std::io::Write as _;
                std::io::stdout().write_all(&sealed.bundle)?;
                return Ok(Verdict::Yes);
            }
            Some(path) => {
                let ours = |there: &[u8]| bulla::UnverifiedBundle::parse(there, limits).is_ok();
                let hint = || "look at it and remove it, or write to another file".to_owned();
                files::may_replace(path, limits.bundle_bytes, "a signed statement", ours, hint)?;
                bulla::store(path, &sealed.bundle, Access::Public, Existing::Replace)?;
                path.to_owned()
            }
            None => {
                let place = claims_path(model, claims_left_out);
                append(&place, &sealed.bundle, limits)?;
                place
            }
        };
        let report = Report {
            command: "attest",
            verdict: "signed",
            statement: statement.predicate.name().to_owned(),
            predicate_type: statement.predicate.predicate_type().to_owned(),
            payload: format!("sha256:{}", sealed.payload.to_hex()),
            subject: statement.subject.clone(),
            signed_by,
            evidence,
            claims: place.display().to_string(),
        };
        self.ui.result(&report, |out| {
            let name = statement.subject.first().map(ResourceDescriptor::label).unwrap_or_default();
            writeln!(out, "attested: {} ({})", Printable(name), Printable(&report.statement))?;
            crate::ui::signed_by(out, &report.signed_by)?;
            crate::ui::evidence(out, &report.evidence)?;
            for subject in &statement.subject {
                if let Ok(digests) = bulla::ModelDigests::read(subject) {
                    let digests = digests.to_string();
                    for (index, digest) in digests.split(' ').enumerate() {
                        let label = if index == 0 { "about" } else { "" };
                        writeln!(out, "  {label:<10} {digest}")?;
                    }
                }
            }
            writeln!(out, "  statement  {}", report.payload)?;
            writeln!(out, "  added to   {}", Printable(&place.to_string_lossy()))
        })?;
        Ok(Verdict::Yes)
    }
}

/// A day, a time, or so many days from now: `2027-06-01`, `90d`.
pub(crate) fn end(text: &str) -> Result<jiff::Timestamp, String> {
    if let Some(days) = text.strip_suffix('d') {
        let days: i64 = days.parse().map_err(|_| "expected a number of days, as 90d".to_owned())?;
        let span = jiff::SignedDuration::from_hours(days.checked_mul(24).ok_or("too many days")?);
        return jiff::Timestamp::now().checked_add(span).map_err(|e| e.to_string());
    }
    bulla::text::time(text).map_err(|why| format!("{why}, or days (90d)"))
}
