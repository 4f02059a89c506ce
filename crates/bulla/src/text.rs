//! Text from outside, made harmless for a terminal or a log.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::limits::QUOTED_CHARS;

/// Shows a string so that it cannot act on a terminal: control characters, escape sequences and
/// characters that reorder or hide text are written as escapes (rule 4 of the security design).
///
/// ```
/// assert_eq!(bulla::Printable("a\u{1b}[31m\nb").to_string(), r"a\u{1b}[31m\nb");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for c in self.0.chars() {
            match c {
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if acts_on_a_terminal(c) => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Whether a character does more than to show itself: C0 and C1 controls, bidirectional overrides
/// and isolates, zero-width and other invisible format characters, line and paragraph separators.
#[must_use]
pub fn acts_on_a_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0100}'..='\u{e01ef}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Somebody else's text in quotes, shortened and harmless: names that can be anything.
#[derive(Debug, Clone, Copy)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rust's own escapes leave what is invisible and counts as a letter.
        let quoted = |text: &str| Printable(&format!("{text:?}")).to_string();
        match self.0.char_indices().nth(QUOTED_CHARS) {
            Some((end, _)) => {
                let beginning = quoted(self.0.get(..end).unwrap_or_default());
                write!(f, "{beginning}… ({} bytes)", self.0.len())
            }
            None => f.write_str(&quoted(self.0)),
        }
    }
}

/// Whether all that a text does is to show itself, each character by itself: nothing that acts on a terminal,
/// nothing that reorders, hides or changes other text.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    let shows = |c: char| matches!(c, '"' | '\'' | '\\') || c.escape_debug().count() == 1;
    text.chars().all(|c| shows(c) && !acts_on_a_terminal(c))
}

/// The system's words without Rust's "(os error 2)".
#[must_use]
pub fn io_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map(|c| c.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// A day, which begins at midnight UTC (`2026-11-20`), or a point in time (RFC 3339).
///
/// # Errors
/// What was expected.
pub fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let expected =
        || format!("{text:?} is no day (2026-11-20) or time with its zone (2026-11-20T12:00:00Z)");
    // A date is read out of a time without a zone, too: hours would be dropped.
    let day: Date = text.parse().map_err(|_| expected())?;
    if day.to_string() != text {
        return Err(expected());
    }
    let day = day.to_zoned(TimeZone::UTC).map_err(|e| e.to_string())?;
    Ok(day.timestamp())
}

/// Whether a whole text fits a pattern, in which `*` stands for any text without `@` and `/` (rule 15 of the security design). It takes
/// time linear in both for each `*`.
#[must_use]
pub fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    // The earliest fit of each part leaves the most room for the next; none may be reached across '@' or '/'.
    let reach = |rest: &str| rest.find(['@', '/']).unwrap_or(rest.len());
    for part in parts {
        let Some(at) = rest.find(part).filter(|at| *at <= reach(rest)) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.len().checked_sub(last.len()).is_some_and(|at| at <= reach(rest)) && rest.ends_with(last)
}

/// The beginning of somebody else's text, which may be of any length, for a message.
#[must_use]
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS) {
        Some((end, _)) => {
            format!("{}… ({} bytes)", text.get(..end).unwrap_or_default(), text.len())
        }
        None => text.to_owned(),
    }
}

/// `1 file`, `2 files`.
#[must_use]
pub fn count(n: usize, one: &str) -> String {
    match n {
        1 => format!("1 {one}"),
        n => format!("{n} {one}s"),
    }
}

/// A number of bytes for people: `0 B`, `1.5 kB`, `4.3 GB` (powers of ten).
#[must_use]
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if n < 1000 {
        return format!("{n} B");
    }
    #[allow(clippy::cast_precision_loss)] // shown with two or three digits
    let mut value = n as f64 / 1000.0;
    let mut unit = UNITS.iter();
    let mut name = unit.next().unwrap_or(&"kB");
    while value >= 999.95 {
        let Some(next) = unit.next() else { break };
        value /= 1000.0;
        name = next;
    }
    format!("{value:.1} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_zone() {
        let midnight = time("2026-11-20").unwrap();
        assert_eq!(time("2026-11-20T00:00:00Z"), Ok(midnight));
        assert_eq!(time("2026-11-20T02:00:00+02:00"), Ok(midnight));
        for wrong in [
            "2026-11-20T10:00:00",
            "2026-11-20 10:00:00",
            "2026-11-20T10:00",
            "2026-11-20T10:00:00[Europe/Berlin]",
            "20261120",
            " 2026-11-20",
            "2026-11-20 ",
            "2026-13-01",
            "soon",
            "",
        ] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn escapes_do_not_reach_the_terminal() {
        for hostile in ["\u{1b}]0;x\u{7}", "\u{9b}31m", "a\u{202e}b", "a\u{200b}b", "\r\n"] {
            assert!(!Quoted(hostile).to_string().chars().any(acts_on_a_terminal), "{hostile:?}");
            let shown = Printable(hostile).to_string();
            assert!(!shown.chars().any(acts_on_a_terminal), "{shown:?}");
        }
        assert_eq!(Printable("naïve 模型 🦙").to_string(), "naïve 模型 🦙");
        assert_eq!(Quoted("模型").to_string(), "\"模型\"");
        assert!(Quoted(&"x".repeat(1000)).to_string().ends_with("… (1000 bytes)"));
    }

    #[test]
    fn text_that_acts_is_not_plain_and_is_quoted() {
        // The last two are letters to Rust, and blank to the eye.
        for hostile in [
            "a\nb",
            "\u{1b}[31m",
            "\u{9b}31m",
            "a\u{202e}b",
            "a\u{200b}b",
            "\0",
            "\u{2028}",
            "a\u{3164}b",
            "a\u{2800}b",
        ] {
            assert!(!is_plain(hostile), "{hostile:?}");
            assert!(is_plain(&Quoted(hostile).to_string()), "{hostile:?}");
        }
        for good in ["loss", "val/loss@5", "naïve 模型 🦙", r#"it's "quoted" \"#] {
            assert!(is_plain(good), "{good:?}");
        }
        assert!(Quoted(&"x".repeat(5000)).to_string().len() < QUOTED_CHARS + 30);
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1500), "1.5 kB");
        assert_eq!(bytes(999_999), "1.0 MB");
        assert_eq!(bytes(4_300_000_000), "4.3 GB");
        assert_eq!(bytes(u64::MAX), "18.4 EB");
    }
}
