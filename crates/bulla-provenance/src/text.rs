//! Text from outside, made harmless for a message.

use std::fmt;

/// Characters of somebody else's text that are repeated in a message.
const QUOTED_CHARS: usize = 120;

/// Somebody else's text in a message: in quotes, shortened, with everything that could act on a
/// terminal escaped.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(QUOTED_CHARS) {
            Some((end, _)) => {
                write!(f, "{:?}… ({} bytes)", self.0.get(..end).unwrap_or_default(), self.0.len())
            }
            None => write!(f, "{:?}", self.0),
        }
    }
}

/// Whether all that a text does is to show itself: no control characters, nothing that reorders or
/// hides text.
pub(crate) fn is_plain(text: &str) -> bool {
    text.chars().all(|c| matches!(c, '"' | '\'' | '\\') || c.escape_debug().count() == 1)
}

/// The system's words without Rust's "(os error 2)".
pub(crate) fn io_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map(|c| c.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_acts_is_not_plain_and_is_quoted() {
        for hostile in
            ["a\nb", "\u{1b}[31m", "\u{9b}31m", "a\u{202e}b", "a\u{200b}b", "\0", "\u{2028}"]
        {
            assert!(!is_plain(hostile), "{hostile:?}");
            assert!(is_plain(&Quoted(hostile).to_string()), "{hostile:?}");
        }
        for good in ["loss", "val/loss@5", "naïve 模型 🦙", r#"it's "quoted" \"#] {
            assert!(is_plain(good), "{good:?}");
        }
        assert!(Quoted(&"x".repeat(5000)).to_string().len() < 200);
    }
}
