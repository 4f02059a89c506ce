//! A private Sigstore on a loopback port, for as long as a test lasts.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use bulla_authority::clock::{Clock, SystemClock};
use bulla_authority::{Authority, Config, Protection, init, server};
use serde_json::Value;
use tempfile::TempDir;

/// A development authority that is being served. It ends when it is dropped.
#[derive(Debug)]
pub struct TestAuthority {
    folder: TempDir,
    url: String,
    authority: Arc<Authority>,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl TestAuthority {
    /// With a development issuer and the usual settings.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// With other settings.
    #[must_use]
    pub fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut config: Config = Config::development("Test", &url);
        change(&mut config);
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("authority");
        init(&place, &config, &Protection::None, SystemClock.now()).unwrap();
        Self::serve(folder, url, listener)
    }

    fn serve(folder: TempDir, url: String, listener: TcpListener) -> Self {
        let place = folder.path().join("authority");
        let never = || panic!("the keys are not encrypted");
        let authority = Authority::open(&place, Arc::new(SystemClock), &never).unwrap();
        let authority = Arc::new(authority);
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let served = authority.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            let end = async move {
                // The sender is dropped, or says so.
                let _ = ended.await;
            };
            runtime.block_on(server::serve(&served, listener, None, end)).unwrap();
        });
        Self { folder, url, authority, end: Some(end), thread: Some(thread) }
    }

    /// Gives it new keys, at once, and serves it again.
    #[must_use]
    pub fn rotated(mut self) -> Self {
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        let url = self.url.clone();
        let address = url.strip_prefix("http://").unwrap().to_owned();
        // Its lock goes with it.
        drop(self);
        let never = || panic!("the keys are not encrypted");
        let schedule = bulla_authority::Schedule {
            announced_for: bulla::jiff::SignedDuration::ZERO,
            overlap: bulla::jiff::SignedDuration::from_hours(24),
        };
        let place = folder.path().join("authority");
        let now = SystemClock.now();
        bulla_authority::rotate(&place, schedule, &Protection::None, &never, now).unwrap();
        Self::serve(folder, url, TcpListener::bind(address).unwrap())
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Who issues its tokens.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.authority.config().dev_issuer_url()
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> std::path::PathBuf {
        self.folder.path().join("authority")
    }

    /// An identity token for an e-mail address; each is good for one certificate.
    #[must_use]
    pub fn token(&self, email: &str) -> String {
        let client = reqwest::blocking::Client::new();
        let url = format!("{}/token?email={email}", self.issuer());
        let answer = client.post(url).send().unwrap().error_for_status().unwrap();
        let answer: Value = serde_json::from_slice(&answer.bytes().unwrap()).unwrap();
        answer["id_token"].as_str().unwrap().to_owned()
    }

    /// Whom its clients trust.
    #[must_use]
    pub fn trusted_root(&self) -> Value {
        self.authority.trust().trusted_root.clone()
    }

    /// Where its clients go; for `rekor_version` only, if one is given.
    #[must_use]
    pub fn signing_config(&self, rekor_version: Option<u64>) -> Value {
        let mut config = self.authority.trust().signing_config.clone();
        if let (Some(version), Some(logs)) = (rekor_version, config["rekorTlogUrls"].as_array_mut())
        {
            logs.retain(|log| log["majorApiVersion"] == version);
        }
        config
    }

    /// Reads one of its paths.
    #[must_use]
    pub fn get(&self, path: &str) -> Vec<u8> {
        let url = format!("{}{path}", self.url);
        let answer = reqwest::blocking::get(url).unwrap().error_for_status().unwrap();
        answer.bytes().unwrap().to_vec()
    }

    /// Posts to one of its paths; returns the status and the answer.
    #[must_use]
    pub fn post(&self, path: &str, kind: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
        let client = reqwest::blocking::Client::new();
        let request = client.post(format!("{}{path}", self.url)).header("content-type", kind);
        let answer = request.body(body).send().unwrap();
        (answer.status().as_u16(), answer.bytes().unwrap().to_vec())
    }

    /// Where a file is that clients need.
    #[must_use]
    pub fn file(&self, name: &str) -> std::path::PathBuf {
        let path = self.folder().join(format!("development_{name}"));
        assert!(Path::new(&path).exists(), "{name}");
        path
    }
}

impl Drop for TestAuthority {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was seen by the test already.
            let _ = thread.join();
        }
    }
}
