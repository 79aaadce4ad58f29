//! Proving plaintext that lies at hand: each segment is sealed again in memory, or hashed, and compared with what was sealed.
//! It stores nothing and sends nothing. What comes out is which segments are what they should be, wherever they are.

use contract::StreamingSink;
use frame_worker::{ChainValue, FrameWorker, digests_equal};

use crate::error::StreamError;
use crate::feed::{ExpectedDigest, ExpectedSegment, ProofFeed, Step};
use crate::job::Work;
use crate::pending::{Closed, ClosedBy};
use crate::pipeline::{Credit, NextAction, Pipeline};
use crate::proof::Verified;
use crate::proved::ProvedSegments;
use crate::sequencer::Sequencer;
use crate::settings::{Committed, Settings};

/// Compares the plaintext that `feed` brings with what was sealed, segment by segment, and adds to `proved` those that are
/// the same. One that differs, or cannot be read, is left out, and the next is looked at. `settings.observe` hears how
/// many bytes have been proved; `sink` gets no byte.
///
/// # Errors
/// Any of [`StreamError`] but one of reading.
pub fn prove<F: ProofFeed, S: StreamingSink>(
    feed: &mut F,
    sink: S,
    proved: &mut ProvedSegments,
    settings: Settings<'_>,
) -> Result<(), StreamError<F::Error>> {
    let start = Committed::at_start(ChainValue([0; 32]));
    let mut pipeline = Pipeline::new(sink, settings, Work::Prove, start)?;
    let mut credit = Credit::default();
    let mut fed = false;
    loop {
        pipeline.collect()?;
        while let Some(closed) = pipeline.pop_closed() {
            settle(&mut pipeline, closed, proved)?;
        }
        match pipeline.next_action(fed, &mut credit)? {
            NextAction::Idle => return Ok(()),
            NextAction::Wait => pipeline.wait()?,
            NextAction::Failed => {
                pipeline.wait_for_all()?;
                return Err(pipeline.failure().unwrap_or(StreamError::Cancelled));
            }
            NextAction::Feed => {
                match pipeline.next_step(|buffers| feed.next(buffers)).map_err(StreamError::Feed)? {
                    Step::Segment(plan) => pipeline.begin(plan)?,
                    Step::Run(run) => pipeline.submit(run, &mut credit),
                    Step::Close(expected) => pipeline.close(expected),
                    Step::End(()) => fed = true,
                    Step::NothingYet => {}
                    Step::Proved(_) => unreachable!("what is to be proved has not been"),
                }
            }
        }
    }
}

/// Compares the oldest segment, and lets it go.
fn settle<S: StreamingSink, E>(
    pipeline: &mut Pipeline<'_, S, ExpectedSegment>,
    closed: Closed<ExpectedSegment>,
    proved: &mut ProvedSegments,
) -> Result<(), StreamError<E>> {
    let Closed { pending, sequencer, closing } = closed;
    let ClosedBy::Feed(expected) = closing else { unreachable!("plaintext has no closing frames to read") };
    if is_same(sequencer, &pending.worker, &expected) {
        proved.insert(expected.index, expected.plaintext_len);
    }
    let before = pipeline.driver.committed;
    let after = Committed { segments: before.segments + 1, plaintext_len: proved.plaintext_len(), ..before };
    let proof = Verified { index: pending.index.0, checkpoint: (pipeline.driver.checkpoint)(&after) };
    pipeline.commit(pending, proof, &[], after)
}

/// Whether the runs of a segment are all there, and are what was sealed. A run that could not be read is missing.
fn is_same<T>(sequencer: Sequencer<T>, worker: &FrameWorker, expected: &ExpectedSegment) -> bool {
    if sequencer.plaintext_len() != expected.plaintext_len {
        return false;
    }
    match expected.digest {
        ExpectedDigest::Frames(due) => {
            sequencer.seal(worker).is_ok_and(|sealed| digests_equal(&sealed.digest, &due))
        }
        ExpectedDigest::Plaintext(due) => sequencer.hashed().is_some_and(|found| digests_equal(&found, &due)),
    }
}
