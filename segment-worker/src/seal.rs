//! Sealing a stream: from a feed of plaintext runs to a sink that holds the sealed whole, or nothing.
//! It makes digests and chain; what the closing frames look like on the wire is the feed's.

use contract::StreamingSink;
use frame_worker::{ChainValue, ClosingFields};

use crate::error::StreamError;
use crate::feed::{IsLast, SealFeed, Step, TrailerOnly};
use crate::job::Work;
use crate::pending::{Closed, ClosedBy};
use crate::pipeline::{Credit, NextAction, Pipeline};
use crate::proof::{Complete, Verified};
use crate::sequencer::SealedFrames;
use crate::settings::{Committed, Settings};

/// What has been sealed and published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sealed {
    /// Segments.
    pub segments: u64,
    /// Plaintext bytes.
    pub plaintext_len: u64,
    /// Bytes of the whole stream.
    pub wire_len: u64,
    /// The chain value of the last segment.
    pub stream_digest: ChainValue,
}

/// Seals the stream that `feed` brings into `sink` and publishes it.
///
/// A new stream begins at [`Committed::at_start`]. A resumed one has a later `start`: the caller has read what comes
/// before it in the sink and verified it along the chain (FORMAT F12.7), has told the sink where to resume, and
/// `feed` brings what follows. If the segment before `start` is already the last one, that is a [`TrailerOnly`].
///
/// # Errors
/// Any of [`StreamError`]; the sink has been dropped unpublished, unless the error is [`StreamError::Publish`].
pub fn seal<F: SealFeed, S: StreamingSink>(
    feed: &mut F,
    sink: S,
    start: Committed,
    settings: Settings<'_>,
) -> Result<Sealed, StreamError<F::Error>> {
    let mut pipeline = Pipeline::new(sink, settings, Work::Seal, start)?;
    let mut credit = Credit::default();
    let mut fed = false;
    loop {
        pipeline.collect()?;
        while let Some(closed) = pipeline.pop_closed() {
            settle(feed, &mut pipeline, closed)?;
        }
        match pipeline.next_action(fed, &mut credit)? {
            NextAction::Idle => break,
            NextAction::Wait => pipeline.wait()?,
            NextAction::Failed => {
                pipeline.wait_for_all()?;
                return Err(pipeline.failure().unwrap_or(StreamError::Cancelled));
            }
            NextAction::Feed => match pipeline.next_step(|buffers| feed.next(buffers)) {
                Ok(Step::Segment(plan)) => pipeline.begin(plan)?,
                Ok(Step::Run(run)) => pipeline.submit(run, &mut credit),
                Ok(Step::Close(last)) => {
                    fed = last == IsLast::Yes;
                    pipeline.close(last);
                }
                Ok(Step::NothingYet) => {}
                Ok(Step::Proved(_)) => unreachable!("nothing is proved of what is sealed for the first time"),
                Ok(Step::End(TrailerOnly(bytes))) => {
                    assert!(
                        pipeline.driver.committed == start && pipeline.is_empty(),
                        "only what is there needs no last segment"
                    );
                    pipeline.driver.append(&bytes)?;
                    fed = true;
                }
                Err(error) => return Err(StreamError::Feed(error)),
            },
        }
    }
    let Committed { segments, plaintext_len, sink_len, chain, .. } = pipeline.driver.committed;
    pipeline.publish(Complete { sink_len })?;
    Ok(Sealed { segments, plaintext_len, wire_len: sink_len, stream_digest: chain })
}

/// Closes the oldest segment and commits it.
fn settle<F: SealFeed, S: StreamingSink>(
    feed: &mut F,
    pipeline: &mut Pipeline<'_, S, IsLast>,
    closed: Closed<IsLast>,
) -> Result<(), StreamError<F::Error>> {
    let Closed { mut pending, sequencer, closing } = closed;
    let ClosedBy::Feed(closing) = closing else { unreachable!("sealed runs have no closing frames to read") };
    let before = pipeline.driver.committed;
    let segment = pending.index;
    assert_eq!(segment.0, before.segments, "a feed numbers its segments without gaps");
    let sealed = sequencer.seal(&pending.worker).map_err(|fault| StreamError::Segment { segment, fault })?;
    let SealedFrames { frame_count, plaintext_len, wire_len, table, digest, plaintext_digest } = sealed;
    let (last, chain_before) = (closing == IsLast::Yes, before.chain);
    let fields = ClosingFields { frame_count, plaintext_len, digest, plaintext_digest, last, chain_before };
    let (closing, chain) =
        feed.close(segment, &pending.worker, &fields, wire_len).map_err(StreamError::Feed)?;
    let tail = [table, closing].concat();
    let frames_end = pipeline.frames_end(&mut pending)?;
    let after = Committed {
        segments: before.segments + 1,
        plaintext_len: before.plaintext_len + plaintext_len,
        sink_len: frames_end + tail.len() as u64,
        chain,
        durable_len: before.durable_len,
    };
    let proof = Verified { index: segment.0, checkpoint: (pipeline.driver.checkpoint)(&after) };
    pipeline.commit(pending, proof, &tail, after)
}
