//! Owns a map of a whole sealed stream: which record lies where, read off the byte tables of docs/FORMAT.md.
//! Refuses to know keys and digests, and shares no code with the engine's parsers. The stream has to be a good one.

use std::ops::Range;

/// The kinds of records.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Kind {
    Preamble,
    KeyCopy,
    Metadata,
    SegmentHeader,
    Data,
    Table,
    Digest,
    Terminator,
    Page,
    Directory,
    Footer,
}

/// A record, and the segment that it is of (or that it stands behind).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) segment: usize,
    pub(crate) range: Range<usize>,
}

/// All records of `sealed`, without a gap.
pub(crate) fn records(sealed: &[u8]) -> Vec<Record> {
    let compressed = sealed[12] & 1 == 1;
    let mut map = Map { sealed, records: Vec::new(), segment: 0, compressed };
    let entry_len = if compressed { 112 } else { 80 };
    map.take(Kind::Preamble, 4096);
    let key_copy_len = map.u32_at(112);
    map.take(Kind::KeyCopy, key_copy_len);
    map.take(Kind::KeyCopy, key_copy_len);
    let body_len = map.u32_at(map.end() + 16);
    map.take(Kind::Metadata, 32 + body_len);
    let mut pages = 0;
    let mut last = false;
    while !last {
        last = map.segment();
        if last || (map.segment + 1).is_multiple_of(4096) {
            map.take(Kind::Page, 64 + entry_len * (map.segment % 4096 + 1));
            pages += 1;
        }
        map.segment += 1;
    }
    map.take(Kind::Directory, 40 * pages);
    map.take(Kind::Footer, 112);
    assert_eq!(map.end(), sealed.len(), "the footer ends the stream");
    map.records
}

/// The ranges of all records of one kind.
pub(crate) fn ranges(sealed: &[u8], kind: Kind) -> Vec<Range<usize>> {
    records(sealed).into_iter().filter(|record| record.kind == kind).map(|record| record.range).collect()
}

/// The range of each whole segment, from its header to its TERMINATOR.
pub(crate) fn segments(sealed: &[u8]) -> Vec<Range<usize>> {
    let starts = ranges(sealed, Kind::SegmentHeader).into_iter().map(|range| range.start);
    let ends = ranges(sealed, Kind::Terminator).into_iter().map(|range| range.end);
    starts.zip(ends).map(|(start, end)| start..end).collect()
}

struct Map<'a> {
    sealed: &'a [u8],
    records: Vec<Record>,
    segment: usize,
    compressed: bool,
}

impl Map<'_> {
    /// Takes the records of a segment; says whether it is the last.
    fn segment(&mut self) -> bool {
        self.take(Kind::SegmentHeader, 48);
        loop {
            let at = self.end();
            match self.sealed[at] {
                1 => self.take(Kind::Data, 16 + self.u32_at(at + 12)),
                4 => self.take(Kind::Table, 16 + self.u32_at(at + 12)),
                2 => break,
                other => panic!("a frame of kind {other} at {at}"),
            }
        }
        self.take(Kind::Digest, if self.compressed { 96 } else { 64 });
        let last = self.u32_at(self.end() + 20) & 1 == 1;
        self.take(Kind::Terminator, 80);
        last
    }

    fn take(&mut self, kind: Kind, len: usize) {
        let start = self.end();
        self.records.push(Record { kind, segment: self.segment, range: start..start + len });
    }

    fn end(&self) -> usize {
        self.records.last().map_or(0, |record| record.range.end)
    }

    fn u32_at(&self, at: usize) -> usize {
        u32::from_le_bytes(self.sealed[at..at + 4].try_into().unwrap()) as usize
    }
}
