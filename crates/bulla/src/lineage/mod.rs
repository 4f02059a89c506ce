//! Lineage: where a model came from, link by link.
//!
//! ```text
//!   folders ── gather ──► evidence: signatures, statements, each with those who signed ── walk ──► Lineage
//!
//!   model ◄─ provenance: "made by BUILDER from these" ─► base model, adapters, data ─► … ─► "no parents", signed
//! ```
//!
//! A hop stands if its files are what somebody signed who may, and at least one signed account of how it was made holds: the
//! account's signer may speak for its builder, and every link in it stands in turn. A link is two digests that
//! meet, one of contents and one of names, never a name or a place.
//!
//! One account that holds is enough, and what is not there can only be missed: so whoever takes a claim away may turn a "yes"
//! into a "no", and not the other way round. What is there and contradicts is walked and shown all the same. Two things are beyond
//! that: a verdict that took an earlier one back, which therefore has to end soon, and a rule that lets unverified parents pass
//! ([`Unverified::Allow`]): by it a parent of which nothing is known passes, and one of which something wrong is known does not.

mod evidence;
mod local;
mod look;
mod rules;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

pub use evidence::{Files, Held, Stated, Stored, counting};
pub use look::resource_uri;

pub use rules::{Builder, Level, Rules, Unverified, Verifier};

use crate::error::{Fault, Reason};
use crate::limits::Limits;
use crate::model::{ModelSource, Scope, Work};
use crate::report::SignedByReport;
use crate::statement::build::Role;
use crate::statement::model::ModelDigests;
use crate::verify::{Notice, VerifiedModel};
use evidence::Evidence;

/// What is asked for beyond the rules.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Options<'a> {
    /// Whether the files of ancestors are read, where they are at hand. Without it their signatures have to do: the chain is the
    /// same, but an ancestor's copy may have been changed.
    pub measure_parents: bool,
    /// Does conversions again, to compare.
    pub converter: Option<&'a dyn Converter>,
    /// The model that is asked about, if its files were found just now to be what was signed: they are not read twice.
    pub verified: Option<&'a dyn FoundRight>,
}

/// A model whose files are what was signed: a [`VerifiedModel`], wherever it came from, and nothing else.
pub trait FoundRight: std::fmt::Debug + private::Sealed {
    /// Both its digests, if its signature binds names.
    fn digests(&self) -> Option<ModelDigests>;
    /// What a person should know.
    fn notices(&self) -> &[Notice];
}

mod private {
    pub trait Sealed {}
    impl<S> Sealed for crate::verify::VerifiedModel<S> {}
}

impl<S: ModelSource + std::fmt::Debug> FoundRight for VerifiedModel<S> {
    fn digests(&self) -> Option<ModelDigests> {
        // Of a part, or with files passed over, it was not all found right.
        let whole = !self.notices().iter().any(Notice::is_weaker_check);
        ModelDigests::of_claim(self.claim().value()).filter(|_| whole)
    }

    fn notices(&self) -> &[Notice] {
        self.notices()
    }
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { measure_parents: true, converter: None, verified: None }
    }
}

/// Does a conversion again.
pub trait Converter: std::fmt::Debug {
    /// Whether the child is what this conversion makes of the parent: `Ok(Ok)`. `None` for a conversion that is not
    /// reproducible, or not known.
    ///
    /// # Errors
    /// A [`Fault`] when it could not be done; inside, every difference in words.
    fn convert_again(
        &self,
        conversion: &Value,
        parent: Side<'_>,
        child: Side<'_>,
    ) -> Option<Result<Result<(), String>, Fault>>;
}

/// A model whose files were just found to be what was signed.
#[derive(Debug)]
pub struct Side<'a> {
    /// Where it is.
    pub held: &'a Held,
    /// Its files.
    pub source: Box<dyn ModelSource + 'a>,
    /// Which of them its signature covers, by its whole recipe: all else is no part of it.
    pub scope: Scope<'a>,
}

/// A chain that was walked.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Lineage {
    /// Whether every hop that it needs stands.
    pub stands: bool,
    /// The models and data, the model that was asked for first.
    pub hops: Vec<Hop>,
    /// What leads from a hop to what went into it.
    pub links: Vec<Link>,
    /// The hop that is least sure, in words.
    pub weakest: String,
    /// How many models reached which level.
    pub levels: BTreeMap<String, usize>,
    /// Claims that had no effect, in words.
    pub passed_over: Vec<String>,
}

/// A model, or data.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Hop {
    /// Its name: that of its copy, else the one by which a child calls it.
    pub name: String,
    /// What it is to the child by which it was first reached; `None` for the model that was asked for.
    pub role: Option<Role>,
    /// Hops from the model that was asked for.
    pub depth: usize,
    /// Where its copy is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// `oms:` and `oms-manifest-v1:`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "digests")]
    pub digests: Option<ModelDigests>,
    /// The parties whose signature it has.
    pub signed_by: Vec<String>,
    /// How it is known.
    pub standing: Standing,
    /// When the verdict was made that stands in for what is behind it: what was found out since it does not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stood_for_since: Option<Timestamp>,
    /// Whether it stands, and all that it needs.
    pub stands: bool,
    /// The SLSA build level that it reaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Why not the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_level: Option<String>,
    /// Whether the conversion that made it was done again, with the same result: `BULLA_REDERIVED`.
    pub rederived: bool,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// What signers say of how it was made.
    pub accounts: Vec<Account>,
}

