//! Rules that a person writes into a policy, as expressions of CEL (<https://cel.dev>).
//!
//! ```text
//! text ─ tokens counted ─ parsed ─ checked against Variables ─►  Expression
//! facts ─ cost bounded ─ evaluated ─────────────────────────►  true, false, or why it has no answer
//! ```
//!
//! What can be found wrong without facts is refused when the policy is read: names that do not exist, types that do not fit, functions
//! that are none of ours. The interpreter has no budget and cannot be stopped, so what an evaluation can cost at most is computed
//! before it begins, from the expression and the lengths of what is in the facts (`cost`). Nothing outside this module names the
//! crate that does the work.
//!
//! *Differences from CEL as others run it:* what compares different types is refused and not merely false; there are no bytes, maps,
//! messages, times and no null; the patterns of `matches` are written in the rule; the names of variables cannot be used again.

mod check;
mod cost;
mod facts;
mod pattern;
#[cfg(test)]
mod tests;
mod variables;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use ::cel::common::ast::IdedExpr;
use ::cel::parser::PrattParser;
use ::cel::parser::pratt_parser::{Lexer, TokenKind};
use ::cel::{Context, Env, ExecutionError, Value};
use bulla::text::{Printable, Quoted};

use pattern::Pattern;
pub use variables::{Shape, Variables};

/// Bytes of an expression.
const TEXT_BYTES: usize = 4096;
/// Tokens, before it is parsed, and nodes, after macros are expanded.
const NODES: usize = 1000;
/// How deep it nests. The parser, the checks and the interpreter recurse.
const DEPTH: usize = 32;
/// How deep it nests as far as tokens tell, which is more than it does. A tree too deep to be dropped is never built.
const TOKEN_DEPTH: usize = 128;

/// The function that `matches` becomes: its pattern is a number, and is compiled already. Nobody can write the name.
const MATCHES: &str = "@matches";

static FUNCTIONS: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// An expression that is true or false of facts that have the shape of its variables.
#[derive(Debug, Clone)]
pub struct Expression {
    tree: IdedExpr,
    /// What it uses of which variables.
    used: BTreeMap<String, Used>,
    patterns: Arc<Vec<Pattern>>,
}

/// A variable, with what is used of it.
#[derive(Debug, Clone)]
struct Used {
    shape: Shape,
    /// The members, if it is only ever used by them.
    members: Option<Vec<String>>,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it, for the person who wrote it.
    pub fn parse(text: &str, variables: &Variables) -> Result<Self, String> {
        if text.len() > TEXT_BYTES {
            return Err(format!(
                "it has {} bytes, at most {TEXT_BYTES} are allowed: write it as several rules",
                text.len()
            ));
        }
        check_tokens(text)?;
        let depth = u16::try_from(DEPTH).unwrap_or(u16::MAX);
        let parser = PrattParser::new().max_recursion_depth(depth).error_recovery_limit(1);
        let mut tree = parser.parse(text).map_err(|errors| {
            let Some(first) = errors.errors.first() else { return "it cannot be read".to_owned() };
            let words = first.msg.strip_prefix("Syntax error: ").unwrap_or(&first.msg);
            let words = Printable(words);
            match first.pos {
                (line, column) if line > 0 => format!("line {line}, column {column}: {words}"),
                _ => words.to_string(),
            }
        })?;
        let checked = check::check(&mut tree, variables)?;
        Ok(Self { tree, used: checked.used, patterns: Arc::new(checked.patterns) })
    }

    /// Whether it is true of these facts.
    ///
    /// # Errors
    /// Why it is neither true nor false: facts that are not there or have another shape, arithmetic without a result, or more work
    /// than is done for a rule.
    pub fn evaluate(&self, facts: &serde_json::Value) -> Result<bool, String> {
        let facts = facts::load(&self.used, facts)?;
        let extents = facts.iter().map(|(name, fact)| (name.as_str(), fact.extent.clone()));
        cost::check(&self.tree, extents.collect())?;

        let mut context = Context::with_env(Arc::clone(&FUNCTIONS));
        let patterns = Arc::clone(&self.patterns);
        let matches = move |text: Arc<String>, index: i64| {
            let pattern = usize::try_from(index).ok().and_then(|index| patterns.get(index));
            let no_pattern = || ExecutionError::function_error("matches", "it has no pattern");
            pattern.map(|pattern| pattern.is_match(&text)).ok_or_else(no_pattern)
        };
        context.add_function(MATCHES, matches).map_err(|e| e.to_string())?;
        for (name, fact) in facts {
            context.add_variable_as_val(name, fact.value);
        }
        match Value::resolve(&self.tree, &context) {
            Ok(Value::Bool(answer)) => Ok(answer),
            Ok(_) => Err("it is neither true nor false".to_owned()),
            Err(error) => Err(in_words(&error)),
        }
    }

