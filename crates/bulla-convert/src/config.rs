//! What `config.json` says of the tensors' type, which a conversion changes and nothing else of it.
//!
//! transformers calls it `torch_dtype`, newer versions `dtype`; a model of several parts has one more for
//! each, in `text_config`, `vision_config` and so on.

use bulla::json;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::json::Pairs;
use crate::limits::KEYS;

/// The file.
pub(crate) const CONFIG: &str = "config.json";

const FIELDS: [&str; 2] = ["torch_dtype", "dtype"];

/// Whether a member is the configuration of a part. How a model was quantised has types of its own.
fn is_part(key: &str) -> bool {
    key.ends_with("_config") && key != "quantization_config"
}

/// The members, as `text_config.dtype`, in which two configurations differ, other than in types that
/// became `to`. `None` if one of them cannot be read.
pub(crate) fn differing(parent: &[u8], child: &[u8], to: &str) -> Option<Vec<String>> {
    let read = |text| json::read_large::<Map<String, Value>>(text, KEYS).ok();
    let mut fields = Vec::new();
    compare(&read(parent)?, &read(child)?, to, "", &mut fields);
    Some(fields)
}

fn compare(
    parent: &Map<String, Value>,
    child: &Map<String, Value>,
    to: &str,
    prefix: &str,
    fields: &mut Vec<String>,
) {
    let is_target = |key: &str| child.get(key).and_then(Value::as_str) == Some(to);
    let new = child.keys().filter(|key| !parent.contains_key(*key));
    for key in parent.keys().chain(new) {
        match (parent.get(key), child.get(key)) {
            (was, is) if was == is => {}
            (Some(Value::Object(was)), Some(Value::Object(is))) if is_part(key) => {
                compare(was, is, to, &format!("{prefix}{key}."), fields);
            }
            // Changed or added; or left out because the other of the two names has it now.
            (_, Some(_)) if FIELDS.contains(&key.as_str()) && is_target(key) => {}
            (_, None) if FIELDS.contains(&key.as_str()) && FIELDS.iter().any(|k| is_target(k)) => {}
            _ => fields.push(format!("{prefix}{key}")),
        }
    }
}

/// The configuration with each type that is `from` made `to`, and every other byte as it was. `None` if
/// there is nothing to change, or if it cannot be read.
pub(crate) fn converted(text: &[u8], from: &str, to: &str) -> Option<Vec<u8>> {
    let _: IgnoredAny = json::read_large(text, KEYS).ok()?; // no key twice
    let text = std::str::from_utf8(text).ok()?;
    let mut places = Vec::new();
    find(text, text, &format!("{from:?}"), &mut places);
    let mut result = String::with_capacity(text.len() + 8 * places.len());
    let mut done = 0;
    for place in &places {
        result.push_str(text.get(done..*place)?);
        result.push_str(&format!("{to:?}"));
        done = place + from.len() + 2;
    }
    result.push_str(text.get(done..)?);
    (!places.is_empty()).then(|| result.into_bytes())
}

/// Where in `whole` the values stand that are to be replaced, in order; `object` is a part of it.
fn find(whole: &str, object: &str, from: &str, places: &mut Vec<usize>) {
    let Ok(Pairs(members)) = serde_json::from_str::<Pairs<&RawValue>>(object) else { return };
    for (key, value) in members {
        let value = value.get();
        if FIELDS.contains(&key.as_str()) && value == from {
            places.push(value.as_ptr() as usize - whole.as_ptr() as usize);
        } else if is_part(&key) {
            find(whole, value, from, places);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = r#"{
  "dtype": "int8", "x": {"dtype": "float32"}, "y": "float32", "rope": 1e-05,
  "text_config": {"torch_dtype":   "float32", "y": ["float32"]},
  "quantization_config": {"dtype": "float32"},
  "torch_dtype": "float32"
}
"#;

    #[test]
    fn only_the_type_is_replaced() {
        let child = converted(PARENT.as_bytes(), "float32", "bfloat16").unwrap();
        let expected = PARENT
            .replace(r#""torch_dtype":   "float32""#, r#""torch_dtype":   "bfloat16""#)
            .replace(r#""torch_dtype": "float32""#, r#""torch_dtype": "bfloat16""#);
        assert_eq!(String::from_utf8(child.clone()).unwrap(), expected);
        assert_eq!(differing(PARENT.as_bytes(), &child, "bfloat16").unwrap(), [""; 0]);
        assert_eq!(
            differing(PARENT.as_bytes(), &child, "float16").unwrap(),
            ["text_config.torch_dtype", "torch_dtype"]
        );
    }

    #[test]
    fn nothing_to_replace() {
        for text in
            ["{}", "[]", "x", r#"{"dtype":"float16"}"#, r#"{"dtype":"float32","dtype":"float32"}"#]
        {
            assert_eq!(converted(text.as_bytes(), "float32", "float16"), None, "{text}");
        }
    }

    #[test]
    fn fields_that_may_and_may_not_differ() {
        let check = |parent: &str, child: &str| {
            differing(parent.as_bytes(), child.as_bytes(), "float16").unwrap().join(" ")
        };
        // The newer name instead of the older, a field where none was, nothing at all.
        assert_eq!(check(r#"{"torch_dtype":"float32"}"#, r#"{"dtype":"float16"}"#), "");
        assert_eq!(check(r#"{"a":1}"#, r#"{ "a": 1, "dtype": "float16" }"#), "");
        assert_eq!(check(r#"{"dtype":"float32"}"#, r#"{"dtype":"float32"}"#), "");
        // Left out, something else, elsewhere.
        assert_eq!(check(r#"{"dtype":"float32"}"#, "{}"), "dtype");
        assert_eq!(check(r#"{"dtype":"float32"}"#, r#"{"dtype":null}"#), "dtype");
        assert_eq!(check(r#"{"dtype":"float32"}"#, r#"{"dtype":"float64"}"#), "dtype");
        assert_eq!(check(r#"{"a":{"dtype":"float32"}}"#, r#"{"a":{"dtype":"float16"}}"#), "a");
        assert_eq!(check(r#"{"a":1,"b":2}"#, r#"{"a":2,"c":2}"#), "a b c");
        let quantised = r#"{"quantization_config":{"dtype":"float32"}}"#;
        let changed = quantised.replace("32", "16");
        assert_eq!(check(quantised, &changed), "quantization_config");
        assert_eq!(check(r#"{"text_config":{"z":1}}"#, r#"{"text_config":{}}"#), "text_config.z");
    }

    #[test]
    fn what_cannot_be_read_is_not_compared() {
        for text in ["", "[]", "{", r#"{"a":1,"a":1}"#] {
            assert_eq!(differing(text.as_bytes(), b"{}", "float16"), None);
            assert_eq!(differing(b"{}", text.as_bytes(), "float16"), None);
        }
    }
}
