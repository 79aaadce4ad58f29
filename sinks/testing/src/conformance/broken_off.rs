//! A stream that breaks off after its first segments were made durable, and the sinks opened over it afterwards.
//! Knows no rule, and reads a checkpoint only to see which of its own it is.

use std::sync::Arc;

use contract::{Checkpoint, CommitError, ReadAt, StreamingSink, Visibility, WriteAt};

use super::{
    Fresh, Reopen, SinkUnderTest, Violation,
    gone::Gone,
    trial::{Mode, TRIAL_LEN, WRONG, accept, bytes, expect, write_pieces, write_with_hole},
};

/// A stream of four segments under one rule, continued by one sink after another over the same target.
pub(super) struct BrokenOff {
    rule: u8,
    mode: Mode,
    pub(super) sink: Box<dyn StreamingSink>,
    target: Box<dyn Fn() -> Option<Vec<u8>>>,
    reopen: Reopen,
    before: Option<Vec<u8>>,
    stream: Stream,
}

/// What is being written. The checkpoints of the two differ, as the engine's do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    First,
    /// Shorter, and with other bytes.
    Another,
}

impl BrokenOff {
    /// Two segments durable, a third committed, and what follows written with other bytes where nobody can see it. Then
    /// the sink is dropped and opened again. None: the sink cannot be opened again, or does not have this mode.
    pub(super) fn start(fresh: Fresh<'_>, mode: Mode, rule: u8) -> Result<Option<Self>, Violation> {
        let SinkUnderTest { mut sink, target, reopen, .. } = fresh();
        let Some(reopen) = reopen else { return Ok(None) };
        if matches!(mode, Mode::Positioned) && sink.positioned().is_none() {
            return Ok(None);
        }
        accept(rule, "last_commit", sink.last_commit())?;
        let before = target();
        let mut broken = Self { rule, mode, sink, target, reopen, before, stream: Stream::First };
        (0..DURABLE).try_for_each(|segment| broken.write_segment(segment))?;
        broken.make_durable(DURABLE)?;
        broken.write_segment(DURABLE)?;
        broken.write_tail(DURABLE + 1)?;
        broken.crash()?;
        Ok(Some(broken))
    }

    /// Drops the sink and opens another one over the same target.
    pub(super) fn crash(&mut self) -> Result<(), Violation> {
        self.drop_sink();
        self.sink = accept(self.rule, "opening the target again after a drop", (self.reopen)())?;
        self.expect_untouched("a drop, or opening the target again, changed the target")
    }

    /// How many segments the checkpoint of `last_commit` stands for. What is written from here on is that checkpoint's stream.
    pub(super) fn last_commit(&mut self) -> Result<Option<usize>, Violation> {
        let last = accept(self.rule, "last_commit", self.sink.last_commit())?;
        let Some(last) = last else { return Ok(None) };
        for stream in [Stream::First, Stream::Another] {
            if let Some(segments) = (1..=SEGMENTS).find(|segments| stream.checkpoint_after(*segments) == last)
            {
                self.stream = stream;
                return Ok(Some(segments));
            }
        }
        Err(Violation {
            rule: self.rule,
            what: "last_commit gives a checkpoint that no commit was given".into(),
        })
    }

    /// Goes on as the engine does: at the checkpoint or, where the sink offers kept bytes, behind the segments that they prove.
    /// Gives the segment that comes next.
    pub(super) fn resume(&mut self) -> Result<usize, Violation> {
        let marked = self.last_commit()?;
        let next = match (self.sink.resumable(), marked) {
            (Some(kept), _) => self.proven(&*kept),
            (None, Some(marked)) => marked,
            (None, None) => return Ok(0),
        };
        self.resume_at(next)?;
        Ok(next)
    }

    pub(super) fn resume_at(&mut self, segment: usize) -> Result<(), Violation> {
        let resumed = self.sink.resume_at(segment as u64, end_of(segment) as u64);
        accept(self.rule, &format!("resume_at segment {segment}"), resumed)
    }

    /// How many segments stand in the kept bytes as they were written.
    pub(super) fn proven(&self, kept: &dyn ReadAt) -> usize {
        let stands = |segment: &usize| {
            let wanted = self.stream.segment(*segment);
            let mut found = vec![0; wanted.len()];
            kept.read_exact_at(end_of(*segment) as u64, &mut found).is_ok() && found == wanted
        };
        (0..SEGMENTS).take_while(stands).count()
    }

    /// Writes and commits the segments from `next` on, publishes, and looks at the target.
    pub(super) fn finish(&mut self, next: usize) -> Result<(), Violation> {
        (next..SEGMENTS).try_for_each(|segment| self.write_segment(segment))?;
        self.expect_untouched("a resumed stream is seen at the target before publish")?;
        let whole = self.stream.bytes();
        accept(self.rule, "publish of a resumed stream", self.sink.publish(whole.len() as u64))?;
        self.drop_sink();
        expect(self.rule, (self.target)() == Some(whole), || {
            format!("a stream resumed at segment {next} was published as another, or not at all")
        })
    }

    /// Opens a sink over a target that was published. None: the target exists now, and is refused.
    pub(super) fn reopen_published(&mut self) -> Option<Box<dyn StreamingSink>> {
        (self.reopen)().ok()
    }

    /// Whether it is the first stream that is written, or whose checkpoint was found.
    pub(super) fn is_first(&self) -> bool {
        self.stream == Stream::First
    }

    /// From here on the stream is another one, shorter and with other bytes.
    pub(super) fn become_another(&mut self) {
        self.stream = Stream::Another;
    }

