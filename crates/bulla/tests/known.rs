//! Digests that a signer does not compute: a cache, and parts that others measured (rule 5).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bulla::jiff::Timestamp;
use bulla::model::{DigestCache, Method, Part, PartialManifest, Partials};
use bulla::sign::Known;
use bulla::{
    Failure, Fault, HashAlgorithm, Limits, LocalModel, Manifest, Options, Progress, Recipe,
};
use bulla_testkit::bundles::TestSigner;
use bulla_testkit::{models, path, refused, work};
use proptest::prelude::*;

/// Counts the bytes that are read.
#[derive(Default)]
struct Read(AtomicU64);

impl Progress for Read {
    fn start(&self, _: usize, _: u64) {}
    fn advance(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::SeqCst);
    }
}

fn open(model: &Path) -> LocalModel {
    LocalModel::open(model).unwrap()
}

fn measure(model: &Path, recipe: &Recipe, known: Known<'_>) -> (Manifest, u64) {
    let read = Read::default();
    let work = work().progress(&read);
    let manifest =
        bulla::sign::measure(&open(model), recipe, known, &Limits::default(), work).unwrap();
    (manifest, read.0.into_inner())
}

/// Later than anything that these tests write, so that it is remembered.
fn later() -> Timestamp {
    Timestamp::now() + Duration::from_secs(10)
}

fn cached(model: &Path, cache: &Path) -> (Manifest, u64) {
    let mut digests = DigestCache::load(cache).unwrap();
    let (manifest, read) = measure(model, &Recipe::default(), Known::Cache(&digests));
    digests.remember(&manifest, later());
    digests.store(cache).unwrap();
    (manifest, read)
}

#[test]
fn only_what_changed_is_hashed_again() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    let cache = folder.path().join("cache");
    for i in 0..16 {
        models::write(&model, &[(&format!("{i:02}"), &vec![i; 100_000])]);
    }
    let (first, read) = cached(&model, &cache);
    assert_eq!(read, 1_600_000);
    assert_eq!(std::fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o600);

    let (second, read) = cached(&model, &cache);
    assert_eq!(read, 0);
    assert_eq!(second.oms_manifest_v1(), first.oms_manifest_v1());

    models::write(&model, &[("03", &vec![99; 100_000])]);
    let (third, read) = cached(&model, &cache);
    assert_eq!(read, 100_000);
    let (fresh, _) = measure(&model, &Recipe::default(), Known::Nothing);
    assert_eq!(third.oms_manifest_v1(), fresh.oms_manifest_v1());
    assert_ne!(third.oms_manifest_v1(), first.oms_manifest_v1());
}

#[test]
fn a_cache_is_for_one_recipe() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path());
    let recipe = |hash, shard: u64| Recipe {
        hash,
        method: shard.try_into().map_or(Method::Files, Method::Shards),
        ..Recipe::default()
    };
    let mut digests = DigestCache::default();
    let (manifest, _) = measure(&model, &Recipe::default(), Known::Nothing);
    digests.remember(&manifest, later());
    for other in [recipe(HashAlgorithm::Blake3, 0), recipe(HashAlgorithm::Sha256, 1000)] {
        let (known, read) = measure(&model, &other, Known::Cache(&digests));
        assert_eq!(known.oms_root(), measure(&model, &other, Known::Nothing).0.oms_root());
        assert_eq!(read, known.total_size());
    }
}

#[test]
fn a_cache_with_too_many_digests_of_a_file_or_too_few_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights");
    std::fs::write(&file, [7; 10]).unwrap();
    let recipe = Recipe { method: Method::Shards(5.try_into().unwrap()), ..Recipe::default() };
    let mut digests = DigestCache::default();
    digests.remember(&measure(&file, &recipe, Known::Nothing).0, later());
    let cache = folder.path().join("cache");
    digests.store(&cache).unwrap();
    let mut json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&cache).unwrap()).unwrap();
    let one = json["entries"][0]["digests"][0].clone();
    for (count, expected) in [(0, 10), (1, 10), (2, 0), (3, 10)] {
        json["entries"][0]["digests"] = vec![one.clone(); count].into();
        let digests = DigestCache::decode(json.to_string().as_bytes()).unwrap();
        let (_, read) = measure(&file, &recipe, Known::Cache(&digests));
        assert_eq!(read, expected, "{count} digests");
    }
}

