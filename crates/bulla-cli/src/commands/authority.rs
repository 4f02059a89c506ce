//! `bulla authority`

use std::io::{IsTerminal as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bulla::jiff::SignedDuration;
use bulla::{Fault, Printable};
use bulla_authority::clock::{Clock as _, SystemClock};
use bulla_authority::config::{Certificates, HttpLimits, IssuerConfig, LogsConfig, WitnessConfig};
use bulla_authority::{Authority, Config, InitError, OpenError, Protection, Schedule, server};
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use serde_json::json;

use crate::arguments::PasswordArguments;
use crate::files;
use crate::keys::{new_password, shared_password};
use crate::problem::{Outcome, Problem, Verdict};
use crate::ui::Ui;

/// Run a private Sigstore: certificates, transparency logs and timestamps
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(Init),
    Serve(Serve),
    Rotate(Rotate),
}

/// Make an authority in a new directory
///
/// Writes its keys, each encrypted with the same password, its logs, its configuration
/// (authority.toml), and the files that clients need: trusted_root.json, signing_config.json and, with
/// both of them in it, trust_config.json. An authority that exists is never overwritten.
#[derive(Debug, Args)]
#[command(after_help = INIT_EXAMPLES)]
struct Init {
    /// Where to make it
    #[arg(value_hint = ValueHint::DirPath)]
    directory: PathBuf,
    /// Accept identity tokens of this issuer; TYPE is email, github, gitlab, buildkite, kubernetes, spiffe, uri or username [default: what a well-known URL is, else email]; may be repeated
    #[arg(long, value_name = "[TYPE=]URL", required_unless_present = "dev_issuer")]
    issuer: Vec<IssuerConfig>,
    /// Where clients will reach it
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Whose authority it is; stands in its certificates
    #[arg(long, value_name = "NAME", default_value = "bulla")]
    name: String,
    /// Where the logs' high-water marks are kept: outside of the directory, best on another disk, so that no backup restores both; needed unless --dev-issuer is given
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, value_parser = absolute)]
    marks: Option<PathBuf>,
    /// Make a development authority: it gives identity tokens to whoever asks, on this machine only
    #[arg(long)]
    dev_issuer: bool,
    /// Read the new password from a file [else BULLA_PASSWORD, COSIGN_PASSWORD, a prompt]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    password_file: Option<PathBuf>,
    /// Do not encrypt the keys: whoever can read them is the authority
    #[arg(long, conflicts_with = "password_file")]
    no_password: bool,
}

/// From wherever it is served.
fn absolute(text: &str) -> Result<PathBuf, String> {
    std::path::absolute(text).map_err(|e| e.to_string())
}

const INIT_EXAMPLES: &str = "\
Examples:
  bulla authority init laptop --dev-issuer --no-password
  bulla authority init ca --marks ca-marks --url https://ca.example --issuer https://id.example
  bulla authority init ci --marks ci-marks --issuer gitlab=https://git.example --no-password";

/// Serve an authority
///
/// It is reached on this machine only, unless --listen says otherwise; then with TLS. With --json one
/// line on standard output says when it is ready, and where it listens. What happens is logged on
/// standard error. It ends when it is interrupted or terminated, and finishes what it has begun.
#[derive(Debug, Args)]
#[command(after_help = SERVE_EXAMPLES)]
struct Serve {
    /// The authority
    #[arg(value_hint = ValueHint::DirPath)]
    directory: PathBuf,
    /// Where to listen; port 0 is any that is free [default: as its URL says if that is on this machine, else 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// The server's certificate and those above it, PEM
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key, PEM, not encrypted
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Listen beyond this machine without TLS: only behind a proxy that has it
    #[arg(long, conflicts_with = "tls_cert")]
    plain_http: bool,
    /// How to log
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
    #[command(flatten)]
    password: PasswordArguments,
}

const SERVE_EXAMPLES: &str = "\
Examples:
  bulla authority serve laptop
  bulla authority serve laptop --listen 127.0.0.1:0 --json
  bulla authority serve ca --listen 0.0.0.0:8443 --tls-cert server.pem --tls-key server.key";

/// Replace an authority's keys
///
/// Makes new ones, with new certificates and logs, and adds them to the files that clients need, also
/// in the update repository. Until they start, clients learn of them; then they sign, and those before
/// them are valid for some time more. The authority must not be served meanwhile.
#[derive(Debug, Args)]
#[command(after_help = ROTATE_EXAMPLES)]
struct Rotate {
    /// The authority
    #[arg(value_hint = ValueHint::DirPath)]
    directory: PathBuf,
    /// How long from now the new keys sign, for example 7d or 12h
    #[arg(long, value_name = "TIME", default_value = "0h", value_parser = time)]
    announce: SignedDuration,
    /// How long from then the old ones are valid
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = time)]
    overlap: SignedDuration,
    #[command(flatten)]
    password: PasswordArguments,
}

