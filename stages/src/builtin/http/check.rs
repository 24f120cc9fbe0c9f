//! What can be known of an `http` node before it runs.

use flow_core::schema::Type;
use flow_core::stage::{ConfigFault, NodeView, OutputFrom, OutputSlot};
use reqwest::Url;
use reqwest::header::HeaderValue;
use serde_json::{Map, Value};

use crate::transport::request::{METHODS, header_name, parse_url, range};

/// Faults of the configuration and the declared outputs.
pub(super) fn faults(node: &NodeView<'_>) -> Vec<ConfigFault> {
    let mut faults = Vec::new();
    faults.extend(url_fault(node.config));
    faults.extend(method_fault(node.config));
    faults.extend(body_fault(node.config));
    faults.extend(header_faults(node.config));
    faults.extend(query_faults(node.config));
    faults.extend(expect_faults(node.config));
    faults.extend(host_faults(node.config));
    faults.extend(node.outputs.iter().filter_map(|slot| output_fault(node.config, slot)));
    faults
}

fn fault(
    pointer: impl Into<String>,
    message: impl Into<String>,
    help: impl Into<String>,
) -> ConfigFault {
    ConfigFault { pointer: pointer.into(), message: message.into(), help: Some(help.into()) }
}

/// The text of a field, if it has no templates.
fn literal<'a>(config: &'a Value, name: &str) -> Option<&'a str> {
    config.get(name)?.as_str().filter(|text| !is_template(text))
}

fn is_template(text: &str) -> bool {
    text.contains("{{")
}

fn url_fault(config: &Value) -> Option<ConfigFault> {
    let text = config.get("url")?.as_str()?;
    if !is_template(text) {
        return parse_url(text).err().map(|found| fault("/url", found.message, found.help));
    }
    // Of a template it is the beginning that can be judged: scheme and authority.
    let (scheme, rest) =
        text.trim().split_once("://").filter(|(scheme, _)| !is_template(scheme))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let literal = authority.split("{{").next().unwrap_or_default();
    let after = authority.rsplit("}}").next().unwrap_or_default();
    let credentials = literal.contains('@') || after.contains('@');
    let probe = format!("{scheme}://{}host", if credentials { "user@" } else { "" });
    parse_url(&probe).err().map(|found| fault("/url", found.message, found.help))
}

fn method_fault(config: &Value) -> Option<ConfigFault> {
    let method = literal(config, "method")?;
    let known = METHODS.iter().any(|known| known.eq_ignore_ascii_case(method.trim()));
    let help = || {
        let near = flow_core::diagnostic::nearest(&method.to_ascii_uppercase(), METHODS);
        match near {
            Some(near) => format!("did you mean {near}?"),
            None => format!("use one of {}", METHODS.join(", ")),
        }
    };
    (!known).then(|| fault("/method", format!("`{method}` is no method that can be sent"), help()))
}

fn body_fault(config: &Value) -> Option<ConfigFault> {
    let given = ["json", "body"].into_iter().filter(|name| config.get(*name).is_some());
    let given: Vec<&str> = given.collect();
    if given.len() == 2 {
        let help = "leave one of them out";
        return Some(fault("/body", "`json` and `body` exclude each other", help));
    }
    let name = given.first()?;
    let method = literal(config, "method")?.trim().to_ascii_uppercase();
    matches!(method.as_str(), "GET" | "HEAD").then(|| {
        fault(
            format!("/{name}"),
            format!("a {method} request carries no body"),
            "use POST, PUT or PATCH; parameters of a GET stand in `query`",
        )
    })
}

/// A field that is a table, or the fault that it is none. A template gives one when it runs.
fn table<'a>(config: &'a Value, name: &str) -> Result<Option<&'a Map<String, Value>>, ConfigFault> {
    match config.get(name) {
        None => Ok(None),
        Some(Value::Object(table)) => Ok(Some(table)),
        Some(Value::String(text)) if is_template(text) => Ok(None),
        Some(_) => Err(fault(
            format!("/{name}"),
            format!("`{name}` must be a table"),
            format!("write it as {name} = {{ name = \"value\" }}"),
        )),
    }
}

