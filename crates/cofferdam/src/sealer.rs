//! Sealing, with every choice a caller may make.
//! It puts the parts together; what they do is theirs.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use frame_worker::{Backend, DigestKind, Pool, Suite};
use framing::limits::SEGMENTS_MAX;
use framing::{Shape, StreamGeometry};
use keys::Recipients;
use segment_worker::{Budget, CancelToken, Committed, Executor, Release, Settings};
use sinks::{Durability, Existing, StreamingSink};
use sources::Source;

use crate::checkpoint::CheckpointMaker;
use crate::envelope::Envelope;
use crate::feed::Heedful;
use crate::feed::plain::{PlainFeed, too_many_segments};
use crate::files::{Target, open_source, refuse_same_file, stage};
use crate::progress::Meter;
use crate::resources::Resources;
use crate::{Error, ErrorKind, Metadata, Observer, StreamDigest, StreamId};

/// Seals plaintext for a set of recipients.
///
/// ```
/// use cofferdam::{BytesSource, MemorySink, Recipients, Sealer, WrappingKey};
///
/// let key = WrappingKey::generate()?;
/// let sealer = Sealer::new(Recipients::new().wrapping_key(key)).frame_len(4096).segment_len(64 * 1024);
/// let (sink, contents) = MemorySink::new();
/// let sealed = sealer.seal(BytesSource::new(*b"a snapshot"), sink)?;
/// assert_eq!(sealed.plaintext_len, 10);
/// assert_eq!(contents.take().map(|bytes| bytes.len() as u64), Some(sealed.wire_len));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sealer {
    recipients: Recipients,
    suite: Suite,
    digest: DigestKind,
    frame_len: u32,
    segment_len: u64,
    metadata: Metadata,
    existing: Existing,
    resources: Resources,
}

/// What was sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sealed {
    /// Names the stream.
    pub stream_id: StreamId,
    /// Segments.
    pub segments: u64,
    /// Plaintext bytes.
    pub plaintext_len: u64,
    /// Bytes of the sealed stream.
    pub wire_len: u64,
    /// Fixes every byte of preamble, metadata and segments: a pin for later.
    pub stream_digest: StreamDigest,
}

impl Sealer {
    /// Seals for `recipients`, with everything else at its default.
    pub fn new(recipients: Recipients) -> Sealer {
        Sealer {
            recipients,
            suite: default_suite(),
            digest: DigestKind::Blake3,
            frame_len: FRAME_LEN_DEFAULT,
            segment_len: SEGMENT_LEN_DEFAULT,
            metadata: Vec::new(),
            existing: Existing::Refuse,
            resources: Resources::default(),
        }
    }

    /// The AEAD. Default: AES-256-GCM where the processor has instructions for it, ChaCha20-Poly1305 elsewhere.
    #[must_use]
    pub fn suite(mut self, suite: Suite) -> Sealer {
        self.suite = suite;
        self
    }

    /// What segments are digested with. Default: BLAKE3.
    #[must_use]
    pub fn digest(mut self, digest: DigestKind) -> Sealer {
        self.digest = digest;
        self
    }

    /// Plaintext bytes of a frame: a multiple of 4096, at most 4 MiB. Default: 64 KiB.
    #[must_use]
    pub fn frame_len(mut self, bytes: u32) -> Sealer {
        self.frame_len = bytes;
        self
    }

    /// Plaintext bytes of a segment: a multiple of the frame's, at most 1 GiB. Default: 8 MiB.
    #[must_use]
    pub fn segment_len(mut self, bytes: u64) -> Sealer {
        self.segment_len = bytes;
        self
    }

