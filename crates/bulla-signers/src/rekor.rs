//! Entries in transparency logs: Rekor v1 and v2.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulla::bundle::Material;
use bulla::sign::{Signed, ToSign};
use bulla::{Fault, KeyAlgorithm, LogEntry, Signer};
use serde_json::json;
use sigstore_types::KindVersion;

use crate::config::{Log, RekorVersion};
use crate::http::{Client, Service};

/// Records what another signer signs in transparency logs.
pub struct WithLog<S> {
    signer: S,
    client: Client,
    logs: Vec<Log>,
    wanted: usize,
}

impl<S> std::fmt::Debug for WithLog<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WithLog({:?})", self.logs)
    }
}

impl<S: Signer> WithLog<S> {
    /// Asks these logs, in order, until so many have taken the signature.
    pub fn new(signer: S, client: Client, logs: Vec<Log>, wanted: usize) -> Self {
        Self { signer, client, logs, wanted }
    }
}

impl<S: Signer> Signer for WithLog<S> {
    fn sign(&self, what: ToSign<'_>) -> Result<Signed, Fault> {
        let recorded = Recorded::of(&what);
        let mut signed = self.signer.sign(what)?;
        let entries =
            first(&self.logs, self.wanted, |log| record(&self.client, log, &recorded, &signed))?;
        signed.evidence.log_entries.extend(entries);
        Ok(signed)
    }

    fn algorithm(&self) -> Option<KeyAlgorithm> {
        self.signer.algorithm()
    }
}

/// So many results, of the first that give one; the fault of the last that did not.
pub(crate) fn first<T, U>(
    from: &[T],
    wanted: usize,
    ask: impl Fn(&T) -> Result<U, Fault>,
) -> Result<Vec<U>, Fault> {
    let mut results = Vec::new();
    let mut last = None;
    for one in from {
        if results.len() == wanted {
            break;
        }
        match ask(one) {
            Ok(result) => results.push(result),
            Err(fault) => last = Some(fault),
        }
    }
    match last {
        Some(fault) if results.len() < wanted => Err(fault),
        None if results.len() < wanted => {
            Err(Fault::Bug { what: "more services were asked for than there are" })
        }
        _ => Ok(results),
    }
}

/// What an entry is about.
enum Recorded {
    Statement { payload: Vec<u8>, sha256: Vec<u8> },
    Bytes { sha256: Vec<u8> },
}

impl Recorded {
    fn of(what: &ToSign<'_>) -> Self {
        let sha256 = what.sha256().as_bytes().to_vec();
        match what {
            ToSign::Statement { payload, .. } => {
                Self::Statement { payload: payload.to_vec(), sha256 }
            }
            _ => Self::Bytes { sha256 },
        }
    }
}

fn record(
    client: &Client,
    log: &Log,
    recorded: &Recorded,
    signed: &Signed,
) -> Result<LogEntry, Fault> {
    let service = Service { name: "transparency log (Rekor)", url: &log.url };
    let verifier = Verifier::of(signed)?;
    let hint = "check the address and the signing config; nothing was written";
    let bad = |detail: String| service.fault(detail, hint);
    let json = match log.version {
        RekorVersion::V1 => {
            let (kind, request) = verifier.request_v1(recorded, &signed.signature);
            let body = request.to_string();
            let mut answer =
                client.post(service, "/api/v1/log/entries", "application/json", body.as_bytes())?;
            // It has been recorded before: the log says where.
            if answer.status == 409
                && let Some(path) = answer.location.as_deref().and_then(path_of)
            {
                answer = client.get(service, &path, &[("Accept", "application/json")])?;
            }
            if !(200..300).contains(&answer.status) {
                return Err(bad(answer.shown()));
            }
            let entries: std::collections::HashMap<String, sigstore_rekor::LogEntry> =
                serde_json::from_slice(&answer.body).map_err(|e| bad(e.to_string()))?;
            let entry = entries.into_values().next();
            let entry = entry.ok_or_else(|| bad("it answered with no entry".into()))?;
            let entry = entry.to_bundle_entry(kind).map_err(|e| bad(e.to_string()))?;
            must_be_proven(&entry).map_err(&bad)?;
            serde_json::to_string(&entry).map_err(|e| bad(e.to_string()))?
        }
        RekorVersion::V2 => {
            let body = verifier.request_v2(recorded, &signed.signature).to_string();
            let path = "/api/v2/log/entries";
            let answer = client.post(service, path, "application/json", body.as_bytes())?;
            if !(200..300).contains(&answer.status) {
                return Err(bad(answer.shown()));
            }
            // Into its type and back: nothing that the format does not have gets into the bundle.
            let entry: sigstore_types::TransparencyLogEntry =
                serde_json::from_slice(&answer.body).map_err(|e| bad(e.to_string()))?;
            must_be_proven(&entry).map_err(&bad)?;
            serde_json::to_string(&entry).map_err(|e| bad(e.to_string()))?
        }
    };
    LogEntry::from_json(json).map_err(|e| bad(e.to_string()))
}

