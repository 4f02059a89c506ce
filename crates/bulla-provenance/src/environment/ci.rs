//! The pipeline that a model is made in, read off the variables that each system sets.
//!
//! Each system has a list of variables, and only those are read. They are chosen to hold no secrets
//! and no personal data but the public name of who started the run; what they hold goes through
//! [`Cleaner`] all the same, for anybody can set any variable to anything.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::clean::{Cleaner, encode};
use super::{Notes, Sources};

const ABOUT: &str = "ci";

/// Variables with the address of a repository, which has a short form besides.
const REPOSITORIES: [&str; 4] =
    ["GIT_URL", "BUILDKITE_REPO", "CIRCLE_REPOSITORY_URL", "BUILD_REPOSITORY_URI"];

/// A run of a pipeline or of a scheduler's job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pipeline {
    /// `github-actions`, `gitlab-ci`, `jenkins`, `buildkite`, `circleci`, `azure-pipelines`,
    /// `airflow`, `kubeflow`, `argo`, `sagemaker` or `slurm`.
    pub system: String,
    /// A URI that could stand for whoever runs the pipeline (SLSA's `builder.id`). A suggestion:
    /// only a builder that signs can say who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builder_id: Option<String>,
    /// The pipeline's definition: an address, or a name within the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_id: Option<String>,
    /// This run of it, as a URI (SLSA's `invocationId`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The account that started it, where the system shows that to everybody who sees the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    /// The variables that all this was read from, and a few more.
    pub variables: BTreeMap<String, String>,
}

/// One system.
struct System {
    name: &'static str,
    /// Runs in it have one of these, with this value if one is given.
    signs: &'static [(&'static str, Option<&'static str>)],
    /// Their names, with spaces between them.
    variables: &'static str,
    ids: fn(&Seen) -> Ids,
}

/// The variables of a system that were there and were harmless.
struct Seen(BTreeMap<String, String>);

impl Seen {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A variable as a segment of a path.
    fn segment(&self, name: &str) -> Option<String> {
        self.get(name).map(encode)
    }

    /// An address without the slashes at its end.
    fn base(&self, name: &str) -> Option<&str> {
        self.get(name).map(|address| address.trim_end_matches('/'))
    }

    fn own(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }
}

#[derive(Default)]
struct Ids {
    builder: Option<String>,
    pipeline: Option<String>,
    run: Option<String>,
    started_by: Option<String>,
}

pub(super) fn pipelines(sources: &Sources, cleaner: &Cleaner, notes: &mut Notes) -> Vec<Pipeline> {
    let found = |(name, value): &(&str, Option<&str>)| {
        let there = sources.variable(name).filter(|there| !there.is_empty());
        there.is_some_and(|there| value.is_none_or(|value| there.eq_ignore_ascii_case(value)))
    };
    SYSTEMS
        .iter()
        .filter(|system| system.signs.iter().any(found))
        .map(|system| {
            let seen = Seen(see(system, sources, cleaner, notes));
            let ids = (system.ids)(&seen);
            Pipeline {
                system: system.name.into(),
                builder_id: ids.builder,
                pipeline_id: ids.pipeline,
                run_id: ids.run,
                started_by: ids.started_by,
                variables: seen.0,
            }
        })
        .collect()
}

fn see(
    system: &System,
    sources: &Sources,
    cleaner: &Cleaner,
    notes: &mut Notes,
) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    for name in system.variables.split_whitespace() {
        let Some(value) = sources.variable(name).filter(|value| !value.trim().is_empty()) else {
            continue;
        };
        // What is called an address has to be one.
        let clean = if REPOSITORIES.contains(&name) {
            cleaner.repository(value)
        } else if name.ends_with("URL") || name.ends_with("URI") {
            cleaner.address(value)
        } else {
            cleaner.text(value)
        };
        match clean {
            Some(value) => {
                seen.insert(name.to_owned(), value);
            }
            None => notes.add(
                ABOUT,
                format!("{name} was left out: it is not what it is called, or holds a secret"),
            ),
        }
    }
    seen
}

