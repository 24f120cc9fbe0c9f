//! What of a request and an answer may stand in a message.

use reqwest::Url;

/// How much of a body is shown.
pub(crate) const EXCERPT_MAX: usize = 2 * 1024;
/// Shorter values than this are too common to be looked for in what a server says.
const TELLING: usize = 6;

/// A URL without credentials, query and fragment; `?…` tells that there is a query.
pub(crate) fn url(url: &Url) -> String {
    let mut shown = url.clone();
    let query = url.query().is_some();
    shown.set_query(None);
    shown.set_fragment(None);
    strip_credentials(&mut shown);
    format!("{shown}{}", if query { "?…" } else { "" })
}

/// Takes user and password out of a URL.
pub(crate) fn strip_credentials(url: &mut Url) {
    // These fail only for URLs that cannot have credentials.
    let (user, password) = (url.set_username(""), url.set_password(None));
    debug_assert!(user.is_ok() == password.is_ok(), "either both can be had, or none");
}

/// The beginning of a body as text: control characters escaped, cut after [`EXCERPT_MAX`] bytes,
/// and without the values that were sent, which some servers repeat.
pub(crate) fn excerpt(bytes: &[u8], sent: &[String]) -> String {
    let cut = bytes.len() > EXCERPT_MAX;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(EXCERPT_MAX)]);
    let text = if cut { text.trim_end_matches('\u{fffd}') } else { text.as_ref() };
    let mut shown = String::with_capacity(text.len());
    for c in without(text.trim(), sent).chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    if cut {
        shown.push('…');
    }
    shown
}

/// A text in which the values that were sent are replaced.
pub(crate) fn without(text: &str, sent: &[String]) -> String {
    let telling = sent.iter().filter(|value| value.len() >= TELLING);
    telling.fold(text.to_owned(), |text, value| text.replace(value.as_str(), "[sent]"))
}
