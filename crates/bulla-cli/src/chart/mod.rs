//! A lineage as a picture: what is drawn, and one file for each way to draw it.

pub(crate) mod dot;
pub(crate) mod html;
pub(crate) mod mermaid;
pub(crate) mod svg;
pub(crate) mod tree;

use bulla::Printable;
use bulla::lineage::{Hop, Lineage, Link, Standing};

/// How a hop looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Good,
    /// It stands, but is told of.
    Weak,
    Bad,
}

impl Look {
    pub(crate) fn of(hop: &Hop) -> Self {
        match (hop.stands, hop.standing) {
            (false, _) => Self::Bad,
            (true, Standing::Unverified | Standing::Measured) => Self::Weak,
            (true, _) => Self::Good,
        }
    }

    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Weak => "weak",
            Self::Bad => "bad",
        }
    }
}

/// A hop's name, harmless.
pub(crate) fn name(hop: &Hop) -> String {
    Printable(&hop.name).to_string()
}

/// What it is to its child.
pub(crate) fn role(hop: &Hop) -> &'static str {
    hop.role.map_or("model", bulla::statement::build::Role::name)
}

/// How it is known, in a few words.
pub(crate) fn standing(hop: &Hop) -> String {
    match hop.standing {
        Standing::Refused => "not what was signed".into(),
        Standing::Unverified => "unverified".into(),
        Standing::Measured => "measured, not signed".into(),
        Standing::StoodFor => format!("a verdict by {} stands in", parties(&hop.signed_by)),
        Standing::Signed => format!("signed by {}, files not read", parties(&hop.signed_by)),
        _ => format!("signed by {}", parties(&hop.signed_by)),
    }
}

/// How it was made: by the accounts that hold, else by all.
pub(crate) fn made_by(hop: &Hop) -> String {
    let holds = hop.accounts.iter().any(|account| account.stands);
    let mut kinds: Vec<&str> = hop
        .accounts
        .iter()
        .filter(|account| account.stands || !holds)
        .map(|account| account.made_by.as_str())
        .collect();
    kinds.dedup();
    Printable(&kinds.join(", ")).to_string()
}

/// Its level, in the short form that people use.
pub(crate) fn level(hop: &Hop) -> String {
    let level = hop.level.map(|level| level.name().replace("SLSA_BUILD_LEVEL_", "SLSA build L"));
    let rederived = hop.rederived.then(|| "BULLA_REDERIVED".to_owned());
    level.into_iter().chain(rederived).collect::<Vec<_>>().join(", ")
}

pub(crate) fn parties(ids: &[String]) -> String {
    let shown: Vec<String> = ids.iter().map(|id| Printable(id).to_string()).collect();
    if shown.is_empty() { "nobody".into() } else { shown.join(" and ") }
}

/// Each pair of hops once, whichever accounts link them.
pub(crate) fn links(lineage: &Lineage) -> Vec<&Link> {
    let mut seen = std::collections::BTreeSet::new();
    let links = lineage.links.iter();
    links.filter(|link| seen.insert((link.child, link.parent, link.role))).collect()
}
