//! The OMS statement: which files a model has, with which digests (OMS v1.0 §5).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Raw, STATEMENT_TYPE, Subject, malformed, oms_0_2};
use crate::bundle::Encoding;
use crate::digest::{Digest, HashAlgorithm};
use crate::error::{Reason, Refusal};
use crate::json::Object;
use crate::model::{
    Difference, Irregular, Layout, Manifest, Method, ModelPath, Recipe, SignedPaths, Unusable,
    oms_manifest_v1, resources,
};

/// The predicate type that is written.
pub const PREDICATE_TYPE: &str = "https://model_signing/signature/v1.0";
/// Any minor version of it is read (VERSIONING.md).
const PREDICATE_TYPE_V1: &str = "https://model_signing/signature/v1.";
/// How Python names the resource of a single-file model.
pub(super) const UNNAMED: &str = ".";

/// What a signer claims about a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OmsClaim {
    /// The model's name, informational (v1.0 §6.5).
    pub subject: String,
    /// Which version of the format.
    pub dialect: Dialect,
    /// How the model was listed and hashed.
    pub recipe: Recipe,
    root: Digest,
    content: Content,
}

/// A version of the format, as far as it changes what is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `signature/v1.x`.
    V1,
    /// `Digests/v0.1` of model-signing 0.2.0: no root, no recipe. A weaker check.
    V0_2,
    /// A home-made `manifest.json` that cosign signed as a file. A weaker check.
    ManifestJson,
    /// A home-made `.sig` file with the digest of one file. A weaker check.
    HashJson,
}

/// How Bulla writes a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compatibility {
    /// As the specification says.
    #[default]
    Specification,
    /// As Python's model-signing reads it: the resource of a single-file model is `"."`. Such a
    /// signature does not bind the file's name.
    ModelSigning,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Named(BTreeMap<ModelPath, SignedFile>),
    /// A single-file model, signed as `"."`.
    Unnamed(SignedFile),
}

/// A file as it was signed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignedFile {
    /// Bytes, which only shards tell.
    pub size: Option<u64>,
    /// One digest, or one for each shard in order.
    pub digests: Vec<Digest>,
}

impl SignedFile {
    /// Whether a file of this size can be the signed one, as far as the signature tells.
    pub(crate) fn can_have_size(&self, size: u64) -> bool {
        self.size.is_none_or(|signed| signed == size)
    }
}

/// The signed files of a claim by name.
#[derive(Debug)]
pub(crate) struct SignedFiles<'a>(pub(crate) Cow<'a, BTreeMap<ModelPath, SignedFile>>);

