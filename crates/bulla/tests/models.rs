//! Models as they are found on disks: links, devices, odd names, files that change.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bulla::model::{Found, Identity, Layout, Listing, Method, ModelFile, Scope};
use bulla::{
    Compatibility, Fault, HashAlgorithm, KeyAlgorithm, KeyPair, KeySigner, Limits, LocalModel,
    Manifest, ModelSource, Notice, Options, Progress, Recipe, Work, verify,
};
use bulla_testkit::bundles::{TestSigner, statement_of};
use bulla_testkit::{fault, measure, models, path, refusal, refused, work};

fn follow() -> Recipe {
    Recipe { follow_symlinks: true, ..Recipe::default() }
}

fn names(bundle: &[u8]) -> Vec<String> {
    let statement = statement_of(bundle);
    let resources = statement["predicate"]["resources"].as_array().unwrap().clone();
    resources.iter().map(|r| r["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn trap_1_resources_are_written_in_code_point_order() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::small(folder.path());
    let names = names(&TestSigner::default().sign(&model, &Recipe::default()));
    assert_eq!(names, ["a-b", "a/b", "config.json", "empty", "tokenizer/vocab.txt", "weights.bin"]);
}

#[test]
fn trap_13_signature_and_claims_are_recorded_as_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::small(folder.path());
    let statement = statement_of(&TestSigner::default().sign(&model, &Recipe::default()));
    assert_eq!(
        statement["predicate"]["serialization"]["ignore_paths"],
        serde_json::json!([
            ".git",
            ".gitattributes",
            ".github",
            ".gitignore",
            "claims.jsonl",
            "model.sig"
        ])
    );
    assert_eq!(statement["subject"][0]["name"], "model");
}

#[test]
fn odd_names_are_signed_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let odd = [
        "name with spaces",
        "name:with:0:4",
        "line\nbreak",
        "tab\t",
        "quote'\"",
        "back\\slash",
        "模型/权重.bin",
        "🦙",
        "-rf",
        "...",
        "a*b?[c]",
        "\u{1b}[31mred",
        "\u{202e}txt.exe",
    ];
    for name in odd {
        models::write(folder.path(), &[(&format!("model/{name}"), name.as_bytes())]);
    }
    let model = folder.path().join("model");
    let signer = TestSigner::default();
    for recipe in [
        Recipe::default(),
        Recipe { method: Method::Shards(4.try_into().unwrap()), ..Recipe::default() },
    ] {
        let bundle = signer.sign(&model, &recipe);
        assert_eq!(signer.verify(&model, &bundle).unwrap().manifest().files.len(), odd.len());
    }
    // A refusal about them does not act on a terminal.
    let bundle = signer.sign(&model, &Recipe::default());
    for name in odd {
        std::fs::write(model.join(name), b"changed").unwrap();
    }
    let said = refusal(signer.verify(&model, &bundle));
    assert!(!said.chars().any(bulla::text::acts_on_a_terminal), "{said:?}");
}

#[test]
fn every_difference_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::small(folder.path());
    let signer = TestSigner::default();
    let bundle = signer.sign(&model, &Recipe::default());
    std::fs::write(model.join("config.json"), b"[]").unwrap();
    std::fs::remove_file(model.join("a-b")).unwrap();
    std::fs::rename(model.join("weights.bin"), model.join("weights.old")).unwrap();
    std::fs::write(model.join("evil.py"), b"import os").unwrap();
    symlink("/etc/passwd", model.join("link")).unwrap();
    let said = refusal(signer.verify(&model, &bundle));
    for part in [
        "changed: config.json (2 B): signed as sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a, found sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945",
        "missing: a-b",
        "renamed: weights.bin is now weights.old (3.0 kB)",
        "extra: evil.py (9 B), not signed",
        "unusable: link is a symbolic link (to /etc/passwd)",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    assert_eq!(said.matches("; ").count(), 4, "{said}");
}

