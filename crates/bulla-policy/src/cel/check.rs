//! What can be known of an expression before there are facts: that every name exists, that types fit, that it is true or false.
//!
//! The tree is changed in two places: `giga` and its like become numbers, of the kind that they are calculated with, and the patterns of
//! `matches` are compiled and become their numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::mem;

use ::cel::common::ast::{
    CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators,
};
use bulla::text::Quoted;

use super::{DEPTH, MATCHES, NODES, Pattern, Shape, Used, Variables};

/// Names of numbers.
const NUMBERS: [(&str, i64); 4] =
    [("kilo", 1_000), ("mega", 1_000_000), ("giga", 1_000_000_000), ("tera", 1_000_000_000_000)];

/// Every function and macro, and how it is called.
const FUNCTIONS: [(&str, &str); 16] = [
    ("size", "size(list) or list.size(), of a list, a map or text"),
    ("contains", "text.contains(part)"),
    ("startsWith", "text.startsWith(beginning)"),
    ("endsWith", "text.endsWith(end)"),
    ("matches", "text.matches('pattern')"),
    ("int", "int(number or text)"),
    ("uint", "uint(number or text)"),
    ("double", "double(number or text)"),
    ("string", "string(number, text, true or false)"),
    ("has", "has(object.member)"),
    ("all", "list.all(name, condition)"),
    ("exists", "list.exists(name, condition)"),
    ("exists_one", "list.exists_one(name, condition)"),
    ("existsOne", "list.existsOne(name, condition)"),
    ("map", "list.map(name, value)"),
    ("filter", "list.filter(name, condition)"),
];

/// Patterns of one expression.
const PATTERNS: usize = 16;

/// What the check finds out.
pub(super) struct Checked {
    pub(super) used: BTreeMap<String, Used>,
    pub(super) patterns: Vec<Pattern>,
}

/// Checks a tree, and makes it ready to be evaluated.
pub(super) fn check(tree: &mut IdedExpr, variables: &Variables) -> Result<Checked, String> {
    let mut checker = Checker {
        variables,
        scopes: Vec::new(),
        nodes: 0,
        checked: Checked { used: BTreeMap::new(), patterns: Vec::new() },
    };
    match checker.visit(tree, 0)? {
        Type::Bool => Ok(checker.checked),
        other => Err(format!("it is {other}, expected what is true or false")),
    }
}

/// Whether that is a name as a person can write it.
pub(super) fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What a part of an expression is.
#[derive(Debug, Clone, PartialEq)]
enum Type {
    Bool,
    Int,
    Uint,
    Double,
    Text,
    List(Box<Type>),
    Map(Box<Type>),
    Object(BTreeMap<String, Shape>),
    /// An element of a list without elements.
    Never,
}

impl From<&Shape> for Type {
    fn from(shape: &Shape) -> Self {
        match shape {
            Shape::Bool => Self::Bool,
            Shape::Int => Self::Int,
            Shape::Double => Self::Double,
            Shape::Text => Self::Text,
            Shape::List(of) => Self::List(Box::new(Self::from(&**of))),
            Shape::Map(of) => Self::Map(Box::new(Self::from(&**of))),
            Shape::Object(members) => Self::Object(members.clone()),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "true or false",
            Self::Int => "a whole number",
            Self::Uint => "a whole number without a sign",
            Self::Double => "a number with a fraction",
            Self::Text => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Object(_) => "an object",
            Self::Never => "nothing",
        })
    }
}

impl Type {
    fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double | Self::Never)
    }

    /// What is of both types, if they are one.
    fn with(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Never, known) | (known, Self::Never) => Some(known.clone()),
            (Self::List(a), Self::List(b)) => Some(Self::List(Box::new(a.with(b)?))),
            (Self::Map(a), Self::Map(b)) => Some(Self::Map(Box::new(a.with(b)?))),
            (a, b) => (a == b).then(|| a.clone()),
        }
    }

    /// Whether `==` between them can be true. Numbers of all kinds compare.
    fn compares(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(a), Self::List(b)) | (Self::Map(a), Self::Map(b)) => a.compares(b),
            (a, b) => (a.is_number() && b.is_number()) || a.with(b).is_some(),
        }
    }
}

