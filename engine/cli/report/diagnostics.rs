//! Faults of a workflow file, for people in the manner of rustc and for programs as JSON.

use std::io::IsTerminal as _;
use std::ops::Range;

use annotate_snippets::{
    Annotation, AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet,
    normalize_untrusted_str,
};
use flow_core::definition::{Source, Span};
use flow_core::diagnostic::{Diagnostic, Label};
use flow_core::schema::Severity;
use serde_json::{Value, json};

use crate::session::Session;

/// Lines between two marked places that are still shown together.
const NEAR: usize = 6;
/// Bytes of a line that are given to the renderer, which trims them to a terminal's width. It looks
/// at every character, so that a file of a single line of megabytes would take it very long.
const MAX_LINE: usize = 16 * 1024;
/// Characters that are kept before a place in a longer line.
const LEAD: usize = 200;

/// The faults with the text they point to, one after another with an empty line between them.
/// Control characters of the file are never written raw.
pub(crate) fn render(diagnostics: &[Diagnostic], source: &Source, color: bool) -> String {
    let lines = Lines::new(source);
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for diagnostic in diagnostics {
        let inside = diagnostic.source.as_deref().map(|source| (source, Lines::new(source)));
        let (source, lines) = inside.as_ref().map_or((source, &lines), |(s, l)| (*s, l));
        let report = [group(diagnostic, source, lines)];
        out.push_str(&renderer.render(&report));
        out.push_str("\n\n");
    }
    out
}

/// For a person at a terminal: how to read more about the first fault; else nothing.
pub(crate) fn way_to_explain(faults: &[Diagnostic], env: &Session) -> String {
    let error = faults.iter().find(|fault| fault.severity == Severity::Error);
    match error.filter(|_| std::io::stderr().is_terminal()) {
        Some(fault) => {
            let command = env.command(&["explain", fault.code]);
            format!("{}: what a code means: {command}\n", env.stderr.good("help"))
        }
        None => String::new(),
    }
}

/// The faults as data. `valid` tells whether none of them refuses the file.
pub(crate) fn to_json(diagnostics: &[Diagnostic], source: &Source) -> Value {
    let lines = Lines::new(source);
    let faults: Vec<Value> = diagnostics
        .iter()
        .map(|fault| {
            let at = fault.labels.first().map_or(0, |label| label.span.start);
            let inside = fault.source.as_deref().map(|source| (source, Lines::new(source)));
            let (source, lines) = inside.as_ref().map_or((source, &lines), |(s, l)| (*s, l));
            let place = lines.place(at);
            json!({
                "code": fault.code,
                "severity": fault.severity,
                "message": fault.message,
                "file": source.name,
                "line": place.line + 1,
                "column": lines.column(&place),
                "help": fault.help,
            })
        })
        .collect();
    let valid = diagnostics.iter().all(|d| d.severity != Severity::Error);
    json!({ "valid": valid, "faults": faults })
}

fn group<'a>(diagnostic: &'a Diagnostic, source: &'a Source, lines: &Lines<'a>) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code);
    let mut group = Group::with_title(title);
    for part in parts(&diagnostic.labels, lines) {
        group = group.elements(snippet(&part, source, lines));
    }
    if let Some(help) = &diagnostic.help {
        let text: Vec<String> = help.lines().map(normalize_untrusted_str).collect();
        group = group.element(Level::HELP.message(text.join("\n")));
    }
    group
}

/// Marked places that are shown in one piece of the file.
struct Part<'a> {
    /// Each label with whether it is the first of its fault.
    labels: Vec<(&'a Label, bool)>,
    /// Lines of the piece, from 0.
    rows: Range<usize>,
}

/// Joins places that are near to one another, so that a file of any length shows only a few lines.
fn parts<'a>(labels: &'a [Label], lines: &Lines<'_>) -> Vec<Part<'a>> {
    let mut parts: Vec<Part<'a>> = Vec::new();
    for (i, label) in labels.iter().enumerate() {
        // Of a value over many lines the first one says enough.
        let row = lines.place(label.span.start).line;
        let rows = row..row + 1;
        let near = parts
            .iter_mut()
            .find(|part| rows.start <= part.rows.end + NEAR && part.rows.start <= rows.end + NEAR);
        match near {
            Some(part) => {
                part.labels.push((label, i == 0));
                part.rows = part.rows.start.min(rows.start)..part.rows.end.max(rows.end);
            }
            None => parts.push(Part { labels: vec![(label, i == 0)], rows }),
        }
    }
    parts
}

fn snippet<'a>(part: &Part<'a>, source: &'a Source, lines: &Lines<'a>) -> Vec<Element<'a>> {
    let Some((first, _)) = part.labels.first() else { return Vec::new() };
    let place = lines.place(first.span.start);
    let name = normalize_untrusted_str(&source.name);
    let origin = Origin::path(name.clone());
    if source.text.is_empty() {
        return vec![origin.into()];
    }
    let excerpt = Excerpt::new(part, lines);
    let annotations = part.labels.iter().map(|(label, is_first)| {
        let kind = if *is_first { AnnotationKind::Primary } else { AnnotationKind::Context };
        mark(kind, excerpt.span(&label.span, lines), &label.text)
    });
    let snippet = Snippet::source(excerpt.text.clone())
        .line_start(part.rows.start + 1)
        .fold(false)
        .annotations(annotations);
    if excerpt.is_cut {
        // The renderer counts columns in what it is given, so the true one is told beside it.
        let origin = origin.line(place.line + 1).char_column(lines.column(&place));
        return vec![origin.into(), snippet.into()];
    }
    vec![snippet.path(name).into()]
}

