//! Statements about models: what is written, what is read, what is refused; and the file that holds them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::path::Path;

use bulla::claims::{ClaimsFile, append, claims_path, claims_paths};
use bulla::sign::{Sealed, attest};
use bulla::statement::build::{Kind, Step};
use bulla::statement::descriptor::ResourceDescriptor;
use bulla::statement::evaluation::{Evaluation, Metric};
use bulla::statement::other::Other;
use bulla::{
    Attestation, Digest, Failure, KeyAlgorithm, KeyPair, KeySigner, Limits, Predicate, Reason,
    Statement, UnverifiedBundle,
};
use bulla_testkit::now;
use proptest::prelude::*;
use serde_json::{Value, json};

fn key() -> KeySigner {
    KeySigner::new(KeyPair::generate(KeyAlgorithm::EcdsaP256).unwrap())
}

/// Reads any bytes as a statement that somebody trusted has signed.
fn read(payload: &[u8]) -> Result<Attestation, Reason> {
    let signer = bulla_testkit::bundles::TestSigner::default();
    let limits = Limits::default();
    let read = UnverifiedBundle::parse(&signer.bundle_of(payload), &limits).unwrap();
    let read = read.authenticate(&signer.trust, now(), &limits).unwrap().statement()?;
    Ok(read.value().clone())
}

fn hex(n: u8) -> String {
    format!("{n:02x}").repeat(32)
}

fn statement(predicate_type: &str, predicate: Value) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "m", "digest": { "sha256": hex(1), "omsManifestV1": hex(2) } }],
        "predicateType": predicate_type,
        "predicate": predicate,
    })
}

fn provenance() -> Value {
    json!({
        "buildDefinition": {
            "buildType": "urn:bulla:build:finetune:v1",
            "externalParameters": { "pipeline": "nightly" },
            "resolvedDependencies": [
                { "name": "base", "digest": { "sha256": hex(3), "omsManifestV1": hex(4) }, "annotations": { "role": "base-model" } },
                { "uri": "s3://lake/2026", "annotations": { "role": "training-data" } },
            ],
        },
        "runDetails": {
            "builder": { "id": "https://ci.example/train", "version": { "torch": "2.9.0" } },
            "metadata": { "invocationId": "https://ci.example/runs/7", "startedOn": "2026-11-20T10:00:00Z", "finishedOn": "2026-11-20T11:00:00.5Z" },
            "byproducts": [{ "name": "log", "digest": { "sha256": hex(5) } }],
        },
    })
}

fn applies_to() -> Value {
    json!({ "policy": "company-models", "environment": "production", "rulesSha256": hex(7) })
}

/// One of each kind that Bulla writes.
fn samples() -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("provenance", "https://slsa.dev/provenance/v1", provenance()),
        (
            "dataset",
            "urn:bulla:attestation:dataset:v0.1",
            json!({ "name": "texts", "version": "3", "license": "CC-BY-4.0", "records": 12 }),
        ),
        (
            "evaluation",
            "urn:bulla:attestation:evaluation:v0.1",
            json!({ "metrics": [{ "name": "accuracy", "value": 0.1, "task": "mmlu" }, { "name": "accuracy", "value": 0.30000000000000004 }] }),
        ),
        (
            "test-result",
            "https://in-toto.io/attestation/test-result/v0.1",
            json!({ "result": "WARNED", "configuration": [], "warnedTests": ["toxicity"] }),
        ),
        (
            "release",
            "urn:bulla:attestation:release:v0.1",
            json!({ "name": "fraud", "sequence": 3, "claims": [{ "predicateType": "https://slsa.dev/provenance/v1", "sha256": hex(9) }], "issued": "2026-11-20T00:00:00Z", "expires": "2027-01-01T00:00:00Z" }),
        ),
        (
            "vsa",
            "https://slsa.dev/verification_summary/v1",
            json!({ "verifier": { "id": "https://gate.example" }, "timeVerified": "2026-11-20T00:00:00Z", "resourceUri": "pkg:huggingface/a/b", "policy": { "uri": "https://policy.example" }, "verificationResult": "PASSED", "verifiedLevels": ["SLSA_BUILD_LEVEL_2"], "slsaVersion": "1.1" }),
        ),
        (
            "approval",
            "urn:bulla:attestation:approval:v0.1",
            json!({ "appliesTo": applies_to(), "issued": "2026-11-20T00:00:00Z", "expires": "2026-12-20T00:00:00Z", "comment": "red team of 2026-11" }),
        ),
        (
            "exception",
            "urn:bulla:attestation:exception:v0.1",
            json!({ "appliesTo": applies_to(), "waives": ["max-signature-age"], "reason": "the retraining is late", "issued": "2026-11-20T00:00:00Z", "expires": "2026-12-20T00:00:00Z" }),
        ),
        (
            "https://in-toto.io/attestation/scai/v0.3",
            "https://in-toto.io/attestation/scai/v0.3",
            json!({ "attributes": [{ "attribute": "x", "n": 0.1 }] }),
        ),
    ]
}

