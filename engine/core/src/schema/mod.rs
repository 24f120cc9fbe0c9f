//! Types of ports: what they are, how they are written, when one fits another, and the one
//! validator that holds a payload to its type.

mod assign;
mod condition;
mod expr;
mod json_schema;
mod media;
#[cfg(test)]
mod tests;
mod validate;

use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;

pub use assign::{Mismatch, assignable};
pub use condition::{CONDITION_KEYS, misfit};
pub use expr::{TypeExpr, TypeSyntaxError};
pub use json_schema::{DIALECT, JsonSchema, SchemaFault};
pub use media::{MediaPattern, canonical_media_type};
pub use validate::{Fault, Severity, describe, validate};

/// The type of a port, a parameter or a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// UTF-8 text.
    String,
    /// A whole number; `1.0` is one.
    Integer,
    /// Any finite number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A point in time: RFC 3339 with offset.
    Datetime,
    /// A span such as `90s` or `1h30m`.
    Duration,
    /// Any JSON.
    Json,
    /// A stored file, perhaps of a media type.
    File(Option<MediaPattern>),
    /// A stored folder.
    Dir,
    /// Values of one type, in order.
    List(Box<Type>),
    /// Values of one type, by text key.
    Map(Box<Type>),
    /// The type, or null, or absent.
    Optional(Box<Type>),
    /// An object with known fields; others may be there too.
    Record(Arc<Record>),
    /// A type with further conditions.
    Constrained(Arc<Constrained>),
    /// What a JSON Schema describes.
    Schema(Arc<JsonSchema>),
}

/// An object type.
#[derive(Clone)]
pub struct Record {
    /// Its name in messages.
    pub name: String,
    /// Fields in declared order; an [`Type::Optional`] field may be absent.
    pub fields: IndexMap<String, Type>,
    /// Conditions that span fields, of types that stages bring.
    pub rule: Option<Rule>,
}

/// Checks a value beyond the types of its fields. It is called only for values whose fields have
/// their types, and must be pure.
pub type Rule = fn(&Value) -> Vec<Fault>;

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record").field("name", &self.name).field("fields", &self.fields).finish()
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.fields == other.fields
    }
}

/// A type with conditions, perhaps under a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Constrained {
    /// Its name in messages; empty for an anonymous one.
    pub name: String,
    /// The type without the conditions.
    pub base: Type,
    /// The conditions; all must hold.
    pub constraints: Vec<Constraint>,
}

/// One condition on a value.
#[derive(Debug, Clone)]
pub enum Constraint {
    /// One of these values.
    Enum(Vec<Value>),
    /// At least this number.
    Min(f64),
    /// At most this number.
    Max(f64),
    /// More than this number.
    GreaterThan(f64),
    /// Less than this number.
    LessThan(f64),
    /// At least so many characters, elements or entries.
    MinLength(u64),
    /// At most so many characters, elements or entries.
    MaxLength(u64),
    /// Text that matches this regular expression somewhere.
    Pattern(regex::Regex),
    /// Text of a well-known form.
    Format(Format),
    /// No two elements are equal.
    Unique,
}

impl PartialEq for Constraint {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

/// Whether two values are one: `1` and `1.0` are.
fn same_value(a: &Value, b: &Value) -> bool {
    crate::json::canonical(a) == crate::json::canonical(b)
}

/// A well-known form of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `2025-01-05`.
    Date,
    /// `13:00:00`.
    Time,
    /// RFC 3339 with offset.
    DateTime,
    /// One `@` between a name and a domain.
    Email,
    /// An absolute URI.
    Uri,
    /// A UUID with hyphens.
    Uuid,
}

impl Format {
    /// All forms with their written names.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Date, "date"),
        (Self::Time, "time"),
        (Self::DateTime, "date-time"),
        (Self::Email, "email"),
        (Self::Uri, "uri"),
        (Self::Uuid, "uuid"),
    ];

    /// The form with this written name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, n)| *n == name).map(|(format, _)| *format)
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(f, _)| *f == self).map_or("", |(_, name)| name)
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enum(values) => {
                let list: Vec<String> = values.iter().map(Value::to_string).collect();
                write!(f, "one of {}", list.join(", "))
            }
            Self::Min(n) => write!(f, "at least {n}"),
            Self::Max(n) => write!(f, "at most {n}"),
            Self::GreaterThan(n) => write!(f, "greater than {n}"),
            Self::LessThan(n) => write!(f, "less than {n}"),
            Self::MinLength(n) => write!(f, "a length of at least {n}"),
            Self::MaxLength(n) => write!(f, "a length of at most {n}"),
            Self::Pattern(regex) => write!(f, "text that matches /{regex}/"),
            Self::Format(format) => write!(f, "a {}", format.name()),
            Self::Unique => f.write_str("unique elements"),
        }
    }
}

/// Fields of an artifact as consumers see it.
const ARTIFACT_FIELDS: [&str; 5] = ["path", "name", "size", "digest", "media_type"];

impl Type {
    /// An optional form of this type; an optional type stays as it is.
    #[must_use]
    pub fn optional(self) -> Self {
        if self.is_optional() { self } else { Self::Optional(Box::new(self)) }
    }

