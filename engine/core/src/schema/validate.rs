//! The one validator: every payload passes it where it is made and where it is taken.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Constraint, Format, Type};
use crate::payload::{Artifact, DIR_MARK, FILE_MARK};
use crate::policy::parse_duration;

/// How much a fault weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The payload is accepted and the fault is told.
    Warning,
    /// The payload is refused.
    Error,
}

/// A place where a payload is not what its type says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// JSON pointer (RFC 6901) into the payload.
    pub pointer: String,
    /// What was expected there.
    pub expected: String,
    /// What was found, shortened.
    pub found: String,
    /// Whether it refuses the payload.
    pub severity: Severity,
}

impl Fault {
    /// A refusing fault.
    #[must_use]
    pub fn error(
        pointer: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self {
            pointer: pointer.into(),
            expected: expected.into(),
            found: found.into(),
            severity: Severity::Error,
        }
    }

    /// A fault that is told and does not refuse.
    #[must_use]
    pub fn warning(
        pointer: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Warning, ..Self::error(pointer, expected, found) }
    }
}

/// More faults than this are not listed: the first ones tell what is wrong.
const MAX_FAULTS: usize = 20;

/// Holds `value` to `ty`. Artifacts stand in `value` in their reference form. No fault of severity
/// [`Severity::Error`] means that the payload is accepted.
#[must_use]
pub fn validate(ty: &Type, value: &Value) -> Vec<Fault> {
    let mut walk = Walk { pointer: String::new(), faults: Vec::new() };
    walk.check(ty, value);
    walk.faults.truncate(MAX_FAULTS);
    walk.faults
}

/// A short description of a value for messages.
#[must_use]
pub fn describe(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = match value {
        Value::Null => return "null".into(),
        Value::Array(list) => return format!("a list of {}", list.len()),
        Value::Object(map) if map.contains_key(FILE_MARK) => {
            let media = map.get("media_type").and_then(Value::as_str).unwrap_or("unknown");
            return format!("a file of type {media}");
        }
        Value::Object(map) if map.contains_key(DIR_MARK) => return "a folder".into(),
        Value::Object(map) => {
            let keys: Vec<&str> = map.keys().take(6).map(String::as_str).collect();
            return format!(
                "an object with {}",
                if keys.is_empty() { "no fields".into() } else { keys.join(", ") }
            );
        }
        Value::String(text) => format!("the string {text:?}"),
        Value::Number(n) => format!("the number {n}"),
        Value::Bool(b) => format!("the boolean {b}"),
    };
    if text.chars().count() <= LONGEST {
        return text;
    }
    let head: String = text.chars().take(LONGEST).collect();
    format!("{head}…")
}

struct Walk {
    pointer: String,
    faults: Vec<Fault>,
}

impl Walk {
    fn fault(&mut self, expected: impl Into<String>, value: &Value) {
        self.faults.push(Fault::error(self.pointer.clone(), expected, describe(value)));
    }

    fn within(&mut self, step: &str, check: impl FnOnce(&mut Self)) {
        if self.faults.len() >= MAX_FAULTS {
            return;
        }
        let len = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
        check(self);
        self.pointer.truncate(len);
    }

    fn check(&mut self, ty: &Type, value: &Value) {
        match ty {
            Type::Json => {}
            Type::String if value.is_string() => {}
            Type::Boolean if value.is_boolean() => {}
            Type::Number if value.is_number() => {}
            Type::Integer if is_integer(value) => {}
            Type::Datetime if text(value).is_some_and(is_datetime) => {}
            Type::Duration if text(value).is_some_and(|t| parse_duration(t).is_some()) => {}
            Type::Optional(_) if value.is_null() => {}
            Type::Optional(inner) => self.check(inner, value),
            Type::File(media) => match Artifact::from_json(value).filter(|a| !a.is_dir()) {
                Some(a) if media.as_ref().is_none_or(|m| m.matches(&a.media_type)) => {}
                _ => self.fault(ty.to_string(), value),
            },
            Type::Dir => {
                if !Artifact::from_json(value).is_some_and(|a| a.is_dir()) {
                    self.fault("dir", value);
                }
            }
            Type::List(inner) => match value.as_array() {
                None => self.fault(ty.to_string(), value),
                Some(list) => {
                    for (i, element) in list.iter().enumerate() {
                        self.within(&i.to_string(), |walk| walk.check(inner, element));
                    }
                }
            },
            Type::Map(inner) => match value.as_object() {
                None => self.fault(ty.to_string(), value),
                Some(map) => {
                    for (key, element) in map {
                        self.within(key, |walk| walk.check(inner, element));
                    }
                }
            },
            Type::Record(record) => self.record(record, value),
            Type::Schema(schema) => {
                let room = MAX_FAULTS.saturating_sub(self.faults.len());
                for mut fault in schema.faults(value).take(room) {
                    fault.pointer.insert_str(0, &self.pointer);
                    self.faults.push(fault);
                }
            }
            Type::Constrained(c) => {
                let before = self.faults.len();
                self.check(&c.base, value);
                if self.faults.len() == before && !value.is_null() {
                    for constraint in &c.constraints {
                        if !holds(constraint, value) {
                            self.fault(constraint.to_string(), value);
                        }
                    }
                }
            }
            _ => self.fault(with_article(ty), value),
        }
    }

