//! A sealed stream, made frame by frame on one thread: what the engine has to make, and what it has to open.
//! It uses frame workers and digests, and nothing of the segment worker but the plain values of its feed.

use std::sync::Arc;

use frame_worker::{
    Backend, CLOSING_LEN, ChainValue, Closing, ClosingFields, DigestKind, FRAME_OVERHEAD, FrameIndex,
    FrameWorker, SegmentDigest, Shape, Suite,
};
use segment_worker::{Edges, StreamEnd};

/// Plaintext bytes of a full frame.
pub(crate) const FRAME: usize = 4096;
/// Frames of a full segment.
pub(crate) const FRAMES_PER_SEGMENT: usize = 6;
/// Plaintext bytes of a full segment.
pub(crate) const SEGMENT: usize = FRAMES_PER_SEGMENT * FRAME;
/// Plaintext bytes of a full run.
pub(crate) const RUN: usize = FRAMES_PER_RUN * FRAME;
/// The most bytes of a run on either side, edges included.
pub(crate) const RUN_LEN: usize = FRAMES_PER_RUN * (FRAME + FRAME_OVERHEAD) + HEAD_LEN + CLOSING_LEN;
/// Runs of a full segment.
pub(crate) const RUNS_PER_SEGMENT: usize = FRAMES_PER_SEGMENT / FRAMES_PER_RUN;

const FRAMES_PER_RUN: usize = 2;
const HEAD_LEN: usize = 48;
const DIGEST: DigestKind = DigestKind::Blake3;
const PREAMBLE: [u8; 112] = [0x11; 112];

/// A stream with its layout and with what closes it.
#[derive(Clone)]
pub(crate) struct Stream {
    pub(crate) wire: Vec<u8>,
    pub(crate) parts: Vec<Part>,
    pub(crate) end: StreamEnd,
}

/// A segment of it.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) index: u64,
    /// Where its head begins on the wire.
    pub(crate) wire_at: usize,
    pub(crate) plaintext_at: usize,
    pub(crate) plaintext_len: usize,
    pub(crate) closing: Closing,
}

/// Where a run lies on either side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) first: u32,
    pub(crate) count: u32,
    pub(crate) wire_at: usize,
    pub(crate) wire_len: usize,
    pub(crate) plaintext_at: usize,
    pub(crate) plaintext_len: usize,
    /// What of its segment stands next to it on the wire.
    pub(crate) edges: Edges,
}

impl Stream {
    pub(crate) fn sealed_from(plaintext: &[u8]) -> Stream {
        let (mut wire, mut parts, mut chain) = (Vec::new(), Vec::new(), start());
        let segments = plaintext.len().div_ceil(SEGMENT).max(1);
        for index in 0..segments {
            let plaintext_at = index * SEGMENT;
            let text = &plaintext[plaintext_at..plaintext.len().min(plaintext_at + SEGMENT)];
            let (wire_at, worker) = (wire.len(), worker(index as u64));
            wire.extend(head(index as u64));
            let mut digest = digest(index as u64);
            for (frame, text) in (0..).zip(text.chunks(FRAME)) {
                let at = wire.len();
                wire.resize(at + text.len() + FRAME_OVERHEAD, 0);
                digest.absorb(&worker.seal(FrameIndex(frame), text, &mut wire[at..]).unwrap());
            }
            let frame_count = text.len().div_ceil(FRAME) as u32;
            let fields = ClosingFields {
                frame_count,
                plaintext_len: text.len() as u64,
                digest: digest.finish(frame_count, None),
                plaintext_digest: None,
                last: index + 1 == segments,
                chain_before: chain,
            };
            let bytes = worker.seal_closing(&fields);
            let closing = worker.open_closing(&bytes).unwrap();
            wire.extend(bytes);
            chain = closing.chain_after;
            parts.push(Part {
                index: index as u64,
                wire_at,
                plaintext_at,
                plaintext_len: text.len(),
                closing,
            });
        }
        let end = StreamEnd {
            segments: segments as u64,
            plaintext_len: plaintext.len() as u64,
            stream_digest: chain,
            ending: segment_worker::Ending::Proved,
        };
        Stream { wire, parts, end }
    }

    /// Every frame: segment, index in it, and where its body begins on the wire.
    pub(crate) fn frames(&self) -> Vec<(u64, u32, usize)> {
        let frames = self.parts.iter().flat_map(|part| {
            let count = part.plaintext_len.div_ceil(FRAME);
            (0..count).map(|frame| {
                let at = part.wire_at + HEAD_LEN + frame * (FRAME + FRAME_OVERHEAD) + FRAME_OVERHEAD / 2;
                (part.index, frame as u32, at)
            })
        });
        frames.collect()
    }

    pub(crate) fn run_count(&self) -> usize {
        self.parts.iter().map(|part| part.runs().len()).sum()
    }
}

impl Part {
    /// The runs of the segment.
    pub(crate) fn runs(&self) -> Vec<Extent> {
        let starts = (0..self.plaintext_len).step_by(RUN);
        starts.map(|at| self.run_at(at)).collect()
    }

    /// As [`Part::runs`], but an empty segment has a run of no frames: its edges have to be read.
    pub(crate) fn runs_with_edges(&self) -> Vec<Extent> {
        if self.plaintext_len == 0 { vec![self.run_at(0)] } else { self.runs() }
    }

    fn run_at(&self, at: usize) -> Extent {
        let plaintext_len = RUN.min(self.plaintext_len - at);
        let first = at / FRAME;
        Extent {
            first: first as u32,
            count: plaintext_len.div_ceil(FRAME) as u32,
            wire_at: self.wire_at + HEAD_LEN + first * (FRAME + FRAME_OVERHEAD),
            wire_len: FrameWorker::run_wire_len(shape(), plaintext_len),
            plaintext_at: self.plaintext_at + at,
            plaintext_len,
            edges: Edges {
                header: (at == 0).then(|| head(self.index)),
                closing_len: if at + plaintext_len == self.plaintext_len { CLOSING_LEN } else { 0 },
            },
        }
    }
}

/// Bytes whose period fits no frame, so that a frame in a wrong place shows.
pub(crate) fn plaintext(len: usize) -> Vec<u8> {
    (0..251).cycle().take(len).collect()
}

/// The chain before the first segment.
pub(crate) fn start() -> ChainValue {
    ChainValue::start(DIGEST, &PREAMBLE, b"")
}

pub(crate) fn worker(segment: u64) -> Arc<FrameWorker> {
    let key = [segment as u8 + 1; 32];
    Arc::new(FrameWorker::new(Backend::default(), Suite::Aes256Gcm, DIGEST, shape(), &key, &[7; 12]))
}

pub(crate) fn head(segment: u64) -> [u8; HEAD_LEN] {
    let mut head = [0xAD; HEAD_LEN];
    head[..8].copy_from_slice(&segment.to_le_bytes());
    head
}

pub(crate) fn digest(segment: u64) -> SegmentDigest {
    SegmentDigest::new(DIGEST, &PREAMBLE, &head(segment))
}

pub(crate) fn shape() -> Shape {
    Shape::new(FRAME as u32, FRAMES_PER_SEGMENT as u32).unwrap()
}
