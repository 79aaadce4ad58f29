//! Opening a stream: from a source of either kind into a sink, after what an earlier attempt left there.
//! It joins the parts and does none of their work.

use std::sync::Arc;

use contract::{Durability, StreamingSink};
use frame_worker::DigestKind;
use keys::Identities;
use local::NullSink;
use segment_worker::{Budget, CancelToken, Ending, Feed, ReleasePolicy, Settings};
use sources::{ReadAt, Source};

use crate::checkpoint::CheckpointMaker;
#[cfg(feature = "foreign")]
use crate::chunked::PeekedSource;
use crate::envelope::{Envelope, keyless_tags, pinned_tags};
use crate::feed::CancellableSource;
use crate::feed::paced::PacedFeed;
use crate::feed::seekable::SeekableFeed;
use crate::feed::sequential::{SequentialFeed, pass_envelope, read_envelope};
use crate::feed::window::Window;
use crate::index::{Index, Walk};
use crate::index_chain::check_entries;
use crate::pin::{ExpectedPin, PinCheck};
use crate::progress::Meter;
use crate::resources::{Direction, Resources, RunPlan, Workers};
use crate::resume::{AlreadyThere, Found, Resumed};
use crate::seekable_envelope::read_seekable_envelope;
use crate::skip_committed::SkipCommitted;
use crate::stream_metrics::{Operation, StreamMetrics};
use crate::telemetry::StreamOutcome;
use crate::tentative::{Opening, Retention, Tentative};
use crate::{
    Error, ErrorKind, Metadata, Observer, Reader, Restored, StreamDigest, StreamHead, StreamId, sequence,
};

/// What a stream is opened with, as its caller chose.
#[derive(Clone, Copy)]
pub struct OpenOptions<'a> {
    /// Keys to try. With none, a stream can only be verified as consistent, whoever made it.
    pub identities: Option<&'a Identities>,
    /// When plaintext leaves for the sink.
    pub release: ReleasePolicy,
    /// When committed segments are made durable.
    pub durability: Durability,
    /// The digest that the stream has to have.
    pub expected: Option<StreamDigest>,
    /// What judges the stream's pin, beside that: each has to accept it.
    pub pin_checks: &'a [Arc<dyn PinCheck>],
    /// The lowest sequence number that the stream may have; without one, none is asked for.
    pub min_sequence: Option<u64>,
    /// What becomes of a stream of another format.
    pub foreign: Foreign,
    /// Threads and memory.
    pub resources: &'a Resources,
}

/// Makes a [`Reader`] of the stream that is being opened, whose index has been checked as far as that is done before there is a sink. None where
/// the source has no offsets.
pub type ReadPlaintext<'a> = &'a dyn Fn() -> Result<Option<Reader>, Error>;

/// What becomes of a stream of another format.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum Foreign {
    /// It is refused: it is no stream of ours.
    #[default]
    Refuse,
    /// It is opened, if it is of a format that is known.
    #[cfg(feature = "foreign")]
    Open,
    /// The same, and also if nothing proves that it is whole: it is then published, and the result is an error that says so.
    #[cfg(feature = "foreign")]
    AcceptUnproven,
}

