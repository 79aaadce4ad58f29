//! A stream of one segment, written to a fresh sink under one rule, and what the rules have in common.
//! Knows no rule.

use std::{fmt, io, sync::Arc, thread};

use contract::{Checkpoint, CommitError, StreamingSink, Visibility, WriteAt};

use super::{Fresh, SinkUnderTest, Violation, gone::Gone};

/// A stream of one segment, in one of the modes, under one rule.
pub(super) struct Trial {
    rule: u8,
    pub(super) sink: Box<dyn StreamingSink>,
    pub(super) target: Box<dyn Fn() -> Option<Vec<u8>>>,
    before: Option<Vec<u8>>,
    /// Only in positioned mode.
    pub(super) writer: Option<Arc<dyn WriteAt>>,
}

impl Trial {
    /// None: the sink does not have this mode, or its bytes are seen and it promises nothing here.
    pub(super) fn start(fresh: Fresh<'_>, mode: Mode, rule: u8) -> Result<Option<Self>, Violation> {
        let trial = Self::start_any(fresh, mode, rule)?;
        Ok(trial.filter(|trial| trial.sink.capabilities().visibility == Visibility::Private))
    }

    pub(super) fn start_any(fresh: Fresh<'_>, mode: Mode, rule: u8) -> Result<Option<Self>, Violation> {
        let SinkUnderTest { mut sink, target, .. } = fresh();
        let before = target();
        accept(rule, "last_commit", sink.last_commit())?;
        let writer = match mode {
            Mode::Ordered => None,
            Mode::Positioned => match sink.positioned() {
                Some(writer) => Some(writer),
                None => return Ok(None),
            },
        };
        Ok(Some(Self { rule, sink, target, before, writer }))
    }

    pub(super) fn write(&mut self) -> Result<(), Violation> {
        let stream = bytes(TRIAL_LEN);
        if let Some(writer) = &self.writer {
            return write_in_disorder(self.rule, writer, &stream);
        }
        accept(self.rule, "begin", self.sink.begin_segment(0, 0))?;
        accept(self.rule, "a write", self.sink.write_tentative(0, &stream))
    }

    pub(super) fn commit(&mut self) -> Result<(), Violation> {
        accept(self.rule, "a commit", self.sink.commit_segment(&checkpoint()))
    }

    pub(super) fn drop_sink(&mut self) {
        self.sink = Box::new(Gone);
    }

    pub(super) fn expect_untouched(&self, what: &str) -> Result<(), Violation> {
        expect(self.rule, (self.target)() == self.before, || what.into())
    }

    /// Publishing `len` bytes is refused, as something that has not happened.
    pub(super) fn expect_refused(mut self, len: usize) -> Result<(), Violation> {
        let private = self.sink.capabilities().visibility == Visibility::Private;
        let published = self.sink.publish(len as u64);
        expect(self.rule, matches!(published, Err(CommitError::NotCommitted(_))), || {
            format!("publishing {len} bytes where others were written gave {published:?}")
        })?;
        self.drop_sink();
        if private { self.expect_untouched("a publish that was refused changed the target") } else { Ok(()) }
    }
}

#[derive(Clone, Copy)]
pub(super) enum Mode {
    Ordered,
    Positioned,
}

#[derive(PartialEq, Eq)]
pub(super) enum Committed {
    No,
    Yes,
}

#[derive(Debug)]
pub(super) enum End {
    Publish,
    Discard,
    Drop,
}

pub(super) fn write_segment(
    sink: &mut dyn StreamingSink,
    index: u64,
    at: u64,
    data: &[u8],
) -> Result<(), CommitError> {
    sink.begin_segment(index, at)?;
    write_pieces(sink, at, data)?;
    sink.commit_segment(&checkpoint())
}

/// Writes to the open segment.
pub(super) fn write_pieces(sink: &mut dyn StreamingSink, at: u64, data: &[u8]) -> io::Result<()> {
    let mut next = at;
    for piece in data.chunks(PIECE_LEN) {
        sink.write_tentative(next, piece)?;
        next += piece.len() as u64;
    }
    Ok(())
}

/// Begins a segment, writes `len` bytes that no stream holds where nobody sees them, and takes it back.
pub(super) fn roll_back(
    sink: &mut dyn StreamingSink,
    index: u64,
    at: u64,
    len: usize,
) -> Result<(), Violation> {
    accept(7, "a segment to be rolled back", sink.begin_segment(index, at))?;
    if sink.capabilities().visibility == Visibility::Private && len > 0 {
        accept(7, "a write to be rolled back", write_pieces(sink, at, &vec![WRONG; len]))?;
    }
    accept(7, "a roll back", sink.rollback_segment())
}

/// All of `data` but a byte in its middle.
pub(super) fn write_with_hole(rule: u8, writer: &dyn WriteAt, at: u64, data: &[u8]) -> Result<(), Violation> {
    let hole = data.len() / 2;
    accept(rule, "a write before a hole", writer.write_all_at(at, &data[..hole]))?;
    accept(rule, "a write after a hole", writer.write_all_at(at + hole as u64 + 1, &data[hole + 1..]))
}

/// Each thread writes every third piece, the last one first.
pub(super) fn write_in_disorder(rule: u8, writer: &Arc<dyn WriteAt>, stream: &[u8]) -> Result<(), Violation> {
    let pieces: Vec<_> = stream.chunks(PIECE_LEN).zip((0_u64..).step_by(PIECE_LEN)).collect();
    let done = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                let pieces = &pieces;
                scope.spawn(move || {
                    let mut mine = pieces.iter().skip(number).step_by(WRITERS).rev();
                    mine.try_for_each(|(piece, at)| writer.write_all_at(*at, piece))
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join()).collect::<Vec<_>>()
    });
    for writer in done {
        let written = writer.map_err(|_| Violation { rule, what: "a positioned write panicked".into() })?;
        accept(rule, "a positioned write", written)?;
    }
    Ok(())
}

pub(super) fn accept<T, E: fmt::Display>(rule: u8, what: &str, done: Result<T, E>) -> Result<T, Violation> {
    done.map_err(|error| Violation { rule, what: format!("{what} failed: {error}") })
}

pub(super) fn expect(rule: u8, kept: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if kept { Ok(()) } else { Err(Violation { rule, what: what() }) }
}

/// Bytes whose period fits no piece and no block, so that a piece in a wrong place shows.
pub(super) fn bytes(len: usize) -> Vec<u8> {
    (0_u8..PERIOD).cycle().take(len).collect()
}

pub(super) fn checkpoint() -> Checkpoint {
    Checkpoint::from_bytes([0x5A; Checkpoint::LEN])
}

pub(super) const MODES: [Mode; 2] = [Mode::Ordered, Mode::Positioned];
/// Bytes of a trial's stream.
pub(super) const TRIAL_LEN: usize = 10_000;
/// A byte that no stream holds.
pub(super) const WRONG: u8 = 0xFE;
const PIECE_LEN: usize = 4_099;
const WRITERS: usize = 3;
/// A prime; the bytes of a stream are below it.
const PERIOD: u8 = 251;
const _: () = assert!(WRONG >= PERIOD);
