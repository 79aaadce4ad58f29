//! Finds the segments of a stream by what stands at their beginning, for streams whose index is missing or wrong.
//! A header, and frames that end with closing frames, are a claim: whoever opens the segment finds out.

use framing::limits::{FRAME_HEADER_LEN, PAGE_ENTRIES_MAX, SEGMENT_HEADER_LEN, SEGMENTS_MAX};
use framing::{FrameHeader, FrameKind, IndexEntry, SegmentHeader, page_len};
use memchr::memmem;

use super::judge::Found;
use super::window::Window;
use super::{ends_all, not_final};
use crate::index::{SECTOR_LEN, read, read_array, read_what_there_is};
use crate::one_segment::{Located, SegmentOpener};
use crate::{Error, memory};

/// The segments of a stream, from its front to its end.
pub(super) struct Scan<'a> {
    opener: &'a SegmentOpener,
    /// Where the next segment is looked for, and the search ends, in bytes from the beginning of the source.
    position: u64,
    end: u64,
    /// What the next segment must not come before.
    next_segment: u64,
    next_byte: u64,
    /// Bytes that were walked over in vain. Whoever can write to the file can make every byte of it look like the beginning of a long
    /// segment.
    wasted: u64,
    /// Whether what comes next is due at this very position, and whatever else stands there is worth a word.
    on_track: bool,
    /// Where the source is far: what is fetched of it.
    window: Option<Window<'a>>,
}

impl<'a> Scan<'a> {
    /// From `position` on. Of a far source, `window_len` bytes at a time are fetched.
    pub(super) fn new(opener: &'a SegmentOpener, position: u64, window_len: u64) -> Scan<'a> {
        let end = opener.source.len();
        let window = opener.fetch.as_ref().map(|fetch| Window::new(fetch, position, window_len, end));
        Scan { opener, position, end, next_segment: 0, next_byte: 0, wasted: 0, on_track: true, window }
    }

    /// What was found has been opened, and is not needed any more.
    pub(super) fn go_on(&mut self) {
        if let Some(window) = &mut self.window {
            window.begin_at(self.position);
        }
    }

    /// Whether another segment can be found before those that were are opened: all of them are to be fetched once.
    pub(super) fn has_room(&self) -> bool {
        let shape = self.opener.envelope.shape();
        let segment_len = *shape.segment_wire_lens(shape.segment_len()).end();
        self.window.as_ref().is_none_or(|window| window.has_room(self.position, segment_len))
    }

    fn reach(&mut self, end: u64) {
        if let Some(window) = &mut self.window {
            window.reach(end);
        }
    }

    /// The next segment, or what is wrong where it should be. `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Found>, Error> {
        while self.position < self.end {
            self.opener.check_cancelled()?;
            self.reach(self.position + SEGMENT_HEADER_LEN as u64);
            if let Some(header) = self.header_at(self.position)? {
                return self.walk(&header).map(Some);
            }
            if let Some(behind) = self.behind_page()? {
                self.position = behind;
                continue;
            }
            if std::mem::take(&mut self.on_track) {
                let what = "no segment begins where the next is due";
                return Ok(Some(Found::Broken(Error::damaged(what).at(self.position))));
            }
            self.position = self.search()?.unwrap_or(self.end);
        }
        Ok(None)
    }

    /// What the header at the scan's position leads to.
    fn walk(&mut self, header: &SegmentHeader) -> Result<Found, Error> {
        let mut end = self.position + SEGMENT_HEADER_LEN as u64;
        let located = self.locate(header, &mut end).and_then(|located| {
            // Without a key nobody vouches for its number and place but the digest, and the scan goes on from them.
            if self.opener.envelope.schedule.is_none() {
                self.opener.verify(header.index.0, &located)?;
            }
            Ok(located)
        });
        let found = match located {
            Ok(located) => {
                self.pass(header, &located);
                Found::Segment { index: header.index.0, located }
            }
            Err(error) if ends_all(&error) => return Err(error),
            Err(error) => {
                self.wasted += end - self.position;
                self.position += SEGMENT_HEADER_LEN as u64;
                self.on_track = false;
                if self.wasted / WASTED_FILES_MAX > self.opener.source.len() {
                    self.position = self.end;
                    let what = "more looks like segments here than can be looked at";
                    return Ok(Found::Broken(Error::damaged(what).at(self.position)));
                }
                Found::Broken(error)
            }
        };
        Ok(found)
    }

    /// Goes on behind a segment.
    fn pass(&mut self, header: &SegmentHeader, located: &Located) {
        let entry = &located.entry;
        if let Some(fetch) = &self.opener.fetch {
            fetch.announce(self.position);
        }
        self.position += entry.wire_len;
        self.next_segment = header.index.0 + 1;
        self.next_byte = header.plaintext_offset + u64::from(entry.plaintext_len);
        self.on_track = true;
        if located.last {
            self.end = self.position;
        }
    }

    /// Where the next segment begins if an index page stands in between, and nothing else.
    fn behind_page(&mut self) -> Result<Option<u64>, Error> {
        let is_due = self.next_segment > 0 && self.next_segment.is_multiple_of(u64::from(PAGE_ENTRIES_MAX));
        let page_len = page_len(PAGE_ENTRIES_MAX, self.opener.envelope.shape().compression()) as u64;
        let behind = self.position + page_len;
        if !self.on_track || !is_due {
            return Ok(None);
        }
        self.reach(behind + SEGMENT_HEADER_LEN as u64);
        let is_there = self.header_at(behind)?.is_some();
        Ok(is_there.then_some(behind))
    }

