//! Chains of models by several parties, whole and broken.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bulla::claims::{append, claims_path};
use bulla::jiff::SignedDuration;
use bulla::lineage::{
    Builder, Converter, Held, Level, Lineage, Options, Rules, Side, Standing, Unverified, Verifier,
    resource_uri, walk,
};
use bulla::party::{MaySign, Party};
use bulla::sign::{Known, attest, sign};
use bulla::statement::build::{Kind, Parameters, Role, Source};
use bulla::statement::dataset::Dataset;
use bulla::statement::descriptor::{DigestSet, ROLE, ResourceDescriptor};
use bulla::statement::provenance::{BuildDefinition, Provenance, RunDetails};
use bulla::statement::verdict::{self, Verdict, VerificationResult};
use bulla::{
    Compatibility, KeyAlgorithm, KeyPair, KeySigner, Limits, LocalModel, ModelDigests, ModelPath,
    Predicate, Recipe, Statement, Trust,
};
use bulla_testkit::{now, work};

/// Parties with a key each, and folders.
struct World {
    folder: tempfile::TempDir,
    keys: BTreeMap<&'static str, KeySigner>,
    rules: Rules,
}

const ALL: [&str; 3] = ["oms", "provenance", "dataset"];

impl World {
    fn new() -> Self {
        let mut keys = BTreeMap::new();
        let mut parties = Vec::new();
        for id in ["ana", "ben", "cem", "dia", "gate", "stranger"] {
            let key = KeyPair::generate(KeyAlgorithm::EcdsaP256).unwrap();
            let trust = Trust::keys(vec![key.public().clone()]).unwrap();
            let may_sign: &[&str] = if id == "gate" { &["vsa"] } else { &ALL };
            if id != "stranger" {
                parties.push(Party {
                    id: id.to_owned(),
                    trust,
                    valid: (None, None),
                    may_sign: MaySign::only(may_sign.iter().copied()),
                });
            }
            keys.insert(id, KeySigner::new(key));
        }
        let mut rules = Rules::new(parties);
        rules.no_parents_signed_by = vec!["ana".into()];
        Self { folder: tempfile::tempdir().unwrap(), keys, rules }
    }

    /// base ◄ fine-tuned (with data) ◄ composition ► adapter ► base
    fn story() -> Self {
        let world = Self::new();
        world.model("base", "ana", &[("weights.bin", "base"), ("config.json", "{}")]);
        world.account("base", "ana", Kind::Pretrain, &[]);
        world.model("texts", "ben", &[("a.txt", "what was learnt"), ("b.txt", "and more")]);
        world.model("tuned", "ben", &[("weights.bin", "tuned")]);
        world.account(
            "tuned",
            "ben",
            Kind::Finetune,
            &[(Role::BaseModel, "base"), (Role::TrainingData, "texts")],
        );
        world.model("adapter", "cem", &[("lora.bin", "adapter")]);
        world.account("adapter", "cem", Kind::Adapter, &[(Role::BaseModel, "tuned")]);
        world.model("deployed", "dia", &[("weights.bin", "tuned"), ("lora.bin", "adapter")]);
        world.account(
            "deployed",
            "dia",
            Kind::Compose,
            &[(Role::BaseModel, "tuned"), (Role::Adapter, "adapter")],
        );
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn model(&self, name: &str, by: &str, files: &[(&str, &str)]) {
        std::fs::create_dir_all(self.path(name)).unwrap();
        for (file, contents) in files {
            std::fs::write(self.path(name).join(file), contents).unwrap();
        }
        self.seal(name, by, &Recipe::default());
    }

    fn seal(&self, name: &str, by: &str, recipe: &Recipe) {
        let path = self.path(name);
        let _ = std::fs::remove_file(path.join("model.sig"));
        let source = LocalModel::open(&path).unwrap();
        let (compatibility, limits) = (Compatibility::Specification, Limits::default());
        let signer = &self.keys[by];
        let signed =
            sign(&source, recipe, compatibility, signer, Known::Nothing, &limits, work()).unwrap();
        std::fs::write(path.join("model.sig"), signed.bundle).unwrap();
    }

    fn digests(&self, name: &str) -> (ModelDigests, Recipe) {
        let source = LocalModel::open(&self.path(name)).unwrap();
        let recipe = Recipe::default();
        let limits = Limits::default();
        let manifest =
            bulla::sign::measure(&source, &recipe, Known::Nothing, &limits, work()).unwrap();
        (ModelDigests::of(&manifest), manifest.recipe.clone())
    }

    fn descriptor(&self, name: &str) -> ResourceDescriptor {
        let (digests, recipe) = self.digests(name);
        digests.descriptor(name, Some(&recipe))
    }

    fn provenance(&self, kind: Kind, inputs: &[(Role, &str)]) -> Provenance {
        let inputs = inputs.iter().map(|(role, name)| (*role, self.descriptor(name)));
        provenance(kind, inputs.collect())
    }

    fn account(&self, name: &str, by: &str, kind: Kind, inputs: &[(Role, &str)]) {
        self.say(name, by, Predicate::Provenance(Box::new(self.provenance(kind, inputs))));
    }

    /// Signs a statement about a model, and adds it.
    fn say(&self, name: &str, by: &str, predicate: Predicate) {
        self.add(name, by, &Statement::about(self.descriptor(name), predicate));
    }

    fn add(&self, at: &str, by: &str, statement: &Statement) {
        let limits = Limits::default();
        let sealed = attest(statement, &self.keys[by], &limits).unwrap();
        append(&claims_path(&self.path(at), None), &sealed.bundle, &limits).unwrap();
    }

    fn lineage_with(&self, name: &str, options: Options<'_>) -> Lineage {
        let limits = Limits::default();
        let folders = [self.folder.path().to_owned()];
        let held = Held::around(&self.path(name), &folders).unwrap();
        walk(held, &self.rules, options, now(), &limits, work()).unwrap()
    }

    fn lineage(&self, name: &str) -> Lineage {
        self.lineage_with(name, Options::default())
    }

    /// The chain of `deployed` is refused, at this hop alone, for this reason.
    fn refused(&self, hop: &str, code: &str) -> String {
        let lineage = self.lineage("deployed");
        assert!(!lineage.stands, "{lineage:#?}");
        let found: Vec<(String, &str)> = lineage
            .refusals()
            .flat_map(|(hop, problems)| problems.into_iter().map(|p| (hop.name.clone(), p.code)))
            .collect();
        assert_eq!(found, [(hop.to_owned(), code)], "{lineage:#?}");
        let (_, problems) = lineage.refusals().next().unwrap();
        problems[0].message.clone()
    }
}

fn provenance(kind: Kind, inputs: Vec<(Role, ResourceDescriptor)>) -> Provenance {
    let parameters = Parameters {
        components: match kind {
            Kind::Compose => inputs.iter().map(|(_, input)| input.name.clone()).collect(),
            _ => Vec::new(),
        },
        ..Parameters::default()
    };
    let annotated = |(role, input): (Role, ResourceDescriptor)| input.annotated(ROLE, role.name());
    Provenance {
        build_definition: BuildDefinition {
            build_type: kind.build_type(),
            external_parameters: parameters.to_map(),
            internal_parameters: BTreeMap::new(),
            resolved_dependencies: inputs.into_iter().map(annotated).collect(),
        },
        run_details: RunDetails {
            builder: bulla::statement::provenance::Builder {
                id: "https://ci.example/train".into(),
                builder_dependencies: Vec::new(),
                version: BTreeMap::new(),
            },
            metadata: None,
            byproducts: Vec::new(),
        },
    }
}

fn hop<'a>(lineage: &'a Lineage, name: &str) -> &'a bulla::lineage::Hop {
    lineage.hops.iter().find(|hop| hop.name == name).unwrap()
}

