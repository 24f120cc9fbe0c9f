//! Conditions beside a type that has a name: only here is it known what the name stands for.

use super::codes;
use crate::definition::{FieldDef, Span, Spanned};
use crate::diagnostic::Diagnostic;
use crate::schema::{Constraint, Severity, Type, TypeExpr, misfit, validate};

/// Tells conditions of `field` that do not suit `base`, the type that stands beside them.
pub(super) fn check(field: &FieldDef, base: &Type, faults: &mut Vec<Diagnostic>) {
    let inherited = inherited(base);
    for condition in &field.constraints {
        // Of types that are written out, whoever reads the file has told this already.
        if !is_named(&field.ty.value) && condition.span != (0..0) {
            continue;
        }
        if let Some(wanted) = misfit(condition.key(), base) {
            faults.push(misfits(condition, &field.ty.value, base, wanted));
            continue;
        }
        match &condition.value {
            Constraint::Enum(values) => values.iter().for_each(|value| {
                let found =
                    validate(base, value).into_iter().find(|f| f.severity == Severity::Error);
                if let Some(fault) = found {
                    let message = format!("{value} cannot occur: it is not a `{base}`");
                    faults.push(
                        told(&condition.span, message)
                            .label(format!("expected {}, found {}", fault.expected, fault.found))
                            .help("list values that the type allows"),
                    );
                }
            }),
            own => {
                let other = inherited.iter().find(|c| c.excludes(own) || own.excludes(c));
                if let Some(other) = other {
                    let message = format!("`{own}` and `{other}` of `{base}` exclude each other");
                    faults.push(
                        told(&condition.span, message)
                            .help("no value could meet both: change one of them"),
                    );
                }
            }
        }
    }
}

fn misfits(
    condition: &Spanned<Constraint>,
    expr: &TypeExpr,
    base: &Type,
    wanted: &str,
) -> Diagnostic {
    let key = condition.key();
    let kind = match base.inner() {
        Type::Record(_) => "a record".to_owned(),
        Type::Schema(_) => "a JSON Schema".to_owned(),
        other => format!("a `{other}`"),
    };
    let fault =
        told(&condition.span, format!("`{key}` does not apply to `{expr}`, which is {kind}"));
    match base.inner() {
        Type::Schema(_) => fault.help("put the condition into the schema file"),
        _ => fault.help(format!("`{key}` is for {wanted}")),
    }
}

fn told(span: &Span, message: String) -> Diagnostic {
    Diagnostic::error(codes::BAD_CONDITION, span.clone(), message)
}

fn is_named(expr: &TypeExpr) -> bool {
    match expr {
        TypeExpr::Name(_) => true,
        TypeExpr::Optional(inner) => is_named(inner),
        _ => false,
    }
}

/// The conditions that the type brings itself, through all of its names.
fn inherited(ty: &Type) -> Vec<&Constraint> {
    match ty {
        Type::Optional(inner) => inherited(inner),
        Type::Constrained(c) => c.constraints.iter().chain(inherited(&c.base)).collect(),
        _ => Vec::new(),
    }
}
