//! The development issuer: identity tokens for whoever asks, so that the whole story runs on one laptop.
//!
//! It exists only in an authority that was made with it, whose certificates say so and which listens on loopback only.
//! Its routes answer only requests for a loopback host: a web page elsewhere that lets its own name point here
//! gets nothing.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{ConnectInfo, Form, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bulla::Fault;
use der::asn1::UintRef;
use der::{Reader as _, SliceReader};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::authority::Authority;
use crate::base64url;
use crate::config::{AUDIENCE, IssuerConfig, IssuerType, is_loopback};
use crate::http::Refusal;
use crate::keys::{ServiceKey, random, sha256};
use crate::oidc::KeySource;

const KEY_ID: &str = "development";
const TOKEN_MINUTES: i64 = 10;
/// Logins that were begun and not ended; more are not kept.
const PENDING: usize = 1000;

/// The issuer.
#[derive(Debug)]
pub(crate) struct DevIssuer {
    url: String,
    key: ServiceKey,
    pending: Mutex<HashMap<String, Pending>>,
}

/// Somebody who has said who they are, and not yet fetched a token.
#[derive(Debug)]
struct Pending {
    email: String,
    audience: String,
    nonce: Option<String>,
    challenge: String,
    redirect: String,
    until: Timestamp,
}

impl DevIssuer {
    pub(crate) fn new(url: String, key: ServiceKey) -> Result<Self, Fault> {
        Ok(Self { url, key, pending: Mutex::default() })
    }

    /// As one of the authority's issuers. It asks itself for its keys, without a network.
    pub(crate) fn as_issuer(&self) -> Result<(IssuerConfig, KeySource), Fault> {
        let config = IssuerConfig {
            url: self.url.clone(),
            kind: IssuerType::Email,
            audience: AUDIENCE.into(),
            subject_domain: None,
            trust_domain: None,
            server: None,
            jwks_file: None,
        };
        let keys = serde_json::from_value(self.jwks()?)
            .map_err(|_| Fault::Bug { what: "the development issuer's key has no JWK" })?;
        Ok((config, KeySource::Fixed(keys)))
    }

    pub(crate) fn jwks(&self) -> Result<Value, Fault> {
        // The point is what a P-256 `SubjectPublicKeyInfo` ends with.
        let point = self.key.public().spki_der().last_chunk::<64>();
        let (x, y) = point
            .map(|point| point.split_at(32))
            .ok_or(Fault::Bug { what: "the development issuer's key has no point" })?;
        Ok(json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY_ID,
            "x": base64url(x), "y": base64url(y),
        }] }))
    }

    /// A token with these claims on top of the usual ones.
    pub(crate) fn mint(&self, claims: Value, now: Timestamp) -> Result<String, Fault> {
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": KEY_ID });
        let mut all = json!({
            "iss": self.url,
            "iat": now.as_second(),
            "nbf": now.as_second(),
            "exp": (now + SignedDuration::from_mins(TOKEN_MINUTES)).as_second(),
            "jti": hex::encode(random::<16>()?),
        });
        if let (Some(all), Value::Object(claims)) = (all.as_object_mut(), claims) {
            all.extend(claims);
        }
        let signed = format!(
            "{}.{}",
            base64url(header.to_string().as_bytes()),
            base64url(all.to_string().as_bytes())
        );
        let signature = fixed_width(&self.key.sign(signed.as_bytes())?)
            .ok_or(Fault::Bug { what: "a signature of ECDSA is none" })?;
        Ok(format!("{signed}.{}", base64url(&signature)))
    }

    fn token_of(
        &self,
        email: &str,
        audience: &str,
        nonce: Option<&str>,
        now: Timestamp,
    ) -> Result<Value, Refusal> {
        if email.len() > 254 || !email.contains('@') {
            return Err(Refusal::malformed("expected an e-mail address"));
        }
        let mut claims =
            json!({ "sub": email, "email": email, "email_verified": true, "aud": audience });
        if let (Some(nonce), Some(claims)) = (nonce, claims.as_object_mut()) {
            claims.insert("nonce".into(), nonce.into());
        }
        let token = self.mint(claims, now)?;
        Ok(json!({
            "id_token": token,
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": TOKEN_MINUTES * 60,
        }))
    }
}

/// `ECDSA-Sig-Value` as JSON web signatures have it: both numbers, 32 bytes each (RFC 7518 §3.4).
fn fixed_width(der: &[u8]) -> Option<Vec<u8>> {
    let mut reader = SliceReader::new(der).ok()?;
    let (r, s) =
        reader.sequence(|r| Ok((r.decode::<UintRef<'_>>()?, r.decode::<UintRef<'_>>()?))).ok()?;
    let mut fixed = vec![0; 64];
    for (number, end) in [(r, 32_usize), (s, 64)] {
        let bytes = number.as_bytes();
        fixed.get_mut(end.checked_sub(bytes.len())?..end)?.copy_from_slice(bytes);
    }
    Some(fixed)
}

/// Its routes, below `/dev`.
pub(crate) fn routes() -> Router<Arc<Authority>> {
    Router::new()
        .route("/.well-known/openid-configuration", get(configuration))
        .route("/keys", get(keys))
        .route("/authorize", get(authorize))
        .route("/token", post(token))
        .layer(axum::middleware::from_fn(loopback_only))
}

