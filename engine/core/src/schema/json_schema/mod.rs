//! Types that are JSON Schema documents (2020-12): compiled once, shared by all clones.
//!
//! References stay inside the document: nothing is read from the disk or the network. `format` is
//! asserted, and regular expressions take time linear in the text, so that no payload can stall
//! the gate.

mod fault;
mod outline;
#[cfg(test)]
mod tests;

use std::fmt;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use super::{Fault, Type};
use crate::digest::Digest;
use crate::json;

/// The only dialect, as `$schema` names it.
pub const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Names that generators of schemas give to the width of a number. They say nothing about text, and
/// `minimum` and `maximum` beside them say what holds.
const NUMBER_FORMATS: [&str; 12] = [
    "int8", "int16", "int32", "int64", "int", "uint8", "uint16", "uint32", "uint64", "uint",
    "float", "double",
];

/// A compiled JSON Schema under a name.
pub struct JsonSchema {
    name: String,
    digest: Digest,
    validator: Validator,
    outline: Type,
}

impl fmt::Debug for JsonSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, digest) = (&self.name, &self.digest);
        f.debug_struct("JsonSchema").field("name", name).field("digest", digest).finish()
    }
}

impl PartialEq for JsonSchema {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

/// Why a text is no schema that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", if .pointer.is_empty() { String::new() } else { format!("at {pointer}: ") })]
pub struct SchemaFault {
    /// JSON pointer to the part of the schema that is at fault; empty for the document.
    pub pointer: String,
    /// What is wrong there, as a phrase.
    pub message: String,
    /// The way out, where there is one.
    pub help: Option<&'static str>,
}

impl JsonSchema {
    /// Compiles the text of a schema file.
    ///
    /// # Errors
    /// [`SchemaFault`] when the text is not JSON, not a schema of 2020-12, or refers to something
    /// outside of itself.
    pub fn compile(name: &str, text: &str) -> Result<Self, SchemaFault> {
        let schema = json::parse(text.as_bytes()).map_err(|fault| SchemaFault {
            pointer: String::new(),
            message: format!("it is not JSON: {fault}"),
            help: None,
        })?;
        check_dialect(&schema)?;
        let options = jsonschema::draft202012::options()
            .offline()
            .should_validate_formats(true)
            .should_ignore_unknown_formats(false)
            .with_pattern_options(PatternOptions::regex());
        let validator = NUMBER_FORMATS
            .iter()
            .fold(options, |options, name| options.with_format(*name, |_: &str| true))
            .build(&schema)
            .map_err(|error| refused(&schema, &error))?;
        Ok(Self {
            name: name.to_owned(),
            digest: json::digest(&schema),
            validator,
            outline: outline::of(name, &schema),
        })
    }

    /// Its name in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The digest of its canonical JSON: the same for two files that differ in layout alone.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// What the schema says in the words of the other types: every value of the schema that is an
    /// object or list has the fields or elements that stand there. `json` where it says nothing.
    #[must_use]
    pub fn outline(&self) -> &Type {
        &self.outline
    }

    /// All faults of a value, in the order of the schema.
    pub(super) fn faults<'a>(&'a self, value: &'a Value) -> impl Iterator<Item = Fault> + 'a {
        self.validator.iter_errors(value).flat_map(|error| fault::of(&error))
    }
}

fn check_dialect(schema: &Value) -> Result<(), SchemaFault> {
    if !schema.is_object() && !schema.is_boolean() {
        return Err(SchemaFault {
            pointer: String::new(),
            message: "a schema is an object, and this is something else".into(),
            help: None,
        });
    }
    match schema.get("$schema") {
        None => Ok(()),
        Some(Value::String(name)) if name.trim_end_matches('#') == DIALECT => Ok(()),
        Some(other) => Err(SchemaFault {
            pointer: "/$schema".into(),
            message: format!("the dialect {other} is not known"),
            help: Some("schemas are of https://json-schema.org/draft/2020-12/schema"),
        }),
    }
}

/// Why the library refuses a schema, with the place in it.
fn refused(schema: &Value, error: &jsonschema::ValidationError<'_>) -> SchemaFault {
    let pointer = error.instance_path().as_str().to_owned();
    let fault = |pointer: String, message: String, help| SchemaFault { pointer, message, help };
    match error.kind() {
        ValidationErrorKind::Referencing(reason) => {
            let found = bad_reference(schema, &mut String::new());
            let (pointer, target) = found.unwrap_or((pointer, String::new()));
            if target.starts_with('#') {
                let message = format!("`{target}` leads nowhere");
                return fault(
                    pointer,
                    message,
                    Some("it is a place in the same file, such as #/$defs/Name"),
                );
            }
            let message = if target.is_empty() {
                reason.to_string()
            } else {
                format!("`{target}` is in another file")
            };
            let help = "references stay inside the file: copy what they name under `$defs`, and write #/$defs/Name";
            fault(pointer, message, Some(help))
        }
        ValidationErrorKind::Format { format } if format == "regex" => fault(
            pointer,
            format!("{} is not a regular expression", error.instance()),
            Some("look-around and back-references do not exist"),
        ),
        _ if pointer.ends_with("/format") && error.instance().is_string() => fault(
            pointer,
            format!("there is no format {}", error.instance()),
            Some("formats are asserted: use one of 2020-12, such as date-time, email or uri"),
        ),
        _ => {
            let first = fault::of(error).into_iter().next();
            let told = |f: Fault| format!("expected {}, found {}", f.expected, f.found);
            fault(pointer, first.map_or_else(|| error.to_string(), told), None)
        }
    }
}

/// The first reference that leads out of the document or to nothing in it.
fn bad_reference(schema: &Value, pointer: &mut String) -> Option<(String, String)> {
    fn walk(root: &Value, at: &Value, pointer: &mut String) -> Option<(String, String)> {
        let mut enter = |step: &str, next: &Value| {
            let len = pointer.len();
            pointer.push('/');
            pointer.push_str(&step.replace('~', "~0").replace('/', "~1"));
            let is_reference = matches!(step, "$ref" | "$dynamicRef");
            let found = match next.as_str().filter(|_| is_reference) {
                Some(target) if leads_nowhere(root, target) => {
                    Some((pointer.clone(), target.to_owned()))
                }
                _ => walk(root, next, pointer),
            };
            pointer.truncate(len);
            found
        };
        match at {
            Value::Object(map) => map.iter().find_map(|(key, next)| enter(key, next)),
            Value::Array(list) => {
                list.iter().enumerate().find_map(|(i, next)| enter(&i.to_string(), next))
            }
            _ => None,
        }
    }
    walk(schema, schema, pointer)
}

fn leads_nowhere(root: &Value, target: &str) -> bool {
    match target.strip_prefix('#') {
        Some(pointer) if pointer.is_empty() || pointer.starts_with('/') => {
            root.pointer(pointer).is_none()
        }
        Some(_) => false,
        None => true,
    }
}
