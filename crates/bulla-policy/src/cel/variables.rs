//! What rules are asked about: which names there are, and what is behind them.

use std::collections::BTreeMap;
use std::fmt;

use super::check::is_name;

/// What a fact looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// True or false.
    Bool,
    /// A whole number, from -2^63 to 2^63 - 1.
    Int,
    /// Any number.
    Double,
    /// Text.
    Text,
    /// Any number of one shape.
    List(Box<Shape>),
    /// Values of one shape by names that are not known beforehand.
    Map(Box<Shape>),
    /// Members with known names. Any of them may be missing.
    Object(BTreeMap<String, Shape>),
}

impl Shape {
    /// A list.
    #[must_use]
    pub fn list(of: Self) -> Self {
        Self::List(Box::new(of))
    }

    /// A map.
    #[must_use]
    pub fn map(of: Self) -> Self {
        Self::Map(Box::new(of))
    }

    /// An object.
    #[must_use]
    pub fn object<'a>(members: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        Self::Object(members.into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "true or false",
            Self::Int => "a whole number",
            Self::Double => "a number",
            Self::Text => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Object(_) => "an object",
        })
    }
}

/// The names that a rule can use, with the shapes of what they stand for. Besides there are `kilo`, `mega`, `giga` and `tera`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variables {
    pub(super) shapes: BTreeMap<String, Shape>,
}

impl Variables {
    /// Names and shapes. A name that no rule could write is as good as none.
    #[must_use]
    pub fn new<'a>(shapes: impl IntoIterator<Item = (&'a str, Shape)>) -> Self {
        let shapes = shapes.into_iter().filter(|(name, _)| is_name(name));
        Self { shapes: shapes.map(|(name, shape)| (name.to_owned(), shape)).collect() }
    }
}
