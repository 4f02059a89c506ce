//! What a trusted key may have signed and a verifier must refuse all the same: one vector for each
//! defect, named after it. All of them carry a good signature.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bulla_testkit::bundles::{TestSigner, set_root, statement};
use bulla_testkit::{models, refusal, refused};
use serde_json::{Value, json};

/// A model with `a` and `b`, and a statement that fits it.
fn fitting() -> (tempfile::TempDir, TestSigner, Value) {
    let folder = tempfile::tempdir().unwrap();
    models::write(folder.path(), &[("model/a", b"1"), ("model/b", b"2")]);
    (folder, TestSigner::default(), statement(&[("a", b"1"), ("b", b"2")]))
}

/// Applies a defect to a statement that fits, and returns the text of the refusal.
#[track_caller]
fn with_defect(defect: impl FnOnce(&mut Value)) -> String {
    let (folder, signer, mut statement) = fitting();
    let model = folder.path().join("model");
    signer.verify_statement(&model, &statement).expect("the statement fits before");
    defect(&mut statement);
    refusal(signer.verify_statement(&model, &statement))
}

#[track_caller]
fn accepted(change: impl FnOnce(&mut Value)) {
    let (folder, signer, mut statement) = fitting();
    change(&mut statement);
    signer.verify_statement(&folder.path().join("model"), &statement).expect("accepted");
}

fn serialization(statement: &mut Value) -> &mut Value {
    &mut statement["predicate"]["serialization"]
}

fn resource(statement: &mut Value, index: usize) -> &mut Value {
    &mut statement["predicate"]["resources"][index]
}

#[test]
fn wrong_statement_type() {
    let said = with_defect(|s| s["_type"] = "https://in-toto.io/Statement/v0.1".into());
    assert!(said.contains("_type"), "{said}");
}

#[test]
fn wrong_predicate_type() {
    for kind in [
        "https://slsa.dev/provenance/v1",
        "https://model_signing/signature/v2.0",
        "https://model_signing/signature/v1.",
        "https://model_signing/signature/v1.0x",
        "https://model_signing/signature/v10",
        "https://model_signing/signature/v1.00",
        "https://model_signing/signature/v1.01",
    ] {
        let (folder, signer, mut statement) = fitting();
        statement["predicateType"] = kind.into();
        let result = signer.verify_statement(&folder.path().join("model"), &statement);
        assert_eq!(refused(result), ["wrong-predicate-type"], "{kind}");
    }
}

#[test]
fn any_minor_version_is_read() {
    accepted(|s| s["predicateType"] = "https://model_signing/signature/v1.1".into());
    accepted(|s| s["predicateType"] = "https://model_signing/signature/v1.12".into());
}

#[test]
fn unknown_members() {
    // Of the predicate: none in v1.0, ignored in what comes after it.
    assert!(with_defect(|s| s["predicate"]["new"] = json!(1)).contains("\"new\""));
    accepted(|s| {
        s["predicateType"] = "https://model_signing/signature/v1.1".into();
        s["predicate"]["new"] = json!(1);
    });
    // Of the recipe: never, for it would change what is measured.
    assert!(with_defect(|s| serialization(s)["new"] = json!(1)).contains("unknown field"));
    assert!(
        with_defect(|s| {
            s["predicateType"] = "https://model_signing/signature/v1.1".into();
            serialization(s)["new"] = json!(1);
        })
        .contains("unknown field")
    );
    // Of the statement: the schema is closed.
    assert!(with_defect(|s| s["new"] = json!(1)).contains("unknown field"));
    // Of a resource: ignored.
    accepted(|s| resource(s, 0)["annotations"] = json!({ "size": 1 }));
}

#[test]
fn no_or_several_subjects() {
    assert!(with_defect(|s| s["subject"] = json!([])).contains("0 subjects"));
    assert!(
        with_defect(|s| {
            let one = s["subject"][0].clone();
            s["subject"] = json!([one, one]);
        })
        .contains("2 subjects")
    );
}

