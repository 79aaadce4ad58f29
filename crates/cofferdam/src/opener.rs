//! Opening: restore and verify, with every choice a caller may make.
//! It puts the parts together; what they do is theirs.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use frame_worker::{Backend, ChainValue, DigestKind};
use keys::Identities;
use segment_worker::{Budget, CancelToken, Feed, ReleasePolicy, Settings};
use sinks::{Durability, IfExists, NullSink, OnPartial, StageOptions, StreamingSink, TargetError};
use sources::{ReadAt, Source};

use crate::checkpoint::CheckpointMaker;
use crate::envelope::{Envelope, keyless_tags, pinned_tags};
use crate::feed::CancellableSource;
use crate::feed::seekable::SeekableFeed;
use crate::feed::sequential::{SequentialFeed, pass_envelope, read_envelope};
use crate::feed::window::Window;
use crate::files::{Target, open_source, refuse_same_file};
use crate::index::{Index, Walk};
use crate::index_chain::check_entries;
use crate::progress::Meter;
use crate::resources::{Resources, RunPlan, Workers};
use crate::resume::{Found, Resumed, SkipCommitted};
use crate::seekable_envelope::read_seekable_envelope;
use crate::tentative::{OfSource, Opening, Retention, Tentative, restore_into, tell_kept};
use crate::{Attributes, Error, ErrorKind, Observer, Restored, StreamDigest};

/// Opens sealed streams.
///
/// ```
/// use cofferdam::{BytesSource, Identities, MemorySink, Opener, Recipients, Sealer, WrappingKey};
///
/// let key = [7; 32]; // in earnest: WrappingKey::generate()
/// let (sink, sealed) = MemorySink::new();
/// let recipients = Recipients::new().wrapping_key(WrappingKey::from_bytes(key));
/// Sealer::new(recipients).metadata("host", "db1").seal(BytesSource::new(*b"a snapshot"), sink)?;
///
/// let opener = Opener::new(Identities::new().wrapping_key(WrappingKey::from_bytes(key)));
/// let (sink, plaintext) = MemorySink::new();
/// let restored = opener.open(BytesSource::new(sealed.take().unwrap()), sink)?;
/// assert_eq!(plaintext.take().as_deref(), Some(&b"a snapshot"[..]));
/// assert_eq!(restored.metadata, [(b"host".to_vec(), b"db1".to_vec())]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Opener {
    identities: Option<Identities>,
    release: ReleasePolicy,
    durability: Durability,
    if_exists: IfExists,
    on_partial: OnPartial,
    attributes: Attributes,
    expected: Option<StreamDigest>,
    resources: Resources,
}

impl Opener {
    /// Opens with any of `identities`.
    pub fn new(identities: Identities) -> Opener {
        Opener::with(Some(identities))
    }

    /// Opens nothing: for [`Opener::verify`], which then finds a stream *consistent* and says nothing of who made it.
    pub fn keyless() -> Opener {
        Opener::with(None)
    }

    /// For streams whose envelope somebody else has opened.
    pub(crate) fn of(resources: Resources) -> Opener {
        Opener { resources, ..Opener::keyless() }
    }

    fn with(identities: Option<Identities>) -> Opener {
        Opener {
            identities,
            release: ReleasePolicy::AtOnce,
            durability: Durability::default(),
            if_exists: IfExists::Refuse,
            on_partial: OnPartial::Resume,
            attributes: Attributes::default(),
            expected: None,
            resources: Resources::default(),
        }
    }

    /// When plaintext leaves for the sink. Default: at once for sinks that keep tentative bytes to themselves. Others
    /// get a segment after its digest, always.
    #[must_use]
    pub fn release(mut self, release: ReleasePolicy) -> Opener {
        self.release = release;
        self
    }