const SYSTEMS: [System; 11] = [
    System {
        name: "github-actions",
        signs: &[("GITHUB_ACTIONS", Some("true"))],
        variables: "GITHUB_SERVER_URL GITHUB_REPOSITORY GITHUB_REPOSITORY_ID GITHUB_WORKFLOW \
            GITHUB_WORKFLOW_REF GITHUB_WORKFLOW_SHA GITHUB_RUN_ID GITHUB_RUN_ATTEMPT \
            GITHUB_RUN_NUMBER GITHUB_JOB GITHUB_EVENT_NAME GITHUB_REF GITHUB_SHA GITHUB_ACTOR \
            RUNNER_ENVIRONMENT RUNNER_OS RUNNER_ARCH ImageOS ImageVersion",
        ids: github,
    },
    System {
        name: "gitlab-ci",
        signs: &[("GITLAB_CI", Some("true"))],
        variables: "CI_SERVER_URL CI_SERVER_VERSION CI_PROJECT_URL CI_PROJECT_PATH CI_PROJECT_ID \
            CI_CONFIG_PATH CI_PIPELINE_ID CI_PIPELINE_URL CI_PIPELINE_SOURCE CI_JOB_ID \
            CI_JOB_NAME CI_JOB_STAGE CI_JOB_URL CI_COMMIT_SHA CI_COMMIT_REF_NAME CI_COMMIT_TAG \
            CI_RUNNER_ID CI_RUNNER_VERSION GITLAB_USER_LOGIN",
        ids: gitlab,
    },
    System {
        name: "jenkins",
        signs: &[("JENKINS_URL", None)],
        variables: "JENKINS_URL JOB_NAME JOB_URL BUILD_URL BUILD_NUMBER BUILD_TAG GIT_COMMIT GIT_BRANCH \
            GIT_URL",
        ids: |seen| Ids {
            builder: seen.own("JENKINS_URL"),
            pipeline: seen.own("JOB_URL").or_else(|| seen.own("JOB_NAME")),
            run: seen.own("BUILD_URL"),
            started_by: None,
        },
    },
    System {
        name: "buildkite",
        signs: &[("BUILDKITE", Some("true"))],
        variables: "BUILDKITE_ORGANIZATION_SLUG BUILDKITE_PIPELINE_SLUG BUILDKITE_PIPELINE_ID \
            BUILDKITE_BUILD_ID BUILDKITE_BUILD_NUMBER BUILDKITE_BUILD_URL BUILDKITE_JOB_ID \
            BUILDKITE_COMMIT BUILDKITE_BRANCH BUILDKITE_TAG BUILDKITE_REPO BUILDKITE_SOURCE",
        ids: buildkite,
    },
    System {
        name: "circleci",
        signs: &[("CIRCLECI", Some("true"))],
        variables: "CIRCLE_PROJECT_USERNAME CIRCLE_PROJECT_REPONAME CIRCLE_BUILD_NUM CIRCLE_BUILD_URL \
            CIRCLE_WORKFLOW_ID CIRCLE_WORKFLOW_JOB_ID CIRCLE_JOB CIRCLE_SHA1 CIRCLE_BRANCH \
            CIRCLE_TAG CIRCLE_REPOSITORY_URL CIRCLE_USERNAME",
        ids: |seen| Ids {
            builder: Some("https://circleci.com".into()),
            pipeline: join(seen, &["CIRCLE_PROJECT_USERNAME", "CIRCLE_PROJECT_REPONAME"]),
            run: seen.own("CIRCLE_BUILD_URL"),
            started_by: seen.own("CIRCLE_USERNAME"),
        },
    },
    System {
        name: "azure-pipelines",
        signs: &[("TF_BUILD", Some("true"))],
        variables: "SYSTEM_COLLECTIONURI SYSTEM_TEAMPROJECT SYSTEM_DEFINITIONID BUILD_DEFINITIONNAME \
            BUILD_BUILDID BUILD_BUILDNUMBER BUILD_REASON BUILD_SOURCEVERSION BUILD_SOURCEBRANCH \
            BUILD_REPOSITORY_URI SYSTEM_JOBID SYSTEM_JOBATTEMPT AGENT_OS",
        ids: azure,
    },
    System {
        name: "airflow",
        signs: &[("AIRFLOW_CTX_DAG_ID", None)],
        variables: "AIRFLOW_CTX_DAG_ID AIRFLOW_CTX_DAG_RUN_ID AIRFLOW_CTX_TASK_ID AIRFLOW_CTX_TRY_NUMBER \
            AIRFLOW_CTX_EXECUTION_DATE AIRFLOW_CTX_LOGICAL_DATE AIRFLOW__API__BASE_URL \
            AIRFLOW__WEBSERVER__BASE_URL",
        ids: airflow,
    },
    System {
        name: "kubeflow",
        signs: &[("KFP_RUN_ID", None), ("KFP_POD_NAME", None)],
        variables: "KFP_RUN_ID KFP_RUN_NAME KFP_PIPELINE_ID KFP_PIPELINE_NAME KFP_NAMESPACE KFP_POD_NAME \
            KFP_POD_UID",
        ids: |seen| Ids {
            builder: None,
            pipeline: seen.own("KFP_PIPELINE_ID").or_else(|| seen.own("KFP_PIPELINE_NAME")),
            run: uri(
                "kubeflow",
                seen,
                &[&["KFP_RUN_ID", "KFP_POD_NAME"], &["KFP_RUN_ID"], &["KFP_POD_NAME"]],
            ),
            started_by: None,
        },
    },
    System {
        name: "argo",
        signs: &[("ARGO_NODE_ID", None), ("ARGO_WORKFLOW_NAME", None)],
        // Not ARGO_TEMPLATE, which has the arguments.
        variables: "ARGO_WORKFLOW_NAME ARGO_WORKFLOW_UID ARGO_NODE_ID ARGO_POD_UID ARGO_CONTAINER_NAME",
        ids: |seen| Ids {
            builder: None,
            pipeline: seen.own("ARGO_WORKFLOW_NAME"),
            run: uri(
                "argo",
                seen,
                &[
                    &["ARGO_WORKFLOW_NAME", "ARGO_NODE_ID"],
                    &["ARGO_WORKFLOW_NAME"],
                    &["ARGO_NODE_ID"],
                ],
            ),
            started_by: None,
        },
    },
    System {
        name: "sagemaker",
        signs: &[("TRAINING_JOB_ARN", None), ("SM_CURRENT_HOST", None)],
        // Not SM_TRAINING_ENV and SM_HPS, which have the arguments.
        variables: "TRAINING_JOB_NAME TRAINING_JOB_ARN AWS_REGION SM_CURRENT_INSTANCE_TYPE SM_NUM_GPUS",
        ids: |seen| Ids {
            builder: seen
                .get("AWS_REGION")
                .map(|region| format!("https://sagemaker.{}.amazonaws.com", encode(region))),
            pipeline: None,
            run: seen
                .own("TRAINING_JOB_ARN")
                .or_else(|| uri("sagemaker", seen, &[&["TRAINING_JOB_NAME"]])),
            started_by: None,
        },
    },
    System {
        name: "slurm",
        signs: &[("SLURM_JOB_ID", None)],
        variables: "SLURM_CLUSTER_NAME SLURM_JOB_ID SLURM_JOB_NAME SLURM_JOB_PARTITION \
            SLURM_JOB_NUM_NODES SLURM_NTASKS SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID \
            SLURM_STEP_ID SLURM_RESTART_COUNT",
        ids: |seen| Ids {
            builder: uri("slurm", seen, &[&["SLURM_CLUSTER_NAME"]]),
            pipeline: seen.own("SLURM_JOB_NAME"),
            run: uri("slurm", seen, &[&["SLURM_CLUSTER_NAME", "SLURM_JOB_ID"], &["SLURM_JOB_ID"]]),
            started_by: None,
        },
    },
];

