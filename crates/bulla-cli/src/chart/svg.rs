//! A drawing: ancestors on the left, the model on the right.

use askama::Template;
use bulla::lineage::Lineage;

use super::{Look, level, links, made_by, name, role, standing};

const WIDTH: usize = 250;
const HEIGHT: usize = 92;
const GAP_X: usize = 90;
const GAP_Y: usize = 28;
const MARGIN: usize = 16;
/// Characters that fit into a box.
const FITS: usize = 34;

#[derive(Template)]
#[template(path = "lineage.svg", escape = "html")]
struct Picture {
    width: usize,
    height: usize,
    title: String,
    boxes: Vec<Box>,
    arrows: Vec<Arrow>,
}

struct Box {
    x: usize,
    y: usize,
    class: &'static str,
    name: String,
    role: &'static str,
    lines: Vec<String>,
    full: String,
}

struct Arrow {
    path: String,
    class: &'static str,
}

pub(crate) fn draw(lineage: &Lineage) -> Result<String, askama::Error> {
    let columns = columns(lineage);
    let deepest = columns.iter().copied().max().unwrap_or_default();
    let mut rows = vec![0usize; deepest + 1];
    let mut places = Vec::new();
    for column in &columns {
        let row = rows.get_mut(*column).map(|row| {
            *row += 1;
            *row - 1
        });
        let x = MARGIN + (deepest - column) * (WIDTH + GAP_X);
        places.push((x, MARGIN + row.unwrap_or_default() * (HEIGHT + GAP_Y)));
    }
    let tallest = rows.iter().copied().max().unwrap_or(1);
    let boxes = lineage.hops.iter().zip(&places).map(|(hop, (x, y))| Box {
        x: *x,
        y: *y,
        class: Look::of(hop).class(),
        name: cut(&name(hop)),
        role: role(hop),
        lines: [made_by(hop), level(hop), standing(hop)]
            .iter()
            .filter(|line| !line.is_empty())
            .map(|line| cut(line))
            .collect(),
        full: format!("{}: {}, {}", name(hop), role(hop), standing(hop)),
    });
    let arrows = links(lineage).into_iter().filter_map(|link| {
        let (from, to) = (places.get(link.parent)?, places.get(link.child)?);
        let (x1, y1) = (from.0 + WIDTH, from.1 + HEIGHT / 2);
        let (x2, y2) = (to.0, to.1 + HEIGHT / 2);
        let middle = x1.midpoint(x2);
        let parent = lineage.hops.get(link.parent)?;
        Some(Arrow {
            path: format!("M{x1},{y1} C{middle},{y1} {middle},{y2} {x2},{y2}"),
            class: Look::of(parent).class(),
        })
    });
    let title = lineage.hops.first().map(name).unwrap_or_default();
    Picture {
        width: 2 * MARGIN + (deepest + 1) * WIDTH + deepest * GAP_X,
        height: 2 * MARGIN + tallest * HEIGHT + (tallest - 1) * GAP_Y,
        title: format!("Lineage of {title}"),
        boxes: boxes.collect(),
        arrows: arrows.collect(),
    }
    .render()
}

/// How far each hop is from the model, by its longest way; what closes a cycle does not count.
fn columns(lineage: &Lineage) -> Vec<usize> {
    // The longest way can be as long as there are hops; a picture of so many is no picture.
    if lineage.hops.len() > 500 {
        return lineage.hops.iter().map(|hop| hop.depth).collect();
    }
    let mut state = vec![State::New; lineage.hops.len()];
    let mut order = Vec::new();
    visit(lineage, 0, &mut state, &mut order);
    let mut columns = vec![0usize; lineage.hops.len()];
    for (child, parents) in order.into_iter().rev() {
        let next = columns.get(child).copied().unwrap_or_default() + 1;
        for parent in parents {
            columns.get_mut(parent).into_iter().for_each(|column| *column = next.max(*column));
        }
    }
    columns
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    Open,
    Done,
}

/// Lists each hop after all its ancestors, with its parents but those that lead back.
fn visit(lineage: &Lineage, hop: usize, state: &mut [State], order: &mut Vec<(usize, Vec<usize>)>) {
    let set = |state: &mut [State], to| state.get_mut(hop).into_iter().for_each(|s| *s = to);
    set(state, State::Open);
    let mut parents = Vec::new();
    for link in lineage.links.iter().filter(|link| link.child == hop) {
        match state.get(link.parent) {
            Some(State::New) => visit(lineage, link.parent, state, order),
            Some(State::Done) => {}
            _ => continue,
        }
        parents.push(link.parent);
    }
    set(state, State::Done);
    order.push((hop, parents));
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(FITS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
