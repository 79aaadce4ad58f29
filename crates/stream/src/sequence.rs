//! The number that tells a newer stream from an older one: the pair `cofferdam.sequence` (FORMAT F6.6).
//! It knows no clock, and gives no numbers: whoever seals counts.

use crate::{Error, ErrorKind, Metadata, Remedy};

/// The key under which it is kept.
pub(crate) const KEY: &[u8] = b"cofferdam.sequence";

/// The pair to keep for a stream of this number.
pub(crate) fn pair(sequence: u64) -> (Vec<u8>, Vec<u8>) {
    (KEY.to_vec(), sequence.to_string().into_bytes())
}

/// The number that `Sealer::sequence` gave the stream with these pairs; none where it has
/// none, or one that no sealer of ours writes. It orders the streams of those who seal honestly, and nobody else's.
pub fn sequence_of(metadata: &Metadata) -> Option<u64> {
    find(metadata)?.ok()
}

/// What `metadata` says: nothing, a number, or something that is none.
pub(crate) fn find(metadata: &Metadata) -> Option<Result<u64, Malformed>> {
    let mut values = metadata.iter().filter(|(key, _)| key == KEY).map(|(_, value)| value);
    let value = values.next()?;
    // The format has no doubled keys (F6.3). Which of two counts is not decided here.
    if values.next().is_some() {
        return Some(Err(Malformed));
    }
    Some(parse(value).ok_or(Malformed))
}

/// The value is no number as we write one.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Malformed;

/// Refuses a stream that is not known to have the number `min` or a later one.
pub(crate) fn check(metadata: &Metadata, min: u64) -> Result<(), Error> {
    let what = match find(metadata) {
        Some(Ok(found)) if found >= min => return Ok(()),
        Some(Ok(found)) => {
            format!("the stream is older than asked for: its sequence number is {found}, not {min} or more")
        }
        Some(Err(Malformed)) => "the stream's sequence number is none that this program writes".to_owned(),
        None => {
            format!("the stream has no sequence number, so whether it is number {min} or later is not known")
        }
    };
    Err(Error::new(ErrorKind::Stale, what).remedied(Remedy::GiveNewer))
}

/// The metadata is encrypted: without a key there is no number to compare.
pub(crate) fn keyless() -> Error {
    Error::new(ErrorKind::Usage, "a stream's sequence number cannot be read without a key")
        .remedied(Remedy::GiveKey)
}

/// Canonical decimal: one value, one spelling.
fn parse(value: &[u8]) -> Option<u64> {
    let is_canonical = match value {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let text = std::str::from_utf8(value).ok().filter(|_| is_canonical)?;
    text.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use super::*;

    fn with(values: &[&[u8]]) -> Metadata {
        let others = [(b"a".to_vec(), b"7".to_vec()), (b"cofferdam.sequencer".to_vec(), b"9".to_vec())];
        let ours = values.iter().map(|value| (b"cofferdam.sequence".to_vec(), value.to_vec()));
        ours.chain(others).collect()
    }

    #[test]
    fn a_number_has_one_spelling() {
        for (value, number) in [
            ("0", 0),
            ("1", 1),
            ("10", 10),
            ("18446744073709551614", u64::MAX - 1),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(find(&with(&[value.as_bytes()])), Some(Ok(number)), "{value}");
            assert_eq!(pair(number), (b"cofferdam.sequence".to_vec(), value.as_bytes().to_vec()));
        }
        for value in [
            "",
            "007",
            "00",
            "+1",
            "-1",
            "-0",
            " 1",
            "1 ",
            "1\n",
            "1.0",
            "1e3",
            "0x1",
            "１",
            "18446744073709551616",
        ] {
            assert_eq!(find(&with(&[value.as_bytes()])), Some(Err(Malformed)), "{value:?}");
        }
        assert_eq!(find(&with(&[b"\xff"])), Some(Err(Malformed)));
        assert_eq!(find(&with(&[])), None);
    }

    #[test]
    fn what_is_lower_absent_malformed_or_doubled_is_stale() {
        let is_stale = |values: &[&[u8]], min| match check(&with(values), min) {
            Ok(()) => false,
            Err(error) => {
                assert_eq!((error.kind(), error.remedy()), (ErrorKind::Stale, Some(Remedy::GiveNewer)));
                true
            }
        };
        assert!(!is_stale(&[b"7"], 7) && !is_stale(&[b"8"], 7) && !is_stale(&[b"0"], 0));
        assert!(is_stale(&[b"6"], 7) && is_stale(&[b"0"], 1));
        assert!(!is_stale(&[b"18446744073709551615"], u64::MAX));
        assert!(is_stale(&[b"18446744073709551614"], u64::MAX));
        // However low the number that is asked for: it is asked for.
        assert!(is_stale(&[], 0) && is_stale(&[b"007"], 0) && is_stale(&[b""], 0));
        assert!(is_stale(&[b"9", b"9"], 7) && is_stale(&[b"9", b"6"], 7));
    }
}
