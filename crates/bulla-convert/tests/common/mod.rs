//! Models for tests, written by the format's own implementation.
#![allow(dead_code, unreachable_pub)] // each test file uses some of it
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use bulla::model::{Scope, SignedPaths};
use bulla::{Limits, LocalModel, ModelPath, Recipe};
use bulla_convert::{Conversion, Difference, Error, Model, Report};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// A tensor to write: its name, type, shape and bytes.
#[derive(Debug, Clone)]
pub struct Given {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

pub fn f32s(name: &str, numbers: &[f32]) -> Given {
    let bytes = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    Given { name: name.into(), dtype: Dtype::F32, shape: vec![numbers.len()], bytes }
}

pub fn bytes(name: &str, bytes: &[u8]) -> Given {
    let shape = vec![bytes.len()];
    Given { name: name.into(), dtype: Dtype::U8, shape, bytes: bytes.into() }
}

pub fn serialized(tensors: &[Given], metadata: &[(&str, &str)]) -> Vec<u8> {
    let views = tensors
        .iter()
        .map(|t| (t.name.as_str(), TensorView::new(t.dtype, t.shape.clone(), &t.bytes).unwrap()));
    let metadata: HashMap<_, _> =
        metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    safetensors::serialize(views, (!metadata.is_empty()).then_some(metadata)).unwrap()
}

/// A directory that is gone after the test.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    pub fn tensors(&self, name: &str, tensors: &[Given]) -> &Self {
        self.write(name, serialized(tensors, &[("format", "pt")]))
    }

    pub fn open(&self, name: &str) -> Result<Model<'static>, Error> {
        self.open_without(name, &[])
    }

    /// Without what a signature leaves out.
    pub fn open_without(&self, name: &str, ignored: &[&str]) -> Result<Model<'static>, Error> {
        open(&self.path(name), &Recipe { ignore: paths(ignored), ..Recipe::default() })
    }

    pub fn convert(
        &self,
        conversion: Conversion,
        size: Option<u64>,
    ) -> Result<bulla_convert::Converted, Error> {
        let parent = self.open("parent")?;
        bulla_convert::convert(&parent, &self.path("child"), conversion, size)
    }

    pub fn check(&self, conversion: Conversion) -> Report {
        let (parent, child) = (self.open("parent").unwrap(), self.open("child").unwrap());
        bulla_convert::check(&parent, &child, conversion).unwrap()
    }

    pub fn differences(&self, conversion: Conversion) -> Vec<Difference> {
        self.check(conversion).differences
    }
}

/// What a signature covers.
#[derive(Debug)]
pub struct Covered(pub &'static [&'static str]);

impl SignedPaths for Covered {
    fn covers(&self, path: &str) -> bool {
        self.0.contains(&path)
    }

    fn reaches_below(&self, directory: &str) -> bool {
        self.0.iter().any(|path| path.starts_with(&format!("{directory}/")))
    }
}

pub fn paths(paths: &[&str]) -> BTreeSet<ModelPath> {
    paths.iter().map(|path| ModelPath::parse(path).unwrap()).collect()
}

pub fn open(path: &Path, recipe: &Recipe) -> Result<Model<'static>, Error> {
    let mut limits = Limits::default();
    limits.depth = 32;
    Model::open(path, Box::new(LocalModel::open(path)?), Scope::to_sign(recipe), &limits)
}

/// All files below a directory, with what is in them.
pub fn contents(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    fn visit(directory: &Path, prefix: &str, found: &mut BTreeMap<String, Vec<u8>>) {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_dir() {
                visit(&entry.path(), &format!("{name}/"), found);
            } else {
                found.insert(name, fs::read(entry.path()).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    visit(directory, "", &mut found);
    found
}
