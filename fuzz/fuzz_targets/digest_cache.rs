//! Any bytes as a digest cache.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = bulla::model::DigestCache::decode(bytes);
});
