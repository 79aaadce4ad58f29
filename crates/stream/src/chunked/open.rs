//! Opens a stream of another format into a sink: head, keys, then its chunks through the pipeline.
//! It joins the parts and does none of their work.

use std::sync::Arc;

use cofferdam_io::ReadAt;
use contract::StreamingSink;
use foreign::{Chunk, ChunkLens, Detected, Fault, Format, Layout, Opened, Wholeness};
use framing::DigestKind;
use segment_worker::Feed;
use sources::Source;

use super::armored::{ARMORED_MEMORY_LEN, Armored};
use super::head;
use super::in_order::ChunksInOrder;
use super::runs::{RunLimits, RunSegments};
use super::seekable::SeekableChunks;
use super::window::{ChunkWindow, window_memory_len};
use super::{Asserted, ForeignSummary, PeekedSource, Unproven, ending_of};
use crate::envelope::Envelope;
use crate::feed::CancellableSource;
use crate::open::{Foreign, OpenOptions, RunContext, RunOptions};
use crate::resources::Resources;
use crate::resume::{AlreadyThere, Found};
use crate::tentative::{Opening, Tentative};
use crate::{Error, ErrorKind, Metadata, Remedy, Restored, index, memory, sequence};

/// A stream whose head has been opened, and where its chunks come from.
struct Stream<S> {
    format: Format,
    longest: ChunkLens,
    claim: Wholeness,
    /// The same, as far as it shows before the chunks are read.
    early: Wholeness,
    /// Plaintext bytes, where that is known before.
    total: Option<u64>,
    chunks: ChunkSource<S>,
    /// Memory that is taken beside runs.
    fixed_len: usize,
}

enum ChunkSource<S> {
    Seekable { place: Arc<dyn ReadAt>, begin: u64, layout: Layout, opened: Opened },
    InOrder { window: ChunkWindow<S>, place: Option<Arc<dyn ReadAt>>, opened: Opened },
}