fn rename(from: PathBuf, to: PathBuf) {
    std::fs::rename(from, to).unwrap();
}

#[test]
fn four_parties_and_five_hops() {
    let world = World::story();
    let lineage = world.lineage("deployed");
    assert!(lineage.stands, "{lineage:#?}");
    assert_eq!(lineage.hops.len(), 5);
    assert!(lineage.hops.iter().all(|hop| hop.stands && hop.standing == Standing::Verified));
    assert_eq!(lineage.links.len(), 5);
    // A model that two children need is walked once.
    assert_eq!(
        lineage.links.iter().filter(|link| lineage.hops[link.parent].name == "tuned").count(),
        2
    );
    assert_eq!(lineage.level(), Level::L1);
    assert_eq!(lineage.levels, BTreeMap::from([("SLSA_BUILD_LEVEL_1".to_owned(), 4)]));
    assert!(lineage.passed_over.is_empty(), "{:?}", lineage.passed_over);
    let texts = lineage.hops.iter().position(|hop| hop.name == "texts").unwrap();
    assert_eq!(lineage.way_to(texts), ["deployed", "tuned", "texts"]);
    assert!(hop(&lineage, "base").next_level.as_ref().unwrap().contains("its maker's own word"));
}

#[test]
fn a_removed_parent() {
    let world = World::story();
    std::fs::remove_dir_all(world.path("base")).unwrap();
    let message = world.refused("base", "unverified-parent");
    assert!(message.contains("not found"), "{message}");
}

#[test]
fn a_parent_whose_provenance_was_removed() {
    let world = World::story();
    std::fs::remove_file(world.path("tuned").join("claims.jsonl")).unwrap();
    world.refused("tuned", "no-provenance");
}

#[test]
fn the_models_own_provenance_was_removed() {
    let mut world = World::story();
    std::fs::remove_file(world.path("deployed").join("claims.jsonl")).unwrap();
    world.refused("deployed", "no-provenance");
    // That is not what may be allowed.
    world.rules.unverified_parents = Unverified::Allow;
    world.refused("deployed", "no-provenance");
}

#[test]
fn a_renamed_file_is_noticed() {
    let world = World::story();
    let base = world.path("base");
    rename(base.join("weights.bin"), base.join("model.bin"));
    world.refused("base", "renamed");
}

/// The same contents under another name, signed anew by their own party: the OMS root is the same, and is not enough.
#[test]
fn a_renamed_file_that_was_signed_anew_is_another_model() {
    let world = World::story();
    let base = world.path("base");
    // In code-point order the files stay in their places, so that the root stays the same.
    rename(base.join("weights.bin"), base.join("weights2.bin"));
    let before = world.digests("base").0;
    world.seal("base", "ana", &Recipe::default());
    let after = world.digests("base").0;
    assert_eq!(before.oms, after.oms);
    let message = world.refused("base", "unverified-parent");
    assert!(message.contains("its contents are the same, but under other names"), "{message}");
}

/// Rule 1: a signature by somebody trusted that leaves a file out is of another model, and inherits nothing.
#[test]
fn a_signature_that_leaves_code_out_inherits_no_provenance() {
    let world = World::story();
    let mut recipe = Recipe::default();
    recipe.ignore.insert(ModelPath::parse("modeling.py").unwrap());
    std::fs::write(world.path("deployed").join("modeling.py"), "evil()").unwrap();
    world.seal("deployed", "dia", &recipe);
    world.refused("deployed", "no-provenance");
}

