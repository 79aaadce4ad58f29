//! What is kept of an interrupted stream, proved: every segment opened under the kept key, and compared with the input.
//! It knows no file; where the stream resumes is all that comes out.

use std::cell::Cell;
use std::sync::Arc;

use cofferdam_io::ReadAt;
use contract::{Checkpoint, Durability};
use segment_worker::{Committed, ReleasePolicy, Settings, StreamError};

use crate::compare_input::CompareInput;
use crate::envelope::Envelope;
use crate::feed::kept::{KeptFeed, Mend};
use crate::resources::Resources;
use crate::seal::StreamStart;
use crate::sealing_state::other_bytes;
use crate::{Error, ErrorKind};

/// Reads what is kept of the stream from its front, checks it as whoever opens it would, and compares the plaintext of each
/// segment with `input`'s. Jobs do both, on all threads.
pub(crate) fn prove(
    kept: Arc<dyn ReadAt>,
    input: &Arc<dyn ReadAt>,
    envelope: Envelope,
    resources: &Resources,
    mend: Mend<'_>,
) -> Result<StreamStart, Error> {
    let (budget, shape, input_len) = (resources.budget(), envelope.shape(), input.len());
    let plan = resources.plan(shape, &budget, Some(input_len)).with_edges();
    let workers = resources.workers_for(plan, shape, Some(input_len))?;
    let start = Committed::at_start(envelope.chain);
    let reached = Cell::new(start);
    let (sink, comparison) = CompareInput::with(input.clone());
    let mut feed = KeptFeed::new(kept, &envelope, input_len, plan.frames_per_run, &reached, mend);
    let settings = Settings {
        executor: workers.executor(),
        budget: &budget,
        release: ReleasePolicy::AtOnce,
        durability: Durability::AtFinish,
        cancel: &resources.cancel,
        demand: plan.demand,
        frame_len: shape.frame_len(),
        checkpoint: &|_| Checkpoint::from_bytes([0; Checkpoint::LEN]),
        observe: &mut |committed| {
            reached.set(*committed);
            if let Some(observer) = &resources.observer {
                observer.proving(committed.plaintext_len);
            }
        },
    };
    match segment_worker::open(&mut feed, sink, start, settings) {
        Err(error) if !ends_what_is_kept(&error) => return Err(Error::walking(error)),
        _ => {}
    }
    let ledger = feed.finish()?;
    if let Some(at) = comparison.difference_before(ledger.plaintext_len()) {
        return Err(other_bytes(at / shape.segment_len()));
    }
    let start = Committed {
        segments: ledger.segments(),
        plaintext_len: ledger.plaintext_len(),
        sink_len: envelope.origin() + ledger.wire_len(),
        chain: reached.get().chain,
        durable_len: 0,
    };
    Ok(StreamStart { envelope, ledger, head: Vec::new(), start })
}

/// Whether the rest of a walk is not what was sealed; anything else is a failure of the walk itself.
fn ends_what_is_kept(error: &StreamError<Error>) -> bool {
    use ErrorKind::{Damaged, Limit, Truncated, Unsupported};
    match error {
        StreamError::Feed(error) => matches!(error.kind(), Damaged | Truncated | Limit | Unsupported),
        StreamError::Read { source, .. } => source.kind() == std::io::ErrorKind::UnexpectedEof,
        StreamError::Header { .. } | StreamError::Frame { .. } | StreamError::Segment { .. } => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use frame_worker::{FrameError, FrameIndex, SegmentIndex};
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
            StreamError::Header { segment, offset: 0 },
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
