//! A model that is measured in parts, on several machines, and put together by the signer.
//!
//! ```text
//! machine 0: measure(0/2) ─► PartialManifest ─┐
//! machine 1: measure(1/2) ─► PartialManifest ─┴─► Partials::join ─► sign
//! ```
//!
//! Every machine lists the whole model and shares the work out by the same rule, so nobody has to
//! coordinate them. A partial manifest is not signed: whoever can change one chooses what is signed, as
//! whoever can write into the model does. What is checked is that nothing was mixed up: all parts of
//! one job, of the same model, measured alike, each part once, and the model still as it was then.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::manifest::Manifest;
use super::measure::Work;
use super::path::ModelPath;
use super::recipe::{Method, Recipe};
use super::source::{Found, Layout, ModelSource};
use crate::digest::{Digest, HashAlgorithm};
use crate::error::{Fault, Reason, Refusal};
use crate::json::{self, Object};
use crate::limits::{PARTIAL_RESOURCES, PARTS};

/// What a partial manifest says that it is.
const FORMAT: &str = "bulla-partial-manifest-v1";
/// What a file costs beyond its bytes, in bytes: so that many small ones are shared out, too.
const COST_OF_A_FILE: u64 = 64 << 10;

/// One part of several: `K/N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    of: u32,
    index: u32,
}

