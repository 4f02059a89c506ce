//! The index of a model in several files: `model.safetensors.index.json`, which says for each tensor in
//! which file it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::limits::KEYS;

/// How the name of an index ends.
pub(crate) const INDEX: &str = ".safetensors.index.json";

/// For each tensor its file.
pub(crate) type WeightMap = BTreeMap<String, String>;

/// Other members, `metadata` above all, are remarks that nobody loads a model by; they are not looked at.
#[derive(Deserialize)]
struct Index {
    #[serde(deserialize_with = "bulla::json::object")]
    weight_map: WeightMap,
}

/// Reads an index.
///
/// # Errors
/// One line that says what is wrong with it.
pub(crate) fn parse(text: &[u8]) -> Result<WeightMap, String> {
    bulla::json::read_large(text, KEYS).map(|Index { weight_map }| weight_map)
}

/// Writes an index as Hugging Face's libraries do: by name, indented by two.
pub(crate) fn encode(weight_map: &WeightMap, total_size: u64) -> Result<Vec<u8>, String> {
    #[derive(Serialize)]
    struct Metadata {
        total_size: u64,
    }
    #[derive(Serialize)]
    struct Written<'a> {
        metadata: Metadata,
        weight_map: &'a WeightMap,
    }
    let index = Written { metadata: Metadata { total_size }, weight_map };
    let mut text = serde_json::to_vec_pretty(&index).map_err(|e| e.to_string())?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let map = WeightMap::from([("b".into(), "2".into()), ("a".into(), "1".into())]);
        let text = encode(&map, 12).unwrap();
        assert_eq!(parse(&text).unwrap(), map);
        let expected = "{\n  \"metadata\": {\n    \"total_size\": 12\n  },\n  \"weight_map\": {\n    \"a\": \"1\",\n    \"b\": \"2\"\n  }\n}\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn bad_indexes() {
        for (text, words) in [
            (r#"{"weight_map":{"a":"1","a":"2"}}"#, "twice"),
            (r#"{"weight_map":{},"weight_map":{}}"#, "twice"),
            (r#"{"weight_map":{},"metadata":{"a":1,"a":1}}"#, "twice"),
            (r#"{"weight_map":{"a":1}}"#, "expected a string"),
            (r#"{"weight_map":[]}"#, "expected an object"),
            (r#"[{}]"#, "expected an object"),
            ("{}", "missing"),
            ("{\"weight_map\":{}}x", "trailing"),
            ("\u{feff}{}", "expected value"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        assert!(parse(b"{\"weight_map\":{\"\xff\":\"\"}}").is_err());
    }
}
