//! Conversions that are done again.

use bulla::Predicate;
use bulla::lineage::{Converter, Options, Side};
use bulla::statement::build::{Kind, Parameters, Role};

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
