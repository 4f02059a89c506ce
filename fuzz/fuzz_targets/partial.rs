//! Any bytes as a partial manifest: what is read is written back the same.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(partial) = bulla::model::PartialManifest::decode(bytes) {
        let written = partial.encode();
        let again = bulla::model::PartialManifest::decode(&written).expect("what was written");
        assert_eq!(again.encode(), written);
        let _ = bulla::model::Partials::join(vec![("part".into(), partial)], None);
    }
});
