//! `authority.toml`: what a person decides about an authority.

use std::fmt;
use std::path::{Path, PathBuf};

use bulla::{Fault, Printable};
use serde::{Deserialize, Serialize};
use url::Url;

/// Name of the file in an authority's folder.
pub const CONFIG_FILE: &str = "authority.toml";
/// Larger files are not read.
const CONFIG_BYTES: u64 = 1 << 20;
/// The largest answer: a log's full bundle of 256 entries of 65,535 bytes.
const ANSWER: usize = 16 << 20;
/// What clients ask for when nothing else is said.
pub(crate) const AUDIENCE: &str = "sigstore";

/// Something in the configuration that cannot be.
#[derive(Debug, thiserror::Error)]
#[error("{}", Printable(&self.detail))]
pub struct ConfigProblem {
    detail: String,
}

fn problem(detail: impl Into<String>) -> ConfigProblem {
    ConfigProblem { detail: detail.into() }
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whose authority it is; goes into its certificates.
    pub name: String,
    /// Where clients reach it: scheme, host, port and perhaps a path.
    pub url: String,
    /// A development authority: it makes its own identity tokens, for anybody who asks, on loopback.
    #[serde(default)]
    pub development: bool,
    /// Certificates.
    #[serde(default)]
    pub certificates: Certificates,
    /// Logs.
    #[serde(default)]
    pub logs: LogsConfig,
    /// Being a witness for other logs.
    #[serde(default)]
    pub witness: WitnessConfig,
    /// Against floods.
    #[serde(default)]
    pub limits: HttpLimits,
    /// Whose identity tokens are accepted.
    #[serde(default)]
    pub issuers: Vec<IssuerConfig>,
}

/// About the certificates that are issued.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Certificates {
    /// How long a signer's certificate is valid.
    pub minutes: u16,
    /// How long those of new authorities (roots, the issuing and the timestamp authority) are valid.
    pub authority_years: u16,
}

impl Default for Certificates {
    fn default() -> Self {
        Self { minutes: 10, authority_years: 10 }
    }
}

/// About the logs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogsConfig {
    /// Where their high-water marks are; on another disk, so that no backup restores both. A log that is below its mark
    /// does not start.
    pub high_water_marks: PathBuf,
}

impl Default for LogsConfig {
    fn default() -> Self {
        Self { high_water_marks: "marks".into() }
    }
}

/// About the checkpoints of other logs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WitnessConfig {
    /// Keys of the logs whose checkpoints are cosigned: `name+hash+key` (c2sp.org/signed-note).
    pub logs: Vec<String>,
}

/// What a client may cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpLimits {
    /// Requests that write, for each client address, on average.
    pub requests_per_second: u32,
    /// So many at once.
    pub burst: u32,
    /// Requests that only read, for each client address, on average.
    pub reads_per_second: u32,
    /// So many of them at once.
    pub reads_burst: u32,
    /// Connections at once.
    pub connections: usize,
    /// So many of them from one client address: a proxy's, if there is one before.
    pub connections_per_address: usize,
    /// Large requests in memory at once, in bytes; a client address has a quarter of it.
    pub requests_bytes: usize,
    /// The same of answers that were not taken yet.
    pub answers_bytes: usize,
    /// Largest request to the older log, whose entries come with their documents; in bytes.
    pub entry_bytes: usize,
    /// A request that takes longer is ended.
    pub seconds: u64,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            requests_per_second: 100,
            burst: 500,
            reads_per_second: 1000,
            reads_burst: 5000,
            connections: 4096,
            connections_per_address: 256,
            requests_bytes: 256 << 20,
            answers_bytes: 512 << 20,
            entry_bytes: 4 << 20,
            seconds: 60,
        }
    }
}

/// What an issuer's tokens say about their holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IssuerType {
    /// A person's verified e-mail address.
    Email,
    /// A workflow of GitHub Actions.
    Github,
    /// A job of GitLab CI.
    Gitlab,
    /// A job of Buildkite.
    Buildkite,
    /// A service account of a Kubernetes cluster.
    Kubernetes,
    /// A SPIFFE identity.
    Spiffe,
    /// The subject is a URI below a domain.
    Uri,
    /// The subject is a user of a domain.
    Username,
}

impl IssuerType {
    /// By its name in the configuration.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(name))
            .ok()
    }

    /// What a well-known issuer's tokens are.
    fn of(url: &str) -> Option<Self> {
        match url {
            "https://token.actions.githubusercontent.com" => Some(Self::Github),
            "https://gitlab.com" => Some(Self::Gitlab),
            "https://agent.buildkite.com" => Some(Self::Buildkite),
            "https://accounts.google.com" => Some(Self::Email),
            _ => None,
        }
    }
}

