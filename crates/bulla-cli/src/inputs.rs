//! What went into a model: found, measured, and its signature checked on the spot.

use std::path::{Path, PathBuf};

use bulla::model::{Found, ModelSource as _, Scope};
use bulla::party::{self, MaySign, Party};
use bulla::sign::Known;
use bulla::statement::build::Role;
use bulla::statement::descriptor::{DigestSet, ROLE, ResourceDescriptor};
use bulla::{
    Digest, Failure, HashAlgorithm, Limits, LocalModel, Manifest, ModelDigests, Options, Printable,
    PublicKey, Reason, Recipe, UnverifiedBundle, VerifiedModel,
};
use bulla_policy::TrustFile;
use clap::{Args, ValueHint};

use crate::arguments::WorkArguments;
use crate::files;
use crate::keys::KeyReference;
use crate::problem::{Problem, Verdict};
use crate::ui::Ui;

/// Whose signatures of models and data are believed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Whom to believe")]
pub(crate) struct BelieveArguments {
    /// Believe the signatures of parties that this trust file lets sign models (docs/lineage.md)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) trust: Option<PathBuf>,
    /// Believe the signatures by this public key, too; may be repeated. Your own key is believed in any case
    #[arg(long, value_name = "KEY")]
    input_key: Vec<KeyReference>,
}

/// The same, read.
pub(crate) struct Believed {
    parties: Vec<Party>,
    pub(crate) file: Option<TrustFile>,
}

impl BelieveArguments {
    pub(crate) fn read(
        &self,
        own: Option<&PublicKey>,
        limits: &Limits,
    ) -> Result<Believed, Problem> {
        let file = self.trust.as_deref().map(|path| TrustFile::read(path, limits)).transpose()?;
        let mut keys = Vec::new();
        for key in &self.input_key {
            keys.push(key.public_key(limits)?);
        }
        keys.extend(own.cloned());
        let mut parties = Vec::new();
        for key in keys {
            parties.push(Party::of_key(key.fingerprint().to_string(), key, MaySign::Anything)?);
        }
        let named = file.iter().flat_map(|file| &file.rules.parties);
        parties.extend(named.filter(|party| party.may_sign.models()).cloned());
        Ok(Believed { parties, file })
    }
}

/// A model or data that was looked at.
pub(crate) struct Looked {
    pub(crate) manifest: Manifest,
    pub(crate) model: ModelDigests,
    /// Its signature, if that was checked: the file's digest.
    pub(crate) signature: Option<Digest>,
}

impl Looked {
    pub(crate) fn descriptor(&self) -> ResourceDescriptor {
        self.model.descriptor(&self.manifest.name, Some(&self.manifest.recipe))
    }

    /// Whether its signature leaves `claims.jsonl` out; `None` if it has none.
    pub(crate) fn leaves_claims_out(&self) -> Option<bool> {
        self.signature.map(|_| self.manifest.recipe.ignore.contains(bulla::model::CLAIMS_NAME))
    }
}

impl Believed {
    /// Whoever may sign models, of these.
    pub(crate) fn of(parties: &[Party]) -> Self {
        let parties = parties.iter().filter(|party| party.may_sign.models()).cloned().collect();
        Self { parties, file: None }
    }

    /// Checks a model that has a signature; `None` if it has none.
    pub(crate) fn verified(
        &self,
        path: &Path,
        limits: &Limits,
        work: &WorkArguments,
        ui: &Ui,
    ) -> Result<Option<Looked>, Problem> {
        let source = LocalModel::open(path)?;
        let signature = files::signature_of(path);
        let Some(bytes) = files::read_found(&signature, limits.bundle_bytes)? else {
            return Ok(None);
        };
        let about = |failure: Failure| Problem::about(path.display().to_string(), failure);
        let options =
            Options { signature_path: files::inside(path, &signature), ..Options::default() };
        let bar = ui.bar("hashing");
        let verified = self.verify(
            &bytes,
            |claim| claim.check(source, &options, limits, work.work(&bar)),
            limits,
        );
        let verified: VerifiedModel<LocalModel> = verified.map_err(about)?;
        let claim = verified.claim().value();
        let no_names = || about(Reason::BindsNoNames.into());
        Ok(Some(Looked {
            manifest: verified.manifest().clone(),
            model: ModelDigests::of_claim(claim).ok_or_else(no_names)?,
            signature: Some(Digest::sha256(&bytes)),
        }))
    }