const ROTATE_EXAMPLES: &str = "\
Examples:
  bulla authority rotate laptop
  bulla authority rotate ca --announce 7d --overlap 2d";

/// A number of days or hours.
fn time(text: &str) -> Result<SignedDuration, String> {
    let (number, hours) = match (text.strip_suffix('d'), text.strip_suffix('h')) {
        (Some(days), _) => (days, 24),
        (_, Some(hours)) => (hours, 1),
        _ => return Err("expected days or hours, for example 7d or 12h".into()),
    };
    // Ten years at most: whoever means more means never.
    match number.parse::<u32>() {
        Ok(number) if number <= 87_600 / hours => {
            Ok(SignedDuration::from_hours(i64::from(number * hours)))
        }
        _ => Err("expected at most 3650d".into()),
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One object a line
    Json,
}

pub(crate) fn run(arguments: &Arguments, ui: &Ui) -> Outcome {
    match &arguments.command {
        Command::Init(arguments) => init(arguments, ui),
        Command::Serve(arguments) => serve(arguments, ui),
        Command::Rotate(arguments) => rotate(arguments, ui),
    }
}

fn init(arguments: &Init, ui: &Ui) -> Outcome {
    let config = Config {
        name: arguments.name.clone(),
        url: arguments.url.clone(),
        development: arguments.dev_issuer,
        certificates: Certificates::default(),
        logs: LogsConfig {
            high_water_marks: arguments
                .marks
                .clone()
                .unwrap_or_else(|| LogsConfig::default().high_water_marks),
        },
        witness: WitnessConfig::default(),
        limits: HttpLimits::default(),
        issuers: arguments.issuer.clone(),
    };
    // Before a password is asked for.
    config.check().map_err(|e| bad_config(&e))?;
    config.check_marks(&arguments.directory).map_err(|e| bad_config(&e))?;
    let password = if arguments.no_password {
        None
    } else {
        let variables = ["BULLA_PASSWORD", "COSIGN_PASSWORD"];
        let how = "give it with --password-file or in BULLA_PASSWORD, or run in a terminal; --no-password writes the keys without encryption";
        Some(new_password(arguments.password_file.as_deref(), &variables, how)?)
    };
    let protection = password.as_ref().map_or(Protection::None, Protection::Password);
    let now = SystemClock.now();
    let made = bulla_authority::init(&arguments.directory, &config, &protection, now).map_err(
        |e| match e {
            InitError::Exists { .. } => Problem::usage(
                e.to_string(),
                "an authority that is overwritten is lost: give another directory",
            ),
            InitError::Config(e) => bad_config(&e),
            InitError::Fault(fault) => fault.into(),
        },
    )?;
    let shown: Vec<String> = made.files.iter().map(|path| path.display().to_string()).collect();
    let directory = arguments.directory.display().to_string();
    let report = json!({
        "command": "authority",
        "verdict": "made",
        "directory": directory,
        "url": config.url,
        "development": config.development,
        "files": shown,
    });
    ui.result(&report, |out| {
        writeln!(out, "made: {} ({})", Printable(&directory), Printable(&config.url))?;
        for path in &shown {
            writeln!(out, "  for clients  {}", Printable(path))?;
        }
        Ok(())
    })?;
    if config.development {
        ui.note(
            "this is a development authority: it certifies whatever anybody on this machine says",
        );
    } else {
        ui.note(
            "root.key and timestamp-root.key are not needed to serve: move them to a safe place",
        );
    }
    Ok(Verdict::Yes)
}

fn bad_config(error: &dyn std::fmt::Display) -> Problem {
    Problem::usage(error.to_string(), "see 'bulla authority init --help'")
}

fn serve(arguments: &Serve, ui: &Ui) -> Outcome {
    start_logging(arguments.log_format, ui);
    let directory = arguments.directory.display().to_string();
    let password = shared_password(&arguments.password, &directory);
    let authority = Authority::open(&arguments.directory, Arc::new(SystemClock), &password)
        .map_err(|e| cannot_open(&directory, e))?;
    let tls = match (&arguments.tls_cert, &arguments.tls_key) {
        (Some(certificate), Some(key)) => Some(tls(certificate, key)?),
        _ => None,
    };
    let address = arguments.listen.unwrap_or_else(|| default_address(authority.config()));
    let loopback = address.ip().to_canonical().is_loopback();
    if !loopback && authority.config().development {
        return Err(Problem::usage(
            format!("a development authority does not listen on {address}"),
            "it certifies whatever anybody says, and listens on this machine only",
        ));
    }
    if !loopback && tls.is_none() && !arguments.plain_http {
        return Err(Problem::usage(
            format!("{address} is reached from other machines, and there is no TLS"),
            "give --tls-cert and --tls-key; behind a proxy that has TLS, --plain-http",
        ));
    }
    let cannot_listen = |e: std::io::Error| {
        Problem::service(format!("cannot listen on {address}: {e}"), "give another --listen")
    };
    let listener = TcpListener::bind(address).map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let authority = Arc::new(authority);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Problem::service(format!("cannot start threads: {e}"), "raise the limits"))?;
    let cannot_serve =
        |e: std::io::Error| Problem::service(format!("cannot serve: {e}"), "see the log above");
    runtime.block_on(async {
        // Before anybody is told that it is ready: whoever ends it then is heard.
        let end = asked_to_end().map_err(cannot_serve)?;
        ready(&authority, address, tls.is_some(), ui)?;
        server::serve(&authority, listener, tls, end).await.map_err(cannot_serve)?;
        Ok(Verdict::Yes)
    })
}

