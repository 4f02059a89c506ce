//! Who signs: the flags of every command that signs.

use std::cell::RefCell;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use bulla::inspect::CertificateDescription;
use bulla::report::{EvidenceReport, SignedByReport};
use bulla::sign::{Signed, ToSign};
use bulla::{
    Certificate, CertificateSigner, Fault, IdentityRule, KeySigner, Limits, PublicKey, Signer,
    SigstoreRoot, Trust, UnverifiedBundle,
};
use bulla_signers::{
    Client, Interaction, Keyless, Log, RekorVersion, Services, Token, TokenSource, WithLog,
    WithTimestamps,
};
use clap::{Args, ValueEnum, ValueHint};
use zeroize::Zeroizing;

use crate::arguments::PasswordArguments;
use crate::keys::{self, KeyReference};
use crate::problem::Problem;
use crate::trust::{RootArguments, split_trust_config};
use crate::ui::Ui;

/// What is left of a certificate's minutes has to be enough for one signature, its log entry and its timestamps.
const SIGNING_TIME: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// A key, a key with a certificate, or an identity; and what others are to say about the signature.
#[derive(Debug, Args)]
#[command(next_help_heading = "Who signs")]
pub(crate) struct SignerArguments {
    /// Private key: a PEM file, or env://VARIABLE [default: sign with your identity, by Sigstore]
    #[arg(long, value_name = "KEY", alias = "private-key")]
    key: Option<KeyReference>,
    /// Certificate of the key; further certificates in the file are its chain
    #[arg(long, value_name = "PEM", alias = "signing-certificate", requires = "key")]
    #[arg(value_hint = ValueHint::FilePath)]
    certificate: Option<PathBuf>,
    /// Certificates between that one and the root; may be repeated
    #[arg(long, value_name = "PEM", alias = "certificate-chain", requires = "certificate")]
    #[arg(value_hint = ValueHint::FilePath)]
    chain: Vec<PathBuf>,
    #[command(flatten)]
    password: PasswordArguments,
    /// File with an identity token, or the token itself, which others on this machine then see [else SIGSTORE_ID_TOKEN, the CI
    /// system's or cloud's own, a browser]
    #[arg(long, value_name = "TOKEN", conflicts_with = "key", help_heading = "Who signs")]
    identity_token: Option<String>,
    /// Agree to what is published without being asked
    #[arg(long, short, alias = "skip-confirmation", help_heading = "Who signs")]
    yes: bool,
    /// Ask this RFC 3161 timestamp authority for a timestamp, so that the signature outlives its certificate; may be repeated
    #[arg(long, value_name = "URL", aliases = ["timestamp-server-url", "tsa-url"])]
    #[arg(help_heading = "Evidence", value_hint = ValueHint::Url)]
    timestamp_url: Vec<String>,
    /// With --key: record the signature in this transparency log, for everyone to see
    #[arg(long, value_name = "URL", requires = "key", alias = "rekor-url")]
    #[arg(help_heading = "Evidence", value_hint = ValueHint::Url)]
    log_url: Option<String>,
    /// Use logs of this version of Rekor [default: the newest that the instance has]
    #[arg(long, value_name = "VERSION", help_heading = "Evidence")]
    rekor_version: Option<Version>,
    #[command(flatten)]
    root: RootArguments,
    /// The services of the Sigstore instance: its signing_config.json
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "trusted_root")]
    #[arg(conflicts_with_all = ["key", "trust_config"], help_heading = "Sigstore instance")]
    signing_config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Version {
    #[value(name = "1")]
    One,
    #[value(name = "2")]
    Two,
}

impl From<Version> for RekorVersion {
    fn from(version: Version) -> Self {
        match version {
            Version::One => Self::V1,
            Version::Two => Self::V2,
        }
    }
}

/// What signs, and what is said of it afterwards.
pub(crate) enum TheSigner<'a> {
    Key(Box<WithKey>),
    Identity(Box<Identity<'a>>),
}

