//! Conditions: which types they suit, and which exclude each other.

use super::{Constraint, Type};

/// The keys of all conditions, in the order in which they are listed for people.
pub const CONDITION_KEYS: [&str; 10] = [
    "enum",
    "min",
    "max",
    "greater_than",
    "less_than",
    "min_length",
    "max_length",
    "pattern",
    "format",
    "unique",
];

/// What a condition can look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Text,
    Number,
    Boolean,
    List,
    Map,
    Record,
    Artifact,
    Schema,
    /// Any JSON.
    Open,
}

fn shape(ty: &Type) -> Shape {
    match ty.inner() {
        Type::String | Type::Datetime | Type::Duration => Shape::Text,
        Type::Integer | Type::Number => Shape::Number,
        Type::Boolean => Shape::Boolean,
        Type::List(_) => Shape::List,
        Type::Map(_) => Shape::Map,
        Type::Record(_) => Shape::Record,
        Type::File(_) | Type::Dir => Shape::Artifact,
        Type::Schema(_) => Shape::Schema,
        Type::Json | Type::Optional(_) | Type::Constrained(_) => Shape::Open,
    }
}

/// What the condition with this key is for, if it is not for values of `ty`.
#[must_use]
pub fn misfit(key: &str, ty: &Type) -> Option<&'static str> {
    use Shape as S;
    let (shapes, wanted): (&[Shape], _) = match key {
        "enum" => (
            &[S::Text, S::Number, S::Boolean, S::List, S::Map, S::Record],
            "values that can be written down",
        ),
        "min_length" | "max_length" => (&[S::Text, S::List, S::Map], "strings, lists and maps"),
        "pattern" | "format" => (&[S::Text], "strings"),
        "unique" => (&[S::List], "lists"),
        _ => (&[S::Number], "numbers"),
    };
    let shape = shape(ty);
    (shape != S::Open && !shapes.contains(&shape)).then_some(wanted)
}

impl Constraint {
    /// The key that it is written with.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::Enum(_) => "enum",
            Self::Min(_) => "min",
            Self::Max(_) => "max",
            Self::GreaterThan(_) => "greater_than",
            Self::LessThan(_) => "less_than",
            Self::MinLength(_) => "min_length",
            Self::MaxLength(_) => "max_length",
            Self::Pattern(_) => "pattern",
            Self::Format(_) => "format",
            Self::Unique => "unique",
        }
    }

    /// Whether no value can meet both. Each pair is asked for once: a lower bound asks an upper
    /// one, and `enum` asks all others.
    #[must_use]
    #[expect(clippy::match_same_arms, reason = "one line for each pair of bounds")]
    pub fn excludes(&self, other: &Self) -> bool {
        use Constraint as C;
        match (self, other) {
            (C::Min(a), C::Max(b)) => a > b,
            (C::Min(a), C::LessThan(b)) => a >= b,
            (C::GreaterThan(a), C::Max(b)) => a >= b,
            (C::GreaterThan(a), C::LessThan(b)) => a >= b,
            (C::MinLength(a), C::MaxLength(b)) => a > b,
            (C::Enum(a), C::Enum(b)) => {
                !a.iter().any(|v| b.iter().any(|w| super::same_value(v, w)))
            }
            (C::Enum(values), other) => !values.iter().any(|v| super::validate::holds(other, v)),
            _ => false,
        }
    }
}
