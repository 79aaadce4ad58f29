//! Sealing that survives an interruption: what is kept of it, how far that can be trusted, and going on behind it.
//! It knows no bytes of the format; feeds read and write them, and the segment worker checks them.

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use frame_worker::{FrameIndex, FrameWorker};
use keys::{Identities, macs_equal};
use segment_worker::{Committed, Release, Settings, StreamError};
use sinks::{
    Checkpoint, Durability, Earlier, Label, NullSink, Opened, Published, StageOptions, StagedFile,
    StreamingSink,
};
use sources::{ReadAt, Source};

use crate::envelope::Envelope;
use crate::feed::kept::{KeptFeed, KeptSource, Mend};
use crate::feed::placed::header_of;
use crate::files::{open_source, refuse_same_file};
use crate::index::{Index, Walk};
use crate::opener::Opener;
use crate::placed_envelope::read_placed_envelope;
use crate::sealer::{Begun, Form, Sealer, check_segments};
use crate::sealing_state::{FoundState, InputMark, SealingState, other_bytes};
use crate::tentative::{Keeps, Opening, unfinished};
use crate::{Error, ErrorKind, Sealed, Warning};

impl Sealer {
    /// As [`Sealer::seal_file`], but keeps what has been sealed when it is interrupted: by an error, a cancellation or a
    /// crash. The same call then goes on behind the last segment that is whole and authentic (FORMAT F12.7).
    ///
    /// The input has to be a regular file, and to stay as it is. Beside the output stand the sealed bytes and a state of
    /// less than 1 KB, with no secret in it, until the output is published. What was interrupted keeps its recipients,
    /// its metadata and its form.
    ///
    /// # Errors
    /// As [`Sealer::seal_file`]; [`Error::kept`] says how much is kept. [`ErrorKind::Io`] also where the input has
    /// changed, [`ErrorKind::NoKey`] where nothing given opens the interrupted stream, [`ErrorKind::OtherJournal`] where
    /// something else was interrupted beside the output, [`ErrorKind::Usage`] where the sealer asks for another form.
    pub fn seal_file_resumable(
        &self,
        input: &Path,
        output: &Path,
        identities: &Identities,
    ) -> Result<Sealed, Error> {
        refuse_same_file(input, output)?;
        let (source, mark) = open_marked(input)?;
        self.seal_marked(source, mark, output, identities).map_err(|error| {
            // What is kept of an input that has changed is of no use.
            let is_same = fs::metadata(input).is_ok_and(|metadata| InputMark::of(&metadata) == mark);
            if is_same { error } else { error.keeping(None) }
        })
    }

    fn seal_marked(
        &self,
        source: Box<dyn Source>,
        mark: InputMark,
        output: &Path,
        identities: &Identities,
    ) -> Result<Sealed, Error> {
        let stream = self.new_stream(Some(mark.len()))?;
        match self.stage(output, &stream, mark, self.earlier)? {
            Opened::Fresh(sink) => return self.run(source, sink, stream, Keeps::Progress),
            Opened::Resumable { mut sink, label } => match self.find(&mut sink, &label, &mark, identities)? {
                Some(found) => return self.go_on(source, sink, found),
                None => self.tell(&Warning::NothingToGoOnWith),
            },
            Opened::Published(published) => {
                if let Some(state) = state_of(published.label(), &mark) {
                    return self.finish(published, &state, output, identities);
                }
                // Of another input: it is done, and its output a target like any other.
                published.finish().map_err(unfinished)?;
            }
        }
        // What is left can be of no use.
        match self.stage(output, &stream, mark, Earlier::Discard)? {
            Opened::Fresh(sink) => self.run(source, sink, stream, Keeps::Progress),
            Opened::Resumable { .. } | Opened::Published(_) => {
                unreachable!("what is to be discarded is not offered")
            }
        }
    }

    fn stage(
        &self,
        output: &Path,
        stream: &Begun,
        mark: InputMark,
        earlier: Earlier,
    ) -> Result<Opened, Error> {
        let schedule = stream.envelope.schedule.as_ref().expect("who seals has the key");
        let label = SealingState::new(&stream.envelope.preamble, mark).to_label(schedule);
        let label = Label::new(&label).expect("the state is shorter than a label may be");
        let expected_len = Some(stream.sealed_len(mark.len()));
        let options = StageOptions { existing: self.existing, earlier, expected_len };
        self.resources.tell_staging();
        StagedFile::open(output, &options, &label).map_err(Error::target)
    }

