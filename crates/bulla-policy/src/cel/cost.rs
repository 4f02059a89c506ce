//! What evaluating an expression can cost at most, from the expression and how large its facts are.
//!
//! A *step* is about what the interpreter needs for one node, 50 to 100 ns, or for copying or comparing sixteen bytes. What is in a
//! comprehension is counted once for each element that there can be, and comprehensions in comprehensions for the product. Both ways of a
//! condition are counted. Everything made is counted as if it were kept, for much of it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::cel::common::ast::{ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators};

use super::MATCHES;

/// Steps of an evaluation: a second, more or less.
pub(super) const STEPS: u64 = 10_000_000;
/// Bytes that an evaluation makes.
pub(super) const BYTES: u64 = 64 << 20;

/// Bytes that a value takes besides its text: a box, its place in a list, or its share of a hash table.
const VALUE_BYTES: u64 = 64;
/// Bytes that are copied or compared in a step.
const STEP_BYTES: u64 = 16;
/// Bytes of a number as text. The smallest number is written with all its zeros.
const NUMBER_BYTES: u64 = 400;

/// How large a value can be.
#[derive(Debug, Clone, Default)]
pub(super) struct Extent {
    /// Values, with those in it.
    values: u64,
    /// Bytes of text, with those in it.
    bytes: u64,
    /// Elements.
    len: u64,
    parts: Parts,
}

#[derive(Debug, Clone, Default)]
enum Parts {
    #[default]
    None,
    /// The largest element of a list.
    Each(Arc<Extent>),
    /// The entries of a map; for what comprehensions see and what is looked up, the largest key and the largest value.
    Entries { by_name: Arc<BTreeMap<String, Extent>>, key: Arc<Extent>, value: Arc<Extent> },
}

impl Extent {
    pub(super) fn scalar() -> Self {
        Self { values: 1, ..Self::default() }
    }

    pub(super) fn text(bytes: u64) -> Self {
        Self { values: 1, bytes, ..Self::default() }
    }

    /// A list without elements.
    pub(super) fn list() -> Self {
        Self { parts: Parts::Each(Arc::default()), ..Self::scalar() }
    }

    /// Adds an element to a list.
    pub(super) fn push(&mut self, element: Self) {
        self.values = self.values.saturating_add(element.values);
        self.bytes = self.bytes.saturating_add(element.bytes);
        self.len += 1;
        if let Parts::Each(each) = &mut self.parts {
            let each = Arc::make_mut(each);
            *each = std::mem::take(each).or(element);
        }
    }

    pub(super) fn map(entries: BTreeMap<String, Self>) -> Self {
        let mut map = Self { len: entries.len() as u64, ..Self::scalar() };
        let mut key = Self::default();
        let mut value = Self::default();
        for (name, entry) in &entries {
            let name = Self::text(name.len() as u64);
            map.values = map.values.saturating_add(entry.values).saturating_add(1);
            map.bytes = map.bytes.saturating_add(entry.bytes).saturating_add(name.bytes);
            key = key.or(name);
            value = value.or(entry.clone());
        }
        let (key, value) = (Arc::new(key), Arc::new(value));
        map.parts = Parts::Entries { by_name: Arc::new(entries), key, value };
        map
    }

    /// A list of so many elements, each of at most that size.
    fn repeat(each: Self, len: u64) -> Self {
        Self {
            values: each.values.saturating_mul(len).saturating_add(1),
            bytes: each.bytes.saturating_mul(len),
            len,
            parts: Parts::Each(Arc::new(each)),
        }
    }

    /// What is as large as either.
    fn or(self, other: Self) -> Self {
        Self {
            values: self.values.max(other.values),
            bytes: self.bytes.max(other.bytes),
            len: self.len.max(other.len),
            parts: match (self.parts, other.parts) {
                (Parts::None, parts) | (parts, Parts::None) => parts,
                (
                    Parts::Entries { by_name, key, value },
                    Parts::Entries { by_name: others, key: other_key, value: other },
                ) => {
                    let mut by_name = Arc::unwrap_or_clone(by_name);
                    for (name, extent) in others.iter() {
                        let mine = by_name.remove(name).unwrap_or_default();
                        by_name.insert(name.clone(), mine.or(extent.clone()));
                    }
                    Parts::Entries {
                        by_name: Arc::new(by_name),
                        key: either(key, &other_key),
                        value: either(value, &other),
                    }
                }
                (Parts::Each(each), Parts::Each(other)) => Parts::Each(either(each, &other)),
                // Of two types: the check lets nothing of the kind pass.
                (parts, _) => parts,
            },
        }
    }

