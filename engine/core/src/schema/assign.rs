//! When a producer's type fits a consumer's.

use std::fmt;

use serde_json::Value;

use super::validate::holds;
use super::{Constrained, Constraint, Record, Type, same_value};

/// Why one type does not fit another, and where inside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mismatch {
    /// The place inside the types, such as `[].line`; empty at the top.
    pub place: String,
    /// The producer's type there; empty where it has nothing.
    pub from: String,
    /// The consumer's type there.
    pub to: String,
    /// The reason, as a phrase.
    pub reason: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, from, to, reason } = self;
        if place.is_empty() {
            return f.write_str(reason);
        }
        if from.is_empty() {
            return write!(f, "{place}: {reason}");
        }
        write!(f, "{place}: `{from}` does not fit `{to}`: {reason}")
    }
}

/// Whether every value of `from` is a value of `to`. Fields that a record does not declare are
/// not looked at: its values may carry any.
///
/// # Errors
/// The first place where it is not, and why.
pub fn assignable(from: &Type, to: &Type) -> Result<(), Mismatch> {
    fits(from, to, &mut String::new())
}

fn fits(from: &Type, to: &Type, place: &mut String) -> Result<(), Mismatch> {
    let no = |reason: String| {
        let (from, to) = (from.to_string(), to.to_string());
        Err(Mismatch { place: place.clone(), from, to, reason })
    };
    match (from, to) {
        (_, Type::Json) => Ok(()),
        (Type::Optional(a), Type::Optional(b)) => fits(a, b, place),
        (a, Type::Optional(b)) => fits(a, b, place),
        (Type::Optional(_), _) => no("it may be absent".into()),
        (a, Type::Constrained(wanted)) => {
            fits(a, &wanted.base, place)?;
            let known = conditions(a);
            match wanted.constraints.iter().find(|w| !known.iter().any(|k| implies(k, w))) {
                None => Ok(()),
                Some(open) => Err(Mismatch {
                    place: place.clone(),
                    from: from.to_string(),
                    to: to.to_string(),
                    reason: format!("nothing promises {open}"),
                }),
            }
        }
        (Type::Constrained(c), b) => fits(&c.base, b, place),
        (Type::Integer, Type::Number) | (Type::Datetime | Type::Duration, Type::String) => Ok(()),
        (Type::File(_), Type::File(None)) => Ok(()),
        (Type::File(Some(a)), Type::File(Some(b))) if a.is_within(b) => Ok(()),
        (Type::File(None), Type::File(Some(_))) => no("its media type can be any".into()),
        (Type::File(Some(_)), Type::File(Some(_))) => no("they are different media types".into()),
        (Type::List(a), Type::List(b)) => at(place, "[]", |p| fits(a, b, p)),
        (Type::Map(a), Type::Map(b)) => at(place, ".*", |p| fits(a, b, p)),
        (Type::Record(a), Type::Record(b)) => record_fits(a, b, place),
        (a, b) if a == b => Ok(()),
        (Type::Json, _) => no("it can be anything".into()),
        (Type::Schema(_), Type::Schema(_)) => no("they are different schemas".into()),
        (Type::Schema(_), _) => no("a JSON Schema fits itself and `json` alone".into()),
        (_, Type::Schema(_)) => no("only what has this schema is sure to fit it".into()),
        (Type::Number, Type::Integer) => no("it may have a fraction".into()),
        _ => no("they are different kinds of values".into()),
    }
}

fn record_fits(a: &Record, b: &Record, place: &mut String) -> Result<(), Mismatch> {
    for (name, wanted) in &b.fields {
        match a.fields.get(name) {
            // `json` takes null, but a field that must be there may not be left out.
            Some(have) if have.is_optional() && !wanted.is_optional() => {
                return Err(Mismatch {
                    place: format!("{place}.{name}"),
                    from: have.to_string(),
                    to: wanted.to_string(),
                    reason: "it may be absent".into(),
                });
            }
            Some(have) => at(place, &format!(".{name}"), |p| fits(have, wanted, p))?,
            None if wanted.is_optional() => {}
            None => {
                return Err(Mismatch {
                    place: format!("{place}.{name}"),
                    from: String::new(),
                    to: wanted.to_string(),
                    reason: format!("`{}` has no such field, and `{}` needs it", a.name, b.name),
                });
            }
        }
    }
    // A rule is known by the type that brings it: functions cannot be compared.
    if b.rule.is_some() && (a.rule.is_none() || a.name != b.name) {
        return Err(Mismatch {
            place: place.clone(),
            from: a.name.clone(),
            to: b.name.clone(),
            reason: format!(
                "`{0}` has rules beyond the types of its fields, so only `{0}` is sure to fit",
                b.name
            ),
        });
    }
    Ok(())
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

/// All conditions on a type, through all of its names.
fn conditions(ty: &Type) -> Vec<&Constraint> {
    let Type::Constrained(outer) = ty else { return Vec::new() };
    let Constrained { base, constraints, .. } = outer.as_ref();
    constraints.iter().chain(conditions(base)).collect()
}

/// Whether a value that meets `known` surely meets `wanted`.
fn implies(known: &Constraint, wanted: &Constraint) -> bool {
    use Constraint as C;
    match (known, wanted) {
        (C::Enum(a), C::Enum(b)) => a.iter().all(|v: &Value| b.iter().any(|w| same_value(v, w))),
        (C::Enum(a), wanted) => a.iter().all(|v| holds(wanted, v)),
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