/// Rule 1: a statement with the root alone covers contents under any names, and so counts for nothing.
#[test]
fn a_statement_about_contents_alone_counts_for_nothing() {
    let world = World::story();
    std::fs::remove_file(world.path("base").join("claims.jsonl")).unwrap();
    let mut subject = world.descriptor("base");
    subject.digest.remove("omsManifestV1");
    let made = Predicate::Provenance(Box::new(world.provenance(Kind::Pretrain, &[])));
    world.add("base", "ana", &Statement::about(subject, made));
    world.refused("base", "no-provenance");
}

#[test]
fn a_link_with_the_root_alone_is_none() {
    let world = World::story();
    std::fs::remove_file(world.path("adapter").join("claims.jsonl")).unwrap();
    let mut base = world.descriptor("tuned");
    base.digest.remove("omsManifestV1");
    let made = provenance(Kind::Adapter, vec![(Role::BaseModel, base)]);
    world.say("adapter", "cem", Predicate::Provenance(Box::new(made)));
    let message = world.refused("adapter", "malformed-attestation");
    assert!(message.contains("no omsManifestV1"), "{message}");
}

#[test]
fn a_swapped_dataset() {
    let world = World::story();
    std::fs::write(world.path("texts").join("a.txt"), "poison").unwrap();
    world.refused("texts", "changed");
    // Signed anew by its own party it is other data.
    world.seal("texts", "ben", &Recipe::default());
    let message = world.refused("texts", "unverified-data");
    assert!(message.contains("no data with oms:"), "{message}");
}

#[test]
fn data_that_nobody_signed_are_measured() {
    let world = World::story();
    std::fs::remove_file(world.path("texts").join("model.sig")).unwrap();
    let lineage = world.lineage("deployed");
    assert!(lineage.stands, "{lineage:#?}");
    assert_eq!(hop(&lineage, "texts").standing, Standing::Measured);
    assert_eq!(lineage.weakest, "texts: the data are what its child says, and nobody signed them");
    std::fs::write(world.path("texts").join("b.txt"), "poison").unwrap();
    let message = world.refused("texts", "other-data");
    assert!(message.contains("is not what went in: oms:"), "{message}");
}

#[test]
fn other_data_of_the_same_name_are_passed_over() {
    let world = World::story();
    std::fs::remove_file(world.path("texts").join("model.sig")).unwrap();
    std::fs::create_dir_all(world.path("older/texts")).unwrap();
    std::fs::write(world.path("older/texts/a.txt"), "what there was before").unwrap();
    let limits = Limits::default();
    let folders = [world.path("older"), world.folder.path().to_owned()];
    let held = Held::around(&world.path("deployed"), &folders).unwrap();
    let lineage = walk(held, &world.rules, Options::default(), now(), &limits, work()).unwrap();
    assert!(lineage.stands, "{lineage:#?}");
    assert_eq!(hop(&lineage, "texts").standing, Standing::Measured);
}

#[test]
fn data_that_are_named_as_claims_are() {
    let world = World::new();
    world.model("base", "ana", &[("weights.bin", "base")]);
    std::fs::write(world.path("insurance-claims.jsonl"), "{}").unwrap();
    let data = [(Role::TrainingData, "insurance-claims.jsonl")];
    world.account("base", "ana", Kind::Pretrain, &data);
    let lineage = world.lineage("base");
    assert!(lineage.stands, "{lineage:#?}");
}

#[test]
fn a_statement_about_data_stands_for_them() {
    let world = World::story();
    let dataset = Dataset { name: "texts".into(), ..Dataset::default() };
    world.say("texts", "ben", Predicate::Dataset(dataset));
    let claims = std::fs::read(world.path("texts").join("claims.jsonl")).unwrap();
    std::fs::remove_dir_all(world.path("texts")).unwrap();
    world.refused("texts", "unverified-data");
    // Whose file it lies in makes no difference.
    append(&world.path("deployed").join("claims.jsonl"), claims.trim_ascii(), &Limits::default())
        .unwrap();
    let lineage = world.lineage("deployed");
    assert!(lineage.stands, "{lineage:#?}");
    assert_eq!(hop(&lineage, "texts").standing, Standing::Signed);
}

#[test]
fn signed_by_the_wrong_party() {
    let mut world = World::story();
    // A builder that the trust file names: only its own party speaks for it.
    world.rules.builders = vec![Builder {
        id: "https://ci.example/train".into(),
        signer: "ana".into(),
        max_level: Level::L2,
    }];
    let lineage = world.lineage("deployed");
    assert!(!lineage.stands);
    let wrong: Vec<&str> = lineage.refusals().map(|(hop, _)| hop.name.as_str()).collect();
    assert_eq!(wrong, ["deployed", "tuned", "adapter"]);
    let (_, problems) = lineage.refusals().next().unwrap();
    assert_eq!(problems[0].code, "wrong-party");
    assert_eq!(
        problems[0].message,
        "its provenance names the builder https://ci.example/train, for which ana signs; it is signed by dia"
    );
    assert_eq!(hop(&lineage, "base").level, Some(Level::L2));
}

/// A party speaks of its own models, not of those of others.
#[test]
fn an_account_of_somebody_elses_model() {
    let world = World::story();
    std::fs::remove_file(world.path("base").join("claims.jsonl")).unwrap();
    world.account("base", "cem", Kind::Pretrain, &[]);
    let lineage = world.lineage("deployed");
    let (hop, problems) = lineage.refusals().next().unwrap();
    assert_eq!(hop.name, "base");
    let codes: Vec<&str> = problems.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["wrong-party", "may-not-say-no-parents"]);
}

