//! Everything that a person sees: words, colours, bars.
//!
//! Text from outside passes through [`bulla::Printable`] or the JSON writer below before it reaches
//! a terminal.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::OnceLock;

use anstyle::{AnsiColor, Style};
use bulla::lineage::Lineage;
use bulla::report::{
    Digests, EvidenceReport, NoticeReport, Outcome, ReasonReport, SignedByReport, failure_report,
};
use bulla::text::{acts_on_a_terminal, bytes, count};
use bulla::{Failure, Printable, Progress};
use bulla_policy::Concern;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::arguments::OutputArguments;
use crate::excerpt;
use crate::problem::{Problem, Verdict};

const GREEN: Style = AnsiColor::Green.on_default().bold();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
const DIM: Style = Style::new().dimmed();

/// Where output goes, and how much of it.
#[derive(Debug, Clone)]
pub(crate) struct Ui {
    json: bool,
    quiet: bool,
    verbose: bool,
    /// Text goes to standard error: standard output is somebody else's.
    beside: bool,
}

impl Ui {
    pub(crate) fn new(arguments: &OutputArguments) -> Self {
        let OutputArguments { json, quiet, verbose } = *arguments;
        Self { json, quiet, verbose, beside: false }
    }

    /// The same for a program that runs another, whose output standard output is.
    pub(crate) fn beside_a_command(&self) -> Self {
        Self { beside: true, ..self.clone() }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    pub(crate) fn is_verbose(&self) -> bool {
        self.verbose && !self.json
    }

    /// Writes a result: as JSON, or with `text`, or not at all.
    pub(crate) fn result(
        &self,
        object: &impl Serialize,
        text: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.json {
            return print_json(object);
        }
        if self.quiet {
            return Ok(());
        }
        if self.beside {
            return text(&mut anstream::stderr().lock());
        }
        let mut out = anstream::stdout().lock();
        text(&mut out)?;
        out.flush()
    }

    /// A word that says that all is well.
    pub(crate) fn good(&self, word: &str) -> String {
        if self.json { word.to_owned() } else { format!("{GREEN}{word}{GREEN:#}") }
    }

    /// Says what somebody should look at.
    pub(crate) fn alert(&self, about: &str, lines: &[String]) -> io::Result<()> {
        let mut err = anstream::stderr().lock();
        writeln!(err, "{RED}alert{RED:#}: {}", Printable(about))?;
        lines.iter().try_for_each(|line| writeln!(err, "  {}", Printable(line)))
    }

    /// Says something that is not a result.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet && !self.json {
            let _ = writeln!(anstream::stderr(), "{YELLOW}note{YELLOW:#}: {text}");
        }
    }

    /// A bar for long work, if anybody is looking.
    pub(crate) fn bar(&self, doing: &'static str) -> Bar {
        let shown = !self.quiet && !self.json && io::stderr().is_terminal();
        Bar { doing, shown, bar: OnceLock::new() }
    }

    /// Writes the outcomes of a verification as JSON, if that was asked for.
    pub(crate) fn outcomes(&self, verdict: Verdict, outcomes: &[Outcome]) -> io::Result<()> {
        if !self.json {
            return Ok(());
        }
        print_json(&serde_json::json!({
            "command": "verify",
            "verdict": verdict_word(verdict),
            "models": outcomes,
        }))
    }

    /// Writes one outcome for people.
    pub(crate) fn outcome(&self, outcome: &Outcome) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        let model = Printable(&outcome.model);
        let (Some(digests), Some(signer)) = (&outcome.digests, &outcome.signed_by) else {
            let mut err = anstream::stderr().lock();
            match outcome.verdict {
                "refused" => writeln!(err, "{RED}refused{RED:#}: {model}")?,
                _ => writeln!(err, "{YELLOW}could not tell{YELLOW:#}: {model}")?,
            }
            return reasons(&mut err, &outcome.reasons, &outcome.hints, self.verbose);
        };
        if !self.quiet {
            let mut out = anstream::stdout().lock();
            writeln!(out, "{GREEN}verified{GREEN:#}: {model} ({})", amount(digests))?;
            signed_by(&mut out, signer)?;
            evidence(&mut out, &outcome.evidence)?;
            digest_lines(&mut out, digests)?;
            out.flush()?;
        }
        let mut err = anstream::stderr().lock();
        for NoticeReport { weaker_check, message, .. } in &outcome.notices {
            if self.quiet && *weaker_check {
                writeln!(err, "{YELLOW}note{YELLOW:#}: {model}: {message}")?;
            } else if !self.quiet {
                writeln!(err, "  {YELLOW}note{YELLOW:#}: {message}")?;
            }
        }
        Ok(())
    }

    /// Writes a chain that was walked, with its tree if there is one.
    pub(crate) fn lineage(
        &self,
        report: &impl Serialize,
        model: &str,
        lineage: &Lineage,
        tree: Option<&str>,
    ) -> io::Result<()> {
        if self.json {
            return print_json(report);
        }
        let model = Printable(model).to_string();
        if !lineage.stands {
            if let Some(tree) = tree.filter(|_| !self.quiet) {
                write!(anstream::stdout(), "{tree}")?;
            }
            return self.refusals(&model, lineage);
        }
        if self.quiet {
            return Ok(());
        }
        let mut out = anstream::stdout().lock();
        writeln!(out, "{GREEN}verified{GREEN:#}: {model}, and all that it was made from")?;
        write!(out, "{}", tree.unwrap_or_default())?;
        self.chain_lines(&mut out, lineage)?;
        out.flush()
    }

    /// Writes every hop that is in the way, with why.
    pub(crate) fn refusals(&self, model: &str, lineage: &Lineage) -> io::Result<()> {
        let mut err = anstream::stderr().lock();
        writeln!(err, "{RED}refused{RED:#}: {model}: its lineage does not hold")?;
        for (index, hop) in lineage.hops.iter().enumerate().filter(|(_, hop)| !hop.stands) {
            let of_accounts = hop.accounts.iter().flat_map(|account| &account.problems);
            let problems: Vec<_> = hop.problems.iter().chain(of_accounts).collect();
            if problems.is_empty() {
                continue;
            }
            let way: Vec<String> =
                lineage.way_to(index).iter().map(|name| Printable(name).to_string()).collect();
            match way.as_slice() {
                [_, _, ..] => {
                    let way = way.join(" ← ");
                    writeln!(err, "  {RED}{}{RED:#} ({way})", Printable(&hop.name))?;
                }
                _ => writeln!(err, "  {RED}{}{RED:#}", Printable(&hop.name))?,
            }
            let shown = if self.verbose { problems.len() } else { SHOWN };
            for problem in problems.iter().take(shown) {
                writeln!(err, "    {}", Printable(&problem.message))?;
            }
            if problems.len() > shown {
                writeln!(err, "    and {} more (-v shows all)", problems.len() - shown)?;
            }
            let mut hints: Vec<&str> = problems.iter().filter_map(|p| p.hint).collect();
            hints.dedup();
            hints.iter().try_for_each(|hint| writeln!(err, "    {DIM}hint{DIM:#}: {hint}"))?;
        }
        self.passed_over(&mut err, lineage)
    }

    fn chain_lines(&self, out: &mut dyn io::Write, lineage: &Lineage) -> io::Result<()> {
        for hop in &lineage.hops {
            if let (Some(level), Some(next)) = (hop.level, &hop.next_level) {
                writeln!(out, "  {}: {level}; {next}", Printable(&hop.name))?;
            }
            for note in &hop.notes {
                writeln!(
                    out,
                    "  {YELLOW}note{YELLOW:#}: {}: {}",
                    Printable(&hop.name),
                    Printable(note)
                )?;
            }
        }
        let levels: Vec<String> =
            lineage.levels.iter().map(|(level, count)| format!("{count} × {level}")).collect();
        writeln!(out, "  levels     {}", levels.join(", "))?;
        writeln!(out, "  weakest    {}", lineage.weakest)?;
        self.passed_over(out, lineage)
    }

    fn passed_over(&self, out: &mut dyn io::Write, lineage: &Lineage) -> io::Result<()> {
        let lines = &lineage.passed_over;
        let shown = if self.verbose { lines.len() } else { SHOWN };
        for line in lines.iter().take(shown) {
            writeln!(out, "  {YELLOW}note{YELLOW:#}: {}", Printable(line))?;
        }
        match lines.len().saturating_sub(shown) {
            0 => Ok(()),
            more => writeln!(out, "  and {more} more lines without effect (-v shows all)"),
        }
    }

    /// Shows what is about to be published for ever, and asks unless it was agreed to.
    pub(crate) fn agree(&self, agreed: bool, what: &str) -> Result<(), bulla::Fault> {
        use std::io::{IsTerminal as _, Write as _};
        if agreed {
            if self.verbose {
                let _ = write!(anstream::stderr(), "publishing:\n{what}");
            }
            return Ok(());
        }
        let refused = bulla::Fault::NotAgreed;
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(refused);
        }
        let mut err = anstream::stderr();
        let shown = write!(err, "This becomes public, for ever:\n{what}Go on? [y/N] ");
        let mut answer = String::new();
        if shown.and_then(|()| err.flush()).is_err() || io::stdin().read_line(&mut answer).is_err()
        {
            return Err(refused);
        }
        match answer.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(refused),
        }
    }

    /// Writes a decision of the gate: a yes to standard output, a no, and what is only warned of, to standard error.
    pub(crate) fn decision(
        &self,
        report: &impl Serialize,
        model: &str,
        decision: &bulla_policy::Decision,
    ) -> io::Result<()> {
        if self.json {
            return print_json(report);
        }
        let what = format!("{} for {}", Printable(model), Printable(&decision.environment));
        if !decision.admitted {
            let mut err = anstream::stderr().lock();
            writeln!(err, "{RED}refused{RED:#}: {what}")?;
            crate::commands::admit::findings(&mut err, decision, self.verbose)?;
            return notes(&mut err, &decision.notes);
        }
        if !self.quiet {
            let mut out = anstream::stdout().lock();
            writeln!(out, "{GREEN}admitted{GREEN:#}: {what}")?;
            if decision.passed {
                crate::commands::admit::findings(&mut out, decision, true)?;
            }
            out.flush()?;
        }
        let mut err = anstream::stderr().lock();
        if !decision.passed {
            let how = match decision.mode {
                bulla_policy::Mode::Enforce => "rules were waived",
                _ => "the policy only warns here: these rules are not met",
            };
            writeln!(err, "{YELLOW}note{YELLOW:#}: {how}")?;
            crate::commands::admit::findings(&mut err, decision, self.verbose)?;
        }
        if self.quiet { Ok(()) } else { notes(&mut err, &decision.notes) }
    }

    /// Writes how one of several tests went: what is not as expected, and more about it, to standard error.
    pub(crate) fn case(
        &self,
        passed: bool,
        word: &str,
        name: &str,
        more: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
    ) -> io::Result<()> {
        match passed {
            _ if self.json => Ok(()),
            true if self.quiet => Ok(()),
            true => writeln!(anstream::stdout(), "{GREEN}{word}{GREEN:#}: {name}"),
            false => {
                let mut err = anstream::stderr().lock();
                writeln!(err, "{RED}{word}{RED:#}: {name}")?;
                more(&mut err)
            }
        }
    }

    /// What there is to say of a policy.
    pub(crate) fn concerns(
        &self,
        report: &impl Serialize,
        file: &str,
        text: &str,
        concerns: &[Concern],
    ) -> io::Result<()> {
        if self.json {
            return print_json(report);
        }
        let wrong = concerns.iter().filter(|concern| concern.is_error).count();
        if wrong == 0 && !self.quiet {
            writeln!(anstream::stdout(), "{GREEN}good{GREEN:#}: {}", Printable(file))?;
        }
        let mut err = anstream::stderr().lock();
        let shown = |concern: &&Concern| concern.is_error || !self.quiet;
        for concern in concerns.iter().filter(shown) {
            excerpt::write(&mut err, file, text, concern)?;
        }
        if wrong > 0 {
            let wrong = count(wrong, "error");
            writeln!(err, "{RED}refused{RED:#}: {}: {wrong}", Printable(file))?;
        }
        Ok(())
    }

    /// Says why a command failed.
    pub(crate) fn problem(&self, command: &str, problem: &Problem) -> Verdict {
        let (about, verdict, reports, hints) = match problem {
            Problem::Document { what, text, concerns } => {
                // Standard error may be closed; there is nobody left to tell.
                let _ = self.document(command, what, text, concerns);
                return Verdict::CouldNotTell;
            }
            Problem::Usage { message, hint } => {
                (None, Verdict::Usage, vec![ReasonReport::usage(message)], vec![hint.clone()])
            }
            Problem::Service { message, hint } => {
                let report = ReasonReport { code: "service", ..ReasonReport::usage(message) };
                (None, Verdict::CouldNotTell, vec![report], vec![hint.clone()])
            }
            Problem::About { what, failure } => {
                let (_, reports, hints) = failure_report(failure);
                (Some(what), verdict_of(failure), reports, hints)
            }
            Problem::Reasons { what, verdict, reasons, hints } => {
                let report = |(code, message): &(&'static str, String)| ReasonReport {
                    code,
                    ..ReasonReport::usage(message)
                };
                (Some(what), *verdict, reasons.iter().map(report).collect(), hints.clone())
            }
            Problem::Failure(failure) => {
                let (_, reports, hints) = failure_report(failure);
                (None, verdict_of(failure), reports, hints)
            }
        };
        if is_broken_pipe(problem) {
            return verdict; // whoever reads us has seen enough
        }
        // Standard error may be closed; there is nobody left to tell.
        let _ = if self.json {
            print_json(&serde_json::json!({
                "command": command,
                "verdict": verdict_word(verdict),
                "about": about,
                "reasons": reports,
                "hints": hints,
            }))
        } else {
            self.print_problem(about.map(String::as_str), &reports, &hints, verdict)
        };
        verdict
    }

    /// Says why a document cannot be used.
    fn document(
        &self,
        command: &str,
        what: &str,
        text: &str,
        concerns: &[Concern],
    ) -> io::Result<()> {
        let hint = "docs/policy.md describes the document, with an example";
        if self.json {
            return print_json(&serde_json::json!({
                "command": command,
                "verdict": verdict_word(Verdict::CouldNotTell),
                "about": what,
                "reasons": concerns,
                "hints": [hint],
            }));
        }
        let mut err = anstream::stderr().lock();
        for concern in concerns {
            excerpt::write(&mut err, what, text, concern)?;
        }
        writeln!(err, "{RED}error{RED:#}: {} cannot be used", Printable(what))?;
        print_hints(&mut err, &[hint.to_owned()], "")
    }

    fn print_problem(
        &self,
        about: Option<&str>,
        reports: &[ReasonReport],
        hints: &[String],
        verdict: Verdict,
    ) -> io::Result<()> {
        let mut err = anstream::stderr().lock();
        let word = if verdict == Verdict::No { "refused" } else { "error" };
        let about = about.map(|what| format!("{}: ", Printable(what))).unwrap_or_default();
        match reports {
            [one] => {
                writeln!(err, "{RED}{word}{RED:#}: {about}{}", Printable(&one.message))?;
                print_hints(&mut err, hints, "")
            }
            many => {
                writeln!(err, "{RED}{word}{RED:#}: {about}{}", count(many.len(), "reason"))?;
                reasons(&mut err, many, hints, self.verbose)
            }
        }
    }
}

