//! Identity tokens (OpenID Connect): given, ambient in a CI system or cloud, or got through a browser.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use bulla::Fault;
use bulla::jiff::{SignedDuration, Timestamp};
use sigstore_oidc::oauth::{AuthCallback, AuthMode, AuthOptions};
use sigstore_oidc::templates::HtmlTemplates;
use sigstore_oidc::token::SecretString;
use sigstore_oidc::{IdentityToken, OAuthClient, OAuthConfig};
use zeroize::Zeroizing;

use crate::http::{Client, Service};

/// Whom a token is for: what Sigstore's certificate authorities expect.
const AUDIENCE: &str = "sigstore";
/// Bytes of a token file.
const TOKEN_BYTES: usize = 64 << 10;
/// How far this machine's clock and a provider's may be apart.
const SKEW: SignedDuration = SignedDuration::from_secs(60);
/// Where cosign looks for a projected Kubernetes service-account token.
const PROJECTED: &str = "/var/run/sigstore/cosign/oidc-token";

/// A token that names whom it was issued to. It is wiped when dropped, and never shown. Nothing here checks its signature: the
/// certificate authority does.
pub struct Token(IdentityToken);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({} at {})", self.identity(), self.provider())
    }
}

/// Where to look for a token.
#[derive(Debug, Default)]
pub enum TokenSource {
    /// The first that is found: `SIGSTORE_ID_TOKEN`, a projected token file, the CI system's or cloud's own; else
    /// through a browser.
    #[default]
    Detect,
    /// This token.
    Given(Zeroizing<String>),
    /// The token in this file.
    File(PathBuf),
}

/// How a person is asked.
pub trait Interaction {
    /// Shows an address to go to; `true` if a browser has been sent there.
    fn visit(&self, url: &str, opened: bool);
    /// Asks for the code that the provider shows.
    ///
    /// # Errors
    /// When there is nobody to ask.
    fn code(&self) -> std::io::Result<Zeroizing<String>>;
}

impl Token {
    /// Reads a token, and looks whether it can be used now.
    ///
    /// # Errors
    /// [`Fault::Token`] when it is malformed, expired, not yet valid, or for another audience.
    pub fn parse(text: &str, now: Timestamp) -> Result<Self, Fault> {
        let bad = |detail: String, hint| Fault::Token { detail, hint };
        let text = text.trim();
        if text.len() > TOKEN_BYTES {
            return Err(bad(
                format!("it is longer than {TOKEN_BYTES} bytes"),
                "give an identity token (JWT)",
            ));
        }
        let token = IdentityToken::from_jwt(text).map_err(|_| {
            bad(
                "it is not a JSON web token with issuer, subject and expiry".into(),
                "give an identity token (OpenID Connect, JWT), not an access token",
            )
        })?;
        let claims = token.claims();
        if claims.exp < now {
            return Err(bad(
                format!("it expired at {} (it is {now})", claims.exp),
                "get a new one; if it is new, check this machine's clock",
            ));
        }
        if let Some(issued) = claims.iat
            && issued > now.saturating_add(SKEW).unwrap_or(now)
        {
            return Err(bad(
                format!("it was issued at {issued}, and it is only {now}"),
                "check this machine's clock",
            ));
        }
        if !claims.aud.contains(AUDIENCE) {
            return Err(bad(
                format!("it is for the audience {:?}, expected {AUDIENCE:?}", claims.aud),
                "ask the provider for a token with the audience 'sigstore'",
            ));
        }
        if claims.email.is_some() && claims.email_verified == Some(false) {
            return Err(bad(
                "its e-mail address is not verified by the provider".into(),
                "verify the address with the provider, and sign in again",
            ));
        }
        Ok(Self(token))
    }

    /// Finds a token.
    ///
    /// # Errors
    /// [`Fault::Token`] when there is none, or it cannot be used; [`Fault::Service`] when a service that should give one
    /// does not.
    pub fn get(
        source: &TokenSource,
        client: &Client,
        provider: Option<&str>,
        interaction: &dyn Interaction,
    ) -> Result<Self, Fault> {
        let now = Timestamp::now();
        match source {
            TokenSource::Given(token) => return Self::parse(token, now),
            TokenSource::File(path) => return Self::parse(&read(path)?, now),
            TokenSource::Detect => {}
        }
        if let Some(token) = variable("SIGSTORE_ID_TOKEN") {
            return Self::parse(&Zeroizing::new(token), now);
        }
        if Path::new(PROJECTED).exists() {
            return Self::parse(&read(Path::new(PROJECTED))?, now);
        }
        if let Some(found) = ambient()? {
            return Self::parse(found.expose_secret(), now);
        }
        if let Some(found) = google(client)? {
            return Self::parse(&found, now);
        }
        let Some(provider) = provider else {
            return Err(Fault::Token {
                detail: "there is none, and no identity provider to get one from".into(),
                hint: "give one with --identity-token or in SIGSTORE_ID_TOKEN",
            });
        };
        if !std::io::stderr().is_terminal() || !std::io::stdin().is_terminal() {
            return Err(Fault::Token {
                detail: "there is none, and nobody at a terminal to get one".into(),
                hint: "give one with --identity-token or in SIGSTORE_ID_TOKEN, or sign with a key: --key",
            });
        }
        Self::parse(browse(provider, interaction)?.expose_secret(), now)
    }

    /// Whom it names: an e-mail address, or a subject.
    #[must_use]
    pub fn identity(&self) -> &str {
        self.0.identity()
    }

    /// Who issued it.
    #[must_use]
    pub fn provider(&self) -> &str {
        self.0.issuer()
    }

    /// What a signature over shows that the key is in the hands of whom the token names.
    pub(crate) fn challenge(&self) -> &str {
        self.0.identity()
    }