    /// The most steps that evaluating it can take, and bytes it can make, with these facts.
    #[cfg(test)]
    fn bound(&self, facts: &serde_json::Value) -> Result<cost::Cost, String> {
        let facts = facts::load(&self.used, facts)?;
        let extents = facts.iter().map(|(name, fact)| (name.as_str(), fact.extent.clone()));
        cost::check(&self.tree, extents.collect())
    }
}

/// Bounds what the parser can build: how many nodes, and how deep. What is in a tree one below the other is, in the text, in brackets, or
/// joined by operators without a bracket that closes, a comma, `&&` or `||` in between (chains of those are balanced).
fn check_tokens(text: &str) -> Result<(), String> {
    let too_deep = || format!("it nests deeper than {DEPTH}: write it as several rules");
    let mut lexer = Lexer::new(text);
    // Of each bracket that is open: the operators so far.
    let mut open = vec![0_usize];
    let mut tokens = 0;
    loop {
        let token = lexer.lex();
        let chain = open.iter().sum::<usize>() + open.len();
        let Some(operators) = open.last_mut() else {
            return Err("a bracket is closed that was not opened".to_owned());
        };
        match token.kind {
            TokenKind::TokEnd => return Ok(()),
            TokenKind::TokError => {
                let before = text.get(..token.start).unwrap_or_default();
                let line = before.matches('\n').count() + 1;
                let words = lexer.get_error().map_or("unexpected character", |e| &e.message);
                return Err(format!("line {line}: {}", Printable(words)));
            }
            TokenKind::TokWhitespace | TokenKind::TokComment => continue,
            TokenKind::TokComma | TokenKind::TokLogicalAnd | TokenKind::TokLogicalOr => {
                *operators = 0;
            }
            TokenKind::TokRightBracket | TokenKind::TokRightBrace | TokenKind::TokRightParen => {
                open.pop();
            }
            TokenKind::TokLeftBracket | TokenKind::TokLeftBrace | TokenKind::TokLeftParen => {
                // What is indexed or called is below that, too.
                *operators += 1;
                open.push(0);
            }
            TokenKind::TokIdent
            | TokenKind::TokInt
            | TokenKind::TokUint
            | TokenKind::TokFloat
            | TokenKind::TokString
            | TokenKind::TokBytes
            | TokenKind::TokTrue
            | TokenKind::TokFalse
            | TokenKind::TokNull
            | TokenKind::TokReservedWord => {}
            _ => *operators += 1,
        }
        tokens += 1;
        if tokens > NODES {
            return Err(format!("it has more than {NODES} parts: write it as several rules"));
        }
        if chain > TOKEN_DEPTH {
            return Err(too_deep());
        }
    }
}

/// An error of the interpreter for people. Its own words show whole values.
fn in_words(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => {
            format!("there is no {}: ask with has() or in before it is used", Quoted(key))
        }
        ExecutionError::UndeclaredReference(name) => {
            format!("nothing is known of {}", Quoted(name))
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "it divides by zero".to_owned()
        }
        ExecutionError::Overflow(..) => {
            "a whole number gets too large or too small: use double()".to_owned()
        }
        ExecutionError::IndexOutOfBounds(Value::Int(index)) => {
            format!("a list has no element {index}: ask for its size() first")
        }
        ExecutionError::IndexOutOfBounds(_) => {
            "a list has no such element: ask for its size() first".to_owned()
        }
        ExecutionError::FunctionError { function, message } => {
            format!("{}(): {}", Printable(function), Printable(message))
        }
        // Types were checked: what is left is the result of 0.0 / 0.0.
        ExecutionError::ValuesNotComparable(..) | ExecutionError::NoSuchOverload(_) => {
            "it compares a number that is none, as 0.0 / 0.0 is".to_owned()
        }
        _ => "a part of it has no value".to_owned(),
    }
}