#[test]
fn every_kind_is_read_and_written_again() {
    for (name, predicate_type, predicate) in samples() {
        let payload = serde_json::to_vec(&statement(predicate_type, predicate)).unwrap();
        let read_once = read(&payload).unwrap();
        assert_eq!(read_once.payload, Digest::sha256(&payload));
        assert_eq!(read_once.statement.predicate.name(), name);
        assert_eq!(read_once.statement.predicate.predicate_type(), predicate_type);
        let again = read_once.statement.encode().unwrap();
        let (before, after): (Value, Value) =
            (serde_json::from_slice(&payload).unwrap(), serde_json::from_slice(&again).unwrap());
        assert_eq!(before, after, "nothing is lost or added");
        assert_eq!(read(&again).unwrap().statement, read_once.statement);
    }
}

/// Each with the words that its refusal has to say.
#[test]
fn what_is_refused() {
    let own = |name: &str| format!("urn:bulla:attestation:{name}:v0.1");
    let slsa = "https://slsa.dev/provenance/v1";
    let edit = |pointer: &str, value: Value| {
        let mut all = statement(slsa, provenance());
        *all.pointer_mut(pointer).unwrap() = value;
        all
    };
    let many = |n: usize| Value::from(vec![json!({ "uri": "a:b" }); n]);
    let changed = |kind: &str, change: Value| {
        let mut all = samples().into_iter().find(|(name, ..)| *name == kind).unwrap().2;
        for (key, value) in change.as_object().unwrap() {
            all[key] = value.clone();
        }
        statement(&own(kind), all)
    };
    let release = |change: Value| changed("release", change);
    let cases = [
        ("no-subject", edit("/subject", json!([])), "has 0 subjects"),
        ("too-many-subjects", edit("/subject", many(1025)), "1025 subjects"),
        ("subject-without-digest", edit("/subject/0", json!({ "uri": "a:b" })), "has no digest"),
        (
            "subject-without-anything",
            edit("/subject/0", json!({ "name": "x" })),
            "neither uri, digest nor content",
        ),
        (
            "digest-in-upper-case",
            edit("/subject/0/digest/sha256", json!("AB".repeat(32))),
            "lower-case hexadecimal",
        ),
        (
            "digest-too-short",
            edit("/subject/0/digest/sha256", json!("ab")),
            "lower-case hexadecimal",
        ),
        ("empty-digest", edit("/subject/0/digest/sha256", json!("")), "lower-case hexadecimal"),
        (
            "other-statement-type",
            edit("/_type", json!("https://in-toto.io/Statement/v0.1")),
            "its _type is",
        ),
        (
            "array-for-an-object",
            edit("/predicate/runDetails", json!([{ "id": "a:b" }])),
            "expected an object",
        ),
        (
            "array-for-a-builder",
            edit("/predicate/runDetails/builder", json!(["a:b"])),
            "expected an object",
        ),
        (
            "array-for-a-run",
            edit("/predicate/runDetails/metadata", json!(["x"])),
            "expected an object",
        ),
        (
            "array-for-a-dependency",
            edit("/predicate/buildDefinition/resolvedDependencies/0", json!(["x"])),
            "expected an object",
        ),
        ("array-for-the-predicate", edit("/predicate", json!([])), "expected an object"),
        (
            "builder-without-scheme",
            edit("/predicate/runDetails/builder/id", json!("ci")),
            "expected a URI",
        ),
        (
            "build-type-no-uri",
            edit("/predicate/buildDefinition/buildType", json!("fine tune")),
            "expected a URI",
        ),
        (
            "ended-before-it-began",
            edit("/predicate/runDetails/metadata/finishedOn", json!("2026-11-20T09:00:00Z")),
            "before it began",
        ),
        (
            "too-many-dependencies",
            edit("/predicate/buildDefinition/resolvedDependencies", many(10_001)),
            "more than 10000",
        ),
        (
            "huge-content",
            edit("/predicate/runDetails/byproducts/0", json!({ "content": "A".repeat(17 << 10) })),
            "too large",
        ),
        (
            "long-name",
            edit("/predicate/runDetails/byproducts/0/name", json!("n".repeat(5000))),
            "too long",
        ),
        (
            "evaluation-without-metrics",
            statement(&own("evaluation"), json!({ "metrics": [] })),
            "has 0 metrics",
        ),
        (
            "metric-twice",
            statement(
                &own("evaluation"),
                json!({ "metrics": [{ "name": "a", "value": 1 }, { "name": "a", "value": 2 }] }),
            ),
            "stands twice",
        ),
        (
            "metric-of-text",
            statement(&own("evaluation"), json!({ "metrics": [{ "name": "a", "value": "0.9" }] })),
            "invalid type",
        ),
        (
            "metric-beyond-numbers",
            statement(&own("evaluation"), json!({ "metrics": [{ "name": "a", "value": null }] })),
            "invalid type",
        ),
        (
            "unknown-member-of-ours",
            statement(&own("dataset"), json!({ "name": "a", "colour": "red" })),
            "unknown field",
        ),
        (
            "passed-with-failures",
            statement(
                "https://in-toto.io/attestation/test-result/v0.1",
                json!({ "result": "PASSED", "configuration": [], "failedTests": ["a"] }),
            ),
            "names tests that failed",
        ),
        ("release-zero", release(json!({ "sequence": 0 })), "sequence is 0"),
        ("release-negative", release(json!({ "sequence": -1 })), "invalid value"),
        (
            "release-that-ends-first",
            release(json!({ "expires": "2026-11-20T00:00:00Z" })),
            "not after it was issued",
        ),
        (
            "release-claim-no-digest",
            release(json!({ "claims": [{ "predicateType": "x:y", "sha256": "12" }] })),
            "no SHA-256",
        ),
        (
            "release-claim-twice",
            release(
                json!({ "claims": [{ "predicateType": "x:y", "sha256": hex(1) }, { "predicateType": "x:z", "sha256": hex(1) }] }),
            ),
            "twice",
        ),
        (
            "approval-that-ends-first",
            changed("approval", json!({ "expires": "2026-11-19T00:00:00Z" })),
            "not after it was issued",
        ),
        (
            "approval-without-rules",
            changed(
                "approval",
                json!({ "appliesTo": { "policy": "a", "environment": "b", "rulesSha256": "" } }),
            ),
            "no SHA-256 of rules",
        ),
        (
            "approval-as-a-list",
            changed("approval", json!({ "appliesTo": ["a", "b", hex(7)] })),
            "expected an object",
        ),
        ("exception-from-nothing", changed("exception", json!({ "waives": [] })), "waives 0 rules"),
        ("exception-for-no-reason", changed("exception", json!({ "reason": "" })), "its reason is"),
        (
            "own-type-of-another-version",
            statement("urn:bulla:attestation:release:v9", json!({})),
            "made by Bulla",
        ),
        (
            "slsa-of-another-version",
            statement("https://slsa.dev/provenance/v0.2", json!({})),
            "made by Bulla",
        ),
        (
            "signature-as-a-claim",
            statement("https://model_signing/signature/v1.0", json!({})),
            "made by Bulla",
        ),
    ];
    for (name, all, words) in cases {
        let payload = serde_json::to_vec(&all).unwrap();
        let refused = read(&payload).map(|_| ()).expect_err(name).to_string();
        assert!(refused.contains(words), "{name}: {refused}");
    }
    // What serde's own types cannot hold.
    let twice = br#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"m","digest":{"sha256":"00"}}],"predicateType":"a:b","predicate":{"x":1,"x":2}}"#;
    assert!(read(twice).unwrap_err().to_string().contains("twice"));
    let huge = br#"{"_type":"https://in-toto.io/Statement/v1","subject":[{"uri":"a:b","digest":{"x":"00"}}],"predicateType":"urn:bulla:attestation:evaluation:v0.1","predicate":{"metrics":[{"name":"a","value":1e999}]}}"#;
    assert!(read(huge).is_err());
}

