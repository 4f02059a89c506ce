//! What a conversion writes, and what it leaves alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use bulla::{Fault, Recipe};
use bulla_convert::{Conversion, Error};
use common::{Folder, Given, bytes, contents, f32s, serialized};

const CONFIG: &str = "{\n    \"torch_dtype\": \"float32\",\n  \"x\": 1e-05}\n";

fn parent() -> Folder {
    let folder = Folder::new();
    folder
        .tensors("parent/model.safetensors", &tensors())
        .write("parent/config.json", CONFIG)
        .write("parent/sub/deep/tokenizer.json", "{}")
        .write("parent/sub/empty", "");
    folder
}

fn tensors() -> Vec<Given> {
    vec![f32s("b", &[1.0, 2.0]), bytes("c", &[1, 2, 3]), f32s("a", &[3.0]), f32s("d", &[])]
}

fn names(folder: &Folder, of: &str) -> Vec<String> {
    contents(&folder.path(of)).into_keys().collect()
}

#[test]
fn one_shard_has_the_bytes_of_the_safetensors_crate() {
    let folder = parent();
    let done = folder.convert(Conversion::Reshard, None).unwrap();
    assert_eq!((done.tensors, done.bytes, done.shards, done.overflowed), (4, 15, 1, 0));
    assert_eq!(contents(&folder.path("parent")), contents(&folder.path("child")));
}

#[test]
fn types_are_written_by_alignment_and_then_by_name() {
    let folder = Folder::new();
    let mut all = tensors();
    for (number, dtype) in [
        safetensors::Dtype::BOOL,
        safetensors::Dtype::F64,
        safetensors::Dtype::F16,
        safetensors::Dtype::BF16,
        safetensors::Dtype::F8_E5M2,
        safetensors::Dtype::U64,
    ]
    .into_iter()
    .enumerate()
    {
        let (name, bytes) = (format!("t{number}"), vec![0; dtype.bitsize() / 8]);
        all.push(Given { name, dtype, shape: vec![], bytes });
    }
    folder.tensors("parent/x.safetensors", &all);
    folder.convert(Conversion::Reshard, None).unwrap();
    assert_eq!(contents(&folder.path("parent")), contents(&folder.path("child")));
}

#[test]
fn several_shards() {
    let folder = parent();
    let done = folder.convert(Conversion::Reshard, Some(11)).unwrap();
    assert_eq!(done.shards, 2);
    let child = contents(&folder.path("child"));
    let shard = |tensors: &[Given]| serialized(tensors, &[("format", "pt")]);
    let all = tensors();
    assert_eq!(child["model-00001-of-00002.safetensors"], shard(&[all[2].clone()]));
    assert_eq!(
        child["model-00002-of-00002.safetensors"],
        shard(&[all[0].clone(), all[1].clone(), all[3].clone()])
    );
    let index = String::from_utf8(child["model.safetensors.index.json"].clone()).unwrap();
    let expected = r#"{
  "metadata": {
    "total_size": 15
  },
  "weight_map": {
    "a": "model-00001-of-00002.safetensors",
    "b": "model-00002-of-00002.safetensors",
    "c": "model-00002-of-00002.safetensors",
    "d": "model-00002-of-00002.safetensors"
  }
}
"#;
    assert_eq!(index, expected);
    assert!(folder.check(Conversion::Reshard).is_equal());
}

#[test]
fn a_tensor_larger_than_a_shard_has_its_own() {
    let folder = parent();
    assert_eq!(folder.convert(Conversion::Reshard, Some(0)).unwrap().shards, 4);
    let shards: Vec<_> =
        names(&folder, "child").into_iter().filter(|n| n.ends_with(".safetensors")).collect();
    assert_eq!(shards.len(), 4);
    assert!(folder.check(Conversion::Reshard).is_equal());
}

#[test]
fn shards_are_measured_as_they_will_be() {
    let folder = parent();
    // 2 + 4 + 3 bytes after the conversion, 15 before.
    assert_eq!(folder.convert(Conversion::F32ToF16, Some(9)).unwrap().shards, 1);
}

