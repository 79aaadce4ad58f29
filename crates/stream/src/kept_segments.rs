//! What is kept of an interrupted stream, proved: every segment opened under the kept key, and compared with the input.
//! It knows no file; where the stream resumes is all that comes out.

use std::cell::Cell;
use std::sync::Arc;

use cofferdam_io::ReadAt;
use contract::{Checkpoint, Durability};
use segment_worker::{Committed, Feed, ReleasePolicy, Settings, StreamError};

use crate::compare_input::CompareInput;
use crate::envelope::Envelope;
use crate::feed::kept::{KeptFeed, Mend};
use crate::feed::kept_compressed::KeptCompressedFeed;
use crate::resources::{Direction, Resources};
use crate::seal::StreamStart;
use crate::sealing_state::other_bytes;
use crate::stream_metrics::{Operation, StreamMetrics};
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
    let plan = resources.plan(&envelope, &budget, Some(input_len), Direction::Open)?.with_edges(shape);
    let workers = resources.workers_for(plan, shape, Some(input_len))?;
    let start = Committed::at_start(envelope.chain);
    let reached = Cell::new(start);
    let (sink, comparison) = CompareInput::with(input.clone());
    let frames_per_run = plan.frames_per_run;
    let metrics = StreamMetrics::new(Operation::Prove, envelope.preamble.stream_id, &budget, &start, 0);
    let settings = Settings {
        executor: workers.executor(),
        budget: &budget,
        release: ReleasePolicy::AtOnce,
        durability: Durability::AtFinish,
        cancel: &resources.cancel,
        demand: plan.demand,
        shape,
        stages: metrics.stages(),
        checkpoint: &|_| Checkpoint::from_bytes([0; Checkpoint::LEN]),
        observe: &mut |committed| {
            reached.set(*committed);
            resources.watch_memory(&budget);
            metrics.committed(committed);
            if let Some(observer) = &resources.observer {
                observer.proving(committed.plaintext_len);
            }
        },
    };
    let ledger = if shape.is_compressed() {
        let feed =
            KeptCompressedFeed::new(kept, &envelope, input_len, frames_per_run, &reached, mend, resources);
        let mut feed = feed?;
        walk(&mut feed, sink, start, settings, &metrics)?;
        feed.finish()
    } else {
        let mut feed = KeptFeed::new(kept, &envelope, input_len, frames_per_run, &reached, mend);
        walk(&mut feed, sink, start, settings, &metrics)?;
        feed.finish()?
    };
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

/// Opens what `feed` brings, as far as it is what was sealed.
fn walk(
    feed: &mut impl Feed<Error = Error>,
    sink: CompareInput,
    start: Committed,
    settings: Settings<'_>,
    metrics: &StreamMetrics<'_>,
) -> Result<(), Error> {
    let outcome = match segment_worker::open(feed, sink, start, settings) {
        Err(error) if !ends_what_is_kept(&error) => Err(Error::walking(error)),
        _ => Ok(()),
    };
    metrics.ended(outcome)
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
    use std::num::NonZeroUsize;
    use std::ops::Range;
    use std::sync::Mutex;

    use frame_worker::{FrameError, FrameIndex, SegmentIndex};
    use keys::{Identities, Recipients, WrappingKey};
    use local::MemorySink;
    use segment_worker::SegmentFault;
    use sources::{BytesSource, Source};

    use crate::seal::{FormatOptions, SealOptions};
    use crate::seekable_envelope::read_seekable_envelope;

    use super::*;

    /// A kept stream that notes what is read of it.
    struct Counting(Vec<u8>, Mutex<Vec<Range<u64>>>);

    impl ReadAt for Counting {
        fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            self.1.lock().unwrap().push(offset..offset + buffer.len() as u64);
            let found = self.0.get(offset as usize..offset as usize + buffer.len());
            buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        }

        fn len(&self) -> u64 {
            self.0.len() as u64
        }
    }

    #[test]
    fn each_kept_run_is_one_read_with_the_edges_of_its_segment() {
        const FRAME: u64 = 64 << 10;
        const SEGMENT: u64 = 20 * FRAME;
        let resources = Resources { threads: NonZeroUsize::new(2), ..Resources::default() };
        let recipients = Recipients::new().wrapping_key(WrappingKey::from_bytes([7; 32]));
        let identities = Identities::new().wrapping_key(WrappingKey::from_bytes([7; 32]));
        let form = FormatOptions { segment_len: Some(SEGMENT), ..FormatOptions::default() };
        let options = SealOptions { recipients: &recipients, form: &form, resources: &resources };
        // Segments of three runs, and a last one of none or one.
        for (len, runs) in [(0, 1), (1, 1), (SEGMENT, 3), (SEGMENT + 1, 4), (2 * SEGMENT + 9 * FRAME, 8)] {
            let source = || BytesSource::new(vec![5; len as usize]);
            let (sink, sealed) = MemorySink::new();
            options.seal_with(Box::new(source()), Vec::new(), |_| Ok(sink)).unwrap();
            let kept = Arc::new(Counting(sealed.take().unwrap(), Mutex::default()));
            let envelope = read_seekable_envelope(&*kept, Some(&identities), &resources).unwrap().unwrap();
            let origin = envelope.origin() + envelope.metadata_len;
            kept.1.lock().unwrap().clear();
            let mend = &mut |_, _: &[u8]| Ok(());
            let input = source().positioned().unwrap();
            let found = prove(kept.clone(), &input, envelope, &resources, mend).unwrap();
            assert_eq!(found.start.plaintext_len, len);
            let mut reads = kept.1.lock().unwrap().clone();
            reads.sort_by_key(|read| read.start);
            assert_eq!(reads.len(), runs, "{len} bytes: {reads:?}");
            assert!(reads.windows(2).all(|pair| pair[0].end == pair[1].start), "each byte once: {reads:?}");
            assert_eq!((reads[0].start, reads[runs - 1].end), (origin, found.start.sink_len));
        }
    }

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
