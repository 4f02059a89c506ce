//! Policies that are refused when they are read, and documents that people sign.

use bulla::{Fault, Limits};
use bulla_policy::{Policy, signature_files};

use crate::world::{World, quoted};

#[test]
fn policies_that_are_refused() {
    let officer = |world: &World| quoted(&world.keys["eva"].public().to_pem());
    for (from, to, words) in [
        ("name: company-models", "name: \"two words\"", "expected up to 100 letters"),
        ("expires: 2027-06-01", "expires: soon", "expires:"),
        ("version: 7", "version: seven", "line 1"),
        ("threshold: 2", "threshold: 3", "its threshold is 3, and it has 2 people"),
        ("threshold: 2", "threshold: 0", "its threshold is 0"),
        (
            "required: 2, from: release-managers",
            "required: 4, from: release-managers",
            "4 are required from release-managers, who are 3",
        ),
        ("from: release-managers", "from: nobody", "there is no role nobody"),
        (
            "key_algorithm: ECDSA-P256",
            "key_algorithm: ed25519",
            "but key_algorithm asks for ed25519",
        ),
        (
            "storage: hsm, signer",
            "storage: file, signer",
            "is kept in a file, but key_storage asks for hardware",
        ),
        ("storage: hsm, signer", "signer", "says nothing of its storage"),
        ("signer: ci@company.com", "signer: eve@company.com", "is held by eve@company.com"),
        (
            "accepted_authorities: [production]",
            "accepted_authorities: [nobody]",
            "there is no nobody",
        ),
        (
            "accepted_authorities: [production]",
            "accepted_authorities: []",
            "nothing could be admitted",
        ),
        (
            "formats: [safetensors, json, txt]",
            "recipes: { hash: [md5] }",
            "there is no hash \"md5\"",
        ),
        (
            "formats: [safetensors, json, txt]",
            "evaluations: [{ metric: a, signed_by: [production] }]",
            "neither at_least nor at_most",
        ),
        (
            "formats: [safetensors, json, txt]",
            "provenance: { min_level: high }",
            "the level is \"high\"",
        ),
        ("formats: [safetensors, json, txt]", "format: [json]", "unknown field"),
        ("from: security-officers, required: 1", "from: officers", "there is no role officers"),
        ("valid_for: 30d", "valid_for: 30", "no span of time"),
        ("valid_for: 30d", "valid_for: 99999999d", "longer than a hundred years"),
        ("  staging:", "  \"stag ing\":", "expected up to 100 letters"),
    ] {
        let world = World::new().with(from, to);
        let fault = world.read().unwrap_err();
        assert!(matches!(fault, Fault::Policy { .. } | Fault::TrustFile { .. }), "{fault:?}");
        assert!(fault.to_string().contains(words), "{to}: {fault}");
    }
    // One key of two people: whose word is it?
    let world = World::new();
    let eva = officer(&world);
    let ana = quoted(&world.keys["ana"].public().to_pem());
    let fault = world.with(&ana, &eva).read().unwrap_err().to_string();
    assert!(fault.contains("have the same key"), "{fault}");
}

/// A signature of a document, as `bulla blob sign` writes it, on a line.
fn signed(world: &World, by: &str, document: &[u8]) -> String {
    let source = bulla::FileBytes::new("document", document);
    let signed = bulla::blob::sign(&source, world.signer(by), &Limits::default()).unwrap();
    format!("{}\n", String::from_utf8(signed.bundle).unwrap().trim())
}