    /// Whether a model's signature leaves its claims out; `None` if it has none.
    pub(crate) fn leaves_claims_out(
        &self,
        path: &Path,
        limits: &Limits,
    ) -> Result<Option<bool>, Problem> {
        let signature = files::signature_of(path);
        let Some(bytes) = files::read_found(&signature, limits.bundle_bytes)? else {
            return Ok(None);
        };
        let left_out = |claim: bulla::Authenticated<bulla::OmsClaim>| {
            Ok(claim.value().recipe.ignore.contains(bulla::model::CLAIMS_NAME))
        };
        let read = self.verify(&bytes, left_out, limits);
        Ok(Some(read.map_err(|failure| Problem::about(path.display().to_string(), failure))?))
    }

    /// Takes a model's digests from its signature, without the model: for what is too large or too far to be read.
    pub(crate) fn by_signature(
        &self,
        path: &Path,
        limits: &Limits,
    ) -> Result<ResourceDescriptor, Problem> {
        let bytes = bulla::read_named(path, limits.bundle_bytes)?;
        let about = |failure: Failure| Problem::about(path.display().to_string(), failure);
        self.verify(
            &bytes,
            |claim| {
                let claim = claim.value();
                let digests = ModelDigests::of_claim(claim).ok_or(Reason::BindsNoNames)?;
                Ok(digests.descriptor(&claim.subject, Some(&claim.recipe)))
            },
            limits,
        )
        .map_err(about)
    }

    /// Authenticates a model's signature by whoever is believed, and goes on with what they signed.
    fn verify<T>(
        &self,
        bytes: &[u8],
        go_on: impl FnOnce(bulla::Authenticated<bulla::OmsClaim>) -> Result<T, Failure>,
        limits: &Limits,
    ) -> Result<T, Failure> {
        let bundle = UnverifiedBundle::parse(bytes, limits)?;
        let now = jiff::Timestamp::now();
        let (payload, _) = party::authenticate(bundle, &self.parties, now, limits)?;
        go_on(payload.decode()?)
    }
}

/// Measures a model that nobody signed, or whose signature is not looked at.
pub(crate) fn measured(
    path: &Path,
    recipe: &Recipe,
    limits: &Limits,
    work: &WorkArguments,
    ui: &Ui,
) -> Result<Looked, Problem> {
    let source = LocalModel::open(path)?;
    let bar = ui.bar("hashing");
    let manifest = bulla::sign::measure(&source, recipe, Known::Nothing, limits, work.work(&bar))
        .map_err(|failure| Problem::about(path.display().to_string(), failure))?;
    Ok(Looked { model: ModelDigests::of(&manifest), manifest, signature: None })
}

/// The flags that name what went in.
#[derive(Debug, Args, Default)]
#[command(next_help_heading = "What went in")]
pub(crate) struct DataArguments {
    /// What it was trained on: a directory or file, which is measured, or a URI, with '#oms:HEX,oms-manifest-v1:HEX' or '#sha256:HEX' if its
    /// digests are known; may be repeated
    #[arg(long, value_name = "DATA", alias = "input")]
    pub(crate) dataset: Vec<String>,
    /// The same, by its signature alone: a data lake that is not read again; may be repeated
    #[arg(long, value_name = "SIGNATURE", value_hint = ValueHint::FilePath)]
    pub(crate) dataset_by_signature: Vec<PathBuf>,
    /// A file with hyperparameters
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) hyperparameters: Option<PathBuf>,
}

/// Looks at inputs, one after another.
pub(crate) struct Inputs<'a> {
    pub(crate) believed: &'a Believed,
    pub(crate) limits: &'a Limits,
    pub(crate) work: &'a WorkArguments,
    pub(crate) ui: &'a Ui,
}

