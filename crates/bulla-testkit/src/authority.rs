//! Throw-away certificate authorities, with every defect that a test asks for.

use bulla::bundle::Material;
use bulla::sign::{Signed, ToSign};
use bulla::{Certificate, Fault, KeyPair, KeySigner, Limits, Signer};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair as RcgenKey, KeyUsagePurpose, SanType,
};
use time::macros::datetime;

/// A certificate with its key, which can issue others.
#[derive(Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: Certificate,
    pem: String,
    params: CertificateParams,
    key: RcgenKey,
}

/// What a certificate will say; the default of each kind keeps every rule.
#[must_use]
pub fn authority(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// A signer's certificate, for `team@example.com`.
#[must_use]
pub fn signer(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    params.subject_alt_names = vec![
        SanType::Rfc822Name("team@example.com".try_into().unwrap()),
        SanType::URI("spiffe://example.com/trainer".try_into().unwrap()),
        SanType::DnsName("trainer.example.com".try_into().unwrap()),
    ];
    params
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = datetime!(2026-01-01 0:00 UTC);
    params.not_after = datetime!(2027-01-01 0:00 UTC);
    params
}

impl Issued {
    /// Signs itself.
    #[must_use]
    pub fn root(params: CertificateParams) -> Self {
        let key = RcgenKey::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self::new(&certificate, params, key)
    }

    /// Issues another one.
    #[must_use]
    pub fn issue(&self, params: CertificateParams) -> Self {
        let key = RcgenKey::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        Self::new(&certificate, params, key)
    }

    fn new(made: &rcgen::Certificate, params: CertificateParams, key: RcgenKey) -> Self {
        let certificate = Certificate::from_der(made.der()).unwrap();
        Self { certificate, pem: made.pem(), params, key }
    }

    /// The certificate as PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// Its private key as PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// Its private key.
    #[must_use]
    pub fn key_pair(&self) -> KeyPair {
        let never = || panic!("the key is not encrypted");
        KeyPair::from_pem(&self.key.serialize_pem(), &Limits::default(), never).unwrap()
    }

    /// Signs with this certificate and a chain, whatever they are worth: `CertificateSigner` would
    /// refuse most of what tests are about.
    #[must_use]
    pub fn signer(&self, chain: &[&Self]) -> Careless {
        let chain = std::iter::once(self).chain(chain.iter().copied());
        Careless {
            key: KeySigner::new(self.key_pair()),
            chain: chain.map(|c| c.certificate.to_der().to_vec()).collect(),
        }
    }
}

/// A signer that does not look at its certificates.
#[derive(Debug)]
pub struct Careless {
    key: KeySigner,
    chain: Vec<Vec<u8>>,
}

impl Signer for Careless {
    fn sign(&self, what: ToSign<'_>) -> Result<Signed, Fault> {
        let signed = self.key.sign(what)?;
        Ok(Signed { material: Material::CertificateChain(self.chain.clone()), ..signed })
    }
}
