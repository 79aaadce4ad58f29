//! One segment of a stream that lies still, opened or verified by itself: any of them, in any order, from any thread.
//! It knows no sink and no pool. It says that bytes are authentic and at their place, not that the stream is whole.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use cofferdam_io::ReadAt;
use contract::Checkpoint;
use frame_worker::{ChainValue, FrameWorker, SegmentIndex};
use framing::IndexEntry;
use framing::limits::PAGE_ENTRIES_MAX;
use segment_worker::{
    CancelToken, Edges, Input, OpenedRun, Run, RunContents, SegmentFault, Sequencer, StreamError,
};
use sources::Source;

use crate::envelope::Envelope;
use crate::feed::seekable::check_closing;
use crate::feed::segment_runs::SegmentRuns;
use crate::index::{Index, PageStart, Walk};
use crate::index_chain::{chain_after, check_entries};
use crate::open::{OpenOptions, of_place};
use crate::resources::Direction;
use crate::seekable_envelope::read_seekable_envelope;
use crate::{Error, ErrorKind, memory};

/// The segments of a stream that can be read at offsets, each by itself.
///
/// Opening one takes one read per run: its header and its closing frames come with the frames next to them. Memory for
/// one run is taken meanwhile, beside the budget. Kept are the directory (40 bytes per page), where each page that was walked
/// begins, and the index page that was asked for last: threads that ask for segments of two pages in turn read both again.
///
/// What it opens is authentic, and is what the index says of this segment: at its place, whole, and after the segments
/// that the index names before it. Without a key the last of these is not known, and anybody may have made the stream.
/// Nothing is said of other segments; a stream is complete when it has been opened or verified as a whole.
pub struct SegmentReader {
    source: Arc<dyn ReadAt>,
    envelope: Envelope,
    index: Arc<Index>,
    frames_per_run: u32,
    cancel: CancelToken,
    pages: Mutex<Pages>,
}

/// A segment that has been opened or verified.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct OpenedSegment {
    /// Its number, from 0.
    pub index: u64,
    /// Where its plaintext begins in the stream's, in bytes.
    pub plaintext_offset: u64,
    /// Plaintext bytes.
    pub plaintext_len: u64,
    /// The chain value before it, as its TERMINATOR says; compared with the index where there is a key.
    pub chain_before: ChainValue,
    /// The chain value after it.
    pub chain_after: ChainValue,
}

/// How far the index has been walked.
struct Pages {
    /// For each page that can be read next: where its first segment begins, and the chain before it.
    starts: Vec<(PageStart, ChainValue)>,
    /// The page that was asked for last.
    latest: Option<Arc<Page>>,
}

/// The segments of one index page.
struct Page {
    number: u64,
    segments: Vec<Located>,
}

/// What the index says of a segment.
#[derive(Clone)]
struct Located {
    entry: IndexEntry,
    last: bool,
    /// The chain before it. Without a key it is not known.
    chain: Option<ChainValue>,
}

impl OpenOptions<'_> {
    /// Reads what stands before and after the segments of `source`, to open them one at a time. If a digest is
    /// expected, the chain over all entries of the index is compared with it.
    ///
    /// # Errors
    /// As of a stream that is opened, for these records; [`ErrorKind::Usage`] if the source cannot be read at offsets,
    /// and [`ErrorKind::Damaged`] if it does not end with a footer: reading it from the front says what it is then.
    pub fn segment_reader(&self, source: impl Source) -> Result<SegmentReader, Error> {
        self.resources.check()?;
        let place = source.positioned().ok_or_else(|| {
            Error::new(
                ErrorKind::Usage,
                "segments can be opened by themselves only where the source has offsets",
            )
        })?;
        self.read_around_segments(place.clone()).map_err(|error| of_place(error, Some(place)))
    }

    fn read_around_segments(&self, source: Arc<dyn ReadAt>) -> Result<SegmentReader, Error> {
        let resources = self.resources;
        resources.check_cancelled()?;
        let without_end =
            |what| Error::damaged(what).advise("Verify it: that says whether its end is missing.");
        let envelope = read_seekable_envelope(&*source, self.identities, resources)?
            .ok_or_else(|| without_end("the sealed stream ends before its first segment"))?;
        let index = Index::read(&*source, &envelope).map_err(|error| error.behind(&envelope.warnings))?;
        let index = index.ok_or_else(|| without_end("the sealed stream does not end with a footer"))?;
        self.announce(&envelope)?;
        let len = Some(index.footer.plaintext_len);
        let plan = resources.plan(&envelope, &resources.budget(), len, Direction::Open)?;
        let walk = Walk::new(source.clone(), &envelope, index);
        if self.expected.is_some() && envelope.schedule.is_none() {
            let what = "without a key, segments by themselves cannot be compared with a pinned digest";
            return Err(
                Error::new(ErrorKind::Usage, what).advise("Verify the whole stream: that compares it.")
            );
        }
        if self.expected.is_some() {
            check_entries(&walk, self.expected(), &resources.cancel)?;
        }
        let pages = Pages { starts: vec![(walk.page_start(), envelope.chain)], latest: None };
        Ok(SegmentReader {
            index: walk.index.clone(),
            source,
            frames_per_run: plan.frames_per_run,
            cancel: resources.cancel.clone(),
            pages: Mutex::new(pages),
            envelope,
        })
    }
}

