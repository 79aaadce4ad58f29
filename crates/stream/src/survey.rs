//! Which segments of a damaged stream are whole, and which bytes of its plaintext are lost; and the whole ones, salvaged.
//! It publishes under a name that says so, and claims nothing of what it did not open.

mod judge;
mod memory;
mod scan;
mod tally;
mod window;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use cofferdam_io::{ReadAt, WriteAt};
use contract::{Checkpoint, StreamingSink};
use framing::limits::{METADATA_HEAD_LEN, SEGMENT_HEADER_LEN};
use framing::{Footer, MetadataHead, SegmentHeader, StreamId};
use segment_worker::{CancelToken, Committed, Stage};
use sources::Source;

use self::judge::{Found, Judge, judge_all};
use self::scan::Scan;
use self::tally::Tally;
use crate::envelope::Envelope;
use crate::index::{Index, read_array};
use crate::one_segment::SegmentOpener;
use crate::open::{OpenOptions, of_place};
use crate::progress::Meter;
use crate::resources::Direction;
use crate::seekable_envelope::{read_seekable_envelope, read_seekable_envelope_without_metadata};
use crate::segment_reader::SegmentReader;
use crate::stream_metrics::Operation;
use crate::{Error, ErrorKind, Remedy};

/// A part of a stream's plaintext that no whole segment holds.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct LostRange {
    /// The first segment that is lost.
    pub first_segment: u64,
    /// How many are. `None` where the stream's end is missing, and nobody knows.
    pub segments: Option<u64>,
    /// Where it begins in the plaintext, in bytes.
    pub plaintext_offset: u64,
    /// How many bytes. `None` as of `segments`; 0 if what is lost has no plaintext, and only tells that the stream ends there.
    pub plaintext_len: Option<u64>,
    /// What was found first in its place.
    pub reason: String,
}

/// What there is of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Surveyed {
    /// Names the stream.
    pub stream_id: StreamId,
    /// Segments that are whole.
    pub segments: u64,
    /// Bytes of plaintext in them.
    pub plaintext_len: u64,
    /// Ranges that are lost.
    pub lost_ranges: u64,
    /// Bytes of plaintext that are known to be lost. There are more where the end is missing.
    pub lost_len: u64,
    /// Whether metadata and index are whole. If they are not, the stream cannot be restored, whole as its segments may be.
    pub has_whole_index: bool,
    /// Whether all that was to be seen is the stream up to its end, lost or not.
    pub end_is_known: bool,
}

impl OpenOptions<'_> {
    /// Looks at every segment of `source`, with a key or without, and tells `lost` which bytes of the plaintext no whole
    /// segment holds, in order. Where the index is not whole, segments are looked for by their headers.
    ///
    /// With a key, a segment is whole if it is as it was sealed, at its place in this stream; without, if it is consistent.
    ///
    /// # Errors
    /// Nothing can be told: the stream has no usable beginning; no key opens it; it changes; the source has no offsets
    /// ([`ErrorKind::Usage`]). If a digest is expected: [`ErrorKind::DigestMismatch`], or the index is not whole.
    pub fn survey(&self, source: impl Source, lost: &mut dyn FnMut(&LostRange)) -> Result<Surveyed, Error> {
        let place = place_of(&source)?;
        let resources = self.resources.on_one_budget(&*place);
        let options = OpenOptions { resources: &resources, ..*self };
        let surveyed = DamagedStream::read(&options, place.clone()).and_then(|stream| {
            let mut tell = |range: &LostRange| {
                lost(range);
                Ok(())
            };
            let mut tally = Tally::new(&mut tell, &stream);
            stream.walk(&options, memory::threads(&resources), &mut tally, &|index, located| {
                Ok(stream.opener().verify(index, located))
            })?;
            Ok(tally.surveyed)
        });
        surveyed.map_err(|error| of_place(error, Some(place)))
    }

    /// As [`OpenOptions::survey`], with a key, and writes the whole segments to the sink that `make_sink` makes for so many
    /// bytes, where that is known; zeros for what is lost. The sink publishes that. It has to take writes at offsets.
    ///
    /// # Errors
    /// As of a survey; [`ErrorKind::Limit`] if the memory budget does not hold a segment; the sink's. If no segment is whole,
    /// the first fault: then the sink is dropped.
    pub fn salvage<S: StreamingSink>(
        &self,
        source: impl Source,
        make_sink: impl FnOnce(Option<u64>) -> Result<S, Error>,
        lost: &mut dyn FnMut(&LostRange),
    ) -> Result<Surveyed, Error> {
        let place = place_of(&source)?;
        let resources = self.resources.on_one_budget(&*place);
        let options = OpenOptions { resources: &resources, ..*self };
        let salvaged = DamagedStream::read(&options, place.clone()).and_then(|stream| {
            if self.identities.is_none() {
                let what = "a stream can be verified without a key, not salvaged";
                return Err(Error::new(ErrorKind::Usage, what).remedied(Remedy::GiveKey));
            }
            let (threads, _lease) = memory::threads_that_hold_segments(&resources, stream.opener())?;
            let sink = make_sink(stream.total().map(|total| total.plaintext_len))?;
            stream.salvage(&options, threads, sink, lost)
        });
        salvaged.map_err(|error| of_place(error, Some(place)))
    }
}

