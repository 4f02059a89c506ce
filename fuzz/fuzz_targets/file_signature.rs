//! Any bytes as the signature of a file, under a real root, for anyone at one provider, and as a home-made layout: no panic; only
//! the real signature of the real file is accepted.
#![no_main]
use std::sync::OnceLock;

use bulla::blob::{Blob, UnverifiedFileSignature};
use bulla::{Digest, Embedded, IdentityRule, Limits, SigstoreRoot, Trust, other_layouts};
use libfuzzer_sys::fuzz_target;

const FILE: &[u8] = include_bytes!("../../crates/bulla/tests/data/sigstore/staging-rekor-v2.txt");

fn trust() -> &'static Trust {
    static TRUST: OnceLock<Trust> = OnceLock::new();
    TRUST.get_or_init(|| {
        let root = SigstoreRoot::embedded(Embedded::Staging).unwrap();
        let rule = IdentityRule::new("jku@goto.fi", "https://github.com/login/oauth").unwrap();
        Trust::sigstore(root, vec![rule]).unwrap()
    })
}

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    let now = "2026-11-20T12:00:00Z".parse().unwrap();
    if let Ok(signature) = UnverifiedFileSignature::parse(bytes, None, &limits) {
        let other = Blob::Sha256(Digest::sha256(b"another file"));
        assert!(signature.verify(&other, trust(), now, &limits).is_err());
        let file = Blob::Sha256(Digest::sha256(FILE));
        if let Ok(signed) = signature.verify(&file, trust(), now, &limits) {
            assert_eq!(signed.times().len(), 1);
        }
    }
    let _ = other_layouts::authenticate_hash(bytes, trust(), now, &limits);
    let _ = other_layouts::authenticate_manifest(bytes, bytes, None, trust(), now, &limits);
});
