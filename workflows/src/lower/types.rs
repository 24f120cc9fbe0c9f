//! `[types]`: records, and types with conditions under a name.

use flow_core::definition::{FieldDef, Span, Spanned, TypeDef};
use flow_core::diagnostic::Diagnostic;
use flow_core::schema::TypeExpr;
use indexmap::IndexMap;
use toml::de::{DeTable, DeValue};

use super::fields::Fields;
use super::vocabulary::Scope;
use super::{Lower, Value, check_identifier, constraints, habits, named, read};
use crate::codes;

pub(super) fn lower(cx: &mut Lower, table: &DeTable<'_>) -> IndexMap<String, TypeDef> {
    named(cx, table, |cx, name, span, value| {
        check_identifier(cx, name, &span, "type name");
        if is_built_in(name) {
            let message = format!("`{name}` is a built-in type");
            cx.fault(
                Diagnostic::error(codes::BUILT_IN_TYPE, span.clone(), message)
                    .help("give the type another name; types usually begin with a capital letter"),
            );
        }
        definition(cx, name, span, value)
    })
}

fn is_built_in(name: &str) -> bool {
    matches!(name, "list" | "map") || matches!(TypeExpr::parse(name), Ok(TypeExpr::Builtin(_)))
}

fn definition(cx: &mut Lower, name: &str, span: Span, value: &Value<'_>) -> Option<TypeDef> {
    let table = match value.get_ref() {
        DeValue::String(_) => {
            let ty = FieldDef { ty: expression(cx, name, value)?, constraints: Vec::new() };
            return Some(TypeDef::Alias { span, ty });
        }
        DeValue::Table(table) => table,
        _ => {
            cx.fault(read::mistyped(name, value, "a table with `fields`, `type` or `schema`"));
            return None;
        }
    };
    if is_record_without_fields(table) {
        cx.fault(
            Diagnostic::error(
                codes::FIELDS_OUTSIDE,
                span.clone(),
                format!("the fields of `{name}` stand outside its `fields` table"),
            )
            .help(format!("write [types.{name}.fields]")),
        );
        return Some(TypeDef::Record { span, fields: record(cx, table) });
    }
    let fields = Fields::open(cx, Scope::Type, table, span.clone());
    if let Some((place, value)) = fields.entry("schema") {
        return schema(cx, name, &fields, &place, value);
    }
    match (fields.entry("fields"), fields.entry("type")) {
        (Some((place, list)), ty) => {
            if let Some((other, _)) = ty {
                cx.fault(
                    Diagnostic::error(
                        codes::CONFLICT,
                        other,
                        format!("`{name}` has both `type` and `fields`"),
                    )
                    .also(place, "makes it a record")
                    .help("a record has `fields`, a type with conditions has `type`"),
                );
            }
            let list = read::table(cx, "fields", list)?;
            Some(TypeDef::Record { span, fields: record(cx, list) })
        }
        (None, Some(_)) => {
            let ty = field(cx, &fields, &format!("the type `{name}`"))?;
            Some(TypeDef::Alias { span, ty })
        }
        (None, None) => {
            let message = format!("the type `{name}` has neither `fields`, `type` nor `schema`");
            cx.missing(Diagnostic::error(codes::MISSING_KEY, span, message).help(format!(
                "write [types.{name}.fields] for a record, or type = \"…\" with conditions"
            )));
            None
        }
    }
}

/// Reads `schema`, which says everything about its type.
fn schema(
    cx: &mut Lower,
    name: &str,
    fields: &Fields<'_, '_>,
    place: &Span,
    value: &Value<'_>,
) -> Option<TypeDef> {
    for key in Scope::Type.keys().iter().filter(|key| **key != "schema") {
        if let Some((other, _)) = fields.entry(key) {
            let message = format!("`{name}` has both `schema` and `{key}`");
            cx.fault(
                Diagnostic::error(codes::CONFLICT, other, message)
                    .also(place.clone(), "describes it alone")
                    .help("put conditions and fields into the schema file"),
            );
        }
    }
    let path = read::filled_text(cx, "schema", value)?;
    match cx.schemas.get(&path.value).cloned() {
        Some(Ok(text)) => {
            Some(TypeDef::Schema { span: fields.span.clone(), path, text: text.into() })
        }
        found => {
            let reason = found.and_then(Result::err).unwrap_or_default();
            let message = format!("the schema of `{name}` cannot be read");
            cx.fault(
                Diagnostic::error(codes::SCHEMA_FILE, path.span, message)
                    .label(reason)
                    .help("the path is relative to the workflow file"),
            );
            None
        }
    }
}