#[test]
fn a_subject_without_a_name_or_a_digest() {
    assert!(with_defect(|s| s["subject"][0]["name"] = "".into()).contains("no name"));
    assert!(with_defect(|s| s["subject"][0]["digest"] = json!({})).contains("SHA-256"));
    assert!(
        with_defect(|s| s["subject"][0]["digest"] = json!({ "sha512": "00" })).contains("SHA-256")
    );
    assert!(
        with_defect(|s| {
            let upper = s["subject"][0]["digest"]["sha256"].as_str().unwrap().to_uppercase();
            s["subject"][0]["digest"]["sha256"] = upper.into();
        })
        .contains("lower-case")
    );
    accepted(|s| s["subject"][0]["name"] = "another name".into());
}

#[test]
fn a_root_that_contradicts_the_resources() {
    let said = with_defect(|s| s["subject"][0]["digest"]["sha256"] = "00".repeat(32).into());
    assert!(said.contains("contradicts itself"), "{said}");
    // Also when they only stand in another order than the root was computed in.
    let said = with_defect(|s| s["predicate"]["resources"].as_array_mut().unwrap().reverse());
    assert!(said.contains("contradicts itself"), "{said}");
}

#[test]
fn trap_1_any_order_is_accepted_if_the_root_fits() {
    accepted(|s| {
        s["predicate"]["resources"].as_array_mut().unwrap().reverse();
        set_root(s);
    });
}

#[test]
fn no_resources() {
    let said = with_defect(|s| {
        s["predicate"]["resources"] = json!([]);
        set_root(s);
    });
    assert!(said.contains("lists no file"), "{said}");
}

#[test]
fn trap_5_duplicate_names() {
    let said = with_defect(|s| {
        let one = resource(s, 0).clone();
        s["predicate"]["resources"].as_array_mut().unwrap().push(one);
        set_root(s);
    });
    assert!(said.contains("twice"), "{said}");
}

#[test]
fn trap_5_names_that_are_not_paths_from_the_root() {
    for (name, says) in [
        ("", "empty"),
        ("/a", "absolute"),
        ("../secret", "leaves the model"),
        ("x/../a", "leaves the model"),
        ("./a", "shortest form"),
        ("x//a", "shortest form"),
        ("a/", "shortest form"),
        (".", "shortest form"),
        ("a\0", "NUL"),
    ] {
        let said = with_defect(|s| resource(s, 0)["name"] = name.into());
        assert!(said.contains(says), "{name:?}: {said}");
    }
}

#[test]
fn trap_5_upper_case_digests() {
    let said = with_defect(|s| {
        let upper = resource(s, 0)["digest"].as_str().unwrap().to_uppercase();
        resource(s, 0)["digest"] = upper.into();
    });
    assert!(said.contains("lower-case"), "{said}");
}

#[test]
fn digests_of_another_length() {
    for digest in ["", "00", "zz"] {
        assert!(with_defect(|s| resource(s, 0)["digest"] = digest.into()).contains("lower-case"));
    }
}

#[test]
fn trap_5_an_algorithm_that_contradicts_hash_type() {
    let said = with_defect(|s| resource(s, 0)["algorithm"] = "blake3".into());
    assert!(said.contains("hash_type"), "{said}");
    let said = with_defect(|s| serialization(s)["hash_type"] = "blake3".into());
    assert!(said.contains("hash_type"), "{said}");
    assert!(with_defect(|s| serialization(s)["hash_type"] = "md5".into()).contains("md5"));
    assert!(with_defect(|s| serialization(s)["hash_type"] = "SHA256".into()).contains("SHA256"));
}

#[test]
fn trap_5_ignoring_everything_with_no_resources() {
    let said = with_defect(|s| {
        s["predicate"]["resources"] = json!([]);
        serialization(s)["ignore_paths"] = json!(["."]);
        set_root(s);
    });
    assert!(said.contains("shortest form") || said.contains("no file"), "{said}");
}

