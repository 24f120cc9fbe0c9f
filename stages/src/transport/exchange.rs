//! Sending a request, and following where the server points.

use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE,
    HeaderMap, HeaderName, LOCATION, USER_AGENT,
};
use reqwest::{Method, Response, StatusCode, Url};

use flow_core::error::StageError;

use super::client::Clients;
use super::request::Request;
use super::{failure, shown};

/// How many redirects are followed.
pub(crate) const REDIRECTS_MAX: usize = 10;

/// Headers that tell nothing about who asks: only these leave the URL's own origin.
const HARMLESS: [HeaderName; 7] = [
    ACCEPT,
    ACCEPT_ENCODING,
    ACCEPT_LANGUAGE,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_TYPE,
    USER_AGENT,
];

/// The answer to a request, of which nothing but the head was read.
pub(crate) struct Reply {
    pub(crate) response: Response,
    /// Where it came from in the end.
    pub(crate) url: Url,
}

impl Reply {
    /// Whether it came from an origin that gets none of the node's own headers.
    pub(crate) fn is_foreign(&self, request: &Request) -> bool {
        self.url.origin() != request.url.origin()
    }
}

/// One request of an exchange.
struct Hop {
    method: Method,
    url: Url,
    with_body: bool,
}

/// Sends a request and follows redirects.
pub(crate) async fn send(clients: &Clients, request: &Request) -> Result<Reply, StageError> {
    let mut hop = Hop { method: request.method.clone(), url: request.url.clone(), with_body: true };
    for followed in 0..=REDIRECTS_MAX {
        let response = ask(clients, request, &hop).await.map_err(|mut error| {
            // A server that redirects has had the request.
            error.unsent &= followed == 0;
            error
        })?;
        let target = match location(&response) {
            Some(target) if !request.expect.covers(response.status().as_u16()) => target,
            _ => return Ok(Reply { response, url: hop.url }),
        };
        hop = next(request, &hop, response.status(), &target)?;
    }
    Err(failure::redirect(
        request,
        format!("the server redirects more than {REDIRECTS_MAX} times"),
        "ask for the URL that it should end at",
    ))
}

async fn ask(clients: &Clients, request: &Request, hop: &Hop) -> Result<Response, StageError> {
    let client = clients.client(&request.operation, &hop.method, &hop.url)?;
    let mut message = reqwest::Request::new(hop.method.clone(), hop.url.clone());
    *message.headers_mut() = headers(request, hop);
    if let Some(body) = request.body.as_ref().filter(|_| hop.with_body) {
        body.put_into(&mut message).await.map_err(|mut error| {
            error.unsent = true;
            error
        })?;
    }
    let settings = clients.settings();
    let sends_file = request.body.as_ref().is_some_and(|body| hop.with_body && body.is_file());
    let answer = client.execute(message);
    let answer = if sends_file {
        // While a file is sent there is nothing to be heard.
        answer.await
    } else {
        let silence = |_elapsed| failure::of_silence(request, settings);
        tokio::time::timeout(settings.idle, answer).await.map_err(silence)?
    };
    answer.map_err(|error| failure::of_transport(request, &hop.url, settings, error))
}

fn headers(request: &Request, hop: &Hop) -> HeaderMap {
    let own = hop.url.origin() == request.url.origin();
    let describes_body = |name: &HeaderName| name.as_str().starts_with("content-");
    let kept = request.headers.iter().filter(|(name, _)| {
        (own || HARMLESS.contains(name)) && (hop.with_body || !describes_body(name))
    });
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Where an answer redirects to.
fn location(response: &Response) -> Option<String> {
    let follows = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION).filter(|_| follows)?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

fn next(request: &Request, hop: &Hop, status: StatusCode, target: &str) -> Result<Hop, StageError> {
    let mut url = hop.url.join(target).map_err(|error| {
        failure::redirect(
            request,
            format!("the server redirects to what is no URL: {error}"),
            "this is a fault of the server",
        )
    })?;
    url.set_fragment(None);
    shown::strip_credentials(&mut url);
    check(request, &hop.url, &url)?;
    let becomes_get = match status.as_u16() {
        303 => hop.method != Method::HEAD,
        // What every browser does, though the standard would have it otherwise.
        301 | 302 => hop.method == Method::POST,
        _ => false,
    };
    Ok(Hop {
        method: if becomes_get { Method::GET } else { hop.method.clone() },
        url,
        with_body: hop.with_body && !becomes_get,
    })
}

/// Whether a redirect may be followed.
fn check(request: &Request, from: &Url, to: &Url) -> Result<(), StageError> {
    let shown = shown::url(to);
    if !matches!(to.scheme(), "http" | "https") {
        let message = format!("the server redirects to the scheme `{}`", to.scheme());
        return Err(failure::redirect(request, message, "only http and https are followed"));
    }
    if from.scheme() == "https" && to.scheme() == "http" {
        let message = format!("the server redirects from https to {shown}");
        let hint = "what was asked for in private is not asked for in public: \
                    use a URL that stays with https";
        return Err(failure::redirect(request, message, hint));
    }
    let host = to.host_str().unwrap_or_default();
    if request.url.host_str() != Some(host)
        && !request.allowed_hosts.iter().any(|pattern| is_allowed(pattern, host))
    {
        let message = format!("the server redirects to another host: {shown}");
        let hint = format!("if that is right, allow it: allowed_hosts = [\"{host}\"]");
        return Err(failure::redirect(request, message, hint));
    }
    Ok(())
}

/// Whether a host is the pattern `*`, below a pattern such as `*.example.com`, or the pattern.
pub(crate) fn is_allowed(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some("") => true,
        Some(suffix) => {
            host.len() > suffix.len() && suffix.starts_with('.') && host.ends_with(suffix)
        }
        None => pattern == host,
    }
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn a_pattern_covers_hosts_below_it_and_not_beside_it() {
        for (pattern, host, allowed) in [
            ("cdn.example.com", "cdn.example.com", true),
            ("example.com", "cdn.example.com", false),
            ("*.example.com", "cdn.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "evilexample.com", false),
            ("*", "anything", true),
        ] {
            assert_eq!(is_allowed(pattern, host), allowed, "{pattern} {host}");
        }
    }
}