/// Fields that were put directly below the type, as other tools have them: nothing that a type may
/// say is there, and every value could be a field.
fn is_record_without_fields(table: &DeTable<'_>) -> bool {
    let known =
        |key: &str| Scope::Type.keys().contains(&key) || Scope::Type.later_keys().contains(&key);
    let could_be_field = |value: &DeValue<'_>| match value {
        DeValue::String(_) => true,
        DeValue::Table(table) => table.contains_key("type"),
        _ => false,
    };
    !["fields", "schema", "type"].iter().any(|key| table.contains_key(*key))
        && table.keys().any(|key| !known(key.get_ref()))
        && table.values().all(|value| could_be_field(value.get_ref()))
}

fn record(cx: &mut Lower, table: &DeTable<'_>) -> IndexMap<String, FieldDef> {
    named(cx, table, |cx, name, span, value| {
        check_identifier(cx, name, &span, "field name");
        match value.get_ref() {
            DeValue::String(_) => {
                Some(FieldDef { ty: expression(cx, name, value)?, constraints: Vec::new() })
            }
            DeValue::Table(table) => {
                let fields = Fields::open(cx, Scope::Field, table, span);
                field(cx, &fields, &format!("the field `{name}`"))
            }
            _ => {
                cx.fault(read::mistyped(name, value, "a type").help(
                    "a field is a type such as \"string\", or { type = \"number\", min = 0 }",
                ));
                None
            }
        }
    })
}

/// Reads `type` and the conditions beside it.
pub(super) fn field(cx: &mut Lower, fields: &Fields<'_, '_>, what: &str) -> Option<FieldDef> {
    let Some(value) = fields.get("type") else {
        cx.missing(
            Diagnostic::error(
                codes::MISSING_KEY,
                fields.span.clone(),
                format!("{what} has no type"),
            )
            .help(
                "add type = \"…\", such as \"string\", \"integer\", \"list<string>\" or \"file\"",
            ),
        );
        return None;
    };
    let ty = expression(cx, "type", value)?;
    let constraints = constraints::lower(cx, fields, &ty);
    Some(FieldDef { ty, constraints })
}

/// Reads a type. What cannot be read stays as an unknown name, so that the port or field that has
/// it is still there.
pub(super) fn expression(
    cx: &mut Lower,
    name: &str,
    value: &Value<'_>,
) -> Option<Spanned<TypeExpr>> {
    let Some(text) = value.get_ref().as_str() else {
        cx.fault(
            read::mistyped(name, value, "a type as text")
                .help("such as \"string\" or \"list<file>\""),
        );
        return None;
    };
    let span = value.span();
    match TypeExpr::parse(text) {
        Ok(expr) => {
            foreign_names(cx, &expr, &span);
            Some(Spanned::new(expr, span))
        }
        Err(fault) => {
            let message = format!("`{text}` is not a type: {}", fault.message);
            let place = inside(&span, text, fault.offset);
            let help = habits::type_help(text).unwrap_or_else(|| TYPE_FORMS.to_owned());
            cx.fault(Diagnostic::error(codes::TYPE_SYNTAX, place, message).help(help));
            Some(Spanned::new(TypeExpr::Name(text.to_owned()), span))
        }
    }
}

const TYPE_FORMS: &str = "types are string, integer, number, boolean, datetime, duration, json, \
    file, file<audio/*>, dir, list<T>, map<T>, T? and the names of [types]";

/// Tells names that are built-in types elsewhere and have another name here.
fn foreign_names(cx: &mut Lower, expr: &TypeExpr, span: &Span) {
    let mut names = Vec::new();
    expr.names(&mut names);
    for name in names {
        if cx.type_names.contains(name) {
            continue;
        }
        if let Some(help) = habits::type_help(name) {
            let message = format!("`{name}` is not a type");
            cx.fault(Diagnostic::error(codes::TYPE_SYNTAX, span.clone(), message).help(help));
        }
    }
}

/// The place of a byte inside a text, if the text stands in plain quotes on one line.
fn inside(span: &Span, text: &str, offset: usize) -> Span {
    let plain = span.len() == text.len() + 2;
    let width = text.get(offset..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    if plain && width > 0 {
        let start = span.start + 1 + offset;
        return start..start + width;
    }
    span.clone()
}