/// Rule 6: "no parents" is somebody's word, and not everybody's.
#[test]
fn no_parents_by_whoever_made_it() {
    let world = World::story();
    std::fs::remove_file(world.path("tuned").join("claims.jsonl")).unwrap();
    world.account("tuned", "ben", Kind::Pretrain, &[]);
    let message = world.refused("tuned", "may-not-say-no-parents");
    assert!(message.starts_with("ben says that it has no parents"), "{message}");
}

/// Rule 6: a fine-tuning whose base is left out is no root.
#[test]
fn a_fine_tuning_without_a_base() {
    let world = World::story();
    std::fs::remove_file(world.path("tuned").join("claims.jsonl")).unwrap();
    world.account("tuned", "ben", Kind::Finetune, &[(Role::TrainingData, "texts")]);
    let message = world.refused("tuned", "malformed-attestation");
    assert!(message.contains("a finetune has 0 base models, expected exactly one"), "{message}");
}

#[test]
fn a_signature_by_a_stranger() {
    let world = World::story();
    world.seal("adapter", "stranger", &Recipe::default());
    let message = world.refused("adapter", "unverified-parent");
    assert!(message.contains("signed by nobody who is named"), "{message}");
}

/// Rules 2 and 6: what a party may sign is named, and its key is good for nothing else.
/// A copy that somebody else signed, too, takes nothing from the maker's word.
#[test]
fn a_mirror_by_another_party() {
    let world = World::story();
    let mirror = world.path("a-mirror");
    std::fs::create_dir(&mirror).unwrap();
    for file in ["weights.bin", "config.json"] {
        std::fs::copy(world.path("base").join(file), mirror.join(file)).unwrap();
    }
    world.seal("a-mirror", "cem", &Recipe::default());
    let lineage = world.lineage("deployed");
    assert!(lineage.stands, "{lineage:#?}");
    assert_eq!(hop(&lineage, "a-mirror").signed_by, ["ana", "cem"]);
}

#[test]
fn a_party_that_may_not_sign_this() {
    let mut world = World::story();
    for party in &mut world.rules.parties {
        if party.id == "ben" {
            party.may_sign = MaySign::only(["oms"]);
        }
    }
    world.refused("tuned", "no-provenance");
    let lineage = world.lineage("deployed");
    let told = lineage.passed_over.join("\n");
    assert!(told.contains("(line 1): signed by ben, who may not sign provenance"), "{told}");
}

/// A model that is also named as data has to have an origin all the same, whichever is named first.
#[test]
fn a_base_that_is_named_as_data_too() {
    for roles in [[Role::TrainingData, Role::BaseModel], [Role::BaseModel, Role::TrainingData]] {
        let world = World::new();
        std::fs::create_dir(world.path("found")).unwrap();
        std::fs::write(world.path("found").join("weights.bin"), "found somewhere").unwrap();
        world.model("tuned", "ben", &[("weights.bin", "tuned")]);
        world.account("tuned", "ben", Kind::Finetune, &roles.map(|role| (role, "found")));
        let lineage = world.lineage("tuned");
        assert!(!lineage.stands, "{lineage:#?}");
        let (hop, problems) = lineage.refusals().next().unwrap();
        assert_eq!((hop.role, problems[0].code), (Some(Role::BaseModel), "unverified-parent"));
    }
}

#[test]
fn a_cycle() {
    let world = World::story();
    std::fs::remove_file(world.path("base").join("claims.jsonl")).unwrap();
    world.account("base", "ana", Kind::Adapter, &[(Role::BaseModel, "tuned")]);
    let message = world.refused("base", "cycle");
    assert_eq!(message, "it is said to be made from itself: tuned ← base ← tuned");
}

#[test]
fn one_account_that_holds_is_enough() {
    let world = World::story();
    world.account("base", "ana", Kind::Adapter, &[(Role::BaseModel, "tuned")]);
    let lineage = world.lineage("deployed");
    assert!(lineage.stands, "{lineage:#?}");
    assert!(hop(&lineage, "base").notes[0].contains("do not hold"));
}

/// A false statement that makes a cycle does not take down what stands without it, in whatever order things are met.
#[test]
fn a_cycle_beside_accounts_that_hold() {
    for merged in [["one", "two"], ["two", "one"]] {
        let world = World::new();
        for (name, by) in [("one", "ana"), ("two", "ben"), ("three", "ben"), ("merged", "ben")] {
            world.model(name, by, &[("weights.bin", name)]);
        }
        world.account("one", "ana", Kind::Finetune, &[(Role::BaseModel, "three")]);
        world.account("one", "ana", Kind::Pretrain, &[]);
        world.account("two", "ben", Kind::Finetune, &[(Role::BaseModel, "one")]);
        world.account("three", "ben", Kind::Finetune, &[(Role::BaseModel, "two")]);
        world.account("merged", "ben", Kind::Merge, &merged.map(|name| (Role::BaseModel, name)));
        let lineage = world.lineage("merged");
        assert!(lineage.stands, "{lineage:#?}");
        // Without the one that is true none of them stands.
        let file = world.path("one").join("claims.jsonl");
        let lines = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, lines.lines().next().unwrap()).unwrap();
        let lineage = world.lineage("merged");
        assert!(lineage.hops.iter().all(|hop| !hop.stands), "{lineage:#?}");
    }
}

#[test]
fn a_chain_that_is_too_deep() {
    let mut world = World::story();
    world.rules.max_depth = 2;
    // deployed ← adapter ← tuned ← base has three; by the shorter way the base has two.
    assert!(world.lineage("tuned").stands);
    world.rules.max_depth = 1;
    world.refused("base", "too-deep");
}

