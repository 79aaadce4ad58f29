//! Chunks of a stream of another format, done by the same workers as frames: what the pool asks of whoever knows that format.
//! It knows no cipher and no format. To the engine a run of chunks is one frame.

use std::fmt;
use std::sync::Arc;

use framing::limits::{FRAME_HEADER_LEN, FRAME_LEN_MAX};
use framing::{DigestKind, FrameIndex, Shape};

use crate::worker::KeyMode;
use crate::{Fragment, FrameError, FrameWorker, OpenedFrame};

/// Consecutive chunks of a stream of another format. Called by any thread, for one run once.
pub trait ChunkRun: Send + Sync {
    /// Opens `wire`, which is all of these chunks, into all of `plaintext`.
    ///
    /// # Errors
    /// The first chunk that is not what it has to be. `plaintext` then holds nothing of use.
    fn open(&self, wire: &[u8], plaintext: &mut [u8]) -> Result<(), ChunkFault>;

    /// Seals `plaintext`, which is that of all of these chunks, into all of `wire`.
    fn seal(&self, plaintext: &[u8], wire: &mut [u8]);
}

/// A chunk that was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChunkFault {
    /// Which one of its stream, from 0.
    pub chunk: u64,
    /// Where it begins in the bytes that were given.
    pub offset: u64,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl fmt::Display for ChunkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chunk {} {}", self.chunk, self.problem)
    }
}

impl std::error::Error for ChunkFault {}

impl FrameWorker {
    /// A worker for a run of chunks, which it does as one frame.
    pub fn of_chunks(chunks: Arc<dyn ChunkRun>) -> FrameWorker {
        FrameWorker {
            key_mode: KeyMode::Chunks(chunks),
            compressed: None,
            digest: DigestKind::Tags,
            shape: FrameWorker::chunks_shape(),
        }
    }

    /// What streams of chunks are cut like: a run has [`FRAME_LEN_MAX`] bytes of plaintext at most, and is all of its segment.
    pub fn chunks_shape() -> Shape {
        Shape::new(FRAME_LEN_MAX, 1).expect("the longest frame there is makes a segment")
    }

    /// Opens `wire` into all of `plaintext`. A run of no plaintext is no frame.
    pub(crate) fn open_chunks(
        chunks: &dyn ChunkRun,
        wire: &[u8],
        plaintext: &mut [u8],
    ) -> Result<Vec<OpenedFrame>, FrameError> {
        chunks.open(wire, plaintext).map_err(FrameError::Chunk)?;
        Ok(chunk_frame(plaintext.len(), wire.len()))
    }

    /// Seals `plaintext` into all of `wire`.
    pub(crate) fn seal_chunks(chunks: &dyn ChunkRun, plaintext: &[u8], wire: &mut [u8]) -> Vec<OpenedFrame> {
        chunks.seal(plaintext, wire);
        chunk_frame(plaintext.len(), wire.len())
    }
}

/// The frame that stands for a run. Nothing of it goes into a digest ([`SegmentDigest::none`](crate::SegmentDigest::none)).
fn chunk_frame(plaintext_len: usize, wire_len: usize) -> Vec<OpenedFrame> {
    if plaintext_len == 0 {
        return Vec::new();
    }
    assert!(plaintext_len <= FRAME_LEN_MAX as usize && wire_len >= FRAME_HEADER_LEN, "a run is one frame");
    vec![OpenedFrame {
        index: FrameIndex(0),
        plaintext_len: plaintext_len as u32,
        body_len: (wire_len - FRAME_HEADER_LEN) as u32,
        fragment: Fragment::from_bytes([0; 32]),
        plaintext: None,
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds 16 bytes before what is XORed with 7.
    struct Sixteen;

    impl ChunkRun for Sixteen {
        fn open(&self, wire: &[u8], plaintext: &mut [u8]) -> Result<(), ChunkFault> {
            let (head, text) = wire.split_at(16);
            if head != [9; 16] {
                return Err(ChunkFault { chunk: 4, offset: 0, problem: "has another head" });
            }
            plaintext.iter_mut().zip(text).for_each(|(out, byte)| *out = byte ^ 7);
            Ok(())
        }

        fn seal(&self, plaintext: &[u8], wire: &mut [u8]) {
            let (head, text) = wire.split_at_mut(16);
            head.fill(9);
            text.iter_mut().zip(plaintext).for_each(|(out, byte)| *out = byte ^ 7);
        }
    }

    #[test]
    fn a_run_of_chunks_is_one_frame_of_the_bytes_that_it_took() {
        let worker = FrameWorker::of_chunks(Arc::new(Sixteen));
        let mut wire = [0; 16 + 5];
        let sealed = worker.seal_run(FrameIndex(0), b"hello", &mut wire).unwrap();
        assert_eq!(sealed.iter().map(OpenedFrame::wire_len).sum::<usize>(), wire.len());
        let mut plaintext = [0; 5];
        let opened = worker.open_run(FrameIndex(0), &wire, &mut plaintext).unwrap();
        assert_eq!((&plaintext, opened.len(), opened[0].plaintext_len), (b"hello", 1, 5));
        assert_eq!(opened, sealed);
        wire[3] ^= 1;
        let refused = worker.open_run(FrameIndex(0), &wire, &mut plaintext).unwrap_err();
        assert_eq!(refused.to_string(), "chunk 4 has another head");
    }

    #[test]
    fn a_run_without_plaintext_is_opened_and_is_no_frame() {
        let worker = FrameWorker::of_chunks(Arc::new(Sixteen));
        assert_eq!(worker.open_run(FrameIndex(0), &[9; 16], &mut []), Ok(Vec::new()));
        assert!(worker.open_run(FrameIndex(0), &[8; 16], &mut []).is_err());
    }
}