#[test]
fn copies_are_not_taken_for_renames_twice() {
    let folder = tempfile::tempdir().unwrap();
    models::write(
        folder.path(),
        &[("model/a", b"same"), ("model/b", b"same"), ("model/c", b"kept")],
    );
    let model = folder.path().join("model");
    let signer = TestSigner::default();
    let bundle = signer.sign(&model, &Recipe::default());
    std::fs::remove_file(model.join("a")).unwrap();
    std::fs::rename(model.join("b"), model.join("d")).unwrap();
    let codes = refused(signer.verify(&model, &bundle));
    assert_eq!(codes, ["missing", "renamed"]);
}

#[test]
fn special_files_are_refused_and_nothing_waits_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::small(folder.path());
    let signer = TestSigner::default();
    let bundle = signer.sign(&model, &Recipe::default());
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, model.join("fifo"), mode).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(model.join("socket")).unwrap();
    let said = refusal(signer.try_sign(&model, &Recipe::default()));
    assert!(said.contains("fifo is a FIFO") && said.contains("socket is a socket"), "{said}");
    assert_eq!(refused(signer.verify(&model, &bundle)), ["unusable", "unusable"]);
    // In place of a signed file.
    std::fs::remove_file(model.join("socket")).unwrap();
    std::fs::remove_file(model.join("fifo")).unwrap();
    std::fs::remove_file(model.join("a-b")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, model.join("a-b"), mode).unwrap();
    assert_eq!(refused(signer.verify(&model, &bundle)), ["unusable"]);
    // As the model itself.
    assert!(matches!(LocalModel::open(Path::new("/dev/null")), Err(Fault::NotAModel { .. })));
    assert!(matches!(LocalModel::open(&model.join("a-b")), Err(Fault::NotAModel { .. })));
}

#[test]
fn names_that_are_not_utf8_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::small(folder.path());
    std::fs::write(model.join(OsStr::from_bytes(b"bad\xff")), b"1").unwrap();
    let said = refusal(TestSigner::default().try_sign(&model, &Recipe::default()));
    assert!(said.contains("not UTF-8"), "{said}");
    let file = folder.path().join(OsStr::from_bytes(b"weights\xff"));
    std::fs::write(&file, b"1").unwrap();
    let said = refusal(TestSigner::default().try_sign(&file, &Recipe::default()));
    assert!(said.contains("not UTF-8"), "{said}");
}

#[test]
fn an_empty_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    std::fs::create_dir(&model).unwrap();
    let signer = TestSigner::default();
    assert_eq!(refused(signer.try_sign(&model, &Recipe::default())), ["empty-model"]);
    models::write(&model, &[(".git/config", b"1"), ("model.sig", b"1")]);
    assert_eq!(refused(signer.try_sign(&model, &Recipe::default())), ["empty-model"]);
    // Empty directories are not recorded.
    models::write(&model, &[("a", b"")]);
    let bundle = signer.sign(&model, &Recipe::default());
    std::fs::create_dir(model.join("void")).unwrap();
    signer.verify(&model, &bundle).unwrap();
}

#[test]
fn trap_12_shards_refuse_empty_files() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::small(folder.path());
    let recipe = Recipe { method: Method::Shards(1000.try_into().unwrap()), ..Recipe::default() };
    let result = TestSigner::default().try_sign(&model, &recipe);
    assert_eq!(refused(result), ["empty-file-under-shards"]);
    std::fs::remove_file(model.join("empty")).unwrap();
    let signer = TestSigner::default();
    let bundle = signer.sign(&model, &recipe);
    let names = names(&bundle);
    assert!(names.contains(&"weights.bin:2000:3000".to_owned()), "{names:?}");
    signer.verify(&model, &bundle).unwrap();
    let mut bytes = std::fs::read(model.join("weights.bin")).unwrap();
    bytes[1500] ^= 1;
    std::fs::write(model.join("weights.bin"), bytes).unwrap();
    let said = refusal(signer.verify(&model, &bundle));
    assert!(said.contains("1 shard of 3"), "{said}");
}

