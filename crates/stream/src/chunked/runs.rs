//! Runs of chunks as the engine takes them: a segment each, of one frame.
//! It knows no source, and which chunks they are only as it is told.

use std::sync::Arc;

use foreign::{Chunk, ChunkLens, Chunks};
use frame_worker::{
    ChainValue, ChunkFault, ChunkRun, Closing, ClosingFields, FrameIndex, FrameWorker, SegmentDigest,
    SegmentIndex,
};
use framing::limits::FRAME_LEN_MAX;
use segment_worker::{Edges, Input, Run, SegmentPlan, Step};

use crate::resources::RunPlan;

/// How long runs may be.
#[derive(Clone, Copy)]
pub(crate) struct RunLimits {
    pub(crate) chunks: usize,
    pub(crate) longest: ChunkLens,
    /// Bytes on the wire.
    pub(crate) wire_len: usize,
}

impl RunLimits {
    /// As `plan` has it, of chunks that are `longest` at most.
    pub(crate) fn new(plan: &RunPlan, longest: ChunkLens) -> RunLimits {
        RunLimits { chunks: CHUNKS_MAX, longest, wire_len: plan.demand.run_len }
    }

    /// How many chunks go into a run where all are as long as the longest.
    pub(crate) fn full_chunks(&self) -> u64 {
        (self.wire_len / self.longest.wire).clamp(1, self.chunks) as u64
    }
}

/// Consecutive chunks that have been put together.
#[derive(Default)]
pub(crate) struct Gathered {
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) wire_len: usize,
    pub(crate) plaintext_len: usize,
}

impl Gathered {
    /// Whether another chunk, however long, still fits.
    pub(crate) fn has_room(&self, limits: &RunLimits) -> bool {
        self.chunks.len() < limits.chunks
            && self.wire_len + limits.longest.wire <= limits.wire_len
            && self.plaintext_len + limits.longest.plaintext <= FRAME_LEN_MAX as usize
    }

    pub(crate) fn push(&mut self, chunk: Chunk) {
        self.wire_len += chunk.lens.wire;
        self.plaintext_len += chunk.lens.plaintext;
        self.chunks.push(chunk);
    }
}

/// Makes segments of runs, and counts them.
pub(crate) struct RunSegments {
    opener: Arc<dyn Chunks>,
    pub(crate) segments: u64,
    pub(crate) plaintext_len: u64,
}

impl RunSegments {
    pub(crate) fn new(opener: Arc<dyn Chunks>) -> RunSegments {
        RunSegments { opener, segments: 0, plaintext_len: 0 }
    }

    /// The steps of the segment that `gathered` is: it begins, its run, if it has chunks, from `input` at `input_offset`, and its close.
    pub(crate) fn steps(
        &mut self,
        gathered: Gathered,
        input: Option<(Input, u64)>,
        last: bool,
    ) -> [Option<Step<Closing, ()>>; 3] {
        let Gathered { chunks, wire_len, plaintext_len } = gathered;
        let (index, sink_offset) = (self.segments, self.plaintext_len);
        let run = input.map(|(input, input_offset)| Run {
            first: FrameIndex(0),
            count: u32::from(plaintext_len > 0),
            input,
            input_offset,
            input_len: wire_len,
            edges: Edges::default(),
            output_len: plaintext_len,
            sink_offset,
        });
        let group = OpenedRun { opener: self.opener.clone(), chunks };
        let plan = SegmentPlan {
            index: SegmentIndex(index),
            worker: Arc::new(FrameWorker::of_chunks(Arc::new(group))),
            digest: SegmentDigest::none(),
            sink_offset,
            head: Vec::new(),
        };
        self.segments += 1;
        self.plaintext_len += plaintext_len as u64;
        let closing = closing(plaintext_len as u64, last);
        [Some(Step::Segment(plan)), run.map(Step::Run), Some(Step::Close(closing))]
    }
}

/// What a run's end says. No format has such a record: it is what the feed has found of the chunks, and the engine compares it
/// with what has come of them.
fn closing(plaintext_len: u64, last: bool) -> Closing {
    let fields = ClosingFields {
        frame_count: u32::from(plaintext_len > 0),
        plaintext_len,
        digest: [0; 32],
        plaintext_digest: None,
        last,
        chain_before: NO_CHAIN,
    };
    Closing { fields, chain_after: NO_CHAIN, table: None }
}

/// Stands for each chain value of a stream that has no chain. That runs come in order, and all of them, the engine sees by their numbers.
pub(crate) const NO_CHAIN: ChainValue = ChainValue([0; 32]);

/// The chunks of one run, to be opened.
struct OpenedRun {
    opener: Arc<dyn Chunks>,
    chunks: Vec<Chunk>,
}

impl ChunkRun for OpenedRun {
    fn open(&self, wire: &[u8], plaintext: &mut [u8]) -> Result<(), ChunkFault> {
        let (mut at, mut rest) = (0, plaintext);
        for chunk in &self.chunks {
            let (out, behind) = std::mem::take(&mut rest).split_at_mut(chunk.lens.plaintext);
            let bytes = &wire[at..at + chunk.lens.wire];
            self.opener.open(chunk, bytes, out).map_err(|problem| ChunkFault {
                chunk: chunk.index,
                offset: at as u64,
                problem,
            })?;
            at += chunk.lens.wire;
            rest = behind;
        }
        assert!(at == wire.len() && rest.is_empty(), "the chunks of a run are all of it");
        Ok(())
    }

    fn seal(&self, _: &[u8], _: &mut [u8]) {
        unreachable!("what is opened is not sealed")
    }
}

/// Chunks of a run at most, however short they are: each takes some bytes of memory beside its own.
pub(crate) const CHUNKS_MAX: usize = 1024;