impl SignedFiles<'_> {
    /// Forgets all but what is at these paths or below them; none mean all.
    pub(crate) fn keep_only(&mut self, paths: &[ModelPath]) -> Result<(), Refusal> {
        if paths.is_empty() {
            return Ok(());
        }
        let nothing = |path: &&ModelPath| {
            !self.0.covers(path.as_str()) && !self.0.reaches_below(path.as_str())
        };
        let reasons = paths.iter().filter(nothing);
        let reasons = reasons.map(|path| Reason::NothingSigned { path: path.as_str().to_owned() });
        if let Some(refusal) = Refusal::from_reasons(reasons.collect()) {
            return Err(refusal);
        }
        let named = |path: &str| paths.iter().any(|only| only.as_str() == path);
        let kept =
            self.0.iter().filter(|(path, _)| named(path.as_str()) || path.parents().any(named));
        self.0 = Cow::Owned(kept.map(|(path, file)| (path.clone(), file.clone())).collect());
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct ResourceJson<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    digest: Cow<'a, str>,
    #[serde(borrow)]
    algorithm: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SerializationJson {
    method: String,
    hash_type: String,
    /// A number, for Python writes `1000000000.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shard_size: Option<serde_json::Number>,
    allow_symlinks: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ignore_paths: Option<Vec<String>>,
}

impl SerializationJson {
    fn of(recipe: &Recipe) -> Self {
        let Recipe { method, hash, follow_symlinks, ignore } = recipe;
        Self {
            method: method.name().into(),
            hash_type: hash.name().into(),
            shard_size: matches!(method, Method::Shards(_)).then(|| method.shard_size().into()),
            allow_symlinks: *follow_symlinks,
            ignore_paths: (!ignore.is_empty())
                .then(|| ignore.iter().map(|path| path.as_str().to_owned()).collect()),
        }
    }
}

/// A recipe, as it stands in signatures (v1.0 §5.2.2).
pub(super) fn serialization(recipe: &Recipe) -> serde_json::Value {
    // Strings, numbers and lists: this cannot fail.
    serde_json::to_value(SerializationJson::of(recipe)).unwrap_or_default()
}

/// Reads a recipe that stands in a statement about the model.
pub(super) fn read_serialization(value: &serde_json::Value) -> Result<Recipe, Reason> {
    let Object(json) = serde_json::from_value::<Object<SerializationJson>>(value.clone())
        .map_err(|e| malformed(format!("in its serialization: {e}")))?;
    recipe(&json)
}

impl OmsClaim {
    /// The claim that a measured model makes.
    #[must_use]
    pub fn of(manifest: &Manifest, compatibility: Compatibility) -> Self {
        let signed = |file: &crate::model::Measured| SignedFile {
            size: matches!(manifest.recipe.method, Method::Shards(_)).then_some(file.size()),
            digests: file.digests.clone(),
        };
        let mut files = manifest.files.iter().map(|(path, file)| (path.clone(), signed(file)));
        let unnamed =
            manifest.layout == Layout::SingleFile && compatibility == Compatibility::ModelSigning;
        let content = if unnamed {
            Content::Unnamed(files.next().map(|(_, file)| file).unwrap_or_default())
        } else {
            Content::Named(files.collect())
        };
        Self {
            subject: manifest.name.clone(),
            dialect: Dialect::V1,
            recipe: manifest.recipe.clone(),
            root: manifest.oms_root(),
            content,
        }
    }

    /// Of version 0.2.0, which names a single file as later ones do.
    pub(super) fn new_0_2(
        recipe: Recipe,
        files: BTreeMap<ModelPath, SignedFile>,
        unnamed: Option<SignedFile>,
        root: Digest,
    ) -> Self {
        Self {
            subject: String::new(),
            dialect: Dialect::V0_2,
            recipe,
            root,
            content: unnamed.map_or(Content::Named(files), Content::Unnamed),
        }
    }

    /// Of a home-made layout: with names, or of one file without.
    pub(super) fn of_other_layout(
        dialect: Dialect,
        recipe: Recipe,
        files: Result<BTreeMap<ModelPath, SignedFile>, SignedFile>,
        root: Digest,
    ) -> Self {
        let content = files.map_or_else(Content::Unnamed, Content::Named);
        Self { subject: String::new(), dialect, recipe, root, content }
    }

    /// The OMS root: SHA-256 over the digests as they are listed. It binds no names.
    #[must_use]
    pub fn oms_root(&self) -> Digest {
        self.root
    }

    /// The signed files by name. A file that was signed without a name takes that of the model.
    ///
    /// # Errors
    /// [`Reason::OtherLayout`] when the signature is for a single file and the model is not.
    pub(crate) fn files(&self, name: &str, layout: Layout) -> Result<SignedFiles<'_>, Reason> {
        let single = "a single file";
        match (&self.content, layout) {
            (Content::Named(files), Layout::Directory) => Ok(SignedFiles(Cow::Borrowed(files))),
            (Content::Named(files), Layout::SingleFile) => {
                if files.len() != 1 || files.keys().any(|path| path.as_str().contains('/')) {
                    return Err(Reason::OtherLayout { signed: "a directory", found: single });
                }
                Ok(SignedFiles(Cow::Borrowed(files)))
            }
            (Content::Unnamed(file), Layout::SingleFile) => {
                let path = ModelPath::parse(name).map_err(|why| {
                    let why = Unusable::BadName(why);
                    Difference::Irregular(Irregular { name: name.to_owned(), why })
                })?;
                Ok(SignedFiles(Cow::Owned(BTreeMap::from([(path, file.clone())]))))
            }
            (Content::Unnamed(_), Layout::Directory) => {
                Err(Reason::OtherLayout { signed: single, found: "a directory" })
            }
        }
    }

    /// Whether the signature binds no file name (see [`Compatibility::ModelSigning`]).
    #[must_use]
    pub fn is_unnamed(&self) -> bool {
        matches!(self.content, Content::Unnamed(_))
    }

    /// The digest that binds all signed names and the recipe, `omsManifestV1`; see
    /// [`Manifest::oms_manifest_v1`], which is the same for a model that was measured in full. `None` if the
    /// signature binds no name.
    #[must_use]
    pub fn oms_manifest_v1(&self) -> Option<Digest> {
        let resources = self.resources();
        let named = resources.iter().map(|(name, digest)| (name.as_str(), digest));
        (!self.is_unnamed()).then(|| oms_manifest_v1(&self.recipe, named))
    }

    /// Names and digests as OMS resources, in code-point order.
    fn resources(&self) -> Vec<(String, Digest)> {
        let size = |file: &SignedFile| file.size.unwrap_or_default();
        match &self.content {
            Content::Named(files) => {
                let files = files.iter().map(|(path, f)| (path.as_str(), size(f), &*f.digests));
                resources(self.recipe.method, files)
            }
            Content::Unnamed(file) => {
                resources(self.recipe.method, [(UNNAMED, size(file), &*file.digests)].into_iter())
            }
        }
    }

    /// The payload to sign: compact JSON, members and resources in a fixed order.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Out<'a> {
            #[serde(rename = "_type")]
            kind: &'a str,
            subject: serde_json::Value,
            #[serde(rename = "predicateType")]
            predicate_type: &'a str,
            predicate: Predicate<'a>,
        }
        #[derive(Serialize)]
        struct Predicate<'a> {
            resources: Vec<ResourceJson<'a>>,
            serialization: SerializationJson,
        }
        let resources = self.resources();
        let out = Out {
            kind: STATEMENT_TYPE,
            subject: serde_json::json!([
                { "name": self.subject, "digest": { "sha256": self.root.to_hex() } }
            ]),
            predicate_type: PREDICATE_TYPE,
            predicate: Predicate {
                resources: resources
                    .iter()
                    .map(|(name, digest)| ResourceJson {
                        name: name.into(),
                        digest: digest.to_hex().into(),
                        algorithm: self.recipe.hash.name().into(),
                    })
                    .collect(),
                serialization: SerializationJson::of(&self.recipe),
            },
        };
        // Strings and numbers only: this cannot fail.
        serde_json::to_vec(&out).unwrap_or_default()
    }

    /// Reads a payload whose signature holds.
    ///
    /// # Errors
    /// A [`Reason`] that says in which way it is not an OMS statement.
    pub(crate) fn decode(payload: &[u8], encoding: Encoding) -> Result<Self, Reason> {
        let statement: Raw<'_, Subject> = Raw::read(payload, malformed)?;
        if statement.predicate_type == oms_0_2::PREDICATE_TYPE {
            return oms_0_2::decode(&statement);
        }
        // Only 0.2.0 framed the signed bytes in its own way; elsewhere it has no business.
        match encoding {
            Encoding::Dsse => decode_v1(statement),
            Encoding::ModelSigning0_2 => Err(malformed(
                "it is of version 1, but signed in the malformed way of version 0.2.0",
            )),
        }
    }
}