/// Signs with a key that was named.
pub(crate) struct WithKey {
    signer: Box<dyn Signer>,
    public: PublicKey,
    certificate: Option<CertificateDescription>,
    /// That of the log which the signature was recorded in, if one was named.
    root: Option<SigstoreRoot>,
}

/// Signs with whoever's identity a token says, once everything has been measured: tokens and certificates live
/// for minutes.
pub(crate) struct Identity<'a> {
    client: Client,
    services: Services,
    root: SigstoreRoot,
    token: TokenSource,
    agreed: bool,
    ui: &'a Ui,
    /// Tokens are good for one certificate, and a certificate for several signatures, while it lasts.
    keyless: RefCell<Option<Keyless>>,
}

impl SignerArguments {
    pub(crate) fn signer<'a>(&self, limits: &Limits, ui: &'a Ui) -> Result<TheSigner<'a>, Problem> {
        let Some(key) = &self.key else {
            return Ok(TheSigner::Identity(Box::new(self.identity(limits, ui)?)));
        };
        let key = key.key_pair(limits, &self.password)?;
        let public = key.public().clone();
        let (mut signer, certificate): (Box<dyn Signer>, _) = match &self.certificate {
            None => (Box::new(KeySigner::new(key)), None),
            Some(path) => {
                let mut chain = keys::certificates(std::slice::from_ref(path), limits)?;
                chain.extend(keys::certificates(&self.chain, limits)?);
                let leaf = chain.remove(0);
                let description = CertificateDescription::of(&leaf);
                let signer = CertificateSigner::new(key, leaf, chain, jiff::Timestamp::now())
                    .map_err(|refusal| Problem::about(path.display().to_string(), refusal))?;
                (Box::new(signer), Some(description))
            }
        };
        if let Some(url) = &self.log_url {
            let version = self.rekor_version.map_or(RekorVersion::V2, RekorVersion::from);
            if self.certificate.is_some() {
                return Err(Problem::usage(
                    "a log records keys and Sigstore's own certificates, not those of another authority",
                    "leave --log-url out; --timestamp-url gives the signature a trusted time",
                ));
            }
            ui.agree(self.yes, &format!("  key        its public half\n  in         {url}\n"))?;
            let log = Log { url: url.clone(), version };
            signer = Box::new(WithLog::new(signer, Client::new(), vec![log], 1));
        }
        if !self.timestamp_url.is_empty() {
            let wanted = self.timestamp_url.len();
            let urls = self.timestamp_url.clone();
            signer = Box::new(WithTimestamps::new(signer, Client::new(), urls, wanted));
        }
        let root = match self.log_url.is_some() && self.root.is_given() {
            true => Some(self.root.read(limits, ui)?),
            false => None,
        };
        Ok(TheSigner::Key(Box::new(WithKey { signer, public, certificate, root })))
    }

    fn identity<'a>(&self, limits: &Limits, ui: &'a Ui) -> Result<Identity<'a>, Problem> {
        let asks = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if !self.yes && !asks {
            return Err(Problem::usage(
                "signing with an identity publishes it, and there is nobody at a terminal to agree",
                "agree beforehand with --yes; or sign with a key: --key",
            ));
        }
        let rekor = self.rekor_version.map(RekorVersion::from);
        let root = self.root.read(limits, ui)?;
        let services = match (&self.signing_config, &self.root.trust_config) {
            (Some(path), _) => {
                let bytes = bulla::read_named(path, limits.trusted_root_bytes)?;
                let text = String::from_utf8_lossy(&bytes);
                Services::from_json(&path.display().to_string(), &text, rekor)?
            }
            (None, Some(path)) => {
                let bytes = bulla::read_named(path, limits.trusted_root_bytes)?;
                let (_, config) = split_trust_config(path, &bytes)?;
                Services::from_json(&path.display().to_string(), &config, rekor)?
            }
            (None, None) if self.root.trusted_root.is_some() => {
                return Err(Problem::usage(
                    "--trusted-root says whom to trust, and not where the instance's services are",
                    "add its signing_config.json with --signing-config, or give both in one with --trust-config",
                ));
            }
            (None, None) => self.root.services(rekor, ui)?,
        };
        let mut services = services;
        for url in &self.timestamp_url {
            services.timestamp_authorities.insert(0, url.clone());
            services.timestamps_wanted += 1;
        }
        if services.logs.is_empty() {
            return Err(Problem::usage(
                "the instance lists no transparency log that can be used now",
                "leave --rekor-version out, or get the instance's newest config",
            ));
        }
        let token = match &self.identity_token {
            None => TokenSource::Detect,
            Some(text) if std::path::Path::new(text).is_file() => TokenSource::File(text.into()),
            Some(text) => TokenSource::Given(Zeroizing::new(text.clone())),
        };
        // A token that cannot be used is found out before hundreds of gigabytes are hashed, not after.
        if let TokenSource::Given(text) = &token {
            Token::parse(text, jiff::Timestamp::now())?;
        }
        Ok(Identity {
            client: Client::new(),
            services,
            root,
            token,
            agreed: self.yes,
            ui,
            keyless: RefCell::new(None),
        })
    }
}

