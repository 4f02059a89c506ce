//! What all services answer with when they do not do what was asked.

mod connections;
mod rates;
mod shares;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

pub(crate) use connections::Connections;
pub(crate) use rates::{Rates, limit, limit_reads};
pub(crate) use shares::{Shares, large_answers, large_requests};

use crate::clock::IssueError;
use bulla_log::LogError;

/// A request that is not fulfilled. Nothing was logged and nothing issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// What was sent makes no sense.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Nobody vouches for who sent it.
    pub(crate) fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    /// It is known who sent it, and it is not for them.
    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// There is no such thing.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// No longer done here.
    pub(crate) fn frozen(message: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, message)
    }

    /// More than is taken.
    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// Too often.
    pub(crate) fn too_many(message: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, message)
    }

    /// It is not the client's fault, and it may go better later.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// The status.
    #[must_use]
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// What the client is told.
    #[must_use]
    #[cfg(test)]
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// For the log of the authority.
    pub(crate) fn traced(self, service: &'static str) -> Self {
        if self.status.is_server_error() {
            tracing::error!(service, status = self.status.as_u16(), why = self.message, "failed");
        } else {
            tracing::info!(service, status = self.status.as_u16(), why = self.message, "refused");
        }
        self
    }

    /// As services that stand behind gRPC say it (Fulcio, Rekor v2).
    pub(crate) fn grpc(self) -> Response {
        let code = match self.status {
            StatusCode::BAD_REQUEST => 3,
            StatusCode::NOT_FOUND => 5,
            StatusCode::FORBIDDEN => 7,
            StatusCode::TOO_MANY_REQUESTS => 8,
            StatusCode::METHOD_NOT_ALLOWED => 12,
            StatusCode::SERVICE_UNAVAILABLE => 14,
            StatusCode::UNAUTHORIZED => 16,
            StatusCode::PAYLOAD_TOO_LARGE => 11,
            _ => 13,
        };
        let body = json!({ "code": code, "message": self.message, "details": [] });
        (self.status, Json(body)).into_response()
    }

    /// As Rekor v1 says it.
    pub(crate) fn rekor_v1(self) -> Response {
        let body = json!({ "code": self.status.as_u16(), "message": self.message });
        (self.status, Json(body)).into_response()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.rekor_v1()
    }
}

/// Reads an object. A derived reader also takes an array of the members, which no other reader of the same document
/// would.
pub(crate) fn read_object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refusal::malformed("the request is malformed: it is no JSON object"));
    }
    serde_json::from_slice(body)
        .map_err(|e| Refusal::malformed(format!("the request is malformed: {}", where_it_is(&e))))
}

/// What is wrong with a document, and where. The reader's own words would quote it: a token in the wrong place would stand in the
/// log.
pub(crate) fn where_it_is(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Syntax => "it is no JSON",
        Category::Eof => "it ends too early",
        Category::Data => "a member is missing, or is not what is expected there",
        Category::Io => "it cannot be read",
    };
    format!("{what} (line {}, column {})", error.line(), error.column())
}

/// A list that is not read beyond `N`: three bytes of JSON can take up many more in memory.
#[derive(Debug)]
pub(crate) struct AtMost<T, const N: usize>(pub(crate) Vec<T>);

impl<T, const N: usize> Default for AtMost<T, N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for AtMost<T, N> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T, const N: usize>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const N: usize> serde::de::Visitor<'de> for Visitor<T, N> {
            type Value = Vec<T>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "a list of at most {N}")
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut items: A,
            ) -> Result<Vec<T>, A::Error> {
                let mut list = Vec::new();
                while list.len() < N {
                    match items.next_element()? {
                        Some(item) => list.push(item),
                        None => return Ok(list),
                    }
                }
                match items.next_element::<serde::de::IgnoredAny>()? {
                    None => Ok(list),
                    Some(_) => Err(serde::de::Error::invalid_length(N + 1, &self)),
                }
            }
        }
        deserializer.deserialize_seq(Visitor::<T, N>(std::marker::PhantomData)).map(Self)
    }
}

/// The authority cannot do its part. The details are for its own log: they may name files.
impl From<bulla::Fault> for Refusal {
    fn from(fault: bulla::Fault) -> Self {
        tracing::error!(fault = %fault, "the authority cannot sign or write");
        Self::unavailable("the authority cannot do this now")
    }
}

impl From<LogError> for Refusal {
    fn from(error: LogError) -> Self {
        tracing::error!(error = %error, "a log refused");
        Self::unavailable("the log cannot take entries now")
    }
}

impl From<IssueError> for Refusal {
    fn from(error: IssueError) -> Self {
        tracing::error!(error = %error, "nothing is issued");
        Self::unavailable("the authority's clock is not right, or it cannot write")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_does_not_quote_what_was_sent() {
        #[derive(Debug, Deserialize)]
        struct Inner {
            _token: String,
        }
        #[derive(Debug, Deserialize)]
        struct Outer {
            _credentials: Inner,
        }
        for body in [
            r#"{"_credentials":"eyJsecret"}"#,
            r#"{"_credentials":{"_token":["eyJsecret"]}}"#,
            r#"{"_credentials":{"_token":"eyJsecret","_token":"eyJsecret"}}"#,
            r#"{"_credentials":{"_token":"eyJsecret"#,
            r#"{"_credentials":eyJsecret}"#,
        ] {
            let refusal = read_object::<Outer>(body.as_bytes()).unwrap_err();
            assert!(!refusal.message().contains("secret"), "{}", refusal.message());
            assert!(refusal.message().contains("line 1, column "), "{}", refusal.message());
        }
    }
}