/// `scheme:a/b`, of the first of several lists of variables that are all there.
fn uri(scheme: &str, seen: &Seen, choices: &[&[&str]]) -> Option<String> {
    choices.iter().find_map(|names| Some(format!("{scheme}:{}", join(seen, names)?)))
}

fn join(seen: &Seen, names: &[&str]) -> Option<String> {
    let segments: Option<Vec<_>> = names.iter().map(|name| seen.segment(name)).collect();
    Some(segments?.join("/"))
}

fn github(seen: &Seen) -> Ids {
    let server = seen.base("GITHUB_SERVER_URL").unwrap_or("https://github.com");
    let run = || {
        let repository = seen.get("GITHUB_REPOSITORY")?;
        let run = seen.segment("GITHUB_RUN_ID")?;
        let attempt = seen.segment("GITHUB_RUN_ATTEMPT");
        let attempt = attempt.map(|n| format!("/attempts/{n}")).unwrap_or_default();
        Some(format!("{server}/{repository}/actions/runs/{run}{attempt}"))
    };
    Ids {
        // `github-hosted` or `self-hosted`, as GitHub's own provenance has it.
        builder: seen
            .segment("RUNNER_ENVIRONMENT")
            .map(|runner| format!("{server}/actions/runner/{runner}")),
        pipeline: seen.get("GITHUB_WORKFLOW_REF").map(|at| format!("{server}/{at}")),
        run: run(),
        started_by: seen.own("GITHUB_ACTOR"),
    }
}

