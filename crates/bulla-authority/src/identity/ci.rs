//! Tokens of continuous integration: which claim goes where, in the words of Fulcio's own configuration
//! (its config/identity/config.yaml).

use serde_json::{Map, Value};

use super::extensions::{Extensions, Number};
use super::{claim, not_permitted};
use crate::config::{IssuerConfig, IssuerType};
use crate::http::Refusal;

/// `{name}` stands for a claim, `{server}` for the server in the configuration.
type Template = &'static str;

struct Provider {
    name: Template,
    extensions: &'static [(Number, Template)],
    /// Left out when their claim is missing.
    optional: &'static [(Number, Template)],
}

const GITHUB: Provider = Provider {
    name: "{server}/{job_workflow_ref}",
    extensions: &[
        // Deprecated, and still what many policies name.
        (2, "{event_name}"),
        (3, "{sha}"),
        (4, "{workflow}"),
        (5, "{repository}"),
        (6, "{ref}"),
        // Build signer: URI, digest.
        (9, "{server}/{job_workflow_ref}"),
        (10, "{job_workflow_sha}"),
        (11, "{runner_environment}"),
        // Source repository: URI, digest, ref, identifier, owner's URI, owner's identifier.
        (12, "{server}/{repository}"),
        (13, "{sha}"),
        (14, "{ref}"),
        (15, "{repository_id}"),
        (16, "{server}/{repository_owner}"),
        (17, "{repository_owner_id}"),
        // Build configuration: URI, digest. Trigger, invocation, visibility.
        (18, "{server}/{workflow_ref}"),
        (19, "{workflow_sha}"),
        (20, "{event_name}"),
        (21, "{server}/{repository}/actions/runs/{run_id}/attempts/{run_attempt}"),
        (22, "{repository_visibility}"),
    ],
    optional: &[(23, "{environment}")],
};

const GITLAB: Provider = Provider {
    name: "https://{ci_config_ref_uri}",
    extensions: &[
        (9, "https://{ci_config_ref_uri}"),
        (11, "{runner_environment}"),
        (12, "{server}/{project_path}"),
        (13, "{sha}"),
        (14, "refs/{ref_folder}/{ref}"),
        (15, "{project_id}"),
        (16, "{server}/{namespace_path}"),
        (17, "{namespace_id}"),
        (18, "https://{ci_config_ref_uri}"),
        (20, "{pipeline_source}"),
        (21, "{server}/{project_path}/-/jobs/{job_id}"),
        (22, "{project_visibility}"),
    ],
    // Only a configuration of the same server has a digest.
    optional: &[(10, "{ci_config_sha}"), (19, "{ci_config_sha}"), (23, "{environment}")],
};

const BUILDKITE: Provider = Provider {
    name: "https://buildkite.com/{organization_slug}/{pipeline_slug}",
    extensions: &[],
    optional: &[
        (11, "{runner_environment}"),
        (13, "{build_commit}"),
        (20, "{build_source}"),
        (
            21,
            "https://buildkite.com/{organization_slug}/{pipeline_slug}/builds/{build_number}#{job_id}",
        ),
    ],
};

/// Reads the claims of a job; returns its name.
pub(super) fn read(
    issuer: &IssuerConfig,
    claims: &Map<String, Value>,
    extensions: &mut Extensions,
) -> Result<String, Refusal> {
    let provider = match issuer.kind {
        IssuerType::Github => GITHUB,
        IssuerType::Gitlab => GITLAB,
        _ => BUILDKITE,
    };
    let server = issuer.server.as_deref().unwrap_or_default().trim_end_matches('/');
    let fill = |template: Template| fill(template, server, claims);
    for (number, template) in provider.extensions {
        extensions.insert(*number, fill(template)?);
    }
    for (number, template) in provider.optional {
        if let Ok(value) = fill(template) {
            extensions.insert(*number, value);
        }
    }
    fill(provider.name)
}

