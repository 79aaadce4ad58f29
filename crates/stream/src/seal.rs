//! Sealing a stream: from plaintext of either kind into a sink, from the start or after what is already sealed.
//! It joins the parts and does none of their work.

use std::collections::BTreeSet;
use std::fmt;

use contract::{Durability, StreamingSink};
use frame_worker::{Compression, CompressionLevel, DigestKind, Suite};
use framing::limits::{FRAME_LEN_MIN, SEGMENTS_MAX};
use framing::{Shape, StreamGeometry};
use keys::{Recipients, StreamKey};
use segment_worker::{Committed, ReleasePolicy, Settings};
use sources::Source;

use crate::checkpoint::CheckpointMaker;
use crate::default_lens::{FRAME_LEN_COMPRESSED, FRAME_LEN_DEFAULT, default_segment_len};
use crate::envelope::Envelope;
use crate::feed::CancellableSource;
use crate::feed::paced::PacedFeed;
use crate::feed::plain::{PlainFeed, PlainInput, too_many_segments};
use crate::file_attributes::refuse_reserved;
use crate::progress::Meter;
use crate::resources::{Direction, Resources};
use crate::stream_metrics::{Operation, StreamMetrics};
use crate::tentative::Retention;
use crate::trailer::IndexBuilder;
use crate::{ContentKind, Error, ErrorKind, Metadata, StreamDigest, StreamId, sequence};

/// What a stream is sealed with, as its caller chose.
#[derive(Clone, Copy)]
pub struct SealOptions<'a> {
    /// Who can open the stream.
    pub recipients: &'a Recipients,
    /// How it is made.
    pub form: &'a FormatOptions,
    /// Threads and memory.
    pub resources: &'a Resources,
}

/// What is known of a sealed stream's length, in bytes, before it is sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SealedLen {
    /// It is this.
    Exactly(u64),
    /// It is no longer: how well frames compress turns out as they do.
    AtMost(u64),
    /// Nothing: the input is a pipe.
    Unknown,
}

impl SealedLen {
    /// The length, where it is known.
    pub fn exactly(self) -> Option<u64> {
        match self {
            SealedLen::Exactly(len) => Some(len),
            SealedLen::AtMost(_) | SealedLen::Unknown => None,
        }
    }
}

/// In which format a stream is sealed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum SealedAs {
    /// This library's own.
    #[default]
    Cofferdam,
    /// An age file, version 1: for recipients, or one passphrase. It has neither metadata nor compression, and nothing of a sealing is kept.
    #[cfg(feature = "foreign")]
    Age,
}

/// How the stream is made, as far as the caller said.
#[derive(Clone, Default)]
pub struct FormatOptions {
    /// In which format.
    pub sealed_as: SealedAs,
    /// The AEAD.
    pub suite: Option<Suite>,
    /// What segments are digested with.
    pub digest: Option<DigestKind>,
    /// Plaintext bytes of a frame.
    pub frame_len: Option<u32>,
    /// Plaintext bytes of a segment.
    pub segment_len: Option<u64>,
    /// How hard frames are compressed; not at all without it.
    pub compression: Option<CompressionLevel>,
    /// The caller's pairs.
    pub metadata: Metadata,
    /// The number that tells it from older streams of the same thing.
    pub sequence: Option<u64>,
    /// What the plaintext is; bytes without it.
    pub content: Option<ContentKind>,
    /// The pairs of a stream that is sealed anew, this library's own too. One of them gives way to whatever else has its key.
    pub kept: Metadata,
}

/// What was sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Sealed {
    /// Names the stream.
    pub stream_id: StreamId,
    /// How many segments it has.
    pub segments: u64,
    /// Length of the plaintext in bytes.
    pub plaintext_len: u64,
    /// Length of the sealed stream in bytes.
    pub wire_len: u64,
    /// What the stream is digested with.
    pub digest: DigestKind,
    /// Fixes every byte of preamble, metadata and segments: a pin for later.
    pub stream_digest: StreamDigest,
    /// The number that tells it from older streams, where it has one.
    pub sequence: Option<u64>,
    /// Plaintext bytes that an interrupted call had sealed, and that were kept.
    pub resumed_bytes: u64,
    /// What it is, where it is no stream of this library's own format: then it has neither digest nor number, and they say nothing.
    #[cfg(feature = "foreign")]
    pub foreign: Option<crate::ForeignSummary>,
}

