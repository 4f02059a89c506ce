//! The certificate authority, behind Fulcio's interface (v2).
//!
//! ```text
//! token ─► identity ┐
//! key, proof ───────┴─► used once ─► to-be-signed ─► in the log ─► signed certificate timestamp ─► certificate
//! ```
//!
//! Whatever can be refused is refused before the token is used and the log is written.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bulla::{Certificate, Limits, PublicKey};
use der::asn1::{Any, Ia5String, Utf8StringRef};
use der::{Decode as _, DecodePem as _, Encode as _};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::json;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::{GeneralName, OtherName};
use x509_cert::name::RdnSequence;
use x509_cert::request::CertReq;

use crate::authority::{Active, Authority};
use crate::clock::whole_seconds;
use crate::config::IssuerType;
use crate::ct;
use crate::http::{Refusal, read_object};
use crate::identity::{self, Identity, SubjectName};
use crate::oidc::{self, UseError, VerifiedToken};
use crate::signatures::{self, Hash};
use crate::x509::{self, Issuer, Subject, Usage, malformed};

/// Largest request: a token, a key and a signature.
pub(crate) const REQUEST_BYTES: usize = 64 << 10;

/// `CreateSigningCertificateRequest`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    #[serde(default)]
    credentials: Option<Credentials>,
    #[serde(default)]
    public_key_request: Option<PublicKeyRequest>,
    #[serde(default)]
    certificate_signing_request: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Credentials {
    oidc_identity_token: zeroize::Zeroizing<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PublicKeyRequest {
    public_key: PublicKeyContent,
    #[serde(default)]
    proof_of_possession: String,
}

#[derive(Deserialize)]
struct PublicKeyContent {
    content: String,
}

/// `POST /api/v2/signingCert`
pub(crate) async fn signing_certificate(
    State(authority): State<Arc<Authority>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match create(&authority, &headers, &body).await {
        Ok(chain) => {
            authority.metrics().certificates.inc();
            let body =
                json!({ "signedCertificateEmbeddedSct": { "chain": { "certificates": chain } } });
            Json(body).into_response()
        }
        Err(refusal) => {
            authority.metrics().refused("certificate", &refusal);
            refusal.traced("certificate").grpc()
        }
    }
}

async fn create(
    authority: &Arc<Authority>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Vec<String>, Refusal> {
    let request: Request = read_object(body)?;
    let bearer = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    let token = match (&request.credentials, bearer) {
        (Some(credentials), _) => credentials.oidc_identity_token.as_str(),
        (None, Some(bearer)) => bearer,
        (None, None) => "",
    };
    let now = authority.now();
    let token = oidc::verify(token, authority.issuers(), now).await?;
    let identity = identity::of(&token)?;
    let key = possessed_key(&request, &identity)?;
    let authority = authority.clone();
    // Signing and writing block.
    tokio::task::spawn_blocking(move || issue(&authority, &token, &identity, &key, now))
        .await
        .map_err(|_| Refusal::unavailable("the authority is stopping"))?
}

/// The key that is to be certified, once it is shown that the client has it.
fn possessed_key(request: &Request, identity: &Identity) -> Result<PublicKey, Refusal> {
    match (&request.certificate_signing_request, &request.public_key_request) {
        (Some(csr), None) => key_of_csr(csr),
        (None, Some(request)) => {
            let content = &request.public_key.content;
            let key =
                PublicKey::from_pem(content, &Limits::default()).map_err(weak_or_malformed)?;
            let proof = crate::unbase64(&request.proof_of_possession)
                .ok_or_else(|| Refusal::malformed("the proof of possession is not base64"))?;
            let fits =
                |challenge: &String| signatures::verify_message(&key, challenge.as_bytes(), &proof);
            if !identity.challenges.iter().any(fits) {
                return Err(Refusal::malformed(
                    "the proof of possession is not the key's signature over the token's subject or e-mail address",
                ));
            }
            Ok(key)
        }
        _ => {
            Err(Refusal::malformed("expected either publicKeyRequest or certificateSigningRequest"))
        }
    }
}

fn weak_or_malformed(fault: bulla::Fault) -> Refusal {
    Refusal::malformed(format!("the key to be certified is refused: {fault}"))
}

/// A PKCS#10 request. Its names are not looked at: the token says who it is.
fn key_of_csr(text: &str) -> Result<PublicKey, Refusal> {
    let wrong = |what: &str| Refusal::malformed(format!("the certificate signing request {what}"));
    let pem = crate::unbase64(text).ok_or_else(|| wrong("is not base64 of PEM"))?;
    let csr = CertReq::from_pem(&pem)
        .or_else(|_| CertReq::from_der(&pem))
        .map_err(|_| wrong("is malformed"))?;
    let spki = csr.info.public_key.to_der().map_err(|_| wrong("is malformed"))?;
    let key = PublicKey::from_spki_der(&spki).map_err(weak_or_malformed)?;
    let hash = Hash::of_signature_algorithm(csr.algorithm.oid, key.algorithm())
        .ok_or_else(|| wrong("is signed in a way that does not fit its key"))?;
    let message = csr.info.to_der().map_err(|_| wrong("is malformed"))?;
    let signature = csr.signature.as_bytes().ok_or_else(|| wrong("is malformed"))?;
    if !signatures::verify_hashed(&key, hash, &message, signature) {
        return Err(wrong("is not signed by its own key"));
    }
    Ok(key)
}

/// From here on something is written.
fn issue(
    authority: &Authority,
    token: &VerifiedToken,
    identity: &Identity,
    key: &PublicKey,
    now: Timestamp,
) -> Result<Vec<String>, Refusal> {
    authority.issuing(now)?;
    let active = authority.active(now)?;
    let issuer = active.issuer()?;
    let tbs = to_be_signed(authority, &issuer, identity, key, now)?;
    authority.tokens().use_now(token.claim, now).map_err(|e| match e {
        UseError::Used => Refusal::unauthenticated(
            "the identity token is refused: a certificate was issued for it before",
        ),
        UseError::Full => Refusal::unavailable("too many tokens are in use"),
        UseError::Fault(fault) => fault.into(),
    })?;
    let chain = publish_and_sign(active, tbs, &issuer, now).inspect_err(|_| {
        // Nothing was issued for it.
        authority.tokens().give_back(token.claim);
    })?;
    tracing::info!(
        issuer = token.issuer.url,
        name = identity.name.as_str(),
        key = %key.fingerprint(),
        "certified"
    );
    Ok(chain)
}

fn publish_and_sign(
    active: &Active,
    tbs: x509_cert::certificate::TbsCertificate,
    issuer: &Issuer<'_>,
    now: Timestamp,
) -> Result<Vec<String>, Refusal> {
    let published = ct::publish(
        tbs,
        issuer.key.public().spki_der(),
        active.logs.ct.as_ref(),
        &active.keys.ct_log,
        now,
    )?;
    let certificate = x509::sign(published.into_tbs()?, issuer)?;
    let der = certificate.to_der().map_err(malformed)?;
    [&der, &active.record.issuing.0, &active.record.root.0]
        .into_iter()
        .map(|der| x509::certificate_pem(der).map_err(Refusal::from))
        .collect()
}

fn to_be_signed(
    authority: &Authority,
    issuer: &Issuer<'_>,
    identity: &Identity,
    key: &PublicKey,
    now: Timestamp,
) -> Result<x509_cert::certificate::TbsCertificate, Refusal> {
    let mut more = vec![subject_alt_name(&identity.name)?];
    more.extend(identity.extensions.encode()?);
    let from = whole_seconds(now);
    let minutes = i64::from(authority.config().certificates.minutes);
    let subject = Subject {
        name: RdnSequence::default(),
        key,
        from,
        until: from + SignedDuration::from_mins(minutes),
        usage: Usage::Signer,
        more,
    };
    Ok(x509::to_be_signed(subject, issuer)?)
}

/// Critical, for the subject is empty (RFC 5280 §4.2.1.6).
fn subject_alt_name(name: &SubjectName) -> Result<Extension, bulla::Fault> {
    let name = match name {
        SubjectName::Email(text) => {
            GeneralName::Rfc822Name(Ia5String::new(text).map_err(malformed)?)
        }
        SubjectName::Uri(text) => {
            GeneralName::UniformResourceIdentifier(Ia5String::new(text).map_err(malformed)?)
        }
        SubjectName::Username(text) => GeneralName::OtherName(OtherName {
            type_id: USERNAME,
            value: Any::from(Utf8StringRef::new(text).map_err(malformed)?),
        }),
    };
    x509::extension(true, &SubjectAltName(vec![name]))
}

/// Fulcio's kind of name for users of a domain.
const USERNAME: const_oid::ObjectIdentifier =
    const_oid::ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.7");

impl Active {
    fn issuer(&self) -> Result<Issuer<'_>, bulla::Fault> {
        let certificate =
            x509_cert::Certificate::from_der(&self.record.issuing.0).map_err(malformed)?;
        Ok(Issuer { name: certificate.tbs_certificate.subject, key: &self.keys.issuing })
    }
}

/// `GET /api/v2/trustBundle`
pub(crate) async fn trust_bundle(State(authority): State<Arc<Authority>>) -> Response {
    let chains = authority.records().map(|record| {
        let chain = [&record.issuing.0, &record.root.0].map(|der| x509::certificate_pem(der));
        let chain: Result<Vec<_>, _> = chain.into_iter().collect();
        chain.map(|certificates| json!({ "certificates": certificates }))
    });
    match chains.collect::<Result<Vec<_>, _>>() {
        Ok(chains) => Json(json!({ "chains": chains })).into_response(),
        Err(fault) => Refusal::from(fault).grpc(),
    }
}

/// `GET /api/v2/configuration`
pub(crate) async fn configuration(State(authority): State<Arc<Authority>>) -> Response {
    let issuers: Vec<_> = authority
        .issuers()
        .configs()
        .map(|issuer| {
            let kind = match issuer.kind {
                IssuerType::Email => "email",
                IssuerType::Kubernetes => "kubernetes",
                IssuerType::Spiffe => "spiffe",
                IssuerType::Uri => "uri",
                IssuerType::Username => "username",
                IssuerType::Github | IssuerType::Gitlab | IssuerType::Buildkite => "ci-provider",
            };
            json!({
                "issuerUrl": issuer.url,
                "audience": issuer.audience,
                "challengeClaim": if kind == "email" { "email" } else { "sub" },
                "spiffeTrustDomain": issuer.trust_domain.as_deref().unwrap_or_default(),
                "issuerType": kind,
                "subjectDomain": issuer.subject_domain.as_deref().unwrap_or_default(),
            })
        })
        .collect();
    Json(json!({ "issuers": issuers })).into_response()
}

/// The key in a certificate that a client sent; it is neither weak nor malformed.
pub(crate) fn key_of_certificate(der: &[u8]) -> Result<PublicKey, bulla::Fault> {
    Certificate::from_der(der)?.public_key()
}
