//! Any bytes as the body of a cosign key, opened with a wrong password.
#![no_main]
use base64::Engine as _;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let encoded = base64::engine::general_purpose::STANDARD.encode(body);
    let lines: Vec<&str> =
        encoded.as_bytes().chunks(64).map(|c| std::str::from_utf8(c).expect("ASCII")).collect();
    let label = "ENCRYPTED SIGSTORE PRIVATE KEY";
    let pem = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"));
    let password = || Ok(bulla::Password::new(b"x".to_vec().into()));
    let _ = bulla::KeyPair::from_pem(&pem, &bulla::Limits::default(), password);
});
