//! Two payloads beside each other, by what they are: JSON by place, texts by line, files by what
//! people see and hear of them.

use std::cell::Cell;
use std::collections::BTreeMap;

use flow_core::explain::{Difference, Differences, Place, differences};
use flow_core::id::RunId;
use flow_core::payload::{Artifact, PayloadRef};
use flow_core::store::{Store, StoreError};
use serde_json::{Map, Value, json};
use similar::{ChangeTag, TextDiff};

use super::words::{json_value, shown_pair, shown_value};
use crate::report::text::{clean, count};
use crate::session::Session;

/// Larger payloads are compared by digest alone.
const COMPARED_MAX: u64 = 16 << 20;

/// So many lines of a text are shown.
const LINES_MAX: usize = 8;

/// Aligning the lines of texts takes at most so long; what is not aligned then is told as changed.
const TEXT_TIME: std::time::Duration = std::time::Duration::from_millis(500);

/// What is to be said of two things, for people and for programs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Contrast {
    /// Lines for people.
    pub(crate) lines: Vec<String>,
    /// The same for programs.
    pub(crate) json: Value,
}

impl Contrast {
    /// One line and an object.
    pub(super) fn line(line: String, json: Value) -> Self {
        Self { lines: vec![line], json }
    }
}

/// Where payloads are compared.
pub(crate) struct Desk<'a> {
    pub(super) env: &'a Session,
    pub(super) store: &'a dyn Store,
    /// So many places of one payload are told.
    places: usize,
    /// How many media files may still be opened.
    pub(super) media: Cell<usize>,
    /// Where programs are, by name.
    pub(super) tools: BTreeMap<String, String>,
}

impl<'a> Desk<'a> {
    /// A desk at which media files are compared by digest alone.
    pub(crate) fn new(env: &'a Session, store: &'a dyn Store, places: usize) -> Self {
        Self { env, store, places, media: Cell::new(0), tools: BTreeMap::new() }
    }

    /// The same, where that many pairs of media files are opened too.
    pub(crate) fn opening_media(self, pairs: usize, tools: &BTreeMap<String, String>) -> Self {
        Self { media: Cell::new(pairs), tools: tools.clone(), ..self }
    }

    /// Two payloads of two runs.
    pub(crate) fn payloads(
        &self,
        before: (&RunId, &PayloadRef),
        after: (&RunId, &PayloadRef),
    ) -> Contrast {
        if let (Some(old), Some(new)) = (&before.1.artifact, &after.1.artifact) {
            return self.artifacts(old, new);
        }
        let size = before.1.size.max(after.1.size);
        if size > COMPARED_MAX {
            let json =
                json!({ "kind": "json", "before": before.1.digest, "after": after.1.digest });
            return Contrast::line(
                "too large to be compared: only the digests differ".to_owned(),
                json,
            );
        }
        match (self.value(before), self.value(after)) {
            (Ok(old), Ok(new)) => self.values(&old, &new),
            (Err(error), _) | (_, Err(error)) => lost(&error.to_string()),
        }
    }

    fn value(&self, (run, payload): (&RunId, &PayloadRef)) -> Result<Value, StoreError> {
        if let Some(artifact) = &payload.artifact {
            return Ok(artifact.to_json());
        }
        let bytes = self.store.payload(run, payload)?;
        // These bytes were written by the engine and checked by digest.
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Two values.
    pub(crate) fn values(&self, before: &Value, after: &Value) -> Contrast {
        if let (Some(old), Some(new)) = (Artifact::from_json(before), Artifact::from_json(after)) {
            return self.artifacts(&old, &new);
        }
        if let (Value::String(old), Value::String(new)) = (before, after)
            && (old.contains('\n') || new.contains('\n'))
        {
            return texts(old, new);
        }
        let found = differences(before, after, self.places);
        list(&found, |difference| self.place(difference))
    }

    /// A place at which two values differ.
    fn place(&self, difference: &Difference<'_>) -> (Vec<String>, Value) {
        let (mut line, mut object) = place(difference);
        let value = |side: &Option<Place<'_>>| {
            side.as_ref().and_then(|place| Artifact::from_json(place.value))
        };
        let mut lines = Vec::new();
        let moved = difference.moved_from().is_some();
        if let (Some(old), Some(new), false) =
            (value(&difference.before), value(&difference.after), moved)
        {
            let apart = self.artifacts(&old, &new);
            let at = shown_pointer(difference.pointer());
            let mut told = apart.lines.into_iter();
            line = format!("{at}: {}", told.next().unwrap_or_default());
            lines.extend(told);
            object.insert("file".into(), apart.json);
        }
        lines.insert(0, line);
        (lines, Value::Object(object))
    }
}

