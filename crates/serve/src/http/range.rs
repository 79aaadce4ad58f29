//! The field `Range` (RFC 9110 §14.2): one range of bytes, or what is to be done without one.
//! Knows no answer.

use std::ops::Range;

/// What of the bytes is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    /// All of them: nothing else was asked for, or nothing that is understood. Several ranges are all bytes, too.
    Whole,
    /// Some of them, at least one.
    Part(Range<u64>),
    /// None of them.
    Unsatisfiable,
}

impl Wanted {
    /// What a `field` wants of `len` bytes.
    pub(super) fn parse(field: &str, len: u64) -> Wanted {
        let Some((unit, set)) = field.split_once('=') else { return Wanted::Whole };
        let Some((first, last)) = set.trim_matches([' ', '\t']).split_once('-') else { return Wanted::Whole };
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return Wanted::Whole;
        }
        match (first.is_empty(), position(first), position(last)) {
            (true, _, Some(0)) => Wanted::Unsatisfiable,
            // Of nothing, the last bytes are all of it.
            (true, _, Some(_)) if len == 0 => Wanted::Whole,
            (true, _, Some(suffix)) => Wanted::Part(len.saturating_sub(suffix)..len),
            (false, Some(first), end) if end.is_some() || last.is_empty() => match end.unwrap_or(u64::MAX) {
                last if last < first => Wanted::Whole,
                _ if first >= len => Wanted::Unsatisfiable,
                last => Wanted::Part(first..last.saturating_add(1).min(len)),
            },
            _ => Wanted::Whole,
        }
    }
}

/// Digits alone. More than there can be bytes is as much as there are.
fn position(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9110 §14.1.2, with its examples of a representation of 10,000 bytes.
    #[test]
    fn the_examples_of_the_rfc_are_understood() {
        let wanted = |field| Wanted::parse(field, 10_000);
        assert_eq!(wanted("bytes=0-499"), Wanted::Part(0..500));
        assert_eq!(wanted("bytes=500-999"), Wanted::Part(500..1000));
        assert_eq!(wanted("bytes=-500"), Wanted::Part(9500..10_000));
        assert_eq!(wanted("bytes=9500-"), Wanted::Part(9500..10_000));
        assert_eq!(wanted("bytes=0-0"), Wanted::Part(0..1));
        assert_eq!(wanted("bytes=0-0,-1"), Wanted::Whole);
        assert_eq!(wanted("bytes= 0-999, 4500-5499, -1000"), Wanted::Whole);
    }

    #[test]
    fn ends_are_cut_to_what_there_is_and_what_begins_beyond_it_is_unsatisfiable() {
        for len in [1, 2, 10_000, u64::MAX] {
            let wanted = |field: String| Wanted::parse(&field, len);
            assert_eq!(wanted(format!("bytes=0-{}", len - 1)), Wanted::Part(0..len));
            assert_eq!(wanted(format!("bytes=0-{len}")), Wanted::Part(0..len));
            assert_eq!(wanted(format!("bytes={}-", len - 1)), Wanted::Part(len - 1..len));
            assert_eq!(wanted(format!("bytes={len}-")), Wanted::Unsatisfiable);
            assert_eq!(wanted(format!("bytes=-{len}")), Wanted::Part(0..len));
            assert_eq!(wanted("bytes=0-99999999999999999999999".to_owned()), Wanted::Part(0..len));
            assert_eq!(wanted("bytes=-99999999999999999999999".to_owned()), Wanted::Part(0..len));
            assert_eq!(wanted("bytes=99999999999999999999999-".to_owned()), Wanted::Unsatisfiable);
        }
        assert_eq!(Wanted::parse("bytes=-0", 10), Wanted::Unsatisfiable);
    }

    #[test]
    fn nothing_has_no_range() {
        assert_eq!(Wanted::parse("bytes=0-", 0), Wanted::Unsatisfiable);
        assert_eq!(Wanted::parse("bytes=0-0", 0), Wanted::Unsatisfiable);
        assert_eq!(Wanted::parse("bytes=-1", 0), Wanted::Whole);
    }

    #[test]
    fn what_is_no_range_of_bytes_is_ignored() {
        for field in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=1",
            "bytes=2-1",
            "bytes=a-b",
            "bytes=0x1-2",
            "bytes=+1-2",
            "bytes=1-2-3",
            "bytes=--1",
            "bytes=1- 2",
            "bytes=5-x-",
            "bytes=100-200,2-",
            "bytes=2-,0-1",
            "bytes=1--",
            "lines=0-1",
            "bytes 0-1",
            "bytes=0-1;",
            "bytes=1-b",
        ] {
            assert_eq!(Wanted::parse(field, 100), Wanted::Whole, "{field}");
        }
        assert_eq!(Wanted::parse("BYTES=0-1", 100), Wanted::Part(0..2));
    }
}