impl Part {
    /// Reads `K/N`. Parts are counted from 0 or from 1, as who numbers them prefers: `N/N` is `0/N`.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "expected K/N, for example 0/4, 1/4, 2/4 and 3/4".to_owned();
        let (index, of) = text.split_once('/').ok_or_else(wrong)?;
        let number = |digits: &str| match digits.bytes().all(|b| b.is_ascii_digit()) {
            true => digits.parse::<u32>().map_err(|_| wrong()),
            false => Err(wrong()),
        };
        let (index, of) = (number(index)?, number(of)?);
        match of {
            0 => Err("there is no part of 0 parts".into()),
            of if of > PARTS => Err(format!("there are at most {PARTS} parts")),
            of if index > of => Err(format!("part {index} of {of} parts does not exist")),
            of => Ok(Self { index: index % of, of }),
        }
    }

    /// Which of these digests belong to the part. All parts together have each once, and about as
    /// many bytes each: the largest first, to whoever has least.
    fn shares(self, lengths: &[u64]) -> Vec<bool> {
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|&i| Reverse(lengths.get(i).copied()));
        let mut least: BinaryHeap<Reverse<(u64, u32)>> =
            (0..self.of).map(|part| Reverse((0, part))).collect();
        let mut mine = vec![false; lengths.len()];
        for i in order {
            let Some(mut top) = least.peek_mut() else { break };
            let Reverse((load, part)) = &mut *top;
            if let (Some(mine), Some(length)) = (mine.get_mut(i), lengths.get(i)) {
                *mine = *part == self.index;
                *load = load.saturating_add(*length).saturating_add(COST_OF_A_FILE);
            }
        }
        mine
    }

    /// Which of these files' digests belong to the part, in the order of files and shards.
    pub(crate) fn of_files(self, method: Method, sizes: impl Iterator<Item = u64>) -> Vec<bool> {
        let lengths: Vec<u64> =
            sizes.flat_map(|size| method.ranges(size)).map(|(start, end)| end - start).collect();
        self.shares(&lengths)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// A part of a model, measured.
#[derive(Debug, Clone)]
pub struct PartialManifest {
    /// The run that it belongs to, if that has a name.
    job: Option<String>,
    /// A digest of all change times: without a name for the run, only the very same files are one.
    changed: String,
    part: Part,
    name: String,
    layout: Layout,
    recipe: Recipe,
    files: Vec<ListedFile>,
    /// The part's digests, in the order of files and shards.
    digests: Vec<Digest>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ListedFile {
    path: ModelPath,
    size: u64,
    modified: [u64; 2],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartialJson {
    format: String,
    job: Option<String>,
    changed: String,
    part: u32,
    of: u32,
    name: String,
    /// `directory` or `file`.
    layout: String,
    recipe: Object<RecipeJson>,
    files: Vec<Object<FileJson>>,
    resources: Vec<Object<ResourceJson>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecipeJson {
    method: String,
    hash: String,
    shard_size: u64,
    follow_symlinks: bool,
    ignore: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileJson {
    path: String,
    size: u64,
    /// Seconds and nanoseconds.
    modified: [u64; 2],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceJson {
    name: String,
    digest: String,
}

fn listed(found: &Found) -> ListedFile {
    let [modified, nanoseconds, ..] = found.identity.times;
    let size = found.identity.size;
    ListedFile { path: found.path.clone(), size, modified: [modified, nanoseconds] }
}

/// A digest of when each file was last changed in any way, as the system has it.
fn change_times(files: &[Found]) -> String {
    let mut hasher = HashAlgorithm::Sha256.hasher();
    for file in files {
        let [.., seconds, nanoseconds] = file.identity.times;
        hasher.update(&seconds.to_le_bytes());
        hasher.update(&nanoseconds.to_le_bytes());
    }
    hasher.finish().to_hex()
}

/// The names of the resources of some files, in the order of files and shards.
fn names(method: Method, files: &[ListedFile]) -> impl Iterator<Item = String> {
    files.iter().flat_map(move |file| {
        let ranges = method.ranges(file.size);
        ranges.map(move |range| method.resource_name(file.path.as_str(), range))
    })
}

impl PartialManifest {
    /// Measures a part of the listed files.
    pub(crate) fn measure(
        source: &dyn ModelSource,
        recipe: &Recipe,
        files: &[Found],
        part: Part,
        job: Option<&str>,
        work: Work<'_>,
    ) -> Result<Self, Fault> {
        let mine = part.of_files(recipe.method, files.iter().map(|file| file.identity.size));
        let digests = Manifest::measure_some(source, recipe, files, mine.into_iter(), work)?;
        Ok(Self {
            job: job.map(str::to_owned),
            changed: change_times(files),
            part,
            name: source.name().to_owned(),
            layout: source.layout(),
            recipe: recipe.clone(),
            files: files.iter().map(listed).collect(),
            digests,
        })
    }

    /// Which part this is.
    #[must_use]
    pub fn part(&self) -> Part {
        self.part
    }

    /// Files and shards in this part.
    #[must_use]
    pub fn resources(&self) -> usize {
        self.digests.len()
    }

    /// Bytes in this part.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let lengths = self.files.iter().flat_map(|file| self.recipe.method.ranges(file.size));
        let mine = self.mine();
        let lengths = lengths.map(|(start, end)| end - start).zip(mine).filter(|(_, mine)| *mine);
        lengths.fold(0, |sum, (length, _)| sum.saturating_add(length))
    }

    fn mine(&self) -> Vec<bool> {
        self.part.of_files(self.recipe.method, self.files.iter().map(|file| file.size))
    }

    /// As JSON (docs/json.md).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let names = names(self.recipe.method, &self.files).zip(self.mine());
        let mine = names.filter(|(_, mine)| *mine).zip(&self.digests);
        let json = PartialJson {
            format: FORMAT.to_owned(),
            job: self.job.clone(),
            changed: self.changed.clone(),
            part: self.part.index,
            of: self.part.of,
            name: self.name.clone(),
            layout: layout_name(self.layout).to_owned(),
            recipe: Object(RecipeJson {
                method: self.recipe.method.name().to_owned(),
                hash: self.recipe.hash.name().to_owned(),
                shard_size: self.recipe.method.shard_size(),
                follow_symlinks: self.recipe.follow_symlinks,
                ignore: self.recipe.ignore.iter().map(|p| p.as_str().to_owned()).collect(),
            }),
            files: self
                .files
                .iter()
                .map(|file| {
                    let path = file.path.as_str().to_owned();
                    Object(FileJson { path, size: file.size, modified: file.modified })
                })
                .collect(),
            resources: mine
                .map(|((name, _), digest)| Object(ResourceJson { name, digest: digest.to_hex() }))
                .collect(),
        };
        // Numbers and text cannot fail to be written.
        let mut bytes = serde_json::to_vec(&json).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads one.
    ///
    /// # Errors
    /// One line that says in which way it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let read: PartialJson = json::read(bytes)?;
        if read.format != FORMAT {
            return Err(format!("its format is {:?}, expected {FORMAT:?}", read.format));
        }
        if read.part >= read.of || read.of > PARTS {
            return Err(format!("there is no part {} of {}", read.part, read.of));
        }
        let Object(recipe) = read.recipe;
        let hash = HashAlgorithm::from_name(&recipe.hash)
            .ok_or_else(|| format!("the hash {:?} is unknown", recipe.hash))?;
        let method = match (&*recipe.method, std::num::NonZeroU64::new(recipe.shard_size)) {
            ("files", None) => Method::Files,
            ("shards", Some(size)) => Method::Shards(size),
            (other, _) => {
                return Err(format!("method {other:?} with shard size {}", recipe.shard_size));
            }
        };
        let path = |text: &str| ModelPath::parse(text).map_err(|why| format!("{text:?}: {why}"));
        let recipe = Recipe {
            method,
            hash,
            follow_symlinks: recipe.follow_symlinks,
            ignore: recipe.ignore.iter().map(|text| path(text)).collect::<Result<_, _>>()?,
        };
        let layout = [Layout::Directory, Layout::SingleFile];
        let layout = layout
            .into_iter()
            .find(|layout| layout_name(*layout) == read.layout)
            .ok_or_else(|| format!("the layout {:?} is unknown", read.layout))?;
        let mut files = Vec::with_capacity(read.files.len());
        for Object(file) in &read.files {
            let path = path(&file.path)?;
            files.push(ListedFile { path, size: file.size, modified: file.modified });
        }
        if !files.is_sorted_by(|a, b| a.path < b.path) {
            return Err("its files are not in order, or one stands twice".into());
        }
        // A claimed size costs nothing, but its shards are counted out.
        let shards = files.iter().map(|file| match method {
            Method::Files => 1,
            Method::Shards(size) => file.size.div_ceil(size.get()),
        });
        if shards.fold(0, u64::saturating_add) > PARTIAL_RESOURCES {
            return Err(format!("it has more than {PARTIAL_RESOURCES} files and shards"));
        }
        let part = Part { index: read.part, of: read.of };
        let mut partial = Self {
            job: read.job,
            changed: read.changed,
            part,
            name: read.name,
            layout,
            recipe,
            files,
            digests: Vec::new(),
        };
        let mine = names(method, &partial.files).zip(partial.mine()).filter(|(_, mine)| *mine);
        let given = read.resources.iter().map(|Object(resource)| &resource.name);
        if !mine.map(|(name, _)| name).eq(given.cloned()) {
            return Err("it does not hold the digests of its part".into());
        }
        let digest = |Object(resource): &Object<ResourceJson>| {
            Digest::from_hex(hash, &resource.digest)
                .ok_or_else(|| format!("the digest of {:?} is not one", resource.name))
        };
        partial.digests = read.resources.iter().map(digest).collect::<Result<_, _>>()?;
        Ok(partial)
    }
}

fn layout_name(layout: Layout) -> &'static str {
    match layout {
        Layout::Directory => "directory",
        Layout::SingleFile => "file",
    }
}

/// All parts of a model.
#[derive(Debug)]
pub struct Partials {
    /// Of the files' change times, where the run has no name.
    changed: Option<String>,
    name: String,
    layout: Layout,
    recipe: Recipe,
    files: Vec<ListedFile>,
    digests: Vec<Digest>,
}

impl Partials {
    /// Puts the parts together. Each comes with the name of the file it was read from. `job`, if
    /// given, is the job that all must be of.
    ///
    /// # Errors
    /// A [`Refusal`] with every reason: parts that disagree on the job, the model, its files or the recipe;
    /// a part that stands twice; parts that are not there.
    pub fn join(parts: Vec<(String, PartialManifest)>, job: Option<&str>) -> Result<Self, Refusal> {
        let mut reasons = Vec::new();
        let Some((first_name, first)) = parts.first() else {
            return Err(Reason::PartialsGap { missing: vec!["all".into()], more: 0 }.into());
        };
        for (name, part) in &parts {
            let disagree = |what, found: &str, expected: &str| Reason::PartialsDisagree {
                part: name.clone(),
                with: first_name.clone(),
                what,
                found: found.to_owned(),
                expected: expected.to_owned(),
            };
            let job = job.or(first.job.as_deref());
            if part.job.as_deref() != job {
                let in_words = |job: Option<&str>| job.unwrap_or("(none)").to_owned();
                reasons.push(Reason::PartialOfOtherJob {
                    part: name.clone(),
                    found: in_words(part.job.as_deref()),
                    expected: in_words(job),
                });
            } else if job.is_none() && part.changed != first.changed {
                reasons.push(disagree("when the files were changed", "other times", "others"));
            }
            if part.part.of != first.part.of {
                let of = |part: &PartialManifest| part.part.of.to_string();
                reasons.push(disagree("the number of parts", &of(part), &of(first)));
            }
            if (&part.name, part.layout) != (&first.name, first.layout) {
                let model = |p: &PartialManifest| format!("{} ({})", p.name, layout_name(p.layout));
                reasons.push(disagree("the model", &model(part), &model(first)));
            }
            if part.recipe != first.recipe {
                let recipe = |p: &PartialManifest| in_words(&p.recipe);
                reasons.push(disagree("the recipe", &recipe(part), &recipe(first)));
            }
            if let Some((found, expected)) = first_difference(&part.files, &first.files) {
                reasons.push(disagree("the files", &found, &expected));
            }
        }
        let mut seen: BTreeMap<Part, &str> = BTreeMap::new();
        for (name, part) in &parts {
            if let Some(before) = seen.insert(part.part, name) {
                reasons.push(Reason::PartialsOverlap {
                    part: part.part.to_string(),
                    files: [before.to_owned(), name.clone()],
                });
            }
        }
        let of = first.part.of;
        let mut missing = (0..of).map(|index| Part { index, of }).filter(|p| !seen.contains_key(p));
        let named: Vec<String> = missing.by_ref().take(20).map(|part| part.to_string()).collect();
        if !named.is_empty() {
            reasons.push(Reason::PartialsGap { missing: named, more: missing.count() });
        }
        if let Some(refusal) = Refusal::from_reasons(reasons) {
            return Err(refusal);
        }

        let sizes = || first.files.iter().map(|file| file.size);
        let mut digests: Vec<Option<Digest>> = Vec::new();
        for (_, part) in &parts {
            let mine = part.part.of_files(first.recipe.method, sizes());
            digests.resize(mine.len(), None);
            let slots = digests.iter_mut().zip(mine).filter(|(_, mine)| *mine);
            slots.zip(&part.digests).for_each(|((slot, _), digest)| *slot = Some(*digest));
        }
        // Each part has its own, all of them have all.
        let all: Option<Vec<Digest>> = digests.into_iter().collect();
        let gap = || Reason::PartialsGap { missing: vec!["a digest".into()], more: 0 };
        Ok(Self {
            changed: first.job.is_none().then(|| first.changed.clone()),
            name: first.name.clone(),
            layout: first.layout,
            recipe: first.recipe.clone(),
            files: first.files.clone(),
            digests: all.ok_or_else(gap)?,
        })
    }

    /// How the parts were measured.
    #[must_use]
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The digests for a model that is still what was measured.
    pub(crate) fn digests_for(
        &self,
        source: &dyn ModelSource,
        recipe: &Recipe,
        files: &[Found],
    ) -> Result<Vec<Option<Digest>>, Refusal> {
        let mut reasons = Vec::new();
        let mut other = |what: &'static str, found: String, expected: String| {
            reasons.push(Reason::PartialsOfOtherModel { what, found, expected });
        };
        if (source.name(), source.layout()) != (&*self.name, self.layout) {
            let found = format!("{} ({})", source.name(), layout_name(source.layout()));
            other("the model", found, format!("{} ({})", self.name, layout_name(self.layout)));
        }
        if *recipe != self.recipe {
            other("the recipe", in_words(recipe), in_words(&self.recipe));
        }
        let now: Vec<ListedFile> = files.iter().map(listed).collect();
        if let Some((found, expected)) = first_difference(&now, &self.files) {
            other("the files", found, expected);
        } else if self.changed.as_ref().is_some_and(|changed| *changed != change_times(files)) {
            let found = "a file was changed since".to_owned();
            other("the files", found, "none (parts of a named --job may be of a copy)".to_owned());
        }
        match Refusal::from_reasons(reasons) {
            Some(refusal) => Err(refusal),
            None => Ok(self.digests.iter().copied().map(Some).collect()),
        }
    }
}

fn in_words(recipe: &Recipe) -> String {
    let mut words = format!("{} of {}", recipe.hash, recipe.method.name());
    if let Method::Shards(size) = recipe.method {
        words += &format!(" of {size} bytes");
    }
    if recipe.follow_symlinks {
        words += ", links followed";
    }
    if !recipe.ignore.is_empty() {
        let paths: Vec<&str> = recipe.ignore.iter().map(ModelPath::as_str).collect();
        words += &format!(", without {}", paths.join(", "));
    }
    words
}

/// The first file in which two lists differ, as each has it.
fn first_difference(found: &[ListedFile], expected: &[ListedFile]) -> Option<(String, String)> {
    if found == expected {
        return None;
    }
    let paths = |list: &[ListedFile]| -> BTreeSet<ModelPath> {
        list.iter().map(|file| file.path.clone()).collect()
    };
    let (here, there) = (paths(found), paths(expected));
    let path = here.symmetric_difference(&there).next().cloned().or_else(|| {
        let differs = found.iter().zip(expected).find(|(a, b)| a != b);
        differs.map(|(file, _)| file.path.clone())
    })?;
    let in_words = |list: &[ListedFile]| match list.iter().find(|file| file.path == path) {
        None => format!("no {path}"),
        Some(file) => {
            let [seconds, nanoseconds] = file.modified;
            let time = jiff::Timestamp::new(
                seconds.cast_signed(),
                i32::try_from(nanoseconds).unwrap_or_default(),
            );
            let time = time.map_or_else(|_| "at no known time".into(), |time| time.to_string());
            format!("{path} with {} bytes, modified {time}", file.size)
        }
    };
    Some((in_words(found), in_words(expected)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts_are_counted_from_0_or_from_1() {
        let part = |text: &str| Part::parse(text).map(|part| part.to_string());
        assert_eq!(part("0/3").unwrap(), "0/3");
        assert_eq!(part("2/3").unwrap(), "2/3");
        assert_eq!(part("3/3").unwrap(), "0/3");
        assert_eq!(part("1/1").unwrap(), "0/1");
        assert!(part(&format!("1/{PARTS}")).is_ok());
        assert!(part(&format!("1/{}", PARTS + 1)).is_err());
        for wrong in
            ["", "1", "1/", "/1", "4/3", "0/0", "-1/3", "+1/3", "1/3/3", "1/9999999", "a/b"]
        {
            assert!(Part::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn small_files_are_shared_out_too() {
        // By their bytes alone all of the small ones would be one part's, and all empty ones.
        for small in [0, 1000] {
            let lengths: Vec<u64> = std::iter::once(10_000_000).chain([small; 1000]).collect();
            for index in 0..2 {
                let mine = Part { index, of: 2 }.shares(&lengths);
                let count = mine.into_iter().filter(|mine| *mine).count();
                assert!((400..=600).contains(&count), "{count} of {small} bytes");
            }
        }
    }

    proptest! {
        #[test]
        fn all_parts_together_have_each_digest_once(
            lengths in prop::collection::vec(0u64..1_000_000_000, 0..200),
            of in 1u32..12,
        ) {
            let parts: Vec<Vec<bool>> =
                (0..of).map(|index| Part { index, of }.shares(&lengths)).collect();
            for i in 0..lengths.len() {
                prop_assert_eq!(parts.iter().filter(|part| part[i]).count(), 1);
            }
            // None has more than the fairest share and one more file.
            let load = |part: &Vec<bool>| -> u64 {
                let mine = lengths.iter().zip(part).filter(|(_, mine)| **mine);
                mine.map(|(length, _)| length + COST_OF_A_FILE).sum()
            };
            let all: u64 = lengths.iter().map(|length| length + COST_OF_A_FILE).sum();
            let largest = lengths.iter().max().copied().unwrap_or(0) + COST_OF_A_FILE;
            for part in &parts {
                prop_assert!(load(part) <= all / u64::from(of) + largest);
            }
        }
    }
}
