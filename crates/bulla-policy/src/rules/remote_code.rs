//! Loading it runs no code that came with it, or from elsewhere: files of code, and configurations that name some.
//!
//! What loaders do with configurations was read off transformers, diffusers, PEFT, sentence-transformers, Hydra and PyYAML. Weights that
//! are programs themselves (pickles, Keras lambdas) are a matter of `formats`.

use bulla::model::ModelPath;
use bulla::{Failure, Fault};
use serde_json::Value;

use super::contents::{differs, format};
use crate::chain::Permission;
use crate::decision::Finding;
use crate::gate::Facts;
use crate::yaml;

const RULE: &str = "remote-code";
/// Bytes of a configuration that is looked at.
const CONFIGURATION_BYTES: u64 = 16 << 20;
/// Members of a configuration: lists of words in it have hundreds of thousands.
const CONFIGURATION_KEYS: usize = 2_000_000;
/// Endings of what is code, whatever asks for it.
const CODE: [&str; 8] = ["py", "pyc", "pyo", "pyw", "pyd", "so", "dll", "dylib"];
/// Members that ask for code if they are there, and neither empty nor `false`.
const MEMBERS: [&str; 7] = [
    "auto_map",
    "custom_pipelines",
    "custom_generate",
    "trust_remote_code",
    "_custom_code",
    // Hydra's: anything that Python can import.
    "_target_",
    "target",
];
/// Libraries whose classes a diffusers pipeline may be put together from.
const OF_PIPELINES: [&str; 4] = ["diffusers", "transformers", "stable_diffusion", "onnxruntime"];
/// Where the steps of sentence-transformers come from.
const OF_STEPS: &str = "sentence_transformers.";
/// Libraries that PEFT may take the class of a base model from.
const OF_BASE_MODELS: [&str; 3] = ["transformers.models.", "diffusers.models.", "timm.models."];

/// Nothing in it asks for code.
pub(crate) fn remote_code(facts: &Facts<'_>) -> Result<Option<Finding>, Fault> {
    if facts.environment.entry.remote_code == Permission::Allow {
        return Ok(None);
    }
    let Some(model) = facts.model else {
        return Ok(facts.unsigned.map(|_| {
            Finding::not_met(
                RULE,
                "an unsigned model is not opened to look",
                "a signed model, or 'remote_code: allow'",
                "sign the model",
            )
        }));
    };
    let mut wrong = Vec::new();
    for (path, file) in &model.manifest().files {
        let ending = format(path.as_str());
        if CODE.contains(&ending.as_str()) || is_versioned(path) {
            wrong.push(format!("{path}: it is code"));
            continue;
        }
        let kind = match ending.as_str() {
            "json" => Kind::Json,
            "yaml" | "yml" => Kind::Yaml,
            _ => continue,
        };
        if file.size() > kind.limit() {
            if !is_data(path) {
                wrong.push(format!("{path}: it is too large to look at"));
            }
            continue;
        }
        let read = match model.open_verified(path) {
            Ok(read) => read,
            Err(Failure::Fault(fault)) => return Err(fault),
            Err(Failure::Refused(refusal)) => return Ok(Some(differs(&refusal))),
        };
        wrong.extend(kind.code_in(path, read.as_ref()).map(|what| format!("{path}: {what}")));
    }
    Ok(Some(match wrong.is_empty() {
        true => Finding::met(RULE, "no file is code, and no configuration asks for any"),
        false => Finding::not_met(
            RULE,
            wrong.join("; "),
            "no code that comes with a model",
            "use a model of an architecture that the loader has itself, or have the code reviewed and an exception given",
        ),
    }))
}