#[test]
fn every_hash_and_method() {
    let folder = tempfile::tempdir().unwrap();
    models::write(folder.path(), &[("model/a", &[1; 100]), ("model/b", &[2; 7])]);
    let model = folder.path().join("model");
    let signer = TestSigner::default();
    for hash in HashAlgorithm::ALL {
        for method in [Method::Files, Method::Shards(16.try_into().unwrap())] {
            let recipe = Recipe { hash, method, ..Recipe::default() };
            let bundle = signer.sign(&model, &recipe);
            let verified = signer.verify(&model, &bundle).unwrap();
            assert_eq!(verified.claim().value().recipe, recipe);
            assert_eq!(verified.open_verified(&path("a")).unwrap().as_ref(), [1; 100]);
            std::fs::write(model.join("b"), [3; 7]).unwrap();
            assert_eq!(refused(signer.verify(&model, &bundle)), ["changed"]);
            std::fs::write(model.join("b"), [2; 7]).unwrap();
        }
    }
}

#[test]
fn too_many_shards_are_refused_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("huge");
    std::fs::File::create(&file).unwrap().set_len(1 << 40).unwrap();
    let recipe = Recipe { method: Method::Shards(1.try_into().unwrap()), ..Recipe::default() };
    let result = TestSigner::default().try_sign(&file, &recipe);
    assert!(matches!(fault(result), Fault::BundleTooLarge { .. }));
}

#[test]
fn limits_on_the_walk() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::small(folder.path());
    let mut limits = Limits::default();
    limits.entries = 3;
    let result = measure(&model, &Recipe::default(), &limits, work());
    assert!(matches!(fault(result), Fault::TooMany { limit: 3, .. }));
    limits.entries = 100;
    limits.name_bytes = 20;
    let result = measure(&model, &Recipe::default(), &limits, work());
    assert!(matches!(fault(result), Fault::TooMany { what: "bytes of names", .. }));
    limits.name_bytes = 1000;
    limits.depth = 1;
    let result = measure(&model, &Recipe::default(), &limits, work());
    assert!(matches!(fault(result), Fault::TooDeep { .. }));
}

/// Does something in the middle of a measurement.
struct Meanwhile<F>(AtomicBool, F);

impl<F: Fn() + Sync> Progress for Meanwhile<F> {
    fn start(&self, _: usize, _: u64) {}
    fn advance(&self, _: u64) {
        if !self.0.swap(true, Ordering::SeqCst) {
            (self.1)();
        }
    }
}

#[track_caller]
fn measured_while(change: impl Fn(&Path) + Sync) -> Fault {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    models::write(&model, &[("weights", &vec![1; 5 << 20])]);
    let meanwhile = Meanwhile(AtomicBool::new(false), || change(&model.join("weights")));
    let work = Work::new(1.try_into().unwrap()).progress(&meanwhile);
    fault(measure(&model, &Recipe::default(), &Limits::default(), work))
}

#[test]
fn a_file_that_changes_while_it_is_measured_is_named() {
    use std::io::{Seek as _, Write as _};
    let named =
        |fault: Fault| assert!(matches!(fault, Fault::Changed { path } if path == "weights"));
    named(measured_while(|file| {
        let mut file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
        file.seek(std::io::SeekFrom::End(-1)).unwrap();
        file.write_all(b"x").unwrap();
    }));
    named(measured_while(|file| {
        let mut file = std::fs::OpenOptions::new().append(true).open(file).unwrap();
        file.write_all(b"x").unwrap();
    }));
    named(measured_while(|file| {
        std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(1).unwrap();
    }));
}

/// Before it is signed, all is listed once more.
#[test]
fn what_is_added_while_a_model_is_measured_is_named() {
    let added = measured_while(|file| std::fs::write(file.with_file_name("extra"), b"x").unwrap());
    assert!(matches!(added, Fault::Changed { path } if path == "extra"));
    let linked = measured_while(|file| symlink(file, file.with_file_name("link")).unwrap());
    assert!(matches!(linked, Fault::Changed { path } if path == "link"));
}

