//! Everything in which a child can differ is found and named.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use bulla_convert::{Conversion, Difference, Dtype};
use common::{Folder, Given, bytes, f32s, serialized};

/// Two equal models; the test then changes the child.
fn equal() -> Folder {
    let folder = Folder::new();
    for model in ["parent", "child"] {
        folder
            .tensors(
                &format!("{model}/model.safetensors"),
                &[f32s("a", &[1.0, 2.0]), bytes("b", &[1, 2, 3])],
            )
            .write(&format!("{model}/config.json"), r#"{"torch_dtype":"float32","x":1}"#)
            .write(&format!("{model}/sub/tokenizer.json"), "0123456789");
    }
    folder
}

#[track_caller]
fn only(folder: &Folder, conversion: Conversion, expected: Difference) {
    let report = folder.check(conversion);
    assert!(!report.is_equal());
    assert_eq!(report.differences, [expected]);
    assert!(!report.differences[0].to_string().is_empty());
}

const RESHARD: Conversion = Conversion::Reshard;

#[test]
fn no_difference() {
    let report = equal().check(RESHARD);
    assert!(report.is_equal(), "{report:?}");
    assert_eq!((report.tensors, report.bytes, report.overflowed), (2, 8 + 3 + 31 + 10, 0));
}

#[test]
fn tensor_missing() {
    let folder = equal();
    folder.tensors("child/model.safetensors", &[bytes("b", &[1, 2, 3])]);
    only(&folder, RESHARD, Difference::TensorMissing { tensor: "a".into() });
}

#[test]
fn tensor_extra() {
    let folder = equal();
    folder.tensors("child/other.safetensors", &[bytes("c", &[])]);
    folder.write(
        "child/model.safetensors.index.json",
        r#"{"weight_map":{"a":"model.safetensors","b":"model.safetensors","c":"other.safetensors"}}"#,
    );
    only(&folder, RESHARD, Difference::TensorExtra { tensor: "c".into() });
}

#[test]
fn dtype_differs() {
    let folder = equal();
    let (tensor, expected, found) = ("a".to_owned(), Dtype::F16, Dtype::F32);
    only(&folder, Conversion::F32ToF16, Difference::DtypeDiffers { tensor, expected, found });
    // Same bytes, other type.
    let mut other = bytes("b", &[1, 2, 3]);
    other.dtype = safetensors::Dtype::F8_E4M3;
    folder.tensors("child/model.safetensors", &[f32s("a", &[1.0, 2.0]), other]);
    let (tensor, expected, found) = ("b".to_owned(), Dtype::U8, Dtype::F8E4m3);
    only(&folder, RESHARD, Difference::DtypeDiffers { tensor, expected, found });
}

#[test]
fn a_tensor_that_the_conversion_does_not_concern_was_converted() {
    let folder = Folder::new();
    let half = |dtype| Given { name: "a".into(), dtype, shape: vec![1], bytes: vec![0, 0] };
    folder.tensors("parent/model.safetensors", &[half(safetensors::Dtype::F16)]);
    folder.tensors("child/model.safetensors", &[half(safetensors::Dtype::BF16)]);
    let (tensor, expected, found) = ("a".to_owned(), Dtype::F16, Dtype::Bf16);
    only(&folder, Conversion::F32ToBf16, Difference::DtypeDiffers { tensor, expected, found });
}

#[test]
fn shape_differs() {
    let folder = equal();
    let mut other = f32s("a", &[1.0, 2.0]);
    other.shape = vec![2, 1];
    folder.tensors("child/model.safetensors", &[other, bytes("b", &[1, 2, 3])]);
    let (expected, found) = (vec![2], vec![2, 1]);
    only(&folder, RESHARD, Difference::ShapeDiffers { tensor: "a".into(), expected, found });
}

fn value(tensor: &str, element: u64, expected: &str, found: &str) -> Difference {
    let (tensor, expected, found) = (tensor.into(), expected.into(), found.into());
    Difference::ValueDiffers { tensor, element, expected, found }
}

#[test]
fn value_differs() {
    let folder = equal();
    let tensors = [f32s("a", &[1.0, -2.0]), bytes("b", &[1, 2, 3])];
    folder.tensors("child/model.safetensors", &tensors);
    only(&folder, RESHARD, value("a", 1, "2 (0x40000000)", "-2 (0xc0000000)"));
    let tensors = [f32s("a", &[1.0, 2.0]), bytes("b", &[1, 2, 0xfe])];
    folder.tensors("child/model.safetensors", &tensors);
    only(&folder, RESHARD, value("b", 2, "0x03", "0xfe"));
}

#[test]
fn zero_is_not_minus_zero() {
    let folder = Folder::new();
    folder.tensors("parent/model.safetensors", &[f32s("a", &[0.0])]);
    folder.tensors("child/model.safetensors", &[f32s("a", &[-0.0])]);
    only(&folder, RESHARD, value("a", 0, "0 (0x00000000)", "-0 (0x80000000)"));
}

/// Rounded in another way: the last bit of one number in many, past the first piece that is read.
#[test]
fn one_number_rounded_otherwise() {
    let folder = Folder::new();
    let mut numbers = vec![0.5; 200_000];
    numbers[150_001] = 2049.0;
    folder.tensors("parent/model.safetensors", &[f32s("a", &numbers)]);
    let mut halves: Vec<u16> = vec![0x3800; 200_000];
    let write = |halves: &[u16]| {
        let bytes = halves.iter().flat_map(|h| h.to_le_bytes()).collect();
        let (name, shape) = ("a".into(), vec![halves.len()]);
        let tensor = Given { name, dtype: safetensors::Dtype::F16, shape, bytes };
        folder.tensors("child/model.safetensors", &[tensor]);
    };
    halves[150_001] = 0x6801; // up, where even is down
    write(&halves);
    let expected = value("a", 150_001, "2048 (0x6800)", "2050 (0x6801)");
    only(&folder, Conversion::F32ToF16, expected);
    halves[150_001] = 0x6800;
    write(&halves);
    assert!(folder.check(Conversion::F32ToF16).is_equal());
}

#[test]
fn elements_of_half_a_byte() {
    let folder = Folder::new();
    let tensor = |bytes: &[u8]| Given {
        name: "a".into(),
        dtype: safetensors::Dtype::F4,
        shape: vec![6],
        bytes: bytes.into(),
    };
    folder.tensors("parent/model.safetensors", &[tensor(&[1, 2, 3])]);
    folder.tensors("child/model.safetensors", &[tensor(&[1, 2, 4])]);
    only(&folder, RESHARD, value("a", 4, "0x03", "0x04"));
}

#[test]
fn metadata_differs() {
    let folder = equal();
    let tensors = [f32s("a", &[1.0, 2.0]), bytes("b", &[1, 2, 3])];
    // The library that wrote it may be another.
    folder.write("child/model.safetensors", serialized(&tensors, &[("format", "mlx")]));
    assert!(folder.check(RESHARD).is_equal());
    folder.write("child/model.safetensors", serialized(&tensors, &[]));
    assert!(folder.check(RESHARD).is_equal());
    // Nothing else may.
    folder.write("child/model.safetensors", serialized(&tensors, &[("Format", "pt")]));
    let (key, found) = ("Format".into(), vec!["pt".into()]);
    only(&folder, RESHARD, Difference::MetadataDiffers { key, expected: vec![], found });
    folder.write("parent/model.safetensors", serialized(&tensors, &[("Format", "x")]));
    let (key, expected, found) = ("Format".into(), vec!["x".into()], vec!["pt".into()]);
    only(&folder, RESHARD, Difference::MetadataDiffers { key, expected, found });
}

/// The child in two files.
fn sharded(index: Option<&str>) -> Folder {
    let folder = equal();
    folder
        .tensors("child/model.safetensors", &[f32s("a", &[1.0, 2.0])])
        .tensors("child/second.safetensors", &[bytes("b", &[1, 2, 3])]);
    if let Some(map) = index {
        folder.write("child/model.safetensors.index.json", format!("{{\"weight_map\":{map}}}"));
    }
    folder
}

#[test]
fn index_missing() {
    only(&sharded(None), RESHARD, Difference::IndexMissing);
    // Where there never was one, none is asked for.
    let folder = sharded(None);
    folder
        .tensors("parent/model.safetensors", &[f32s("a", &[1.0, 2.0])])
        .tensors("parent/second.safetensors", &[bytes("b", &[1, 2, 3])]);
    assert!(folder.check(RESHARD).is_equal());
}

#[test]
fn index_right() {
    let folder = sharded(Some(r#"{"a":"model.safetensors","b":"second.safetensors"}"#));
    assert!(folder.check(RESHARD).is_equal());
    folder.write(
        "child/model.safetensors.index.json",
        r#"{"metadata":{"total_size":-1},"weight_map":{"a":"model.safetensors","b":"second.safetensors"}}"#,
    );
    assert!(folder.check(RESHARD).is_equal());
}

#[test]
fn index_lacks_a_tensor() {
    let folder = sharded(Some(r#"{"a":"model.safetensors"}"#));
    only(&folder, RESHARD, Difference::IndexLacks { tensor: "b".into() });
    // The parent's lacks it, too.
    folder.write(
        "parent/model.safetensors.index.json",
        r#"{"weight_map":{"a":"model.safetensors"}}"#,
    );
    assert!(folder.check(RESHARD).is_equal());
}

#[test]
fn index_has_a_tensor_that_is_nowhere() {
    let map = r#"{"a":"model.safetensors","b":"second.safetensors","c":"second.safetensors"}"#;
    only(&sharded(Some(map)), RESHARD, Difference::IndexExtra { tensor: "c".into() });
}

#[test]
fn index_names_another_file() {
    let folder = sharded(Some(r#"{"a":"second.safetensors","b":"./second.safetensors"}"#));
    let wrong = |tensor: &str, expected: &str, found: &str| {
        let (tensor, expected, found) = (tensor.into(), expected.into(), found.into());
        Difference::IndexWrong { tensor, expected, found }
    };
    assert_eq!(
        folder.differences(RESHARD),
        [
            wrong("a", "model.safetensors", "second.safetensors"),
            wrong("b", "second.safetensors", "./second.safetensors"),
        ]
    );
}

#[test]
fn an_index_of_one_shard_is_looked_at() {
    let folder = equal();
    folder.write("child/model.safetensors.index.json", r#"{"weight_map":{"a":"elsewhere"}}"#);
    assert_eq!(folder.differences(RESHARD).len(), 2);
}

#[test]
fn file_missing() {
    let folder = equal();
    std::fs::remove_file(folder.path("child/sub/tokenizer.json")).unwrap();
    only(&folder, RESHARD, Difference::FileMissing { path: "sub/tokenizer.json".into() });
}

#[test]
fn file_extra() {
    let folder = equal();
    folder.write("child/sub/modeling.py", "");
    only(&folder, RESHARD, Difference::FileExtra { path: "sub/modeling.py".into() });
}

#[test]
fn file_differs() {
    for (content, at) in [("0123x56789", 4), ("01234", 5), ("0123456789+", 10), ("", 0)] {
        let folder = equal();
        folder.write("child/sub/tokenizer.json", content);
        only(&folder, RESHARD, Difference::FileDiffers { path: "sub/tokenizer.json".into(), at });
    }
}

#[test]
fn a_large_file_differs_late() {
    let folder = equal();
    let mut content = vec![7; 1_000_000];
    folder.write("parent/x", &content);
    content[999_998] = 8;
    folder.write("child/x", &content);
    only(&folder, RESHARD, Difference::FileDiffers { path: "x".into(), at: 999_998 });
}

#[test]
fn config_differs() {
    let folder = equal();
    let halves = [0x00, 0x3C, 0x00, 0x40];
    let a = Given {
        name: "a".into(),
        dtype: safetensors::Dtype::F16,
        shape: vec![2],
        bytes: halves.into(),
    };
    folder.tensors("child/model.safetensors", &[a, bytes("b", &[1, 2, 3])]);
    // Left as it was, and changed to the type that was made.
    assert!(folder.check(Conversion::F32ToF16).is_equal());
    folder.write("child/config.json", r#"{ "x": 1, "dtype": "float16" }"#);
    assert!(folder.check(Conversion::F32ToF16).is_equal());
    folder.write("child/config.json", r#"{"torch_dtype":"bfloat16","x":1}"#);
    let field = "torch_dtype".into();
    only(&folder, Conversion::F32ToF16, Difference::ConfigDiffers { field });
    folder.write("child/config.json", r#"{"torch_dtype":"float16","x":2}"#);
    only(&folder, Conversion::F32ToF16, Difference::ConfigDiffers { field: "x".into() });
    // One that cannot be read is compared as a file; one below is any file.
    folder.write("child/config.json", r#"{"torch_dtype":"float16","x":1"#);
    let path = "config.json".into();
    only(&folder, Conversion::F32ToF16, Difference::FileDiffers { path, at: 21 });
}

#[test]
fn config_of_a_reshard_has_to_be_the_same() {
    let folder = equal();
    folder.write("child/config.json", r#"{"torch_dtype":"float16","x":1}"#);
    only(&folder, RESHARD, Difference::FileDiffers { path: "config.json".into(), at: 21 });
    let folder = equal();
    folder
        .write("parent/sub/config.json", r#"{"dtype":"float32"}"#)
        .write("child/sub/config.json", r#"{"dtype":"float16"}"#)
        .tensors("parent/model.safetensors", &[])
        .tensors("child/model.safetensors", &[]);
    let path = "sub/config.json".into();
    only(&folder, Conversion::F32ToF16, Difference::FileDiffers { path, at: 15 });
}

#[test]
fn all_differences_are_reported_or_counted() {
    let folder = Folder::new();
    let tensors: Vec<_> = (0..150).map(|n| f32s(&format!("t{n}"), &[1.0])).collect();
    folder.tensors("parent/model.safetensors", &tensors).write("parent/a", "");
    folder.tensors("child/model.safetensors", &[f32s("t0", &[2.0]), f32s("u", &[])]);
    let report = folder.check(RESHARD);
    assert_eq!((report.differences.len(), report.more), (100, 150 + 1 + 1 - 100));
}

#[test]
fn numbers_that_became_infinite_are_counted() {
    let folder = Folder::new();
    folder.tensors("parent/model.safetensors", &[f32s("a", &[1e5, -1e6, 1.0, f32::INFINITY])]);
    let done = folder.convert(Conversion::F32ToF16, None).unwrap();
    assert_eq!(done.overflowed, 2);
    let report = folder.check(Conversion::F32ToF16);
    assert!(report.is_equal());
    assert_eq!(report.overflowed, 2);
}

#[test]
fn the_report_as_json() {
    let folder = equal();
    folder.tensors("child/model.safetensors", &[f32s("a", &[1.0, 2.5]), bytes("b", &[1, 2, 3])]);
    let json = serde_json::to_value(folder.check(RESHARD)).unwrap();
    let expected = serde_json::json!({
        "differences": [{
            "kind": "value-differs", "tensor": "a", "element": 1,
            "expected": "2 (0x40000000)", "found": "2.5 (0x40200000)",
        }],
        "more": 0, "tensors": 2, "bytes": 44, "overflowed": 0,
    });
    assert_eq!(json, expected);
}
