//! `[params]`.

use flow_core::definition::{FieldDef, ParamDef, Span, Spanned};
use flow_core::diagnostic::Diagnostic;
use flow_core::schema::{Constrained, Fault, Type, TypeExpr, validate};
use indexmap::IndexMap;
use toml::de::{DeTable, DeValue};

use super::fields::Fields;
use super::values::{self, Trail};
use super::vocabulary::Scope;
use super::{Lower, Value, check_identifier, named, read, types};
use crate::codes;

pub(super) fn lower(cx: &mut Lower, table: &DeTable<'_>) -> IndexMap<String, ParamDef> {
    named(cx, table, |cx, name, span, value| {
        check_identifier(cx, name, &span, "parameter name");
        param(cx, name, span, value)
    })
}

fn param(cx: &mut Lower, name: &str, span: Span, value: &Value<'_>) -> Option<ParamDef> {
    let table = match value.get_ref() {
        DeValue::String(_) => {
            let ty = FieldDef { ty: types::expression(cx, name, value)?, constraints: Vec::new() };
            check_type(cx, &ty.ty);
            return Some(ParamDef { span, ty, default: None });
        }
        DeValue::Table(table) => table,
        other => {
            cx.fault(
                read::mistyped(name, value, "a type or a table").help(format!(
                    "write {name} = {{ type = \"{}\", default = … }}",
                    type_of(other)
                )),
            );
            return None;
        }
    };
    let fields = Fields::open(cx, Scope::Param, table, span.clone());
    let ty = types::field(cx, &fields, &format!("the parameter `{name}`"))?;
    check_type(cx, &ty.ty);
    let default = fields.get("default").and_then(|v| default(cx, name, v, &ty));
    Some(ParamDef { span, ty, default })
}

/// A parameter comes as text, JSON or the path of a file. A folder has no such form.
fn check_type(cx: &mut Lower, ty: &Spanned<TypeExpr>) {
    if holds_folder(ty) {
        cx.fault(
            Diagnostic::error(
                codes::PARAMETER_TYPE,
                ty.span.clone(),
                "a parameter cannot be a `dir`",
            )
            .help("use `file`, or list the folder under `uses` of the nodes that need it"),
        );
    }
}

fn holds_folder(ty: &TypeExpr) -> bool {
    match ty {
        TypeExpr::Builtin(ty) => *ty == Type::Dir,
        TypeExpr::Name(_) => false,
        TypeExpr::List(inner) | TypeExpr::Map(inner) | TypeExpr::Optional(inner) => {
            holds_folder(inner)
        }
    }
}

fn default(
    cx: &mut Lower,
    name: &str,
    value: &Value<'_>,
    ty: &FieldDef,
) -> Option<Spanned<serde_json::Value>> {
    let mut trail = Trail::default();
    let json = values::json(cx, value, &mut trail)?;
    for fault in default_faults(ty, &json) {
        let place = trail.spans.get(&fault.pointer).cloned().unwrap_or_else(|| value.span());
        cx.fault(
            Diagnostic::error(
                codes::VALUE_TYPE,
                place,
                format!("the default of `{name}` does not have the type `{}`", *ty.ty),
            )
            .label(format!("expected {}, found {}", fault.expected, fault.found)),
        );
    }
    Some(Spanned::new(json, value.span()))
}

/// Holds a default to its type, as far as the type can be known here: names of types are resolved
/// by the check of the graph.
fn default_faults(ty: &FieldDef, json: &serde_json::Value) -> Vec<Fault> {
    let Ok(base) = ty.ty.resolve(&|_| None) else { return Vec::new() };
    if matches!(base.inner(), Type::File(_)) {
        let path = json.as_str().is_some_and(|path| !path.is_empty());
        return if path {
            Vec::new()
        } else {
            vec![Fault::error("", "the path of a file", json.to_string())]
        };
    }
    if base.holds_artifacts() {
        return Vec::new();
    }
    let constraints = ty.constraints.iter().map(|c| c.value.clone()).collect();
    let constrained = Constrained { name: String::new(), base, constraints };
    validate(&Type::Constrained(constrained.into()), json)
}

fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::Integer(_) => "integer",
        DeValue::Float(_) => "number",
        DeValue::Boolean(_) => "boolean",
        DeValue::Datetime(_) => "datetime",
        DeValue::Array(_) => "list<string>",
        DeValue::String(_) | DeValue::Table(_) => "string",
    }
}
