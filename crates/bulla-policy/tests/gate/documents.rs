//! Policies that are refused when they are read, and documents that people sign.

use bulla::{Fault, Limits};
use bulla_policy::{Gate, Policy, RevocationList, signature_files};

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
    let policy = Policy::read(&path, &limits).unwrap();
    let bytes = world.policy.as_bytes();
    let nothing = RevocationList::default();
    let check = || policy.unsigned(None, &nothing, world.now, &limits).unwrap();
    let [_, lines] = signature_files(&path);
    let said = check().join("; ");
    assert!(said.contains("by 2 of security-officers (eva, fay); none of them did"), "{said}");
    let eva = signed(&world, "eva", bytes);
    std::fs::write(&lines, format!("{eva}{eva}")).unwrap();
    let said = check().join("; ");
    assert!(said.contains("only eva did"), "twice is once: {said}");
    let ana = signed(&world, "ana", bytes);
    std::fs::write(&lines, format!("{eva}{ana}")).unwrap();
    assert!(!check().is_empty(), "another role's signature");
    let other = signed(&world, "fay", b"another text");
    std::fs::write(&lines, format!("{eva}{other}")).unwrap();
    assert!(!check().is_empty(), "a signature of another text");
    let fay = signed(&world, "fay", bytes);
    std::fs::write(&lines, format!("not a bundle\n{eva}{fay}")).unwrap();
    assert!(check().is_empty(), "{:?}", check());
}

