//! Auditing: what was tampered with is named.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_log::audit::body::Body;
use bulla_log::audit::export::{self, Archive, Proof};
use bulla_log::audit::monitor::{OwnName, monitor};
use bulla_log::audit::{AuditError, Finding, verify};
use bulla_log::storage::StorageError;
use bulla_log::tile::{TileReader, parse_entries};
use bulla_log::{Checkpoint, Log, note};
use common::{Key, ORIGIN, entry};

/// A log in memory, to be tampered with.
#[derive(Clone, Default)]
struct Files(BTreeMap<String, Vec<u8>>);

impl TileReader for Files {
    fn read(&self, path: &str, _: u64) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.0.get(path).cloned())
    }
}

impl Files {
    fn flip(&self, path: &str, byte: usize) -> Self {
        let mut files = self.clone();
        files.0.get_mut(path).unwrap_or_else(|| panic!("no {path}"))[byte] ^= 1;
        files
    }
    fn without(&self, path: &str) -> Self {
        let mut files = self.clone();
        files.0.remove(path).unwrap();
        files
    }
}

/// A log of this size whose entries begin with `of`, and all that it serves.
fn log(key: &Key, of: &str, size: u64) -> Files {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::create(key.config(folder.path())).unwrap();
    // Before a fork both are the same.
    let next = Mutex::new(0);
    std::thread::scope(|scope| {
        for _ in 0..200 {
            scope.spawn(|| {
                loop {
                    let i = {
                        let mut next = next.lock().unwrap();
                        if *next == size {
                            break;
                        }
                        *next += 1;
                        *next - 1
                    };
                    log.append([of.as_bytes(), &entry(i)].concat()).unwrap();
                }
            });
        }
    });
    let mut files = Files::default();
    let bytes = |path: &str| log.file(path).unwrap();
    files.0.insert("checkpoint".into(), bytes("checkpoint").unwrap());
    for kind in ["0", "1", "2", "entries"] {
        for n in 0.. {
            let full = format!("tile/{kind}/{n:03}");
            let partial = (1..256).rev().map(|w| format!("{full}.p/{w}"));
            let Some(path) =
                std::iter::once(full.clone()).chain(partial).find(|p| bytes(p).is_some())
            else {
                break;
            };
            files.0.insert(path.clone(), bytes(&path).unwrap());
        }
    }
    files
}

static KEY: LazyLock<Key> = LazyLock::new(|| Key::new(ORIGIN));
/// 700 entries: two full tiles, one of 188, and one of 2 above.
static LOG: LazyLock<Files> = LazyLock::new(|| log(&KEY, "", 700));

fn findings(files: &Files, before: Option<&Checkpoint>) -> Vec<String> {
    match verify(files, &KEY.trusted(), before) {
        Err(AuditError::Wrong(findings)) => findings.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

fn checkpoint(files: &Files) -> Checkpoint {
    Checkpoint::open(&files.0["checkpoint"], &KEY.trusted()).unwrap()
}

#[test]
fn a_log_in_order() {
    let audited = verify(&*LOG, &KEY.trusted(), None).unwrap();
    assert_eq!((audited.entries, audited.checkpoint.size), (700, 700));
    let same = verify(&*LOG, &KEY.trusted(), Some(&audited.checkpoint));
    assert_eq!(same.unwrap().checkpoint.root, audited.checkpoint.root);
    let empty = log(&KEY, "", 0);
    let audited = verify(&empty, &KEY.trusted(), None).unwrap();
    assert_eq!(audited.entries, 0);
    verify(&*LOG, &KEY.trusted(), Some(&audited.checkpoint)).unwrap();
    let nothing = verify(&Files::default(), &KEY.trusted(), None);
    assert!(matches!(nothing, Err(AuditError::Nothing(_))));
}

/// Each tile, in turn, and nothing but it.
#[test]
fn a_tampered_tile_is_named() {
    let paths = ["tile/0/000", "tile/0/001", "tile/0/002.p/188", "tile/1/000.p/2"];
    for path in paths {
        for byte in [0, 32, 63] {
            let found = findings(&LOG.flip(path, byte), None);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(&format!("{path} was changed")), "{found:?}");
        }
        let found = findings(&LOG.without(path), None);
        assert_eq!(found, [format!("{path} is missing")]);
        let mut cut = LOG.clone();
        cut.0.get_mut(path).unwrap().pop();
        let found = findings(&cut, None);
        assert!(found[0].starts_with(&format!("{path} was changed: it has")), "{found:?}");
    }
    // Several at once.
    let found = findings(&LOG.flip("tile/0/001", 1).flip("tile/0/002.p/188", 1), None);
    assert_eq!(found.len(), 2, "{found:?}");
}

/// A log with a full tile above level 0 has parents that are not the edge.
#[test]
fn a_tampered_entry_is_named() {
    for (path, number) in
        [("tile/entries/000", 0), ("tile/entries/001", 1), ("tile/entries/002.p/188", 2)]
    {
        for within in [0, 7, 150] {
            let mut files = LOG.clone();
            let bundle = files.0.get_mut(path).unwrap();
            let width = if number == 2 { 188 } else { 256 };
            let entries = parse_entries(bundle, width).unwrap();
            let before: usize = entries[..within].iter().map(|entry| entry.len() + 2).sum();
            bundle[before + 2] ^= 1;
            let index = number * 256 + within;
            let found = findings(&files, None);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(&format!("entry {index} was changed")), "{found:?}");
        }
        let found = findings(&LOG.without(path), None);
        assert_eq!(found, [format!("{path} is missing")]);
        // A length that no longer fits.
        let found = findings(&LOG.flip(path, 1), None);
        assert!(found[0].starts_with(&format!("{path} was changed")), "{found:?}");
    }
    let mut swapped = LOG.clone();
    let (one, two) = ("tile/entries/000", "tile/entries/001");
    let first = swapped.0[one].clone();
    let second = swapped.0.insert(two.into(), first).unwrap();
    swapped.0.insert(one.into(), second);
    assert_eq!(findings(&swapped, None).len(), 256);
}

