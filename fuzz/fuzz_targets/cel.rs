//! Any text as a rule, a line `---` and facts: no panic, no end of the stack, no endless run; what was read says the same twice.
#![no_main]
use bulla_policy::{Expression, Shape, Variables};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fn variables() -> Variables {
    let file = Shape::object([("path", Shape::Text), ("size", Shape::Int)]);
    let model = [
        ("name", Shape::Text),
        ("total_size", Shape::Int),
        ("files", Shape::list(file)),
        ("formats", Shape::list(Shape::Text)),
    ];
    let evaluation = Shape::object([("metric", Shape::Text), ("value", Shape::Double)]);
    Variables::new([
        ("model", Shape::object(model)),
        ("signer", Shape::object([("claims", Shape::map(Shape::Text))])),
        ("evaluations", Shape::list(evaluation)),
        ("environment", Shape::Text),
        ("remote_code", Shape::Bool),
    ])
}

fn usual() -> Value {
    let file = |i: i64| json!({"path": format!("{i}.safetensors"), "size": i});
    json!({
        "model": {
            "name": "fraud", "total_size": 1_000_000_000, "formats": ["gguf"],
            "files": (0..50).map(file).collect::<Vec<_>>(),
        },
        "signer": {"claims": {"ref": "main", "event": "push"}},
        "evaluations": [{"metric": "accuracy", "value": 0.9}],
        "environment": "production",
        "remote_code": false,
    })
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (rule, facts) = text.split_once("\n---\n").unwrap_or((text, ""));
    let facts = serde_json::from_str(facts).unwrap_or_else(|_| usual());
    let Ok(rule) = Expression::parse(rule, &variables()) else { return };
    assert_eq!(rule.evaluate(&facts).is_ok(), rule.clone().evaluate(&facts).is_ok());
});
