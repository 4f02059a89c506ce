//! What holds for every model.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::fs;

use bulla_convert::{Conversion, Difference, check};
use common::{Folder, Given, contents, serialized};
use proptest::prelude::*;
use proptest::sample::Index;
use safetensors::{Dtype, SafeTensors};

fn dtype() -> impl Strategy<Value = Dtype> {
    use Dtype::{BF16, BOOL, C64, F4, F6_E2M3, F8_E4M3, F16, F32, F64, I32, U8};
    // What is converted comes up often.
    prop::sample::select(vec![
        F32, F32, F32, F16, F16, BF16, BF16, BOOL, F4, F6_E2M3, F8_E4M3, U8, I32, F64, C64,
    ])
}

/// Numbers are any bits: infinities, subnormals and NaN among them, these more often than by chance.
fn tensor() -> impl Strategy<Value = Given> {
    let name = prop::sample::select(vec!["a", "b", "layer.0.weight", "layer.10.weight", "ü\n", ""]);
    let shape = prop::collection::vec(0..6_usize, 0..4);
    (name, 0..4_u8, dtype(), shape, any::<u64>()).prop_map(|(name, n, dtype, mut shape, seed)| {
        if dtype.bitsize() < 8 {
            shape.push(4); // whole bytes
        }
        let length = shape.iter().product::<usize>() * dtype.bitsize() / 8;
        let mut state = seed | 1;
        let bytes = (0..length)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                match state % 5 {
                    0 => 0x7F,
                    1 => 0,
                    _ => state.to_le_bytes()[3],
                }
            })
            .collect();
        Given { name: format!("{name}{n}"), dtype, shape, bytes }
    })
}

/// Tensors in one to three files.
fn model() -> impl Strategy<Value = Vec<Vec<Given>>> {
    (prop::collection::vec(tensor(), 0..8), 1..4_usize).prop_map(|(mut tensors, files)| {
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        tensors.dedup_by(|a, b| a.name == b.name);
        let mut shards = vec![Vec::new(); files];
        for (number, tensor) in tensors.into_iter().enumerate() {
            shards[number % files].push(tensor);
        }
        shards
    })
}

fn written(shards: &[Vec<Given>]) -> Folder {
    let folder = Folder::new();
    for (number, tensors) in (1..).zip(shards) {
        let name = format!("parent/model-{number:05}-of-{:05}.safetensors", shards.len());
        folder.write(&name, serialized(tensors, &[("format", "pt"), ("by", "me")]));
    }
    folder.write(
        "parent/config.json",
        r#"{"torch_dtype":"float32","text_config":{"dtype":"float16"}}"#,
    );
    folder
}

fn conversion() -> impl Strategy<Value = Conversion> {
    prop::sample::select(Conversion::ALL.to_vec())
}

fn shard_size() -> impl Strategy<Value = Option<u64>> {
    prop::option::of(0..400_u64)
}