    fn record(&mut self, record: &super::Record, value: &Value) {
        let Some(map) = value.as_object() else {
            self.fault(format!("{}, an object", record.name), value);
            return;
        };
        let before = self.faults.len();
        for (name, ty) in &record.fields {
            match map.get(name) {
                Some(field) => self.within(name, |walk| walk.check(ty, field)),
                None if ty.is_optional() => {}
                None => self.within(name, |walk| {
                    let expected = format!("{ty}, a required field of {}", record.name);
                    walk.faults.push(Fault::error(walk.pointer.clone(), expected, "nothing"));
                }),
            }
        }
        if let (Some(rule), true) = (record.rule, self.faults.len() == before) {
            for mut fault in rule(value) {
                fault.pointer.insert_str(0, &self.pointer);
                self.faults.push(fault);
            }
        }
    }
}

fn with_article(ty: &Type) -> String {
    match ty {
        Type::Integer => "an integer".into(),
        Type::Datetime => "a datetime (RFC 3339 with offset, such as 2025-01-05T13:00:00Z)".into(),
        Type::Duration => "a duration such as 90s or 1h30m".into(),
        other => format!("a {other}"),
    }
}

fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

fn is_integer(value: &Value) -> bool {
    // Beyond 2^53 a double no longer tells neighbouring integers apart.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    value.is_i64()
        || value.is_u64()
        || value.as_f64().is_some_and(|f| f.fract() == 0.0 && f.abs() <= EXACT)
}

fn is_datetime(text: &str) -> bool {
    text.parse::<jiff::Timestamp>().is_ok()
}

/// Whether a value of the base type meets a condition.
pub(super) fn holds(constraint: &Constraint, value: &Value) -> bool {
    let number = |ok: &dyn Fn(f64) -> bool| value.as_f64().is_none_or(ok);
    match constraint {
        Constraint::Enum(values) => values.iter().any(|v| super::same_value(v, value)),
        Constraint::Min(n) => number(&|v| v >= *n),
        Constraint::Max(n) => number(&|v| v <= *n),
        Constraint::GreaterThan(n) => number(&|v| v > *n),
        Constraint::LessThan(n) => number(&|v| v < *n),
        Constraint::MinLength(n) => length(value).is_none_or(|len| len >= *n),
        Constraint::MaxLength(n) => length(value).is_none_or(|len| len <= *n),
        Constraint::Pattern(regex) => text(value).is_none_or(|t| regex.is_match(t)),
        Constraint::Format(format) => text(value).is_none_or(|t| is_format(*format, t)),
        Constraint::Unique => value.as_array().is_none_or(|list| {
            let mut seen = std::collections::HashSet::new();
            list.iter().all(|v| seen.insert(crate::json::canonical(v)))
        }),
    }
}

/// Characters of text, elements of a list, entries of an object.
fn length(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => Some(text.chars().count() as u64),
        Value::Array(list) => Some(list.len() as u64),
        Value::Object(map) => Some(map.len() as u64),
        _ => None,
    }
}

fn is_format(format: Format, text: &str) -> bool {
    match format {
        Format::Date => text.parse::<jiff::civil::Date>().is_ok() && text.len() == 10,
        Format::Time => text.parse::<jiff::civil::Time>().is_ok(),
        Format::DateTime => is_datetime(text),
        Format::Email => text.split_once('@').is_some_and(|(name, domain)| {
            !name.is_empty()
                && domain.contains('.')
                && !domain.starts_with('.')
                && !domain.ends_with('.')
                && !text.contains(char::is_whitespace)
                && !domain.contains('@')
        }),
        Format::Uri => text.split_once(':').is_some_and(|(scheme, rest)| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
                && !rest.is_empty()
                && !rest.contains(char::is_whitespace)
        }),
        Format::Uuid => {
            text.len() == 36
                && text.bytes().enumerate().all(|(i, b)| match i {
                    8 | 13 | 18 | 23 => b == b'-',
                    _ => b.is_ascii_hexdigit(),
                })
        }
    }
}
