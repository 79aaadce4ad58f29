//! The frames of a stream that lies still: opened by need, several in one read, and kept while there is room.
//! It knows offsets in the plaintext, and no position of any caller's.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use cofferdam_io::ReadAt;
use framing::limits::FRAME_OVERHEAD;
use segment_worker::{Buffer, StreamError};

use super::cache::{Cache, LoadGuard};
use super::fetch::ReaderFetch;
use super::pages::Page;
use super::segment::SegmentFrames;
use crate::envelope::Envelope;
use crate::index::Index;
use crate::open::of_place;
use crate::reader_memory::ReaderMemory;
use crate::resources::{RunPlan, Workers};
use crate::stop::{Stop, StoppableSource};
use crate::{Error, Resources};

/// All that the readers of one stream share.
pub(super) struct Frames {
    pub(super) source: Arc<dyn ReadAt>,
    pub(super) envelope: Arc<Envelope>,
    pub(super) index: Arc<Index>,
    pub(super) resources: Resources,
    pub(super) plan: RunPlan,
    /// Plaintext bytes of the longest frame.
    pub(super) frame_len: usize,
    /// What a read that opens frames takes at least, in bytes: so that no more of them do that at once than may.
    pub(super) lent_min: usize,
    pub(super) memory: ReaderMemory,
    /// Pages and segments, which every read looks at: frames do not push them out.
    pub(super) around: Cache<Key, Held>,
    pub(super) opened: Cache<Key, Held>,
    /// Of a far source.
    pub(super) fetch: Option<Arc<ReaderFetch>>,
    /// Made when a caller first reads on. Without threads nothing is read ahead.
    pub(super) workers: OnceLock<Option<Workers>>,
    /// Jobs that read ahead, queued or under way.
    pub(super) jobs: Arc<AtomicUsize>,
}

/// What is kept, and under which key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Key {
    Page(u32),
    Segment(u64),
    Frame(u64, u32),
}

#[derive(Clone)]
pub(super) enum Held {
    Page(Arc<Page>),
    Segment(Arc<SegmentFrames>),
    Frame(Arc<OpenFrame>),
}

/// The plaintext of one frame, authentic: the first `len` bytes of a buffer.
pub(super) struct OpenFrame {
    buffer: Buffer,
    len: usize,
}

impl Frames {
    /// Plaintext bytes of the stream.
    pub(super) fn len(&self) -> u64 {
        self.index.footer.plaintext_len
    }

    /// Fills `out` with the plaintext from `offset` on, which is all there, and says how many bytes came before a fault, or `stop`.
    pub(super) fn read(&self, offset: u64, out: &mut [u8], stop: Stop<'_>) -> (usize, Result<(), Error>) {
        let mut done = 0;
        while done < out.len() {
            match self.read_some(offset + done as u64, &mut out[done..], stop) {
                Ok(count) => done += count,
                Err(error) => return (done, Err(self.of_source(error))),
            }
        }
        (done, Ok(()))
    }

    /// A fault, of a source that may have changed.
    pub(super) fn of_source(&self, error: Error) -> Error {
        of_place(error, Some(self.source.clone()))
    }

    /// Some bytes of `out`, at least one: those of frames of one segment, of one run at most where they are to be opened.
    fn read_some(&self, offset: u64, out: &mut [u8], stop: Stop<'_>) -> Result<usize, Error> {
        stop.check()?;
        let segment = self.segment_at(offset, stop)?;
        let frame = segment.frame_at(offset);
        let last = segment.frame_at((offset + out.len() as u64).min(segment.plaintext().end) - 1);
        let mut part = Part { offset, out, done: 0 };
        let end = (last + 1).min(frame + self.plan.frames_per_run);
        loop {
            if let Some(Held::Frame(open)) = self.opened.get(Key::Frame(segment.index(), frame)) {
                part.take(segment.plaintext_of(frame).start, &open);
                return Ok(part.done);
            }
            // First, since it may take long, and holds nothing.
            let expected = sealed_len(&segment, frame..end);
            self.resources.take_of_rate(expected, stop)?;
            let lent = self.memory.lend(self.read_len(&(frame..end)), stop)?;
            if let Some(guard) = self.begin_load(&segment, frame..end) {
                let frames = frame..frame + guard.count() as u32;
                self.resources.settle_rate(expected, sealed_len(&segment, frames.clone()));
                let take = |start, open: &OpenFrame| part.take(start, open);
                let opened = self.open_frames(&segment, frames, &guard, stop, take);
                return if part.done > 0 { Ok(part.done) } else { opened.map(|()| part.done) };
            }
            drop(lent);
            self.resources.settle_rate(expected, 0);
            self.wait(&self.opened, Key::Frame(segment.index(), frame), stop);
            stop.check()?;
        }
    }

