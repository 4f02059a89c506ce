//! Pipelines and schedulers.

use bulla_provenance::environment::Pipeline;

use crate::common::{Machine, variables};

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
    check(&[("KFP_POD_NAME", "train-x")], "kubeflow", [None, None, Some("kubeflow:train-x"), None]);
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
