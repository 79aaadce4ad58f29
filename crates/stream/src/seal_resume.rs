//! Sealing that survives an interruption: what is kept of it, how far that proves right, and how it resumes.
//! It knows no bytes of the format; feeds read and write them, and the segment worker checks them.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use contract::{AttemptId, IfExists, StreamingSink as _};
use keys::StreamKey;
use local::{Opened, Published, Seen, StagedFile};
use sources::{ReadAt, Source};
use storage::{OnPartial, Sparse, StageOptions, TargetError};

use crate::compare_input::CompareInput;
use crate::file_input::FileInput;
use crate::index::{Index, Walk};
use crate::kept_beginning::{Beginning, digest_of};
use crate::kept_segments::prove;
use crate::open::OpenOptions;
use crate::progress::tell_notices;
use crate::seal::{FormatOptions, SealOptions, StreamStart, check_segments};
use crate::sealing_state::{InputMark, SealingState, StatePlace, real_path};
use crate::state_dir::StateDir;
use crate::tentative::{Opening, Retention, unfinished};
use crate::{
    ContentKind, Error, ErrorKind, InTheWay, Kept, Remedy, Sealed, StreamId, Warning, file_attributes,
    sequence,
};

/// A sealing of a regular file, or of a tree by its plan, into a file, as its caller chose, that can be resumed.
#[derive(Clone, Copy)]
pub struct ResumableSeal<'a> {
    /// How the stream is made.
    pub stream: SealOptions<'a>,
    /// The output's path.
    pub output: &'a Path,
    /// Where the state of the sealing is kept.
    pub state_dir: &'a Path,
    /// What becomes of an output that exists.
    pub if_exists: IfExists,
    /// What becomes of what an interrupted call has left.
    pub on_partial: OnPartial,
}

impl ResumableSeal<'_> {
    /// Seals `input`, or resumes behind the last segment of it that is kept and proves right.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] where `input` is no regular file; what cannot be read, sealed, kept or published.
    pub fn run(&self, input: FileInput) -> Result<Sealed, Error> {
        let FileInput { source, known_by, metadata } = input;
        let (Some(known_by), Some(positioned)) = (known_by, source.positioned()) else {
            return Err(Error::new(ErrorKind::Usage, "only the sealing of a regular file can be resumed")
                .advise("What a pipe or a device brings cannot be known to be the same a second time."));
        };
        let checkpoint = known_by.mark();
        let key = StreamKey::generate().map_err(Error::key)?;
        let stream = self.stream.new_stream(&key, Some(checkpoint.len()), metadata)?;
        let directory = StateDir::create(self.state_dir)?;
        // As late as can be: whether the output's directory is there, the staged file says better.
        let place = real_path(self.output).ok().map(|real| StatePlace::new(directory, real));
        let goes_on_alone = known_by.is_kept_plan();
        let output = self.output;
        let sealing = Sealing { sealer: self, input: positioned, checkpoint, output, place, goes_on_alone };
        sealing.run(source, stream, key).map_err(|error| {
            // What is kept of an input that has changed is of no use.
            if known_by.is_same() { error } else { error.keeping(None) }
        })
    }

    fn tell(&self, warning: Warning) {
        if let Some(observer) = &self.stream.resources.observer {
            observer.warning(&warning);
        }
    }
}

/// A call that seals so that it can be resumed.
struct Sealing<'a> {
    sealer: &'a ResumableSeal<'a>,
    input: Arc<dyn ReadAt>,
    checkpoint: InputMark,
    output: &'a Path,
    /// None where the output has no real path: then it cannot be staged either.
    place: Option<StatePlace>,
    /// Whether nothing may be begun: see [`PlanAge::Kept`](crate::PlanAge::Kept).
    goes_on_alone: bool,
}