#[test]
fn what_no_reader_would_take_is_not_signed() {
    let signer = key();
    let subject = ResourceDescriptor::of_file("m", &Digest::sha256(b"m"));
    for value in [f64::NAN, f64::INFINITY] {
        let metrics = vec![Metric { name: "a".into(), value, ..Metric::default() }];
        let evaluation = Evaluation { metrics, ..Evaluation::default() };
        let statement = Statement::about(subject.clone(), Predicate::Evaluation(evaluation));
        let refused = attest(&statement, &signer, &Limits::default());
        assert!(matches!(refused, Err(Failure::Refused(_))), "{value}");
    }
    let other = Other::new("a:b", json!({ "text": "x".repeat(5 << 20) })).unwrap();
    let statement = Statement::about(subject, Predicate::Other(other));
    let refused = attest(&statement, &signer, &Limits::default());
    assert!(refused.unwrap_err().to_string().contains("larger than"));
}

/// Rule 2: what only Bulla says, after it has looked, cannot come from a file.
#[test]
fn reserved_kinds_cannot_be_made_from_a_file() {
    for reserved in [
        "https://model_signing/signature/v1.0",
        "https://model_signing/signature/v1.1",
        "https://model_signing/Digests/v0.1",
        "https://slsa.dev/provenance/v1",
        "https://slsa.dev/provenance/v1.1",
        "https://slsa.dev/verification_summary/v1",
        "https://slsa.dev/Verification_Summary/v1",
        "urn:bulla:attestation:approval:v0.1",
        "urn:bulla:attestation:release:v0.1",
        " urn:bulla:attestation:release:v0.1",
    ] {
        let refused = Other::new(reserved, json!({})).unwrap_err();
        assert_eq!(refused.code(), "reserved-predicate-type", "{reserved}");
    }
    assert!(Other::new("https://cyclonedx.org/bom", json!({})).is_ok());
    assert!(Other::new("no uri", json!({})).is_err());
    assert!(Other::new("a:b", json!([])).is_err());
}