#[test]
fn rule_5_a_file_with_its_old_size_and_times_but_another_inode_is_hashed() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    let cache = folder.path().join("cache");
    models::write(&model, &[("weights", b"good")]);
    cached(&model, &cache);
    let before = std::fs::metadata(model.join("weights")).unwrap().modified().unwrap();
    std::fs::write(folder.path().join("evil"), b"evil").unwrap();
    std::fs::rename(folder.path().join("evil"), model.join("weights")).unwrap();
    let file = std::fs::File::options().write(true).open(model.join("weights")).unwrap();
    file.set_modified(before).unwrap();
    let (_, read) = cached(&model, &cache);
    assert_eq!(read, 4);
    // Written to in place, the modification time put back: the change time tells.
    std::fs::write(model.join("weights"), b"more").unwrap();
    std::fs::File::options()
        .write(true)
        .open(model.join("weights"))
        .unwrap()
        .set_modified(before)
        .unwrap();
    let (_, read) = cached(&model, &cache);
    assert_eq!(read, 4);
}

#[test]
fn rule_5_what_was_written_while_it_was_measured_is_not_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let model = models::small(folder.path());
    let (manifest, _) = measure(&model, &Recipe::default(), Known::Nothing);
    let mut digests = DigestCache::default();
    let now: Timestamp = SystemTime::now().try_into().unwrap();
    digests.remember(&manifest, now - Duration::from_secs(5));
    let (_, read) = measure(&model, &Recipe::default(), Known::Cache(&digests));
    assert_eq!(read, manifest.total_size());
}

#[track_caller]
fn no_cache(path: &Path) -> String {
    match DigestCache::load(path) {
        Err(fault @ Fault::DigestCache { .. }) => fault.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn rule_5_only_the_owner_may_write_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    assert!(DigestCache::load(&cache).is_ok(), "there is none yet");
    DigestCache::default().store(&cache).unwrap();
    assert!(DigestCache::load(&cache).is_ok());
    let mode = |mode| {
        std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for others_write in [0o620, 0o602, 0o666, 0o660] {
        mode(others_write);
        assert!(no_cache(&cache).contains("others than its owner can write it"));
    }
    for others_read in [0o600, 0o640, 0o644, 0o400] {
        mode(others_read);
        assert!(DigestCache::load(&cache).is_ok(), "{others_read:o}");
    }
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&cache, &link).unwrap();
    assert!(no_cache(&link).contains("symbolic link"));
    assert!(no_cache(folder.path()).contains("not a regular file"));
    let fifo = folder.path().join("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, mode).unwrap();
    assert!(no_cache(&fifo).contains("not a regular file"), "and nobody waits for a writer");
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&cache, Some(65_534), None).unwrap();
        assert!(no_cache(&cache).contains("belongs to user 65534"));
    }
}

#[test]
fn what_is_no_cache_is_neither_taken_nor_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    for text in [&b"my notes"[..], b"{}", b"{\"format\":\"bulla-digest-cache-v1\"", &[0xff, 0xfe]] {
        std::fs::write(&file, text).unwrap();
        assert!(no_cache(&file).contains("not a digest cache"));
        assert_eq!(std::fs::read(&file).unwrap(), text);
    }
    std::fs::write(&file, b"").unwrap();
    assert!(DigestCache::load(&file).is_ok());
}

fn part(text: &str) -> Part {
    Part::parse(text).unwrap()
}

fn partial(model: &Path, recipe: &Recipe, text: &str, job: &str) -> PartialManifest {
    let limits = Limits::default();
    let job = Some(job).filter(|job| !job.is_empty());
    bulla::sign::measure_part(&open(model), recipe, part(text), job, &limits, work()).unwrap()
}

fn named(parts: Vec<PartialManifest>) -> Vec<(String, PartialManifest)> {
    parts.into_iter().enumerate().map(|(i, part)| (format!("part-{i}.json"), part)).collect()
}

/// A model with something for several parts.
fn model(folder: &Path) -> PathBuf {
    let model = folder.join("model");
    for i in 0..9u8 {
        models::write(&model, &[(&format!("{i}.bin"), &vec![i; 1000 * usize::from(i) + 1])]);
    }
    model
}

