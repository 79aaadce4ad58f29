//! One stream of a drill: restored and checked, verified, or sampled, as `restore` and `verify` do it.
//! It turns the file's words into an opener; the library opens. What was found out is in the record, also of a failure.

use std::path::Path;
use std::time::Instant;

use cofferdam::{
    Attributes, CancelToken, ErrorKind, Identities, NullSink, Observer as _, Opener, RateLimit, Remedy,
    Restored, Source,
};

use super::check::{self, Ended};
use super::drawing::{draw, runs};
use super::evidence::{CheckRecord, Outcome, SampleRecord, StreamRecord};
use super::file::{CheckCommand, DrillStream, Mode};
use super::freshness::TOO_OLD;
use super::program::Program;
use super::scratch::Scratch;
use crate::clock::Utc;
use crate::failure::{Failure, FailureKind};
use crate::io_arg::is_out_of_room;
use crate::printable::Name;
use crate::progress::{Warnings, Watch};
use crate::report::Report;
use crate::resources::Resources;
use crate::size::Size;
use crate::tree_reading::check_tree;
use crate::{clock, duration_text, remedy};

/// What all streams of a drill share.
pub(super) struct Attempts<'a> {
    pub(super) resources: &'a Resources,
    pub(super) rate: Option<RateLimit>,
    pub(super) cancel: &'a CancelToken,
    pub(super) report: Report,
    pub(super) on_failure: OnFailure,
}

/// What becomes of the scratch directory of a stream that failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OnFailure {
    Remove,
    Keep,
}

