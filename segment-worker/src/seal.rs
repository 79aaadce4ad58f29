//! Sealing a stream: from a feed of plaintext runs to a sink that holds the sealed whole, or nothing.
//! It makes digests and chain; what the closing frames look like on the wire is the feed's.

use frame_worker::{ChainValue, ClosingFields};
use sinks::StreamingSink;

use crate::error::StreamError;
use crate::feed::{IsLast, Leftover, SealFeed, Step};
use crate::flight::Closed;
use crate::job::Work;
use crate::line::{Credit, Line, Turn};
use crate::proof::{Complete, Verified};
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
/// A fresh stream begins at [`Committed::at_start`]. One that goes on has a later `start`: the caller has read what lies
/// before it in the sink and verified it along the chain (FORMAT F12.7), has told the sink where it goes on, and `feed`
/// brings what follows. Where the segment before `start` is the last one already, that is a [`Leftover`].
///
/// # Errors
/// Any of [`StreamError`]; the sink has been dropped unpublished, unless the error is [`StreamError::Publish`].
pub fn seal<F: SealFeed, S: StreamingSink>(
    feed: &mut F,
    sink: S,
    start: Committed,
    settings: Settings<'_>,
) -> Result<Sealed, StreamError<F::Error>> {
    let mut line = Line::new(sink, settings, Work::Seal, start)?;
    let mut credit = Credit::default();
    let mut fed = false;
    loop {
        line.collect()?;
        while let Some(closed) = line.pop_closed() {
            settle(feed, &mut line, closed)?;
        }
        match line.turn(fed, &mut credit)? {
            Turn::Idle => break,
            Turn::Wait => line.wait()?,
            Turn::Failed => {
                line.wait_for_all()?;
                return Err(line.failure().unwrap_or(StreamError::Cancelled));
            }
            Turn::Feed => match feed.next(&line.buffers) {
                Ok(Step::Segment(plan)) => line.begin(plan)?,
                Ok(Step::Run(run)) => line.submit(run, &mut credit),
                Ok(Step::Close(last)) => {
                    fed = last == IsLast::Yes;
                    line.close(last);
                }
                Ok(Step::NothingYet) => {}
                Ok(Step::End(Leftover(bytes))) => {
                    assert!(
                        line.outlet.committed == start && line.is_empty(),
                        "only what is there needs no last segment"
                    );
                    line.outlet.append(&bytes)?;
                    fed = true;
                }
                Err(error) => return Err(StreamError::Feed(error)),
            },
        }
    }
    let Committed { segments, plaintext_len, sink_len, chain, .. } = line.outlet.committed;
    line.publish(Complete { sink_len })?;
    Ok(Sealed { segments, plaintext_len, wire_len: sink_len, stream_digest: chain })
}

/// Closes the oldest segment and commits it.
fn settle<F: SealFeed, S: StreamingSink>(
    feed: &mut F,
    line: &mut Line<'_, S, IsLast>,
    closed: Closed<IsLast>,
) -> Result<(), StreamError<F::Error>> {
    let Closed { flight, sequencer, closing } = closed;
    let before = line.outlet.committed;
    let segment = flight.index;
    assert_eq!(segment.0, before.segments, "a feed numbers its segments without gaps");
    let (frame_count, plaintext_len) = (sequencer.frame_count(), sequencer.plaintext_len());
    let digest = sequencer.digest(frame_count).map_err(|fault| StreamError::Segment { segment, fault })?;
    let last = closing == IsLast::Yes;
    let fields = ClosingFields { frame_count, plaintext_len, digest, last, chain_before: before.chain };
    let (tail, chain) = feed.close(segment, &flight.worker, &fields).map_err(StreamError::Feed)?;
    let after = Committed {
        segments: before.segments + 1,
        plaintext_len: before.plaintext_len + plaintext_len,
        sink_len: flight.frames_end + tail.len() as u64,
        chain,
        durable_len: before.durable_len,
    };
    let proof = Verified { index: segment.0, mark: (line.outlet.mark)(&after) };
    line.commit(flight, proof, &tail, after)
}