#[test]
fn a_tampered_entry_with_its_tile_is_named() {
    // Both changed so that they fit each other, but not the tree.
    let other = log(&KEY, "other ", 700);
    for (tile, bundle) in
        [("tile/0/001", "tile/entries/001"), ("tile/0/002.p/188", "tile/entries/002.p/188")]
    {
        let mut files = LOG.clone();
        for path in [tile, bundle] {
            files.0.insert(path.into(), other.0[path].clone());
        }
        let found = findings(&files, None);
        if tile.ends_with("001") {
            assert!(found.iter().any(|f| f.starts_with(&format!("{tile} was"))), "{found:?}");
            assert!(found.iter().any(|f| f.starts_with(&format!("{bundle} was"))), "{found:?}");
        } else {
            // At the edge there is nothing above them but the root.
            assert!(found[0].contains("another tree's"), "{found:?}");
        }
    }
}

#[test]
fn a_tampered_checkpoint_is_named() {
    let text = String::from_utf8(LOG.0["checkpoint"].clone()).unwrap();
    let with = |text: String| {
        let mut files = LOG.clone();
        files.0.insert("checkpoint".into(), text.into_bytes());
        findings(&files, None)
    };
    for changed in [
        text.replace("\n700\n", "\n701\n"),
        text.replacen(ORIGIN, "log.example/else", 1),
        text.replace("\n\n", "\n"),
        text.replace("700\n", "700\r\n"),
    ] {
        let found = with(changed);
        assert!(found[0].starts_with("the checkpoint is not to be believed"), "{found:?}");
    }
    // Signed by another key of the same name.
    let other = Key::new(ORIGIN);
    let forged = checkpoint(&LOG).to_text();
    let forged = note::sign(&forged, other.signer.as_ref(), other.verifier()).unwrap();
    let found = with(forged);
    assert!(found[0].contains("expected a signature by"), "{found:?}");
    // Signed by the log, but of another tree.
    let lie = Checkpoint { root: [7; 32], ..checkpoint(&LOG) };
    let lie = note::sign(&lie.to_text(), KEY.signer.as_ref(), KEY.verifier()).unwrap();
    let found = with(lie);
    assert!(found[0].contains("another tree's"), "{found:?}");
}

#[test]
fn a_forked_log_is_named() {
    let fork = log(&KEY, "other ", 900);
    let found = findings(&fork, Some(&checkpoint(&LOG)));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("the log was forked: found root"), "{found:?}");
    let shorter = log(&KEY, "", 20);
    let found = findings(&shorter, Some(&checkpoint(&LOG)));
    assert!(found[0].starts_with("the log was cut back: found size 20"), "{found:?}");
    let stranger = Checkpoint { origin: "log.example/else".into(), ..checkpoint(&shorter) };
    let found = findings(&LOG, Some(&stranger));
    assert!(found[0].contains("log.example/else"), "{found:?}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(60))]
    /// Whatever one byte is changed: it is found, and the file is named.
    #[test]
    fn any_changed_byte_is_found(file in 0_usize..8, byte: proptest::sample::Index, bit in 0_u8..8) {
        let path = LOG.0.keys().nth(file % LOG.0.len()).unwrap().clone();
        let mut files = LOG.clone();
        let bytes = files.0.get_mut(&path).unwrap();
        let at = byte.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let found = findings(&files, None);
        let named = found.iter().all(|f| f.contains(&path) || path == "checkpoint");
        proptest::prop_assert!(named, "{path}: {found:?}");
    }
}