#[test]
fn what_changes_during_a_verification_is_noticed_at_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    let prepare = || {
        let _ = std::fs::remove_dir_all(&model);
        models::write(&model, &[("1-large", &vec![1; 3 << 20]), ("2-small", b"1")]);
    };
    prepare();
    let signer = TestSigner::default();
    let bundle = signer.sign(&model, &Recipe::default());
    // When all bytes have been read.
    struct AtTheEnd<'a>(AtomicU64, &'a (dyn Fn() + Sync));
    impl Progress for AtTheEnd<'_> {
        fn start(&self, _: usize, bytes: u64) {
            self.0.store(bytes, Ordering::SeqCst);
        }
        fn advance(&self, bytes: u64) {
            if self.0.fetch_sub(bytes, Ordering::SeqCst) == bytes {
                (self.1)();
            }
        }
    }
    type Change<'a> = (&'a str, &'a (dyn Fn() + Sync), Option<&'a str>);
    let changes: [Change<'_>; 4] = [
        ("nothing", &|| (), None),
        (
            "a hashed file",
            &|| std::fs::write(model.join("1-large"), b"evil").unwrap(),
            Some("1-large"),
        ),
        (
            "a new file",
            &|| std::fs::write(model.join("0-evil.py"), b"evil").unwrap(),
            Some("0-evil.py"),
        ),
        ("a new link", &|| symlink("/etc", model.join("link")).unwrap(), Some("link")),
    ];
    for (what, change, named) in changes {
        prepare();
        let at_the_end = AtTheEnd(AtomicU64::new(0), change);
        let result = verify::verify(
            &bundle,
            LocalModel::open(&model).unwrap(),
            &signer.trust,
            bulla_testkit::now(),
            &Options::default(),
            &Limits::default(),
            Work::new(1.try_into().unwrap()).progress(&at_the_end),
        );
        match (result, named) {
            (Ok(_), None) => {}
            (Err(bulla::Failure::Fault(Fault::Changed { path })), Some(named)) => {
                assert_eq!(path, named, "{what}");
            }
            (other, _) => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn a_limit_on_the_models_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::small(folder.path());
    let mut limits = Limits::default();
    limits.model_bytes = 1000;
    let result = measure(&model, &Recipe::default(), &limits, work());
    assert!(matches!(fault(result), Fault::ModelTooLarge { limit: 1000, .. }));
    let signer = TestSigner::default();
    let result = verify::verify(
        &signer.sign(&model, &Recipe::default()),
        LocalModel::open(&model).unwrap(),
        &signer.trust,
        bulla_testkit::now(),
        &Options::default(),
        &limits,
        work(),
    );
    assert!(matches!(fault(result), Fault::ModelTooLarge { limit: 1000, .. }));
}

#[test]
fn a_file_that_is_replaced_between_listing_and_reading_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    models::write(&model, &[("1-large", &vec![1; 3 << 20]), ("2-small", b"1")]);
    for replacement in ["other", "link", "gone"] {
        let meanwhile = Meanwhile(AtomicBool::new(false), || {
            let small = model.join("2-small");
            std::fs::remove_file(&small).unwrap();
            match replacement {
                "other" => std::fs::write(&small, b"1").unwrap(),
                "link" => symlink("/etc/passwd", &small).unwrap(),
                _ => {}
            }
        });
        let work = Work::new(1.try_into().unwrap()).progress(&meanwhile);
        let result = measure(&model, &Recipe::default(), &Limits::default(), work);
        assert!(matches!(fault(result), Fault::Changed { path } if path == "2-small"));
        let _ = std::fs::remove_file(model.join("2-small"));
        std::fs::write(model.join("2-small"), b"1").unwrap();
    }
}

