//! A stream's plaintext at any place: the frames that a read needs are opened, and nothing else.
//! It knows no sink. It says that bytes are authentic and at their place, not that the stream is whole.

mod cache;
mod fetch;
mod frames;
mod pages;
mod prefetch;
mod segment;
mod warm;

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use cofferdam_io::ReadAt;
use sources::Source;

use self::cache::Cache;
use self::fetch::ReaderFetch;
use self::frames::{Frames, LOADING_FACTOR};
use self::pages::Page;
use self::prefetch::Prefetch;
use self::segment::SegmentFrames;
use crate::envelope::Envelope;
use crate::far::FarSource;
use crate::index::{Index, Walk};
use crate::index_chain::check_entries;
use crate::open::{OpenOptions, of_place};
use crate::reader_memory::{ReaderMemory, ReaderNeeds};
use crate::resources::{Direction, Resources, RunPlan};
use crate::stop::Stop;
use crate::telemetry::count_read_failure;
use crate::{ContentKind, Error, ErrorKind, Metadata, Remedy, StreamHead, StreamId};

/// The plaintext of a sealed stream, read at any place: [`read_at`](Reader::read_at) from any number of threads, or by [`Read`] and
/// [`Seek`] from a position.
///
/// A read opens the frames that it needs, adjacent ones with one read of the source, and keeps them for the next; an index
/// page is read when it is first needed, and of each segment its header, and its TABLE if it is compressed. All of that is
/// kept within a share of the memory budget, at most half of one that was given, of a far source's, or of a tree's, beside which there is
/// a catalog; it is taken when the reader is made and held until the last of its clones is dropped. What was used longest ago is dropped first. Two threads that want the same
/// frame open it once.
///
/// Who reads on from where the last [`Read::read`] ended has the frames ahead opened on the pool meanwhile. [`Clone`] makes
/// another position over the same stream. Where the source is far, the frames ahead are fetched instead, as many as were read in a
/// row: for one position at a time, in an eighth of the budget. Any other read is a request that its caller waits for.
///
/// # What a read proves
///
/// These bytes were sealed by someone with the stream key, for this stream and this place, and they are of the stream that
/// its footer ends (FORMAT F13.10). **Not** that the rest of the segment or of the stream is there and unchanged: only a
/// stream that is opened or verified as a whole is known to be complete. With an expected digest the index was compared with
/// it before anything was used; whoever has the key can still have put other frames into a segment whose frames are read one
/// at a time (FORMAT F13.17).
///
/// A frame that is damaged fails the reads that need it, and no others. Nothing is remembered of a failure: the next read of the
/// same bytes asks the source again.
#[derive(Clone)]
pub struct Reader {
    /// Before the frames: what it has fetched is in memory that those have reserved.
    prefetch: Prefetch,
    frames: Arc<Frames>,
    position: u64,
}

impl OpenOptions<'_> {
    /// Reads what stands before and after the segments of `source`, to read its plaintext at any place. If a digest is
    /// expected, the chain over all entries of the index is compared with it.
    ///
    /// # Errors
    /// As of a stream that is opened, for these records; [`ErrorKind::Usage`] if the source cannot be read at offsets;
    /// [`ErrorKind::NoKey`] without a key; [`ErrorKind::Damaged`] if it does not end with a footer: reading it from the front says
    /// what it is then; [`ErrorKind::Limit`] if a frame does not fit into the memory budget.
    pub fn reader(&self, source: impl Source) -> Result<Reader, Error> {
        self.resources.check()?;
        let place = source.positioned().ok_or_else(|| {
            Error::new(
                ErrorKind::Usage,
                "a stream can be read at any place only where the source has offsets",
            )
            .remedied(Remedy::GiveFile)
        })?;
        self.read_frames_of(source, place.clone()).map_err(|error| of_place(error, Some(place)))
    }

    fn read_frames_of(&self, in_order: impl Source, source: Arc<dyn ReadAt>) -> Result<Reader, Error> {
        let resources = &self.resources.of_reader(&*source);
        let (envelope, index) = self.read_around_segments(in_order, &source)?;
        if envelope.schedule.is_none() {
            return Err(Error::new(ErrorKind::NoKey, "without a key a stream can be verified and not read"));
        }
        let walk = Walk::new(source.clone(), &envelope, index);
        if self.is_pinned() {
            check_entries(
                &walk,
                self.expected(&envelope),
                &resources.budget_from(&*source),
                &resources.cancel,
            )
            .map_err(|error| error.of_stream(StreamHead::of(&envelope)))?;
        }
        let index = walk.index;
        frames_of(source, Arc::new(envelope), index, resources)
    }

    /// Reads at any place in the stream that `envelope` and `index` stand around, which have been checked.
    pub(crate) fn reader_of(
        &self,
        source: &Arc<dyn ReadAt>,
        envelope: &Arc<Envelope>,
        index: &Arc<Index>,
    ) -> Result<Reader, Error> {
        let resources = &self.resources.of_reader(&**source);
        frames_of(source.clone(), envelope.clone(), index.clone(), resources)
    }
}

