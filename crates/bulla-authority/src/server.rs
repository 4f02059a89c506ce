//! Routes, and serving them.
//!
//! | path | what |
//! |---|---|
//! | `/api/v2/{signingCert,trustBundle,configuration}` | Fulcio |
//! | `/api/v2/log/entries`, `/api/v2/{checkpoint,tile/…}` | Rekor v2 |
//! | `/api/v1/log/…` | Rekor v1 |
//! | `/api/v1/timestamp` | RFC 3161 |
//! | `/add-checkpoint` | a witness for other logs |
//! | `/{ct,rekor-v1}/{checkpoint,tile/…}` | the other two logs, as tiles |
//! | `/trusted_root.json`, … | what clients need |
//! | `/tuf/…` | the same, as an update repository |
//! | `/{healthz,readyz,metrics}` | for operators |
//! | `/dev/…` | the development issuer, if there is one |
//!
//! The logs of later generations stand below `/g2`, `/g3`, …

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};
use axum_server::Handle;
use axum_server::tls_rustls::RustlsAcceptor;
pub use axum_server::tls_rustls::RustlsConfig;
use tower_http::timeout::TimeoutLayer;

use crate::authority::Authority;
use crate::http::{
    Connections, Rates, Refusal, Shares, large_answers, large_requests, limit, limit_reads,
};
use crate::rekor::{v1, v2};
use crate::{dev, fulcio, timestamp, tuf, witness};

/// Which generation's logs a request is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Generation(u32);

impl Generation {
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

impl<S: Sync> FromRequestParts<S> for Generation {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts.extensions.get().copied().ok_or_else(|| Refusal::not_found("there is no such log"))
    }
}

/// All routes.
pub fn router(authority: &Arc<Authority>) -> Router {
    let limits = &authority.config().limits;
    let rates = Arc::new(Rates::new(limits.requests_per_second, limits.burst));
    let reads = Arc::new(Rates::new(limits.reads_per_second, limits.reads_burst));
    let requests = Shares::new(limits.requests_bytes, limits.requests_bytes / 4);
    let answers = Shares::new(limits.answers_bytes, limits.answers_bytes / 4);
    let rated = |route: MethodRouter<Arc<Authority>>, bytes: usize| {
        route
            .layer(DefaultBodyLimit::max(bytes))
            .layer(from_fn_with_state((requests.clone(), bytes), large_requests))
            .layer(from_fn_with_state(rates.clone(), limit))
    };
    let mut router = Router::new()
        .route(
            "/api/v2/signingCert",
            rated(post(fulcio::signing_certificate), fulcio::REQUEST_BYTES),
        )
        .route("/api/v2/trustBundle", get(fulcio::trust_bundle))
        .route("/api/v2/configuration", get(fulcio::configuration))
        .route(
            crate::trust::TIMESTAMP_PATH,
            rated(post(timestamp::timestamp), timestamp::REQUEST_BYTES),
        )
        .route("/api/v1/timestamp/certchain", get(timestamp::chain))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/add-checkpoint", rated(post(witness::add_checkpoint), witness::REQUEST_BYTES));
    let updates = tuf::name(authority.config().development);
    router = router.route(&format!("/{updates}/{{*path}}"), get(update_file));
    for (name, _) in authority.trust().files() {
        router = router.route(&format!("/{name}"), get(trust_file));
    }
    for record in authority.records() {
        let logs = logs(&rated, limits.entry_bytes).layer(Extension(Generation(record.number)));
        router = match record.number {
            1 => router.merge(logs),
            n => router.nest(&format!("/g{n}"), logs),
        };
    }
    if authority.dev().is_some() {
        router = router.nest("/dev", dev::routes());
    }
    let timeout = Duration::from_secs(limits.seconds);
    router
        .fallback(|| async { Refusal::not_found("there is nothing here") })
        .layer(from_fn_with_state(answers, large_answers))
        .layer(from_fn_with_state(reads, limit_reads))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, timeout))
        .layer(from_fn(trace))
        .with_state(authority.clone())
}

fn logs(
    rated: &dyn Fn(MethodRouter<Arc<Authority>>, usize) -> MethodRouter<Arc<Authority>>,
    entry_bytes: usize,
) -> Router<Arc<Authority>> {
    Router::new()
        .route("/api/v2/log/entries", rated(post(v2::create_entry), v2::REQUEST_BYTES))
        .route("/api/v2/checkpoint", get(v2::file))
        .route("/api/v2/tile/{*path}", get(v2::file))
        .route("/api/v1/log", get(v1::info))
        .route("/api/v1/log/publicKey", get(v1::public_key))
        .route("/api/v1/log/entries", rated(post(v1::create_entry), entry_bytes).get(v1::by_index))
        .route("/api/v1/log/entries/{uuid}", get(v1::by_uuid))
        .route("/api/v1/log/entries/retrieve", rated(post(v1::retrieve), entry_bytes))
        // The Python client asks with a slash at the end.
        .route("/api/v1/log/entries/retrieve/", rated(post(v1::retrieve), entry_bytes))
        .route("/ct/{*path}", get(ct_file))
        .route("/rekor-v1/{*path}", get(rekor_v1_file))
}