impl SealOptions<'_> {
    /// Seals `source` into the sink that `make_sink` makes once it is known what can be known of the sealed stream's length.
    /// `of_input` is kept beside the caller's pairs.
    pub fn seal_with<S: StreamingSink>(
        &self,
        source: Box<dyn Source>,
        of_input: Metadata,
        make_sink: impl FnOnce(SealedLen) -> Result<S, Error>,
    ) -> Result<Sealed, Error> {
        #[cfg(feature = "foreign")]
        if self.form.sealed_as == SealedAs::Age {
            return self.seal_age_with(source, make_sink);
        }
        let total = source.positioned().map(|positioned| positioned.len());
        let key = StreamKey::generate().map_err(Error::key)?;
        let stream = self.new_stream(&key, total, of_input)?;
        let sink = make_sink(stream.expected_len(total))?;
        self.run(source, sink, stream, Retention::Nothing)
    }

    /// A stream of `plaintext_len` bytes, if that is known, of which nothing has been sealed yet. `of_input` is kept beside
    /// the caller's pairs.
    pub(crate) fn new_stream(
        &self,
        key: &StreamKey,
        plaintext_len: Option<u64>,
        of_input: Metadata,
    ) -> Result<StreamStart, Error> {
        refuse_reserved(&self.form.metadata)?;
        self.resources.check()?;
        let shape = self.form.shape(plaintext_len)?;
        check_segments(shape, plaintext_len)?;
        let FormatOptions { suite, digest, metadata, compression, sequence, content, kept, .. } = &self.form;
        let mut metadata = [&metadata[..], &of_input[..]].concat();
        metadata.extend(sequence.map(sequence::pair));
        metadata.extend(content.map(ContentKind::pair));
        let given: BTreeSet<&[u8]> = metadata.iter().map(|(key, _)| &key[..]).collect();
        let kept: Vec<_> = kept.iter().filter(|(key, _)| !given.contains(&key[..])).cloned().collect();
        metadata.extend(kept);
        let suite = suite.unwrap_or_else(default_suite);
        let digest = digest.unwrap_or(DigestKind::Blake3);
        let (envelope, head) =
            Envelope::new(key, suite, digest, shape, self.recipients, &metadata, self.resources.backend)
                .map_err(|error| error.unless_cancelled(&self.resources.cancel))?;
        let envelope = envelope.sealing_at(*compression)?;
        let start = Committed::at_start(envelope.chain);
        Ok(StreamStart { ledger: IndexBuilder::new(envelope.metadata_len), envelope, head, start })
    }

    /// Seals what `stream` has not yet of `source`, and publishes it.
    pub(crate) fn run(
        &self,
        source: Box<dyn Source>,
        sink: impl StreamingSink,
        stream: StreamStart,
        keeps: Retention,
    ) -> Result<Sealed, Error> {
        let StreamStart { envelope, ledger, head, start } = stream;
        let resources = self.resources;
        let shape = envelope.shape();
        let input = PlainInput::new(Box::new(CancellableSource::new(source, &resources.cancel)));
        let total = input.len();
        let budget = resources.budget();
        let plan = resources.plan(&envelope, &budget, total, Direction::Seal)?;
        let marks = CheckpointMaker::of_stream(envelope.schedule.as_ref(), envelope.preamble.stream_id);
        let mut meter = Meter::new(resources.observer.clone(), total, start.plaintext_len);
        let workers = resources.workers_for(plan, shape, total)?;
        let feed = PlainFeed::new(input, &envelope, head, ledger, start.chain, plan.frames_per_run);
        let metrics = StreamMetrics::new(
            Operation::Seal,
            envelope.preamble.stream_id,
            &budget,
            &start,
            start.plaintext_len,
        );
        let mut feed = PacedFeed::new(feed, resources, &budget, plan.demand.run_len, &metrics);
        let mut reached = start.plaintext_len;
        let settings = Settings {
            executor: workers.executor(),
            budget: &budget,
            release: ReleasePolicy::AtOnce,
            durability: Durability::AtFinish,
            cancel: &resources.cancel,
            demand: plan.demand,
            shape,
            stages: metrics.stages(),
            checkpoint: &|committed| marks.make(committed),
            observe: &mut |committed| {
                reached = committed.plaintext_len;
                meter.committed(committed, 0, metrics.passed());
                metrics.committed(committed);
            },
        };
        let sealed =
            metrics.ended(segment_worker::seal(&mut feed, sink, start, settings)).map_err(|error| {
                let kept = (keeps == Retention::Progress && reached > 0).then_some(reached);
                Error::sealing(error).keeping(kept)
            })?;
        Ok(Sealed {
            stream_id: envelope.preamble.stream_id,
            segments: sealed.segments,
            plaintext_len: sealed.plaintext_len,
            wire_len: sealed.wire_len,
            digest: envelope.preamble.digest,
            stream_digest: StreamDigest(sealed.stream_digest.0),
            sequence: sequence::find(&envelope.metadata).and_then(Result::ok),
            resumed_bytes: start.plaintext_len,
            #[cfg(feature = "foreign")]
            foreign: None,
        })
    }
}