    /// As [`Frames::read`], of what is kept alone. Waits for nothing.
    pub(super) fn read_cached(&self, offset: u64, out: &mut [u8]) -> usize {
        let mut part = Part { offset, out, done: 0 };
        while part.done < part.out.len() {
            let at = offset + part.done as u64;
            let Some(segment) = self.kept_segment_at(at) else { break };
            let frame = segment.frame_at(at);
            let Some(Held::Frame(open)) = self.opened.get(Key::Frame(segment.index(), frame)) else { break };
            part.take(segment.plaintext_of(frame).start, &open);
        }
        part.done
    }

    /// The segment that holds the byte at `offset`.
    pub(super) fn segment_at(&self, offset: u64, stop: Stop<'_>) -> Result<Arc<SegmentFrames>, Error> {
        let (index, entry) = self.locate(offset, stop)?;
        let shape = self.envelope.shape();
        let len = SegmentFrames::len_of(shape, entry.frame_count);
        let held = self.get_or_load(Key::Segment(index), len, stop, || {
            let source = self.source_until(stop);
            let segment = SegmentFrames::read(&self.envelope, &source, index, entry.clone())?;
            Ok(Held::Segment(Arc::new(segment)))
        })?;
        match held {
            Held::Segment(segment) => Ok(segment),
            Held::Page(_) | Held::Frame(_) => unreachable!("a segment is kept under its own key"),
        }
    }

    /// Whether segment `index` is kept.
    pub(super) fn has_segment(&self, index: u64) -> bool {
        self.around.get(Key::Segment(index)).is_some()
    }

    /// The segment that holds the byte at `offset`, if it and its page are kept.
    fn kept_segment_at(&self, offset: u64) -> Option<Arc<SegmentFrames>> {
        let kept = |number| match self.around.get(Key::Page(number)) {
            Some(Held::Page(page)) => Ok(page),
            _ => Err(()),
        };
        let page = self.page_at(offset, kept).ok()??;
        match self.around.get(Key::Segment(page.segment_at(offset).0))? {
            Held::Segment(segment) => Some(segment),
            Held::Page(_) | Held::Frame(_) => unreachable!("a segment is kept under its own key"),
        }
    }

    /// Index page `number`.
    pub(super) fn page(&self, number: u32, stop: Stop<'_>) -> Result<Arc<Page>, Error> {
        let len = Page::len_of(self.index.entries_of_page(number));
        let held = self.get_or_load(Key::Page(number), len, stop, || {
            Ok(Held::Page(Arc::new(Page::read(self, number, stop)?)))
        })?;
        match held {
            Held::Page(page) => Ok(page),
            Held::Segment(_) | Held::Frame(_) => unreachable!("a page is kept under its own key"),
        }
    }

    /// The value of `key`, which `load` reads where it is not kept: one thread at a time. It takes `len` bytes, and twice as many
    /// while it is loaded.
    fn get_or_load(
        &self,
        key: Key,
        len: usize,
        stop: Stop<'_>,
        load: impl Fn() -> Result<Held, Error>,
    ) -> Result<Held, Error> {
        loop {
            if let Some(held) = self.around.get(key) {
                return Ok(held);
            }
            let lent = self.memory.lend(LOADING_FACTOR * len, stop)?;
            if let Some(guard) = self.around.begin_load([key]) {
                let held = load()?;
                guard.keep(key, held.clone(), len);
                return Ok(held);
            }
            drop(lent);
            self.wait(&self.around, key, stop);
            stop.check()?;
        }
    }

