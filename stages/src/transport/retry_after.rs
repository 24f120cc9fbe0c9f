//! `Retry-After`: how long a server asks to wait.

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// A longer wait than this is read as this one: a century keeps every sum with a time in range.
const LONGEST: u64 = 100 * 365 * 86_400;

/// The wait that a header asks for, in either of its forms: seconds, or a date. A date is measured
/// from the server's own `Date`, if it sends one, so that two clocks that differ do no harm; one
/// that has passed is no wait. What is neither is `None`.
pub(crate) fn wait(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // Digits that do not fit are a wait without end.
        let seconds = text.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds.min(LONGEST)));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let date = headers.get(DATE).and_then(|date| date.to_str().ok());
    let now = date.and_then(|date| httpdate::parse_http_date(date.trim()).ok()).unwrap_or(now);
    let wait = until.duration_since(now).unwrap_or(Duration::ZERO);
    Some(wait.min(Duration::from_secs(LONGEST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn ask(retry_after: &str, date: Option<&str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after.parse().expect("a header"));
        if let Some(date) = date {
            headers.insert(DATE, date.parse().expect("a header"));
        }
        let now = httpdate::parse_http_date(NOW).expect("a date");
        wait(&headers, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn both_forms_are_read_and_nothing_else_is() {
        for (text, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("1000000000000", Some(LONGEST)),
            ("99999999999999999999999999", Some(LONGEST)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", Some(60)),
            ("Sun Nov  6 08:50:37 1994", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(LONGEST)),
            ("soon", None),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("1s", None),
        ] {
            assert_eq!(ask(text, None), seconds, "{text}");
        }
    }

    #[test]
    fn a_date_is_measured_by_the_clock_of_the_server() {
        let until = "Sun, 06 Nov 1994 09:49:37 GMT";
        assert_eq!(ask(until, Some("Sun, 06 Nov 1994 09:49:07 GMT")), Some(30));
        assert_eq!(ask(until, Some("not a date")), Some(3_600));
        assert_eq!(ask("30", Some("Sun, 06 Nov 2094 09:49:07 GMT")), Some(30));
    }
}
