//! Any bytes as a statement about a model with a good signature: no panic, and what is accepted says again the same.
#![no_main]
use std::sync::OnceLock;

use bulla::Predicate;
use bulla::statement::build::Step;
use bulla_testkit::bundles::TestSigner;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    static SIGNER: OnceLock<TestSigner> = OnceLock::new();
    let signer = SIGNER.get_or_init(TestSigner::default);
    if bytes.is_empty() {
        return;
    }
    let limits = bulla::Limits::default();
    let read = bulla::UnverifiedBundle::parse(&signer.bundle_of(bytes), &limits)
        .unwrap()
        .authenticate(&signer.trust, bulla_testkit::now(), &limits)
        .unwrap()
        .statement();
    if let Ok(read) = read {
        let statement = &read.value().statement;
        if let Predicate::Provenance(provenance) = &statement.predicate {
            let _ = Step::read(provenance);
        }
        // It is read back as it is written, or refused: 1e400 cannot be.
        statement.encode().unwrap();
    }
});