impl TheSigner<'_> {
    pub(crate) fn as_signer(&self) -> &dyn Signer {
        match self {
            Self::Key(with) => &*with.signer,
            Self::Identity(identity) => &**identity,
        }
    }

    /// Who signed a model or a statement, for the report; what an instance answered is checked as every verifier will
    /// check it, before anything is written.
    pub(crate) fn signed_by(
        &self,
        key: &PublicKey,
        bundle: &[u8],
        limits: &Limits,
    ) -> Result<(SignedByReport, Vec<EvidenceReport>), Problem> {
        self.signed_by_as(key, |trust| {
            let now = jiff::Timestamp::now();
            let checked =
                UnverifiedBundle::parse(bundle, limits)?.authenticate(trust, now, limits)?;
            let signed_by = bulla::report::signed_by(checked.signed_by(), checked.checked_at());
            Ok((signed_by, bulla::report::evidence(checked.times(), checked.records())))
        })
    }

    /// The same for any signature, by its own check.
    pub(crate) fn signed_by_as(
        &self,
        key: &PublicKey,
        verify: impl FnOnce(&Trust) -> Result<(SignedByReport, Vec<EvidenceReport>), bulla::Failure>,
    ) -> Result<(SignedByReport, Vec<EvidenceReport>), Problem> {
        match self {
            Self::Key(with) => match &with.root {
                Some(root) => {
                    let trust = Trust::keys(vec![key.clone()])?.with_time_of(root.clone());
                    verify(&trust).map_err(|failure| not_held(failure, root.name()))
                }
                None => Ok((
                    SignedByReport::Key {
                        algorithm: key.algorithm().name(),
                        key: key.fingerprint().to_string(),
                    },
                    Vec::new(),
                )),
            },
            Self::Identity(identity) => {
                let trust = identity.trust()?;
                let url = identity.services.certificate_authorities.join(", ");
                verify(&trust).map_err(|failure| not_held(failure, &url))
            }
        }
    }

    pub(crate) fn certificate(&self) -> Option<CertificateDescription> {
        match self {
            Self::Key(with) => with.certificate.clone(),
            Self::Identity(identity) => {
                identity.certificate().as_ref().map(CertificateDescription::of)
            }
        }
    }

    /// The signer's own key, if signatures by it name the bare key.
    pub(crate) fn bare_key(&self) -> Option<&PublicKey> {
        match self {
            Self::Key(with) if with.certificate.is_none() => Some(&with.public),
            _ => None,
        }
    }

    /// The certificate of an identity, PEM.
    pub(crate) fn identity_certificate(&self) -> Option<Certificate> {
        match self {
            Self::Key(..) => None,
            Self::Identity(identity) => identity.certificate(),
        }
    }
}