/// An officer's key that counts no more signs no document.
#[test]
fn a_policy_signed_with_a_key_whose_time_is_over() {
    let world = World::new()
        .with("expires: 2027-06-01 }", "expires: 2027-06-01, signed_by: [security-officers] }");
    let fay = quoted(&world.keys["fay"].public().to_pem());
    let over = format!("{fay}, valid: {{ until: 2026-01-01 }}");
    for (text, good) in
        [(world.policy.clone(), true), (world.policy.replacen(&fay, &over, 1), false)]
    {
        let path = world.folder.path().join("policy.yaml");
        std::fs::write(&path, &text).unwrap();
        let limits = Limits::default();
        let policy = Policy::read(&path, &limits).unwrap();
        let [_, lines] = signature_files(&path);
        let both = ["eva", "fay"].map(|by| signed(&world, by, text.as_bytes())).concat();
        std::fs::write(&lines, both).unwrap();
        let checked =
            policy.unsigned(None, &RevocationList::default(), world.now, &limits).unwrap();
        assert_eq!(checked.is_empty(), good, "{checked:?}");
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

/// Whoever stole an officer's key would sign the next list, without the line about it: neither what is known nor the list itself may have
/// withdrawn a key by which it counts.
#[test]
fn revocations_signed_with_keys_that_were_withdrawn() {
    let mut world = World::new();
    world
        .policy
        .push_str("revocations: { document: revocations.yaml, signed_by: security-officers }\n");
    let path = world.folder.path().join("revocations.yaml");
    let [_, lines] = signature_files(&path);
    let eva = world.keys["eva"].public().fingerprint();
    let entry =
        format!("keys: [{{ fingerprint: \"{eva}\", since: 2026-11-19, reason: stolen }}]\n");
    let head = "revocations: { version: 42, issued: 2026-11-20T08:00:00Z }\n";
    let publish = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let both = ["eva", "fay"].map(|by| signed(&world, by, text.as_bytes())).concat();
        std::fs::write(&lines, both).unwrap();
    };
    publish(head);
    world.admitted();
    publish(&format!("{head}{entry}"));
    let said = world.decide_for("production", "fraud-eu").unwrap_err().to_string();
    assert!(said.contains("only fay did") && said.contains("stolen"), "{said}");
    publish(head);
    world.revoked.signers.key(eva, bulla::Revoked { since: None, reason: "stolen".into() });
    let said = world.decide_for("production", "fraud-eu").unwrap_err().to_string();
    assert!(said.contains("only fay did"), "{said}");
}

/// A certificate is withdrawn by the digest of its DER. That of its file stands in the policy, and would withdraw nobody.
#[test]
fn a_certificate_that_is_withdrawn_by_its_file() {
    use bulla_testkit::authority::{Issued, authority};
    let pem = Issued::root(authority("corp")).certificate_pem().to_owned();
    let digest = bulla::Digest::sha256(pem.as_bytes()).to_hex();
    let mut world = World::new().with(
        "trust:\n",
        &format!(
            "trust:\n  certificate_authorities: [{{ name: corp, root: corp.pem, sha256: \"{digest}\" }}]\n"
        ),
    );
    world
        .policy
        .push_str("revocations: { document: revocations.yaml, signed_by: security-officers }\n");
    std::fs::write(world.folder.path().join("corp.pem"), &pem).unwrap();
    let path = world.folder.path().join("revocations.yaml");
    let [_, lines] = signature_files(&path);
    for (sha256, right) in [(digest, false), ("ab".repeat(32), true)] {
        let text = format!(
            "revocations: {{ version: 1, issued: 2026-11-20T08:00:00Z }}\nauthorities: [{{ sha256: \"{sha256}\", reason: hacked }}]\n"
        );
        std::fs::write(&path, &text).unwrap();
        let both = ["eva", "fay"].map(|by| signed(&world, by, text.as_bytes())).concat();
        std::fs::write(&lines, both).unwrap();
        // The rules are others than those that were agreed to: it is refused for that, or nothing is decided.
        match world.decide_for("production", "fraud-eu") {
            Ok(_) => assert!(right),
            Err(fault) => {
                assert!(!right && fault.to_string().contains("the digest of a file"), "{fault}")
            }
        }
    }
}

/// The same for policies, whoever is asked for: by the policy itself, or by those who are pinned.
#[test]
fn a_policy_signed_with_keys_that_were_withdrawn() {
    use bulla::Failure;
    use bulla_policy::Role;
    let world = World::new()
        .with("expires: 2027-06-01 }", "expires: 2027-06-01, signed_by: [security-officers] }");
    let path = world.folder.path().join("policy.yaml");
    std::fs::write(&path, &world.policy).unwrap();
    let limits = Limits::default();
    let [_, lines] = signature_files(&path);
    let by = |ids: &[&str]| {
        let all: String =
            ids.iter().map(|id| signed(&world, id, world.policy.as_bytes())).collect();
        std::fs::write(&lines, all).unwrap();
    };
    let open = |pins: Option<&Role>, known: &RevocationList| {
        Gate::open(Policy::read(&path, &limits).unwrap(), pins, known, world.now, &limits)
    };
    let refused = |opened: Result<Gate, Failure>, words: &str| match opened {
        Err(Failure::Refused(refusal)) => {
            assert!(refusal.to_string().contains(words), "{refusal}");
        }
        other => panic!("{words}: {other:?}"),
    };
    let nothing = RevocationList::default();
    let mut known = RevocationList::default();
    let fingerprint = world.keys["fay"].public().fingerprint();
    known.signers.key(fingerprint, bulla::Revoked { since: None, reason: "lost".into() });
    by(&["eva"]);
    refused(open(None, &nothing), "only eva did");
    by(&["eva", "fay"]);
    assert!(open(None, &nothing).is_ok());
    refused(open(None, &known), "only eva did");
    let pins = Role::of_keys(vec![world.keys["fay"].public().clone()], 1).unwrap();
    assert!(open(Some(&pins), &nothing).is_ok());
    refused(open(Some(&pins), &known), "those who are pinned");
    let others = Role::of_keys(vec![world.keys["ana"].public().clone()], 1).unwrap();
    refused(open(Some(&others), &nothing), "none of them did");
}

/// An old list is an un-revocation, as is another text under the same number.
#[test]
fn revocations_of_an_earlier_day() {
    let mut world = World::new();
    world
        .policy
        .push_str("revocations: { document: revocations.yaml, signed_by: security-officers }\n");
    let path = world.folder.path().join("revocations.yaml");
    let [_, lines] = signature_files(&path);
    let text = "revocations: { version: 41, issued: 2026-11-20T08:00:00Z }\n";
    std::fs::write(&path, text).unwrap();
    let both = ["eva", "fay"].map(|by| signed(&world, by, text.as_bytes())).concat();
    std::fs::write(&lines, both).unwrap();
    let digest = bulla::Digest::sha256(text.as_bytes());
    for (memory, words) in [
        ((42, digest), "version 41 of the revocations is here, and 42 was used before"),
        ((41, bulla::Digest::sha256(b"another")), "another text of version 41"),
    ] {
        world.memory.revocations = Some(memory);
        let said = world.decide_for("production", "fraud-eu").unwrap_err().to_string();
        assert!(said.contains(words), "{said}");
    }
    for memory in [(41, digest), (40, bulla::Digest::sha256(b"another"))] {
        world.memory.revocations = Some(memory);
        world.admitted();
    }
}
