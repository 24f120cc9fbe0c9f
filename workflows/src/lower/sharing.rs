//! `[pools]`, `[rates]` and `[secrets]`: what runs share, and what none may show.

use flow_core::definition::{SecretDef, SecretSource, Span, Spanned};
use flow_core::diagnostic::Diagnostic;
use flow_core::policy::Rate;
use indexmap::IndexMap;
use toml::de::{DeTable, DeValue};

use super::fields::Fields;
use super::vocabulary::Scope;
use super::{Lower, Value, check_identifier, named, read};
use crate::codes;

/// `[pools]`: slots by name.
pub(super) fn pools(cx: &mut Lower, table: &DeTable<'_>) -> IndexMap<String, Spanned<u32>> {
    named(cx, table, |cx, name, span, value| {
        check_identifier(cx, name, &span, "pool name");
        read::count(cx, name, value).map(|slots| Spanned::new(slots, value.span()))
    })
}

/// `[rates]`: starts in any span, by name.
pub(super) fn rates(cx: &mut Lower, table: &DeTable<'_>) -> IndexMap<String, Spanned<Rate>> {
    const FORMS: &str = "write how many in which span: \"60/min\", \"10/s\", \"5/30s\"";
    named(cx, table, |cx, name, span, value| {
        check_identifier(cx, name, &span, "rate name");
        let Some(text) = value.get_ref().as_str() else {
            cx.fault(read::mistyped(name, value, "a rate as text").help(FORMS));
            return None;
        };
        let rate = Rate::parse(text);
        if rate.is_none() {
            let message = format!("{text:?} is not a rate");
            cx.fault(Diagnostic::error(codes::RATE, value.span(), message).help(FORMS));
        }
        rate.map(|rate| Spanned::new(rate, value.span()))
    })
}

/// `[secrets]`: where values are, by name.
pub(super) fn secrets(cx: &mut Lower, table: &DeTable<'_>) -> IndexMap<String, SecretDef> {
    named(cx, table, |cx, name, span, value| {
        check_identifier(cx, name, &span, "secret name");
        secret(cx, name, span, value)
    })
}

fn secret(cx: &mut Lower, name: &str, span: Span, value: &Value<'_>) -> Option<SecretDef> {
    let DeValue::Table(table) = value.get_ref() else {
        let fault = read::mistyped(name, value, "a table");
        cx.fault(fault.help(format!(
            "a value never stands in the file: write {name} = {{ env = \"VARIABLE\" }} or {name} = {{ file = \"PATH\" }}"
        )));
        return None;
    };
    let fields = Fields::open(cx, Scope::Secret, table, value.span());
    let optional =
        fields.get("optional").and_then(|v| read::boolean(cx, "optional", v)) == Some(true);
    let from = match (fields.get("env"), fields.get("file")) {
        (Some(env), None) => SecretSource::Env(variable(cx, env)?),
        (None, Some(file)) => SecretSource::File(read::filled_text(cx, "file", file)?.value),
        (both, _) => {
            let (code, message) = match both {
                Some(_) => (codes::CONFLICT, "a secret comes from `env` or from `file`, not both"),
                None => (codes::MISSING_KEY, "this secret comes from nowhere"),
            };
            let help = format!("write {name} = {{ env = \"VARIABLE\" }}");
            cx.fault(Diagnostic::error(code, value.span(), message).help(help));
            return None;
        }
    };
    Some(SecretDef { span, from, optional })
}

fn variable(cx: &mut Lower, value: &Value<'_>) -> Option<String> {
    let name = read::filled_text(cx, "env", value)?;
    if name.contains(['=', '\0', '$', ' ']) {
        let message = format!("{:?} is not the name of a variable", name.value);
        cx.fault(
            Diagnostic::error(codes::IDENTIFIER, value.span(), message)
                .help("write the bare name: env = \"BALLDONTLIE_API_KEY\""),
        );
        return None;
    }
    Some(name.value)
}
