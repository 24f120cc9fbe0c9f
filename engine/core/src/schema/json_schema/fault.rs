//! From an error of the schema library to a fault: the place in the payload, what the keyword
//! asks for, what was found.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value;

use crate::schema::{Fault, describe};

/// The faults of one error: one for each field that is too many, else one.
pub(super) fn of(error: &ValidationError<'_>) -> Vec<Fault> {
    let place = error.instance_path().as_str();
    let value = error.instance();
    match error.kind() {
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![Fault::error(below(place, name), format!("`{name}`, a required field"), "nothing")]
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            unexpected
                .iter()
                .map(|name| {
                    let found = value.get(name).map_or_else(|| "it".into(), describe);
                    Fault::error(below(place, name), format!("no field `{name}`"), found)
                })
                .collect()
        }
        kind => vec![Fault::error(place, expected(kind, error), describe(value))],
    }
}

fn below(place: &str, name: &str) -> String {
    format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// What a keyword asks for, as a phrase after "expected".
fn expected(kind: &Kind, error: &ValidationError<'_>) -> String {
    match kind {
        Kind::Type { kind } => types(kind),
        Kind::Enum { options } => {
            let list = options.as_array().map_or(&[][..], Vec::as_slice);
            format!("one of {}", list.iter().map(Value::to_string).collect::<Vec<_>>().join(", "))
        }
        Kind::Constant { expected_value } => format!("the value {expected_value}"),
        Kind::Minimum { limit } => format!("at least {limit}"),
        Kind::Maximum { limit } => format!("at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("greater than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("a multiple of {multiple_of}"),
        Kind::MinLength { limit } => format!("a length of at least {limit}"),
        Kind::MaxLength { limit } => format!("a length of at most {limit}"),
        Kind::MinItems { limit } => format!("at least {limit} elements"),
        Kind::MaxItems { limit } => format!("at most {limit} elements"),
        Kind::AdditionalItems { limit } => format!("at most {limit} elements"),
        Kind::UnevaluatedItems { .. } => "no further elements".into(),
        Kind::MinProperties { limit } => format!("at least {limit} fields"),
        Kind::MaxProperties { limit } => format!("at most {limit} fields"),
        Kind::Pattern { pattern } => format!("text that matches /{pattern}/"),
        Kind::Format { format } => format!("a {format}"),
        Kind::UniqueItems => "unique elements".into(),
        Kind::Contains => "a list with such elements as `contains` describes".into(),
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => alternatives(context, error),
        Kind::OneOfMultipleValid { .. } => "exactly one of the alternatives of `oneOf`".into(),
        Kind::Not { .. } => "anything but what `not` describes".into(),
        Kind::FalseSchema => "nothing here".into(),
        Kind::PropertyNames { error } => {
            let name = error.instance();
            format!("names of fields that are {}, unlike {name}", expected(error.kind(), error))
        }
        _ => {
            let place = error.schema_path().as_str();
            format!("what the schema asks for at {place}")
        }
    }
}

/// What would do, one phrase for each alternative: where the value is not even of the right type
/// everything else about that alternative is beside the point.
fn alternatives(context: &[Vec<ValidationError<'static>>], error: &ValidationError<'_>) -> String {
    const MOST: usize = 4;
    let mut phrases: Vec<String> = Vec::new();
    for first in context.iter().filter_map(|errors| errors.first()) {
        for fault in of(first).into_iter().take(1) {
            let place = error.instance_path().as_str();
            let phrase = match fault.pointer.strip_prefix(place).unwrap_or(&fault.pointer) {
                "" => fault.expected,
                pointer => format!("{} at {pointer}", fault.expected),
            };
            if !phrases.contains(&phrase) {
                phrases.push(phrase);
            }
        }
    }
    let more = phrases.len().saturating_sub(MOST);
    phrases.truncate(MOST);
    match (phrases.len(), more) {
        (0, _) => "one of the alternatives".into(),
        (_, 0) => phrases.join(", or "),
        _ => format!("{}, or one of {more} more alternatives", phrases.join(", or ")),
    }
}

fn types(kind: &TypeKind) -> String {
    let named = |name: String| match name.as_str() {
        "null" => name,
        "integer" | "array" | "object" => format!("an {name}"),
        _ => format!("a {name}"),
    };
    match kind {
        TypeKind::Single(ty) => named(ty.to_string()),
        TypeKind::Multiple(set) => {
            set.iter().map(|ty| named(ty.to_string())).collect::<Vec<_>>().join(" or ")
        }
    }
}
