//! Names from outside, made harmless for a terminal or a log.

use std::fmt;

use crate::limits::QUOTED_CHARS;

/// Shows a string in quotes, with everything that is not plainly visible escaped and what is too
/// long left out. Tensors can be called anything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(QUOTED_CHARS) {
            Some((end, _)) => {
                let beginning = self.0.get(..end).unwrap_or_default();
                write!(f, "{beginning:?}… ({} bytes)", self.0.len())
            }
            None => write!(f, "{:?}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_do_not_reach_the_terminal() {
        for hostile in ["\u{1b}]0;x\u{7}", "\u{9b}31m", "a\u{202e}b", "a\u{200b}b", "\r\n"] {
            assert!(Quoted(hostile).to_string().is_ascii(), "{hostile:?}");
        }
        assert_eq!(Quoted("模型").to_string(), "\"模型\"");
        assert!(Quoted(&"x".repeat(1000)).to_string().ends_with("… (1000 bytes)"));
    }
}
