//! TOML values as JSON, with the place of every part.

use std::collections::BTreeMap;

use flow_core::definition::{Config, Span};
use flow_core::diagnostic::Diagnostic;
use flow_core::json::MAX_DEPTH;
use serde_json::{Map, Number, Value as Json};
use toml::de::{DeTable, DeValue};
use toml::value::Datetime;

use super::{Lower, Value, habits, in_order};
use crate::codes;

/// Where the parts of a value stand, by JSON pointer.
#[derive(Default)]
pub(super) struct Trail {
    pub(super) spans: BTreeMap<String, Span>,
    key_spans: BTreeMap<String, Span>,
    pointer: String,
    depth: usize,
}

impl Trail {
    /// Does `work` one step deeper.
    fn within<R>(&mut self, step: &str, work: impl FnOnce(&mut Self) -> R) -> R {
        let len = self.pointer.len();
        self.pointer.push('/');
        if step.contains(['~', '/']) {
            self.pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
        } else {
            self.pointer.push_str(step);
        }
        self.depth += 1;
        let result = work(self);
        self.depth -= 1;
        self.pointer.truncate(len);
        result
    }
}

/// Lowers `with`: strings stay as they are, templates unrendered.
pub(super) fn config(cx: &mut Lower, value: &Value<'_>) -> Option<Config> {
    let mut trail = Trail::default();
    let value = json(cx, value, &mut trail)?;
    Some(Config { value, spans: trail.spans, key_spans: trail.key_spans })
}

/// Lowers a value to JSON. What JSON cannot say is told, and null stands in its place.
pub(super) fn json(cx: &mut Lower, value: &Value<'_>, trail: &mut Trail) -> Option<Json> {
    let span = value.span();
    if trail.depth > MAX_DEPTH {
        let message = format!("lists and tables nest deeper than {MAX_DEPTH} levels");
        cx.fault(
            Diagnostic::error(codes::TOO_DEEP, span, message)
                .help("keep data of this shape in a JSON file"),
        );
        return None;
    }
    trail.spans.insert(trail.pointer.clone(), span.clone());
    Some(match value.get_ref() {
        DeValue::String(text) => {
            habits::block_syntax(cx, text, &span);
            Json::String(text.to_string())
        }
        DeValue::Integer(integer) => super::read::whole(cx, integer, &span)?.into(),
        DeValue::Float(float) => {
            let number = super::read::finite(cx, float, &span)?;
            Json::Number(Number::from_f64(number)?)
        }
        DeValue::Boolean(boolean) => Json::Bool(*boolean),
        DeValue::Datetime(datetime) => Json::String(datetime_text(datetime)),
        DeValue::Array(list) => {
            let mut array = Vec::with_capacity(list.len());
            for (i, element) in list.iter().enumerate() {
                let lowered = trail.within(&i.to_string(), |trail| json(cx, element, trail));
                array.push(lowered.unwrap_or_default());
            }
            Json::Array(array)
        }
        DeValue::Table(table) => Json::Object(object(cx, table, trail)),
    })
}

fn object(cx: &mut Lower, table: &DeTable<'_>, trail: &mut Trail) -> Map<String, Json> {
    let mut map = Map::with_capacity(table.len());
    for (key, place, element) in in_order(table) {
        let lowered = trail.within(key, |trail| {
            trail.key_spans.insert(trail.pointer.clone(), place);
            json(cx, element, trail)
        });
        map.insert(key.to_owned(), lowered.unwrap_or_default());
    }
    map
}

/// A date or time as text. With date, time and offset it is RFC 3339, where seconds are required
/// and TOML lets them out.
fn datetime_text(datetime: &Datetime) -> String {
    let mut whole = *datetime;
    if let (Some(_), Some(time), Some(_)) = (whole.date, whole.time.as_mut(), whole.offset) {
        time.second.get_or_insert(0);
    }
    whole.to_string()
}
