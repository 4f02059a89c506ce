//! Which tests a model passed (in-toto's `test-result` v0.1).

use serde::{Deserialize, Serialize};

use super::descriptor::ResourceDescriptor;
use super::{check_list, check_text, check_uri, malformed_attestation as malformed};
use crate::error::Reason;
use crate::json::objects;

/// The predicate type.
pub const PREDICATE_TYPE: &str = "https://in-toto.io/attestation/test-result/v0.1";
/// Most names of tests in one statement.
const TESTS: usize = 100_000;

/// The result of a run of tests. Members that are not known are passed over, as in-toto's parsing rules want it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestResult {
    /// Of all of them.
    pub result: Outcome,
    /// What ran: never left out, as the specification has it.
    #[serde(deserialize_with = "objects")]
    pub configuration: Vec<ResourceDescriptor>,
    /// Where more can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Names of tests that passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_tests: Vec<String>,
    /// Names of tests that passed with a warning.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warned_tests: Vec<String>,
    /// Names of tests that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_tests: Vec<String>,
}

/// How tests ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Outcome {
    /// All of them well.
    Passed,
    /// None failed, some with a warning.
    Warned,
    /// At least one failed.
    Failed,
}

impl TestResult {
    pub(super) fn check(&self) -> Result<(), Reason> {
        let Self { passed_tests, warned_tests, failed_tests, .. } = self;
        if passed_tests.len() + warned_tests.len() + failed_tests.len() > TESTS {
            return Err(malformed(format!("it names more than {TESTS} tests")));
        }
        let names = passed_tests.iter().chain(warned_tests).chain(failed_tests);
        names.into_iter().try_for_each(|name| check_text("test's name", name))?;
        if self.result != Outcome::Failed && !failed_tests.is_empty() {
            return Err(malformed("its result is not FAILED, but it names tests that failed"));
        }
        self.url.as_deref().map_or(Ok(()), |url| check_uri("url", url))?;
        check_list(&self.configuration)
    }
}
