//! RFC 3161 timestamps over signatures.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use bulla::sign::{Signed, ToSign};
use bulla::{Digest, Fault, KeyAlgorithm, Signer};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912;
use der::asn1::{Null, OctetString, Uint};
use der::{Any, Encode as _, Sequence};

use crate::http::{Client, Service};

/// Adds timestamps to what another signer signs.
pub struct WithTimestamps<S> {
    signer: S,
    client: Client,
    urls: Vec<String>,
    wanted: usize,
}

impl<S> std::fmt::Debug for WithTimestamps<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WithTimestamps({:?})", self.urls)
    }
}

impl<S: Signer> WithTimestamps<S> {
    /// Asks the authorities at these addresses, in order, until so many have stamped.
    pub fn new(signer: S, client: Client, urls: Vec<String>, wanted: usize) -> Self {
        Self { signer, client, urls, wanted }
    }
}

impl<S: Signer> Signer for WithTimestamps<S> {
    fn sign(&self, what: ToSign<'_>) -> Result<Signed, Fault> {
        let mut signed = self.signer.sign(what)?;
        let stamps = crate::rekor::first(&self.urls, self.wanted, |url| {
            stamp(&self.client, url, &signed.signature)
        })?;
        signed.evidence.timestamps.extend(stamps);
        Ok(signed)
    }

    fn algorithm(&self) -> Option<KeyAlgorithm> {
        self.signer.algorithm()
    }
}

/// TimeStampReq (RFC 3161 §2.4.1).
#[derive(Sequence)]
struct Request {
    version: u8,
    imprint: Imprint,
    nonce: Uint,
    certificates: bool,
}

#[derive(Sequence)]
struct Imprint {
    algorithm: Algorithm,
    hash: OctetString,
}

#[derive(Sequence)]
struct Algorithm {
    oid: ObjectIdentifier,
    parameters: Any,
}

fn stamp(client: &Client, url: &str, signature: &[u8]) -> Result<Vec<u8>, Fault> {
    let service = Service { name: "timestamp authority", url };
    let broken = |_| Fault::Bug { what: "a timestamp request could not be written" };
    let mut nonce = [0; 16];
    SystemRandom::new()
        .fill(&mut nonce)
        .map_err(|_| Fault::Bug { what: "there is no randomness" })?;
    let request = Request {
        version: 1,
        imprint: Imprint {
            algorithm: Algorithm { oid: rfc5912::ID_SHA_256, parameters: Null.into() },
            hash: OctetString::new(Digest::sha256(signature).as_bytes()).map_err(broken)?,
        },
        nonce: Uint::new(&nonce).map_err(broken)?,
        certificates: true,
    };
    let request = request.to_der().map_err(broken)?;
    let answer = client.post(service, "", "application/timestamp-query", &request)?;
    let hint = "check the address, or use another timestamp authority";
    if !(200..300).contains(&answer.status) {
        return Err(service.fault(answer.shown(), hint));
    }
    bulla::check_response(&answer.body, signature, &nonce)
        .map_err(|problem| service.fault(problem.to_string(), hint))?;
    Ok(answer.body)
}