    /// Both lists, or texts, one after the other.
    fn and(self, other: Self) -> Self {
        let (values, bytes) =
            (self.values.saturating_add(other.values), self.bytes.saturating_add(other.bytes));
        let len = self.len.saturating_add(other.len);
        Self { values, bytes, len, ..self.or(other) }
    }

    /// Of an element, or of a key of a map: what a comprehension sees.
    fn element(&self) -> Self {
        match &self.parts {
            Parts::None => Self::default(),
            Parts::Each(each) => Self::clone(each),
            Parts::Entries { key, .. } => Self::clone(key),
        }
    }

    /// Of an element, or of a value of a map: what an index finds.
    fn indexed(&self) -> Self {
        match &self.parts {
            Parts::Entries { value, .. } => Self::clone(value),
            _ => self.element(),
        }
    }

    fn member(&self, name: &str) -> Self {
        match &self.parts {
            Parts::Entries { by_name, .. } => by_name.get(name).cloned().unwrap_or_default(),
            _ => Self::default(),
        }
    }

    /// Steps for looking at all of it.
    fn steps(&self) -> u64 {
        self.values.saturating_add(self.bytes / STEP_BYTES)
    }

    /// Bytes that a copy takes.
    fn memory(&self) -> u64 {
        self.values.saturating_mul(VALUE_BYTES).saturating_add(self.bytes)
    }
}

fn either(a: Arc<Extent>, b: &Arc<Extent>) -> Arc<Extent> {
    Arc::new(Arc::unwrap_or_clone(a).or(Extent::clone(b)))
}

/// The most that an evaluation can take.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cost {
    pub(super) steps: u64,
    pub(super) bytes: u64,
}

/// Computes what an expression costs, and refuses what costs too much.
pub(super) fn check(tree: &IdedExpr, facts: BTreeMap<&str, Extent>) -> Result<Cost, String> {
    let mut counter = Counter { facts, scopes: Vec::new(), cost: Cost::default() };
    counter.visit(tree, 1)?;
    Ok(counter.cost)
}

struct Counter<'e> {
    facts: BTreeMap<&'e str, Extent>,
    /// What comprehensions name, the innermost last.
    scopes: Vec<(&'e str, Extent)>,
    cost: Cost,
}

impl<'e> Counter<'e> {
    /// Counts what is done so many times.
    fn charge(&mut self, times: u64, steps: u64, bytes: u64) -> Result<(), String> {
        let Cost { steps: all_steps, bytes: all_bytes } = &mut self.cost;
        *all_steps = all_steps.saturating_add(times.saturating_mul(steps));
        *all_bytes = all_bytes.saturating_add(times.saturating_mul(bytes));
        match () {
            () if *all_steps > STEPS => Err(format!(
                "it could take more than {STEPS} steps: look at less, or do less with each element"
            )),
            () if *all_bytes > BYTES => Err(format!(
                "it could make more than {BYTES} bytes: look at less, or keep less of each element"
            )),
            () => Ok(()),
        }
    }

    /// Counts a node, with what is below it, and says how large its value can be.
    fn visit(&mut self, node: &'e IdedExpr, times: u64) -> Result<Extent, String> {
        // A name is looked for in one scope after the other.
        let lookup = 1 + self.scopes.len() as u64;
        match &node.expr {
            Expr::Literal(literal) => {
                self.charge(times, 1, 0)?;
                Ok(match literal {
                    LiteralValue::String(text) => Extent::text(text.inner().len() as u64),
                    _ => Extent::scalar(),
                })
            }
            Expr::Ident(name) => {
                self.charge(times, lookup, 0)?;
                let scope = self.scopes.iter().rev().find(|(scope, _)| scope == name);
                let extent = scope.map(|(_, extent)| extent);
                Ok(extent.or_else(|| self.facts.get(name.as_str())).cloned().unwrap_or_default())
            }
            Expr::Select(select) => {
                let operand = self.visit(&select.operand, times)?;
                self.charge(times, lookup, 0)?;
                Ok(match select.test {
                    true => Extent::scalar(),
                    false => operand.member(&select.field),
                })
            }
            Expr::List(list) => {
                let mut extent = Extent::list();
                for element in &list.elements {
                    extent.push(self.visit(element, times)?);
                }
                self.charge(times, extent.steps(), extent.memory())?;
                Ok(extent)
            }
            Expr::Call(call) => {
                let mut given = Vec::with_capacity(call.args.len() + 1);
                for part in call.target.as_deref().into_iter().chain(&call.args) {
                    given.push(self.visit(part, times)?);
                }
                let mut given = given.into_iter();
                let (first, second) =
                    (given.next().unwrap_or_default(), given.next().unwrap_or_default());
                let third = given.next().unwrap_or_default();
                self.call(&call.func_name, [first, second, third], times)
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, times),
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => Err(not_bounded()),
        }
    }

