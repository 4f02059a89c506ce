use std::time::Instant;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{DEPTH, Expression, NODES, Shape, TEXT_BYTES, Variables, cost};

fn variables() -> Variables {
    use Shape::{Double, Int, Text};
    let file = Shape::object([("path", Text), ("size", Int)]);
    let evaluation =
        Shape::object([("metric", Text), ("value", Double), ("task", Text), ("split", Text)]);
    Variables::new([
        (
            "model",
            Shape::object([
                ("name", Text),
                ("digest", Text),
                ("hash", Text),
                ("total_size", Int),
                ("files", Shape::list(file)),
                ("formats", Shape::list(Text)),
            ]),
        ),
        (
            "signer",
            Shape::object([
                ("authority", Text),
                ("key", Text),
                ("identity", Text),
                ("provider", Text),
                ("claims", Shape::map(Text)),
            ]),
        ),
        ("environment", Text),
        ("release", Shape::object([("name", Text), ("sequence", Int)])),
        (
            "provenance",
            Shape::object([
                ("builder", Text),
                ("level", Int),
                ("build_type", Text),
                ("sources", Shape::list(Text)),
            ]),
        ),
        ("evaluations", Shape::list(evaluation)),
        ("licenses", Shape::list(Text)),
        ("approvals", Shape::list(Text)),
        ("remote_code", Shape::Bool),
    ])
}

fn files(n: usize) -> Vec<Json> {
    (0..n)
        .map(|i| json!({"path": format!("weights/model-{i:05}.safetensors"), "size": i}))
        .collect()
}

fn facts_with(n: usize) -> Json {
    json!({
        "model": {
            "name": "fraud-7", "digest": "oms:00ff", "hash": "sha256", "total_size": 100_000_000_000_i64,
            "files": files(n), "formats": ["safetensors", "json"],
        },
        "signer": {
            "authority": "production", "identity": "ci@company.example",
            "claims": {"ref": "refs/heads/main", "event": "push"},
        },
        "environment": "production",
        "release": {"name": "fraud", "sequence": 41},
        "provenance": {
            "builder": "https://ci.company.example/train", "level": 2,
            "sources": ["git+https://git.company.example/fraud"],
        },
        // The second is a number without a fraction, as some producers write them.
        "evaluations": [
            {"metric": "accuracy", "value": 0.93, "task": "fraud", "split": "test"},
            {"metric": "recall", "value": 1, "task": "fraud"},
        ],
        "licenses": ["apache-2.0"],
        "approvals": ["ana", "ben"],
        "remote_code": false,
    })
}

fn parse(text: &str) -> Result<Expression, String> {
    Expression::parse(text, &variables())
}

fn evaluate(text: &str) -> Result<bool, String> {
    parse(text).unwrap_or_else(|e| panic!("{text}: {e}")).evaluate(&facts_with(3))
}

/// What is wrong with a text that is not read.
fn refused(text: &str) -> String {
    match parse(text) {
        Err(why) => why,
        Ok(_) => panic!("{text} is read"),
    }
}

