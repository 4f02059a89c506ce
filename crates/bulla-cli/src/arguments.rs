//! What can be said on the command line.

use std::ffi::{OsStr, OsString};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use bulla::model::{DEFAULT_SHARD_SIZE, Method, Recipe};
use bulla::{HashAlgorithm, Limits, ModelPath, Work};
use clap::{Args, Parser, Subcommand, ValueHint};

use crate::commands;
use crate::problem::Problem;

const EXIT_CODES: &str = "\
Exit codes:
  0  yes
  1  no: checked and refused
  2  the command was used wrongly
  3  could not tell: something could not be read";

/// Seals machine-learning models: signs them, and checks that a model is what its signer signed.
#[derive(Debug, Parser)]
#[command(name = "bulla", version, max_term_width = 100, after_help = EXIT_CODES)]
#[command(subcommand_required = true, arg_required_else_help = true, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) output: OutputArguments,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct OutputArguments {
    /// Print one JSON object instead of text (docs/json.md)
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
    /// Print nothing but problems
    #[arg(long, short, global = true, help_heading = "Output", conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Print more: every file, for one
    #[arg(long, short, global = true, help_heading = "Output")]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Sign(commands::sign::Arguments),
    Verify(commands::verify::Arguments),
    Digest(commands::digest::Arguments),
    Inspect(commands::inspect::Arguments),
    Attest(commands::attest::Arguments),
    Run(Box<commands::run::Arguments>),
    Lineage(commands::lineage::Arguments),
    Admit(Box<commands::admit::Arguments>),
    Approve(Box<commands::approve::ApproveArguments>),
    Exception(Box<commands::approve::ExceptionArguments>),
    Release(Box<commands::attest::release::Arguments>),
    Policy(commands::policy::Arguments),
    Registry(Box<commands::registry::Arguments>),
    Revoke(Box<commands::revoke::Arguments>),
    Blob(commands::blob::Arguments),
    Key(commands::key::Arguments),
    Trust(commands::trust::Arguments),
    Authority(commands::authority::Arguments),
    Log(commands::log::Arguments),
    Demo(commands::demo::Arguments),
    Completions(commands::completions::Arguments),
    Man(commands::man::Arguments),
}

/// How a model is listed and hashed.
#[derive(Debug, Args)]
pub(crate) struct RecipeArguments {
    /// Hash of the files
    #[arg(long, value_name = "HASH", default_value = "sha256", alias = "hash-algorithm")]
    #[arg(value_parser = ["sha256", "blake3", "blake2b"])]
    hash: String,
    /// Hash every file in shards of so many bytes (for example 64MiB; 'default' is 1 GB)
    #[arg(long, value_name = "BYTES", value_parser = shard_size)]
    shard_size: Option<NonZeroU64>,
    /// Leave out a path and all below it, given from the model's root; may be repeated
    #[arg(long, value_name = "PATH", alias = "ignore-paths")]
    ignore: Vec<OsString>,
    /// Hash a symbolic link as the file or directory inside the model that it points to
    #[arg(long, alias = "allow-symlinks")]
    follow_symlinks: bool,
    /// Sign .git, .gitignore, .gitattributes and .github, too, which are left out otherwise
    #[arg(long, alias = "no-ignore-git-paths")]
    include_git_paths: bool,
}

impl RecipeArguments {
    pub(crate) fn recipe(&self, model: &std::path::Path) -> Result<Recipe, Problem> {
        let mut recipe = Recipe {
            hash: HashAlgorithm::from_name(&self.hash).unwrap_or(HashAlgorithm::Sha256),
            method: self.shard_size.map_or(Method::Files, Method::Shards),
            follow_symlinks: self.follow_symlinks,
            ..Recipe::default()
        };
        if self.include_git_paths {
            for name in bulla::model::GIT_PATHS {
                recipe.ignore.remove(name);
            }
        }
        recipe.ignore.extend(ignored(&self.ignore, model)?);
        Ok(recipe)
    }
}