/// A stream that is being sealed: new, or as far as an earlier attempt got.
pub(crate) struct StreamStart {
    pub(crate) envelope: Envelope,
    /// Its segments so far.
    pub(crate) ledger: IndexBuilder,
    /// What has to be written before the next segment, right after `start`.
    pub(crate) head: Vec<u8>,
    pub(crate) start: Committed,
}

impl StreamStart {
    /// Bytes of the whole stream once `plaintext_len` bytes have been sealed, where that can be said: compressed frames are as long
    /// as they turn out to be.
    pub(crate) fn sealed_len(&self, plaintext_len: u64) -> Option<u64> {
        let (shape, metadata_len) = (self.envelope.shape(), self.envelope.metadata_len);
        let len =
            || self.envelope.origin() + StreamGeometry::new(shape, metadata_len).wire_len(plaintext_len);
        (!shape.is_compressed()).then(len)
    }

    /// What can be said of the whole stream's length before `plaintext_len` bytes are sealed, if that is known.
    fn expected_len(&self, plaintext_len: Option<u64>) -> SealedLen {
        let Some(plaintext_len) = plaintext_len else { return SealedLen::Unknown };
        if let Some(len) = self.sealed_len(plaintext_len) {
            return SealedLen::Exactly(len);
        }
        let (shape, metadata_len) = (self.envelope.shape(), self.envelope.metadata_len);
        let plain = self.envelope.origin() + StreamGeometry::new(shape, metadata_len).wire_len(plaintext_len);
        let segments = plaintext_len.div_ceil(shape.segment_len()).max(1);
        let of_segment = shape.segment_len().min(plaintext_len);
        // No frame is longer for being compressed; each segment has a table, and digests of its plaintext there and in the index.
        let added =
            shape.segment_wire_lens(of_segment).end() - shape.segment_wire_len(of_segment) + ENTRY_ADDED_MAX;
        SealedLen::AtMost(plain + segments * added)
    }
}

/// Refuses an input of more segments than a stream may have, before anything is written.
pub(crate) fn check_segments(shape: Shape, plaintext_len: Option<u64>) -> Result<(), Error> {
    match plaintext_len {
        Some(len) if len.div_ceil(shape.segment_len()) > SEGMENTS_MAX => Err(too_many_segments()),
        _ => Ok(()),
    }
}

/// The pairs are encrypted in the stream, and are not shown here either.
impl fmt::Debug for FormatOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FormatOptions")
            .field("sealed_as", &self.sealed_as)
            .field("suite", &self.suite)
            .field("digest", &self.digest)
            .field("frame_len", &self.frame_len)
            .field("segment_len", &self.segment_len)
            .field("compression", &self.compression)
            .field("metadata", &self.metadata.len())
            .field("sequence", &self.sequence)
            .field("content", &self.content)
            .field("kept", &self.kept.len())
            .finish()
    }
}

impl FormatOptions {
    fn shape(&self, plaintext_len: Option<u64>) -> Result<Shape, Error> {
        let compressed = self.compression.is_some();
        let usual = if compressed { FRAME_LEN_COMPRESSED } else { FRAME_LEN_DEFAULT };
        let frame_len = self.frame_len.unwrap_or(usual);
        let segment_len = self.segment_len.unwrap_or_else(|| default_segment_len(plaintext_len, frame_len));
        let limits = "Frames have 4 KiB to 4 MiB, in steps of 4 KiB; segments at most 1 GiB.";
        if !frame_len.is_multiple_of(FRAME_LEN_MIN) {
            let what = format!("a frame of {frame_len} bytes is no multiple of 4 KiB");
            return Err(Error::new(ErrorKind::Usage, what).advise(limits));
        }
        let frame = u64::from(frame_len.max(1));
        if segment_len == 0 || !segment_len.is_multiple_of(frame) {
            let what =
                format!("a segment of {segment_len} bytes is no multiple of a frame of {frame_len} bytes");
            return Err(Error::new(ErrorKind::Usage, what)
                .advise("A frame is a multiple of 4 KiB, and a segment one of its frames."));
        }
        let frames = u32::try_from(segment_len / frame).unwrap_or(u32::MAX);
        let shape = Shape::new(frame_len, frames).map_err(|error| {
            Error::new(ErrorKind::Usage, format!("the stream {}", error.problem)).advise(limits)
        })?;
        Ok(if compressed { shape.with_compression(Compression::Zstd) } else { shape })
    }
}

/// AES-256-GCM where the processor has instructions for it: there it is the faster one by far.
pub fn default_suite() -> Suite {
    #[cfg(target_arch = "x86_64")]
    let has_aes =
        std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    let has_aes = std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let has_aes = false;
    if has_aes { Suite::Aes256Gcm } else { Suite::ChaCha20Poly1305 }
}

/// Bytes by which an index entry of a compressed stream may be longer than another's.
const ENTRY_ADDED_MAX: u64 = 64;
