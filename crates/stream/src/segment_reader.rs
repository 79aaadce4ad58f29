//! One segment of a stream that lies still, opened or verified by itself: any of them, in any order, from any thread.
//! It knows no sink and no pool. It says that bytes are authentic and at their place, not that the stream is whole.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use cofferdam_io::ReadAt;
use frame_worker::ChainValue;
use framing::limits::PAGE_ENTRIES_MAX;
use segment_worker::Lease;
use sources::Source;

use crate::envelope::Envelope;
use crate::far::FarSource;
use crate::feed::CancellableSource;
use crate::feed::sequential::read_envelope;
use crate::feed::window::Window;
use crate::fetch_memory::{FetchMemory, FetchNeeds};
use crate::index::{Index, PageStart, Walk};
use crate::index_chain::{chain_after, check_entries};
use crate::one_segment::{Located, OpenedSegment, SegmentOpener};
use crate::open::{OpenOptions, of_place};
use crate::reader_memory::{ReaderMemory, ReaderNeeds};
use crate::resources::{Direction, Resources};
use crate::seekable_envelope::read_seekable_envelope;
use crate::segment_fetch::SegmentFetch;
use crate::stream_metrics::Operation;
use crate::{Error, ErrorKind, Remedy, StreamHead, memory};

/// The segments of a stream that can be read at offsets, each by itself.
///
/// Opening one takes one read per run: its header and its closing frames come with the frames next to them. Memory for that,
/// for the directory (40 bytes per page) and for the four index pages that were asked for last is taken from the budget when
/// this is made, and held until it is dropped; where threads open more segments at once than that is enough for, they wait
/// for each other. Beside it where each page that was walked begins is kept, 56 bytes per page. What a caller does with a run
/// while it is being opened must not open another segment of the same reader.
///
/// What it opens is authentic, and is what the index says of this segment: at its place, whole, and after the segments
/// that the index names before it. Without a key the last of these is not known, and anybody may have made the stream.
/// Nothing is said of other segments; a stream is complete when it has been opened or verified as a whole.
///
/// Of a far source, one segment at a time is fetched ahead of its runs, in memory that the budget has for it beside; threads that open
/// others meanwhile make a request for each run.
pub struct SegmentReader {
    pub(crate) opener: SegmentOpener,
    index: Arc<Index>,
    /// The most bytes that opening a segment takes.
    read_len: usize,
    memory: ReaderMemory,
    resources: Resources,
    pages: Mutex<Pages>,
}

/// How far the index has been walked.
struct Pages {
    /// For each page that can be read next: where its first segment begins, and the chain before it.
    starts: Vec<(PageStart, ChainValue)>,
    /// The pages that were asked for last, the newest at the end.
    kept: VecDeque<Arc<Page>>,
}

/// The segments of one index page.
struct Page {
    number: u64,
    segments: Vec<Located>,
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
            .remedied(Remedy::GiveFile)
        })?;
        self.read_segments_of(source, place.clone()).map_err(|error| of_place(error, Some(place)))
    }

    fn read_segments_of(
        &self,
        in_order: impl Source,
        source: Arc<dyn ReadAt>,
    ) -> Result<SegmentReader, Error> {
        let (envelope, index) = self.read_around_segments(in_order, &source)?;
        self.reader_behind(source, envelope, index)
    }

    /// Of a stream whose envelope and index have been read.
    pub(crate) fn reader_behind(
        &self,
        source: Arc<dyn ReadAt>,
        envelope: Envelope,
        index: Index,
    ) -> Result<SegmentReader, Error> {
        let resources = &self.resources.of_reader(&*source);
        let len = Some(index.footer.plaintext_len);
        let plan = resources.plan(&envelope, &resources.budget(), len, Direction::Open)?;
        let walk = Walk::new(source.clone(), &envelope, index);
        if self.is_pinned() && envelope.schedule.is_none() {
            let what = "without a key, segments by themselves cannot be compared with a pinned digest";
            return Err(
                Error::new(ErrorKind::Usage, what).advise("Verify the whole stream: that compares it.")
            );
        }
        if self.is_pinned() {
            check_entries(
                &walk,
                self.expected(&envelope),
                &resources.budget_from(&*source),
                &resources.cancel,
            )?;
        }
        let page_len = walk.index.entries_of_page(0) as usize * size_of::<Located>();
        let pages_kept = (walk.index.footer.pages as usize).min(PAGES_KEPT);
        let mut needs = ReaderNeeds {
            fixed_len: walk.index.directory_len(),
            kept_len: [page_len * pages_kept; 2],
            // A run as it is read, and as it is opened.
            read_len: 2 * plan.with_edges(envelope.shape()).demand.run_len + plan.demand.fixed_len,
            reads: plan.threads,
        };
        let fetch =
            run_fetch(&source, resources, plan.with_edges(envelope.shape()).demand.run_len, &mut needs);
        let pages = Pages { starts: vec![(walk.page_start(), envelope.chain)], kept: VecDeque::new() };
        let index = walk.index.clone();
        let (frames_per_run, cancel) = (plan.frames_per_run, resources.cancel.clone());
        Ok(SegmentReader {
            opener: SegmentOpener {
                source,
                fetch,
                envelope,
                frames_per_run,
                cancel,
                operation: Operation::Read,
            },
            index,
            read_len: needs.read_len,
            memory: ReaderMemory::reserve(resources, needs)?,
            resources: resources.clone(),
            pages: Mutex::new(pages),
        })
    }

    /// What stands before and after the segments of `source`, which has to end with a footer. If it ends before the first of
    /// them, what the same source brings `in_order` says what it is.
    pub(crate) fn read_around_segments(
        &self,
        in_order: impl Source,
        source: &Arc<dyn ReadAt>,
    ) -> Result<(Envelope, Index), Error> {
        let resources = self.resources;
        resources.check_cancelled()?;
        let without_end =
            |what| Error::damaged(what).advise("Verify it: that says whether its end is missing.");
        let Some(envelope) = read_seekable_envelope(&**source, self.identities, resources)? else {
            let mut window = Window::new(CancellableSource::new(in_order, &resources.cancel));
            read_envelope(&mut window, self.identities, resources)?;
            return Err(without_end("the sealed stream ends before its first segment"));
        };
        let index = Index::read(&**source, &envelope).map_err(|error| error.behind(&envelope.warnings));
        let index = index.and_then(|index| {
            index.ok_or_else(|| without_end("the sealed stream does not end with a footer"))
        });
        let index = index.and_then(|index| self.announce(&envelope).map(|()| index));
        match index {
            Ok(index) => Ok((envelope, index)),
            Err(error) => Err(error.of_stream(StreamHead::of(&envelope))),
        }
    }
}

