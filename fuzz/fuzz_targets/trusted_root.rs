//! Any bytes as a trusted root: no panic. And any text as an identity: what is accepted as a pattern accepts itself, unless
//! it has a star.
#![no_main]
use bulla::{ClaimRule, IdentityRule, Limits, SigstoreRoot};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(root) = SigstoreRoot::from_json("fuzz", bytes, &Limits::default()) {
        let _ = root.contents();
    }
    let text = String::from_utf8_lossy(bytes);
    if let Ok(rule) = IdentityRule::new(&text, "https://idp.example") {
        assert!(!rule.to_string().chars().any(char::is_control));
    }
    let _ = IdentityRule::new("a@example.com", &text);
    let _ = ClaimRule::parse(&text);
});