#[test]
fn an_archive_is_the_log_and_is_checked_like_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.tar");
    let audited = verify(&*LOG, &KEY.trusted(), None).unwrap();
    let mut bytes = Vec::new();
    export::write(&*LOG, &audited, &mut bytes).unwrap();
    let mut again = Vec::new();
    export::write(&*LOG, &audited, &mut again).unwrap();
    assert_eq!(bytes, again);
    std::fs::write(&path, &bytes).unwrap();
    let archive = Archive::open(&path).unwrap();
    assert_eq!(verify(&archive, &KEY.trusted(), None).unwrap().entries, 700);
    assert!(archive.read("tile/0/000", 100).is_err());
    assert_eq!(archive.read("tile/0/009", 100), Ok(None));

    // An archive is as little believed as a directory.
    let place = bytes.windows(9).position(|w| w == b"entry 300").unwrap();
    bytes[place] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = verify(&Archive::open(&path).unwrap(), &KEY.trusted(), None).unwrap_err();
    assert!(matches!(&error, AuditError::Wrong(f) if matches!(f[0], Finding::Entry { .. })));
    for cut in [0, 100, 600, 5000] {
        std::fs::write(&path, &again[..cut]).unwrap();
        let opened = Archive::open(&path);
        assert!(
            opened.is_err() || verify(&opened.unwrap(), &KEY.trusted(), None).is_err(),
            "{cut}"
        );
    }
    for (name, kind) in [
        ("../evil", tar::EntryType::Regular),
        ("tile/0/0", tar::EntryType::Regular),
        ("tile/0/000", tar::EntryType::Symlink),
    ] {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_cksum();
        builder.append(&header, std::io::empty()).unwrap();
        std::fs::write(&path, builder.into_inner().unwrap()).unwrap();
        assert!(Archive::open(&path).is_err(), "{name}");
    }
}

#[test]
fn a_proof_is_all_that_is_needed_for_one_entry() {
    for index in [0, 255, 256, 511, 600, 699] {
        let proof = Proof::of(&*LOG, &KEY.trusted(), index).unwrap();
        let file = proof.encode();
        let read = Proof::parse(file.as_bytes()).unwrap();
        assert_eq!(read, proof);
        let entry = read.entry.clone().unwrap();
        assert_eq!(read.verify(&entry, &KEY.trusted()).unwrap().size, 700);
        assert!(read.verify(b"another", &KEY.trusted()).is_err());
        let elsewhere = Proof { index: index ^ 1, ..read.clone() };
        assert!(elsewhere.verify(&entry, &KEY.trusted()).is_err());
        assert!(read.verify(&entry, &Key::new(ORIGIN).trusted()).is_err());
    }
    let none = Proof::of(&*LOG, &KEY.trusted(), 700);
    assert!(matches!(none, Err(AuditError::NoSuchEntry { index: 700, size: 700 })));
    assert!(Proof::of(&LOG.flip("tile/0/001", 0), &KEY.trusted(), 300).is_err());
    let good = Proof::of(&*LOG, &KEY.trusted(), 3).unwrap().encode();
    for wrong in [
        good.replace("@v1", "@v2"),
        good.replace("index 3", "index 03"),
        good.replace("index 3\n", ""),
        good.replace("extra ", "extra !"),
        good.replacen("\n\n", "\n", 1),
        good.replace(
            "index 3\n",
            &format!("index 3\n{}", format!("{}=\n", "A".repeat(43)).repeat(65)),
        ),
    ] {
        let parsed = Proof::parse(wrong.as_bytes());
        assert!(parsed.is_err() || parsed.unwrap().verify(&[], &KEY.trusted()).is_err());
    }
}

/// Fulcio's certificate for a name, as Rekor v2 logs it.
fn rekor_v2(san: rcgen::SanType, issuer: &str) -> Vec<u8> {
    let certificate = STANDARD.encode(certificate(san, issuer).der());
    format!(
        r#"{{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{{"hashedRekordV002":{{"data":{{"algorithm":"SHA2_256","digest":"{}"}},"signature":{{"content":"AAAA","verifier":{{"keyDetails":"PKIX_ECDSA_P256_SHA_256","x509Certificate":{{"rawBytes":"{certificate}"}}}}}}}}}}}}"#,
        STANDARD.encode([0xab; 32])
    )
    .into_bytes()
}

