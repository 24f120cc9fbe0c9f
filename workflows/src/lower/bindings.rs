//! What inputs and workflow outputs are bound to.

use flow_core::definition::{Binding, Spanned};
use flow_core::diagnostic::Diagnostic;
use indexmap::IndexMap;
use toml::de::{DeArray, DeTable, DeValue};

use super::fields::Fields;
use super::vocabulary::Scope;
use super::{Lower, Value, check_identifier, habits, named, read};
use crate::codes;

const FORMS: &str =
    "bind to \"NODE.PORT\", \"item\", \"params.NAME\", { first = [references] } or [references]";

/// Lowers a table of bindings by port.
pub(super) fn table(
    cx: &mut Lower,
    table: &DeTable<'_>,
    kind: &'static str,
) -> IndexMap<String, Spanned<Binding>> {
    named(cx, table, |cx, name, span, value| {
        check_identifier(cx, name, &span, kind);
        binding(cx, name, value).map(|binding| Spanned::new(binding, value.span()))
    })
}

fn binding(cx: &mut Lower, name: &str, value: &Value<'_>) -> Option<Binding> {
    match value.get_ref() {
        DeValue::String(_) => reference(cx, name, value).map(|text| Binding::Ref(text.value)),
        DeValue::Array(list) => references(cx, name, value, list).map(Binding::List),
        DeValue::Table(table) => {
            let fields = Fields::open(cx, Scope::Binding, table, value.span());
            let Some(value) = fields.get("first") else {
                if table.is_empty() {
                    unbound(cx, name, value);
                }
                return None;
            };
            let list = read::array(cx, "first", value)?;
            references(cx, "first", value, list).map(Binding::First)
        }
        _ => {
            cx.fault(
                Diagnostic::error(
                    codes::BINDING,
                    value.span(),
                    format!("`{name}` is bound to {}, not to a reference", read::kind(value.get_ref())),
                )
                .help("a constant stands in `with`, in a parameter's default or in a node of stage `value`"),
            );
            None
        }
    }
}

fn references(
    cx: &mut Lower,
    name: &str,
    value: &Value<'_>,
    list: &DeArray<'_>,
) -> Option<Vec<Spanned<String>>> {
    if list.is_empty() {
        unbound(cx, name, value);
        return None;
    }
    Some(list.iter().filter_map(|element| reference(cx, name, element)).collect())
}

fn unbound(cx: &mut Lower, name: &str, value: &Value<'_>) {
    let message = format!("`{name}` is bound to nothing");
    cx.fault(Diagnostic::error(codes::BINDING, value.span(), message).help(FORMS));
}

/// Reads the text of a reference; what it refers to is for the check of the graph.
pub(super) fn reference(cx: &mut Lower, name: &str, value: &Value<'_>) -> Option<Spanned<String>> {
    let text = read::text(cx, name, value)?;
    if text.trim().is_empty() {
        unbound(cx, name, value);
        return None;
    }
    if let Some(inner) = habits::braced(&text) {
        let message = format!("`{name}` takes a reference, not a template");
        cx.fault(
            Diagnostic::error(codes::BRACES, value.span(), message)
                .help(format!("write it without braces: \"{inner}\"")),
        );
    }
    Some(text)
}
