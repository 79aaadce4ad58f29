//! Opening from a source that can be read at offsets: the index says where everything lies, jobs read it themselves.
//! What the index says and what the segments say is compared, record by record.

use std::sync::Arc;

use frame_worker::{ChainValue, Closing, FrameIndex, FrameWorker};
use framing::limits::{CLOSING_LEN, FOOTER_LEN, MAC_LEN, PAGE_ENTRIES_MAX, SEGMENT_HEADER_LEN};
use framing::{
    DirectoryEntry, Fault, Footer, IndexEntry, IndexPage, Record, SegmentHeader, SegmentIndex,
    decode_directory, page_len,
};
use keys::macs_equal;
use segment_worker::{Buffers, Feed, Input, Run, SegmentPlan, Step, StreamEnd};
use sources::ReadAt;

use super::Place;
use super::sequential::{check_expected, trailer_fault};
use crate::envelope::Envelope;
use crate::{Error, ErrorKind};

/// The index of a stream: its footer and directory, checked against each other.
pub(crate) struct Index {
    pub(crate) footer: Footer,
    directory: Vec<DirectoryEntry>,
}

impl Index {
    /// Reads the trailer of a source that begins with `envelope`. `None` if the source does not end with a footer that
    /// belongs to its length: then it is truncated or damaged, and only reading it from the front tells which.
    pub(crate) fn read(source: &dyn ReadAt, envelope: &Envelope) -> Result<Option<Index>, Error> {
        let origin = envelope.origin();
        let body = source.len().saturating_sub(origin);
        if body < FOOTER_LEN as u64 {
            return Ok(None);
        }
        let position = source.len() - FOOTER_LEN as u64;
        let bytes: [u8; FOOTER_LEN] = read_array(source, position)?;
        let (footer, mac) = match Footer::parse(&bytes) {
            Ok((footer, mac)) if footer.wire_len == body => (footer, mac),
            Err(error) if error.fault == Fault::Limit => return Err(Error::framing(error, position)),
            _ => return Ok(None),
        };
        let directory_position = origin + footer.directory_offset;
        let mut directory = vec![0; footer.directory_len()];
        read(source, directory_position, &mut directory)?;
        if let Some(schedule) = &envelope.schedule
            && !macs_equal(&schedule.footer_mac(&directory, &footer.to_bytes()), &mac)
        {
            return Err(Error::damaged("the footer fails authentication").at(position));
        }
        // All plaintext is on the wire. For a length that cannot be true, room would be taken before it is found out.
        if footer.plaintext_len > footer.wire_len {
            return Err(trailer_fault(Record::Footer, position));
        }
        Ok(Some(Index { footer, directory: decode_directory(&directory) }))
    }

    /// Reads a page and checks it against its place in the directory.
    pub(crate) fn page(
        &self,
        source: &dyn ReadAt,
        envelope: &Envelope,
        page: u32,
    ) -> Result<Vec<IndexEntry>, Error> {
        let listed = self.directory[page as usize];
        let first_segment = u64::from(page) * u64::from(PAGE_ENTRIES_MAX);
        let count = (self.footer.segments - first_segment).min(u64::from(PAGE_ENTRIES_MAX)) as u32;
        let position = envelope.origin().saturating_add(listed.offset);
        let end = listed.offset.checked_add(page_len(count) as u64);
        if end.is_none_or(|end| end > self.footer.directory_offset) {
            let directory = envelope.origin() + self.footer.directory_offset;
            return Err(trailer_fault(Record::Directory, directory));
        }
        let mut bytes = vec![0; page_len(count)];
        read(source, position, &mut bytes)?;
        let (parsed, mac) = IndexPage::parse(&bytes).map_err(|error| Error::framing(error, position))?;
        let authentic = match &envelope.schedule {
            Some(schedule) => macs_equal(&schedule.page_mac(&bytes[..bytes.len() - MAC_LEN]), &mac),
            None => true,
        };
        let placed = parsed.page == page && parsed.first_segment.0 == first_segment;
        if !authentic || !placed || !macs_equal(&mac, &listed.mac) {
            return Err(trailer_fault(Record::IndexPage, position));
        }
        Ok(parsed.entries)
    }
}

