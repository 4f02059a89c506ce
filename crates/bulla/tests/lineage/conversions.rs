//! Conversions that are done again.

use std::sync::Mutex;

use bulla::lineage::{Converter, Options, Side};
use bulla::sign::Known;
use bulla::statement::build::{Kind, Parameters, Role};
use bulla::{Limits, LocalModel, ModelDigests, ModelPath, Predicate, Recipe, Statement};
use bulla_testkit::work;

use crate::world::World;

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

/// Lists what it is given.
#[derive(Debug, Default)]
struct Lists(Mutex<Vec<Vec<String>>>);

impl Converter for Lists {
    fn convert_again(
        &self,
        _: &serde_json::Value,
        parent: Side<'_>,
        child: Side<'_>,
    ) -> Option<Result<Result<(), String>, bulla::Fault>> {
        for side in [parent, child] {
            let listing = side.source.list(&side.scope, &Limits::default()).unwrap();
            assert_eq!(listing.irregular, []);
            let names = listing.files.iter().map(|file| file.path.as_str().to_owned());
            self.0.lock().unwrap().push(names.collect());
        }
        Some(Ok(Ok(())))
    }
}

/// No more and no less is given to a converter than what signatures cover.
#[test]
fn what_is_converted_is_what_was_signed() {
    let world = World::story();
    converted(&world, "base");
    let path = world.path("converted");
    std::fs::create_dir(path.join("cache")).unwrap();
    std::fs::write(path.join("cache/x"), "left out").unwrap();
    std::os::unix::fs::symlink("weights.bin", path.join("link.bin")).unwrap();
    let mut recipe = Recipe { follow_symlinks: true, ..Recipe::default() };
    recipe.ignore.insert(ModelPath::parse("cache").unwrap());
    recipe.ignore.retain(|path| path.as_str() != ".git");
    world.seal("converted", "ben", &recipe);
    // Of the recipe is what the provenance is about.
    std::fs::remove_file(path.join("claims.jsonl")).unwrap();
    let mut made = world.provenance(Kind::Convert, &[(Role::BaseModel, "base")]);
    let parameters = Parameters { conversion: Some("reshard".into()), ..Parameters::default() };
    made.build_definition.external_parameters = parameters.to_map();
    let source = LocalModel::open(&path).unwrap();
    let (known, limits) = (Known::Nothing, Limits::default());
    let manifest = bulla::sign::measure(&source, &recipe, known, &limits, work()).unwrap();
    let subject = ModelDigests::of(&manifest).descriptor("converted", Some(&recipe));
    let about = Statement::about(subject, Predicate::Provenance(Box::new(made)));
    world.add("converted", "ben", &about);
    // Nobody signed it, and the specification leaves it out.
    std::fs::create_dir(path.join(".git")).unwrap();
    std::fs::write(path.join(".git/config"), "").unwrap();

    let lists = Lists::default();
    let mut options = Options::default();
    options.converter = Some(&lists);
    let lineage = world.lineage_with("converted", options);
    assert!(lineage.stands && lineage.hops[0].rederived, "{lineage:#?}");
    let listed = lists.0.into_inner().unwrap();
    assert_eq!(listed, [["config.json", "weights.bin"], ["link.bin", "weights.bin"]]);
}
