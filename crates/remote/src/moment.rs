//! Moments as servers write them in the head of an answer, and how long they ask to be left alone.
//! Knows no request.

use std::time::Duration;

use chrono::{NaiveDateTime, Utc};
use object_store::HeaderMap;

/// A header, if it is there once and is text.
pub(crate) fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// How long the server asks to be left alone: seconds, or a moment (RFC 9110 §10.2.3), by its own clock if it says what time it is
/// there. A moment that is past is now.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let after = only(headers, "retry-after")?.trim();
    if let Ok(seconds) = after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let now = only(headers, "date").and_then(http_date).unwrap_or_else(|| Utc::now().naive_utc());
    Some((http_date(after)? - now).to_std().unwrap_or_default())
}

/// A moment as RFC 9110 §5.6.7 has it, in any of its three forms.
pub(crate) fn http_date(text: &str) -> Option<NaiveDateTime> {
    let forms = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    forms.into_iter().find_map(|form| NaiveDateTime::parse_from_str(text.trim(), form).ok())
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn after(headers: &[(&'static str, &str)]) -> Option<Duration> {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        retry_after(&headers.collect())
    }

    /// The three forms of RFC 9110 §5.6.7, of the moment that it has as its example.
    #[test]
    fn retry_after_is_seconds_or_a_moment_by_the_servers_clock() {
        let date = "Sun, 06 Nov 1994 08:49:30 GMT";
        for (text, seconds) in [
            ("7", Some(7)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(7)),
            ("Sun Nov  6 08:49:37 1994", Some(7)),
            ("Sun, 06 Nov 1994 08:49:30 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:29 GMT", Some(0)),
            ("Sun, 06 Nov 1994 09:49:30 GMT", Some(3600)),
            ("Mon, 06 Nov 1994 08:49:37 GMT", None),
            ("1994-11-06T08:49:37Z", None),
            ("-1", None),
            ("soon", None),
        ] {
            let expected = seconds.map(Duration::from_secs);
            assert_eq!(after(&[("retry-after", text), ("date", date)]), expected, "{text}");
        }
        assert_eq!(after(&[("retry-after", "7"), ("retry-after", "8")]), None);
        // By the own clock where there is no other: long ago, and not soon.
        assert_eq!(after(&[("retry-after", date)]), Some(Duration::ZERO));
        let far = after(&[("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT")]);
        assert!(far > Some(Duration::from_secs(86_400)));
    }
}
