//! Syntax faults of the TOML parser as diagnostics.

use flow_core::definition::Span;
use flow_core::diagnostic::Diagnostic;
use toml::de::Error;

use crate::codes;

/// More syntax faults than this are not listed: they mostly follow from the first ones.
const MAX_LISTED: usize = 20;

/// What the parser says of a key that is defined twice.
const DUPLICATE: &str = "duplicate key";
/// How the parser begins to tell that it goes no deeper.
const TOO_DEEP: [&str; 2] = ["cannot recurse further", "recursion limit"];
/// How it begins to tell that a list or an inline table has no end.
const UNCLOSED: [&str; 2] = ["unclosed array", "unclosed inline table"];
/// How it begins to tell the first thing that does not belong into such a list or table.
const STRAY: [&str; 3] =
    ["missing comma", "missing key for inline", "missing inline table opening"];
/// How it begins to tell a word that is no value.
const BARE_WORD: [&str; 3] = ["string values must be quoted", "invalid float", "invalid boolean"];

/// A fault with its place.
type Found<'e> = (Span, &'e Error);

/// Whether the fault is a key that is defined twice: the text is well-formed there.
pub(crate) fn is_duplicate(error: &Error) -> bool {
    error.message() == DUPLICATE
}

/// The place of a fault, inside the text and on character boundaries.
pub(crate) fn place(text: &str, error: &Error) -> Span {
    let Some(span) = error.span() else { return 0..0 };
    let inside = |mut offset: usize| {
        offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    };
    let start = inside(span.start);
    start..inside(span.end).max(start)
}

/// The faults without those that only follow from others, at most [`MAX_LISTED`].
pub(crate) fn diagnostics(text: &str, errors: &[Error]) -> Vec<Diagnostic> {
    if let Some(fault) = errors.first().and_then(|first| other_language(text, first)) {
        return vec![fault];
    }
    let mut found: Vec<Found<'_>> = errors.iter().map(|e| (place(text, e), e)).collect();
    found.sort_by_key(|(span, _)| span.start);
    let unclosed = cut_after_unclosed(&mut found);
    let found = without_echoes(text, found);
    let rest = found.len().saturating_sub(MAX_LISTED);
    let mut all: Vec<Diagnostic> =
        found.iter().take(MAX_LISTED).map(|(span, e)| diagnostic(text, span.clone(), e)).collect();
    if let Some(last) = all.last_mut() {
        if unclosed && rest == 0 {
            "this is not TOML: a list or inline table above is not closed"
                .clone_into(&mut last.message);
            last.help = Some("close a list with `]` and an inline table with `}`".into());
        } else if rest > 0 {
            last.help = Some(format!("{rest} more syntax faults are not listed: mend these first"));
        }
    }
    all
}

/// The one fault of a file that is written in another language, by how it begins: what the parser
/// makes of its lines would only confuse.
fn other_language(text: &str, first: &Error) -> Option<Diagnostic> {
    let begin =
        text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let (language, key) = if begin.starts_with('{') {
        ("JSON", "\"name\": \"…\"")
    } else if begin == "---" || (begin.ends_with(':') && !begin.contains(['=', '"'])) {
        ("YAML", "name: …")
    } else {
        return None;
    };
    let message = format!("this is {language}, and a workflow file is TOML");
    let help = format!(
        "write [workflow] and name = \"…\" below it instead of {key}; `flow init` makes a file to start from"
    );
    Some(Diagnostic::error(codes::SYNTAX, place(text, first), message).help(help))
}

/// In a list or table that is never closed, everything up to the end of the file is read as its
/// content. Keeps the faults up to the first stray thing; tells whether there was such a list.
fn cut_after_unclosed(found: &mut Vec<Found<'_>>) -> bool {
    let is = |starts: &[&str], e: &Error| starts.iter().any(|start| e.message().starts_with(start));
    if !found.iter().any(|(_, e)| is(&UNCLOSED, e)) {
        return false;
    }
    let Some(first) = found.iter().position(|(_, e)| is(&STRAY, e) || is(&UNCLOSED, e)) else {
        return false;
    };
    found.truncate(first + 1);
    true
}