    fn go_on(&self, source: Box<dyn Source>, mut sink: StagedFile, stream: Begun) -> Result<Sealed, Error> {
        let kept = stream.start.plaintext_len;
        self.check_last_segment(&*source, &stream)?;
        sink.resume_at(stream.start.segments, stream.start.sink_len).map_err(unusable)?;
        if let Some(observer) = &self.resources.observer {
            observer.resumed(kept, stream.start.segments);
        }
        self.run(source, sink, stream, Keeps::Progress)
    }

    /// What an earlier attempt has sealed of the input, as far as it verifies. `None`: nothing whole is left.
    fn find(
        &self,
        sink: &mut StagedFile,
        label: &Label,
        mark: &InputMark,
        identities: &Identities,
    ) -> Result<Option<Begun>, Error> {
        let state = FoundState::parse(label.as_bytes())?;
        state.check_input(mark)?;
        let Some(kept) = sink.kept() else { return Ok(None) };
        let kept: Arc<dyn ReadAt> = Arc::new(KeptSource::new(kept).map_err(unusable)?);
        let Some(envelope) = self.kept_envelope(&*kept, identities)? else { return Ok(None) };
        let schedule = envelope.schedule.as_ref().expect("it was opened with a key");
        state.authenticate(&envelope.preamble, schedule)?;
        self.form.check_fits(&envelope)?;
        check_segments(envelope.shape(), Some(mark.len()))?;
        envelope.warnings.iter().for_each(|warning| self.tell(warning));
        let found = self.walk(kept, envelope, mark.len(), &mut |at, bytes| sink.mend(at, bytes))?;
        Ok((found.start.segments > 0).then_some(found))
    }

