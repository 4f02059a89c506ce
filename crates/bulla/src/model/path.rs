//! The name of a file in a model.

use std::fmt;
use std::sync::Arc;

use crate::limits::{NAME_BYTES, PATH_BYTES};
use crate::text::Printable;

/// A path relative to the model's root, in the one spelling that OMS v1.0 §6.1.2 allows: `/`
/// between components, no `.` or `..`, nothing empty, no `/` at either end, UTF-8.
///
/// It orders by code points, as the specification sorts resources (not by component, as Python
/// does: `a-b` comes before `a/b` here). A copy shares the text: a listing, a manifest and a claim of a hundred
/// thousand files name each of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelPath(Arc<str>);

/// Why a text is not a [`ModelPath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadPath {
    /// No characters at all.
    #[error("it is empty")]
    Empty,
    /// It begins with `/`.
    #[error("it is absolute")]
    Absolute,
    /// It has a component `..`.
    #[error("it leaves the model with '..'")]
    Parent,
    /// It has a component `.`, a doubled `/` or a `/` at its end.
    #[error("it is not in its shortest form ('.', '//' or a '/' at the end)")]
    NotCanonical,
    /// It has a NUL character, which no file system can hold.
    #[error("it has a NUL character")]
    Nul,
    /// It, or a component, is longer than a file system allows.
    #[error("it is longer than a path can be")]
    TooLong,
}

impl ModelPath {
    /// Checks a path; nothing is rewritten.
    ///
    /// # Errors
    /// [`BadPath`] says which rule is broken.
    pub fn parse(text: &str) -> Result<Self, BadPath> {
        if text.is_empty() {
            return Err(BadPath::Empty);
        }
        if text.starts_with('/') {
            return Err(BadPath::Absolute);
        }
        if text.contains('\0') {
            return Err(BadPath::Nul);
        }
        if text.len() > PATH_BYTES {
            return Err(BadPath::TooLong);
        }
        for component in text.split('/') {
            match component {
                ".." => return Err(BadPath::Parent),
                "" | "." => return Err(BadPath::NotCanonical),
                c if c.len() > NAME_BYTES => return Err(BadPath::TooLong),
                _ => {}
            }
        }
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names between the slashes.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The directories that hold it, outermost first: `a` and `a/b` for `a/b/c`.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').filter_map(|(at, _)| self.0.get(..at))
    }
}

impl AsRef<str> for ModelPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for ModelPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Safe for a terminal.
impl fmt::Display for ModelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Printable(&self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_only() {
        for good in ["a", "a/b", "weights:0:1", "a b", "ä/模型", "a\nb", "...", "a\\b", ".git"] {
            assert_eq!(ModelPath::parse(good).map(|p| p.as_str().to_owned()), Ok(good.into()));
        }
        for (bad, why) in [
            ("", BadPath::Empty),
            ("/a", BadPath::Absolute),
            ("..", BadPath::Parent),
            ("a/../b", BadPath::Parent),
            (".", BadPath::NotCanonical),
            ("./a", BadPath::NotCanonical),
            ("a//b", BadPath::NotCanonical),
            ("a/", BadPath::NotCanonical),
            ("a\0b", BadPath::Nul),
        ] {
            assert_eq!(ModelPath::parse(bad), Err(why), "{bad:?}");
        }
        assert_eq!(ModelPath::parse(&"a".repeat(256)), Err(BadPath::TooLong));
        assert_eq!(ModelPath::parse(&"a/".repeat(2500)), Err(BadPath::TooLong));
    }

    #[test]
    fn trap_1_order_is_by_code_point_not_by_component() {
        let slash = ModelPath::parse("a/b").unwrap();
        let dash = ModelPath::parse("a-b").unwrap();
        assert!(dash < slash);
    }

    #[test]
    fn parents_are_outermost_first() {
        let path = ModelPath::parse("a/b/c").unwrap();
        assert_eq!(path.parents().collect::<Vec<_>>(), ["a", "a/b"]);
    }
}
