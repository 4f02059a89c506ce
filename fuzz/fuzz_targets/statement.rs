//! Any bytes as a statement with a good signature: no panic, and what is accepted says again the same.
#![no_main]
use std::sync::OnceLock;

use bulla_testkit::bundles::TestSigner;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    static SIGNER: OnceLock<TestSigner> = OnceLock::new();
    let signer = SIGNER.get_or_init(TestSigner::default);
    if bytes.is_empty() {
        return;
    }
    let limits = bulla::Limits::default();
    let decode = |payload: &[u8]| {
        bulla::UnverifiedBundle::parse(&signer.bundle_of(payload), &limits)
            .unwrap()
            .authenticate(&signer.trust, bulla_testkit::now(), &limits)
            .unwrap()
            .decode()
    };
    if let Ok(claim) = decode(bytes) {
        let claim = claim.value();
        if claim.dialect == bulla::statement::oms::Dialect::V1 {
            // Written again, in code-point order, it is the same claim; only its root follows the order.
            let again = decode(&claim.encode());
            if let Ok(again) = &again {
                assert_eq!(again.value(), claim);
            } else {
                assert!(format!("{again:?}").contains("RootMismatch"), "{again:?}");
            }
        }
    }
});