    /// Without its beginning, nothing of a stream can be used.
    fn kept_envelope(&self, kept: &dyn ReadAt, identities: &Identities) -> Result<Option<Envelope>, Error> {
        match self.keyed_envelope(kept, identities) {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Damaged | ErrorKind::NotAStream | ErrorKind::Truncated
                ) =>
            {
                Ok(None)
            }
            other => other,
        }
    }

    /// The beginning of a sealed stream, opened with a key.
    fn keyed_envelope(
        &self,
        source: &dyn ReadAt,
        identities: &Identities,
    ) -> Result<Option<Envelope>, Error> {
        let given = (!identities.is_empty()).then_some(identities);
        match read_placed_envelope(source, given, &self.resources) {
            Ok(Some(envelope)) if envelope.schedule.is_none() => Err(Error::new(
                ErrorKind::NoKey,
                "an interrupted sealing of this output can go on only with a key that opens it, and none was given",
            )
            .advise(NO_KEY)),
            Err(error) if error.kind() == ErrorKind::NoKey => Err(error.advise(NO_KEY)),
            other => other,
        }
    }

    /// An earlier attempt has published the output, and was cut off before it could say so, if its journal is right. Whoever
    /// can write beside the output can write that, and the output may have changed: it is believed once all of it has been
    /// opened.
    fn finish(
        &self,
        published: Published,
        state: &FoundState,
        output: &Path,
        identities: &Identities,
    ) -> Result<Sealed, Error> {
        use ErrorKind::{Damaged, OtherJournal, Truncated, Unsupported};
        match self.verify_published(state, output, identities) {
            Ok(sealed) => {
                published.finish().map_err(unfinished)?;
                Ok(sealed)
            }
            Err(error) if matches!(error.kind(), Damaged | OtherJournal | Truncated | Unsupported) => {
                // What is left vouches for nothing any more, and is in nobody's way but this sealing's.
                let _ = published.finish();
                let what =
                    "an earlier sealing put the output in place, and it is not what was sealed any more";
                Err(Error::new(ErrorKind::TargetExists, what)
                    .advise("Run the command again with `--force`: that replaces the output, atomically.")
                    .because(error))
            }
            Err(error) => Err(error),
        }
    }

    /// Opens all of the output and throws the plaintext away.
    fn verify_published(
        &self,
        state: &FoundState,
        output: &Path,
        identities: &Identities,
    ) -> Result<Sealed, Error> {
        let broken = || Error::damaged("the output is no sealed stream");
        let metadata = fs::symlink_metadata(output);
        let metadata = metadata.map_err(|error| Error::io("the output could not be read", error))?;
        if !metadata.is_file() && !metadata.is_symlink() {
            return Err(broken());
        }
        let source = open_source(output)?.positioned().ok_or_else(broken)?;
        let wire_len = source.len();
        let envelope = self.keyed_envelope(&*source, identities)?.ok_or_else(broken)?;
        let schedule = envelope.schedule.as_ref().expect("it was opened with a key");
        state.authenticate(&envelope.preamble, schedule)?;
        let index = Index::read(&*source, &envelope)?.ok_or_else(broken)?;
        let opening = Opening::plain(NullSink::new(), &envelope);
        let verified =
            Opener::of(self.resources.clone()).open_placed(Walk::new(source, &envelope, index), opening)?;
        if !verified.warnings.is_empty() {
            return Err(Error::damaged("one of the output's key copies is damaged"));
        }
        Ok(Sealed {
            stream_id: verified.stream_id,
            segments: verified.segments,
            plaintext_len: verified.plaintext_len,
            wire_len,
            stream_digest: verified.stream_digest,
            kept: verified.plaintext_len,
        })
    }

    /// Reads what is kept of the stream from its front, and checks it as whoever opens it would.
    fn walk(
        &self,
        kept: Arc<dyn ReadAt>,
        envelope: Envelope,
        input_len: u64,
        mend: Mend<'_>,
    ) -> Result<Begun, Error> {
        let resources = &self.resources;
        let budget = resources.budget();
        let plan = resources.plan(envelope.shape(), &budget, Some(input_len));
        let workers = resources.workers_for(plan, envelope.shape(), Some(input_len))?;
        let start = Committed::at_start(envelope.chain);
        let reached = Cell::new(start);
        let mut feed = KeptFeed::new(kept, &envelope, input_len, plan.frames_per_run, &reached, mend);
        let settings = Settings {
            executor: workers.executor(),
            budget: &budget,
            release: Release::AtOnce,
            durability: Durability::AtFinish,
            cancel: &resources.cancel,
            demand: plan.demand,
            frame_len: envelope.shape().frame_len(),
            mark: &|_| Checkpoint::from_bytes([0; Checkpoint::LEN]),
            observe: &mut |committed| reached.set(*committed),
        };
        match segment_worker::open(&mut feed, NullSink::new(), start, settings) {
            Err(error) if !ends_what_is_kept(&error) => return Err(Error::walking(error)),
            _ => {}
        }
        let ledger = feed.finish()?;
        let start = Committed {
            segments: ledger.segments(),
            plaintext_len: ledger.plaintext_len(),
            sink_len: envelope.origin() + ledger.wire_len(),
            chain: reached.get().chain,
            durable_len: 0,
        };
        Ok(Begun { envelope, ledger, head: Vec::new(), start })
    }

    /// The last sealed segment's part of the input is read and sealed again, in memory, under the salt that it has
    /// (FORMAT F12.3): its digest shows whether the input is still what was sealed.
    fn check_last_segment(&self, source: &dyn Source, stream: &Begun) -> Result<(), Error> {
        let input = source.positioned().expect("a regular file lies still");
        let entry = stream.ledger.last().expect("a page ends when more segments follow");
        let index = stream.start.segments - 1;
        let (worker, mut digest) = stream.envelope.segment(&header_of(index, entry))?;
        let shape = stream.envelope.shape();
        let frame_len = shape.frame_len() as usize;
        let (mut plain, mut sealed) = (vec![0; frame_len], vec![0; shape.frame_wire_len() as usize]);
        for frame in 0..entry.frame_count {
            self.resources.look()?;
            let begin = u64::from(frame) * frame_len as u64;
            let len = (u64::from(entry.plaintext_len) - begin).min(frame_len as u64) as usize;
            input
                .read_exact_at(entry.plaintext_offset + begin, &mut plain[..len])
                .map_err(|error| Error::io("the input could not be read", error))?;
            let wire = &mut sealed[..FrameWorker::run_wire_len(shape, len)];
            digest.absorb(&worker.seal(FrameIndex(frame), &plain[..len], wire).fragment);
        }
        if macs_equal(&digest.finish(entry.frame_count), &entry.digest) {
            return Ok(());
        }
        Err(other_bytes(index))
    }

    fn tell(&self, warning: &Warning) {
        if let Some(observer) = &self.resources.observer {
            observer.warning(warning);
        }
    }
}