/// Reads `--ignore` paths: from the model's root, or absolute inside the model.
pub(crate) fn ignored(
    paths: &[OsString],
    model: &std::path::Path,
) -> Result<Vec<ModelPath>, Problem> {
    self::paths("--ignore", paths, model)
}

/// Reads the paths of a flag: from the model's root, or absolute inside the model.
pub(crate) fn paths(
    flag: &str,
    paths: &[OsString],
    model: &std::path::Path,
) -> Result<Vec<ModelPath>, Problem> {
    paths.iter().map(|path| path_in_model(flag, path, model)).collect()
}

fn path_in_model(flag: &str, given: &OsStr, model: &std::path::Path) -> Result<ModelPath, Problem> {
    let shown = bulla::Printable(&given.to_string_lossy()).to_string();
    let hint =
        format!("give it from the model's root, for example {flag} cache or {flag} logs/train.txt");
    let usage = |why: &str| Problem::usage(format!("{flag} {shown}: {why}"), hint.clone());
    let path = PathBuf::from(given);
    let relative = if path.is_absolute() {
        let root = model.canonicalize().unwrap_or_else(|_| model.to_path_buf());
        let inside = path.strip_prefix(&root).or_else(|_| path.strip_prefix(model));
        inside.map(PathBuf::from).map_err(|_| usage("it is outside the model"))?
    } else {
        path
    };
    let text = relative.to_str().ok_or_else(|| usage("it is not UTF-8"))?;
    let text = text.strip_prefix("./").unwrap_or(text).trim_end_matches('/');
    if text.contains(['*', '?', '[']) {
        return Err(usage("patterns are not allowed, a signature can only name exact paths"));
    }
    ModelPath::parse(text).map_err(|why| usage(&why.to_string()))
}

fn shard_size(text: &str) -> Result<NonZeroU64, String> {
    if text == "default" {
        return NonZeroU64::new(DEFAULT_SHARD_SIZE).ok_or_else(String::new);
    }
    byte_size(text).and_then(|n| NonZeroU64::new(n).ok_or_else(|| "it must be at least 1".into()))
}

/// A number of bytes: `1000`, `64MiB`, `1GB`.
pub(crate) fn byte_size(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1000 * 1000,
        "g" | "gb" => 1000 * 1000 * 1000,
        "ki" | "kib" => 1 << 10,
        "mi" | "mib" => 1 << 20,
        "gi" | "gib" => 1 << 30,
        _ => return Err("expected bytes, for example 1000000, 64MiB or 1GB".into()),
    };
    let number: u64 =
        number.parse().map_err(|_| "expected bytes, for example 1000000, 64MiB or 1GB")?;
    number.checked_mul(factor).ok_or_else(|| "it is too large".into())
}

/// `K/N`
pub(crate) fn part(text: &str) -> Result<bulla::model::Part, String> {
    bulla::model::Part::parse(text)
}

/// How much is done at once, and how much is read.
#[derive(Debug, Args)]
pub(crate) struct WorkArguments {
    /// Threads that hash [default: one for each core]
    #[arg(long, value_name = "N", help_heading = "Work")]
    threads: Option<NonZeroUsize>,
    /// Leave the page cache as it was: drop what was read from the disk once it has been hashed
    #[cfg(target_os = "linux")] // elsewhere it would do nothing
    #[arg(long, help_heading = "Work")]
    no_page_cache: bool,
    /// Largest signature file that is written or read
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = byte_size)]
    #[arg(help_heading = "Work")]
    max_bundle_size: u64,
    /// Most bytes that a model's files may have together [default: any number]
    #[arg(long, value_name = "BYTES", value_parser = byte_size, help_heading = "Work")]
    max_model_size: Option<u64>,
}

