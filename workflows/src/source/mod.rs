//! From text to a TOML tree with places, and the faults of its syntax.

mod stack;
mod syntax;

use flow_core::definition::Span;
use flow_core::diagnostic::Diagnostic;
use toml::de::{DeTable, Error};

pub(crate) use stack::on_enough_stack;

/// Above this size only the first syntax fault is told: a file of this size that is not TOML at
/// all could have a fault at every byte.
const TELL_ALL_BELOW: usize = 2 * 1024 * 1024;

/// A parsed file.
pub(crate) struct Document<'t> {
    /// The tree; parts with a syntax fault may be missing or wrong.
    pub(crate) root: DeTable<'t>,
    /// The syntax faults.
    pub(crate) faults: Vec<Diagnostic>,
    /// Places whose values cannot be trusted, in order.
    pub(crate) broken: Vec<Span>,
}

/// Parses `text` and hands the document on.
pub(crate) fn with_document<R>(text: &str, lower: impl FnOnce(Document<'_>) -> R) -> R {
    let (root, errors) = parse(text);
    if errors.iter().all(syntax::is_duplicate) {
        return lower(document(text, root, &errors));
    }
    // The parser gives up at some faults and loses what follows. Without the lines at fault it
    // often goes through to the end, and the faults behind them come to light as well.
    let blanked = blank_lines(text, &errors);
    let (second, more) = parse(&blanked);
    if more.iter().all(syntax::is_duplicate) {
        let all: Vec<Error> =
            errors.into_iter().filter(|e| !syntax::is_duplicate(e)).chain(more).collect();
        return lower(document(text, second, &all));
    }
    lower(document(text, root, &errors))
}

fn parse(text: &str) -> (DeTable<'_>, Vec<Error>) {
    if text.len() > TELL_ALL_BELOW {
        return match DeTable::parse(text) {
            Ok(root) => (root.into_inner(), Vec::new()),
            Err(first) => (DeTable::new(), vec![first]),
        };
    }
    let (root, errors) = DeTable::parse_recoverable(text);
    (root.into_inner(), errors)
}

fn document<'t>(text: &str, root: DeTable<'t>, errors: &[Error]) -> Document<'t> {
    let faults = syntax::diagnostics(text, errors);
    let mut broken: Vec<Span> = errors
        .iter()
        .filter(|e| !syntax::is_duplicate(e))
        .map(|e| syntax::place(text, e))
        .collect();
    broken.sort_by_key(|span| span.start);
    Document { root, faults, broken }
}

/// The text with spaces in place of each line that has a fault; offsets stay the same.
fn blank_lines(text: &str, errors: &[Error]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for error in errors.iter().filter(|e| !syntax::is_duplicate(e)) {
        let at = syntax::place(text, error).start;
        let start = text[..at].rfind('\n').map_or(0, |i| i + 1);
        // What stands below a broken header belongs to a table that nobody knows.
        let is_header = text[start..].trim_start().starts_with('[');
        let until = if is_header { "\n[" } else { "\n" };
        let end = text[at..].find(until).map_or(text.len(), |i| at + i);
        for byte in &mut bytes[start..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    // Whole lines of UTF-8 were replaced by ASCII, so this is UTF-8 still.
    String::from_utf8(bytes).unwrap_or_default()
}
