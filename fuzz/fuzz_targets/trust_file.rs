//! Any bytes as a trust file: no panic, no endless reading; what is accepted names somebody.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let path = folder.path().join("trust.yaml");
    std::fs::write(&path, bytes).unwrap();
    if let Ok(read) = bulla_policy::TrustFile::read(&path, &bulla::Limits::default()) {
        assert!(!read.rules.parties.is_empty());
    }
});
