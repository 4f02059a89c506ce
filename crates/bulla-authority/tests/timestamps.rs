//! Timestamps, as OpenSSL asks for them and verifies them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla_testkit::sigstore::TestAuthority;

/// Runs OpenSSL; returns whether it said yes, and what it said.
fn openssl(folder: &Path, arguments: &str) -> (bool, String) {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

struct Bench {
    authority: TestAuthority,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = TestAuthority::start();
        std::fs::write(folder.path().join("data"), "signature").unwrap();
        std::fs::write(folder.path().join("other"), "another").unwrap();
        let chain = &authority.trusted_root()["timestampAuthorities"][0]["certChain"];
        for (i, name) in ["leaf", "root"].iter().enumerate() {
            let der = chain["certificates"][i]["rawBytes"].as_str().unwrap();
            let path = folder.path().join(name);
            std::fs::write(&path, STANDARD.decode(der).unwrap()).unwrap();
            let (made, said) =
                openssl(folder.path(), &format!("x509 -inform DER -in {name} -out {name}.pem"));
            assert!(made, "{said}");
        }
        Self { authority, folder }
    }

    fn openssl(&self, arguments: &str) -> (bool, String) {
        openssl(self.folder.path(), arguments)
    }

    /// Asks for a timestamp of `data`; returns the status.
    fn ask(&self, flags: &str) -> u16 {
        let (asked, said) = self.openssl(&format!("ts -query -data data {flags} -out query"));
        assert!(asked, "{said}");
        let query = std::fs::read(self.folder.path().join("query")).unwrap();
        self.post("application/timestamp-query", query)
    }

    fn post(&self, kind: &str, query: Vec<u8>) -> u16 {
        let (status, reply) = self.authority.post("/api/v1/timestamp", kind, query);
        std::fs::write(self.folder.path().join("reply"), reply).unwrap();
        status
    }

    fn reply(&self) -> String {
        self.openssl("ts -reply -in reply -text").1
    }
}

#[test]
fn openssl_verifies_them() {
    let bench = Bench::new();
    for hash in ["-sha256", "-sha384", "-sha512"] {
        for (flags, untrusted) in
            [("-cert", ""), ("", "-untrusted leaf.pem"), ("-cert -no_nonce", "")]
        {
            assert_eq!(bench.ask(&format!("{hash} {flags}")), 201);
            let (verified, said) = bench.openssl(&format!(
                "ts -verify -queryfile query -in reply -CAfile root.pem {untrusted}"
            ));
            assert!(verified, "{hash} {flags}\n{said}");
            let (verified, said) = bench
                .openssl(&format!("ts -verify -data other -in reply -CAfile root.pem {untrusted}"));
            assert!(!verified, "{said}");
            // Whole seconds, or the Rust client refuses it.
            let time = bench.reply();
            let line = time.lines().find(|line| line.starts_with("Time stamp:")).unwrap();
            assert!(!line.contains('.'), "{line}");
        }
    }
}

#[test]
fn certificates_come_only_when_they_are_asked_for() {
    let bench = Bench::new();
    let size = |flags| {
        bench.ask(flags);
        std::fs::metadata(bench.folder.path().join("reply")).unwrap().len()
    };
    let leaf = std::fs::metadata(bench.folder.path().join("leaf")).unwrap().len();
    assert!(size("-sha256 -cert") > size("-sha256") + leaf);
}

#[test]
fn what_is_not_granted_has_its_reason() {
    let bench = Bench::new();
    for (flags, reason) in [
        ("-sha1", "unrecognized or unsupported algorithm identifier"),
        ("-sha224", "unrecognized or unsupported algorithm identifier"),
        ("-sha256 -tspolicy 1.2.3.4", "the requested TSA policy is not supported by the TSA"),
    ] {
        assert_eq!(bench.ask(flags), 400);
        let reply = bench.reply();
        assert!(reply.contains("Status: Rejected."), "{reply}");
        assert!(reply.contains(reason), "{reply}");
    }
    for garbage in [vec![], vec![0x30, 0], vec![7; 100]] {
        assert_eq!(bench.post("application/timestamp-query", garbage), 400);
        let reply = bench.reply();
        assert!(reply.contains("the data submitted has the wrong format"), "{reply}");
    }
    assert_eq!(bench.post("application/timestamp-query", vec![0; 100_000]), 413);
}

#[test]
fn a_request_in_json_is_the_same() {
    let bench = Bench::new();
    let digest = bulla::Digest::sha256(b"signature").to_hex();
    let hash = STANDARD.encode(hex::decode(digest).unwrap());
    let ask = |more: &str| {
        let body = format!(r#"{{"artifactHash":"{hash}","hashAlgorithm":"sha256"{more}}}"#);
        bench.post("application/json", body.into_bytes())
    };
    for nonce in ["0", "1", "127", "128", "18446744073709551615"] {
        assert_eq!(ask(&format!(r#","certificates":true,"nonce":{nonce}"#)), 201, "{nonce}");
        let (verified, said) = bench.openssl("ts -verify -data data -in reply -CAfile root.pem");
        assert!(verified, "{said}");
        let reply = bench.reply();
        let shown = reply.lines().find_map(|line| line.strip_prefix("Nonce: 0x")).unwrap();
        assert_eq!(u64::from_str_radix(shown, 16).unwrap().to_string(), nonce);
    }
    assert_eq!(ask(r#","tsaPolicyOID":"1.2.3""#), 400);
    assert!(bench.reply().contains("policy is not supported"));
    assert_eq!(bench.post("application/json", b"{}".to_vec()), 400);
    assert!(bench.reply().contains("wrong format"));
}
