//! Opening: restore and verify, with every choice a caller may make.
//! It puts the parts together; what they do is theirs.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use frame_worker::{Backend, ChainValue, DigestKind, Pool};
use framing::limits::{METADATA_HEAD_LEN, PREAMBLE_BLOCK_LEN};
use framing::{MetadataHead, Preamble};
use keys::Identities;
use segment_worker::{Budget, CancelToken, Committed, Executor, Feed, Opened, Release, Settings};
use sinks::{Durability, Existing, NullSink, StreamingSink};
use sources::{ReadAt, Source};

use crate::checkpoint::CheckpointMaker;
use crate::envelope::{Envelope, keyless_tags};
use crate::feed::Heedful;
use crate::feed::placed::{Index, PlacedFeed, read};
use crate::feed::sequential::{SequentialFeed, read_envelope, skip_envelope};
use crate::feed::window::Window;
use crate::files::{Target, open_source, refuse_same_file, stage};
use crate::progress::Meter;
use crate::resources::{Resources, RunPlan};
use crate::{Error, Metadata, Observer, StreamDigest, StreamId, Warning};

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
    release: Release,
    durability: Durability,
    existing: Existing,
    expected: Option<StreamDigest>,
    resources: Resources,
}

/// What was restored or verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restored {
    /// Names the stream.
    pub stream_id: StreamId,
    /// Segments.
    pub segments: u64,
    /// Plaintext bytes.
    pub plaintext_len: u64,
    /// Fixes every byte of preamble, metadata and segments.
    pub stream_digest: StreamDigest,
    /// The caller's pairs, sorted by key. Empty where no key was given.
    pub metadata: Metadata,
    /// What was not as it should be, and did no harm.
    pub warnings: Vec<Warning>,
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

    fn with(identities: Option<Identities>) -> Opener {
        Opener {
            identities,
            release: Release::AtOnce,
            durability: Durability::default(),
            existing: Existing::Refuse,
            expected: None,
            resources: Resources::default(),
        }
    }

    /// When plaintext leaves for the sink. Default: at once for sinks that keep tentative bytes to themselves. Others
    /// get a segment after its digest, always.
    #[must_use]
    pub fn release(mut self, release: Release) -> Opener {
        self.release = release;
        self
    }

    /// When committed segments are made durable, where the sink offers that. Default: in groups of 256 MiB or 5 seconds.
    /// None of this crate's own sinks does yet: they are durable at publish.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Opener {
        self.durability = durability;
        self
    }

    /// What [`Opener::restore_file`] does with a target that exists. Default: refuse.
    #[must_use]
    pub fn existing(mut self, existing: Existing) -> Opener {
        self.existing = existing;
        self
    }

    /// Refuses a stream with another digest. With a pin from a trusted place this detects an older stream too.
    #[must_use]
    pub fn expect_digest(mut self, digest: StreamDigest) -> Opener {
        self.expected = Some(digest);
        self
    }

    /// Opens all of `source` into `sink` and publishes it.
    ///
    /// # Errors
    /// The sink has been dropped unpublished, unless the kind is [`crate::ErrorKind::DurabilityUnknown`].
    pub fn open(&self, source: impl Source, sink: impl StreamingSink) -> Result<Restored, Error> {
        self.require_identities()?;
        self.open_with(source, |_| Ok(sink))
    }

    /// Opens the sealed file at `sealed` (a FIFO or a device too) into a file at `target`, all or nothing. A target that
    /// is a FIFO gets each segment as it is verified.
    ///
    /// # Errors
    /// As [`Opener::open`]. A target that cannot be written is refused before the first byte.
    pub fn restore_file(&self, sealed: &Path, target: &Path) -> Result<Restored, Error> {
        refuse_same_file(sealed, target)?;
        let target = Target::resolve(target, self.existing, &self.resources.cancel)?;
        self.open_into(open_source(sealed)?, target)
    }

    /// As [`Opener::restore_file`], from any source.
    ///
    /// # Errors
    /// As [`Opener::restore_file`].
    pub fn restore_to(&self, source: impl Source, target: &Path) -> Result<Restored, Error> {
        let target = Target::resolve(target, self.existing, &self.resources.cancel)?;
        self.open_into(source, target)
    }

    fn open_into(&self, source: impl Source, target: Target<'_>) -> Result<Restored, Error> {
        self.require_identities()?;
        match target {
            Target::Fifo(sink) => self.open(source, sink),
            Target::Staged { path, existing } => self.open_with(source, |len| stage(path, existing, len)),
        }
    }

    /// Checks all of `source`, and writes nothing. With a key every tag, MAC and digest is checked; without, every
    /// digest and the structure.
    ///
    /// # Errors
    /// A key copy that would only be a warning to a restore is an error here.
    pub fn verify(&self, source: impl Source) -> Result<Restored, Error> {
        let sink = NullSink::new();
        let verified = self.open_with(source, |_| Ok(sink))?;
        let damaged =
            verified.warnings.iter().find(|warning| matches!(warning, Warning::KeyCopyDamaged { .. }));
        match damaged {
            Some(warning) => Err(Error::new(crate::ErrorKind::Damaged, warning.to_string())
                .advise("All data is intact and can be restored.")),
            None => Ok(verified),
        }
    }

    /// Opens `source` into the sink that `make_sink` makes once the stream's length is known, if it is.
    pub(crate) fn open_with<S: StreamingSink>(
        &self,
        source: impl Source,
        make_sink: impl FnOnce(Option<u64>) -> Result<S, Error>,
    ) -> Result<Restored, Error> {
        let identities = self.identities.as_ref();
        let mut known = None;
        if let Some(positioned) = source.positioned() {
            self.resources.look()?;
            let envelope = read_placed_envelope(&*positioned, identities, self.resources.backend)?;
            self.resources.look()?;
            let index = match &envelope {
                Some(envelope) => Index::read(&*positioned, envelope)?,
                None => None,
            };
            if let (Some(envelope), Some(index)) = (&envelope, index) {
                self.announce(envelope)?;
                let plan = self.plan(envelope);
                let total = Some(index.footer.plaintext_len);
                let sink = make_sink(total)?;
                let feed = PlacedFeed::new(positioned, envelope, index, plan.frames_per_run, self.expected());
                return self.run(feed, sink, envelope, plan, total);
            }
            known = envelope;
        }
        let mut window = Window::new(Heedful::new(source, &self.resources.cancel));
        let envelope = match known {
            // Opened once is enough: it may have taken a passphrase, or a touch on a token.
            Some(envelope) => skip_envelope(&mut window, &self.resources).map(|()| envelope)?,
            None => read_envelope(&mut window, identities, &self.resources)?,
        };
        self.announce(&envelope)?;
        let plan = self.plan(&envelope);
        let sink = make_sink(None)?;
        let feed = SequentialFeed::new(window, &envelope, plan.frames_per_run, self.expected());
        self.run(feed, sink, &envelope, plan, None)
    }

    fn run<S: StreamingSink>(
        &self,
        mut feed: impl Feed<Error = Error>,
        sink: S,
        envelope: &Envelope,
        plan: RunPlan,
        total: Option<u64>,
    ) -> Result<Restored, Error> {
        let resources = &self.resources;
        let shape = envelope.shape();
        let budget = resources.budget();
        let marks = CheckpointMaker::new(envelope.schedule.as_ref(), envelope.preamble.stream_id);
        let mut meter = Meter::new(resources.observer.clone(), total);
        let pool = resources.pool_for(plan, shape, total)?;
        let settings = Settings {
            executor: pool.as_ref().map_or(Executor::Inline, Executor::Pool),
            budget: &budget,
            release: self.release,
            durability: self.durability,
            cancel: &resources.cancel,
            demand: plan.demand,
            frame_len: shape.frame_len(),
            mark: &|committed| marks.make(committed),
            observe: &mut |committed| meter.committed(committed, committed.durable_len),
        };
        let start = Committed::at_start(envelope.chain);
        let opened = segment_worker::open(&mut feed, sink, start, settings).map_err(Error::opening)?;
        Ok(restored(&opened, envelope))
    }

    /// Without a key there is no plaintext: what would be published is an empty target.
    fn require_identities(&self) -> Result<(), Error> {
        match self.identities {
            Some(_) => Ok(()),
            None => {
                Err(Error::new(crate::ErrorKind::Usage, "a stream can be verified without a key, not opened")
                    .advise("Give an identity, a passphrase or a key file."))
            }
        }
    }

    fn plan(&self, envelope: &Envelope) -> RunPlan {
        self.resources.plan(envelope.shape(), &self.resources.budget())
    }

    fn expected(&self) -> Option<ChainValue> {
        self.expected.map(|digest| ChainValue(digest.0))
    }

    /// Before the first segment: what cannot be done is refused, what is amiss is told.
    fn announce(&self, envelope: &Envelope) -> Result<(), Error> {
        if envelope.schedule.is_none() && envelope.preamble.digest == DigestKind::Tags {
            return Err(keyless_tags());
        }
        if let Some(observer) = &self.resources.observer {
            envelope.warnings.iter().for_each(|warning| observer.warning(warning));
        }
        Ok(())
    }
}