/// A shared library with its version: `lib.so.1`.
fn is_versioned(path: &ModelPath) -> bool {
    let name = path.as_str().rsplit('/').next().unwrap_or_default().to_lowercase();
    let version = name.split_once(".so.").map(|(_, version)| version);
    version.is_some_and(|version| version.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

/// Words and names of tensors: these are large, and no loader takes them for a configuration.
fn is_data(path: &ModelPath) -> bool {
    let name = path.as_str().rsplit('/').next().unwrap_or_default();
    ["tokenizer.json", "vocab.json"].contains(&name) || name.ends_with(".index.json")
}

#[derive(Clone, Copy)]
enum Kind {
    Json,
    Yaml,
}

impl Kind {
    fn limit(self) -> u64 {
        match self {
            Self::Json => CONFIGURATION_BYTES,
            Self::Yaml => yaml::DOCUMENT_BYTES,
        }
    }

    /// What in a configuration makes a loader run code. Loaders read more than these formats are, NaN and repeated names for two: what
    /// cannot be read here may hold anything there.
    fn code_in(self, path: &ModelPath, bytes: &[u8]) -> Option<String> {
        let value = match self {
            Self::Json => match bulla::json::read_any_large::<Value>(bytes, CONFIGURATION_KEYS) {
                Ok(value) => value,
                Err(why) => return Some(format!("it is no JSON that can be looked at ({why})")),
            },
            Self::Yaml => {
                // PyYAML's tags, under whichever handle.
                if bytes.windows(7).any(|seven| seven == b"python/") {
                    return Some("it names Python objects, which loaders make".to_owned());
                }
                match yaml::read::<Value>(std::path::Path::new(path.as_str()), bytes) {
                    Ok(value) => value,
                    Err(_) => return Some("it is no YAML that can be looked at".to_owned()),
                }
            }
        };
        let name = path.as_str().rsplit('/').next().unwrap_or_default().to_lowercase();
        let own = match name.as_str() {
            "model_index.json" | "modular_model_index.json" => of_pipeline(&value),
            "modules.json" => of_modules(&value),
            _ => None,
        };
        own.or_else(|| in_members(&value, 0))
    }
}

/// diffusers: each part of a pipeline is a library and a class in it; the class of the pipeline itself may be a file beside it.
fn of_pipeline(value: &Value) -> Option<String> {
    value.as_object()?.iter().find_map(|(name, value)| {
        let part = value.as_array()?;
        match part.first() {
            _ if name == "_class_name" => Some("its pipeline is a file beside it".to_owned()),
            None | Some(Value::Null) => None,
            Some(Value::String(library)) if OF_PIPELINES.contains(&library.as_str()) => None,
            // A pair of numbers is a setting.
            Some(Value::String(library)) => Some(format!("{name} is of the library {library}")),
            Some(_) => None,
        }
    })
}

/// sentence-transformers: each step is a class of Python, by its full name.
fn of_modules(value: &Value) -> Option<String> {
    value.as_array()?.iter().find_map(|step| {
        let class = step.get("type").and_then(Value::as_str).unwrap_or_default();
        (!class.starts_with(OF_STEPS)).then(|| format!("a step of it is {class:?}"))
    })
}

fn in_members(value: &Value, depth: usize) -> Option<String> {
    if depth > 64 {
        return Some("it is nested too deep to look at".into());
    }
    match value {
        Value::Object(members) => members
            .iter()
            .find_map(|(name, value)| asks(name, value).or_else(|| in_members(value, depth + 1))),
        Value::Array(items) => items.iter().find_map(|item| in_members(item, depth + 1)),
        _ => None,
    }
}

/// Whether that could be the full name of a class: words with dots between them.
fn is_class(text: &str) -> bool {
    let word = |part: &str| {
        part.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    text.contains('.') && text.split('.').all(word)
}

/// Whether a setting may name a kernel, under whichever of its names: transformers keeps some with `_internal` for itself, and read them from
/// configurations all the same.
fn is_implementation(name: &str) -> bool {
    let name = name.strip_suffix("_internal").unwrap_or(name);
    name.ends_with("attn_implementation") || name.ends_with("experts_implementation")
}

/// What a member asks for.
fn asks(name: &str, value: &Value) -> Option<String> {
    let is_nothing = match value {
        Value::Null | Value::Bool(false) => true,
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    if is_nothing {
        return None;
    }
    match (name, value) {
        // Many settings are called so: what could be imported is meant.
        ("target", Value::String(class)) if is_class(class) => {
            Some(format!("target is {class:?}, which a loader would import"))
        }
        ("target", _) => None,
        // Lightning's.
        ("class_path", Value::String(class)) => {
            Some(format!("class_path is {class:?}, which a loader would import"))
        }
        // sentence-transformers: what a layer is made of, and what a router leads to, by full names.
        ("activation_function", Value::String(class))
            if is_class(class) && !class.starts_with("torch.nn.") =>
        {
            Some(format!("activation_function is {class:?}, which a loader would import"))
        }
        ("types", Value::Object(types)) => {
            let mut classes = types.values().filter_map(Value::as_str);
            let other = |class: &&str| is_class(class) && !class.starts_with(OF_STEPS);
            classes.find(other).map(|class| format!("a step of it is {class:?}"))
        }
        ("parent_library", Value::String(library))
            if OF_BASE_MODELS.iter().any(|known| library.starts_with(known)) =>
        {
            None
        }
        ("parent_library", library) => Some(format!("its base model is of the library {library}")),
        // A kernel of the Hub, by its repository.
        (name, one) if is_implementation(name) && one.to_string().contains('/') => {
            Some(format!("{name} is code from elsewhere: {one}"))
        }
        _ => MEMBERS.contains(&name).then(|| format!("{name} asks for code")),
    }
}
