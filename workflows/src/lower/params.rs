//! `[params]`.

use flow_core::definition::{FieldDef, ParamDef, Span, Spanned};
use flow_core::diagnostic::Diagnostic;
use flow_core::schema::{Constrained, Fault, Type, describe, validate};
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
    let default = fields.get("default").and_then(|v| default(cx, name, v, &ty));
    Some(ParamDef { span, ty, default })
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
    if base.is_artifact() {
        let is_path = json.as_str().is_some_and(|path| !path.is_empty());
        let what = if matches!(base.inner(), Type::Dir) { "folder" } else { "file" };
        let fault = || Fault::error("", format!("the path of a {what}"), describe(json));
        return if is_path { Vec::new() } else { vec![fault()] };
    }
    // Files and folders are written as paths; they are looked at when the run starts.
    let base = base.as_written();
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
