//! How a model was made: from flags and from what this machine knows of itself to a provenance.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use bulla::Printable;
use bulla::statement::build::{Kind, Parameters, Role, Source};
use bulla::statement::descriptor::{DigestSet, ResourceDescriptor};
use bulla::statement::provenance::{
    BuildDefinition, BuildMetadata, Builder, Provenance, RunDetails,
};
use bulla_provenance::environment::{Environment, Packages, Sources, gather};
use bulla_provenance::training_log::{self, Head};
use clap::{Args, ValueEnum, ValueHint};
use jiff::Timestamp;
use serde_json::Value;

use crate::commands::attest::evaluation::{METRICS_BYTES, parse_metrics};
use crate::inputs::{Hashing, with_role};
use crate::problem::Problem;
use crate::ui::Ui;

/// `builder.id` of a run that no platform stands for.
const LOCAL_BUILDER: &str = "urn:bulla:builder:local";

/// The flags that say how it was made.
#[derive(Debug, Args)]
#[command(next_help_heading = "How it was made")]
pub(crate) struct MakingArguments {
    /// Who ran it: a URI that stands for the platform [default: the CI system's, else urn:bulla:builder:local]
    #[arg(long, value_name = "URI")]
    builder: Option<String>,
    /// The pipeline that it was a run of [default: the CI system's]
    #[arg(long, value_name = "ID")]
    pipeline: Option<String>,
    /// The run, as the platform calls it [default: the CI system's]
    #[arg(long, value_name = "ID")]
    invocation: Option<String>,
    /// The directory of the code, whose git commit is recorded
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    source: PathBuf,
    /// The container image that it ran in: NAME@sha256:HEX [default: what can be found out]
    #[arg(long, value_name = "IMAGE", conflicts_with = "no_environment")]
    container_image: Option<String>,
    /// Which Python packages are recorded, with their versions
    #[arg(long, value_name = "WHICH", default_value = "frameworks")]
    packages: WhichPackages,
    /// Record nothing of this machine: no commit, CI run, hardware or packages
    #[arg(long)]
    no_environment: bool,
    /// A training log, whose head is recorded (docs/provenance.md)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    training_log: Option<PathBuf>,
    /// A JSON file with what was measured of the model: {"accuracy": 0.93}; may be repeated
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    evaluation: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum WhichPackages {
    /// Frameworks of machine learning
    Frameworks,
    /// All that are installed
    All,
    /// None
    None,
}

/// What was done, beside what the flags say.
pub(crate) struct Making {
    pub(crate) kind: Kind,
    pub(crate) inputs: Vec<ResourceDescriptor>,
    pub(crate) command: Vec<String>,
    pub(crate) hyperparameters: Option<PathBuf>,
    pub(crate) conversion: Option<Value>,
    pub(crate) started: Option<Timestamp>,
    pub(crate) finished: Option<Timestamp>,
    /// The log that was written of it, and its head.
    pub(crate) log: Option<(PathBuf, Head)>,
}

impl Making {
    pub(crate) fn new(kind: Kind, inputs: Vec<ResourceDescriptor>) -> Self {
        Self {
            kind,
            inputs,
            command: Vec::new(),
            hyperparameters: None,
            conversion: None,
            started: None,
            finished: None,
            log: None,
        }
    }
}

impl MakingArguments {
    /// What this machine knows of itself: before a run, for the run may change it.
    pub(crate) fn environment(&self, ui: &Ui) -> Result<Option<Environment>, Problem> {
        if !self.source.is_dir() {
            return Err(Problem::usage(
                format!("{} is no directory", Printable(&self.source.to_string_lossy())),
                "name the directory of the code with --source",
            ));
        }
        if self.no_environment {
            return Ok(None);
        }
        let mut sources = Sources::machine(std::env::vars_os());
        sources.source_directory = Some(self.source.clone());
        sources.container_image.clone_from(&self.container_image);
        sources.packages = match self.packages {
            WhichPackages::Frameworks => Packages::Frameworks,
            WhichPackages::All => Packages::All,
            WhichPackages::None => Packages::None,
        };
        let environment = gather(&sources);
        if ui.is_verbose() {
            for note in &environment.notes {
                ui.note(&format!("{}: {}", note.about, Printable(&note.text)));
            }
        }
        let image = environment.container.as_ref().and_then(|found| found.image.as_ref());
        if let (Some(given), None) = (&self.container_image, image) {
            return Err(Problem::usage(
                format!("{} is no name of an image, or holds a secret", Printable(given)),
                "give it as NAME@sha256:HEX to --container-image",
            ));
        }
        Ok(Some(environment))
    }