    /// Whether a text has a part of the token in it.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        const TELLING: usize = 12;
        self.expose().split('.').any(|part| {
            let beginning = part.get(..TELLING).unwrap_or(part);
            !beginning.is_empty() && text.contains(beginning)
        })
    }

    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn read(path: &Path) -> Result<Zeroizing<String>, Fault> {
    use std::io::Read as _;
    let io = |e| Fault::io("read", path, e);
    let mut text = Zeroizing::new(String::with_capacity(TOKEN_BYTES + 1));
    let file = std::fs::File::open(path).map_err(io)?;
    file.take(TOKEN_BYTES as u64 + 1).read_to_string(&mut text).map_err(io)?;
    Ok(text)
}

fn runtime() -> Result<tokio::runtime::Runtime, Fault> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Fault::io("start", Path::new("a runtime"), e))
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Fault> {
    Ok(runtime()?.block_on(future))
}

/// GitHub Actions, GitLab, Buildkite, CircleCI.
fn ambient() -> Result<Option<IdentityToken>, Fault> {
    block_on(IdentityToken::detect_ambient())?.map_err(|e| Fault::Token {
        detail: format!("this CI system's token could not be got: {e}"),
        hint: "allow the job to request identity tokens (GitHub: 'permissions: id-token: write'; GitLab: 'id_tokens' with the audience sigstore)",
    })
}

/// A Google machine's own identity, from its metadata server.
fn google(client: &Client) -> Result<Option<Zeroizing<String>>, Fault> {
    let host = variable("GCE_METADATA_HOST");
    let product = std::fs::read_to_string("/sys/class/dmi/id/product_name").unwrap_or_default();
    if host.is_none() && !product.starts_with("Google") {
        return Ok(None);
    }
    let url = format!("http://{}", host.as_deref().unwrap_or(crate::http::GOOGLE_METADATA));
    let service = Service { name: "Google metadata server", url: &url };
    let path = format!(
        "/computeMetadata/v1/instance/service-accounts/default/identity?audience={AUDIENCE}&format=full"
    );
    let answer = client.get(service, &path, &[("Metadata-Flavor", "Google")])?;
    match answer.status {
        200 => Ok(String::from_utf8(answer.body).ok().map(Zeroizing::new)),
        // The machine has no identity of its own.
        404 => Ok(None),
        _ => Err(service.fault(answer.shown(), "check the machine's service account")),
    }
}

/// Through a browser that is sent back to this machine, or by a code that is typed (RFC 8252, PKCE).
fn browse(provider: &str, interaction: &dyn Interaction) -> Result<IdentityToken, Fault> {
    struct Callback<'a>(&'a dyn Interaction);
    impl HtmlTemplates for Callback<'_> {}
    impl AuthCallback for Callback<'_> {
        fn auth_url_ready(&self, url: &str, mode: AuthMode) {
            self.0.visit(url, mode == AuthMode::BrowserRedirect);
        }
        fn prompt_for_code(&self) -> std::io::Result<SecretString> {
            Ok(SecretString::new(self.0.code()?.as_str()))
        }
    }
    let service = Service { name: "identity provider", url: provider };
    crate::http::check_address(service)?;
    let failed = |e: sigstore_oidc::Error| {
        service.fault(e.to_string(), "try again; or give a token with --identity-token")
    };
    let client = OAuthClient::new(OAuthConfig::dex(provider)).map_err(failed)?;
    let options = AuthOptions::new().with_force_oob(no_browser());
    block_on(client.authenticate_with_options(Callback(interaction), options))?.map_err(failed)
}

/// Over a remote shell, or without a screen, a browser would open where nobody sees it.
fn no_browser() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    set("SSH_CONNECTION")
        || (cfg!(target_os = "linux") && !set("DISPLAY") && !set("WAYLAND_DISPLAY"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn token(claims: &serde_json::Value) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    fn claims() -> serde_json::Value {
        serde_json::json!({ "iss": "https://idp", "sub": "7", "aud": "sigstore", "email": "a@example.com",
            "email_verified": true, "iat": 1_000_000, "exp": 1_000_600 })
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_good_token_names_its_owner() {
        let read = Token::parse(&format!("{}\n", token(&claims())), at(1_000_100)).unwrap();
        assert_eq!((read.identity(), read.provider()), ("a@example.com", "https://idp"));
        assert!(
            read.is_in(&format!("they sent {}", token(&claims()))) && !read.is_in("a@example.com")
        );
        // Nothing of the token itself is ever shown.
        assert_eq!(format!("{read:?}"), "Token(a@example.com at https://idp)");
    }

    #[test]
    fn tokens_that_cannot_be_used_say_why() {
        let with = |name: &str, value: serde_json::Value| {
            let mut changed = claims();
            changed[name] = value;
            token(&changed)
        };
        for (text, now, says) in [
            (token(&claims()), 1_000_700, "it expired at 1970-01-12T13:56:40Z"),
            (token(&claims()), 999_000, "it was issued at"),
            (with("aud", "other".into()), 1_000_100, "for the audience Single(\"other\")"),
            (with("aud", serde_json::json!(["x", "y"])), 1_000_100, "for the audience"),
            (with("email_verified", false.into()), 1_000_100, "not verified"),
            ("x.y".into(), 1_000_100, "not a JSON web token"),
            ("x.y.z".into(), 1_000_100, "not a JSON web token"),
            (String::new(), 1_000_100, "not a JSON web token"),
            ("a".repeat(70_000), 1_000_100, "longer than"),
        ] {
            let fault = Token::parse(&text, at(now)).unwrap_err();
            assert!(fault.to_string().contains(says), "{fault}");
            assert!(!fault.to_string().contains("c2ln"), "{fault}");
        }
    }
}