    /// A list of this type.
    #[must_use]
    pub fn list(self) -> Self {
        Self::List(Box::new(self))
    }

    /// Whether null and absence are accepted because the type is `T?`. An alias of such a type is
    /// one too: the graph keeps `?` outside of the name.
    #[must_use]
    pub fn is_optional(&self) -> bool {
        matches!(self, Self::Optional(_))
    }

    /// The type under `?` and under a constrained alias.
    #[must_use]
    pub fn inner(&self) -> &Self {
        match self {
            Self::Optional(inner) => inner.inner(),
            Self::Constrained(c) => c.base.inner(),
            other => other,
        }
    }

    /// Whether payloads are artifacts themselves.
    #[must_use]
    pub fn is_artifact(&self) -> bool {
        matches!(self.inner(), Self::File(_) | Self::Dir)
    }

    /// Whether an artifact can stand anywhere inside a payload.
    #[must_use]
    pub fn holds_artifacts(&self) -> bool {
        match self.inner() {
            Self::File(_) | Self::Dir => true,
            Self::List(t) | Self::Map(t) => t.holds_artifacts(),
            Self::Record(record) => record.fields.values().any(Self::holds_artifacts),
            _ => false,
        }
    }

    /// Whether a folder can stand anywhere inside a payload.
    #[must_use]
    pub fn holds_folders(&self) -> bool {
        match self.inner() {
            Self::Dir => true,
            Self::List(t) | Self::Map(t) => t.holds_folders(),
            Self::Record(record) => record.fields.values().any(Self::holds_folders),
            _ => false,
        }
    }

    /// The names of the fields that [`Type::field`] knows, in declared order.
    #[must_use]
    pub fn field_names(&self) -> Vec<&str> {
        match self.inner() {
            Self::Record(record) => record.fields.keys().map(String::as_str).collect(),
            Self::Schema(schema) => schema.outline().field_names(),
            Self::File(_) | Self::Dir => ARTIFACT_FIELDS.to_vec(),
            _ => Vec::new(),
        }
    }

    /// The type of the elements of this type's values, if they are lists or may be.
    #[must_use]
    pub fn element(&self) -> Option<Self> {
        match self.inner() {
            Self::List(element) => Some(element.as_ref().clone()),
            Self::Json => Some(Self::Json),
            Self::Schema(schema) => schema.outline().element(),
            _ => None,
        }
    }

    /// The type as a person writes its values down: with the path of a file or folder where the
    /// artifact will be.
    #[must_use]
    pub fn as_written(&self) -> Self {
        match self {
            Self::File(_) | Self::Dir => Self::String,
            Self::List(t) => t.as_written().list(),
            Self::Map(t) => Self::Map(Box::new(t.as_written())),
            Self::Optional(t) => t.as_written().optional(),
            Self::Record(record) if self.holds_artifacts() => {
                let fields =
                    record.fields.iter().map(|(k, t)| (k.clone(), t.as_written())).collect();
                // A rule looks at the values as they will be.
                Self::Record(Arc::new(Record { name: record.name.clone(), fields, rule: None }))
            }
            Self::Constrained(c) => Self::Constrained(Arc::new(Constrained {
                name: c.name.clone(),
                base: c.base.as_written(),
                constraints: c.constraints.clone(),
            })),
            other => other.clone(),
        }
    }

    /// The type of a field of this type's values, if it can be known: a record's field, a map's
    /// value, any field of `json`, and the usual fields of artifacts.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<Self> {
        let found = match self.inner() {
            Self::Json => Self::Json,
            Self::Map(value) => value.as_ref().clone().optional(),
            Self::Record(record) => record.fields.get(name)?.clone(),
            Self::Schema(schema) => match schema.outline() {
                // Nothing is known of it: a slip could not be told from a field.
                Self::Json => return None,
                outline => outline.field(name)?,
            },
            Self::File(_) | Self::Dir => match name {
                "path" | "name" | "digest" | "media_type" => Self::String,
                "size" => Self::Integer,
                _ => return None,
            },
            _ => return None,
        };
        Some(if self.is_optional() { found.optional() } else { found })
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("string"),
            Self::Integer => f.write_str("integer"),
            Self::Number => f.write_str("number"),
            Self::Boolean => f.write_str("boolean"),
            Self::Datetime => f.write_str("datetime"),
            Self::Duration => f.write_str("duration"),
            Self::Json => f.write_str("json"),
            Self::File(None) => f.write_str("file"),
            Self::File(Some(media)) => write!(f, "file<{media}>"),
            Self::Dir => f.write_str("dir"),
            Self::List(t) => write!(f, "list<{t}>"),
            Self::Map(t) => write!(f, "map<{t}>"),
            Self::Optional(t) => write!(f, "{t}?"),
            Self::Record(record) => f.write_str(&record.name),
            Self::Constrained(c) if c.name.is_empty() => {
                let list: Vec<String> = c.constraints.iter().map(ToString::to_string).collect();
                write!(f, "{} ({})", c.base, list.join(", "))
            }
            Self::Constrained(c) => f.write_str(&c.name),
            Self::Schema(schema) => f.write_str(schema.name()),
        }
    }
}