async fn loopback_only(
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let asked_for = host
        .and_then(|host| Url::parse(&format!("http://{host}")).ok())
        .is_some_and(|url| is_loopback(&url));
    // A page of somebody else's in this machine's browser.
    let foreign = headers.get(header::ORIGIN).is_some_and(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| Url::parse(origin).ok());
        !origin.is_some_and(|origin| is_loopback(&origin))
    });
    let cross_site = headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
    if !client.ip().to_canonical().is_loopback() || !asked_for || foreign || cross_site {
        return Refusal::forbidden("the development issuer is for this machine only")
            .into_response();
    }
    next.run(request).await
}

fn issuer(authority: &Authority) -> Result<&DevIssuer, Refusal> {
    authority.dev().ok_or_else(|| Refusal::not_found("there is no development issuer here"))
}

async fn configuration(State(authority): State<Arc<Authority>>) -> Result<Json<Value>, Refusal> {
    let url = &issuer(&authority)?.url;
    Ok(Json(json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/authorize"),
        "token_endpoint": format!("{url}/token"),
        "jwks_uri": format!("{url}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "scopes_supported": ["openid", "email"],
        "code_challenge_methods_supported": ["S256"],
    })))
}

async fn keys(State(authority): State<Arc<Authority>>) -> Result<Json<Value>, Refusal> {
    Ok(Json(issuer(&authority)?.jwks()?))
}

#[derive(Deserialize)]
struct Authorize {
    client_id: String,
    redirect_uri: String,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    nonce: Option<String>,
    code_challenge: String,
    code_challenge_method: String,
    /// Who it is: asked for with a form when it is not there.
    #[serde(default)]
    email: Option<String>,
}

const OUT_OF_BAND: &str = "urn:ietf:wg:oauth:2.0:oob";

async fn authorize(
    State(authority): State<Arc<Authority>>,
    Query(asked): Query<Authorize>,
    uri: axum::http::Uri,
) -> Result<Response, Refusal> {
    let issuer = issuer(&authority)?;
    let redirect = Url::parse(&asked.redirect_uri)
        .ok()
        .filter(|url| is_loopback(url) || asked.redirect_uri == OUT_OF_BAND)
        .ok_or_else(|| Refusal::malformed("redirect_uri is not on this machine"))?;
    if asked.code_challenge_method != "S256" {
        return Err(Refusal::malformed("code_challenge_method is not S256"));
    }
    let Some(email) = asked.email.filter(|email| !email.is_empty()) else {
        return Ok(form(uri.query().unwrap_or_default()).into_response());
    };
    let now = authority.now();
    let code = hex::encode(random::<16>()?);
    {
        let mut pending = issuer.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.retain(|_, pending| pending.until > now);
        if pending.len() >= PENDING {
            return Err(Refusal::too_many("too many logins at once"));
        }
        pending.insert(
            code.clone(),
            Pending {
                email,
                audience: asked.client_id,
                nonce: asked.nonce,
                challenge: asked.code_challenge,
                redirect: asked.redirect_uri.clone(),
                until: now + SignedDuration::from_mins(5),
            },
        );
    }
    if asked.redirect_uri == OUT_OF_BAND {
        return Ok(Html(format!("<p>Code: <code>{code}</code>")).into_response());
    }
    let mut target = redirect;
    target.query_pairs_mut().append_pair("code", &code);
    if let Some(state) = &asked.state {
        target.query_pairs_mut().append_pair("state", state);
    }
    Ok((StatusCode::FOUND, [(header::LOCATION, target.to_string())]).into_response())
}

/// Who are you?
fn form(query: &str) -> Html<String> {
    let hidden: String = url::form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| {
            format!("<input type=hidden name=\"{}\" value=\"{}\">", escape(&name), escape(&value))
        })
        .collect();
    Html(format!(
        "<!doctype html><title>Development issuer</title><h1>Development issuer</h1>\
         <p>It believes whatever you say. Nothing that it vouches for is worth anything.\
         <form>{hidden}<label>E-mail address <input name=email type=email required autofocus></label>\
         <button>Sign in</button></form>"
    ))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[derive(Deserialize)]
struct Mint {
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    audience: Option<String>,
}

#[derive(Deserialize)]
struct Exchange {
    grant_type: String,
    code: String,
    code_verifier: String,
    redirect_uri: String,
}

/// Either `POST /dev/token?email=…`, for tests, or the end of a login.
async fn token(
    State(authority): State<Arc<Authority>>,
    Query(mint): Query<Mint>,
    form: Result<Form<Exchange>, axum::extract::rejection::FormRejection>,
) -> Result<Response, Refusal> {
    let issuer = issuer(&authority)?;
    let now = authority.now();
    if let Some(email) = mint.email {
        let audience = mint.audience.unwrap_or_else(|| AUDIENCE.to_owned());
        return Ok(no_store(issuer.token_of(&email, &audience, None, now)?));
    }
    let Form(exchange) = form.map_err(|_| Refusal::malformed("expected a form, or ?email="))?;
    let pending = issuer
        .pending
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(&exchange.code)
        .filter(|pending| pending.until > now);
    let challenge = base64url(&sha256(exchange.code_verifier.as_bytes()));
    match pending {
        Some(pending)
            if exchange.grant_type == "authorization_code"
                && pending.challenge == challenge
                && pending.redirect == exchange.redirect_uri =>
        {
            let nonce = pending.nonce.as_deref();
            Ok(no_store(issuer.token_of(&pending.email, &pending.audience, nonce, now)?))
        }
        _ => {
            let body = Json(json!({ "error": "invalid_grant" }));
            Ok((StatusCode::BAD_REQUEST, body).into_response())
        }
    }
}

fn no_store(body: Value) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