#[test]
fn what_people_write() {
    for text in [
        "model.total_size < 200.0 * giga",
        "model.total_size < 200 * giga",
        "model.total_size <= 100 * giga && model.total_size >= giga * 100.0",
        "double(model.total_size) / giga == 100.0",
        "model.total_size != 1 * kilo || mega > kilo && tera > 0.5 * giga",
        "model.total_size > 99999999999.5 && 1 == 1.0 && 2u > 1 && 1.5 in [1.5, 2.0] && 1.0 in [1, 2]",
        "model.total_size % 7 == 5 && 7 / 2 == 3 && -model.total_size < 0 && 3 - 5 == -2 && 2 * 3 == 6",
        "model.name.startsWith('fraud-') && model.name.endsWith('7') && model.name.contains('ud')",
        "model.name.matches('^fraud-[0-9]+$') && matches(environment, 'prod') && !model.name.matches(r'\\s')",
        "model.files.all(f, f.path.endsWith('.safetensors') && f.size < 10 * giga)",
        "model.files.exists(f, f.size == 2) && model.files.exists_one(f, f.size == 2)",
        "model.files.map(f, f.size) == [0, 1, 2] && model.files.map(f, f.size > 1, f.path).size() == 1",
        "size(model.files.filter(f, f.path.contains('00001'))) == 1",
        "model.formats.all(f, f in ['safetensors', 'json']) && !('pickle' in model.formats)",
        "signer.authority == 'production' && environment == \"production\"",
        "signer.claims['ref'] == 'refs/heads/main' && signer.claims.event == 'push'",
        "'ref' in signer.claims && has(signer.claims.ref) && !has(signer.claims.sha)",
        "signer.claims.all(name, signer.claims[name].size() > 3) && size(signer.claims) == 2",
        "has(signer.identity) && !has(signer.key) && !has(model.hash) == false",
        "has(provenance.build_type) ? provenance.build_type == 'x' : provenance.level >= 2",
        "evaluations.exists(e, e.metric == 'accuracy' && e.value >= 0.9)",
        "evaluations.all(e, e.value * 2.0 > 1.5 && (has(e.split) ? e.split == 'test' : true))",
        "licenses == ['apache-2.0'] && licenses + ['mit'] != [] && licenses[0] == 'apache-2.0'",
        "size(approvals) >= 2 && approvals.exists(a, a != signer.identity)",
        "int('7') == 7 && int(7.9) == 7 && double('0.5') == 0.5 && uint(3) == 3u && string(41) == '41'",
        "model.name + '-' + string(release.sequence) == 'fraud-7-41' && 'résumé'.size() == 6",
        "!remote_code && (remote_code || release.sequence > 40)",
        "model['name'] == 'fraud-7' // a comment",
        "'a' < 'b' && 'b' >= 'b' && [].size() == 0 && [[1], []].all(l, l.all(n, n == 1))",
    ] {
        assert_eq!(evaluate(text), Ok(true), "{text}");
    }
    assert_eq!(evaluate("model.total_size < 99 * giga"), Ok(false));
    assert_eq!(evaluate("licenses.all(l, l == 'mit')"), Ok(false));
}

