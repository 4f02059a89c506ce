//! Containers and their images.

use crate::common::Machine;

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