/// An issuer whose tokens are accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// Exactly as its tokens have it in `iss`.
    pub url: String,
    /// What its tokens are about.
    #[serde(rename = "type")]
    pub kind: IssuerType,
    /// What its tokens must have in `aud`.
    #[serde(default = "audience")]
    pub audience: String,
    /// For `uri` (with its scheme) and `username`: the domain of its subjects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_domain: Option<String>,
    /// For `spiffe`: the trust domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_domain: Option<String>,
    /// For `github` and `gitlab`: the server that the URIs in certificates begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Its keys in a file (JWKS), where it cannot be asked for them: behind an air gap, for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
}

fn audience() -> String {
    AUDIENCE.into()
}

/// `[TYPE=]URL`
impl std::str::FromStr for IssuerConfig {
    type Err = ConfigProblem;

    fn from_str(text: &str) -> Result<Self, ConfigProblem> {
        let (kind, url) = match text.split_once('=') {
            Some((kind, url)) if !kind.contains(':') => {
                let kind = IssuerType::from_name(kind).ok_or_else(|| {
                    problem(format!("there are no issuers of type {kind:?}; expected email, github, gitlab, buildkite, kubernetes, spiffe, uri or username"))
                })?;
                (kind, url)
            }
            _ => (IssuerType::of(text).unwrap_or(IssuerType::Email), text),
        };
        let server = match (kind, url) {
            (IssuerType::Gitlab, _) => Some(url.to_owned()),
            (IssuerType::Github, "https://token.actions.githubusercontent.com") => {
                Some("https://github.com".to_owned())
            }
            _ => None,
        };
        let config = Self {
            url: url.to_owned(),
            kind,
            audience: audience(),
            subject_domain: None,
            trust_domain: None,
            server,
            jwks_file: None,
        };
        parse_issuer_url(url)?;
        Ok(config)
    }
}

/// Plain HTTP is for loopback only, and there for development only: whoever is between could hand out keys of his own.
pub(crate) fn may_be_fetched(url: &Url, development: bool) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => development && is_loopback(url),
        _ => false,
    }
}

/// Where a path leads, as far as it is there yet.
fn resolved(path: &Path) -> PathBuf {
    use std::path::Component;
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut resolved = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::ParentDir => drop(resolved.pop()),
            part => resolved.push(part),
        }
        // Symbolic links are followed before `..` is.
        if let Ok(real) = resolved.canonicalize() {
            resolved = real;
        }
    }
    resolved
}

/// Whether a URL can only be this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn parse_issuer_url(text: &str) -> Result<Url, ConfigProblem> {
    let url =
        Url::parse(text).map_err(|e| problem(format!("the issuer {text:?} is no URL: {e}")))?;
    if !may_be_fetched(&url, true) {
        return Err(problem(format!(
            "the issuer {text:?} is not reached over https (plain http is for loopback only)"
        )));
    }
    Ok(url)
}

impl IssuerConfig {
    fn check(&self, development: bool) -> Result<(), ConfigProblem> {
        let url = parse_issuer_url(&self.url)?;
        // A development issuer is one of these, and gives tokens to whoever asks.
        if !development && url.scheme() != "https" {
            return Err(problem(format!(
                "the issuer {:?} is not reached over https: only a development authority accepts it",
                self.url
            )));
        }
        let needs = |what: &str, value: &Option<String>| match value {
            Some(text) if !text.is_empty() => Ok(()),
            _ => Err(problem(format!("the issuer {} needs a {what}", self.url))),
        };
        if self.audience.is_empty() {
            return Err(problem(format!("the issuer {} needs an audience", self.url)));
        }
        match self.kind {
            IssuerType::Uri => {
                needs("subject_domain", &self.subject_domain)?;
                let domain = self.subject_domain.as_deref().unwrap_or_default();
                match Url::parse(domain) {
                    Ok(url) if url.host_str().is_some() => Ok(()),
                    _ => Err(problem(format!(
                        "the subject_domain {domain:?} is no URL, expected one like https://example.com"
                    ))),
                }
            }
            IssuerType::Username => needs("subject_domain", &self.subject_domain),
            IssuerType::Spiffe => needs("trust_domain", &self.trust_domain),
            IssuerType::Github | IssuerType::Gitlab => {
                needs("server", &self.server)?;
                parse_issuer_url(self.server.as_deref().unwrap_or_default()).map(drop)
            }
            IssuerType::Email | IssuerType::Buildkite | IssuerType::Kubernetes => Ok(()),
        }
    }
}

