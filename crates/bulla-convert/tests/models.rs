//! What is opened, and what is not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use bulla::model::{Scope, Unusable};
use bulla::{Fault, Limits, LocalModel, Recipe};
use bulla_convert::{Conversion, Difference, Error, HeaderError, Model, check};
use common::{Folder, bytes, f32s, serialized};

/// A model with one good file, to which something is added.
fn good() -> Folder {
    let folder = Folder::new();
    folder.tensors("m/model.safetensors", &[f32s("a", &[1.0, 2.0])]);
    folder
}

fn refused(folder: &Folder) -> Error {
    let error = folder.open("m").expect_err("must be refused");
    assert!(!error.code().is_empty() && error.hint().is_some(), "{error}");
    error
}

#[test]
fn a_folder() {
    let folder = Folder::new();
    folder
        .tensors("m/b.safetensors", &[f32s("y", &[1.0])])
        .tensors("m/a.safetensors", &[f32s("z", &[1.0]), bytes("x", &[1, 2])])
        .tensors("m/below/c.safetensors", &[f32s("z", &[1.0])])
        .write("m/config.json", "{}")
        .write("m/model.sig", "ignored")
        .write("m/.git/objects/1", "ignored")
        .write("m/model.safetensors.index.json", r#"{"weight_map":{}}"#);
    let model = folder.open_without("m", &["model.sig", ".git"]).unwrap();
    let names: Vec<_> = model.tensors().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["x", "y", "z"]);
    assert_eq!(model.shards().collect::<Vec<_>>(), ["a.safetensors", "b.safetensors"]);
    assert_eq!(model.companions().collect::<Vec<_>>(), ["below/c.safetensors", "config.json"]);
}

#[test]
fn one_file() {
    let folder = Folder::new();
    folder.tensors("weights", &[f32s("a", &[1.0])]);
    let model = folder.open("weights").unwrap();
    assert_eq!(model.shards().collect::<Vec<_>>(), ["weights"]);
    assert_eq!(model.companions().count(), 0);
}

#[test]
fn the_model_itself_may_be_a_link() {
    let folder = good();
    symlink(folder.path("m"), folder.path("link")).unwrap();
    assert_eq!(folder.open("link").unwrap().tensors().count(), 1);
}

#[test]
fn nothing_there() {
    assert!(matches!(Folder::new().open("m"), Err(Error::Fault(Fault::Io { .. }))));
}

#[test]
fn no_tensors() {
    let folder = Folder::new();
    folder.write("m/config.json", "{}").write("m/below/model.safetensors", "");
    assert!(matches!(refused(&folder), Error::NoSafetensors { .. }));
    let error = good().open_without("m", &["model.safetensors"]).unwrap_err();
    assert!(matches!(error, Error::NoSafetensors { .. }));
}

#[test]
fn a_fifo_as_the_model() {
    let folder = Folder::new();
    fifo(&folder, "m");
    assert!(matches!(refused(&folder), Error::Fault(Fault::NotAModel { found: "FIFO", .. })));
}

fn fifo(folder: &Folder, name: &str) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, folder.path(name), rustix::fs::FileType::Fifo, mode, 0)
        .unwrap();
}

#[test]
fn links() {
    for (to, name) in [
        ("model.safetensors", "m/b.safetensors"),
        ("nowhere", "m/tokenizer.json"),
        (".", "m/below"),
        ("/etc/hostname", "m/config.json"),
    ] {
        let folder = good();
        symlink(to, folder.path(name)).unwrap();
        let error = refused(&folder);
        let Error::Unusable { path, why: Unusable::Symlink { target } } = &error else {
            panic!("{error}")
        };
        assert_eq!((path, target.as_str()), (&folder.path(name), to));
        let ignored = name.strip_prefix("m/").unwrap();
        assert!(folder.open_without("m", &[ignored]).is_ok(), "{name}");
    }
}

#[test]
fn a_fifo_in_a_files_place() {
    for name in ["m/b.safetensors", "m/config.json"] {
        let folder = good();
        fifo(&folder, name);
        let error = refused(&folder);
        let Error::Unusable { path, why: Unusable::Special { kind: "FIFO" } } = &error else {
            panic!("{error}")
        };
        assert_eq!(*path, folder.path(name));
    }
}