impl WorkArguments {
    pub(crate) fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        limits.bundle_bytes = self.max_bundle_size;
        limits.model_bytes = self.max_model_size.unwrap_or(u64::MAX);
        limits
    }

    pub(crate) fn work<'a>(&self, progress: &'a dyn bulla::Progress) -> Work<'a> {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let mut work = Work::new(self.threads.unwrap_or_else(cores)).progress(progress);
        #[cfg(target_os = "linux")]
        if self.no_page_cache {
            work = work.spare_page_cache();
        }
        // Where files cannot be mapped they are read.
        if let Ok(mapper) = bulla::Mapper::install() {
            work = work.map_files(mapper);
        }
        work
    }
}

/// Where the password of a private key comes from.
#[derive(Debug, Args)]
pub(crate) struct PasswordArguments {
    /// Read the private key's password from a file [else BULLA_PASSWORD, COSIGN_PASSWORD, a prompt]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) password_file: Option<PathBuf>,
}

/// Reads the command line; ends the program if there is nothing to do.
pub(crate) fn parse() -> Cli {
    let given: Vec<OsString> = with_hyphens(std::env::args_os()).collect();
    if let Some(word) = word_of_model_signing(&given) {
        let command = given.get(1).map(|c| c.to_string_lossy()).unwrap_or_default();
        eprintln!("error: 'bulla {command}' takes a model, and there is none named '{word}'");
        eprintln!(
            "hint: leave the word '{word}' out: the flags tell how it is signed (docs/migration.md)"
        );
        std::process::exit(2);
    }
    let error = match Cli::try_parse_from(&given) {
        Ok(cli) => return cli,
        Err(error) => error,
    };
    if !error.use_stderr() {
        error.exit(); // help and version
    }
    // The message repeats what was given, and a hostile directory may have given it (`bulla verify *`).
    let harmless = given
        .iter()
        .map(|argument| OsString::from(bulla::Printable(&argument.to_string_lossy()).to_string()));
    match Cli::try_parse_from(harmless) {
        Err(harmless) => harmless.exit(),
        Ok(_) => {
            eprintln!(
                "error: the arguments are not valid text; for more information, try '--help'"
            );
            std::process::exit(error.exit_code())
        }
    }
}

/// The subcommand of `model_signing sign key MODEL …`, which has no counterpart.
fn word_of_model_signing(given: &[OsString]) -> Option<&'static str> {
    let [_, command, word, _, ..] = given else { return None };
    let words = ["key", "certificate", "sigstore", "pkcs11-key", "pkcs11-certificate"];
    let command = command == "sign" || command == "verify";
    words.into_iter().find(|known| command && word == known && !std::path::Path::new(word).exists())
}

/// Underscores in the names of flags read as hyphens, for model_signing 1.1.1 spells them so.
pub(crate) fn with_hyphens(
    arguments: impl Iterator<Item = OsString>,
) -> impl Iterator<Item = OsString> {
    let mut only_values = false;
    arguments.map(move |argument| {
        only_values |= argument == "--";
        match argument.to_str() {
            Some(text) if !only_values && text.starts_with("--") => {
                let (name, value) = match text.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (text, None),
                };
                let name = name.replace('_', "-");
                value.map_or_else(|| name.clone().into(), |value| format!("{name}={value}").into())
            }
            _ => argument,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes() {
        assert_eq!(byte_size("64MiB"), Ok(64 << 20));
        assert_eq!(byte_size("1gb"), Ok(1_000_000_000));
        assert_eq!(byte_size("17"), Ok(17));
        assert!(byte_size("").is_err());
        assert!(byte_size("-1").is_err());
        assert!(byte_size("1 parsec").is_err());
        assert!(byte_size("99999999999GiB").is_err());
        assert!(shard_size("0").is_err());
    }

    #[test]
    fn flags_with_underscores() {
        let given = ["bulla", "--private_key=a_b", "--public_key", "a_b", "--", "--x_y"];
        let read: Vec<OsString> = with_hyphens(given.iter().map(OsString::from)).collect();
        assert_eq!(read, ["bulla", "--private-key=a_b", "--public-key", "a_b", "--", "--x_y"]);
    }
}
