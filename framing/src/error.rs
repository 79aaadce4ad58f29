//! What is wrong with a record, and where in it.
//! It knows no exit code and no file name: those are the command's.

use std::fmt;

/// Who or what is to blame for a record that does not parse.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The bytes are wrong: damage or tampering.
    Damaged,
    /// The bytes do not begin as a Cofferdam stream does: they are something else.
    NotAStream,
    /// The bytes end inside a record, or where one is due.
    Truncated,
    /// A size or count is beyond a limit of FORMAT §2.
    Limit,
    /// A version, suite, digest or feature that this reader does not know.
    Unsupported,
}

/// The records of FORMAT, by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Record {
    /// FORMAT §4.
    Preamble,
    /// FORMAT §5.
    KeyCopy,
    /// FORMAT §6.
    Metadata,
    /// FORMAT §7.
    SegmentHeader,
    /// FORMAT §8: the header of any frame, and DATA.
    Frame,
    /// FORMAT §8: TABLE.
    Table,
    /// FORMAT §8: DIGEST.
    Digest,
    /// FORMAT §8: TERMINATOR.
    Terminator,
    /// FORMAT §9.
    IndexPage,
    /// FORMAT §9.
    Directory,
    /// FORMAT §9.
    Footer,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Record::Preamble => "preamble",
            Record::KeyCopy => "key copy",
            Record::Metadata => "metadata",
            Record::SegmentHeader => "segment header",
            Record::Frame => "frame",
            Record::Table => "TABLE frame",
            Record::Digest => "DIGEST frame",
            Record::Terminator => "TERMINATOR frame",
            Record::IndexPage => "index page",
            Record::Directory => "directory",
            Record::Footer => "footer",
        })
    }
}

/// A record that does not parse.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FramingError {
    /// Who is to blame.
    pub fault: Fault,
    /// Which record.
    pub record: Record,
    /// Where it begins, in bytes from the start of what was parsed.
    pub offset: u64,
    /// What is wrong with it, as a clause without a subject: "has a wrong magic".
    pub problem: &'static str,
}

impl FramingError {
    pub(crate) fn new(fault: Fault, record: Record, problem: &'static str) -> FramingError {
        FramingError { fault, record, offset: 0, problem }
    }

    pub(crate) fn damaged(record: Record, problem: &'static str) -> FramingError {
        FramingError::new(Fault::Damaged, record, problem)
    }

    pub(crate) fn limit(record: Record, problem: &'static str) -> FramingError {
        FramingError::new(Fault::Limit, record, problem)
    }

    pub(crate) fn truncated(record: Record) -> FramingError {
        FramingError::new(Fault::Truncated, record, "is cut short")
    }

    /// The same error seen from `base` bytes further ahead: a slice's offset becomes the stream's.
    #[must_use]
    pub fn moved(mut self, base: u64) -> FramingError {
        self.offset = self.offset.saturating_add(base);
        self
    }
}

impl fmt::Display for FramingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} at byte {} {}", self.record, self.offset, self.problem)
    }
}

impl std::error::Error for FramingError {}