#[test]
fn trap_7_ignored_paths_that_are_not_paths_from_the_root() {
    for path in ["", "/etc", "..", "a/../..", "./cache", "."] {
        let said = with_defect(|s| serialization(s)["ignore_paths"] = json!([path]));
        assert!(said.contains("ignored path"), "{path:?}: {said}");
    }
    assert!(
        with_defect(|s| serialization(s)["ignore_paths"] = json!("cache")).contains("sequence")
    );
}

#[test]
fn recipes_that_cannot_be() {
    assert!(with_defect(|s| serialization(s)["method"] = "chunks".into()).contains("chunks"));
    assert!(with_defect(|s| serialization(s)["shard_size"] = json!(10)).contains("shard_size"));
    assert!(
        with_defect(|s| serialization(s)["method"] = "shards".into()).contains("no shard_size")
    );
    for size in [json!(0), json!(-1), json!(1.5), json!(1e300)] {
        let said = with_defect(|s| {
            serialization(s)["method"] = "shards".into();
            serialization(s)["shard_size"] = size.clone();
        });
        assert!(said.contains("positive whole number"), "{size}: {said}");
    }
    assert!(with_defect(|s| serialization(s)["allow_symlinks"] = "no".into()).contains("boolean"));
    assert!(
        with_defect(|s| {
            serialization(s).as_object_mut().unwrap().remove("allow_symlinks");
        })
        .contains("allow_symlinks")
    );
}

#[test]
fn statements_that_are_not_json() {
    let (folder, signer, _) = fitting();
    let model = folder.path().join("model");
    for payload in [&b"x"[..], b"{", b"[]", b"\xff", b"{\"_type\": 1}", b"null"] {
        let result = signer.verify(&model, &signer.bundle_of(payload));
        assert_eq!(refused(result), ["malformed-statement"]);
    }
}

#[test]
fn rule_4_duplicate_keys_in_the_statement() {
    let (folder, signer, statement) = fitting();
    let text = serde_json::to_string(&statement).unwrap();
    let twice = [
        text.replacen("\"predicateType\"", "\"predicateType\":\"x\",\"predicateType\"", 1),
        text.replacen("\"name\":\"a\"", "\"name\":\"a\",\"name\":\"b\"", 1),
        text.replacen("\"name\":\"a\"", "\"name\":\"a\",\"extra\":{\"k\":1,\"k\":2}", 1),
    ];
    for text in twice {
        let bundle = signer.bundle_of(text.as_bytes());
        let said = refusal(signer.verify(&folder.path().join("model"), &bundle));
        assert!(said.contains("stands twice"), "{said}");
    }
}

/// A statement over the shards of one file with ten bytes.
fn sharded(shards: &[(&str, &[u8])], size: &Value) -> (tempfile::TempDir, TestSigner, Value) {
    let folder = tempfile::tempdir().unwrap();
    models::write(folder.path(), &[("model/w", b"0123456789")]);
    let mut statement = statement(shards);
    serialization(&mut statement)["method"] = "shards".into();
    serialization(&mut statement)["shard_size"] = size.clone();
    (folder, TestSigner::default(), statement)
}

const SHARDS: [(&str, &[u8]); 3] = [("w:0:4", b"0123"), ("w:4:8", b"4567"), ("w:8:10", b"89")];

#[test]
fn trap_2_shards_in_both_spellings() {
    for size in [json!(4), json!(4.0)] {
        let (folder, signer, mut statement) = sharded(&SHARDS, &size);
        let model = folder.path().join("model");
        signer.verify_statement(&model, &statement).unwrap();
        for resource in statement["predicate"]["resources"].as_array_mut().unwrap() {
            resource["algorithm"] = "sha256-sharded-4".into();
        }
        signer.verify_statement(&model, &statement).unwrap();
        resource(&mut statement, 1)["algorithm"] = "sha256-sharded-5".into();
        let said = refusal(signer.verify_statement(&model, &statement));
        assert!(said.contains("sha256-sharded-5"), "{said}");
    }
}

