//! Keys, certificates and whom to trust.
//!
//! Nothing is trusted by default: a verifier names keys, or certificate authorities. There is no
//! default store of authorities, and no "signed by somebody".

mod ca;
mod certificate;
mod cosign_key;
mod key_pair;
mod pem;
mod public_key;

pub use ca::{PathProblem, TrustedPath};
pub use certificate::{Certificate, SignerName};
pub use key_pair::{KeyFileFormat, KeyPair, Password, PrivateKeyFile};
pub use public_key::{KeyAlgorithm, PublicKey};

pub(crate) use ca::{check_leaf, find_path};

use crate::error::Fault;

/// Whom to trust. Neither kind can be empty.
#[derive(Debug, Clone)]
pub struct Trust(pub(crate) Kind);

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Keys(Vec<PublicKey>),
    Ca { authorities: Vec<Certificate>, signer: Option<SignerName> },
}

impl Trust {
    /// Signatures by any of these keys.
    ///
    /// # Errors
    /// [`Fault::Key`] when there is none.
    pub fn keys(keys: Vec<PublicKey>) -> Result<Self, Fault> {
        if keys.is_empty() {
            return Err(Fault::key("no key is named to trust"));
        }
        Ok(Self(Kind::Keys(keys)))
    }

    /// Signatures by certificates that lead to any of these authorities; only by the signer of this
    /// name, if one is given.
    ///
    /// # Errors
    /// [`Fault::Key`] when there is no authority.
    pub fn certificate_authorities(
        authorities: Vec<Certificate>,
        signer: Option<SignerName>,
    ) -> Result<Self, Fault> {
        if authorities.is_empty() {
            return Err(Fault::key("no certificate authority is named to trust"));
        }
        Ok(Self(Kind::Ca { authorities, signer }))
    }

    /// What the caller asked for, in words.
    pub(crate) fn expectation(&self) -> &'static str {
        match self.0 {
            Kind::Keys(_) => "you named a key to trust",
            Kind::Ca { .. } => "you named a certificate authority to trust",
        }
    }
}
