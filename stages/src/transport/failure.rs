//! From what went wrong to its class. Types decide, never text; and no text shows what was sent.

use std::error::Error;
use std::io;
use std::time::{Duration, SystemTime};

use flow_core::error::{ErrorClass, ErrorKind, StageError};
use flow_core::policy::format_duration;
use flow_core::stage::CancelReason;
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode, Url};
use rustls::{AlertDescription, CertificateError};

use super::client::Settings;
use super::exchange::Reply;
use super::request::Request;
use super::{retry_after, shown};

/// How long the body of a failure is waited for: its status is known already.
const EXCERPT_PATIENCE: Duration = Duration::from_secs(5);

/// Headers under which services give a request a name.
const REQUEST_IDS: [&str; 4] =
    ["x-request-id", "request-id", "x-amzn-requestid", "x-ms-request-id"];

/// A failure of this request.
pub(crate) fn of(request: &Request, class: ErrorClass, message: impl Into<String>) -> StageError {
    let mut error = StageError::new(class, &request.operation, message).kind(ErrorKind::Api);
    error.provider = request.url.host_str().map(str::to_owned);
    error
}

/// The failure of an attempt that was told to stop: the engine says why.
pub(crate) fn stopped(request: &Request, reason: CancelReason) -> StageError {
    let class = match reason {
        CancelReason::Timeout | CancelReason::Deadline => ErrorClass::Timeout,
        _ => ErrorClass::Cancelled,
    };
    of(request, class, "the attempt was told to stop before the answer was complete")
}

/// A redirect that is not followed.
pub(crate) fn redirect(
    request: &Request,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> StageError {
    of(request, ErrorClass::Config, message).hint(hint)
}

/// There is no client.
pub(crate) fn no_client(operation: &str, cause: &str) -> StageError {
    let message = "the HTTP client cannot be set up";
    unsent(StageError::new(ErrorClass::Config, operation, message).kind(ErrorKind::Api))
        .cause(cause)
        .hint("look at the proxies in HTTP_PROXY, HTTPS_PROXY and NO_PROXY")
}

/// No certificate can be checked.
pub(crate) fn no_roots(operation: &str, cause: &str) -> StageError {
    let message = "this machine has no certificates to trust, so https cannot be used";
    unsent(StageError::new(ErrorClass::Config, operation, message).kind(ErrorKind::Api))
        .cause(cause)
        .hint("apt-get install ca-certificates, or name a file of them with SSL_CERT_FILE")
}

fn unsent(mut error: StageError) -> StageError {
    error.unsent = true;
    error
}

// Transport.

/// The failure of a request that got no answer.
pub(crate) fn of_transport(
    request: &Request,
    url: &Url,
    settings: &Settings,
    error: reqwest::Error,
) -> StageError {
    let error = error.without_url();
    let failed = if error.is_connect() {
        unsent(of_connect(request, url, settings, &error))
    } else {
        of_lost(request, &error)
    };
    with_causes(request, failed, &error)
}

/// The connection was not made, so nothing was sent.
fn of_connect(
    request: &Request,
    url: &Url,
    settings: &Settings,
    error: &reqwest::Error,
) -> StageError {
    let host = url.host_str().unwrap_or_default();
    if let Some(fault) = find::<rustls::Error>(error) {
        return of_tls(request, host, fault);
    }
    if error.is_dns() {
        return of(request, ErrorClass::Network, format!("`{host}` has no address"))
            .hint("check the host in `url`, and that this machine can resolve names");
    }
    let place = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
    if error.is_timeout() {
        let limit = format_duration(settings.connect);
        return of(
            request,
            ErrorClass::Network,
            format!("no connection to {place} within {limit}"),
        );
    }
    of(request, ErrorClass::Network, format!("cannot connect to {place}"))
}

/// The connection was lost, or what came was no HTTP.
fn of_lost(request: &Request, error: &reqwest::Error) -> StageError {
    let Some(http) = find::<hyper::Error>(error) else {
        return match find::<io::Error>(error) {
            Some(cause) if is_loss(cause) => lost(request),
            // What is left is reading the file that was to be sent.
            Some(cause) => StageError::from_io(&request.operation, cause).kind(ErrorKind::Api),
            None => lost(request),
        };
    };
    if http.is_parse() {
        of(request, ErrorClass::Malformed, "the head of the answer is not HTTP, or too large")
            .hint("check port and scheme in `url`; 100 headers in 400 KiB are taken at most")
    } else if http.is_user() {
        of(request, ErrorClass::Io, "the body could not be read while it was sent")
    } else if http.is_incomplete_message() {
        of(request, ErrorClass::Network, "the server closed the connection without an answer")
    } else {
        lost(request)
    }
}

fn lost(request: &Request) -> StageError {
    of(request, ErrorClass::Network, "the connection was lost before the answer")
}

/// The server says nothing.
pub(crate) fn of_silence(request: &Request, settings: &Settings) -> StageError {
    let limit = format_duration(settings.idle);
    of(request, ErrorClass::Timeout, format!("the server sent nothing for {limit}"))
        .hint("set `timeout` of the node, so that the next attempt comes sooner")
}

fn is_loss(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::ConnectionReset
            | K::ConnectionAborted
            | K::ConnectionRefused
            | K::BrokenPipe
            | K::NotConnected
            | K::TimedOut
            | K::UnexpectedEof
    )
}

