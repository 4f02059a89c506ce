//! Trust files: what is read, and what is refused with which words.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

use bulla::lineage::{Level, Unverified};
use bulla::party::MaySign;
use bulla::{KeyAlgorithm, KeyPair, Limits, PublicKey};
use bulla_policy::TrustFile;

fn key() -> PublicKey {
    KeyPair::generate(KeyAlgorithm::EcdsaP256).unwrap().public().clone()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn read(&self, text: &str) -> Result<TrustFile, String> {
        let path = self.write("trust.yaml", text);
        TrustFile::read(&path, &Limits::default()).map_err(|fault| fault.to_string())
    }

    fn refused(&self, text: &str, words: &str) {
        let refused = self.read(text).map(|_| ()).expect_err(text);
        assert!(refused.contains(words), "{refused:?} says nothing of {words:?}");
    }
}

fn indented(pem: &str) -> String {
    pem.lines().map(|line| format!("          {line}\n")).collect()
}

fn one_key(extra: &str) -> String {
    format!(
        "signing_authorities:\n  lab:\n    type: key\n    may_sign: [oms, provenance]\n    keys:\n      - public_key: |\n{}{extra}",
        indented(&key().to_pem())
    )
}

#[test]
fn all_that_it_can_say() {
    let folder = Folder::new();
    let (first, second) = (key(), key());
    folder.write("second.pub", &second.to_pem());
    let text = format!(
        "signing_authorities:
  lab:
    type: key
    may_sign: [oms, provenance]
    keys:
      - id: one
        public_key: |
{}        valid: {{ from: 2026-01-01, until: 2027-01-01T12:00:00Z }}
      - id: two
        public_key: second.pub
        fingerprint: \"{}\"
        may_sign: [\"https://cyclonedx.org/bom\"]
provenance:
  builders:
    - {{ id: \"https://ci.example\", signer: lab, max_level: SLSA_BUILD_LEVEL_2 }}
lineage:
  max_depth: 3
  unverified_parents: allow
  no_parents_signed_by: [lab]
  verifiers: [{{ id: \"https://gate.example\", signer: lab }}]
  environment: production
  max_verdict_age_days: 7
",
        indented(&first.to_pem()),
        second.fingerprint()
    );
    let read = folder.read(&text).unwrap();
    assert_eq!(read.digest, bulla::Digest::sha256(text.as_bytes()));
    let rules = read.rules;
    assert_eq!(rules.parties.len(), 2);
    let day = |text: &str| Some(text.parse().unwrap());
    assert_eq!(rules.parties[0].valid, (day("2026-01-01T00:00:00Z"), day("2027-01-01T12:00:00Z")));
    assert!(rules.parties[0].may_sign.models());
    assert_eq!(rules.parties[1].may_sign, MaySign::only(["https://cyclonedx.org/bom"]));
    assert_eq!(rules.builders[0].max_level, Level::L2);
    assert_eq!((rules.max_depth, rules.unverified_parents), (3, Unverified::Allow));
    assert_eq!(rules.environment.as_deref(), Some("production"));
    assert_eq!(rules.max_verdict_age.as_hours(), 7 * 24);
}

#[test]
fn what_is_left_out_is_strict() {
    let rules = Folder::new().read(&one_key("")).unwrap().rules;
    assert_eq!(rules.unverified_parents, Unverified::Deny);
    assert!(rules.no_parents_signed_by.is_empty() && rules.verifiers.is_empty());
    assert_eq!(rules.max_depth, 8);
}

#[test]
fn what_is_refused() {
    let folder = Folder::new();
    folder.write("other.pub", &key().to_pem());
    let authority = |text: &str| format!("signing_authorities:\n  lab: {text}\n");
    for (text, words) in [
        (String::new(), "it is empty"),
        ("# nothing\n".into(), "end of input"),
        ("trust: {}\n".into(), "missing field"),
        ("signing_authorities: {}\n".into(), "nobody is named"),
        (authority("{ type: key, may_sign: [oms] }"), "lab: keys is missing"),
        (authority("{ type: magic }"), "unknown variant"),
        (
            authority("{ type: key, keys: [{ public_key: other.pub }], may_sign: [oms] }"),
            "add the fingerprint",
        ),
        (
            authority(
                "{ type: key, keys: [{ public_key: other.pub, fingerprint: \"sha256:00\" }], may_sign: [oms] }",
            ),
            "expected sha256:00",
        ),
        (
            authority(
                "{ type: key, keys: [{ public_key: none.pub, fingerprint: x }], may_sign: [oms] }",
            ),
            "none.pub",
        ),
        (
            authority(
                "{ type: keyless, may_sign: [oms], identity_provider: \"https://a\", allowed_identities: [a@b.c] }",
            ),
            "add trust.sigstore",
        ),
        (
            authority("{ type: keyless, may_sign: [oms], allowed_identities: [a@b.c] }"),
            "identity_provider is missing",
        ),
        (authority("{ type: certificate, may_sign: [oms] }"), "authorized_signers is missing"),
        (
            authority("{ type: certificate, may_sign: [oms], authorized_signers: [a@b.c] }"),
            "no certificate authority is listed",
        ),
        (
            authority(
                "{ type: certificate, may_sign: [oms], authorized_signers: [a@b.c], allowed_identities: [x] }",
            ),
            "for authorities of another type",
        ),
        (one_key("").replace("[oms, provenance]", "[]"), "may_sign is missing"),
        (one_key("").replace("[oms, provenance]", "[everything]"), "\"everything\" is none of"),
        (one_key("colour: red\n"), "unknown field"),
        (one_key("signing_authorities: {}\n"), "uplicate"),
        (one_key("lineage: { no_parents_signed_by: [nobody] }\n"), "there is no nobody"),
        (
            one_key("lineage: { verifiers: [{ id: \"a:b\", signer: nobody }] }\n"),
            "there is no nobody",
        ),
        (
            one_key("lineage: { verifiers: [{ id: \"a:b\", signer: lab, policy_sha256: [x] }] }\n"),
            "is no SHA-256",
        ),
        (one_key("lineage: { max_depth: 65 }\n"), "at most 64"),
        (one_key("lineage: { unverified_parents: maybe }\n"), "unknown variant"),
        (
            one_key(
                "provenance: { builders: [{ id: \"a:b\", signer: nobody, max_level: SLSA_BUILD_LEVEL_1 }] }\n",
            ),
            "there is no nobody",
        ),
        (
            one_key(
                "provenance: { builders: [{ id: \"a:b\", signer: lab, max_level: SLSA_BUILD_LEVEL_4 }] }\n",
            ),
            "SLSA_BUILD_LEVEL_4",
        ),
        (
            one_key(
                "provenance: { builders: [{ id: ci, signer: lab, max_level: SLSA_BUILD_LEVEL_1 }] }\n",
            ),
            "is no URI",
        ),
        (one_key("trust: { sigstore: {} }\n"), "either trusted_root"),
        (one_key("        valid: { from: tomorrow }\n"), "is no day"),
        (one_key("        valid: { from: 2027-01-01, until: 2026-01-01 }\n"), "is not after"),
    ] {
        folder.refused(&text, words);
    }
    let refused = folder.read(&one_key("a: [\n")).unwrap_err();
    assert!(refused.contains("line "), "{refused}");
}

/// Rule 12: a file that is named is the one that the digest is of.
#[test]
fn other_files_are_pinned() {
    let folder = Folder::new();
    folder.write("tsa.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let with = |pin: &str| {
        one_key(&format!(
            "trust: {{ timestamp_authorities: [{{ name: tsa, chain: tsa.pem{pin} }}] }}\n"
        ))
    };
    folder.refused(&with(""), "add the SHA-256");
    folder.refused(&with(", sha256: \"00\""), "expected 00");
}

/// Rule 15: nobody is let in by a pattern that fits everybody.
#[test]
fn patterns_for_everybody() {
    let folder = Folder::new();
    for pattern in ["*", "*@*"] {
        let text = format!(
            "trust: {{ sigstore: {{ public_good: true }} }}\nsigning_authorities:\n  all: {{ type: keyless, may_sign: [oms], identity_provider: \"https://idp.example\", allowed_identities: [\"{pattern}\"] }}\n"
        );
        folder.refused(&text, "all: ");
    }
}

/// Rule 4: hostile YAML costs little.
#[test]
fn hostile_yaml() {
    let folder = Folder::new();
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..20 {
        let previous = n - 1;
        bomb.push_str(&format!("a{n}: &a{n} [{}]\n", vec![format!("*a{previous}"); 10].join(", ")));
    }
    assert!(folder.read(&bomb).is_err());
    assert!(folder.read(&"[".repeat(100_000)).is_err());
    assert!(folder.read(&format!("a: {}", "x".repeat(5 << 20))).is_err());
    folder.write("bytes.yaml", "");
    std::fs::write(folder.0.path().join("bytes.yaml"), [0xff, 0xfe, 0x00]).unwrap();
    assert!(TrustFile::read(&folder.0.path().join("bytes.yaml"), &Limits::default()).is_err());
    assert!(TrustFile::read(Path::new("/does/not/exist"), &Limits::default()).is_err());
}
