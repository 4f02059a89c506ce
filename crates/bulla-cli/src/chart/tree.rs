//! A tree for the terminal: the model first, what went into it below.

use bulla::lineage::Lineage;
use termtree::Tree;

use super::{Look, level, links, made_by, name, role, standing};

/// Draws it. A hop is drawn under the first child that is nearest to the model; under others it is only named.
pub(crate) fn draw(lineage: &Lineage) -> String {
    let mut drawn = vec![false; lineage.hops.len()];
    let mut parents = vec![Vec::new(); lineage.hops.len()];
    for link in links(lineage) {
        parents.get_mut(link.child).into_iter().for_each(|parents| parents.push(link.parent));
    }
    branch(lineage, &parents, 0, 0, &mut drawn).to_string()
}

fn branch(
    lineage: &Lineage,
    parents: &[Vec<usize>],
    index: usize,
    depth: usize,
    drawn: &mut [bool],
) -> Tree<String> {
    let Some(hop) = lineage.hops.get(index) else { return Tree::new(String::new()) };
    if drawn.get(index).copied().unwrap_or(true) {
        return Tree::new(format!("{} ({}, as above)", name(hop), role(hop)));
    }
    if hop.depth != depth {
        return Tree::new(format!("{} ({}, as below)", name(hop), role(hop)));
    }
    drawn.get_mut(index).into_iter().for_each(|drawn| *drawn = true);
    let mark = match Look::of(hop) {
        Look::Good => "",
        Look::Weak => "? ",
        Look::Bad => "✗ ",
    };
    let words = [made_by(hop), level(hop), standing(hop)];
    let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let root = match hop.role {
        None => format!("{mark}{}: {}", name(hop), words.join(", ")),
        Some(_) => format!("{mark}{} ({}): {}", name(hop), role(hop), words.join(", ")),
    };
    let mut tree = Tree::new(root);
    for parent in parents.get(index).into_iter().flatten() {
        tree.push(branch(lineage, parents, *parent, depth + 1, drawn));
    }
    tree
}
