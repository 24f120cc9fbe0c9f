//! Lines of logs that carry a check of their own, so that a changed one is found.
//!
//! A line is a JSON object whose last field is `check`: the first twelve digits of the digest of the line
//! without that field.

use flow_core::digest::{Digest, Hasher};

/// What stands before the check.
const FIELD: &str = r#","check":""#;
/// What stands behind it.
const END: &str = "\"}";
/// Digits of a check.
const DIGITS: usize = 12;
/// So many places are tried at which a line may begin inside another one.
const STARTS_MAX: usize = 64;

/// The line of an object that has at least one field, with its check and its end.
#[must_use]
pub fn sealed_line(object: &str) -> String {
    let Some(open) = object.strip_suffix('}') else { return format!("{object}\n") };
    format!("{open}{FIELD}{}{END}\n", Digest::of(object.as_bytes()).short())
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// What was written.
    Whole,
    /// The beginning of a line, perhaps with a whole one behind it.
    Cut,
    /// Something else than what was written.
    Changed,
}

/// Looks at a line, with its end if it has one.
pub(crate) fn look_at(line: &[u8]) -> Line {
    let Some(text) = line.strip_suffix(b"\n") else { return Line::Cut };
    if text.is_empty() || fits(text) {
        return Line::Whole;
    }
    // A file system gives zeros for blocks that it had no time to write; no line has one.
    let has_hole = text.contains(&0);
    if has_check(text) && !has_hole && !ends_whole(text) { Line::Changed } else { Line::Cut }
}

/// Whether the text has a check where one belongs.
fn has_check(text: &[u8]) -> bool {
    parts(text).is_some()
}

/// The object without its check and end, and the check.
fn parts(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = text.strip_suffix(END.as_bytes())?;
    let (rest, check) = rest.split_at_checked(rest.len().checked_sub(DIGITS)?)?;
    Some((rest.strip_suffix(FIELD.as_bytes())?, check))
}

fn fits(text: &[u8]) -> bool {
    let Some((open, check)) = parts(text) else { return false };
    let mut hasher = Hasher::default();
    hasher.update(open);
    hasher.update(b"}");
    hasher.finish().short().as_bytes() == check
}

/// Whether a whole line follows the beginning of another one. Of many places where it may begin only the last
/// ones are tried: a line has few objects in it.
fn ends_whole(text: &[u8]) -> bool {
    let starts = text.windows(2).enumerate().skip(1).filter(|(_, pair)| pair == b"{\"");
    starts.rev().take(STARTS_MAX).map(|(at, _)| &text[at..]).any(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: &str = r#"{"message":"all is {\"well\"}","node":null}"#;

    #[test]
    fn a_line_is_what_was_written_and_any_other_is_not() {
        let line = sealed_line(OBJECT);
        let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(value["message"], "all is {\"well\"}");
        assert_eq!(look_at(line.as_bytes()), Line::Whole);
        for at in 0..line.len() {
            let mut bytes = line.clone().into_bytes();
            bytes[at] ^= 4;
            assert_ne!(look_at(&bytes), Line::Whole, "{at}");
        }
        let mut changed = line.into_bytes();
        changed[12] ^= 1;
        assert_eq!(look_at(&changed), Line::Changed);
    }

    #[test]
    fn a_line_that_did_not_reach_the_disk_whole_is_cut() {
        let mut bytes = sealed_line(OBJECT).into_bytes();
        bytes[..20].fill(0);
        assert_eq!(look_at(&bytes), Line::Cut);
    }

    #[test]
    fn the_beginning_of_a_line_is_cut_whatever_follows() {
        let line = sealed_line(OBJECT);
        for at in 1..line.len() {
            assert_eq!(look_at(&line.as_bytes()[..at]), Line::Cut, "{at}");
            let both = format!("{}{line}", &line[..at]);
            let expected = if at + 1 < line.len() { Line::Cut } else { look_at(both.as_bytes()) };
            assert_eq!(look_at(both.as_bytes()), expected, "{at}");
        }
    }
}