fn header_faults(config: &Value) -> Vec<ConfigFault> {
    let table = match table(config, "headers") {
        Ok(Some(table)) => table,
        Ok(None) => return Vec::new(),
        Err(fault) => return vec![fault],
    };
    let mut faults = Vec::new();
    let mut seen = std::collections::BTreeMap::new();
    for (name, value) in table {
        let pointer = format!("/headers/{}", escape(name));
        if let Err(message) = header_name(name) {
            faults.push(fault(
                &pointer,
                message,
                "name it with letters, digits and hyphens, or leave it out",
            ));
        } else if let Some(other) = seen.insert(name.to_ascii_lowercase(), name) {
            let message = format!("`{name}` and `{other}` are one header");
            faults.push(fault(&pointer, message, "names of headers ignore case: leave one out"));
        }
        if let Value::Array(_) | Value::Object(_) = value {
            let message = format!("header `{name}` must be text");
            faults.push(fault(&pointer, message, "join several values with a comma"));
        } else if value
            .as_str()
            .is_some_and(|text| !is_template(text) && HeaderValue::from_str(text.trim()).is_err())
        {
            let message = format!("header `{name}` has a character that no header may have");
            faults.push(fault(&pointer, message, "a header is one line of text"));
        }
    }
    faults
}

fn query_faults(config: &Value) -> Vec<ConfigFault> {
    let table = match table(config, "query") {
        Ok(Some(table)) => table,
        Ok(None) => return Vec::new(),
        Err(fault) => return vec![fault],
    };
    let composite = |value: &Value| matches!(value, Value::Array(_) | Value::Object(_));
    let wrong = |value: &Value| match value {
        Value::Array(list) => list.iter().any(composite),
        other => composite(other),
    };
    let found = table.iter().filter(|(_, value)| wrong(value)).map(|(name, _)| {
        fault(
            format!("/query/{}", escape(name)),
            format!("the parameter `{name}` must be text, a number, or a list of them"),
            "a URL has no nested values: write JSON as text, or send it with `json`",
        )
    });
    found.collect()
}

fn expect_faults(config: &Value) -> Vec<ConfigFault> {
    let Some(list) = config.get("expect").and_then(Value::as_array) else { return Vec::new() };
    if list.is_empty() {
        let help = "leave it out for 2xx, or name statuses: expect = [200, 404]";
        return vec![fault("/expect", "`expect` names no status", help)];
    }
    let wrong = list.iter().enumerate().filter(|(_, value)| range(value).is_none());
    let found = wrong.map(|(index, value)| {
        fault(
            format!("/expect/{index}"),
            format!("{value} is no status that an answer ends with"),
            "write a number from 200 to 599, or a class such as \"2xx\"",
        )
    });
    found.collect()
}

fn host_faults(config: &Value) -> Vec<ConfigFault> {
    let list = config.get("allowed_hosts").and_then(Value::as_array).into_iter().flatten();
    let wrong = list.enumerate().filter_map(|(index, value)| Some((index, value.as_str()?)));
    let found = wrong.filter(|(_, host)| !is_host_pattern(host)).map(|(index, host)| {
        fault(
            format!("/allowed_hosts/{index}"),
            format!("`{host}` is no host"),
            "write its name alone, such as cdn.example.com or *.example.com",
        )
    });
    found.collect()
}

fn is_host_pattern(text: &str) -> bool {
    let host = match text.strip_prefix('*') {
        Some("") => return true,
        Some(rest) => match rest.strip_prefix('.') {
            Some(rest) => rest,
            None => return false,
        },
        None => text,
    };
    // What a URL makes of it is what redirects are compared with.
    Url::parse(&format!("http://{host}/"))
        .is_ok_and(|url| url.host_str() == Some(&host.to_ascii_lowercase()) && url.port().is_none())
}

fn output_fault(config: &Value, slot: &OutputSlot) -> Option<ConfigFault> {
    let name = &slot.name;
    if slot.from != OutputFrom::Default {
        let message = format!("output `{name}` of `http` comes from the answer");
        return Some(fault("", message, "leave `path` and `from` out"));
    }
    if name != "body" {
        return slot.json_lines.then(|| {
            fault("", format!("output `{name}` of `http` has no format"), "leave `format` out")
        });
    }
    let ty = slot.ty.inner();
    if slot.json_lines && !matches!(ty, Type::List(_) | Type::Json) {
        let message = format!("output `body` is read as JSON Lines, which are a list, not `{ty}`");
        return Some(fault("", message, format!("declare `list<{ty}>`")));
    }
    if ty.holds_artifacts() && !matches!(ty, Type::File(_)) {
        let message = format!("the body of an answer cannot be a `{}`", slot.ty);
        return Some(fault("", message, "it is one `file`, text, or JSON without files in it"));
    }
    let is_head = literal(config, "method").is_some_and(|m| m.trim().eq_ignore_ascii_case("HEAD"));
    let may_be_empty = slot.ty.is_optional() || matches!(ty, Type::String | Type::File(_));
    (is_head && !may_be_empty).then(|| {
        let message = format!("the answer to HEAD has no body, and `{}` is declared", slot.ty);
        fault("", message, format!("outputs.body = \"{}?\"", slot.ty))
    })
}

/// Escapes a key for a JSON pointer (RFC 6901).
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