fn certificate(san: rcgen::SanType, issuer: &str) -> rcgen::Certificate {
    let mut parameters = rcgen::CertificateParams::default();
    parameters.subject_alt_names = vec![san];
    let der = [&[0x0c, u8::try_from(issuer.len()).unwrap()], issuer.as_bytes()].concat();
    let oid = [1, 3, 6, 1, 4, 1, 57264, 1, 8];
    parameters.custom_extensions = vec![rcgen::CustomExtension::from_oid_content(&oid, der)];
    parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap()
}

fn email(name: &str) -> rcgen::SanType {
    rcgen::SanType::Rfc822Name(name.try_into().unwrap())
}

#[test]
fn a_monitor_sees_who_signed_what_since_the_last_look() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::create(KEY.config(folder.path())).unwrap();
    let append = |entry: Vec<u8>| drop(log.append(entry).unwrap());
    append(rekor_v2(email("old@example.com"), "https://issuer.example"));
    let storage = log.file("checkpoint").unwrap().unwrap();
    let before = Checkpoint::open(&storage, &KEY.trusted()).unwrap();

    append(rekor_v2(email("Alice@example.com"), "https://issuer.example"));
    let uri = rcgen::SanType::URI("https://ci.example.com/team/model".try_into().unwrap());
    append(rekor_v2(uri, "https://ci.example.com"));
    // v1: PEM in base64.
    let pem = STANDARD.encode(certificate(email("bob@example.com"), "https://i.example").pem());
    append(format!(r#"{{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{{"data":{{"hash":{{"algorithm":"sha256","value":"{}"}}}},"signature":{{"content":"AAAA","publicKey":{{"content":"{pem}"}}}}}}}}"#, "cd".repeat(32)).into_bytes());
    append(format!(r#"{{"apiVersion":"0.0.1","kind":"dsse","spec":{{"envelopeHash":{{"algorithm":"sha256","value":"00"}},"payloadHash":{{"algorithm":"sha256","value":"ef"}},"signatures":[{{"signature":"AAAA","verifier":"{pem}"}}]}}}}"#).into_bytes());
    // A bare key.
    let pair = bulla::KeyPair::generate(bulla::KeyAlgorithm::EcdsaP256).unwrap();
    let fingerprint = pair.public().fingerprint().to_string();
    let spki = STANDARD.encode(pair.public().spki_der());
    append(format!(r#"{{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{{"hashedRekordV002":{{"data":{{"algorithm":"SHA2_256","digest":"AAAA"}},"signature":{{"content":"AAAA","verifier":{{"keyDetails":"PKIX_ECDSA_P256_SHA_256","publicKey":{{"rawBytes":"{spki}"}}}}}}}}}}}}"#).into_bytes());
    // What cannot be read is said.
    for strange in [
        &b"not json"[..],
        b"",
        b"{\"kind\":\"hashedrekord\",\"kind\":\"dsse\"}",
        b"{\"apiVersion\":\"9\",\"kind\":\"hashedrekord\"}",
        b"{\"apiVersion\":\"0.0.2\",\"kind\":\"hashedrekord\"}",
        b"{\"apiVersion\":\"0.0.1\",\"kind\":\"dsse\",\"spec\":{\"signatures\":[]}}",
        b"{\"apiVersion\":\"0.0.1\",\"kind\":\"hashedrekord\",\"spec\":{\"signature\":{\"publicKey\":{\"content\":\"AAAA\"}}}}",
    ] {
        append(strange.to_vec());
    }

    let mut seen = Vec::new();
    let reader = bulla_log::storage::LocalDirectory::open(&folder.path().join("log"));
    let reader = reader.unwrap();
    let audited = monitor(&reader, &KEY.trusted(), Some(&before), &mut |new| seen.push(new));
    assert_eq!(audited.unwrap().entries, 12);
    assert_eq!(seen.iter().map(|new| new.index).collect::<Vec<_>>(), (1..13).collect::<Vec<_>>());
    let signers: Vec<String> = seen
        .iter()
        .map(|new| {
            new.body
                .as_ref()
                .map_or_else(|why| format!("? {why}"), |body| body.signers[0].to_string())
        })
        .collect();
    assert_eq!(signers[0], "email:Alice@example.com (https://issuer.example)");
    assert_eq!(signers[1], "URI:https://ci.example.com/team/model (https://ci.example.com)");
    assert_eq!(signers[2], "email:bob@example.com (https://i.example)");
    assert_eq!(signers[3], signers[2]);
    assert_eq!(signers[4], format!("key {fingerprint}"));
    assert!(signers[5..].iter().all(|signer| signer.starts_with("? ")), "{signers:?}");
    let digest = |i: usize| seen[i].body.as_ref().unwrap().digest.clone().unwrap();
    assert_eq!(digest(0), format!("sha256:{}", "ab".repeat(32)));
    assert_eq!(digest(2), format!("sha256:{}", "cd".repeat(32)));

    // A key that stands twice is read in two ways.
    let twice = rekor_v2(email("a@b"), "x");
    assert!(Body::parse(&twice).is_ok());
    let twice = String::from_utf8(twice).unwrap().replacen('{', r#"{"kind":"dsse","#, 1);
    assert_eq!(Body::parse(twice.as_bytes()).unwrap_err(), "it is not canonical JSON");

    let mine = |pattern: &str| {
        let own = OwnName::parse(pattern).unwrap();
        let bears = |new: &&bulla_log::audit::monitor::NewEntry| {
            new.body.as_ref().is_ok_and(|body| body.signers.iter().any(|s| own.is_borne_by(s)))
        };
        seen.iter().filter(bears).map(|new| new.index).collect::<Vec<_>>()
    };
    assert_eq!(mine("alice@example.com"), [1]);
    assert_eq!(mine("*@example.com"), [1, 3, 4]);
    assert_eq!(mine("https://ci.example.com/*/model"), [2]);
    assert_eq!(mine(&fingerprint), [5]);
    assert!(mine("old@example.com").is_empty());
}

/// `cargo test --package bulla-log --test audit write -- --ignored`: new keys, new certificates; then the transcripts
/// have to be written anew, too.
#[test]
#[ignore = "writes the logs that bulla-cli's transcripts are about"]
fn write_the_fixture_of_the_transcripts() {
    let fixture =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../bulla-cli/tests/cmd/log-fixture");
    let _ = std::fs::remove_dir_all(&fixture);
    std::fs::create_dir(&fixture).unwrap();
    let key = Key::new("log.example/models");
    let issuer = "https://accounts.example.com";
    let signed = [
        rekor_v2(email("release@example.com"), issuer),
        rekor_v2(email("release@example.com"), issuer),
        b"not an entry of Rekor".to_vec(),
        rekor_v2(
            rcgen::SanType::URI("https://ci.example.com/team/train".try_into().unwrap()),
            "https://ci.example.com",
        ),
        rekor_v2(email("release@example.com"), issuer),
    ];
    let write = |name: &str, entries: &[&[u8]]| {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::create(key.config(folder.path())).unwrap();
        for entry in entries {
            log.append(entry.to_vec()).unwrap();
            if log.size() == 3 && name == "log" {
                std::fs::write(fixture.join("last.checkpoint"), log.checkpoint()).unwrap();
            }
        }
        let width = entries.len();
        let tiles = [format!("tile/0/000.p/{width}"), format!("tile/entries/000.p/{width}")];
        for path in [&["checkpoint".to_owned()], &tiles[..]].concat() {
            let to = fixture.join(name).join(&path);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::write(to, log.file(&path).unwrap().unwrap()).unwrap();
        }
    };
    let entries: Vec<&[u8]> = signed.iter().map(Vec::as_slice).collect();
    write("log", &entries);
    let other: Vec<&[u8]> = entries.iter().rev().copied().chain([entries[0]]).collect();
    write("forked-log", &other);
    write("changed-tile", &entries);
    write("changed-entry", &entries);
    let flip = |path: &str, at: usize| {
        let path = fixture.join(path);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    };
    // All were signed with one key, so these two are the log but for one bit.
    flip("changed-tile/tile/0/000.p/5", 70);
    flip("changed-entry/tile/entries/000.p/5", 100);
    let vkey = format!("{}\n", key.verifier());
    std::fs::write(fixture.join("log.vkey"), &vkey).unwrap();
    std::fs::write(fixture.join("../log.out/log.vkey"), &vkey).unwrap();
    std::fs::write(fixture.join("log.pub"), key.verifier().public_key().to_pem()).unwrap();
    let root = format!(
        r#"{{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","tlogs":[{{"baseUrl":"https://log.example/models","hashAlgorithm":"SHA2_256","publicKey":{{"rawBytes":"{}","keyDetails":"PKIX_ED25519","validFor":{{"start":"2026-01-01T00:00:00Z"}}}},"logId":{{"keyId":"{}"}}}}]}}"#,
        STANDARD.encode(key.verifier().public_key().spki_der()),
        STANDARD.encode(key.verifier().public_key().fingerprint().as_bytes()),
    );
    std::fs::write(fixture.join("trusted_root.json"), format!("{root}\n")).unwrap();
}
