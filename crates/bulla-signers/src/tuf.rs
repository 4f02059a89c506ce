//! Trusted roots and signing configs kept fresh by TUF.
//!
//! What was fetched is kept in a directory that others may have written to, so it is verified again, from the
//! embedded or given root on, each time that it is read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bulla::Fault;
use bulla::jiff::{SignedDuration, Timestamp};
use sigstore_trust_root::{
    SigningConfig, SigstoreInstance, TrustedRoot, TufBootstrap, TufConfig, fetch_trust_material_at,
};

use crate::http::Service;
use crate::token::block_on;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);
/// How long what was fetched is used after its metadata expired.
const OLDEST: SignedDuration = SignedDuration::from_hours(90 * 24);
/// When the last update was, in the cache directory.
const UPDATED: &str = "updated.txt";

/// A TUF repository that gives out a Sigstore instance's roots.
#[derive(Debug, Clone)]
pub struct Repository {
    config: TufConfig,
    url: String,
    cache: PathBuf,
}

/// What a repository gave out.
#[derive(Debug)]
pub struct Updated {
    /// `trusted_root.json`
    pub trusted_root: String,
    /// `signing_config.json`
    pub signing_config: String,
    /// When it was fetched.
    pub at: Timestamp,
    /// Whether its metadata has expired since: a newer one should be there.
    pub expired: bool,
}

impl Repository {
    /// Sigstore's public-good or staging repository, kept below a directory.
    #[must_use]
    pub fn sigstore(staging: bool, cache: &Path) -> Self {
        let (instance, name) = match staging {
            true => (SigstoreInstance::Staging, "staging"),
            false => (SigstoreInstance::PublicGood, "public-good"),
        };
        let cache = cache.join(name);
        let config = instance.tuf_config().with_cache_dir(cache.join("tuf"));
        Self { config, url: instance.tuf_url().to_owned(), cache }
    }

    /// Another one, with the root metadata that trust in it begins with.
    #[must_use]
    pub fn custom(url: &str, root: &[u8], cache: &Path) -> Self {
        let name = bulla::Digest::sha256(url.as_bytes()).to_hex();
        let cache = cache.join(name);
        let config =
            TufConfig::custom(url, TufBootstrap::trusted(root)).with_cache_dir(cache.join("tuf"));
        Self { config, url: url.to_owned(), cache }
    }

    /// Fetches and verifies what is new.
    ///
    /// # Errors
    /// [`Fault::Service`] when it cannot be reached, or what it gives out cannot be trusted.
    pub fn update(&self, now: Timestamp) -> Result<Updated, Fault> {
        let io = |e| Fault::io("write", &self.cache, e);
        std::fs::create_dir_all(&self.cache).map_err(io)?;
        let client = sigstore_oidc::reqwest::Client::builder()
            .timeout(ANSWER)
            .user_agent(concat!("bulla/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| Fault::Bug { what: "an HTTP client could not be made" })?;
        let config = self.config.clone().with_http_client(client);
        let updated = self.load(config, now)?;
        bulla::store(
            &self.cache.join(UPDATED),
            format!("{now}\n").as_bytes(),
            bulla::Access::Public,
            bulla::Existing::Replace,
        )?;
        Ok(updated)
    }

    /// What the last update fetched, verified again, without the network; `None` if there was none.
    ///
    /// # Errors
    /// [`Fault::Service`] when what is kept cannot be trusted.
    pub fn cached(&self, now: Timestamp) -> Result<Option<Updated>, Fault> {
        let Ok(text) = std::fs::read_to_string(self.cache.join(UPDATED)) else { return Ok(None) };
        let Ok(at) = text.trim().parse::<Timestamp>() else { return Ok(None) };
        let config = self.config.clone().offline();
        match self.load(config.clone(), now) {
            Ok(updated) => Ok(Some(Updated { at, ..updated })),
            // It was good when it was fetched; a verifier without a network has nothing better. But not for ever: the date
            // stands in a file that others may have written.
            Err(fault) if at > now || now.duration_since(at) > OLDEST => Err(fault),
            Err(_) => {
                let updated = self.load(config, at)?;
                Ok(Some(Updated { at, expired: true, ..updated }))
            }
        }
    }

    fn load(&self, config: TufConfig, at: Timestamp) -> Result<Updated, Fault> {
        let service = Service { name: "TUF repository", url: &self.url };
        let failed = |detail: String| {
            service.fault(
                detail,
                "check the network and the clock; the root that comes with this program is used until then",
            )
        };
        let (root, config): (TrustedRoot, SigningConfig) =
            block_on(fetch_trust_material_at(config, at))?.map_err(|e| failed(e.to_string()))?;
        let text = |e: serde_json::Error| failed(e.to_string());
        Ok(Updated {
            trusted_root: serde_json::to_string(&root).map_err(text)?,
            signing_config: serde_json::to_string(&config).map_err(text)?,
            at,
            expired: false,
        })
    }
}
