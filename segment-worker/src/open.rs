//! Opening a stream: from a feed of sealed runs to a sink that is published or untouched.
//! It spends proofs and makes none: the sequencer's digest check and the comparison with the trailer do.

use contract::StreamingSink;
use frame_worker::{ChainValue, Closing};

use crate::error::{SegmentFault, StreamError};
use crate::feed::{Feed, Step, StreamEnd};
use crate::job::Work;
use crate::pending::{Closed, ClosedBy};
use crate::pipeline::{Credit, NextAction, Pipeline};
use crate::proof::Complete;
use crate::settings::{Committed, Settings};

/// What has been published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Segments.
    pub segments: u64,
    /// Plaintext bytes.
    pub plaintext_len: u64,
    /// The chain value of the last segment.
    pub stream_digest: ChainValue,
}

/// Opens the stream that `feed` brings into `sink` and publishes it.
///
/// A new stream begins at [`Committed::at_start`]. A resumed one has a later `start`, and the caller is then
/// responsible for what comes before it: it must be in the sink and proved, the sink must have been told where to
/// resume, and `feed` must bring what follows; if nothing does, the segment before must carry LAST.
///
/// # Errors
/// Any of [`StreamError`]; the sink has been dropped unpublished, unless the error is [`StreamError::Publish`].
pub fn open<F: Feed, S: StreamingSink>(
    feed: &mut F,
    sink: S,
    start: Committed,
    settings: Settings<'_>,
) -> Result<Opened, StreamError<F::Error>> {
    let mut pipeline = Pipeline::new(sink, settings, Work::Open, start)?;
    let mut credit = Credit::default();
    let mut last = false;
    let mut fed = false;
    loop {
        settle_all(feed, &mut pipeline, &mut last)?;
        match pipeline.next_action(fed, &mut credit)? {
            NextAction::Idle => break,
            NextAction::Wait => pipeline.wait()?,
            NextAction::Failed => {
                return Err(first_fault(feed, &mut pipeline, &mut last, StreamError::Cancelled));
            }
            NextAction::Feed => {
                let mut taken = Ok(());
                match feed.next(&pipeline.buffers) {
                    Ok(Step::Segment(plan)) => taken = pipeline.begin(plan),
                    Ok(Step::Run(run)) => pipeline.submit(run, &mut credit),
                    Ok(Step::Close(closing)) => pipeline.close(closing),
                    Ok(Step::End(())) => fed = true,
                    Ok(Step::NothingYet) => {}
                    Err(error) => taken = Err(StreamError::Feed(error)),
                }
                taken.map_err(|error| first_fault(feed, &mut pipeline, &mut last, error))?;
            }
        }
    }
    let said = feed.end().map_err(StreamError::Feed)?;
    let Committed { segments, plaintext_len, sink_len, chain, .. } = pipeline.driver.committed;
    let seen = StreamEnd { segments, plaintext_len, stream_digest: chain };
    let nothing_left = segments == start.segments && segments > 0;
    if said != seen || !(last || nothing_left) || !pipeline.is_empty() {
        return Err(StreamError::Trailer);
    }
    pipeline.publish(Complete { sink_len })?;
    Ok(Opened { segments, plaintext_len, stream_digest: chain })
}

/// Of several faults the one to report, which is the first in the input: that of a segment or job before `error`.
fn first_fault<F: Feed, S: StreamingSink>(
    feed: &mut F,
    pipeline: &mut Pipeline<'_, S, Closing>,
    last: &mut bool,
    error: StreamError<F::Error>,
) -> StreamError<F::Error> {
    let before = pipeline.wait_for_all().and_then(|()| settle_all(feed, pipeline, last));
    before.err().or_else(|| pipeline.failure()).unwrap_or(error)
}

/// Takes in what jobs have left and commits the segments that are all there.
fn settle_all<F: Feed, S: StreamingSink>(
    feed: &mut F,
    pipeline: &mut Pipeline<'_, S, Closing>,
    last: &mut bool,
) -> Result<(), StreamError<F::Error>> {
    pipeline.collect()?;
    while let Some(closed) = pipeline.pop_closed() {
        settle(feed, pipeline, closed, last)?;
    }
    Ok(())
}

/// Checks the oldest segment against its closing frames and commits it. Nothing may follow a last one.
fn settle<F: Feed, S: StreamingSink>(
    feed: &mut F,
    pipeline: &mut Pipeline<'_, S, Closing>,
    closed: Closed<Closing>,
    last: &mut bool,
) -> Result<(), StreamError<F::Error>> {
    let Closed { pending, sequencer, closing: ClosedBy::Feed(closing) | ClosedBy::Job(closing) } = closed;
    feed.check_closing(pending.index, &closing).map_err(StreamError::Feed)?;
    let before = pipeline.driver.committed;
    let segment = pending.index;
    let refuse = |fault| StreamError::Segment { segment, fault };
    if *last || segment.0 != before.segments {
        return Err(refuse(SegmentFault::Chain));
    }
    let plaintext_len = before.plaintext_len + sequencer.plaintext_len();
    let after = Committed {
        segments: before.segments + 1,
        plaintext_len,
        // A worker without a key checks frames and writes nothing.
        sink_len: if pending.worker.yields_plaintext() { plaintext_len } else { 0 },
        chain: closing.chain_after,
        durable_len: before.durable_len,
    };
    let proof =
        sequencer.finish(&closing, before.chain, || (pipeline.driver.checkpoint)(&after)).map_err(refuse)?;
    *last = closing.fields.last;
    pipeline.commit(pending, proof, &[], after)
}