#[test]
fn unverified_parents_are_named_where_they_are_allowed() {
    let mut world = World::story();
    std::fs::remove_dir_all(world.path("base")).unwrap();
    world.rules.unverified_parents = Unverified::Allow;
    let lineage = world.lineage("deployed");
    assert!(lineage.stands, "{lineage:#?}");
    let base = hop(&lineage, "base");
    assert_eq!(base.standing, Standing::Unverified);
    assert!(base.notes[0].starts_with("unverified: not found"));
    assert_eq!(lineage.weakest, "base: nobody vouches for it but its child");
    assert_eq!(lineage.level(), Level::L0);
    // A copy that is wrong is no unverified one.
    std::fs::write(world.path("texts").join("a.txt"), "poison").unwrap();
    world.refused("texts", "changed");
}

/// Rule 6: what cannot be read, or is nobody's, changes nothing.
#[test]
fn lines_without_effect() {
    let world = World::story();
    let file = world.path("deployed").join("claims.jsonl");
    let mut lines = std::fs::read(&file).unwrap();
    lines.splice(0..0, b"garbage\n{}\n\n[]\n".iter().copied());
    std::fs::write(&file, &lines).unwrap();
    let stranger = world.provenance(Kind::Pretrain, &[]);
    world.say("deployed", "stranger", Predicate::Provenance(Box::new(stranger)));
    let lineage = world.lineage("deployed");
    assert!(lineage.stands);
    assert_eq!(lineage.passed_over.len(), 4, "{:?}", lineage.passed_over);
    assert_eq!(hop(&lineage, "deployed").accounts.len(), 1);
}

/// Rule 6: no line that is taken away makes a "no" into a "yes".
#[test]
fn taking_lines_away_never_helps() {
    let world = World::story();
    world.account("base", "ana", Kind::Adapter, &[(Role::BaseModel, "tuned")]);
    world.account("tuned", "ben", Kind::Pretrain, &[]);
    let yes = |world: &World| world.lineage("deployed").stands;
    for name in ["base", "tuned", "adapter", "deployed"] {
        let file = world.path(name).join("claims.jsonl");
        let all = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = all.lines().collect();
        for kept in 0..1usize << lines.len() {
            let some: Vec<&str> =
                (0..lines.len()).filter(|i| kept >> i & 1 == 1).map(|i| lines[i]).collect();
            std::fs::write(&file, some.join("\n")).unwrap();
            let with_some = yes(&world);
            // Adding any further line keeps a "yes".
            for more in &lines {
                let mut with_more = some.clone();
                with_more.push(more);
                std::fs::write(&file, with_more.join("\n")).unwrap();
                assert!(!with_some || yes(&world), "{name}: {kept:b} and {more}");
            }
        }
        std::fs::write(&file, all).unwrap();
    }
}

/// Rule 3: a signature that binds no names is the base of nothing.
#[test]
fn a_signature_that_binds_no_names() {
    let world = World::new();
    let file = world.path("single.gguf");
    std::fs::write(&file, "weights").unwrap();
    let source = LocalModel::open(&file).unwrap();
    let (signer, limits) = (&world.keys["ana"], Limits::default());
    let unnamed = Compatibility::ModelSigning;
    let signed =
        sign(&source, &Recipe::default(), unnamed, signer, Known::Nothing, &limits, work())
            .unwrap();
    std::fs::write(world.path("single.gguf.sig"), signed.bundle).unwrap();
    let lineage = world.lineage("single.gguf");
    assert!(!lineage.stands);
    assert_eq!(lineage.hops[0].problems[0].code, "binds-no-names");
}

#[test]
fn a_single_file_with_claims_beside_it() {
    let world = World::new();
    let file = world.path("single.gguf");
    std::fs::write(&file, "weights").unwrap();
    let source = LocalModel::open(&file).unwrap();
    let (signer, limits) = (&world.keys["ana"], Limits::default());
    let named = Compatibility::Specification;
    let signed =
        sign(&source, &Recipe::default(), named, signer, Known::Nothing, &limits, work()).unwrap();
    std::fs::write(world.path("single.gguf.sig"), signed.bundle).unwrap();
    let made = Predicate::Provenance(Box::new(world.provenance(Kind::Pretrain, &[])));
    let subject = ModelDigests::of(&signed.manifest).descriptor("single.gguf", None);
    world.add("single.gguf", "ana", &Statement::about(subject, made));
    assert!(world.path("single.gguf.claims.jsonl").is_file());
    let lineage = world.lineage("single.gguf");
    assert!(lineage.stands, "{lineage:#?}");
}

