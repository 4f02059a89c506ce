//! Any bytes as a signed note, a checkpoint, a verifier key, an add-checkpoint request, a proof: what is read is written
//! back the same.
#![no_main]
use bulla_log::Checkpoint;
use bulla_log::audit::export::Proof;
use bulla_log::note::{Note, VerifierKey};
use bulla_log::witness::AddCheckpoint;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(note) = Note::parse(bytes) {
        let lines: String = note.signatures().iter().map(|line| format!("{line}\n")).collect();
        let written = format!("{}\n{lines}", note.unverified_text());
        assert_eq!(written.as_bytes(), bytes);
        if let Ok(checkpoint) = Checkpoint::parse(note.unverified_text()) {
            assert_eq!(checkpoint.to_text(), note.unverified_text());
        }
        assert!(note.verify([]).is_err());
    }
    if let Ok(request) = AddCheckpoint::parse(bytes) {
        assert_eq!(request.encode().as_bytes(), bytes);
    }
    if let Ok(proof) = Proof::parse(bytes) {
        assert_eq!(proof.encode().as_bytes(), bytes);
    }
    if let Ok(key) = std::str::from_utf8(bytes)
        .map_err(drop)
        .and_then(|text| VerifierKey::parse(text).map_err(drop))
    {
        assert_eq!(key.to_string().as_bytes(), bytes);
    }
});