/// Nothing is read of it, and yet it has to be there.
#[test]
fn an_empty_file_that_is_gone_when_it_is_measured_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::small(folder.path());
    let source = LocalModel::open(&model).unwrap();
    let recipe = Recipe::default();
    let files = source.list(&Scope::to_sign(&recipe), &Limits::default()).unwrap().files;
    std::fs::remove_file(model.join("empty")).unwrap();
    let result = Manifest::measure(&source, &recipe, files, work());
    assert!(matches!(result, Err(Fault::Changed { path }) if path == "empty"));
}

#[test]
fn rule_16_what_is_opened_is_what_was_signed() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::small(folder.path());
    let signer = TestSigner::default();
    let bundle = signer.sign(&model, &Recipe::default());
    let verified = signer.verify(&model, &bundle).unwrap();
    assert_eq!(verified.open_verified(&path("config.json")).unwrap().as_ref(), b"{}");
    assert!(verified.open_verified(&path("nothing")).is_err());

    // Written to since, with every time put back.
    let file = model.join("config.json");
    let before = std::fs::metadata(&file).unwrap();
    std::fs::write(&file, b"[]").unwrap();
    let handle = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    handle.set_modified(before.modified().unwrap()).unwrap();
    assert!(verified.open_verified(&path("config.json")).is_err());
}

/// A model in memory, whose file is something else the second time, with the same identity.
#[derive(Debug)]
struct TwoFaced {
    opened: std::sync::atomic::AtomicUsize,
    after: &'static [u8],
}

impl bulla::ModelSource for TwoFaced {
    fn name(&self) -> &str {
        "memory"
    }
    fn layout(&self) -> Layout {
        Layout::Directory
    }
    fn list(&self, _: &Scope<'_>, _: &Limits) -> Result<Listing, Fault> {
        let mut files = vec![Found::new(path("weights"), IDENTITY)];
        if self.after == b"more" {
            files.insert(0, Found::new(path("unreadable"), IDENTITY));
        }
        Ok(Listing { files, ..Listing::default() })
    }
    fn open(&self, file: &Found) -> Result<Box<dyn ModelFile>, Fault> {
        if file.path.as_str() == "unreadable" {
            return Err(Fault::Changed { path: "unreadable".into() });
        }
        let first = self.opened.fetch_add(1, Ordering::SeqCst) == 0;
        Ok(Box::new(Memory(if first { b"good" } else { self.after })))
    }
}

const IDENTITY: Identity = Identity { size: 4, times: [0; 4], place: [0; 2] };

