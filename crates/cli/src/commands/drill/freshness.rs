//! How old a stream is, as its sealer says, and whether that is too old.
//! It opens nothing; whoever does hands the metadata over.

use std::time::Duration;

use cofferdam::{ErrorKind, Metadata, sequence_of};

use super::evidence::StreamRecord;
use crate::clock::Utc;
use crate::failure::Failure;
use crate::{clock, duration_text};

/// How old a stream may be, and what says when it was sealed: its sealer, if anybody.
#[derive(Default)]
pub(super) struct AgeRule {
    pub(super) max: Option<Duration>,
    pub(super) time: TimeSource,
}

#[derive(Default)]
pub(super) enum TimeSource {
    #[default]
    Unknown,
    /// The sequence number is the time in seconds since 1970.
    Sequence,
    /// The pair of this key is.
    Metadata(String),
}

impl AgeRule {
    /// Notes number and age of the stream with these pairs, and refuses one that is too old, or of no known age.
    pub(super) fn check(&self, metadata: &Metadata, record: &mut StreamRecord) -> Result<(), Failure> {
        record.sequence = sequence_of(metadata);
        (record.sealed_at, record.age_seconds) = (None, None);
        let (at, said_by) = match &self.time {
            TimeSource::Unknown => return Ok(()),
            TimeSource::Sequence => (record.sequence, "sequence number".to_owned()),
            TimeSource::Metadata(key) => {
                (time_in(metadata, key), format!("time under `{key}` in its metadata"))
            }
        };
        let stale =
            |what: String| Err(Failure::new(ErrorKind::Stale, what).of_input(&record.sealed).advise(TOO_OLD));
        let Some(at) = at else {
            return stale(format!("the stream has no {said_by}, so its age is not known"));
        };
        // As it was when the drill came to it, however long that takes.
        let Utc(now) = *record.begun.get_or_insert_with(|| Utc(clock::seconds()));
        record.sealed_at = Some(Utc(at));
        if at > now.saturating_add(SKEW_MAX) {
            return stale(format!(
                "the stream's {said_by}, {at}, lies in the future: a clock is wrong, or it is no time"
            ));
        }
        let found = now.saturating_sub(at);
        record.age_seconds = Some(found);
        match self.max.filter(|max| found > max.as_secs()) {
            None => Ok(()),
            Some(max) => stale(format!(
                "it was sealed {} ago, and `max_age` is {}",
                duration_text::words(Duration::from_secs(found)),
                duration_text::words(max)
            )),
        }
    }
}

/// Seconds since 1970, as a number in decimal digits.
fn time_in(metadata: &Metadata, key: &str) -> Option<u64> {
    let (_, value) = metadata.iter().find(|(found, _)| found == key.as_bytes())?;
    let text = std::str::from_utf8(value).ok()?;
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What to do about a stream that is older than it may be.
pub(super) const TOO_OLD: &str =
    "Look whether newer ones are sealed, and where they go; how old one may be, the file of the drill says.";
/// By how much a clock may be ahead of this one.
const SKEW_MAX: u64 = 5 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_nothing_else() {
        let metadata = |value: &str| vec![(b"taken".to_vec(), value.as_bytes().to_vec())];
        assert_eq!(time_in(&metadata("1767225599"), "taken"), Some(1_767_225_599));
        for value in ["", "+5", "-5", "5.0", " 5", "2026-01-01", "99999999999999999999"] {
            assert_eq!(time_in(&metadata(value), "taken"), None, "{value}");
        }
        assert_eq!(time_in(&metadata("5"), "other"), None);
    }
}