    /// Adds a key-value pair, encrypted with the stream; 64 KiB in all.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Sealer {
        self.metadata.push((key.into(), value.into()));
        self
    }

    /// What [`Sealer::seal_file`] does with an output that exists. Default: refuse.
    #[must_use]
    pub fn existing(mut self, existing: Existing) -> Sealer {
        self.existing = existing;
        self
    }

    fn shape(&self) -> Result<Shape, Error> {
        let frames = self.segment_len / u64::from(self.frame_len.max(1));
        if self.segment_len == 0 || !self.segment_len.is_multiple_of(u64::from(self.frame_len.max(1))) {
            let (segment_len, frame_len) = (self.segment_len, self.frame_len);
            let what =
                format!("a segment of {segment_len} bytes is no multiple of a frame of {frame_len} bytes");
            return Err(Error::new(ErrorKind::Usage, what)
                .advise("A frame is a multiple of 4 KiB, and a segment one of its frames."));
        }
        let frames = u32::try_from(frames).unwrap_or(u32::MAX);
        Shape::new(self.frame_len, frames).map_err(|error| {
            Error::new(ErrorKind::Usage, format!("the stream {}", error.problem))
                .advise("Frames have 4 KiB to 4 MiB, in steps of 4 KiB; segments at most 1 GiB.")
        })
    }

    /// Seals all of `source` into `sink` and publishes it.
    ///
    /// # Errors
    /// The sink has been dropped unpublished, unless the kind is [`ErrorKind::DurabilityUnknown`].
    pub fn seal(&self, source: impl Source + 'static, sink: impl StreamingSink) -> Result<Sealed, Error> {
        self.seal_with(Box::new(source), |_| Ok(sink))
    }

    /// Seals the file at `input` (a FIFO or a device too) into a file at `output`, all or nothing.
    ///
    /// # Errors
    /// As [`Sealer::seal`]. An output that exists is refused before anything is read, unless replacing was asked for.
    pub fn seal_file(&self, input: &Path, output: &Path) -> Result<Sealed, Error> {
        refuse_same_file(input, output)?;
        let target = Target::resolve(output, self.existing, &self.resources.cancel)?;
        self.seal_into(open_source(input)?, target)
    }

    /// Seals all of `source` into a file at `output`, all or nothing.
    ///
    /// # Errors
    /// As [`Sealer::seal_file`].
    pub fn seal_to(&self, source: impl Source + 'static, output: &Path) -> Result<Sealed, Error> {
        let target = Target::resolve(output, self.existing, &self.resources.cancel)?;
        self.seal_into(Box::new(source), target)
    }

    fn seal_into(&self, source: Box<dyn Source>, target: Target<'_>) -> Result<Sealed, Error> {
        match target {
            Target::Fifo(sink) => self.seal_with(source, |_| Ok(sink)),
            Target::Staged { path, existing } => self.seal_with(source, |len| stage(path, existing, len)),
        }
    }

    /// Seals `source` into the sink that `make_sink` makes once the length of the sealed stream is known, if it is.
    pub(crate) fn seal_with<S: StreamingSink>(
        &self,
        source: Box<dyn Source>,
        make_sink: impl FnOnce(Option<u64>) -> Result<S, Error>,
    ) -> Result<Sealed, Error> {
        let shape = self.shape()?;
        let resources = &self.resources;
        let total = source.positioned().map(|positioned| positioned.len());
        if total.is_some_and(|len| len.div_ceil(shape.segment_len()) > SEGMENTS_MAX) {
            return Err(too_many_segments());
        }
        let (envelope, beginning) = Envelope::new(
            self.suite,
            self.digest,
            shape,
            &self.recipients,
            &self.metadata,
            resources.backend,
        )?;
        let geometry = StreamGeometry::new(shape, envelope.metadata_len);
        let sink = make_sink(total.map(|len| envelope.origin() + geometry.wire_len(len)))?;
        let budget = resources.budget();
        let plan = resources.plan(shape, &budget);
        let marks = CheckpointMaker::of_stream(envelope.schedule.as_ref(), envelope.preamble.stream_id);
        let mut meter = Meter::new(resources.observer.clone(), total, 0);
        let pool = resources.pool_for(plan, shape, total)?;
        let source = Box::new(Heedful::new(source, &resources.cancel));
        let mut feed = PlainFeed::new(source, &envelope, beginning, plan.frames_per_run);
        let settings = Settings {
            executor: pool.as_ref().map_or(Executor::Inline, Executor::Pool),
            budget: &budget,
            release: Release::AtOnce,
            durability: Durability::AtFinish,
            cancel: &resources.cancel,
            demand: plan.demand,
            frame_len: shape.frame_len(),
            mark: &|committed| marks.make(committed),
            observe: &mut |committed| meter.committed(committed, 0),
        };
        let start = Committed::at_start(envelope.chain);
        let sealed = segment_worker::seal(&mut feed, sink, start, settings).map_err(Error::sealing)?;
        Ok(Sealed {
            stream_id: envelope.preamble.stream_id,
            segments: sealed.segments,
            plaintext_len: sealed.plaintext_len,
            wire_len: sealed.wire_len,
            stream_digest: StreamDigest(sealed.stream_digest.0),
        })
    }
}

crate::resources::resource_setters!(Sealer);

/// AES-256-GCM where the processor has instructions for it: there it is the faster one by far.
fn default_suite() -> Suite {
    #[cfg(target_arch = "x86_64")]
    let has_aes =
        std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    let has_aes = std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let has_aes = false;
    if has_aes { Suite::Aes256Gcm } else { Suite::ChaCha20Poly1305 }
}

/// Plaintext bytes of a frame.
pub const FRAME_LEN_DEFAULT: u32 = 64 * 1024;
/// Plaintext bytes of a segment.
pub const SEGMENT_LEN_DEFAULT: u64 = 8 * 1024 * 1024;
