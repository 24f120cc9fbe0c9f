//! A request, and what may stand in one.

use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Method, Url};
use serde_json::Value;

use super::outgoing::Outgoing;

/// Methods that a node may use.
pub(crate) const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Headers that describe the message itself: the client writes them.
pub(crate) const RESERVED: [&str; 8] = [
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
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Outgoing>,
    pub(crate) expect: Expect,
    /// Patterns of hosts that redirects may go to.
    pub(crate) allowed_hosts: Vec<String>,
    /// Values of headers and query parameters, which must not be shown.
    pub(crate) sent: Vec<String>,
    /// What is being done, for messages.
    pub(crate) operation: String,
}

/// Whether requests of this method have no body.
pub(crate) fn is_bodyless(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Why a text is no URL that requests may go to, and the way out.
pub(crate) struct UrlFault {
    pub(crate) message: String,
    pub(crate) help: &'static str,
}

/// Reads a URL. Its text stands in no message, since it may hold what nobody should read.
pub(crate) fn parse_url(text: &str) -> Result<Url, UrlFault> {
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

/// A header's value and the words in it: a server may repeat a token without its `Bearer`.
pub(crate) fn telling_parts(value: &str) -> Vec<String> {
    let value = value.trim();
    let words = value.split_whitespace().filter(|word| *word != value);
    // The longest first, so that no part is left over when the whole is replaced.
    std::iter::once(value).chain(words.filter(|word| word.len() >= 12)).map(str::to_owned).collect()
}

/// Reads the name of a header; the message says what is wrong with it.
pub(crate) fn header_name(name: &str) -> Result<HeaderName, String> {
    let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
        return Err(format!("`{name}` is no name of a header"));
    };
    match RESERVED.contains(&header.as_str()) {
        true => Err(format!("the header `{name}` is written by the client itself")),
        false => Ok(header),
    }
}

/// Which statuses are success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expect(Vec<(u16, u16)>);

impl Expect {
    /// Every 2xx is success.
    pub(crate) fn success() -> Self {
        Self(vec![(200, 299)])
    }

    /// Every status is success: the caller tells them apart.
    pub(crate) fn any() -> Self {
        Self(vec![(200, 599)])
    }

    /// Reads `with.expect`; `None` if something in it is no status.
    pub(crate) fn parse(given: Option<&Value>) -> Option<Self> {
        match given {
            None => Some(Self::success()),
            Some(list) => list.as_array()?.iter().map(range).collect::<Option<_>>().map(Self),
        }
    }

    /// Whether a status is success.
    pub(crate) fn covers(&self, status: u16) -> bool {
        self.0.iter().any(|(from, to)| (*from..=*to).contains(&status))
    }
}

/// A status such as `404` or `"404"`, or a class such as `"2xx"`.
pub(crate) fn range(value: &Value) -> Option<(u16, u16)> {
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
