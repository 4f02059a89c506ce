//! The commit of the training code.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use bulla_provenance::environment::Git;

use crate::common::{Machine, write};

pub(crate) struct Repository {
    pub(crate) machine: Machine,
    directory: PathBuf,
}

impl Repository {
    fn empty(arguments: &[&str]) -> Self {
        let mut machine = Machine::new();
        let directory = machine.path("code");
        std::fs::create_dir(&directory).unwrap();
        machine.sources.source_directory = Some(directory.clone());
        let repository = Self { machine, directory };
        repository.git(&[&["init", "--quiet", "--initial-branch=main"], arguments].concat());
        repository
    }

    pub(crate) fn new() -> Self {
        let repository = Self::empty(&[]);
        repository.file("train.py", "print(1)\n");
        repository.commit();
        repository
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message=x"]);
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(&self.directory)
            .env_clear()
            .envs(&self.machine.sources.variables)
            .env("GIT_AUTHOR_NAME", "A. U. Thor")
            .env("GIT_AUTHOR_EMAIL", "author@example.com")
            .env("GIT_COMMITTER_NAME", "A. U. Thor")
            .env("GIT_COMMITTER_EMAIL", "author@example.com")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn file(&self, path: &str, text: &str) {
        write(&self.directory.join(path), text);
    }

    pub(crate) fn state(&self) -> Git {
        let environment = self.machine.gather();
        environment.git.unwrap_or_else(|| panic!("{:?}", environment.notes))
    }
}

#[test]
fn a_clean_repository() {
    let repository = Repository::new();
    repository.git(&["remote", "add", "origin", "https://github.com/org/repo.git"]);
    let git = repository.state();
    assert_eq!(git.commit, repository.git(&["rev-parse", "HEAD"]));
    assert_eq!(git.reference.as_deref(), Some("refs/heads/main"));
    assert_eq!(git.repository.as_deref(), Some("https://github.com/org/repo.git"));
    assert_eq!((git.dirty, git.changed_files), (Some(false), Some(0)));
    // From a directory inside, too, which is of the whole.
    let mut inside = repository;
    inside.file("sub/file", "x");
    inside.machine.sources.source_directory = Some(inside.directory.join("sub"));
    assert_eq!(inside.state().changed_files, Some(1));
}

#[test]
fn what_is_not_as_committed_counts() {
    let repository = Repository::new();
    repository.file("new.py", "untracked");
    assert_eq!(repository.state().changed_files, Some(1));
    repository.file("train.py", "changed");
    let git = repository.state();
    assert_eq!((git.dirty, git.changed_files), (Some(true), Some(2)));
    repository.git(&["config", "status.showUntrackedFiles", "no"]);
    assert_eq!(repository.state().changed_files, Some(2), "whatever the user is shown");
    repository.commit();
    repository.git(&["mv", "train.py", "moved.py"]);
    assert_eq!(repository.state().changed_files, Some(2), "here and no longer there");
    repository.commit();
    repository.file(".gitignore", "*.bin\n");
    repository.commit();
    repository.file("weights.bin", "ignored");
    assert_eq!(repository.state().dirty, Some(false));
}

#[test]
fn a_tag_stands_for_a_commit_without_a_branch() {
    let repository = Repository::new();
    repository.git(&["checkout", "--quiet", "--detach"]);
    assert_eq!(repository.state().reference, None);
    repository.git(&["tag", "v1.0"]);
    assert_eq!(repository.state().reference.as_deref(), Some("refs/tags/v1.0"));
}

#[test]
fn sha_256_repositories() {
    let repository = Repository::empty(&["--object-format=sha256"]);
    repository.file("train.py", "1");
    repository.commit();
    assert_eq!(repository.state().commit.len(), 64);
}

#[test]
fn the_remote_of_the_branch_comes_first() {
    let repository = Repository::new();
    repository.git(&["remote", "add", "fork", "git@example.com:fork/repo.git"]);
    assert_eq!(
        repository.state().repository.as_deref(),
        Some("ssh://example.com/fork/repo.git"),
        "the only one"
    );
    repository.git(&["remote", "add", "origin", "https://example.com/origin"]);
    assert_eq!(repository.state().repository.as_deref(), Some("https://example.com/origin"));
    repository.git(&["config", "branch.main.remote", "fork"]);
    assert_eq!(repository.state().repository.as_deref(), Some("ssh://example.com/fork/repo.git"));
}

#[test]
fn no_credentials_of_a_remote() {
    let repository = Repository::new();
    repository.git(&["remote", "add", "origin", "x"]);
    for (address, kept) in [
        ("https://me:hunter2-secret@example.com/a?hunter2-secret", Some("https://example.com/a")),
        ("https://hunter2-secret@example.com/a#hunter2-secret", Some("https://example.com/a")),
        ("https://me:hunter2/-secret@example.com/a", None),
        ("/home/hunter2-secret/repo", None),
        ("file:///home/hunter2-secret/repo", None),
        ("ext::sh -c hunter2-secret", None),
    ] {
        repository.git(&["remote", "set-url", "origin", address]);
        assert_eq!(repository.state().repository.as_deref(), kept, "{address}");
        let json = serde_json::to_string(&repository.machine.gather()).unwrap();
        assert!(!json.contains("secret"), "{json}");
    }
    // Nor those that the owner's configuration adds.
    repository.git(&["remote", "set-url", "origin", "short:a"]);
    repository.git(&["config", "url.https://me:hunter2-secret@example.com/.insteadOf", "short:"]);
    assert_eq!(repository.state().repository.as_deref(), Some("https://example.com/a"));
}

#[test]
fn what_is_no_repository_is_a_note() {
    let mut machine = Machine::new();
    let plain = machine.path("plain");
    std::fs::create_dir(&plain).unwrap();
    let above = machine.folder.path().to_str().unwrap().to_owned();
    machine.set(&[("GIT_CEILING_DIRECTORIES", &above)]);
    assert!(machine.notes("git").contains("no directory"));
    machine.sources.source_directory = Some(plain);
    assert!(machine.notes("git").contains("not in a git repository"), "{}", machine.notes("git"));
    machine.sources.source_directory = Some(machine.path("nowhere"));
    assert!(machine.notes("git").contains("not there"));
    let mut repository = Repository::empty(&[]);
    assert!(repository.machine.notes("git").contains("no commit"));
    repository.machine.sources.source_directory = Some(repository.directory.join(".git"));
    assert!(repository.machine.notes("git").contains("git's own"));
    let bare = Repository::empty(&["--bare"]);
    assert!(bare.machine.notes("git").contains("no working tree"));
    let mut without = Repository::new();
    without.machine.sources.git = "no-such-git".into();
    assert!(without.machine.notes("git").contains("not installed"));
}

#[test]
fn somebody_else_s_repository() {
    let mut repository = Repository::new();
    let everything = ["", ".git"].map(|path| repository.directory.join(path));
    // Only root can give something away.
    if everything.iter().any(|path| std::os::unix::fs::chown(path, Some(4242), None).is_err()) {
        return;
    }
    assert!(repository.machine.notes("git").contains("safe.directory"));
    // What the owner of this process has decided counts.
    let setting = format!("[safe]\n\tdirectory = {}\n", repository.directory.display());
    write(&repository.machine.path(".gitconfig"), setting);
    assert_eq!(repository.state().dirty, Some(false));
    repository.machine.sources.variables.remove("HOME");
    assert!(repository.machine.gather().git.is_none());
}

/// What the repository's configuration, or the environment, would have started.
#[test]
fn nothing_is_started_and_nothing_is_locked() {
    let mut repository = Repository::new();
    let witness = repository.machine.path("witness");
    let script = format!("touch {}", witness.display());
    let hook = repository.machine.program("hook", &script);
    let hook = hook.to_str().unwrap().to_owned();
    for name in ["post-index-change", "reference-transaction", "post-checkout"] {
        let at = repository.directory.join(".git/hooks").join(name);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::copy(&hook, at).unwrap();
    }
    repository.git(&["config", "core.fsmonitor", &hook]);
    repository.git(&["config", "core.pager", &hook]);
    let _ = std::fs::remove_file(&witness);
    for (name, value) in [
        ("GIT_EXTERNAL_DIFF", hook.as_str()),
        ("GIT_PAGER", &hook),
        ("GIT_DIR", "/nowhere"),
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "core.fsmonitor"),
        ("GIT_CONFIG_VALUE_0", &hook),
    ] {
        repository.machine.set(&[(name, value)]);
    }
    // A stat that no longer fits would be written back to the index by a status that may.
    let index = std::fs::read(repository.directory.join(".git/index")).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    repository.file("train.py", "print(1)\n");
    assert_eq!(repository.state().dirty, Some(false));
    assert!(!witness.exists());
    assert_eq!(std::fs::read(repository.directory.join(".git/index")).unwrap(), index);
}

