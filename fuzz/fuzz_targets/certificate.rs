//! Any bytes as a certificate, checked against itself as an authority.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(certificate) = bulla::Certificate::from_der(bytes) {
        let _ = certificate.public_key();
        let _ = (certificate.subject(), certificate.issuer(), certificate.names());
        let limits = bulla::Limits::default();
        let material = bulla::bundle::Material::CertificateChain(vec![bytes.to_vec()]);
        let bundle = bulla::bundle::encode(&material, &bulla::Evidence::default(), b"{}", b"x");
        let trust =
            bulla::Trust::certificate_authorities(vec![certificate], None).expect("one authority");
        let parsed = bulla::UnverifiedBundle::parse(&bundle, &limits).expect("our own bundle");
        assert!(parsed.authenticate(&trust, bulla_testkit::now(), &limits).is_err());
    }
});
