//! What is gathered of an environment, from made-up machines and real repositories.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod ci;
mod common;
mod container;
mod git;
mod machine;
mod packages;

use bulla_provenance::environment::{Environment, Packages, Python, Sources, gather};
use proptest::prelude::*;

use crate::common::Machine;

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
