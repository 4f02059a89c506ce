//! The web, as far as the program uses it: the only file that makes clients.

use std::io::{self, Read as _};
use std::time::Duration;

use bulla_log::storage::StorageError;
use bulla_log::tile::TileReader;
use reqwest::StatusCode;
use reqwest::blocking::Client;
use reqwest::redirect::Policy;

/// One answer takes no longer.
const PATIENCE: Duration = Duration::from_secs(60);
const REDIRECTS: usize = 3;

/// A log at a URL. What it serves is checked by whoever reads it; the connection adds nothing to that.
#[derive(Debug)]
pub(crate) struct WebLog {
    client: Client,
    /// Ends with a slash.
    prefix: String,
}

impl WebLog {
    /// Whether somebody means a URL, and not a path.
    pub(crate) fn is_url(text: &str) -> bool {
        ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme))
    }

    pub(crate) fn open(url: &str) -> Result<Self, StorageError> {
        let client = built(Policy::limited(REDIRECTS)).map_err(|error| failed(url, &error))?;
        Ok(Self { client, prefix: format!("{}/", url.trim_end_matches('/')) })
    }
}

impl TileReader for WebLog {
    fn read(&self, path: &str, at_most: u64) -> Result<Option<Vec<u8>>, StorageError> {
        let url = format!("{}{path}", self.prefix);
        let answer = self.client.get(&url).send().map_err(|error| failed(&url, &error))?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(None),
            other => {
                let error = io::Error::other(format!("the server answered {other}"));
                return Err(StorageError::new("read", url, &error));
            }
        }
        let mut bytes = Vec::new();
        let read = answer.take(at_most.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| StorageError::new("read", url.clone(), &error))?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length <= at_most) {
            return Ok(Some(bytes));
        }
        let large = format!("it is larger than the {at_most} bytes that it may have");
        Err(StorageError::new("read", url, &io::Error::other(large)))
    }
}

/// A client for what is posted: it goes where it was sent, and nowhere else.
pub(crate) fn client() -> Result<Client, reqwest::Error> {
    built(Policy::none())
}

fn built(redirects: Policy) -> Result<Client, reqwest::Error> {
    Client::builder()
        .timeout(PATIENCE)
        .redirect(redirects)
        .user_agent(concat!("bulla/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// In words: the innermost cause says most.
pub(crate) fn words(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if error.is_timeout() { "it took too long".to_owned() } else { cause.to_string() }
}

fn failed(url: &str, error: &reqwest::Error) -> StorageError {
    let kind = if error.is_timeout() { io::ErrorKind::TimedOut } else { io::ErrorKind::Other };
    let text = words(error);
    StorageError::new("read", url, &io::Error::new(kind, text))
}
