//! Symbolic links: refused, or followed inside the model and nowhere else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::os::unix::fs::symlink;

use bulla::{Fault, Limits, LocalModel, Options, Recipe, verify};
use bulla_testkit::bundles::{TestSigner, statement_of};
use bulla_testkit::{fault, measure, models, path, refusal, refused, work};

fn follow() -> Recipe {
    Recipe { follow_symlinks: true, ..Recipe::default() }
}

#[test]
fn symlinks_are_refused_by_default() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::small(folder.path());
    symlink("weights.bin", model.join("inside")).unwrap();
    symlink("tokenizer", model.join("directory")).unwrap();
    let result = TestSigner::default().try_sign(&model, &Recipe::default());
    let Err(bulla::Failure::Refused(refusal)) = result else { panic!("signed") };
    assert_eq!(refusal.reasons().count(), 2, "all of them: {refusal}");
    assert!(refusal.hints()[0].contains("--follow-symlinks"));
}

#[test]
fn followed_links_are_hashed_as_their_targets() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::small(folder.path());
    symlink("weights.bin", model.join("link")).unwrap();
    symlink("../a-b", model.join("a/up")).unwrap();
    symlink("link", model.join("link-to-link")).unwrap();
    symlink("./a/../a//b", model.join("crooked")).unwrap();
    let signer = TestSigner::default();
    let bundle = signer.sign(&model, &follow());
    let verified = signer.verify(&model, &bundle).unwrap();
    let file = |name: &str| verified.manifest().files[&path(name)].digests.clone();
    assert_eq!(file("link"), file("weights.bin"));
    assert_eq!(file("link-to-link"), file("weights.bin"));
    assert_eq!(file("a/up"), file("a-b"));
    assert_eq!(file("crooked"), file("a/b"));
    assert_eq!(verified.open_verified(&path("crooked")).unwrap().as_ref(), b"2");

    // A link to a directory with signed files is never passed over.
    symlink("tokenizer", model.join("linked")).unwrap();
    let bundle3 = signer.sign(&model, &follow());
    let ignore = Options { ignore: vec![path("linked")], ..Options::default() };
    verify::verify(
        &bundle3,
        LocalModel::open(&model).unwrap(),
        &signer.trust,
        bulla_testkit::now(),
        &ignore,
        &Limits::default(),
        work(),
    )
    .unwrap();
    std::fs::remove_file(model.join("linked")).unwrap();

    // A link that points to something else is a change.
    std::fs::remove_file(model.join("link")).unwrap();
    symlink("a-b", model.join("link")).unwrap();
    assert_eq!(refused(signer.verify(&model, &bundle)), ["changed", "changed"]);
    // A link in place of a file, signed without links, is not the file.
    let model2 = folder.path().join("second");
    models::write(&model2, &[("a", b"1"), ("b", b"1")]);
    let bundle = signer.sign(&model2, &Recipe::default());
    std::fs::remove_file(model2.join("b")).unwrap();
    symlink("a", model2.join("b")).unwrap();
    assert_eq!(refused(signer.verify(&model2, &bundle)), ["unusable"]);
}

#[test]
fn trap_6_a_linked_directory_is_walked() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::small(folder.path());
    symlink("tokenizer", model.join("linked")).unwrap();
    let signer = TestSigner::default();
    let bundle = signer.sign(&model, &follow());
    let statement = statement_of(&bundle);
    let resources = statement["predicate"]["resources"].as_array().unwrap();
    assert!(resources.iter().any(|r| r["name"] == "linked/vocab.txt"));
    signer.verify(&model, &bundle).unwrap();
    std::fs::write(model.join("tokenizer/evil.py"), b"import os").unwrap();
    let said = refusal(signer.verify(&model, &bundle));
    assert!(said.contains("extra: linked/evil.py") && said.contains("extra: tokenizer/evil.py"));
}

#[test]
fn trap_6_links_that_leave_the_model_or_loop_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("outside"), b"secret").unwrap();
    for (target, says) in [
        ("../outside", "leaves the model"),
        ("/etc/passwd", "leaves the model"),
        ("a/../../outside", "leaves the model"),
        ("..", "leaves the model"),
        (".", "leads back to itself"),
        ("a/..", "leads back to itself"),
        ("link", "leads back to itself"),
        ("nothing", "to nothing"),
        ("a-b/x", "to nothing"),
        ("a-b/..", "to nothing"),
    ] {
        let model = models::small(folder.path());
        symlink(target, model.join("link")).unwrap();
        let said = refusal(TestSigner::default().try_sign(&model, &follow()));
        assert!(said.contains("link") && said.contains(says), "{target}: {said}");
        std::fs::remove_dir_all(model).unwrap();
    }
    // Inside a directory below, up to one above.
    let model = models::small(folder.path());
    symlink("../../model", model.join("a/back")).unwrap();
    symlink("..", model.join("a/up")).unwrap();
    symlink("../tokenizer", model.join("a/side")).unwrap();
    symlink("../a", model.join("tokenizer/side")).unwrap();
    let said = refusal(TestSigner::default().try_sign(&model, &follow()));
    assert!(said.contains("a/back is a symbolic link that leaves"), "{said}");
    assert!(said.contains("a/up is a symbolic link that leads back"), "{said}");
    assert!(said.contains("a/side/side is a symbolic link that leads back"), "{said}");
}

#[test]
fn links_that_multiply_end() {
    // Thirty levels of two links each would be a thousand million files.
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    models::write(&model, &[("d30/file", b"1")]);
    for level in 0..30 {
        let dir = model.join(format!("d{level}"));
        std::fs::create_dir_all(&dir).unwrap();
        for side in ["x", "y"] {
            symlink(format!("../d{}", level + 1), dir.join(side)).unwrap();
        }
    }
    let mut limits = Limits::default();
    limits.linked_entries = 20_000;
    let result = measure(&model, &follow(), &limits, work());
    let what = "entries behind symbolic links";
    assert!(matches!(fault(result), Fault::TooMany { what: found, .. } if found == what));
}

#[test]
fn links_that_cost_much_to_resolve_end() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    let deep: String = (0..60).map(|i| format!("d{i}/")).collect();
    models::write(&model, &[(&format!("{deep}e/file"), b"1")]);
    for i in 0..40 {
        let next = if i == 39 { "e/file".to_owned() } else { format!("l{}", i + 1) };
        let target = "e/../".repeat(800) + &next;
        symlink(target, model.join(&deep).join(format!("l{i}"))).unwrap();
    }
    let result = measure(&model, &follow(), &Limits::default(), work());
    assert!(matches!(fault(result), Fault::TooMany { what: "steps through symbolic links", .. }));
}
