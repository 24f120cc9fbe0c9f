//! `effect`, `fallback` and `always` of a node: what it does to the world, and what stands in for it.

use flow_core::definition::{EffectDef, Span, WorkDef};
use toml::de::DeValue;

use super::fields::Fields;
use super::vocabulary::Scope;
use super::{Lower, Value, nodes, read};

/// `effect`: `true` is an empty table, and `false` is as good as absent.
pub(super) fn effect(cx: &mut Lower, span: Span, value: &Value<'_>) -> Option<EffectDef> {
    let table = match value.get_ref() {
        DeValue::Boolean(true) => return Some(EffectDef { span, idempotent: false, probe: None }),
        DeValue::Boolean(false) => return None,
        DeValue::Table(table) => table,
        _ => {
            let fault = read::mistyped("effect", value, "`true` or a table");
            cx.fault(fault.help(
                "write effect = true, effect = { idempotent = true }, or effect = { probe = { stage = \"command\", with = { … } } }",
            ));
            return None;
        }
    };
    let fields = Fields::open(cx, Scope::Effect, table, span.clone());
    let idempotent =
        fields.get("idempotent").and_then(|v| read::boolean(cx, "idempotent", v)) == Some(true);
    let probe = fields.get("probe").and_then(|v| work(cx, "probe", v));
    Some(EffectDef { span, idempotent, probe })
}

/// `fallback`: other work, in turn.
pub(super) fn fallbacks(cx: &mut Lower, value: &Value<'_>) -> Vec<WorkDef> {
    let Some(list) = value.get_ref().as_array() else {
        let fault = read::mistyped("fallback", value, "a list of tables");
        cx.fault(fault.help("write fallback = [ { stage = \"…\", with = { … } } ]"));
        return Vec::new();
    };
    list.iter().filter_map(|element| work(cx, "fallback", element)).collect()
}

fn work(cx: &mut Lower, name: &str, value: &Value<'_>) -> Option<WorkDef> {
    let Some(table) = value.get_ref().as_table() else {
        let fault = read::mistyped(name, value, "a table");
        cx.fault(fault.help("write { stage = \"…\", with = { … } }"));
        return None;
    };
    let fields = Fields::open(cx, Scope::Work, table, value.span());
    Some(WorkDef {
        span: value.span(),
        stage: nodes::stage(cx, &format!("this {name}"), &fields),
        with: fields.get("with").map(|v| nodes::with(cx, v)).unwrap_or_default(),
        timeout: fields.get("timeout").and_then(|v| read::positive_duration(cx, "timeout", v)),
    })
}

/// `always = true`, as its place.
pub(super) fn always(cx: &mut Lower, fields: &Fields<'_, '_>) -> Option<Span> {
    let (span, value) = fields.entry("always")?;
    (read::boolean(cx, "always", value)?).then_some(span)
}
