//! When a producer's type fits a consumer's.

use serde_json::Value;

use super::{Constraint, Type};

/// Why one type does not fit another, and where inside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}{}", if .place.is_empty() { String::new() } else { format!(" (at {place})") })]
pub struct Mismatch {
    /// The place inside the types, such as `[].line`; empty at the top.
    pub place: String,
    /// The reason, as a phrase.
    pub reason: String,
}

/// Whether every value of `from` is a value of `to`.
///
/// # Errors
/// The first place where it is not, and why.
pub fn assignable(from: &Type, to: &Type) -> Result<(), Mismatch> {
    fits(from, to, &mut String::new())
}

fn fits(from: &Type, to: &Type, place: &mut String) -> Result<(), Mismatch> {
    match (from, to) {
        (_, Type::Json) => Ok(()),
        (Type::Optional(a), Type::Optional(b)) => fits(a, b, place),
        (a, Type::Optional(b)) => fits(a, b, place),
        (Type::Optional(_), b) => no(place, format!("`{from}` may be absent, and `{b}` may not")),
        (a, Type::Constrained(c)) => {
            if from == to {
                return Ok(());
            }
            fits(a, &c.base, place)?;
            let known: &[Constraint] = match a {
                Type::Constrained(own) => &own.constraints,
                _ => &[],
            };
            match c.constraints.iter().find(|wanted| !known.iter().any(|k| implies(k, wanted))) {
                None => Ok(()),
                Some(open) => {
                    no(place, format!("`{from}` does not promise {open}, which `{to}` asks for"))
                }
            }
        }
        (Type::Constrained(c), b) => fits(&c.base, b, place),
        (Type::Integer, Type::Number) | (Type::Datetime | Type::Duration, Type::String) => Ok(()),
        (Type::File(_), Type::File(None)) => Ok(()),
        (Type::File(Some(a)), Type::File(Some(b))) if a.is_within(b) => Ok(()),
        (Type::File(None), Type::File(Some(b))) => {
            no(place, format!("a `file` of any media type is not surely a `file<{b}>`"))
        }
        (Type::List(a), Type::List(b)) => at(place, "[]", |p| fits(a, b, p)),
        (Type::Map(a), Type::Map(b)) => at(place, "{}", |p| fits(a, b, p)),
        (Type::Record(a), Type::Record(b)) => {
            for (name, wanted) in &b.fields {
                match a.fields.get(name) {
                    Some(have) => at(place, &format!(".{name}"), |p| fits(have, wanted, p))?,
                    None if wanted.is_optional() => {}
                    None => {
                        return no(
                            place,
                            format!(
                                "`{a}` has no field `{name}`, which `{b}` needs",
                                a = a.name,
                                b = b.name
                            ),
                        );
                    }
                }
            }
            Ok(())
        }
        (a, b) if a == b => Ok(()),
        (Type::Json, b) => no(place, format!("`json` can be anything, and `{b}` is wanted")),
        (a, b) => no(place, format!("`{a}` is not `{b}`")),
    }
}

fn no(place: &str, reason: String) -> Result<(), Mismatch> {
    Err(Mismatch { place: place.to_owned(), reason })
}

fn at(
    place: &mut String,
    step: &str,
    check: impl FnOnce(&mut String) -> Result<(), Mismatch>,
) -> Result<(), Mismatch> {
    let len = place.len();
    place.push_str(step);
    let result = check(place);
    place.truncate(len);
    result
}

/// Whether a value that meets `known` surely meets `wanted`.
fn implies(known: &Constraint, wanted: &Constraint) -> bool {
    use Constraint as C;
    let number = |v: &Value| v.as_f64();
    match (known, wanted) {
        (C::Enum(a), C::Enum(b)) => a.iter().all(|v| b.contains(v)),
        (C::Enum(a), C::Min(b)) => a.iter().all(|v| number(v).is_some_and(|n| n >= *b)),
        (C::Enum(a), C::Max(b)) => a.iter().all(|v| number(v).is_some_and(|n| n <= *b)),
        (C::Enum(a), C::GreaterThan(b)) => a.iter().all(|v| number(v).is_some_and(|n| n > *b)),
        (C::Enum(a), C::LessThan(b)) => a.iter().all(|v| number(v).is_some_and(|n| n < *b)),
        (C::Min(a) | C::GreaterThan(a), C::Min(b)) | (C::GreaterThan(a), C::GreaterThan(b)) => {
            a >= b
        }
        (C::Min(a), C::GreaterThan(b)) => a > b,
        (C::Max(a) | C::LessThan(a), C::Max(b)) | (C::LessThan(a), C::LessThan(b)) => a <= b,
        (C::Max(a), C::LessThan(b)) => a < b,
        (C::MinLength(a), C::MinLength(b)) => a >= b,
        (C::MaxLength(a), C::MaxLength(b)) => a <= b,
        (a, b) => a == b,
    }
}
