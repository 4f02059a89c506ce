//! Chains that stand, and every way in which one breaks.

use std::process::Command;

use crate::story::{FOLDERS, Story, halves, names, text};

#[test]
fn the_story() {
    let story = Story::new();
    let lineage = story.lineage(0);
    assert_eq!(lineage["stands"], true);
    assert_eq!(names(&lineage), ["deployed", "tuned", "adapter", "base", "texts"]);
    assert_eq!(lineage["levels"]["SLSA_BUILD_LEVEL_1"], 4);
    let said = story.yes(&format!("lineage dia/deployed {FOLDERS}"));
    assert!(
        said.contains("├── tuned (base-model): finetune, SLSA build L1, signed by ben"),
        "{said}"
    );
    assert!(said.contains("tuned: SLSA_BUILD_LEVEL_1; level 2 needs"), "{said}");
    assert!(said.contains("weakest"), "{said}");
}

#[test]
fn broken_chains() {
    // Each on a copy of the story, which is made once.
    let story = Story::new();
    let copy = || {
        let copy = Story(tempfile::tempdir().unwrap());
        let status = Command::new("cp")
            .arg("-a")
            .arg(format!("{}/.", story.0.path().display()))
            .arg(copy.0.path())
            .status()
            .unwrap();
        assert!(status.success());
        copy
    };

    let removed = copy();
    std::fs::remove_dir_all(removed.path("ana/base")).unwrap();
    removed.refused("base", "unverified-parent");

    let renamed = copy();
    std::fs::rename(renamed.path("ana/base/vocab.txt"), renamed.path("ana/base/words.txt"))
        .unwrap();
    renamed.refused("base", "renamed");
    // Signed anew, the contents' digest is the same, in the same order: only the one that binds names tells.
    let digest = |story: &Story| text(&story.json("digest ana/base", 0)["oms"]);
    assert_eq!(digest(&renamed), digest(&story));
    renamed.yes("sign ana/base --key ana/ana.key");
    renamed.refused("base", "unverified-parent");

    let swapped = copy();
    swapped.write("ben/texts/one.txt", b"poison");
    swapped.refused("texts", "other-data");

    let wrong_party = copy();
    std::fs::remove_file(wrong_party.path("ben/tuned/claims.jsonl")).unwrap();
    wrong_party.yes(
        "attest provenance ben/tuned --kind finetune --base-model ana/base --dataset ben/texts --key cem/cem.key --trust trust.yaml",
    );
    wrong_party.refused("tuned", "wrong-party");

    let cycle = copy();
    std::fs::remove_file(cycle.path("ana/base/claims.jsonl")).unwrap();
    cycle.yes(
        "attest provenance ana/base --kind finetune --base-model ben/tuned --key ana/ana.key --trust trust.yaml",
    );
    cycle.refused("base", "cycle");

    let root = copy();
    std::fs::remove_file(root.path("ben/tuned/claims.jsonl")).unwrap();
    root.yes("attest provenance ben/tuned --kind pretrain --key ben/ben.key");
    root.refused("tuned", "may-not-say-no-parents");
}