impl Inputs<'_> {
    /// A model: its signature has to hold.
    pub(crate) fn model(
        &self,
        role: Role,
        given: &str,
    ) -> Result<Vec<ResourceDescriptor>, Problem> {
        self.model_looked_at(role, given).map(|(described, _)| described)
    }

    /// The same, and what was seen of it if it is here.
    pub(crate) fn model_looked_at(
        &self,
        role: Role,
        given: &str,
    ) -> Result<(Vec<ResourceDescriptor>, Option<Looked>), Problem> {
        if let Some(uri) = as_uri(given) {
            let descriptor = of_uri(given, uri)?;
            if ModelDigests::read(&descriptor).is_err() {
                return Err(Problem::usage(
                    format!("{} has no digests, so that it could be any model", Printable(given)),
                    "add them: '#oms:HEX,oms-manifest-v1:HEX', which 'bulla digest' prints for a copy; or give the path of a signed copy",
                ));
            }
            return Ok((vec![with_role(descriptor, role)], None));
        }
        let path = Path::new(given);
        let looked = self.believed.verified(path, self.limits, self.work, self.ui)?;
        let looked = looked.ok_or_else(|| {
            let path = files::signature_of(path).display().to_string();
            Problem::about(given, Reason::NoSignature { path })
        })?;
        Ok((self.described(role, path, &looked), Some(looked)))
    }

    /// Data: what is signed by somebody believed is checked; anything else is measured.
    pub(crate) fn data(&self, role: Role, given: &str) -> Result<Vec<ResourceDescriptor>, Problem> {
        if let Some(uri) = as_uri(given) {
            let descriptor = of_uri(given, uri)?;
            if descriptor.digest.is_empty() {
                let shown = Printable(given);
                self.ui.note(&format!(
                    "{shown} has no digests: which data it was cannot be checked later"
                ));
            }
            return Ok(vec![with_role(descriptor, role)]);
        }
        let path = Path::new(given);
        let looked = match self.believed.verified(path, self.limits, self.work, self.ui) {
            Ok(Some(looked)) => looked,
            Ok(None) => measured(path, &Recipe::default(), self.limits, self.work, self.ui)?,
            // Somebody else's signature is no reason not to train on data; that it does not fit them is one.
            Err(problem) if is_by_others(&problem) => {
                let shown = Printable(given);
                self.ui.note(&format!(
                    "the signature of {shown} is by nobody whom you named, and was not looked at"
                ));
                measured(path, &Recipe::default(), self.limits, self.work, self.ui)?
            }
            Err(problem) => return Err(problem),
        };
        Ok(self.described(role, path, &looked))
    }

    fn described(&self, role: Role, path: &Path, looked: &Looked) -> Vec<ResourceDescriptor> {
        let mut all = vec![with_role(looked.descriptor(), role)];
        if let Some(signature) = &looked.signature {
            let file = files::signature_of(path);
            let file = file.file_name().unwrap_or_default().to_string_lossy();
            let name = match path.is_dir() {
                true => format!("{}/{file}", looked.manifest.name),
                false => file.into_owned(),
            };
            all.push(with_role(ResourceDescriptor::of_file(&name, signature), Role::Signature));
        }
        all
    }

    pub(crate) fn all(
        &self,
        arguments: &DataArguments,
    ) -> Result<Vec<ResourceDescriptor>, Problem> {
        let mut all = Vec::new();
        for given in &arguments.dataset {
            all.extend(self.data(Role::TrainingData, given)?);
        }
        for path in &arguments.dataset_by_signature {
            let data = self.believed.by_signature(path, self.limits)?;
            all.push(with_role(data, Role::TrainingData));
        }
        if let Some(path) = &arguments.hyperparameters {
            let descriptor = file(path)?;
            all.push(with_role(descriptor, Role::Hyperparameters));
        }
        Ok(all)
    }
}

/// A file by the SHA-256 of its bytes.
pub(crate) fn file(path: &Path) -> Result<ResourceDescriptor, Problem> {
    let mut file = Hashing::open(path)?;
    std::io::copy(&mut file, &mut std::io::sink())
        .map_err(|e| bulla::Fault::io("read", path, e))?;
    Ok(file.descriptor(path))
}

/// A file that is hashed as it is read: what was looked at is then what is named.
pub(crate) struct Hashing {
    file: std::fs::File,
    hasher: bulla::Hasher,
}

impl Hashing {
    pub(crate) fn open(path: &Path) -> Result<Self, bulla::Fault> {
        let file = std::fs::File::open(path).map_err(|e| bulla::Fault::io("open", path, e))?;
        Ok(Self { file, hasher: HashAlgorithm::Sha256.hasher() })
    }

