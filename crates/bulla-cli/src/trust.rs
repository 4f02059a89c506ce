//! Whom the user trusts: the flags of every command that verifies.

use std::path::{Path, PathBuf};

use bulla::{
    Certificate, ClaimRule, Embedded, Fault, IdentityRule, Limits, SignerName, SigstoreRoot, Trust,
};
use bulla_signers::{RekorVersion, Repository, Services, Updated};
use clap::{Args, ValueHint};

use crate::keys::{self, KeyReference};
use crate::problem::Problem;
use crate::ui::Ui;

/// Exactly one way to say who is trusted, and who is believed about the time.
#[derive(Debug, Args)]
#[command(next_help_heading = "Whom to trust")]
pub(crate) struct TrustArguments {
    /// Trust this public key: a PEM file, or env://VARIABLE; may be repeated, any of them will do
    #[arg(long, value_name = "KEY", alias = "public-key")]
    key: Vec<KeyReference>,
    /// Trust certificates that lead to this authority; may be repeated, any of them will do
    #[arg(long, value_name = "PEM", alias = "certificate-chain", conflicts_with = "key")]
    #[arg(value_hint = ValueHint::FilePath)]
    ca: Vec<PathBuf>,
    /// With --ca: only the signer with exactly this e-mail address, URI or DNS name (subjectAltName)
    #[arg(long, value_name = "NAME", conflicts_with = "key")]
    signer: Option<String>,
    /// Trust signatures by this e-mail address or URI, certified by Sigstore; '*' stands for any text without '@' and '/';
    /// may be repeated
    #[arg(long, value_name = "NAME", alias = "certificate-identity", conflicts_with_all = ["key", "ca"])]
    identity: Vec<String>,
    /// The OpenID Connect provider that vouched for the identity: one for all of them, or one for each, in order
    #[arg(long, value_name = "URL", aliases = ["certificate-oidc-issuer", "cert-oidc-issuer"])]
    #[arg(conflicts_with_all = ["key", "ca"])]
    identity_provider: Vec<String>,
    /// With --identity: what the certificate must say about the run that signed, for example
    /// repository=https://github.com/org/name or ref=refs/heads/main; may be repeated, all must hold
    #[arg(long, value_name = "CLAIM=VALUE", conflicts_with_all = ["key", "ca"])]
    require_claim: Vec<String>,
    /// Believe timestamps of authorities that lead to these roots, so that a signature outlives its certificate; may be
    /// repeated
    #[arg(long, value_name = "PEM", alias = "timestamp-certificate-chain")]
    #[arg(value_hint = ValueHint::FilePath)]
    timestamp_roots: Vec<PathBuf>,
    #[command(flatten)]
    root: RootArguments,
    /// Accepted for cosign's sake: verifying never uses the network
    #[arg(long, hide = true)]
    offline: bool,
}

/// Which Sigstore instance.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sigstore instance")]
pub(crate) struct RootArguments {
    /// Trust the authorities, logs and timestamps of this trusted_root.json [default: those of sigstore.dev]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) trusted_root: Option<PathBuf>,
    /// A client trust config: trusted root and services in one file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "trusted_root")]
    pub(crate) trust_config: Option<PathBuf>,
    /// Use Sigstore's staging instance, sigstage.dev
    #[arg(long, alias = "use-staging", conflicts_with_all = ["trusted_root", "trust_config"])]
    pub(crate) staging: bool,
}

impl RootArguments {
    pub(crate) fn is_given(&self) -> bool {
        self.trusted_root.is_some() || self.trust_config.is_some() || self.staging
    }

    /// The root that was named, else the public-good instance's: as `bulla trust update` last got it, or
    /// as it came with the program.
    pub(crate) fn read(&self, limits: &Limits, ui: &Ui) -> Result<SigstoreRoot, Problem> {
        if let Some(path) = &self.trusted_root {
            return read_root(path, limits);
        }
        if let Some(path) = &self.trust_config {
            let bytes = bulla::read_named(path, limits.trusted_root_bytes)?;
            let (root, _) = split_trust_config(path, &bytes)?;
            return Ok(SigstoreRoot::from_json(
                &path.display().to_string(),
                root.as_bytes(),
                limits,
            )?);
        }
        if let Some(updated) = self.updated(ui) {
            let name = format!("the trusted root of {}", updated.at);
            return Ok(SigstoreRoot::from_json(&name, updated.trusted_root.as_bytes(), limits)?);
        }
        Ok(SigstoreRoot::embedded(match self.staging {
            true => Embedded::Staging,
            false => Embedded::PublicGood,
        })?)
    }

    /// The services that go with it.
    pub(crate) fn services(
        &self,
        rekor: Option<RekorVersion>,
        ui: &Ui,
    ) -> Result<Services, Problem> {
        Ok(match self.updated(ui) {
            Some(updated) => {
                Services::from_json("the signing config", &updated.signing_config, rekor)?
            }
            None => Services::embedded(self.staging, rekor)?,
        })
    }

    /// What `bulla trust update` has kept; what cannot be trusted is not used, and that is said.
    fn updated(&self, ui: &Ui) -> Option<Updated> {
        let repository = Repository::sigstore(self.staging, &cache_directory()?);
        match repository.cached(jiff::Timestamp::now()) {
            Ok(Some(updated)) => {
                if updated.expired {
                    ui.note(&format!(
                        "the trusted root was fetched at {}, and a newer one should be there: run 'bulla trust update'",
                        updated.at
                    ));
                }
                Some(updated)
            }
            Ok(None) => None,
            Err(fault) => {
                ui.note(&format!(
                    "the trusted root that was kept is not used, but the one that comes with the program: {fault}"
                ));
                None
            }
        }
    }
}

