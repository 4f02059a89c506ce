//! What holds for every model: whatever is signed verifies, and no change to it does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::Path;

use bulla::model::Method;
use bulla::{HashAlgorithm, ModelPath, Recipe};
use bulla_testkit::bundles::{TestSigner, set_root, statement_of};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

fn name() -> impl Strategy<Value = String> {
    // Short, from few characters, so that prefixes, odd orders and colliding names come up often.
    let component = proptest::string::string_regex("[ab\\-.:0é\n ]{1,4}").unwrap();
    vec(component, 1..4)
        .prop_map(|parts| parts.join("/"))
        .prop_filter("a path", |text| ModelPath::parse(text).is_ok() && !text.starts_with(".git"))
}

/// Files that can all be there at once: none is a directory of another.
fn tree() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    btree_map(name(), vec(any::<u8>(), 0..40), 1..8).prop_map(|files| {
        let names: Vec<String> = files.keys().cloned().collect();
        let inner = |name: &String| names.iter().any(|n| n.starts_with(&format!("{name}/")));
        files.into_iter().filter(|(name, _)| !inner(name)).collect()
    })
}

fn recipe() -> impl Strategy<Value = Recipe> {
    let hash = prop::sample::select(HashAlgorithm::ALL.to_vec());
    let method = prop_oneof![
        Just(Method::Files),
        (1u64..20).prop_map(|size| Method::Shards(NonZeroU64::new(size).unwrap())),
    ];
    (hash, method).prop_map(|(hash, method)| Recipe { hash, method, ..Recipe::default() })
}

fn write(root: &Path, files: &BTreeMap<String, Vec<u8>>) {
    let _ = std::fs::remove_dir_all(root);
    for (name, contents) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_signed_verifies_and_what_is_changed_does_not(
        mut files in tree(),
        recipe in recipe(),
        pick in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        change in 0..5u8,
    ) {
        if matches!(recipe.method, Method::Shards(_)) {
            files.values_mut().filter(|c| c.is_empty()).for_each(|c| c.push(0));
        }
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        write(&model, &files);
        let signer = TestSigner::default();
        let bundle = signer.sign(&model, &recipe);
        let verified = signer.verify(&model, &bundle);
        prop_assert!(verified.is_ok(), "{:?}", verified.err());

        // In whatever order the resources are listed, if the root fits (trap 1).
        let mut statement = statement_of(&bundle);
        statement["predicate"]["resources"].as_array_mut().unwrap().reverse();
        set_root(&mut statement);
        prop_assert!(signer.verify_statement(&model, &statement).is_ok());

        let name = files.keys().nth(pick.index(files.len())).unwrap().clone();
        let mut contents = files.remove(&name).unwrap();
        match change {
            0 => {}
            1 => {
                files.insert(format!("{name}~"), contents);
            }
            2 => {
                files.insert(format!("{name}~"), Vec::new());
                files.insert(name, contents);
            }
            3 => {
                contents.push(0);
                files.insert(name, contents);
            }
            _ => {
                if contents.is_empty() {
                    contents.push(1);
                } else {
                    let at = at.index(contents.len());
                    contents[at] ^= 1;
                }
                files.insert(name, contents);
            }
        }
        write(&model, &files);
        if files.is_empty() {
            std::fs::create_dir_all(&model).unwrap();
        }
        prop_assert!(signer.verify(&model, &bundle).is_err());
    }

    #[test]
    fn paths_have_one_spelling(text in ".{0,40}") {
        if let Ok(path) = ModelPath::parse(&text) {
            prop_assert_eq!(path.as_str(), &text);
            prop_assert!(!text.starts_with('/') && !text.ends_with('/') && !text.contains("//"));
            prop_assert!(path.components().all(|c| c != "." && c != ".."));
        }
    }

    #[test]
    fn nothing_printable_acts_on_a_terminal(text in any::<String>()) {
        let shown = bulla::Printable(&text).to_string();
        prop_assert!(!shown.chars().any(bulla::text::acts_on_a_terminal));
    }

    #[test]
    fn parsers_do_not_panic(bytes in vec(any::<u8>(), 0..300)) {
        let limits = bulla::Limits::default();
        let _ = bulla::UnverifiedBundle::parse(&bytes, &limits);
        let _ = bulla::Certificate::from_der(&bytes);
        let _ = bulla::PublicKey::from_spki_der(&bytes);
        let _ = bulla::inspect::describe(&bytes, &limits);
    }
}
