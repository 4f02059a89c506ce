//! How a command ends.

use std::process::ExitCode;

use bulla::{Failure, Fault, Reason, Refusal};
use bulla_policy::Concern;

/// The answer of a command, as its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// 0
    Yes,
    /// 1: checked, and refused.
    No,
    /// 2: the command was used wrongly.
    Usage,
    /// 3: could not tell.
    CouldNotTell,
    /// That of a command that was run.
    Command(u8),
}

impl Verdict {
    /// The answer of several: one "no" is a "no", whatever could not be told besides.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Yes, other) => other,
            (this, _) => this,
        }
    }
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        Self::from(match verdict {
            Verdict::Yes => 0,
            Verdict::No => 1,
            Verdict::Usage => 2,
            Verdict::CouldNotTell => 3,
            Verdict::Command(code) => code,
        })
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Problem {
    /// Used wrongly.
    Usage { message: String, hint: String },
    /// About one of the files that were named, which is shown in front.
    About { what: String, failure: Failure },
    /// About what has reasons of its own: a log, a conversion.
    Reasons {
        what: String,
        verdict: Verdict,
        reasons: Vec<(&'static str, String)>,
        hints: Vec<String>,
    },
    /// About a document that cannot be used: its text, and all that is wrong with it.
    Document { what: String, text: String, concerns: Vec<Concern> },
    /// A service that cannot be run.
    Service { message: String, hint: String },
    /// Anything else.
    Failure(Failure),
}

impl Problem {
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: hint.into() }
    }

    pub(crate) fn service(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Service { message: message.into(), hint: hint.into() }
    }

    pub(crate) fn about(what: impl Into<String>, failure: impl Into<Failure>) -> Self {
        Self::About { what: what.into(), failure: failure.into() }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::Failure(fault.into())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::Failure(refusal.into())
    }
}

impl From<Reason> for Problem {
    fn from(reason: Reason) -> Self {
        Self::Failure(reason.into())
    }
}

impl From<std::io::Error> for Problem {
    /// Of writing to standard output.
    fn from(error: std::io::Error) -> Self {
        Fault::io("write", std::path::Path::new("standard output"), error).into()
    }
}

pub(crate) type Outcome = Result<Verdict, Problem>;