#[test]
fn parts_together_sign_what_one_run_signs() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path());
    let signer = TestSigner::default();
    let shards = Recipe { method: Method::Shards(1000.try_into().unwrap()), ..Recipe::default() };
    let blake3 = Recipe { hash: HashAlgorithm::Blake3, ..Recipe::default() };
    for recipe in [Recipe::default(), shards, blake3] {
        let whole = measure(&model, &recipe, Known::Nothing).0;
        for of in [1, 2, 3, 7, 40] {
            let parts: Vec<PartialManifest> = (0..of)
                .map(|i| partial(&model, &recipe, &format!("{i}/{of}"), "job"))
                // Through the file.
                .map(|part| PartialManifest::decode(&part.encode()).unwrap())
                .rev()
                .collect();
            assert_eq!(parts.iter().map(PartialManifest::bytes).sum::<u64>(), whole.total_size());
            let partials = Partials::join(named(parts), Some("job")).unwrap();
            let (manifest, read) = measure(&model, &recipe, Known::Partials(&partials));
            assert_eq!(read, 0, "nothing is read twice");
            assert_eq!(manifest.oms_root(), whole.oms_root());
            assert_eq!(manifest.oms_manifest_v1(), whole.oms_manifest_v1());
            let signed = bulla::sign::sign(
                &open(&model),
                &recipe,
                bulla::Compatibility::Specification,
                signer.signer(),
                Known::Partials(&partials),
                &Limits::default(),
                work(),
            );
            assert!(signer.verify(&model, &signed.unwrap().bundle).is_ok());
        }
    }
}

#[test]
fn a_single_file_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.bin");
    std::fs::write(&file, vec![7; 10_000]).unwrap();
    let shards = Recipe { method: Method::Shards(1000.try_into().unwrap()), ..Recipe::default() };
    let parts = ["1/2", "2/2"].map(|text| partial(&file, &shards, text, ""));
    let partials = Partials::join(named(parts.into()), None).unwrap();
    let (manifest, read) = measure(&file, &shards, Known::Partials(&partials));
    assert_eq!(
        (manifest.oms_root(), read),
        (measure(&file, &shards, Known::Nothing).0.oms_root(), 0)
    );
}

#[test]
fn rule_5_parts_that_do_not_belong_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path());
    let recipe = Recipe::default();
    let of = |text: &str, job: &str| partial(&model, &recipe, text, job);
    let join = |parts: Vec<PartialManifest>, job| {
        refused(Partials::join(named(parts), job).map_err(Failure::from))
    };
    let good = || vec![of("0/3", "a"), of("1/3", "a"), of("2/3", "a")];
    assert!(Partials::join(named(good()), None).is_ok());
    assert!(Partials::join(named(good()), Some("a")).is_ok());

    // Another job than asked for, or than the others.
    let other_job = ["partial-of-other-job"; 3];
    assert_eq!(join(good(), Some("b")), other_job);
    assert_eq!(join(vec![of("0/2", "a"), of("1/2", "b")], None), ["partial-of-other-job"]);
    // Gaps.
    assert_eq!(join(vec![], None), ["partials-gap"]);
    assert_eq!(join(vec![of("0/3", "a"), of("2/3", "a")], None), ["partials-gap"]);
    // Overlaps; the same part of the same run, too.
    assert_eq!(
        join(vec![of("0/2", "a"), of("1/2", "a"), of("1/2", "a")], None),
        ["partials-overlap"]
    );
    assert_eq!(
        join(vec![of("0/2", "a"), of("2/2", "a")], None),
        ["partials-gap", "partials-overlap"]
    );
    // Other numbers of parts.
    let codes = join(vec![of("0/2", "a"), of("1/3", "a")], None);
    assert!(codes.contains(&"partials-disagree"), "{codes:?}");
    // Other recipes.
    let blake3 = Recipe { hash: HashAlgorithm::Blake3, ..Recipe::default() };
    let mut without = Recipe::default();
    without.ignore.insert(path("1.bin"));
    for other in [blake3, without] {
        let codes = join(vec![of("0/2", "a"), partial(&model, &other, "1/2", "a")], None);
        assert!(codes.contains(&"partials-disagree"), "{codes:?}");
    }
    // Other files, or other times, or the same ones under another name.
    let first = of("0/2", "a");
    let renamed = folder.path().join("renamed");
    std::fs::rename(&model, &renamed).unwrap();
    let second = partial(&renamed, &recipe, "1/2", "a");
    std::fs::rename(&renamed, &model).unwrap();
    assert_eq!(join(vec![first.clone(), second], None), ["partials-disagree"]);
    models::write(&model, &[("0.bin", b"2")]);
    assert_eq!(join(vec![first.clone(), of("1/2", "a")], None), ["partials-disagree"]);
    models::write(&model, &[("new.bin", b"2")]);
    assert_eq!(join(vec![first, of("1/2", "a")], None), ["partials-disagree"]);
}