/// The failure of an answer whose head came and whose body did not come whole.
pub(crate) fn of_body(request: &Request, received: u64, error: reqwest::Error) -> StageError {
    let error = error.without_url();
    let lost = |e: &io::Error| is_loss(e) && e.kind() != io::ErrorKind::UnexpectedEof;
    let failed = if find::<io::Error>(&error).is_some_and(lost) {
        let message = format!("the connection was lost after {received} bytes of the body");
        of(request, ErrorClass::Network, message)
    } else if error.is_decode() && find::<hyper::Error>(&error).is_none() {
        of(request, ErrorClass::Malformed, "the body cannot be decompressed").port("body")
    } else {
        let message = format!("the body ended or broke off after {received} bytes");
        of(request, ErrorClass::Malformed, message).port("body")
    };
    with_causes(request, failed, &error)
}

/// Adds what lies below an error, outermost first.
fn with_causes(request: &Request, mut failed: StageError, error: &reqwest::Error) -> StageError {
    let mut source = error.source();
    if error.is_request() || source.is_some_and(|first| first.is::<reqwest::Error>()) {
        // The first of them says only that there is a second.
        source = source.and_then(|first| first.source().or(Some(first)));
    }
    while let Some(cause) = source {
        let text = shown::without(&cause.to_string(), &request.sent);
        if failed.causes.last() != Some(&text) {
            failed.causes.push(text);
        }
        source = cause.source();
    }
    failed
}

/// The first error of a type in a chain. An I/O error hides the one that it wraps from `source`,
/// so it is opened.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = wrapped.and_then(|inner| find::<T>(inner)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

// TLS.

/// A handshake that failed fails again, unless the other side had a fault of its own. There is no
/// way back to plain text.
fn of_tls(request: &Request, host: &str, fault: &rustls::Error) -> StageError {
    let (message, hint) = tls_fault(host, fault);
    let class = match fault {
        rustls::Error::AlertReceived(AlertDescription::InternalError) => ErrorClass::Network,
        _ => ErrorClass::Config,
    };
    let failed = of(request, class, message);
    match hint {
        Some(hint) => failed.hint(hint),
        None => failed,
    }
}