fn place_of(source: &impl Source) -> Result<Arc<dyn ReadAt>, Error> {
    source.positioned().ok_or_else(|| {
        let what = "what is behind a damaged segment is found only where the source has offsets";
        Error::new(ErrorKind::Usage, what).advise("Write the stream to a file first.")
    })
}

/// A stream that may be damaged, and how its segments are found.
enum DamagedStream {
    /// By the index, which is whole.
    Indexed(Box<SegmentReader>),
    /// By what they look like, from a position on. A footer may be there. Of a far source `window_len` bytes at a time are fetched.
    Bare { opener: Box<SegmentOpener>, position: u64, total: Option<Total>, window_len: u64 },
}

/// What a footer says of the whole.
#[derive(Clone, Copy)]
struct Total {
    segments: u64,
    plaintext_len: u64,
}

impl DamagedStream {
    fn read(options: &OpenOptions<'_>, source: Arc<dyn ReadAt>) -> Result<DamagedStream, Error> {
        let resources = options.resources;
        resources.check()?;
        resources.check_cancelled()?;
        let refused = match read_seekable_envelope(&*source, options.identities, resources) {
            Ok(Some(envelope)) => {
                options.announce(&envelope)?;
                return DamagedStream::behind(options, source, envelope);
            }
            Ok(None) => None,
            Err(error) if matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Io) => Some(error),
            Err(error) => return Err(error),
        };
        if options.min_sequence.is_some() {
            let unread = || Error::damaged("the metadata, which has the sequence number, cannot be read");
            return Err(refused.unwrap_or_else(unread));
        }
        // No segment needs the metadata. If more than that is damaged, the first error is the one to tell.
        let envelope = read_seekable_envelope_without_metadata(&*source, options.identities, resources);
        let envelope = envelope.map_err(|error| refused.unwrap_or(error))?;
        options.announce(&envelope)?;
        // Where its head can be read, it says where the segments begin.
        let metadata_len = metadata_len(&*source, &envelope).unwrap_or(0);
        let position = envelope.origin().saturating_add(metadata_len);
        DamagedStream::bare(options, source, envelope, position, None)
    }

    /// Behind a whole envelope.
    fn behind(
        options: &OpenOptions<'_>,
        source: Arc<dyn ReadAt>,
        envelope: Envelope,
    ) -> Result<DamagedStream, Error> {
        let index = not_final(Index::read(&*source, &envelope))?.flatten();
        let position = envelope.origin().saturating_add(envelope.metadata_len);
        let Some(index) = index else {
            return DamagedStream::bare(options, source, envelope, position, None);
        };
        let Footer { segments, plaintext_len, .. } = index.footer;
        let total = Total { segments, plaintext_len };
        let mut reader = options.reader_behind(source, envelope, index)?;
        reader.opener.operation = Operation::Survey;
        // The last entry is reached by all before it.
        match not_final(reader.locate(total.segments - 1))? {
            Some(_) => Ok(DamagedStream::Indexed(Box::new(reader))),
            None => {
                let SegmentOpener { source, envelope, .. } = reader.opener;
                DamagedStream::bare(options, source, envelope, position, Some(total))
            }
        }
    }

    fn bare(
        options: &OpenOptions<'_>,
        source: Arc<dyn ReadAt>,
        envelope: Envelope,
        position: u64,
        total: Option<Total>,
    ) -> Result<DamagedStream, Error> {
        if options.is_pinned() {
            let what = "the stream cannot be compared with the expected digest: its index is not whole";
            return Err(Error::damaged(what).advise("Look at it without the expected digest."));
        }
        let resources = options.resources;
        let plan = resources.plan(&envelope, &resources.budget(), None, Direction::Open)?;
        let (frames_per_run, cancel) = (plan.frames_per_run, resources.cancel.clone());
        let operation = Operation::Survey;
        let mut opener =
            Box::new(SegmentOpener { source, fetch: None, envelope, frames_per_run, cancel, operation });
        let mut window_len = 0;
        if let Some((fetch, len)) = memory::window_fetch(resources, &opener) {
            (opener.fetch, window_len) = (Some(fetch), len);
        }
        Ok(DamagedStream::Bare { opener, position, total, window_len })
    }

    fn opener(&self) -> &SegmentOpener {
        match self {
            DamagedStream::Indexed(reader) => &reader.opener,
            DamagedStream::Bare { opener, .. } => opener,
        }
    }

    fn total(&self) -> Option<Total> {
        match self {
            DamagedStream::Indexed(reader) => {
                Some(Total { segments: reader.segments(), plaintext_len: reader.plaintext_len() })
            }
            DamagedStream::Bare { total, .. } => *total,
        }
    }

    fn salvage<S: StreamingSink>(
        &self,
        options: &OpenOptions<'_>,
        threads: usize,
        mut sink: S,
        lost: &mut dyn FnMut(&LostRange),
    ) -> Result<Surveyed, Error> {
        let handle = sink.positioned().ok_or_else(|| {
            Error::new(ErrorKind::Usage, "segments are salvaged into a sink that takes writes at offsets")
        })?;
        let (opener, cancel) = (self.opener(), &options.resources.cancel);
        let mut tell = |range: &LostRange| {
            lost(range);
            write_zeros(&*handle, range, cancel)
        };
        let mut tally = Tally::new(&mut tell, self);
        self.walk(options, threads, &mut tally, &|index, located| {
            let len = located.entry.plaintext_len as usize;
            let mut plaintext = crate::memory::zeroed("a segment's plaintext", len)?;
            let judged = opener.open_into(index, located, &mut plaintext);
            // Not before all of it is known to be whole.
            let begun = Instant::now();
            if judged.is_ok() {
                handle.write_all_at(located.entry.plaintext_offset, &plaintext).map_err(unwritten)?;
                Operation::Survey.count(Stage::Write, len, begun);
            }
            Ok(judged)
        })?;
        let Tally { surveyed, first_fault, next_byte, .. } = tally;
        if surveyed.segments == 0 {
            sink.discard().map_err(unwritten)?;
            let nothing = || Error::damaged("no segment of the stream is whole");
            return Err(first_fault.unwrap_or_else(nothing));
        }
        sink.commit_segment(&Checkpoint::from_bytes([0; Checkpoint::LEN])).map_err(Error::publish)?;
        sink.publish(next_byte).map_err(Error::publish)?;
        Ok(surveyed)
    }

    /// What is lost of a source that changed meanwhile may be there.
    fn check_changed(&self, lost_ranges: u64) -> Result<(), Error> {
        // What cannot be examined is not known to have changed.
        match lost_ranges > 0 && self.opener().source.changed().unwrap_or(false) {
            true => Err(Error::damaged("segments of it are lost, or were not there yet").of_changed_stream()),
            false => Ok(()),
        }
    }

    /// Has all segments judged, some at a time, and enters them in order.
    fn walk(
        &self,
        options: &OpenOptions<'_>,
        threads: usize,
        tally: &mut Tally<'_>,
        judge: &Judge<'_>,
    ) -> Result<(), Error> {
        let mut finder = Finder::new(self);
        let mut meter =
            Meter::new(options.resources.observer.clone(), self.total().map(|total| total.plaintext_len), 0);
        let mut found = finder.batch();
        loop {
            let batch = found?;
            if batch.is_empty() {
                tally.end(self.total())?;
                return self.check_changed(tally.surveyed.lost_ranges);
            }
            // What comes next is fetched while this is judged. By its looks it is found only by reading it.
            let ahead = matches!(finder, Finder::Indexed { .. }).then(|| finder.batch());
            let before = tally.surveyed.plaintext_len;
            for (judged, last) in judge_all(batch, threads, judge)? {
                match judged {
                    Ok(opened) => tally.enter(&opened, last)?,
                    Err(error) if ends_all(&error) => return Err(error),
                    Err(error) => tally.note(error),
                }
            }
            let Surveyed { segments, plaintext_len, .. } = tally.surveyed;
            let start = Committed::at_start(self.opener().envelope.chain);
            meter.committed(&Committed { segments, plaintext_len, ..start }, 0, 0);
            options.resources.take_of_rate(plaintext_len - before, options.resources.stop())?;
            found = ahead.unwrap_or_else(|| finder.batch());
        }
    }
}