fn mark<'a>(kind: AnnotationKind, span: Span, text: &str) -> Annotation<'a> {
    let annotation = kind.span(span);
    if text.is_empty() { annotation } else { annotation.label(normalize_untrusted_str(text)) }
}

/// Where a byte stands: line from 0, byte in the line.
struct Place {
    line: usize,
    byte: usize,
}

/// The lines of a file, without their ends.
struct Lines<'a> {
    all: Vec<(usize, &'a str)>,
}

impl<'a> Lines<'a> {
    fn new(source: &'a Source) -> Self {
        let mut at = 0;
        let mut all = Vec::new();
        for line in source.text.split('\n') {
            all.push((at, line.strip_suffix('\r').unwrap_or(line)));
            at += line.len() + 1;
        }
        Self { all }
    }

    /// The line that holds a byte, and where in it, on a character boundary. A byte in a line's
    /// end or behind the text counts as the end of its line.
    fn place(&self, offset: usize) -> Place {
        let line = self.all.partition_point(|(start, _)| *start <= offset).saturating_sub(1);
        let (start, text) = self.line(line);
        let mut byte = offset.saturating_sub(start).min(text.len());
        while !text.is_char_boundary(byte) {
            byte -= 1;
        }
        Place { line, byte }
    }

    fn line(&self, line: usize) -> (usize, &'a str) {
        self.all.get(line).copied().unwrap_or((0, ""))
    }

    /// The column in characters, from 1.
    fn column(&self, place: &Place) -> usize {
        self.line(place.line).1[..place.byte].chars().count() + 1
    }
}

/// A piece of a file that is short in both directions.
struct Excerpt {
    text: String,
    /// Whether some line is not there as a whole.
    is_cut: bool,
    /// For each line: where it begins in `text`, and the bytes of the line that are there.
    rows: Vec<(usize, Range<usize>)>,
    first: usize,
}

/// What stands for the part of a long line that is left out.
const CUT: &str = "…";

impl Excerpt {
    fn new(part: &Part<'_>, lines: &Lines<'_>) -> Self {
        let mut excerpt =
            Self { text: String::new(), is_cut: false, rows: Vec::new(), first: part.rows.start };
        for row in part.rows.clone() {
            if row > part.rows.start {
                excerpt.text.push('\n');
            }
            let (_, line) = lines.line(row);
            let place = part
                .labels
                .iter()
                .map(|(label, _)| lines.place(label.span.start))
                .find(|place| place.line == row);
            let shown = window(line, place.map_or(0, |place| place.byte));
            excerpt.is_cut |= shown.len() < line.len();
            if shown.start > 0 {
                excerpt.text.push_str(CUT);
            }
            excerpt.rows.push((excerpt.text.len(), shown.clone()));
            excerpt.text.push_str(&line[shown.clone()]);
            if shown.end < line.len() {
                excerpt.text.push_str(CUT);
            }
        }
        excerpt
    }

    /// The part of a place on its first line, as a place of the excerpt.
    fn span(&self, span: &Span, lines: &Lines<'_>) -> Span {
        let from = lines.place(span.start);
        let Some((start, shown)) = self.rows.get(from.line.saturating_sub(self.first)) else {
            return 0..0;
        };
        let to = lines.place(span.end);
        let end = if to.line > from.line { shown.end } else { to.byte };
        let inside = |byte: usize| start + byte.clamp(shown.start, shown.end) - shown.start;
        inside(from.byte)..inside(end.max(from.byte))
    }
}

