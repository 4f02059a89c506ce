//! Cases: what a policy is expected to decide, written beside it, and asked of the very gate that decides.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bulla::jiff::Timestamp;
use bulla::text::time;
use bulla::{Fault, read_named};
use serde::{Deserialize, Serialize};

use crate::decision::{Decision, Finding, Outcome};
use crate::gate::{Gate, Memory};
use crate::policy::Policy;
use crate::revocations::{ModelName, RevocationEntries, RevocationList};
use crate::yaml::{self, policy_fault};

/// Most cases of one file.
const CASES: usize = 10_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    cases: Vec<CaseEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseEntry {
    name: String,
    model: PathBuf,
    environment: String,
    #[serde(default)]
    deploy_as: Option<String>,
    /// Folders in which ancestors lie.
    #[serde(default)]
    r#in: Vec<PathBuf>,
    #[serde(default)]
    now: Option<String>,
    #[serde(default)]
    expected_digests: Vec<String>,
    #[serde(default)]
    memory: MemoryEntry,
    #[serde(default)]
    revocations: RevocationEntries,
    expect: Expected,
    #[serde(default)]
    by: Vec<String>,
    #[serde(default)]
    waived: Vec<String>,
    #[serde(default)]
    says: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemoryEntry {
    #[serde(default)]
    quarantined: Option<String>,
    #[serde(default)]
    first_seen: Option<String>,
    #[serde(default)]
    sequence: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expected {
    Admitted,
    Refused,
}

/// A model, an environment, and what is expected to be decided.
#[derive(Debug)]
#[non_exhaustive]
pub struct Case {
    /// What it is called.
    pub name: String,
    /// The model. Paths begin where the file of the cases lies.
    pub model: PathBuf,
    /// The environment.
    pub environment: String,
    /// The name by which the model is deployed, else its own.
    pub deploy_as: Option<String>,
    /// Folders in which ancestors lie, else the model's own.
    pub folders: Vec<PathBuf>,
    /// When it is decided, else now.
    pub now: Option<Timestamp>,
    /// What the model has to be.
    pub expected_digests: Vec<ModelName>,
    /// What is remembered.
    pub memory: Memory,
    /// What was withdrawn, beside what the policy's own document says.
    pub revoked: RevocationList,
    expect: Expected,
    by: BTreeSet<String>,
    waived: BTreeSet<String>,
    says: Option<String>,
}

/// Something that was decided otherwise than a case expects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// What: `decision`, `by`, `waived` or `says`.
    pub what: &'static str,
    /// What was got.
    pub found: String,
    /// What was expected.
    pub expected: String,
}

impl Case {
    /// Reads a file of cases.
    ///
    /// # Errors
    /// [`Fault::Policy`] says what is wrong with it; a file without a case is wrong, too: it would pass whatever the policy says.
    /// [`Fault::Io`] when it cannot be read.
    pub fn read(path: &Path) -> Result<Vec<Self>, Fault> {
        let bytes = read_named(path, yaml::DOCUMENT_BYTES)?;
        Self::parse(path, &bytes)
    }

    /// Reads cases that are here; what they name lies beside `path`.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Self>, Fault> {
        let fault = |detail: String| policy_fault(path, detail);
        let document: Document = yaml::read(path, bytes)?;
        if document.cases.is_empty() {
            return Err(fault("it has no cases: nothing would be tested".into()));
        }
        if document.cases.len() > CASES {
            return Err(fault(format!("it has more than {CASES} cases")));
        }
        let beside = path.parent().unwrap_or_else(|| Path::new(""));
        let mut names = BTreeSet::new();
        let mut cases = Vec::new();
        for (index, entry) in document.cases.into_iter().enumerate() {
            let name = entry.name.clone();
            if name.trim().is_empty() {
                return Err(fault(format!("case {}: its name is empty", index + 1)));
            }
            if !names.insert(name.clone()) {
                return Err(fault(format!("two cases are called {name:?}")));
            }
            cases.push(entry.read(beside).map_err(|why| fault(format!("{name}: {why}")))?);
        }
        Ok(cases)
    }

    /// Everything that was decided otherwise than is expected.
    #[must_use]
    pub fn differences(&self, decision: &Decision) -> Vec<Difference> {
        let mut all = Vec::new();
        let decided = |admitted| if admitted { "admitted" } else { "refused" };
        let expected = self.expect == Expected::Admitted;
        let mut differ = |what, found: String, expected: String| {
            all.push(Difference { what, found, expected });
        };
        if decision.admitted != expected {
            differ("decision", decided(decision.admitted).into(), decided(expected).into());
        }
        for (what, outcome, expected) in
            [("by", Outcome::NotMet, &self.by), ("waived", Outcome::Waived, &self.waived)]
        {
            let found = decision.findings.iter().filter(|finding| finding.outcome == outcome);
            let found: BTreeSet<&str> = found.map(|finding| finding.rule.as_str()).collect();
            let expected: BTreeSet<&str> = expected.iter().map(String::as_str).collect();
            if found != expected {
                differ(what, listed(&found), listed(&expected));
            }
        }
        if let Some(text) = &self.says {
            let findings = || decision.findings.iter().filter(|finding| self.is_about(finding));
            let says = |finding: &Finding| {
                finding.found.contains(text)
                    || finding.expected.as_ref().is_some_and(|words| words.contains(text))
            };
            if !findings().any(says) {
                let found: Vec<&str> = findings().map(|finding| finding.found.as_str()).collect();
                differ("says", found.join(" / "), text.clone());
            }
        }
        all
    }

    /// Whether a case speaks of a rule; of every rule, if it names none.
    fn is_about(&self, finding: &Finding) -> bool {
        (self.by.is_empty() && self.waived.is_empty()) || self.names(&finding.rule)
    }

    /// Whether a case names a rule as one that is not met, or is waived.
    #[must_use]
    pub fn names(&self, rule: &str) -> bool {
        self.by.contains(rule) || self.waived.contains(rule)
    }
}

