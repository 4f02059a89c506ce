//! Spans of time as a person writes them: `30d`, `24h`.

use std::borrow::Cow;

use bulla::jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::schema::SPAN;

/// The longest span: a hundred years.
const MOST_HOURS: i64 = 100 * 366 * 24;

/// So many days or hours: `30d`, `24h`.
///
/// # Errors
/// In words, what is wrong with it.
pub fn span(text: &str) -> Result<SignedDuration, String> {
    Span::parse(text).map(|span| span.0)
}

/// So many days or hours: never negative, and never more than a hundred years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(pub(crate) SignedDuration);

impl Span {
    /// `30d`, `24h`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("{text:?} is no span of time, expected 30d or 24h");
        let (number, hours) = match (text.strip_suffix('d'), text.strip_suffix('h')) {
            (Some(days), _) => (days, 24),
            (_, Some(hours)) => (hours, 1),
            _ => return Err(expected()),
        };
        let number: u32 = number.parse().map_err(|_| expected())?;
        let hours = i64::from(number) * hours;
        if hours > MOST_HOURS {
            return Err(format!("{text:?} is longer than a hundred years"));
        }
        Ok(Self(SignedDuration::from_hours(hours)))
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": SPAN,
            "description": "So many days (30d) or hours (24h), at most a hundred years.",
        })
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}