struct Memory(&'static [u8]);

impl ModelFile for Memory {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let rest = self.0.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        // One byte at a time: short reads are allowed.
        let count = rest.len().min(buffer.len()).min(1);
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
    fn identity(&self) -> std::io::Result<Identity> {
        Ok(IDENTITY)
    }
}

#[test]
fn rule_16_what_is_opened_is_hashed_whatever_its_identity_says() {
    let signer = TestSigner::default();
    let statement = bulla_testkit::bundles::statement(&[("weights", b"good")]);
    let bundle = signer.bundle_of(&serde_json::to_vec(&statement).unwrap());
    for (after, good) in [(&b"good"[..], true), (b"evil", false), (b"goo", false), (b"", false)] {
        let source = TwoFaced { opened: 0.into(), after };
        let verified = verify::verify(
            &bundle,
            source,
            &signer.trust,
            bulla_testkit::now(),
            &Options::default(),
            &Limits::default(),
            work(),
        )
        .unwrap();
        let opened = verified.open_verified(&path("weights"));
        if good {
            assert_eq!(opened.unwrap().as_ref(), after);
        } else {
            assert_eq!(refused(opened), ["changed"]);
        }
    }
}

/// A "no" that is known stays one when a file that is only looked at for its sake cannot be read.
#[test]
fn an_unreadable_extra_file_does_not_hide_a_refusal() {
    let signer = TestSigner::default();
    let statement = bulla_testkit::bundles::statement(&[("missing", b"x"), ("weights", b"good")]);
    let bundle = signer.bundle_of(&serde_json::to_vec(&statement).unwrap());
    let result = verify::verify(
        &bundle,
        TwoFaced { opened: 0.into(), after: b"more" },
        &signer.trust,
        bulla_testkit::now(),
        &Options::default(),
        &Limits::default(),
        work(),
    );
    assert_eq!(refused(result), ["extra", "missing"]);
}

fn verify_with(
    signer: &TestSigner,
    model: &Path,
    bundle: &[u8],
    options: &Options,
) -> Result<bulla::VerifiedModel<LocalModel>, bulla::Failure> {
    verify::verify(
        bundle,
        LocalModel::open(model)?,
        &signer.trust,
        bulla_testkit::now(),
        options,
        &Limits::default(),
        work(),
    )
}

#[test]
fn rule_3_weaker_checks_say_so_and_exempt_no_signed_file() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::small(folder.path());
    let signer = TestSigner::default();
    let bundle = signer.sign(&model, &Recipe::default());
    models::write(&model, &[("cache/x", b"1"), ("cache/y", b"2")]);
    assert_eq!(refused(signer.verify(&model, &bundle)), ["extra", "extra"]);

    let ignore = Options { ignore: vec![path("cache"), path("weights.bin")], ..Options::default() };
    let verified = verify_with(&signer, &model, &bundle, &ignore).unwrap();
    assert!(verified.notices().iter().any(|n| matches!(n, Notice::IgnoredByCaller(_))));
    let any = Options { ignore_unsigned_files: true, ..Options::default() };
    // Also beside a signed file of nearly the same name.
    std::fs::write(model.join("CONFIG.json"), b"x").unwrap();
    let verified = verify_with(&signer, &model, &bundle, &any).unwrap();
    assert!(verified.notices().iter().any(|n| matches!(n, Notice::Collisions(_))));
    std::fs::remove_file(model.join("CONFIG.json")).unwrap();
    let verified = verify_with(&signer, &model, &bundle, &any).unwrap();
    let Some(Notice::UnsignedFiles(files)) = verified.notices().first() else {
        panic!("{:?}", verified.notices());
    };
    assert_eq!(files, &["cache/x", "cache/y"]);
    symlink("a-b", model.join("link")).unwrap();
    let verified = verify_with(&signer, &model, &bundle, &any).unwrap();
    let files = Notice::UnsignedFiles(["cache/x", "cache/y", "link"].map(String::from).into());
    assert!(verified.notices().contains(&files));
    std::fs::remove_file(model.join("link")).unwrap();

    std::fs::write(model.join("weights.bin"), b"changed").unwrap();
    assert_eq!(refused(verify_with(&signer, &model, &bundle, &ignore)), ["changed"]);
    assert_eq!(refused(verify_with(&signer, &model, &bundle, &any)), ["changed"]);
    std::fs::remove_file(model.join("weights.bin")).unwrap();
    assert_eq!(refused(verify_with(&signer, &model, &bundle, &ignore)), ["missing"]);
    assert_eq!(refused(verify_with(&signer, &model, &bundle, &any)), ["missing"]);
    symlink("a-b", model.join("weights.bin")).unwrap();
    assert_eq!(refused(verify_with(&signer, &model, &bundle, &any)), ["unusable"]);
}

#[test]
fn rule_3_only_an_accepted_signature_chooses_the_recipe() {
    // A rogue re-signature that leaves everything out is by a key that nobody trusts.
    let folder = tempfile::tempdir().unwrap();
    let model = models::small(folder.path());
    let (signer, rogue) = (TestSigner::default(), TestSigner::default());
    let mut recipe = Recipe::default();
    recipe.ignore.insert(path("weights.bin"));
    let bundle = rogue.sign(&model, &recipe);
    assert_eq!(refused(signer.verify(&model, &bundle)), ["wrong-key"]);
}