    /// Walks from frame to frame to the closing frames, which say what the segment has to be.
    /// `walked_to` is how far that went, also where it fails.
    fn locate(&mut self, header: &SegmentHeader, walked_to: &mut u64) -> Result<Located, Error> {
        let index = header.index.0;
        let Frames { count, plaintext_len } = self.frames(header, walked_to)?;
        let end = *walked_to;
        let envelope = &self.opener.envelope;
        let mut bytes = vec![0; envelope.shape().closing_len()];
        self.reach(end + bytes.len() as u64);
        read(self.opener.source(), end, &mut bytes)?;
        let (worker, _) = envelope.segment(header)?;
        let closing =
            worker.open_closing(&bytes).map_err(|error| Error::frame_refused(index, count, &error, end))?;
        let fields = &closing.fields;
        if (fields.frame_count, fields.plaintext_len) != (count, plaintext_len) {
            let what = "the closing frames count other frames than there are";
            return Err(Error::damaged(what).in_segment(index).at(end));
        }
        let entry = IndexEntry {
            wire_offset: self.position.saturating_sub(envelope.origin()),
            wire_len: end + bytes.len() as u64 - self.position,
            plaintext_offset: header.plaintext_offset,
            plaintext_len: plaintext_len as u32,
            frame_count: count,
            attempt_salt: header.attempt_salt,
            digest: fields.digest,
            plaintext_digest: fields.plaintext_digest,
        };
        Ok(Located { entry, last: fields.last, chain: None })
    }

    fn frames(&mut self, header: &SegmentHeader, end: &mut u64) -> Result<Frames, Error> {
        let shape = self.opener.envelope.shape();
        let mut frames = Frames { count: 0, plaintext_len: 0 };
        let (mut is_short, mut has_table) = (false, false);
        loop {
            self.reach(*end + FRAME_HEADER_LEN as u64);
            let bytes: [u8; FRAME_HEADER_LEN] = read_array(self.opener.source(), *end)?;
            let frame = FrameHeader::parse(&bytes, shape)
                .map_err(|error| Error::framing(error, *end).in_segment(header.index.0))?;
            let is_due = frame.index.0 == frames.count
                && match frame.kind {
                    FrameKind::Data => !is_short && !has_table && frames.count < shape.frames_per_segment(),
                    FrameKind::Table => !has_table,
                    FrameKind::Digest => has_table || !shape.is_compressed(),
                    FrameKind::Terminator => false,
                };
            if !is_due {
                let what = "a frame is not the one that is due: frames are missing or moved";
                return Err(Error::damaged(what).in_segment(header.index.0).at(*end));
            }
            match frame.kind {
                FrameKind::Data => {
                    frames.count += 1;
                    frames.plaintext_len += u64::from(frame.plaintext_len);
                    is_short = frame.plaintext_len < shape.frame_len();
                }
                FrameKind::Table => has_table = true,
                FrameKind::Digest | FrameKind::Terminator => return Ok(frames),
            }
            *end += frame.frame_len() as u64;
        }
    }

    /// The header at `position`, if one of a segment stands there that may come next.
    fn header_at(&self, position: u64) -> Result<Option<SegmentHeader>, Error> {
        let bytes = read_array::<SEGMENT_HEADER_LEN>(self.opener.source(), position);
        Ok(not_final(bytes)?.and_then(|bytes| self.header_of(&bytes)))
    }

    /// The header that `bytes` are, if it is of a segment that may come next.
    fn header_of(&self, bytes: &[u8; SEGMENT_HEADER_LEN]) -> Option<SegmentHeader> {
        let header = SegmentHeader::parse(bytes).ok()?;
        let missing = header.index.0.checked_sub(self.next_segment)?;
        let bytes_max = missing.saturating_mul(self.opener.envelope.shape().segment_len());
        let gap = header.plaintext_offset.checked_sub(self.next_byte)?;
        (header.index.0 < SEGMENTS_MAX && gap <= bytes_max).then_some(header)
    }

    /// Where the next bytes are that look like the header of a segment that may come next.
    fn search(&mut self) -> Result<Option<u64>, Error> {
        let finder = memmem::Finder::new(SegmentHeader::MAGIC);
        let (mut block, mut step) = (Vec::new(), SECTOR_LEN);
        let mut at = self.position;
        while at < self.end {
            self.opener.check_cancelled()?;
            let len = (self.end - at).min(step as u64) as usize;
            memory::grow("a block to look for segments in", &mut block, len)?;
            self.reach(at + len as u64);
            read_what_there_is(self.opener.source(), at, &mut block[..len])?;
            for hit in finder.find_iter(&block[..len]).map(|offset| at + offset as u64) {
                if self.header_at(hit)?.is_some() {
                    return Ok(Some(hit));
                }
            }
            // The magic may lie across the end of the block.
            at += len.saturating_sub(OVERLAP).max(1) as u64;
            // Whatever is near is found with little reading; what is far, with few reads.
            step = (2 * step).min(BLOCK_LEN);
        }
        Ok(None)
    }
}

/// The DATA frames and the TABLE of a segment.
struct Frames {
    count: u32,
    plaintext_len: u64,
}

/// So many times the file may be walked over in vain: once is what damage takes at most.
const WASTED_FILES_MAX: u64 = 4;
const BLOCK_LEN: usize = 1 << 20;
const OVERLAP: usize = SegmentHeader::MAGIC.len() - 1;