    pub(super) fn write_segment(&mut self, segment: usize) -> Result<(), Violation> {
        let (data, at) = (&self.stream.segment(segment)[..], end_of(segment) as u64);
        let what = format!("segment {segment}");
        match self.writer() {
            Some(writer) => accept(self.rule, &what, writer.write_all_at(at, data))?,
            None => {
                accept(self.rule, &what, self.sink.begin_segment(segment as u64, at))?;
                accept(self.rule, &what, write_pieces(&mut *self.sink, at, data))?;
            }
        }
        accept(self.rule, &what, self.sink.commit_segment(&self.stream.checkpoint_after(segment + 1)))
    }

    /// Confirms and commits a segment that stands in the kept bytes.
    pub(super) fn confirm_segment(&mut self, segment: usize) -> Result<(), Violation> {
        let (at, len) = (end_of(segment) as u64, self.stream.segment(segment).len() as u64);
        let confirmed = self.sink.confirm_segment(segment as u64, at, len);
        accept(self.rule, &format!("confirm_segment {segment}"), confirmed)?;
        let committed = self.sink.commit_segment(&self.stream.checkpoint_after(segment + 1));
        accept(self.rule, "a commit of a confirmed segment", committed)
    }

    /// Everything up to the end of the first `segments` survives what comes. A sink that offers no such step does it when
    /// it commits.
    pub(super) fn make_durable(&mut self, segments: usize) -> Result<(), Violation> {
        match self.sink.durability() {
            Some(durability) => accept(
                self.rule,
                "make_durable",
                durability.make_durable(&self.stream.checkpoint_after(segments)),
            ),
            None => Ok(()),
        }
    }

    /// Positioned: writes what comes from segment `next` on, a byte left out and another added behind the end, and commits
    /// it. False: nothing is left to write.
    pub(super) fn write_rest_with_hole(&mut self, next: usize) -> Result<bool, Violation> {
        let Some(writer) = self.writer().filter(|_| next < SEGMENTS) else { return Ok(false) };
        let mut rest = self.stream.bytes().split_off(end_of(next));
        rest.push(WRONG);
        write_with_hole(self.rule, &*writer, end_of(next) as u64, &rest)?;
        for segment in next..SEGMENTS {
            let committed = self.sink.commit_segment(&self.stream.checkpoint_after(segment + 1));
            accept(self.rule, "a commit", committed)?;
        }
        Ok(true)
    }

    /// Publishing `len` bytes now is refused, as something that has not happened.
    pub(super) fn expect_refused(mut self, len: usize) -> Result<(), Violation> {
        let published = self.sink.publish(len as u64);
        expect(self.rule, matches!(published, Err(CommitError::NotCommitted(_))), || {
            format!("a resumed stream was not written as {len} bytes, and publishing it gave {published:?}")
        })?;
        self.drop_sink();
        self.expect_untouched("a publish that was refused changed the target")
    }

    /// Of a sink that promises it.
    pub(super) fn expect_untouched(&self, what: &str) -> Result<(), Violation> {
        let seen = self.sink.capabilities().visibility == Visibility::Visible;
        expect(self.rule, seen || (self.target)() == self.before, || what.into())
    }

    /// Tentative bytes from `segment` on, to be forgotten: wrong ones, and more than are to come, where nobody sees them.
    fn write_tail(&mut self, segment: usize) -> Result<(), Violation> {
        let at = end_of(segment);
        let tail = match self.sink.capabilities().visibility {
            Visibility::Private => vec![WRONG; end_of(SEGMENTS) - at + TRIAL_LEN],
            Visibility::Visible => self.stream.segment(segment)[..LAST_LEN / 2].to_vec(),
        };
        match self.writer() {
            Some(writer) => accept(self.rule, "a tentative write", writer.write_all_at(at as u64, &tail)),
            None => {
                accept(self.rule, "begin", self.sink.begin_segment(segment as u64, at as u64))?;
                accept(self.rule, "a tentative write", write_pieces(&mut *self.sink, at as u64, &tail))
            }
        }
    }

    /// Only in positioned mode.
    fn writer(&self) -> Option<Arc<dyn WriteAt>> {
        match self.mode {
            Mode::Ordered => None,
            Mode::Positioned => self.sink.positioned(),
        }
    }

    fn drop_sink(&mut self) {
        self.sink = Box::new(Gone);
    }
}

/// Where the first `segments` segments end, in bytes from the start of the stream.
pub(super) fn end_of(segments: usize) -> usize {
    SEGMENT_LENS[..segments].iter().sum()
}

impl Stream {
    fn bytes(self) -> Vec<u8> {
        let mut whole = bytes(end_of(SEGMENTS));
        if self == Self::Another {
            whole.truncate(end_of(SEGMENTS) - LAST_LEN / 2);
            whole.iter_mut().for_each(|byte| *byte ^= 1);
        }
        whole
    }

    fn segment(self, segment: usize) -> Vec<u8> {
        let mut until = self.bytes();
        until.truncate(end_of(segment + 1));
        until.split_off(end_of(segment))
    }

    /// A checkpoint that stands for the first `segments` segments.
    fn checkpoint_after(self, segments: usize) -> Checkpoint {
        let stream = if self == Self::First { 0x10 } else { 0x20 };
        Checkpoint::from_bytes([stream + segments as u8; Checkpoint::LEN])
    }
}

const SEGMENT_LENS: [usize; SEGMENTS] = [5_000, 1, 70_001, LAST_LEN];
pub(super) const SEGMENTS: usize = 4;
const LAST_LEN: usize = 4_097;
/// Segments that are made durable before the stream breaks off.
pub(super) const DURABLE: usize = 2;
const _: () = assert!(DURABLE + 2 == SEGMENTS); // one is committed and not durable, one is tentative
