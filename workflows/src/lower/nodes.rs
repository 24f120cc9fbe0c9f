//! `[nodes]`.

use flow_core::definition::{Config, NodeDef, OnItemFailure, Span, Spanned};
use flow_core::diagnostic::Diagnostic;
use flow_core::schema::Severity;
use indexmap::IndexMap;
use toml::de::{DeTable, DeValue};

use super::fields::Fields;
use super::vocabulary::Scope;
use super::{Lower, Value, bindings, effects, habits, named, outputs, policies, read, values};
use crate::codes;

const ITEM_FAILURES: [(OnItemFailure, &str); 2] =
    [(OnItemFailure::Fail, "fail"), (OnItemFailure::Drop, "drop")];

/// Lowers all nodes of the file.
pub(super) fn lower(cx: &mut Lower, file: &Fields<'_, '_>) -> IndexMap<String, NodeDef> {
    let Some((span, value)) = file.entry("nodes") else { return IndexMap::new() };
    match value.get_ref() {
        DeValue::Table(table) => named(cx, table, |cx, name, span, value| {
            check_name(cx, name, &span);
            let DeValue::Table(table) = value.get_ref() else {
                let fault = read::mistyped(name, value, "a table");
                cx.fault(fault.help(format!("write [nodes.{name}] and stage = \"…\" below it")));
                return None;
            };
            let fields = Fields::open(cx, Scope::Node, table, span);
            Some(node(cx, name, &fields))
        }),
        DeValue::Array(_) => {
            cx.lost();
            cx.fault(
                Diagnostic::error(
                    codes::NODES_AS_LIST,
                    span,
                    "nodes are a list, and each needs a name",
                )
                .help("write [nodes.NAME] for each node instead of [[nodes]]"),
            );
            IndexMap::new()
        }
        _ => {
            cx.lost();
            cx.fault(
                read::mistyped("nodes", value, "a table").help("write [nodes.NAME] for each node"),
            );
            IndexMap::new()
        }
    }
}

fn check_name(cx: &mut Lower, name: &str, span: &Span) {
    if let Err(invalid) = flow_core::id::check_node_name(name) {
        let message = format!("{name:?} is not a node name");
        cx.fault(
            Diagnostic::error(codes::NODE_NAME, span.clone(), message)
                .label(invalid.rule)
                .help(habits::name_help(name)),
        );
    }
}

fn node(cx: &mut Lower, name: &str, fields: &Fields<'_, '_>) -> NodeDef {
    let node = NodeDef {
        span: fields.span.clone(),
        stage: stage(cx, &format!("the node `{name}`"), fields),
        with: fields.entry("with").map(|(_, v)| with(cx, v)).unwrap_or_default(),
        inputs: table(cx, fields, "inputs")
            .map(|t| bindings::table(cx, t, "port name"))
            .unwrap_or_default(),
        outputs: table(cx, fields, "outputs").map(|t| outputs::lower(cx, t)).unwrap_or_default(),
        uses: fields.get("uses").map(|v| uses(cx, v)).unwrap_or_default(),
        after: fields.get("after").map(|v| read::texts(cx, "after", v)).unwrap_or_default(),
        when: fields.get("when").and_then(|v| when(cx, v)),
        for_each: fields.get("for_each").and_then(|v| for_each(cx, v)),
        key: fields.get("key").and_then(|v| key(cx, v)),
        max_parallel: fields.get("max_parallel").and_then(|v| read::count(cx, "max_parallel", v)),
        on_item_failure: fields
            .get("on_item_failure")
            .and_then(|v| read::word(cx, "on_item_failure", v, &ITEM_FAILURES))
            .map(|word| word.value)
            .unwrap_or_default(),
        min_success: fields
            .get("min_success")
            .and_then(|v| read::number_in(cx, "min_success", v, 0.0..=1.0)),
        priority: fields
            .get("priority")
            .and_then(|v| read::integer(cx, "priority", v, i64::MIN..=i64::MAX))
            .unwrap_or_default(),
        policies: policies::lower(cx, fields),
        deadline: fields.get("deadline").and_then(|v| read::positive_duration(cx, "deadline", v)),
        pool: fields.get("pool").and_then(|v| read::filled_text(cx, "pool", v)),
        rate: fields.get("rate").and_then(|v| read::filled_text(cx, "rate", v)),
        optional: fields.get("optional").and_then(|v| read::boolean(cx, "optional", v))
            == Some(true),
        always: effects::always(cx, fields),
        effect: fields.entry("effect").and_then(|(span, v)| effects::effect(cx, span, v)),
        fallback: fields.get("fallback").map(|v| effects::fallbacks(cx, v)).unwrap_or_default(),
        child: None,
    };
    without_effect(cx, fields, &node);
    node
}