    /// Names what was read; that has to be all of it.
    pub(crate) fn descriptor(self, path: &Path) -> ResourceDescriptor {
        ResourceDescriptor::of_file(&path.to_string_lossy(), &self.hasher.finish())
    }
}

impl std::io::Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

fn is_by_others(problem: &Problem) -> bool {
    let Problem::About { failure: Failure::Refused(refusal), .. } = problem else { return false };
    refusal.reasons().all(|reason| matches!(reason, Reason::NotByAnyParty { .. }))
}

pub(crate) fn with_role(descriptor: ResourceDescriptor, role: Role) -> ResourceDescriptor {
    descriptor.annotated(ROLE, role.name())
}

/// The URI in what was given, if it is none of a file: `pkg:…`, `s3://…`.
fn as_uri(given: &str) -> Option<&str> {
    let (scheme, _) = given.split_once(':')?;
    let is_scheme = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let uri = given.split_once('#').map_or(given, |(uri, _)| uri);
    (is_scheme && !Path::new(given).exists()).then_some(uri)
}

/// `URI#oms:HEX,oms-manifest-v1:HEX`, or with `sha256:HEX`.
fn of_uri(given: &str, uri: &str) -> Result<ResourceDescriptor, Problem> {
    let mut digest = DigestSet::new();
    let list = given.split_once('#').map(|(_, list)| list);
    for one in list.into_iter().flat_map(|list| list.split(',')) {
        let read = one.split_once(':').and_then(|(kind, hex)| {
            let key = match kind {
                "oms" | "sha256" => "sha256",
                "oms-manifest-v1" => "omsManifestV1",
                _ => return None,
            };
            Digest::from_hex(HashAlgorithm::Sha256, hex).map(|digest| (key, digest))
        });
        let Some((key, value)) = read else {
            return Err(Problem::usage(
                format!("{}: {} is no digest", Printable(given), Printable(one)),
                "write it as oms:HEX, oms-manifest-v1:HEX or sha256:HEX, with commas between",
            ));
        };
        digest.insert(key.to_owned(), value.to_hex());
    }
    // The last part of it is what a person would call it: `pkg:huggingface/org/name@revision`.
    let name = uri.rsplit(['/', ':']).next().unwrap_or(uri);
    let name = name.split('@').next().unwrap_or(name).to_owned();
    let uri = uri.to_owned();
    Ok(ResourceDescriptor { name, uri, digest, ..ResourceDescriptor::default() })
}

/// What inputs looked like before a command ran.
pub(crate) struct Unchanged(Vec<(PathBuf, Vec<Found>)>);

impl Unchanged {
    pub(crate) fn of<'a>(
        places: impl Iterator<Item = &'a Path>,
        limits: &Limits,
    ) -> Result<Self, Problem> {
        let listed = places.map(|place| Ok((place.to_owned(), list(place, limits)?)));
        Ok(Self(listed.collect::<Result<_, Problem>>()?))
    }

    /// Refuses if something is not as it was: what was measured is then not what went in.
    pub(crate) fn check(&self, limits: &Limits) -> Result<(), Problem> {
        for (place, before) in &self.0 {
            let after = list(place, limits)?;
            let same = |(before, after): (&Found, &Found)| {
                before.path == after.path && after.identity.is_unchanged_since(&before.identity)
            };
            if before.len() != after.len() || !before.iter().zip(&after).all(same) {
                return Err(Problem::Reasons {
                    what: place.display().to_string(),
                    verdict: Verdict::CouldNotTell,
                    reasons: vec![(
                        "changed",
                        "it changed while the command ran: nothing was signed, for what went in is not known".into(),
                    )],
                    hints: vec!["keep what a training reads apart from what it writes".into()],
                });
            }
        }
        Ok(())
    }
}

fn list(place: &Path, limits: &Limits) -> Result<Vec<Found>, Problem> {
    let source = LocalModel::open(place)?;
    // Links are followed as whoever signed the input may have followed them.
    let recipe = Recipe { follow_symlinks: true, ..Recipe::default() };
    Ok(source.list(&Scope::to_sign(&recipe), limits)?.files)
}