    /// The first of `frames` that are neither kept nor being opened.
    pub(super) fn begin_load(
        &self,
        segment: &SegmentFrames,
        frames: Range<u32>,
    ) -> Option<LoadGuard<'_, Key, Held>> {
        self.opened.begin_load(frames.map(|frame| Key::Frame(segment.index(), frame)))
    }

    /// Reads `frames` of `segment`, which `guard` is for, in one go, opens each, keeps those that are authentic and gives them
    /// to `each`, with where they begin, up to the first that is not.
    ///
    /// # Errors
    /// The first fault; the frames behind it have been opened nevertheless.
    pub(super) fn open_frames(
        &self,
        segment: &SegmentFrames,
        frames: Range<u32>,
        guard: &LoadGuard<'_, Key, Held>,
        stop: Stop<'_>,
        mut each: impl FnMut(u64, &OpenFrame),
    ) -> Result<(), Error> {
        let at = segment.wire_of(frames.clone());
        let mut wire = self.take(self.wire_len(&frames))?;
        let wire = &mut wire[..(at.end - at.start) as usize];
        segment.read_frames(&self.source_until(stop), frames.clone(), wire)?;
        let mut outcome = Ok(());
        for frame in frames {
            let place = segment.wire_of(frame..frame + 1);
            let sealed = &wire[(place.start - at.start) as usize..(place.end - at.start) as usize];
            match self.open_frame(segment, frame, sealed) {
                Ok(open) => {
                    if outcome.is_ok() {
                        each(segment.plaintext_of(frame).start, &open);
                    }
                    let key = Key::Frame(segment.index(), frame);
                    guard.keep(key, Held::Frame(Arc::new(open)), self.frame_len);
                }
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }

    fn open_frame(&self, segment: &SegmentFrames, frame: u32, sealed: &[u8]) -> Result<OpenFrame, Error> {
        let plaintext = segment.plaintext_of(frame);
        let len = (plaintext.end - plaintext.start) as usize;
        let mut buffer = self.take(self.frame_len)?;
        segment.open_frame(frame, sealed, &mut buffer[..len])?;
        Ok(OpenFrame { buffer, len })
    }

    /// Opens and keeps those of `frames` that come before one that another has, as far as memory for it is free. What is wrong with
    /// them, whoever needs them finds out.
    pub(super) fn open_ahead(&self, segment: &SegmentFrames, frames: Range<u32>) {
        for frame in frames.clone() {
            let rest = frame..frames.end;
            let Some(_lent) = self.memory.try_lend(self.read_len(&rest)) else { return };
            if let Some(guard) = self.begin_load(segment, rest) {
                let guarded = frame..frame + guard.count() as u32;
                if !self.resources.try_take_of_rate(sealed_len(segment, guarded.clone())) {
                    return;
                }
                let _ = self.open_frames(segment, guarded, &guard, self.resources.stop(), |_, _| {});
                return;
            }
        }
    }

    /// Waits until nobody is loading `key` into `cache`, and does jobs meanwhile that no thread has begun, where this thread may.
    fn wait(&self, cache: &Cache<Key, Held>, key: Key, stop: Stop<'_>) {
        let helps = match self.workers.get() {
            Some(Some(Workers::PoolAndCaller(pool))) => pool.try_run_one(),
            _ => false,
        };
        if !helps {
            cache.wait(key, || stop.is_asked());
        }
    }

    /// The source, for one read.
    pub(super) fn source_until<'a>(&'a self, stop: Stop<'a>) -> StoppableSource<'a> {
        StoppableSource { source: &*self.source, stop }
    }

    /// What reading and opening `frames` takes: a buffer for all of them, and one for each.
    pub(super) fn read_len(&self, frames: &Range<u32>) -> usize {
        (self.wire_len(frames) + frames.len() * self.frame_len).max(self.lent_min)
    }

    /// Bytes of the buffer that `frames` are read into: of one frame, or of a run.
    fn wire_len(&self, frames: &Range<u32>) -> usize {
        if frames.len() == 1 { self.frame_len + FRAME_OVERHEAD } else { self.plan.demand.run_len }
    }

    /// Plaintext bytes of a run.
    pub(super) fn run_plaintext_len(&self) -> usize {
        self.plan.frames_per_run as usize * self.frame_len
    }

    fn take(&self, len: usize) -> Result<Buffer, Error> {
        let taken = self.memory.buffers(len).take();
        taken.map_err(|error| Error::opening(StreamError::NoMemory(error)))
    }
}

/// Bytes of the sealed stream that `frames` take.
pub(super) fn sealed_len(segment: &SegmentFrames, frames: Range<u32>) -> u64 {
    let place = segment.wire_of(frames);
    place.end - place.start
}

/// The part of a caller's read that is being filled.
struct Part<'a> {
    offset: u64,
    out: &'a mut [u8],
    done: usize,
}

impl Part<'_> {
    /// Takes what it needs next of a frame whose plaintext begins at `start`.
    fn take(&mut self, start: u64, open: &OpenFrame) {
        let at = self.offset + self.done as u64;
        let plaintext = &open.buffer[..open.len];
        let from = &plaintext[(at - start) as usize..];
        let count = from.len().min(self.out.len() - self.done);
        self.out[self.done..self.done + count].copy_from_slice(&from[..count]);
        self.done += count;
    }
}

/// A job that reads ahead. Dropped, it counts no more.
pub(super) struct Job(Arc<AtomicUsize>);

impl Job {
    /// One more than there are, if that is `max` at most.
    pub(super) fn begin(jobs: &Arc<AtomicUsize>, max: usize) -> Option<Job> {
        // Relaxed, here and in drop: a count alone, which orders nothing else.
        let more = jobs
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < max).then_some(count + 1));
        more.is_ok().then(|| Job(jobs.clone()))
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // Partner: `begin`.
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// While a page or a TABLE is loaded, its bytes are there as well as what is made of them.
pub(super) const LOADING_FACTOR: usize = 2;