fn decode_v1(statement: Raw<'_, Subject>) -> Result<OmsClaim, Reason> {
    // 1. The type, any minor version of 1.
    let minor = statement
        .predicate_type
        .strip_prefix(PREDICATE_TYPE_V1)
        .filter(|minor| !minor.is_empty() && minor.len() <= 4)
        .filter(|minor| minor.bytes().all(|b| b.is_ascii_digit()))
        .filter(|minor| *minor == "0" || !minor.starts_with('0'));
    let Some(minor) = minor else {
        let found = crate::text::shorten(&statement.predicate_type);
        return Err(Reason::WrongPredicateType { found });
    };

    // 2. The subject: one, with a name and the root.
    let [Object(subject)] = statement.subject.as_slice() else {
        return Err(malformed(format!(
            "it has {} subjects, expected exactly one",
            statement.subject.len()
        )));
    };
    if subject.name.is_empty() {
        return Err(malformed("its subject has no name"));
    }
    let root = subject
        .digest
        .get("sha256")
        .and_then(|hex| Digest::from_hex(HashAlgorithm::Sha256, hex))
        .ok_or_else(|| malformed("its subject has no SHA-256 digest in lower-case hexadecimal"))?;

    // 3. The predicate. Unknown members: none in v1.0, ignored in what comes after it.
    let mut predicate: BTreeMap<String, &RawValue> =
        serde_json::from_str(statement.predicate.get()).map_err(|e| malformed(e.to_string()))?;
    let Object(serialization): Object<SerializationJson> = member(&mut predicate, "serialization")?;
    let listed: Vec<Object<ResourceJson<'_>>> = member(&mut predicate, "resources")?;
    if let (true, Some(name)) = (minor == "0", predicate.keys().next()) {
        return Err(malformed(format!("its predicate has the unknown member {name:?}")));
    }
    let recipe = recipe(&serialization)?;

    // 4. The resources, and the root over them in the order in which they are listed (trap 1).
    if listed.is_empty() {
        return Err(malformed("it lists no file"));
    }
    let mut hasher = HashAlgorithm::Sha256.hasher();
    let mut pieces: Vec<(&str, (u64, u64), Digest)> = Vec::with_capacity(listed.len());
    for Object(resource) in &listed {
        let digest = resource_digest(resource, &recipe)?;
        hasher.update(digest.as_bytes());
        let (name, range) = match recipe.method {
            Method::Files => (&*resource.name, (0, 0)),
            Method::Shards(_) => split_shard_name(&resource.name)?,
        };
        pieces.push((name, range, digest));
    }
    let computed = hasher.finish();
    if computed != root {
        return Err(Reason::RootMismatch { signed: root.to_hex(), computed: computed.to_hex() });
    }
    Ok(OmsClaim {
        subject: subject.name.clone(),
        dialect: Dialect::V1,
        content: content(pieces, recipe.method)?,
        recipe,
        root,
    })
}

