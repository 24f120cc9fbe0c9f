//! Readers of single values: each gives the value or tells why it cannot.

use std::ops::RangeInclusive;
use std::time::Duration;

use flow_core::definition::{Span, Spanned};
use flow_core::diagnostic::{Diagnostic, nearest};
use flow_core::policy::parse_duration;
use toml::de::{DeArray, DeFloat, DeInteger, DeTable, DeValue};

use super::{Lower, Value};
use crate::codes;

/// How a duration is written, for help lines.
pub(super) const DURATION_FORMS: &str =
    "write numbers with units: \"500ms\", \"60s\", \"5m\", \"1h30m\", \"2d\"";

/// A TOML type in a message.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// The fault of a value of the wrong TOML type.
pub(super) fn mistyped(name: &str, value: &Value<'_>, wanted: &str) -> Diagnostic {
    let found = kind(value.get_ref());
    Diagnostic::error(
        codes::WRONG_TYPE,
        value.span(),
        format!("`{name}` is {found}, and {wanted} is wanted"),
    )
}

pub(super) fn table<'a, 't>(
    cx: &mut Lower,
    name: &str,
    value: &'a Value<'t>,
) -> Option<&'a DeTable<'t>> {
    let table = value.get_ref().as_table();
    if table.is_none() {
        cx.fault(mistyped(name, value, "a table"));
    }
    table
}

pub(super) fn array<'a, 't>(
    cx: &mut Lower,
    name: &str,
    value: &'a Value<'t>,
) -> Option<&'a DeArray<'t>> {
    let list = value.get_ref().as_array();
    if list.is_none() {
        let fault = mistyped(name, value, "a list");
        cx.fault(match value.get_ref().as_str() {
            Some(text) => fault.help(format!("write {name} = [{text:?}]")),
            None => fault,
        });
    }
    list
}

pub(super) fn text(cx: &mut Lower, name: &str, value: &Value<'_>) -> Option<Spanned<String>> {
    let text = value.get_ref().as_str();
    if text.is_none() {
        cx.fault(mistyped(name, value, "a string"));
    }
    text.map(|t| Spanned::new(t.to_owned(), value.span()))
}

/// Text that says something.
pub(super) fn filled_text(
    cx: &mut Lower,
    name: &str,
    value: &Value<'_>,
) -> Option<Spanned<String>> {
    let text = text(cx, name, value)?;
    if text.trim().is_empty() {
        cx.fault(Diagnostic::error(codes::EMPTY, value.span(), format!("`{name}` is empty")));
        return None;
    }
    Some(text)
}

/// A list of texts that say something.
pub(super) fn texts(cx: &mut Lower, name: &str, value: &Value<'_>) -> Vec<Spanned<String>> {
    let Some(list) = array(cx, name, value) else { return Vec::new() };
    list.iter().filter_map(|element| filled_text(cx, name, element)).collect()
}

pub(super) fn boolean(cx: &mut Lower, name: &str, value: &Value<'_>) -> Option<bool> {
    let found = value.get_ref().as_bool();
    if found.is_none() {
        let fault = mistyped(name, value, "`true` or `false`");
        cx.fault(match value.get_ref().as_str() {
            Some(text @ ("true" | "false")) => fault.help(format!("write {name} = {text}")),
            Some("yes" | "on") => fault.help(format!("write {name} = true")),
            Some("no" | "off") => fault.help(format!("write {name} = false")),
            _ => fault.help(format!("write {name} = true or {name} = false")),
        });
    }
    found
}

/// An integer of 64 bits.
pub(super) fn whole(cx: &mut Lower, value: &DeInteger<'_>, span: &Span) -> Option<i64> {
    let found = i64::from_str_radix(value.as_str(), value.radix()).ok();
    if found.is_none() {
        let message = "the integer does not fit 64 bits";
        cx.fault(
            Diagnostic::error(codes::INTEGER_OVERFLOW, span.clone(), message)
                .help("integers go from -9223372036854775808 to 9223372036854775807; write longer ones as text"),
        );
    }
    found
}

/// A finite number.
pub(super) fn finite(cx: &mut Lower, value: &DeFloat<'_>, span: &Span) -> Option<f64> {
    let found = value.as_str().parse::<f64>().ok().filter(|n| n.is_finite());
    if found.is_none() {
        let message = format!("`{}` is not a finite number", value.as_str());
        cx.fault(
            Diagnostic::error(codes::NOT_FINITE, span.clone(), message)
                .help("JSON has no such number; leave the key out, or write text"),
        );
    }
    found
}