#[test]
fn several_shards_become_one() {
    let folder = Folder::new();
    folder
        .tensors("parent/m-00001-of-000002.safetensors", &[f32s("a", &[1.0])])
        .tensors("parent/m-00002-of-000002.safetensors", &[f32s("b", &[1.0])])
        .write("parent/m.safetensors.index.json", r#"{"weight_map":{"a":"x","b":"y"}}"#);
    folder.convert(Conversion::F32ToBf16, None).unwrap();
    assert_eq!(names(&folder, "child"), ["m.safetensors"]);
    assert!(folder.check(Conversion::F32ToBf16).is_equal());
}

#[test]
fn a_model_without_tensors() {
    let folder = Folder::new();
    folder.write("parent/model.safetensors", serialized(&[], &[]));
    assert_eq!(folder.convert(Conversion::F32ToF16, Some(1)).unwrap().shards, 1);
    assert_eq!(contents(&folder.path("parent")), contents(&folder.path("child")));
}

#[test]
fn config_follows_the_tensors() {
    let folder = parent();
    folder.convert(Conversion::F32ToF16, None).unwrap();
    let child = contents(&folder.path("child"));
    let expected = CONFIG.replace("float32", "float16");
    assert_eq!(String::from_utf8(child["config.json"].clone()).unwrap(), expected);
    assert_eq!(child["sub/deep/tokenizer.json"], b"{}");
    assert_eq!(child["sub/empty"], b"");
    assert!(folder.check(Conversion::F32ToF16).is_equal());
}

#[test]
fn what_is_ignored_is_not_copied() {
    let folder = parent();
    folder.write("parent/model.sig", "x").write("parent/.git/x", "x");
    let parent = folder.open_without("parent", &["model.sig", ".git"]).unwrap();
    bulla_convert::convert(&parent, &folder.path("child"), Conversion::Reshard, None).unwrap();
    let expected = ["config.json", "model.safetensors", "sub/deep/tokenizer.json", "sub/empty"];
    assert_eq!(names(&folder, "child"), expected);
}

#[test]
fn metadata_is_in_every_shard_and_in_order() {
    let folder = Folder::new();
    let metadata = [("z", "1"), ("format", "pt"), ("a", "\"\u{1b}"), ("m", "")];
    folder.write("parent/model.safetensors", serialized(&tensors(), &metadata));
    folder.convert(Conversion::Reshard, Some(0)).unwrap();
    let expected = r#"{"__metadata__":{"a":"\"\u001b","format":"pt","m":"","z":"1"},""#;
    for (name, content) in contents(&folder.path("child")) {
        if name.ends_with(".safetensors") {
            assert_eq!(&content[8..8 + expected.len()], expected.as_bytes(), "{name}");
        }
    }
    assert!(folder.check(Conversion::Reshard).is_equal());
}

#[test]
fn shards_that_disagree_on_their_metadata() {
    let folder = Folder::new();
    folder
        .write("parent/m-1-of-2.safetensors", serialized(&[], &[("k", "1")]))
        .write("parent/m-2-of-2.safetensors", serialized(&[], &[("k", "2")]));
    let error = folder.convert(Conversion::Reshard, None).unwrap_err();
    assert!(matches!(error, Error::MetadataConflict { key } if key == "k"));
    assert_eq!(
        names(&folder, ""),
        names(&folder, "").into_iter().filter(|n| n.starts_with("parent/")).collect::<Vec<_>>()
    );
}

#[test]
fn several_models_in_one_directory() {
    let folder = parent();
    folder.tensors("parent/adapter_model.safetensors", &[f32s("x", &[1.0])]);
    let error = folder.convert(Conversion::Reshard, None).unwrap_err();
    assert!(matches!(error, Error::SeveralModels { .. }), "{error}");
}

#[test]
fn nothing_is_overwritten() {
    let folder = parent();
    for make in [
        &|folder: &Folder| fs::create_dir(folder.path("child")).unwrap(),
        &|folder: &Folder| fs::write(folder.path("child"), "precious").unwrap(),
        &|folder: &Folder| symlink("nowhere", folder.path("child")).unwrap(),
    ] as [&dyn Fn(&Folder); 3]
    {
        make(&folder);
        let before = fs::symlink_metadata(folder.path("child")).unwrap().file_type();
        let error = folder.convert(Conversion::Reshard, None).unwrap_err();
        assert!(
            matches!(&error, Error::Exists { path } if *path == folder.path("child")),
            "{error}"
        );
        assert_eq!(fs::symlink_metadata(folder.path("child")).unwrap().file_type(), before);
        assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), 2, "nothing else is left");
        if before.is_dir() {
            fs::remove_dir(folder.path("child")).unwrap();
        } else {
            fs::remove_file(folder.path("child")).unwrap();
        }
    }
}