impl Attempts<'_> {
    /// Tries one stream. `identities` are none where the file names no key.
    pub(super) fn run(
        &self,
        stream: &DrillStream,
        identities: Result<Option<Identities>, Failure>,
    ) -> (StreamRecord, Option<Failure>) {
        let mut record = StreamRecord::new(stream);
        if self.cancel.is_cancelled() {
            return (record, None);
        }
        let begun = Instant::now();
        record.begun = Some(Utc(clock::seconds()));
        let ended = identities.and_then(|identities| self.try_one(stream, identities, &mut record));
        let ended = ended.map_err(in_words_of_a_drill);
        record.seconds = Some(begun.elapsed().as_secs_f64());
        match ended {
            Ok(()) => {
                record.result = Outcome::Passed;
                (record, None)
            }
            Err(failure) => {
                record.failed(&failure);
                (record, Some(failure.of_part(&stream.name)))
            }
        }
    }

    fn try_one(
        &self,
        stream: &DrillStream,
        identities: Option<Identities>,
        record: &mut StreamRecord,
    ) -> Result<(), Failure> {
        if stream.sealed.is_in_order() {
            return Err(Failure::usage(format!("{} is a pipe: a drill is repeated", stream.sealed))
                .advise("Name a file, a block device or a URL."));
        }
        let is_keyed = identities.is_some();
        let opener = identities.map_or_else(Opener::keyless, Opener::new);
        let verb = match stream.mode {
            Mode::Restore { .. } => "restoring",
            Mode::Verify => "verifying",
            Mode::Sample { .. } => "sampling",
        };
        let watch = Watch::new(self.report, verb, Warnings::AtOnce);
        let opener = self.resources.opener(opener, self.cancel, watch.clone());
        let opener = self.rate.iter().cloned().fold(opener, Opener::rate_limit);
        let opener = opener.attributes(Attributes::Ignore);
        let found = self.inspect(stream, is_keyed.then_some(&opener), record)?;
        let opener = stream.min_sequence.into_iter().fold(opener, Opener::min_sequence);
        let opener = stream.expect_digest.into_iter().fold(opener, Opener::expect_digest);
        let (opener, signer) = stream.signed_by.demand(opener, &stream.sealed, self.cancel, self.report)?;
        let ended = match &stream.mode {
            Mode::Restore { scratch, check, ignore_room } => {
                let program = check.as_ref().map(|check| Program::find(&check.program)).transpose()?;
                let check = check.as_ref().zip(program);
                let len = found.filter(|_| !ignore_room);
                let scratch = make_scratch(scratch, len, record)?;
                self.restore(stream, &opener, check.as_ref(), scratch, &watch, record)
            }
            Mode::Verify => self.verify(stream, &opener, &watch, record),
            Mode::Sample { segments } => self.sample(stream, &opener, *segments, record),
        };
        watch.finish();
        let mut warnings = watch.said();
        warnings.retain(|warning| !record.warnings.contains(warning));
        record.warnings.extend(warnings);
        // What a stream that failed was to be signed by says nothing about it.
        ended.inspect(|()| record.signed_by = signer)
    }

    fn source(&self, stream: &DrillStream) -> Result<Box<dyn Source>, Failure> {
        stream.sealed.source(self.cancel, self.report)
    }

    /// What can be seen before anything is written: how long the plaintext is, as the stream says, and how old. What is wrong with a
    /// stream is left for whoever opens it to say.
    fn inspect(
        &self,
        stream: &DrillStream,
        opener: Option<&Opener>,
        record: &mut StreamRecord,
    ) -> Result<Option<u64>, Failure> {
        let inspected = cofferdam::inspect_source(self.source(stream)?);
        inspected.iter().for_each(|inspection| record.inspected(inspection));
        if let Some(Ok(metadata)) =
            opener.map(|opener| self.source(stream).map(|source| opener.metadata(source)))
            && let Ok(metadata) = metadata
        {
            // What has these pairs may be another stream than was inspected.
            stream.age.check(&metadata, record).inspect_err(|_| record.forget_structure())?;
        }
        Ok(inspected.ok().and_then(|inspection| Some(inspection.trailer?.plaintext_len)))
    }

    /// Restores all of it, runs the check, and removes what was restored.
    fn restore(
        &self,
        stream: &DrillStream,
        opener: &Opener,
        check: Option<&(&CheckCommand, Program)>,
        scratch: Scratch,
        watch: &Watch,
        record: &mut StreamRecord,
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        let ended = self
            .source(stream)
            .and_then(|source| opener.restore_to(source, scratch.target()).map_err(of_scratch))
            .map_err(|failure| not_opened(failure, stream, record))
            .and_then(|restored| self.opened(stream, opener, &restored, begun, record))
            .and_then(|()| {
                watch.finish();
                check.map_or(Ok(()), |(check, program)| self.check(check, program, &scratch, record))
            });
        // A check may have moved it.
        let is_whole = record.check.is_some() || scratch.target().exists();
        let can_be_kept = is_whole && !self.cancel.is_cancelled();
        match ended {
            Err(failure) if self.on_failure == OnFailure::Keep && can_be_kept => {
                let kept = scratch.keep();
                Err(failure.advise_also(&format!(
                    "What was restored is kept in {}, in clear: remove it when you have looked at it.",
                    Name::from(&*kept)
                )))
            }
            Err(failure) => match scratch.end() {
                Ok(()) if can_be_kept => {
                    Err(failure.advise_also("Nothing of what was restored is left; `--keep` keeps it."))
                }
                Ok(()) => Err(failure.advise_also("Nothing of what was restored is left.")),
                Err(left) => {
                    self.report.warning(left.message);
                    Err(failure)
                }
            },
            Ok(()) => scratch.end(),
        }
    }

    fn verify(
        &self,
        stream: &DrillStream,
        opener: &Opener,
        watch: &Watch,
        record: &mut StreamRecord,
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        let verified = self.source(stream).and_then(|source| opener.verify(source).map_err(Failure::from));
        let verified = verified.map_err(|failure| not_opened(failure, stream, record))?;
        verified.warnings.iter().for_each(|warning| watch.warning(warning));
        self.opened(stream, opener, &verified, begun, record)
    }

    /// Notes what a stream is that proved whole. It may be another one than was looked at before. A tree is one only if its catalog and its
    /// headers fit together.
    fn opened(
        &self,
        stream: &DrillStream,
        opener: &Opener,
        restored: &Restored,
        begun: Instant,
        record: &mut StreamRecord,
    ) -> Result<(), Failure> {
        record.opened(restored, begun.elapsed().as_secs_f64());
        record.proved(stream);
        match stream.keys {
            Some(_) => stream.age.check(&restored.metadata, record)?,
            None => return Ok(()),
        }
        let checked = check_tree(restored, || Ok(opener.reader(self.source(stream)?)?));
        checked.map(drop).map_err(|failure| failure.of_input(&stream.sealed))
    }

    /// Opens segments drawn at random, each as a part of its own.
    fn sample(
        &self,
        stream: &DrillStream,
        opener: &Opener,
        count: u64,
        record: &mut StreamRecord,
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        let reader = self.source(stream).and_then(|source| opener.reader(source).map_err(Failure::from));
        let reader = reader.map_err(|failure| not_opened(failure, stream, record))?;
        let (stream_id, segments) = (reader.stream_id(), reader.segments());
        record.set_stream_id(stream_id);
        stream.age.check(reader.metadata(), record)?;
        record.segments = Some(segments);
        record.plaintext_bytes = Some(reader.len());
        // What it holds of the memory is needed for what follows.
        drop(reader);
        let drawn = draw(count, segments)?;
        let mut sample = SampleRecord {
            segments: drawn.iter().copied().collect(),
            of_segments: segments,
            plaintext_bytes: 0,
        };
        let parts = runs(&drawn).into_iter().map(|range| (range, NullSink::new())).collect();
        let opened =
            self.source(stream).and_then(|source| opener.open_parts(parts, source).map_err(Failure::from));
        for receipt in opened.map_err(|failure| not_opened(failure, stream, record))? {
            if receipt.stream_id != stream_id {
                let what = "another stream has taken its place while it was sampled";
                return Err(not_opened(Failure::new(ErrorKind::SourceChanged, what), stream, record));
            }
            record.stream_digest = Some(receipt.stream_digest.to_string());
            sample.plaintext_bytes += receipt.plaintext.end - receipt.plaintext.start;
        }
        record.took(sample.plaintext_bytes, begun.elapsed().as_secs_f64());
        record.proved(stream);
        record.sample = Some(sample);
        Ok(())
    }

    fn check(
        &self,
        check: &CheckCommand,
        program: &Program,
        scratch: &Scratch,
        record: &mut StreamRecord,
    ) -> Result<(), Failure> {
        let failed = |what: String| Failure::new(FailureKind::CheckFailed, what);
        let checked = check::run(check, program, scratch.path(), &scratch.target(), self.cancel);
        let checked = checked.map_err(|error| program.cannot_run(&error))?;
        if !checked.left.is_empty() {
            let numbers: Vec<String> = checked.left.iter().map(ToString::to_string).collect();
            let what = format!(
                "what the check has started goes on, since it could not be ended: process {}",
                numbers.join(", ")
            );
            self.report.warning(&what);
            record.warnings.push(what);
        }
        let said = record.check.insert(CheckRecord::new(check, &checked));
        let last = said.last_line().map_or(String::new(), |line| format!(": {line}"));
        match checked.ended {
            Ended::Code(0) => Ok(()),
            Ended::Code(code) => Err(failed(format!("the check ended with {code}{last}"))),
            Ended::Signal(signal) => Err(failed(format!("the check was ended by signal {signal}{last}"))),
            Ended::TimedOut => Err(failed(format!(
                "the check had not ended after {}, and was stopped{last}",
                duration_text::words(check.timeout)
            ))),
            Ended::Interrupted => Err(Failure::interrupted()),
        }
    }
}