impl Sealing<'_> {
    fn run(&self, source: Box<dyn Source>, stream: StreamStart, key: StreamKey) -> Result<Sealed, Error> {
        let resumes = self.sealer.on_partial == OnPartial::Resume;
        match self.stage(&stream, self.sealer.on_partial) {
            Ok(Opened::Fresh(sink)) => match self.published(resumes)? {
                Some(Ok(sealed)) => return Ok(sealed),
                Some(Err(_)) | None => return self.begin(source, sink, stream, key),
            },
            Ok(Opened::Resumable { mut sink, attempt_id }) => match self.find(&mut sink, &attempt_id)? {
                Some(found) => return self.resume(source, sink, found),
                None => self.sealer.tell(Warning::NothingToResume),
            },
            Ok(Opened::Published(published)) => {
                if let Some(sealed) = self.finish(published, resumes)? {
                    return Ok(sealed);
                }
            }
            Err(error @ TargetError::Exists { .. }) => {
                return self.published(resumes)?.unwrap_or_else(|| Err(Error::target(error)));
            }
            Err(error) => return Err(Error::target(error)),
        }
        // What is left can be of no use.
        match self.stage(&stream, OnPartial::Discard).map_err(Error::target)? {
            Opened::Fresh(sink) => self.begin(source, sink, stream, key),
            Opened::Resumable { .. } | Opened::Published(_) => Err(Error::new(
                ErrorKind::TargetLocked,
                "other runs for the same output keep coming in between",
            )),
        }
    }

    fn stage(&self, stream: &StreamStart, on_partial: OnPartial) -> Result<Opened, TargetError> {
        let options = StageOptions::default()
            .if_exists(self.sealer.if_exists)
            .on_partial(on_partial)
            .expected_len(stream.sealed_len(self.checkpoint.len()))
            // Ciphertext has no runs of zeros, and its room is known.
            .sparse(Sparse::Never);
        self.sealer.stream.resources.tell_staging();
        StagedFile::open(self.output, &options, &sealing_label())
    }

    /// Seals from the start. The state is durable before the first byte of the stream is written.
    fn begin(
        &self,
        source: Box<dyn Source>,
        sink: StagedFile,
        stream: StreamStart,
        key: StreamKey,
    ) -> Result<Sealed, Error> {
        if self.goes_on_alone {
            let place = self.place()?;
            if let Some(bytes) = place.find_any()? {
                place.remove_same(&bytes)?;
            }
            let what = "nothing is left of what was sealed by the plan that is kept";
            return Err(
                Error::new(ErrorKind::JournalMismatch, what).remedied(Remedy::Restart(Kept::PlanAlone))
            );
        }
        let preamble = &stream.envelope.preamble;
        let state = SealingState {
            key,
            stream_id: preamble.stream_id,
            beginning: digest_of(&stream.head, preamble.key_copy_len),
            input: self.checkpoint,
        };
        self.place()?.keep(&state)?;
        self.seal(source, sink, stream)
    }

    fn resume(
        &self,
        source: Box<dyn Source>,
        mut sink: StagedFile,
        stream: StreamStart,
    ) -> Result<Sealed, Error> {
        sink.resume_at(stream.start.segments, stream.start.sink_len).map_err(unusable)?;
        if let Some(observer) = &self.sealer.stream.resources.observer {
            observer.resumed(stream.start.plaintext_len, stream.start.segments);
        }
        self.seal(source, sink, stream)
    }

    /// Seals the rest. The state goes when it is of no more use.
    fn seal(
        &self,
        source: Box<dyn Source>,
        mut sink: StagedFile,
        stream: StreamStart,
    ) -> Result<Sealed, Error> {
        tell_notices(&mut sink, self.sealer.stream.resources.observer.clone());
        let stream_id = stream.envelope.preamble.stream_id;
        let sealed = self.sealer.stream.run(source, sink, stream, Retention::Progress);
        let is_of_use = match &sealed {
            Ok(_) => false,
            Err(error) if error.kind() == ErrorKind::DurabilityUnknown => true,
            Err(_) => !matches!(StagedFile::examine(self.output, self.sealer.if_exists), Ok(Seen::Nothing)),
        };
        if !is_of_use {
            self.forget(stream_id);
        }
        sealed
    }

    /// What an earlier attempt has sealed of the input, as far as it proves right. `None`: nothing is left that could.
    fn find(&self, sink: &mut StagedFile, attempt_id: &AttemptId) -> Result<Option<StreamStart>, Error> {
        if *attempt_id != sealing_label() {
            return Err(not_a_sealing());
        }
        let Some(kept) = sink.resumable() else { return Ok(None) };
        let Some(state) = self.place()?.find()? else {
            // A crash before the first byte leaves an empty file, and no state.
            return if kept.len() == 0 { Ok(None) } else { Err(without_state()) };
        };
        state.check_input(&self.checkpoint)?;
        let backend = self.sealer.stream.resources.backend;
        let Some(Beginning { envelope, wrong_copy }) = Beginning::read(&*kept, &state, backend)? else {
            return Ok(None);
        };
        self.sealer.stream.form.check_fits(&envelope)?;
        let envelope = envelope.sealing_at(self.sealer.stream.form.compression)?;
        check_segments(envelope.shape(), Some(self.checkpoint.len()))?;
        if let Some(copy) = wrong_copy {
            sink.mend(copy.position, &copy.bytes).map_err(unusable)?;
        }
        let mend = &mut |at, bytes: &[u8]| sink.mend(at, bytes);
        let found = prove(kept, &self.input, envelope, self.sealer.stream.resources, mend)?;
        Ok((found.start.segments > 0).then_some(found))
    }

    /// An earlier attempt has put the output in place and was cut off before it had tidied up; so says a journal that
    /// anybody may have written. `None`: it is not known, and the output is like any other.
    fn finish(&self, published: Published, resumes: bool) -> Result<Option<Sealed>, Error> {
        let is_of_sealing = resumes && *published.attempt_id() == sealing_label();
        let Some(state) = (if is_of_sealing { self.state_of_input()? } else { None }) else {
            published.finish().map_err(unfinished)?;
            return Ok(None);
        };
        match self.compare_output(&state)? {
            Ok(sealed) => {
                published.finish().map_err(unfinished)?;
                self.forget(state.stream_id);
                Ok(Some(sealed))
            }
            Err(_) if self.sealer.if_exists == IfExists::Replace => {
                published.finish().map_err(unfinished)?;
                Ok(None)
            }
            Err(cause) => {
                // What is left vouches for nothing any more, and is in nobody's way but this sealing's.
                let _ = published.finish();
                self.forget(state.stream_id);
                Err(changed_since(cause))
            }
        }
    }

    /// No journal says so, but there are a state and an output: the crash came after the journal was removed, or the output
    /// has been written since. `None`: it is not known, and the output is like any other.
    fn published(&self, resumes: bool) -> Result<Option<Result<Sealed, Error>>, Error> {
        if !resumes || !fs::symlink_metadata(self.output).is_ok_and(|found| !found.is_dir()) {
            return Ok(None);
        }
        let Some(state) = self.state_of_input()? else { return Ok(None) };
        let compared = self.compare_output(&state)?;
        match StagedFile::examine(self.output, self.sealer.if_exists) {
            Ok(Seen::Nothing) => {}
            // There is something to go on with, as soon as the output is out of its way.
            Ok(Seen::Unfinished { .. } | Seen::Published { .. }) | Err(_) if compared.is_err() => {
                return Ok(None);
            }
            Ok(Seen::Unfinished { .. } | Seen::Published { .. }) | Err(_) => {}
        }
        if self.sealer.if_exists == IfExists::Refuse {
            // A journal without a staging file, which says nothing any more; who holds one is at work on it.
            let _ = StagedFile::remove_beside(self.output);
        }
        // Without kept bytes a state is of no use, whatever the output is.
        self.forget(state.stream_id);
        Ok(Some(compared.map_err(changed_since)))
    }

    /// The state that is kept, if it is of the input that is at hand.
    fn state_of_input(&self) -> Result<Option<SealingState>, Error> {
        let Some(place) = &self.place else { return Ok(None) };
        Ok(place.find()?.filter(|state| state.check_input(&self.checkpoint).is_ok()))
    }

    /// Opens all of the output with the key of `state`, and compares every byte with the input. The inner error says why
    /// it is not what was to be sealed.
    fn compare_output(&self, state: &SealingState) -> Result<Result<Sealed, Error>, Error> {
        use ErrorKind::{Damaged, Limit, NotAStream, Truncated, Unsupported};
        match self.open_output(state) {
            Ok(sealed) => Ok(Ok(sealed)),
            Err(error) if matches!(error.kind(), Damaged | Limit | NotAStream | Truncated | Unsupported) => {
                Ok(Err(error))
            }
            Err(error) => Err(error),
        }
    }

    fn open_output(&self, state: &SealingState) -> Result<Sealed, Error> {
        let broken = || Error::damaged("the output is not the stream whose sealing was interrupted");
        let metadata = fs::symlink_metadata(self.output);
        let metadata = metadata.map_err(|error| Error::io("the output could not be read", error))?;
        if !metadata.is_file() && !metadata.is_symlink() {
            return Err(broken());
        }
        let source = sources::open_path(self.output)
            .map_err(|error| Error::io("the input could not be opened", error))?;
        let source = source.positioned().ok_or_else(broken)?;
        let wire_len = source.len();
        let resources = self.sealer.stream.resources;
        let beginning = Beginning::read(&*source, state, resources.backend)?.ok_or_else(broken)?;
        if beginning.wrong_copy.is_some() {
            return Err(Error::damaged("one of the output's key copies is damaged"));
        }
        let envelope = beginning.envelope;
        let index = Index::read(&*source, &envelope)?.ok_or_else(broken)?;
        let (sink, comparison) = CompareInput::with(self.input.clone());
        let opening = Opening::plain(sink, &envelope);
        let walk = Walk::new(source, &envelope, index);
        let verified = OpenOptions::without_keys(resources).open_placed(walk, opening)?;
        if comparison.difference_before(u64::MAX).is_some() {
            return Err(Error::damaged("the output's plaintext is not the input's"));
        }
        Ok(Sealed {
            stream_id: verified.stream_id,
            segments: verified.segments,
            plaintext_len: verified.plaintext_len,
            wire_len,
            digest: verified.digest,
            stream_digest: verified.stream_digest,
            sequence: verified.sequence(),
            resumed_bytes: verified.plaintext_len,
            #[cfg(feature = "foreign")]
            foreign: None,
        })
    }

    fn place(&self) -> Result<&StatePlace, Error> {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        self.place.as_ref().ok_or_else(|| Error::io("the output's directory could not be examined", gone()))
    }

    fn forget(&self, stream_id: StreamId) {
        if let Some(place) = &self.place
            && place.remove(stream_id).is_err()
        {
            self.sealer.tell(Warning::SealingStateLeft);
        }
    }
}

