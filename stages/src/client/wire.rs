//! What goes to a service and what comes back: a message, and the answer with its whole body.

use std::path::Path;
use std::time::SystemTime;

use flow_core::error::{ErrorClass, StageError};
use flow_core::json;
use flow_core::stage::Context;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value;

use super::Service;
use crate::transport::body::Incoming;
use crate::transport::outgoing::Outgoing;
use crate::transport::request::{header_name, telling_parts};
use crate::transport::{Expect, Reply, Request, failure, retry_after, send, shown};

/// The most bytes of an answer in memory, after decompression.
const ANSWER_MAX: u64 = 64 * 1024 * 1024;

/// A request to a service.
#[derive(Clone)]
pub(crate) struct Message {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Outgoing>,
    /// Values that must not be shown.
    sent: Vec<String>,
    fault: Option<StageError>,
}

impl Message {
    pub(crate) fn new(method: Method, url: Url) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, */*;q=0.5"));
        let sent = url.query_pairs().map(|(_, value)| value.into_owned()).collect();
        Self { method, url, headers, body: None, sent, fault: None }
    }

    pub(crate) fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    pub(crate) fn post(url: Url) -> Self {
        Self::new(Method::POST, url)
    }

    pub(crate) fn put(url: Url) -> Self {
        Self::new(Method::PUT, url)
    }

    /// Adds a parameter to the URL; it may be given several times.
    pub(crate) fn query(mut self, name: &str, value: impl ToString) -> Self {
        let value = value.to_string();
        self.url.query_pairs_mut().append_pair(name, &value);
        self.sent.push(value);
        self
    }

    /// Sets a header. One that cannot be is told when the message is sent; its value is never shown.
    pub(crate) fn header(self, name: &'static str, value: &str) -> Self {
        self.header_named(name, value)
    }

    /// The same under a name that was configured.
    pub(crate) fn header_named(mut self, name: &str, value: &str) -> Self {
        match header_name(name).map(|name| (name, HeaderValue::from_str(value.trim()))) {
            Ok((name, Ok(mut header))) => {
                header.set_sensitive(true);
                self.sent.extend(telling_parts(value));
                self.headers.insert(name, header);
            }
            Ok((name, Err(_invalid))) => {
                let what = format!("the header `{name}` would have a character that none may have");
                self.fault = Some(unusable(&what));
            }
            Err(what) => self.fault = Some(unusable(&what)),
        }
        self
    }

    /// Sets headers that another library has made, such as a signature. None of them is shown.
    pub(crate) fn headers(mut self, headers: HeaderMap) -> Self {
        let text = |value: &HeaderValue| value.to_str().map(telling_parts).unwrap_or_default();
        self.sent.extend(headers.values().flat_map(text));
        self.headers.extend(headers);
        self
    }

    /// `Authorization: Bearer …`.
    pub(crate) fn bearer(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body(Outgoing::json(body))
    }

    pub(crate) fn bytes(self, bytes: Vec<u8>, media_type: &str) -> Self {
        self.body(Outgoing::bytes(bytes, media_type))
    }

    /// Pairs, as an HTML form sends them. None of their values is shown.
    pub(crate) fn form(mut self, pairs: &[(&str, &str)]) -> Self {
        self.sent.extend(pairs.iter().map(|(_, value)| (*value).to_owned()));
        let mut url = self.url.clone();
        url.query_pairs_mut().clear().extend_pairs(pairs);
        let form = url.query().unwrap_or_default().as_bytes().to_vec();
        self.body(Outgoing::bytes(form, "application/x-www-form-urlencoded"))
    }

    /// The whole of a file, read while it is sent.
    pub(crate) fn file(self, path: &Path, media_type: &str) -> Self {
        self.body(Outgoing::file(path.to_owned(), media_type))
    }

    fn body(mut self, body: Outgoing) -> Self {
        if let Ok(media_type) = HeaderValue::from_str(&body.media_type) {
            self.headers.insert(CONTENT_TYPE, media_type);
        }
        self.body = Some(body);
        self
    }

    pub(super) fn request(
        self,
        service: &Service,
        operation: &str,
        expect: Expect,
    ) -> Result<Request, StageError> {
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(Request {
                method: self.method,
                url: self.url,
                headers: self.headers,
                body: self.body,
                expect,
                allowed_hosts: service.allowed_hosts.clone(),
                sent: self.sent,
                operation: operation.to_owned(),
            }),
        }
    }
}

fn unusable(what: &str) -> StageError {
    let mut error = StageError::new(ErrorClass::Config, "make a request", what);
    error.unsent = true;
    error.hint("a key is one line of text: check what it was set to")
}

/// The answer of a service, whatever its status, with its whole body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// The service's own name for the request, from its headers.
    pub(crate) request_id: Option<String>,
    operation: String,
    sent: Vec<String>,
}

impl Answer {
    /// Whether the status is 2xx.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON, if it is.
    pub(crate) fn value(&self) -> Option<Value> {
        json::parse(&self.body).ok()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// `malformed`, with the byte and the beginning of the body, when it is not.
    pub(crate) fn json(&self, service: &Service) -> Result<Value, StageError> {
        json::parse(&self.body).map_err(|fault| {
            let message = format!("the answer is not JSON: {fault}");
            let mut error = self.failure(service, ErrorClass::Malformed, message);
            error.offset = Some(fault.offset as u64);
            let kind = self.header("content-type").unwrap_or("nothing");
            error.causes.push(format!("the server calls it {}", kind.escape_debug()));
            error.causes.push(shown::excerpt(&self.body, &self.sent));
            error
        })
    }

    /// An answer that has not the shape that this API's answers have.
    pub(crate) fn misshapen(&self, service: &Service, what: &str) -> StageError {
        let mut error = self.failure(service, ErrorClass::Malformed, format!("the answer {what}"));
        error.causes.push(shown::excerpt(&self.body, &self.sent));
        error
    }

    /// A failure that the server has told, with its status, its request id and its own delay.
    pub(crate) fn failure(
        &self,
        service: &Service,
        class: ErrorClass,
        message: impl Into<String>,
    ) -> StageError {
        let mut error = service.failure(class, &self.operation, message);
        error.http_status = Some(self.status);
        error.request_id.clone_from(&self.request_id);
        error.retry_after_ms = self.wait();
        error
    }

    /// The failure by the status alone, with `said` as the server's own words: for answers in which
    /// an API's own codes say nothing else. Which class is decided by `class` if it is given.
    pub(crate) fn refusal(
        &self,
        service: &Service,
        class: Option<ErrorClass>,
        said: Option<&str>,
    ) -> StageError {
        let class = class.unwrap_or_else(|| class_of(self.status));
        let (name, status) = (service.api.name, self.status);
        let mut error = self.failure(service, class, format!("{name} answered {status}"));
        match said.filter(|said| !said.is_empty()) {
            Some(said) => error.causes.push(shown::excerpt(said.as_bytes(), &self.sent)),
            None if !self.body.is_empty() => {
                error.causes.push(shown::excerpt(&self.body, &self.sent));
            }
            None => {}
        }
        match hint(service, class) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    /// How long the server asks to wait: `retry-after-ms`, else `Retry-After` in both its forms.
    fn wait(&self) -> Option<u64> {
        let exact = self.header("retry-after-ms").and_then(|text| text.trim().parse::<f64>().ok());
        if let Some(ms) = exact.filter(|ms| ms.is_finite() && *ms >= 0.0) {
            return Some(ms as u64);
        }
        let wait = retry_after::wait(&self.headers, SystemTime::now())?;
        Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Two requests have met (409): the libraries of those services that say so ask again.
pub(crate) fn of_conflict(answer: &Answer) -> Option<ErrorClass> {
    (answer.status == 409).then_some(ErrorClass::Network)
}

/// The class of a status where nothing else says more.
pub(crate) fn class_of(status: u16) -> ErrorClass {
    match status {
        402 => ErrorClass::QuotaExhausted,
        200..=299 => ErrorClass::Malformed,
        _ => failure::class_of(status),
    }
}

fn hint(service: &Service, class: ErrorClass) -> Option<String> {
    let (name, env) = (service.api.name, service.api.key_env);
    Some(match class {
        ErrorClass::Auth => {
            format!("check the key of {name} ({env}), and what its plan allows")
        }
        ErrorClass::QuotaExhausted => {
            format!(
                "the quota or the balance of {name} is used up: wait until it is renewed, raise it, or \
                     put another provider behind it in `providers`"
            )
        }
        ErrorClass::Moderated => {
            "change the words that were refused, or choose another provider".into()
        }
        ErrorClass::RateLimited => {
            format!(
                "ask less often: a `rate` for the node, or services = {{ {name} = {{ max_in_flight = 1 }} }}"
            )
        }
        _ => return None,
    })
}

impl Service {
    /// Sends a message and takes the whole answer, whatever its status.
    ///
    /// # Errors
    /// When there is no answer, or not the whole of it.
    pub(crate) async fn send(
        &self,
        context: &dyn Context,
        operation: &str,
        message: Message,
    ) -> Result<Answer, StageError> {
        // Whatever the status is, it is an answer: the API's own table says what it means.
        let request = message.request(self, operation, Expect::any())?;
        let clients = self.remote.clients();
        let Reply { response, .. } = send(&clients, &request).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let request_id = failure::request_id(&headers);
        let with_head = |mut error: StageError| {
            error.http_status = Some(status);
            error.request_id.clone_from(&request_id);
            error
        };
        let mut incoming =
            Incoming { context, request: &request, settings: clients.settings(), response };
        incoming.check_encoding().map_err(with_head)?;
        let body = incoming.in_memory(ANSWER_MAX).await.map_err(with_head)?.ok_or_else(|| {
            let message = format!("the answer has more than {} MiB", ANSWER_MAX >> 20);
            with_head(self.failure(ErrorClass::Validation, operation, message))
        })?;
        let (operation, sent) = (operation.to_owned(), request.sent);
        Ok(Answer { status, headers, body, request_id, operation, sent })
    }

    /// Sends a message, and writes the answer to `path` if its status is 2xx; else gives the answer as
    /// a failure by its status. What was written is as long as the server said, and is otherwise
    /// unchecked.
    ///
    /// # Errors
    /// When there is no success, or not the whole of it; nothing is left at `path` then.
    pub(crate) async fn download(
        &self,
        context: &dyn Context,
        operation: &str,
        message: Message,
        path: &Path,
    ) -> Result<(), StageError> {
        let request = message.request(self, operation, Expect::success())?;
        let clients = self.remote.clients();
        let reply = send(&clients, &request).await?;
        if !reply.response.status().is_success() {
            return Err(failure::of_status(&request, reply).await);
        }
        let settings = clients.settings();
        let mut incoming =
            Incoming { context, request: &request, settings, response: reply.response };
        incoming.check_encoding()?;
        incoming.save(path).await.map(drop)
    }
}
