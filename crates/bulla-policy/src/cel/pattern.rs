//! Patterns, compiled to automata that take one step for each byte.

use bulla::text::Printable;
use regex_automata::Input;
use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::syntax;

/// Bytes of an automaton. One with `\w` of all scripts has 200 kB.
const BYTES: usize = 1 << 20;
/// Bytes that are needed to make one.
const WORK_BYTES: usize = 2 << 20;
/// How deep a pattern nests.
const DEPTH: u32 = 32;

/// A pattern that was compiled.
#[derive(Debug, Clone)]
pub(super) struct Pattern(dense::DFA<Vec<u32>>);

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// What is wrong with it: `is too large …`, `cannot be read: …`.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let nfa =
            thompson::Config::new().nfa_size_limit(Some(BYTES)).which_captures(WhichCaptures::None);
        let dfa = dense::Config::new()
            .start_kind(StartKind::Unanchored)
            .dfa_size_limit(Some(BYTES))
            .determinize_size_limit(Some(WORK_BYTES));
        let built = dense::Builder::new()
            .configure(dfa)
            .thompson(nfa)
            .syntax(syntax::Config::new().nest_limit(DEPTH))
            .build(text);
        built.map(Self).map_err(|error| {
            let mut words = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(error) = source {
                words = error.to_string();
                source = error.source();
            }
            if error.is_size_limit_exceeded() || words.contains("exceeded limit") {
                return "is too large: repeat less".to_owned();
            }
            if words.contains("word boundaries") {
                return r"has a \b of all scripts: write (?-u:\b)".to_owned();
            }
            // The parser draws a picture over several lines; the last one says what is wrong.
            let last = words.lines().last().unwrap_or_default().trim();
            format!("cannot be read: {}", Printable(last.trim_start_matches("error: ")))
        })
    }

    /// Whether it matches anywhere in a text.
    pub(super) fn is_match(&self, text: &str) -> bool {
        // It fails for automata that give up at some byte, which none of these does.
        self.0.try_search_fwd(&Input::new(text).earliest(true)).is_ok_and(|found| found.is_some())
    }
}