#[test]
fn rule_5_a_model_that_is_not_what_was_measured_is_refused() {
    let recipe = Recipe::default();
    // A name for the run is for copies of the same files, and excuses nothing else.
    for job in ["", "a"] {
        let folder = tempfile::tempdir().unwrap();
        let model = model(folder.path());
        let parts = ["0/2", "1/2"].map(|text| partial(&model, &recipe, text, job));
        let partials = Partials::join(named(parts.into()), None).unwrap();
        let measure = |model: &Path, recipe: &Recipe| {
            let known = Known::Partials(&partials);
            bulla::sign::measure(&open(model), recipe, known, &Limits::default(), work())
        };
        assert!(measure(&model, &recipe).is_ok());
        let blake3 = Recipe { hash: HashAlgorithm::Blake3, ..Recipe::default() };
        assert_eq!(refused(measure(&model, &blake3)), ["partials-of-other-model"]);

        let renamed = folder.path().join("renamed");
        std::fs::rename(&model, &renamed).unwrap();
        assert_eq!(refused(measure(&renamed, &recipe)), ["partials-of-other-model"]);
        std::fs::rename(&renamed, &model).unwrap();
        assert!(measure(&model, &recipe).is_ok());

        // Written to since, the size as it was.
        models::write(&model, &[("0.bin", b"x")]);
        assert_eq!(refused(measure(&model, &recipe)), ["partials-of-other-model"]);
        models::write(&model, &[("extra.bin", b"x")]);
        assert_eq!(refused(measure(&model, &recipe)), ["partials-of-other-model"]);
    }
}

/// Without a name for the run, the files' change times stand for it: they cannot be put back.
#[test]
fn rule_5_parts_without_a_job_are_of_the_very_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path());
    let recipe = Recipe::default();
    for job in ["", "a"] {
        let first = partial(&model, &recipe, "0/2", job);
        let modified = std::fs::metadata(model.join("3.bin")).unwrap().modified().unwrap();
        let bytes = std::fs::read(model.join("3.bin")).unwrap();
        std::fs::write(model.join("3.bin"), &bytes).unwrap();
        let file = std::fs::File::options().write(true).open(model.join("3.bin")).unwrap();
        file.set_modified(modified).unwrap();
        let second = partial(&model, &recipe, "1/2", job);
        let joined = Partials::join(named(vec![first.clone(), second]), None);
        // All parts of before.
        let result = match job {
            "" => {
                assert_eq!(refused(joined.map_err(Failure::from)), ["partials-disagree"]);
                Partials::join(named(vec![partial(&model, &recipe, "0/1", job)]), None)
            }
            _ => joined,
        };
        file.set_modified(modified).unwrap();
        let known = Known::Partials(result.as_ref().unwrap());
        let measured =
            bulla::sign::measure(&open(&model), &recipe, known, &Limits::default(), work());
        match job {
            "" => assert_eq!(refused(measured), ["partials-of-other-model"]),
            _ => assert!(measured.is_ok()),
        }
    }
}

