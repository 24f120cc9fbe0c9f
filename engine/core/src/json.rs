//! JSON as the engine reads and hashes it.
//!
//! Reading is stricter than most parsers: duplicate keys, numbers that would change, trailing data
//! and deep nesting are refused with their place, because a payload that changes while it is read
//! cannot be trusted. Writing is canonical (RFC 8785), with integers exact within `i64` and `u64`,
//! so that equal values have equal digests.

use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::digest::Digest;

/// How deep lists and objects may nest.
pub const MAX_DEPTH: usize = 128;

/// Why some bytes are not acceptable JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (at byte {offset})")]
pub struct JsonFault {
    /// The byte at which reading stopped.
    pub offset: usize,
    /// What is wrong there, as a sentence without a full stop.
    pub reason: String,
}

/// Reads exactly one JSON document.
///
/// # Errors
/// [`JsonFault`] with the byte offset: not UTF-8, a byte order mark, bad syntax, a duplicate key,
/// nesting over [`MAX_DEPTH`], an integer outside `i64`/`u64`, a number that does not survive being
/// read, or anything after the document.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonFault> {
    let text = std::str::from_utf8(bytes).map_err(|e| JsonFault {
        offset: e.valid_up_to(),
        reason: "the bytes are not UTF-8".into(),
    })?;
    if text.starts_with('\u{feff}') {
        return Err(JsonFault {
            offset: 0,
            reason: "the text starts with a byte order mark".into(),
        });
    }
    scan(text)?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict.deserialize(&mut reader).map_err(|e| fault(text, &e))?;
    reader.end().map_err(|e| fault(text, &e))?;
    Ok(value)
}

/// Maps serde's line and column to a byte offset, and drops the place from its message.
fn fault(text: &str, error: &serde_json::Error) -> JsonFault {
    let before: usize =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let message = error.to_string();
    let reason = message.split(" at line ").next().unwrap_or(&message).to_owned();
    JsonFault { offset: (before + error.column().saturating_sub(1)).min(text.len()), reason }
}

/// Looks over the tokens outside strings for what serde would accept silently: depth and numbers
/// that lose digits. Syntax is left to the parser that follows.
fn scan(text: &str) -> Result<(), JsonFault> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = skip_string(bytes, at),
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    let reason = format!("lists and objects nest deeper than {MAX_DEPTH} levels");
                    return Err(JsonFault { offset: at, reason });
                }
                at += 1;
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let len = bytes[at..]
                    .iter()
                    .take_while(|b| matches!(b, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'))
                    .count();
                check_number(&text[at..at + len])
                    .map_err(|reason| JsonFault { offset: at, reason })?;
                at += len;
            }
            _ => at += 1,
        }
    }
    Ok(())
}

/// The index after the string that starts at `at`; the end of input if it never closes.
fn skip_string(bytes: &[u8], at: usize) -> usize {
    let mut i = at + 1;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => i += 2,
            b'"' => return i + 1,
            _ => i += 1,
        }
    }
    bytes.len()
}

/// Refuses number literals that `serde_json` would read as something else.
fn check_number(literal: &str) -> Result<(), String> {
    let is_float = literal.contains(['.', 'e', 'E']);
    if !is_float {
        let fits = literal.parse::<i64>().is_ok() || literal.parse::<u64>().is_ok();
        let digits = literal.trim_start_matches('-');
        let well_formed = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        // Canonical JSON writes doubles up to 1e21 without an exponent, and they must be read back.
        let is_exact_double = || {
            literal
                .parse::<f64>()
                .is_ok_and(|f| f.is_finite() && ryu_js::Buffer::new().format_finite(f) == literal)
        };
        if well_formed && !fits && !is_exact_double() {
            return Err(format!("the integer {} does not fit 64 bits", clip(literal)));
        }
        return Ok(());
    }
    let Ok(value) = literal.parse::<f64>() else { return Ok(()) };
    if !value.is_finite() {
        return Err(format!("the number {} is out of range", clip(literal)));
    }
    let (digits, exponent) = significant(literal);
    if digits.is_empty() {
        return Ok(());
    }
    // 17 significant digits are all that a double can tell apart; a longer literal is right only
    // if it spells out the shortest form with zeros.
    if digits.len() <= 17 || significant(&format!("{value:e}")) == (digits, exponent) {
        return Ok(());
    }
    Err(format!("the number {} would lose digits", clip(literal)))
}

fn clip(literal: &str) -> String {
    if literal.len() <= 40 { literal.to_owned() } else { format!("{}…", &literal[..40]) }
}