/// A sealed stream whose records lie still.
pub(crate) struct PlacedFeed<'a> {
    source: Arc<dyn ReadAt>,
    place: Arc<dyn segment_worker::ReadAt>,
    envelope: &'a Envelope,
    index: Index,
    frames_per_run: u32,
    expected: Option<ChainValue>,
    entries: Vec<IndexEntry>,
    segments: u64,
    wire_offset: u64,
    plaintext_offset: u64,
    segment: Option<OpenSegment>,
    chain: ChainValue,
}

struct OpenSegment {
    entry: IndexEntry,
    worker: Arc<FrameWorker>,
    frames_done: u32,
}

impl<'a> PlacedFeed<'a> {
    /// The segments of `source`, as `index` lists them.
    pub(crate) fn new(
        source: Arc<dyn ReadAt>,
        envelope: &'a Envelope,
        index: Index,
        frames_per_run: u32,
        expected: Option<ChainValue>,
    ) -> PlacedFeed<'a> {
        PlacedFeed {
            place: Arc::new(Place(source.clone())),
            source,
            envelope,
            index,
            frames_per_run,
            expected,
            entries: Vec::new(),
            segments: 0,
            wire_offset: envelope.metadata_len,
            plaintext_offset: 0,
            segment: None,
            chain: envelope.chain,
        }
    }

    /// The entry of the next segment, from the page it is in.
    fn next_entry(&mut self) -> Result<IndexEntry, Error> {
        let at = (self.segments % u64::from(PAGE_ENTRIES_MAX)) as usize;
        if at == 0 {
            let page = (self.segments / u64::from(PAGE_ENTRIES_MAX)) as u32;
            self.entries = self.index.page(&*self.source, self.envelope, page)?;
        }
        let entry = self.entries[at].clone();
        self.check(&entry)?;
        Ok(entry)
    }

    /// Segments are contiguous, in wire and plaintext, as long as their plaintext makes them, and before the directory.
    fn check(&self, entry: &IndexEntry) -> Result<(), Error> {
        let shape = self.envelope.shape();
        let plaintext_len = u64::from(entry.plaintext_len);
        let last = self.segments + 1 == self.index.footer.segments;
        let agrees = entry.wire_offset == self.wire_offset
            && entry.plaintext_offset == self.plaintext_offset
            && plaintext_len <= shape.segment_len()
            && entry.frame_count == shape.frame_count(plaintext_len)
            && entry.wire_len == shape.segment_wire_len(plaintext_len)
            && entry.wire_offset + entry.wire_len <= self.index.footer.directory_offset
            && (entry.frame_count > 0 || last);
        if agrees {
            return Ok(());
        }
        Err(trailer_fault(Record::IndexPage, self.position(self.wire_offset)).in_segment(self.segments))
    }

    /// Where an offset of the index is in the stream.
    fn position(&self, offset: u64) -> u64 {
        self.envelope.origin().saturating_add(offset)
    }

    fn begin(&mut self) -> Result<Step<Closing, StreamEnd>, Error> {
        let entry = self.next_entry()?;
        let position = self.position(entry.wire_offset);
        let bytes: [u8; SEGMENT_HEADER_LEN] = read_array(&*self.source, position)?;
        let header = SegmentHeader {
            index: SegmentIndex(self.segments),
            plaintext_offset: entry.plaintext_offset,
            attempt_salt: entry.attempt_salt,
        };
        if header.to_bytes() != bytes {
            return Err(Error::damaged("the segment header is not what the index says")
                .in_segment(self.segments)
                .at(position));
        }
        let (worker, digest) = self.envelope.segment(&header)?;
        let plan = SegmentPlan {
            index: header.index,
            worker: worker.clone(),
            digest,
            sink_offset: entry.plaintext_offset,
            head: Vec::new(),
        };
        self.segment = Some(OpenSegment { entry, worker, frames_done: 0 });
        Ok(Step::Segment(plan))
    }

    fn run(&self, segment: &OpenSegment) -> Run {
        let shape = self.envelope.shape();
        let first = u64::from(segment.frames_done);
        let count = self.frames_per_run.min(segment.entry.frame_count - segment.frames_done);
        let begin = first * u64::from(shape.frame_len());
        let end = (begin + u64::from(count) * u64::from(shape.frame_len()))
            .min(u64::from(segment.entry.plaintext_len));
        let plaintext_len = (end - begin) as usize;
        let frames_begin = segment.entry.wire_offset + SEGMENT_HEADER_LEN as u64;
        Run {
            first: FrameIndex(segment.frames_done),
            count,
            input: Input::Place(self.place.clone()),
            input_offset: self.position(frames_begin + first * shape.frame_wire_len()),
            input_len: FrameWorker::run_wire_len(shape, plaintext_len),
            output_len: if self.envelope.schedule.is_some() { plaintext_len } else { 0 },
            sink_offset: segment.entry.plaintext_offset + begin,
        }
    }

    fn close(&mut self, segment: &OpenSegment) -> Result<Step<Closing, StreamEnd>, Error> {
        let OpenSegment { entry, worker, .. } = segment;
        let index = self.segments;
        let position = self.position(entry.wire_offset + entry.wire_len - CLOSING_LEN as u64);
        let bytes: [u8; CLOSING_LEN] = read_array(&*self.source, position)?;
        let closing =
            worker.open_closing(&bytes).map_err(|error| Error::frame_refused(index, 0, &error, position))?;
        let fields = &closing.fields;
        let last = index + 1 == self.index.footer.segments;
        let said = (fields.frame_count, fields.plaintext_len, fields.digest, fields.last);
        if said != (entry.frame_count, u64::from(entry.plaintext_len), entry.digest, last) {
            return Err(Error::damaged("the closing frames are not what the index says")
                .in_segment(index)
                .at(position));
        }
        self.chain = closing.chain_after;
        self.segments += 1;
        self.wire_offset += entry.wire_len;
        self.plaintext_offset += u64::from(entry.plaintext_len);
        if last || self.segments.is_multiple_of(u64::from(PAGE_ENTRIES_MAX)) {
            self.pass_page()?;
        }
        Ok(Step::Close(closing))
    }

    /// A page stands where its last segment ends, and the directory where the last page does.
    fn pass_page(&mut self) -> Result<(), Error> {
        let page = ((self.segments - 1) / u64::from(PAGE_ENTRIES_MAX)) as usize;
        if self.index.directory[page].offset != self.wire_offset {
            return Err(trailer_fault(Record::Directory, self.position(self.index.footer.directory_offset)));
        }
        self.wire_offset += page_len(self.entries.len() as u32) as u64;
        Ok(())
    }

    fn end(&self) -> Result<StreamEnd, Error> {
        let footer = &self.index.footer;
        let seen = (self.wire_offset, self.plaintext_offset, self.chain.0);
        if seen != (footer.directory_offset, footer.plaintext_len, footer.stream_digest) {
            return Err(trailer_fault(Record::Footer, self.source.len() - FOOTER_LEN as u64));
        }
        check_expected(self.expected, self.chain)?;
        Ok(StreamEnd {
            segments: self.segments,
            plaintext_len: self.plaintext_offset,
            stream_digest: self.chain,
        })
    }
}