fn member<'a, T: Deserialize<'a>>(
    predicate: &mut BTreeMap<String, &'a RawValue>,
    name: &str,
) -> Result<T, Reason> {
    let value = predicate
        .remove(name)
        .ok_or_else(|| malformed(format!("its predicate has no member {name:?}")))?;
    serde_json::from_str(value.get()).map_err(|e| malformed(format!("in its {name}: {e}")))
}

fn recipe(json: &SerializationJson) -> Result<Recipe, Reason> {
    let hash = HashAlgorithm::from_name(&json.hash_type).ok_or_else(|| {
        malformed(format!(
            "its hash_type is {:?}, expected sha256, blake2b or blake3",
            json.hash_type
        ))
    })?;
    let method = match (json.method.as_str(), &json.shard_size) {
        ("files", None) => Method::Files,
        ("files", Some(_)) => {
            return Err(malformed("it has a shard_size, but its method is files"));
        }
        ("shards", None) => {
            return Err(malformed("its method is shards, but it has no shard_size"));
        }
        ("shards", Some(size)) => Method::Shards(whole_number(size).ok_or_else(|| {
            malformed(format!("its shard_size is {size}, expected a positive whole number"))
        })?),
        (other, _) => {
            return Err(malformed(format!("its method is {other:?}, expected files or shards")));
        }
    };
    let ignore = json.ignore_paths.as_deref().unwrap_or_default().iter().map(|path| {
        ModelPath::parse(path)
            .map_err(|why| malformed(format!("its ignored path {path:?} is invalid: {why}")))
    });
    Ok(Recipe {
        method,
        hash,
        follow_symlinks: json.allow_symlinks,
        ignore: ignore.collect::<Result<_, _>>()?,
    })
}