fn fill(template: Template, server: &str, claims: &Map<String, Value>) -> Result<String, Refusal> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        filled.push_str(before);
        match name {
            "server" => filled.push_str(server),
            "ref_folder" => filled.push_str(match claim(claims, "ref_type")?.as_str() {
                "branch" => "heads",
                "tag" => "tags",
                _ => return Err(not_permitted("its claim \"ref_type\" is no branch and no tag")),
            }),
            name => filled.push_str(&claim(claims, name)?),
        }
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The claims of Fulcio's own tests, and what it makes of them.
    #[test]
    fn a_workflow_of_github() {
        let claims = json!({
            "event_name": "push", "sha": "sha", "workflow": "foo", "repository": "sigstore/fulcio",
            "ref": "refs/heads/main", "runner_environment": "cloud-hosted",
            "job_workflow_ref": "sigstore/fulcio/.github/workflows/foo.yaml@refs/heads/main",
            "job_workflow_sha": "example-sha", "repository_id": "12345",
            "repository_owner": "username", "repository_owner_id": "345",
            "repository_visibility": "public", "run_attempt": "1", "run_id": 42,
            "workflow_ref": "sigstore/other/.github/workflows/foo.yaml@refs/heads/main",
            "workflow_sha": "example-sha-other",
        });
        let issuer: IssuerConfig = "https://token.actions.githubusercontent.com".parse().unwrap();
        let mut extensions = Extensions::of_issuer(&issuer.url);
        let name = read(&issuer, claims.as_object().unwrap(), &mut extensions).unwrap();
        let workflow =
            "https://github.com/sigstore/fulcio/.github/workflows/foo.yaml@refs/heads/main";
        assert_eq!(name, workflow);
        for (number, expected) in [
            (1, "https://token.actions.githubusercontent.com"),
            (2, "push"),
            (3, "sha"),
            (4, "foo"),
            (5, "sigstore/fulcio"),
            (6, "refs/heads/main"),
            (8, "https://token.actions.githubusercontent.com"),
            (9, workflow),
            (10, "example-sha"),
            (11, "cloud-hosted"),
            (12, "https://github.com/sigstore/fulcio"),
            (13, "sha"),
            (14, "refs/heads/main"),
            (15, "12345"),
            (16, "https://github.com/username"),
            (17, "345"),
            (18, "https://github.com/sigstore/other/.github/workflows/foo.yaml@refs/heads/main"),
            (19, "example-sha-other"),
            (20, "push"),
            (21, "https://github.com/sigstore/fulcio/actions/runs/42/attempts/1"),
            (22, "public"),
        ] {
            assert_eq!(extensions.get(number), Some(expected), "{number}");
        }
        assert_eq!(extensions.get(23), None);

        for missing in ["sha", "job_workflow_ref", "run_id", "repository_visibility"] {
            let mut claims = claims.as_object().unwrap().clone();
            claims.remove(missing);
            let refused = read(&issuer, &claims, &mut Extensions::of_issuer("x")).unwrap_err();
            assert!(refused.message().contains(missing), "{missing}");
        }
    }

    #[test]
    fn a_job_of_gitlab() {
        let claims = json!({
            "ci_config_ref_uri": "gitlab.example/g/p//.gitlab-ci.yml@refs/heads/main",
            "ci_config_sha": "714a", "runner_environment": "self-hosted", "project_path": "g/p",
            "sha": "714a", "ref_type": "tag", "ref": "v1", "project_id": "1", "namespace_path": "g",
            "namespace_id": "2", "pipeline_source": "push", "job_id": "3",
            "project_visibility": "private",
        });
        let issuer: IssuerConfig = "gitlab=https://gitlab.example".parse().unwrap();
        let mut extensions = Extensions::of_issuer(&issuer.url);
        let name = read(&issuer, claims.as_object().unwrap(), &mut extensions).unwrap();
        assert_eq!(name, "https://gitlab.example/g/p//.gitlab-ci.yml@refs/heads/main");
        assert_eq!(extensions.get(14), Some("refs/tags/v1"));
        assert_eq!(extensions.get(21), Some("https://gitlab.example/g/p/-/jobs/3"));
    }
}
