//! Any bytes as a timestamp, as an answer of an authority and inside a bundle: no panic, and none is for this
//! signature.
#![no_main]
use bulla::bundle::{self, Evidence, KeyHint, Material};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = bulla::Limits::default();
    assert!(bulla::check_response(bytes, b"a signature that nobody stamped", &[1]).is_err());
    let evidence = Evidence { log_entries: Vec::new(), timestamps: vec![bytes.to_vec()] };
    let material = Material::PublicKey(KeyHint::Hint("x".into()));
    let bundle = bundle::encode(&material, &evidence, b"{}", b"s");
    let _ = bulla::inspect::describe(&bundle, &limits);
});