fn not_held(failure: bulla::Failure, url: &str) -> Problem {
    match failure {
        bulla::Failure::Fault(fault) => fault.into(),
        bulla::Failure::Refused(refusal) => Problem::from(Fault::Service {
            service: "Sigstore instance",
            url: url.to_owned(),
            detail: format!("what it answered does not hold: {refusal}"),
            hint: "nothing was written; check that the trusted root is that of the services",
        }),
    }
}

impl Identity<'_> {
    fn certificate(&self) -> Option<Certificate> {
        self.keyless.borrow().as_ref().map(|keyless| keyless.certificate().clone())
    }

    /// Shows what is about to be published, to be agreed to.
    fn agree(&self, identity: &str, provider: &str, what: ToSign<'_>) -> Result<(), Fault> {
        let logs: Vec<&str> = self.services.logs.iter().map(|log| log.url.as_str()).collect();
        let shown = format!(
            "  identity   {}\n  vouched by {}\n  signs      a statement or file with SHA-256 {}\n  in         {}\n",
            bulla::Printable(identity),
            bulla::Printable(provider),
            what.sha256().to_hex(),
            logs.get(..self.services.logs_wanted).unwrap_or(&logs).join(", "),
        );
        self.ui.agree(self.agreed, &shown)
    }

    /// Exactly the identity in the certificate.
    fn trust(&self) -> Result<Trust, Fault> {
        let broken = Fault::Bug { what: "there is no certificate to check" };
        let Some(certificate) = self.certificate() else { return Err(broken) };
        let (Some(name), Some(provider)) =
            (certificate.names().first(), certificate.identity_provider())
        else {
            return Err(broken);
        };
        Trust::sigstore(self.root.clone(), vec![IdentityRule::exact(name.clone(), provider)])
    }
}

impl Signer for Identity<'_> {
    fn sign(&self, what: ToSign<'_>) -> Result<Signed, Fault> {
        let mut keyless = self.keyless.borrow_mut();
        let still_good = keyless.take().filter(|keyless| {
            let (_, until) = keyless.certificate().validity();
            until.duration_since(jiff::Timestamp::now()) >= SIGNING_TIME
        });
        let keyless = keyless.insert(match still_good {
            Some(keyless) => {
                let certificate = keyless.certificate();
                let name = certificate.names().first().map(ToString::to_string);
                let provider = certificate.identity_provider().unwrap_or_default();
                self.agree(&name.unwrap_or_default(), provider, what)?;
                keyless
            }
            None => {
                let provider = self.services.identity_provider.as_deref();
                let token = Token::get(&self.token, &self.client, provider, self.ui)?;
                self.agree(token.identity(), token.provider(), what)?;
                Keyless::certify(&self.client, &self.services.certificate_authorities, &token)?
            }
        });
        let Services { logs, logs_wanted, timestamp_authorities, timestamps_wanted, .. } =
            self.services.clone();
        let signer = WithLog::new(&*keyless, self.client.clone(), logs, logs_wanted);
        let client = self.client.clone();
        WithTimestamps::new(signer, client, timestamp_authorities, timestamps_wanted).sign(what)
    }

    fn algorithm(&self) -> Option<bulla::KeyAlgorithm> {
        Some(bulla::KeyAlgorithm::EcdsaP256)
    }
}

impl Interaction for Ui {
    fn visit(&self, url: &str, opened: bool) {
        let how = if opened { "a browser should have opened; if not, go to" } else { "go to" };
        self.note(&format!("{how} {}", bulla::Printable(url)));
    }

    fn code(&self) -> std::io::Result<Zeroizing<String>> {
        rpassword::prompt_password("The code that is shown there: ").map(Zeroizing::new)
    }
}
