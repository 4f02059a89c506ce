//! `bulla policy check`, and what is said wherever a policy is read.

use super::world::Folder;

/// Each fault with its line, a mark under it and a hint; all of them.
#[test]
fn faults_are_shown_where_they_are() {
    let folder = Folder::with_policy();
    let policy = folder.text("policy.yaml");
    let wrong = policy
        .replace("formats:", "format:")
        .replace("mode: warn", "mode: warm")
        .replace("required: 1", "required: one");
    folder.write("wrong.yaml", &wrong);
    let said = folder.says("policy check wrong.yaml", 1);
    for words in [
        "error[unknown-member]: unknown field `format`\n  --> wrong.yaml:15:5\n",
        "15 |     format: [safetensors, json]\n   |     ^^^^^^\n   |\n   = hint: did you mean formats?\n",
        "error[wrong-value]: unknown variant `warm`\n",
        "17 |     mode: warm\n   |           ^^^^\n",
        "   |                            ^^^\n",
        "invalid type: string \"one\", expected a whole number",
        "refused: wrong.yaml: 3 errors\n",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let report = folder.json("policy check wrong.yaml", 1);
    assert_eq!(report["verdict"], "refused");
    let concerns = report["concerns"].as_array().unwrap();
    let places: Vec<_> =
        concerns.iter().map(|one| (one["line"].as_u64(), one["column"].as_u64())).collect();
    assert_eq!(places, [(Some(10), Some(28)), (Some(15), Some(5)), (Some(17), Some(11))]);
    assert_eq!(
        (&concerns[1]["code"], &concerns[1]["is_error"]),
        (&"unknown-member".into(), &true.into())
    );
    assert_eq!(concerns[1]["hint"], "did you mean formats?");

    // Wherever it is read: then nothing could be decided.
    for line in [
        "admit models/fraud-eu -p wrong.yaml -e production",
        "approve models/fraud-eu -p wrong.yaml -e production --key ana.key",
        "policy explain wrong.yaml",
        "policy test wrong.yaml",
    ] {
        let said = folder.says(line, 3);
        assert!(said.contains("15 |     format: [safetensors, json]"), "{line}: {said}");
        assert!(
            said.contains("error: wrong.yaml cannot be used\nhint: docs/policy.md"),
            "{line}: {said}"
        );
        let report = folder.json(line, 3);
        assert_eq!(
            (&report["verdict"], &report["reasons"][1]["line"]),
            (&"fault".into(), &15.into())
        );
    }
}

/// A file that is not there is not the document's fault.
#[test]
fn what_could_not_be_read() {
    let folder = Folder::with_policy();
    std::fs::rename(folder.path("team.pub"), folder.path("elsewhere.pub")).unwrap();
    let said = folder.says("policy check policy.yaml", 3);
    assert!(said.contains("cannot read team.pub") && said.contains("^^^^^^^^"), "{said}");
    let policy = folder.text("policy.yaml").replace("formats:", "format:");
    folder.write("policy.yaml", &policy);
    assert!(folder.says("policy check policy.yaml", 1).contains("unknown field"));
    folder.says("policy check none.yaml", 3);
}

/// What a document says acts on no terminal, and is found in long lines and after letters of other scripts.
#[test]
fn excerpts_are_harmless() {
    let folder = Folder::with_policy();
    let policy = folder.text("policy.yaml");
    let odd =
        policy.replace("    mode: warn", "    \"mo\\u001bde\": warn # \u{202e}gnp.\u{1b}[31m");
    folder.write("odd.yaml", &odd);
    let said = folder.says("policy check odd.yaml", 1);
    assert!(!said.contains('\u{1b}') && !said.contains('\u{202e}'), "{said:?}");
    let wide = policy.replace("company,", "\"größe 日本\", nam: x,");
    folder.write("wide.yaml", &wide);
    let said = folder.says("policy check wide.yaml", 1);
    assert!(said.contains("1 | policy: { name: \"größe 日本\", nam: x,"), "{said}");
    // Wide letters take the place of two.
    assert!(said.contains("  |                               ^^^\n"), "{said}");
    let long = policy.replace("company,", &format!("{}, nam: x,", "a".repeat(5000)));
    folder.write("long.yaml", &long);
    let said = folder.says("policy check long.yaml", 1);
    assert!(said.contains("nam: x") && said.len() < 2000, "{said}");
}

#[test]
fn warnings() {
    let folder = Folder::with_policy();
    let said = folder.says("policy check policy.yaml", 0);
    assert!(said.starts_with("good: policy.yaml\n"), "{said}");
    assert!(said.contains("warning[mode]: development: nothing is refused here"), "{said}");
    assert!(said.contains("17 |     mode: warn\n"), "{said}");
    assert!(!folder.says("policy check policy.yaml --quiet", 0).contains("warning"));
    let over = folder.text("policy.yaml").replace("2099-01-01", "2020-01-01");
    folder.write("over.yaml", &over);
    let said = folder.says("policy check over.yaml", 1);
    assert!(
        said.contains("error[expired]: it ended at 2020-01-01") && said.contains("^^^^^^^^^^"),
        "{said}"
    );
}

/// A policy by which nothing can be decided, for want of its document of revocations, is not told to be good and no more.
#[test]
fn revocations_that_are_not_there() {
    let folder = Folder::with_policy();
    let policy = folder.text("policy.yaml");
    let role = policy.split("roles:\n  ").nth(1).unwrap().split(':').next().unwrap().to_owned();
    let text = format!("{policy}revocations: {{ document: none.yaml, signed_by: {role} }}\n");
    folder.write("with.yaml", &text);
    let said = folder.says("policy check with.yaml", 0);
    assert!(
        said.contains("nothing can be decided by it now") && said.contains("none.yaml"),
        "{said}"
    );
}
