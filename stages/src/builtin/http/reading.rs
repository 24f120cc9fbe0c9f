//! From a rendered job to a request.

use flow_core::error::{ErrorClass, StageError};
use flow_core::schema::Type;
use flow_core::stage::{Context, Job};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value;

use crate::transport::outgoing::Outgoing;
use crate::transport::request::{
    Expect, METHODS, Request, header_name, is_bodyless, parse_url, telling_parts,
};
use crate::transport::shown;

/// Reads the configuration of a job.
pub(super) fn read(context: &dyn Context, job: &Job) -> Result<Request, StageError> {
    let body = body(&job.config)?;
    let method = method(job.config.get("method"), body.is_some())?;
    let mut url = url(job.config.get("url"))?;
    let mut sent = Vec::new();
    add_query(&mut url, job.config.get("query"), &mut sent)?;
    let mut headers = headers(job.config.get("headers"), &mut sent)?;
    let operation = format!("{method} {}", shown::url(&url));
    if body.is_some() && is_bodyless(&method) {
        return Err(refused("method", format!("a {method} request carries no body"))
            .hint("use POST, PUT or PATCH, or leave `json` and `body` out"));
    }
    if let Some(value) = idempotency_key(context, &method) {
        headers.entry(HeaderName::from_static("idempotency-key")).or_insert(value);
    }
    if let Some(media_type) = body.as_ref().and_then(|b| b.media_type.parse().ok()) {
        headers.entry(CONTENT_TYPE).or_insert(media_type);
    }
    add_wishes(&mut headers, job);
    let expect = Expect::parse(job.config.get("expect"))
        .ok_or_else(|| refused("expect", "it has something that is no status".into()))?;
    let allowed_hosts = texts(job.config.get("allowed_hosts"));
    Ok(Request { method, url, headers, body, expect, allowed_hosts, sent, operation })
}

/// A failure before anything was sent.
fn refused(field: &str, message: String) -> StageError {
    let mut error = StageError::new(ErrorClass::Config, format!("read with.{field}"), message);
    error.unsent = true;
    error
}

fn body(config: &Value) -> Result<Option<Outgoing>, StageError> {
    let given = |name| config.get(name).filter(|value| !value.is_null());
    match (config.get("json"), given("body")) {
        (Some(_), Some(_)) => Err(refused("body", "`json` and `body` exclude each other".into())),
        (Some(json), None) => Ok(Some(Outgoing::json(json))),
        (None, Some(value)) => Outgoing::value(value).map(Some).map_err(|mut error| {
            error.unsent = true;
            error
        }),
        (None, None) => Ok(None),
    }
}

fn method(given: Option<&Value>, has_body: bool) -> Result<Method, StageError> {
    let Some(text) = given.and_then(Value::as_str) else {
        return Ok(if has_body { Method::POST } else { Method::GET });
    };
    let upper = text.trim().to_ascii_uppercase();
    let known = METHODS.contains(&upper.as_str()).then(|| Method::from_bytes(upper.as_bytes()));
    match known {
        Some(Ok(method)) => Ok(method),
        _ => Err(refused("method", format!("`{text}` is no method that can be sent"))
            .hint(format!("use one of {}", METHODS.join(", ")))),
    }
}

fn url(given: Option<&Value>) -> Result<Url, StageError> {
    let text = given.and_then(Value::as_str).unwrap_or_default();
    let mut url =
        parse_url(text).map_err(|fault| refused("url", fault.message).hint(fault.help))?;
    url.set_fragment(None);
    Ok(url)
}

fn add_query(
    url: &mut Url,
    given: Option<&Value>,
    sent: &mut Vec<String>,
) -> Result<(), StageError> {
    // What stands in the URL's own query is as private as what is added.
    sent.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
    let wrong = |what: String| {
        refused("query", what)
            .hint("a parameter is text, a number, true or false, or a list of them")
    };
    let table = match given {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(table)) => table,
        Some(_) => return Err(wrong("it is no table".into())),
    };
    let mut pairs = Vec::new();
    for (name, value) in table {
        let values = match value {
            Value::Array(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values.iter().filter(|value| !value.is_null()) {
            let text = scalar(value)
                .ok_or_else(|| wrong(format!("the parameter `{name}` is a list or an object")))?;
            pairs.push((name, text));
        }
    }
    if !pairs.is_empty() {
        url.query_pairs_mut().extend_pairs(&pairs);
    }
    sent.extend(pairs.into_iter().map(|(_, text)| text));
    Ok(())
}

fn headers(given: Option<&Value>, sent: &mut Vec<String>) -> Result<HeaderMap, StageError> {
    let table = match given {
        None | Some(Value::Null) => return Ok(HeaderMap::new()),
        Some(Value::Object(table)) => table,
        Some(_) => return Err(refused("headers", "it is no table".into())),
    };
    let mut headers = HeaderMap::new();
    for (name, value) in table.iter().filter(|(_, value)| !value.is_null()) {
        let header = header_name(name).map_err(|message| refused("headers", message))?;
        let text = scalar(value)
            .ok_or_else(|| refused("headers", format!("header `{name}` is a list or an object")))?;
        let mut value = HeaderValue::from_str(text.trim()).map_err(|_invalid| {
            // The error would show the value.
            refused("headers", format!("header `{name}` has a character that no header may have"))
                .hint("a header is one line of text without control characters")
        })?;
        value.set_sensitive(true);
        sent.extend(telling_parts(&text));
        headers.insert(header, value);
    }
    Ok(headers)
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => {
            Some(String::from_utf8_lossy(&flow_core::json::canonical(value)).into_owned())
        }
        _ => None,
    }
}

fn texts(given: Option<&Value>) -> Vec<String> {
    let list = given.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|text| text.as_str().map(str::to_ascii_lowercase)).collect()
}

/// What the node would like to get, where its headers do not say.
fn add_wishes(headers: &mut HeaderMap, job: &Job) {
    let body = job.outputs.iter().find(|slot| slot.name == "body").map(|slot| slot.ty.inner());
    let accept = match body {
        Some(Type::File(_) | Type::String) => "*/*",
        _ => "application/json, */*;q=0.5",
    };
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static(accept));
    if let Some(Type::File(_)) = body {
        // A file as it is has a known length; and what is compressed already gains nothing.
        headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static("identity"));
    }
}

/// The key by which a service knows a request that it has had before: sent where the node has
/// said that it acts on the world.
fn idempotency_key(context: &dyn Context, method: &Method) -> Option<HeaderValue> {
    let acts =
        context.has_effect() && !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    acts.then(|| HeaderValue::from_str(context.idempotency_key()).ok()).flatten()
}
