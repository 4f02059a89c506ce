//! What anybody would try who wants a bad model deployed: the tests that guides to model verification ask for (signature forgery, hash
//! collisions, key theft, bypass by misconfiguration; unsigned, tampered and third-party models), each by its name.

use bulla::{Digest, Recipe};
use bulla_policy::ModelName;
use bulla_testkit::bundles::{base64, bundle_of, from_base64};
use serde_json::Value;

use crate::world::{World, codes};

/// Changes the signature file as JSON.
fn forge(world: &World, change: impl FnOnce(&mut Value)) {
    let path = world.model().join("model.sig");
    let mut bundle: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut bundle);
    std::fs::write(&path, bundle.to_string()).unwrap();
}

fn bytes_of(value: &Value) -> Vec<u8> {
    from_base64(value.as_str().unwrap())
}

#[test]
fn signature_forgery_without_the_key() {
    let signature = "/dsseEnvelope/signatures/0/sig";
    type Forge = dyn Fn(&World);
    let forgeries: [(&str, &Forge); 6] = [
        ("by another key", &|world| world.sign("stranger")),
        ("by another key, which says that it is the right one", &|world| {
            let hint = {
                let path = world.model().join("model.sig");
                let bundle: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
                bundle["verificationMaterial"].clone()
            };
            world.sign("stranger");
            forge(world, |bundle| bundle["verificationMaterial"] = hint);
        }),
        ("with a bit that is changed", &|world| {
            forge(world, |bundle| {
                let sig = bundle.pointer_mut(signature).unwrap();
                let mut bytes = bytes_of(sig);
                *bytes.last_mut().unwrap() ^= 1;
                *sig = base64(&bytes).into();
            });
        }),
        ("empty", &|world| {
            forge(world, |bundle| *bundle.pointer_mut(signature).unwrap() = "".into());
        }),
        // r = s = 0: what careless verifiers take for a signature of everything (CVE-2022-21449).
        ("of zeroes", &|world| {
            let zero = base64(&[0x30, 6, 2, 1, 0, 2, 1, 0]);
            forge(world, |bundle| *bundle.pointer_mut(signature).unwrap() = zero.into());
        }),
        ("of another statement", &|world| {
            let good = std::fs::read(world.model().join("model.sig")).unwrap();
            let good: Value = serde_json::from_slice(&good).unwrap();
            world.write("model.safetensors", b"backdoor");
            world.sign("stranger");
            let kept = good.pointer(signature).unwrap().clone();
            forge(world, |bundle| {
                *bundle.pointer_mut(signature).unwrap() = kept;
                bundle["verificationMaterial"] = good["verificationMaterial"].clone();
            });
        }),
    ];
    for (what, make) in forgeries {
        let world = World::new();
        make(&world);
        let decision = world.decide();
        assert!(!decision.admitted && codes(&decision) == ["signature"], "{what}: {decision:#?}");
    }
}

/// Digests of one kind are not those of another, and hashes in which collisions are known are none.
#[test]
fn hash_confusion() {
    let mut world = World::new();
    let digests = world.digests();
    for name in [
        ModelName::Manifest(digests.oms),
        ModelName::Oms(digests.manifest),
        ModelName::File(digests.oms),
        ModelName::Oms(Digest::sha256(b"weights")),
    ] {
        world.expected = vec![name];
        world.refused("expected-digest", &digests.oms.to_hex());
    }
    // A statement that says it hashed with MD5 or SHA-1, signed by the right key.
    for hash in ["md5", "sha1", "sha-256", "SHA256"] {
        let world = World::new();
        let path = world.model().join("model.sig");
        let bundle: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let payload = bytes_of(&bundle["dsseEnvelope"]["payload"]);
        let mut statement: Value = serde_json::from_slice(&payload).unwrap();
        statement["predicate"]["serialization"]["hash_type"] = hash.into();
        for resource in statement["predicate"]["resources"].as_array_mut().unwrap() {
            resource["algorithm"] = hash.into();
        }
        let bytes = bundle_of(world.signer("prod"), statement.to_string().as_bytes());
        world.write("model.sig", &bytes);
        let decision = world.decide();
        assert!(!decision.admitted && codes(&decision) == ["signature"], "{hash}: {decision:#?}");
    }
}

