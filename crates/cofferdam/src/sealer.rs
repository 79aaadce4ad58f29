//! Sealing, with every choice a caller may make.
//! It joins the parts and does none of their work.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use contract::{IfExists, StreamingSink};
use frame_worker::{Backend, CompressionLevel, DigestKind, Suite};
use keys::Recipients;
use segment_worker::{Budget, CancelToken};
use sources::Source;
use storage::OnPartial;
use stream::{FileInput, FormatOptions, Resources, ResumableSeal, SealOptions, SealedAs};

use crate::files::{Target, of_ciphertext, refuse_same_file, stage};
use crate::{Error, ErrorKind, Metadata, Observer, Sealed};

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
#[derive(Clone, Debug)]
pub struct Sealer {
    pub(crate) recipients: Recipients,
    pub(crate) form: FormatOptions,
    pub(crate) if_exists: IfExists,
    pub(crate) on_partial: OnPartial,
    pub(crate) resources: Resources,
}

impl Sealer {
    /// Seals for `recipients`, with everything else at its default.
    pub fn new(recipients: Recipients) -> Sealer {
        Sealer {
            recipients,
            form: FormatOptions::default(),
            if_exists: IfExists::Refuse,
            on_partial: OnPartial::Resume,
            resources: Resources::default(),
        }
    }

    /// In which format the stream is sealed. As an age file it can be opened by `age`, and has no place for what the other calls choose:
    /// suite, digest, lengths, compression, metadata and number are [`ErrorKind::Usage`](crate::ErrorKind::Usage) then, and so are recipients that are
    /// none of age's. Default: this library's own.
    #[must_use]
    pub fn sealed_as(mut self, sealed_as: SealedAs) -> Sealer {
        self.form.sealed_as = sealed_as;
        self
    }

    /// The AEAD. Default: AES-256-GCM where the processor has instructions for it, ChaCha20-Poly1305 elsewhere.
    #[must_use]
    pub fn suite(mut self, suite: Suite) -> Sealer {
        self.form.suite = Some(suite);
        self
    }

    /// What segments are digested with. Default: BLAKE3.
    #[must_use]
    pub fn digest(mut self, digest: DigestKind) -> Sealer {
        self.form.digest = Some(digest);
        self
    }

    /// Compresses frames with zstd where that makes them shorter. The lengths of compressed frames tell those who see the
    /// stream how well each compressed. [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) when sealing, in a
    /// build without the feature `zstd`. Default: frames are not compressed.
    #[must_use]
    pub fn compression(mut self, level: CompressionLevel) -> Sealer {
        self.form.compression = Some(level);
        self
    }

    /// Plaintext bytes of a frame: a multiple of 4096, at most 4 MiB. Default: 64 KiB, and 256 KiB with compression.
    #[must_use]
    pub fn frame_len(mut self, bytes: u32) -> Sealer {
        self.form.frame_len = Some(bytes);
        self
    }

    /// Plaintext bytes of a segment: a multiple of the frame's, at most 1 GiB. Default: 8 MiB; 1 MiB of an input that is known to have
    /// at most 8 MiB, and 16 MiB of one that has more than 256 GiB.
    #[must_use]
    pub fn segment_len(mut self, bytes: u64) -> Sealer {
        self.form.segment_len = Some(bytes);
        self
    }

