//! Every format in which a chain is shown.

use std::process::Command;

use crate::story::{BULLA, FOLDERS, Story};

#[test]
fn every_format() {
    let story = Story::new();
    let draw =
        |format: &str| story.yes(&format!("lineage dia/deployed {FOLDERS} --format {format}"));
    assert!(draw("dot").starts_with("digraph lineage {"));
    assert!(draw("mermaid").starts_with("flowchart LR"));
    assert!(draw("json").starts_with('{'));
    let svg = draw("svg");
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
    assert_eq!(svg.matches("<rect").count(), 5);
    let html = draw("html");
    assert!(html.starts_with("<!doctype html>") && html.contains("<svg "));
    assert!(!html.contains("<script") && !html.contains("src="), "it stands alone");
    story.yes(&format!("lineage dia/deployed {FOLDERS} --format html --output page.html"));
    assert_eq!(std::fs::read_to_string(story.path("page.html")).unwrap(), html);
}

/// Names come from whoever signed: in a page or a drawing they are text.
#[test]
fn hostile_names_are_text_everywhere() {
    let story = Story::empty();
    let name = "x<script>alert(1)</script>\"]--\u{1b}[31m";
    let name = name.replace('/', "");
    let model = story.path("ana").join(&name);
    std::fs::create_dir(&model).unwrap();
    std::fs::write(model.join("weights.bin"), "w").unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(BULLA)
            .args(arguments)
            .arg(&model)
            .current_dir(story.0.path())
            .output()
            .unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        said
    };
    run(&["sign", "--key", "ana/ana.key"]);
    run(&["attest", "provenance", "--kind", "pretrain", "--key", "ana/ana.key"]);
    for format in ["tree", "dot", "mermaid", "svg", "html"] {
        let drawn = run(&["lineage", "--trust", "trust.yaml", "--format", format]);
        assert!(!drawn.contains('\u{1b}'), "{format}");
        let marked_up = ["svg", "html"].contains(&format);
        assert!(!marked_up || !drawn.contains("<script"), "{format}: {drawn}");
        assert!(format != "mermaid" || !drawn.contains("]--"), "{drawn}");
        assert!(format != "dot" || !drawn.contains("</script>\"]"), "{drawn}");
    }
}

/// A mistyped name must not cost the user a file.
#[test]
fn a_drawing_replaces_drawings_only() {
    let story = Story::new();
    for format in ["json", "dot", "mermaid", "svg", "html"] {
        let draw = format!("lineage dia/deployed {FOLDERS} --format {format} --output drawn");
        story.yes(&draw);
        story.yes(&draw);
        let other = draw.replace("--output drawn", "--output trust.yaml");
        assert!(story.says(&other, 2).contains("trust.yaml exists"), "{format}");
    }
    story.lineage(0);
}

/// Of two things that standard output is to be, neither is silently left out.
#[test]
fn a_drawing_and_json() {
    let story = Story::new();
    let line = format!("lineage dia/deployed {FOLDERS} --json --format svg");
    assert!(story.says(&line, 2).contains("both say what is written"), "{line}");
    let report =
        story.json(&format!("lineage dia/deployed {FOLDERS} --format svg --output drawn"), 0);
    assert_eq!(report["stands"], true);
    assert!(std::fs::read_to_string(story.path("drawn")).unwrap().starts_with("<svg "));
}