fn tls_fault(host: &str, fault: &rustls::Error) -> (String, Option<&'static str>) {
    use CertificateError as C;
    let certificate = |what: &str| format!("the certificate of `{host}` {what}");
    match fault {
        rustls::Error::InvalidCertificate(invalid) => match invalid {
            C::Expired | C::ExpiredContext { .. } => (
                certificate("has expired"),
                Some("the server needs a new one; or the clock of this machine is wrong"),
            ),
            C::NotValidYet | C::NotValidYetContext { .. } => {
                (certificate("is not valid yet"), Some("check the clock of this machine"))
            }
            C::NotValidForName | C::NotValidForNameContext { .. } => (
                certificate("is for another name"),
                Some("check the host in `url`: it must be a name that the certificate has"),
            ),
            C::Revoked => (certificate("was revoked"), None),
            _ => (
                certificate("is not trusted"),
                Some(
                    "it is signed by itself or by an authority that this machine does not know: \
                     name a file with that authority in SSL_CERT_FILE",
                ),
            ),
        },
        rustls::Error::InvalidMessage(_) => (
            format!("`{host}` does not answer with TLS"),
            Some("check the port, or use http if the service has no https"),
        ),
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
        | rustls::Error::PeerIncompatible(_) => (
            format!("`{host}` and this client have no version or cipher of TLS in common"),
            Some("the server must offer TLS 1.2 or 1.3"),
        ),
        _ => (format!("the TLS handshake with `{host}` failed"), None),
    }
}

// Statuses.

/// The failure of an answer whose status is not success.
pub(crate) async fn of_status(request: &Request, reply: Reply) -> StageError {
    let foreign = reply.is_foreign(request);
    let Reply { response, url } = reply;
    let status = response.status();
    let code = status.as_u16();
    let mut failed = of(request, class_of(code), said(request, status));
    failed.http_status = Some(code);
    failed.request_id = request_id(response.headers());
    let wait = retry_after::wait(response.headers(), SystemTime::now());
    failed.retry_after_ms = wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    failed.hint = hint(code, foreign).map(str::to_owned);
    if is_surprise(code) {
        failed.expected = Some(request.expect.to_string());
        failed.found = Some(code.to_string());
    }
    if url != request.url {
        failed.causes.push(format!("redirected to {}", shown::url(&url)));
    }
    let body = beginning(response).await;
    if !body.is_empty() {
        failed.causes.push(shown::excerpt(&body, &request.sent));
    }
    failed
}

fn said(request: &Request, status: StatusCode) -> String {
    let reason = status.canonical_reason().map(|reason| format!(" {reason}")).unwrap_or_default();
    let message = format!("the server answered {}{reason}", status.as_u16());
    match is_surprise(status.as_u16()) {
        true => format!("{message}, and {} is expected", request.expect),
        false => message,
    }
}

/// Whether a status is no failure in itself, but not what the node expects.
fn is_surprise(status: u16) -> bool {
    status < 400
}

/// The class of a status that is not success.
pub(crate) fn class_of(status: u16) -> ErrorClass {
    match status {
        401 | 403 | 407 => ErrorClass::Auth,
        408 | 425 => ErrorClass::Network,
        429 => ErrorClass::RateLimited,
        400..=499 => ErrorClass::Http4xx,
        500..=599 => ErrorClass::Http5xx,
        // An answer that is not what was declared: asking again gives the same.
        200..=399 => ErrorClass::Validation,
        _ => ErrorClass::Malformed,
    }
}

fn hint(status: u16, foreign: bool) -> Option<&'static str> {
    Some(match status {
        401 | 403 if foreign => {
            "the server redirected to another origin, which gets none of the node's headers: use \
             the URL that it ends at"
        }
        401 | 403 => "check the credentials in `headers`, and what they allow",
        407 => "the proxy wants credentials: they stand in HTTP_PROXY or HTTPS_PROXY",
        404 | 410 => "check `url`; if this is an answer too, say so: expect = [\"2xx\", 404]",
        405 => "check `method`",
        413 => "send less at once",
        415 => "check the header Content-Type",
        200..=399 => "if this is right too, add it to `expect`",
        _ => return None,
    })
}

/// The service's own name for a request.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = REQUEST_IDS.iter().find_map(|name| headers.get(*name))?.to_str().ok()?;
    Some(id.chars().take(200).collect())
}

/// The first bytes of a body. That it breaks off is no news: the request has failed already.
async fn beginning(mut response: Response) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = async {
        while bytes.len() <= shown::EXCERPT_MAX
            && let Ok(Some(chunk)) = response.chunk().await
        {
            let room = (shown::EXCERPT_MAX + 1).saturating_sub(bytes.len());
            bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
    };
    let whole = tokio::time::timeout(EXCERPT_PATIENCE, read).await.is_ok();
    tracing::trace!(whole, "the body of a failure was read");
    bytes
}