    /// Puts everything in its place.
    pub(crate) fn provenance(
        &self,
        making: Making,
        environment: Option<&Environment>,
    ) -> Result<Provenance, Problem> {
        let byproducts = self.byproducts(making.log.as_ref())?;
        Ok(self.put_together(making, environment, byproducts))
    }

    /// That what is known before a run can be signed after it.
    pub(crate) fn check(
        &self,
        making: Making,
        environment: Option<&Environment>,
    ) -> Result<(), Problem> {
        let provenance = self.put_together(making, environment, Vec::new());
        let nothing = bulla::Digest::sha256(b"");
        let subject = ResourceDescriptor::of_file("", &nothing);
        let predicate = bulla::Predicate::Provenance(Box::new(provenance));
        bulla::Statement::about(subject, predicate).encode()?;
        Ok(())
    }

    fn put_together(
        &self,
        making: Making,
        environment: Option<&Environment>,
        byproducts: Vec<ResourceDescriptor>,
    ) -> Provenance {
        let Making { kind, mut inputs, command, hyperparameters, conversion, .. } = making;
        let Making { started, finished, .. } = making;
        let parts = [Role::BaseModel, Role::Adapter, Role::RetrievalIndex];
        let is_part = |input: &&ResourceDescriptor| {
            parts.iter().any(|role| input.role() == Some(role.name()))
        };
        let components = match kind {
            Kind::Compose => inputs.iter().filter(is_part).map(|i| i.name.clone()).collect(),
            _ => Vec::new(),
        };
        let ci = environment.map(|environment| environment.ci.as_slice()).unwrap_or_default();
        let run = ci.iter().rev().find_map(|ci| ci.run_id.clone());
        let pipeline = ci.iter().find_map(|ci| ci.pipeline_id.clone());
        let builder = ci.iter().find_map(|ci| ci.builder_id.clone());
        let source = environment.and_then(|environment| code(environment, &mut inputs));
        environment.into_iter().for_each(|environment| image(environment, &mut inputs));
        let parameters = Parameters {
            source,
            command,
            hyperparameters: hyperparameters.map(|path| path.to_string_lossy().into_owned()),
            pipeline: self.pipeline.clone().or(pipeline),
            conversion,
            components,
        };
        Provenance {
            build_definition: BuildDefinition {
                build_type: kind.build_type(),
                external_parameters: parameters.to_map(),
                internal_parameters: environment.map(internal).unwrap_or_default(),
                resolved_dependencies: inputs,
            },
            run_details: RunDetails {
                builder: Builder {
                    id: self.builder.clone().or(builder).unwrap_or(LOCAL_BUILDER.to_owned()),
                    builder_dependencies: Vec::new(),
                    version: versions(environment),
                },
                metadata: Some(BuildMetadata {
                    invocation_id: self.invocation.clone().or(run).unwrap_or_default(),
                    started_on: started,
                    finished_on: finished,
                }),
                byproducts,
            },
        }
    }