impl Feed for PlacedFeed<'_> {
    type Error = Error;

    fn next(&mut self, _buffers: &Buffers) -> Result<Step<Closing, StreamEnd>, Error> {
        match self.segment.take() {
            None if self.segments == self.index.footer.segments => self.end().map(Step::End),
            None => self.begin(),
            Some(segment) if segment.frames_done == segment.entry.frame_count => self.close(&segment),
            Some(segment) => {
                let run = self.run(&segment);
                let frames_done = segment.frames_done + run.count;
                self.segment = Some(OpenSegment { frames_done, ..segment });
                Ok(Step::Run(run))
            }
        }
    }
}

/// Reads `buffer.len()` bytes at `position`; what is not there has been cut off since the source was opened.
pub(crate) fn read(source: &dyn ReadAt, position: u64, buffer: &mut [u8]) -> Result<(), Error> {
    source.read_exact_at(position, buffer).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            Error::new(ErrorKind::Truncated, "the sealed stream ends too early").at(position).because(error)
        }
        _ => Error::io("the sealed stream could not be read", error).at(position),
    })
}

fn read_array<const LEN: usize>(source: &dyn ReadAt, position: u64) -> Result<[u8; LEN], Error> {
    let mut bytes = [0; LEN];
    read(source, position, &mut bytes)?;
    Ok(bytes)
}
