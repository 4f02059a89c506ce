//! What is wrong with a document, under the line that it is about.

use std::io;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use bulla::Printable;
use bulla::text::acts_on_a_terminal;
use bulla_policy::Concern;

/// Writes a concern with an excerpt of the document, where it speaks of a part.
pub(crate) fn write(
    out: &mut dyn io::Write,
    file: &str,
    text: &str,
    concern: &Concern,
) -> io::Result<()> {
    let level = if concern.is_error { Level::ERROR } else { Level::WARNING };
    let message = Printable(&concern.message).to_string();
    let hint = Printable(&concern.hint).to_string();
    let file = Printable(file).to_string();
    let mut group = Group::with_title(level.primary_title(message).id(concern.code));
    let part = concern.place.and_then(|place| {
        let line = text.lines().nth(place.line.checked_sub(1)?)?;
        Some((place, harmless(line)))
    });
    if let Some((place, line)) = part {
        let byte = |n: usize| line.char_indices().nth(n).map_or(line.len(), |(at, _)| at);
        let first = place.column.saturating_sub(1);
        let span = byte(first)..byte(first + place.length);
        group = group.element(
            Snippet::source(line)
                .line_start(place.line)
                .path(file)
                .annotation(AnnotationKind::Primary.span(span)),
        );
    }
    if !hint.is_empty() {
        group = group.element(Level::HELP.with_name("hint").message(hint));
    }
    // Colours are dropped by whom it is written to, where nobody wants them.
    writeln!(out, "{}\n", Renderer::styled().render(&[group]))
}

/// A line whose characters do nothing but to show themselves, each in its place.
fn harmless(line: &str) -> String {
    let harmless = |c: char| match c {
        '\t' => ' ',
        c if acts_on_a_terminal(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    line.chars().map(harmless).collect()
}