/// How a hop is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Standing {
    /// Its copy is not what it should be.
    Refused,
    /// Nobody vouches for it but its child.
    Unverified,
    /// Its copy was measured and is what its child says; nobody signed it.
    Measured,
    /// A verifier whose verdicts count has passed it.
    StoodFor,
    /// A party signed it; its files were not looked at.
    Signed,
    /// A party signed it, and its files are what was signed.
    Verified,
}

/// What a signer says of how a model was made.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Account {
    /// What was done: `finetune`, …; or the URI of a build type that is not known.
    pub made_by: String,
    /// `builder.id`.
    pub builder: String,
    /// The run, as the builder calls it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub run: String,
    /// The parties that signed it.
    pub signed_by: Vec<String>,
    /// The key, certificate or identity with which they did.
    pub signer: SignedByReport,
    /// The earliest time by which its signature existed, as somebody trusted says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_at: Option<String>,
    /// The level that they are believed to reach with this builder.
    pub level: Level,
    /// SHA-256 of the statement.
    pub payload: String,
    /// Whether it holds, and all that it needs stands.
    pub stands: bool,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
}

/// From a hop to what went into it.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Link {
    /// Place of the child in the list of hops.
    pub child: usize,
    /// Which of its accounts says so.
    pub account: usize,
    /// Place of the parent in the list of hops.
    pub parent: usize,
    /// What it is to the child.
    pub role: Role,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// A short, stable name of its kind.
    pub code: &'static str,
    /// What was found, and what was expected.
    pub message: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
}

impl Problem {
    fn new(code: &'static str, message: String, hint: &'static str) -> Self {
        Self { code, message, hint: Some(hint).filter(|hint| !hint.is_empty()) }
    }

    fn of_fault(fault: &Fault) -> Self {
        Self { code: fault.code(), message: fault.to_string(), hint: fault.hint() }
    }

    fn of(reason: &Reason) -> Self {
        Self { code: reason.code(), message: reason.to_string(), hint: reason.hint() }
    }
}

fn digests<S: serde::Serializer>(d: &Option<ModelDigests>, s: S) -> Result<S::Ok, S::Error> {
    match d {
        Some(ModelDigests { oms, manifest }) => s.collect_seq([
            format!("oms:{}", oms.to_hex()),
            format!("oms-manifest-v1:{}", manifest.to_hex()),
        ]),
        None => s.serialize_none(),
    }
}

/// Walks the chain of the first of these, through the others.
///
/// # Errors
/// A [`Fault`] when something that is there could not be read: then nothing is known. Everything else that is wrong stands in the result.
pub fn walk(
    held: Vec<Held>,
    rules: &Rules,
    options: Options<'_>,
    now: Timestamp,
    limits: &Limits,
    work: Work<'_>,
) -> Result<Lineage, Fault> {
    Ok(examine(held, rules, options, now, limits, work)?.0)
}

/// The same, and every statement that counts, whatever it is about; each signature is checked once.
///
/// # Errors
/// As for [`walk`].
pub fn examine(
    held: Vec<Held>,
    rules: &Rules,
    options: Options<'_>,
    now: Timestamp,
    limits: &Limits,
    work: Work<'_>,
) -> Result<(Lineage, Vec<Stated>), Fault> {
    let evidence = Evidence::gather(held, rules, now, limits)?;
    let lineage = walk::Walk::new(&evidence, rules, options, now, limits, work).run()?;
    Ok((lineage, evidence.into_statements()))
}

impl Lineage {
    /// The hops that are in the way, each with what is wrong with it and with its accounts.
    pub fn refusals(&self) -> impl Iterator<Item = (&Hop, Vec<&Problem>)> {
        self.hops.iter().filter(|hop| !hop.stands).filter_map(|hop| {
            let of_accounts = hop.accounts.iter().flat_map(|account| &account.problems);
            let all: Vec<&Problem> = hop.problems.iter().chain(of_accounts).collect();
            (!all.is_empty()).then_some((hop, all))
        })
    }

    /// The names from the model that was asked for to a hop, by the first way that leads there.
    #[must_use]
    pub fn way_to(&self, hop: usize) -> Vec<&str> {
        let mut way = Vec::new();
        let mut at = hop;
        // The first link to a hop comes from one that was met before it.
        while let Some(found) = self.hops.get(at) {
            way.push(found.name.as_str());
            match self.links.iter().find(|link| link.parent == at && link.child < at) {
                Some(link) => at = link.child,
                None => break,
            }
        }
        way.reverse();
        way
    }

    /// What the model was made from, by the accounts that hold: all ancestors and data that its standing rests on.
    pub fn ancestors(&self) -> impl Iterator<Item = &Hop> {
        let mut reached = BTreeSet::from([0]);
        let mut open = vec![0];
        while let Some(child) = open.pop() {
            let holds = |account| {
                let account = self.hops.get(child).and_then(|hop| hop.accounts.get(account));
                account.is_some_and(|account: &Account| account.stands)
            };
            for link in self.links.iter().filter(|link| link.child == child && holds(link.account))
            {
                if reached.insert(link.parent) {
                    open.push(link.parent);
                }
            }
        }
        reached.into_iter().skip(1).filter_map(|index| self.hops.get(index))
    }

    /// The lowest build level of all its models.
    #[must_use]
    pub fn level(&self) -> Level {
        self.hops.iter().filter_map(|hop| hop.level).min().unwrap_or_default()
    }
}
