//! Files are there in full or not at all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::os::unix::fs::{MetadataExt as _, symlink};

use bulla::{Access, Existing, Fault, store};

fn io_kind(result: Result<(), Fault>) -> std::io::ErrorKind {
    match result {
        Err(Fault::Io { source, .. }) => source.kind(),
        other => panic!("expected a fault, got {other:?}"),
    }
}

fn only_entry(folder: &std::path::Path) -> String {
    let names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
    names[0].clone()
}

#[test]
fn writes_replaces_and_leaves_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.sig");
    for contents in [&b"one"[..], b"two", b""] {
        store(&file, contents, Access::Public, Existing::Replace).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), contents);
        assert_eq!(only_entry(folder.path()), "model.sig");
    }
}

#[test]
fn keeps_what_is_there_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    store(&file, b"one", Access::Private, Existing::Keep).unwrap();
    let result = store(&file, b"two", Access::Private, Existing::Keep);
    assert_eq!(io_kind(result), std::io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(&file).unwrap(), b"one");
    symlink("elsewhere", folder.path().join("link")).unwrap();
    let result = store(&folder.path().join("link"), b"two", Access::Private, Existing::Keep);
    assert_eq!(io_kind(result), std::io::ErrorKind::AlreadyExists);
}

#[test]
fn private_files_are_the_owners() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    store(&file, b"one", Access::Private, Existing::Keep).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_link_is_replaced_and_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (file, precious) = (folder.path().join("model.sig"), folder.path().join("precious"));
    std::fs::write(&precious, b"precious").unwrap();
    symlink("precious", &file).unwrap();
    store(&file, b"new", Access::Public, Existing::Replace).unwrap();
    assert_eq!(std::fs::read(&precious).unwrap(), b"precious");
    assert!(std::fs::symlink_metadata(&file).unwrap().is_file());
}

#[test]
fn devices_and_directories_are_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("directory");
    std::fs::create_dir(&directory).unwrap();
    let result = store(&directory, b"new", Access::Public, Existing::Replace);
    assert_eq!(io_kind(result), std::io::ErrorKind::IsADirectory);
    let fifo = folder.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    assert!(store(&fifo, b"new", Access::Public, Existing::Replace).is_err());
    assert!(std::fs::symlink_metadata(&fifo).is_ok());
    let result = store(&folder.path().join("no/such"), b"new", Access::Public, Existing::Replace);
    assert_eq!(io_kind(result), std::io::ErrorKind::NotFound);
}

#[test]
fn many_writers_at_once_leave_one_whole_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.sig");
    std::thread::scope(|scope| {
        for writer in 0..8u8 {
            let file = &file;
            scope.spawn(move || {
                for _ in 0..20 {
                    store(file, &[writer; 10_000], Access::Public, Existing::Replace).unwrap();
                }
            });
        }
    });
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!(bytes.len(), 10_000);
    assert!(bytes.iter().all(|b| *b == bytes[0]));
    assert_eq!(only_entry(folder.path()), "model.sig");
}
