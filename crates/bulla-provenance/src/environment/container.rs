//! Whether this is a container, and of which image.

use serde::{Deserialize, Serialize};

use super::clean::{Cleaner, is_hex};
use super::{Notes, Sources, read};

const ABOUT: &str = "container";

/// Variables in which an image may be named: ours for pods, that cannot know it by themselves, and those
/// that systems set.
const IMAGE_VARIABLES: [&str; 2] = ["BULLA_CONTAINER_IMAGE", "CI_JOB_IMAGE"];

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Container {
    /// `docker`, `podman`, `kubernetes`, `apptainer` or `lxc`, if it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The image, as it was named when the container was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The digest of the image's manifest, `sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<String>,
    /// The digest of the image's configuration, which is its name on the machine: `sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
}

pub(super) fn container(
    sources: &Sources,
    cleaner: &Cleaner,
    notes: &mut Notes,
) -> Option<Container> {
    // Podman fills its file in only where it may; elsewhere it is empty.
    let podman = read::text(&sources.at("run/.containerenv"));
    let quoted = |name| {
        let value = read::field(podman.as_deref()?, name, '=')?;
        Some(value.trim_matches('"').to_owned()).filter(|value| !value.is_empty())
    };
    let engine = if sources.variable("KUBERNETES_SERVICE_HOST").is_some_and(|v| !v.is_empty()) {
        Some("kubernetes")
    } else if podman.is_some() {
        Some("podman")
    } else if sources.at(".dockerenv").exists() {
        Some("docker")
    } else if ["APPTAINER_CONTAINER", "SINGULARITY_CONTAINER"]
        .iter()
        .any(|name| sources.variable(name).is_some_and(|v| !v.is_empty()))
    {
        Some("apptainer")
    } else {
        control_group(sources)
    };

    let named = sources.container_image.clone().or_else(|| {
        let variables = IMAGE_VARIABLES.iter().filter_map(|name| sources.variable(name));
        variables.map(str::to_owned).find(|value| !value.trim().is_empty())
    });
    let named = named.or_else(|| quoted("image"));
    let image = named.as_deref().and_then(|image| cleaner.image(image));
    if named.is_some() && image.is_none() {
        notes.add(ABOUT, "the image's name was left out: it is none, or holds a secret");
    }
    if engine.is_none() && image.is_none() {
        return None;
    }
    let image_digest = image
        .as_deref()
        .and_then(|image| image.split_once('@'))
        .map(|(_, digest)| digest.to_owned());
    let image_id = quoted("imageid")
        .filter(|id| is_hex(id) && id.len() == 64)
        .map(|id| format!("sha256:{id}"));
    match (&image, &image_digest, &image_id) {
        (None, ..) => notes.add(ABOUT, "a container cannot see its image; it was not given either"),
        (Some(_), None, None) => notes.add(ABOUT, "the image was named without a digest"),
        _ => {}
    }
    Some(Container { engine: engine.map(str::to_owned), image, image_digest, image_id })
}

/// What the first process's control group is called, before version 2 hid it.
fn control_group(sources: &Sources) -> Option<&'static str> {
    let groups = read::text(&sources.at("proc/1/cgroup"))?;
    [("kubepods", "kubernetes"), ("docker", "docker"), ("libpod", "podman"), ("lxc", "lxc")]
        .into_iter()
        .find(|(word, _)| groups.contains(word))
        .map(|(_, engine)| engine)
}