/// A positive integer, also where it is written as a float (trap 2).
fn whole_number(number: &serde_json::Number) -> Option<NonZeroU64> {
    let value = number.as_u64().or_else(|| {
        let float = number.as_f64()?;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked in the filter
        Some(float)
            .filter(|f| (1.0..=9_007_199_254_740_992.0).contains(f) && f.fract() == 0.0)
            .map(|f| f as u64)
    })?;
    NonZeroU64::new(value)
}

fn resource_digest(resource: &ResourceJson<'_>, recipe: &Recipe) -> Result<Digest, Reason> {
    let ResourceJson { name, digest, algorithm } = resource;
    let hash = recipe.hash;
    // Python writes the algorithm of a shard as `sha256-sharded-N` (trap 2).
    let fits = **algorithm == *hash.name()
        || matches!(recipe.method, Method::Shards(size)
            if **algorithm == *format!("{hash}-sharded-{size}"));
    if !fits {
        return Err(malformed(format!(
            "the algorithm of {name:?} is {algorithm:?}, but its hash_type is {hash}"
        )));
    }
    Digest::from_hex(hash, digest).ok_or_else(|| {
        malformed(format!("the digest of {name:?} is not {hash} in lower-case hexadecimal"))
    })
}

/// Splits `path:start:end` at the last two colons: a path may have some of its own.
fn split_shard_name(name: &str) -> Result<(&str, (u64, u64)), Reason> {
    let number = |text: &str| {
        let canonical = text == "0" || !text.starts_with('0');
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        (canonical && digits).then(|| text.parse().ok()).flatten()
    };
    let mut parts = name.rsplitn(3, ':');
    let end = parts.next().and_then(number);
    let start = parts.next().and_then(number);
    match (parts.next(), start, end) {
        (Some(path), Some(start), Some(end)) => Ok((path, (start, end))),
        _ => Err(malformed(format!("the shard {name:?} is not named path:start:end"))),
    }
}

/// Puts the pieces of each file together: no name twice, and shards without a gap or an overlap.
fn content(mut pieces: Vec<(&str, (u64, u64), Digest)>, method: Method) -> Result<Content, Reason> {
    pieces.sort_unstable_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
    let single = pieces.first().is_some_and(|(first, ..)| pieces.iter().all(|p| p.0 == *first));
    let mut files = BTreeMap::new();
    for group in pieces.chunk_by(|a, b| a.0 == b.0) {
        let Some((name, ..)) = group.first() else { continue };
        let file = signed_file(name, group, method)?;
        if single && *name == UNNAMED {
            return Ok(Content::Unnamed(file));
        }
        let path = ModelPath::parse(name)
            .map_err(|why| malformed(format!("the file name {name:?} is invalid: {why}")))?;
        files.insert(path, file);
    }
    Ok(Content::Named(files))
}

/// The pieces of one file, in order of their ranges.
fn signed_file(
    name: &str,
    pieces: &[(&str, (u64, u64), Digest)],
    method: Method,
) -> Result<SignedFile, Reason> {
    let digests = pieces.iter().map(|piece| piece.2).collect();
    let Method::Shards(shard_size) = method else {
        if pieces.len() > 1 {
            return Err(malformed(format!("it lists {name:?} twice")));
        }
        return Ok(SignedFile { size: None, digests });
    };
    let mut size = 0;
    for (_, range @ (start, end), _) in pieces {
        let shard = method.resource_name(name, *range);
        if *start < size {
            return Err(malformed(format!("the shard {shard:?} overlaps another or stands twice")));
        }
        if *start > size {
            return Err(malformed(format!("there is a gap before the shard {shard:?}")));
        }
        // All but the last are full.
        let fits = end > start && end - start <= shard_size.get();
        if !fits || !size.is_multiple_of(shard_size.get()) {
            return Err(malformed(format!(
                "the shard {shard:?} does not fit the shard_size {shard_size}"
            )));
        }
        size = *end;
    }
    Ok(SignedFile { size: Some(size), digests })
}
