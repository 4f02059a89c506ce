//! Training logs: what is written is read, and whatever is done to one is found.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

use bulla_provenance::jiff::{SignedDuration, Timestamp};
use bulla_provenance::training_log::{
    Checkpoint, Entry, Event, Head, LINE_BYTES, LogError, METRIC_NAMES, Metric, Name, Problem,
    Report, Writer, verify,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn time(seconds: i64) -> Timestamp {
    "2026-11-20T12:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

fn members(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn metric(name: &str, value: f64, step: u64) -> Entry {
    let name = Name::parse(name).unwrap();
    Entry::Metric(Metric { name, value, step: Some(step), other: Map::new() })
}

/// A log of ten lines, with something of every kind.
fn sample(path: &Path) -> Head {
    let mut log = Writer::create(path, time(0)).unwrap();
    log.append(time(1), &Entry::Start(members(json!({"program": "train.py"})))).unwrap();
    for step in 0..5 {
        #[allow(clippy::cast_precision_loss)]
        log.append(time(2), &metric("loss", 1.0 / (step + 1) as f64, step)).unwrap();
    }
    let name = Name::parse("out/step-4.safetensors").unwrap();
    let digest = Some(format!("sha256:{}", "ab".repeat(32)));
    let saved = Checkpoint { name, digest, step: Some(4), other: Map::new() };
    log.append(time(3), &Entry::Checkpoint(saved)).unwrap();
    let event = Event::new("early-stop", members(json!({"why": "patience"}))).unwrap();
    log.append(time(4), &Entry::Event(event)).unwrap();
    log.append(time(5), &Entry::End(members(json!({"exit_code": 0})))).unwrap();
    log.finish().unwrap()
}

fn sample_bytes() -> (Vec<u8>, Head) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training.log");
    let head = sample(&path);
    (std::fs::read(path).unwrap(), head)
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split_inclusive(|&b| b == b'\n').map(<[u8]>::to_vec).collect()
}

fn refused(bytes: &[u8]) -> (u64, Problem) {
    match verify(bytes, None) {
        Err(LogError::Broken { line, problem }) => (line, problem),
        other => panic!("must be refused: {other:?}"),
    }
}

/// A log with this text as its last line, which is right in everything else.
fn with_line(kind: &str, data: &str) -> Vec<u8> {
    let (bytes, head) = sample_bytes();
    let digest = hex::encode(head.sha256);
    let seq = head.lines;
    let line = format!(
        r#"{{"seq":{seq},"time":"2026-11-20T12:00:00Z","previous":"{digest}","kind":"{kind}","data":{data}}}"#
    );
    [bytes, line.into_bytes(), b"\n".to_vec()].concat()
}

#[test]
fn a_log_is_summed_up() {
    let (bytes, head) = sample_bytes();
    let report = verify(&*bytes, Some(&head)).unwrap();
    assert_eq!(report.head, head);
    assert_eq!(report.head.lines, 10);
    assert_eq!(report.bytes, bytes.len() as u64);
    assert_eq!((report.started, report.finished), (time(0), Some(time(5))));
    assert_eq!(report.counts.metrics, 5);
    assert_eq!(report.counts.checkpoints, 1);
    assert_eq!((report.counts.starts, report.counts.events, report.counts.ends), (1, 1, 1));
    let loss = report.metrics.get("loss").unwrap();
    assert_eq!((loss.value, loss.step, loss.count), (0.2, Some(4), 5));
    assert_eq!(report.last_checkpoint.as_ref().unwrap().name, "out/step-4.safetensors");
    assert_eq!(report.clock_went_back, None);
    let shown = serde_json::to_value(&report).unwrap();
    assert_eq!(shown["metrics"]["loss"]["value"], json!(0.2));
    assert_eq!(shown["head"]["sha256"], json!(hex::encode(head.sha256)));
}

/// The format as other programs see it: this file was made by another, with hashlib.
#[test]
fn the_format_is_what_it_was() {
    let bytes = include_bytes!("data/small.log");
    let head: Head =
        "4:28cf9c87256dc2fcfe50021cbd37edf8a4bbf4584c8068fda7e91cb9ed8012a4".parse().unwrap();
    let report = verify(&bytes[..], Some(&head)).unwrap();
    assert_eq!(report.nonce, "000102030405060708090a0b0c0d0e0f");
    assert_eq!(report.metrics["loss"].value, 0.1);
}

#[test]
fn a_head_as_text() {
    let (_, head) = sample_bytes();
    assert_eq!(head.to_string().parse::<Head>().unwrap(), head);
    let shown = serde_json::to_string(&head).unwrap();
    assert_eq!(serde_json::from_str::<Head>(&shown).unwrap(), head);
    let digest = "ab".repeat(32);
    for wrong in [
        String::new(),
        digest.clone(),
        format!("0:{digest}"),
        format!("+3:{digest}"),
        format!("03:{digest}"),
        format!("3:{}", digest.to_uppercase()),
        format!("3:{digest}00"),
        format!("3:{digest}\n"),
    ] {
        assert!(wrong.parse::<Head>().is_err(), "{wrong}");
    }
}

/// Every byte, changed in several ways.
#[test]
fn a_changed_byte() {
    let (bytes, head) = sample_bytes();
    let last_line = bytes.len() - lines(&bytes).last().unwrap().len();
    for at in 0..bytes.len() {
        for change in [0x01, 0x02, 0x04, 0x20, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            assert!(verify(&*changed, Some(&head)).is_err(), "byte {at} ^ {change:#x}");
            if at < last_line {
                assert!(verify(&*changed, None).is_err(), "byte {at} ^ {change:#x}, no head");
            }
        }
    }
}

#[test]
fn a_changed_value_is_found_at_the_next_line() {
    let (bytes, _) = sample_bytes();
    let text = String::from_utf8(bytes).unwrap();
    let edited = text.replacen(r#""value":0.5"#, r#""value":0.1"#, 1);
    let (line, problem) = refused(edited.as_bytes());
    assert_eq!(line, 5, "the edited line is 4");
    assert!(matches!(problem, Problem::Previous { .. }), "{problem}");
}

#[test]
fn a_log_cut_anywhere() {
    let (bytes, head) = sample_bytes();
    for at in 0..bytes.len() {
        let cut = &bytes[..at];
        assert!(verify(cut, Some(&head)).is_err(), "cut at {at}");
        // Without a head, only a cut between two lines goes unseen.
        let clean = at > 0 && bytes[at - 1] == b'\n';
        assert_eq!(verify(cut, None).is_ok(), clean, "cut at {at}, no head");
    }
}

#[test]
fn a_line_taken_out_repeated_or_moved() {
    let (bytes, head) = sample_bytes();
    let lines = lines(&bytes);
    for i in 0..lines.len() {
        let last = i + 1 == lines.len();
        let mut without = lines.clone();
        without.remove(i);
        assert!(verify(&*without.concat(), Some(&head)).is_err());
        assert_eq!(verify(&*without.concat(), None).is_ok(), last);
        for to in 0..=lines.len() {
            let mut twice = lines.clone();
            twice.insert(to, lines[i].clone());
            assert!(verify(&*twice.concat(), None).is_err(), "{i} again at {to}");
        }
        for j in 0..i {
            let mut moved = lines.clone();
            moved.swap(i, j);
            assert!(verify(&*moved.concat(), None).is_err(), "{i} and {j}");
        }
    }
}

#[test]
fn a_missing_line_is_called_that() {
    let (bytes, _) = sample_bytes();
    let mut without = lines(&bytes);
    without.remove(4);
    assert_eq!(refused(&without.concat()), (5, Problem::Sequence { found: 5, expected: 4 }));
}

#[test]
fn a_head_with_another_number_of_lines() {
    let (bytes, head) = sample_bytes();
    for lines in [head.lines - 1, head.lines + 1] {
        let wrong = Head { lines, ..head };
        assert!(matches!(verify(&*bytes, Some(&wrong)), Err(LogError::NotTheHead { .. })));
    }
}

#[test]
fn a_new_end_needs_a_head_to_be_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training.log");
    let head = sample(&path);
    let (mut log, _) = Writer::resume(&path).unwrap();
    log.append(time(9), &metric("loss", 0.0, 9)).unwrap();
    drop(log);
    let bytes = std::fs::read(&path).unwrap();
    assert!(verify(&*bytes, None).is_ok());
    match verify(&*bytes, Some(&head)) {
        Err(LogError::NotTheHead { begins_with_expected: true, .. }) => {}
        other => panic!("{other:?}"),
    }
    // Another log of the same length is another log.
    let (other, _) = sample_bytes();
    match verify(&*other, Some(&head)) {
        Err(e @ LogError::NotTheHead { begins_with_expected: false, .. }) => {
            assert!(e.to_string().contains("another"), "{e}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_line_that_is_not_what_it_must_be() {
    let (bytes, _) = sample_bytes();
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert_eq!(refused(b"").1, Problem::Empty);
    assert!(matches!(refused(b"\n").1, Problem::NotALog(_)));
    assert!(matches!(refused(b"[]\n").1, Problem::NotALog(_)));
    assert!(matches!(refused(b"{\"bulla\":\"x\"}\n").1, Problem::NotALog(_)));
    let newer = text.replacen(r#""version":1"#, r#""version":2"#, 1);
    assert_eq!(refused(newer.as_bytes()), (1, Problem::Version { found: 2 }));
    let more = text.replacen(r#""version":1"#, r#""version":1,"x":1"#, 1);
    assert!(matches!(refused(more.as_bytes()), (1, Problem::NotALog(_))));
    assert_eq!(refused(text.replace('\n', "\r\n").as_bytes()), (1, Problem::CarriageReturn));
    let (line, problem) = refused(text.trim_end().as_bytes());
    assert!(line == 10 && matches!(problem, Problem::Unfinished { .. }), "{problem}");
    for (after, at) in [("\n", 11), ("garbage\n", 11), ("{}\n", 11), ("{", 11), ("\0", 11)] {
        let (line, _) = refused(format!("{text}{after}").as_bytes());
        assert_eq!(line, at, "{after:?}");
    }
    assert_eq!(refused(format!("{text} {{}}\n").as_bytes()), (11, Problem::WhiteSpace));
    // A line is bounded, with a newline and without.
    let long = " ".repeat(LINE_BYTES + 1);
    assert_eq!(refused(format!("{text}{long}").as_bytes()), (11, Problem::TooLong));
    assert_eq!(refused(format!("{text}{long}\n").as_bytes()), (11, Problem::TooLong));
}

#[test]
fn an_entry_that_is_none() {
    assert!(verify(&*with_line("event", r#"{"name":"x","more":[1,{"a":null}]}"#), None).is_ok());
    for (kind, data, word) in [
        ("metrics", "{}", "kind"),
        ("event", "{}", "name"),
        ("event", "[]", "invalid type"),
        ("event", r#"{"name":"x","name":"x"}"#, "twice"),
        ("event", r#"{"name":"x","a":{"b":1,"b":1}}"#, "twice"),
        ("event", r#"{"name":7}"#, "name"),
        ("event", r#"{"name":""}"#, "empty"),
        ("event", r#"{"name":"a\u001b[31m"}"#, "show"),
        ("event", r#"{"name":"x","step":-1}"#, "step"),
        ("metric", r#"{"name":"x"}"#, "value"),
        ("metric", r#"{"name":"x","value":null}"#, "value"),
        ("metric", r#"{"name":"x","value":"0.5"}"#, "value"),
        ("metric", r#"{"name":"x","value":NaN}"#, "expected value"),
        ("metric", r#"{"name":"x","value":1e999}"#, "range"),
        ("metric", r#"{"name":"x","value":1,"step":1.5}"#, "step"),
        ("checkpoint", r#"{"name":"x","digest":"abc"}"#, "digest"),
        ("checkpoint", r#"{"name":"x","digest":5}"#, "digest"),
    ] {
        let (line, problem) = refused(&with_line(kind, data));
        assert!(line == 11 && problem.to_string().contains(word), "{data}: {problem}");
    }
    // A member that the line itself does not have.
    let text = String::from_utf8(with_line("event", r#"{"name":"x"}"#)).unwrap();
    let at = text.rfind(r#""kind""#).unwrap();
    let more = format!("{}\"x\":1,{}", &text[..at], &text[at..]);
    assert!(matches!(refused(more.as_bytes()), (11, Problem::Json(_))));
}

#[test]
fn a_time_that_is_none() {
    let good = String::from_utf8(with_line("event", r#"{"name":"x"}"#)).unwrap();
    let at = good.rfind("2026-11-20T12:00:00Z").unwrap();
    for (time, ok) in [
        ("2026-11-20T12:00:00.123456789Z", true),
        ("2026-11-20T12:00:00+00:00", false),
        ("2026-11-20T12:00:00", false),
        ("2026-11-20 12:00:00Z", false),
        ("2026-11-20t12:00:00z", false),
        ("2026-13-20T12:00:00Z", false),
        ("1795176000", false),
        ("", false),
    ] {
        let text = format!("{}{time}{}", &good[..at], &good[at + 20..]);
        assert_eq!(verify(text.as_bytes(), None).is_ok(), ok, "{time}");
    }
}

#[test]
fn a_clock_that_is_set_back_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training.log");
    let mut log = Writer::create(&path, time(0)).unwrap();
    for seconds in [10, 5, 7, 3] {
        log.append(time(seconds), &metric("loss", 0.5, 1)).unwrap();
    }
    let head = log.finish().unwrap();
    let report = verify(&*std::fs::read(&path).unwrap(), Some(&head)).unwrap();
    let back = report.clock_went_back.unwrap();
    assert_eq!((back.times, back.first_line), (2, 3));
    assert_eq!(report.finished, None);
}

#[test]
fn numbers_that_json_has_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training.log");
    let mut log = Writer::create(&path, time(0)).unwrap();
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        log.append(time(0), &metric(&format!("{value}"), value, 1)).unwrap();
    }
    drop(log);
    let report = verify(&*std::fs::read(&path).unwrap(), None).unwrap();
    assert!(report.metrics["NaN"].value.is_nan());
    assert_eq!(report.metrics["inf"].value, f64::INFINITY);
    let shown = serde_json::to_value(&report).unwrap();
    assert_eq!(shown["metrics"]["NaN"]["value"], json!("NaN"));
    assert_eq!(shown["metrics"]["-inf"]["value"], json!("-Infinity"));
}

#[test]
fn more_metrics_than_a_report_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training.log");
    let mut log = Writer::create(&path, time(0)).unwrap();
    for i in 0..METRIC_NAMES + 10 {
        log.append(time(0), &metric(&format!("metric-{i:05}"), 0.5, 1)).unwrap();
    }
    drop(log);
    let report = verify(&*std::fs::read(&path).unwrap(), None).unwrap();
    assert_eq!((report.metrics.len(), report.metrics_left_out), (METRIC_NAMES, 10));
}

#[test]
fn a_log_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training.log");
    sample(&path);
    let before = std::fs::read(&path).unwrap();
    let error = Writer::create(&path, time(0)).unwrap_err();
    assert!(error.hint().unwrap().contains("never overwritten"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    // Nor through a link, to something or to nothing.
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("elsewhere", &link).unwrap();
    assert!(Writer::create(&link, time(0)).is_err());
    assert!(Writer::resume(&link).is_err());
    assert!(!folder.path().join("elsewhere").exists());
}

#[test]
fn one_writer_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training.log");
    let log = Writer::create(&path, time(0)).unwrap();
    assert!(matches!(Writer::resume(&path), Err(LogError::Locked { .. })));
    assert!(matches!(Writer::repair(&path), Err(LogError::Locked { .. })));
    drop(log);
    assert!(Writer::resume(&path).is_ok());
}

#[test]
fn a_log_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training.log");
    let head = sample(&path);
    let (mut log, report) = Writer::resume(&path).unwrap();
    assert_eq!((log.head(), report.head), (head, head));
    log.append(time(9), &Entry::Start(Map::new())).unwrap();
    let head = log.finish().unwrap();
    let report = verify(&*std::fs::read(&path).unwrap(), Some(&head)).unwrap();
    assert_eq!((report.counts.starts, report.finished), (2, None));
    // Only after all of it was checked.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert!(matches!(Writer::resume(&path), Err(LogError::Broken { .. })));
    assert!(matches!(Writer::repair(&path), Err(LogError::Broken { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "what cannot be mended is left alone");
}

#[test]
fn an_unfinished_line_is_cut_off_only_when_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training.log");
    let head = sample(&path);
    let good = std::fs::read(&path).unwrap();
    assert_eq!(Writer::repair(&path).unwrap().cut_bytes, 0);
    let torn = [&good[..], br#"{"seq":10,"time":"2026"#].concat();
    std::fs::write(&path, &torn).unwrap();
    let error = Writer::resume(&path).unwrap_err();
    assert!(error.hint().unwrap().contains("repair"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), torn);
    let repaired = Writer::repair(&path).unwrap();
    assert_eq!((repaired.cut_bytes, repaired.head), (22, head));
    assert_eq!(std::fs::read(&path).unwrap(), good);
    Writer::resume(&path).unwrap();
    // Nothing whole: there is nothing to keep.
    std::fs::write(&path, "{\"bulla\"").unwrap();
    assert!(Writer::repair(&path).is_err());
    std::fs::write(&path, "").unwrap();
    assert!(Writer::repair(&path).is_err() && Writer::resume(&path).is_err());
}

#[test]
fn whoever_writes_besides_is_noticed() {
    use std::io::Write as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training.log");
    let mut log = Writer::create(&path, time(0)).unwrap();
    log.append(time(1), &metric("loss", 0.5, 1)).unwrap();
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"x").unwrap();
    assert!(matches!(log.append(time(2), &metric("loss", 0.5, 2)), Err(LogError::Disturbed)));
    assert!(matches!(log.append(time(2), &metric("loss", 0.5, 2)), Err(LogError::Disturbed)));
}

#[test]
fn what_no_reader_takes_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training.log");
    let mut log = Writer::create(&path, time(0)).unwrap();
    let head = log.head();
    let long = Event::new("x", members(json!({"text": "x".repeat(LINE_BYTES)}))).unwrap();
    assert!(matches!(log.append(time(1), &Entry::Event(long)), Err(LogError::Unfit(_))));
    let mut deep = json!(0);
    for _ in 0..200 {
        deep = json!([deep]);
    }
    let deep = Event::new("x", members(json!({ "deep": deep }))).unwrap();
    assert!(matches!(log.append(time(1), &Entry::Event(deep)), Err(LogError::Unfit(_))));
    assert!(Event::new("a\nb", Map::new()).is_err());
    assert_eq!(log.head(), head);
    log.append(time(1), &metric("loss", 0.5, 1)).unwrap();
    drop(log);
    assert_eq!(verify(&*std::fs::read(&path).unwrap(), None).unwrap().head.lines, 2);
}

/// In time: whoever opens a FIFO to write and read waits for nobody.
#[test]
fn something_else_in_the_place_of_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training.log");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
    let error = Writer::resume(&path).unwrap_err().to_string();
    assert!(error.contains("regular"), "{error}");
    assert!(Writer::create(&path, time(0)).is_err());
    assert!(Writer::resume(folder.path()).is_err());
    assert!(Writer::resume(&PathBuf::from("/no/such/file")).is_err());
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

fn any_other() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map("[a-z]{8,12}|\\PC{8,10}", any_value(), 0..3)
        .prop_map(|m| m.into_iter().collect())
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let name = || "[ -~]{1,40}".prop_map(|name| Name::parse(&name).unwrap());
    let step = || any::<Option<u64>>();
    prop_oneof![
        any_other().prop_map(Entry::Start),
        any_other().prop_map(Entry::End),
        (name(), any::<f64>(), step(), any_other())
            .prop_map(|(name, value, step, other)| Metric { name, value, step, other })
            .prop_map(Entry::Metric),
        (name(), prop::option::of("sha256:[0-9a-f]{64}"), step(), any_other())
            .prop_map(|(name, digest, step, other)| Checkpoint { name, digest, step, other })
            .prop_map(Entry::Checkpoint),
        (name(), step(), any_other())
            .prop_map(|(name, step, other)| Event { name, step, other })
            .prop_map(Entry::Event),
    ]
}

fn written(entries: &[Entry]) -> (Vec<u8>, Head) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training.log");
    let mut log = Writer::create(&path, time(0)).unwrap();
    for (i, entry) in entries.iter().enumerate() {
        if i % 3 == 2 {
            drop(log);
            log = Writer::resume(&path).unwrap().0;
        }
        log.append(time(i64::try_from(i).unwrap()), entry).unwrap();
    }
    let head = log.head();
    drop(log);
    (std::fs::read(&path).unwrap(), head)
}

fn accepted(bytes: &[u8], head: &Head) -> Option<Report> {
    verify(bytes, Some(head)).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read(entries in prop::collection::vec(any_entry(), 0..8)) {
        let (bytes, head) = written(&entries);
        let report = accepted(&bytes, &head).unwrap();
        prop_assert_eq!(report.head.lines, entries.len() as u64 + 1);
        for (line, entry) in lines(&bytes).iter().skip(1).zip(&entries) {
            let line: Value = serde_json::from_slice(line).unwrap();
            prop_assert_eq!(&line["data"], &Value::Object(entry.to_data()));
            let read = Entry::from_data(entry.kind(), members(line["data"].clone())).unwrap();
            prop_assert_eq!(read.to_data(), entry.to_data());
            if let (Entry::Metric(read), Entry::Metric(wrote)) = (&read, entry) {
                prop_assert!(read.value.to_bits() == wrote.value.to_bits() || wrote.value.is_nan());
            }
        }
    }

    #[test]
    fn whatever_is_done_to_a_log_is_found(
        entries in prop::collection::vec(any_entry(), 1..6),
        at in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
        change in 1u8..,
        insert in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let (bytes, head) = written(&entries);
        let place = at.index(bytes.len());
        let mut flipped = bytes.clone();
        flipped[place] ^= change;
        prop_assert!(accepted(&flipped, &head).is_none());
        prop_assert!(accepted(&bytes[..place], &head).is_none());
        let mut more = bytes.clone();
        more.splice(place..place, insert.iter().copied());
        prop_assert!(accepted(&more, &head).is_none());
        let rows = lines(&bytes);
        let (i, j) = (at.index(rows.len()), other.index(rows.len()));
        let mut without = rows.clone();
        without.remove(i);
        prop_assert!(accepted(&without.concat(), &head).is_none());
        let mut twice = rows.clone();
        twice.insert(j, rows[i].clone());
        prop_assert!(accepted(&twice.concat(), &head).is_none());
        if i != j {
            let mut moved = rows.clone();
            moved.swap(i, j);
            prop_assert!(accepted(&moved.concat(), &head).is_none());
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(verify(&*bytes, None).is_err());
    }
}
