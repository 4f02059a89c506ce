//! Statements about models, for people to look at: not verified, unless a lineage that was walked says so.

use serde::Serialize;
use serde_json::Value;

use super::{CertificateDescription, TimestampDescription};
use crate::bundle::{KeyHint, Material, UnverifiedBundle};
use crate::claims::ClaimsFile;
use crate::digest::Digest;
use crate::lineage::{Account, Lineage, Standing};
use crate::report::SignedByReport;
use crate::statement::build::{Parameters, Role};
use crate::statement::descriptor::ResourceDescriptor;
use crate::statement::model::ModelDigests;
use crate::statement::provenance::Provenance;
use crate::statement::{Predicate, Statement};
use crate::trust::Certificate;

/// What a `claims.jsonl` says. Not verified.
#[derive(Debug, Serialize)]
pub struct ClaimsDescription {
    /// The statements, in the order of their lines.
    pub statements: Vec<ClaimDescription>,
    /// Lines that cannot be read, and why.
    pub broken: Vec<(usize, String)>,
    /// Whether there was more than is read.
    pub cut: bool,
}

/// A line of it.
#[derive(Debug, Serialize)]
pub struct ClaimDescription {
    /// Its number, from 1.
    pub line: usize,
    /// The signing method in words.
    pub signed_with: &'static str,
    /// What the bundle says about its signer: a key hint, or a certificate's names.
    pub signer: String,
    /// Times in its timestamps.
    pub stamped: Vec<String>,
    /// What the statement says.
    #[serde(flatten)]
    pub statement: StatementDescription,
}

/// What a statement says.
#[derive(Debug, Serialize)]
pub struct StatementDescription {
    /// Its short name: `provenance`, …; else its predicate type.
    pub statement: String,
    /// Its predicate type.
    pub predicate_type: String,
    /// `sha256:` of the payload.
    pub payload: String,
    /// What it is about.
    pub subject: Vec<ResourceDescriptor>,
    /// The predicate, as it stands there.
    pub predicate: Value,
    /// Why it cannot be used, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unusable: Option<String>,
    /// Of a provenance: the nine things that a person asks of a model's origin.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
}

/// One of the nine.
#[derive(Debug, Serialize)]
pub struct Field {
    /// `model_hash`, …
    pub name: &'static str,
    /// What stands there, as it is to be shown.
    pub values: Vec<String>,
    /// How it is known.
    pub standing: FieldStanding,
}

/// How a field is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldStanding {
    /// It was checked, here, and holds.
    Proved,
    /// Whoever signed says so.
    Claimed,
    /// Nothing is said.
    Absent,
}

impl ClaimsDescription {
    /// Describes the lines of a file; with a lineage of the model that it lies by, what that proves.
    #[must_use]
    pub fn of(file: &ClaimsFile, lineage: Option<&Lineage>) -> Self {
        let statements = file.bundles.iter().map(|(line, bundle)| {
            let signer = signer(bundle);
            let stamps = bundle.evidence().timestamps.iter();
            let stamps = stamps.map(|token| TimestampDescription::of(token));
            let stamped: Vec<String> =
                stamps.map(|stamp| stamp.at).filter(|at| !at.is_empty()).collect();
            let (payload, _) = bundle.envelope.unverified();
            ClaimDescription {
                line: *line,
                signed_with: bundle.material().method(),
                statement: StatementDescription::of(payload, &signer, &stamped, lineage),
                signer,
                stamped,
            }
        });
        Self {
            statements: statements.collect(),
            broken: file.broken.iter().map(|(line, why)| (*line, why.to_string())).collect(),
            cut: file.cut,
        }
    }
}

/// Who a bundle says has signed it.
fn signer(bundle: &UnverifiedBundle) -> String {
    let certificate = match bundle.material() {
        Material::PublicKey(KeyHint::Hint(hint) | KeyHint::Both(hint, _)) => {
            return format!("key hint {}", hint.trim_end());
        }
        Material::PublicKey(_) => return "a key".to_owned(),
        Material::CertificateChain(chain) => chain.first(),
        Material::Sigstore { certificate } => Some(certificate),
    };
    match certificate.map(|der| Certificate::from_der(der)) {
        Some(Ok(certificate)) => {
            let described = CertificateDescription::of(&certificate);
            let names = match described.names.is_empty() {
                true => described.subject,
                false => described.names.join(", "),
            };
            match described.identity_provider {
                Some(provider) => format!("{names}, vouched for by {provider}"),
                None => names,
            }
        }
        _ => "a certificate that cannot be read".to_owned(),
    }
}

