//! The commit of the training code, asked of `git`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::clean::{Cleaner, is_hex};
use super::program::{self, Said, Silent};
use super::{Notes, Sources, find_program};

const ABOUT: &str = "git";
/// Bytes of a list of changed files.
const STATUS_BYTES: usize = 16 << 20;
/// Bytes of any other answer.
const ANSWER_BYTES: usize = 64 << 10;

/// What `git` may see of the environment: where it is, whose it is, and the owner's configuration.
/// (`safe.directory` may be in any of the three, and stays as the user has it.)
#[rustfmt::skip]
const VARIABLES: [&str; 10] = [
    "HOME", "XDG_CONFIG_HOME", "PATH", "LD_LIBRARY_PATH", "SUDO_UID", "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_SYSTEM", "GIT_CONFIG_GLOBAL", "GIT_CEILING_DIRECTORIES",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM",
];
/// No locks (somebody may be working there), no questions, no network, words that we know.
const SETTINGS: [(&str, &str); 5] = [
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_ASKPASS", "/bin/false"),
    ("LC_ALL", "C"),
];
/// The repository's configuration starts no programs but its filters, without which nobody could
/// tell what has changed.
const FLAGS: [&str; 9] = [
    "--no-pager",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "protocol.allow=never",
    "-c",
    "submodule.recurse=false",
];

/// The state of the training code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Git {
    /// The repository's address, without user, password and query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The commit that is checked out: 40 or 64 hex digits.
    pub commit: String,
    /// `refs/heads/…` or `refs/tags/…`, if there is one for it.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Whether files differ from the commit; those that git does not know count. Absent if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dirty: Option<bool>,
    /// How many; a directory of which git knows no file is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_files: Option<u64>,
}

pub(super) fn git(sources: &Sources, cleaner: &Cleaner, notes: &mut Notes) -> Option<Git> {
    let Some(directory) = &sources.source_directory else {
        notes.add(ABOUT, "no directory of the training code was given");
        return None;
    };
    match look(sources, directory, cleaner, notes) {
        Ok(git) => Some(git),
        Err(why) => {
            notes.add(ABOUT, why);
            None
        }
    }
}

fn look(
    sources: &Sources,
    directory: &Path,
    cleaner: &Cleaner,
    notes: &mut Notes,
) -> Result<Git, &'static str> {
    if !directory.is_dir() {
        return Err("the directory of the training code is not there");
    }
    let Some(program) = find_program(&sources.git, &sources.variables) else {
        return Err("git is not installed");
    };
    let ask = |arguments: &[&str], cap| ask(sources, &program, directory, arguments, cap);
    let line = |arguments: &[&str]| {
        let said = ask(arguments, ANSWER_BYTES).ok().filter(|said| said.success)?;
        let text = String::from_utf8(said.output).ok()?;
        text.lines().next().filter(|line| !line.is_empty()).map(str::to_owned)
    };

    // 1. Is there a working tree?
    let place = ["rev-parse", "--is-inside-work-tree", "--is-bare-repository"];
    let place = ask(&place, ANSWER_BYTES).map_err(|silent| match silent {
        Silent::NotStarted => "git could not be started",
        Silent::TooSlow => "git took too long",
    })?;
    if !place.success {
        return Err(match place.error {
            e if e.contains("not a git repository") => {
                "the training code is not in a git repository"
            }
            e if e.contains("dubious ownership") => {
                "the repository belongs to somebody else, and git's safe.directory does not have it"
            }
            _ => "git cannot read the repository",
        });
    }
    match place.output.as_slice() {
        b"true\nfalse\n" => {}
        [.., b't', b'r', b'u', b'e', b'\n'] => return Err("the repository has no working tree"),
        _ => return Err("the directory is inside of git's own, not in a working tree"),
    }

    // 2. Which commit, and what is it called?
    let commit = line(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])
        .filter(|commit| is_hex(commit) && matches!(commit.len(), 40 | 64))
        .ok_or("the repository has no commit yet")?;
    let branch = line(&["symbolic-ref", "--quiet", "HEAD"]);
    let reference = branch
        .clone()
        .or_else(|| {
            let tags = ["for-each-ref", "--points-at=HEAD", "--format=%(refname)", "--count=1"];
            line(&[&tags[..], &["refs/tags"]].concat())
        })
        .and_then(|name| cleaner.text(&name))
        .filter(|name| name.starts_with("refs/"));

    // 3. Where from?
    let upstream = branch
        .as_deref()
        .and_then(|branch| branch.strip_prefix("refs/heads/"))
        .and_then(|branch| line(&["config", "--get", &format!("branch.{branch}.remote")]))
        .filter(|remote| remote != "." && !remote.starts_with('-'));
    let remote = upstream
        .and_then(|remote| line(&["remote", "get-url", "--", &remote]))
        .or_else(|| line(&["remote", "get-url", "--", "origin"]))
        .or_else(|| line(&["remote", "get-url", "--", &line(&["remote"])?]));
    let repository = remote.as_deref().and_then(|remote| cleaner.repository(remote));
    match (&remote, &repository) {
        (None, _) => notes.add(ABOUT, "the repository has no remote"),
        (Some(_), None) => {
            notes.add(
                ABOUT,
                "the remote's address was left out: it is not one that others can follow",
            );
        }
        _ => {}
    }

    // 4. Is it as committed?
    let status = [
        "status",
        "--porcelain=v2",
        "-z",
        "--untracked-files=normal",
        "--ignore-submodules=none",
        "--no-renames",
    ];
    let changed = match ask(&status, STATUS_BYTES) {
        Ok(Said { cut: true, output, .. }) => {
            notes.add(ABOUT, "more files have changed than were counted");
            Some(count(&output))
        }
        Ok(Said { success: true, output, .. }) => Some(count(&output)),
        Ok(_) | Err(_) => None,
    };
    if changed.is_none() {
        notes.add(ABOUT, "git could not tell whether files have changed");
    }
    Ok(Git { repository, commit, reference, dirty: changed.map(|n| n > 0), changed_files: changed })
}

/// Entries of `git status`. None is of a renamed file, which would be two.
fn count(status: &[u8]) -> u64 {
    status.split(|&b| b == 0).filter(|entry| !entry.is_empty()).count() as u64
}

fn ask(
    sources: &Sources,
    program: &Path,
    directory: &Path,
    arguments: &[&str],
    cap: usize,
) -> Result<Said, Silent> {
    let mut variables: BTreeMap<&str, &str> =
        VARIABLES.iter().filter_map(|name| Some((*name, sources.variable(name)?))).collect();
    variables.extend(SETTINGS);
    let arguments = [&FLAGS, arguments].concat();
    program::run(program, &arguments, Some(directory), &variables, cap, sources.patience)
}