pub(super) fn integer(
    cx: &mut Lower,
    name: &str,
    value: &Value<'_>,
    range: RangeInclusive<i64>,
) -> Option<i64> {
    let DeValue::Integer(integer) = value.get_ref() else {
        cx.fault(mistyped(name, value, "a whole number"));
        return None;
    };
    let found = whole(cx, integer, &value.span())?;
    if !range.contains(&found) {
        let wanted = match (*range.start(), *range.end()) {
            (low, high) if high >= i64::from(u32::MAX) => format!("at least {low}"),
            (low, high) => format!("{low} to {high}"),
        };
        let fault = out_of_range(name, value.span(), &found.to_string(), &wanted);
        cx.fault(match (name, found) {
            ("attempts", 0) => fault.help("the first try counts: attempts = 1 tries once"),
            _ => fault,
        });
        return None;
    }
    Some(found)
}

/// How many of something, at least one.
pub(super) fn count(cx: &mut Lower, name: &str, value: &Value<'_>) -> Option<u32> {
    integer(cx, name, value, 1..=i64::from(u32::MAX)).and_then(|n| u32::try_from(n).ok())
}

/// A number, whole or not.
#[expect(
    clippy::cast_precision_loss,
    reason = "a bound beyond 2^53 is compared as a double anyway"
)]
pub(super) fn number(cx: &mut Lower, name: &str, value: &Value<'_>) -> Option<f64> {
    match value.get_ref() {
        DeValue::Integer(integer) => whole(cx, integer, &value.span()).map(|n| n as f64),
        DeValue::Float(float) => finite(cx, float, &value.span()),
        _ => {
            cx.fault(mistyped(name, value, "a number"));
            None
        }
    }
}

pub(super) fn number_in(
    cx: &mut Lower,
    name: &str,
    value: &Value<'_>,
    range: RangeInclusive<f64>,
) -> Option<f64> {
    let found = number(cx, name, value)?;
    if range.contains(&found) {
        return Some(found);
    }
    let wanted = if range.end().is_finite() {
        format!("{} to {}", range.start(), range.end())
    } else {
        format!("at least {}", range.start())
    };
    cx.fault(out_of_range(name, value.span(), &found.to_string(), &wanted));
    None
}

fn out_of_range(name: &str, span: Span, found: &str, wanted: &str) -> Diagnostic {
    let message = format!("`{name}` is {found}, and {wanted} is allowed");
    Diagnostic::error(codes::OUT_OF_RANGE, span, message)
}

pub(super) fn duration(cx: &mut Lower, name: &str, value: &Value<'_>) -> Option<Duration> {
    if let DeValue::Integer(n) = value.get_ref() {
        let fault = mistyped(name, value, "a duration as text");
        cx.fault(fault.help(format!("give it a unit: {name} = \"{}s\"", n.as_str())));
        return None;
    }
    let Some(text) = value.get_ref().as_str() else {
        cx.fault(mistyped(name, value, "a duration as text").help(DURATION_FORMS));
        return None;
    };
    let found = parse_duration(text);
    if found.is_none() {
        let message = format!("{text:?} is not a duration");
        let fault = Diagnostic::error(codes::DURATION, value.span(), message);
        cx.fault(fault.help(DURATION_FORMS));
    }
    found
}

/// A duration in which something can happen.
pub(super) fn positive_duration(cx: &mut Lower, name: &str, value: &Value<'_>) -> Option<Duration> {
    let found = duration(cx, name, value)?;
    if found.is_zero() {
        let fault = out_of_range(name, value.span(), "zero", "only a longer time");
        cx.fault(fault.help(format!("leave `{name}` out for no limit")));
        return None;
    }
    Some(found)
}

/// One of a few words.
pub(super) fn word<T: Copy>(
    cx: &mut Lower,
    name: &str,
    value: &Value<'_>,
    words: &[(T, &str)],
) -> Option<Spanned<T>> {
    let text = text(cx, name, value)?;
    if let Some((found, _)) = words.iter().find(|(_, word)| *word == text.value) {
        return Some(Spanned::new(*found, text.span));
    }
    let list: Vec<String> = words.iter().map(|(_, word)| format!("\"{word}\"")).collect();
    let message = format!("`{name}` cannot be {:?}", text.value);
    let help = match nearest(&text.value, words.iter().map(|(_, word)| *word)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("write {}", list.join(" or ")),
    };
    cx.fault(Diagnostic::error(codes::UNKNOWN_WORD, text.span, message).help(help));
    None
}

/// A path that stays below the folder it starts from.
pub(super) fn inner_path(
    cx: &mut Lower,
    name: &str,
    value: &Value<'_>,
    help: &str,
) -> Option<Spanned<String>> {
    let path = filled_text(cx, name, value)?;
    let climbs = path.split('/').any(|part| part == "..");
    if path.starts_with('/') || climbs || path.contains('\0') {
        let message = format!("`{name}` {:?} leaves its folder", path.value);
        cx.fault(Diagnostic::error(codes::PATH, value.span(), message).help(help));
    }
    Some(path)
}