impl StatementDescription {
    pub(super) fn of(
        payload: &[u8],
        signer: &str,
        stamped: &[String],
        lineage: Option<&Lineage>,
    ) -> Self {
        let digest = format!("sha256:{}", Digest::sha256(payload).to_hex());
        let json: Value = serde_json::from_slice(payload).unwrap_or_default();
        let text = |name: &str| json.get(name).and_then(Value::as_str).unwrap_or_default();
        let predicate = json.get("predicate").cloned().unwrap_or_default();
        match Statement::read(payload) {
            Ok(statement) => {
                let proof = lineage.and_then(|lineage| Proof::of(lineage, &digest));
                let fields = match &statement.predicate {
                    Predicate::Provenance(provenance) => {
                        fields(&statement, provenance, signer, stamped, proof.as_ref())
                    }
                    _ => Vec::new(),
                };
                Self {
                    statement: statement.predicate.name().to_owned(),
                    predicate_type: statement.predicate.predicate_type().to_owned(),
                    payload: digest,
                    subject: statement.subject,
                    predicate,
                    unusable: None,
                    fields,
                }
            }
            Err(why) => Self {
                statement: text("predicateType").to_owned(),
                predicate_type: text("predicateType").to_owned(),
                payload: digest,
                subject: Vec::new(),
                predicate,
                unusable: Some(why.to_string()),
                fields: Vec::new(),
            },
        }
    }
}

/// What a lineage knows of a statement about its own model.
struct Proof<'a> {
    lineage: &'a Lineage,
    account: &'a Account,
    number: usize,
}

impl<'a> Proof<'a> {
    fn of(lineage: &'a Lineage, payload: &str) -> Option<Self> {
        let accounts = lineage.hops.first()?.accounts.iter().enumerate();
        let mut accounts = accounts.filter(|(_, account)| account.payload == payload);
        accounts.next().map(|(number, account)| Self { lineage, account, number })
    }

    /// Whether everything that the statement names in these roles is known by more than its own word.
    fn holds(&self, roles: &[Role]) -> bool {
        let links = self.lineage.links.iter().filter(|link| {
            link.child == 0 && link.account == self.number && roles.contains(&link.role)
        });
        let mut hops = links.filter_map(|link| self.lineage.hops.get(link.parent)).peekable();
        self.account.problems.is_empty()
            && hops.peek().is_some()
            && hops.all(|hop| {
                hop.problems.is_empty()
                    && !matches!(hop.standing, Standing::Unverified | Standing::Refused)
            })
    }

    /// Whether all of these are the model that was measured.
    fn model(&self, subjects: &[ResourceDescriptor]) -> bool {
        self.lineage.hops.first().is_some_and(|hop| {
            let found =
                |subject| hop.digests.is_some() && ModelDigests::read(subject).ok() == hop.digests;
            hop.standing == Standing::Verified && subjects.iter().all(found)
        })
    }

    /// Whether the signer's certificate says the same of the run that signed, and the signer may speak for it.
    fn certified(&self, claim: &str, value: &str) -> bool {
        match &self.account.signer {
            SignedByReport::Identity { claims, .. } if self.account.problems.is_empty() => {
                !value.is_empty() && claims.get(claim).is_some_and(|found| found == value)
            }
            _ => false,
        }
    }

    /// Whether it says so of all the code: the commit, and the place if one is named.
    fn code(&self, sources: &[&ResourceDescriptor]) -> bool {
        !sources.is_empty()
            && sources.iter().all(|source| {
                let place = source.uri.strip_prefix("git+").unwrap_or(&source.uri);
                let place = place.strip_suffix(".git").unwrap_or(place);
                let commit = source.digest.get("gitCommit").map_or("", String::as_str);
                self.certified("commit", commit)
                    && (place.is_empty() || self.certified("repository", place))
            })
    }
}

fn digest_of(descriptor: &ResourceDescriptor) -> String {
    match ModelDigests::read(descriptor) {
        Ok(digests) => digests.to_string(),
        Err(_) => {
            let digests = descriptor.digest.iter().map(|(kind, hex)| format!("{kind}:{hex}"));
            let digests: Vec<String> = digests.collect();
            if digests.is_empty() { "(no digest)".to_owned() } else { digests.join(" ") }
        }
    }
}

