//! Declared outputs of a node.

use flow_core::definition::{OutputDef, Span, Spanned};
use flow_core::diagnostic::Diagnostic;
use flow_core::schema::Format;
use flow_core::stage::Stream;
use indexmap::IndexMap;
use toml::de::{DeTable, DeValue};

use super::fields::Fields;
use super::vocabulary::Scope;
use super::{Lower, Value, check_identifier, constraints, named, read, types};
use crate::codes;

const STREAMS: [(Stream, &str); 2] = [(Stream::Stdout, "stdout"), (Stream::Stderr, "stderr")];

pub(super) fn lower(cx: &mut Lower, table: &DeTable<'_>) -> IndexMap<String, OutputDef> {
    named(cx, table, |cx, name, span, value| {
        check_identifier(cx, name, &span, "port name");
        output(cx, name, span, value)
    })
}

fn output(cx: &mut Lower, name: &str, span: Span, value: &Value<'_>) -> Option<OutputDef> {
    match value.get_ref() {
        DeValue::String(_) => {
            let ty = types::expression(cx, name, value)?;
            Some(OutputDef { span, ty, path: None, from: None, json_lines: false })
        }
        DeValue::Table(table) => described(cx, name, span, table),
        _ => {
            cx.fault(
                read::mistyped(name, value, "a type or a table")
                    .help(format!("write {name} = \"list<string>\" or {name} = {{ type = \"file\", path = \"out.wav\" }}")),
            );
            None
        }
    }
}

fn described(cx: &mut Lower, name: &str, span: Span, table: &DeTable<'_>) -> Option<OutputDef> {
    let fields = Fields::open(cx, Scope::Output, table, span.clone());
    let Some(value) = fields.get("type") else {
        let message = format!("the output `{name}` has no type");
        cx.missing(
            Diagnostic::error(codes::MISSING_KEY, span, message)
                .help("add type = \"…\", such as \"json\", \"list<string>\" or \"file<audio/*>\""),
        );
        return None;
    };
    let ty = types::expression(cx, "type", value)?;
    let path = fields.get("path").and_then(|v| {
        let help = "a path of an output is relative to the scratch folder and stays below it";
        read::inner_path(cx, "path", v, help)
    });
    let from = fields.get("from").and_then(|v| read::word(cx, "from", v, &STREAMS));
    if let (Some(path), Some(from)) = (&path, &from) {
        let message = format!("the output `{name}` has both `path` and `from`");
        cx.fault(
            Diagnostic::error(codes::CONFLICT, from.span.clone(), message)
                .also(path.span.clone(), "taken from this file")
                .help("keep the one that the program writes to"),
        );
    }
    let lines = fields.get("format").and_then(|v| lines(cx, v));
    if let (Some(lines), false) = (&lines, constraints::can_be_list(&ty)) {
        let message = format!("JSON Lines make a list, and `{name}` is `{}`", *ty);
        cx.fault(
            Diagnostic::error(codes::CONFLICT, lines.span.clone(), message)
                .help(format!("write type = \"list<{}>\"", *ty)),
        );
    }
    Some(OutputDef { span, ty, path, from, json_lines: lines.is_some() })
}

/// Reads `format = "jsonl"`. The condition of the same name belongs to types.
fn lines(cx: &mut Lower, value: &Value<'_>) -> Option<Spanned<()>> {
    if let Some(name) = value.get_ref().as_str().filter(|name| Format::from_name(name).is_some()) {
        let message = format!("the condition `format` = {name:?} does not belong to an output");
        let help = format!(
            "declare a type with it, such as [types.Day] type = \"string\", format = {name:?}, and write type = \"Day\" here"
        );
        cx.fault(Diagnostic::error(codes::UNKNOWN_WORD, value.span(), message).help(help));
        return None;
    }
    read::word(cx, "format", value, &[((), "jsonl")])
}