/// A place at which two values differ, in a line and as an object.
fn place(difference: &Difference<'_>) -> (String, Map<String, Value>) {
    let at = shown_pointer(difference.pointer());
    let mut object = Map::new();
    object.insert("pointer".into(), json!(difference.pointer()));
    let (word, line) = match (&difference.before, &difference.after) {
        (Some(was), Some(is)) if difference.moved_from().is_some() => {
            object.insert("from".into(), json!(was.pointer));
            let from = shown_pointer(&was.pointer);
            ("moved", format!("{at}: {} moved here from {from}", shown_value(is.value)))
        }
        (Some(was), Some(is)) => {
            if was.pointer != is.pointer {
                object.insert("from".into(), json!(was.pointer));
            }
            let (before, after) = shown_pair(was.value, is.value);
            ("changed", format!("{at}: {before} → {after}"))
        }
        (Some(was), None) => ("removed", format!("{at}: {} → absent", shown_value(was.value))),
        (None, Some(is)) => ("added", format!("{at}: absent → {}", shown_value(is.value))),
        (None, None) => ("changed", at),
    };
    object.insert("change".into(), json!(word));
    for (name, side) in [("before", &difference.before), ("after", &difference.after)] {
        if let Some(place) = side {
            object.insert(name.into(), json_value(place.value));
        }
    }
    (line, object)
}

/// Places at which two values differ, without a look into files.
pub(crate) fn places(found: &Differences<'_>) -> Contrast {
    list(found, |difference| {
        let (line, object) = place(difference);
        (vec![line], Value::Object(object))
    })
}

fn list(
    found: &Differences<'_>,
    place: impl Fn(&Difference<'_>) -> (Vec<String>, Value),
) -> Contrast {
    let told = found.first.iter().map(place);
    let (lines, places): (Vec<Vec<String>>, Vec<Value>) = told.unzip();
    let mut lines = lines.concat();
    if found.more() > 0 {
        lines.push(format!("and {}", count(found.more(), "more place")));
    }
    let json = json!({ "kind": "json", "places": places, "more": found.more() });
    Contrast { lines, json }
}

fn shown_pointer(pointer: &str) -> String {
    if pointer.is_empty() { "the whole".to_owned() } else { clean(pointer) }
}

/// Bytes that cannot be had.
pub(super) fn lost(reason: &str) -> Contrast {
    let line = format!("cannot be compared: {}", clean(reason));
    Contrast::line(line, json!({ "kind": "lost", "problem": reason }))
}

/// Two texts by line.
pub(super) fn texts(before: &str, after: &str) -> Contrast {
    let diff = TextDiff::configure().timeout(TEXT_TIME).diff_lines(before, after);
    let changed: Vec<String> = diff
        .iter_all_changes()
        .filter_map(|change| {
            let sign = match change.tag() {
                ChangeTag::Equal => return None,
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            };
            let line = change.value().trim_end_matches(['\n', '\r']);
            Some(format!("{sign} {}", line.chars().take(200).collect::<String>()))
        })
        .collect();
    let number = |sign: char| changed.iter().filter(|line| line.starts_with(sign)).count();
    let (removed, added) = (number('-'), number('+'));
    let first: Vec<&String> = changed.iter().take(LINES_MAX).collect();
    let more = changed.len() - first.len();
    let mut lines = vec![format!("{} gone, {} new", count(removed, "line"), count(added, "line"))];
    lines.extend(first.iter().map(|line| format!("  {}", clean(line))));
    if more > 0 {
        lines.push(format!("  and {} more", count(more, "line")));
    }
    let json = json!({
        "kind": "text", "removed": removed, "added": added, "lines": first, "more": more,
    });
    Contrast { lines, json }
}
