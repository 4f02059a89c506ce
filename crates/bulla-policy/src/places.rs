//! Where each part of a document stands: what was found out about a value long after it was read can still point at it.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{Location, Spanned};

use crate::concern::Place;

/// The way to a part of a document: names of members, and numbers of elements.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct At(Vec<String>);

impl At {
    /// The whole document.
    pub(crate) fn root() -> Self {
        Self::default()
    }

    /// A member.
    pub(crate) fn of(&self, name: impl Into<String>) -> Self {
        let mut all = self.0.clone();
        all.push(name.into());
        Self(all)
    }

    /// An element.
    pub(crate) fn nth(&self, index: usize) -> Self {
        self.of(index.to_string())
    }
}

/// A document with its places.
#[derive(Debug, Default)]
pub(crate) struct Places(Option<Node>);

impl Places {
    /// Those of a text. One that cannot be read has none.
    pub(crate) fn of(text: &str) -> Self {
        let read =
            serde_saphyr::from_str_with_options::<Spanned<Tree>>(text, crate::yaml::options());
        Self(read.ok().map(|tree| Node::new(None, tree)))
    }

    pub(crate) fn root(&self) -> Option<&Node> {
        self.0.as_ref()
    }

    /// Where a part stands; if it is missing, where that stands in which it would be.
    pub(crate) fn place(&self, at: &At) -> Option<Place> {
        let mut node = self.0.as_ref()?;
        for name in &at.0 {
            match node.child(name) {
                Some(child) => node = child,
                None => return node.name.or(Some(node.value)),
            }
        }
        Some(node.place())
    }

    /// Whether there is such a part.
    pub(crate) fn has(&self, at: &At) -> bool {
        let Some(root) = &self.0 else { return false };
        at.0.iter().try_fold(root, |node, name| node.child(name)).is_some()
    }
}

/// A part of a document.
#[derive(Debug)]
pub(crate) struct Node {
    /// Where its name stands, if it is a member.
    name: Option<Place>,
    value: Place,
    inner: Inner,
    /// Looked at no more: that is told already, and what comes after is to be found, too.
    pub(crate) passed_over: Cell<bool>,
    /// What it is read as in place of what it is.
    pub(crate) instead: RefCell<Option<Value>>,
}

#[derive(Debug)]
enum Inner {
    Map(Vec<(String, Node)>),
    List(Vec<Node>),
    Leaf(Value),
}

impl Node {
    fn new(name: Option<Location>, tree: Spanned<Tree>) -> Self {
        let inner = match tree.value {
            Tree::Leaf(value) => Inner::Leaf(value),
            Tree::List(items) => {
                Inner::List(items.into_iter().map(|item| Self::new(None, item)).collect())
            }
            Tree::Map(members) => {
                let member = |(name, value): (Spanned<String>, _)| {
                    (name.value, Self::new(Some(name.referenced), value))
                };
                Inner::Map(members.into_iter().map(member).collect())
            }
        };
        Self {
            name: name.map(|at| place(&at)),
            value: place(&tree.referenced),
            inner,
            passed_over: Cell::new(false),
            instead: RefCell::new(None),
        }
    }

    /// What is marked: a value of one line, or the name of what has more.
    pub(crate) fn place(&self) -> Place {
        match &self.inner {
            Inner::Leaf(Value::String(text)) if text.contains('\n') => {
                self.name.unwrap_or(self.value)
            }
            Inner::Leaf(_) => self.value,
            _ => self.name.unwrap_or(self.value),
        }
    }

    /// Where its name stands, if it has one.
    pub(crate) fn name(&self) -> Place {
        self.name.unwrap_or(self.value)
    }

    /// A member or element that is looked at.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        match &self.inner {
            Inner::Map(members) => {
                let found =
                    members.iter().find(|(own, node)| own == name && !node.passed_over.get());
                found.map(|(_, node)| node)
            }
            Inner::List(items) => {
                let index: usize = name.parse().ok()?;
                items.iter().filter(|item| !item.passed_over.get()).nth(index)
            }
            Inner::Leaf(_) => None,
        }
    }

    /// Its value, if it is neither a map nor a list.
    pub(crate) fn leaf(&self) -> Option<&Value> {
        match &self.inner {
            Inner::Leaf(value) => Some(value),
            _ => None,
        }
    }

    /// How many parts it has.
    pub(crate) fn count(&self) -> usize {
        match &self.inner {
            Inner::Map(members) => 1 + members.iter().map(|(_, node)| node.count()).sum::<usize>(),
            Inner::List(items) => 1 + items.iter().map(Self::count).sum::<usize>(),
            Inner::Leaf(_) => 1,
        }
    }

    /// All that is looked at.
    pub(crate) fn to_value(&self) -> Value {
        let there = |node: &&Self| !node.passed_over.get();
        match &self.inner {
            Inner::Map(members) => {
                let members = members.iter().filter(|(_, node)| there(&node));
                Value::Object(members.map(|(name, node)| (name.clone(), node.to_value())).collect())
            }
            Inner::List(items) => {
                Value::Array(items.iter().filter(there).map(Self::to_value).collect())
            }
            Inner::Leaf(value) => self.instead.borrow().as_ref().unwrap_or(value).clone(),
        }
    }
}

pub(crate) fn place(location: &Location) -> Place {
    let number = |n: u64| usize::try_from(n).unwrap_or(1).max(1);
    Place {
        line: number(location.line()),
        column: number(location.column()),
        length: number(location.span().len()),
    }
}

/// Any document.
#[derive(Debug)]
enum Tree {
    Map(Vec<(Spanned<String>, Spanned<Tree>)>),
    List(Vec<Spanned<Tree>>),
    Leaf(Value),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyTree)
    }
}

struct AnyTree;

impl<'de> Visitor<'de> for AnyTree {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Tree::Map(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf(Value::Null))
    }
}