impl OpenOptions<'_> {
    /// Opens `source`, which detected like a stream of another format, into the sink that `make_sink` makes once it is known.
    pub(crate) fn open_foreign<S: StreamingSink>(
        &self,
        source: PeekedSource<impl Source>,
        detected: Detected,
        make_sink: impl FnOnce(&Envelope, Option<u64>) -> Result<Tentative<S>, Error>,
    ) -> Result<Restored, Error> {
        match detected {
            Detected::Binary(format) => {
                let place = source.positioned();
                self.open_chunks(format, source, place, 0, make_sink)
            }
            Detected::Armored => {
                let source = Armored::new(source);
                self.open_chunks(Format::Age, source, None, ARMORED_MEMORY_LEN, make_sink)
            }
        }
        .map_err(|error| error.without_segment().opening_all_again())
    }

    fn open_chunks<S: StreamingSink>(
        &self,
        format: Format,
        source: impl Source,
        place: Option<Arc<dyn ReadAt>>,
        fixed_len: usize,
        make_sink: impl FnOnce(&Envelope, Option<u64>) -> Result<Tentative<S>, Error>,
    ) -> Result<Restored, Error> {
        let (envelope, mut stream) = self.open_stream(format, source, place)?;
        stream.fixed_len += fixed_len;
        self.announce(&envelope)?;
        match make_sink(&envelope, stream.total)? {
            Tentative::Open(opening) => self.run_chunks(&envelope, stream, opening),
            Tentative::Boxed(opening) => self.run_chunks(&envelope, stream, opening),
            Tentative::CompareSink(compare_sink) => {
                compare_sink.judge(&envelope, |opening| self.run_chunks(&envelope, stream, opening))
            }
        }
    }

    /// Opens the head, and finds out how the chunks are read.
    fn open_stream<S: Source>(
        &self,
        format: Format,
        source: S,
        place: Option<Arc<dyn ReadAt>>,
    ) -> Result<(Envelope, Stream<CancellableSource<S>>), Error> {
        self.refuse_what_foreign_streams_lack(format)?;
        let identities = self.identities.ok_or_else(|| {
            let what = format!("{} can be verified with a key only", format.with_article());
            Error::new(ErrorKind::Usage, what).remedied(Remedy::GiveKey)
        })?;
        let resources = self.resources;
        let mut window = ChunkWindow::of_stream(CancellableSource::new(source, &resources.cancel));
        let opened = match &place {
            Some(place) => head::open_at(&**place, format, identities, resources)?,
            None => head::open_in_order(&mut window, format, identities, resources)?,
        };
        let layout = match &place {
            Some(place) => layout_at(&**place, &opened, resources)?,
            None => None,
        };
        // Before there is a sink, as far as it shows already.
        let early = early_claim(&opened, place.as_deref())?;
        ending_of(early, format, self.unproven())?;
        let envelope = Envelope::of_foreign(&opened.identity, &opened.secret, resources.backend);
        let (longest, claim, begin) = (opened.chunks.longest(), opened.claim, opened.head_len as u64);
        let total = layout.map(|layout| layout.plaintext_len());
        let (chunks, fixed_len) = match (place, layout) {
            // What comes from afar is fetched in order: no job waits for the network.
            (Some(place), Some(layout)) if place.fetch().is_none() => {
                (ChunkSource::Seekable { place, begin, layout, opened }, 0)
            }
            (place, _) => {
                if place.is_some() {
                    window.wait(opened.head_len, resources)?;
                    // It was there when it was read at its place.
                    if window.ahead().len() < opened.head_len {
                        let what = format!("{} ends within its header", format.with_article());
                        return Err(Error::foreign(Fault::truncated(what)));
                    }
                    window.pass(opened.head_len);
                }
                let len = window_memory_len(longest.wire + 1);
                (ChunkSource::InOrder { window, place, opened }, len)
            }
        };
        Ok((envelope, Stream { format, longest, claim, early, total, chunks, fixed_len }))
    }

    /// There is nothing in such a stream by which to tell it from another, or an older one.
    pub(crate) fn unproven(&self) -> Unproven {
        if self.foreign == Foreign::AcceptUnproven { Unproven::Accept } else { Unproven::Refuse }
    }

    pub(crate) fn refuse_what_foreign_streams_lack(&self, format: Format) -> Result<(), Error> {
        if let Some(min) = self.min_sequence {
            sequence::check(&Metadata::new(), min)?;
        }
        if !self.is_pinned() {
            return Ok(());
        }
        let what =
            format!("{} has no stream digest: it can be neither pinned nor signed", format.with_article());
        Err(Error::new(ErrorKind::Unsupported, what).advise(
            "Open it without an expected digest or signature, and compare the file itself by other means.",
        ))
    }

    fn run_chunks<T: Source, S: StreamingSink>(
        &self,
        envelope: &Envelope,
        stream: Stream<T>,
        opening: Opening<S>,
    ) -> Result<Restored, Error> {
        let Stream { format, longest, claim, early, total, chunks, fixed_len } = stream;
        let unproven = self.unproven().into_sink(opening.sink.capabilities());
        ending_of(early, format, unproven)?;
        let resources = self.resources;
        let budget = resources.budget();
        let plan = resources.plan_chunks(longest, &budget, total, fixed_len);
        let limits = RunLimits::new(&plan, longest);
        let is_one_run = total.is_some_and(|len| len <= limits.full_chunks() * longest.plaintext as u64);
        let workers = resources.workers(is_one_run)?;
        let context = RunContext { envelope, plan, workers: &workers, budget: &budget, resources };
        let (restored, claim) = match chunks {
            ChunkSource::Seekable { place, begin, layout, opened } => {
                let ending = ending_of(claim, format, unproven)?;
                let mut feed = SeekableChunks::new(place, begin, layout, opened.chunks, ending, limits);
                (self.run_feed(&mut feed, opening, &context, total)?, claim)
            }
            ChunkSource::InOrder { window, place, opened } => {
                let segments = RunSegments::new(opened.chunks);
                let cutter = opened.cutter;
                let mut feed = ChunksInOrder::new(window, place, cutter, format, unproven, segments, limits);
                let restored = self.run_feed(&mut feed, opening, &context, total)?;
                (restored, feed.claim())
            }
        };
        match claim {
            // There is no digest, so nobody can pin it or sign it.
            Wholeness::Proved => Ok(Restored {
                digest: DigestKind::Tags,
                foreign: Some(ForeignSummary { format, claim }),
                ..restored
            }),
            Wholeness::Asserted(missing) => Err(Error::asserted(Asserted {
                format,
                missing,
                stream_id: restored.stream_id,
                plaintext_len: restored.plaintext_len,
            })),
        }
    }

    /// Nothing of an earlier attempt is passed over: a sink that has bytes of one is told to begin anew over them.
    fn run_feed<S: StreamingSink>(
        &self,
        feed: impl Feed<Error = Error>,
        opening: Opening<S>,
        context: &RunContext<'_>,
        total: Option<u64>,
    ) -> Result<Restored, Error> {
        let Opening { mut sink, marks, keeps, seeding } = opening;
        if seeding.is_some() {
            let what = "a seed is of no use: nothing says which of its bytes are right but opening all of the stream";
            return Err(Error::new(ErrorKind::Usage, what).advise("Restore without a seed."));
        }
        Found::find(&mut sink, &marks)?.start_over(&mut sink)?;
        let already = AlreadyThere::nothing(context.envelope);
        self.run(feed, sink, context, RunOptions { already, total, marks, keeps })
    }
}