#[test]
fn parents_by_their_signatures_alone() {
    let world = World::story();
    // On a small machine only signatures and claims of ancestors are there.
    for name in ["base", "tuned", "adapter", "texts"] {
        for entry in std::fs::read_dir(world.path(name)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name != "model.sig" && name != "claims.jsonl" {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
    let lineage = world.lineage("deployed");
    assert!(lineage.stands, "{lineage:#?}");
    assert_eq!(hop(&lineage, "base").standing, Standing::Signed);
    assert_eq!(hop(&lineage, "deployed").standing, Standing::Verified);
}

#[test]
fn parents_are_not_read_if_that_is_asked_for() {
    let world = World::story();
    std::fs::write(world.path("base").join("weights.bin"), "changed").unwrap();
    world.refused("base", "changed");
    let mut options = Options::default();
    options.measure_parents = false;
    assert!(world.lineage_with("deployed", options).stands);
    std::fs::write(world.path("deployed").join("weights.bin"), "changed").unwrap();
    assert!(!world.lineage_with("deployed", options).stands);
}

#[test]
fn keys_count_in_their_time() {
    let mut world = World::story();
    for party in &mut world.rules.parties {
        if party.id == "cem" {
            party.valid.1 = Some(now());
        }
    }
    let message = world.refused("adapter", "unverified-parent");
    assert!(message.contains("signed by cem, whose key does not count at 2026-11-20"), "{message}");
}

#[test]
fn uncommitted_changes_are_told() {
    let world = World::new();
    world.model("base", "ana", &[("weights.bin", "base")]);
    let mut made = world.provenance(Kind::Pretrain, &[]);
    let source = Source { uri: None, r#ref: None, dirty: Some(true) };
    let parameters = Parameters { source: Some(source), ..Parameters::default() };
    made.build_definition.external_parameters = parameters.to_map();
    world.say("base", "ana", Predicate::Provenance(Box::new(made)));
    let lineage = world.lineage("base");
    assert!(lineage.stands);
    assert!(lineage.hops[0].notes[0].contains("not committed"));
}

#[test]
fn a_build_of_another_kind_says_nothing_of_what_went_in() {
    let world = World::story();
    std::fs::remove_file(world.path("base").join("claims.jsonl")).unwrap();
    let mut made = world.provenance(Kind::Pretrain, &[]);
    made.build_definition.build_type = "https://actions.github.io/buildtypes/workflow/v1".into();
    world.say("base", "ana", Predicate::Provenance(Box::new(made)));
    world.refused("base", "unknown-build-type");
}

fn passed(world: &World, name: &str) -> Verdict {
    Verdict {
        verifier: verdict::Verifier { id: "https://gate.example".into(), version: BTreeMap::new() },
        time_verified: now() - SignedDuration::from_hours(1),
        resource_uri: resource_uri(&world.digests(name).0),
        policy: verdict::Reference { uri: "file:trust.yaml".into(), digest: DigestSet::new() },
        input_attestations: Vec::new(),
        verification_result: VerificationResult::Passed,
        verified_levels: vec!["SLSA_BUILD_LEVEL_2".into()],
        dependency_levels: BTreeMap::new(),
        slsa_version: Some("1.1".into()),
        environment: None,
        expires_on: Some(now() + SignedDuration::from_hours(24)),
    }
}

/// The chain with a verdict about `base` in place of `base`.
fn stood_for(change: impl FnOnce(&mut Verdict), by: &str) -> (World, Lineage) {
    let mut world = World::story();
    world.rules.verifiers = vec![Verifier {
        id: "https://gate.example".into(),
        signer: "gate".into(),
        policies: BTreeSet::new(),
    }];
    let mut verdict = passed(&world, "base");
    change(&mut verdict);
    let about = Statement::about(world.descriptor("base"), Predicate::Verdict(Box::new(verdict)));
    world.add("deployed", by, &about);
    std::fs::remove_dir_all(world.path("base")).unwrap();
    let lineage = world.lineage("deployed");
    (world, lineage)
}

#[test]
fn a_verdict_stands_in_for_a_parent_that_is_not_there() {
    let (_, lineage) = stood_for(|_| {}, "gate");
    assert!(lineage.stands, "{lineage:#?}");
    let base = hop(&lineage, "base");
    assert_eq!((base.standing, base.level), (Standing::StoodFor, Some(Level::L2)));
}

/// Rule 14, and what a consumer of a verification summary checks.
#[test]
fn verdicts_that_do_not_count() {
    type Change = fn(&mut Verdict);
    let changes: [(&str, Change); 7] = [
        ("failed", |v| v.verification_result = VerificationResult::Failed),
        ("over", |v| v.expires_on = Some(now())),
        ("old, without an end", |v| {
            v.expires_on = None;
            v.time_verified = now() - SignedDuration::from_hours(91 * 24);
        }),
        ("of the future", |v| v.time_verified = now() + SignedDuration::from_hours(2)),
        ("of another environment", |v| v.environment = Some("development".into())),
        ("of another verifier", |v| v.verifier.id = "https://other.example".into()),
        ("of another resource", |v| v.resource_uri = "urn:bulla:model:oms-manifest-v1:00".into()),
    ];
    for (what, change) in changes {
        let (_, lineage) = stood_for(change, "gate");
        assert!(!lineage.stands, "{what}");
        let (hop, problems) = lineage.refusals().next().unwrap();
        assert_eq!((hop.name.as_str(), problems[0].code), ("base", "unverified-parent"), "{what}");
    }
    // By a party that may not.
    let (_, lineage) = stood_for(|_| {}, "ben");
    assert!(!lineage.stands);
    assert!(lineage.passed_over[0].contains("signed by ben, who may not sign vsa"));
}

/// Rule 14: a verdict is taken back by a newer one.
#[test]
fn a_verdict_that_was_taken_back() {
    let (world, _) = stood_for(|_| {}, "gate");
    let base = World::story();
    let mut verdict = passed(&base, "base");
    verdict.time_verified = now();
    verdict.verification_result = VerificationResult::Failed;
    let about = Statement::about(base.descriptor("base"), Predicate::Verdict(Box::new(verdict)));
    world.add("deployed", "gate", &about);
    assert!(!world.lineage("deployed").stands);
}

/// Of one time, the order of lines decides nothing: whoever may edit them could choose.
#[test]
fn two_verdicts_of_one_time() {
    let (world, _) = stood_for(|_| {}, "gate");
    let base = World::story();
    let mut verdict = passed(&base, "base");
    verdict.time_verified = now() - SignedDuration::from_hours(1);
    verdict.verification_result = VerificationResult::Failed;
    let about = Statement::about(base.descriptor("base"), Predicate::Verdict(Box::new(verdict)));
    world.add("deployed", "gate", &about);
    let file = world.path("deployed").join("claims.jsonl");
    let lines = std::fs::read_to_string(&file).unwrap();
    let turned: Vec<&str> = lines.lines().rev().collect();
    assert!(!world.lineage("deployed").stands);
    std::fs::write(&file, turned.join("\n")).unwrap();
    assert!(!world.lineage("deployed").stands);
}

#[test]
fn a_verdict_does_not_mend_a_copy_that_was_changed() {
    let mut world = World::story();
    world.rules.verifiers = vec![Verifier {
        id: "https://gate.example".into(),
        signer: "gate".into(),
        policies: BTreeSet::new(),
    }];
    world.say("base", "gate", Predicate::Verdict(Box::new(passed(&world, "base"))));
    std::fs::write(world.path("base").join("weights.bin"), "changed").unwrap();
    world.refused("base", "changed");
}

#[derive(Debug)]
struct Same(bool);

impl Converter for Same {
    fn convert_again(
        &self,
        conversion: &serde_json::Value,
        parent: Side<'_>,
        child: Side<'_>,
    ) -> Option<Result<Result<(), String>, bulla::Fault>> {
        assert_eq!(child.held.name, "converted");
        assert!(["base", "nobodys"].contains(&parent.held.name.as_str()));
        (conversion == "reshard")
            .then(|| Ok(self.0.then_some(()).ok_or_else(|| "tensor a differs".to_owned())))
    }
}

/// `converted`, which ben says to be `base` in another form.
fn converted(world: &World, base: &str) {
    world.model("converted", "ben", &[("weights.bin", "converted")]);
    let mut made = world.provenance(Kind::Convert, &[(Role::BaseModel, base)]);
    let parameters = Parameters { conversion: Some("reshard".into()), ..Parameters::default() };
    made.build_definition.external_parameters = parameters.to_map();
    world.say("converted", "ben", Predicate::Provenance(Box::new(made)));
}

/// What files that are not what was signed are converted to says nothing of what was signed.
#[test]
fn a_conversion_is_done_again_with_files_that_were_measured() {
    let world = World::story();
    converted(&world, "base");
    std::fs::write(world.path("base").join("weights.bin"), "whatever gives the same").unwrap();
    let mut options = Options::default();
    options.converter = Some(&Same(true));
    let lineage = world.lineage_with("converted", options);
    assert!(!lineage.stands && !lineage.hops[0].rederived);
    options.measure_parents = false;
    let lineage = world.lineage_with("converted", options);
    assert!(lineage.stands && !lineage.hops[0].rederived, "{lineage:#?}");
}

#[test]
fn a_conversion_of_nobodys_model_earns_nothing() {
    let world = World::story();
    world.model("nobodys", "cem", &[("weights.bin", "nobodys")]);
    converted(&world, "nobodys");
    world.account("converted", "ben", Kind::Finetune, &[(Role::BaseModel, "base")]);
    let mut options = Options::default();
    options.converter = Some(&Same(true));
    let lineage = world.lineage_with("converted", options);
    assert!(lineage.stands && !lineage.hops[0].rederived, "{lineage:#?}");
}

#[test]
fn conversions_that_are_done_again() {
    let world = World::story();
    converted(&world, "base");
    let mut options = Options::default();
    let lineage = world.lineage_with("converted", options);
    assert!(lineage.stands && !lineage.hops[0].rederived);
    options.converter = Some(&Same(true));
    let lineage = world.lineage_with("converted", options);
    assert!(lineage.stands && lineage.hops[0].rederived);
    assert_eq!(lineage.levels["BULLA_REDERIVED"], 1);
    options.converter = Some(&Same(false));
    let lineage = world.lineage_with("converted", options);
    assert!(!lineage.stands);
    let (_, problems) = lineage.refusals().next().unwrap();
    assert_eq!(problems[0].code, "not-rederived");
}

/// What is there and cannot be read is a fault, not a missing claim.
#[test]
fn a_directory_in_the_place_of_the_claims() {
    let world = World::story();
    let claims = world.path("deployed").join("claims.jsonl");
    std::fs::remove_file(&claims).unwrap();
    std::fs::create_dir(&claims).unwrap();
    let held = Held::around(&world.path("deployed"), &[]).unwrap();
    let limits = Limits::default();
    let walked = walk(held, &world.rules, Options::default(), now(), &limits, work());
    assert!(walked.unwrap_err().to_string().contains("it is not a regular file"));
    // Elsewhere it is told, and can only be missed.
    let tuned = world.lineage("tuned");
    assert!(tuned.stands);
    assert!(tuned.passed_over[0].contains("deployed were not read"), "{:?}", tuned.passed_over);
    assert!(Held::local(Path::new("/dev/null")).is_ok());
}

/// A statement about two models proves nothing of the one that was not looked at.
#[test]
fn a_second_subject_is_not_proved() {
    let world = World::story();
    let claims = world.path("base").join("claims.jsonl");
    let standing = |world: &World| {
        let lineage = world.lineage("base");
        assert!(lineage.stands);
        let file = bulla::claims::ClaimsFile::read(&claims, &Limits::default()).unwrap();
        let described = bulla::inspect::ClaimsDescription::of(&file, Some(&lineage));
        let field = &described.statements[0].statement.fields[0];
        (field.name, field.standing)
    };
    let proved = bulla::inspect::FieldStanding::Proved;
    assert_eq!(standing(&world), ("model_hash", proved));
    std::fs::remove_file(&claims).unwrap();
    let made = Predicate::Provenance(Box::new(world.provenance(Kind::Pretrain, &[])));
    let mut statement = Statement::about(world.descriptor("base"), made);
    statement.subject.push(world.descriptor("tuned"));
    world.add("base", "ana", &statement);
    assert_eq!(standing(&world), ("model_hash", bulla::inspect::FieldStanding::Claimed));
}

/// A verdict counts what the model rests on, not what somebody says besides.
#[test]
fn ancestors_by_accounts_that_hold() {
    let world = World::story();
    world.model("other", "ana", &[("weights.bin", "other")]);
    world.account("other", "ana", Kind::Pretrain, &[]);
    world.account("tuned", "cem", Kind::Finetune, &[(Role::BaseModel, "other")]);
    let lineage = world.lineage("tuned");
    assert!(lineage.stands && lineage.hops.iter().any(|hop| hop.name == "other"));
    let names: Vec<&str> = lineage.ancestors().map(|hop| hop.name.as_str()).collect();
    assert_eq!(names, ["base", "texts"]);
}

/// Rule 6: a longer way to an ancestor does not make it too far away.
#[test]
fn depth_is_that_of_the_shortest_way() {
    let mut world = World::new();
    let chain = |world: &World, name: &str, base: &str| {
        world.model(name, "ana", &[("weights.bin", name)]);
        world.account(name, "ana", Kind::Finetune, &[(Role::BaseModel, base)]);
    };
    world.model("base", "ana", &[("weights.bin", "base")]);
    world.account("base", "ana", Kind::Pretrain, &[]);
    chain(&world, "m1", "base");
    chain(&world, "m2", "m1");
    chain(&world, "x", "m2");
    world.account("x", "ana", Kind::Finetune, &[(Role::BaseModel, "base")]);
    world.rules.max_depth = 2;
    assert!(world.lineage("x").stands);
    world.rules.max_depth = 0;
    assert!(!world.lineage("x").stands);
}

/// Rule 6: an account that does not hold takes no room from one that does.
#[test]
fn an_account_of_too_much() {
    let world = World::story();
    let data = |n: usize| {
        let uri = format!("urn:example:{n}");
        (Role::TrainingData, ResourceDescriptor { uri, ..ResourceDescriptor::default() })
    };
    let mut inputs: Vec<_> = (0..9_999).map(data).collect();
    inputs.push((Role::BaseModel, world.descriptor("texts")));
    let made = provenance(Kind::Finetune, inputs);
    world.say("base", "cem", Predicate::Provenance(Box::new(made)));
    assert!(world.lineage("deployed").stands);
    // Alone it is refused, and that is all.
    std::fs::remove_file(world.path("base").join("claims.jsonl")).unwrap();
    let made = provenance(Kind::Pretrain, (0..10_000).map(data).collect());
    world.say("base", "ana", Predicate::Provenance(Box::new(made)));
    let lineage = world.lineage("base");
    assert!(!lineage.stands);
    assert!(lineage.hops[0].accounts[0].problems.iter().any(|problem| problem.code == "too-many"));
}

/// Rule 12: a verifier's word counts for the rules that it is trusted with.
#[test]
fn a_verdict_by_other_rules() {
    let (mut world, _) = stood_for(
        |verdict| {
            verdict.policy.digest.insert("sha256".to_owned(), "ab".repeat(32));
        },
        "gate",
    );
    assert!(world.lineage("deployed").stands);
    world.rules.verifiers[0].policies = BTreeSet::from(["cd".repeat(32)]);
    assert!(!world.lineage("deployed").stands);
    world.rules.verifiers[0].policies.insert("ab".repeat(32));
    assert!(world.lineage("deployed").stands);
}

/// Files without contents cost no disk, but time.
#[test]
fn places_with_too_much_in_them() {
    let world = World::story();
    let file = std::fs::File::create(world.path("a.sig")).unwrap();
    file.set_len(1 << 20).unwrap();
    let walked = |bytes: u64| {
        let mut limits = Limits::default();
        limits.lineage_bytes = bytes;
        let held =
            Held::around(&world.path("deployed"), &[world.folder.path().to_owned()]).unwrap();
        walk(held, &world.rules, Options::default(), now(), &limits, work()).unwrap()
    };
    assert!(walked(2 << 20).stands);
    let cut = walked(1 << 19);
    assert!(!cut.stands);
    let told = cut.passed_over.join("\n");
    assert!(told.contains("bytes of signatures and claims were read before"), "{told}");
}

/// A key that is good for verdicts is not good for models.
#[test]
fn a_model_signed_by_a_party_that_may_not_sign_models() {
    let world = World::story();
    world.seal("adapter", "gate", &Recipe::default());
    let message = world.refused("adapter", "unverified-parent");
    assert!(message.contains("does not count: signed by nobody who is named"), "{message}");
}

/// Rule 3: a signature of model-signing 0.2.0, which binds no recipe, is the base of nothing.
#[test]
fn a_signature_of_the_old_format() {
    let mut world = World::new();
    let signer = bulla_testkit::bundles::TestSigner::default();
    world.rules.parties.push(Party {
        id: "old".into(),
        trust: signer.trust.clone(),
        valid: (None, None),
        may_sign: MaySign::only(ALL),
    });
    std::fs::create_dir(world.path("old")).unwrap();
    std::fs::write(world.path("old").join("weights.bin"), "w").unwrap();
    let statement = serde_json::json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "weights.bin", "digest": { "sha256": bulla::Digest::sha256(b"w").to_hex() } }],
        "predicateType": "https://model_signing/Digests/v0.1",
        "predicate": {},
    });
    let bundle = signer.bundle_of(statement.to_string().as_bytes());
    std::fs::write(world.path("old").join("model.sig"), bundle).unwrap();
    let lineage = world.lineage("old");
    assert_eq!(lineage.hops[0].problems[0].code, "binds-no-names");
}