fn fields(
    statement: &Statement,
    made: &Provenance,
    signer: &str,
    stamped: &[String],
    proof: Option<&Proof<'_>>,
) -> Vec<Field> {
    let definition = &made.build_definition;
    let parameters: Parameters = serde_json::to_value(&definition.external_parameters)
        .and_then(serde_json::from_value)
        .unwrap_or_default();
    let field = |name, values: Vec<String>, proved: bool| Field {
        name,
        standing: match (values.is_empty(), proved) {
            (true, _) => FieldStanding::Absent,
            (false, true) => FieldStanding::Proved,
            (false, false) => FieldStanding::Claimed,
        },
        values,
    };
    let inputs = |roles: &[Role]| -> Vec<String> {
        let named = roles.iter().flat_map(|role| made.with_role(role.name()));
        named.map(|input| format!("{}  {}", input.label(), digest_of(input))).collect()
    };
    let bases = [Role::BaseModel, Role::Adapter];
    let data = [Role::TrainingData, Role::RetrievalIndex];

    let commits: Vec<&ResourceDescriptor> = made.with_role(Role::Source.name()).collect();
    let commit = |source: &&ResourceDescriptor| source.digest.get("gitCommit").cloned();
    let dirty = match parameters.source.as_ref().map(|source| source.dirty) {
        Some(Some(true)) => " with changes that were not committed",
        Some(None) => " with or without changes that were not committed",
        _ => "",
    };
    let code_proved = proof.is_some_and(|proof| proof.code(&commits));
    let code = commits.iter().map(|source| {
        let commit = commit(source).unwrap_or_else(|| "(no commit)".to_owned());
        let place = if source.uri.is_empty() { "(not published)" } else { &source.uri };
        format!("{place}  {commit}{dirty}")
    });

    let run = made.run_details.metadata.as_ref();
    let invocation = run.map(|run| run.invocation_id.clone()).unwrap_or_default();
    let mut pipeline = vec![format!("builder {}", made.run_details.builder.id)];
    pipeline.extend(parameters.pipeline.iter().map(|id| format!("pipeline {id}")));
    if !invocation.is_empty() {
        pipeline.push(format!("run {invocation}"));
    }

    let finished = run.and_then(|run| run.finished_on).map(|at| format!("finished {at}"));
    let times: Vec<String> = match proof.and_then(|proof| proof.account.signed_at.clone()) {
        Some(at) => vec![format!("signed at {at} or before")],
        None => stamped.iter().map(|at| format!("stamped {at}")).chain(finished).collect(),
    };
    let signers = match proof {
        Some(proof) => proof.account.signed_by.clone(),
        None => vec![signer.to_owned()],
    };
    let results = made.run_details.byproducts.iter();
    let results = results.filter(|byproduct| byproduct.role() == Some("evaluation-results"));
    let results = results.map(|byproduct| {
        let metrics = byproduct.annotations.get("metrics").and_then(Value::as_object);
        let metrics = metrics.into_iter().flatten().map(|(name, value)| format!("{name}={value}"));
        format!("{}  {}", byproduct.label(), metrics.collect::<Vec<_>>().join(" "))
    });
    vec![
        field(
            "model_hash",
            statement.subject.iter().map(digest_of).collect(),
            proof.is_some_and(|proof| proof.model(&statement.subject)),
        ),
        field("training_code_commit", code.collect(), code_proved),
        field("training_data_hash", inputs(&data), proof.is_some_and(|proof| proof.holds(&data))),
        field("base_model_hash", inputs(&bases), proof.is_some_and(|proof| proof.holds(&bases))),
        field("training_environment", environment(made), false),
        field(
            "training_pipeline_id",
            pipeline,
            proof.is_some_and(|proof| {
                let pipeline = parameters.pipeline.as_deref();
                proof.certified("run", &invocation)
                    && pipeline.is_none_or(|id| {
                        proof.certified("workflow", id) || proof.certified("workflow-name", id)
                    })
            }),
        ),
        field("signer_identity", signers, proof.is_some()),
        field("timestamp", times, proof.is_some_and(|proof| proof.account.signed_at.is_some())),
        field("evaluation_results", results.collect(), false),
    ]
}

/// What a builder says of where it ran, in a few lines.
fn environment(made: &Provenance) -> Vec<String> {
    let internal = &made.build_definition.internal_parameters;
    let at = |name: &str, pointer: &str| {
        let value = internal.get(name)?.pointer(pointer)?;
        Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    let mut lines = Vec::new();
    let gpus = internal
        .get("bulla_hardware")
        .and_then(|hardware| hardware.pointer("/accelerators/gpus"))
        .and_then(Value::as_array);
    for gpu in gpus.into_iter().flatten() {
        let text = |name: &str| gpu.get(name).and_then(Value::as_str).unwrap_or_default();
        let count = gpu.get("count").and_then(Value::as_u64).unwrap_or(1);
        lines.push(format!("{count} × {} {}", text("vendor"), text("model")));
    }
    let driver = at("bulla_hardware", "/accelerators/nvidia_driver");
    lines.extend(driver.map(|driver| format!("NVIDIA driver {driver}")));
    lines.extend(at("bulla_hardware", "/accelerators/cuda").map(|cuda| format!("CUDA {cuda}")));
    lines.extend(at("bulla_hardware", "/cpu/model"));
    let os = [at("bulla_os", "/name"), at("bulla_os", "/version"), at("bulla_os", "/kernel")];
    let os: Vec<String> = os.into_iter().flatten().collect();
    if !os.is_empty() {
        lines.push(os.join(" "));
    }
    for image in made.with_role(Role::ContainerImage.name()) {
        lines.push(format!("image {} {}", image.label(), digest_of(image)));
    }
    let versions = &made.run_details.builder.version;
    let versions: Vec<String> =
        versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    if !versions.is_empty() {
        lines.push(versions.join(", "));
    }
    lines
}
