//! Models signed by three releases of the Python reference: each verifies, and each is refused with
//! one byte changed anywhere that matters.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla::{
    Certificate, Digest, Failure, Limits, LocalModel, Notice, Options, PublicKey, Trust,
    VerifiedModel, Work, verify,
};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/oms-vectors")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(data().join("keys").join(name)).unwrap()
}

fn key() -> Trust {
    let key = PublicKey::from_pem(&read("signing-key-pub.pem"), &Limits::default()).unwrap();
    Trust::keys(vec![key]).unwrap()
}

fn ca() -> Trust {
    let ca = Certificate::from_pem(&read("ca-cert.pem"), &Limits::default()).unwrap();
    Trust::certificate_authorities(ca, None).unwrap()
}

struct Vector {
    folder: &'static str,
    /// The model, below the folder.
    model: &'static str,
    trust: fn() -> Trust,
    signed: &'static [&'static str],
    ignored: &'static [&'static str],
}

const VECTORS: [Vector; 4] = [
    Vector {
        folder: "v0.2.0-certificate",
        model: "",
        trust: ca,
        signed: &["signme-1", "signme-2"],
        ignored: &[],
    },
    Vector {
        folder: "v1.0.0-elliptic-key",
        model: "signme-1",
        trust: key,
        signed: &[""],
        ignored: &[],
    },
    Vector {
        folder: "v1.1.0-certificate",
        model: "",
        trust: ca,
        signed: &["signme-1", "signme-2"],
        ignored: &["ignore-me"],
    },
    Vector {
        folder: "v1.1.0-elliptic-key",
        model: "",
        trust: key,
        signed: &["signme-1", "signme-2"],
        ignored: &["ignore-me"],
    },
];

impl Vector {
    /// A copy that may be changed, and its signature.
    fn copy(&self) -> (tempfile::TempDir, PathBuf, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(data().join(self.folder)).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        let signature = std::fs::read(folder.path().join("model.sig")).unwrap();
        let model = folder.path().join(self.model);
        (folder, model, signature)
    }

    fn verify(&self, model: &Path, signature: &[u8]) -> Result<VerifiedModel<LocalModel>, Failure> {
        let options =
            Options { signature_path: Some("model.sig".parse_path()), ..Options::default() };
        let threads = NonZeroUsize::new(2).unwrap();
        verify::verify(
            signature,
            LocalModel::open(model).unwrap(),
            &(self.trust)(),
            "2026-11-20T12:00:00Z".parse().unwrap(),
            &options,
            &Limits::default(),
            Work::new(threads),
        )
    }
}

trait ParsePath {
    fn parse_path(&self) -> bulla::ModelPath;
}

impl ParsePath for str {
    fn parse_path(&self) -> bulla::ModelPath {
        bulla::ModelPath::parse(self).unwrap()
    }
}

#[test]
fn each_verifies() {
    for vector in VECTORS {
        let (_folder, model, signature) = vector.copy();
        let verified =
            vector.verify(&model, &signature).unwrap_or_else(|e| panic!("{}: {e}", vector.folder));
        let old = verified.notices().contains(&Notice::OldFormat);
        assert_eq!(old, vector.folder.starts_with("v0.2"), "{:?}", verified.notices());
    }
}

/// The roots that the reference wrote into its bundles.
#[test]
fn roots_are_those_of_the_reference() {
    let root = |vector: &Vector| {
        let (_folder, model, signature) = vector.copy();
        let verified = vector.verify(&model, &signature).unwrap();
        (verified.claim().value().oms_root(), verified.manifest().oms_root())
    };
    let hex = |text: &str| Digest::from_hex(bulla::HashAlgorithm::Sha256, text).unwrap();
    let certificate = hex("61d4849d9d90076d6215f4d525f13d6574af8e3f67aef3e6f36fc40a14fdd226");
    assert_eq!(root(&VECTORS[2]), (certificate, certificate));
    let key = hex("92745110b1ab4368471cbe31664e10174e954b113a3df333db860317b2c6dec4");
    assert_eq!(root(&VECTORS[3]), (key, key));
}

#[test]
fn each_signed_file_is_bound_and_each_ignored_one_is_not() {
    for vector in VECTORS {
        for name in vector.signed {
            let (_folder, model, signature) = vector.copy();
            let file = if name.is_empty() { model.clone() } else { model.join(name) };
            let mut bytes = std::fs::read(&file).unwrap();
            bytes[0] ^= 1;
            std::fs::write(&file, bytes).unwrap();
            let Err(Failure::Refused(refusal)) = vector.verify(&model, &signature) else {
                panic!("{}: {name} changed and verified", vector.folder);
            };
            assert_eq!(refusal.reasons().map(|r| r.code()).collect::<Vec<_>>(), ["changed"]);
        }
        for name in vector.ignored {
            let (_folder, model, signature) = vector.copy();
            std::fs::write(model.join(name), b"something else").unwrap();
            let verified = vector.verify(&model, &signature).unwrap();
            let not_covered = Notice::NotCovered(vec![name.parse_path()]);
            assert!(verified.notices().contains(&not_covered), "{:?}", verified.notices());
        }
    }
}