    fn call(
        &mut self,
        name: &str,
        [first, second, third]: [Extent; 3],
        times: u64,
    ) -> Result<Extent, String> {
        let both = first.steps().saturating_add(second.steps());
        let (steps, value) = match name {
            operators::CONDITIONAL => (1, second.or(third)),
            operators::ADD => {
                let sum = match (&first.parts, &second.parts, first.bytes, second.bytes) {
                    // Numbers.
                    (Parts::None, Parts::None, 0, 0) => Extent::scalar(),
                    _ => first.and(second),
                };
                self.charge(times, 0, sum.memory())?;
                (1 + both, sum)
            }
            operators::IN => {
                // Each element is compared with all of what is looked for.
                let compared = first.steps().saturating_mul(second.len);
                (second.steps().saturating_add(compared), Extent::scalar())
            }
            operators::INDEX => (1, first.indexed()),
            "string" => {
                let text = Extent::text(first.bytes.max(NUMBER_BYTES));
                self.charge(times, 0, text.memory())?;
                (text.steps(), text)
            }
            MATCHES => {
                // The text is copied once, and each byte is one step of an automaton.
                self.charge(times, 0, first.memory())?;
                (2 + both, Extent::scalar())
            }
            // Digits are read one by one.
            "int" | "uint" | "double" => (first.bytes.saturating_add(1), Extent::scalar()),
            // Comparisons, searches in text, arithmetic: linear, and a number or a truth value.
            _ => (1 + both, Extent::scalar()),
        };
        self.charge(times, steps, 0)?;
        Ok(value)
    }

    fn comprehension(&mut self, it: &'e ComprehensionExpr, times: u64) -> Result<Extent, String> {
        let range = self.visit(&it.iter_range, times)?;
        let start = self.visit(&it.accu_init, times)?;
        let inner = times.saturating_mul(range.len);
        let element = range.element();
        // Each element is copied into its scope, and the scope is looked at and changed.
        self.charge(inner, 3 + element.steps(), 0)?;
        let depth = self.scopes.len();
        self.scopes.push((&it.iter_var, element));
        self.visit(&it.loop_cond, inner)?;
        let value = match &it.accu_init.expr {
            // `map` and `filter` begin with an empty list, and add to it without a copy.
            Expr::List(_) => {
                let (guard, added) = added(it).ok_or_else(not_bounded)?;
                if let Some(guard) = guard {
                    self.visit(guard, inner)?;
                }
                let added = self.visit(added, inner)?;
                // It is copied into a list of its own, which is gone at once, and from there into the result.
                let copies = added.steps().saturating_mul(2).saturating_add(2);
                self.charge(inner, copies, added.memory())?;
                Extent::repeat(added, range.len)
            }
            // Truth values and numbers do not grow.
            _ => {
                self.scopes.push((&it.accu_var, start.clone()));
                self.visit(&it.loop_step, inner)?;
                self.visit(&it.result, times)?;
                start
            }
        };
        self.scopes.truncate(depth);
        Ok(value)
    }
}

/// Of `map` and `filter`: under which condition what is added.
fn added(it: &ComprehensionExpr) -> Option<(Option<&IdedExpr>, &IdedExpr)> {
    let is_result =
        |node: &IdedExpr| matches!(&node.expr, Expr::Ident(name) if *name == it.accu_var);
    let sum = |node: &'_ IdedExpr| matches!(&node.expr, Expr::Call(call) if call.func_name == operators::ADD);
    let Expr::Call(step) = &it.loop_step.expr else { return None };
    let (guard, step) = match (step.func_name.as_str(), step.args.as_slice()) {
        (operators::CONDITIONAL, [guard, then, otherwise]) if is_result(otherwise) && sum(then) => {
            let Expr::Call(then) = &then.expr else { return None };
            (Some(guard), then)
        }
        (operators::ADD, _) => (None, step),
        _ => return None,
    };
    match step.args.as_slice() {
        [result, IdedExpr { expr: Expr::List(list), .. }]
            if is_result(result) && is_result(&it.result) =>
        {
            match list.elements.as_slice() {
                [added] => Some((guard, added)),
                _ => None,
            }
        }
        _ => None,
    }
}

fn not_bounded() -> String {
    "what it costs cannot be told beforehand".to_owned()
}