fn frames_of(
    source: Arc<dyn ReadAt>,
    envelope: Arc<Envelope>,
    index: Arc<Index>,
    resources: &Resources,
) -> Result<Reader, Error> {
    // Beside a reader of a tree there is its catalog, which takes of the rest.
    let is_tree = matches!(ContentKind::of_metadata(&envelope.metadata), Ok(Some(ContentKind::Tree)));
    let resources = &if is_tree { resources.on_one_budget(&*source) } else { resources.clone() };
    let len = index.footer.plaintext_len;
    let plan = resources.plan(&envelope, &resources.budget(), Some(len), Direction::Open)?;
    let shape = envelope.shape();
    let frame_len = (shape.frame_len() as usize).min(in_memory(len));
    let mut needs = needs(&envelope, &index, plan, frame_len);
    let far = FarSource::of(&source);
    let fetch_len = far.as_ref().map_or(0, |far| {
        far.fetch().min_memory(plan.demand.run_len).max(resources.budget().total() / FETCH_PART)
    });
    needs.fixed_len = needs.fixed_len.saturating_add(fetch_len);
    let memory = ReaderMemory::reserve(resources, needs)?;
    let around_len = around_len(&envelope, &index, needs.kept_len[0], memory.kept_len());
    let frames = Frames {
        // No more threads decompress at once than have been reckoned with.
        lent_min: if shape.is_compressed() { memory.lent_len() / (plan.threads + 1) } else { 0 },
        around: Cache::new(around_len),
        opened: Cache::new(memory.kept_len() - around_len),
        resources: resources.clone(),
        fetch: far.map(|far| ReaderFetch::new(far, fetch_len)),
        workers: OnceLock::new(),
        jobs: Arc::default(),
        source,
        envelope,
        index,
        plan,
        frame_len,
        memory,
    };
    Ok(Reader { frames: Arc::new(frames), position: 0, prefetch: Prefetch::default() })
}

/// What a reader wants of the budget: room for all of the stream, if it could have it.
fn needs(envelope: &Envelope, index: &Index, plan: RunPlan, frame_len: usize) -> ReaderNeeds {
    let (shape, footer) = (envelope.shape(), &index.footer);
    let page_len = Page::len_of(index.entries_of_page(0));
    let frames = shape.frame_count(footer.plaintext_len.min(shape.segment_len()));
    let segment_len = SegmentFrames::len_of(shape, frames);
    let each = (segment_len + frame_len) as u64;
    let all = footer.segments.saturating_mul(each).saturating_add(footer.plaintext_len);
    let pages_len = page_len.saturating_mul(footer.pages as usize);
    ReaderNeeds {
        fixed_len: index.directory_len() + plan.demand.fixed_len,
        kept_len: [page_len + segment_len, in_memory(all).saturating_add(pages_len)],
        read_len: (plan.demand.run_len + plan.frames_per_run as usize * frame_len)
            .max(LOADING_FACTOR * page_len.max(segment_len)),
        reads: plan.threads + 1,
    }
}

/// Bytes for pages and segments: of `kept_len`, an eighth, but `least` at least, and no more than all of them have.
fn around_len(envelope: &Envelope, index: &Index, least: usize, kept_len: usize) -> usize {
    let (shape, footer) = (envelope.shape(), &index.footer);
    let segment_len = SegmentFrames::len_of(shape, shape.frame_count(shape.segment_len()));
    let pages_len = Page::len_of(index.entries_of_page(0)).saturating_mul(footer.pages as usize);
    let all = in_memory(footer.segments.saturating_mul(segment_len as u64)).saturating_add(pages_len);
    all.min(kept_len / 8).max(least)
}

/// Of the budget, the part for what is fetched ahead.
const FETCH_PART: usize = 8;

