//! Any bytes as a training log: no panic, and what is accepted has as many lines as its head says.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(report) = bulla_provenance::training_log::verify(bytes, None) {
        assert_eq!(report.head.lines, bytes.iter().filter(|b| **b == b'\n').count() as u64);
        assert!(bulla_provenance::training_log::verify(bytes, Some(&report.head)).is_ok());
    }
});
