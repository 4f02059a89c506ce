//! `bulla policy schema`

use std::path::Path;

use super::world::Folder;

/// What is published is what the program that reads the documents says of them.
#[test]
fn the_published_schemas() {
    let folder = Folder::new();
    for (flag, file) in [("", "policy"), (" --revocations", "revocations")] {
        let path = format!("docs/schema/{file}.schema.json");
        let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(&path);
        let published = std::fs::read_to_string(published).unwrap_or_default();
        let printed = folder.says(&format!("policy schema{flag}"), 0);
        assert!(
            published == printed,
            "{path} is of another day: write it with 'bulla policy schema{flag} > {path}'"
        );
    }
}