struct Checker<'v> {
    variables: &'v Variables,
    /// What comprehensions name, the innermost last.
    scopes: Vec<(String, Type)>,
    nodes: usize,
    checked: Checked,
}

impl Checker<'_> {
    fn visit(&mut self, node: &mut IdedExpr, depth: usize) -> Result<Type, String> {
        self.nodes += 1;
        if self.nodes > NODES {
            return Err(format!("it has more than {NODES} parts: write it as several rules"));
        }
        if depth >= DEPTH {
            return Err(format!("it nests deeper than {DEPTH}: write it as several rules"));
        }
        let depth = depth + 1;
        match &mut node.expr {
            Expr::Literal(literal) => literal_type(literal),
            Expr::Ident(name) => {
                if let Some(number) =
                    number(name).filter(|_| !self.variables.shapes.contains_key(name))
                {
                    node.expr = Expr::Literal(LiteralValue::Int(number.into()));
                    return Ok(Type::Int);
                }
                self.name(name, None)
            }
            Expr::Select(select) => self.select(select, depth),
            Expr::List(list) => {
                let mut of = Type::Never;
                for element in &mut list.elements {
                    let element = self.visit(element, depth)?;
                    of = of.with(&element).ok_or_else(|| {
                        format!(
                            "a list has {of} and {element}: its elements have to be of one kind"
                        )
                    })?;
                }
                Ok(Type::List(Box::new(of)))
            }
            Expr::Call(call) if call.func_name == "matches" => {
                let matches = self.matches(mem::take(call), depth)?;
                node.expr = Expr::Call(matches);
                Ok(Type::Bool)
            }
            Expr::Call(call) => self.call(call, depth),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, depth),
            Expr::Map(_) => Err("maps cannot be written in a rule".to_owned()),
            Expr::Struct(_) => Err("objects cannot be written in a rule".to_owned()),
            Expr::Unspecified => Err("a part of it is missing".to_owned()),
        }
    }

    /// The type of a variable. What is used of it is kept: a member, or all.
    fn name(&mut self, name: &str, member: Option<&str>) -> Result<Type, String> {
        if let Some((_, known)) = self.scopes.iter().rev().find(|(scope, _)| scope == name) {
            return Ok(known.clone());
        }
        let Some(shape) = self.variables.shapes.get(name) else {
            if number(name).is_some() {
                return Err(format!("{name} is a number, which has no members"));
            }
            let known = self.variables.shapes.keys().map(String::as_str);
            let known = known.chain(NUMBERS.iter().map(|(name, _)| *name));
            let known = known.chain(self.scopes.iter().map(|(name, _)| name.as_str()));
            return Err(unknown("there is no", name, known.filter(|name| is_name(name))));
        };
        let new = || Used { shape: shape.clone(), members: Some(Vec::new()) };
        let used = self.checked.used.entry(name.to_owned()).or_insert_with(new);
        match (member, &mut used.members) {
            (Some(member), Some(members)) => members.push(member.to_owned()),
            (None, members) => *members = None,
            (Some(_), None) => {}
        }
        Ok(Type::from(shape))
    }

    fn select(&mut self, select: &mut SelectExpr, depth: usize) -> Result<Type, String> {
        let SelectExpr { operand, field, test } = select;
        let operand = match &operand.expr {
            Expr::Ident(name) => self.name(name, Some(field))?,
            _ => self.visit(operand, depth)?,
        };
        let found = match &operand {
            Type::Object(members) => member(members, field)?,
            Type::Map(of) => Type::clone(of),
            other => {
                return Err(format!("{} is asked of {other}, which has no members", Quoted(field)));
            }
        };
        Ok(if *test { Type::Bool } else { found })
    }

    fn call(&mut self, call: &mut CallExpr, depth: usize) -> Result<Type, String> {
        let CallExpr { func_name, target, args } = call;
        let is_member = target.is_some();
        // What a function is called on is its first argument.
        let mut given = Vec::with_capacity(args.len() + 1);
        if !is_operator(func_name) && !FUNCTIONS.iter().any(|(known, _)| known == func_name) {
            let known = FUNCTIONS.iter().map(|(known, _)| *known);
            return Err(unknown("there is no function", func_name, known));
        }
        let numbers: Vec<_> = args.iter().map(written_number).collect();
        for part in target.as_deref_mut().into_iter().chain(args.iter_mut()) {
            given.push(self.visit(part, depth)?);
        }
        if let ([left, right], [a, b], [a_number, b_number]) =
            (given.as_mut_slice(), args.as_mut_slice(), numbers.as_slice())
            && is_arithmetic(func_name)
        {
            adapt(a, left, *a_number, right);
            adapt(b, right, *b_number, left);
        }
        let shown = operator_shown(func_name);
        let wrong = |given: &[Type]| {
            let given: Vec<_> = given.iter().map(ToString::to_string).collect();
            let given = given.join(" and ");
            match FUNCTIONS.iter().find(|(known, _)| known == func_name) {
                Some((name, how)) => format!("{name}() is not for {given}: it is {how}"),
                None => format!("{shown} is not for {given}"),
            }
        };
        let is_bool = |part: &Type| matches!(part, Type::Bool | Type::Never);
        match (func_name.as_str(), is_member, given.as_slice()) {
            (operators::CONDITIONAL, _, [condition, then, otherwise]) if is_bool(condition) => {
                then.with(otherwise).ok_or_else(|| {
                    format!("a condition gives {then} or {otherwise}, which have to be of one kind")
                })
            }
            (operators::LOGICAL_AND | operators::LOGICAL_OR, _, parts)
                if parts.iter().all(is_bool) =>
            {
                Ok(Type::Bool)
            }
            (operators::LOGICAL_NOT | operators::NOT_STRICTLY_FALSE, _, [part]) if is_bool(part) => {
                Ok(Type::Bool)
            }
            (operators::NEGATE, _, [number @ (Type::Int | Type::Double | Type::Never)]) => {
                Ok(number.clone())
            }
            (operators::EQUALS | operators::NOT_EQUALS, _, [left, right])
                if left.compares(right) =>
            {
                Ok(Type::Bool)
            }
            (
                operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
                _,
                [left, right],
            ) if left.is_number() && right.is_number()
                || left.with(right).is_some_and(|of| of == Type::Text) =>
            {
                Ok(Type::Bool)
            }
            (operators::IN, _, [part, Type::List(of)]) if part.compares(of) => Ok(Type::Bool),
            (operators::IN, _, [Type::Text | Type::Never, Type::Map(_)]) => Ok(Type::Bool),
            (operators::IN, _, [Type::Text, Type::Object(_)]) => {
                Err("in is for lists and maps: ask has(object.member)".to_owned())
            }
            (operators::INDEX, _, [Type::List(of), Type::Int | Type::Uint | Type::Never]) => {
                Ok(Type::clone(of))
            }
            (operators::INDEX, _, [Type::Map(of), Type::Text | Type::Never]) => Ok(Type::clone(of)),
            (operators::INDEX, _, [Type::Object(members), Type::Text]) => match args.get(1) {
                Some(IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. }) => {
                    member(members, name.inner())
                }
                _ => Err("the members of an object are written out: object.member".to_owned()),
            },
            (operators::ADD, _, [left, right])
                if matches!(left.with(right), Some(Type::Text | Type::List(_))) =>
            {
                Ok(left.with(right).unwrap_or(Type::Never))
            }
            (operators::MODULO, _, [Type::Double, _] | [_, Type::Double]) => Err(wrong(&given)),
            (name, _, [left, right]) if is_arithmetic(name) && left.is_number() && right.is_number() => {
                left.with(right).ok_or_else(|| {
                    format!(
                        "{shown} is between {left} and {right}: write double() around whole numbers, and 2.0 instead of 2"
                    )
                })
            }
            ("size", _, [Type::Text | Type::List(_) | Type::Map(_)]) => Ok(Type::Int),
            ("contains" | "startsWith" | "endsWith", true, [Type::Text, Type::Text]) => {
                Ok(Type::Bool)
            }
            ("int" | "uint" | "double", false, [part])
                if part.is_number() || *part == Type::Text =>
            {
                Ok(match func_name.as_str() {
                    "int" => Type::Int,
                    "uint" => Type::Uint,
                    _ => Type::Double,
                })
            }
            ("string", false, [part])
                if part.is_number() || matches!(part, Type::Text | Type::Bool) =>
            {
                Ok(Type::Text)
            }
            (_, _, given) => Err(wrong(given)),
        }
    }

    /// Compiles the pattern of `text.matches('pattern')` or `matches(text, 'pattern')`, which must be written out.
    fn matches(&mut self, call: CallExpr, depth: usize) -> Result<CallExpr, String> {
        let CallExpr { target, mut args, .. } = call;
        let mut given = target.map(|target| *target).into_iter().chain(args.drain(..));
        let (Some(mut text), Some(pattern), None) = (given.next(), given.next(), given.next())
        else {
            return Err("matches() takes a pattern: text.matches('pattern')".to_owned());
        };
        let Expr::Literal(LiteralValue::String(written)) = &pattern.expr else {
            return Err("the pattern of matches() has to be written out, in quotes".to_owned());
        };
        match self.visit(&mut text, depth)? {
            Type::Text => {}
            other => return Err(format!("matches() is for text, not for {other}")),
        }
        self.nodes += 1;
        if self.checked.patterns.len() >= PATTERNS {
            return Err(format!("it has more than {PATTERNS} patterns: write it as several rules"));
        }
        let compiled = Pattern::new(written.inner())
            .map_err(|why| format!("the pattern {} {why}", Quoted(written.inner())))?;
        let index = i64::try_from(self.checked.patterns.len()).unwrap_or(i64::MAX);
        self.checked.patterns.push(compiled);
        let id = pattern.id;
        let pattern = IdedExpr { id, expr: Expr::Literal(LiteralValue::Int(index.into())) };
        Ok(CallExpr { func_name: MATCHES.to_owned(), target: None, args: vec![text, pattern] })
    }

    fn comprehension(&mut self, it: &mut ComprehensionExpr, depth: usize) -> Result<Type, String> {
        let range = self.visit(&mut it.iter_range, depth)?;
        let start = self.visit(&mut it.accu_init, depth)?;
        let element = match range {
            Type::List(of) => *of,
            // The order of a map is another each time, and a list would have it.
            Type::Map(_) if matches!(start, Type::List(_)) => {
                return Err(
                    "map and filter are for lists; of a map's names, ask all or exists".to_owned()
                );
            }
            Type::Map(_) => Type::Text,
            other => return Err(format!("{other} has no elements to look at one by one")),
        };
        let name = &it.iter_var;
        if !is_name(name) {
            return Err(format!("{} is no name for an element", Quoted(name)));
        }
        let is_taken = self.variables.shapes.contains_key(name)
            || number(name).is_some()
            || self.scopes.iter().any(|(scope, _)| scope == name);
        if is_taken || it.iter_var2.is_some() {
            return Err(format!(
                "{} is a name already: take another for the elements",
                Quoted(name)
            ));
        }
        let outer = self.scopes.len();
        self.scopes.push((name.clone(), element));
        self.scopes.push((it.accu_var.clone(), start.clone()));
        self.visit(&mut it.loop_cond, depth)?;
        let step = self.visit(&mut it.loop_step, depth)?;
        let step = start.with(&step).ok_or("it adds up different kinds of things")?;
        if let Some((_, result)) = self.scopes.last_mut() {
            *result = step;
        }
        // An element is gone by then.
        let result = self.visit(&mut it.result, depth);
        self.scopes.truncate(outer);
        result
    }
}

