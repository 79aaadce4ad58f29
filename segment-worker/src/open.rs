//! Opening a stream: from a feed of sealed runs to a sink that is published or untouched.
//! It spends proofs and makes none: the sequencer's digest check and the comparison with the trailer do.

use contract::StreamingSink;
use frame_worker::{ChainValue, Closing};

use crate::error::{SegmentFault, StreamError};
use crate::feed::{Ending, Feed, Step, StreamEnd};
use crate::job::Work;
use crate::pending::{Closed, ClosedBy};
use crate::pipeline::{Credit, NextAction, Pipeline};
use crate::proof::{Asserted, Complete, PartComplete};
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
    /// Whether it is proved to be whole.
    pub ending: Ending,
}

/// Opens the stream that `feed` brings into `sink` and publishes it: what the feed's [end](Feed::end) says to be whole with the proof
/// [`Complete`], and what it does not with [`Asserted`], which the result repeats.
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
    let (last, said) = open_segments(feed, &mut pipeline)?;
    let Committed { segments, plaintext_len, sink_len, chain, .. } = pipeline.driver.committed;
    let ending = said.ending;
    let seen = StreamEnd { segments, plaintext_len, stream_digest: chain, ending };
    let nothing_left = segments == start.segments && segments > 0;
    if said != seen || !(last || nothing_left) || !pipeline.is_empty() {
        return Err(StreamError::Trailer);
    }
    // The one place that decides which proof is spent.
    match ending {
        Ending::Proved => pipeline.publish(Complete { sink_len })?,
        Ending::Asserted => pipeline.publish_asserted(Asserted { sink_len })?,
    }
    Ok(Opened { segments, plaintext_len, stream_digest: chain, ending })
}

/// Opens a part of a stream, the segments that `feed` brings after `start`, into `sink` from its offset 0, and publishes that.
///
/// `start` says how many segments and plaintext bytes the stream has before the part, and the chain value there; nothing of
/// that is in the sink. What `feed` says at the [end](Feed::end) is where the part ends, in the same terms: the segments that came
/// have to end there, at that chain value. It claims nothing of what comes before or after the part.
///
/// # Errors
/// As [`open`]; [`StreamError::Trailer`] where the part does not end where the feed says, and of a part without a segment.
pub fn open_part<F: Feed, S: StreamingSink>(
    feed: &mut F,
    sink: S,
    start: Committed,
    settings: Settings<'_>,
) -> Result<Opened, StreamError<F::Error>> {
    assert_eq!(start.sink_len, 0, "a part begins at its sink's offset 0");
    let mut pipeline = Pipeline::new(sink, settings, Work::Open, start)?;
    pipeline.driver.guard.begin_with_part();
    let (_, said) = open_segments(feed, &mut pipeline)?;
    let Committed { segments, plaintext_len, sink_len, chain, .. } = pipeline.driver.committed;
    let ending = Ending::Proved;
    let seen = StreamEnd { segments, plaintext_len, stream_digest: chain, ending };
    if said != seen || segments == start.segments || !pipeline.is_empty() {
        return Err(StreamError::Trailer);
    }
    pipeline.publish_part(PartComplete { sink_len })?;
    Ok(Opened { segments, plaintext_len, stream_digest: chain, ending })
}

/// Opens and commits all segments that `feed` brings, and says whether the last of them ends its stream, and what the feed says of
/// the end. Whichever way that goes, no job is out afterwards, and the feed has stopped.
fn open_segments<F: Feed, S: StreamingSink>(
    feed: &mut F,
    pipeline: &mut Pipeline<'_, S, Closing>,
) -> Result<(bool, StreamEnd), StreamError<F::Error>> {
    let came = commit_segments(feed, pipeline)
        .and_then(|last| feed.end().map(|said| (last, said)).map_err(StreamError::Feed));
    pipeline.end_jobs();
    feed.stop();
    came
}

fn commit_segments<F: Feed, S: StreamingSink>(
    feed: &mut F,
    pipeline: &mut Pipeline<'_, S, Closing>,
) -> Result<bool, StreamError<F::Error>> {
    let mut credit = Credit::default();
    let mut last = false;
    let mut fed = false;
    loop {
        settle_all(feed, pipeline, &mut last)?;
        match pipeline.next_action(fed, &mut credit)? {
            NextAction::Idle => return Ok(last),
            NextAction::Wait => pipeline.wait()?,
            NextAction::Failed => {
                return Err(first_fault(feed, pipeline, &mut last, StreamError::Cancelled));
            }
            NextAction::Feed => {
                let mut taken = Ok(());
                match pipeline.next_step(|buffers| feed.next(buffers)) {
                    Ok(Step::Segment(plan)) => taken = pipeline.begin(plan),
                    Ok(Step::Proved(plan)) => taken = pipeline.begin_proved(plan),
                    Ok(Step::Run(run)) => pipeline.submit(run, &mut credit),
                    Ok(Step::Close(closing)) => pipeline.close(closing),
                    Ok(Step::End(())) => fed = true,
                    Ok(Step::NothingYet) => {}
                    Err(error) => taken = Err(StreamError::Feed(error)),
                }
                taken.map_err(|error| first_fault(feed, pipeline, &mut last, error))?;
            }
        }
    }
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
    let Closed { pending, sequencer, closing } = closed;
    let before = pipeline.driver.committed;
    let (closing, proved) = match closing {
        ClosedBy::Feed(closing) | ClosedBy::Job(closing) => (closing, None),
        ClosedBy::Proof(proved) => (proved.closing(&pending.worker, before.chain), Some(proved)),
    };
    feed.check_closing(pending.index, &closing).map_err(StreamError::Feed)?;
    let segment = pending.index;
    let refuse = |fault| StreamError::Segment { segment, fault };
    if *last || segment.0 != before.segments {
        return Err(refuse(SegmentFault::Chain));
    }
    let segment_len = if proved.is_some() { closing.fields.plaintext_len } else { sequencer.plaintext_len() };
    let plaintext_len = before.plaintext_len + segment_len;
    let after = Committed {
        segments: before.segments + 1,
        plaintext_len,
        // A worker without a key checks frames and writes nothing.
        sink_len: if pending.worker.yields_plaintext() { before.sink_len + segment_len } else { 0 },
        chain: closing.chain_after,
        durable_len: before.durable_len,
    };
    let checkpoint = || (pipeline.driver.checkpoint)(&after);
    *last = closing.fields.last;
    match proved {
        Some(proved) => {
            let proof = proved.proof.verified(checkpoint());
            pipeline.commit_proved(&pending, segment_len, proof, after)
        }
        None => {
            let proof = sequencer.finish(&closing, before.chain, checkpoint).map_err(refuse)?;
            pipeline.commit(pending, proof, &[], after)
        }
    }
}