/// What can be said of a stream before its chunks are read: of one at `place` in a format that marks its end, by that.
fn early_claim(opened: &Opened, place: Option<&dyn ReadAt>) -> Result<Wholeness, Error> {
    let begin = opened.head_len as u64;
    let mark = place.and_then(|place| opened.chunks.mark(place.len().saturating_sub(begin)));
    let Some((place, mark)) = place.zip(mark) else { return Ok(opened.claim) };
    let at = begin + mark.offset;
    let mut bytes = vec![0; mark.len.min(place.len().saturating_sub(at) as usize)];
    index::read(place, at, &mut bytes)?;
    Ok(opened.chunks.claim_at(&bytes))
}

/// How the chunks behind the head lie at `place`, where that is arithmetic. The last of them is opened first: a stream that has been
/// cut is named at once.
pub(crate) fn layout_at(
    place: &dyn ReadAt,
    opened: &Opened,
    resources: &Resources,
) -> Result<Option<Layout>, Error> {
    let layout = opened.chunks.layout(place.len().saturating_sub(opened.head_len as u64));
    layout.map(|layout| checked(layout, place, opened, resources)).transpose()
}

/// The same, for reads of some of them.
pub(crate) fn layout_of_reads(
    place: &dyn ReadAt,
    opened: &Opened,
    resources: &Resources,
) -> Result<Layout, Error> {
    let layout = opened.chunks.layout_of_reads(place.len().saturating_sub(opened.head_len as u64));
    checked(layout.ok_or_else(|| no_ranges(opened.format))?, place, opened, resources)
}

fn no_ranges(format: Format) -> Error {
    let why = match format {
        Format::Agcm | Format::Ecie => "nothing in it binds a chunk to its place",
        Format::Rse1 => "how long its segments are only they themselves say",
        Format::Mrec => "its last chunk is not marked, so nothing proves how long it is",
        _ => "where its chunks lie is not known before they are read",
    };
    let what = format!("{} can be read in order only: {why}", format.with_article());
    Error::new(ErrorKind::Usage, what).advise("Open all of it.")
}

/// `layout`, whose last chunk has opened.
fn checked(
    layout: Result<Layout, Fault>,
    place: &dyn ReadAt,
    opened: &Opened,
    resources: &Resources,
) -> Result<Layout, Error> {
    let begin = opened.head_len as u64;
    let layout =
        layout.map_err(|fault| Error::foreign(Fault { at: fault.at.or(Some(place.len())), ..fault }))?;
    let last = layout.chunk(layout.chunks - 1);
    let at = begin + layout.wire_offset(last.index);
    resources.check_cancelled()?;
    let mut wire = memory::zeroed("the last chunk", last.lens.wire)?;
    index::read(place, at, &mut wire)?;
    let mut plaintext = memory::zeroed("the last chunk", last.lens.plaintext)?;
    match opened.chunks.open(&last, &wire, &mut plaintext) {
        // An end that is not marked proves no length.
        Ok(()) if opened.chunks.claim_at(&wire) != Wholeness::Proved => Err(no_ranges(opened.format)),
        Ok(()) => Ok(layout),
        Err(_) => Err(Error::foreign(ends_wrong(opened, &last, &wire, &mut plaintext).at(at))),
    }
}

/// Why the last chunk is not one.
fn ends_wrong(opened: &Opened, last: &Chunk, wire: &[u8], plaintext: &mut [u8]) -> Fault {
    let inner = Chunk { last: false, ..*last };
    let what = opened.format.with_article();
    let is_inner =
        last.lens == opened.chunks.longest() && opened.chunks.open(&inner, wire, plaintext).is_ok();
    let fault = match is_inner {
        true => {
            Fault::truncated(format!("this is not the end of {what}: chunks are missing behind its last one"))
        }
        false => Fault::damaged(format!(
            "the end of {what} fails authentication: it has been cut short, or added to, or changed there"
        )),
    };
    fault.in_chunk(last.index)
}
