//! Requests to services: over TLS unless on this machine, bounded in time, size and tries.

use std::sync::Arc;
use std::time::Duration;

use backon::{BlockingRetryable as _, ExponentialBuilder};
use bulla::Fault;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

/// Google's metadata server, which a machine reaches without a network.
pub(crate) const GOOGLE_METADATA: &str = "metadata.google.internal";
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take, all in all.
const ANSWER: Duration = Duration::from_secs(30);
/// How often a request is made when nobody answers.
const TRIES: usize = 3;
/// Bytes of an answer.
const ANSWER_BYTES: u64 = 4 << 20;
/// Bytes of an answer that says no, as far as they are shown.
const SHOWN_BYTES: usize = 300;

/// Makes requests. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    tries: usize,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

/// A service, as messages name it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service<'a> {
    pub(crate) name: &'static str,
    pub(crate) url: &'a str,
}

impl Service<'_> {
    pub(crate) fn fault(self, detail: impl Into<String>, hint: &'static str) -> Fault {
        Fault::Service { service: self.name, url: self.url.into(), detail: detail.into(), hint }
    }

    fn at(self, path: &str) -> String {
        format!("{}{path}", self.url.trim_end_matches('/'))
    }
}

/// What a service answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The beginning of what it says, for a message.
    pub(crate) fn shown(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let message = serde_json::from_slice::<serde_json::Value>(&self.body).ok();
        let message = message.as_ref().and_then(|m| m.get("message")?.as_str());
        let text: String = message.unwrap_or(text.trim()).chars().take(SHOWN_BYTES).collect();
        if text.is_empty() {
            return format!("it answered {}", self.status);
        }
        format!("it answered {}: {text}", self.status)
    }
}

enum Attempt {
    /// Nobody answered: worth another try.
    Unreachable(String),
    /// It will not be better the next time.
    Final(Fault),
}

impl Client {
    /// A client with the machine's own certificate authorities.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(CONNECT, ANSWER, TRIES)
    }

    /// A client that waits this long for a connection and for an answer, and tries so often.
    #[must_use]
    pub fn with_limits(connect: Duration, answer: Duration, tries: usize) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let agent = Agent::config_builder()
            .timeout_connect(Some(connect))
            .timeout_global(Some(answer))
            .http_status_as_error(false)
            // A token or a signature goes where it was sent, and nowhere else.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("bulla/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build()
            .new_agent();
        Self { agent, tries }
    }

    pub(crate) fn post(
        &self,
        service: Service<'_>,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<Answer, Fault> {
        let url = service.at(path);
        self.run(service, || self.agent.post(&url).header("Content-Type", content_type).send(body))
    }

    pub(crate) fn get(
        &self,
        service: Service<'_>,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, Fault> {
        let url = service.at(path);
        self.run(service, || {
            let request = self.agent.get(&url);
            headers.iter().fold(request, |r, (name, value)| r.header(*name, *value)).call()
        })
    }

    fn run(
        &self,
        service: Service<'_>,
        request: impl Fn() -> Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Answer, Fault> {
        check_address(service)?;
        let once = || {
            let mut response = request().map_err(|e| match e {
                ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                    Attempt::Final(service.fault("its address is malformed", "check the address"))
                }
                other => Attempt::Unreachable(words(&other)),
            })?;
            let status = response.status().as_u16();
            if [429, 502, 503, 504].contains(&status) {
                return Err(Attempt::Unreachable(format!("it answered {status}")));
            }
            let location = response.headers().get("location");
            let location = location.and_then(|l| l.to_str().ok()).map(str::to_owned);
            let body = response.body_mut().with_config().limit(ANSWER_BYTES).read_to_vec();
            let body = body.map_err(|e| Attempt::Unreachable(words(&e)))?;
            Ok(Answer { status, location, body })
        };
        let backoff = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(300))
            .with_max_times(self.tries.saturating_sub(1))
            .with_jitter();
        once.retry(backoff)
            .when(|attempt| matches!(attempt, Attempt::Unreachable(_)))
            .call()
            .map_err(|attempt| match attempt {
                Attempt::Final(fault) => fault,
                Attempt::Unreachable(why) => service.fault(
                    format!("{why} (tried {} times)", self.tries),
                    "check the network and the address, and try again: nothing was written",
                ),
            })
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

/// Tokens and what is signed do not travel in the clear.
pub(crate) fn check_address(service: Service<'_>) -> Result<(), Fault> {
    let url = url::Url::parse(service.url);
    let loopback = |url: &url::Url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name == GOOGLE_METADATA,
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    match url {
        Ok(url) if url.scheme() == "https" => Ok(()),
        Ok(url) if url.scheme() == "http" && loopback(&url) => Ok(()),
        Ok(url) if url.scheme() == "http" => Err(service.fault(
            "its address is http://, and it is not on this machine",
            "use its https:// address",
        )),
        _ => Err(service.fault("its address is no URL", "check the address")),
    }
}

fn words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "it did not answer in time".into(),
        ureq::Error::HostNotFound => "there is no such host".into(),
        ureq::Error::Io(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
            "nobody listens there".into()
        }
        ureq::Error::BodyExceedsLimit(limit) => {
            format!("its answer is larger than {limit} bytes")
        }
        other => format!("the connection failed: {other}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn service(url: &str) -> Service<'_> {
        Service { name: "test service", url }
    }

    #[test]
    fn only_this_machine_is_reached_in_the_clear() {
        for good in
            ["https://example.com", "http://127.0.0.1:1", "http://localhost:1/x", "http://[::1]:2"]
        {
            assert!(check_address(service(good)).is_ok(), "{good}");
        }
        for bad in
            ["http://example.com", "http://127.0.0.1.example.com", "ftp://x", "", "example.com"]
        {
            assert!(check_address(service(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_service_that_nobody_runs_is_named() {
        let quick = Client::with_limits(Duration::from_secs(1), Duration::from_secs(1), 2);
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}");
        let fault = quick.get(service(&url), "/x", &[]).map(|_| ()).unwrap_err();
        let text = fault.to_string();
        assert!(text.contains("test service") && text.contains(&url), "{text}");
        assert!(text.contains("nobody listens there (tried 2 times)"), "{text}");
    }

    /// A service that takes a connection and says nothing, or too much.
    #[test]
    fn slow_and_endless_answers_are_cut() {
        use std::io::Write as _;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for (number, connection) in listener.incoming().enumerate() {
                let mut connection = connection.unwrap();
                if number > 0 {
                    let _ = write!(connection, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
                    let chunk = vec![b'x'; 1 << 20];
                    while connection.write_all(&chunk).is_ok() {}
                }
                kept.push(connection);
            }
        });
        let quick = Client::with_limits(Duration::from_secs(1), Duration::from_millis(1500), 1);
        let text = quick.get(service(&url), "", &[]).map(|_| ()).unwrap_err().to_string();
        assert!(text.contains("did not answer in time"), "{text}");
        let text = quick.get(service(&url), "", &[]).map(|_| ()).unwrap_err().to_string();
        assert!(text.contains("larger than 4194304 bytes"), "{text}");
    }
}