    /// Adds a key-value pair, encrypted with the stream; 64 KiB in all. Keys that begin with `cofferdam.` are this library's:
    /// with `cofferdam.file` a regular file's mode and time of modification are kept, where it is sealed by its path.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Sealer {
        self.form.metadata.push((key.into(), value.into()));
        self
    }

    /// Numbers the stream, so that [`Opener::min_sequence`](crate::Opener::min_sequence) can refuse an older one: for each backup of the
    /// same thing a higher number. It is kept as the pair `cofferdam.sequence`, encrypted. Anyone who knows a recipient can seal a
    /// stream with any number: it protects only where the sealer is known by other means.
    #[must_use]
    pub fn sequence(mut self, sequence: u64) -> Sealer {
        self.form.sequence = Some(sequence);
        self
    }

    /// Keeps the pairs of a stream that is sealed anew, as [`Plaintext::metadata`](crate::Plaintext::metadata) gives them, this library's own
    /// too: number, mode and time. One of them gives way to a pair of [`Sealer::metadata`], a number of [`Sealer::sequence`], and the mode
    /// and time of a file that is sealed by its path.
    #[must_use]
    pub fn keep_metadata(mut self, pairs: Metadata) -> Sealer {
        self.form.kept = pairs;
        self
    }

    /// What [`Sealer::seal_file`] does with an output that exists. Default: refuse.
    #[must_use]
    pub fn if_exists(mut self, if_exists: IfExists) -> Sealer {
        self.if_exists = if_exists;
        self
    }

    /// What [`Sealer::seal_file_resumable`] does with what an interrupted call has left. Default: resume.
    #[must_use]
    pub fn on_partial(mut self, on_partial: OnPartial) -> Sealer {
        self.on_partial = on_partial;
        self
    }

    /// Seals all of `source` into `sink` and publishes it.
    ///
    /// # Errors
    /// The sink has been dropped unpublished, unless the kind is [`crate::ErrorKind::DurabilityUnknown`].
    pub fn seal(&self, source: impl Source + 'static, sink: impl StreamingSink) -> Result<Sealed, Error> {
        self.stream().seal_with(Box::new(source), Metadata::new(), |_| Ok(sink))
    }

    /// Seals the file at `input` (a FIFO or a device too) into a file at `output`, all or nothing.
    ///
    /// # Errors
    /// As [`Sealer::seal`]. An output that exists is refused before anything is read, unless replacing was asked for.
    pub fn seal_file(&self, input: impl AsRef<Path>, output: impl AsRef<Path>) -> Result<Sealed, Error> {
        let (input, output) = (input.as_ref(), output.as_ref());
        refuse_same_file(input, output)?;
        let target = Target::resolve(output, self.if_exists, &self.resources.cancel)?;
        let FileInput { source, metadata, .. } = FileInput::open(input)?;
        self.seal_into(source, metadata, target)
    }

    /// Seals all of `source` into a file at `output`, all or nothing.
    ///
    /// # Errors
    /// As [`Sealer::seal_file`].
    pub fn seal_to(&self, source: impl Source + 'static, output: impl AsRef<Path>) -> Result<Sealed, Error> {
        let target = Target::resolve(output.as_ref(), self.if_exists, &self.resources.cancel)?;
        self.seal_into(Box::new(source), Metadata::new(), target)
    }

    pub(crate) fn seal_into(
        &self,
        source: Box<dyn Source>,
        of_input: Metadata,
        target: Target<'_>,
    ) -> Result<Sealed, Error> {
        match target {
            Target::Fifo(sink) => self.stream().seal_with(source, of_input, |_| Ok(sink)),
            Target::Staged { path, if_exists } => {
                let observer = self.resources.observer.clone();
                self.stream().seal_with(source, of_input, |len| {
                    self.resources.tell_staging();
                    stage(path, &of_ciphertext(if_exists, len.exactly()), observer)
                })
            }
        }
    }

    /// As [`Sealer::seal_file`], but keeps what has been sealed when it is interrupted: by an error, a cancellation
    /// or a crash. The same call then resumes after the last segment that is complete, authentic and of the input as
    /// it is now (FORMAT F12.7). It needs no key that opens the stream.
    ///
    /// The input must be a regular file, and must not change. Until the output is published, the sealed bytes are
    /// kept beside it, where nothing is trusted without proof. The proof uses a state file of less than 5 KB in
    /// `state_dir`, which is created if missing and which nobody else may write: **it holds the key of the unfinished
    /// stream**. It is found by the output's real path, and removed when the seal is complete. An interrupted stream
    /// keeps its recipients, its metadata and its format options.
    ///
    /// # Errors
    /// As [`Sealer::seal_file`]; [`Error::resumable_bytes`] says how much is kept.
    /// [`crate::ErrorKind::SourceChanged`] if the input has changed; [`crate::ErrorKind::JournalMismatch`] if bytes
    /// are kept without a state, or something else was interrupted beside the output; [`crate::ErrorKind::Usage`] if
    /// the sealer's format options differ, or others can write `state_dir`.
    pub fn seal_file_resumable(
        &self,
        input: impl AsRef<Path>,
        output: impl AsRef<Path>,
        state_dir: impl AsRef<Path>,
    ) -> Result<Sealed, Error> {
        let (input, output, state_dir) = (input.as_ref(), output.as_ref(), state_dir.as_ref());
        self.refuse_other_format()?;
        refuse_same_file(input, output)?;
        self.seal_input_resumable(FileInput::open(input)?, output, state_dir)
    }

    /// Of a sealing that is to resume.
    pub(crate) fn refuse_other_format(&self) -> Result<(), Error> {
        if self.form.sealed_as != SealedAs::Cofferdam {
            let what = "nothing is kept of a sealing in another format, so that none is resumed";
            return Err(Error::new(ErrorKind::Usage, what));
        }
        Ok(())
    }

    pub(crate) fn seal_input_resumable(
        &self,
        input: FileInput,
        output: &Path,
        state_dir: &Path,
    ) -> Result<Sealed, Error> {
        let (if_exists, on_partial) = (self.if_exists, self.on_partial);
        #[cfg(feature = "parts")]
        crate::tree_leftovers::refuse_restart_over_plan(output, on_partial)?;
        ResumableSeal { stream: self.stream(), output, state_dir, if_exists, on_partial }.run(input)
    }

    pub(crate) fn stream(&self) -> SealOptions<'_> {
        SealOptions { recipients: &self.recipients, form: &self.form, resources: &self.resources }
    }
}

crate::resource_setters::resource_setters!(Sealer);