#[test]
fn rule_5_a_damaged_part_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path());
    let good = String::from_utf8(partial(&model, &Recipe::default(), "0/2", "a").encode()).unwrap();
    let damaged = [
        ("cut short", good[..good.len() / 2].to_owned()),
        ("empty", String::new()),
        ("another format", good.replace("partial-manifest-v1", "partial-manifest-v2")),
        ("another part's digests", good.replace("\"part\":0", "\"part\":1")),
        ("a part that is none", good.replace("\"part\":0", "\"part\":2")),
        ("no parts", good.replace("\"of\":2", "\"of\":0")),
        ("too many parts", good.replace("\"of\":2", "\"of\":99999999")),
        ("an unknown hash", good.replace("\"sha256\"", "\"md5\"")),
        ("shards without a size", good.replace("\"files\",\"hash\"", "\"shards\",\"hash\"")),
        ("an unknown layout", good.replace("\"directory\"", "\"bucket\"")),
        ("a path out of the model", good.replace("\"0.bin\"", "\"../0.bin\"")),
        ("a file twice", good.replace("\"1.bin\"", "\"0.bin\"")),
        ("no digest", good.replace("\"digest\":\"", "\"digest\":\"x")),
        ("a key twice", good.replace("\"job\":", "\"job\":\"b\",\"job\":")),
        ("a key more", good.replace("\"job\":", "\"more\":1,\"job\":")),
    ];
    for (what, text) in damaged {
        assert_ne!(text, good, "{what}");
        assert!(PartialManifest::decode(text.as_bytes()).is_err(), "{what}");
    }
    // Told before the work is shared out between that many.
    let many = good.replace("\"of\":2", "\"of\":65537");
    assert!(PartialManifest::decode(many.as_bytes()).unwrap_err().contains("no part 0 of 65537"));
    let huge = good
        .replace("\"files\",\"hash\"", "\"shards\",\"hash\"")
        .replace("\"shard_size\":0", "\"shard_size\":1")
        .replace("\"size\":1,", "\"size\":18446744073709551615,");
    assert!(PartialManifest::decode(huge.as_bytes()).unwrap_err().contains("more than"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_model_in_any_number_of_parts(
        sizes in prop::collection::vec(0usize..5000, 1..20),
        of in 1u32..9,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        for (i, size) in sizes.iter().enumerate() {
            models::write(&model, &[(&format!("{i}"), &vec![1; *size])]);
        }
        let recipe = Recipe::default();
        let parts = (0..of).map(|i| partial(&model, &recipe, &format!("{i}/{of}"), "")).collect();
        let partials = Partials::join(named(parts), None).unwrap();
        let (manifest, _) = measure(&model, &recipe, Known::Partials(&partials));
        prop_assert_eq!(manifest.oms_root(), measure(&model, &recipe, Known::Nothing).0.oms_root());
    }
}

/// Verifies with options, and says how many bytes were read.
fn verify(
    signer: &TestSigner,
    model: &Path,
    bundle: &[u8],
    options: &Options,
) -> (Result<bulla::VerifiedModel<LocalModel>, Failure>, u64) {
    let read = Read::default();
    let result = bulla::verify::verify(
        bundle,
        open(model),
        &signer.trust,
        bulla_testkit::now(),
        options,
        &Limits::default(),
        work().progress(&read),
    );
    (result, read.0.into_inner())
}

#[test]
fn rule_3_a_part_is_a_weaker_check_and_all_parts_are_a_full_one() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path());
    let signer = TestSigner::default();
    let shards = Recipe { method: Method::Shards(700.try_into().unwrap()), ..Recipe::default() };
    for recipe in [Recipe::default(), shards] {
        let bundle = signer.sign(&model, &recipe);
        let of = |text: &str| Options { part: Some(part(text)), ..Options::default() };
        let mut all = 0;
        for i in 0..3 {
            let (result, read) = verify(&signer, &model, &bundle, &of(&format!("{i}/3")));
            let verified = result.unwrap();
            assert!(verified.notices().iter().any(|n| n.is_weaker_check()));
            all += read;
        }
        assert_eq!(all, (0..9).map(|i| 1000 * i + 1).sum::<u64>(), "each byte once");

        // Changed contents show in one part; what is missing or extra in all of them.
        let refusals = || {
            (0..3).filter(|i| verify(&signer, &model, &bundle, &of(&format!("{i}/3"))).0.is_err())
        };
        let good = std::fs::read(model.join("8.bin")).unwrap();
        let mut bad = good.clone();
        bad[4000] ^= 1;
        std::fs::write(model.join("8.bin"), &bad).unwrap();
        assert_eq!(refusals().count(), 1);
        // What is opened is checked, whichever part it belongs to.
        let i = (0..3).find(|i| verify(&signer, &model, &bundle, &of(&format!("{i}/3"))).0.is_ok());
        let (verified, _) = verify(&signer, &model, &bundle, &of(&format!("{}/3", i.unwrap())));
        assert_eq!(refused(verified.unwrap().open_verified(&path("8.bin"))), ["changed"]);
        std::fs::write(model.join("8.bin"), &good).unwrap();
        assert_eq!(refusals().count(), 0);
        models::write(&model, &[("extra", b"x")]);
        assert_eq!(refusals().count(), 3);
        std::fs::remove_file(model.join("extra")).unwrap();
        std::fs::rename(model.join("1.bin"), folder.path().join("1.bin")).unwrap();
        for i in 0..3 {
            let (result, _) = verify(&signer, &model, &bundle, &of(&format!("{i}/3")));
            assert_eq!(refused(result), ["missing"], "and no other file for another one's digest");
        }
        std::fs::rename(folder.path().join("1.bin"), model.join("1.bin")).unwrap();
    }
}

