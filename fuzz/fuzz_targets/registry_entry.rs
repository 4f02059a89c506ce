//! Entries of a registry's log, its checkpoints and places: what is read has one spelling, which is what was read.
#![no_main]
use bulla_registry::{Entry, Place, SignedHead};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(entry) = Entry::decode(bytes) {
        assert_eq!(entry.encode().unwrap(), bytes);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // What is shown of a place has no password.
    let _ = Place::parse(text).to_string();
    if let Ok(key) = bulla_log::note::VerifierKey::parse(
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ) {
        let _ = SignedHead::open(text, &key);
    }
});
