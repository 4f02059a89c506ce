//! Models signed by three releases of the Python reference: each verifies, and each is refused with
//! one byte changed anywhere that matters.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla::{
    Certificate, Digest, Embedded, Failure, IdentityRule, Limits, LocalModel, Notice, Options,
    PublicKey, SignedBy, SigstoreRoot, TimeSource, Trust, VerifiedModel, Work, verify,
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

/// Signed with a Sigstore identity, under the root that comes with Bulla.
fn identity() -> Trust {
    let root = SigstoreRoot::embedded(Embedded::PublicGood).unwrap();
    Trust::sigstore(root, vec![IdentityRule::new(IDENTITY, PROVIDER).unwrap()]).unwrap()
}

const IDENTITY: &str = "stefanb@us.ibm.com";
const PROVIDER: &str = "https://sigstore.verify.ibm.com/oauth2";

struct Vector {
    folder: &'static str,
    /// The model, below the folder.
    model: &'static str,
    trust: fn() -> Trust,
    signed: &'static [&'static str],
    ignored: &'static [&'static str],
}

const VECTORS: [Vector; 5] = [
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
    Vector {
        folder: "v1.1.0-sigstore",
        model: "",
        trust: identity,
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
            "v1.1.0-sigstore" => places.extend([
                "/verificationMaterial/certificate/rawBytes",
                "/verificationMaterial/tlogEntries/0/canonicalizedBody",
                "/verificationMaterial/tlogEntries/0/logId/keyId",
                "/verificationMaterial/tlogEntries/0/inclusionPromise/signedEntryTimestamp",
                "/verificationMaterial/tlogEntries/0/inclusionProof/hashes/0",
                "/verificationMaterial/tlogEntries/0/inclusionProof/hashes/13",
                "/verificationMaterial/tlogEntries/0/inclusionProof/rootHash",
            ]),
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

/// What stands beside the base64: each is bound by the log's own signature.
#[test]
fn one_changed_number_of_a_log_entry_is_refused() {
    let vector = &VECTORS[4];
    let (_folder, model, signature) = vector.copy();
    let bundle: serde_json::Value = serde_json::from_slice(&signature).unwrap();
    let entry = "/verificationMaterial/tlogEntries/0";
    for (place, value) in [
        ("logIndex", "598151087"),
        ("integratedTime", "1760062341"),
        ("inclusionProof/logIndex", "476246823"),
        ("inclusionProof/treeSize", "476246826"),
        ("kindVersion/kind", "hashedrekord"),
        ("kindVersion/version", "0.0.2"),
    ] {
        let mut changed = bundle.clone();
        *changed.pointer_mut(&format!("{entry}/{place}")).unwrap() = value.into();
        let result = vector.verify(&model, &serde_json::to_vec(&changed).unwrap());
        assert!(matches!(result, Err(Failure::Refused(_))), "{place}: {result:?}");
    }
    for member in ["inclusionProof", "inclusionPromise", "integratedTime"] {
        let mut changed = bundle.clone();
        changed.pointer_mut(entry).unwrap().as_object_mut().unwrap().remove(member);
        let result = vector.verify(&model, &serde_json::to_vec(&changed).unwrap());
        // The timestamp says when, too: without the log's own time the rest still holds.
        let needed = member == "inclusionProof" || member == "integratedTime";
        assert_eq!(result.is_err(), needed, "{member}: {result:?}");
    }
}

#[test]
fn a_real_keyless_signature_says_who_and_when_and_where() {
    let vector = &VECTORS[4];
    let (_folder, model, signature) = vector.copy();
    let verified = vector.verify(&model, &signature).unwrap();
    let SignedBy::Identity(signer) = verified.claim().signed_by() else { panic!() };
    assert_eq!((signer.identity.as_str(), signer.provider.as_str()), (IDENTITY, PROVIDER));
    let times: Vec<_> = verified.claim().times().iter().map(|t| t.at.to_string()).collect();
    assert_eq!(times, ["2025-10-10T02:12:20Z", "2025-10-10T02:12:20Z"]);
    assert!(matches!(verified.claim().times()[1].source, TimeSource::Log(_)));
    let [record] = verified.claim().records() else { panic!() };
    assert_eq!((record.log.as_str(), record.index), ("https://rekor.sigstore.dev", 598_151_086));
}

#[test]
fn a_keyless_signature_of_somebody_else_is_refused() {
    let vector = &VECTORS[4];
    let (_folder, model, signature) = vector.copy();
    let root = || SigstoreRoot::embedded(Embedded::PublicGood).unwrap();
    let verify = |root: SigstoreRoot, rules: &[(&str, &str)], now: &str| {
        let rules = rules.iter().map(|(i, p)| IdentityRule::new(i, p).unwrap()).collect();
        let trust = Trust::sigstore(root, rules).unwrap();
        let options =
            Options { signature_path: Some("model.sig".parse_path()), ..Options::default() };
        let model = LocalModel::open(&model).unwrap();
        let work = Work::new(NonZeroUsize::MIN);
        let now = now.parse().unwrap();
        verify::verify(&signature, model, &trust, now, &options, &Limits::default(), work)
    };
    let codes = |result: Result<VerifiedModel<LocalModel>, Failure>| match result {
        Ok(_) => vec!["verified"],
        Err(Failure::Refused(refusal)) => refusal.reasons().map(|r| r.code()).collect(),
        Err(other) => panic!("{other}"),
    };
    let now = "2026-11-20T12:00:00Z";
    let good = (IDENTITY, PROVIDER);
    let other = ("*@example.com", PROVIDER);
    assert_eq!(codes(verify(root(), &[other, good], now)), ["verified"]);
    assert_eq!(codes(verify(root(), &[("*@us.ibm.com", PROVIDER)], now)), ["verified"]);
    for wrong in [
        other,
        ("stefanb@us.ibm.co", PROVIDER),
        ("tefanb@us.ibm.com", PROVIDER),
        (IDENTITY, "https://accounts.google.com"),
        (IDENTITY, "https://sigstore.verify.ibm.com/oauth2/"),
    ] {
        assert_eq!(codes(verify(root(), &[wrong], now)), ["wrong-identity"], "{wrong:?}");
    }
    // Identity of one rule and provider of another are not a signer.
    let crossed = [(IDENTITY, "https://accounts.google.com"), ("a@us.ibm.com", PROVIDER)];
    assert_eq!(codes(verify(root(), &crossed, now)), ["wrong-identity"]);
    // Another instance's root; a clock that is behind the signature.
    let staging = SigstoreRoot::embedded(Embedded::Staging).unwrap();
    assert_eq!(codes(verify(staging, &[good], now)), ["timestamp-unknown-authority"]);
    assert_eq!(codes(verify(root(), &[good], "2025-10-10T02:11:19Z")), ["timestamp-future"]);
}

/// A root whose authority was not yet, or no longer, trusted when the signature was made.
#[test]
fn a_root_that_was_not_valid_then_is_refused() {
    let vector = &VECTORS[4];
    let (_folder, model, signature) = vector.copy();
    let text = include_str!("data/sigstore/trusted_root.json");
    let all: serde_json::Value = serde_json::from_str(text).unwrap();
    let verify = |root: &serde_json::Value| {
        let bytes = serde_json::to_vec(root).unwrap();
        let root = SigstoreRoot::from_json("the root", &bytes, &Limits::default()).unwrap();
        let rule = IdentityRule::new(IDENTITY, PROVIDER).unwrap();
        let trust = Trust::sigstore(root, vec![rule]).unwrap();
        let options =
            Options { signature_path: Some("model.sig".parse_path()), ..Options::default() };
        let model = LocalModel::open(&model).unwrap();
        let work = Work::new(NonZeroUsize::MIN);
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        match verify::verify(&signature, model, &trust, now, &options, &Limits::default(), work) {
            Ok(_) => "verified",
            Err(Failure::Refused(refusal)) => refusal.reasons().next().unwrap().code(),
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(verify(&all), "verified");
    for (list, window, code) in [
        ("certificateAuthorities", "validFor", "sigstore-authority-not-valid"),
        ("timestampAuthorities", "validFor", "timestamp-outside-window"),
    ] {
        let mut expired = all.clone();
        for entry in expired[list].as_array_mut().unwrap() {
            entry[window] = serde_json::json!({ "start": "2020-01-01T00:00:00Z", "end": "2025-10-10T02:12:19Z" });
        }
        assert_eq!(verify(&expired), code, "{list}");
    }
    for (list, code) in [
        ("certificateAuthorities", "sigstore-authority-not-valid"),
        ("ctlogs", "sigstore-certificate"),
        ("tlogs", "sigstore-log-proof"),
        ("timestampAuthorities", "timestamp-unknown-authority"),
    ] {
        let mut without = all.clone();
        without[list] = serde_json::json!([]);
        assert_eq!(verify(&without), code, "{list}");
    }
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