impl SegmentReader {
    /// Segments of the stream.
    pub fn segments(&self) -> u64 {
        self.index.footer.segments
    }

    /// Plaintext bytes of the stream.
    pub fn plaintext_len(&self) -> u64 {
        self.index.footer.plaintext_len
    }

    /// Which bytes of the stream's plaintext are segment `index`. The segment itself is not read.
    ///
    /// # Errors
    /// The index is damaged or cannot be read; [`ErrorKind::Usage`] if there is no such segment.
    pub fn range(&self, index: u64) -> Result<Range<u64>, Error> {
        self.of_source(self.locate(index).map(|located| {
            let entry = located.entry;
            entry.plaintext_offset..entry.plaintext_offset + u64::from(entry.plaintext_len)
        }))
    }

    /// Opens segment `index` into `plaintext`, which has to be as long as the segment's plaintext.
    ///
    /// # Errors
    /// What is wrong with the segment, with its number, and the frame or the position; as [`SegmentReader::range`];
    /// [`ErrorKind::NoKey`] without a key. `plaintext` then holds nothing of use.
    pub fn open_into(&self, index: u64, plaintext: &mut [u8]) -> Result<OpenedSegment, Error> {
        self.of_source(self.check_key().and_then(|()| self.locate(index)).and_then(|located| {
            if plaintext.len() != located.entry.plaintext_len as usize {
                let what = format!("segment {index} has {} bytes of plaintext", located.entry.plaintext_len);
                return Err(Error::new(ErrorKind::Usage, what));
            }
            let mut rest = plaintext;
            self.pass(index, &located, |run, worker, bytes| {
                let (out, after) = std::mem::take(&mut rest).split_at_mut(run.output_len);
                rest = after;
                open_run(index, run, worker, bytes, out)
            })
        }))
    }

    /// Opens segment `index` run by run: `each` gets the bytes of a run and their offset in the stream's plaintext, in
    /// order. They are authentic and at their place; that the segment is whole is known when this returns.
    ///
    /// # Errors
    /// As [`SegmentReader::open_into`], or that of `each`.
    pub fn open_each(
        &self,
        index: u64,
        mut each: impl FnMut(u64, &[u8]) -> Result<(), Error>,
    ) -> Result<OpenedSegment, Error> {
        self.of_source(self.check_key().and_then(|()| self.locate(index)).and_then(|located| {
            let mut out = memory::zeroed("a run of plaintext", self.run_plaintext_len(&located.entry))?;
            self.pass(index, &located, |run, worker, bytes| {
                let out = &mut out[..run.output_len];
                let contents = open_run(index, run, worker, bytes, out)?;
                if !out.is_empty() {
                    each(run.sink_offset, out)?;
                }
                Ok(contents)
            })
        }))
    }

    /// Verifies segment `index`, with a key or without.
    ///
    /// # Errors
    /// As [`SegmentReader::open_into`], but that no key is needed.
    pub fn verify(&self, index: u64) -> Result<OpenedSegment, Error> {
        if self.envelope.schedule.is_some() {
            return self.open_each(index, |_, _| Ok(()));
        }
        self.of_source(self.locate(index).and_then(|located| {
            self.pass(index, &located, |run, worker, bytes| open_run(index, run, worker, bytes, &mut []))
        }))
    }

    /// Reads the segment run by run, has `open` open each, and checks the whole against its closing frames, the index and
    /// the chain.
    fn pass(
        &self,
        index: u64,
        located: &Located,
        mut open: impl FnMut(&Run, &FrameWorker, &[u8]) -> Result<RunContents, Error>,
    ) -> Result<OpenedSegment, Error> {
        let Located { entry, last, chain } = located;
        let segment = SegmentIndex(index);
        let mut runs =
            SegmentRuns::new(&self.envelope, &*self.source, index, entry.clone(), self.frames_per_run)?;
        let (worker, digest) = self.envelope.segment(runs.header())?;
        let shape = self.envelope.shape();
        let wire_len = FrameWorker::run_wire_len(shape, self.run_plaintext_len(entry));
        let mut bytes = memory::zeroed("a run of a segment", wire_len + Edges::len_max(shape))?;
        let mut sequencer = Sequencer::<()>::new(segment, digest, shape.frame_len());
        let mut closing = None;
        while let Some(run) = runs.next(Input::Place(self.source.clone())) {
            self.check_cancelled()?;
            let bytes = &mut bytes[..run.read_len()];
            let offset = run.read_offset();
            self.source
                .read_exact_at(offset, bytes)
                .map_err(|source| Error::opening(StreamError::Read { segment, offset, source }))?;
            let contents = open(&run, &worker, bytes)?;
            closing = contents.closing;
            if !contents.frames.is_empty() {
                let run = OpenedRun { first: run.first, frames: contents.frames, output: () };
                let popped = sequencer.accept(run).and_then(|()| sequencer.pop());
                popped.map_err(|fault| refused(segment, fault))?;
            }
        }
        let closing = closing.expect("a segment's last run has read its closing frames");
        check_closing(&self.envelope, index, entry, *last, &closing)?;
        let chain_before = chain.unwrap_or(closing.fields.chain_before);
        // Nothing commits on this proof.
        let unused = || Checkpoint::from_bytes([0; Checkpoint::LEN]);
        sequencer.finish(&closing, chain_before, unused).map_err(|fault| refused(segment, fault))?;
        Ok(OpenedSegment {
            index,
            plaintext_offset: entry.plaintext_offset,
            plaintext_len: u64::from(entry.plaintext_len),
            chain_before,
            chain_after: closing.chain_after,
        })
    }