#[test]
fn steps_and_their_inputs() {
    let step = |change: &dyn Fn(&mut Value)| {
        let mut made = provenance();
        change(&mut made["buildDefinition"]);
        let payload =
            serde_json::to_vec(&statement("https://slsa.dev/provenance/v1", made)).unwrap();
        let Predicate::Provenance(made) = read(&payload).unwrap().statement.predicate else {
            panic!("a provenance")
        };
        Step::read(&made).map(|step| step.map(|step| step.kind))
    };
    assert_eq!(step(&|_| {}), Ok(Some(Kind::Finetune)));
    assert_eq!(step(&|d| d["buildType"] = json!("https://other.example/v1")), Ok(None));
    let refused = |words: &str, change: &dyn Fn(&mut Value)| {
        let refused = step(change).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    };
    let kind = |kind: &'static str| {
        move |d: &mut Value| d["buildType"] = json!(format!("urn:bulla:build:{kind}:v1"))
    };
    refused("a pretrain has 1 base models, expected none", &kind("pretrain"));
    refused("a merge has 1 base models, expected 2 or more", &kind("merge"));
    refused("its components are not", &kind("compose"));
    refused("unknown field", &|d| d["externalParameters"]["magic"] = json!(1));
    refused("unknown role \"spice\"", &|d| {
        d["resolvedDependencies"][1]["annotations"]["role"] = json!("spice")
    });
    refused("unknown role \"\"", &|d| d["resolvedDependencies"][1]["annotations"] = json!({}));
    refused("is no conversion", &|d| d["externalParameters"]["conversion"] = json!("reshard"));
    refused("has no components", &|d| d["externalParameters"]["components"] = json!(["base"]));
    refused("has no adapters", &|d| {
        d["resolvedDependencies"][1]["annotations"]["role"] = json!("adapter")
    });
    refused("has no omsManifestV1", &|d| {
        d["resolvedDependencies"][0]["digest"] = json!({ "sha256": hex(3) })
    });
    refused("has no sha256", &|d| {
        d["resolvedDependencies"][0]["digest"] = json!({ "omsManifestV1": hex(3) })
    });
    assert_eq!(
        step(&|d| {
            kind("compose")(d);
            d["externalParameters"]["components"] = json!(["base"]);
        }),
        Ok(Some(Kind::Compose))
    );
}

proptest! {
    #[test]
    fn every_finite_number_reads_back_as_itself(value in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO) {
        let metrics = vec![Metric { name: "a".into(), value, ..Metric::default() }];
        let evaluation = Evaluation { metrics, ..Evaluation::default() };
        let subject = ResourceDescriptor::of_file("m", &Digest::sha256(b"m"));
        let statement = Statement::about(subject, Predicate::Evaluation(evaluation));
        let Predicate::Evaluation(read) = read(&statement.encode().unwrap()).unwrap().statement.predicate else {
            panic!("an evaluation")
        };
        prop_assert_eq!(read.metrics[0].value.to_bits(), value.to_bits());
    }
}

fn claim(signer: &KeySigner, n: usize) -> Sealed {
    let subject = ResourceDescriptor::of_file("m", &Digest::sha256(b"m"));
    let other = Other::new("https://example.com/count", json!({ "n": n })).unwrap();
    attest(&Statement::about(subject, Predicate::Other(other)), signer, &Limits::default()).unwrap()
}