fn gitlab(seen: &Seen) -> Ids {
    let project = seen.base("CI_PROJECT_URL");
    // GitLab's own name for it (`ci_config_ref_uri`), with a scheme.
    let pipeline = || {
        let (kind, name) = match seen.get("CI_COMMIT_TAG") {
            Some(tag) => ("tags", tag),
            None => ("heads", seen.get("CI_COMMIT_REF_NAME")?),
        };
        let file = seen.get("CI_CONFIG_PATH").unwrap_or(".gitlab-ci.yml");
        Some(format!("{}//{file}@refs/{kind}/{name}", project?))
    };
    Ids {
        // As GitLab's runner has it in its provenance.
        builder: seen
            .segment("CI_RUNNER_ID")
            .and_then(|runner| Some(format!("{}/-/runners/{runner}", project?))),
        pipeline: pipeline(),
        run: seen.own("CI_JOB_URL").or_else(|| seen.own("CI_PIPELINE_URL")),
        started_by: seen.own("GITLAB_USER_LOGIN"),
    }
}

fn buildkite(seen: &Seen) -> Ids {
    let slugs = ["BUILDKITE_ORGANIZATION_SLUG", "BUILDKITE_PIPELINE_SLUG"];
    let run = seen.base("BUILDKITE_BUILD_URL").map(|build| {
        let job = seen.segment("BUILDKITE_JOB_ID");
        job.map_or_else(|| build.to_owned(), |job| format!("{build}#{job}"))
    });
    let at = |path| format!("https://buildkite.com/{path}");
    Ids {
        builder: seen.segment("BUILDKITE_ORGANIZATION_SLUG").map(at),
        pipeline: join(seen, &slugs).map(at),
        run,
        started_by: None,
    }
}

fn azure(seen: &Seen) -> Ids {
    let project = || {
        let project = seen.segment("SYSTEM_TEAMPROJECT")?;
        Some(format!("{}/{project}", seen.base("SYSTEM_COLLECTIONURI")?))
    };
    let at = |path: &str, id: &str| Some(format!("{}/{path}={}", project()?, seen.segment(id)?));
    Ids {
        builder: seen.own("SYSTEM_COLLECTIONURI"),
        pipeline: at("_build?definitionId", "SYSTEM_DEFINITIONID"),
        run: at("_build/results?buildId", "BUILD_BUILDID"),
        started_by: None,
    }
}

fn airflow(seen: &Seen) -> Ids {
    let base =
        seen.base("AIRFLOW__API__BASE_URL").or_else(|| seen.base("AIRFLOW__WEBSERVER__BASE_URL"));
    let at = |segments: &[&str]| {
        let path = join(seen, segments)?;
        Some(base.map_or_else(|| format!("airflow:{path}"), |base| format!("{base}/dags/{path}")))
    };
    let run = || {
        let dag = seen.segment("AIRFLOW_CTX_DAG_ID")?;
        let run = seen.segment("AIRFLOW_CTX_DAG_RUN_ID")?;
        let task = seen.segment("AIRFLOW_CTX_TASK_ID");
        Some(match base {
            Some(base) => {
                let task = task.map(|task| format!("/tasks/{task}")).unwrap_or_default();
                format!("{base}/dags/{dag}/runs/{run}{task}")
            }
            None => {
                let task = task.map(|task| format!("/{task}")).unwrap_or_default();
                format!("airflow:{dag}/{run}{task}")
            }
        })
    };
    Ids {
        builder: base.map(str::to_owned),
        pipeline: at(&["AIRFLOW_CTX_DAG_ID"]),
        run: run(),
        started_by: None,
    }
}
