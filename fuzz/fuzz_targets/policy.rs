//! Any bytes as a policy, as revocations, as cases and as a certificate policy: no panic, no endless reading; what is accepted can be explained.
#![no_main]
use bulla_policy::{Answers, Case, Policy, RevocationList};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = std::path::Path::new("/nonexistent/policy.yaml");
    match Policy::check(path, bytes, &bulla::Limits::default()) {
        Ok(policy) => {
            assert!(!policy.environments.is_empty() && !policy.explain().is_empty());
            let now = "2026-11-20T12:00:00Z".parse().unwrap();
            let _ = policy.concerns(now);
        }
        Err(unusable) => assert!(!unusable.concerns.is_empty()),
    }
    let nothing = Answers::default();
    assert!(bulla_policy::import(path, bytes, &nothing, path, &bulla::Limits::default()).is_err());
    if let Ok(cases) = Case::parse(path, bytes) {
        assert!(!cases.is_empty());
    }
    if let Ok(list) = RevocationList::read(path, bytes) {
        let mut twice = list.clone();
        twice.unite(&list);
        assert_eq!(twice.models, list.models);
    }
});