fn count(path: &Path) -> usize {
    let file = ClaimsFile::read(path, &Limits::default()).unwrap();
    assert!(file.broken.is_empty() && !file.cut);
    file.bundles.len()
}

#[test]
fn many_writers_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("claims.jsonl");
    let signer = key();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let (signer, path) = (&signer, &path);
            scope.spawn(move || {
                for n in 0..10 {
                    let limits = Limits::default();
                    append(path, &claim(signer, writer * 10 + n).bundle, &limits).unwrap();
                }
            });
        }
    });
    assert_eq!(count(&path), 80);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing else is left");
}

#[test]
fn a_last_line_without_an_end_is_not_joined() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("claims.jsonl");
    let signer = key();
    std::fs::write(&path, claim(&signer, 1).bundle.trim_ascii_end()).unwrap();
    append(&path, &claim(&signer, 2).bundle, &Limits::default()).unwrap();
    assert_eq!(count(&path), 2);
}

#[test]
fn links_and_devices_are_not_written_through() {
    let folder = tempfile::tempdir().unwrap();
    let signer = key();
    let bundle = claim(&signer, 1).bundle;
    let limits = Limits::default();
    let target = folder.path().join("target");
    std::fs::write(&target, "precious").unwrap();
    let link = folder.path().join("claims.jsonl");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    assert!(append(&link, &bundle, &limits).is_err());
    assert!(ClaimsFile::read(&link, &limits).is_err());
    assert_eq!(std::fs::read(&target).unwrap(), b"precious");
    std::fs::remove_file(&link).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &link,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    assert!(append(&link, &bundle, &limits).is_err());
    assert!(ClaimsFile::read(&link, &limits).is_err());
    assert!(append(&folder.path().join("no/claims.jsonl"), &bundle, &limits).is_err());
    assert!(
        ClaimsFile::read(&folder.path().join("no/claims.jsonl"), &limits)
            .unwrap()
            .bundles
            .is_empty()
    );
}

#[test]
fn what_no_reader_would_read_is_not_added() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("claims.jsonl");
    let signer = key();
    let mut limits = Limits::default();
    limits.claims_lines = 2;
    for n in 0..2 {
        append(&path, &claim(&signer, n).bundle, &limits).unwrap();
    }
    let refused = append(&path, &claim(&signer, 3).bundle, &limits).unwrap_err().to_string();
    assert!(refused.contains("more than 2 claims"), "{refused}");
    assert_eq!(count(&path), 2);
    limits.claims_lines = 10;
    limits.claims_bytes = std::fs::metadata(&path).unwrap().len() + 10;
    assert!(append(&path, &claim(&signer, 3).bundle, &limits).is_err());
    assert_eq!(count(&path), 2);
    // Who reads with less room is told.
    limits.claims_lines = 1;
    assert!(ClaimsFile::read(&path, &limits).unwrap().cut);
    limits.claims_lines = 10;
    limits.claims_bytes = 10;
    let file = ClaimsFile::read(&path, &limits).unwrap();
    assert!(file.cut && file.bundles.is_empty() && file.broken.len() == 1);
    limits = Limits::default();
    limits.claim_bytes = 10;
    let file = ClaimsFile::read(&path, &limits).unwrap();
    assert_eq!(file.broken.len(), 2);
}

#[test]
fn where_claims_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let beside = path
        .with_file_name(format!("{}.claims.jsonl", path.file_name().unwrap().to_str().unwrap()));
    assert_eq!(claims_path(path, None), path.join("claims.jsonl"));
    assert_eq!(claims_path(path, Some(true)), path.join("claims.jsonl"));
    assert_eq!(claims_path(path, Some(false)), beside);
    assert_eq!(claims_paths(path), [path.join("claims.jsonl"), beside]);
    assert_eq!(claims_path(Path::new("a/b.gguf"), None), Path::new("a/b.gguf.claims.jsonl"));
}

/// A digest is printed as it stands there: no kind of them is free text.
#[test]
fn a_digest_is_no_text() {
    for (found, fits) in
        [("h1:5bMZxkDd+7H/hQ==", true), ("\u{1b}[2Jproved", false), ("a\nb", false)]
    {
        let mut made = statement("a:b", json!({}));
        made["subject"][0]["digest"]["dirHash"] = found.into();
        assert_eq!(read(made.to_string().as_bytes()).is_ok(), fits, "{found:?}");
    }
}