fn literal_type(literal: &LiteralValue) -> Result<Type, String> {
    Ok(match literal {
        LiteralValue::Boolean(_) => Type::Bool,
        LiteralValue::Int(_) => Type::Int,
        LiteralValue::UInt(_) => Type::Uint,
        LiteralValue::Double(_) => Type::Double,
        LiteralValue::String(_) => Type::Text,
        LiteralValue::Bytes(_) => return Err("there are no bytes here: write text".to_owned()),
        LiteralValue::Null => {
            return Err("nothing is null here: ask has(object.member)".to_owned());
        }
    })
}

fn number(name: &str) -> Option<i64> {
    NUMBERS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// The number, if a part is the name of one.
fn written_number(part: &IdedExpr) -> Option<i64> {
    match &part.expr {
        Expr::Ident(name) => number(name),
        _ => None,
    }
}

/// Makes a named number one with a fraction if it is calculated with another one.
fn adapt(part: &mut IdedExpr, is: &mut Type, number: Option<i64>, other: &Type) {
    if let (Some(number), Type::Int, Type::Double) = (number, &is, other) {
        #[allow(clippy::cast_precision_loss)] // powers of ten up to 10^12
        let number = number as f64;
        part.expr = Expr::Literal(LiteralValue::Double(number.into()));
        *is = Type::Double;
    }
}

fn member(members: &BTreeMap<String, Shape>, name: &str) -> Result<Type, String> {
    let known = members.keys().map(String::as_str);
    members.get(name).map(Type::from).ok_or_else(|| unknown("there is no member", name, known))
}

fn is_arithmetic(name: &str) -> bool {
    use operators::{ADD, DIVIDE, MODULO, MULTIPLY, SUBSTRACT};
    [ADD, SUBSTRACT, MULTIPLY, DIVIDE, MODULO].contains(&name)
}

fn is_operator(name: &str) -> bool {
    use operators::{
        CONDITIONAL, EQUALS, GREATER, GREATER_EQUALS, IN, INDEX, LESS, LESS_EQUALS, LOGICAL_AND,
        LOGICAL_NOT, LOGICAL_OR, NEGATE, NOT_EQUALS, NOT_STRICTLY_FALSE,
    };
    const KNOWN: [&str; 14] = [
        CONDITIONAL,
        EQUALS,
        GREATER,
        GREATER_EQUALS,
        IN,
        INDEX,
        LESS,
        LESS_EQUALS,
        LOGICAL_AND,
        LOGICAL_NOT,
        LOGICAL_OR,
        NEGATE,
        NOT_EQUALS,
        NOT_STRICTLY_FALSE,
    ];
    is_arithmetic(name) || KNOWN.contains(&name)
}

/// An operator as it is written: `_+_` is `+`.
fn operator_shown(name: &str) -> &str {
    match name {
        operators::CONDITIONAL => "the condition before ?",
        operators::INDEX => "[…]",
        name => name.trim_matches(|c| matches!(c, '_' | '@')),
    }
}

/// `there is no "totl_size": did you mean total_size?`, else what there is.
fn unknown<'k>(what: &str, name: &str, known: impl Iterator<Item = &'k str>) -> String {
    let known: Vec<_> = known.collect();
    let nearest = known.iter().map(|known| (distance(name, known), *known)).min();
    match nearest {
        Some((far, nearest)) if far <= 1 + nearest.len() / 4 => {
            format!("{what} {}: did you mean {nearest}?", Quoted(name))
        }
        _ if known.is_empty() => format!("{what} {}", Quoted(name)),
        _ => format!("{what} {}, only {}", Quoted(name), known.join(", ")),
    }
}

/// How many characters have to be changed, added or left out to make one of the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (to, above) in b.chars().zip(row.iter_mut().skip(1)) {
            let changed = diagonal + usize::from(from != to);
            diagonal = *above;
            left = changed.min(left + 1).min(*above + 1);
            *above = left;
        }
    }
    row.last().copied().unwrap_or_default()
}