impl FormatOptions {
    /// A stream keeps the form that it was begun in.
    fn check_fits(&self, envelope: &crate::envelope::Envelope) -> Result<(), Error> {
        let preamble = &envelope.preamble;
        let mut metadata = self.metadata.clone();
        metadata.sort();
        let found = sequence::find(&envelope.metadata);
        let of_caller = envelope.metadata.iter().filter(|(key, _)| !file_attributes::is_reserved(key));
        let fits = [
            ("suite", self.suite.is_none_or(|suite| suite == preamble.suite)),
            ("digest", self.digest.is_none_or(|digest| digest == preamble.digest)),
            ("compression", self.compression.is_none_or(|_| preamble.shape.is_compressed())),
            ("frame length", self.frame_len.is_none_or(|len| len == preamble.shape.frame_len())),
            ("segment length", self.segment_len.is_none_or(|len| len == preamble.shape.segment_len())),
            ("sequence number", self.sequence.is_none_or(|number| found == Some(Ok(number)))),
            ("content", self.content == ContentKind::of_metadata(&envelope.metadata)?),
            ("metadata", metadata.is_empty() || metadata.iter().eq(of_caller)),
        ];
        match fits.iter().find(|(_, fits)| !fits) {
            None => Ok(()),
            Some((what, _)) => {
                Err(Error::new(ErrorKind::Usage, format!("the interrupted stream has another {what}"))
                    .remedied(Remedy::Restart(Kept::OtherOptions)))
            }
        }
    }
}

/// What a journal beside an output says: that the bytes beside it are a sealing's, and nothing else. It is no proof of
/// anything, and no part of the state.
pub fn sealing_label() -> AttemptId {
    AttemptId::new(b"CFDSEAL\x02").expect("it is shorter than a label may be")
}

fn changed_since(cause: Error) -> Error {
    let what = "an earlier sealing put the output in place, and it is not what was sealed any more";
    Error::new(ErrorKind::TargetExists, what)
        .remedied(Remedy::Replace(InTheWay::ChangedOutput))
        .because(cause)
}

fn not_a_sealing() -> Error {
    let what = "what is kept beside the output is not of a sealing that this release can go on with";
    Error::new(ErrorKind::JournalMismatch, what).remedied(Remedy::Restart(Kept::NotASealing))
}

fn without_state() -> Error {
    let what =
        "bytes of an interrupted sealing are kept beside the output, and no state says that they are ours";
    Error::new(ErrorKind::JournalMismatch, what).remedied(Remedy::Restart(Kept::SealingWithoutState))
}

fn unusable(error: io::Error) -> Error {
    Error::io("what the interrupted sealing has left could not be used", error)
        .remedied(Remedy::Restart(Kept::Unreadable))
}
