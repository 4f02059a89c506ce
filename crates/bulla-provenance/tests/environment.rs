//! What is gathered of an environment, from made-up machines and real repositories.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bulla_provenance::environment::{
    Environment, Git, Packages, Pipeline, Python, Sources, discover_python, gather,
};
use proptest::prelude::*;

/// A machine of which nothing is known, with the programs of this one in its `PATH`.
struct Machine {
    folder: tempfile::TempDir,
    sources: Sources,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut sources = Sources::machine(Vec::<(OsString, OsString)>::new());
        sources.root = folder.path().join("root");
        std::fs::create_dir(&sources.root).unwrap();
        sources.python = Python::Directories(Vec::new());
        sources.nvidia_smi = folder.path().join("no-nvidia-smi");
        sources.variables = variables(&[
            ("PATH", &std::env::var("PATH").unwrap()),
            ("HOME", folder.path().to_str().unwrap()),
            ("GIT_CONFIG_NOSYSTEM", "1"),
        ]);
        Self { folder, sources }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// A file below the root.
    fn file(&self, path: &str, text: impl AsRef<[u8]>) {
        write(&self.sources.root.join(path), text);
    }

    fn set(&mut self, given: &[(&str, &str)]) -> &mut Self {
        self.sources.variables.extend(variables(given));
        self
    }

    fn gather(&self) -> Environment {
        gather(&self.sources)
    }

    /// Why something is missing.
    fn notes(&self, about: &str) -> String {
        let notes = self.gather().notes;
        let texts = notes.into_iter().filter(|note| note.about == about).map(|note| note.text);
        texts.collect::<Vec<_>>().join("; ")
    }

    fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.path(name);
        write(&path, format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

fn write(path: &Path, text: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn variables(given: &[(&str, &str)]) -> BTreeMap<String, String> {
    given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn fifo(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
}

#[test]
fn nothing_is_known_of_an_empty_machine_and_that_is_said() {
    let machine = Machine::new();
    let environment = machine.gather();
    assert_eq!(environment.git, None);
    assert!(environment.ci.is_empty() && environment.packages.is_empty());
    assert_eq!(environment.hardware.cpu, None);
    assert_eq!(environment.container, None);
    for about in ["git", "os", "hardware", "gpu", "packages"] {
        assert!(!machine.notes(about).is_empty(), "{about}");
    }
    let json = serde_json::to_string(&environment).unwrap();
    assert_eq!(serde_json::from_str::<Environment>(&json).unwrap(), environment);
}

/// On whatever this runs on: it ends, and reads back.
#[test]
fn this_machine() {
    let mut sources = Sources::machine(std::env::vars_os());
    sources.source_directory = Some(env!("CARGO_MANIFEST_DIR").into());
    sources.packages = Packages::All;
    let environment = gather(&sources);
    let json = serde_json::to_string(&environment).unwrap();
    assert_eq!(serde_json::from_str::<Environment>(&json).unwrap(), environment);
    if cfg!(target_os = "linux") {
        assert!(environment.hardware.cpu.unwrap().count > 0);
        assert!(environment.hardware.memory_bytes.unwrap() > 1 << 20);
        assert!(environment.os.kernel.unwrap().starts_with("Linux "));
    }
}

mod git {
    use super::*;

    pub(super) struct Repository {
        pub(super) machine: Machine,
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

        pub(super) fn new() -> Self {
            let repository = Self::empty(&[]);
            repository.file("train.py", "print(1)\n");
            repository.commit();
            repository
        }

        fn commit(&self) {
            self.git(&["add", "--all"]);
            self.git(&["commit", "--quiet", "--message=x"]);
        }

        pub(super) fn git(&self, arguments: &[&str]) -> String {
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

        pub(super) fn state(&self) -> Git {
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
        assert_eq!(
            repository.state().repository.as_deref(),
            Some("ssh://example.com/fork/repo.git")
        );
    }

    #[test]
    fn no_credentials_of_a_remote() {
        let repository = Repository::new();
        repository.git(&["remote", "add", "origin", "x"]);
        for (address, kept) in [
            (
                "https://me:hunter2-secret@example.com/a?hunter2-secret",
                Some("https://example.com/a"),
            ),
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
        repository.git(&[
            "config",
            "url.https://me:hunter2-secret@example.com/.insteadOf",
            "short:",
        ]);
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
        assert!(
            machine.notes("git").contains("not in a git repository"),
            "{}",
            machine.notes("git")
        );
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
        repository.machine.sources.patience = Duration::from_millis(300);
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
        let loud =
            "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx >&2; done";
        repository.machine.sources.patience = Duration::from_millis(500);
        repository.machine.sources.git = repository.machine.program("loud-git", loud);
        assert!(repository.machine.notes("git").contains("too long"));
    }
}

mod ci {
    use super::*;

    fn only(given: &[(&str, &str)]) -> Pipeline {
        let mut machine = Machine::new();
        let mut ci = machine.set(given).gather().ci;
        assert_eq!(ci.len(), 1, "{ci:?}");
        ci.remove(0)
    }

    fn check(
        given: &[(&str, &str)],
        system: &str,
        [builder, pipeline, run, started_by]: [Option<&str>; 4],
    ) {
        let ci = only(given);
        assert_eq!(ci.system, system);
        assert_eq!(ci.builder_id.as_deref(), builder);
        assert_eq!(ci.pipeline_id.as_deref(), pipeline);
        assert_eq!(ci.run_id.as_deref(), run);
        assert_eq!(ci.started_by.as_deref(), started_by);
    }

    #[test]
    fn github_actions() {
        check(
            &[
                ("GITHUB_ACTIONS", "true"),
                ("GITHUB_SERVER_URL", "https://github.com"),
                ("GITHUB_REPOSITORY", "org/repo"),
                ("GITHUB_WORKFLOW_REF", "org/repo/.github/workflows/train.yml@refs/heads/main"),
                ("GITHUB_RUN_ID", "42"),
                ("GITHUB_RUN_ATTEMPT", "2"),
                ("GITHUB_ACTOR", "octocat"),
                ("RUNNER_ENVIRONMENT", "github-hosted"),
            ],
            "github-actions",
            [
                Some("https://github.com/actions/runner/github-hosted"),
                Some("https://github.com/org/repo/.github/workflows/train.yml@refs/heads/main"),
                Some("https://github.com/org/repo/actions/runs/42/attempts/2"),
                Some("octocat"),
            ],
        );
    }

    #[test]
    fn gitlab_ci() {
        let given = [
            ("GITLAB_CI", "true"),
            ("CI_PROJECT_URL", "https://gitlab.example/group/repo"),
            ("CI_CONFIG_PATH", ".gitlab-ci.yml"),
            ("CI_COMMIT_REF_NAME", "main"),
            ("CI_RUNNER_ID", "7"),
            ("CI_JOB_URL", "https://gitlab.example/group/repo/-/jobs/9"),
            ("GITLAB_USER_LOGIN", "someone"),
            ("GITLAB_USER_EMAIL", "someone@example.com"),
        ];
        check(
            &given,
            "gitlab-ci",
            [
                Some("https://gitlab.example/group/repo/-/runners/7"),
                Some("https://gitlab.example/group/repo//.gitlab-ci.yml@refs/heads/main"),
                Some("https://gitlab.example/group/repo/-/jobs/9"),
                Some("someone"),
            ],
        );
        let tagged = only(&[&given[..], &[("CI_COMMIT_TAG", "v1")]].concat());
        assert!(tagged.pipeline_id.unwrap().ends_with("@refs/tags/v1"));
    }

    #[test]
    fn jenkins() {
        check(
            &[
                ("JENKINS_URL", "https://me:pw@ci.example/jenkins/"),
                ("JOB_URL", "https://ci.example/jenkins/job/train/"),
                ("BUILD_URL", "https://ci.example/jenkins/job/train/7/"),
                ("GIT_URL", "git@example.com:org/repo.git"),
            ],
            "jenkins",
            [
                Some("https://ci.example/jenkins/"),
                Some("https://ci.example/jenkins/job/train/"),
                Some("https://ci.example/jenkins/job/train/7/"),
                None,
            ],
        );
    }

    #[test]
    fn buildkite() {
        check(
            &[
                ("BUILDKITE", "true"),
                ("BUILDKITE_ORGANIZATION_SLUG", "org"),
                ("BUILDKITE_PIPELINE_SLUG", "train"),
                ("BUILDKITE_BUILD_URL", "https://buildkite.com/org/train/builds/3"),
                ("BUILDKITE_JOB_ID", "0190"),
            ],
            "buildkite",
            [
                Some("https://buildkite.com/org"),
                Some("https://buildkite.com/org/train"),
                Some("https://buildkite.com/org/train/builds/3#0190"),
                None,
            ],
        );
    }

    #[test]
    fn circleci() {
        check(
            &[
                ("CIRCLECI", "true"),
                ("CIRCLE_PROJECT_USERNAME", "org"),
                ("CIRCLE_PROJECT_REPONAME", "repo"),
                ("CIRCLE_BUILD_URL", "https://circleci.com/gh/org/repo/5"),
                ("CIRCLE_USERNAME", "octocat"),
            ],
            "circleci",
            [
                Some("https://circleci.com"),
                Some("org/repo"),
                Some("https://circleci.com/gh/org/repo/5"),
                Some("octocat"),
            ],
        );
    }

    #[test]
    fn azure_pipelines() {
        check(
            &[
                ("TF_BUILD", "True"),
                ("SYSTEM_COLLECTIONURI", "https://dev.azure.com/org/"),
                ("SYSTEM_TEAMPROJECT", "My Project"),
                ("SYSTEM_DEFINITIONID", "4"),
                ("BUILD_BUILDID", "99"),
                ("BUILD_REQUESTEDFOR", "Some Person"),
                ("BUILD_REQUESTEDFOREMAIL", "some@example.com"),
            ],
            "azure-pipelines",
            [
                Some("https://dev.azure.com/org/"),
                Some("https://dev.azure.com/org/My%20Project/_build?definitionId=4"),
                Some("https://dev.azure.com/org/My%20Project/_build/results?buildId=99"),
                None,
            ],
        );
    }

    #[test]
    fn airflow() {
        let given = [
            ("AIRFLOW_CTX_DAG_ID", "train"),
            ("AIRFLOW_CTX_DAG_RUN_ID", "manual__2026-11-20T12:00:00+00:00"),
            ("AIRFLOW_CTX_TASK_ID", "fit"),
            ("AIRFLOW_CTX_DAG_EMAIL", "someone@example.com"),
        ];
        let run = "manual__2026-11-20T12%3A00%3A00%2B00%3A00";
        check(
            &given,
            "airflow",
            [None, Some("airflow:train"), Some(&format!("airflow:train/{run}/fit")), None],
        );
        let base = [("AIRFLOW__API__BASE_URL", "https://airflow.example/")];
        check(
            &[&given[..], &base].concat(),
            "airflow",
            [
                Some("https://airflow.example"),
                Some("https://airflow.example/dags/train"),
                Some(&format!("https://airflow.example/dags/train/runs/{run}/tasks/fit")),
                None,
            ],
        );
    }

    #[test]
    fn kubeflow_and_argo() {
        check(
            &[("KFP_RUN_ID", "11-22"), ("KFP_POD_NAME", "train-x")],
            "kubeflow",
            [None, None, Some("kubeflow:11-22/train-x"), None],
        );
        check(
            &[("KFP_POD_NAME", "train-x")],
            "kubeflow",
            [None, None, Some("kubeflow:train-x"), None],
        );
        check(
            &[
                ("ARGO_WORKFLOW_NAME", "train"),
                ("ARGO_NODE_ID", "train-12"),
                ("ARGO_TEMPLATE", r#"{"args":"--password hunter2"}"#),
            ],
            "argo",
            [None, Some("train"), Some("argo:train/train-12"), None],
        );
    }

    #[test]
    fn sagemaker() {
        let arn = "arn:aws:sagemaker:eu-west-1:123456789012:training-job/train";
        check(
            &[("TRAINING_JOB_ARN", arn), ("AWS_REGION", "eu-west-1"), ("SM_HPS", "{}")],
            "sagemaker",
            [Some("https://sagemaker.eu-west-1.amazonaws.com"), None, Some(arn), None],
        );
    }

    #[test]
    fn slurm() {
        check(
            &[
                ("SLURM_JOB_ID", "77"),
                ("SLURM_CLUSTER_NAME", "alpha"),
                ("SLURM_JOB_NAME", "train"),
                ("SLURM_JOB_USER", "me"),
            ],
            "slurm",
            [Some("slurm:alpha"), Some("train"), Some("slurm:alpha/77"), None],
        );
    }

    #[test]
    fn a_scheduler_inside_of_a_pipeline() {
        let mut machine = Machine::new();
        machine.set(&[("SLURM_JOB_ID", "77"), ("GITLAB_CI", "true"), ("GITHUB_ACTIONS", "false")]);
        let systems: Vec<_> = machine.gather().ci.into_iter().map(|ci| ci.system).collect();
        assert_eq!(systems, ["gitlab-ci", "slurm"]);
    }

    #[test]
    fn a_variable_that_is_not_what_it_is_called_is_left_out() {
        let mut machine = Machine::new();
        machine.set(&[
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_SERVER_URL", "javascript:alert(1)"),
            ("GITHUB_REPOSITORY", "org/repo\n::add-mask::"),
            ("GITHUB_ACTOR", "\u{1b}[31mme"),
            ("GITHUB_RUN_ID", &"9".repeat(10_000)),
            ("GITHUB_JOB", "train"),
        ]);
        let ci = machine.gather().ci.remove(0);
        assert_eq!(ci.variables, variables(&[("GITHUB_JOB", "train")]));
        assert_eq!((ci.run_id, ci.started_by), (None, None));
        for name in ["GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_ACTOR", "GITHUB_RUN_ID"] {
            assert!(machine.notes("ci").contains(name), "{name}");
        }
    }
}

/// Variables that hold secrets, on systems where they do.
#[rustfmt::skip]
const SECRET_VARIABLES: [&str; 62] = [
    "GITHUB_TOKEN", "ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_CACHE_URL", "CI_JOB_TOKEN", "CI_BUILD_TOKEN",
    "CI_REGISTRY_PASSWORD", "CI_DEPLOY_PASSWORD", "CI_REPOSITORY_URL", "CI_JOB_JWT",
    "CI_JOB_JWT_V2", "CI_DEPENDENCY_PROXY_PASSWORD", "SIGSTORE_ID_TOKEN",
    "BUILDKITE_AGENT_ACCESS_TOKEN", "BUILDKITE_BUILD_CREATOR_EMAIL", "CIRCLE_OIDC_TOKEN",
    "CIRCLE_OIDC_TOKEN_V2", "SYSTEM_ACCESSTOKEN", "AZURE_CLIENT_SECRET", "ARM_CLIENT_SECRET",
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "GOOGLE_APPLICATION_CREDENTIALS", "GCP_SA_KEY",
    "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACEHUB_API_TOKEN", "WANDB_API_KEY",
    "COMET_API_KEY", "NEPTUNE_API_TOKEN", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN",
    "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "COSIGN_PASSWORD", "BULLA_PASSWORD", "DATABASE_URL",
    "REDIS_URL", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__WEBSERVER__SECRET_KEY", "AIRFLOW_CONN_DB", "SSH_PRIVATE_KEY", "NPM_TOKEN",
    "PIP_INDEX_URL", "UV_INDEX_URL", "http_proxy", "HTTPS_PROXY", "DOCKER_AUTH_CONFIG",
    "SENTRY_DSN", "SLACK_WEBHOOK_URL", "VAULT_TOKEN", "KUBECONFIG_DATA", "PGPASSWORD",
    "MYSQL_PWD", "GPG_PASSPHRASE", "SM_HPS", "SM_TRAINING_ENV", "ARGO_TEMPLATE",
];

#[test]
fn no_byte_of_any_secret() {
    let repository = git::Repository::new();
    repository.git(&[
        "remote",
        "add",
        "origin",
        "https://oauth2:S3CRET-remote@example.com/org/repo?private_token=S3CRET-remote",
    ]);
    let mut machine = repository.machine;
    // 1. Variables that hold secrets.
    for (i, name) in SECRET_VARIABLES.iter().enumerate() {
        machine.set(&[(name, &format!("S3CRET-{i:03}-value"))]);
    }
    machine.set(&[("ANYTHING", "postgres://user:hidden-S3CRET@db/x"), ("UNKNOWN", "S3CRET-x")]);
    // 2. Every system at once.
    machine.set(&[
        ("GITHUB_ACTIONS", "true"),
        ("GITLAB_CI", "true"),
        ("BUILDKITE", "true"),
        ("CIRCLECI", "true"),
        ("TF_BUILD", "True"),
        ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
    ]);
    // 3. Secrets where none belongs.
    let address = "https://user:S3CRET-in-url@ci.example/S/x?token=S3CRET-in-url#S3CRET-in-url";
    let names = "GITHUB_SERVER_URL CI_PROJECT_URL CI_JOB_URL CI_PIPELINE_URL JENKINS_URL \
        JOB_URL BUILD_URL GIT_URL BUILDKITE_BUILD_URL BUILDKITE_REPO \
        CIRCLE_BUILD_URL CIRCLE_REPOSITORY_URL SYSTEM_COLLECTIONURI \
        BUILD_REPOSITORY_URI AIRFLOW__API__BASE_URL AIRFLOW__WEBSERVER__BASE_URL \
        CI_SERVER_URL GITHUB_WORKFLOW SLURM_JOB_NAME KFP_RUN_NAME";
    for name in names.split_whitespace() {
        machine.set(&[(name, address)]);
    }
    machine.set(&[
        ("GITHUB_REPOSITORY", "S3CRET-000-value"),
        ("GITHUB_WORKFLOW_REF", "org/S3CRET-003-value/x@refs/heads/main"),
        ("AIRFLOW_CTX_DAG_ID", "dag?password=S3CRET-query"),
        ("AIRFLOW_CTX_TASK_ID", "user:S3CRET-pair@host"),
        ("SLURM_JOB_ID", "hidden-S3CRET"),
        ("TRAINING_JOB_ARN", "arn:S3CRET-021-value"),
        ("KFP_RUN_ID", "S3CRET-007-value"),
        ("BULLA_CONTAINER_IMAGE", "user:S3CRET-in-image@registry.example/x"),
        ("CUDA_VERSION", "S3CRET-cuda"),
    ]);
    machine.file("run/.containerenv", "engine=\"podman\"\nname=\"S3CRET-name\"\nid=\"S3CRET\"\n");
    machine.file("etc/os-release", "ID=debian\nS3CRET=S3CRET\n");
    machine.file("proc/driver/nvidia/gpus/0/information", "Model: T4\nGPU UUID: GPU-S3CRET\n");
    machine.file("proc/1/environ", "S3CRET=S3CRET");
    let environment = machine.gather();
    assert!(environment.ci.len() >= 8, "{environment:?}");
    assert!(environment.git.as_ref().unwrap().repository.is_some());
    assert!(environment.container.is_some());
    let json = serde_json::to_string_pretty(&environment).unwrap();
    if let Some(at) = json.find("S3CRET") {
        panic!("…{}…", &json[at.saturating_sub(80)..(at + 40).min(json.len())]);
    }
    assert!(!json.contains("CRET"), "{json}");
    // So that the test can fail: what is no secret is there.
    assert!(json.contains("https://ci.example/S/x"));
}

mod machine {
    use super::*;

    #[test]
    fn an_x86_server() {
        let machine = Machine::new();
        let one = "processor\t: 0\nmodel name\t: AMD EPYC 7763 64-Core Processor\n\n";
        machine.file("proc/cpuinfo", one.repeat(3));
        machine.file("proc/meminfo", "MemTotal:       65831432 kB\nMemFree: 1 kB\n");
        machine.file("proc/sys/kernel/ostype", "Linux\n");
        machine.file("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n");
        machine.file("proc/sys/kernel/arch", "x86_64\n");
        machine.file(
            "etc/os-release",
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID='12'\nID=debian\n",
        );
        let environment = machine.gather();
        let cpu = environment.hardware.cpu.unwrap();
        assert_eq!(cpu.model.as_deref(), Some("AMD EPYC 7763 64-Core Processor"));
        assert_eq!(cpu.count, 3);
        assert_eq!(environment.hardware.memory_bytes, Some(65_831_432 * 1024));
        assert_eq!(environment.hardware.architecture, "x86_64");
        assert_eq!(environment.os.name.as_deref(), Some("Debian GNU/Linux 12 (bookworm)"));
        assert_eq!(environment.os.id.as_deref(), Some("debian"));
        assert_eq!(environment.os.version.as_deref(), Some("12"));
        assert_eq!(environment.os.kernel.as_deref(), Some("Linux 6.1.0-18-amd64"));
    }

    #[test]
    fn an_arm_server() {
        let machine = Machine::new();
        let one = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n\n";
        machine.file("proc/cpuinfo", one.repeat(2));
        let cpu = machine.gather().hardware.cpu.unwrap();
        assert_eq!((cpu.model.as_deref(), cpu.count), (Some("Neoverse-N1"), 2));
    }

    /// Whatever lies in the place of a file: it is not waited for, and not believed.
    #[test]
    fn something_else_in_the_place_of_a_file() {
        let machine = Machine::new();
        let root = machine.sources.root.clone();
        fifo(&root.join("proc/cpuinfo"));
        // One with something in it, too.
        let both =
            std::fs::OpenOptions::new().read(true).write(true).open(root.join("proc/cpuinfo"));
        std::io::Write::write_all(&mut both.as_ref().unwrap(), b"processor\t: 0\n").unwrap();
        fifo(&root.join("etc/os-release"));
        std::fs::create_dir_all(root.join("proc/meminfo")).unwrap();
        symlink("containerenv", root.join("x")).unwrap();
        std::fs::create_dir_all(root.join("run")).unwrap();
        symlink(".containerenv", root.join("run/.containerenv")).unwrap();
        machine.file("proc/sys/kernel/osrelease", "6.1\u{1b}[31m\n");
        machine.file("proc/driver/nvidia/version", vec![0xff; 1 << 20]);
        let environment = machine.gather();
        assert_eq!(environment.hardware.cpu, None);
        assert_eq!(environment.hardware.memory_bytes, None);
        assert_eq!(environment.os, Default::default());
        assert_eq!(environment.container, None);
    }

    #[test]
    fn nvidia_as_its_program_tells() {
        let mut machine = Machine::new();
        machine.file(
            "proc/driver/nvidia/version",
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.14  Release Build\n",
        );
        machine.file("usr/local/cuda/version.json", r#"{"cuda":{"name":"x","version":"12.4.1"}}"#);
        machine.sources.nvidia_smi = machine.program(
            "nvidia-smi",
            r#"if [ $# = 0 ]; then
                 echo '| NVIDIA-SMI 550.54.14   Driver Version: 550.54.14   CUDA Version: 12.5  |'
               else
                 echo 'NVIDIA A100-SXM4-80GB, 550.54.14, 81920 MiB'
                 echo 'NVIDIA A100-SXM4-80GB, 550.54.14, 81920 MiB'
                 echo 'NVIDIA T4, 550.54.14, [N/A]'
               fi"#,
        );
        let all = machine.gather().hardware.accelerators;
        assert_eq!(all.nvidia_driver.as_deref(), Some("550.54.14"));
        assert_eq!(all.cuda.as_deref(), Some("12.4.1"));
        assert_eq!(all.cuda_of_driver.as_deref(), Some("12.5"));
        let gpus: Vec<_> =
            all.gpus.iter().map(|g| (g.model.as_str(), g.memory_bytes, g.count)).collect();
        assert_eq!(
            gpus,
            [("NVIDIA A100-SXM4-80GB", Some(81_920 << 20), 2), ("NVIDIA T4", None, 1)]
        );
    }

    #[test]
    fn nvidia_without_its_program() {
        let mut machine = Machine::new();
        machine.file(
            "proc/driver/nvidia/version",
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC\n",
        );
        for bus in ["0000:01:00.0", "0000:02:00.0"] {
            machine.file(
                &format!("proc/driver/nvidia/gpus/{bus}/information"),
                "Model: \t\t NVIDIA H100\nGPU UUID: \t GPU-11111111-2222\nBus Location: x\n",
            );
        }
        machine.set(&[("CUDA_VERSION", "12.1.0")]);
        let environment = machine.gather();
        let all = &environment.hardware.accelerators;
        assert_eq!(all.nvidia_driver.as_deref(), Some("535.104.05"));
        assert_eq!(all.cuda.as_deref(), Some("12.1.0"));
        assert_eq!((all.gpus[0].model.as_str(), all.gpus[0].count), ("NVIDIA H100", 2));
        assert!(!serde_json::to_string(&environment).unwrap().contains("11111111"));
        // A program that fails, or hangs, is a note.
        machine.sources.nvidia_smi = machine.program("broken-smi", "exit 9");
        assert!(machine.notes("gpu").contains("failed"));
        machine.sources.nvidia_smi = machine.program("slow-smi", "sleep 1000");
        machine.sources.patience = Duration::from_millis(200);
        assert!(machine.notes("gpu").contains("too long"));
        assert_eq!(machine.gather().hardware.accelerators.gpus[0].count, 2);
    }

    #[test]
    fn amd() {
        let machine = Machine::new();
        let nodes = "sys/class/kfd/kfd/topology/nodes";
        machine.file(&format!("{nodes}/0/properties"), "cpu_cores_count 64\nsimd_count 0\n");
        for node in [1, 2] {
            machine.file(
                &format!("{nodes}/{node}/properties"),
                "simd_count 440\ngfx_target_version 90010\nunique_id 1234567890123\n",
            );
            machine.file(
                &format!("{nodes}/{node}/mem_banks/0/properties"),
                "heap_type 1\nsize_in_bytes 68702699520\n",
            );
        }
        machine.file("sys/module/amdgpu/version", "6.7.0\n");
        machine.file("opt/rocm/.info/version", "6.1.2-129\n");
        let environment = machine.gather();
        let all = &environment.hardware.accelerators;
        assert_eq!(all.gpus.len(), 1);
        assert_eq!((all.gpus[0].model.as_str(), all.gpus[0].count), ("gfx90a", 2));
        assert_eq!(all.gpus[0].memory_bytes, Some(68_702_699_520));
        assert_eq!(all.amdgpu_driver.as_deref(), Some("6.7.0"));
        assert_eq!(all.rocm.as_deref(), Some("6.1.2-129"));
        assert!(!serde_json::to_string(&environment).unwrap().contains("1234567890123"));
    }

    #[test]
    fn amd_cards_without_the_compute_driver() {
        let machine = Machine::new();
        let card = "sys/class/drm/card1/device";
        machine.file(&format!("{card}/vendor"), "0x1002\n");
        machine.file(&format!("{card}/product_name"), "Radeon Pro W6800\n");
        machine.file(&format!("{card}/mem_info_vram_total"), "34342961152\n");
        machine.file("sys/class/drm/card0/device/vendor", "0x8086\n");
        machine.file("sys/class/drm/card1-DP-1/device/vendor", "0x1002\n");
        let all = machine.gather().hardware.accelerators;
        assert_eq!(all.gpus.len(), 1);
        assert_eq!(all.gpus[0].model, "Radeon Pro W6800");
        assert_eq!(all.gpus[0].memory_bytes, Some(34_342_961_152));
    }
}

mod container {
    use super::*;

    #[test]
    fn each_engine() {
        for (file, text, engine) in [
            (".dockerenv", "", "docker"),
            ("run/.containerenv", "", "podman"),
            ("proc/1/cgroup", "12:cpu:/kubepods/burstable/pod1", "kubernetes"),
            ("proc/1/cgroup", "0::/docker/0123", "docker"),
        ] {
            let machine = Machine::new();
            machine.file(file, text);
            assert_eq!(machine.gather().container.unwrap().engine.as_deref(), Some(engine));
            assert!(machine.notes("container").contains("cannot see its image"));
        }
        let machine = Machine::new();
        machine.file("proc/1/cgroup", "0::/init.scope");
        assert_eq!(machine.gather().container, None);
    }

    #[test]
    fn images() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let image = format!("registry.example:5000/team/train@{digest}");
        let mut machine = Machine::new();
        machine.set(&[("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("BULLA_CONTAINER_IMAGE", &image)]);
        let container = machine.gather().container.unwrap();
        assert_eq!(container.engine.as_deref(), Some("kubernetes"));
        assert_eq!(container.image.as_deref(), Some(image.as_str()));
        assert_eq!(container.image_digest.as_deref(), Some(digest.as_str()));
        assert_eq!(machine.notes("container"), "");
        // The caller knows best.
        machine.sources.container_image = Some("other:1".into());
        assert_eq!(machine.gather().container.unwrap().image.as_deref(), Some("other:1"));
        assert!(machine.notes("container").contains("without a digest"));
    }

    #[test]
    fn podman_tells_its_image() {
        let machine = Machine::new();
        let id = "cd".repeat(32);
        machine.file(
            "run/.containerenv",
            format!(
                "engine=\"podman-4.3.1\"\nname=\"me\"\nimage=\"docker.io/library/python:3.12\"\nimageid=\"{id}\"\n"
            ),
        );
        let container = machine.gather().container.unwrap();
        assert_eq!(container.image.as_deref(), Some("docker.io/library/python:3.12"));
        assert_eq!(container.image_id, Some(format!("sha256:{id}")));
        assert_eq!(container.image_digest, None);
    }
}

mod packages {
    use super::*;

    fn site(machine: &mut Machine) -> PathBuf {
        let site = machine.path("site-packages");
        std::fs::create_dir_all(&site).unwrap();
        machine.sources.python = Python::Directories(vec![site.clone()]);
        site
    }

    fn install(site: &Path, name: &str, version: &str) {
        let directory = format!("{}-{version}.dist-info", name.replace('-', "_"));
        let text = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: no\n");
        write(&site.join(directory).join("METADATA"), text);
    }

    fn listed(machine: &Machine) -> Vec<(String, String)> {
        machine.gather().packages.into_iter().map(|p| (p.name, p.version)).collect()
    }

    fn names(machine: &Machine) -> Vec<String> {
        listed(machine).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn frameworks_or_all() {
        let mut machine = Machine::new();
        let site = site(&mut machine);
        install(&site, "torch", "2.3.1+cu121");
        install(&site, "Scikit_Learn", "1.5.0");
        install(&site, "internal-tool", "0.1");
        write(&site.join("numpy-1.26.4.egg-info"), "Name: numpy\nVersion: 1.26.4\n");
        write(&site.join("jax-0.4.egg-info/PKG-INFO"), "Name: jax\r\nVersion: 0.4\r\n\r\n");
        let pairs = listed(&machine);
        let pairs: Vec<_> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("jax", "0.4"),
                ("numpy", "1.26.4"),
                ("scikit-learn", "1.5.0"),
                ("torch", "2.3.1+cu121")
            ]
        );
        machine.sources.packages = Packages::All;
        assert!(names(&machine).contains(&"internal-tool".to_owned()));
        machine.sources.packages = Packages::None;
        assert!(names(&machine).is_empty());
    }

    #[test]
    fn the_first_directory_wins() {
        let mut machine = Machine::new();
        let (first, second) = (machine.path("first"), machine.path("second"));
        install(&first, "torch", "2.0");
        install(&second, "torch", "1.0");
        machine.sources.python = Python::Directories(vec![first, second]);
        assert_eq!(listed(&machine), [("torch".to_owned(), "2.0".to_owned())]);
    }

    #[test]
    fn hostile_metadata() {
        let mut machine = Machine::new();
        let site = site(&mut machine);
        install(&site, "numpy", "1.0");
        let bad: [(&str, &[u8]); 8] = [
            ("torch-1", b""),
            ("jax-1", b"\nName: jax\nVersion: 1\n"),
            ("trl-1", b"Name: trl\nVersion: 1\x1b[31m\n"),
            ("peft-1", b"Name: ../peft\nVersion: 1\n"),
            ("timm-1", b"Name: timm\nVersion: https://u:p@h/x\n"),
            ("onnx-1", &[0xff; 300_000]),
            ("ray-1", b"Name: ray\n"),
            ("flax-1", b"Name: flax"),
        ];
        for (name, text) in bad {
            write(&site.join(format!("{name}.dist-info/METADATA")), text);
        }
        let endless = [b"Name: ".as_slice(), &vec![b'x'; 1 << 20]].concat();
        write(&site.join("keras-1.dist-info/METADATA"), endless);
        fifo(&site.join("scipy-1.dist-info/METADATA"));
        let loops = site.join("pandas-1.dist-info");
        std::fs::create_dir(&loops).unwrap();
        symlink("METADATA", loops.join("METADATA")).unwrap();
        symlink(&site, site.join("datasets-1.dist-info")).unwrap();
        symlink("/dev/zero", site.join("tokenizers-1.egg-info")).unwrap();
        assert_eq!(names(&machine), ["numpy"]);
        assert!(machine.notes("packages").contains(": 13"), "{}", machine.notes("packages"));
        // Another name inside than outside cannot get in where only frameworks are asked for.
        write(&site.join("xgboost-1.dist-info/METADATA"), "Name: mine\nVersion: 1\n");
        assert_eq!(names(&machine), ["numpy"]);
    }

    #[test]
    fn where_python_looks() {
        let machine = Machine::new();
        let folder = |path: &str| {
            let path = machine.path(path);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        // 1. A virtual environment that is active.
        let site = folder("venv/lib/python3.12/site-packages");
        symlink("lib", machine.path("venv/lib64")).unwrap();
        let given = variables(&[("VIRTUAL_ENV", &text(&machine.path("venv")))]);
        assert_eq!(discover_python(&given), std::slice::from_ref(&site));
        // 2. Conda's.
        let conda = folder("conda/lib/python3.11/site-packages");
        folder("conda/lib/python2.7/site-packages");
        let given = variables(&[("CONDA_PREFIX", &text(&machine.path("conda")))]);
        assert_eq!(discover_python(&given), [conda]);
        // 3. The first python3 in PATH, which is a virtual environment's.
        write(&machine.path("venv/pyvenv.cfg"), "home = /usr/bin\n");
        write(&machine.path("base/bin/python3.11"), "");
        let python = machine.path("base/bin/python3.11");
        std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
        folder("venv/bin");
        symlink(&python, machine.path("venv/bin/python3")).unwrap();
        let path = format!("{}:{}", text(&folder("empty")), text(&machine.path("venv/bin")));
        assert_eq!(discover_python(&variables(&[("PATH", &path)])), [site]);
        // 4. The system's, of the version that is meant.
        let base = folder("base/lib/python3.11/site-packages");
        let dist = folder("base/lib/python3/dist-packages");
        folder("base/lib/python3.9/site-packages");
        let user = folder("home/.local/lib/python3.11/site-packages");
        symlink("python3.11", machine.path("base/bin/python3")).unwrap();
        let given = variables(&[
            ("PATH", &text(&machine.path("base/bin"))),
            ("HOME", &text(&machine.path("home"))),
            ("PYTHONPATH", "/opt/extra:relative:"),
        ]);
        assert_eq!(discover_python(&given), [PathBuf::from("/opt/extra"), user, dist, base]);
        // 5. None.
        assert!(discover_python(&variables(&[("PATH", &text(&folder("empty")))])).is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_files_and_variables_say(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        value in any::<String>(),
    ) {
        let mut machine = Machine::new();
        machine.sources.git = "/no/git".into();
        let names = "proc/cpuinfo proc/meminfo proc/driver/nvidia/version etc/os-release \
            run/.containerenv usr/local/cuda/version.json proc/1/cgroup \
            proc/driver/nvidia/gpus/0/information proc/sys/kernel/osrelease \
            sys/class/kfd/kfd/topology/nodes/0/properties \
            sys/class/drm/card0/device/vendor";
        for file in names.split_whitespace() {
            machine.file(file, &bytes);
        }
        for name in ["GITHUB_ACTIONS", "GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "JENKINS_URL",
            "AIRFLOW_CTX_DAG_ID", "SLURM_JOB_ID", "BULLA_CONTAINER_IMAGE", "CUDA_VERSION",
            "PYTHONPATH", "X_TOKEN"] {
            machine.set(&[(name, &value)]);
        }
        machine.sources.python = Python::Discover;
        let json = serde_json::to_string(&machine.gather()).unwrap();
        let hides = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
        prop_assert!(!json.chars().any(hides));
    }
}