/// More than the address space is as much as there is.
fn in_memory(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

impl Reader {
    /// Plaintext bytes of the stream, as its footer says.
    pub fn len(&self) -> u64 {
        self.frames.len()
    }

    /// Whether the stream has no plaintext.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Segments of the stream, as its footer says.
    pub fn segments(&self) -> u64 {
        self.frames.index.footer.segments
    }

    /// Plaintext bytes of each frame but the last of a segment: what is read of the source at once, and kept.
    pub fn frame_len(&self) -> u32 {
        self.frames.envelope.shape().frame_len()
    }

    /// Names the stream.
    pub fn stream_id(&self) -> StreamId {
        self.frames.envelope.preamble.stream_id
    }

    /// The pairs that whoever sealed the stream gave it, sorted by key.
    pub fn metadata(&self) -> &Metadata {
        &self.frames.envelope.metadata
    }

    /// Fills `buffer` with the plaintext from `offset` on, and says how many bytes it is: all of `buffer`, but at the stream's end.
    ///
    /// # Errors
    /// What is wrong with a frame, a segment or a page that these bytes need, with its place, or the source's own;
    /// [`ErrorKind::SourceChanged`] if the source is known to be no longer what it was. `buffer` then holds nothing of use.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        self.read_until(offset, buffer, self.frames.resources.stop())
    }

    fn read_until(&self, offset: u64, buffer: &mut [u8], stop: Stop<'_>) -> Result<usize, Error> {
        let count = self.count_from(offset, buffer.len());
        let (_, outcome) = self.frames.read(offset, &mut buffer[..count], stop);
        outcome.map(|()| count).inspect_err(|error| count_read_failure(error.kind()))
    }

    /// How many of `count` bytes from `offset` on there are.
    fn count_from(&self, offset: u64, count: usize) -> usize {
        count.min(in_memory(self.len().saturating_sub(offset)))
    }

    /// Has the frames of `ranges` fetched, opened and kept before they are read, in this order: adjacent ones together, and from afar several
    /// at once. It ends when all are there, or as many as there is room for in the reader's share of the budget. A read, of another
    /// thread, that needs a frame which is on its way waits for that.
    ///
    /// From afar, one range at a time is fetched while a position reads sequentially, since that has what is fetched ahead.
    ///
    /// # Errors
    /// As [`Reader::read_at`], of the first segment or frame found that is damaged or unavailable. The others are there nevertheless, unless it is
    /// cancelled, nothing comes for too long, or there are 16 of those: then the rest is left to whoever reads it.
    /// [`ErrorKind::Usage`] if a range does not lie within the stream.
    pub fn prefetch(&self, ranges: &[Range<u64>]) -> Result<(), Error> {
        ranges.iter().try_for_each(|range| self.check_range(range))?;
        self.frames.warm(ranges).map_err(|error| self.frames.of_source(error))
    }

    /// Which bytes of the sealed stream hold the frames of the plaintext's `range`, from the first of them to the last: it is the smallest
    /// such range, and an empty one for an empty one. What a read needs beside them is the header of each segment, and its TABLE.
    ///
    /// # Errors
    /// As [`Reader::read_at`], of the index and those headers; [`ErrorKind::Usage`] if `range` does not lie within the stream.
    pub fn ciphertext_range(&self, range: Range<u64>) -> Result<Range<u64>, Error> {
        self.check_range(&range)?;
        if range.is_empty() {
            return Ok(0..0);
        }
        let wire_of = |offset| -> Result<Range<u64>, Error> {
            let segment = self
                .frames
                .segment_at(offset, self.frames.resources.stop())
                .map_err(|error| self.frames.of_source(error))?;
            let frame = segment.frame_at(offset);
            Ok(segment.wire_of(frame..frame + 1))
        };
        Ok(wire_of(range.start)?.start..wire_of(range.end - 1)?.end)
    }

    fn check_range(&self, range: &Range<u64>) -> Result<(), Error> {
        if range.start <= range.end && range.end <= self.len() {
            return Ok(());
        }
        let what = format!(
            "the range from {} to {} is not within the stream's {} bytes",
            range.start,
            range.end,
            self.len()
        );
        Err(Error::new(ErrorKind::Usage, what))
    }
}

/// Reads up to one run of frames at a time. An error of [`Reader::read_at`] is the inner one of [`io::Error::other`]; bytes
/// before it have been given by then.
impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.len().saturating_sub(self.position);
        let count = buffer.len().min(in_memory(left)).min(self.frames.run_plaintext_len());
        if count == 0 {
            return Ok(0);
        }
        let count = self.prefetch.read_from(&self.frames, self.position, count);
        let count = count.map_err(|error| io::Error::other(self.frames.of_source(error)))?;
        let stop = self.frames.resources.stop();
        let (done, outcome) = self.frames.read(self.position, &mut buffer[..count], stop);
        self.position += done as u64;
        self.prefetch.read_until(self.position);
        match outcome {
            Err(error) if done == 0 => {
                count_read_failure(error.kind());
                Err(io::Error::other(error))
            }
            _ => Ok(done),
        }
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.len().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        let before = || io::Error::new(io::ErrorKind::InvalidInput, "a position before the beginning");
        self.position = position.ok_or_else(before)?;
        Ok(self.position)
    }
}

impl ReadAt for Reader {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at_unless(offset, buffer, &|| false)
    }

    fn read_exact_at_unless(
        &self,
        offset: u64,
        buffer: &mut [u8],
        is_given_up: &(dyn Fn() -> bool + Sync),
    ) -> io::Result<()> {
        let stop = self.frames.resources.stop().or(is_given_up);
        match self.read_until(offset, buffer, stop).map_err(io::Error::other)? {
            count if count == buffer.len() => Ok(()),
            _ => {
                let what = format!(
                    "{} bytes at {offset} go beyond the stream's {}",
                    buffer.len(),
                    self.frames.len()
                );
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, what))
            }
        }
    }

    fn read_cached_at(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let count = self.count_from(offset, buffer.len());
        self.frames.read_cached(offset, &mut buffer[..count])
    }

    fn len(&self) -> u64 {
        self.frames.len()
    }

    fn changed(&self) -> io::Result<bool> {
        self.frames.source.changed()
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("len", &self.frames.len())
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