#[test]
fn a_directory_in_a_shards_place() {
    let folder = good();
    folder.write("m/b.safetensors/x", "");
    let error = refused(&folder);
    assert_eq!(
        error.to_string(),
        format!("{:?} is a directory, not a file", folder.path("m/b.safetensors"))
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_not_text() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = good();
    let name = std::ffi::OsStr::from_bytes(b"model-\xff.safetensors");
    fs::write(folder.path("m").join(name), "").unwrap();
    assert!(matches!(refused(&folder), Error::Unusable { why: Unusable::NotUtf8, .. }));
}

#[test]
fn directories_without_end() {
    let folder = good();
    folder.write(&format!("m/{}x", "d/".repeat(40)), "");
    let error = refused(&folder);
    assert!(matches!(error, Error::Fault(Fault::TooDeep { limit: 32, .. })), "{error}");
}

#[test]
fn a_bad_header_is_of_a_file() {
    let folder = good();
    folder.write("m/b.safetensors", "abc");
    let error = refused(&folder);
    let Error::Header { path, why } = &error else { panic!("{error}") };
    assert_eq!(*path, folder.path("m/b.safetensors"));
    assert_eq!(*why, HeaderError::TooShort { size: 3 });
    // A length that would need more memory than there is.
    folder.write("m/b.safetensors", u64::MAX.to_le_bytes());
    assert!(refused(&folder).to_string().contains("at most 100000000 are allowed"));
    let mut file = serialized(&[f32s("b", &[1.0])], &[]);
    file.pop();
    folder.write("m/b.safetensors", &file);
    let error = refused(&folder);
    assert!(matches!(error, Error::Header { why: HeaderError::OutOfRange { .. }, .. }), "{error}");
}

#[test]
fn headers_that_are_large_together() {
    let folder = Folder::new();
    let mut file = 70_000_000_u64.to_le_bytes().to_vec();
    file.extend(b"{}");
    file.resize(70_000_008, b' ');
    folder.write("m/a.safetensors", &file);
    assert!(folder.open("m").is_ok());
    fs::hard_link(folder.path("m/a.safetensors"), folder.path("m/b.safetensors")).unwrap();
    assert!(matches!(refused(&folder), Error::HeadersTooLarge { .. }));
}

#[test]
fn a_tensor_in_two_shards() {
    let folder = good();
    folder.tensors("m/z.safetensors", &[f32s("a", &[1.0, 2.0])]);
    let error = refused(&folder);
    let Error::TensorTwice { tensor, first, second } = &error else { panic!("{error}") };
    assert_eq!((tensor.as_str(), first.as_str()), ("a", "model.safetensors"));
    assert_eq!(second, "z.safetensors");
}

#[test]
fn a_bad_index() {
    let folder = good();
    folder.write("m/model.safetensors.index.json", r#"{"weight_map":{"a":"x","a":"y"}}"#);
    assert!(matches!(refused(&folder), Error::Index { .. }));
}

#[test]
fn two_indexes() {
    let folder = good();
    let index = r#"{"weight_map":{}}"#;
    folder
        .write("m/model.safetensors.index.json", index)
        .write("m/other.safetensors.index.json", index);
    assert!(matches!(refused(&folder), Error::TwoIndexes { .. }));
}

#[test]
fn a_file_that_changes() {
    // Written to, replaced, cut short; as the parent, as the child, a shard, a companion.
    let replace = |folder: &Folder, name: &str| {
        let content = fs::read(folder.path(name)).unwrap();
        folder.write("new", content);
        fs::rename(folder.path("new"), folder.path(name)).unwrap();
    };
    let cut = |folder: &Folder, name: &str| {
        let file = fs::File::options().write(true).open(folder.path(name)).unwrap();
        file.set_len(1).unwrap();
    };
    let link = |folder: &Folder, name: &str| {
        fs::rename(folder.path(name), folder.path("moved")).unwrap();
        symlink(folder.path("moved"), folder.path(name)).unwrap();
    };
    for name in ["model.safetensors", "config.json", "below/x", "empty"] {
        for (number, change) in
            [&replace as &dyn Fn(&Folder, &str), &cut, &link].into_iter().enumerate()
        {
            for changed in ["m", "n"] {
                let folder = good();
                for model in ["m", "n"] {
                    folder
                        .tensors(&format!("{model}/model.safetensors"), &[f32s("a", &[1.0])])
                        .write(&format!("{model}/config.json"), "{\"a\":1}")
                        .write(&format!("{model}/below/x"), "12")
                        .write(&format!("{model}/empty"), "");
                }
                let (m, n) = (folder.open("m").unwrap(), folder.open("n").unwrap());
                change(&folder, &format!("{changed}/{name}"));
                let result = check(&m, &n, Conversion::Reshard);
                match result {
                    Err(Error::Fault(Fault::Changed { path })) => {
                        assert_eq!(Path::new(&path), folder.path(changed).join(name));
                    }
                    other => panic!("{changed}/{name}, change {number}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn a_directory_that_becomes_a_link() {
    let folder = good();
    folder.tensors("n/model.safetensors", &[f32s("a", &[1.0, 2.0])]);
    folder.write("m/below/x", "1").write("n/below/x", "1");
    let (m, n) = (folder.open("m").unwrap(), folder.open("n").unwrap());
    fs::rename(folder.path("n/below"), folder.path("moved")).unwrap();
    symlink(folder.path("moved"), folder.path("n/below")).unwrap();
    assert!(matches!(check(&m, &n, Conversion::Reshard), Err(Error::Fault(Fault::Changed { .. }))));
}

#[test]
fn a_file_that_becomes_a_fifo() {
    let folder = good();
    folder.write("m/x", "");
    let model = folder.open("m").unwrap();
    fs::remove_file(folder.path("m/x")).unwrap();
    fifo(&folder, "m/x");
    let result = check(&model, &good().open("m").unwrap(), Conversion::Reshard);
    assert!(matches!(result, Err(Error::Fault(Fault::Changed { .. }))), "{result:?}");
}

/// What is there when all was compared is what was compared.
#[test]
fn a_file_that_appears_or_disappears() {
    for changed in ["m", "n"] {
        let folder = good();
        folder.tensors("n/model.safetensors", &[f32s("a", &[1.0, 2.0])]);
        let (m, n) = (folder.open("m").unwrap(), folder.open("n").unwrap());
        assert!(check(&m, &n, Conversion::Reshard).unwrap().is_equal());
        folder.write(&format!("{changed}/modeling.py"), "");
        let error = check(&m, &n, Conversion::Reshard).unwrap_err();
        let Error::Fault(Fault::Changed { path }) = &error else { panic!("{error}") };
        assert_eq!(Path::new(path), folder.path(changed).join("modeling.py"));
        let (m, n) = (folder.open("m").unwrap(), folder.open("n").unwrap());
        fs::remove_file(folder.path(changed).join("modeling.py")).unwrap();
        let result = check(&m, &n, Conversion::Reshard);
        assert!(matches!(result, Err(Error::Fault(Fault::Changed { .. }))), "{result:?}");
    }
}

/// A signer who followed links signed what they lead to.
#[test]
fn links_that_the_recipe_follows() {
    let folder = good();
    folder.tensors("n/model.safetensors", &[f32s("a", &[1.0, 2.0])]).write("n/a/x", "x");
    folder.write("m/b/x", "x").write("n/b/x", "x");
    symlink("b", folder.path("m/a")).unwrap();
    let follow = Recipe { follow_symlinks: true, ..Recipe::default() };
    let open = |name: &str| common::open(&folder.path(name), &follow);
    let (m, n) = (open("m").unwrap(), open("n").unwrap());
    assert!(check(&m, &n, Conversion::Reshard).unwrap().is_equal());
    symlink("../n/b/x", folder.path("m/y")).unwrap();
    let error = open("m").unwrap_err();
    let outside = matches!(&error, Error::Unusable { why: Unusable::LinkOutside { .. }, .. });
    assert!(outside, "{error}");
}

/// Nobody can hide a file that they signed behind what they leave out.
#[test]
fn a_signed_file_is_looked_at_wherever_it_is() {
    let folder = good();
    folder.tensors("n/model.safetensors", &[f32s("a", &[1.0, 2.0])]);
    folder.write("m/hidden/modeling.py", "").write("m/hidden/cache", "").write("m/.git/config", "");
    let recipe = Recipe { ignore: common::paths(&["hidden"]), ..Recipe::default() };
    let covered = common::Covered(&["model.safetensors", "hidden/modeling.py"]);
    let path = folder.path("m");
    let scope = Scope::to_verify(&recipe, &covered);
    let source = Box::new(LocalModel::open(&path).unwrap());
    let m = Model::open(&path, source, scope, &Limits::default()).unwrap();
    let report = check(&folder.open("n").unwrap(), &m, Conversion::Reshard).unwrap();
    assert_eq!(report.differences, [Difference::FileExtra { path: "hidden/modeling.py".into() }]);
}
