//! The index in the making: what a sealer writes behind its segments, and what a reader compares with what is there.
//! It knows segments by their entries only, and makes MACs where there is a key.

use frame_worker::ChainValue;
use framing::limits::{MAC_LEN, PAGE_ENTRIES_MAX};
use framing::{DirectoryEntry, Footer, IndexEntry, IndexPage, SegmentIndex, encode_directory};
use keys::KeySchedule;

/// The segments of a stream so far. All offsets count from the origin.
pub(crate) struct IndexBuilder {
    entries: Vec<IndexEntry>,
    pages: Vec<DirectoryEntry>,
    segments: u64,
    plaintext_len: u64,
    wire_len: u64,
}

impl IndexBuilder {
    /// No segment yet; the first begins at `wire_len`, behind the metadata.
    pub(crate) fn new(wire_len: u64) -> IndexBuilder {
        IndexBuilder { entries: Vec::new(), pages: Vec::new(), segments: 0, plaintext_len: 0, wire_len }
    }

    /// Where the next segment, page or directory begins.
    pub(crate) fn wire_len(&self) -> u64 {
        self.wire_len
    }

    /// Plaintext bytes so far: where the next segment's begin.
    pub(crate) fn plaintext_len(&self) -> u64 {
        self.plaintext_len
    }

    /// Segments so far.
    pub(crate) fn segments(&self) -> u64 {
        self.segments
    }

    /// Takes the next segment.
    pub(crate) fn push(&mut self, entry: IndexEntry) {
        self.wire_len += entry.wire_len;
        self.plaintext_len += u64::from(entry.plaintext_len);
        self.segments += 1;
        self.entries.push(entry);
    }

    /// Whether a page is due here: it is full, or the stream has ended.
    pub(crate) fn page_is_due(&self, last: bool) -> bool {
        self.entries.len() == PAGE_ENTRIES_MAX as usize || last && !self.entries.is_empty()
    }

    /// Ends the page: its bytes but for the MAC, which `mac` gives.
    pub(crate) fn end_page(&mut self, mac: impl FnOnce(&[u8]) -> [u8; MAC_LEN]) -> Vec<u8> {
        let page = IndexPage {
            page: self.pages.len() as u32,
            first_segment: SegmentIndex(self.segments - self.entries.len() as u64),
            entries: std::mem::take(&mut self.entries),
        };
        let mut bytes = page.to_bytes();
        let mac = mac(&bytes);
        bytes.extend(mac);
        self.pages.push(DirectoryEntry { offset: self.wire_len, mac });
        self.wire_len += bytes.len() as u64;
        bytes
    }

    /// The directory of the pages that have ended.
    pub(crate) fn directory(&self) -> Vec<u8> {
        encode_directory(&self.pages)
    }

    /// The footer of a stream that ends here.
    pub(crate) fn footer(&self, stream_digest: ChainValue) -> Footer {
        let mut footer = Footer {
            pages: self.pages.len() as u32,
            directory_offset: self.wire_len,
            segments: self.segments,
            plaintext_len: self.plaintext_len,
            wire_len: 0,
            stream_digest: stream_digest.0,
        };
        footer.wire_len = self.wire_len + (footer.directory_len() + framing::limits::FOOTER_LEN) as u64;
        footer
    }

    /// Directory and footer with their MAC: the last bytes of a stream.
    pub(crate) fn end(&self, schedule: &KeySchedule, stream_digest: ChainValue) -> Vec<u8> {
        let mut bytes = self.directory();
        let footer = self.footer(stream_digest).to_bytes();
        let mac = schedule.footer_mac(&bytes, &footer);
        bytes.extend(footer);
        bytes.extend(mac);
        bytes
    }
}