/// More reasons than this are counted, not shown, unless asked for.
const SHOWN: usize = 50;

fn reasons(
    out: &mut dyn io::Write,
    reasons: &[ReasonReport],
    hints: &[String],
    all: bool,
) -> io::Result<()> {
    let shown = if all { reasons.len() } else { SHOWN };
    for reason in reasons.iter().take(shown) {
        writeln!(out, "  {}", Printable(&reason.message))?;
    }
    if reasons.len() > shown {
        writeln!(out, "  and {} more (-v shows all)", reasons.len() - shown)?;
    }
    print_hints(out, hints, "  ")
}

fn print_hints(out: &mut dyn io::Write, hints: &[String], indent: &str) -> io::Result<()> {
    hints.iter().try_for_each(|hint| writeln!(out, "{indent}{DIM}hint{DIM:#}: {}", Printable(hint)))
}

/// `12 files, 4.3 GB`
pub(crate) fn amount(digests: &Digests) -> String {
    format!("{}, {}", count(digests.files, "file"), bytes(digests.size))
}

/// The two digests of a model, under each other.
pub(crate) fn digest_lines(out: &mut dyn io::Write, digests: &Digests) -> io::Result<()> {
    writeln!(out, "  digest     {}", digests.oms)?;
    writeln!(out, "             {}", digests.oms_manifest_v1)
}