/// Where what can be fetched again is kept.
pub(crate) fn cache_directory() -> Option<PathBuf> {
    directories::ProjectDirs::from("", "", "bulla").map(|d| d.cache_dir().join("sigstore"))
}

fn read_root(path: &Path, limits: &Limits) -> Result<SigstoreRoot, Problem> {
    let bytes = bulla::read_named(path, limits.trusted_root_bytes)?;
    Ok(SigstoreRoot::from_json(&path.display().to_string(), &bytes, limits)?)
}

/// The trusted root and the signing config in a `ClientTrustConfig`
/// (`application/vnd.dev.sigstore.clienttrustconfig.v0.1+json`), each as its own JSON.
pub(crate) fn split_trust_config(path: &Path, bytes: &[u8]) -> Result<(String, String), Fault> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Config<'a> {
        #[serde(borrow)]
        trusted_root: &'a serde_json::value::RawValue,
        #[serde(borrow)]
        signing_config: &'a serde_json::value::RawValue,
    }
    let config: Config<'_> = serde_json::from_slice(bytes).map_err(|e| Fault::TrustedRoot {
        name: path.display().to_string(),
        detail: format!("it is no client trust config: {e}"),
        hint: "give the file that the instance publishes for --trust-config; a trusted_root.json goes to --trusted-root",
    })?;
    Ok((config.trusted_root.get().to_owned(), config.signing_config.get().to_owned()))
}

impl TrustArguments {
    pub(crate) fn trust(&self, limits: &Limits, ui: &Ui) -> Result<Trust, Problem> {
        let mut trust = self.signers(limits, ui)?;
        if self.identity.is_empty() {
            if !self.timestamp_roots.is_empty() {
                trust = trust.with_timestamp_roots(self.timestamp_roots(limits)?);
            }
            if self.root.is_given() {
                trust = trust.with_time_of(self.root.read(limits, ui)?);
            }
        } else if !self.timestamp_roots.is_empty() {
            return Err(Problem::usage(
                "--timestamp-roots is for signatures by keys and certificates: with --identity the trusted root lists the timestamp authorities",
                "add the authority to the trusted root, and give that with --trusted-root",
            ));
        }
        Ok(trust)
    }

    fn timestamp_roots(&self, limits: &Limits) -> Result<Vec<Certificate>, Problem> {
        keys::certificates(&self.timestamp_roots, limits)
    }

    fn signers(&self, limits: &Limits, ui: &Ui) -> Result<Trust, Problem> {
        if self.signer.is_some() && self.ca.is_empty() {
            return Err(Problem::usage(
                "--signer names whom a certificate is for, but no authority is named",
                "name the certificate authority with --ca; an identity certified by Sigstore with --identity",
            ));
        }
        if !self.identity.is_empty() {
            return Ok(Trust::sigstore(self.root.read(limits, ui)?, self.rules()?)?);
        }
        if !self.identity_provider.is_empty() || !self.require_claim.is_empty() {
            return Err(Problem::usage(
                "an identity provider vouches for many: whose signature is trusted is not named",
                "name the signer with --identity",
            ));
        }
        if !self.ca.is_empty() {
            let authorities = keys::certificates(&self.ca, limits)?;
            let signer = self.signer.as_deref().map(SignerName::parse).transpose();
            let signer = signer.map_err(|fault| {
                Problem::usage(
                    format!("--signer: {fault}"),
                    "for example --signer team@example.com",
                )
            })?;
            return Ok(Trust::certificate_authorities(authorities, signer)?);
        }
        if self.key.is_empty() {
            return Err(Problem::usage(
                "nobody is named to trust",
                "name the signer's public key with --key, a certificate authority with --ca, or an identity with --identity and --identity-provider; learn them from a source you trust, not from beside the model",
            ));
        }
        let keys = self.key.iter().map(|key| key.public_key(limits)).collect::<Result<_, _>>()?;
        Ok(Trust::keys(keys)?)
    }

    fn rules(&self) -> Result<Vec<IdentityRule>, Problem> {
        let usage = |flag: &str, fault: Fault| {
            let hint = fault.hint().unwrap_or("see 'bulla verify --help'");
            Problem::usage(format!("{flag}: {fault}"), hint)
        };
        let claims: Vec<ClaimRule> = self
            .require_claim
            .iter()
            .map(|claim| ClaimRule::parse(claim).map_err(|e| usage("--require-claim", e)))
            .collect::<Result<_, _>>()?;
        let providers = &self.identity_provider;
        if providers.len() != 1 && providers.len() != self.identity.len() {
            return Err(Problem::usage(
                format!(
                    "{} identities are named, and {} identity providers",
                    self.identity.len(),
                    providers.len()
                ),
                "give --identity-provider once for all of them, or once for each in the same order",
            ));
        }
        let provider_of = |index: usize| providers.get(index).or(providers.first());
        self.identity
            .iter()
            .enumerate()
            .map(|(index, identity)| {
                let provider = provider_of(index).map(String::as_str).unwrap_or_default();
                let rule =
                    IdentityRule::new(identity, provider).map_err(|e| usage("--identity", e))?;
                Ok(claims.iter().cloned().fold(rule, IdentityRule::require))
            })
            .collect()
    }
}
