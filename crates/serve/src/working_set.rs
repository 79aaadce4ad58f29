//! What was touched of some bytes, as text: one range per line, in the order of the first touch.
//! A file of it is a claim: whoever made it may have written anything.

use std::fmt;
use std::ops::Range;

/// Ranges of bytes that are likely to be read, and of which bytes they are.
///
/// ```
/// use serve::WorkingSet;
///
/// let text = "cofferdam working set 1\ntag 0123abcd\nlength 1000000\n65536 131072\n0 4096\nend 2\n";
/// let set = WorkingSet::parse(text.as_bytes())?;
/// assert_eq!(set.ranges(), [65_536..196_608, 0..4096]);
/// assert_eq!(set.to_string(), text);
/// # Ok::<(), serve::WorkingSetError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkingSet {
    tag: String,
    len: u64,
    ranges: Vec<Range<u64>>,
}

/// A line that does not belong into a working set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkingSetError {
    /// From 1.
    line: usize,
    what: &'static str,
}

impl WorkingSet {
    pub(crate) fn of(tag: &str, len: u64, ranges: Vec<Range<u64>>) -> WorkingSet {
        WorkingSet { tag: tag.to_owned(), len, ranges }
    }

    /// Whether `text` begins as that of a working set, of whatever version.
    pub fn is_begun_by(text: &[u8]) -> bool {
        text.starts_with(TITLE.as_bytes())
    }

    /// Reads its text: the three lines of its head, an offset and a length per line, and their number at the end. No range is empty or
    /// goes beyond the length in the head, and all together are no longer.
    ///
    /// # Errors
    /// The first line that is anything else, or missing; more than 262,144 ranges.
    pub fn parse(text: &[u8]) -> Result<WorkingSet, WorkingSetError> {
        let mut lines = Lines { rest: text, line: 0 };
        lines.expect(TITLE, "1")?;
        let tag = lines.after("tag ")?;
        if tag.is_empty() || tag.len() > TAG_LEN_MAX || !tag.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            return Err(lines.wrong("the tag is no word of letters and digits"));
        }
        let tag = tag.to_owned();
        let len = lines.after("length ")?;
        let len = number(len).ok_or(lines.wrong("the length is no number"))?;
        let (mut ranges, mut left) = (Vec::new(), len);
        loop {
            let line = lines.next()?;
            if let Some(count) = line.strip_prefix("end ") {
                let is_all = number(count) == Some(ranges.len() as u64) && lines.rest.is_empty();
                return match is_all {
                    true => Ok(WorkingSet { tag, len, ranges }),
                    false => Err(lines.wrong("there are other lines than the last one says")),
                };
            }
            let pair = line.split_once(' ').and_then(|(offset, len)| Some((number(offset)?, number(len)?)));
            let (offset, range_len) = pair.ok_or(lines.wrong("this is no offset and length"))?;
            let end = offset.checked_add(range_len).filter(|end| *end <= len && range_len > 0);
            let end = end.ok_or(lines.wrong("the range is empty or goes beyond the length"))?;
            left = left.checked_sub(range_len).ok_or(lines.wrong("the ranges overlap"))?;
            if ranges.len() == RANGES_MAX {
                return Err(lines.wrong("there are too many ranges"));
            }
            ranges.push(offset..end);
        }
    }

    /// What stands for the bytes.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The ranges, each of at least one byte, in the order in which they were touched.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// Bytes of all ranges.
    pub fn touched_len(&self) -> u64 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }

    /// The longest text that can be one, in bytes.
    pub const TEXT_LEN_MAX: u64 = 16 << 20;
}

impl fmt::Display for WorkingSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{TITLE}1\ntag {}\nlength {}", self.tag, self.len)?;
        self.ranges
            .iter()
            .try_for_each(|range| writeln!(f, "{} {}", range.start, range.end - range.start))?;
        writeln!(f, "end {}", self.ranges.len())
    }
}

impl fmt::Display for WorkingSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for WorkingSetError {}