async fn ct_file(
    State(authority): State<Arc<Authority>>,
    generation: Generation,
    Path(path): Path<String>,
) -> Response {
    v2::read_file(&authority, generation.number(), |active| active.logs.ct.clone(), path).await
}

async fn rekor_v1_file(
    State(authority): State<Arc<Authority>>,
    generation: Generation,
    Path(path): Path<String>,
) -> Response {
    v2::read_file(&authority, generation.number(), |active| active.logs.rekor_v1.clone(), path)
        .await
}

async fn trust_file(State(authority): State<Arc<Authority>>, request: Request) -> Response {
    let name = request.uri().path().trim_start_matches('/');
    match authority.trust().files().into_iter().find(|(file, _)| file == name) {
        Some((_, value)) => {
            ([(header::CONTENT_TYPE, "application/json")], format!("{value:#}\n")).into_response()
        }
        None => Refusal::not_found("there is nothing here").into_response(),
    }
}

async fn update_file(
    State(authority): State<Arc<Authority>>,
    Path(path): Path<String>,
) -> Response {
    let read = tokio::task::spawn_blocking(move || authority.updates().file(&path)).await;
    match read {
        Ok(Some(bytes)) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Ok(None) => Refusal::not_found("there is no such file").into_response(),
        Err(_) => Refusal::unavailable("the authority is stopping").into_response(),
    }
}

async fn ready(State(authority): State<Arc<Authority>>) -> Response {
    let checked = tokio::task::spawn_blocking(move || authority.ready()).await;
    match checked {
        Ok(Ok(())) => "ready\n".into_response(),
        Ok(Err(refusal)) => refusal.into_response(),
        Err(_) => Refusal::unavailable("the authority is stopping").into_response(),
    }
}

async fn metrics(State(authority): State<Arc<Authority>>) -> Response {
    let text = tokio::task::spawn_blocking(move || authority.metrics().text(&authority)).await;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text.unwrap_or_default()).into_response()
}

/// One line for each request.
async fn trace(request: Request, next: Next) -> Response {
    let start = std::time::Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    tracing::debug!(
        %method,
        path,
        status = response.status().as_u16(),
        milliseconds = start.elapsed().as_millis(),
        "request"
    );
    response
}

/// A TLS configuration from PEM.
///
/// # Errors
/// What is wrong with them.
pub fn tls(certificates: &[u8], key: &[u8]) -> Result<RustlsConfig, rustls::Error> {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let general = |what: &str| rustls::Error::General(what.to_owned());
    let chain = CertificateDer::pem_slice_iter(certificates)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| general("the certificates are not PEM"))?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| general("the private key is not PEM, or it is encrypted"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(RustlsConfig::from_config(Arc::new(config)))
}

/// Requests under way when the end comes have this long.
const GRACE: Duration = Duration::from_secs(10);
/// How often the update repository is looked at.
const REFRESH: Duration = Duration::from_secs(3600);
/// The headers of one request, and what is read of its body at once.
const BUFFER: usize = 64 << 10;
/// A client that takes longer for its headers, or between two requests, is not listened to.
const HEADERS: Duration = Duration::from_secs(10);

/// Serves an authority until `end`.
///
/// # Errors
/// When the listener does not work.
pub async fn serve(
    authority: &Arc<Authority>,
    listener: TcpListener,
    tls: Option<RustlsConfig>,
    end: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let service = router(authority).into_make_service_with_connect_info::<SocketAddr>();
    let handle = Handle::new();
    let ending = handle.clone();
    tokio::spawn(async move {
        end.await;
        ending.graceful_shutdown(Some(GRACE));
    });
    let updated = Arc::downgrade(authority);
    tokio::spawn(async move {
        let mut hourly = tokio::time::interval(REFRESH);
        loop {
            hourly.tick().await;
            let Some(authority) = updated.upgrade() else { return };
            let _ = tokio::task::spawn_blocking(move || authority.refresh_updates()).await;
        }
    });
    let limits = &authority.config().limits;
    let connections = Connections(Shares::new(limits.connections, limits.connections_per_address));
    let mut server = axum_server::from_tcp(listener)?.handle(handle);
    server
        .http_builder()
        .http1()
        .timer(hyper_util::rt::TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(BUFFER);
    // What clients of Sigstore speak is HTTP/1.1; the other would have limits of its own to be set. Last: an acceptor forgets it.
    match tls {
        Some(tls) => {
            let acceptor =
                RustlsAcceptor::new(tls).handshake_timeout(HEADERS).acceptor(connections);
            server.acceptor(acceptor).http1_only().serve(service).await
        }
        None => server.acceptor(connections).http1_only().serve(service).await,
    }
}