#[test]
fn extra_and_missing_files_are_refused() {
    for vector in VECTORS.iter().filter(|v| v.model.is_empty()) {
        let (_folder, model, signature) = vector.copy();
        std::fs::write(model.join("evil.py"), b"import os").unwrap();
        std::fs::remove_file(model.join("signme-1")).unwrap();
        let Err(Failure::Refused(refusal)) = vector.verify(&model, &signature) else {
            panic!("{} verified", vector.folder);
        };
        let mut codes: Vec<_> = refusal.reasons().map(|r| r.code()).collect();
        codes.sort_unstable();
        assert_eq!(codes, ["extra", "missing"], "{}", vector.folder);
    }
}

/// Every byte inside the base64 (and plain) text of what a bundle says, changed one at a time, in the
/// decoded bytes and in the text itself.
#[test]
fn one_changed_byte_is_refused() {
    for vector in VECTORS {
        let (_folder, model, signature) = vector.copy();
        let bundle: serde_json::Value = serde_json::from_slice(&signature).unwrap();
        let mut places = vec![
            "/mediaType",
            "/dsseEnvelope/payloadType",
            "/dsseEnvelope/payload",
            "/dsseEnvelope/signatures/0/sig",
        ];
        match vector.folder {
            "v1.1.0-elliptic-key" => places.push("/verificationMaterial/publicKey/hint"),
            "v1.0.0-elliptic-key" => places.push("/verificationMaterial/publicKey/rawBytes"),
            _ => places.extend([
                "/verificationMaterial/x509CertificateChain/certificates/0/rawBytes",
                "/verificationMaterial/x509CertificateChain/certificates/1/rawBytes",
            ]),
        }
        for place in places {
            let text = bundle.pointer(place).unwrap().as_str().unwrap().to_owned();
            let decoded = STANDARD.decode(&text).unwrap_or_default();
            let coded =
                !matches!(place.rsplit('/').next(), Some("mediaType" | "payloadType" | "hint"));
            let mut variants = Vec::new();
            for at in spread(text.len()) {
                let mut changed = text.clone().into_bytes();
                changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
                variants.push(String::from_utf8(changed).unwrap());
            }
            for at in spread(decoded.len()).filter(|_| coded) {
                let mut changed = decoded.clone();
                changed[at] ^= 1;
                variants.push(STANDARD.encode(changed));
            }
            assert!(variants.len() > 10, "{place}");
            for variant in variants {
                let mut changed = bundle.clone();
                *changed.pointer_mut(place).unwrap() = variant.into();
                let result = vector.verify(&model, &serde_json::to_vec(&changed).unwrap());
                let refused = matches!(result, Err(Failure::Refused(_)));
                assert!(refused, "{}: {place} changed, and got {result:?}", vector.folder);
            }
        }
    }
}

/// Up to about two hundred places in a text, first and last included.
fn spread(len: usize) -> impl Iterator<Item = usize> {
    let step = (len / 199).max(1);
    (0..len).step_by(step).chain(len.checked_sub(1))
}

#[test]
fn trap_8_certificates_are_checked_at_the_time_given() {
    // Valid from May 2025 to April 2035: trap 8, for the reference takes any time.
    for (now, code) in [
        ("2025-05-01T00:00:00Z", "certificate-not-yet-valid"),
        ("2035-05-01T00:00:00Z", "certificate-expired"),
    ] {
        let vector = &VECTORS[2];
        let (_folder, model, signature) = vector.copy();
        let threads = NonZeroUsize::MIN;
        let result = verify::verify(
            &signature,
            LocalModel::open(&model).unwrap(),
            &ca(),
            now.parse().unwrap(),
            &Options::default(),
            &Limits::default(),
            Work::new(threads),
        );
        let Err(Failure::Refused(refusal)) = result else { panic!("verified at {now}") };
        // Leaf, intermediate and the root itself.
        assert_eq!(refusal.reasons().map(|r| r.code()).collect::<Vec<_>>(), [code; 3]);
    }
}

#[test]
fn a_keyless_signature_is_not_accepted_for_a_key_or_an_authority() {
    let folder = data().join("v1.1.0-sigstore");
    let signature = std::fs::read(folder.join("model.sig")).unwrap();
    for trust in [key(), ca()] {
        let bundle = bulla::UnverifiedBundle::parse(&signature, &Limits::default()).unwrap();
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        let refusal = bundle.authenticate(&trust, now, &Limits::default()).unwrap_err();
        assert_eq!(refusal.reasons().next().unwrap().code(), "other-signing-method");
    }
}

#[test]
fn the_specifications_own_vectors() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/oms-spec-vectors");
    let parse = |path: &str| {
        let bytes = std::fs::read(folder.join(path)).unwrap();
        bulla::UnverifiedBundle::parse(&bytes, &Limits::default())
    };
    for valid in ["key", "certificate", "sigstore"] {
        parse(&format!("valid/{valid}.bundle.json")).unwrap();
    }
    for (name, says) in [
        ("empty", "empty"),
        ("missing-envelope", "dsseEnvelope"),
        ("missing-tlog-entries", "tlogEntries"),
        ("missing-verification-material", "verificationMaterial"),
    ] {
        let reason = parse(&format!("invalid/{name}.bundle.json")).unwrap_err().to_string();
        assert!(reason.contains(says), "{name}: {reason}");
    }
}