impl Config {
    /// A development authority's, with the usual settings.
    #[must_use]
    pub fn development(name: &str, url: &str) -> Self {
        Self {
            name: name.into(),
            url: url.into(),
            development: true,
            certificates: Certificates::default(),
            logs: LogsConfig::default(),
            witness: WitnessConfig::default(),
            limits: HttpLimits::default(),
            issuers: Vec::new(),
        }
    }

    /// Reads an authority's configuration.
    ///
    /// # Errors
    /// A [`Fault::Io`] when it cannot be read, or is not what it should be.
    pub fn load(folder: &Path) -> Result<Self, Fault> {
        let path = folder.join(CONFIG_FILE);
        let io = |e| Fault::io("read", &path, e);
        if std::fs::metadata(&path).map_err(io)?.len() > CONFIG_BYTES {
            return Err(io(std::io::Error::other("it is too large")));
        }
        let text = std::fs::read_to_string(&path).map_err(io)?;
        let wrong = |e: &dyn fmt::Display| io(std::io::Error::other(e.to_string()));
        let config: Self = toml::from_str(&text).map_err(|e| wrong(&e.message()))?;
        config.check().map_err(|e| wrong(&e))?;
        Ok(config)
    }

    /// Its text.
    pub(crate) fn to_toml(&self) -> Result<String, Fault> {
        let head =
            "# An authority of Bulla: docs/authority.md. It is read when the authority starts.\n\n";
        let body = toml::to_string(self)
            .map_err(|_| Fault::Bug { what: "the configuration could not be written" })?;
        Ok(format!("{head}{body}"))
    }

    /// Whether it can be served.
    ///
    /// # Errors
    /// What cannot be.
    pub fn check(&self) -> Result<(), ConfigProblem> {
        let url = self.base()?;
        if self.name.is_empty() || self.name.len() > 64 || self.name.chars().any(char::is_control) {
            return Err(problem("the name has between 1 and 64 characters, on one line"));
        }
        if !(1..=24 * 60).contains(&self.certificates.minutes) {
            return Err(problem("certificates are valid for between 1 and 1440 minutes"));
        }
        if !(1..=50).contains(&self.certificates.authority_years) {
            return Err(problem("authorities are valid for between 1 and 50 years"));
        }
        let HttpLimits { requests_per_second, burst, entry_bytes, seconds, .. } = self.limits;
        let HttpLimits { reads_per_second, reads_burst, requests_bytes, answers_bytes, .. } =
            self.limits;
        let HttpLimits { connections, connections_per_address, .. } = self.limits;
        let rates = [requests_per_second, burst, reads_per_second, reads_burst];
        let amounts =
            [entry_bytes, connections, connections_per_address, requests_bytes, answers_bytes];
        if rates.contains(&0) || amounts.contains(&0) || seconds == 0 {
            return Err(problem("none of the limits can be 0"));
        }
        if requests_bytes / 4 < entry_bytes {
            return Err(problem(format!(
                "requests_bytes is {requests_bytes}, expected at least four times entry_bytes, {entry_bytes}"
            )));
        }
        if answers_bytes / 4 < ANSWER {
            return Err(problem(format!(
                "answers_bytes is {answers_bytes}, expected at least {}, for one bundle of the largest entries to each of four clients",
                4 * ANSWER
            )));
        }
        if self.development && !is_loopback(&url) {
            return Err(problem(
                "a development authority is on loopback: its url is http://127.0.0.1:PORT or http://localhost:PORT",
            ));
        }
        if self.issuers.is_empty() && !self.development {
            return Err(problem("no issuer is named: nobody could get a certificate"));
        }
        for (i, issuer) in self.issuers.iter().enumerate() {
            issuer.check(self.development)?;
            if self.issuers.iter().take(i).any(|other| other.url == issuer.url) {
                return Err(problem(format!("the issuer {} stands twice", issuer.url)));
            }
        }
        Ok(())
    }

    /// Whether the logs' high-water marks are outside of the authority's folder. A development authority's need not be.
    ///
    /// # Errors
    /// When they would be restored together with the logs.
    pub fn check_marks(&self, folder: &Path) -> Result<(), ConfigProblem> {
        let marks = folder.join(&self.logs.high_water_marks);
        if self.development || !resolved(&marks).starts_with(resolved(folder)) {
            return Ok(());
        }
        Err(problem(format!(
            "the logs' high-water marks would be in {}, inside of the authority: a backup that restores both makes the logs sign a second history, and nobody notices; give --marks with a directory outside of it, best on another disk",
            marks.display()
        )))
    }

