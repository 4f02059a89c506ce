//! Who is believed about what: the rules that a chain is walked by.

use std::collections::BTreeSet;
use std::fmt;

use jiff::SignedDuration;
use serde::{Serialize, Serializer};

use crate::party::Party;

/// The rules of a walk. Nobody is believed who is not named here.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Rules {
    /// Who signs.
    pub parties: Vec<Party>,
    /// Which builders are known, and who speaks for them.
    pub builders: Vec<Builder>,
    /// Whose verdicts stand in for a parent that is not there.
    pub verifiers: Vec<Verifier>,
    /// Parties whose word it is that a model has no parents.
    pub no_parents_signed_by: Vec<String>,
    /// Hops from the model to its farthest ancestor.
    pub max_depth: usize,
    /// Whether a parent may be unverified. It is named in any case.
    pub unverified_parents: Unverified,
    /// The environment that verdicts have to be for.
    pub environment: Option<String>,
    /// Age from which a verdict counts no more, if it does not say itself when it ends.
    pub max_verdict_age: SignedDuration,
}

impl Rules {
    /// Rules with these parties, and the strictest of everything else.
    #[must_use]
    pub fn new(parties: Vec<Party>) -> Self {
        Self {
            parties,
            builders: Vec::new(),
            verifiers: Vec::new(),
            no_parents_signed_by: Vec::new(),
            max_depth: 8,
            unverified_parents: Unverified::Deny,
            environment: None,
            max_verdict_age: SignedDuration::from_hours(90 * 24),
        }
    }
}

/// What becomes of a chain with an unverified parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unverified {
    /// It is refused.
    #[default]
    Deny,
    /// It is told.
    Allow,
}

/// A platform that builds, and who signs for it.
#[derive(Debug, Clone)]
pub struct Builder {
    /// `builder.id` in its provenances.
    pub id: String,
    /// The party that signs them.
    pub signer: String,
    /// The highest SLSA build level that it is believed to reach.
    pub max_level: Level,
}

/// A verifier, and who signs for it.
#[derive(Debug, Clone)]
pub struct Verifier {
    /// `verifier.id` in its verdicts.
    pub id: String,
    /// The party that signs them.
    pub signer: String,
    /// SHA-256, hexadecimal, of the policies by which it may have decided; none for any.
    pub policies: BTreeSet<String>,
}

/// A SLSA build level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Level {
    /// No provenance that counts.
    #[default]
    L0,
    /// There is provenance.
    L1,
    /// A platform signed it that is not the builder's user.
    L2,
    /// The platform keeps its builds apart, and its key from them.
    L3,
}

impl Level {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::L0, Self::L1, Self::L2, Self::L3];

    /// The specification's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::L0 => "SLSA_BUILD_LEVEL_0",
            Self::L1 => "SLSA_BUILD_LEVEL_1",
            Self::L2 => "SLSA_BUILD_LEVEL_2",
            Self::L3 => "SLSA_BUILD_LEVEL_3",
        }
    }

    /// The level of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Level {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.name())
    }
}