    fn byproducts(
        &self,
        written: Option<&(PathBuf, Head)>,
    ) -> Result<Vec<ResourceDescriptor>, Problem> {
        let mut byproducts = Vec::new();
        let written = written.map(|(path, head)| (path, Some(head)));
        let given = self.training_log.as_ref().map(|path| (path, None));
        for (path, head) in written.into_iter().chain(given) {
            byproducts.push(log(path, head)?);
        }
        for path in &self.evaluation {
            byproducts.push(evaluation(path)?);
        }
        Ok(byproducts)
    }
}

/// A training log, with its head. One that was just written has to be the one that is there: the training could have
/// put another in its place.
fn log(path: &Path, written: Option<&Head>) -> Result<ResourceDescriptor, Problem> {
    let mut opened = BufReader::new(Hashing::open(path)?);
    let report =
        training_log::verify(&mut opened, written).map_err(|error| of_log(path, &error))?;
    // It was read to its end, or it would not be whole.
    Ok(opened
        .into_inner()
        .descriptor(path)
        .annotated("role", "training-log")
        .annotated("head", report.head.to_string())
        .annotated("lines", report.head.lines))
}

/// A training log that is not whole.
pub(crate) fn of_log(path: &Path, error: &training_log::LogError) -> Problem {
    use crate::problem::Verdict;
    use std::error::Error as _;
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    Problem::Reasons {
        what: path.display().to_string(),
        verdict: match error {
            training_log::LogError::Broken { .. } | training_log::LogError::NotTheHead { .. } => {
                Verdict::No
            }
            _ => Verdict::CouldNotTell,
        },
        reasons: vec![("training-log", format!("{error}{cause}"))],
        hints: error.hint().map(str::to_owned).into_iter().collect(),
    }
}

/// Numbers that were measured; the file's digest, and the numbers themselves.
fn evaluation(path: &Path) -> Result<ResourceDescriptor, Problem> {
    let bytes = bulla::read_named(path, METRICS_BYTES)?;
    let descriptor =
        ResourceDescriptor::of_file(&path.to_string_lossy(), &bulla::Digest::sha256(&bytes));
    let metrics = parse_metrics(path, &bytes)?;
    // One name may stand for several tasks and splits.
    let named = metrics.into_iter().map(|metric| {
        let parts = [Some(metric.name), metric.task, metric.split];
        let name = parts.into_iter().flatten().collect::<Vec<_>>().join(" / ");
        (name, Value::from(metric.value))
    });
    let descriptor = descriptor.annotated("role", "evaluation-results");
    Ok(descriptor.annotated("metrics", named.collect::<serde_json::Map<_, _>>()))
}

/// The commit, as a dependency; and where the code is from.
fn code(environment: &Environment, inputs: &mut Vec<ResourceDescriptor>) -> Option<Source> {
    let git = environment.git.as_ref()?;
    let uri = git.repository.as_ref().map(|repository| match repository.starts_with("git+") {
        true => repository.clone(),
        false => format!("git+{repository}"),
    });
    let descriptor = ResourceDescriptor {
        name: "source".to_owned(),
        uri: uri.clone().unwrap_or_default(),
        digest: DigestSet::from([("gitCommit".to_owned(), git.commit.clone())]),
        ..ResourceDescriptor::default()
    };
    inputs.push(with_role(descriptor, Role::Source));
    Some(Source { uri, r#ref: git.reference.clone(), dirty: git.dirty })
}

/// The container's image, as a dependency: only with a digest it says which.
fn image(environment: &Environment, inputs: &mut Vec<ResourceDescriptor>) {
    let Some(container) = &environment.container else { return };
    let Some(digest) = &container.image_digest else { return };
    let Some(hex) = digest.strip_prefix("sha256:") else { return };
    let descriptor = ResourceDescriptor {
        name: container.image.clone().unwrap_or_default(),
        digest: DigestSet::from([("sha256".to_owned(), hex.to_owned())]),
        ..ResourceDescriptor::default()
    };
    inputs.push(with_role(descriptor, Role::ContainerImage));
}

fn internal(environment: &Environment) -> BTreeMap<String, Value> {
    let mut internal = BTreeMap::new();
    let mut put = |name: &str, value: Result<Value, serde_json::Error>| {
        // Strings and numbers: this cannot fail.
        if let Ok(value) = value
            && !value.is_null()
        {
            internal.insert(format!("bulla_{name}"), value);
        }
    };
    put("hardware", serde_json::to_value(&environment.hardware));
    put("os", serde_json::to_value(&environment.os));
    put("container", serde_json::to_value(&environment.container));
    if !environment.ci.is_empty() {
        put("ci", serde_json::to_value(&environment.ci));
    }
    internal
}

fn versions(environment: Option<&Environment>) -> BTreeMap<String, String> {
    let packages = environment.into_iter().flat_map(|environment| &environment.packages);
    let mut versions: BTreeMap<String, String> =
        packages.map(|package| (package.name.clone(), package.version.clone())).collect();
    versions.insert("bulla".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    versions
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{PipeReader, Write as _};
    use std::os::fd::AsRawFd as _;

    /// A file that can be read once: a second reading finds nothing.
    fn once(contents: &[u8]) -> (PipeReader, PathBuf) {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(contents).unwrap();
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        (reader, path.into())
    }

    fn sha256(bytes: &[u8]) -> DigestSet {
        DigestSet::from([("sha256".to_owned(), bulla::Digest::sha256(bytes).to_hex())])
    }

    /// What is signed as measured is what the digest is of, whoever writes to the file meanwhile.
    #[test]
    fn an_evaluation_that_is_hashed_in_another_reading() {
        let numbers = br#"{"accuracy": 0.93}"#;
        let (_open, path) = once(numbers);
        let described = evaluation(&path).unwrap();
        assert_eq!(described.digest, sha256(numbers));
        assert_eq!(described.annotations["metrics"], serde_json::json!({ "accuracy": 0.93 }));
    }

    #[test]
    fn a_log_that_is_hashed_in_another_reading() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let head = training_log::Writer::create(&path, Timestamp::UNIX_EPOCH).unwrap();
        let head = head.finish().unwrap();
        let lines = std::fs::read(&path).unwrap();
        let (_open, path) = once(&lines);
        let described = log(&path, None).unwrap();
        assert_eq!(described.digest, sha256(&lines));
        assert_eq!(described.annotations["head"], head.to_string());
    }
}