/// How runs of `run_len` bytes are fetched of `source`, if it is far, with the least memory for it among what the reader `needs`. Where the
/// budget has no room for that, each run is a request of its own.
fn run_fetch(
    source: &Arc<dyn ReadAt>,
    resources: &Resources,
    run_len: usize,
    needs: &mut ReaderNeeds,
) -> Option<SegmentFetch> {
    let far = FarSource::of(source)?;
    let least = far.fetch().min_memory(run_len);
    let beside = needs.fixed_len.saturating_add(needs.read_len.saturating_mul(needs.reads));
    let with_fetch = ReaderNeeds { fixed_len: needs.fixed_len.saturating_add(least), ..*needs };
    if with_fetch.least() > resources.budget().total() {
        return None;
    }
    *needs = with_fetch;
    let memory = FetchMemory::new(far.clone(), &resources.budget(), FetchNeeds { least, beside });
    Some(SegmentFetch::new(far, memory, None, &resources.cancel))
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
            let _lent = self.lend()?;
            self.opener.open_into(index, &located, plaintext)
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
        each: impl FnMut(u64, &[u8]) -> Result<(), Error>,
    ) -> Result<OpenedSegment, Error> {
        self.of_source(self.check_key().and_then(|()| self.locate(index)).and_then(|located| {
            let _lent = self.lend()?;
            self.opener.open_each(index, &located, each)
        }))
    }

    /// Verifies segment `index`, with a key or without.
    ///
    /// # Errors
    /// As [`SegmentReader::open_into`], but that no key is needed.
    pub fn verify(&self, index: u64) -> Result<OpenedSegment, Error> {
        self.of_source(self.locate(index).and_then(|located| {
            let _lent = self.lend()?;
            self.opener.verify(index, &located)
        }))
    }

    /// What the index says of segment `index`.
    pub(crate) fn locate(&self, index: u64) -> Result<Located, Error> {
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
            let mut pages = self.pages();
            if let Some(page) = pages.find(number) {
                return Ok(page);
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
            let page = Arc::new(page);
            pages.keep(page.clone());
            if next == number {
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
        let mut walk =
            Walk::at_page(self.opener.source.clone(), &self.opener.envelope, self.index.clone(), start);
        let mut segments = Vec::new();
        let count = (self.segments() - walk.segments()).min(u64::from(PAGE_ENTRIES_MAX));
        memory::reserve("an index page", &mut segments, count as usize)?;
        for _ in 0..count {
            self.opener.check_cancelled()?;
            let entry = walk.entry()?;
            let last = walk.is_at_last();
            let keyed = self.opener.envelope.schedule.is_some();
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

    fn check_key(&self) -> Result<(), Error> {
        match &self.opener.envelope.schedule {
            Some(_) => Ok(()),
            None => {
                Err(Error::new(ErrorKind::NoKey, "without a key a segment can be verified and not opened"))
            }
        }
    }

    /// Memory for opening one segment.
    fn lend(&self) -> Result<Lease, Error> {
        self.memory.lend(self.read_len, self.resources.stop())
    }

    fn of_source<T>(&self, done: Result<T, Error>) -> Result<T, Error> {
        done.map_err(|error| of_place(error, Some(self.opener.source.clone())))
    }

    fn pages(&self) -> std::sync::MutexGuard<'_, Pages> {
        // What it guards is whole at every step.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn find(&mut self, number: u64) -> Option<Arc<Page>> {
        let at = self.kept.iter().position(|page| page.number == number)?;
        let page = self.kept.remove(at)?;
        self.kept.push_back(page.clone());
        Some(page)
    }

    fn keep(&mut self, page: Arc<Page>) {
        // Two threads may have walked it.
        self.kept.retain(|kept| kept.number != page.number);
        if self.kept.len() == PAGES_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(page);
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

/// Index pages that are kept: of a stream in segments of 8 MiB, 128 GiB.
const PAGES_KEPT: usize = 4;
