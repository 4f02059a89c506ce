//! Which policy is meant, and for which environment.

use std::path::{Path, PathBuf};

use bulla::{Limits, Printable, Reason, Refusal};
use bulla_policy::{Environment, Gate, Policy, RevocationList, Role};
use clap::{Args, ValueHint};
use jiff::Timestamp;

use crate::keys::KeyReference;
use crate::problem::Problem;
use crate::registry::Opened;

/// The flags that name a policy.
#[derive(Debug, Args)]
#[command(next_help_heading = "The policy")]
pub(crate) struct PolicyArguments {
    /// The policy to go by (docs/policy.md)
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) policy: PathBuf,
    /// For which of its environments
    #[arg(long, short, value_name = "NAME")]
    pub(crate) environment: String,
    #[command(flatten)]
    pub(crate) pin: PinArguments,
}

/// Who has to have signed it.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PinArguments {
    /// Take only a policy that this public key has signed; may be repeated [default: take the file as it is]
    #[arg(long, value_name = "KEY", requires = "policy", help_heading = "The policy")]
    policy_key: Vec<KeyReference>,
    /// How many of those keys have to have signed it [default: all]
    #[arg(long, value_name = "N", requires = "policy_key", help_heading = "The policy")]
    policy_threshold: Option<usize>,
}

impl PinArguments {
    /// Those who have to have signed it, if anybody was named.
    fn role(&self, limits: &Limits) -> Result<Option<Role>, Problem> {
        if self.policy_key.is_empty() {
            return Ok(None);
        }
        let keys = self.policy_key.iter().map(|key| key.public_key(limits));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        Ok(Some(Role::of_keys(keys, self.policy_threshold.unwrap_or(self.policy_key.len()))?))
    }
}

/// Reads a policy; says all that is wrong with one that cannot be used, and where.
pub(crate) fn read(path: &Path, limits: &Limits) -> Result<Policy, Problem> {
    let bytes = bulla::read_named(path, limits.bundle_bytes)?;
    parse(path, &bytes, limits)
}

/// The same of a policy that is here.
pub(crate) fn parse(path: &Path, bytes: &[u8], limits: &Limits) -> Result<Policy, Problem> {
    Policy::check(path, bytes, limits).map_err(|unusable| Problem::Document {
        what: path.display().to_string(),
        text: String::from_utf8_lossy(bytes).into_owned(),
        concerns: unusable.concerns,
    })
}

impl PolicyArguments {
    /// The policy in use, with everything that was withdrawn, there and in the registry.
    pub(crate) fn gate(
        &self,
        registry: Option<&Opened>,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<Gate, Problem> {
        let policy = read(&self.policy, limits)?;
        let known = match registry {
            Some(opened) => opened.revocations(now)?,
            None => RevocationList::default(),
        };
        // What the registry's file asks for is asked for besides, not instead.
        if let Some(pins) = registry.map(|opened| opened.pins(limits)).transpose()?.flatten() {
            let unsigned = policy.unsigned(Some(&pins), &known, now, limits)?;
            let reasons = unsigned.into_iter().map(|detail| Reason::NotSigned { detail });
            if let Some(refusal) = Refusal::from_reasons(reasons.collect()) {
                return Err(Problem::about(self.policy.display().to_string(), refusal));
            }
        }
        let pins = self.pin.role(limits)?;
        let gate = Gate::open(policy, pins.as_ref(), &known, now, limits)
            .map_err(|failure| Problem::about(self.policy.display().to_string(), failure))?;
        self.environment(&gate)?;
        Ok(gate)
    }

    /// The environment's rules.
    pub(crate) fn environment<'g>(&self, gate: &'g Gate) -> Result<&'g Environment, Problem> {
        gate.policy().environment(&self.environment).map_err(|_| {
            let all: Vec<&str> = gate.policy().environments.keys().map(String::as_str).collect();
            Problem::usage(
                format!("the policy has no environment {}", Printable(&self.environment)),
                format!("it has {}", all.join(", ")),
            )
        })
    }
}
