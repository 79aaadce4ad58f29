//! Conditions on the entity tag (RFC 9110 §13): whether a client has these bytes already, or wants them only if they are the same.
//! There is no date of a change, so a condition on one is none, or fails.

use hyper::HeaderMap;
use hyper::header::{HeaderName, IF_MATCH, IF_NONE_MATCH, IF_RANGE};

/// What follows from the conditions of a request, in the order of RFC 9110 §13.2.2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It is answered.
    Answer,
    /// These bytes are not the ones that were meant: 412.
    Failed,
    /// The client has them: 304.
    NotModified,
}

/// Judges a request for what has this `tag`, with its quotes.
pub(super) fn judge(head: &HeaderMap, tag: &str) -> Verdict {
    let is_listed = |name: HeaderName, weakly: bool| {
        let mut fields = head.get_all(name).into_iter().peekable();
        fields.peek()?;
        Some(fields.filter_map(|field| field.to_str().ok()).any(|field| lists(field, tag, weakly)))
    };
    if is_listed(IF_MATCH, false) == Some(false) {
        return Verdict::Failed;
    }
    match is_listed(IF_NONE_MATCH, true) {
        Some(true) => Verdict::NotModified,
        _ => Verdict::Answer,
    }
}

/// Whether a range counts: with `If-Range`, only if the tag there is this strong one. A date is none.
pub(super) fn allows_range(head: &HeaderMap, tag: &str) -> bool {
    head.get(IF_RANGE).is_none_or(|field| field.to_str().is_ok_and(|field| field.trim() == tag))
}

/// Whether a list of entity tags, or `*`, has this one. Tags here have no comma.
fn lists(field: &str, tag: &str, weakly: bool) -> bool {
    field.split(',').map(str::trim).any(|listed| {
        let listed = if weakly { listed.strip_prefix("W/").unwrap_or(listed) } else { listed };
        listed == "*" || listed == tag
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "\"abc\"";

    fn head(name: HeaderName, field: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, field.parse().unwrap())])
    }

    #[test]
    fn a_client_that_has_the_bytes_gets_none() {
        assert_eq!(judge(&HeaderMap::new(), TAG), Verdict::Answer);
        for field in ["\"abc\"", "W/\"abc\"", "*", "\"x\", \"abc\"", "\"x\",W/\"abc\""] {
            assert_eq!(judge(&head(IF_NONE_MATCH, field), TAG), Verdict::NotModified, "{field}");
        }
        for field in ["", "\"x\"", "abc", "\"ab\", \"c\""] {
            assert_eq!(judge(&head(IF_NONE_MATCH, field), TAG), Verdict::Answer, "{field}");
        }
    }

    #[test]
    fn a_client_that_means_other_bytes_is_told_so() {
        for (field, verdict) in [
            ("\"abc\"", Verdict::Answer),
            ("*", Verdict::Answer),
            ("\"x\", \"abc\"", Verdict::Answer),
            ("W/\"abc\"", Verdict::Failed),
            ("\"x\"", Verdict::Failed),
            ("", Verdict::Failed),
        ] {
            assert_eq!(judge(&head(IF_MATCH, field), TAG), verdict, "{field}");
        }
        let mut both = head(IF_MATCH, "\"x\"");
        both.insert(IF_NONE_MATCH, TAG.parse().unwrap());
        assert_eq!(judge(&both, TAG), Verdict::Failed);
    }

    #[test]
    fn a_range_counts_only_of_the_same_bytes() {
        assert!(allows_range(&HeaderMap::new(), TAG));
        assert!(allows_range(&head(IF_RANGE, TAG), TAG));
        for field in ["W/\"abc\"", "\"x\"", "*", "Tue, 15 Nov 1994 08:12:31 GMT", "\"abc\", \"x\""] {
            assert!(!allows_range(&head(IF_RANGE, field), TAG), "{field}");
        }
    }
}
