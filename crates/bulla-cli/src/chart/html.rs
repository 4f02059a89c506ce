//! A page that stands alone: no script, nothing from elsewhere.

use askama::Template;
use bulla::Printable;
use bulla::lineage::Lineage;

use super::{Look, level, made_by, name, role, standing, svg};

#[derive(Template)]
#[template(path = "lineage.html", escape = "html")]
struct Page {
    title: String,
    stands: bool,
    picture: String,
    weakest: String,
    levels: Vec<(String, usize)>,
    hops: Vec<Row>,
    passed_over: Vec<String>,
}

struct Row {
    class: &'static str,
    name: String,
    way: String,
    role: &'static str,
    made_by: String,
    level: String,
    next: String,
    standing: String,
    place: String,
    digests: Vec<String>,
    problems: Vec<(String, &'static str)>,
    notes: Vec<String>,
}

pub(crate) fn draw(lineage: &Lineage) -> Result<String, askama::Error> {
    let harmless = |text: &String| Printable(text).to_string();
    let rows = lineage.hops.iter().enumerate().map(|(index, hop)| {
        let of_accounts = hop.accounts.iter().filter(|_| !hop.stands).flat_map(|a| &a.problems);
        let problems = hop.problems.iter().chain(of_accounts);
        Row {
            class: Look::of(hop).class(),
            name: name(hop),
            way: lineage
                .way_to(index)
                .iter()
                .map(|n| Printable(n).to_string())
                .collect::<Vec<_>>()
                .join(" ← "),
            role: role(hop),
            made_by: made_by(hop),
            level: level(hop),
            next: hop.next_level.clone().unwrap_or_default(),
            standing: standing(hop),
            place: hop.place.as_ref().map(harmless).unwrap_or_default(),
            digests: hop
                .digests
                .map(|d| d.to_string().split(' ').map(str::to_owned).collect())
                .unwrap_or_default(),
            problems: problems
                .map(|p| (harmless(&p.message), p.hint.unwrap_or_default()))
                .collect(),
            notes: hop.notes.iter().map(harmless).collect(),
        }
    });
    Page {
        title: lineage.hops.first().map(name).unwrap_or_default(),
        stands: lineage.stands,
        picture: svg::draw(lineage)?,
        weakest: lineage.weakest.clone(),
        levels: lineage.levels.iter().map(|(level, count)| (level.clone(), *count)).collect(),
        hops: rows.collect(),
        passed_over: lineage.passed_over.iter().map(harmless).collect(),
    }
    .render()
}
