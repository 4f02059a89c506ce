//! Identity tokens: from what a client sends to claims that an issuer vouches for.
//!
//! ```text
//! text ─ size, three parts ─► issuer (named in the configuration?) ─ its key, an allowed algorithm ─► signature
//!      ─ audience, exp, nbf, iat ─► VerifiedToken ─ ... everything else about the request ... ─ use once ─► certificate
//! ```

mod issuers;
mod once;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;
use serde_json::{Map, Value};

pub(crate) use issuers::{Issuers, KeySource};
pub(crate) use once::{Claim, Once, UseError};

use crate::config::IssuerConfig;
use crate::http::Refusal;
use crate::keys::sha256;

/// Longer tokens are not read.
const TOKEN_BYTES: usize = 16 << 10;
/// Clocks differ by this much.
const LEEWAY: SignedDuration = SignedDuration::from_secs(30);
/// Tokens that are valid for longer are no tokens for one use: each has to be remembered until its end.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);
/// Asymmetric ones only: a public key can then never pass for a secret.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::EdDSA,
];

/// A token that its issuer signed for us, and that is valid now. It may have been used before.
#[derive(Debug)]
pub(crate) struct VerifiedToken {
    pub(crate) issuer: Arc<IssuerConfig>,
    pub(crate) subject: String,
    pub(crate) claims: Map<String, Value>,
    /// For using it once.
    pub(crate) claim: Claim,
}

/// The claims that every token must have.
#[derive(Deserialize)]
struct Registered {
    iss: String,
    sub: String,
    exp: f64,
    iat: f64,
    nbf: Option<f64>,
    jti: Option<String>,
}

/// Just enough to find the issuer.
#[derive(Deserialize)]
struct Unverified {
    iss: String,
}

fn refused(why: impl Into<String>) -> Refusal {
    Refusal::unauthenticated(format!("the identity token is refused: {}", why.into()))
}

/// Checks a token.
pub(crate) async fn verify(
    token: &str,
    issuers: &Issuers,
    now: Timestamp,
) -> Result<VerifiedToken, Refusal> {
    // 1. It is a token at all.
    if token.is_empty() {
        return Err(Refusal::unauthenticated("there is no identity token in the request"));
    }
    if token.len() > TOKEN_BYTES {
        return Err(refused("it is too large"));
    }
    // A second look at the same text with other rules is how signatures are passed by: no spaces, three parts.
    let alphabet = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if !token.bytes().all(alphabet) || token.split('.').count() != 3 {
        return Err(refused("it is not a JSON web token"));
    }
    let malformed = |_| refused("it is not a JSON web token");
    let header = jsonwebtoken::decode_header(token).map_err(|_| {
        refused("its header is malformed, or names a signature algorithm that does not exist")
    })?;
    // What must be understood and is not, nobody may pass over (RFC 7515 §4.1.11); nothing of that kind is understood here.
    let members = token
        .split('.')
        .next()
        .and_then(|header| URL_SAFE_NO_PAD.decode(header).ok())
        .and_then(|header| serde_json::from_slice::<Map<String, Value>>(&header).ok());
    if members.is_none_or(|members| members.contains_key("crit")) {
        return Err(refused("its header has extensions that must be understood (crit)"));
    }
    let Unverified { iss } =
        jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(malformed)?;

    // 2. Its issuer is one of those in the configuration.
    let issuer = issuers.find(&iss).ok_or_else(|| {
        refused(format!("its issuer {} is not accepted here", bulla::Printable(&shorten(&iss))))
    })?;

    // 3. Its algorithm is one with public keys.
    if !ALGORITHMS.contains(&header.alg) {
        return Err(refused(format!("signatures of kind {:?} are not accepted", header.alg)));
    }

    // 4. Its issuer signed it, for us.
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[&issuer.config().url]);
    validation.set_audience(&[&issuer.config().audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // The times are ours to check, with our clock.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    let key = issuer.key(&header, now).await?;
    let claims = jsonwebtoken::decode::<Map<String, Value>>(token, &key, &validation)
        .map_err(|e| {
            use jsonwebtoken::errors::ErrorKind;
            refused(match e.kind() {
                ErrorKind::InvalidAudience => {
                    format!("its audience is not {:?}", issuer.config().audience)
                }
                ErrorKind::MissingRequiredClaim(name) => format!("it has no claim {name:?}"),
                ErrorKind::InvalidSignature => "its signature is not its issuer's".to_owned(),
                _ => "its signature or its claims are malformed".to_owned(),
            })
        })?
        .claims;
    let registered: Registered = serde_json::from_value(Value::Object(claims.clone()))
        .map_err(|_| refused("iss, sub, exp, iat, nbf or jti is missing, or not of its type"))?;
    // The library also takes a list.
    if registered.iss != issuer.config().url {
        return Err(refused("its issuer changed while it was read"));
    }
    if registered.sub.is_empty() {
        return Err(refused("its subject is empty"));
    }

    // 5. It is valid now.
    let expires = check_times(&registered, now)?;
    let signed_part = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
    let name = match registered.jti.as_deref() {
        Some(jti) if !jti.is_empty() => format!("jti\0{}\0{jti}", registered.iss),
        _ => format!("token\0{signed_part}"),
    };
    let claim = Claim { name: sha256(name.as_bytes()), expires: expires + LEEWAY };
    Ok(VerifiedToken { issuer: issuer.config().clone(), subject: registered.sub, claims, claim })
}

fn check_times(registered: &Registered, now: Timestamp) -> Result<Timestamp, Refusal> {
    let at = |seconds: f64| {
        SignedDuration::try_from_secs_f64(seconds)
            .ok()
            .and_then(|since| Timestamp::UNIX_EPOCH.checked_add(since).ok())
            .ok_or_else(|| refused("one of its times is out of range"))
    };
    let (expires, issued) = (at(registered.exp)?, at(registered.iat)?);
    if expires + LEEWAY <= now {
        return Err(refused(format!("it expired at {expires}, and it is {now}")));
    }
    if issued > now + LEEWAY {
        return Err(refused(format!("it was issued at {issued}, and it is only {now}")));
    }
    if let Some(not_before) = registered.nbf {
        let not_before = at(not_before)?;
        if not_before > now + LEEWAY {
            return Err(refused(format!("it is valid from {not_before}, and it is only {now}")));
        }
    }
    if expires > now + LONGEST {
        return Err(refused(format!(
            "it is valid until {expires}, for more than 24 hours: tokens are for one use, soon"
        )));
    }
    Ok(expires)
}

fn shorten(text: &str) -> String {
    text.chars().take(200).collect()
}
