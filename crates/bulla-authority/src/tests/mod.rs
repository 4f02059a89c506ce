//! What is refused: each with its status, and nothing logged. Requests go through the real routes, without sockets.

mod certificates;
mod entries;
mod operations;
mod tokens;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::connect_info::MockConnectInfo;
use axum::http::{HeaderMap, Request};
use bulla::{KeyAlgorithm, KeyPair};
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::authority::Active;
use crate::clock::Clock;
use crate::config::Config;
use crate::keys::{Protection, ServiceKey};
use crate::{Authority, base64, init, logs, server};

/// A clock that stands still until it is set.
#[derive(Debug)]
struct TestClock(Mutex<Timestamp>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// A development authority, and what its tests need.
struct Bench {
    folder: TempDir,
    clock: Arc<TestClock>,
    authority: Arc<Authority>,
}

/// An answer.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.body)))
    }

    fn message(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const NOW: &str = "2026-11-20T12:00:00.5Z";
const URL: &str = "http://127.0.0.1:8080";
const EMAIL: &str = "ada@example.com";

impl Bench {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::development("Test", URL);
        change(&mut config);
        init(&folder.path().join("ca"), &config, &Protection::None, at(NOW)).unwrap();
        let clock = Arc::new(TestClock(Mutex::new(at(NOW))));
        let authority = open(&folder, &clock).unwrap();
        Self { folder, clock, authority: Arc::new(authority) }
    }

    /// Closes the authority and opens it again.
    fn restart(self) -> Self {
        let Self { folder, clock, authority } = self;
        drop(authority);
        let authority = Arc::new(open(&folder, &clock).unwrap());
        Self { folder, clock, authority }
    }

    fn set_clock(&self, time: &str) {
        *self.clock.0.lock().unwrap() = at(time);
    }

    /// A log that refuses, in place of each.
    fn break_logs(&mut self) {
        let authority = Arc::get_mut(&mut self.authority).unwrap();
        for Active { logs, .. } in authority.generations_mut() {
            let broken: Arc<dyn logs::Ledger> = Arc::new(Broken);
            (logs.ct, logs.rekor_v1, logs.rekor_v2) = (broken.clone(), broken.clone(), broken);
        }
    }

    /// Entries in all logs together.
    fn logged(&self) -> u64 {
        let Active { logs, .. } = &self.authority.generations()[0];
        [&logs.ct, &logs.rekor_v1, &logs.rekor_v2]
            .map(|log| logs::size(log.as_ref()).unwrap())
            .iter()
            .sum()
    }

    fn request(&self, request: Request<Body>) -> Answer {
        let client: SocketAddr = "127.0.0.1:50000".parse().unwrap();
        let router = server::router(&self.authority).layer(MockConnectInfo(client));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let response = router.oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
            Answer { status: parts.status.as_u16(), headers: parts.headers, body }
        })
    }

    fn get(&self, path: &str) -> Answer {
        let request = Request::get(path).header("host", "127.0.0.1:8080");
        self.request(request.body(Body::empty()).unwrap())
    }

    fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> Answer {
        let request = Request::post(path)
            .header("host", "127.0.0.1:8080")
            .header("content-type", "application/json");
        self.request(request.body(Body::from(body.into())).unwrap())
    }

    fn post_json(&self, path: &str, body: &Value) -> Answer {
        self.post(path, body.to_string())
    }

    /// A token with these claims, on top of and in place of the usual ones.
    fn token(&self, claims: Value) -> String {
        let mut all =
            json!({ "sub": EMAIL, "email": EMAIL, "email_verified": true, "aud": "sigstore" });
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        self.authority.dev().unwrap().mint(all, self.clock.now()).unwrap()
    }

    /// Asks for a certificate with everything in order but the token.
    fn certify(&self, token: &str) -> Answer {
        let key = key(KeyAlgorithm::EcdsaP256);
        self.post_json("/api/v2/signingCert", &certificate_request(token, &key, EMAIL))
    }
}

fn open(folder: &TempDir, clock: &Arc<TestClock>) -> Result<Authority, crate::OpenError> {
    let never = || panic!("the keys are not encrypted");
    Authority::open(&folder.path().join("ca"), clock.clone(), &never)
}

fn key(algorithm: KeyAlgorithm) -> ServiceKey {
    ServiceKey::from_pair(KeyPair::generate(algorithm).unwrap())
}

fn certificate_request(token: &str, key: &ServiceKey, challenge: &str) -> Value {
    json!({
        "credentials": { "oidcIdentityToken": token },
        "publicKeyRequest": {
            "publicKey": { "algorithm": "ECDSA", "content": key.public().to_pem() },
            "proofOfPossession": base64(&key.sign(challenge.as_bytes()).unwrap()),
        },
    })
}

/// A log whose disk is full.
struct Broken;

impl logs::Ledger for Broken {
    fn append(&self, _: Vec<u8>) -> Result<bulla_log::Included, bulla_log::LogError> {
        Err(broken())
    }
    fn prove(&self, _: u64) -> Result<bulla_log::Included, bulla_log::LogError> {
        Err(broken())
    }
    fn entry(&self, _: u64) -> Result<Vec<u8>, bulla_log::LogError> {
        Err(broken())
    }
    fn file(&self, _: &str) -> Result<Option<Vec<u8>>, bulla_log::LogError> {
        Err(broken())
    }
    fn stopped(&self) -> Option<bulla_log::LogError> {
        Some(broken())
    }
}

/// An error of the log, whatever its errors look like.
fn broken() -> bulla_log::LogError {
    logs::refusing()
}
