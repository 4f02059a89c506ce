//! How fast models are converted and compared, in GB of the parent's tensors a second.
//!
//! ```text
//! cargo run --release --package bulla-convert --example speed -- DIRECTORY [MEGABYTES]
//! ```
//! The directory has to have room for two models; what is written there is removed again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss
)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use bulla::model::Scope;
use bulla::{Limits, LocalModel, Recipe};
use bulla_convert::{Conversion, Model, check, convert};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().expect("a directory"));
    let megabytes: usize = arguments.next().map_or(1000, |n| n.parse().expect("a number"));
    let directory = tempfile::tempdir_in(directory).unwrap();
    for conversion in Conversion::ALL {
        let dtype = match conversion {
            Conversion::Reshard | Conversion::F32ToF16 | Conversion::F32ToBf16 => Dtype::F32,
            Conversion::Bf16ToF32 => Dtype::BF16,
            Conversion::F16ToF32 => Dtype::F16,
        };
        let (parent, child) = (directory.path().join("parent"), directory.path().join("child"));
        std::fs::create_dir(&parent).unwrap();
        let data: Vec<u8> =
            (0..64_000_000_u32).map(|n| n.wrapping_mul(40_503).to_be_bytes()[1] & 0x3F).collect();
        let shape = vec![data.len() / (dtype.bitsize() / 8)];
        let tensors = (0..megabytes.div_ceil(64))
            .map(|n| (format!("layer.{n}"), TensorView::new(dtype, shape.clone(), &data).unwrap()));
        safetensors::serialize_to_file(tensors, None, &parent.join("model.safetensors")).unwrap();
        let gigabytes = (megabytes.div_ceil(64) * data.len()) as f64 / 1e9;

        let original = open(&parent);
        let start = Instant::now();
        let done = convert(&original, &child, conversion, Some(500_000_000)).unwrap();
        let converted = gigabytes / start.elapsed().as_secs_f64();
        let new = open(&child);
        let start = Instant::now();
        let report = check(&original, &new, conversion).unwrap();
        let checked = gigabytes / start.elapsed().as_secs_f64();
        assert!(report.is_equal() && report.overflowed == done.overflowed);
        println!("{conversion:12} convert {converted:5.2} GB/s, check {checked:5.2} GB/s");
        std::fs::remove_dir_all(&parent).unwrap();
        std::fs::remove_dir_all(&child).unwrap();
    }
}

fn open(path: &Path) -> Model<'static> {
    let source = Box::new(LocalModel::open(path).unwrap());
    Model::open(path, source, Scope::to_sign(&Recipe::default()), &Limits::default()).unwrap()
}