pub(crate) fn signed_by(out: &mut dyn io::Write, signer: &SignedByReport) -> io::Result<()> {
    match signer {
        SignedByReport::Key { algorithm, key } => {
            writeln!(out, "  signed by  {algorithm} key {key}")
        }
        SignedByReport::Certificate { subject, names, path, .. } => {
            let who = names.first().unwrap_or(subject);
            writeln!(out, "  signed by  {}", Printable(who))?;
            let path: Vec<String> = path.iter().map(|p| Printable(p).to_string()).collect();
            writeln!(out, "  certified  {}", path.join(" <- "))
        }
        SignedByReport::Identity { identity, identity_provider, root, .. } => {
            writeln!(out, "  signed by  {}", Printable(identity))?;
            writeln!(out, "  vouched by {}", Printable(identity_provider))?;
            writeln!(out, "  certified  under {}", Printable(root))
        }
    }
}

pub(crate) fn evidence(out: &mut dyn io::Write, evidence: &[EvidenceReport]) -> io::Result<()> {
    evidence.iter().try_for_each(|item| match item {
        EvidenceReport::Time { at, by, .. } => {
            writeln!(out, "  signed at  {at} or before, says {}", Printable(by))
        }
        EvidenceReport::LogEntry { log, index } => {
            writeln!(out, "  logged     {}, entry {index}", Printable(log))
        }
    })
}