#[test]
fn rule_1_places_that_nobody_vouches_for() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::small(folder.path());
    let signer = TestSigner::default();
    let bundle = signer.sign(&model, &Recipe::default());
    // Files of these names are for Bulla to read; a directory is a place to hide code in.
    models::write(&model, &[("claims.jsonl", b"{}"), ("model.sig", &bundle)]);
    assert!(signer.verify(&model, &bundle).unwrap().notices().is_empty());
    std::fs::remove_file(model.join("claims.jsonl")).unwrap();
    models::write(&model, &[("claims.jsonl/evil.py", b"import os")]);
    let said = refusal(signer.verify(&model, &bundle));
    assert!(said.contains("extra: claims.jsonl/evil.py"), "{said}");
    std::fs::remove_dir_all(model.join("claims.jsonl")).unwrap();
    // So is a link, wherever it leads, and anything else that is no file.
    models::write(folder.path(), &[("elsewhere/evil.py", b"import os")]);
    for name in ["claims.jsonl", "model.sig"] {
        std::fs::remove_file(model.join(name)).ok();
        for target in ["../elsewhere", "config.json"] {
            symlink(target, model.join(name)).unwrap();
            assert_eq!(refused(signer.verify(&model, &bundle)), ["unusable"]);
            std::fs::remove_file(model.join(name)).unwrap();
        }
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, model.join(name), mode).unwrap();
        assert_eq!(refused(signer.verify(&model, &bundle)), ["unusable"]);
        std::fs::remove_file(model.join(name)).unwrap();
    }
    // What the signer left out is named.
    models::write(&model, &[(".git/evil.py", b"import os")]);
    let verified = signer.verify(&model, &bundle).unwrap();
    assert_eq!(verified.notices(), [Notice::NotCovered(vec![path(".git")])]);
    // Below what the caller passes over, it is the caller's doing, whatever is signed there besides.
    let model2 = folder.path().join("second");
    models::write(&model2, &[("cache/kept", b"1")]);
    let bundle2 = signer.sign(&model2, &Recipe::default());
    models::write(&model2, &[("cache/other", b"2")]);
    let ignore = Options { ignore: vec![path("cache")], ..Options::default() };
    let verified = verify_with(&signer, &model2, &bundle2, &ignore).unwrap();
    assert_eq!(verified.notices(), [Notice::IgnoredByCaller(vec![path("cache/other")])]);
    std::fs::remove_file(model2.join("cache/other")).unwrap();
    assert!(verify_with(&signer, &model2, &bundle2, &ignore).unwrap().notices().is_empty());
    // Where the signer left nothing out, it is the specification that passes it over: a weaker check.
    std::fs::remove_dir_all(model.join(".git")).unwrap();
    let own = Recipe { ignore: [path("model.sig")].into(), ..Recipe::default() };
    let bundle = signer.sign(&model, &own);
    models::write(&model, &[(".git/evil.py", b"import os")]);
    let verified = signer.verify(&model, &bundle).unwrap();
    assert_eq!(verified.notices(), [Notice::PassedOverByDefault(vec![path(".git")])]);
    assert!(verified.notices()[0].is_weaker_check());
}

#[test]
fn rule_1_the_root_binds_no_names_and_the_other_digest_does() {
    let folder = tempfile::tempdir().unwrap();
    models::write(
        folder.path(),
        &[
            ("one/a.safetensors", b"1"),
            ("one/notes.txt", b"2"),
            ("two/b.bin", b"1"),
            ("two/setup.py", b"2"),
        ],
    );
    let measure = |name: &str, recipe: &Recipe| {
        measure(&folder.path().join(name), recipe, &Limits::default(), work()).unwrap()
    };
    let (one, two) = (measure("one", &Recipe::default()), measure("two", &Recipe::default()));
    assert_eq!(one.oms_root(), two.oms_root());
    assert_ne!(one.oms_manifest_v1(), two.oms_manifest_v1());
    // Ignored paths, symlink policy, method and hash are bound as well.
    let mut recipes = vec![Recipe::default(), follow()];
    recipes.push(Recipe { ignore: Default::default(), ..Recipe::default() });
    recipes.push(Recipe { hash: HashAlgorithm::Blake3, ..Recipe::default() });
    recipes.push(Recipe { method: Method::Shards(100.try_into().unwrap()), ..Recipe::default() });
    let digests: std::collections::BTreeSet<_> =
        recipes.iter().map(|r| measure("one", r).oms_manifest_v1()).collect();
    assert_eq!(digests.len(), recipes.len());
}