    /// Its URL, read.
    pub(crate) fn base(&self) -> Result<Url, ConfigProblem> {
        let url = Url::parse(&self.url)
            .map_err(|e| problem(format!("the url {:?} is no URL: {e}", self.url)))?;
        let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || !plain {
            return Err(problem(format!(
                "the url {:?} is not one of an HTTP server, expected one like https://sigstore.example.com",
                self.url
            )));
        }
        if self.url.ends_with('/') {
            return Err(problem(format!("the url {:?} ends with a slash", self.url)));
        }
        Ok(url)
    }

    /// Host without port: what clients of the newer log expect its checkpoints to be named after.
    pub(crate) fn host(&self) -> Result<String, ConfigProblem> {
        let url = self.base()?;
        let host = url.host_str().unwrap_or_default();
        Ok(host.trim_start_matches('[').trim_end_matches(']').to_owned())
    }

    /// The development issuer's URL.
    #[must_use]
    pub fn dev_issuer_url(&self) -> String {
        format!("{}/dev", self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            name: "Example".into(),
            url: "https://sigstore.example.com".into(),
            development: false,
            certificates: Certificates::default(),
            logs: LogsConfig::default(),
            witness: WitnessConfig::default(),
            limits: HttpLimits::default(),
            issuers: vec!["https://accounts.example.com".parse().unwrap()],
        }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let written = config().to_toml().unwrap();
        assert_eq!(toml::from_str::<Config>(&written).unwrap(), config());
    }

    #[test]
    fn issuers_on_the_command_line() {
        let parse = |text: &str| text.parse::<IssuerConfig>();
        assert_eq!(parse("https://gitlab.com").unwrap().kind, IssuerType::Gitlab);
        assert_eq!(parse("kubernetes=https://k8s.example").unwrap().kind, IssuerType::Kubernetes);
        assert_eq!(parse("https://id.example/?a=b").unwrap().kind, IssuerType::Email);
        assert!(parse("carrier-pigeon=https://id.example").is_err());
        assert!(parse("http://id.example").is_err());
        assert!(parse("id.example").is_err());
    }

    #[test]
    fn what_cannot_be_served() {
        let refused = |change: fn(&mut Config)| {
            let mut config = config();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        config().check().unwrap();
        assert!(refused(|c| c.issuers.clear()).contains("no issuer"));
        assert!(refused(|c| c.issuers.push(c.issuers[0].clone())).contains("twice"));
        assert!(refused(|c| c.development = true).contains("loopback"));
        assert!(refused(|c| c.url.push('/')).contains("slash"));
        assert!(refused(|c| c.url = "ftp://example.com".into()).contains("HTTP"));
        assert!(refused(|c| c.certificates.minutes = 0).contains("minutes"));
        assert!(refused(|c| c.issuers[0].kind = IssuerType::Spiffe).contains("trust_domain"));
        assert!(refused(|c| c.name.clear()).contains("name"));
    }

    /// Else a development issuer's tokens would be good for real certificates.
    #[test]
    fn only_a_development_authority_has_issuers_over_plain_http() {
        let plain = |development: bool| {
            let issuers = vec!["http://127.0.0.1:8080/dev".parse().unwrap()];
            let url = "http://127.0.0.1:9090".into();
            Config { development, url, issuers, ..config() }.check()
        };
        plain(true).unwrap();
        let refused = plain(false).unwrap_err().to_string();
        assert!(refused.contains("https"), "{refused}");
        let keys = Url::parse("http://127.0.0.1:8080/keys").unwrap();
        assert!(may_be_fetched(&keys, true) && !may_be_fetched(&keys, false));
    }

    #[test]
    fn marks_are_kept_outside_of_a_real_authority() {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca");
        let check = |marks: &Path, development: bool| {
            let logs = LogsConfig { high_water_marks: marks.into() };
            Config { logs, development, ..config() }.check_marks(&ca)
        };
        let refused = check(Path::new("marks"), false).unwrap_err().to_string();
        assert!(refused.contains("--marks"), "{refused}");
        check(Path::new("marks"), true).unwrap();
        check(&ca.join("../ca/marks"), false).unwrap_err();
        check(&ca, false).unwrap_err();
        check(&folder.path().join("marks"), false).unwrap();
        check(Path::new("../marks"), false).unwrap();
        std::fs::create_dir(&ca).unwrap();
        std::os::unix::fs::symlink(&ca, folder.path().join("link")).unwrap();
        check(&folder.path().join("link/marks"), false).unwrap_err();
    }
}
