//! Syntax faults of the TOML parser as diagnostics.

use std::collections::BTreeSet;

use flow_core::definition::Span;
use flow_core::diagnostic::Diagnostic;
use toml::de::Error;

use crate::codes;

/// More syntax faults than this are not listed: they mostly follow from the first ones.
const MAX_LISTED: usize = 20;

const DUPLICATE: &str = "duplicate key";
const TOO_DEEP: [&str; 2] = ["cannot recurse further", "recursion limit"];

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

/// One diagnostic per line at fault, at most [`MAX_LISTED`].
pub(crate) fn diagnostics(text: &str, errors: &[Error]) -> Vec<Diagnostic> {
    let mut ordered: Vec<(Span, &Error)> = errors.iter().map(|e| (place(text, e), e)).collect();
    ordered.sort_by_key(|(span, _)| span.start);
    let (mut line, mut counted, mut lines) = (0, 0, BTreeSet::new());
    let mut found = Vec::new();
    for (span, error) in ordered {
        line += text[counted..span.start].matches('\n').count();
        counted = span.start;
        if lines.insert(line) || is_duplicate(error) {
            found.push((span, error));
        }
    }
    without_echoes(text, &mut found);
    let rest = found.len().saturating_sub(MAX_LISTED);
    let mut all: Vec<Diagnostic> =
        found.iter().take(MAX_LISTED).map(|(span, e)| diagnostic(text, span.clone(), e)).collect();
    if let (Some(last), true) = (all.last_mut(), rest > 0) {
        last.help = Some(format!("{rest} more syntax faults are not listed: mend these first"));
    }
    all
}

/// In a list or table that is never closed, everything up to the end is read as its content. Only
/// the first fault of it is of use.
fn without_echoes(text: &str, found: &mut Vec<(Span, &Error)>) {
    let end = text.trim_end().len();
    let unclosed =
        found.iter().any(|(span, e)| span.start >= end && e.message().contains("unclosed"));
    let first = found.iter().position(|(_, e)| e.message().starts_with("missing comma"));
    if let (true, Some(first)) = (unclosed, first) {
        found.truncate(first + 1);
    }
}

fn diagnostic(text: &str, span: Span, error: &Error) -> Diagnostic {
    let message = error.message();
    if is_duplicate(error) {
        let key = &text[span.clone()];
        return Diagnostic::error(codes::DUPLICATE_KEY, span, format!("`{key}` is defined twice"))
            .label("defined before")
            .help("keep one of the two, or give one another name");
    }
    if TOO_DEEP.iter().any(|start| message.starts_with(start)) {
        return Diagnostic::error(
            codes::TOO_DEEP,
            span,
            "tables and lists nest deeper than 80 levels",
        )
        .help("keep data of this shape in a JSON file");
    }
    let fault =
        Diagnostic::error(codes::SYNTAX, span.clone(), format!("this is not TOML: {message}"));
    match help(text, &span, message) {
        Some(help) => fault.help(help),
        None => fault,
    }
}

fn help(text: &str, span: &Span, message: &str) -> Option<String> {
    let at = &text[span.clone()];
    let before = text[..span.start].lines().next_back().unwrap_or_default();
    let starts = |word: &str| message.starts_with(word);
    if starts("string values must be quoted") {
        let empty = at.trim().is_empty();
        return Some(if empty {
            "a value is missing after `=`".into()
        } else {
            format!("write \"{at}\" if it is text")
        });
    }
    if starts("missing comma between array elements") || starts("unclosed array") {
        return Some("separate elements with `,` and close the list with `]`".into());
    }
    if starts("missing comma between key-value") || starts("unclosed inline table") {
        return Some("separate keys with `,` and close the table with `}`".into());
    }
    if starts("unclosed table") {
        return Some("close the table's header with `]`".into());
    }
    if starts("key with no value") {
        return Some(match before.trim().split_whitespace().next() {
            Some(word) if before.contains(':') => {
                format!("TOML joins key and value with `=`: {} = …", word.trim_end_matches(':'))
            }
            _ => "write `key = value`; a key with spaces stands in quotes".into(),
        });
    }
    if starts("invalid unquoted key") {
        return Some(
            "a key with other characters than letters, digits, `-` and `_` stands in quotes".into(),
        );
    }
    if starts("invalid basic string") || starts("invalid literal string") {
        return Some("close the text with the quote that opened it, on the same line".into());
    }
    if message.contains("multi-line") {
        return Some("close the text with the three quotes that opened it".into());
    }
    if starts("carriage return") {
        return Some("end lines with LF or CRLF".into());
    }
    None
}