/// A directory in `place`, which has room for the `len` bytes of the stream, if that is known.
fn make_scratch(place: &Path, len: Option<u64>, record: &mut StreamRecord) -> Result<Scratch, Failure> {
    let scratch = Scratch::make(place)?;
    record.scratch_free_bytes = scratch.free();
    match (len, record.scratch_free_bytes) {
        (Some(len), Some(free)) if len > free => {
            let place = Name::from(place);
            let what =
                format!("no room in {place}: the stream has {}, and {} are free", Size(len), Size(free));
            Err(Failure::new(ErrorKind::Io, what).advise(
                "Name a larger `scratch`; if the plaintext has many zeros, which take no room, say `ignore_room = true`.",
            ))
        }
        _ => Ok(scratch),
    }
}

/// What became of an attempt to open the stream, of which nothing is known then but what that attempt itself has opened.
fn not_opened(failure: Failure, stream: &DrillStream, record: &mut StreamRecord) -> Failure {
    record.did_not_open();
    if let Some(head) = failure.head() {
        record.set_stream_id(head.stream_id);
        // That it is too old as well is not what it failed with.
        let _ = stream.age.check(&head.metadata, record);
    }
    failure.of_input(&stream.sealed)
}

/// A drill has no options for a stream, and keeps nothing of a restore that was cut off.
fn in_words_of_a_drill(mut failure: Failure) -> Failure {
    let others = [
        (Remedy::TryLater, "Run the drill again when the place can be reached."),
        (Remedy::GiveNewer, TOO_OLD),
    ];
    for (remedy, words) in others {
        if let (Some(advice), Some(said)) = (&mut failure.advice, remedy::words(remedy)) {
            *advice = advice.replace(said, words);
        }
    }
    failure
}

/// What became of a restore into a scratch directory.
fn of_scratch(error: cofferdam::Error) -> Failure {
    match is_out_of_room(&error) {
        true => Failure::from(error).advise("Name a larger `scratch`."),
        false => Failure::from(error),
    }
}