/// Every tensor of a model as the format's own implementation reads it, by name.
fn read_by_peer(folder: &Folder, model: &str) -> Vec<(String, Dtype, Vec<usize>, Vec<u8>)> {
    let mut all = Vec::new();
    for (name, content) in contents(&folder.path(model)) {
        if name.ends_with(".safetensors") {
            for (name, view) in SafeTensors::deserialize(&content).unwrap().tensors() {
                all.push((name, view.dtype(), view.shape().to_vec(), view.data().to_vec()));
            }
        }
    }
    all.sort();
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_converted_checks(
        shards in model(), conversion in conversion(), size in shard_size(),
    ) {
        let folder = written(&shards);
        let done = folder.convert(conversion, size).unwrap();
        let report = folder.check(conversion);
        prop_assert!(report.is_equal(), "{:?}", report.differences);
        prop_assert_eq!(report.overflowed, done.overflowed);
        prop_assert_eq!(report.tensors, done.tensors);
        let child = read_by_peer(&folder, "child");
        prop_assert_eq!(child.len(), shards.iter().map(Vec::len).sum::<usize>());
        // No shard is larger than was asked for, unless one tensor is.
        for (name, content) in contents(&folder.path("child")) {
            if let Some(size) = size.filter(|_| name.ends_with(".safetensors")) {
                let shard = SafeTensors::deserialize(&content).unwrap();
                let bytes: usize = shard.iter().map(|(_, view)| view.data().len()).sum();
                prop_assert!(bytes as u64 <= size || shard.len() == 1, "{name}");
            }
        }
    }

    #[test]
    fn the_result_is_the_same_every_time(
        shards in model(), conversion in conversion(), size in shard_size(),
    ) {
        let folder = written(&shards);
        folder.convert(conversion, size).unwrap();
        let first = contents(&folder.path("child"));
        fs::remove_dir_all(folder.path("child")).unwrap();
        // The parent's own files do not matter, only its tensors.
        let again = written(&[shards.concat()]);
        again.convert(conversion, size).unwrap();
        prop_assert_eq!(first, contents(&again.path("child")));
    }

    #[test]
    fn tensors_outlive_two_reshards(
        shards in model(), first in shard_size(), second in shard_size(),
    ) {
        let folder = written(&shards);
        folder.convert(Conversion::Reshard, first).unwrap();
        let child = folder.open("child").unwrap();
        bulla_convert::convert(&child, &folder.path("second"), Conversion::Reshard, second).unwrap();
        prop_assert_eq!(read_by_peer(&folder, "parent"), read_by_peer(&folder, "second"));
        let second = folder.open("second").unwrap();
        for model in [&child, &folder.open("parent").unwrap()] {
            prop_assert!(check(model, &second, Conversion::Reshard).unwrap().is_equal());
            prop_assert!(check(&second, model, Conversion::Reshard).unwrap().is_equal()
                || shards.len() > 1); // the parent's shards have no index
        }
    }

    /// Whatever byte of whatever file is changed, the child is refused or differs.
    #[test]
    fn a_changed_byte_is_found(
        shards in model(), conversion in conversion(), size in shard_size(),
        file in any::<Index>(), at in any::<Index>(), flip in 1..=255_u8,
    ) {
        let folder = written(&shards);
        folder.convert(conversion, size).unwrap();
        let child = contents(&folder.path("child"));
        let files: Vec<_> =
            child.iter().filter(|(name, _)| name.ends_with(".safetensors")).collect();
        let (name, content) = files[file.index(files.len())];
        let mut content = content.clone();
        let header = 8 + usize::try_from(u64::from_le_bytes(content[..8].try_into().unwrap())).unwrap();
        let at = at.index(content.len());
        content[at] ^= flip;
        folder.write(&format!("child/{name}"), &content);
        let (parent, child) = (folder.open("parent").unwrap(), folder.open("child"));
        if at >= header {
            let report = check(&parent, &child.unwrap(), conversion).unwrap();
            prop_assert!(!report.is_equal(), "byte {at} of {name}");
            let is_value = matches!(report.differences[..], [Difference::ValueDiffers { .. }]);
            prop_assert!(is_value, "{:?}", report.differences);
        } else if let Ok(child) = child {
            let report = check(&parent, &child, conversion).unwrap();
            // What is left of a header that nobody sees: what library wrote it.
            let text = String::from_utf8_lossy(&content[8..header]);
            let format = text.find("\"format\":\"").map_or(0, |start| start + 8 + 10);
            let is_format = (format..format + 2).contains(&at);
            prop_assert!(!report.is_equal() || is_format, "byte {at} of {name}");
        }
    }
}

/// Every bit of every tensor of a small model, after every conversion.
#[test]
fn every_changed_bit_is_found() {
    let given = |name: &str, dtype, bytes: &[u8]| {
        let shape = vec![bytes.len() * 8 / Dtype::bitsize(&dtype)];
        Given { name: name.into(), dtype, shape, bytes: bytes.into() }
    };
    let tensors = [
        given("a", Dtype::F32, &[0, 0, 0xC0, 0x7F, 1, 0, 0x80, 0x3F]),
        given("b", Dtype::F16, &[0, 0x7E, 1, 0]),
        given("c", Dtype::BF16, &[0x81, 0x7F, 1, 0]),
        given("d", Dtype::F4, &[0x12]),
    ];
    for conversion in Conversion::ALL {
        let folder = written(&[tensors.to_vec()]);
        folder.convert(conversion, None).unwrap();
        let parent = folder.open("parent").unwrap();
        let content = fs::read(folder.path("child/model.safetensors")).unwrap();
        let length = u64::from_le_bytes(content[..8].try_into().unwrap());
        let data = 8 + usize::try_from(length).unwrap();
        assert!(content.len() > data + 12);
        for bit in data * 8..content.len() * 8 {
            let mut changed = content.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            folder.write("child/model.safetensors", &changed);
            let child = folder.open("child").unwrap();
            let report = check(&parent, &child, conversion).unwrap();
            assert_eq!(report.differences.len(), 1, "{conversion}, bit {bit}");
        }
    }
}
