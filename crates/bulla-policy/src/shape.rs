//! Everything that is wrong with the names and shapes of a document's members. The reader ends at the first of it; so what was told is passed
//! over, and it reads again.

use bulla::Printable;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use crate::concern::{Concern, nearest};
use crate::places::{Node, Places};

/// After so many nobody reads on.
const MOST: usize = 100;
/// Characters of a value that are quoted whole.
const QUOTED: usize = 60;
/// Larger documents are read once, and the first error is told.
const PARTS: usize = 20_000;

/// All that a reader of `T` finds.
pub(crate) fn concerns<T: DeserializeOwned>(places: &Places) -> Vec<Concern> {
    let mut all = Vec::new();
    let Some(root) = places.root().filter(|root| root.count() <= PARTS) else { return all };
    // What is missing because it was passed over is told already.
    let mut passed_over: Vec<Vec<String>> = Vec::new();
    for _ in 0..4 * MOST {
        let value = root.to_value();
        let Err(error) = serde_path_to_error::deserialize::<_, T>(&value) else { break };
        let path: Vec<String> = error.path().iter().filter_map(step).collect();
        let words = error.inner().to_string();
        let Some(node) = path.iter().try_fold(root, |node, name| node.child(name)) else { break };
        if is_converted(node, &words) {
            continue;
        }
        let missing = words.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        let known = missing.is_some_and(|name| {
            let member: Vec<String> = path.iter().cloned().chain([name.to_owned()]).collect();
            passed_over.contains(&member)
        });
        // What is null is missing.
        if !known && node.leaf() != Some(&Value::Null) {
            let unknown = words.starts_with("unknown field");
            let place = if unknown || missing.is_some() { node.name() } else { node.place() };
            all.push(concern(&words).at(Some(place)));
        }
        if path.is_empty() || all.len() >= MOST {
            break;
        }
        node.passed_over.set(true);
        passed_over.push(path);
    }
    all
}

fn step(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Map { key } => Some(key.clone()),
        Segment::Seq { index } => Some(index.to_string()),
        _ => None,
    }
}

/// Whether a value is one that the reader of YAML takes all the same: `7` for text, `"7"` for a number.
fn is_converted(node: &Node, words: &str) -> bool {
    let instead = match node.leaf() {
        Some(value @ (Value::Number(_) | Value::Bool(_)))
            if words.ends_with("expected a string") =>
        {
            Value::from(value.to_string())
        }
        Some(Value::String(text)) if words.starts_with("invalid type") => {
            match serde_json::from_str(text) {
                Ok(number @ Value::Number(_)) => number,
                _ => return false,
            }
        }
        _ => return false,
    };
    let before = node.instead.replace(Some(instead));
    before.is_none()
}

/// What is quoted says where it is, and need not be told whole: it may be a secret that stands in a wrong place.
fn shortened(text: &str) -> String {
    let (Some(start), Some(end)) = (text.find('"'), text.rfind('"')) else {
        return text.to_owned();
    };
    let (before, rest) = text.split_at(start);
    let (quoted, after) = rest.split_at(end - start);
    match quoted.chars().count() > QUOTED {
        true => {
            let first: String = quoted.chars().take(QUOTED / 2).collect();
            format!("{before}{first}…{after}")
        }
        false => text.to_owned(),
    }
}

/// What the reader says, for people.
pub(crate) fn concern(words: &str) -> Concern {
    let mut names = words.split('`').skip(1).step_by(2);
    let unknown = names.next();
    let known: Vec<&str> = names.collect();
    let near = unknown.and_then(|name| nearest(name, known.iter().copied()));
    let meant = near.map(|near| format!("did you mean {near}?"));
    let hint = |or: &str| meant.clone().unwrap_or_else(|| or.to_owned());
    let plain = |text: &str| {
        let text = text
            .replace("expected u64", "expected a whole number")
            .replace("expected u32", "expected a whole number")
            .replace("expected usize", "expected a whole number")
            .replace("expected f64", "expected a number")
            .replace("a sequence", "a list")
            .replace("expected a map", "expected members with names");
        let text = match text.split_once(", expected struct ") {
            Some((found, _)) => format!("{found}, expected members with names"),
            None => text,
        };
        // Where it is known what was meant the rest need not be told. A value may be of any length.
        let text = match (&meant, text.split_once(", expected")) {
            (Some(_), Some((found, _))) => found.to_owned(),
            _ => text,
        };
        let shown: String = shortened(&text).chars().take(700).collect();
        Printable(&shown).to_string()
    };
    let docs = "docs/policy.md has an example; 'bulla policy schema' prints the schema";
    match words.split(' ').next().unwrap_or_default() {
        "unknown" if words.starts_with("unknown field") => {
            Concern::error("unknown-member", plain(words), hint(docs))
        }
        "missing" => Concern::error("missing-member", plain(words), "add it"),
        _ => Concern::error("wrong-value", plain(words), hint(docs)),
    }
}
