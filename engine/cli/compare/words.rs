//! Values in a few words, so that what differs in them can be seen.

use flow_core::payload::Artifact;
use serde_json::{Value, json};

use crate::report::text::{bytes, clean};

/// Values are cut after so many characters.
const WIDTH: usize = 60;

/// Values of more bytes are told in JSON by their size alone.
const JSON_MAX: usize = 4096;

/// A value in a few words.
pub(crate) fn shown_value(value: &Value) -> String {
    shown_pair(value, value).0
}

/// Two values in a few words each. Where long texts begin alike, what follows is shown.
pub(crate) fn shown_pair(before: &Value, after: &Value) -> (String, String) {
    let (before, after) = (whole(before), whole(after));
    let same = before.chars().zip(after.chars()).take_while(|(a, b)| a == b).count();
    let short = |text: &str| text.chars().count() <= WIDTH;
    let skip = match short(&before) && short(&after) || before == after {
        true => 0,
        false => same.saturating_sub(WIDTH / 3),
    };
    (cut(&before, skip), cut(&after, skip))
}

fn whole(value: &Value) -> String {
    match Artifact::from_json(value) {
        Some(artifact) => shown_artifact(&artifact),
        None => clean(&value.to_string()),
    }
}

/// A file or folder in a few words.
pub(super) fn shown_artifact(artifact: &Artifact) -> String {
    let (name, size) = (clean(&artifact.name), bytes(artifact.size));
    format!("{name} ({size}, {})", artifact.digest.short())
}

fn cut(text: &str, skip: usize) -> String {
    let mut out: String = text.chars().skip(skip).take(WIDTH).collect();
    if skip > 0 {
        out.insert(0, '…');
    }
    if text.chars().count() > skip + WIDTH {
        out.push('…');
    }
    out
}

/// A value for JSON: itself, or its size where it is large.
pub(super) fn json_value(value: &Value) -> Value {
    let text = value.to_string();
    if text.len() <= JSON_MAX { value.clone() } else { json!({ "bytes": text.len() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_in_long_texts_is_seen() {
        let long = |end: &str| json!(format!("{}{end}", "x".repeat(500)));
        let (before, after) = shown_pair(&long("19:00"), &long("19:30 and more"));
        assert!(before.ends_with("19:00\""), "{before}");
        assert!(after.contains("19:30"), "{after}");
        assert!(before.starts_with('…') && before.chars().count() < 64, "{before}");
        assert_eq!(shown_pair(&json!("a"), &json!(1)), ("\"a\"".to_owned(), "1".to_owned()));
        assert_eq!(shown_value(&json!("y".repeat(100))).chars().count(), 61);
    }
}
