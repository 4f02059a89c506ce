//! What there is to say of a document, and where in it: data, for whoever shows it.

use std::path::PathBuf;

use bulla::Fault;
use serde::Serialize;

/// Something about a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Concern {
    /// Whether the document cannot be used, or not as it is meant.
    pub is_error: bool,
    /// A short, stable name of its kind, for programs.
    pub code: &'static str,
    /// What was found, and what was expected.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// Which part of the document it speaks of.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// A part of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Place {
    /// The line in which it begins; the first is 1.
    pub line: usize,
    /// The character of that line with which it begins; the first is 1.
    pub column: usize,
    /// How many characters it has, if they are on that line; else 1.
    #[serde(skip)]
    pub length: usize,
}

impl Concern {
    pub(crate) fn error(
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let (message, hint) = (message.into(), hint.into());
        Self { is_error: true, code, message, hint, place: None }
    }

    pub(crate) fn warning(
        code: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { is_error: false, ..Self::error(code, message, hint) }
    }

    pub(crate) fn at(mut self, place: Option<Place>) -> Self {
        self.place = place;
        self
    }

    /// That nothing can be decided by it now, for want of a document that it names.
    #[must_use]
    pub fn undecidable(why: String) -> Self {
        let hint = "until that is mended every gate fails (exit code 3)";
        Self::warning("no-revocations", format!("nothing can be decided by it now: {why}"), hint)
    }

    /// That a signature is missing which the policy asks for.
    #[must_use]
    pub fn unsigned(why: String) -> Self {
        Self::error("unsigned", why, "have it signed: 'bulla policy sign'")
    }
}

impl std::fmt::Display for Concern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(Place { line, column, .. }) = self.place {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// A document that cannot be used, with everything that is wrong with it as far as that can be found out.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unusable {
    /// Which.
    pub path: PathBuf,
    /// What is wrong with it, in its order. Never empty.
    pub concerns: Vec<Concern>,
    /// That something which it names could not be read, if nothing else is wrong.
    pub(crate) fault: Option<Box<Fault>>,
}

impl Unusable {
    /// Whether the document was read, and it is not only that something which it names was not there.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.fault.is_none()
    }

    fn detail(&self) -> String {
        let all: Vec<String> = self.concerns.iter().map(ToString::to_string).collect();
        all.join("; ")
    }

    /// The same of a trust file.
    pub(crate) fn of_trust_file(self) -> Fault {
        let detail = self.detail();
        self.fault.map_or(Fault::TrustFile { path: self.path, detail }, |fault| *fault)
    }
}

impl From<Unusable> for Fault {
    fn from(unusable: Unusable) -> Self {
        let detail = unusable.detail();
        unusable.fault.map_or(Self::Policy { path: unusable.path, detail }, |fault| *fault)
    }
}

/// What somebody may have meant.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |other: &str| strsim::damerau_levenshtein(&name.to_lowercase(), other);
    let near = known.into_iter().map(|other| (distance(&other.to_lowercase()), other));
    let (distance, other) = near.min_by_key(|(distance, _)| *distance)?;
    // Two letters of a short word make another word.
    (distance <= (name.chars().count() / 3).max(1)).then_some(other)
}

/// "did you mean", and else what there is.
pub(crate) fn meant<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<String> {
    if let Some(near) = nearest(name, known.clone()) {
        return Some(format!("did you mean {near}?"));
    }
    let all: Vec<&str> = known.into_iter().take(20).collect();
    (!all.is_empty()).then(|| format!("there is {}", all.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn what_somebody_meant() {
        let known = ["formats", "models", "mode", "rules"];
        assert_eq!(nearest("format", known), Some("formats"));
        assert_eq!(nearest("modle", known), Some("mode"));
        assert_eq!(nearest("Mode", known), Some("mode"));
        assert_eq!(nearest("tools", known), None);
        assert_eq!(nearest("x", []), None);
    }
}