#[test]
fn a_policy_that_people_sign() {
    let world = World::new()
        .with("expires: 2027-06-01 }", "expires: 2027-06-01, signed_by: [security-officers] }");
    let path = world.folder.path().join("policy.yaml");
    std::fs::write(&path, &world.policy).unwrap();
    let limits = Limits::default();
    let (policy, bytes) = Policy::read(&path, &limits).unwrap();
    let check = || policy.check_signatures(&bytes, world.now, &limits).unwrap();
    let [_, lines] = signature_files(&path);
    let said = check().unwrap_err().join("; ");
    assert!(said.contains("by 2 of security-officers (eva, fay); none of them did"), "{said}");
    let eva = signed(&world, "eva", &bytes);
    std::fs::write(&lines, format!("{eva}{eva}")).unwrap();
    let said = check().unwrap_err().join("; ");
    assert!(said.contains("only eva did"), "twice is once: {said}");
    let ana = signed(&world, "ana", &bytes);
    std::fs::write(&lines, format!("{eva}{ana}")).unwrap();
    assert!(check().is_err(), "another role's signature");
    let other = signed(&world, "fay", b"another text");
    std::fs::write(&lines, format!("{eva}{other}")).unwrap();
    assert!(check().is_err(), "a signature of another text");
    let fay = signed(&world, "fay", &bytes);
    std::fs::write(&lines, format!("not a bundle\n{eva}{fay}")).unwrap();
    check().unwrap();
}

/// An officer's key that counts no more signs no document.
#[test]
fn a_policy_signed_with_a_key_whose_time_is_over() {
    let world = World::new()
        .with("expires: 2027-06-01 }", "expires: 2027-06-01, signed_by: [security-officers] }");
    let fay = quoted(&world.keys["fay"].public().to_pem());
    let over = format!("{fay}, valid: {{ until: 2026-01-01 }}");
    for (policy, good) in
        [(world.policy.clone(), true), (world.policy.replacen(&fay, &over, 1), false)]
    {
        let path = world.folder.path().join("policy.yaml");
        std::fs::write(&path, &policy).unwrap();
        let limits = Limits::default();
        let (policy, bytes) = Policy::read(&path, &limits).unwrap();
        let [_, lines] = signature_files(&path);
        let both = ["eva", "fay"].map(|by| signed(&world, by, &bytes)).concat();
        std::fs::write(&lines, both).unwrap();
        let checked = policy.check_signatures(&bytes, world.now, &limits).unwrap();
        assert_eq!(checked.is_ok(), good, "{checked:?}");
    }
}

#[test]
fn revocations_that_people_sign() {
    let mut world = World::new();
    world.policy.push_str(
        "revocations: { document: revocations.yaml, signed_by: security-officers, max_age: 24h }\n",
    );
    let path = world.folder.path().join("revocations.yaml");
    let fault = |world: &World| match world.decide_for("production", "fraud-eu") {
        Ok(decision) => panic!("{:?}", decision.admitted),
        Err(fault) => fault.to_string(),
    };
    // Without it nothing is known of what was withdrawn.
    assert!(fault(&world).contains("revocations.yaml"), "{}", fault(&world));
    let text = format!(
        "revocations: {{ version: 4, issued: 2026-11-20T08:00:00Z }}\nkeys: [{{ fingerprint: \"{}\", reason: stolen }}]\n",
        world.keys["dev"].public().fingerprint()
    );
    std::fs::write(&path, &text).unwrap();
    assert!(fault(&world).contains("none of them did"), "{}", fault(&world));
    let [_, lines] = signature_files(&path);
    let both = |text: &str| {
        format!(
            "{}{}",
            signed(&world, "eva", text.as_bytes()),
            signed(&world, "fay", text.as_bytes())
        )
    };
    std::fs::write(&lines, both(&text)).unwrap();
    world.admitted();
    let now = world.now;
    world.now = "2026-11-21T08:00:01Z".parse().unwrap();
    assert!(fault(&world).contains("longer ago than the policy's max_age"), "{}", fault(&world));
    world.now = "2026-11-20T07:54:00Z".parse().unwrap();
    assert!(fault(&world).contains("yet to come"), "{}", fault(&world));
    world.now = now;
    world.sign("dev");
    let decision = world.decide_for("staging", "x").unwrap();
    assert!(!decision.admitted, "its key was withdrawn");
    // Edited, its signatures are none.
    std::fs::write(&path, text.replace("stolen", "found")).unwrap();
    assert!(fault(&world).contains("none of them did"), "{}", fault(&world));
}