/// An entry without a proof is one that nobody can check.
fn must_be_proven(entry: &sigstore_types::TransparencyLogEntry) -> Result<(), String> {
    match &entry.inclusion_proof {
        Some(proof) if !proof.checkpoint.is_empty() => Ok(()),
        _ => Err("its entry has no inclusion proof with a checkpoint".into()),
    }
}

/// The path in a `Location` header, which may be an address of the same log.
fn path_of(location: &str) -> Option<String> {
    let path = match url::Url::parse(location) {
        Ok(url) => url.path().to_owned(),
        Err(_) => location.to_owned(),
    };
    path.starts_with("/api/v1/log/entries").then_some(path)
}

/// Whose signature it is, as the log is told.
struct Verifier {
    certificate: Option<Vec<u8>>,
    spki: Vec<u8>,
    pem: String,
}

impl Verifier {
    fn of(signed: &Signed) -> Result<Self, Fault> {
        // The log checks the signature, and knows one way of signing for each kind of key.
        if signed.key.algorithm() != KeyAlgorithm::EcdsaP256 {
            return Err(Fault::Key {
                detail: format!(
                    "signatures by {} keys are not sent to a log, only those by ecdsa-p256 keys",
                    signed.key.algorithm()
                ),
                hint: Some("sign without a log, or with a key of 'bulla key generate'"),
            });
        }
        let certificate = match &signed.material {
            Material::Sigstore { certificate } => Some(certificate.clone()),
            Material::CertificateChain(chain) => chain.first().cloned(),
            Material::PublicKey(_) => None,
        };
        let pem = match &certificate {
            Some(der) => pem("CERTIFICATE", der),
            None => signed.key.to_pem(),
        };
        Ok(Self { certificate, spki: signed.key.spki_der().to_vec(), pem })
    }

    fn request_v1(
        &self,
        recorded: &Recorded,
        signature: &[u8],
    ) -> (KindVersion, serde_json::Value) {
        let verifier = STANDARD.encode(&self.pem);
        match recorded {
            Recorded::Statement { payload, .. } => {
                let envelope = json!({
                    "payload": STANDARD.encode(payload),
                    "payloadType": bulla::bundle::PAYLOAD_TYPE,
                    "signatures": [{ "keyid": "", "sig": STANDARD.encode(signature) }],
                });
                let content = json!({ "envelope": envelope.to_string(), "verifiers": [verifier] });
                let spec = json!({ "proposedContent": content });
                let request = json!({ "apiVersion": "0.0.1", "kind": "dsse", "spec": spec });
                (KindVersion::DsseV001, request)
            }
            Recorded::Bytes { sha256 } => {
                let spec = json!({
                    "data": { "hash": { "algorithm": "sha256", "value": hex::encode(sha256) } },
                    "signature": {
                        "content": STANDARD.encode(signature),
                        "publicKey": { "content": verifier },
                    },
                });
                let request =
                    json!({ "apiVersion": "0.0.1", "kind": "hashedrekord", "spec": spec });
                (KindVersion::HashedRekordV001, request)
            }
        }
    }

    fn request_v2(&self, recorded: &Recorded, signature: &[u8]) -> serde_json::Value {
        let (Recorded::Statement { sha256, .. } | Recorded::Bytes { sha256 }) = recorded;
        let details = "PKIX_ECDSA_P256_SHA_256";
        let verifier = match &self.certificate {
            Some(der) => {
                json!({ "x509Certificate": { "rawBytes": STANDARD.encode(der) }, "keyDetails": details })
            }
            None => {
                json!({ "publicKey": { "rawBytes": STANDARD.encode(&self.spki) }, "keyDetails": details })
            }
        };
        json!({ "hashedRekordRequestV002": {
            "digest": STANDARD.encode(sha256),
            "signature": { "content": STANDARD.encode(signature), "verifier": verifier },
        } })
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    der::pem::encode_string(label, der::pem::LineEnding::LF, der).unwrap_or_default()
}