/// Keeps one fault for each line, and of a table that is defined twice only its header.
fn without_echoes<'e>(text: &str, found: Vec<Found<'e>>) -> Vec<Found<'e>> {
    let (mut counted, mut line, mut told) = (0, 0, None);
    let mut twin: Option<Span> = None;
    found
        .into_iter()
        .filter(|(span, error)| {
            line += text[counted..span.start].matches('\n').count();
            counted = span.start;
            if !is_duplicate(error) {
                return told.replace(line) != Some(line);
            }
            if twin.as_ref().is_some_and(|table| table.contains(&span.start)) {
                return false;
            }
            let start = text[..span.start].rfind('\n').map_or(0, |i| i + 1);
            if text[start..].trim_start().starts_with('[') {
                let end = text[span.start..].find("\n[").map_or(text.len(), |i| span.start + i);
                twin = Some(span.start + 1..end);
            }
            true
        })
        .collect()
}

fn diagnostic(text: &str, span: Span, error: &Error) -> Diagnostic {
    let message = error.message();
    if is_duplicate(error) {
        let key = &text[span.clone()];
        return Diagnostic::error(codes::DUPLICATE_KEY, span, format!("`{key}` is defined twice"))
            .label("the second one")
            .help("keep one of the two, or give one another name");
    }
    if TOO_DEEP.iter().any(|start| message.starts_with(start)) {
        let message = "tables and lists nest deeper than 80 levels";
        return Diagnostic::error(codes::TOO_DEEP, span, message)
            .help("keep data of this shape in a JSON file");
    }
    if let Some(fault) = bare_word(text, &span, message) {
        return fault;
    }
    let help = help(text, &span, message);
    let fault = Diagnostic::error(codes::SYNTAX, span, format!("this is not TOML: {message}"));
    match help {
        Some(help) => fault.help(help),
        None => fault,
    }
}

/// A value that would be text if it had quotes.
fn bare_word(text: &str, span: &Span, message: &str) -> Option<Diagnostic> {
    if !BARE_WORD.iter().any(|start| message.starts_with(start)) {
        return None;
    }
    let word = text[span.clone()].trim();
    let (what, help) = if word.is_empty() {
        ("a value is missing after `=`", "write `key = value`".to_owned())
    } else if word.contains(' ') {
        let help =
            format!("write \"{word}\" if it is text; elements of a list are separated with `,`");
        ("text must stand in quotes", help)
    } else {
        ("text must stand in quotes", format!("write \"{word}\" if it is text"))
    };
    let message = format!("this is not TOML: {what}");
    Some(Diagnostic::error(codes::SYNTAX, span.clone(), message).help(help))
}

fn help(text: &str, span: &Span, message: &str) -> Option<&'static str> {
    let at = &text[span.clone()];
    let rows: [(&[&str], &str); 9] = [
        (
            &["missing comma between array", "unclosed array"],
            "separate elements with `,` and close the list with `]`",
        ),
        (
            &["missing comma between key-value", "unclosed inline table"],
            "separate keys with `,` and close the table with `}`",
        ),
        (&["unclosed table"], "close the table's header with `]`"),
        (&["key with no value"], "write `key = value`; a key with spaces stands in quotes"),
        (
            &["invalid unquoted key"],
            "a key with other characters than letters, digits, `-` and `_` stands in quotes",
        ),
        (
            &["invalid basic string", "invalid literal string"],
            "close the text with the quote that opened it, on the same line",
        ),
        (&["invalid multi-line"], "close the text with the three quotes that opened it"),
        (
            &["missing escaped value", "too few unicode", "invalid escape", "too few hex"],
            "write a backslash twice, or put the text in '…', where it stands for itself",
        ),
        (
            &["unexpected key or value"],
            "the value ends before this; text with quotes inside stands in \"…\", with \\\" for each of them",
        ),
    ];
    if at.starts_with(':') {
        return Some("TOML joins key and value with `=`: key = \"value\"");
    }
    if message.starts_with("carriage return") {
        return Some("end lines with LF or CRLF");
    }
    rows.iter()
        .find(|(starts, _)| starts.iter().any(|start| message.starts_with(start)))
        .map(|(_, help)| *help)
}