#[test]
fn names_that_do_not_exist() {
    assert_eq!(refused("modle.name == 'a'"), r#"there is no "modle": did you mean model?"#);
    assert_eq!(
        refused("model.totl_size < 1"),
        r#"there is no member "totl_size": did you mean total_size?"#
    );
    assert_eq!(
        refused("model.files.all(f, f.paht == '')"),
        r#"there is no member "paht": did you mean path?"#
    );
    assert_eq!(
        refused("has(model.siez)"),
        r#"there is no member "siez", only digest, files, formats, hash, name, total_size"#
    );
    assert_eq!(refused("model['nam'] == ''"), r#"there is no member "nam": did you mean name?"#);
    assert_eq!(
        refused("model.name.startWith('a')"),
        r#"there is no function "startWith": did you mean startsWith?"#
    );
    assert!(refused("now > 0").starts_with(r#"there is no "now", only approvals,"#));
    assert!(
        refused("timestamp('2026-01-01T00:00:00Z') == 1").contains(r#"no function "timestamp""#)
    );
    for text in ["type(1) == 1", "dyn(1) == 1", "optional.of(1) == 1", "max(1, 2) == 2", "1.@in(2)"]
    {
        refused(text);
    }
    assert!(refused("int == 1").contains(r#"there is no "int""#));
    assert_eq!(refused("giga.x == 1"), "giga is a number, which has no members");
    // An element is only there for its own condition.
    assert!(refused("model.files.all(f, true) && f.size > 1").contains(r#"there is no "f""#));
}

#[test]
fn types_that_do_not_fit() {
    for (text, why) in [
        ("model.total_size", "it is a whole number, expected what is true or false"),
        ("licenses", "it is a list, expected what is true or false"),
        ("model.total_size == '7'", "== is not for a whole number and text"),
        ("model.total_size < 'a'", "< is not for a whole number and text"),
        ("model.name && true", "&& is not for text and true or false"),
        ("!model.name", "! is not for text"),
        ("model.files.all(f, f.size)", "&& is not for true or false and a whole number"),
        ("model.name ? true : false", "the condition before ? is not for text and true or false"),
        ("(remote_code ? 1 : 'a') == 1", "a condition gives a whole number or text"),
        (
            "model.total_size * 1.5 > 1.0",
            "* is between a whole number and a number with a fraction: write double()",
        ),
        ("model.name.all(c, true)", "text has no elements"),
        ("model.all(c, true)", "an object has no elements"),
        ("[1, 'a'].size() == 2", "a list has a whole number and text"),
        ("1 in licenses", "in is not for a whole number and a list"),
        ("'name' in model", "ask has(object.member)"),
        ("licenses['a'] == ''", "[…] is not for a list and text"),
        ("licenses.name == ''", "\"name\" is asked of a list"),
        ("model[environment] == ''", "written out: object.member"),
        ("model.name == null", "nothing is null here"),
        ("b'a' == b'a'", "there are no bytes"),
        ("{'a': 1}.size() == 1", "maps cannot be written"),
        ("model{name: 'a'} == model", "objects cannot be written"),
        ("size(1) == 1", "size() is not for a whole number: it is size(list)"),
        ("licenses.all('l')", "all() is not for a list and text: it is list.all(name"),
        ("licenses.all(model, true)", "\"model\" is a name already"),
        ("licenses.all(giga, true)", "\"giga\" is a name already"),
        ("licenses.all(l, licenses.all(l, true))", "\"l\" is a name already"),
        ("licenses.all(.l, true)", "no name for an element"),
        ("signer.claims.map(c, c) == ['a']", "map and filter are for lists"),
    ] {
        let found = refused(text);
        assert!(found.contains(why), "{text}: {found}");
    }
}

#[test]
fn what_cannot_be_read() {
    assert!(refused("").contains("line 1"), "{}", refused(""));
    for text in [
        "1 +", "(1 == 1", "1 == 1)", "model.", "a ? b", "'abc", "1 == 1 1", "x = 1", "a & b",
        "`a`", "#", "模型",
    ] {
        let why = refused(text);
        assert!(!why.contains('\n') && why.len() < 200, "{text}: {why}");
    }
    // Neither what is quoted nor what is not reaches a terminal as it is.
    assert!(!refused("'\u{1b}[31m' == 1 &&").contains('\u{1b}'));
    assert!(!refused("model['\u{1b}[31m'] == 1").contains('\u{1b}'));
}

#[test]
fn too_long() {
    let text = format!("environment != '{}'", "a".repeat(TEXT_BYTES));
    assert!(refused(&text).contains("at most 4096"));
}

#[test]
fn too_many_parts() {
    let list = vec!["1"; NODES].join(",");
    assert!(refused(&format!("[{list}].size() > 0")).contains("more than 1000 parts"));
    // Macros make more of what is written.
    let all = vec!["[].exists_one(x,x)"; 80].join("&&");
    assert!(all.len() < TEXT_BYTES && refused(&all).contains("more than 1000 parts"));
    assert!(parse(&vec!["remote_code"; 200].join("||")).is_ok());
}

#[test]
fn too_deep() {
    let nested = |n: usize| format!("{}true{}", "!(".repeat(n), ")".repeat(n));
    assert!(parse(&nested(DEPTH - 2)).is_ok());
    assert!(refused(&nested(DEPTH)).contains("deeper than 32"));
    // The parser has no bound for what does not nest in the text.
    let chain = format!("model{} == 1", ".a".repeat(200));
    assert!(super::check_tokens(&chain).unwrap_err().contains("deeper than 32"));
    for text in [
        nested(1000),
        format!("{}true", "!-".repeat(2000)),
        format!("{}true", "-".repeat(4000)),
        format!("{}1{} == 1", "(".repeat(2000), ")".repeat(2000)),
        format!("{}1{} == 1", "[".repeat(2000), "]".repeat(2000)),
        format!("{}1", "[".repeat(4000)),
        format!("model{}", ".a".repeat(2000)),
        format!("model{}", ".a()".repeat(1000)),
        format!("model{}", "[0]".repeat(1300)),
        format!("1{} == 1", "+1".repeat(2000)),
        format!("1{}", "==1".repeat(1300)),
        format!("1{}", "<1 ?1:1".repeat(500)),
        format!("{}1", "1?1:".repeat(1000)),
        format!("{}1", "1?".repeat(2000)),
        format!("{}1", "[].all(x,".repeat(400)),
        format!("{}1", "{1:".repeat(1000)),
        format!("{}1", "a{b:".repeat(1000)),
        ")".repeat(4000),
        "?".repeat(4000),
        "a.".repeat(2000),
    ] {
        refused(&text);
    }
}

#[test]
fn quadratic_over_files() {
    let twice = parse("model.files.all(f, model.files.exists_one(g, g.path == f.path))").unwrap();
    assert_eq!(twice.evaluate(&facts_with(100)), Ok(true));
    let why = twice.evaluate(&facts_with(100_000)).unwrap_err();
    assert!(why.contains("more than 10000000 steps"), "{why}");

    let many = facts_with(100_000);
    for text in [
        "model.files.all(f, f.size < 10 * giga && f.path.endsWith('.safetensors'))",
        "model.files.map(f, f.size).size() == 100000",
        "model.files.filter(f, f.path.matches('00[0-9]7.safetensors$')).size() == 100",
    ] {
        let rule = parse(text).unwrap();
        let begun = Instant::now();
        assert_eq!(rule.evaluate(&many), Ok(true), "{text}");
        println!("{text}: {:?} {:?}", rule.bound(&many), begun.elapsed());
    }
    // What is looked for is compared with each element.
    let hidden = parse("model.files.all(f, f.path in model.files.map(g, g.path))").unwrap();
    assert!(hidden.evaluate(&many).unwrap_err().contains("steps"));
    let hidden = parse("model.files.all(f, model.files == model.files)").unwrap();
    assert!(hidden.evaluate(&many).unwrap_err().contains("steps"));
    // Nothing of the files is looked at if they are not named.
    assert!(parse("model.name != ''").unwrap().bound(&many).unwrap().steps < 10);
}

#[test]
fn text_that_doubles() {
    let doubling = |n: usize| {
        let maps: Vec<_> = (0..n).map(|i| format!(".map(x{i}, x{i} + x{i})")).collect();
        format!("['ab']{}[0].size() > 0", maps.concat())
    };
    assert_eq!(parse(&doubling(10)).unwrap().evaluate(&json!({})), Ok(true));
    let why = parse(&doubling(25)).unwrap().evaluate(&json!({})).unwrap_err();
    assert!(why.contains("more than 67108864 bytes"), "{why}");

    let lists = "[1,2,3,4,5,6,7,8].map(a, [1,2,3,4,5,6,7,8].map(b, [1,2,3,4,5,6,7,8].map(c, [1,2,3,4,5,6,7,8]\
                 .map(d, [1,2,3,4,5,6,7,8].map(e, [1,2,3,4,5,6,7,8].map(f, [1,2,3,4,5,6,7,8])))))).size() == 8";
    assert!(parse(lists).unwrap().evaluate(&json!({})).is_err());
}

#[test]
fn patterns() {
    assert_eq!(
        refused("model.name.matches('(a{1000}){1000}')"),
        r#"the pattern "(a{1000}){1000}" is too large: repeat less"#
    );
    // Others match this with thousands of steps for each byte.
    assert!(refused("model.name.matches('[ab]*a[ab]{16}c')").contains("is too large"));
    assert!(refused(r"model.name.matches('\\bmain\\b')").contains(r"write (?-u:\b)"));
    for (pattern, matches) in [
        (r"(?-u:\b)7(?-u:\b)", true),
        (r"^\w+-\d{1,4}$", true),
        (r"(?i)^FRAUD", true),
        (r"^(sha256|sha512):[0-9a-f]{64}$", false),
        (r"^refs/(heads|tags)/.*", false),
        (r"^$", false),
        ("", true),
    ] {
        let text = format!("model.name.matches(r'{pattern}')");
        assert_eq!(evaluate(&text), Ok(matches), "{pattern}");
    }
    assert!(refused("model.name.matches('(a')").contains("cannot be read: unclosed group"));
    assert!(refused("model.name.matches(environment)").contains("written out"));
    assert!(refused("model.name.matches('a' + 'b')").contains("written out"));
    assert!(refused("model.name.matches()").contains("takes a pattern"));
    assert!(refused("model.total_size.matches('a')").contains("for text"));
    assert!(
        refused(&format!("model.name.matches('{}')", "(".repeat(40) + &")".repeat(40)))
            .contains("cannot be read")
    );
    assert!(
        refused(&vec!["environment.matches('a')"; 17].join("||")).contains("more than 16 patterns")
    );
    // What makes others take exponential time takes linear time.
    let text = "a".repeat(30_000);
    let rule = parse("model.name.matches('^(a+)+$') && !model.name.matches('(a|aa)+b')").unwrap();
    let begun = Instant::now();
    assert_eq!(rule.evaluate(&json!({"model": {"name": text}})), Ok(true));
    assert!(begun.elapsed().as_secs() < 5);
    let long = json!({"model": {"name": "a".repeat(100 << 20)}});
    assert!(rule.evaluate(&long).unwrap_err().contains("it could make more"));
}

#[test]
fn facts_without_an_answer() {
    for (text, why) in [
        ("1 / (release.sequence - 41) == 0", "divides by zero"),
        ("1 % (release.sequence - 41) == 0", "divides by zero"),
        ("model.total_size * model.total_size > 0", "gets too large"),
        ("9223372036854775807 + release.sequence > 0", "gets too large"),
        ("-9223372036854775807 - release.sequence > 0", "gets too large"),
        ("-(-9223372036854775807 - 1) > 0", "gets too large"),
        ("(-9223372036854775807 - 1) / -1 > 0", "gets too large"),
        ("int(1e300) > 0", "int(): integer overflow"),
        ("int(model.name) > 0", "int(): string parse error"),
        ("uint(-1) > 0u", "uint(): "),
        ("signer.claims['sha'] == ''", r#"there is no "sha": ask with has()"#),
        ("signer.claims.sha == ''", r#"there is no "sha": ask with has()"#),
        ("signer.key == ''", r#"there is no "key": ask with has()"#),
        ("licenses[7] == ''", "no element 7"),
        ("licenses[-1] == ''", "no element -1"),
        ("0.0 / 0.0 < 1.0", "a number that is none"),
        ("model.files.all(f, f.size / f.size == 1)", "divides by zero"),
    ] {
        let found = evaluate(text).unwrap_err();
        assert!(found.contains(why), "{text}: {found}");
    }
    // What has an answer whatever is missing has it.
    assert_eq!(evaluate("has(signer.key) && signer.key == ''"), Ok(false));
    assert_eq!(evaluate("signer.key == '' || true"), Ok(true));
}

#[test]
fn facts_that_are_not_there_or_others() {
    let with = |text: &str, facts: Json| parse(text).unwrap().evaluate(&facts);
    let level = "provenance.level >= 2";
    for none in [json!({}), json!({"provenance": null}), json!({"provenance": {}}), json!(null)] {
        assert!(with(level, none.clone()).unwrap_err().contains(r#"there is no "level""#));
        assert_eq!(with("has(provenance.level) && provenance.level >= 2", none.clone()), Ok(false));
        // What is true of all of nothing would be true of what nobody looked at.
        assert!(with("evaluations.all(e, e.value > 0.5)", none).is_err());
    }
    for (level, why) in [
        (json!("2"), "provenance.level is text, expected a whole number"),
        (json!(2.5), "provenance.level is a number of another kind, expected a whole number"),
        (json!(u64::MAX), "which is too large"),
        (json!([2]), "provenance.level is a list"),
    ] {
        let found = with("provenance.level >= 2", json!({"provenance": {"level": level}}));
        let found = found.unwrap_err();
        assert!(found.contains(why), "{found}");
    }
    let found = with("licenses.all(l, l == 'a')", json!({"licenses": ["a", 1]})).unwrap_err();
    assert!(found.contains("an element of licenses is a number"), "{found}");
    // What is not used may be anything.
    assert_eq!(with("environment == 'a'", json!({"environment": "a", "model": 7})), Ok(true));
    assert_eq!(with("model.name == 'a'", json!({"model": {"name": "a", "files": 7}})), Ok(true));
}

/// Bits of expressions that often fit.
fn expressions() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "true",
            "1",
            "0",
            "-1",
            "2u",
            "0.5",
            "1e308",
            "9223372036854775807",
            "'a'",
            "''",
            "'é'",
            "[]",
            "[1]",
            "['a', 'b']",
            "model.name",
            "model.total_size",
            "model.files",
            "model.formats",
            "environment",
            "licenses",
            "signer.claims",
            "signer.claims.ref",
            "signer.claims['x']",
            "evaluations",
            "provenance.level",
            "release.sequence",
            "kilo",
            "giga",
            "tera",
            "x",
            "y",
            "x.size",
            "x.path",
            "y.value",
            "has(signer.key)",
            "remote_code",
            "licenses[0]",
            "signer",
            "model",
        ])
        .prop_map(str::to_owned),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| format!("{n:?}")),
    ];
    leaf.prop_recursive(7, 60, 3, |inner| {
        let binary = vec!["+", "-", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||", "in"];
        let macros = vec!["all", "exists", "exists_one", "map", "filter"];
        let members = vec!["contains", "startsWith", "endsWith"];
        let functions = vec!["size", "int", "uint", "double", "string", "!", "-"];
        prop_oneof![
            (inner.clone(), prop::sample::select(binary), inner.clone())
                .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (
                inner.clone(),
                prop::sample::select(macros),
                prop::sample::select(vec!["x", "y"]),
                inner.clone()
            )
                .prop_map(|(a, name, x, b)| format!("{a}.{name}({x}, {b})")),
            (inner.clone(), prop::sample::select(members), inner.clone())
                .prop_map(|(a, name, b)| format!("{a}.{name}({b})")),
            (prop::sample::select(functions), inner.clone()).prop_map(|(f, a)| format!("{f}({a})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[{b}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a}, {b}]")),
            (inner.clone(), prop::sample::select(vec!["a+", "^$", "[^b]*c", "(a|aa)+b"]))
                .prop_map(|(a, p)| format!("{a}.matches('{p}')")),
        ]
    })
    // Most of them are neither true nor false: they are compared with themselves.
    .prop_flat_map(|e| prop_oneof![Just(e.clone()), Just(format!("({e}) == ({e})"))])
}

fn some_facts() -> impl Strategy<Value = Json> {
    let text = || prop_oneof![Just("a".to_owned()), "\\PC{0,40}"];
    let file = (text(), any::<i64>()).prop_map(|(path, size)| json!({"path": path, "size": size}));
    let value =
        prop_oneof![any::<f64>().prop_map(|v| json!(v)), any::<i32>().prop_map(|v| json!(v))];
    (
        prop::collection::vec(file, 0..40),
        prop::collection::btree_map(text(), text(), 0..5),
        prop::collection::vec(value, 0..5),
        prop::collection::vec(text(), 0..5),
        prop::option::of(any::<i64>()),
    )
        .prop_map(|(files, claims, values, licenses, number)| {
            let evaluations: Vec<_> = values.into_iter().map(|v| json!({"value": v})).collect();
            json!({
                "model": {"name": licenses.first(), "total_size": number, "files": files, "formats": licenses},
                "signer": {"claims": claims}, "release": {"sequence": number}, "licenses": licenses,
                "evaluations": evaluations, "environment": "a", "remote_code": number.is_some(),
            })
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_is_read_ends(text in expressions(), facts in some_facts()) {
        let Ok(rule) = parse(&text) else { return Ok(()) };
        let begun = Instant::now();
        if let Ok(bound) = rule.bound(&facts) {
            prop_assert!(bound.steps <= cost::STEPS && bound.bytes <= cost::BYTES);
            let _ = rule.evaluate(&facts);
            // A step is a hundred times less than this allows, in an optimised build.
            let allowed = 2000 + bound.steps / 100;
            prop_assert!(begun.elapsed().as_millis() < u128::from(allowed), "{}", text);
        } else {
            prop_assert!(rule.evaluate(&facts).is_err());
        }
        // What passed the check fails for want of facts or of numbers, never of types.
        if let Err(why) = rule.evaluate(&facts) {
            prop_assert!(!why.contains("a part of it has no value") && !why.contains("neither"), "{}: {}", text, why);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[a-z.()\\[\\]{}!?:'\"+*/<>=&|, 0-9-]{0,60}|\\PC{0,60}") {
        if let Err(why) = parse(&text) {
            prop_assert!(!why.is_empty() && !why.contains('\n'));
        }
    }
}
