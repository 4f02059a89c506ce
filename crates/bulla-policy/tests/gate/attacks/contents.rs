//! What is in the model: other ways in which loaders are asked for code.

use bulla_policy::ModelName;

use super::again;
use crate::world::World;

fn with(files: &[(&str, &[u8])]) -> World {
    let world = World::new().with("formats: [safetensors, json, txt]", "verdict_valid_for: 30d");
    files.iter().for_each(|(name, bytes)| world.write(name, bytes));
    world.sign("prod");
    again(&world);
    world
}

#[test]
fn code_by_other_names() {
    for (name, bytes, words) in [
        ("handler.py", &b"import os"[..], "handler.py: it is code"),
        ("lib/Kernel.SO", b"\x7fELF", "lib/Kernel.SO: it is code"),
        // A pipeline whose class is a file, and one with a part of any library.
        ("model_index.json", br#"{"_class_name":["pipeline","Mine"]}"#, "file beside it"),
        ("model_index.json", br#"{"unet":["subprocess","Popen"]}"#, "the library subprocess"),
        ("modules.json", br#"[{"idx":0,"type":"evil.Layer"}]"#, "\"evil.Layer\""),
        ("modules.json", br#"[{"idx":0}]"#, "a step of it"),
        (
            "adapter_config.json",
            br#"{"auto_mapping":{"base_model_class":"X","parent_library":"transformers_modules.x"}}"#,
            "transformers_modules.x",
        ),
        ("config.json", br#"{"_attn_implementation":"evil/kernel"}"#, "evil/kernel"),
        ("config.json", br#"{"attn_implementation":{"text":"evil/kernel@v1"}}"#, "evil/kernel"),
        // As transformers keeps it for itself, and older ones read it all the same.
        (
            "config.json",
            br#"{"_attn_implementation_internal":"evil/kernel"}"#,
            "evil/kernel",
        ),
        (
            "config.json",
            br#"{"text_config":{"_experts_implementation_internal":"evil/kernel"}}"#,
            "evil/kernel",
        ),
        ("router_config.json", br#"{"types":{"query":"evil.module.Layer"}}"#, "evil.module.Layer"),
        ("2_Dense/config.json", br#"{"activation_function":"os.system"}"#, "os.system"),
        ("modular_model_index.json", br#"{"unet":["evil_lib","Model",{}]}"#, "evil_lib"),
        ("config.yaml", b"model:\n  class_path: os.system\n", "os.system"),
        ("lib/kernel.so.1.2", b"\x7fELF", "it is code"),
        ("hook.pyw", b"import os", "it is code"),
        ("generation_config.json", br#"{"custom_generate":"evil/repo"}"#, "custom_generate"),
        // Of two members of one name one loader takes the first, another the last.
        ("config.json", br#"{"auto_map":{"AutoModel":"m.M"},"auto_map":null}"#, "stands twice"),
        ("model.yaml", b"encoder:\n  _target_: os.system\n", "_target_ asks for code"),
        ("v1.YML", b"model:\n  target: evil.Model\n", "evil.Model"),
        ("conf.yaml", b"a: !!python/object/apply:os.system [id]\n", "Python objects"),
        (
            "conf.yaml",
            b"%TAG !p! tag:yaml.org,2002:python/\n---\na: !p!name:os.system\n",
            "Python objects",
        ),
        ("conf.yaml", b"a: [", "no YAML"),
    ] {
        with(&[(name, bytes)]).refused("remote-code", words);
    }
}

/// What usual models have is let through.
#[test]
fn configurations_that_ask_for_nothing() {
    let pipeline = br#"{"_class_name":"StableDiffusionPipeline","vae":["diffusers","AutoencoderKL"],
        "safety_checker":[null,null],"tokenizer":["transformers","CLIPTokenizer"],"size":[512,512]}"#;
    let world = with(&[
        ("model_index.json", pipeline),
        ("modules.json", br#"[{"idx":0,"type":"sentence_transformers.models.Transformer"}]"#),
        (
            "adapter_config.json",
            br#"{"auto_mapping":{"base_model_class":"L","parent_library":"transformers.models.llama.modeling_llama"},"target_modules":["q"],"target":"q"}"#,
        ),
        ("config.json", br#"{"_attn_implementation":"sdpa","auto_map":{},"trust_remote_code":false}"#),
        ("2_Dense/config.json", br#"{"activation_function":"torch.nn.modules.activation.Tanh"}"#),
        (
            "router_config.json",
            br#"{"types":{"query":"sentence_transformers.models.Transformer"},"structure":{"query":["q"]}}"#,
        ),
        ("recipe.yaml", b"lr: 1e-4\ntarget: accuracy\n"),
    ]);
    world.admitted();
}

/// A third party publishes SHA-256 of its one file.
#[test]
fn the_digest_of_one_file() {
    let mut world = World::new();
    let digest = |bytes: &[u8]| vec![ModelName::File(bulla::Digest::sha256(bytes))];
    // Of several files none stands for the model.
    world.expected = digest(b"weights");
    world.refused("expected-digest", "sha256:");
    std::fs::remove_file(world.model().join("config.json")).unwrap();
    world.sign("prod");
    again(&world);
    world.admitted();
    world.expected = digest(b"other weights");
    world.refused("expected-digest", &bulla::Digest::sha256(b"weights").to_hex());
}