    /// What the index says of segment `index`.
    fn locate(&self, index: u64) -> Result<Located, Error> {
        if index >= self.segments() {
            let what = format!("there is no segment {index}: the stream has {}", self.segments());
            return Err(Error::new(ErrorKind::Usage, what));
        }
        let page = self.page(index / u64::from(PAGE_ENTRIES_MAX))?;
        Ok(page.segments[(index % u64::from(PAGE_ENTRIES_MAX)) as usize].clone())
    }

    /// Page `number`, after those before it where they have not been walked yet: the chain comes from there. Nothing is
    /// read under the lock, so two threads may walk the same page.
    fn page(&self, number: u64) -> Result<Arc<Page>, Error> {
        let (mut next, mut from) = {
            let pages = self.pages();
            if let Some(page) = pages.latest.as_ref().filter(|page| page.number == number) {
                return Ok(page.clone());
            }
            let next = number.min(pages.starts.len() as u64 - 1);
            (next, pages.starts[next as usize])
        };
        loop {
            let (page, after) = self.walk_page(next, from)?;
            let mut pages = self.pages();
            if pages.starts.len() as u64 == next + 1 {
                pages.starts.push(after);
            }
            if next == number {
                let page = Arc::new(page);
                pages.latest = Some(page.clone());
                return Ok(page);
            }
            (next, from) = (next + 1, after);
        }
    }

    fn walk_page(
        &self,
        number: u64,
        (start, mut chain): (PageStart, ChainValue),
    ) -> Result<(Page, (PageStart, ChainValue)), Error> {
        let mut walk = Walk::at_page(self.source.clone(), &self.envelope, self.index.clone(), start);
        let mut segments = Vec::new();
        let count = (self.segments() - walk.segments()).min(u64::from(PAGE_ENTRIES_MAX));
        memory::reserve("an index page", &mut segments, count as usize)?;
        for _ in 0..count {
            self.check_cancelled()?;
            let entry = walk.entry()?;
            let last = walk.is_at_last();
            let keyed = self.envelope.schedule.is_some();
            segments.push(Located { entry: entry.clone(), last, chain: keyed.then_some(chain) });
            if keyed {
                chain = chain_after(&walk, &entry, chain)?;
            }
            walk.pass(&entry)?;
        }
        if walk.is_at_end() {
            walk.check_end()?;
        }
        Ok((Page { number, segments }, (walk.page_start(), chain)))
    }

    /// Plaintext bytes of the longest run of the segment.
    fn run_plaintext_len(&self, entry: &IndexEntry) -> usize {
        let run = u64::from(self.frames_per_run) * u64::from(self.envelope.shape().frame_len());
        run.min(u64::from(entry.plaintext_len)) as usize
    }

    fn check_key(&self) -> Result<(), Error> {
        match &self.envelope.schedule {
            Some(_) => Ok(()),
            None => {
                Err(Error::new(ErrorKind::NoKey, "without a key a segment can be verified and not opened"))
            }
        }
    }

    fn check_cancelled(&self) -> Result<(), Error> {
        if self.cancel.is_cancelled() { Err(Error::new(ErrorKind::Cancelled, "interrupted")) } else { Ok(()) }
    }

    fn of_source<T>(&self, done: Result<T, Error>) -> Result<T, Error> {
        done.map_err(|error| of_place(error, Some(self.source.clone())))
    }

    fn pages(&self) -> std::sync::MutexGuard<'_, Pages> {
        // What it guards is whole at every step.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SegmentReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentReader")
            .field("segments", &self.segments())
            .field("plaintext_len", &self.plaintext_len())
            .finish_non_exhaustive()
    }
}

fn open_run(
    index: u64,
    run: &Run,
    worker: &FrameWorker,
    bytes: &[u8],
    out: &mut [u8],
) -> Result<RunContents, Error> {
    run.open(worker, bytes, out).map_err(|fault| Error::opening(fault.in_segment(SegmentIndex(index))))
}

fn refused(segment: SegmentIndex, fault: SegmentFault) -> Error {
    Error::opening(StreamError::Segment { segment, fault })
}