/// The segments of a stream, one after another.
enum Finder<'a> {
    Indexed { reader: &'a SegmentReader, next: u64 },
    Bare(Scan<'a>),
}

impl<'a> Finder<'a> {
    fn new(stream: &'a DamagedStream) -> Finder<'a> {
        match stream {
            DamagedStream::Indexed(reader) => Finder::Indexed { reader, next: 0 },
            DamagedStream::Bare { opener, position, window_len, .. } => {
                Finder::Bare(Scan::new(opener, *position, *window_len))
            }
        }
    }

    /// The next of them, some; none at the end.
    fn batch(&mut self) -> Result<Vec<Found>, Error> {
        let mut batch = Vec::with_capacity(BATCH);
        if let Finder::Bare(scan) = self {
            scan.go_on();
        }
        while batch.len() < BATCH
            && (batch.is_empty() || self.has_room())
            && let Some(found) = self.next()?
        {
            batch.push(found);
        }
        Ok(batch)
    }

    fn has_room(&self) -> bool {
        match self {
            Finder::Indexed { .. } => true,
            Finder::Bare(scan) => scan.has_room(),
        }
    }

    fn next(&mut self) -> Result<Option<Found>, Error> {
        match self {
            Finder::Indexed { reader, next } if *next < reader.segments() => {
                let (index, located) = (*next, reader.locate(*next)?);
                reader.opener.announce(&located);
                *next += 1;
                Ok(Some(Found::Segment { index, located }))
            }
            Finder::Indexed { .. } => Ok(None),
            Finder::Bare(scan) => scan.next(),
        }
    }
}

/// How long the metadata record says that it is, if the first segment is where it ends.
fn metadata_len(source: &dyn ReadAt, envelope: &Envelope) -> Option<u64> {
    let head: [u8; METADATA_HEAD_LEN] = read_array(source, envelope.origin()).ok()?;
    let len = MetadataHead::parse(&head).ok()?.record_len() as u64;
    // Which may be what is damaged: then there is no segment.
    let header: [u8; SEGMENT_HEADER_LEN] = read_array(source, envelope.origin().saturating_add(len)).ok()?;
    SegmentHeader::parse(&header).ok().filter(|header| header.index.0 == 0).map(|_| len)
}

/// Writes zeros in place of what is lost.
fn write_zeros(handle: &dyn WriteAt, range: &LostRange, cancel: &CancelToken) -> Result<(), Error> {
    let zeros = [0; ZEROS_LEN];
    let begin = range.plaintext_offset;
    let end = begin + range.plaintext_len.unwrap_or(0);
    let mut at = begin;
    while at < end {
        if cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "interrupted"));
        }
        let len = (end - at).min(zeros.len() as u64) as usize;
        handle.write_all_at(at, &zeros[..len]).map_err(unwritten)?;
        at += len as u64;
    }
    Ok(())
}

fn unwritten(error: io::Error) -> Error {
    Error::io("the output could not be written", error)
}

/// Whether an error is more than the loss of what was looked at.
fn ends_all(error: &Error) -> bool {
    use ErrorKind::{Cancelled, DigestMismatch, Exhausted, NotSigned, SourceChanged, Usage};
    // What does not come from afar may well be whole.
    error.is_of_fetch()
        || matches!(error.kind(), Cancelled | DigestMismatch | Exhausted | NotSigned | SourceChanged | Usage)
}

/// What was looked at, if it is there.
fn not_final<T>(done: Result<T, Error>) -> Result<Option<T>, Error> {
    match done {
        Err(error) if ends_all(&error) => Err(error),
        done => Ok(done.ok()),
    }
}

/// Segments that are found before they are judged.
const BATCH: usize = 64;
const ZEROS_LEN: usize = 64 << 10;
