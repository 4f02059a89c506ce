//! Any bytes as a `claims.jsonl`: no panic, and every line is either a bundle or told.
#![no_main]
use bulla::claims::ClaimsFile;
use bulla::inspect::ClaimsDescription;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let file = ClaimsFile::parse(bytes, &bulla::Limits::default());
    let lines = bytes.split(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
    assert!(file.cut || file.bundles.len() + file.broken.len() == lines);
    let _ = ClaimsDescription::of(&file, None);
});