#[test]
fn conversions_are_done_again() {
    let story = Story::new();
    story.write("cem/half/config.json", br#"{"torch_dtype":"float16"}"#);
    story.write("cem/half/vocab.txt", b"a b c");
    // 0.1, -2.5 and 3.0, rounded to nearest.
    story.write("cem/half/model.safetensors", &halves(&[0x2e66, 0xc100, 0x4200]));
    story.yes("sign cem/half --key cem/cem.key");
    let attest = "attest conversion cem/half --base-model ana/base --conversion f32-to-f16 --key cem/cem.key --trust trust.yaml";
    story.yes(attest);
    let walk = "lineage cem/half --trust trust.yaml --in ana --in ben";
    let plain = story.json(walk, 0);
    assert_eq!(plain["hops"][0]["rederived"], false);
    let again = story.json(&format!("{walk} --rederive"), 0);
    assert_eq!(again["hops"][0]["rederived"], true);
    assert_eq!(again["levels"]["BULLA_REDERIVED"], 1);

    // What a signature leaves out is no part of a model.
    story.write("cem/half/notes.txt", b"mine");
    story.yes("sign cem/half --key cem/cem.key --ignore notes.txt");
    story.yes(attest);
    assert_eq!(story.json(&format!("{walk} --rederive"), 0)["hops"][0]["rederived"], true);
    std::fs::remove_file(story.path("cem/half/notes.txt")).unwrap();

    // What a signed link leads to is part of it.
    std::fs::rename(story.path("cem/half/vocab.txt"), story.path("cem/half/.vocab")).unwrap();
    std::os::unix::fs::symlink(".vocab", story.path("cem/half/vocab.txt")).unwrap();
    story.yes("sign cem/half --key cem/cem.key --follow-symlinks --ignore .vocab");
    story.yes(attest);
    assert_eq!(story.json(&format!("{walk} --rederive"), 0)["hops"][0]["rederived"], true);
    std::fs::remove_file(story.path("cem/half/vocab.txt")).unwrap();
    std::fs::rename(story.path("cem/half/.vocab"), story.path("cem/half/vocab.txt")).unwrap();

    // One bit off: it is not attested, and who attests it all the same is found out.
    story.write("cem/half/model.safetensors", &halves(&[0x2e67, 0xc100, 0x4200]));
    story.yes("sign cem/half --key cem/cem.key");
    let said = story.says(attest, 1);
    assert!(said.contains("weight"), "{said}");
    let claims = story.path("cem/half/claims.jsonl");
    assert_eq!(std::fs::read_to_string(claims).unwrap().lines().count(), 3);
    story.yes(&attest.replace("f32-to-f16", "another-way"));
    story.yes(walk);
}

/// A data lake is taken by its signature: its files need not be here.
#[test]
fn data_by_their_signature() {
    let story = Story::new();
    story.write("lake/part-0", b"rows");
    story.yes("sign lake --key ben/ben.key --shard-size 64MiB --hash blake3");
    std::fs::remove_file(story.path("lake/part-0")).unwrap();
    story.yes(
        "attest provenance cem/adapter --kind adapter --base-model ben/tuned --dataset-by-signature lake/model.sig --key cem/cem.key --trust trust.yaml",
    );
    let claims = std::fs::read_to_string(story.path("cem/adapter/claims.jsonl")).unwrap();
    let last = claims.lines().last().unwrap();
    std::fs::write(story.path("cem/adapter/claims.jsonl"), format!("{last}\n")).unwrap();
    let walk = "lineage cem/adapter --trust trust.yaml --in ana --in ben";
    story.says(walk, 1);
    let found = story.json(&format!("{walk} --in ."), 0);
    let lake = found["hops"].as_array().unwrap().iter().find(|hop| hop["name"] == "lake").unwrap();
    assert_eq!(lake["standing"], "signed");
    let said = story.says(
        "attest provenance cem/adapter --kind adapter --base-model ben/tuned --dataset-by-signature lake/model.sig --key cem/cem.key --input-key ana/ana.pub",
        1,
    );
    assert!(said.contains("ben/tuned: signed by nobody who is named"), "{said}");
}

#[test]
fn a_base_by_its_uri() {
    let story = Story::new();
    let base = story.json("digest ana/base", 0);
    let (oms, manifest) = (text(&base["oms"]), text(&base["oms_manifest_v1"]));
    story.yes(&format!(
        "attest provenance cem/adapter --kind adapter --base-model pkg:huggingface/ana/base@main#{oms},{manifest} --key cem/cem.key"
    ));
    story.yes("lineage cem/adapter --trust trust.yaml --in ana --in ben");
}

#[test]
fn verdicts_stand_in_for_what_cannot_be_fetched() {
    let story = Story::new();
    let mut trust = std::fs::read_to_string(story.path("trust.yaml")).unwrap();
    story.yes("key generate --no-password --output gate.key");
    let shown = story.json("key show gate.pub", 0);
    let gate = format!(
        "signing_authorities:\n  gate: {{ type: key, may_sign: [vsa], keys: [{{ public_key: gate.pub, fingerprint: {} }}] }}\n",
        shown["fingerprint"]
    );
    trust = trust.replace("signing_authorities:\n", &gate);
    trust.push_str("  verifiers: [{ id: \"https://gate.example\", signer: gate }]\n");
    story.write("trust.yaml", trust.as_bytes());
    let verdict = "attest verdict ben/tuned --in ana --in ben --trust trust.yaml --verifier https://gate.example --key gate.key --output tuned.verdict";
    story.yes(verdict);
    // The model and all that it came from is gone; the verdict lies with another model.
    for gone in ["ana/base", "ben/tuned", "ben/texts"] {
        std::fs::remove_dir_all(story.path(gone)).unwrap();
    }
    let lineage = story.lineage(1);
    assert_eq!(names(&lineage), ["deployed", "tuned", "adapter"]);
    let line = std::fs::read(story.path("tuned.verdict")).unwrap();
    let claims = story.path("dia/deployed/claims.jsonl");
    let mut all = std::fs::read(&claims).unwrap();
    all.extend_from_slice(&line);
    std::fs::write(&claims, all).unwrap();
    let lineage = story.lineage(0);
    assert_eq!(lineage["hops"][1]["standing"], "stood-for");
}

#[test]
fn a_no_is_signed_too() {
    let story = Story::new();
    std::fs::remove_dir_all(story.path("ana/base")).unwrap();
    story.says(
        "attest verdict ben/tuned --in ana --trust trust.yaml --verifier https://gate.example --key dia/dia.key --output verdict.json",
        1,
    );
    let said = story.yes("inspect verdict.json");
    assert!(said.contains("https://slsa.dev/verification_summary/v1"), "{said}");
}

/// A copy that was changed is not the model that its signature is of: a "no" to that would take the model from everybody.
#[test]
fn no_verdict_about_what_is_not_here() {
    let story = Story::new();
    story.write("ben/tuned/weights.bin", b"changed on the way");
    let said = story.says(
        "attest verdict ben/tuned --in ana --trust trust.yaml --verifier https://gate.example --key dia/dia.key --output verdict.json",
        1,
    );
    assert!(said.contains("weights.bin"), "{said}");
    assert!(!story.path("verdict.json").exists());
}

/// What was let pass is no pass.
#[test]
fn no_verdict_with_parents_that_nobody_vouches_for() {
    let story = Story::new();
    std::fs::remove_dir_all(story.path("ana/base")).unwrap();
    let trust = std::fs::read_to_string(story.path("trust.yaml")).unwrap();
    let trust = trust.replace("lineage:\n", "lineage:\n  unverified_parents: allow\n");
    story.write("trust.yaml", trust.as_bytes());
    story.lineage(0);
    let said = story.says(
        "attest verdict ben/tuned --in ana --in ben --trust trust.yaml --verifier https://gate.example --key dia/dia.key --output verdict.json",
        2,
    );
    assert!(said.contains("nobody vouches for base"), "{said}");
    assert!(!story.path("verdict.json").exists());
}
