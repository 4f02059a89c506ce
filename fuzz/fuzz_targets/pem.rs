//! Any text as a key or certificate file.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let limits = bulla::Limits::default();
    let _ = bulla::PublicKey::from_pem(text, &limits);
    let _ = bulla::Certificate::from_pem(text, &limits);
    let _ = bulla::KeyPair::file_kind(text, &limits);
    // Without a password, so that no time is spent on deriving keys.
    let _ = bulla::KeyPair::from_pem(text, &limits, || Err(bulla::Fault::PasswordNeeded));
});
