//! Conditions beside a type: `enum`, `min`, `pattern` and their like.

use super::fields::Fields;
use super::values::{self, Trail};
use super::{Lower, Value, read};
use crate::codes;
use flow_core::definition::Spanned;
use flow_core::diagnostic::{Diagnostic, nearest};
use flow_core::schema::{CONDITION_KEYS, Constraint, Format, Type, TypeExpr, misfit, validate};

/// Lowers the conditions that stand beside `ty`.
pub(super) fn lower(
    cx: &mut Lower,
    fields: &Fields<'_, '_>,
    ty: &Spanned<TypeExpr>,
) -> Vec<Spanned<Constraint>> {
    let open = open(ty);
    let mut found = Vec::new();
    for key in CONDITION_KEYS {
        let Some((span, value)) = fields.entry(key) else { continue };
        if let Some(wanted) = misfit(key, &open) {
            let message = format!("`{key}` does not apply to `{}`", **ty);
            cx.fault(
                Diagnostic::error(codes::CONSTRAINT_MISFIT, span, message)
                    .help(format!("`{key}` is for {wanted}")),
            );
        } else if let Some(constraint) = constraint(cx, key, value, ty) {
            found.push(Spanned::new(constraint, value.span()));
        }
    }
    contradictions(cx, &found);
    found
}

/// The type as far as it can be known here: a name may be anything.
fn open(ty: &TypeExpr) -> Type {
    ty.resolve(&|_| Some(Type::Json)).unwrap_or(Type::Json)
}

fn constraint(cx: &mut Lower, key: &str, value: &Value<'_>, ty: &TypeExpr) -> Option<Constraint> {
    Some(match key {
        "enum" => Constraint::Enum(allowed_values(cx, value, ty)?),
        "min" => Constraint::Min(read::number(cx, key, value)?),
        "max" => Constraint::Max(read::number(cx, key, value)?),
        "greater_than" => Constraint::GreaterThan(read::number(cx, key, value)?),
        "less_than" => Constraint::LessThan(read::number(cx, key, value)?),
        "min_length" => Constraint::MinLength(length(cx, key, value)?),
        "max_length" => Constraint::MaxLength(length(cx, key, value)?),
        "pattern" => Constraint::Pattern(pattern(cx, value)?),
        "format" => Constraint::Format(format(cx, value)?),
        _ => return read::boolean(cx, key, value)?.then_some(Constraint::Unique),
    })
}

fn length(cx: &mut Lower, key: &str, value: &Value<'_>) -> Option<u64> {
    read::integer(cx, key, value, 0..=i64::MAX).and_then(|n| u64::try_from(n).ok())
}

/// The values of `enum`, each held to the type beside it.
fn allowed_values(
    cx: &mut Lower,
    value: &Value<'_>,
    ty: &TypeExpr,
) -> Option<Vec<serde_json::Value>> {
    let list = read::array(cx, "enum", value)?;
    if list.is_empty() {
        cx.fault(
            Diagnostic::error(codes::CONSTRAINT_VALUE, value.span(), "`enum` allows no value")
                .help("list the allowed values, such as enum = [\"a\", \"b\"]"),
        );
        return None;
    }
    let base = ty.resolve(&|_| None).ok();
    let mut values = Vec::with_capacity(list.len());
    for element in list {
        let Some(json) = values::json(cx, element, &mut Trail::default()) else { continue };
        let fault = base.as_ref().and_then(|base| validate(base, &json).into_iter().next());
        if let Some(fault) = fault {
            let message = format!("this value of `enum` does not have the type `{ty}`");
            cx.fault(
                Diagnostic::error(codes::VALUE_TYPE, element.span(), message)
                    .label(format!("expected {}, found {}", fault.expected, fault.found)),
            );
        }
        values.push(json);
    }
    Some(values)
}

fn pattern(cx: &mut Lower, value: &Value<'_>) -> Option<regex::Regex> {
    let text = read::text(cx, "pattern", value)?;
    match regex::Regex::new(&text) {
        Ok(regex) => Some(regex),
        Err(error) => {
            let whole = error.to_string();
            let reason = whole.lines().last().unwrap_or_default().trim_start_matches("error: ");
            let message = "`pattern` is not a regular expression";
            cx.fault(
                Diagnostic::error(codes::CONSTRAINT_VALUE, text.span, message)
                    .label(reason)
                    .help("look-around and back-references do not exist; '…' keeps backslashes as they are"),
            );
            None
        }
    }
}

fn format(cx: &mut Lower, value: &Value<'_>) -> Option<Format> {
    let text = read::text(cx, "format", value)?;
    if let Some(format) = Format::from_name(&text) {
        return Some(format);
    }
    let names = || Format::ALL.iter().map(|(_, name)| *name);
    let help = match nearest(&text, names()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!(
            "formats are {}; `pattern` describes others",
            names().collect::<Vec<_>>().join(", ")
        ),
    };
    let message = format!("the format {:?} is not known", text.value);
    cx.fault(Diagnostic::error(codes::CONSTRAINT_VALUE, text.span, message).help(help));
    None
}

/// Tells pairs of conditions that no value can meet.
fn contradictions(cx: &mut Lower, all: &[Spanned<Constraint>]) {
    for low in all {
        for high in all {
            if low.excludes(high) {
                let message = format!("`{}` and `{}` exclude each other", low.value, high.value);
                cx.fault(
                    Diagnostic::error(codes::CONSTRAINT_VALUE, high.span.clone(), message)
                        .also(low.span.clone(), "the other one"),
                );
            }
        }
    }
}

/// Whether a type can have elements read from JSON Lines.
pub(super) fn can_be_list(ty: &TypeExpr) -> bool {
    matches!(open(ty).inner(), Type::List(_) | Type::Json)
}