    /// When committed segments are made durable, where the sink offers that. Default: in groups of 256 MiB or 5 seconds.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Opener {
        self.durability = durability;
        self
    }

    /// What [`Opener::restore_file`] does with a target that exists. Default: refuse.
    #[must_use]
    pub fn if_exists(mut self, if_exists: IfExists) -> Opener {
        self.if_exists = if_exists;
        self
    }

    /// What [`Opener::restore_file`] does with what an interrupted call left beside the target. Default: go on from it.
    #[must_use]
    pub fn on_partial(mut self, on_partial: OnPartial) -> Opener {
        self.on_partial = on_partial;
        self
    }

    /// Whether a target of [`Opener::restore_file`] that is new gets the mode and time of the file that was sealed, where
    /// the stream keeps them. Default: it does.
    #[must_use]
    pub fn attributes(mut self, attributes: Attributes) -> Opener {
        self.attributes = attributes;
        self
    }

    /// Refuses a stream with another digest. With a pin from a trusted place this detects an older stream too, and one that
    /// somebody else who has the key has made.
    ///
    /// With a key, from a source that can be read at offsets, that is found out before a sink is made or written. From a pipe
    /// it is found out at the end; what a sink has shown by then (a pipe, a database's rows) has been shown.
    ///
    /// A stream with [`DigestKind::Tags`] is refused as [`ErrorKind::Unsupported`]: its digest fixes nothing for those
    /// who have the key (FORMAT F11.4).
    #[must_use]
    pub fn expect_digest(mut self, digest: StreamDigest) -> Opener {
        self.expected = Some(digest);
        self
    }

    /// Opens all of `source` into `sink` and publishes it. A sink that has kept progress of this stream goes on from it.
    ///
    /// # Errors
    /// The sink has been dropped unpublished, unless the kind is [`crate::ErrorKind::DurabilityUnknown`].
    pub fn open(&self, source: impl Source, sink: impl StreamingSink) -> Result<Restored, Error> {
        self.require_identities()?;
        self.open_with(source, |envelope, _| Ok(Opening::plain(sink, envelope).into()))
    }

    /// As [`Opener::open`], into a sink that is made once the envelope is open: `make_sink` gets the plaintext's length in
    /// bytes, or `None` where the source does not tell it (a pipe). A `MappedFile` needs it, a staged file uses it.
    ///
    /// # Errors
    /// As [`Opener::open`]; what `make_sink` refuses.
    pub fn open_sized<S: StreamingSink>(
        &self,
        source: impl Source,
        make_sink: impl FnOnce(Option<u64>) -> Result<S, TargetError>,
    ) -> Result<Restored, Error> {
        self.require_identities()?;
        self.open_with(source, |envelope, len| {
            Ok(Opening::plain(make_sink(len).map_err(Error::target)?, envelope).into())
        })
    }

    /// Opens the sealed file at `sealed` (a FIFO or a device too) into a file at `target`, all or nothing. A target that
    /// is a FIFO gets each segment as it is verified.
    ///
    /// What an interrupted call has written is kept beside the target. The same call goes on from there, once that has
    /// proved right: it is sealed again in memory and compared with the stream's index, and the index with its digest.
    ///
    /// # Errors
    /// As [`Opener::open`]. A target that cannot be written is refused before the first byte. [`Error::resumable_bytes`] says
    /// what is kept for the next call.
    pub fn restore_file(&self, sealed: &Path, target: &Path) -> Result<Restored, Error> {
        refuse_same_file(sealed, target)?;
        let target = Target::resolve(target, self.if_exists, &self.resources.cancel)?;
        self.open_into(|| open_source(sealed), target)
    }

    /// As [`Opener::restore_file`], from any source.
    ///
    /// # Errors
    /// As [`Opener::restore_file`].
    pub fn restore_to(&self, source: impl Source, target: &Path) -> Result<Restored, Error> {
        let target = Target::resolve(target, self.if_exists, &self.resources.cancel)?;
        self.open_into(|| Ok(source), target)
    }

    fn open_into<S: Source>(
        &self,
        source: impl FnOnce() -> Result<S, Error>,
        target: Target<'_>,
    ) -> Result<Restored, Error> {
        self.require_identities()?;
        match target {
            Target::Fifo(sink) => self.open(source()?, sink),
            Target::Staged { path, if_exists } => {
                let restored = source().and_then(|source| {
                    self.open_with(source, |envelope, len| {
                        let options =
                            StageOptions { if_exists, on_partial: self.on_partial, expected_len: len };
                        self.resources.tell_staging();
                        let observer = self.resources.observer.clone();
                        let of_source = OfSource { attributes: self.attributes, observer };
                        restore_into(path, &options, of_source, envelope)
                    })
                });
                restored.map_err(|error| tell_kept(error, path, if_exists))
            }
        }
    }

    /// Checks all of `source`, and writes nothing. With a key every tag, MAC and digest is checked; without, every
    /// digest and the structure.
    ///
    /// # Errors
    /// A key copy that would only be a warning to a restore is an error here. It is reported at the end, when all else has been
    /// looked at, and before any fault that comes after it on the wire.
    pub fn verify(&self, source: impl Source) -> Result<Restored, Error> {
        let mut warnings = Vec::new();
        let verified = self.open_with(source, |envelope, _| {
            warnings.clone_from(&envelope.warnings);
            Ok(Opening::plain(NullSink::new(), envelope).into())
        });
        let verified = verified.map_err(|error| error.behind(&warnings).first_of_verification())?;
        match verified.warnings.iter().find(|warning| warning.is_damage()) {
            Some(warning) => Err(Error::new(ErrorKind::Damaged, warning.to_string())
                .advise("All data is intact and can be restored.")),
            None => Ok(verified),
        }
    }

    /// Opens `source` into the sink that `make_sink` makes once the stream is known, and its length, if it is.
    pub(crate) fn open_with<S: StreamingSink>(
        &self,
        source: impl Source,
        make_sink: impl FnOnce(&Envelope, Option<u64>) -> Result<Tentative<S>, Error>,
    ) -> Result<Restored, Error> {
        self.resources.check()?;
        let place = source.positioned();
        self.open_from(source, place.clone(), make_sink).map_err(|error| {
            // What cannot be examined is not known to have changed.
            let changed = place.is_some_and(|place| place.changed().unwrap_or(false));
            if changed { error.of_changed_stream() } else { error }
        })
    }

    fn open_from<S: StreamingSink>(
        &self,
        source: impl Source,
        place: Option<Arc<dyn ReadAt>>,
        make_sink: impl FnOnce(&Envelope, Option<u64>) -> Result<Tentative<S>, Error>,
    ) -> Result<Restored, Error> {
        let identities = self.identities.as_ref();
        let mut known = None;
        if let Some(positioned) = place {
            self.resources.check_cancelled()?;
            let envelope = read_seekable_envelope(&*positioned, identities, &self.resources)?;
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
                if self.expected.is_some() {
                    // Before there is a sink: another stream than the pinned one touches nothing.
                    check_entries(&walk, self.expected(), &self.resources.cancel)?;
                }
                let tentative = make_sink(envelope, Some(len))?;
                return match tentative {
                    Tentative::Open(opening) => self.open_placed(walk, opening),
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
                pass_envelope(&mut window, &envelope, &self.resources)?;
                envelope
            }
            None => read_envelope(&mut window, identities, &self.resources)?,
        };
        self.announce(&envelope)?;
        match make_sink(&envelope, None)? {
            Tentative::Open(opening) => self.open_sequential(window, &envelope, opening),
            Tentative::CompareSink(compare_sink) => {
                compare_sink.judge(&envelope, |opening| self.open_sequential(window, &envelope, opening))
            }
        }
    }

    pub(crate) fn open_placed<S: StreamingSink>(
        &self,
        mut walk: Walk<'_>,
        Opening { mut sink, marks, keeps }: Opening<S>,
    ) -> Result<Restored, Error> {
        let envelope = walk.envelope;
        let total = Some(walk.index.footer.plaintext_len);
        let budget = self.resources.budget();
        let plan = self.resources.plan(envelope.shape(), &budget, total);
        let workers = self.resources.workers_for(plan, envelope.shape(), total)?;
        let cancel = &self.resources.cancel;
        let observer = self.resources.observer.as_deref();
        let means = RunContext { envelope, plan, workers: &workers, budget: &budget, cancel, observer };
        let found = Found::find(&mut sink, &marks)?;
        let resumed = found.resume_placed(&mut sink, &mut walk, &means)?;
        let feed = SeekableFeed::new(walk, resumed.start.chain, plan.frames_per_run, self.expected());
        self.run(feed, sink, &means, RunOptions { resumed, total, marks, keeps })
    }

    fn open_sequential<S: StreamingSink>(
        &self,
        window: Window<impl Source>,
        envelope: &Envelope,
        Opening { mut sink, marks, keeps }: Opening<S>,
    ) -> Result<Restored, Error> {
        let budget = self.resources.budget();
        let plan = self.resources.plan(envelope.shape(), &budget, None);
        let workers = self.resources.workers_for(plan, envelope.shape(), None)?;
        let cancel = &self.resources.cancel;
        let observer = self.resources.observer.as_deref();
        let means = RunContext { envelope, plan, workers: &workers, budget: &budget, cancel, observer };
        let until = Found::find(&mut sink, &marks)?.resume_sequential(&mut sink)?;
        let feed = SequentialFeed::new(window, envelope, plan.frames_per_run, self.expected());
        let resumed = Resumed::nothing(envelope);
        self.run(
            feed,
            SkipCommitted::new(sink, until),
            &means,
            RunOptions { resumed, total: None, marks, keeps },
        )
    }

    fn run<S: StreamingSink>(
        &self,
        mut feed: impl Feed<Error = Error>,
        sink: S,
        means: &RunContext<'_>,
        course: RunOptions,
    ) -> Result<Restored, Error> {
        let RunOptions { resumed: Resumed { start, lost }, total, marks, keeps } = course;
        let observer = &self.resources.observer;
        if let Some(observer) = observer {
            lost.iter().for_each(|warning| observer.warning(warning));
            if start.segments > 0 {
                observer.resumed(start.plaintext_len, start.segments);
            }
        }
        let mut meter = Meter::new(observer.clone(), total, start.plaintext_len);
        let mut reached = start.plaintext_len;
        let settings = Settings {
            executor: means.workers.executor(),
            budget: means.budget,
            release: self.release,
            durability: self.durability,
            cancel: means.cancel,
            demand: means.plan.demand,
            frame_len: means.envelope.shape().frame_len(),
            checkpoint: &|committed| marks.make(committed),
            observe: &mut |committed| {
                reached = committed.plaintext_len;
                meter.committed(committed, committed.durable_len);
            },
        };
        match segment_worker::open(&mut feed, sink, start, settings) {
            Ok(opened) => Ok(Restored::new(&opened, means.envelope, start.plaintext_len, lost)),
            Err(error) => {
                let error = Error::opening(error);
                let keeps = keeps == Retention::Progress && error.kind() != ErrorKind::DurabilityUnknown;
                Err(error.keeping((keeps && reached > 0).then_some(reached)))
            }
        }
    }

    /// Without a key there is no plaintext: what would be published is an empty target.
    fn require_identities(&self) -> Result<(), Error> {
        match self.identities {
            Some(_) => Ok(()),
            None => Err(Error::new(ErrorKind::Usage, "a stream can be verified without a key, not opened")
                .advise("Give an identity, a passphrase or a key file.")),
        }
    }

    fn expected(&self) -> Option<ChainValue> {
        self.expected.map(|digest| ChainValue(digest.0))
    }

    /// Before the first segment: what cannot be done is refused, what is amiss is told.
    fn announce(&self, envelope: &Envelope) -> Result<(), Error> {
        if envelope.preamble.digest == DigestKind::Tags {
            if self.expected.is_some() {
                return Err(pinned_tags());
            }
            if envelope.schedule.is_none() {
                return Err(keyless_tags());
            }
        }
        if let Some(observer) = &self.resources.observer {
            envelope.warnings.iter().for_each(|warning| observer.warning(warning));
        }
        Ok(())
    }
}

crate::resources::resource_setters!(Opener);

/// What a stream is opened with.
pub(crate) struct RunContext<'a> {
    pub(crate) envelope: &'a Envelope,
    pub(crate) plan: RunPlan,
    pub(crate) workers: &'a Workers,
    pub(crate) budget: &'a Budget,
    pub(crate) cancel: &'a CancelToken,
    pub(crate) observer: Option<&'a dyn Observer>,
}

/// From where to where a stream is opened, and how its progress is kept.
struct RunOptions {
    resumed: Resumed,
    total: Option<u64>,
    marks: CheckpointMaker,
    keeps: Retention,
}