/// The text that `oms-manifest-v1` hashes, written out by hand.
#[test]
fn oms_manifest_v1_is_what_its_definition_says() {
    let folder = tempfile::tempdir().unwrap();
    models::write(folder.path(), &[("model/a\nb", b"1"), ("model/ä", b"")]);
    let recipe = Recipe {
        ignore: [path("x y"), path(".git")].into(),
        follow_symlinks: true,
        ..Recipe::default()
    };
    let model = folder.path().join("model");
    let manifest = measure(&model, &recipe, &Limits::default(), work()).unwrap();
    let text = "oms-manifest-v1 files sha256 0 true\n\
        ignore 4 .git\n\
        ignore 3 x y\n\
        6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b 3 a\nb\n\
        e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 2 ä\n";
    assert_eq!(manifest.oms_manifest_v1(), bulla::Digest::sha256(text.as_bytes()));
}

#[test]
fn rule_4_colliding_names_are_said() {
    let folder = tempfile::tempdir().unwrap();
    models::write(folder.path(), &[("model/Config.json", b"1"), ("model/config.json", b"2")]);
    let model = folder.path().join("model");
    let signer = TestSigner::default();
    let bundle = signer.sign(&model, &Recipe::default());
    let verified = signer.verify(&model, &bundle).unwrap();
    let expected = Notice::Collisions(vec![vec!["Config.json".into(), "config.json".into()]]);
    assert_eq!(verified.notices(), [expected]);
}

#[test]
fn the_signature_itself_is_not_told_as_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::small(folder.path());
    let mut recipe = Recipe::default();
    recipe.ignore.insert(path("a/own.sig"));
    let signer = TestSigner::default();
    let bundle = signer.sign(&model, &recipe);
    std::fs::write(model.join("a/own.sig"), &bundle).unwrap();
    let notices = |signature_path| {
        let options = Options { signature_path, ..Options::default() };
        let source = LocalModel::open(&model).unwrap();
        let (now, limits) = (bulla_testkit::now(), Limits::default());
        verify::verify(&bundle, source, &signer.trust, now, &options, &limits, work())
            .unwrap()
            .notices()
            .to_vec()
    };
    assert_eq!(notices(Some(path("a/own.sig"))), []);
    assert_eq!(notices(None), [Notice::NotCovered(vec![path("a/own.sig")])]);
}

#[test]
fn python_compatible_single_files() {
    let folder = tempfile::tempdir().unwrap();
    models::write(folder.path(), &[("weights.bin", b"1")]);
    let file = folder.path().join("weights.bin");
    let key = KeyPair::generate(KeyAlgorithm::EcdsaP256).unwrap();
    let signed = bulla::sign::sign(
        &LocalModel::open(&file).unwrap(),
        &Recipe::default(),
        Compatibility::ModelSigning,
        &KeySigner::new(key),
        bulla::sign::Known::Nothing,
        &Limits::default(),
        work(),
    )
    .unwrap();
    assert_eq!(names(&signed.bundle), ["."]);
    // Nothing is left out of a single file.
    let statement = statement_of(&signed.bundle);
    assert!(statement["predicate"]["serialization"].get("ignore_paths").is_none());
    assert_eq!(statement["subject"][0]["name"], "weights.bin");
}

#[test]
fn an_unreadable_file_is_a_fault_that_names_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let model = models::small(folder.path());
    let file = model.join("weights.bin");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::read(&file).is_ok() {
        return; // root reads everything
    }
    let fault = fault(TestSigner::default().try_sign(&model, &Recipe::default()));
    assert!(fault.to_string().contains("weights.bin"), "{fault}");
}
