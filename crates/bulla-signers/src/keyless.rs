//! Signing with an identity instead of a key (Sigstore): the key is made, certified, used once and forgotten.

use bulla::bundle::Material;
use bulla::sign::{Signed, ToSign};
use bulla::{Certificate, Fault, KeyAlgorithm, Signer};

use crate::fulcio::{self, Certified};
use crate::http::Client;
use crate::rekor::first;
use crate::token::Token;

/// Signs with a key that a Sigstore instance has certified for an identity.
pub struct Keyless {
    certified: Certified,
}

impl std::fmt::Debug for Keyless {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyless({:?})", self.certified.certificate)
    }
}

impl Keyless {
    /// Has a new key certified. The certificate lives for minutes: measure first, then ask.
    ///
    /// # Errors
    /// [`Fault::Service`] that names the service and says what it answered.
    pub fn certify(client: &Client, authorities: &[String], token: &Token) -> Result<Self, Fault> {
        let mut certified = first(authorities, 1, |url| fulcio::certify(client, url, token))?;
        let certified = certified.pop().ok_or(Fault::Bug { what: "a certificate was lost" })?;
        Ok(Self { certified })
    }

    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certified.certificate
    }
}

impl Signer for Keyless {
    fn sign(&self, what: ToSign<'_>) -> Result<Signed, Fault> {
        let certificate = self.certified.certificate.to_der().to_vec();
        let signed = self.certified.key.sign(what)?;
        Ok(Signed { material: Material::Sigstore { certificate }, ..signed })
    }

    fn algorithm(&self) -> Option<KeyAlgorithm> {
        self.certified.key.algorithm()
    }
}