impl<'a> OpenOptions<'a> {
    /// For streams whose envelope somebody else has opened.
    pub(crate) fn without_keys(resources: &'a Resources) -> OpenOptions<'a> {
        OpenOptions {
            identities: None,
            release: ReleasePolicy::AtOnce,
            durability: Durability::default(),
            expected: None,
            pin_checks: &[],
            min_sequence: None,
            foreign: Foreign::Refuse,
            resources,
        }
    }

    /// Checks all of `source`, and writes nothing. With a key every tag, MAC and digest is checked; without, every
    /// digest and the structure.
    ///
    /// # Errors
    /// A key copy that would only be a warning to a restore is an error here. It is reported at the end, when
    /// everything else has been checked, and takes precedence over any fault after it on the wire.
    pub fn verify(&self, source: impl Source) -> Result<Restored, Error> {
        if self.min_sequence.is_some() && self.identities.is_none() {
            return Err(sequence::keyless());
        }
        let mut warnings = Vec::new();
        let verified = self.open_with(source, |envelope, _| {
            warnings.clone_from(&envelope.warnings);
            Ok(Opening::plain(NullSink::new(), envelope).into())
        });
        let verified = verified.map_err(|error| error.behind(&warnings).first_of_verification())?;
        match verified.warnings.iter().find(|warning| warning.is_damage()) {
            Some(warning) => {
                let head = StreamHead { stream_id: verified.stream_id, metadata: verified.metadata };
                Err(Error::new(ErrorKind::Damaged, warning.to_string())
                    .of_stream(self.identities.map(|_| head))
                    .advise("All data is intact and can be restored."))
            }
            None => Ok(verified),
        }
    }

    /// Reads and authenticates what stands before the segments, and gives the caller's pairs.
    ///
    /// # Errors
    /// As of a stream that is opened, for the records before its first segment.
    pub fn metadata(&self, source: impl Source) -> Result<Metadata, Error> {
        self.resources.check()?;
        let place = source.positioned();
        self.read_metadata(source, place.clone()).map_err(|error| of_place(error, place))
    }

    fn read_metadata(&self, source: impl Source, place: Option<Arc<dyn ReadAt>>) -> Result<Metadata, Error> {
        if let Some(positioned) = place {
            self.resources.check_cancelled()?;
            let envelope = read_seekable_envelope(&*positioned, self.identities, self.resources)?;
            if let Some(envelope) = envelope {
                self.announce(&envelope)?;
                return Ok(envelope.metadata);
            }
            // It ends too early: what comes in order says where.
        }
        let mut window = Window::new(CancellableSource::new(source, &self.resources.cancel));
        let envelope = read_envelope(&mut window, self.identities, self.resources)?;
        self.announce(&envelope)?;
        Ok(envelope.metadata)
    }

    /// Opens `source` into the sink that `make_sink` makes once the stream is known, and its length, if it is.
    pub fn open_with<S: StreamingSink>(
        &self,
        source: impl Source,
        make_sink: impl FnOnce(&Envelope, Option<u64>) -> Result<Tentative<S>, Error>,
    ) -> Result<Restored, Error> {
        self.open_read(source, |envelope, len, _| make_sink(envelope, len))
    }

    /// As [`open_with`](Self::open_with), where the sink may depend on what is in the stream: `make_sink` is given how to read it at any place, too.
    /// That gives none where the source has no offsets.
    pub fn open_read<S: StreamingSink>(
        &self,
        source: impl Source,
        make_sink: impl FnOnce(&Envelope, Option<u64>, ReadPlaintext<'_>) -> Result<Tentative<S>, Error>,
    ) -> Result<Restored, Error> {
        self.resources.check()?;
        let (place, mut head) = (source.positioned(), None);
        #[cfg(feature = "foreign")]
        let source = match self.foreign {
            Foreign::Refuse => PeekedSource::unread(source),
            Foreign::Open | Foreign::AcceptUnproven => {
                let (source, detected) = PeekedSource::peek(source, self.resources)?;
                match detected {
                    Some(detected) => {
                        let opened = self.open_foreign(source, detected, |envelope, len| {
                            make_sink(envelope, len, &|| Ok(None))
                        });
                        return opened.map_err(|error| of_place(error, place));
                    }
                    None => source,
                }
            }
        };
        let opened = self.open_from(source, place.clone(), make_sink, &mut head);
        opened.map_err(|error| of_place(error.of_stream(head), place))
    }

    /// `head` is what has been opened of the stream before its segments, however it ends.
    fn open_from<S: StreamingSink>(
        &self,
        source: impl Source,
        place: Option<Arc<dyn ReadAt>>,
        make_sink: impl FnOnce(&Envelope, Option<u64>, ReadPlaintext<'_>) -> Result<Tentative<S>, Error>,
        head: &mut Option<StreamHead>,
    ) -> Result<Restored, Error> {
        let identities = self.identities;
        let mut known = None;
        // With a pin the index says which stream it is. A source that has lost it shows nothing of what may be another one's.
        let lacks_index = self.is_pinned() && place.is_some();
        if let Some(positioned) = place {
            self.resources.check_cancelled()?;
            let envelope = read_seekable_envelope(&*positioned, identities, self.resources)?.map(Arc::new);
            *head = envelope.as_deref().and_then(StreamHead::of);
            self.resources.check_cancelled()?;
            let index = match &envelope {
                Some(envelope) => {
                    Index::read(&*positioned, envelope).map_err(|error| error.behind(&envelope.warnings))?
                }
                None => None,
            };
            if let (Some(envelope), Some(index)) = (&envelope, index) {
                self.announce(envelope)?;
                let len = index.footer.plaintext_len;
                let walk = Walk::new(positioned, envelope, index);
                if self.is_pinned() {
                    // Before there is a sink: another stream than the pinned one touches nothing.
                    check_entries(
                        &walk,
                        self.expected(envelope),
                        &self.resources.budget_from(&*walk.source),
                        &self.resources.cancel,
                    )?;
                }
                let read = || self.reader_of(&walk.source, envelope, &walk.index).map(Some);
                let tentative = make_sink(envelope, Some(len), &read)?;
                return match tentative {
                    Tentative::Open(opening) => self.open_placed(walk, opening),
                    Tentative::Boxed(opening) => self.open_placed(walk, opening),
                    Tentative::CompareSink(compare_sink) => {
                        compare_sink.judge(envelope, |opening| self.open_placed(walk, opening))
                    }
                };
            }
            known = envelope;
        }
        let mut window = Window::new(CancellableSource::new(source, &self.resources.cancel));
        let envelope = match known {
            // Opened once is enough: it may have taken a passphrase, or a touch on a token.
            Some(envelope) => {
                pass_envelope(&mut window, &envelope, self.resources)?;
                envelope
            }
            None => Arc::new(read_envelope(&mut window, identities, self.resources)?),
        };
        *head = StreamHead::of(&envelope);
        self.announce(&envelope)?;
        if lacks_index {
            return self.refuse_without_index(window, &envelope);
        }
        match make_sink(&envelope, None, &|| Ok(None))? {
            Tentative::Open(opening) => self.open_sequential(window, &envelope, opening),
            Tentative::Boxed(opening) => self.open_sequential(window, &envelope, opening),
            Tentative::CompareSink(compare_sink) => {
                compare_sink.judge(&envelope, |opening| self.open_sequential(window, &envelope, opening))
            }
        }
    }

    /// Says what is wrong with a source that has offsets and no index (FORMAT F13.11): a pass over all of it, which writes nothing.
    fn refuse_without_index(
        &self,
        window: Window<impl Source>,
        envelope: &Envelope,
    ) -> Result<Restored, Error> {
        self.open_sequential(window, envelope, Opening::plain(NullSink::new(), envelope))?;
        Err(Error::new(
            ErrorKind::SourceChanged,
            "the index was not there when the stream was opened, and now it is",
        ))
    }

    pub(crate) fn open_placed<S: StreamingSink>(
        &self,
        mut walk: Walk<'_>,
        Opening { mut sink, marks, keeps, seeding }: Opening<S>,
    ) -> Result<Restored, Error> {
        let envelope = walk.envelope;
        let total = Some(walk.index.footer.plaintext_len);
        let budget = self.resources.budget_from(&*walk.source);
        let plan = self.resources.plan_along(&walk, &budget, total)?;
        let workers = self.resources.workers_for(plan, envelope.shape(), total)?;
        let resources = self.resources;
        let context = RunContext { envelope, plan, workers: &workers, budget: &budget, resources };
        let found = Found::find(&mut sink, &marks)?;
        let resumed = found.resume_placed(&mut sink, seeding, &mut walk, &context)?;
        let Resumed { already, proved } = resumed;
        let chain = already.start.chain;
        let feed = SeekableFeed::new(walk, chain, proved, &plan, &budget, self.expected(envelope));
        self.run(feed, sink, &context, RunOptions { already, total, marks, keeps })
    }

    fn open_sequential<S: StreamingSink>(
        &self,
        window: Window<impl Source>,
        envelope: &Envelope,
        Opening { mut sink, marks, keeps, .. }: Opening<S>,
    ) -> Result<Restored, Error> {
        let budget = self.resources.budget();
        let plan = self.resources.plan(envelope, &budget, None, Direction::Open)?;
        let workers = self.resources.workers_for(plan, envelope.shape(), None)?;
        let resources = self.resources;
        let context = RunContext { envelope, plan, workers: &workers, budget: &budget, resources };
        let until = Found::find(&mut sink, &marks)?.resume_sequential(&mut sink)?;
        let feed = SequentialFeed::new(window, envelope, plan.frames_per_run, self.expected(envelope));
        let already = AlreadyThere::nothing(envelope);
        self.run(
            feed,
            SkipCommitted::new(sink, until),
            &context,
            RunOptions { already, total: None, marks, keeps },
        )
    }

    pub(crate) fn run<S: StreamingSink>(
        &self,
        feed: impl Feed<Error = Error>,
        sink: S,
        context: &RunContext<'_>,
        course: RunOptions,
    ) -> Result<Restored, Error> {
        let RunOptions { already, total, marks, keeps } = course;
        let (start, observer) = (already.start, &self.resources.observer);
        let reused = already.kept.bytes + already.seeded.bytes;
        let mut meter = Meter::new(observer.clone(), total, reused);
        let metrics = StreamMetrics::new(Operation::Open, context.id(), context.budget, &start, reused);
        let run_len = context.plan.demand.run_len;
        let mut feed = PacedFeed::new(feed, self.resources, context.budget, run_len, &metrics);
        let mut reached = start.plaintext_len;
        let settings = Settings {
            executor: context.workers.executor(),
            budget: context.budget,
            release: self.release,
            durability: self.durability,
            cancel: context.cancel(),
            demand: context.plan.demand,
            shape: context.envelope.shape(),
            stages: metrics.stages(),
            checkpoint: &|committed| marks.make(committed),
            observe: &mut |committed| {
                reached = committed.plaintext_len;
                meter.committed(committed, committed.durable_len, metrics.passed());
                metrics.committed(committed);
            },
        };
        let opened = segment_worker::open(&mut feed, sink, start, settings);
        match metrics.ended_as(opened, |opened| match opened.ending {
            Ending::Proved => StreamOutcome::Complete,
            Ending::Asserted => StreamOutcome::Asserted,
        }) {
            Ok(opened) => Ok(Restored::new(&opened, context.envelope, &already)),
            Err(error) => {
                let error = Error::opening(error);
                let keeps = keeps == Retention::Progress && error.kind() != ErrorKind::DurabilityUnknown;
                Err(error.keeping((keeps && reached > 0).then_some(reached)))
            }
        }
    }

    /// What is demanded of the pin of the stream with this `envelope`.
    pub(crate) fn expected(&self, envelope: &Envelope) -> ExpectedPin<'a> {
        ExpectedPin::new(envelope.preamble.digest, self.expected, self.pin_checks)
    }

    /// Whether anything is demanded of the stream's pin.
    pub(crate) fn is_pinned(&self) -> bool {
        self.expected.is_some() || !self.pin_checks.is_empty()
    }

    /// Before the first segment: refuses what cannot be done, and reports what is wrong.
    pub(crate) fn announce(&self, envelope: &Envelope) -> Result<(), Error> {
        if envelope.preamble.digest == DigestKind::Tags {
            if self.is_pinned() {
                return Err(pinned_tags());
            }
            if envelope.schedule.is_none() {
                return Err(keyless_tags());
            }
        }
        if let Some(min) = self.min_sequence {
            if envelope.schedule.is_none() {
                return Err(sequence::keyless());
            }
            sequence::check(&envelope.metadata, min)?;
        }
        if let Some(observer) = &self.resources.observer {
            envelope.warnings.iter().for_each(|warning| observer.warning(warning));
        }
        Ok(())
    }
}

/// A fault of a source at `place`, which may have changed while it was read.
pub(crate) fn of_place(error: Error, place: Option<Arc<dyn ReadAt>>) -> Error {
    // What cannot be examined is not known to have changed.
    let changed = place.is_some_and(|place| place.changed().unwrap_or(false));
    if changed { error.of_changed_stream() } else { error }
}

/// What a stream is opened with.
pub(crate) struct RunContext<'a> {
    pub(crate) envelope: &'a Envelope,
    pub(crate) plan: RunPlan,
    pub(crate) workers: &'a Workers,
    pub(crate) budget: &'a Budget,
    pub(crate) resources: &'a Resources,
}

impl RunContext<'_> {
    pub(crate) fn cancel(&self) -> &CancelToken {
        &self.resources.cancel
    }

    pub(crate) fn observer(&self) -> Option<&dyn Observer> {
        self.resources.observer.as_deref()
    }
}

impl RunContext<'_> {
    pub(crate) fn id(&self) -> StreamId {
        self.envelope.preamble.stream_id
    }
}

/// From where to where a stream is opened, and how its progress is kept.
pub(crate) struct RunOptions {
    pub(crate) already: AlreadyThere,
    pub(crate) total: Option<u64>,
    pub(crate) marks: CheckpointMaker,
    pub(crate) keeps: Retention,
}