fn notes(err: &mut dyn io::Write, notes: &[String]) -> io::Result<()> {
    notes.iter().try_for_each(|note| writeln!(err, "{YELLOW}note{YELLOW:#}: {}", Printable(note)))
}

/// The first line of a yes.
pub(crate) fn verified(out: &mut dyn io::Write, what: &str) -> io::Result<()> {
    writeln!(out, "{GREEN}verified{GREEN:#}: {}", Printable(what))
}

fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Yes => "verified",
        Verdict::No => "refused",
        Verdict::Usage => "usage",
        Verdict::CouldNotTell => "fault",
        Verdict::Command(_) => "command",
    }
}

fn verdict_of(failure: &Failure) -> Verdict {
    match failure {
        Failure::Refused(_) => Verdict::No,
        Failure::Fault(_) => Verdict::CouldNotTell,
    }
}

fn is_broken_pipe(problem: &Problem) -> bool {
    matches!(problem, Problem::Failure(Failure::Fault(bulla::Fault::Io { source, path, .. }))
        if source.kind() == io::ErrorKind::BrokenPipe && path.as_os_str() == "standard output")
}

/// One object as text. What could act on a terminal is written as an escape.
pub(crate) fn to_json(object: &impl Serialize) -> io::Result<String> {
    let mut out = Vec::new();
    let pretty = serde_json::ser::PrettyFormatter::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Safe(pretty));
    object.serialize(&mut serializer).map_err(io::Error::from)?;
    out.push(b'\n');
    String::from_utf8(out).map_err(io::Error::other)
}