fn listed(rules: &BTreeSet<&str>) -> String {
    match rules.is_empty() {
        true => "none".to_owned(),
        false => rules.iter().copied().collect::<Vec<_>>().join(", "),
    }
}

impl CaseEntry {
    fn read(self, beside: &Path) -> Result<Case, String> {
        let at = |what: &str, text: Option<String>| {
            let read = text.as_deref().map(time).transpose();
            read.map_err(|why| format!("{what}: {why}"))
        };
        let set = |what: &str, rules: Vec<String>| {
            let count = rules.len();
            let set: BTreeSet<String> = rules.into_iter().collect();
            match set.len() == count {
                true => Ok(set),
                false => Err(format!("{what} names a rule twice")),
            }
        };
        let (by, waived) = (set("by", self.by)?, set("waived", self.waived)?);
        // "Refused, for whatever reason" would pass for a model that is not even there as it should be.
        if self.expect == Expected::Refused && by.is_empty() {
            return Err("'expect: refused' needs 'by': the rules that are not met".into());
        }
        let memory = Memory {
            quarantined: self.memory.quarantined,
            first_seen: at("memory: first_seen", self.memory.first_seen)?,
            sequence: self.memory.sequence,
            ..Memory::default()
        };
        let mut revoked = RevocationList::default();
        revoked.add(self.revocations).map_err(|why| format!("revocations: {why}"))?;
        let expected = self.expected_digests.iter();
        Ok(Case {
            name: self.name,
            model: beside.join(self.model),
            environment: self.environment,
            deploy_as: self.deploy_as,
            folders: self.r#in.iter().map(|folder| beside.join(folder)).collect(),
            now: at("now", self.now)?,
            expected_digests: expected
                .map(|name| ModelName::parse(name))
                .collect::<Result<_, _>>()?,
            memory,
            revoked,
            expect: self.expect,
            by,
            waived,
            says: self.says,
        })
    }
}

impl Gate {
    /// Puts a policy to use that nobody has signed yet, with no revocations but these: to see what it would decide. Nothing may be
    /// deployed by it; for that there is [`open`](Self::open).
    #[must_use]
    pub fn of_draft(mut policy: Policy, known: &RevocationList) -> Self {
        policy.withdraw(known);
        Self { policy, revocations: known.clone() }
    }
}