#[test]
fn a_place_where_nothing_can_be_made() {
    let folder = parent();
    let model = folder.open("parent").unwrap();
    for destination in ["nowhere/child", "parent/config.json/child", "parent/.."] {
        let destination = folder.path(destination);
        let error = bulla_convert::convert(&model, &destination, Conversion::Reshard, None);
        assert!(
            matches!(error, Err(Error::Fault(Fault::Io { .. }) | Error::Exists { .. })),
            "{error:?}"
        );
    }
    assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), 1);
}

#[test]
fn what_another_run_left_is_not_touched() {
    let folder = parent();
    folder.write(".child.0.tmp/x", "x");
    symlink("parent", folder.path(".child.1.tmp")).unwrap();
    folder.convert(Conversion::Reshard, None).unwrap();
    assert_eq!(contents(&folder.path(".child.0.tmp")).len(), 1);
    assert_eq!(contents(&folder.path("parent")), contents(&folder.path("child")));
    assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), 4);
}

#[test]
fn a_parent_that_changes_leaves_nothing() {
    for (name, content) in
        [("model.safetensors", ""), ("config.json", "{}"), ("sub/empty", "no longer")]
    {
        let folder = parent();
        let model = folder.open("parent").unwrap();
        folder.write(&format!("parent/{name}"), content);
        let child = folder.path("child");
        let error = bulla_convert::convert(&model, &child, Conversion::Reshard, None);
        assert!(matches!(error, Err(Error::Fault(Fault::Changed { .. }))), "{name}: {error:?}");
        assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), 1);
    }
}

#[test]
fn what_is_in_the_way_is_said_before_anything_is_read() {
    let folder = parent();
    let model = folder.open("parent").unwrap();
    fs::remove_dir_all(folder.path("parent")).unwrap();
    fs::create_dir(folder.path("child")).unwrap();
    let error = bulla_convert::convert(&model, &folder.path("child"), Conversion::Reshard, None);
    assert!(matches!(error, Err(Error::Exists { .. })), "{error:?}");
}

/// A disk that is full after 64 blocks: for this process a file has no more room. What is too large is a
/// tensor whose last bytes wait in a buffer, one that is written in whole pieces, a companion file.
#[test]
fn a_full_disk_leaves_nothing() {
    for (tensor, companion, conversion) in [
        (100_000, 0, "f32-to-f16"),
        (131_072, 0, "reshard"),
        (1, 524_288, "reshard"),
        (1, 100_000, "reshard"),
    ] {
        let folder = Folder::new();
        folder
            .tensors("parent/model.safetensors", &[f32s("a", &vec![1.0; tensor])])
            .write("parent/companion", vec![0; companion]);
        let output = Command::new("sh")
            .args(["-c", r#"trap '' XFSZ; ulimit -f 64; exec "$0" --exact full --ignored"#])
            .arg(std::env::current_exe().unwrap())
            .env("FULL_DISK", folder.path(""))
            .env("CONVERSION", conversion)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
        assert_eq!(fs::read_dir(folder.path("")).unwrap().count(), 1);
    }
}

#[test]
#[ignore = "runs in a process of its own"]
fn full() {
    let folder = std::path::PathBuf::from(std::env::var_os("FULL_DISK").unwrap());
    let conversion: Conversion = std::env::var("CONVERSION").unwrap().parse().unwrap();
    let parent = common::open(&folder.join("parent"), &Recipe::default()).unwrap();
    let child = folder.join("child");
    let error = bulla_convert::convert(&parent, &child, conversion, None).unwrap_err();
    let Error::Fault(Fault::Io { doing: "write", source, .. }) = &error else { panic!("{error}") };
    assert_eq!(source.kind(), std::io::ErrorKind::FileTooLarge, "{error}");
}
