//! What an orchestrator consumes: a stream cut into steps, by someone who knows the format.
//! The seam between the engine and whoever reads bytes and derives keys.

use std::sync::Arc;

use frame_worker::{Closing, ClosingFields, FrameWorker, SegmentDigest, SegmentIndex};

use crate::{Buffers, ProvedPlan, Run};

/// A stream to open, step by step, in wire order.
pub trait Feed {
    /// What can go wrong with its input.
    type Error;

    /// The next step. It waits a bounded time (50 ms or so) for its input, then says [`Step::NothingYet`].
    ///
    /// Credit for one run has been taken before each call, so a run's bytes may be read into one of `buffers`.
    fn next(&mut self, buffers: &Buffers) -> Result<Step<Closing, ()>, Self::Error>;

    /// The closing frames of a segment that is all there. Called once per segment, in order, before the segment is
    /// compared with them, whoever has read them: a job ([`Edges::closing`](crate::Edges)) or this feed ([`Step::Close`]).
    ///
    /// # Errors
    /// They are not what the feed knows of the segment from elsewhere.
    fn check_closing(&mut self, _segment: SegmentIndex, _closing: &Closing) -> Result<(), Self::Error> {
        Ok(())
    }

    /// What the trailer says. Called once, after [`Step::End`], when every segment has committed.
    fn end(&mut self) -> Result<StreamEnd, Self::Error>;

    /// The stream is over, whichever way: no job of it reads any more. What the feed holds of the memory that was reserved for it
    /// ([`BufferNeeds::fixed_len`](crate::BufferNeeds::fixed_len)) it gives up now: the reservation ends next.
    fn stop(&mut self) {}
}

/// Whoever lends a feed may ask it for more afterwards.
impl<F: Feed> Feed for &mut F {
    type Error = F::Error;

    fn next(&mut self, buffers: &Buffers) -> Result<Step<Closing, ()>, Self::Error> {
        (**self).next(buffers)
    }

    fn check_closing(&mut self, segment: SegmentIndex, closing: &Closing) -> Result<(), Self::Error> {
        (**self).check_closing(segment, closing)
    }

    fn end(&mut self) -> Result<StreamEnd, Self::Error> {
        (**self).end()
    }

    fn stop(&mut self) {
        (**self).stop();
    }
}

/// A stream to seal, step by step. It ends with the segment whose close says that it is the last, or, where that one was
/// sealed by an earlier attempt, with a [`TrailerOnly`] and nothing before it.
pub trait SealFeed {
    /// What can go wrong with its input.
    type Error;

    /// The next step, as [`Feed::next`]. A close says whether the segment is the last.
    fn next(&mut self, buffers: &Buffers) -> Result<Step<IsLast, TrailerOnly>, Self::Error>;

    /// The bytes that follow the frames of a segment: its closing frames, and whatever the format requires after
    /// them. `frames_len` is how many bytes the frames take on the wire, with the TABLE. Called once per segment, in order.
    /// Returns them with the resulting chain value.
    fn close(
        &mut self,
        segment: SegmentIndex,
        worker: &FrameWorker,
        fields: &ClosingFields,
        frames_len: u64,
    ) -> Result<(Vec<u8>, frame_worker::ChainValue), Self::Error>;
}

/// Plaintext that lies at hand, to be compared with what was sealed, segment by segment.
pub trait ProofFeed {
    /// What can go wrong with what it knows of the segments.
    type Error;

    /// The next step, as [`Feed::next`]. Segments are numbered from 0, whichever of their stream they are; a close says which,
    /// and what it was sealed as. What its runs yield is kept nowhere.
    fn next(&mut self, buffers: &Buffers) -> Result<Step<ExpectedSegment, ()>, Self::Error>;
}

/// What a segment was sealed as.
pub struct ExpectedSegment {
    /// Its number in its stream.
    pub index: SegmentIndex,
    /// Its plaintext bytes.
    pub plaintext_len: u64,
    /// What proves them.
    pub digest: ExpectedDigest,
}

/// What proves the plaintext of a segment.
pub enum ExpectedDigest {
    /// The digest of its frames, which are sealed again.
    Frames([u8; 32]),
    /// The digest of the plaintext, in compressed streams: what the frames were, only those who compressed them know.
    Plaintext([u8; 32]),
}

/// One step of a stream; `C` closes a segment, `E` ends the stream.
pub enum Step<C, E> {
    /// A segment begins.
    Segment(SegmentPlan),
    /// A segment begins and ends that is not read, because it has been proved to be in the sink. Only of a stream that is
    /// opened.
    Proved(ProvedPlan),
    /// A run of frames of the segment that began last.
    Run(Run),
    /// The segment that began last has no more frames. Not after a run that has closed it.
    Close(C),
    /// The stream has no more segments.
    End(E),
    /// The input has brought nothing for a while.
    NothingYet,
}

/// Whether a segment is the last of its stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IsLast {
    /// It is.
    Yes,
    /// More follow.
    No,
}

/// All that is left to write of a stream whose last segment is already sealed: the bytes after that segment (FORMAT
/// F12.7). They follow what the stream starts with, and only a sink with positions can take them: no commit follows.
pub struct TrailerOnly(pub Vec<u8>);

/// A segment that begins.
pub struct SegmentPlan {
    /// Its number, one more than the one before.
    pub index: SegmentIndex,
    /// Does its frames.
    pub worker: Arc<FrameWorker>,
    /// Its digest, with nothing absorbed yet.
    pub digest: SegmentDigest,
    /// Where its bytes begin in the sink. Where compressed frames are sealed that is not known, and not looked at.
    pub sink_offset: u64,
    /// Bytes that go to the sink before its frames. Empty when opening.
    pub head: Vec<u8>,
}

/// What a trailer says of its stream, after its own MACs have been checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamEnd {
    /// Segments.
    pub segments: u64,
    /// Plaintext bytes.
    pub plaintext_len: u64,
    /// The chain value of the last segment.
    pub stream_digest: frame_worker::ChainValue,
    /// Whether that says that the stream is whole.
    pub ending: Ending,
}

/// What the end of a stream says of the whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// All of the stream has come, and nothing else.
    Proved,
    /// Its format cannot say so, or this stream does not; the caller publishes it all the same, and says that it is asserted.
    Asserted,
}