/// The table under `key`; tells a list where names are wanted.
fn table<'a, 't>(cx: &mut Lower, fields: &Fields<'a, 't>, key: &str) -> Option<&'a DeTable<'t>> {
    let value = fields.get(key)?;
    if let DeValue::Table(table) = value.get_ref() {
        return Some(table);
    }
    cx.lost();
    let example = if key == "inputs" { "\"NODE.PORT\"" } else { "\"json\"" };
    cx.fault(
        read::mistyped(key, value, "a table by port")
            .help(format!("write {key} = {{ PORT = {example} }}")),
    );
    None
}

pub(super) fn stage(cx: &mut Lower, name: &str, fields: &Fields<'_, '_>) -> Spanned<String> {
    let unknown = Spanned::new(String::new(), fields.span.clone());
    let Some(value) = fields.get("stage") else {
        let message = format!("{name} has no stage");
        cx.missing(
            Diagnostic::error(codes::MISSING_KEY, fields.span.clone(), message)
                .help("add stage = \"command\" or another stage; `flow stages` lists them"),
        );
        return unknown;
    };
    match read::filled_text(cx, "stage", value) {
        Some(stage) => stage,
        None => Spanned::new(String::new(), value.span()),
    }
}

pub(super) fn with(cx: &mut Lower, value: &Value<'_>) -> Config {
    if read::table(cx, "with", value).is_none() {
        return Config::default();
    }
    values::config(cx, value).unwrap_or_default()
}

fn uses(cx: &mut Lower, value: &Value<'_>) -> Vec<Spanned<String>> {
    let Some(list) = read::array(cx, "uses", value) else { return Vec::new() };
    let help = "`uses` names files and folders beside the workflow file; bind others as parameters of type `file`";
    list.iter().filter_map(|element| read::inner_path(cx, "uses", element, help)).collect()
}

fn when(cx: &mut Lower, value: &Value<'_>) -> Option<Spanned<String>> {
    if let DeValue::Boolean(boolean) = value.get_ref() {
        let fault = read::mistyped("when", value, "an expression as text");
        cx.fault(fault.help(format!("write when = \"{boolean}\"")));
        return None;
    }
    let text = read::filled_text(cx, "when", value)?;
    if let Some(inner) = habits::braced(&text) {
        let message = "`when` is an expression, not a template";
        cx.fault(
            Diagnostic::error(codes::BRACES, value.span(), message)
                .help(format!("write it without braces: when = \"{inner}\"")),
        );
    }
    habits::block_syntax(cx, &text, &value.span());
    Some(text)
}

fn for_each(cx: &mut Lower, value: &Value<'_>) -> Option<Spanned<String>> {
    if !matches!(value.get_ref(), DeValue::String(_)) {
        let fault = read::mistyped("for_each", value, "a reference to a list");
        cx.fault(fault.help(
            "give the list to a node of stage `value` or to a parameter, and write its reference",
        ));
        return None;
    }
    bindings::reference(cx, "for_each", value)
}

fn key(cx: &mut Lower, value: &Value<'_>) -> Option<Spanned<String>> {
    let text = read::filled_text(cx, "key", value)?;
    habits::block_syntax(cx, &text, &value.span());
    if !text.contains("{{") {
        let message = "this `key` is the same for every item";
        cx.fault(
            Diagnostic::error(codes::BRACES, value.span(), message)
                .help("a key is a template such as \"{{ item.id }}\""),
        );
    }
    Some(text)
}

/// Warns of policies of items in a node that has none, and of a quota that nothing can use.
fn without_effect(cx: &mut Lower, fields: &Fields<'_, '_>, node: &NodeDef) {
    if fields.get("for_each").is_none() {
        // A `key` there is an error, which the check of the graph tells.
        for key in ["max_parallel", "on_item_failure", "min_success"] {
            if let Some((span, _)) = fields.entry(key) {
                let message = format!("`{key}` has no effect without `for_each`");
                cx.fault(warning(span, message));
            }
        }
        return;
    }
    if let (Some((span, _)), OnItemFailure::Fail) =
        (fields.entry("min_success"), node.on_item_failure)
    {
        let message = "`min_success` has no effect unless items may fail".to_owned();
        cx.fault(warning(span, message).help("add on_item_failure = \"drop\""));
    }
}

fn warning(span: Span, message: String) -> Diagnostic {
    let fault = Diagnostic::error(codes::NO_EFFECT, span, message);
    Diagnostic { severity: Severity::Warning, ..fault }
}
