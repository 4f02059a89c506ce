//! Parties, and models that they make.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bulla::claims::{append, claims_path};
use bulla::lineage::{Held, Lineage, Options, Rules, walk};
use bulla::party::{MaySign, Party};
use bulla::sign::{Known, attest, sign};
use bulla::statement::build::{Kind, Parameters, Role};
use bulla::statement::descriptor::{ROLE, ResourceDescriptor};
use bulla::statement::provenance::{BuildDefinition, Provenance, RunDetails};
use bulla::{
    Compatibility, KeyAlgorithm, KeyPair, KeySigner, Limits, LocalModel, ModelDigests, Predicate,
    Recipe, Statement, Trust,
};
use bulla_testkit::{now, work};

/// Parties with a key each, and folders.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) keys: BTreeMap<&'static str, KeySigner>,
    pub(crate) rules: Rules,
}

pub(crate) const ALL: [&str; 3] = ["oms", "provenance", "dataset"];

impl World {
    pub(crate) fn new() -> Self {
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
    pub(crate) fn story() -> Self {
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

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn model(&self, name: &str, by: &str, files: &[(&str, &str)]) {
        std::fs::create_dir_all(self.path(name)).unwrap();
        for (file, contents) in files {
            std::fs::write(self.path(name).join(file), contents).unwrap();
        }
        self.seal(name, by, &Recipe::default());
    }

    pub(crate) fn seal(&self, name: &str, by: &str, recipe: &Recipe) {
        let path = self.path(name);
        let _ = std::fs::remove_file(path.join("model.sig"));
        let source = LocalModel::open(&path).unwrap();
        let (compatibility, limits) = (Compatibility::Specification, Limits::default());
        let signer = &self.keys[by];
        let signed =
            sign(&source, recipe, compatibility, signer, Known::Nothing, &limits, work()).unwrap();
        std::fs::write(path.join("model.sig"), signed.bundle).unwrap();
    }

    pub(crate) fn digests(&self, name: &str) -> (ModelDigests, Recipe) {
        let source = LocalModel::open(&self.path(name)).unwrap();
        let recipe = Recipe::default();
        let limits = Limits::default();
        let manifest =
            bulla::sign::measure(&source, &recipe, Known::Nothing, &limits, work()).unwrap();
        (ModelDigests::of(&manifest), manifest.recipe.clone())
    }

    pub(crate) fn descriptor(&self, name: &str) -> ResourceDescriptor {
        let (digests, recipe) = self.digests(name);
        digests.descriptor(name, Some(&recipe))
    }

    pub(crate) fn provenance(&self, kind: Kind, inputs: &[(Role, &str)]) -> Provenance {
        let inputs = inputs.iter().map(|(role, name)| (*role, self.descriptor(name)));
        provenance(kind, inputs.collect())
    }

    pub(crate) fn account(&self, name: &str, by: &str, kind: Kind, inputs: &[(Role, &str)]) {
        self.say(name, by, Predicate::Provenance(Box::new(self.provenance(kind, inputs))));
    }

    /// Signs a statement about a model, and adds it.
    pub(crate) fn say(&self, name: &str, by: &str, predicate: Predicate) {
        self.add(name, by, &Statement::about(self.descriptor(name), predicate));
    }

    pub(crate) fn add(&self, at: &str, by: &str, statement: &Statement) {
        let limits = Limits::default();
        let sealed = attest(statement, &self.keys[by], &limits).unwrap();
        append(&claims_path(&self.path(at), None), &sealed.bundle, &limits).unwrap();
    }

    pub(crate) fn lineage_with(&self, name: &str, options: Options<'_>) -> Lineage {
        let limits = Limits::default();
        let folders = [self.folder.path().to_owned()];
        let held = Held::around(&self.path(name), &folders).unwrap();
        walk(held, &self.rules, options, now(), &limits, work()).unwrap()
    }

    pub(crate) fn lineage(&self, name: &str) -> Lineage {
        self.lineage_with(name, Options::default())
    }

    /// The chain of `deployed` is refused, at this hop alone, for this reason.
    pub(crate) fn refused(&self, hop: &str, code: &str) -> String {
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

pub(crate) fn provenance(kind: Kind, inputs: Vec<(Role, ResourceDescriptor)>) -> Provenance {
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

pub(crate) fn hop<'a>(lineage: &'a Lineage, name: &str) -> &'a bulla::lineage::Hop {
    lineage.hops.iter().find(|hop| hop.name == name).unwrap()
}

pub(crate) fn rename(from: PathBuf, to: PathBuf) {
    std::fs::rename(from, to).unwrap();
}