/// Significant digits without leading and trailing zeros, and the decimal exponent of the first.
fn significant(literal: &str) -> (String, i64) {
    let unsigned = literal.trim_start_matches('-');
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let exponent: i64 = exponent.trim_start_matches('+').parse().unwrap_or(0);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let leading = all.len() - all.trim_start_matches('0').len();
    let digits = all.trim_matches('0').to_owned();
    (digits, exponent + whole.len() as i64 - leading as i64 - 1)
}

/// Builds a [`Value`] and refuses duplicate keys.
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }

    fn visit_f64<E: de::Error>(self, v: f64) -> Result<Value, E> {
        Number::from_f64(v).map(Value::Number).ok_or_else(|| E::custom("the number is not finite"))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(Strict)? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(de::Error::custom(format!("the key {key:?} stands twice")));
            }
            let value = map.next_value_seed(Strict)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

/// The canonical bytes of a value: RFC 8785, with integers written exactly.
#[must_use]
pub fn canonical(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write_canonical(value, &mut out);
    out
}

/// The digest of a value's canonical bytes.
#[must_use]
pub fn digest(value: &Value) -> Digest {
    Digest::of(&canonical(value))
}

/// Appends the canonical bytes of `value` to `out`.
pub fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_string(text, out),
        Value::Array(list) => {
            out.push(b'[');
            for (i, element) in list.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_canonical(element, out);
            }
            out.push(b']');
        }
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            // RFC 8785 section 3.2.3: keys are ordered by their UTF-16 code units.
            keys.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
            out.push(b'{');
            for (i, key) in keys.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_string(key, out);
                out.push(b':');
                write_canonical(&map[key], out);
            }
            out.push(b'}');
        }
    }
}

fn write_number(number: &Number, out: &mut Vec<u8>) {
    if let Some(float) = number.as_f64().filter(|_| number.is_f64()) {
        // ECMAScript's shortest form, which RFC 8785 section 3.2.2.3 asks for.
        out.extend_from_slice(ryu_js::Buffer::new().format_finite(float).as_bytes());
    } else {
        out.extend_from_slice(number.to_string().as_bytes());
    }
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    // serde_json escapes just what RFC 8785 section 3.2.2.2 does, in the same forms.
    let quoted = Value::String(text.to_owned()).to_string();
    out.extend_from_slice(quoted.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        parse(text.as_bytes()).expect_err(text).to_string()
    }

    #[test]
    fn accepts_what_survives_reading() {
        for text in [
            "0.1",
            "1e22",
            "0.10000000000000001",
            "18446744073709551615",
            "-9223372036854775808",
            "1.0",
            "-0.0",
            "2.50",
            "\"a\\u0041\"",
            "[]",
            " 1 ",
        ] {
            assert!(parse(text.as_bytes()).is_ok(), "{text}");
        }
    }

    #[test]
    fn refuses_what_would_change_silently() {
        insta::assert_snapshot!([
            refused("123456789012345678901234567890"),
            refused("18446744073709551616"),
            refused("1e999"),
            refused("0.12345678901234567890123"),
            refused("{\"a\":1,\"a\":2}"),
            refused("NaN"),
            refused("[1] 2"),
            refused("{\"a\":}"),
            refused("\u{feff}1"),
            refused(""),
            refused("  "),
            refused("\"\\ud800\""),
            refused("{\"a\":\n 1,\n \"b\": x}"),
            parse(b"\"\xff\"").expect_err("bytes").to_string(),
            refused(&"[".repeat(100_000)),
        ].join("\n"), @r#"
        the integer 123456789012345678901234567890 does not fit 64 bits (at byte 0)
        the integer 18446744073709551616 does not fit 64 bits (at byte 0)
        the number 1e999 is out of range (at byte 0)
        the number 0.12345678901234567890123 would lose digits (at byte 0)
        the key "a" stands twice (at byte 9)
        expected value (at byte 0)
        trailing characters (at byte 4)
        expected value (at byte 5)
        the text starts with a byte order mark (at byte 0)
        EOF while parsing a value (at byte 0)
        EOF while parsing a value (at byte 1)
        unexpected end of hex escape (at byte 7)
        expected value (at byte 16)
        the bytes are not UTF-8 (at byte 1)
        lists and objects nest deeper than 128 levels (at byte 128)
        "#);
    }

    #[test]
    fn canonical_form_follows_rfc_8785() {
        let value = parse(br#"{"b":1.0,"a":[1e21,0.000001,1e-7,-0.0,333333333.33333329,"\u20ac\/\n"],"\u00e9":null,"\ud83d\ude02":1,"\ufb33":2}"#).expect("valid");
        let text = String::from_utf8(canonical(&value)).expect("UTF-8");
        assert_eq!(
            text,
            "{\"a\":[1e+21,0.000001,1e-7,0,333333333.3333333,\"€/\\n\"],\"b\":1,\"é\":null,\"😂\":1,\"\u{fb33}\":2}"
        );
    }
}