/// The bytes of a line that are shown around `byte`.
fn window(line: &str, byte: usize) -> Range<usize> {
    if line.len() <= MAX_LINE {
        return 0..line.len();
    }
    let start = line[..byte].char_indices().rev().nth(LEAD).map_or(0, |(i, _)| i);
    let end = line[start..].char_indices().nth(MAX_LINE).map_or(line.len(), |(i, _)| start + i);
    start..end
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn source(text: &str) -> Source {
        Source { name: "flow.toml".into(), text: text.into(), dir: PathBuf::from("/flows") }
    }

    /// The place of `word` in `text`.
    fn at(text: &str, word: &str) -> Span {
        let start = text.find(word).expect("the word is there");
        start..start + word.len()
    }

    fn fault(span: Span) -> Diagnostic {
        Diagnostic::error("W011", span, "this is wrong")
    }

    fn plain(fault: Diagnostic, text: &str) -> String {
        render(&[fault], &source(text), false)
    }

    #[test]
    fn a_fault_is_shown_with_its_place_its_text_and_the_way_out() {
        let text = "[workflow]\nname = 5\n";
        let fault = fault(at(text, "5")).label("an integer").help("write\ntext");
        assert_eq!(
            plain(fault, text),
            "\
error[W011]: this is wrong
 --> flow.toml:2:8
  |
2 | name = 5
  |        ^ an integer
  |
  = help: write
          text

"
        );
    }

    #[test]
    fn a_warning_is_called_one_and_leaves_the_file_valid() {
        let text = "a = 1\n";
        let warning = Diagnostic { severity: Severity::Warning, ..fault(0..1) };
        assert!(plain(warning.clone(), text).starts_with("warning[W011]: this is wrong\n"));
        let json = to_json(&[warning], &source(text));
        assert_eq!(
            (&json["valid"], &json["faults"][0]["severity"]),
            (&json!(true), &json!("warning"))
        );
    }

    #[test]
    fn json_counts_characters_and_keeps_every_field() {
        let text = "a = 1\r\né = \"ü\" # x\r\n";
        let json = to_json(&[fault(at(text, "#")).help("h"), fault(999..1000)], &source(text));
        assert_eq!(
            json,
            json!({ "valid": false, "faults": [
                { "code": "W011", "severity": "error", "message": "this is wrong",
                  "file": "flow.toml", "line": 2, "column": 9, "help": "h" },
                { "code": "W011", "severity": "error", "message": "this is wrong",
                  "file": "flow.toml", "line": 3, "column": 1, "help": null },
            ] })
        );
        assert_eq!(to_json(&[], &source("")), json!({ "valid": true, "faults": [] }));
    }

    #[test]
    fn crlf_changes_nothing_that_is_shown() {
        let text = "[a]\nb = [\n 1,\n 2]\nc = 3\n";
        let crlf = text.replace('\n', "\r\n");
        for word in ["b", "[\n 1,\n 2]", "c", "3"] {
            let odd = word.replace('\n', "\r\n");
            assert_eq!(plain(fault(at(text, word)), text), plain(fault(at(&crlf, &odd)), &crlf));
        }
    }

    #[test]
    fn of_a_value_over_many_lines_the_first_is_shown() {
        let text = "b = [\n 1,\n 2]\n";
        let shown = plain(fault(at(text, "[\n 1,\n 2]")), text);
        assert!(shown.contains("1 | b = [\n  |     ^\n") && !shown.contains("2 |"), "{shown}");
    }

    #[test]
    fn far_places_are_shown_apart_and_near_ones_together() {
        let far = format!("a = 1\n{}b = 2\n", "\n".repeat(5000));
        let both = |text: &str| plain(fault(at(text, "b")).also(at(text, "a"), "the first"), text);
        let shown = both(&far);
        assert!(shown.lines().count() < 15, "{shown}");
        assert!(
            shown.contains("--> flow.toml:5002:1") && shown.contains("::: flow.toml:1:1"),
            "{shown}"
        );
        let shown = both("a = 1\nx = 0\nb = 2\n");
        assert!(shown.contains("1 | a = 1") && shown.contains("2 | x = 0"), "{shown}");
    }

    #[test]
    fn a_place_in_a_very_long_line_is_shown_with_what_is_around_it() {
        for around in ["x", "é"] {
            let around = around.repeat(3 * MAX_LINE);
            let text = format!("a = \"{around}\", b = nan, c = \"{around}\"\n");
            let shown = plain(fault(at(&text, "nan")), &text);
            let column = around.chars().count() + 13;
            assert!(shown.contains(&format!("flow.toml:1:{column}\n")), "{shown}");
            assert!(shown.contains("nan") && shown.len() < 2000, "{shown}");
        }
    }

    #[test]
    fn tabs_are_marked_at_the_right_place() {
        let shown = plain(fault(5..6), "\ta = 5\n");
        assert!(shown.contains("1 |     a = 5\n  |         ^\n"), "{shown}");
    }

    #[test]
    fn control_characters_never_come_out_raw() {
        let text = "a = \"\u{1b}[31m\u{7}\u{202e}\"\n";
        let fault = fault(at(text, "a")).label("\u{1b}[1m").help("\u{1b}[2m").also(2..3, "\u{7}");
        let fault = Diagnostic { message: "\u{1b}]0;x\u{7}".into(), ..fault };
        let odd = Source { name: "\u{1b}c.toml".into(), ..source(text) };
        let shown = render(&[fault], &odd, false);
        assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{shown:?}");
    }

    #[test]
    fn any_place_can_be_shown() {
        let text = "é = 1\r\n\r\nb = \"\u{1f980}\"";
        for start in 0..text.len() + 2 {
            for end in start..text.len() + 2 {
                assert!(plain(fault(start..end), text).contains("--> flow.toml:"));
            }
        }
        assert!(plain(fault(0..0), "").contains("--> flow.toml"));
    }

    #[test]
    fn colors_are_only_there_when_wanted() {
        let text = "a = 1\n";
        assert!(render(&[fault(0..1)], &source(text), true).contains('\u{1b}'));
        assert!(!plain(fault(0..1), text).contains('\u{1b}'));
    }
}
