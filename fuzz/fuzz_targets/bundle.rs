//! Any bytes as a signature file: no panic, and what parses can be described.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = bulla::Limits::default();
    let parsed = bulla::UnverifiedBundle::parse(bytes, &limits);
    let described = bulla::inspect::describe(bytes, &limits);
    if let Err(reason) = parsed {
        assert_eq!(reason.to_string().lines().count(), 1);
    } else if let Ok(described) = described {
        let _ = serde_json::to_string(&described);
    }
});
