//! Small models.

use std::path::{Path, PathBuf};

/// Writes files below a folder, making the directories that they need.
pub fn write(root: &Path, files: &[(&str, &[u8])]) {
    for (name, contents) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
    }
}

/// A directory `model` with a few files of different kinds.
#[must_use]
pub fn small(folder: &Path) -> PathBuf {
    let root = folder.join("model");
    write(
        &root,
        &[
            ("config.json", b"{}"),
            ("weights.bin", &[7; 3000]),
            ("tokenizer/vocab.txt", b"a\nb\n"),
            ("a-b", b"1"),
            ("a/b", b"2"),
            ("empty", b""),
        ],
    );
    root
}
