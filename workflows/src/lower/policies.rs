//! `timeout`, `retry` and `cache`, of a node and of `[defaults]`.

use flow_core::definition::{Policies, RetryDef, Spanned};
use flow_core::diagnostic::{Diagnostic, nearest};
use flow_core::error::ErrorClass;
use flow_core::policy::{CachePolicy, RetryOn};
use toml::de::DeValue;

use super::fields::Fields;
use super::vocabulary::Scope;
use super::{Lower, Value, read};
use crate::codes;

const MAX_ATTEMPTS: i64 = 1000;

pub(super) fn lower(cx: &mut Lower, fields: &Fields<'_, '_>) -> Policies {
    Policies {
        timeout: fields.get("timeout").and_then(|v| read::positive_duration(cx, "timeout", v)),
        retry: fields.get("retry").map(|v| retry(cx, v)).unwrap_or_default(),
        cache: fields.get("cache").and_then(|v| cache(cx, v)),
    }
}

fn cache(cx: &mut Lower, value: &Value<'_>) -> Option<Spanned<CachePolicy>> {
    const FORMS: &str = "write \"off\", \"forever\", or how old a result may be: \"30m\"";
    let fault = match value.get_ref() {
        DeValue::String(text) => match CachePolicy::parse(text) {
            Some(policy) => return Some(Spanned::new(policy, value.span())),
            None => {
                let message = format!("`cache` cannot be {text:?}");
                Diagnostic::error(codes::DURATION, value.span(), message)
            }
        },
        _ => read::mistyped("cache", value, "a duration as text"),
    };
    let help = match value.get_ref() {
        DeValue::Boolean(true) => "write cache = \"forever\", or how old a result may be: \"30m\"",
        DeValue::Boolean(false) => "write cache = \"off\"",
        _ => FORMS,
    };
    cx.fault(fault.help(help));
    None
}

fn retry(cx: &mut Lower, value: &Value<'_>) -> RetryDef {
    let DeValue::Table(table) = value.get_ref() else {
        cx.fault(read::mistyped("retry", value, "a table").help(match value.get_ref() {
            DeValue::Integer(n) => {
                format!("write retry = {{ attempts = {} }}; the first try counts", n.as_str())
            }
            DeValue::Boolean(false) => "write retry = { attempts = 1 }".into(),
            _ => {
                "write retry = { attempts = 3, base = \"1s\", factor = 2.0, max = \"60s\" }".into()
            }
        }));
        return RetryDef::default();
    };
    let fields = Fields::open(cx, Scope::Retry, table, value.span());
    RetryDef {
        attempts: fields
            .get("attempts")
            .and_then(|v| read::integer(cx, "attempts", v, 1..=MAX_ATTEMPTS))
            .and_then(|n| u32::try_from(n).ok()),
        base: fields.get("base").and_then(|v| read::duration(cx, "base", v)),
        factor: fields
            .get("factor")
            .and_then(|v| read::number_in(cx, "factor", v, 1.0..=f64::INFINITY)),
        max: fields.get("max").and_then(|v| read::duration(cx, "max", v)),
        jitter: fields.get("jitter").and_then(|v| read::boolean(cx, "jitter", v)),
        on: fields.get("on").and_then(|v| conditions(cx, v)),
    }
}

fn conditions(cx: &mut Lower, value: &Value<'_>) -> Option<Vec<RetryOn>> {
    let list = read::array(cx, "on", value)?;
    let mut all = Vec::with_capacity(list.len());
    for element in list {
        let Some(text) = read::text(cx, "on", element) else { continue };
        match RetryOn::parse(&text) {
            Some(condition) => all.push(condition),
            None => cx.fault(
                Diagnostic::error(
                    codes::RETRY_CONDITION,
                    text.span.clone(),
                    format!("{:?} is not a condition of `retry.on`", text.value),
                )
                .help(condition_help(&text)),
            ),
        }
    }
    Some(all)
}

fn condition_help(text: &str) -> String {
    let names = || ErrorClass::ALL.iter().map(|(_, name)| *name).chain(["default"]);
    if let Ok(number) = text.parse::<u16>() {
        return if number >= 100 {
            format!("write \"http:{number}\"")
        } else {
            format!("write \"exit:{number}\" or \"signal:{number}\"")
        };
    }
    let family = text.split_once(':').map_or("", |(family, _)| family);
    match family {
        "http" => return "write \"http:503\" for one status or \"http:5xx\" for a family".into(),
        "exit" => return "write \"exit:1\" to \"exit:255\", or \"exit:*\" for all of them".into(),
        "signal" => return "write \"signal:KILL\", \"signal:SIGKILL\" or \"signal:9\"".into(),
        _ => {}
    }
    if let Some(near) = nearest(text, names()) {
        return format!("did you mean \"{near}\"?");
    }
    let list: Vec<&str> = names().collect();
    format!(
        "allowed are {}, \"http:5xx\", \"http:503\", \"exit:1\", \"exit:*\", \"signal:KILL\"",
        list.join(", ")
    )
}