crate::resources::resource_setters!(Opener);

/// Reads the records before the segments at their offsets. `None` if the source ends among them: what it is then,
/// reading it from the front says best.
pub(crate) fn read_placed_envelope(
    source: &dyn ReadAt,
    identities: Option<&Identities>,
    backend: Backend,
) -> Result<Option<Envelope>, Error> {
    if source.len() < PREAMBLE_BLOCK_LEN as u64 {
        return Ok(None);
    }
    let mut block = vec![0; PREAMBLE_BLOCK_LEN];
    read(source, 0, &mut block)?;
    let preamble = Preamble::parse(&block).map_err(|error| Error::framing(error, 0))?;
    let origin = preamble.origin();
    if source.len() < origin + METADATA_HEAD_LEN as u64 {
        return Ok(None);
    }
    let mut area = vec![0; 2 * preamble.key_copy_len as usize];
    read(source, PREAMBLE_BLOCK_LEN as u64, &mut area)?;
    let mut metadata = vec![0; METADATA_HEAD_LEN];
    read(source, origin, &mut metadata)?;
    let Ok(head) = MetadataHead::parse(&metadata) else { return Ok(None) };
    if source.len() < origin + head.record_len() as u64 {
        return Ok(None);
    }
    metadata.resize(head.record_len(), 0);
    read(source, origin, &mut metadata)?;
    Envelope::open(&block, &area, &metadata, identities, backend).map(Some)
}

fn restored(opened: &Opened, envelope: &Envelope) -> Restored {
    Restored {
        stream_id: envelope.preamble.stream_id,
        segments: opened.segments,
        plaintext_len: opened.plaintext_len,
        stream_digest: StreamDigest(opened.stream_digest.0),
        metadata: envelope.metadata.clone(),
        warnings: envelope.warnings.clone(),
    }
}