impl Form {
    /// A stream keeps the form that it was begun in.
    fn check_fits(&self, envelope: &Envelope) -> Result<(), Error> {
        let preamble = &envelope.preamble;
        let mut metadata = self.metadata.clone();
        metadata.sort();
        let fits = [
            ("suite", self.suite.is_none_or(|suite| suite == preamble.suite)),
            ("digest", self.digest.is_none_or(|digest| digest == preamble.digest)),
            ("frame length", self.frame_len.is_none_or(|len| len == preamble.shape.frame_len())),
            ("segment length", self.segment_len.is_none_or(|len| len == preamble.shape.segment_len())),
            ("metadata", metadata.is_empty() || metadata == envelope.metadata),
        ];
        match fits.iter().find(|(_, fits)| !fits) {
            None => Ok(()),
            Some((what, _)) => {
                Err(Error::new(ErrorKind::Usage, format!("the interrupted stream has another {what}"))
                    .advise("Leave the option away to go on with it, or seal anew with `--restart`."))
            }
        }
    }
}

/// Opens a regular file and notes what it shows of itself.
fn open_marked(input: &Path) -> Result<(Box<dyn Source>, InputMark), Error> {
    let examine = || fs::metadata(input).map_err(|error| Error::io("the input could not be opened", error));
    let before = examine()?;
    let source = open_source(input)?;
    if !before.is_file() || source.positioned().is_none() {
        return Err(Error::new(ErrorKind::Usage, "only the sealing of a regular file can be resumed")
            .advise("What a pipe or a device brings cannot be known to be the same a second time."));
    }
    let mark = InputMark::of(&before);
    // The file that was opened is the one that was examined.
    if InputMark::of(&examine()?) != mark || source.len() != Some(mark.len()) {
        return Err(Error::input_changed());
    }
    Ok((source, mark))
}

/// Whether the rest of a walk is not what was sealed; anything else is a failure of the walk itself.
fn ends_what_is_kept(error: &StreamError<Error>) -> bool {
    use ErrorKind::{Damaged, Limit, Truncated, Unsupported};
    match error {
        StreamError::Feed(error) => matches!(error.kind(), Damaged | Truncated | Limit | Unsupported),
        StreamError::Read { source, .. } => source.kind() == std::io::ErrorKind::UnexpectedEof,
        StreamError::Frame { .. } | StreamError::Segment { .. } => true,
        _ => false,
    }
}

/// The state of a sealing that was published, if it claims to be of the input that is at hand.
fn state_of(label: &Label, mark: &InputMark) -> Option<FoundState> {
    let state = FoundState::parse(label.as_bytes()).ok()?;
    state.check_input(mark).ok().map(|()| state)
}

fn unusable(error: std::io::Error) -> Error {
    Error::io("what the interrupted sealing has left could not be used", error)
        .advise("Try again, or start over with `--restart`.")
}

const NO_KEY: &str =
    "Give an identity, a passphrase or a key file that opens it, or give it up with `--restart`.";

#[cfg(test)]
mod tests {
    use std::io;

    use frame_worker::{FrameError, SegmentIndex};
    use segment_worker::SegmentFault;

    use super::*;

    #[test]
    fn damage_and_the_end_of_the_bytes_end_what_is_kept_and_failures_of_the_walk_do_not() {
        let (segment, first) = (SegmentIndex(1), FrameIndex(0));
        let read = |kind: io::ErrorKind| StreamError::Read { segment, offset: 0, source: kind.into() };
        let ends = [
            StreamError::Feed(Error::damaged("")),
            StreamError::Feed(Error::new(ErrorKind::Truncated, "")),
            StreamError::Frame { segment, first, offset: 0, source: FrameError::Closing },
            StreamError::Segment { segment, fault: SegmentFault::Digest },
            read(io::ErrorKind::UnexpectedEof),
        ];
        assert!(ends.iter().all(ends_what_is_kept));
        let failures = [
            StreamError::Feed(Error::io("", io::ErrorKind::PermissionDenied.into())),
            read(io::ErrorKind::Other),
            StreamError::Budget { needed: 2, total: 1 },
            StreamError::Panicked { segment },
            StreamError::Cancelled,
        ];
        assert!(!failures.iter().any(ends_what_is_kept));
    }
}
