//! Any bytes as a bundle of entries, an entry of Rekor, a tile, a path: what is read is written back the same.
#![no_main]
use bulla_log::audit::body::Body;
use bulla_log::tile::{Resource, Tile, parse_entries};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (width, bytes) = bytes.split_first().map_or((0, bytes), |(w, rest)| (u64::from(*w), rest));
    if let Some(entries) = parse_entries(bytes, width) {
        let mut written = Vec::new();
        for entry in entries {
            written.extend_from_slice(&u16::try_from(entry.len()).expect("a length").to_be_bytes());
            written.extend_from_slice(entry);
            let _ = Body::parse(entry);
        }
        assert_eq!(written, bytes);
    }
    if let Some(tile) = Tile::parse(bytes, width) {
        assert_eq!(tile.to_bytes(), bytes);
    }
    if let Ok(body) = Body::parse(bytes) {
        assert!(!body.signers.is_empty());
    }
    if let Ok(path) = std::str::from_utf8(bytes)
        && let Some(resource) = Resource::parse(path)
    {
        assert_eq!(resource.to_string(), path);
    }
});
