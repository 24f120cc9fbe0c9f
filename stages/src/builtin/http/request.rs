//! From a rendered job to a request.

use flow_core::error::{ErrorClass, StageError};
use flow_core::schema::Type;
use flow_core::stage::{Context, Job};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value;

use super::outgoing::Outgoing;
use super::shown;

/// Methods that a node may use.
pub(super) const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Headers that describe the message itself: the client writes them.
pub(super) const RESERVED: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// One request, ready to be sent.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Outgoing>,
    pub(super) expect: Expect,
    /// Patterns of hosts that redirects may go to.
    pub(super) allowed_hosts: Vec<String>,
    /// Values of headers and query parameters, which must not be shown.
    pub(super) sent: Vec<String>,
    /// What is being done, for messages.
    pub(super) operation: String,
}

impl Request {
    /// Reads the configuration of a job.
    pub(super) fn of(context: &dyn Context, job: &Job) -> Result<Self, StageError> {
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
        Ok(Self { method, url, headers, body, expect, allowed_hosts, sent, operation })
    }
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

/// Whether requests of this method have no body.
pub(super) fn is_bodyless(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Why a text is no URL that requests may go to, and the way out.
pub(super) struct UrlFault {
    pub(super) message: String,
    pub(super) help: &'static str,
}

/// Reads a URL. Its text stands in no message, since it may hold what nobody should read.
pub(super) fn parse_url(text: &str) -> Result<Url, UrlFault> {
    let fault = |message: String, help| UrlFault { message, help };
    let url = Url::parse(text.trim()).map_err(|error| {
        fault(
            format!("`url` is no absolute URL: {error}"),
            "write it whole, such as https://api.example.com/games",
        )
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(fault(
            format!("`url` has the scheme `{}`", url.scheme()),
            "use http or https; a file beside the workflow is a parameter of type `file`",
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(fault(
            "`url` has credentials in it".into(),
            "send them in a header, such as headers = { Authorization = \"…\" }",
        ));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(fault("`url` names no host".into(), "write it whole"));
    }
    Ok(url)
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

/// A header's value and the words in it: a server may repeat a token without its `Bearer`.
fn telling_parts(value: &str) -> Vec<String> {
    let value = value.trim();
    let words = value.split_whitespace().filter(|word| *word != value);
    // The longest first, so that no part is left over when the whole is replaced.
    std::iter::once(value).chain(words.filter(|word| word.len() >= 12)).map(str::to_owned).collect()
}

/// Reads the name of a header; the message says what is wrong with it.
pub(super) fn header_name(name: &str) -> Result<HeaderName, String> {
    let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
        return Err(format!("`{name}` is no name of a header"));
    };
    match RESERVED.contains(&header.as_str()) {
        true => Err(format!("the header `{name}` is written by the client itself")),
        false => Ok(header),
    }
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

/// Which statuses are success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expect(Vec<(u16, u16)>);

impl Expect {
    /// Reads `with.expect`; `None` if something in it is no status.
    pub(super) fn parse(given: Option<&Value>) -> Option<Self> {
        match given {
            None => Some(Self(vec![(200, 299)])),
            Some(list) => list.as_array()?.iter().map(range).collect::<Option<_>>().map(Self),
        }
    }

    /// Whether a status is success.
    pub(super) fn covers(&self, status: u16) -> bool {
        self.0.iter().any(|(from, to)| (*from..=*to).contains(&status))
    }
}

/// A status such as `404` or `"404"`, or a class such as `"2xx"`.
pub(super) fn range(value: &Value) -> Option<(u16, u16)> {
    let valid = |status: u16| (200..=599).contains(&status).then_some((status, status));
    if let Some(number) = value.as_u64() {
        return valid(u16::try_from(number).ok()?);
    }
    let text = value.as_str()?;
    match text.strip_suffix("xx") {
        Some(digit) => {
            let hundreds: u16 = digit.parse().ok().filter(|h| (2..=5).contains(h))?;
            Some((hundreds * 100, hundreds * 100 + 99))
        }
        None => valid(text.parse().ok()?),
    }
}

impl std::fmt::Display for Expect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown: Vec<String> = self
            .0
            .iter()
            .map(
                |(from, to)| {
                    if from == to { from.to_string() } else { format!("{}xx", from / 100) }
                },
            )
            .collect();
        f.write_str(&shown.join(", "))
    }
}
