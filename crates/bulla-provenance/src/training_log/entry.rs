//! What one line of a log says.

use bulla::text::{Quoted, is_plain};
use serde::Serialize;
use serde_json::{Map, Value};

/// Bytes of the name of a metric, a checkpoint or an event.
pub const NAME_BYTES: usize = 200;

/// What is written into a log.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A run begins; what it is, in the words of whoever started it.
    Start(Map<String, Value>),
    /// Something was measured.
    Metric(Metric),
    /// The state of the model was saved.
    Checkpoint(Checkpoint),
    /// Something happened.
    Event(Event),
    /// The run has ended, and how.
    End(Map<String, Value>),
}

/// One measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// What was measured, like `loss` or `eval/accuracy`.
    pub name: Name,
    /// The value. One that is not finite is written as `"NaN"`, `"Infinity"` or `"-Infinity"`,
    /// for JSON has no such numbers, and that a loss became one is worth a line.
    pub value: f64,
    /// The training step.
    pub step: Option<u64>,
    /// Whatever else: `epoch`, `split` and so on.
    pub other: Map<String, Value>,
}

/// One saved state.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Its name, usually its path.
    pub name: Name,
    /// Its digest, as `algorithm:hex`.
    pub digest: Option<String>,
    /// The training step.
    pub step: Option<u64>,
    /// Whatever else.
    pub other: Map<String, Value>,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its name, like `learning-rate-dropped`.
    pub name: Name,
    /// The training step.
    pub step: Option<u64>,
    /// Whatever else.
    pub other: Map<String, Value>,
}

/// The name of something in a log: 1 to 200 bytes, each character of which shows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// Checks a name; nothing is rewritten.
    ///
    /// # Errors
    /// [`Unfit`], if it is empty, too long, or has characters that do not show.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        let fault = if text.is_empty() {
            "is empty"
        } else if text.len() > NAME_BYTES {
            "is longer than 200 bytes"
        } else if !is_plain(text) {
            "has characters that do not show"
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(Unfit(format!("the name {} {fault}", Quoted(text))))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why something cannot be a line of a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub(crate) String);

impl Event {
    /// An event that is only a name, with whatever belongs to it.
    ///
    /// # Errors
    /// [`Unfit`], for a name that is none.
    pub fn new(name: &str, other: Map<String, Value>) -> Result<Self, Unfit> {
        Ok(Self { name: Name::parse(name)?, step: None, other })
    }
}

impl Entry {
    /// `start`, `metric`, `checkpoint`, `event` or `end`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Metric(_) => "metric",
            Self::Checkpoint(_) => "checkpoint",
            Self::Event(_) => "event",
            Self::End(_) => "end",
        }
    }

    /// Reads an entry of a kind from the members of a JSON object.
    ///
    /// # Errors
    /// [`Unfit`], with the member that is missing or of another type.
    pub fn from_data(kind: &str, mut data: Map<String, Value>) -> Result<Self, Unfit> {
        Ok(match kind {
            "start" => Self::Start(data),
            "end" => Self::End(data),
            "metric" => Self::Metric(Metric {
                name: take_name(&mut data)?,
                value: take_value(&mut data)?,
                step: take_step(&mut data)?,
                other: data,
            }),
            "checkpoint" => Self::Checkpoint(Checkpoint {
                name: take_name(&mut data)?,
                digest: take_digest(&mut data)?,
                step: take_step(&mut data)?,
                other: data,
            }),
            "event" => Self::Event(Event {
                name: take_name(&mut data)?,
                step: take_step(&mut data)?,
                other: data,
            }),
            other => {
                return Err(Unfit(format!(
                    "the kind {} is none of start, metric, checkpoint, event and end",
                    Quoted(other)
                )));
            }
        })
    }

    /// The members of the JSON object that [`Entry::from_data`] reads.
    #[must_use]
    pub fn to_data(&self) -> Map<String, Value> {
        let named = |other: &Map<String, Value>, name: &Name, step: Option<u64>| {
            let mut data = other.clone();
            data.insert("name".into(), name.0.clone().into());
            if let Some(step) = step {
                data.insert("step".into(), step.into());
            }
            data
        };
        match self {
            Self::Start(data) | Self::End(data) => data.clone(),
            Self::Metric(metric) => {
                let mut data = named(&metric.other, &metric.name, metric.step);
                data.insert("value".into(), number(metric.value));
                data
            }
            Self::Checkpoint(checkpoint) => {
                let mut data = named(&checkpoint.other, &checkpoint.name, checkpoint.step);
                if let Some(digest) = &checkpoint.digest {
                    data.insert("digest".into(), digest.clone().into());
                }
                data
            }
            Self::Event(event) => named(&event.other, &event.name, event.step),
        }
    }
}

/// A number for JSON, or the word for one that JSON does not have.
pub(crate) fn number(value: f64) -> Value {
    match serde_json::Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None if value.is_nan() => "NaN".into(),
        None if value > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

fn take_name(data: &mut Map<String, Value>) -> Result<Name, Unfit> {
    match data.remove("name") {
        Some(Value::String(name)) => Name::parse(&name),
        Some(_) => Err(Unfit("`name` is not a string".into())),
        None => Err(Unfit("it has no `name`".into())),
    }
}

fn take_step(data: &mut Map<String, Value>) -> Result<Option<u64>, Unfit> {
    match data.remove("step") {
        None => Ok(None),
        Some(step) => match step.as_u64() {
            Some(step) => Ok(Some(step)),
            None => Err(Unfit("`step` is not a whole number from 0 on".into())),
        },
    }
}

fn take_value(data: &mut Map<String, Value>) -> Result<f64, Unfit> {
    let wrong = "`value` is neither a number nor \"NaN\", \"Infinity\" or \"-Infinity\"";
    match data.remove("value") {
        None => Err(Unfit("it has no `value`".into())),
        Some(Value::Number(n)) => {
            n.as_f64().filter(|n| n.is_finite()).ok_or_else(|| Unfit(wrong.into()))
        }
        Some(Value::String(word)) => match word.as_str() {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            _ => Err(Unfit(wrong.into())),
        },
        Some(_) => Err(Unfit(wrong.into())),
    }
}

fn take_digest(data: &mut Map<String, Value>) -> Result<Option<String>, Unfit> {
    let digest = match data.remove("digest") {
        None => return Ok(None),
        Some(Value::String(digest)) => digest,
        Some(_) => return Err(Unfit("`digest` is not a string".into())),
    };
    let good = digest.split_once(':').is_some_and(|(algorithm, hex)| {
        (1..=32).contains(&algorithm.len())
            && algorithm.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && (32..=256).contains(&hex.len())
            && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    });
    if good {
        return Ok(Some(digest));
    }
    Err(Unfit(format!("`digest` is {}, not like sha256:0123…ef", Quoted(&digest))))
}
