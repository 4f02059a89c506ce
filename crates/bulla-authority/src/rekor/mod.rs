//! The logs of signatures, behind the interfaces of Rekor: v2, and v1 for older clients. Each is a tree of its own.

pub(crate) mod entries_v1;
pub(crate) mod index;
pub(crate) mod v1;
pub(crate) mod v2;

use bulla::PublicKey;
use der::Decode as _;

use crate::http::Refusal;
use crate::x509;

/// What a signature is checked with: a key, or a certificate with one in it.
#[derive(Debug)]
pub(crate) struct Verifier {
    pub(crate) key: PublicKey,
    /// What the client sent, in its one encoding.
    pub(crate) document: Document,
}

/// DER.
#[derive(Debug)]
pub(crate) enum Document {
    Certificate(Vec<u8>),
    PublicKey(Vec<u8>),
}

impl Verifier {
    /// A certificate. Nobody checks here who issued it: those who verify do.
    pub(crate) fn certificate(der: Vec<u8>) -> Result<Self, Refusal> {
        // Exactly a certificate, and nothing after it.
        x509_cert::Certificate::from_der(&der)
            .map_err(|_| Refusal::malformed("the certificate is malformed"))?;
        let key = crate::fulcio::key_of_certificate(&der).map_err(refused)?;
        Ok(Self { key, document: Document::Certificate(der) })
    }

    /// A bare key.
    pub(crate) fn public_key(der: Vec<u8>) -> Result<Self, Refusal> {
        let key = PublicKey::from_spki_der(&der).map_err(refused)?;
        Ok(Self { key, document: Document::PublicKey(der) })
    }

    /// PEM with exactly one of these.
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self, Refusal> {
        // Any width of lines, any line ending: the entry has its own.
        let text: String = std::str::from_utf8(pem)
            .map_err(|_| Refusal::malformed("the verifier is not PEM"))?
            .lines()
            .map(|line| format!("{}\n", line.trim_end()))
            .collect();
        let text = format!("{}\n", text.trim());
        let width = text.lines().nth(1).map_or(64, |line| line.len().max(64));
        let malformed = |_| Refusal::malformed("the verifier is not PEM of one certificate or key");
        let mut decoder =
            der::pem::Decoder::new_wrapped(text.as_bytes(), width).map_err(malformed)?;
        let label = decoder.type_label().to_owned();
        let mut der = Vec::new();
        decoder.decode_to_end(&mut der).map_err(malformed)?;
        match label.as_str() {
            "CERTIFICATE" => Self::certificate(der),
            "PUBLIC KEY" => Self::public_key(der),
            _ => Err(Refusal::malformed("the verifier is neither a certificate nor a public key")),
        }
    }

    /// 64 columns, line feeds: as Rekor writes it into its entries.
    pub(crate) fn to_pem(&self) -> Result<String, Refusal> {
        match &self.document {
            Document::Certificate(der) => Ok(x509::certificate_pem(der)?),
            Document::PublicKey(_) => Ok(self.key.to_pem()),
        }
    }
}

fn refused(fault: bulla::Fault) -> Refusal {
    Refusal::malformed(format!("the verifier is refused: {fault}"))
}

/// RFC 8785.
pub(crate) fn canonical_json(value: &serde_json::Value) -> Result<Vec<u8>, Refusal> {
    serde_json_canonicalizer::to_vec(value)
        .map_err(|_| Refusal::malformed("the entry has no canonical form"))
}

#[cfg(test)]
mod tests {
    use bulla::{KeyAlgorithm, KeyPair};

    use super::*;

    #[test]
    fn a_verifiers_pem_has_one_form() {
        let key = KeyPair::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let pem = key.public().to_pem();
        for other in [pem.clone(), pem.replace('\n', "\r\n"), format!("\n{pem}\n")] {
            assert_eq!(Verifier::from_pem(other.as_bytes()).unwrap().to_pem().unwrap(), pem);
        }
        for bad in [format!("{pem}{pem}"), String::new(), "-----BEGIN X-----".into()] {
            assert!(Verifier::from_pem(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