#[test]
fn shards_that_do_not_cover_a_file_once() {
    type Shard<'a> = (&'a str, &'a [u8]);
    let defects: [(&[Shard<'_>], &str); 9] = [
        (&[SHARDS[0], SHARDS[2]], "gap"),
        (&[SHARDS[1], SHARDS[2]], "gap"),
        (&[SHARDS[0], SHARDS[0], SHARDS[1], SHARDS[2]], "twice"),
        (&[SHARDS[0], ("w:2:8", b"234567"), SHARDS[2]], "overlap"),
        (&[("w:0:10", b"0123456789")], "shard_size"),
        (&[("w:0:3", b"012"), ("w:3:7", b"3456"), ("w:7:10", b"789")], "shard_size"),
        (&[SHARDS[0], ("w:4:4", b"")], "shard_size"),
        (&[("w", b"0123456789")], "path:start:end"),
        (&[("w:00:4", b"0123")], "path:start:end"),
    ];
    for (shards, says) in defects {
        let (folder, signer, statement) = sharded(shards, &json!(4));
        let said = refusal(signer.verify_statement(&folder.path().join("model"), &statement));
        assert!(said.contains(says), "{shards:?}: {said}");
    }
    // A huge offset overflows nothing.
    let huge = [("w:0:18446744073709551616", &b""[..])];
    let (folder, signer, statement) = sharded(&huge, &json!(4));
    refusal(signer.verify_statement(&folder.path().join("model"), &statement));
}

#[test]
fn a_file_cut_at_a_shard_or_grown_by_one_is_changed() {
    for contents in [&b"01234567"[..], b"0123456789ab", b"0123456789abcdef"] {
        let (folder, signer, statement) = sharded(&SHARDS, &json!(4));
        models::write(folder.path(), &[("model/w", contents)]);
        let said = refusal(signer.verify_statement(&folder.path().join("model"), &statement));
        assert!(said.contains("changed: w") && said.contains("signed with 10 B"), "{said}");
    }
}

#[test]
fn names_with_colons_split_at_the_last_two() {
    let folder = tempfile::tempdir().unwrap();
    models::write(folder.path(), &[("model/w:0:4", b"0123")]);
    let mut statement = statement(&[("w:0:4:0:4", b"0123")]);
    serialization(&mut statement)["method"] = "shards".into();
    serialization(&mut statement)["shard_size"] = json!(4);
    TestSigner::default().verify_statement(&folder.path().join("model"), &statement).unwrap();
}

#[test]
fn trap_12_an_empty_file_under_shards_is_unsigned() {
    let (folder, signer, statement) = sharded(&SHARDS, &json!(4));
    models::write(folder.path(), &[("model/__init__.py", b"")]);
    let said = refusal(signer.verify_statement(&folder.path().join("model"), &statement));
    assert!(said.contains("extra: __init__.py (0 B), not signed"), "{said}");
}

#[test]
fn trap_3_a_single_file_in_both_spellings() {
    let folder = tempfile::tempdir().unwrap();
    models::write(
        folder.path(),
        &[("weights.bin", b"1"), ("other.bin", b"1"), ("d/weights.bin", b"1")],
    );
    let signer = TestSigner::default();
    let named = statement(&[("weights.bin", b"1")]);
    let unnamed = statement(&[(".", b"1")]);
    let at = |name: &str| folder.path().join(name);
    signer.verify_statement(&at("weights.bin"), &named).unwrap();
    signer.verify_statement(&at("d"), &named).unwrap();
    let said = refusal(signer.verify_statement(&at("other.bin"), &named));
    assert!(said.contains("renamed: weights.bin is now other.bin"), "{said}");

    // Without a name, any name will do; a directory will not.
    for name in ["weights.bin", "other.bin"] {
        let verified = signer.verify_statement(&at(name), &unnamed).unwrap();
        assert!(verified.notices().contains(&bulla::Notice::UnnamedFile));
    }
    assert_eq!(refused(signer.verify_statement(&at("d"), &unnamed)), ["other-layout"]);
    // A signature for a directory is not one for a file in it.
    let two = statement(&[("other.bin", b"1"), ("weights.bin", b"1")]);
    assert_eq!(refused(signer.verify_statement(&at("weights.bin"), &two)), ["other-layout"]);
    let below = statement(&[("d/weights.bin", b"1")]);
    assert_eq!(refused(signer.verify_statement(&at("weights.bin"), &below)), ["other-layout"]);
}

/// A name that no path can hold must not leave an empty list of signed files behind.
#[test]
fn a_signature_without_a_name_for_a_file_without_a_name() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = tempfile::tempdir().unwrap();
    let signer = TestSigner::default();
    let bundle = signer.bundle_of(&serde_json::to_vec(&statement(&[(".", b"1")])).unwrap());
    for bytes in [[0xff; 90], [b'\n'; 90]] {
        let file = folder.path().join(std::ffi::OsStr::from_bytes(&bytes));
        std::fs::write(&file, b"evil").unwrap();
        for ignore_unsigned_files in [false, true] {
            let options = bulla::Options { ignore_unsigned_files, ..Default::default() };
            let result = bulla::verify::verify(
                &bundle,
                bulla::LocalModel::open(&file).unwrap(),
                &signer.trust,
                bulla_testkit::now(),
                &options,
                &bulla::Limits::default(),
                bulla_testkit::work(),
            );
            refused(result);
        }
    }
}

#[test]
fn the_malformed_framing_of_0_2_0_is_for_its_own_statements() {
    use bulla::sign::{Signer as _, ToSign};
    let (folder, signer, statement) = fitting();
    let payload = serde_json::to_vec(&statement).unwrap();
    let kind = bulla::bundle::PAYLOAD_TYPE;
    let text = String::from_utf8(payload.clone()).unwrap();
    let message = format!("DSSEV1 {} {kind} {} b'{text}'", kind.len(), payload.len());
    let signed = signer.signer().sign(ToSign::Message(message.as_bytes())).unwrap();
    let bundle =
        bulla::bundle::encode(&signed.material, &signed.evidence, &payload, &signed.signature);
    let said = refusal(signer.verify(&folder.path().join("model"), &bundle));
    assert!(said.contains("malformed way of version 0.2.0"), "{said}");
}

#[test]
fn defects_of_0_2_0_statements() {
    let folder = tempfile::tempdir().unwrap();
    models::write(folder.path(), &[("model/a", b"1")]);
    let signer = TestSigner::default();
    let digest = bulla::Digest::sha256(b"1").to_hex();
    let subject = |name: &str| json!({ "name": name, "digest": { "sha256": digest } });
    let statement = |subjects: Value| {
        json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": subjects,
            "predicateType": "https://model_signing/Digests/v0.1",
            "predicate": { "unused": "" },
        })
    };
    let model = folder.path().join("model");
    let verified = signer.verify_statement(&model, &statement(json!([subject("a")]))).unwrap();
    assert!(verified.notices().iter().any(bulla::Notice::is_weaker_check));
    // A single file, as later versions name it.
    let unnamed = statement(json!([subject(".")]));
    signer.verify_statement(&model.join("a"), &unnamed).unwrap();
    assert_eq!(refused(signer.verify_statement(&model, &unnamed)), ["other-layout"]);
    for (subjects, says) in [
        (json!([]), "lists no file"),
        (json!([subject("a"), subject("a")]), "twice"),
        (json!([subject("../a")]), "leaves the model"),
        (json!([{ "name": "a", "digest": { "sha256": "00" } }]), "SHA-256"),
    ] {
        let said = refusal(signer.verify_statement(&model, &statement(subjects)));
        assert!(said.contains(says), "{said}");
    }
}
