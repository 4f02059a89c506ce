//! Mermaid: a picture in Markdown.

use std::fmt::Write as _;

use bulla::lineage::Lineage;

use super::{Look, level, links, made_by, name, role, standing};

pub(crate) fn draw(lineage: &Lineage) -> String {
    let mut out = String::from("flowchart LR\n");
    for (index, hop) in lineage.hops.iter().enumerate() {
        let lines = [name(hop), role(hop).to_owned(), made_by(hop), level(hop), standing(hop)];
        let lines: Vec<String> =
            lines.iter().filter(|line| !line.is_empty()).map(|line| escaped(line)).collect();
        // Writing to a String cannot fail.
        let _ =
            writeln!(out, "  h{index}[\"{}\"]:::{}", lines.join("<br/>"), Look::of(hop).class());
    }
    for link in links(lineage) {
        let _ = writeln!(out, "  h{} -->|{}| h{}", link.parent, link.role.name(), link.child);
    }
    out.push_str("  classDef good fill:#dcefdc,stroke:#3c7a3c,color:#111\n");
    out.push_str("  classDef weak fill:#fbf0cc,stroke:#a07a10,color:#111\n");
    out.push_str("  classDef bad fill:#f8d9d6,stroke:#b03020,color:#111\n");
    out
}

/// All that could end a label or begin mark-up becomes a character code, which Mermaid writes `#…;`.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_alphanumeric() || " .,-_/()+".contains(c) {
            out.push(c);
        } else {
            let _ = write!(out, "#{};", u32::from(c));
        }
    }
    out
}