/// A stolen key signs a backdoored model: two people still have to agree; and once it is known, nothing that it signed counts, but what a
/// trusted time puts before.
#[test]
fn key_theft() {
    let mut world = World::new();
    world.sign_stamped("prod");
    let good = std::fs::read(world.model().join("model.sig")).unwrap();
    world.write("model.safetensors", b"backdoor");
    world.sign("prod");
    world.refused("approvals", "nobody has approved it");
    // The thief cannot approve with it, either.
    world.approve("prod");
    world.refused("approvals", "nobody has approved it");
    let stolen = bulla::Revoked {
        since: Some("2026-11-20T11:30:00Z".parse().unwrap()),
        reason: "stolen".into(),
    };
    world.revoked.signers.key(world.keys["prod"].public().fingerprint(), stolen);
    world.refused("signature", "stolen");
    // What was signed at eleven, and says so by a clock that is trusted, stays.
    world.write("model.safetensors", b"weights");
    world.write("model.sig", &good);
    world.admitted();
}

/// A gate that is set up wrongly admits nothing by that: it refuses, or cannot decide.
#[test]
fn bypass_by_misconfiguration() {
    let anybody = "  anybody:\n    type: keyless\n    may_sign: [oms]\n    identity_provider: https://oidc.example\n    allowed_identities: [\"*\"]\n";
    let mut read = Vec::new();
    for (from, to) in [
        ("mode", ""),
        ("    models: [\"fraud-*\"]\n", "    mode: enforced\n"),
        ("    models: [\"fraud-*\"]\n", "    mode: off\n"),
        ("    models: [\"fraud-*\"]\n", "    require_signatures: true\n"),
        ("    models: [\"fraud-*\"]\n", "    require_signature: \"no\"\n"),
        ("accepted_authorities: [production]", "accepted_authorities: []"),
        ("accepted_authorities: [production]", "accepted_authorities: [\"*\"]"),
        ("required: 2, from: release-managers", "required: 0, from: release-managers"),
        ("required: 2, from: release-managers", "required: -1, from: release-managers"),
        ("may_sign: [oms]", "may_sign: []"),
        ("  development:\n", anybody),
        ("policy: {", "policy: &a { <<: *a, "),
        ("version: 7", "version: 7, version: 8"),
    ] {
        let mut world = World::new();
        match from {
            "mode" => world.policy = to.to_owned(),
            _ => world.change(from, to),
        }
        world.sign("stranger");
        if let Ok(decision) = world.decide_for("production", "fraud-eu") {
            read.push(to);
            assert!(!decision.admitted, "{to}: {decision:#?}");
        }
    }
    assert!(read.is_empty(), "these cannot be meant: {read:?}");
    let world = World::new();
    for (environment, name) in [("Production", "fraud-eu"), ("", "fraud-eu"), ("*", "fraud-eu")] {
        assert!(world.decide_for(environment, name).is_err(), "{environment:?}");
    }
    for name in ["", "spam", "fraud-*/../x", "FRAUD-eu", "fraud-a/b", "fraud-a@b"] {
        let decision = world.decide_for("production", name).unwrap();
        assert_eq!(codes(&decision), ["model-name"], "{name:?}");
    }
}

#[test]
fn unsigned_model() {
    let world = World::new();
    std::fs::remove_file(world.model().join("model.sig")).unwrap();
    world.refused("signature", "there is no signature");
    world.write("model.sig", b"");
    world.refused("signature", "empty");
}

#[test]
fn tampered_model() {
    for (file, bytes) in [
        ("model.safetensors", &b"weightS"[..]),
        ("model.safetensors", b""),
        ("model.safetensors", b"weights and more"),
        ("config.json", b"{\"architectures\":[\"llama\"]}"),
        ("added.json", b"{}"),
    ] {
        let world = World::new();
        world.write(file, bytes);
        world.refused("integrity", file);
    }
    let world = World::new();
    std::fs::remove_file(world.model().join("config.json")).unwrap();
    world.refused("integrity", "config.json");
}

#[test]
fn third_party_model_with_another_digest() {
    let mut world = World::new();
    world.expected = vec![ModelName::Oms(world.digests().oms)];
    world.admitted();
    // What came instead is signed, too; and even by somebody who is accepted.
    world.write("model.safetensors", b"backdoor");
    world.sign("prod");
    let decision = world.decide();
    assert_eq!(codes(&decision), ["expected-digest", "approvals"]);
}

#[test]
fn third_party_model_of_an_unknown_signer() {
    let mut world = World::new();
    world.expected = vec![ModelName::Oms(world.digests().oms)];
    world.sign_with(world.signer("stranger"), &Recipe::default());
    let decision = world.decide();
    assert_eq!(codes(&decision), ["signature", "expected-digest"]);
}
