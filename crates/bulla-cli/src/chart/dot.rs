//! Graphviz.

use std::fmt::Write as _;

use bulla::lineage::Lineage;

use super::{Look, level, links, made_by, name, role, standing};

pub(crate) fn draw(lineage: &Lineage) -> String {
    let mut out = String::from(
        "digraph lineage {\n  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\"];\n",
    );
    for (index, hop) in lineage.hops.iter().enumerate() {
        let lines = [name(hop), role(hop).to_owned(), made_by(hop), level(hop), standing(hop)];
        let lines: Vec<String> =
            lines.iter().filter(|line| !line.is_empty()).map(|line| escaped(line)).collect();
        let colour = match Look::of(hop) {
            Look::Good => "#dcefdc",
            Look::Weak => "#fbf0cc",
            Look::Bad => "#f8d9d6",
        };
        // Writing to a String cannot fail.
        let _ =
            writeln!(out, "  h{index} [label=\"{}\", fillcolor=\"{colour}\"];", lines.join("\\n"));
    }
    for link in links(lineage) {
        let _ = writeln!(
            out,
            "  h{} -> h{} [label=\"{}\"];",
            link.parent,
            link.child,
            link.role.name()
        );
    }
    out.push_str("}\n");
    out
}

/// For a quoted string of the DOT language.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