fn cannot_open(directory: &str, error: OpenError) -> Problem {
    let hint = match error {
        OpenError::Fault(fault) => return Problem::about(directory, fault),
        OpenError::InUse { .. } => "end the other one first",
        OpenError::Clock(_) => "set the machine's clock right",
        OpenError::OldCopy { .. } => {
            "this is an old copy of the authority: restore the newest one, or make another authority"
        }
        OpenError::OtherKind { .. } => "an authority stays what it was made as: make another one",
    };
    Problem::service(error.to_string(), hint)
}

fn rotate(arguments: &Rotate, ui: &Ui) -> Outcome {
    let directory = arguments.directory.display().to_string();
    let password = shared_password(&arguments.password, &directory);
    // The new keys are protected as the old ones are.
    let protected = bulla_authority::is_protected(&arguments.directory)
        .map_err(|fault| Problem::about(directory.clone(), fault))?;
    let secret = if protected { Some(password()?) } else { None };
    let protection = secret.as_ref().map_or(Protection::None, Protection::Password);
    let schedule = Schedule { announced_for: arguments.announce, overlap: arguments.overlap };
    let now = SystemClock.now();
    let made = bulla_authority::rotate(&arguments.directory, schedule, &protection, &password, now)
        .map_err(|e| cannot_open(&directory, e))?;
    let report = json!({
        "command": "authority",
        "verdict": "rotated",
        "directory": directory,
        "generation": made.number,
        "starts": made.starts.to_string(),
        "previous_ends": made.previous_ends.to_string(),
    });
    ui.result(&report, |out| {
        writeln!(out, "rotated: {} (generation {})", Printable(&directory), made.number)?;
        writeln!(out, "  the new keys sign from        {}", made.starts)?;
        writeln!(out, "  the old ones are valid until  {}", made.previous_ends)
    })?;
    Ok(Verdict::Yes)
}

fn tls(certificate: &Path, key: &Path) -> Result<server::RustlsConfig, Problem> {
    const LARGEST: u64 = 1 << 20;
    let certificates = bulla::read_named(certificate, LARGEST)?;
    let secret = files::read_secret(key, LARGEST)?;
    server::tls(&certificates, &secret).map_err(|e| {
        let what = format!("{} and {}", certificate.display(), key.display());
        Problem::about(what, Fault::key(e.to_string()))
    })
}

/// Where its URL points, if that is here.
fn default_address(config: &Config) -> SocketAddr {
    let fallback = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
    let authority = config
        .url
        .split_once("://")
        .map(|(_, rest)| rest.split('/').next().unwrap_or_default())
        .unwrap_or_default();
    let text = authority.replace("localhost", "127.0.0.1");
    text.parse::<SocketAddr>()
        .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::from((ip, 80))))
        .ok()
        .filter(|address| address.ip().is_loopback())
        .unwrap_or(fallback)
}

/// Says that it can be used.
fn ready(authority: &Authority, address: SocketAddr, tls: bool, ui: &Ui) -> std::io::Result<()> {
    let config = authority.config();
    if ui.is_json() {
        let line = json!({
            "command": "authority",
            "verdict": "ready",
            "listen": address.to_string(),
            "port": address.port(),
            "url": config.url,
            "tls": tls,
            "development": config.development,
        });
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}")?;
        return out.flush();
    }
    ui.result(&(), |out| {
        writeln!(out, "ready: {} on {address}", Printable(&config.url))?;
        if config.development {
            writeln!(
                out,
                "  identity tokens for anybody: POST {}/token?email=you@example.com",
                Printable(&config.dev_issuer_url())
            )?;
        }
        Ok(())
    })
}

/// Interrupted, or terminated.
fn asked_to_end() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    })
}

fn start_logging(format: LogFormat, ui: &Ui) {
    use tracing_subscriber::filter::LevelFilter;
    let level = if ui.is_verbose() { LevelFilter::DEBUG } else { LevelFilter::INFO };
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_max_level(level);
    // One subscriber a process: this is the first.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