#[test]
fn programs_see_few_variables() {
    let mut repository = Repository::new();
    let seen = repository.machine.path("seen");
    let script = format!("env > {}", seen.display());
    repository.machine.sources.git = repository.machine.program("spy-git", &script);
    repository.machine.set(&[("HF_TOKEN", "S3CRET"), ("GIT_DIR", "/nowhere")]);
    repository.machine.gather();
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(seen.contains("GIT_OPTIONAL_LOCKS=0") && seen.contains("PATH="), "{seen}");
    // Of those given, and of this process's own, which cargo has set.
    for name in ["HF_TOKEN", "GIT_DIR", "CARGO_MANIFEST_DIR"] {
        assert!(!seen.contains(name), "{name}");
    }
}

#[test]
fn a_git_that_never_ends_or_never_stops() {
    let mut repository = Repository::new();
    repository.machine.sources.patience = Duration::from_secs(2);
    let pid = repository.machine.path("pid");
    let endless = format!("sleep 1000 & echo $! > {}\nwait", pid.display());
    repository.machine.sources.git = repository.machine.program("slow-git", &endless);
    let before = Instant::now();
    assert!(repository.machine.notes("git").contains("too long"));
    assert!(before.elapsed() < Duration::from_secs(20));
    // Nor does what it had started stay behind.
    let pid: i32 = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
    let gone = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    };
    while !gone() && before.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(gone(), "{pid} is still there");

    repository.machine.sources.patience = Duration::from_secs(20);
    let chatty = "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done";
    repository.machine.sources.git = repository.machine.program("chatty-git", chatty);
    assert!(repository.machine.notes("git").contains("cannot read"));
    let loud = "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx >&2; done";
    repository.machine.sources.patience = Duration::from_millis(500);
    repository.machine.sources.git = repository.machine.program("loud-git", loud);
    assert!(repository.machine.notes("git").contains("too long"));
}