/// Lines, each with its end.
struct Lines<'a> {
    rest: &'a [u8],
    line: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Result<&'a str, WorkingSetError> {
        self.line += 1;
        let end = self.rest.iter().take(LINE_LEN_MAX).position(|byte| *byte == b'\n');
        let end = end.ok_or(self.wrong("the line does not end"))?;
        let (line, rest) = self.rest.split_at(end);
        self.rest = &rest[1..];
        std::str::from_utf8(line).map_err(|_| self.wrong("this is no text"))
    }

    fn after(&mut self, words: &str) -> Result<&'a str, WorkingSetError> {
        self.next()?.strip_prefix(words).ok_or(self.wrong("other words belong here"))
    }

    fn expect(&mut self, words: &str, value: &str) -> Result<(), WorkingSetError> {
        match self.after(words)? == value {
            true => Ok(()),
            false => Err(self.wrong("this is of another version")),
        }
    }

    fn wrong(&self, what: &'static str) -> WorkingSetError {
        WorkingSetError { line: self.line, what }
    }
}

/// In digits alone, as it is printed.
fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// What a text of it begins with, before its version.
const TITLE: &str = "cofferdam working set ";
/// Ranges of a working set: of frames of 64 KiB, 16 GiB if no two are adjacent.
pub(crate) const RANGES_MAX: usize = 1 << 18;
/// As of an export.
const TAG_LEN_MAX: usize = 128;
/// Two numbers, or words and a tag.
const LINE_LEN_MAX: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "cofferdam working set 1\ntag ab12\nlength 1000\n";

    fn refused(text: impl AsRef<[u8]>) -> (usize, &'static str) {
        let error = WorkingSet::parse(text.as_ref()).unwrap_err();
        (error.line, error.what)
    }

    #[test]
    fn a_text_that_was_cut_or_changed_is_refused_with_the_line() {
        let whole = format!("{HEAD}0 10\n990 10\nend 2\n");
        assert!(WorkingSet::parse(whole.as_bytes()).is_ok());
        for len in 0..whole.len() {
            assert!(WorkingSet::parse(&whole.as_bytes()[..len]).is_err(), "{len}");
        }
        for (text, line) in [
            ("", 1),
            ("cofferdam working set 2\n", 1),
            ("cofferdam working set 1\r\n", 1),
            ("cofferdam working set 1\ntag \n", 2),
            ("cofferdam working set 1\ntag a b\n", 2),
            ("cofferdam working set 1\ntag ab\nlength 01\n", 3),
            ("cofferdam working set 1\ntag ab\nlength 18446744073709551616\n", 3),
        ] {
            assert_eq!(refused(text).0, line, "{text}");
        }
        for (rest, line) in [
            ("0 0\nend 1\n", 4),
            ("0 1001\nend 1\n", 4),
            ("1000 1\nend 1\n", 4),
            ("18446744073709551615 1\nend 1\n", 4),
            ("+1 1\nend 1\n", 4),
            ("1  1\nend 1\n", 4),
            ("1 1 1\nend 1\n", 4),
            ("-1 1\nend 1\n", 4),
            ("\nend 0\n", 4),
            ("0 600\n0 600\nend 2\n", 5),
            ("0 1\nend 2\n", 5),
            ("0 1\nend 1\n\n", 5),
            ("0 1\nend 1\nend 1\n", 5),
        ] {
            assert_eq!(refused(format!("{HEAD}{rest}")).0, line, "{rest}");
        }
        assert_eq!(refused(b"cofferdam working set 1\ntag \xff\n"), (2, "this is no text"));
        assert_eq!(refused(vec![b'x'; 1 << 20]), (1, "the line does not end"));
    }

    #[test]
    fn no_more_ranges_are_read_than_there_may_be_and_as_many_fit_into_a_text() {
        let text = |count: u64| {
            let len = u64::MAX;
            let ranges: String = (0..count).map(|at| format!("{} 1\n", (len >> 20 << 20) - at - 1)).collect();
            format!("cofferdam working set 1\ntag {}\nlength {len}\n{ranges}end {count}\n", "a".repeat(128))
        };
        let most = text(RANGES_MAX as u64);
        assert!((most.len() as u64) < WorkingSet::TEXT_LEN_MAX);
        assert_eq!(WorkingSet::parse(most.as_bytes()).unwrap().to_string(), most);
        assert_eq!(refused(text(RANGES_MAX as u64 + 1)).1, "there are too many ranges");
    }
}
