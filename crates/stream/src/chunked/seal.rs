//! Seals an age file: a header by the age library, and its payload through the pipeline.
//! It joins the parts and does none of their work.

use std::sync::Arc;

use contract::{Checkpoint, Durability, StreamingSink};
use foreign::{AgeSealing, Format, Wholeness};
use frame_worker::FrameWorker;
use framing::{DigestKind, StreamId};
use segment_worker::{Committed, ReleasePolicy, Settings};
use sources::Source;

use super::ForeignSummary;
use super::age_feed::{AgeFeed, AgeInput};
use super::runs::NO_CHAIN;
use super::window::window_memory_len;
use crate::feed::CancellableSource;
use crate::feed::paced::PacedFeed;
use crate::progress::Meter;
use crate::seal::{FormatOptions, SealOptions, Sealed, SealedLen};
use crate::stream_metrics::{Operation, StreamMetrics};
use crate::{Error, ErrorKind, StreamDigest};

impl SealOptions<'_> {
    /// Seals `source` as an age file into the sink that `make_sink` makes once the file's length is known, if it is.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for what an age file cannot have, and for recipients that it cannot be for.
    pub(crate) fn seal_age_with<S: StreamingSink>(
        &self,
        source: Box<dyn Source>,
        make_sink: impl FnOnce(SealedLen) -> Result<S, Error>,
    ) -> Result<Sealed, Error> {
        refuse_options(self.form)?;
        self.resources.check()?;
        let sealing =
            AgeSealing::new(self.recipients, self.resources.backend).map_err(|error| match error {
                keys::KeyError::Recipient { .. } => Error::new(ErrorKind::Usage, error.to_string()),
                error => Error::key(error),
            })?;
        let input = AgeInput::new(Box::new(CancellableSource::new(source, &self.resources.cancel)));
        let sink = make_sink(match input.len() {
            Some(len) => SealedLen::Exactly(sealing.file_len(len)),
            None => SealedLen::Unknown,
        })?;
        self.run_age(input, sealing, sink)
    }

    fn run_age(
        &self,
        input: AgeInput,
        sealing: AgeSealing,
        sink: impl StreamingSink,
    ) -> Result<Sealed, Error> {
        let (resources, total) = (self.resources, input.len());
        let budget = resources.budget();
        let full = AgeSealing::full();
        let plan_with = |fixed_len| resources.plan_chunks(full, &budget, total, fixed_len);
        let mut plan = plan_with(0);
        if total.is_none() {
            plan = plan_with(window_memory_len(plan.demand.run_len));
        }
        let run_len = plan.demand.run_len / full.wire * full.plaintext;
        let workers = resources.workers(total.is_some_and(|len| len <= run_len as u64))?;
        let start = Committed::at_start(NO_CHAIN);
        let mut id = [0; 16];
        id.copy_from_slice(&sealing.identity()[..16]);
        let stream_id = StreamId(id);
        let metrics = StreamMetrics::new(Operation::Seal, stream_id, &budget, &start, 0);
        let mut meter = Meter::new(resources.observer.clone(), total, 0);
        let feed = AgeFeed::new(input, Arc::new(sealing), run_len);
        let mut feed = PacedFeed::new(feed, resources, &budget, plan.demand.run_len, &metrics);
        let settings = Settings {
            executor: workers.executor(),
            budget: &budget,
            release: ReleasePolicy::AtOnce,
            durability: Durability::AtFinish,
            cancel: &resources.cancel,
            demand: plan.demand,
            shape: FrameWorker::chunks_shape(),
            stages: metrics.stages(),
            // Nothing of a sealing is kept: nobody asks how far it got.
            checkpoint: &|_| Checkpoint::from_bytes([0; Checkpoint::LEN]),
            observe: &mut |committed| {
                meter.committed(committed, 0, metrics.passed());
                metrics.committed(committed);
            },
        };
        let sealed = metrics
            .ended(segment_worker::seal(&mut feed, sink, start, settings))
            .map_err(|error| Error::sealing(error).without_segment())?;
        Ok(Sealed {
            stream_id,
            segments: sealed.segments,
            plaintext_len: sealed.plaintext_len,
            wire_len: sealed.wire_len,
            // There is no digest, so nobody can pin it or sign it.
            digest: DigestKind::Tags,
            stream_digest: StreamDigest([0; 32]),
            sequence: None,
            resumed_bytes: 0,
            foreign: Some(ForeignSummary { format: Format::Age, claim: Wholeness::Proved }),
        })
    }
}

/// What an age file has no place for.
fn refuse_options(form: &FormatOptions) -> Result<(), Error> {
    let FormatOptions {
        sealed_as: _,
        suite,
        digest,
        frame_len,
        segment_len,
        compression,
        metadata,
        sequence,
        content,
        kept,
    } = form;
    let given = [
        (suite.is_some(), "another cipher"),
        (digest.is_some(), "a digest"),
        (frame_len.is_some(), "frames of another length"),
        (segment_len.is_some(), "segments"),
        (compression.is_some(), "compression"),
        (!metadata.is_empty() || !kept.is_empty(), "metadata"),
        (sequence.is_some(), "a sequence number"),
        (content.is_some(), "a note that it is a tree"),
    ];
    match given.iter().find(|(given, _)| *given) {
        Some((_, what)) => Err(Error::new(ErrorKind::Usage, format!("an age file cannot have {what}"))
            .advise("Leave that choice away, or seal a stream of this library's own format.")),
        None => Ok(()),
    }
}