/// One object on standard output. What could act on a terminal is written as an escape.
fn print_json(object: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let pretty = serde_json::ser::PrettyFormatter::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Safe(pretty));
    object.serialize(&mut serializer).map_err(io::Error::from)?;
    writeln!(out)?;
    out.flush()
}

/// Indented JSON in which strings are harmless for a terminal.
struct Safe<'a>(serde_json::ser::PrettyFormatter<'a>);

impl serde_json::ser::Formatter for Safe<'_> {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        text: &str,
    ) -> io::Result<()> {
        let mut units = [0; 2];
        for c in text.chars() {
            if acts_on_a_terminal(c) {
                for unit in c.encode_utf16(&mut units) {
                    write!(w, "\\u{unit:04x}")?;
                }
            } else {
                write!(w, "{c}")?;
            }
        }
        Ok(())
    }
    fn begin_array<W: ?Sized + io::Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.begin_array(w)
    }
    fn end_array<W: ?Sized + io::Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_array(w)
    }
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_array_value(w, first)
    }
    fn end_array_value<W: ?Sized + io::Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_array_value(w)
    }
    fn begin_object<W: ?Sized + io::Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.begin_object(w)
    }
    fn end_object<W: ?Sized + io::Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_object(w)
    }
    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_object_key(w, first)
    }
    fn begin_object_value<W: ?Sized + io::Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.begin_object_value(w)
    }
    fn end_object_value<W: ?Sized + io::Write>(&mut self, w: &mut W) -> io::Result<()> {
        self.0.end_object_value(w)
    }
}

/// A bar that appears when the work is long enough to wait for.
#[derive(Debug)]
pub(crate) struct Bar {
    doing: &'static str,
    shown: bool,
    bar: OnceLock<ProgressBar>,
}

/// Below this nobody has to wait.
const WORTH_A_BAR: u64 = 256 << 20;

impl Progress for Bar {
    fn start(&self, files: usize, size: u64) {
        if !self.shown || (size < WORTH_A_BAR && files < 20_000) {
            return;
        }
        if let Some(bar) = self.bar.get() {
            bar.reset();
            bar.set_length(size);
            return;
        }
        let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr_with_hz(8));
        let style = ProgressStyle::with_template(
            "{msg} [{bar:30}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta} left",
        );
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(format!("{} {}", self.doing, count(files, "file")));
        let _ = self.bar.set(bar);
    }

    fn advance(&self, size: u64) {
        if let Some(bar) = self.bar.get() {
            bar.inc(size);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}