/// Sizes are not signed under `files`. Were the work shared out by them, a bad file could be in nobody's part.
#[test]
fn rule_3_a_file_stays_in_its_part_whatever_size_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    models::write(&model, &[("f", &[1; 1000]), ("x", &vec![2; 1_000_000])]);
    let signer = TestSigner::default();
    let bundle = signer.sign(&model, &Recipe::default());
    let mut refusals = Vec::new();
    for size in [1, 1000, 2_000_000] {
        models::write(&model, &[("f", &vec![9; size])]);
        for text in ["0/2", "1/2"] {
            let options = Options { part: Some(part(text)), ..Options::default() };
            if verify(&signer, &model, &bundle, &options).0.is_err() {
                refusals.push(text);
            }
        }
    }
    assert_eq!(refusals, [refusals[0]; 3], "always the same part");
}

#[test]
fn rule_3_only_what_is_named_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model");
    let files =
        [("a/1", &b"1"[..]), ("a/2", b"22"), ("ab", b"333"), ("b/c/d", b"4444"), ("top", b"55555")];
    models::write(&model, &files);
    let signer = TestSigner::default();
    let bundle = signer.sign(&model, &Recipe::default());
    let only = |paths: &[&str]| Options {
        only: paths.iter().map(|text| path(text)).collect(),
        ..Options::default()
    };
    for (paths, bytes) in [
        (&["a"][..], 3),
        (&["a/2"], 2),
        (&["ab"], 3),
        (&["b"], 4),
        (&["b/c"], 4),
        (&["a", "top", "a/1"], 8),
    ] {
        let (result, read) = verify(&signer, &model, &bundle, &only(paths));
        assert_eq!(read, bytes, "{paths:?}");
        let verified = result.unwrap();
        assert!(verified.notices().iter().any(|n| n.is_weaker_check()), "{paths:?}");
        assert_eq!(verified.manifest().total_size(), bytes);
        assert_eq!(verified.open_verified(&path("top")).is_ok(), paths.contains(&"top"));
    }
    for nothing in ["c", "a/3", "b/c/d/e", "to", "model.sig"] {
        let (result, _) = verify(&signer, &model, &bundle, &only(&["a", nothing]));
        assert_eq!(refused(result), ["nothing-signed"], "{nothing}");
    }
    let codes = |paths: &[&str]| {
        verify(&signer, &model, &bundle, &only(paths))
            .0
            .map(|_| ())
            .map_err(|f| refused::<()>(Err(f)))
    };
    // What lies beside may differ; what lies below may not.
    std::fs::write(model.join("top"), b"other").unwrap();
    std::fs::remove_file(model.join("ab")).unwrap();
    models::write(&model, &[("extra", b"x"), ("to", b"x")]);
    assert_eq!(codes(&["a"]), Ok(()));
    assert_eq!(codes(&["top"]), Err(vec!["changed"]), "a name that begins alike lies beside");
    models::write(&model, &[("a/evil.py", b"x")]);
    assert_eq!(codes(&["a"]), Err(vec!["extra"]));
    assert_eq!(codes(&["a/1"]), Ok(()));
    std::fs::write(model.join("a/1"), b"9").unwrap();
    assert_eq!(codes(&["a"]), Err(vec!["changed", "extra"]));
    // A name that is not UTF-8 lies beside, too.
    use std::os::unix::ffi::OsStrExt as _;
    let odd = model.join(std::ffi::OsStr::from_bytes(b"\xff"));
    std::fs::write(&odd, b"x").unwrap();
    assert_eq!(codes(&["a/1"]), Err(vec!["changed"]));
    std::fs::rename(&odd, model.join("a").join(std::ffi::OsStr::from_bytes(b"\xff"))).unwrap();
    assert_eq!(codes(&["a"]), Err(vec!["changed", "extra", "unusable"]));
    // A link on the way is no way.
    std::fs::rename(model.join("b"), model.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", model.join("b")).unwrap();
    assert!(codes(&["b/c"]).unwrap_err().contains(&"unusable"));
}
